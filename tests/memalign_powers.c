/* mmemalign: every power of two up to 1 GiB, many sizes, also in a heap whose
   base is aligned to a page alone.  */

#include "support.h"

static void
all_powers (void *md)
{
  static const size_t sizes[] = { 1, 16, 100, 1000, 4096, 5000, 70000,
                                  MIB (3), MIB (20) };
  size_t most = under_a_tool () ? MIB (32) : GIB (1);
  for (size_t alignment = 1; alignment <= most; alignment *= 2)
    {
      char *blocks[9];
      for (size_t i = 0; i < 9; i++)
        {
          size_t size = sizes[i];
          if (alignment >= MIB (32) && i % 4 != 0)
            size = sizes[0];
          blocks[i] = mmemalign (md, alignment, size);
          ck_assert_msg (blocks[i] != NULL, "%zu at %zu: %s", size, alignment,
                         mmalloc_strerror (md));
          must (is_aligned (blocks[i], alignment));
          must (is_aligned (blocks[i], 16));
          must (mmalloc_usable_size (md, blocks[i]) >= size);
          blocks[i][size - 1] = 0;
          block_fill (blocks[i], size < 4096 ? size : 4096, alignment + i);
        }
      for (size_t i = 0; i < 9; i++)
        {
          size_t size = alignment >= MIB (32) && i % 4 != 0 ? 1 : sizes[i];
          must (block_holds (blocks[i], size < 4096 ? size : 4096,
                             alignment + i));
          mfree (md, blocks[i]);
        }
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_is_whole (md);
}

START_TEST (in_heap)
{
  void *md = heap_new (_i);
  all_powers (md);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

START_TEST (base_aligned_to_a_page)
{
  char *base = mmalloc_findbase (GIB (64) + MIB (16));
  ck_assert_ptr_nonnull (base);
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  base += 3 * page;
  must (!is_aligned (base, KIB (64)));
  void *md = mmalloc_attach (-1, base);
  ck_assert_ptr_eq (md, base);
  all_powers (md);
  for (size_t size = 1; size < 20000; size += 7)
    must (is_aligned (mmalloc (md, size), 16));
  heap_end (md);
}
END_TEST

START_TEST (small_alignments_mixed)
{
  void *md = heap_new (_i);
  uint64_t state = random_seed ();
  char *blocks[500];
  size_t size[500];
  for (int round = 0; round < 20; round++)
    {
      for (size_t i = 0; i < 500; i++)
        {
          size_t alignment = (size_t) 1 << random_below (&state, 15);
          size[i] = 1 + random_below (&state, 3000);
          blocks[i] = mmemalign (md, alignment, size[i]);
          must (blocks[i] != NULL && is_aligned (blocks[i], alignment));
          block_fill (blocks[i], size[i], i);
        }
      for (size_t i = 0; i < 500; i++)
        {
          must (block_holds (blocks[i], size[i], i));
          mfree (md, blocks[i]);
        }
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (in_heap, base_aligned_to_a_page, small_alignments_mixed)
