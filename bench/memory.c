/* memory.c - how much memory an allocator takes for what is live.

   The sizes of blocks shift from phase to phase: those of a phase lie between
   a smallest one and eight times that.  Every page of a block is written to.
   "Resident" is the growth of the process's memory since it started; "file"
   are the blocks of the heap's file on the disk.  */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { MAX_BLOCKS = 6000000, PAGE = 4096 };

static struct { char *block; uint32_t size; } load[MAX_BLOCKS];
static size_t n_load, live, at_draw;
static double base;             /* resident before anything was allocated */

static uint32_t
draw (void)
{
  /* Two draws, so that the sequence is far longer than the table.  */
  size_t i = at_draw++;
  return draws[i & DRAWS_MASK] ^ draws[((i >> 20) * 7919 + 77) & DRAWS_MASK];
}

static void
load_start (void)
{
  /* Have the table itself in memory before counting.  */
  memset (load, 1, sizeof load);
  base = resident_bytes ();
}

static void
load_add (size_t size)
{
  if (n_load == MAX_BLOCKS)
    die ("memory", "too many blocks");
  char *p = bench_malloc (size);
  if (p == NULL)
    die ("memory", "no block");
  for (size_t i = 0; i < size; i += PAGE)
    p[i] = 1;
  p[size - 1] = 1;
  load[n_load].block = p;
  load[n_load++].size = (uint32_t) size;
  live += size;
}

/* Free a random block.  */
static void
load_drop (void)
{
  size_t i = draw () % n_load;
  bench_free (load[i].block);
  live -= load[i].size;
  load[i] = load[--n_load];
}

static void
load_drop_all (void)
{
  while (n_load > 0)
    load_drop ();
}

/* A size between SMALLEST and eight times that, each doubling as likely as
   the others.  */
static size_t
load_size (size_t smallest)
{
  uint32_t x = draw ();
  size_t low = smallest << x % 3;
  return low + (x >> 4) % low;
}

/* The smallest size of phase I: from 16 bytes to 64 KiB, up and down.  */
static size_t
phase_smallest (size_t i)
{
  static const unsigned shift[] = { 4, 7, 5, 10, 6, 12, 8, 4, 9, 5, 16, 6 };
  return (size_t) 1 << shift[i % (sizeof shift / sizeof *shift)];
}

static double
resident_now (void)
{
  return resident_bytes () - base;
}


/* ---- Phases ---------------------------------------------------------- */

/* In each phase nine of ten bytes make room for blocks of other sizes.  */
static void
phases (const char *name)
{
  enum { N_PHASES = 24 };
  size_t target = amount (64) * MIB;
  double sum = 0, peak = 0, worst_file = 0;
  load_start ();
  for (size_t i = 0; i < N_PHASES; i++)
    {
      char metric[40];
      while (live > target / 10)
        load_drop ();
      while (live < target)
        load_add (load_size (phase_smallest (i)));
      double resident = resident_now ();
      snprintf (metric, sizeof metric, "resident-mib@%zu", i);
      report (name, metric, resident / MIB);
      snprintf (metric, sizeof metric, "live-mib@%zu", i);
      report (name, metric, (double) live / MIB);
      sum += resident / (double) live;
      if (resident > peak)
        peak = resident;
      if (file_bytes () > worst_file)
        worst_file = file_bytes ();
    }
  double former = (double) live;
  report (name, "mean-resident/live", sum / N_PHASES);
  report (name, "peak-resident/live", peak / former);
  if (worst_file > 0)
    report (name, "peak-file/live", worst_file / former);
  load_drop_all ();
  report (name, "freed-resident/live", resident_now () / former);
  if (allocator.trim != NULL)
    {
      allocator.trim ();
      report (name, "trimmed-resident/live", resident_now () / former);
    }
}


/* ---- A long run ------------------------------------------------------ */

/* Random replacement while the mix of sizes and the amount that is live
   change slowly: between 32 and 96 MiB.  */
static void
long_run (const char *name)
{
  enum { N_STEPS = 240, N_RAMP = 16 };
  size_t unit = amount (64) * MIB;
  double peak = 0, peak_file = 0, peak_live = 0, sum = 0;
  load_start ();
  for (size_t i = 0; i < N_STEPS; i++)
    {
      size_t ramp = i % (2 * N_RAMP);
      size_t target = unit / 2
        + unit / N_RAMP * (ramp < N_RAMP ? ramp : 2 * N_RAMP - ramp);
      size_t old = phase_smallest (i / 10), new = phase_smallest (i / 10 + 1);
      /* Replace a fifth of what is live.  */
      for (size_t moved = 0; moved < target / 5; )
        {
          while (n_load > 0 && live >= target)
            load_drop ();
          size_t size = load_size (draw () % 10 < i % 10 ? new : old);
          load_add (size);
          moved += size;
        }
      while (live > target)
        load_drop ();
      double resident = resident_now (), file = file_bytes ();
      peak = resident > peak ? resident : peak;
      peak_file = file > peak_file ? file : peak_file;
      peak_live = (double) live > peak_live ? (double) live : peak_live;
      sum += resident / (double) live;
    }
  report (name, "peak-live-mib", peak_live / MIB);
  report (name, "peak-resident-mib", peak / MIB);
  report (name, "mean-resident/live", sum / N_STEPS);
  if (peak_file > 0)
    report (name, "peak-file-mib", peak_file / MIB);
  load_drop_all ();
  report (name, "freed-resident-mib", resident_now () / MIB);
  if (peak_file > 0)
    report (name, "freed-file-mib", file_bytes () / MIB);
  if (allocator.trim == NULL)
    return;
  allocator.trim ();
  double left = resident_now (), share = left / peak;
  report (name, "trimmed-resident-mib", left / MIB);
  if (peak_file > 0)
    {
      report (name, "trimmed-file-mib", file_bytes () / MIB);
      if (file_bytes () / peak_file > share)
        share = file_bytes () / peak_file;
    }
  report (name, "trimmed/peak", share);
}


const struct workload memory_workloads[] =
{
  { "phases", phases, REAL_MEMORY },
  { "long-run", long_run, REAL_MEMORY },
  { NULL, NULL, 0 }
};
