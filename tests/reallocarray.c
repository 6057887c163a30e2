/* mreallocarray: a product of two, checked.  */

#include "support.h"

START_TEST (grows_an_array)
{
  void *md = heap_new (_i);
  uint64_t *array = NULL;
  for (size_t n = 1; n < 100000; n += n)
    {
      array = mreallocarray (md, array, n, sizeof *array);
      must (array != NULL);
      must (mmalloc_usable_size (md, array) >= n * sizeof *array);
      for (size_t i = 0; i < n / 2; i++)
        must (array[i] == i);
      for (size_t i = n / 2; i < n; i++)
        array[i] = i;
    }
  mfree (md, array);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (grows_an_array)
