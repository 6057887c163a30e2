/* If something sits where the heap belongs, opening fails, says what sits
   there, and nothing is mapped over.  */

#include "support.h"

static size_t page;

/* Map a page with contents at ADDR, of a file with a telling name.  */
static unsigned char *
put_in_the_way (void *addr)
{
  static unsigned char contents[65536];
  block_fill (contents, sizeof contents, 5);
  file_write (temp_path ("sits-in-the-way"), contents, sizeof contents);
  int fd = open (temp_path ("sits-in-the-way"), O_RDWR);
  page = (size_t) sysconf (_SC_PAGESIZE);
  void *got = mmap (addr, page, PROT_READ, MAP_PRIVATE | MAP_FIXED_NOREPLACE,
                    fd, 0);
  ck_assert_ptr_eq (got, addr);
  close (fd);
  return got;
}

static void
refused (void *md, void *addr)
{
  unsigned char *there = put_in_the_way (addr);
  static const int flags[] = { 0, MMALLOC_CREATE, MMALLOC_RDONLY,
                               MMALLOC_PRIVATE };
  uint64_t sum = file_sum (temp_heap_path ());
  for (int i = 0; i < 4; i++)
    {
      must_fail (NULL, mmalloc_open (temp_heap_path (), flags[i], NULL),
                 EADDRINUSE);
      ck_assert_msg (strstr (mmalloc_strerror (NULL), "sits-in-the-way"),
                     "the reason is: %s", mmalloc_strerror (NULL));
    }
  int fd = open (temp_heap_path (), O_RDWR);
  must_fail (NULL, mmalloc_attach (fd, NULL), EADDRINUSE);
  close (fd);
  must (block_holds (there, page, 5));
  ck_assert_ptr_null (mmalloc_find (there));
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
  ck_assert_int_eq (munmap (there, page), 0);
  ck_assert_ptr_eq (heap_file (), md);
  heap_end (md);
}

START_TEST (existing_heap)
{
  char *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  size_t capacity = heap_stats (md).capacity;
  heap_end (md);
  refused (md, md);
  refused (md, md + KIB (64));
  /* Behind what is in use the heap comes as far as it can.  */
  unsigned char *there = put_in_the_way (md + capacity / 2);
  static const int flags[] = { 0, MMALLOC_RDONLY, MMALLOC_PRIVATE };
  for (int i = 0; i < 3; i++)
    {
      ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), flags[i], NULL), md);
      ck_assert_ptr_null (mmalloc_find (there));
      ck_assert_uint_eq (heap_stats (md).capacity, capacity);
      heap_end (md);
    }
  must (block_holds (there, page, 5));
}
END_TEST

/* How far it can grow then.  */
START_TEST (something_behind)
{
  char *md = heap_file ();
  heap_end (md);
  unsigned char *there = put_in_the_way (md + MIB (40));
  ck_assert_ptr_eq (heap_file (), md);
  static void *blocks[100];
  size_t n = heap_fill (md, MIB (1), blocks, 100);
  ck_assert_int_eq (errno, ENOSPC);
  ck_assert_uint_ge (n, 15);
  ck_assert_uint_lt (n, 40);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], MIB (1), i);
  must (block_holds (there, page, 5));
  heap_end (md);
}
END_TEST

START_TEST (new_heap)
{
  char *base = mmalloc_findbase (MIB (1));
  ck_assert_ptr_nonnull (base);
  unsigned char *there = put_in_the_way (base);
  must_fail (NULL, mmalloc_attach (-1, base), EADDRINUSE);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL),
                                 "sits-in-the-way"));
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  must_fail (NULL, mmalloc_attach (fd, base), EADDRINUSE);
  ck_assert_int_eq (file_length (temp_heap_path ()), 0);
  close (fd);
  must (block_holds (there, page, 5));
  munmap (there, page);
  ck_assert_ptr_eq (mmalloc_attach (-1, base), base);
  must_fail (NULL, mmalloc_attach (-1, base), EADDRINUSE);
  heap_end (base);
}
END_TEST

/* At a base given, a new heap makes do with the room there is.  */
START_TEST (new_heap_before_something)
{
  char *base = mmalloc_findbase (MIB (1));
  ck_assert_ptr_nonnull (base);
  unsigned char *there = put_in_the_way (base + MIB (40));
  ck_assert_ptr_eq (mmalloc_attach (-1, base), base);
  ck_assert_uint_le (heap_stats (base).capacity, MIB (40));
  static void *blocks[100];
  size_t n = heap_fill (base, MIB (1), blocks, 100);
  ck_assert_uint_ge (n, 15);
  ck_assert_uint_lt (n, 40);
  must_fail (base, mmalloc (base, MIB (1)), ENOSPC);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], MIB (1), i);
  heap_end (base);
  must (block_holds (there, page, 5));
}
END_TEST

RUN_TESTS (existing_heap, something_behind, new_heap, new_heap_before_something)
