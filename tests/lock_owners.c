/* The locks in a heap name the process that has them.  Whoever waits asks
   whether that lives, takes over from the dead, and from nobody else; what the
   dead one left is finished first.  The protocol in all its states:
   model_lock.c.  */

#include "inside.h"

#include <sys/mman.h>
#include <sys/wait.h>

static void *md;
static struct heap *h;

static void
enter (void)
{
  md = heap_file ();
  h = (struct heap *) *door_place (md, true);
}

static uint32_t
number_of (uint64_t id)
{
  return (uint32_t) id;
}

static uint64_t
id_of (uint32_t number)
{
  return (uint64_t) h->epoch << 32 | number;
}

/* A second user, who does what he is told before he waits to be killed.  */
enum order { NOTHING, TAKES_LOCK, COMES_IN };

static void
second (void *order)
{
  enter ();
  struct disk_proc *e = &h->procs[h->entry];
  if (order == (void *) COMES_IN)
    {
      /* As one who has to bury the last owner of his entry first.  */
      word_publish (&e->coming, h->id);
      word_publish (&e->id, id_of (1000));
    }
  if (order != (void *) NOTHING)
    must (lock_heap (h));
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

static struct child
second_start (enum order order)
{
  struct child child = child_start (second, (void *) order);
  baton_wait (child.baton);
  return child;
}

static void
second_kill (struct child child)
{
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
}

static bool
is_dead (uint32_t number)
{
  return lock_is_of_dead (h, number);
}

START_TEST (questions)
{
  enter ();
  ck_assert (!is_dead (number_of (h->id)));
  /* Such a number nobody has.  */
  ck_assert (is_dead (1000));
  ck_assert (is_dead (0));
  struct child child = second_start (NOTHING);
  struct disk_proc *e = &h->procs[1];
  uint32_t number = number_of (word_see (&e->id));
  ck_assert_uint_eq (number, 2);
  ck_assert (!is_dead (number));
  second_kill (child);
  ck_assert (is_dead (number));
  heap_end (md);
}
END_TEST

/* The entry of a newcomer stands for him, and not for the one before.  */
START_TEST (newcomers)
{
  enter ();
  struct child child = second_start (COMES_IN);
  ck_assert (!is_dead (2));
  ck_assert (is_dead (1000));
  ck_assert_int_eq (lock_slowly (h, &h->locks->heap.word, false), LOCK_BUSY);
  second_kill (child);
  ck_assert (is_dead (2));
  /* What was to be buried by him is buried by others.  */
  must (dead_bury_all (h));
  ck_assert_uint_eq (word_see (&h->procs[1].id), 0);
  h->procs[1].coming = 0;
  heap_end (md);
}
END_TEST

/* An entry of this process that names another one: that is dead.  */
START_TEST (the_one_before)
{
  enter ();
  struct disk_proc *e = &h->procs[h->entry];
  word_publish (&e->coming, h->id);
  word_publish (&e->id, id_of (1000));
  ck_assert (is_dead (1000));
  ck_assert (!is_dead (number_of (h->id)));
  word_publish (&e->id, h->id);
  word_publish (&e->coming, 0);
  heap_end (md);
}
END_TEST

static void *
waits (void *unused)
{
  (void) unused;
  must (lock_heap (h));
  unlock_heap (h);
  return NULL;
}

/* Who waits goes on when the holder has died, and has finished what he left;
   as long as he lives, also if he is stopped, nobody gets the lock.  */
START_TEST (taken_over)
{
  enter ();
  void *p = mmalloc (md, 1000);
  (void) p;
  struct child child = second_start (TAKES_LOCK);
  disk_u32 *word = &h->locks->heap.word;
  ck_assert_uint_eq (word_see (word), 2 << 1);
  ck_assert_int_eq (lock_slowly (h, word, false), LOCK_BUSY);
  ck_assert_int_eq (kill (child.pid, SIGSTOP), 0);
  ck_assert_int_eq (lock_slowly (h, word, false), LOCK_BUSY);
  uint64_t stale = word_peek (&h->locks->index_epoch);
  pthread_t thread = thread_start (waits, NULL);
  while (word_see (word) != (2 << 1 | 1))
    sched_yield ();
  second_kill (child);
  thread_end (thread);
  ck_assert_uint_eq (word_see (word), 0);
  ck_assert_uint_ne (word_peek (&h->locks->index_epoch), stale);
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

/* Who does not wait gets the lock of the dead, too.  */
START_TEST (tried)
{
  enter ();
  struct child child = second_start (TAKES_LOCK);
  second_kill (child);
  disk_u32 *word = &h->locks->heap.word;
  ck_assert_int_eq (lock_take (h, word, false), LOCK_OF_DEAD);
  ck_assert_uint_eq (word_see (word), number_of (h->id) << 1 | 1);
  needs.heap = h;
  dead_owner_locked (h);
  needs.heap = NULL;
  lock_release (h, word);
  ck_assert_uint_eq (word_see (word), 0);
  heap_end (md);
}
END_TEST

/* Nobody lets go of what is another's: a fork child that comes out of a signal
   handler finds its parent's.  */
START_TEST (not_ones_own)
{
  enter ();
  disk_u32 *word = &h->locks->grow.word;
  for (uint32_t value = 1000; value < 1002; value++)
    {
      word_put (word, value);
      lock_release (h, word);
      ck_assert_uint_eq (word_see (word), value);
    }
  word_put (word, 0);
  lock_release (h, word);
  ck_assert_uint_eq (word_see (word), 0);
  heap_end (md);
}
END_TEST

/* One at a time, and all of them: threads of several processes, with and
   without futexes.  */
enum { ROUNDS = 3000, PROCESSES = 3, THREADS = 3 };
static struct { long count, again; } *sum;

static void *
count (void *unused)
{
  for (int i = 0; i < ROUNDS; i++)
    {
      must (lock_grow (h));
      long n = *(volatile long *) &sum->count;
      if (i % 64 == 0)
        sched_yield ();
      *(volatile long *) &sum->count = n + 1;
      unlock_grow (h);
    }
  return unused;
}

static void
counts (void *unused)
{
  pthread_t t[THREADS];
  (void) unused;
  enter ();
  for (int i = 0; i < THREADS; i++)
    t[i] = thread_start (count, NULL);
  for (int i = 0; i < THREADS; i++)
    thread_end (t[i]);
  heap_end (md);
}

START_TEST (one_at_a_time)
{
  struct child child[PROCESSES];
  sum = mmap (NULL, sizeof *sum, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (sum, MAP_FAILED);
  enter ();
  for (int i = 0; i < PROCESSES; i++)
    child[i] = child_start (counts, NULL);
  for (int i = 0; i < PROCESSES; i++)
    ck_assert_int_eq (child_end (child[i]), 0);
  ck_assert_int_eq (sum->count, (long) ROUNDS * PROCESSES * THREADS);
  heap_end (md);
}
END_TEST

/* What the last user took with him into death, numbers begin again after him.
   */
static void
takes_all (void *unused)
{
  (void) unused;
  enter ();
  must (number_of (h->id) == 1);
  must (lock_stream (h, 1, true));
  must (lock_grow (h));
  must (lock_heap (h));
  raise (SIGKILL);
}

START_TEST (of_the_last_epoch)
{
  ck_assert_int_eq (child_run (takes_all, NULL), 128 + SIGKILL);
  enter ();
  ck_assert_uint_eq (number_of (h->id), 1);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (5)));
  ck_assert (lock_stream (h, 1, true));
  unlock_stream (h, off_stream (h, 1));
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

/* The numbers of an epoch are used up.  */
START_TEST (no_number_left)
{
  enter ();
  word_put (&h->locks->n_entered, INT32_MAX);
  pid_t pid = fork ();
  if (pid == 0)
    {
      must_fail (md, mmalloc (md, 100), ENOLCK);
      must (strstr (mmalloc_strerror (md), "2147483648") != NULL);
      _exit (0);
    }
  int status;
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert_int_eq (status, 0);
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  heap_end (md);
}
END_TEST

RUN_TESTS (questions, newcomers, the_one_before, taken_over, tried,
           not_ones_own, one_at_a_time, of_the_last_epoch, no_number_left)
