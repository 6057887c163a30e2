/* mmalloc_to, mrealloc_in, mfree_from, mmalloc_move: block and slot change
   together, for blocks of every kind; what a failing call leaves.
   mmalloc_publish.  */

#include "support.h"

/* A small block, one of whole slices, and one in chunks of its own.  */
static const size_t sizes[] = { 1, 100, KIB (30), KIB (300), MIB (20) };
enum { N_SIZES = sizeof sizes / sizeof sizes[0] };

static size_t
live (void *md)
{
  struct mmalloc_stats st;
  ck_assert_int_eq (mmalloc_stats (md, &st), 0);
  return st.blocks_live;
}

START_TEST (make_and_free)
{
  void *md = heap_new (_i);
  void **slot = mcalloc (md, 4, sizeof *slot);
  size_t before = live (md);
  for (int i = 0; i < N_SIZES; i++)
    {
      ck_assert_int_eq (mmalloc_to (md, &slot[1], sizes[i]), 0);
      ck_assert_uint_ge (mmalloc_usable_size (md, slot[1]), sizes[i]);
      memset (slot[1], 1, sizes[i]);
      ck_assert_uint_eq (live (md), before + 1);
      ck_assert_int_eq (mfree_from (md, &slot[1]), 0);
      ck_assert_ptr_null (slot[1]);
      ck_assert_uint_eq (live (md), before);
    }
  ck_assert_int_eq (mfree_from (md, &slot[1]), 0);
  slot[1] = slot;
  ck_assert_int_eq (mmalloc_to (md, &slot[1], 0), 0);
  ck_assert_ptr_null (slot[1]);
  ck_assert_ptr_null (slot[0]);
  ck_assert_ptr_null (slot[2]);
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  heap_end (md);
}
END_TEST

START_TEST (resize_between_all_kinds)
{
  void *md = heap_new (_i);
  void **slot = mcalloc (md, 1, sizeof *slot);
  size_t before = live (md);
  for (int i = 0; i < N_SIZES; i++)
    for (int j = 0; j < N_SIZES; j++)
      {
        size_t both = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
        ck_assert_int_eq (mrealloc_in (md, slot, sizes[i]), 0);
        memset (*slot, i + 1, sizes[i]);
        ck_assert_int_eq (mrealloc_in (md, slot, sizes[j]), 0);
        ck_assert_uint_ge (mmalloc_usable_size (md, *slot), sizes[j]);
        for (size_t k = 0; k < both; k += 97)
          must (((char *) *slot)[k] == i + 1);
        ck_assert_uint_eq (live (md), before + 1);
        ck_assert_int_eq (mrealloc_in (md, slot, 0), 0);
        ck_assert_ptr_null (*slot);
        ck_assert_uint_eq (live (md), before);
      }
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  ck_assert_int_eq (mmalloc_recover (md), 0);
  heap_end (md);
}
END_TEST

START_TEST (failing_calls_leave_the_slot)
{
  void *md = heap_new (_i);
  void **slot = mcalloc (md, 2, sizeof *slot);
  void *on_stack = NULL, *old;
  ck_assert_int_eq (mmalloc_to (md, slot, 100), 0);
  old = *slot;
  memset (old, 7, 100);
  must_fail (md, mmalloc_to (md, slot, SIZE_MAX) == 0 ? md : NULL,
             ENOMEM);
  must_fail (md, mrealloc_in (md, slot, SIZE_MAX) == 0 ? md : NULL,
             ENOMEM);
  ck_assert_ptr_eq (*slot, old);
  for (int i = 0; i < 100; i++)
    must (((char *) old)[i] == 7);
  must_fail (md, mmalloc_to (md, &on_stack, 8) == 0 ? md : NULL, EINVAL);
  must_fail (md, mmalloc_to (md, NULL, 8) == 0 ? md : NULL, EINVAL);
  must_fail (md, mfree_from (md, (void **) (void *) ((char *) slot + 4)) == 0
                 ? md : NULL, EINVAL);
  mfree (md, slot);
  must_fail (md, mmalloc_to (md, slot, 8) == 0 ? md : NULL, EINVAL);
  ck_assert_ptr_null (on_stack);
  heap_end (md);
}
END_TEST

START_TEST (move)
{
  void *md = heap_new (_i);
  void **slot = mcalloc (md, 4, sizeof *slot);
  for (int i = 0; i < N_SIZES; i++)
    {
      ck_assert_int_eq (mmalloc_to (md, &slot[1], sizes[i]), 0);
      void *p = slot[1];
      memset (p, i + 1, sizes[i]);
      size_t before = live (md);
      ck_assert_int_eq (mmalloc_move (md, &slot[2], &slot[1]), 0);
      ck_assert_ptr_null (slot[1]);
      ck_assert_ptr_eq (slot[2], p);
      /* Once more, as after a restart.  */
      ck_assert_int_eq (mmalloc_move (md, &slot[2], &slot[1]), 0);
      ck_assert_ptr_eq (slot[2], p);
      /* Onto itself.  */
      ck_assert_int_eq (mmalloc_move (md, &slot[2], &slot[2]), 0);
      ck_assert_ptr_eq (slot[2], p);
      ck_assert_uint_eq (live (md), before);
      for (size_t k = 0; k < sizes[i]; k += 97)
        must (((char *) p)[k] == i + 1);
      ck_assert_int_eq (mfree_from (md, &slot[2]), 0);
    }
  ck_assert_ptr_null (slot[0]);
  ck_assert_ptr_null (slot[3]);
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  heap_end (md);
}
END_TEST

/* What the slot held is neither looked at nor freed: a list gets a new front,
   and loses it.  */
START_TEST (move_over_a_value)
{
  struct item { struct item *next; } *item;
  struct { struct item *first, *spare; } *l;
  void *md = heap_new (_i);
  l = mcalloc (md, 1, sizeof *l);
  size_t before = live (md);
  for (size_t n = 1; n <= 3; n++)
    {
      ck_assert_int_eq (mmalloc_to (md, (void **) &l->spare, 16), 0);
      item = l->spare;
      item->next = l->first;
      ck_assert_int_eq (mmalloc_move (md, (void **) &l->first,
                                      (void **) &l->spare), 0);
      ck_assert_ptr_eq (l->first, item);
      ck_assert_ptr_null (l->spare);
      ck_assert_uint_eq (live (md), before + n);
    }
  for (size_t n = 3; n-- > 0;)
    {
      item = l->first->next;
      ck_assert_int_eq (mmalloc_move (md, (void **) &l->spare,
                                      (void **) &l->first), 0);
      ck_assert_int_eq (mmalloc_move (md, (void **) &l->first,
                                      (void **) &l->spare->next), 0);
      ck_assert_ptr_eq (l->first, item);
      ck_assert_int_eq (mfree_from (md, (void **) &l->spare), 0);
      ck_assert_uint_eq (live (md), before + n);
    }
  ck_assert_ptr_null (l->first);
  heap_end (md);
}
END_TEST

START_TEST (failing_moves_leave_both)
{
  void *md = heap_new (_i), *on_stack = NULL, *p;
  void **slot = mcalloc (md, 2, sizeof *slot);
  ck_assert_int_eq (mmalloc_to (md, slot, 100), 0);
  p = slot[0];
  must_fail (md, mmalloc_move (md, &on_stack, slot) == 0 ? md : NULL, EINVAL);
  ck_assert_ptr_null (on_stack);
  on_stack = p;
  must_fail (md, mmalloc_move (md, &slot[1], &on_stack) == 0 ? md : NULL,
             EINVAL);
  must_fail (md, mmalloc_move (md, NULL, slot) == 0 ? md : NULL, EINVAL);
  must_fail (md, mmalloc_move (md, slot, NULL) == 0 ? md : NULL, EINVAL);
  must_fail (md, mmalloc_move (md, (void **) (void *) ((char *) slot + 4),
                               slot) == 0 ? md : NULL, EINVAL);
  void **gone = mcalloc (md, 1, sizeof *gone);
  mfree (md, gone);
  must_fail (md, mmalloc_move (md, gone, slot) == 0 ? md : NULL, EINVAL);
  ck_assert_ptr_eq (on_stack, p);
  ck_assert_ptr_eq (slot[0], p);
  ck_assert_ptr_null (slot[1]);
  heap_end (md);
}
END_TEST

START_TEST (publish)
{
  struct item { struct item *next; long n; short s; } *item;
  void *md = heap_new (_i);
  item = mcalloc (md, 2, sizeof *item);
  struct item *at = item;
  mmalloc_publish (&(at++)->next, &item[1]);
  ck_assert_ptr_eq (at, &item[1]);
  ck_assert_ptr_eq (item->next, &item[1]);
  at = item;
  mmalloc_publish (&item->n, (at++)->n + 5);
  ck_assert_ptr_eq (at, &item[1]);
  ck_assert_int_eq (item->n, 5);
  mmalloc_publish (&item->s, (short) 7);
  ck_assert_int_eq (item->s, 7);
  mmalloc_publish (&item->next, NULL);
  ck_assert_ptr_null (item->next);
  heap_end (md);
}
END_TEST

static int misused;

static void
note_misuse (const char *call, void *md, const void *ptr, const char *what,
             void *arg)
{
  (void) md, (void) ptr, (void) what, (void) arg;
  misused += strcmp (call, "mfree_from") == 0
             || strcmp (call, "mrealloc_in") == 0
             || strcmp (call, "mmalloc_move") == 0;
}

START_TEST (slot_without_a_block_is_misuse)
{
  void *md = heap_new (_i);
  void **slot = mcalloc (md, 2, sizeof *slot);
  char *block = mmalloc (md, 100);
  mmalloc_onmisuse (note_misuse, NULL);
  *slot = block + 16;
  must_fail (md, mfree_from (md, slot) == 0 ? md : NULL, EINVAL);
  must_fail (md, mrealloc_in (md, slot, 5) == 0 ? md : NULL, EINVAL);
  ck_assert_int_eq (misused, 2);
  ck_assert_ptr_eq (*slot, block + 16);
  mfree (md, block);
  *slot = block;
  must_fail (md, mfree_from (md, slot) == 0 ? md : NULL, EINVAL);
  must_fail (md, mmalloc_move (md, &slot[1], slot) == 0 ? md : NULL, EINVAL);
  ck_assert_int_eq (misused, 4);
  ck_assert_ptr_null (slot[1]);
  heap_end (md);
}
END_TEST

START_TEST (guards)
{
  void *md = heap_new (_i);
  ck_assert_int_eq (mmcheck (md, NULL), 1);
  void **slot = mcalloc (md, 2, sizeof *slot);
  for (int i = 0; i < N_SIZES; i++)
    {
      ck_assert_int_eq (mrealloc_in (md, slot, sizes[i]), 0);
      memset (*slot, 1, sizes[i]);
      ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
    }
  ck_assert_int_eq (mmalloc_move (md, &slot[1], slot), 0);
  ck_assert_int_eq (mfree_from (md, &slot[1]), 0);
  heap_end (md);
}
END_TEST

/* More threads than records, all blocks freed by others than their owners.  */
enum { THREADS = 70, ROUNDS = 300 };
static void *shared_md;
static void **exchange;
static pthread_mutex_t turn[THREADS];

static void *
trader (void *arg)
{
  size_t me = (size_t) (uintptr_t) arg;
  for (size_t i = 0; i < ROUNDS; i++)
    {
      size_t n = (me + i * 7) % THREADS;
      pthread_mutex_lock (&turn[n]);
      must (mfree_from (shared_md, &exchange[n]) == 0);
      must (mmalloc_to (shared_md, &exchange[n], 16 + i % 500) == 0);
      must (mrealloc_in (shared_md, &exchange[n], 900 - i % 500) == 0);
      must (mmalloc_move (shared_md, &exchange[THREADS + n], &exchange[n])
            == 0);
      must (mmalloc_move (shared_md, &exchange[n], &exchange[THREADS + n])
            == 0);
      pthread_mutex_unlock (&turn[n]);
    }
  return NULL;
}

START_TEST (more_threads_than_records)
{
  pthread_t thread[THREADS];
  shared_md = heap_new (_i);
  exchange = mcalloc (shared_md, 2 * THREADS, sizeof *exchange);
  size_t before = live (shared_md);
  for (size_t i = 0; i < THREADS; i++)
    pthread_mutex_init (&turn[i], NULL);
  for (size_t i = 0; i < THREADS; i++)
    ck_assert_int_eq (pthread_create (&thread[i], NULL, trader,
                                      (void *) (uintptr_t) i), 0);
  for (size_t i = 0; i < THREADS; i++)
    pthread_join (thread[i], NULL);
  for (size_t i = 0; i < THREADS; i++)
    ck_assert_int_eq (mfree_from (shared_md, &exchange[i]), 0);
  ck_assert_uint_eq (live (shared_md), before);
  ck_assert_int_eq (mmalloc_check (shared_md, NULL, NULL), 0);
  heap_end (shared_md);
}
END_TEST

RUN_ON_EACH_HEAP (make_and_free, resize_between_all_kinds,
                  failing_calls_leave_the_slot, move, move_over_a_value,
                  failing_moves_leave_both, publish,
                  slot_without_a_block_is_misuse, guards,
                  more_threads_than_records)
