/* C4: the same file attached twice in a process is one heap.  */

#include "support.h"

START_TEST (two_descriptors)
{
  int fd1 = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_attach (fd1, NULL);
  ck_assert_ptr_nonnull (md);
  void *block = mmalloc (md, 10);
  mmalloc_setkey (md, 3, block);

  int fd2 = open (temp_heap_path (), O_RDWR);
  ck_assert_ptr_eq (mmalloc_attach (fd2, NULL), md);
  ck_assert_ptr_eq (mmalloc_getkey (md, 3), block);

  ck_assert_ptr_null (mmalloc_detach (md));
  memset (block, 1, 10);
  ck_assert_ptr_eq (mmalloc_getkey (md, 3), block);
  heap_end (md);
  must_give (mmalloc_detach (md) == md, 1, EINVAL);
  close (fd1);
  close (fd2);
}
END_TEST

RUN_TESTS (two_descriptors)
