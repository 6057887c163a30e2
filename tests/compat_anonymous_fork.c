/* C10: any negative descriptor makes an anonymous heap, which a child process
   has a copy of.  */

#include "support.h"

static char *block;

static void
child (void *md)
{
  must (block_holds (block, 1000, 1));
  block_fill (block, 1000, 2);
  char *more = mmalloc (md, MIB (2));
  ck_assert_ptr_nonnull (more);
  block_fill (more, MIB (2), 3);
  mfree (md, block);
  heap_is_whole (md);
}

static void
with_descriptor (int fd)
{
  void *base = mmalloc_findbase (MIB (1));
  void *md = mmalloc_attach (fd, base);
  ck_assert_ptr_eq (md, base);
  block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  ck_assert_int_eq (child_run (child, md), 0);
  must (block_holds (block, 1000, 1));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  mfree (md, block);
  heap_end (md);
}

START_TEST (minus_one)
{
  with_descriptor (-1);
}
END_TEST

START_TEST (minus_five)
{
  with_descriptor (-5);
}
END_TEST

RUN_TESTS (minus_one, minus_five)
