/* C22: keys hold words that are no pointers; nobody interprets or moves
   them.  */

#include "support.h"

static void *const words[16] = {
  (void *) 1, (void *) 0x123456789, (void *) UINTPTR_MAX,
  (void *) INTPTR_MAX, (void *) 1700000000, (void *) 0xdeadbeefcafe,
  (void *) 3, (void *) 4, (void *) 5, (void *) 6, (void *) 7, (void *) 8,
  (void *) 9, (void *) 10, (void *) 11, (void *) 12
};

static void
read_back (void *flags)
{
  void *md = mmalloc_open (temp_heap_path (), (int) (intptr_t) flags, NULL);
  ck_assert_ptr_nonnull (md);
  for (int key = 0; key < 16; key++)
    ck_assert_ptr_eq (mmalloc_getkey (md, key), words[key]);
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (come_back_as_they_were)
{
  void *md = heap_file ();
  for (int key = 0; key < 16; key++)
    ck_assert_int_eq (mmalloc_setkey (md, key, words[key]), 1);
  heap_end (md);
  intptr_t flags[] = { 0, MMALLOC_RDONLY, MMALLOC_PRIVATE,
                       MMALLOC_ELSEWHERE };
  for (int i = 0; i < 4; i++)
    ck_assert_int_eq (child_run (read_back, (void *) flags[i]), 0);
}
END_TEST

RUN_TESTS (come_back_as_they_were)
