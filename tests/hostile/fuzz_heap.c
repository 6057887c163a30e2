/* fuzz_heap.c - a fuzz target: a heap file with some words changed is opened,
   looked at and worked with.

   An input is

       byte 0     bit 0: which base heap; bits 1 and 2: how it is opened;
                  bits 3 and 4: make the sum of superblock A, B right again;
                  bits 5 and 6: look at everything first, last
       byte 1     how many changes follow, modulo 16
       changes    13 bytes each: what to do (see change_one), where (4 bytes),
                  value (8 bytes)
       calls      2 bytes each: which (see call_one), argument

   With bit 7 in byte 0 it is about a heap with a log, see fuzz_log.h.

   What is missing at the end is zero.  Calls of the system would take most of
   the time: they go to stand-ins, and the file is memory that is mapped thrice,
   once and for all.  Where the heap belongs, its pages up to the file's end can
   be read, and only those that are often written to can be written to: a store
   to another one is noticed by its fault, and what lies behind the end is not
   there.  A reader's heap at another place can never be written to.  The view
   is the file as write (2) would see it.  What an input has done is undone by a
   comparison of the pages that can be written to; see base_undo.

   clang -fsanitize=fuzzer links it with libFuzzer; replay.c, to run a corpus.
   The names are those that OSS-Fuzz looks for.  */

#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

/* Calls that are not in the library's table: for the PID namespace, the limit
   of a file's size, the kind of file system, advice that changes nothing, and
   random numbers, which are the same for each run of an input.  */
#define stat(path, st) ((void) (path), memset (st, 0, sizeof *(st)), 0)
#define getrlimit(what, limit) \
  ((void) (what), memset (limit, 0xff, sizeof *(limit)), 0)
#define fstatfs(fd, fs) ((void) (fd), memset (fs, 0, sizeof *(fs)), 0)
#define madvise(p, len, how) \
  ((void) (p), (void) (len), (void) (how), fuzz_advice ())
#define posix_fadvise(fd, off, len, how) \
  ((void) (fd), (void) (off), (void) (len), (void) (how), fuzz_advice ())
#define syscall(...) fuzz_syscall (__VA_ARGS__)

static int
fuzz_advice (void)
{
  return 0;
}

static uint64_t fuzz_random;

/* No file could have been made for these numbers: an index that bears the
   opening's number is believed.  Who sleeps on a lock is told that time is up.
   */
static long
fuzz_syscall (long number, void *to, size_t size, ...)
{
  if (number != SYS_getrandom)
    return errno = ETIMEDOUT, -1;
  uint64_t x = (fuzz_random += UINT64_C (0x9e3779b97f4a7c15));
  x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
  x ^= x >> 31;
  memcpy (to, &x, sizeof x);
  return (long) size;
}

#define HOSTILE_ABORTS 1
#include "logs.h"
#undef stat
#undef getrlimit
#undef fstatfs
#undef madvise
#undef posix_fadvise
#undef syscall

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

enum { CHANGES = 16, CALLS = 50, FAKE_FD = 1000, GOT = 32 };

/* For so many runs a page stays open that nothing is stored to: it takes about
   as long to compare it that often as to have one fault.  So many are opened at
   once beside an open one.  */
enum { OPEN_RUNS = 60, OPEN_BESIDE = 32 };
enum { MAX_PAGES = (int) (HOSTILE_VIEW / MM_PAGE) };

static struct base
{
  struct image image;
  struct parts parts;
  size_t n_meta;                /* words in all parts */
  int fd;
  char *map;                    /* at the heap's address */
  char *view;                   /* for changes, readable and writable */
  char *twin;                   /* for MMALLOC_ELSEWHERE, readable */
  char *area;                   /* around the twin */
  size_t area_len;
  char *good;                   /* what it was */
  size_t n_open;
  uint32_t open[MAX_PAGES];     /* pages that can be written to, or were */
  uint8_t runs[MAX_PAGES];      /* ... for so many runs; 0: cannot */
  bool listed[MAX_PAGES];       /* in OPEN */
} bases[BASE_KINDS], *b;

static size_t fuzz_length;      /* of the file */
static size_t fuzz_cut;         /* the least it was */
static size_t fuzz_private;     /* a private heap elsewhere may reach so far */
static bool fuzz_other;         /* it is mapped somewhere else, too */
static bool fuzz_twin_lost;     /* ... over the twin */
static bool fuzz_reader;        /* nobody may write */

static _Alignas (MM_PAGE) char fuzz_page[MM_PAGE];
static bool fuzz_page_taken;

/* Offsets of words that were stored to in the view.  */
static size_t changed[CHANGES * 8 + 2 + 3 * 2 * CALLS];
static size_t n_changed;


/* ---- Pages -------------------------------------------------------------- */

/* Make pages [FROM, TO) writable, those that are not.  */
static void
page_open (size_t from, size_t to)
{
  if (mprotect (b->map + from * MM_PAGE, (to - from) * MM_PAGE,
                PROT_READ | PROT_WRITE) != 0)
    abort ();
  for (size_t p = from; p < to; p++)
    {
      if (!b->listed[p])
        b->open[b->n_open++] = (uint32_t) p;
      b->listed[p] = true;
      b->runs[p] = OPEN_RUNS;
    }
}

/* A store to a page that was not open, or a load from one behind the end of the
   base heap; false: something else.  */
static bool
page_fault (uintptr_t at)
{
  if (b == NULL || fuzz_reader || fuzz_other || at < (uintptr_t) b->map
      || at - (uintptr_t) b->map >= round_up (fuzz_length, MM_PAGE))
    return false;
  size_t from = (at - (uintptr_t) b->map) / MM_PAGE, to;
  if (b->runs[from] != 0)
    return false;
  size_t most = from > 0 && b->runs[from - 1] != 0 ? OPEN_BESIDE : 1;
  size_t end = round_up (fuzz_length, MM_PAGE) / MM_PAGE;
  for (to = from + 1; to < end && to < from + most && b->runs[to] == 0;)
    to++;
  page_open (from, to);
  return true;
}

/* The file ends at SIZE: what lies behind is zero when it comes again.  */
static void
page_cut (size_t size)
{
  const struct image *im = &b->image;
  memset (b->view + size, 0, round_up (size, MM_PAGE) - size);
  for (size_t i = im->n_pages; i > 0; i--)
    {
      size_t off = (size_t) im->page[i - 1] * MM_PAGE;
      if (off < size)
        break;
      memset (b->view + off, 0, MM_PAGE);
    }
  for (size_t i = 0; i < b->n_open; i++)
    if ((size_t) b->open[i] * MM_PAGE >= size)
      memset (b->view + (size_t) b->open[i] * MM_PAGE, 0, MM_PAGE);
  for (size_t i = 0; i < n_changed; i++)
    if (changed[i] >= size)
      memset (b->view + changed[i], 0, 8);
}

static struct sigaction page_next;

static void
page_signal (int sig, siginfo_t *info, void *context)
{
  int saved = errno;
  (void) context;
  /* The next one, if need be the end, comes by the same fault.  */
  if (!page_fault ((uintptr_t) info->si_addr))
    sigaction (sig, &page_next, NULL);
  errno = saved;
}

static void
page_watch (void)
{
  struct sigaction action = { .sa_flags = SA_SIGINFO | SA_NODEFER
                                          | SA_ONSTACK };
  action.sa_sigaction = page_signal;
  NEED (sigaction (SIGSEGV, &action, &page_next) == 0);
}


/* ---- Stand-ins ---------------------------------------------------------- */

static int
fast_resize (size_t size)
{
  if (size > b->image.capacity)
    return errno = EFBIG, -1;
  if (size < fuzz_length)
    {
      size_t from = round_up (size, MM_PAGE) / MM_PAGE;
      size_t to = round_up (fuzz_length, MM_PAGE) / MM_PAGE;
      /* If the file is as long as it should be, it is cut itself, below.  */
      if (!fuzz_other)
        page_cut (size);
      NEED (from == to || mprotect (b->map + from * MM_PAGE,
                                    (to - from) * MM_PAGE, PROT_NONE) == 0);
      memset (b->runs + from, 0, to - from);
      fuzz_cut = size < fuzz_cut ? size : fuzz_cut;
    }
  if (fuzz_other && ftruncate (b->fd, (off_t) size) != 0)
    return -1;
  fuzz_length = size;
  return 0;
}

static int
fast_fallocate (int fd, int mode, off_t off, off_t len)
{
  size_t end = (size_t) off + (size_t) len;
  (void) fd;
  return mode == 0 && end > fuzz_length ? fast_resize (end) : 0;
}

static int
fast_ftruncate (int fd, off_t len)
{
  (void) fd;
  return fast_resize ((size_t) len);
}

static ssize_t
fast_pread (int fd, void *to, size_t n, off_t at)
{
  (void) fd;
  size_t off = (size_t) at;
  if (off >= fuzz_length)
    return 0;
  n = n < fuzz_length - off ? n : fuzz_length - off;
  memcpy (to, b->view + off, n);
  return (ssize_t) n;
}

static ssize_t
fast_pwrite (int fd, const void *from, size_t n, off_t at)
{
  (void) fd;
  size_t off = (size_t) at;
  if (off + n > fuzz_length && fast_resize (off + n) != 0)
    return -1;
  memcpy (b->map + off, from, n);
  return (ssize_t) n;
}

static int
fast_msync (void *p, size_t len, int flags)
{
  (void) p, (void) len, (void) flags;
  return 0;
}

static int
fast_fstat (int fd, struct stat *st)
{
  (void) fd;
  memset (st, 0, sizeof *st);
  st->st_mode = S_IFREG | 0600;
  st->st_size = (off_t) (fuzz_length > fuzz_private ? fuzz_length
                                                    : fuzz_private);
  st->st_dev = 1;
  st->st_ino = 1;
  return 0;
}

static int
fast_open (const char *path, int flags, ...)
{
  (void) flags;
  if (strncmp (path, "/proc/self/fd/", 14) == 0)
    return FAKE_FD;
  return errno = ENOENT, -1;
}

static int
fast_close (int fd)
{
  (void) fd;
  return 0;
}

static int
fast_fcntl (int fd, int what, ...)
{
  va_list ap;
  (void) fd;
  if (what == F_DUPFD_CLOEXEC)
    return FAKE_FD;
  if (what == F_GETFL)
    return O_RDWR;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  if (what == F_OFD_GETLK)
    l->l_type = F_UNLCK;
  return 0;
}

static void *
fast_mmap (void *p, size_t len, int prot, int flags, int fd, off_t off)
{
  char *at = p;
  if (at == b->map)
    {
      if (len > b->image.capacity)
        return errno = EEXIST, MAP_FAILED;
      /* Copy on write: what lies behind the file is anonymous, and as good as a
         longer file.  */
      if ((flags & MAP_ANONYMOUS) && fast_resize (len) != 0)
        return MAP_FAILED;
      return p;
    }
  /* What only keeps locks.  */
  if (fd >= 0 && prot == PROT_NONE)
    return errno = ENOMEM, MAP_FAILED;
  /* The library's own struct.  */
  if (fd < 0 && len <= MM_PAGE && p == NULL && !fuzz_page_taken)
    {
      fuzz_page_taken = true;
      return memset (fuzz_page, 0, len);
    }
  /* Elsewhere: first room, then the file in it.  */
  if (fd < 0 && prot == PROT_NONE && len <= b->area_len && p == NULL)
    return b->area;
  if (at == b->twin && prot == PROT_READ && len <= b->image.capacity)
    return p;
  if (fd < 0 && p != NULL)
    fuzz_private = len;
  if (fd < 0)
    return mmap (p, len, prot, flags, fd, off);
  /* At yet another place: a copy, of a file that is as long as it should
     be.  */
  if (!fuzz_other && ftruncate (b->fd, (off_t) fuzz_length) != 0)
    return MAP_FAILED;
  fuzz_other = true;
  if (at >= b->area && at < b->area + b->area_len)
    fuzz_twin_lost = true;
  return mmap (p, len, prot, (flags & ~MAP_SHARED) | MAP_PRIVATE, b->fd, off);
}

static int
fast_munmap (void *p, size_t len)
{
  char *at = p;
  if (at == fuzz_page)
    {
      fuzz_page_taken = false;
      return 0;
    }
  if (at == b->map || (at >= b->area && at < b->area + b->area_len))
    return 0;
  return munmap (p, len);
}


/* ---- Changes ------------------------------------------------------------ */

static uint64_t
get_bytes (const uint8_t **data, size_t *size, size_t n)
{
  uint64_t value = 0;
  for (size_t i = 0; i < n && *size > 0; i++, ++*data, --*size)
    value |= (uint64_t) **data << (8 * i);
  return value;
}

/* A word of the metadata: the upper half of WHERE means those that are not
   zero in the base heap.  */
static size_t
change_place (uint64_t where)
{
  size_t n = where & 0x7fffffff;
  if (where >> 31 != 0)
    return (size_t) b->parts.words[n % b->parts.n_words] * 8;
  n %= b->n_meta;
  size_t i = 0;
  for (; n >= b->parts.part[i].len / 8; i++)
    n -= b->parts.part[i].len / 8;
  return b->parts.part[i].off + n * 8;
}

static uint64_t
change_get (size_t off)
{
  uint64_t value;
  memcpy (&value, b->view + off, 8);
  return value;
}

static void
change_put (size_t off, uint64_t value)
{
  memcpy (b->view + off, &value, 8);
  changed[n_changed++] = off;
}

static void
change_one (const uint8_t **data, size_t *size)
{
  unsigned what = (unsigned) get_bytes (data, size, 1);
  size_t off = change_place (get_bytes (data, size, 4));
  uint64_t value = get_bytes (data, size, 8), old = change_get (off);
  size_t other;
  switch (what % 8)
    {
    case 0:
      value ^= old;
      break;
    case 1:
      value += old;
      break;
    case 2:
      value = old ^ UINT64_C (1) << value % 64;
      break;
    case 3:                     /* its neighbour */
      off &= ~(size_t) 15;
      value = change_get (off + 8);
      change_put (off + 8, change_get (off));
      break;
    case 4:                     /* half a record of another place */
      other = change_place (value) & ~(size_t) 63;
      off &= ~(size_t) 63;
      for (size_t i = 0; i < 56; i += 8)
        change_put (off + i, change_get (other + i));
      off += 56;
      value = change_get (other + 56);
      break;
    case 5:                     /* a word from elsewhere */
      value = change_get (change_place (value));
      break;
    default:
      break;
    }
  change_put (off, value);
}

static void
change_sum (int i)
{
  struct disk_super s;
  memcpy (&s, b->view + i * MM_PAGE, sizeof s);
  change_put ((size_t) i * MM_PAGE + offsetof (struct disk_super, sum),
              super_sum (&s));
}


#include "fuzz_log.h"


/* ---- Calls -------------------------------------------------------------- */

static char *got[GOT];
static size_t got_size[GOT];

/* As use_new, without a fault for each page.  */
static char *
call_new (struct use *u, char *p, size_t size)
{
  if (p == NULL || u->md != b->map)
    return use_new (u, p, size);
  use_inside (u, p, size, fuzz_length);
  size_t at[3] = { 0, size / 2, size - 1 };
  for (int i = 0; i < 3; i++)
    {
      size_t off = (size_t) (p - b->map) + at[i];
      b->view[off] = (char) 0xa5;
      changed[n_changed++] = off & ~(size_t) 7;
    }
  return p;
}

static void
call_keep (struct use *u, unsigned i, void *block, size_t size)
{
  got[i % GOT] = call_new (u, block, size);
  got_size[i % GOT] = size;
}

static void
call_one (struct use *u, unsigned what, unsigned arg)
{
  static const size_t sizes[16] = { 1, 16, 33, 100, 200, 450, 1000, 1024, 1025,
                                    2500, 5000, 12000, 32768, 40000, 200000,
                                    700000 };
  const struct image *im = &b->image;
  char *md = u->md, name[32];
  char *live = md + im->live[arg % im->n_live];
  char **mine = &got[arg % GOT];
  size_t size = sizes[arg >> 4 & 15];
  snprintf (name, sizeof name, "root %u", arg % 40);
  switch (what % 20)
    {
    case 0:
    case 1:
      call_keep (u, what / 20 + arg, mmalloc (md, size), size);
      break;
    case 2:
      size = size < 50000 ? size : 50000;
      call_keep (u, what / 20 + arg, mcalloc (md, 1, size), size);
      break;
    case 3:
      call_keep (u, arg, mmemalign (md, (size_t) 1 << arg % 28, size), size);
      break;
    case 4:
    case 5:
      mfree (md, *mine);
      if (what < 240)
        *mine = NULL;
      break;
    case 6:
    case 7:
      mfree (md, live);
      break;
    case 8:
      if (*mine != NULL && got_size[arg % GOT] > 0)
        {
          char *p = mrealloc (md, *mine, size);
          if (p != NULL)
            call_keep (u, arg, p, size);
        }
      break;
    case 9:
      if (mmalloc_usable_size (md, live) < MIB (1))
        call_keep (u, arg, mrealloc (md, live, size), size);
      break;
    case 10:
      mmalloc_setroot (md, name, arg < 200 ? md + 1 : NULL);
      break;
    case 11:
      mmalloc_getroot (md, name);
      break;
    case 12:
      mmalloc_trim (md);
      break;
    case 13:
      use_look (u, im);
      break;
    case 14:
      mfree (md, md + u->mapped / 256 * arg);
      break;
    case 15:
      mfree (md, md + (size_t) arg * MM_SLICE);
      break;
    case 16:
      mmalloc_usable_size (md, live + arg);
      break;
    case 17:
      mmcheckf (md, use_guard, arg & 1);
      break;
    case 18:
      call_keep (u, arg, mmalloc (md, MIB (1) * arg / 4 + 1),
                 MIB (1) * arg / 4 + 1);
      break;
    default:
      mmalloc_usable_size (md, md + u->mapped - (size_t) arg * 4096);
    }
}


/* ---- The target --------------------------------------------------------- */

/* A page is as it was; true if it was not.  */
static bool
base_undo_page (size_t p)
{
  char *at = b->view + p * MM_PAGE;
  const char *good = b->good + p * MM_PAGE;
  if (memcmp (at, good, MM_PAGE) == 0)
    return false;
  memcpy (at, good, MM_PAGE);
  return true;
}

/* Pages that can be read and nothing else.  */
static void
base_close (size_t from, size_t to)
{
  if (from < to)
    NEED (mprotect (b->map + from * MM_PAGE, (to - from) * MM_PAGE, PROT_READ)
          == 0);
}

/* The file at its place for MMALLOC_ELSEWHERE, with nothing beside it.  */
static void
base_twin (struct base *base)
{
  const struct image *im = &base->image;
  NEED (mmap (base->area, base->area_len, PROT_NONE,
              MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0)
        == base->area);
  NEED (mmap (base->twin, im->length, PROT_READ, MAP_SHARED | MAP_FIXED,
              base->fd, 0) == base->twin);
}

/* Undo what an input has done.
   1. Words that were changed before anything else.
   2. Pages that were cut off.
   3. Open pages, where they differ.  Those behind the end of the base heap are
      gone again, those that did not differ for long are closed.  A reader must
      have left them alone; in other pages its store is a fault.  */
static void
base_undo (void)
{
  const struct image *im = &b->image;
  size_t end = im->length / MM_PAGE, high = end, n = 0, from = 0, to = 0;
  if (fuzz_other)
    NEED (ftruncate (b->fd, (off_t) im->capacity) == 0);
  fuzz_other = false;
  if (fuzz_twin_lost)
    base_twin (b);
  fuzz_twin_lost = false;
  for (size_t i = 0; i < n_changed; i++)
    memcpy (b->view + changed[i], b->good + changed[i], 8);
  if (fuzz_cut < im->length)
    {
      size_t first = fuzz_cut / MM_PAGE;
      for (size_t i = im->n_pages; i > 0 && im->page[i - 1] >= first; i--)
        base_undo_page (im->page[i - 1]);
      for (size_t i = 0; i < b->n_open; i++)
        base_undo_page (b->open[i]);
      base_close (first, end);
      memset (b->runs + first, 0, end - first);
    }
  for (size_t i = 0; i < b->n_open; i++)
    {
      size_t p = b->open[i];
      if (p >= end)
        {
          base_undo_page (p);
          b->runs[p] = 0;
          high = high > p + 1 ? high : p + 1;
        }
      else if (b->runs[p] != 0)
        {
          if (base_undo_page (p))
            {
              MUST (!fuzz_reader);
              b->runs[p] = OPEN_RUNS;
            }
          else if (--b->runs[p] == 0)
            {
              if (p != to)
                {
                  base_close (from, to);
                  from = p;
                }
              to = p + 1;
            }
        }
      b->listed[p] = b->runs[p] != 0;
      if (b->listed[p])
        b->open[n++] = (uint32_t) p;
    }
  base_close (from, to);
  b->n_open = n;
  if (high > end)
    NEED (mprotect (b->map + end * MM_PAGE, (high - end) * MM_PAGE, PROT_NONE)
          == 0);
}

static void
fuzz_base (struct base *base, enum base_kind kind)
{
  struct image *im = &base->image;
  hostile_fd = -1;
  base_make (im, kind);
  for (int i = 0; i < 2; i++)
    {
      struct disk_super *s = (struct disk_super *) (void *)
                             (hostile_view + i * MM_PAGE);
      s->dev = s->ino = 1;
      s->sum = super_sum (s);
    }
  parts_find (&base->parts, im);
  for (size_t i = 0; i < base->parts.n; i++)
    base->n_meta += base->parts.part[i].len / 8;
  base->fd = hostile_fd;
  base->view = hostile_view;
  NEED (im->capacity <= HOSTILE_VIEW && im->length % MM_PAGE == 0);
  base->good = mmap (NULL, im->capacity, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  NEED (base->good != MAP_FAILED);
  for (size_t i = 0; i < im->n_pages; i++)
    {
      size_t off = (size_t) im->page[i] * MM_PAGE;
      memcpy (base->good + off, base->view + off, MM_PAGE);
    }
  NEED (ftruncate (base->fd, (off_t) im->capacity) == 0);
  run_fence (im);
  base->map = mmap ((void *) im->base, im->capacity, PROT_NONE,
                    MAP_SHARED | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                    base->fd, 0);
  NEED (base->map == (char *) im->base);
  NEED (mprotect (base->map, im->length, PROT_READ) == 0);
  /* As range_map looks for it.  */
  base->area_len = im->capacity + MM_SLICE;
  char *room = mmap (NULL, base->area_len + MIB (128), PROT_NONE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  NEED (room != MAP_FAILED);
  base->area = room + MIB (64);
  base->twin = (char *) round_up ((uintptr_t) base->area, MM_SLICE)
               + im->base % MM_SLICE;
  if (base->twin + im->capacity > base->area + base->area_len)
    base->twin -= MM_SLICE;
  NEED (base->twin >= base->area);
  base_twin (base);
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  (void) argc, (void) argv;
  snprintf (wrong_context, sizeof wrong_context, "fuzz_heap");
  log_bases_make ();
  for (int kind = 0; kind < BASE_KINDS; kind++)
    fuzz_base (&bases[kind], (enum base_kind) kind);
  os.fallocate = fast_fallocate;
  os.ftruncate = fast_ftruncate;
  os.pread = fast_pread;
  os.pwrite = fast_pwrite;
  os.msync = fast_msync;
  os.fstat = fast_fstat;
  os.open = fast_open;
  os.close = fast_close;
  os.fcntl = fast_fcntl;
  os.mmap = fast_mmap;
  os.munmap = fast_munmap;
  mmalloc_onmisuse (use_misuse, NULL);
  return 0;
}

static void
fuzz_use (const uint8_t *data, size_t size, unsigned how, unsigned look)
{
  static const int flags[4] = { 0, MMALLOC_RDONLY, MMALLOC_PRIVATE,
                                MMALLOC_ELSEWHERE };
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  struct use u = { .n = 1 };
  opt.fd = FAKE_FD;
  u.md = mmalloc_open (NULL, flags[how], &opt);
  if (u.md == NULL)
    {
      MUST (mmalloc_errno (NULL) != 0);
      return;
    }
  struct heap *h = (struct heap *) process.files;
  MUST (h != NULL && (char *) h->file.base == u.md && h->file.next == NULL);
  u.mapped = h->file.mapped;
  if ((look & 1) || how == 1 || how == 3)
    use_look (&u, &b->image);
  if (how == 0 || how == 2)
    {
      h->on_damage = use_guard;
      while (size > 0)
        {
          unsigned what = (unsigned) get_bytes (&data, &size, 1);
          call_one (&u, what, (unsigned) get_bytes (&data, &size, 1));
        }
      if (look & 2)
        use_look (&u, &b->image);
    }
  MUST (mmalloc_detach (u.md) == NULL);
}

int
LLVMFuzzerTestOneInput (const uint8_t *data, size_t size)
{
  unsigned first = (unsigned) get_bytes (&data, &size, 1);
  if (first & 0x80)
    {
      fuzz_log (first, data, size);
      return 0;
    }
  size_t n = (size_t) get_bytes (&data, &size, 1) % CHANGES;
  if (b == NULL)
    page_watch ();
  b = &bases[first & 1];
  hostile_fd = b->fd;
  hostile_view = b->view;
  fuzz_length = fuzz_cut = b->image.length;
  fuzz_private = 0;
  fuzz_random = 1;              /* base_make began with 0 */
  n_changed = 0;
  memset (got, 0, sizeof got);
  for (size_t i = 0; i < n && size > 0; i++)
    change_one (&data, &size);
  for (int i = 0; i < 2; i++)
    if (first >> (3 + i) & 1)
      change_sum (i);
  unsigned how = first >> 1 & 3;
  fuzz_reader = how == 1 || how == 3;
  fuzz_use (data, size < 2 * CALLS ? size : 2 * CALLS, how, first >> 5 & 3);
  base_undo ();
  return 0;
}
