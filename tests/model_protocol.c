/* model_protocol.c - every interleaving of the own/rem/retire protocol.

   The life of small blocks rests on a few words in memory that several threads
   change without a lock, and on the claim that a thread may be killed between
   any two of its steps.  Here the protocol is written down once more, as a
   table of steps to be read beside mmalloc.c: each is one access to shared
   memory and names the function that has it there.  All states that a few
   threads can bring this machine into are visited, kills included, and no step
   may be left that nobody takes.

   What is modelled: one page of two words of blocks; its head, its words
   `foreign' and `holes', its two links, and whether its slices are backed; the
   heap lock with the claim record and the handler for a lock whose holder
   died; the grow lock; streams, which can be inherited, each with its list of
   partial pages, its queue of others' frees and the page in its bin; and,
   private to each thread, its avail word and what it has loaded.  Beside it
   runs a ghost: who holds each block, as the program sees it, and which blocks
   have nothing behind them.

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
         are all live do, all of them;
     M11 what is behind a block that somebody holds is there.

   And in each final state:

     M9  a page with a free block is in its owner's bin, on its list or in its
         queue.  Excused are a kill amid the hints; a free by the owner, or a
         malloc, in the moment between another's change of rem and its second
         look at own; a hint given to the stream that had the page a moment
         ago; and a page taken from the list in the moment in which it is
         CLAIMED;
     M10 the survivors, running alone, find every free block after a sweep,
         hints or not, free every block and retire the page: nothing is stuck.

   Left out: chains of several pages (a link is 0 or not); that a sweep lets go
   of the heap lock now and then; that where a link is stored with a list, both
   links of a page are cleared, or a sweep empties the lists, one step stands
   for a few stores; streams that are shared; slot calls; what mrealloc puts
   back into avail; and that a block lies in several system pages, or several
   in one.

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
     new page        store of the head ACTIVE (release), after own
                     -> whoever frees its first block: ordered by the way the
                     pointer took, so relaxed loads of head and own suffice
     drop            store of the head HELD (release) -> claimer's CAS to
                     CLAIMED (acquire)
     take back       CAS to ACTIVE (acquire) <- claimer's store of HELD and
                     adopter's store of HELD (release)
     thin, wake      under the grow lock, but for the CAS to THIN (acquire) <-
                     drop and for the adopter's CAS, who takes the lock
                     afterwards; holes before a punch, and after a backing:
                     system calls, which a kill and the compiler respect
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
  CAN_FREE_AGAIN = 0x40,       /* free once more what it freed */
  CAN_TRIM = 0x80
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
  OWN_NOT_RELEASED,
  THIN_IS_TAKEN_BACK,
  THIN_IS_ADOPTED_ACTIVE,
  THIN_IS_SWEPT,
  THIN_LOOKS_BEFORE_THIN,
  THIN_ENDS_WITH_HOLES,
  HOLES_RECORDED_LATE,
  HOLES_FORGOTTEN_EARLY,
  HOLES_FORGOTTEN_BY_TRIM,
  ACTIVE_BEFORE_BACKED,
  WAKE_WITHOUT_GROW,
  TRIM_WITHOUT_GROW,
  FREE_BEFORE_UNBACKED
};


/* ---- The state ---------------------------------------------------------- */

enum head { FREE, HELD, ACTIVE, CLAIMED, THIN };

/* What the lock was taken for.  */
enum why { FOR_NEW, FOR_SWEEP, FOR_ADOPT, FOR_INHERIT, FOR_THIN };

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
  unsigned int holes;          /* blocks that may have nothing behind them */
  unsigned int bare;           /* the page's slices are not backed */
  unsigned int claim;
  unsigned int lock;           /* 1 + the thread that has it */
  unsigned int grow;           /* likewise */
  unsigned int holder[N_STREAMS];
  unsigned int first[N_STREAMS], queue[N_STREAMS], active[N_STREAMS];
  unsigned int ghost[N_BLOCKS];
  unsigned int punched;        /* blocks that have nothing behind them */
  unsigned int kills;
  unsigned int excused;        /* a block leaked by two overlapping frees */
  unsigned int unhinted;       /* a hint may have been lost */
  unsigned int shared;         /* 1 + a block that two threads will free; then
                                  SHARING_OVER */
  struct thread thread[N_THREADS];

  /* About the step that led here, not part of the state.  */
  unsigned int receiver;       /* of a pointer that is handed out */
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

/* Nobody uses stream T any more.  A thread that is found dead stays so.  */
static bool
is_orphan (const struct state *s, unsigned int stream)
{
  return s->thread[s->holder[stream]].dead;
}


/* ---- The table of steps ------------------------------------------------- */

/* Where a thread stands: before the step so called.  IDLE is none.  */
enum pc
{
  IDLE,
  LOCK_TAKE, LOCK_LEAVE,
  GROW_TAKE, GROW_LEAVE,
  GROW_BACK, GROW_BITS,
  NEW_HEAD, NEW_REM, NEW_OWN, NEW_LINKS, NEW_ACTIVE,
  LIST_HEAD, LIST_LINK,
  PUSH_LINK, PUSH_QUEUE,
  DRAIN_QUEUE, DRAIN_LINK,
  FREE_OWN_LOAD, FREE_OWN_REM, FREE_OWN_STORE,
  FREE_REMOTE_OWN, FREE_REMOTE_FOREIGN, FREE_REMOTE_REM, FREE_REMOTE_AGAIN,
  RECOVER_CLAIM, RECOVER_HEAD, RECOVER_HELD, RECOVER_CLEAR,
  RETIRE_CLAIM, RETIRE_CAS, RETIRE_OWN, RETIRE_REM, RETIRE_DECIDE, RETIRE_CLEAR,
  HOLD_ACTIVE, HOLD_HELD,
  INHERIT_HOLDER,
  TAKE_OWN, TAKE_STORE, TAKE_GIVE,
  FILL_WORD,
  USE_ACTIVE,
  BACK_POP, BACK_CAS,
  WAKE_HEAD, WAKE_BACK, WAKE_HOLES, WAKE_BITS, WAKE_ACTIVE,
  DROP_ACTIVE, DROP_HELD,
  ADOPT_FIND, ADOPT_POP, ADOPT_HEAD, ADOPT_STORE,
  SWEEP_LISTS, SWEEP_HEAD, SWEEP_HELD, SWEEP_LINKS, SWEEP_LOOK,
  CHOOSE_HEAD,
  THIN_HEAD, THIN_ZERO, THIN_CAS, THIN_LOOK, THIN_HOLES, THIN_PUNCH, THIN_HELD,
  THIN_EMPTY, THIN_BARE, THIN_FREE,
  FREE_HEAD, FREE_USE,
  N_PCS
};

/* A step is one access to shared memory; the rest of it is private, and says
   where the thread goes on.  */
typedef void step_fn (struct state *s, struct thread *th);

static step_fn
  lock_take, lock_leave,
  grow_take, grow_leave,
  grow_back, grow_bits,
  new_head, new_rem, new_own, new_links, new_active,
  list_head, list_link,
  push_link, push_queue,
  drain_queue, drain_link,
  free_own_load, free_own_rem, free_own_store,
  free_remote_own, free_remote_foreign, free_remote_rem, free_remote_again,
  recover_claim, recover_head, recover_held, recover_clear,
  retire_claim, retire_cas, retire_own, retire_rem, retire_decide, retire_clear,
  hold_active, hold_held,
  inherit_holder,
  take_own, take_store, take_give,
  fill_word,
  use_active,
  back_pop, back_cas,
  wake_head, wake_back, wake_holes, wake_bits, wake_active,
  drop_active, drop_held,
  adopt_find, adopt_pop, adopt_head, adopt_store,
  sweep_lists, sweep_head, sweep_held, sweep_links, sweep_look,
  choose_head,
  thin_head, thin_zero, thin_cas, thin_look, thin_holes, thin_punch, thin_held,
  thin_empty, thin_bare, thin_free,
  free_head, free_use;

/* What a thread is about before a step, and what a kill costs there.  */
enum stage
{
  ALLOCATES,    /* no hint */
  FREES,        /* no hint; the block is not free yet */
  HINTS,        /* maybe a hint */
  MUTANTS_ONLY  /* likewise; no thread comes here unless a rule is broken */
};

/* The operations stand in the order in which mmalloc.c has them, their steps
   in the order in which a thread takes them.  A row names the function of
   mmalloc.c that has the access, and the one here that stands for it.  */
static const struct step
{
  const char *operation;
  unsigned int number;         /* in the operation, from 1 */
  const char *access;
  const char *function;        /* of mmalloc.c */
  step_fn *step;
  enum stage stage;
} steps[N_PCS] =
{
  /* In the fourth place stand functions of mmalloc.c.  */
  [LOCK_TAKE] = { "lock", 1, "take the heap lock",
                  "lock_heap", lock_take, HINTS },
  [LOCK_LEAVE] = { "lock", 2, "give the heap lock back",
                   "unlock_heap", lock_leave, HINTS },

  [GROW_TAKE] = { "grow lock", 1, "take the grow lock",
                  "lock_grow", grow_take, HINTS },
  [GROW_LEAVE] = { "grow lock", 2, "give the grow lock back",
                   "unlock_grow", grow_leave, HINTS },

  [GROW_BACK] = { "grow", 1, "put disk blocks behind the slices",
                  "grow_back", grow_back, HINTS },
  [GROW_BITS] = { "grow", 2, "store that they are backed",
                  "grow_back", grow_bits, HINTS },

  [NEW_HEAD] = { "new page", 1, "load the head",
                 "run_search_locked", new_head, HINTS },
  [NEW_REM] = { "new page", 2, "load rem",
                "bit_rem", new_rem, HINTS },
  [NEW_OWN] = { "new page", 3, "store own: all blocks are free",
                "run_take_locked", new_own, HINTS },
  [NEW_LINKS] = { "new page", 4, "clear the links",
                  "run_take_locked", new_links, HINTS },
  [NEW_ACTIVE] = { "new page", 5, "store the head ACTIVE",
                   "run_take_locked", new_active, HINTS },

  [LIST_HEAD] = { "list", 1, "load the head",
                  "page_relist", list_head, HINTS },
  [LIST_LINK] = { "list", 2, "store the link and the list",
                  "list_push", list_link, HINTS },

  [PUSH_LINK] = { "push", 1, "CAS the link from 0",
                  "queue_push", push_link, HINTS },
  [PUSH_QUEUE] = { "push", 2, "put the page in the owner's queue",
                   "queue_push", push_queue, HINTS },

  [DRAIN_QUEUE] = { "drain", 1, "exchange the queue with nothing",
                    "queue_drain", drain_queue, HINTS },
  [DRAIN_LINK] = { "drain", 2, "exchange the link with 0",
                   "queue_drain", drain_link, HINTS },

  [FREE_OWN_LOAD] = { "own free", 1, "load own",
                      "page_free_own", free_own_load, FREES },
  [FREE_OWN_REM] = { "own free", 2, "load rem",
                     "page_free_own", free_own_rem, FREES },
  [FREE_OWN_STORE] = { "own free", 3, "store own: the block is free",
                       "page_free_own", free_own_store, FREES },

  [FREE_REMOTE_OWN] = { "remote free", 1, "load own",
                        "page_free_remote", free_remote_own, FREES },
  [FREE_REMOTE_FOREIGN] = { "remote free", 2, "load foreign, set it if it is 0",
                            "page_free_remote", free_remote_foreign, FREES },
  [FREE_REMOTE_REM] = { "remote free", 3, "or, and rem: the block is free",
                        "page_free_remote", free_remote_rem, FREES },
  [FREE_REMOTE_AGAIN] = { "remote free", 4, "load own: were all blocks live?",
                          "page_free_remote", free_remote_again, HINTS },

  [RECOVER_CLAIM] = { "recover", 1, "load the claim record",
                      "dead_owner_locked", recover_claim, HINTS },
  [RECOVER_HEAD] = { "recover", 2, "load the head",
                     "dead_owner_locked", recover_head, HINTS },
  [RECOVER_HELD] = { "recover", 3, "store the head HELD",
                     "dead_owner_locked", recover_held, HINTS },
  [RECOVER_CLEAR] = { "recover", 4, "clear the claim record",
                      "dead_owner_locked", recover_clear, HINTS },

  [RETIRE_CLAIM] = { "retire", 1, "store the claim record",
                     "page_retire_locked", retire_claim, HINTS },
  [RETIRE_CAS] = { "retire", 2, "CAS the head from HELD to CLAIMED",
                   "page_retire_locked", retire_cas, HINTS },
  [RETIRE_OWN] = { "retire", 3, "load own",
                   "page_live_bits", retire_own, HINTS },
  [RETIRE_REM] = { "retire", 4, "load rem",
                   "page_live_bits", retire_rem, HINTS },
  [RETIRE_DECIDE] = { "retire", 5, "store the head FREE or HELD",
                      "page_retire_locked", retire_decide, HINTS },
  [RETIRE_CLEAR] = { "retire", 6, "clear the claim record",
                     "page_retire_locked", retire_clear, HINTS },

  [HOLD_ACTIVE] = { "hold", 1, "exchange the number of the page in the bin",
                    "stream_hold_all", hold_active, HINTS },
  [HOLD_HELD] = { "hold", 2, "store the head HELD",
                  "stream_hold_all", hold_held, HINTS },

  [INHERIT_HOLDER] = { "inherit", 1, "store the stream's holder",
                       "stream_claim", inherit_holder, HINTS },

  [TAKE_OWN] = { "take", 1, "load own",
                 "bin_take", take_own, ALLOCATES },
  [TAKE_STORE] = { "take", 2, "store own: the block is live",
                   "bin_take", take_store, ALLOCATES },
  [TAKE_GIVE] = { "take", 3, "the program stores the pointer",
                  "mmalloc", take_give, ALLOCATES },

  [FILL_WORD] = { "fill", 1, "load own and rem",
                  "bin_fill", fill_word, ALLOCATES },

  [USE_ACTIVE] = { "use", 1, "store the number of the page in the bin",
                   "bin_use", use_active, HINTS },

  [BACK_POP] = { "take back", 1, "unlink the first page of the list",
                 "list_pop", back_pop, HINTS },
  [BACK_CAS] = { "take back", 2, "CAS the head from HELD to ACTIVE",
                 "page_take", back_cas, HINTS },

  [WAKE_HEAD] = { "wake", 1, "load the head: is it THIN still?",
                  "page_wake", wake_head, HINTS },
  [WAKE_BACK] = { "wake", 2, "put disk blocks behind the holes",
                  "page_back_holes", wake_back, HINTS },
  [WAKE_HOLES] = { "wake", 3, "store that there are none",
                   "page_back_holes", wake_holes, HINTS },
  [WAKE_BITS] = { "wake", 4, "store that the slices are backed",
                  "page_back_holes", wake_bits, HINTS },
  [WAKE_ACTIVE] = { "wake", 5, "CAS the head from THIN to ACTIVE",
                    "page_wake", wake_active, HINTS },

  [DROP_ACTIVE] = { "drop", 1, "clear the number of the page in the bin",
                    "stream_hold_all", drop_active, HINTS },
  [DROP_HELD] = { "drop", 2, "store the head HELD",
                  "page_drop", drop_held, HINTS },

  [ADOPT_FIND] = { "adopt", 1, "exchange the number in a dead one's bin",
                   "bin_adopt", adopt_find, HINTS },
  [ADOPT_POP] = { "adopt", 2, "unlink the first page of the list",
                  "list_pop", adopt_pop, HINTS },
  [ADOPT_HEAD] = { "adopt", 3, "load the head",
                   "page_take", adopt_head, HINTS },
  [ADOPT_STORE] = { "adopt", 4, "store the head ACTIVE, or THIN, for ours",
                    "page_take", adopt_store, HINTS },

  [SWEEP_LISTS] = { "sweep", 1, "empty the lists and queues",
                    "sweep", sweep_lists, HINTS },
  [SWEEP_HEAD] = { "sweep", 2, "load the head",
                   "sweep", sweep_head, HINTS },
  [SWEEP_HELD] = { "sweep", 3, "store the head HELD",
                   "sweep", sweep_held, HINTS },
  [SWEEP_LINKS] = { "sweep", 4, "clear the links",
                    "sweep", sweep_links, HINTS },
  [SWEEP_LOOK] = { "sweep", 5, "load own and rem: is there room?",
                   "page_count_free", sweep_look, HINTS },

  [CHOOSE_HEAD] = { "choose", 1, "load the head: adopt, or a new page?",
                    "take_small", choose_head, HINTS },

  [THIN_HEAD] = { "thin", 1, "load the head: HELD, or THIN already?",
                  "trim_page", thin_head, HINTS },
  [THIN_ZERO] = { "thin", 2, "store that there are no holes",
                  "trim_page", thin_zero, HINTS },
  [THIN_CAS] = { "thin", 3, "CAS the head from HELD to THIN",
                 "trim_page", thin_cas, HINTS },
  [THIN_LOOK] = { "thin", 4, "load own and rem",
                  "page_free_bits", thin_look, HINTS },
  [THIN_HOLES] = { "thin", 5, "store where holes will be",
                   "trim_make_holes", thin_holes, HINTS },
  [THIN_PUNCH] = { "thin", 6, "give back what is behind them",
                   "trim_make_holes", thin_punch, HINTS },
  [THIN_HELD] = { "thin", 7, "CAS the head from THIN to HELD: there are none",
                  "trim_page", thin_held, HINTS },
  [THIN_EMPTY] = { "thin", 8, "load own and rem: is the page empty?",
                   "sweep_retire_thin", thin_empty, HINTS },
  [THIN_BARE] = { "thin", 9, "store that its slices are not backed",
                  "sweep_retire_thin", thin_bare, HINTS },
  [THIN_FREE] = { "thin", 10, "store the head FREE",
                  "sweep_retire_thin", thin_free, HINTS },

  [FREE_HEAD] = { "free", 1, "load the head",
                  "place_find", free_head, FREES },
  [FREE_USE] = { "free", 2, "use the block too late",
                 "give_block", free_use, MUTANTS_ONLY }
};


/* ---- Packing ------------------------------------------------------------ */

enum { PACKED_WORDS = 4 };

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
  field (k, &s->head, 3);
  field (k, &s->owner, 2);
  field (k, &s->foreign, 1);
  field (k, &s->link, 1);
  field (k, &s->qlink, 1);
  for (unsigned int w = 0; w < N_WORDS; w++)
    {
      field (k, &s->own[w], WORD_BITS);
      field (k, &s->rem[w], WORD_BITS);
    }
  field (k, &s->holes, N_BLOCKS);
  field (k, &s->punched, N_BLOCKS);
  field (k, &s->bare, 1);
  field (k, &s->claim, 1);
  field (k, &s->lock, 3);
  field (k, &s->grow, 3);
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
      field (k, &th->pc, 7);
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
      field (k, &th->why, 3);
      field (k, &th->then, 3);
      field (k, &th->in_malloc, 1);
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


/* ---- What steps have in common ------------------------------------------ */

static void
wrong (struct state *s, const char *what)
{
  if (s->wrong == NULL)
    s->wrong = what;
}

static unsigned int
number_of (const struct state *s, const struct thread *th)
{
  return (unsigned int) (th - s->thread);
}

/* Whether a thread may do this; the survivor may adopt.  */
static bool
may (const struct state *s, const struct thread *th, unsigned int role)
{
  unsigned int t = number_of (s, th);
  return ((t == SURVIVOR ? CAN_ADOPT : scene->actor[t].roles) & role) != 0;
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
  th->pc = LOCK_TAKE;
}

/* Take the grow lock, and then go on with a step of FOR_NEW: grow; of
   FOR_ADOPT: wake the page; of FOR_THIN.  */
static void
grow_for (struct thread *th, enum why why)
{
  th->why = why;
  th->pc = GROW_TAKE;
}

/* The step for which the lock was taken.  */
static void
lock_use (struct thread *th)
{
  static const enum pc first[] = { NEW_HEAD, SWEEP_LISTS, ADOPT_FIND,
                                   INHERIT_HOLDER, THIN_EMPTY };
  th->keep = 0;
  th->word = 0;
  th->pc = first[th->why];
}

/* Private part of malloc: which step comes first.  */
static void
malloc_start (struct thread *th)
{
  th->in_malloc = 1;
  if (th->avail != 0)
    th->pc = TAKE_OWN;
  else
    th->word = 0, th->pc = th->in_bin ? FILL_WORD : BACK_POP;
}

/* The page leaves the bin, and malloc looks for another, or it is listed and
   the thread goes on with THEN.  */
static void
drop_start (struct thread *th, enum then then)
{
  if (!is_broken (AVAIL_KEPT_AFTER_DROP))
    th->avail = th->word = 0;
  th->then = then;
  th->pc = DROP_ACTIVE;
}

static void
sweep_start (struct thread *th)
{
  lock_for (th, FOR_SWEEP);
  if (th->in_bin)
    drop_start (th, THEN_LOCK);
}

/* Start a free of block B.  */
static void
free_start (struct state *s, struct thread *th, unsigned int b)
{
  unsigned int t = number_of (s, th), held = s->ghost[b];
  th->block = b;
  th->legality = held == NOBODY ? AGAIN : s->shared == b + 1 ? SHARED : LEGAL;
  if (held == HELD_BY + t)
    s->ghost[b] = IN_CALL_OF + t;
  else
    th->stale = 0;
  th->pc = FREE_HEAD;
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
free_done (struct state *s, struct thread *th, bool was_live, enum pc next)
{
  unsigned int b = th->block;
  if (th->legality == AGAIN)
    wrong (s, "M5: a free of a free block was not noticed");
  else if (is_live (s, b) == was_live)
    wrong (s, "M5: two frees of one block, and neither noticed nor leaked");
  if (was_live)
    {
      /* If another thread holds the same pointer, it is stale from now on.  */
      for (unsigned int u = 0; u < N_ACTORS; u++)
        if (s->ghost[b] == HELD_BY + u && &s->thread[u] != th)
          s->thread[u].stale = b + 1;
      s->ghost[b] = NOBODY;
      if (th->legality == LEGAL && may (s, th, CAN_FREE_AGAIN))
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

/* The page is listed, or there is no need.  */
static void
listed (struct thread *th)
{
  static const enum pc next[] = { IDLE, BACK_POP, LOCK_TAKE, DRAIN_QUEUE,
                                  ADOPT_POP, LOCK_LEAVE };
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

/* The page is ACTIVE and in the thread's bin.  */
static void
head_store_active (struct state *s, struct thread *th)
{
  head_store (s, ACTIVE, th->stream);
  th->in_bin = 1;
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

/* Store own of the page in use.  */
static void
own_store (struct state *s, const struct thread *th, unsigned int w,
           unsigned int value)
{
  if ((s->head == FREE || s->holder[s->owner] != number_of (s, th)) && !broken)
    wrong (s, "M3: own stored by a thread that does not own the page");
  for (unsigned int u = 0; u < N_ACTORS; u++)
    if (s->thread[u].pc == FREE_REMOTE_AGAIN
        && word_of (s->thread[u].block) == w)
      s->unhinted = 1;
  s->own[w] = value;
}

/* Some thread is inside of a free of the block that it should not have called,
   and has not changed it yet.  */
static bool
misuse_is_under_way (const struct state *s, unsigned int block)
{
  for (unsigned int t = 0; t < N_THREADS; t++)
    {
      const struct thread *th = &s->thread[t];
      if (steps[th->pc].stage == FREES && th->block == block
          && th->legality != LEGAL)
        return true;
    }
  return false;
}

/* Whether a stream's pages can be adopted.  */
static bool
is_adoptable (const struct state *s, const struct thread *th,
              unsigned int stream)
{
  return stream != th->stream
         && (is_orphan (s, stream) || is_broken (ADOPT_FROM_THE_LIVING));
}

/* Whether a sweep may store the page's links and lists.  */
static bool
sweep_is_ours (const struct state *s, const struct thread *th)
{
  return th->owner == th->stream
         || ((th->ours >> th->owner & 1) && is_orphan (s, th->owner));
}

/* All words were looked at for retirement.  */
static void
retire_looked (struct thread *th)
{
  th->word = 0;
  th->own = 0;
  th->pc = is_broken (CLAIM_CLEARED_EARLY) ? RETIRE_CLEAR
           : is_broken (RETIRE_LOOKS_BEFORE_CLAIMED) ? RETIRE_CAS
           : RETIRE_DECIDE;
}

/* The page stays or was retired, and no claim tells of it.  */
static void
retire_over (const struct state *s, struct thread *th)
{
  th->pc = th->keep && sweep_is_ours (s, th) ? SWEEP_LINKS : LOCK_LEAVE;
}


/* ---- The steps, as in the table ----------------------------------------- */

static void
lock_take (struct state *s, struct thread *th)
{
  bool dead = s->lock != 0;
  s->lock = number_of (s, th) + 1;
  if (dead && !is_broken (RECOVERY_SKIPS_CLAIM))
    th->pc = RECOVER_CLAIM;
  else
    lock_use (th);
}

static void
lock_leave (struct state *s, struct thread *th)
{
  if (!is_broken (INHERIT_WITHOUT_LOCK) || th->why != FOR_INHERIT)
    s->lock = 0;
  th->keep = th->ours = 0;
  if (th->why == FOR_INHERIT && th->stream != NONE)
    th->owner = th->stream, th->pc = HOLD_ACTIVE;
  else if (th->why == FOR_THIN)
    th->pc = GROW_LEAVE;
  else if (th->in_malloc && !th->in_bin)
    th->owner = th->stream, grow_for (th, FOR_ADOPT);
  else if (th->in_malloc)
    th->pc = USE_ACTIVE;
  else
    op_end (th);
}

static void
grow_take (struct state *s, struct thread *th)
{
  static const enum pc first[] = { [FOR_NEW] = GROW_BACK,
                                   [FOR_ADOPT] = WAKE_HEAD,
                                   [FOR_THIN] = THIN_HEAD };
  s->grow = number_of (s, th) + 1;
  th->pc = first[th->why];
}

/* Nobody looks for a page again who has got one.  */
static void
grow_leave (struct state *s, struct thread *th)
{
  if (s->grow == number_of (s, th) + 1)
    s->grow = 0;
  if (th->why == FOR_THIN)
    op_end (th);
  else if (th->in_bin)
    th->pc = USE_ACTIVE;
  else if (th->why == FOR_NEW)
    th->pc = CHOOSE_HEAD;
  else
    th->why = 0, th->owner = 0, th->pc = BACK_POP;
}

/* Others may have grown the heap meanwhile.  */
static void
grow_back (struct state *s, struct thread *th)
{
  th->pc = GROW_LEAVE;
  if (s->head == FREE && s->bare)
    s->punched = 0, th->pc = GROW_BITS;
}

static void
grow_bits (struct state *s, struct thread *th)
{
  s->bare = 0;
  th->pc = GROW_LEAVE;
}

/* mmalloc.c asks the chunk's index, which follows the heads.  */
static void
new_head (struct state *s, struct thread *th)
{
  if (s->head != FREE || s->bare)
    th->in_malloc = 0, th->pc = LOCK_LEAVE;
  else
    th->pc = is_broken (HEAD_BEFORE_WORDS) ? NEW_ACTIVE : NEW_REM;
}

/* Nobody changes rem of a free page, but for a free that is called once too
   often and began before.  Were rem cleared, it could find own and rem of
   different times, and not notice.  */
static void
new_rem (struct state *s, struct thread *th)
{
  if (is_broken (NEW_PAGE_CLEARS_REM) || is_broken (HEAD_BEFORE_WORDS))
    s->rem[th->word] = 0;
  if (is_broken (NEW_PAGE_CLEARS_FOREIGN))
    s->foreign = 0;
  th->own = rem_load (s, th->word);
  if (!is_broken (NO_BLOCK_IS_FREE))
    th->own ^= ALL_LIVE & ~scene->valid[th->word];
  th->pc = NEW_OWN;
}

static void
new_own (struct state *s, struct thread *th)
{
  s->own[th->word] = th->own;
  th->own = 0;
  if (++th->word < N_WORDS)
    th->pc = NEW_REM;
  else
    {
      th->word = 0;
      th->pc = is_broken (HEAD_BEFORE_WORDS) ? LOCK_LEAVE : NEW_LINKS;
    }
}

static void
new_links (struct state *s, struct thread *th)
{
  s->unhinted = 0;
  if (!is_broken (NEW_PAGE_KEEPS_LINKS))
    s->link = s->qlink = 0;
  th->pc = NEW_ACTIVE;
}

static void
new_active (struct state *s, struct thread *th)
{
  head_store_active (s, th);
  th->pc = is_broken (HEAD_BEFORE_WORDS) ? NEW_REM : LOCK_LEAVE;
  for (unsigned int u = 0; u < N_ACTORS; u++)
    if (s->thread[u].legality == SHARED)
      s->undefined = 1;         /* its bit may belong to another block now */
}

static void
list_head (struct state *s, struct thread *th)
{
  if (s->owner == th->owner && s->head != FREE && s->head != ACTIVE)
    th->pc = LIST_LINK;
  else
    listed (th);
}

/* The number in the list is stored by the stream's holder only, so it is one
   step with the link.  */
static void
list_link (struct state *s, struct thread *th)
{
  s->unhinted |= s->head == FREE || s->owner != th->owner;
  if (!s->link)
    s->link = s->first[th->owner] = 1;
  listed (th);
}

static void
push_link (struct state *s, struct thread *th)
{
  if (s->qlink)
    op_end (th);
  else
    s->qlink = 1, th->pc = PUSH_QUEUE;
}

static void
push_queue (struct state *s, struct thread *th)
{
  s->unhinted |= s->head == FREE || s->owner != th->owner;
  s->qlink = 1;
  s->queue[th->owner] = 1;
  op_end (th);
}

static void
drain_queue (struct state *s, struct thread *th)
{
  bool adopts = th->in_malloc && th->why == FOR_ADOPT;
  bool there = s->queue[th->owner]
               && !(adopts && is_broken (ADOPT_WITHOUT_DRAIN));
  s->queue[th->owner] = 0;
  th->then = !there ? THEN_IDLE : adopts ? THEN_ADOPT : THEN_POP;
  th->pc = there ? DRAIN_LINK : adopts ? ADOPT_POP : CHOOSE_HEAD;
}

static void
drain_link (struct state *s, struct thread *th)
{
  if (!is_broken (DRAIN_KEEPS_LINK))
    s->qlink = 0;
  th->pc = LIST_HEAD;
}

static void
free_own_load (struct state *s, struct thread *th)
{
  th->own = s->own[word_of (th->block)];
  th->pc = FREE_OWN_REM;
}

static void
free_own_rem (struct state *s, struct thread *th)
{
  th->rem = rem_load (s, word_of (th->block));
  if (((th->own ^ th->rem) & bit_of (th->block)) == 0
      && !is_broken (OWNER_UNCHECKED))
    free_refuse (s, th);
  else
    th->pc = FREE_OWN_STORE;
}

static void
free_own_store (struct state *s, struct thread *th)
{
  unsigned int b = th->block;
  bool was_live = is_live (s, b);
  bool full = (th->own ^ th->rem) == ALL_LIVE
              && !is_broken (OWNER_DOES_NOT_LIST);
  own_store (s, th, word_of (b), th->own ^ bit_of (b));
  th->own = th->rem = 0;
  free_done (s, th, was_live, is_broken (OWN_NOT_RELEASED) ? FREE_USE
                              : full ? LIST_HEAD : IDLE);
}

static void
free_remote_own (struct state *s, struct thread *th)
{
  th->own = s->own[word_of (th->block)];
  th->pc = is_broken (FOREIGN_NEVER_SET) || is_broken (FOREIGN_SET_LATE)
           ? FREE_REMOTE_REM : FREE_REMOTE_FOREIGN;
}

static void
free_remote_foreign (struct state *s, struct thread *th)
{
  if (is_broken (FOREIGN_SET_LATE))
    s->foreign = 1, th->pc = FREE_REMOTE_AGAIN;
  else if (!s->foreign && (th->own & bit_of (th->block)) == 0)
    free_refuse (s, th);
  else
    s->foreign = 1, th->pc = FREE_REMOTE_REM;
  if (is_broken (REM_STORED_NOT_RMW))
    th->rem = s->rem[word_of (th->block)];
}

static void
free_remote_rem (struct state *s, struct thread *th)
{
  unsigned int b = th->block, bit = bit_of (b), *rem = &s->rem[word_of (b)];
  unsigned int old = is_broken (REM_STORED_NOT_RMW) ? th->rem : *rem;
  bool was_live = is_live (s, b);
  bool same = ((old ^ th->own) & bit) == 0;
  *rem = (old & ~bit) | (th->own & bit);
  th->rem = old;
  if (!is_broken (OWN_NOT_READ_AGAIN))
    th->own = 0;
  if (same && !is_broken (RMW_RESULT_UNCHECKED))
    free_refuse (s, th);
  else
    free_done (s, th, was_live,
               is_broken (REM_NOT_RELEASED) ? FREE_USE
               : is_broken (FOREIGN_SET_LATE) ? FREE_REMOTE_FOREIGN
               : FREE_REMOTE_AGAIN);
}

static void
free_remote_again (struct state *s, struct thread *th)
{
  if (!is_broken (OWN_NOT_READ_AGAIN))
    th->own = s->own[word_of (th->block)];
  if ((th->own ^ th->rem) == ALL_LIVE && !is_broken (OTHERS_DO_NOT_PUSH))
    th->own = th->rem = 0, th->pc = PUSH_LINK;
  else
    op_end (th);
}

static void
recover_claim (struct state *s, struct thread *th)
{
  if (s->claim)
    th->pc = RECOVER_HEAD;
  else
    lock_use (th);
}

static void
recover_head (struct state *s, struct thread *th)
{
  th->owner = s->owner;
  th->word = 0;
  th->pc = s->head == CLAIMED ? RECOVER_HELD : RECOVER_CLEAR;
}

static void
recover_held (struct state *s, struct thread *th)
{
  if (is_broken (RECOVERY_RETIRES))
    retire_decide (s, th);
  else
    head_store (s, HELD, th->owner);
  th->pc = RECOVER_CLEAR;
}

static void
recover_clear (struct state *s, struct thread *th)
{
  s->claim = 0;
  lock_use (th);
}

static void
retire_claim (struct state *s, struct thread *th)
{
  s->claim = 1;
  th->pc = is_broken (RETIRE_LOOKS_BEFORE_CLAIMED)
           || is_broken (CLAIM_WRITTEN_LATE) ? RETIRE_OWN : RETIRE_CAS;
}

static void
retire_cas (struct state *s, struct thread *th)
{
  if ((s->head != HELD && !(s->head == THIN && is_broken (THIN_IS_SWEPT)))
      || s->owner != th->owner)
    {
      th->keep = s->head == THIN;
      th->pc = RETIRE_CLEAR;
    }
  else
    {
      head_store (s, CLAIMED, th->owner);
      th->pc = is_broken (RETIRE_LOOKS_BEFORE_CLAIMED) ? RETIRE_DECIDE
               : is_broken (CLAIM_WRITTEN_LATE) ? RETIRE_CLAIM : RETIRE_OWN;
    }
}

static void
retire_own (struct state *s, struct thread *th)
{
  th->own = s->own[th->word];
  th->pc = RETIRE_REM;
}

static void
retire_rem (struct state *s, struct thread *th)
{
  unsigned int w = th->word;
  th->keep |= ((th->own ^ rem_load (s, w)) & scene->valid[w]) != 0;
  if (++th->word < N_WORDS && !th->keep
      && !is_broken (RETIRE_LOOKS_AT_ONE_WORD))
    th->pc = RETIRE_OWN;
  else
    retire_looked (th);
}

static void
retire_decide (struct state *s, struct thread *th)
{
  for (unsigned int b = 0; b < N_BLOCKS && !th->keep; b++)
    if (s->excused && s->ghost[b] == LEAKED)
      s->ghost[b] = NOBODY;     /* two frees leaked it after it was looked at:
                                   the leak goes with the page */
    else if (is_block (b) && (is_live (s, b) || s->ghost[b] != NOBODY))
      wrong (s, "M4: a page with a live block was retired");
  if (!th->keep || !is_broken (RETIRE_WITHOUT_CLAIMED))
    head_store (s, th->keep ? HELD : FREE, th->owner);
  if (is_broken (RETIRE_WITHOUT_CLAIMED) || is_broken (CLAIM_CLEARED_EARLY))
    retire_over (s, th);
  else
    th->pc = RETIRE_CLEAR;
}

static void
retire_clear (struct state *s, struct thread *th)
{
  s->claim = 0;
  if (is_broken (CLAIM_CLEARED_EARLY) && s->head == CLAIMED)
    th->pc = RETIRE_DECIDE;
  else
    retire_over (s, th);
}

static void
hold_active (struct state *s, struct thread *th)
{
  th->then = th->why == FOR_ADOPT ? THEN_DRAIN : THEN_IDLE;
  if (!s->active[th->owner] || is_broken (INHERIT_WITHOUT_HOLD))
    listed (th);
  else
    s->active[th->owner] = 0, th->pc = HOLD_HELD;
}

static void
hold_held (struct state *s, struct thread *th)
{
  if (s->head == ACTIVE && s->owner == th->owner)
    {
      head_store (s, HELD, th->owner);
      th->pc = LIST_LINK;
    }
  else
    listed (th);
}

static void
inherit_holder (struct state *s, struct thread *th)
{
  for (unsigned int i = 0; i < SURVIVOR_STREAM; i++)
    if (th->stream == NONE && is_orphan (s, i))
      {
        s->holder[i] = number_of (s, th);
        th->stream = i;
      }
  th->pc = LOCK_LEAVE;
}

static void
take_own (struct state *s, struct thread *th)
{
  th->own = s->own[th->word];
  th->block = th->word * WORD_BITS + (th->avail & 1 ? 0 : 1);
  th->pc = TAKE_STORE;
}

static void
take_store (struct state *s, struct thread *th)
{
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
  own_store (s, th, word_of (b), th->own ^ bit_of (b));
  th->avail &= ~bit_of (b);
  s->ghost[b] = IN_CALL_OF + number_of (s, th);
  th->own = 0;
  th->pc = TAKE_GIVE;
}

/* Another thread finds the pointer there.  */
static void
take_give (struct state *s, struct thread *th)
{
  s->ghost[th->block] = HELD_BY + s->receiver;
  if (scene->share && !s->shared && s->receiver != 2)
    s->shared = s->thread[2].stale = th->block + 1;
  op_end (th);
}

/* Nobody else stores own, so that it is one step with rem.  */
static void
fill_word (struct state *s, struct thread *th)
{
  th->avail = free_bits (s, th->word);
  if (th->avail != 0)
    th->pc = TAKE_OWN;
  else if (++th->word == N_WORDS)
    th->word = 0, th->pc = DROP_ACTIVE;
}

static void
use_active (struct state *s, struct thread *th)
{
  s->active[th->stream] = 1;
  th->why = th->owner = th->word = 0;
  th->pc = FILL_WORD;
}

static void
back_pop (struct state *s, struct thread *th)
{
  bool there = s->first[th->stream];
  s->first[th->stream] = 0;
  if (there && !is_broken (POP_KEEPS_LINK))
    s->link = 0;
  th->owner = th->stream;
  th->pc = there ? BACK_CAS : DRAIN_QUEUE;
}

static void
back_cas (struct state *s, struct thread *th)
{
  bool own = s->owner == th->stream;
  s->unhinted |= s->head == CLAIMED;
  if (is_broken (TAKE_BACK_BY_STORE)
      || (s->head == HELD && own)
      || (s->head == THIN && own && is_broken (THIN_IS_TAKEN_BACK)))
    {
      head_store_active (s, th);
      th->pc = USE_ACTIVE;
    }
  else if (s->head == THIN && own && is_broken (WAKE_WITHOUT_GROW))
    th->why = FOR_ADOPT, th->pc = WAKE_HEAD;
  else if (s->head == THIN && own)
    grow_for (th, FOR_ADOPT);
  else
    th->pc = BACK_POP;
}

/* The page may be HELD again, or no page any more.  */
static void
wake_head (struct state *s, struct thread *th)
{
  bool own = s->owner == th->stream;
  if (s->head == THIN && own)
    th->pc = is_broken (ACTIVE_BEFORE_BACKED) ? WAKE_ACTIVE
             : is_broken (HOLES_FORGOTTEN_EARLY) ? WAKE_HOLES : WAKE_BACK;
  else if (s->head == HELD && own)
    th->pc = WAKE_ACTIVE;
  else
    th->pc = GROW_LEAVE;
  s->unhinted |= s->head == CLAIMED;
}

static void
wake_back (struct state *s, struct thread *th)
{
  s->punched &= ~(is_broken (HOLES_FORGOTTEN_EARLY) ? th->own | th->rem << 2
                                                    : s->holes);
  th->own = th->rem = 0;
  th->pc = is_broken (HOLES_FORGOTTEN_EARLY) ? WAKE_BITS : WAKE_HOLES;
}

static void
wake_holes (struct state *s, struct thread *th)
{
  if (is_broken (HOLES_FORGOTTEN_EARLY))
    th->own = s->holes & 3, th->rem = s->holes >> 2, th->pc = WAKE_BACK;
  else
    th->pc = WAKE_BITS;
  s->holes = 0;
}

static void
wake_bits (struct state *s, struct thread *th)
{
  s->bare = 0;
  th->pc = is_broken (ACTIVE_BEFORE_BACKED) ? GROW_LEAVE : WAKE_ACTIVE;
}

/* From HELD, too, if it is that again: a sweep may have claimed it then.  */
static void
wake_active (struct state *s, struct thread *th)
{
  th->pc = GROW_LEAVE;
  if (s->owner == th->stream && (s->head == THIN || s->head == HELD))
    {
      if (s->head == THIN && is_broken (ACTIVE_BEFORE_BACKED))
        th->pc = WAKE_BACK;
      head_store_active (s, th);
    }
  s->unhinted |= s->head == CLAIMED;
}

static void
drop_active (struct state *s, struct thread *th)
{
  s->active[th->stream] = 0;
  th->pc = DROP_HELD;
}

static void
drop_held (struct state *s, struct thread *th)
{
  head_store (s, HELD, th->stream);
  th->in_bin = 0;
  th->owner = th->stream;
  if (th->in_malloc)
    th->pc = BACK_POP;
  else if (is_broken (DROP_DOES_NOT_LIST))
    listed (th);
  else
    th->pc = LIST_LINK;
}

/* All orphans are searched; one at most has the page.  */
static void
adopt_find (struct state *s, struct thread *th)
{
  th->owner = s->owner;
  if (s->head != FREE && is_adoptable (s, th, s->owner))
    hold_active (s, th);
  else
    th->in_malloc = 0, th->pc = LOCK_LEAVE;
}

static void
adopt_pop (struct state *s, struct thread *th)
{
  if (s->first[th->owner])
    s->first[th->owner] = s->link = 0, th->pc = ADOPT_HEAD;
  else
    th->in_malloc = 0, th->pc = LOCK_LEAVE;
}

static void
adopt_head (struct state *s, struct thread *th)
{
  th->pc = (s->head == HELD || s->head == THIN) && s->owner == th->owner
           ? ADOPT_STORE : ADOPT_POP;
}

/* That it is HELD or THIN may change, if somebody trims: then again.  */
static void
adopt_store (struct state *s, struct thread *th)
{
  s->unhinted |= s->qlink;      /* pushed since the queue was drained */
  if (s->head == THIN && !is_broken (THIN_IS_ADOPTED_ACTIVE))
    head_store (s, THIN, th->stream);
  else
    head_store_active (s, th);
  th->pc = LOCK_LEAVE;
}

static void
sweep_lists (struct state *s, struct thread *th)
{
  for (unsigned int i = 0; i < N_STREAMS; i++)
    if (i == th->stream || is_orphan (s, i))
      {
        s->first[i] = s->queue[i] = 0;
        th->ours |= 1u << i;
      }
  th->pc = SWEEP_HEAD;
}

static void
sweep_head (struct state *s, struct thread *th)
{
  th->owner = s->owner;
  if (s->head == ACTIVE && sweep_is_ours (s, th)
      && !is_broken (SWEEP_FORGETS_ACTIVE))
    th->pc = SWEEP_HELD;
  else if (s->head == THIN && !is_broken (THIN_IS_SWEPT))
    th->pc = sweep_is_ours (s, th) ? SWEEP_LINKS : LOCK_LEAVE;
  else if (s->head != HELD && s->head != THIN)
    th->pc = LOCK_LEAVE;
  else
    th->pc = is_broken (RETIRE_WITHOUT_CLAIMED) ? RETIRE_OWN
             : is_broken (CLAIM_WRITTEN_LATE) ? RETIRE_CAS : RETIRE_CLAIM;
}

static void
sweep_held (struct state *s, struct thread *th)
{
  head_store (s, HELD, th->owner);
  th->pc = SWEEP_HEAD;
}

static void
sweep_links (struct state *s, struct thread *th)
{
  if (!is_broken (SWEEP_KEEPS_LINKS))
    s->link = s->qlink = 0;
  th->word = 0;
  th->pc = SWEEP_LOOK;
}

static void
sweep_look (struct state *s, struct thread *th)
{
  if (free_bits (s, th->word) != 0)
    th->then = THEN_UNLOCK, th->word = 0, th->pc = LIST_LINK;
  else if (++th->word == N_WORDS)
    th->word = 0, th->pc = LOCK_LEAVE;
}

/* mmalloc.c tries one after the other.  */
static void
choose_head (struct state *s, struct thread *th)
{
  if (s->head == FREE && s->bare)
    grow_for (th, FOR_NEW);
  else if (s->head == FREE)
    lock_for (th, FOR_NEW);
  else if (may (s, th, CAN_ADOPT) && is_adoptable (s, th, s->owner))
    lock_for (th, FOR_ADOPT);
  else
    op_end (th);
}

/* Who looks first, whether it is worth while, looks once more in THIN.  */
static void
thin_head (struct state *s, struct thread *th)
{
  th->owner = s->owner;
  th->word = 0;
  th->pc = s->head == THIN || (s->head == HELD
                               && is_broken (THIN_LOOKS_BEFORE_THIN))
             ? THIN_LOOK
           : s->head == HELD ? THIN_ZERO : GROW_LEAVE;
}

static void
thin_zero (struct state *s, struct thread *th)
{
  s->holes = 0;
  th->pc = THIN_CAS;
}

static void
thin_cas (struct state *s, struct thread *th)
{
  th->pc = GROW_LEAVE;
  if (s->head != HELD || s->owner != th->owner)
    return;
  head_store (s, THIN, th->owner);
  th->pc = is_broken (THIN_LOOKS_BEFORE_THIN) ? THIN_HOLES : THIN_LOOK;
}

/* Which blocks of word 0 are free goes into own, of word 1 into rem.  */
static void
thin_look (struct state *s, struct thread *th)
{
  unsigned int *gain = th->word == 0 ? &th->own : &th->rem;
  *gain = free_bits (s, th->word);
  if (++th->word < N_WORDS)
    return;
  th->word = 0;
  th->pc = is_broken (THIN_LOOKS_BEFORE_THIN) && s->head == HELD ? THIN_ZERO
           : is_broken (HOLES_RECORDED_LATE) ? THIN_PUNCH : THIN_HOLES;
}

static void
thin_holes (struct state *s, struct thread *th)
{
  unsigned int gain = th->own | th->rem << WORD_BITS;
  s->holes = is_broken (HOLES_FORGOTTEN_BY_TRIM) ? gain & ~s->holes
                                                 : s->holes | gain;
  if (s->holes == 0 || is_broken (HOLES_RECORDED_LATE))
    th->own = th->rem = 0;
  th->pc = s->holes == 0 || is_broken (THIN_ENDS_WITH_HOLES) ? THIN_HELD
           : is_broken (HOLES_RECORDED_LATE) ? LOCK_TAKE : THIN_PUNCH;
  if (is_broken (THIN_ENDS_WITH_HOLES))
    s->punched |= gain, th->own = th->rem = 0;
}

static void
thin_punch (struct state *s, struct thread *th)
{
  s->punched |= th->own | th->rem << WORD_BITS;
  if (is_broken (HOLES_RECORDED_LATE))
    th->pc = THIN_HOLES;
  else
    {
      th->own = th->rem = 0;
      lock_for (th, FOR_THIN);
    }
}

/* An adopter may have changed the owner meanwhile: then again.  */
static void
thin_held (struct state *s, struct thread *th)
{
  if (s->head == THIN)
    head_store (s, HELD, s->owner);
  th->pc = GROW_LEAVE;
}

static void
thin_empty (struct state *s, struct thread *th)
{
  th->keep |= s->head != THIN
              || free_bits (s, th->word) != scene->valid[th->word];
  if (th->keep)
    th->word = 0, th->pc = LOCK_LEAVE;
  else if (++th->word == N_WORDS)
    th->word = 0, th->pc = is_broken (FREE_BEFORE_UNBACKED) ? THIN_FREE
                                                            : THIN_BARE;
}

static void
thin_bare (struct state *s, struct thread *th)
{
  s->bare = 1;
  th->pc = is_broken (FREE_BEFORE_UNBACKED) ? LOCK_LEAVE : THIN_FREE;
}

static void
thin_free (struct state *s, struct thread *th)
{
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    if (is_block (b) && (is_live (s, b) || s->ghost[b] != NOBODY))
      wrong (s, "M4: a page with a live block was retired");
  head_store (s, FREE, 0);
  th->pc = is_broken (FREE_BEFORE_UNBACKED) ? THIN_BARE : LOCK_LEAVE;
}

static void
free_head (struct state *s, struct thread *th)
{
  th->owner = s->owner;
  if (s->head == FREE)
    free_refuse (s, th);
  else if (s->owner == th->stream || is_broken (OWN_STORED_BY_OTHERS))
    th->pc = FREE_OWN_LOAD;
  else
    th->pc = FREE_REMOTE_OWN;
}

/* The last use of the block belongs before the change of its bit.  That it
   comes after it stands for a release that is missing there.  */
static void
free_use (struct state *s, struct thread *th)
{
  if (s->ghost[th->block] != NOBODY || s->head == FREE)
    wrong (s, "a freed block was used after it found its next user");
  op_end (th);
}


/* ---- From state to state ------------------------------------------------ */

/* The next step of thread T, which is not idle.  */
static void
thread_step (struct state *s, unsigned int t)
{
  struct thread *th = &s->thread[t];
  steps[th->pc].step (s, th);
}

/* Is the step possible now?  Only a lock whose holder lives has to be waited
   for, and nobody has one of them twice.  */
static bool
thread_can_step (const struct state *s, unsigned int t)
{
  const struct thread *th = &s->thread[t];
  unsigned int holder = th->pc == LOCK_TAKE ? s->lock
                        : th->pc == GROW_TAKE ? s->grow : 0;
  return holder == 0 || s->thread[holder - 1].dead
         || (th->pc == GROW_TAKE && th->why == FOR_THIN
             && is_broken (TRIM_WITHOUT_GROW));
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
  if (roles & CAN_TRIM)
    grow_for (next_op (s, t, out, &n), FOR_THIN);
  if ((roles & CAN_INHERIT) && th->stream == NONE)
    {
      lock_for (next_op (s, t, out, &n), FOR_INHERIT);
      if (is_broken (INHERIT_WITHOUT_LOCK))
        out[n - 1].thread[t].pc = INHERIT_HOLDER;
    }
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    {
      bool again = th->stale == b + 1
                   && (s->ghost[b] == NOBODY
                       || (s->shared == b + 1 && s->ghost[b] != LEAKED));
      if (s->ghost[b] == HELD_BY + t || again)
        {
          struct thread *next = next_op (s, t, out, &n);
          free_start (&out[n - 1], next, b);
        }
    }
  return n;
}

/* All states that one step of thread T leads to.  A pointer may go to each
   thread that frees, all else goes one way.  */
static unsigned int
next_states (const struct state *s, unsigned int t, struct state *out)
{
  const struct thread *th = &s->thread[t];
  if (th->dead || !thread_can_step (s, t))
    return 0;
  if (th->pc == IDLE)
    return next_ops (s, t, out);
  unsigned int n = 0, receivers = th->pc == TAKE_GIVE ? N_ACTORS : 1;
  for (unsigned int u = 0; u < receivers; u++)
    if (receivers == 1 || (scene->actor[u].roles & CAN_FREE))
      {
        out[n] = *s;
        out[n].receiver = u;
        thread_step (&out[n++], t);
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
  s->unhinted |= steps[s->thread[t].pc].stage >= HINTS;
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
        if (held && (s->punched >> b & 1))
          wrong (s, "M11: a block that is held has nothing behind it");
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

/* Let thread T finish its operation while all others rest.  What it allocates
   goes to the survivor.  */
static void
run_alone (struct state *s, unsigned int t)
{
  s->receiver = SURVIVOR;
  for (int i = 0; s->thread[t].pc != IDLE && s->wrong == NULL; i++)
    {
      if (i > 200 || !thread_can_step (s, t))
        {
          wrong (s, "M10: an operation does not end");
          return;
        }
      thread_step (s, t);
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
        free_start (&s, &s.thread[SURVIVOR], b);
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
  /* A sweep goes over those that are THIN once more, with the grow lock.  */
  if (s.head == THIN)
    {
      grow_for (&s.thread[SURVIVOR], FOR_THIN);
      run_alone (&s, SURVIVOR);
    }
  bool leaked = false;
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    leaked = leaked || s.ghost[b] == LEAKED;
  if (leaked != (s.head == HELD || s.head == THIN) || s.head == CLAIMED)
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
  size_t n_transitions, n_final, n_undefined;
};

/* Transitions by each step, since the program began.  */
static size_t n_taken[N_PCS];

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
      n_taken[s.thread[t].pc] += n;
      for (unsigned int j = 0; j < n; j++)
        visit (v, &out[j], i);
      if (!s.thread[t].dead && s.kills < scene->kills)
        {
          out[0] = s;
          thread_kill (&out[0], t);
          visit (v, &out[0], i);
          v->n_transitions++;
        }
    }
  v->n_transitions += n_next;
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
                                           "CLAIMED", "THIN" };
  printf ("%s(%u) own %u%u rem %u%u foreign %u link %u%u claim %u lock %u "
          "grow %u bare %u holes %x punched %x ghost", head_name[s->head],
          s->owner, s->own[0], s->own[1], s->rem[0], s->rem[1], s->foreign,
          s->link, s->qlink, s->claim, s->lock, s->grow, s->bare, s->holes,
          s->punched);
  for (unsigned int b = 0; b < N_BLOCKS; b++)
    printf (" %u", s->ghost[b]);
  printf (" hints");
  for (unsigned int i = 0; i < SURVIVOR_STREAM; i++)
    printf (" %u%u%u", s->first[i], s->queue[i], s->active[i]);
  for (unsigned int t = 0; t < N_ACTORS; t++)
    {
      const struct thread *th = &s->thread[t];
      const struct step *next = &steps[th->pc];
      if (th->pc == IDLE)
        printf (" | %s", th->dead ? "dead" : "idle");
      else
        printf (" | %s %u: %s", next->operation, next->number, next->access);
      printf ("%s", th->in_bin ? " (bin)" : "");
    }
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

/* Visit all states of a scenario.  Returns what was found wrong, or NULL; adds
   to the numbers of states and transitions.  */
static const char *
explore (const struct scenario *sc, size_t *n_states, size_t *n_transitions)
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
    printf ("%-12s %8zu states, %8zu transitions, %7zu final, "
            "%6zu left aside\n", sc->name, v.n, v.n_transitions, v.n_final,
            v.n_undefined);
  fflush (stdout);
  free (v.states);
  free (v.from);
  free (v.slots);
  *n_states += v.n;
  *n_transitions += v.n_transitions;
  return v.bad.wrong;
}


/* ---- Scenarios and mutants ---------------------------------------------- */

enum scenario_name
{
  REMOTE_FREES, TWO_FREERS, ADOPTION, TWO_OWNERS, INHERITANCE, FREED_AGAIN,
  FREED_BY_TWO, TRIMS, TWO_TRIM, THIN_ADOPTED, THIN_INHERITED, N_SCENARIOS
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
                       { NONE, CAN_FREE, 1 } } },
  [TRIMS] = { "trims", { 1, 1 }, 2, 0,
              { { 0, OWNER | CAN_FREE, 4 },
                { NONE, CAN_FREE | CAN_TRIM, 2 },
                { NONE, CAN_SWEEP, 1 } } },
  [TWO_TRIM] = { "two trim", { 3, 0 }, 1, 0,
                 { { 0, OWNER | CAN_FREE, 4 },
                   { 1, CAN_MALLOC | CAN_FREE | CAN_TRIM, 3 },
                   { NONE, CAN_TRIM, 1 } } },
  [THIN_ADOPTED] = { "thin adopted", { 1, 1 }, 1, 0,
                     { { 0, OWNER | CAN_FREE, 3 },
                       { 1, CAN_MALLOC | CAN_ADOPT, 2 },
                       { NONE, CAN_FREE | CAN_TRIM, 2 } } },
  [THIN_INHERITED] = { "thin inherited", { 1, 1 }, 2, 0,
                       { { 0, OWNER | CAN_FREE, 3 },
                         { NONE, CAN_MALLOC | CAN_INHERIT, 3 },
                         { NONE, CAN_FREE | CAN_TRIM, 2 } } }
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
  MUTANT (OWN_NOT_RELEASED, REMOTE_FREES),
  MUTANT (THIN_IS_TAKEN_BACK, TRIMS),
  MUTANT (THIN_IS_ADOPTED_ACTIVE, THIN_ADOPTED),
  MUTANT (THIN_IS_SWEPT, TRIMS),
  MUTANT (THIN_LOOKS_BEFORE_THIN, TRIMS),
  MUTANT (THIN_ENDS_WITH_HOLES, TRIMS),
  MUTANT (HOLES_RECORDED_LATE, TRIMS),
  MUTANT (HOLES_FORGOTTEN_EARLY, THIN_INHERITED),
  MUTANT (HOLES_FORGOTTEN_BY_TRIM, TWO_TRIM),
  MUTANT (ACTIVE_BEFORE_BACKED, THIN_INHERITED),
  MUTANT (WAKE_WITHOUT_GROW, TRIMS),
  MUTANT (TRIM_WITHOUT_GROW, TRIMS),
  MUTANT (FREE_BEFORE_UNBACKED, TRIMS)
#undef MUTANT
};
enum { N_MUTANTS = sizeof mutants / sizeof *mutants };

START_TEST (the_table_is_in_order)
{
  for (int i = IDLE + 1; i < N_PCS; i++)
    {
      const struct step *row = &steps[i], *before = &steps[i - 1];
      ck_assert_msg (row->step != NULL, "step %d is not in the table", i);
      bool begins = before->operation == NULL
                    || strcmp (row->operation, before->operation) != 0;
      ck_assert_msg (row->number == (begins ? 1 : before->number + 1),
                     "%s %u is in the wrong place", row->operation,
                     row->number);
    }
}
END_TEST

/* Every step was taken that could be: all, or those that only mutants take.  */
static void
check_taken (bool by_mutants)
{
  for (int i = IDLE + 1; i < N_PCS; i++)
    if ((steps[i].stage == MUTANTS_ONLY) == by_mutants)
      ck_assert_msg (n_taken[i] != 0, "%s %u, %s: no thread comes here",
                     steps[i].operation, steps[i].number, steps[i].access);
}

START_TEST (the_protocol_holds)
{
  size_t n_states = 0, n_transitions = 0;
  broken = NOTHING_BROKEN;
  for (int i = 0; i < N_SCENARIOS; i++)
    {
      const char *finding = explore (&scenarios[i], &n_states, &n_transitions);
      ck_assert_msg (finding == NULL, "%s: %s", scenarios[i].name, finding);
    }
  printf ("%-12s %8zu states, %8zu transitions\n", "all", n_states,
          n_transitions);
  fflush (stdout);
  check_taken (false);
}
END_TEST

START_TEST (each_mutant_is_caught)
{
  for (int i = 0; i < N_MUTANTS; i++)
    {
      size_t n_states = 0, n_transitions = 0;
      broken = mutants[i].rule;
      const char *finding = explore (&scenarios[mutants[i].scenario],
                                     &n_states, &n_transitions);
      printf ("%-28s %7zu states, %7zu transitions: %s\n", mutants[i].name,
              n_states, n_transitions,
              finding != NULL ? finding : "NOT CAUGHT");
      fflush (stdout);
      ck_assert_msg (finding != NULL, "%s is not caught", mutants[i].name);
    }
  check_taken (true);
}
END_TEST

RUN_TESTS (the_table_is_in_order, the_protocol_holds, each_mutant_is_caught)
