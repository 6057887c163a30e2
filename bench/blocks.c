/* blocks.c - one thread allocates and frees.

   Times are those of the processor, page faults included, so that another
   program on the same processor does not count.  */

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum
{
  MAX_LIVE = 256,
  N_BATCH = 100000,
  N_SET = 10000
};


/* ---- Pairs ----------------------------------------------------------- */

/* N times replace the oldest of N_LIVE blocks, at most MAX_LIVE.  */
static double
pairs (size_t size, size_t n, size_t n_live)
{
  void *live[MAX_LIVE];
  for (size_t i = 0; i < n_live; i++)
    live[i] = block_new (size);
  double start = cpu_now ();
  for (size_t i = 0, oldest = 0; i < n; i++)
    {
      bench_free (live[oldest]);
      live[oldest] = block_new (size);
      oldest = oldest + 1 < n_live ? oldest + 1 : 0;
    }
  double end = cpu_now ();
  for (size_t i = 0; i < n_live; i++)
    bench_free (live[i]);
  return (end - start) / (double) n;
}

static void
pair (const char *name)
{
  report (name, "ns", pairs (strtoul (strchr (name, '-') + 1, NULL, 10),
                             times (4000000), MAX_LIVE));
}

/* MAX_LIVE blocks allocated, then all of them freed, the last first.  */
static void
burst (const char *name)
{
  void *live[MAX_LIVE];
  size_t n = times (4000000 / MAX_LIVE);
  double start = cpu_now ();
  for (size_t round = 0; round < n; round++)
    {
      for (size_t i = 0; i < MAX_LIVE; i++)
        live[i] = block_new (64);
      for (size_t i = MAX_LIVE; i-- > 0; )
        bench_free (live[i]);
    }
  report (name, "ns", (cpu_now () - start) / (double) (n * MAX_LIVE));
}

/* One block over and over.  */
static void
tight (const char *name)
{
  size_t n = times (4000000);
  double start = cpu_now ();
  for (size_t i = 0; i < n; i++)
    bench_free (block_new (64));
  report (name, "ns", (cpu_now () - start) / (double) n);
}


/* ---- Batches --------------------------------------------------------- */

enum order { LIFO, FIFO, RANDOM };

/* A first round, in which memory comes from the system, counts apart.  */
static void
batch (const char *name, enum order order)
{
  static void *live[N_BATCH];
  static uint32_t perm[N_BATCH];
  size_t rounds = times (6);
  for (uint32_t i = 0; i < N_BATCH; i++)
    perm[i] = i;
  for (uint32_t i = N_BATCH - 1; i > 0; i--)
    {
      uint32_t j = draws[i] % (i + 1), t = perm[i];
      perm[i] = perm[j];
      perm[j] = t;
    }
  double start = 0, first = cpu_now (), allocating = 0;
  for (size_t round = 0; round < rounds + 1; round++)
    {
      if (round == 1)
        {
          start = cpu_now ();
          report (name, "ns-first", (start - first) / N_BATCH);
          allocating = 0;
        }
      double begin = cpu_now ();
      for (size_t i = 0; i < N_BATCH; i++)
        live[i] = block_new (draw_size (i + round * 7919));
      allocating += cpu_now () - begin;
      for (size_t i = 0; i < N_BATCH; i++)
        bench_free (live[order == LIFO ? N_BATCH - 1 - i
                         : order == FIFO ? i : perm[i]]);
    }
  double all = cpu_now () - start, n = (double) (N_BATCH * rounds);
  report (name, "ns", all / n);
  report (name, "ns-malloc", allocating / n);
  report (name, "ns-free", (all - allocating) / n);
}

static void batch_lifo (const char *name) { batch (name, LIFO); }
static void batch_fifo (const char *name) { batch (name, FIFO); }
static void batch_random (const char *name) { batch (name, RANDOM); }


/* ---- Replacing random blocks ----------------------------------------- */

static void
replace (const char *name)
{
  static void *set[N_SET];
  size_t n = times (2000000), warm = n / 4;
  double start = 0;
  for (size_t i = 0; i < N_SET; i++)
    set[i] = block_new (draw_size (i));
  for (size_t i = 0; i < warm + n; i++)
    {
      if (i == warm)
        start = cpu_now ();
      void **slot = &set[draws[i & DRAWS_MASK] % N_SET];
      bench_free (*slot);
      *slot = block_new (draw_size (i * 31 + 7));
    }
  report (name, "ns", (cpu_now () - start) / (double) n);
  for (size_t i = 0; i < N_SET; i++)
    bench_free (set[i]);
}


/* ---- Cleared blocks -------------------------------------------------- */

/* 256 live blocks of 16 to 1024 bytes, the oldest replaced.  */
static void
cleared (const char *name)
{
  static void *live[MAX_LIVE];
  size_t n = times (2000000);
  double start = cpu_now ();
  for (size_t i = 0; i < n; i++)
    {
      void **slot = &live[i % MAX_LIVE];
      if (*slot != NULL)
        bench_free (*slot);
      *slot = bench_calloc (1, 16 + (draws[i & DRAWS_MASK] >> 16) % 1009);
      if (*slot == NULL)
        abort ();
      *(char *) *slot = 1;
    }
  report (name, "ns", (cpu_now () - start) / (double) n);
  for (size_t i = 0; i < MAX_LIVE; i++)
    if (live[i] != NULL)
      bench_free (live[i]);
}


/* ---- Large blocks ---------------------------------------------------- */

/* 16 live blocks of 32 KiB to 4 MiB, random ones replaced; each doubling is
   as likely as the others.  The first byte is written.  */
static void
large (const char *name)
{
  enum { N_LARGE = 16 };
  static void *live[N_LARGE];
  size_t n = times (100000), warm = n / 4;
  double start = 0;
  for (size_t i = 0; i < warm + n; i++)
    {
      if (i == warm)
        start = cpu_now ();
      uint32_t draw = draws[i & DRAWS_MASK];
      size_t base = (size_t) 32768 << (draw >> 4) % 7;
      void **slot = &live[draw % N_LARGE];
      if (*slot != NULL)
        bench_free (*slot);
      *slot = block_new (base + (draw >> 8) % base);
    }
  report (name, "ns", (cpu_now () - start) / (double) n);
  for (size_t i = 0; i < N_LARGE; i++)
    if (live[i] != NULL)
      bench_free (live[i]);
}


/* ---- Growing vectors ------------------------------------------------- */

/* Grow N vectors in turn from 16 bytes to 1 MiB by half, as often as ROUNDS
   says, touching the last byte.  Nanoseconds a step, without the first
   round.  */
static double
vectors (size_t n, size_t rounds)
{
  enum { MAX_VECTORS = 8 };
  double steps = 0, start = 0;
  for (size_t r = 0; r < rounds + 1; r++)
    {
      if (r == 1)
        {
          steps = 0;
          start = cpu_now ();
        }
      char *vector[MAX_VECTORS];
      size_t size = 16;
      for (size_t i = 0; i < n; i++)
        vector[i] = block_new (size);
      for (size_t old = size; old < 1 << 20; old = size)
        {
          size = old + old / 2;
          for (size_t i = 0; i < n; i++, steps++)
            {
              vector[i] = bench_realloc (vector[i], old, size);
              if (vector[i] == NULL)
                abort ();
              vector[i][size - 1] = 1;
            }
        }
      for (size_t i = 0; i < n; i++)
        bench_free (vector[i]);
    }
  return (cpu_now () - start) / steps;
}

static void
realloc_one (const char *name)
{
  report (name, "ns", vectors (1, times (400)));
}

static void
realloc_eight (const char *name)
{
  report (name, "ns", vectors (8, times (50)));
}


const struct workload blocks_workloads[] =
{
  { "pair-16", pair, 0 },
  { "pair-64", pair, 0 },
  { "pair-256", pair, 0 },
  { "tight-64", tight, 0 },
  { "burst-64", burst, 0 },
  { "batch-lifo", batch_lifo, 0 },
  { "batch-fifo", batch_fifo, 0 },
  { "batch-random", batch_random, 0 },
  { "replace", replace, 0 },
  { "calloc", cleared, 0 },
  { "large", large, 0 },
  { "realloc-one", realloc_one, REAL_MEMORY },
  { "realloc-eight", realloc_eight, REAL_MEMORY },
  { NULL, NULL, 0 }
};


/* ---- Loops for callgrind --------------------------------------------- */

static void **remote_block;
static size_t n_remote;

static void *
remote_free (void *arg)
{
  for (size_t i = 0; i < n_remote; i++)
    bench_free (remote_block[i]);
  return arg;
}

/* N blocks of 64 bytes, all freed by another thread.  */
static void
loop_remote (size_t n)
{
  pthread_t thread;
  remote_block = calloc (n, sizeof *remote_block);
  if (remote_block == NULL)
    abort ();
  n_remote = n;
  for (size_t i = 0; i < n; i++)
    remote_block[i] = block_new (64);
  if (pthread_create (&thread, NULL, remote_free, NULL) != 0)
    abort ();
  pthread_join (thread, NULL);
  free (remote_block);
}

/* One block of 64 bytes cleared and freed, N times.  */
static void
loop_calloc (size_t n)
{
  for (size_t i = 0; i < n; i++)
    bench_free (bench_calloc (1, 64));
}

/* A block made 60 and 64 bytes long in turn, N times.  */
static void
loop_realloc (size_t n)
{
  void *p = block_new (64);
  size_t size = 64;
  for (size_t i = 0; i < n; i++)
    {
      p = bench_realloc (p, size, 124 - size);
      size = 124 - size;
    }
  bench_free (p);
}

/* KIND: a number of live blocks of 64 bytes, the oldest of which is replaced;
   or batch, remote, calloc, realloc.  */
int
loop_run (const char *kind, size_t n)
{
  size_t live = strtoul (kind, NULL, 10);
  if (live > 0 && live <= MAX_LIVE)
    pairs (64, n, live);
  else if (strcmp (kind, "remote") == 0)
    loop_remote (n);
  else if (strcmp (kind, "calloc") == 0)
    loop_calloc (n);
  else if (strcmp (kind, "realloc") == 0)
    loop_realloc (n);
  else
    return 2;
  return 0;
}
