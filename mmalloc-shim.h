/* mmalloc-shim.h - the classic names over the default heap of libmmalloc.

   Include it after the system headers: from there on malloc, calloc, realloc,
   reallocarray, free, memalign, valloc and malloc_usable_size of this source
   file mean the default heap.  Libraries, and strdup and its like, go on
   using libc's malloc: do not hand their blocks to these macros.  As in
   libmmalloc, malloc (0) is NULL.  For another heap define MMALLOC_SHIM_HEAP
   as an expression for it first.  */

#ifndef MMALLOC_SHIM_H
#define MMALLOC_SHIM_H 1

#include <stdlib.h>
#include "mmalloc.h"

#ifndef MMALLOC_SHIM_HEAP
# define MMALLOC_SHIM_HEAP ((void *) 0)
#endif

#undef malloc
#undef calloc
#undef realloc
#undef reallocarray
#undef free
#undef memalign
#undef aligned_alloc
#undef valloc
#undef malloc_usable_size

#define malloc(size)             mmalloc (MMALLOC_SHIM_HEAP, (size))
#define calloc(nmemb, size)      mcalloc (MMALLOC_SHIM_HEAP, (nmemb), (size))
#define realloc(ptr, size)       mrealloc (MMALLOC_SHIM_HEAP, (ptr), (size))
#define reallocarray(ptr, nmemb, size) \
  mreallocarray (MMALLOC_SHIM_HEAP, (ptr), (nmemb), (size))
#define free(ptr)                mfree (MMALLOC_SHIM_HEAP, (ptr))
#define memalign(align, size)    mmemalign (MMALLOC_SHIM_HEAP, (align), (size))
#define aligned_alloc(align, size) \
  mmemalign (MMALLOC_SHIM_HEAP, (align), (size))
#define valloc(size)             mvalloc (MMALLOC_SHIM_HEAP, (size))
#define malloc_usable_size(ptr)  mmalloc_usable_size (MMALLOC_SHIM_HEAP, (ptr))

#endif /* MMALLOC_SHIM_H */
