/* A C++ program against the headers compiles without a warning, where there
   is a C++ compiler.  */

#include "support.h"

static const char program[] =
  "#include <cstdlib>\n"
  "#include <new>\n"
  "#include \"mmalloc.h\"\n"
  "struct node { node *next; int value; };\n"
  "template <class T> class heap_allocator {\n"
  "public:\n"
  "  explicit heap_allocator (void *heap) : md (heap) {}\n"
  "  T *allocate (std::size_t n)\n"
  "  { return static_cast<T *> (mreallocarray (md, 0, n, sizeof (T))); }\n"
  "  void deallocate (T *p) { mfree (md, p); }\n"
  "private:\n"
  "  void *md;\n"
  "};\n"
  "extern \"C\" int count (void *, size_t, void *n)\n"
  "{ ++*static_cast<int *> (n); return 0; }\n"
  "extern \"C\" void misuse (const char *, void *, const void *,\n"
  "                        const char *, void *) { std::exit (1); }\n"
  "int main ()\n"
  "{\n"
  "  mmalloc_options opt = MMALLOC_OPTIONS_INIT;\n"
  "  opt.maximum = 1 << 20;\n"
  "  mmalloc_onmisuse (misuse, 0);\n"
  "  void *md = mmalloc_open (0, MMALLOC_CREATE, &opt);\n"
  "  if (md == 0) return 1;\n"
  "  heap_allocator<node> allocator (md);\n"
  "  node *n = new (allocator.allocate (1)) node ();\n"
  "  mmalloc_publish (&n->next, n);\n"
  "  mmalloc_publish (&n->value, 3);\n"
  "  mmalloc_publish (&n->next, NULL);\n"
  "  int blocks = 0;\n"
  "  mmalloc_walk (md, count, &blocks);\n"
  "  struct mmalloc_stats stats;\n"
  "  if (mmalloc_stats (md, &stats) != 0) return 1;\n"
  "  allocator.deallocate (n);\n"
  "  return mmalloc_detach (md) != 0 || blocks != 1;\n"
  "}\n"
  "#include \"mmalloc-shim.h\"\n"
  "void *classic () { void *p = malloc (10); free (p); return calloc (1, 2); }"
  "\n";

START_TEST (compiles)
{
  const char *compiler = getenv ("CXX");
  const char *srcdir = getenv ("srcdir");
  char command[4 * PATH_MAX];
  if (compiler == NULL)
    compiler = "c++";
  if (srcdir == NULL)
    srcdir = ".";
  snprintf (command, sizeof command, "command -v %s >/dev/null", compiler);
  if (system (command) != 0)
    {
      skip ("no C++ compiler");
      return;
    }
  file_write (temp_path ("program.cc"), program, sizeof program - 1);
  static const char *const standards[] = { "c++98", "c++11", "c++17" };
  for (int i = 0; i < 3; i++)
    {
      snprintf (command, sizeof command,
                "%s -std=%s -Wall -Wextra -Wpedantic -Wconversion"
                " -Werror -I'%s' -fsyntax-only '%s'", compiler, standards[i],
                srcdir, temp_path ("program.cc"));
      ck_assert_msg (system (command) == 0, "fails: %s", command);
    }
}
END_TEST

RUN_TESTS (compiles)
