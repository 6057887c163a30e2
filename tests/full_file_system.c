/* On a full file system a request gives NULL and ENOSPC, and all that was
   handed out can be written: never SIGBUS.  Needs the right to mount.  */

#include <sched.h>
#include <sys/mount.h>

#include "support.h"

static char dir[PATH_MAX];

static int
mount_small (const char *options)
{
  snprintf (dir, sizeof dir, "%s", temp_path ("small"));
  ck_assert_int_eq (mkdir (dir, 0777), 0);
  if (unshare (CLONE_NEWNS) != 0
      || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
      || mount ("none", dir, "tmpfs", 0, options) != 0)
    {
      skip ("no right to mount");
      return 0;
    }
  return 1;
}

START_TEST (fills_up)
{
  if (!mount_small ("size=6m"))
    return;
  static void *blocks[3000];
  void *md = mmalloc_open (temp_path ("small/heap"), MMALLOC_CREATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (int round = 0; round < 3; round++)
    {
      size_t n = heap_fill (md, 5000, blocks, 3000);
      ck_assert_uint_ge (n * 5000, MIB (4));
      ck_assert_uint_le (n * 5000, MIB (6));
      must_fail (md, mmalloc (md, 5000), ENOSPC);
      must_fail (md, mmalloc (md, MIB (4)), ENOSPC);
      must_fail (md, mmalloc (md, MIB (40)), ENOSPC);
      for (size_t i = 0; i < n; i++)
        block_fill (blocks[i], 5000, i);
      for (size_t i = 0; i < n; i++)
        must (block_holds (blocks[i], 5000, i));
      heap_is_whole (md);
      heap_free_all (md, blocks, n);
      if (round == 1)
        ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) MIB (3));
    }
  heap_end (md);
  ck_assert_int_eq (umount2 (dir, MNT_DETACH), 0);
}
END_TEST

static void
junk_fill (void)
{
  static char junk[KIB (4)];
  int fd = open (temp_path ("small/junk"), O_WRONLY | O_CREAT, 0666);
  while (write (fd, junk, sizeof junk) > 0)
    continue;
  close (fd);
}

/* Others take what trim gave back.  */
START_TEST (holes_cannot_be_filled)
{
  if (!mount_small ("size=6m"))
    return;
  static char *blocks[60];
  void *md = mmalloc_open (temp_path ("small/heap"), MMALLOC_CREATE, NULL);
  size_t n = heap_fill (md, KIB (64), (void **) blocks, 60);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], KIB (64), i);
  for (size_t i = 0; i < n; i += 2)
    mfree (md, blocks[i]);
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) MIB (1));
  junk_fill ();
  size_t more = 0;
  char *block;
  for (; (block = mmalloc (md, KIB (60))) != NULL; more++)
    block_fill (block, KIB (60), more);
  ck_assert_int_eq (mmalloc_errno (md), ENOSPC);
  ck_assert_uint_lt (more, n / 2);
  for (size_t i = 1; i < n; i += 2)
    must (block_holds (blocks[i], KIB (64), i));
  heap_end (md);
  ck_assert_int_eq (umount2 (dir, MNT_DETACH), 0);
}
END_TEST

/* The same inside of pages of blocks, of which many live.  */
START_TEST (holes_in_pages_cannot_be_filled)
{
  enum { SIZE = 8192, MOST = 800 };
  if (!mount_small ("size=6m"))
    return;
  static char *blocks[MOST];
  void *md = mmalloc_open (temp_path ("small/heap"), MMALLOC_CREATE, NULL);
  size_t n = heap_fill (md, SIZE, (void **) blocks, MOST), more[2] = { 0, 0 };
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], SIZE, i);
  for (size_t i = 0; i < n; i++)
    if (i % 4 != 0)
      {
        mfree (md, blocks[i]);
        blocks[i] = NULL;
      }
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) (n * SIZE / 2));
  junk_fill ();
  for (int round = 0; round < 2; round++)
    {
      for (size_t i = 0; i < n; i++)
        if (blocks[i] == NULL && (blocks[i] = mmalloc (md, SIZE)) != NULL)
          {
            block_fill (blocks[i], SIZE, i);
            more[round]++;
          }
      heap_is_whole (md);
      if (round > 0)
        break;
      must_fail (md, mmalloc (md, SIZE), ENOSPC);
      must_fail (md, mmalloc (md, SIZE), ENOSPC);
      unlink (temp_path ("small/junk"));
    }
  ck_assert_uint_lt (more[0], n / 8);
  ck_assert_uint_gt (more[0] + more[1], n / 4 * 3 - 8);
  for (size_t i = 0; i < n; i++)
    must (blocks[i] == NULL || block_holds (blocks[i], SIZE, i));
  heap_end (md);
  ck_assert_int_eq (umount2 (dir, MNT_DETACH), 0);
}
END_TEST

START_TEST (no_room_for_a_new_heap)
{
  if (!mount_small ("size=16k"))
    return;
  must_fail (NULL, mmalloc_open (temp_path ("small/heap"), MMALLOC_CREATE,
                                 NULL), ENOSPC);
  ck_assert_int_eq (umount2 (dir, MNT_DETACH), 0);
}
END_TEST

RUN_TESTS (fills_up, holes_cannot_be_filled, holes_in_pages_cannot_be_filled,
           no_room_for_a_new_heap)
