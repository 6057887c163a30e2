/* MMALLOC_CREATE and MMALLOC_EXCL: which file is made, and which refused.  */

#include "support.h"

START_TEST (missing_file)
{
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), ENOENT);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL),
             ENOENT);
  ck_assert_int_ne (access (temp_heap_path (), F_OK), 0);
  must_fail (NULL, mmalloc_open (temp_path ("no/such/dir"), MMALLOC_CREATE,
                                 NULL), ENOENT);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
}
END_TEST

START_TEST (empty_file)
{
  file_write (temp_heap_path (), "", 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EINVAL);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL),
             EINVAL);
  ck_assert_int_eq (file_length (temp_heap_path ()), 0);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
}
END_TEST

START_TEST (create_opens_what_is_there)
{
  void *md = heap_file ();
  void *block = mmalloc (md, 10);
  ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
  heap_end (md);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
                    md);
  ck_assert_ptr_eq (mmalloc_getroot (md, "block"), block);
  heap_end (md);
}
END_TEST

START_TEST (exclusive)
{
  int flags = MMALLOC_CREATE | MMALLOC_EXCL;
  void *md = mmalloc_open (temp_heap_path (), flags, NULL);
  ck_assert_ptr_nonnull (md);
  must_fail (NULL, mmalloc_open (temp_heap_path (), flags, NULL), EEXIST);
  heap_end (md);
  must_fail (NULL, mmalloc_open (temp_heap_path (), flags, NULL), EEXIST);
  file_write (temp_path ("junk"), "junk", 4);
  must_fail (NULL, mmalloc_open (temp_path ("junk"), flags, NULL), EEXIST);
  ck_assert_int_eq (file_length (temp_path ("junk")), 4);
  file_write (temp_path ("empty"), "", 0);
  md = mmalloc_open (temp_path ("empty"), flags, NULL);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
}
END_TEST

START_TEST (descriptor_instead_of_path)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  must_fail (NULL, mmalloc_open (NULL, 0, &opt), EINVAL);
  ck_assert_int_eq (file_length (temp_heap_path ()), 0);
  void *md = mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  heap_end (md);
  ck_assert_ptr_eq (mmalloc_open (NULL, 0, &opt), md);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
  ck_assert_int_eq (close (opt.fd), 0);
}
END_TEST

START_TEST (path_before_descriptor)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = open (temp_path ("other"), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  ck_assert_int_gt (file_length (temp_heap_path ()), 0);
  ck_assert_int_eq (file_length (temp_path ("other")), 0);
  heap_end (md);
}
END_TEST

START_TEST (anonymous)
{
  void *md = mmalloc_open (NULL, 0, NULL);
  ck_assert_ptr_nonnull (md);
  void *other = mmalloc_open (NULL, MMALLOC_CREATE, NULL);
  ck_assert_ptr_nonnull (other);
  ck_assert_ptr_ne (md, other);
  heap_end (md);
  heap_end (other);
}
END_TEST

START_TEST (unknown_flags)
{
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE | 0x4000,
                                 NULL), EINVAL);
  must_fail (NULL, mmalloc_open (NULL, -1, NULL), EINVAL);
  ck_assert_int_ne (access (temp_heap_path (), F_OK), 0);
}
END_TEST

START_TEST (bad_options)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.size = 3;
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt),
             EINVAL);
  opt = (struct mmalloc_options) MMALLOC_OPTIONS_INIT;
  opt.base = (char *) mmalloc_findbase (MIB (1)) + 1;
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt),
             EINVAL);
  must_fail (NULL, mmalloc_open (NULL, 0, &opt), EINVAL);
  if (access (temp_heap_path (), F_OK) == 0)
    ck_assert_int_eq (file_length (temp_heap_path ()), 0);
}
END_TEST

RUN_TESTS (missing_file, empty_file, create_opens_what_is_there, exclusive,
           descriptor_instead_of_path, path_before_descriptor, anonymous,
           unknown_flags, bad_options)
