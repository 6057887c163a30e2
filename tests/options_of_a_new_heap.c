/* The options of mmalloc_open that shape a new heap.  */

#include "support.h"

START_TEST (initial)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.initial = MIB (10);
  void *md = mmalloc_open (_i == IN_FILE ? temp_heap_path () : NULL,
                           MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  ck_assert_uint_ge (heap_stats (md).bytes_backed, MIB (10));
  if (_i == IN_FILE)
    ck_assert_int_ge (file_disk (temp_heap_path ()), (off_t) MIB (10));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (reserve)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.reserve = MIB (256);
  void *md = mmalloc_open (_i == IN_FILE ? temp_heap_path () : NULL,
                           MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  ck_assert_uint_le (heap_stats (md).capacity, MIB (256));
  ck_assert_uint_ge (heap_stats (md).capacity, MIB (200));
  ck_assert_ptr_null (mmalloc (md, MIB (256)));
  ck_assert_ptr_nonnull (mmalloc (md, MIB (150)));
  heap_end (md);
}
END_TEST

START_TEST (base)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.base = mmalloc_findbase (MIB (1));
  ck_assert_ptr_nonnull (opt.base);
  void *md = mmalloc_open (_i == IN_FILE ? temp_heap_path () : NULL,
                           MMALLOC_CREATE, &opt);
  ck_assert_ptr_eq (md, opt.base);
  heap_end (md);
}
END_TEST

START_TEST (kept_by_the_file)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = MIB (8);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  size_t capacity = heap_stats (md).capacity;
  heap_end (md);
  opt.maximum = MIB (50);
  opt.reserve = GIB (1);
  opt.initial = MIB (20);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt),
                    md);
  ck_assert_uint_eq (heap_stats (md).capacity, capacity);
  ck_assert_ptr_null (mmalloc (md, MIB (9)));
  heap_end (md);
}
END_TEST

static void *shared_md;

static void *
use_all_sizes (void *arg)
{
  for (size_t round = 0; round < 300; round++)
    {
      size_t size = 16 + round % 40 * 25;
      char *block = mmalloc (shared_md, size);
      must (block != NULL);
      block_fill (block, size, (size_t) arg + round);
      must (block_holds (block, size, (size_t) arg + round));
      mfree (shared_md, block);
    }
  return NULL;
}

/* In a small heap all threads but a few share streams.  */
START_TEST (streams)
{
  for (unsigned int n = 0; n < 20; n += 3)
    {
      struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
      opt.maximum = MIB (2);
      opt.streams = n;
      shared_md = mmalloc_open (_i == IN_FILE ? temp_heap_path () : NULL,
                                MMALLOC_CREATE, &opt);
      ck_assert_msg (shared_md != NULL, "%u: %s", n,
                     mmalloc_strerror (NULL));
      pthread_t thread[16];
      for (size_t i = 0; i < 16; i++)
        thread[i] = thread_start (use_all_sizes, (void *) (1000 * i));
      for (size_t i = 0; i < 16; i++)
        thread_end (thread[i]);
      ck_assert_uint_eq (heap_stats (shared_md).blocks_live, 0);
      heap_end (shared_md);
      unlink (temp_heap_path ());
    }
}
END_TEST

START_TEST (too_many_streams)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.streams = 512;
  heap_end (mmalloc_open (NULL, 0, &opt));
  opt.streams = 513;
  must_fail (NULL, mmalloc_open (NULL, 0, &opt), EINVAL);
}
END_TEST

START_TEST (mode)
{
  struct stat st;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  umask (022);
  heap_end (mmalloc_open (temp_path ("usual"), MMALLOC_CREATE, NULL));
  ck_assert_int_eq (stat (temp_path ("usual"), &st), 0);
  ck_assert_uint_eq (st.st_mode & 07777, 0644);
  opt.mode = 0660;
  heap_end (mmalloc_open (temp_path ("own"), MMALLOC_CREATE, &opt));
  ck_assert_int_eq (stat (temp_path ("own"), &st), 0);
  ck_assert_uint_eq (st.st_mode & 07777, 0640);
}
END_TEST

RUN_ON_OWN_HEAPS (initial, reserve, base, kept_by_the_file, streams,
                  too_many_streams, mode)
