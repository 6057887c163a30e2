/* A process that may read the file and nothing else reads the heap beside a
   writer who makes it grow: by its path, and by a descriptor.  It changes
   nothing, not even the file's times.  */

#include "support.h"

struct link
{
  struct link *next;
  size_t size;
  char contents[];
};

static void
add (void *md, size_t size)
{
  struct link *link = mmalloc (md, sizeof *link + size);
  ck_assert_ptr_nonnull (link);
  link->next = mmalloc_getroot (md, "links");
  link->size = size;
  block_fill (link->contents, size, size);
  ck_assert_int_eq (mmalloc_setroot (md, "links", link), 0);
}

static size_t
count (void *md)
{
  size_t n = 0;
  for (struct link *l = mmalloc_getroot (md, "links"); l != NULL;
       l = l->next, n++)
    must (block_holds (l->contents, l->size, l->size));
  return n;
}

static void
reader (void *by_descriptor)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  const char *path = temp_heap_path ();
  become_nobody ();
  if (geteuid () == 0)
    skip ("root may do anything");
  baton_wait (baton);
  must (open (path, O_RDWR) < 0 && errno == EACCES);
  if (by_descriptor != NULL)
    {
      opt.fd = open (path, O_RDONLY);
      ck_assert_int_ge (opt.fd, 0);
      path = NULL;
    }
  void *md = mmalloc_open (path, MMALLOC_RDONLY, &opt);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (size_t n = 1; n <= 81; n += 40)
    {
      ck_assert_uint_eq (count (md), n);
      ck_assert_uint_ge (heap_stats (md).blocks_live, n);
      baton_pass (baton);
      baton_wait (baton);
    }
  must_fail (md, mmalloc (md, 100), EROFS);
  ck_assert_uint_eq (count (md), 81);
  heap_end (md);
  if (by_descriptor != NULL)
    ck_assert_int_eq (close (opt.fd), 0);
}

START_TEST (beside_a_growing_writer)
{
  struct child child = child_start (reader, (void *) (size_t) _i);
  void *md = heap_file ();
  add (md, 1000);
  ck_assert_int_eq (chmod (temp_heap_path (), 0444), 0);
  off_t length = file_length (temp_heap_path ());
  for (int round = 0; round < 3; round++)
    {
      baton_pass (child.baton);
      baton_wait (child.baton);
      for (size_t i = 0; round < 2 && i < 40; i++)
        add (md, i % 10 == 0 ? MIB (2) : i * 500);
    }
  ck_assert_int_gt (file_length (temp_heap_path ()), length + (off_t) MIB (8));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

static void
last_reader (void *before)
{
  struct stat after;
  become_nobody ();
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_uint_eq (count (md), 1);
  heap_end (md);
  ck_assert_int_eq (stat (temp_heap_path (), &after), 0);
  const struct stat *b = before;
  ck_assert_int_eq (after.st_mtim.tv_sec, b->st_mtim.tv_sec);
  ck_assert_int_eq (after.st_mtim.tv_nsec, b->st_mtim.tv_nsec);
}

START_TEST (file_stays_as_it_is)
{
  struct stat before;
  void *md = heap_file ();
  add (md, 1000);
  heap_end (md);
  ck_assert_int_eq (chmod (temp_heap_path (), 0444), 0);
  ck_assert_int_eq (stat (temp_heap_path (), &before), 0);
  uint64_t sum = file_sum (temp_heap_path ());
  ck_assert_int_eq (child_run (last_reader, &before), 0);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
}
END_TEST

RUN_KINDS (2, beside_a_growing_writer, file_stays_as_it_is)
