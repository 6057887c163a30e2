/* MMALLOC_PRIVATE: what one does to the heap, growth included, stays in the
   process and is gone at detach.  */

#include "support.h"

static void *md;
static char *block, *doomed;

static void
make (void)
{
  md = heap_file ();
  block = mmalloc (md, 1000);
  doomed = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  block_fill (doomed, 1000, 2);
  ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
  heap_end (md);
}

START_TEST (all_is_as_before)
{
  make ();
  uint64_t sum = file_sum (temp_heap_path ());
  off_t length = file_length (temp_heap_path ());
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
                    md);
  must (block_holds (block, 1000, 1));
  block_fill (block, 1000, 3);
  mfree (md, doomed);
  void *blocks[2000];
  for (size_t i = 0; i < 2000; i++)
    {
      blocks[i] = mmalloc (md, 100 + i);
      must (blocks[i] != NULL);
      block_fill (blocks[i], 100 + i, i);
    }
  char *large = mmalloc (md, MIB (80));
  ck_assert_msg (large != NULL, "%s", mmalloc_strerror (md));
  block_fill (large, MIB (80), 4);
  for (size_t i = 0; i < 2000; i++)
    must (block_holds (blocks[i], 100 + i, i));
  ck_assert_int_eq (mmalloc_setroot (md, "block", large), 0);
  ck_assert_int_eq (mmalloc_setkey (md, 1, large), 1);
  ck_assert_ptr_eq (mmalloc_getroot (md, "block"), large);
  ck_assert_ptr_eq (mmalloc_getkey (md, 1), large);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 2002);
  mfree (md, large);
  heap_end (md);

  ck_assert_int_eq (file_length (temp_heap_path ()), length);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
  ck_assert_ptr_eq (heap_file (), md);
  must (block_holds (block, 1000, 1));
  must (block_holds (doomed, 1000, 2));
  ck_assert_ptr_eq (mmalloc_getroot (md, "block"), block);
  ck_assert_ptr_null (mmalloc_getkey (md, 1));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 2);
  heap_end (md);
}
END_TEST

static void
writer (void *unused)
{
  (void) unused;
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), 0, NULL), md);
  baton_pass (baton);
  baton_wait (baton);
  heap_end (md);
}

START_TEST (not_beside_writers)
{
  make ();
  struct child child = child_start (writer, NULL);
  baton_wait (child.baton);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
             EBUSY);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
                    md);
  heap_end (md);
}
END_TEST

static void
looker (void *unused)
{
  (void) unused;
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
                    md);
  baton_pass (baton);
  baton_wait (baton);
  must (block_holds (block, 1000, 1));
  heap_end (md);
}

/* Others may look alike, but the first writer would change what they see.  */
START_TEST (no_writers_beside)
{
  make ();
  struct child child = child_start (looker, NULL);
  baton_wait (child.baton);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             EBUSY);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
                    md);
  heap_end (md);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_ptr_eq (heap_file (), md);
  heap_end (md);
}
END_TEST

/* Memory of a copy cannot be given back: zeros have to be written.  */
START_TEST (zero_where_others_were)
{
  make ();
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
                    md);
  for (size_t i = 0; i < 3; i++)
    {
      static const size_t sizes[] = { KIB (300), MIB (20), MIB (40) };
      char *dirty = mmalloc (md, sizes[i]);
      ck_assert_ptr_nonnull (dirty);
      memset (dirty, 1, sizes[i]);
      mfree (md, dirty);
      char *clean = mcalloc (md, 1, sizes[i]);
      ck_assert_ptr_eq (clean, dirty);
      must (block_is_zero (clean, sizes[i]));
      mfree (md, clean);
    }
  heap_end (md);
}
END_TEST

RUN_TESTS (all_is_as_before, not_beside_writers, no_writers_beside,
           zero_where_others_were)
