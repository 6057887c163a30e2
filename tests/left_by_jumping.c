/* The handler of misuse and the function of mmcheck are left by longjmp or the
   end of the thread: nothing is locked, and the file is cut as ever.  One of
   mmalloc_walk must not be, but the heap stays in use.  */

#include <setjmp.h>

#include "support.h"

static jmp_buf out;
static void *md;
static int jumps;

static void
jump (const char *call, void *heap, const void *ptr, const char *what,
      void *arg)
{
  (void) call, (void) heap, (void) ptr, (void) what, (void) arg;
  jumps++;
  longjmp (out, 1);
}

static void
end_thread (const char *call, void *heap, const void *ptr, const char *what,
            void *arg)
{
  (void) call, (void) heap, (void) ptr, (void) what, (void) arg;
  pthread_exit (NULL);
}

static void
jump_from_guard (void)
{
  jumps++;
  longjmp (out, 1);
}

static int
jump_from_walk (void *block, size_t size, void *arg)
{
  (void) block, (void) size, (void) arg;
  longjmp (out, 1);
}

static void *
thread_ends (void *block)
{
  mfree (md, any_ptr (block));
  mfree (md, any_ptr (block));
  ck_abort_msg ("the thread goes on");
  return NULL;
}

enum { N = 100 };
static char *block[N];

static void
fill (void)
{
  md = heap_file ();
  for (int i = 0; i < N; i++)
    ck_assert_ptr_nonnull (block[i] = mmalloc (md, KIB (100)));
}

/* All works; whether the file gets shorter.  */
static int
works (int from)
{
  for (int i = from; i < N; i++)
    mfree (md, block[i]);
  off_t before = file_length (temp_heap_path ());
  ck_assert_int_ge (mmalloc_trim (md), 0);
  off_t after = file_length (temp_heap_path ());
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  heap_end (md);
  return after < before;
}

START_TEST (misuse)
{
  fill ();
  mmalloc_onmisuse (jump, NULL);
  if (setjmp (out) == 0)
    mfree (md, block[1] + 16);
  mfree (md, block[0]);
  if (setjmp (out) == 0)
    mfree (md, any_ptr (block[0]));
  if (setjmp (out) == 0)
    mrealloc (md, any_ptr (block[0]), 10);
  void **slot = mcalloc (md, 1, sizeof *slot);
  *slot = block[2] + 1;
  if (setjmp (out) == 0)
    mfree_from (md, slot);
  if (setjmp (out) == 0)
    mrealloc_in (md, slot, 5000);
  ck_assert_int_eq (jumps, 5);
  mmalloc_onmisuse (end_thread, NULL);
  thread_run (thread_ends, block[1]);
  mmalloc_onmisuse (NULL, NULL);
  must (works (2));
}
END_TEST

START_TEST (guards)
{
  md = heap_file ();
  ck_assert_int_eq (mmcheck (md, jump_from_guard), 1);
  ck_assert_ptr_null (mmalloc_detach (md));
  fill ();
  ck_assert_int_eq (mmcheck (md, jump_from_guard), 1);
  damage_byte (block[0], KIB (100));
  if (setjmp (out) == 0)
    mfree (md, block[0]);
  ck_assert_int_eq (jumps, 1);
  damage_byte (block[0], KIB (100));
  must (works (0));
}
END_TEST

START_TEST (walks)
{
  fill ();
  if (setjmp (out) == 0)
    mmalloc_walk (md, jump_from_walk, NULL);
  works (0);
  /* Attached anew it is cut again.  */
  fill ();
  must (works (0));
}
END_TEST

RUN_TESTS (misuse, guards, walks)
