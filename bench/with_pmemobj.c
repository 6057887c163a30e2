/* with_pmemobj.c - libpmemobj with its atomic calls.  Its flushing of caches
   is what it would do on persistent memory if PMEM_IS_PMEM_FORCE=1 is in the
   environment, else it syncs files, far slower.  */

#include <fcntl.h>
#include <libpmemobj.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

static PMEMobjpool *pool;
static size_t pool_size;
static char path[4200];

void *
bench_malloc (size_t size)
{
  PMEMoid oid;
  if (pmemobj_alloc (pool, &oid, size, 1, NULL, NULL) != 0)
    return NULL;
  return pmemobj_direct (oid);
}

void
bench_free (void *ptr)
{
  PMEMoid oid = pmemobj_oid (ptr);
  pmemobj_free (&oid);
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  PMEMoid oid;
  if (pmemobj_zalloc (pool, &oid, nmemb * size, 1) != 0)
    return NULL;
  return pmemobj_direct (oid);
}

void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  PMEMoid oid = pmemobj_oid (ptr);
  (void) old_size;
  if (pmemobj_realloc (pool, &oid, size, 1) != 0)
    return NULL;
  return pmemobj_direct (oid);
}

/* The file is made here, with holes: the library would fill it.  */
static void
open_heap (const char *dir, size_t capacity)
{
  snprintf (path, sizeof path, "%s/pool", dir);
  unlink (path);
  int fd = open (path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate (fd, (off_t) capacity) != 0)
    die (path, "cannot be made");
  close (fd);
  pool_size = capacity;
  pool = pmemobj_create (path, "bench", 0, 0600);
  if (pool == NULL)
    die (path, pmemobj_errormsg ());
}

/* Pointers in the heap hold only if it comes back where it was.  */
static void
reopen (void)
{
  static PMEMobjpool *was;
  was = pool;
  pool = pmemobj_open (path, "bench");
  if (pool == NULL)
    die (path, pmemobj_errormsg ());
  if (pool != was)
    die (path, "came back elsewhere");
}

static void
close_heap (void)
{
  pmemobj_close (pool);
}

static void
sync_heap (void)
{
  if (msync (pool, pool_size, MS_SYNC) != 0)
    die (path, "msync failed");
}

static void **
root (void)
{
  return pmemobj_direct (pmemobj_root (pool, sizeof (void *)));
}

static void
set_root (void *ptr)
{
  *root () = ptr;
}

static void *
get_root (void)
{
  return *root ();
}

const struct allocator allocator =
{
  .name = "pmemobj", .slow = 16, .open = open_heap, .reopen = reopen,
  .close = close_heap, .sync = sync_heap, .set_root = set_root,
  .get_root = get_root
};
