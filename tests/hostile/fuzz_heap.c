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

   What is missing at the end is zero.  The file is not opened anew for each
   input, which would take most of the time: the calls of the system go to
   stand-ins, and the heap's place is a private mapping of the base heap, whose
   changes are undone afterwards.  Nothing outside of it can be touched, and
   nothing behind its end.

   clang -fsanitize=fuzzer links it with libFuzzer; replay.c, to run a corpus.
   The names are those that OSS-Fuzz looks for.  */

#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Calls that are not in the library's table: for the PID namespace, the limit
   of a file's size, the kind of file system.  */
#define stat(path, st) (memset (st, 0, sizeof *(st)), 0)
#define getrlimit(what, limit) (memset (limit, 0xff, sizeof *(limit)), 0)
#define fstatfs(fd, fs) ((void) (fd), memset (fs, 0, sizeof *(fs)), 0)

#define HOSTILE_ABORTS 1
#include "hostile.h"
#undef stat
#undef getrlimit
#undef fstatfs

int LLVMFuzzerInitialize (int *argc, char ***argv);
int LLVMFuzzerTestOneInput (const uint8_t *data, size_t size);

enum { CHANGES = 16, FAKE_FD = 1000, GOT = 32 };

static struct base
{
  struct image image;
  struct parts parts;
  size_t n_meta;                /* words in all parts */
  int fd;
  char *map;
  size_t n_kept;                /* pages of the image with metadata: they are */
  uint32_t kept[IMAGE_PAGES];   /* written to again, others are given up */
} bases[BASE_KINDS], *b;

static size_t fuzz_length;         /* of the file */

static _Alignas (MM_PAGE) char fuzz_page[MM_PAGE];
static bool fuzz_page_taken;

static struct change
{
  size_t off;
  uint64_t value;
} changes[CHANGES * 8 + 2];
static size_t n_changes;


/* ---- Stand-ins ---------------------------------------------------------- */

static int
fast_resize (size_t size)
{
  if (size > b->image.capacity)
    return errno = EFBIG, -1;
  if (size != fuzz_length && ftruncate (b->fd, (off_t) size) != 0)
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
  memcpy (to, b->map + off, n);
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
fast_fdatasync (int fd)
{
  (void) fd;
  return 0;
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
  st->st_size = (off_t) fuzz_length;
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

static void
apply_changes (char *map)
{
  for (size_t i = 0; i < n_changes; i++)
    memcpy (map + changes[i].off, &changes[i].value, 8);
}

static void *
fast_mmap (void *p, size_t len, int prot, int flags, int fd, off_t off)
{
  bool here = (char *) p == b->map;
  if (here && len > b->image.capacity)
    return errno = EEXIST, MAP_FAILED;
  if (here && prot == PROT_READ && mprotect (b->map, len, prot) != 0)
    return MAP_FAILED;
  /* Copy on write: what lies behind the file is anonymous.  */
  if (here && (flags & MAP_ANONYMOUS) && fast_resize (len) != 0)
    return MAP_FAILED;
  if (here)
    return p;
  /* The library's own struct.  */
  if (fd < 0 && len <= MM_PAGE && p == NULL && !fuzz_page_taken)
    {
      fuzz_page_taken = true;
      return memset (fuzz_page, 0, len);
    }
  if (fd < 0)
    return mmap (p, len, prot, flags, fd, off);
  /* At another place: a copy.  */
  char *q = mmap (p, len, PROT_READ | PROT_WRITE,
                  (flags & ~MAP_SHARED) | MAP_PRIVATE, b->fd, off);
  if (q != MAP_FAILED)
    {
      apply_changes (q);
      mprotect (q, len, prot);
    }
  return q;
}

static int
fast_munmap (void *p, size_t len)
{
  if ((char *) p == fuzz_page)
    {
      fuzz_page_taken = false;
      return 0;
    }
  return (char *) p == b->map ? 0 : munmap (p, len);
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
  memcpy (&value, b->map + off, 8);
  return value;
}

static void
change_put (size_t off, uint64_t value)
{
  memcpy (b->map + off, &value, 8);
  changes[n_changes].off = off;
  changes[n_changes++].value = value;
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
  memcpy (&s, b->map + i * MM_PAGE, sizeof s);
  change_put ((size_t) i * MM_PAGE + offsetof (struct disk_super, sum),
              super_sum (&s));
}


/* ---- Calls -------------------------------------------------------------- */

static char *got[GOT];
static size_t got_size[GOT];

static void
call_keep (struct use *u, unsigned i, void *block, size_t size)
{
  got[i % GOT] = use_new (u, block, size);
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

static bool
base_is_meta (const struct base *base, size_t off)
{
  for (size_t i = 0; i < base->parts.n; i++)
    if (off < base->parts.part[i].off + base->parts.part[i].len
        && off + MM_PAGE > base->parts.part[i].off)
      return true;
  return false;
}

static void
base_drop (char *from, char *to)
{
  if (from < to)
    NEED (madvise (from, (size_t) (to - from), MADV_DONTNEED) == 0);
}

/* Undo what an input has done.  To give a page up and have it again costs more
   than to look whether it is as it was.  */
static void
base_undo (void)
{
  const struct image *im = &b->image;
  char *end = b->map;
  fast_resize (im->length);
  for (size_t i = 0; i < b->n_kept; i++)
    {
      char *at = b->map + (size_t) im->page[b->kept[i]] * MM_PAGE;
      base_drop (end, at);
      if (memcmp (at, im->bytes[b->kept[i]], MM_PAGE) != 0)
        memcpy (at, im->bytes[b->kept[i]], MM_PAGE);
      end = at + MM_PAGE;
    }
  base_drop (end, b->map + im->capacity);
}

static void
fuzz_base (struct base *base, enum base_kind kind)
{
  hostile_fd = -1;
  base_make (&base->image, kind);
  for (int i = 0; i < 2; i++)
    {
      struct disk_super *s = (struct disk_super *) (void *)
                             (hostile_view + i * MM_PAGE);
      s->dev = s->ino = 1;
      s->sum = super_sum (s);
    }
  parts_find (&base->parts, &base->image);
  for (size_t i = 0; i < base->parts.n; i++)
    base->n_meta += base->parts.part[i].len / 8;
  for (size_t i = 0; i < base->image.n_pages; i++)
    {
      size_t off = (size_t) base->image.page[i] * MM_PAGE;
      /* The sums have changed.  */
      memcpy (base->image.bytes[i], hostile_view + off, MM_PAGE);
      if (base_is_meta (base, off))
        base->kept[base->n_kept++] = (uint32_t) i;
    }
  base->fd = hostile_fd;
  run_fence (&base->image);
  base->map = mmap ((void *) base->image.base, base->image.capacity,
                    PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_NORESERVE | MAP_FIXED_NOREPLACE,
                    base->fd, 0);
  NEED (base->map == (char *) base->image.base);
}

int
LLVMFuzzerInitialize (int *argc, char ***argv)
{
  (void) argc, (void) argv;
  snprintf (wrong_context, sizeof wrong_context, "fuzz_heap");
  for (int kind = 0; kind < BASE_KINDS; kind++)
    fuzz_base (&bases[kind], (enum base_kind) kind);
  os.fallocate = fast_fallocate;
  os.ftruncate = fast_ftruncate;
  os.pread = fast_pread;
  os.pwrite = fast_pwrite;
  os.fdatasync = fast_fdatasync;
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
  struct heap *h = process.heaps;
  MUST (h != NULL && (char *) h->base == u.md && h->next == NULL);
  u.mapped = h->mapped;
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
  size_t n = (size_t) get_bytes (&data, &size, 1) % CHANGES;
  b = &bases[first & 1];
  hostile_fd = b->fd;
  fuzz_length = b->image.length;
  n_changes = 0;
  memset (got, 0, sizeof got);
  for (size_t i = 0; i < n && size > 0; i++)
    change_one (&data, &size);
  for (int i = 0; i < 2; i++)
    if (first >> (3 + i) & 1)
      change_sum (i);
  unsigned how = first >> 1 & 3;
  fuzz_use (data, size < 100 ? size : 100, how, first >> 5 & 3);
  if (how == 1)
    mprotect (b->map, b->image.capacity, PROT_READ | PROT_WRITE);
  base_undo ();
  return 0;
}
