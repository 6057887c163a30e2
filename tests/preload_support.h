/* preload_support.h - for tests of libmmalloc-preload.so: the program starts
   itself anew with the library preloaded, and its own malloc is tested.  */

#ifndef PRELOAD_SUPPORT_H
#define PRELOAD_SUPPORT_H 1

#include "tests/support.h"

#include <malloc.h>

#define PRELOAD_FILE ".libs/libmmalloc-preload.so"

/* Tests hand what is of no use to any_ptr: the compiler knows what malloc and
   free do, and would leave the calls out.  */

static inline int
preload_is_loaded (void)
{
  char line[512];
  int found = 0;
  FILE *maps = fopen ("/proc/self/maps", "r");
  while (maps != NULL && !found && fgets (line, sizeof line, maps) != NULL)
    found = strstr (line, "libmmalloc-preload.so") != NULL;
  if (maps != NULL)
    fclose (maps);
  return found;
}

/* What main does first.  */
static inline void
preload_start (char **argv)
{
  char path[PATH_MAX], *emulator = getenv ("EMULATOR");
  if (UNDER_SANITIZER || access (PRELOAD_FILE, R_OK) != 0)
    {
      skip (UNDER_SANITIZER ? "sanitizers bring a malloc of their own"
                            : "the library to preload was not built");
      exit (77);
    }
  if (getenv ("LD_PRELOAD") == NULL)
    {
      if (realpath (PRELOAD_FILE, path) == NULL
          || setenv ("LD_PRELOAD", path, 1) != 0)
        exit (99);
      if (emulator == NULL || emulator[0] == '\0')
        execv ("/proc/self/exe", argv);
      else
        execvp (emulator, (char *[]) { emulator, argv[0], NULL });
      perror (argv[0]);
      exit (99);
    }
  if (!preload_is_loaded ())
    {
      fprintf (stderr, "%s was not loaded\n", PRELOAD_FILE);
      exit (99);
    }
}

#define RUN_PRELOADED(...) \
  int \
  main (int argc_, char **argv_) \
  { \
    (void) argc_; \
    const TTest *tests_[] = { __VA_ARGS__ }; \
    preload_start (argv_); \
    return run_suite (__FILE__, tests_, sizeof tests_ / sizeof *tests_, 1); \
  }

#endif /* PRELOAD_SUPPORT_H */
