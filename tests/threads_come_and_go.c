/* A thread that ends gives its stream back, and the next ones go on with what
   it left: many generations of threads need no more room than their blocks.  */

#include "support.h"

enum { GENERATIONS = 3000, SIZE = 1000 };
static void *md;
static void *blocks[GENERATIONS];

static struct mmalloc_class_stats
class_of (size_t size)
{
  struct mmalloc_stats stats = heap_stats (md);
  for (size_t i = 0; i < stats.n_classes; i++)
    if (stats.classes[i].block_size == size)
      return stats.classes[i];
  ck_abort_msg ("no class of %zu", size);
}

static void *
one_block (void *arg)
{
  size_t i = (size_t) arg;
  blocks[i] = mmalloc (md, SIZE);
  must (blocks[i] != NULL);
  block_fill (blocks[i], SIZE, i);
  mfree (md, mmalloc (md, SIZE));
  return NULL;
}

START_TEST (room_is_taken_over)
{
  md = heap_new (_i);
  thread_run (one_block, 0);
  size_t size = mmalloc_usable_size (md, blocks[0]);
  struct mmalloc_class_stats class = class_of (size);
  ck_assert_uint_eq (class.blocks_live, 1);
  size_t page = 1 + class.blocks_free;
  for (size_t i = 1; i < GENERATIONS; i++)
    thread_run (one_block, (void *) i);
  class = class_of (size);
  ck_assert_uint_eq (class.blocks_live, GENERATIONS);
  ck_assert_msg (class.blocks_free <= 3 * page,
                 "%zu free blocks, %zu in a page", class.blocks_free, page);
  for (size_t i = 0; i < GENERATIONS; i++)
    must (block_holds (blocks[i], SIZE, i));
  heap_free_all (md, blocks, GENERATIONS);
  heap_end (md);
}
END_TEST

static void *
many_classes (void *unused)
{
  (void) unused;
  void *mine[60];
  for (size_t i = 0; i < 60; i++)
    {
      mine[i] = mmalloc (md, 16 + i * i * 4);
      must (mine[i] != NULL);
    }
  heap_free_all (md, mine, 60);
  return NULL;
}

START_TEST (nothing_piles_up)
{
  md = heap_new (_i);
  size_t backed = 0;
  for (int i = 0; i < 1000; i++)
    {
      thread_run (many_classes, NULL);
      if (i == 10)
        backed = heap_stats (md).bytes_backed;
    }
  ck_assert_uint_le (heap_stats (md).bytes_backed, backed + KIB (256));
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (room_is_taken_over, nothing_piles_up)
