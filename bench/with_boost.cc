// with_boost.cc - Boost.Interprocess: managed_mapped_file.

#include <boost/interprocess/managed_mapped_file.hpp>
#include <cstring>
#include <new>
#include <string>
#include <sys/mman.h>
#include <unistd.h>

#include "bench.h"

namespace ipc = boost::interprocess;

static ipc::managed_mapped_file *heap;
static std::string path;
static void *address;

void *
bench_malloc (size_t size)
{
  return heap->allocate (size, std::nothrow);
}

void
bench_free (void *ptr)
{
  heap->deallocate (ptr);
}

void *
bench_calloc (size_t nmemb, size_t size)
{
  void *p = bench_malloc (nmemb * size);
  if (p != nullptr)
    std::memset (p, 0, nmemb * size);
  return p;
}

// Grow in place if there is room behind, else move.
void *
bench_realloc (void *ptr, size_t old_size, size_t size)
{
  ipc::managed_mapped_file::size_type received = size;
  char *reuse = static_cast<char *> (ptr);
  if (size <= old_size
      || heap->allocation_command<char> (ipc::expand_fwd
                                           | ipc::nothrow_allocation,
                                         size, received, reuse) != nullptr)
    return ptr;
  void *moved = bench_malloc (size);
  if (moved != nullptr)
    {
      std::memcpy (moved, ptr, old_size);
      bench_free (ptr);
    }
  return moved;
}

static void
open_heap (const char *dir, size_t capacity)
{
  path = std::string (dir) + "/boost";
  unlink (path.c_str ());
  heap = new ipc::managed_mapped_file (ipc::create_only, path.c_str (),
                                       capacity);
  address = heap->get_address ();
  heap->construct<void *> ("root") (nullptr);
}

// At the same address, for the pointers inside.
static void
reopen ()
{
  try
    {
      // get_address is some bytes behind the start of the mapping.
      void *at = reinterpret_cast<void *> (
        reinterpret_cast<uintptr_t> (address) & ~uintptr_t (4095));
      heap = new ipc::managed_mapped_file (ipc::open_only, path.c_str (), at);
    }
  catch (const ipc::interprocess_exception &e)
    {
      die (path.c_str (), e.what ());
    }
  if (heap->get_address () != address)
    die (path.c_str (), "came back elsewhere");
}

static void
close_heap ()
{
  delete heap;
}

static void
sync_heap ()
{
  // heap->flush () would not wait.
  uintptr_t start = reinterpret_cast<uintptr_t> (address) & ~uintptr_t (4095);
  if (msync (reinterpret_cast<void *> (start), heap->get_size (), MS_SYNC)
      != 0)
    die (path.c_str (), "msync failed");
}

static void
set_root (void *ptr)
{
  *heap->find<void *> ("root").first = ptr;
}

static void *
get_root ()
{
  return *heap->find<void *> ("root").first;
}

extern const struct allocator allocator =
{
  "boost", 0, 0, 6, open_heap, nullptr, reopen, close_heap, sync_heap,
  nullptr, set_root, get_root
};
