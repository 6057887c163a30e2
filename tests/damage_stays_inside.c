/* What a damaged file says about slices leads no call out of the file or into
   the heap's own slices.  Places in the file: mmalloc(5).  */

#include "support.h"

enum
{
  SLICE = 16384,
  BACKED = 32768 + 256,         /* of chunk 0, a bit a slice */
  RECORDS = 36864,
  RECORD = 320
};

static void
damage (off_t at, const void *bytes, size_t n)
{
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (pwrite (fd, bytes, n, at), (ssize_t) n);
  close (fd);
}

/* Every slice of the first chunk is said to have disk blocks.  */
START_TEST (slices_behind_the_end)
{
  unsigned char ones[256];
  char *md = heap_file ();
  size_t off = (size_t) ((char *) mmalloc (md, 80000) - md);
  heap_end (md);
  memset (ones, 0xff, sizeof ones);
  damage (BACKED, ones, sizeof ones);
  md = heap_file ();
  char *block = mrealloc (md, md + off, MIB (3));
  ck_assert_ptr_nonnull (block);
  size_t end = (size_t) (block - md) + MIB (3);
  ck_assert_uint_le (end, (size_t) file_length (temp_heap_path ()));
  memset (block, 1, MIB (3));
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* A slice of the records is said to be a block, and the program frees it.  */
START_TEST (slices_of_the_heap)
{
  const uint64_t large = UINT64_C (2) << 16 | UINT64_C (2) << 32;
  char *md = heap_file ();
  must (mmalloc (md, 100000) != NULL);
  heap_end (md);
  damage (RECORDS + 2 * RECORD, &large, sizeof large);
  md = heap_file ();
  ck_assert_int_ge (mmalloc_check (md, NULL, NULL), 1);
  misuse_record ();
  must (mmalloc (md, 32) != NULL && mmalloc (md, 40000) != NULL);
  mfree (md, md + 2 * SLICE);
  ck_assert_int_eq (misuse_seen.count, 1);
  char *block = mrealloc (md, mmalloc (md, 5000), 30000);
  ck_assert_uint_gt ((size_t) (block - md), 3 * SLICE);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

RUN_TESTS (slices_behind_the_end, slices_of_the_heap)
