/* with_libmmalloc.c - libmmalloc: the default heap, or with -DBENCH_FILE a
   heap in a file.  */

#include <stdio.h>
#include <unistd.h>

#include "bench.h"
#include "mmalloc.h"

static void *heap;

void *
bench_malloc (size_t size)
{
  return mmalloc (heap, size);
}

void
bench_free (void *ptr)
{
  mfree (heap, ptr);
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  return mcalloc (heap, nmemb, size);
}

void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  (void) old_size;
  return mrealloc (heap, ptr, size);
}

static void
trim (void)
{
  mmalloc_trim (heap);
}

#ifdef BENCH_FILE

static char path[4200];

static void
reopen (void)
{
  heap = mmalloc_open (path, 0, NULL);
  if (heap == NULL)
    die (path, mmalloc_strerror (NULL));
}

static void
open_heap (const char *dir, size_t capacity)
{
  (void) capacity;              /* that of a heap without options is enough */
  snprintf (path, sizeof path, "%s/heap", dir);
  unlink (path);
  heap = mmalloc_open (path, MMALLOC_CREATE, NULL);
  if (heap == NULL)
    die (path, mmalloc_strerror (NULL));
}

static void
close_heap (void)
{
  heap = mmalloc_detach (heap);
}

static void
sync_heap (void)
{
  if (mmalloc_sync (heap) != 0)
    die ("sync", mmalloc_strerror (heap));
}

static void
prefetch (void)
{
  if (mmalloc_prefetch (heap) != 0)
    die ("prefetch", mmalloc_strerror (heap));
}

static void
set_root (void *ptr)
{
  mmalloc_setkey (heap, 0, ptr);
}

static void *
get_root (void)
{
  return mmalloc_getkey (heap, 0);
}

const struct allocator allocator =
{
  .name = "file", .slow = 1, .open = open_heap, .trim = trim,
  .reopen = reopen, .close = close_heap, .sync = sync_heap,
  .prefetch = prefetch, .set_root = set_root, .get_root = get_root
};

#else

static void
open_heap (const char *dir, size_t capacity)
{
  (void) dir;
  (void) capacity;
}

const struct allocator allocator =
{
  .name = "default", .slow = 1, .open = open_heap, .trim = trim
};

#endif
