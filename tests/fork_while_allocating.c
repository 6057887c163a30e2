/* fork while other threads are inside the library: the child's heap is whole
   and usable, the parent's too.  */

#include <stdatomic.h>

#include "support.h"

enum { THREADS = 4, FORKS = 40 };
static void *md;
static int kind;
static atomic_int stop;

static void *
worker (void *arg)
{
  uint64_t state = (size_t) arg;
  void *blocks[100] = { NULL };
  while (!stop)
    {
      size_t i = random_below (&state, 100);
      size_t size = 1 + random_below (&state, i == 0 ? 200000 : 3000);
      mfree (md, blocks[i]);
      blocks[i] = mmalloc (md, size);
      must (blocks[i] != NULL);
      if (i == 1)
        must (mmalloc_setroot (md, "root", blocks[i]) == 0);
      if (i == 2 && size % 16 == 0)
        must (mmalloc_trim (md) >= 0);
    }
  heap_free_all (md, blocks, 100);
  return NULL;
}

static void
child (void *unused)
{
  (void) unused;
  static char *blocks[2000];
  for (size_t i = 0; i < 2000; i++)
    {
      blocks[i] = mmalloc (md, 1 + i);
      must (blocks[i] != NULL);
      block_fill (blocks[i], 1 + i, i);
    }
  char *large = mmalloc (md, MIB (3));
  ck_assert_ptr_nonnull (large);
  for (size_t i = 0; i < 2000; i++)
    {
      must (block_holds (blocks[i], 1 + i, i));
      mfree (md, blocks[i]);
    }
  mfree (md, large);
  ck_assert_int_eq (mmalloc_setroot (md, "mine", large), 0);
  ck_assert_ptr_null (mmalloc_detach (mmalloc_open (NULL, 0, NULL)));
  heap_is_whole (md);
}

START_TEST (child_goes_on)
{
  if (UNDER_TSAN)
    {
      skip ("ThreadSanitizer and fork in threads do not go together");
      return;
    }
  kind = _i;
  md = heap_new (_i);
  pthread_t thread[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    thread[i] = thread_start (worker, (void *) (i + 1));
  for (int i = 0; i < FORKS; i++)
    ck_assert_int_eq (child_run (child, NULL), 0);
  stop = 1;
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (child_goes_on)
