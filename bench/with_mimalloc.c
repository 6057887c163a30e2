/* with_mimalloc.c - mimalloc, called by its own names.  */

#include <mimalloc.h>

#include "bench.h"

void *
bench_malloc (size_t size)
{
  return mi_malloc (size);
}

void
bench_free (void *ptr)
{
  mi_free (ptr);
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  return mi_calloc (nmemb, size);
}

void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  (void) old_size;
  return mi_realloc (ptr, size);
}

static void
open_heap (const char *dir, size_t capacity)
{
  (void) dir;
  (void) capacity;
}

static void
trim (void)
{
  mi_collect (1);
}

const struct allocator allocator =
{
  .name = "mimalloc", .slow = 1, .open = open_heap, .trim = trim
};
