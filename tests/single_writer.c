/* MMALLOC_SINGLE_WRITER: one process writes, and no other, until it has closed
   the heap or the map file, or was killed.  Who is refused is told by whom.  */

#include <sched.h>

#include "qalloc_support.h"

#include <sys/prctl.h>
#include <sys/syscall.h>

enum { HEAP, REGION, KINDS };

static const char *
path_of (int kind)
{
  return kind == HEAP ? temp_heap_path () : temp_path ("region");
}

static void *
open_kind (int kind, int flags)
{
  return kind == HEAP ? mmalloc_open (path_of (kind), flags, NULL)
                      : mmalloc_region_open (path_of (kind), flags, NULL, 0,
                                             told_region, NULL);
}

static void
close_kind (int kind, void *md)
{
  if (kind == HEAP)
    ck_assert_ptr_null (mmalloc_detach (md));
  else
    ck_assert_int_eq (mmalloc_region_close (md), 0);
}

/* It is there, and nobody has it.  */
static void
make (int kind)
{
  void *md = kind == HEAP
               ? heap_file ()
               : mmalloc_region_open (path_of (kind), MMALLOC_CREATE, NULL,
                                      KIB (64), told_region, NULL);
  ck_assert_ptr_nonnull (md);
  close_kind (kind, md);
}

static void *
open_well (int kind, int flags)
{
  void *md = open_kind (kind, flags);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  return md;
}

/* The words of the last failure name process PID, 0: one that is elsewhere,
   which is the single writer or not.  */
static void
words_name (const char *words, pid_t pid, int single)
{
  char name[60];
  snprintf (name, sizeof name, "process %ld has the ", (long) pid);
  const char *wanted = pid != 0 ? name
                                : "a process in another PID namespace has the ";
  ck_assert_msg (strstr (words, wanted) != NULL, "%s", words);
  wanted = single ? "open as its single writer" : "open for writing";
  ck_assert_msg (strstr (words, wanted) != NULL, "%s", words);
}

static void
refused (int kind, int flags, pid_t pid, int single)
{
  must_fail (NULL, open_kind (kind, flags), EBUSY);
  words_name (mmalloc_strerror (NULL), pid, single);
}

/* Nobody is in the way, of one who wants to be alone.  */
static void
is_free (int kind)
{
  close_kind (kind, open_well (kind, MMALLOC_SINGLE_WRITER));
}

/* A process that has KIND with FLAGS until it gets the baton again.  */
static int held_kind;

static void
holder (void *flags)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  void *md = open_well (held_kind, (int) (size_t) flags);
  baton_pass (baton);
  baton_wait (baton);
  close_kind (held_kind, md);
}

static struct child
hold (int kind, int flags)
{
  held_kind = kind;
  struct child child = child_start (holder, (void *) (size_t) flags);
  baton_wait (child.baton);
  return child;
}

static void
let_go (struct child child)
{
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}

START_TEST (keeps_others_out)
{
  make (_i);
  struct child child = hold (_i, MMALLOC_SINGLE_WRITER);
  refused (_i, 0, child.pid, 1);
  refused (_i, MMALLOC_SINGLE_WRITER, child.pid, 1);
  /* Whatever is refused leaves nothing behind.  */
  refused (_i, 0, child.pid, 1);
  let_go (child);
  is_free (_i);
}
END_TEST

START_TEST (does_not_join_others)
{
  make (_i);
  struct child child = hold (_i, 0);
  refused (_i, MMALLOC_SINGLE_WRITER, child.pid, 0);
  close_kind (_i, open_well (_i, 0));
  refused (_i, MMALLOC_SINGLE_WRITER, child.pid, 0);
  let_go (child);
  is_free (_i);
}
END_TEST

/* As long as it lives, and no longer.  */
START_TEST (killed)
{
  make (_i);
  for (int n = 0; n < 3; n++)
    {
      struct child child = hold (_i, MMALLOC_SINGLE_WRITER);
      refused (_i, 0, child.pid, 1);
      ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
      ck_assert_int_eq (child_end (child), 128 + SIGKILL);
      void *md = open_well (_i, n == 1 ? 0 : MMALLOC_SINGLE_WRITER);
      /* Nor does what it left keep others from one who is not alone.  */
      if (n == 1)
        let_go (hold (_i, 0));
      close_kind (_i, md);
    }
}
END_TEST

/* Readers and copies of readers are no writers.  */
START_TEST (readers_may)
{
  make (HEAP);
  if (_i != HEAP)
    return;
  struct child child = hold (HEAP, MMALLOC_SINGLE_WRITER);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_ptr_nonnull (md);
  void *more = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
  ck_assert_ptr_nonnull (more);
  ck_assert_ptr_null (mmalloc_detach (more));
  ck_assert_ptr_null (mmalloc_detach (md));
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
             EBUSY);
  let_go (child);
  /* Nor is a single writer in the way of those that came before.  */
  child = hold (HEAP, MMALLOC_RDONLY);
  is_free (HEAP);
  let_go (child);
}
END_TEST

static void
tries (void *pid)
{
  refused (held_kind, 0, (pid_t) (size_t) pid, 1);
}

/* The process itself may open it again, and is the single writer until its last
   closing.  It does not become it later.  */
START_TEST (again_in_one_process)
{
  void *self = (void *) (size_t) getpid ();
  held_kind = _i;
  make (_i);
  void *md = open_well (_i, MMALLOC_SINGLE_WRITER);
  ck_assert_ptr_eq (open_well (_i, 0), md);
  ck_assert_ptr_eq (open_well (_i, MMALLOC_SINGLE_WRITER), md);
  close_kind (_i, md);
  close_kind (_i, md);
  struct child child = child_start (tries, self);
  ck_assert_int_eq (child_end (child), 0);
  close_kind (_i, md);
  md = open_well (_i, 0);
  must_fail (NULL, open_kind (_i, MMALLOC_SINGLE_WRITER), EBUSY);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL),
                                 "MMALLOC_SINGLE_WRITER"));
  close_kind (_i, md);
  is_free (_i);
}
END_TEST

/* A fork child is another process.  When its parent has let go it comes in, to
   be alone in turn.  */
static void *inherited;

static void
goes_on (void *pid)
{
  if (held_kind == HEAP)
    {
      must_fail (inherited, mmalloc (inherited, 100), EBUSY);
      words_name (mmalloc_strerror (inherited), (pid_t) (size_t) pid, 1);
      must (mmalloc_getkey (inherited, 1) == inherited);
    }
  must_fail (NULL, open_kind (held_kind, 0), EBUSY);
  words_name (mmalloc_strerror (NULL), (pid_t) (size_t) pid, 1);
  baton_pass (baton);
  baton_wait (baton);
  if (held_kind == HEAP)
    must (mmalloc (inherited, 100) != NULL);
  else
    must (open_kind (held_kind, 0) == inherited);
  baton_pass (baton);
  baton_wait (baton);
}

START_TEST (fork_child)
{
  held_kind = _i;
  make (_i);
  inherited = open_well (_i, MMALLOC_SINGLE_WRITER);
  if (_i == HEAP)
    ck_assert_int_eq (mmalloc_setkey (inherited, 1, inherited), 1);
  struct child child = child_start (goes_on, (void *) (size_t) getpid ());
  baton_wait (child.baton);
  close_kind (_i, inherited);
  baton_pass (child.baton);
  baton_wait (child.baton);
  refused (_i, 0, child.pid, 1);
  let_go (child);
  is_free (_i);
}
END_TEST

/* The child that outlives it keeps nothing of its rights; but one that ran no
   handlers of fork has the lock of a map file as long as it lives.  */
static int ends[2];

static void
sleeps (void *unused)
{
  (void) unused;
  char byte;
  if (write (ends[1], "!", 1) == 1 && read (ends[1], &byte, 1) == 1)
    _exit (0);
}

static void
parent_of_a_sleeper (void *raw)
{
  open_well (held_kind, MMALLOC_SINGLE_WRITER);
  if (raw == NULL)
    child_start (sleeps, NULL);
  else if (syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL) == 0)
    sleeps (NULL);
  baton_wait (baton);
}

static void
outlived (int raw)
{
  char byte;
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  struct child child
    = child_start (parent_of_a_sleeper, raw ? &held_kind : NULL);
  ck_assert_int_eq (read (ends[0], &byte, 1), 1);
  refused (held_kind, 0, child.pid, 1);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  is_free (held_kind);
  ck_assert_int_eq (write (ends[0], "!", 1), 1);
}

START_TEST (outlived_by_its_child)
{
  held_kind = _i;
  make (_i);
  outlived (0);
  if (_i == HEAP && !under_a_tool ())
    outlived (1);
}
END_TEST

/* A program that closes all of its descriptors is no less alone.  */
static void
daemon_holds (void *unused)
{
  (void) unused;
  void *md = open_well (held_kind, MMALLOC_SINGLE_WRITER);
  for (int fd = 3; fd < 1000; fd++)
    if (fd != baton)
      close (fd);
  baton_pass (baton);
  baton_wait (baton);
  (void) md;
  _exit (0);
}

START_TEST (descriptors_closed)
{
  held_kind = _i;
  make (_i);
  struct child child = child_start (daemon_holds, NULL);
  baton_wait (child.baton);
  refused (_i, 0, child.pid, 1);
  refused (_i, MMALLOC_SINGLE_WRITER, child.pid, 1);
  let_go (child);
  is_free (_i);
}
END_TEST

/* Numbers of other PID namespaces mean nothing here.  */
START_TEST (other_namespace)
{
  if (UNDER_ASAN || _i != HEAP)
    return;
  if (unshare (CLONE_NEWPID) != 0)
    {
      skip ("no right to make a PID namespace");
      return;
    }
  make (_i);
  struct child child = hold (_i, MMALLOC_SINGLE_WRITER);
  refused (_i, 0, 0, 1);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  is_free (_i);
}
END_TEST

/* Who meets a writer there; and who comes from there.  */
static void
foreigner (void *unused)
{
  (void) unused;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  refused (held_kind, 0, 0, 1);
  baton_pass (baton);
  baton_wait (baton);
  void *md = open_well (held_kind, 0);
  baton_pass (baton);
  baton_wait (baton);
  close_kind (held_kind, md);
}

START_TEST (from_another_namespace)
{
  if (UNDER_ASAN)
    return;
  if (unshare (CLONE_NEWPID) != 0)
    {
      skip ("no right to make a PID namespace");
      return;
    }
  held_kind = _i;
  make (_i);
  void *md = open_well (_i, MMALLOC_SINGLE_WRITER);
  struct child child = child_start (foreigner, NULL);
  baton_wait (child.baton);
  close_kind (_i, md);
  baton_pass (child.baton);
  baton_wait (child.baton);
  refused (_i, MMALLOC_SINGLE_WRITER, 0, 1);
  let_go (child);
}
END_TEST

/* Other ways in: the historical call, and the maps of qalloc.h.  */
START_TEST (other_ways_in)
{
  const char *dynamic = temp_path ("dynamic");
  make (HEAP);
  struct child child = hold (HEAP, MMALLOC_SINGLE_WRITER);
  int fd = open (temp_heap_path (), O_RDWR);
  must_fail (NULL, mmalloc_attach (fd, NULL), EBUSY);
  words_name (mmalloc_strerror (NULL), child.pid, 1);
  close (fd);
  let_go (child);

  dynmapinfo_t *map = qalloc_makedynmap (MIB (4), NULL, dynamic, 1);
  ck_assert_ptr_nonnull (map);
  must_fail (NULL, mmalloc_open (dynamic, MMALLOC_SINGLE_WRITER, NULL), EBUSY);
  ck_assert_int_eq (qalloc_close (map), 0);
  void *md = mmalloc_open (dynamic, MMALLOC_SINGLE_WRITER, NULL);
  ck_assert_ptr_nonnull (md);
  pid_t pid = fork ();
  if (pid == 0)
    {
      errno = 0;
      map = qalloc_loadmap (dynamic);
      _exit (map != NULL || errno != EBUSY
             || strstr (qalloc_strerror (), "process ") == NULL);
    }
  int status;
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert_int_eq (status, 0);
  heap_end (md);
}
END_TEST

START_TEST (what_makes_no_sense)
{
  static const int flags[]
    = { MMALLOC_RDONLY, MMALLOC_PRIVATE, MMALLOC_ELSEWHERE };
  make (HEAP);
  for (int i = 0; i < 3; i++)
    must_fail (NULL, mmalloc_open (temp_heap_path (),
                                   MMALLOC_SINGLE_WRITER | flags[i], NULL),
               EINVAL);
  /* Nobody else has anonymous memory.  */
  heap_end (mmalloc_open (NULL, MMALLOC_SINGLE_WRITER, NULL));
  int all = MMALLOC_CREATE | MMALLOC_EXCL | MMALLOC_SINGLE_WRITER;
  heap_end (mmalloc_open (temp_path ("new"), all, NULL));
}
END_TEST

RUN_KINDS (KINDS, keeps_others_out, does_not_join_others, killed, readers_may,
           again_in_one_process, fork_child, outlived_by_its_child,
           descriptors_closed, other_namespace, from_another_namespace,
           other_ways_in, what_makes_no_sense)
