/* A block freed twice is always noticed, whoever frees it, whatever its size;
   the heap stays whole if the handler returns.  */

#include "support.h"

static const size_t sizes[] = { 1, 16, 100, 1000, 4096, 16384, 40000, 100000,
                                MIB (1), MIB (20), MIB (70) };
enum { SIZES = sizeof sizes / sizeof *sizes };
static void *md;

static void *
free_it (void *block)
{
  mfree (md, block);
  return NULL;
}

START_TEST (by_the_same_thread)
{
  md = heap_new (_i);
  misuse_record ();
  for (int i = 0; i < SIZES; i++)
    {
      void *keep = mmalloc (md, sizes[i]);
      void *block = mmalloc (md, sizes[i]);
      mfree (md, block);
      ck_assert_int_eq (misuse_seen.count, 0);
      mfree (md, any_ptr (block));
      misuse_was ("mfree", block);
      mfree (md, any_ptr (block));
      misuse_was ("mfree", block);
      ck_assert_str_eq (misuse_seen.what, "the block is already free");
      mfree (md, keep);
      ck_assert_int_eq (misuse_seen.count, 0);
      mfree (md, any_ptr (keep));
      misuse_was ("mfree", keep);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (by_other_threads)
{
  md = heap_new (_i);
  misuse_record ();
  for (int i = 0; i < SIZES; i++)
    {
      void *keep = mmalloc (md, sizes[i]);
      void *block = mmalloc (md, sizes[i]);
      mfree (md, block);
      thread_run (free_it, any_ptr (block));
      misuse_was ("mfree", block);

      block = mmalloc (md, sizes[i]);
      thread_run (free_it, block);
      ck_assert_int_eq (misuse_seen.count, 0);
      mfree (md, any_ptr (block));
      misuse_was ("mfree", block);
      thread_run (free_it, any_ptr (block));
      misuse_was ("mfree", block);
      mfree (md, keep);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

/* Also where the file was cut since.  */
START_TEST (behind_a_trim)
{
  enum { N = 3000 };
  static void *block[N];
  md = heap_new (_i);
  misuse_record ();
  for (int i = 0; i < N; i++)
    block[i] = mmalloc (md, 8000);
  for (int i = 0; i < N; i++)
    mfree (md, block[i]);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  for (int i = 0; i < N; i += N / 7)
    {
      mfree (md, any_ptr (block[i]));
      misuse_was ("mfree", block[i]);
      ck_assert_str_eq (misuse_seen.what, "the block is already free");
      must_fail (md, mrealloc (md, any_ptr (block[i]), 20), EINVAL);
      misuse_was ("mrealloc", block[i]);
    }
  heap_end (md);
}
END_TEST

START_TEST (every_second_one_of_many)
{
  enum { N = 5000 };
  static void *blocks[N];
  md = heap_new (_i);
  misuse_record ();
  for (size_t i = 0; i < N; i++)
    {
      blocks[i] = mmalloc (md, 48);
      block_fill (blocks[i], 48, i);
    }
  for (size_t i = 0; i < N; i += 2)
    mfree (md, blocks[i]);
  for (size_t i = 0; i < N; i += 2)
    mfree (md, any_ptr (blocks[i]));
  ck_assert_int_eq (misuse_seen.count, N / 2);
  for (size_t i = 1; i < N; i += 2)
    must (block_holds (blocks[i], 48, i));
  ck_assert_uint_eq (heap_stats (md).blocks_live, N / 2);
  heap_end (md);
}
END_TEST

START_TEST (after_detach_and_attach)
{
  if (_i != IN_FILE)
    return;
  md = heap_file ();
  void *block = mmalloc (md, 100);
  mfree (md, block);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  misuse_record ();
  mfree (md, any_ptr (block));
  misuse_was ("mfree", block);
  heap_end (md);
}
END_TEST

START_TEST (after_trim)
{
  md = heap_new (_i);
  misuse_record ();
  for (int i = 0; i < SIZES; i++)
    {
      void *block = mmalloc (md, sizes[i]);
      mfree (md, block);
      ck_assert_int_ge (mmalloc_trim (md), 0);
      mfree (md, any_ptr (block));
      misuse_was ("mfree", block);
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (behind_a_trim, by_the_same_thread, by_other_threads,
                  every_second_one_of_many, after_detach_and_attach,
                  after_trim)
