/* support.h - what the tests share, a thin layer over Check.

   A test program holds one behaviour in a few tests and ends with RUN_TESTS
   or RUN_ON_EACH_HEAP.  Every test runs in a process and a directory of its
   own; the directories go away with the program.  */

#ifndef SUPPORT_H
#define SUPPORT_H 1

#include <check.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "mmalloc.h"

#include "chance.h"

#if defined __SANITIZE_ADDRESS__
# define UNDER_ASAN 1
#elif defined __SANITIZE_THREAD__
# define UNDER_TSAN 1
#elif defined __has_feature
# if __has_feature (address_sanitizer)
#  define UNDER_ASAN 1
# elif __has_feature (thread_sanitizer)
#  define UNDER_TSAN 1
# elif __has_feature (memory_sanitizer)
#  define UNDER_MSAN 1
# endif
#endif
#ifndef UNDER_ASAN
# define UNDER_ASAN 0
#endif
#ifndef UNDER_TSAN
# define UNDER_TSAN 0
#endif
#ifndef UNDER_MSAN
# define UNDER_MSAN 0
#endif
#define UNDER_SANITIZER (UNDER_ASAN || UNDER_TSAN || UNDER_MSAN)

#define KIB(n) ((size_t) (n) << 10)
#define MIB(n) ((size_t) (n) << 20)
#define GIB(n) ((size_t) (n) << 30)


/* ---- Asserting -------------------------------------------------------- */

/* An assertion for long loops: costs nothing while it holds, where those of
   Check write a record each.  */
#define must(claim) \
  ((claim) ? (void) 0 : ck_abort_msg ("%s", "does not hold: " #claim))

/* CALL, written NAME, gives NULL and fails with CODE, written CODE_NAME; after
   that LAST is the code too, and there are WORDS for it.  */
#define must_fail_as(call, name, code, code_name, last, words) \
  do \
    { \
      errno = 0; \
      const void *got_ = (call); \
      int errno_ = errno; \
      ck_assert_msg (got_ == NULL, "%s gave %p", name, got_); \
      ck_assert_msg (errno_ == (code), "%s: errno is %d, not %s: %s", name, \
                     errno_, code_name, words); \
      ck_assert_int_eq (last, (code)); \
      ck_assert_int_ne ((words)[0], '\0'); \
    } \
  while (0)

/* CALL gives NULL and fails with CODE; heap MD remembers why.  */
#define must_fail(md, call, code) \
  must_fail_as (call, #call, code, #code, mmalloc_errno (md), \
                mmalloc_strerror (md))

/* CALL, which gives an int or ptrdiff_t, gives VALUE and errno CODE.  */
#define must_give(call, value, code) \
  do \
    { \
      errno = 0; \
      intmax_t got_ = (call); \
      int errno_ = errno; \
      ck_assert_msg (got_ == (value), "%s gave %jd", #call, got_); \
      ck_assert_msg (errno_ == (code), "%s: errno is %d, not %s", #call, \
                     errno_, #code); \
    } \
  while (0)

/* CALL leaves errno alone.  */
#define must_keep_errno(call) \
  do \
    { \
      errno = ELIBMAX; \
      call; \
      int errno_ = errno; \
      ck_assert_msg (errno_ == ELIBMAX, "%s: errno became %d", #call, \
                     errno_); \
    } \
  while (0)

/* Say on the output that a test cannot be made here.  */
static inline void
skip (const char *why)
{
  printf ("skipped: %s\n", why);
  fflush (stdout);
}

/* The same value, of which the compiler knows nothing: for sizes that it would
   warn of, and for pointers that are misused on purpose.  */
static inline size_t
any_size (size_t size)
{
  __asm__ volatile ("" : "+r" (size));
  return size;
}

static inline void *
any_ptr (const void *ptr)
{
  uintptr_t place = (uintptr_t) ptr;
  __asm__ volatile ("" : "+r" (place) : : "memory");
  return (void *) place;
}

/* Change the byte at AT of a block that ends before it, or begins behind it:
   nobody may know, neither the compiler nor a sanitizer.  */
__attribute__ ((no_sanitize_address)) static inline void
damage_byte (void *block, ptrdiff_t at)
{
  char *p = any_ptr ((char *) block + at);
  *p = (char) ~*p;
}

static inline int
under_valgrind (void)
{
  const char *preload = getenv ("LD_PRELOAD");
  return preload != NULL && strstr (preload, "vgpreload") != NULL;
}

/* Under tools that need the address space for themselves heaps reserve less,
   and memory is dear.  */
static inline int
under_a_tool (void)
{
  return UNDER_SANITIZER || under_valgrind ();
}


/* From now on the process may have MORE bytes of address space than it has.  */
static inline void
address_space_allow (size_t more)
{
  unsigned long pages;
  FILE *statm = fopen ("/proc/self/statm", "r");
  ck_assert_ptr_nonnull (statm);
  ck_assert_int_eq (fscanf (statm, "%lu", &pages), 1);
  fclose (statm);
  rlim_t limit = pages * (rlim_t) sysconf (_SC_PAGESIZE) + more;
  struct rlimit r = { limit, limit };
  ck_assert_int_eq (setrlimit (RLIMIT_AS, &r), 0);
}


/* ---- Files ------------------------------------------------------------ */

static char support_program_dir[PATH_MAX];
static char support_test_dir[PATH_MAX];

/* A path in the test's own directory.  Good until eight calls later.  */
static inline const char *
temp_path (const char *name)
{
  static char paths[8][PATH_MAX];
  static atomic_uint next;
  char *path = paths[atomic_fetch_add (&next, 1) % 8];
  int len = snprintf (path, PATH_MAX, "%s/%s", support_test_dir, name);
  must (len > 0 && len < PATH_MAX);
  return path;
}

static inline const char *
temp_heap_path (void)
{
  return temp_path ("heap");
}

static inline void
support_make_dir (char *dir, const char *parent)
{
  int len = snprintf (dir, PATH_MAX, "%s/mmalloc-XXXXXX", parent);
  if (len < 0 || len >= PATH_MAX || mkdtemp (dir) == NULL
      || chmod (dir, 0755) != 0)
    {
      perror (dir);
      exit (1);
    }
}

static inline int
support_remove (const char *path, const struct stat *st, int kind,
                struct FTW *ftw)
{
  (void) st, (void) kind, (void) ftw;
  return remove (path);
}

static inline off_t
file_length (const char *path)
{
  struct stat st;
  ck_assert_int_eq (stat (path, &st), 0);
  return st.st_size;
}

/* Bytes of disk blocks behind the file.  */
static inline off_t
file_disk (const char *path)
{
  struct stat st;
  ck_assert_int_eq (stat (path, &st), 0);
  return (off_t) st.st_blocks * 512;
}

static inline void
file_write (const char *path, const void *bytes, size_t n)
{
  int fd = open (path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
  ck_assert_int_ge (fd, 0);
  ck_assert_int_eq (write (fd, bytes, n), (ssize_t) n);
  ck_assert_int_eq (close (fd), 0);
}

/* A sum over the whole file, to see that nobody touched it.  */
static inline uint64_t
file_sum (const char *path)
{
  static unsigned char buf[KIB (64)];
  uint64_t sum = 14695981039346656037u;
  int fd = open (path, O_RDONLY);
  ck_assert_int_ge (fd, 0);
  ssize_t n;
  while ((n = read (fd, buf, sizeof buf)) > 0)
    for (ssize_t i = 0; i < n; i++)
      sum = (sum ^ buf[i]) * 1099511628211u;
  ck_assert_int_eq (n, 0);
  close (fd);
  return sum;
}


/* ---- Heaps ------------------------------------------------------------ */

enum heap_kind { ANONYMOUS, IN_FILE, DEFAULT_HEAP, HEAP_KINDS };

/* A new heap that cannot grow beyond MAXIMUM; 0: no such limit.  */
static inline void *
heap_limited (int kind, size_t maximum)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = maximum;
  if (kind == DEFAULT_HEAP)
    return NULL;
  void *md = mmalloc_open (kind == IN_FILE ? temp_heap_path () : NULL,
                           MMALLOC_CREATE, &opt);
  ck_assert_msg (md != NULL, "open: %s", mmalloc_strerror (NULL));
  return md;
}

static inline void *
heap_new (int kind)
{
  return heap_limited (kind, 0);
}

/* The heap in the test's file, made if it is not there.  */
static inline void *
heap_file (void)
{
  return heap_new (IN_FILE);
}

static inline void
support_finding (const char *finding, const void *where, void *arg)
{
  (void) arg;
  fprintf (stderr, "finding at %p: %s\n", where, finding);
}

static inline void
heap_is_whole (void *md)
{
  ck_assert_int_eq (mmalloc_check (md, support_finding, NULL), 0);
}

/* The last thing a test does with a heap.  */
static inline void
heap_end (void *md)
{
  heap_is_whole (md);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static inline struct mmalloc_stats
heap_stats (void *md)
{
  struct mmalloc_stats stats;
  ck_assert_int_eq (mmalloc_stats (md, &stats), 0);
  return stats;
}

/* Allocate blocks of SIZE with ALLOC until there is no more, at most MAX,
   storing them; how many.  */
static inline size_t
fill_with (void *(*alloc) (void *where, size_t size), void *where, size_t size,
           void **blocks, size_t max)
{
  size_t n = 0;
  while (n < max && (blocks[n] = alloc (where, size)) != NULL)
    n++;
  return n;
}

static inline size_t
heap_fill (void *md, size_t size, void **blocks, size_t max)
{
  return fill_with (mmalloc, md, size, blocks, max);
}

static inline void
heap_free_all (void *md, void **blocks, size_t n)
{
  for (size_t i = 0; i < n; i++)
    mfree (md, blocks[i]);
}


/* ---- Contents of blocks ----------------------------------------------- */

static inline uint64_t
support_word (uint64_t tag, size_t i)
{
  uint64_t x = (tag + 1) * 0x9e3779b97f4a7c15u + i;
  x = (x ^ x >> 29) * 0xbf58476d1ce4e5b9u;
  return x ^ x >> 32;
}

/* Fill the bytes with a pattern that depends on TAG and the place.  */
static inline void
block_fill (void *block, size_t n, uint64_t tag)
{
  unsigned char *p = block;
  for (size_t i = 0; i < n; i += 8)
    {
      uint64_t word = support_word (tag, i);
      memcpy (p + i, &word, n - i < 8 ? n - i : 8);
    }
}

static inline int
block_holds (const void *block, size_t n, uint64_t tag)
{
  const unsigned char *p = block;
  for (size_t i = 0; i < n; i += 8)
    {
      uint64_t word = support_word (tag, i);
      if (memcmp (p + i, &word, n - i < 8 ? n - i : 8) != 0)
        return 0;
    }
  return 1;
}

static inline int
block_is_zero (const void *block, size_t n)
{
  const unsigned char *p = block;
  return n == 0 || (p[0] == 0 && memcmp (p, p + 1, n - 1) == 0);
}

static inline int
is_aligned (const void *ptr, size_t alignment)
{
  return ((uintptr_t) ptr & (alignment - 1)) == 0;
}


/* ---- Misuse ----------------------------------------------------------- */

static struct misuse
{
  int count;
  void *md;
  const void *ptr;
  char call[32];
  char what[256];
} misuse_seen;

static inline void
misuse_handler (const char *call, void *md, const void *ptr,
                const char *what, void *arg)
{
  (void) arg;
  misuse_seen.count++;
  misuse_seen.md = md;
  misuse_seen.ptr = ptr;
  snprintf (misuse_seen.call, sizeof misuse_seen.call, "%s", call);
  snprintf (misuse_seen.what, sizeof misuse_seen.what, "%s", what);
}

/* From now on count misuse instead of aborting.  */
static inline void
misuse_record (void)
{
  mmalloc_onmisuse (misuse_handler, NULL);
}

/* One misuse was seen since the last question, by CALL of PTR.  */
static inline void
misuse_was (const char *call, const void *ptr)
{
  ck_assert_int_eq (misuse_seen.count, 1);
  ck_assert_str_eq (misuse_seen.call, call);
  ck_assert_ptr_eq (misuse_seen.ptr, ptr);
  ck_assert_int_ne (misuse_seen.what[0], '\0');
  misuse_seen.count = 0;
}


/* ---- Threads and processes -------------------------------------------- */

static inline pthread_t
thread_start (void *(*fn) (void *), void *arg)
{
  pthread_t thread;
  ck_assert_int_eq (pthread_create (&thread, NULL, fn, arg), 0);
  return thread;
}

static inline void
thread_end (pthread_t thread)
{
  ck_assert_int_eq (pthread_join (thread, NULL), 0);
}

static inline void
thread_run (void *(*fn) (void *), void *arg)
{
  thread_end (thread_start (fn, arg));
}

/* For mmalloc_region_open: what was said of the region last.  */
static int region_told = -1;

static inline int
told_region (void *at, size_t size, enum mmalloc_region_why why,
             const char **reason, void *arg)
{
  (void) size, (void) reason, (void) arg;
  region_told = (int) why;
  if (why == MMALLOC_REGION_NEW)
    *(uint64_t *) at = 1234;
  return 0;
}

/* A child process and the baton shared with it: whoever waits goes on when
   the other passes.  In the child BATON is its end.  */
struct child
{
  pid_t pid;
  int baton;
};
static int baton = -1;

static inline void
baton_pass (int fd)
{
  ck_assert_int_eq (send (fd, "!", 1, MSG_NOSIGNAL), 1);
}

static inline void
baton_wait (int fd)
{
  char byte;
  ssize_t n;
  while ((n = read (fd, &byte, 1)) < 0 && errno == EINTR)
    continue;
  ck_assert_msg (n == 1, "the other process is gone");
}

/* FN in a child process, which exits with 0 if FN returns.  */
static inline struct child
child_start (void (*fn) (void *), void *arg)
{
  struct child child;
  int ends[2];
  ck_assert_int_eq (socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends),
                    0);
  fflush (NULL);
  child.pid = fork ();
  ck_assert_int_ge (child.pid, 0);
  if (child.pid == 0)
    {
      close (ends[0]);
      baton = ends[1];
      fn (arg);
      fflush (NULL);
      _exit (0);
    }
  close (ends[1]);
  child.baton = ends[0];
  return child;
}

/* Wait for the child: its exit status, or 128 and the signal.  */
static inline int
child_end (struct child child)
{
  int status;
  while (waitpid (child.pid, &status, 0) < 0)
    must (errno == EINTR);
  close (child.baton);
  return WIFEXITED (status) ? WEXITSTATUS (status)
                            : 128 + WTERMSIG (status);
}

static inline int
child_run (void (*fn) (void *), void *arg)
{
  return child_end (child_start (fn, arg));
}

/* Start this program anew, in place of a child, with ARG as its argument.  A
   program for another machine needs its emulator.  */
static inline void
start_anew (void *arg)
{
  char *words[4] = { NULL }, self[PATH_MAX];
  int n = 0;
  char *emulator = getenv ("EMULATOR");
  if (emulator != NULL && emulator[0] != '\0')
    words[n++] = emulator;
  ssize_t len = readlink ("/proc/self/exe", self, sizeof self - 1);
  ck_assert_int_gt (len, 0);
  self[len] = '\0';
  words[n++] = self;
  words[n] = arg;
  execvp (words[0], words);
  perror (words[0]);
  _exit (99);
}

/* Drop the rights of root, if this process has them: 65534 is nobody.  */
static inline void
become_nobody (void)
{
  if (geteuid () != 0)
    return;
  ck_assert_int_eq (setgid (65534), 0);
  ck_assert_int_eq (setuid (65534), 0);
}


/* ---- Running ---------------------------------------------------------- */

static inline void
support_setup (void)
{
  support_make_dir (support_test_dir, support_program_dir);
}

/* Run each test, N_KINDS times with _i as the kind of heap.  The generous time
   limit is there to end a test that hangs.  */
static inline int
run_suite (const char *file, const TTest *const *tests, size_t n, int n_kinds)
{
  const char *tmp = getenv ("TMPDIR");
  support_make_dir (support_program_dir, tmp != NULL ? tmp : "/tmp");
  const char *name = strrchr (file, '/');
  name = name != NULL ? name + 1 : file;
  Suite *suite = suite_create (name);
  TCase *tcase = tcase_create (name);
  tcase_set_timeout (tcase, 300);
  tcase_add_checked_fixture (tcase, support_setup, NULL);
  for (size_t i = 0; i < n; i++)
    tcase_add_loop_test (tcase, tests[i], 0, n_kinds);
  suite_add_tcase (suite, tcase);
  SRunner *runner = srunner_create (suite);
  srunner_run_all (runner, CK_NORMAL);
  int failed = srunner_ntests_failed (runner);
  srunner_free (runner);
  nftw (support_program_dir, support_remove, 16, FTW_DEPTH | FTW_PHYS);
  return failed != 0;
}

#define RUN_KINDS(n_kinds, ...) \
  int \
  main (void) \
  { \
    const TTest *tests_[] = { __VA_ARGS__ }; \
    return run_suite (__FILE__, tests_, sizeof tests_ / sizeof *tests_, \
                      (n_kinds)); \
  }

/* Run the tests once each.  */
#define RUN_TESTS(...) RUN_KINDS (1, __VA_ARGS__)

/* Run the tests with an anonymous heap, one in a file, the default heap: make
   it with heap_new (_i).  */
#define RUN_ON_EACH_HEAP(...) RUN_KINDS (HEAP_KINDS, __VA_ARGS__)

/* The same without the default heap, which has no limit.  */
#define RUN_ON_OWN_HEAPS(...) RUN_KINDS (DEFAULT_HEAP, __VA_ARGS__)

#endif /* SUPPORT_H */
