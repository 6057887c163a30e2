/* real.c - real deaths after counted instructions.

   The stepper plays deaths on a copy; here they happen.  A victim is stepped
   through the first k instructions of an operation on a heap file and killed
   with SIGKILL, for each k, or each STRIDE-th, up to the operation's end.  A
   neighbour, which has the heap attached all the time, goes on at once: it
   takes the locks, which may be those of the dead, looks at everything, gives
   back what the victim had, and works.  At the end of each operation the heap
   is opened by a newcomer, in a new epoch.

   The victim notes in shared memory which blocks it has: what it notes must be
   live, what the neighbour has must be untouched, and there may be one block
   more that nobody knows.

   usage: real [NAME...]
   MMALLOC_KILL_REAL=n        about so many deaths in each operation, fewer in
                              long ones; 0: one at each instruction  */

#include "trace.h"
#include "wrong.h"

enum { HELD_MAX = 64, OWN_MAX = 64 };
#define HEAP MIB (96)

struct block
{
  char *p;
  size_t size;
  uint64_t tag;
};

/* What the victim has.  */
enum hold { NOTHING, TAKING, HOLDING, GIVING };
struct held
{
  _Atomic int state;
  struct block b;
};

static struct talk
{
  struct held held[HELD_MAX];
  _Atomic int n_held;           /* entries in use */
  struct told wrong;            /* what wrong_first points to */
  uint64_t root_old, root_new;
} *talk;

static int commands[2], answers[2]; /* pipes to and from the neighbour */


/* ---- What the victim does ----------------------------------------------- */

static void
take (void *md, size_t size)
{
  int n = talk->n_held;
  struct held *e = &talk->held[n];
  NEED (n < HELD_MAX);
  e->b.size = size;
  atomic_store (&e->state, TAKING);
  atomic_store (&talk->n_held, n + 1);
  e->b.p = mmalloc (md, size);
  NEED (e->b.p != NULL);
  atomic_store (&e->state, HOLDING);
}

static void
give (void *md)
{
  int n = talk->n_held - 1;
  struct held *e = &talk->held[n];
  atomic_store (&e->state, GIVING);
  mfree (md, e->b.p);
  atomic_store (&e->state, NOTHING);
  atomic_store (&talk->n_held, n);
}

static void
do_pair (void *md)
{
  take (md, 64);
  give (md);
}

static void
do_two_pages (void *md)
{
  take (md, 5000);
  take (md, 20000);
  give (md);
  give (md);
}

static void
do_large (void *md)
{
  take (md, 300000);
  give (md);
}

static void
do_huge (void *md)
{
  take (md, MIB (40));
  give (md);
}

static void
do_root (void *md)
{
  NEED (mmalloc_setroot (md, "victim",
                         (void *) (uintptr_t) talk->root_new) == 0);
}

static void
do_trim (void *md)
{
  NEED (mmalloc_trim (md) >= 0);
}

static void
do_open (void *md)
{
  (void) md;
  kill_open (heap_path, 0, HEAP);
}

static void
do_detach (void *md)
{
  NEED (mmalloc_detach (md) == NULL);
}

static void
do_exit (void *md)
{
  (void) md;
  cache_thread_exit (NULL);
}

/* WARM: blocks of these sizes are made before.  */
static const struct operation
{
  const char *name;
  bool opens;
  size_t warm[2];
  void (*operate) (void *md);
} operations[] = {
  { "malloc and free", false, { 64 }, do_pair },
  { "stream claimed, new page", false, { 0 }, do_pair },
  { "new pages", false, { 64 }, do_two_pages },
  { "large block", false, { 64 }, do_large },
  { "huge block", false, { 64 }, do_huge },
  { "setroot", false, { 64 }, do_root },
  { "trim", false, { 64, 5000 }, do_trim },
  { "open", true, { 0 }, do_open },
  { "detach", false, { 64, 5000 }, do_detach },
  { "thread exit", false, { 64, 5000 }, do_exit },
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };


/* ---- The neighbour ------------------------------------------------------ */

struct round
{
  struct block own[OWN_MAX];
  size_t n_own;
  struct block seen[1024];
  size_t n_seen;
};

static int
see (void *p, size_t size, void *arg)
{
  struct round *r = arg;
  if (r->n_seen < 1024)
    r->seen[r->n_seen++] = (struct block) { p, size, 0 };
  return 0;
}

static struct block *
seen_at (struct round *r, const void *p)
{
  for (size_t i = 0; i < r->n_seen; i++)
    if (r->seen[i].p == p)
      return &r->seen[i];
  return NULL;
}

/* The victim is dead: look, tidy up, work.  */
static void
go_on (void *md, struct round *r)
{
  unsigned unknown = 0, may_leak = 0;
  /* First of all something that takes the locks.  */
  void *first = mmalloc (md, 100000);
  if (first == NULL)
    wrong ("no room: %s", mmalloc_strerror (md));
  if (mmalloc_check (md, wrong_finding, "the neighbour") != 0)
    wrong ("not whole");
  r->n_seen = 0;
  mmalloc_walk (md, see, r);
  for (size_t i = 0; i < r->n_own; i++)
    {
      struct block *b = &r->own[i], *s = seen_at (r, b->p);
      if (s == NULL)
        wrong ("a block of %zu bytes is lost", b->size);
      else if (!kill_holds (b->p, b->size, b->size, b->tag))
        wrong ("the contents of a block of %zu bytes are gone", b->size);
      else
        s->tag = 1;
    }
  if (first != NULL && seen_at (r, first) != NULL)
    seen_at (r, first)->tag = 1;
  for (int i = 0; i < HELD_MAX; i++)
    {
      struct held *e = &talk->held[i];
      if (e->state == NOTHING)
        continue;
      struct block *s = e->state == TAKING ? NULL : seen_at (r, e->b.p);
      if (e->state == TAKING)
        may_leak++;
      else if (s == NULL && e->state == HOLDING)
        wrong ("a block of %zu bytes of the victim is lost", e->b.size);
      else if (s != NULL && s->tag == 1 && e->state == HOLDING)
        wrong ("a block of the victim is somebody else's");
      else if (s != NULL && s->tag == 0)
        {
          /* If it was given back, its place may be a new block by now.  */
          s->tag = 1;
          mfree (md, s->p);
        }
      atomic_store (&e->state, NOTHING);
    }
  atomic_store (&talk->n_held, 0);
  for (size_t i = 0; i < r->n_seen; i++)
    if (r->seen[i].tag == 0)
      {
        unknown++;
        mfree (md, r->seen[i].p);
      }
  if (unknown > may_leak)
    wrong ("%u blocks leaked", unknown);
  mfree (md, first);
  uint64_t root = (uintptr_t) mmalloc_getroot (md, "victim");
  if (root != talk->root_old && root != talk->root_new)
    wrong ("the root is %lu", (unsigned long) root);
  talk->root_old = root;
  talk->root_new = root + 1;
  /* Change one of the own blocks.  */
  struct block *b = &r->own[root % r->n_own];
  static const size_t sizes[] = { 64, 1000, 5000, 20000, 70000 };
  static uint64_t tag;
  mfree (md, b->p);
  b->size = sizes[++tag % 5];
  b->tag = tag;
  b->p = mmalloc (md, b->size);
  if (b->p == NULL)
    broken ("no block");
  kill_fill (b->p, b->size, b->tag);
  if (tag % 16 == 0 && mmalloc_trim (md) < 0)
    wrong ("trim");
}

static void
neighbour (void)
{
  static struct round round;
  void *md = kill_open (heap_path, MMALLOC_CREATE, HEAP);
  mmalloc_onmisuse (wrong_misuse, NULL);
  for (size_t i = 0; i < OWN_MAX / 2; i++)
    {
      struct block *b = &round.own[round.n_own++];
      b->size = (size_t) 16 << i % 8;
      b->tag = i;
      b->p = mmalloc (md, b->size);
      NEED (b->p != NULL);
      kill_fill (b->p, b->size, b->tag);
    }
  NEED (mmalloc_setroot (md, "victim", (void *) 1) == 0);
  talk->root_old = talk->root_new = 1;
  go_on (md, &round);
  char byte = 0;
  do
    {
      alarm (0);
      NEED (write (answers[1], &byte, 1) == 1);
      if (read (commands[0], &byte, 1) != 1)
        break;
      alarm (kill_patience ());
      go_on (md, &round);
    }
  while (true);
  /* A newcomer finds the heap as a death leaves it.  */
  _exit (0);
}

/* Let the neighbour go on, if TOLD, and wait until it has; false if it is
   gone.  */
static bool
neighbour_answers (pid_t pid, bool told)
{
  char byte = 0;
  if (told)
    NEED (write (commands[1], &byte, 1) == 1);
  if (read (answers[0], &byte, 1) == 1)
    return true;
  int status = kill_wait (pid);
  if (WIFSIGNALED (status) && WTERMSIG (status) == SIGALRM)
    wrong ("the neighbour hangs");
  else
    wrong ("the neighbour ended with status 0x%x", status);
  return false;
}


/* ---- The victim --------------------------------------------------------- */

/* Kill a victim after K instructions; true if the operation was over before.
   *STEPS gets how many there were.  */
static bool
kill_one (const struct operation *op, long k, long *steps)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *md = NULL;
      if (!op->opens)
        {
          md = kill_open (heap_path, 0, HEAP);
          for (int i = 0; i < 2 && op->warm[i] != 0; i++)
            {
              take (md, op->warm[i]);
              give (md);
            }
        }
      close (commands[1]);
      close (answers[0]);
      trace_me ();
      trace_begin ();
      op->operate (md);
      trace_end ();
      for (;;)
        pause ();
    }
  alarm (kill_patience ());
  trace_await (pid);
  bool over = false;
  for (*steps = 0; *steps < k && !over; ++*steps)
    {
      trace_once (pid);
      over = trace_is_at (pid, trace_end);
    }
  alarm (0);
  kill_process (pid);
  return over;
}

static int
newcomer (void)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      alarm (kill_patience ());
      void *md = kill_open (heap_path, 0, HEAP);
      void *p = mmalloc (md, 100);
      if (p == NULL)
        wrong ("the newcomer finds no room");
      if (mmalloc_check (md, wrong_finding, "the newcomer") != 0)
        wrong ("the newcomer finds damage");
      if (mmalloc_trim (md) < 0 || mmalloc_detach (md) != NULL)
        wrong ("the newcomer cannot trim or detach");
      _exit (0);
    }
  return kill_wait (pid);
}

/* False if something was wrong.  */
static bool
run (const struct operation *op, long deaths)
{
  long steps = 0, n = 0, stride = 1;
  bool all = deaths == 0;
  double start = kill_seconds ();
  memset (talk, 0, sizeof *talk);
  unlink (heap_path);
  NEED (pipe2 (commands, O_CLOEXEC) == 0 && pipe2 (answers, O_CLOEXEC) == 0);
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      close (commands[1]);
      close (answers[0]);
      neighbour ();
    }
  close (commands[0]);
  close (answers[1]);
  bool lives = neighbour_answers (pid, false);
  /* How long is it?  The heap changes, and the length with it.  */
  if (lives)
    {
      NEED (kill_one (op, LONG_MAX, &steps));
      lives = neighbour_answers (pid, true);
      /* Not so many where each is expensive.  */
      if (deaths > 120000 / steps + 10)
        deaths = 120000 / steps + 10;
      if (all)
        deaths = steps;
      if (steps > deaths)
        stride = steps / deaths;
    }
  for (long k = 0; lives && !talk->wrong.failed; k += stride)
    {
      bool over = kill_one (op, k, &steps);
      n++;
      lives = neighbour_answers (pid, true);
      if (talk->wrong.failed)
        printf ("  %s, killed after instruction %ld: %s\n", op->name, k,
                talk->wrong.text);
      if (over)
        break;
    }
  close (commands[1]);
  close (answers[0]);
  if (lives)
    kill_wait (pid);
  if (!talk->wrong.failed && newcomer () != 0)
    wrong ("the newcomer hangs or crashes");
  if (talk->wrong.failed && lives)
    printf ("  %s: %s\n", op->name, talk->wrong.text);
  printf ("%-30s %6ld deaths, every %ld of %ld instructions, %.1f s%s\n",
          op->name, n, stride, steps, kill_seconds () - start,
          talk->wrong.failed ? "  FAILED" : "");
  fflush (stdout);
  return !talk->wrong.failed;
}

int
main (int argc, char **argv)
{
  int checks = 0, failures = 0;
  long deaths = (long) setting ("MMALLOC_KILL_REAL", 8);
  if (!trace_works ())
    return KILL_SKIPPED;
  trace_on_one_processor ();
  talk = kill_shared (sizeof *talk);
  wrong_first = &talk->wrong;
  kill_make_dir ();
  for (size_t i = 0; i < N_OPERATIONS; i++)
    {
      if (!kill_wants (operations[i].name, argc, argv))
        continue;
      checks++;
      failures += !run (&operations[i], deaths);
    }
  kill_remove_dir ();
  return closing_line (checks, failures, 0);
}
