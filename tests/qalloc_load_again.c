/* Q4: a map that is made or loaded again has its contents, its address and its
   kind; in one process it is the same map, and counted.  */

#include "qalloc_support.h"

START_TEST (same_contents)
{
  char **block[10];
  void *map = map_make (_i, MIB (2), 100, 3);
  void *base = map_stats (map).address;
  for (int i = 0; i < 10; i++)
    {
      block[i] = qalloc_malloc (map, 100);
      block_fill (block[i], 100, (uint64_t) i);
    }
  ck_assert_int_eq (qalloc_setroot (map, NULL, block), 0);
  map_end (map);
  for (int round = 0; round < 4; round++)
    {
      map = round % 2 ? map_make (_i, MIB (2), 100, 3)
                      : map_is_there (qalloc_loadmap (map_path (_i)));
      struct qalloc_stats s = map_stats (map);
      ck_assert_ptr_eq (s.address, base);
      ck_assert_uint_eq (s.file_size, MIB (2));
      ck_assert_uint_eq (s.streams, 3);
      ck_assert_uint_eq (s.item_size, _i == STATIC_MAP ? 100 : 0);
      ck_assert_uint_eq (s.blocks_live, 10);
      ck_assert_ptr_eq (qalloc_getroot (map, NULL), block);
      for (int i = 0; i < 10; i++)
        must (block_holds (block[i], 100, (uint64_t) i));
      void *other = qalloc_malloc (map, 100);
      for (int i = 0; i < 10; i++)
        ck_assert_ptr_ne (other, block[i]);
      qalloc_free (other, map);
      map_end (map);
    }
}
END_TEST

START_TEST (opened_twice_is_one)
{
  void *map = map_make (_i, MIB (1), 32, 2);
  ck_assert_ptr_eq (map_make (_i, MIB (1), 32, 2), map);
  ck_assert_int_eq (symlink (map_path (_i), temp_path ("link")), 0);
  ck_assert_ptr_eq (qalloc_loadmap (temp_path ("link")), map);
  void *block = qalloc_malloc (map, 32);
  for (int i = 0; i < 3; i++)
    {
      memset (block, i, 32);
      ck_assert_int_eq (qalloc_close (map), 0);
    }
  must_give (qalloc_close (map), -1, EINVAL);
  must_refuse (qalloc_malloc (map, 32), EINVAL);
  must_give (qalloc_close (block), -1, EINVAL);
  must_give (qalloc_close (NULL), -1, EINVAL);
}
END_TEST

/* The handle of a map that was closed is not taken for the next one's.  */
START_TEST (old_handle)
{
  void *map = map_make (_i, MIB (1), 32, 2);
  void *block = qalloc_malloc (map, 32);
  ck_assert_ptr_nonnull (block);
  map_end (map);
  must_refuse (qalloc_malloc (map, 32), EINVAL);
  void *next = map_make (!_i, MIB (1), 32, 2);
  for (int i = 0; i < 10; i++)
    ck_assert_ptr_nonnull (qalloc_malloc (next, 32));
  ck_assert_uint_eq (map_stats (next).blocks_live, 10);
  map_end (next);
}
END_TEST

/* The address that was asked for is had; a later one is not looked at.  */
START_TEST (address_of_ones_own)
{
  char *want = mmalloc_findbase (MIB (1));
  void *map = map_is_there (_i == STATIC_MAP
    ? qalloc_makestatmap (MIB (1), want, map_path (_i), 24, 2)
    : qalloc_makedynmap (MIB (1), want, map_path (_i), 2));
  ck_assert_ptr_eq (map_stats (map).address, want);
  map_end (map);
  map = map_is_there (_i == STATIC_MAP
    ? qalloc_makestatmap (MIB (1), want + MIB (64), map_path (_i), 24, 2)
    : qalloc_makedynmap (MIB (1), want + MIB (64), map_path (_i), 2));
  ck_assert_ptr_eq (map_stats (map).address, want);
  map_end (map);
}
END_TEST

/* The file of another user, open to all.  */
START_TEST (file_of_another)
{
  void *map = map_make (_i, MIB (1), 32, 2);
  ck_assert_ptr_nonnull (qalloc_malloc (map, 32));
  map_end (map);
  ck_assert_int_eq (chmod (map_path (_i), 0666), 0);
  become_nobody ();
  map = map_is_there (qalloc_loadmap (map_path (_i)));
  ck_assert_uint_eq (map_stats (map).blocks_live, 1);
  map_end (map);
}
END_TEST

/* Several maps at once, more than a thread remembers.  */
START_TEST (many_maps)
{
  enum { N = 20 };
  void *map[N], *block[N][10];
  for (int i = 0; i < N; i++)
    {
      char name[20];
      snprintf (name, sizeof name, "map%d", i);
      map[i] = map_is_there (i % 2
        ? qalloc_makestatmap (20000, NULL, temp_path (name), 64, 2)
        : qalloc_makedynmap (KIB (512), NULL, temp_path (name), 2));
    }
  for (int j = 0; j < 10; j++)
    for (int i = 0; i < N; i++)
      {
        block[i][j] = qalloc_malloc (map[i], 64);
        block_fill (block[i][j], 64, (uint64_t) (i * 10 + j));
      }
  for (int i = 0; i < N; i++)
    for (int j = 0; j < 10; j++)
      {
        must (block_holds (block[i][j], 64, (uint64_t) (i * 10 + j)));
        qalloc_free (block[i][j], map[i]);
      }
  for (int i = 0; i < N; i++)
    ck_assert_uint_eq (map_stats (map[i]).blocks_live, 0);
  qalloc_cleanup ();
}
END_TEST

RUN_ON_EACH_MAP (same_contents, opened_twice_is_one, old_handle,
                 address_of_ones_own, file_of_another, many_maps)
