/* C9: what mmalloc_attach refuses, and that it leaves alone what it refuses.
   A heap of a newer version: see newer_version.c.  */

#include "support.h"

static void
refused (const void *bytes, size_t n)
{
  file_write (temp_heap_path (), bytes, n);
  uint64_t sum = file_sum (temp_heap_path ());
  int fd = open (temp_heap_path (), O_RDWR);
  must_fail (NULL, mmalloc_attach (fd, NULL), EINVAL);
  close (fd);
  ck_assert_int_eq (file_length (temp_heap_path ()), (off_t) n);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}

START_TEST (random_bytes)
{
  static unsigned char bytes[MIB (1)];
  uint64_t seed = random_seed ();
  block_fill (bytes, sizeof bytes, seed);
  refused (bytes, sizeof bytes);
  refused (bytes, 4096);
  refused (bytes, 100);
}
END_TEST

START_TEST (few_bytes)
{
  refused ("abc", 3);
  refused ("", 1);
}
END_TEST

START_TEST (zeros)
{
  static unsigned char bytes[MIB (1)];
  refused (bytes, sizeof bytes);
}
END_TEST

START_TEST (bad_descriptor)
{
  int fd = dup (0);
  close (fd);
  must_fail (NULL, mmalloc_attach (fd, NULL), EBADF);
}
END_TEST

START_TEST (not_a_file)
{
  int ends[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM, 0, ends), 0);
  must_fail (NULL, mmalloc_attach (ends[0], NULL), EINVAL);
  int fd = open ("/dev/null", O_RDWR);
  must_fail (NULL, mmalloc_attach (fd, NULL), EINVAL);
}
END_TEST

START_TEST (unaligned_base)
{
  char *base = mmalloc_findbase (MIB (1));
  must_fail (NULL, mmalloc_attach (-1, base + 16), EINVAL);
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  must_fail (NULL, mmalloc_attach (fd, base + 16), EINVAL);
  ck_assert_int_eq (file_length (temp_heap_path ()), 0);
}
END_TEST

RUN_TESTS (random_bytes, few_bytes, zeros, bad_descriptor, not_a_file,
           unaligned_base)
