/* Space that was full of small blocks and is empty again serves for blocks of
   more than a chunk, in each kind of heap, if one thread has the heap to
   itself; beside others who might look at what was there it does not, and
   nothing is lost by that.  */

#include "support.h"
#include "qalloc.h"

enum { SMALL = 8000, MOST = 40000 };
static void *small[MOST];
static void *md;

/* Fill all of the heap, and free it but for block KEEP.  */
static size_t
fill_and_empty (size_t keep)
{
  size_t n = 0;
  while (n < MOST && (small[n] = mmalloc (md, SMALL)) != NULL)
    n++;
  must (n > 20000 && n < MOST);
  if (keep < n)
    block_fill (small[keep], SMALL, 77);
  for (size_t i = 0; i < n; i++)
    if (i != keep)
      mfree (md, small[i]);
  return n;
}

/* Make of a block what would be taken for a page's record with its first block
   live, by whoever thinks that the records of a chunk are still there: page of
   stream STREAM.  */
static void
look_like_a_page (char *block, uint64_t stream)
{
  const size_t records = 36 << 10, head = UINT64_C (1) << 32 | 1 << 16;
  uint64_t record[3] = { head | stream, 0, 5 };
  memcpy (block + records, record, sizeof record);
}

/* There is a block of LEN bytes, all of it the program's.  */
static void
serves (size_t len)
{
  size_t live = heap_stats (md).blocks_live;
  for (uint64_t stream = 0; stream < 40; stream++)
    {
      char *p = stream > 0 ? mmalloc (md, len) : mcalloc (md, 1, len);
      ck_assert_msg (p != NULL, "%zu MiB: %s", len >> 20,
                     mmalloc_strerror (md));
      must (stream > 0 || block_is_zero (p, len));
      look_like_a_page (p, stream);
      mfree (md, p);
      ck_assert_uint_eq (heap_stats (md).blocks_live, live);
    }
}

START_TEST (alone)
{
  md = heap_limited (_i, MIB (256));
  for (int round = 0; round < 3; round++)
    {
      fill_and_empty (SIZE_MAX);
      if (round == 1)
        ck_assert_int_ge (mmalloc_trim (md), 0);
      ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
      serves (MIB (32));
      serves (MIB (200));
      ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
      ck_assert_int_eq (mmalloc_check (md, support_finding, NULL), 0);
    }
  heap_end (md);
}
END_TEST

/* A block in the middle stays what and where it is.  */
START_TEST (around_a_block)
{
  md = heap_limited (_i, MIB (256));
  size_t keep = 18000;
  fill_and_empty (keep);
  must_fail (md, mmalloc (md, MIB (200)), ENOSPC);
  serves (MIB (64));
  must (block_holds (small[keep], SMALL, 77));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  mfree (md, small[keep]);
  serves (MIB (200));
  heap_end (md);
}
END_TEST

/* Another thread that uses the heap.  */
static pthread_barrier_t in_use, go_on;

static void *
other_thread (void *unused)
{
  mfree (md, mmalloc (md, 100));
  pthread_barrier_wait (&in_use);
  pthread_barrier_wait (&go_on);
  /* Its way to these is still a short one.  */
  for (size_t i = 0; i < 1000; i++)
    small[i] = mmalloc (md, SMALL);
  for (size_t i = 0; i < 1000; i++)
    mfree (md, small[i]);
  return unused;
}

START_TEST (beside_a_thread)
{
  md = heap_limited (_i, MIB (256));
  fill_and_empty (SIZE_MAX);
  pthread_barrier_init (&in_use, NULL, 2);
  pthread_barrier_init (&go_on, NULL, 2);
  pthread_t thread = thread_start (other_thread, NULL);
  pthread_barrier_wait (&in_use);
  must_fail (md, mmalloc (md, MIB (200)), ENOSPC);
  ck_assert_int_ge (mmalloc_trim (md), 0);
  must_fail (md, mmalloc (md, MIB (200)), ENOSPC);
  pthread_barrier_wait (&go_on);
  thread_end (thread);
  serves (MIB (200));
  heap_end (md);
}
END_TEST

static void
other_process (void *path)
{
  void *mine = mmalloc_open (path, 0, NULL);
  must (mine == md);
  mfree (mine, mmalloc (mine, 100));
  baton_pass (baton);
  baton_wait (baton);
  must (mmalloc_detach (mine) == NULL);
}

START_TEST (beside_a_process)
{
  if (_i != IN_FILE)
    return;
  md = heap_limited (_i, MIB (256));
  mfree (md, mmalloc (md, 10));
  ck_assert_ptr_null (mmalloc_detach (md));
  struct child child = child_start (other_process, (void *) temp_heap_path ());
  baton_wait (child.baton);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), 0, NULL), md);
  fill_and_empty (SIZE_MAX);
  must_fail (md, mmalloc (md, MIB (200)), ENOSPC);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  serves (MIB (200));
  heap_end (md);
}
END_TEST

/* A dynamic map has all of its length from the beginning, and its disk blocks
   stay.  */
START_TEST (a_map)
{
  struct qalloc_stats stats;
  if (_i != IN_FILE)
    return;
  const char *path = temp_path ("map");
  void *map = qalloc_makedynmap (MIB (256), NULL, path, 1);
  ck_assert_ptr_nonnull (map);
  off_t disk = file_disk (path);
  for (int round = 0; round < 3; round++)
    {
      void *p = qalloc_malloc (map, MIB (200));
      ck_assert_msg (p != NULL, "%s", qalloc_strerror ());
      qalloc_free (p, map);
      ck_assert_ptr_nonnull (p = qalloc_malloc (map, MIB (20)));
      ck_assert_int_ge (file_disk (path), disk);
      qalloc_free (p, map);
      ck_assert_int_eq (qalloc_stats (map, &stats), 0);
      ck_assert_uint_gt (stats.bytes_free, MIB (240));
    }
  ck_assert_int_eq (qalloc_check (map, support_finding, NULL), 0);
  ck_assert_int_eq (qalloc_close (map), 0);
}
END_TEST

RUN_ON_OWN_HEAPS (alone, around_a_block, beside_a_thread, beside_a_process,
                  a_map)
