/* Pointers the heap never gave out: into blocks, into the library's own
   places, into nowhere.  Each is noticed and changes nothing.  */

#include "support.h"

static void *md;

static void
refused (const void *ptr)
{
  struct mmalloc_stats before = heap_stats (md);
  mfree (md, any_ptr (ptr));
  misuse_was ("mfree", ptr);
  must_give (mrealloc (md, any_ptr (ptr), 100) != NULL, 0, EINVAL);
  misuse_was ("mrealloc", ptr);
  ck_assert_int_eq (mmalloc_errno (md), EINVAL);
  must_give (mreallocarray (md, any_ptr (ptr), 10, 10) != NULL, 0, EINVAL);
  misuse_was ("mreallocarray", ptr);
  must_give (mrealloc (md, any_ptr (ptr), 0) != NULL, 0, EINVAL);
  misuse_was ("mrealloc", ptr);
  ck_assert_uint_eq (mmalloc_usable_size (md, any_ptr (ptr)), 0);
  misuse_was ("mmalloc_usable_size", ptr);
  struct mmalloc_stats after = heap_stats (md);
  ck_assert_uint_eq (after.blocks_live, before.blocks_live);
  ck_assert_uint_eq (after.bytes_live, before.bytes_live);
}

START_TEST (interior)
{
  static const size_t sizes[] = { 16, 100, 1000, 5000, 40000, MIB (1),
                                  MIB (40) };
  md = heap_new (_i);
  misuse_record ();
  for (int i = 0; i < 7; i++)
    {
      char *before = mmalloc (md, sizes[i]);
      char *block = mmalloc (md, sizes[i]);
      char *behind = mmalloc (md, sizes[i]);
      block_fill (block, sizes[i], 1);
      refused (block + 1);
      refused (block + 8);
      refused (block + sizes[i] - 1);
      refused (block + sizes[i] / 2 + 1);
      if (sizes[i] >= 100)
        refused (block + 16);
      if (sizes[i] > 4096)
        refused (block + 4096);
      if (sizes[i] > 16384)
        refused (block + 16384);
      if (sizes[i] > MIB (32))
        refused (block + MIB (32));
      must (block_holds (block, sizes[i], 1));
      mfree (md, before);
      mfree (md, block);
      mfree (md, behind);
      ck_assert_int_eq (misuse_seen.count, 0);
    }
  heap_end (md);
}
END_TEST

START_TEST (aligned_block)
{
  md = heap_new (_i);
  misuse_record ();
  char *block = mmemalign (md, 4096, 100);
  refused (block + 16);
  refused (block + 64);
  mfree (md, block);
  ck_assert_int_eq (misuse_seen.count, 0);
  refused (block);
  heap_end (md);
}
END_TEST

START_TEST (foreign)
{
  static int variable;
  int on_stack;
  md = heap_new (_i);
  void *other = mmalloc_open (NULL, 0, NULL);
  void *libcs = malloc (100), *others = mmalloc (other, 100);
  misuse_record ();
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  refused (&variable);
  refused (&on_stack);
  refused (libcs);
  refused (others);
  refused ((void *) 1);
  refused ((void *) 16);
  refused ((void *) -16);
  refused ((void *) -1);
  refused ((void *) INTPTR_MAX);
  ck_assert_uint_eq (heap_stats (other).blocks_live, 1);
  free (libcs);
  heap_end (other);
  heap_end (md);
}
END_TEST

START_TEST (metadata)
{
  md = heap_new (_i);
  misuse_record ();
  char *block = mmalloc (md, 100);
  char *large = mmalloc (md, MIB (50));
  char *base = mmalloc_find (block);
  ck_assert_ptr_nonnull (large);
  for (char *ptr = base; ptr < block - KIB (16); ptr += 4096)
    refused (ptr);
  refused (base + 16);
  refused (base + heap_stats (md).length - 16);
  refused (base + heap_stats (md).length + MIB (1));
  refused (base + heap_stats (md).capacity - 16);
  refused (base + heap_stats (md).capacity);
  mfree (md, block);
  mfree (md, large);
  ck_assert_int_eq (misuse_seen.count, 0);
  heap_end (md);
}
END_TEST

START_TEST (every_aligned_address)
{
  md = heap_limited (_i, MIB (1));
  if (_i == DEFAULT_HEAP)
    return;
  misuse_record ();
  char *block = mmalloc (md, 100);
  char *base = md;
  for (char *ptr = base; ptr < base + MIB (1); ptr += 16)
    if (ptr != block)
      {
        mfree (md, any_ptr (ptr));
        must (misuse_seen.count == 1);
        misuse_seen.count = 0;
      }
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  mfree (md, block);
  ck_assert_int_eq (misuse_seen.count, 0);
  heap_end (md);
}
END_TEST

/* What failed calls of mmap return is no descriptor.  */
START_TEST (no_descriptor)
{
  md = heap_new (_i);
  misuse_record ();
  char *block = mmalloc (md, 100);
  heap_end (md);
  mfree (NULL, NULL);
  mfree (MAP_FAILED, any_ptr (block));
  ck_assert_int_eq (misuse_seen.count, 1);
  must_fail (NULL, mmalloc (MAP_FAILED, 100), EINVAL);
  must_fail (NULL, mmalloc (MAP_FAILED, 100000), EINVAL);
}
END_TEST

/* Nor is it one when no heap is served in a hurry.  */
START_TEST (no_descriptor_with_guards)
{
  md = heap_new (_i);
  misuse_record ();
  ck_assert_int_eq (mmcheckf (md, NULL, 1), 1);
  char *block = mmalloc (md, 100);
  ck_assert_ptr_nonnull (block);
  mfree (MAP_FAILED, any_ptr (block));
  ck_assert_int_eq (misuse_seen.count, 1);
  for (size_t size = 16; size < 1000; size += 16)
    must_fail (NULL, mmalloc (MAP_FAILED, size), EINVAL);
  mfree (md, block);
  heap_end (md);
}
END_TEST

START_TEST (freed_block_resized)
{
  static const size_t sizes[] = { 16, 1000, 40000, MIB (40) };
  md = heap_new (_i);
  misuse_record ();
  for (int i = 0; i < 4; i++)
    {
      void *keep = mmalloc (md, sizes[i]);
      void *block = mmalloc (md, sizes[i]);
      mfree (md, block);
      refused (any_ptr (block));
      mfree (md, keep);
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (interior, aligned_block, foreign, metadata,
                  every_aligned_address, no_descriptor,
                  no_descriptor_with_guards, freed_block_resized)
