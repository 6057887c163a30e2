/* Every call on files and address space fails in turn.

   A script leads a file heap, a region and an anonymous heap through their
   lives.  Its calls of the system are counted; then it is run again for each
   of them and for each error that the call could give, once with that one
   failing, once with all from there on.  Whatever fails says so, and leaves a
   heap that is whole: every block that was handed out is there, none is there
   twice, when the calls work again, in this process and in the next opening;
   and neither descriptors nor mappings are left behind.

   MMALLOC_CALL=n, MMALLOC_ERROR=e, MMALLOC_ALL=0 or 1 run one case alone.  */

#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif
#include <sys/mman.h>
#include <unistd.h>

/* Two more calls that the library makes, which are in no table.  */
static int hook_madvise (void *p, size_t len, int advice);
static long hook_syscall (long number, void *buf, size_t len, unsigned flags,
                          ...);
#define madvise(p, len, advice) hook_madvise (p, len, advice)
#define syscall(...) hook_syscall (__VA_ARGS__)

#define MMALLOC_NEEDS 1
#include "hostile/hostile.h"

#undef madvise
#undef syscall

enum watched_call
{
  FALLOCATE, FTRUNCATE, PREAD, PWRITE, MSYNC, FSTAT, OPEN, CLOSE, FCNTL, MMAP,
  MUNMAP, MPROTECT, CALLS
};
static const char *const call_name[CALLS] = {
  "fallocate", "ftruncate", "pread", "pwrite", "msync", "fstat", "open",
  "close", "fcntl", "mmap", "munmap", "mprotect"
};

/* Instead of an error: less is read or written than was asked for; nothing is
   read, since the file ends there.  */
enum { SHORT = -1, ENDED = -2 };

/* What each call may fail with.  munmap and close do their work all the same,
   as the kernel does where it says so.  */
static const int call_errors[CALLS][8] = {
  [FALLOCATE] = { ENOSPC, EIO, EINTR, EFBIG, EDQUOT, EOPNOTSUPP },
  [FTRUNCATE] = { EIO, EINTR, EFBIG },
  [PREAD] = { EIO, EINTR, SHORT, ENDED },
  [PWRITE] = { ENOSPC, EIO, EINTR, EFBIG, EDQUOT, SHORT },
  [MSYNC] = { EIO, ENOSPC, EINTR },
  [FSTAT] = { EIO, ENOMEM },
  [OPEN] = { EMFILE, EIO, EINTR, ENOSPC },
  [CLOSE] = { EIO, EINTR },
  [FCNTL] = { ENOLCK, EINTR, EIO },
  [MMAP] = { ENOMEM, EAGAIN },
  [MUNMAP] = { ENOMEM },
  [MPROTECT] = { ENOMEM },
};

/* Shared with children, whose calls count, too.  */
static struct plan
{
  _Atomic int n;                /* calls so far */
  int at, error;                /* the one to fail; from 1 */
  bool all;                     /* and all that follow */
  bool armed;
  bool hit;                     /* it has failed */
  enum watched_call hit_call;
  enum watched_call calls[20000];       /* the script's */
  struct without
  {
    bool replace, wipe, random, advice, proc, punch;
  } no;                         /* things that the system does not have */
} *plan;


/* ---- The calls ---------------------------------------------------------- */

/* Count the call; its error, 0 if it works, SHORT, ENDED.  */
static int
call_error (enum watched_call call)
{
  if (!plan->armed)
    return 0;
  int n = atomic_fetch_add (&plan->n, 1) + 1;
  if (n < (int) (sizeof plan->calls / sizeof *plan->calls) && plan->at == 0)
    plan->calls[n] = call;
  /* Interrupted three times, then through.  */
  bool fails = plan->all ? n >= plan->at
               : plan->error == EINTR ? n >= plan->at && n < plan->at + 3
               : n == plan->at;
  if (plan->at == 0 || !fails)
    return 0;
  bool may = false;
  for (int i = 0; i < 8; i++)
    may |= call_errors[call][i] == plan->error;
  /* With all failing, each call fails in its own way.  */
  int error = may ? plan->error : plan->all && plan->error != EINTR
                                  && plan->error > 0
                                  ? call_errors[call][0] : 0;
  if (error != 0 && !plan->hit)
    {
      plan->hit = true;
      plan->hit_call = call;
    }
  /* For ever interrupted is no failure.  */
  if (plan->all && error == EINTR && n % 4 != 0)
    return EINTR;
  return plan->all && error == EINTR ? 0 : error;
}

#define FAILS(call) \
  int error = call_error (call); \
  if (error > 0) \
    return errno = error, -1

static int
fake_fallocate (int fd, int mode, off_t off, off_t len)
{
  FAILS (FALLOCATE);
  if (plan->no.punch && mode != 0)
    return errno = EOPNOTSUPP, -1;
  return sparse_fallocate (fd, mode, off, len);
}

static int
fake_ftruncate (int fd, off_t len)
{
  FAILS (FTRUNCATE);
  return ftruncate (fd, len);
}

static ssize_t
fake_pread (int fd, void *to, size_t n, off_t at)
{
  FAILS (PREAD);
  if (error == ENDED)
    return 0;
  return pread (fd, to, error == SHORT && n > 1 ? n / 2 : n, at);
}

static ssize_t
fake_pwrite (int fd, const void *from, size_t n, off_t at)
{
  FAILS (PWRITE);
  return pwrite (fd, from, error == SHORT && n > 1 ? n / 2 : n, at);
}

static int
fake_msync (void *p, size_t len, int flags)
{
  FAILS (MSYNC);
  return msync (p, len, flags);
}

static int
fake_fstat (int fd, struct stat *st)
{
  FAILS (FSTAT);
  return fstat (fd, st);
}

static int
fake_open (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  mode_t mode = flags & O_CREAT ? va_arg (ap, mode_t) : 0;
  va_end (ap);
  FAILS (OPEN);
  if (plan->no.proc && strncmp (path, "/proc/", 6) == 0)
    return errno = ENOENT, -1;
  return open (path, flags, mode);
}

static int
fake_close (int fd)
{
  int error = call_error (CLOSE);
  int r = close (fd);
  return error != 0 ? errno = error, -1 : r;
}

static int
fake_fcntl (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  void *arg = va_arg (ap, void *);
  va_end (ap);
  /* Letting a whole lock go needs nothing that could be missing.  */
  if (what == F_OFD_SETLK && ((struct flock *) arg)->l_type == F_UNLCK)
    return fcntl (fd, what, arg);
  int error = call_error (FCNTL);
  /* Locks can be those of a server.  */
  if (error == EINTR && what != F_OFD_SETLK && what != F_OFD_GETLK)
    error = 0;
  return error != 0 ? errno = error, -1 : fcntl (fd, what, arg);
}

static void *
fake_mmap (void *p, size_t len, int prot, int flags, int fd, off_t off)
{
  int error = call_error (MMAP);
  if (error != 0)
    return errno = error, MAP_FAILED;
  /* An older kernel takes no notice of flags it does not know.  */
  if (plan->no.replace)
    flags &= ~MAP_FIXED_NOREPLACE;
  return mmap (p, len, prot, flags, fd, off);
}

static int
fake_munmap (void *p, size_t len)
{
  /* What is unmapped twice may be somebody else's the second time.  */
  if (msync (p, len, MS_ASYNC) != 0 && errno == ENOMEM)
    wrong ("munmap of what is not mapped");
  int error = call_error (MUNMAP);
  int r = munmap (p, len);
  return error != 0 ? errno = error, -1 : r;
}

static int
fake_mprotect (void *p, size_t len, int prot)
{
  FAILS (MPROTECT);
  return mprotect (p, len, prot);
}

static int
hook_madvise (void *p, size_t len, int advice)
{
  if (plan->no.advice || (plan->no.wipe && advice == MADV_WIPEONFORK))
    return errno = EINVAL, -1;
  return madvise (p, len, advice);
}

static long
hook_syscall (long number, void *buf, size_t len, unsigned flags, ...)
{
  /* Nobody waits long in one process: a time-out ends each sleep.  */
  if (number == SYS_futex)
    return errno = ETIMEDOUT, -1;
  if (plan->no.random && number == SYS_getrandom)
    return errno = ENOSYS, -1;
  return syscall (number, buf, len, flags);
}

static void
calls_install (void)
{
  os.fallocate = fake_fallocate;
  os.ftruncate = fake_ftruncate;
  os.pread = fake_pread;
  os.pwrite = fake_pwrite;
  os.msync = fake_msync;
  os.fstat = fake_fstat;
  os.open = fake_open;
  os.close = fake_close;
  os.fcntl = fake_fcntl;
  os.mmap = fake_mmap;
  os.advise = hook_madvise;
  os.munmap = fake_munmap;
  os.mprotect = fake_mprotect;
}


/* ---- What the script knows ---------------------------------------------- */

enum { BLOCKS = 160, FILLED = 3000 };
struct block
{
  char *p;
  size_t size, filled;
  unsigned char tag;
};
static struct block blocks[BLOCKS];
static size_t n_blocks;
static unsigned char next_tag;
static bool heap_made;          /* an opening with MMALLOC_CREATE succeeded */
static void *old_base;
static uintptr_t root_value[4];
static int n_failed;            /* calls of the script that failed */

static char dir[PATH_MAX], path[PATH_MAX + 8], region_path[PATH_MAX + 8];

/* A call of the script failed: it must say why.  */
static void
has_failed (void *md, const char *call)
{
  int code = errno;
  n_failed++;
  if (!plan->hit)
    wrong ("%s failed with %s, and no call of the system did", call,
           strerror (code));
  if (code == 0)
    wrong ("%s failed without errno", call);
  if (mmalloc_errno (md) != code)
    wrong ("%s: errno is %d, mmalloc_errno %d", call, code,
           mmalloc_errno (md));
  if (mmalloc_strerror (md)[0] == '\0')
    wrong ("%s failed without a word", call);
  /* These are no failures: the library goes on.  */
  if (code == EINTR || plan->error == EINTR || plan->error == SHORT)
    wrong ("%s failed with %s, after a call that was interrupted or short",
           call, strerror (code));
  /* Beside a sanitizer there is little address space to look for a place in, for
     a region that may lie anywhere.  */
  if (process.asan && code == EADDRINUSE
      && strcmp (call, "mmalloc_region_open") == 0)
    return;
  /* Where one call fails, its error is the caller's; ENOMEM, ENOSPC and EBUSY
     may stand for others.  */
  int expected = plan->error == ENDED ? EBADMSG : plan->error;
  if (!plan->all && code != expected && code != ENOMEM && code != ENOSPC
      && code != EBUSY)
    wrong ("%s: %s failed with %s, which became %s", call,
           call_name[plan->hit_call], strerror (plan->error),
           strerror (code));
}

/* A call of the script that is there for one call of the system worked, KNOWN
   telling whether one had failed before: that one did not.  */
static void
has_worked (const char *name, enum watched_call call, bool known)
{
  if (!known && plan->hit && plan->hit_call == call && plan->error != EINTR)
    wrong ("%s worked, and %s did not", name, call_name[call]);
}

static void
block_write (struct block *b, size_t from)
{
  size_t n = b->size < FILLED ? b->size : FILLED;
  memset (b->p + from, b->tag, n - from);
  b->p[b->size - 1] = (char) b->tag;
  b->filled = n;
}

static void
block_holds (const struct block *b, size_t n, const char *when)
{
  for (size_t i = 0; i < n; i++)
    if ((unsigned char) b->p[i] != b->tag)
      wrong ("%s: byte %zu of a block of %zu is lost", when, i, b->size);
}

static void
take (void *md, size_t size, size_t align)
{
  errno = 0;
  char *p = align != 0 ? mmemalign (md, align, size) : mmalloc (md, size);
  if (p == NULL)
    {
      has_failed (md, "allocation");
      return;
    }
  MUST (n_blocks < BLOCKS);
  struct block b = { p, size, 0, ++next_tag };
  block_write (&b, 0);
  blocks[n_blocks++] = b;
}

static void
resize (void *md, size_t i, size_t size)
{
  if (i >= n_blocks)
    return;
  struct block *b = &blocks[i];
  errno = 0;
  char *p = mrealloc (md, b->p, size);
  if (p == NULL)
    has_failed (md, "mrealloc");
  else
    {
      size_t keep = b->filled < size ? b->filled : size;
      b->p = p;
      block_holds (b, keep, "resized");
      b->size = size;
      block_write (b, 0);
    }
  block_holds (b, b->filled, "resizing");
}

static void
drop (void *md, size_t i)
{
  if (i >= n_blocks)
    return;
  block_holds (&blocks[i], blocks[i].filled, "freed");
  mfree (md, blocks[i].p);
  blocks[i] = blocks[--n_blocks];
}

static int
count_block (void *block, size_t size, void *arg)
{
  (void) block, (void) size;
  ++*(size_t *) arg;
  return 0;
}

static void
show_finding (const char *finding, const void *where, void *arg)
{
  (void) where, (void) arg;
  fprintf (stderr, "%s: finding: %s\n", wrong_context, finding);
}

/* The heap has what the script thinks, no more and no less.  */
static void
heap_holds (void *md, const char *when)
{
  for (size_t i = 0; i < n_blocks; i++)
    {
      block_holds (&blocks[i], blocks[i].filled, when);
      if (mmalloc_usable_size (md, blocks[i].p) < blocks[i].size)
        wrong ("%s: a block has shrunk", when);
    }
  for (int i = 0; i < 4; i++)
    {
      char name[2] = { (char) ('a' + i), '\0' };
      if ((uintptr_t) mmalloc_getroot (md, name) != root_value[i])
        wrong ("%s: root %s is lost", when, name);
    }
  size_t live = 0;
  if (mmalloc_walk (md, count_block, &live) != 0 || live != n_blocks)
    wrong ("%s: %zu blocks are live, not %zu", when, live, n_blocks);
  errno = 0;
  int n = mmalloc_check (md, show_finding, NULL);
  if (n > 0)
    wrong ("%s: %d findings", when, n);
  if (n < 0)
    has_failed (md, "mmalloc_check");
}


/* ---- The script --------------------------------------------------------- */

static void *
open_the_heap (int flags)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.reserve = MIB (128);
  errno = 0;
  char *md = mmalloc_open (path, flags, &opt);
  if (md == NULL)
    has_failed (NULL, "mmalloc_open");
  else if (heap_made && md != old_base)
    wrong ("the heap came back at another address");
  else
    {
      heap_made = true;
      old_base = md;
    }
  return md;
}

static void
close_heap (void *md)
{
  errno = 0;
  if (mmalloc_detach (md) != NULL)
    wrong ("mmalloc_detach failed: %s", strerror (errno));
}

static void
set_root (void *md, int i, uintptr_t value)
{
  char name[2] = { (char) ('a' + i), '\0' };
  errno = 0;
  if (mmalloc_setroot (md, name, (void *) value) == 0)
    root_value[i] = value;
  else
    has_failed (md, "mmalloc_setroot");
}

static void
look (void *md)
{
  struct mmalloc_stats st;
  errno = 0;
  if (mmalloc_prefetch (md) != 0)
    has_failed (md, "mmalloc_prefetch");
  errno = 0;
  if (mmalloc_stats (md, &st) != 0)
    has_failed (md, "mmalloc_stats");
  else
    MUST (st.blocks_live == n_blocks);
}

/* The process's own page, which an opening maps too once there is one.  */
static void
use_own_page (void *md)
{
  errno = 0;
  char *own = mmalloc_local (md, MMALLOC_LOCAL_MAX);
  if (own == NULL)
    {
      has_failed (md, "mmalloc_local");
      return;
    }
  MUST (own[0] == 0 && own[MMALLOC_LOCAL_MAX - 1] == 0);
  own[0] = own[MMALLOC_LOCAL_MAX - 1] = 1;
  MUST (mmalloc_local (md, 1) == own && own[0] == 1);
}

static void
trim (void *md)
{
  errno = 0;
  if (mmalloc_trim (md) < 0)
    has_failed (md, "mmalloc_trim");
  heap_holds (md, "trimmed");
}

/* Blocks of all sizes.  */
static void
grow (void *md)
{
  for (size_t i = 0; i < 40; i++)
    take (md, 16 + i * 60, 0);
  for (size_t i = 1; i < 5; i++)
    take (md, i * 45000, 0);
  take (md, 100, MM_CHUNK);
  take (md, MIB (20), 0);
  take (md, 5000, 4096);
}

/* A child is a user of its own; what it takes it gives back.  */
static void
in_child (void *md)
{
  fflush (NULL);
  pid_t pid = fork ();
  NEED (pid >= 0);
  if (pid == 0)
    {
      void *p[20];
      for (int i = 0; i < 20; i++)
        {
          errno = 0;
          p[i] = mmalloc (md, 5000);
          if (p[i] == NULL)
            has_failed (md, "allocation in a child");
        }
      for (int i = 0; i < 20; i++)
        mfree (md, p[i]);
      for (size_t i = 0; i < n_blocks; i++)
        block_holds (&blocks[i], blocks[i].filled, "child");
      _exit (0);
    }
  int status;
  while (waitpid (pid, &status, 0) < 0)
    NEED (errno == EINTR);
  if (status != 0)
    wrong ("the child ended with status 0x%x", status);
}

static int
build_region (void *region, size_t size, enum mmalloc_region_why why,
              const char **reason, void *arg)
{
  uint64_t *word = region;
  (void) reason, (void) arg;
  if (why == MMALLOC_REGION_NEW)
    {
      MUST (word[2] == 0 && word[size / 8 - 1] == 0);
      word[size / 8 - 1] = 77;
      word[0] = 99;
    }
  MUST (word[0] == 99 && word[size / 8 - 1] == 77);
  return 0;
}

static void
region_life (void)
{
  for (int i = 0; i < 2; i++)
    {
      errno = 0;
      void *r = mmalloc_region_open (region_path, MMALLOC_CREATE, NULL, 50000,
                                     build_region, NULL);
      if (r == NULL)
        {
          has_failed (NULL, "mmalloc_region_open");
          continue;
        }
      bool known = plan->hit;
      errno = 0;
      if (mmalloc_region_sync (r, 50000) != 0)
        has_failed (NULL, "mmalloc_region_sync");
      else
        has_worked ("mmalloc_region_sync", MSYNC, known);
      MUST (mmalloc_region_close (r) == 0);
    }
}

static void
anonymous_life (void)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  size_t had = n_blocks;
  opt.reserve = MIB (96);
  errno = 0;
  void *md = mmalloc_open (NULL, 0, &opt);
  if (md == NULL)
    {
      has_failed (NULL, "mmalloc_open of an anonymous heap");
      return;
    }
  for (size_t i = 0; i < 5; i++)
    take (md, i * 30000 + 100, 0);
  take (md, MIB (17), 0);
  MUST (mmalloc_trim (md) >= 0);
  for (size_t i = had; i < n_blocks; i++)
    block_holds (&blocks[i], blocks[i].filled, "anonymous");
  n_blocks = had;
  MUST (mmalloc_detach (md) == NULL);
}

static void
script (void)
{
  void *md = open_the_heap (MMALLOC_CREATE);
  if (md != NULL)
    {
      grow (md);
      for (int i = 0; i < 3; i++)
        set_root (md, i, (uintptr_t) md + (uintptr_t) i);
      resize (md, 3, 90000);
      if (n_blocks > 2)
        {
          resize (md, n_blocks - 2, MIB (22));
          resize (md, n_blocks - 2, MIB (18));
        }
      bool known = plan->hit;
      errno = 0;
      if (mmalloc_sync (md) != 0)
        has_failed (md, "mmalloc_sync");
      else
        has_worked ("mmalloc_sync", MSYNC, known);
      look (md);
      for (size_t i = 0; i < n_blocks; i++)
        drop (md, i);
      trim (md);
      use_own_page (md);
      grow (md);
      set_root (md, 0, 0);
      /* A child cannot open the file anew where there is no /proc.  */
      if (!plan->no.proc)
        in_child (md);
      trim (md);
      heap_holds (md, "before detach");
      close_heap (md);
    }
  if (heap_made && (md = open_the_heap (0)) != NULL)
    {
      heap_holds (md, "opened again");
      use_own_page (md);
      for (size_t i = 0; i < n_blocks; i++)
        drop (md, i);
      set_root (md, 3, 7);
      take (md, 300000, 0);
      close_heap (md);
    }
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_PRIVATE };
  for (int i = 0; i < 2; i++)
    if (heap_made && (md = open_the_heap (flags[i])) != NULL)
      {
        heap_holds (md, "opened to look");
        look (md);
        if (flags[i] == MMALLOC_PRIVATE && mmalloc (md, 300000) == NULL)
          has_failed (md, "allocation in a private heap");
        close_heap (md);
      }
  region_life ();
  anonymous_life ();
}


/* ---- Running it --------------------------------------------------------- */

static int
descriptors (void)
{
  int n = 0;
  for (int fd = 0; fd < 200; fd++)
    n += fcntl (fd, F_GETFD) >= 0;
  return n;
}

/* Pages of address space in use.  */
static long
address_space (void)
{
  long pages = 0;
  int fd = open ("/proc/self/statm", O_RDONLY);
  char text[100] = "";
  NEED (fd >= 0 && read (fd, text, sizeof text - 1) > 0);
  close (fd);
  NEED (sscanf (text, "%ld", &pages) == 1);
  return pages;
}

static void
start_anew (void)
{
  run_patience ();
  plan->armed = false;
  plan->n = 0;
  plan->hit = false;
  n_blocks = 0;
  n_failed = 0;
  next_tag = 0;
  heap_made = false;
  memset (root_value, 0, sizeof root_value);
  unlink (path);
  unlink (region_path);
}

/* Run the script with call AT failing with ERROR, then look at what it left
   with calls that work.  */
static void
play (int at, int error, bool all)
{
  start_anew ();
  snprintf (wrong_context, sizeof wrong_context,
            "MMALLOC_CALL=%d MMALLOC_ERROR=%d MMALLOC_ALL=%d (%s)", at, error,
            all, at > 0 && at < 20000 ? call_name[plan->calls[at]] : "none");
  int fds = descriptors ();
  long pages = address_space ();
  plan->at = at;
  plan->error = error;
  plan->all = all;
  plan->armed = true;
  script ();
  plan->armed = false;
  plan->hit = false;
  bool made = heap_made;
  void *md = open_the_heap (MMALLOC_CREATE);
  heap_holds (md, made ? "calls work again" : "made when calls work again");
  size_t had = n_blocks;
  take (md, 100000, 0);
  MUST (n_blocks == had + 1);
  heap_holds (md, "used again");
  close_heap (md);
  n_failed = 0;
  region_life ();
  MUST (n_failed == 0);
  if (descriptors () != fds)
    wrong ("%d descriptors are left open", descriptors () - fds);
  /* What the thread keeps for its next heap is no leak: the first life gets
     it.  */
  if (at > 0 && address_space () != pages)
    wrong ("%ld pages of address space are left mapped",
           address_space () - pages);
}

/* All that one call of the script can do.  */
static int
play_call (int at)
{
  int n = 0;
  for (int i = 0; i < 8 && call_errors[plan->calls[at]][i] != 0; i++)
    for (int all = 0; all < 2; all++, n++)
      play (at, call_errors[plan->calls[at]][i], all);
  return n;
}

/* Without one of the things that the library can do without.  */
static void
play_without (const char *what)
{
  start_anew ();
  snprintf (wrong_context, sizeof wrong_context, "without %s", what);
  script ();
  MUST (n_failed == 0);
}

static int
fail_fallocate (int fd, int mode, off_t off, off_t len)
{
  (void) fd, (void) mode, (void) off, (void) len;
  return errno = EOPNOTSUPP, -1;
}

static ssize_t
short_pwrite (int fd, const void *from, size_t n, off_t at)
{
  return pwrite (fd, from, n > 1 ? n / 2 : n, at);
}

/* No fallocate: zeros are written, by halves; a block has disk blocks behind
   it.  */
static void
without_fallocate (void)
{
  os.fallocate = fail_fallocate;
  play_without ("fallocate");
  start_anew ();
  os.pwrite = short_pwrite;
  char *md = open_the_heap (MMALLOC_CREATE);
  char *p = mmalloc (md, 200000);
  MUST (p != NULL);
  int fd = open (path, O_RDONLY);
  MUST (fd >= 0);
  off_t from = p - md, hole = lseek (fd, from, SEEK_HOLE);
  if (hole >= 0 && hole < from + 200000)
    wrong ("a block has a hole behind it");
  close (fd);
  mfree (md, p);
  close_heap (md);
  os.fallocate = fake_fallocate;
  os.pwrite = fake_pwrite;
}

static int
no_ofd_locks (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  void *arg = va_arg (ap, void *);
  va_end (ap);
  if (what == F_OFD_SETLK || what == F_OFD_SETLKW || what == F_OFD_GETLK)
    return errno = EINVAL, -1;
  return fcntl (fd, what, arg);
}

/* No locks: refused, with words about locks, and no file is left.  */
static void
without_locks (void)
{
  start_anew ();
  snprintf (wrong_context, sizeof wrong_context, "without file locks");
  os.fcntl = no_ofd_locks;
  MUST (mmalloc_open (path, MMALLOC_CREATE, NULL) == NULL);
  MUST (errno != 0 && strstr (mmalloc_strerror (NULL), "lock") != NULL);
  struct stat st;
  MUST (stat (path, &st) != 0 && errno == ENOENT);
  MUST (mmalloc_region_open (region_path, MMALLOC_CREATE, NULL, 5000,
                             build_region, NULL) == NULL && errno != 0);
  MUST (stat (region_path, &st) != 0 && errno == ENOENT);
  os.fcntl = fake_fcntl;
}

/* No MAP_FIXED_NOREPLACE: what sits at the address stays.  */
static void
without_noreplace (void)
{
  plan->no.replace = true;
  play_without ("MAP_FIXED_NOREPLACE");
  char *p = mmap (old_base, MM_PAGE, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
  NEED (p == old_base);
  memset (p, 3, MM_PAGE);
  MUST (mmalloc_open (path, 0, NULL) == NULL && errno == EADDRINUSE);
  MUST (p[0] == 3 && p[MM_PAGE - 1] == 3);
  munmap (p, MM_PAGE);
  plan->no.replace = false;
}

/* No random numbers: heaps still get places of their own.  */
static void
without_random (void)
{
  plan->no.random = true;
  play_without ("getrandom");
  start_anew ();
  void *a = mmalloc_open (path, MMALLOC_CREATE, NULL);
  void *b = mmalloc_open (region_path, MMALLOC_CREATE, NULL);
  MUST (a != NULL && b != NULL && a != b);
  close_heap (a);
  close_heap (b);
  plan->no.random = false;
}

/* No /proc: a path will do, a descriptor without one is refused.  */
static void
without_proc (void)
{
  plan->no.proc = true;
  play_without ("/proc");
  int fd = open (path, O_RDWR);
  NEED (fd >= 0);
  MUST (mmalloc_attach (fd, NULL) == NULL && errno == ENOENT);
  close (fd);
  plan->no.proc = false;
}

static void
with_little (void)
{
  without_fallocate ();
  without_locks ();
  without_noreplace ();
  without_random ();
  without_proc ();
  plan->no.wipe = true;
  play_without ("MADV_WIPEONFORK");
  plan->no.wipe = false;
  plan->no.advice = true;
  play_without ("madvise");
  plan->no.advice = false;
  plan->no.punch = true;
  play_without ("holes");
  plan->no.punch = false;
}

/* PART of the work in a child; gives whether it failed.  */
static int
in_process (void (*part) (int), int arg)
{
  fflush (NULL);
  pid_t pid = fork ();
  NEED (pid >= 0);
  if (pid == 0)
    {
      run_watch ();
      part (arg);
      _exit (0);
    }
  int status;
  while (waitpid (pid, &status, 0) < 0)
    NEED (errno == EINTR);
  if (status != 0 && !(WIFEXITED (status) && WEXITSTATUS (status) != 3))
    fprintf (stderr, "status 0x%x\n", status);
  return status != 0;
}

static void
part_little (int unused)
{
  (void) unused;
  with_little ();
}

static void
part_call (int at)
{
  plan->no = (struct without) { .proc = false };
  /* What the thread keeps for its next heap is no leak.  */
  play (0, 0, false);
  play_call (at);
}

int
main (void)
{
  const char *tmp = getenv ("TMPDIR");
  if (tmp == NULL)
    tmp = access ("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
  snprintf (dir, sizeof dir, "%s/mmalloc-XXXXXX", tmp);
  NEED (mkdtemp (dir) != NULL);
  snprintf (path, sizeof path, "%s/heap", dir);
  snprintf (region_path, sizeof region_path, "%s/region", dir);
  plan = mmap (NULL, sizeof *plan, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  NEED (plan != MAP_FAILED);
  calls_install ();

  int at = (int) setting ("MMALLOC_CALL", 0), failed = 0, checks = 1;
  play (0, 0, false);
  MUST (n_failed == 0);
  /* What it keeps for the words of errors, too.  */
  MUST (mmalloc_strerror (NULL) != NULL);
  start_anew ();
  plan->at = 0;
  plan->armed = true;
  script ();
  int n = plan->n;
  start_anew ();
  if (at > 0)
    play (at, (int) setting ("MMALLOC_ERROR", EIO),
          setting ("MMALLOC_ALL", 0) != 0);
  else
    {
      int of[CALLS] = { 0 }, cases = 0;
      for (int i = 1; i <= n; i++)
        {
          enum watched_call call = plan->calls[i];
          of[call]++;
          for (int k = 0; k < 8 && call_errors[call][k] != 0; k++)
            cases += 2;
        }
      printf ("%d calls:", n);
      for (int i = 0; i < CALLS; i++)
        printf (" %d %s", of[i], call_name[i]);
      printf ("; %d cases\n", cases);
      alarm (0);                /* the children have theirs */
      checks = n + 1;
      failed += in_process (part_little, 0);
      for (int i = 1; i <= n && failed < 40; i++)
        failed += in_process (part_call, i);
    }
  start_anew ();
  rmdir (dir);
  return closing_line (checks, failed, 0);
}
