/* C6: guards come too late for a heap in use, unless forced.  */

#include "support.h"

static int calls;

static void
damaged (void)
{
  calls++;
}

START_TEST (refused_then_forced)
{
  void *md = heap_new (_i);
  void *old = mmalloc (md, 100);
  ck_assert_int_eq (mmcheck (md, damaged), 0);
  ck_assert_int_eq (mmcheckf (md, damaged, 1), 1);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  void *young = mmalloc (md, 100);
  mfree (md, young);
  mfree (md, old);
  ck_assert_int_eq (calls, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (refused_then_forced)
