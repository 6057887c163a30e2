/* mcalloc: all zero, also in memory that was written and freed before.  */

#include "support.h"

START_TEST (after_dirt)
{
  void *md = heap_new (_i);
  static const size_t sizes[] = { 1, 16, 24, 100, 1000, 4000, 5000, 33000,
                                  100001, MIB (2), MIB (20) };
  for (int round = 0; round < 3; round++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      {
        void *blocks[8];
        size_t n = sizes[i] > MIB (1) ? 2 : 8;
        for (size_t j = 0; j < n; j++)
          {
            blocks[j] = mcalloc (md, 1, sizes[i]);
            must (blocks[j] != NULL);
            must (block_is_zero (blocks[j], sizes[i]));
            memset (blocks[j], 0xff, mmalloc_usable_size (md, blocks[j]));
          }
        heap_free_all (md, blocks, n);
      }
  heap_end (md);
}
END_TEST

START_TEST (product)
{
  void *md = heap_new (_i);
  char *block = mcalloc (md, 1000, 77);
  ck_assert_ptr_nonnull (block);
  ck_assert_uint_ge (mmalloc_usable_size (md, block), 77000);
  must (block_is_zero (block, 77000));
  heap_end (md);
}
END_TEST

START_TEST (after_trim)
{
  void *md = heap_new (_i);
  for (int round = 0; round < 3; round++)
    {
      char *block = mcalloc (md, 3, MIB (5));
      must (block_is_zero (block, MIB (15)));
      memset (block, 0xff, MIB (15));
      mfree (md, block);
      ck_assert_int_ge (mmalloc_trim (md), 0);
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (after_dirt, product, after_trim)
