/* kill.h - what the kill tests share.

   They compile the library in, so that the state of a heap can be read, and a
   death be played, from inside.  Each tells what it tried and ends with a line
   in the form of Check's summary.  What cannot be tried on a machine is said in
   a line "skipped:"; a program that can try nothing exits with KILL_SKIPPED.

   `make check' runs them with the numbers that are built in, `make check-kill'
   with those that kill.am sets in the environment.  Nothing here is a matter of
   time but the watchdogs, which are there for tests that would hang.  */

#ifndef KILL_H
#define KILL_H 1

#include "../bare.h"

#include <sched.h>

/* The exit status of a program that could try nothing: what make calls
   SKIP.  */
enum { KILL_SKIPPED = 77 };

/* Where the heaps of these tests lie: the same place in every process.  */
#define KILL_BASE ((void *) UINT64_C (0x3a0000000000))

#if defined __has_feature
# if __has_feature (address_sanitizer) || __has_feature (thread_sanitizer) \
     || __has_feature (memory_sanitizer)
#  define KILL_SANITIZED 1
# endif
#endif
#if defined __SANITIZE_ADDRESS__ || defined __SANITIZE_THREAD__
# define KILL_SANITIZED 1
#endif
#if !defined KILL_SANITIZED
# define KILL_SANITIZED 0
#endif


/* ---- What works here ---------------------------------------------------- */

/* Whether processes can be killed here in earnest: not under a sanitizer or an
   emulator, which have a say in how a process ends.  Says so if not.  */
static inline bool
kill_works (void)
{
  const char *emulator = getenv ("EMULATOR"), *preload = getenv ("LD_PRELOAD");
  bool works = !KILL_SANITIZED
               && (emulator == NULL || emulator[0] == '\0')
               && (preload == NULL || strstr (preload, "vgpreload") == NULL);
  if (!works)
    printf ("skipped: processes are not killed in this build\n");
  return works;
}

/* Whether a test named NAME is wanted: nothing was named on the command line,
   or some part of the name.  */
static inline bool
kill_wants (const char *name, int argc, char **argv)
{
  bool wanted = argc == 1;
  for (int a = 1; a < argc; a++)
    wanted = wanted || strstr (name, argv[a]) != NULL;
  return wanted;
}

/* Seconds until somebody is said to wait for ever: many, as other work may
   keep this one from running.  */
static inline unsigned
kill_patience (void)
{
  return (unsigned) setting ("MMALLOC_KILL_PATIENCE", 120);
}

static inline double
kill_seconds (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}


/* ---- Files -------------------------------------------------------------- */

static char kill_dir[PATH_MAX];

/* The heap of a test that has one.  */
static char heap_path[PATH_MAX + 64];

/* Make the directory of the tests, in memory if there is such a place;
   HEAP_PATH is to lie in it.  */
static inline void
kill_make_dir (void)
{
  const char *tmp = getenv ("TMPDIR");
  if (tmp == NULL)
    tmp = access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  snprintf (kill_dir, sizeof kill_dir, "%s/mmalloc-kill-XXXXXX", tmp);
  if (mkdtemp (kill_dir) == NULL)
    broken ("%s", kill_dir);
  snprintf (heap_path, sizeof heap_path, "%s/heap", kill_dir);
}

static inline void
kill_remove_dir (void)
{
  unlink (heap_path);
  rmdir (kill_dir);
}

static inline const char *
kill_path (const char *name)
{
  static char paths[4][PATH_MAX + 64];
  static unsigned next;
  char *path = paths[next++ % 4];
  snprintf (path, sizeof paths[0], "%s/%s", kill_dir, name);
  return path;
}

/* Shared memory of all the test's processes.  */
static inline void *
kill_shared (size_t size)
{
  void *p = mmap (NULL, size, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  NEED (p != MAP_FAILED);
  return p;
}

/* The end of a child: its status, as waitpid gives it.  */
static inline int
kill_wait (pid_t pid)
{
  int status;
  NEED (waitpid (pid, &status, __WALL) == pid);
  return status;
}

static inline void
kill_process (pid_t pid)
{
  kill (pid, SIGKILL);
  kill_wait (pid);
}

/* A child that does not outlive its parent.  */
static inline pid_t
kill_fork (void)
{
  pid_t parent = getpid ();
  fflush (NULL);
  pid_t pid = fork ();
  NEED (pid >= 0);
  if (pid == 0)
    {
      prctl (PR_SET_PDEATHSIG, SIGKILL);
      if (getppid () != parent)
        _exit (3);
    }
  return pid;
}

static inline void *
kill_open (const char *path, int flags, size_t capacity)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.base = KILL_BASE;
  opt.reserve = capacity;
  void *md = mmalloc_open (path, flags, &opt);
  if (md == NULL)
    broken ("open: %s", mmalloc_strerror (NULL));
  return md;
}

/* Make a heap in file PATH, which nobody has open afterwards.  */
static inline void
kill_make_heap (const char *path, size_t capacity)
{
  unlink (path);
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *md = kill_open (path, MMALLOC_CREATE, capacity);
      _exit (mmalloc_detach (md) != NULL);
    }
  NEED (kill_wait (pid) == 0);
}

/* The library's own view of the only heap of this process.  */
static inline struct heap *
kill_heap (void)
{
  NEED (process.files != NULL && process.files->next == NULL);
  return (struct heap *) process.files;
}


/* ---- Contents of blocks ------------------------------------------------- */

/* Large blocks are written and read at both ends only.  */
enum { KILL_END = 512, KILL_WHOLE = 32 << 10 };

static inline uint64_t
kill_word (uint64_t tag, size_t i)
{
  uint64_t x = (tag + 1) * UINT64_C (0x9e3779b97f4a7c15) + i;
  return x ^ x >> 29;
}

static inline void
kill_fill_part (char *p, size_t from, size_t to, uint64_t tag)
{
  for (size_t i = from & ~(size_t) 7; i < to; i += 8)
    {
      uint64_t word = kill_word (tag, i);
      memcpy (p + i, &word, to - i < 8 ? to - i : 8);
    }
}

static inline bool
kill_part_holds (const char *p, size_t from, size_t to, uint64_t tag)
{
  for (size_t i = from & ~(size_t) 7; i < to; i += 8)
    {
      uint64_t word = kill_word (tag, i);
      if (memcmp (p + i, &word, to - i < 8 ? to - i : 8) != 0)
        return false;
    }
  return true;
}

static inline void
kill_fill (void *p, size_t size, uint64_t tag)
{
  if (size <= KILL_WHOLE)
    kill_fill_part (p, 0, size, tag);
  else
    {
      kill_fill_part (p, 0, KILL_END, tag);
      kill_fill_part (p, size - KILL_END, size, tag);
    }
}

/* Whether the first N of the SIZE bytes that were filled are there.  */
static inline bool
kill_holds (const void *p, size_t size, size_t n, uint64_t tag)
{
  if (size <= KILL_WHOLE)
    return kill_part_holds (p, 0, n, tag);
  return kill_part_holds (p, 0, n < KILL_END ? n : KILL_END, tag)
         && (n < size || kill_part_holds (p, size - KILL_END, size, tag));
}

#endif /* KILL_H */
