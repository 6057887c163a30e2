/* A heap built under another name and renamed when it is complete: whoever
   opens the name finds the old heap or the new one, never half of one.  */

#include "support.h"

static void
build (const char *path, uint64_t tag)
{
  void *md = mmalloc_open (path, MMALLOC_CREATE | MMALLOC_EXCL, NULL);
  ck_assert_ptr_nonnull (md);
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, tag);
  ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
  ck_assert_int_eq (mmalloc_sync (md), 0);
  heap_end (md);
}

START_TEST (old_or_new)
{
  build (temp_heap_path (), 1);
  void *old = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  build (temp_path ("heap.new"), 2);
  ck_assert_int_eq (rename (temp_path ("heap.new"), temp_heap_path ()), 0);
  void *new = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_ptr_nonnull (new);
  ck_assert_ptr_ne (new, old);
  must (block_holds (mmalloc_getroot (old, "block"), 1000, 1));
  must (block_holds (mmalloc_getroot (new, "block"), 1000, 2));
  heap_end (old);
  heap_end (new);
}
END_TEST

RUN_TESTS (old_or_new)
