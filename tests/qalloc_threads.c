/* Q8: threads of any number allocate from one map and free what others
   allocated; nothing is lost, nothing overlaps.  */

#include <stdatomic.h>

#include "qalloc_support.h"

enum { SLOTS = 400, STEPS = 30000 };

struct work
{
  void *map;
  size_t me, size;
  _Atomic (char *) *slot;
};

/* Swap blocks with the slots that all threads share: what comes out was mostly
   put there by another one.  */
static void *
exchange (void *arg)
{
  struct work *w = arg;
  uint64_t state = w->me + 1;
  for (size_t i = 0; i < STEPS; i++)
    {
      size_t s = random_below (&state, SLOTS);
      char *mine = i % 3 ? qalloc_malloc (w->map, w->size) : NULL;
      if (mine != NULL)
        block_fill (mine, 24, (uint64_t) (uintptr_t) mine);
      char *other = atomic_exchange (&w->slot[s], mine);
      if (other != NULL)
        {
          must (block_holds (other, 24, (uint64_t) (uintptr_t) other));
          memset (other, 0, 24);
          qalloc_free (other, w->map);
        }
    }
  return NULL;
}

static void
run (int kind, size_t n_threads, size_t streams, size_t items)
{
  static _Atomic (char *) slot[SLOTS];
  struct work work[16];
  pthread_t thread[16];
  off_t size = kind == STATIC_MAP ? (off_t) (48 + 40 * streams + items * 33)
                                  : (off_t) MIB (8);
  void *map = map_make (kind, size, 32, streams);
  for (size_t i = 0; i < n_threads; i++)
    {
      work[i] = (struct work) { map, i, kind == STATIC_MAP ? 32 : 24 + i * 50,
                                slot };
      thread[i] = thread_start (exchange, &work[i]);
    }
  for (size_t i = 0; i < n_threads; i++)
    thread_end (thread[i]);
  size_t live = 0;
  for (size_t i = 0; i < SLOTS; i++)
    live += slot[i] != NULL;
  ck_assert_uint_eq (map_stats (map).blocks_live, live);
  for (size_t i = 0; i < SLOTS; i++)
    {
      if (slot[i] != NULL)
        must (block_holds (slot[i], 24, (uint64_t) (uintptr_t) slot[i]));
      qalloc_free (slot[i], map);
      slot[i] = NULL;
    }
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  map_end (map);
  ck_assert_int_eq (unlink (map_path (kind)), 0);
}

START_TEST (as_many_as_streams)
{
  run (_i, 4, 4, 5000);
}
END_TEST

START_TEST (more_threads_than_streams)
{
  run (_i, 12, 3, 5000);
  run (_i, 6, 1, 5000);
}
END_TEST

START_TEST (more_streams_than_threads)
{
  run (_i, 2, 64, 5000);
}
END_TEST

/* The map is full most of the time.  */
START_TEST (too_few_items)
{
  run (_i, 6, 3, 300);
  run (_i, 6, 3, 100);
}
END_TEST

/* A map with just the items that the threads hold: each gets its share at all
   times, also while the others give and take.  */
enum { SHARE = 100 };

static void *
take_ones_share (void *arg)
{
  struct work *w = arg;
  uint64_t state = w->me;
  void *mine[SHARE];
  for (size_t i = 0; i < SHARE; i++)
    must ((mine[i] = qalloc_malloc (w->map, 16)) != NULL);
  for (size_t i = 0; i < STEPS; i++)
    {
      size_t k = random_below (&state, SHARE);
      qalloc_free (mine[k], w->map);
      must ((mine[k] = qalloc_malloc (w->map, 16)) != NULL);
    }
  return NULL;
}

START_TEST (just_enough_items)
{
  pthread_t thread[4];
  struct work work[4];
  void *map = map_make (STATIC_MAP, 48 + 2 * 40 + 7 * 8 + 8 + 4 * SHARE * 16,
                        16, 2);
  ck_assert_uint_eq (map_stats (map).bytes_free, 4 * SHARE * 16);
  for (size_t i = 0; i < 4; i++)
    {
      work[i] = (struct work) { .map = map, .me = i };
      thread[i] = thread_start (take_ones_share, &work[i]);
    }
  for (size_t i = 0; i < 4; i++)
    thread_end (thread[i]);
  must_refuse (qalloc_malloc (map, 16), ENOSPC);
  map_end (map);
}
END_TEST

/* One thread fills the map, others free all of it, a third one fills it
   again.  */
static void *blocks[40000];
static size_t n_blocks;

static void *
fill_it (void *map)
{
  n_blocks = map_fill (map, 32, blocks, 40000);
  return NULL;
}

static void *
empty_it (void *map)
{
  for (size_t i = 0; i < n_blocks; i++)
    qalloc_free (blocks[i], map);
  return NULL;
}

START_TEST (a_full_stream_takes_from_others)
{
  void *map = map_make (_i, MIB (1), 32, 3);
  thread_run (fill_it, map);
  size_t first = n_blocks;
  must (first > (size_t) (_i == STATIC_MAP ? 32000 : 20000) && first < 40000);
  must_refuse (qalloc_malloc (map, 32), ENOSPC);
  for (int i = 0; i < 4; i++)
    {
      thread_run (empty_it, map);
      ck_assert_uint_eq (map_stats (map).blocks_live, 0);
      thread_run (fill_it, map);
      ck_assert_uint_eq (n_blocks, first);
    }
  map_end (map);
}
END_TEST

RUN_ON_EACH_MAP (as_many_as_streams, more_threads_than_streams,
                 more_streams_than_threads, too_few_items, just_enough_items,
                 a_full_stream_takes_from_others)
