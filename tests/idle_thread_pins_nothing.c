/* What a thread has freed is everybody's, although the thread does nothing
   more and lives on.  */

#include "support.h"

enum { MAX = 70000, IDLERS = 6 };
static void *blocks[MAX];
static void *md;
/* All idlers stay until the last one is through.  */
static pthread_barrier_t ready, done;
static const size_t sizes[IDLERS] = { 16, 64, 100, 700, 2000, 4096 };

/* Take all there is in blocks of one size, free it, and be idle.  */
static void *
idler (void *arg)
{
  static void *mine[MAX];
  size_t n = heap_fill (md, *(const size_t *) arg, mine, MAX);
  must (n > 100);
  heap_free_all (md, mine, n);
  pthread_barrier_wait (&ready);
  pthread_barrier_wait (&done);
  return NULL;
}

START_TEST (others_get_the_room)
{
  static const size_t wanted[] = { 24, 3000, 20000, 100000 };
  size_t fresh[4];
  for (int i = 0; i < 4; i++)
    {
      void *other = heap_limited (ANONYMOUS, MIB (2));
      fresh[i] = heap_fill (other, wanted[i], blocks, MAX);
      ck_assert_uint_gt (fresh[i], 0);
      heap_end (other);
    }

  md = heap_limited (_i, MIB (2));
  pthread_barrier_init (&ready, NULL, 2);
  pthread_barrier_init (&done, NULL, IDLERS + 1);
  pthread_t thread[IDLERS];
  for (int t = 0; t < IDLERS; t++)
    {
      thread[t] = thread_start (idler, (void *) &sizes[t]);
      pthread_barrier_wait (&ready);
      for (int i = 0; i < 4; i++)
        {
          size_t n = heap_fill (md, wanted[i], blocks, MAX);
          ck_assert_msg (n >= fresh[i] - fresh[i] / 16,
                         "%zu blocks of %zu, %zu in a fresh heap; after %zu",
                         n, wanted[i], fresh[i], sizes[t]);
          heap_free_all (md, blocks, n);
        }
    }
  pthread_barrier_wait (&done);
  for (int t = 0; t < IDLERS; t++)
    thread_end (thread[t]);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (others_get_the_room)
