/* C1: a debugger keeps its symbols in a file.  It attaches to learn where the
   heap was, detaches, and attaches there again with the same descriptor; the
   first time it looks for a place and starts the file afresh.  */

#include "support.h"

enum { ROOT_KEY = 0, BASE_KEY = 1 };

struct symbols
{
  struct symbols *self;
  void *md;
  char name[40];
};

static void *
map_to_file (int fd)
{
  void *base = NULL;
  void *md = mmalloc_attach (fd, NULL);
  if (md != NULL)
    {
      base = mmalloc_getkey (md, BASE_KEY);
      ck_assert_ptr_null (mmalloc_detach (md));
    }
  if (base != NULL)
    return mmalloc_attach (fd, base);
  base = mmalloc_findbase (MIB (20));
  ck_assert_ptr_nonnull (base);
  ck_assert_int_eq (ftruncate (fd, 0), 0);
  md = mmalloc_attach (fd, base);
  ck_assert_ptr_eq (md, base);
  ck_assert_int_eq (mmalloc_setkey (md, BASE_KEY, base), 1);
  return md;
}

START_TEST (first_and_later_runs)
{
  void *first_md = NULL;
  for (int run = 0; run < 3; run++)
    {
      int fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
      ck_assert_int_ge (fd, 0);
      void *md = map_to_file (fd);
      ck_assert_ptr_nonnull (md);
      struct symbols *symbols = mmalloc_getkey (md, ROOT_KEY);
      if (run == 0)
        {
          ck_assert_ptr_null (symbols);
          first_md = md;
          symbols = mmalloc (md, sizeof *symbols);
          symbols->self = symbols;
          symbols->md = md;
          block_fill (symbols->name, sizeof symbols->name, 1);
          ck_assert_int_eq (mmalloc_setkey (md, ROOT_KEY, symbols), 1);
        }
      ck_assert_ptr_eq (md, first_md);
      ck_assert_ptr_nonnull (symbols);
      ck_assert_ptr_eq (symbols->self, symbols);
      ck_assert_ptr_eq (symbols->md, md);
      must (block_holds (symbols->name, sizeof symbols->name, 1));
      ck_assert_ptr_nonnull (mmalloc (md, 100));
      heap_end (md);
      ck_assert_int_eq (close (fd), 0);
    }
}
END_TEST

RUN_TESTS (first_and_later_runs)
