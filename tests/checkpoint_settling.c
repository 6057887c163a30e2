/* A half of the log that is full: the image gets to the disk beside the
   checkpoints that come then, and what the half has counts until it has; in a
   thread, in a call if there can be none, or as the program wishes.  */

#include "logged.h"

static int
no_pthread (pthread_t *thread, const pthread_attr_t *attributes,
            void *(*fn) (void *), void *arg)
{
  (void) thread, (void) attributes, (void) fn, (void) arg;
  return EAGAIN;
}

/* Who waits for the disk when half of the log is full: a thread; the call that
   comes next, as there can be no thread; the call that fills it.  */
enum { BY_THREAD, THREADLESS, INLINE, SETTLERS };

static void
open_settled (int i)
{
  os.create = i % SETTLERS == THREADLESS ? no_pthread : pthread_create;
  md = open_with (i / SETTLERS, MMALLOC_CREATE | MMALLOC_CHECKPOINT
                                  | (i % SETTLERS == INLINE ? MMALLOC_NO_THREAD
                                                            : 0));
  must (md != NULL);
}

/* Numbers, on pages of their own, of which each checkpoint changes one: number N
   in place N % CELLS.  */
enum { CELLS = 64, APART = 640 };
static uint64_t *cell;

static void
cells_begin (void)
{
  cell = mmalloc_getroot (md, "cells");
  if (cell == NULL)
    {
      cell = mcalloc (md, CELLS * APART, sizeof *cell);
      must (cell != NULL && mmalloc_setroot (md, "cells", cell) == 0);
    }
}

static void
cells_store (uint64_t n)
{
  cell[n % CELLS * APART] = n;
}

static int
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

/* Some more checkpoints, then a kill, while the image may be on its way.  */
static uint64_t *made;
static int kind;
static void
store_on (void *arg)
{
  open_settled (kind);
  cells_begin ();
  for (uint64_t i = (uintptr_t) arg; i > 0; i--)
    {
      cells_store (*made + 1);
      must (mmalloc_checkpoint (md) == 0);
      (*made)++;
    }
  cells_store (1000000);
  _exit (7);
}

START_TEST (killed_while_it_settles)
{
  made = mmap (NULL, sizeof *made, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must (made != MAP_FAILED);
  kind = _i;
  for (uintptr_t n = 1; n < 40; n += 3)
    {
      ck_assert_int_eq (child_run (store_on, (void *) n), 7);
      open_settled (_i);
      cells_begin ();
      must (cells_have (cell, *made));
      for (int i = 0; i < 3; i++)
        {
          cells_store (++made[0]);
          checkpoint ();
        }
      heap_end (md);
    }
}
END_TEST

/* A thread that goes on when it is waited for; or at once.  */
static struct helper *held;
static bool at_once;
static int n_threads, n_joined;

static int
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

static int
thread_joined (pthread_t thread, void **result)
{
  (void) thread, (void) result;
  if (!at_once)
    helper_run (held);
  n_joined++;
  return 0;
}

static void
threads_are_held (bool go_on)
{
  os.create = thread_held;
  os.join = thread_joined;
  at_once = go_on;
  n_threads = n_joined = 0;
}

/* What is in the file, in another one.  */
static void
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

/* A copy of the file, as a kill would leave it, has number N.  */
static void
copy_has (uint64_t n)
{
  file_copy ();
  char *heap = mmalloc_open (temp_path ("copy"), MMALLOC_ELSEWHERE, NULL);
  ck_assert_msg (heap != NULL, "%s", mmalloc_strerror (NULL));
  struct mmalloc_info info;
  must (mmalloc_info (heap, &info) == 0);
  char *there = mmalloc_getroot (heap, "cells");
  must (cells_have ((void *) (there + (heap - (char *) info.base)), n));
  must (mmalloc_check (heap, NULL, 0) == 0);
  ck_assert_ptr_null (mmalloc_detach (heap));
}

/* The disk is slow: what a half has counts while the next one fills; then the
   call waits, and one record says so alone.  Fast: the next one says so.  */
START_TEST (counts_until_it_is_settled)
{
  threads_are_held (_i / SIZES != 0);
  md = open_logged (_i % SIZES);
  struct log *l = heap_of (md)->log;
  cells_begin ();
  checkpoint ();
  uint64_t n = 0, first = l->first;
  while (l->half == 0)
    {
      cells_store (++n);
      checkpoint ();
    }
  sigset_t blocked;
  must (pthread_sigmask (SIG_SETMASK, NULL, &blocked) == 0);
  must (!sigismember (&blocked, SIGUSR1));
  ck_assert_int_eq (n_threads, 1);
  ck_assert_uint_eq (l->first, first);
  uint64_t begins = l->seq;
  ck_assert_uint_eq (l->begins, begins);
  copy_has (n);
  uint64_t records = n;
  while (l->half == 1)
    {
      ck_assert_int_eq (n_joined, at_once && l->seq > begins);
      ck_assert_uint_eq (l->first, n_joined ? begins : first);
      cells_store (++n);
      checkpoint ();
      copy_has (n);
    }
  records = n - records;
  ck_assert_int_eq (n_joined, 1);
  ck_assert_int_eq (n_threads, 2);
  /* With the one that says so.  */
  ck_assert_uint_eq (l->seq, begins + records + !at_once);
  ck_assert_uint_eq (l->first, begins);
  struct mmalloc_info info;
  must (mmalloc_info (md, &info) == 0);
  ck_assert_uint_eq (info.checkpoint, l->seq);
  ck_assert_uint_eq (word_peek (&heap_of (md)->root->checkpoint), l->seq);
  heap_end (md);
  ck_assert_int_eq (n_joined, 2);
  md = open_logged (_i % SIZES);
  cells_begin ();
  must (cells_have (cell, n));
  heap_end (md);
}
END_TEST

/* The log gets a new place meanwhile: what was under way there does not count
   here.  */
START_TEST (moves_while_it_settles)
{
  threads_are_held (false);
  md = open_logged (_i % SIZES);
  struct log *l = heap_of (md)->log;
  cells_begin ();
  uint64_t n = 0;
  while (n_threads == 0)
    {
      cells_store (++n);
      checkpoint ();
    }
  char *much = mmalloc (md, MIB (1));
  memset (much, 3, KIB (900));
  cells_store (++n);
  checkpoint ();
  ck_assert_int_eq (n_joined, 1);
  must (!l->settled && l->first == l->begins);
  while (n_threads == 1)
    {
      ck_assert_uint_ge (l->first, l->begins);
      cells_store (++n);
      memset (much, (int) n, KIB (300));
      checkpoint ();
      copy_has (n);
    }
  ck_assert_uint_lt (l->first, l->begins);
  heap_end (md);
  md = open_logged (_i % SIZES);
  cells_begin ();
  must (cells_have (cell, n));
  heap_end (md);
}
END_TEST

/* Readers keep the image as it is: nothing waits for the disk to have it.  */
START_TEST (settles_beside_readers)
{
  threads_are_held (false);
  md = open_logged (_i % SIZES);
  cells_begin ();
  uint64_t n = 0;
  while (n_threads == 0)
    {
      cells_store (++n);
      checkpoint ();
    }
  struct file *f = &heap_of (md)->file;
  int fd = open (temp_path (file), O_RDONLY | O_CLOEXEC);
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
                        .l_start = MM_LOCK_BYTES + MM_BYTE_PRIVATE, .l_len = 1 };
  must (f != NULL && fd >= 0 && fcntl (fd, F_OFD_SETLK, &lock) == 0);
  for (int i = 0; i < 100; i++)
    {
      cells_store (++n);
      checkpoint ();
      copy_has (n);
    }
  ck_assert_int_eq (n_threads, 1);
  ck_assert_int_eq (close (fd), 0);
  for (int i = 0; i < 30; i++)
    {
      cells_store (++n);
      checkpoint ();
      copy_has (n);
    }
  ck_assert_int_gt (n_threads, 1);
  heap_end (md);
  md = open_logged (_i % SIZES);
  cells_begin ();
  must (cells_have (cell, n));
  heap_end (md);
}
END_TEST

static int fail_sync;
static int
late_fdatasync (int fd)
{
  return fail_sync != 0 ? errno = fail_sync, -1 : fdatasync (fd);
}

/* Never believed again.  */
START_TEST (sync_fails)
{
  log_size = MIB (4);
  open_settled (_i);
  os.fdatasync = late_fdatasync;
  uint64_t n = 1, last = 0;
  for (; n < 200; last = n++)
    {
      fail_sync = n > 3 ? EIO : 0;
      store (n);
      if (mmalloc_checkpoint (md) != 0)
        break;
    }
  ck_assert_uint_lt (n, 200);
  fail_sync = 0;
  must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, EIO);
  must_fail (md, mmalloc_rollback (md) == 0 ? md : NULL, EIO);
  must (has (md, n));
  /* The program knows.  */
  ck_assert_ptr_null (mmalloc_detach (md));
  os.fdatasync = fdatasync;
  md = open_logged (_i / SETTLERS);
  must (has (md, last));
  heap_end (md);
}
END_TEST

RUN_KINDS (SIZES * SETTLERS, killed_while_it_settles, counts_until_it_is_settled,
           moves_while_it_settles, settles_beside_readers, sync_fails)
