/* Guards are a property of the heap: they are there when it comes back.  The
   function is the process's: without one, damage aborts.  */

#include "support.h"

static int calls;
static void *md;
static char *block;

static void
damaged (void)
{
  calls++;
}

static void
make (void)
{
  md = heap_file ();
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  block = mmalloc (md, 40);
  block_fill (block, 40, 1);
  heap_end (md);
}

static void
with_function (void *unused)
{
  (void) unused;
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_int_eq (mmcheck (md, damaged), 1);
  char *young = mmalloc (md, 40);
  damage_byte (young, 40);
  mfree (md, young);
  ck_assert_int_eq (calls, 1);
  heap_end (md);
}

static void
without_function (void *bad)
{
  int fd = open (temp_path ("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  dup2 (fd, 2);
  ck_assert_ptr_eq (heap_file (), md);
  if (bad != NULL)
    damage_byte (block, 40);
  mfree (md, block);
  heap_end (md);
}

START_TEST (other_process_registers_its_own)
{
  make ();
  ck_assert_int_eq (child_run (with_function, NULL), 0);
  ck_assert_int_eq (child_run (without_function, NULL), 0);
}
END_TEST

START_TEST (other_process_aborts)
{
  make ();
  ck_assert_int_eq (child_run (without_function, block), 128 + SIGABRT);
  char line[4096];
  int fd = open (temp_path ("stderr"), O_RDONLY);
  ssize_t n = read (fd, line, sizeof line - 1);
  ck_assert_int_gt (n, 0);
  line[n] = '\0';
  ck_assert_ptr_eq (strchr (line, '\n'), line + n - 1);
  ck_assert_msg (strstr (line, "mfree") != NULL, "%s", line);
}
END_TEST

static void
null_function (void *unused)
{
  (void) unused;
  void *heap = heap_new (ANONYMOUS);
  ck_assert_int_eq (mmcheck (heap, NULL), 1);
  char *bad = mmalloc (heap, 40);
  damage_byte (bad, 40);
  int fd = open ("/dev/null", O_WRONLY);
  dup2 (fd, 2);
  mfree (heap, bad);
}

START_TEST (no_function_at_all)
{
  ck_assert_int_eq (child_run (null_function, NULL), 128 + SIGABRT);
}
END_TEST

RUN_TESTS (other_process_registers_its_own, other_process_aborts,
           no_function_at_all)
