/* Q6, Q9: a static map hands out items until there are no more, then NULL, and
   goes on after a free.  All of the file that can hold items does, nothing
   reaches beyond it, items are aligned and do not overlap.  */

#include "qalloc_support.h"

/* A map of these numbers is filled and emptied.  */
static void
fill (off_t file_size, size_t item_size, size_t streams)
{
  static void *blocks[70000];
  const char *path = map_path (STATIC_MAP);
  void *map = map_is_there (qalloc_makestatmap (file_size, NULL, path,
                                                item_size, streams));
  ck_assert_int_eq (file_length (path), file_size);
  char *base = map_stats (map).address;
  size_t align = 16;
  while (align > item_size)
    align /= 2;
  size_t stride = (item_size + align - 1) / align * align;
  for (int round = 0; round < 2; round++)
    {
      /* Q9: the size is not looked at.  */
      size_t n = map_fill (map, round ? 0 : 1000000, blocks, 70000);
      size_t head = 48 + 40 * streams;
      must (n > 0 && n < 70000);
      ck_assert_int_eq (qalloc_errno (), ENOSPC);
      /* One more does not fit.  */
      size_t more = (head + (n + 64) / 64 * 8 + align - 1) / align * align
                    + n * stride + item_size;
      must (more > (size_t) file_size);
      for (size_t i = 0; i < n; i++)
        {
          char *p = blocks[i];
          must (is_aligned (p, align));
          must (p >= base + head && p + item_size <= base + file_size);
          block_fill (p, item_size, i);
        }
      must_refuse (qalloc_statmalloc (map), ENOSPC);
      for (size_t i = 0; i < n; i++)
        must (block_holds (blocks[i], item_size, i));
      struct qalloc_stats s = map_stats (map);
      ck_assert_uint_eq (s.blocks_live, n);
      ck_assert_uint_eq (s.bytes_live, n * item_size);
      ck_assert_uint_eq (s.bytes_free, 0);
      for (size_t i = 0; i < n; i += 1 + n / 10)
        {
          qalloc_statfree (blocks[i], map);
          ck_assert_ptr_eq (qalloc_statmalloc (map), blocks[i]);
          must_refuse (qalloc_statmalloc (map), ENOSPC);
        }
      map_is_whole (map);
      for (size_t i = 0; i < n; i++)
        qalloc_free (blocks[n - 1 - i], map);
      ck_assert_uint_eq (map_stats (map).blocks_live, 0);
    }
  map_end (map);
  ck_assert_int_eq (unlink (path), 0);
}

START_TEST (sizes)
{
  static const size_t items[] = { 1, 2, 3, 4, 5, 7, 8, 9, 12, 15, 16, 17, 24,
                                  64, 100, 1000, 4096, 5000 };
  for (size_t i = 0; i < sizeof items / sizeof *items; i++)
    for (size_t streams = 1; streams <= 5; streams += 2)
      {
        fill (8192, items[i], streams);
        fill (65536, items[i], streams);
        fill ((off_t) (48 + 40 * streams + 24 + items[i]), items[i], streams);
      }
}
END_TEST

/* Every length: where word and item begin moves byte by byte.  */
START_TEST (lengths)
{
  for (off_t size = 200; size < 460; size++)
    {
      fill (size, 1, 1);
      fill (size, 24, 2);
      fill (size, 64, 1);
    }
}
END_TEST

START_TEST (more_streams_than_items)
{
  fill (48 + 40 * 1000 + 8 + 64 * 16 + 16, 16, 1000);
  fill (48 + 40 * 65535 + 100, 16, 65535);
}
END_TEST

/* Nothing is written to a free item, at no time.  */
START_TEST (free_items_are_left_alone)
{
  void *map = map_make (STATIC_MAP, 100000, 64, 2);
  static void *blocks[2000];
  size_t n = map_fill (map, 64, blocks, 2000);
  for (size_t i = 0; i < n; i++)
    {
      must (block_is_zero (blocks[i], 64));
      block_fill (blocks[i], 64, i);
      qalloc_free (blocks[i], map);
    }
  map_end (map);
  map = map_make (STATIC_MAP, 100000, 64, 2);
  for (size_t i = 0; i < n; i++)
    must (block_holds (blocks[i], 64, i));
  for (size_t i = 0; i < n; i++)
    memset (blocks[i], -1, 64);
  static void *again[2000];
  ck_assert_uint_eq (map_fill (map, 64, again, 2000), n);
  map_end (map);
}
END_TEST

RUN_TESTS (sizes, lengths, more_streams_than_items, free_items_are_left_alone)
