/* Sizes that cannot be, and products and sums that overflow, are refused; the
   heap does not change.  */

#include "support.h"

static const size_t huge[] = {
  SIZE_MAX, SIZE_MAX - 1, SIZE_MAX - 7, SIZE_MAX - 14, SIZE_MAX - 15,
  SIZE_MAX - 16, SIZE_MAX - 31, SIZE_MAX - 4094, SIZE_MAX - 4095,
  SIZE_MAX - 4096, SIZE_MAX - 65535, SIZE_MAX - (1ul << 25),
  SIZE_MAX - (1ul << 30), SIZE_MAX / 2 + 2, (size_t) PTRDIFF_MAX + 1,
  PTRDIFF_MAX, PTRDIFF_MAX - 15, PTRDIFF_MAX - 4096, (size_t) 1 << 62,
  (size_t) 1 << 56, (size_t) 1 << 48, (size_t) 1 << 47
};
enum { N = sizeof huge / sizeof *huge };

/* Beyond the address space there is no memory; below, the heap is full.  */
static void
refused (void *md, const void *got, size_t size)
{
  int code = errno;
  ck_assert_msg (got == NULL, "a block of %zu", size);
  if (size > PTRDIFF_MAX)
    ck_assert_int_eq (code, ENOMEM);
  else
    ck_assert_msg (code == ENOMEM || code == ENOSPC, "%zu: %d", size, code);
  ck_assert_int_eq (mmalloc_errno (md), code);
}

START_TEST (sizes)
{
  void *md = heap_new (_i);
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  for (int i = 0; i < N; i++)
    {
      size_t size = any_size (huge[i]);
      refused (md, mmalloc (md, size), size);
      refused (md, mcalloc (md, 1, size), size);
      refused (md, mcalloc (md, size, 1), size);
      refused (md, mrealloc (md, NULL, size), size);
      refused (md, mrealloc (md, block, size), size);
      refused (md, mreallocarray (md, block, 1, size), size);
      refused (md, mvalloc (md, size), size);
      for (size_t alignment = 1; alignment <= GIB (1); alignment *= 2)
        refused (md, mmemalign (md, alignment, size), size);
    }
  must (block_holds (block, 1000, 1));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
}
END_TEST

START_TEST (products)
{
  static const size_t factors[][2] = {
    { SIZE_MAX, 2 }, { SIZE_MAX / 2 + 1, 2 }, { SIZE_MAX / 3 + 1, 3 },
    { (size_t) 1 << 32, (size_t) 1 << 32 }, { SIZE_MAX, SIZE_MAX },
    { ((size_t) 1 << 32) + 1, ((size_t) 1 << 32) - 1 },
    { SIZE_MAX / 16 + 2, 16 }, { (size_t) 1 << 63, 2 },
    { (size_t) 1 << 60, 17 }
  };
  void *md = heap_new (_i);
  char *block = mmalloc (md, 1000);
  for (size_t i = 0; i < sizeof factors / sizeof *factors; i++)
    {
      size_t a = any_size (factors[i][0]), b = any_size (factors[i][1]);
      must_fail (md, mcalloc (md, a, b), ENOMEM);
      must_fail (md, mcalloc (md, b, a), ENOMEM);
      must_fail (md, mreallocarray (md, NULL, a, b), ENOMEM);
      must_fail (md, mreallocarray (md, block, b, a), ENOMEM);
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
}
END_TEST

START_TEST (more_than_the_reservation)
{
  void *md = heap_new (_i);
  size_t capacity = heap_stats (md).capacity;
  refused (md, mmalloc (md, capacity), capacity);
  refused (md, mmalloc (md, capacity + 1), capacity);
  refused (md, mmemalign (md, GIB (1), capacity - 1), capacity);
  char *block = mmalloc (md, 100);
  ck_assert_ptr_nonnull (block);
  block_fill (block, 100, 1);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (sizes, products, more_than_the_reservation)
