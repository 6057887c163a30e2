/* C20: a reader in another process sees what a writer adds after the reader
   came, although the heap grows far beyond its length of then.  */

#include "support.h"

struct entry
{
  struct entry *next;
  size_t size;
  size_t tag;
};

static void
grow (void *md, size_t size, size_t tag)
{
  struct entry *entry = mmalloc (md, size);
  ck_assert_ptr_nonnull (entry);
  entry->next = mmalloc_getkey (md, 0);
  entry->size = size;
  entry->tag = tag;
  block_fill (entry + 1, size - sizeof *entry, tag);
  ck_assert_int_eq (mmalloc_setkey (md, 0, entry), 1);
}

static size_t
count (void *md)
{
  size_t n = 0;
  for (struct entry *e = mmalloc_getkey (md, 0); e != NULL; e = e->next, n++)
    must (block_holds (e + 1, e->size - sizeof *e, e->tag));
  return n;
}

static void
reader (void *unused)
{
  (void) unused;
  baton_wait (baton);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_uint_eq (count (md), 1);
  for (size_t round = 1; round <= 5; round++)
    {
      baton_pass (baton);
      baton_wait (baton);
      ck_assert_uint_eq (count (md), 1 + 100 * round);
      ck_assert_uint_ge (heap_stats (md).blocks_live, 1 + 100 * round);
    }
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (grows_under_the_reader)
{
  struct child child = child_start (reader, NULL);
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  void *md = mmalloc_attach (fd, NULL);
  grow (md, 1000, 0);
  off_t length = file_length (temp_heap_path ());
  baton_pass (child.baton);
  for (size_t round = 1; round <= 5; round++)
    {
      baton_wait (child.baton);
      for (size_t i = 0; i < 100; i++)
        grow (md, i % 10 == 0 ? MIB (1) : 100 * i, 1000 * round + i);
      ck_assert_int_gt (file_length (temp_heap_path ()), length);
      length = file_length (temp_heap_path ());
      baton_pass (child.baton);
    }
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

START_TEST (attach_needs_write_permission)
{
  heap_end (heap_file ());
  int fd = open (temp_heap_path (), O_RDONLY);
  must_fail (NULL, mmalloc_attach (fd, NULL), EACCES);
  close (fd);
}
END_TEST

RUN_TESTS (grows_under_the_reader, attach_needs_write_permission)
