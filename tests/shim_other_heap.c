/* mmalloc-shim.h with a heap of the program's choice.  */

#include "support.h"

static void *my_heap;
#define MMALLOC_SHIM_HEAP my_heap
#include "mmalloc-shim.h"

START_TEST (in_my_heap)
{
  my_heap = heap_file ();
  char *block = malloc (10);
  ck_assert_ptr_eq (mmalloc_find (block), my_heap);
  block = realloc (block, MIB (1));
  ck_assert_ptr_eq (mmalloc_find (block), my_heap);
  free (block);
  ck_assert_uint_eq (heap_stats (my_heap).blocks_live, 0);
  heap_end (my_heap);
}
END_TEST

RUN_TESTS (in_my_heap)
