/* Every call of mmalloc.h and qalloc.h once or twice, without a test framework,
   for machines and C libraries that have none.  */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
/* Blocks are misused here on purpose: no word from the compiler.  */
#include <mmalloc.h>
#include <qalloc.h>

static int n_passed, n_failed;

#define EXPECT(claim) expect ((claim) != 0, #claim, __LINE__)

static void
expect (int holds, const char *claim, int line)
{
  if (holds)
    n_passed++;
  else
    {
      n_failed++;
      printf ("api_smoke.c:%d: not so: %s\n", line, claim);
    }
}

/* The files of this run, in a directory of their own.  */
static char dir[256], heap_path[300], trace_path[300], junk_path[300],
  region_path[300];

static int
is_filled (const void *p, int c, size_t size)
{
  for (size_t i = 0; i < size; i++)
    if (((const unsigned char *) p)[i] != c)
      return 0;
  return 1;
}

static int
is_aligned (const void *p, size_t alignment)
{
  return p != NULL && (uintptr_t) p % alignment == 0;
}

/* ---- Callbacks --------------------------------------------------------- */

static int n_misuses, n_damages;
static char misuse_call[32];

static void
note_misuse (const char *call, void *md, const void *ptr, const char *what,
             void *arg)
{
  (void) md, (void) ptr, (void) what;
  ++*(int *) arg;
  snprintf (misuse_call, sizeof misuse_call, "%s", call);
}

static void
note_damage (void)
{
  n_damages++;
}

static int
count_block (void *block, size_t size, void *arg)
{
  (void) block, (void) size;
  ++*(int *) arg;
  return 0;
}

static int
stop_at_first (void *block, size_t size, void *arg)
{
  (void) block, (void) size, (void) arg;
  return 7;
}

static int
count_root (const char *name, void *ptr, void *arg)
{
  (void) name, (void) ptr;
  ++*(int *) arg;
  return 0;
}

static void
show_finding (const char *finding, const void *where, void *arg)
{
  (void) arg;
  printf ("finding at %p: %s\n", where, finding);
}

/* ---- The calls, group by group ----------------------------------------- */

static void
blocks (void *md)
{
  errno = 0;
  char *p = mmalloc (md, 100);
  EXPECT (is_aligned (p, 16));
  EXPECT (mmalloc_usable_size (md, p) >= 100);
  EXPECT (mmalloc_usable_size (md, NULL) == 0);
  memset (p, 'p', 100);
  char *q = mrealloc (md, p, 100000);
  EXPECT (is_aligned (q, 16) && is_filled (q, 'p', 100));
  q = mreallocarray (md, q, 10, 5);
  EXPECT (q != NULL && is_filled (q, 'p', 50));
  EXPECT (mrealloc (md, q, 0) == NULL);
  EXPECT (mmalloc (md, 0) == NULL);
  mfree (md, NULL);
  p = mcalloc (md, 50, 20);
  EXPECT (p != NULL && is_filled (p, 0, 1000));
  mfree (md, p);
  for (size_t alignment = 1; alignment <= 1 << 20; alignment *= 4)
    {
      p = mmemalign (md, alignment, 33);
      EXPECT (is_aligned (p, alignment));
      mfree (md, p);
    }
  p = mvalloc (md, 10);
  EXPECT (is_aligned (p, (size_t) sysconf (_SC_PAGESIZE)));
  mfree (md, p);
  p = mmalloc (md, 50 << 20);
  EXPECT (p != NULL);
  p[0] = p[(50 << 20) - 1] = 1;
  mfree (md, p);
  EXPECT (errno == 0);

  volatile size_t three = 3, much = SIZE_MAX / 2;
  EXPECT (mcalloc (md, much, 3) == NULL && errno == ENOMEM);
  EXPECT (mreallocarray (md, NULL, much, 3) == NULL);
  EXPECT (mmalloc (md, much * 2 - 100) == NULL && errno == ENOMEM);
  EXPECT (mmalloc_errno (md) == ENOMEM);
  EXPECT (mmalloc_strerror (md)[0] != '\0');
  EXPECT (mmemalign (md, three, 10) == NULL && errno == EINVAL);
}

static void
misuse (void *md)
{
  int foreign;
  char *p = mmalloc (md, 64);
  mmalloc_onmisuse (note_misuse, &n_misuses);
  mfree (md, p + 16);
  EXPECT (n_misuses == 1 && strcmp (misuse_call, "mfree") == 0);
  mfree (md, p);
  EXPECT (n_misuses == 1);
  mfree (md, p);
  EXPECT (n_misuses == 2);
  mfree (md, &foreign);
  EXPECT (n_misuses == 3);
  EXPECT (mrealloc (md, p, 10) == NULL && n_misuses == 4);
  EXPECT (mmalloc_usable_size (md, p) == 0 && n_misuses == 5);
  mmalloc_onmisuse (NULL, NULL);
}

static void
roots_and_keys (void *md)
{
  int n = 0, x;
  EXPECT (mmalloc_getkey (md, 3) == NULL);
  EXPECT (mmalloc_setkey (md, 3, &x) == 1 && mmalloc_getkey (md, 3) == &x);
  EXPECT (mmalloc_setkey (md, 16, &x) == 0 && mmalloc_getkey (md, -1) == NULL);
  EXPECT (mmalloc_setkey (md, 3, NULL) == 1);
  EXPECT (mmalloc_getroot (md, "one") == NULL);
  EXPECT (mmalloc_setroot (md, "one", &x) == 0);
  EXPECT (mmalloc_setroot (md, "two", &n) == 0);
  EXPECT (mmalloc_getroot (md, "one") == &x);
  EXPECT (mmalloc_getroot (md, "two") == &n);
  EXPECT (mmalloc_roots (md, count_root, &n) == 0 && n == 2);
  EXPECT (mmalloc_setroot (md, "two", NULL) == 0);
  EXPECT (mmalloc_getroot (md, "two") == NULL);
  EXPECT (mmalloc_setroot (md, "", &x) == -1);
  EXPECT (mmalloc_setroot (md, "one", NULL) == 0);
}

static void
numbers (void *md)
{
  static struct mmalloc_stats before, after;
  EXPECT (mmalloc_stats (md, &before) == 0);
  struct mstats old_before = mmstats (md);
  void *p = mmalloc (md, 1000);
  EXPECT (mmalloc_stats (md, &after) == 0);
  struct mstats old_after = mmstats (md);
  EXPECT (after.blocks_live == before.blocks_live + 1);
  EXPECT (after.bytes_live
          == before.bytes_live + mmalloc_usable_size (md, p));
  EXPECT (after.n_classes <= MMALLOC_CLASSES_MAX);
  EXPECT (old_after.chunks_used == old_before.chunks_used + 1);
  EXPECT (old_after.bytes_used >= old_before.bytes_used + 1000);
  int n = 0;
  EXPECT (mmalloc_walk (md, count_block, &n) == 0);
  EXPECT ((size_t) n == after.blocks_live);
  EXPECT (mmalloc_walk (md, stop_at_first, NULL) == 7);
  EXPECT (mmalloc_check (md, show_finding, NULL) == 0);
  EXPECT (mmalloc_find ((char *) p + 8) == md);
  mfree (md, p);
  EXPECT (mmalloc_find (&n) == NULL);
  EXPECT (mmalloc_trim (md) >= 0);
  void **slot = mcalloc (md, 2, sizeof *slot);
  EXPECT (mmalloc_to (md, slot, 10) == 0 && *slot != NULL);
  EXPECT (mrealloc_in (md, slot, 1000) == 0 && *slot != NULL);
  EXPECT (mmalloc_move (md, slot + 1, slot) == 0 && *slot == NULL);
  EXPECT (mmalloc_move (md, slot, slot + 1) == 0 && *slot != NULL);
  EXPECT (mfree_from (md, slot) == 0 && *slot == NULL);
  EXPECT (mmalloc_recover (md) == 0);
  mfree (md, slot);
  EXPECT (mmalloc_prefetch (md) == 0);
  EXPECT (mmalloc_sync (md) == 0);
  EXPECT (mmalloc_check (md, show_finding, NULL) == 0);
}

static void
anonymous_heap (void)
{
  void *md = mmalloc_attach (-1, NULL);
  EXPECT (md != NULL);
  if (md == NULL)
    return;
  blocks (md);
  misuse (md);
  roots_and_keys (md);
  numbers (md);
  EXPECT (mmalloc_detach (md) == NULL);
  EXPECT (mmalloc_find (md) == NULL);
}

static void
default_heap (void)
{
  char *p = mmalloc (NULL, 10);
  EXPECT (p != NULL);
  p = mrealloc (NULL, p, 20);
  EXPECT (p != NULL);
  mfree (NULL, p);
  blocks (NULL);
  EXPECT (mmalloc_setkey (NULL, 0, &n_passed) == 0);
  EXPECT (mmalloc_detach (NULL) == NULL);
}

static void
guards (void)
{
  void *md = mmalloc_open (NULL, 0, NULL);
  EXPECT (mmcheck (md, note_damage) == 1);
  char *volatile p = mmalloc (md, 21);
  p[21] = 'x';
  mfree (md, p);
  EXPECT (n_damages == 1);
  EXPECT (mmalloc_detach (md) == NULL);

  md = mmalloc_open (NULL, 0, NULL);
  void *old = mmalloc (md, 21);
  EXPECT (mmcheck (md, note_damage) == 0);
  EXPECT (mmcheckf (md, note_damage, 1) == 1);
  mfree (md, old);
  EXPECT (n_damages == 1);
  EXPECT (mmalloc_detach (md) == NULL);
}

/* A list in a file: the first process makes one node and is killed, each later
   one adds a node.  */
struct node
{
  struct node *next;
  int number;
};

static void
add_node (int number)
{
  void *md = mmalloc_open (heap_path, MMALLOC_CREATE, NULL);
  EXPECT (md != NULL);
  if (md == NULL)
    return;
  struct node *node = mmalloc (md, sizeof *node);
  node->number = number;
  node->next = mmalloc_getroot (md, "list");
  EXPECT (node->number == (node->next == NULL ? 1 : node->next->number + 1));
  EXPECT (mmalloc_setroot (md, "list", node) == 0);
  EXPECT (mmalloc_detach (md) == NULL);
}

static void
file_heap (void)
{
  fflush (stdout);
  pid_t pid = fork ();
  if (pid == 0)
    {
      void *md = mmalloc_open (heap_path, MMALLOC_CREATE, NULL);
      struct node *node = mcalloc (md, 1, sizeof *node);
      node->number = 1;
      mmalloc_setroot (md, "list", node);
      raise (SIGKILL);
    }
  int status;
  EXPECT (waitpid (pid, &status, 0) == pid);
  EXPECT (WIFSIGNALED (status) && WTERMSIG (status) == SIGKILL);
  for (int number = 2; number < 10; number++)
    add_node (number);

  EXPECT (mmalloc_open (heap_path, MMALLOC_CREATE | MMALLOC_EXCL, NULL) == NULL
          && errno == EEXIST);
  EXPECT (mmalloc_errno (NULL) == EEXIST);
  void *md = mmalloc_open (heap_path, MMALLOC_RDONLY, NULL);
  EXPECT (md != NULL);
  const struct node *list = mmalloc_getroot (md, "list");
  int n = 0;
  for (const struct node *node = list; node != NULL; node = node->next)
    EXPECT (node->number == 9 - n++);
  EXPECT (n == 9);
  EXPECT (mmalloc (md, 10) == NULL && errno == EROFS);
  EXPECT (mmalloc_detach (md) == NULL);

  md = mmalloc_open (heap_path, MMALLOC_PRIVATE, NULL);
  EXPECT (md != NULL);
  EXPECT (mmalloc_setroot (md, "list", NULL) == 0);
  EXPECT (mmalloc_detach (md) == NULL);
  md = mmalloc_open (heap_path, MMALLOC_ELSEWHERE, NULL);
  EXPECT (md != NULL && mmalloc_check (md, show_finding, NULL) == 0);
  EXPECT (mmalloc_detach (md) == NULL);

  int fd = open (heap_path, O_RDWR);
  md = mmalloc_attach (fd, NULL);
  EXPECT (md != NULL && mmalloc_getroot (md, "list") == (void *) list);
  numbers (md);
  EXPECT (mmalloc_detach (md) == NULL);
  EXPECT (close (fd) == 0);
}

/* With options: a heap of a megabyte at most, and an application version.  */
static void
small_heap (void)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = 1 << 20;
  opt.app_version = 3;
  opt.fd = open (heap_path, O_RDWR | O_CREAT | O_TRUNC, 0600);
  opt.base = mmalloc_findbase (0);
  EXPECT (opt.base != NULL);
  void *md = mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  EXPECT (md != NULL && md == opt.base);
  size_t n = 0;
  while (n < 1 << 20 && mmalloc (md, 100) != NULL)
    n++;
  EXPECT (errno == ENOSPC && n > 1000 && n < (1 << 20) / 100);
  EXPECT (mmalloc_check (md, show_finding, NULL) == 0);
  EXPECT (mmalloc_detach (md) == NULL);
  opt.app_version = 4;
  EXPECT (mmalloc_open (NULL, 0, &opt) == NULL && errno == EPROTO);
  close (opt.fd);
  struct stat st;
  EXPECT (stat (heap_path, &st) == 0 && st.st_size <= 1 << 20);
}

static void
refusals (void)
{
  FILE *f = fopen (junk_path, "w");
  EXPECT (f != NULL && fputs ("no heap at all\n", f) >= 0 && fclose (f) == 0);
  EXPECT (mmalloc_open (junk_path, MMALLOC_CREATE, NULL) == NULL
          && errno == EINVAL);
  EXPECT (mmalloc_errno (NULL) == EINVAL);
  EXPECT (strlen (mmalloc_strerror (NULL)) > 0);
  EXPECT (mmalloc_open (heap_path, 0x4000, NULL) == NULL && errno == EINVAL);
  struct stat st;
  EXPECT (stat (junk_path, &st) == 0 && st.st_size == 15);
  EXPECT (mmalloc_detach (&st) == (void *) &st);
}

/* A map file without a heap: a counter behind the two words of the library. */
static int
build_region (void *region, size_t size, enum mmalloc_region_why why,
              const char **reason, void *arg)
{
  uint64_t *words = region;
  *(enum mmalloc_region_why *) arg = why;
  if (size != 8192)
    return *reason = "not 8192 bytes", EINVAL;
  if (why == MMALLOC_REGION_NEW)
    {
      words[2] = 40;
      words[0] = 0x6b6f6d73;
    }
  words[2]++;
  return 0;
}

static void
regions (void)
{
  enum mmalloc_region_why why = MMALLOC_REGION_JOIN;
  uint64_t *first = mmalloc_region_open (region_path, MMALLOC_CREATE, NULL,
                                         8192, build_region, &why);
  EXPECT (first != NULL && why == MMALLOC_REGION_NEW && first[2] == 41);
  EXPECT (mmalloc_region_sync (first, 8192) == 0);
  EXPECT (mmalloc_region_close (first) == 0);
  EXPECT (mmalloc_region_close (first) == -1 && errno == EINVAL);
  uint64_t *again = mmalloc_region_open (region_path, 0, NULL, 0, build_region,
                                         &why);
  EXPECT (again == first && why == MMALLOC_REGION_FIRST && again[2] == 42);
  EXPECT (mmalloc_region_close (again) == 0);

  mmalloc_onmisuse (note_misuse, &n_misuses);
  n_misuses = 0;
  mmalloc_misuse ("regions", NULL, &why, "what");
  EXPECT (n_misuses == 1 && strcmp (misuse_call, "regions") == 0);
  mmalloc_onmisuse (NULL, NULL);
}

/* What both kinds of map do alike.  */
static void
one_map (void *map, size_t size)
{
  struct qalloc_stats stats;
  EXPECT (map != NULL);
  if (map == NULL)
    return;
  char *p = qalloc_calloc (map, 1, size);
  EXPECT (is_aligned (p, 16) && is_filled (p, 0, size));
  memset (p, 'q', size);
  EXPECT (qalloc_usable_size (p, map) >= size);
  EXPECT (qalloc_realloc (p, map, size) == p && is_filled (p, 'q', size));
  void *q = qalloc_malloc (map, size);
  EXPECT (q != NULL && q != p);
  qalloc_free (q, map);
  EXPECT (qalloc_setroot (map, NULL, p) == 0);
  EXPECT (qalloc_stats (map, &stats) == 0 && stats.blocks_live == 1);
  int n = 0;
  EXPECT (qalloc_walk (map, count_block, &n) == 0 && n == 1);
  EXPECT (qalloc_check (map, show_finding, NULL) == 0);
  qalloc_checkpoint ();
  EXPECT (qalloc_close (map) == 0);
}

static void
maps (void)
{
  remove (region_path);
  one_map (qalloc_makestatmap (65536, NULL, region_path, 48, 3), 48);
  mapinfo_t *fixed = qalloc_loadmap (region_path);
  char *p = qalloc_getroot (fixed, NULL);
  EXPECT (p != NULL && is_filled (p, 'q', 48));
  qalloc_statfree (p, fixed);
  int n = 0;
  while (qalloc_statmalloc (fixed) != NULL)
    n++;
  EXPECT (errno == ENOSPC && n > 1000 && n * 48 < 65536);
  EXPECT (qalloc_errno () == ENOSPC && qalloc_strerror ()[0] != '\0');
  EXPECT (qalloc_close (fixed) == 0);
  EXPECT (qalloc_makestatmap (65536, NULL, region_path, 32, 3) == NULL
          && errno == EINVAL);

  remove (region_path);
  one_map (qalloc_makedynmap (4 << 20, NULL, region_path, 3), 5000);
  dynmapinfo_t *any = qalloc_loadmap (region_path);
  p = qalloc_getroot (any, NULL);
  EXPECT (p != NULL && is_filled (p, 'q', 5000));
  qalloc_dynfree (p, any);
  p = qalloc_dynmalloc (any, 1000000);
  EXPECT (p != NULL);
  EXPECT (qalloc_setroot (any, "name", p) == 0);
  EXPECT (qalloc_getroot (any, "name") == p);
  EXPECT (qalloc_dynmalloc (any, 8 << 20) == NULL && errno == ENOSPC);
  qalloc_cleanup ();
  EXPECT (mmalloc_find (p) == NULL);
}

static void
trace (void)
{
  setenv ("MALLOC_TRACE", trace_path, 1);
  EXPECT (mmtrace () == 1);
  char *p = mmalloc (NULL, 100);
  p = mrealloc (NULL, p, 200);
  mfree (NULL, p);
  char text[1000] = "";
  FILE *f = fopen (trace_path, "r");
  EXPECT (f != NULL);
  if (f == NULL)
    return;
  size_t length = fread (text, 1, sizeof text - 1, f);
  EXPECT (length > 0 && strncmp (text, "= Start", 7) == 0);
  EXPECT (strstr (text, "\n+ ") && strstr (text, "\n< ")
          && strstr (text, "\n> ") && strstr (text, "\n- "));
  fclose (f);
}

int
main (void)
{
  const char *tmp = getenv ("TMPDIR");
  snprintf (dir, sizeof dir, "%.200s/smoke.XXXXXX", tmp ? tmp : "/tmp");
  if (mkdtemp (dir) == NULL)
    return perror (dir), 1;
  snprintf (heap_path, sizeof heap_path, "%s/heap", dir);
  snprintf (junk_path, sizeof junk_path, "%s/junk", dir);
  snprintf (trace_path, sizeof trace_path, "%s/trace", dir);
  snprintf (region_path, sizeof region_path, "%s/region", dir);

  EXPECT (strcmp (mmalloc_version (), MMALLOC_VERSION) == 0);
  anonymous_heap ();
  default_heap ();
  guards ();
  file_heap ();
  small_heap ();
  refusals ();
  regions ();
  maps ();
  trace ();

  remove (heap_path);
  remove (junk_path);
  remove (region_path);
  remove (trace_path);
  rmdir (dir);
  printf ("%d passed, %d failed\n", n_passed, n_failed);
  return n_failed != 0;
}
