/* C17: a table of further keys, begun and grown with mrealloc, hung up in the
   first key.  */

#include "support.h"

enum { ENTRIES = 20000 };

START_TEST (grows_entry_by_entry)
{
  void *md = heap_file ();
  uintptr_t *table = NULL;
  for (size_t n = 0; n < ENTRIES; n++)
    {
      table = mrealloc (md, table, (n + 1) * sizeof *table);
      ck_assert_int_eq (mmalloc_setkey (md, 0, table), 1);
      table[n] = n * n;
    }
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  table = mmalloc_getkey (md, 0);
  for (size_t n = 0; n < ENTRIES; n++)
    must (table[n] == n * n);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
}
END_TEST

RUN_TESTS (grows_entry_by_entry)
