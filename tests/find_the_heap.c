/* mmalloc_find: which heap a pointer lies in.  */

#include "support.h"

START_TEST (inside_and_outside)
{
  char *md = heap_new (_i);
  char *other = mmalloc_open (NULL, 0, NULL);
  char *small = mmalloc (md, 100), *large = mmalloc (md, MIB (50));
  char *alien = mmalloc (other, 100);
  char *end = md + heap_stats (md).length;
  must_keep_errno (ck_assert_ptr_eq (mmalloc_find (md), md));
  must_keep_errno (ck_assert_ptr_eq (mmalloc_find (small), md));
  must_keep_errno (ck_assert_ptr_eq (mmalloc_find (small + 50), md));
  must_keep_errno (ck_assert_ptr_eq (mmalloc_find (large + MIB (49)), md));
  must_keep_errno (ck_assert_ptr_eq (mmalloc_find (end - 1), md));
  must_keep_errno (ck_assert_ptr_eq (mmalloc_find (alien), other));
  must_keep_errno (ck_assert_ptr_ne (mmalloc_find (md - 1), md));
  must_keep_errno (ck_assert_ptr_null (mmalloc_find (NULL)));
  must_keep_errno (ck_assert_ptr_null (mmalloc_find (&md)));
  must_keep_errno (ck_assert_ptr_null (mmalloc_find ((void *) -1)));
  mfree (md, small);
  ck_assert_ptr_eq (mmalloc_find (any_ptr (small)), md);
  heap_end (md);
  must_keep_errno (ck_assert_ptr_null (mmalloc_find (any_ptr (small))));
  heap_end (other);
}
END_TEST

START_TEST (default_heap)
{
  void *block = mmalloc (NULL, 100);
  void *md = mmalloc_find (block);
  ck_assert_ptr_nonnull (md);
  ck_assert_ptr_eq (mmalloc_find (mmalloc (NULL, MIB (1))), md);
  must ((char *) block > (char *) md);
}
END_TEST

RUN_ON_OWN_HEAPS (inside_and_outside, default_heap)
