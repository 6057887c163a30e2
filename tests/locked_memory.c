/* A program that locks all its memory (mlockall) may have a limit for that.
   Then a heap reserves less, instead of failing; and if even that is too much
   it says why.  */

#include "support.h"

/* From now on what is mapped gets locked, BYTES of it at most.  */
static int
lock_from_now_on (size_t bytes)
{
  struct rlimit r = { bytes, bytes };
  ck_assert_int_eq (setrlimit (RLIMIT_MEMLOCK, &r), 0);
  become_nobody ();
  return mlockall (MCL_FUTURE);
}

enum { NOT_HERE = 77 };

static void
little (void *kind)
{
  if (lock_from_now_on (MIB (7)) != 0)
    _exit (NOT_HERE);
  void *md = heap_new ((int) (size_t) kind);
  char *block = mmalloc (md, MIB (1));
  ck_assert_ptr_nonnull (block);
  block_fill (block, MIB (1), 1);
  ck_assert_ptr_null (mmalloc (md, MIB (10)));
  must (block_holds (block, MIB (1), 1));
  mfree (md, block);
  block = mcalloc (md, 1, MIB (1));
  must (block_is_zero (block, MIB (1)));
  heap_end (md);
}

static void
next_to_nothing (void *unused)
{
  (void) unused;
  const char *path = temp_path ("other");
  if (lock_from_now_on (KIB (64)) != 0)
    _exit (NOT_HERE);
  must_fail (NULL, mmalloc_open (NULL, 0, NULL), EAGAIN);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "RLIMIT_MEMLOCK"));
  must_fail (NULL, mmalloc_open (path, MMALLOC_CREATE, NULL), EAGAIN);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "RLIMIT_MEMLOCK"));
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EAGAIN);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "RLIMIT_MEMLOCK"));
  must_fail (NULL, mmalloc (NULL, 100), ENOMEM);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "default heap"));
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL),
                                 "the limit RLIMIT_MEMLOCK is 65536"));
}

static void
run (void (*fn) (void *), void *arg)
{
  int status = child_run (fn, arg);
  if (status == NOT_HERE)
    skip ("memory cannot be locked here");
  else
    ck_assert_int_eq (status, 0);
}

START_TEST (smaller)
{
  if (under_a_tool ())
    return;
  ck_assert_int_eq (chmod (support_test_dir, 0777), 0);
  run (little, (void *) (size_t) _i);
  if (_i != IN_FILE)
    return;
  /* The limit was the process's; and one that is there already.  */
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, MIB (10)));
  heap_end (md);
  unlink (temp_heap_path ());
  heap_end (heap_file ());
  ck_assert_int_eq (chmod (temp_heap_path (), 0666), 0);
  run (little, (void *) (size_t) _i);
}
END_TEST

START_TEST (said)
{
  if (under_a_tool () || _i != IN_FILE)
    return;
  ck_assert_int_eq (chmod (support_test_dir, 0777), 0);
  heap_end (heap_file ());
  ck_assert_int_eq (chmod (temp_heap_path (), 0666), 0);
  run (next_to_nothing, NULL);
}
END_TEST

RUN_ON_EACH_HEAP (smaller, said)
