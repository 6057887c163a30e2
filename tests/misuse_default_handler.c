/* Without a handler of the program's own, misuse writes one line to standard
   error and aborts.  */

#include "support.h"

static char line[4096];

static void
free_twice (void *unused)
{
  (void) unused;
  int fd = open (temp_path ("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  dup2 (fd, 2);
  void *md = heap_new (ANONYMOUS);
  void *block = mmalloc (md, 100);
  mfree (md, block);
  file_write (temp_path ("pointer"), &block, sizeof block);
  mfree (md, any_ptr (block));
}

static void
read_line (void)
{
  int fd = open (temp_path ("stderr"), O_RDONLY);
  ssize_t n = read (fd, line, sizeof line - 1);
  ck_assert_int_gt (n, 0);
  line[n] = '\0';
  close (fd);
}

/* One line that names call and pointer.  */
static void
line_is_good (void)
{
  char pointer[40];
  void *block;
  int fd = open (temp_path ("pointer"), O_RDONLY);
  ck_assert_int_eq (read (fd, &block, sizeof block), sizeof block);
  close (fd);
  snprintf (pointer, sizeof pointer, "%p", block);
  read_line ();
  ck_assert_msg (strstr (line, "mfree") != NULL, "%s", line);
  ck_assert_msg (strstr (line, pointer) != NULL, "%s: %s", pointer, line);
  ck_assert_ptr_eq (strchr (line, '\n'), line + strlen (line) - 1);
}

START_TEST (a_line_and_abort)
{
  ck_assert_int_eq (child_run (free_twice, NULL), 128 + SIGABRT);
  line_is_good ();
}
END_TEST

static void
restored (void *unused)
{
  misuse_record ();
  mmalloc_onmisuse (NULL, NULL);
  free_twice (unused);
}

START_TEST (null_restores_it)
{
  ck_assert_int_eq (child_run (restored, NULL), 128 + SIGABRT);
  line_is_good ();
}
END_TEST

static int argument;

static void
leave (const char *call, void *md, const void *ptr, const char *what,
       void *arg)
{
  (void) call, (void) ptr, (void) what;
  /* No lock is held: the heap can be used.  */
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  heap_is_whole (md);
  ck_assert_ptr_eq (arg, &argument);
  _exit (7);
}

static void
own_handler (void *unused)
{
  mmalloc_onmisuse (leave, &argument);
  free_twice (unused);
}

START_TEST (own_handler_may_use_the_heap_and_leave)
{
  ck_assert_int_eq (child_run (own_handler, NULL), 7);
}
END_TEST

RUN_TESTS (a_line_and_abort, null_restores_it,
           own_handler_may_use_the_heap_and_leave)
