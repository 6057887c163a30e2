/* mmalloc_errno and mmalloc_strerror: why the last failing call failed, per
   heap, and per thread where there is no heap.  */

#include "support.h"

START_TEST (of_a_heap)
{
  void *md = heap_limited (_i, MIB (1));
  ck_assert_int_eq (mmalloc_errno (md), 0);
  ck_assert_ptr_nonnull (mmalloc_strerror (md));
  must_fail (md, mmalloc (md, MIB (2)), ENOSPC);
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  ck_assert_int_eq (mmalloc_errno (md), ENOSPC);
  must_fail (md, mmemalign (md, any_size (3), 100), EINVAL);
  ck_assert_int_eq (mmalloc_errno (md), EINVAL);
  must_give (mmalloc_setroot (md, "", md), -1, EINVAL);
  must_fail (md, mcalloc (md, any_size (SIZE_MAX), 2), ENOMEM);
  heap_end (md);
}
END_TEST

START_TEST (of_each_heap)
{
  void *md = heap_limited (_i, MIB (1));
  void *other = mmalloc_open (temp_path ("other"), MMALLOC_CREATE, NULL);
  must_fail (md, mmalloc (md, MIB (2)), ENOSPC);
  ck_assert_int_eq (mmalloc_errno (other), 0);
  heap_end (md);
  heap_end (other);
}
END_TEST

static void *
other_thread (void *unused)
{
  (void) unused;
  ck_assert_int_eq (mmalloc_errno (NULL), 0);
  ck_assert_ptr_nonnull (mmalloc_strerror (NULL));
  must_fail (NULL, mmalloc_open (temp_path ("junk"), 0, NULL), EINVAL);
  return NULL;
}

START_TEST (of_opening)
{
  file_write (temp_path ("junk"), "junk", 4);
  ck_assert_int_eq (mmalloc_errno (NULL), 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), ENOENT);
  thread_run (other_thread, NULL);
  ck_assert_int_eq (mmalloc_errno (NULL), ENOENT);
  heap_end (heap_new (_i));
  ck_assert_int_eq (mmalloc_errno (NULL), ENOENT);
}
END_TEST

START_TEST (of_the_default_heap)
{
  must_fail (NULL, mmalloc (NULL, any_size (SIZE_MAX)), ENOMEM);
  ck_assert_ptr_nonnull (mmalloc (NULL, 10));
  ck_assert_int_eq (mmalloc_errno (NULL), ENOMEM);
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
}
END_TEST

START_TEST (words_differ)
{
  file_write (temp_path ("junk"), "junk", 4);
  char words[3][500];
  must_fail (NULL, mmalloc_open (temp_path ("junk"), 0, NULL), EINVAL);
  snprintf (words[0], sizeof words[0], "%s", mmalloc_strerror (NULL));
  must_fail (NULL, mmalloc_open (temp_path ("none"), 0, NULL), ENOENT);
  snprintf (words[1], sizeof words[1], "%s", mmalloc_strerror (NULL));
  must_fail (NULL, mmalloc (NULL, any_size (SIZE_MAX)), ENOMEM);
  snprintf (words[2], sizeof words[2], "%s", mmalloc_strerror (NULL));
  for (int i = 0; i < 3; i++)
    {
      ck_assert_uint_gt (strlen (words[i]), 5);
      ck_assert_ptr_null (strchr (words[i], '\n'));
      ck_assert_str_ne (words[i], words[(i + 1) % 3]);
    }
}
END_TEST

RUN_ON_OWN_HEAPS (of_a_heap, of_each_heap, of_opening, of_the_default_heap,
                  words_differ)
