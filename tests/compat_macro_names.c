/* C15: the C names as macros over the default heap, in the form the old
   package documented, whose realloc has a stray semicolon; as statements.  */

#include "support.h"

#undef malloc
#undef realloc
#undef free
#define malloc(size) mmalloc ((void *) 0, (size))
#define realloc(ptr, size) mrealloc ((void *) 0, (ptr), (size));
#define free(ptr) mfree ((void *) 0, (ptr))

START_TEST (as_statements)
{
  char *block = malloc (10);
  ck_assert_ptr_nonnull (block);
  block_fill (block, 10, 1);
  block = realloc (block, 1000)
  must (block_holds (block, 10, 1));
  ck_assert_ptr_nonnull (mmalloc_find (block));
  free (block);
  block = malloc (0);
  ck_assert_ptr_null (block);
  free (block);
  ck_assert_uint_eq (heap_stats (NULL).blocks_live, 0);
}
END_TEST

#undef malloc
#undef realloc
#undef free

RUN_TESTS (as_statements)
