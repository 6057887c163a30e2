/* blocks.c - the power goes at any write to the disk under a file system with a
   heap with checkpoints.

   A process of this test serves a file in memory to the kernel, by FUSE; a loop
   device has it for a disk, with a file system of each kind there is.  While a
   program works on a heap there, the server records each write, each range
   that is to be zero, and each flush.  A crash state is the disk with all that
   the last flush had covered, and of what came since any part, in writes and in
   sectors.  It is mounted, so that the file system recovers, and whoever opens
   the heap must find the last checkpoint that had succeeded, or the one that
   was under way or had failed since, whole.
   Some of these recoveries are recorded and cut in turn.

   Then file systems are shut down without a flush of their logs while the
   program runs, and mounted again.

   While a heap is shared nothing is promised: states count from where an
   opening for checkpoints has returned.

   MMALLOC_BLOCK_STATES=n   so many states for each kind of file system, 30
   MMALLOC_SHUTDOWNS=n      so many shutdowns for each, 4
   MMALLOC_TEST_SEED=n      the same programs, cut alike; what the kernel writes
                            when is another matter
   Arguments: kinds of file systems, not all.  */

#if defined __has_include
# if __has_include (<linux/fuse.h>) && __has_include (<linux/loop.h>)
#  define HAVE_HEADERS 1
# endif
#endif
#if !defined HAVE_HEADERS

#include "kill.h"

int
main (void)
{
  printf ("skipped: no linux/fuse.h or no linux/loop.h\n");
  return KILL_SKIPPED;
}

#else

#include "slots.h"

#include <linux/fuse.h>
#include <linux/loop.h>
#include <poll.h>
#include <sys/mount.h>

enum
{
  EVENTS = 1 << 18, TRUTHS = 1 << 14, SECTOR = 512,
  LIVES = 3,                   /* of a program */
  ROUNDS = 10,                 /* checkpoints in one, or so */
  OF_A_PROGRAM = 120,          /* states */
  OF_A_HEAP = 16,              /* shutdowns */
  BATCH = 32,                  /* requests */
  REQUEST = 1 << 20,           /* bytes of data in one */
  WORST = 10                   /* bad states, after which it is enough */
};
#define ARENA MIB (512)
enum { PAGES = ROOM / MM_PAGE, WORDS = PAGES / 64 };

/* EXT4_IOC_SHUTDOWN and XFS_IOC_GOINGDOWN are one number; 2: no flush of the
   log.  */
#define GOING_DOWN _IOR ('X', 125, uint32_t)
enum { NO_LOG_FLUSH = 2 };

/* What came to the disk; MARK: another truth begins.  */
struct event
{
  enum event_kind { NOTHING, WRITE, ZERO, FLUSH, MARK } what;
  uint64_t at, n, data;        /* or where TRUTH is */
  size_t covers;               /* all events before that one, by a flush */
};

struct image
{
  char *bytes;
  uint64_t used[WORDS];        /* may be other than zero */
  uint64_t touched[WORDS];     /* may differ from the other image */
};

/* What all processes of the test share.  The server adds events, and the
   program marks.  */
static struct shared
{
  bool recording;
  atomic_bool down;            /* the file system is, or is just to be */
  atomic_size_t n, n_truths;
  uint64_t arena_used;
  struct image disk, base;     /* BASE has what is on the disk for sure */
  struct truth truth[TRUTHS];
  struct event event[EVENTS];
} *all;

static char *arena;
static size_t settled;         /* that many events are in BASE */
static pid_t server;           /* 0: none */
static int loop_fd = -1;
static char loop_path[64];
static char mount_path[PATH_MAX + 64], served_path[PATH_MAX + 64];
static size_t reserve;

/* File systems, and how they are mounted for the program.  */
static const struct system_kind
{
  const char *name, *make, *size, *options[4];
} kinds[] = {
  { "ext4", "mkfs.ext4 -q -F -b 4096 -J size=4 -E lazy_itable_init=0,nodiscard",
    "256M", { "", "discard", "data=journal", "data=writeback" } },
  { "xfs", "mkfs.xfs -q -f -K", "", { "", "discard", "", "wsync" } },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const struct system_kind *kind;

static struct tally
{
  long states, programs, went_on, cut_again, shutdowns, bad, came[MARK];
} tally;


/* ---- Images ------------------------------------------------------------- */

static bool
is_zero (const char *p, size_t n)
{
  return n == 0 || (p[0] == 0 && memcmp (p, p + 1, n - 1) == 0);
}

/* Store N bytes at AT, zeros if FROM is NULL.  Pages that were never other than
   zero take no memory.  */
static void
image_put (struct image *i, uint64_t at, uint64_t n, const char *from)
{
  NEED (at <= ROOM && n <= ROOM - at);
  while (n > 0)
    {
      uint64_t page = at / MM_PAGE;
      size_t some = size_min (MM_PAGE - at % MM_PAGE, n);
      bool zero = from == NULL || is_zero (from, some);
      if (zero && page_in (i->used, page))
        memset (i->bytes + at, 0, some);
      else if (!zero)
        {
          memcpy (i->bytes + at, from, some);
          page_put (i->used, page);
        }
      page_put (i->touched, page);
      from = from == NULL ? NULL : from + some;
      at += some;
      n -= some;
    }
}

static void
image_get (const struct image *i, uint64_t at, size_t n, char *to)
{
  NEED (at <= ROOM && n <= ROOM - at);
  while (n > 0)
    {
      size_t some = size_min (MM_PAGE - at % MM_PAGE, n);
      if (page_in (i->used, at / MM_PAGE))
        memcpy (to, i->bytes + at, some);
      else
        memset (to, 0, some);
      to += some;
      at += some;
      n -= some;
    }
}

/* Lay what E did at [FROM, TO) of the disk over I.  */
static void
image_part (struct image *i, const struct event *e, uint64_t from, uint64_t to)
{
  uint64_t at = size_max (from, e->at), stop = size_min (to, e->at + e->n);
  if (at < stop)
    image_put (i, at, stop - at,
               e->what == ZERO ? NULL : arena + e->data + (at - e->at));
}

/* Whether the page of the disk in which E has AT is one that the file system
   itself relies on being written whole: the superblock of an ext4, which has a
   sum and is nowhere else; a block of a tree of an xfs, whose number in its
   first sector tells recovery that all of it is new.  */
static bool
stays_whole (const struct event *e, uint64_t at)
{
  static const char *const trees[] = {
    "BMA3", "AB3B", "AB3C", "IAB3", "FIB3", "RMB3", "R3FC", "XDB3"
  };
  uint64_t page = at / MM_PAGE * MM_PAGE;
  bool whole = page == 0;
  if (e->what == WRITE && page >= e->at)
    for (size_t t = 0; t < sizeof trees / sizeof trees[0]; t++)
      whole |= memcmp (arena + e->data + (page - e->at), trees[t], 4) == 0;
  return whole;
}

/* Of E nothing, a prefix, a suffix, all but a hole, any sectors.  */
static void
image_torn (struct image *i, const struct event *e)
{
  uint64_t n = (e->n + SECTOR - 1) / SECTOR;
  uint64_t how = random_below (&chance, 5), a = random_below (&chance, n + 1);
  uint64_t b = a + random_below (&chance, n + 1 - a);
  bool there = false;
  for (uint64_t s = 0; s < n && how != 0; s++)
    {
      uint64_t at = e->at + s * SECTOR;
      if (s == 0 || at % MM_PAGE == 0 || !stays_whole (e, at))
        there = how == 1   ? s < a
                : how == 2 ? s >= a
                : how == 3 ? s < a || s >= b
                           : random_below (&chance, 2) != 0;
      if (there)
        image_part (i, e, at, at + SECTOR);
    }
}

/* Both images are alike again: where they may differ TO is as FROM.  */
static void
image_copy (struct image *to, struct image *from)
{
  for (uint64_t w = 0; w < WORDS; w++)
    {
      uint64_t left = to->touched[w] | from->touched[w];
      for (; left != 0; left &= left - 1)
        {
          uint64_t page = w * 64 + (uint64_t) __builtin_ctzll (left);
          uint64_t at = page * MM_PAGE;
          bool some = page_in (from->used, page);
          image_put (to, at, MM_PAGE, some ? from->bytes + at : NULL);
        }
      to->touched[w] = from->touched[w] = 0;
    }
}

static void
image_empty (struct image *i)
{
  NEED (madvise (i->bytes, ROOM, MADV_REMOVE) == 0);
  memset (i->used, 0, sizeof i->used);
  memset (i->touched, 0, sizeof i->touched);
}


/* ---- Recording ---------------------------------------------------------- */

static struct event *
event_new (enum event_kind what)
{
  size_t n = atomic_fetch_add (&all->n, 1);
  NEED (n < EVENTS);
  all->event[n] = (struct event){ .what = what };
  return &all->event[n];
}

static void
record_data (enum event_kind what, uint64_t at, uint64_t n, const char *data)
{
  image_put (&all->disk, at, n, data);
  if (!all->recording)
    return;
  NEED (all->arena_used + n <= ARENA);
  struct event *e = event_new (what);
  e->at = at;
  e->n = n;
  if (data != NULL)
    {
      e->data = all->arena_used;
      memcpy (arena + e->data, data, n);
      all->arena_used += n;
    }
}

static void
record_flush (size_t covers)
{
  if (all->recording)
    event_new (FLUSH)->covers = covers;
}

/* From here on T may be found.  The events that this process has waited for are
   before the mark.  */
static void
truth_is (struct truth t)
{
  size_t n = atomic_load (&all->n_truths);
  NEED (n < TRUTHS);
  all->truth[n] = t;
  atomic_store (&all->n_truths, n + 1);
  if (all->recording)
    event_new (MARK)->at = n;
}

static struct truth
truth_last (void)
{
  size_t n = atomic_load (&all->n_truths);
  return n == 0 ? (struct truth){ .n = 0 } : all->truth[n - 1];
}

static void
record_begin (bool events)
{
  atomic_store (&all->n, 0);
  atomic_store (&all->n_truths, 0);
  all->arena_used = 0;
  all->down = false;
  all->recording = events;
}


/* ---- Serving the disk --------------------------------------------------- */

/* What the kernel asks for: see linux/fuse.h.  */
struct request
{
  struct fuse_in_header head;
  union
  {
    struct fuse_init_in init;
    struct fuse_read_in read;
    struct { struct fuse_write_in in; char data[REQUEST]; } write;
    struct fuse_fallocate_in fallocate;
  } u;
};

static void
answer (int fd, const struct request *r, int err, const void *data, size_t n)
{
  struct fuse_out_header head = {
    .len = (uint32_t) (sizeof head + n), .error = -err,
    .unique = r->head.unique
  };
  struct iovec part[2] = { { &head, sizeof head }, { (void *) data, n } };
  if (writev (fd, part, n == 0 ? 1 : 2) < 0 && errno != ENOENT)
    broken ("an answer to request %u", (unsigned) r->head.opcode);
}

static void
answer_init (int fd, const struct request *r)
{
  const struct fuse_init_in *in = &r->u.init;
  struct fuse_init_out out = {
    .major = FUSE_KERNEL_VERSION, .minor = FUSE_KERNEL_MINOR_VERSION,
    .flags = in->flags & (FUSE_ASYNC_READ | FUSE_ASYNC_DIO | FUSE_BIG_WRITES
                          | FUSE_MAX_PAGES),
    .max_readahead = in->max_readahead, .max_background = BATCH,
    .congestion_threshold = BATCH, .max_write = REQUEST,
    .max_pages = REQUEST / MM_PAGE
  };
  answer (fd, r, 0, &out, sizeof out);
}

/* The only file is the root.  */
static void
answer_attributes (int fd, const struct request *r)
{
  struct fuse_attr_out out = {
    .attr_valid = 3600,
    .attr = { .ino = FUSE_ROOT_ID, .size = ROOM, .mode = S_IFREG | 0600,
              .nlink = 1, .blksize = MM_PAGE, .blocks = ROOM / SECTOR }
  };
  answer (fd, r, 0, &out, sizeof out);
}

static void
answer_read (int fd, const struct request *r)
{
  static char bytes[REQUEST];
  size_t n = r->u.read.size;
  NEED (n <= sizeof bytes);
  image_get (&all->disk, r->u.read.offset, n, bytes);
  answer (fd, r, 0, bytes, n);
}

static void
answer_write (int fd, const struct request *r)
{
  const struct fuse_write_in *in = &r->u.write.in;
  struct fuse_write_out out = { .size = in->size };
  NEED (in->size <= REQUEST);
  record_data (WRITE, in->offset, in->size, r->u.write.data);
  answer (fd, r, 0, &out, sizeof out);
}

static void
answer_statfs (int fd, const struct request *r)
{
  struct fuse_statfs_out out = {
    .st = { .blocks = PAGES, .bsize = MM_PAGE, .frsize = MM_PAGE,
            .namelen = NAME_MAX }
  };
  answer (fd, r, 0, &out, sizeof out);
}

/* COVERED: so many events had been answered before R came.  */
static void
answer_request (int fd, const struct request *r, size_t covered)
{
  switch (r->head.opcode)
    {
    case FUSE_INIT: answer_init (fd, r); break;
    case FUSE_GETATTR: answer_attributes (fd, r); break;
    case FUSE_STATFS: answer_statfs (fd, r); break;
    case FUSE_READ: answer_read (fd, r); break;
    case FUSE_WRITE: answer_write (fd, r); break;
    case FUSE_OPEN:
      {
        struct fuse_open_out out = { .open_flags = FOPEN_DIRECT_IO };
        answer (fd, r, 0, &out, sizeof out);
        break;
      }
    case FUSE_FALLOCATE:
      record_data (ZERO, r->u.fallocate.offset, r->u.fallocate.length, NULL);
      answer (fd, r, 0, NULL, 0);
      break;
    case FUSE_FSYNC:
      record_flush (covered);
      answer (fd, r, 0, NULL, 0);
      break;
    case FUSE_FLUSH: case FUSE_RELEASE: case FUSE_DESTROY:
      answer (fd, r, 0, NULL, 0);
      break;
    case FUSE_FORGET: case FUSE_BATCH_FORGET: case FUSE_INTERRUPT: break;
    default: answer (fd, r, ENOSYS, NULL, 0);
    }
}

/* Until the file is unmounted.  All requests that have come are taken before
   the first is answered: a flush among them was asked for before the others
   were done, and does not cover them.  */
static void
serve (int fd)
{
  struct request *r = kill_shared (BATCH * sizeof *r);
  for (;;)
    {
      struct pollfd p = { .fd = fd, .events = POLLIN };
      size_t n = 0, covered = atomic_load (&all->n);
      ssize_t got = 0;
      NEED (poll (&p, 1, -1) == 1);
      while (n < BATCH && (got = read (fd, &r[n], sizeof *r)) > 0)
        n++;
      if (n == 0 && got < 0 && errno == ENODEV)
        return;
      NEED (n > 0 || errno == EAGAIN || errno == EINTR || errno == ENOENT);
      for (size_t i = 0; i < n; i++)
        answer_request (fd, &r[i], covered);
    }
}


/* ---- The disk ----------------------------------------------------------- */

static bool
skipped (const char *what)
{
  printf ("skipped: %s\n", what);
  return false;
}

/* Serve a FUSE of one file that is mounted at SERVED_PATH, in a name space of
   its own for mounts, so that all go when the last process does.  The server
   stays outside: it would wait for itself if it were the last.  */
static bool
disk_serve (void)
{
  char options[100], word = 0;
  int mounted[2], fd = open ("/dev/fuse", O_RDWR | O_CLOEXEC | O_NONBLOCK);
  if (fd < 0)
    return skipped ("no /dev/fuse");
  NEED (close (open (served_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600)) == 0);
  NEED (pipe (mounted) == 0);
  server = kill_fork ();
  if (server == 0)
    {
      close (mounted[1]);
      if (read (mounted[0], &word, 1) == 1)
        serve (fd);
      _exit (0);
    }
  snprintf (options, sizeof options, "fd=%d,rootmode=%o,user_id=0,group_id=0",
            fd, (unsigned) S_IFREG);
  bool apart = unshare (CLONE_NEWNS) == 0
               && mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
  bool done = apart && mount ("mmalloc-blocks", served_path, "fuse",
                              MS_NOSUID | MS_NODEV, options) == 0;
  NEED (!done || write (mounted[1], &word, 1) == 1);
  close (mounted[0]);
  close (mounted[1]);
  close (fd);
  return done || skipped (apart ? "no FUSE can be mounted"
                                : "no name space for mounts");
}

/* A loop device with the served file, which goes when it is closed.  It passes
   writes on as they come and turns a flush into fsync; a write that is to be on
   the disk when it is done (FUA) comes as a write and a flush, as the device
   does not claim to have such writes.  */
static bool
disk_attach (void)
{
  int control = open ("/dev/loop-control", O_RDWR | O_CLOEXEC);
  int file = open (served_path, O_RDWR | O_CLOEXEC);
  NEED (file >= 0);
  struct loop_config config = {
    .fd = (uint32_t) file, .block_size = SECTOR,
    .info.lo_flags = LO_FLAGS_AUTOCLEAR | LO_FLAGS_DIRECT_IO
  };
  for (int left = 20; control >= 0 && left > 0; left--)
    {
      int n = ioctl (control, LOOP_CTL_GET_FREE);
      snprintf (loop_path, sizeof loop_path, "/dev/loop%d", n);
      loop_fd = open (loop_path, O_RDWR | O_CLOEXEC);
      if (loop_fd < 0)
        break;
      if (ioctl (loop_fd, LOOP_CONFIGURE, &config) == 0)
        return close (control), close (file), true;
      /* Somebody else was there first.  */
      close (loop_fd);
      loop_fd = -1;
    }
  if (control >= 0)
    close (control);
  return close (file), skipped ("no loop device");
}

static void
disk_forget_cache (void)
{
  NEED (ioctl (loop_fd, BLKFLSBUF, 0) == 0);
}

static bool
disk_mount (const char *options)
{
  disk_forget_cache ();
  return mount (loop_path, mount_path, kind->name, 0, options) == 0;
}

static void
disk_unmount (void)
{
  NEED (umount2 (mount_path, 0) == 0);
  disk_forget_cache ();
}

/* A new file system; false, and a word, if that cannot be.  */
static bool
disk_make (void)
{
  char command[300];
  disk_forget_cache ();
  image_empty (&all->disk);
  record_begin (false);
  snprintf (command, sizeof command, "PATH=$PATH:/sbin:/usr/sbin; %s %s %s"
            " > /dev/null 2>&1", kind->make, loop_path, kind->size);
  if (system (command) != 0)
    return printf ("skipped: no file system %s can be made\n", kind->name),
           false;
  if (!disk_mount (""))
    return printf ("skipped: no %s can be mounted\n", kind->name), false;
  disk_unmount ();
  return true;
}

static bool
disk_begin (void)
{
  if (geteuid () != 0)
    return skipped ("root alone may mount");
  kill_make_dir ();
  snprintf (served_path, sizeof served_path, "%s/disk", kill_dir);
  snprintf (mount_path, sizeof mount_path, "%s/mounted", kill_dir);
  snprintf (heap_path, sizeof heap_path, "%s/mounted/heap", kill_dir);
  NEED (mkdir (mount_path, 0700) == 0);
  all = kill_shared (sizeof *all);
  arena = kill_shared (ARENA);
  all->disk.bytes = kill_shared (ROOM);
  all->base.bytes = kill_shared (ROOM);
  return disk_serve () && disk_attach ();
}

static void
disk_end (void)
{
  if (loop_fd >= 0)
    close (loop_fd);
  umount2 (served_path, MNT_DETACH);
  if (server != 0)
    kill_wait (server);
  unlink (served_path);
  rmdir (mount_path);
  rmdir (kill_dir);
}


/* ---- The program -------------------------------------------------------- */

/* A call has returned.  What does so when the file system is being shut down
   tells nothing, and ends the program: an fsync that was under way in ext4 may
   say then that it succeeded, and has written nothing.  */
static void
may (bool done)
{
  if (all->down)
    _exit (0);
  if (!done)
    broken ("%s: %s", heap_path, mmalloc_strerror (NULL));
}

static void
program_open (int flags)
{
  struct mmalloc_options options = MMALLOC_OPTIONS_INIT;
  options.base = KILL_BASE;
  options.reserve = reserve;
  options.log = KIB (64);
  md = mmalloc_open (heap_path, flags, &options);
}

static void
program_steps (uint64_t n, bool large, bool much)
{
  while (n-- > 0)
    program_step (large && n == 0, much);
}

/* A checkpoint, perhaps while the program goes on.  False: there is no room for
   it.  */
static bool
commit (void)
{
  unsigned long ticket;
  uint64_t now = digest ();
  truth_is (truth_and (truth, now));
  bool goes_on = random_below (&chance, 4) == 0;
  int failed = goes_on ? mmalloc_checkpoint_start (md, &ticket)
                       : mmalloc_checkpoint (md);
  if (goes_on && !failed)
    {
      program_steps (random_below (&chance, 4), false, false);
      failed = mmalloc_checkpoint_wait (md, ticket);
    }
  may (!failed || errno == ENOSPC);
  truth = failed ? truth_and (truth, now) : truth_of (now);
  truth_is (truth);
  return !failed;
}

/* Open the heap, in which TRUTH is.  */
static void
open_checkpointed (void)
{
  program_open (MMALLOC_CHECKPOINT);
  may (md != NULL);
  slot = mmalloc_getroot (md, "slots");
  uint64_t now = digest ();
  NEED (truth_has (&truth, now));
  truth = truth_of (now);
  truth_is (truth);
}

static void
close_heap (void)
{
  uint64_t now = digest ();
  truth_is (truth_and (truth, now));
  may (mmalloc_detach (md) == NULL);
  truth = truth_of (now);
  truth_is (truth);
}

/* A shared heap, which has been opened: change it, and go on with checkpoints.
   What was in the file may be on the disk before.  */
static void
share (void)
{
  truth_is ((struct truth){ .n = 0 });
  may (program_begin ());
  program_steps (random_below (&chance, 40), false, true);
  /* So that the log, which goes into free chunks, gets something behind it.  */
  while (reserve > MIB (128) && off_length (kill_heap ()) < MM_CHUNK - MIB (2))
    may (mmalloc (md, MIB (1) - KIB (64)) != NULL);
  truth = truth_of (digest ());
  may (mmalloc_detach (md) == NULL);
  if (random_below (&chance, 2) != 0)
    {
      int fd = open (heap_path, O_RDONLY | O_CLOEXEC);
      may (fd >= 0 && fsync (fd) == 0);
      close (fd);
      truth_is (truth);
    }
  open_checkpointed ();
}

static void
create (void)
{
  bool shared = random_below (&chance, 2) != 0;
  truth_is ((struct truth){ .n = 0 });
  program_open (MMALLOC_CREATE | (shared ? 0 : MMALLOC_CHECKPOINT));
  may (md != NULL);
  if (shared)
    {
      share ();
      return;
    }
  truth = truth_of (digest ());
  truth_is (truth);
  may (program_begin ());
}

/* What is done between two checkpoints.  */
static void
program_round (bool moves, bool large, bool trims)
{
  bool much = moves && random_below (&chance, 4) == 0;
  program_steps (random_below (&chance, much ? 40 : 6),
                 large && random_below (&chance, 4) == 0, much);
  if (reserve > MIB (128) && random_below (&chance, 4) == 0)
    program_allocate (&slot[random_below (&chance, SLOTS)], MIB (2), 100);
  if (truth.n > 1)
    program_change_large ();
  if (trims && random_below (&chance, 3) == 0)
    {
      program_free_some ();
      may (mmalloc_trim (md) >= 0);
    }
  if (random_below (&chance, 10) == 0)
    {
      uint64_t from = truth.n == 1 ? truth.good[0] : 0;
      may (mmalloc_rollback (md) == 0);
      slot = mmalloc_getroot (md, "slots");
      NEED (from == 0 || digest () == from);
      may (program_begin ());
    }
  if (random_below (&chance, 12) == 0)
    {
      close_heap ();
      open_checkpointed ();
      may (program_begin ());
    }
  if (random_below (&chance, 16) == 0)
    {
      close_heap ();
      program_open (0);
      may (md != NULL);
      share ();
    }
}

/* One life of a program, of so many rounds.  */
static void
program_life (uint64_t rounds)
{
  bool moves = random_below (&chance, 2) != 0;
  bool large = reserve > MIB (128) || random_below (&chance, 2) != 0;
  bool trims = random_below (&chance, 2) == 0;
  truth = truth_last ();
  if (truth.n == 0)
    create ();
  else
    open_checkpointed ();
  may (program_begin ());
  for (; rounds > 0; rounds--)
    {
      program_round (moves, large, trims);
      if (!commit () && truth.n > 3)
        break;
    }
  program_steps (random_below (&chance, 10), false, false);
  if (random_below (&chance, 2) != 0)
    close_heap ();
}

/* How large the heap of program SEED may get; in a large one the log lies
   inside.  */
static size_t
program_reserve (uint64_t seed)
{
  chance = seed;
  size_t some = KIB (random_below (&chance, 64) * 64);
  return some + (seed % 4 == 0 ? MIB (132) : MIB (2 + seed % 4 * 4));
}

static void
bad (const char *what)
{
  printf ("%s: %s\n", kind->name, what);
  tally.bad++;
}

/* Record program SEED on a file system that was just made.  */
static void
record_program (uint64_t seed)
{
  reserve = program_reserve (seed);
  const char *options = kind->options[random_below (&chance, 4)];
  disk_forget_cache ();
  image_empty (&all->base);
  memcpy (all->disk.touched, all->disk.used, sizeof all->disk.used);
  image_copy (&all->base, &all->disk);
  record_begin (true);
  settled = 0;
  NEED (disk_mount (options));
  for (int life = 0; life < LIVES; life++)
    {
      pid_t pid = kill_fork ();
      if (pid == 0)
        {
          alarm (kill_patience ());
          chance = seed * LIVES + (uint64_t) life;
          program_life (random_below (&chance, 2 * ROUNDS));
          _exit (0);
        }
      if (kill_wait (pid) != 0)
        bad ("the program has failed");
    }
  disk_unmount ();
  all->recording = false;
}


/* ---- Crash states ------------------------------------------------------- */

/* All events before number N are on the disk.  */
static void
state_settle (size_t n)
{
  for (; settled < n; settled++)
    image_part (&all->base, &all->event[settled], 0, UINT64_MAX);
}

/* Each sector of E is there or not, the later the less.  E is the NTH of N.  */
static void
state_times (const struct event *e, uint64_t salt, uint64_t nth, uint64_t n)
{
  for (uint64_t at = e->at; at < e->at + e->n; at += SECTOR)
    {
      bool whole = stays_whole (e, at);
      uint64_t mix = salt + (whole ? at / MM_PAGE * MM_PAGE : at);
      uint64_t when = random_next (&mix);
      if (when % 3 == 0 || (when % 3 == 1 && when / 3 % n > nth))
        image_part (&all->disk, e, at, at + SECTOR);
    }
}

/* The power goes in event AT, and no event from number FROM on is on the disk
   for sure.  */
static void
state_add (size_t from, size_t at)
{
  uint64_t how = random_below (&chance, 9), salt = random_next (&chance);
  size_t n = at + 1 - from, stop = from + random_below (&chance, n);
  for (size_t i = from; i <= at; i++)
    {
      const struct event *e = &all->event[i];
      uint64_t dice = random_below (&chance, 8);
      if (e->what != WRITE && e->what != ZERO)
        continue;
      if (i == at || (how == 5 && dice < 4))
        image_torn (&all->disk, e);
      else if (how == 6)
        state_times (e, salt, i - from, n);
      else if (how == 1 || (how == 2 && dice < 7) || (how == 3 && dice < 1)
               || (how == 4 && dice < 4) || (how == 7 && i < stop)
               || (how == 8 && i >= stop))
        image_part (&all->disk, e, 0, UINT64_MAX);
    }
}

/* Make the disk what a power cut in event AT leaves, as SEED tells.  */
static void
state_make (size_t at, uint64_t seed)
{
  chance = seed;
  image_copy (&all->disk, &all->base);
  state_add (settled, at);
}

/* And what a cut in event AGAIN leaves of a recovery from that, which is
   recorded from event BEGINS on.  */
static void
state_make_again (size_t at, uint64_t seed, size_t begins, size_t again)
{
  size_t from = begins;
  state_make (at, seed);
  for (size_t i = begins; i < again; i++)
    if (all->event[i].what == FLUSH)
      from = size_max (from, all->event[i].covers);
  for (size_t i = begins; i < from; i++)
    image_part (&all->disk, &all->event[i], 0, UINT64_MAX);
  chance = seed + again;
  state_add (from, again);
}


/* ---- Looking at them ---------------------------------------------------- */

/* The program goes on in a heap that was found, and what it commits is there.
   False: not so.  */
static bool
go_on (void)
{
  if (!program_begin ())
    return true;
  for (int round = 0; round < 3; round++)
    {
      program_steps (random_below (&chance, 8), false, round == 1);
      if (mmalloc_checkpoint (md) != 0)
        return false;
    }
  uint64_t now = digest ();
  program_steps (random_below (&chance, 8), false, false);
  if (mmalloc_rollback (md) != 0 || digest () != now
      || mmalloc_detach (md) != NULL)
    return false;
  program_open (MMALLOC_RDONLY);
  if (md == NULL)
    return false;
  slot = mmalloc_getroot (md, "slots");
  return digest () == now;
}

/* What is wrong with a heap in which GOOD may be found, opened with FLAGS.  */
static const char *
look (const struct truth *good, int flags, bool on)
{
  program_open (flags);
  if (md == NULL)
    return mmalloc_strerror (NULL);
  slot = mmalloc_getroot (md, "slots");
  if (!truth_has (good, digest ()))
    return "another state is found";
  if (mmalloc_check (md, NULL, 0) != 0)
    return "the heap is not whole";
  if (on && !go_on ())
    return "it cannot go on";
  if (mmalloc_detach (md) != NULL)
    return "it cannot be closed";
  return NULL;
}

static int
look_how (void)
{
  static const int others[] = { 0, MMALLOC_RDONLY, MMALLOC_PRIVATE };
  uint64_t dice = random_below (&chance, 9);
  return dice > 2 ? MMALLOC_CHECKPOINT : others[dice];
}

/* Mount the disk and look at the heap; false, and a word, if GOOD is not what
   it has.  */
static bool
look_at_disk (struct truth good, int flags, bool on)
{
  long was_bad = tally.bad;
  if (!disk_mount (""))
    return bad ("it cannot be mounted"), false;
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      alarm (kill_patience ());
      const char *wrong = look (&good, flags, on);
      if (wrong != NULL)
        printf ("%s\n", wrong);
      fflush (stdout);
      _exit (wrong != NULL);
    }
  int status = kill_wait (pid);
  disk_unmount ();
  if (status != 0)
    {
      printf ("  opened with %#x, status %#x\n", (unsigned) flags,
              (unsigned) status);
      bad ("a state is bad");
    }
  return tally.bad == was_bad;
}

/* How often event E is to be cut, beside others, while TRUTH may be found.
   WRITES: so many there are.  */
static double
weight_of (const struct event *e, double writes)
{
  if (truth.n == 0)
    return 0;
  return e->what == MARK    ? 3
         : e->what == FLUSH ? 4
                            : (writes < 300 ? writes : 300) / writes;
}

static double
weight_next (size_t i, double writes)
{
  const struct event *e = &all->event[i];
  if (e->what == MARK)
    truth = all->truth[e->at];
  return weight_of (e, writes);
}

/* The recovery from the state of event AT, made by SEED, is cut in turn.  It is
   recorded from event BEGINS on.  */
static void
look_again (size_t at, uint64_t seed, size_t begins)
{
  size_t end = atomic_load (&all->n);
  for (int n = 0; n < 3 && end > begins; n++)
    {
      size_t again = begins + random_below (&chance, end - begins);
      state_make_again (at, seed, begins, again);
      if (!look_at_disk (truth, look_how (), false))
        printf ("  cut again in event %zu of %zu of the recovery\n",
                again - begins, end - begins);
      tally.cut_again++;
    }
}

/* Look at the state that a power cut in event AT leaves, as SEED tells.  */
static void
cut_at (size_t at, uint64_t seed)
{
  size_t n = atomic_load (&all->n);
  uint64_t arena_used = all->arena_used;
  long was_bad = tally.bad;
  alarm (kill_patience ());
  state_make (at, seed);
  bool on = random_below (&chance, 7) == 0;
  bool again = !on && random_below (&chance, 15) == 0;
  all->recording = again;
  look_at_disk (truth, on || again ? MMALLOC_CHECKPOINT : look_how (), on);
  all->recording = false;
  if (again && tally.bad == was_bad)
    look_again (at, seed, n);
  if (tally.bad != was_bad)
    printf ("  cut in event %zu of %zu, kind %d", at, n,
            (int) all->event[at].what);
  atomic_store (&all->n, n);
  all->arena_used = arena_used;
  tally.states++;
  tally.went_on += on;
}

/* Cut the program of SEED in EXPECTED states.  */
static void
cut_program (uint64_t seed, long expected)
{
  double writes = 0, sum = 0, due = 0;
  size_t n = atomic_load (&all->n);
  truth.n = 0;
  for (size_t i = 0; i < n; i++)
    {
      enum event_kind what = all->event[i].what;
      writes += what == WRITE || what == ZERO;
      if (what != MARK)
        tally.came[what]++;
    }
  for (size_t i = 0; i < n; i++)
    sum += weight_next (i, writes);
  truth.n = 0;
  for (size_t i = 0; i < n && tally.bad < WORST; i++)
    {
      due += weight_next (i, writes) * (double) expected / sum;
      for (uint64_t k = 1; due >= 1; due--, k++)
        {
          long was_bad = tally.bad;
          cut_at (i, seed ^ i << 32 ^ k << 60);
          if (tally.bad != was_bad)
            printf ("; MMALLOC_TEST_SEED=%" PRIu64 "\n", seed);
          fflush (stdout);
        }
      if (all->event[i].what == FLUSH)
        state_settle (all->event[i].covers);
    }
}

/* False: there is no such file system.  */
static bool
try_cuts (uint64_t seed, long states)
{
  /* Two programs at least.  */
  long each = states / 2 < OF_A_PROGRAM ? states / 2 + 1 : OF_A_PROGRAM;
  for (; tally.states < states && tally.bad < WORST; seed++)
    {
      alarm (kill_patience ());
      if (!disk_make ())
        return false;
      record_program (seed);
      cut_program (seed, each);
      tally.programs++;
    }
  return true;
}


/* ---- Shutdowns ---------------------------------------------------------- */

/* Wait until the program, PID, has told so many truths, and a little longer.
   False: it has ended.  */
static bool
shutdown_wait (pid_t pid)
{
  size_t truths = 1 + random_below (&chance, 40);
  siginfo_t info = { .si_pid = 0 };
  while (atomic_load (&all->n_truths) < truths && info.si_pid == 0)
    {
      sched_yield ();
      NEED (waitid (P_PID, (id_t) pid, &info, WEXITED | WNOHANG | WNOWAIT)
            == 0);
    }
  for (uint64_t n = random_below (&chance, 1 << random_below (&chance, 20));
       n > 0; n--)
    __asm__ volatile ("" : : : "memory");
  return info.si_pid == 0;
}

/* Shut the file system down while PID works in it, and end PID.  */
static void
shutdown_now (pid_t pid)
{
  uint32_t how = NO_LOG_FLUSH;
  int fd = open (mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  NEED (fd >= 0);
  bool runs = shutdown_wait (pid);
  all->down = true;
  NEED (ioctl (fd, GOING_DOWN, &how) == 0);
  NEED (close (fd) == 0);
  if (random_below (&chance, 2) != 0)
    kill (pid, SIGKILL);
  int status = kill_wait (pid);
  /* What it has mapped cannot be read any more.  */
  if (!runs || (status != 0 && status != SIGKILL && status != SIGBUS))
    {
      printf ("  status %#x\n", (unsigned) status);
      bad ("the program has failed");
    }
}

/* Shut one down that nobody uses: whether that can be done.  */
static bool
shutdown_works (void)
{
  uint32_t how = NO_LOG_FLUSH;
  if (!disk_make () || !disk_mount (""))
    return false;
  int fd = open (mount_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  NEED (fd >= 0);
  bool works = ioctl (fd, GOING_DOWN, &how) == 0;
  if (!works)
    printf ("skipped: shutdowns of %s: %s\n", kind->name, strerror (errno));
  NEED (close (fd) == 0);
  disk_unmount ();
  return works;
}

static void
try_shutdowns (uint64_t seed, long shutdowns)
{
  struct truth found = { .n = 0 };
  if (shutdowns == 0 || !shutdown_works () || !disk_make ())
    return;
  for (long n = 0; n < shutdowns && tally.bad < WORST; n++, seed++)
    {
      alarm (kill_patience ());
      NEED (disk_mount (""));
      record_begin (false);
      if (n % OF_A_HEAP == 0 || found.n == 0)
        {
          reserve = program_reserve (seed);
          NEED (unlink (heap_path) == 0 || errno == ENOENT);
        }
      else
        truth_is (found);
      pid_t pid = kill_fork ();
      chance = seed + (pid == 0);
      if (pid == 0)
        {
          program_life (UINT64_MAX);
          _exit (0);
        }
      shutdown_now (pid);
      disk_unmount ();
      found = truth_last ();
      if (found.n != 0 && !look_at_disk (found, look_how (), false))
        {
          printf ("  shutdown %ld; MMALLOC_TEST_SEED=%" PRIu64 "\n", n, seed);
          found.n = 0;
        }
      tally.shutdowns++;
    }
}


/* ---- All of it ---------------------------------------------------------- */

static void
try_kind (uint64_t seed, struct tally *sum)
{
  double start = kill_seconds ();
  tally = (struct tally){ .states = 0 };
  if (!try_cuts (seed, (long) setting ("MMALLOC_BLOCK_STATES", 30)))
    return;
  double cut = kill_seconds ();
  try_shutdowns (seed, (long) setting ("MMALLOC_SHUTDOWNS", 4));
  printf ("%s: %ld states of %ld programs, %ld went on, %ld of cut recoveries,"
          " %.1f s; %ld shutdowns, %.1f s; %ld bad\n"
          "%s: %ld writes, %ld ranges of zeros, %ld flushes\n",
          kind->name, tally.states, tally.programs, tally.went_on,
          tally.cut_again, cut - start, tally.shutdowns, kill_seconds () - cut,
          tally.bad, kind->name, tally.came[WRITE], tally.came[ZERO],
          tally.came[FLUSH]);
  sum->states += tally.states + tally.cut_again + tally.shutdowns;
  sum->bad += tally.bad;
}

int
main (int argc, char **argv)
{
  if (!kill_works ())
    return KILL_SKIPPED;
  struct tally sum = { .states = 0 };
  bool works = disk_begin ();
  uint64_t seed = works ? random_seed () : 0;
  for (int k = 0; works && k < KINDS; k++)
    if (kill_wants (kinds[k].name, argc, argv))
      {
        kind = &kinds[k];
        try_kind (seed, &sum);
      }
  disk_end ();
  if (sum.states == 0)
    return KILL_SKIPPED;
  return closing_line ((int) sum.states, (int) sum.bad, 0);
}

#endif /* HAVE_HEADERS */
