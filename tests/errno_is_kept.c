/* A call that succeeds leaves errno alone.  */

#include "support.h"

static int
nothing (const char *name, void *ptr, void *arg)
{
  (void) name, (void) ptr, (void) arg;
  return 0;
}

static int
nothing_too (void *block, size_t size, void *arg)
{
  (void) block, (void) size, (void) arg;
  return 0;
}

static void
all_calls (void *md)
{
  struct mmalloc_stats stats;
  volatile const void *got;
  char *block;
  must_keep_errno (block = mmalloc (md, 100));
  must_keep_errno (block = mrealloc (md, block, 100000));
  must_keep_errno (block = mreallocarray (md, block, 1000, 30000));
  must_keep_errno (ck_assert_ptr_nonnull (mcalloc (md, 10, 10)));
  must_keep_errno (ck_assert_ptr_nonnull (mmemalign (md, KIB (64), 10)));
  must_keep_errno (ck_assert_ptr_nonnull (mvalloc (md, 10)));
  must_keep_errno (ck_assert_uint_gt (mmalloc_usable_size (md, block), 0));
  must_keep_errno (mfree (md, block));
  must_keep_errno (mfree (md, NULL));
  must_keep_errno (ck_assert_int_ge (mmalloc_trim (md), 0));
  must_keep_errno (ck_assert_int_eq (mmalloc_setroot (md, "r", &got), 0));
  must_keep_errno (ck_assert_ptr_nonnull (mmalloc_getroot (md, "r")));
  must_keep_errno (ck_assert_int_eq (mmalloc_roots (md, nothing, NULL), 0));
  must_keep_errno (ck_assert_int_eq (mmalloc_setroot (md, "r", NULL), 0));
  must_keep_errno (ck_assert_int_eq (mmalloc_sync (md), 0));
  must_keep_errno (ck_assert_int_eq (mmalloc_prefetch (md), 0));
  must_keep_errno (ck_assert_int_eq (mmalloc_stats (md, &stats), 0));
  must_keep_errno ((void) mmstats (md));
  must_keep_errno (ck_assert_int_eq (mmalloc_walk (md, nothing_too, NULL),
                                     0));
  must_keep_errno (ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0));
  must_keep_errno (got = mmalloc_strerror (md));
  must_keep_errno ((void) mmalloc_errno (md));
  must_keep_errno (got = mmalloc_version ());
  must_keep_errno ((void) mmcheckf (md, NULL, 1));
  must_keep_errno (mmalloc_onmisuse (NULL, NULL));
  for (size_t size = 1; size < MIB (100); size += size / 4 + 1)
    {
      must_keep_errno (block = mmalloc (md, size));
      must (block != NULL);
      if (size % 2 == 0)
        must_keep_errno (mfree (md, block));
    }
}

START_TEST (with_a_heap)
{
  void *md;
  must_keep_errno (md = heap_new (_i));
  if (md != NULL)
    {
      must_keep_errno (ck_assert_int_eq (mmalloc_setkey (md, 0, md), 1));
      must_keep_errno (ck_assert_ptr_eq (mmalloc_getkey (md, 0), md));
    }
  all_calls (md);
  must_keep_errno (ck_assert_ptr_null (mmalloc_detach (md)));
  if (_i == IN_FILE)
    {
      must_keep_errno (md = mmalloc_open (temp_heap_path (), 0, NULL));
      must_keep_errno (ck_assert_ptr_null (mmalloc_detach (md)));
      must_keep_errno (md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY,
                                          NULL));
      must_keep_errno (ck_assert_ptr_null (mmalloc_detach (md)));
      int fd = open (temp_heap_path (), O_RDWR);
      must_keep_errno (md = mmalloc_attach (fd, NULL));
      must_keep_errno (ck_assert_ptr_null (mmalloc_detach (md)));
    }
  must_keep_errno (md = mmalloc_findbase (MIB (1)));
}
END_TEST

RUN_ON_EACH_HEAP (with_a_heap)
