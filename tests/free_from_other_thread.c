/* Blocks freed by another thread than the one that made them come back for
   use: to their maker, and to the one who freed them.  */

#include <sched.h>

#include "support.h"

enum { MAX = 70000 };
static void *blocks[MAX];
static void *md;
static size_t n;

static void *
free_all (void *unused)
{
  (void) unused;
  for (size_t i = 0; i < n; i++)
    must (block_holds (blocks[i], 60, i));
  heap_free_all (md, blocks, n);
  return NULL;
}

static void *
fill_all (void *size)
{
  n = heap_fill (md, (size_t) size, blocks, MAX);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], 60, i);
  return NULL;
}

START_TEST (all_of_it_comes_back)
{
  static const size_t sizes[] = { 60, 64, 500, 4096, 30000, 100000 };
  md = heap_limited (_i, MIB (2));
  for (size_t s = 0; s < 6; s++)
    {
      void *size = (void *) sizes[s];
      fill_all (size);
      size_t first = n;
      ck_assert_uint_gt (first, 5);
      for (int round = 0; round < 4; round++)
        {
          thread_run (free_all, NULL);
          ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
          fill_all (size);
          ck_assert_uint_ge (n, first - first / 32);
          free_all (NULL);
          thread_run (fill_all, size);
          ck_assert_uint_ge (n, first - first / 32);
        }
      free_all (NULL);
    }
  heap_end (md);
}
END_TEST

/* A thread makes blocks and hands them over a ring, another frees them: the
   heap stays as small as what is under way.  */
enum { RING = 512, TURNS = 300000 };
static _Atomic (void *) ring[RING];

static void *
producer (void *unused)
{
  (void) unused;
  for (size_t i = 0; i < TURNS; i++)
    {
      void *block = mmalloc (md, 32 + i % 256);
      must (block != NULL);
      block_fill (block, 32, i);
      while (ring[i % RING] != NULL)
        sched_yield ();
      ring[i % RING] = block;
    }
  return NULL;
}

START_TEST (producer_and_consumer)
{
  md = heap_limited (_i, MIB (2));
  pthread_t thread = thread_start (producer, NULL);
  for (size_t i = 0; i < TURNS; i++)
    {
      void *block;
      while ((block = ring[i % RING]) == NULL)
        sched_yield ();
      ring[i % RING] = NULL;
      must (block_holds (block, 32, i));
      mfree (md, block);
    }
  thread_end (thread);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (all_of_it_comes_back, producer_and_consumer)
