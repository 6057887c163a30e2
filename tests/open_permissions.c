/* Which permissions opening needs.  */

#include "support.h"

static void *heap_md;
static char *block;

static void
make (mode_t mode)
{
  heap_md = heap_file ();
  block = mmalloc (heap_md, 1000);
  block_fill (block, 1000, 1);
  ck_assert_int_eq (mmalloc_setkey (heap_md, 0, block), 1);
  heap_end (heap_md);
  ck_assert_int_eq (chmod (temp_heap_path (), mode), 0);
}

static void
readable_file (void *unused)
{
  (void) unused;
  become_nobody ();
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EACCES);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             EACCES);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_ptr_eq (md, heap_md);
  ck_assert_ptr_eq (mmalloc_getkey (md, 0), block);
  must (block_holds (block, 1000, 1));
  heap_end (md);
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_ptr_eq (md, heap_md);
  block_fill (block, 1000, 2);
  ck_assert_ptr_nonnull (mmalloc (md, 5000));
  heap_end (md);
  md = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  heap_end (md);
}

START_TEST (only_readable)
{
  make (0444);
  uint64_t sum = file_sum (temp_heap_path ());
  ck_assert_int_eq (child_run (readable_file, NULL), 0);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}
END_TEST

static void
secret_file (void *unused)
{
  (void) unused;
  become_nobody ();
  for (int flags = 0; flags <= MMALLOC_PRIVATE; flags += MMALLOC_RDONLY)
    must_fail (NULL, mmalloc_open (temp_heap_path (), flags, NULL), EACCES);
}

START_TEST (not_readable)
{
  make (0000);
  ck_assert_int_eq (child_run (secret_file, NULL), 0);
}
END_TEST

START_TEST (read_only_descriptor)
{
  make (0666);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = open (temp_heap_path (), O_RDONLY);
  must_fail (NULL, mmalloc_attach (opt.fd, NULL), EACCES);
  must_fail (NULL, mmalloc_open (NULL, 0, &opt), EACCES);
  void *md = mmalloc_open (NULL, MMALLOC_RDONLY, &opt);
  ck_assert_ptr_eq (md, heap_md);
  must (block_holds (block, 1000, 1));
  heap_end (md);
  close (opt.fd);
}
END_TEST

RUN_TESTS (only_readable, not_readable, read_only_descriptor)
