/* C3: the descriptor is the lowest address of the heap and has the same value
   in a later process, so that programs may store it in the heap.  */

#include "support.h"

static void
make (void *base)
{
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_attach (fd, base);
  if (base != NULL)
    ck_assert_ptr_eq (md, base);
  void **block = mmalloc (md, sizeof *block);
  ck_assert_ptr_nonnull (block);
  must ((char *) block > (char *) md);
  *block = md;
  mmalloc_setkey (md, 0, block);
  heap_end (md);
}

static void
come_back (void *unused)
{
  (void) unused;
  int fd = open (temp_heap_path (), O_RDWR);
  void *md = mmalloc_attach (fd, NULL);
  void **block = mmalloc_getkey (md, 0);
  ck_assert_ptr_nonnull (block);
  ck_assert_ptr_eq (*block, md);
  mfree (*block, block);
  heap_end (md);
}

START_TEST (place_found)
{
  ck_assert_int_eq (child_run (make, NULL), 0);
  ck_assert_int_eq (child_run (come_back, NULL), 0);
}
END_TEST

START_TEST (place_given)
{
  ck_assert_int_eq (child_run (make, mmalloc_findbase (MIB (1))), 0);
  ck_assert_int_eq (child_run (come_back, NULL), 0);
}
END_TEST

RUN_TESTS (place_found, place_given)
