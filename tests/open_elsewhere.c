/* MMALLOC_ELSEWHERE: for looking into a heap whose address is taken, or which
   is attached already.  */

#include "support.h"

enum { N = 500 };
static char *md;
static char *blocks[N];

static void
make (void)
{
  md = heap_file ();
  for (size_t i = 0; i < N; i++)
    {
      blocks[i] = mmalloc (md, 10 * (i + 1));
      must (blocks[i] != NULL);
      block_fill (blocks[i], 10 * (i + 1), i);
    }
  ck_assert_int_eq (mmalloc_setkey (md, 2, blocks[3]), 1);
  ck_assert_int_eq (mmalloc_setroot (md, "root", blocks[5]), 0);
}

static int
see (void *block, size_t size, void *arg)
{
  char *base = *(char **) arg;
  ck_assert_ptr_eq (mmalloc_find (block), base);
  ck_assert_uint_eq (mmalloc_usable_size (base, block), size);
  size_t i = 0;
  while (i < N && (char *) block - base != blocks[i] - md)
    i++;
  must (i < N && size >= 10 * (i + 1));
  must (block_holds (block, 10 * (i + 1), i));
  return 0;
}

static void
look (void)
{
  char *other = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
  ck_assert_msg (other != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_ptr_ne (other, md);
  ck_assert_int_eq (mmalloc_walk (other, see, &other), 0);
  ck_assert_uint_eq (heap_stats (other).blocks_live, N);
  ck_assert_ptr_eq (mmalloc_getkey (other, 2), blocks[3]);
  ck_assert_ptr_nonnull (mmalloc_getroot (other, "root"));
  must_fail (other, mmalloc (other, 1), EROFS);
  heap_end (other);
}

START_TEST (address_taken)
{
  make ();
  heap_end (md);
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  char *there = mmap (md, page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                      0);
  ck_assert_ptr_eq (there, md);
  memset (there, 7, page);
  look ();
  for (size_t i = 0; i < page; i++)
    must (there[i] == 7);
}
END_TEST

START_TEST (attached_already)
{
  make ();
  look ();
  void *more = mmalloc (md, MIB (40));
  ck_assert_ptr_nonnull (more);
  mfree (md, more);
  look ();
  heap_end (md);
}
END_TEST

RUN_TESTS (address_taken, attached_already)
