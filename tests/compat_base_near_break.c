/* C19: an anonymous heap a little above the program's break, and random sizes
   with 0 among them.  */

#include "support.h"

enum { N = 100 };

START_TEST (random_sizes)
{
  if (under_a_tool ())
    {
      skip ("the tool uses the room above the break");
      return;
    }
  uint64_t state = random_seed ();
  uintptr_t top = (uintptr_t) sbrk (0) + MIB (64);
  void *base = (void *) (top & ~(uintptr_t) 0xffff);
  void *md = mmalloc_attach (-1, base);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_ptr_eq (md, base);
  char *blocks[N];
  size_t size[N];
  for (unsigned int i = 0; i < N; i++)
    {
      size[i] = i == 50 ? 0 : random_below (&state, 1000);
      blocks[i] = mmalloc (md, size[i]);
      must ((blocks[i] == NULL) == (size[i] == 0));
      block_fill (blocks[i], size[i], i);
    }
  for (unsigned int i = 0; i < N; i++)
    {
      must (block_holds (blocks[i], size[i], i));
      mfree (md, blocks[i]);
    }
  free (malloc (MIB (1) / 16));
  heap_end (md);
}
END_TEST

RUN_TESTS (random_sizes)
