/* mmalloc-shim.h: the C names mean the default heap, as expressions and as
   statements.  */

#include <malloc.h>

#include "support.h"
#include "mmalloc-shim.h"

struct list
{
  struct list *next;
  int malloc_count;
};

static size_t
live (void)
{
  return heap_stats (NULL).blocks_live;
}

START_TEST (expressions)
{
  char *block;
  if ((block = malloc (10)) == NULL || (block = realloc (block, 20)) == NULL)
    ck_abort_msg ("no block");
  ck_assert_ptr_nonnull (mmalloc_find (block));
  ck_assert_uint_ge (malloc_usable_size (block), 20);
  struct list *list = calloc (1, sizeof *list);
  ck_assert_int_eq (list->malloc_count, 0);
  list->next = live () == 2 ? malloc (sizeof *list) : NULL;
  ck_assert_ptr_nonnull (list->next);
  ck_assert_uint_eq (live (), 3);
  int *array = reallocarray (NULL, 10, 2 * sizeof *array);
  void *aligned[3] = { aligned_alloc (64, 64), memalign (128, 5),
                       valloc (5) };
  for (int i = 0; i < 3; i++)
    {
      must (is_aligned (aligned[i], 64));
      free (aligned[i]);
    }
  free (array), free (list->next), free (list), free (block);
  ck_assert_uint_eq (live (), 0);
}
END_TEST

START_TEST (statements)
{
  char *block = malloc (10);
  if (block != NULL)
    free (block);
  else
    ck_abort_msg ("no block");
  for (int i = 0; i < 10; i++)
    free (i % 2 == 0 ? malloc (100) : NULL);
  ck_assert_ptr_null (malloc (0));
  ck_assert_uint_eq (live (), 0);
}
END_TEST

START_TEST (as_function_pointers_they_are_libcs)
{
  void *(*allocate) (size_t) = malloc;
  void (*release) (void *) = free;
  char *block = allocate (10);
  *block = 0;
  ck_assert_ptr_null (mmalloc_find (block));
  release (block);
}
END_TEST

RUN_TESTS (expressions, statements, as_function_pointers_they_are_libcs)
