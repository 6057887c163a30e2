/* model_gate.c - the gate between threads and checkpoints in all its states, with
   processors that keep their stores back.

   A thread that enters stores that it is inside, then looks at the gate, with no
   fence between: its processor may let the load go before the store.  The
   checkpoint closes the gate, asks the system for a barrier on all processors,
   then looks who is inside, and waits.  Both are written down here once more, one
   access to shared memory a step, to be read beside mmalloc_enter, gate_enter,
   gate_leave, gate_close and point_begin.  Where the system has no such barrier the
   gate is FENCED: each thread goes the long way, which has a fence.

   Each of two threads stores two words inside, twice.  Stores wait in a buffer of
   the thread's, in order, and get into memory at any time; a fence, a lock and a
   read-modify-write wait until it is empty.  A checkpoint takes the words, and if
   nobody was ever inside, gives their memory back, which undoes what was stored
   since.

     G1  a checkpoint has both words of a thread as before one of its turns or
         after it;
     G2  no store is lost;
     G3  there is always somebody who can go on, until all are done.

   Each mutant breaks a rule and must be found out.  */

#include <stdbool.h>

#include "support.h"

enum { THREADS = 2, TURNS = 2, CHECKPOINTS = 2, BUFFER = 6 };
enum { CLOSED = 1, UNUSED = 2, FENCED = 4 };

enum rule
{
  NOTHING_BROKEN,
  NO_BARRIER,
  LOOKS_FIRST,
  SCANNED_FIRST,
  NO_SCAN,
  UNUSED_STORED,
  LISTED_LATE,
  LEFT_EARLY,
  NO_FENCE,
  OPENED_TO_CAPTURE,
  OPENED_TO_DROP,
  DROPPED_ALWAYS,
  NEVER_OPENED,
  STAYS_WHILE_IT_WAITS
};
static const struct { enum rule rule; bool fenced; const char *name; } mutants[] = {
  { NO_BARRIER, false, "no barrier" },
  { LOOKS_FIRST, false, "looks at the gate first" },
  { SCANNED_FIRST, false, "looks who is inside, then closes" },
  { NO_SCAN, false, "waits for nobody" },
  { UNUSED_STORED, false, "the first one stores the gate" },
  { LISTED_LATE, false, "known when it is inside" },
  { LEFT_EARLY, false, "leaves before its last store" },
  { NO_FENCE, true, "no fence, and no barrier" },
  { OPENED_TO_CAPTURE, false, "opened before the words are taken" },
  { OPENED_TO_DROP, false, "opened before memory is given back" },
  { DROPPED_ALWAYS, false, "memory is given back always" },
  { NEVER_OPENED, false, "never opened" },
  { STAYS_WHILE_IT_WAITS, false, "waits as one who is inside" },
};
enum { N_MUTANTS = sizeof mutants / sizeof mutants[0] };

static enum rule broken;

/* A thread's words: whether it is inside, and the program's two.  */
enum { INSIDE, X, Y, WORDS };
struct store
{
  uint8_t word, value;
};

/* Bytes alone, so that states can be compared.  */
struct thread_state
{
  uint8_t pc, turn, listed, gate; /* the gate as it saw it */
  uint8_t memory[WORDS];
  uint8_t n;
  struct store buffer[BUFFER];
};
struct state
{
  struct thread_state thread[THREADS];
  uint8_t gate;
  uint8_t pc, left, kept, who; /* of the checkpoint */
  uint8_t taken[THREADS][2];
};

/* A thread's steps.  */
enum
{
  LIST, ENTER, LOOK, RETREAT, ENTER_AGAIN, FENCE, LOOK_AGAIN, CLAIM, STORE_GATE,
  WAIT, STORE_X, STORE_Y, LEAVE, OVER
};

/* Those of the checkpoint.  */
enum { CLOSE, BARRIER, SCAN, TAKE_X, TAKE_Y, OPEN, DROP, OPEN_LATE, DONE };

static void
push (struct thread_state *t, int word, int value)
{
  ck_assert_int_lt (t->n, BUFFER);
  t->buffer[t->n++] = (struct store){ (uint8_t) word, (uint8_t) value };
}

/* The oldest store gets into memory.  */
static void
drain (struct thread_state *t)
{
  t->memory[t->buffer[0].word] = t->buffer[0].value;
  memmove (t->buffer, t->buffer + 1, --t->n * sizeof t->buffer[0]);
  t->buffer[t->n] = (struct store){ 0, 0 };
}

/* The turn that thread T is in, or has done, as its words have it.  */
static int
value_of (const struct thread_state *t)
{
  return t->turn + 1;
}

/* Thread T takes its next step: false, if it has to wait.  */
static bool
thread_step (struct state *s, struct thread_state *t)
{
  bool late = broken == LISTED_LATE && !t->listed;
  if (t->n == BUFFER)
    return false;
  switch (t->pc)
    {
    case LIST:
      t->listed = !late;
      t->pc = broken == LOOKS_FIRST ? LOOK : ENTER;
      return t->n == 0;
    case ENTER:
      push (t, INSIDE, 1);
      t->pc = broken != LOOKS_FIRST ? LOOK : t->gate == 0 ? STORE_X : RETREAT;
      return true;
    case LOOK:
      t->gate = s->gate;
      t->pc = broken == LOOKS_FIRST ? ENTER : t->gate == 0 ? STORE_X : RETREAT;
      return true;
    case RETREAT:
      push (t, INSIDE, 0);
      t->pc = ENTER_AGAIN;
      return true;
    case ENTER_AGAIN:
      push (t, INSIDE, 1);
      t->pc = broken == NO_FENCE ? LOOK_AGAIN : FENCE;
      return true;
    case FENCE:
      t->pc = LOOK_AGAIN;
      return t->n == 0;
    case LOOK_AGAIN:
      t->gate = s->gate;
      t->pc = t->gate & CLOSED          ? WAIT
              : !(t->gate & UNUSED)     ? STORE_X
              : broken == UNUSED_STORED ? STORE_GATE
                                        : CLAIM;
      if (t->pc == WAIT && broken != STAYS_WHILE_IT_WAITS)
        push (t, INSIDE, 0);
      return true;
    case CLAIM:
      if (s->gate == t->gate)
        {
          s->gate &= (uint8_t) ~UNUSED;
          t->pc = STORE_X;
        }
      else
        t->pc = RETREAT;
      return t->n == 0;
    case STORE_GATE:
      s->gate = t->gate & (uint8_t) ~UNUSED;
      t->pc = STORE_X;
      return t->n == 0;
    case WAIT:
      t->pc = ENTER_AGAIN;
      return !(s->gate & CLOSED);
    case STORE_X:
      t->listed = 1;
      push (t, X, value_of (t));
      t->pc = broken == LEFT_EARLY ? LEAVE : STORE_Y;
      return true;
    case STORE_Y:
      push (t, Y, value_of (t));
      t->pc = broken == LEFT_EARLY ? OVER : LEAVE;
      break;
    case LEAVE:
      push (t, INSIDE, 0);
      t->pc = broken == LEFT_EARLY ? STORE_Y : OVER;
      if (broken == LEFT_EARLY)
        return true;
      break;
    default:
      return false;
    }
  if (t->pc == OVER && ++t->turn < TURNS)
    t->pc = broken == LOOKS_FIRST ? LOOK : ENTER;
  return true;
}

/* Nobody is inside, as far as S shows in memory.  */
static bool
is_empty (const struct state *s)
{
  for (int i = 0; i < THREADS; i++)
    if (s->thread[i].listed && s->thread[i].memory[INSIDE])
      return false;
  return true;
}

/* The checkpoint's next step: false, if it has to wait; *FINDING may be set.  */
static bool
checkpoint_step (struct state *s, const char **finding)
{
  switch (s->pc)
    {
    case CLOSE:
      s->kept = (s->gate & UNUSED) != 0;
      if (broken == SCANNED_FIRST && !s->kept && !is_empty (s))
        return false;
      s->gate |= CLOSED;
      s->pc = s->kept || broken == SCANNED_FIRST ? TAKE_X : BARRIER;
      return true;
    case BARRIER:
      s->pc = broken == NO_SCAN ? TAKE_X : SCAN;
      if (broken == NO_BARRIER || s->gate & FENCED)
        return true;
      for (int i = 0; i < THREADS; i++)
        while (s->thread[i].n > 0)
          drain (&s->thread[i]);
      return true;
    case SCAN:
      s->pc = TAKE_X;
      return is_empty (s);
    case TAKE_X: case TAKE_Y:
      if (broken == OPENED_TO_CAPTURE && s->pc == TAKE_Y && s->who == 0)
        s->gate &= (uint8_t) ~CLOSED;
      s->taken[s->who][s->pc - TAKE_X] = s->thread[s->who].memory[s->pc - TAKE_X + X];
      if (++s->who < THREADS)
        return true;
      s->who = 0;
      for (int i = 0; i < THREADS && s->pc == TAKE_Y; i++)
        if (s->taken[i][0] != s->taken[i][1])
          *finding = "G1: a checkpoint has half of a turn";
      s->pc++;
      return true;
    case OPEN:
      if ((!s->kept || broken == OPENED_TO_DROP) && broken != NEVER_OPENED)
        s->gate &= (uint8_t) ~CLOSED;
      s->pc = DROP;
      return true;
    case DROP:
      for (int i = 0; i < THREADS && (s->kept || broken == DROPPED_ALWAYS); i++)
        for (int w = 0; w < 2; w++)
          if (s->thread[i].memory[X + w] != s->taken[i][w])
            *finding = "G2: a store is lost";
      s->pc = OPEN_LATE;
      return true;
    case OPEN_LATE:
      if (broken != NEVER_OPENED)
        s->gate &= (uint8_t) ~CLOSED;
      memset (s->taken, 0, sizeof s->taken);
      s->kept = 0;
      s->pc = --s->left > 0 ? CLOSE : DONE;
      return true;
    default:
      return false;
    }
}

enum { STATES_MAX = 1 << 21 };
static struct state *states;
static uint32_t *place;        /* by hash: 1 and the number; 0: none */
static size_t n_states;

static void
found (const struct state *s)
{
  const uint8_t *p = (const uint8_t *) s;
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  for (size_t i = 0; i < sizeof *s; i++)
    hash = (hash ^ p[i]) * UINT64_C (0x100000001b3);
  size_t at = (hash ^ hash >> 32) % (2 * STATES_MAX);
  for (; place[at] != 0; at = (at + 1) % (2 * STATES_MAX))
    if (memcmp (&states[place[at] - 1], s, sizeof *s) == 0)
      return;
  ck_assert_uint_lt (n_states, STATES_MAX);
  states[n_states++] = *s;
  place[at] = (uint32_t) n_states;
}

/* All states that follow S: how many kinds of steps there are; *FINDING may be
   set.  */
static int
follow (const struct state *s, const char **finding)
{
  int steps = 0;
  for (int i = 0; i < THREADS; i++)
    {
      struct state next = *s;
      if (thread_step (&next, &next.thread[i]))
        {
          found (&next);
          steps++;
        }
      next = *s;
      if (s->thread[i].n > 0)
        {
          drain (&next.thread[i]);
          found (&next);
          steps++;
        }
    }
  struct state next = *s;
  if (checkpoint_step (&next, finding))
    {
      found (&next);
      steps++;
    }
  return steps;
}

/* From a gate that was never used, FENCED or not: the first finding, or NULL.  */
static const char *
explore (bool fenced)
{
  const char *finding = NULL;
  struct state s = { .gate = UNUSED, .left = CHECKPOINTS };
  s.gate |= fenced ? FENCED : 0;
  n_states = 0;
  memset (place, 0, 2 * STATES_MAX * sizeof *place);
  found (&s);
  for (size_t i = 0; i < n_states && finding == NULL; i++)
    {
      s = states[i];
      bool over = s.pc == DONE;
      for (int t = 0; t < THREADS; t++)
        over &= s.thread[t].pc == OVER && s.thread[t].n == 0;
      if (follow (&s, &finding) == 0 && !over && finding == NULL)
        finding = "G3: nobody can go on";
    }
  return finding;
}

static void
memory_begin (void)
{
  states = calloc (STATES_MAX, sizeof *states);
  place = calloc (2 * STATES_MAX, sizeof *place);
  ck_assert (states != NULL && place != NULL);
}

/* Kind 1: with fences.  */
START_TEST (the_protocol_holds)
{
  memory_begin ();
  broken = NOTHING_BROKEN;
  const char *finding = explore (_i != 0);
  ck_assert_msg (finding == NULL, "%s", finding);
  bool done = false, waited = false, slept = false;
  for (size_t i = 0; i < n_states; i++)
    {
      const struct state *s = &states[i];
      done |= s->pc == DONE && s->thread[0].pc == OVER && s->thread[1].pc == OVER;
      waited |= s->pc == SCAN && !is_empty (s);
      slept |= s->thread[0].pc == WAIT && s->gate & CLOSED;
    }
  ck_assert (done && waited && slept);
  printf ("%zu states\n", n_states);
}
END_TEST

START_TEST (each_mutant_is_caught)
{
  memory_begin ();
  for (int i = 0; i < N_MUTANTS; i++)
    {
      if (mutants[i].fenced != (_i != 0))
        continue;
      broken = mutants[i].rule;
      const char *finding = explore (_i != 0);
      printf ("%-36s %s\n", mutants[i].name,
              finding != NULL ? finding : "NOT CAUGHT");
      fflush (stdout);
      ck_assert_msg (finding != NULL, "%s is not caught", mutants[i].name);
    }
}
END_TEST

RUN_KINDS (2, the_protocol_holds, each_mutant_is_caught)
