/* programs.c - run a command with a library preloaded, and say what it took.
   For programs.py: a small program, because the peak of a process counts what
   it was before it started the command.

       programs LIBRARY OUTPUT COMMAND [ARGUMENT]...

   LIBRARY may be empty.  The line "seconds cpu-seconds peak-KiB page-faults"
   goes to the file OUTPUT.  Exits as the command does.  */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double
seconds (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static double
cpu_seconds (const struct rusage *u)
{
  return (double) (u->ru_utime.tv_sec + u->ru_stime.tv_sec)
         + (double) (u->ru_utime.tv_usec + u->ru_stime.tv_usec) / 1e6;
}

int
main (int argc, char **argv)
{
  if (argc < 4)
    return fprintf (stderr, "usage: %s LIBRARY OUTPUT COMMAND...\n",
                    argv[0]), 2;
  FILE *to = fopen (argv[2], "w");
  if (to == NULL)
    return perror (argv[2]), 2;
  double start = seconds ();
  pid_t pid = fork ();
  if (pid == 0)
    {
      if (argv[1][0] != '\0')
        setenv ("LD_PRELOAD", argv[1], 1);
      execvp (argv[3], argv + 3);
      perror (argv[3]);
      _exit (127);
    }
  int status;
  struct rusage usage;
  while (pid > 0 && wait4 (pid, &status, 0, &usage) != pid)
    if (errno != EINTR)
      return 2;
  fprintf (to, "%.6f %.6f %ld %ld\n", seconds () - start,
           cpu_seconds (&usage), usage.ru_maxrss, usage.ru_minflt);
  if (pid < 0 || fclose (to) != 0)
    return 2;
  return WIFEXITED (status) ? WEXITSTATUS (status) : 128 + WTERMSIG (status);
}
