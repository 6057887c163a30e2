/* C2: the descriptor given to mmalloc_attach stays open and the caller's, its
   offset where it was, and may be closed before the heap is let go.  */

#include "support.h"

START_TEST (usable_after_detach)
{
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_attach (fd, NULL);
  ck_assert_ptr_nonnull (md);
  ck_assert_int_eq (lseek (fd, 5, SEEK_SET), 5);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (3)));
  heap_end (md);
  ck_assert_int_eq (lseek (fd, 0, SEEK_CUR), 5);
  struct stat st;
  ck_assert_int_eq (fstat (fd, &st), 0);
  ck_assert_int_eq (st.st_size, file_length (temp_heap_path ()));
  char bytes[16];
  ck_assert_int_eq (pread (fd, bytes, sizeof bytes, 0), sizeof bytes);
  ck_assert_int_eq (close (fd), 0);
}
END_TEST

START_TEST (closed_before_detach)
{
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_attach (fd, NULL);
  ck_assert_ptr_nonnull (md);
  ck_assert_int_eq (close (fd), 0);
  unsigned char *block = mmalloc (md, MIB (50));
  ck_assert_ptr_nonnull (block);
  block[MIB (50) - 1] = 1;
  heap_end (md);
}
END_TEST

RUN_TESTS (usable_after_detach, closed_before_detach)
