/* One file is one heap in a process, under whatever name or descriptor it is
   opened; every opening needs its detach.  */

#include "support.h"

START_TEST (many_ways_in)
{
  void *md = heap_file ();
  char *block = mmalloc (md, 100);
  block_fill (block, 100, 1);
  ck_assert_int_eq (link (temp_heap_path (), temp_path ("link")), 0);
  ck_assert_int_eq (symlink (temp_heap_path (), temp_path ("symlink")), 0);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = open (temp_path ("link"), O_RDWR);

  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), 0, NULL), md);
  ck_assert_ptr_eq (mmalloc_open (temp_path ("link"), MMALLOC_CREATE, NULL),
                    md);
  ck_assert_ptr_eq (mmalloc_open (temp_path ("symlink"), 0, NULL), md);
  ck_assert_ptr_eq (mmalloc_open (NULL, 0, &opt), md);
  ck_assert_ptr_eq (mmalloc_attach (opt.fd, NULL), md);
  close (opt.fd);
  for (int i = 0; i < 5; i++)
    {
      ck_assert_ptr_null (mmalloc_detach (md));
      must (block_holds (block, 100, 1));
      ck_assert_ptr_eq (mmalloc_find (block), md);
    }
  heap_end (md);
  ck_assert_ptr_null (mmalloc_find (block));
  must_give (mmalloc_detach (md) == md, 1, EINVAL);
}
END_TEST

START_TEST (new_file_of_the_same_name)
{
  void *md = heap_file ();
  char *block = mmalloc (md, 100);
  block_fill (block, 100, 1);
  ck_assert_int_eq (unlink (temp_heap_path ()), 0);
  void *other = heap_file ();
  ck_assert_ptr_ne (other, md);
  ck_assert_uint_eq (heap_stats (other).blocks_live, 0);
  ck_assert_ptr_nonnull (mmalloc (other, 100));
  must (block_holds (block, 100, 1));
  heap_end (md);
  heap_end (other);
}
END_TEST

START_TEST (copy_of_the_file)
{
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  heap_end (md);
  char command[3 * PATH_MAX];
  snprintf (command, sizeof command, "cp '%s' '%s'", temp_heap_path (),
            temp_path ("copy"));
  ck_assert_int_eq (system (command), 0);
  ck_assert_ptr_eq (heap_file (), md);
  must_fail (NULL, mmalloc_open (temp_path ("copy"), 0, NULL), EADDRINUSE);
  heap_end (md);
  ck_assert_ptr_eq (mmalloc_open (temp_path ("copy"), 0, NULL), md);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
}
END_TEST

RUN_TESTS (many_ways_in, new_file_of_the_same_name, copy_of_the_file)
