/* c_libraries.c - programs of several C libraries share a heap, a static map
   and a dynamic one at once, and go on when one of them is killed.

   c_libraries.sh builds this for each C library.  Processes of all programs,
   some in PID namespaces of their own where that is allowed, do all they can
   with the three files, and one after the other is killed, wherever it is.  Now
   and then all are killed: one of the programs, in turn, is then the first to
   come back, looks at everything, and frees what has no owner: as much as the
   killed ones can have had in hand.

   c_libraries DIR PROGRAM...   make the files in DIR, start PROGRAMs, kill
   c_libraries libc             say which C library this one has
   The PROGRAMs are called with "make DIR", "work DIR NUMBER SEED" or "check DIR
   KILLED".

   MMALLOC_TEST_KILLS=n         so many kills  */

#include "kill.h"

#include "qalloc.h"

#include <sched.h>

enum
{
  WORKERS = 4,
  THREADS = 2,
  KILLS_IN_A_ROW = 20,         /* until all are killed */
  PLACES = 16,                 /* that all share, for blocks of each kind */
  OWN = 8,                     /* that a thread has to itself, and names */
  ONCE = 5,                    /* roots that many want to make */
  ITEM = 64,
  STREAMS = 3,
  N_ITEMS = 1000
};

enum sort { HEAP, STATIC, DYNAMIC, KINDS };

/* The root of the heap.  */
struct board
{
  _Atomic (void *) place[KINDS][PLACES];
  struct own
  {
    void *fresh;
    void *slot[OWN];
  } own[WORKERS * THREADS];
};

/* A file that is no heap: how much each thread has done.  */
static struct progress
{
  _Atomic uint64_t done[WORKERS * THREADS];
} *progress;

static const char *dir;
static void *md;
static mapinfo_t *items;
static dynmapinfo_t *blocks;
static struct board *board;

static const char *
path_of (const char *name)
{
  static _Thread_local char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/%s", dir, name);
  return path;
}


/* ---- Blocks ------------------------------------------------------------- */

/* What a block begins with; the rest is made of both.  */
struct front
{
  size_t size;
  uint64_t tag;
};

static void
fill (void *block, size_t size, uint64_t tag)
{
  struct front *f = block;
  *f = (struct front) { size, tag };
  kill_fill (f + 1, size - sizeof *f, tag ^ size);
}

static void
holds (const void *block)
{
  const struct front *f = block;
  size_t n = f->size - sizeof *f;
  NEED (kill_holds (f + 1, n, n, f->tag ^ f->size));
}

static size_t
a_size (uint64_t *chance, enum sort sort)
{
  static const size_t size[] = { 24, 100, 500, 3000, 20000, 100000, MIB (1) };
  return sort == STATIC ? ITEM : size[random_below (chance, sort ? 5 : 7)];
}

static int
zero (const char *p, size_t n)
{
  return p[0] == 0 && memcmp (p, p + 1, n - 1) == 0;
}

/* A block of the heap, by one of the calls for that.  */
static void *
heap_block (uint64_t *chance, size_t n)
{
  char *p;
  switch (random_below (chance, 5))
    {
    case 0:
      p = mcalloc (md, 4, n / 4);
      NEED (p != NULL && zero (p, n / 4 * 4));
      return p;
    case 1:
      return mmemalign (md, (size_t) 16 << random_below (chance, 9), n);
    case 2:
      p = mmalloc (md, 24);
      NEED (p != NULL);
      fill (p, 24, n);
      p = mreallocarray (md, p, n / 4, 4);
      NEED (p != NULL);
      holds (p);
      return p;
    case 3:
      return mvalloc (md, n);
    default:
      return mmalloc (md, n);
    }
}

static void *
map_block (uint64_t *chance, void *map, size_t n)
{
  char *p;
  switch (random_below (chance, 3))
    {
    case 0:
      p = qalloc_calloc (map, 2, n / 2);
      NEED (p != NULL && zero (p, n));
      return p;
    case 1:
      p = qalloc_malloc (map, 24);
      NEED (p != NULL);
      fill (p, 24, n);
      p = qalloc_realloc (p, map, n);
      NEED (p != NULL);
      holds (p);
      return p;
    default:
      return map == items ? qalloc_statmalloc (items)
                          : qalloc_dynmalloc (blocks, n);
    }
}

static void
block_free (uint64_t *chance, enum sort sort, void *p)
{
  bool other = random_below (chance, 2);
  if (sort == HEAP && other)
    NEED (mrealloc (md, p, 0) == NULL);
  else if (sort == HEAP)
    mfree (md, p);
  else if (other)
    qalloc_free (p, sort == STATIC ? (void *) items : blocks);
  else if (sort == STATIC)
    qalloc_statfree (p, items);
  else
    qalloc_dynfree (p, blocks);
}


/* ---- Working ------------------------------------------------------------ */

/* Put a new block into a place of all, and free what somebody had put there.
   */
static void
swap_places (enum sort sort, uint64_t *chance)
{
  size_t n = a_size (chance, sort);
  void *p = sort == HEAP ? heap_block (chance, n)
            : map_block (chance, sort == STATIC ? (void *) items : blocks, n);
  NEED (p != NULL);
  NEED ((sort == HEAP ? mmalloc_usable_size (md, p)
         : qalloc_usable_size (p, sort == STATIC ? (void *) items : blocks))
        >= n);
  fill (p, n, random_next (chance));
  p = atomic_exchange (&board->place[sort][random_below (chance, PLACES)], p);
  if (p == NULL)
    return;
  holds (p);
  block_free (chance, sort, p);
}

/* The calls that lose nothing, in slots of one's own.  */
static void
use_slots (struct own *own, uint64_t *chance)
{
  void **slot = &own->slot[random_below (chance, OWN)];
  size_t n = a_size (chance, HEAP);
  if (*slot != NULL)
    holds (*slot);
  if (*slot != NULL && random_below (chance, 2))
    {
      const struct front *f = *slot;
      NEED (mrealloc_in (md, slot, f->size + n) == 0);
      holds (*slot);
      return;
    }
  NEED (mfree_from (md, slot) == 0);
  NEED (mmalloc_to (md, &own->fresh, n) == 0);
  fill (own->fresh, n, random_next (chance));
  NEED (mmalloc_move (md, slot, &own->fresh) == 0);
}

/* A name of one's own becomes that of another block.  */
static void
use_names (int number, uint64_t *chance)
{
  char name[40];
  snprintf (name, sizeof name, "%d %d", number,
            (int) random_below (chance, OWN));
  void *old = mmalloc_getroot (md, name);
  size_t n = a_size (chance, HEAP);
  void *p = mmalloc (md, n);
  NEED (p != NULL);
  fill (p, n, random_next (chance));
  NEED (mmalloc_setroot (md, name, p) == 0);
  if (old != NULL)
    holds (old);
  mfree (md, old);
}

static int
make_once (void *root, size_t size, void *arg)
{
  (void) arg;
  fill (root, size, size);
  return 0;
}

/* All want the same root; who finds it takes it away at times, for the next
   to make.  */
static void
use_made_roots (uint64_t *chance)
{
  char name[40];
  snprintf (name, sizeof name, "once %d", (int) random_below (chance, ONCE));
  void *p = mmalloc_makeroot (md, name, 1000, make_once, NULL);
  NEED (p != NULL);
  holds (p);
}

static int
count (void *block, size_t size, void *number)
{
  (void) block, (void) size;
  ++*(size_t *) number;
  return 0;
}

/* What is about all of a heap or map.  */
static void
use_all (int number, uint64_t *chance)
{
  struct mmalloc_stats stats;
  struct qalloc_stats map_stats;
  struct mmalloc_info info;
  size_t n = 0;
  int *local;
  switch (random_below (chance, 8))
    {
    case 0:
      NEED (mmalloc_trim (md) >= 0);
      return;
    case 1:
      NEED (mmalloc_stats (md, &stats) == 0 && mmalloc_info (md, &info) == 0);
      return;
    case 2:
      NEED (mmalloc_walk (md, count, &n) == 0 && n > 0);
      return;
    case 3:
      NEED (mmalloc_setkey (md, number, board) == 1
            && mmalloc_getkey (md, number) == board);
      return;
    case 4:
      /* The page of this process, whose threads agree.  */
      local = mmalloc_local (md, sizeof *local);
      NEED (local != NULL && (*local == 0 || *local == getpid ()));
      *local = getpid ();
      return;
    case 5:
      NEED (qalloc_stats (items, &map_stats) == 0
            && map_stats.streams == STREAMS);
      NEED (qalloc_setroot (blocks, "board", board) == 0
            && qalloc_getroot (blocks, "board") == board);
      return;
    case 6:
      NEED (mmalloc_open (path_of ("heap"), 0, NULL) == md);
      NEED (mmalloc_detach (md) == NULL);
      NEED (qalloc_loadmap (path_of ("static")) == items);
      NEED (qalloc_close (items) == 0);
      return;
    default:
      NEED (mmalloc_recover (md) == 0);
    }
}

static void
open_all (void)
{
  md = mmalloc_open (path_of ("heap"), 0, NULL);
  if (md == NULL)
    broken ("heap: %s", mmalloc_strerror (NULL));
  items = qalloc_loadmap (path_of ("static"));
  blocks = qalloc_loadmap (path_of ("dynamic"));
  if (items == NULL || blocks == NULL)
    broken ("map: %s", qalloc_strerror ());
  board = mmalloc_getroot (md, "board");
  NEED (board != NULL);
}

struct task
{
  int number;
  uint64_t seed;
};

static void *
work (void *arg)
{
  const struct task *task = arg;
  uint64_t chance = task->seed;
  for (;;)
    {
      int what = (int) random_below (&chance, 40);
      if (what < 21)
        swap_places ((enum sort) (what % KINDS), &chance);
      else if (what < 30)
        use_slots (&board->own[task->number], &chance);
      else if (what < 37)
        use_names (task->number, &chance);
      else if (what < 39)
        use_made_roots (&chance);
      else
        use_all (task->number, &chance);
      atomic_fetch_add (&progress->done[task->number], 1);
    }
  return NULL;
}

/* Worker NUMBER, until it is killed.  */
static void
work_on (int number, uint64_t seed)
{
  struct task task[THREADS];
  pthread_t second;
  open_all ();
  /* What the one before had under way.  */
  NEED (mmalloc_recover (md) == 0);
  for (int t = 0; t < THREADS; t++)
    {
      task[t] = (struct task) { number * THREADS + t, seed + (uint64_t) t };
      NEED (mfree_from (md, &board->own[task[t].number].fresh) == 0);
    }
  NEED (pthread_create (&second, NULL, work, &task[1]) == 0);
  work (&task[0]);
}


/* ---- Looking ------------------------------------------------------------ */

/* Blocks, and how many there may be: those with an owner, or without.  */
enum { MANY = 20000 };
struct list
{
  size_t n;
  void *block[MANY];
};
static struct list owned, lost;

static void
add (struct list *l, void *block)
{
  NEED (l->n < MANY);
  l->block[l->n++] = block;
}

/* A block with an owner, and with contents.  */
static void
own (void *block)
{
  if (block == NULL)
    return;
  holds (block);
  add (&owned, block);
}

static int
root_is_owned (const char *name, void *block, void *unused)
{
  (void) unused;
  if (strcmp (name, "board") == 0)
    add (&owned, block);
  else
    own (block);
  return 0;
}

static int
find_lost (void *block, size_t size, void *unused)
{
  (void) size, (void) unused;
  size_t i = 0;
  while (i < owned.n && owned.block[i] != block)
    i++;
  if (i == owned.n)
    add (&lost, block);
  else
    owned.block[i] = owned.block[--owned.n];
  return 0;
}

static void
finding (const char *what, const void *where, void *sort)
{
  printf ("%s: %s at %p\n", (const char *) sort, what, where);
}

/* All blocks of KIND with an owner are there; the others are freed.  */
static void
check_kind (enum sort sort, size_t allowed)
{
  static const char *const names[] = { "heap", "static", "dynamic" };
  void *map = sort == STATIC ? (void *) items : blocks;
  void *name = (void *) (uintptr_t) names[sort];
  owned.n = lost.n = 0;
  for (int i = 0; i < PLACES; i++)
    own (board->place[sort][i]);
  if (sort == HEAP)
    for (int i = 0; i < WORKERS * THREADS; i++)
      for (int j = 0; j < OWN; j++)
        own (board->own[i].slot[j]);
  if (sort == HEAP)
    NEED (mmalloc_roots (md, root_is_owned, NULL) == 0);
  NEED ((sort == HEAP ? mmalloc_check (md, finding, name)
                      : qalloc_check (map, finding, name)) == 0);
  NEED ((sort == HEAP ? mmalloc_walk (md, find_lost, NULL)
                      : qalloc_walk (map, find_lost, NULL)) == 0);
  /* Nothing of what was owned is missing.  */
  NEED (owned.n == 0);
  if (lost.n > allowed)
    broken ("%s: %zu blocks lost, more than %zu", names[sort], lost.n, allowed);
  for (size_t i = 0; i < lost.n; i++)
    if (sort == HEAP)
      mfree (md, lost.block[i]);
    else
      qalloc_free (lost.block[i], map);
}

/* KILLED processes have been since the last time.  */
static int
check (size_t killed)
{
  open_all ();
  NEED (mmalloc_recover (md) == 0);
  for (int i = 0; i < WORKERS * THREADS; i++)
    NEED (mfree_from (md, &board->own[i].fresh) == 0);
  for (enum sort sort = HEAP; sort < KINDS; sort++)
    check_kind (sort, killed * THREADS);
  NEED (mmalloc_detach (md) == NULL);
  qalloc_cleanup ();
  return qalloc_errno ();
}

static int
make (void)
{
  md = mmalloc_open (path_of ("heap"), MMALLOC_CREATE, NULL);
  NEED (md != NULL);
  board = mcalloc (md, 1, sizeof *board);
  NEED (board != NULL && mmalloc_setroot (md, "board", board) == 0);
  NEED (qalloc_makestatmap (N_ITEMS * (ITEM + 1), NULL, path_of ("static"),
                            ITEM, STREAMS) != NULL);
  NEED (qalloc_makedynmap (MIB (16), NULL, path_of ("dynamic"), STREAMS)
        != NULL);
  return 0;
}


/* ---- Killing ------------------------------------------------------------ */

static int n_programs;
static char **programs;
static bool namespaces = true;
static pid_t worker[WORKERS];
static uint64_t chance;

/* Start program I with these arguments; APART: as the first process of a PID
   namespace, where that is allowed.  */
static pid_t
start (int i, bool apart, const char *what, const char *arg, const char *more)
{
  char *argv[] = { programs[i % n_programs], (char *) (uintptr_t) what,
                   (char *) (uintptr_t) dir, (char *) (uintptr_t) arg,
                   (char *) (uintptr_t) more, NULL };
  pid_t pid = -1;
  fflush (NULL);
  if (apart && namespaces)
    {
      pid = (pid_t) syscall (SYS_clone, (long) (CLONE_NEWPID | SIGCHLD), 0L,
                             0L, 0L, 0L);
      namespaces = pid >= 0;
      if (!namespaces)
        printf ("skipped: no right to make a PID namespace\n");
    }
  if (pid < 0)
    pid = fork ();
  NEED (pid >= 0);
  if (pid != 0)
    return pid;
  execv (argv[0], argv);
  _exit (4);
}

static void
run (int i, const char *what, const char *arg)
{
  if (kill_wait (start (i, false, what, arg, NULL)) != 0)
    broken ("%s %s has failed", programs[i % n_programs], what);
}

/* Worker I works: how much it has done when it comes to UNTIL.  */
static void
wait_for_work (int i, uint64_t until)
{
  double since = kill_seconds ();
  int status;
  while (atomic_load (&progress->done[i * THREADS]) < until)
    {
      if (waitpid (worker[i], &status, WNOHANG) == worker[i])
        broken ("a worker has ended with status 0x%x", status);
      if (kill_seconds () - since > kill_patience ())
        broken ("a worker waits for ever");
      sched_yield ();
    }
}

/* Kill worker I, at any moment.  */
static void
kill_one (int i)
{
  volatile uint64_t n = random_below (&chance, 100000);
  while (n > 0)
    n--;
  NEED (kill (worker[i], SIGKILL) == 0);
  int status = kill_wait (worker[i]);
  if (!WIFSIGNALED (status) || WTERMSIG (status) != SIGKILL)
    broken ("a worker has ended with status 0x%x", status);
}

static void
start_one (int i, int program)
{
  char number[20], seed[30];
  snprintf (number, sizeof number, "%d", i);
  snprintf (seed, sizeof seed, "%" PRIu64, random_next (&chance));
  worker[i] = start (program, random_below (&chance, 2), "work", number, seed);
}

/* KILLS of them, and all in the end; the first one to come after is program
   ROUND.  */
static void
kill_some (int kills, int round)
{
  char killed[20];
  for (int i = 0; i < WORKERS; i++)
    start_one (i, round + i);
  for (int n = 0; n < kills; n++)
    {
      int i = (int) random_below (&chance, WORKERS);
      wait_for_work (i, atomic_load (&progress->done[i * THREADS]) + 1
                        + random_below (&chance, 50));
      kill_one (i);
      start_one (i, n + i);
    }
  for (int i = 0; i < WORKERS; i++)
    {
      wait_for_work (i, atomic_load (&progress->done[i * THREADS]) + 1);
      kill_one (i);
    }
  snprintf (killed, sizeof killed, "%d", kills + WORKERS);
  run (round, "check", killed);
}

static void
map_progress (void)
{
  int fd = open (path_of ("progress"), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  NEED (fd >= 0 && ftruncate (fd, sizeof *progress) == 0);
  progress = mmap (NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED,
                   fd, 0);
  NEED (progress != MAP_FAILED);
  close (fd);
}

static int
all (void)
{
  int kills = (int) setting ("MMALLOC_TEST_KILLS", 100), n = 0;
  if (!kill_works ())
    return KILL_SKIPPED;
  chance = random_seed ();
  map_progress ();
  run ((int) random_below (&chance, 2), "make", NULL);
  for (int round = 0; n < kills; round++)
    {
      kill_some (KILLS_IN_A_ROW, round);
      n += KILLS_IN_A_ROW + WORKERS;
    }
  for (int i = 0; i < n_programs; i++)
    run (i, "check", "0");
  printf ("%d kills of programs with %d C libraries%s\n", n, n_programs,
          namespaces ? ", half of them in PID namespaces of their own" : "");
  return closing_line (1, 0, 0);
}

int
main (int argc, char **argv)
{
#ifdef __GLIBC__
  const char *libc = "glibc";
#else
  const char *libc = "another";
#endif
  if (argc == 2 && strcmp (argv[1], "libc") == 0)
    return puts (libc) == EOF;
  NEED (argc >= 3);
  bool is_part = strcmp (argv[1], "work") == 0 || strcmp (argv[1], "make") == 0
                 || strcmp (argv[1], "check") == 0;
  dir = argv[is_part ? 2 : 1];
  programs = argv + 2;
  n_programs = argc - 2;
  if (!is_part)
    return all ();
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  map_progress ();
  if (argv[1][0] == 'm')
    return make ();
  if (argv[1][0] == 'c')
    return check (strtoul (argv[3], NULL, 10));
  work_on (atoi (argv[3]), strtoull (argv[4], NULL, 10));
  return 0;
}
