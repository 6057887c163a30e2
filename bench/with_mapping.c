/* with_mapping.c - a mapped file without an allocator: blocks one behind the
   other, never used again, and nothing said to the kernel.  What a heap in a
   file costs at least, and what the kernel does by itself.  */

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

/* At the start of the file.  */
struct header
{
  struct header *self;
  size_t capacity, used;
  void *root;
};
static struct header *heap;
static size_t mapped;
static char path[4200];

void *
bench_malloc (size_t size)
{
  size_t at = heap->used;
  if (size > heap->capacity - at)
    return NULL;
  heap->used = (at + size + 15) & ~(size_t) 15;
  return (char *) heap + at;
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
  void *new = bench_malloc (size);
  if (new != NULL)
    memcpy (new, ptr, old_size < size ? old_size : size);
  return new;
}

static void
map_file (int fd, void *address, size_t size)
{
  int flags = MAP_SHARED | (address != NULL ? MAP_FIXED_NOREPLACE : 0);
  heap = mmap (address, size, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (heap == MAP_FAILED || (address != NULL && heap != address))
    die (path, "cannot be mapped");
  mapped = size;
  close (fd);
}

static void
open_heap (const char *dir, size_t capacity)
{
  snprintf (path, sizeof path, "%s/mapping", dir);
  unlink (path);
  int fd = open (path, O_RDWR | O_CREAT, 0600);
  if (fd < 0 || ftruncate (fd, (off_t) capacity) != 0)
    die (path, "cannot be made");
  map_file (fd, NULL, capacity);
  heap->self = heap;
  heap->capacity = capacity;
  heap->used = (sizeof *heap + 63) & ~(size_t) 63;
}

static void
reopen (void)
{
  struct header h;
  int fd = open (path, O_RDWR);
  if (fd < 0 || pread (fd, &h, sizeof h, 0) != sizeof h)
    die (path, "cannot be opened");
  map_file (fd, h.self, h.capacity);
}

static void
close_heap (void)
{
  munmap (heap, mapped);
}

static void
sync_heap (void)
{
  if (msync (heap, mapped, MS_SYNC) != 0)
    die (path, "msync failed");
}

static void
set_root (void *ptr)
{
  heap->root = ptr;
}

static void *
get_root (void)
{
  return heap->root;
}

const struct allocator allocator =
{
  .name = "mapping", .endless = 1, .slow = 1, .open = open_heap,
  .reopen = reopen, .close = close_heap, .sync = sync_heap,
  .set_root = set_root, .get_root = get_root
};
