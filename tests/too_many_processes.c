/* A heap has room for many processes, not for any number: the next one is told
   ENOLCK, and gets in once others have left.  A fork child that opens what its
   parent has open is told where it opens, too.  The heap is one that has room
   for few.  */

#include "support.h"

enum { MAX = 600, REFUSED = 77 };

static void
visitor (void *unused)
{
  (void) unused;
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  if (md == NULL)
    {
      ck_assert_int_eq (errno, ENOLCK);
      ck_assert_int_eq (mmalloc_errno (NULL), ENOLCK);
      ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL),
                                     "192 processes use the heap"));
      _exit (REFUSED);
    }
  void *block = mmalloc (md, 100);
  ck_assert_ptr_nonnull (block);
  mfree (md, block);
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (told_so)
{
  static struct child child[MAX];
  void *parents = heap_limited (IN_FILE, KIB (512));
  if (_i == 0)
    heap_end (parents);
  int n = 0;
  char byte;
  /* A child that does not get in hangs up instead of passing the baton.  */
  do
    child[n] = child_start (visitor, NULL);
  while (read (child[n].baton, &byte, 1) == 1 && ++n < MAX);
  ck_assert_int_eq (n, _i == 0 ? 192 : 191);
  ck_assert_int_eq (child_end (child[n]), REFUSED);
  baton_pass (child[--n].baton);
  ck_assert_int_eq (child_end (child[n]), 0);
  child[n] = child_start (visitor, NULL);
  baton_wait (child[n].baton);
  for (; n >= 0; n--)
    {
      baton_pass (child[n].baton);
      ck_assert_int_eq (child_end (child[n]), 0);
    }
  void *md = _i == 0 ? heap_file () : parents;
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_KINDS (2, told_so)
