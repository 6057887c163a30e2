/* A heap is detached while other threads live that used it and cached some of
   it.  Whatever comes to the same address later, those threads serve
   themselves from that, not from what they remember.  */

#include "support.h"

enum { THREADS = 5, BLOCKS = 200 };
static void *md;
static pthread_barrier_t barrier;
static void *blocks[THREADS + 1][BLOCKS];

static void
take (size_t me)
{
  for (size_t i = 0; i < BLOCKS; i++)
    {
      blocks[me][i] = mmalloc (md, 16 + i % 8 * 100);
      must (blocks[me][i] != NULL);
      block_fill (blocks[me][i], 16 + i % 8 * 100, me * BLOCKS + i);
    }
}

static void *
worker (void *arg)
{
  size_t me = (size_t) arg;
  for (int round = 0; round < 3; round++)
    {
      take (me);
      for (size_t i = 0; i < BLOCKS; i += 3)
        mfree (md, blocks[me][i]);
      pthread_barrier_wait (&barrier);
      pthread_barrier_wait (&barrier);
    }
  take (me);
  pthread_barrier_wait (&barrier);
  return NULL;
}

START_TEST (other_heap_at_the_same_address)
{
  md = heap_new (_i);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.base = md;
  pthread_barrier_init (&barrier, NULL, THREADS + 1);
  pthread_t thread[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    thread[i] = thread_start (worker, (void *) i);
  for (int round = 0; round < 3; round++)
    {
      pthread_barrier_wait (&barrier);
      heap_end (md);
      if (_i == IN_FILE && round != 1)
        unlink (temp_heap_path ());
      if (_i == IN_FILE && round == 1)
        ck_assert_ptr_eq (heap_file (), md);
      else
        ck_assert_ptr_eq (mmalloc_open (_i == IN_FILE ? temp_heap_path ()
                                        : NULL, MMALLOC_CREATE, &opt), md);
      if (round == 2)
        take (THREADS);
      pthread_barrier_wait (&barrier);
    }
  pthread_barrier_wait (&barrier);
  for (size_t me = 0; me <= THREADS; me++)
    for (size_t i = 0; i < BLOCKS; i++)
      must (block_holds (blocks[me][i], 16 + i % 8 * 100, me * BLOCKS + i));
  ck_assert_uint_eq (heap_stats (md).blocks_live, (THREADS + 1) * BLOCKS);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  heap_end (md);
}
END_TEST

START_TEST (same_heap_again)
{
  if (_i != IN_FILE)
    return;
  md = heap_file ();
  take (0);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  take (1);
  for (size_t me = 0; me <= 1; me++)
    for (size_t i = 0; i < BLOCKS; i++)
      must (block_holds (blocks[me][i], 16 + i % 8 * 100, me * BLOCKS + i));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 2 * BLOCKS);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (other_heap_at_the_same_address, same_heap_again)
