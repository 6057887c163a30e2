/* A program that locks its memory or limits its address space: what the heap
   has set aside to grow into does not count, and the heap grows within the
   limits.  */

#include "tests/preload_support.h"

#include <sys/mman.h>

enum { BLOCKS = 20, NOT_HERE = 77 };

static char *block[BLOCKS];
static size_t unit = MIB (1);   /* of all sizes */

/* Blocks of all sizes, with small ones that need pages of their own.  */
static void
use_blocks (void)
{
  for (int i = 0; i < BLOCKS; i++)
    {
      block[i] = malloc (unit);
      ck_assert_ptr_nonnull (block[i]);
      block_fill (block[i], unit, (size_t) i);
      for (int j = 0; j < 100; j++)
        {
          char *small = malloc ((size_t) j + 1);
          ck_assert_ptr_nonnull (small);
          memset (small, 1, (size_t) j + 1);
        }
    }
}

static void
blocks_hold (void)
{
  for (int i = 0; i < BLOCKS; i++)
    must (block_holds (block[i], unit, (size_t) i));
}

/* A block of N units is refused, and all goes on.  */
static void
refused (size_t n)
{
  errno = 0;
  ck_assert_ptr_null (malloc (n * unit));
  ck_assert_int_eq (errno, ENOMEM);
  char *p = malloc (unit);
  ck_assert_ptr_nonnull (p);
  block_fill (p, unit, 77);
  must (block_holds (p, unit, 77));
  blocks_hold ();
  free (p);
}

/* The program and its libraries take some of what may be locked, which is 256
   units.  */
static void
locking (void *flags)
{
  struct rlimit r;
  ck_assert_int_eq (getrlimit (RLIMIT_MEMLOCK, &r), 0);
  if (r.rlim_max < MIB (8))
    _exit (NOT_HERE);
  if (r.rlim_max > MIB (64))
    r.rlim_max = MIB (64);
  r.rlim_cur = r.rlim_max;
  ck_assert_int_eq (setrlimit (RLIMIT_MEMLOCK, &r), 0);
  unit = r.rlim_max / 256 / 4096 * 4096;
  become_nobody ();
  ck_assert_ptr_nonnull (malloc (1000));
  errno = 0;
  ck_assert_msg (mlockall ((int) (size_t) flags) == 0, "mlockall: %s",
                 strerror (errno));
  use_blocks ();
  blocks_hold ();
  if ((size_t) flags & MCL_FUTURE)
    refused (512);
  ck_assert_int_eq (munlockall (), 0);
  char *large = malloc (512 * unit);
  ck_assert_ptr_nonnull (large);
  block_fill (large, 512 * unit, 5);
  blocks_hold ();
}

START_TEST (locked_memory)
{
  static const int flags[] = { MCL_CURRENT, MCL_FUTURE,
                               MCL_CURRENT | MCL_FUTURE };
  for (int i = 0; i < 3; i++)
    {
      int status = child_run (locking, (void *) (size_t) flags[i]);
      if (status == NOT_HERE)
        skip ("memory cannot be locked here");
      else
        ck_assert_int_eq (status, 0);
    }
}
END_TEST

/* Its stack needs address space, too.  */
static void *
other_thread (void *unused)
{
  char *p = malloc (MIB (2));
  ck_assert_ptr_nonnull (p);
  block_fill (p, MIB (2), 4);
  return unused;
}

static void
limiting (void *how)
{
  struct rlimit r = { MIB (500), RLIM_INFINITY }, old = { 0, 0 };
  ck_assert_ptr_nonnull (malloc (1000));
  if (how == NULL)
    ck_assert_int_eq (setrlimit (RLIMIT_AS, &r), 0);
  else
    {
      ck_assert_int_eq (prlimit (getpid (), RLIMIT_AS, NULL, &old), 0);
      ck_assert_uint_eq (old.rlim_cur, RLIM_INFINITY);
      ck_assert_int_eq (prlimit (0, RLIMIT_AS, &r, &old), 0);
    }
  ck_assert_int_eq (getrlimit (RLIMIT_AS, &old), 0);
  ck_assert_uint_eq (old.rlim_cur, MIB (500));
  use_blocks ();
  char *map = mmap (NULL, MIB (50), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert (map != MAP_FAILED);
  block_fill (map, MIB (50), 3);
  thread_end (thread_start (other_thread, NULL));
  refused (600);
  /* Without the limit it is as large as before.  */
  r.rlim_cur = RLIM_INFINITY;
  ck_assert_int_eq (setrlimit (RLIMIT_AS, &r), 0);
  char *large = malloc (MIB (600));
  ck_assert_ptr_nonnull (large);
  large[MIB (600) - 1] = 1;
  must (block_holds (map, MIB (50), 3));
  blocks_hold ();
}

START_TEST (address_space)
{
  for (size_t how = 0; how < 2; how++)
    ck_assert_int_eq (child_run (limiting, (void *) how), 0);
}
END_TEST

/* Who lies in the way of the growing heap stays as he is.  */
static void
in_the_way (void *unused)
{
  struct rlimit r = { GIB (1), RLIM_INFINITY };
  char *p = malloc (1000);
  size_t n = 0;
  (void) unused;
  ck_assert_int_eq (setrlimit (RLIMIT_AS, &r), 0);
  uintptr_t at = ((uintptr_t) p & ~(MIB (1) - 1)) + MIB (100);
  char *map = mmap ((void *) at, MIB (1), PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert_uint_eq ((uintptr_t) map, at);
  block_fill (map, MIB (1), 9);
  use_blocks ();
  while (n < 2000 && (p = malloc (KIB (100))) != NULL)
    {
      memset (p, 1, KIB (100));
      n++;
    }
  ck_assert_uint_gt (n, 400);
  must (block_holds (map, MIB (1), 9));
  blocks_hold ();
  ck_assert_ptr_nonnull (malloc (10));
}

START_TEST (others_stay)
{
  ck_assert_int_eq (child_run (in_the_way, NULL), 0);
}
END_TEST

RUN_PRELOADED (locked_memory, address_space, others_stay)
