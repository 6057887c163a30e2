/* A heap of 10 GiB, mostly holes, opens, and what is in it is found.  */

#include <sys/statfs.h>

#include "support.h"

START_TEST (ten_gib)
{
  struct statfs fs;
  if (under_a_tool ())
    {
      skip ("the tool leaves no room for such a heap");
      return;
    }
  ck_assert_int_eq (statfs (support_test_dir, &fs), 0);
  if ((uint64_t) fs.f_bavail * (uint64_t) fs.f_bsize < GIB (12)
      || fs.f_type == 0x01021994)
    {
      skip ("less than 12 GiB of disk are free");
      return;
    }
  void *md = heap_file ();
  char *hole = mmalloc (md, GIB (10));
  ck_assert_msg (hole != NULL, "%s", mmalloc_strerror (md));
  char *behind = NULL, *small[100];
  for (size_t i = 0; i < 100; i++)
    {
      small[i] = mmalloc (md, 100);
      block_fill (small[i], 100, i);
    }
  while (behind < hole)
    {
      behind = mmalloc (md, MIB (20));
      ck_assert_ptr_nonnull (behind);
    }
  block_fill (behind, MIB (20), 200);
  mfree (md, hole);
  ck_assert_int_ge (mmalloc_trim (md), 0);
  heap_end (md);
  ck_assert_int_gt (file_length (temp_heap_path ()), (off_t) GIB (10));
  ck_assert_int_lt (file_disk (temp_heap_path ()), (off_t) MIB (200));

  ck_assert_ptr_eq (heap_file (), md);
  for (size_t i = 0; i < 100; i++)
    must (block_holds (small[i], 100, i));
  must (block_holds (behind, MIB (20), 200));
  ck_assert_ptr_nonnull (mmalloc (md, 1000));
  heap_end (md);
}
END_TEST

START_TEST (file_longer_than_its_heap)
{
  void *md = heap_file ();
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  heap_end (md);
  ck_assert_int_eq (truncate (temp_heap_path (), (off_t) GIB (10)), 0);
  ck_assert_ptr_eq (heap_file (), md);
  must (block_holds (block, 1000, 1));
  ck_assert_ptr_nonnull (mmalloc (md, MIB (60)));
  heap_end (md);
}
END_TEST

RUN_TESTS (ten_gib, file_longer_than_its_heap)
