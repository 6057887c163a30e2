/* vectors - a std::vector in a heap that several programs fill.

   usage: vectors HEAP N

   Puts N numbers into the vector, says so, waits for the end of its input, and
   puts in N more.

   The vector asks a memory resource for its memory, an object with virtual
   functions, and keeps a pointer to it.  Such an object begins with a pointer
   to its functions, which are elsewhere in each process.  So each process makes
   one of its own, in the page that mmalloc_local gives: at one address for all,
   where each finds its own functions.

   The same way objects of several classes can be told apart: instead of
   virtual functions of their own they have a pointer to an object of the page,
   one for each class, whose virtual functions take them as an argument.

   One process at a time works on the vector, and a kill amid push_back leaves
   the vector, not the heap, in any state.  */

#include <cstdio>
#include <cstdlib>
#include <memory_resource>
#include <new>
#include <vector>
#include <mmalloc.h>

class heap_resource : public std::pmr::memory_resource
{
public:
  explicit heap_resource (void *heap) : md (heap) {}

private:
  void *md;
  void *do_allocate (std::size_t n, std::size_t align) override
  {
    void *p = mmemalign (md, align < 16 ? 16 : align, n > 0 ? n : 1);
    if (p == nullptr)
      throw std::bad_alloc ();
    return p;
  }
  void do_deallocate (void *p, std::size_t, std::size_t) override
  {
    mfree (md, p);
  }
  bool do_is_equal (const memory_resource &other) const noexcept override
  {
    return this == &other;
  }
};

/* What this program has in its page.  */
struct page
{
  heap_resource resource;
};
static_assert (sizeof (page) <= MMALLOC_LOCAL_MAX, "");

typedef std::pmr::vector<long> numbers;

static void
put (numbers *v, long n)
{
  for (long i = 1; i <= n; i++)
    v->push_back (i);
}

/* Once for each heap, before another process can find the root.  */
static int
make_numbers (void *root, size_t, void *resource)
{
  new (root) numbers (static_cast<heap_resource *> (resource));
  return 0;
}

int
main (int argc, char **argv)
{
  if (argc != 3)
    return std::fprintf (stderr, "usage: vectors HEAP N\n"), 2;
  void *md = mmalloc_open (argv[1], MMALLOC_CREATE, nullptr);
  void *own = md != nullptr ? mmalloc_local (md, sizeof (page)) : nullptr;
  if (own == nullptr)
    return std::fprintf (stderr, "%s: %s\n", argv[1], mmalloc_strerror (md)), 1;
  /* In each process anew, before anything in the heap is used.  */
  page *mine = new (own) page { heap_resource (md) };
  numbers *v = static_cast<numbers *> (
    mmalloc_makeroot (md, "numbers", sizeof (numbers), make_numbers,
                      &mine->resource));
  if (v == nullptr)
    return std::fprintf (stderr, "%s: %s\n", argv[1], mmalloc_strerror (md)), 1;
  put (v, std::atol (argv[2]));
  std::printf ("functions at %p: %zu numbers\n", *static_cast<void **> (own),
               v->size ());
  std::fflush (stdout);
  while (std::getchar () != EOF)
    continue;
  put (v, std::atol (argv[2]));
  long sum = 0;
  for (long i : *v)
    sum += i;
  std::printf ("%zu numbers, sum %ld\n", v->size (), sum);
  return mmalloc_detach (md) != nullptr;
}
