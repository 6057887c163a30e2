/* threads.c - several threads allocate and free.

   "ns" is time on the wall for an operation of each thread, "cpu" the time
   of all processors for an operation; an operation is an allocation, a write
   and a free.  */

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

enum { MAX_THREADS = 2 };

/* Run WORK in N threads, the caller among them, each with its number.  */
static void
together (size_t n, void *(*work) (void *arg))
{
  static size_t number[MAX_THREADS] = { 0, 1 };
  pthread_t thread[MAX_THREADS];
  for (size_t i = 1; i < n; i++)
    if (pthread_create (&thread[i], NULL, work, &number[i]) != 0)
      die ("pthread_create", "failed");
  work (&number[0]);
  for (size_t i = 1; i < n; i++)
    pthread_join (thread[i], NULL);
}

/* The same, and report what an operation took, if each thread makes N_OPS.  */
static void
measure (const char *name, size_t n, double n_ops, void *(*work) (void *arg))
{
  double wall = wall_now (), cpu = cpu_now ();
  together (n, work);
  report (name, "ns", (wall_now () - wall) / n_ops);
  report (name, "cpu", (cpu_now () - cpu) / (n_ops * (double) n));
}

/* The number of threads that ends NAME, as in "larson-2".  */
static size_t
threads_of (const char *name)
{
  return strtoul (strrchr (name, '-') + 1, NULL, 10);
}


/* ---- Two threads swap their sets ------------------------------------- */

/* Each replaces random blocks of its set; 100 times they swap the sets, so
   that nearly half of the frees are of blocks that the other one made.  */
enum { N_SET = 10000, N_SWAPS = 100 };
static void *swap_set[2][N_SET];
static pthread_barrier_t swap_barrier;
static size_t n_between;        /* operations between two swaps */

static void *
swap_work (void *arg)
{
  size_t me = *(size_t *) arg;
  for (size_t i = 0; i < N_SET; i++)
    swap_set[me][i] = block_new (draw_size (i));
  for (size_t i = 0; i < N_SWAPS; i++)
    {
      pthread_barrier_wait (&swap_barrier);
      void **set = swap_set[(me + i) % 2];
      size_t at = (i * 2 + me) * 10007;
      for (size_t j = at; j < at + n_between; j++)
        {
          void **slot = &set[draws[j & DRAWS_MASK] % N_SET];
          bench_free (*slot);
          *slot = block_new (draw_size (j * 31 + 7));
        }
    }
  pthread_barrier_wait (&swap_barrier);
  for (size_t i = 0; i < N_SET; i++)
    bench_free (swap_set[me][i]);
  return NULL;
}

static void
swap (const char *name)
{
  n_between = times (10000);
  pthread_barrier_init (&swap_barrier, NULL, 2);
  measure (name, 2, (double) (n_between * N_SWAPS + N_SET), swap_work);
  pthread_barrier_destroy (&swap_barrier);
}


/* ---- Producer and consumer ------------------------------------------- */

/* One thread allocates, the other frees; between them a ring.  The indices are
   looked at and moved for many blocks at once, so that it costs little.  */
enum { RING = 4096, STEP = 64 };
static void *ring[RING];
static _Alignas (64) _Atomic size_t n_put;
static _Alignas (64) _Atomic size_t n_taken;
static size_t n_pass;           /* blocks to hand over, a multiple of STEP */

static void
produce (void)
{
  for (size_t i = 0; i < n_pass; i += STEP)
    {
      while (i + STEP - atomic_load_explicit (&n_taken, memory_order_acquire)
             > RING)
        sched_yield ();
      for (size_t j = i; j < i + STEP; j++)
        ring[j % RING] = block_new (draw_size (j));
      atomic_store_explicit (&n_put, i + STEP, memory_order_release);
    }
}

static void
consume (void)
{
  for (size_t i = 0; i < n_pass; i += STEP)
    {
      while (atomic_load_explicit (&n_put, memory_order_acquire) < i + STEP)
        sched_yield ();
      for (size_t j = i; j < i + STEP; j++)
        bench_free (ring[j % RING]);
      atomic_store_explicit (&n_taken, i + STEP, memory_order_release);
    }
}

static void *
produce_or_consume (void *arg)
{
  if (*(size_t *) arg == 0)
    produce ();
  else
    consume ();
  return NULL;
}

static void
producer (const char *name)
{
  n_pass = (times (1000000) + STEP - 1) / STEP * STEP;
  atomic_store (&n_put, 0);
  atomic_store (&n_taken, 0);
  measure (name, 2, (double) n_pass, produce_or_consume);
}


/* ---- Larson's server ------------------------------------------------- */

/* A thread replaces random ones of its 1000 blocks for a while, then leaves
   them to a new thread that goes on, and ends: blocks outlive their maker.  */
enum { N_LARSON = 1000, N_GENERATIONS = 20 };
static void *larson_set[MAX_THREADS][N_LARSON];
static size_t n_life;           /* operations of a thread's life */

static void *
larson_live (void *arg)
{
  void **set = arg;
  size_t at = (size_t) (set - larson_set[0]) * 31;
  for (size_t i = at; i < at + n_life; i++)
    {
      void **slot = &set[draws[i & DRAWS_MASK] % N_LARSON];
      bench_free (*slot);
      *slot = block_new (draw_size (i * 17 + 3));
    }
  return NULL;
}

static void *
larson_work (void *arg)
{
  void **set = larson_set[*(size_t *) arg];
  for (size_t i = 0; i < N_GENERATIONS; i++)
    {
      pthread_t thread;
      if (pthread_create (&thread, NULL, larson_live, set) != 0)
        die ("pthread_create", "failed");
      pthread_join (thread, NULL);
    }
  return NULL;
}

static void
larson (const char *name)
{
  n_life = times (50000);
  for (size_t i = 0; i < threads_of (name); i++)
    for (size_t j = 0; j < N_LARSON; j++)
      larson_set[i][j] = block_new (draw_size (i + j));
  measure (name, threads_of (name), (double) (n_life * N_GENERATIONS),
           larson_work);
  for (size_t i = 0; i < threads_of (name); i++)
    for (size_t j = 0; j < N_LARSON; j++)
      bench_free (larson_set[i][j]);
}


/* ---- Threadtest ------------------------------------------------------ */

/* Each thread allocates 50 000 blocks of 8 bytes and frees them, again and
   again; the threads have nothing to do with each other.  */
enum { N_THREADTEST = 50000 };
static size_t n_rounds;

static void *
threadtest_work (void *arg)
{
  static void *live[MAX_THREADS][N_THREADTEST];
  void **mine = live[*(size_t *) arg];
  for (size_t round = 0; round < n_rounds; round++)
    {
      for (size_t i = 0; i < N_THREADTEST; i++)
        mine[i] = block_new (8);
      for (size_t i = 0; i < N_THREADTEST; i++)
        bench_free (mine[i]);
    }
  return NULL;
}

static void
threadtest (const char *name)
{
  n_rounds = times (40);
  measure (name, threads_of (name), (double) (n_rounds * N_THREADTEST),
           threadtest_work);
}


/* ---- Mixed sizes, as in shbench -------------------------------------- */

/* Sizes up to 1000 bytes, the small ones far more often.  Blocks come in
   groups of 16 of one size; of each second group the blocks are freed at once,
   half of them in the order they came and half backwards; the others stay
   until 256 more groups were made.  */
enum { GROUP = 16, N_KEPT = 256 };
static size_t n_groups;

static size_t
skewed_size (size_t i)
{
  uint32_t draw = draws[i & DRAWS_MASK];
  return 1 + (draw >> 22) * ((draw >> 12) & 1023) / 1048 * ((draw & 7) + 1) / 8;
}

static void *
mixed_work (void *arg)
{
  static void *kept[MAX_THREADS][N_KEPT][GROUP];
  void *now[GROUP];
  size_t me = *(size_t *) arg;
  for (size_t g = 0; g < n_groups; g++)
    {
      size_t size = skewed_size (g * 2 + me);
      void **group = g % 2 == 0 ? now : kept[me][g / 2 % N_KEPT];
      if (g % 2 != 0 && group[0] != NULL)
        for (size_t i = 0; i < GROUP; i++)
          bench_free (group[i]);
      for (size_t i = 0; i < GROUP; i++)
        group[i] = block_new (size < 8 ? 8 : size);
      if (g % 2 == 0)
        for (size_t i = 0; i < GROUP / 2; i++)
          {
            bench_free (now[i]);
            bench_free (now[GROUP - 1 - i]);
          }
    }
  for (size_t k = 0; k < N_KEPT; k++)
    for (size_t i = 0; i < GROUP && kept[me][k][0] != NULL; i++)
      bench_free (kept[me][k][i]);
  memset (kept[me], 0, sizeof kept[me]);
  return NULL;
}

static void
mixed (const char *name)
{
  n_groups = times (120000);
  measure (name, threads_of (name), (double) (n_groups * GROUP), mixed_work);
}


/* ---- False sharing --------------------------------------------------- */

/* Each thread makes a block of 8 bytes, writes to it 1000 times and frees it.
   Scratch: the first block of each comes from the main thread, made side by
   side with that of the other; thrash: no such block.  An allocator that puts
   blocks of two threads into one line of the cache is slow.  */
enum { N_WRITES = 1000 };
static void *given[MAX_THREADS];
static size_t n_blocks;

static void *
sharing_work (void *arg)
{
  size_t me = *(size_t *) arg;
  volatile char *block = given[me];
  for (size_t i = 0; i < n_blocks; i++)
    {
      if (block == NULL)
        block = block_new (8);
      for (size_t j = 0; j < N_WRITES; j++)
        block[j % 8] = (char) (block[j % 8] + 1);
      bench_free ((void *) block);
      block = NULL;
    }
  return NULL;
}

static void
sharing (const char *name, int give)
{
  n_blocks = times (20000);
  for (size_t i = 0; i < MAX_THREADS; i++)
    given[i] = give ? block_new (8) : NULL;
  measure (name, 2, (double) n_blocks, sharing_work);
}

static void scratch (const char *name) { sharing (name, 1); }
static void thrash (const char *name) { sharing (name, 0); }


/* ---- Batches handed over, as in xmalloc ------------------------------ */

/* Each thread makes batches of 120 blocks and puts them on a common list, from
   which it takes one that another thread made if it can, and frees it.  */
enum { N_XBATCH = 120, N_XLIST = 64 };
struct xbatch
{
  size_t maker;
  void *block[N_XBATCH];
};
static struct xbatch xlist[N_XLIST];
static size_t n_xlist;
static pthread_mutex_t xlock = PTHREAD_MUTEX_INITIALIZER;
static size_t n_xbatches;

/* Put B on the list; once that is half full, take another one from it into B,
   best one of another thread.  Whether one was taken.  */
static int
xexchange (struct xbatch *b, size_t me)
{
  int taken = 0;
  pthread_mutex_lock (&xlock);
  struct xbatch put = *b;
  if (n_xlist >= N_XLIST / 2)
    {
      size_t at = 0;
      while (at < n_xlist - 1 && xlist[at].maker == me)
        at++;
      *b = xlist[at];
      xlist[at] = xlist[--n_xlist];
      taken = 1;
    }
  xlist[n_xlist++] = put;
  pthread_mutex_unlock (&xlock);
  return taken;
}

static void
xfree (const struct xbatch *b)
{
  for (size_t i = 0; i < N_XBATCH; i++)
    bench_free (b->block[i]);
}

static void *
xmalloc_work (void *arg)
{
  struct xbatch b;
  size_t me = *(size_t *) arg;
  for (size_t n = 0; n < n_xbatches; n++)
    {
      b.maker = me;
      for (size_t i = 0; i < N_XBATCH; i++)
        b.block[i] = block_new (16 + draw_size (n * N_XBATCH + i) / 4);
      if (xexchange (&b, me))
        xfree (&b);
    }
  return NULL;
}

static void
xmalloc (const char *name)
{
  n_xbatches = times (10000);
  measure (name, 2, (double) (n_xbatches * N_XBATCH), xmalloc_work);
  while (n_xlist > 0)
    xfree (&xlist[--n_xlist]);
}


const struct workload threads_workloads[] =
{
  { "swap-2", swap, 0 },
  { "producer", producer, 0 },
  { "larson-1", larson, 0 },
  { "larson-2", larson, 0 },
  { "threadtest-2", threadtest, 0 },
  { "shbench-1", mixed, 0 },
  { "shbench-2", mixed, 0 },
  { "cache-scratch", scratch, 0 },
  { "cache-thrash", thrash, 0 },
  { "xmalloc-2", xmalloc, 0 },
  { NULL, NULL, 0 }
};
