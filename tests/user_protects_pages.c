/* A program may protect pages of its own blocks: the heap grows and serves as
   before, without touching them.  */

#include "support.h"

START_TEST (heap_grows_around_them)
{
  void *md = heap_new (_i);
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  char *block = mvalloc (md, 20 * page), *behind = mvalloc (md, page);
  ck_assert_ptr_nonnull (block);
  ck_assert_ptr_nonnull (behind);
  block_fill (block, 20 * page, 1);
  ck_assert_int_eq (mprotect (block, 10 * page, PROT_NONE), 0);
  ck_assert_int_eq (mprotect (block + 10 * page, page, PROT_READ), 0);
  for (size_t i = 0; i < 200; i++)
    {
      char *more = mmalloc (md, MIB (i % 50 == 0 ? 20 : 1) / 2);
      must (more != NULL);
      block_fill (more, 1000, i);
    }
  ck_assert_int_ge (mmalloc_trim (md), 0);
  heap_is_whole (md);
  ck_assert_int_eq (mprotect (block, 11 * page, PROT_READ | PROT_WRITE), 0);
  must (block_holds (block, 20 * page, 1));
  mfree (md, block);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (heap_grows_around_them)
