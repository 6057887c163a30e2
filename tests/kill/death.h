/* death.h - deaths that are played: what the steppers share.

   A victim is stepped through an operation.  Wherever the file has changed, its
   death is played on a copy: the parent becomes a process that opens the copy,
   or one that was attached all the time, and looks at what is left.  */

#ifndef DEATH_H
#define DEATH_H 1

#include "trace.h"

/* States of an operation that are all played if not told otherwise; of the
   later ones ever fewer are.  */
enum { EACH_STATE = 64 };


/* ---- What is being tried, and what is wrong ----------------------------- */

static struct
{
  const char *operation;
  const char *way;              /* of recovery */
  long points, states, played, bad;
  uintptr_t pc;                 /* where the victim was */
  bool finished;                /* the operation */
  bool gone;                    /* the victim, of itself */
  double since;
} now;

__attribute__ ((format (printf, 1, 2))) static void
bad (const char *format, ...)
{
  va_list ap;
  if (now.bad++ >= 8)
    return;
  printf ("  %s, killed after instruction %ld (state %ld), %s: ",
          now.operation, now.points, now.states, now.way);
  va_start (ap, format);
  vprintf (format, ap);
  va_end (ap);
  printf ("\n");
  if (now.bad <= 3)
    trace_where (now.pc);
  fflush (stdout);
}

static void
bad_finding (const char *finding, const void *where, void *arg)
{
  (void) arg;
  bad ("%s (at 0x%lx)", finding,
       (unsigned long) ((uintptr_t) where - (uintptr_t) KILL_BASE));
}

static void
bad_misuse (const char *call, void *md, const void *ptr, const char *what,
            void *arg)
{
  (void) md, (void) arg;
  bad ("misuse: %s (0x%lx): %s", call,
       (unsigned long) ((uintptr_t) ptr - (uintptr_t) KILL_BASE), what);
}

/* This process hangs or crashes in recovery.  */
static void
bad_signal (int sig)
{
  now.bad = 0;
  bad (sig == SIGALRM ? "the survivor hangs" : "the survivor gets signal %d",
       sig);
  fflush (stdout);
  _exit (2);
}

/* What goes wrong while a death is played is told, not died of.  */
static void
bad_catch (void)
{
  struct sigaction action = { .sa_handler = bad_signal };
  sigaction (SIGSEGV, &action, NULL);
  sigaction (SIGBUS, &action, NULL);
  sigaction (SIGABRT, &action, NULL);
  sigaction (SIGFPE, &action, NULL);
  sigaction (SIGALRM, &action, NULL);
  mmalloc_onmisuse (bad_misuse, NULL);
}

/* One instruction further; false if the victim is gone.  */
static bool
step_once (pid_t pid)
{
  int status = trace_try (pid);
  if (status == 0)
    return true;
  printf ("    the victim ended with status 0x%x\n", (unsigned) status);
  if (WIFSTOPPED (status))
    trace_where (trace_pc (pid));
  return false;
}

static void
now_begin (const char *operation)
{
  memset (&now, 0, sizeof now);
  now.operation = operation;
  now.way = "preparing";
  now.since = kill_seconds ();
}

/* Step the victim until the file has changed, as CHANGED tells, or until its
   operation has ended; false if it is gone.  CHANGED learns whether the kernel
   was asked for something.  */
static bool
now_advance (pid_t victim, bool (*changed) (bool asked))
{
  bool quiet, asked;
  do
    {
      now.pc = trace_pc (victim);
      now.finished = trace_is_at (victim, trace_end);
      if (now.finished)
        break;
      quiet = trace_stores_nothing (now.pc);
      asked = trace_is_syscall (now.pc);
      if (now.points % 1024 == 0)
        alarm (kill_patience ());
      if (!step_once (victim))
        {
          bad ("the operation failed");
          now.gone = true;
          return false;
        }
      now.points++;
    }
  while (quiet || !changed (asked));
  now.states++;
  return true;
}

/* One operation is done: end the processes, print its line of the table; false
   if something was wrong.  NEIGHBOUR: 0 if there is none.  */
static bool
now_end (pid_t victim, pid_t neighbour)
{
  if (!now.gone)
    kill_process (victim);
  if (neighbour > 0)
    kill_process (neighbour);
  printf ("%-40s %8ld %7ld %7ld  %5.1f s%s\n", now.operation, now.points,
          now.states, now.played, kill_seconds () - now.since,
          now.bad > 0 ? "  FAILED" : "");
  if (now.bad > 8)
    printf ("  ... %ld findings\n", now.bad);
  fflush (stdout);
  return now.bad == 0;
}

/* Whether the death in this state is to be played; STRIDE as set, 0: not
   set.  */
static bool
now_plays (long stride)
{
  return now.finished
         || now.states % (stride > 0 ? stride : 1 + now.states / EACH_STATE)
            == 0;
}


/* ---- Processes ---------------------------------------------------------- */

/* In memory that all share: a process that has the file attached, as the file
   knows it.  */
struct neighbour
{
  uint32_t entry;
  uint64_t id;
  uint64_t generation;          /* of the superblock that it knows */
  _Atomic int ready;
};

/* Start one that opens the file for operation OP, as OPEN_FOR does, and then
   does nothing.  */
static pid_t
neighbour_start (struct neighbour *n, void (*open_for) (const void *op),
                 const void *op)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      open_for (op);
      /* There is none in a static map.  */
      if (process.files != NULL)
        {
          n->entry = kill_heap ()->entry;
          n->id = kill_heap ()->id;
          n->generation = kill_heap ()->super.generation;
        }
      atomic_store (&n->ready, 1);
      for (;;)
        pause ();
    }
  while (atomic_load (&n->ready) == 0)
    if (waitpid (pid, NULL, WNOHANG) != 0)
      broken ("the neighbour has died");
  return pid;
}

/* Start a victim: PREPARE for operation OP, and then OPERATE on what that
   gave.  It is stopped before the first step.  */
static pid_t
victim_start (void *(*prepare) (const void *op), void (*operate) (void *md),
              const void *op)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *md = prepare (op);
      trace_me ();
      trace_begin ();
      operate (md);
      trace_end ();
      _exit (0);
    }
  trace_await (pid);
  return pid;
}


/* ---- Being somebody else ------------------------------------------------ */

/* Nothing that this process keeps privately about the heap is true.  */
static void
forget_caches (struct heap *h)
{
  for (struct cache *k = thread.all; k != NULL; k = k->next)
    {
      k->heap = NULL;
      k->key = 0;
      k->name = 0;
    }
  thread.last = &no_cache;
  h->caches = NULL;
}

/* Be the neighbour, attached all the time, or a thread of it.  */
static void
become_neighbour (struct heap *h, const struct neighbour *neighbour)
{
  forget_caches (h);
  h->epoch = h->locks->epoch;
  h->entry = neighbour->entry;
  h->id = neighbour->id;
  h->super.generation = neighbour->generation;
  /* The victim, which only stands still, has another file mapped.  */
  h->locks->mark += 2;
}


/* ---- The sum of all operations ------------------------------------------ */

/* In memory that all share.  */
struct sum { long points, states, played; int checks, failures, errors; };

static void
sum_begin (void)
{
  printf ("%-40s %8s %7s %7s\n", "killed in", "points", "states", "played");
}

/* Run operation I in a process of its own.  */
static void
sum_add (struct sum *sum, bool (*run) (size_t i, long stride), size_t i,
         long stride)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      bad_catch ();
      trace_on_one_processor ();
      bool good = run (i, stride);
      sum->points += now.points;
      sum->states += now.states;
      sum->played += now.played;
      _exit (!good);
    }
  int status = kill_wait (pid);
  sum->checks++;
  sum->failures += WIFEXITED (status) && WEXITSTATUS (status) == 1;
  sum->errors += !WIFEXITED (status) || WEXITSTATUS (status) > 1;
}

static int
sum_end (struct sum *sum)
{
  printf ("%-40s %8ld %7ld %7ld\n", "all", sum->points, sum->states,
          sum->played);
  return closing_line (sum->checks, sum->failures, sum->errors);
}

#endif /* DEATH_H */
