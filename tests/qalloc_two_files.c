/* Q1, Q10: a static and a dynamic map beside each other, in files that
   mkstemp made, from first call to cleanup; then the same again.  */

#include <sys/syscall.h>

#include "qalloc_support.h"

/* The library's calls come here.  SYNCED: up to where those that begin at
   WATCHED reach.  */
static const void *watched;
static size_t synced;

int
msync (void *at, size_t n, int flags)
{
  if (at == watched && flags == MS_SYNC)
    synced = n;
  return (int) syscall (SYS_msync, at, n, flags);
}

static void
use_both (void)
{
  char dyn_name[PATH_MAX], stat_name[PATH_MAX];
  snprintf (dyn_name, sizeof dyn_name, "%s", temp_path ("dyn-XXXXXX"));
  snprintf (stat_name, sizeof stat_name, "%s", temp_path ("stat-XXXXXX"));
  close (mkstemp (dyn_name));
  close (mkstemp (stat_name));
  dynmapinfo_t *dyn = qalloc_makedynmap (MIB (4), NULL, dyn_name, 3);
  map_is_there (dyn);
  mapinfo_t *stat = qalloc_makestatmap (MIB (4), NULL, stat_name, 16, 3);
  map_is_there (stat);
  ck_assert_int_eq (file_length (dyn_name), MIB (4));
  ck_assert_int_eq (file_length (stat_name), MIB (4));
  uint64_t *item = qalloc_statmalloc (stat);
  char *text = qalloc_dynmalloc (dyn, 13);
  ck_assert_ptr_nonnull (item);
  ck_assert_ptr_nonnull (text);
  item[0] = item[1] = 42;
  memcpy (text, "hello, world", 13);
  qalloc_checkpoint ();
  ck_assert_int_eq (qalloc_errno (), 0);
  ck_assert_uint_eq (item[0] + item[1], 84);
  ck_assert_str_eq (text, "hello, world");
  qalloc_free (item, stat);
  qalloc_free (text, dyn);
  char *more = qalloc_malloc (dyn, 128);
  ck_assert_ptr_nonnull (more);
  memset (more, 1, 128);
  qalloc_free (more, dyn);
  map_is_whole (stat);
  map_is_whole (dyn);
  ck_assert_uint_eq (map_stats (stat).blocks_live, 0);
  ck_assert_uint_eq (map_stats (dyn).blocks_live, 0);
  qalloc_cleanup ();
  must_refuse (qalloc_malloc (stat, 1), EINVAL);
  must_refuse (qalloc_malloc (dyn, 1), EINVAL);
  ck_assert_int_eq (unlink (dyn_name), 0);
  ck_assert_int_eq (unlink (stat_name), 0);
}

START_TEST (both)
{
  use_both ();
  use_both ();
}
END_TEST

START_TEST (without_a_map)
{
  qalloc_checkpoint ();
  qalloc_cleanup ();
  qalloc_checkpoint ();
  ck_assert_int_eq (qalloc_errno (), 0);
  use_both ();
  qalloc_cleanup ();
  qalloc_cleanup ();
  ck_assert_int_eq (qalloc_errno (), 0);
}
END_TEST

/* Cleanup closes a map however often it was loaded.  */
START_TEST (cleanup_closes_all)
{
  void *map = map_make (_i, MIB (1), 64, 2);
  ck_assert_ptr_eq (qalloc_loadmap (map_path (_i)), map);
  void *base = map_stats (map).address;
  qalloc_cleanup ();
  ck_assert_ptr_eq (mmap (base, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS
                          | MAP_FIXED_NOREPLACE, -1, 0), base);
  must_refuse (qalloc_loadmap (map_path (_i)), EADDRINUSE);
  munmap (base, 4096);
  ck_assert_uint_eq (map_stats (map_make (_i, MIB (1), 64, 2)).blocks_live, 0);
  qalloc_cleanup ();
}
END_TEST

/* A checkpoint waits for maps of both kinds.  */
START_TEST (checkpoint_writes)
{
  void *map = map_make (_i, MIB (1), 64, 2);
  ck_assert_ptr_nonnull (qalloc_malloc (map, 64));
  watched = map_stats (map).address;
  qalloc_checkpoint ();
  ck_assert_int_eq (qalloc_errno (), 0);
  ck_assert_uint_gt (synced, KIB (30));
  synced = 0;
  qalloc_cleanup ();
  ck_assert_uint_gt (synced, KIB (30));
}
END_TEST

RUN_ON_EACH_MAP (both, without_a_map, cleanup_closes_all, checkpoint_writes)
