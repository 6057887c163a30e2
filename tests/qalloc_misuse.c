/* A block freed twice, a pointer the map never gave out: reported, and if the
   handler returns, nothing changed.  */

#include "qalloc_support.h"

/* Freeing P is misuse, through every call that takes a block.  */
static void
is_misuse (void *map, int kind, void *p)
{
  size_t live = map_stats (map).blocks_live;
  const char *name = kind == STATIC_MAP ? "qalloc_free" : "mfree";
  qalloc_free (p, map);
  misuse_was (name, p);
  if (kind == STATIC_MAP)
    {
      qalloc_statfree (p, map);
      misuse_was ("qalloc_statfree", p);
      ck_assert_ptr_null (qalloc_realloc (p, map, 1));
      misuse_was ("qalloc_realloc", p);
      ck_assert_ptr_null (qalloc_realloc (p, map, 0));
      misuse_was ("qalloc_realloc", p);
      ck_assert_uint_eq (qalloc_usable_size (p, map), 0);
      misuse_was ("qalloc_usable_size", p);
    }
  else
    {
      qalloc_dynfree (p, map);
      misuse_was (name, p);
    }
  ck_assert_uint_eq (map_stats (map).blocks_live, live);
}

START_TEST (reported)
{
  void *blocks[300];
  void *map = map_make (_i, MIB (1), 100, 2);
  misuse_record ();
  for (int i = 0; i < 300; i++)
    blocks[i] = qalloc_malloc (map, 100);
  for (int i = 0; i < 300; i += 3)
    qalloc_free (blocks[i], map);
  for (int i = 0; i < 300; i += 3)
    is_misuse (map, _i, blocks[i]);
  for (int i = 1; i < 300; i += 3)
    for (int inside = 1; inside < 100; inside += 13)
      is_misuse (map, _i, any_ptr ((char *) blocks[i] + inside));
  char *base = map_stats (map).address;
  char *strange[] = { (char *) 16, (char *) &map, base, base + 16, base + 96,
                      base - 16, base + MIB (1) - 16, base + MIB (1),
                      base + MIB (512), (char *) -112 };
  for (size_t i = 0; i < sizeof strange / sizeof *strange; i++)
    is_misuse (map, _i, any_ptr (strange[i]));
  map_is_whole (map);
  for (int i = 1; i < 300; i += 3)
    qalloc_free (blocks[i], map);
  ck_assert_int_eq (misuse_seen.count, 0);
  ck_assert_uint_eq (map_stats (map).blocks_live, 100);
  map_end (map);
}
END_TEST

/* No pointer into a small map is taken for an item but those of the items.  */
START_TEST (every_byte)
{
  static const size_t sizes[] = { 1, 2, 3, 8, 10, 16, 48, 100, 333 };
  static void *blocks[5000];
  misuse_record ();
  for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
    {
      void *map = map_make (STATIC_MAP, 3000, sizes[s], 2);
      char *base = map_stats (map).address;
      size_t n = map_fill (map, 1, blocks, 5000);
      int right = 0;
      for (char *p = base - 50; p < base + 4096; p++)
        {
          qalloc_free (p, map);
          right += misuse_seen.count == 0;
          misuse_seen.count = 0;
        }
      ck_assert_uint_eq ((size_t) right, n);
      ck_assert_uint_eq (map_stats (map).blocks_live, 0);
      map_end (map);
      unlink (map_path (STATIC_MAP));
    }
}
END_TEST

/* Blocks of one map do not go to another.  */
START_TEST (other_map)
{
  void *a = map_make (STATIC_MAP, MIB (1), 64, 2);
  void *b = map_make (DYNAMIC_MAP, MIB (1), 64, 2);
  misuse_record ();
  void *p = qalloc_malloc (a, 64), *q = qalloc_malloc (b, 64);
  qalloc_free (p, b);
  misuse_was ("mfree", p);
  qalloc_free (q, a);
  misuse_was ("qalloc_free", q);
  qalloc_free (p, a);
  qalloc_free (q, b);
  ck_assert_int_eq (misuse_seen.count, 0);
  map_end (a);
  map_end (b);
}
END_TEST

/* Two threads free the same blocks: of each, one is told.  */
static void *race_map, *race_blocks[20000];
static _Atomic int n_told;
static pthread_barrier_t race_barrier;

static void
count_misuse (const char *call, void *md, const void *ptr, const char *what,
              void *arg)
{
  (void) call, (void) md, (void) ptr, (void) what, (void) arg;
  n_told++;
}

static void *
race (void *unused)
{
  (void) unused;
  for (int i = 0; i < 20000; i++)
    {
      if (i % 1000 == 0)
        pthread_barrier_wait (&race_barrier);
      qalloc_free (race_blocks[i], race_map);
    }
  return NULL;
}

START_TEST (two_threads_free_one_block)
{
  race_map = map_make (STATIC_MAP, MIB (1), 32, 2);
  mmalloc_onmisuse (count_misuse, NULL);
  for (int i = 0; i < 20000; i++)
    race_blocks[i] = qalloc_malloc (race_map, 32);
  pthread_barrier_init (&race_barrier, NULL, 2);
  pthread_t thread = thread_start (race, NULL);
  race (NULL);
  thread_end (thread);
  ck_assert_int_eq (n_told, 20000);
  ck_assert_uint_eq (map_stats (race_map).blocks_live, 0);
  map_end (race_map);
}
END_TEST

static void
free_twice (void *map)
{
  void *p = qalloc_malloc (map, 64);
  if (freopen ("/dev/null", "w", stderr) == NULL)
    _exit (3);
  qalloc_free (p, map);
  qalloc_free (any_ptr (p), map);
}

START_TEST (aborts_without_a_handler)
{
  void *map = map_make (_i, MIB (1), 64, 1);
  ck_assert_int_eq (child_run (free_twice, map), 128 + SIGABRT);
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  map_end (map);
}
END_TEST

RUN_ON_EACH_MAP (reported, every_byte, other_map, two_threads_free_one_block,
                 aborts_without_a_handler)
