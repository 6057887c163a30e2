/* hostile.h - what the tests with damaged files share.

   They compile the library in, so that they know the format as the library
   does.  A base heap with everything in it is made in a file in memory and
   kept as an image; for each case the file gets the image back, is damaged,
   opened, and used in every way.  What is asked for is an answer: an error, a
   finding or a heap that works, and never a signal, a hang, or a step outside
   of the heap's mapping, whose neighbours cannot be touched.

   Cases run in child processes, many in each; a case that kills its child is
   told with its number, and the others go on.  MMALLOC_TEST_CASE=n runs one
   case alone and in this process, for a debugger.  */

#ifndef HOSTILE_H
#define HOSTILE_H 1

#include "../bare.h"

#include <sys/time.h>

/* Where the base heaps lie: an area that all run-time tools leave free.  */
#define HOSTILE_BASE UINT64_C (0x551000000000)
#define HOSTILE_BASE_SMALL (HOSTILE_BASE + (UINT64_C (4) << 30) + MM_PAGE)

/* A case may take so many seconds of the processor, and five times as many of
   the clock; MMALLOC_TEST_PATIENCE says otherwise.  */
enum { HOSTILE_CPU_SECONDS = 60 };


/* ---- Failing ------------------------------------------------------------ */

/* The case has failed: its process ends here.  */
enum { EXIT_WRONG = 4 };
static char wrong_context[400];

__attribute__ ((noreturn, format (printf, 1, 2))) static inline void
wrong (const char *format, ...)
{
  va_list ap;
  char text[400];
  va_start (ap, format);
  vsnprintf (text, sizeof text, format, ap);
  va_end (ap);
  fprintf (stderr, "%s: %s\n", wrong_context, text);
  fflush (stderr);
#if defined HOSTILE_ABORTS
  abort ();
#else
  _exit (EXIT_WRONG);
#endif
}

#define MUST(claim) ((claim) ? (void) 0 \
                     : wrong ("line %d: does not hold: %s", __LINE__, #claim))


/* ---- The base heaps ----------------------------------------------------- */

/* BIG has chunks of all kinds, the last one short.  SMALL has guards and a
   base in the middle of a slice.  The others have a log, see logs.h.  */
enum base_kind
{
  BASE_BIG, BASE_SMALL, BASE_KINDS,
  BASE_INSIDE = BASE_KINDS, BASE_BEHIND, BASE_KEPT, BASE_EMPTY, BASE_ALL
};

/* An image: the pages that are not zero.  */
enum { IMAGE_PAGES = 2000, LIVE_MAX = 400 };
struct image
{
  enum base_kind kind;
  uint64_t base, capacity;
  size_t length;                /* of the file */
  size_t n_pages;
  uint32_t page[IMAGE_PAGES];
  unsigned char (*bytes)[MM_PAGE];
  size_t n_live;
  size_t live[LIVE_MAX];        /* offsets of blocks */
};

static int hostile_fd = -1;
static uint64_t hostile_base;
static size_t base_capacity = MIB (176); /* of BIG */
static char *hostile_view;      /* the file as the tests see it */
#define HOSTILE_VIEW MIB (256)

/* No disk block is set aside, so that restoring is quick; all else is as it is
   in a file on a disk.  */
static int
sparse_fallocate (int fd, int mode, off_t off, off_t len)
{
  struct stat st;
  if (mode != 0)
    return fallocate (fd, mode, off, len);
  if (fstat (fd, &st) != 0)
    return -1;
  return st.st_size < off + len ? ftruncate (fd, off + len) : 0;
}

static inline void *
base_block (struct image *im, void *md, size_t size, size_t align)
{
  char *p = align != 0 ? mmemalign (md, align, size) : mmalloc (md, size);
  if (p == NULL)
    broken ("base heap: %s", mmalloc_strerror (md));
  memset (p, 0x5a, size < 4096 ? size : 4096);
  NEED (im->n_live < LIVE_MAX);
  im->live[im->n_live++] = (size_t) (p - (char *) md);
  return p;
}

struct base_help
{
  struct image *im;
  void *md;
};

/* Another thread takes blocks and frees some of the first one's.  */
static void *
base_other_thread (void *arg)
{
  struct base_help *help = arg;
  struct image *im = help->im;
  size_t had = im->n_live;
  for (int i = 0; i < 30; i++)
    base_block (im, help->md, 30 + 40 * (size_t) i, 0);
  for (size_t i = 0; i < had; i += 7)
    {
      mfree (help->md, (char *) help->md + im->live[i]);
      im->live[i] = im->live[had - 1 - i];
    }
  return NULL;
}

static inline void
base_fill (struct image *im, void *md)
{
  static const size_t sizes[] = { 16, 24, 48, 100, 200, 512, 1000, 2000, 5000,
                                  10000, 20000, 32000 };
  if (im->kind == BASE_SMALL)
    NEED (mmcheck (md, NULL) == 1);
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    for (int n = 0; n < 8; n++)
      {
        void *p = base_block (im, md, sizes[i], 0);
        if (n % 3 == 1)
          {
            mfree (md, p);
            im->n_live--;
          }
      }
  struct base_help help = { im, md };
  pthread_t other;
  NEED (pthread_create (&other, NULL, base_other_thread, &help) == 0);
  NEED (pthread_join (other, NULL) == 0);
  for (int i = 0; i < 24; i++)
    {
      char name[600];
      int n = snprintf (name, sizeof name, "root %d", i);
      for (; i % 8 == 7 && n < 500; n++)
        name[n] = 'x';
      name[n] = '\0';
      NEED (mmalloc_setroot (md, name, md) == 0);
      if (i % 5 == 3)
        NEED (mmalloc_setroot (md, name, NULL) == 0);
    }
  for (int i = 0; i < 16; i += 3)
    NEED (mmalloc_setkey (md, i, md) == 1);
  base_block (im, md, 40000, 0);
  base_block (im, md, 100000, 0);
  base_block (im, md, 700, 65536);
  if (im->kind == BASE_BIG)
    {
      base_block (im, md, MIB (32), MIB (32));
      base_block (im, md, MIB (40), 0);
      base_block (im, md, MIB (15), 0);
      base_block (im, md, MIB (14), 0);
      base_block (im, md, MIB (3), 0);
      for (int i = 0; i < 60; i++)
        base_block (im, md, 30000, 0);
    }
}

/* What differs from one run to the next does not matter: make it the same.  */
static inline void
base_settle (void)
{
  for (int i = 0; i < 2; i++)
    {
      struct disk_super *s = (struct disk_super *) (void *)
                             (hostile_view + i * MM_PAGE);
      memset (s->uuid, 7, sizeof s->uuid);
      memset (s->boot_id, 7, sizeof s->boot_id);
      s->blocks = 0;
      s->sum = super_sum (s);
    }
}

static inline bool
page_is_zero (const char *p)
{
  return p[0] == 0 && memcmp (p, p + 1, MM_PAGE - 1) == 0;
}

/* An empty file for a base heap of KIND, and IM as it is before that is made.  */
static inline void
base_begin (struct image *im, enum base_kind kind)
{
  /* In a damaged heap runs may overlap, and what AddressSanitizer was told of
     one is wrong for the other.  It watches the library's own memory.  */
  process_check ();
  process.asan = false;
  atomic_store (&process.slow, false);
  free (im->bytes);
  memset (im, 0, sizeof *im);
  im->kind = kind;
  if (hostile_fd < 0)
    {
      hostile_fd = memfd_create ("hostile", MFD_CLOEXEC);
      NEED (hostile_fd >= 0);
      hostile_view = mmap (NULL, HOSTILE_VIEW, PROT_READ | PROT_WRITE,
                           MAP_SHARED | MAP_NORESERVE, hostile_fd, 0);
      NEED (hostile_view != MAP_FAILED);
      os.fallocate = sparse_fallocate;
    }
  NEED (ftruncate (hostile_fd, 0) == 0);
}

/* The file as it is now is the image.  */
static inline void
base_end (struct image *im)
{
  struct stat st;
  NEED (fstat (hostile_fd, &st) == 0);
  im->length = (size_t) st.st_size;
  im->bytes = malloc (IMAGE_PAGES * sizeof *im->bytes);
  NEED (im->bytes != NULL && im->length <= HOSTILE_VIEW);
  off_t at = 0;
  while ((at = lseek (hostile_fd, at, SEEK_DATA)) >= 0)
    {
      off_t end = lseek (hostile_fd, at, SEEK_HOLE);
      for (; at < end; at += MM_PAGE)
        if (!page_is_zero (hostile_view + at))
          {
            NEED (im->n_pages < IMAGE_PAGES);
            im->page[im->n_pages] = (uint32_t) (at / MM_PAGE);
            memcpy (im->bytes[im->n_pages++], hostile_view + at, MM_PAGE);
          }
    }
}

/* Make the base heap and its image, IM being zero or an earlier one; the file
   holds it, too.  */
static inline void
base_make (struct image *im, enum base_kind kind)
{
  base_begin (im, kind);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  bool big = kind == BASE_BIG;
  opt.fd = hostile_fd;
  im->base = hostile_base = big ? HOSTILE_BASE : HOSTILE_BASE_SMALL;
  opt.base = (void *) im->base;
  im->capacity = opt.reserve = big ? base_capacity : MIB (4);
  opt.streams = big ? 1 : 3;
  opt.app_version = 5;
  char *md = mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  if (md == NULL)
    broken ("base heap: %s", mmalloc_strerror (NULL));
  base_fill (im, md);
  NEED (mmalloc_check (md, NULL, NULL) == 0);
  NEED (mmalloc_detach (md) == NULL);
  base_settle ();
  base_end (im);
}

/* Make [FROM, TO) of the file a hole.  */
static inline void
base_empty (size_t from, size_t to)
{
  if (from < to)
    NEED (fallocate (hostile_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                     (off_t) from, (off_t) (to - from)) == 0);
}

/* The file is as the image again.  Pages that stay are not given up first:
   that would take most of the time.  */
static inline void
base_restore (const struct image *im)
{
  size_t end = 0;
  NEED (ftruncate (hostile_fd, (off_t) im->length) == 0);
  for (size_t i = 0; i < im->n_pages; i++)
    {
      size_t at = (size_t) im->page[i] * MM_PAGE;
      base_empty (end, at);
      memcpy (hostile_view + at, im->bytes[i], MM_PAGE);
      end = at + MM_PAGE;
    }
  base_empty (end, im->length);
}

/* The word at OFF of the file.  */
static inline uint64_t *
view_word (size_t off)
{
  return (uint64_t *) (void *) (hostile_view + (off & ~(size_t) 7));
}

/* Make copy I of the superblock right again after a change.  */
static inline void
view_sum (int i)
{
  struct disk_super *s = (struct disk_super *) (void *)
                         (hostile_view + i * MM_PAGE);
  s->sum = super_sum (s);
}


/* ---- Where metadata are ------------------------------------------------- */

/* The parts of the file that are metadata, as the undamaged heap says.  */
enum { PARTS_MAX = 64 };
struct parts
{
  size_t n;
  struct { const char *name; size_t off, len; } part[PARTS_MAX];
  size_t dir, streams, first_data; /* offsets */
  size_t n_words;
  uint32_t *words;              /* numbers of words that are not zero */
};

static inline void
parts_add (struct parts *parts, const char *name, size_t off, size_t len)
{
  NEED (parts->n < PARTS_MAX);
  parts->part[parts->n].name = name;
  parts->part[parts->n].off = off;
  parts->part[parts->n++].len = len;
}

/* Find them with the help of the library.  Needs: the restored file.  */
static inline void
parts_find (struct parts *parts, const struct image *im)
{
  free (parts->words);
  memset (parts, 0, sizeof *parts);
  static struct heap h;
  memset (&h, 0, sizeof h);
  memcpy (&h.super, hostile_view, sizeof h.super);
  /* As if it were mapped where the view is.  */
  char *old_grid = (char *) round_up (im->base, MM_SLICE);
  size_t delta = (size_t) (old_grid - (char *) im->base);
  h.file.kind = &kind_anonymous;
  h.file.base = im->base;
  h.capacity = im->capacity;
  h.file.mapped = im->capacity;
  epoch_layout (&h);
  parts->dir = off_file (&h, h.dir);
  parts->streams = off_file (&h, h.stream);
  parts->first_data = delta + slice_first_data (&h, 0) * MM_SLICE;
  parts_add (parts, "superblock A", 0, MM_PAGE);
  parts_add (parts, "superblock B", MM_PAGE, MM_PAGE);
  parts_add (parts, "locks", MM_OFF_LOCKS, MM_PAGE);
  parts_add (parts, "entries", MM_OFF_PROCS, MM_PROCS_FIRST * 64);
  if (h.super.n_procs > MM_PROCS_FIRST)
    parts_add (parts, "more entries", off_file (&h, (char *) h.more_procs),
               off_more_procs (&h));
  parts_add (parts, "root page", MM_OFF_ROOT, MM_PAGE);
  parts_add (parts, "buckets", MM_OFF_BUCKETS, MM_PAGE);
  parts_add (parts, "directory", parts->dir, off_dir_bytes (&h));
  struct disk_locks *l = (struct disk_locks *) (void *)
                         (hostile_view + MM_OFF_LOCKS);
  parts_add (parts, "streams", parts->streams,
             l->streams_ready * sizeof (struct disk_stream));
  for (size_t c = 0; c < h.n_chunks; c++)
    {
      uint64_t d = *view_word (parts->dir + c * 8);
      size_t chunk = delta + (c << MM_CHUNK_SHIFT);
      if (dir_kind (d) != DIR_PAGED)
        continue;
      parts_add (parts, "index", chunk + MM_OFF_INDEX, MM_PAGE);
      parts_add (parts, "records", chunk + MM_OFF_RECORDS,
                 dir_ready (d) * MM_RECORD);
      for (size_t s = 0; s < dir_ready (d); s++)
        if (head_kind (*view_word (chunk + MM_OFF_RECORDS + s * MM_RECORD))
            == HEAD_ROOTS)
          parts_add (parts, "named roots", chunk + s * MM_SLICE, MM_SLICE);
    }
  size_t room = 0;
  for (size_t i = 0; i < parts->n; i++)
    room += parts->part[i].len / 8;
  parts->words = malloc (room * sizeof *parts->words);
  NEED (parts->words != NULL);
  for (size_t i = 0; i < parts->n; i++)
    for (size_t at = 0; at + 8 <= parts->part[i].len; at += 8)
      if (*view_word (parts->part[i].off + at) != 0)
        parts->words[parts->n_words++]
          = (uint32_t) ((parts->part[i].off + at) / 8);
}


/* ---- Using a heap that may be damaged ----------------------------------- */

/* What became of a file: in order of preference.  */
enum outcome { REFUSED, DETECTED, HARMLESS, OUTCOMES };

struct use
{
  char *md;
  uint64_t n;                   /* number of the case */
  size_t mapped;                /* the heap's range */
  size_t end;                   /* of the file, for those who only look */
  size_t n_seen;
  uint64_t hash;                /* of findings */
};

static int hostile_misuses, hostile_guards;

static inline void
use_misuse (const char *call, void *md, const void *ptr, const char *what,
            void *arg)
{
  (void) call, (void) md, (void) ptr, (void) arg;
  if (what == NULL || what[0] == '\0')
    wrong ("misuse without words");
  hostile_misuses++;
}

static inline void
use_guard (void)
{
  hostile_guards++;
}

static inline size_t
use_file_size (void)
{
  struct stat st;
  MUST (os.fstat (hostile_fd, &st) == 0);
  return (size_t) st.st_size;
}

/* [P, P + SIZE) lies in the heap, and before END, up to which it can be
   touched.  */
static inline void
use_inside (const struct use *u, const void *p, size_t size, size_t end)
{
  size_t off = (size_t) ((const char *) p - u->md);
  if (end > u->mapped)
    end = u->mapped;
  if (off >= end || size > end - off)
    wrong ("a block of %zu bytes at offset 0x%zx leaves the heap", size, off);
}

static inline int
use_block_seen (void *block, size_t size, void *arg)
{
  struct use *u = arg;
  use_inside (u, block, size, u->end);
  MUST (size > 0);
  MUST (++u->n_seen <= u->mapped / 16);
  return 0;
}

static inline int
use_root_seen (const char *name, void *ptr, void *arg)
{
  struct use *u = arg;
  (void) ptr;
  MUST (strlen (name) <= MM_NAME_MAX);
  u->n_seen++;
  return 0;
}

static inline void
use_finding (const char *finding, const void *where, void *arg)
{
  struct use *u = arg;
  (void) where;
  MUST (finding != NULL && finding[0] == 'I');
  u->n_seen++;
  for (; *finding != '\0' && *finding != ':'; finding++)
    u->hash = (u->hash ^ (unsigned char) *finding) * UINT64_C (0x100000001b3);
}

/* Everything that only looks.  Gives the number of findings.  */
static inline int
use_look (struct use *u, const struct image *im)
{
  struct mmalloc_stats st;
  u->n_seen = 0;
  u->end = use_file_size ();
  int found = mmalloc_check (u->md, use_finding, u);
  MUST (found >= 0 && (size_t) found == u->n_seen);
  u->n_seen = 0;
  MUST (mmalloc_walk (u->md, use_block_seen, u) == 0);
  u->n_seen = 0;
  int round = mmalloc_roots (u->md, use_root_seen, u);
  MUST (round == 0 || (round == -1 && errno == EBADMSG && found > 0));
  MUST (mmalloc_stats (u->md, &st) == 0);
  (void) mmstats (u->md);
  mmalloc_getroot (u->md, "root 1");
  mmalloc_getroot (u->md, "no such root");
  mmalloc_getkey (u->md, 3);
  if (u->n % 8 == 0)
    MUST (mmalloc_prefetch (u->md) == 0);
  for (size_t i = 0; i < im->n_live; i += 3)
    {
      char *p = u->md + im->live[i];
      size_t n = mmalloc_usable_size (u->md, p);
      if (n > 0)
        use_inside (u, p, n, u->end);
    }
  mmalloc_usable_size (u->md, u->md + u->mapped - 16);
  mmalloc_usable_size (u->md, u->md + u->mapped);
  mmalloc_usable_size (u->md, u->md + MM_OFF_ROOT);
  mmalloc_usable_size (u->md, u->md + u->mapped / 2);
  return found;
}

/* A block that was handed out may be written to.  */
static inline char *
use_new (struct use *u, void *block, size_t size)
{
  char *p = block;
  if (p == NULL)
    return NULL;
  use_inside (u, p, size, use_file_size ());
  p[0] = (char) 0xa5;
  p[size / 2] = (char) 0xa5;
  p[size - 1] = (char) 0xa5;
  return p;
}

/* Everything that changes a heap.  */
static inline void
use_change (struct use *u, const struct image *im)
{
  static const size_t sizes[] = { 1, 16, 40, 100, 333, 1000, 1024, 1025, 3000,
                                  9000, 30000, 32768, 50000, 150000, 1000 };
  enum { N = sizeof sizes / sizeof *sizes };
  char *got[3 * N], *md = u->md;
  for (size_t i = 0; i < 3 * N; i++)
    got[i] = use_new (u, mmalloc (md, sizes[i % N]), sizes[i % N]);
  for (size_t i = 0; i < im->n_live; i++)
    if (i % 2 == 0)
      mfree (md, md + im->live[i]);
    else if (i % 16 == 3
             && (u->n % 64 == 0 || mmalloc_usable_size (md, md + im->live[i])
                                  < MIB (1)))
      use_new (u, mrealloc (md, md + im->live[i], sizes[i % N] + 4000),
               sizes[i % N] + 4000);
  for (size_t i = 0; i < 3 * N; i += 2)
    mfree (md, got[i]);
  for (size_t i = 1; i < 3 * N; i += 4)
    if (got[i] != NULL)
      {
        char *p = mrealloc (md, got[i], sizes[i % N] * 2);
        got[i] = p != NULL ? use_new (u, p, sizes[i % N] * 2) : got[i];
      }
  use_new (u, mcalloc (md, 3, 1000), 3000);
  use_new (u, mcalloc (md, 1, 100000), 100000);
  if (u->n % 8 == 0)
    use_new (u, mmalloc (md, MIB (2)), MIB (2));
  char *aligned = use_new (u, mmemalign (md, 4096, 100), 100);
  char *huge = use_new (u, mmemalign (md, MM_CHUNK, 100), 100);
  if (huge != NULL)
    huge = use_new (u, mrealloc (md, huge, 100000), 100000);
  mfree (md, huge);
  mfree (md, aligned);
  mfree (md, aligned);
  /* Pointers that are none.  */
  mfree (md, md);
  mfree (md, md + MM_OFF_RECORDS);
  mfree (md, md + u->mapped - MM_SLICE);
  mfree (md, md + u->mapped + MM_SLICE);
  mfree (md, md + u->mapped + MIB (12));
  for (size_t c = 0; c <= u->mapped; c += MM_CHUNK)
    mfree (md, md + c + MM_CHUNK / 2);
  mmalloc_setroot (md, "root 2", md + 5);
  mmalloc_setroot (md, "root 3", md + 6);
  mmalloc_setroot (md, "root 4", NULL);
  mmalloc_setroot (md, "a new root", md + 7);
  mmalloc_setroot (md, "a new root with a name that is longer", md + 7);
  mmalloc_setkey (md, 2, md);
  mmalloc_trim (md);
  for (size_t i = 0; i < N; i++)
    use_new (u, mmalloc (md, sizes[i]), sizes[i]);
  for (size_t i = 1; i < im->n_live; i += 8)
    mrealloc (md, md + im->live[i], 60000);
  MUST (mmalloc_sync (md) == 0);
}

/* Open the file in way FLAGS and use it.  Gives the number of findings, or -1
   if it was refused.  */
static inline int
use_file (const struct image *im, int flags, struct use *u)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = hostile_fd;
  errno = 0;
  u->hash = 0;
  u->md = mmalloc_open (NULL, flags, &opt);
  if (u->md == NULL)
    {
      MUST (errno != 0 && mmalloc_errno (NULL) == errno);
      MUST (mmalloc_strerror (NULL)[0] != '\0');
      return -1;
    }
  struct heap *h = (struct heap *) process.files;
  MUST (h != NULL && (char *) h->file.base == u->md && h->file.next == NULL);
  u->mapped = h->file.mapped;
  int found = use_look (u, im);
  if (!(flags & (MMALLOC_RDONLY | MMALLOC_ELSEWHERE)))
    {
      mmcheckf (u->md, use_guard, 0);
      if (!(flags & MMALLOC_PRIVATE))
        use_change (u, im);
      use_look (u, im);
    }
  MUST (mmalloc_detach (u->md) == NULL);
  MUST (use_file_size () <= u->mapped);
  return found;
}

/* Use the damaged file in all ways; which of them besides the two most common
   ones depends on N.  */
static inline enum outcome
use_all (const struct image *im, uint64_t n)
{
  struct use u = { .n = n };
  int seen = use_file (im, MMALLOC_RDONLY, &u);
  if (n % 4 == 1)
    use_file (im, MMALLOC_ELSEWHERE, &u);
  if (n % 4 == 2)
    use_file (im, MMALLOC_PRIVATE, &u);
  int found = use_file (im, 0, &u);
  return found < 0 ? REFUSED : found > 0 || seen > 0 ? DETECTED : HARMLESS;
}


/* ---- Running cases ------------------------------------------------------ */

static struct run
{
  _Atomic uint64_t at;          /* the case under way */
  uint64_t from, to;            /* of the child */
  uint64_t count[OUTCOMES];
} *run;

/* Say where it happened, and end.  */
static void
run_signal (int sig, siginfo_t *info, void *context)
{
  char text[300];
  uintptr_t at = (uintptr_t) info->si_addr;
  (void) context;
  int n = sig == SIGSEGV || sig == SIGBUS
          ? snprintf (text, sizeof text, "%s: %s at heap + 0x%lx\n",
                      wrong_context, sig == SIGBUS ? "SIGBUS" : "SIGSEGV",
                      (unsigned long) (at - hostile_base))
          : snprintf (text, sizeof text, "%s: signal %d%s\n", wrong_context,
                      sig, sig == SIGPROF || sig == SIGALRM ? ", it hangs"
                                                            : "");
  ssize_t ignored = write (STDERR_FILENO, text, (size_t) n);
  (void) ignored;
  _exit (EXIT_WRONG);
}

static inline void
run_watch (void)
{
  static const int signals[] = { SIGSEGV, SIGBUS, SIGFPE, SIGABRT, SIGPROF,
                                 SIGALRM, SIGILL };
  static char stack[KIB (64)];
  stack_t alt = { .ss_sp = stack, .ss_size = sizeof stack };
  struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
  action.sa_sigaction = run_signal;
  NEED (sigaltstack (&alt, NULL) == 0);
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++)
    NEED (sigaction (signals[i], &action, NULL) == 0);
}

/* The next case may take so long from now on.  */
static inline void
run_patience (void)
{
  static unsigned seconds;
  if (seconds == 0)
    seconds = (unsigned) setting ("MMALLOC_TEST_PATIENCE",
                                          HOSTILE_CPU_SECONDS);
  struct itimerval cpu = { .it_value = { (time_t) seconds, 0 } };
  setitimer (ITIMER_PROF, &cpu, NULL);
  alarm (5 * seconds);
}

/* Nothing else is mapped beside the heap; unless the heap may want the place,
   which a forged capacity can say.  */
static bool run_free_neighbours;

static inline void
run_fence (const struct image *im)
{
  static bool done[BASE_ALL];
  if (run_free_neighbours || done[im->kind])
    return;
  done[im->kind] = true;
  size_t room = MIB (512);
  char *before = (char *) im->base - room, *after = (char *) im->base
                                                    + im->capacity;
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE
              | MAP_FIXED_NOREPLACE;
  NEED (mmap (before, room, PROT_NONE, flags, -1, 0) == before);
  NEED (mmap (after, room, PROT_NONE, flags, -1, 0) == after);
}

/* A case: damages the restored file; gives false if there is no such case.  */
typedef enum outcome (*run_case) (const struct image *im, uint64_t n);

static inline void
run_one (const struct image *im, run_case fn, const char *name, uint64_t n)
{
  snprintf (wrong_context, sizeof wrong_context,
            "%s: base %d, MMALLOC_TEST_CASE=%" PRIu64, name, (int) im->kind,
            n);
  run_patience ();
  base_restore (im);
  run->count[fn (im, n)]++;
}

/* Run cases 0 to N - 1.  Gives how many failed.  */
static inline int
run_cases (const struct image *im, run_case fn, const char *name, uint64_t n)
{
  enum { BATCH = 500 };
  int most = (int) setting ("MMALLOC_FAILURES", 20);
  uint64_t only = setting ("MMALLOC_TEST_CASE", UINT64_MAX);
  int failed = 0;
  if (run == NULL)
    {
      run = mmap (NULL, sizeof *run, PROT_READ | PROT_WRITE,
                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
      NEED (run != MAP_FAILED);
    }
  memset (run->count, 0, sizeof run->count);
  mmalloc_onmisuse (use_misuse, NULL);
  if (only != UINT64_MAX)
    {
      run_fence (im);
      run_one (im, fn, name, only);
      printf ("%s: case %" PRIu64 " of base %d done\n", name, only,
              (int) im->kind);
      return 0;
    }
  for (uint64_t i = 0; i < n && failed < most; i = run->at)
    {
      fflush (NULL);
      pid_t pid = fork (), parent = getppid ();
      NEED (pid >= 0);
      if (pid == 0)
        {
          prctl (PR_SET_PDEATHSIG, SIGKILL);
          (void) parent;
          run_watch ();
          run_fence (im);
          for (uint64_t k = i; k < n && k < i + BATCH; k++)
            {
              run->at = k;
              run_one (im, fn, name, k);
            }
          run->at = i + BATCH;
          _exit (0);
        }
      int status;
      while (waitpid (pid, &status, 0) < 0)
        NEED (errno == EINTR);
      if (status != 0)
        {
          if (!WIFEXITED (status) || WEXITSTATUS (status) != EXIT_WRONG)
            fprintf (stderr, "%s: base %d, MMALLOC_TEST_CASE=%" PRIu64
                     ": status 0x%x\n", name, (int) im->kind, run->at,
                     status);
          failed++;
          run->at++;
        }
    }
  printf ("%s, base %d: %" PRIu64 " tried, %" PRIu64 " refused, %" PRIu64
          " detected, %" PRIu64 " harmless, %d failed\n", name,
          (int) im->kind, n, run->count[REFUSED], run->count[DETECTED],
          run->count[HARMLESS], failed);
  fflush (stdout);
  return failed;
}


/* ---- One case in so many ------------------------------------------------ */

/* The first ones, which are all tried; then the first one behind them, and the
   step to the next.  */
static struct { uint64_t every, first, stride; } some;

/* The number, among all, of the N-th case that is tried.  */
static inline uint64_t
some_number (uint64_t n)
{
  return n < some.every ? n : some.first + (n - some.every) * some.stride;
}

/* Run the first EVERY cases of base heap IM and each STRIDE-th of the others, or
   as MMALLOC_STRIDE says, beginning somewhere.  COUNT_ALL tells how many there are
   for an image.  Gives how many failed; *TRIED is how many there were so far.  */
static inline int
run_some_of (const struct image *im, const char *name, run_case fn,
             uint64_t (*count_all) (const struct image *im), uint64_t every,
             uint64_t stride, uint64_t *tried)
{
  static uint64_t state;
  if (state == 0)
    state = random_seed () | 1;
  uint64_t all = count_all (im);
  some.stride = setting ("MMALLOC_STRIDE", stride);
  some.every = every;
  some.first = every + random_below (&state, some.stride);
  uint64_t n = every;
  if (some.first < all)
    n += (all - some.first + some.stride - 1) / some.stride;
  *tried += n;
  return run_cases (im, fn, name, n);
}

/* The same of the base heaps without a log.  */
static inline int
run_some (const char *name, run_case fn,
          uint64_t (*count_all) (const struct image *im), uint64_t every,
          uint64_t stride, uint64_t *tried)
{
  static struct image image;
  int failed = 0;
  for (int kind = 0; kind < BASE_KINDS; kind++)
    {
      base_make (&image, (enum base_kind) kind);
      failed += run_some_of (&image, name, fn, count_all, every, stride, tried);
    }
  return failed;
}

#endif /* HOSTILE_H */
