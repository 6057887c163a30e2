/* Several processes work on a map; one after the other is killed at some moment
   and replaced.  The others go on, nothing that was kept is lost, no block is
   handed out twice, and a kill leaks one block at most.  Also where those who
   load the map come by another path, whose locks do not meet the parent's.

   MMALLOC_TEST_KILLS: how many are killed, of each kind of map.  */

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "mounts.h"
#include "qalloc_support.h"

enum { WORKERS = 3, KEPT = 200, LOOK = 10 };

/* What a worker keeps lies in memory shared with the others, outside of the
   map: its heir goes on with it.  An entry is stored after the allocation and
   cleared before the free.  */
struct worker
{
  _Atomic (uint64_t *) kept[KEPT];
  uint64_t size[KEPT];
  atomic_ulong steps;
  atomic_int idle;             /* it obeyed the order to pause */
};
static struct shared
{
  struct worker worker[WORKERS];
  atomic_int pause;
} *shared;

static int kind;
static bool by_two_paths;

static uint64_t
kept_tag (size_t w, size_t i, const void *p)
{
  return (uint64_t) (uintptr_t) p + (w << 10) + i;
}

/* Two threads of a worker have a half of its entries each.  */
struct half
{
  void *map;
  size_t w, from, to;
  uint64_t state;
};

static void
work_once (struct half *h)
{
  struct worker *me = &shared->worker[h->w];
  size_t i = h->from + random_below (&h->state, h->to - h->from);
  uint64_t *p = me->kept[i];
  if (p != NULL)
    {
      if (!block_holds (p, me->size[i], kept_tag (h->w, i, p)))
        _exit (3);
      me->kept[i] = NULL;
      qalloc_free (p, h->map);
    }
  else
    {
      size_t r = random_below (&h->state, 50);
      size_t size = kind == STATIC_MAP ? 64 : r == 0 ? 70000 : r < 5 ? 3000
                    : 16 + r * 8;
      p = qalloc_malloc (h->map, size);
      if (p == NULL && qalloc_errno () != ENOSPC)
        _exit (4);
      if (p == NULL)
        return;
      block_fill (p, size, kept_tag (h->w, i, p));
      me->size[i] = size;
      me->kept[i] = p;
    }
  me->steps++;
}

static void *
work (void *arg)
{
  struct half *h = arg;
  struct worker *me = &shared->worker[h->w];
  while (me != NULL)
    {
      if (shared->pause)
        {
          me->idle++;
          while (shared->pause)
            sched_yield ();
          me->idle--;
        }
      work_once (h);
    }
  return NULL;
}

static void
misuse_is_fatal (const char *call, void *md, const void *ptr,
                 const char *what, void *arg)
{
  (void) md, (void) arg;
  fprintf (stderr, "%s (%p): %s\n", call, ptr, what);
  _exit (5);
}

/* A worker: half of them load the map on their own, half have the parent's.  */
static pid_t
start_worker (void *map, size_t w, uint64_t seed)
{
  shared->worker[w].idle = 0;
  fflush (NULL);
  pid_t pid = fork ();
  ck_assert_int_ge (pid, 0);
  if (pid > 0)
    return pid;
  mmalloc_onmisuse (misuse_is_fatal, NULL);
  if (seed % 2)
    {
      qalloc_cleanup ();
      if (by_two_paths)
        overlay_by ("upper");
      map = qalloc_loadmap (map_path (kind));
      if (map == NULL)
        _exit (6);
    }
  struct half half[2] = { { map, w, 0, KEPT / 2, seed },
                          { map, w, KEPT / 2, KEPT, ~seed } };
  pthread_t thread;
  pthread_create (&thread, NULL, work, &half[1]);
  work (&half[0]);
  _exit (7);
}

/* What a walk finds: how much of what is kept, and what nobody keeps.  */
struct found
{
  size_t kept, n_leaked;
  void *leaked[2 * LOOK];
};

static int
find_block (void *block, size_t size, void *arg)
{
  struct found *found = arg;
  for (size_t w = 0; w < WORKERS; w++)
    for (size_t i = 0; i < KEPT; i++)
      if (shared->worker[w].kept[i] == block)
        {
          must (size >= shared->worker[w].size[i]);
          found->kept++;
          return 0;
        }
  must (found->n_leaked < 2 * LOOK);
  found->leaked[found->n_leaked++] = block;
  return 0;
}

/* With nobody working: all that is kept is live, intact, and there once; each
   kill of the last LOOK has left one block for each thread besides, at most.
   These are freed: they would fill the map, and nobody could work.  How many
   they were.  */
static size_t
look (void *map)
{
  size_t kept = 0;
  struct found found = { 0 };
  for (size_t w = 0; w < WORKERS; w++)
    for (size_t i = 0; i < KEPT; i++)
      {
        uint64_t *p = shared->worker[w].kept[i];
        if (p != NULL)
          must (block_holds (p, shared->worker[w].size[i],
                             kept_tag (w, i, p)));
        kept += p != NULL;
      }
  ck_assert_int_eq (qalloc_walk (map, find_block, &found), 0);
  ck_assert_uint_eq (found.kept, kept);
  ck_assert_uint_eq (map_stats (map).blocks_live, kept + found.n_leaked);
  map_is_whole (map);
  for (size_t i = 0; i < found.n_leaked; i++)
    qalloc_free (found.leaked[i], map);
  return found.n_leaked;
}

static void
pause_all (pid_t *pid)
{
  shared->pause = 1;
  for (size_t w = 0; w < WORKERS; w++)
    while (shared->worker[w].idle < 2)
      {
        int status;
        must (waitpid (pid[w], &status, WNOHANG) == 0);
        sched_yield ();
      }
}

START_TEST (the_others_go_on)
{
  size_t n_kills = setting ("MMALLOC_TEST_KILLS", 100), leaked = 0;
  uint64_t state = random_seed ();
  pid_t pid[WORKERS];
  kind = _i % MAP_KINDS;
  by_two_paths = _i >= MAP_KINDS;
  if (by_two_paths && !overlay_enter ())
    return;
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  /* Items for two thirds of what the workers would like to keep, then.  */
  void *map = kind == STATIC_MAP ? map_make (kind, 48 + 3 * 40 + 460 * 65, 64,
                                             3)
                                 : map_make (kind, MIB (2), 0, 3);
  for (size_t w = 0; w < WORKERS; w++)
    pid[w] = start_worker (map, w, random_below (&state, UINT32_MAX));
  for (size_t i = 1; i <= n_kills; i++)
    {
      size_t w = random_below (&state, WORKERS);
      struct worker *victim = &shared->worker[w];
      int status;
      for (unsigned long until = victim->steps + random_below (&state, 200);
           victim->steps < until; sched_yield ())
        for (size_t other = 0; other < WORKERS; other++)
          must (waitpid (pid[other], &status, WNOHANG) == 0);
      for (volatile uint64_t spin = random_below (&state, 3000); spin > 0; )
        spin--;
      kill (pid[w], SIGKILL);
      ck_assert_int_eq (waitpid (pid[w], &status, 0), pid[w]);
      must (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
      pid[w] = start_worker (map, w, random_below (&state, UINT32_MAX));
      if (i % LOOK == 0)
        {
          pause_all (pid);
          leaked += look (map);
          shared->pause = 0;
          for (size_t v = 0; v < WORKERS; v++)
            while (shared->worker[v].idle > 0)
              sched_yield ();
        }
    }
  pause_all (pid);
  leaked += look (map);
  for (size_t w = 0; w < WORKERS; w++)
    {
      kill (pid[w], SIGKILL);
      waitpid (pid[w], NULL, 0);
    }
  printf ("%zu killed, %zu blocks leaked\n", n_kills, leaked);
  size_t kept = map_stats (map).blocks_live;
  map_end (map);
  map = map_is_there (qalloc_loadmap (map_path (kind)));
  ck_assert_uint_eq (map_stats (map).blocks_live, kept);
  ck_assert_uint_eq (look (map), 0);
  for (size_t w = 0; w < WORKERS; w++)
    for (size_t i = 0; i < KEPT; i++)
      qalloc_free (shared->worker[w].kept[i], map);
  ck_assert_uint_eq (map_stats (map).blocks_live, 0);
  map_end (map);
}
END_TEST

RUN_KINDS (2 * MAP_KINDS, the_others_go_on)
