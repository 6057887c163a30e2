/* To open a heap after a kill takes the same system calls and touches the same
   few pages whether the heap is small or large.  */

#include <sys/resource.h>

#include "inside.h"

enum { THREADS = 3 };
static long n_calls;

static int
count_fcntl (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  void *arg = va_arg (ap, void *);
  va_end (ap);
  n_calls++;
  return real_fcntl (fd, what, arg);
}

static int
count_fallocate (int fd, int mode, off_t off, off_t len)
{
  n_calls++;
  return fallocate (fd, mode, off, len);
}

static ssize_t
count_pread (int fd, void *to, size_t n, off_t at)
{
  n_calls++;
  return pread (fd, to, n, at);
}

static ssize_t
count_pwrite (int fd, const void *from, size_t n, off_t at)
{
  n_calls++;
  return pwrite (fd, from, n, at);
}

static pthread_barrier_t filled;
static size_t bytes_each;

static void *
fill (void *arg)
{
  void *md = arg;
  uint64_t state = (uintptr_t) &state;
  size_t bytes = 0;
  while (bytes < bytes_each)
    {
      size_t size = 500 + random_below (&state, 9000);
      void *block = mmalloc (md, size);
      must (block != NULL);
      bytes += size;
      if (random_below (&state, 10) == 0)
        mfree (md, block);
    }
  pthread_barrier_wait (&filled);
  for (;;)
    mfree (md, mmalloc (md, 3000));
  return NULL;
}

/* Fills the heap, and is at work when it is killed.  */
static void
victim (void *bytes)
{
  void *md = heap_file ();
  bytes_each = (size_t) bytes / THREADS;
  pthread_barrier_init (&filled, NULL, THREADS + 1);
  for (int i = 0; i < THREADS; i++)
    thread_start (fill, md);
  pthread_barrier_wait (&filled);
  baton_pass (baton);
  baton_wait (baton);
}

struct cost
{
  long calls, pages;
};

static long
faults (void)
{
  struct rusage usage;
  ck_assert_int_eq (getrusage (RUSAGE_SELF, &usage), 0);
  return usage.ru_minflt + usage.ru_majflt;
}

/* In a process that has not seen the heap before.  */
static void
opener (void *arg)
{
  struct cost *cost = arg;
  os.fcntl = count_fcntl;
  os.fallocate = count_fallocate;
  os.pread = count_pread;
  os.pwrite = count_pwrite;
  /* The process's own first steps are none of the heap's.  */
  ck_assert_ptr_nonnull (mmalloc_open (NULL, 0, NULL));
  n_calls = 0;
  long before = faults ();
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  cost->pages = faults () - before;
  cost->calls = n_calls;
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  heap_is_whole (md);
}

static struct cost
cost_of (size_t bytes)
{
  struct cost *shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (shared, MAP_FAILED);
  struct child child = child_start (victim, (void *) bytes);
  baton_wait (child.baton);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  ck_assert_int_gt (file_disk (temp_heap_path ()), (off_t) (bytes / 10 * 8));
  ck_assert_int_eq (child_run (opener, shared), 0);
  struct cost cost = *shared;
  munmap (shared, sizeof *shared);
  ck_assert_int_eq (unlink (temp_heap_path ()), 0);
  printf ("%zu bytes: opened with %ld calls, %ld pages touched\n", bytes,
          cost.calls, cost.pages);
  return cost;
}

START_TEST (as_cheap_when_large)
{
  if (under_a_tool ())
    {
      skip ("a tool must be told of all blocks");
      return;
    }
  struct cost small = cost_of (KIB (100)), large = cost_of (MIB (150));
  ck_assert_int_eq (large.calls, small.calls);
  ck_assert_int_le (large.pages, small.pages + 10);
  ck_assert_int_le (large.pages, 100);
}
END_TEST

RUN_TESTS (as_cheap_when_large)
