/* mvalloc: blocks at multiples of the page size.  */

#include "support.h"

START_TEST (page_aligned)
{
  void *md = heap_new (_i);
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  for (size_t size = 1; size < 100000; size += size / 2 + 1)
    {
      char *block = mvalloc (md, size);
      must (block != NULL && is_aligned (block, page));
      must (mmalloc_usable_size (md, block) >= size);
      block_fill (block, size, size);
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (page_aligned)
