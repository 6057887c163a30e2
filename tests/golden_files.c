/* The golden files, which older versions of the library made, open with this
   one: everything is in them that their makers left, and they can be worked on.
   No test framework, for machines and C libraries that have none: these are
   not the makers'.  */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmalloc.h"
#include "qalloc.h"

#include "golden/golden.h"

#define MIB(n) ((size_t) (n) << 20)

static const struct golden *g;  /* the file of this process */
static unsigned round_of_file; /* the last checkpoint's, of a heap with a log */
static char dir[PATH_MAX], path[PATH_MAX + 32];

#define MUST(claim) ((claim) ? (void) 0 : wrong (__LINE__, #claim))

__attribute__ ((noreturn)) static void
wrong (int line, const char *claim)
{
  int saved = errno;
  printf ("golden_files.c:%d: %s: does not hold: %s (%s; %s; %s)\n", line,
          g->name, claim, strerror (saved), mmalloc_strerror (NULL),
          qalloc_strerror ());
  fflush (stdout);
  _exit (1);
}

static void
show_finding (const char *finding, const void *where, void *arg)
{
  static int n;
  (void) arg;
  if (n++ < 5)
    printf ("%s: finding at %p: %s\n", g->name, where, finding);
}


/* ---- Files ----------------------------------------------------------- */

/* Unpack the file into PATH, with holes where it has zeros.  */
static void
unpack (void)
{
  static unsigned char page[4096], zero[4096];
  const char *srcdir = getenv ("srcdir");
  char command[2 * PATH_MAX];
  snprintf (command, sizeof command,
            "gzip -dc '%s/tests/golden/%s.gz.gz' | gzip -dc",
            srcdir != NULL ? srcdir : ".", g->name);
  FILE *from = popen (command, "r");
  int to = open (path, O_WRONLY | O_CREAT | O_EXCL, 0666);
  MUST (from != NULL && to >= 0);
  off_t length = 0;
  size_t n;
  for (; (n = fread (page, 1, sizeof page, from)) > 0; length += (off_t) n)
    if (memcmp (page, zero, n) != 0)
      MUST (pwrite (to, page, n, length) == (ssize_t) n);
  MUST (pclose (from) == 0 && length > 0);
  MUST (ftruncate (to, length) == 0 && close (to) == 0);
}

/* Make a copy of the file as it was unpacked: GOOD has that.  */
static void
copy_again (int good)
{
  static char some[1 << 16];
  off_t at = 0;
  ssize_t n;
  MUST (remove (path) == 0);
  int to = open (path, O_WRONLY | O_CREAT | O_EXCL, 0666);
  MUST (to >= 0);
  while ((at = lseek (good, at, SEEK_DATA)) >= 0
         && (n = pread (good, some, sizeof some, at)) > 0)
    {
      MUST (pwrite (to, some, (size_t) n, at) == n);
      at += n;
    }
  MUST (ftruncate (to, lseek (good, 0, SEEK_END)) == 0 && close (to) == 0);
}

/* Whether something can be mapped where the file wants to be: some machines
   have fewer address bits.  */
static int
place_is_free (void)
{
  size_t size = (size_t) sysconf (_SC_PAGESIZE);
  size = size < g->size ? g->size : size;
  void *p = mmap ((void *) g->base, size, PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p != MAP_FAILED)
    munmap (p, size);
  if (p == (void *) g->base)
    return 1;
  printf ("skipped: %s: nothing can be mapped at its address here\n", g->name);
  return 0;
}

static int
is_little_endian (void)
{
  const uint16_t one = 1;
  return *(const unsigned char *) &one == 1;
}


/* ---- Heaps ----------------------------------------------------------- */

static void *
heap_open (int flags)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.app_version = g->app_version;
  return mmalloc_open (path, flags, &opt);
}

static int
count_block (void *block, size_t size, void *arg)
{
  (void) block;
  MUST (size > 0);
  ++*(size_t *) arg;
  return 0;
}

static int
count_root (const char *name, void *ptr, void *arg)
{
  MUST (name[0] != '\0' && ptr != NULL);
  ++*(unsigned *) arg;
  return 0;
}

/* Each block and its contents.  TABLE is the array of the pointers; all are
   SHIFT bytes behind where they were made.  */
static void
see_blocks (void **table, ptrdiff_t shift)
{
  for (unsigned i = g->first; i < g->last; i++)
    if (golden_is_free (i))
      MUST (table[i] == NULL);
    else
      MUST (golden_holds ((char *) table[i] + shift,
                          golden_number (i, round_of_file), golden_size (i)));
}

static void
see_roots (void *md)
{
  unsigned n = 0;
  for (unsigned i = 0; i < GOLDEN_ROOTS - 1; i++)
    MUST ((uintptr_t) mmalloc_getroot (md, golden_root_name (i))
          == golden_root_value (i));
  MUST (mmalloc_getroot (md, "forgotten") == NULL);
  MUST (mmalloc_roots (md, count_root, &n) == 0);
  /* "slots", or "round".  */
  bool more = g->flags & GOLDEN_KILLED || round_of_file != 0;
  MUST (n == (more ? GOLDEN_ROOTS + 1 : GOLDEN_ROOTS));
  for (int k = 0; k < 16; k++)
    MUST ((uintptr_t) mmalloc_getkey (md, k) == golden_key ((unsigned) k));
}

/* How many blocks there are: the numbered ones, their table, and what the
   killed have left in the slots and for the slots.  */
static size_t
n_live (void)
{
  size_t n = 1;
  for (unsigned i = g->first; i < g->last; i++)
    n += !golden_is_free (i);
  return n + (g->flags & GOLDEN_KILLED ? 3 : 0);
}

static void
see_numbers (void *md, size_t live)
{
  static struct mmalloc_stats stats;
  size_t seen = 0, in_classes = 0;
  MUST (mmalloc_stats (md, &stats) == 0);
  MUST (mmalloc_walk (md, count_block, &seen) == 0);
  MUST (stats.blocks_live == live && seen == live);
  MUST (stats.capacity == g->size && stats.length <= stats.capacity);
  MUST (stats.bytes_live + stats.bytes_meta <= stats.length);
  MUST (stats.n_classes <= MMALLOC_CLASSES_MAX);
  for (size_t i = 0; i < stats.n_classes; i++)
    in_classes += stats.classes[i].blocks_live;
  MUST (in_classes == live);
}

/* Everything that is in the heap.  A reader does not end what the killed had
   begun.  */
static void
see_heap (void *md, int may_end_calls)
{
  ptrdiff_t shift = (char *) md - (char *) g->base;
  MUST (mmalloc_check (md, show_finding, NULL) == 0);
  char *table = mmalloc_getroot (md, "blocks");
  MUST (table != NULL);
  see_blocks ((void **) (void *) (table + shift), shift);
  see_roots (md);
  if (may_end_calls || !(g->flags & GOLDEN_KILLED))
    see_numbers (md, n_live ());
}

/* The calls that the killed had half done.  */
static void
see_slots (void *md)
{
  void **slot = mmalloc_getroot (md, "slots");
  MUST (slot[GOLDEN_TO] == NULL && slot[GOLDEN_FREE] == NULL);
  MUST (golden_holds (slot[GOLDEN_GROW], 200 + GOLDEN_GROW, 100));
  MUST (mmalloc_usable_size (md, slot[GOLDEN_GROW]) < 2000);
  MUST (golden_holds (slot[GOLDEN_GROWN], 200 + GOLDEN_GROWN, 100));
  MUST (mmalloc_usable_size (md, slot[GOLDEN_GROWN]) >= 2000);
}

/* A byte behind a block, of which nobody may know.  */
__attribute__ ((no_sanitize_address)) static void
damage_behind (char *block, size_t size)
{
  __asm__ volatile ("" : "+r" (block) : : "memory");
  block[size] = (char) ~block[size];
}

static void
see_guards (void *md, void **table)
{
  damage_behind (table[100], golden_size (100));
  MUST (mmalloc_check (md, NULL, NULL) == 1);
  damage_behind (table[100], golden_size (100));
  MUST (mmalloc_check (md, NULL, NULL) == 0);
}

static void *
exchange (void *md)
{
  void *block[50] = { NULL };
  for (unsigned i = 0; i < 3000; i++)
    {
      unsigned n = i * 7 % 50;
      mfree (md, block[n]);
      block[n] = mmalloc (md, 16 + i % 500);
      if (block[n] != NULL)
        memset (block[n], 1, 16 + i % 500);
    }
  for (int n = 0; n < 50; n++)
    mfree (md, block[n]);
  return NULL;
}

/* The same blocks once more in array LATER, until the heap is full, as block
   1000 + their number.  */
static void
make_more (void *md, void **later)
{
  for (unsigned i = g->first; i < g->last; i++)
    if ((later[i] = mmalloc (md, golden_size (i))) != NULL)
      golden_fill (later[i], i + 1000, golden_size (i));
    else
      MUST (errno == ENOSPC && g->size < MIB (1));
}

/* Allocate, resize, free, and grow.  */
static void
work (void *md, void **table)
{
  static struct mmalloc_stats before, after;
  pthread_t thread[4];
  MUST (mmalloc_stats (md, &before) == 0);
  for (int t = 0; t < 4; t++)
    MUST (pthread_create (&thread[t], NULL, exchange, md) == 0);
  for (int t = 0; t < 4; t++)
    pthread_join (thread[t], NULL);
  void **later = mcalloc (md, g->last, sizeof *later);
  MUST (later != NULL && mmalloc_setroot (md, "later", later) == 0);
  for (unsigned i = g->first; i < g->last; i++)
    if (i % 4 == 0 && table[i] != NULL)
      {
        void *p = mrealloc (md, table[i], golden_size (i) * 2);
        MUST (p != NULL);
        MUST (golden_holds (table[i] = p, golden_number (i, round_of_file),
                            golden_size (i)));
      }
    else if (i % 4 == 1)
      {
        mfree (md, table[i]);
        table[i] = NULL;
      }
  make_more (md, later);
  if (g->size < MIB (1))
    return;
  void *large = mmalloc (md, MIB (8));
  MUST (large != NULL);
  memset (large, 1, MIB (8));
  mfree (md, large);
  MUST (mmalloc_stats (md, &after) == 0);
  MUST (after.bytes_backed >= before.bytes_backed + MIB (4));
}

/* What is left after the work, and then nothing.  */
static void
end_of_work (void *md)
{
  MUST (mmalloc_check (md, show_finding, NULL) == 0);
  void **table = mmalloc_getroot (md, "blocks");
  void **later = mmalloc_getroot (md, "later");
  void **slot = mmalloc_getroot (md, "slots");
  for (unsigned i = g->first; i < g->last; i++)
    {
      MUST (table[i] == NULL
            || golden_holds (table[i], golden_number (i, round_of_file),
                             golden_size (i)));
      MUST (later[i] == NULL
            || golden_holds (later[i], i + 1000, golden_size (i)));
      mfree (md, table[i]);
      mfree (md, later[i]);
    }
  for (int n = 0; slot != NULL && n < GOLDEN_SLOTS; n++)
    MUST (mfree_from (md, &slot[n]) == 0);
  mfree (md, slot);
  mfree (md, table);
  mfree (md, later);
  see_numbers (md, 0);
  MUST (mmalloc_trim (md) >= 0);
  MUST (mmalloc_check (md, show_finding, NULL) == 0);
}

static void
try_heap (void)
{
  void *md = mmalloc_open (path, MMALLOC_ELSEWHERE, NULL);
  if (!is_little_endian ())
    {
      MUST (md == NULL && errno == ENOTSUP);
      return;
    }
  MUST (md != NULL);
  see_heap (md, 0);
  MUST (mmalloc_detach (md) == NULL);
  if (!place_is_free ())
    return;

  MUST ((md = heap_open (MMALLOC_RDONLY)) == (void *) g->base);
  see_heap (md, 0);
  MUST (mmalloc_detach (md) == NULL);
  MUST ((md = heap_open (MMALLOC_PRIVATE)) == (void *) g->base);
  see_heap (md, 1);
  work (md, mmalloc_getroot (md, "blocks"));
  end_of_work (md);
  MUST (mmalloc_detach (md) == NULL);

  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.app_version = GOLDEN_APP + 1;
  MUST (mmalloc_open (path, 0, &opt) == NULL && errno == EPROTO);
  MUST ((md = heap_open (0)) == (void *) g->base);
  see_heap (md, 1);
  void **table = mmalloc_getroot (md, "blocks");
  for (unsigned i = g->first; i < g->last; i++)
    MUST (golden_is_free (i)
          || mmalloc_usable_size (md, table[i]) >= golden_size (i));
  if (g->flags & GOLDEN_KILLED)
    see_slots (md);
  MUST (mmcheck (md, NULL) == (g->flags & GOLDEN_GUARDS ? 1 : 0));
  if (g->flags & GOLDEN_GUARDS)
    see_guards (md, table);
  work (md, table);
  MUST (mmalloc_detach (md) == NULL);
  MUST ((md = heap_open (0)) == (void *) g->base);
  end_of_work (md);
  MUST (mmalloc_detach (md) == NULL);
}


/* ---- With a log ------------------------------------------------------ */

/* A copy of the file is opened in way FLAGS, if it can be, and has the last
   checkpoint.  */
static void *
logged_open (int good, int flags)
{
  struct mmalloc_info info;
  copy_again (good);
  void *md = heap_open (flags);
  MUST (md != NULL);
  MUST (md == (void *) g->base || flags == MMALLOC_ELSEWHERE);
  see_heap (md, 1);
  MUST ((uintptr_t) mmalloc_getroot (md, "round") == round_of_file + 1);
  MUST (mmalloc_info (md, &info) == 0 && info.checkpoint == round_of_file + 1);
  return md;
}

static void
logged_detach (void *md)
{
  MUST (mmalloc_detach (md) == NULL);
}

/* Beside one who makes checkpoints somebody looks on.  */
static void
see_checkpoints (int good)
{
  void *md = logged_open (good, MMALLOC_CHECKPOINT);
  void **table = mmalloc_getroot (md, "blocks");
  MUST (mmalloc_setroot (md, "forgotten", table) == 0);
  MUST (mmalloc_rollback (md) == 0);
  see_heap (md, 1);
  pid_t pid = fork ();
  if (pid == 0)
    {
      void *there = mmalloc_open (path, MMALLOC_ELSEWHERE, NULL);
      MUST (there != NULL);
      see_heap (there, 1);
      _exit (0);
    }
  int status;
  MUST (pid > 0 && waitpid (pid, &status, 0) == pid && status == 0);
  work (md, table);
  MUST (mmalloc_checkpoint (md) == 0);
  logged_detach (md);
  MUST ((md = heap_open (MMALLOC_CHECKPOINT)) == (void *) g->base);
  end_of_work (md);
  logged_detach (md);
  MUST ((md = heap_open (0)) == (void *) g->base);
  MUST (mmalloc_setroot (md, "round", NULL) == 0);
  see_numbers (md, 0);
  logged_detach (md);
}

static void
try_logged (void)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE, 0, MMALLOC_CHECKPOINT };
  if (!is_little_endian ())
    {
      MUST (mmalloc_open (path, 0, NULL) == NULL && errno == ENOTSUP);
      return;
    }
  int good = open (path, O_RDONLY);
  MUST (good >= 0);
  logged_detach (logged_open (good, MMALLOC_ELSEWHERE));
  if (!place_is_free ())
    return;
  for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
    {
      logged_detach (logged_open (good, flags[i]));
      MUST (mmcheck (mmalloc_open (path, MMALLOC_RDONLY, NULL), NULL) == 0);
      logged_detach ((void *) g->base);
    }
  void *md = logged_open (good, 0);
  work (md, mmalloc_getroot (md, "blocks"));
  logged_detach (md);
  MUST ((md = heap_open (0)) == (void *) g->base);
  end_of_work (md);
  logged_detach (md);
  see_checkpoints (good);
  MUST (close (good) == 0);
}


/* ---- Maps ------------------------------------------------------------ */

static void
see_map (void *map, size_t live, size_t item_size)
{
  struct qalloc_stats stats;
  size_t seen = 0;
  MUST (map != NULL);
  MUST (qalloc_check (map, show_finding, NULL) == 0);
  MUST (qalloc_stats (map, &stats) == 0);
  MUST (stats.address == (void *) g->base && stats.file_size == g->size);
  MUST (stats.item_size == item_size && stats.streams == g->streams);
  MUST (qalloc_walk (map, count_block, &seen) == 0);
  MUST (stats.blocks_live == live && seen == live);
  MUST (stats.bytes_live + stats.bytes_meta <= g->size);
}

/* Fill the map with blocks of SIZE, a list, load it again and free them.  */
static void
fill_and_empty (void *map, size_t size, size_t live, size_t item_size)
{
  void *first = NULL, *p;
  size_t n = 0;
  for (; (p = qalloc_malloc (map, size)) != NULL; n++)
    {
      memcpy (p, &first, sizeof first);
      first = p;
    }
  MUST (errno == ENOSPC && n > 100);
  MUST (qalloc_close (map) == 0 && (map = qalloc_loadmap (path)) != NULL);
  see_map (map, live + n, item_size);
  for (; (p = first) != NULL; n--)
    {
      memcpy (&first, p, sizeof first);
      qalloc_free (p, map);
    }
  MUST (n == 0);
  see_map (map, live, item_size);
  MUST (qalloc_close (map) == 0);
}

static void
try_dynamic (void)
{
  if (!is_little_endian () || !place_is_free ())
    return;
  for (int round = 0; round < 2; round++)
    {
      void *map = round == 0 ? qalloc_loadmap (path)
                             : qalloc_makedynmap ((off_t) g->size, NULL, path,
                                                  g->streams);
      see_map (map, n_live (), 0);
      void **table = qalloc_getroot (map, "blocks");
      see_blocks (table, 0);
      MUST (qalloc_getroot (map, NULL) == table[g->first]);
      for (unsigned i = g->first; i < g->last; i++)
        MUST (golden_is_free (i)
              || qalloc_usable_size (table[i], map) >= golden_size (i));
      fill_and_empty (map, 500, n_live (), 0);
    }
}

static void
try_static (void)
{
  enum { ITEM = sizeof (struct golden_item) };
  if (!is_little_endian () || !place_is_free ())
    return;
  for (int round = 0; round < 2; round++)
    {
      void *map = round == 0 ? qalloc_loadmap (path)
                             : qalloc_makestatmap ((off_t) g->size, NULL, path,
                                                   ITEM, g->streams);
      see_map (map, n_live () - 1, ITEM);
      struct golden_item *item = qalloc_getroot (map, NULL);
      for (unsigned i = g->last; i-- > g->first; )
        if (!golden_is_free (i))
          {
            MUST (item->number == i);
            MUST (golden_holds (item->bytes, i, sizeof item->bytes));
            item = item->next;
          }
      MUST (item == NULL);
      fill_and_empty (map, ITEM, n_live () - 1, ITEM);
    }
}


/* ---- Running --------------------------------------------------------- */

static int n_tried, n_failed;

/* Try file FILE in a process of its own.  */
static void
try (const struct golden *file, void (*how) (void))
{
  int status;
  g = file;
  snprintf (path, sizeof path, "%s/%s", dir, g->name);
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      /* Ends what hangs.  */
      alarm (300);
      unpack ();
      how ();
      fflush (stdout);
      _exit (0);
    }
  n_tried++;
  if (pid < 0 || waitpid (pid, &status, 0) != pid || status != 0)
    {
      n_failed++;
      printf ("%s: failed\n", g->name);
    }
  remove (path);
}

int
main (void)
{
  if (system ("gzip -V > /dev/null 2>&1") != 0)
    return printf ("skipped: there is no gzip\n"), 77;
  const char *tmp = getenv ("TMPDIR");
  snprintf (dir, sizeof dir, "%s/golden-XXXXXX", tmp != NULL ? tmp : "/tmp");
  if (mkdtemp (dir) == NULL)
    return perror (dir), 1;
  for (size_t i = 0; i < GOLDEN_LENGTH (golden_heaps); i++)
    try (&golden_heaps[i], try_heap);
  for (size_t i = 0; i < GOLDEN_LENGTH (golden_logged); i++)
    {
      round_of_file = golden_logged[i].rounds;
      try (&golden_logged[i].file, try_logged);
    }
  round_of_file = 0;
  for (size_t i = 0; i < GOLDEN_LENGTH (golden_dynamic); i++)
    try (&golden_dynamic[i], try_dynamic);
  for (size_t i = 0; i < GOLDEN_LENGTH (golden_static); i++)
    try (&golden_static[i], try_static);
  rmdir (dir);
  printf ("%d%%: Checks: %d, Failures: %d, Errors: 0\n",
          100 * (n_tried - n_failed) / n_tried, n_tried, n_failed);
  return n_failed != 0;
}
