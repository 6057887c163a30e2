/* logged.h - a heap with checkpoints whose contents are known by number.  */

#ifndef LOGGED_H
#define LOGGED_H 1

#include "inside.h"

/* With the log behind a small heap, and inside of a large one.  */
enum { SMALL, LARGE, SIZES };
enum { N = 400, SIZE = 3000 };
static char *md;
static char **block;
static struct mmalloc_options options;
static const char *file = "heap";
static size_t log_size = KIB (64);

static inline char *
open_with (int size, int flags)
{
  options = (struct mmalloc_options) MMALLOC_OPTIONS_INIT;
  options.reserve = size == SMALL ? MIB (16) : MIB (512);
  options.log = log_size;
  return mmalloc_open (temp_path (file), flags, &options);
}

static inline char *
open_logged (int size)
{
  char *heap = open_with (size, MMALLOC_CREATE | MMALLOC_CHECKPOINT);
  ck_assert_msg (heap != NULL, "%s", mmalloc_strerror (NULL));
  return heap;
}

/* Contents number STATE, in blocks that a root leads to; each state frees some
   of the one before.  */
static inline void
store (uint64_t state)
{
  block = mmalloc_getroot (md, "blocks");
  if (block == NULL)
    {
      block = mcalloc (md, N, sizeof *block);
      must (block != NULL && mmalloc_setroot (md, "blocks", block) == 0);
      for (size_t i = 0; i < N; i++)
        must ((block[i] = mmalloc (md, SIZE)) != NULL);
    }
  for (size_t i = state % 7; i < N; i += 7)
    {
      mfree (md, block[i]);
      must ((block[i] = mmalloc (md, SIZE)) != NULL);
    }
  for (size_t i = 0; i < N; i++)
    if (block[i] != NULL)
      block_fill (block[i], SIZE, state + i);
}

/* Whether heap HEAP, at its place or elsewhere, has contents number STATE.  */
static inline int
has (char *heap, uint64_t state)
{
  struct mmalloc_info info;
  must (mmalloc_info (heap, &info) == 0);
  ptrdiff_t moved = heap - (char *) info.base;
  char *root = mmalloc_getroot (heap, "blocks");
  if (root == NULL)
    return state == 0;
  char **list = (char **) (void *) (root + moved);
  int good = 1;
  for (size_t i = 0; i < N; i++)
    if (list[i] != NULL)
      good &= block_holds (list[i] + moved, SIZE, state + i);
  return good && mmalloc_check (heap, NULL, 0) == 0;
}

static inline void
checkpoint (void)
{
  ck_assert_msg (mmalloc_checkpoint (md) == 0, "%s", mmalloc_strerror (md));
}

/* Closed and opened again the heap has contents number STATE; then it is closed.  */
static inline void
comes_back (int size, uint64_t state)
{
  heap_end (md);
  md = open_logged (size);
  must (has (md, state));
  heap_end (md);
}

/* A program that stores STATES, with a checkpoint after each but the last, and
   is killed.  */
static int size_of_child;
static inline void
store_and_die (void *arg)
{
  uint64_t states = (uintptr_t) arg;
  md = open_logged (size_of_child);
  for (uint64_t i = 1; i <= states; i++)
    {
      store (i);
      if (i < states)
        must (mmalloc_checkpoint (md) == 0);
    }
  _exit (7);
}

/* Numbers, on pages of their own, of which each checkpoint changes one: number N
   in place N % CELLS.  */
enum { CELLS = 64, APART = 640 };
static uint64_t *cell;

static inline void
cells_begin (void)
{
  cell = mmalloc_getroot (md, "cells");
  if (cell == NULL)
    {
      cell = mcalloc (md, CELLS * APART, sizeof *cell);
      must (cell != NULL && mmalloc_setroot (md, "cells", cell) == 0);
    }
}

static inline void
cells_store (uint64_t n)
{
  cell[n % CELLS * APART] = n;
}

static inline int
cells_have (const uint64_t *there, uint64_t n)
{
  int good = 1;
  for (uint64_t k = 0; k < CELLS; k++)
    {
      uint64_t last = n - (n - k) % CELLS;
      good &= there[k * APART] == (n >= k ? last : 0);
    }
  return good;
}

/* A reader, of whom this is all that the writer sees; until reader_goes.  */
static int reader_fd = -1;
static inline void
reader_comes (void)
{
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
                        .l_start = MM_LOCK_BYTES + MM_BYTE_PRIVATE,
                        .l_len = 1 };
  reader_fd = open (temp_path (file), O_RDONLY | O_CLOEXEC);
  must (reader_fd >= 0 && fcntl (reader_fd, F_OFD_SETLK, &lock) == 0);
}

static inline void
reader_goes (void)
{
  ck_assert_int_eq (close (reader_fd), 0);
}

/* For tests of many checkpoints, where no power goes: nothing waits for the
   disk.  */
static inline int
open_undurable (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  mode_t mode = flags & O_CREAT ? va_arg (ap, mode_t) : 0;
  va_end (ap);
  return open (path, flags & ~(O_DSYNC | O_DIRECT), mode);
}

static inline int
no_fdatasync (int fd)
{
  (void) fd;
  return 0;
}

static inline void
disk_is_fast (void)
{
  os.open = open_undurable;
  os.fdatasync = no_fdatasync;
}

/* There can be no thread.  */
static inline int
no_pthread (pthread_t *thread, const pthread_attr_t *attributes,
            void *(*fn) (void *), void *arg)
{
  (void) thread, (void) attributes, (void) fn, (void) arg;
  return EAGAIN;
}

/* A thread that goes on when it is waited for; or at once.  */
static struct helper *held;
static bool at_once;
static int n_threads, n_joined;

static inline int
thread_held (pthread_t *thread, const pthread_attr_t *attributes,
             void *(*fn) (void *), void *arg)
{
  (void) thread, (void) attributes;
  sigset_t blocked;
  must (pthread_sigmask (SIG_SETMASK, NULL, &blocked) == 0);
  must (sigismember (&blocked, SIGUSR1));
  held = arg;
  n_threads++;
  if (at_once)
    fn (arg);
  return 0;
}

static inline int
thread_joined (pthread_t thread, void **result)
{
  (void) thread, (void) result;
  if (!at_once)
    helper_run (held);
  n_joined++;
  return 0;
}

static inline void
threads_are_held (bool go_on)
{
  os.create = thread_held;
  os.join = thread_joined;
  at_once = go_on;
  n_threads = n_joined = 0;
}

/* What is in the file, in another one.  */
static inline void
file_copy (void)
{
  static char some[KIB (64)];
  int from = open (temp_path (file), O_RDONLY | O_CLOEXEC);
  int to = open (temp_path ("copy"), O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  must (from >= 0 && to >= 0);
  off_t at = 0, n;
  while ((at = lseek (from, at, SEEK_DATA)) >= 0
         && (n = pread (from, some, sizeof some, at)) > 0)
    {
      must (pwrite (to, some, (size_t) n, at) == n);
      at += n;
    }
  must (ftruncate (to, lseek (from, 0, SEEK_END)) == 0);
  must (close (from) == 0 && close (to) == 0);
}

/* That has number N.  */
static inline void
copied_has (uint64_t n)
{
  char *heap = mmalloc_open (temp_path ("copy"), MMALLOC_ELSEWHERE, NULL);
  ck_assert_msg (heap != NULL, "%s", mmalloc_strerror (NULL));
  struct mmalloc_info info;
  must (mmalloc_info (heap, &info) == 0);
  char *there = mmalloc_getroot (heap, "cells");
  must (cells_have ((void *) (there + (heap - (char *) info.base)), n));
  must (mmalloc_check (heap, NULL, 0) == 0);
  ck_assert_ptr_null (mmalloc_detach (heap));
}

/* A copy of the file, as a kill would leave it, has number N.  */
static inline void
copy_has (uint64_t n)
{
  file_copy ();
  copied_has (n);
}

#endif
