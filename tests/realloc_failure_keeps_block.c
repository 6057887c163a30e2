/* If mrealloc fails the old block stays as it was.  */

#include "support.h"

START_TEST (old_block_stays)
{
  static void *blocks[100];
  void *md = heap_limited (_i, MIB (4));
  size_t n = heap_fill (md, KIB (60), blocks, 100);
  ck_assert_uint_gt (n, 10);
  ck_assert_uint_lt (n, 100);
  char *block = blocks[n / 2];
  block_fill (block, KIB (60), 1);
  struct mmalloc_stats before = heap_stats (md);
  must_fail (md, mrealloc (md, block, MIB (3)), ENOSPC);
  must_fail (md, mrealloc (md, block, MIB (30)), ENOSPC);
  must_fail (md, mrealloc (md, block, any_size (SIZE_MAX)), ENOMEM);
  must_fail (md, mreallocarray (md, block, KIB (1), KIB (3)), ENOSPC);
  must_fail (md, mreallocarray (md, block, any_size (SIZE_MAX / 2), 3),
             ENOMEM);
  must (block_holds (block, KIB (60), 1));
  struct mmalloc_stats after = heap_stats (md);
  ck_assert_uint_eq (after.blocks_live, before.blocks_live);
  ck_assert_uint_eq (after.bytes_live, before.bytes_live);
  heap_free_all (md, blocks, n);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (old_block_stays)
