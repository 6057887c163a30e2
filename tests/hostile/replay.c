/* replay.c - run a fuzz target on files: each argument is one, or a directory
   of them; without arguments, the corpus beside the tests.  */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

static int n_run;

static void
replay_file (const char *path)
{
  static uint8_t data[1 << 16];
  FILE *f = fopen (path, "rb");
  if (f == NULL)
    {
      perror (path);
      exit (2);
    }
  size_t n = fread (data, 1, sizeof data, f);
  fclose (f);
  /* Said first: an input that fails ends the program.  */
  fprintf (stderr, "%s\n", path);
  /* In memory of its own, so that a tool sees a step behind it.  */
  uint8_t *own = malloc (n + 1);
  if (own == NULL)
    exit (2);
  memcpy (own, data, n);
  LLVMFuzzerTestOneInput (own, n);
  free (own);
  n_run++;
}

static void
replay (const char *path)
{
  DIR *dir = opendir (path);
  if (dir == NULL)
    {
      replay_file (path);
      return;
    }
  struct dirent *entry;
  while ((entry = readdir (dir)) != NULL)
    if (entry->d_name[0] != '.')
      {
        char name[4096];
        int n = snprintf (name, sizeof name, "%s/%s", path, entry->d_name);
        if (n > 0 && (size_t) n < sizeof name)
          replay_file (name);
      }
  closedir (dir);
}

int
main (int argc, char **argv)
{
  const char *srcdir = getenv ("srcdir");
  char corpus[4096];
  snprintf (corpus, sizeof corpus, "%s/tests/hostile/corpus",
            srcdir != NULL ? srcdir : ".");
  LLVMFuzzerInitialize (&argc, &argv);
  if (argc < 2)
    replay (corpus);
  for (int i = 1; i < argc; i++)
    replay (argv[i]);
  printf ("100%%: Checks: %d, Failures: 0, Errors: 0\n", n_run);
  return 0;
}
