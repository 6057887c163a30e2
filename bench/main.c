/* main.c - the program that is built for each allocator.

       bench-NAME list             the workloads it has
       bench-NAME WORKLOAD...      run them: lines "workload metric value"
       bench-NAME loop KIND N      N operations, for callgrind: see blocks.c

   Environment: BENCH_DIR, the directory for heap files (/dev/shm);
   BENCH_SCALE, how much to do (1).  */

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

uint32_t draws[N_DRAWS];

static void
draws_fill (void)
{
  uint64_t x = 88172645463325252u;
  for (size_t i = 0; i < N_DRAWS; i++)
    {
      x ^= x << 13;
      x ^= x >> 7;
      x ^= x << 17;
      draws[i] = (uint32_t) (x >> 32);
    }
}

void
die (const char *what, const char *why)
{
  fprintf (stderr, "bench-%s: %s: %s\n", allocator.name, what, why);
  exit (1);
}

static double
clock_now (clockid_t clock)
{
  struct timespec t;
  clock_gettime (clock, &t);
  return (double) t.tv_sec * 1e9 + (double) t.tv_nsec;
}

double
wall_now (void)
{
  return clock_now (CLOCK_MONOTONIC);
}

double
cpu_now (void)
{
  return clock_now (CLOCK_PROCESS_CPUTIME_ID);
}

void
report (const char *workload, const char *metric, double value)
{
  printf ("%s %s %.6g\n", workload, metric, value);
  fflush (stdout);
}

static size_t
scaled (double n)
{
  const char *scale = getenv ("BENCH_SCALE");
  double wanted = scale != NULL ? n * atof (scale) : n;
  return wanted < 1 ? 1 : (size_t) wanted;
}

size_t
amount (size_t n)
{
  return scaled ((double) n);
}

size_t
times (size_t n)
{
  return scaled ((double) n / allocator.slow);
}


/* ---- Memory and files ------------------------------------------------ */

static char dir_name[4000];
static pid_t dir_owner;

static void
dir_remove (void)
{
  char path[4300];
  if (getpid () != dir_owner)
    return;
  DIR *dir = opendir (dir_name);
  if (dir == NULL)
    return;
  for (struct dirent *e; (e = readdir (dir)) != NULL; )
    if (e->d_name[0] != '.')
      {
        snprintf (path, sizeof path, "%s/%s", dir_name, e->d_name);
        unlink (path);
      }
  closedir (dir);
  rmdir (dir_name);
}

const char *
work_dir (void)
{
  if (dir_name[0] != '\0')
    return dir_name;
  const char *parent = getenv ("BENCH_DIR");
  snprintf (dir_name, sizeof dir_name, "%s/mmalloc-bench-XXXXXX",
            parent != NULL ? parent : "/dev/shm");
  if (mkdtemp (dir_name) == NULL)
    die (dir_name, "cannot make the directory");
  dir_owner = getpid ();
  atexit (dir_remove);
  return dir_name;
}

double
resident_bytes (void)
{
  size_t pages = 0;
  FILE *f = fopen ("/proc/self/statm", "r");
  if (f == NULL || fscanf (f, "%*u %zu", &pages) != 1)
    die ("/proc/self/statm", "cannot be read");
  fclose (f);
  return (double) pages * (double) sysconf (_SC_PAGESIZE);
}

/* The bytes on disk of all files of DIR, a directory of files or of
   descriptors, that lie in work_dir; UNNAMED: only those without a name.  */
static double
blocks_in (const char *path, int unnamed)
{
  double sum = 0;
  DIR *dir = opendir (path);
  if (dir == NULL)
    return 0;
  for (struct dirent *e; (e = readdir (dir)) != NULL; )
    {
      struct stat st;
      char at[400];
      ssize_t n = unnamed ? readlinkat (dirfd (dir), e->d_name, at, sizeof at)
                          : 0;
      if (unnamed
          && (n < (ssize_t) strlen (dir_name)
              || strncmp (at, dir_name, strlen (dir_name)) != 0))
        continue;
      if (fstatat (dirfd (dir), e->d_name, &st, 0) == 0
          && S_ISREG (st.st_mode) && (!unnamed || st.st_nlink == 0))
        sum += (double) st.st_blocks * 512;
    }
  closedir (dir);
  return sum;
}

double
file_bytes (void)
{
  return dir_name[0] == '\0' ? 0
         : blocks_in (dir_name, 0) + blocks_in ("/proc/self/fd", 1);
}


/* ---- Running --------------------------------------------------------- */

static const struct workload *const families[] =
{
  blocks_workloads, threads_workloads, memory_workloads, table_workloads,
  files_workloads
};

static int
is_possible (const struct workload *w)
{
  return !((w->needs & REAL_MEMORY && allocator.fake)
           || (w->needs & FILES_ONLY && allocator.reopen == NULL)
           || (!(w->needs & NO_REUSE) && allocator.endless));
}

static const struct workload *
find (const char *name)
{
  for (size_t f = 0; f < sizeof families / sizeof *families; f++)
    for (const struct workload *w = families[f]; w->name != NULL; w++)
      if (strcmp (w->name, name) == 0)
        return w;
  return NULL;
}

static void
list (void)
{
  for (size_t f = 0; f < sizeof families / sizeof *families; f++)
    for (const struct workload *w = families[f]; w->name != NULL; w++)
      if (is_possible (w))
        puts (w->name);
}

int
main (int argc, char **argv)
{
  if (argc == 2 && strcmp (argv[1], "list") == 0)
    {
      list ();
      return 0;
    }
  if (argc < 2)
    {
      fprintf (stderr, "usage: %s list | WORKLOAD... | loop KIND N\n", argv[0]);
      return 2;
    }
  draws_fill ();
  if (strcmp (argv[1], "loop") == 0)
    {
      allocator.open (work_dir (), GIB);
      return argc == 4 ? loop_run (argv[2], strtoull (argv[3], NULL, 10)) : 2;
    }
  for (int i = 1; i < argc; i++)
    if (find (argv[i]) == NULL)
      die (argv[i], "no such workload");
  /* Workloads on heaps that come back open their own.  */
  if (!(find (argv[1])->needs & FILES_ONLY))
    allocator.open (work_dir (), GIB);
  for (int i = 1; i < argc; i++)
    if (is_possible (find (argv[i])))
      find (argv[i])->run (argv[i]);
  return 0;
}
