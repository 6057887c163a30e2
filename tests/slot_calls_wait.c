/* When all operation records are in use the next slot call waits, and takes no
   record that is another call's; those of a process that was killed are taken
   from it.  */

#include <sched.h>

static int yielding (void);

#define sched_yield() yielding ()
#include "inside.h"
#undef sched_yield

static void *md;
static void **slot;
static atomic_bool disk_waits;  /* growth does, and all that need it */
static atomic_int yields, done;

/* The one more call is one that looks for a record.  */
static int
yielding (void)
{
  yields++;
  return sched_yield ();
}

static int
waiting_fallocate (int fd, int mode, off_t off, off_t len)
{
  while (disk_waits)
    usleep (1000);
  return fallocate (fd, mode, off, len);
}

static uint64_t
records_in_use (void)
{
  return word_see (&((struct heap *) library_process.files)->locks->ops_busy);
}

/* A block that the heap has to grow for.  */
static void *
take_large_block (void *where)
{
  must (mmalloc_to (md, where, MIB (1)) == 0);
  return NULL;
}

/* One that it has.  */
static void *
take_small_block (void *where)
{
  must (mmalloc_to (md, where, 100) == 0);
  done++;
  return NULL;
}

static const uint64_t all = (UINT64_C (1) << MM_OPS) - 1;

static void
make (void)
{
  md = heap_file ();
  must (mmalloc (md, 100) != NULL);
  slot = mcalloc (md, MM_OPS + 1, sizeof *slot);
  must (slot != NULL && mmalloc_trim (md) >= 0);
  os.fallocate = waiting_fallocate;
}

static void
use_all_records (pthread_t thread[MM_OPS])
{
  disk_waits = true;
  for (int i = 0; i < MM_OPS; i++)
    thread[i] = thread_start (take_large_block, &slot[i]);
  while (records_in_use () != all)
    sched_yield ();
}

/* All records, word by word, as those see them who work on them.  */
enum { OPS_WORDS = MM_OPS * sizeof (struct disk_op) / sizeof (disk_u64) };

static void
read_records (struct heap *h, uint64_t to[OPS_WORDS])
{
  disk_u64 *from = (disk_u64 *) (void *) h->op;
  for (int i = 0; i < OPS_WORDS; i++)
    to[i] = word_peek (&from[i]);
}

START_TEST (one_more)
{
  pthread_t thread[MM_OPS], last;
  uint64_t before[OPS_WORDS], after[OPS_WORDS];
  make ();
  use_all_records (thread);
  struct heap *h = (struct heap *) library_process.files;
  read_records (h, before);
  yields = 0;
  last = thread_start (take_small_block, &slot[MM_OPS]);
  do
    {
      sched_yield ();
      read_records (h, after);
    }
  while (yields < 3 && done == 0
         && memcmp (before, after, sizeof before) == 0);
  ck_assert_int_eq (done, 0);
  ck_assert_mem_eq (before, after, sizeof before);
  disk_waits = false;
  for (int i = 0; i < MM_OPS; i++)
    thread_end (thread[i]);
  thread_end (last);
  ck_assert_uint_eq (records_in_use (), 0);
  for (int i = 0; i <= MM_OPS; i++)
    must (slot[i] != NULL);
  ck_assert_uint_eq (heap_stats (md).blocks_live, MM_OPS + 3);
  heap_end (md);
}
END_TEST

static void
stop_in_all_calls (void *unused)
{
  (void) unused;
  pthread_t thread[MM_OPS];
  use_all_records (thread);
  baton_pass (baton);
  pause ();
}

START_TEST (after_a_kill)
{
  make ();
  struct child child = child_start (stop_in_all_calls, NULL);
  baton_wait (child.baton);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  ck_assert_uint_eq (records_in_use (), all);
  take_small_block (&slot[0]);
  ck_assert_uint_eq (records_in_use (), 0);
  ck_assert_ptr_nonnull (slot[0]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 3);
  heap_end (md);
}
END_TEST

RUN_TESTS (one_more, after_a_kill)
