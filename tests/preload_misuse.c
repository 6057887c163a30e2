/* A pointer that is freed twice, that leads into a block or to no block at all
   ends the program with a line that names the function as the program does.  */

#include "tests/preload_support.h"

static char place[64];

static void
misuse (void *arg)
{
  char *p = malloc (100), *q = calloc (3, 100000);
  char *freed = any_ptr (p);
  free (p);
  switch (*(int *) arg)
    {
    case 0: any_ptr (realloc (freed, 10)); break;
    case 1: free (freed); break;
    case 2: free (any_ptr (freed + 16)); break;
    case 3: free (any_ptr (q + 16)); break;
    case 4: free (any_ptr (place + 16)); break;
    case 5: malloc_usable_size (any_ptr (place)); break;
    }
}

START_TEST (the_program_ends)
{
  static const char *const said[] = {
    "libmmalloc: realloc (0x", "libmmalloc: free (0x", "libmmalloc: free (0x",
    "libmmalloc: free (0x", "libmmalloc: free (0x",
    "libmmalloc: malloc_usable_size (0x"
  };
  for (int how = 0; how < 6; how++)
    {
      char line[200] = "";
      int fd = open (temp_path ("said"), O_RDWR | O_CREAT | O_TRUNC, 0600);
      int console = dup (STDERR_FILENO);
      ck_assert_int_eq (dup2 (fd, STDERR_FILENO), STDERR_FILENO);
      int status = child_run (misuse, &how);
      dup2 (console, STDERR_FILENO);
      ck_assert_msg (status == 128 + SIGABRT, "case %d: status %d", how,
                     status);
      ck_assert_int_gt (pread (fd, line, sizeof line - 1, 0), 0);
      ck_assert_msg (strncmp (line, said[how], strlen (said[how])) == 0,
                     "case %d: %s", how, line);
      close (console);
      close (fd);
    }
}
END_TEST

RUN_PRELOADED (the_program_ends)
