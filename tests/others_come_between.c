/* A thread can be stopped before any load and before any store; meanwhile
   others may do all that no lock keeps them from.  Here they come at chosen
   places, or at each load in turn: a page that is filled after a sweep has
   looked at it stays; who reads named roots never gets one root's value under
   another's name; and no file is cut under a thread without a cache.  */

#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>

static void scan_comes (void);
static void load_comes (void);
static void store_comes (const volatile void *word);

#undef atomic_load_explicit
#define atomic_load_explicit(word, order) (load_comes (), *(word))
#undef atomic_store_explicit
#define atomic_store_explicit(word, value, order) \
  (store_comes (word), *(word) = (value))
#define sscanf(...) (scan_comes (), sscanf (__VA_ARGS__))
#include "inside.h"

static void *md;

/* What comes before load AT of a thread, or before its next store to WORD.  */
static _Thread_local struct
{
  void (*come) (void);
  int at;
  const volatile void *word;
} next;

static void
load_comes (void)
{
  void (*come) (void) = next.come;
  if (come == NULL || next.at == 0 || --next.at > 0)
    return;
  next.come = NULL;
  come ();
}

static void
store_comes (const volatile void *word)
{
  void (*come) (void) = next.come;
  if (come == NULL || next.word != word)
    return;
  next.come = NULL;
  come ();
}

/* COME shall come before load AT of this thread.  */
static void
await_load (void (*come) (void), int at)
{
  next.at = at;
  next.word = NULL;
  next.come = come;
}

/* No more; whether it has come.  */
static bool
has_come (void)
{
  bool come = next.come == NULL;
  next.come = NULL;
  return come;
}

static pthread_barrier_t inside, go_on;

static void
let_other (void)
{
  pthread_barrier_wait (&inside);
  pthread_barrier_wait (&go_on);
}

static void
prepare (void)
{
  md = heap_file ();
  pthread_barrier_init (&inside, NULL, 2);
  pthread_barrier_init (&go_on, NULL, 2);
}


/* ---- Between a sweep's first look at a page and its claim ---------------- */

enum { SIZE = 64, PAGES = 4, SMALL = PAGES * MM_SLICE / SIZE };
static char *small[SMALL];

static void
fill_pages (void)
{
  for (int i = 0; i < SMALL; i++)
    {
      must ((small[i] = mmalloc (md, SIZE)) != NULL);
      block_fill (small[i], SIZE, (uint64_t) i);
    }
}

/* Own pages that are empty; when the sweep has seen one, take all again.  */
static void *
owner (void *unused)
{
  (void) unused;
  fill_pages ();
  for (int i = 0; i < SMALL; i++)
    mfree (md, small[i]);
  let_other ();
  pthread_barrier_wait (&inside);
  fill_pages ();
  pthread_barrier_wait (&go_on);
  let_other ();
  return NULL;
}

START_TEST (filled_behind_the_sweep)
{
  prepare ();
  must (mmalloc (md, 10000) != NULL);
  pthread_t thread = thread_start (owner, NULL);
  let_other ();
  next.word = &((struct heap *) library_process.files)->locks->claim;
  next.come = let_other;
  must (mmalloc_trim (md) >= 0);
  must (has_come ());
  for (int i = 0; i < 100; i++)
    memset (mmalloc (md, 2 * MM_SLICE + 1), 'x', 2 * MM_SLICE + 1);
  for (int i = 0; i < SMALL; i++)
    must (block_holds (small[i], SIZE, (uint64_t) i));
  ck_assert_uint_eq (heap_stats (md).blocks_live, SMALL + 101);
  let_other ();
  thread_end (thread);
  heap_end (md);
}
END_TEST


/* ---- Between two loads of who reads roots -------------------------------- */

/* Two names for one record: of one bucket.  */
static char name[2][60];
static int thing[2], named;
static bool renamed;

static uint32_t
bucket_of (const char *s)
{
  return (uint32_t) sum_bytes (s, strlen (s)) % MM_BUCKETS;
}

static void
find_names (void)
{
  memset (name[0], 'a', sizeof name[0] - 1);
  memset (name[1], 'b', sizeof name[1] - 1);
  for (int i = 0; bucket_of (name[0]) != bucket_of (name[1]); i++)
    {
      int n = snprintf (name[1], sizeof name[1], "%d", i);
      name[1][n] = 'b';
    }
}

static void
rename_root (void)
{
  must (mmalloc_setroot (md, name[named], NULL) == 0);
  named = 1 - named;
  renamed = true;
  must (mmalloc_setroot (md, name[named], &thing[named]) == 0);
}

static int
see_root (const char *s, void *value, void *unused)
{
  (void) unused;
  int i = strcmp (s, name[1]) == 0;
  ck_assert_msg (strcmp (s, name[i]) == 0, "a root of the name %s", s);
  ck_assert_ptr_eq (value, &thing[i]);
  return 0;
}

START_TEST (renamed_behind_the_reader)
{
  prepare ();
  find_names ();
  must (mmalloc_setroot (md, name[0], &thing[0]) == 0);
  uint64_t slab = ((struct heap *) library_process.files)->root->slab;
  int at = 1;
  for (renamed = true; renamed; at++)
    {
      renamed = false;
      await_load (rename_root, at);
      ck_assert_int_eq (mmalloc_roots (md, see_root, NULL), 0);
      has_come ();
    }
  ck_assert_int_gt (at, (int) sizeof name[0]);
  /* All in one record.  */
  must (slab == ((struct heap *) library_process.files)->root->slab);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST


/* ---- Between two loads of a thread without a cache ----------------------- */

enum { LARGE = 3000 };
static void *large[LARGE];
static int stop_at;
static bool stopped;

static void
late (void)
{
  await_load (let_other, stop_at);
  mfree (md, large[LARGE - 1]);
  stopped = has_come ();
  if (!stopped)
    let_other ();
}

START_TEST (freed_before_the_cut)
{
  prepare ();
  late_threads (late);
  for (stop_at = 1, stopped = true; stopped; stop_at++)
    {
      for (int i = 0; i < LARGE; i++)
        must ((large[i] = mmalloc (md, 20000)) != NULL);
      pthread_t leaving = thread_start (late_thread, md);
      pthread_barrier_wait (&inside);
      heap_free_all (md, large, LARGE - 1);
      mmalloc_trim (md);
      pthread_barrier_wait (&go_on);
      thread_end (leaving);
      mmalloc_trim (md);
      ck_assert_int_lt (file_length (temp_heap_path ()), (off_t) MIB (33));
    }
  ck_assert_int_gt (stop_at, 10);
  heap_end (md);
}
END_TEST


/* ---- Between two attempts to open a file, or to make it ------------------ */

static int come_and_go;
static bool others_made_it;

/* Others make the file before it is made here, and take it away before it is
   opened, so many times.  */
static int
changing_open (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  unsigned mode = va_arg (ap, unsigned);
  va_end (ap);
  if (strcmp (path, temp_heap_path ()) == 0 && come_and_go-- > 0)
    {
      others_made_it = flags & O_EXCL;
      if (others_made_it)
        file_write (path, "", 0);
      else
        unlink (path);
    }
  return open (path, flags, mode);
}

START_TEST (made_and_taken_away)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = 1000;
  os.open = changing_open;
  for (int n = 0; n < 30; n++)
    {
      come_and_go = n;
      others_made_it = false;
      unlink (temp_heap_path ());
      must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt),
                 EINVAL);
      ck_assert_msg ((access (temp_heap_path (), F_OK) == 0) == others_made_it,
                     "after %d changes", n);
    }
  /* For ever.  */
  come_and_go = INT_MAX;
  mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
}
END_TEST


/* ---- While somebody learns what boot of the system this is --------------- */

static uint8_t boot[16];
static int scan_at;

static void
ask_for_boot (void)
{
  uint8_t id[16];
  os_boot_id (id);
  ck_assert_int_eq (memcmp (id, boot, sizeof id), 0);
}

/* Before each byte of it.  */
static void
scan_comes (void)
{
  if (scan_at == 0 || --scan_at > 0)
    return;
  ask_for_boot ();
}

START_TEST (half_a_boot_id)
{
  static const uint8_t none[16];
  os_boot_id (boot);
  if (memcmp (boot, none, sizeof boot) == 0)
    {
      skip ("the system does not say which boot it is");
      return;
    }
  for (int n = 1; n <= 16; n++)
    {
      memset (&library_process.boot_id, 0, sizeof library_process.boot_id);
      scan_at = n;
      ask_for_boot ();
      ck_assert_int_eq (scan_at, 0);
    }
  /* Nor when half of it is known.  */
  memset (&library_process.boot_id, 0, sizeof library_process.boot_id);
  next.word = &library_process.boot_id[1];
  next.come = ask_for_boot;
  ask_for_boot ();
  must (has_come ());
}
END_TEST

RUN_TESTS (filled_behind_the_sweep, renamed_behind_the_reader,
           freed_before_the_cut, made_and_taken_away, half_a_boot_id)
