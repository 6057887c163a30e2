/* checkpoints.c - what a checkpoint costs beside what else makes changes durable.

       checkpoints [DIRECTORY [MIB [ROUNDS]]]   tables: milliseconds, ratios

   A heap of MIB mebibytes (1024) of random bytes in DIRECTORY (.).  Some of its
   pages are changed, 8 bytes each, and then one call makes that durable:

     sync         mmalloc_sync of a shared heap: not atomic
     checkpoint   mmalloc_checkpoint; to `durable' by mmalloc_checkpoint_start and
                  _wait, less what comes after the record is on the disk
     lmdb, sqlite a transaction that changes as many leaves, and for SQLite the
                  wal_checkpoint; if the library was there when this was built
     raw          one write of 4 KiB past the cache, on the disk when it returns

   in turns, ROUNDS (7) of each, medians and, in brackets, minima.  hot: the same
   pages each time; cold: others.  */

#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif

#include <fcntl.h>
#include <signal.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_LMDB
# include <lmdb.h>
#endif
#ifdef HAVE_SQLITE
# include <sqlite3.h>
#endif

#include "mmalloc.h"

enum { PAGE = 4096, MAX_ROUNDS = 1000 };

static const char *dir = ".";
static size_t pages, rounds = 7;
static uint64_t chance = 1;

static uint64_t
random_word (void)
{
  chance ^= chance << 13;
  chance ^= chance >> 7;
  return chance ^= chance << 17;
}

static double
now (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e3 + (double) t.tv_nsec / 1e6;
}

static void
need (int good, const char *what)
{
  if (good)
    return;
  fprintf (stderr, "checkpoints: %s: %s\n", what, mmalloc_strerror (NULL));
  exit (1);
}

static const char *
path_of (const char *name)
{
  static char path[PATH_MAX];
  snprintf (path, sizeof path, "%s/mmalloc-bench-%s-%ld", dir, name,
            (long) getpid ());
  return path;
}


/* ---- Samples ------------------------------------------------------------ */

struct times
{
  double took[MAX_ROUNDS];
  size_t n;
};

static void
note (struct times *t, double took)
{
  if (t->n < MAX_ROUNDS)
    t->took[t->n++] = took;
}

static int
by_value (const void *a, const void *b)
{
  double x = *(const double *) a, y = *(const double *) b;
  return x < y ? -1 : x > y;
}

/* Part P, from 0 to 1, of them is not longer.  */
static double
part (struct times *t, double p)
{
  if (t->n == 0)
    return 0;
  qsort (t->took, t->n, sizeof *t->took, by_value);
  size_t at = (size_t) (p * (double) t->n);
  return t->took[at < t->n ? at : t->n - 1];
}

static double
mean (const struct times *t)
{
  double sum = 0;
  for (size_t i = 0; i < t->n; i++)
    sum += t->took[i];
  return t->n > 0 ? sum / (double) t->n : 0;
}

static void
row (const char *name, struct times *t, double beside)
{
  printf ("  %-28s %9.3f (%.3f)", name, part (t, .5), part (t, 0));
  if (beside > 0)
    printf ("  %.3f of sync", part (t, .5) / beside);
  putchar ('\n');
}


/* ---- The heaps ---------------------------------------------------------- */

struct heap
{
  char *md, *block;
  int logged;
};

static void
heap_open (struct heap *h, int logged, size_t log)
{
  struct mmalloc_options options = MMALLOC_OPTIONS_INIT;
  options.reserve = pages * PAGE * 2 + ((size_t) 512 << 20);
  options.log = log;
  h->logged = logged;
  h->md = mmalloc_open (path_of (logged ? "logged" : "shared"),
                        MMALLOC_CREATE | (logged ? MMALLOC_CHECKPOINT : 0),
                        &options);
  need (h->md != NULL, "open");
  h->block = mmalloc_getroot (h->md, "block");
}

static void
heap_save (struct heap *h)
{
  need ((h->logged ? mmalloc_checkpoint (h->md) : mmalloc_sync (h->md)) == 0,
        "save");
}

static void
heap_make (struct heap *h, int logged, size_t log)
{
  heap_open (h, logged, log);
  h->block = mmemalign (h->md, PAGE, pages * PAGE);
  need (h->block != NULL && mmalloc_setroot (h->md, "block", h->block) == 0,
        "block");
  for (size_t i = 0; i < pages * PAGE; i += 8)
    *(uint64_t *) (void *) (h->block + i) = random_word ();
  heap_save (h);
}

/* 8 bytes in page N.  */
static void
change (struct heap *h, size_t n)
{
  *(uint64_t *) (void *) (h->block + n * PAGE + n % 60 * 64) = random_word ();
}

static size_t *chosen;

static void
choose (size_t n)
{
  for (size_t i = 0; i < n; i++)
    chosen[i] = random_word () % pages;
}

static double paused;

static void
resume (void *arg)
{
  (void) arg;
  paused = now ();
}


/* ---- The peers ---------------------------------------------------------- */

#ifdef HAVE_LMDB
static MDB_env *env;
static MDB_dbi dbi;

static void
lmdb_put (MDB_txn *txn, size_t n)
{
  char value[3000];
  MDB_val k = { sizeof n, &n }, v = { sizeof value, value };
  memset (value, (int) n, sizeof value);
  *(uint64_t *) (void *) value = random_word ();
  need (mdb_put (txn, dbi, &k, &v, 0) == 0, "lmdb put");
}

/* Values of which a leaf has one.  */
static void
lmdb_make (void)
{
  MDB_txn *txn;
  need (mdb_env_create (&env) == 0
        && mdb_env_set_mapsize (env, pages * PAGE * 4) == 0
        && mdb_env_open (env, path_of ("lmdb"), MDB_NOSUBDIR, 0600) == 0,
        "lmdb open");
  need (mdb_txn_begin (env, NULL, 0, &txn) == 0
        && mdb_dbi_open (txn, NULL, MDB_CREATE | MDB_INTEGERKEY, &dbi) == 0,
        "lmdb begin");
  for (size_t i = 0; i < pages; i++)
    {
      lmdb_put (txn, i);
      if (i % 20000 == 19999)
        need (mdb_txn_commit (txn) == 0
              && mdb_txn_begin (env, NULL, 0, &txn) == 0, "lmdb commit");
    }
  need (mdb_txn_commit (txn) == 0, "lmdb commit");
}

static double
lmdb_commit (size_t n)
{
  MDB_txn *txn;
  need (mdb_txn_begin (env, NULL, 0, &txn) == 0, "lmdb begin");
  for (size_t i = 0; i < n; i++)
    lmdb_put (txn, chosen[i]);
  double start = now ();
  need (mdb_txn_commit (txn) == 0, "lmdb commit");
  return now () - start;
}
#endif

#ifdef HAVE_SQLITE
static sqlite3 *db;
static sqlite3_stmt *update;

static void
sqlite_do (const char *words)
{
  need (sqlite3_exec (db, words, NULL, NULL, NULL) == SQLITE_OK, words);
}

static void
sqlite_make (void)
{
  sqlite3_stmt *insert;
  char value[3500];
  memset (value, 'x', sizeof value);
  need (sqlite3_open (path_of ("sqlite"), &db) == SQLITE_OK, "sqlite open");
  sqlite_do ("PRAGMA journal_mode = WAL");
  sqlite_do ("PRAGMA synchronous = FULL");
  sqlite_do ("PRAGMA wal_autocheckpoint = 0");
  sqlite_do ("PRAGMA cache_size = -2000000");
  sqlite_do ("CREATE TABLE t (id INTEGER PRIMARY KEY, v BLOB)");
  sqlite_do ("BEGIN");
  need (sqlite3_prepare_v2 (db, "INSERT INTO t VALUES (?1, ?2)", -1, &insert,
                            NULL) == SQLITE_OK, "sqlite insert");
  for (size_t i = 0; i < pages; i++)
    {
      sqlite3_bind_int64 (insert, 1, (long long) i);
      sqlite3_bind_blob (insert, 2, value, sizeof value, SQLITE_STATIC);
      need (sqlite3_step (insert) == SQLITE_DONE, "sqlite insert");
      sqlite3_reset (insert);
    }
  sqlite3_finalize (insert);
  sqlite_do ("COMMIT");
  sqlite_do ("PRAGMA wal_checkpoint(TRUNCATE)");
  need (sqlite3_prepare_v2 (db, "UPDATE t SET v = ?2 WHERE id = ?1", -1, &update,
                            NULL) == SQLITE_OK, "sqlite update");
}

/* The commit, and the wal_checkpoint behind it.  */
static double
sqlite_commit (size_t n)
{
  char value[3500];
  memset (value, 'y', sizeof value);
  sqlite_do ("BEGIN");
  for (size_t i = 0; i < n; i++)
    {
      *(uint64_t *) (void *) value = random_word ();
      sqlite3_bind_int64 (update, 1, (long long) chosen[i]);
      sqlite3_bind_blob (update, 2, value, sizeof value, SQLITE_STATIC);
      need (sqlite3_step (update) == SQLITE_DONE, "sqlite update");
      sqlite3_reset (update);
    }
  double start = now ();
  sqlite_do ("COMMIT");
  sqlite_do ("PRAGMA wal_checkpoint(PASSIVE)");
  return now () - start;
}
#endif

static int raw_fd = -1;
static char *raw_page;

static double
raw_write (void)
{
  if (raw_fd < 0)
    {
      raw_fd = open (path_of ("raw"), O_RDWR | O_CREAT | O_DSYNC | O_DIRECT, 0600);
      if (raw_fd < 0)
        raw_fd = open (path_of ("raw"), O_RDWR | O_CREAT | O_DSYNC, 0600);
      raw_page = mmap (NULL, PAGE, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
      memset (raw_page, 7, PAGE);
      need (pwrite (raw_fd, raw_page, PAGE, 0) == PAGE, "raw write");
    }
  double start = now ();
  need (pwrite (raw_fd, raw_page, PAGE, 0) == PAGE, "raw write");
  return now () - start;
}

/* All of the block to another file, and that to the disk.  */
static double
copy_all (struct heap *h)
{
  int fd = open (path_of ("copy"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  double start = now ();
  for (size_t at = 0; at < pages * PAGE; at += 1 << 20)
    need (write (fd, h->block + at, 1 << 20) == 1 << 20, "copy");
  need (fdatasync (fd) == 0, "copy");
  double took = now () - start;
  close (fd);
  unlink (path_of ("copy"));
  return took;
}


/* ---- The tables --------------------------------------------------------- */

/* N pages, the same each time or not, by all ways.  */
static void
one_call (const char *name, struct heap *shared, struct heap *logged, size_t n,
          int hot)
{
  static struct times sync, checkpoint, durable, pause, lmdb, sqlite, raw;
  struct times *all[] = { &sync, &checkpoint, &durable, &pause, &lmdb, &sqlite,
                          &raw };
  for (size_t i = 0; i < sizeof all / sizeof *all; i++)
    all[i]->n = 0;
  choose (n);
  for (size_t r = 0; r < rounds + 2; r++)
    {
      double start, took;
      if (!hot)
        choose (n);
      for (size_t i = 0; i < n; i++)
        change (shared, chosen[i]);
      start = now ();
      heap_save (shared);
      took = now () - start;
      /* The first ones only make what is hot.  */
      if (r >= 2)
        note (&sync, took);
      for (size_t i = 0; i < n; i++)
        change (logged, chosen[i]);
      start = now ();
      heap_save (logged);
      took = now () - start;
      if (r >= 2)
        note (&checkpoint, took);
      if (!hot)
        choose (n);
      for (size_t i = 0; i < n; i++)
        change (logged, chosen[i]);
      start = now ();
      need (mmalloc_checkpoint_resume (logged->md, resume, NULL) == 0, "resume");
      if (r >= 2)
        note (&pause, paused - start);
      if (r >= 2)
        note (&raw, raw_write ());
#ifdef HAVE_LMDB
      took = lmdb_commit (n);
      if (r >= 2)
        note (&lmdb, took);
#endif
#ifdef HAVE_SQLITE
      took = sqlite_commit (n);
      if (r >= 2)
        note (&sqlite, took);
#endif
    }
  printf ("%s: %zu pages\n", name, n);
  double beside = part (&sync, .5);
  row ("sync", &sync, 0);
  row ("checkpoint", &checkpoint, beside);
  row ("  pause", &pause, beside);
  if (lmdb.n > 0)
    {
      row ("lmdb commit", &lmdb, beside);
      printf ("  %-28s %9.3f\n", "checkpoint to lmdb",
              part (&checkpoint, .5) / part (&lmdb, .5));
    }
  if (sqlite.n > 0)
    {
      row ("sqlite commit + checkpoint", &sqlite, beside);
      printf ("  %-28s %9.3f\n", "checkpoint to sqlite",
              part (&checkpoint, .5) / part (&sqlite, .5));
    }
  row ("raw write", &raw, 0);
  printf ("  %-28s %9.3f\n\n", "checkpoint to raw write",
          part (&checkpoint, .5) / part (&raw, .5));
  fflush (stdout);
}

/* Bytes that this process had written, and what the disk has not got yet.  */
static double
disk_bytes (void)
{
  double bytes = 0;
  char line[200];
  FILE *f = fopen ("/proc/self/io", "r");
  if (f == NULL)
    return 0;
  while (fgets (line, sizeof line, f) != NULL)
    sscanf (line, "write_bytes: %lf", &bytes);
  fclose (f);
  return bytes;
}

/* Calls one after the other, N pages each; SKEWED: nine of ten changes are in one
   page of fifty.  */
static void
sustained (const char *name, struct heap *shared, struct heap *logged, size_t n,
           int skewed, size_t calls)
{
  static struct times sync, checkpoint;
  double bytes[2] = { 0, 0 };
  sync.n = checkpoint.n = 0;
  for (size_t c = 0; c < calls; c++)
    {
      choose (n);
      for (size_t i = 0; i < n && skewed; i++)
        if (random_word () % 10 != 0)
          chosen[i] %= pages / 50;
      struct heap *h[2] = { shared, logged };
      for (int k = 0; k < 2; k++)
        {
          double before = disk_bytes ();
          for (size_t i = 0; i < n; i++)
            change (h[k], chosen[i]);
          double start = now ();
          heap_save (h[k]);
          note (k == 0 ? &sync : &checkpoint, now () - start);
          bytes[k] += disk_bytes () - before;
        }
    }
  printf ("%s: %zu calls, %zu pages each\n", name, calls, n);
  for (int k = 0; k < 2; k++)
    {
      struct times *t = k == 0 ? &sync : &checkpoint;
      printf ("  %-28s %9.3f mean, %.3f median, %.3f p99, %.3f max; %.0f bytes"
              " a page\n", k == 0 ? "sync" : "checkpoint", mean (t), part (t, .5),
              part (t, .99), part (t, 1), bytes[k] / (double) (calls * n));
    }
  printf ("  %-28s %9.3f mean, %.3f bytes; p99 to the median %.2f\n\n",
          "checkpoint to sync", mean (&checkpoint) / mean (&sync),
          bytes[1] / bytes[0], part (&checkpoint, .99) / part (&checkpoint, .5));
  fflush (stdout);
}

/* Pairs of small blocks, and pages that are touched for the first time.  */
static void
memory (struct heap *shared, struct heap *logged)
{
  static struct times pair[2], touch[2];
  enum { PAIRS = 2000000, KEPT = 64, BLOCKS = 20000 };
  static void *kept[KEPT], *block[BLOCKS];
  struct heap *h[2] = { shared, logged };
  for (size_t r = 0; r < rounds; r++)
    for (int k = 0; k < 2; k++)
      {
        char *md = h[k]->md;
        for (size_t i = 0; i < KEPT; i++)
          kept[i] = mmalloc (md, 64);
        double start = now ();
        for (size_t i = 0; i < PAIRS; i++)
          {
            mfree (md, kept[i % KEPT]);
            kept[i % KEPT] = mmalloc (md, 64);
          }
        note (&pair[k], (now () - start) * 1e6 / PAIRS);
        for (size_t i = 0; i < KEPT; i++)
          mfree (md, kept[i]);
        start = now ();
        for (size_t i = 0; i < BLOCKS; i++)
          {
            block[i] = mmalloc (md, PAGE);
            memset (block[i], 1, PAGE);
          }
        note (&touch[k], (now () - start) * 1e3 / BLOCKS);
        for (size_t i = 0; i < BLOCKS; i++)
          mfree (md, block[i]);
        mmalloc_trim (md);
        heap_save (h[k]);
      }
  puts ("memory: ns a pair, us a page touched for the first time");
  for (int k = 0; k < 2; k++)
    {
      row (k == 0 ? "pair, shared" : "pair, checkpoints", &pair[k],
           k == 0 ? 0 : part (&pair[0], .5));
      row (k == 0 ? "touch, shared" : "touch, checkpoints", &touch[k],
           k == 0 ? 0 : part (&touch[0], .5));
    }
  enum { TURNS = 10000000 };
  double start = now ();
  for (size_t i = 0; i < TURNS; i++)
    if (mmalloc_enter (logged->md) != 0 || mmalloc_leave (logged->md) != 0)
      exit (1);
  printf ("  %-28s %9.3f ns\n\n", "enter + leave",
          (now () - start) * 1e6 / TURNS);
}

/* Opening after the process was killed with its log full.  */
static void
killed (struct heap *logged)
{
  need (mmalloc_detach (logged->md) == NULL, "detach");
  pid_t child = fork ();
  if (child == 0)
    {
      heap_open (logged, 1, 0);
      size_t n = pages / 100;
      for (int i = 0; i < 60; i++)
        {
          choose (n);
          for (size_t k = 0; k < n; k++)
            change (logged, chosen[k]);
          heap_save (logged);
        }
      raise (SIGKILL);
    }
  need (child > 0 && waitpid (child, NULL, 0) == child, "child");
  double start = now ();
  heap_open (logged, 1, 0);
  printf ("open after a kill              %9.3f ms\n", now () - start);
}

int
main (int argc, char **argv)
{
  dir = argc > 1 ? argv[1] : dir;
  size_t mib = argc > 2 ? strtoul (argv[2], NULL, 10) : 1024;
  rounds = argc > 3 ? strtoul (argv[3], NULL, 10) : rounds;
  if (argc > 4 || mib < 16 || rounds == 0 || rounds > MAX_ROUNDS / 10)
    {
      fprintf (stderr, "usage: checkpoints [DIRECTORY [MIB [ROUNDS]]]\n");
      return 2;
    }
  struct heap shared, logged;
  pages = mib << 8;
  chosen = malloc (pages * sizeof *chosen);
  need (chosen != NULL, "memory");
  heap_make (&shared, 0, 0);
  heap_make (&logged, 1, 0);
#ifdef HAVE_LMDB
  lmdb_make ();
#endif
#ifdef HAVE_SQLITE
  sqlite_make ();
#endif
  printf ("copy and fdatasync of all      %9.3f ms\n\n", copy_all (&shared));
  one_call ("two pages", &shared, &logged, 2, 1);
  one_call ("0.1 % hot", &shared, &logged, pages / 1000, 1);
  one_call ("1 % hot", &shared, &logged, pages / 100, 1);
  one_call ("1 % cold", &shared, &logged, pages / 100, 0);
  sustained ("1 % random", &shared, &logged, pages / 100, 0, rounds * 20);
  sustained ("1 % skewed", &shared, &logged, pages / 100, 1, rounds * 20);
  memory (&shared, &logged);
  killed (&logged);
  const char *names[] = { "shared", "logged", "lmdb", "lmdb-lock", "sqlite",
                          "sqlite-wal", "sqlite-shm", "raw" };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    unlink (path_of (names[i]));
  return 0;
}
