/* Threads at work at the same time do not share pages of small blocks, nor
   the cache lines in them, as long as there is room.  */

#include "support.h"

enum { THREADS = 12, BLOCKS = 50 };
static void *md;
static pthread_barrier_t barrier;
static char *blocks[THREADS][BLOCKS];

static void *
worker (void *arg)
{
  size_t me = (size_t) arg;
  pthread_barrier_wait (&barrier);
  for (size_t i = 0; i < BLOCKS; i++)
    {
      blocks[me][i] = mmalloc (md, 40);
      must (blocks[me][i] != NULL);
    }
  pthread_barrier_wait (&barrier);
  return NULL;
}

START_TEST (no_system_page_shared)
{
  md = heap_new (_i);
  pthread_barrier_init (&barrier, NULL, THREADS);
  pthread_t thread[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    thread[i] = thread_start (worker, (void *) i);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  for (size_t a = 0; a < THREADS; a++)
    for (size_t b = 0; b < a; b++)
      for (size_t i = 0; i < BLOCKS; i++)
        for (size_t j = 0; j < BLOCKS; j++)
          must ((uintptr_t) blocks[a][i] / 4096
                != (uintptr_t) blocks[b][j] / 4096);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (no_system_page_shared)
