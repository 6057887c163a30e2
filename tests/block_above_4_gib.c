/* Blocks of more than 4 GiB: every byte of them can be reached, they grow and
   shrink, and smaller blocks go on beside them.  In a file they need the disk,
   so there they are tried only where much of it is free.  */

#include <sys/statfs.h>

#include "support.h"

enum { TMPFS = 0x01021994 };

static void
touch (char *block, size_t size, uint64_t tag)
{
  for (size_t at = 0; at + 8 <= size; at += MIB (512) + 8)
    block_fill (block + at, 8, tag + at);
  block_fill (block + size - 8, 8, tag);
}

static void
same (const char *block, size_t size, uint64_t tag)
{
  for (size_t at = 0; at + 8 <= size; at += MIB (512) + 8)
    must (block_holds (block + at, 8, tag + at));
  if (tag != 0)
    must (block_holds (block + size - 8, 8, tag));
}

static int
possible (int kind)
{
  struct statfs fs;
  if (under_a_tool ())
    {
      skip ("the tool would need too much memory");
      return 0;
    }
  if (kind == ANONYMOUS)
    return 1;
  ck_assert_int_eq (statfs (support_test_dir, &fs), 0);
  if (fs.f_type == TMPFS)
    {
      skip ("the file system is in memory");
      return 0;
    }
  if ((uint64_t) fs.f_bavail * (uint64_t) fs.f_bsize < GIB (12))
    {
      skip ("less than 12 GiB of disk are free");
      return 0;
    }
  return 1;
}

START_TEST (five_gib)
{
  if (!possible (_i))
    return;
  void *md = heap_new (_i);
  char *block = mmalloc (md, GIB (5) + 3);
  ck_assert_msg (block != NULL, "%s", mmalloc_strerror (md));
  ck_assert_uint_ge (mmalloc_usable_size (md, block), GIB (5) + 3);
  touch (block, GIB (5), 1);
  char *small = mmalloc (md, 100);
  must (small + 100 <= block || small >= block + GIB (5) + 3);
  block_fill (small, 100, 2);
  same (block, GIB (5), 1);
  struct mmalloc_stats stats = heap_stats (md);
  ck_assert_uint_ge (stats.bytes_live, GIB (5));
  ck_assert_uint_ge (stats.length, GIB (5));
  heap_is_whole (md);

  if (_i == IN_FILE)
    {
      ck_assert_int_gt (file_length (temp_heap_path ()), (off_t) GIB (5));
      ck_assert_ptr_null (mmalloc_detach (md));
      ck_assert_ptr_eq (heap_file (), md);
      same (block, GIB (5), 1);
    }

  block = mrealloc (md, block, GIB (4) + 16);
  ck_assert_ptr_nonnull (block);
  touch (block, GIB (4) + 16, 3);
  block = mrealloc (md, block, GIB (4) + MIB (600));
  ck_assert_ptr_nonnull (block);
  same (block, GIB (4) + 16, 3);
  must (block_holds (small, 100, 2));
  mfree (md, block);
  ck_assert_int_ge (mmalloc_trim (md), 0);
  ck_assert_uint_lt (heap_stats (md).bytes_backed, MIB (100));
  if (_i == IN_FILE)
    ck_assert_int_lt (file_disk (temp_heap_path ()), (off_t) MIB (100));
  mfree (md, small);
  heap_end (md);
}
END_TEST

START_TEST (length_in_32_bits_would_fit)
{
  if (!possible (_i))
    return;
  void *md = heap_new (_i);
  char *block = mmalloc (md, GIB (4) + KIB (8));
  ck_assert_ptr_nonnull (block);
  touch (block, GIB (4) + KIB (8), 1);
  char *other = mmalloc (md, MIB (48));
  block_fill (other, MIB (48), 2);
  same (block, GIB (4) + KIB (8), 1);
  mfree (md, block);
  must (block_holds (other, MIB (48), 2));
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (five_gib, length_in_32_bits_would_fit)
