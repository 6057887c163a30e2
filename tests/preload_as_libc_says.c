/* malloc and its family keep to what C, POSIX and glibc say, where mmalloc.h
   says something else.  */

#include "tests/preload_support.h"

#include <dlfcn.h>

/* Of C23, and declared nowhere yet.  */
static void (*free_sized_) (void *, size_t);
static void (*free_aligned_sized_) (void *, size_t, size_t);

static void
find (const char *name, void *to)
{
  void *function = dlsym (RTLD_DEFAULT, name);
  ck_assert_msg (function != NULL, "%s is missing", name);
  memcpy (to, &function, sizeof function);
}

START_TEST (nothing_is_a_block)
{
  enum { N = 100 };
  void *block[N];
  for (int i = 0; i < N; i++)
    {
      size_t zero = any_size (0);
      block[i] = i % 4 == 0 ? malloc (zero) : i % 4 == 1 ? calloc (zero, 8)
                 : i % 4 == 2 ? realloc (NULL, zero)
                              : aligned_alloc (64, zero);
      must (block[i] != NULL && is_aligned (block[i], 16));
      for (int j = 0; j < i; j++)
        must (block[i] != block[j]);
    }
  for (int i = 0; i < N; i++)
    free (block[i]);
  void *p = NULL;
  ck_assert_int_eq (posix_memalign (&p, 64, any_size (0)), 0);
  ck_assert_ptr_nonnull (p);
  free (p);
}
END_TEST

START_TEST (resizing_to_nothing_frees)
{
  void *p = malloc (100);
  must_keep_errno (ck_assert_ptr_null (realloc (p, any_size (0))));
  /* The block is the next one of its size to be taken, sooner or later.  */
  void *again[1000];
  int found = 0;
  for (int i = 0; i < 1000; i++)
    found |= (again[i] = malloc (100)) == p;
  ck_assert (found);
  for (int i = 0; i < 1000; i++)
    free (again[i]);
}
END_TEST

#define has_no_memory(call) \
  do \
    { \
      errno = 0; \
      void *got_ = any_ptr (call); \
      ck_assert_msg (got_ == NULL && errno == ENOMEM, "%s: %p, errno %d", \
                     #call, got_, errno); \
    } \
  while (0)

START_TEST (too_much)
{
  size_t large = any_size (PTRDIFF_MAX), all = any_size (SIZE_MAX);
  char *p = malloc (10), *same = any_ptr (p);
  memset (p, 'x', 10);
  has_no_memory (malloc (large));
  has_no_memory (malloc (all));
  has_no_memory (malloc (large + 1));
  has_no_memory (calloc (all / 4 + 2, 4));
  has_no_memory (calloc (large, 1));
  has_no_memory (realloc (any_ptr (p), large));
  has_no_memory (realloc (NULL, all));
  has_no_memory (reallocarray (any_ptr (p), all / 4 + 2, 4));
  has_no_memory (reallocarray (NULL, all, all));
  char *array = reallocarray (NULL, 30, 100);
  must (array != NULL && malloc_usable_size (array) >= 3000);
  block_fill (array, 3000, 1);
  array = reallocarray (array, 500, 100);
  must (array != NULL && malloc_usable_size (array) >= 50000);
  must (block_holds (array, 3000, 1));
  free (array);
  has_no_memory (aligned_alloc (4096, all));
  has_no_memory (aligned_alloc (4096, large));
  has_no_memory (memalign (64, all));
  has_no_memory (memalign (all / 2 + 1, 1));
  has_no_memory (valloc (all));
  has_no_memory (pvalloc (all));
  has_no_memory (pvalloc (large));
  void *unchanged = same;
  errno = 0;
  ck_assert_int_eq (posix_memalign (&unchanged, 64, all), ENOMEM);
  ck_assert_int_eq (posix_memalign (&unchanged, (size_t) 1 << 50, 1), ENOMEM);
  ck_assert_int_eq (errno, 0);
  ck_assert_ptr_eq (unchanged, same);
  ck_assert_int_eq (memcmp (same, "xxxxxxxxxx", 10), 0);
  free (same);
}
END_TEST

START_TEST (alignments)
{
  for (size_t align = 1; align <= MIB (1); align *= 2)
    for (size_t size = 1; size < 100000; size = size * 3 + 1)
      {
        void *p[3] = { aligned_alloc (align, size), memalign (align, size) };
        must (posix_memalign (&p[2], align < 8 ? 8 : align, size) == 0);
        for (int i = 0; i < 3; i++)
          {
            must (p[i] != NULL && is_aligned (p[i], align)
                  && is_aligned (p[i], 16));
            must (malloc_usable_size (p[i]) >= size);
            memset (p[i], i, size);
          }
        for (int i = 0; i < 3; i++)
          free (p[i]);
      }
  void *p = memalign (any_size (48), 10);
  ck_assert (p != NULL && is_aligned (p, 64));
  free (p);
  free (memalign (any_size (0), 10));
}
END_TEST

START_TEST (wrong_alignments)
{
  static const size_t wrong[] = { 0, 3, 24, 48, 4097, SIZE_MAX };
  void *p = NULL;
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    {
      errno = 0;
      ck_assert_ptr_null (any_ptr (aligned_alloc (any_size (wrong[i]), 96)));
      ck_assert_int_eq (errno, EINVAL);
      ck_assert_int_eq (posix_memalign (&p, wrong[i], 96), EINVAL);
    }
  ck_assert_int_eq (posix_memalign (&p, 4, 96), EINVAL);
  ck_assert_ptr_null (p);
  errno = 0;
  ck_assert_ptr_null (any_ptr (memalign (any_size (SIZE_MAX), 1)));
  ck_assert_int_eq (errno, EINVAL);
}
END_TEST

START_TEST (pages)
{
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  for (size_t size = 0; size < 5 * page; size += page / 2 - 1)
    {
      void *p = valloc (size), *q = pvalloc (size);
      must (p != NULL && is_aligned (p, page));
      must (q != NULL && is_aligned (q, page));
      must (malloc_usable_size (p) >= size);
      must (malloc_usable_size (q) >= (size + page - 1) / page * page);
      free (p);
      free (q);
    }
}
END_TEST

START_TEST (errno_is_left_alone)
{
  char *p = malloc (100), *large = malloc (MIB (3));
  find ("free_sized", &free_sized_);
  find ("free_aligned_sized", &free_aligned_sized_);
  must_keep_errno (free (p));
  must_keep_errno (free (large));
  must_keep_errno (free (NULL));
  must_keep_errno (p = realloc (NULL, 20));
  must_keep_errno (p = realloc (p, 20000));
  must_keep_errno (free_sized_ (p, 20000));
  must_keep_errno (p = calloc (70, 1000));
  must_keep_errno (free (p));
  must_keep_errno (free_aligned_sized_ (aligned_alloc (64, 64), 64, 64));
  must_keep_errno (free_sized_ (NULL, 0));
  must_keep_errno (ck_assert_uint_eq (malloc_usable_size (NULL), 0));
}
END_TEST

START_TEST (all_zero)
{
  for (size_t size = 1; size < MIB (4); size = size * 2 + 1)
    for (int again = 0; again < 3; again++)
      {
        char *p = calloc (size, 1);
        must (p != NULL && block_is_zero (p, size));
        memset (p, 0xaa, size);
        free (p);
      }
}
END_TEST

START_TEST (trim_tells_whether)
{
  enum { N = 200 };
  char *block[N];
  for (int i = 0; i < N; i++)
    {
      block[i] = malloc (100000);
      memset (block[i], 1, 100000);
    }
  for (int i = 0; i < N; i++)
    free (block[i]);
  /* Nothing is allocated between the two, not even by an assertion.  */
  int first = malloc_trim (0), second = malloc_trim (0);
  ck_assert_int_eq (first, 1);
  ck_assert_int_eq (second, 0);
}
END_TEST

RUN_PRELOADED (nothing_is_a_block, resizing_to_nothing_frees, too_much,
               alignments, wrong_alignments, pages, errno_is_left_alone,
               all_zero, trim_tells_whether)
