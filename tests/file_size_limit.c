/* At the limit of file sizes (ulimit -f) a request gives NULL and EFBIG; the
   signal that would kill the process does not come.  */

#include <sys/resource.h>

#include "support.h"

static void
fill_to_the_limit (void *unused)
{
  (void) unused;
  static void *blocks[1000];
  struct rlimit r = { MIB (8), MIB (8) };
  signal (SIGXFSZ, SIG_DFL);
  void *md = heap_file ();
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &r), 0);
  size_t n = heap_fill (md, KIB (100), blocks, 1000);
  ck_assert_uint_ge (n, 50);
  ck_assert_uint_le (n, 81);
  must_fail (md, mmalloc (md, KIB (100)), EFBIG);
  must_fail (md, mmalloc (md, MIB (20)), EFBIG);
  must_fail (md, mmalloc (md, MIB (100)), EFBIG);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], KIB (100), i);
  for (size_t i = 0; i < n; i++)
    must (block_holds (blocks[i], KIB (100), i));
  mfree (md, blocks[3]);
  ck_assert_ptr_nonnull (mmalloc (md, KIB (100)));
  heap_end (md);
}

START_TEST (null_instead_of_the_signal)
{
  ck_assert_int_eq (child_run (fill_to_the_limit, NULL), 0);
  ck_assert_int_le (file_length (temp_heap_path ()), (off_t) MIB (8));
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, MIB (20)));
  heap_end (md);
}
END_TEST

static void
create_at_the_limit (void *unused)
{
  (void) unused;
  struct rlimit r = { 4096, 4096 };
  signal (SIGXFSZ, SIG_DFL);
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &r), 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             EFBIG);
}

START_TEST (creating)
{
  ck_assert_int_eq (child_run (create_at_the_limit, NULL), 0);
  heap_end (heap_file ());
}
END_TEST

RUN_TESTS (null_instead_of_the_signal, creating)
