/* Where the base of a heap is chosen so that a block of some alignment fits
   into no chunk beside its metadata, it gets a chunk without.  When there is
   none, asking fails and changes nothing, and what is free stays there for
   large blocks.  */

#include "support.h"

/* The first multiple of 16 MiB in a chunk lies in its metadata, and from the
   second one on there are less than 16 MiB.  */
#define BASE (UINT64_C (0x300000000000) + MIB (64) - KIB (80))

static void *
odd_heap (int file, size_t reserve)
{
  struct mmalloc_options o = MMALLOC_OPTIONS_INIT;
  o.base = (void *) (uintptr_t) BASE;
  o.reserve = reserve;
  void *md = mmalloc_open (file ? temp_path ("heap") : NULL,
                           file ? MMALLOC_CREATE : 0, &o);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  return md;
}

static void
enter (void *md)
{
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  baton_pass (baton);
  baton_wait (baton);
}

/* Alone, where chunks in which nothing is used could be had back, and beside
   another process, where they could not.  */
START_TEST (refused)
{
  enum { MOST = 8 };
  void *md = odd_heap (_i > 0, MIB (256)), *block[MOST];
  size_t n = 0;
  struct child other;
  if (_i == 2)
    {
      ck_assert_ptr_nonnull (mmalloc (md, 100));
      other = child_start (enter, md);
      baton_wait (other.baton);
    }
  while (n < MOST && (block[n] = mmemalign (md, MIB (16), MIB (16))) != NULL)
    ck_assert_uint_eq ((uintptr_t) block[n++] % MIB (16), 0);
  ck_assert_uint_eq (n, MOST - 1);
  struct mmalloc_stats before = heap_stats (md), after;
  for (int i = 0; i < 3; i++)
    must_fail (md, mmemalign (md, MIB (16), MIB (16)), ENOSPC);
  after = heap_stats (md);
  ck_assert_uint_eq (after.length, before.length);
  ck_assert_uint_eq (after.bytes_meta, before.bytes_meta);
  ck_assert_uint_eq (after.bytes_backed, before.bytes_backed);
  while (n > 0)
    mfree (md, block[--n]);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (200)));
  ck_assert_int_eq (mmalloc_check (md, support_finding, NULL), 0);
  if (_i == 2)
    {
      baton_pass (other.baton);
      ck_assert_int_eq (child_end (other), 0);
    }
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

int
main (void)
{
  const TTest *tests[] = { refused };
  return run_suite (__FILE__, tests, 1, 3);
}
