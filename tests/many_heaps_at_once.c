/* Many heaps in one process, apart from each other.  */

#include "support.h"

enum { HEAPS = 24 };

START_TEST (each_has_its_own)
{
  void *md[HEAPS];
  char *blocks[HEAPS][50];
  char name[20];
  for (size_t h = 0; h < HEAPS; h++)
    {
      snprintf (name, sizeof name, "heap %zu", h);
      md[h] = mmalloc_open (h % 2 == 0 ? temp_path (name) : NULL,
                            MMALLOC_CREATE, NULL);
      ck_assert_msg (md[h] != NULL, "%zu: %s", h, mmalloc_strerror (NULL));
      for (size_t other = 0; other < h; other++)
        ck_assert_ptr_ne (md[h], md[other]);
    }
  for (size_t i = 0; i < 50; i++)
    for (size_t h = 0; h < HEAPS; h++)
      {
        blocks[h][i] = mmalloc (md[h], 500);
        must (mmalloc_find (blocks[h][i]) == md[h]);
        block_fill (blocks[h][i], 500, 50 * h + i);
      }
  for (size_t h = 0; h < HEAPS; h += 2)
    heap_end (md[h]);
  for (size_t h = 0; h < HEAPS; h += 2)
    {
      snprintf (name, sizeof name, "heap %zu", h);
      ck_assert_ptr_eq (mmalloc_open (temp_path (name), 0, NULL), md[h]);
    }
  for (size_t i = 0; i < 50; i++)
    for (size_t h = 0; h < HEAPS; h++)
      must (block_holds (blocks[h][i], 500, 50 * h + i));
  for (size_t h = 0; h < HEAPS; h++)
    {
      ck_assert_uint_eq (heap_stats (md[h]).blocks_live, 50);
      heap_end (md[h]);
    }
}
END_TEST

RUN_TESTS (each_has_its_own)
