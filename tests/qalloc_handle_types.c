/* Q3: maps may be called by their struct tags or by their typedef names, and
   need no cast.  */

#include "qthread/qalloc.h"
#include "qalloc_support.h"

START_TEST (no_casts)
{
  struct mapinfo_s *stat = qalloc_makestatmap (MIB (1), NULL, map_path (0),
                                               64, 3);
  struct dynmapinfo_s *dyn = qalloc_makedynmap (MIB (1), NULL, map_path (1),
                                                3);
  mapinfo_t *same_stat = stat;
  dynmapinfo_t *same_dyn = dyn;
  void *a = qalloc_statmalloc (stat), *b = qalloc_dynmalloc (dyn, 64);
  ck_assert_ptr_nonnull (a);
  ck_assert_ptr_nonnull (b);
  qalloc_statfree (a, same_stat);
  qalloc_dynfree (b, same_dyn);
  qalloc_free (qalloc_malloc (stat, 1), stat);
  qalloc_free (qalloc_malloc (dyn, 1), dyn);
  qalloc_statfree (NULL, stat);
  qalloc_dynfree (NULL, dyn);
  ck_assert_uint_eq (map_stats (stat).blocks_live, 0);
  ck_assert_uint_eq (map_stats (dyn).blocks_live, 0);
  map_end (stat);
  map_end (dyn);
}
END_TEST

/* The calls for one kind refuse maps of the other.  */
START_TEST (other_kind)
{
  void *stat = map_make (STATIC_MAP, MIB (1), 64, 3);
  void *dyn = map_make (DYNAMIC_MAP, MIB (1), 0, 3);
  must_refuse (qalloc_statmalloc (dyn), EINVAL);
  must_refuse (qalloc_dynmalloc (stat, 64), EINVAL);
  void *a = qalloc_malloc (stat, 64), *b = qalloc_malloc (dyn, 64);
  qalloc_dynfree (a, stat);
  ck_assert_int_eq (errno, EINVAL);
  errno = 0;
  qalloc_statfree (b, dyn);
  ck_assert_int_eq (errno, EINVAL);
  ck_assert_uint_eq (map_stats (stat).blocks_live, 1);
  ck_assert_uint_eq (map_stats (dyn).blocks_live, 1);
  map_end (stat);
  map_end (dyn);
}
END_TEST

RUN_TESTS (no_casts, other_kind)
