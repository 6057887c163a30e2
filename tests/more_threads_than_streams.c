/* More threads at once than a heap can have streams: all are served.  */

#include "support.h"

enum { THREADS = 400, BLOCKS = 60 };
static void *md;
static void *blocks[THREADS][BLOCKS];
static pthread_barrier_t barrier;

static void *
worker (void *arg)
{
  size_t me = (size_t) arg;
  for (size_t i = 0; i < BLOCKS; i++)
    {
      blocks[me][i] = mmalloc (md, 16 + i * 20);
      must (blocks[me][i] != NULL);
      block_fill (blocks[me][i], 16 + i * 20, me * BLOCKS + i);
    }
  pthread_barrier_wait (&barrier);
  /* All are here with their blocks; now free those of another one.  */
  size_t other = (me + 7) % THREADS;
  for (size_t i = 0; i < BLOCKS; i++)
    {
      must (block_holds (blocks[other][i], 16 + i * 20, other * BLOCKS + i));
      if (i % 2 == 0)
        mfree (md, blocks[other][i]);
    }
  pthread_barrier_wait (&barrier);
  return NULL;
}

START_TEST (all_are_served)
{
  md = heap_new (_i);
  pthread_t *thread = calloc (THREADS, sizeof *thread);
  pthread_attr_t attr;
  pthread_attr_init (&attr);
  pthread_attr_setstacksize (&attr, KIB (256));
  pthread_barrier_init (&barrier, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++)
    ck_assert_int_eq (pthread_create (&thread[i], &attr, worker, (void *) i),
                      0);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  free (thread);
  ck_assert_uint_eq (heap_stats (md).blocks_live, THREADS * BLOCKS / 2);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (all_are_served)
