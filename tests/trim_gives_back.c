/* mmalloc_trim gives memory and disk back, leaves what is live alone, and what
   comes after works as before.  */

#include "support.h"

enum { SMALL = 100000, LARGE = 20 };
static void *small[SMALL], *large[LARGE];
static void *md;

static size_t
taken (int kind)
{
  return kind == IN_FILE ? (size_t) file_disk (temp_heap_path ())
                         : heap_stats (md).bytes_backed;
}

static void
use_much (void)
{
  for (size_t i = 0; i < SMALL; i++)
    {
      small[i] = mmalloc (md, 100 + i % 300);
      must (small[i] != NULL);
      block_fill (small[i], 100, i);
    }
  for (size_t i = 0; i < LARGE; i++)
    {
      large[i] = mmalloc (md, MIB (i + 1) / 2 + 5000);
      must (large[i] != NULL);
      block_fill (large[i], MIB (i + 1) / 2, i);
    }
}

START_TEST (all_free)
{
  md = heap_new (_i);
  for (int round = 0; round < 3; round++)
    {
      use_much ();
      size_t before = taken (_i);
      ck_assert_uint_gt (before, MIB (100));
      heap_free_all (md, small, SMALL);
      heap_free_all (md, large, LARGE);
      ptrdiff_t given = mmalloc_trim (md);
      size_t after = taken (_i);
      ck_assert_int_gt (given, (ptrdiff_t) (before / 10 * 8));
      ck_assert_int_lt (given, (ptrdiff_t) (before / 10 * 11));
      ck_assert_uint_lt (after, before / 10);
      if (_i == IN_FILE)
        ck_assert_int_lt (file_length (temp_heap_path ()),
                          (off_t) before / 10);
      heap_is_whole (md);
      ck_assert_int_eq (mmalloc_trim (md), 0);
    }
  heap_end (md);
}
END_TEST

START_TEST (some_live)
{
  md = heap_new (_i);
  use_much ();
  size_t before = taken (_i);
  for (size_t i = 0; i < SMALL; i++)
    if (i % 5000 != 0)
      mfree (md, small[i]);
  for (size_t i = 0; i < LARGE; i++)
    if (i % 6 != 0)
      mfree (md, large[i]);
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) (before / 2));
  ck_assert_uint_lt (taken (_i), before / 2);
  for (size_t i = 0; i < SMALL; i += 5000)
    must (block_holds (small[i], 100, i));
  for (size_t i = 0; i < LARGE; i += 6)
    must (block_holds (large[i], MIB (i + 1) / 2, i));
  heap_is_whole (md);

  char *block = mmalloc (md, MIB (60));
  block_fill (block, MIB (60), 77);
  for (size_t i = 0; i < SMALL; i++)
    if (i % 5000 != 0)
      {
        small[i] = mmalloc (md, 100);
        block_fill (small[i], 100, i);
      }
  for (size_t i = 0; i < SMALL; i++)
    must (block_holds (small[i], 100, i));
  must (block_holds (block, MIB (60), 77));
  heap_end (md);
}
END_TEST

START_TEST (after_reopening)
{
  if (_i != IN_FILE)
    return;
  md = heap_new (_i);
  use_much ();
  heap_free_all (md, small, SMALL);
  heap_free_all (md, large + 1, LARGE - 1);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) MIB (100));
  ck_assert_uint_lt (taken (_i), MIB (10));
  must (block_holds (large[0], MIB (1) / 2, 0));
  heap_end (md);
}
END_TEST

static pthread_barrier_t barrier;

static void *
idler (void *unused)
{
  (void) unused;
  use_much ();
  heap_free_all (md, small, SMALL);
  heap_free_all (md, large, LARGE);
  pthread_barrier_wait (&barrier);
  pthread_barrier_wait (&barrier);
  return NULL;
}

START_TEST (freed_by_an_idle_thread)
{
  md = heap_new (_i);
  pthread_barrier_init (&barrier, NULL, 2);
  pthread_t thread = thread_start (idler, NULL);
  pthread_barrier_wait (&barrier);
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) MIB (80));
  ck_assert_uint_lt (taken (_i), MIB (10));
  pthread_barrier_wait (&barrier);
  thread_end (thread);
  heap_end (md);
}
END_TEST

/* A block behind the file's new end is a misused pointer like others, no
   signal.  */
START_TEST (freed_again_behind_the_end)
{
  enum { N = 12000 };
  md = heap_new (_i);
  for (size_t i = 0; i < N; i++)
    must ((small[i] = mmalloc (md, 8000)) != NULL);
  heap_free_all (md, small, N);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  misuse_record ();
  for (size_t i = 10; i < N; i += 1199)
    {
      mfree (md, any_ptr (small[i]));
      misuse_was ("mfree", small[i]);
      mrealloc (md, any_ptr (small[i]), 20);
      misuse_was ("mrealloc", small[i]);
    }
  heap_end (md);
}
END_TEST

static void *
rester (void *unused)
{
  idler (unused);
  misuse_record ();
  mfree (md, any_ptr (small[SMALL - 1]));
  misuse_was ("mfree", small[SMALL - 1]);
  return NULL;
}

/* The file is not cut while another thread may look at its end.  */
START_TEST (not_cut_beside_threads)
{
  if (_i != IN_FILE)
    return;
  md = heap_new (_i);
  pthread_barrier_init (&barrier, NULL, 2);
  pthread_t thread = thread_start (rester, NULL);
  pthread_barrier_wait (&barrier);
  mmalloc_trim (md);
  ck_assert_int_gt (file_length (temp_heap_path ()), (off_t) MIB (60));
  pthread_barrier_wait (&barrier);
  thread_end (thread);
  mmalloc_trim (md);
  ck_assert_int_lt (file_length (temp_heap_path ()), (off_t) MIB (33));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (all_free, some_live, after_reopening,
                  freed_by_an_idle_thread, freed_again_behind_the_end,
                  not_cut_beside_threads)
