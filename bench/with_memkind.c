/* with_memkind.c - memkind's kind for a file system: a heap in a file that
   has no name and is gone with the process.  */

#include <memkind.h>
#include <stddef.h>

#include "bench.h"

static struct memkind *kind;

void *
bench_malloc (size_t size)
{
  return memkind_malloc (kind, size);
}

void
bench_free (void *ptr)
{
  memkind_free (kind, ptr);
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  return memkind_calloc (kind, nmemb, size);
}

void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  (void) old_size;
  return memkind_realloc (kind, ptr, size);
}

static void
open_heap (const char *dir, size_t capacity)
{
  if (memkind_create_pmem (dir, capacity, &kind) != 0)
    die (dir, "memkind_create_pmem failed");
}

const struct allocator allocator =
{
  .name = "memkind", .slow = 2, .open = open_heap
};
