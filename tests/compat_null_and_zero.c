/* C11: NULL blocks and sizes of 0.  */

#include "support.h"

START_TEST (historical_meaning)
{
  void *md = heap_new (_i);
  ck_assert_ptr_null (mmalloc (md, 0));
  mfree (md, NULL);
  char *block = mrealloc (md, NULL, 100);
  ck_assert_ptr_nonnull (block);
  block_fill (block, 100, 1);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  ck_assert_ptr_null (mrealloc (md, block, 0));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  ck_assert_ptr_null (mrealloc (md, NULL, 0));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (historical_meaning)
