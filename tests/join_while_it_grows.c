/* A process with little address space maps a heap as far as it can; the heap
   grows beyond that before the others know of the newcomer, who is refused
   then, with words, gets no memory that it cannot see, and leaves no entry.  */

#include "inside.h"

static void *md;

/* Lets the others grow the heap when the newcomer has mapped it and comes to
   the witness.  */
static int
late_fcntl (int fd, int what, ...)
{
  static bool grown;
  va_list ap;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  if (is_lock_of (l, MM_BYTE_ALIVE) && !grown)
    {
      grown = true;
      baton_pass (baton);
      baton_wait (baton);
    }
  return real_fcntl (fd, what, l);
}

static void
newcomer (void *unused)
{
  (void) unused;
  baton_wait (baton);
  address_space_allow (MIB (200));
  os.fcntl = late_fcntl;
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), ENOMEM);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "grew beyond"));
}

START_TEST (refused)
{
  if (under_a_tool ())
    {
      skip ("the tool needs all address space");
      return;
    }
  md = heap_file ();
  heap_end (md);
  struct child child = child_start (newcomer, NULL);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), 0, NULL), md);
  /* It stops behind the door, where nobody else comes in.  */
  baton_pass (child.baton);
  baton_wait (child.baton);
  char *block = mmalloc (md, MIB (300));
  ck_assert_ptr_nonnull (block);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_int_eq (entries_in_use (md), 1);
  /* The newcomer is no limit any more.  */
  ck_assert_ptr_nonnull (mmalloc (md, MIB (300)));
  block[MIB (300) - 1] = 1;
  heap_end (md);
}
END_TEST

RUN_TESTS (refused)
