/* locks.c - what a lock of the library's own costs, beside mutexes.

       locks [ROUNDS]    a table: ns per pair of taking and releasing it

   The lock is that of a heap, which is compiled in here: a word in the heap with
   the owner's number and a bit for those who wait.  Nobody dies here, so nobody
   is asked about; how long that takes, tests/kill/waiter tells.

   One thread: its own time on the processor.  Two threads, which add to a
   number under the lock and to others of their own outside: time on the clock
   for the pairs of both, divided by their number; the machine should have
   nothing else to do.  Medians and minima of interleaved rounds.  */

#include "mmalloc.c"

enum { N_PAIRS = 2000000, MAX_ROUNDS = 101, OUTSIDE = 20 };

static struct shared
{
  _Alignas (64) pthread_mutex_t plain;
  _Alignas (64) pthread_mutex_t robust;
  /* Not at a heap's lock's place in its page.  */
  _Alignas (1024) uint64_t number;
} *shared;

/* In a file, so that it is one of processes; and a private one.  */
static struct heap *in_file, *anonymous;


/* ---- The locks --------------------------------------------------------- */

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
LOOP (loop_file, lock_heap (in_file), unlock_heap (in_file))
LOOP (loop_anonymous, lock_heap (anonymous), unlock_heap (anonymous))
LOOP (loop_plain, pthread_mutex_lock (&shared->plain),
      pthread_mutex_unlock (&shared->plain))
LOOP (loop_robust, pthread_mutex_lock (&shared->robust),
      pthread_mutex_unlock (&shared->robust))

static const struct
{
  const char *name;
  void (*loop) (size_t n, size_t outside);
} pairs[] =
{
  { "of a heap in a file", loop_file },
  { "of an anonymous heap", loop_anonymous },
  { "mutex", loop_plain },
  { "robust mutex", loop_robust }
};
enum { N_LOCKS = sizeof pairs / sizeof *pairs, N_COLUMNS = 2 };

static void
locks_make (void)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = memfd_create ("locks", MFD_CLOEXEC);
  void *file = mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  void *private = mmalloc_open (NULL, 0, NULL);
  if (file == NULL || private == NULL)
    abort ();
  in_file = (struct heap *) *door_place (file, true);
  anonymous = (struct heap *) *door_place (private, true);
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
now_of (clockid_t clock)
{
  struct timespec t;
  clock_gettime (clock, &t);
  return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

static void *
work (void *arg)
{
  size_t i = *(const size_t *) arg;
  pairs[i].loop (N_PAIRS / 4, OUTSIDE);
  return NULL;
}

static double
measure (size_t i, int threads)
{
  pthread_t other;
  if (threads == 1)
    {
      double start = now_of (CLOCK_THREAD_CPUTIME_ID);
      pairs[i].loop (N_PAIRS, 0);
      return (now_of (CLOCK_THREAD_CPUTIME_ID) - start) / N_PAIRS;
    }
  double start = now_of (CLOCK_MONOTONIC);
  if (pthread_create (&other, NULL, work, &i) != 0)
    abort ();
  work (&i);
  pthread_join (other, NULL);
  return (now_of (CLOCK_MONOTONIC) - start) / (N_PAIRS / 4 * 2);
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
      printf ("%-24s", pairs[i].name);
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
