/* mmalloc_trim gives back system pages that lie in free blocks only, of pages
   of blocks that are in use; what lives is left alone, and what is allocated
   there afterwards is as good as any: beside threads, processes and forks, too.
   A second trim finds nothing.  */

#include <stddef.h>
#include <sys/wait.h>

#include "support.h"

enum { MOST = 20000, EACH = 8 << 20 };
static char *blocks[MOST];
static void *md;

/* So many blocks in a row are free, before the next one that lives.  */
static size_t
step_of (size_t size)
{
  return size >= 4096 ? 4 : 4 * (8192 / size + 2);
}

static void
fill (size_t size, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (blocks[i] == NULL)
      {
        blocks[i] = mmalloc (md, size);
        must (blocks[i] != NULL);
        block_fill (blocks[i], size, i);
      }
}

static void
free_most (size_t size, size_t n)
{
  for (size_t i = 0; i < n; i++)
    if (i % step_of (size) != 0)
      {
        mfree (md, blocks[i]);
        blocks[i] = NULL;
      }
}

static void
all_hold (size_t size, size_t n)
{
  for (size_t i = 0; i < n; i++)
    must (blocks[i] == NULL || block_holds (blocks[i], size, i));
}

static size_t
taken (int kind)
{
  return kind == IN_FILE ? (size_t) file_disk (temp_heap_path ())
                         : heap_stats (md).bytes_backed;
}

/* What the system has in memory for the heap.  */
static size_t
resident (size_t size, size_t n)
{
  size_t page = (size_t) sysconf (_SC_PAGESIZE), count = 0;
  for (size_t i = 0; i < n; i++)
    {
      unsigned char in[64];
      char *from = (char *) ((uintptr_t) blocks[i] & ~(page - 1));
      size_t pages = ((size_t) (blocks[i] + size - from) + page - 1) / page;
      must (mincore (from, pages * page, in) == 0);
      for (size_t j = 0; j < pages; j++)
        count += in[j] & 1;
    }
  return count * page;
}

static void
one_size (int kind, size_t size)
{
  size_t n = EACH / size < MOST ? EACH / size : MOST, step = step_of (size);
  memset (blocks, 0, sizeof blocks);
  fill (size, n);
  size_t before = taken (kind);
  free_most (size, n);
  ptrdiff_t given = mmalloc_trim (md);
  size_t after = taken (kind);
  size_t live = n / step + 1, each = (size / 4096 + 2) * 4096;
  /* Of each live block at most the pages it lies over, and the slack between
     them, remain.  */
  ck_assert_msg (after <= live * each + MIB (1),
                 "%zu of %zu bytes remain of blocks of %zu", after, before,
                 size);
  ck_assert_msg ((size_t) given + after + MIB (1) > before
                 && (size_t) given <= before,
                 "%td given, %zu before, %zu after", given, before, after);
  all_hold (size, n);
  heap_is_whole (md);
  ck_assert_int_eq (mmalloc_trim (md), 0);
  ck_assert_uint_eq (taken (kind), after);

  /* What is freed there later goes back as well.  */
  mfree (md, blocks[step]);
  mfree (md, blocks[2 * step]);
  blocks[step] = blocks[2 * step] = NULL;
  given = mmalloc_trim (md);
  ck_assert_msg (size < 8192 || given >= 8192, "%td given later", given);
  ck_assert_int_eq (mmalloc_trim (md), 0);

  fill (size, n);
  all_hold (size, n);
  heap_is_whole (md);
  heap_free_all (md, (void **) blocks, n);
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) (n * size / 2));
  heap_is_whole (md);
}

START_TEST (each_size)
{
  static const size_t sizes[] = { 100, 1000, 2048, 3000, 4096, 5000, 8192, 9000,
                                  12000, 16384, 20000, 28000, 32768 };
  md = heap_new (_i);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    one_size (_i, sizes[i]);
  /* Nothing of it lies about.  */
  ck_assert_uint_lt (taken (_i), MIB (2));
  heap_end (md);
}
END_TEST

/* The memory is gone from the process, not from the books alone.  */
START_TEST (memory_goes)
{
  enum { N = 1000, SIZE = 8192 };
  md = heap_new (_i);
  fill (SIZE, N);
  static char *all[N];
  memcpy (all, blocks, sizeof all);
  must (resident (SIZE, N) >= N * SIZE);
  free_most (SIZE, N);
  ck_assert_int_gt (mmalloc_trim (md), N * SIZE / 2);
  memcpy (blocks, all, sizeof all);
  ck_assert_uint_lt (resident (SIZE, N), N * SIZE / 2);
  for (size_t i = 0; i < N; i += step_of (SIZE))
    mfree (md, blocks[i]);
  heap_end (md);
}
END_TEST

/* Whoever opens the file finds holes, and fills them.  */
START_TEST (after_reopening)
{
  enum { N = 1000, SIZE = 8192 };
  if (_i != IN_FILE)
    return;
  md = heap_new (_i);
  memset (blocks, 0, sizeof blocks);
  fill (SIZE, N);
  free_most (SIZE, N);
  ck_assert_int_gt (mmalloc_trim (md), N * SIZE / 2);
  size_t after = taken (_i);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_uint_eq (taken (_i), after);
  ck_assert_int_eq (mmalloc_trim (md), 0);
  fill (SIZE, N);
  all_hold (SIZE, N);
  heap_end (md);
}
END_TEST

/* A copy that has no disk blocks at all gets them for what lives.  */
START_TEST (copied)
{
  enum { N = 1000, SIZE = 8192 };
  static char command[2 * PATH_MAX + 40];
  if (_i != IN_FILE)
    return;
  md = heap_new (_i);
  memset (blocks, 0, sizeof blocks);
  fill (SIZE, N);
  free_most (SIZE, N);
  for (size_t i = 0; i < N; i++)
    if (blocks[i] != NULL)
      memset (blocks[i], 0, SIZE);
  ck_assert_int_gt (mmalloc_trim (md), N * SIZE / 2);
  size_t after = taken (_i);
  heap_end (md);
  snprintf (command, sizeof command, "cp --sparse=always '%s' '%s'",
            temp_heap_path (), temp_path ("copy"));
  ck_assert_int_eq (system (command), 0);
  ck_assert_ptr_eq (mmalloc_open (temp_path ("copy"), 0, NULL), md);
  size_t disk = (size_t) file_disk (temp_path ("copy"));
  ck_assert_uint_lt (disk, after + MIB (1) / 2);
  ck_assert_uint_gt (disk, after - MIB (1) / 2);
  fill (SIZE, N);
  heap_end (md);
}
END_TEST

/* What is empty serves for other sizes, without another trim, when there is
   room nowhere else.  */
START_TEST (empty_ones_serve_others)
{
  enum { SIZE = 8192 };
  md = heap_limited (_i, MIB (8));
  memset (blocks, 0, sizeof blocks);
  size_t n = heap_fill (md, SIZE, (void **) blocks, MOST);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], SIZE, i);
  free_most (SIZE, n);
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) (n * SIZE / 2));
  for (size_t i = 0; i < n; i += step_of (SIZE))
    {
      mfree (md, blocks[i]);
      blocks[i] = NULL;
    }
  size_t others = heap_fill (md, 20000, (void **) blocks, MOST);
  ck_assert_uint_gt (others * 20000, n * SIZE / 10 * 9);
  for (size_t i = 0; i < others; i++)
    block_fill (blocks[i], 20000, i);
  all_hold (20000, others);
  heap_end (md);
}
END_TEST

/* A heap that trims by itself; its option is one that an older header does not
   have, if OLD.  */
static void *
heap_that_trims (int kind, size_t threshold, int old)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.trim_threshold = threshold;
  opt.size = old ? offsetof (struct mmalloc_options, trim_threshold) : opt.size;
  void *heap = mmalloc_open (kind == IN_FILE ? temp_heap_path () : NULL,
                             MMALLOC_CREATE, &opt);
  ck_assert_msg (heap != NULL, "%s", mmalloc_strerror (NULL));
  return heap;
}

static void *
free_the_rest (void *size)
{
  free_most ((uintptr_t) size, EACH / (uintptr_t) size);
  return NULL;
}

/* How much of EACH bytes of blocks of SIZE is left when most are freed and
   nobody trims; OTHERS: by another thread.  */
static size_t
left (int kind, size_t size, size_t threshold, int old, int others)
{
  size_t n = EACH / size;
  memset (blocks, 0, sizeof blocks);
  md = heap_that_trims (kind, threshold, old);
  fill (size, n);
  errno = 77;
  if (others)
    thread_run (free_the_rest, (void *) (uintptr_t) size);
  else
    free_most (size, n);
  ck_assert_int_eq (errno, 77);
  size_t rest = taken (kind);
  all_hold (size, n);
  for (size_t i = 0; i < n; i++)
    if (blocks[i] != NULL)
      mfree (md, blocks[i]);
  heap_end (md);
  if (kind == IN_FILE)
    ck_assert_int_eq (unlink (temp_heap_path ()), 0);
  return rest;
}

START_TEST (by_itself)
{
  static const size_t sizes[] = { 1000, 8192, 100000 };
  if (_i == DEFAULT_HEAP)
    return;
  for (int i = 0; i < 3; i++)
    for (int others = 0; others < 2; others++)
      {
        ck_assert_uint_gt (left (_i, sizes[i], 0, 0, others), EACH);
        ck_assert_uint_gt (left (_i, sizes[i], MIB (1), 1, others), EACH);
        ck_assert_uint_gt (left (_i, sizes[i], MIB (100), 0, others), EACH);
        ck_assert_uint_lt (left (_i, sizes[i], MIB (1), 0, others), EACH / 2);
      }
}
END_TEST


/* ---- Beside others ------------------------------------------------------ */

enum { THREADS = 4, SLOTS = 300, TURNS = 20000, TRIMS = 60 };
static atomic_int working;

static void
work (uint64_t state)
{
  static const size_t sizes[] = { 8192, 5000, 4096, 12000, 300, 32000 };
  char *mine[SLOTS] = { NULL };
  size_t size[SLOTS];
  for (int i = 0; i < TURNS; i++)
    {
      size_t j = random_below (&state, SLOTS);
      /* Many at once are free for a while.  */
      int frees = i / 1000 % 2 != 0;
      if (mine[j] != NULL && (frees || random_below (&state, 4) == 0))
        {
          must (block_holds (mine[j], size[j], j));
          mfree (md, mine[j]);
          mine[j] = NULL;
        }
      else if (mine[j] == NULL && (!frees || random_below (&state, 4) == 0))
        {
          size[j] = sizes[random_below (&state, 6)];
          mine[j] = mmalloc (md, size[j]);
          must (mine[j] != NULL);
          block_fill (mine[j], size[j], j);
        }
    }
  for (size_t j = 0; j < SLOTS; j++)
    if (mine[j] != NULL)
      {
        must (block_holds (mine[j], size[j], j));
        mfree (md, mine[j]);
      }
}

static void *
worker (void *arg)
{
  work ((uintptr_t) arg);
  atomic_fetch_sub (&working, 1);
  return NULL;
}

START_TEST (beside_threads)
{
  pthread_t thread[THREADS];
  uint64_t state = random_seed ();
  md = heap_new (_i);
  atomic_store (&working, THREADS);
  for (int i = 0; i < THREADS; i++)
    thread[i] = thread_start (worker, (void *) (uintptr_t)
                                        random_next (&state));
  while (atomic_load (&working) > 0)
    ck_assert_int_ge (mmalloc_trim (md), 0);
  for (int i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_is_whole (md);
  mmalloc_trim (md);
  ck_assert_int_eq (mmalloc_trim (md), 0);
  heap_end (md);
}
END_TEST

START_TEST (beside_processes)
{
  uint64_t state = random_seed ();
  md = heap_new (_i);
  fill (8192, 1000);
  free_most (8192, 1000);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  pid_t pid[2];
  for (int i = 0; i < 2; i++)
    {
      uint64_t seed = random_next (&state);
      pid[i] = fork ();
      ck_assert_int_ge (pid[i], 0);
      if (pid[i] == 0)
        {
          work (seed);
          all_hold (8192, 1000);
          _exit (mmalloc_trim (md) < 0);
        }
    }
  for (int i = 0; i < TRIMS; i++)
    ck_assert_int_ge (mmalloc_trim (md), 0);
  work (random_next (&state));
  for (int i = 0; i < 2; i++)
    {
      int status;
      ck_assert_int_eq (waitpid (pid[i], &status, 0), pid[i]);
      ck_assert_int_eq (status, 0);
    }
  all_hold (8192, 1000);
  fill (8192, 1000);
  all_hold (8192, 1000);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (each_size, memory_goes, after_reopening, copied,
                  empty_ones_serve_others, by_itself, beside_threads,
                  beside_processes)
