/* C12: NULL is the default heap in all calls, beside libc's own.  */

#include "support.h"

START_TEST (all_calls)
{
  char *blocks[6], *foreign[6];
  blocks[0] = mmalloc (NULL, 100);
  foreign[0] = malloc (100);
  blocks[1] = mcalloc (NULL, 10, 10);
  foreign[1] = calloc (10, 10);
  must (block_is_zero (blocks[1], 100));
  blocks[2] = mrealloc (NULL, NULL, 10);
  blocks[2] = mrealloc (NULL, blocks[2], 100);
  foreign[2] = realloc (NULL, 100);
  blocks[3] = mmemalign (NULL, 4096, 100);
  foreign[3] = aligned_alloc (64, 128);
  blocks[4] = mvalloc (NULL, 100);
  foreign[4] = malloc (100);
  blocks[5] = mreallocarray (NULL, NULL, 10, 10);
  foreign[5] = malloc (100);
  for (unsigned int i = 0; i < 6; i++)
    {
      ck_assert_ptr_nonnull (blocks[i]);
      block_fill (blocks[i], 100, i);
      block_fill (foreign[i], 100, 10 + i);
    }
  for (unsigned int i = 0; i < 6; i++)
    {
      ck_assert_uint_ge (mmalloc_usable_size (NULL, blocks[i]), 100);
      must (block_holds (blocks[i], 100, i));
      must (block_holds (foreign[i], 100, 10 + i));
      mfree (NULL, blocks[i]);
      free (foreign[i]);
    }
  ck_assert_uint_eq (heap_stats (NULL).blocks_live, 0);
  heap_is_whole (NULL);
}
END_TEST

START_TEST (apart_from_other_heaps)
{
  void *md = heap_new (IN_FILE);
  char *mine = mmalloc (NULL, 100), *its = mmalloc (md, 100);
  ck_assert_ptr_eq (mmalloc_find (its), md);
  ck_assert_ptr_ne (mmalloc_find (mine), md);
  mfree (md, its);
  mfree (NULL, mine);
  heap_end (md);
  heap_is_whole (NULL);
}
END_TEST

START_TEST (never_detached)
{
  char *block = mmalloc (NULL, 100);
  block_fill (block, 100, 1);
  ck_assert_ptr_null (mmalloc_detach (NULL));
  must (block_holds (block, 100, 1));
  mfree (NULL, block);
}
END_TEST

RUN_TESTS (all_calls, apart_from_other_heaps, never_detached)
