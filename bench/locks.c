/* locks.c - what a lock of the library's own costs, beside mutexes.

       locks [ROUNDS]    a table: ns per pair of taking and releasing it

   The lock is the one that tests/model_lock.c specifies: a word in shared
   memory with the owner's number and a bit for those who wait.  Nobody dies
   here, so nobody is asked about.

   One thread: its own time on the processor.  Two threads, which add to a
   number under the lock and to others of their own outside: time on the clock
   for the pairs of both, divided by their number; the machine should have
   nothing else to do.  Medians and minima of interleaved rounds.  */

#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { N_PAIRS = 2000000, MAX_ROUNDS = 101, ME = 1 << 1, OUTSIDE = 20 };

static struct shared
{
  _Alignas (64) _Atomic uint32_t word;
  _Alignas (64) pthread_mutex_t plain;
  _Alignas (64) pthread_mutex_t robust;
  _Alignas (64) uint64_t number;
} *shared;


/* ---- The locks --------------------------------------------------------- */

static long
futex (int what, uint32_t value, const struct timespec *t)
{
  return syscall (SYS_futex, &shared->word, what, value, t, NULL, 0);
}

/* SPIN times one looks whether it is free, before going to sleep.  */
static void __attribute__ ((__noinline__))
word_wait (int spin)
{
  long us = 100;
  uint32_t w, waited = 0;
  for (;;)
    {
      w = atomic_load_explicit (&shared->word, memory_order_acquire);
      for (int i = 0; w != 0 && i < spin; i++)
        w = atomic_load_explicit (&shared->word, memory_order_acquire);
      if (w == 0)
        {
          if (atomic_compare_exchange_weak_explicit
                (&shared->word, &w, ME | waited, memory_order_acq_rel,
                 memory_order_relaxed))
            return;
          continue;
        }
      if (!(w & 1)
          && !atomic_compare_exchange_weak_explicit
                (&shared->word, &w, w | 1, memory_order_relaxed,
                 memory_order_relaxed))
        continue;
      futex (FUTEX_WAIT, w | 1, &(struct timespec){ .tv_nsec = us * 1000 });
      us = us < 25000 ? us * 2 : 50000;
      waited = 1;
    }
}

static inline void
word_take (int spin)
{
  uint32_t w = 0;
  if (!atomic_compare_exchange_strong_explicit
         (&shared->word, &w, ME, memory_order_acq_rel, memory_order_relaxed))
    word_wait (spin);
}

static inline void
word_give (void)
{
  uint32_t w = ME;
  if (atomic_compare_exchange_strong_explicit
        (&shared->word, &w, 0, memory_order_release, memory_order_relaxed))
    return;
  atomic_exchange_explicit (&shared->word, 0, memory_order_release);
  futex (FUTEX_WAKE, 1, NULL);
}

static _Thread_local volatile uint64_t own;

/* The operations: a pair each, with a store between.  */
#define LOOP(name, take, give) \
  static void \
  name (size_t n, size_t outside) \
  { \
    for (size_t i = 0; i < n; i++) \
      { \
        take; \
        shared->number++; \
        give; \
        for (size_t j = 0; j < outside; j++) \
          own = j; \
      } \
  }
LOOP (loop_word, word_take (0), word_give ())
LOOP (loop_word_spin, word_take (100), word_give ())
LOOP (loop_plain, pthread_mutex_lock (&shared->plain),
      pthread_mutex_unlock (&shared->plain))
LOOP (loop_robust, pthread_mutex_lock (&shared->robust),
      pthread_mutex_unlock (&shared->robust))

static const struct
{
  const char *name;
  void (*loop) (size_t n, size_t outside);
} locks[] =
{
  { "word", loop_word },
  { "word, looks 100 times", loop_word_spin },
  { "mutex", loop_plain },
  { "robust mutex", loop_robust }
};
enum { N_LOCKS = sizeof locks / sizeof *locks, N_COLUMNS = 2 };

static void
locks_make (void)
{
  pthread_mutexattr_t attr;
  pthread_mutexattr_init (&attr);
  pthread_mutexattr_setpshared (&attr, PTHREAD_PROCESS_SHARED);
  pthread_mutex_init (&shared->plain, &attr);
  pthread_mutexattr_setrobust (&attr, PTHREAD_MUTEX_ROBUST);
  pthread_mutex_init (&shared->robust, &attr);
  pthread_mutexattr_destroy (&attr);
}


/* ---- Measuring --------------------------------------------------------- */

static double times[N_LOCKS][N_COLUMNS][MAX_ROUNDS];

static double
now (clockid_t clock)
{
  struct timespec t;
  clock_gettime (clock, &t);
  return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static void *
work (void *arg)
{
  size_t i = *(const size_t *) arg;
  locks[i].loop (N_PAIRS / 4, OUTSIDE);
  return NULL;
}

static double
measure (size_t i, int threads)
{
  pthread_t other;
  if (threads == 1)
    {
      double start = now (CLOCK_THREAD_CPUTIME_ID);
      locks[i].loop (N_PAIRS, 0);
      return (now (CLOCK_THREAD_CPUTIME_ID) - start) / N_PAIRS;
    }
  double start = now (CLOCK_MONOTONIC);
  if (pthread_create (&other, NULL, work, &i) != 0)
    abort ();
  work (&i);
  pthread_join (other, NULL);
  return (now (CLOCK_MONOTONIC) - start) / (N_PAIRS / 4 * 2);
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

int
main (int argc, char **argv)
{
  size_t rounds = argc > 1 ? strtoul (argv[1], NULL, 10) : 15;
  rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED)
    return 1;
  locks_make ();
  /* The first thread makes glibc's mutexes slower for good.  */
  for (size_t i = 0; i < N_LOCKS; i++)
    measure (i, 2);
  for (size_t r = 0; r < rounds; r++)
    for (int c = 0; c < N_COLUMNS; c++)
      for (size_t i = 0; i < N_LOCKS; i++)
        times[i][c][r] = measure (i, c + 1);
  printf ("ns per pair, median (minimum) of %zu interleaved rounds; times the"
          " first\n\n%-24s %-24s %s\n", rounds, "", "1 thread", "2 threads");
  for (size_t i = 0; i < N_LOCKS; i++)
    {
      printf ("%-24s", locks[i].name);
      for (int c = 0; c < N_COLUMNS; c++)
        {
          double *t = times[i][c], *first = times[0][c];
          qsort (t, rounds, sizeof *t, by_value);
          printf (" %6.1f (%6.1f) %4.2f   ", t[rounds / 2], t[0],
                  t[rounds / 2] / first[rounds / 2]);
        }
      printf ("\n");
    }
  return 0;
}
