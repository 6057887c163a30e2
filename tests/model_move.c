/* model_move.c - mmalloc_move in all its states, killed after every store.

   The call changes two words of the program's, so it writes down first what it
   is about, and whoever finds the process dead ends it.  Here both are written
   down once more, one access to shared memory a step, to be read beside
   mmalloc_move, op_release, dead_move_locked and slot_begin.

   The victim moves block B from word F to word T; then the program stores B in
   F by itself, and with the same record mmalloc_to puts block C into T.  It may
   be killed before any step.  Recovery is by the one who holds the heap lock;
   he may be killed as well, a few times, and the next one begins again.  T held
   NULL at first, or another block.

   In each state must hold:

     V1  B is in T or in F: nobody loses it, with or without recovery;
     V2  T holds what it held before, B, or C.

   And in each state in which the record is free again:

     V3  of the move, B is in one of both words;
     V4  what the other one holds is as if the call had been made, or not;
     V5  with the move over, F keeps what the program has stored there since;
     V6  C is live if and only if T has it;
     V7  if the victim lives, the move has been made.

   A kill stops stores in the order of the program, so no memory order is
   modelled; mmalloc_publish and the words of mmalloc.c keep the compiler from
   another one.  Each mutant breaks a rule and must be found out.  */

#include <stdbool.h>

#include "support.h"

enum value { NOTHING, OTHER, B, C };
enum word { NO_WORD, F, T };

enum rule
{
  NOTHING_BROKEN,
  FROM_LEFT_FIRST,
  FROM_NOT_RECORDED,
  FROM_RECORDED_LATE,
  SLOT_NOT_RECORDED,
  RELEASED_EARLY,
  RELEASE_KEEPS_FROM,
  RECOVERY_SKIPS_MOVE,
  RECOVERY_ASKS_NOTHING,
  RECOVERY_ASKS_FROM_ALONE,
  RECOVERY_TAKES_BACK,
  RECOVERY_RELEASES_FIRST,
  RECOVERY_OF_THE_LIVING
};
static const struct { enum rule rule; const char *name; } mutants[] = {
  { FROM_LEFT_FIRST, "from is left first" },
  { FROM_NOT_RECORDED, "from is not recorded" },
  { FROM_RECORDED_LATE, "from is recorded late" },
  { SLOT_NOT_RECORDED, "the slot is not recorded" },
  { RELEASED_EARLY, "released early" },
  { RELEASE_KEEPS_FROM, "the record keeps from" },
  { RECOVERY_SKIPS_MOVE, "recovery skips moves" },
  { RECOVERY_ASKS_NOTHING, "recovery asks no word" },
  { RECOVERY_ASKS_FROM_ALONE, "recovery asks from alone" },
  { RECOVERY_TAKES_BACK, "recovery takes the block back" },
  { RECOVERY_RELEASES_FIRST, "recovery releases first" },
  { RECOVERY_OF_THE_LIVING, "recovery of the living" },
};
enum { N_MUTANTS = sizeof mutants / sizeof mutants[0], KILLS = 4 };

static enum rule broken;

/* Bytes alone, so that states can be compared.  */
struct state
{
  uint8_t word[3];             /* F and T */
  uint8_t before;              /* what T held */
  uint8_t busy, slot, from, moved, fresh; /* the record */
  uint8_t live;                /* C is */
  uint8_t pc, dead;            /* of the victim */
  uint8_t rpc, see_from, see_to; /* of recovery, and what it has loaded */
  uint8_t kills;               /* of those who recover, still to come */
};

/* The victim's steps.  */
enum
{
  CLAIM, SET_SLOT, SET_MOVED, SET_FROM, STORE_TO, STORE_FROM,
  END_FROM, END_FRESH, END_SLOT, END_OWNER, PROGRAM_STORES,
  CLAIM_2, SET_SLOT_2, SET_FRESH_2, ALLOCATE_2, STORE_TO_2, FORGET_FRESH_2,
  END_FROM_2, END_SLOT_2, END_OWNER_2, OVER
};

static void
release_from (struct state *s)
{
  if (broken != RELEASE_KEEPS_FROM)
    s->from = NO_WORD;
}

static void
victim_step (struct state *s)
{
  int pc = s->pc++;
  if (broken == FROM_LEFT_FIRST && (pc == STORE_TO || pc == STORE_FROM))
    pc = STORE_TO + STORE_FROM - pc;
  if (broken == FROM_RECORDED_LATE && (pc == SET_FROM || pc == STORE_TO))
    pc = SET_FROM + STORE_TO - pc;
  if (broken == RELEASED_EARLY && (pc == STORE_FROM || pc == END_FROM))
    pc = STORE_FROM + END_FROM - pc;
  switch (pc)
    {
    case CLAIM: case CLAIM_2: s->busy = 1; break;
    case SET_SLOT: s->slot = broken == SLOT_NOT_RECORDED ? NO_WORD : T; break;
    case SET_MOVED: s->moved = B; break;
    case SET_FROM: s->from = broken == FROM_NOT_RECORDED ? NO_WORD : F; break;
    case STORE_TO: s->word[T] = B; break;
    case STORE_FROM: s->word[F] = NOTHING; break;
    case END_FROM: case END_FROM_2: release_from (s); break;
    case END_FRESH: s->fresh = NOTHING; break;
    case END_SLOT: case END_SLOT_2: s->slot = NO_WORD; break;
    case END_OWNER: case END_OWNER_2: s->busy = 0; break;
    case PROGRAM_STORES: s->word[F] = B; break;
    case SET_SLOT_2: s->slot = T; break;
    case SET_FRESH_2: s->fresh = C; break;
    case ALLOCATE_2: s->live = 1; break;
    case STORE_TO_2: s->word[T] = C; break;
    case FORGET_FRESH_2: s->fresh = NOTHING; break;
    default: break;
    }
}

/* Those of recovery.  */
enum
{
  R_IDLE, R_LOAD_TO, R_LOAD_FROM, R_STORE, R_FRESH, R_END_FROM, R_END_FRESH,
  R_END_SLOT, R_END_OWNER
};

static bool
recovery_may_begin (const struct state *s)
{
  return s->busy && (s->dead || broken == RECOVERY_OF_THE_LIVING);
}

static bool
recovery_ends_move (const struct state *s)
{
  return s->from != NO_WORD && s->slot != NO_WORD
         && (broken == RECOVERY_ASKS_NOTHING
             || (s->see_from == s->moved
                 && (broken == RECOVERY_ASKS_FROM_ALONE
                     || s->see_to == s->moved)));
}

static void
recovery_step (struct state *s)
{
  switch (s->rpc)
    {
    case R_LOAD_TO:
      s->see_to = s->slot != NO_WORD ? s->word[s->slot] : (uint8_t) NOTHING;
      break;
    case R_LOAD_FROM:
      s->see_from = s->from != NO_WORD ? s->word[s->from] : (uint8_t) NOTHING;
      break;
    case R_STORE:
      if (recovery_ends_move (s) && broken != RECOVERY_SKIPS_MOVE)
        s->word[broken == RECOVERY_TAKES_BACK ? s->slot : s->from] = NOTHING;
      break;
    case R_FRESH:
      if (s->fresh == C && s->word[T] != C)
        s->live = 0;
      break;
    case R_END_FROM: release_from (s); break;
    case R_END_FRESH: s->fresh = NOTHING; break;
    case R_END_SLOT: s->slot = NO_WORD; break;
    case R_END_OWNER: s->busy = 0; break;
    default: break;
    }
  s->rpc = s->rpc == R_END_OWNER ? R_IDLE : s->rpc + 1;
  if (broken == RECOVERY_RELEASES_FIRST && s->rpc == R_STORE)
    s->busy = 0;
}

/* What is wrong with S, or NULL.  */
static const char *
judge (const struct state *s)
{
  const uint8_t *w = s->word;
  if (w[T] != B && w[F] != B)
    return "V1: the block is in no word";
  if (w[T] != s->before && w[T] != B && w[T] != C)
    return "V2: the slot has lost what it held";
  if (s->busy || s->rpc != R_IDLE)
    return NULL;
  bool program = s->pc > PROGRAM_STORES;
  if (!program && w[T] == B && w[F] == B)
    return "V3: the block is in both words";
  if (!program && w[F] != B && w[F] != NOTHING)
    return "V4: the word that it left holds something";
  if (w[F] == B && !program && w[T] != s->before)
    return "V4: the slot has changed without the block";
  if (program && w[F] != B)
    return "V5: the program's own store was undone";
  if (s->live != (w[T] == C))
    return "V6: a block leaked, or the slot dangles";
  if (!s->dead && s->pc > END_OWNER && s->pc <= CLAIM_2 && w[T] != B)
    return "V7: the move was not made";
  return NULL;
}

enum { STATES_MAX = 1 << 16 };
static struct state states[STATES_MAX];
static size_t n_states;

static void
found (const struct state *s)
{
  for (size_t i = 0; i < n_states; i++)
    if (memcmp (&states[i], s, sizeof *s) == 0)
      return;
  ck_assert_uint_lt (n_states, STATES_MAX);
  states[n_states++] = *s;
}

/* All states, from each beginning: the first finding, or NULL.  */
static const char *
explore (void)
{
  n_states = 0;
  for (int before = NOTHING; before <= OTHER; before++)
    {
      struct state s = { .word = { 0, B, (uint8_t) before },
                         .before = (uint8_t) before, .kills = KILLS };
      found (&s);
    }
  for (size_t i = 0; i < n_states; i++)
    {
      const char *finding = judge (&states[i]);
      if (finding != NULL)
        return finding;
      struct state s = states[i];
      if (!s.dead && s.pc < OVER)
        {
          victim_step (&s);
          found (&s);
          s = states[i];
          s.dead = 1;
          found (&s);
        }
      s = states[i];
      if (s.rpc == R_IDLE ? recovery_may_begin (&s) : true)
        {
          recovery_step (&s);
          found (&s);
        }
      s = states[i];
      if (s.rpc != R_IDLE && s.kills > 0)
        {
          s.rpc = R_IDLE;
          s.see_from = s.see_to = NOTHING;
          s.kills--;
          found (&s);
        }
    }
  return NULL;
}

START_TEST (the_protocol_holds)
{
  bool at[OVER + 1] = { false }, recovered[OVER + 1] = { false };
  broken = NOTHING_BROKEN;
  const char *finding = explore ();
  ck_assert_msg (finding == NULL, "%s", finding);
  printf ("%zu states\n", n_states);
  for (size_t i = 0; i < n_states; i++)
    {
      at[states[i].pc] = true;
      if (states[i].dead && !states[i].busy)
        recovered[states[i].pc] = true;
    }
  for (int pc = 0; pc <= OVER; pc++)
    ck_assert_msg (at[pc] && (recovered[pc] || pc == OVER),
                   "no death at step %d was seen to its end", pc);
}
END_TEST

START_TEST (each_mutant_is_caught)
{
  for (int i = 0; i < N_MUTANTS; i++)
    {
      broken = mutants[i].rule;
      const char *finding = explore ();
      printf ("%-30s %s\n", mutants[i].name,
              finding != NULL ? finding : "NOT CAUGHT");
      fflush (stdout);
      ck_assert_msg (finding != NULL, "%s is not caught", mutants[i].name);
    }
}
END_TEST

RUN_TESTS (the_protocol_holds, each_mutant_is_caught)
