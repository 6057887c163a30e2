/* The application's version word: kept in the heap, compared on opening.  */

#include "support.h"

static void *
open_as (unsigned long version)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.app_version = version;
  return mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
}

START_TEST (must_be_the_same)
{
  void *md = open_as (7);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
  ck_assert_ptr_eq (open_as (7), md);
  must_fail (NULL, open_as (8), EPROTO);
  ck_assert_ptr_eq (open_as (0), md);
  ck_assert_ptr_null (mmalloc_detach (md));
  heap_end (md);
  must_fail (NULL, open_as (8), EPROTO);
  must_fail (NULL, open_as (ULONG_MAX), EPROTO);
  ck_assert_ptr_eq (open_as (0), md);
  heap_end (md);
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_ptr_eq (mmalloc_attach (fd, NULL), md);
  heap_end (md);
}
END_TEST

START_TEST (none_in_the_heap)
{
  void *md = open_as (0);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
  must_fail (NULL, open_as (1), EPROTO);
  ck_assert_ptr_eq (open_as (0), md);
  heap_end (md);
}
END_TEST

RUN_TESTS (must_be_the_same, none_in_the_heap)
