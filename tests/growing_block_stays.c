/* A block that grows again and again is moved a few times while it is small
   and then grows where it is.  Not every block gets room for that: only one
   that is growing just now.  */

#include "support.h"

enum { SMALL = 1500 };

/* How often a block moves on its way from 16 bytes to a MiB, by half each
   time, and whereto; once it has LEAST bytes it must stay.  */
static unsigned
moves (void *md, size_t least, char *where[])
{
  unsigned n = 0;
  char *block = mmalloc (md, 16);
  must (block != NULL);
  for (size_t size = 16; size < MIB (1); )
    {
      size_t old = size;
      size += size / 2;
      char *now = mrealloc (md, block, size);
      must (now != NULL);
      must (now == block || old < least);
      if (now != block)
        where[n++] = now;
      block = now;
      block[size - 1] = 1;
    }
  mfree (md, block);
  return n;
}

/* When it has gone, the next one goes the same way: they do not wander off to
   memory that nobody has touched.  */
START_TEST (alone)
{
  if (UNDER_ASAN)
    {
      skip ("for AddressSanitizer no block comes back at once");
      return;
    }
  void *md = heap_new (_i);
  size_t least = _i == IN_FILE ? KIB (4) : KIB (1);
  char *first[64] = { NULL }, *where[64] = { NULL };
  for (int round = 0; round < 10; round++)
    {
      ck_assert_uint_le (moves (md, round > 0 ? least : MIB (1), where), 20);
      if (round < 4)
        memcpy (first, where, sizeof where);
      for (int i = 0; i < 64; i++)
        ck_assert_ptr_eq (where[i], first[i]);
    }
  heap_end (md);
}
END_TEST

/* The slot call does the same.  */
START_TEST (in_a_slot)
{
  void *md = heap_new (_i);
  void **slot = mcalloc (md, 1, sizeof *slot);
  unsigned n = 0;
  must (slot != NULL);
  for (size_t size = 16; size < MIB (1); size += size / 2)
    {
      void *before = *slot;
      ck_assert_int_eq (mrealloc_in (md, slot, size), 0);
      n += *slot != before;
    }
  ck_assert_uint_le (n, 16);
  heap_end (md);
}
END_TEST

static void *
trims (void *md)
{
  mmalloc_trim (md);
  return NULL;
}

/* What a growing block leaves in a page that is in no bin any more is not
   handed out: the page may go.  */
START_TEST (not_out_of_a_page_that_was_dropped)
{
  pthread_t thread;
  void *md = heap_new (_i);
  char *block = mmalloc (md, 100);
  mmalloc_trim (md);
  block = mrealloc (md, block, 500);
  must (block != NULL);
  must (pthread_create (&thread, NULL, trims, md) == 0
        && pthread_join (thread, NULL) == 0);
  char *next = mmalloc (md, 100);
  ck_assert_uint_ge (mmalloc_usable_size (md, next), 100);
  mfree (md, next);
  mfree (md, block);
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

START_TEST (only_one_at_a_time)
{
  void *md = heap_new (_i);
  char *block[100];
  size_t size = _i == IN_FILE ? 4 * SMALL : SMALL;
  for (int i = 0; i < 100; i++)
    {
      block[i] = mmalloc (md, 100);
      block[i] = mrealloc (md, block[i], size);
      must (block[i] != NULL);
      block_fill (block[i], size, (size_t) i);
    }
  struct mmalloc_stats s = heap_stats (md);
  ck_assert_uint_le (s.classes[s.n_classes - 1].blocks_live, 1);
  for (int i = 0; i < 100; i++)
    {
      must (block_holds (block[i], size, (size_t) i));
      mfree (md, block[i]);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

/* What has room gives it up when it is made small.  */
START_TEST (small_again)
{
  void *md = heap_new (_i);
  char *block = mrealloc (md, mmalloc (md, 100), KIB (8));
  must (block != NULL);
  block_fill (block, 96, 1);
  block = mrealloc (md, block, 100);
  ck_assert_uint_lt (mmalloc_usable_size (md, block), 200);
  must (block_holds (block, 96, 1));
  mfree (md, block);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (alone, in_a_slot, not_out_of_a_page_that_was_dropped,
                  only_one_at_a_time, small_again)
