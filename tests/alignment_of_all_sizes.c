/* Blocks of every size are aligned to 16 bytes, as long as asked for, and
   apart from each other.  */

#include "support.h"

START_TEST (all_up_to_64_kib)
{
  void *md = heap_new (_i);
  char *previous = NULL;
  size_t previous_size = 0;
  for (size_t size = 1; size <= KIB (64); size++)
    {
      char *block = mmalloc (md, size);
      must (block != NULL && is_aligned (block, 16));
      size_t usable = mmalloc_usable_size (md, block);
      must (usable >= size);
      block[0] = block[usable - 1] = 1;
      must (block >= previous + previous_size || block + usable <= previous);
      mfree (md, previous);
      previous = block;
      previous_size = usable;
    }
  mfree (md, previous);
  heap_end (md);
}
END_TEST

START_TEST (some_beyond)
{
  void *md = heap_new (_i);
  for (size_t size = KIB (64); size <= MIB (128); size += size / 3)
    {
      char *block = mmalloc (md, size);
      must (block != NULL && is_aligned (block, 16));
      size_t usable = mmalloc_usable_size (md, block);
      must (usable >= size);
      block[0] = block[usable - 1] = 1;
      mfree (md, block);
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (all_up_to_64_kib, some_beyond)
