/* mmalloc_walk shows every live block once, with its size, and nothing
   else.  */

#include "support.h"

enum { N = 3000 };
static void *blocks[N];

struct walk
{
  void *md;
  size_t n, bytes;
  char seen[N];
};

static int
compare (const void *a, const void *b)
{
  uintptr_t x = (uintptr_t) *(void *const *) a;
  uintptr_t y = (uintptr_t) *(void *const *) b;
  return (x > y) - (x < y);
}

static int
see (void *block, size_t size, void *arg)
{
  struct walk *walk = arg;
  void **slot = bsearch (&block, blocks, N, sizeof *blocks, compare);
  must (slot != NULL && !walk->seen[slot - blocks]);
  must (size == mmalloc_usable_size (walk->md, block));
  walk->seen[slot - blocks] = 1;
  walk->n++;
  walk->bytes += size;
  return 0;
}

/* All blocks that are not NULL are seen; NULLs are sorted to the front.  */
static void
match (void *md)
{
  struct walk walk = { .md = md };
  size_t live = 0;
  qsort (blocks, N, sizeof *blocks, compare);
  for (size_t i = 0; i < N; i++)
    live += blocks[i] != NULL;
  ck_assert_int_eq (mmalloc_walk (md, see, &walk), 0);
  ck_assert_uint_eq (walk.n, live);
  ck_assert_uint_eq (walk.n, heap_stats (md).blocks_live);
  ck_assert_uint_eq (walk.bytes, heap_stats (md).bytes_live);
}

START_TEST (own_list)
{
  uint64_t state = random_seed ();
  void *md = heap_new (_i);
  match (md);
  for (size_t i = 0; i < N; i++)
    {
      size_t kind = random_below (&state, 300);
      size_t size = 1 + random_below (&state, kind == 0 ? MIB (40)
                                      : kind < 20 ? 100000 : 3000);
      blocks[i] = kind % 16 == 1
                  ? mmemalign (md, (size_t) 1 << kind % 15, size)
                  : mmalloc (md, size);
      must (blocks[i] != NULL);
    }
  match (md);
  for (size_t left = N; left > 100; left /= 2)
    {
      for (size_t i = 0; i < N; i++)
        if (blocks[i] != NULL && random_below (&state, 2) == 0)
          {
            mfree (md, blocks[i]);
            blocks[i] = NULL;
          }
      match (md);
      ck_assert_int_ge (mmalloc_trim (md), 0);
      match (md);
      if (_i == IN_FILE)
        {
          heap_end (md);
          ck_assert_ptr_eq (heap_file (), md);
          match (md);
        }
    }
  heap_end (md);
}
END_TEST

static int
stop_at_third (void *block, size_t size, void *arg)
{
  (void) block, (void) size;
  return ++*(int *) arg == 3 ? -7 : 0;
}

START_TEST (ends_early)
{
  void *md = heap_new (_i);
  int calls = 0;
  ck_assert_int_eq (mmalloc_walk (md, stop_at_third, &calls), 0);
  for (int i = 0; i < 10; i++)
    ck_assert_ptr_nonnull (mmalloc (md, 100));
  ck_assert_int_eq (mmalloc_walk (md, stop_at_third, &calls), -7);
  ck_assert_int_eq (calls, 3);
  heap_end (md);
}
END_TEST

static int
free_it (void *block, size_t size, void *arg)
{
  void *md = arg;
  mfree (md, block);
  mfree (md, mmalloc (md, size));
  return 0;
}

START_TEST (function_uses_the_heap)
{
  void *md = heap_new (_i);
  for (size_t i = 0; i < 2000; i++)
    ck_assert_ptr_nonnull (mmalloc (md, 1 + i * 13 % 5000));
  ck_assert_ptr_nonnull (mmalloc (md, MIB (50)));
  ck_assert_int_eq (mmalloc_walk (md, free_it, md), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (own_list, ends_early, function_uses_the_heap)
