/* A heap at its maximum says so, stays whole, and serves again what is freed;
   it never takes more than its maximum.  */

#include "support.h"

enum { MAX = 70000 };
static void *blocks[MAX];

static void
fill_and_free (void *md, size_t size, size_t at_least)
{
  size_t first = heap_fill (md, size, blocks, MAX);
  ck_assert_msg (first * size >= at_least, "%zu blocks of %zu", first, size);
  must_fail (md, mmalloc (md, size), ENOSPC);
  for (size_t i = 0; i < first; i++)
    block_fill (blocks[i], size, i);
  heap_is_whole (md);
  for (size_t i = 0; i < first; i++)
    must (block_holds (blocks[i], size, i));
  for (size_t i = 0; i < first; i += 2)
    mfree (md, blocks[i]);
  for (size_t i = 0; i < first; i += 2)
    {
      blocks[i] = mmalloc (md, size);
      ck_assert_msg (blocks[i] != NULL, "%zu of %zu, size %zu", i, first,
                     size);
    }
  must_fail (md, mmalloc (md, size), ENOSPC);
  heap_free_all (md, blocks, first);
}

START_TEST (all_sizes_in_turn)
{
  static const size_t sizes[] = { 16, 100, 1000, 1024, 4096, 10000, 40000 };
  void *md = heap_limited (_i, MIB (1));
  for (int round = 0; round < 2; round++)
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
      fill_and_free (md, sizes[i], KIB (600));
  struct mmalloc_stats stats = heap_stats (md);
  ck_assert_uint_le (stats.capacity, MIB (1));
  ck_assert_uint_le (stats.length, MIB (1));
  if (_i == IN_FILE)
    ck_assert_int_le (file_length (temp_heap_path ()), (off_t) MIB (1));
  heap_end (md);
}
END_TEST

START_TEST (roots_in_a_full_heap)
{
  void *md = heap_limited (_i, MIB (1));
  ck_assert_int_eq (mmalloc_setroot (md, "old", md), 0);
  for (size_t size = KIB (64); size >= 16; size /= 2)
    heap_fill (md, size, blocks, MAX);
  char name[20];
  int result = 0, code = 0;
  for (int n = 0; n < 20000 && result == 0; n++)
    {
      snprintf (name, sizeof name, "name %d", n);
      result = mmalloc_setroot (md, name, blocks);
      code = errno;
    }
  ck_assert_int_eq (result, -1);
  ck_assert_int_eq (code, ENOSPC);
  ck_assert_ptr_null (mmalloc_getroot (md, name));
  ck_assert_ptr_eq (mmalloc_getroot (md, "old"), md);
  ck_assert_int_eq (mmalloc_setroot (md, "old", blocks), 0);
  ck_assert_ptr_eq (mmalloc_getroot (md, "old"), blocks);
  heap_end (md);
}
END_TEST

START_TEST (maximum_of_other_sizes)
{
  for (size_t maximum = MIB (2); maximum <= MIB (100); maximum *= 7)
    {
      void *md = heap_limited (_i, maximum);
      size_t n = heap_fill (md, KIB (10), blocks, MAX);
      ck_assert_uint_ge (n * KIB (10), maximum * 3 / 4);
      ck_assert_uint_le (n * KIB (10), maximum);
      ck_assert_uint_le (heap_stats (md).length, maximum);
      heap_end (md);
      unlink (temp_heap_path ());
    }
}
END_TEST

/* Blocks that can never be had are asked for again and again.  */
START_TEST (too_large_many_times)
{
  void *md = heap_limited (_i, MIB (16));
  for (size_t size = MIB (16) - KIB (100); size < MIB (33); size += MIB (1))
    for (int i = 0; i < 3000; i++)
      ck_assert_ptr_null (mmalloc (md, size));
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (all_sizes_in_turn, roots_in_a_full_heap,
                  maximum_of_other_sizes, too_large_many_times)
