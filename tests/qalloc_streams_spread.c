/* Live threads are spread evenly over the streams of a static map, each of
   which is a part of its items: two threads on two streams get two parts,
   however many came and went before.  */

#include "qalloc_support.h"

enum { N_THREADS = 8 };
static void *map;
static pthread_barrier_t barrier;
static char *got[N_THREADS];

static void *
take_one (void *arg)
{
  *(char **) arg = qalloc_malloc (map, 64);
  pthread_barrier_wait (&barrier);
  return NULL;
}

/* The part of the map, of N, that P lies in.  Parts begin at the start of a
   cache line of bits, so up to 512 items before an even split.  */
static size_t
part_of (const char *p, size_t n)
{
  struct qalloc_stats s = map_stats (map);
  size_t at = (size_t) (p - (char *) s.address) + 512 * 64;
  must (p > (char *) s.address && at < s.file_size);
  return at * n / s.file_size;
}

/* The main thread is one of them.  */
static void
spread (size_t n_threads, size_t streams, size_t rounds)
{
  map = map_make (STATIC_MAP, MIB (1), 64, streams);
  for (size_t round = 0; round < rounds; round++)
    {
      size_t on[N_THREADS] = { 0 };
      pthread_t thread[N_THREADS];
      pthread_barrier_init (&barrier, NULL, (unsigned) n_threads);
      for (size_t i = 1; i < n_threads; i++)
        thread[i] = thread_start (take_one, &got[i]);
      take_one (&got[0]);
      for (size_t i = 1; i < n_threads; i++)
        thread_end (thread[i]);
      for (size_t i = 0; i < n_threads; i++)
        on[part_of (got[i], streams)]++;
      for (size_t s = 0; s < streams; s++)
        ck_assert_uint_eq (on[s], n_threads / streams);
      pthread_barrier_destroy (&barrier);
      /* Those of one stream begin in words of their own.  */
      for (size_t i = 0; i < n_threads && round == 0; i++)
        for (size_t j = 0; j < i; j++)
          ck_assert_uint_ge ((size_t) labs (got[i] - got[j]), 64 * 64);
      for (size_t i = 0; i < n_threads; i++)
        qalloc_free (got[i], map);
    }
  map_end (map);
  ck_assert_int_eq (unlink (map_path (STATIC_MAP)), 0);
}

START_TEST (threads)
{
  spread (2, 2, 50);
  spread (6, 3, 50);
  spread (8, 2, 20);
}
END_TEST

/* One thread comes, goes, comes; the other one stays.  */
START_TEST (come_and_go)
{
  map = map_make (STATIC_MAP, MIB (1), 64, 2);
  pthread_barrier_init (&barrier, NULL, 1);
  size_t mine = part_of (qalloc_malloc (map, 64), 2);
  for (int i = 0; i < 20; i++)
    {
      thread_run (take_one, &got[0]);
      ck_assert_uint_ne (part_of (got[0], 2), mine);
      mine = part_of (qalloc_malloc (map, 64), 2);
    }
  map_end (map);
}
END_TEST

RUN_TESTS (threads, come_and_go)
