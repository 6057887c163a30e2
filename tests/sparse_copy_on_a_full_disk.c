/* A copy that was made without the zeros has lost the disk blocks behind them.
   On a full disk it is not opened for writing, and not changed; with room it
   gets its blocks back at the first opening, and then each byte of it can be
   written on a full disk.  */

#include "mounts.h"

enum { BLOCKS = 12 };
#define SIZE KIB (700)

static void *md;
static char *blocks[BLOCKS];

static int
copy_sparse (void)
{
  char command[3 * PATH_MAX];
  snprintf (command, sizeof command,
            "cp --sparse=always '%s' '%s' 2> /dev/null", temp_heap_path (),
            temp_path ("disk/heap"));
  return system (command) == 0;
}

static void
make_heap (void)
{
  md = heap_file ();
  for (size_t i = 0; i < BLOCKS; i++)
    {
      blocks[i] = mcalloc (md, 1, SIZE);
      ck_assert_ptr_nonnull (blocks[i]);
      memset (blocks[i], 1, 100);
      ck_assert_int_eq (mmalloc_setkey (md, (int) i, blocks[i]), 1);
    }
  heap_end (md);
}

static void
read_it (int flags)
{
  ck_assert_ptr_eq (mmalloc_open (temp_path ("disk/heap"), flags, NULL), md);
  for (size_t i = 0; i < BLOCKS; i++)
    {
      must (blocks[i] == mmalloc_getkey (md, (int) i));
      must (blocks[i][99] == 1 && block_is_zero (blocks[i] + 100, SIZE - 100));
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, BLOCKS);
}

START_TEST (refused_or_whole)
{
  if (!mount_small (small_disks[_i], 24))
    return;
  make_heap ();
  if (!copy_sparse ())
    {
      skip ("no cp that leaves zeros out");
      unmount_small ();
      return;
    }
  ck_assert_int_lt (file_disk (temp_path ("disk/heap")), (off_t) MIB (2));
  disk_fill ("disk/rest", SIZE_MAX);
  uint64_t sum = file_sum (temp_path ("disk/heap"));
  must_fail (NULL, mmalloc_open (temp_path ("disk/heap"), 0, NULL), ENOSPC);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "copy"));
  must_fail (NULL, mmalloc_open (temp_path ("disk/heap"), MMALLOC_CREATE,
                                 NULL), ENOSPC);
  ck_assert_uint_eq (file_sum (temp_path ("disk/heap")), sum);
  /* tmpfs needs room even to read what has no blocks.  */
  if (strcmp (small_disks[_i], "tmpfs") != 0)
    {
      read_it (MMALLOC_RDONLY);
      heap_end (md);
    }

  ck_assert_int_eq (unlink (temp_path ("disk/rest")), 0);
  read_it (0);
  ck_assert_int_gt (file_disk (temp_path ("disk/heap")),
                    (off_t) (BLOCKS * SIZE));
  disk_fill ("disk/rest", SIZE_MAX);
  for (size_t i = 0; i < BLOCKS; i++)
    block_fill (blocks[i], SIZE, i);
  for (size_t i = 0; i < BLOCKS; i++)
    must (block_holds (blocks[i], SIZE, i));
  must_fail (md, mmalloc (md, MIB (15)), ENOSPC);
  mfree (md, blocks[0]);
  ck_assert_ptr_nonnull (mmalloc (md, SIZE));
  heap_end (md);
  unmount_small ();
}
END_TEST

/* A block in chunks of its own gets them back like the others.  */
START_TEST (huge_blocks_too)
{
  if (_i != 0)                  /* once will do */
    return;
  ck_assert_int_eq (mkdir (temp_path ("disk"), 0777), 0);
  make_heap ();
  ck_assert_ptr_eq (heap_file (), md);
  char *huge = mcalloc (md, 1, MIB (40));
  ck_assert_ptr_nonnull (huge);
  heap_end (md);
  off_t disk = file_disk (temp_heap_path ());
  ck_assert_int_ge (disk, (off_t) (MIB (40) + BLOCKS * SIZE));
  if (!copy_sparse () || file_disk (temp_path ("disk/heap")) > disk / 2)
    {
      skip ("no copies without zeros");
      return;
    }
  ck_assert_ptr_eq (mmalloc_open (temp_path ("disk/heap"), 0, NULL), md);
  /* But for blocks of the file system's own.  */
  ck_assert_int_ge (file_disk (temp_path ("disk/heap")),
                    disk - (off_t) KIB (64));
  must (block_is_zero (huge, MIB (40)));
  heap_end (md);
}
END_TEST

RUN_KINDS (SMALL_DISKS, refused_or_whole, huge_blocks_too)
