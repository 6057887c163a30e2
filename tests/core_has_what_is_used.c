/* Core dumps have what is in use of a heap, and not its whole reservation,
   which the kernel would write for a file without a name; also as the heap
   grows, by whomever.  */

#include <stdbool.h>
#include <sys/mman.h>

static int advise (void *, size_t, int);
#define madvise advise
#include "inside.h"
#undef madvise

static bool fails;

static int
advise (void *p, size_t n, int advice)
{
  if (!fails)
    return madvise (p, n, advice);
  errno = ENOMEM;
  return -1;
}

/* How many bytes from MD on are in core dumps; behind them none may be, up to
   END.  */
static size_t
dumped (char *md, size_t end)
{
  char line[PATH_MAX + 200];
  uintptr_t from = 0, to = 0, base = (uintptr_t) md, last = base;
  FILE *maps = fopen ("/proc/self/smaps", "r");
  ck_assert_ptr_nonnull (maps);
  while (fgets (line, sizeof line, maps) != NULL)
    {
      uintptr_t a, b;
      if (sscanf (line, "%" SCNxPTR "-%" SCNxPTR " ", &a, &b) == 2)
        from = a, to = b;
      if (strncmp (line, "VmFlags:", 8) != 0 || from < base
          || from >= base + end || strstr (line, " dd") != NULL)
        continue;
      ck_assert_uint_eq (from, last);
      last = to;
    }
  fclose (maps);
  return last - base;
}

static void
all_of (char *md)
{
  struct mmalloc_stats stats = heap_stats (md);
  size_t n = dumped (md, stats.capacity);
  ck_assert_uint_ge (n, stats.length);
  ck_assert_uint_lt (n, stats.length + MIB (40));
}

static void
grow (char *md)
{
  for (int i = 0; i < 20; i++)
    {
      char *block = mmalloc (md, MIB (7));
      ck_assert_ptr_nonnull (block);
      *block = 1;
      all_of (md);
    }
  char *block = mmalloc (md, MIB (100));
  ck_assert_ptr_nonnull (block);
  all_of (md);
  block = mrealloc (md, block, MIB (200));
  ck_assert_ptr_nonnull (block);
  all_of (md);
}

START_TEST (in_one_process)
{
  char *md = heap_file ();
  all_of (md);
  grow (md);
  heap_end (md);
  static const int flags[] = { 0, MMALLOC_RDONLY, MMALLOC_PRIVATE };
  for (int i = 0; i < 3; i++)
    {
      md = mmalloc_open (temp_heap_path (), flags[i], NULL);
      all_of (md);
      if (flags[i] == MMALLOC_PRIVATE)
        grow (md);
      heap_end (md);
    }
}
END_TEST

static void
other (void *unused)
{
  (void) unused;
  char *md = heap_file (), *block;
  for (int i = 0; i < 2; i++)
    {
      ck_assert_ptr_nonnull (block = mmalloc (md, MIB (7)));
      for (int j = 0; j < 20; j++)
        ck_assert_ptr_nonnull (block = mmalloc (md, MIB (7)));
      mfree (md, block);
      baton_pass (baton);
      baton_wait (baton);
    }
  heap_end (md);
}

/* Others grow it; a process that takes some of that has it in its dumps.  */
START_TEST (in_others)
{
  heap_end (heap_file ());
  struct child child = child_start (other, NULL);
  baton_wait (child.baton);
  char *md = heap_file ();
  all_of (md);
  baton_pass (child.baton);
  baton_wait (child.baton);
  size_t length = heap_stats (md).length;
  ck_assert_ptr_nonnull (mmalloc (md, MIB (1)));
  ck_assert_uint_eq (heap_stats (md).length, length);
  all_of (md);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

/* It is a wish only.  */
START_TEST (where_it_cannot_be_had)
{
  char *md = heap_file ();
  fails = true;
  char *block = mmalloc (md, MIB (100));
  ck_assert_ptr_nonnull (block);
  block_fill (block, MIB (100), 1);
  must (block_holds (block, MIB (100), 1));
  fails = false;
  ck_assert_ptr_nonnull (mmalloc (md, MIB (100)));
  all_of (md);
  heap_end (md);
  fails = true;
  md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, MIB (100)));
  heap_end (md);
}
END_TEST

RUN_TESTS (in_one_process, in_others, where_it_cannot_be_had)
