/* A thread's last acts, destructors of its thread-specific data, may still use
   the heap, whatever the order in which they run; nothing is left behind.  */

#include "support.h"

/* A destructor may come four times; ThreadSanitizer forgets a thread before
   the last.  */
enum { THREADS = 500, ROUNDS = UNDER_TSAN ? 2 : 4 };
static void *md;
static pthread_key_t early_key, late_key;
static int late_calls;

struct data
{
  int round;
  pthread_key_t *key;
  void *block;
};

/* Come again as often as the system allows, each time with other blocks.  */
static void
destroy (void *arg)
{
  struct data *data = arg;
  must (block_holds (data->block, 200, (uint64_t) data->round));
  mfree (md, data->block);
  data->round++;
  __atomic_add_fetch (&late_calls, 1, __ATOMIC_RELAXED);
  if (data->round == ROUNDS)
    {
      mfree (md, data);
      return;
    }
  data->block = mmalloc (md, 200);
  must (data->block != NULL);
  block_fill (data->block, 200, (uint64_t) data->round);
  must (pthread_setspecific (*data->key, data) == 0);
}

static void
leave_with (pthread_key_t *key)
{
  struct data *data = mmalloc (md, sizeof *data);
  must (data != NULL);
  *data = (struct data) { .key = key, .block = mmalloc (md, 200) };
  block_fill (data->block, 200, 0);
  must (pthread_setspecific (*key, data) == 0);
}

static void *
thread (void *unused)
{
  (void) unused;
  leave_with (&early_key);
  leave_with (&late_key);
  return NULL;
}

START_TEST (used_in_destructors)
{
  ck_assert_int_eq (pthread_key_create (&early_key, destroy), 0);
  md = heap_new (_i);
  mfree (md, mmalloc (md, 10));
  ck_assert_int_eq (pthread_key_create (&late_key, destroy), 0);
  struct mmalloc_stats stats;
  size_t backed = 0;
  for (int i = 0; i < THREADS; i++)
    {
      thread_run (thread, NULL);
      stats = heap_stats (md);
      ck_assert_uint_eq (stats.blocks_live, 0);
      if (i == 10)
        backed = stats.bytes_backed;
    }
  ck_assert_int_eq (late_calls, THREADS * 2 * ROUNDS);
  ck_assert_uint_le (stats.bytes_backed, backed + KIB (256));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (used_in_destructors)
