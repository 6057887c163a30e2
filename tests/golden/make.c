/* make.c - make new golden files, as README says.

   usage: make DIRECTORY

   Knows of the library what is in its headers, and for a death at the right
   moment what mmalloc(5) tells of operation records.  */

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmalloc.h"
#include "qalloc.h"

#include "golden.h"

static const char *dir;

#define NEED(claim) \
  ((claim) ? (void) 0 : broken (__LINE__, #claim))

__attribute__ ((noreturn)) static void
broken (int line, const char *claim)
{
  fprintf (stderr, "make.c:%d: does not hold: %s (%s; %s)\n", line, claim,
           mmalloc_strerror (NULL), qalloc_strerror ());
  _exit (1);
}

static const char *
path_of (const struct golden *g)
{
  static char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/%s", dir, g->name);
  return path;
}


/* ---- Heaps ----------------------------------------------------------- */

static void *
heap_open (const struct golden *g, int flags)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.base = (void *) g->base;
  opt.maximum = g->size;
  opt.streams = g->streams;
  opt.app_version = g->app_version;
  opt.log = flags & MMALLOC_CHECKPOINT ? GOLDEN_LOG : 0;
  void *md = mmalloc_open (path_of (g), MMALLOC_CREATE | flags, &opt);
  struct mmalloc_stats stats;
  NEED (md == (void *) g->base);
  NEED (mmalloc_stats (md, &stats) == 0 && stats.capacity == g->size);
  return md;
}

/* In the file with several streams the work of this many threads.  */
static struct
{
  const struct golden *g;
  void **block;
  pthread_barrier_t barrier;
} work;

/* Thread T makes each GOLDEN_THREADSth block, and frees of another's.  All are
   there at once, so that each stream has a user.  */
static void *
make_some (void *t)
{
  const struct golden *g = work.g;
  void *md = (void *) g->base;
  for (unsigned i = g->first; i < g->last; i++)
    if (i % GOLDEN_THREADS == (uintptr_t) t)
      {
        size_t size = golden_size (i);
        NEED ((work.block[i] = i % 2 ? mcalloc (md, 1, size)
                                     : mmalloc (md, size)) != NULL);
        golden_fill (work.block[i], i, size);
      }
  pthread_barrier_wait (&work.barrier);
  for (unsigned i = g->first; i < g->last; i++)
    if ((i + 1) % GOLDEN_THREADS == (uintptr_t) t && golden_is_free (i))
      {
        mfree (md, work.block[i]);
        work.block[i] = NULL;
      }
  pthread_barrier_wait (&work.barrier);
  return NULL;
}

static void
blocks_by_threads (void)
{
  pthread_t thread[GOLDEN_THREADS];
  pthread_barrier_init (&work.barrier, NULL, GOLDEN_THREADS);
  for (uintptr_t t = 0; t < GOLDEN_THREADS; t++)
    NEED (pthread_create (&thread[t], NULL, make_some, (void *) t) == 0);
  for (int t = 0; t < GOLDEN_THREADS; t++)
    pthread_join (thread[t], NULL);
}

/* Blocks of a heap, or of a dynamic map.  */
static void **
make_blocks (const struct golden *g, void *where,
             void *(*get) (void *where, size_t n, size_t size),
             void (*give) (void *where, void *block))
{
  void **block = get (where, g->last, sizeof *block);
  NEED (block != NULL);
  for (unsigned i = g->first; i < g->last; i++)
    {
      NEED ((block[i] = get (where, 1, golden_size (i))) != NULL);
      golden_fill (block[i], i, golden_size (i));
    }
  for (unsigned i = g->first; i < g->last; i++)
    if (golden_is_free (i))
      {
        give (where, block[i]);
        block[i] = NULL;
      }
  return block;
}

static void
fill_heap (const struct golden *g, void *md)
{
  void **block;
  if (g->streams > 0)
    {
      NEED ((block = mcalloc (md, g->last, sizeof *block)) != NULL);
      work.g = g;
      work.block = block;
      blocks_by_threads ();
    }
  else
    block = make_blocks (g, md, mcalloc, mfree);
  NEED (mmalloc_setroot (md, "forgotten", block) == 0);
  for (unsigned i = 0; i < GOLDEN_ROOTS - 1; i++)
    NEED (mmalloc_setroot (md, golden_root_name (i),
                           (void *) golden_root_value (i)) == 0);
  NEED (mmalloc_setroot (md, "blocks", block) == 0);
  NEED (mmalloc_setroot (md, "forgotten", NULL) == 0);
  for (unsigned k = 0; k < 16; k++)
    NEED (mmalloc_setkey (md, (int) k, (void *) golden_key (k)) == 1);
  NEED (mmalloc_check (md, NULL, NULL) == 0);
}

static void
make_heap (const struct golden *g)
{
  void *md = heap_open (g, 0);
  if (g->flags & GOLDEN_GUARDS)
    NEED (mmcheck (md, NULL) == 1);
  fill_heap (g, md);
  NEED (mmalloc_detach (md) == NULL);
}


/* ---- Killed ---------------------------------------------------------- */

/* What the makers tell their parent, in shared memory.  */
static struct
{
  void **slot;
  void *old[GOLDEN_SLOTS];
} *talk;

/* One maker: all have the heap open at once, the first one fills it.  */
static void
maker (const struct golden *g, int n)
{
  NEED (ptrace (PTRACE_TRACEME, 0, NULL, NULL) == 0);
  void *md = heap_open (g, 0);
  if (n == 0)
    {
      fill_heap (g, md);
      NEED ((talk->slot = mcalloc (md, GOLDEN_SLOTS, sizeof (void *)))
            != NULL);
      NEED (mmalloc_setroot (md, "slots", talk->slot) == 0);
      for (unsigned i = GOLDEN_TO + 1; i < GOLDEN_SLOTS; i++)
        {
          NEED (mmalloc_to (md, &talk->slot[i], 100) == 0);
          golden_fill (talk->old[i] = talk->slot[i], 200 + i, 100);
        }
    }
  raise (SIGSTOP);
  if (n == GOLDEN_TO)
    mmalloc_to (md, &talk->slot[n], 300 << 10);
  else if (n == GOLDEN_FREE)
    mfree_from (md, &talk->slot[n]);
  else
    mrealloc_in (md, &talk->slot[n], 2000);
  _exit (1);
}

static uint64_t
word_at (int fd, uint64_t off)
{
  uint64_t word = 0;
  NEED (pread (fd, &word, sizeof word, (off_t) off) == sizeof word);
  return word;
}

/* Whether maker N is in the middle of its call, as open file FD says.  */
static int
is_half_done (const struct golden *g, int fd, int n)
{
  enum { OPS_AT = 8192 + 256, OPS = 60, OP = 64, CHUNK = 32 << 20,
         RECORDS_AT = 36864, RECORD = 320, SLICE = 16384, LARGE = 2 };
  uint64_t at = (uintptr_t) &talk->slot[n] - g->base, op = OPS_AT;
  while (op < OPS_AT + OPS * OP && word_at (fd, op + 8) != at)
    op += OP;
  if (op == OPS_AT + OPS * OP || word_at (fd, op) == 0)
    return 0;
  uint64_t fresh = word_at (fd, op + 16), old = word_at (fd, op + 24),
           locked = word_at (fd, op + 32), slot = word_at (fd, at);
  switch (n)
    {
    case GOLDEN_TO:
      /* The head says already that it is a block.  */
      return fresh != 0 && locked != 0 && fresh < CHUNK && slot == 0
             && (word_at (fd, RECORDS_AT + fresh / SLICE * RECORD)
                 >> 16 & 15) == LARGE;
    case GOLDEN_GROW:
      return fresh != 0 && slot == (uintptr_t) talk->old[n]
             && word_at (fd, fresh) == golden_word (200 + GOLDEN_GROW, 0);
    case GOLDEN_GROWN:
      return old != 0 && slot != (uintptr_t) talk->old[n];
    default:
      return old != 0 && slot == 0;
    }
}

static int
next_stop (pid_t pid)
{
  int status;
  NEED (waitpid (pid, &status, 0) == pid && WIFSTOPPED (status));
  return WSTOPSIG (status);
}

static void
make_killed (const struct golden *g)
{
  pid_t pid[GOLDEN_SLOTS];
  talk = mmap (NULL, sizeof *talk, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  NEED (talk != MAP_FAILED);
  for (int n = 0; n < GOLDEN_SLOTS; n++)
    {
      NEED ((pid[n] = fork ()) >= 0);
      if (pid[n] == 0)
        maker (g, n);
      NEED (next_stop (pid[n]) == SIGSTOP);
    }
  int fd = open (path_of (g), O_RDONLY);
  NEED (fd >= 0);
  /* The one that stops with a lock is the last.  */
  for (int n = GOLDEN_SLOTS - 1; n >= 0; n--)
    while (!is_half_done (g, fd, n))
      {
        NEED (ptrace (PTRACE_SINGLESTEP, pid[n], NULL, NULL) == 0);
        NEED (next_stop (pid[n]) == SIGTRAP);
      }
  for (int n = 0; n < GOLDEN_SLOTS; n++)
    NEED (kill (pid[n], SIGKILL) == 0);
  for (int n = 0; n < GOLDEN_SLOTS; n++)
    {
      int status;
      NEED (waitpid (pid[n], &status, 0) == pid[n] && WIFSIGNALED (status));
    }
  close (fd);
}


/* ---- With checkpoints ------------------------------------------------ */

/* What round ROUND stores.  */
static void
store_round (const struct golden *g, void *md, unsigned round)
{
  void **block = mmalloc_getroot (md, "blocks");
  for (unsigned i = g->first; i < g->last && round > 0; i++)
    if (golden_number (i, round) == i + 2000 * round && !golden_is_free (i))
      {
        mfree (md, block[i]);
        NEED ((block[i] = mmalloc (md, golden_size (i))) != NULL);
        golden_fill (block[i], i + 2000 * round, golden_size (i));
      }
  NEED (mmalloc_setroot (md, "round", (void *) (uintptr_t) (round + 1)) == 0);
}

/* One who looks at the heap from now on, until he is killed.  */
static pid_t
watcher (const struct golden *g)
{
  int ready[2];
  char byte = 0;
  NEED (pipe (ready) == 0);
  pid_t pid = fork ();
  NEED (pid >= 0);
  if (pid == 0)
    {
      NEED (mmalloc_open (path_of (g), MMALLOC_ELSEWHERE, NULL) != NULL);
      NEED (write (ready[1], &byte, 1) == 1);
      for (;;)
        pause ();
    }
  NEED (read (ready[0], &byte, 1) == 1);
  close (ready[0]);
  close (ready[1]);
  return pid;
}

/* Somebody shares the heap, and then it gets a log, of which he knew nothing;
   or it has one from the beginning on.  One who is killed is so before there is
   a checkpoint of what he did last; and so was the one before him.  */
static void
make_rounds (const struct golden_logged *file)
{
  const struct golden *g = &file->file;
  int status;
  if (!(g->flags & GOLDEN_ONCE))
    {
      pid_t pid = fork ();
      NEED (pid >= 0);
      if (pid == 0)
        {
          void *md = heap_open (g, 0);
          fill_heap (g, md);
          if (g->flags & GOLDEN_ENDED)
            raise (SIGKILL);
          NEED (mmalloc_detach (md) == NULL);
          _exit (0);
        }
      NEED (waitpid (pid, &status, 0) == pid);
      NEED (g->flags & GOLDEN_ENDED ? WIFSIGNALED (status) : status == 0);
    }
  void *md = heap_open (g, MMALLOC_CHECKPOINT);
  if (g->flags & GOLDEN_ONCE)
    fill_heap (g, md);
  store_round (g, md, 0);
  for (unsigned round = 0; round < file->rounds;)
    {
      NEED (mmalloc_checkpoint (md) == 0);
      store_round (g, md, ++round);
    }
  NEED (mmalloc_check (md, NULL, NULL) == 0);
  pid_t looks = g->flags & GOLDEN_WATCHED ? watcher (g) : 0;
  if (!(g->flags & GOLDEN_ENDED))
    NEED (mmalloc_detach (md) == NULL);
  else
    {
      NEED (mmalloc_checkpoint (md) == 0);
      store_round (g, md, file->rounds + 1);
    }
  NEED (looks == 0 || kill (looks, SIGKILL) == 0);
  if (g->flags & GOLDEN_ENDED)
    raise (SIGKILL);
}

static void
make_logged (const struct golden_logged *file)
{
  int status;
  pid_t pid = fork ();
  NEED (pid >= 0);
  if (pid == 0)
    {
      make_rounds (file);
      _exit (0);
    }
  NEED (waitpid (pid, &status, 0) == pid);
  NEED (file->file.flags & GOLDEN_ENDED ? WIFSIGNALED (status) : status == 0);
}


/* ---- Maps ------------------------------------------------------------ */

static void
map_free (void *map, void *block)
{
  qalloc_free (block, map);
}

static void
make_dynamic (const struct golden *g)
{
  void *map = qalloc_makedynmap ((off_t) g->size, (void *) g->base,
                                 path_of (g), g->streams);
  NEED (map != NULL);
  void **block = make_blocks (g, map, qalloc_calloc, map_free);
  NEED (qalloc_setroot (map, "blocks", block) == 0);
  NEED (qalloc_setroot (map, NULL, block[g->first]) == 0);
  NEED (qalloc_close (map) == 0);
}

static void
make_static (const struct golden *g)
{
  void *map = qalloc_makestatmap ((off_t) g->size, (void *) g->base,
                                  path_of (g), sizeof (struct golden_item),
                                  g->streams);
  struct golden_item *item[100], *list = NULL;
  NEED (map != NULL);
  for (unsigned i = g->first; i < g->last; i++)
    NEED ((item[i] = qalloc_calloc (map, 1, sizeof *item[i])) != NULL);
  for (unsigned i = g->first; i < g->last; i++)
    if (golden_is_free (i))
      qalloc_free (item[i], map);
    else
      {
        item[i]->next = list;
        item[i]->number = i;
        golden_fill (item[i]->bytes, i, sizeof item[i]->bytes);
        list = item[i];
      }
  NEED (qalloc_setroot (map, NULL, list) == 0);
  NEED (qalloc_close (map) == 0);
}

/* In a process of its own.  */
static void
make (void (*how) (const struct golden *), const struct golden *g)
{
  int status;
  pid_t pid = fork ();
  NEED (pid >= 0);
  if (pid == 0)
    {
      how (g);
      _exit (0);
    }
  NEED (waitpid (pid, &status, 0) == pid && status == 0);
}

int
main (int argc, char **argv)
{
  if (argc != 2)
    return fprintf (stderr, "usage: make DIRECTORY\n"), 2;
  dir = argv[1];
  for (size_t i = 0; i < GOLDEN_LENGTH (golden_heaps); i++)
    make (golden_heaps[i].flags & GOLDEN_KILLED ? make_killed : make_heap,
          &golden_heaps[i]);
  for (size_t i = 0; i < GOLDEN_LENGTH (golden_logged); i++)
    make_logged (&golden_logged[i]);
  make (make_dynamic, &golden_dynamic[0]);
  make (make_static, &golden_static[0]);
  return 0;
}
