/* qalloc_support.h - what the tests of qalloc.h share, beside support.h.  */

#ifndef QALLOC_SUPPORT_H
#define QALLOC_SUPPORT_H 1

#include "support.h"
#include "qalloc.h"

/* CALL gives NULL and fails with CODE, and says why.  */
#define must_refuse(call, code) \
  must_fail_as (call, #call, code, #code, qalloc_errno (), qalloc_strerror ())

/* The words for the last failure speak of WHAT.  */
#define must_speak_of(what) \
  ck_assert_msg (strstr (qalloc_strerror (), (what)) != NULL, \
                 "does not speak of %s: %s", (what), qalloc_strerror ())

enum map_kind { STATIC_MAP, DYNAMIC_MAP, MAP_KINDS };

static inline const char *
map_path (int kind)
{
  return temp_path (kind == STATIC_MAP ? "static.map" : "dynamic.map");
}

static inline void *
map_is_there (void *map)
{
  ck_assert_msg (map != NULL, "no map: %s", qalloc_strerror ());
  return map;
}

/* A map of this kind in the test's file, made if it is not there.  */
static inline void *
map_make (int kind, off_t file_size, size_t item_size, size_t streams)
{
  return map_is_there (kind == STATIC_MAP
                       ? qalloc_makestatmap (file_size, NULL, map_path (kind),
                                             item_size, streams)
                       : qalloc_makedynmap (file_size, NULL, map_path (kind),
                                            streams));
}

static inline struct qalloc_stats
map_stats (void *map)
{
  struct qalloc_stats stats;
  ck_assert_int_eq (qalloc_stats (map, &stats), 0);
  return stats;
}

static inline void
map_is_whole (void *map)
{
  ck_assert_int_eq (qalloc_check (map, support_finding, NULL), 0);
}

/* The last thing a test does with a map.  */
static inline void
map_end (void *map)
{
  map_is_whole (map);
  ck_assert_int_eq (qalloc_close (map), 0);
}

static inline size_t
map_fill (void *map, size_t size, void **blocks, size_t max)
{
  return fill_with (qalloc_malloc, map, size, blocks, max);
}

#define RUN_ON_EACH_MAP(...) RUN_KINDS (MAP_KINDS, __VA_ARGS__)

#endif /* QALLOC_SUPPORT_H */
