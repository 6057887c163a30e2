/* C8: an existing heap comes back where it was, whatever base is asked.  */

#include "support.h"

START_TEST (other_base_ignored)
{
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_attach (fd, NULL);
  ck_assert_ptr_nonnull (md);
  char *block = mmalloc (md, 100);
  block_fill (block, 100, 8);
  heap_end (md);

  char *other = mmalloc_findbase (MIB (1));
  ck_assert_ptr_nonnull (other);
  ck_assert_ptr_eq (mmalloc_attach (fd, other + GIB (100)), md);
  must (block_holds (block, 100, 8));
  heap_end (md);
  ck_assert_ptr_eq (mmalloc_attach (fd, (void *) 1), md);
  must (block_holds (block, 100, 8));
  heap_end (md);
  close (fd);
}
END_TEST

RUN_TESTS (other_base_ignored)
