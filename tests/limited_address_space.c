/* With little address space allowed (ulimit -v) a heap reserves less, instead
   of failing, and is as good as before.  */

#include <sys/syscall.h>

#include <stdbool.h>

#include "support.h"

static void
smaller (void *kind)
{
  address_space_allow (GIB (2));
  void *md = heap_new ((int) (size_t) kind);
  char *small = mmalloc (md, 100), *large = mmalloc (md, MIB (100));
  ck_assert_ptr_nonnull (small);
  ck_assert_ptr_nonnull (large);
  block_fill (small, 100, 1);
  block_fill (large, MIB (100), 2);
  must (block_holds (small, 100, 1));
  must (block_holds (large, MIB (100), 2));
  /* The limit is the process's: a file may hold more for others.  */
  if (kind != (void *) IN_FILE)
    ck_assert_uint_lt (heap_stats (md).capacity, GIB (2));
  ck_assert_uint_gt (heap_stats (md).capacity, MIB (200));
  ck_assert_ptr_null (mmalloc (md, GIB (2)));
  must (errno == ENOMEM || errno == ENOSPC);
  mfree (md, large);
  heap_end (md);
}

START_TEST (new_heap)
{
  if (under_a_tool ())
    {
      skip ("the tool needs all address space");
      return;
    }
  ck_assert_int_eq (child_run (smaller, (void *) (size_t) _i), 0);
  if (_i == IN_FILE)
    heap_end (heap_file ());
}
END_TEST

static void
existing (void *unused)
{
  (void) unused;
  address_space_allow (GIB (2));
  void *md = heap_file ();
  char *block = mmalloc_getkey (md, 0);
  must (block_holds (block, MIB (50), 3));
  char *other = mmalloc (md, MIB (60));
  ck_assert_ptr_nonnull (other);
  block_fill (other, MIB (60), 4);
  must (block_holds (block, MIB (50), 3));
  heap_end (md);
}

START_TEST (existing_heap)
{
  if (under_a_tool ())
    return;
  void *md = heap_file ();
  char *block = mmalloc (md, MIB (50));
  block_fill (block, MIB (50), 3);
  ck_assert_int_eq (mmalloc_setkey (md, 0, block), 1);
  heap_end (md);
  ck_assert_int_eq (child_run (existing, NULL), 0);
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 2);
  must (block_holds (block, MIB (50), 3));
  heap_end (md);
}
END_TEST

static void
narrow_visitor (void *unused)
{
  (void) unused;
  address_space_allow (MIB (200));
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, MIB (1)));
  baton_pass (baton);
  baton_wait (baton);
  heap_end (md);
}

/* The heap does not grow beyond what each of its users can see.  */
START_TEST (growth_waits_for_the_narrowest)
{
  if (under_a_tool ())
    return;
  heap_end (heap_file ());
  struct child child = child_start (narrow_visitor, NULL);
  baton_wait (child.baton);
  void *md = heap_file ();
  char *block = mmalloc (md, MIB (30));
  ck_assert_ptr_nonnull (block);
  ck_assert_ptr_null (mmalloc (md, MIB (190)));
  must (errno == ENOMEM || errno == ENOSPC);
  ck_assert_ptr_null (mrealloc (md, block, MIB (190)));
  must (errno == ENOMEM || errno == ENOSPC);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  block = mmalloc (md, MIB (190));
  ck_assert_ptr_nonnull (block);
  block[MIB (190) - 1] = 1;
  heap_end (md);
}
END_TEST

static _Atomic int *orphan;

static void
narrow_parent (void *unused)
{
  (void) unused;
  address_space_allow (MIB (200));
  ck_assert_ptr_nonnull (heap_file ());
  long pid = syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
  if (pid == 0)
    {
      alarm (100);
      pause ();
      _exit (0);
    }
  *orphan = (int) pid;
  baton_pass (baton);
  for (;;)
    pause ();
}

/* ... if they live.  A child without fork handlers keeps the locks of the
   dead.  */
START_TEST (growth_does_not_wait_for_the_dead)
{
  if (under_a_tool ())
    return;
  orphan = mmap (NULL, sizeof *orphan, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must (orphan != MAP_FAILED);
  heap_end (heap_file ());
  struct child child = child_start (narrow_parent, NULL);
  baton_wait (child.baton);
  void *md = heap_file ();
  ck_assert_ptr_null (mmalloc (md, MIB (220)));
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (220)));
  ck_assert_int_eq (kill (*orphan, SIGKILL), 0);
  heap_end (md);
}
END_TEST

/* The reader of a heap with much more reserved than it may map, FLAGS.  */
static void
narrow_reader (void *flags)
{
  address_space_allow (MIB (450));
  char *md = mmalloc_open (temp_heap_path (), (int) (size_t) flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  ptrdiff_t off = md - (char *) info.base;
  for (size_t n = 1; n <= 3; n++)
    {
      char *block = off == 0 ? mmalloc_getkey (md, 0)
                             : mmalloc_getroot (md, "block");
      ck_assert_ptr_nonnull (block);
      must (mmalloc_find (block + off) == md);
      must (block_holds (block + off, n * MIB (40), n));
      must (mmalloc_getkey (md, 0) == block);
      ck_assert_uint_ge (mmalloc_usable_size (md, block + off), n * MIB (40));
      ck_assert_uint_eq (heap_stats (md).blocks_live, n);
      heap_is_whole (md);
      baton_pass (baton);
      baton_wait (baton);
    }
  /* Now it has grown beyond what can be mapped.  */
  must_fail (md, mmalloc_getroot (md, "block"), ENOMEM);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), "grew beyond"));
  struct mmalloc_stats stats;
  must_give (mmalloc_stats (md, &stats), -1, ENOMEM);
  must_give (mmalloc_check (md, NULL, NULL), -1, ENOMEM);
  ck_assert_ptr_nonnull (mmalloc_getkey (md, 0));
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (reader_of_a_large_reservation)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE };
  if (under_a_tool () || _i == DEFAULT_HEAP)
    return;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.reserve = GIB (1024);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  struct child child = { 0, 0 };
  for (size_t n = 1; n <= 4; n++)
    {
      size_t size = n < 4 ? n * MIB (40) : MIB (400);
      char *block = mmalloc (md, size);
      ck_assert_ptr_nonnull (block);
      block_fill (block, n < 4 ? size : 1, n);
      ck_assert_int_eq (mmalloc_setkey (md, 0, block), 1);
      ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
      if (n == 1)
        {
          /* Opened beside the mapping of its parent it would be that.  */
          ck_assert_ptr_null (mmalloc_detach (md));
          child = child_start (narrow_reader, (void *) (size_t) flags[_i]);
          md = heap_file ();
        }
      else
        baton_pass (child.baton);
      if (n < 4)
        baton_wait (child.baton);
    }
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

/* A reader who looks at all roots while the heap grows beyond what he has
   mapped: he sees the new ones too, or is told if he cannot.  */
static size_t n_seen;

static int
see_root (const char *name, void *block, void *md)
{
  struct mmalloc_info info;
  must (mmalloc_info (md, &info) == 0);
  char *here = (char *) block - (char *) info.base + (char *) md;
  if (n_seen++ == 0)
    {
      must (strcmp (name, "first") == 0);
      baton_pass (baton);
      baton_wait (baton);
    }
  return *here == 'x' ? 0 : 1;
}

enum { ROOTS = 300, FILLERS = 20, NARROW = 120 };

/* FLAGS; or with 1 more: what can be mapped does not suffice.  */
static void
narrow_lister (void *flags)
{
  int how = (int) (size_t) flags;
  address_space_allow (MIB (NARROW));
  void *md = mmalloc_open (temp_heap_path (), how & ~1, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  int result = mmalloc_roots (md, see_root, md);
  ck_assert_msg (result == (how & 1 ? -1 : 0), "%d with errno %d: %s", result,
                 errno, mmalloc_strerror (md));
  if (how & 1)
    {
      ck_assert_int_eq (errno, ENOMEM);
      ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), "grew beyond"));
    }
  else
    {
      /* Some of the chains were passed already.  */
      ck_assert_uint_gt (n_seen, 50);
      n_seen = 1;
      ck_assert_int_eq (mmalloc_roots (md, see_root, md), 0);
      ck_assert_uint_eq (n_seen, ROOTS + 2);
    }
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* Long names, which fill slices, and all of them behind END.  The first ones
   may be in a slice that was there before, and are forgotten.  */
static void
roots_behind (char *md, char *end)
{
  char name[1001], *block;
  memset (name, 'n', 1000);
  name[1000] = '\0';
  do
    {
      block = mmalloc (md, KIB (16));
      ck_assert_ptr_nonnull (block);
      *block = 'x';
    }
  while (block < end);
  for (int i = 0; i < ROOTS + 2 * FILLERS; i++)
    {
      bool forget = i >= ROOTS + FILLERS;
      snprintf (name, 8, "%07d", forget ? i - ROOTS - FILLERS : i);
      name[7] = 'n';
      ck_assert_int_eq (mmalloc_setroot (md, name, forget ? NULL : block), 0);
    }
}

START_TEST (roots_behind_what_is_mapped)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE };
  if (under_a_tool () || _i == DEFAULT_HEAP)
    return;
  for (int more = 0; more < 2; more++)
    {
      struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
      opt.reserve = GIB (1024);
      void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
      ck_assert_ptr_nonnull (md);
      char *block = mmalloc (md, 100);
      *block = 'x';
      ck_assert_int_eq (mmalloc_setroot (md, "first", block), 0);
      /* Opened beside the mapping of its parent it would be that.  */
      ck_assert_ptr_null (mmalloc_detach (md));
      struct child child = child_start (narrow_lister,
                                        (void *) (size_t) (flags[_i] | more));
      baton_wait (child.baton);
      md = heap_file ();
      ck_assert_ptr_nonnull (mmalloc (md, MIB (more ? NARROW : NARROW / 2)));
      roots_behind (md, (char *) md + MIB (more ? NARROW : NARROW / 2 + 10));
      baton_pass (child.baton);
      ck_assert_int_eq (child_end (child), 0);
      heap_end (md);
      ck_assert_int_eq (unlink (temp_heap_path ()), 0);
    }
}
END_TEST

static pthread_barrier_t begin, end;
static void *threads_heap;

static void *
thread_allocates (void *unused)
{
  (void) unused;
  pthread_barrier_wait (&begin);
  if (threads_heap != NULL)
    mmalloc (threads_heap, 100);
  pthread_barrier_wait (&end);
  return NULL;
}

/* Not even the heap's own parts may fit; with several threads, as each takes a
   stream.  */
static void
narrow (void *more)
{
  enum { THREADS = 6 };
  pthread_t thread;
  pthread_barrier_init (&begin, NULL, THREADS + 1);
  pthread_barrier_init (&end, NULL, THREADS + 1);
  for (int i = 0; i < THREADS; i++)
    ck_assert_int_eq (pthread_create (&thread, NULL, thread_allocates, NULL),
                      0);
  const char *path = temp_heap_path ();
  address_space_allow ((size_t) more);
  errno = 0;
  threads_heap = mmalloc_open (path, MMALLOC_CREATE, NULL);
  must (threads_heap != NULL || errno == ENOMEM);
  pthread_barrier_wait (&begin);
  pthread_barrier_wait (&end);
}

START_TEST (hardly_any_for_a_file)
{
  if (under_a_tool () || _i != IN_FILE)
    return;
  for (size_t more = KIB (100); more < MIB (2); more += KIB (100))
    {
      ck_assert_int_eq (child_run (narrow, (void *) more), 0);
      unlink (temp_heap_path ());
      heap_end (heap_file ());
      ck_assert_int_eq (child_run (narrow, (void *) more), 0);
      unlink (temp_heap_path ());
    }
}
END_TEST

static void
next_to_nothing (void *unused)
{
  (void) unused;
  address_space_allow (KIB (200));
  must_fail (NULL, mmalloc_open (NULL, 0, NULL), ENOMEM);
  must_fail (NULL, mmalloc (NULL, 100), ENOMEM);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "default heap"));
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "RLIMIT_AS"));
}

START_TEST (hardly_any)
{
  if (under_a_tool ())
    return;
  ck_assert_int_eq (child_run (next_to_nothing, NULL), 0);
}
END_TEST

RUN_ON_EACH_HEAP (new_heap, existing_heap, growth_waits_for_the_narrowest,
                  growth_does_not_wait_for_the_dead, hardly_any_for_a_file,
                  hardly_any, reader_of_a_large_reservation,
                  roots_behind_what_is_mapped)
