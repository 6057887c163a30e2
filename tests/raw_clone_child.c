/* A child that comes by the system call itself runs no fork handlers.  It is
   like a fork child all the same: an anonymous heap is its own copy, a heap in
   a file is shared, and neither process hands out what the other has.  */

#include <sys/syscall.h>

#include "support.h"

enum { N = 2000 };
static char *blocks[N], *large;
static void *md;

static void
fill (size_t from, uint64_t tag)
{
  for (size_t i = from; i < N; i++)
    {
      blocks[i] = mmalloc (md, 10 + i % 700);
      must (blocks[i] != NULL);
      block_fill (blocks[i], 10 + i % 700, tag + i);
    }
}

static int
holds (size_t from, uint64_t tag)
{
  for (size_t i = from; i < N; i++)
    if (!block_holds (blocks[i], 10 + i % 700, tag + i))
      return 0;
  return 1;
}

/* The child exits with 0 if all is well; Check is not asked, as it is another
   process that Check does not know.  */
static int
child_goes_on (int in, int out)
{
  char byte;
  /* Before all else: what the thread kept for itself is not there.  */
  mfree (md, NULL);
  large = mrealloc (md, large, MIB (2));
  if (large == NULL || !block_holds (large, MIB (1), 7))
    return 6;
  mfree (md, large);
  for (int round = 0; round < 5; round++)
    {
      fill (100, 10000);
      if (write (out, "!", 1) != 1 || read (in, &byte, 1) != 1)
        return 1;
      if (!holds (100, 10000))
        return 2;
      for (size_t i = 100; i < N; i++)
        mfree (md, blocks[i]);
    }
  for (size_t i = 0; i < 100; i++)
    if (!block_holds (blocks[i], 10 + i, i))
      return 3;
  if (mmalloc (md, MIB (1)) == NULL)
    return 4;
  return mmalloc_detach (md) != NULL && md != NULL ? 5 : 0;
}

START_TEST (like_a_fork_child)
{
  int to[2], from[2], status;
  char byte;
  if (under_a_tool ())
    {
      skip ("tools want to know of their processes");
      return;
    }
  md = heap_new (_i);
  fill (0, 0);
  large = mmalloc (md, MIB (1));
  must (large != NULL);
  block_fill (large, MIB (1), 7);
  for (size_t i = 100; i < N; i++)
    mfree (md, blocks[i]);
  ck_assert_int_eq (pipe2 (to, O_CLOEXEC), 0);
  ck_assert_int_eq (pipe2 (from, O_CLOEXEC), 0);
  fflush (NULL);
  long pid = syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0)
    _exit (child_goes_on (to[0], from[1]));
  ck_assert_int_gt (pid, 0);
  close (from[1]);
  for (int round = 0; round < 5; round++)
    {
      fill (100, 20000);
      ck_assert_int_eq (read (from[0], &byte, 1), 1);
      ck_assert_int_eq (write (to[1], "!", 1), 1);
      ck_assert (holds (100, 20000));
      for (size_t i = 100; i < N; i++)
        mfree (md, blocks[i]);
    }
  ck_assert_int_eq (waitpid ((pid_t) pid, &status, 0), (pid_t) pid);
  ck_assert_int_eq (status, 0);
  for (size_t i = 0; i < 100; i++)
    must (block_holds (blocks[i], 10 + i, i));
  /* Ours and a large one: the child's in a file, where it freed ours.  */
  ck_assert_uint_eq (heap_stats (md).blocks_live, 101);
  heap_end (md);
}
END_TEST

/* The child that knows nothing of the heap has the parent's open files all the
   same, with their locks.  */
START_TEST (locks_are_not_its_own)
{
  int status;
  if (under_a_tool () || _i != IN_FILE)
    return;
  md = heap_file ();
  fflush (NULL);
  long pid = syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0)
    {
      alarm (100);
      pause ();
      _exit (0);
    }
  ck_assert_int_gt (pid, 0);
  for (int round = 0; round < 2; round++)
    {
      ck_assert_ptr_null (mmalloc_detach (md));
      ck_assert_ptr_eq (heap_file (), md);
    }
  /* A user alone again.  */
  ck_assert_ptr_null (mmalloc_detach (md));
  void *copy = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_ptr_eq (copy, md);
  heap_end (copy);
  ck_assert_int_eq (kill ((pid_t) pid, SIGKILL), 0);
  ck_assert_int_eq (waitpid ((pid_t) pid, &status, 0), (pid_t) pid);
}
END_TEST

/* It has closed the open files: nothing else of it keeps the locks of a parent
   that is killed.  */
static void
parent_is_killed (void *unused)
{
  (void) unused;
  must (heap_file () != NULL);
  int said = baton;
  long pid = syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0)
    {
      for (int fd = 3; fd < 1000; fd++)
        if (fd != said)
          close (fd);
      must (write (said, "!", 1) == 1);
      _exit (read (said, &said, 1) != 0);
    }
  pause ();
}

START_TEST (mapping_is_not_its_own)
{
  if (under_a_tool () || _i != IN_FILE)
    return;
  struct child child = child_start (parent_is_killed, NULL);
  baton_wait (child.baton);
  int grandchild = dup (child.baton);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
  close (grandchild);
}
END_TEST

RUN_ON_EACH_HEAP (like_a_fork_child, locks_are_not_its_own,
                  mapping_is_not_its_own)
