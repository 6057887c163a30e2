/* pthread_cancel: no call is a cancellation point.  A thread that has a
   cancellation pending goes through any call of mmalloc.h and qalloc.h to its
   end, with its result; the cancellation stays pending and takes the thread
   when it comes to a cancellation point of its own; and afterwards this process
   and others open, grow, resize through slots, fork, trim and detach as ever.

   All of this is about deferred cancellation.  A thread that has asked for
   asynchronous cancellation must not call the library, as it must not call most
   of libc.  */

#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/syscall.h>

#include "qalloc_support.h"

/* A failing assertion would be a cancellation point.  */
static const char *wrong;
#define holds(claim) ((claim) ? (void) 0 : (void) (wrong = #claim))

static int kind;
static void *md, *map, *region; /* the scene of a call */
static bool have_heap;          /* for md NULL is one, too */
static void **slot, *small, *large, *huge;


/* ---- Calls ----------------------------------------------------------- */

struct call
{
  const char *name;
  void (*fn) (void);
};

static int
see (void *block, size_t size, void *n)
{
  (void) block, (void) size;
  ++*(int *) n;
  return 0;
}

static int
see_root (const char *name, void *ptr, void *n)
{
  (void) name, (void) ptr;
  ++*(int *) n;
  return 0;
}

static void
small_blocks (void)
{
  for (int i = 0; i < 300; i++)
    holds (mmalloc (md, 20000) != NULL);
}

static void
large_blocks (void)
{
  for (int i = 0; i < 10; i++)
    holds (mmalloc (md, MIB (1)) != NULL);
}

static void
huge_block (void)
{
  holds (mmalloc (md, MIB (30)) != NULL);
}

static void
zeroed (void)
{
  char *block = mcalloc (md, 20, MIB (1));
  holds (block != NULL && block_is_zero (block, MIB (20)));
}

static void
aligned (void)
{
  holds (mmemalign (md, MIB (1), MIB (2)) != NULL);
  holds (mvalloc (md, KIB (100)) != NULL);
}

static void
resize (void)
{
  static const size_t sizes[] = { 100000, MIB (3), MIB (40), MIB (50), 10 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    holds ((small = mrealloc (md, small, sizes[i])) != NULL);
  holds (mrealloc (md, small, 0) == NULL);
}

static void
resize_array (void)
{
  holds ((huge = mreallocarray (md, huge, 60, MIB (1))) != NULL);
  holds ((large = mreallocarray (md, large, 9, MIB (1))) != NULL);
}

static void
free_small (void)
{
  mfree (md, small);
}

static void
free_large (void)
{
  mfree (md, large);
}

static void
free_huge (void)
{
  mfree (md, huge);
}

static void
usable (void)
{
  holds (mmalloc_usable_size (md, huge) >= MIB (17));
}

static void
into_slot (void)
{
  holds (mmalloc_to (md, &slot[1], MIB (20)) == 0);
  holds (mmalloc_to (md, &slot[2], MIB (2)) == 0);
}

static void
within_slot (void)
{
  holds (mrealloc_in (md, &slot[0], MIB (30)) == 0);
}

static void
from_slot (void)
{
  holds (mfree_from (md, &slot[0]) == 0);
  holds (slot[0] == NULL);
}

static void
recovery (void)
{
  holds (mmalloc_recover (md) == 0);
}

static void
keys (void)
{
  void *on = kind == DEFAULT_HEAP ? mmalloc_find (small) : md;
  holds (mmalloc_setkey (on, 3, small) == 1);
  holds (mmalloc_getkey (on, 3) == small);
}

static void
roots (void)
{
  char name[900] = "";
  int n = 0;
  memset (name, 'n', sizeof name - 1);
  for (int i = 0; i < 100; i++)
    {
      name[0] = (char) ('0' + i);
      holds (mmalloc_setroot (md, name, small) == 0);
    }
  holds (mmalloc_getroot (md, name) == small);
  holds (mmalloc_roots (md, see_root, &n) == 0 && n == 100);
}

static void
sync_it (void)
{
  holds (mmalloc_sync (md) == 0);
}

static void
prefetch (void)
{
  holds (mmalloc_prefetch (md) == 0);
}

static void
trim (void)
{
  mfree (md, huge);
  mfree (md, large);
  holds (mmalloc_trim (md) > 0);
}

static void
stats (void)
{
  struct mmalloc_stats st;
  holds (mmalloc_stats (md, &st) == 0);
  holds (mmstats (md).chunks_used == st.blocks_live);
}

static void
walk (void)
{
  int n = 0;
  holds (mmalloc_walk (md, see, &n) == 0 && n >= 4);
}

static void
check (void)
{
  holds (mmalloc_check (md, NULL, NULL) == 0);
}

static void
guards (void)
{
  holds (mmcheckf (md, NULL, 1) == 1);
  holds (mmalloc (md, MIB (1)) != NULL);
  holds (mmcheck (md, NULL) == 1);
}

static void
questions (void)
{
  mmalloc_onmisuse (NULL, NULL);
  holds (kind == DEFAULT_HEAP || mmalloc_find (small) == md);
  holds (mmalloc_findbase (MIB (1)) != NULL);
  holds (mmalloc (md, any_size (SIZE_MAX / 2)) == NULL);
  holds (mmalloc_errno (md) == ENOMEM);
  holds (mmalloc_strerror (md)[0] != '\0');
  holds (mmalloc_version ()[0] != '\0');
}

static void
trace (void)
{
  holds (mmtrace () == 1);
  holds ((small = mrealloc (md, small, 1000)) != NULL);
  mfree (md, small);
  holds (mmalloc (md, 100) != NULL);
}

static void
no_trace (void)
{
  setenv ("MALLOC_TRACE", "/no/such/file", 1);
  holds (mmtrace () == 0);
}

static void
detach (void)
{
  holds (mmalloc_detach (md) == NULL);
  have_heap = kind == DEFAULT_HEAP;
}

static void
detach_nothing (void)
{
  holds (mmalloc_detach (&wrong) == &wrong);
}

#define E(fn) { #fn, fn }
static const struct call heap_calls[] = {
  E (small_blocks), E (large_blocks), E (huge_block), E (zeroed),
  E (aligned), E (resize), E (resize_array), E (free_small), E (free_large),
  E (free_huge), E (usable), E (into_slot), E (within_slot), E (from_slot),
  E (recovery), E (keys), E (roots), E (sync_it), E (prefetch), E (trim),
  E (stats), E (walk), E (check), E (guards), E (questions), E (trace),
  E (no_trace), E (detach), E (detach_nothing), { NULL, NULL }
};


/* Of files.  */

static void
opens (const char *name, int flags, bool works)
{
  void *h = mmalloc_open (name, flags, NULL);
  holds ((h != NULL) == works);
  holds (h == NULL || mmalloc_detach (h) == NULL);
}

static void
open_new (void)
{
  opens (temp_path ("new"), MMALLOC_CREATE, true);
}

static void
open_old (void)
{
  opens (temp_path ("other"), 0, true);
}

static void
open_again (void)
{
  opens (temp_heap_path (), 0, true);
}

static void
open_to_read (void)
{
  opens (temp_path ("other"), MMALLOC_RDONLY, true);
}

static void
open_private (void)
{
  opens (temp_path ("other"), MMALLOC_PRIVATE, true);
}

static void
open_elsewhere (void)
{
  opens (temp_path ("other"), MMALLOC_ELSEWHERE, true);
}

static void
open_anonymous (void)
{
  opens (NULL, 0, true);
}

static void
use_default (void)
{
  holds (mmalloc (NULL, 100) != NULL);
}

static void
open_missing (void)
{
  opens (temp_path ("none"), 0, false);
}

static void
open_junk (void)
{
  opens (temp_path ("junk"), MMALLOC_CREATE, false);
}

static void
open_exclusive (void)
{
  opens (temp_path ("other"), MMALLOC_CREATE | MMALLOC_EXCL, false);
}

/* Something sits there: who is looked up.  */
static void
open_taken (void)
{
  void *other = mmalloc_open (temp_path ("other"), 0, NULL);
  holds (mmalloc_detach (other) == NULL);
  holds (mmap (other, KIB (64), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS
               | MAP_FIXED_NOREPLACE, -1, 0) == other);
  opens (temp_path ("other"), 0, false);
  holds (munmap (other, KIB (64)) == 0);
}

static int other_fd;

static void
attach (void)
{
  void *h = mmalloc_attach (other_fd, NULL);
  holds (h != NULL);
  holds (mmalloc_detach (h) == NULL);
}

static int
prepare (void *at, size_t size, enum mmalloc_region_why why,
         const char **reason, void *arg)
{
  (void) size, (void) why, (void) reason;
  *(uint64_t *) at = 0x7e57;
  return arg == NULL ? 0 : EPROTO;
}

static void *
region_open (const char *name, void *arg)
{
  return mmalloc_region_open (temp_path (name), MMALLOC_CREATE, NULL,
                              KIB (100), prepare, arg);
}

static void
region_new (void)
{
  holds (mmalloc_region_close (region_open ("region2", NULL)) == 0);
}

static void
region_again (void)
{
  holds (region_open ("region", NULL) == region);
}

static void
region_refused (void)
{
  holds (region_open ("region2", &wrong) == NULL);
  holds (region_open ("region", &wrong) == NULL);
  holds (region_open ("other", NULL) == NULL);
}

static void
region_ends (void)
{
  holds (mmalloc_region_sync (region, KIB (100)) == 0);
  holds (mmalloc_region_close (region) == 0);
  holds (mmalloc_region_close (region) == -1);
  holds ((region = region_open ("region", NULL)) != NULL);
}

static const struct call file_calls[] = {
  E (open_new), E (open_old), E (open_again), E (open_to_read),
  E (open_private), E (open_elsewhere), E (open_anonymous), E (use_default),
  E (open_missing), E (open_junk), E (open_exclusive), E (open_taken),
  E (attach), E (region_new), E (region_again), E (region_refused),
  E (region_ends), { NULL, NULL }
};


/* Of maps.  */

static void
map_makes (void)
{
  const char *name = temp_path ("new map");
  void *m = kind == STATIC_MAP
            ? qalloc_makestatmap (MIB (1), NULL, name, 100, 2)
            : qalloc_makedynmap (MIB (1), NULL, name, 2);
  holds (m != NULL);
  holds (qalloc_close (m) == 0);
}

static void
map_loads (void)
{
  holds (qalloc_close (map) == 0);
  holds ((map = qalloc_loadmap (map_path (kind))) != NULL);
  holds (qalloc_loadmap (map_path (kind)) == map);
  holds (qalloc_close (map) == 0);
}

static void
map_refused (void)
{
  holds (qalloc_loadmap (temp_path ("none")) == NULL);
  holds (qalloc_loadmap (temp_path ("junk")) == NULL);
  holds (qalloc_makestatmap (MIB (2), NULL, map_path (kind), 8, 1) == NULL);
  holds (qalloc_makedynmap (MIB (2), NULL, map_path (kind), 1) == NULL);
  holds (qalloc_close (&wrong) == -1);
  holds (qalloc_errno () == EINVAL && qalloc_strerror ()[0] != '\0');
}

static void
map_checkpoint (void)
{
  qalloc_checkpoint ();
  holds (qalloc_errno () == 0);
}

static void
map_cleanup (void)
{
  qalloc_cleanup ();
  holds ((map = qalloc_loadmap (map_path (kind))) != NULL);
}

static void
map_blocks (void)
{
  void *p = qalloc_malloc (map, 100), *q = qalloc_calloc (map, 2, 50);
  holds (p != NULL && q != NULL);
  holds ((p = qalloc_realloc (p, map, 90)) != NULL);
  holds (qalloc_usable_size (p, map) >= 90);
  holds (qalloc_setroot (map, NULL, q) == 0);
  holds (qalloc_getroot (map, NULL) == q);
  qalloc_free (p, map);
  p = kind == STATIC_MAP ? qalloc_statmalloc (map)
                         : qalloc_dynmalloc (map, KIB (300));
  holds (p != NULL);
  if (kind == STATIC_MAP)
    qalloc_statfree (p, map);
  else
    qalloc_dynfree (p, map);
}

static void
map_looks (void)
{
  struct qalloc_stats st;
  int n = 0;
  holds (qalloc_stats (map, &st) == 0);
  holds (qalloc_walk (map, see, &n) == 0 && n == 1);
  holds (qalloc_check (map, NULL, NULL) == 0);
}

static const struct call map_calls[] = {
  E (map_makes), E (map_loads), E (map_refused), E (map_checkpoint),
  E (map_cleanup), E (map_blocks), E (map_looks), { NULL, NULL }
};


/* ---- Before and after ------------------------------------------------ */

/* What is asked of a heap afterwards.  */
static void
works (void *h)
{
  void **s = mcalloc (h, 2, sizeof *s);
  must (s != NULL);
  for (int i = 0; i < 100; i++)
    must (mmalloc (h, 50000) != NULL);
  must (mmalloc_to (h, s, MIB (20)) == 0);
  must (mrealloc_in (h, s, MIB (40)) == 0);
  must (mfree_from (h, s) == 0);
  must (mmalloc_recover (h) == 0);
  must (mmalloc_setroot (h, "afterwards", s) == 0);
  must (mmalloc_trim (h) >= 0);
}

static void
works_in_a_child (void *unused)
{
  (void) unused;
  if (have_heap)
    works (md);
  if (map != NULL)
    must (qalloc_malloc (map, 100) != NULL);
}

static void
works_elsewhere (void *file)
{
  baton_wait (baton);
  void *h = mmalloc_open (file, 0, NULL);
  ck_assert_msg (h != NULL, "%s", mmalloc_strerror (NULL));
  works (h);
  heap_end (h);
}

static void
all_works (void)
{
  void *h = mmalloc_open (temp_path ("new"), MMALLOC_CREATE, NULL);
  ck_assert_msg (h != NULL, "%s", mmalloc_strerror (NULL));
  works (h);
  ck_assert_int_eq (child_run (works_in_a_child, NULL), 0);
  heap_end (h);
  if (have_heap)
    {
      works (md);
      heap_end (md);
    }
  if (map != NULL)
    {
      must (qalloc_malloc (map, 100) != NULL);
      map_end (map);
    }
  if (region != NULL)
    ck_assert_int_eq (mmalloc_region_close (region), 0);
}

static void
scene_heap (void)
{
  md = heap_new (kind);
  have_heap = true;
  slot = mcalloc (md, 10, sizeof *slot);
  small = mmalloc (md, 100);
  large = mmalloc (md, KIB (300));
  huge = mmalloc (md, MIB (17));
  ck_assert_ptr_nonnull (huge);
  ck_assert_int_eq (mmalloc_to (md, &slot[0], 1000), 0);
}

static void
scene_files (void)
{
  scene_heap ();
  file_write (temp_path ("junk"), "much of nothing", 15);
  void *other = mmalloc_open (temp_path ("other"), MMALLOC_CREATE, NULL);
  other_fd = open (temp_path ("other"), O_RDWR | O_CLOEXEC);
  region = region_open ("region", NULL);
  ck_assert_ptr_nonnull (region);
  /* Only now, when nothing new can take its place.  */
  ck_assert_ptr_null (mmalloc_detach (other));
}

static void
scene_map (void)
{
  file_write (temp_path ("junk"), "much of nothing", 15);
  map = map_make (kind, MIB (1), 100, 2);
  must (qalloc_malloc (map, 100) != NULL);
}


/* ---- The cancelled thread -------------------------------------------- */

static bool forks;              /* the call is a child's first one */
static pid_t forked;
static bool ended, went_on;

static void *
cancelled (void *call)
{
  void (*fn) (void) = ((const struct call *) call)->fn;
  pthread_cancel (pthread_self ());
  if (!forks)
    fn ();
  else if ((forked = fork ()) == 0)
    {
      fn ();
      _exit (wrong == NULL ? 42 : 43);
    }
  ended = true;
  pthread_testcancel ();
  went_on = true;
  return NULL;
}

static void
through (const struct call *call)
{
  void *result = NULL;
  int status = 42 << 8;
  fflush (NULL);
  pthread_t thread = thread_start (cancelled, (void *) call);
  ck_assert_int_eq (pthread_join (thread, &result), 0);
  if (forked > 0)
    ck_assert_int_eq (waitpid (forked, &status, 0), forked);
  ck_assert_msg (ended, "%s: the thread was cancelled", call->name);
  ck_assert_msg (WIFEXITED (status) && WEXITSTATUS (status) == 42,
                 "%s: the child ended with 0x%x", call->name, status);
  ck_assert_msg (!went_on && result == PTHREAD_CANCELED,
                 "%s: the cancellation is lost", call->name);
  ck_assert_msg (wrong == NULL, "%s: does not hold: %s", call->name, wrong);
}

/* A hang ends.  */
static void
limit_time (void)
{
  signal (SIGALRM, SIG_DFL);
  alarm (100);
}

static void (*scene) (void);

/* The thread with its call, and then the others.  */
static void
alone (void *call)
{
  static char file[PATH_MAX];
  snprintf (file, sizeof file, "%s", scene == scene_files
                                     ? temp_path ("other")
                                     : temp_heap_path ());
  bool shared = kind == IN_FILE && scene != scene_map;
  struct child other = { 0, -1 };
  limit_time ();
  if (shared)
    other = child_start (works_elsewhere, file);
  setenv ("MALLOC_TRACE", temp_path ("trace"), 1);
  scene ();
  through (call);
  if (shared)
    {
      baton_pass (other.baton);
      ck_assert_int_eq (child_end (other), 0);
    }
  all_works ();
}

/* Each call in a process of its own, and all are tried, up to one that
   hangs.  */
static void
try_each (void (*run) (void *), const struct call *calls)
{
  char bad[2000] = "";
  for (int end = 0; calls->name != NULL && end != 128 + SIGALRM; calls++)
    {
      end = child_run (run, (void *) calls);
      if (end != 0)
        snprintf (bad + strlen (bad), sizeof bad - strlen (bad), " %s",
                  calls->name);
      nftw (support_test_dir, support_remove, 16, FTW_DEPTH | FTW_PHYS);
      ck_assert_int_eq (mkdir (support_test_dir, 0755), 0);
    }
  ck_assert_msg (bad[0] == '\0', "cancelled, or did harm:%s", bad);
}

static void
each_alone (void (*set) (void), int of_kind, const struct call *calls)
{
  scene = set;
  kind = of_kind;
  try_each (alone, calls);
}

START_TEST (with_a_heap)
{
  each_alone (scene_heap, _i, heap_calls);
}
END_TEST

START_TEST (with_files)
{
  if (_i == IN_FILE)
    each_alone (scene_files, IN_FILE, file_calls);
}
END_TEST

START_TEST (with_maps)
{
  if (_i < MAP_KINDS)
    each_alone (scene_map, _i, map_calls);
}
END_TEST

/* fork itself, and what a child does first.  */
START_TEST (first_in_a_child)
{
  if (UNDER_TSAN)
    {
      skip ("ThreadSanitizer and fork in threads do not go together");
      return;
    }
  forks = true;
  each_alone (_i == IN_FILE ? scene_files : scene_heap, _i, heap_calls);
  if (_i < MAP_KINDS)
    each_alone (scene_map, _i, map_calls);
}
END_TEST


/* ---- Within a call --------------------------------------------------- */

static atomic_int waiter;       /* its number */
static void *waiters_region;

static void
waits_at_the_door (void)
{
  waiter = (int) syscall (SYS_gettid);
  waiters_region = region_open ("region2", NULL);
}

static bool
waiter_sleeps (void)
{
  char name[64], text[64] = "";
  snprintf (name, sizeof name, "/proc/self/task/%d/syscall", (int) waiter);
  int fd = open (name, O_RDONLY);
  ssize_t n = fd < 0 ? 0 : read (fd, text, sizeof text - 1);
  close (fd);
  return n > 0 && text[0] != 'r'
         && strtol (text, NULL, 10) == SYS_clock_nanosleep;
}

static int
keeps_the_door (void *at, size_t size, enum mmalloc_region_why why,
                const char **reason, void *arg)
{
  baton_pass (baton);
  baton_wait (baton);
  return prepare (at, size, why, reason, arg);
}

static void
neighbour (void *unused)
{
  ck_assert_ptr_nonnull (mmalloc_region_open (temp_path ("region2"),
                                              MMALLOC_CREATE, NULL, KIB (100),
                                              keeps_the_door, unused));
}

static void *
waiting_thread (void *unused)
{
  waits_at_the_door ();
  ended = true;
  pthread_testcancel ();
  went_on = true;
  return unused;
}

/* Cancelled by another thread, while the call waits for another process.  */
START_TEST (waiting)
{
  void *result = NULL;
  if (_i != IN_FILE)
    return;
  kind = _i;
  scene_files ();
  struct child child = child_start (neighbour, NULL);
  baton_wait (child.baton);
  pthread_t thread = thread_start (waiting_thread, NULL);
  while (waiter == 0 || !waiter_sleeps ())
    sched_yield ();
  ck_assert_int_eq (pthread_cancel (thread), 0);
  baton_pass (child.baton);
  ck_assert_int_eq (pthread_join (thread, &result), 0);
  ck_assert_ptr_eq (result, PTHREAD_CANCELED);
  ck_assert (ended && !went_on);
  ck_assert_ptr_nonnull (waiters_region);
  ck_assert_int_eq (mmalloc_region_close (waiters_region), 0);
  ck_assert_int_eq (child_end (child), 0);
  all_works ();
}
END_TEST

/* The program's own functions may be cancellation points: whether they are
   while a call is under way is not said, but no lock is left behind.  */
static int
block_point (void *block, size_t size, void *arg)
{
  pthread_testcancel ();
  return see (block, size, arg);
}

static int
root_point (const char *name, void *ptr, void *arg)
{
  pthread_testcancel ();
  return see_root (name, ptr, arg);
}

static int
region_point (void *at, size_t size, enum mmalloc_region_why why,
              const char **reason, void *arg)
{
  pthread_testcancel ();
  return prepare (at, size, why, reason, arg);
}

static void
misuse_point (const char *call, void *heap, const void *ptr, const char *what,
              void *arg)
{
  (void) call, (void) heap, (void) ptr, (void) what, (void) arg;
  pthread_testcancel ();
}

static void
in_walk (void)
{
  int n = 0;
  mmalloc_walk (md, block_point, &n);
}

static void
in_roots (void)
{
  int n = 0;
  mmalloc_roots (md, root_point, &n);
}

static void
in_map_walk (void)
{
  int n = 0;
  qalloc_walk (map, block_point, &n);
}

static void
in_region_open (void)
{
  mmalloc_region_open (temp_path ("region2"), MMALLOC_CREATE, NULL, KIB (100),
                       region_point, NULL);
}

static void
in_misuse (void)
{
  mmalloc_onmisuse (misuse_point, NULL);
  mfree (md, any_ptr ((char *) huge + 32));
}

static const struct call with_functions[] = {
  E (in_walk), E (in_roots), E (in_map_walk), E (in_region_open),
#if !UNDER_ASAN /* Which keeps marks on the stack of frames left this way.  */
  E (in_misuse),
#endif
  { NULL, NULL }
};

static void
own_function (void *call)
{
  void *result = NULL;
  limit_time ();
  kind = IN_FILE;
  scene_files ();
  map = map_make (DYNAMIC_MAP, MIB (1), 100, 2);
  ck_assert_ptr_nonnull (qalloc_malloc (map, 100));
  ck_assert_int_eq (mmalloc_setroot (md, "root", small), 0);
  pthread_t thread = thread_start (cancelled, call);
  ck_assert_int_eq (pthread_join (thread, &result), 0);
  ck_assert_ptr_eq (result, PTHREAD_CANCELED);
  /* A walker that is still under way would keep the file from being cut.  */
  off_t length = file_length (temp_heap_path ());
  mfree (md, huge);
  mmalloc_trim (md);
  ck_assert_int_lt (file_length (temp_heap_path ()),
                    length - (off_t) MIB (15));
  all_works ();
}

START_TEST (own_functions)
{
  if (_i == IN_FILE)
    try_each (own_function, with_functions);
}
END_TEST

/* The line about misuse, and abort: not the end of the thread alone.  */
static void
misuse (void)
{
  mfree (md, any_ptr ((char *) huge + 32));
}

static void
misuses (void *unused)
{
  static const struct call call = E (misuse);
  (void) unused;
  int fd = open ("/dev/null", O_WRONLY);
  dup2 (fd, 2);
  kind = ANONYMOUS;
  scene_heap ();
  through (&call);
}

START_TEST (misuse_aborts)
{
  if (_i == IN_FILE)
    ck_assert_int_eq (child_run (misuses, NULL), 128 + SIGABRT);
}
END_TEST

RUN_ON_EACH_HEAP (with_a_heap, with_files, with_maps, first_in_a_child, waiting,
                  own_functions, misuse_aborts)
