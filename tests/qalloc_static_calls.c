/* calloc, realloc, usable size, roots, walk and check of a static map; roots of
   both kinds.  */

#include "qalloc_support.h"

START_TEST (calloc_is_zero)
{
  static void *blocks[500];
  void *map = map_make (STATIC_MAP, 20000, 48, 2);
  size_t n = map_fill (map, 48, blocks, 500);
  for (size_t i = 0; i < n; i++)
    memset (blocks[i], -1, 48);
  for (size_t i = 0; i < n; i++)
    qalloc_free (blocks[i], map);
  for (size_t i = 0; i < n; i++)
    must (block_is_zero (blocks[i] = qalloc_calloc (map, 6, 8), 48));
  must_refuse (qalloc_calloc (map, 6, 8), ENOSPC);
  for (size_t i = 0; i < n; i++)
    qalloc_free (blocks[i], map);
  must_refuse (qalloc_calloc (map, 7, 8), EINVAL);
  must_refuse (qalloc_calloc (map, any_size (SIZE_MAX / 4), 8), ENOMEM);
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  map_end (map);
}
END_TEST

START_TEST (realloc_stays)
{
  void *map = map_make (STATIC_MAP, 20000, 50, 2);
  char *p = qalloc_realloc (NULL, map, 20);
  ck_assert_ptr_nonnull (p);
  ck_assert_uint_eq (qalloc_usable_size (p, map), 50);
  ck_assert_uint_eq (qalloc_usable_size (NULL, map), 0);
  must_keep_errno (ck_assert_ptr_eq (qalloc_realloc (p, map, 50), p));
  ck_assert_ptr_eq (qalloc_realloc (p, map, 1), p);
  must_refuse (qalloc_realloc (p, map, 51), EINVAL);
  must_refuse (qalloc_realloc (NULL, map, 51), EINVAL);
  ck_assert_uint_eq (map_stats (map).blocks_live, 1);
  must_keep_errno (ck_assert_ptr_null (qalloc_realloc (p, map, 0)));
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  map_end (map);
}
END_TEST

static int
count (void *block, size_t size, void *arg)
{
  size_t *n = arg;
  ck_assert_uint_ge (size, 40);
  must (block_holds (block, 40, 9));
  return (int) (++*n == 150);
}

START_TEST (walk)
{
  void *map = map_make (_i, MIB (1), 40, 2), *blocks[200];
  for (int i = 0; i < 200; i++)
    block_fill (blocks[i] = qalloc_malloc (map, 40), 40, 9);
  for (int i = 0; i < 200; i += 2)
    qalloc_free (blocks[i], map);
  size_t n = 0;
  ck_assert_int_eq (qalloc_walk (map, count, &n), 0);
  ck_assert_uint_eq (n, 100);
  ck_assert_int_eq (qalloc_walk (map, count, &n), 1);
  ck_assert_uint_eq (n, 150);
  map_end (map);
}
END_TEST

static void
note (const char *finding, const void *where, void *arg)
{
  ck_assert_ptr_nonnull (where);
  ck_assert_int_ne (finding[0], '\0');
  ++*(int *) arg;
}

START_TEST (check_finds_damage)
{
  int n = 0;
  void *map = map_make (STATIC_MAP, 20000, 64, 1);
  char *base = map_stats (map).address;
  size_t items = map_stats (map).bytes_free / 64;
  ck_assert_int_eq (qalloc_check (map, note, &n), 0);
  base[24] ^= 64;
  ck_assert_int_eq (qalloc_check (map, note, &n), 1);
  base[24] ^= 64;
  /* A bit that stands for no item.  */
  char *bit = base + 88 + items / 8;
  *bit ^= (char) (1 << items % 8);
  ck_assert_int_eq (qalloc_check (map, note, &n), 1);
  *bit ^= (char) (1 << items % 8);
  ck_assert_int_eq (n, 2);
  map_end (map);
}
END_TEST

START_TEST (roots)
{
  void *map = map_make (_i, MIB (1), 16, 1);
  must_keep_errno (ck_assert_ptr_null (qalloc_getroot (map, NULL)));
  ck_assert_int_eq (qalloc_setroot (map, NULL, &map), 0);
  ck_assert_ptr_eq (qalloc_getroot (map, NULL), &map);
  if (_i == STATIC_MAP)
    {
      must_give (qalloc_setroot (map, "name", map), -1, EINVAL);
      must_refuse (qalloc_getroot (map, "name"), EINVAL);
    }
  else
    {
      must_keep_errno (ck_assert_ptr_null (qalloc_getroot (map, "name")));
      must_give (qalloc_setroot (map, "name", map), 0, 0);
      must_give (qalloc_setroot (map, "", map), -1, EINVAL);
      ck_assert_int_eq (qalloc_errno (), EINVAL);
      ck_assert_ptr_eq (qalloc_getroot (map, "name"), map);
    }
  void *old = map;
  map_end (map);
  map = map_make (_i, MIB (1), 16, 1);
  ck_assert_ptr_eq (qalloc_getroot (map, NULL), &map);
  if (_i == DYNAMIC_MAP)
    ck_assert_ptr_eq (qalloc_getroot (map, "name"), old);
  ck_assert_int_eq (qalloc_setroot (map, NULL, NULL), 0);
  ck_assert_ptr_null (qalloc_getroot (map, NULL));
  map_end (map);
}
END_TEST

/* Success leaves errno alone, and the reason of the last failure as well.  */
START_TEST (errors_are_remembered)
{
  ck_assert_int_eq (qalloc_errno (), 0);
  ck_assert_int_ne (qalloc_strerror ()[0], '\0');
  must_refuse (qalloc_loadmap (map_path (_i)), ENOENT);
  void *map, *p;
  struct qalloc_stats stats;
  must_keep_errno (map = map_make (_i, MIB (1), 16, 1));
  must_keep_errno (p = qalloc_malloc (map, 16));
  must_keep_errno (qalloc_usable_size (p, map));
  must_keep_errno (qalloc_free (p, map));
  must_keep_errno (qalloc_calloc (map, 1, 16));
  must_keep_errno (qalloc_stats (map, &stats));
  must_keep_errno (qalloc_check (map, NULL, NULL));
  must_keep_errno (qalloc_loadmap (map_path (_i)));
  must_keep_errno (qalloc_setroot (map, NULL, p));
  must_keep_errno (qalloc_checkpoint ());
  ck_assert_int_eq (qalloc_errno (), 0);
  must_refuse (qalloc_loadmap (temp_path ("none")), ENOENT);
  must_keep_errno (qalloc_close (map));
  ck_assert_int_eq (qalloc_errno (), ENOENT);
  must_keep_errno (qalloc_cleanup ());
}
END_TEST

/* What is no map is told by every call.  */
START_TEST (no_map)
{
  static char no[4096];
  struct qalloc_stats stats;
  char *maps[] = { NULL, no, no + 64 };
  for (int i = 0; i < 3; i++)
    {
      void *map = maps[i];
      must_refuse (qalloc_malloc (map, 1), EINVAL);
      must_refuse (qalloc_statmalloc (map), EINVAL);
      must_refuse (qalloc_dynmalloc (map, 1), EINVAL);
      must_refuse (qalloc_calloc (map, 1, 1), EINVAL);
      must_refuse (qalloc_realloc (no, map, 1), EINVAL);
      must_refuse (qalloc_getroot (map, NULL), EINVAL);
      must_give (qalloc_setroot (map, NULL, no), -1, EINVAL);
      must_give ((int) qalloc_usable_size (no, map), 0, EINVAL);
      must_give (qalloc_stats (map, &stats), -1, EINVAL);
      must_give (qalloc_walk (map, count, no), -1, EINVAL);
      must_give (qalloc_check (map, NULL, NULL), -1, EINVAL);
      must_give (qalloc_close (map), -1, EINVAL);
      errno = 0;
      qalloc_free (no, map);
      ck_assert_int_eq (errno, EINVAL);
    }
}
END_TEST

RUN_ON_EACH_MAP (calloc_is_zero, realloc_stays, walk, check_finds_damage,
                 roots, errors_are_remembered, no_map)
