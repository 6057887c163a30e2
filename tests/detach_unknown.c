/* mmalloc_detach of what is no heap: nothing happens.  */

#include "support.h"

START_TEST (nothing_happens)
{
  void *md = heap_new (_i);
  char *block = mmalloc (md, 100);
  block_fill (block, 100, 1);
  must_keep_errno (ck_assert_ptr_null (mmalloc_detach (NULL)));
  must_give (mmalloc_detach (&md) == &md, 1, EINVAL);
  must_give (mmalloc_detach (block) == block, 1, EINVAL);
  must_give (mmalloc_detach ((void *) 4096) == (void *) 4096, 1, EINVAL);
  must (block_holds (block, 100, 1));
  heap_end (md);
  must_give (mmalloc_detach (md) == md, 1, EINVAL);
}
END_TEST

RUN_ON_OWN_HEAPS (nothing_happens)
