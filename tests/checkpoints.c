/* Heaps with checkpoints, seen from inside: what a kill, a rollback, a reader and
   a shared opening find; logs that are full or too small; what the system
   refuses.  kill/power has the power cuts.  */

#include "logged.h"

#include "mounts.h"

START_TEST (killed)
{
  size_of_child = _i;
  for (uint64_t n = 1; n < 30; n += 4)
    {
      unlink (temp_heap_path ());
      struct child child = child_start (store_and_die, (void *) (uintptr_t) n);
      ck_assert_int_eq (child_end (child), 7);
      /* Again and again, the log goes on from where it was.  */
      for (uint64_t i = 0; i < 2; i++)
        {
          md = open_logged (_i);
          must (has (md, n - 1 + (i > 0 ? 100 : 0)));
          store (n + 99);
          checkpoint ();
          heap_end (md);
        }
    }
}
END_TEST

START_TEST (rolled_back)
{
  md = open_logged (_i);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (has (md, 0));
  for (uint64_t n = 1; n < 20; n++)
    {
      store (n);
      checkpoint ();
      store (n + 50);
      char *large = mmalloc (md, n % 3 == 0 ? MIB (3) : 10);
      ck_assert_ptr_nonnull (large);
      ck_assert_int_eq (mmalloc_rollback (md), 0);
      must (has (md, n));
    }
  comes_back (_i, 19);
}
END_TEST

/* A reader that stays.  */
static void
read_for_long (void *arg)
{
  int flags = (int) (uintptr_t) arg;
  md = open_with (0, flags);
  if (md == NULL || !has (md, 3))
    fprintf (stderr, "flags %x: %s\n", (unsigned) flags,
             mmalloc_strerror (NULL));
  must (md != NULL && has (md, 3));
  baton_pass (baton);
  baton_wait (baton);
  must (has (md, 3));
  ck_assert_ptr_null (mmalloc_detach (md));
  _exit (0);
}

START_TEST (readers_see_one)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE };
  struct child child[3];
  md = open_logged (_i);
  for (uint64_t n = 1; n <= 3; n++)
    {
      store (n);
      checkpoint ();
    }
  store (4);
  for (int i = 0; i < 3; i++)
    {
      child[i] = child_start (read_for_long, (void *) (uintptr_t) flags[i]);
      baton_wait (child[i].baton);
    }
  /* Far more than the log has room for.  */
  for (uint64_t n = 4; n < 40; n++)
    {
      store (n);
      if (n % 5 == 0)
        {
          store (n + 1);
          ck_assert_int_eq (mmalloc_rollback (md), 0);
          must (has (md, n - 1));
          store (n);
        }
      checkpoint ();
    }
  ck_assert_uint_gt (heap_of (md)->log->n_pending, 0);
  for (int i = 0; i < 3; i++)
    {
      baton_pass (child[i].baton);
      ck_assert_int_eq (child_end (child[i]), 0);
    }
  checkpoint ();
  must (has (md, 39));
  store (40);
  checkpoint ();
  ck_assert_uint_eq (heap_of (md)->log->n_pending, 0);
  store (41);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (has (md, 40));
  heap_end (md);
  md = open_with (0, MMALLOC_RDONLY);
  must (has (md, 40));
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* The writer is killed, and a reader stays: the next writer goes on.  */
START_TEST (killed_beside_reader)
{
  size_of_child = _i;
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 4)), 7);
  struct child child = child_start (read_for_long, (void *) MMALLOC_RDONLY);
  baton_wait (child.baton);
  must_fail (NULL, open_with (0, 0), EBUSY);
  md = open_logged (_i);
  must (has (md, 3));
  store (5);
  checkpoint ();
  store (6);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (has (md, 5));
  heap_end (md);
  md = open_logged (_i);
  must (has (md, 5));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
  md = open_with (0, 0);
  must (has (md, 5));
  heap_end (md);
}
END_TEST

/* The same after the log was used again and again, beside a reader that has seen
   nothing of that.  */
static void
go_on_and_die (void *unused)
{
  (void) unused;
  md = open_logged (size_of_child);
  for (uint64_t n = 4; n < 15; n++)
    {
      store (n);
      must (mmalloc_checkpoint (md) == 0);
    }
  store (3);
  must (mmalloc_checkpoint (md) == 0);
  store (16);
  _exit (7);
}

START_TEST (killed_later_beside_reader)
{
  size_of_child = _i;
  log_size = _i == SMALL ? KIB (64) : MIB (3);
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 4)), 7);
  struct child child = child_start (read_for_long, (void *) MMALLOC_RDONLY);
  baton_wait (child.baton);
  ck_assert_int_eq (child_end (child_start (go_on_and_die, NULL)), 7);
  struct child second = child_start (read_for_long, (void *) MMALLOC_RDONLY);
  baton_wait (second.baton);
  md = open_logged (_i);
  must (has (md, 3));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  baton_pass (second.baton);
  ck_assert_int_eq (child_end (second), 0);
  checkpoint ();
  heap_end (md);
  md = open_with (0, 0);
  must (has (md, 3));
  heap_end (md);
}
END_TEST

/* A page gets back by hand what the image has, while its copy has something
   else: when the log begins anew, with what the image has not got, the copy
   follows.  */
START_TEST (undone_by_hand_beside_reader)
{
  enum { PLACES = 2, ROUNDS = 100 };
  uint64_t size;
  unsigned half, n_halves = 0;
  disk_is_fast ();
  md = open_logged (_i);
  cells_begin ();
  checkpoint ();
  size = heap_of (md)->super.log_size;
  reader_comes ();
  for (uint64_t n = 0; n < ROUNDS; n++)
    {
      half = heap_of (md)->log->half;
      for (uint64_t k = 0; k < PLACES; k++)
        cell[k * APART] = (n + k) % 2;
      checkpoint ();
      ck_assert_uint_gt (heap_of (md)->log->n_pending, 0);
      n_halves += heap_of (md)->log->half != half;
      ck_assert_int_eq (mmalloc_rollback (md), 0);
      for (uint64_t k = 0; k < PLACES; k++)
        must (cell[k * APART] == (n + k) % 2);
    }
  must (n_halves > 4 && heap_of (md)->super.log_size == size);
  reader_goes ();
  heap_end (md);
}
END_TEST

/* What is pending when the last writer goes is in the image when somebody
   shares the heap.  */
START_TEST (shared_with_what_is_pending)
{
  md = open_logged (_i);
  store (1);
  checkpoint ();
  reader_comes ();
  store (2);
  checkpoint ();
  heap_end (md);
  reader_goes ();
  md = open_with (_i, 0);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  must (has (md, 2));
  heap_end (md);
}
END_TEST

/* A writer who makes checkpoints whenever a reader reads.  */
static struct { uint64_t made, at, due; } *told;
static struct child writer;

static void
write_when_told (void *unused)
{
  enum { MANY = 16 };          /* more than the log has room for */
  (void) unused;
  disk_is_fast ();
  md = open_logged (size_of_child);
  cells_begin ();
  must (mmalloc_checkpoint (md) == 0);
  for (;;)
    {
      baton_pass (baton);
      baton_wait (baton);
      for (int i = 0; i < MANY; i++)
        {
          cells_store (++told->made);
          must (mmalloc_checkpoint (md) == 0);
        }
    }
}

static ssize_t
pread_beside (int fd, void *to, size_t n, off_t at)
{
  if (++told->at == told->due)
    {
      baton_pass (writer.baton);
      baton_wait (writer.baton);
    }
  return pread (fd, to, n, at);
}

/* Between any two of its reads the log is used again: the reader sees one
   checkpoint, not older than its opening.  */
START_TEST (log_is_used_again_while_read)
{
  told = mmap (NULL, sizeof *told, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must (told != MAP_FAILED);
  size_of_child = _i;
  writer = child_start (write_when_told, NULL);
  baton_wait (writer.baton);
  os.pread = pread_beside;
  while (told->at >= told->due)
    {
      uint64_t n = told->made;
      told->due++;
      told->at = 0;
      char *view = open_with (0, MMALLOC_RDONLY);
      ck_assert_msg (view != NULL, "%s", mmalloc_strerror (NULL));
      uint64_t *there = mmalloc_getroot (view, "cells");
      while (n < told->made && !cells_have (there, n))
        n++;
      must (cells_have (there, n));
      ck_assert_ptr_null (mmalloc_detach (view));
    }
  ck_assert_uint_gt (told->due, 10);
  must (kill (writer.pid, SIGKILL) == 0);
  ck_assert_int_eq (child_end (writer), 128 + SIGKILL);
}
END_TEST

/* From shared to checkpoints and back.  */
START_TEST (shared_between)
{
  for (uint64_t n = 1; n < 8; n += 2)
    {
      md = open_with (_i, MMALLOC_CREATE);
      ck_assert_ptr_nonnull (md);
      ck_assert_uint_eq (heap_of (md)->super.version, MM_FORMAT);
      must (has (md, n - 1));
      store (n);
      mmalloc_trim (md);
      heap_end (md);
      md = open_logged (_i);
      ck_assert_uint_eq (heap_of (md)->super.version, MM_FORMAT_LOG);
      must (has (md, n));
      store (n + 1);
      heap_end (md);
    }
}
END_TEST

/* The log takes chunks that the heap grows around; then it has to move.  */
START_TEST (heap_grows_behind_the_log)
{
  md = open_logged (_i);
  size_t large = _i == SMALL ? MIB (2) : MIB (40);
  char *p[3];
  for (int i = 0; i < 3; i++)
    {
      must ((p[i] = mmalloc (md, large)) != NULL);
      block_fill (p[i], large, (unsigned) i);
      checkpoint ();
      heap_is_whole (md);
    }
  for (int i = 0; i < 3; i++)
    block_fill (p[i], large, 10 + (unsigned) i);
  checkpoint ();
  ck_assert_uint_ge (log_half (heap_of (md)), 3 * large);
  for (int i = 0; i < 3; i++)
    must (block_holds (p[i], large, 10 + (unsigned) i));
  mfree (md, p[1]);
  store (1);
  checkpoint ();
  mmalloc_trim (md);
  heap_end (md);
  md = open_with (0, 0);
  must (has (md, 1));
  must (block_holds (p[2], large, 12));
  heap_end (md);
}
END_TEST

START_TEST (refused)
{
  static const int readers[] = { MMALLOC_RDONLY, MMALLOC_PRIVATE,
                                 MMALLOC_ELSEWHERE };
  char *plain = heap_new (ANONYMOUS);
  must_fail (plain, mmalloc_checkpoint (plain) == 0 ? plain : NULL, EINVAL);
  must_fail (plain, mmalloc_rollback (plain) == 0 ? plain : NULL, EINVAL);
  heap_end (plain);
  for (int i = 0; i < 3; i++)
    must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT | readers[i]), EINVAL);
  must_fail (NULL, mmalloc_open (NULL, MMALLOC_CHECKPOINT, NULL), EINVAL);
  md = open_logged (_i);
  must_fail (NULL, open_with (0, 0), EBUSY);
  ck_assert_ptr_eq (open_logged (_i), md);
  ck_assert_ptr_null (mmalloc_detach (md));
  heap_end (md);
}
END_TEST

static void
open_busy (void *flags)
{
  must_fail (NULL, open_with (0, (int) (uintptr_t) flags), EBUSY);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "process "));
  _exit (0);
}

static void
open_shared (void *unused)
{
  (void) unused;
  md = open_with (0, 0);
  must (md != NULL);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (one_process)
{
  md = open_logged (_i);
  ck_assert_int_eq (child_end (child_start (open_busy, (void *) 0)), 0);
  ck_assert_int_eq (child_end (child_start (open_busy,
                                            (void *) MMALLOC_CHECKPOINT)), 0);
  heap_end (md);
  struct child child = child_start (open_shared, NULL);
  baton_wait (child.baton);
  must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT), EBUSY);
  char who[40];
  snprintf (who, sizeof who, "process %d ", (int) child.pid);
  must (strstr (mmalloc_strerror (NULL), who) != NULL);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}
END_TEST

static void
look_from_a_child (void *at)
{
  must (mmalloc_find (at) == NULL);
  must_fail (NULL, mmalloc (md, 10), EINVAL);
  must (mmalloc_checkpoint (md) == -1 && errno == EINVAL);
  _exit (0);
}

START_TEST (fork_child_has_none)
{
  md = open_logged (_i);
  store (1);
  checkpoint ();
  store (2);
  ck_assert_int_eq (child_end (child_start (look_from_a_child, md)), 0);
  must (has (md, 2));
  checkpoint ();
  comes_back (_i, 2);
}
END_TEST

/* ---- What the system refuses ---------------------------------------------- */

static int fail_write, fail_sync, n_writes, n_syncs;

/* Writes past the cache are those of the log.  */
static ssize_t
logs_pwrite (int fd, const void *from, size_t n, off_t at)
{
  struct heap *h = heap_of (md);
  if (h == NULL || h->log == NULL || fd != h->log->fd)
    return pwrite (fd, from, n, at);
  n_writes++;
  if (fail_write == 0)
    return pwrite (fd, from, n, at);
  if (fail_write < 0)
    {
      /* It did its work, and says that it failed.  */
      must (pwrite (fd, from, n, at) == (ssize_t) n);
      return errno = EIO, -1;
    }
  return errno = fail_write, -1;
}

static int
logs_fdatasync (int fd)
{
  n_syncs++;
  return fail_sync != 0 ? errno = fail_sync, -1 : fdatasync (fd);
}

START_TEST (write_fails)
{
  md = open_logged (_i);
  store (1);
  checkpoint ();
  os.pwrite = logs_pwrite;
  static const int codes[] = { ENOSPC, EIO, -1 };
  for (int i = 0; i < 3; i++)
    {
      uint64_t n = 2 + 2 * (uint64_t) i;
      fail_write = codes[i];
      store (n);
      for (int k = 0; k < 3; k++)
        must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL,
                   codes[i] > 0 ? codes[i] : EIO);
      must (has (md, n));
      if (i == 0)
        {
          ck_assert_ptr_eq (mmalloc_detach (md), md);
          ck_assert_int_eq (mmalloc_rollback (md), 0);
          must (has (md, 1));
        }
      fail_write = 0;
      store (n + 1);
      checkpoint ();
      must (has (md, n + 1));
    }
  os.pwrite = pwrite;
  comes_back (_i, 7);
}
END_TEST

/* One write, and nothing else waits for the disk; nothing changed: none.  */
START_TEST (one_flush)
{
  md = open_logged (_i);
  store (1);
  checkpoint ();
  os.pwrite = logs_pwrite;
  os.fdatasync = logs_fdatasync;
  n_writes = n_syncs = fail_write = fail_sync = 0;
  for (int i = 0; i < 5; i++)
    {
      block[3][i] ^= 1;
      checkpoint ();
      ck_assert_int_eq (n_writes, i + 1);
      checkpoint ();
      ck_assert_int_eq (n_writes, i + 1);
    }
  ck_assert_int_eq (n_syncs, 0);
  heap_end (md);
}
END_TEST

static long
no_scan (long number, ...)
{
  (void) number;
  return errno = ENOTTY, -1;
}

static int hide;
static int
open_without (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  mode_t mode = flags & O_CREAT ? va_arg (ap, mode_t) : 0;
  va_end (ap);
  if (hide && strcmp (path, "/proc/self/pagemap") == 0)
    return errno = ENOENT, -1;
  if (flags & O_DIRECT)
    return errno = EINVAL, -1;
  return open (path, flags, mode);
}

static int
no_populate (void *p, size_t n, int advice)
{
  return advice == MADV_POPULATE_WRITE ? errno = EINVAL, -1
                                       : madvise (p, n, advice);
}

static void *
no_image (void *p, size_t n, int prot, int flags, int fd, off_t at)
{
  bool image = p == NULL && prot == PROT_NONE && (flags & MAP_SHARED) != 0;
  return image && n > MM_PAGE ? errno = ENOMEM, MAP_FAILED
                              : mmap (p, n, prot, flags, fd, at);
}

/* Older kernels; no /proc; no writes past the cache; the image cannot be made
   writable at once, or not be mapped.  */
START_TEST (without_helpers)
{
  os.call = no_scan;
  os.open = open_without;
  for (hide = 0; hide < 4; hide++)
    {
      os.advise = hide == 2 ? no_populate : madvise;
      os.mmap = hide == 3 ? no_image : mmap;
      md = open_logged (_i);
      for (uint64_t n = 1; n < 10; n++)
        {
          store (n);
          checkpoint ();
          store (n + 20);
          ck_assert_int_eq (mmalloc_rollback (md), 0);
          must (has (md, n));
        }
      must ((heap_of (md)->log->image != NULL) == (hide != 3));
      heap_end (md);
    }
}
END_TEST

START_TEST (disk_is_full)
{
  if (!mount_small ("tmpfs", 48))
    return;
  file = "disk/heap";
  log_size = MIB (4);
  md = open_logged (_i);
  store (1);
  checkpoint ();
  disk_fill ("disk/junk", SIZE_MAX);
  store (2);
  checkpoint ();
  char *p, *all[100];
  int n = 0;
  while (n < 100 && (p = mmalloc (md, KIB (100))) != NULL)
    memset (all[n++] = p, 1, KIB (100));
  ck_assert_int_eq (errno, ENOSPC);
  must (has (md, 2));
  checkpoint ();
  unlink (temp_path ("disk/junk"));
  char *large = mmalloc (md, MIB (7));
  ck_assert_ptr_nonnull (large);
  checkpoint ();
  disk_fill ("disk/junk", SIZE_MAX);
  /* The log would have to grow.  */
  memset (large, 3, MIB (7));
  must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, ENOSPC);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), "bytes"));
  must (has (md, 2));
  ck_assert_ptr_eq (mmalloc_detach (md), md);
  memset (large, 0, MIB (7));
  store (3);
  checkpoint ();
  memset (large, 3, MIB (7));
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (has (md, 3));
  unlink (temp_path ("disk/junk"));
  memset (large, 3, MIB (7));
  store (4);
  heap_end (md);
  md = open_logged (_i);
  must (has (md, 4));
  must (large[MIB (6)] == 3);
  heap_end (md);
}
END_TEST

/* ---- Damage ---------------------------------------------------------------- */

/* A bit of the log is another one: the last record may be a torn one, others
   count.  */
START_TEST (damaged)
{
  size_of_child = _i;
  log_size = MIB (4);
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 3)), 7);
  struct disk_super s;
  struct disk_record r;
  char byte;
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (pread (fd, &s, sizeof s, 0), sizeof s);
  ck_assert_int_eq (pread (fd, &r, sizeof r, (off_t) s.log), sizeof r);
  static const size_t places[] = { 0, 9, 30, 40, 48, 56, 64, 72, 80, 88, 130,
                                   200, 5000 };
  for (size_t i = 0; i < sizeof places / sizeof *places; i++)
    {
      off_t at = (off_t) (s.log + places[i]);
      ck_assert_int_eq (pread (fd, &byte, 1, at), 1);
      byte ^= 4;
      ck_assert_int_eq (pwrite (fd, &byte, 1, at), 1);
      must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT), EBADMSG);
      must_fail (NULL, open_with (0, MMALLOC_RDONLY), EBADMSG);
      must_fail (NULL, open_with (0, 0), EBADMSG);
      byte ^= 4;
      ck_assert_int_eq (pwrite (fd, &byte, 1, at), 1);
    }
  /* The image knows the last one.  */
  off_t last = (off_t) (s.log + r.bytes);
  ck_assert_int_eq (pread (fd, &byte, 1, last), 1);
  byte ^= 4;
  ck_assert_int_eq (pwrite (fd, &byte, 1, last), 1);
  must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT), EBADMSG);
  byte ^= 4;
  ck_assert_int_eq (pwrite (fd, &byte, 1, last), 1);
  close (fd);
  md = open_logged (_i);
  must (has (md, 2));
  heap_end (md);
}
END_TEST

/* A record in the middle has gone, and the image does not know: power cuts keep
   parts of it from the disk.  */
START_TEST (damaged_in_the_middle)
{
  char page[MM_PAGE], byte;
  struct disk_super s;
  log_size = MIB (4);
  md = open_logged (_i);
  store (1);
  checkpoint ();
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (pread (fd, page, sizeof page, MM_OFF_ROOT), MM_PAGE);
  s = heap_of (md)->super;
  uint64_t at[3];
  for (int i = 0; i < 3; i++)
    {
      at[i] = s.log + heap_of (md)->log->at;
      block[3][i] ^= 1;
      checkpoint ();
    }
  heap_end (md);
  ck_assert_int_eq (pwrite (fd, page, sizeof page, MM_OFF_ROOT), MM_PAGE);
  ck_assert_int_eq (pread (fd, &byte, 1, (off_t) at[1] + 200), 1);
  byte ^= 4;
  ck_assert_int_eq (pwrite (fd, &byte, 1, (off_t) at[1] + 200), 1);
  close (fd);
  must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT), EBADMSG);
  must_fail (NULL, open_with (0, 0), EBADMSG);
}
END_TEST

/* ---- Threads, and what changed --------------------------------------------- */

static _Atomic int stop;
static void *
disturb (void *arg)
{
  void *mine[50] = { NULL };
  for (unsigned i = 0; !atomic_load (&stop); i++)
    {
      void **p = &mine[i * 7 % 50];
      mfree (arg, *p);
      if ((*p = mmalloc (arg, 1 + i * 37 % 20000)) != NULL)
        memset (*p, 1, 1);
    }
  return NULL;
}

static void
checkpoint_and_die (void *unused)
{
  (void) unused;
  md = open_logged (size_of_child);
  pthread_t thread[2];
  for (int i = 0; i < 2; i++)
    thread[i] = thread_start (disturb, md);
  (void) thread;
  for (int i = 0; i < 20; i++)
    must (mmalloc_checkpoint (md) == 0);
  _exit (0);
}

/* They break the contract: the heap is whole all the same.  */
START_TEST (threads_go_on)
{
  size_of_child = _i;
  for (int i = 0; i < 5; i++)
    {
      ck_assert_int_eq (child_end (child_start (checkpoint_and_die, NULL)), 0);
      md = open_logged (_i);
      heap_is_whole (md);
      heap_end (md);
    }
}
END_TEST

static int resumed;
static void
resume (void *arg)
{
  resumed += *(int *) arg;
  store (50);
}

START_TEST (resume_is_called)
{
  int once = 1;
  md = open_logged (_i);
  store (1);
  ck_assert_int_eq (mmalloc_checkpoint_resume (md, resume, &once), 0);
  ck_assert_int_eq (resumed, 1);
  must (has (md, 50));
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (has (md, 1));
  ck_assert_int_eq (mmalloc_checkpoint_resume (md, resume, &once), 0);
  checkpoint ();
  comes_back (_i, 50);
}
END_TEST

static void
resume_cells (void *n)
{
  cells_store (*(uint64_t *) n);
}

/* What is stored as soon as threads may go on stays, in a page that the
   checkpoint would give back.  */
START_TEST (resumed_in_a_page_of_the_checkpoint)
{
  uint64_t later = CELLS + 1;
  md = open_logged (_i);
  cells_begin ();
  checkpoint ();
  cells_store (1);
  ck_assert_int_eq (mmalloc_checkpoint_resume (md, resume_cells, &later), 0);
  ck_assert_uint_eq (cell[APART], later);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  ck_assert_uint_eq (cell[APART], 1);
  heap_end (md);
}
END_TEST

static size_t n_seen, bytes_seen;
static char *wanted;
static int
see (void *start, size_t size, void *arg)
{
  must (start > *(void **) arg && size % 64 == 0);
  *(void **) arg = start;
  bytes_seen += size;
  n_seen += (char *) start <= wanted && wanted < (char *) start + size;
  return 0;
}

START_TEST (changes)
{
  struct mmalloc_info info;
  md = open_logged (_i);
  store (1);
  checkpoint ();
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  unsigned long since = info.checkpoint;
  for (int i = 0; i < 4; i++)
    {
      wanted = block[50 * i] + 100;
      *wanted ^= 1;
      checkpoint ();
      void *last = NULL;
      n_seen = bytes_seen = 0;
      ck_assert_int_eq (mmalloc_changes (md, since + (unsigned long) i, see,
                                         &last), 0);
      ck_assert_uint_eq (n_seen, 1);
      /* And the root page.  */
      ck_assert_uint_eq (bytes_seen, 128);
      last = NULL;
      ck_assert_int_eq (mmalloc_changes (md, since, see, &last), 0);
      ck_assert_uint_eq (n_seen, 2);
    }
  must_fail (md, mmalloc_changes (md, since + 100, see, NULL) == 0 ? md : NULL,
             ERANGE);
  for (uint64_t n = 2; n < 20; n++)
    {
      store (n);
      checkpoint ();
    }
  must_fail (md, mmalloc_changes (md, since, see, NULL) == 0 ? md : NULL,
             ERANGE);
  heap_end (md);
}
END_TEST

RUN_KINDS (SIZES, killed, rolled_back, readers_see_one, killed_beside_reader,
           killed_later_beside_reader,
           shared_between, heap_grows_behind_the_log, refused, one_process,
           fork_child_has_none, write_fails, one_flush,
           without_helpers, disk_is_full, damaged, damaged_in_the_middle,
           threads_go_on,
           resume_is_called, changes, undone_by_hand_beside_reader,
           shared_with_what_is_pending, log_is_used_again_while_read,
           resumed_in_a_page_of_the_checkpoint)
