/* Memory is there for what runs before main: code that chooses functions while
   the loader relocates the program, when thread-local variables do not work
   yet, and constructors, of which one registers fork handlers.  */

#include "tests/preload_support.h"

static void *block[8];
static int n_blocks, wrong;

/* One of each kind of call; the blocks are used and freed later.  */
static void
use (size_t size)
{
  char *p = malloc (size), *q = calloc (size, 2), *r = malloc (1);
  wrong |= p == NULL || q == NULL || r == NULL || p == q;
  if (wrong)
    return;
  for (size_t i = 0; i < 2 * size; i++)
    wrong |= q[i] != 0;
  memset (p, 'p', size);
  memset (q, 'q', 2 * size);
  r[0] = 'r';
  r = realloc (r, 3 * size);
  wrong |= r == NULL || r[0] != 'r' || malloc_usable_size (r) < 3 * size;
  free (NULL);
  free (any_ptr (malloc (size)));
  block[n_blocks++] = p;
  block[n_blocks++] = q;
  free (r);
}

static int answer_42 (void) { return 42; }

/* Run by the loader.  Where it can call nothing outside of the program yet, or
   a sanitizer is not there yet, the test is of constructors alone.  */
#if defined __GLIBC__ && defined __x86_64__ && !UNDER_SANITIZER
__attribute__ ((used)) static int (*choose (void)) (void)
{
  use (24);
  for (size_t align = 32; align <= 4096; align *= 2)
    {
      void *aligned = aligned_alloc (align, 10);
      wrong |= aligned == NULL || !is_aligned (aligned, align);
      free (aligned);
    }
  return answer_42;
}
int answer (void) __attribute__ ((ifunc ("choose")));
enum { EXPECTED = 6 };
#else
static int answer (void) { return answer_42 (); }
enum { EXPECTED = 4 };
#endif

static size_t handled;

static void
handle (void)
{
  handled++;
  free (any_ptr (malloc (handled * 1000)));
}

__attribute__ ((constructor (101))) static void
construct_first (void)
{
  use (48);
  wrong |= pthread_atfork (handle, handle, handle) != 0;
}

__attribute__ ((constructor)) static void
construct_last (void)
{
  use (4000);
}

START_TEST (blocks_from_before_main)
{
  ck_assert_int_eq (answer (), 42);
  ck_assert_int_eq (wrong, 0);
  ck_assert_int_eq (n_blocks, EXPECTED);
  for (int i = 0; i < n_blocks; i++)
    {
      size_t size = malloc_usable_size (block[i]);
      char c = i % 2 ? 'q' : 'p', *p = block[i];
      ck_assert (is_aligned (p, 16));
      ck_assert_uint_ge (size, i % 2 ? 48 : 24);
      ck_assert (p[0] == c && p[23] == c);
      if (i % 3 == 0)
        free (p);
      else if (i % 3 == 1)
        ck_assert_ptr_null (any_ptr (realloc (p, 0)));
      else
        {
          p = realloc (p, 9000);
          ck_assert_ptr_nonnull (p);
          ck_assert (p[0] == c && p[23] == c && malloc_usable_size (p) >= 9000);
          free (p);
        }
    }
}
END_TEST

RUN_PRELOADED (blocks_from_before_main)
