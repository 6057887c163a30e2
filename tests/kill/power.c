/* power.c - the power goes at any call that changes the file of a heap with
   checkpoints.

   A program with a heap runs, and each of its calls that changes the file is
   recorded.  A crash state is the file with all that was on the disk for sure,
   and of the rest any part: whole calls, pages, sectors; so of the record that
   is just being written.  Whoever opens the state must find the last checkpoint
   that had succeeded, or the one that was under way or had failed since, whole.
   Some openings are recorded and cut in turn; behind some the program goes on,
   and what it commits then must be found, too.

   While a heap is shared nothing is promised: states count from where an
   opening for checkpoints has returned.

   MMALLOC_POWER_STATES=n   so many states, 3000
   MMALLOC_TEST_SEED=n      the same program first, cut into the same states  */

#include "slots.h"

enum
{
  EVENTS = 1 << 16, TRUTHS = 1 << 10, SECTOR = 512,
  OF_A_PROGRAM = 150,          /* states */
  ROUNDS = 14,                 /* checkpoints */
  WORST = 20                   /* bad states, after which it is enough */
};
#define ARENA MIB (512)
enum { PAGES = ROOM / MM_PAGE, WORDS = PAGES / 64 };

/* A call that changed the file; MARK: a call of the library has returned.  */
struct event
{
  enum event_kind { WRITE, GROW, CUT, PUNCH, SYNC, MARK } what;
  bool durable;                /* on the disk when the call has returned */
  bool failed;                 /* it said so, so nobody knows */
  bool unseen;                 /* and it is not in the file */
  size_t gone;                 /* so the process that begins with that event has
                                  not found it */
  int truth, call;
  uint64_t at, n, data;
};

/* All of them.  */
struct record
{
  size_t n;
  int n_truths, call;
  uint64_t arena_used;
  struct truth truth[TRUTHS];
  struct event event[EVENTS];
  char *arena;
};

/* A file in memory: behind its size there are zeros.  */
struct image
{
  char *bytes;
  uint64_t size;
};

/* States are made from BASE, which has all before the last sync, and what was
   recorded since.  */
struct level
{
  struct record *record;
  struct image base, state;
  uint64_t touched[WORDS];     /* STATE may differ there from BASE */
  uint64_t ever[WORDS];        /* did, since somebody looked */
  uint64_t used[WORDS];        /* may be other than zero */
  size_t settled;              /* that many events are in BASE */
};

static struct tally
{
  long states, cut_again, went_on, bad, programs, in_program, expected;
} *tally;

static struct record *record;  /* NULL: nothing is recorded */
static struct level *level;    /* its images are under way */
static struct image live;      /* the file, as far as it was recorded */
static uint64_t differs[WORDS]; /* the file may differ there from STATE */
static int heap_fd = -1, reader_fd = -1;
static size_t reserve;
static long fail_at;           /* the write that is to fail; 0: none */
static bool no_blocks;         /* none can be set aside */
static bool no_stores;         /* the image is written by calls alone */
static struct helper *helper;  /* a thread of the library's, which has not begun,
                                  or not ended */
static bool helper_begun, killed;


/* ---- Images ------------------------------------------------------------- */

static void
image_touch (uint64_t at, uint64_t n)
{
  for (uint64_t p = at / MM_PAGE; p * MM_PAGE < at + n; p++)
    {
      page_put (level->touched, p);
      page_put (level->used, p);
    }
}

/* Zeros at [AT, END).  */
static void
image_clear (struct image *i, uint64_t at, uint64_t end)
{
  while (at < end)
    {
      uint64_t next = size_min ((at / MM_PAGE + 1) * MM_PAGE, end);
      if (page_in (level->used, at / MM_PAGE))
        {
          memset (i->bytes + at, 0, next - at);
          page_put (level->touched, at / MM_PAGE);
        }
      at = next;
    }
}

static void
image_size (struct image *i, uint64_t size)
{
  NEED (size <= ROOM);
  if (size < i->size)
    image_clear (i, size, i->size);
  i->size = size;
}

/* Lay what E did at [FROM, TO) of the file over I.  */
static void
image_part (struct image *i, const struct event *e, uint64_t from, uint64_t to)
{
  uint64_t at = size_max (from, e->at), stop = size_min (to, e->at + e->n);
  if (e->what == PUNCH)
    stop = size_min (stop, i->size);
  if (at >= stop)
    return;
  if (stop > i->size)
    image_size (i, stop);
  if (e->what == PUNCH)
    image_clear (i, at, stop);
  else
    {
      image_touch (at, stop - at);
      memcpy (i->bytes + at, level->record->arena + e->data + (at - e->at),
              stop - at);
    }
}

/* All that E did.  */
static void
image_apply (struct image *i, const struct event *e)
{
  if (e->what == CUT)
    image_size (i, e->at);
  else if (e->what == GROW)
    image_size (i, size_max (i->size, e->at + e->n));
  else if (e->what == WRITE || e->what == PUNCH)
    image_part (i, e, 0, UINT64_MAX);
}

/* Of a write nothing, all, a prefix, a suffix, all but a hole, any sectors.  */
static void
image_torn (struct image *i, const struct event *e)
{
  uint64_t first = e->at / SECTOR;
  uint64_t n = (e->at + e->n + SECTOR - 1) / SECTOR - first;
  uint64_t how = random_below (&chance, 6), a = random_below (&chance, n + 1);
  uint64_t b = a + random_below (&chance, n + 1 - a);
  for (uint64_t s = 0; s < n; s++)
    {
      bool there = how == 0   ? false
                   : how == 1 ? true
                   : how == 2 ? s < a
                   : how == 3 ? s >= a
                   : how == 4 ? s < a || s >= b
                              : random_below (&chance, 2) != 0;
      if (there)
        image_part (i, e, (first + s) * SECTOR, (first + s + 1) * SECTOR);
    }
}

static void
image_map (struct image *i)
{
  i->bytes = mmap (NULL, ROOM, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  NEED (i->bytes != MAP_FAILED);
  i->size = 0;
}

static struct level *
level_new (struct record *r)
{
  struct level *l = calloc (1, sizeof *l);
  NEED (l != NULL);
  l->record = r;
  image_map (&l->base);
  image_map (&l->state);
  return l;
}

/* Begin with the state of FROM, on the disk.  */
static void
level_begin (struct level *l, const struct level *from)
{
  for (uint64_t w = 0; w < WORDS; w++)
    for (uint64_t left = l->used[w] | from->used[w]; left != 0;
         left &= left - 1)
      {
        uint64_t p = w * 64 + (uint64_t) __builtin_ctzll (left);
        const char *page = from->state.bytes + p * MM_PAGE;
        memcpy (l->base.bytes + p * MM_PAGE, page, MM_PAGE);
        memcpy (l->state.bytes + p * MM_PAGE, page, MM_PAGE);
      }
  memcpy (l->used, from->used, sizeof l->used);
  memset (l->touched, 0, sizeof l->touched);
  memset (l->ever, 0, sizeof l->ever);
  l->base.size = l->state.size = from->state.size;
  l->settled = 0;
}


/* ---- Recording ---------------------------------------------------------- */

static struct record *
record_new (void)
{
  struct record *r = kill_shared (sizeof *r);
  r->arena = kill_shared (ARENA);
  return r;
}

static void
record_empty (struct record *r)
{
  r->n = 0;
  r->n_truths = r->call = 0;
  r->arena_used = 0;
}

static struct event *
event_new (enum event_kind what, uint64_t at, uint64_t n, const void *data)
{
  NEED (record->n < EVENTS && record->n_truths > 0);
  struct event *e = &record->event[record->n++];
  *e = (struct event){ .what = what, .at = at, .n = n, .call = record->call,
                       .truth = record->n_truths - 1 };
  if (data != NULL)
    {
      NEED (record->arena_used + n <= ARENA);
      e->data = record->arena_used;
      memcpy (record->arena + e->data, data, n);
      record->arena_used += n;
    }
  return e;
}

/* From here on T may be found.  A call begins, or it has ENDED.  */
static void
truth_is (struct truth t, bool ended)
{
  if (record == NULL)
    return;
  NEED (record->n_truths < TRUTHS);
  record->truth[record->n_truths++] = t;
  if (ended)
    event_new (MARK, 0, 0, NULL);
  record->call++;
}

/* The library has changed the file.  */
static void
file_changed (uint64_t at, uint64_t end)
{
  for (uint64_t p = at / MM_PAGE; p * MM_PAGE < end && p < PAGES; p++)
    page_put (differs, p);
}

/* It has put zeros there: so are pages that nothing was ever written to.  */
static void
file_cleared (uint64_t at, uint64_t end)
{
  for (uint64_t p = at / MM_PAGE; p * MM_PAGE < end && p < PAGES; p++)
    if (page_in (level->used, p))
      page_put (differs, p);
}

static void
record_live (const struct event *e)
{
  if (live.bytes != NULL)
    image_apply (&live, e);
}

/* The library's thread gets on: its work is done when it begins, so that what is
   written until it ends may be lost; it has ended.  */
static void
helper_goes_on (void)
{
  if (helper == NULL || random_below (&chance, 4) != 0)
    return;
  if (!helper_begun)
    {
      helper_begun = true;
      helper_run (helper);
      word_put (&helper->done, false);
      return;
    }
  word_put (&helper->done, true);
  helper = NULL;
}

static int
power_create (pthread_t *which, const pthread_attr_t *attributes,
              void *(*fn) (void *), void *arg)
{
  (void) which, (void) attributes;
  NEED (fn == helper_run && helper == NULL);
  if (random_below (&chance, 20) == 0)
    return EAGAIN;
  helper = arg;
  helper_begun = false;
  return 0;
}

static int
power_join (pthread_t which, void **result)
{
  (void) which, (void) result;
  if (helper != NULL && !helper_begun && !killed)
    helper_run (helper);
  helper = NULL;
  return 0;
}

static ssize_t
power_pwrite (int fd, const void *from, size_t n, off_t at)
{
  helper_goes_on ();
  bool durable = (fcntl (fd, F_GETFL) & O_DSYNC) != 0;
  bool fails = durable && fail_at > 0 && --fail_at == 0;
  bool done = !fails || random_below (&chance, 2) != 0;
  ssize_t result = done ? pwrite (fd, from, n, at) : (ssize_t) n;
  file_changed ((uint64_t) at, (uint64_t) at + n);
  if (record != NULL && result > 0)
    {
      struct event *e = event_new (WRITE, (uint64_t) at, (uint64_t) result,
                                   from);
      e->durable = durable && !fails;
      e->failed = fails;
      e->unseen = !done;
      if (done)
        record_live (e);
    }
  return fails ? errno = EIO, -1 : result;
}

/* Into the image, which is mapped.  */
static void *
power_store (void *to, const void *from, size_t n)
{
  uint64_t at = (uint64_t) ((char *) to - kill_heap ()->log->image);
  helper_goes_on ();
  file_changed (at, at + n);
  if (record != NULL)
    record_live (event_new (WRITE, at, n, from));
  return memcpy (to, from, n);
}

/* Not all systems can make a mapping writable at once.  */
static int
power_madvise (void *p, size_t n, int advice)
{
  if (advice == MADV_POPULATE_WRITE && no_stores)
    return errno = EINVAL, -1;
  return madvise (p, n, advice);
}

static long
power_call (long number, ...)
{
  va_list ap;
  long arg[6];
  if (number == SYS_process_madvise && no_stores)
    return errno = ENOSYS, -1;
  va_start (ap, number);
  for (int i = 0; i < 6; i++)
    arg[i] = va_arg (ap, long);
  va_end (ap);
  return syscall (number, arg[0], arg[1], arg[2], arg[3], arg[4], arg[5]);
}

static int
power_fallocate (int fd, int mode, off_t at, off_t n)
{
  if (no_blocks)
    return errno = EOPNOTSUPP, -1;
  int result = fallocate (fd, mode, at, n);
  bool punch = (mode & FALLOC_FL_PUNCH_HOLE) != 0;
  NEED (punch || mode == 0);
  if (punch)
    file_cleared ((uint64_t) at, (uint64_t) (at + n));
  if (record != NULL && result == 0)
    record_live (event_new (punch ? PUNCH : GROW, (uint64_t) at, (uint64_t) n,
                            NULL));
  return result;
}

static int
power_ftruncate (int fd, off_t n)
{
  int result = ftruncate (fd, n);
  file_cleared ((uint64_t) n, ROOM);
  if (record != NULL && result == 0)
    record_live (event_new (CUT, (uint64_t) n, 0, NULL));
  return result;
}

static int
power_fdatasync (int fd)
{
  (void) fd;
  if (record != NULL)
    event_new (SYNC, 0, 0, NULL);
  return 0;
}

/* Compare the file with what was recorded.  What differs was stored by a
   mapping that is shared: it is recorded now.  How many pages that were.  */
static int
record_rest (void)
{
  static char page[MM_PAGE];
  struct stat st;
  int n = 0;
  NEED (fstat (heap_fd, &st) == 0);
  if ((uint64_t) st.st_size != live.size)
    {
      record_live (event_new (CUT, (uint64_t) st.st_size, 0, NULL));
      n++;
    }
  for (uint64_t at = 0; at < live.size; at += MM_PAGE)
    {
      off_t data = lseek (heap_fd, (off_t) at, SEEK_DATA);
      bool hole = data < 0 || (uint64_t) data >= at + MM_PAGE;
      while (hole && at < live.size && !page_in (level->used, at / MM_PAGE)
             && (data < 0 || (uint64_t) data >= at + MM_PAGE))
        at += MM_PAGE;
      if (at >= live.size)
        break;
      size_t some = size_min (MM_PAGE, live.size - at);
      NEED (pread (heap_fd, page, some, (off_t) at) == (ssize_t) some);
      if (memcmp (page, live.bytes + at, some) == 0)
        continue;
      record_live (event_new (WRITE, at, some, page));
      n++;
    }
  return n;
}


/* ---- The program -------------------------------------------------------- */

static char *
program_open (int flags)
{
  struct mmalloc_options options = MMALLOC_OPTIONS_INIT;
  options.base = KILL_BASE;
  options.reserve = reserve;
  options.log = KIB (64);
  return mmalloc_open (heap_path, flags, &options);
}

/* A reader comes or goes: the image may not change beside it.  */
static void
reader_is (bool there)
{
  struct flock l = { .l_type = there ? F_RDLCK : F_UNLCK,
                     .l_whence = SEEK_SET,
                     .l_start = MM_LOCK_BYTES + MM_BYTE_PRIVATE, .l_len = 1 };
  NEED (fcntl (reader_fd, F_OFD_SETLK, &l) == 0);
}

/* A checkpoint; false: the disk has failed for good.  */
static bool
commit (void)
{
  uint64_t now = digest ();
  truth_is (truth_and (truth, now), false);
  int failed = mmalloc_checkpoint (md);
  NEED (!failed || errno == EIO);
  fail_at = 0;
  truth = failed ? truth_and (truth, now) : truth_of (now);
  truth_is (truth, true);
  return !failed || kill_heap ()->log->broken == 0;
}

static void
open_checkpointed (void)
{
  md = program_open (MMALLOC_CHECKPOINT);
  NEED (md != NULL);
  slot = mmalloc_getroot (md, "slots");
  NEED (digest () == truth.good[0]);
  truth_is (truth, true);
}

/* The process is killed, and the next one finds what had been written, also
   where nobody knows whether the disk has it.  */
static void
killed_and_opened (void)
{
  struct heap *h = kill_heap ();
  truth_is (truth, false);
  while (h->caches != NULL)
    cache_release (h->caches);
  lock_opening ();
  *door_place (md, true) = h->file.next;
  killed = true;
  attach_drop (h);
  killed = false;
  unlock_opening ();
  fail_at = 0;
  for (size_t i = 0; i < record->n; i++)
    if (record->event[i].unseen && record->event[i].gone == 0)
      record->event[i].gone = record->n;
  md = program_open (MMALLOC_CHECKPOINT);
  NEED (md != NULL);
  slot = mmalloc_getroot (md, "slots");
  uint64_t now = digest ();
  NEED (truth_has (&truth, now));
  truth = truth_of (now);
  truth_is (truth, true);
}

/* The heap was shared before.  SYNCED: what was in the file is on the disk.  */
static void
open_first (bool synced)
{
  truth_is ((struct truth){ .n = 0 }, true);
  record_rest ();
  if (synced)
    {
      event_new (SYNC, 0, 0, NULL);
      truth_is (truth, false);
    }
  open_checkpointed ();
}

static void
close_heap (void)
{
  uint64_t now = digest ();
  truth_is (truth_and (truth, now), false);
  NEED (mmalloc_detach (md) == NULL);
  truth = truth_of (now);
  truth_is (truth, true);
  NEED (record_rest () == 0);
}

static void
share (void)
{
  close_heap ();
  reader_is (false);
  md = program_open (0);
  NEED (md != NULL);
  truth_is ((struct truth){ .n = 0 }, true);
  NEED (program_begin ());
  for (int i = 0; i < 5; i++)
    program_step (false, true);
  truth = truth_of (digest ());
  NEED (mmalloc_detach (md) == NULL);
  open_first (random_below (&chance, 2) != 0);
}

/* What kind of program it is, and how it goes on.  */
static void
program_rounds (void)
{
  bool moves = random_below (&chance, 2) != 0;
  bool large = reserve > MIB (128) || random_below (&chance, 2) != 0;
  bool readers = random_below (&chance, 2) != 0;
  bool fails = random_below (&chance, 2) == 0;
  bool trims = random_below (&chance, 2) == 0;
  for (int n = 0; n < ROUNDS; n++)
    {
      if (readers && random_below (&chance, 4) == 0)
        reader_is (random_below (&chance, 3) != 0);
      bool much = moves && random_below (&chance, 4) == 0;
      for (uint64_t i = random_below (&chance, much ? 40 : 6); i > 0; i--)
        program_step (false, much);
      if (fails && truth.n < 4 && random_below (&chance, 3) == 0)
        fail_at = 1 + (long) random_below (&chance, 5) / 3;
      /* Growth that only the record tells of.  */
      if (reserve > MIB (128) && random_below (&chance, 3) == 0)
        program_allocate (&slot[n], MIB (2), 100);
      if (truth.n > 1)
        program_change_large ();
      else if (large && (fail_at > 0 || random_below (&chance, 4) == 0))
        program_step (true, false);
      if (random_below (&chance, 10) == 0)
        {
          NEED (mmalloc_rollback (md) == 0 && digest () == truth.good[0]);
          program_step (false, false);
        }
      if (trims && random_below (&chance, 3) == 0)
        {
          program_free_some ();
          NEED (mmalloc_trim (md) >= 0);
        }
      bool goes_on = commit ();
      if (random_below (&chance, truth.n > 1 ? 3 : 20) == 0)
        killed_and_opened ();
      else if (!goes_on)
        return;
      if (random_below (&chance, 12) == 0)
        {
          close_heap ();
          open_checkpointed ();
        }
      if (random_below (&chance, 24) == 0)
        share ();
    }
  if (random_below (&chance, 2) != 0)
    close_heap ();
}

/* Whether the heap of program SEED is so large that the log lies inside.  */
static bool
program_is_large (uint64_t seed)
{
  return seed % 4 == 0;
}

/* Record program SEED.  */
static void
program (uint64_t seed)
{
  chance = seed;
  no_blocks = seed % 5 == 1;
  no_stores = seed % 3 == 1;
  reserve = program_is_large (seed)
              ? MIB (132) + KIB (random_below (&chance, 64) * 64)
              : MIB (2) + KIB (random_below (&chance, 200) * 64);
  level = level_new (record);
  image_map (&live);
  truth_is ((struct truth){ .n = 0 }, false);
  md = program_open (MMALLOC_CREATE);
  NEED (md != NULL);
  NEED (program_begin ());
  for (uint64_t i = random_below (&chance, 60); i > 0; i--)
    program_step (false, i % 8 == 0);
  /* So that the log, which goes into free chunks, gets something behind it.  */
  while (reserve > MIB (128) && off_length (kill_heap ()) < MM_CHUNK - MIB (2))
    NEED (mmalloc (md, MIB (1) - KIB (64)) != NULL);
  truth = truth_of (digest ());
  NEED (mmalloc_detach (md) == NULL);
  heap_fd = open (heap_path, O_RDWR | O_CLOEXEC);
  reader_fd = open (heap_path, O_RDONLY | O_CLOEXEC);
  NEED (heap_fd >= 0 && reader_fd >= 0);
  open_first (random_below (&chance, 2) != 0);
  program_rounds ();
}


/* ---- Crash states ------------------------------------------------------- */

/* All events before number N are on the disk.  What has failed may be.  */
static void
state_settle (struct level *l, size_t n)
{
  level = l;
  for (; l->settled < n; l->settled++)
    {
      struct event *e = &l->record->event[l->settled];
      if (e->gone != 0)
        continue;
      if (e->failed && random_below (&chance, 2) != 0)
        image_torn (&l->base, e);
      else
        image_apply (&l->base, e);
    }
}

/* STATE is BASE.  */
static void
state_reset (struct level *l)
{
  for (uint64_t w = 0; w < WORDS; w++)
    for (uint64_t left = l->touched[w]; left != 0; left &= left - 1)
      {
        uint64_t p = w * 64 + (uint64_t) __builtin_ctzll (left);
        memcpy (l->state.bytes + p * MM_PAGE, l->base.bytes + p * MM_PAGE,
                MM_PAGE);
        page_put (differs, p);
      }
  for (uint64_t w = 0; w < WORDS; w++)
    l->ever[w] |= l->touched[w];
  memset (l->touched, 0, sizeof l->touched);
  l->state.size = l->base.size;
}

/* Each page, or sector, of E as it was at a time of its own: E is the NTH of
   ALL.  */
static void
state_times (struct level *l, const struct event *e, uint64_t salt,
             uint64_t unit, uint64_t nth, uint64_t all)
{
  for (uint64_t at = e->at / unit * unit; at < e->at + e->n; at += unit)
    {
      uint64_t mix = salt + at, when = random_next (&mix);
      if (when % 3 == 0 || (when % 3 == 1 && when / 3 % all > nth))
        image_part (&l->state, e, at, at + unit);
    }
}

/* Make STATE what a power cut in event AT leaves.  */
static void
state_make (struct level *l, size_t at)
{
  uint64_t how = random_below (&chance, 9), salt = random_next (&chance);
  size_t from = l->settled, all = at + 1 - from;
  level = l;
  state_reset (l);
  for (size_t i = from; i <= at; i++)
    {
      const struct event *e = &l->record->event[i];
      uint64_t dice = random_below (&chance, 8);
      bool data = e->what == WRITE || e->what == PUNCH;
      if (e->gone != 0 && at >= e->gone)
        continue;
      if (e->durable ? i < at : e->failed && dice < 4)
        image_apply (&l->state, e);
      else if (data && (e->failed || e->durable || (how == 5 && dice < 4)))
        image_torn (&l->state, e);
      else if (data && (how == 6 || how == 7))
        state_times (l, e, salt, how == 6 ? MM_PAGE : SECTOR, i - from, all);
      else if (how == 1 || (how == 2 && dice < 7) || (how == 3 && dice < 1)
               || (how >= 4 && dice < 4))
        image_apply (&l->state, e);
    }
}

/* Change the superblocks of STATE: the machine was started anew; copy DAMAGED
   has gone.  */
static void
state_supers (struct level *l, bool other_boot, int damaged)
{
  struct disk_super s;
  for (int i = 0; i < 2; i++)
    {
      char *at = l->state.bytes + (uint64_t) i * MM_PAGE;
      memcpy (&s, at, sizeof s);
      if (s.sum != super_sum (&s))
        continue;
      if (other_boot)
        memset (s.boot_id, 0x5a, sizeof s.boot_id);
      s.sum = super_sum (&s);
      if (damaged == i)
        memset (&s, 0x33, sizeof s);
      memcpy (at, &s, sizeof s);
      image_touch ((uint64_t) i * MM_PAGE, MM_PAGE);
    }
}

/* Whether both superblocks say the same where event AT is cut: none was written
   by this call, or the call has ended.  */
static bool
state_is_quiet (const struct record *r, size_t at)
{
  int call = r->event[at].call;
  for (size_t i = at + 1; i-- > 0 && r->event[i].call == call;)
    if (r->event[i].what == WRITE && r->event[i].at < 2 * MM_PAGE)
      return r->event[at].what == MARK && !r->event[i].failed;
  return true;
}

/* Nobody knows what the file has.  */
static void
file_forget (struct level *l)
{
  NEED (ftruncate (heap_fd, 0) == 0);
  for (uint64_t w = 0; w < WORDS; w++)
    differs[w] |= l->used[w];
}

/* Write what STATE has at [AT, END) into the file.  */
static void
file_write_part (const struct level *l, uint64_t at, uint64_t end)
{
  end = size_min (end, l->state.size);
  if (at < end)
    NEED (pwrite (heap_fd, l->state.bytes + at, end - at, (off_t) at)
          == (ssize_t) (end - at));
}

/* The file is as STATE.  Pages side by side are written at once.  */
static void
file_write (struct level *l)
{
  uint64_t at = 0, end = 0;
  NEED (ftruncate (heap_fd, (off_t) l->state.size) == 0);
  for (uint64_t w = 0; w < WORDS; w++)
    for (uint64_t left = differs[w] | l->touched[w]; left != 0;
         left &= left - 1)
      {
        uint64_t next = (w * 64 + (uint64_t) __builtin_ctzll (left)) * MM_PAGE;
        if (next != end)
          {
            file_write_part (l, at, end);
            at = next;
          }
        end = next + MM_PAGE;
      }
  file_write_part (l, at, end);
  memset (differs, 0, sizeof differs);
}


/* ---- Looking at them ---------------------------------------------------- */

static void
bad (const char *what)
{
  printf ("%s\n", what);
  tally->bad++;
}

/* The program goes on, in a heap that was found.  */
static void
go_on (void)
{
  NEED (program_begin ());
  for (int round = 0; round < 3; round++)
    {
      for (uint64_t i = random_below (&chance, 8); i > 0; i--)
        program_step (false, round == 1);
      uint64_t now = digest ();
      truth_is (truth_and (truth, now), false);
      if (mmalloc_checkpoint (md) != 0)
        bad ("no checkpoint behind it");
      truth = truth_of (now);
      truth_is (truth, true);
    }
}

/* What was found is one of GOOD, and whole.  */
static bool
look_inside (const struct truth *good)
{
  slot = mmalloc_getroot (md, "slots");
  uint64_t now = digest ();
  truth = truth_of (now);
  if (record != NULL)
    record->truth[0] = truth;
  truth_is (truth, true);
  if (!truth_has (good, now))
    bad ("another state is found");
  else if (mmalloc_check (md, NULL, 0) != 0)
    bad ("the heap is not whole");
  else
    return true;
  return false;
}

/* Open the file with FLAGS: GOOD may be found.  Then go on, if ON.  */
static void
look (const struct truth *good, int flags, bool reader, bool on)
{
  reader_is (reader);
  truth_is (*good, false);
  md = program_open (flags);
  if (md == NULL)
    {
      printf ("%s: ", mmalloc_strerror (NULL));
      bad ("it cannot be opened");
    }
  else if (look_inside (good) && on)
    go_on ();
  record = NULL;
  if (md != NULL && mmalloc_detach (md) != NULL)
    bad ("it cannot be closed");
  reader_is (false);
}

static void look_again (struct level *from, struct record *r, long number);

/* Look at state NUMBER of the program, a cut in event AT; AGAIN is NULL if it
   is one of an opening.  */
static void
look_at_state (struct level *l, size_t at, long number, struct record *again)
{
  static const int others[] = { 0, MMALLOC_RDONLY, MMALLOC_RDONLY };
  struct event *e = &l->record->event[at];
  long was_bad = tally->bad;
  state_make (l, at);
  bool lost = again != NULL && state_is_quiet (l->record, at)
              && random_below (&chance, 4) == 0;
  state_supers (l, random_below (&chance, 2) != 0,
                lost ? (int) random_below (&chance, 2) : -1);
  file_write (l);
  bool cut = again != NULL && number % 23 == 0;
  bool on = again != NULL && number % 7 == 0;
  uint64_t dice = random_below (&chance, 9);
  int how = cut || on || dice > 2 ? MMALLOC_CHECKPOINT : others[dice];
  bool reader = how == MMALLOC_CHECKPOINT && random_below (&chance, 4) == 0;
  if (cut || on)
    record_empty (record = again);
  look (&l->record->truth[e->truth], how, reader, on);
  if (how == 0)
    file_forget (l);
  if ((cut || on) && tally->bad == was_bad)
    look_again (l, again, number);
  tally->cut_again += cut;
  tally->went_on += on;
  if (tally->bad != was_bad)
    printf ("  in event %zu, kind %d at %" PRIu64 ", %" PRIu64 "; opened with"
            " %#x%s%s\n", at, (int) e->what, e->at, e->n, (unsigned) how,
            reader ? " beside a reader" : "",
            lost ? ", without a superblock" : "");
}

/* What was recorded in R, from the state of FROM on, is cut in turn.  */
static void
look_again (struct level *from, struct record *r, long number)
{
  static struct level *l;
  if (l == NULL)
    l = level_new (r);
  level_begin (l, from);
  size_t each = 1 + r->n / 4;
  for (size_t i = random_below (&chance, each); i < r->n;
       i += 1 + random_below (&chance, 2 * each))
    {
      size_t sync = i;
      while (sync > l->settled && r->event[sync - 1].what != SYNC)
        sync--;
      state_settle (l, sync);
      look_at_state (l, i, number, NULL);
    }
  for (uint64_t w = 0; w < WORDS; w++)
    differs[w] |= l->ever[w] | l->touched[w];
}

/* How often event E is to be cut, beside others.  WRITES: so many are not
   synced.  */
static double
weight_of (const struct record *r, const struct event *e, size_t writes)
{
  if (r->truth[e->truth].n == 0)
    return 0;
  if (e->what == MARK)
    return 3;
  if (e->durable || e->failed)
    return 6;
  return e->what != WRITE ? 2
                          : (double) size_min (40, writes) / (double) writes;
}

/* Look at the states of program SEED, from number FROM on.  */
static void
look_at_all (uint64_t seed, long from, struct record *r)
{
  struct level *l = level_new (r);
  struct record *again = record_new ();
  size_t writes = 0;
  double sum = 0, due = 0;
  /* A program that writes much has states that take long: fewer of them, so
     that there are more programs.  */
  double expected = OF_A_PROGRAM / (1 + (double) r->arena_used / MIB (8));
  long number = 0;
  file_forget (l);
  for (size_t i = 0; i < r->n; i++)
    writes += r->event[i].what == WRITE && !r->event[i].durable;
  for (size_t i = 0; i < r->n; i++)
    sum += weight_of (r, &r->event[i], writes);
  for (size_t i = 0; i < r->n; i++)
    {
      due += weight_of (r, &r->event[i], writes) * expected / sum;
      for (; due >= 1; due--, number++)
        if (number >= from)
          {
            if (tally->states >= tally->expected || tally->bad >= WORST)
              return;
            tally->in_program = number;
            tally->states++;
            chance = seed ^ (uint64_t) (number + 1) << 32;
            long was_bad = tally->bad;
            look_at_state (l, i, number, again);
            if (tally->bad != was_bad)
              printf ("  bad: state %ld of MMALLOC_TEST_SEED=%" PRIu64
                      ", call %d\n", number, seed, r->event[i].call);
            fflush (stdout);
          }
      chance = seed + i;
      if (r->event[i].what == SYNC)
        state_settle (l, i + 1);
    }
}


/* ---- All of it ---------------------------------------------------------- */

/* A child that looks at states, from number FROM on.  Its status.  */
static int
try_states (uint64_t seed, long from, struct record *r)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      alarm (kill_patience ());
      heap_fd = open (heap_path, O_RDWR | O_CLOEXEC);
      reader_fd = open (heap_path, O_RDONLY | O_CLOEXEC);
      NEED (heap_fd >= 0 && reader_fd >= 0);
      look_at_all (seed, from, r);
      _exit (0);
    }
  return kill_wait (pid);
}

/* Program SEED, cut everywhere.  */
static void
try_program (uint64_t seed, struct record *r)
{
  unlink (heap_path);
  record_empty (r);
  tally->programs++;
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      record = r;
      program (seed);
      _exit (0);
    }
  int status = kill_wait (pid);
  if (status != 0)
    {
      printf ("  bad: the program of MMALLOC_TEST_SEED=%" PRIu64
              ", status %#x\n", seed, (unsigned) status);
      tally->bad++;
    }
  long from = 0;
  while (tally->bad < WORST && (status = try_states (seed, from, r)) != 0)
    {
      from = tally->in_program + 1;
      tally->bad++;
      printf ("  bad: state %ld of MMALLOC_TEST_SEED=%" PRIu64 ", status %#x"
              "\n", tally->in_program, seed, (unsigned) status);
    }
}

int
main (void)
{
  if (!kill_works ())
    return KILL_SKIPPED;
  kill_make_dir ();
  tally = kill_shared (sizeof *tally);
  tally->expected = (long) setting ("MMALLOC_POWER_STATES", 3000);
  uint64_t seed = random_seed (), first = seed;
  double start = kill_seconds ();
  struct record *r = record_new ();
  os.pwrite = power_pwrite;
  os.fallocate = power_fallocate;
  os.ftruncate = power_ftruncate;
  os.fdatasync = power_fdatasync;
  os.advise = power_madvise;
  os.call = power_call;
  os.store = power_store;
  os.create = power_create;
  os.join = power_join;
  for (; tally->states < tally->expected && tally->bad < WORST; seed++)
    try_program (seed, r);
  kill_remove_dir ();
  printf ("%ld states of %ld programs, %ld cut recoveries, %ld went on, %ld"
          " bad, seed %" PRIu64 ", %.1f s\n", tally->states, tally->programs,
          tally->cut_again, tally->went_on, tally->bad, first,
          kill_seconds () - start);
  return closing_line ((int) tally->states, (int) tally->bad, 0);
}
