/* mmalloc_sync brings everything to the file; mmalloc_prefetch changes
   nothing.  */

#include "support.h"

START_TEST (everything_is_in_the_file)
{
  char *md = heap_new (_i);
  char *blocks[100];
  for (size_t i = 0; i < 100; i++)
    {
      blocks[i] = mmalloc (md, 5000 * i + 1);
      block_fill (blocks[i], 5000 * i + 1, i);
    }
  ck_assert_int_eq (mmalloc_sync (md), 0);
  ck_assert_int_eq (mmalloc_prefetch (md), 0);
  if (_i == IN_FILE)
    {
      static char bytes[500000];
      int fd = open (temp_heap_path (), O_RDONLY);
      for (size_t i = 0; i < 100; i++)
        {
          size_t size = 5000 * i + 1;
          ck_assert_int_eq (pread (fd, bytes, size, blocks[i] - md),
                            (ssize_t) size);
          must (block_holds (bytes, size, i));
        }
      close (fd);
      heap_end (md);
      ck_assert_ptr_eq (heap_file (), md);
      ck_assert_int_eq (mmalloc_prefetch (md), 0);
    }
  for (size_t i = 0; i < 100; i++)
    must (block_holds (blocks[i], 5000 * i + 1, i));
  heap_end (md);
}
END_TEST

/* In front of the block are chunks that nobody has used.  */
START_TEST (with_a_hole)
{
  char *md = heap_new (_i), *block = mmemalign (md, MIB (128), MIB (33));
  ck_assert_ptr_nonnull (block);
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  ck_assert_int_eq (mmalloc_sync (md), 0);
  ck_assert_int_eq (mmalloc_prefetch (md), 0);
  mfree (md, block);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (everything_is_in_the_file, with_a_hole)
