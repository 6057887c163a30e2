/* waiter.c - a waiter that dies takes nobody's wake-up with it.

   Whoever unlocks a mutex wakes one waiter.  If that one is killed before it
   has the lock, somebody else must learn that the lock is free.  The kernel
   sees to it if the lock is free still; not so if a third one has taken it
   meanwhile, who knows of no waiters and will wake none.

   Here the parent is that third one.  It holds a lock of the heap; two
   processes wait for it in a call.  It unlocks; the first waiter is stopped on
   its way out of the kernel; the parent locks again; the waiter is killed; the
   parent unlocks, or dies too, as a process of its own.  The other waiter must
   go on.

   Then the plain case, some times over: somebody is killed while he holds the
   lock and one other waits for it.  How long that takes is printed.

   waiter [wake-ups] [at-once] [late]
                              only that.  "at-once", the plain case, is right
                              after the other began to wait; "late", which make
                              bench-locks wants, within a fifth of a second, so
                              that he has come to his longest sleeps
   MMALLOC_KILL_WAITS=n       so many plain cases  */

#include "trace.h"

#define CAPACITY MIB (16)

static struct talk
{
  _Atomic int ready;            /* the second waiter may call */
  _Atomic int done;             /* it has come back */
  _Atomic int holder;           /* the steps of the process with the lock */
  _Atomic int round;            /* the waiter may call for the n-th time */
  double back;                  /* when it came back */
} *talk;

static bool
until (_Atomic int *word, int value)
{
  double since = kill_seconds ();
  while (atomic_load (word) != value)
    {
      if (kill_seconds () - since > kill_patience ())
        return false;
      sched_yield ();
    }
  return true;
}

/* A process that calls the heap when told to, and waits in there.  Number 0 is
   traced.  */
static void
wait_inside (int number, bool grow)
{
  void *md = kill_open (heap_path, 0, CAPACITY);
  /* So that it has a stream.  */
  NEED (mmalloc (md, 64) != NULL);
  if (number == 0)
    trace_me ();
  else
    NEED (until (&talk->ready, 1));
  NEED (mmalloc (md, grow ? MIB (1) : 20000) != NULL);
  atomic_store (&talk->done, 1);
  _exit (0);
}

/* Whether the process is in, or on its way into, the wait for a lock;
   ASLEEP: it sleeps there.  */
static bool
is_waiting (pid_t pid, bool asleep)
{
  char name[64], text[512] = "";
  snprintf (name, sizeof name, "/proc/%d/syscall", pid);
  int fd = open (name, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read (fd, text, sizeof text - 1) < 0)
    broken ("%s", name);
  close (fd);
  if (text[0] == 'r' || strtol (text, NULL, 10) != SYS_futex)
    return false;
  snprintf (name, sizeof name, "/proc/%d/stat", pid);
  fd = open (name, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || read (fd, text, sizeof text - 1) < 0)
    broken ("%s", name);
  close (fd);
  return !asleep || strstr (text, ") S ") != NULL;
}

/* The one that holds the lock, twice.  DIES: the second time to the end.  */
static void
hold (bool grow, bool dies)
{
  kill_open (heap_path, 0, CAPACITY);
  struct heap *h = kill_heap ();
  disk_u32 *word = grow ? &h->locks->grow.word : &h->locks->heap.word;
  lock_take (h, word, true);
  atomic_store (&talk->holder, 1);
  NEED (until (&talk->holder, 2));
  lock_release (h, word);
  atomic_store (&talk->holder, 3);
  NEED (until (&talk->holder, 4));
  lock_take (h, word, true);
  atomic_store (&talk->holder, 5);
  NEED (until (&talk->holder, 6));
  if (!dies)
    lock_release (h, word);
  _exit (0);
}

/* False if the second waiter waits for ever.  */
static bool
try (bool grow, bool dies)
{
  pid_t waiter[2], holder;
  int status;
  memset (talk, 0, sizeof *talk);
  kill_make_heap (heap_path, CAPACITY);
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *md = kill_open (heap_path, 0, CAPACITY);
      /* Enough free slices for the waiters, if they are to reuse them.  */
      void *p = mmalloc (md, MIB (1) / 2);
      mfree (md, p);
      NEED (mmalloc_detach (md) == NULL);
      _exit (0);
    }
  NEED (kill_wait (pid) == 0);
  for (int i = 0; i < 2; i++)
    {
      waiter[i] = kill_fork ();
      if (waiter[i] == 0)
        wait_inside (i, grow);
    }
  NEED (waitpid (waiter[0], &status, 0) == waiter[0]);
  NEED (WIFSTOPPED (status) && WSTOPSIG (status) == SIGSTOP);
  holder = kill_fork ();
  if (holder == 0)
    hold (grow, dies);
  NEED (until (&talk->holder, 1));
  /* The first waiter enters the kernel to wait ...  */
  NEED (ptrace (PTRACE_SETOPTIONS, waiter[0], NULL,
                (void *) (uintptr_t) PTRACE_O_TRACESYSGOOD) == 0);
  do
    {
      NEED (ptrace (PTRACE_SYSCALL, waiter[0], NULL, NULL) == 0);
      NEED (waitpid (waiter[0], &status, 0) == waiter[0]);
      NEED (WIFSTOPPED (status));
    }
  while (!is_waiting (waiter[0], false));
  NEED (ptrace (PTRACE_SYSCALL, waiter[0], NULL, NULL) == 0);
  /* It may come out and enter again: a wait may have its limits.  */
  while (!is_waiting (waiter[0], true))
    if (waitpid (waiter[0], &status, WNOHANG) == waiter[0])
      NEED (WIFSTOPPED (status)
            && ptrace (PTRACE_SYSCALL, waiter[0], NULL, NULL) == 0);
  /* ... then the second one, behind it.  */
  atomic_store (&talk->ready, 1);
  while (!is_waiting (waiter[1], true))
    sched_yield ();
  /* Unlock: the first one comes out of the kernel, and stops there.  */
  atomic_store (&talk->holder, 2);
  NEED (until (&talk->holder, 3));
  NEED (waitpid (waiter[0], &status, 0) == waiter[0] && WIFSTOPPED (status));
  /* Lock again, kill it, unlock.  */
  atomic_store (&talk->holder, 4);
  NEED (until (&talk->holder, 5));
  kill_process (waiter[0]);
  atomic_store (&talk->holder, 6);
  NEED (kill_wait (holder) == 0);
  bool good = until (&talk->done, 1);
  kill_process (waiter[1]);
  printf ("%s lock, the third one %s: the second waiter %s\n",
          grow ? "grow" : "heap", dies ? "dies with it" : "unlocks it",
          good ? "goes on" : "waits for ever");
  return good;
}

/* ---- How long a waiter waits -------------------------------------------- */

/* Wait for the heap lock in each round.  */
static void
wait_often (int rounds)
{
  void *md = kill_open (heap_path, 0, CAPACITY);
  NEED (mmalloc (md, 64) != NULL);
  for (int i = 1; i <= rounds; i++)
    {
      NEED (until (&talk->round, i));
      void *p = mmalloc (md, 100000);
      talk->back = kill_seconds ();
      NEED (p != NULL);
      mfree (md, p);
      atomic_store (&talk->done, i);
    }
  _exit (0);
}

static int
later (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return (x > y) - (x < y);
}

/* The one that dies with the lock.  */
static void
hold_to_the_end (void)
{
  kill_open (heap_path, 0, CAPACITY);
  if (!lock_heap (kill_heap ()))
    _exit (1);
  atomic_store (&talk->holder, 1);
  for (;;)
    pause ();
}

/* Time passes, nobody is disturbed.  */
static void
pass (uint64_t us)
{
  struct timespec t = { 0, (long) us * 1000 };
  nanosleep (&t, NULL);
}

static bool
measure (int rounds, bool late)
{
  uint64_t chance = late ? random_seed () : 0;
  double *took = calloc ((size_t) rounds, sizeof *took);
  NEED (took != NULL);
  memset (talk, 0, sizeof *talk);
  kill_make_heap (heap_path, CAPACITY);
  pid_t waiter = kill_fork ();
  if (waiter == 0)
    wait_often (rounds);
  bool good = true;
  for (int i = 1; good && i <= rounds; i++)
    {
      atomic_store (&talk->holder, 0);
      pid_t holder = kill_fork ();
      if (holder == 0)
        hold_to_the_end ();
      NEED (until (&talk->holder, 1));
      atomic_store (&talk->round, i);
      while (!is_waiting (waiter, true))
        sched_yield ();
      if (late)
        pass (random_below (&chance, 200000));
      double killed = kill_seconds ();
      kill_process (holder);
      good = until (&talk->done, i);
      took[i - 1] = (talk->back - killed) * 1e3;
    }
  kill_process (waiter);
  qsort (took, (size_t) rounds, sizeof *took, later);
  printf ("%d holders of the heap lock killed %s: the waiter went on after %.3f"
          " ms (median), at most %.3f ms%s\n", rounds,
          late ? "late" : "at once", took[rounds / 2], took[rounds - 1],
          good ? "" : ", and once never");
  free (took);
  return good;
}

int
main (int argc, char **argv)
{
  int checks = 0, failures = 0;
  int waits = (int) setting ("MMALLOC_KILL_WAITS", 50);
  if (!trace_works ())
    return KILL_SKIPPED;
  talk = kill_shared (sizeof *talk);
  kill_make_dir ();
  for (int i = 0; i < 4 && kill_wants ("wake-ups", argc, argv); i++, checks++)
    failures += !try (i & 1, i & 2);
  for (int late = 0; late < 2; late++)
    if (late ? argc > 1 && kill_wants ("late", argc, argv)
             : kill_wants ("at-once", argc, argv))
      {
        checks++;
        failures += !measure (waits, late);
      }
  kill_remove_dir ();
  return closing_line (checks, failures, 0);
}
