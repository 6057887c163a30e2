/* model_log.c - checkpoints in all their states, with processes killed and power
   cut at any step.

   What follows is the specification of the log; the code is to be read beside
   it.

   The heap is mapped privately: what a program stores is its own until a
   checkpoint.  The file has an image of the heap, in which nothing changes but
   what a checkpoint has committed, and a log in two halves.  The log has a
   number of its own, the epoch; both superblocks name its place and epoch.

   Record.  What has changed since the last checkpoint, with a sum over all of
   it.  It has a sequence number, one more than the last, and `first', the number
   of the first record that counts: what those before it say is in the image,
   and on the disk.  It is written by one call that ends when the disk has it.
   The state of the heap is the image with all records from first to the last
   laid over it, in their order.  To find the last one, each half is walked from
   its beginning, as long as numbers follow each other: of the two ends the
   higher one, as far as all from its first on are there.

   Checkpoint.
     c1  What is in memory is compared with what was committed last: in the image,
         but for pages that are pending, of which a copy is kept.  Pages behind
         the committed length no record can name yet: they are written into the
         image at once, and synced; but not after an append that failed, since
         that may be on the disk and count them in.
     c2  The half is full: the other one must be free, that is, first is not in
         it; see Settle.  Then the record is its first one, and its settling
         begins.
     c3  Append.  If that fails, nothing has changed; the next record takes the
         same number and the same place.
     c4  With no reader there, whose view would change: all of it is written into
         the image, without a sync.  Else it is pending.

   Settle.  A half that is full is free when the image has what it says: all that
   is home is synced, while the other half is filled.  With that done the next
   record says so in its first, and has in it all that was pending when the sync
   began, whether it is home by now or not.  A half always keeps room for a
   record of that alone, for when the other is full before any other record came.
   The code begins a settle only while nothing is pending, so that a page is
   enough; else the record that begins the half has all that is pending, and the
   image, in which little is new then, is synced before it.  A sync that failed
   is the end of checkpoints until the heap is opened again: the system may call
   clean what it could not write.

   Too small.  A record that no half has room for goes into a new log, with an
   epoch of its own, as its first; the image is synced before, and what is
   pending is in it.  Then one superblock after the other says where that is.

   Open.  The state is found as said, and with no reader there written into the
   image; else all of it is pending.  Nothing needs a sync.

   Reader.  It keeps the lock that keeps others from writing home, then reads the
   log, and once more the first record of each half, and the superblocks: if
   one has changed, a half was used again meanwhile, and it reads again.  Its
   view is the image with the records laid over it, as long as it stays.

   Shared.  Who opens the heap to share it finds the state, writes it home, syncs,
   and takes the log out of both superblocks, one after the other.  Then nothing
   is promised, until it is opened for checkpoints again: a sync, a new epoch.

   What must hold in each state:

     L1  after a kill or a power cut the heap is as at the last checkpoint that
         said it was made, or as at the one that was under way, or had failed;
     L2  memory is what the program stored, and after a rollback what the last
         checkpoint had;
     L3  a reader's view is one checkpoint, not older than its opening, and does
         not change;
     L4  a checkpoint never waits for a reader.

   Power cuts leave of all that was written since the last sync any part, granule
   by granule, and of the record under way the old, the new or what is neither.
   Each mutant breaks a rule and must be found out.

   MMALLOC_TEST_MUTANT=name   tries one mutant alone
   MMALLOC_TEST_ALL=1         more checkpoints in each scenario  */

#include <stdbool.h>

#include "support.h"

enum
{
  GRANULES = 3,                /* the last one lies behind the first length */
  SLOTS = 1                    /* of a half, but for the one that is kept */
};

enum rule
{
  NOTHING_BROKEN,
  HOME_FIRST,
  NO_SUM,
  FREE_WITHOUT_SYNC,
  FREE_WITHOUT_RECORD,
  DIRECT_UNSYNCED,
  DIRECT_AFTER_FAILURE,
  NEXT_PLACE_AFTER_FAILURE,
  PENDING_BY_IMAGE,
  PENDING_FORGOTTEN,
  PENDING_AT_THE_END,
  HOME_BESIDE_READERS,
  READ_ONCE,
  ROLLBACK_TO_IMAGE,
  SYNC_AGAIN,
  LAST_RECORD_ALONE,
  LENGTH_NOT_LOGGED,
  MOVED_UNSYNCED,
  MOVED_WITHOUT_PENDING,
  NAMED_BEFORE_WRITTEN,
  OLD_EPOCH,
  SHARED_UNSYNCED,
  BASE_UNSYNCED,
  OPENED_AT_HOME
};
/* With the scenario that it shows in.  */
enum scenario { PLAIN, FAILURES, READERS, MOVES, SHARING, SCENARIOS };
static const struct
{
  enum rule rule;
  enum scenario scenario;
  const char *name;
} mutants[] = {
  { HOME_FIRST, PLAIN, "home before it is committed" },
  { NO_SUM, PLAIN, "a torn record counts" },
  { FREE_WITHOUT_SYNC, PLAIN, "a half is free without a sync" },
  { FREE_WITHOUT_RECORD, PLAIN, "a half is free before a record says so" },
  { DIRECT_UNSYNCED, PLAIN, "new pages are not synced" },
  { LAST_RECORD_ALONE, PLAIN, "the last record counts alone" },
  { LENGTH_NOT_LOGGED, PLAIN, "records have no length" },
  { DIRECT_AFTER_FAILURE, FAILURES, "new pages go home after a failure" },
  { NEXT_PLACE_AFTER_FAILURE, FAILURES, "a failed record keeps its place" },
  { SYNC_AGAIN, FAILURES, "a failed sync is repeated" },
  { PENDING_BY_IMAGE, READERS, "pending pages are compared with the image" },
  { PENDING_FORGOTTEN, READERS, "pending pages are not logged again" },
  { PENDING_AT_THE_END, READERS, "only those that are pending still" },
  { HOME_BESIDE_READERS, READERS, "home beside readers" },
  { READ_ONCE, READERS, "the log is read once" },
  { ROLLBACK_TO_IMAGE, READERS, "rolled back to the image" },
  { OPENED_AT_HOME, READERS, "opened beside readers as if they were not" },
  { MOVED_UNSYNCED, MOVES, "moved without a sync" },
  { MOVED_WITHOUT_PENDING, MOVES, "moved without what is pending" },
  { NAMED_BEFORE_WRITTEN, MOVES, "named before it is written" },
  { OLD_EPOCH, SHARING, "a new log with the old epoch" },
  { SHARED_UNSYNCED, SHARING, "shared without a sync" },
  { BASE_UNSYNCED, SHARING, "a new log over an image not synced" },
};
enum { N_MUTANTS = sizeof mutants / sizeof mutants[0] };

static enum rule broken;

/* What is left of what may happen.  */
struct budget
{
  uint8_t checkpoints, kills, cuts, grows, failures, readers, moves, shares;
};
static const struct budget budgets[SCENARIOS] = {
  [PLAIN] = { .checkpoints = 4, .kills = 1, .cuts = 1, .grows = 1 },
  [FAILURES] = { .checkpoints = 3, .cuts = 1, .grows = 1, .failures = 1 },
  [READERS] = { .checkpoints = 3, .kills = 1, .cuts = 1, .readers = 1 },
  [MOVES] = { .checkpoints = 3, .cuts = 1, .readers = 1, .moves = 1 },
  [SHARING] = { .checkpoints = 3, .cuts = 1, .shares = 1 },
};


/* ---- The state ---------------------------------------------------------- */

/* Bytes alone, so that states can be compared.  */
enum { NONE, WHOLE, TORN };
struct record
{
  uint8_t kind, epoch, seq, first;
  uint8_t mask, length;        /* bit g: val[g] is in it */
  uint8_t val[GRANULES];
};

struct super
{
  uint8_t kind, generation, area; /* 0: no log */
  uint8_t epoch;
};

enum { AREAS = 3, HALVES = 2 };

struct log
{
  struct record slot[HALVES][SLOTS + 1];
};

struct disk
{
  uint8_t cache[GRANULES];     /* what the file says */
  uint8_t may[GRANULES];       /* bit v: after a power cut it may be v */
  uint8_t lost;                /* granules that no sync writes any more */
  struct super super[2];
  struct log log[AREAS];
};

/* What the walk has found.  */
struct walk
{
  uint8_t area, epoch, first, last, length; /* last 0: no record */
  uint8_t half, slot;          /* where the last one is */
  uint8_t start;               /* first number in its half */
  uint8_t mask;                /* what all of them have, and what it is */
  uint8_t val[GRANULES];
  uint8_t lacks;               /* how many of them are not there */
};

enum
{
  RUNS, SYNCS_NEW, SETTLES, NOTES, APPENDS, APPENDED, GOES_HOME, MOVES_SYNC,
  MOVES_APPEND, MOVES_APPENDED, NAMES_A, NAMES_B, ENDED, OPENS_HOME, SHARE_HOME,
  SHARE_SYNC, SHARE_A, SHARE_B, SHARED, BASE_SYNC, BASE_A, BASE_B, STOPPED,
  STEPS
};
enum { R_AWAY, R_LOCKED, R_HALF, R_READ, R_STAYS, R_GONE };
enum { CHECKPOINTS = 5 };       /* while a reader reads, at most */

struct state
{
  struct budget left;
  struct disk disk;
  /* The writer.  */
  uint8_t pc;
  uint8_t mem[GRANULES], mem_length;
  uint8_t area, epoch, half, slot, seq, start, first, length;
  uint8_t pending;             /* not home */
  uint8_t base[GRANULES];      /* and what was committed of them */
  uint8_t writes_home;         /* with the lock that keeps readers out */
  uint8_t failed;              /* the last append */
  uint8_t syncing;             /* the settle of the other half is under way */
  uint8_t settled;             /* it is done, and no record has said so */
  uint8_t relog;               /* pending when it began */
  uint8_t since[GRANULES];     /* values since it began */
  uint8_t at_half, at_slot, note; /* of the record that is written */
  struct record record;
  uint8_t generation;
  /* The reader.  */
  uint8_t rpc;
  struct walk seen;
  struct super seen_super[2];
  struct log seen_log;
  uint8_t view[GRANULES];      /* what it was when it had read */
  /* What nobody knows.  */
  uint8_t made[GRANULES], made_length;   /* by the last checkpoint */
  uint8_t tried[2][GRANULES], tried_length[2]; /* by the one after it, and by one
                                  that failed before that */
  uint8_t then[CHECKPOINTS][GRANULES]; /* the last one when the reader came, and
                                  those since */
  uint8_t then_length[CHECKPOINTS], n_then;
  uint8_t told[GRANULES];      /* what the program has stored */
  uint8_t stored;              /* something, by one who shares it */
  uint8_t count;               /* of checkpoints, for new values */
  uint8_t wrong;
};

static const char *const findings[] = {
  NULL,
  "L1: another state than the last checkpoint's is found",
  "L1: the log is not whole",
  "L2: memory is not what the program stored",
  "L2: rolled back to another state",
  "L3: a reader sees no checkpoint",
  "L3: a reader's view has changed",
  "there is no room for what must be kept",
};
enum
{
  OTHER_STATE = 1, NO_LOG, OTHER_MEMORY, OTHER_ROLLBACK, NO_CHECKPOINT,
  OTHER_VIEW, NO_ROOM
};

static void
image_write (struct disk *d, struct state *s, int g, uint8_t v)
{
  d->cache[g] = v;
  d->may[g] |= (uint8_t) (1 << v);
  s->since[g] |= (uint8_t) (1 << v);
}

/* All that was written before is on the disk.  */
static void
image_sync (struct disk *d)
{
  for (int g = 0; g < GRANULES; g++)
    if (!(d->lost >> g & 1))
      d->may[g] = (uint8_t) (1 << d->cache[g]);
}

static const struct super *
super_chosen (const struct super super[2])
{
  const struct super *a = &super[0], *b = &super[1];
  if (a->kind != WHOLE || b->kind != WHOLE)
    return a->kind == WHOLE ? a : b;
  return b->generation > a->generation ? b : a;
}

static bool
record_counts (const struct record *r, uint8_t epoch)
{
  return r->epoch == epoch
         && (r->kind == WHOLE || (r->kind == TORN && broken == NO_SUM));
}

/* How many records follow each other from the beginning of half H.  */
static int
walk_half (const struct log *l, int h, uint8_t epoch)
{
  int n = 0;
  while (n <= SLOTS && record_counts (&l->slot[h][n], epoch)
         && (n == 0 || l->slot[h][n].seq == l->slot[h][n - 1].seq + 1))
    n++;
  return n;
}

static void
walk_lay (struct walk *w, const struct record *r)
{
  for (int g = 0; g < GRANULES; g++)
    if (r->mask >> g & 1)
      w->val[g] = r->val[g];
  w->mask |= r->mask;
}

/* Walk the log L that SUPER names; LENGTH: the image's own.  */
static struct walk
walk_log (const struct log *l, const struct super *super, uint8_t length)
{
  struct walk w = { .area = super->area, .epoch = super->epoch,
                    .length = length };
  int n[HALVES], h;
  for (h = 0; h < HALVES; h++)
    n[h] = walk_half (l, h, super->epoch);
  if (n[0] == 0 && n[1] == 0)
    return w;
  h = n[0] == 0
      || (n[1] > 0 && l->slot[1][n[1] - 1].seq > l->slot[0][n[0] - 1].seq);
  const struct record *last = &l->slot[h][n[h] - 1];
  w.half = (uint8_t) h;
  w.slot = (uint8_t) (n[h] - 1);
  w.start = l->slot[h][0].seq;
  w.last = last->seq;
  w.first = broken == LAST_RECORD_ALONE ? last->seq : last->first;
  w.length = last->length;
  w.lacks = (uint8_t) (w.last - w.first + 1);
  for (int k = 0; k < 2; k++)
    for (int o = k == 0 ? !h : h, i = 0; i < n[o]; i++)
      if (l->slot[o][i].seq >= w.first && l->slot[o][i].seq <= w.last)
        {
          walk_lay (&w, &l->slot[o][i]);
          w.lacks--;
        }
  return w;
}

static bool
same (const uint8_t *a, const uint8_t *b, int n)
{
  return memcmp (a, b, (size_t) n) == 0;
}

/* Whether the first LENGTH granules are those of the last checkpoint, or of the
   one that was tried.  */
static bool
is_a_checkpoint (const struct state *s, const uint8_t *val, int length)
{
  bool is = length == s->made_length && same (val, s->made, length);
  for (int i = 0; i < 2; i++)
    is |= length == s->tried_length[i] && same (val, s->tried[i], length);
  return is;
}

static void
reader_may_see (struct state *s)
{
  int i = s->n_then;
  if (s->rpc == R_LOCKED || s->rpc == R_HALF || s->rpc == R_READ)
    {
      ck_assert_int_lt (i, CHECKPOINTS);
      memcpy (s->then[i], s->made, GRANULES);
      s->then_length[i] = s->made_length;
      s->n_then++;
    }
}

static void
made_is (struct state *s, const uint8_t *val, uint8_t length)
{
  memcpy (s->made, val, GRANULES);
  if (length < GRANULES)
    s->made[GRANULES - 1] = 0;
  s->made_length = length;
  reader_may_see (s);
  memset (s->tried, 0, sizeof s->tried);
  memset (s->tried_length, 0, sizeof s->tried_length);
}


/* ---- The writer --------------------------------------------------------- */

/* What was committed last, as far as the writer knows.  */
static uint8_t
writer_base (const struct state *s, int g)
{
  return s->pending >> g & 1 && broken != PENDING_BY_IMAGE ? s->base[g]
                                                           : s->disk.cache[g];
}

/* Pages behind the committed length go home at once.  */
static bool
writer_is_direct (const struct state *s, int g)
{
  return g >= s->length && (!s->failed || broken == DIRECT_AFTER_FAILURE);
}

/* In the next record: all that was pending when the sync began.  */
static void
writer_log_again (struct state *s, uint8_t which)
{
  for (int g = 0; g < s->length; g++)
    if (which >> g & 1 && !(s->record.mask >> g & 1))
      {
        s->record.mask |= (uint8_t) (1 << g);
        s->record.val[g] = s->made[g];
      }
}

static void
writer_say_settled (struct state *s)
{
  if (!s->settled)
    return;
  s->record.first = s->start;
  if (broken == PENDING_AT_THE_END)
    writer_log_again (s, s->relog & s->pending);
  else if (broken != PENDING_FORGOTTEN)
    writer_log_again (s, s->relog);
}

/* The record is complete but for what is logged again; place it.  */
static void
writer_place (struct state *s)
{
  bool other_free = s->first >= s->start
                    || (broken == FREE_WITHOUT_RECORD && s->settled);
  s->note = 0;
  s->at_half = s->half;
  s->at_slot = s->slot;
  s->record.first = s->first;
  if (s->slot < SLOTS)
    writer_say_settled (s);
  else if (!other_free && !s->settled)
    {
      s->pc = SETTLES;
      return;
    }
  else if (!other_free)
    {
      s->pc = NOTES;
      return;
    }
  else
    {
      s->at_half = !s->half;
      s->at_slot = 0;
    }
  s->pc = APPENDS;
}

/* Compare: what has changed, and what goes home at once.  */
static void
writer_capture (struct state *s)
{
  bool syncs = false;
  memset (&s->record, 0, sizeof s->record);
  s->record.kind = WHOLE;
  s->record.epoch = s->epoch;
  s->record.seq = s->seq;
  s->record.length = s->mem_length;
  for (int g = 0; g < s->mem_length; g++)
    if (writer_is_direct (s, g))
      {
        image_write (&s->disk, s, g, s->mem[g]);
        syncs = true;
      }
    else if (g >= s->length || s->mem[g] != writer_base (s, g))
      {
        s->record.mask |= (uint8_t) (1 << g);
        s->record.val[g] = s->mem[g];
      }
  if (s->record.mask == 0 && s->mem_length == s->length)
    return;
  s->left.checkpoints--;
  s->count++;
  memcpy (s->tried[0], s->mem, GRANULES);
  s->tried_length[0] = s->mem_length;
  if (broken == HOME_FIRST)
    for (int g = 0; g < GRANULES; g++)
      if (s->record.mask >> g & 1)
        image_write (&s->disk, s, g, s->record.val[g]);
  if (syncs && broken != DIRECT_UNSYNCED)
    s->pc = SYNCS_NEW;
  else
    writer_place (s);
}

/* The record is on the disk, and counts.  */
static void
writer_commit (struct state *s)
{
  if (s->record.first >= s->start)
    s->settled = 0;
  s->first = s->record.first;
  if (s->at_half != s->half && s->at_slot == 0)
    {
      /* The half before this one is to be settled.  */
      s->start = s->seq;
      s->half = s->at_half;
      s->syncing = 1;
      s->settled = 0;
      s->relog = s->pending;
      for (int g = 0; g < GRANULES; g++)
        s->since[g] = (uint8_t) (1 << s->disk.cache[g]);
      if (broken == FREE_WITHOUT_SYNC)
        {
          s->syncing = 0;
          s->settled = 1;
        }
    }
  s->slot = s->at_slot + 1;
  s->seq++;
  s->failed = 0;
  for (int g = 0; g < s->record.length; g++)
    if (s->record.mask >> g & 1)
      {
        s->pending |= (uint8_t) (1 << g);
        s->base[g] = s->record.val[g];
      }
  s->length = s->record.length;
  if (!s->note)
    made_is (s, s->tried[0], s->tried_length[0]);
  s->pc = GOES_HOME;
}

static bool
home_is_closed (const struct state *s)
{
  return s->rpc != R_AWAY && s->rpc != R_GONE && broken != HOME_BESIDE_READERS;
}

/* What is pending goes home, a granule a step, if there is no reader; true: it
   is over.  */
static bool
home_step (struct state *s)
{
  int g = 0;
  if (!s->writes_home && home_is_closed (s))
    return true;
  while (g < GRANULES && !(s->pending >> g & 1))
    g++;
  if (g < GRANULES)
    {
      image_write (&s->disk, s, g, s->base[g]);
      s->pending &= (uint8_t) ~(1 << g);
      s->base[g] = 0;
    }
  s->writes_home = s->pending != 0;
  return !s->writes_home;
}

static void
writer_over (struct state *s)
{
  memset (&s->record, 0, sizeof s->record);
  s->at_half = s->at_slot = 0;
  s->pc = s->note ? SETTLES : RUNS;
}

/* The image is synced by the writer itself.  */
static void
writer_settle (struct state *s)
{
  s->relog = s->syncing ? s->relog | s->pending : s->pending;
  s->syncing = 0;
  image_sync (&s->disk);
  s->settled = 1;
}

/* A record of what must be kept, for no other one came.  */
static void
writer_note (struct state *s)
{
  s->note = 1;
  memset (&s->record, 0, sizeof s->record);
  s->record.kind = WHOLE;
  s->record.epoch = s->epoch;
  s->record.seq = s->seq;
  s->record.length = s->length;
  s->record.first = s->first;
  writer_say_settled (s);
  s->at_half = s->half;
  s->at_slot = s->slot;
  if (s->slot > SLOTS)
    s->wrong = NO_ROOM;
  s->pc = APPENDS;
}

/* The log gets a new place, and its first record all that counts.  */
static void
move_begin (struct state *s)
{
  s->area = (uint8_t) (s->area % (AREAS - 1) + 1);
  s->epoch++;
  memset (&s->disk.log[s->area], 0, sizeof s->disk.log[0]);
  s->record.epoch = s->epoch;
  s->record.first = s->seq;
  s->at_half = s->at_slot = 0;
  if (broken != MOVED_WITHOUT_PENDING)
    writer_log_again (s, s->pending);
}

static void
super_name (struct state *s, int copy)
{
  s->disk.super[copy] = (struct super){ WHOLE, s->generation, s->area,
                                        s->epoch };
}

/* One step of the writer, which is not idle.  */
static void
writer_step (struct state *s)
{
  struct record *at = &s->disk.log[s->area].slot[s->at_half][s->at_slot];
  switch (s->pc)
    {
    case SYNCS_NEW: image_sync (&s->disk); writer_place (s); break;
    case SETTLES:
      if (s->note)
        {
          /* That was the note; now the record itself.  */
          s->note = 0;
          s->record.kind = NONE;
          s->pc = RUNS;
          break;
        }
      writer_settle (s);
      s->pc = NOTES;
      break;
    case NOTES: writer_note (s); break;
    case APPENDS: s->pc = APPENDED; break;
    case APPENDED: *at = s->record; writer_commit (s); break;
    case GOES_HOME:
      if (home_step (s))
        writer_over (s);
      break;
    case MOVES_SYNC:
      if (broken != MOVED_UNSYNCED)
        image_sync (&s->disk);
      s->syncing = 0;
      move_begin (s);
      s->generation++;
      s->pc = broken == NAMED_BEFORE_WRITTEN ? NAMES_A : MOVES_APPEND;
      break;
    case MOVES_APPEND: s->pc = MOVES_APPENDED; break;
    case MOVES_APPENDED:
      *at = s->record;
      s->pc = broken == NAMED_BEFORE_WRITTEN ? ENDED : NAMES_A;
      break;
    case NAMES_A: super_name (s, 0); s->pc = NAMES_B; break;
    case NAMES_B:
      super_name (s, 1);
      s->pc = broken == NAMED_BEFORE_WRITTEN ? MOVES_APPEND : ENDED;
      break;
    case ENDED:
      s->half = s->at_half;
      s->start = s->first = s->seq;
      s->settled = s->relog = 0;
      writer_commit (s);
      break;
    case OPENS_HOME:
      if (home_step (s))
        s->pc = RUNS;
      break;
    case SHARE_HOME:
      if (home_step (s))
        s->pc = SHARE_SYNC;
      break;
    case SHARE_SYNC:
      if (broken != SHARED_UNSYNCED)
        image_sync (&s->disk);
      s->generation++;
      s->area = 0;
      s->pc = SHARE_A;
      break;
    case SHARE_A: super_name (s, 0); s->pc = SHARE_B; break;
    case SHARE_B: super_name (s, 1); s->pc = SHARED; break;
    case SHARED: s->pc = BASE_SYNC; break;
    case BASE_SYNC:
      if (broken != BASE_UNSYNCED)
        image_sync (&s->disk);
      s->generation++;
      s->area = 1;
      s->epoch = (uint8_t) (s->epoch + (broken != OLD_EPOCH));
      s->seq = s->start = s->first = 1;
      s->half = s->slot = 0;
      s->settled = s->relog = s->syncing = s->stored = 0;
      made_is (s, s->mem, s->length);
      s->pc = BASE_A;
      break;
    case BASE_A: super_name (s, 0); s->pc = BASE_B; break;
    default: super_name (s, 1); s->pc = RUNS; break;
    }
}

/* Find the state, as whoever opens the heap does; the reader stays if there is
   one.  */
static void
writer_opens (struct state *s)
{
  const struct super *super = super_chosen (s->disk.super);
  /* Two lengths there are: the log tells, else it is the first one.  */
  struct walk w = walk_log (&s->disk.log[super->area], super,
                            GRANULES - 1);
  uint8_t val[GRANULES];
  bool no_promise = super->area == 0;
  if (super->kind != WHOLE || w.lacks > 0)
    {
      s->wrong = NO_LOG;
      return;
    }
  memcpy (val, s->disk.cache, GRANULES);
  for (int g = 0; g < GRANULES; g++)
    if (w.mask >> g & 1)
      val[g] = w.val[g];
  if (broken == LENGTH_NOT_LOGGED)
    w.length = GRANULES - 1;
  if (no_promise)
    w.length = s->made_length;
  if (!s->stored && !is_a_checkpoint (s, val, w.length))
    {
      s->wrong = OTHER_STATE;
      return;
    }
  s->pc = OPENS_HOME;
  s->area = w.area;
  s->epoch = w.epoch;
  s->half = w.half;
  s->slot = (uint8_t) (w.last > 0 ? w.slot + 1 : 0);
  s->seq = w.last + 1;
  s->start = w.last > 0 ? w.start : 1;
  s->first = w.last > 0 ? w.first : 1;
  s->length = s->mem_length = w.length;
  s->pending = w.mask;
  for (int g = 0; g < GRANULES; g++)
    {
      s->base[g] = w.mask >> g & 1 ? w.val[g] : 0;
      s->mem[g] = s->told[g] = g < w.length ? val[g] : 0;
    }
  if (broken == OPENED_AT_HOME && home_is_closed (s))
    s->pending = 0;
  s->generation = super->generation;
  made_is (s, val, w.length);
  if (no_promise)
    s->pc = BASE_SYNC;
}


/* ---- What may happen ---------------------------------------------------- */

static void
process_ends (struct state *s)
{
  s->mem_length = s->pending = s->failed = s->syncing = s->settled = 0;
  s->relog = s->note = s->at_half = s->at_slot = s->writes_home = 0;
  memset (s->base, 0, GRANULES);
  memset (s->since, 0, GRANULES);
  memset (&s->record, 0, sizeof s->record);
}

static void
reader_forgets (struct state *s)
{
  memset (s->seen_super, 0, sizeof s->seen_super);
  memset (&s->seen_log, 0, sizeof s->seen_log);
  memset (s->then, 0, sizeof s->then);
  memset (s->then_length, 0, sizeof s->then_length);
  s->n_then = 0;
}

/* States are told apart by a hash of 64 bits: of a million the odds that two
   of them have the same one are 1 to 37 million.  */
enum { TABLE = 1 << 22, STACK = 1 << 17 };
static uint64_t *seen_hash;
static struct state *stack;
static size_t n_seen, n_stack;

static void
found (const struct state *s)
{
  const unsigned char *p = (const unsigned char *) s;
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  for (size_t i = 0; i < sizeof *s; i++)
    hash = (hash ^ p[i]) * UINT64_C (0x100000001b3);
  hash = (hash ^ hash >> 29) * UINT64_C (0xbf58476d1ce4e5b9) | 1;
  size_t i = hash >> 42;
  while (seen_hash[i] != 0 && seen_hash[i] != hash)
    i = (i + 1) % TABLE;
  if (seen_hash[i] == hash)
    return;
  seen_hash[i] = hash;
  ck_assert_uint_lt (++n_seen, TABLE / 2);
  ck_assert_uint_lt (n_stack, STACK);
  stack[n_stack++] = *s;
}

/* After a kill: what is written is in the file.  */
static void
after_kill (struct state s)
{
  s.left.kills--;
  process_ends (&s);
  writer_opens (&s);
  found (&s);
}

/* After a power cut: each granule may be any of what it may be.  */
static void
after_cut (struct state s, int g)
{
  if (g < GRANULES)
    {
      uint8_t may = s.disk.may[g];
      for (uint8_t v = 0; v < 8; v++)
        if (may >> v & 1)
          {
            s.disk.cache[g] = v;
            s.disk.may[g] = (uint8_t) (1 << v);
            after_cut (s, g + 1);
          }
      return;
    }
  s.left.cuts--;
  s.rpc = s.rpc == R_AWAY ? R_AWAY : R_GONE;
  reader_forgets (&s);
  memset (&s.seen, 0, sizeof s.seen);
  memset (s.view, 0, sizeof s.view);
  s.disk.lost = 0;
  process_ends (&s);
  writer_opens (&s);
  found (&s);
}

static void
ends (const struct state *s)
{
  if (s->left.kills > 0)
    after_kill (*s);
  if (s->left.cuts > 0)
    after_cut (*s, 0);
}

/* What is being written when the process or the machine stops: the old, the new,
   or neither.  */
static void
ends_anywhere (const struct state *from)
{
  struct state s = *from;
  bool appends = s.pc == APPENDED || s.pc == MOVES_APPENDED;
  int copy = s.pc == NAMES_A || s.pc == SHARE_A || s.pc == BASE_A   ? 0
             : s.pc == NAMES_B || s.pc == SHARE_B || s.pc == BASE_B ? 1
                                                                    : -1;
  if (s.pc == SHARED || (s.left.kills == 0 && s.left.cuts == 0))
    return;
  ends (&s);
  if (appends)
    {
      struct record *r = &s.disk.log[s.area].slot[s.at_half][s.at_slot];
      *r = s.record;
      ends (&s);
      r->kind = TORN;
      r->val[0] = r->val[1] = 7;
      ends (&s);
    }
  if (copy >= 0)
    {
      super_name (&s, copy);
      ends (&s);
      s.disk.super[copy].kind = TORN;
      ends (&s);
    }
}

/* An append or a sync fails; of the record anything may be on the disk.  */
static void
fails (const struct state *from)
{
  struct state s = *from;
  if (s.left.failures == 0)
    return;
  s.left.failures--;
  if (s.pc == APPENDED)
    {
      struct record *r = &s.disk.log[s.area].slot[s.at_half][s.at_slot];
      s.failed = 1;
      s.pc = RUNS;
      memcpy (s.tried[1], s.tried[0], GRANULES);
      s.tried_length[1] = s.tried_length[0];
      s.note = 0;
      struct record record = s.record;
      bool next = broken == NEXT_PLACE_AFTER_FAILURE && s.at_half == s.half;
      s.slot += next;
      s.seq += next;
      memset (&s.record, 0, sizeof s.record);
      found (&s);
      *r = record;
      found (&s);
      r->kind = TORN;
      r->val[0] = r->val[1] = 7;
      found (&s);
    }
  else if (s.pc == SETTLES || s.pc == SYNCS_NEW || s.syncing)
    {
      for (int g = 0; g < GRANULES; g++)
        if ((s.disk.may[g] & (s.disk.may[g] - 1)) != 0)
          s.disk.lost |= (uint8_t) (1 << g);
      /* The next one finds nothing to do.  */
      if (broken != SYNC_AGAIN)
        s.pc = STOPPED;
      found (&s);
    }
}

/* The settle that is under way ends: what was there when it began is on the
   disk, or what came after it.  */
static void
settle_ends (struct state s)
{
  for (int g = 0; g < GRANULES; g++)
    if (!(s.disk.lost >> g & 1))
      s.disk.may[g] &= s.since[g];
  s.syncing = 0;
  s.settled = 1;
  found (&s);
}

static void
program_steps (const struct state *from)
{
  struct state s = *from;
  uint8_t fresh = s.count + 1;
  for (int g = 0; g < s.mem_length && s.left.checkpoints > 0; g++)
    {
      s = *from;
      if (s.mem[g] != fresh)
        {
          s.mem[g] = s.told[g] = fresh;
          found (&s);
        }
      /* Back to what it was in the beginning.  */
      s = *from;
      if (g == 0 && s.mem[g] != 0)
        {
          s.mem[g] = s.told[g] = 0;
          found (&s);
        }
    }
  s = *from;
  if (s.mem_length < GRANULES && s.left.grows > 0)
    {
      s.left.grows--;
      s.mem[s.mem_length] = s.told[s.mem_length] = fresh;
      s.mem_length++;
      found (&s);
    }
  s = *from;
  if (s.left.checkpoints > 0)
    {
      writer_capture (&s);
      found (&s);
    }
  /* The record is too large for a half.  */
  s = *from;
  if (s.left.moves > 0 && s.left.checkpoints > 0)
    {
      writer_capture (&s);
      if (s.pc != RUNS && s.pc != SYNCS_NEW)
        {
          s.left.moves--;
          s.pc = MOVES_SYNC;
          found (&s);
        }
    }
  s = *from;
  s.mem_length = s.length;
  for (int g = 0; g < GRANULES; g++)
    {
      uint8_t to = s.pending >> g & 1 && broken != ROLLBACK_TO_IMAGE
                     ? s.base[g] : s.disk.cache[g];
      s.mem[g] = s.told[g] = g < s.length ? to : 0;
    }
  if (!same (s.mem, s.made, s.length) || s.length != s.made_length)
    s.wrong = OTHER_ROLLBACK;
  found (&s);
  /* It is closed, and somebody opens it to share it.  */
  if (s.left.shares > 0)
    {
      s.left.shares--;
      process_ends (&s);
      writer_opens (&s);
      s.pc = SHARE_HOME;
      found (&s);
    }
}

/* Beside others it changes what it wants.  */
static void
shared_steps (const struct state *from)
{
  struct state s = *from;
  if (s.mem[0] != 6)
    {
      s.mem[0] = s.told[0] = 6;
      s.stored = 1;
      image_write (&s.disk, &s, 0, 6);
      found (&s);
    }
  s = *from;
  writer_step (&s);
  found (&s);
}

static void
reader_sees (const struct state *s, uint8_t val[GRANULES])
{
  for (int g = 0; g < GRANULES; g++)
    val[g] = g >= s->seen.length        ? 0
             : s->seen.mask >> g & 1    ? s->seen.val[g]
                                        : s->disk.cache[g];
}

/* Whether the superblocks and the first record of each half are as they were
   when they were read.  */
static bool
reader_is_late (const struct state *s)
{
  const struct super *super = super_chosen (s->disk.super);
  bool late = memcmp (s->seen_super, s->disk.super,
                      sizeof s->seen_super) != 0;
  for (int h = 0; h < HALVES; h++)
    late |= memcmp (&s->seen_log.slot[h][0],
                    &s->disk.log[super->area].slot[h][0],
                    sizeof (struct record)) != 0;
  return late && broken != READ_ONCE;
}

/* It has read all, and looks for the state.  */
static void
reader_finds (struct state *s)
{
  s->seen = walk_log (&s->seen_log, super_chosen (s->seen_super),
                      GRANULES - 1);
  reader_sees (s, s->view);
  bool is = is_a_checkpoint (s, s->view, s->seen.length);
  for (int i = 0; i < s->n_then; i++)
    is |= s->seen.length == s->then_length[i]
          && same (s->view, s->then[i], s->seen.length);
  if (!is || s->seen.lacks > 0)
    s->wrong = NO_CHECKPOINT;
  reader_forgets (s);
}

static void
reader_step (const struct state *from)
{
  struct state s = *from;
  const struct log *l = &s.disk.log[super_chosen (s.disk.super)->area];
  switch (s.rpc)
    {
    case R_AWAY:
      /* It waits while somebody writes home.  */
      if (s.left.readers == 0 || s.writes_home)
        return;
      s.left.readers--;
      s.rpc = R_LOCKED;
      reader_may_see (&s);
      break;
    case R_LOCKED:
      memcpy (s.seen_super, s.disk.super, sizeof s.seen_super);
      memcpy (s.seen_log.slot[0], l->slot[0], sizeof l->slot[0]);
      s.rpc = R_HALF;
      break;
    case R_HALF:
      memcpy (s.seen_log.slot[1], l->slot[1], sizeof l->slot[1]);
      s.rpc = R_READ;
      break;
    case R_READ:
      s.rpc = reader_is_late (&s) ? R_LOCKED : R_STAYS;
      if (s.rpc == R_STAYS)
        reader_finds (&s);
      break;
    case R_STAYS:
      s.rpc = R_GONE;
      memset (&s.seen, 0, sizeof s.seen);
      memset (s.view, 0, sizeof s.view);
      break;
    default:
      return;
    }
  found (&s);
}

/* What is wrong with S, or 0.  */
static int
judge (const struct state *s)
{
  uint8_t val[GRANULES];
  if (s->wrong != 0)
    return s->wrong;
  if (!same (s->mem, s->told, GRANULES))
    return OTHER_MEMORY;
  if (s->rpc != R_STAYS)
    return 0;
  reader_sees (s, val);
  return same (val, s->view, GRANULES) ? 0 : OTHER_VIEW;
}

static void
next_states (const struct state *from)
{
  struct state s = *from;
  ends_anywhere (from);
  fails (from);
  reader_step (from);
  if (s.syncing)
    settle_ends (s);
  if (s.pc == SHARED)
    shared_steps (from);
  else if (s.pc == RUNS)
    program_steps (from);
  else if (s.pc != STOPPED)
    {
      writer_step (&s);
      found (&s);
    }
}

static bool at[STEPS];

/* All states of SCENARIO: the first finding, or NULL.  */
static const char *
explore (enum scenario scenario)
{
  bool all = getenv ("MMALLOC_TEST_ALL") != NULL;
  struct state s = { .left = budgets[scenario], .pc = RUNS, .area = 1,
                     .epoch = 1, .seq = 1, .start = 1, .first = 1,
                     .length = GRANULES - 1, .mem_length = GRANULES - 1,
                     .made_length = GRANULES - 1, .generation = 1 };
  s.left.checkpoints += all;
  memset (s.disk.may, 1, GRANULES);
  super_name (&s, 0);
  super_name (&s, 1);
  if (seen_hash == NULL)
    {
      seen_hash = malloc (TABLE * sizeof *seen_hash);
      stack = malloc (STACK * sizeof *stack);
    }
  ck_assert (seen_hash != NULL && stack != NULL);
  memset (seen_hash, 0, TABLE * sizeof *seen_hash);
  n_seen = n_stack = 0;
  found (&s);
  while (n_stack > 0)
    {
      s = stack[--n_stack];
      int finding = judge (&s);
      if (finding != 0)
        return findings[finding];
      at[s.pc] = true;
      next_states (&s);
    }
  return NULL;
}


/* ---- The tests ---------------------------------------------------------- */

START_TEST (the_protocol_holds)
{
  broken = NOTHING_BROKEN;
  for (int i = 0; i < SCENARIOS; i++)
    {
      const char *finding = explore ((enum scenario) i);
      printf ("scenario %d: %zu states\n", i, n_seen);
      fflush (stdout);
      ck_assert_msg (finding == NULL, "scenario %d: %s", i, finding);
    }
  for (int pc = 0; pc < STEPS; pc++)
    ck_assert_msg (at[pc], "step %d was not seen", pc);
}
END_TEST

START_TEST (each_mutant_is_caught)
{
  const char *wanted = getenv ("MMALLOC_TEST_MUTANT");
  for (int i = 0; i < N_MUTANTS; i++)
    if (wanted == NULL || strcmp (wanted, mutants[i].name) == 0)
      {
        broken = mutants[i].rule;
        const char *finding = explore (mutants[i].scenario);
        printf ("%-44s %s\n", mutants[i].name,
                finding != NULL ? finding : "NOT CAUGHT");
        fflush (stdout);
        ck_assert_msg (finding != NULL, "%s is not caught", mutants[i].name);
      }
}
END_TEST

RUN_TESTS (the_protocol_holds, each_mutant_is_caught)
