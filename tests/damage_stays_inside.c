/* What a damaged file says about slices leads no call out of the file or into
   the heap's own slices.  Places in the file: mmalloc(5).  */

#include "support.h"

enum
{
  SLICE = 16384,
  BUCKETS = 28672,
  BACKED = 32768 + 256,         /* of chunk 0, a bit a slice */
  RECORDS = 36864,
  RECORD = 320,
  DIRECTORY = RECORDS + 2048 * RECORD
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

/* Fill the heap's first chunk with blocks of 1 KiB and free those of slice
   NUMBER; then its page is said to have blocks of 2 KiB, on two slices.
   Returns a block of the slice behind it.  */
static size_t
page_becomes_longer (size_t number)
{
  static char *in_slice[16];
  size_t n = 0, next = 0;
  uint64_t head;
  char *md = heap_file (), *block;
  do
    {
      block = mmalloc (md, 1024);
      must (block != NULL);
      size_t off = (size_t) (block - md), s = off / SLICE;
      if (s == number && n < 16)
        in_slice[n++] = block;
      if (s == number + 1)
        next = off;
    }
  while ((size_t) (block - md) < 2049 * (size_t) SLICE);
  ck_assert_uint_eq (n, 16);
  for (size_t i = 0; i < n; i++)
    mfree (md, in_slice[i]);
  heap_end (md);
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (pread (fd, &head, sizeof head,
                           (off_t) (RECORDS + number * RECORD)), 8);
  close (fd);
  ck_assert_uint_eq (head >> 24 & 0xff, 19);
  head ^= UINT64_C (4) << 24;
  damage ((off_t) (RECORDS + number * RECORD), &head, sizeof head);
  return next;
}

/* The page is empty and given back: not the directory with it, which begins
   where the record of the next slice would be.  */
START_TEST (slices_behind_the_chunk)
{
  page_becomes_longer (2047);
  char *md = heap_file ();
  ck_assert_int_ge (mmalloc_check (md, NULL, NULL), 1);
  mmalloc_trim (md);
  ck_assert_ptr_null (mmalloc_detach (md));
  md = heap_file ();
  ck_assert_ptr_nonnull (md);
  ck_assert_ptr_nonnull (mmalloc (md, 2000));
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* Nor the page of live blocks behind it.  */
START_TEST (slices_of_a_neighbour)
{
  size_t next = page_becomes_longer (1000);
  char *md = heap_file ();
  mmalloc_trim (md);
  for (int i = 0; i < 100; i++)
    {
      char *block = mmalloc (md, 20000);
      ck_assert_ptr_nonnull (block);
      size_t off = (size_t) (block - md);
      must (off + 20000 <= next - next % SLICE || off >= next);
    }
  ck_assert_uint_eq (mmalloc_usable_size (md, md + next), 1024);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* The buckets lead into the directory, whose words can look like the record of
   a root that was taken away.  */
START_TEST (roots_in_the_directory)
{
  const uint64_t roots = UINT64_C (5) << 16 | UINT64_C (1) << 32;
  const uint64_t at = DIRECTORY + 2 * sizeof (uint64_t);
  const uint64_t stray = UINT64_C (3) << 16 | UINT64_C (1000) << 32;
  uint64_t words[6];
  void *md = heap_file (), *block = mmalloc (md, 100);
  heap_end (md);
  damage (RECORDS + DIRECTORY / SLICE * RECORD, &roots, sizeof roots);
  damage (DIRECTORY + 5 * sizeof stray, &stray, sizeof stray);
  for (int i = 0; i < 512; i++)
    damage (BUCKETS + i * (off_t) sizeof at, &at, sizeof at);
  md = heap_file ();
  ck_assert_ptr_nonnull (md);
  must_give (mmalloc_setroot (md, "config", block), -1, EBADMSG);
  must_give ((intmax_t) mmalloc_getroot (md, "config"), 0, EBADMSG);
  ck_assert_ptr_null (mmalloc_detach (md));
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (pread (fd, words, sizeof words, DIRECTORY), sizeof words);
  close (fd);
  must (words[2] == 0 && words[3] == 0 && words[4] == 0 && words[5] == stray);
}
END_TEST

RUN_TESTS (slices_behind_the_end, slices_of_the_heap, slices_behind_the_chunk,
           slices_of_a_neighbour, roots_in_the_directory)
