/* What the disk has is not what is read from the file: who was killed, or whose
   write or sync failed, leaves things that only one of the two has, and the
   next checkpoints count on neither.  */

#include "logged.h"


/* ---- A disk beside the file ------------------------------------------- */

/* What a power cut leaves of the file, in memory that processes share.  A page
   is lost if the system calls it clean, and the disk has something else.  */
enum { PAGES = 1 << 17 };
static struct disk
{
  off_t size;
  bool has[PAGES], lost[PAGES];
  char page[PAGES][MM_PAGE];
} *disk;
static int system_fd = -1;

/* Descriptors of which a write is on the disk when it returns; without the wait
   for the real one.  */
static bool durable[1024];

static int
disk_open (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  mode_t mode = flags & O_CREAT ? va_arg (ap, mode_t) : 0;
  va_end (ap);
  int fd = open (path, flags & ~(O_DSYNC | O_DIRECT), mode);
  must (fd < (int) (sizeof durable));
  if (fd >= 0)
    durable[fd] = (flags & O_DSYNC) != 0;
  return fd;
}

static void
disk_mark (bool *mark, bool value, off_t at, size_t n)
{
  must (at >= 0 && at + (off_t) n <= (off_t) PAGES * MM_PAGE);
  for (off_t page = at / MM_PAGE; page * MM_PAGE < at + (off_t) n; page++)
    mark[page] = value;
}

static void
disk_write (const void *from, size_t n, off_t at)
{
  disk_mark (disk->has, true, at, n);
  memcpy (&disk->page[0][0] + at, from, n);
  if (disk->size < at + (off_t) n)
    disk->size = at + (off_t) n;
}

/* The process is killed before so many things reach the disk, 0: never.  */
static int dies_at;
static void
disk_is_near (void)
{
  if (dies_at > 0 && --dies_at == 0)
    _exit (7);
}

/* The next durable write of so many bytes fails, though one of the two has
   it.  */
static enum { NONE, DISK_ALONE, FILE_ALONE } has_failed;
static size_t fails_least = 1;

static ssize_t
disk_pwrite (int fd, const void *from, size_t n, off_t at)
{
  bool waits = durable[fd];
  bool fails = waits && has_failed != NONE && n >= fails_least;
  bool disk_alone = fails && has_failed == DISK_ALONE;
  if (waits)
    disk_is_near ();
  if (waits && (!fails || disk_alone))
    disk_write (from, n, at);
  disk_mark (disk->lost, disk_alone, at, n);
  if (!disk_alone)
    must (pwrite (fd, from, n, at) == (ssize_t) n);
  if (!fails)
    return (ssize_t) n;
  has_failed = NONE;
  return errno = EIO, -1;
}

/* Into the image, which is mapped.  */
static void *
disk_store (void *to, const void *from, size_t n)
{
  disk_mark (disk->lost, false, (char *) to - heap_of (md)->log->image, n);
  return memcpy (to, from, n);
}

/* A sync that fails leaves pages clean.  */
static bool sync_fails;
static int
disk_fdatasync (int fd)
{
  static char page[MM_PAGE];
  off_t at = 0;
  (void) fd;
  disk_is_near ();
  if (!sync_fails)
    disk->size = lseek (system_fd, 0, SEEK_END);
  for (; (at = lseek (system_fd, at, SEEK_DATA)) >= 0; at += MM_PAGE)
    {
      off_t i = at / MM_PAGE;
      must (i < PAGES);
      must (pread (system_fd, page, MM_PAGE, at) == MM_PAGE);
      if (disk->has[i] && memcmp (disk->page[i], page, MM_PAGE) == 0)
        continue;
      if (sync_fails)
        disk->lost[i] = true;
      else if (!disk->lost[i])
        disk_write (page, MM_PAGE, at);
    }
  return sync_fails ? errno = EIO, -1 : 0;
}

/* A new file, of which the disk has nothing.  */
static void
disk_begin (void)
{
  if (system_fd >= 0)
    must (close (system_fd) == 0 && unlink (temp_path (file)) == 0
          && munmap (disk, sizeof *disk) == 0);
  disk = mmap (NULL, sizeof *disk, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  must (disk != MAP_FAILED);
  system_fd = open (temp_path (file), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  must (system_fd >= 0);
  os.open = disk_open;
  os.pwrite = disk_pwrite;
  os.store = disk_store;
  os.fdatasync = disk_fdatasync;
  os.create = no_pthread;
}

static void
power_cut (void)
{
  must (ftruncate (system_fd, 0) == 0
        && ftruncate (system_fd, disk->size) == 0);
  for (off_t i = 0; i < PAGES; i++)
    if (disk->has[i] && i * MM_PAGE < disk->size)
      must (pwrite (system_fd, disk->page[i], MM_PAGE, i * MM_PAGE) == MM_PAGE);
  disk_mark (disk->lost, false, 0, sizeof disk->page);
}


/* ---- Killed behind new pages ------------------------------------------ */

/* New memory, so much of it that it goes past the log; and less.  */
enum { BLOCKS = 100, BLOCK = 20000, LESS = 5, TIMES = 3 };
static char **list;

static void
list_begin (int i)
{
  log_size = MIB (1);
  md = open_logged (i % SIZES);
  list = mmalloc_getroot (md, "list");
  if (list != NULL)
    return;
  list = mcalloc (md, BLOCKS, sizeof *list);
  must (list != NULL && mmalloc_setroot (md, "list", list) == 0);
  checkpoint ();
}

static void
list_fill (int from, int n)
{
  for (int i = from; i < from + n; i++)
    {
      must (list[i] == NULL && (list[i] = mmalloc (md, BLOCK)) != NULL);
      block_fill (list[i], BLOCK, (uint64_t) i);
    }
}

static void
list_make (void *arg)
{
  list_begin (*(int *) arg);
  heap_end (md);
}

static void
list_is_killed (void *arg)
{
  list_begin (*(int *) arg);
  list_fill (0, BLOCKS);
  dies_at = 1 + *(int *) arg / SIZES;
  mmalloc_checkpoint (md);
}

static void
list_again (void *arg)
{
  list_begin (*(int *) arg);
  for (int i = 0; i < TIMES; i++)
    {
      list_fill (i * LESS, LESS);
      must (mmalloc_checkpoint (md) == 0);
    }
  _exit (7);
}

/* The image has them already: there is nothing to log, and the disk has to have
   them.  */
START_TEST (new_pages_of_the_killed)
{
  disk_begin ();
  ck_assert_int_eq (child_run (list_make, &_i), 0);
  ck_assert_int_eq (child_run (list_is_killed, &_i), 7);
  ck_assert_int_eq (child_run (list_again, &_i), 7);
  power_cut ();
  list_begin (_i);
  for (int i = 0; i < LESS * TIMES; i++)
    must (list[i] != NULL && block_holds (list[i], BLOCK, (uint64_t) i));
  must (list[LESS * TIMES] == NULL);
  ck_assert_int_eq (mmalloc_check (md, NULL, 0), 0);
  heap_end (md);
}
END_TEST


/* ---- A sync has failed ------------------------------------------------ */

/* The last checkpoint that was made.  */
static uint64_t *made;

static void
made_begin (void)
{
  made = mmap (NULL, sizeof *made, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  must (made != MAP_FAILED);
}

static void
cells_make (void *arg)
{
  md = open_logged (*(int *) arg % SIZES);
  cells_begin ();
  heap_end (md);
}

static void
cells_until_it_fails (void *arg)
{
  md = open_logged (*(int *) arg % SIZES);
  cells_begin ();
  sync_fails = true;
  for (cells_store (1); mmalloc_checkpoint (md) == 0; cells_store (*made + 1))
    must (++*made < 100);
  must (*made > 3);
  _exit (7);
}

static void
cells_go_on (void *arg)
{
  md = open_logged (*(int *) arg % SIZES);
  cells_begin ();
  must (cells_have (cell, *made));
  for (int i = 0; i < 30; i++)
    {
      cells_store (*made + 1);
      must (mmalloc_checkpoint (md) == 0);
      ++*made;
    }
  _exit (7);
}

/* Beside a reader the next process leaves the image as it is, which no sync
   writes unless it is written again; else all that counts goes there.  */
START_TEST (clean_but_not_on_the_disk)
{
  disk_begin ();
  made_begin ();
  ck_assert_int_eq (child_run (cells_make, &_i), 0);
  ck_assert_int_eq (child_run (cells_until_it_fails, &_i), 7);
  bool beside = _i / SIZES == 0;
  if (beside)
    reader_comes ();
  ck_assert_int_eq (child_run (cells_go_on, &_i), 7);
  if (beside)
    reader_goes ();
  power_cut ();
  md = open_logged (_i % SIZES);
  cells_begin ();
  must (cells_have (cell, *made));
  ck_assert_int_eq (mmalloc_check (md, NULL, 0), 0);
  heap_end (md);
}
END_TEST


/* ---- The file alone has what failed ----------------------------------- */

/* Several pages: a record that does not fit where a small one does.  */
enum { MUCH = KIB (16) };
static char *much;

static void
much_begin (int size)
{
  md = open_logged (size);
  cells_begin ();
  much = mmalloc_getroot (md, "much");
  if (much != NULL)
    return;
  must ((much = mcalloc (md, MUCH, 1)) != NULL);
  must (mmalloc_setroot (md, "much", much) == 0);
  checkpoint ();
}

/* Whether the cells have number N and, of those that come next, the ones of
   MASK alone.  */
static bool
cells_are (const uint64_t *there, uint64_t n, unsigned mask)
{
  uint64_t copy[CELLS * APART];
  memcpy (copy, there, sizeof copy);
  for (uint64_t k = n + 1; k <= n + 3; k++)
    {
      uint64_t *now = &copy[k % CELLS * APART];
      uint64_t before = k < CELLS ? 0 : k - CELLS;
      if (*now != ((mask >> (k - n - 1) & 1) != 0 ? k : before))
        return false;
      *now = before;
    }
  return cells_have (copy, n);
}

/* File NAME is refused, if that MAY be, or has one checkpoint, or what was to
   be one: number N and then the first, or the second, or that and the
   third.  */
static bool
is_whole (const char *name, uint64_t n, bool may)
{
  struct mmalloc_info info;
  char *heap = mmalloc_open (temp_path (name), MMALLOC_ELSEWHERE, NULL);
  if (heap == NULL)
    return may && errno == EBADMSG;
  must (mmalloc_info (heap, &info) == 0);
  char *root = mmalloc_getroot (heap, "cells");
  const uint64_t *there = (void *) (root + (heap - (char *) info.base));
  bool whole = cells_are (there, n, 0) || cells_are (there, n, 1)
               || cells_are (there, n, 2) || cells_are (there, n, 6);
  whole = whole && mmalloc_check (heap, NULL, 0) == 0;
  must (mmalloc_detach (heap) == NULL);
  return whole;
}

/* What the file has between FROM and TO goes into a copy.  */
static void
copy_part (off_t from, off_t to)
{
  static char page[MM_PAGE];
  int fd = open (temp_path ("copy"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
  must (fd >= 0);
  for (; (from = lseek (system_fd, from, SEEK_DATA)) >= 0 && from < to;
       from += MM_PAGE)
    {
      must (pread (system_fd, page, MM_PAGE, from) == MM_PAGE);
      must (pwrite (fd, page, MM_PAGE, from) == MM_PAGE);
    }
  must (ftruncate (fd, lseek (system_fd, 0, SEEK_END)) == 0);
  must (close (fd) == 0);
}

/* Until the first half is in use again, nearly full, and the other one still
   counts: the number of the last checkpoint.  */
static uint64_t
nearly_across (void)
{
  struct log *l = heap_of (md)->log;
  uint64_t n = 0, half = log_half (heap_of (md));
  while (n_threads < 2 || l->at + 3 * MM_PAGE <= half)
    {
      cells_store (++n);
      checkpoint ();
    }
  must (l->half == 0 && l->at + 2 * MM_PAGE <= half && settle_is_due (l));
  must (l->n_pending == 0);
  return n;
}

/* Where the record is that failed, and only the file has.  */
static off_t
fails_in_the_file (uint64_t n)
{
  struct heap *h = heap_of (md);
  off_t at = (off_t) (h->super.log + h->log->at);
  cells_store (n + 1);
  has_failed = FILE_ALONE;
  must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, EIO);
  return at;
}

/* It is undone; then two checkpoints, or a record that says that the other half
   does not count, and one ACROSS.  */
static void
goes_on_without (uint64_t n, bool across)
{
  struct log *l = heap_of (md)->log;
  uint64_t seq = l->seq;
  unsigned half = l->half;
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (cells_have (cell, n));
  cells_store (n + 2);
  if (across)
    memset (much, 1, MUCH);
  checkpoint ();
  if (!across)
    {
      cells_store (n + 3);
      checkpoint ();
    }
  ck_assert_uint_eq (l->seq, seq + 2);
  ck_assert_int_eq (l->half != half, across);
  must (!across || settle_is_due (l));
}

static uint64_t
file_begin (int size, bool across)
{
  disk_begin ();
  threads_are_held (false);
  much_begin (size);
  return across ? nearly_across () : 0;
}

/* A copy has what failed, and then what came behind the one that has its
   place.  */
START_TEST (copied_when_it_failed)
{
  bool across = _i / SIZES != 0;
  uint64_t n = file_begin (_i % SIZES, across);
  if (!across)
    reader_comes ();
  off_t at = fails_in_the_file (n) + MM_PAGE;
  /* Nothing is pending: what has no room would do without the other half.  */
  if (across)
    reader_comes ();
  copy_part (0, at);
  goes_on_without (n, across);
  copy_part (at, INT64_MAX);
  reader_goes ();
  must (is_whole ("copy", n, true));
  heap_end (md);
}
END_TEST

/* So has somebody who reads the log meanwhile.  */
static off_t stops_at;
static ssize_t
stopping_pread (int fd, void *to, size_t n, off_t at)
{
  ssize_t result = pread (fd, to, n, at);
  if (at == stops_at && n == MM_PAGE)
    {
      stops_at = 0;
      stop_here ();
    }
  return result;
}

static void
reads_slowly (void *arg)
{
  os.pread = stopping_pread;
  must (is_whole (file, *(uint64_t *) arg, false));
}

START_TEST (read_when_it_failed)
{
  bool across = _i / SIZES != 0;
  uint64_t n = file_begin (_i % SIZES, across);
  stops_at = fails_in_the_file (n);
  struct child child = child_start (reads_slowly, &n);
  until_stopped (child);
  goes_on_without (n, across);
  ck_assert_int_eq (kill (child.pid, SIGCONT), 0);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST


/* ---- The disk alone has what failed ----------------------------------- */

/* After so many checkpoints, with one that is LARGER or a small one.  */
static struct failing { int size; bool larger; uint64_t n; } failing;

static void
much_make (void *arg)
{
  (void) arg;
  much_begin (failing.size);
  heap_end (md);
}

static void
fails_on_the_disk (void *arg)
{
  (void) arg;
  much_begin (failing.size);
  for (uint64_t i = 1; i <= failing.n; i++)
    {
      cells_store (i);
      must (mmalloc_checkpoint (md) == 0);
    }
  cells_store (failing.n + 2);
  if (failing.larger)
    memset (much, 1, MUCH);
  /* Not the record that may have to say first that a half does not count.  */
  fails_least = failing.larger ? MUCH : 1;
  has_failed = DISK_ALONE;
  must (mmalloc_checkpoint (md) != 0);
  _exit (7);
}

static void
one_more (void *arg)
{
  (void) arg;
  much_begin (failing.size);
  must (cells_have (cell, failing.n) && *much == 0);
  cells_store (failing.n + 1);
  if (!failing.larger)
    memset (much, 2, MUCH);
  must (mmalloc_checkpoint (md) == 0);
  _exit (7);
}

/* The next process has a record with the same number, in the other half, or in
   this one when what failed is where the other begins.  */
START_TEST (disk_has_another)
{
  failing = (struct failing){ .size = _i % SIZES, .larger = _i / SIZES != 0 };
  for (; failing.n < 24; failing.n++)
    {
      disk_begin ();
      ck_assert_int_eq (child_run (much_make, NULL), 0);
      ck_assert_int_eq (child_run (fails_on_the_disk, NULL), 7);
      ck_assert_int_eq (child_run (one_more, NULL), 7);
      power_cut ();
      much_begin (failing.size);
      ck_assert_msg (cells_have (cell, failing.n + 1)
                       && *much == (failing.larger ? 0 : 2),
                     "after %d", (int) failing.n);
      ck_assert_int_eq (mmalloc_check (md, NULL, 0), 0);
      heap_end (md);
    }
}
END_TEST

RUN_KINDS (SIZES * 2, new_pages_of_the_killed, clean_but_not_on_the_disk,
           copied_when_it_failed, read_when_it_failed, disk_has_another)
