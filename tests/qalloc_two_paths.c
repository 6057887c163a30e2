/* A file that two paths over an overlay lead to has two sets of locks, which do
   not meet, so that a process may think itself alone with a map that others
   have.  The map is one all the same: no item is lost or given out twice, none
   is when one of the two is killed, and what is refused changes nothing.  */

#include "mounts.h"
#include "qalloc_support.h"

enum { USERS = 2, THREADS = 2, MAX = 1 << 15, SIZE = 64 };

/* Which kind of map, where it is made, and by which other path it is loaded.  */
static const char *const ways[][2] = {
  { "merged", "upper" }, { "upper", "merged" }, { "merged", "again" }
};
enum { WAYS = 3 };

/* Whose blocks are where, in memory that both processes have.  */
struct hand
{
  void *map;
  size_t n;
  void *block[MAX];
};
static struct hand (*hands)[THREADS];

static uint64_t
tag_of (size_t user, size_t thread, const void *block)
{
  return (uint64_t) (uintptr_t) block + user * THREADS + thread;
}

static int
enter (int way)
{
  hands = mmap (NULL, USERS * sizeof *hands, PROT_READ | PROT_WRITE,
                MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (hands, MAP_FAILED);
  int again = strcmp (ways[way][1], "again") == 0;
  if (!(again ? overlay_enter_again () : overlay_enter ()))
    return 0;
  overlay_by (ways[way][0]);
  return 1;
}

/* Take all that the map has.  */
static void *
take (void *arg)
{
  struct hand *h = arg;
  size_t place = (size_t) (h - hands[0]);
  for (h->n = 0; h->n < MAX; h->n++)
    {
      void *p = h->block[h->n] = qalloc_malloc (h->map, SIZE);
      if (p == NULL)
        break;
      block_fill (p, SIZE, tag_of (place / THREADS, place % THREADS, p));
    }
  must (h->n < MAX && qalloc_errno () == ENOSPC);
  return NULL;
}

static void
take_all (void *map, size_t user)
{
  pthread_t thread[THREADS];
  for (size_t t = 0; t < THREADS; t++)
    {
      hands[user][t].map = map;
      thread[t] = thread_start (take, &hands[user][t]);
    }
  for (size_t t = 0; t < THREADS; t++)
    thread_end (thread[t]);
}

/* All blocks are there and whole, and no others; they are free then.  */
static size_t
give_all (void *map)
{
  size_t n = 0;
  for (size_t u = 0; u < USERS; u++)
    for (size_t t = 0; t < THREADS; t++)
      for (size_t i = 0; i < hands[u][t].n; i++, n++)
        must (block_holds (hands[u][t].block[i], SIZE,
                           tag_of (u, t, hands[u][t].block[i])));
  ck_assert_uint_eq (map_stats (map).blocks_live, n);
  for (size_t u = 0; u < USERS; u++)
    for (size_t t = 0; t < THREADS; t++)
      for (; hands[u][t].n > 0; hands[u][t].n--)
        qalloc_free (hands[u][t].block[hands[u][t].n - 1], map);
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  return n;
}

/* Comes by the other path while half of the map is in use, and ends by being
   killed.  */
static void
comes (void *index)
{
  int i = *(int *) index;
  qalloc_cleanup ();
  overlay_by (ways[i / MAP_KINDS][1]);
  void *map = map_is_there (qalloc_loadmap (map_path (i % MAP_KINDS)));
  baton_pass (baton);
  baton_wait (baton);
  take_all (map, 1);
  baton_pass (baton);
  baton_wait (baton);
}

START_TEST (each_item_once)
{
  int kind = _i % MAP_KINDS;
  if (!enter (_i / MAP_KINDS))
    return;
  void *map = map_make (kind, MIB (1), SIZE, 3);
  size_t all = map_stats (map).bytes_free / SIZE;
  struct hand *mine = &hands[0][0];
  mine->map = map;
  take (mine);
  ck_assert_uint_gt (mine->n, 1000);
  for (size_t half = mine->n / 2; mine->n > half; mine->n--)
    qalloc_free (mine->block[mine->n - 1], map);
  size_t kept = mine->n;
  struct child child = child_start (comes, &(int) { _i });
  baton_wait (child.baton);
  ck_assert_uint_eq (map_stats (map).blocks_live, kept);
  struct hand *more = &hands[0][1];
  more->map = map;
  baton_pass (child.baton);
  take (more);
  baton_wait (child.baton);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  size_t given = give_all (map);
  if (kind == STATIC_MAP)
    ck_assert_uint_eq (given, all);
  take_all (map, 0);
  map_end (map);

  overlay_by (ways[_i / MAP_KINDS][1]);
  map = map_is_there (qalloc_loadmap (map_path (kind)));
  given = give_all (map);
  if (kind == STATIC_MAP)
    ck_assert_uint_eq (given, all);
  map_end (map);
}
END_TEST

/* In the same process, and with other numbers.  */
static void
asks_for_others (void *index)
{
  int i = *(int *) index, kind = i % MAP_KINDS;
  qalloc_cleanup ();
  overlay_by (ways[i / MAP_KINDS][1]);
  must_refuse (qalloc_makestatmap (MIB (1), NULL, map_path (kind), SIZE + 1,
                                   3), EINVAL);
  must_refuse (qalloc_makestatmap (MIB (2), NULL, map_path (kind), SIZE, 3),
               EINVAL);
  must_refuse (qalloc_makedynmap (MIB (1), NULL, map_path (kind), 4), EINVAL);
  must_refuse (qalloc_makedynmap (MIB (2), NULL, map_path (kind), 3), EINVAL);
}

START_TEST (refused)
{
  int kind = _i % MAP_KINDS;
  if (!enter (_i / MAP_KINDS))
    return;
  void *map = map_make (kind, MIB (1), SIZE, 3);
  void *p = qalloc_malloc (map, SIZE);
  block_fill (p, SIZE, 1);
  off_t length = file_length (map_path (kind));
  ck_assert_int_eq (child_run (asks_for_others, &(int) { _i }), 0);
  overlay_by (ways[_i / MAP_KINDS][1]);
  must_refuse (qalloc_loadmap (map_path (kind)), EADDRINUSE);
  ck_assert_int_eq (file_length (map_path (kind)), length);
  must (block_holds (p, SIZE, 1));
  ck_assert_uint_eq (map_stats (map).blocks_live, 1);
  map_end (map);
  map = map_is_there (qalloc_loadmap (map_path (kind)));
  must (block_holds (p, SIZE, 1));
  ck_assert_uint_eq (map_stats (map).blocks_live, 1);
  map_end (map);
}
END_TEST

RUN_KINDS (WAYS * MAP_KINDS, each_item_once, refused)
