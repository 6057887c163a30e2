/* What the library needs for roots is its own affair: no live blocks, nothing
   a walk shows.  */

#include "support.h"

static int
count (void *block, size_t size, void *arg)
{
  (void) block, (void) size;
  ++*(size_t *) arg;
  return 0;
}

START_TEST (not_counted)
{
  void *md = heap_new (_i);
  void *block = mmalloc (md, 100);
  char name[100];
  for (int i = 0; i < 5000; i++)
    {
      snprintf (name, sizeof name, "a somewhat longer name %d", i);
      ck_assert_int_eq (mmalloc_setroot (md, name, block), 0);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  size_t n = 0;
  ck_assert_int_eq (mmalloc_walk (md, count, &n), 0);
  ck_assert_uint_eq (n, 1);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (not_counted)
