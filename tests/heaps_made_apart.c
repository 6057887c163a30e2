/* Heaps that were made without knowing of each other are opened together.  The
   reservation of one may cover the place of another, not what is in use of
   it: who comes second gets the place, and the other one ends there.  */

#include "inside.h"

static uint64_t chance;

static int
by_address (const void *a, const void *b)
{
  uintptr_t x = *(const uintptr_t *) a, y = *(const uintptr_t *) b;
  return (x > y) - (x < y);
}

/* How many of a million sets of N heaps, each LENGTH bytes long, have two that
   lie one over the other, with places as the library draws them.  */
static double
sets_that_fail (size_t n, size_t length)
{
  enum { SETS = 20000 };
  uintptr_t base[100];
  size_t failed = 0;
  for (size_t set = 0; set < SETS; set++)
    {
      for (size_t i = 0; i < n; i++)
        base[i] = space_place (MM_RESERVE, random_next (&chance), false);
      qsort (base, n, sizeof *base, by_address);
      size_t i = 1;
      while (i < n && base[i] - base[i - 1] >= length)
        i++;
      failed += i < n;
    }
  printf ("%zu heaps of %5zu MiB: %.2f of 100 sets cannot be open together\n",
          n, length >> 20, (double) failed * 100 / SETS);
  return (double) failed * 1e6 / SETS;
}

START_TEST (places_are_many)
{
  if (_i > 0)
    return;
  chance = random_seed ();
  ck_assert (sets_that_fail (100, MIB (64)) < 10000);
  ck_assert (sets_that_fail (30, MIB (64)) < 1500);
  sets_that_fail (10, MIB (64));
  sets_that_fail (10, GIB (1));
  sets_that_fail (100, GIB (1));
  /* With all bits set the reservation ends in the area still.  */
  for (unsigned bit = 0; bit < 64; bit++)
    {
      uintptr_t p = space_place (MM_RESERVE, UINT64_MAX >> bit, false);
      must (p >= MM_AREA && p + MM_RESERVE <= MM_AREA_END);
      p = space_place (MM_RESERVE, UINT64_MAX >> bit, true);
      must (p >= MM_AREA_SMALL && p + MM_RESERVE <= MM_AREA_SMALL_END);
      must (is_aligned ((void *) p, MIB (32)));
    }
}
END_TEST

/* 100 heaps, one after the other in processes of their own, then all in one.
   */
enum { SET = 100 };

static void
maker (void *number)
{
  char name[20];
  snprintf (name, sizeof name, "heap %d", (int) (size_t) number);
  char *md = mmalloc_open (temp_path (name), MMALLOC_CREATE, NULL);
  char *block = mmalloc (md, KIB (100));
  ck_assert_ptr_nonnull (block);
  block_fill (block, KIB (100), (size_t) number);
  ck_assert_int_eq (mmalloc_setkey (md, 0, block), 1);
  heap_end (md);
}

START_TEST (a_hundred_at_once)
{
  char *md[SET], name[20];
  if (_i > 0 || under_a_tool ())
    return;
  for (size_t i = 0; i < SET; i++)
    ck_assert_int_eq (child_run (maker, (void *) i), 0);
  for (size_t i = 0; i < SET; i++)
    {
      struct mmalloc_info info;
      bool there = false;
      snprintf (name, sizeof name, "heap %zu", i);
      ck_assert_int_eq (mmalloc_probe (temp_path (name), -1, &info), 0);
      /* The same place twice is possible: as often as said above.  */
      for (size_t j = 0; j < i; j++)
        there |= md[j] == info.base;
      md[i] = mmalloc_open (temp_path (name), 0, NULL);
      ck_assert_msg ((md[i] != NULL) != there, "%zu: %s", i,
                     mmalloc_strerror (NULL));
    }
  for (size_t i = 0; i < SET; i++)
    if (md[i] != NULL)
      {
        char *block = mmalloc (md[i], MIB (1));
        ck_assert_ptr_nonnull (block);
        block_fill (block, MIB (1), i);
      }
  for (size_t i = 0; i < SET; i++)
    if (md[i] != NULL)
      {
        must (block_holds (mmalloc_getkey (md[i], 0), KIB (100), i));
        heap_end (md[i]);
      }
}
END_TEST

/* Heap "b", made 64 MiB behind the beginning of heap "a", which has 64 GiB.  */
static char *a, *b;

static void *
open_as (const char *name, int flags)
{
  return mmalloc_open (temp_path (name), flags, NULL);
}

static void
make_both (size_t used)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  a = open_as ("a", MMALLOC_CREATE);
  char *block = mmalloc (a, used);
  ck_assert_ptr_nonnull (block);
  block[used - 1] = 1;
  ck_assert_int_eq (mmalloc_setkey (a, 0, block), 1);
  heap_end (a);
  opt.base = a + MIB (64);
  b = mmalloc_open (temp_path ("b"), MMALLOC_CREATE, &opt);
  ck_assert_ptr_eq (b, a + MIB (64));
  block = mmalloc (b, MIB (1));
  block_fill (block, MIB (1), 7);
  ck_assert_int_eq (mmalloc_setkey (b, 0, block), 1);
  heap_end (b);
}

/* A ends where B begins and says so; B is as it was, and grows.  */
static void
both_work (void)
{
  char *blocks[100], why[200];
  const size_t size = MIB (1);
  size_t n = 0;
  while (n < 100 && (blocks[n] = mmalloc (a, size)) != NULL)
    {
      block_fill (blocks[n], size, n);
      must (blocks[n] + size <= b);
      n++;
    }
  ck_assert_int_eq (errno, ENOSPC);
  ck_assert_uint_ge (n, 20);
  ck_assert_uint_lt (n, 64);
  snprintf (why, sizeof why, "process %d", (int) getpid ());
  ck_assert_msg (strstr (mmalloc_strerror (a), why) != NULL, "%s",
                 mmalloc_strerror (a));
  must_fail (a, mmalloc (a, MIB (40)), ENOSPC);
  ck_assert_ptr_eq (mmalloc_find (b), b);
  ck_assert_ptr_eq (mmalloc_find (b - 1), a);
  misuse_record ();
  mfree (a, mmalloc_getkey (b, 0));
  misuse_was ("mfree", mmalloc_getkey (b, 0));
  char *large = mmalloc (b, MIB (100));
  ck_assert_ptr_nonnull (large);
  large[MIB (100) - 1] = 1;
  must (block_holds (mmalloc_getkey (b, 0), MIB (1), 7));
  for (size_t i = 0; i < n; i++)
    {
      must (block_holds (blocks[i], size, i));
      mfree (a, blocks[i]);
    }
  ck_assert_int_ge (mmalloc_trim (a), 0);
}

START_TEST (reservation_gives_way)
{
  make_both (KIB (100));
  /* The later one behind the other, and before it.  */
  if (_i == 0)
    a = open_as ("a", 0);
  ck_assert_ptr_eq (open_as ("b", 0), b);
  if (_i == 1)
    a = open_as ("a", 0);
  ck_assert_msg (a != NULL, "%s", mmalloc_strerror (NULL));
  both_work ();
  /* That was this process's limit, not the heap's; and it has the place again
     when the other one has gone.  */
  heap_end (b);
  if (_i == 0)
    {
      heap_end (a);
      a = open_as ("a", 0);
    }
  ck_assert_ptr_nonnull (mmalloc (a, MIB (200)));
  heap_end (a);
}
END_TEST

START_TEST (of_readers_and_copies)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_PRIVATE };
  make_both (KIB (100));
  for (int i = 0; i < 4; i++)
    {
      if (i % 2 == 0)
        a = open_as ("a", flags[i / 2]);
      ck_assert_ptr_eq (open_as ("b", flags[i / 2]), b);
      if (i % 2 == 1)
        a = open_as ("a", flags[i / 2]);
      ck_assert_msg (a != NULL, "%s", mmalloc_strerror (NULL));
      ck_assert_int_eq (((char *) mmalloc_getkey (a, 0))[KIB (100) - 1], 1);
      must (block_holds (mmalloc_getkey (b, 0), MIB (1), 7));
      if (flags[i / 2] == MMALLOC_PRIVATE)
        {
          ck_assert_ptr_nonnull (mmalloc (a, MIB (10)));
          ck_assert_ptr_null (mmalloc (a, MIB (100)));
          ck_assert_ptr_nonnull (mmalloc (b, MIB (100)));
        }
      heap_end (b);
      if (flags[i / 2] == MMALLOC_PRIVATE)
        memset (mmalloc (a, MIB (100)), 1, MIB (100));
      heap_end (a);
    }
}
END_TEST

/* What is in use gives no way.  */
START_TEST (blocks_give_no_way)
{
  make_both (KIB (100));
  a = open_as ("a", 0);
  char *block = mmalloc (a, MIB (70));
  ck_assert_ptr_nonnull (block);
  block_fill (block, MIB (70), 1);
  must_fail (NULL, open_as ("b", 0), EADDRINUSE);
  ck_assert_msg (strstr (mmalloc_strerror (NULL), temp_path ("a")) != NULL,
                 "%s", mmalloc_strerror (NULL));
  must (block_holds (block, MIB (70), 1));
  heap_end (a);
  ck_assert_ptr_eq (open_as ("b", 0), b);
  must_fail (NULL, open_as ("a", 0), EADDRINUSE);
  heap_end (b);
}
END_TEST

static void
narrow_process (void *unused)
{
  (void) unused;
  a = open_as ("a", 0);
  ck_assert_ptr_eq (open_as ("b", 0), b);
  baton_pass (baton);
  baton_wait (baton);
  heap_end (b);
  heap_end (a);
}

/* Other processes know where it ends.  */
START_TEST (others_stop_there)
{
  make_both (KIB (100));
  struct child child = child_start (narrow_process, NULL);
  baton_wait (child.baton);
  a = open_as ("a", 0);
  ck_assert_ptr_nonnull (mmalloc (a, MIB (20)));
  must_fail (a, mmalloc (a, MIB (100)), ENOSPC);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_ptr_nonnull (mmalloc (a, MIB (100)));
  heap_end (a);
}
END_TEST

/* A fork child is no user before its first call: meanwhile the heap grows
   beyond what it has.  */
static void
late_child (void *unused)
{
  (void) unused;
  ck_assert_ptr_eq (open_as ("b", 0), b);
  baton_pass (baton);
  baton_wait (baton);
  must_fail (a, mmalloc (a, 100), ENOMEM);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (a), "grew beyond"));
  ck_assert_ptr_nonnull (mmalloc (b, 100));
}

START_TEST (child_has_less)
{
  make_both (KIB (100));
  a = open_as ("a", 0);
  struct child child = child_start (late_child, NULL);
  baton_wait (child.baton);
  ck_assert_ptr_nonnull (mmalloc (a, MIB (100)));
  if (_i == 1)
    heap_end (a);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  if (_i == 0)
    heap_end (a);
}
END_TEST

/* A map file, and a new heap at a place that is given, as programs do that give
   each of their heaps its own.  */
static int
region_is_new (void *region, size_t size, enum mmalloc_region_why why,
               const char **reason, void *arg)
{
  (void) region, (void) size, (void) why, (void) reason, (void) arg;
  return 0;
}

START_TEST (for_others_too)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  a = open_as ("a", MMALLOC_CREATE);
  opt.base = a + MIB (64);
  b = mmalloc_open (temp_path ("b"), MMALLOC_CREATE, &opt);
  ck_assert_msg (b == opt.base, "%s", mmalloc_strerror (NULL));
  char *c = mmalloc_region_open (temp_path ("c"), MMALLOC_CREATE, a + MIB (32),
                                 MIB (1), region_is_new, NULL);
  ck_assert_msg (c == a + MIB (32), "%s", mmalloc_strerror (NULL));
  c[MIB (1) - 1] = 1;
  ck_assert_ptr_nonnull (mmalloc (a, MIB (20)));
  ck_assert_ptr_null (mmalloc (a, MIB (20)));
  ck_assert_int_eq (mmalloc_region_close (c), 0);
  ck_assert_ptr_nonnull (mmalloc (a, MIB (20)));
  ck_assert_ptr_null (mmalloc (a, MIB (40)));
  heap_end (b);
  ck_assert_ptr_nonnull (mmalloc (a, MIB (40)));
  heap_end (a);
}
END_TEST

/* What could not be opened needs no place.  */
static int
region_is_bad (void *region, size_t size, enum mmalloc_region_why why,
               const char **reason, void *arg)
{
  (void) region, (void) size, (void) why, (void) reason, (void) arg;
  return EBADMSG;
}

START_TEST (not_for_nothing)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  struct rlimit limit = { MIB (8), RLIM_INFINITY };
  a = open_as ("a", MMALLOC_CREATE);
  if (_i == 0)
    {
      opt.base = a + MIB (32);
      opt.initial = MIB (16);
      ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
      must_fail (NULL, mmalloc_open (temp_path ("b"), MMALLOC_CREATE, &opt),
                 EFBIG);
      limit.rlim_cur = RLIM_INFINITY;
      ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
    }
  else
    must_fail (NULL, mmalloc_region_open (temp_path ("b"), MMALLOC_CREATE,
                                          a + MIB (32), MIB (1), region_is_bad,
                                          NULL), EBADMSG);
  ck_assert_ptr_nonnull (mmalloc (a, MIB (40)));
  heap_end (a);
}
END_TEST

RUN_KINDS (2, places_are_many, a_hundred_at_once, reservation_gives_way,
           of_readers_and_copies, blocks_give_no_way, others_stop_there,
           child_has_less, for_others_too, not_for_nothing)
