/* Before a request fails, every free block of a larger class is tried.  */

#include "support.h"

enum { MAX = 70000 };
static void *blocks[14][MAX];

START_TEST (any_larger_block_will_do)
{
  void *md = heap_limited (_i, MIB (1));
  static const size_t sizes[] = { 8192, 4096, 2048, 1024, 512, 256, 128, 64,
                                  32, 16, 1 };
  size_t n[11];
  /* Some of every size, then all that still goes in, larger ones first.  */
  for (int s = 0; s < 11; s++)
    n[s] = heap_fill (md, sizes[s], blocks[s], 8);
  for (int s = 0; s < 11; s++)
    n[s] += heap_fill (md, sizes[s], blocks[s] + n[s], MAX - n[s]);
  must_fail (md, mmalloc (md, 1), ENOSPC);

  /* One free block among live ones serves each smaller size.  */
  for (int large = 0; large < 10; large++)
    for (int small = large; small < 11; small++)
      {
        mfree (md, blocks[large][3]);
        blocks[large][3] = mmalloc (md, sizes[small]);
        ck_assert_msg (blocks[large][3] != NULL,
                       "a free block of %zu does not serve %zu",
                       sizes[large], sizes[small]);
        ck_assert_uint_ge (mmalloc_usable_size (md, blocks[large][3]),
                           sizes[small]);
        block_fill (blocks[large][3], sizes[small], 1);
        must_fail (md, mmalloc (md, 1), ENOSPC);
        mfree (md, blocks[large][3]);
        blocks[large][3] = mmalloc (md, sizes[large]);
        ck_assert_ptr_nonnull (blocks[large][3]);
      }
  heap_is_whole (md);
  for (int s = 0; s < 11; s++)
    heap_free_all (md, blocks[s], n[s]);
  heap_end (md);
}
END_TEST

/* A growing block would like room, but a block of its class will do.  */
START_TEST (growing_blocks_too)
{
  static void *block[MAX];
  void *md = heap_limited (_i, MIB (32));
  char *growing = mmalloc (md, _i == IN_FILE ? 3000 : 600);
  size_t size = _i == IN_FILE ? 5120 : 1280;
  must (growing != NULL);
  size_t n = heap_fill (md, size, block, MAX);
  must (n > 0 && n < MAX);
  /* Whole slices are gone, too.  */
  while (mmalloc (md, 16384) != NULL)
    ;
  for (size_t i = 0; i < n; i += 2)
    mfree (md, block[i]);
  growing = mrealloc (md, growing, size - 10);
  ck_assert_ptr_nonnull (growing);
  block_fill (growing, size - 10, 1);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (any_larger_block_will_do, growing_blocks_too)
