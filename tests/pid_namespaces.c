/* The locks of a heap name threads by numbers that mean something in one PID
   namespace only.  So processes of another one are told so as long as the first
   ones have the heap; they may read it at any time, and write it once it is
   free; and one that was killed there is in nobody's way.  */

#include <sched.h>

#include "support.h"

static void *expected;

static void
turned_away (void)
{
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             ENOTSUP);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "namespace"));
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  must (block_holds (mmalloc_getroot (md, "block"), 1000, 1));
  heap_end (md);
}

/* The first process of a namespace of its own.  */
static void
stranger (void *unused)
{
  (void) unused;
  baton_wait (baton);
  turned_away ();
  baton_pass (baton);
  baton_wait (baton);
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_ptr_eq (md, expected);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (5)));
  baton_pass (baton);
  baton_wait (baton);
}

/* What is waited for is a process of this namespace, which goes with the first
   process of the other.  */
static struct child
stranger_start (int *allowed)
{
  struct child none = { 0, -1 };
  *allowed = unshare (CLONE_NEWPID) == 0;
  if (!*allowed)
    {
      skip ("no right to make a PID namespace");
      return none;
    }
  return child_start (stranger, NULL);
}

/* The leak checker wants threads of its own, which such a process cannot
   have.  */
static int
leaks_are_looked_for (void)
{
  if (UNDER_ASAN)
    skip ("AddressSanitizer does not know of PID namespaces");
  return UNDER_ASAN;
}

static void *
open_heap (void)
{
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  return md;
}

START_TEST (one_after_the_other)
{
  int allowed;
  if (leaks_are_looked_for ())
    return;
  expected = open_heap ();
  char *block = mmalloc (expected, 1000);
  block_fill (block, 1000, 1);
  ck_assert_int_eq (mmalloc_setroot (expected, "block", block), 0);
  ck_assert_ptr_null (mmalloc_detach (expected));
  struct child child = stranger_start (&allowed);
  if (!allowed)
    return;
  ck_assert_ptr_eq (open_heap (), expected);
  baton_pass (child.baton);
  baton_wait (child.baton);
  heap_end (expected);
  baton_pass (child.baton);
  baton_wait (child.baton);
  turned_away ();
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  ck_assert_ptr_eq (open_heap (), expected);
  must (block_holds (block, 1000, 1));
  ck_assert_uint_eq (heap_stats (expected).blocks_live, 2);
  ck_assert_ptr_nonnull (mmalloc (expected, MIB (10)));
  heap_end (expected);
}
END_TEST

static void
forked_into (void *unused)
{
  (void) unused;
  must_fail (expected, mmalloc (expected, 100), ENOTSUP);
  must (block_holds (mmalloc_getroot (expected, "block"), 1000, 1));
}

/* A fork child there cannot join its parent.  */
START_TEST (fork_into_another)
{
  int allowed;
  if (leaks_are_looked_for ())
    return;
  expected = open_heap ();
  char *block = mmalloc (expected, 1000);
  block_fill (block, 1000, 1);
  ck_assert_int_eq (mmalloc_setroot (expected, "block", block), 0);
  allowed = unshare (CLONE_NEWPID) == 0;
  if (allowed)
    ck_assert_int_eq (child_run (forked_into, NULL), 0);
  else
    skip ("no right to make a PID namespace");
  must (block_holds (block, 1000, 1));
  heap_end (expected);
}
END_TEST

/* A map file is no different, but for what is in it.  */
static void *
open_region (void)
{
  return mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE, NULL,
                              KIB (64), told_region, NULL);
}

static void
stranger_to_region (void *unused)
{
  (void) unused;
  baton_wait (baton);
  must_fail (NULL, open_region (), ENOTSUP);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "namespace"));
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_nonnull (open_region ());
  ck_assert_int_eq (region_told, MMALLOC_REGION_FIRST);
  baton_pass (baton);
  baton_wait (baton);
}

START_TEST (regions)
{
  if (leaks_are_looked_for ())
    return;
  if (unshare (CLONE_NEWPID) != 0)
    {
      skip ("no right to make a PID namespace");
      return;
    }
  struct child child = child_start (stranger_to_region, NULL);
  void *region = open_region ();
  ck_assert_ptr_nonnull (region);
  baton_pass (child.baton);
  baton_wait (child.baton);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  baton_pass (child.baton);
  baton_wait (child.baton);
  must_fail (NULL, open_region (), ENOTSUP);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_ptr_nonnull (open_region ());
  ck_assert_int_eq (region_told, MMALLOC_REGION_FIRST);
}
END_TEST

RUN_TESTS (one_after_the_other, fork_into_another, regions)
