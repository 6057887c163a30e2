/* C16: a heap at a base given, in a file truncated before; one buffer grown by
   doubling beyond 128 MiB; later several readers at once, each a process of
   its own, find every byte.  */

#include "support.h"

#define BASE ((void *) 0x440000000000)
#define FULL MIB (160)

struct root
{
  char *buffer;
  size_t n;
};

static void
write_buffer (void *unused)
{
  (void) unused;
  int fd = open (temp_heap_path (), O_RDWR | O_CREAT | O_TRUNC, 0666);
  void *base = under_a_tool ()
               ? mmalloc_findbase (FULL) : BASE;
  void *md = mmalloc_attach (fd, base);
  ck_assert_ptr_eq (md, base);
  struct root *root = mmalloc (md, sizeof *root);
  mmalloc_setkey (md, 0, root);
  size_t room = 0;
  root->buffer = NULL;
  for (root->n = 0; root->n < FULL; root->n += KIB (32))
    {
      if (root->n + KIB (32) > room)
        {
          room = room == 0 ? KIB (32) : 2 * room;
          root->buffer = mrealloc (md, root->buffer, room);
          ck_assert_ptr_nonnull (root->buffer);
        }
      block_fill (root->buffer + root->n, KIB (32), root->n);
    }
  heap_end (md);
  close (fd);
}

static void
read_buffer (void *way_in)
{
  void *md;
  if (way_in == NULL)
    md = mmalloc_attach (open (temp_heap_path (), O_RDWR), NULL);
  else
    md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_ptr_nonnull (md);
  baton_pass (baton);
  baton_wait (baton);
  struct root *root = mmalloc_getkey (md, 0);
  ck_assert_uint_eq (root->n, FULL);
  for (size_t at = 0; at < root->n; at += KIB (32))
    must (block_holds (root->buffer + at, KIB (32), at));
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
three_readers (void *way_in)
{
  ck_assert_int_eq (child_run (write_buffer, NULL), 0);
  struct child reader[3];
  for (int i = 0; i < 3; i++)
    reader[i] = child_start (read_buffer, way_in);
  for (int i = 0; i < 3; i++)
    baton_wait (reader[i].baton);
  for (int i = 0; i < 3; i++)
    baton_pass (reader[i].baton);
  for (int i = 0; i < 3; i++)
    ck_assert_int_eq (child_end (reader[i]), 0);
}

START_TEST (readers_attach)
{
  three_readers (NULL);
}
END_TEST

START_TEST (readers_open_read_only)
{
  three_readers (BASE);
}
END_TEST

RUN_TESTS (readers_attach, readers_open_read_only)
