/* Heaps of other machines, versions and makers, forged superblocks, logs in no
   place, and files that are no heaps at all: refused with the error that
   mmalloc.h promises, and not touched.  */

#include "hostile/logs.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct image image;
static char dir[PATH_MAX], path[PATH_MAX + 8];

/* A member of both superblocks and a value that it must not have.  The sum is
   right, or that of another version.  ERROR 0: whatever the address gives, but
   no crash.  */
#define MEMBER(m) offsetof (struct disk_super, m), \
                  sizeof ((struct disk_super *) 0)->m
static const struct forged
{
  const char *name;
  size_t off, size;
  uint64_t value;
  int error;
} forged[] = {
  { "byte order", MEMBER (magic), UINT64_C (0x6d6d616c6c6f6301), ENOTSUP },
  { "another magic", MEMBER (magic), UINT64_C (0x02636f6c6c616d6d), EINVAL },
  { "no magic", MEMBER (magic), 0, EINVAL },
  { "newer version", MEMBER (version), MM_FORMAT_LOG + 1, ENOTSUP },
  { "newer version, its own sum", MEMBER (version), MM_FORMAT_LOG + 1, ENOTSUP },
  { "newest version", MEMBER (version), UINT32_MAX, ENOTSUP },
  { "version 0", MEMBER (version), 0, ENOTSUP },
  { "version 1, with more entries than it had", MEMBER (version), 1, ENOTSUP },
  { "order", MEMBER (order), 0x04030201, ENOTSUP },
  { "slices of 4 KiB", MEMBER (slice), 4096, ENOTSUP },
  { "slices of nothing", MEMBER (slice), 0, ENOTSUP },
  { "chunks of 16 MiB", MEMBER (chunk), 16 << 20, ENOTSUP },
  { "one class more", MEMBER (n_classes), MM_CLASSES + 1, ENOTSUP },
  { "other classes", MEMBER (class_sum), 1, ENOTSUP },
  { "other entries", MEMBER (n_procs), 1000, ENOTSUP },
  { "more entries", MEMBER (n_procs), MM_PROCS + 64, ENOTSUP },
  { "no entries", MEMBER (n_procs), 0, ENOTSUP },
  { "fewer entries", MEMBER (n_procs), MM_PROCS_FIRST, 0 },
  { "a feature", MEMBER (features), 1, ENOTSUP },
  { "base 0", MEMBER (base), 0, EBADMSG },
  { "base odd", MEMBER (base), HOSTILE_BASE + 8, EBADMSG },
  { "base in the kernel", MEMBER (base), UINT64_C (0xffff800000000000),
    EBADMSG },
  { "base beyond the machine", MEMBER (base), UINT64_C (1) << 50, 0 },
  { "base at the first page", MEMBER (base), 4096, 0 },
  { "base at the end", MEMBER (base), UINT64_C (0x7ffffffff000), 0 },
  { "capacity 0", MEMBER (capacity), 0, EBADMSG },
  { "capacity of a page", MEMBER (capacity), 4096, EBADMSG },
  { "capacity odd", MEMBER (capacity), MIB (176) + 8, EBADMSG },
  { "capacity of the least heap, below the length", MEMBER (capacity),
    KIB (256), EBADMSG },
  { "capacity below the length", MEMBER (capacity), MIB (64), EBADMSG },
  { "capacity a little more", MEMBER (capacity), MIB (176) + MM_SLICE, 0 },
  { "capacity one chunk more", MEMBER (capacity), MIB (208), 0 },
  { "capacity one chunk less", MEMBER (capacity), MIB (144), 0 },
  { "capacity 1 TiB", MEMBER (capacity), UINT64_C (1) << 40, 0 },
  { "capacity 64 TiB", MEMBER (capacity), UINT64_C (1) << 46, 0 },
  { "capacity 64 TiB and a page", MEMBER (capacity),
    (UINT64_C (1) << 46) + MM_PAGE, EBADMSG },
  { "capacity 2 EiB", MEMBER (capacity), UINT64_C (1) << 61, EBADMSG },
  { "no streams", MEMBER (n_streams), 0, EBADMSG },
  { "too many streams", MEMBER (n_streams), 65535, EBADMSG },
  { "one stream too many", MEMBER (n_streams), MM_STREAMS_MAX + 1, EBADMSG },
  { "other streams", MEMBER (n_streams), 1, 0 },
  { "more streams", MEMBER (n_streams), 1023, 0 },
  { "no shared stream", MEMBER (n_shared), 0, EBADMSG },
  { "shared streams", MEMBER (n_shared), 10, 0 },
  { "too many shared streams", MEMBER (n_shared), 513, EBADMSG },
  { "one shared stream too many, of many",
    offsetof (struct disk_super, n_streams), 8,
    MM_STREAMS_MAX | (uint64_t) (MM_SHARED_MAX + 1) << 32, EBADMSG },
  { "zero", MEMBER (zero), 1, EBADMSG },
  { "a log, of which there is nothing", MEMBER (version), MM_FORMAT_LOG,
    EBADMSG },
  { "highest generation", MEMBER (generation), UINT64_MAX, 0 },
};
enum { FORGED = sizeof forged / sizeof *forged };

/* The file as it is must be refused in every way.  */
enum { WAYS = 6 };
static void
refused (const char *name, int error)
{
  static const int flags[WAYS] = { 0, MMALLOC_CREATE, MMALLOC_RDONLY,
                                   MMALLOC_PRIVATE, MMALLOC_ELSEWHERE,
                                   MMALLOC_CHECKPOINT };
  uint64_t sum = sum_bytes (hostile_view, KIB (64));
  size_t size = use_file_size ();
  for (int i = 0; i < WAYS; i++)
    {
      struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
      opt.fd = hostile_fd;
      errno = 0;
      if (mmalloc_open (NULL, flags[i], &opt) != NULL)
        wrong ("%s: opened with flags %d", name, flags[i]);
      if (errno != error)
        wrong ("%s: errno is %d, not %d, with flags %d", name, errno, error,
               flags[i]);
      MUST (mmalloc_errno (NULL) == error);
      MUST (mmalloc_strerror (NULL)[0] != '\0');
      /* Found out here, and not by luck when more has been believed.  */
      const char *told = strstr (name, "the length") != NULL
                         ? "the length is damaged" : error == EBADMSG
                         ? "the superblock is damaged" : "";
      if (strstr (mmalloc_strerror (NULL), told) == NULL)
        wrong ("%s: \"%s\"", name, mmalloc_strerror (NULL));
    }
  MUST (use_file_size () == size);
  MUST (sum_bytes (hostile_view, KIB (64)) == sum);
}

static enum outcome
forge (const struct image *im, uint64_t n)
{
  const struct forged *f = &forged[n];
  for (int i = 0; i < 2; i++)
    {
      memcpy (hostile_view + i * MM_PAGE + f->off, &f->value, f->size);
      if (strstr (f->name, "its own sum") == NULL)
        view_sum (i);
    }
  if (f->error != 0)
    {
      refused (f->name, f->error);
      return REFUSED;
    }
  return use_all (im, n);
}


/* ---- Logs in no place ------------------------------------------------ */

/* What both superblocks, whose sums are right, say of the log of a base heap:
   where, in pages from WHAT, and how many pages it has.  TOLD: the words of the
   refusal; NULL: as it was.  */
enum from { FROM_0, FROM_LOG, FROM_CAPACITY, FROM_END };
static const char no_place[] = "the superblock is damaged";
static const char truncated[] = "truncated";
static const char no_records[] = "the log is damaged";
static const struct placed
{
  const char *name;
  enum base_kind base;
  enum from what;
  int64_t at;                   /* bytes */
  uint64_t size;
  const char *told;
} placed[] = {
  { "as it is, inside", BASE_INSIDE, FROM_LOG, 0, LOG_SIZE, NULL },
  { "as it is, behind", BASE_BEHIND, FROM_LOG, 0, LOG_SIZE, NULL },
  { "odd place", BASE_BEHIND, FROM_LOG, 8, LOG_SIZE, no_place },
  { "half a page on", BASE_INSIDE, FROM_LOG, 2048, LOG_SIZE, no_place },
  { "a page on", BASE_INSIDE, FROM_LOG, MM_PAGE, LOG_SIZE, no_place },
  { "a page before", BASE_INSIDE, FROM_LOG, -MM_PAGE, LOG_SIZE, no_place },
  { "over the superblocks", BASE_BEHIND, FROM_0, 0, LOG_SIZE, no_place },
  { "over the superblocks, inside", BASE_INSIDE, FROM_0, 0, LOG_SIZE,
    no_place },
  { "over the root page", BASE_BEHIND, FROM_0, MM_OFF_ROOT, LOG_SIZE,
    no_place },
  { "over the first chunk", BASE_INSIDE, FROM_0, 16 << 20, LOG_SIZE, no_place },
  { "over the capacity's end", BASE_BEHIND, FROM_CAPACITY, -MM_PAGE, LOG_SIZE,
    no_place },
  { "over the end, inside", BASE_INSIDE, FROM_CAPACITY, -MM_PAGE, LOG_SIZE,
    no_place },
  { "behind the file", BASE_BEHIND, FROM_END, 0, LOG_SIZE, truncated },
  { "a page behind", BASE_BEHIND, FROM_LOG, MM_PAGE, LOG_SIZE, truncated },
  { "in the last whole chunk, behind the file", BASE_INSIDE, FROM_0, 128 << 20,
    LOG_SIZE, truncated },
  { "over a block", BASE_INSIDE, FROM_0, 64 << 20, LOG_SIZE, no_records },
  { "far", BASE_BEHIND, FROM_0, INT64_C (1) << 49, LOG_SIZE, truncated },
  { "too far", BASE_BEHIND, FROM_0, INT64_C (1) << 50, LOG_SIZE, no_place },
  { "at the end of all", BASE_BEHIND, FROM_0, -MM_PAGE, LOG_SIZE, no_place },
  { "below all", BASE_BEHIND, FROM_0, INT64_MIN, LOG_SIZE, no_place },
  { "no size", BASE_BEHIND, FROM_LOG, 0, 0, no_place },
  { "a page", BASE_BEHIND, FROM_LOG, 0, MM_PAGE, no_place },
  { "two pages", BASE_BEHIND, FROM_LOG, 0, 2 * MM_PAGE, no_place },
  { "too small by two pages", BASE_BEHIND, FROM_LOG, 0, LOG_SIZE - 2 * MM_PAGE,
    no_place },
  { "odd size", BASE_BEHIND, FROM_LOG, 0, LOG_SIZE + 8, no_place },
  { "halves of half a page", BASE_BEHIND, FROM_LOG, 0, LOG_SIZE + MM_PAGE,
    no_place },
  { "larger than the file", BASE_BEHIND, FROM_LOG, 0, LOG_SIZE + 2 * MM_PAGE,
    truncated },
  { "larger, inside", BASE_INSIDE, FROM_LOG, 0, LOG_SIZE + 2 * MM_PAGE,
    no_records },
  { "a chunk and more, over a block", BASE_INSIDE, FROM_LOG, 0, 40 << 20,
    no_records },
  { "beyond the capacity", BASE_INSIDE, FROM_LOG, 0, 160 << 20, no_place },
  { "as large as it can be", BASE_BEHIND, FROM_LOG, 0, 16 << 20, truncated },
  { "larger than it can be", BASE_BEHIND, FROM_LOG, 0, (16 << 20) + 2 * MM_PAGE,
    no_place },
  { "huge", BASE_BEHIND, FROM_LOG, 0, UINT64_C (1) << 62, no_place },
  { "all", BASE_BEHIND, FROM_LOG, 0, UINT64_MAX - 2 * MM_PAGE + 1, no_place },
};
enum { PLACED = sizeof placed / sizeof *placed };

static enum outcome
log_placed (const struct image *im, uint64_t n)
{
  static const int flags[WAYS] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                                   MMALLOC_PRIVATE, MMALLOC_CHECKPOINT,
                                   MMALLOC_CREATE, 0 };
  const struct placed *p = &placed[n];
  if (p->base != im->kind)
    return HARMLESS;
  for (int i = 0; i < 2; i++)
    {
      struct disk_super *s = (struct disk_super *) (void *)
                             (hostile_view + i * MM_PAGE);
      const uint64_t from[] = { 0, s->log, s->capacity, im->length };
      s->log = from[p->what] + (uint64_t) p->at;
      s->log_size = p->size;
      view_sum (i);
    }
  for (int i = 0; i < WAYS; i++)
    {
      struct use u = { .n = n };
      log_remember (im);
      int got = log_use_file (im, flags[i], &u, ONE);
      if ((got == LOG_REFUSED) != (p->told != NULL))
        wrong ("%s: flags 0x%x, state %d", p->name, (unsigned) flags[i], got);
      if (p->told == NULL)
        {
          base_restore (im);
          continue;
        }
      if (strstr (mmalloc_strerror (NULL), p->told) == NULL)
        wrong ("%s: \"%s\"", p->name, mmalloc_strerror (NULL));
      log_untouched (im);
    }
  return p->told != NULL ? REFUSED : HARMLESS;
}


/* ---- Files that are no heap ------------------------------------------ */

static void
write_file (const void *bytes, size_t n)
{
  NEED (remove (path) == 0 || errno == ENOENT);
  int fd = open (path, O_WRONLY | O_CREAT, 0600);
  NEED (fd >= 0 && write (fd, bytes, n) == (ssize_t) n);
  close (fd);
}

/* PATH cannot be opened: ERROR if it is to be written, ELSE_ERROR if not.  */
static void
no_heap (const char *name, int error, int else_error)
{
  static const int flags[] = { MMALLOC_CREATE, 0, MMALLOC_RDONLY,
                               MMALLOC_PRIVATE, MMALLOC_ELSEWHERE };
  struct stat before, after;
  NEED (stat (path, &before) == 0);
  for (int i = 0; i < 5; i++)
    {
      errno = 0;
      if (mmalloc_open (path, flags[i], NULL) != NULL)
        wrong ("%s: opened with flags %d", name, flags[i]);
      if (errno != (i < 2 ? error : else_error))
        wrong ("%s: errno is %d with flags %d", name, errno, flags[i]);
      MUST (mmalloc_strerror (NULL)[0] != '\0');
    }
  NEED (stat (path, &after) == 0);
  MUST (before.st_size == after.st_size && before.st_mode == after.st_mode
        && before.st_mtim.tv_nsec == after.st_mtim.tv_nsec);
  NEED (remove (path) == 0);
}

static void
not_regular (void)
{
  NEED (mkdir (path, 0700) == 0);
  no_heap ("directory", EISDIR, EINVAL);
}

static void
special_files (void)
{
  static const char *const devices[] = { "/dev/null", "/dev/zero",
                                         "/dev/full" };
  NEED (mkfifo (path, 0600) == 0);
  no_heap ("fifo", EINVAL, EINVAL);
  struct sockaddr_un name = { .sun_family = AF_UNIX };
  int s = socket (AF_UNIX, SOCK_STREAM, 0);
  snprintf (name.sun_path, sizeof name.sun_path, "%.100s", path);
  NEED (s >= 0 && bind (s, (struct sockaddr *) &name, sizeof name) == 0);
  no_heap ("socket", ENXIO, ENXIO);
  close (s);
  for (int i = 0; i < 3; i++)
    {
      errno = 0;
      MUST (mmalloc_open (devices[i], MMALLOC_CREATE, NULL) == NULL);
      MUST (errno == EINVAL || errno == ENOENT);
    }
  int ends[2];
  NEED (pipe (ends) == 0);
  MUST (mmalloc_attach (ends[0], NULL) == NULL && errno != 0);
  MUST (mmalloc_attach (ends[1], NULL) == NULL && errno != 0);
}

static void
other_contents (void)
{
  static unsigned char bytes[KIB (128)];
  write_file (bytes, 1);
  no_heap ("one byte", EINVAL, EINVAL);
  write_file (bytes, 8);
  no_heap ("eight zeros", EINVAL, EINVAL);
  write_file (bytes, sizeof bytes);
  no_heap ("zeros", EINVAL, EINVAL);
  write_file ("mmalloc", 7);
  no_heap ("seven bytes of a magic", EINVAL, EINVAL);
  write_file ("mmalloc\001", 8);
  no_heap ("a magic alone", EINVAL, EINVAL);
  write_file (hostile_view, sizeof (struct disk_super));
  no_heap ("a superblock alone", EBADMSG, EBADMSG);
  write_file (hostile_view, 2 * MM_PAGE);
  no_heap ("two superblocks alone", EBADMSG, EBADMSG);
  memset (bytes, 0xff, sizeof bytes);
  write_file (bytes, sizeof bytes);
  no_heap ("ones", EINVAL, EINVAL);
  int fd = open ("/proc/self/exe", O_RDONLY);
  NEED (fd >= 0 && read (fd, bytes, sizeof bytes) > 1000);
  close (fd);
  write_file (bytes, sizeof bytes);
  no_heap ("a program", EINVAL, EINVAL);
  write_file ("", 0);
  NEED (truncate (path, (off_t) 1 << 40) == 0);
  no_heap ("a hole of 1 TiB", EINVAL, EINVAL);
}

/* Begun and never finished: as good as empty.  */
static void
unfinished (void)
{
  static const int flags[] = { 0, MMALLOC_RDONLY, MMALLOC_PRIVATE };
  uint64_t creating = MM_CREATING;
  for (int i = 0; i < 3; i++)
    {
      write_file (&creating, sizeof creating);
      errno = 0;
      MUST (mmalloc_open (path, flags[i], NULL) == NULL && errno == EINVAL);
    }
  NEED (truncate (path, 100000) == 0);
  void *md = mmalloc_open (path, MMALLOC_CREATE, NULL);
  MUST (md != NULL && mmalloc_check (md, NULL, NULL) == 0);
  MUST (mmalloc_detach (md) == NULL);
  NEED (unlink (path) == 0);
}

static enum outcome
not_a_heap (const struct image *im, uint64_t n)
{
  static void (*const tests[]) (void) = { not_regular, special_files,
                                          other_contents, unfinished };
  (void) im;
  remove (path);
  tests[n] ();
  return REFUSED;
}

int
main (void)
{
  const char *tmp = getenv ("TMPDIR");
  snprintf (dir, sizeof dir, "%s/mmalloc-XXXXXX", tmp != NULL ? tmp : "/tmp");
  NEED (mkdtemp (dir) != NULL);
  snprintf (path, sizeof path, "%s/file", dir);
  base_make (&image, BASE_BIG);
  run_free_neighbours = true;
  int failed = run_cases (&image, forge, "forged superblocks", FORGED);
  failed += run_cases (&image, not_a_heap, "no heaps", 4);
  remove (path);
  rmdir (dir);
  for (int kind = BASE_INSIDE; kind <= BASE_BEHIND; kind++)
    {
      static struct parts parts;
      log_make (&image, (enum base_kind) kind, &parts);
      failed += run_cases (&image, log_placed, "logs in no place", PLACED);
    }
  return closing_line (FORGED + 4 + PLACED, failed, 0);
}
