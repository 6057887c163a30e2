/* A size of 0 gives NULL and no error in every allocating call.  */

#include "support.h"

START_TEST (gives_null_without_error)
{
  void *md = heap_new (_i);
  void *block = mmalloc (md, 10);
  must_keep_errno (ck_assert_ptr_null (mmalloc (md, 0)));
  must_keep_errno (ck_assert_ptr_null (mcalloc (md, 0, 8)));
  must_keep_errno (ck_assert_ptr_null (mcalloc (md, 8, 0)));
  must_keep_errno (ck_assert_ptr_null (mcalloc (md, any_size (SIZE_MAX), 0)));
  must_keep_errno (ck_assert_ptr_null (mrealloc (md, NULL, 0)));
  must_keep_errno (ck_assert_ptr_null (mreallocarray (md, NULL, 0, 8)));
  must_keep_errno (ck_assert_ptr_null (mreallocarray (md, NULL, 8, 0)));
  must_keep_errno (ck_assert_ptr_null (mmemalign (md, 64, 0)));
  must_keep_errno (ck_assert_ptr_null (mvalloc (md, 0)));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  ck_assert_int_eq (mmalloc_errno (md), 0);
  mfree (md, block);
  heap_end (md);
}
END_TEST

START_TEST (resizing_to_zero_frees)
{
  void *md = heap_new (_i);
  size_t sizes[] = { 1, 1000, 100000, MIB (20) };
  for (int i = 0; i < 4; i++)
    {
      void *block = mmalloc (md, sizes[i]);
      must_keep_errno (ck_assert_ptr_null (mrealloc (md, block, 0)));
      block = mmalloc (md, sizes[i]);
      must_keep_errno (ck_assert_ptr_null (mreallocarray (md, block, 0, 9)));
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (gives_null_without_error, resizing_to_zero_frees)
