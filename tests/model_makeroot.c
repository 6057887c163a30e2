/* model_makeroot.c - mmalloc_makeroot in all its states, killed after every
   store; and makers who wait for each other.

   The call's steps are written down once more, to be read beside the room of
   roots that are made once, op_release, dead_finish_locked and
   dead_ops_locked.

   Two makers want one root, each with a block of its own.  Each may be killed
   before any step; one may give up after its function.  Recovery, by the one
   who holds the heap lock, may be killed as well, and begins again.  The
   program may forget the root, free the block, and have the same memory for
   something else; or set the root itself.  Small blocks are not handed out
   while they are on record; others change hands under the heap lock alone,
   which is not had from a dead one before it is decided what he had done.

   In each state must hold:

     M1  the root leads to a live block that the function has filled;
     M2  not two makers who live are in the function at once, and none begins
         it when there is a root or the program has its block;
     M3  nobody frees what is another's by now.

   And in each state in which nothing is left to do:

     M4  a block is live if the root leads to it, and else not: none is lost;
     M5  who lives and has not given up has found a whole root;
     M6  no record is in use.

   From each state one can be reached in which nothing is left to do (M7).

   The second part has three threads, each of which makes a root, within it
   another one, and wants a third then that it or one of the others makes.
   Somebody else may set the one that the first thread wants meanwhile.  The
   steps are those under the heap lock.

     W1  no circle of threads waits;
     W2  who is refused would have closed a circle.

   A kill stops stores in the order of the program, so no memory order is
   modelled.  Each mutant breaks a rule and must be found out.  */

#include <stdbool.h>

#include "support.h"

enum rule
{
  NOTHING_BROKEN,
  LOOKS_NOT_AGAIN,
  LOOKS_FOR_NO_MAKER,
  BEGINS_WITHOUT_LOCK,
  NOT_ON_RECORD,
  PUBLISHED_EARLY,
  PUBLISHED_UNLOCKED,
  PUBLISHED_WITHOUT_MARK,
  MARK_FIRST_GONE,
  FRESH_STAYS,
  OLD_NOT_RECORDED,
  REFUSED_STAYS,
  RELEASED_EARLY,
  RECORD_KEEPS_MAKING,
  DECIDES_NOTHING,
  RECOVERY_OF_THE_LIVING,
  RECOVERY_FREES_NOT,
  RECOVERY_RELEASES_FIRST,
  NO_RECOVERY,
  /* Of the second part.  */
  WAITS_UNTOLD,
  OUTER_UNTOLD,
  TURN_IGNORED,
  ONE_LINK_ALONE,
  OWN_NOT_SEEN,
  SET_NOT_SEEN
};
static const struct { enum rule rule; const char *name; } mutants[] = {
  { LOOKS_NOT_AGAIN, "no look at the root under the lock" },
  { LOOKS_FOR_NO_MAKER, "no look for another maker" },
  { BEGINS_WITHOUT_LOCK, "begins without the lock" },
  { NOT_ON_RECORD, "the block is not recorded" },
  { PUBLISHED_EARLY, "published before the function" },
  { PUBLISHED_UNLOCKED, "published without the lock" },
  { PUBLISHED_WITHOUT_MARK, "published, the record not marked" },
  { MARK_FIRST_GONE, "the mark goes before the block's note" },
  { FRESH_STAYS, "the block's note stays" },
  { OLD_NOT_RECORDED, "given up, the block not recorded" },
  { REFUSED_STAYS, "given up, the block stays" },
  { RELEASED_EARLY, "released before the function" },
  { RECORD_KEEPS_MAKING, "the record says for ever that a root is made" },
  { DECIDES_NOTHING, "nothing decided when the lock's holder died" },
  { RECOVERY_OF_THE_LIVING, "recovery of the living" },
  { RECOVERY_FREES_NOT, "recovery frees nothing" },
  { RECOVERY_RELEASES_FIRST, "recovery releases first" },
  { NO_RECOVERY, "no recovery" },
};
enum { N_MUTANTS = sizeof mutants / sizeof mutants[0], MAKERS = 2, KILLS = 2 };

static const struct { enum rule rule; const char *name; } waits[] = {
  { WAITS_UNTOLD, "nobody is told who waits" },
  { OUTER_UNTOLD, "the inner root alone is told" },
  { TURN_IGNORED, "the record's turn is ignored" },
  { ONE_LINK_ALONE, "one link is followed" },
  { OWN_NOT_SEEN, "the outer root is not seen" },
  { SET_NOT_SEEN, "a root that was set meanwhile is waited for" },
};
enum { N_WAITS = sizeof waits / sizeof waits[0] };

static enum rule broken;


/* ---- All states --------------------------------------------------------- */

/* States of one size, all bytes, in a table by hash.  */
enum { STATE_MAX = 64, STATES = 1 << 20, TABLE = 1 << 21 };
static unsigned char (*states)[STATE_MAX];
static uint32_t *table, n_states;
static size_t state_size;

static void
states_begin (size_t size)
{
  if (states == NULL)
    {
      states = malloc ((size_t) STATES * STATE_MAX);
      table = malloc (TABLE * sizeof *table);
    }
  ck_assert (states != NULL && table != NULL && size <= STATE_MAX);
  memset (table, 0, TABLE * sizeof *table);
  n_states = 0;
  state_size = size;
}

/* The number of state S, which is new or was seen before.  */
static uint32_t
found (const void *s)
{
  const unsigned char *p = s;
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  for (size_t i = 0; i < state_size; i++)
    hash = (hash ^ p[i]) * UINT64_C (0x100000001b3);
  size_t i = (hash ^ hash >> 32) % TABLE;
  for (; table[i] != 0; i = (i + 1) % TABLE)
    if (memcmp (states[table[i] - 1], s, state_size) == 0)
      return table[i] - 1;
  ck_assert_uint_lt (n_states, STATES);
  memcpy (states[n_states], s, state_size);
  table[i] = ++n_states;
  return n_states - 1;
}


/* ---- One root, two makers ----------------------------------------------- */

/* Whose the lock is, and what a block is.  */
enum { NOBODY, MAKER_0, MAKER_1, RECOVERER };
enum { FREE, LIVE, ANOTHERS };

/* A block has the number of its maker and 1; 0: none.  */
enum { PROGRAMS = MAKERS + 1 };
struct state
{
  uint8_t root, sets;          /* the program may set it */
  uint8_t live[MAKERS + 1], filled[MAKERS + 1];
  uint8_t lock, decide;        /* the holder died: the decision is to come */
  uint8_t large;               /* blocks change hands under the lock */
  uint8_t taken;               /* the program has had a root's block */
  uint8_t kills;
  uint8_t rpc, of;             /* of recovery, and whose record */
  uint8_t pc[MAKERS], dead[MAKERS], refuses[MAKERS], has[MAKERS];
  struct { uint8_t busy, makes, fresh, old, locked; } op[MAKERS];
  uint8_t wrong;               /* what a step has seen, as a rule's number */
};

enum
{
  LOOK, CLAIM, LOCK, LOOK_LOCKED, BEGIN, UNLOCK, ALLOCATE_NOTE, ALLOCATE,
  INIT, FILLED, LOCK_2, LOOK_2, MARK, PUBLISH, FORGET_FRESH, UNMARK, UNLOCK_2,
  END_MAKES, END_FRESH, END_OLD, END_OWNER,
  LEAVE_UNLOCK, LEAVE_OLD, LEAVE_FRESH, LEAVE_FREE, LEAVE_MAKES, LEAVE_END,
  LEAVE_OWNER, AGAIN_UNLOCK, AGAIN_OWNER, OVER
};

/* The lock is had, and first it is decided what its dead holder had done.  */
static void
decide (struct state *s)
{
  s->decide = 0;
  for (int i = 0; i < MAKERS && broken != DECIDES_NOTHING; i++)
    if (s->op[i].locked)
      {
        uint8_t *fresh = &s->op[i].fresh, *old = &s->op[i].old;
        if (s->op[i].makes && *fresh != 0 && s->root == *fresh)
          *fresh = 0;
        if (*fresh != 0 && s->live[*fresh] == FREE)
          *fresh = 0;
        if (*old != 0 && s->live[*old] == FREE)
          *old = 0;
        s->op[i].locked = 0;
      }
}

static bool
lock_is_free (const struct state *s)
{
  return s->lock == NOBODY;
}

static void
lock_take (struct state *s, int who)
{
  s->lock = (uint8_t) who;
  if (s->decide)
    decide (s);
}

/* Somebody dies: the lock is free, if he had it, and in doubt.  */
static void
lock_drop_dead (struct state *s, int who)
{
  if (s->lock != who)
    return;
  s->lock = NOBODY;
  s->decide = 1;
}

static void
frees (struct state *s, uint8_t block)
{
  if (s->live[block] == ANOTHERS)
    s->wrong = 3;
  s->live[block] = FREE;
}

static bool
others_make (const struct state *s, int i)
{
  return s->op[1 - i].busy && s->op[1 - i].makes
         && broken != LOOKS_FOR_NO_MAKER;
}

/* Whether maker I's step would wait for the lock.  */
static bool
maker_waits (const struct state *s, int i)
{
  int pc = s->pc[i];
  bool wants = (pc == LOCK && broken != BEGINS_WITHOUT_LOCK)
               || (pc == LOCK_2 && broken != PUBLISHED_UNLOCKED)
               || ((pc == ALLOCATE || pc == LEAVE_FREE) && s->large);
  return wants && !lock_is_free (s);
}

static void
maker_unlocks (struct state *s, int i)
{
  if (s->lock == MAKER_0 + i)
    s->lock = NOBODY;
}

/* Whole blocks change hands in one step: how is shown elsewhere.  */
static void
maker_allocates (struct state *s, int i, uint8_t mine)
{
  if (s->live[mine] == ANOTHERS)
    {
      s->pc[i] = OVER;          /* no room; to let go of the record is alike */
      s->refuses[i] = 1;
      s->op[i].busy = s->op[i].makes = s->op[i].fresh = 0;
      return;
    }
  if (s->large && s->decide)
    decide (s);
  if (broken != NOT_ON_RECORD)
    s->op[i].fresh = mine;
  s->live[mine] = LIVE;
  s->filled[mine] = 0;
}

static void
maker_inits (struct state *s, int i)
{
  if (s->root != 0 && s->root != PROGRAMS)
    s->wrong = 2;
  int other = s->pc[1 - i];
  if (other > INIT && other <= PUBLISH && !s->dead[1 - i])
    s->wrong = 2;
}

static void
maker_step (struct state *s, int i)
{
  const uint8_t mine = (uint8_t) (i + 1);
  int pc = s->pc[i]++;
  if (broken == PUBLISHED_EARLY && (pc == FILLED || pc == PUBLISH))
    pc = FILLED + PUBLISH - pc;
  if (broken == RELEASED_EARLY && (pc == INIT || pc == END_MAKES))
    pc = INIT + END_MAKES - pc;
  if (broken == MARK_FIRST_GONE && (pc == FORGET_FRESH || pc == UNMARK))
    pc = FORGET_FRESH + UNMARK - pc;
  switch (pc)
    {
    case LOOK:
      if (s->root != 0)
        {
          s->has[i] = s->root;
          s->pc[i] = OVER;
        }
      break;
    case CLAIM: s->op[i].busy = 1; break;
    case LOCK:
      if (broken != BEGINS_WITHOUT_LOCK)
        lock_take (s, MAKER_0 + i);
      break;
    case LOOK_LOCKED:
      if ((s->root != 0 && broken != LOOKS_NOT_AGAIN) || others_make (s, i))
        s->pc[i] = AGAIN_UNLOCK;
      break;
    case BEGIN: s->op[i].makes = 1; break;
    case UNLOCK: case UNLOCK_2: maker_unlocks (s, i); break;
    case ALLOCATE_NOTE:
      if (!s->large && broken != NOT_ON_RECORD)
        s->op[i].fresh = mine;
      break;
    case ALLOCATE: maker_allocates (s, i, mine); break;
    case INIT: maker_inits (s, i); break;
    case FILLED:
      if (s->refuses[i])
        s->pc[i] = LEAVE_OLD;
      else
        s->filled[mine] = 1;
      break;
    case LOCK_2:
      if (broken != PUBLISHED_UNLOCKED)
        lock_take (s, MAKER_0 + i);
      break;
    case LOOK_2:
      if (s->root != 0)
        s->pc[i] = LEAVE_UNLOCK;
      break;
    case MARK: s->op[i].locked = broken != PUBLISHED_WITHOUT_MARK; break;
    case PUBLISH: s->root = mine; break;
    case FORGET_FRESH:
      if (broken != FRESH_STAYS)
        s->op[i].fresh = 0;
      break;
    case UNMARK: s->op[i].locked = 0; break;
    case END_MAKES: case LEAVE_MAKES:
      if (broken != RECORD_KEEPS_MAKING)
        s->op[i].makes = 0;
      break;
    case END_FRESH: s->op[i].fresh = 0; break;
    case END_OLD: s->op[i].old = 0; break;
    case END_OWNER:
      s->op[i].busy = 0;
      s->has[i] = mine;
      s->pc[i] = OVER;
      break;
    case LEAVE_UNLOCK: case AGAIN_UNLOCK: maker_unlocks (s, i); break;
    case LEAVE_OLD:
      if (broken != OLD_NOT_RECORDED)
        s->op[i].old = mine;
      break;
    case LEAVE_FRESH: s->op[i].fresh = 0; break;
    case LEAVE_FREE:
      if (s->large && s->decide)
        decide (s);
      if (broken != REFUSED_STAYS)
        frees (s, mine);
      if (s->large)
        s->op[i].old = 0;
      break;
    case LEAVE_END: s->op[i].old = 0; break;
    case LEAVE_OWNER: case AGAIN_OWNER:
      s->op[i].busy = 0;
      s->pc[i] = s->refuses[i] && pc == LEAVE_OWNER ? OVER : LOOK;
      break;
    default: break;
    }
}

/* Recovery's steps, with the lock.  */
enum { R_IDLE, R_MARK, R_FREE, R_MAKES, R_FRESH, R_OLD, R_UNMARK, R_OWNER,
       R_UNLOCK };

static bool
recovery_may_begin (const struct state *s, int i)
{
  return lock_is_free (s) && s->op[i].busy && broken != NO_RECOVERY
         && (s->dead[i] || broken == RECOVERY_OF_THE_LIVING);
}

/* The block that is nobody's.  That the root has one on record is never seen
   here: it was decided with the lock.  */
static uint8_t
recovery_block (const struct state *s, int i)
{
  uint8_t fresh = s->op[i].fresh, old = s->op[i].old;
  if (fresh != 0 && (!s->op[i].makes || s->root != fresh))
    return fresh;
  return fresh == 0 && s->root == old ? 0 : old;
}

static void
recovery_step (struct state *s)
{
  int i = s->of;
  uint8_t block = recovery_block (s, i);
  switch (s->rpc++)
    {
    case R_MARK: s->op[i].locked |= block != 0 && s->live[block] != FREE; break;
    case R_FREE:
      if (broken == RECOVERY_RELEASES_FIRST)
        s->op[i].busy = 0;
      else if (block != 0 && s->live[block] != FREE
               && broken != RECOVERY_FREES_NOT)
        frees (s, block);
      break;
    case R_MAKES:
      if (broken == RECOVERY_RELEASES_FIRST && block != 0)
        frees (s, block);
      s->op[i].makes = 0;
      break;
    case R_FRESH: s->op[i].fresh = 0; break;
    case R_OLD: s->op[i].old = 0; break;
    case R_UNMARK: s->op[i].locked = 0; break;
    case R_OWNER: s->op[i].busy = 0; break;
    default:
      s->lock = NOBODY;
      s->rpc = R_IDLE;
      s->of = 0;
    }
}

static bool
is_on_record (const struct state *s, uint8_t block)
{
  for (int i = 0; i < MAKERS; i++)
    if (s->op[i].busy && (s->op[i].fresh == block || s->op[i].old == block))
      return true;
  return false;
}

/* What the program does: sets the root to a block of its own; or forgets the
   one that was made, under the lock, and frees the block, which another one
   gets.  Each once.  */
static void
program_steps (const struct state *from)
{
  struct state s = *from;
  if (s.sets && lock_is_free (&s))
    {
      if (s.decide)
        decide (&s);
      s.sets = 0;
      if (s.root == 0)
        s.root = PROGRAMS;
      found (&s);
    }
  s = *from;
  if (!s.taken && s.root != 0 && s.root != PROGRAMS && lock_is_free (&s))
    {
      if (s.decide)
        decide (&s);
      s.taken = s.root;
      s.root = 0;
      found (&s);
    }
  s = *from;
  if (s.taken != 0 && s.live[s.taken] == LIVE
      && (!s.large || lock_is_free (&s)))
    {
      if (s.large && s.decide)
        decide (&s);
      s.live[s.taken] = FREE;
      found (&s);
    }
  s = *from;
  if (s.taken != 0 && s.live[s.taken] == FREE
      && (s.large ? lock_is_free (&s) : !is_on_record (&s, s.taken)))
    {
      if (s.large && s.decide)
        decide (&s);
      s.live[s.taken] = ANOTHERS;
      found (&s);
    }
}

/* Whether nothing is left to do.  */
static bool
is_over (const struct state *s)
{
  for (int i = 0; i < MAKERS; i++)
    if ((!s->dead[i] && s->pc[i] != OVER)
        || (s->dead[i] && s->op[i].busy && broken != NO_RECOVERY))
      return false;
  return s->rpc == R_IDLE;
}

/* What is wrong with S, or NULL.  */
static const char *
judge (const struct state *s)
{
  uint8_t root = s->root;
  if (root != 0 && root != PROGRAMS
      && (s->live[root] != LIVE || !s->filled[root]))
    return "M1: the root is not whole";
  if (s->wrong == 2)
    return "M2: the function runs when somebody makes or made the root";
  if (s->wrong == 3)
    return "M3: another's block was freed";
  if (!is_over (s))
    return NULL;
  for (uint8_t b = 1; b <= MAKERS; b++)
    if (s->live[b] != FREE && b != root && b != s->taken)
      return "M4: a block was lost";
  for (int i = 0; i < MAKERS; i++)
    {
      if (!s->dead[i] && !s->refuses[i] && s->has[i] == 0)
        return "M5: a maker has no root";
      if (s->op[i].busy || (s->op[i].makes && !s->dead[i]))
        return "M6: a record is in use";
    }
  return NULL;
}

static void
next_states (const struct state *from)
{
  for (int i = 0; i < MAKERS; i++)
    {
      struct state s = *from;
      if (s.dead[i] || s.pc[i] == OVER)
        continue;
      if (!maker_waits (&s, i))
        {
          maker_step (&s, i);
          found (&s);
        }
      s = *from;
      s.dead[i] = 1;
      s.pc[i] = OVER;
      lock_drop_dead (&s, MAKER_0 + i);
      found (&s);
    }
  for (int i = 0; i < MAKERS && from->rpc == R_IDLE; i++)
    if (recovery_may_begin (from, i))
      {
        struct state s = *from;
        lock_take (&s, RECOVERER);
        s.rpc = R_MARK;
        s.of = (uint8_t) i;
        found (&s);
      }
  struct state s = *from;
  if (s.rpc != R_IDLE)
    {
      recovery_step (&s);
      found (&s);
    }
  s = *from;
  if (s.rpc != R_IDLE && s.kills > 0)
    {
      s.rpc = R_IDLE;
      s.of = 0;
      s.kills--;
      lock_drop_dead (&s, RECOVERER);
      found (&s);
    }
  program_steps (from);
}

/* From each state one is reached in which nothing is left to do: backwards, as
   steps mostly lead from an older state to a newer one.  */
static bool
all_end (void)
{
  bool *ends = calloc (n_states, 1), more = true;
  uint32_t n = n_states;
  ck_assert_ptr_nonnull (ends);
  while (more)
    {
      more = false;
      for (uint32_t i = n; i-- > 0; )
        {
          struct state from, s;
          if (ends[i])
            continue;
          memcpy (&from, states[i], sizeof from);
          bool reached = is_over (&from);
          for (int m = 0; m < MAKERS && !reached; m++)
            if (!from.dead[m] && from.pc[m] != OVER && !maker_waits (&from, m))
              {
                s = from;
                maker_step (&s, m);
                reached = ends[found (&s)];
              }
          for (int m = 0; m < MAKERS && !reached && from.rpc == R_IDLE; m++)
            if (recovery_may_begin (&from, m))
              {
                s = from;
                lock_take (&s, RECOVERER);
                s.rpc = R_MARK;
                s.of = (uint8_t) m;
                reached = ends[found (&s)];
              }
          if (!reached && from.rpc != R_IDLE)
            {
              s = from;
              recovery_step (&s);
              reached = ends[found (&s)];
            }
          ends[i] = reached;
          more |= reached;
        }
    }
  uint32_t i = 0;
  while (i < n && ends[i])
    i++;
  free (ends);
  return i == n;
}

/* All states, from each beginning: the first finding, or NULL.  */
static const char *
explore (void)
{
  states_begin (sizeof (struct state));
  for (uint8_t b = 0; b < 16; b++)
    {
      struct state s = { .kills = KILLS, .large = b & 1, .sets = b >> 3 & 1,
                         .refuses = { b >> 1 & 1, b >> 2 & 1 } };
      found (&s);
    }
  for (uint32_t i = 0; i < n_states; i++)
    {
      struct state s;
      memcpy (&s, states[i], sizeof s);
      const char *finding = judge (&s);
      if (finding != NULL)
        return finding;
      next_states (&s);
    }
  return all_end () ? NULL : "M7: somebody waits for ever";
}


/* ---- Makers who wait for each other ------------------------------------- */

enum { THREADS = 3, LEVELS = 2, ROOTS = THREADS * LEVELS, OPS = ROOTS };

/* A thread makes its roots 0 and 1, one within the other, wants the third, and
   ends them.  Root T * LEVELS + L is thread T's own.  */
enum { MAKE_OUTER, MAKE_INNER, WANT, END_INNER, END_OUTER, ALL_DONE };

struct web
{
  uint8_t pc[THREADS];
  uint8_t want[THREADS];       /* the third root */
  uint8_t waits[THREADS];      /* 1 + the root that it waits for */
  uint8_t op[ROOTS];           /* 1 + the record of the root; 0: none */
  struct { uint8_t busy, thread, root, turn, moved, moved_turn; } record[OPS];
  uint8_t set;                 /* 1 + the root that somebody else has set */
  uint8_t wrong;
};

static int
web_record (const struct web *w)
{
  int i = 0;
  while (w->record[i].busy)
    i++;
  return i;
}

/* All roots that thread T makes wait for the one with record OP.  */
static void
web_tell (struct web *w, int t, int op)
{
  for (int i = 0; i < OPS && broken != WAITS_UNTOLD; i++)
    if (w->record[i].busy && w->record[i].thread == t
        && !(broken == OUTER_UNTOLD && w->op[t * LEVELS] == i + 1))
      {
        w->record[i].moved = (uint8_t) (op + 1);
        w->record[i].moved_turn = w->record[op].turn;
      }
}

/* What thread T really waits for, through others: whether it comes to T from
   the root that it wants.  */
static bool
web_is_circle (const struct web *w, int t, int root)
{
  for (int n = 0; n <= THREADS; n++)
    {
      if (w->op[root] == 0 || w->set == root + 1)
        return false;
      int u = root / LEVELS;
      if (u == t)
        return true;
      if (w->waits[u] == 0)
        return false;
      root = w->waits[u] - 1;
    }
  return false;
}

/* The record that OP's maker waits for, as OP says; -1: none.  */
static int
web_next (const struct web *w, int op)
{
  int next = w->record[op].moved - 1;
  return next < 0 || !w->record[next].busy
             || (broken != SET_NOT_SEEN && w->set == w->record[next].root + 1)
             || (broken != TURN_IGNORED
                 && w->record[next].turn != w->record[op].moved_turn)
           ? -1 : next;
}

/* Thread T wants ROOT, which is not its own to make now.  */
static void
web_wants (struct web *w, int t, int root)
{
  w->waits[t] = 0;
  if (w->op[root] == 0 || w->set == root + 1)
    {
      w->pc[t]++;               /* made, set, or another time */
      return;
    }
  bool circle = false;
  int at = w->op[root] - 1;
  for (int i = 0; i < OPS && at >= 0 && !circle; i++)
    {
      circle = w->record[at].thread == t
               && !(broken == OWN_NOT_SEEN && w->op[t * LEVELS] == at + 1);
      at = broken == ONE_LINK_ALONE && i > 0 ? -1 : web_next (w, at);
    }
  if (circle)
    {
      if (!web_is_circle (w, t, root))
        w->wrong = 2;
      w->pc[t]++;               /* refused: goes on without it */
      return;
    }
  web_tell (w, t, w->op[root] - 1);
  w->waits[t] = (uint8_t) (root + 1);
  if (web_is_circle (w, t, root))
    w->wrong = 1;
}

static void
web_makes (struct web *w, int t, int root)
{
  int op = web_record (w);
  w->record[op].busy = 1;
  w->record[op].thread = (uint8_t) t;
  w->record[op].root = (uint8_t) root;
  w->record[op].turn = (uint8_t) (w->record[op].turn + 1);
  w->record[op].moved = 0;
  w->record[op].moved_turn = 0;
  w->op[root] = (uint8_t) (op + 1);
  w->pc[t]++;
}

static void
web_ends (struct web *w, int root)
{
  w->record[w->op[root] - 1].busy = 0;
  w->op[root] = 0;
}

static void
web_step (struct web *w, int t)
{
  int own = t * LEVELS;
  switch (w->pc[t])
    {
    case MAKE_OUTER: web_makes (w, t, own); break;
    case MAKE_INNER: web_makes (w, t, own + 1); break;
    case WANT: web_wants (w, t, w->want[t]); break;
    case END_INNER: web_ends (w, own + 1); w->pc[t]++; break;
    default: web_ends (w, own); w->pc[t]++; break;
    }
}

/* All states in which threads want roots A, B and C: the first finding, or
   NULL.  */
static const char *
explore_wants (int a, int b, int c)
{
  struct web w = { .want = { (uint8_t) a, (uint8_t) b, (uint8_t) c } };
  states_begin (sizeof w);
  found (&w);
  for (uint32_t i = 0; i < n_states; i++)
    for (int t = 0; t <= THREADS; t++)
      {
        memcpy (&w, states[i], sizeof w);
        if (w.wrong == 1)
          return "W1: a circle waits";
        if (w.wrong == 2)
          return "W2: refused, and nobody waits for it";
        if (t < THREADS && w.pc[t] != ALL_DONE)
          web_step (&w, t);
        else if (t == THREADS)
          w.set = (uint8_t) (a + 1);
        found (&w);
      }
  return NULL;
}

/* Whatever they want, the first one also a root of its own; with *N the number
   of states.  */
static const char *
explore_waits (size_t *n)
{
  const char *finding = NULL;
  *n = 0;
  for (int want = 0; want < ROOTS * ROOTS * ROOTS && finding == NULL; want++)
    {
      int a = want % ROOTS, b = want / ROOTS % ROOTS, c = want / ROOTS / ROOTS;
      /* One who is refused at once is enough.  */
      if (b / LEVELS == 1 || c / LEVELS == 2)
        continue;
      finding = explore_wants (a, b, c);
      *n += n_states;
    }
  return finding;
}


/* ---- The tests ---------------------------------------------------------- */

START_TEST (the_protocol_holds)
{
  bool at[OVER + 1] = { false };
  broken = NOTHING_BROKEN;
  const char *finding = explore ();
  ck_assert_msg (finding == NULL, "%s", finding);
  for (uint32_t i = 0; i < n_states; i++)
    {
      struct state s;
      memcpy (&s, states[i], sizeof s);
      at[s.pc[0]] = true;
    }
  for (int pc = 0; pc <= OVER; pc++)
    ck_assert_msg (at[pc], "step %d was not seen", pc);
  printf ("%" PRIu32 " states\n", n_states);
}
END_TEST

START_TEST (waiting_holds)
{
  size_t n;
  broken = NOTHING_BROKEN;
  const char *finding = explore_waits (&n);
  ck_assert_msg (finding == NULL, "%s", finding);
  printf ("%zu states of makers who wait\n", n);
}
END_TEST

static void
caught (const char *name, const char *finding)
{
  printf ("%-48s %s\n", name, finding != NULL ? finding : "NOT CAUGHT");
  fflush (stdout);
  ck_assert_msg (finding != NULL, "%s is not caught", name);
}

START_TEST (each_mutant_is_caught)
{
  size_t n;
  for (int i = 0; i < N_MUTANTS; i++)
    {
      broken = mutants[i].rule;
      caught (mutants[i].name, explore ());
    }
  for (int i = 0; i < N_WAITS; i++)
    {
      broken = waits[i].rule;
      caught (waits[i].name, explore_waits (&n));
    }
}
END_TEST

RUN_TESTS (the_protocol_holds, waiting_holds, each_mutant_is_caught)
