/* A map is shared by processes: those that load it, those started anew, and the
   children of a fork, which go on with the maps of their parent.  */

#include "qalloc_support.h"

enum { N = 3000 };

/* Take N items, keep every second; the sum of what was kept.  */
static void
work (void *map, uint64_t tag)
{
  char *kept[N / 2];
  for (size_t i = 0; i < N; i++)
    {
      char *p = qalloc_malloc (map, 64);
      must (p != NULL);
      block_fill (p, 64, tag);
      if (i % 2)
        kept[i / 2] = p;
      else
        {
          must (block_holds (p, 64, tag));
          qalloc_free (p, map);
        }
    }
  for (size_t i = 0; i < N / 2; i++)
    must (block_holds (kept[i], 64, tag));
}

static void
in_child (void *map)
{
  work (map, (uint64_t) getpid ());
}

START_TEST (fork_children)
{
  void *map = map_make (_i, MIB (8), 64, 3);
  struct child child[4];
  char *mine = qalloc_malloc (map, 64);
  block_fill (mine, 64, 77);
  for (int i = 0; i < 4; i++)
    child[i] = child_start (in_child, map);
  work (map, 1);
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq (child_end (child[i]), 0);
  must (block_holds (mine, 64, 77));
  ck_assert_uint_eq (map_stats (map).blocks_live, 1 + 5 * N / 2);
  map_end (map);
  map = map_make (_i, MIB (8), 64, 3);
  ck_assert_uint_eq (map_stats (map).blocks_live, 1 + 5 * N / 2);
  qalloc_free (mine, map);
  map_end (map);
}
END_TEST

/* The child outlives the parent's use of the map, and others come.  */
static void
goes_on (void *map)
{
  char *p = qalloc_malloc (map, 64);
  block_fill (p, 64, 5);
  baton_pass (baton);
  baton_wait (baton);
  must (block_holds (p, 64, 5));
  work (map, 6);
  qalloc_free (p, map);
  map_end (map);
}

START_TEST (child_stays)
{
  void *map = map_make (_i, MIB (4), 64, 3);
  struct child child = child_start (goes_on, map);
  baton_wait (child.baton);
  map_end (map);
  map = map_make (_i, MIB (4), 64, 3);
  ck_assert_uint_eq (map_stats (map).blocks_live, 1);
  work (map, 7);
  map_end (map);
  map = map_make (_i, MIB (4), 64, 3);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_uint_eq (map_stats (map).blocks_live, N);
  map_end (map);
}
END_TEST

/* A second program: the argument is the path.  */
static int
second_program (const char *path)
{
  void *map = qalloc_loadmap (path);
  if (map == NULL)
    return 2;
  char **list = qalloc_getroot (map, NULL);
  size_t n = 0;
  while (list != NULL)
    {
      char **next = (char **) list[0];
      if (!block_holds (list + 1, 40, n++))
        return 3;
      qalloc_free (list, map);
      list = next;
    }
  if (n != 100 || qalloc_setroot (map, NULL, qalloc_malloc (map, 64)) != 0)
    return 4;
  qalloc_cleanup ();
  return 0;
}

START_TEST (two_programs)
{
  static char path[PATH_MAX];
  snprintf (path, sizeof path, "%s", map_path (_i));
  for (int open = 0; open < 2; open++)
    {
      void *map = map_make (_i, MIB (4), 64, 3);
      char **list = NULL;
      for (size_t i = 100; i-- > 0; )
        {
          char **p = qalloc_malloc (map, 64);
          p[0] = (char *) list;
          block_fill (p + 1, 40, i);
          list = p;
        }
      qalloc_setroot (map, NULL, list);
      if (!open)
        map_end (map);
      ck_assert_int_eq (child_run (start_anew, path), 0);
      if (!open)
        map = map_make (_i, MIB (4), 64, 3);
      ck_assert_uint_eq (map_stats (map).blocks_live, 1);
      qalloc_free (qalloc_getroot (map, NULL), map);
      map_end (map);
    }
}
END_TEST

/* Many processes make the same map at the same time: one makes it, the others
   load it.  */
static void
make_it (void *arg)
{
  int kind = *(int *) arg;
  baton_wait (baton);
  void *map = map_make (kind, MIB (2), 64, 2);
  void *p = qalloc_malloc (map, 64);
  ck_assert_ptr_nonnull (p);
  block_fill (p, 64, 3);
  map_end (map);
}

START_TEST (all_make_it)
{
  struct child child[8];
  for (int i = 0; i < 8; i++)
    child[i] = child_start (make_it, &(int) { _i });
  for (int i = 0; i < 8; i++)
    baton_pass (child[i].baton);
  for (int i = 0; i < 8; i++)
    ck_assert_int_eq (child_end (child[i]), 0);
  void *map = map_make (_i, MIB (2), 64, 2);
  ck_assert_uint_eq (map_stats (map).blocks_live, 8);
  map_end (map);
}
END_TEST

int
main (int argc, char **argv)
{
  const TTest *tests[] = { fork_children, child_stays, two_programs,
                           all_make_it };
  return argc > 1 ? second_program (argv[1])
                  : run_suite (__FILE__, tests, 4, MAP_KINDS);
}
