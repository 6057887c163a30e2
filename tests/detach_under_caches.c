/* A heap is detached while other threads live that used it and cached some of
   it.  Whatever comes to the same address later, those threads serve
   themselves from that, not from what they remember.  */

#include "support.h"

#include <sched.h>

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

/* A thread has said that it uses one heap no more, and goes on with others
   while that one goes.  For ThreadSanitizer.  */
static void *others[2];
static atomic_int stage;

static void *
leave_one (void *unused)
{
  (void) unused;
  for (int i = 0; i < 2; i++)
    mfree (others[i], mmalloc (others[i], 100));
  mfree (md, mmalloc (md, 100));
  atomic_store_explicit (&stage, 1, memory_order_release);
  for (int round = 0; atomic_load_explicit (&stage, memory_order_relaxed) == 1
                      || round < 1000; round++)
    for (int i = 0; i < 2; i++)
      mfree (others[i], mmalloc (others[i], 100 + 5000 * (size_t) i));
  return NULL;
}

START_TEST (beside_other_heaps)
{
  md = heap_new (_i);
  for (int i = 0; i < 2; i++)
    others[i] = heap_new (ANONYMOUS);
  pthread_t thread = thread_start (leave_one, NULL);
  while (atomic_load_explicit (&stage, memory_order_acquire) != 1)
    sched_yield ();
  ck_assert_ptr_null (mmalloc_detach (md));
  atomic_store_explicit (&stage, 2, memory_order_relaxed);
  thread_end (thread);
  for (int i = 0; i < 2; i++)
    heap_end (others[i]);
}
END_TEST

RUN_ON_OWN_HEAPS (other_heap_at_the_same_address, same_heap_again,
                  beside_other_heaps)
