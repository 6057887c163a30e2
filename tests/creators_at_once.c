/* Several processes make the heap in one file at the same time, under several
   names: one of them makes it, all get it.  */

#include "support.h"

enum { CREATORS = 6, ROUNDS = 15, BLOCKS = 50 };
static const char *const names[] = { "heap", "link", "symlink" };

static void
creator (void *number)
{
  size_t n = (size_t) number;
  char name[20];
  baton_wait (baton);
  void *md;
  if (n % 4 == 3)
    {
      int fd = open (temp_heap_path (), O_RDWR);
      md = mmalloc_attach (fd, NULL);
      close (fd);
    }
  else
    md = mmalloc_open (temp_path (names[n % 4]), MMALLOC_CREATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (size_t i = 0; i < BLOCKS; i++)
    {
      void **block = mmalloc (md, 1000);
      ck_assert_ptr_nonnull (block);
      block_fill (block, 1000, n * BLOCKS + i);
      snprintf (name, sizeof name, "%zu", n * BLOCKS + i);
      ck_assert_int_eq (mmalloc_setroot (md, name, block), 0);
    }
  ck_assert_int_eq (mmalloc_setkey (md, (int) n, md), 1);
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
create_together (void)
{
  struct child child[CREATORS];
  char name[20];
  file_write (temp_heap_path (), "", 0);
  ck_assert_int_eq (link (temp_heap_path (), temp_path ("link")), 0);
  ck_assert_int_eq (symlink ("heap", temp_path ("symlink")), 0);
  for (size_t n = 0; n < CREATORS; n++)
    child[n] = child_start (creator, (void *) n);
  for (size_t n = 0; n < CREATORS; n++)
    baton_pass (child[n].baton);
  for (size_t n = 0; n < CREATORS; n++)
    baton_wait (child[n].baton);
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (int n = 0; n < CREATORS; n++)
    ck_assert_ptr_eq (mmalloc_getkey (md, n), md);
  for (size_t i = 0; i < CREATORS * BLOCKS; i++)
    {
      snprintf (name, sizeof name, "%zu", i);
      void *block = mmalloc_getroot (md, name);
      ck_assert_ptr_nonnull (block);
      must (block_holds (block, 1000, i));
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, CREATORS * BLOCKS);
  for (size_t n = 0; n < CREATORS; n++)
    {
      baton_pass (child[n].baton);
      ck_assert_int_eq (child_end (child[n]), 0);
    }
  heap_end (md);
  for (size_t i = 0; i < 3; i++)
    ck_assert_int_eq (unlink (temp_path (names[i])), 0);
}

START_TEST (all_get_the_same)
{
  for (int round = 0; round < ROUNDS; round++)
    create_together ();
}
END_TEST

RUN_TESTS (all_get_the_same)
