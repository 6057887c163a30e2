/* table.c - a table of a million nodes of 96 bytes, in memory and in a file
   that is closed and opened again.  */

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bench.h"

struct node
{
  struct node *next;
  uint64_t key;
  char payload[80];
};
struct table
{
  size_t n_nodes;
  struct node *bucket[];        /* a power of two: at least n_nodes */
};

static size_t
n_buckets (size_t n_nodes)
{
  size_t n = 1024;
  while (n < n_nodes)
    n *= 2;
  return n;
}

/* Mixes the bits of I; no two numbers have the same key.  */
static uint64_t
key_of (uint64_t i)
{
  i = (i ^ i >> 30) * 0xbf58476d1ce4e5b9u;
  i = (i ^ i >> 27) * 0x94d049bb133111ebu;
  return i ^ i >> 31;
}

static struct table *
table_new (size_t n)
{
  size_t size = sizeof (struct table) + n_buckets (n) * sizeof (struct node *);
  struct table *t = bench_malloc (size);
  if (t == NULL)
    die ("table", "no memory");
  memset (t, 0, size);
  t->n_nodes = n;
  return t;
}

static void
table_fill (struct table *t)
{
  size_t mask = n_buckets (t->n_nodes) - 1;
  for (size_t i = 0; i < t->n_nodes; i++)
    {
      struct node *node = bench_malloc (sizeof *node);
      if (node == NULL)
        die ("table", "no memory");
      node->key = key_of (i);
      memset (node->payload, (int) i, sizeof node->payload);
      node->next = t->bucket[node->key & mask];
      t->bucket[node->key & mask] = node;
    }
}

/* Visit all nodes by their keys, and see that none is missing.  */
static void
table_walk (const struct table *t)
{
  size_t n = 0, n_lists = n_buckets (t->n_nodes);
  uint64_t sum = 0;
  for (size_t i = 0; i < n_lists; i++)
    for (const struct node *node = t->bucket[i]; node != NULL;
         node = node->next, n++)
      sum += node->key + (unsigned char) node->payload[79];
  if (n != t->n_nodes || sum == 0)
    die ("table", "nodes are missing");
}

static void
table_free (struct table *t)
{
  size_t n_lists = n_buckets (t->n_nodes);
  for (size_t i = 0; i < n_lists; i++)
    for (struct node *node = t->bucket[i], *next; node != NULL; node = next)
      {
        next = node->next;
        bench_free (node);
      }
  bench_free (t);
}


/* ---- In memory ------------------------------------------------------- */

static void
map (const char *name)
{
  size_t n = amount (1000000);
  double resident = resident_bytes (), file = file_bytes ();
  struct table *t = table_new (n);
  double lists = (double) (n_buckets (n) * sizeof (struct node *));
  double nodes = (double) n, start = cpu_now ();
  table_fill (t);
  double built = cpu_now ();
  table_walk (t);
  double walked = cpu_now ();
  double more = resident_bytes () - resident - lists;
  double more_file = file_bytes () - file - lists;
  double freeing = cpu_now ();
  table_free (t);
  double freed = cpu_now () - freeing;
  report (name, "build-ns", (built - start) / nodes);
  report (name, "walk-ns", (walked - built) / nodes);
  report (name, "free-ns", freed / nodes);
  report (name, "total-ns", (walked - start + freed) / nodes);
  report (name, "bytes-a-node", more / nodes);
  if (more_file > 0)
    report (name, "file-bytes-a-node", more_file / nodes);
}


/* ---- In a file ------------------------------------------------------- */

/* How much of the file open as FD is in memory, of 1.  */
static double
cached (int fd, size_t size)
{
  size_t pages = (size + 4095) / 4096, n = 0;
  unsigned char *there = malloc (pages);
  void *at = mmap (NULL, size, PROT_READ, MAP_SHARED, fd, 0);
  if (there == NULL || at == MAP_FAILED || mincore (at, size, there) != 0)
    die ("mincore", "failed");
  for (size_t i = 0; i < pages; i++)
    n += there[i] & 1;
  munmap (at, size);
  free (there);
  return (double) n * 4096 / (double) size;
}

/* Have the files of work_dir on the disk alone.  Says what part of them stays
   in memory all the same: all of it on a tmpfs.  */
static double
files_out_of_memory (void)
{
  double most = 0;
  DIR *dir = opendir (work_dir ());
  for (struct dirent *e; dir != NULL && (e = readdir (dir)) != NULL; )
    {
      struct stat st;
      int fd = openat (dirfd (dir), e->d_name, O_RDONLY);
      if (fd >= 0 && fstat (fd, &st) == 0 && S_ISREG (st.st_mode)
          && st.st_size > 0)
        {
          fsync (fd);
          posix_fadvise (fd, 0, 0, POSIX_FADV_DONTNEED);
          double part = cached (fd, (size_t) st.st_size);
          most = part > most ? part : most;
        }
      if (fd >= 0)
        close (fd);
    }
  if (dir != NULL)
    closedir (dir);
  return most;
}

/* Open and walk the table when nothing of it is in memory.  */
static void
walk_cold (const char *name, int prefetch)
{
  double still = files_out_of_memory (), start = wall_now ();
  allocator.reopen ();
  if (!prefetch)
    report (name, "reopen-ms", ms_since (start));
  double opened = wall_now ();
  if (prefetch)
    {
      allocator.prefetch ();
      report (name, "prefetch-ms", ms_since (opened));
    }
  double walking = wall_now ();
  table_walk (allocator.get_root ());
  if (prefetch)
    {
      report (name, "walk-prefetched-ms", ms_since (walking));
      report (name, "prefetch+walk-ms", ms_since (opened));
    }
  else
    {
      report (name, "walk-cold-ms", ms_since (walking));
      report (name, "still-in-memory", still);
    }
}

static void
persist (const char *name)
{
  size_t n = amount (1000000);
  double start = wall_now ();
  allocator.open (work_dir (), 4 * GIB);
  report (name, "create-ms", ms_since (start));

  start = wall_now ();
  struct table *t = table_new (n);
  allocator.set_root (t);
  table_fill (t);
  report (name, "build-ns", ms_since (start) * 1e6 / (double) n);
  start = wall_now ();
  allocator.sync ();
  report (name, "sync-ms", ms_since (start));
  report (name, "file-bytes-a-node", file_bytes () / (double) n);

  /* The commit of a small change.  */
  start = wall_now ();
  enum { N_CHANGES = 20 };
  for (size_t i = 0; i < N_CHANGES; i++)
    {
      struct node *node = t->bucket[draws[i] & (n_buckets (n) - 1)];
      if (node != NULL)
        node->payload[0] = (char) i;
      allocator.sync ();
    }
  report (name, "sync-one-change-ms", ms_since (start) / N_CHANGES);
  start = wall_now ();
  allocator.close ();
  report (name, "close-ms", ms_since (start));

  walk_cold (name, 0);
  start = wall_now ();
  table_walk (allocator.get_root ());
  report (name, "walk-warm-ms", ms_since (start));
  allocator.close ();
  if (allocator.prefetch != NULL)
    {
      walk_cold (name, 1);
      allocator.close ();
    }
}


const struct workload table_workloads[] =
{
  { "map", map, REAL_MEMORY | NO_REUSE },
  { "persist", persist, FILES_ONLY | NO_REUSE },
  { NULL, NULL, 0 }
};
