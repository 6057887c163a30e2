/* mmalloc_findbase gives a place where a heap can be attached now.  */

#include "support.h"

START_TEST (place_is_free)
{
  size_t sizes[] = { 1, MIB (1), GIB (1), GIB (100), GIB (1000) };
  for (int i = 0; i < 5; i++)
    {
      char *base = mmalloc_findbase (sizes[i]);
      ck_assert_msg (base != NULL, "%zu", sizes[i]);
      must (is_aligned (base, (size_t) sysconf (_SC_PAGESIZE)));
      ck_assert_ptr_null (mmalloc_find (base));
      ck_assert_ptr_eq (mmap (base, sizes[i], PROT_NONE,
                              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
                              | MAP_FIXED_NOREPLACE, -1, 0), base);
      ck_assert_int_eq (munmap (base, sizes[i]), 0);
      ck_assert_ptr_eq (mmalloc_attach (-1, base), base);
      ck_assert_ptr_nonnull (mmalloc (base, 100));
      heap_end (base);
    }
}
END_TEST

START_TEST (another_place_each_time_one_is_taken)
{
  char *base[10];
  for (int i = 0; i < 10; i++)
    {
      base[i] = mmalloc_findbase (MIB (20));
      ck_assert_ptr_eq (mmalloc_attach (-1, base[i]), base[i]);
    }
  for (int i = 0; i < 10; i++)
    heap_end (base[i]);
}
END_TEST

START_TEST (no_such_place)
{
  must_fail (NULL, mmalloc_findbase (any_size (SIZE_MAX)), ENOMEM);
  must_fail (NULL, mmalloc_findbase (SIZE_MAX / 2), ENOMEM);
  must_fail (NULL, mmalloc_findbase ((size_t) 1 << 60), ENOMEM);
}
END_TEST

RUN_TESTS (place_is_free, another_place_each_time_one_is_taken, no_such_place)
