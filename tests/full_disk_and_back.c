/* A disk is full, or the limit of file sizes is reached: requests give NULL and
   the right error, all blocks are intact and can be written, freeing and
   trimming work, and what was freed can be had again; keys and roots can be
   set; the heap can be closed and opened.  Once there is room the heap grows
   again.  Two kinds of disk, and the limit with its signal at its default.  */

#include <sys/resource.h>

#include "mounts.h"

enum { TMPFS, EXT4, LIMIT, WAYS, DISK = 24, MAX = 4000 };
static void *blocks[MAX];
static size_t sizes[MAX], n_blocks;
static void *md;
static int way, code;

static const char *
path (void)
{
  return way == LIMIT ? temp_heap_path () : temp_path ("disk/heap");
}

static void
limit_to (rlim_t bytes)
{
  struct rlimit r = { bytes, RLIM_INFINITY };
  signal (SIGXFSZ, SIG_DFL);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &r), 0);
}

static int
begin (int kind)
{
  way = kind;
  code = kind == LIMIT ? EFBIG : ENOSPC;
  if (kind != LIMIT && !mount_small (small_disks[kind], DISK))
    return 0;
  md = mmalloc_open (path (), MMALLOC_CREATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  if (kind != LIMIT)
    disk_fill ("disk/others", MIB (DISK / 3));
  return 1;
}

static void
make_full (void)
{
  if (way == LIMIT)
    limit_to (MIB (DISK));
  for (size_t i = n_blocks; i < MAX; i++)
    {
      sizes[i] = i % 50 == 0 ? 150000 + i : 100 + i * 37 % 9000;
      blocks[i] = mmalloc (md, sizes[i]);
      if (blocks[i] == NULL)
        break;
      n_blocks = i + 1;
      block_fill (blocks[i], sizes[i], i);
    }
  ck_assert_int_eq (errno, code);
  ck_assert_uint_lt (n_blocks, MAX);
  if (way != LIMIT)
    disk_fill ("disk/rest", SIZE_MAX);
}

static void
give_room (void)
{
  if (way == LIMIT)
    limit_to (MIB (2 * DISK));
  else
    ck_assert_int_eq (unlink (temp_path ("disk/others")), 0);
}

static void
all_intact (void)
{
  for (size_t i = 0; i < n_blocks; i++)
    must (blocks[i] == NULL || block_holds (blocks[i], sizes[i], i));
}

static void
is_full (void)
{
  must_fail (md, mmalloc (md, KIB (300)), code);
  must_fail (md, mmalloc (md, MIB (20)), code);
  must_fail (md, mmalloc (md, MIB (100)), code);
  must_fail (md, mcalloc (md, 3, MIB (10)), code);
  must_fail (md, mmemalign (md, MIB (1), MIB (2)), code);
  must_fail (md, mrealloc (md, blocks[0], MIB (40)), code);
  ck_assert_int_eq (mmalloc_setkey (md, 5, blocks[0]), 1);
}

static void
end (void)
{
  all_intact ();
  heap_end (md);
  if (way != LIMIT)
    unmount_small ();
}

START_TEST (intact_and_back)
{
  if (!begin (_i))
    return;
  ck_assert_int_eq (mmalloc_setroot (md, "root", md), 0);
  make_full ();
  ck_assert_uint_gt (n_blocks, 1000);
  is_full ();
  for (size_t i = 0; i < n_blocks; i++)
    block_fill (blocks[i], sizes[i], i);
  all_intact ();
  ck_assert_int_eq (mmalloc_sync (md), 0);
  heap_is_whole (md);

  /* What is freed can be had again, without any room outside.  */
  for (size_t i = 0; i < n_blocks; i += 3)
    {
      mfree (md, blocks[i]);
      blocks[i] = mmalloc (md, sizes[i]);
      must (blocks[i] != NULL);
      block_fill (blocks[i], sizes[i], i);
    }
  all_intact ();
  ck_assert_int_eq (mmalloc_setroot (md, "root", blocks[0]), 0);

  give_room ();
  size_t before = n_blocks;
  void *block = mmalloc (md, KIB (300));
  ck_assert_ptr_nonnull (block);
  block_fill (block, KIB (300), 77);
  make_full ();
  ck_assert_uint_ge (n_blocks, before);
  must (block_holds (block, KIB (300), 77));
  end ();
}
END_TEST

/* What trim gives back is gone if others take it, and else it is there.  */
START_TEST (trimmed)
{
  if (!begin (_i))
    return;
  make_full ();
  for (size_t i = 0; i < n_blocks; i++)
    if (i % 100 != 1)
      {
        mfree (md, blocks[i]);
        blocks[i] = NULL;
      }
  ptrdiff_t given = mmalloc_trim (md);
  ck_assert_int_gt (given, (ptrdiff_t) MIB (1));
  all_intact ();
  if (way != LIMIT)
    {
      disk_fill ("disk/trimmed", SIZE_MAX);
      is_full ();
      size_t n = 0;
      while (mmalloc (md, KIB (100)) != NULL)
        n++;
      ck_assert_int_eq (mmalloc_errno (md), code);
      ck_assert_uint_lt (n * KIB (100), (size_t) given / 2);
      all_intact ();
      heap_is_whole (md);
      ck_assert_int_eq (unlink (temp_path ("disk/trimmed")), 0);
    }
  size_t n = 0;
  for (char *p; n < (size_t) given / 2 / KIB (100); n++)
    {
      p = mmalloc (md, KIB (100));
      ck_assert_msg (p != NULL, "%s", mmalloc_strerror (md));
      block_fill (p, KIB (100), n);
    }
  end ();
}
END_TEST

START_TEST (closed_and_opened)
{
  if (!begin (_i))
    return;
  make_full ();
  ck_assert_ptr_null (mmalloc_detach (md));
  ck_assert_ptr_eq (mmalloc_open (path (), MMALLOC_CREATE, NULL), md);
  all_intact ();
  is_full ();
  for (size_t i = 0; i < n_blocks; i++)
    block_fill (blocks[i], sizes[i], i);
  mfree (md, blocks[0]);
  blocks[0] = mmalloc (md, sizes[0]);
  ck_assert_ptr_nonnull (blocks[0]);
  block_fill (blocks[0], sizes[0], 0);
  give_room ();
  void *block = mmalloc (md, KIB (300));
  ck_assert_ptr_nonnull (block);
  mfree (md, block);
  end ();
}
END_TEST

RUN_KINDS (WAYS, intact_and_back, trimmed, closed_and_opened)
