/* C14: a heap grown past 4 MiB whose last room is free; then a block that
   reaches into that room is made longer and longer.  Blocks never overlap.  */

#include "support.h"

enum { N = 1100 };

START_TEST (no_overlap)
{
  void *md = heap_new (_i);
  static char *blocks[N];
  for (size_t i = 0; i < N; i++)
    {
      blocks[i] = mmalloc (md, 4096);
      ck_assert_ptr_nonnull (blocks[i]);
      block_fill (blocks[i], 4096, i);
    }
  char *last = mmalloc (md, KIB (64));
  char *behind = mmalloc (md, KIB (512));
  block_fill (last, KIB (64), N);
  mfree (md, behind);
  size_t size = KIB (64);
  for (int step = 0; step < 60; step++)
    {
      last = mrealloc (md, last, size + KIB (96));
      ck_assert_ptr_nonnull (last);
      must (block_holds (last, size, N));
      size += KIB (96);
      block_fill (last, size, N);
      for (size_t i = 0; i < N; i++)
        must (block_holds (blocks[i], 4096, i));
    }
  must (block_holds (last, size, N));
  ck_assert_uint_eq (heap_stats (md).blocks_live, N + 1);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (no_overlap)
