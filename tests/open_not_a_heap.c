/* mmalloc_open leaves a file alone that is no heap, with every flag.  */

#include "support.h"

static void
refused (const void *bytes, size_t n)
{
  static const int flags[] = { 0, MMALLOC_CREATE, MMALLOC_RDONLY,
                               MMALLOC_PRIVATE, MMALLOC_ELSEWHERE };
  file_write (temp_heap_path (), bytes, n);
  uint64_t sum = file_sum (temp_heap_path ());
  struct stat before, after;
  ck_assert_int_eq (stat (temp_heap_path (), &before), 0);
  for (int i = 0; i < 5; i++)
    must_fail (NULL, mmalloc_open (temp_heap_path (), flags[i], NULL), EINVAL);
  ck_assert_int_eq (stat (temp_heap_path (), &after), 0);
  ck_assert_int_eq (after.st_size, before.st_size);
  ck_assert_int_eq (after.st_mtim.tv_sec, before.st_mtim.tv_sec);
  ck_assert_int_eq (after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}

START_TEST (untouched)
{
  static unsigned char bytes[MIB (1)];
  uint64_t seed = random_seed ();
  refused (bytes, sizeof bytes);
  refused (bytes, 1);
  block_fill (bytes, sizeof bytes, seed);
  refused (bytes, sizeof bytes);
  refused (bytes, KIB (4));
  refused (bytes, 8);
  refused ("#!/bin/sh\n", 10);
  refused ("abc", 3);
}
END_TEST

START_TEST (directory)
{
  ck_assert_int_eq (mkdir (temp_heap_path (), 0777), 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             EISDIR);
}
END_TEST

START_TEST (device)
{
  must_fail (NULL, mmalloc_open ("/dev/null", MMALLOC_CREATE, NULL), EINVAL);
}
END_TEST

START_TEST (head_of_a_heap_and_junk)
{
  static unsigned char bytes[KIB (64)];
  heap_end (heap_file ());
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (read (fd, bytes, 8), 8);
  close (fd);
  block_fill (bytes + 8, sizeof bytes - 8, 1);
  file_write (temp_heap_path (), bytes, sizeof bytes);
  uint64_t sum = file_sum (temp_heap_path ());
  ck_assert_ptr_null (mmalloc_open (temp_heap_path (), 0, NULL));
  ck_assert_ptr_null (mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL));
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}
END_TEST

RUN_TESTS (untouched, directory, device, head_of_a_heap_and_junk)
