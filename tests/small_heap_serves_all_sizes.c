/* A heap of at most 1 MiB is still useful for blocks of all sizes.  */

#include "support.h"

enum { STEP = 16, N = 4096 / STEP };

START_TEST (a_block_of_every_size_at_once)
{
  void *md = heap_limited (_i, MIB (1));
  char *blocks[N];
  for (size_t i = 0; i < N; i++)
    {
      size_t size = 1 + i * STEP;
      blocks[i] = mmalloc (md, size);
      ck_assert_msg (blocks[i] != NULL, "no block of %zu", size);
      block_fill (blocks[i], size, i);
    }
  for (size_t i = 0; i < N; i++)
    must (block_holds (blocks[i], 1 + i * STEP, i));
  ck_assert_uint_le (heap_stats (md).length, MIB (1));
  heap_free_all (md, (void **) blocks, N);
  heap_end (md);
}
END_TEST

START_TEST (every_size_one_after_the_other)
{
  void *md = heap_limited (_i, MIB (1));
  for (size_t size = 1; size <= KIB (512); size += 1 + size / 50)
    {
      char *block = mmalloc (md, size);
      ck_assert_msg (block != NULL, "no block of %zu", size);
      block_fill (block, size, size);
      mfree (md, block);
    }
  heap_end (md);
}
END_TEST

START_TEST (some_larger_at_once)
{
  void *md = heap_limited (_i, MIB (1));
  char *blocks[10];
  size_t n = 0;
  for (size_t size = 8; size <= KIB (256); size *= 4)
    {
      blocks[n] = mmalloc (md, size);
      ck_assert_msg (blocks[n] != NULL, "no block of %zu", size);
      block_fill (blocks[n], size, n);
      n++;
    }
  heap_free_all (md, (void **) blocks, n);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (a_block_of_every_size_at_once,
                  every_size_one_after_the_other, some_larger_at_once)
