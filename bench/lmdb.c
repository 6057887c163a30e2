/* lmdb.c - LMDB beside heaps in files: the workloads persist and reopen, as
   far as a database of keys and values has them.  A "sync" is a commit.  */

#include <fcntl.h>
#include <lmdb.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

static char path[4000];
static MDB_env *env;
static MDB_dbi dbi;

static void
check (int error, const char *what)
{
  if (error == 0)
    return;
  fprintf (stderr, "bench-lmdb: %s: %s\n", what, mdb_strerror (error));
  exit (1);
}

static double
now (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static void
report (const char *workload, const char *metric, double value)
{
  printf ("%s %s %.6g\n", workload, metric, value);
  fflush (stdout);
}

static uint64_t
key_of (uint64_t i)
{
  i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9u;
  i = (i ^ i >> 27) * 0x94d049bb133111ebu;
  return i ^ i >> 31;
}

static void
open_env (size_t capacity)
{
  check (mdb_env_create (&env), "create");
  check (mdb_env_set_mapsize (env, capacity), "mapsize");
  check (mdb_env_open (env, path, MDB_NOSUBDIR, 0600), path);
}

static void
remove_files (void)
{
  char lock[4100];
  snprintf (lock, sizeof lock, "%s-lock", path);
  unlink (path);
  unlink (lock);
}

static MDB_txn *
begin (unsigned flags)
{
  MDB_txn *txn;
  check (mdb_txn_begin (env, NULL, flags, &txn), "begin");
  check (mdb_dbi_open (txn, NULL, flags & MDB_RDONLY ? 0 : MDB_CREATE, &dbi),
         "open");
  return txn;
}

static void
put (MDB_txn *txn, uint64_t number, char fill)
{
  char payload[80];
  uint64_t key = key_of (number);
  MDB_val k = { sizeof key, &key }, v = { sizeof payload, payload };
  memset (payload, fill, sizeof payload);
  check (mdb_put (txn, dbi, &k, &v, 0), "put");
}

static void
walk (size_t n)
{
  MDB_txn *txn = begin (MDB_RDONLY);
  MDB_cursor *cursor;
  MDB_val k, v;
  size_t seen = 0;
  unsigned long sum = 0;
  check (mdb_cursor_open (txn, dbi, &cursor), "cursor");
  while (mdb_cursor_get (cursor, &k, &v, MDB_NEXT) == 0)
    {
      seen++;
      sum += ((unsigned char *) v.mv_data)[79];
    }
  mdb_cursor_close (cursor);
  mdb_txn_abort (txn);
  if (seen != n || sum == 0)
    check (MDB_NOTFOUND, "walk");
}

static void
out_of_memory (void)
{
  int fd = open (path, O_RDONLY);
  if (fd < 0)
    return;
  fsync (fd);
  posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
  close (fd);
}

static void
persist (size_t n)
{
  enum { N_CHANGES = 20 };
  size_t capacity = (size_t) 4 << 30;
  double start = now ();
  open_env (capacity);
  report ("persist", "create-ms", now () - start);
  start = now ();
  MDB_txn *txn = begin (0);
  for (size_t i = 0; i < n; i++)
    put (txn, i, (char) i);
  report ("persist", "build-ns", (now () - start) * 1e6 / (double) n);
  start = now ();
  check (mdb_txn_commit (txn), "commit");
  report ("persist", "sync-ms", now () - start);
  start = now ();
  for (size_t i = 0; i < N_CHANGES; i++)
    {
      txn = begin (0);
      put (txn, i * 777 % n, 1);
      check (mdb_txn_commit (txn), "commit");
    }
  report ("persist", "sync-one-change-ms", (now () - start) / N_CHANGES);
  start = now ();
  mdb_env_close (env);
  report ("persist", "close-ms", now () - start);
  out_of_memory ();
  start = now ();
  open_env (capacity);
  report ("persist", "reopen-ms", now () - start);
  start = now ();
  walk (n);
  report ("persist", "walk-cold-ms", now () - start);
  start = now ();
  walk (n);
  report ("persist", "walk-warm-ms", now () - start);
  mdb_env_close (env);
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

static void
open_and_die (size_t capacity)
{
  pid_t child = fork ();
  if (child == 0)
    {
      open_env (capacity);
      put (begin (0), 1, 1);
      raise (SIGKILL);
    }
  if (child < 0 || waitpid (child, NULL, 0) != child)
    exit (1);
}

/* An empty database that may grow to 12 GiB.  */
static void
reopen (void)
{
  enum { N_OPENS = 21 };
  double took[N_OPENS];
  size_t capacity = (size_t) 12 << 30;
  open_env (capacity);
  check (mdb_txn_commit (begin (0)), "commit");
  mdb_env_close (env);
  for (int kill = 0; kill < 2; kill++)
    {
      for (size_t i = 0; i < N_OPENS; i++)
        {
          if (kill)
            open_and_die (capacity);
          double start = now ();
          open_env (capacity);
          took[i] = now () - start;
          mdb_env_close (env);
        }
      qsort (took, N_OPENS, sizeof *took, by_value);
      report ("reopen", kill ? "open-killed-ms" : "open-ms",
              took[N_OPENS / 2]);
    }
}

int
main (int argc, char **argv)
{
  const char *dir = getenv ("BENCH_DIR"), *scale = getenv ("BENCH_SCALE");
  size_t n = (size_t) (1e6 * (scale != NULL ? atof (scale) : 1));
  snprintf (path, sizeof path, "%s/mmalloc-bench-lmdb-%ld",
            dir != NULL ? dir : "/dev/shm", (long) getpid ());
  if (argc == 2 && strcmp (argv[1], "list") == 0)
    puts ("persist\nreopen");
  else if (argc == 2 && strcmp (argv[1], "persist") == 0)
    persist (n);
  else if (argc == 2 && strcmp (argv[1], "reopen") == 0)
    reopen ();
  else
    return 2;
  remove_files ();
  return 0;
}
