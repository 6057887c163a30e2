/* fork: the child goes on with its own copy of anonymous heaps and of the
   default heap; neither process sees the other's doings.  */

#include "support.h"

enum { N = 1000 };
static char *blocks[N];
static void *md;

static void
fill (uint64_t tag)
{
  for (size_t i = 0; i < N; i++)
    {
      blocks[i] = mmalloc (md, 10 + i);
      must (blocks[i] != NULL);
      block_fill (blocks[i], 10 + i, tag + i);
    }
}

static void
verify (uint64_t tag)
{
  for (size_t i = 0; i < N; i++)
    must (block_holds (blocks[i], 10 + i, tag + i));
}

static void
child (void *unused)
{
  (void) unused;
  verify (0);
  baton_wait (baton);
  for (size_t i = 0; i < N; i += 2)
    mfree (md, blocks[i]);
  for (size_t i = 1; i < N; i += 2)
    block_fill (blocks[i], 10 + i, 7000 + i);
  fill (10000);
  verify (10000);
  ck_assert_uint_eq (heap_stats (md).blocks_live, N + N / 2);
  baton_pass (baton);
  baton_wait (baton);
  verify (10000);
  heap_is_whole (md);
}

START_TEST (own_copies)
{
  md = heap_new (_i == IN_FILE ? ANONYMOUS : _i);
  fill (0);
  struct child process = child_start (child, NULL);
  char *extra = mmalloc (md, 5000);
  baton_pass (process.baton);
  baton_wait (process.baton);
  block_fill (extra, 5000, 1);
  verify (0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, N + 1);
  for (size_t i = 0; i < N; i++)
    mfree (md, blocks[i]);
  baton_pass (process.baton);
  ck_assert_int_eq (child_end (process), 0);
  must (block_holds (extra, 5000, 1));
  mfree (md, extra);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

static void
grandchild (void *depth)
{
  fill ((size_t) depth * 1000);
  verify ((size_t) depth * 1000);
  if (depth != NULL)
    ck_assert_int_eq (child_run (grandchild, (char *) depth - 1), 0);
  verify ((size_t) depth * 1000);
  heap_is_whole (md);
}

START_TEST (children_of_children)
{
  md = heap_new (_i == IN_FILE ? ANONYMOUS : _i);
  fill (77);
  ck_assert_int_eq (child_run (grandchild, (void *) 5), 0);
  mfree (md, blocks[0]);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (own_copies, children_of_children)
