/* Guards of mmcheck: damage before and behind a block is found when the block
   is freed or resized, and by mmalloc_check.  */

#include "support.h"

static int calls;

static void
damaged (void)
{
  calls++;
}

static const size_t sizes[] = { 1, 13, 16, 24, 100, 1000, 5000, 40000,
                                MIB (1), MIB (20) };
enum { SIZES = sizeof sizes / sizeof *sizes };

START_TEST (overrun)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  for (int i = 0; i < SIZES; i++)
    {
      char *block = mmalloc (md, sizes[i]);
      char *neighbour = mmalloc (md, sizes[i]);
      memset (block, 1, sizes[i]);
      damage_byte (block, (ptrdiff_t) sizes[i]);
      mfree (md, block);
      ck_assert_msg (calls == 1, "%d calls for %zu", calls, sizes[i]);
      calls = 0;
      mfree (md, neighbour);
      ck_assert_int_eq (calls, 0);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (underrun)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  for (int i = 0; i < SIZES; i++)
    {
      char *block = mmalloc (md, sizes[i]);
      damage_byte (block, -1);
      mfree (md, block);
      ck_assert_msg (calls == 1, "%d calls for %zu", calls, sizes[i]);
      calls = 0;
    }
  heap_end (md);
}
END_TEST

START_TEST (resizing)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  for (int i = 0; i < SIZES; i++)
    {
      char *block = mmalloc (md, sizes[i]);
      block_fill (block, sizes[i], 1);
      block = mrealloc (md, block, 2 * sizes[i]);
      ck_assert_int_eq (calls, 0);
      must (block_holds (block, sizes[i] & ~7ul, 1));
      damage_byte (block, 2 * (ptrdiff_t) sizes[i]);
      block = mrealloc (md, block, sizes[i]);
      ck_assert_int_eq (calls, 1);
      calls = 0;
      ck_assert_ptr_nonnull (block);
      must (block_holds (block, sizes[i] & ~7ul, 1));
      mfree (md, block);
      ck_assert_int_eq (calls, 0);
    }
  heap_end (md);
}
END_TEST

static const void *found_at;

static void
note (const char *finding, const void *where, void *arg)
{
  ck_assert_int_ne (finding[0], '\0');
  found_at = where;
  ++*(int *) arg;
}

START_TEST (found_by_check)
{
  void *md = heap_new (_i);
  int findings = 0;
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  char *before = mmalloc (md, 100), *block = mmalloc (md, 100);
  ck_assert_ptr_nonnull (before);
  heap_is_whole (md);
  damage_byte (block, 100);
  ck_assert_int_eq (mmalloc_check (md, note, &findings), 1);
  ck_assert_int_eq (findings, 1);
  must ((char *) found_at >= block - 16 && (char *) found_at <= block + 100);
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 1);
  damage_byte (block, 100);
  ck_assert_int_eq (calls, 0);
  heap_end (md);
}
END_TEST

START_TEST (all_kinds_of_blocks)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  for (size_t size = 1; size < 70000; size += 1 + size / 7)
    {
      char *blocks[5];
      blocks[0] = mmalloc (md, size);
      blocks[1] = mcalloc (md, 1, size);
      must (block_is_zero (blocks[1], size));
      blocks[2] = mmemalign (md, 64, size);
      must (is_aligned (blocks[2], 64));
      blocks[3] = mvalloc (md, size);
      must (is_aligned (blocks[3], 4096));
      blocks[4] = mmemalign (md, KIB (64), size);
      must (is_aligned (blocks[4], KIB (64)));
      for (int i = 0; i < 5; i++)
        {
          must (is_aligned (blocks[i], 16));
          size_t usable = mmalloc_usable_size (md, blocks[i]);
          must (usable >= size);
          block_fill (blocks[i], usable, size);
        }
      heap_is_whole (md);
      for (int i = 0; i < 5; i++)
        {
          must (block_holds (blocks[i], size, size));
          mfree (md, blocks[i]);
        }
    }
  ck_assert_int_eq (calls, 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (misuse_still_noticed)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  misuse_record ();
  char *block = mmalloc (md, 100);
  mfree (md, any_ptr (block + 16));
  misuse_was ("mfree", block + 16);
  mfree (md, any_ptr (block - 16));
  misuse_was ("mfree", block - 16);
  mfree (md, block);
  mfree (md, any_ptr (block));
  misuse_was ("mfree", block);
  ck_assert_int_eq (calls, 0);
  heap_end (md);
}
END_TEST

static void *md_of_all;
static pthread_barrier_t barrier;

static void *
armed_before (void *unused)
{
  (void) unused;
  char *block = NULL;
  for (int i = 0; i < 10; i++)
    must ((block = mmalloc (md_of_all, 100)) != NULL);
  pthread_barrier_wait (&barrier);
  pthread_barrier_wait (&barrier);
  block = mmalloc (md_of_all, 100);
  damage_byte (block, 100);
  mfree (md_of_all, block);
  return NULL;
}

/* From the call on each thread's blocks have guards, also if it allocated
   before.  */
START_TEST (in_all_threads)
{
  md_of_all = heap_new (_i);
  pthread_barrier_init (&barrier, NULL, 2);
  pthread_t thread = thread_start (armed_before, NULL);
  pthread_barrier_wait (&barrier);
  ck_assert_int_eq (mmcheckf (md_of_all, damaged, 1), 1);
  pthread_barrier_wait (&barrier);
  thread_end (thread);
  ck_assert_int_eq (calls, 1);
}
END_TEST

RUN_ON_EACH_HEAP (overrun, underrun, resizing, found_by_check,
                  all_kinds_of_blocks, misuse_still_noticed, in_all_threads)
