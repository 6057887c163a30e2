/* A thread that replaces blocks of one size at random looks for more pages now
   and then, and sweeps on the way, which takes the page from its own bin.  */

#include "support.h"

enum { SET = 400000, STEPS = 4000000 };
static void *set[SET];

START_TEST (one_size)
{
  void *md = heap_limited (_i, MIB (64));
  uint64_t state = random_seed ();
  for (size_t i = 0; i < STEPS; i++)
    {
      void **slot = &set[random_below (&state, SET)];
      if (*slot == NULL)
        *slot = mmalloc (md, 64);
      else
        {
          mfree (md, *slot);
          *slot = NULL;
        }
      if (i % (STEPS / 16) == 0)
        heap_is_whole (md);
    }
  for (size_t i = 0; i < SET; i++)
    mfree (md, set[i]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (one_size)
