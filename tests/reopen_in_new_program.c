/* A heap comes back in a program started anew: same address, same contents,
   pointers and all.  This program starts itself for that.  */

#include "support.h"

enum { N = 3000 };

struct node
{
  struct node *next;
  void *md;
  size_t size, tag;
  char bytes[];
};

/* The second life: argument is the path of the heap.  */
static int
come_back (const char *path)
{
  void *md = mmalloc_open (path, 0, NULL);
  struct node *node = mmalloc_getroot (md, "list");
  size_t n = 0;
  for (; node != NULL; n++)
    {
      struct node *next = node->next;
      if (node->md != md || mmalloc_find (node) != md
          || mmalloc_usable_size (md, node) < sizeof *node + node->size
          || !block_holds (node->bytes, node->size, node->tag))
        return 2;
      if (n % 2 == 0)
        mfree (md, node);
      node = next;
    }
  if (n != N || mmalloc_getkey (md, 5) != md)
    return 3;
  if (mmalloc_check (md, support_finding, NULL) != 0)
    return 4;
  return mmalloc_detach (md) == NULL ? 0 : 5;
}

START_TEST (same_place_same_contents)
{
  void *md = heap_file ();
  struct node *list = NULL;
  for (size_t i = 0; i < N; i++)
    {
      size_t size = i % 100 == 0 ? MIB (1) : i;
      struct node *node = mmalloc (md, sizeof *node + size);
      must (node != NULL);
      *node = (struct node) { .next = list, .md = md, .size = size, .tag = i };
      block_fill (node->bytes, size, i);
      list = node;
    }
  ck_assert_int_eq (mmalloc_setroot (md, "list", list), 0);
  ck_assert_int_eq (mmalloc_setkey (md, 5, md), 1);
  heap_end (md);
  static char path[PATH_MAX];
  snprintf (path, sizeof path, "%s", temp_heap_path ());
  ck_assert_int_eq (child_run (start_anew, path), 0);
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_uint_eq (heap_stats (md).blocks_live, N / 2);
  heap_end (md);
}
END_TEST

int
main (int argc, char **argv)
{
  const TTest *tests[] = { same_place_same_contents };
  return argc > 1 ? come_back (argv[1]) : run_suite (__FILE__, tests, 1, 1);
}
