/* A heap file that lost its end, or whose head is damaged, is refused.  */

#include "support.h"

static void
refused (int code)
{
  static const int flags[] = { 0, MMALLOC_CREATE, MMALLOC_RDONLY,
                               MMALLOC_PRIVATE, MMALLOC_ELSEWHERE };
  uint64_t sum = file_sum (temp_heap_path ());
  for (int i = 0; i < 5; i++)
    must_fail (NULL, mmalloc_open (temp_heap_path (), flags[i], NULL), code);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}

START_TEST (cut_off)
{
  void *md = heap_file ();
  for (int i = 0; i < 1000; i++)
    ck_assert_ptr_nonnull (mmalloc (md, 3000));
  heap_end (md);
  off_t length = file_length (temp_heap_path ());
  for (; length > 4096; length = length * 2 / 3)
    {
      ck_assert_int_eq (truncate (temp_heap_path (), length * 2 / 3), 0);
      refused (EBADMSG);
    }
}
END_TEST

START_TEST (cut_off_by_a_page)
{
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, MIB (1)));
  heap_end (md);
  off_t length = file_length (temp_heap_path ());
  ck_assert_int_eq (truncate (temp_heap_path (), length - 4096), 0);
  refused (EBADMSG);
}
END_TEST

/* Bytes behind the magic word, in one or both copies of the superblock.  */
static void
scribble (int copies)
{
  int fd = open (temp_heap_path (), O_RDWR);
  for (int copy = 0; copy < copies; copy++)
    ck_assert_int_eq (pwrite (fd, "scribble", 8, copy * 4096 + 40), 8);
  close (fd);
}

START_TEST (one_head_damaged)
{
  char *md = heap_file ();
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  heap_end (md);
  scribble (1);
  ck_assert_ptr_eq (heap_file (), md);
  must (block_holds (block, 1000, 1));
  heap_end (md);
}
END_TEST

START_TEST (both_heads_damaged)
{
  heap_end (heap_file ());
  scribble (2);
  refused (EBADMSG);
}
END_TEST

RUN_TESTS (cut_off, cut_off_by_a_page, one_head_damaged, both_heads_damaged)
