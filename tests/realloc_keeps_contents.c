/* mrealloc from every size to every other keeps the contents up to the
   smaller one, and hurts no neighbour.  */

#include "support.h"

static const size_t sizes[] = { 1, 15, 16, 17, 100, 1024, 4096, 5000,
                                KIB (16), KIB (40), KIB (100), MIB (1),
                                MIB (5), MIB (20), MIB (40) };
enum { N = sizeof sizes / sizeof *sizes };

static size_t
smaller (size_t a, size_t b)
{
  return a < b ? a : b;
}

START_TEST (from_each_size_to_each)
{
  void *md = heap_new (_i);
  for (size_t from = 0; from < N; from++)
    for (size_t to = 0; to < N; to++)
      {
        char *before = mmalloc (md, 100);
        char *block = mmalloc (md, sizes[from]);
        char *behind = mmalloc (md, sizes[smaller (from, 10)]);
        must (before != NULL && block != NULL && behind != NULL);
        block_fill (before, 100, 1);
        block_fill (block, sizes[from], from);
        block_fill (behind, sizes[smaller (from, 10)], 2);
        block = mrealloc (md, block, sizes[to]);
        must (block != NULL && is_aligned (block, 16));
        must (mmalloc_usable_size (md, block) >= sizes[to]);
        must (block_holds (block, smaller (sizes[from], sizes[to]) & ~7ul,
                           from));
        memset (block, 0xff, sizes[to]);
        must (block_holds (before, 100, 1));
        must (block_holds (behind, sizes[smaller (from, 10)], 2));
        mfree (md, before);
        mfree (md, block);
        mfree (md, behind);
      }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (byte_by_byte)
{
  void *md = heap_new (_i);
  unsigned char *block = NULL;
  for (size_t size = 1; size <= 20000; size++)
    {
      block = mrealloc (md, block, size);
      must (block != NULL);
      block[size - 1] = (unsigned char) (size * 7);
    }
  for (size_t size = 20000; size > 0; size -= 1 + size / 100)
    {
      block = mrealloc (md, block, size);
      must (block != NULL);
      for (size_t i = 0; i < size; i++)
        must (block[i] == (unsigned char) ((i + 1) * 7));
    }
  mfree (md, block);
  heap_end (md);
}
END_TEST

START_TEST (vectors_side_by_side)
{
  void *md = heap_new (_i);
  char *vector[8] = { NULL };
  size_t room[8] = { 0 };
  for (size_t size = 16; size < MIB (3); size += size / 2)
    for (size_t i = 0; i < 8; i++)
      {
        vector[i] = mrealloc (md, vector[i], size);
        must (vector[i] != NULL);
        must (block_holds (vector[i], room[i], i));
        room[i] = size & ~(size_t) 7;
        block_fill (vector[i], room[i], i);
      }
  heap_free_all (md, (void **) vector, 8);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (from_each_size_to_each, byte_by_byte, vectors_side_by_side)
