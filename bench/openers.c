/* openers.c - what opening a heap costs beside many processes that have it.

       openers [ROUNDS [DIRECTORY]]   a table: microseconds

   The others are children that have opened the heap, allocated a block, and
   sleep.  One more process opens and closes it ROUNDS times: medians and, in
   brackets, minima on the clock; then it takes a block, too, and with it a
   stream.  The heap is a file in DIRECTORY, /dev/shm if not said.  */

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "mmalloc.h"

enum { MAX_ROUNDS = 10001, MAX_OTHERS = 1000, TIMES = 3 };
static const char *const name[TIMES] = { "open", "first block", "close" };
static double times[TIMES][MAX_ROUNDS];
static char path[PATH_MAX];
static pid_t other[MAX_OTHERS];
static size_t n_others;

static double
now (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

/* One more process that has the heap; 0: it cannot.  */
static int
other_start (void)
{
  int ready[2];
  char byte = 0;
  if (pipe (ready) != 0)
    return 0;
  pid_t pid = fork ();
  if (pid == 0)
    {
      void *md = mmalloc_open (path, 0, NULL);
      if (md == NULL || mmalloc (md, 64) == NULL
          || write (ready[1], &byte, 1) != 1)
        {
          fprintf (stderr, "%s\n", mmalloc_strerror (NULL));
          _exit (1);
        }
      for (;;)
        pause ();
    }
  close (ready[1]);
  int works = pid > 0 && read (ready[0], &byte, 1) == 1;
  close (ready[0]);
  if (works)
    other[n_others++] = pid;
  else if (pid > 0)
    waitpid (pid, NULL, 0);
  return works;
}

static void
measure (size_t rounds)
{
  for (size_t r = 0; r < rounds; r++)
    {
      double start = now ();
      void *md = mmalloc_open (path, 0, NULL);
      double opened = now ();
      if (md == NULL)
        {
          fprintf (stderr, "%s\n", mmalloc_strerror (NULL));
          abort ();
        }
      void *block = mmalloc (md, 64);
      double had = now ();
      mfree (md, block);
      double freed = now ();
      mmalloc_detach (md);
      times[0][r] = opened - start;
      times[1][r] = had - opened;
      times[2][r] = now () - freed;
    }
  printf ("%-10zu", n_others);
  for (int i = 0; i < TIMES; i++)
    {
      qsort (times[i], rounds, sizeof *times[i], by_value);
      printf ("%9.1f (%6.1f)  ", times[i][rounds / 2], times[i][0]);
    }
  printf ("\n");
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  static const size_t beside[] = { 0, 1, 100, 500, 900 };
  size_t rounds = argc > 1 ? strtoul (argv[1], NULL, 10) : 300;
  rounds = rounds < 1 ? 1 : rounds > MAX_ROUNDS ? MAX_ROUNDS : rounds;
  snprintf (path, sizeof path, "%s/openers-%ld.heap",
            argc > 2 ? argv[2] : "/dev/shm", (long) getpid ());
  void *md = mmalloc_open (path, MMALLOC_CREATE, NULL);
  if (md == NULL)
    return fprintf (stderr, "%s: %s\n", path, mmalloc_strerror (NULL)), 1;
  mmalloc_detach (md);
  printf ("us, median (minimum) of %zu\n\n%-10s", rounds, "others");
  for (int i = 0; i < TIMES; i++)
    printf ("%9s           ", name[i]);
  printf ("\n");
  int works = 1;
  for (size_t i = 0; works && i < sizeof beside / sizeof *beside; i++)
    {
      while (works && n_others < beside[i])
        works = other_start ();
      measure (rounds);
    }
  for (size_t i = 0; i < n_others; i++)
    kill (other[i], SIGKILL);
  for (size_t i = 0; i < n_others; i++)
    waitpid (other[i], NULL, 0);
  unlink (path);
  return !works;
}
