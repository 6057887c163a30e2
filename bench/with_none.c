/* with_none.c - no allocator at all: what the workloads themselves take.
   Each thread goes round in a piece of memory of its own.  */

#include <stdlib.h>

#include "bench.h"

enum { PIECE = 16 << 20, ROUND = 256 << 10 };
static _Thread_local size_t next;
static _Thread_local char *piece;

void *
bench_malloc (size_t size)
{
  if (__builtin_expect (piece == NULL, 0))
    piece = malloc (PIECE);
  size_t at = next;
  next = (at + size + 15) & (ROUND - 16);
  return piece + at;
}

void
bench_free (void *ptr)
{
  __asm__ volatile ("" : : "r" (ptr) : "memory");
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  return bench_malloc (nmemb * size);
}

void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  (void) old_size;
  __asm__ volatile ("" : : "r" (size) : "memory");
  return ptr;
}

static void
open_heap (const char *dir, size_t capacity)
{
  (void) dir;
  (void) capacity;
}

const struct allocator allocator =
{
  .name = "none", .fake = 1, .slow = 1, .open = open_heap
};
