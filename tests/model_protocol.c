/* model_protocol.c - every interleaving of the own/rem/retire protocol.

   The life of small blocks rests on a few words in memory that several threads
   change without a lock, and on the claim that a thread may be killed between
   any two of its steps.  Here the protocol is written down once more, as a
   machine in which each step is one access to shared memory, and all states
   that a few threads can bring it into are visited, kills included.

   What is modelled: one page of two words of blocks; its head, its word
   `foreign', and its two links; the heap lock with the claim record and the
   handler for a lock whose holder died; streams, which can be inherited, each
   with its list of partial pages, its queue of others' frees and the page in
   its bin; and, private to each thread, its avail word and what it has loaded.
   Beside it runs a ghost: who holds each block, as the program sees it.

   In each state must hold:

     M1  block i is live, own[i] != rem[i], if and only if the ghost says that
         somebody holds it or that it leaked; so none is handed out twice and
         none that is held is lost;
     M2  each kill leaks at most one block;
     M3  own is stored by the page's owner only;
     M4  a page becomes free only with its bits equal and no block held;
     M5  a legal free is never reported; a free of a block that is free when
         the call starts is, unless the block is handed out during the call;
         of two overlapping frees of one block one is, or the block leaks,
         unless it is handed out or its page is retired during the call;
     M6  CLAIMED implies the claim record and a held lock;
     M7  while foreign is 0, so is rem;
     M8  the bits of no block differ, so that the bits of a word whose blocks
         are all live do, all of them.

   And in each final state:

     M9  a page with a free block is in its owner's bin, on its list or in its
         queue.  Excused are a kill amid the hints; a free by the owner, or a
         malloc, in the moment between another's change of rem and its second
         look at own; a hint given to the stream that had the page a moment
         ago; and a page taken from the list in the moment in which it is
         CLAIMED;
     M10 the survivors, running alone, find every free block after a sweep,
         hints or not, free every block and retire the page: nothing is stuck.

   Left out: chains of several pages (a link is 0 or not), and that a sweep lets
   go of the heap lock now and then.

   Steps interleave as if memory were sequentially consistent.  The arrows that
   a real machine needs besides:

     free, others    rem RMW (release)      -> refill's load of rem (acquire):
                     the freer's last use of the block comes before the next
                     user's first; and -> the claimer's load of rem (acquire):
                     the same, when the page is cut anew;
     foreign         needs no arrow of its own.  Who reads 0 although rem has
                     changed takes blocks for live that are free, no more:
                     a block whose bit of rem is 1 is live only if some owner
                     read foreign 1 before it handed the block out, and
                     whoever has the page, the pointer or the lock since comes
                     after that, so reads 1 as well;
     free, owner     store of own (release) -> the claimer's load of own
                     (acquire), likewise; to the owner itself program order;
     new page        store of the head ACTIVE (release), after own and rem
                     -> whoever frees its first block: ordered by the way the
                     pointer took, so relaxed loads of head and own suffice
     drop            store of the head HELD (release) -> claimer's CAS to
                     CLAIMED (acquire)
     take back       CAS to ACTIVE (acquire) <- claimer's store of HELD and
                     adopter's store of HELD (release)
     lock area       claim is stored before the CAS to CLAIMED and cleared
                     after the head is decided, both in program order, which a
                     kill respects; between live threads the lock orders it.

   Each mutant breaks one rule, and the model must find a state that is wrong:
   a checker that cannot fail proves nothing.  With MMALLOC_TEST_TRACE set the
   way to the first wrong state is printed.  */

#include <stdbool.h>

#include "support.h"

enum
{
  N_WORDS = 2,                 /* words of the page */
  WORD_BITS = 2,               /* most blocks in one word */
  N_BLOCKS = N_WORDS * WORD_BITS,
  ALL_LIVE = (1 << WORD_BITS) - 1, /* a word of which nothing is free */
  N_ACTORS = 3,                /* threads that take part */
  SURVIVOR = N_ACTORS,         /* one that runs only when all is over */
  N_THREADS = N_ACTORS + 1,
  N_STREAMS = 3,
  SURVIVOR_STREAM = N_STREAMS - 1,
  NONE = 3,                    /* no stream */
  MAX_NEXT = 16                /* most ways to go on for one thread */
};

/* What a thread may do.  */
enum
{
  CAN_MALLOC = 0x01,
  CAN_FREE = 0x02,             /* blocks it allocated or was handed */
  CAN_DROP = 0x04,             /* take the page out of its bin at any time */
  CAN_SWEEP = 0x08,
  CAN_ADOPT = 0x10,
  CAN_INHERIT = 0x20,          /* go on with the stream of a dead thread */
  CAN_FREE_AGAIN = 0x40        /* free once more what it freed */
};

enum rule
{
  NOTHING_BROKEN,
  RETIRE_WITHOUT_CLAIMED,
  RETIRE_LOOKS_BEFORE_CLAIMED,
  RETIRE_LOOKS_AT_ONE_WORD,
  CLAIM_WRITTEN_LATE,
  CLAIM_CLEARED_EARLY,
  RECOVERY_SKIPS_CLAIM,
  RECOVERY_RETIRES,
  OWN_STORED_BY_OTHERS,
  REM_STORED_NOT_RMW,
  AVAIL_KEPT_AFTER_DROP,
  TAKE_BACK_BY_STORE,
  RMW_RESULT_UNCHECKED,
  OWNER_UNCHECKED,
  HEAD_BEFORE_WORDS,
  NEW_PAGE_CLEARS_REM,
  NEW_PAGE_CLEARS_FOREIGN,
  NEW_PAGE_KEEPS_LINKS,
  NO_BLOCK_IS_FREE,
  FOREIGN_NEVER_SET,
  FOREIGN_SET_LATE,
  OWN_NOT_READ_AGAIN,
  OWNER_DOES_NOT_LIST,
  OTHERS_DO_NOT_PUSH,
  DROP_DOES_NOT_LIST,
  POP_KEEPS_LINK,
  DRAIN_KEEPS_LINK,
  SWEEP_KEEPS_LINKS,
  SWEEP_FORGETS_ACTIVE,
  INHERIT_WITHOUT_HOLD,
  ADOPT_WITHOUT_DRAIN,
  ADOPT_FROM_THE_LIVING,
  INHERIT_WITHOUT_LOCK,
  REM_NOT_RELEASED,
  OWN_NOT_RELEASED
};


/* ---- The state ---------------------------------------------------------- */

enum head { FREE, HELD, ACTIVE, CLAIMED };

/* Where a thread stands: before the step so called.  The comments say which
   access to shared memory the step is; the rest of it is private.  */
enum pc
{
  IDLE,
  M_REM,        /* malloc: load rem of the word at hand, and own, which nobody
                   else stores: now avail is known */
  M_LOAD,       /* load own */
  M_STORE,      /* store own with the bit changed: the block is live */
  M_GIVE,       /* store the pointer where some thread finds it */
  M_POP,        /* unlink the first page of the list */
  M_TAKE,       /* CAS its head, HELD -> ACTIVE */
  M_PEEK,       /* load the head: what is to be done without a hint? */
  M_USE,        /* store the number of the page in the bin */
  P_COOL,       /* the page leaves its bin: clear that number */
  P_DROP,       /* store the head HELD */
  Q_DRAIN,      /* exchange the queue with nothing */
  Q_UNLINK,     /* exchange the page's link in the queue with 0 */
  L_HEAD,       /* list the page: load the head */
  L_LINK,       /* store its link, unless it has one, and its number in the
                   list, which nobody else stores */
  F_HEAD,       /* free: load the head */
  O_OWN,        /* the owner: load own */
  O_REM,        /* load rem */
  O_STORE,      /* store own: the block is free */
  X_OWN,        /* another: load own */
  X_FOREIGN,    /* load foreign, and set it if it is 0 */
  X_RMW,        /* fetch_or or fetch_and on rem: the block is free */
  X_AGAIN,      /* load own again: were all blocks live? */
  X_LINK,       /* CAS the page's link in the queue from 0 */
  X_PUSH,       /* put the page in the owner's queue */
  F_LATE,       /* use the block (only if an arrow is missing) */
  LOCK,
  N_HEAD,       /* new page: load the head */
  N_WORD,       /* load rem, which nobody changes in a free page ... */
  N_STORE,      /* ... and store own so that all blocks are free */
  N_LINKS,      /* clear the links */
  N_HEADED,     /* store the head ACTIVE */
  S_CLEAR,      /* sweep: empty the lists and queues */
  R_HEAD,       /* load the head */
  S_HELD,       /* if it is ACTIVE and nobody's, store it HELD */
  R_CLAIM,      /* retire: store the claim record */
  R_CAS,        /* CAS the head HELD -> CLAIMED */
  R_OWN,        /* load own */
  R_REM,        /* load rem */
  R_DECIDE,     /* store the head FREE or HELD */
  R_CLEAR,      /* clear the claim record */
  S_LINKS,      /* clear the links */
  S_LOOK,       /* load own and rem: is it to be listed? */
  V_CLAIM,      /* the lock's holder died: load the claim record */
  V_HEAD,       /* load the head */
  V_HELD,       /* if it is CLAIMED, store it HELD */
  A_ACTIVE,     /* exchange the number of the page in a dead one's bin */
  A_HELD,       /* store its head HELD */
  A_POP,        /* adopt: unlink the first page of the list */
  A_HEAD,       /* load the head */
  A_STORE,      /* store it with this thread's stream */
  I_STORE,      /* inherit: store this thread as the holder of the stream */
  UNLOCK,
  N_PCS
};

static const char *const pc_name[N_PCS] =
{
  "idle", "malloc: load rem", "malloc: load own", "malloc: store own",
  "malloc: store the pointer", "malloc: pop the list",
  "malloc: take back", "malloc: look at head", "malloc: store active",
  "drop: clear active", "drop: store HELD", "drain: take the queue",
  "drain: clear link", "list: load head", "list: store link",
  "free: load head", "owner's free: load own",
  "owner's free: load rem", "owner's free: store own", "free: load own",
  "free: set foreign", "free: change rem",
  "free: load own again", "push: link", "push: queue", "free: use the block",
  "lock", "new page: load head", "new page: load rem", "new page: store own",
  "new page: clear links", "new page: store head", "sweep: clear lists",
  "sweep: load head", "sweep: store HELD", "retire: store claim",
  "retire: CLAIMED", "retire: load own", "retire: load rem",
  "retire: decide", "retire: clear claim", "sweep: clear links",
  "sweep: look for room", "recover: load claim", "recover: load head",
  "recover: store head", "hold: clear active", "hold: store HELD",
  "adopt: pop the list", "adopt: load head", "adopt: store head",
  "inherit: store holder", "unlock"
};

/* What the lock was taken for.  */
enum why { FOR_NEW, FOR_SWEEP, FOR_ADOPT, FOR_INHERIT };

/* Where a thread goes on when the page is listed.  */
enum then { THEN_IDLE, THEN_POP, THEN_LOCK, THEN_DRAIN, THEN_ADOPT,
            THEN_UNLOCK };

/* What the ghost knows of a free that is under way.  */
enum legality
{
  LEGAL,
  AGAIN,        /* the block was free when the call started */
  SHARED        /* another thread has the same pointer and frees it as well */
};

struct thread
{
  unsigned int pc;
  unsigned int left;           /* operations it may still start */
  unsigned int dead;
  unsigned int stream;
  unsigned int in_bin;         /* the page is in its bin */
  unsigned int word;           /* the word at hand, and the one of avail */
  unsigned int avail;
  unsigned int block;          /* the block at hand */
  unsigned int own, rem;       /* as loaded */
  unsigned int owner;          /* of the head as loaded */
  unsigned int keep;           /* a live block was seen */
  unsigned int ours;           /* the streams whose lists it may store */
  unsigned int why, then;
  unsigned int in_malloc;      /* goes on with malloc after the unlock */
  unsigned int recovering;
  unsigned int legality;
  unsigned int stale;          /* 1 + a block it has freed, or will free though
                                  another does */
};

/* The ghost of a block: free, leaked, held by a thread, or in the hands of a
   call of a thread.  */
enum { NOBODY, LEAKED, HELD_BY, IN_CALL_OF = HELD_BY + N_THREADS };
enum { SHARING_OVER = N_BLOCKS + 1 };

struct state
{
  unsigned int head, owner;
  unsigned int own[N_WORDS], rem[N_WORDS], foreign;
  unsigned int link, qlink;    /* on a list, in a queue, for all it knows */
  unsigned int claim;
  unsigned int lock;           /* 1 + the thread that has it */
  unsigned int holder[N_STREAMS];
  unsigned int first[N_STREAMS], queue[N_STREAMS], active[N_STREAMS];
  unsigned int ghost[N_BLOCKS];
  unsigned int kills;
  unsigned int excused;        /* a block leaked by two overlapping frees */
  unsigned int unhinted;       /* a hint may have been lost */
  unsigned int shared;         /* 1 + a block that two threads will free; then
                                  SHARING_OVER */
  struct thread thread[N_THREADS];

  /* About the step that led here, not part of the state.  */
  const char *wrong;
  int undefined;               /* the program's mistake had its effect */
};

struct scenario
{
  const char *name;
  unsigned int valid[N_WORDS]; /* which bits of the words are blocks */
  unsigned int kills;
  int share;                   /* thread 2 frees the first block as well */
  struct { unsigned int stream, roles, left; } actor[N_ACTORS];
};

static const struct scenario *scene;
static enum rule broken;

static bool
is_broken (enum rule rule)
{
  return broken == rule;
}

static unsigned int
word_of (unsigned int block)
{
  return block / WORD_BITS;
}

static unsigned int
bit_of (unsigned int block)
{
  return 1u << block % WORD_BITS;
}

static bool
is_block (unsigned int block)
{
  return (scene->valid[word_of (block)] & bit_of (block)) != 0;
}

static bool
is_live (const struct state *s, unsigned int block)
{
  unsigned int w = word_of (block);
  return ((s->own[w] ^ s->rem[w]) & bit_of (block)) != 0;
}

/* Some thread is inside of a free of the block that it should not have called,
   and has not changed it yet.  */
static bool
misuse_is_under_way (const struct state *s, unsigned int block)
{
  for (unsigned int t = 0; t < N_THREADS; t++)
    {
      const struct thread *th = &s->thread[t];
      if (th->pc >= F_HEAD && th->pc <= X_RMW
          && th->block == block && th->legality != LEGAL)
        return true;
    }
  return false;
}

/* Nobody uses stream T any more.  A thread that is found dead stays so.  */
static bool
is_orphan (const struct state *s, unsigned int stream)
{
  return s->thread[s->holder[stream]].dead;
}


/* ---- Packing ------------------------------------------------------------ */

enum { PACKED_WORDS = 3 };

struct packed
{
  uint64_t word[PACKED_WORDS];
};

struct packer
{
  struct packed *p;
  unsigned int at;
  bool unpack;
};

/* Move a field of BITS bits between state and packed form.  */
static void
field (struct packer *k, unsigned int *value, unsigned int bits)
{
  unsigned int w = k->at / 64, shift = k->at % 64;
  if (shift + bits > 64)
    {
      w++, shift = 0;
      k->at = w * 64;
    }
  must (w < PACKED_WORDS);
  k->at += bits;
  if (k->unpack)
    *value = (unsigned int) (k->p->word[w] >> shift) & ((1u << bits) - 1);
  else
    k->p->word[w] |= (uint64_t) *value << shift;
}

static void
fields (struct packer *k, struct state *s)
{
  field (k, &s->head, 2);
  field (k, &s->owner, 2);
  field (k, &s->foreign, 1);
  field (k, &s->link, 1);
  field (k, &s->qlink, 1);
  for (unsigned int w = 0; w < N_WORDS; w++)
    {
      field (k, &s->own[w], WORD_BITS);
      field (k, &s->rem[w], WORD_BITS);
    }
  field (k, &s->claim, 1);
  field (k, &s->lock, 3);
  for (unsigned int i = 0; i < SURVIVOR_STREAM; i++)
    {
      field (k, &s->holder[i], 2);
      field (k, &s->first[i], 1);
      field (k, &s->queue[i], 1);
      field (k, &s->active[i], 1);
    }
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    field (k, &s->ghost[b], 4);
  field (k, &s->kills, 2);
  field (k, &s->excused, 1);
  field (k, &s->unhinted, 1);
  field (k, &s->shared, 3);
  for (unsigned int t = 0; t < N_ACTORS; t++)
    {
      struct thread *th = &s->thread[t];
      field (k, &th->pc, 6);
      field (k, &th->left, 3);
      field (k, &th->dead, 1);
      field (k, &th->stream, 2);
      field (k, &th->in_bin, 1);
      field (k, &th->word, 1);
      field (k, &th->avail, WORD_BITS);
      field (k, &th->block, 2);
      field (k, &th->own, WORD_BITS);
      field (k, &th->rem, WORD_BITS);
      field (k, &th->owner, 2);
      field (k, &th->keep, 1);
      field (k, &th->ours, 2);
      field (k, &th->why, 2);
      field (k, &th->then, 3);
      field (k, &th->in_malloc, 1);
      field (k, &th->recovering, 1);
      field (k, &th->legality, 2);
      field (k, &th->stale, 3);
    }
}

static struct packed
state_pack (const struct state *s)
{
  struct packed p = { { 0 } };
  struct state copy = *s;
  struct packer k = { &p, 0, false };
  fields (&k, &copy);
  return p;
}

static void
state_first (struct state *s)
{
  *s = (struct state) { .head = FREE };
  for (unsigned int t = 0; t < N_ACTORS; t++)
    {
      s->thread[t].stream = scene->actor[t].stream;
      s->thread[t].left = scene->actor[t].left;
      if (s->thread[t].stream != NONE)
        s->holder[s->thread[t].stream] = t;
    }
  s->thread[SURVIVOR].stream = SURVIVOR_STREAM;
  s->holder[SURVIVOR_STREAM] = SURVIVOR;
}

static void
state_unpack (struct packed p, struct state *s)
{
  struct packer k = { &p, 0, true };
  state_first (s);
  fields (&k, s);
}


/* ---- Steps of a thread -------------------------------------------------- */

static void
wrong (struct state *s, const char *what)
{
  if (s->wrong == NULL)
    s->wrong = what;
}

/* The operation is over; what it left in registers means nothing more.  */
static void
op_end (struct thread *th)
{
  struct thread kept = *th;
  *th = (struct thread) { .pc = IDLE, .left = kept.left, .dead = kept.dead,
                          .stream = kept.stream, .in_bin = kept.in_bin,
                          .avail = kept.avail,
                          .word = kept.avail != 0 ? kept.word : 0,
                          .stale = kept.stale };
}

static void
lock_for (struct thread *th, enum why why)
{
  th->why = why;
  th->pc = LOCK;
}

/* Private part of malloc: which step comes first.  */
static void
malloc_start (struct thread *th)
{
  th->in_malloc = 1;
  if (th->avail != 0)
    th->pc = M_LOAD;
  else
    th->word = 0, th->pc = th->in_bin ? M_REM : M_POP;
}

/* The page leaves the bin, and malloc looks for another, or it is listed and
   the thread goes on with THEN.  */
static void
drop_start (struct thread *th, enum then then)
{
  if (!is_broken (AVAIL_KEPT_AFTER_DROP))
    th->avail = th->word = 0;
  th->then = then;
  th->pc = P_COOL;
}

static void
sweep_start (struct thread *th)
{
  lock_for (th, FOR_SWEEP);
  if (th->in_bin)
    drop_start (th, THEN_LOCK);
}

/* The page is listed, or there is no need.  */
static void
listed (struct thread *th)
{
  static const enum pc next[] = { IDLE, M_POP, LOCK, Q_DRAIN, A_POP, UNLOCK };
  enum pc pc = next[th->then];
  th->then = THEN_IDLE;
  if (pc == IDLE)
    op_end (th);
  else
    th->pc = pc;
}

static void
head_store (struct state *s, enum head head, unsigned int owner)
{
  s->head = head;
  s->owner = head == FREE ? 0 : owner;
}

/* Word W of rem as others see it.  Foreign and rem are two loads, but foreign
   stays 1 once it is: as if both were loaded with the second.  */
static unsigned int
rem_load (const struct state *s, unsigned int w)
{
  return s->foreign ? s->rem[w] : 0;
}

static unsigned int
free_bits (const struct state *s, unsigned int w)
{
  return ~(s->own[w] ^ rem_load (s, w)) & scene->valid[w];
}

/* Whether the sweep of T may store the page's links and lists.  */
static bool
sweep_is_ours (const struct state *s, unsigned int t)
{
  const struct thread *th = &s->thread[t];
  return th->owner == th->stream
         || ((th->ours >> th->owner & 1) && is_orphan (s, th->owner));
}

/* A store of own by T into a page in use.  */
static void
own_store (struct state *s, unsigned int t, unsigned int w, unsigned int value)
{
  if ((s->head == FREE || s->holder[s->owner] != t) && !broken)
    wrong (s, "M3: own stored by a thread that does not own the page");
  for (unsigned int u = 0; u < N_ACTORS; u++)
    if (s->thread[u].pc == X_AGAIN && word_of (s->thread[u].block) == w)
      s->unhinted = 1;
  s->own[w] = value;
}

/* The store that allocates.  */
static void
malloc_store (struct state *s, unsigned int t)
{
  struct thread *th = &s->thread[t];
  unsigned int b = th->block;
  if (misuse_is_under_way (s, b) || (s->ghost[b] == LEAKED && s->excused))
    s->undefined = 1;
  else if (s->ghost[b] != NOBODY)
    wrong (s, "M1: a block was handed out twice");
  if (s->shared == b + 1)
    {
      s->shared = SHARING_OVER;
      for (unsigned int u = 0; u < N_ACTORS; u++)
        if (s->thread[u].stale == b + 1)
          s->thread[u].stale = 0;
    }
  own_store (s, t, word_of (b), th->own ^ bit_of (b));
  th->avail &= ~bit_of (b);
  s->ghost[b] = IN_CALL_OF + t;
  th->own = 0;
  th->pc = M_GIVE;
}

/* Start a free of block B by T.  */
static void
free_start (struct state *s, unsigned int t, unsigned int b)
{
  struct thread *th = &s->thread[t];
  unsigned int held = s->ghost[b];
  th->block = b;
  th->legality = held == NOBODY ? AGAIN : s->shared == b + 1 ? SHARED : LEGAL;
  if (held == HELD_BY + t)
    s->ghost[b] = IN_CALL_OF + t;
  else
    th->stale = 0;
  th->pc = F_HEAD;
}

/* The library reports misuse and returns.  */
static void
free_refuse (struct state *s, struct thread *th)
{
  if (th->legality == LEGAL)
    wrong (s, "M5: a legal free was reported as misuse");
  op_end (th);
}

/* The bit of the block at hand was changed by a free; WAS_LIVE before.  */
static void
free_done (struct state *s, unsigned int t, bool was_live, enum pc next)
{
  struct thread *th = &s->thread[t];
  unsigned int b = th->block;
  if (th->legality == AGAIN)
    wrong (s, "M5: a free of a free block was not noticed");
  else if (is_live (s, b) == was_live)
    wrong (s, "M5: two frees of one block, and neither noticed nor leaked");
  if (was_live)
    {
      /* If another thread holds the same pointer, it is stale from now on.  */
      for (unsigned int u = 0; u < N_ACTORS; u++)
        if (s->ghost[b] == HELD_BY + u && u != t)
          s->thread[u].stale = b + 1;
      s->ghost[b] = NOBODY;
      if (th->legality == LEGAL && t != SURVIVOR
          && (scene->actor[t].roles & CAN_FREE_AGAIN))
        th->stale = b + 1;
    }
  else if (th->legality == SHARED)
    {
      if (s->head == FREE)
        s->undefined = 1;
      s->ghost[b] = LEAKED;
      s->excused = 1;
    }
  th->legality = LEGAL;
  th->pc = next;
  if (next == IDLE)
    op_end (th);
}

/* The step for which the lock was taken.  */
static void
lock_use (struct thread *th)
{
  static const enum pc first[] = { N_HEAD, S_CLEAR, A_ACTIVE, I_STORE };
  th->recovering = 0;
  th->keep = 0;
  th->word = 0;
  th->pc = first[th->why];
}

/* All words were looked at for retirement.  */
static void
retire_looked (struct thread *th)
{
  th->word = 0;
  th->own = 0;
  th->pc = is_broken (CLAIM_CLEARED_EARLY) ? R_CLEAR
           : is_broken (RETIRE_LOOKS_BEFORE_CLAIMED) ? R_CAS : R_DECIDE;
}

/* The page stays or was retired, and no claim tells of it.  */
static void
retire_over (struct state *s, unsigned int t)
{
  struct thread *th = &s->thread[t];
  if (th->recovering)
    lock_use (th);
  else
    th->pc = th->keep && sweep_is_ours (s, t) ? S_LINKS : UNLOCK;
}

static void
retire_decide (struct state *s, unsigned int t)
{
  struct thread *th = &s->thread[t];
  if (th->keep)
    {
      if (!is_broken (RETIRE_WITHOUT_CLAIMED))
        head_store (s, HELD, th->owner);
    }
  else
    {
      for (unsigned int b = 0; b < N_BLOCKS; b++)
        if (s->excused && s->ghost[b] == LEAKED)
          s->ghost[b] = NOBODY;   /* two frees leaked it after it was looked
                                     at: the leak goes with the page */
        else if (is_block (b) && (is_live (s, b) || s->ghost[b] != NOBODY))
          wrong (s, "M4: a page with a live block was retired");
      head_store (s, FREE, 0);
    }
  if (is_broken (RETIRE_WITHOUT_CLAIMED) || is_broken (CLAIM_CLEARED_EARLY))
    retire_over (s, t);
  else
    th->pc = R_CLEAR;
}

/* One step of thread T, not idle, that can go on in one way only.  */
static void
thread_step (struct state *s, unsigned int t)
{
  struct thread *th = &s->thread[t];
  unsigned int w = th->word, b = th->block, bit = bit_of (b);
  switch ((enum pc) th->pc)
    {
    case M_REM:
      th->avail = free_bits (s, w);
      if (th->avail != 0)
        th->pc = M_LOAD;
      else if (++th->word < N_WORDS)
        th->pc = M_REM;
      else
        th->word = 0, th->pc = P_COOL;
      break;

    case M_LOAD:
      th->own = s->own[w];
      th->block = w * WORD_BITS + (th->avail & 1 ? 0 : 1);
      th->pc = M_STORE;
      break;

    case M_STORE:
      malloc_store (s, t);
      break;

    case M_POP:
      th->owner = th->stream;
      th->pc = s->first[th->stream] ? M_TAKE : Q_DRAIN;
      s->first[th->stream] = 0;
      if (th->pc == M_TAKE && !is_broken (POP_KEEPS_LINK))
        s->link = 0;
      break;

    case M_TAKE:
      s->unhinted |= s->head == CLAIMED;
      if (is_broken (TAKE_BACK_BY_STORE)
          || (s->head == HELD && s->owner == th->stream))
        {
          head_store (s, ACTIVE, th->stream);
          th->in_bin = 1;
          th->pc = M_USE;
        }
      else
        th->pc = M_POP;
      break;

    case M_PEEK:
      if (s->head == FREE)
        lock_for (th, FOR_NEW);
      else if ((t == SURVIVOR || (scene->actor[t].roles & CAN_ADOPT))
               && s->owner != th->stream
               && (is_orphan (s, s->owner)
                   || is_broken (ADOPT_FROM_THE_LIVING)))
        lock_for (th, FOR_ADOPT);
      else
        op_end (th);
      break;

    case M_USE:
      s->active[th->stream] = 1;
      th->why = th->owner = th->word = 0;
      th->pc = M_REM;
      break;

    case P_COOL:
      s->active[th->stream] = 0;
      th->pc = P_DROP;
      break;

    case P_DROP:
      head_store (s, HELD, th->stream);
      th->in_bin = 0;
      th->owner = th->stream;
      th->pc = th->in_malloc ? M_POP : L_LINK;
      if (th->pc == L_LINK && is_broken (DROP_DOES_NOT_LIST))
        listed (th);
      break;

    case Q_DRAIN:
      th->then = th->in_malloc && th->why == FOR_ADOPT ? THEN_ADOPT : THEN_POP;
      if (s->queue[th->owner] && !(is_broken (ADOPT_WITHOUT_DRAIN)
                                   && th->then == THEN_ADOPT))
        th->pc = Q_UNLINK;
      else
        {
          th->pc = th->then == THEN_ADOPT ? A_POP : M_PEEK;
          th->then = THEN_IDLE;
        }
      s->queue[th->owner] = 0;
      break;

    case Q_UNLINK:
      if (!is_broken (DRAIN_KEEPS_LINK))
        s->qlink = 0;
      th->pc = L_HEAD;
      break;

    case L_HEAD:
      if (s->owner == th->owner && (s->head == HELD || s->head == CLAIMED))
        th->pc = L_LINK;
      else
        listed (th);
      break;

    case L_LINK:
      s->unhinted |= s->head == FREE || s->owner != th->owner;
      if (s->link)
        listed (th);
      else
        {
          s->link = s->first[th->owner] = 1;
          listed (th);
        }
      break;

    case F_HEAD:
      th->owner = s->owner;
      if (s->head == FREE)
        free_refuse (s, th);
      else if (s->owner == th->stream || is_broken (OWN_STORED_BY_OTHERS))
        th->pc = O_OWN;
      else
        th->pc = X_OWN;
      break;

    case O_OWN:
      th->own = s->own[word_of (b)];
      th->pc = O_REM;
      break;

    case O_REM:
      th->rem = rem_load (s, word_of (b));
      if (((th->own ^ th->rem) & bit) == 0 && !is_broken (OWNER_UNCHECKED))
        free_refuse (s, th);
      else
        th->pc = O_STORE;
      break;

    case O_STORE:
      {
        bool was_live = is_live (s, b);
        bool full = (th->own ^ th->rem) == ALL_LIVE
                    && !is_broken (OWNER_DOES_NOT_LIST);
        own_store (s, t, word_of (b), th->own ^ bit);
        th->own = th->rem = 0;
        free_done (s, t, was_live,
                   is_broken (OWN_NOT_RELEASED) ? F_LATE
                   : full ? L_HEAD : IDLE);
        break;
      }

    case X_OWN:
      th->own = s->own[word_of (b)];
      th->pc = is_broken (FOREIGN_NEVER_SET) || is_broken (FOREIGN_SET_LATE)
               ? X_RMW : X_FOREIGN;
      break;

    case X_FOREIGN:
      if (is_broken (FOREIGN_SET_LATE))
        s->foreign = 1, th->pc = X_AGAIN;
      else if (!s->foreign && (th->own & bit) == 0)
        free_refuse (s, th);
      else
        s->foreign = 1, th->pc = X_RMW;
      if (is_broken (REM_STORED_NOT_RMW))
        th->rem = s->rem[word_of (b)];
      break;

    case X_RMW:
      {
        unsigned int *rem = &s->rem[word_of (b)];
        unsigned int old = is_broken (REM_STORED_NOT_RMW) ? th->rem : *rem;
        bool was_live = is_live (s, b);
        *rem = (old & ~bit) | (th->own & bit);
        bool same = ((old ^ th->own) & bit) == 0;
        if (!is_broken (OWN_NOT_READ_AGAIN))
          th->own = 0;
        th->rem = old;
        if (same && !is_broken (RMW_RESULT_UNCHECKED))
          free_refuse (s, th);
        else
          free_done (s, t, was_live,
                     is_broken (REM_NOT_RELEASED) ? F_LATE
                     : is_broken (FOREIGN_SET_LATE) ? X_FOREIGN : X_AGAIN);
        break;
      }

    case X_AGAIN:
      if (!is_broken (OWN_NOT_READ_AGAIN))
        th->own = s->own[word_of (b)];
      if ((th->own ^ th->rem) == ALL_LIVE && !is_broken (OTHERS_DO_NOT_PUSH))
        th->own = th->rem = 0, th->pc = X_LINK;
      else
        op_end (th);
      break;

    case X_LINK:
      if (s->qlink)
        op_end (th);
      else
        s->qlink = 1, th->pc = X_PUSH;
      break;

    case X_PUSH:
      s->unhinted |= s->head == FREE || s->owner != th->owner;
      s->qlink = 1;
      s->queue[th->owner] = 1;
      op_end (th);
      break;

    case F_LATE:
      if (s->ghost[b] != NOBODY || s->head == FREE)
        wrong (s, "a freed block was used after it found its next user");
      op_end (th);
      break;

    case LOCK:
      {
        bool dead = s->lock != 0;
        s->lock = t + 1;
        if (dead && !is_broken (RECOVERY_SKIPS_CLAIM))
          th->recovering = 1, th->pc = V_CLAIM;
        else
          lock_use (th);
        break;
      }

    case N_HEAD:
      if (s->head != FREE)
        th->in_malloc = 0, th->pc = UNLOCK;
      else
        th->pc = is_broken (HEAD_BEFORE_WORDS) ? N_HEADED : N_WORD;
      break;

    case N_WORD:
      /* Were rem cleared, a free that is called once too often and began
         before could find own and rem of different times, and not notice.  */
      if (is_broken (NEW_PAGE_CLEARS_REM) || is_broken (HEAD_BEFORE_WORDS))
        s->rem[w] = 0;
      if (is_broken (NEW_PAGE_CLEARS_FOREIGN))
        s->foreign = 0;
      th->own = rem_load (s, w);
      if (!is_broken (NO_BLOCK_IS_FREE))
        th->own ^= ALL_LIVE & ~scene->valid[w];
      th->pc = N_STORE;
      break;

    case N_STORE:
      s->own[w] = th->own;
      th->own = 0;
      if (++th->word < N_WORDS)
        th->pc = N_WORD;
      else
        {
          th->word = 0;
          th->pc = is_broken (HEAD_BEFORE_WORDS) ? UNLOCK : N_LINKS;
        }
      break;

    case N_LINKS:
      s->unhinted = 0;
      if (!is_broken (NEW_PAGE_KEEPS_LINKS))
        s->link = s->qlink = 0;
      th->pc = N_HEADED;
      break;

    case N_HEADED:
      head_store (s, ACTIVE, th->stream);
      th->in_bin = 1;
      th->pc = is_broken (HEAD_BEFORE_WORDS) ? N_WORD : UNLOCK;
      for (unsigned int u = 0; u < N_ACTORS; u++)
        if (s->thread[u].legality == SHARED)
          s->undefined = 1;     /* its bit may belong to another block now */
      break;

    case S_CLEAR:
      for (unsigned int i = 0; i < N_STREAMS; i++)
        if (i == th->stream || is_orphan (s, i))
          {
            s->first[i] = s->queue[i] = 0;
            th->ours |= 1u << i;
          }
      th->pc = R_HEAD;
      break;

    case R_HEAD:
      th->owner = s->owner;
      if (s->head == ACTIVE && sweep_is_ours (s, t)
          && !is_broken (SWEEP_FORGETS_ACTIVE))
        th->pc = S_HELD;
      else if (s->head != HELD)
        th->pc = UNLOCK;
      else
        th->pc = is_broken (RETIRE_WITHOUT_CLAIMED) ? R_OWN
                 : is_broken (CLAIM_WRITTEN_LATE) ? R_CAS : R_CLAIM;
      break;

    case S_HELD:
      head_store (s, HELD, th->owner);
      th->pc = R_HEAD;
      break;

    case R_CLAIM:
      s->claim = 1;
      th->pc = is_broken (RETIRE_LOOKS_BEFORE_CLAIMED)
               || is_broken (CLAIM_WRITTEN_LATE) ? R_OWN : R_CAS;
      break;

    case R_CAS:
      if (s->head != HELD || s->owner != th->owner)
        th->pc = R_CLEAR;
      else
        {
          head_store (s, CLAIMED, th->owner);
          th->pc = is_broken (RETIRE_LOOKS_BEFORE_CLAIMED) ? R_DECIDE
                   : is_broken (CLAIM_WRITTEN_LATE) ? R_CLAIM : R_OWN;
        }
      break;

    case R_OWN:
      th->own = s->own[w];
      th->pc = R_REM;
      break;

    case R_REM:
      th->keep |= ((th->own ^ rem_load (s, w)) & scene->valid[w]) != 0;
      if (++th->word < N_WORDS && !th->keep
          && !is_broken (RETIRE_LOOKS_AT_ONE_WORD))
        th->pc = R_OWN;
      else
        retire_looked (th);
      break;

    case R_DECIDE:
      retire_decide (s, t);
      break;

    case R_CLEAR:
      s->claim = 0;
      if (is_broken (CLAIM_CLEARED_EARLY) && s->head == CLAIMED)
        th->pc = R_DECIDE;
      else
        retire_over (s, t);
      break;

    case S_LINKS:
      if (!is_broken (SWEEP_KEEPS_LINKS))
        s->link = s->qlink = 0;
      th->word = 0;
      th->pc = S_LOOK;
      break;

    case S_LOOK:
      if (free_bits (s, w) != 0)
        th->then = THEN_UNLOCK, th->word = 0, th->pc = L_LINK;
      else if (++th->word == N_WORDS)
        th->word = 0, th->pc = UNLOCK;
      break;

    case V_CLAIM:
      if (s->claim)
        th->pc = V_HEAD;
      else
        lock_use (th);
      break;

    case V_HEAD:
      th->owner = s->owner;
      th->word = 0;
      th->pc = s->head == CLAIMED ? V_HELD : R_CLEAR;
      break;

    case V_HELD:
      if (is_broken (RECOVERY_RETIRES))
        retire_decide (s, t);
      else
        head_store (s, HELD, th->owner);
      th->pc = R_CLEAR;
      break;

    case A_ACTIVE:
      if (th->why == FOR_ADOPT)
        {
          /* All orphans are searched; one at most has the page.  */
          th->owner = s->owner;
          if (s->head == FREE || s->owner == th->stream
              || !(is_orphan (s, s->owner)
                   || is_broken (ADOPT_FROM_THE_LIVING)))
            {
              th->in_malloc = 0, th->pc = UNLOCK;
              break;
            }
        }
      th->then = th->why == FOR_ADOPT ? THEN_DRAIN : THEN_IDLE;
      th->pc = A_HELD;
      if (!s->active[th->owner])
        listed (th);
      else if (!is_broken (INHERIT_WITHOUT_HOLD))
        s->active[th->owner] = 0;
      else
        listed (th);
      break;

    case A_HELD:
      if (s->head == ACTIVE && s->owner == th->owner)
        {
          head_store (s, HELD, th->owner);
          th->pc = L_LINK;
        }
      else
        listed (th);
      break;

    case A_POP:
      if (!s->first[th->owner])
        th->in_malloc = 0, th->pc = UNLOCK;
      else
        s->first[th->owner] = s->link = 0, th->pc = A_HEAD;
      break;

    case A_HEAD:
      th->pc = s->head == HELD && s->owner == th->owner ? A_STORE : A_POP;
      break;

    case A_STORE:
      s->unhinted |= s->qlink;    /* pushed since the queue was drained */
      head_store (s, ACTIVE, th->stream);
      th->in_bin = 1;
      th->pc = UNLOCK;
      break;

    case I_STORE:
      for (unsigned int i = 0; i < SURVIVOR_STREAM; i++)
        if (th->stream == NONE && is_orphan (s, i))
          {
            s->holder[i] = t;
            th->stream = i;
          }
      th->pc = UNLOCK;
      break;

    case UNLOCK:
      if (!is_broken (INHERIT_WITHOUT_LOCK) || th->why != FOR_INHERIT)
        s->lock = 0;
      th->keep = th->ours = 0;
      if (th->why == FOR_INHERIT && th->stream != NONE)
        th->owner = th->stream, th->pc = A_ACTIVE;
      else if (th->in_malloc)
        th->pc = M_USE;
      else
        op_end (th);
      break;

    case IDLE:
    case M_GIVE:
    case N_PCS:
      abort ();                 /* these are made elsewhere */
    }
}

/* Is the step possible now?  Only a lock whose holder lives has to be waited
   for.  */
static bool
thread_can_step (const struct state *s, unsigned int t)
{
  const struct thread *th = &s->thread[t];
  return th->pc != LOCK || s->lock == 0 || s->thread[s->lock - 1].dead;
}

/* The pointer is stored where thread U finds it.  */
static void
malloc_give (struct state *s, unsigned int t, unsigned int u)
{
  s->ghost[s->thread[t].block] = HELD_BY + u;
  if (scene->share && !s->shared && u != 2)
    {
      s->shared = s->thread[t].block + 1;
      s->thread[2].stale = s->thread[t].block + 1;
    }
  op_end (&s->thread[t]);
}

static struct thread *
next_op (const struct state *s, unsigned int t, struct state *out,
         unsigned int *n)
{
  must (*n < MAX_NEXT);
  struct state *next = &out[(*n)++];
  *next = *s;
  next->thread[t].left--;
  return &next->thread[t];
}

/* The operations that an idle thread may start.  The choice is private, so
   the first step of the operation is still to come.  */
static unsigned int
next_ops (const struct state *s, unsigned int t, struct state *out)
{
  const struct thread *th = &s->thread[t];
  unsigned int roles = scene->actor[t].roles;
  unsigned int n = 0;
  if (th->left == 0)
    return 0;
  if ((roles & CAN_MALLOC) && th->stream != NONE)
    malloc_start (next_op (s, t, out, &n));
  if ((roles & CAN_DROP) && th->in_bin)
    drop_start (next_op (s, t, out, &n), THEN_IDLE);
  if (roles & CAN_SWEEP)
    sweep_start (next_op (s, t, out, &n));
  if ((roles & CAN_INHERIT) && th->stream == NONE)
    {
      lock_for (next_op (s, t, out, &n), FOR_INHERIT);
      if (is_broken (INHERIT_WITHOUT_LOCK))
        out[n - 1].thread[t].pc = I_STORE;
    }
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    {
      bool again = th->stale == b + 1
                   && (s->ghost[b] == NOBODY
                       || (s->shared == b + 1 && s->ghost[b] != LEAKED));
      if (s->ghost[b] == HELD_BY + t || again)
        {
          next_op (s, t, out, &n);
          free_start (&out[n - 1], t, b);
        }
    }
  return n;
}

/* All states that one step of thread T leads to.  */
static unsigned int
next_states (const struct state *s, unsigned int t, struct state *out)
{
  const struct thread *th = &s->thread[t];
  if (th->dead || !thread_can_step (s, t))
    return 0;
  if (th->pc == IDLE)
    return t == SURVIVOR ? 0 : next_ops (s, t, out);
  if (th->pc != M_GIVE)
    {
      out[0] = *s;
      thread_step (&out[0], t);
      return 1;
    }
  unsigned int n = 0;
  for (unsigned int u = 0; u < N_ACTORS; u++)
    if (scene->actor[u].roles & CAN_FREE)
      {
        out[n] = *s;
        malloc_give (&out[n++], t, u);
      }
  return n;
}

/* Kill thread T between two steps: what it knew is gone.  */
static void
thread_kill (struct state *s, unsigned int t)
{
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    if (s->ghost[b] == IN_CALL_OF + t)
      s->ghost[b] = LEAKED;
  enum pc pc = s->thread[t].pc;
  s->unhinted |= !(pc <= M_GIVE || (pc >= F_HEAD && pc <= X_RMW));
  s->thread[t] = (struct thread) { .dead = 1, .stream = NONE };
  s->kills++;
}


/* ---- What must hold ----------------------------------------------------- */

static void
state_check (struct state *s)
{
  unsigned int leaked = 0;
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    if (is_block (b))
      {
        bool held = s->ghost[b] != NOBODY;
        leaked += s->ghost[b] == LEAKED;
        if (s->head == FREE && held)
          wrong (s, "M4: a block is held, and its page is free");
        if (s->head != FREE && is_live (s, b) && !held)
          wrong (s, "M1: a block is live, and nobody holds it");
        if (s->head != FREE && !is_live (s, b) && held)
          wrong (s, "M1: a block is held, and its bits call it free");
      }
  for (unsigned int w = 0; w < N_WORDS; w++)
    {
      if (!s->foreign && s->rem[w] != 0 && !broken)
        wrong (s, "M7: rem was changed, and foreign is not set");
      if (s->head != FREE && ~(s->own[w] ^ s->rem[w]) & ALL_LIVE
                             & ~scene->valid[w])
        wrong (s, "M8: the bit of no block is free");
    }
  if (leaked > s->kills + s->excused)
    wrong (s, "M2: more blocks leaked than threads were killed");
  if (s->head == CLAIMED && (!s->claim || s->lock == 0) && !broken)
    wrong (s, "M6: CLAIMED without a claim record or without the lock");
}

/* Nobody does anything: is the way to the free blocks known?  */
static void
hint_check (struct state *s)
{
  bool found = s->first[s->owner] || s->queue[s->owner];
  if (s->head == ACTIVE)
    {
      found = s->active[s->owner];
      for (unsigned int t = 0; t < N_ACTORS; t++)
        if (s->thread[t].stream == s->owner)
          found = s->thread[t].in_bin;
    }
  for (unsigned int w = 0; w < N_WORDS; w++)
    if (s->head != FREE && free_bits (s, w) != 0 && !found && !s->unhinted)
      wrong (s, "M9: a page with room is neither in a bin nor listed");
}

/* Let thread T finish its operation while all others rest.  Of several ways
   the first.  */
static void
run_alone (struct state *s, unsigned int t)
{
  struct state out[MAX_NEXT];
  for (int i = 0; s->thread[t].pc != IDLE && s->wrong == NULL; i++)
    {
      if (i > 200 || (s->thread[t].pc != M_GIVE && !thread_can_step (s, t)))
        {
          wrong (s, "M10: an operation does not end");
          return;
        }
      if (s->thread[t].pc == M_GIVE)
        malloc_give (s, t, SURVIVOR);
      else
        {
          next_states (s, t, out);
          *s = out[0];
        }
      state_check (s);
    }
}

static unsigned int
n_held (const struct state *s)
{
  unsigned int n = 0;
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    n += s->ghost[b] >= HELD_BY;
  return n;
}

/* Allocate as T until nothing is left.  */
static void
take_all (struct state *s, unsigned int t)
{
  unsigned int before;
  do
    {
      before = n_held (s);
      malloc_start (&s->thread[t]);
      run_alone (s, t);
    }
  while (n_held (s) > before && s->wrong == NULL);
}

/* All threads are done or dead.  Who is left must be able to use and to free
   everything.  */
static void
epilogue_check (const struct state *last)
{
  static struct state s;
  s = *last;
  for (unsigned int t = 0; t < N_ACTORS; t++)
    if (s.thread[t].pc != IDLE)
      wrong (&s, "M10: a live thread cannot go on");
  hint_check (&s);

  /* Whoever needs room takes the lock, which mends what its last holder left.
     Then the survivor gets what is nobody's and the owner the rest, and nothing
     is left.  */
  s.shared = SHARING_OVER;
  for (unsigned int t = 0; t < N_THREADS; t++)
    if (!s.thread[t].dead && s.thread[t].stream != NONE && s.wrong == NULL)
      {
        sweep_start (&s.thread[t]);
        run_alone (&s, t);
      }
  take_all (&s, SURVIVOR);
  for (unsigned int t = 0; t < N_ACTORS; t++)
    if (!s.thread[t].dead && s.thread[t].stream != NONE)
      take_all (&s, t);
  if (s.undefined)
    return;
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    if (is_block (b) && s.ghost[b] == NOBODY)
      wrong (&s, "M10: a free block is found by nobody");

  /* All blocks are freed, whoever held them.  */
  for (unsigned int b = 0; b < N_BLOCKS && s.wrong == NULL; b++)
    if (s.ghost[b] >= HELD_BY)
      {
        s.ghost[b] = HELD_BY + SURVIVOR;
        free_start (&s, SURVIVOR, b);
        run_alone (&s, SURVIVOR);
      }

  /* The bins are emptied, the page is retired: a leak alone can keep it.  */
  for (unsigned int t = 0; t < N_THREADS; t++)
    if (s.thread[t].in_bin && s.wrong == NULL)
      {
        drop_start (&s.thread[t], THEN_IDLE);
        run_alone (&s, t);
      }
  sweep_start (&s.thread[SURVIVOR]);
  run_alone (&s, SURVIVOR);
  bool leaked = false;
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    leaked = leaked || s.ghost[b] == LEAKED;
  if (leaked != (s.head == HELD) || s.head == CLAIMED)
    wrong (&s, "M10: the empty page cannot be retired");
  if (s.wrong != NULL)
    ((struct state *) last)->wrong = s.wrong;
}


/* ---- All states --------------------------------------------------------- */

struct visited
{
  struct packed *states;       /* in the order they were found */
  uint32_t *from;              /* which state each was found from */
  size_t n, room;
  uint32_t *slots;             /* 1 + index, open addressing */
  size_t n_slots;
  struct state bad;            /* the first wrong state */
  size_t bad_from;
  size_t n_final, n_undefined;
};

static uint64_t
packed_hash (const struct packed *p)
{
  uint64_t h = 0;
  for (int i = 0; i < PACKED_WORDS; i++)
    {
      h = (h ^ p->word[i]) * 0x9e3779b97f4a7c15u;
      h ^= h >> 29;
    }
  return h;
}

static size_t
slot_of (const struct visited *v, const struct packed *p)
{
  size_t i = packed_hash (p) & (v->n_slots - 1);
  while (v->slots[i] != 0
         && memcmp (&v->states[v->slots[i] - 1], p, sizeof *p) != 0)
    i = (i + 1) & (v->n_slots - 1);
  return i;
}

static void
visited_grow (struct visited *v)
{
  v->room *= 2;
  v->states = realloc (v->states, v->room * sizeof *v->states);
  v->from = realloc (v->from, v->room * sizeof *v->from);
  free (v->slots);
  v->n_slots = v->room * 2;
  v->slots = calloc (v->n_slots, sizeof *v->slots);
  must (v->states != NULL && v->from != NULL && v->slots != NULL);
  for (size_t i = 0; i < v->n; i++)
    v->slots[slot_of (v, &v->states[i])] = (uint32_t) i + 1;
}

/* State S was reached from state number FROM.  */
static void
visit (struct visited *v, struct state *s, size_t from)
{
  v->n_undefined += s->undefined != 0;
  if (s->undefined || v->bad.wrong != NULL)
    return;
  state_check (s);
  if (s->wrong != NULL)
    {
      v->bad = *s;
      v->bad_from = from;
      return;
    }
  struct packed p = state_pack (s);
  size_t slot = slot_of (v, &p);
  if (v->slots[slot] != 0)
    return;
  if (v->n == v->room)
    {
      visited_grow (v);
      slot = slot_of (v, &p);
    }
  v->states[v->n] = p;
  v->from[v->n] = (uint32_t) from;
  v->slots[slot] = (uint32_t) ++v->n;
}

/* Visit everything that state number I leads to.  */
static void
expand (struct visited *v, size_t i)
{
  static struct state s, out[MAX_NEXT];
  state_unpack (v->states[i], &s);
  unsigned int n_next = 0;
  for (unsigned int t = 0; t < N_ACTORS; t++)
    {
      unsigned int n = next_states (&s, t, out);
      n_next += n;
      for (unsigned int j = 0; j < n; j++)
        visit (v, &out[j], i);
      if (!s.thread[t].dead && s.kills < scene->kills)
        {
          out[0] = s;
          thread_kill (&out[0], t);
          visit (v, &out[0], i);
        }
    }
  if (n_next == 0 && v->bad.wrong == NULL)
    {
      v->n_final++;
      epilogue_check (&s);
      if (s.wrong != NULL)
        {
          v->bad = s;
          v->bad_from = v->from[i];
        }
    }
}

static void
state_print (const struct state *s)
{
  static const char *const head_name[] = { "FREE", "HELD", "ACTIVE",
                                           "CLAIMED" };
  printf ("%s(%u) own %u%u rem %u%u foreign %u link %u%u claim %u lock %u "
          "ghost", head_name[s->head], s->owner, s->own[0], s->own[1],
          s->rem[0], s->rem[1], s->foreign, s->link, s->qlink, s->claim,
          s->lock);
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    printf (" %u", s->ghost[b]);
  printf (" hints");
  for (unsigned int i = 0; i < SURVIVOR_STREAM; i++)
    printf (" %u%u%u", s->first[i], s->queue[i], s->active[i]);
  for (unsigned int t = 0; t < N_ACTORS; t++)
    printf (" | %s%s", s->thread[t].dead ? "dead" : pc_name[s->thread[t].pc],
            s->thread[t].in_bin ? " (bin)" : "");
  printf ("\n");
}

static void
trace_print (const struct visited *v, size_t i)
{
  struct state s;
  if (i != 0)
    trace_print (v, v->from[i]);
  state_unpack (v->states[i], &s);
  state_print (&s);
}

/* Visit all states of a scenario.  Returns what was found wrong, or NULL, and
   the number of states in *N.  */
static const char *
explore (const struct scenario *sc, size_t *n)
{
  static struct visited v;
  v = (struct visited) { .room = 1 << 15 };
  scene = sc;
  visited_grow (&v);
  struct state s;
  state_first (&s);
  visit (&v, &s, 0);
  for (size_t i = 0; i < v.n && v.bad.wrong == NULL; i++)
    expand (&v, i);
  if (v.bad.wrong != NULL
      && (!broken || getenv ("MMALLOC_TEST_TRACE") != NULL))
    {
      trace_print (&v, v.bad_from);
      state_print (&v.bad);
    }
  if (!broken)
    printf ("%-12s %8zu states, %7zu final, %6zu left aside\n", sc->name, v.n,
            v.n_final, v.n_undefined);
  fflush (stdout);
  free (v.states);
  free (v.from);
  free (v.slots);
  *n += v.n;
  return v.bad.wrong;
}


/* ---- Scenarios and mutants ---------------------------------------------- */

enum scenario_name
{
  REMOTE_FREES, TWO_FREERS, ADOPTION, TWO_OWNERS, INHERITANCE, FREED_AGAIN,
  FREED_BY_TWO, N_SCENARIOS
};

enum { OWNER = CAN_MALLOC | CAN_DROP };

static const struct scenario scenarios[N_SCENARIOS] =
{
  [REMOTE_FREES] = { "remote frees", { 1, 1 }, 2, 0,
                     { { 0, OWNER | CAN_FREE, 4 },
                       { 1, CAN_FREE, 2 },
                       { NONE, CAN_SWEEP, 2 } } },
  [TWO_FREERS] = { "two freers", { 3, 0 }, 2, 0,
                   { { 0, OWNER, 4 },
                     { 1, CAN_FREE, 2 },
                     { NONE, CAN_FREE | CAN_SWEEP, 3 } } },
  [ADOPTION] = { "adoption", { 1, 1 }, 2, 0,
                 { { 0, OWNER | CAN_FREE, 3 },
                   { 1, OWNER | CAN_FREE | CAN_ADOPT, 3 },
                   { NONE, CAN_FREE | CAN_SWEEP, 1 } } },
  [TWO_OWNERS] = { "two owners", { 3, 0 }, 1, 0,
                   { { 0, OWNER | CAN_FREE, 4 },
                     { 1, OWNER | CAN_FREE, 3 },
                     { NONE, CAN_SWEEP, 1 } } },
  [INHERITANCE] = { "inheritance", { 1, 1 }, 2, 0,
                    { { 0, OWNER | CAN_FREE, 3 },
                      { NONE, OWNER | CAN_FREE | CAN_INHERIT, 4 },
                      { 1, CAN_MALLOC | CAN_ADOPT, 2 } } },
  [FREED_AGAIN] = { "freed again", { 3, 0 }, 1, 0,
                    { { 0, OWNER | CAN_FREE | CAN_FREE_AGAIN, 4 },
                      { NONE, CAN_FREE | CAN_FREE_AGAIN, 3 },
                      { 1, CAN_MALLOC | CAN_SWEEP, 2 } } },
  [FREED_BY_TWO] = { "freed by two", { 3, 0 }, 0, 1,
                     { { 0, OWNER | CAN_FREE | CAN_SWEEP, 4 },
                       { 1, CAN_FREE | CAN_MALLOC, 2 },
                       { NONE, CAN_FREE, 1 } } }
};

/* Each rule broken, in a scenario that shows why it is there.  */
static const struct
{
  enum rule rule;
  enum scenario_name scenario;
  const char *name;
} mutants[] =
{
#define MUTANT(rule, scenario) { rule, scenario, #rule }
  MUTANT (RETIRE_WITHOUT_CLAIMED, REMOTE_FREES),
  MUTANT (RETIRE_LOOKS_BEFORE_CLAIMED, REMOTE_FREES),
  MUTANT (RETIRE_LOOKS_AT_ONE_WORD, REMOTE_FREES),
  MUTANT (CLAIM_WRITTEN_LATE, REMOTE_FREES),
  MUTANT (CLAIM_CLEARED_EARLY, REMOTE_FREES),
  MUTANT (RECOVERY_SKIPS_CLAIM, REMOTE_FREES),
  MUTANT (RECOVERY_RETIRES, REMOTE_FREES),
  MUTANT (OWN_STORED_BY_OTHERS, TWO_FREERS),
  MUTANT (REM_STORED_NOT_RMW, TWO_FREERS),
  MUTANT (AVAIL_KEPT_AFTER_DROP, TWO_OWNERS),
  MUTANT (TAKE_BACK_BY_STORE, TWO_OWNERS),
  MUTANT (RMW_RESULT_UNCHECKED, FREED_AGAIN),
  MUTANT (OWNER_UNCHECKED, FREED_AGAIN),
  MUTANT (HEAD_BEFORE_WORDS, TWO_OWNERS),
  MUTANT (NEW_PAGE_CLEARS_REM, FREED_AGAIN),
  MUTANT (NEW_PAGE_CLEARS_FOREIGN, TWO_OWNERS),
  MUTANT (NEW_PAGE_KEEPS_LINKS, TWO_OWNERS),
  MUTANT (NO_BLOCK_IS_FREE, REMOTE_FREES),
  MUTANT (FOREIGN_NEVER_SET, TWO_FREERS),
  MUTANT (FOREIGN_SET_LATE, TWO_FREERS),
  MUTANT (OWN_NOT_READ_AGAIN, TWO_FREERS),
  MUTANT (OWNER_DOES_NOT_LIST, REMOTE_FREES),
  MUTANT (OTHERS_DO_NOT_PUSH, TWO_FREERS),
  MUTANT (DROP_DOES_NOT_LIST, REMOTE_FREES),
  MUTANT (POP_KEEPS_LINK, REMOTE_FREES),
  MUTANT (DRAIN_KEEPS_LINK, REMOTE_FREES),
  MUTANT (SWEEP_KEEPS_LINKS, REMOTE_FREES),
  MUTANT (SWEEP_FORGETS_ACTIVE, ADOPTION),
  MUTANT (INHERIT_WITHOUT_HOLD, INHERITANCE),
  MUTANT (ADOPT_WITHOUT_DRAIN, ADOPTION),
  MUTANT (ADOPT_FROM_THE_LIVING, ADOPTION),
  MUTANT (INHERIT_WITHOUT_LOCK, INHERITANCE),
  MUTANT (REM_NOT_RELEASED, TWO_FREERS),
  MUTANT (OWN_NOT_RELEASED, REMOTE_FREES)
#undef MUTANT
};
enum { N_MUTANTS = sizeof mutants / sizeof *mutants };

START_TEST (the_protocol_holds)
{
  size_t n = 0;
  broken = NOTHING_BROKEN;
  for (int i = 0; i < N_SCENARIOS; i++)
    {
      const char *finding = explore (&scenarios[i], &n);
      ck_assert_msg (finding == NULL, "%s: %s", scenarios[i].name, finding);
    }
  printf ("%-12s %8zu states\n", "all", n);
}
END_TEST

START_TEST (each_mutant_is_caught)
{
  size_t n = 0;
  for (int i = 0; i < N_MUTANTS; i++)
    {
      size_t before = n;
      broken = mutants[i].rule;
      const char *finding = explore (&scenarios[mutants[i].scenario], &n);
      printf ("%-28s %7zu states: %s\n", mutants[i].name, n - before,
              finding != NULL ? finding : "NOT CAUGHT");
      fflush (stdout);
      ck_assert_msg (finding != NULL, "%s is not caught", mutants[i].name);
    }
}
END_TEST

RUN_TESTS (the_protocol_holds, each_mutant_is_caught)
