/* Threads allocate, resize and free blocks that they pass around: contents
   stay, nothing overlaps, nothing is lost.  */

#include <stdatomic.h>

#include "support.h"

enum { THREADS = 4, SLOTS = 1000, TURNS = 60000 };

struct block
{
  size_t size;
  uint64_t tag;
  char bytes[];
};

static void *md;
static _Atomic (struct block *) slots[SLOTS];
static uint64_t seed;

static void
verify (struct block *block)
{
  must (block_holds (block->bytes, block->size - sizeof *block, block->tag));
}

static void *
worker (void *arg)
{
  uint64_t state = seed + (size_t) arg;
  for (int i = 0; i < TURNS; i++)
    {
      size_t kind = random_below (&state, 100);
      size_t size = sizeof (struct block)
                    + random_below (&state, kind == 0 ? 200000
                                            : kind < 10 ? 20000 : 500);
      struct block *block = mmalloc (md, size);
      must (block != NULL && is_aligned (block, 16));
      block->size = size;
      block->tag = state;
      block_fill (block->bytes, size - sizeof *block, state);
      block = atomic_exchange (&slots[random_below (&state, SLOTS)], block);
      if (block != NULL)
        {
          verify (block);
          if (kind % 8 == 0)
            {
              size_t more = block->size + size;
              block = mrealloc (md, block, more);
              must (block != NULL);
              verify (block);
            }
          mfree (md, block);
        }
    }
  return NULL;
}

START_TEST (nothing_lost)
{
  seed = random_seed ();
  md = heap_new (_i);
  pthread_t thread[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    thread[i] = thread_start (worker, (void *) i);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  size_t live = 0;
  for (int i = 0; i < SLOTS; i++)
    if (slots[i] != NULL)
      {
        verify (slots[i]);
        live++;
      }
  ck_assert_uint_eq (heap_stats (md).blocks_live, live);
  heap_is_whole (md);
  for (int i = 0; i < SLOTS; i++)
    mfree (md, slots[i]);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (nothing_lost)
