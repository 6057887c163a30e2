/* mmalloc_makeroot between processes: one makes the root, the others wait for
   it, and if it is killed another one does; stopped, forked, read-only.

   MMALLOC_TEST_ROUNDS=n   races, twice; make check-kill has a million  */

#include "inside.h"

#include <setjmp.h>
#include <sys/mman.h>
#include <sys/syscall.h>

/* Threads that race, in three processes or in one.  */
enum { RACERS = 6 };

static struct shared
{
  atomic_ulong round;           /* that may begin */
  atomic_uint arrived, ran, gone;
  atomic_uint made;             /* INITs that ran to the end */
  int processes;                /* that race */
} *the;

static void *md;

struct thing
{
  atomic_ulong runs;
  unsigned long check;
};

static void
begin (void)
{
  the = mmap (NULL, sizeof *the, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (the, MAP_FAILED);
  heap_end (heap_file ());
}

static int
init (void *root, size_t size, void *arg)
{
  struct thing *t = root;
  must (size == sizeof *t && t->runs == 0 && t->check == 0);
  atomic_fetch_add (&the->ran, 1);
  t->check = arg != NULL ? *(unsigned long *) arg : 1;
  return 0;
}

static struct thing *
make (const char *name)
{
  struct thing *t = mmalloc_makeroot (md, name, sizeof *t, init, NULL);
  if (t != NULL)
    must (t->check == 1);
  return t;
}

static void
is_whole (size_t blocks)
{
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, blocks);
}

/* So many other processes work on it: a record of each can be of no use for a
   moment.  */
static void
no_record_is_left (void)
{
  struct heap *h = (struct heap *) *door_place (md, true);
  for (int i = 0; i < MM_OPS; i++)
    ck_assert_uint_eq (h->op[i].owner, 0);
}


/* The operation record of root NAME, or NULL: nobody makes it.  */
static struct disk_op *
record_of (const char *name)
{
  struct heap *h = (struct heap *) *door_place (md, true);
  struct wish w = { .name = name, .len = strlen (name) };
  for (int i = 0; i < MM_OPS; i++)
    if (op_makes_root (&h->op[i]) && maker_is_for (h, &h->op[i], &w))
      return &h->op[i];
  return NULL;
}


/* ---- Races -------------------------------------------------------------- */

static unsigned long
rounds (void)
{
  const char *n = getenv ("MMALLOC_TEST_ROUNDS");
  return n != NULL ? strtoul (n, NULL, 10) : 3000;
}

/* Wait until all are here, or somebody has failed.  */
static void
meet (unsigned long round)
{
  if (atomic_fetch_add (&the->arrived, 1) + 1 == RACERS)
    {
      atomic_store (&the->arrived, 0);
      atomic_store (&the->round, round + 1);
      return;
    }
  while (atomic_load (&the->round) <= round)
    {
      must (atomic_load (&the->gone) == 0);
      sched_yield ();
    }
}

/* Others come meanwhile.  */
static int
race_init (void *root, size_t size, void *check)
{
  if (*(unsigned long *) check % 2 == 0)
    sched_yield ();
  return init (root, size, check);
}

/* Each round begins with no root, all make it, and one takes it away.  */
static void *
run (void *first)
{
  unsigned long n = rounds (), turn = 0;
  for (unsigned long i = 0; i < n; i++)
    {
      char name[20];
      snprintf (name, sizeof name, "root %lu", i % 7);
      meet (turn++);
      struct thing *t = mmalloc_makeroot (md, name, sizeof *t, race_init, &i);
      must (t != NULL && t->check == i);
      atomic_fetch_add (&t->runs, 1);
      meet (turn++);
      if (first == NULL)
        continue;
      must (t->runs == RACERS);
      must (atomic_load (&the->ran) == i + 1);
      must (mmalloc_setroot (md, name, NULL) == 0);
      mfree (md, t);
    }
  return NULL;
}

static void
racer (void *first)
{
  pthread_t t[RACERS];
  md = heap_file ();
  for (int i = 0; i < RACERS / the->processes; i++)
    t[i] = thread_start (run, i == 0 ? first : NULL);
  for (int i = 0; i < RACERS / the->processes; i++)
    thread_end (t[i]);
  heap_end (md);
}

START_TEST (races)
{
  struct child child[RACERS];
  begin ();
  the->processes = _i == 0 ? 3 : 1;
  for (int i = 0; i < the->processes; i++)
    child[i] = child_start (racer, i == 0 ? the : NULL);
  for (int i = 0; i < the->processes; i++)
    {
      int status = child_end (child[i]);
      if (status != 0)
        atomic_store (&the->gone, 1);
      ck_assert_int_eq (status, 0);
    }
  md = heap_file ();
  is_whole (0);
  no_record_is_left ();
  ck_assert_uint_eq (the->ran, rounds ());
  printf ("%lu races of %d threads in %d processes, made %u times\n",
          rounds (), RACERS, the->processes, the->ran);
}
END_TEST


/* ---- The maker is killed, stopped, forks -------------------------------- */

/* Says that it has begun, and goes on when it is told.  */
static int
slow_init (void *root, size_t size, void *name)
{
  if (name != NULL)
    must (mmalloc_makeroot (md, name, size, slow_init, NULL) != NULL);
  else
    {
      baton_pass (baton);
      baton_wait (baton);
    }
  return init (root, size, NULL);
}

static void
slow_maker (void *inner)
{
  md = heap_file ();
  must (mmalloc_makeroot (md, "a", sizeof (struct thing), slow_init, inner)
        != NULL);
  heap_end (md);
}

/* Wants what the slow one makes.  */
static void
waiter (void *name)
{
  md = heap_file ();
  struct thing *t = make (name);
  must (t != NULL);
  atomic_fetch_add (&t->runs, 1);
  atomic_fetch_add (&the->made, 1);
  heap_end (md);
}

/* Until the child sleeps.  */
static void
until_waiting (struct child child)
{
  while (!is_waiting (child, SYS_clock_nanosleep)
         && !is_waiting (child, SYS_nanosleep))
    sched_yield ();
}

START_TEST (maker_killed)
{
  begin ();
  struct child maker = child_start (slow_maker, _i == 0 ? NULL : (void *) "b");
  baton_wait (maker.baton);
  struct child a = child_start (waiter, "a");
  struct child b = child_start (waiter, _i == 0 ? "a" : "b");
  until_waiting (a);
  until_waiting (b);
  ck_assert_uint_eq (the->made, 0);
  md = heap_file ();
  ck_assert_ptr_null (mmalloc_getroot (md, "a"));
  kill (maker.pid, SIGKILL);
  ck_assert_int_eq (child_end (maker), 128 + SIGKILL);
  ck_assert_int_eq (child_end (a), 0);
  ck_assert_int_eq (child_end (b), 0);
  ck_assert_uint_eq (the->ran, _i == 0 ? 1 : 2);
  struct thing *t = make ("a");
  ck_assert_uint_eq (t->runs, _i == 0 ? 2 : 1);
  is_whole (_i == 0 ? 1 : 2);
  no_record_is_left ();
}
END_TEST

/* Nobody waits: the next one who opens the heap frees the blocks.  */
START_TEST (all_killed)
{
  begin ();
  struct child maker = child_start (slow_maker, _i == 0 ? NULL : (void *) "b");
  baton_wait (maker.baton);
  kill (maker.pid, SIGKILL);
  ck_assert_int_eq (child_end (maker), 128 + SIGKILL);
  md = heap_file ();
  is_whole (0);
  no_record_is_left ();
  ck_assert_ptr_nonnull (make ("a"));
  is_whole (1);
}
END_TEST

/* That this thread has made a root with the same record means nothing.  */
static void
records_of_others_are_not_ours (void)
{
  struct heap *h = (struct heap *) *door_place (md, true);
  must (lock_heap (h));
  struct disk_op *op = record_of ("a");
  struct making *m = &h->making[op - h->op];
  m->by = library_thread.number;
  m->turn = op->turn - 1;
  must (m->by != 0 && !op_is_ours (h, op));
  m->turn = op->turn;
  must (op_is_ours (h, op));
  m->by = 0;
  unlock_heap (h);
}

START_TEST (maker_stopped)
{
  begin ();
  struct child maker = child_start (slow_maker, NULL);
  baton_wait (maker.baton);
  kill (maker.pid, SIGSTOP);
  struct child a = child_start (waiter, "a");
  until_waiting (a);
  /* What others do goes on.  */
  md = heap_file ();
  ck_assert_ptr_nonnull (make ("other"));
  ck_assert_int_eq (mmalloc_recover (md), 0);
  records_of_others_are_not_ours ();
  until_waiting (a);
  ck_assert_uint_eq (the->made, 0);
  kill (maker.pid, SIGCONT);
  baton_pass (maker.baton);
  ck_assert_int_eq (child_end (maker), 0);
  ck_assert_int_eq (child_end (a), 0);
  ck_assert_uint_eq (the->ran, 2);
  is_whole (2);
}
END_TEST

/* A dead one waited for us: no circle.  */
static void
dead_in_circle (void *unused)
{
  (void) unused; baton_wait (baton); md = heap_file (); must (mmalloc_makeroot
  (md, "b", sizeof (struct thing), slow_init, (void *) "a")
        != NULL);
}

static int
needs_b (void *root, size_t size, void *arg)
{
  struct child *other = arg;
  (void) root, (void) size;
  baton_pass (other->baton);
  until_waiting (*other);
  kill (other->pid, SIGKILL);
  ck_assert_int_eq (child_end (*other), 128 + SIGKILL);
  must (make ("b") != NULL);
  return 0;
}

START_TEST (dead_waiter)
{
  begin ();
  struct child other = child_start (dead_in_circle, NULL);
  md = heap_file ();
  must (mmalloc_makeroot (md, "a", 100, needs_b, &other) != NULL);
  is_whole (2);
}
END_TEST

/* A process jumps out of the function and lets the heap go: another one makes
   the root.  */
static jmp_buf outside;

static int
jumps (void *root, size_t size, void *arg)
{
  (void) root, (void) size, (void) arg;
  longjmp (outside, 1);
}

static void
jumper (void *unused)
{
  (void) unused;
  md = heap_file ();
  if (setjmp (outside) == 0)
    mmalloc_makeroot (md, "a", sizeof (struct thing), jumps, NULL);
  baton_pass (baton);
  baton_wait (baton);
  heap_end (md);
  baton_pass (baton);
  baton_wait (baton);
}

START_TEST (maker_leaves)
{
  begin ();
  struct child maker = child_start (jumper, NULL);
  baton_wait (maker.baton);
  struct child a = child_start (waiter, "a");
  until_waiting (a);
  baton_pass (maker.baton);
  baton_wait (maker.baton);
  ck_assert_int_eq (child_end (a), 0);
  baton_pass (maker.baton);
  ck_assert_int_eq (child_end (maker), 0);
  ck_assert_uint_eq (the->ran, 1);
  md = heap_file ();
  is_whole (1);
  no_record_is_left ();
}
END_TEST

/* Who waited for a root that is made by now, and has not looked since, waits
   for nobody: not for what is made with the same record.  */
static atomic_int calls;

static int
needs_a (void *root, size_t size, void *arg)
{
  struct heap *h = (struct heap *) *door_place (md, true);
  struct disk_op *op = record_of ("b");
  (void) root, (void) arg;
  record_of ("a")->moved = maker_number (h, op) - 256;
  atomic_store (&calls, 1);
  must (mmalloc_makeroot (md, "a", size, NULL, NULL) != NULL);
  return 0;
}

static void *
make_b (void *unused)
{
  must (mmalloc_makeroot (md, "b", 100, needs_a, NULL) != NULL);
  return unused;
}

static int
until_b_waits (void *root, size_t size, void *other)
{
  (void) root, (void) size;
  *(pthread_t *) other = thread_start (make_b, NULL);
  while (atomic_load (&calls) == 0)
    sched_yield ();
  /* It is told at once that there is a circle, or it waits.  */
  while (record_of ("b") != NULL && record_of ("b")->moved == 0)
    sched_yield ();
  return 0;
}

/* The thread that makes "a" waited for "b" until somebody set that, and waits
   for nobody any more: who makes "b" is not refused "a".  */
static int
wants_a (void *root, size_t size, void *arg)
{
  (void) root, (void) arg;
  atomic_store (&calls, 1);
  while (atomic_load (&calls) == 1)
    sched_yield ();
  must (mmalloc_makeroot (md, "a", size, NULL, NULL) != NULL);
  return 0;
}

static void *
make_b_want_a (void *unused)
{
  must (mmalloc_makeroot (md, "b", 100, wants_a, NULL) != NULL);
  return unused;
}

static void *
set_b (void *block)
{
  while (record_of ("a")->moved == 0)
    sched_yield ();
  must (mmalloc_setroot (md, "b", block) == 0);
  return NULL;
}

static int
until_b_is_set (void *root, size_t size, void *other)
{
  (void) root, (void) size;
  pthread_t *thread = other;
  thread[0] = thread_start (make_b_want_a, NULL);
  while (atomic_load (&calls) == 0)
    sched_yield ();
  char *block = mmalloc (md, 200);
  thread[1] = thread_start (set_b, block);
  must (mmalloc_makeroot (md, "b", 100, NULL, NULL) == block);
  atomic_store (&calls, 2);
  while (record_of ("b")->moved == 0)
    sched_yield ();
  return 0;
}

START_TEST (wait_is_over)
{
  pthread_t other[2];
  begin ();
  md = heap_file ();
  must (mmalloc_makeroot (md, "a", 100, until_b_is_set, other) != NULL);
  thread_end (other[0]);
  thread_end (other[1]);
  is_whole (2);
  no_record_is_left ();
}
END_TEST

/* Another made the root between the first look and the lock.  */
START_TEST (made_meanwhile)
{
  begin ();
  md = heap_file ();
  struct wish w = { .md = md, .name = "a", .len = 1, .size = 1 };
  struct heap *h = (struct heap *) *door_place (md, true);
  ck_assert_ptr_nonnull (make ("a"));
  struct disk_op *op = slot_begin (h, md, NULL);
  must (lock_heap (h));
  int err = maker_look_locked (h, &w, op);
  unlock_heap (h);
  op_release (h, op);
  ck_assert_int_eq (err, MAKER_AGAIN);
}
END_TEST

/* A root that is set meanwhile, in the same chain, gets another record.  */
static char cousin[20];

static int
sets_cousin (void *root, size_t size, void *arg)
{
  (void) root, (void) size;
  must (mmalloc_setroot (md, cousin, arg) == 0);
  return 0;
}

START_TEST (root_set_meanwhile)
{
  uint32_t wanted = (uint32_t) sum_bytes ("made 0000000", 12) % MM_BUCKETS;
  unsigned n = 0;
  begin ();
  md = heap_file ();
  do
    snprintf (cousin, sizeof cousin, "made %07u", ++n);
  while ((uint32_t) sum_bytes (cousin, 12) % MM_BUCKETS != wanted);
  void *made = mmalloc_makeroot (md, "made 0000000", 100, sets_cousin, &n);
  ck_assert_ptr_nonnull (made);
  ck_assert_ptr_eq (mmalloc_getroot (md, "made 0000000"), made);
  ck_assert_ptr_eq (mmalloc_getroot (md, cousin), &n);
  is_whole (1);
}
END_TEST

START_TEST (record_used_again)
{
  pthread_t other;
  begin ();
  md = heap_file ();
  must (mmalloc_makeroot (md, "a", 100, until_b_waits, &other) != NULL);
  thread_end (other);
  is_whole (2);
  no_record_is_left ();
}
END_TEST

static int
is_in_file (void)
{
  return ((struct heap *) *door_place (md, true))->file.fd >= 0;
}

static int
forks (void *root, size_t size, void *arg)
{
  pid_t *child = arg;
  *child = fork ();
  if (*child == 0)
    {
      /* Not the child's to make, nor to wait for.  An anonymous heap is a
         copy, in which nobody makes the root any more.  */
      errno = 0;
      void *p = mmalloc_makeroot (md, "a", size, init, NULL);
      must (is_in_file () ? p == NULL && errno == EDEADLK : p != NULL);
      must (make ("of the child") != NULL);
      atomic_store (&the->made, 1);
      return 0;
    }
  while (atomic_load (&the->made) == 0)
    must (waitpid (*child, NULL, WNOHANG) == 0);
  return init (root, size, NULL);
}

START_TEST (fork_in_init)
{
  pid_t child;
  int status;
  begin ();
  md = _i == 0 ? heap_file () : mmalloc_open (NULL, 0, NULL);
  struct thing *t = mmalloc_makeroot (md, "a", sizeof *t, forks, &child);
  if (child == 0)
    {
      must (t == NULL && errno == ECANCELED);
      /* Another child's is a new one.  */
      t = make ("a");
      must (t != NULL);
      atomic_fetch_add (&t->runs, 1);
      _exit (0);
    }
  ck_assert_ptr_nonnull (t);
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
  ck_assert_uint_eq (t->runs, _i == 0 ? 1 : 0);
  ck_assert_ptr_eq (mmalloc_getroot (md, "a"), t);
  is_whole (_i == 0 ? 2 : 1);
}
END_TEST

START_TEST (read_only)
{
  begin ();
  md = heap_file ();
  ck_assert_ptr_nonnull (make ("a"));
  heap_end (md);
  md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_ptr_nonnull (md);
  ck_assert_ptr_nonnull (make ("a"));
  must_give ((intmax_t) make ("b"), 0, EROFS);
  must_give ((intmax_t) mmalloc_makeroot (md, "a", 10000, NULL, NULL), 0,
             EINVAL);
  heap_end (md);
  /* At another address: as mmalloc_getroot, and the size is seen.  */
  md = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
  ck_assert_ptr_nonnull (md);
  ck_assert_ptr_eq (mmalloc_makeroot (md, "a", 10, NULL, NULL),
                    mmalloc_getroot (md, "a"));
  ck_assert_ptr_nonnull (mmalloc_getroot (md, "a"));
  must_give ((intmax_t) mmalloc_makeroot (md, "a", 10000, NULL, NULL), 0,
             EINVAL);
  must_give ((intmax_t) make ("b"), 0, EROFS);
  heap_end (md);
}
END_TEST

RUN_KINDS (2, races, maker_killed, all_killed, maker_stopped, dead_waiter,
           maker_leaves, made_meanwhile, root_set_meanwhile, record_used_again,
           wait_is_over, fork_in_init, read_only)
