/* C13: a large block that shrinks stays where it is.  */

#include "support.h"

static void
shrink (void *md, size_t from, size_t to)
{
  char *block = mmalloc (md, from);
  ck_assert_ptr_nonnull (block);
  block_fill (block, to, from);
  block[from - 1] = 1;
  ck_assert_ptr_eq (mrealloc (md, block, to), block);
  must (block_holds (block, to, from));
  ck_assert_uint_ge (mmalloc_usable_size (md, block), to);
  mfree (md, block);
}

START_TEST (large_blocks)
{
  void *md = heap_new (_i);
  shrink (md, MIB (1), KIB (600));
  shrink (md, MIB (1), MIB (1) - 1);
  shrink (md, MIB (8), KIB (200));
  shrink (md, MIB (100), MIB (60));
  heap_end (md);
}
END_TEST

START_TEST (rest_is_free_again)
{
  void *md = heap_limited (_i, MIB (16));
  char *block = mmalloc (md, MIB (12));
  ck_assert_ptr_nonnull (block);
  ck_assert_ptr_null (mmalloc (md, MIB (8)));
  ck_assert_ptr_eq (mrealloc (md, block, MIB (3)), block);
  char *other = mmalloc (md, MIB (8));
  ck_assert_ptr_nonnull (other);
  block_fill (block, MIB (3), 1);
  block_fill (other, MIB (8), 2);
  must (block_holds (block, MIB (3), 1));
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (large_blocks, rest_is_free_again)
