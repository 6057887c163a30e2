/* C7: sixteen keys, 0 to 15, and none for the default heap.  */

#include "support.h"

static int things[16];

START_TEST (all_numbers)
{
  void *md = heap_new (_i);
  for (int key = 0; key < 16; key++)
    {
      ck_assert_ptr_null (mmalloc_getkey (md, key));
      ck_assert_int_eq (mmalloc_setkey (md, key, &things[key]), 1);
    }
  for (int key = 0; key < 16; key++)
    ck_assert_ptr_eq (mmalloc_getkey (md, key), &things[key]);
  ck_assert_int_eq (mmalloc_setkey (md, 7, NULL), 1);
  ck_assert_ptr_null (mmalloc_getkey (md, 7));
  heap_end (md);
}
END_TEST

START_TEST (bad_numbers)
{
  void *md = heap_new (_i);
  must_give (mmalloc_setkey (md, -1, things), 0, EINVAL);
  must_give (mmalloc_setkey (md, 16, things), 0, EINVAL);
  must_give (mmalloc_setkey (md, INT_MAX, things), 0, EINVAL);
  must_give (mmalloc_setkey (md, INT_MIN, things), 0, EINVAL);
  ck_assert_ptr_null (mmalloc_getkey (md, -1));
  ck_assert_ptr_null (mmalloc_getkey (md, 16));
  heap_end (md);
}
END_TEST

START_TEST (default_heap)
{
  ck_assert_ptr_nonnull (mmalloc (NULL, 1));
  must_give (mmalloc_setkey (NULL, 0, things), 0, EINVAL);
  ck_assert_ptr_null (mmalloc_getkey (NULL, 0));
}
END_TEST

RUN_ON_OWN_HEAPS (all_numbers, bad_numbers, default_heap)
