/* files.c - heaps in files: what reaches the disk, how fast they open, and
   how many pages their allocator dirties.  */

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { PAGE = 4096 };


/* ---- Sync ------------------------------------------------------------ */

/* Bytes that this process made the system write, or will have.  */
static double
written_bytes (void)
{
  double bytes = 0;
  char line[100];
  FILE *f = fopen ("/proc/self/io", "r");
  while (f != NULL && fgets (line, sizeof line, f) != NULL)
    sscanf (line, "write_bytes: %lf", &bytes);
  if (f != NULL)
    fclose (f);
  return bytes;
}

/* A heap of 1 GiB, all of it written; then one page in a hundred, in random
   order, written to and the heap synced.  */
static void
sync_few (const char *name)
{
  size_t n = amount (1024);
  char **block = calloc (n, sizeof *block);
  allocator.open (work_dir (), 2 * GIB);
  for (size_t i = 0; block != NULL && i < n; i++)
    {
      block[i] = bench_malloc (MIB);
      if (block[i] == NULL)
        die ("sync", "no memory");
      memset (block[i], 1, MIB);
    }
  double start = wall_now ();
  allocator.sync ();
  report (name, "sync-all-ms", ms_since (start));

  /* Different pages: the stride has no factor in common with their number.  */
  size_t n_pages = n * (MIB / PAGE), n_dirty = n_pages / 100;
  double before = written_bytes ();
  for (size_t i = 0; i < n_dirty; i++)
    {
      size_t page = (i * 1000003 + draws[0]) % n_pages;
      block[page / (MIB / PAGE)][page % (MIB / PAGE) * PAGE] = 2;
    }
  start = wall_now ();
  allocator.sync ();
  report (name, "sync-ms", ms_since (start));
  report (name, "written/dirtied",
          (written_bytes () - before) / ((double) n_dirty * PAGE));
  allocator.close ();
  free (block);
}


/* ---- Opening --------------------------------------------------------- */

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

enum { N_OPENS = 21 };

/* Open the heap, allocate, and be killed.  */
static void
open_and_die (void)
{
  pid_t child = fork ();
  if (child == 0)
    {
      allocator.reopen ();
      for (size_t i = 0; i < 1000; i++)
        block_new (draw_size (i));
      raise (SIGKILL);
    }
  int status;
  if (child < 0 || waitpid (child, &status, 0) != child
      || !WIFSIGNALED (status) || WTERMSIG (status) != SIGKILL)
    die ("reopen", "the child was not killed");
}

static double
median_open_ms (int kill)
{
  double took[N_OPENS];
  for (size_t i = 0; i < N_OPENS; i++)
    {
      if (kill)
        open_and_die ();
      double start = wall_now ();
      allocator.reopen ();
      took[i] = ms_since (start);
      allocator.close ();
    }
  qsort (took, N_OPENS, sizeof *took, by_value);
  return took[N_OPENS / 2];
}

/* A heap with ten blocks of 1 GiB that nobody has written to.  */
static void
reopen (const char *name)
{
  allocator.open (work_dir (), 12 * GIB);
  for (size_t i = 0; i < 10; i++)
    if (bench_malloc (GIB) == NULL)
      die ("reopen", "no block of 1 GiB");
  double start = wall_now ();
  allocator.close ();
  report (name, "close-ms", ms_since (start));
  report (name, "open-ms", median_open_ms (0));
  report (name, "open-killed-ms", median_open_ms (1));
}


/* ---- Dirty pages ----------------------------------------------------- */

/* All of the heap is made read-only; the first store to a page is seen in a
   signal handler, which counts it and lets the page be written.  This works
   for any heap and any kernel.  */

static struct { char *start; size_t size; } heap_map[64];
static size_t n_heap_maps;
static _Atomic size_t n_dirtied;

static void
on_store (int sig, siginfo_t *info, void *context)
{
  (void) context;
  char *page = (char *) ((uintptr_t) info->si_addr & ~(uintptr_t) (PAGE - 1));
  for (size_t i = 0; i < n_heap_maps; i++)
    if (page >= heap_map[i].start
        && page < heap_map[i].start + heap_map[i].size
        && mprotect (page, PAGE, PROT_READ | PROT_WRITE) == 0)
      {
        atomic_fetch_add (&n_dirtied, 1);
        return;
      }
  signal (sig, SIG_DFL);
}

/* Find the mappings of the heap's files that can be written.  */
static void
heap_maps_find (void)
{
  char line[4500];
  FILE *f = fopen ("/proc/self/maps", "r");
  n_heap_maps = 0;
  while (f != NULL && fgets (line, sizeof line, f) != NULL)
    {
      size_t start, end;
      char mode[5];
      if (sscanf (line, "%zx-%zx %4s", &start, &end, mode) == 3
          && mode[1] == 'w' && strstr (line, work_dir ()) != NULL
          && n_heap_maps < sizeof heap_map / sizeof *heap_map)
        {
          heap_map[n_heap_maps].start = (char *) start;
          heap_map[n_heap_maps++].size = end - start;
        }
    }
  if (f != NULL)
    fclose (f);
  if (n_heap_maps == 0)
    die ("dirty", "the heap's mapping was not found");
}

static void
heap_protect (int mode)
{
  for (size_t i = 0; i < n_heap_maps; i++)
    if (mprotect (heap_map[i].start, heap_map[i].size, mode) != 0)
      die ("dirty", "mprotect failed");
}

enum { N_LIVE = 100000, N_OPS = 1000, N_ROUNDS = 20 };
static void *live[N_LIVE + N_OPS * N_ROUNDS];

/* An operation on a heap with 100 000 live blocks; I counts them.  */
static void
op_malloc (size_t i)
{
  live[N_LIVE + i] = bench_malloc (draw_size (i * 3));
}

static void
op_free (size_t i)
{
  bench_free (live[N_LIVE + i]);
}

static void
op_replace (size_t i)
{
  void **slot = &live[draws[i] % N_LIVE];
  bench_free (*slot);
  *slot = bench_malloc (draw_size (i * 5));
}

static void
op_replace_and_write (size_t i)
{
  void **slot = &live[draws[i] % N_LIVE];
  bench_free (*slot);
  *slot = block_new (draw_size (i * 5));
}

static void
dirty_of (const char *name, const char *metric, void (*op) (size_t))
{
  atomic_store (&n_dirtied, 0);
  for (size_t i = 0; i < N_OPS * N_ROUNDS; i++)
    {
      if (i % N_OPS == 0)
        heap_protect (PROT_READ);
      op (i);
    }
  heap_protect (PROT_READ | PROT_WRITE);
  report (name, metric, (double) atomic_load (&n_dirtied) / N_ROUNDS);
}

/* Pages that 1000 operations dirty; nothing is written to the blocks unless
   said.  "Replace" is a free and an allocation.  */
static void
dirty (const char *name)
{
  struct sigaction action = { .sa_sigaction = on_store,
                              .sa_flags = SA_SIGINFO };
  allocator.open (work_dir (), 2 * GIB);
  for (size_t i = 0; i < N_LIVE; i++)
    live[i] = block_new (draw_size (i));
  for (size_t i = 0; i < N_LIVE; i++)
    op_replace_and_write (i);
  heap_maps_find ();
  sigaction (SIGSEGV, &action, NULL);
  dirty_of (name, "malloc-pages", op_malloc);
  dirty_of (name, "free-pages", op_free);
  dirty_of (name, "replace-pages", op_replace);
  dirty_of (name, "replace-write-pages", op_replace_and_write);
  signal (SIGSEGV, SIG_DFL);
  allocator.close ();
}


const struct workload files_workloads[] =
{
  { "sync", sync_few, FILES_ONLY | NO_REUSE },
  { "reopen", reopen, FILES_ONLY | NO_REUSE },
  { "dirty", dirty, FILES_ONLY },
  { NULL, NULL, 0 }
};
