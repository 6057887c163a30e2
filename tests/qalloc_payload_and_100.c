/* Q2: a file of the payload and 100 bytes more holds one item of just that
   payload.  Another program loads the files and uses the old pointers, from
   one map into the other as well.  */

#include "qalloc_support.h"

enum { N_MAPS = 3 };
static const size_t payload[N_MAPS] = { 5, 1000003, 8 << 20 };

static const char *
nth_path (const char *dir, int i)
{
  static char path[PATH_MAX + 20];
  snprintf (path, sizeof path, "%s/part%d", dir, i);
  return path;
}

/* The second program: argument is the directory.  */
static int
come_back (const char *dir)
{
  char **block[N_MAPS];
  for (int i = 1; i < N_MAPS; i++)
    {
      void *map = qalloc_loadmap (nth_path (dir, i));
      if (map == NULL || (block[i] = qalloc_getroot (map, NULL)) == NULL)
        return 2;
    }
  /* Each begins with a pointer to the next one.  */
  for (int i = 1; i < N_MAPS; i++)
    if (block[i][0] != (char *) block[i + 1 < N_MAPS ? i + 1 : 1]
        || !block_holds (block[i] + 1, payload[i] - 8, (uint64_t) i))
      return 3;
  qalloc_cleanup ();
  return 0;
}

START_TEST (fits)
{
  static char dir[PATH_MAX];
  snprintf (dir, sizeof dir, "%s", temp_path ("."));
  char **block[N_MAPS];
  for (int i = 0; i < N_MAPS; i++)
    {
      mapinfo_t *map
        = map_is_there (qalloc_makestatmap ((off_t) payload[i] + 100, NULL,
                                            nth_path (dir, i), payload[i],
                                            1));
      block[i] = qalloc_statmalloc (map);
      ck_assert_ptr_nonnull (block[i]);
      must_refuse (qalloc_statmalloc (map), ENOSPC);
      ck_assert_uint_eq ((size_t) file_length (nth_path (dir, i)),
                         payload[i] + 100);
      char *base = map_stats (map).address;
      ck_assert_uint_le ((size_t) ((char *) block[i] - base), 100);
      if (i > 0)
        block_fill (block[i] + 1, payload[i] - 8, (uint64_t) i);
      ck_assert_int_eq (qalloc_setroot (map, NULL, block[i]), 0);
    }
  for (int i = 1; i < N_MAPS; i++)
    block[i][0] = (char *) block[i + 1 < N_MAPS ? i + 1 : 1];
  qalloc_checkpoint ();
  ck_assert_int_eq (child_run (start_anew, dir), 0);
  qalloc_cleanup ();
  ck_assert_int_eq (child_run (start_anew, dir), 0);
}
END_TEST

int
main (int argc, char **argv)
{
  const TTest *tests[] = { fits };
  return argc > 1 ? come_back (argv[1]) : run_suite (__FILE__, tests, 1, 1);
}
