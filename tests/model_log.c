/* model_log.c - checkpoints in all their states, with processes killed and
   power cut at any step.

   What follows is the specification of the log; the code is to be read beside
   it.

   The heap is mapped privately: what a program stores is its own until a
   checkpoint.  The file has an image of the heap, in which nothing changes but
   what a checkpoint has committed, and a log in two halves.  The log has a
   number of its own, the epoch; both superblocks name its place and epoch.

   Record.  What has changed since the last checkpoint, with a sum over all of
   it.  It has a sequence number, one more than the last, and `first', the
   number of the first record that counts: what those before it say is in the
   image, and on the disk.  It is written by one call that ends when the disk
   has it.  The state of the heap is the image with all records from first to
   the last laid over it, in their order.  To find the last one, each half is
   walked from its beginning, as long as numbers follow each other: of the two
   ends the higher one, as far as all from its first on are there.  A record
   knows the sum of the one before it as well, since a copy, or who reads beside
   the writer, may have one that failed, and then those behind another with its
   number.

   What is read is not what the disk has.  A record or a superblock whose write
   was cut off by a kill, or failed, may be there for who reads the file, and
   not after a power cut; or the other way round.  What was written into the
   image is on the disk when a sync that began later has succeeded; after one
   that failed what it should have written is read as before, no later sync
   writes it, and only who writes it again can know that the disk gets it.

   Checkpoint.
     c1  What is in memory is compared with what was committed last: in the
         image, but for pages that are pending, of which a copy is kept.  Pages
         behind the committed length no record can name yet: if they are many
         and there is no reader, they are written into the image at once, and
         synced; but not after an append that failed, since that may be on the
         disk and count them in.  Else they are logged whole: the image may have
         the same, written by one who was killed, and the disk not.
     c2  The half is full: the other one must be free, that is, first is not in
         it; see Settle.  Then the record is its first one, and its settling
         begins.  If pages are pending, or it follows an opening while records
         of the other half count, or a turn to this half that failed, the record
         is alone: the image is synced, and all that is pending is in it, also
         what the image seems to have; it is its own first.
     c3  Append.  If that fails, nothing has changed; the next record takes the
         same number and the same place.  If it needs more room than is there,
         the place is wiped first, so that nothing has its number but it.
     c4  With no reader there, whose view would change: all of it is written
         into the image, without a sync.  Else it is pending.

   Give.  What the program has freed may be anything until it is stored again,
   and no record needs to have it.  When a checkpoint in which it is free is on
   the disk and home, and nobody reads the image, it may go out of that: it is
   zero then, or is not, as with all that is written home, and has no room on
   the disk; but for what was taken again meanwhile, which was given room.  As
   what is stored there is compared with zeros, and the disk or a record that
   counts may have what was there before, the next record is alone, as in c2.
   The checkpoint's own record tells that to who comes next, no matter whether
   it went; one of Settle alone is not that next one, and tells it, too.  A sync
   that failed does not lose it, as it would what is written: that there is no
   room for it the file system has in its own records, and goes no further when
   it cannot write those.

   Settle.  A half that is full is free when the image has what it says: what is
   home when the next record, the first of the other half, is written, is synced
   by a thread, while the other half is filled.  What comes home meanwhile may
   miss that, but its records are in the other half.  With that done the next
   record says so in its first.  A half always keeps room for a record of that
   alone, for when the other is full before any other record came.  A sync that
   failed is the end of checkpoints until the heap is opened again: the system
   may call clean what it could not write.

   Too small.  A record that no half has room for goes into a new log, with an
   epoch of its own, as its first; the image is synced before, and what is
   pending is in it.  Then one superblock after the other says where that is,
   the older one first.

   Open.  The state is found as said.  Before anything is built on it, the disk
   has it, and nothing that was not seen:
     o1  the superblock that counts is written again, as it is, then the other
         one anew;
     o2  the last record is written again;
     o3  the place behind it is wiped, and the beginning of the other half,
         unless that counts: who was killed there, or had failed, may have left
         a record that the disk alone has.
   Then, with no reader there, the state is written into the image; else all of
   it is pending.  Nothing needs a sync.

   Reader.  It keeps the lock that keeps others from writing home, then looks at
   the superblocks and at the number that each half begins with, reads the log,
   and looks once more: if one has changed, a half was used again meanwhile, and
   it reads again.  Its view is the image with the records laid over it, as long
   as it stays.

   Copy.  The file is copied page by page, as long as a reader stays:
   superblocks first.  The image is one checkpoint then, and the copy has it;
   parts of the log are of later times.  So a record tells, where it begins and
   where it ends, that it left the image as it was, which was a checkpoint, and
   a log that became too small stays.  The image has the number of its record; a
   new log's superblock has one more than that.  Who opens the copy takes the
   last record, if it is not older than the image, and none of those that count
   is missing.  Else, if the log is a new one, or some record there counts from
   behind the image on, the image alone; but if any record behind the next one,
   of which there may be a part, wrote to the image, the copy is refused.  Who
   writes wipes all records behind the last one.

   Shared.  Who opens the heap to share it finds the state, writes it home,
   syncs, and takes the log out of both superblocks, one after the other.  Then
   nothing is promised, until it is opened for checkpoints again: a sync, a new
   epoch.

   What must hold in each state:

     L1  after a kill or a power cut the heap is as at the last checkpoint that
         said it was made, or as at one that was under way, or had failed,
         since;
     L2  memory is what the program stored, and after a rollback what the last
         checkpoint had; what is in use has room on the disk;
     L3  a reader's view is one checkpoint, not older than its opening, and does
         not change;
     L4  a checkpoint never waits for a reader;
     L5  a copy has one checkpoint, also one that had failed since, not older
         than the one that was home when the reader came.  It may be refused if
         an append was under way or had failed then, or if the process that
         makes checkpoints has come beside the reader.  Who goes on in it finds
         what he has added.

   Power cuts leave of all that was written into the image since the last sync
   any part, granule by granule, and of the record or superblock under way the
   old, the new or what is neither.  So do kills and failures, apart for who
   reads and for the disk.  Each mutant breaks a rule and must be found out.

   MMALLOC_TEST_MUTANT=name   tries one mutant alone
   MMALLOC_TEST_ALL=1         more checkpoints in each scenario  */

#include <stdbool.h>

#include "support.h"

enum
{
  GRANULES = 3,                /* the last one lies behind the first length */
  SLOTS = 2                    /* of a half, but for the one that is kept, at
                                  most */
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
  PLACE_NOT_WIPED,
  PENDING_BY_IMAGE,
  PENDING_AS_IMAGE,
  PENDING_FORGOTTEN,
  SETTLES_PENDING,
  SETTLED_TOO_MUCH,
  SETTLED_BY_THE_DEAD,
  ALONE_UNSYNCED,
  NEW_AS_IMAGE,
  HOME_BESIDE_READERS,
  READ_ONCE,
  ROLLBACK_TO_IMAGE,
  SYNC_AGAIN,
  LAST_RECORD_ALONE,
  LENGTH_NOT_LOGGED,
  MOVED_UNSYNCED,
  MOVED_WITHOUT_PENDING,
  NAMED_BEFORE_WRITTEN,
  NAMED_BY_READING,
  NAMED_ELSEWHERE_FIRST,
  OLD_EPOCH,
  SHARED_UNSYNCED,
  BASE_UNSYNCED,
  OPENED_AT_HOME,
  OPENED_WITHOUT_WIPING,
  LAST_NOT_AGAIN,
  KEPT_NOT_SAID,
  KEPT_ANYWAY,
  ENDS_NOT_SEEN,
  GAP_NOT_SEEN,
  OLDER_THAN_IMAGE,
  REST_STAYS,
  NAMED_AT_LAST,
  NUMBERS_ALONE,
  DIRECT_BESIDE_READERS,
  OLD_LOG_CLEARED,
  GIVEN_FIRST,
  GIVEN_BESIDE_READERS,
  GIVEN_UNSYNCED,
  GIVEN_NOT_ALONE,
  GIVEN_WITHOUT_PENDING,
  GIVEN_NOT_SAID,
  GIVEN_NOT_READ,
  GIVEN_SAID_LATE,
  GIVEN_TILL_NOTE,
  GIVEN_NOT_NOTED,
  GIVEN_TILL_FAILURE,
  GIVEN_LOST,
  GIVEN_AS_CAPTURED
};
/* With the scenario that it shows in.  */
enum scenario
{
  PLAIN, KILLS, FAILURES, GHOSTS, READERS, LOSSES, MOVES, NAMING, SHARING,
  COPIES, COPIES_TURNED, COPIES_GROWN, COPIES_KILLED, COPIES_MOVED,
  COPIES_FAILED, GIVES, GIVES_LOST, GIVES_NOTED, GIVES_FAILED, GIVES_READ,
  SCENARIOS
};
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
  { SETTLED_TOO_MUCH, PLAIN, "settled: what went home during the sync" },
  { SETTLED_BY_THE_DEAD, PLAIN, "settled: what a dead one has begun" },
  { ALONE_UNSYNCED, GHOSTS, "without those before it, unsynced" },
  { DIRECT_UNSYNCED, PLAIN, "new pages are not synced" },
  { NEW_AS_IMAGE, KILLS, "new pages as in the image are not logged" },
  { LAST_RECORD_ALONE, PLAIN, "the last record counts alone" },
  { LENGTH_NOT_LOGGED, PLAIN, "records have no length" },
  { LAST_NOT_AGAIN, KILLS, "the last record is not written again" },
  { DIRECT_AFTER_FAILURE, FAILURES, "new pages go home after a failure" },
  { NEXT_PLACE_AFTER_FAILURE, FAILURES, "a failed record keeps its place" },
  { PLACE_NOT_WIPED, FAILURES, "a failed record stays, the next is elsewhere" },
  { OPENED_WITHOUT_WIPING, GHOSTS, "opened as if no append had failed" },
  { SYNC_AGAIN, LOSSES, "a failed sync is repeated" },
  { PENDING_BY_IMAGE, READERS, "pending pages are compared with the image" },
  { PENDING_FORGOTTEN, READERS, "pending pages are not logged again" },
  { SETTLES_PENDING, READERS, "settled while pages are pending" },
  { HOME_BESIDE_READERS, READERS, "home beside readers" },
  { READ_ONCE, READERS, "the log is read once" },
  { ROLLBACK_TO_IMAGE, READERS, "rolled back to the image" },
  { OPENED_AT_HOME, READERS, "opened beside readers as if they were not" },
  { PENDING_AS_IMAGE, LOSSES, "what the image has is not logged again" },
  { MOVED_UNSYNCED, MOVES, "moved without a sync" },
  { MOVED_WITHOUT_PENDING, MOVES, "moved without what is pending" },
  { NAMED_BEFORE_WRITTEN, MOVES, "named before it is written" },
  { NAMED_BY_READING, NAMING, "a name that is read is not written again" },
  { NAMED_ELSEWHERE_FIRST, NAMING, "a name that is read is written elsewhere" },
  { OLD_EPOCH, SHARING, "a new log with the old epoch" },
  { SHARED_UNSYNCED, SHARING, "shared without a sync" },
  { BASE_UNSYNCED, SHARING, "a new log over an image not synced" },
  { KEPT_NOT_SAID, COPIES, "no record says that the image stays" },
  { OLDER_THAN_IMAGE, COPIES, "records older than the image count" },
  { ENDS_NOT_SEEN, COPIES, "ends of records are not looked for" },
  { REST_STAYS, COPIES_TURNED, "what is behind the last record stays" },
  { HOME_BESIDE_READERS, COPIES, "home beside readers, copied" },
  { SETTLES_PENDING, COPIES, "settled while pages are pending, copied" },
  { PENDING_FORGOTTEN, COPIES, "pending pages are not logged again, copied" },
  { KEPT_ANYWAY, COPIES_KILLED, "an image that is no checkpoint is kept" },
  { DIRECT_BESIDE_READERS, COPIES_GROWN, "new pages go home beside readers" },
  { OLD_LOG_CLEARED, COPIES_MOVED, "the old log does not stay" },
  { NUMBERS_ALONE, COPIES_FAILED, "records follow each other by number alone" },
  { NAMED_AT_LAST, COPIES_MOVED, "superblocks are copied last" },
  { GAP_NOT_SEEN, COPIES_KILLED, "a gap before other records is none" },
  { GIVEN_FIRST, GIVES, "given before it is committed" },
  { GIVEN_UNSYNCED, GIVES, "given, the next record unsynced" },
  { GIVEN_NOT_ALONE, GIVES, "given, the next record not alone" },
  { GIVEN_NOT_SAID, GIVES, "given, and no record says so" },
  { GIVEN_SAID_LATE, GIVES, "given, and only the next record says so" },
  { GIVEN_NOT_READ, GIVES, "given by a dead one, as if it were not" },
  { GIVEN_AS_CAPTURED, GIVES, "given though taken again meanwhile" },
  { GIVEN_LOST, GIVES_LOST, "given, and lost as what is written is" },
  { GIVEN_TILL_FAILURE, GIVES_FAILED, "given, one that failed was the next" },
  { GIVEN_TILL_NOTE, GIVES_NOTED, "given, the note is the next record" },
  { GIVEN_NOT_NOTED, GIVES_NOTED, "given, and the note does not say so" },
  { GIVEN_BESIDE_READERS, GIVES_READ, "given beside readers" },
  { GIVEN_WITHOUT_PENDING, GIVES_READ, "given, the next without the pending" },
};
enum { N_MUTANTS = sizeof mutants / sizeof mutants[0] };

static enum rule broken;

/* What is left of what may happen.  FAILURES: of writes; LOSSES: of syncs. 
   APART: what a write leaves in the file and on the disk may differ.  */
struct budget
{
  uint8_t checkpoints, kills, cuts, grows, failures, losses, readers, turns;
  uint8_t moves, shares, apart, slots, copies, gives;
};
static const struct budget budgets[SCENARIOS] = {
  [PLAIN] = { .checkpoints = 4, .kills = 1, .cuts = 1, .grows = 1, .slots = 1 },
  [KILLS] = { .checkpoints = 2, .kills = 1, .cuts = 1, .grows = 2, .apart = 1,
              .slots = 1 },
  [FAILURES] = { .checkpoints = 3, .cuts = 1, .grows = 2, .failures = 1,
                 .turns = 1, .apart = 1, .slots = 2 },
  [GHOSTS] = { .checkpoints = 3, .kills = 1, .cuts = 1, .turns = 1, .apart = 1,
               .slots = 2 },
  [READERS] = { .checkpoints = 3, .kills = 1, .cuts = 1, .readers = 1,
                .slots = 1 },
  [LOSSES] = { .checkpoints = 3, .kills = 1, .cuts = 1, .losses = 1,
               .readers = 1, .slots = 1 },
  [MOVES] = { .checkpoints = 3, .cuts = 1, .readers = 1, .moves = 1,
              .slots = 1 },
  [NAMING] = { .checkpoints = 2, .kills = 1, .cuts = 1, .failures = 1,
               .moves = 1, .apart = 1, .slots = 1 },
  [SHARING] = { .checkpoints = 3, .cuts = 1, .shares = 1, .slots = 1 },
  [COPIES] = { .checkpoints = 6, .slots = 1, .copies = 1 },
  [COPIES_TURNED] = { .checkpoints = 4, .turns = 1, .slots = 2, .copies = 1 },
  [COPIES_GROWN] = { .checkpoints = 3, .grows = 1, .slots = 1, .copies = 1 },
  [COPIES_KILLED] = { .checkpoints = 3, .kills = 1, .slots = 1, .copies = 2 },
  [COPIES_MOVED] = { .checkpoints = 3, .moves = 1, .slots = 1, .copies = 2 },
  [COPIES_FAILED] = { .checkpoints = 3, .failures = 1, .slots = 2,
                      .copies = 1 },
  [GIVES] = { .checkpoints = 3, .kills = 1, .cuts = 1, .slots = 2,
              .gives = 1 },
  [GIVES_LOST] = { .checkpoints = 3, .kills = 1, .cuts = 1, .losses = 1,
                   .slots = 1, .gives = 1 },
  [GIVES_NOTED] = { .checkpoints = 4, .kills = 1, .cuts = 1, .slots = 1,
                    .gives = 1 },
  [GIVES_FAILED] = { .checkpoints = 4, .cuts = 1, .failures = 1, .turns = 1,
                     .slots = 2, .gives = 1 },
  [GIVES_READ] = { .checkpoints = 2, .kills = 1, .cuts = 1, .readers = 1,
                   .slots = 2, .gives = 1 },
};
static int slots;              /* of this scenario */
static bool copies;            /* are made in it */
static bool gives;             /* the granule GIVEN may be free in it: then the
                                  first one has this bit */
enum { GIVEN = 1, FREE = 4 };

/* What room a record needs.  */
enum { NORMAL, TURNING, MOVING };


/* ---- The state ---------------------------------------------------------- */

/* Bytes alone, so that states can be compared.  */
enum { NONE, WHOLE, TORN };
struct record
{
  uint8_t kind, epoch, seq, first;
  uint8_t mask, length;        /* bit g: val[g] is in it */
  uint8_t val[GRANULES];
  uint8_t kept;                /* the image stays as it was */
  uint8_t id, before;          /* a sum, and that of the one before it */
  uint8_t holes;               /* the next one is alone, as GIVEN may go */
};

struct super
{
  uint8_t kind, generation, area; /* 0: no log */
  uint8_t epoch;
  uint8_t base;                /* one more than the number of the image, if that
                                  may do without records */
};

enum { AREAS = 2, HALVES = 2 };

struct log
{
  struct record slot[HALVES][SLOTS + 1];
};

/* What is written past the image, each piece by one call that ends when the
   disk has it.  */
struct pieces
{
  struct super super[2];
  struct log log[AREAS];
};

struct disk
{
  uint8_t cache[GRANULES];     /* what the file says */
  uint8_t may[GRANULES];       /* bit v: after a power cut it may be v */
  uint8_t lost;                /* granules that are clean for the system, though
                                  the disk may not have them */
  uint8_t holes;               /* granules that were given, and not written */
  uint8_t number, length;      /* what the image says of itself, if copies are
                                  made */
  struct pieces file;          /* what is read */
  struct pieces held;          /* what the disk has */
};

/* What the walk has found.  */
struct walk
{
  uint8_t area, epoch, base, first, last, id, length; /* last 0: no record */
  uint8_t half, slot;          /* where the last one is */
  uint8_t start;               /* first number in its half */
  uint8_t mask;                /* what all of them have, and what it is */
  uint8_t val[GRANULES];
  uint8_t lacks;               /* how many of them are not there */
  uint8_t holes;               /* as the last one says */
};

enum
{
  RUNS, UNDOES, SYNCS_NEW, SYNCS_ALONE, SETTLES, NOTES, APPENDS, GOES_HOME,
  MOVES_SYNC, MOVES_APPENDS, NAMES_A, NAMES_B, MOVED, OPENS_A, OPENS_B,
  OPENS_LAST, WIPES_NEXT, WIPES_OTHER, OPENS_HOME, SHARE_SYNC, SHARE_A, SHARE_B,
  SHARED, BASE_SYNC, BASE_A, BASE_B, STOPPED, STEPS
};
enum { R_AWAY, R_LOCKED, R_HALF, R_READ, R_STAYS, R_GONE };
enum { CHECKPOINTS = 12 };      /* while a reader reads, at most */
enum { TRIES = 3 };             /* that may be there */

/* Where the next record goes.  */
struct place
{
  uint8_t area, epoch, base, half, slot, start;
};

/* A copy of the file, and how far it is.  Of a record one page after the
   other is copied: HEAD and END have what they belong to.  */
struct copy
{
  uint8_t order, step;         /* 0: not begun */
  uint8_t cache[GRANULES], number, length;
  struct super super[2];
  struct log head[AREAS], end[AREAS];
};

struct state
{
  struct budget left;
  struct disk disk;
  /* The writer.  */
  uint8_t pc;
  uint8_t mem[GRANULES], mem_length;
  struct place at, old;        /* OLD: before the log moves */
  uint8_t seq, first, length;
  uint8_t last;                /* id of the last record */
  uint8_t pending;             /* not home */
  uint8_t base[GRANULES];      /* and what was committed of them */
  uint8_t number;              /* of the last record, if copies are made */
  uint8_t unread;              /* nobody read the image when it was captured;
                                  bit 1: so it is with the record that waits */
  uint8_t whole;               /* the image is a checkpoint */
  uint8_t writes_home;         /* with the lock that keeps readers out */
  uint8_t doubt;               /* what failed may be at the next place */
  uint8_t alone;               /* the next record does without those before */
  uint8_t holes;               /* as well, because GIVEN may have gone */
  uint8_t drops, gives;        /* it was freed; it goes with this checkpoint */
  uint8_t synced;              /* the image is, for that */
  uint8_t large;               /* the record goes to the other half, or MOVES */
  uint8_t syncing;             /* the settle of the other half is under way */
  uint8_t settled;             /* it is done, and no record has said so */
  uint8_t since[GRANULES];     /* values since it began */
  uint8_t note, begins;        /* the record that is written */
  struct record record, waits;  /* for the note, which is written */
  uint8_t generation, epochs;
  uint8_t shares;              /* it opens to share */
  /* The reader.  */
  uint8_t rpc;
  struct walk seen;
  struct super seen_super[2];
  struct log seen_log;
  uint8_t seen_begins[HALVES]; /* their first numbers, before that */
  uint8_t view[GRANULES];      /* what it was when it had read */
  /* What nobody knows.  */
  uint8_t made[GRANULES], made_length;   /* by the last checkpoint */
  uint8_t tried[TRIES][GRANULES], tried_length[TRIES]; /* by those since, the
                                  last one first */
  uint8_t then[CHECKPOINTS][GRANULES]; /* the last one when the reader came, and
                                  those since */
  uint8_t then_length[CHECKPOINTS], n_then;
  uint8_t imaged[GRANULES], imaged_length; /* the last one that was home */
  uint8_t beside;              /* the writer has come beside a reader, or this
                                  one beside a record */
  uint8_t told[GRANULES];      /* what the program has stored */
  uint8_t stored;              /* something, by one who shares it */
  uint8_t count;               /* of checkpoints, for new values */
  uint8_t bare;                /* GIVEN has no room on the disk */
  uint8_t wrong;
  struct copy copy;            /* last: not in all scenarios */
};

static const char *const findings[] = {
  NULL,
  "L1: another state than the last checkpoint's is found",
  "L1: the log is not whole",
  "L2: memory is not what the program stored",
  "L2: rolled back to another state",
  "L3: a reader sees no checkpoint",
  "L3: a reader's view has changed",
  "L5: a copy is no checkpoint",
  "L5: a copy is refused",
  "L5: a copy does not go on",
  "there is no room for what must be kept",
  "L2: what is in use has no room on the disk",
};
enum
{
  OTHER_STATE = 1, NO_LOG, OTHER_MEMORY, OTHER_ROLLBACK, NO_CHECKPOINT,
  OTHER_VIEW, COPY_MIXED, COPY_REFUSED, COPY_STUCK, NO_ROOM, NO_BLOCK
};

static void
image_write (struct state *s, int g, uint8_t v)
{
  struct disk *d = &s->disk;
  d->cache[g] = v;
  d->may[g] |= (uint8_t) (1 << v);
  d->lost &= (uint8_t) ~(1 << g);
  d->holes &= (uint8_t) ~(1 << g);
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

/* Whether R is the one after BEFORE: a record knows the sum of that.  */
static bool
record_follows (const struct record *before, const struct record *r)
{
  return r->seq == before->seq + 1
         && (r->before == before->id || broken == NUMBERS_ALONE);
}

/* How many records follow each other from the beginning of half H.  */
static int
walk_half (const struct log *l, int h, uint8_t epoch)
{
  int n = 0;
  while (n <= SLOTS && record_counts (&l->slot[h][n], epoch)
         && (n == 0 || record_follows (&l->slot[h][n - 1], &l->slot[h][n])))
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

/* Walk the log that SUPER names among LOGS; LENGTH: the image's own.  */
static struct walk
walk_log (const struct log *logs, const struct super *super, uint8_t length)
{
  struct walk w = { .area = super->area, .epoch = super->epoch,
                    .base = super->base, .length = length };
  int n[HALVES] = { 0, 0 }, h;
  const struct log *l = &logs[super->area != 0 ? super->area - 1 : 0];
  for (h = 0; h < HALVES && super->area != 0; h++)
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
  w.id = last->id;
  w.holes = last->holes && broken != GIVEN_NOT_READ;
  w.lacks = (uint8_t) (w.last - w.first + 1);
  if (n[!h] > 0 && !record_follows (&l->slot[!h][n[!h] - 1], &l->slot[h][0]))
    n[!h] = 0;
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

static bool
is_free (const uint8_t *val, int g)
{
  return gives && g == GIVEN && (val[0] & FREE) != 0;
}

/* The same, but for what is free.  */
static bool
alike (const uint8_t *a, const uint8_t *b, int n)
{
  if (!gives)
    return same (a, b, n);
  for (int g = 0; g < n; g++)
    if (a[g] != b[g] && !is_free (b, g))
      return false;
  return true;
}

/* Whether the first LENGTH granules are those of the last checkpoint, or of one
   that was tried.  */
static bool
is_a_checkpoint (const struct state *s, const uint8_t *val, int length)
{
  bool is = length == s->made_length && alike (val, s->made, length);
  for (int i = 0; i < TRIES; i++)
    is |= length == s->tried_length[i] && alike (val, s->tried[i], length);
  return is;
}

/* The reader, or a copy, may find VAL.  */
static void
reader_may_find (struct state *s, const uint8_t *val, uint8_t length)
{
  int i = s->n_then;
  ck_assert_int_lt (i, CHECKPOINTS);
  memcpy (s->then[i], val, GRANULES);
  s->then_length[i] = length;
  s->n_then++;
}

static void
reader_may_see (struct state *s)
{
  if (s->rpc == R_LOCKED || s->rpc == R_HALF || s->rpc == R_READ)
    reader_may_find (s, s->made, s->made_length);
}

/* VAL is the last checkpoint.  What was tried before may still be there.  */
static void
made_found (struct state *s, const uint8_t *val, uint8_t length)
{
  memcpy (s->made, val, GRANULES);
  if (length < GRANULES)
    s->made[GRANULES - 1] = 0;
  s->made_length = length;
  reader_may_see (s);
}

/* It may not.  */
static void
made_is (struct state *s, const uint8_t *val, uint8_t length)
{
  made_found (s, val, length);
  memset (s->tried, 0, sizeof s->tried);
  memset (s->tried_length, 0, sizeof s->tried_length);
}


/* ---- Writing past the image --------------------------------------------- */

/* What a write that did not end, or failed, has left, in the file as it is read
   and on the disk: the old, the new, or neither.  */
enum outcome { OLD, NEW, PARTLY, OUTCOMES };

static bool
piece_is_slot (const struct state *s)
{
  return s->pc == APPENDS || s->pc == MOVES_APPENDS || s->pc == UNDOES
         || s->pc == OPENS_LAST || s->pc == WIPES_NEXT || s->pc == WIPES_OTHER;
}

static bool
piece_is_super (const struct state *s)
{
  return s->pc == NAMES_A || s->pc == NAMES_B || s->pc == OPENS_A
         || s->pc == OPENS_B || s->pc == SHARE_A || s->pc == SHARE_B
         || s->pc == BASE_A || s->pc == BASE_B;
}

static struct record *
piece_slot (struct pieces *p, const struct state *s)
{
  struct log *l = &p->log[s->at.area - 1];
  if (s->pc == WIPES_OTHER)
    return &l->slot[!s->at.half][0];
  return &l->slot[s->at.half][s->at.slot - (s->pc == OPENS_LAST)];
}

/* Each superblock is newer than the one before it, and in the place of the
   older one; but for the one that is read, which is written again as it is.  */
static uint8_t
super_generation (const struct state *s)
{
  bool again = s->pc == OPENS_A && broken != NAMED_ELSEWHERE_FIRST;
  return (uint8_t) (s->generation + !again);
}

static void
super_write (struct pieces *p, const struct state *s, enum outcome outcome)
{
  uint8_t generation = super_generation (s);
  struct super now = { WHOLE, generation, s->at.area, s->at.epoch, s->at.base };
  struct super *to = &p->super[generation & 1];
  if (memcmp (to, &now, sizeof now) == 0)
    return;
  *to = now;
  to->kind = outcome == NEW ? WHOLE : TORN;
}

/* What S writes in this step gets into P.  */
static void
piece_write (struct pieces *p, const struct state *s, enum outcome outcome)
{
  if (outcome == OLD)
    return;
  if (piece_is_super (s))
    super_write (p, s, outcome);
  if (!piece_is_slot (s))
    return;
  struct record *to = piece_slot (p, s), from = s->record;
  if (s->pc == UNDOES || s->pc == WIPES_NEXT || s->pc == WIPES_OTHER)
    from = (struct record){ .kind = NONE };
  else if (s->pc == OPENS_LAST)
    from = *piece_slot ((struct pieces *) &s->disk.file, s);
  if (memcmp (to, &from, sizeof from) == 0)
    return;
  *to = from;
  if (outcome == PARTLY)
    {
      to->kind = TORN;
      to->val[0] = to->val[1] = 7;
    }
}

static void
piece_written (struct state *s)
{
  struct state now = *s;
  piece_write (&s->disk.file, &now, NEW);
  piece_write (&s->disk.held, &now, NEW);
  if (piece_is_super (s))
    s->generation = super_generation (&now);
}

/* The write has become FILE and HELD.  False: not in this scenario.  */
static bool
piece_ends (struct state *s, enum outcome file, enum outcome held)
{
  struct state now = *s;
  if (file != held && s->left.apart == 0)
    return false;
  if (file != held)
    s->left.apart--;
  piece_write (&s->disk.file, &now, file);
  piece_write (&s->disk.held, &now, held);
  return true;
}


/* ---- The writer --------------------------------------------------------- */

static bool
home_is_closed (const struct state *s)
{
  return s->rpc != R_AWAY && s->rpc != R_GONE && broken != HOME_BESIDE_READERS;
}

/* What was committed last, as far as the writer knows.  */
static uint8_t
writer_base (const struct state *s, int g)
{
  return s->pending >> g & 1 && broken != PENDING_BY_IMAGE ? s->base[g]
                                                           : s->disk.cache[g];
}

/* In the next record: all that is pending.  */
static void
writer_log_again (struct state *s)
{
  if (broken == PENDING_FORGOTTEN)
    return;
  for (int g = 0; g < s->length; g++)
    if (s->pending >> g & 1 && !(s->record.mask >> g & 1)
        && (broken != PENDING_AS_IMAGE || s->base[g] != s->disk.cache[g]))
      {
        s->record.mask |= (uint8_t) (1 << g);
        s->record.val[g] = s->base[g];
      }
}

/* The log goes on in its other half.  */
static void
writer_turn (struct state *s)
{
  s->at.half = !s->at.half;
  s->at.slot = 0;
  s->at.start = s->seq;
  s->settled = 0;
  s->alone = 1;
  s->begins = 1;
}

/* R says whether the next one has to be alone, because GIVEN goes with it, or
   may have gone before.  */
static void
writer_says_holes (const struct state *s, struct record *r)
{
  bool goes = s->gives && !s->note && broken != GIVEN_SAID_LATE;
  bool gone = s->holes && r->first != r->seq;
  if (broken == GIVEN_SAID_LATE)
    gone = s->holes;
  if (broken == GIVEN_NOT_NOTED && s->note)
    gone = false;
  r->holes = (goes || gone) && broken != GIVEN_NOT_SAID;
}

static void
writer_place_here (struct state *s, bool fits, bool alone)
{
  if (!fits)
    writer_turn (s);
  struct record *r = &s->record;
  r->seq = s->seq;
  r->before = s->last;
  r->first = s->first;
  if (alone && (s->alone || broken != GIVEN_WITHOUT_PENDING))
    writer_log_again (s);
  if (alone)
    r->first = s->seq;
  else if (s->settled)
    r->first = broken == SETTLED_TOO_MUCH ? s->seq : s->at.start;
  if (broken == GIVEN_NOT_ALONE && s->holes)
    r->first = s->first;
  writer_says_holes (s, r);
  s->pc = APPENDS;
}

/* The record is complete but for what is logged again; place it.  */
static void
writer_place (struct state *s)
{
  bool fits = s->large == NORMAL && s->at.slot < slots;
  bool due = s->first < s->at.start
             && !(broken == FREE_WITHOUT_RECORD && s->settled);
  bool alone = s->alone || s->holes
               || (!fits && s->pending != 0 && broken != SETTLES_PENDING);
  bool unsynced = alone && !s->synced
                  && (s->alone || broken != GIVEN_UNSYNCED);
  s->begins = 0;
  if (!fits && s->doubt && broken != PLACE_NOT_WIPED)
    s->pc = UNDOES;
  else if (!fits && (s->large == MOVING || (due && !s->settled && !s->syncing)))
    s->pc = MOVES_SYNC;
  else if (!fits && due)
    s->pc = SETTLES;
  else if (unsynced)
    s->pc = SYNCS_ALONE;
  else
    writer_place_here (s, fits, alone);
}

/* Pages behind the committed length go home at once if they are many,
   DIRECT.  */
static bool
writer_is_direct (const struct state *s, int g, bool direct)
{
  bool open = !home_is_closed (s) || broken == DIRECT_BESIDE_READERS;
  return g >= s->length && direct && open
         && (!s->doubt || broken == DIRECT_AFTER_FAILURE);
}

static bool
writer_has_changed (const struct state *s, int g)
{
  bool fresh = g >= s->length && broken != NEW_AS_IMAGE;
  if (is_free (s->mem, g) && !(s->pending >> g & 1))
    return false;
  return fresh || s->mem[g] != writer_base (s, g);
}

static void
writer_tries (struct state *s)
{
  s->left.checkpoints--;
  s->count++;
  for (int i = TRIES - 1; i > 0; i--)
    {
      memcpy (s->tried[i], s->tried[i - 1], GRANULES);
      s->tried_length[i] = s->tried_length[i - 1];
    }
  memcpy (s->tried[0], s->mem, GRANULES);
  s->tried_length[0] = s->mem_length;
  if (copies && s->rpc == R_STAYS)
    reader_may_find (s, s->mem, s->mem_length);
}

/* R says whether the image stays as it is.  */
static void
writer_says_kept (const struct state *s, struct record *r)
{
  if (!copies || broken == KEPT_NOT_SAID)
    return;
  r->kept = !(s->unread & 1) && (s->whole || broken == KEPT_ANYWAY);
}

/* What was free goes out of the image, and memory follows; but for what was
   taken again meanwhile.  */
static void
home_gives (struct state *s)
{
  s->drops = s->gives = 0;
  s->holes = 1;
  if (!is_free (s->mem, GIVEN) && broken != GIVEN_AS_CAPTURED)
    return;
  image_write (s, GIVEN, 0);
  s->disk.holes = 1 << GIVEN;
  s->bare = 1;
  if (is_free (s->mem, GIVEN))
    s->mem[GIVEN] = s->told[GIVEN] = 0;
}

/* Compare: what has changed, and what goes home at once.  */
static void
writer_capture (struct state *s, bool direct, uint8_t large)
{
  bool syncs = false;
  struct record *r = &s->record;
  s->unread = !home_is_closed (s);
  *r = (struct record){ .kind = WHOLE, .epoch = s->at.epoch,
                        .id = copies ? s->count + 1 : 0,
                        .length = s->mem_length };
  for (int g = 0; g < GRANULES && g < s->mem_length; g++)
    if (writer_is_direct (s, g, direct))
      {
        image_write (s, g, s->mem[g]);
        syncs = true;
      }
    else if (writer_has_changed (s, g))
      {
        r->mask |= (uint8_t) (1 << g);
        r->val[g] = s->mem[g];
      }
  if (r->mask == 0 && s->mem_length == s->length)
    {
      s->unread = 0;
      memset (r, 0, sizeof *r);
      return;
    }
  writer_tries (s);
  s->large = large;
  s->gives = s->drops && is_free (s->mem, GIVEN);
  if (s->gives && broken == GIVEN_FIRST)
    image_write (s, GIVEN, 0);
  writer_says_kept (s, r);
  if (broken == HOME_FIRST)
    for (int g = 0; g < GRANULES; g++)
      if (r->mask >> g & 1)
        image_write (s, g, r->val[g]);
  if (syncs && broken != DIRECT_UNSYNCED)
    s->pc = SYNCS_NEW;
  else
    writer_place (s);
}

/* The settle of the half before this one begins.  */
static void
writer_settles (struct state *s)
{
  s->syncing = broken != FREE_WITHOUT_SYNC;
  s->settled = broken == FREE_WITHOUT_SYNC;
  for (int g = 0; g < GRANULES; g++)
    s->since[g] = (uint8_t) (1 << s->disk.cache[g]);
}

/* The record is on the disk, and counts.  */
static void
writer_commit (struct state *s)
{
  const struct record *r = &s->record;
  s->first = r->first;
  if (s->first >= s->at.start)
    s->settled = 0;
  else if (s->begins)
    writer_settles (s);
  s->at.slot++;
  s->seq++;
  s->last = r->id;
  s->doubt = s->alone = s->synced = s->begins = 0;
  s->holes &= r->first != r->seq
              && (broken != GIVEN_TILL_NOTE || !s->note);
  for (int g = 0; g < r->length; g++)
    if (r->mask >> g & 1)
      {
        s->pending |= (uint8_t) (1 << g);
        s->base[g] = r->val[g];
      }
  s->length = r->length;
  if (copies)
    {
      s->pending |= 1 << GRANULES;
      s->number = r->seq;
    }
  if (!s->note)
    made_is (s, s->tried[0], s->tried_length[0]);
  s->pc = GOES_HOME;
}

/* If nothing is pending the image is the last checkpoint.  */
static void
home_is_made (struct state *s)
{
  if (!copies || s->pending != 0)
    return;
  s->whole = 1;
  memcpy (s->imaged, s->made, GRANULES);
  s->imaged_length = s->made_length;
}

/* What is pending goes home, a granule a step, if there is no reader, and then
   what is free out of it; true: it is over.  */
static bool
home_step (struct state *s)
{
  int g = 0;
  if (!s->writes_home && (home_is_closed (s) || !(s->unread & 1)))
    {
      if (s->gives && broken == GIVEN_BESIDE_READERS)
        home_gives (s);
      return true;
    }
  while (g < GRANULES && !(s->pending >> g & 1))
    g++;
  if (g < GRANULES)
    {
      image_write (s, g, s->base[g]);
      s->base[g] = 0;
    }
  else if (s->pending != 0)
    {
      s->disk.number = s->number;
      s->disk.length = s->length;
    }
  else if (s->gives && !s->note)
    home_gives (s);
  s->pending &= (uint8_t) ~(1 << g);
  s->writes_home = s->pending != 0 || (s->gives && !s->note);
  home_is_made (s);
  return !s->writes_home;
}

/* A record of what must be kept, for no other one came.  */
static void
writer_note (struct state *s)
{
  s->note = 1;
  s->unread = (uint8_t) (s->unread << 1 | (s->unread && s->pending == 0));
  s->waits = s->record;
  s->record = (struct record){ .kind = WHOLE, .epoch = s->at.epoch,
                               .seq = s->seq, .first = s->at.start,
                               .length = s->length, .before = s->last,
                               .id = copies ? 16 + s->seq : 0 };
  writer_says_kept (s, &s->record);
  if (broken == SETTLED_TOO_MUCH)
    s->record.first = s->seq;
  writer_says_holes (s, &s->record);
  if (s->at.slot > slots)
    s->wrong = NO_ROOM;
  s->pc = APPENDS;
}

/* That was the note, now the record itself; or nothing more.  */
static void
writer_over (struct state *s)
{
  bool note = s->note;
  s->record = s->waits;
  memset (&s->waits, 0, sizeof s->waits);
  s->note = 0;
  s->unread >>= 1;
  s->large &= (uint8_t) -note;
  s->gives &= (uint8_t) -note;
  s->pc = RUNS;
  if (note)
    writer_place (s);
}

/* A checkpoint has failed.  */
static void
writer_fails (struct state *s)
{
  memset (&s->record, 0, sizeof s->record);
  memset (&s->waits, 0, sizeof s->waits);
  s->note = s->large = s->begins = s->synced = s->unread = s->gives = 0;
  s->pc = RUNS;
}

/* The log gets a new place, and its first record all that counts.  */
static void
move_begin (struct state *s)
{
  s->old = s->at;
  s->syncing = s->settled = 0;
  s->at = (struct place){ .area = s->old.area % AREAS + 1, .start = s->seq,
                          .epoch = ++s->epochs };
  memset (&s->disk.file.log[s->at.area - 1], 0, sizeof (struct log));
  memset (&s->disk.held.log[s->at.area - 1], 0, sizeof (struct log));
  s->record.epoch = s->at.epoch;
  s->record.seq = s->record.first = s->seq;
  s->record.before = s->last;
  writer_says_holes (s, &s->record);
  if (broken != MOVED_WITHOUT_PENDING)
    writer_log_again (s);
}

/* Where a record may be that the disk has alone it is wiped out.  */
static void
opening_wipes (struct state *s)
{
  bool due = s->first < s->at.start;
  s->pc = s->at.slot <= slots ? WIPES_NEXT : due ? OPENS_HOME : WIPES_OTHER;
  if (broken == OPENED_WITHOUT_WIPING)
    s->pc = OPENS_HOME;
}

/* The last record may be known to the system alone.  */
static void
opening_last (struct state *s)
{
  if (s->at.slot > 0 && broken != LAST_NOT_AGAIN)
    s->pc = OPENS_LAST;
  else
    opening_wipes (s);
}

/* A step of one who opens, or shares, or is alone with the file again.  */
static void
opening_step (struct state *s)
{
  switch (s->pc)
    {
    case OPENS_A: piece_written (s); s->pc = OPENS_B; break;
    case OPENS_B: piece_written (s); opening_last (s); break;
    case OPENS_LAST: piece_written (s); opening_wipes (s); break;
    case WIPES_NEXT:
      piece_written (s);
      s->pc = s->first < s->at.start ? OPENS_HOME : WIPES_OTHER;
      break;
    case WIPES_OTHER: piece_written (s); s->pc = OPENS_HOME; break;
    case OPENS_HOME:
      if (!home_step (s))
        break;
      made_found (s, s->mem, s->length);
      home_is_made (s);
      s->unread = 0;
      s->pc = s->shares ? SHARE_SYNC : RUNS;
      break;
    case SHARE_SYNC:
      if (broken != SHARED_UNSYNCED)
        image_sync (&s->disk);
      s->at.area = 0;
      s->pc = SHARE_A;
      break;
    case SHARE_A: piece_written (s); s->pc = SHARE_B; break;
    case SHARE_B: piece_written (s); s->pc = SHARED; break;
    case SHARED: s->pc = BASE_SYNC; break;
    case BASE_SYNC:
      if (broken != BASE_UNSYNCED)
        image_sync (&s->disk);
      if (broken != OLD_EPOCH)
        s->epochs++;
      s->at = (struct place){ .area = 1, .epoch = s->epochs, .start = 1 };
      s->seq = s->first = 1;
      s->settled = s->syncing = s->stored = s->shares = 0;
      s->alone = s->doubt = s->holes = 0;
      made_is (s, s->mem, s->length);
      s->pc = BASE_A;
      break;
    case BASE_A: piece_written (s); s->pc = BASE_B; break;
    default: piece_written (s); s->pc = RUNS; break;
    }
}

/* One step of the writer, which is not idle.  */
static void
writer_step (struct state *s)
{
  switch (s->pc)
    {
    case UNDOES: piece_written (s); s->doubt = 0; writer_place (s); break;
    case SYNCS_NEW: image_sync (&s->disk); writer_place (s); break;
    case SYNCS_ALONE:
      if (broken != ALONE_UNSYNCED)
        image_sync (&s->disk);
      s->synced = 1;
      writer_place (s);
      break;
    case SETTLES: s->pc = s->syncing ? SETTLES : NOTES; break;
    case NOTES: writer_note (s); break;
    case APPENDS: piece_written (s); writer_commit (s); break;
    case GOES_HOME:
      if (home_step (s))
        writer_over (s);
      break;
    case MOVES_SYNC:
      if (broken != MOVED_UNSYNCED)
        image_sync (&s->disk);
      move_begin (s);
      s->pc = broken == NAMED_BEFORE_WRITTEN ? NAMES_A : MOVES_APPENDS;
      break;
    case MOVES_APPENDS:
      piece_written (s);
      s->pc = broken == NAMED_BEFORE_WRITTEN ? MOVED : NAMES_A;
      break;
    case NAMES_A: piece_written (s); s->pc = NAMES_B; break;
    case NAMES_B:
      piece_written (s);
      s->pc = broken == NAMED_BEFORE_WRITTEN ? MOVES_APPENDS : MOVED;
      break;
    case MOVED:
      if (broken == OLD_LOG_CLEARED)
        memset (&s->disk.file.log[s->old.area - 1], 0, sizeof (struct log));
      memset (&s->old, 0, sizeof s->old);
      writer_commit (s);
      break;
    default: opening_step (s); break;
    }
}

/* What whoever opens the heap goes on from, as walk W and VAL say.  */
static void
writer_begins (struct state *s, const struct walk *w, const uint8_t *val)
{
  bool some = w->last > 0;
  s->at = (struct place){ .area = w->area, .epoch = w->epoch, .base = w->base,
                          .half = w->half,
                          .slot = (uint8_t) (some ? w->slot + 1 : 0),
                          .start = some ? w->start : 1 };
  s->seq = w->last + 1;
  s->last = w->id;
  s->holes = w->holes;
  s->first = some ? w->first : 1;
  s->length = s->mem_length = w->length;
  s->unread = 1;
  s->whole = !some;
  s->beside |= copies && s->rpc == R_STAYS;
  s->number = copies ? w->last : 0;
  s->pending = (uint8_t) (w->mask | (copies && some) << GRANULES);
  for (int g = 0; g < GRANULES; g++)
    {
      s->base[g] = w->mask >> g & 1 ? w->val[g] : 0;
      s->mem[g] = s->told[g] = g < w->length ? val[g] : 0;
    }
  if (broken == OPENED_AT_HOME && home_is_closed (s))
    s->pending = 0;
  bool due = s->first < s->at.start;
  s->alone = due && broken != SETTLED_BY_THE_DEAD;
  s->settled = due && broken == SETTLED_BY_THE_DEAD;
}

/* Find the state, as whoever opens the heap does; the reader stays if there is
   one.  */
static void
writer_opens (struct state *s)
{
  const struct super *supers = s->disk.file.super;
  const struct super *super = super_chosen (supers);
  /* Two lengths there are: the log tells, else it is the first one.  */
  struct walk w = walk_log (s->disk.file.log, super, s->disk.length);
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
  writer_begins (s, &w, val);
  s->generation = super->generation;
  bool named = supers[0].kind == WHOLE && supers[1].kind == WHOLE
               && supers[0].area == supers[1].area
               && supers[0].epoch == supers[1].epoch;
  s->pc = OPENS_A;
  if (broken == NAMED_BY_READING && named)
    opening_last (s);
  if (no_promise)
    s->pc = BASE_SYNC;
}


/* ---- What may happen ---------------------------------------------------- */

static void
process_ends (struct state *s)
{
  s->mem_length = s->pending = s->doubt = s->alone = s->synced = s->large = 0;
  s->syncing = s->settled = s->note = s->begins = s->writes_home = 0;
  s->shares = s->unread = s->whole = s->number = 0;
  s->holes = s->drops = s->gives = 0;
  memset (s->base, 0, GRANULES);
  memset (s->since, 0, GRANULES);
  memset (&s->old, 0, sizeof s->old);
  memset (&s->record, 0, sizeof s->record);
  memset (&s->waits, 0, sizeof s->waits);
}

static void
reader_forgets (struct state *s)
{
  memset (s->seen_super, 0, sizeof s->seen_super);
  memset (&s->seen_log, 0, sizeof s->seen_log);
  memset (s->seen_begins, 0, sizeof s->seen_begins);
  memset (s->then, 0, sizeof s->then);
  memset (s->then_length, 0, sizeof s->then_length);
  s->n_then = 0;
}

/* States are told apart by a hash of 64 bits: of a million the odds that two
   of them have the same one are 1 to 37 million.  */
enum { TABLE_BITS = 20, ALL_BITS = 25, STACK = 1 << 17 };
static int table_bits;
static uint64_t *seen_hash;
static struct state *stack;
static size_t n_seen, n_stack;

static uint64_t
state_hash (const struct state *s)
{
  union { struct state s; uint64_t word[sizeof *s / 8 + 1]; } u;
  size_t bytes = copies ? sizeof *s : offsetof (struct state, copy);
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  u.word[bytes / 8] = 0;
  memcpy (&u, s, bytes);
  for (size_t i = 0; i <= bytes / 8; i++)
    {
      hash = (hash ^ u.word[i]) * UINT64_C (0x9e3779b97f4a7c15);
      hash ^= hash >> 32;
    }
  return (hash ^ hash >> 29) * UINT64_C (0xbf58476d1ce4e5b9) | 1;
}

static void
found (const struct state *s)
{
  uint64_t hash = state_hash (s);
  size_t i = hash >> (64 - table_bits), n = (size_t) 1 << table_bits;
  while (seen_hash[i] != 0 && seen_hash[i] != hash)
    i = (i + 1) % n;
  if (seen_hash[i] == hash)
    return;
  seen_hash[i] = hash;
  ck_assert_uint_lt (++n_seen, n / 2);
  ck_assert_uint_lt (n_stack, STACK);
  stack[n_stack++] = *s;
}

/* The process is dead: the next one opens what the file has.  */
static void
opens_again (struct state s)
{
  process_ends (&s);
  writer_opens (&s);
  found (&s);
}

/* After a power cut: each granule may be any of what it may be.  Who opens that
   goes on as behind a kill.  */
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
  s.disk.file = s.disk.held;
  process_ends (&s);
  writer_opens (&s);
  if (s.wrong != 0)
    found (&s);
}

/* A process or the machine stops, perhaps while something is written.  */
static void
ends_anywhere (const struct state *from)
{
  bool writes = piece_is_slot (from) || piece_is_super (from);
  if (from->pc == SHARED)
    return;
  for (enum outcome held = OLD; held < (writes ? OUTCOMES : 1); held++)
    {
      struct state s = *from;
      if (s.left.cuts > 0)
        {
          piece_write (&s.disk.held, from, held);
          after_cut (s, 0);
        }
      for (enum outcome file = OLD; file < (writes ? OUTCOMES : 1); file++)
        {
          s = *from;
          if (s.left.kills == 0 || !piece_ends (&s, file, held))
            continue;
          s.left.kills--;
          opens_again (s);
        }
    }
}

/* An append has failed.  */
static void
append_fails (struct state s)
{
  bool next = broken == NEXT_PLACE_AFTER_FAILURE && !s.begins;
  s.doubt = 1;
  s.holes &= broken != GIVEN_TILL_FAILURE;
  if (s.pc == MOVES_APPENDS)
    {
      s.at = s.old;
      s.doubt = 0;
      memset (&s.old, 0, sizeof s.old);
    }
  else if (s.pc == APPENDS)
    {
      s.at.slot += next;
      s.seq += next;
    }
  writer_fails (&s);
  found (&s);
}

/* What is being written fails: anything may be in the file and on the disk.  */
static void
write_fails (const struct state *from)
{
  for (enum outcome held = OLD; held < OUTCOMES; held++)
    for (enum outcome file = OLD; file < OUTCOMES; file++)
      {
        struct state s = *from;
        if (!piece_ends (&s, file, held))
          continue;
        if (s.pc == APPENDS || s.pc == MOVES_APPENDS || s.pc == UNDOES)
          append_fails (s);
        else if (s.pc == NAMES_A || s.pc == NAMES_B)
          {
            s.pc = STOPPED;
            found (&s);
          }
        else
          opens_again (s);
      }
}

/* A sync has failed.  The next one finds nothing to do.  */
static void
sync_fails (struct state s)
{
  s.left.losses--;
  for (int g = 0; g < GRANULES; g++)
    if ((s.disk.may[g] & (s.disk.may[g] - 1)) != 0
        && (!(s.disk.holes >> g & 1) || broken == GIVEN_LOST))
      s.disk.lost |= (uint8_t) (1 << g);
  if (broken != SYNC_AGAIN)
    s.pc = STOPPED;
  found (&s);
}

static void
fails (const struct state *from)
{
  struct state s = *from;
  if (s.left.losses > 0
      && (s.pc == SYNCS_NEW || s.pc == SYNCS_ALONE || s.pc == MOVES_SYNC
          || s.syncing))
    sync_fails (s);
  if (s.left.failures-- > 0 && (piece_is_slot (&s) || piece_is_super (&s)))
    write_fails (&s);
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

/* It makes a checkpoint: of new memory there is little or much; the record has
   room, or in the other half, or in a larger log.  */
static void
program_checkpoints (const struct state *from)
{
  for (uint8_t large = NORMAL; large <= MOVING; large++)
    for (int direct = 0; direct <= (from->mem_length > from->length); direct++)
      {
        struct state s = *from;
        if ((large == TURNING && (s.left.turns == 0 || s.at.slot == 0))
            || (large == MOVING && s.left.moves == 0))
          continue;
        s.left.turns = (uint8_t) (s.left.turns - (large == TURNING));
        s.left.moves = (uint8_t) (s.left.moves - (large == MOVING));
        writer_capture (&s, direct != 0, large);
        if (s.pc != RUNS)
          found (&s);
      }
}

/* What the program stores into its first granule is new or what was there in
   the beginning, elsewhere it is new.  */
static void
program_stores (struct state *s, int what)
{
  uint8_t fresh = s->count + 1;
  if (what == 1 || what == 4)
    s->mem[0] = s->told[0] = fresh;
  if (what == 2)
    s->mem[0] = s->told[0] = 0;
  if (what == 3 || what == 4)
    s->mem[1] = s->told[1] = fresh;
}

/* New memory gets something new, or what the file has there: one who was killed
   had done the same.  False: there is none.  */
static bool
program_grows (struct state *s, bool again)
{
  uint8_t g = s->mem_length, fresh = s->count + 1;
  if (g == GRANULES || s->left.grows == 0
      || (again && s->disk.cache[g] == fresh))
    return false;
  s->left.grows--;
  s->mem[g] = s->told[g] = again ? s->disk.cache[g] : fresh;
  s->mem_length++;
  return true;
}

/* The number of the next checkpoint, so that each one differs from the last,
   and whether GIVEN is free.  */
static void
program_says (struct state *s, bool freed)
{
  s->mem[0] = s->told[0] = (uint8_t) ((s->count + 1) % FREE + freed * FREE);
}

/* It was freed, and is in use again: with zeros, or something new.  */
static void
program_takes (struct state *s, uint8_t what)
{
  program_says (s, false);
  s->mem[GIVEN] = s->told[GIVEN] = what;
  s->bare = 0;
}

/* Nothing else is stored; or GIVEN is, taken if it was free; or it is taken,
   with zeros; or freed, and something else is stored.  */
static void
program_stores_or_frees (struct state *s, int what)
{
  bool freed = is_free (s->mem, GIVEN);
  uint8_t fresh = s->count + 2;
  if (what == 0)
    program_says (s, freed);
  if (what == 1)
    program_takes (s, fresh);
  if (what == 2 && freed)
    program_takes (s, 0);
  if (what == 2 && !freed)
    {
      program_says (s, true);
      s->mem[2] = s->told[2] = fresh;
      s->drops = 1;
    }
}

/* It stores something, and makes a checkpoint.  */
static void
program_goes_on (const struct state *from)
{
  /* Beside copies, in turns.  */
  static const int turns[] = { 4, 1, 3 };
  int only = turns[from->count % 3];
  for (int what = copies ? only : 0; what <= (copies ? only : 4); what++)
    for (int grows = 0; grows < 3; grows++)
      {
        struct state s = *from;
        program_stores (&s, what);
        if (grows == 0 || program_grows (&s, grows == 2))
          program_checkpoints (&s);
      }
}

/* As well, where memory is freed.  */
static void
program_frees_on (const struct state *from)
{
  for (int what = 0; what < 3; what++)
    {
      struct state s = *from;
      program_stores_or_frees (&s, what);
      program_checkpoints (&s);
    }
}

/* Threads run while a checkpoint is committed.  */
static void
taken_meanwhile (struct state s)
{
  program_takes (&s, 0);
  found (&s);
}

static void
program_rolls_back (struct state s)
{
  s.mem_length = s.length;
  for (int g = 0; g < GRANULES; g++)
    {
      uint8_t to = s.pending >> g & 1 && broken != ROLLBACK_TO_IMAGE
                     ? s.base[g] : s.disk.cache[g];
      s.mem[g] = s.told[g] = g < s.length ? to : 0;
    }
  if (!alike (s.mem, s.made, s.length) || s.length != s.made_length)
    s.wrong = OTHER_ROLLBACK;
  found (&s);
}

static void
program_steps (const struct state *from)
{
  struct state s = *from;
  if (s.left.checkpoints > 0 && gives)
    program_frees_on (from);
  else if (s.left.checkpoints > 0)
    program_goes_on (from);
  program_rolls_back (s);
  /* It is closed, and somebody opens it to share it.  */
  if (s.left.shares > 0)
    {
      s.left.shares--;
      process_ends (&s);
      writer_opens (&s);
      s.shares = 1;
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
      image_write (&s, 0, 6);
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

static const struct log *
reader_log (const struct state *s)
{
  return &s->disk.file.log[super_chosen (s->disk.file.super)->area - 1];
}

/* Whether the log has moved, or a half was begun anew, since it was read.  */
static bool
reader_is_late (const struct state *s)
{
  const struct super *was = super_chosen (s->seen_super);
  const struct super *is = super_chosen (s->disk.file.super);
  bool late = was->area != is->area || was->epoch != is->epoch;
  for (int h = 0; h < HALVES; h++)
    late |= s->seen_begins[h] != reader_log (s)->slot[h][0].seq;
  return late && broken != READ_ONCE;
}

/* It has read all, and looks for the state.  */
static void
reader_finds (struct state *s)
{
  struct super super = *super_chosen (s->seen_super);
  super.area = 1;
  s->seen = walk_log (&s->seen_log, &super, s->disk.length);
  reader_sees (s, s->view);
  bool is = is_a_checkpoint (s, s->view, s->seen.length);
  for (int i = 0; i < s->n_then; i++)
    is |= s->seen.length == s->then_length[i]
          && alike (s->view, s->then[i], s->seen.length);
  if (!is || s->seen.lacks > 0)
    s->wrong = NO_CHECKPOINT;
  reader_forgets (s);
}

static void
reader_step (const struct state *from)
{
  struct state s = *from;
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
      memcpy (s.seen_super, s.disk.file.super, sizeof s.seen_super);
      for (int h = 0; h < HALVES; h++)
        s.seen_begins[h] = reader_log (&s)->slot[h][0].seq;
      memcpy (s.seen_log.slot[0], reader_log (&s)->slot[0],
              sizeof s.seen_log.slot[0]);
      s.rpc = R_HALF;
      break;
    case R_HALF:
      memcpy (s.seen_log.slot[1], reader_log (&s)->slot[1],
              sizeof s.seen_log.slot[1]);
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



/* ---- Copies ------------------------------------------------------------- */

/* Superblocks, image, log, as in the file of a small heap; or the image
   last, and the second half of the log before the first; or the superblocks
   last.  */
enum { FORWARDS, IMAGE_LAST, HALVES_BACKWARDS, SUPERS_LAST, ORDERS };

/* Pages of logs.  */
static int
copy_pages (const struct state *s)
{
  return s->left.copies * HALVES * (slots + 1) * 2;
}

/* One page of the log, number N: where a record begins, or ends.  */
static void
copy_page (struct state *s, int n, bool backwards)
{
  int last = n % 2, slot = n / 2 % (slots + 1), area = 0;
  int half = n / 2 / (slots + 1) % HALVES;
  area = n / 2 / (slots + 1) / HALVES;
  if (backwards)
    half = !half;
  const struct pieces *file = &s->disk.file;
  struct log *to = last ? s->copy.end : s->copy.head;
  to[area].slot[half][slot] = file->log[area].slot[half][slot];
}

static void
copy_image (struct state *s, int n)
{
  struct copy *c = &s->copy;
  if (n == 0)
    c->cache[0] = s->disk.cache[0];
  else
    {
      memcpy (c->cache + 1, s->disk.cache + 1, GRANULES - 1);
      c->number = s->disk.number;
      c->length = s->disk.length;
    }
}
/* Of what was copied: what a record has of which both pages are its own.  */
static void
copy_logs (const struct copy *c, struct log logs[AREAS])
{
  memcpy (logs, c->head, sizeof c->head);
  for (int i = 0; i < AREAS * HALVES * (SLOTS + 1); i++)
    {
      int slot = i % (SLOTS + 1), half = i / (SLOTS + 1) % HALVES;
      int area = i / (SLOTS + 1) / HALVES;
      struct record *r = &logs[area].slot[half][slot];
      if (memcmp (r, &c->end[area].slot[half][slot], sizeof *r) != 0)
        r->kind = TORN;
    }
}

/* What lies in the log behind record LAST.  */
struct rest
{
  int behind, written, first;
};

static void
rest_see (struct rest *rest, const struct record *r, uint8_t epoch, int last)
{
  if (r->kind == NONE || r->epoch != epoch || r->seq <= last)
    return;
  rest->behind++;
  rest->written += !r->kept;
  rest->first = rest->first > r->first ? rest->first : r->first;
}

static struct rest
rest_find (const struct copy *c, const struct super *super, int last)
{
  struct rest rest = { .behind = 0 };
  for (int half = 0; half < HALVES; half++)
    for (int slot = 0; slot <= slots; slot++)
      {
        rest_see (&rest, &c->head[super->area - 1].slot[half][slot],
                  super->epoch, last);
        if (broken != ENDS_NOT_SEEN)
          rest_see (&rest, &c->end[super->area - 1].slot[half][slot],
                    super->epoch, last);
      }
  return rest;
}

/* Whoever opens the copy to write goes on behind W with a record, HERE or in
   the other half: that is the last one then.  */
static bool
copy_goes_on (struct log logs[AREAS], const struct walk *w, int last, bool here)
{
  struct log *l = &logs[w->area - 1];
  int half = here ? w->half : !w->half, slot = !here || w->last == 0 ? 0
                                               : w->slot + 1;
  if (slot > slots || (!here && (w->last == 0 || w->first < w->start)))
    return true;
  for (int h = 0; h < HALVES; h++)
    for (int i = 0; i <= slots && broken != REST_STAYS; i++)
      if (l->slot[h][i].seq > last)
        l->slot[h][i] = (struct record){ .kind = NONE };
  uint8_t seq = (uint8_t) (last + 1);
  l->slot[half][slot] = (struct record){
    .kind = WHOLE, .epoch = w->epoch, .seq = seq,
    .first = w->last == 0 ? seq : w->first, .before = w->id
  };
  struct super super = { .area = w->area, .epoch = w->epoch };
  struct walk now = walk_log (logs, &super, 0);
  return now.last == seq && now.lacks == 0;
}

/* The copy is opened: what is found, or 0.  */
static int
copy_opens (struct state *s)
{
  const struct copy *c = &s->copy;
  const struct super *super = super_chosen (c->super);
  struct log logs[AREAS];
  copy_logs (c, logs);
  struct walk w = walk_log (logs, super, c->length);
  bool whole = w.last != 0 && w.lacks == 0
               && (w.last >= c->number || broken == OLDER_THAN_IMAGE);
  bool base = super->base == c->number + 1;
  int last = whole ? w.last + 1 : base ? c->number + 1 : c->number;
  struct rest rest = rest_find (c, super, last);
  bool refused = !whole && !base && rest.first <= c->number;
  if (refused || (rest.written > 0 && broken != GAP_NOT_SEEN))
    return s->beside ? 0 : COPY_REFUSED;
  uint8_t val[GRANULES];
  if (!whole)
    w = (struct walk){ .area = w.area, .epoch = w.epoch, .length = c->length };
  for (int g = 0; g < GRANULES; g++)
    val[g] = w.mask >> g & 1 ? w.val[g] : c->cache[g];
  bool is = false;
  for (int i = 0; i < s->n_then; i++)
    is |= w.length == s->then_length[i] && same (val, s->then[i], w.length);
  if (!is)
    return COPY_MIXED;
  struct log again[AREAS];
  memcpy (again, logs, sizeof again);
  last = whole ? w.last : c->number;
  bool on = copy_goes_on (again, &w, last, true)
            && copy_goes_on (logs, &w, last, false);
  return on ? 0 : COPY_STUCK;
}

/* Where the parts of the file come in each order.  */
static void
copy_part (struct state *s, int step)
{
  int logs = copy_pages (s), order = s->copy.order;
  int super = order == SUPERS_LAST ? logs + 2 : 0;
  int image = order == FORWARDS ? 2 : order == SUPERS_LAST ? logs : logs + 2;
  int log = order == FORWARDS ? 4 : order == SUPERS_LAST ? 0 : 2;
  if (step >= super && step < super + 2)
    s->copy.super[step - super] = s->disk.file.super[step - super];
  else if (step >= image && step < image + 2)
    copy_image (s, step - image);
  else
    copy_page (s, step - log, order >= HALVES_BACKWARDS);
}

/* A reader comes, and the copy begins; or the next part of it is made.  */
static void
copy_step (const struct state *from)
{
  uint8_t orders = broken == NAMED_AT_LAST ? ORDERS : ORDERS - 1;
  for (uint8_t i = 0; i < orders && from->rpc == R_AWAY && !from->writes_home;
       i++)
    {
      struct state s = *from;
      s.rpc = R_STAYS;
      s.copy.order = i;
      s.beside |= s.unread | s.doubt;
      reader_may_find (&s, s.imaged, s.imaged_length);
      reader_may_find (&s, s.made, s.made_length);
      for (int k = 0; k < TRIES; k++)
        if (s.tried_length[k] != 0)
          reader_may_find (&s, s.tried[k], s.tried_length[k]);
      found (&s);
    }
  if (from->rpc == R_STAYS)
    {
      struct state s = *from;
      copy_part (&s, s.copy.step++);
      bool done = s.copy.step == copy_pages (&s) + 4;
      if (done)
        s.wrong = (uint8_t) copy_opens (&s);
      if (!done || s.wrong != 0)
        found (&s);
    }
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
  if (s->bare && !is_free (s->mem, GIVEN))
    return NO_BLOCK;
  if (s->rpc != R_STAYS || copies)
    return 0;
  reader_sees (s, val);
  return alike (val, s->view, GRANULES) ? 0 : OTHER_VIEW;
}

static void
next_states (const struct state *from)
{
  struct state s = *from;
  ends_anywhere (from);
  fails (from);
  if (copies)
    copy_step (from);
  else
    reader_step (from);
  if (s.syncing)
    settle_ends (s);
  if (s.gives && is_free (s.mem, GIVEN))
    taken_meanwhile (s);
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

/* What SCENARIO begins with.  */
static struct state
first_state (enum scenario scenario)
{
  struct budget left = budgets[scenario];
  slots = left.slots;
  copies = left.copies != 0;
  gives = left.gives != 0;
  const struct super a = { WHOLE, 2, 1, 1, .base = copies },
                     b = { WHOLE, 1, 1, 1, .base = a.base };
  uint8_t length = gives ? GRANULES : GRANULES - 1;
  struct state s = { .left = left, .pc = RUNS, .seq = 1,
                     .at = { .area = 1, .epoch = 1, .start = 1 }, .first = 1,
                     .length = length, .mem_length = length,
                     .made_length = length, .generation = 2,
                     .epochs = 1, .whole = 1, .disk.length = length };
  s.at.base = copies;
  s.imaged_length = copies ? length : 0;
  s.disk.cache[GIVEN] = gives;
  s.mem[GIVEN] = s.told[GIVEN] = s.made[GIVEN] = gives;
  for (int g = 0; g < GRANULES; g++)
    s.disk.may[g] = (uint8_t) (1 << s.disk.cache[g]);
  s.disk.file.super[0] = s.disk.held.super[0] = a;
  s.disk.file.super[1] = s.disk.held.super[1] = b;
  return s;
}

/* All states of SCENARIO: the first finding, or NULL.  */
static const char *
explore (enum scenario scenario)
{
  bool all = getenv ("MMALLOC_TEST_ALL") != NULL;
  struct state s = first_state (scenario);
  s.left.checkpoints += all;
  table_bits = all ? ALL_BITS : TABLE_BITS;
  size_t bytes = sizeof *seen_hash << table_bits;
  if (seen_hash == NULL)
    {
      seen_hash = malloc (bytes);
      stack = malloc (STACK * sizeof *stack);
    }
  ck_assert (seen_hash != NULL && stack != NULL);
  memset (seen_hash, 0, bytes);
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
