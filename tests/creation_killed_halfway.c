/* A process that is making a heap is killed before one of its system calls,
   before each of them in turn.  Two others who wait to open the file complete
   the heap and share it; before they do the file counts as empty.  */

#include "inside.h"

static long calls_left = -1;    /* then the process stops itself */
static int (*const real_open) (const char *, int, ...) = open;

static void
next_call (void)
{
  if (calls_left >= 0 && calls_left-- == 0)
    raise (SIGSTOP);
}

static int
watch_fallocate (int fd, int mode, off_t off, off_t len)
{
  next_call ();
  return fallocate (fd, mode, off, len);
}

static int
watch_ftruncate (int fd, off_t len)
{
  next_call ();
  return ftruncate (fd, len);
}

static ssize_t
watch_pread (int fd, void *to, size_t n, off_t at)
{
  next_call ();
  return pread (fd, to, n, at);
}

static ssize_t
watch_pwrite (int fd, const void *from, size_t n, off_t at)
{
  next_call ();
  return pwrite (fd, from, n, at);
}

static int
watch_fstat (int fd, struct stat *st)
{
  next_call ();
  return fstat (fd, st);
}

static int
watch_open (const char *path, int flags, ...)
{
  next_call ();
  return real_open (path, flags, 0666);
}

static int
watch_fcntl (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  void *arg = va_arg (ap, void *);
  va_end (ap);
  next_call ();
  return real_fcntl (fd, what, arg);
}

static void *
watch_mmap (void *at, size_t len, int prot, int flags, int fd, off_t off)
{
  next_call ();
  return mmap (at, len, prot, flags, fd, off);
}

static void
creator (void *calls)
{
  os.fallocate = watch_fallocate;
  os.ftruncate = watch_ftruncate;
  os.pread = watch_pread;
  os.pwrite = watch_pwrite;
  os.fstat = watch_fstat;
  os.open = watch_open;
  os.fcntl = watch_fcntl;
  os.mmap = watch_mmap;
  calls_left = (long) (size_t) calls;
  ck_assert_ptr_nonnull (mmalloc_open (temp_heap_path (), MMALLOC_CREATE,
                                       NULL));
}

static void
successor (void *unused)
{
  (void) unused;
  baton_pass (baton);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (int i = 0; i < 10; i++)
    {
      char *block = mmalloc (md, 1000);
      ck_assert_ptr_nonnull (block);
      block_fill (block, 1000, 1);
    }
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* Whether there was a call number K to be killed before.  */
static bool
kill_before (long k, long *n_empty)
{
  int status;
  struct child child[2];
  uint64_t magic = MM_CREATING;
  unlink (temp_heap_path ());
  struct child victim = child_start (creator, (void *) (size_t) k);
  ck_assert_int_eq (waitpid (victim.pid, &status, WUNTRACED), victim.pid);
  if (!WIFSTOPPED (status))
    {
      ck_assert_int_eq (status, 0);
      close (victim.baton);
      return false;
    }
  for (int i = 0; i < 2; i++)
    {
      child[i] = child_start (successor, NULL);
      baton_wait (child[i].baton);
    }
  if (k % 2 == 0)
    {
      /* The others are let in by the kernel.  */
      ck_assert_int_eq (kill (victim.pid, SIGKILL), 0);
      ck_assert_int_eq (child_end (victim), 128 + SIGKILL);
    }
  else
    {
      /* The others are there first, if the door is open.  */
      for (int i = 0; i < 2; i++)
        ck_assert_int_eq (kill (child[i].pid, SIGKILL), 0);
      ck_assert_int_eq (kill (victim.pid, SIGKILL), 0);
      ck_assert_int_eq (child_end (victim), 128 + SIGKILL);
      for (int i = 0; i < 2; i++)
        ck_assert_int_eq (child_end (child[i]), 128 + SIGKILL);
      int fd = open (temp_heap_path (), O_RDONLY);
      if (fd >= 0 && pread (fd, &magic, sizeof magic, 0) <= 0)
        magic = MM_CREATING;
      close (fd);
      if (magic == MM_CREATING && fd >= 0)
        {
          ++*n_empty;
          must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EINVAL);
          must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_RDONLY,
                                         NULL), EINVAL);
        }
      for (int i = 0; i < 2; i++)
        {
          child[i] = child_start (successor, NULL);
          baton_wait (child[i].baton);
        }
    }
  for (int i = 0; i < 2; i++)
    baton_wait (child[i].baton);
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (int i = 0; i < 2; i++)
    {
      baton_pass (child[i].baton);
      ck_assert_int_eq (child_end (child[i]), 0);
    }
  ck_assert_uint_ge (heap_stats (md).blocks_live, 20);
  heap_end (md);
  return true;
}

START_TEST (before_each_call)
{
  long k = 0, n_empty = 0;
  while (kill_before (k, &n_empty))
    k++;
  printf ("killed before each of %ld calls; %ld times the file counted as"
          " empty\n", k, n_empty);
  ck_assert_int_gt (k, 20);
  ck_assert_int_gt (n_empty, 3);
}
END_TEST

RUN_TESTS (before_each_call)
