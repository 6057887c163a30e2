/* The reason why an address is taken names what sits there: a file, the stack,
   a mapping without a name, another heap.  What sits there stays as it was.  */

#include "support.h"

static size_t page;

/* A heap wants to be at ADDR, page aligned; all ways to make one fail, and the
   reason holds NAME.  */
static void
taken (const void *addr, const char *name)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  char place[40];
  opt.base = any_ptr (addr);
  snprintf (place, sizeof place, "0x%" PRIxPTR, (uintptr_t) addr);
  must_fail (NULL, mmalloc_open (NULL, 0, &opt), EADDRINUSE);
  ck_assert_msg (strstr (mmalloc_strerror (NULL), name) != NULL
                 && strstr (mmalloc_strerror (NULL), place) != NULL,
                 "not named (%s): %s", name, mmalloc_strerror (NULL));
  must_fail (NULL, mmalloc_open (temp_path ("other"), MMALLOC_CREATE, &opt),
             EADDRINUSE);
  ck_assert_msg (strstr (mmalloc_strerror (NULL), name) != NULL,
                 "not named (%s): %s", name, mmalloc_strerror (NULL));
  ck_assert_int_ne (access (temp_path ("other"), F_OK), 0);
  must_fail (NULL, mmalloc_attach (-1, opt.base), EADDRINUSE);
  ck_assert_ptr_null (mmalloc_find (addr));
}

START_TEST (by_a_file)
{
  static char contents[KIB (64)];
  block_fill (contents, sizeof contents, 1);
  file_write (temp_path ("a file"), contents, sizeof contents);
  int fd = open (temp_path ("a file"), O_RDONLY);
  char *p = mmap (NULL, sizeof contents, PROT_READ, MAP_PRIVATE, fd, 0);
  ck_assert_ptr_ne (p, MAP_FAILED);
  close (fd);
  taken (p, temp_path ("a file"));
  must (block_holds (p, sizeof contents, 1));
}
END_TEST

START_TEST (by_the_stack)
{
  char mine[512];
  block_fill (mine, sizeof mine, 2);
  taken ((void *) ((uintptr_t) mine & ~(page - 1)), "[stack]");
  must (block_holds (mine, sizeof mine, 2));
}
END_TEST

START_TEST (by_a_nameless_mapping)
{
  char *p = mmap (NULL, KIB (64), PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (p, MAP_FAILED);
  block_fill (p, KIB (64), 3);
  taken (p, "anonymous");
  must (block_holds (p, KIB (64), 3));
}
END_TEST

START_TEST (by_a_heap)
{
  char *md = heap_file ();
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 4);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.base = md;
  must_fail (NULL, mmalloc_open (NULL, 0, &opt), EADDRINUSE);
  ck_assert_msg (strstr (mmalloc_strerror (NULL), temp_heap_path ()) != NULL,
                 "%s", mmalloc_strerror (NULL));
  must (block_holds (block, 1000, 4));
  heap_end (md);
}
END_TEST

START_TEST (by_the_program)
{
  char self[PATH_MAX];
  ssize_t len = readlink ("/proc/self/exe", self, sizeof self - 1);
  ck_assert_int_gt (len, 0);
  self[len] = '\0';
  taken ((void *) ((uintptr_t) taken & ~(page - 1)), self);
}
END_TEST

/* An existing heap comes back nowhere else; the places are its beginning and
   its last page in use.  */
START_TEST (of_an_existing_heap)
{
  char *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, MIB (1)));
  size_t last = (heap_stats (md).length - 1) & ~(page - 1);
  heap_end (md);
  for (size_t at = 0; at <= last; at += last)
    {
      char *p = mmap (md + at, page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                      0);
      ck_assert_ptr_eq (p, md + at);
      block_fill (p, page, 5);
      must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL),
                 EADDRINUSE);
      ck_assert_msg (strstr (mmalloc_strerror (NULL), "anonymous") != NULL,
                     "%s", mmalloc_strerror (NULL));
      must (block_holds (p, page, 5));
      ck_assert_int_eq (munmap (p, page), 0);
    }
  ck_assert_ptr_eq (heap_file (), md);
  heap_end (md);
}
END_TEST

__attribute__ ((constructor)) static void
find_page (void)
{
  page = (size_t) sysconf (_SC_PAGESIZE);
}

RUN_TESTS (by_a_file, by_the_stack, by_a_nameless_mapping, by_a_heap,
           by_the_program, of_an_existing_heap)
