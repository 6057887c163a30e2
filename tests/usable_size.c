/* All of the usable size of a block is the caller's, and nobody else's.  */

#include "support.h"

enum { N = 2000 };

START_TEST (all_of_it_is_mine)
{
  void *md = heap_new (_i);
  static char *blocks[N];
  static size_t usable[N];
  for (size_t i = 0; i < N; i++)
    {
      blocks[i] = mmalloc (md, i < 1990 ? 1 + 7 * i : 20000 * (i - 1980));
      usable[i] = mmalloc_usable_size (md, blocks[i]);
      block_fill (blocks[i], usable[i], i);
    }
  for (size_t i = 0; i < N; i++)
    {
      must (mmalloc_usable_size (md, blocks[i]) == usable[i]);
      must (block_holds (blocks[i], usable[i], i));
    }
  heap_free_all (md, (void **) blocks, N);
  heap_end (md);
}
END_TEST

START_TEST (null_has_none)
{
  void *md = heap_new (_i);
  must_keep_errno (ck_assert_uint_eq (mmalloc_usable_size (md, NULL), 0));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (all_of_it_is_mine, null_has_none)
