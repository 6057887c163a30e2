/* A half of the log that is full: the image gets to the disk beside the
   checkpoints that come then, and what the half has counts until it has; in a
   thread, in a call if there can be none, or as the program wishes.  */

#include "logged.h"

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
  reader_comes ();
  for (int i = 0; i < 100; i++)
    {
      cells_store (++n);
      checkpoint ();
      copy_has (n);
    }
  ck_assert_int_eq (n_threads, 1);
  reader_goes ();
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

/* The thread's wait for the disk fails, once: no checkpoint after that, though
   the disk does as if nothing had been.  */
START_TEST (settler_fails_once)
{
  disk_is_fast ();
  threads_are_held (_i / SIZES != 0);
  os.fdatasync = late_fdatasync;
  md = open_logged (_i % SIZES);
  cells_begin ();
  cells_store (1);
  checkpoint ();
  uint64_t n = 2;
  int failed;
  fail_sync = EIO;
  for (;; n++)
    {
      bool ends = n_threads == 1 && at_once;
      cells_store (n);
      failed = mmalloc_checkpoint (md);
      ck_assert_int_eq (failed, n_joined == 1 ? -1 : 0);
      ck_assert_int_eq (ends, failed && at_once);
      if (failed)
        break;
    }
  ck_assert_int_eq (errno, EIO);
  ck_assert_int_eq (n_threads, 1);
  fail_sync = 0;
  for (int i = 0; i < 3; i++)
    must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, EIO);
  must_fail (md, mmalloc_rollback (md) == 0 ? md : NULL, EIO);
  must (cells_have (cell, n));
  copy_has (n - 1);
  ck_assert_ptr_null (mmalloc_detach (md));
  md = open_logged (_i % SIZES);
  cells_begin ();
  must (cells_have (cell, n - 1));
  heap_end (md);
}
END_TEST

/* Each half gets free in time: the log is used again and again.  */
enum { MANY = 300 };
START_TEST (log_stays_where_it_is)
{
  disk_is_fast ();
  open_settled (_i);
  struct heap *h = heap_of (md);
  uint64_t log = h->super.log, size = h->super.log_size;
  cells_begin ();
  for (uint64_t n = 1; n < MANY; n++)
    {
      cells_store (n);
      checkpoint ();
      must (h->super.log == log && h->super.log_size == size);
    }
  copy_has (MANY - 1);
  heap_end (md);
}
END_TEST

/* The first write into each half fails, once.  */
static off_t failed_last;
static int n_failed;

static ssize_t
pwrite_begins (int fd, const void *from, size_t n, off_t at)
{
  struct heap *h = heap_of (md);
  off_t in_log = at - (off_t) h->super.log;
  bool begins = in_log == 0 || in_log == (off_t) log_half (h);
  if (!begins || failed_last == at)
    return pwrite (fd, from, n, at);
  failed_last = at;
  n_failed++;
  return errno = EIO, -1;
}

/* Then that half begins with the next one, and the other gets free all the
   same.  */
START_TEST (each_half_fails_once)
{
  disk_is_fast ();
  open_settled (_i);
  struct heap *h = heap_of (md);
  uint64_t log = h->super.log, size = h->super.log_size;
  failed_last = (off_t) log;
  cells_begin ();
  checkpoint ();
  os.pwrite = pwrite_begins;
  for (uint64_t n = 1; n < MANY; n++)
    {
      int before = n_failed;
      cells_store (n);
      if (mmalloc_checkpoint (md) != 0)
        {
          ck_assert_int_eq (n_failed, before + 1);
          copy_has (n - 1);
          checkpoint ();
          copy_has (n);
        }
      must (h->super.log == log && h->super.log_size == size);
    }
  ck_assert_int_gt (n_failed, 10);
  os.pwrite = pwrite;
  heap_end (md);
}
END_TEST

/* So many writes of the log succeed; then one fails.  */
static int writes_left;
static ssize_t
pwrite_later_fails (int fd, const void *from, size_t n, off_t at)
{
  bool logs = fd == heap_of (md)->log->fd;
  if (logs && writes_left-- == 0)
    return errno = EIO, -1;
  return pwrite (fd, from, n, at);
}

/* The length in the root page of heap file NAME.  */
static uint64_t
length_in (const char *name)
{
  uint64_t length;
  int fd = open (temp_path (name), O_RDONLY | O_CLOEXEC);
  must (fd >= 0);
  must (pread (fd, &length, sizeof length, MM_OFF_ROOT) == sizeof length);
  must (close (fd) == 0);
  return length;
}

/* The record that only says that a half does not count has nothing of what came
   since the last checkpoint: if the one behind it fails, all is as it was.  */
START_TEST (says_nothing_else)
{
  disk_is_fast ();
  threads_are_held (false);
  md = open_logged (_i % SIZES);
  struct heap *h = heap_of (md);
  struct log *l = h->log;
  uint64_t n = 0;
  cells_begin ();
  while (l->half == 0 || l->at + 2 * MM_PAGE <= h->super.log_size)
    {
      cells_store (++n);
      checkpoint ();
    }
  must (n_threads == 1 && n_joined == 0);
  uint64_t seq = l->seq, begins = l->begins, length = l->length;
  ck_assert_uint_eq (length_in (file), length);
  must (mmalloc (md, KIB (900)) != NULL);
  ck_assert_uint_gt (off_length (h), length);
  cells_store (n + 1);
  os.pwrite = pwrite_later_fails;
  writes_left = 1;
  must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, EIO);
  os.pwrite = pwrite;
  must (l->seq == seq + 1 && l->first == begins && l->length == length);
  copy_has (n);
  ck_assert_uint_eq (length_in (file), length);
  ck_assert_uint_eq (length_in ("copy"), length);
  if (_i / SIZES == 0)
    ck_assert_int_eq (mmalloc_rollback (md), 0);
  else
    {
      checkpoint ();
      n++;
    }
  must (cells_have (cell, n) && off_length (h) == l->length);
  copy_has (n);
  ck_assert_int_eq (_i / SIZES == 0, l->length == length);
  heap_end (md);
}
END_TEST

RUN_KINDS (SIZES * SETTLERS, killed_while_it_settles, counts_until_it_is_settled,
           moves_while_it_settles, settles_beside_readers, sync_fails,
           settler_fails_once, log_stays_where_it_is, each_half_fails_once,
           says_nothing_else)
