/* fork: a file heap is shared by parent and child, who allocate from it at the
   same time; each lets it go for itself.  Once where the tests are, and once in
   an overlay.  */

#include <stdbool.h>

#include "mounts.h"

enum { N = 3000 };
static void *md;
static char *mine[N];

static void
fill (size_t from, size_t to, uint64_t tag)
{
  for (size_t i = from; i < to; i++)
    {
      size_t size = 10 + i * 7 % 5000;
      mine[i] = mmalloc (md, size);
      must (mine[i] != NULL);
      block_fill (mine[i], size, tag + i);
    }
}

static void
verify (size_t from, size_t to, uint64_t tag)
{
  for (size_t i = from; i < to; i++)
    must (block_holds (mine[i], 10 + i * 7 % 5000, tag + i));
}

static void
child (void *tag)
{
  uint64_t t = (size_t) tag * N;
  verify (0, 100, 0);
  baton_wait (baton);
  for (int round = 0; round < 5; round++)
    {
      fill (100, N, t);
      verify (100, N, t);
      for (size_t i = 100; i < N; i++)
        mfree (md, mine[i]);
    }
  char *gift = mmalloc (md, 1000);
  block_fill (gift, 1000, t);
  char name[20];
  snprintf (name, sizeof name, "gift %zu", (size_t) tag);
  ck_assert_int_eq (mmalloc_setroot (md, name, gift), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (shared)
{
  if (_i == 1 && !overlay_enter ())
    return;
  md = heap_file ();
  fill (0, 100, 0);
  struct child process[3];
  for (size_t i = 0; i < 3; i++)
    process[i] = child_start (child, (void *) (i + 1));
  for (size_t i = 0; i < 3; i++)
    baton_pass (process[i].baton);
  for (int round = 0; round < 5; round++)
    {
      fill (100, N, 100 * N);
      verify (100, N, 100 * N);
      for (size_t i = 100; i < N; i++)
        mfree (md, mine[i]);
    }
  for (size_t i = 0; i < 3; i++)
    ck_assert_int_eq (child_end (process[i]), 0);
  verify (0, 100, 0);
  for (size_t i = 0; i < 3; i++)
    {
      char name[20];
      snprintf (name, sizeof name, "gift %zu", i + 1);
      char *gift = mmalloc_getroot (md, name);
      ck_assert_ptr_nonnull (gift);
      must (block_holds (gift, 1000, (i + 1) * N));
      mfree (md, gift);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 100);
  heap_end (md);
}
END_TEST

static void
just_leave (void *unused)
{
  (void) unused;
}

static void
use_and_leave (void *unused)
{
  (void) unused;
  mfree (md, mine[0]);
  ck_assert_ptr_nonnull (mmalloc (md, 300));
}

START_TEST (child_leaves_without_detach)
{
  if (_i == 1 && !overlay_enter ())
    return;
  md = heap_file ();
  fill (0, 100, 0);
  for (int i = 0; i < 20; i++)
    ck_assert_int_eq (child_run (just_leave, NULL), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 100);
  ck_assert_int_eq (child_run (use_and_leave, NULL), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 100);
  verify (1, 100, 0);
  fill (100, 500, 0);
  verify (1, 500, 0);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  verify (1, 500, 0);
  heap_end (md);
}
END_TEST

static void
stay (void *unused)
{
  (void) unused;
  ck_assert_ptr_nonnull (mmalloc (md, 300));
  baton_pass (baton);
  baton_wait (baton);
  fill (100, N, 0);
  verify (1, N, 0);
  heap_end (md);
}

/* The child counts as a user of the file, also when its parent has left.  */
START_TEST (child_outlives_the_parents_use)
{
  if (_i == 1 && !overlay_enter ())
    return;
  md = heap_file ();
  fill (0, 100, 0);
  struct child process = child_start (stay, NULL);
  baton_wait (process.baton);
  ck_assert_ptr_null (mmalloc_detach (md));
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
             EBUSY);
  ck_assert_ptr_eq (heap_file (), md);
  baton_pass (process.baton);
  for (size_t i = 100; i < N; i++)
    {
      mine[i] = mmalloc (md, 500);
      must (mine[i] != NULL);
      block_fill (mine[i], 500, i);
    }
  ck_assert_int_eq (child_end (process), 0);
  for (size_t i = 100; i < N; i++)
    must (block_holds (mine[i], 500, i));
  verify (0, 100, 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 101 + 2 * (N - 100));
  heap_end (md);
}
END_TEST

static char *edge;

static int
stop_at_the_edge (void *block, size_t size, void *met)
{
  if ((char *) block >= edge && size < 1000 && !*(bool *) met)
    {
      *(bool *) met = true;
      baton_pass (baton);
      baton_wait (baton);
    }
  return 0;
}

static void
look (void *unused)
{
  (void) unused;
  bool met = false;
  ck_assert_int_eq (mmalloc_walk (md, stop_at_the_edge, &met), 0);
  must (met);
  ck_assert_int_eq (mmalloc_prefetch (md), 0);
  ck_assert_uint_gt (heap_stats (md).blocks_live, 0);
}

/* A child that only looks is a user, too: nothing is cut off meanwhile.  It
   stops in a page whose record has several words.  */
START_TEST (child_looks_while_the_parent_trims)
{
  if (_i == 1 && !overlay_enter ())
    return;
  static char *small[N];
  int n_small = 0;
  md = heap_file ();
  for (int i = 0; i < N; i++)
    must ((mine[i] = mmalloc (md, 20000)) != NULL);
  edge = (char *) md + MIB (33);
  for (int behind = 0; behind < 300; behind += small[n_small++] >= edge)
    must (n_small < N && (small[n_small] = mmalloc (md, 100)) != NULL);
  struct child process = child_start (look, NULL);
  baton_wait (process.baton);
  for (int i = 1; i < N; i++)
    mfree (md, mine[i]);
  for (int i = 0; i < n_small; i++)
    mfree (md, small[i]);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  baton_pass (process.baton);
  ck_assert_int_eq (child_end (process), 0);
  mmalloc_trim (md);
  ck_assert_int_lt (file_length (temp_heap_path ()), (off_t) MIB (33));
  heap_end (md);
}
END_TEST

static int
fork_here (void *block, size_t size, void *pid)
{
  (void) block, (void) size;
  fflush (NULL);
  *(pid_t *) pid = fork ();
  return 1;
}

/* The child comes back from a walk that its parent began, and is alone.  */
START_TEST (fork_in_a_walk)
{
  if (_i == 1 && !overlay_enter ())
    return;
  pid_t pid = -1;
  int status;
  md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  ck_assert_int_eq (mmalloc_walk (md, fork_here, &pid), 1);
  ck_assert_int_ge (pid, 0);
  if (pid > 0)
    {
      ck_assert_ptr_null (mmalloc_detach (md));
      ck_assert_int_eq (waitpid (pid, &status, 0), pid);
      ck_assert_int_eq (status, 0);
      return;
    }
  /* Check is not asked: it does not know this process.  */
  for (int i = 0; i < N; i++)
    mine[i] = mmalloc (md, 20000);
  for (int i = 0; i < N; i++)
    mfree (md, mine[i]);
  /* As long as the parent is a user nothing is cut.  */ for (int i = 0; i <
     10000 && file_length (temp_heap_path ()) > (off_t) MIB (33);
       i++)
    {
      mmalloc_trim (md);
      usleep (1000);
    }
  _exit (file_length (temp_heap_path ()) > (off_t) MIB (33));
}
END_TEST

static void
looks_after_its_parent (void *flags)
{
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), (int) (size_t) flags,
                                  NULL), md);
  fflush (NULL);
  pid_t pid = fork ();
  ck_assert_int_ge (pid, 0);
  if (pid > 0)
    _exit (0);
  baton_pass (baton);
  baton_wait (baton);
  for (int i = 0; i < N; i++)
    must (block_holds (mine[i], 20000, (uint64_t) i));
  ck_assert_ptr_null (mmalloc_detach (md));
  baton_pass (baton);
}

static void
make_large (void)
{
  md = heap_file ();
  for (int i = 0; i < N; i++)
    {
      must ((mine[i] = mmalloc (md, 20000)) != NULL);
      block_fill (mine[i], 20000, (uint64_t) i);
    }
  heap_end (md);
}

/* The child of a reader is a reader, also when its parent is gone, whose locks
   stay with the mapping only where that is of the open file.  */
START_TEST (child_of_a_reader)
{
  if (_i == 1 && !overlay_enter ())
    return;
  make_large ();
  struct child process = child_start (looks_after_its_parent,
                                      (void *) (size_t) MMALLOC_RDONLY);
  baton_wait (process.baton);
  ck_assert_int_eq (waitpid (process.pid, NULL, 0), process.pid);
  ck_assert_ptr_eq (heap_file (), md);
  off_t length = file_length (temp_heap_path ());
  void *block = mmalloc (md, MIB (40));
  mfree (md, block);
  mmalloc_trim (md);
  ck_assert_int_gt (file_length (temp_heap_path ()), length);
  baton_pass (process.baton);
  baton_wait (process.baton);
  mmalloc_trim (md);
  ck_assert_int_le (file_length (temp_heap_path ()), length);
  heap_end (md);
}
END_TEST

/* ... and that of one who has a copy keeps writers out.  */
START_TEST (child_with_a_copy)
{
  if (_i == 1 && !overlay_enter ())
    return;
  make_large ();
  struct child process = child_start (looks_after_its_parent,
                                      (void *) (size_t) MMALLOC_PRIVATE);
  baton_wait (process.baton);
  ck_assert_int_eq (waitpid (process.pid, NULL, 0), process.pid);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  baton_pass (process.baton);
  baton_wait (process.baton);
  ck_assert_ptr_eq (heap_file (), md);
  heap_end (md);
}
END_TEST

static void
stays (void *unused)
{
  (void) unused;
  baton_pass (baton);
  baton_wait (baton);
}

/* ... and that of one who has a map file is a user of it.  */
START_TEST (child_with_a_map)
{
  if (_i == 1 && !overlay_enter ())
    return;
  void *map = mmalloc_region_open (temp_path ("map"), MMALLOC_CREATE, NULL,
                                   KIB (64), told_region, NULL);
  ck_assert_ptr_nonnull (map);
  struct child process = child_start (stays, NULL);
  baton_wait (process.baton);
  ck_assert_int_eq (mmalloc_region_close (map), 0);
  ck_assert_ptr_eq (mmalloc_region_open (temp_path ("map"), 0, NULL, 0,
                                         told_region, NULL), map);
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  ck_assert_int_eq (mmalloc_region_close (map), 0);
  baton_pass (process.baton);
  ck_assert_int_eq (child_end (process), 0);
  ck_assert_ptr_eq (mmalloc_region_open (temp_path ("map"), 0, NULL, 0,
                                         told_region, NULL), map);
  ck_assert_int_eq (region_told, MMALLOC_REGION_FIRST);
  ck_assert_int_eq (mmalloc_region_close (map), 0);
}
END_TEST

RUN_KINDS (2, shared, child_leaves_without_detach,
           child_outlives_the_parents_use, child_looks_while_the_parent_trims,
           fork_in_a_walk, child_of_a_reader, child_with_a_copy,
           child_with_a_map)
