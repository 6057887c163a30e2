/* with_libc.c - malloc and free, of the C library or of a library linked
   before it that has its own: jemalloc, tcmalloc.  BENCH_NAME is the name.
   With BENCH_MIMALLOC: of mimalloc, by its own names.  */

#include "bench.h"

#ifdef BENCH_MIMALLOC
# include <mimalloc.h>
# define malloc mi_malloc
# define free mi_free
# define calloc mi_calloc
# define realloc mi_realloc
#else
# include <malloc.h>
# include <stdlib.h>

/* How those libraries give memory back; NULL in programs without them.  */
int mallctl (const char *, void *, size_t *, void *, size_t)
  __attribute__ ((__weak__));
void MallocExtension_ReleaseFreeMemory (void) __attribute__ ((__weak__));
#endif

void *
bench_malloc (size_t size)
{
  return malloc (size);
}

void
bench_free (void *ptr)
{
  free (ptr);
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  return calloc (nmemb, size);
}

void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  (void) old_size;
  return realloc (ptr, size);
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
#ifdef BENCH_MIMALLOC
  mi_collect (1);
#else
  if (mallctl != NULL)
    {
      /* 4096 stands for all arenas.  */
      mallctl ("thread.tcache.flush", NULL, NULL, NULL, 0);
      mallctl ("arena.4096.purge", NULL, NULL, NULL, 0);
    }
  else if (MallocExtension_ReleaseFreeMemory != NULL)
    MallocExtension_ReleaseFreeMemory ();
  else
    malloc_trim (0);
#endif
}

const struct allocator allocator =
{
  .name = BENCH_NAME, .slow = 1, .open = open_heap, .trim = trim
};
