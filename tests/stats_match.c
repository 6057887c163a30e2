/* mmalloc_stats and mmstats against the test's own books, at every step of a
   random life; and their numbers against each other.  */

#include "support.h"

enum { SLOTS = 600, TURNS = 6000 };
static void *slots[SLOTS];

static void
match (void *md, int kind, size_t blocks, size_t bytes)
{
  struct mmalloc_stats s = heap_stats (md);
  must (s.blocks_live == blocks);
  must (s.bytes_live == bytes);
  must (s.n_classes <= MMALLOC_CLASSES_MAX);
  size_t live = 0, free_blocks = 0, free_bytes = 0;
  for (size_t i = 0; i < s.n_classes; i++)
    {
      struct mmalloc_class_stats *c = &s.classes[i];
      for (size_t j = 0; j < i; j++)
        must (s.classes[j].block_size != c->block_size);
      must (c->block_size % 16 == 0);
      must (c->block_size != 0 || c->blocks_free == 0);
      live += c->blocks_live;
      free_blocks += c->blocks_free;
      free_bytes += c->blocks_free * c->block_size;
    }
  must (live == s.blocks_live);
  must (free_blocks == s.blocks_free);
  must (free_bytes <= s.bytes_free);
  must (s.largest_free <= s.bytes_free - free_bytes);
  must (s.bytes_meta > 0);
  must (s.bytes_live + s.bytes_free + s.bytes_meta <= s.bytes_backed);
  must (s.bytes_backed <= s.length);
  must (s.length <= s.capacity);
  for (int i = 0; i < 8; i++)
    must (s.reserved[i] == 0);
  if (kind == IN_FILE)
    {
      must (s.length == (size_t) file_length (temp_heap_path ()));
      must (s.file_bytes == (size_t) file_disk (temp_heap_path ()));
    }
  else
    must (s.file_bytes == 0);

  struct mstats old = mmstats (md);
  must (old.chunks_used == s.blocks_live);
  must (old.bytes_used == s.bytes_live);
  must (old.chunks_free >= s.blocks_free);
  must (old.bytes_free >= free_bytes);
  must (old.bytes_total >= old.bytes_used + old.bytes_free);
}

START_TEST (own_books)
{
  uint64_t state = random_seed ();
  void *md = heap_new (_i);
  size_t blocks = 0, bytes = 0;
  match (md, _i, 0, 0);
  for (int turn = 0; turn < TURNS; turn++)
    {
      void **slot = &slots[random_below (&state, SLOTS)];
      size_t kind = random_below (&state, 100);
      size_t size = 1 + random_below (&state, kind < 2 ? MIB (20)
                                      : kind < 10 ? 200000 : 2000);
      if (*slot != NULL)
        {
          bytes -= mmalloc_usable_size (md, *slot);
          blocks--;
        }
      if (*slot != NULL && kind % 2 == 0)
        {
          mfree (md, *slot);
          *slot = NULL;
        }
      else
        {
          *slot = kind % 16 == 1 && *slot == NULL
                  ? mmemalign (md, (size_t) 1 << kind % 13, size)
                  : mrealloc (md, *slot, size);
          must (*slot != NULL);
          bytes += mmalloc_usable_size (md, *slot);
          blocks++;
        }
      if (kind == 99)
        must (mmalloc_trim (md) >= 0);
      if (turn % 10 == 0)
        match (md, _i, blocks, bytes);
    }
  if (_i == IN_FILE)
    {
      heap_end (md);
      ck_assert_ptr_eq (heap_file (), md);
      match (md, _i, blocks, bytes);
    }
  for (int i = 0; i < SLOTS; i++)
    mfree (md, slots[i]);
  match (md, _i, 0, 0);
  heap_end (md);
}
END_TEST

START_TEST (before_first_use)
{
  struct mstats old = mmstats (NULL);
  ck_assert_uint_eq (old.chunks_used, 0);
  ck_assert_uint_eq (old.bytes_used, 0);
  ck_assert_uint_eq (heap_stats (NULL).blocks_live, 0);
}
END_TEST

START_TEST (largest_free_can_be_had)
{
  void *md = heap_limited (_i, MIB (16));
  if (_i == DEFAULT_HEAP)
    return;
  void *large = mmalloc (md, MIB (5));
  void *keep = mmalloc (md, KIB (100));
  ck_assert_ptr_nonnull (keep);
  memset (large, 1, MIB (5));
  mfree (md, large);
  size_t free_run = heap_stats (md).largest_free;
  ck_assert_uint_ge (free_run, MIB (5));
  size_t length = heap_stats (md).length;
  ck_assert_ptr_nonnull (mmalloc (md, free_run));
  ck_assert_uint_eq (heap_stats (md).length, length);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (own_books, before_first_use, largest_free_can_be_had)
