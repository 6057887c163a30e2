/* maps.c - how long a block of 64 bytes from a map takes, beside others.

       maps [ROUNDS]    a table: ns per pair of an allocation and its free

   One thread: its own time on the processor.  Two threads: time on the clock
   for the pairs of both, divided by their number; the machine should have
   nothing else to do.  Medians and minima of interleaved rounds.  */

#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "qalloc.h"

enum { SIZE = 64, N_ITEMS = 100000, N_PAIRS = 1000000, MAX_ROUNDS = 101 };


/* ---- The allocators ---------------------------------------------------- */

static mapinfo_t *static_map;
static dynmapinfo_t *dynamic_map;

static void *static_malloc (void) { return qalloc_statmalloc (static_map); }
static void static_free (void *p) { qalloc_statfree (p, static_map); }
static void *dynamic_malloc (void)
{
  return qalloc_dynmalloc (dynamic_map, SIZE);
}
static void dynamic_free (void *p) { qalloc_dynfree (p, dynamic_map); }
static void *libc_malloc (void) { return malloc (SIZE); }
static void libc_free (void *p) { free (p); }

/* A list of free blocks under a mutex, in shared memory.  */
struct list
{
  pthread_mutex_t mutex;
  void *first;
  _Alignas (64) char block[N_ITEMS][SIZE];
};
static struct list *plain_list, *robust_list;

static struct list *
list_new (int robust)
{
  struct list *l = mmap (NULL, sizeof *l, PROT_READ | PROT_WRITE,
                         MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (l == MAP_FAILED)
    abort ();
  pthread_mutexattr_t attr;
  pthread_mutexattr_init (&attr);
  if (robust)
    {
      pthread_mutexattr_setpshared (&attr, PTHREAD_PROCESS_SHARED);
      pthread_mutexattr_setrobust (&attr, PTHREAD_MUTEX_ROBUST);
    }
  pthread_mutex_init (&l->mutex, &attr);
  for (size_t i = N_ITEMS; i-- > 0; )
    {
      memcpy (l->block[i], &l->first, sizeof l->first);
      l->first = l->block[i];
    }
  return l;
}

static void *
list_malloc (struct list *l)
{
  pthread_mutex_lock (&l->mutex);
  void *p = l->first;
  if (p != NULL)
    memcpy (&l->first, p, sizeof l->first);
  pthread_mutex_unlock (&l->mutex);
  return p;
}

static void
list_free (struct list *l, void *p)
{
  pthread_mutex_lock (&l->mutex);
  memcpy (p, &l->first, sizeof l->first);
  l->first = p;
  pthread_mutex_unlock (&l->mutex);
}

static void *plain_malloc (void) { return list_malloc (plain_list); }
static void plain_free (void *p) { list_free (plain_list, p); }
static void *robust_malloc (void) { return list_malloc (robust_list); }
static void robust_free (void *p) { list_free (robust_list, p); }

/* What a static map could gain without atomic instructions, in the case that
   is best for it: the thread owns its words, nobody else frees.  With one bit
   an item that is wrong as soon as somebody does; with two (an item is live if
   they differ, the owner stores the first plainly, others change the second)
   it is right and the bits are twice as many.  No check of the map here.  */
static struct bits
{
  _Atomic uint64_t own[N_ITEMS / 64], rem[N_ITEMS / 64];
  _Alignas (64) char block[N_ITEMS][SIZE];
} *bits;
static _Thread_local size_t bits_word;

static void *
bits_malloc (int two)
{
  for (;; bits_word = bits_word + 1 < N_ITEMS / 64 / 2 ? bits_word + 1 : 0)
    {
      size_t w = bits_word;
      uint64_t own = atomic_load_explicit (&bits->own[w],
                                           memory_order_relaxed);
      uint64_t rem = two ? atomic_load_explicit (&bits->rem[w],
                                                 memory_order_acquire) : 0;
      uint64_t live = own ^ rem;
      if (live == UINT64_MAX)
        continue;
      unsigned bit = (unsigned) __builtin_ctzll (~live);
      atomic_store_explicit (&bits->own[w], own ^ UINT64_C (1) << bit,
                             memory_order_relaxed);
      return bits->block[w * 64 + bit];
    }
}

static void
bits_free (int two, void *p)
{
  size_t i = (size_t) ((char *) p - bits->block[0]) / SIZE;
  uint64_t bit = UINT64_C (1) << i % 64;
  uint64_t own = atomic_load_explicit (&bits->own[i / 64],
                                       memory_order_relaxed);
  uint64_t rem = two ? atomic_load_explicit (&bits->rem[i / 64],
                                             memory_order_relaxed) : 0;
  if (!((own ^ rem) & bit))
    abort ();
  atomic_store_explicit (&bits->own[i / 64], own ^ bit, memory_order_relaxed);
}

static void *one_bit_malloc (void) { return bits_malloc (0); }
static void one_bit_free (void *p) { bits_free (0, p); }
static void *two_bits_malloc (void) { return bits_malloc (1); }
static void two_bits_free (void *p) { bits_free (1, p); }

enum { ONE_THREAD = 1 };
static struct allocator
{
  const char *name;
  void *(*take) (void);
  void (*give) (void *);
  int only;
} allocators[] =
{
  { "static map", static_malloc, static_free, 0 },
  { "dynamic map", dynamic_malloc, dynamic_free, 0 },
  { "list, mutex", plain_malloc, plain_free, 0 },
  { "list, robust mutex", robust_malloc, robust_free, 0 },
  { "glibc malloc", libc_malloc, libc_free, 0 },
  { "plain stores, 1 bit", one_bit_malloc, one_bit_free, ONE_THREAD },
  { "plain stores, 2 bits", two_bits_malloc, two_bits_free, ONE_THREAD },
  { "boost::pool, mutex", NULL, NULL, 0 }
};
enum { N_ALLOCATORS = sizeof allocators / sizeof *allocators, N_COLUMNS = 4 };


/* ---- Measuring --------------------------------------------------------- */

static double
now (clockid_t clock)
{
  struct timespec t;
  clock_gettime (clock, &t);
  return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

struct run
{
  const struct allocator *a;
  size_t n_live, n;
  pthread_barrier_t *barrier;
  double ns;
};

/* Stay on a processor of one's own, the Nth that the program may use.  */
static void
stay (size_t n)
{
  cpu_set_t all, one;
  CPU_ZERO (&one);
  if (sched_getaffinity (0, sizeof all, &all) != 0)
    return;
  for (size_t i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET (i, &all) && n-- == 0)
      CPU_SET (i, &one);
  if (CPU_COUNT (&one) == 1)
    pthread_setaffinity_np (pthread_self (), sizeof one, &one);
}

/* N_PAIRS times replace the oldest of N_LIVE blocks.  */
static void *
pairs (void *arg)
{
  struct run *run = arg;
  void *(*take) (void) = run->a->take;
  void (*give) (void *) = run->a->give;
  void *live[100];
  for (size_t i = 0; i < run->n_live; i++)
    live[i] = take ();
  if (run->barrier != NULL)
    {
      stay (run->n);
      pthread_barrier_wait (run->barrier);
    }
  clockid_t clock = run->barrier != NULL ? CLOCK_MONOTONIC
                                         : CLOCK_THREAD_CPUTIME_ID;
  double start = now (clock);
  for (size_t i = 0, oldest = 0; i < N_PAIRS; i++)
    {
      give (live[oldest]);
      live[oldest] = take ();
      *(uint64_t *) live[oldest] = i;
      oldest = oldest + 1 < run->n_live ? oldest + 1 : 0;
    }
  if (run->barrier != NULL)
    pthread_barrier_wait (run->barrier);
  run->ns = now (clock) - start;
  for (size_t i = 0; i < run->n_live; i++)
    give (live[i]);
  return NULL;
}

/* ns per pair of one thread, or of two.  */
static double
measure (const struct allocator *a, size_t n_threads, size_t n_live)
{
  pthread_barrier_t barrier;
  pthread_barrier_init (&barrier, NULL, (unsigned) n_threads);
  struct run run[2];
  pthread_t thread[2];
  for (size_t i = 0; i < n_threads; i++)
    {
      run[i] = (struct run) { a, n_live, i, n_threads > 1 ? &barrier : NULL,
                              0 };
      if (pthread_create (&thread[i], NULL, pairs, &run[i]) != 0)
        abort ();
    }
  for (size_t i = 0; i < n_threads; i++)
    pthread_join (thread[i], NULL);
  pthread_barrier_destroy (&barrier);
  return run[0].ns / N_PAIRS / (double) n_threads;
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

static double times[N_ALLOCATORS][N_COLUMNS][MAX_ROUNDS];

/* The column's value as a part of that of allocator TO.  */
static double
ratio (int from, int to, int column, size_t round)
{
  return times[from][column][round] / times[to][column][round];
}

int
main (int argc, char **argv)
{
  size_t rounds = argc > 1 ? strtoull (argv[1], NULL, 10) : 15;
  char dir[] = "/dev/shm/maps-XXXXXX";
  if (rounds == 0 || rounds > MAX_ROUNDS || mkdtemp (dir) == NULL
      || chdir (dir) != 0)
    return 2;
  off_t size = 48 + 2 * 40 + N_ITEMS / 8 + 16 + N_ITEMS * SIZE;
  static_map = qalloc_makestatmap (size, NULL, "static", SIZE, 2);
  dynamic_map = qalloc_makedynmap (64 << 20, NULL, "dynamic", 2);
  unlink ("static");
  unlink ("dynamic");
  rmdir (dir);
  if (static_map == NULL || dynamic_map == NULL)
    return fprintf (stderr, "maps: %s\n", qalloc_strerror ()), 1;
  plain_list = list_new (0);
  robust_list = list_new (1);
  bits = mmap (NULL, sizeof *bits, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (bits == MAP_FAILED)
    return 1;
  const char *boost_path = getenv ("MAPS_BOOST");
  void *boost = boost_path != NULL ? dlopen (boost_path, RTLD_NOW) : NULL;
  if (boost != NULL)
    {
      struct allocator *a = &allocators[N_ALLOCATORS - 1];
      *(void **) &a->take = dlsym (boost, "boost_take");
      *(void **) &a->give = dlsym (boost, "boost_give");
    }

  for (size_t r = 0; r < rounds; r++)
    for (int c = 0; c < N_COLUMNS; c++)
      for (int i = 0; i < N_ALLOCATORS; i++)
        if (allocators[i].take != NULL
            && (c < 2 || allocators[i].only != ONE_THREAD))
          times[i][c][r] = measure (&allocators[i], c < 2 ? 1 : 2,
                                    c % 2 == 0 ? 1 : 100);
  for (int i = 0; i < N_ALLOCATORS; i++)
    for (int c = 0; c < N_COLUMNS; c++)
      qsort (times[i][c], rounds, sizeof (double), by_value);

  printf ("ns per pair of 64 B, median (minimum) of %zu interleaved rounds\n\n"
          "%-22s %-16s%-16s%-16s%s\n", rounds, "", "1 thread,", "1 thread,",
          "2 threads,", "2 threads,");
  printf ("%-22s %-16s%-16s%-16s%s\n", "", "1 block", "100 blocks", "1 block",
          "100 blocks");
  for (int i = 0; i < N_ALLOCATORS; i++)
    {
      if (allocators[i].take == NULL)
        continue;
      printf ("%-22s", allocators[i].name);
      for (int c = 0; c < N_COLUMNS; c++)
        if (times[i][c][0] > 0)
          printf (" %6.1f (%5.1f) ", times[i][c][rounds / 2], times[i][c][0]);
      printf ("\n");
    }
  static const struct { const char *text; int from, to; } goals[] =
  {
    { "static / list, robust mutex", 0, 3 },
    { "list, mutex / static", 2, 0 },
    { "list, robust mutex / static", 3, 0 },
    { "dynamic / static", 1, 0 },
    { "static / glibc malloc", 0, 4 },
    { "boost::pool / static", 7, 0 }
  };
  printf ("\nratios of medians (of minima)\n");
  for (size_t g = 0; g < sizeof goals / sizeof *goals; g++)
    {
      if (allocators[goals[g].from].take == NULL)
        continue;
      printf ("%-29s", goals[g].text);
      for (int c = 0; c < N_COLUMNS; c++)
        printf (" %5.2f (%5.2f)",
                ratio (goals[g].from, goals[g].to, c, rounds / 2),
                ratio (goals[g].from, goals[g].to, c, 0));
      printf ("\n");
    }
  return 0;
}
