/* C5: with guards on from the start, a byte written past a block is found when
   the block is freed; the program goes on if its function returns.  */

#include "support.h"

static int calls;

static void
damaged (void)
{
  calls++;
}

START_TEST (one_byte_past)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheckf (md, damaged, 0), 1);
  char *good = mmalloc (md, 24);
  char *bad = mmalloc (md, 24);
  memset (good, 1, 24);
  memset (bad, 1, 24);
  mfree (md, good);
  ck_assert_int_eq (calls, 0);
  damage_byte (bad, 24);
  mfree (md, bad);
  ck_assert_int_eq (calls, 1);
  ck_assert_ptr_nonnull (mmalloc (md, 24));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (one_byte_past)
