/* logs.h - base heaps with a log, and what may become of them.

   Each has several checkpoints, whose contents are known by their sums.  Where
   nothing was forged, a heap with a damaged log is refused, or is as one of the
   checkpoints was, all of it.  Who only looks changes nothing.  */

#ifndef LOGS_H
#define LOGS_H 1

#include "hostile.h"

/* INSIDE has its log among its chunks, and a block behind that; both halves
   count, and the image is as at the last checkpoint.
   BEHIND has it behind its capacity; the older half counts no more, and the
   image is as long ago as a power cut may leave it.
   KEPT as well; somebody reads, so that the image stays as it is.
   EMPTY has no record yet.  */
enum { LOG_SIZE = 64 << 10, LOG_STATES = 60, LOG_CELLS = 12, LOG_APART = 2048 };

/* What the makers leave for those who damage.  */
static struct logs
{
  uint64_t log, size;           /* where the log is, in the file */
  uint64_t n;                   /* states: one for each checkpoint */
  struct { uint64_t seq, all, blocks; } state[LOG_STATES];
  uint64_t watch[HOSTILE_VIEW / MM_PAGE / 64]; /* bit i: page i counts */
  uint64_t heap[HOSTILE_VIEW / MM_PAGE / 64]; /* ... and openings change it */
} *logs;

static inline bool
log_bit (const uint64_t *map, size_t i)
{
  return map[i / 64] >> i % 64 & 1;
}

static inline void
log_set (uint64_t *map, size_t i)
{
  map[i / 64] |= UINT64_C (1) << i % 64;
}


/* ---- What is in a heap ----------------------------------------------- */

/* The sum of heap MD, or of its BLOCKS alone, without what openings change.  */
static inline uint64_t
log_sum_of (char *md, bool blocks)
{
  static const char zero[MM_PAGE];
  struct mmalloc_info info;
  uint64_t sum = 0;
  MUST (mmalloc_info (md, &info) == 0);
  for (size_t i = 0; i < sizeof logs->watch / sizeof *logs->watch; i++)
    for (uint64_t left = logs->watch[i]; left != 0; left &= left - 1)
      {
        size_t page = i * 64 + (size_t) __builtin_ctzll (left);
        const char *p = md + page * MM_PAGE;
        if (page >= info.length / MM_PAGE
            || (blocks && log_bit (logs->heap, page))
            || memcmp (p, zero, MM_PAGE) == 0)
          continue;
        sum += log_sum (p, MM_PAGE) * (2 * page + 1);
      }
  return sum;
}

/* Which state heap MD is in; -1: none.  */
static inline int
log_state_of (char *md, bool blocks)
{
  uint64_t sum = log_sum_of (md, blocks);
  struct mmalloc_info info;
  MUST (mmalloc_info (md, &info) == 0);
  for (uint64_t i = 0; i < logs->n; i++)
    if (logs->state[i].seq == info.checkpoint
        && sum == (blocks ? logs->state[i].blocks : logs->state[i].all))
      return (int) i;
  return -1;
}


/* ---- The base heaps -------------------------------------------------- */

/* Waits for the disk happen when they are waited for, or in the call.  */
static inline int
log_create (pthread_t *thread_id, const pthread_attr_t *attributes,
            void *(*fn) (void *), void *arg)
{
  (void) thread_id, (void) attributes, (void) fn, (void) arg;
  return 0;
}

static inline int
log_no_create (pthread_t *thread_id, const pthread_attr_t *attributes,
               void *(*fn) (void *), void *arg)
{
  (void) thread_id, (void) attributes, (void) fn, (void) arg;
  return EAGAIN;
}

static struct log *log_of_maker;
static inline int
log_join (pthread_t thread_id, void **result)
{
  (void) thread_id, (void) result;
  helper_run (&log_of_maker->settler);
  return 0;
}

/* Nothing waits for a disk.  */
static int
log_open_fast (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  mode_t mode = flags & O_CREAT ? va_arg (ap, mode_t) : 0;
  va_end (ap);
  return open (path, flags & ~(O_DSYNC | O_DIRECT), mode);
}

static int
log_no_sync (int fd)
{
  (void) fd;
  return 0;
}

/* Pages that have something in the file but the superblocks, the entries and
   the log, or are pending in heap H, count.  */
static inline void
log_watch (struct heap *h)
{
  off_t at = 0;
  while ((at = lseek (hostile_fd, at, SEEK_DATA)) >= 0)
    {
      off_t end = lseek (hostile_fd, at, SEEK_HOLE);
      for (; at < end; at += MM_PAGE)
        if (log_may_have (h, (uint64_t) at / MM_PAGE))
          log_set (logs->watch, (size_t) at / MM_PAGE);
    }
  for (size_t i = 0; i < h->log->n_pending; i++)
    log_set (logs->watch, h->log->pending[i]);
}

/* Somebody comes who opens a copy of the file: note what he sees.  */
static inline void
log_note (struct heap *h)
{
  static int copy = -1;
  struct stat st;
  if (copy < 0)
    copy = memfd_create ("copy", MFD_CLOEXEC);
  NEED (copy >= 0 && fstat (hostile_fd, &st) == 0);
  NEED (ftruncate (copy, 0) == 0 && ftruncate (copy, st.st_size) == 0);
  for (off_t at = 0; (at = lseek (hostile_fd, at, SEEK_DATA)) >= 0;)
    {
      off_t end = lseek (hostile_fd, at, SEEK_HOLE);
      NEED (pwrite (copy, hostile_view + at, (size_t) (end - at), at)
            == end - at);
      at = end;
    }
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  struct mmalloc_info info;
  opt.fd = copy;
  char *md = mmalloc_open (NULL, MMALLOC_ELSEWHERE, &opt);
  if (md == NULL)
    broken ("base heap: %s", mmalloc_strerror (NULL));
  log_watch (h);
  uint64_t i = logs->n++;
  NEED (i < LOG_STATES && mmalloc_info (md, &info) == 0);
  NEED (info.checkpoint == h->log->seq);
  logs->state[i].seq = info.checkpoint;
  logs->state[i].all = log_sum_of (md, false);
  logs->state[i].blocks = log_sum_of (md, true);
  NEED (mmalloc_detach (md) == NULL);
}

/* Store number N: some words, some blocks, a root.  */
static inline void
log_store (char *md, uint64_t n)
{
  uint64_t *cell = mmalloc_getroot (md, "cells");
  void **block = mmalloc_getroot (md, "some");
  for (uint64_t i = 0; i < 3; i++)
    cell[(n + i) % LOG_CELLS * LOG_APART / 8] = n + i;
  mfree (md, block[n % 4]);
  NEED ((block[n % 4] = mmalloc (md, 100 + n)) != NULL);
  memset (block[n % 4], (int) n, 100 + n);
  NEED (mmalloc_setroot (md, "state", (void *) (uintptr_t) (n + 1)) == 0);
}

/* A checkpoint of number N, and what somebody sees then.  */
static inline void
log_commit (struct heap *h, uint64_t n)
{
  char *md = (char *) h->file.base;
  log_store (md, n);
  if (mmalloc_checkpoint (md) != 0)
    broken ("base heap: %s", mmalloc_strerror (md));
  log_note (h);
}

/* The image as it was, by number of the checkpoint.  */
static char *log_past[LOG_STATES];

static inline void
log_keep_image (struct heap *h)
{
  char *p = log_past[h->log->seq] = malloc (h->capacity);
  NEED (p != NULL);
  memcpy (p, hostile_view, h->capacity);
}

static inline void
log_back_in_time (struct heap *h)
{
  const char *past = log_past[h->log->first - 1];
  NEED (past != NULL);
  memcpy (hostile_view + MM_OFF_LOCKS, past + MM_OFF_LOCKS,
          h->capacity - MM_OFF_LOCKS);
}

static inline void
log_make_behind (struct heap *h)
{
  uint64_t n = 1, switches = 0;
  os.create = log_no_create;
  log_keep_image (h);
  for (unsigned half = 0; switches < 2 || h->log->at % (LOG_SIZE / 2) < 12288;
       n++)
    {
      log_commit (h, n);
      log_keep_image (h);
      switches += half != h->log->half;
      half = h->log->half;
    }
  NEED (h->log->first >= h->log->begins);
  log_back_in_time (h);
}

static inline void
log_make_inside (struct heap *h)
{
  uint64_t n = 1;
  os.create = log_create;
  os.join = log_join;
  char *large = mmalloc ((void *) h->file.base, MIB (20));
  NEED (large > (char *) h->file.base + h->super.log);
  memset (large, 7, 5 * MM_PAGE);
  memset (large + MIB (19), 8, MM_PAGE);
  for (; h->log->half == 0 || h->log->seq < h->log->begins + 2; n++)
    log_commit (h, n);
  NEED (settle_is_due (h->log));
}

/* Somebody reads.  */
static inline int
log_reader (void)
{
  struct flock lock = { .l_type = F_RDLCK, .l_whence = SEEK_SET,
                        .l_start = MM_LOCK_BYTES + MM_BYTE_PRIVATE,
                        .l_len = 1 };
  char name[40];
  snprintf (name, sizeof name, "/proc/self/fd/%d", hostile_fd);
  int fd = open (name, O_RDONLY | O_CLOEXEC);
  NEED (fd >= 0 && fcntl (fd, F_OFD_SETLK, &lock) == 0);
  return fd;
}

static inline void
log_make_kept (struct heap *h)
{
  uint64_t n = 1;
  for (; n < 3; n++)
    log_commit (h, n);
  log_reader ();
  for (; n < 6; n++)
    log_commit (h, n);
}

/* In a process of its own, which ends as if killed.  */
static inline void
log_maker (enum base_kind kind)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = hostile_fd;
  opt.log = LOG_SIZE;
  char *md = mmalloc_open (NULL, MMALLOC_CHECKPOINT, &opt);
  if (md == NULL)
    broken ("base heap: %s", mmalloc_strerror (NULL));
  struct heap *h = (struct heap *) process.files;
  log_of_maker = h->log;
  log_note (h);
  logs->log = h->super.log;
  logs->size = h->super.log_size;
  if (kind == BASE_BEHIND)
    log_make_behind (h);
  else if (kind == BASE_INSIDE)
    log_make_inside (h);
  else if (kind == BASE_KEPT)
    log_make_kept (h);
  NEED (h->super.log == logs->log && h->super.log_size == LOG_SIZE);
  _exit (0);
}

/* What openings change: locks, entries, root page, directory, streams.  */
static inline void
log_find_volatile (const struct parts *parts)
{
  for (size_t i = 0; i < parts->n; i++)
    if (strstr ("locks, entries, more entries, root page, directory, streams,"
                " index", parts->part[i].name) != NULL)
      for (size_t at = 0; at < parts->part[i].len; at += MM_PAGE)
        log_set (logs->heap, (parts->part[i].off + at) / MM_PAGE);
}

/* Make base heap KIND, and what is known of it, and PARTS; as base_make.  */
static inline void
log_make (struct image *im, enum base_kind kind, struct parts *parts)
{
  if (logs == NULL)
    logs = mmap (NULL, sizeof *logs, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  NEED (logs != MAP_FAILED);
  memset (logs, 0, sizeof *logs);
  base_begin (im, kind);
  os.open = log_open_fast;
  os.fdatasync = log_no_sync;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = hostile_fd;
  im->base = hostile_base = HOSTILE_BASE + ((uint64_t) kind << 34);
  opt.base = (void *) im->base;
  im->capacity = opt.reserve = kind == BASE_INSIDE ? MIB (176) : MIB (4);
  char *md = mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  if (md == NULL)
    broken ("base heap: %s", mmalloc_strerror (NULL));
  base_fill (im, md);
  void *cell = mcalloc (md, LOG_CELLS, LOG_APART);
  NEED (mmalloc_setroot (md, "cells", cell) == 0);
  NEED (mmalloc_setroot (md, "some", mcalloc (md, 4, sizeof (void *))) == 0);
  NEED (mmalloc_setroot (md, "state", md) == 0);
  NEED (mmalloc_detach (md) == NULL);
  base_settle ();
  parts_find (parts, im);
  log_find_volatile (parts);
  int status;
  pid_t pid = fork ();
  if (pid == 0)
    log_maker (kind);
  NEED (pid > 0 && waitpid (pid, &status, 0) == pid && status == 0);
  base_end (im);
}


/* ---- Records --------------------------------------------------------- */

/* The heads that the undamaged log has, in the order of their numbers.  */
enum { LOG_RECORDS = LOG_SIZE / MM_PAGE };
struct records
{
  size_t n;
  struct { size_t off, bytes, n, data; } record[LOG_RECORDS];
};

static inline struct disk_record *
log_record (const struct records *all, size_t i)
{
  return (struct disk_record *) (void *) (hostile_view + all->record[i].off);
}

static inline void
log_records (struct records *all)
{
  all->n = 0;
  for (uint64_t at = 0; at < logs->size; at += MM_PAGE)
    {
      struct disk_record *r = (struct disk_record *) (void *)
                              (hostile_view + logs->log + at);
      if (r->magic != MM_RECORD_MAGIC || r->at != at
          || r->sum != log_record_sum (r))
        continue;
      size_t i = all->n++;
      for (; i > 0 && log_record (all, i - 1)->seq > r->seq; i--)
        all->record[i] = all->record[i - 1];
      all->record[i].off = logs->log + at;
      all->record[i].bytes = r->bytes;
      all->record[i].n = r->n;
      all->record[i].data = r->data;
    }
}

/* Both ends of record R are right again, and its sum, as far as it lies in the
   log.  */
static inline void
log_seal (struct disk_record *r)
{
  uint64_t at = (uint64_t) ((char *) r - hostile_view);
  if (r->bytes < MM_PAGE || r->bytes % 32 != 0
      || r->bytes > logs->log + logs->size - at)
    return;
  r->sum = 0;
  memcpy ((char *) r + r->bytes - sizeof *r, r, sizeof *r);
  r->sum = log_record_sum (r);
}


/* ---- Using a heap whose log may be damaged --------------------------- */

/* What is the outcome to be?  ONE: one of the checkpoints.  ANY: nothing but no
   harm, since who forges a record, or words outside of the log, can make
   anything of a heap.  */
enum expected { ONE, ANY };

/* The file as those find it who open it.  */
static char (*log_before)[MM_PAGE];
static size_t log_size_before;

static inline void
log_remember (const struct image *im)
{
  if (log_before == NULL)
    log_before = malloc (IMAGE_PAGES * MM_PAGE);
  NEED (log_before != NULL);
  log_size_before = use_file_size ();
  for (size_t i = 0; i < im->n_pages; i++)
    if (((size_t) im->page[i] + 1) * MM_PAGE <= log_size_before)
      memcpy (log_before[i], hostile_view + (size_t) im->page[i] * MM_PAGE,
              MM_PAGE);
}

/* It is as it was.  */
static inline void
log_untouched (const struct image *im)
{
  MUST (use_file_size () == log_size_before);
  for (size_t i = 0; i < im->n_pages; i++)
    if (((size_t) im->page[i] + 1) * MM_PAGE <= log_size_before)
      MUST (memcmp (log_before[i],
                    hostile_view + (size_t) im->page[i] * MM_PAGE, MM_PAGE)
            == 0);
}

/* The heap that is open in U is worked with, by one who wants checkpoints, or
   shares it.  It comes back.  */
static inline void
log_work (struct use *u, const struct image *im, int flags, enum expected wish)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = hostile_fd;
  if (wish == ANY)
    {
      use_change (u, im);
      if (flags & MMALLOC_CHECKPOINT)
        mmalloc_rollback (u->md);
      use_look (u, im);
      MUST (mmalloc_detach (u->md) == NULL);
      return;
    }
  MUST (mmalloc_check (u->md, NULL, NULL) == 0);
  log_store (u->md, 100);
  if (flags & MMALLOC_CHECKPOINT)
    {
      MUST (mmalloc_checkpoint (u->md) == 0);
      log_store (u->md, 101);
      MUST (mmalloc_rollback (u->md) == 0);
      log_store (u->md, 102);
    }
  MUST (mmalloc_detach (u->md) == NULL);
  u->md = mmalloc_open (NULL, MMALLOC_RDONLY, &opt);
  MUST (u->md != NULL && mmalloc_check (u->md, NULL, NULL) == 0);
  uintptr_t state = flags & MMALLOC_CHECKPOINT ? 103 : 101;
  MUST ((uintptr_t) mmalloc_getroot (u->md, "state") == state);
  MUST (mmalloc_detach (u->md) == NULL);
}

/* Open the file in way FLAGS and use it.  Gives the state, or -1 if it was
   refused, -2 if it is in none.  */
enum { LOG_REFUSED = -1, LOG_MIXED = -2 };
static inline int
log_use_file (const struct image *im, int flags, struct use *u,
              enum expected wish)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = hostile_fd;
  errno = 0;
  u->md = mmalloc_open (NULL, flags, &opt);
  if (u->md == NULL)
    {
      MUST (errno != 0 && mmalloc_errno (NULL) == errno);
      if (wish == ONE && errno != EBADMSG)
        wrong ("flags 0x%x: errno is %d: %s", (unsigned) flags, errno,
               mmalloc_strerror (NULL));
      MUST (mmalloc_strerror (NULL)[0] != '\0');
      return LOG_REFUSED;
    }
  struct heap *h = (struct heap *) process.files;
  MUST (h != NULL && (char *) h->file.base == u->md && h->file.next == NULL);
  u->mapped = h->file.mapped;
  bool looks = flags & (MMALLOC_RDONLY | MMALLOC_ELSEWHERE);
  int state = log_state_of (u->md, !looks);
  if (state < 0)
    state = LOG_MIXED;
  if (wish == ONE && state < 0)
    wrong ("flags 0x%x: no checkpoint was so", (unsigned) flags);
  if (wish == ONE)
    MUST (mmalloc_check (u->md, NULL, NULL) == 0);
  else
    use_look (u, im);
  if (looks || flags & MMALLOC_PRIVATE)
    MUST (mmalloc_detach (u->md) == NULL);
  else
    log_work (u, im, flags, wish);
  return state;
}

/* Use the damaged file in all ways; those besides looking at it depend on N.
   The outcome is that of who changes it.  */
static inline enum outcome
log_use (const struct image *im, uint64_t n, enum expected wish)
{
  static const int look[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE, MMALLOC_RDONLY,
                              MMALLOC_PRIVATE };
  struct use u = { .n = n };
  log_remember (im);
  int seen = log_use_file (im, look[n % 4], &u, wish);
  log_untouched (im);
  int found = log_use_file (im, n % 3 == 0 ? 0 : MMALLOC_CHECKPOINT, &u, wish);
  if (wish == ONE && found >= 0)
    MUST (found == seen);
  return found == LOG_REFUSED ? REFUSED
         : found == LOG_MIXED || (uint64_t) found + 1 < logs->n ? DETECTED
                                                                 : HARMLESS;
}

/* As run_some, of the base heaps with a log.  */
static inline int
log_run_some (const char *name, run_case fn,
              uint64_t (*count_all) (const struct image *im), uint64_t stride,
              struct parts *parts, uint64_t *tried)
{
  static struct image image;
  int failed = 0;
  for (int kind = BASE_KINDS; kind < BASE_ALL; kind++)
    {
      log_make (&image, (enum base_kind) kind, parts);
      failed += run_some_of (&image, name, fn, count_all, 0, stride, tried);
    }
  return failed;
}

#endif /* LOGS_H */
