/* Q7: a dynamic map serves every size that fits, none past its end, and what is
   freed is there for the next.  */

#include "qalloc_support.h"

START_TEST (sizes_of_the_list)
{
  static const size_t sizes[] = { 1, 64, 65, 2048, 2049, 4096, 14336, 14337,
                                  1000000 };
  enum { N = sizeof sizes / sizeof *sizes };
  void *block[N];
  void *map = map_make (DYNAMIC_MAP, MIB (4), 0, 3);
  char *base = map_stats (map).address;
  for (size_t i = 0; i < N; i++)
    {
      block[i] = qalloc_dynmalloc (map, sizes[i]);
      ck_assert_msg (block[i] != NULL, "%zu: %s", sizes[i],
                     qalloc_strerror ());
      must (is_aligned (block[i], 16));
      must ((char *) block[i] + sizes[i] <= base + MIB (4));
      ck_assert_uint_ge (qalloc_usable_size (block[i], map), sizes[i]);
      block_fill (block[i], sizes[i], i);
    }
  for (size_t i = 0; i < N; i++)
    {
      must (block_holds (block[i], sizes[i], i));
      qalloc_dynfree (block[i], map);
    }
  map_end (map);
}
END_TEST

/* The smallest useful map: 1 MiB, three streams, every size up to its half,
   one after the other, whatever was there before.  */
START_TEST (small_map_serves_all)
{
  void *map = map_make (DYNAMIC_MAP, MIB (1), 0, 3);
  char *base = map_stats (map).address;
  for (size_t size = 1; size <= KIB (512); size += 1 + size / 64)
    {
      char *p = qalloc_malloc (map, size);
      ck_assert_msg (p != NULL, "%zu: %s", size, qalloc_strerror ());
      must (p > base && p + size <= base + MIB (1));
      p[0] = p[size - 1] = 1;
      qalloc_free (p, map);
    }
  char *p = qalloc_malloc (map, KIB (512));
  ck_assert_ptr_nonnull (p);
  qalloc_free (p, map);
  map_end (map);
}
END_TEST

/* Full of one size, empty, full of another: all of it comes back.  */
START_TEST (full_and_empty)
{
  static void *blocks[70000];
  static const size_t sizes[] = { 16, 100000, 24, 5000, 64, 300000, 16 };
  void *map = map_make (DYNAMIC_MAP, MIB (1), 0, 3);
  char *base = map_stats (map).address;
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    {
      size_t n = map_fill (map, sizes[s], blocks, 70000);
      ck_assert_int_eq (qalloc_errno (), ENOSPC);
      ck_assert_uint_ge (n * sizes[s], KIB (600));
      for (size_t i = 0; i < n; i++)
        {
          must ((char *) blocks[i] + sizes[s] <= base + MIB (1));
          block_fill (blocks[i], sizes[s], i);
        }
      for (size_t i = 0; i < n; i++)
        must (block_holds (blocks[i], sizes[s], i));
      ck_assert_uint_eq (map_stats (map).blocks_live, n);
      map_is_whole (map);
      for (size_t i = 0; i < n; i++)
        qalloc_free (blocks[i], map);
    }
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  must_refuse (qalloc_malloc (map, MIB (1)), ENOSPC);
  map_end (map);
}
END_TEST

START_TEST (zero_and_too_much)
{
  void *map = map_make (DYNAMIC_MAP, MIB (1), 0, 1);
  must_keep_errno (ck_assert_ptr_null (qalloc_malloc (map, 0)));
  ck_assert_ptr_null (qalloc_malloc (map, any_size (SIZE_MAX)));
  ck_assert_ptr_null (qalloc_malloc (map, any_size (PTRDIFF_MAX)));
  must_refuse (qalloc_calloc (map, any_size (SIZE_MAX / 4), 8), ENOMEM);
  must_keep_errno (qalloc_free (NULL, map));
  map_end (map);
}
END_TEST

START_TEST (calloc_and_realloc)
{
  void *map = map_make (DYNAMIC_MAP, MIB (4), 0, 3);
  void *dirty[100];
  for (int i = 0; i < 100; i++)
    memset (dirty[i] = qalloc_malloc (map, 1000), -1, 1000);
  for (int i = 0; i < 100; i++)
    qalloc_free (dirty[i], map);
  for (int i = 0; i < 100; i++)
    must (block_is_zero (qalloc_calloc (map, 10, 100), 1000));
  char *p = qalloc_realloc (NULL, map, 10);
  block_fill (p, 10, 7);
  size_t sizes[] = { 100, 40, 70000, 1000000, 33, 10 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    {
      p = qalloc_realloc (p, map, sizes[i]);
      ck_assert_ptr_nonnull (p);
      must (block_holds (p, 10, 7));
    }
  must_refuse (qalloc_realloc (p, map, MIB (5)), ENOSPC);
  must (block_holds (p, 10, 7));
  ck_assert_ptr_null (qalloc_realloc (p, map, 0));
  ck_assert_uint_eq (map_stats (map).blocks_live, 100);
  map_end (map);
}
END_TEST

RUN_TESTS (sizes_of_the_list, small_map_serves_all, full_and_empty,
           zero_and_too_much, calloc_and_realloc)
