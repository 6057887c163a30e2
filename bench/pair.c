/* pair.c - how long allocating and freeing takes.

   Built once for each allocator; all of them do the same work and reach their
   allocator through two functions of the same shape.

       pair                    each workload once: its name and ns per block
       pair race N PROGRAM...  run the programs in turn, N times, and print the
                               medians and their ratios
       pair loop N LIVE        N pairs of 64 B with LIVE blocks, for callgrind
       pair count PROGRAM...   instructions in an allocation and in a free,
                               counted by callgrind in those loops

   "ns per block" is one allocation, a write to it and its free.  The workloads
   draw their random numbers before the clock starts.  */

#include <inttypes.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>


/* ---- The allocator ------------------------------------------------------ */

#if defined BENCH_DEFAULT || defined BENCH_FILE
# include "mmalloc.h"
#elif defined BENCH_MIMALLOC
# include <mimalloc.h>
#endif

#if !defined BENCH_LIBC && !defined BENCH_MIMALLOC
static void *heap;
#endif

#if defined BENCH_NONE
/* An allocator that does nothing: what the workloads themselves take.  */
static _Thread_local size_t none_next;
static char none_memory[1 << 19];

static __attribute__ ((noinline)) void *
none_malloc (void *md, size_t size)
{
  (void) md;
  size_t at = none_next;
  none_next = (at + size + 15) & (sizeof none_memory / 2 - 16);
  return none_memory + at;
}

static __attribute__ ((noinline)) void
none_free (void *md, void *ptr)
{
  __asm__ volatile ("" : : "r" (md), "r" (ptr) : "memory");
}
#endif

static void
heap_open (void)
{
#if defined BENCH_FILE
  char path[] = "/dev/shm/mmalloc-bench-XXXXXX";
  int fd = mkstemp (path);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = fd;
  heap = fd < 0 ? NULL : mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  if (fd >= 0)
    {
      unlink (path);
      close (fd);
    }
  if (heap == NULL)
    {
      fprintf (stderr, "%s: %s\n", path, mmalloc_strerror (NULL));
      exit (1);
    }
#endif
}

__attribute__ ((noinline)) void *bench_malloc (size_t size);
__attribute__ ((noinline)) void bench_free (void *ptr);

void *
bench_malloc (size_t size)
{
#if defined BENCH_DEFAULT || defined BENCH_FILE
  return mmalloc (heap, size);
#elif defined BENCH_MIMALLOC
  return mi_malloc (size);
#elif defined BENCH_NONE
  return none_malloc (heap, size);
#else
  return malloc (size);
#endif
}

void
bench_free (void *ptr)
{
#if defined BENCH_DEFAULT || defined BENCH_FILE
  mfree (heap, ptr);
#elif defined BENCH_MIMALLOC
  mi_free (ptr);
#elif defined BENCH_NONE
  none_free (heap, ptr);
#else
  free (ptr);
#endif
}


/* ---- Workloads ---------------------------------------------------------- */

enum
{
  MAX_LIVE = 256,
  N_BATCH = 100000,
  N_SET = 10000,
  N_PAIRS = 4000000,
  N_BATCHES = 4,
  N_REPLACE = 2000000,
  N_SWAPS = 100                /* times that two threads swap their sets */
};

static uint32_t draws[1 << 20];
enum { DRAWS_MASK = (1 << 20) - 1 };

static void
draws_fill (void)
{
  uint64_t x = 88172645463325252u;
  for (size_t i = 0; i <= DRAWS_MASK; i++)
    {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      draws[i] = (uint32_t) (x >> 32);
    }
}

static size_t
draw_size (size_t i)
{
  return 8 + (draws[i & DRAWS_MASK] >> 16) % 1017;
}

static double
now (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

/* A block of SIZE with something in it.  */
static inline void *
block (size_t size)
{
  uint64_t *p = bench_malloc (size);
  if (p == NULL)
    abort ();
  *p = size;
  return p;
}

/* N times replace the oldest of N_LIVE blocks, at most MAX_LIVE.  */
static double
pairs (size_t size, size_t n, size_t n_live)
{
  void *live[MAX_LIVE];
  for (size_t i = 0; i < n_live; i++)
    live[i] = block (size);
  double start = now ();
  for (size_t i = 0, oldest = 0; i < n; i++)
    {
      bench_free (live[oldest]);
      live[oldest] = block (size);
      oldest = oldest + 1 < n_live ? oldest + 1 : 0;
    }
  double end = now ();
  for (size_t i = 0; i < n_live; i++)
    bench_free (live[i]);
  return (end - start) / (double) n;
}

static double
pair_16 (void)
{
  return pairs (16, N_PAIRS, MAX_LIVE);
}

static double
pair_64 (void)
{
  return pairs (64, N_PAIRS, MAX_LIVE);
}

static double
pair_256 (void)
{
  return pairs (256, N_PAIRS, MAX_LIVE);
}

static double
tight_pair (void)
{
  double start = now ();
  for (size_t i = 0; i < N_PAIRS; i++)
    bench_free (block (64));
  return (now () - start) / N_PAIRS;
}

enum order { LIFO, FIFO, RANDOM };

static double
batch (enum order order)
{
  static void *live[N_BATCH];
  static uint32_t perm[N_BATCH];
  for (uint32_t i = 0; i < N_BATCH; i++)
    perm[i] = i;
  for (uint32_t i = N_BATCH - 1; i > 0; i--)
    {
      uint32_t j = draws[i] % (i + 1), t = perm[i];
      perm[i] = perm[j];
      perm[j] = t;
    }
  double start = now ();
  for (size_t round = 0; round < N_BATCHES; round++)
    {
      for (size_t i = 0; i < N_BATCH; i++)
        live[i] = block (draw_size (i + round * 7919));
      for (size_t i = 0; i < N_BATCH; i++)
        bench_free (live[order == LIFO ? N_BATCH - 1 - i
                         : order == FIFO ? i : perm[i]]);
    }
  return (now () - start) / (N_BATCH * N_BATCHES);
}

static double
batch_lifo (void)
{
  return batch (LIFO);
}

static double
batch_fifo (void)
{
  return batch (FIFO);
}

static double
batch_random (void)
{
  return batch (RANDOM);
}

/* Replace N random blocks of SET, beginning with draw number AT.  */
static void
replace_some (void **set, size_t n, size_t at)
{
  for (size_t i = at; i < at + n; i++)
    {
      void **slot = &set[draws[i & DRAWS_MASK] % N_SET];
      bench_free (*slot);
      *slot = block (draw_size (i * 31 + 7));
    }
}

static void
set_fill (void **set)
{
  for (size_t i = 0; i < N_SET; i++)
    set[i] = block (draw_size (i));
}

static void
set_free (void **set)
{
  for (size_t i = 0; i < N_SET; i++)
    bench_free (set[i]);
}

static double
replace (void)
{
  static void *set[N_SET];
  set_fill (set);
  replace_some (set, N_REPLACE / 4, 0);
  double start = now ();
  replace_some (set, N_REPLACE, N_REPLACE / 4);
  double end = now ();
  set_free (set);
  return (end - start) / N_REPLACE;
}

/* Two threads, each replacing blocks of its set; now and then they swap the
   sets, so that each frees what the other allocated.  */
static void *swap_set[2][N_SET];
static pthread_barrier_t swap_barrier;

static void *
swap_work (void *arg)
{
  size_t me = *(size_t *) arg;
  set_fill (swap_set[me]);
  for (size_t i = 0; i < N_SWAPS; i++)
    {
      pthread_barrier_wait (&swap_barrier);
      replace_some (swap_set[(me + i) % 2], N_REPLACE / N_SWAPS,
                    (i * 2 + me) * 10007);
    }
  pthread_barrier_wait (&swap_barrier);
  set_free (swap_set[me]);
  return NULL;
}

static double
swap_two (void)
{
  pthread_t thread;
  size_t me[2] = { 0, 1 };
  pthread_barrier_init (&swap_barrier, NULL, 2);
  double start = now ();
  if (pthread_create (&thread, NULL, swap_work, &me[1]) != 0)
    abort ();
  swap_work (&me[0]);
  pthread_join (thread, NULL);
  double end = now ();
  pthread_barrier_destroy (&swap_barrier);
  return (end - start) / (N_REPLACE + N_SET);
}

static const struct
{
  const char *name;
  double (*run) (void);
} workloads[] =
{
  { "pair-16", pair_16 },
  { "pair-64", pair_64 },
  { "pair-256", pair_256 },
  { "tight-64", tight_pair },
  { "batch-lifo", batch_lifo },
  { "batch-fifo", batch_fifo },
  { "batch-random", batch_random },
  { "replace", replace },
  { "swap-2-threads", swap_two }
};
enum { N_WORKLOADS = sizeof workloads / sizeof *workloads };


/* ---- Racing ------------------------------------------------------------- */

enum { MAX_PROGRAMS = 8, MAX_ROUNDS = 99 };

static double times[N_WORKLOADS][MAX_PROGRAMS][MAX_ROUNDS];

/* The allocator's name: what follows the last dash.  */
static const char *
program_name (const char *program)
{
  const char *dash = strrchr (program, '-');
  return dash != NULL ? dash + 1 : program;
}

/* Run PROGRAM once and note its times as those of round ROUND.  */
static int
race_one (const char *program, size_t which, size_t round)
{
  FILE *out = popen (program, "r");
  char line[200];
  if (out == NULL)
    return -1;
  for (size_t i = 0; i < N_WORKLOADS; i++)
    if (fgets (line, sizeof line, out) == NULL
        || sscanf (line, "%*s %lf", &times[i][which][round]) != 1)
      {
        pclose (out);
        fprintf (stderr, "%s failed\n", program);
        return -1;
      }
  return pclose (out);
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

static int
race (size_t n_rounds, char **program, size_t n)
{
  if (n_rounds == 0 || n_rounds > MAX_ROUNDS || n == 0 || n > MAX_PROGRAMS)
    return 2;
  for (size_t round = 0; round < n_rounds; round++)
    for (size_t p = 0; p < n; p++)
      if (race_one (program[p], p, round) != 0)
        return 1;

  printf ("Medians of %zu interleaved runs, ns per block; behind the bar the "
          "first ones as ratios.\n\n%-15s", n_rounds, "");
  for (size_t p = 0; p < n; p++)
    printf (" %9s", program_name (program[p]));
  printf (" |");
  for (size_t mine = 0; mine < 2 && mine < n; mine++)
    for (size_t p = 2; p < n; p++)
      if (strcmp (program_name (program[p]), "none") != 0)
        printf (" %7s/%.4s", program_name (program[mine]),
                program_name (program[p]));
  printf ("\n");
  for (size_t i = 0; i < N_WORKLOADS; i++)
    {
      double median[MAX_PROGRAMS];
      printf ("%-15s", workloads[i].name);
      for (size_t p = 0; p < n; p++)
        {
          qsort (times[i][p], n_rounds, sizeof (double), by_value);
          median[p] = times[i][p][n_rounds / 2];
          printf (" %9.1f", median[p]);
        }
      printf (" |");
      for (size_t mine = 0; mine < 2 && mine < n; mine++)
        for (size_t p = 2; p < n; p++)
          if (strcmp (program_name (program[p]), "none") != 0)
            printf (" %12.2f", median[mine] / median[p]);
      printf ("\n");
    }
  return 0;
}


/* ---- Counting instructions ---------------------------------------------- */

/* Instructions between entry and return of FUNCTION during N pairs; the time
   before the loop counts too.  */
static long long
collect (const char *program, const char *function, size_t n, size_t live)
{
  char command[1000], line[1000];
  long long collected = -1;
  snprintf (command, sizeof command,
            "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
            "--toggle-collect=%s %s loop %zu %zu 2>&1", function, program, n,
            live);
  FILE *out = popen (command, "r");
  if (out == NULL)
    return -1;
  while (fgets (line, sizeof line, out) != NULL)
    {
      const char *at = strstr (line, "Collected : ");
      if (at != NULL)
        sscanf (at, "Collected : %lld", &collected);
    }
  return pclose (out) == 0 ? collected : -1;
}

/* The same for one of many calls: start and end fall out of the difference. */
static double
instructions (const char *program, const char *function, size_t live)
{
  enum { N = 100000 };
  long long once = collect (program, function, N, live);
  long long twice = collect (program, function, 2 * N, live);
  if (once < 0 || twice < 0)
    {
      fprintf (stderr, "%s: no count\n", program);
      exit (1);
    }
  return (double) (twice - once) / N;
}

/* The first program's own instructions are those of the harness.  */
static int
count (char **program, size_t n)
{
  static const struct { const char *function; size_t live; } columns[] =
  {
    { "bench_malloc", 1 }, { "bench_free", 1 },
    { "bench_malloc", 100 }, { "bench_free", 100 },
    { "bench_malloc", MAX_LIVE }, { "bench_free", MAX_LIVE }
  };
  enum { N_COLUMNS = sizeof columns / sizeof *columns };
  double harness[N_COLUMNS];
  printf ("Instructions of one call, replacing the oldest of so many blocks "
          "of 64 B; the call itself left out.\n\n%-10s", "");
  for (size_t i = 0; i < N_COLUMNS; i += 2)
    printf ("  %8zu live   ", columns[i].live);
  printf ("\n%-10s", "");
  for (size_t i = 0; i < N_COLUMNS; i++)
    printf (" %7s", i % 2 == 0 ? "malloc" : "free");
  printf ("\n");
  for (size_t p = 0; p < n; p++)
    {
      printf ("%-10s", program_name (program[p]));
      for (size_t i = 0; i < N_COLUMNS; i++)
        {
          double value = instructions (program[p], columns[i].function,
                                       columns[i].live);
          if (p == 0)
            harness[i] = value;
          else
            value -= harness[i];
          printf (" %7.1f", value);
          fflush (stdout);
        }
      printf ("%s\n", p == 0 ? "  (the call)" : "");
    }
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc >= 4 && strcmp (argv[1], "race") == 0)
    return race (strtoull (argv[2], NULL, 10), argv + 3, (size_t) argc - 3);
  if (argc >= 3 && strcmp (argv[1], "count") == 0)
    return count (argv + 2, (size_t) argc - 2);
  heap_open ();
  if (argc == 4 && strcmp (argv[1], "loop") == 0)
    {
      size_t live = strtoull (argv[3], NULL, 10);
      if (live == 0 || live > MAX_LIVE)
        return 2;
      pairs (64, strtoull (argv[2], NULL, 10), live);
      return 0;
    }
  draws_fill ();
  for (size_t i = 0; i < N_WORKLOADS; i++)
    {
      if (argc > 1 && strcmp (argv[1], workloads[i].name) != 0)
        continue;
      printf ("%-15s %8.2f\n", workloads[i].name, workloads[i].run ());
      fflush (stdout);
    }
  return 0;
}
