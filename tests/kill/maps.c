/* maps.c - killed after every instruction of a call of qalloc.h.

   As in step.c: a victim is stepped through one call on a map file, and
   wherever the file has changed its death is played, twice, on a copy: by a
   process that loads the copy (or makes it, if the death was in its making),
   and by one that had it loaded all the time.  The files are small, so they are
   compared and copied whole.

   Each time: qalloc_check finds nothing; every block that was live is live,
   once, with its contents; a block that the call frees may be gone; at most as
   many unknown blocks are live as the call may leak; the root is the old or the
   new one; the file has its length.  Then the survivor takes all that is left,
   item by item in a static map, gives everything back, and nothing may remain.

   usage: maps [NAME...]        the named calls only
   MMALLOC_KILL_STRIDE=n        play every n-th state's death; 1: all  */

#include "death.h"
#include "qalloc.h"

enum map_kind { STATIC, DYNAMIC };
enum { BLOCKS_MAX = 2048, ITEM = 64, STREAMS = 2 };

/* No page's length, so that the end of a map is not that of its file's last
   page.  */
#define STATIC_SIZE 20000
#define DYNAMIC_SIZE (MIB (1) + 10)

struct block
{
  char *p;
  size_t size;
  uint64_t tag;
  bool doubt;                   /* the call frees it, perhaps */
};

/* Shared by victim, neighbour and parent: the truth about the map, and what the
   call may change.  */
static struct plan
{
  size_t n;
  struct block block[BLOCKS_MAX];
  unsigned may_leak;
  void *result;                 /* of the finished call */
  size_t moved;                 /* the block that is resized, + 1 */
  const char *root;             /* the root that is set, if ROOT_NEW is not
                                   NULL */
  void *root_old, *root_new;
  struct neighbour neighbour;
} *plan;

static char file[PATH_MAX + 64], copy[PATH_MAX + 64];

static size_t
file_size (enum map_kind kind)
{
  return kind == STATIC ? STATIC_SIZE : DYNAMIC_SIZE;
}

static void *
need (void *map)
{
  if (map == NULL)
    broken ("no map: %s", qalloc_strerror ());
  return map;
}

static void *
map_make (enum map_kind kind, const char *name)
{
  off_t size = (off_t) file_size (kind);
  return kind == STATIC
         ? qalloc_makestatmap (size, KILL_BASE, name, ITEM, STREAMS)
         : qalloc_makedynmap (size, KILL_BASE, name, STREAMS);
}

/* Allocate a block that all must keep; its number in the plan.  */
static size_t
make (void *map, size_t size)
{
  char *p = qalloc_malloc (map, size);
  NEED (p != NULL && plan->n < BLOCKS_MAX);
  kill_fill (p, size, plan->n);
  plan->block[plan->n] = (struct block) { p, size, plan->n, false };
  return plan->n++;
}


/* ---- The calls ---------------------------------------------------------- */

struct map_call
{
  const char *name;
  enum map_kind kind;
  unsigned flags;
  void (*prepare) (void *map);  /* in the victim */
  void (*operate) (void *map);  /* under the stepper */
};
enum
{
  ALONE = 1,    /* no neighbour */
  OPENS = 2,    /* the call opens the file */
  EMPTY = 4     /* ... which is not there */
};

static size_t op_size;
static void *op_block;
static enum map_kind op_kind;

static void
some_blocks (void *map)
{
  static const size_t sizes[] = { 64, 64, 16, 48, 200, 64, 3000, 40000 };
  size_t n = op_kind == STATIC ? 6 : sizeof sizes / sizeof *sizes;
  for (size_t i = 0; i < n; i++)
    make (map, op_kind == STATIC ? ITEM : sizes[i]);
}

static void
pre_nothing (void *map)
{
  (void) map;
}

static void
pre_malloc (void *map)
{
  some_blocks (map);
  op_size = 64;
  plan->may_leak = 1;
}

/* The thread comes to the map with this call.  */
static void
pre_malloc_first (void *map)
{
  (void) map;
  op_size = 64;
  plan->may_leak = 1;
}

/* No bit is left in the word under the cursor.  */
static void
pre_malloc_search (void *map)
{
  for (int i = 0; i < 64; i++)
    make (map, ITEM);
  plan->may_leak = 1;
}

/* There is one item left, somewhere.  */
static void
pre_malloc_last (void *map)
{
  for (void *p; (p = qalloc_malloc (map, ITEM)) != NULL; )
    {
      kill_fill (p, ITEM, plan->n);
      plan->block[plan->n] = (struct block) { p, ITEM, plan->n, false };
      NEED (++plan->n < BLOCKS_MAX);
    }
  size_t gone = plan->n / 3;
  qalloc_free (plan->block[gone].p, map);
  plan->block[gone] = plan->block[--plan->n];
  plan->may_leak = 1;
}

static void
pre_malloc_full (void *map)
{
  pre_malloc_last (map);
  make (map, ITEM);
  plan->may_leak = 0;
}

static void
pre_malloc_page (void *map)
{
  some_blocks (map);
  op_size = 5000;
  plan->may_leak = 1;
}

static void
pre_malloc_large (void *map)
{
  some_blocks (map);
  op_size = 100000;
  plan->may_leak = 1;
}

static void
doubts (size_t i)
{
  plan->block[i].doubt = true;
  op_block = plan->block[i].p;
}

static void
pre_free (void *map)
{
  some_blocks (map);
  doubts (plan->n - 1);
}

static void
pre_free_small (void *map)
{
  some_blocks (map);
  doubts (make (map, 64));
}

/* The neighbour's.  */
static void
pre_free_remote (void *map)
{
  some_blocks (map);
  doubts (0);
}

static void
resizes (size_t i, size_t size)
{
  doubts (i);
  plan->moved = i + 1;
  plan->may_leak = 1;
  op_size = size;
}

static void
pre_realloc_moves (void *map)
{
  some_blocks (map);
  resizes (make (map, 100), 700);
}

static void
pre_root (void *map)
{
  some_blocks (map);
  plan->root_old = plan->block[0].p;
  plan->root_new = plan->block[1].p;
  NEED (qalloc_setroot (map, plan->root, plan->root_old) == 0);
}

static void
pre_root_named (void *map)
{
  plan->root = "name";
  pre_root (map);
}

static void
op_statmalloc (void *map)
{
  plan->result = qalloc_statmalloc (map);
}

static void
op_statfree (void *map)
{
  qalloc_statfree (op_block, map);
}

static void
op_dynmalloc (void *map)
{
  plan->result = qalloc_dynmalloc (map, op_size);
}

static void
op_dynfree (void *map)
{
  qalloc_dynfree (op_block, map);
}

static void
op_realloc (void *map)
{
  plan->result = qalloc_realloc (op_block, map, op_size);
}

static void
op_setroot (void *map)
{
  NEED (qalloc_setroot (map, plan->root, plan->root_new) == 0);
}

static void
op_make (void *map)
{
  (void) map;
  need (map_make (op_kind, file));
}

static void
op_load (void *map)
{
  (void) map;
  need (qalloc_loadmap (file));
}

static void
op_checkpoint (void *map)
{
  (void) map;
  qalloc_checkpoint ();
}

static void
op_close (void *map)
{
  NEED (qalloc_close (map) == 0);
}

static void
op_cleanup (void *map)
{
  (void) map;
  qalloc_cleanup ();
}

static const struct map_call calls[] = {
  { "statmalloc: fast path", STATIC, 0, pre_malloc, op_statmalloc },
  { "statmalloc: first of a thread", STATIC, 0, pre_malloc_first,
    op_statmalloc },
  { "statmalloc: next word", STATIC, 0, pre_malloc_search, op_statmalloc },
  { "statmalloc: the last item", STATIC, 0, pre_malloc_last, op_statmalloc },
  { "statmalloc: no item", STATIC, 0, pre_malloc_full, op_statmalloc },
  { "statfree: own", STATIC, 0, pre_free, op_statfree },
  { "statfree: another's", STATIC, 0, pre_free_remote, op_statfree },
  { "static map: setroot", STATIC, 0, pre_root, op_setroot },
  { "makestatmap: new", STATIC, ALONE | OPENS | EMPTY, NULL, op_make },
  { "makestatmap: there, nobody has it", STATIC, ALONE | OPENS, NULL,
    op_make },
  { "makestatmap: beside others", STATIC, OPENS, NULL, op_make },
  { "static map: loadmap, nobody has it", STATIC, ALONE | OPENS, NULL,
    op_load },
  { "static map: loadmap, beside others", STATIC, OPENS, NULL, op_load },
  { "static map: checkpoint", STATIC, 0, some_blocks, op_checkpoint },
  { "static map: close", STATIC, 0, some_blocks, op_close },
  { "static map: close, the last", STATIC, ALONE, some_blocks, op_close },
  { "static map: cleanup", STATIC, 0, some_blocks, op_cleanup },
  { "dynmalloc: fast path", DYNAMIC, 0, pre_malloc, op_dynmalloc },
  { "dynmalloc: first of a thread", DYNAMIC, 0, pre_malloc_first,
    op_dynmalloc },
  { "dynmalloc: new page", DYNAMIC, 0, pre_malloc_page, op_dynmalloc },
  { "dynmalloc: large", DYNAMIC, 0, pre_malloc_large, op_dynmalloc },
  { "dynfree: own", DYNAMIC, 0, pre_free_small, op_dynfree },
  { "dynfree: another's", DYNAMIC, 0, pre_free_remote, op_dynfree },
  { "dynfree: large", DYNAMIC, 0, pre_free, op_dynfree },
  { "dynamic map: realloc moves", DYNAMIC, 0, pre_realloc_moves, op_realloc },
  { "dynamic map: setroot", DYNAMIC, 0, pre_root, op_setroot },
  { "dynamic map: setroot with a name", DYNAMIC, 0, pre_root_named,
    op_setroot },
  { "makedynmap: new", DYNAMIC, ALONE | OPENS | EMPTY, NULL, op_make },
  { "makedynmap: there, nobody has it", DYNAMIC, ALONE | OPENS, NULL,
    op_make },
  { "makedynmap: beside others", DYNAMIC, OPENS, NULL, op_make },
  { "dynamic map: loadmap, nobody has it", DYNAMIC, ALONE | OPENS, NULL,
    op_load },
  { "dynamic map: loadmap, beside others", DYNAMIC, OPENS, NULL, op_load },
  { "dynamic map: checkpoint", DYNAMIC, 0, some_blocks, op_checkpoint },
  { "dynamic map: close", DYNAMIC, 0, some_blocks, op_close },
  { "dynamic map: close, the last", DYNAMIC, ALONE, some_blocks, op_close },
  { "dynamic map: cleanup", DYNAMIC, 0, pre_nothing, op_cleanup },
};
enum { N_CALLS = sizeof calls / sizeof *calls };


/* ---- Processes ---------------------------------------------------------- */

/* Make the map, and leave it.  */
static void
make_file (const struct map_call *call)
{
  unlink (file);
  if (call->flags & EMPTY)
    return;
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *map = need (map_make (call->kind, file));
      if (call->flags & OPENS && call->flags & ALONE)
        some_blocks (map);
      NEED (qalloc_close (map) == 0);
      _exit (0);
    }
  NEED (kill_wait (pid) == 0);
}

/* The neighbour loads the map.  */
static void
neighbour_opens (const void *call)
{
  (void) call;
  some_blocks (need (qalloc_loadmap (file)));
}

static void *
victim_prepares (const void *arg)
{
  const struct map_call *call = arg;
  if (call->flags & OPENS)
    return NULL;
  void *map = need (qalloc_loadmap (file));
  call->prepare (map);
  return map;
}


/* ---- The file and its copy ---------------------------------------------- */

enum { BYTES_MAX = MIB (1) + MM_PAGE };

static struct
{
  int fd, copy_fd;
  size_t n;                     /* the file's length */
  char bytes[BYTES_MAX], last[BYTES_MAX];
} world;

/* Read the file, which the victim may be making.  */
static void
world_read (void)
{
  struct stat st;
  if (world.fd < 0)
    world.fd = open (file, O_RDONLY | O_CLOEXEC);
  world.n = 0;
  if (world.fd < 0)
    return;
  NEED (fstat (world.fd, &st) == 0 && st.st_size <= BYTES_MAX);
  world.n = (size_t) st.st_size;
  NEED (pread (world.fd, world.bytes, world.n, 0) == (ssize_t) world.n);
}

static bool
world_changed (bool asked)
{
  static size_t last_n;
  (void) asked;
  world_read ();
  bool same = world.n == last_n
              && memcmp (world.bytes, world.last, world.n) == 0;
  last_n = world.n;
  memcpy (world.last, world.bytes, world.n);
  return !same;
}

/* Make the copy as the file is, with its disk blocks, as the death of a process
   leaves them; and with the note which file it is.  */
static void
world_copy (const struct map_call *call)
{
  struct stat st;
  NEED (fstat (world.copy_fd, &st) == 0);
  if ((size_t) st.st_size != world.n)
    NEED (ftruncate (world.copy_fd, (off_t) world.n) == 0);
  NEED (pwrite (world.copy_fd, world.bytes, world.n, 0) == (ssize_t) world.n);
  for (off_t at = 0; call->kind == DYNAMIC && at < 2 * MM_PAGE; at += MM_PAGE)
    {
      struct disk_super s;
      struct reason why;
      if (world.n < MM_OFF_INDEX
          || pread (world.copy_fd, &s, sizeof s, at) != sizeof s
          || super_verify (&s, &why) != 0)
        continue;
      s.dev = st.st_dev;
      s.ino = st.st_ino;
      s.blocks = 0;
      s.sum = super_sum (&s);
      NEED (pwrite (world.copy_fd, &s, sizeof s, at) == sizeof s);
    }
}


/* ---- Looking at what a death left --------------------------------------- */

struct seen
{
  size_t n;
  struct block block[BLOCKS_MAX];
};

static int
see_block (void *p, size_t size, void *arg)
{
  struct seen *w = arg;
  if (w->n < BLOCKS_MAX)
    w->block[w->n++] = (struct block) { p, size, UINT64_MAX, false };
  return 0;
}

static struct block *
seen_find (struct seen *w, const void *p)
{
  for (size_t i = 0; i < w->n; i++)
    if (w->block[i].p == p)
      return &w->block[i];
  return NULL;
}

/* All that is promised.  W gets the live blocks; unknown ones have the highest
   tag.  */
static void
look (void *map, struct seen *w)
{
  struct stat st;
  if (qalloc_check (map, bad_finding, NULL) < 0)
    bad ("no check: %s", qalloc_strerror ());
  w->n = 0;
  qalloc_walk (map, see_block, w);
  unsigned unknown = (unsigned) w->n;
  bool moved = false;
  for (size_t i = 0; i < plan->n; i++)
    {
      struct block *b = &plan->block[i], *s = seen_find (w, b->p);
      if (s == NULL && !b->doubt)
        bad ("a block of %zu bytes is lost", b->size);
      moved = moved || (s == NULL && plan->moved == i + 1);
      if (s == NULL)
        continue;
      unknown--;
      if (s->size < b->size)
        bad ("a block of %zu bytes has %zu", b->size, s->size);
      else if (!kill_holds (b->p, b->size, b->size, b->tag))
        bad ("the contents of a block of %zu bytes are gone", b->size);
      if (now.finished && b->doubt && b->p != plan->result)
        bad ("a freed block of %zu bytes is live", b->size);
      s->tag = b->tag;
      s->size = b->size;
    }
  if (unknown > plan->may_leak)
    bad ("%u blocks leaked", unknown);
  if (moved && unknown == 0)
    bad ("realloc lost its block");
  if (now.finished && plan->may_leak > 0
      && (unknown == 0 || seen_find (w, plan->result) == NULL))
    bad ("the new block is not live");
  void *root = qalloc_getroot (map, plan->root);
  if (plan->root_new != NULL && root != plan->root_new
      && (root != plan->root_old || now.finished))
    bad ("the root is %p", root);
  if (fstat (world.copy_fd, &st) != 0
      || (size_t) st.st_size != file_size (op_kind))
    bad ("the file has %zu bytes", (size_t) st.st_size);
}

/* The survivor takes what there is and gives back all.  */
static void
go_on (void *map, struct seen *w)
{
  static const size_t sizes[] = { 64, 16, 5000, 1000, 30000, 100000 };
  enum { N = sizeof sizes / sizeof *sizes };
  static char *mine[BLOCKS_MAX];
  struct qalloc_stats st;
  size_t n = 0, live = w->n;
  NEED (qalloc_stats (map, &st) == 0);
  if (st.blocks_live != live)
    bad ("%zu blocks are counted, %zu are live", st.blocks_live, live);
  for (char *p; n < BLOCKS_MAX && (op_kind == STATIC || n < N)
                && (p = qalloc_malloc (map, sizes[n % N])) != NULL; )
    {
      size_t size = op_kind == STATIC ? ITEM : sizes[n];
      kill_fill (p, size, 9000 + n);
      mine[n++] = p;
    }
  if (op_kind == STATIC && n * ITEM != st.bytes_free)
    bad ("%zu items are left, not %zu", n, st.bytes_free / ITEM);
  if (op_kind == DYNAMIC && n < N)
    bad ("no room for %zu bytes: %s", sizes[n], qalloc_strerror ());
  for (size_t i = 0; i < n; i++)
    {
      size_t size = op_kind == STATIC ? ITEM : sizes[i];
      if (!kill_holds (mine[i], size, size, 9000 + i))
        bad ("a block of %zu bytes was handed out twice", size);
      qalloc_free (mine[i], map);
    }
  for (size_t i = 0; i < w->n; i++)
    {
      struct block *b = &w->block[i];
      if (b->tag != UINT64_MAX && !kill_holds (b->p, b->size, b->size, b->tag))
        bad ("the contents of a block of %zu bytes were changed", b->size);
      qalloc_free (b->p, map);
    }
  if (qalloc_setroot (map, NULL, mine) != 0
      || qalloc_getroot (map, NULL) != (void *) mine)
    bad ("no root: %s", qalloc_strerror ());
  NEED (qalloc_stats (map, &st) == 0);
  if (st.blocks_live != 0)
    bad ("%zu blocks are live when all are freed", st.blocks_live);
  if (qalloc_check (map, bad_finding, NULL) != 0)
    bad ("not whole after work");
}

/* Play the death at this point.  */
static void
play (const struct map_call *call)
{
  static struct seen seen;
  alarm (kill_patience ());
  now.played++;
  world_copy (call);
  now.way = "opener";
  void *map = call->flags & EMPTY ? map_make (call->kind, copy)
                                  : qalloc_loadmap (copy);
  if (map == NULL)
    {
      bad ("cannot be loaded: %s", qalloc_strerror ());
      return;
    }
  look (map, &seen);
  go_on (map, &seen);
  if (!(call->flags & ALONE))
    {
      now.way = "neighbour";
      world_copy (call);
      if (call->kind == DYNAMIC)
        become_neighbour (kill_heap (), &plan->neighbour);
      look (map, &seen);
      go_on (map, &seen);
    }
  if (call->kind == DYNAMIC)
    forget_caches (kill_heap ());
  if (qalloc_close (map) != 0)
    bad ("cannot be closed");
  alarm (0);
}


/* ---- Stepping ----------------------------------------------------------- */

static bool
run (size_t number, long stride)
{
  const struct map_call *call = &calls[number];
  pid_t neighbour = 0;
  memset (plan, 0, sizeof *plan);
  now_begin (call->name);
  alarm (kill_patience ());
  op_kind = call->kind;
  world.fd = -1;
  unlink (copy);
  world.copy_fd = open (copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  NEED (world.copy_fd >= 0);
  pthread_once (&process.once, process_start);
  make_file (call);
  if (!(call->flags & ALONE))
    neighbour = neighbour_start (&plan->neighbour, neighbour_opens, call);
  pid_t victim = victim_start (victim_prepares, call->operate, call);
  alarm (0);
  world_changed (true);
  play (call);
  while (!now.finished && now_advance (victim, world_changed))
    if (now_plays (stride))
      play (call);
  return now_end (victim, neighbour);
}

int
main (int argc, char **argv)
{
  long stride = (long) setting ("MMALLOC_KILL_STRIDE", 0);
  struct sum *sum = kill_shared (sizeof *sum);
  if (!trace_works ())
    return KILL_SKIPPED;
  plan = kill_shared (sizeof *plan);
  kill_make_dir ();
  snprintf (file, sizeof file, "%s", kill_path ("map"));
  snprintf (copy, sizeof copy, "%s", kill_path ("copy"));
  sum_begin ();
  for (size_t i = 0; i < N_CALLS; i++)
    if (kill_wants (calls[i].name, argc, argv))
      sum_add (sum, run, i, stride);
  unlink (file);
  unlink (copy);
  rmdir (kill_dir);
  return sum_end (sum);
}
