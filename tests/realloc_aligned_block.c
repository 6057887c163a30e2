/* A block of mmemalign is a block like any other: it grows and shrinks and
   keeps its contents.  */

#include "support.h"

START_TEST (contents_kept)
{
  void *md = heap_new (_i);
  for (size_t alignment = 32; alignment <= MIB (64); alignment *= 4)
    for (size_t size = 20; size < MIB (1); size *= 10)
      {
        char *block = mmemalign (md, alignment, size);
        must (block != NULL && is_aligned (block, alignment));
        block_fill (block, size, alignment);
        block = mrealloc (md, block, 3 * size);
        must (block != NULL && block_holds (block, size & ~7ul, alignment));
        block = mrealloc (md, block, size / 2);
        must (block != NULL
              && block_holds (block, (size / 2) & ~7ul, alignment));
        mfree (md, block);
      }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (contents_kept)
