/* A new heap file with one block in it takes little of the disk, and no more
   than it says.  */

#include "support.h"

START_TEST (at_most_256_kib_of_disk)
{
  void *md = heap_file ();
  char *block = mmalloc (md, 100);
  block_fill (block, 100, 1);
  ck_assert_int_eq (mmalloc_sync (md), 0);
  ck_assert_int_le (file_disk (temp_heap_path ()), (off_t) KIB (256));
  struct mmalloc_stats stats = heap_stats (md);
  ck_assert_uint_eq (stats.length, (size_t) file_length (temp_heap_path ()));
  ck_assert_uint_eq (stats.file_bytes,
                     (size_t) file_disk (temp_heap_path ()));
  heap_end (md);
  ck_assert_int_le (file_disk (temp_heap_path ()), (off_t) KIB (256));
}
END_TEST

RUN_TESTS (at_most_256_kib_of_disk)
