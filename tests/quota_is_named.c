/* The disk has room, and the user's quota does not: a request fails with
   EDQUOT, by fallocate or where zeros are written instead, says so with the
   bytes that were wanted, and changes nothing.  */

#include "inside.h"

static bool all_used, no_fallocate;

static int
quota_fallocate (int fd, int mode, off_t off, off_t len)
{
  if (no_fallocate)
    return errno = EOPNOTSUPP, -1;
  if (all_used && !(mode & FALLOC_FL_PUNCH_HOLE))
    return errno = EDQUOT, -1;
  return fallocate (fd, mode, off, len);
}

static ssize_t
quota_pwrite (int fd, const void *from, size_t n, off_t at)
{
  if (all_used && no_fallocate)
    return errno = EDQUOT, -1;
  return pwrite (fd, from, n, at);
}

/* The last call on heap MD, NULL: without one, gave EDQUOT and these words.  */
static void
says_quota (void *md, const char *number)
{
  const char *told = mmalloc_strerror (md);
  ck_assert_msg (errno == EDQUOT && mmalloc_errno (md) == EDQUOT
                 && strstr (told, "disk quota") != NULL
                 && strstr (told, number) != NULL,
                 "errno %d: %s, not %s", errno, told, number);
}

START_TEST (named)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = opt.initial = MIB (9);
  os.fallocate = quota_fallocate;
  os.pwrite = quota_pwrite;
  no_fallocate = _i == 1;
  void *md = heap_file ();
  char *block = mmalloc (md, MIB (1));
  block_fill (block, MIB (1), 1);
  size_t live = heap_stats (md).blocks_live;
  all_used = true;
  ck_assert_ptr_null (mmalloc (md, MIB (8)));
  says_quota (md, "8388608");
  ck_assert_ptr_null (mcalloc (md, 7, MIB (1)));
  says_quota (md, "7340032");
  ck_assert_ptr_null (mrealloc (md, block, MIB (6)));
  says_quota (md, "bytes more");
  ck_assert_ptr_null (mmalloc_open (temp_path ("other"), MMALLOC_CREATE,
                                    NULL));
  says_quota (NULL, "bytes more");
  ck_assert_ptr_null (mmalloc_open (temp_path ("other"), MMALLOC_CREATE,
                                    &opt));
  says_quota (NULL, no_fallocate ? "4096" : "94371");
  ck_assert_ptr_null (mmalloc_region_open (temp_path ("other"), MMALLOC_CREATE,
                                           NULL, MIB (3), NULL, NULL));
  says_quota (NULL, no_fallocate ? "3145728" : "3145720");
  ck_assert_int_ne (access (temp_path ("other"), F_OK), 0);
  must (block_holds (block, MIB (1), 1));
  ck_assert_uint_eq (heap_stats (md).blocks_live, live);
  heap_is_whole (md);
  all_used = false;
  ck_assert_ptr_nonnull (mmalloc (md, MIB (8)));
  heap_end (md);
}
END_TEST

/* A copy that has lost its disk blocks.  */
START_TEST (named_for_a_copy)
{
  if (_i == 1)
    return;
  void *md = heap_file ();
  block_fill (mmalloc (md, MIB (1)), MIB (1), 1);
  heap_end (md);
  char command[3 * PATH_MAX];
  snprintf (command, sizeof command, "cp --sparse=always '%s' '%s'",
            temp_heap_path (), temp_path ("copy"));
  ck_assert_int_eq (system (command), 0);
  os.fallocate = quota_fallocate;
  all_used = true;
  ck_assert_ptr_null (mmalloc_open (temp_path ("copy"), 0, NULL));
  says_quota (NULL, "for this copy of the heap");
}
END_TEST

RUN_KINDS (2, named, named_for_a_copy)
