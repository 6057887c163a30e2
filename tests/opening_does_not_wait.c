/* MMALLOC_NOWAIT: the opening fails at once where it would wait at the door, for
   one who opens or closes the file and was stopped in there, who is named; or for
   another thread of the process.  Where nobody is in the way it is like any
   opening.  */

#include "inside.h"

#include <sys/prctl.h>

static void *
open_heap_or_region (int region, int flags)
{
  return region ? mmalloc_region_open (temp_path ("region"), flags, NULL, 0,
                                       told_region, NULL)
                : mmalloc_open (temp_heap_path (), flags, NULL);
}

static void
close_heap_or_region (int region, void *md)
{
  if (region)
    ck_assert_int_eq (mmalloc_region_close (md), 0);
  else
    ck_assert_ptr_null (mmalloc_detach (md));
}

static void
make (int region)
{
  void *md = region ? mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                           NULL, KIB (64), told_region, NULL)
                    : heap_file ();
  ck_assert_ptr_nonnull (md);
  close_heap_or_region (region, md);
}

/* Stops as it opens the file, or as it closes it.  */
static int closes, stops_in_region;

static void
stops (void *unused)
{
  (void) unused;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  baton_wait (baton);
  at_door = stop_here;
  os.fcntl = closes ? real_fcntl : door_fcntl;
  void *md = open_heap_or_region (stops_in_region, 0);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  os.fcntl = closes ? door_fcntl : real_fcntl;
  close_heap_or_region (stops_in_region, md);
}

static void
does_not_wait (int region, int flags, const char *who)
{
  must_fail (NULL, open_heap_or_region (region, flags | MMALLOC_NOWAIT),
             EAGAIN);
  ck_assert_msg (strstr (mmalloc_strerror (NULL), who) != NULL, "%s",
                 mmalloc_strerror (NULL));
}

/* A heap as it is opened and closed, a region as it is opened.  */
START_TEST (door_is_held)
{
  char who[60];
  stops_in_region = _i == 2;
  closes = _i == 1;
  make (stops_in_region);
  struct child child = child_start (stops, NULL);
  until_stopped (child);
  snprintf (who, sizeof who, "process %d is opening or closing the file",
            (int) child.pid);
  does_not_wait (stops_in_region, 0, who);
  does_not_wait (stops_in_region, MMALLOC_CREATE, who);
  does_not_wait (stops_in_region, MMALLOC_SINGLE_WRITER, who);
  if (!stops_in_region)
    {
      does_not_wait (0, MMALLOC_RDONLY, who);
      does_not_wait (0, MMALLOC_ELSEWHERE, who);
      does_not_wait (0, MMALLOC_PRIVATE, who);
    }
  ck_assert_int_eq (kill (child.pid, SIGCONT), 0);
  ck_assert_int_eq (child_end (child), 0);
  void *md = open_heap_or_region (stops_in_region, MMALLOC_NOWAIT);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  close_heap_or_region (stops_in_region, md);
}
END_TEST

/* Whom nobody waits for any longer is named as well.  */
START_TEST (patience_ends)
{
  char who[60];
  if (_i > 0)
    return;
  make (0);
  library_process.patience[0] = 50;
  struct child child = child_start (stops, NULL);
  until_stopped (child);
  snprintf (who, sizeof who, "process %d is opening or closing the file",
            (int) child.pid);
  must_fail (NULL, open_heap_or_region (0, 0), EBUSY);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), who));
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  child_end (child);
  heap_end (open_heap_or_region (0, MMALLOC_NOWAIT));
}
END_TEST

/* The first process of another namespace keeps the door.  */
static void
stay (void)
{
  baton_pass (baton);
  baton_wait (baton);
}

static void
holds (void *unused)
{
  (void) unused;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  at_door = stay;
  os.fcntl = door_fcntl;
  close_heap_or_region (0, open_heap_or_region (0, 0));
}

START_TEST (of_another_namespace)
{
  if (_i > 0 || UNDER_ASAN)
    return;
  make (0);
  if (unshare (CLONE_NEWPID) != 0)
    {
      skip ("no right to make a PID namespace");
      return;
    }
  struct child child = child_start (holds, NULL);
  baton_wait (child.baton);
  does_not_wait (0, 0, "a process in another PID namespace is opening");
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}
END_TEST

/* A lock of the program's own kind, and one on the byte of the readers.  */
static void
locks (void *first)
{
  struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
                     .l_start = (off_t) (size_t) first };
  l.l_len = l.l_start != 0;
  int fd = open (temp_heap_path (), O_RDWR);
  must (fcntl (fd, F_SETLK, &l) == 0);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (other_locks)
{
  char who[60];
  off_t first = _i == 0 ? 0 : MM_LOCK_BYTES + MM_BYTE_READERS;
  make (0);
  struct child child = child_start (locks, (void *) (size_t) first);
  baton_wait (child.baton);
  snprintf (who, sizeof who, "process %d has a lock", (int) child.pid);
  does_not_wait (0, MMALLOC_RDONLY, who);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (open_heap_or_region (0, MMALLOC_NOWAIT));
}
END_TEST

/* A fork child, which has the heap already, is to become a user.  */
static void
child_joins (void *unused)
{
  (void) unused;
  baton_wait (baton);
  does_not_wait (0, 0, "is opening or closing the file");
  baton_pass (baton);
  baton_wait (baton);
  must (open_heap_or_region (0, MMALLOC_NOWAIT) != NULL);
}

START_TEST (fork_child_comes_in)
{
  if (_i > 0)
    return;
  make (0);
  struct child stopped = child_start (stops, NULL);
  void *md = heap_file ();
  struct child child = child_start (child_joins, NULL);
  until_stopped (stopped);
  baton_pass (child.baton);
  baton_wait (child.baton);
  ck_assert_int_eq (kill (stopped.pid, SIGKILL), 0);
  child_end (stopped);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

/* Another thread opens something, whatever it is.  */
static int turns[2];

static int
takes_time (void *at, size_t size, enum mmalloc_region_why why,
            const char **reason, void *arg)
{
  char byte;
  ck_assert_int_eq (write (turns[1], "!", 1), 1);
  ck_assert_int_eq (read (turns[1], &byte, 1), 1);
  return told_region (at, size, why, reason, arg);
}

static void *
opens_slowly (void *unused)
{
  (void) unused;
  void *region = mmalloc_region_open (temp_path ("slow"), MMALLOC_CREATE, NULL,
                                      KIB (64), takes_time, NULL);
  ck_assert_ptr_nonnull (region);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  return NULL;
}

START_TEST (another_thread)
{
  char byte;
  int region = _i % 2;
  make (region);
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, turns), 0);
  pthread_t thread = thread_start (opens_slowly, NULL);
  ck_assert_int_eq (read (turns[0], &byte, 1), 1);
  does_not_wait (region, 0, "another thread of this process");
  ck_assert_int_eq (write (turns[0], "!", 1), 1);
  thread_end (thread);
  void *md = open_heap_or_region (region, MMALLOC_NOWAIT);
  ck_assert_ptr_nonnull (md);
  /* Nothing was left locked.  */
  close_heap_or_region (region, open_heap_or_region (region, 0));
  close_heap_or_region (region, md);
}
END_TEST

/* Waiting is over with the opening: who uses the heap, and closes it, does it as
   ever.  */
START_TEST (only_the_opening)
{
  if (_i > 0)
    return;
  make (0);
  struct child stopped = child_start (stops, NULL);
  void *md = open_heap_or_region (0, MMALLOC_NOWAIT);
  struct heap *h = heap_of (md);
  ck_assert (!h->file.no_wait);
  ck_assert_ptr_eq (open_heap_or_region (0, MMALLOC_NOWAIT), md);
  ck_assert (!h->file.no_wait);
  ck_assert_ptr_null (mmalloc_detach (md));
  heap_end (md);
  baton_pass (stopped.baton);
  int status;
  ck_assert_int_eq (waitpid (stopped.pid, &status, WUNTRACED), stopped.pid);
  ck_assert_int_eq (kill (stopped.pid, SIGCONT), 0);
  ck_assert_int_eq (child_end (stopped), 0);
}
END_TEST

RUN_KINDS (3, door_is_held, patience_ends, of_another_namespace, other_locks,
           fork_child_comes_in, another_thread, only_the_opening)
