/* C18: a program that goes on writing into blocks it freed hurts nobody but
   itself: the heap serves on.  */

#include "support.h"

enum { N = 100 };

static size_t
size_of (unsigned int i)
{
  return (i % 50 + 1) * 100;
}

START_TEST (freed_blocks_scribbled)
{
  if (UNDER_ASAN || under_valgrind ())
    {
      skip ("the tool forbids writing into freed blocks");
      return;
    }
  void *md = heap_new (_i);
  char *blocks[N];
  for (unsigned int i = 0; i < N; i++)
    {
      blocks[i] = mmalloc (md, size_of (i));
      block_fill (blocks[i], size_of (i), i);
    }
  for (unsigned int i = 0; i < N; i += 2)
    mfree (md, blocks[i]);
  for (unsigned int i = 0; i < N; i += 2)
    memset (any_ptr (blocks[i]), 0xa5, size_of (i));
  heap_is_whole (md);
  for (unsigned int i = 0; i < N; i += 2)
    {
      blocks[i] = mmalloc (md, size_of (i));
      ck_assert_ptr_nonnull (blocks[i]);
      block_fill (blocks[i], size_of (i), i);
    }
  for (unsigned int i = 0; i < N; i++)
    must (block_holds (blocks[i], size_of (i), i));
  for (unsigned int i = 0; i < N; i++)
    mfree (md, blocks[i]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (resized_up_and_down)
{
  void *md = heap_new (_i);
  char *block = mrealloc (md, NULL, 100);
  block_fill (block, 100, 1);
  block = mrealloc (md, block, 200);
  must (block_holds (block, 100, 1));
  block_fill (block, 200, 2);
  block = mrealloc (md, block, 1);
  must (block_holds (block, 1, 2));
  ck_assert_ptr_null (mrealloc (md, block, 0));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (freed_blocks_scribbled, resized_up_and_down)
