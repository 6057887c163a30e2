/* Every call that would change a read-only heap gives EROFS, and the file
   stays as it is.  */

#include "support.h"

static void
refuses_all (int flags)
{
  void *md = heap_file ();
  char *block = mmalloc (md, 100);
  block_fill (block, 100, 1);
  ck_assert_int_eq (mmalloc_setkey (md, 0, block), 1);
  ck_assert_int_eq (mmalloc_setroot (md, "root", block), 0);
  ptrdiff_t at = block - (char *) md;
  heap_end (md);
  uint64_t sum = file_sum (temp_heap_path ());

  md = mmalloc_open (temp_heap_path (), flags, NULL);
  ck_assert_ptr_nonnull (md);
  block = (char *) md + at;
  must_fail (md, mmalloc (md, 10), EROFS);
  must_fail (md, mcalloc (md, 1, 10), EROFS);
  must_fail (md, mrealloc (md, NULL, 10), EROFS);
  must_fail (md, mrealloc (md, block, 1000), EROFS);
  must_fail (md, mrealloc (md, block, 10), EROFS);
  must_fail (md, mrealloc (md, block, 0), EROFS);
  must_fail (md, mreallocarray (md, block, 10, 10), EROFS);
  must_fail (md, mmemalign (md, 64, 10), EROFS);
  must_fail (md, mvalloc (md, 10), EROFS);
  errno = 0;
  mfree (md, block);
  ck_assert_int_eq (errno, EROFS);
  must_give (mmalloc_setkey (md, 0, NULL), 0, EROFS);
  must_give (mmalloc_setroot (md, "root", md), -1, EROFS);
  must_give (mmalloc_setroot (md, "root", NULL), -1, EROFS);
  must_give (mmalloc_setroot (md, "new", md), -1, EROFS);
  must_give (mmalloc_trim (md), -1, EROFS);
  ck_assert_int_eq (mmcheck (md, NULL), 0);
  ck_assert_int_eq (mmcheckf (md, NULL, 1), 0);
  ck_assert_int_eq (mmalloc_errno (md), EROFS);

  must (block_holds (block, 100, 1));
  ck_assert_uint_ge (mmalloc_usable_size (md, block), 100);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  ck_assert_ptr_nonnull (mmalloc_getkey (md, 0));
  ck_assert_ptr_nonnull (mmalloc_getroot (md, "root"));
  ck_assert_int_eq (mmalloc_prefetch (md), 0);
  heap_end (md);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}

START_TEST (opened_read_only)
{
  refuses_all (MMALLOC_RDONLY);
}
END_TEST

START_TEST (opened_elsewhere)
{
  refuses_all (MMALLOC_ELSEWHERE);
}
END_TEST

static void
store (void *block)
{
  *(volatile char *) block = 2;
}

START_TEST (stores_are_trapped)
{
  if (under_a_tool ())
    {
      skip ("the tool catches the signal");
      return;
    }
  void *md = heap_file ();
  char *block = mmalloc (md, 100);
  heap_end (md);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL),
                    md);
  ck_assert_int_eq (child_run (store, block), 128 + SIGSEGV);
  heap_end (md);
}
END_TEST

RUN_TESTS (opened_read_only, opened_elsewhere, stores_are_trapped)
