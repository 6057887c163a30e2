/* model_lock.c - a lock of the library's own in all its states, with processes
   killed at any step.

   What follows is the specification of the lock; the code in mmalloc.c is to
   be read beside it.  Each step below is one access to memory that others have,
   or one question to the kernel.

   The word.  32 bits: 0 is free; else the number of the owner's process, twice,
   and 1 if somebody may be asleep.  A number is drawn by an atomic addition to
   the count of those who have come in this epoch.  It is never used twice in
   an epoch, so what was found dead stays dead, and an exact word of the dead
   can be compared for as long as one likes.  There are 2^31 - 1 numbers; who
   would get a higher one is refused (ENOLCK, with that number), and the count,
   which has 64 bits, goes on.  An epoch ends when nobody has the heap.  The
   lock is the process's: its threads exclude each other by the same word, and
   which of them it is nobody knows.

   An entry has two numbers, each with its epoch in front: `id', of the process
   that has it, or had it and is not buried, and `coming', of the newcomer who
   has the entry's byte lock and needs the heap lock for burying the former.
   An entry of another epoch is as good as none.

   Take.
     t1  CAS 0 -> me: acquire, and release, so that who sees the number sees
         what was stored in the entry before.  Then it is had.
     t2  A few times t1 again; then load (acquire).  0: t5.
     t3  No waiters bit: CAS w -> w|1 (relaxed); t2 if it fails.
     t4  Sleep while the word is w|1, with a time-out: 0.1 ms, twice as much
         each time, 50 ms at most; so who finds the dead has waited since the
         death hardly longer than before.  Shared futex for a file, a private
         one else; without futexes, sleep as long.  Whatever it ends with: t2,
         as one who has waited.
     t5  CAS 0 -> me|1 if one has waited, for there may be more sleepers, of
         whom nobody else knows; else 0 -> me.  As t1; t2 if it fails.
     t6  After a time-out one asks about the owner that is there now, even if it
         is another than before, even if it set no bit: one time-out is enough
         to find the dead.  Alive: t3.
     t7  Dead: CAS w -> me|1, of exactly the word that one asked about, as t1;
         t2 if it fails.  Then, as the owner, what the dead one left is finished
         (the heap lock's handler; other locks have none): before anything
         else, by each who takes over, and for what any of those before has
         left, so all of it can be done again.
   Time alone is no death.  A wait that has a limit ends only after a time-out
   and an answer: who was woken tries again, or the wake-up is lost.  A wait cut
   short by a signal is a time-out: where signals come all the time there is no
   other.

   Try.  t1; else load, ask (t6) at once if it is not free, t7 or refuse.  So a
   sweep, which tries alone, gets the lock of a dead one whom nobody waits for.

   Release.
     r1  CAS me -> 0 (release, for all stores before).  Then it is done.
     r2  The word is me|1: exchange with 0 (release), then wake one.  Nothing of
         the lock is touched after that.
   Else it is not one's own, and nothing is done: a child that comes out of a
   signal handler which forked has a number of its own, or none yet.

   Alive?  Of number n, without any lock:
     q1  n is mine: alive.  Not: n is in my entry, which may be a dead one's.
         (0, with a waiters bit, nobody writes; it is in no entry, so dead.)
     q2  For each entry: load `coming', then `id' (acquire, in this order: they
         are stored in the other one).  In no entry: dead, because a number is
         stored in an entry before it is in a word, and leaves the last entry
         after the last word.
     q3  `id' is n and `coming' is another: dead, for somebody else has got the
         byte lock.
     q4  Ask for the lock on the entry's byte; then, in the same boot and PID
         namespace, for the entry's pid and its start.  Held, and the pid is
         gone: dead (a child that ran no fork handler has kept the lock).  Free,
         and the pid lives: alive (the program closed the descriptors).  Where
         pids tell nothing the byte decides; there such a child, while it calls
         nothing of ours, keeps its dead parent alive.
   An error counts as alive.  A wrong "alive" costs a time-out.  What a dead one
   has stored last is seen by whoever is told by the kernel, or by an entry that
   was changed after the kernel had told it, that he is dead.

   Come in, behind the door.
     n1  No byte of an entry is held, and no pid lives: a new epoch, see below.
     n2  Get the byte lock of any entry that is free; if the pid of its `id'
         lives all the same, give it back and look for another.
     n3  Draw a number.  Store pid and start; then `coming' (release).
     n4  If there is an `id': take the heap lock, as that number; its streams
         have no owner any more, its slot calls are ended; release.
     n5  Store `id' (release), then 0 in `coming' (release).  In this order, or
         the number is nowhere for a moment; not before n4, or who dies there
         takes with him that somebody was to be buried.
   Burying by others: ask about the entry's `id'; heap lock; as n4; release;
   CAS id -> 0 (release), since a newcomer's may be there by now.

   Leave, behind the door, or without it if that cannot be had.  Take the heap
   lock, end what is one's own, release; 0 in `id' (release); give the byte
   back.  No lock is taken after the 0, and without the door no word of the heap
   is touched after the byte, for it may be another epoch by then.

   A new epoch, behind the door, alone.  0 in all words, whatever they were; the
   handler; then the epoch's number, and the count is 0.  Who dies in it has
   shown himself to nobody: the next one begins it again.

   fork.  No lock of a heap is taken for it.  The child closes the descriptor
   whose lock is its parent's, without unlocking, and of a file is a newcomer:
   it owns nothing.  The word of a heap that is not shared is copied with the
   number, which is the child's as well, and with what other threads had half
   done: the child begins a new epoch.

   What must hold in each state:

     K1  at most one living thread is in what the lock protects;
     K2  who gets the lock finds nothing half done;
     K3  no lock is taken from the living, nobody releases what he has not;
     K4  whoever owns a stream and is dead is in an entry, or is being buried.

   And of the ways from each state on:

     K5  with no more kills all end: every wait, for the lock or at the door, if
         no time-out comes before nobody can go on without one;
     K6  that takes one time-out at most, of all together;
     K7  as long as nobody was killed, no time-out is needed;
     K8  when all is over, who tries gets the lock.

   In the search time-outs come at any time; so do kills, also of those who take
   over, bury, come in and leave.  Steps interleave as if memory were
   sequentially consistent; what the orders above forbid is tried by mutants
   that have the two steps in the other order.  Each mutant breaks a rule and
   must be found out.

   MMALLOC_TEST_MUTANT=name   tries one mutant alone
   MMALLOC_TEST_ALL=1         also scenarios that take a minute and 500 MB
   MMALLOC_TEST_TRACE=1       prints the way to what a mutant does wrong  */

#include <stdbool.h>

#include "support.h"

enum
{
  N_PROCS = 4, N_THREADS = 4, N_ENTRIES = 3, MAX_NEXT = 8,
  MAX_TIME_OUTS = 1            /* of K6 */
};

enum rule
{
  NOTHING_BROKEN,
  /* Take.  */
  TAKE_BY_STORE,
  WAITER_SETS_NO_BIT,
  BIT_BY_STORE,
  SLEEP_WITHOUT_LOOKING,
  WOKEN_TAKES_WITHOUT_BIT,
  NO_TIME_OUT,
  GIVES_UP_WHEN_WOKEN,
  /* Release.  */
  WAKES_NOBODY,
  RELEASE_BY_STORE,
  RELEASE_NOT_RELEASED,
  RELEASE_NOT_COMPARED,
  /* Take over.  */
  ASKS_NOTHING,
  DEAD_BY_TIME,
  TAKES_OVER_BY_STORE,
  TAKES_OVER_WHOEVER,
  TAKES_OVER_WITHOUT_BIT,
  FREES_THE_DEADS,
  NO_HANDLER,
  HANDLER_FORGETS_FIRST,
  HANDLER_HURTS_TWICE,
  TRY_ASKS_NOTHING,
  ASKS_ABOUT_THE_FIRST,
  /* Alive?  */
  MINE_BY_ENTRY,
  COMING_NOT_COMPARED,
  ID_READ_FIRST,
  HELD_IS_ALIVE,
  FREE_IS_DEAD,
  /* Coming.  */
  LOCKS_UNPUBLISHED,
  COMING_NOT_RELEASED,
  COMING_GOES_FIRST,
  PID_STORED_LATE,
  ID_BEFORE_BURYING,
  NUMBER_OF_THE_ENTRY,
  NUMBERS_BEGIN_AGAIN,
  BYTE_OF_THE_LIVING,
  BURIED_BY_STORE,
  /* Epochs.  */
  EPOCH_KEEPS_WORDS,
  EPOCH_NOT_HANDLED,
  EPOCH_BESIDE_OTHERS,
  EPOCH_ASKS_NO_PIDS,
  EPOCH_NOT_COMPARED,
  /* Leaving and fork.  */
  NUMBER_LEFT_FIRST,
  BYTE_LEFT_FIRST,
  CHILD_KEEPS_NUMBER,
  CHILD_UNLOCKS_PARENTS
};

static enum rule broken;


/* ---- The state ---------------------------------------------------------- */

/* What a thread does in turn, a letter each.

     W  take the lock, change two words, release
     T  the same if the lock is had by trying
     G  the same; may give up waiting
     B  bury whoever is in an entry and dead
     N  come in
     L  leave
     l  leave, and the door could not be had
     F  fork
     X  the program closes the descriptor with the byte lock
     C  the child's handler
     U  back from there the child releases what its parent may have
     R  nothing: a child that does not call the library

   A process whose first letter is C or R is there when another has forked.  */
struct scenario
{
  const char *name;
  unsigned kills, entries, numbers;
  bool pids;                   /* they can be asked for */
  bool anonymous;
  struct { unsigned process; const char *letters; } thread[N_THREADS];
};
static const struct scenario *scene;

enum why { WORK, TRY, LIMITED, NEWCOMER, BURIER, LEAVER, FIRST };
enum life { ABSENT, ALIVE, GONE };

enum pc
{
  OVER,
  FAST, LOAD, SET_BIT, SLEEP, ASLEEP, TAKE,
  ASK, ASK_COMING, ASK_ID, ASK_BYTE, ASK_PID, TAKE_OVER,
  HANDLE_A, HANDLE_B, HANDLE_END,
  WORK_VALUE, WORK_BEGIN, WORK_A, WORK_B, WORK_END,
  ORPHAN, RELEASE, RELEASE_WAITERS, WAKE,
  COME_DOOR, COME_LOOK, EPOCH_WORD, EPOCH_END, COME_BYTE, COME_LIVES, COME_DRAW,
  COME_PID, COME_COMING, COME_ID, COME_END, COME_OPEN,
  BURY_SEE, BURY_BYTE, BURY_ID,
  LEAVE_DOOR, LEAVE_STREAM, LEAVE_ID, LEAVE_BYTE, LEAVE_OPEN,
  FORK, LOSE_BYTE, CHILD_CLOSE,
  RELEASE_STORE,               /* of a mutant */
  N_PCS
};
static const char *const pc_name[N_PCS] = {
  "over",
  "take: CAS 0", "take: load", "take: set the bit", "take: sleep", "asleep",
  "take: CAS 0, waited",
  "ask: mine?", "ask: coming", "ask: id", "ask: byte", "ask: pid", "take over",
  "handle: a", "handle: b", "handle: end",
  "work: value", "work: begin", "work: a", "work: b", "work: end",
  "bury: streams", "release: CAS me", "release: exchange", "wake",
  "come: door", "come: look", "epoch: words", "epoch: end", "come: byte",
  "come: lives?", "come: draw", "come: pid", "come: coming", "come: id",
  "come: end", "come: open",
  "bury: see", "bury: byte", "bury: id",
  "leave: door", "leave: own", "leave: id", "leave: byte", "leave: open",
  "fork", "lose byte", "child: close", "release by store"
};

/* Bytes alone, so that states can be compared.  A number in an entry has its
   epoch, 16 times, in front.  */
struct state
{
  uint8_t word;
  uint8_t work, value, a, b;   /* a and b are equal; work: they get VALUE */
  uint8_t epoch, entered;
  uint8_t door;                /* 1 + the process behind it */
  uint8_t stream;              /* whose it is, with its epoch */
  uint8_t kills, killed;
  struct { uint8_t id, coming, pid, held; } entry[N_ENTRIES];
  struct { uint8_t life, number, entry; } process[N_PROCS];
  struct thread
  {
    uint8_t at;                /* which letter */
    uint8_t pc, why;
    uint8_t w;                 /* the word as seen */
    uint8_t waited, timed;     /* at all; just now, by the clock */
    uint8_t i, seen;           /* the question: the entry, its `coming' */
    uint8_t old, in;           /* who is to be buried, in which entry */
  } thread[N_THREADS];
};

/* What a step has found wrong.  */
static const char *wrong;

static struct state next[MAX_NEXT * N_THREADS];
static unsigned n_next;

static void
emit (const struct state *s)
{
  must (n_next < MAX_NEXT * N_THREADS);
  next[n_next++] = *s;
}

static unsigned
process_of (unsigned t)
{
  return scene->thread[t].process;
}

static uint8_t
number_of (const struct state *s, unsigned t)
{
  return s->process[process_of (t)].number;
}

static uint8_t
id_of (const struct state *s, uint8_t number)
{
  return (uint8_t) (s->epoch << 4 | number);
}

/* Whether X of an entry is number N of this epoch.  */
static bool
is_number (const struct state *s, uint8_t x, uint8_t n)
{
  return x == id_of (s, n) || (broken == EPOCH_NOT_COMPARED && (x & 15) == n);
}

static bool
is_of_epoch (const struct state *s, uint8_t x)
{
  return x != 0 && x >> 4 == s->epoch;
}

/* Whether a living process has NUMBER.  */
static bool
number_lives (const struct state *s, uint8_t number)
{
  for (unsigned p = 0; p < N_PROCS; p++)
    if (s->process[p].life == ALIVE && s->process[p].number == number)
      return true;
  return false;
}

/* Whether one has the pid of entry E.  */
static bool
pid_lives (const struct state *s, unsigned e)
{
  return s->process[s->entry[e].pid].life == ALIVE;
}

static uint8_t
bit_of (unsigned process)
{
  return (uint8_t) (1 << process);
}


/* ---- From letter to letter ---------------------------------------------- */

static void
thread_begin (struct thread *th, unsigned t)
{
  uint8_t at = th->at;
  *th = (struct thread) { .at = at };
  switch (scene->thread[t].letters[at])
    {
    case 'W': th->pc = FAST; th->why = WORK; break;
    case 'T': th->pc = FAST; th->why = TRY; break;
    case 'G': th->pc = FAST; th->why = LIMITED; break;
    case 'B': th->pc = BURY_SEE; th->why = BURIER; break;
    case 'N': th->pc = COME_DOOR; break;
    case 'L': th->pc = broken == NUMBER_LEFT_FIRST ? LEAVE_ID
                       : broken == BYTE_LEFT_FIRST ? LEAVE_BYTE
                                                   : LEAVE_DOOR;
      break;
    case 'F': th->pc = FORK; break;
    case 'X': th->pc = LOSE_BYTE; break;
    case 'l': th->pc = FAST; th->why = LEAVER; break;
    case 'C': th->pc = CHILD_CLOSE; break;
    case 'U': th->pc = RELEASE; break;
    default: th->pc = OVER; break;
    }
}

/* What the letter says is done.  */
static void
thread_go_on (struct thread *th, unsigned t)
{
  if (scene->thread[t].letters[th->at] != '\0')
    th->at++;
  thread_begin (th, t);
}

static void
thread_stop (struct thread *th, unsigned t)
{
  th->at = (uint8_t) strlen (scene->thread[t].letters);
  thread_begin (th, t);
}

static void
lock_begin (struct thread *th, enum why why)
{
  th->pc = FAST;
  th->why = (uint8_t) why;
}

/* The thread has the lock, and all is in order.  */
static void
lock_had (struct state *s, struct thread *th)
{
  if (s->work || s->a != s->b)
    wrong = "K2: something is half done";
  th->w = th->waited = th->timed = th->i = th->seen = 0;
  th->pc = th->why == LEAVER                            ? LEAVE_STREAM
           : th->why == NEWCOMER || th->why == BURIER ? ORPHAN
                                                        : WORK_VALUE;
}

/* It has released it.  */
static void
lock_left (struct thread *th, unsigned t)
{
  switch (th->why)
    {
    case NEWCOMER: th->pc = broken == ID_BEFORE_BURYING ? COME_END : COME_ID;
      break;
    case BURIER: th->pc = BURY_ID; break;
    case LEAVER:
      th->pc = broken == NUMBER_LEFT_FIRST ? LEAVE_BYTE
               : broken == BYTE_LEFT_FIRST ? LEAVE_OPEN : LEAVE_ID;
      break;
    default:
      if (th->seen)             /* a mutant's: the work goes on */
        th->pc = WORK_END;
      else
        thread_go_on (th, t);
    }
}


/* ---- The lock ----------------------------------------------------------- */

/* Someone tried, or has a limit, and must do without.  */
static void
take_nothing (struct thread *th, unsigned t)
{
  thread_go_on (th, t);
}

static void
take_load (struct state *s, struct thread *th)
{
  if (broken == ASKS_ABOUT_THE_FIRST && th->why != TRY && s->word != th->w)
    th->timed = 0;
  th->w = s->word;
  th->pc = th->w == 0 ? TAKE : th->timed ? ASK : th->w & 1 ? SLEEP : SET_BIT;
}

static void
take_step (struct state *s, struct thread *th, unsigned t)
{
  uint8_t me = (uint8_t) (number_of (s, t) << 1);
  switch (th->pc)
    {
    case FAST:
      if (s->word == 0)
        {
          s->word = me;
          lock_had (s, th);
        }
      else
        {
          th->timed = th->why == TRY;
          th->pc = LOAD;
        }
      break;
    case LOAD: take_load (s, th); break;
    case SET_BIT:
      if (s->word == th->w || broken == BIT_BY_STORE)
        {
          if (broken != WAITER_SETS_NO_BIT)
            s->word = th->w |= 1;
          th->pc = SLEEP;
        }
      else
        th->pc = LOAD;
      break;
    case SLEEP:
      if (s->word == th->w || broken == SLEEP_WITHOUT_LOOKING)
        th->pc = ASLEEP;
      else
        {
          th->waited = 1;
          th->pc = LOAD;
        }
      break;
    default: /* TAKE */
      if (s->word == 0 || broken == TAKE_BY_STORE)
        {
          bool bit = th->waited && broken != WOKEN_TAKES_WITHOUT_BIT;
          s->word = (uint8_t) (me | bit);
          lock_had (s, th);
        }
      else if (th->why == TRY)
        take_nothing (th, t);
      else
        th->pc = LOAD;
    }
}

/* The answer about the owner of the word that was seen.  */
static void
ask_answer (struct thread *th, unsigned t, bool lives)
{
  th->i = th->seen = th->timed = 0;
  if (!lives)
    th->pc = TAKE_OVER;
  else if (th->why == TRY)
    take_nothing (th, t);
  else
    th->pc = th->w & 1 ? SLEEP : SET_BIT;
}

static void
ask_begin (struct state *s, struct thread *th, unsigned t)
{
  uint8_t n = th->w >> 1;
  unsigned e = s->process[process_of (t)].entry;
  if (broken == DEAD_BY_TIME)
    ask_answer (th, t, false);
  else if (n == number_of (s, t) || broken == ASKS_NOTHING || scene->anonymous
           || (broken == TRY_ASKS_NOTHING && th->why == TRY)
           || (broken == MINE_BY_ENTRY && is_number (s, s->entry[e].id, n)))
    ask_answer (th, t, true);
  else
    th->pc = ASK_COMING;
}

/* The number is in no entry so far.  */
static void
ask_next (struct thread *th, unsigned t)
{
  th->seen = 0;
  th->pc = ASK_COMING;
  if (++th->i == scene->entries)
    ask_answer (th, t, false);
}

static void
ask_step (struct state *s, struct thread *th, unsigned t)
{
  uint8_t n = th->w >> 1, p = bit_of (process_of (t));
  uint8_t coming = s->entry[th->i].coming, id = s->entry[th->i].id;
  bool swapped = broken == ID_READ_FIRST;
  bool held = (s->entry[th->i].held & ~p) != 0;
  switch (th->pc)
    {
    case ASK: ask_begin (s, th, t); break;
    case ASK_COMING:
      th->seen = swapped ? id : coming;
      th->pc = is_number (s, th->seen, n) ? ASK_BYTE : ASK_ID;
      break;
    case ASK_ID:
      if (!is_number (s, swapped ? coming : id, n))
        ask_next (th, t);
      else if (th->seen != 0 && !swapped && broken != COMING_NOT_COMPARED)
        ask_answer (th, t, false);
      else
        th->pc = ASK_BYTE;
      break;
    case ASK_BYTE:
      th->seen = held;
      if (!scene->pids || (held && broken == HELD_IS_ALIVE)
          || (!held && broken == FREE_IS_DEAD))
        ask_answer (th, t, held);
      else
        th->pc = ASK_PID;
      break;
    default: /* ASK_PID */
      ask_answer (th, t, pid_lives (s, th->i));
    }
}

static void
take_over (struct state *s, struct thread *th, unsigned t)
{
  bool exact = s->word == th->w || broken == TAKES_OVER_BY_STORE
               || (broken == TAKES_OVER_WHOEVER && s->word != 0);
  if (!exact)
    {
      if (th->why == TRY)
        take_nothing (th, t);
      else
        th->pc = LOAD;
      return;
    }
  if (number_lives (s, s->word >> 1))
    wrong = "K3: a lock was taken from the living";
  s->word = (uint8_t) (number_of (s, t) << 1
                       | (broken != TAKES_OVER_WITHOUT_BIT));
  if (broken == FREES_THE_DEADS)
    s->word = 0;
  th->pc = HANDLE_A;
  if (broken == NO_HANDLER)
    lock_had (s, th);
}

/* What was left half done is finished.  */
static void
handle_step (struct state *s, struct thread *th)
{
  uint8_t value = s->value;
  bool work = s->work;
  if (broken == HANDLER_HURTS_TWICE)
    value = th->pc == HANDLE_A ? !s->a : s->a;
  if (broken == HANDLER_FORGETS_FIRST)
    {
      work = th->seen |= s->work;
      s->work = 0;
    }
  switch (th->pc++)
    {
    case HANDLE_A: s->a = work ? value : s->a; break;
    case HANDLE_B: s->b = work ? value : s->b; break;
    default:
      if (work && (s->a != s->value || s->b != s->value))
        wrong = "K2: what was half done was spoilt";
      s->work = s->value = 0;
      if (th->why == FIRST)
        th->pc = EPOCH_END;
      else if (broken == FREES_THE_DEADS)
        th->pc = FAST;
      else
        lock_had (s, th);
    }
}

static void
work_step (struct state *s, struct thread *th, unsigned t)
{
  int pc = th->pc++;
  if (th->pc > WORK_END)
    th->pc = RELEASE;
  switch (pc)
    {
    case WORK_VALUE: s->value = !s->a; break;
    case WORK_BEGIN: s->work = 1; break;
    case WORK_A: s->a = s->value; break;
    case WORK_B: s->b = s->value; break;
    default: /* WORK_END */
      s->work = s->value = 0;
      if (broken == RELEASE_NOT_RELEASED && th->seen)
        thread_go_on (th, t);
    }
}

static void
release_step (struct state *s, struct thread *th, unsigned t)
{
  uint8_t me = (uint8_t) (number_of (s, t) << 1);
  bool mine = me != 0 && (s->word & ~1) == me;
  bool alien = scene->thread[t].letters[th->at] == 'U';
  if (!mine && !alien)
    wrong = "K3: somebody releases what he has not";
  if (!mine && broken != RELEASE_NOT_COMPARED)
    lock_left (th, t);
  else if (th->pc == RELEASE && broken == RELEASE_BY_STORE && s->word == me)
    th->pc = RELEASE_STORE;
  else if (th->pc == RELEASE && s->word == (me | 1))
    th->pc = RELEASE_WAITERS;
  else
    {
      bool waiters = th->pc == RELEASE_WAITERS && broken != WAKES_NOBODY;
      s->word = 0;
      if (waiters)
        th->pc = WAKE;
      else
        lock_left (th, t);
    }
}

/* One of the sleepers, whoever.  */
static void
wake_next (const struct state *from, unsigned t)
{
  bool any = false;
  for (unsigned i = 0; i < N_THREADS; i++)
    if (from->thread[i].pc == ASLEEP)
      {
        struct state s = *from;
        any = true;
        s.thread[i].waited = 1;
        s.thread[i].pc = LOAD;
        if (broken == GIVES_UP_WHEN_WOKEN && s.thread[i].why == LIMITED)
          take_nothing (&s.thread[i], i);
        lock_left (&s.thread[t], t);
        emit (&s);
      }
  if (!any)
    {
      struct state s = *from;
      lock_left (&s.thread[t], t);
      emit (&s);
    }
}


/* ---- Coming, burying, leaving ------------------------------------------- */

static bool
come_is_alone (const struct state *s, unsigned p)
{
  for (unsigned e = 0; e < scene->entries; e++)
    if ((s->entry[e].held & ~bit_of (p)) != 0
        || (scene->pids && broken != EPOCH_ASKS_NO_PIDS
            && is_of_epoch (s, s->entry[e].id) && pid_lives (s, e)))
      return broken == EPOCH_BESIDE_OTHERS;
  return true;
}

/* No entry, or no number, is left.  */
static void
come_refused (struct state *s, struct thread *th, unsigned t)
{
  unsigned p = process_of (t);
  s->entry[s->process[p].entry].held &= (uint8_t) ~bit_of (p);
  s->process[p].life = GONE;
  s->process[p].entry = 0;
  s->door = 0;
  thread_stop (th, t);
}

/* Any entry that is free.  */
static void
come_byte_next (const struct state *from, unsigned t)
{
  unsigned p = process_of (t);
  bool any = false;
  for (unsigned e = 0; e < scene->entries; e++)
    if (from->entry[e].held == 0 && !(from->thread[t].seen & 1 << e))
      {
        struct state s = *from;
        any = true;
        s.entry[e].held = bit_of (p);
        s.process[p].entry = (uint8_t) e;
        s.thread[t].pc = scene->pids ? COME_LIVES : COME_DRAW;
        emit (&s);
      }
  if (!any)
    {
      struct state s = *from;
      come_refused (&s, &s.thread[t], t);
      emit (&s);
    }
}

static void
come_draw (struct state *s, struct thread *th, unsigned t)
{
  unsigned p = process_of (t);
  th->seen = 0;
  th->pc = COME_PID;
  if (s->entered == scene->numbers)
    {
      if (broken != NUMBERS_BEGIN_AGAIN)
        {
          come_refused (s, th, t);
          return;
        }
      s->entered = 0;
    }
  s->process[p].number = ++s->entered;
  uint8_t old = s->entry[s->process[p].entry].id;
  if (broken == NUMBER_OF_THE_ENTRY && is_of_epoch (s, old))
    s->process[p].number = old & 15;
}

/* The newcomer says who it is, and buries.  */
static void
come_say (struct state *s, struct thread *th, unsigned t)
{
  uint8_t e = s->process[process_of (t)].entry;
  if (broken != LOCKS_UNPUBLISHED && broken != COMING_NOT_RELEASED)
    s->entry[e].coming = id_of (s, number_of (s, t));
  th->old = s->entry[e].id;
  th->in = e;
  th->pc = COME_ID;
  if (th->old != 0 && broken != ID_BEFORE_BURYING)
    lock_begin (th, NEWCOMER);
}

static void
come_id (struct state *s, struct thread *th, unsigned t)
{
  uint8_t e = s->process[process_of (t)].entry;
  bool first = th->pc == COME_ID, id = first;
  th->pc++;
  if (broken == COMING_GOES_FIRST)
    id = !id;
  if (id)                       /* it was, but for a mutant */
    s->entry[e].pid = (uint8_t) process_of (t);
  if (id)
    s->entry[e].id = id_of (s, number_of (s, t));
  else
    s->entry[e].coming = 0;
  if (first && th->old != 0 && broken == ID_BEFORE_BURYING)
    lock_begin (th, NEWCOMER);
}

static void
come_step (struct state *s, struct thread *th, unsigned t)
{
  unsigned p = process_of (t);
  uint8_t e = s->process[p].entry;
  switch (th->pc)
    {
    case COME_DOOR:
      s->door = (uint8_t) (p + 1);
      th->pc = COME_LOOK;
      break;
    case COME_LOOK: th->pc = come_is_alone (s, p) ? EPOCH_WORD : COME_BYTE;
      break;
    case EPOCH_WORD:
      if (broken != EPOCH_KEEPS_WORDS)
        s->word = 0;
      th->why = FIRST;
      th->pc = broken == EPOCH_NOT_HANDLED ? EPOCH_END : HANDLE_A;
      break;
    case EPOCH_END:
      s->epoch++;
      s->entered = s->stream = 0;
      th->pc = COME_BYTE;
      if (scene->anonymous)
        thread_go_on (th, t);
      break;
    case COME_LIVES:
      th->pc = COME_DRAW;
      if (is_of_epoch (s, s->entry[e].id) && pid_lives (s, e)
          && broken != BYTE_OF_THE_LIVING)
        {
          s->entry[e].held &= (uint8_t) ~bit_of (p);
          th->seen |= (uint8_t) (1 << e);
          th->pc = COME_BYTE;
        }
      break;
    case COME_DRAW: come_draw (s, th, t); break;
    case COME_PID:
      if (broken != PID_STORED_LATE)
        s->entry[e].pid = (uint8_t) p;
      th->pc = COME_COMING;
      break;
    case COME_COMING: come_say (s, th, t); break;
    case COME_ID: case COME_END: come_id (s, th, t); break;
    default: /* COME_OPEN */
      s->door = 0;
      thread_go_on (th, t);
    }
}

/* With the lock: the streams of who is buried have no owner any more.  */
static void
orphan (struct state *s, struct thread *th, unsigned t)
{
  if (broken == COMING_NOT_RELEASED && th->why == NEWCOMER)
    s->entry[th->in].coming = id_of (s, number_of (s, t));
  if (s->stream == th->old)
    {
      if (is_of_epoch (s, th->old) && number_lives (s, th->old & 15))
        wrong = "K4: the living was buried";
      s->stream = 0;
    }
  th->pc = RELEASE;
}

static void
bury_step (struct state *s, struct thread *th, unsigned t)
{
  uint8_t *id = &s->entry[th->in].id;
  switch (th->pc)
    {
    case BURY_BYTE:
      if ((s->entry[th->in].held & ~bit_of (process_of (t))) != 0
          || (scene->pids && pid_lives (s, th->in)))
        thread_go_on (th, t);
      else
        lock_begin (th, BURIER);
      break;
    default: /* BURY_ID */
      if (*id == th->old || broken == BURIED_BY_STORE)
        *id = 0;
      thread_go_on (th, t);
    }
}

/* Whoever is in an entry, not oneself.  */
static void
bury_see_next (const struct state *from, unsigned t)
{
  for (unsigned e = 0; e < scene->entries; e++)
    {
      struct state s = *from;
      struct thread *th = &s.thread[t];
      th->old = s.entry[e].id;
      th->in = (uint8_t) e;
      th->pc = BURY_BYTE;
      if (!is_of_epoch (&s, th->old)
          || th->old == id_of (&s, number_of (&s, t)))
        thread_go_on (th, t);
      emit (&s);
    }
}

static void
leave_step (struct state *s, struct thread *th, unsigned t)
{
  unsigned p = process_of (t);
  uint8_t e = s->process[p].entry;
  int pc = th->pc++;
  switch (pc)
    {
    case LEAVE_DOOR:
      s->door = (uint8_t) (p + 1);
      lock_begin (th, LEAVER);
      break;
    case LEAVE_STREAM:
      if (s->stream == id_of (s, number_of (s, t)))
        s->stream = 0;
      th->pc = RELEASE;
      break;
    case LEAVE_ID:
      s->entry[e].id = 0;
      if (broken == NUMBER_LEFT_FIRST)
        th->pc = LEAVE_DOOR;
      break;
    case LEAVE_BYTE:
      s->entry[e].held &= (uint8_t) ~bit_of (p);
      if (broken == BYTE_LEFT_FIRST)
        th->pc = th->why == LEAVER ? LEAVE_OPEN : LEAVE_DOOR;
      else
        s->process[p].number = 0;
      break;
    default: /* LEAVE_OPEN */
      s->process[p].life = GONE;
      s->process[p].number = s->process[p].entry = 0;
      if (s->door == p + 1)
        s->door = 0;
      thread_go_on (th, t);
    }
}


/* ---- Processes ---------------------------------------------------------- */

/* The first process that is not there yet becomes a child of thread T's.  */
static void
fork_file (struct state *s, unsigned t)
{
  uint8_t parent = bit_of (process_of (t));
  for (unsigned i = 0; i < N_THREADS; i++)
    {
      unsigned c = process_of (i);
      if (scene->thread[i].letters == NULL || s->process[c].life != ABSENT)
        continue;
      s->process[c] = s->process[process_of (t)];
      if (broken != CHILD_KEEPS_NUMBER)
        s->process[c].number = 0;
      for (unsigned e = 0; e < N_ENTRIES; e++)
        if (s->entry[e].held & parent)
          s->entry[e].held |= bit_of (c);
      thread_begin (&s->thread[i], i);
      break;
    }
  thread_go_on (&s->thread[t], t);
}

/* From here on the child is looked at, which has the one thread.  */
static void
fork_anonymous_next (const struct state *from, unsigned t)
{
  struct state s = *from;
  thread_go_on (&s.thread[t], t);
  emit (&s);
  s = *from;
  for (unsigned i = 0; i < N_THREADS; i++)
    if (i != t && scene->thread[i].letters != NULL)
      thread_stop (&s.thread[i], i);
  s.thread[t].pc = EPOCH_WORD;
  emit (&s);
}

static void
process_step (struct state *s, struct thread *th, unsigned t)
{
  unsigned p = process_of (t);
  uint8_t e = s->process[p].entry;
  switch (th->pc)
    {
    case FORK: fork_file (s, t); break;
    case LOSE_BYTE:
      s->entry[e].held &= (uint8_t) ~bit_of (p);
      thread_go_on (th, t);
      break;
    default: /* CHILD_CLOSE */
      s->entry[e].held &= (uint8_t) ~bit_of (p);
      if (broken == CHILD_UNLOCKS_PARENTS)
        s->entry[e].held = 0;
      if (broken == CHILD_KEEPS_NUMBER)
        th->at++;
      else
        s->process[p].entry = 0;
      thread_go_on (th, t);
    }
}

static void
process_kill (struct state *s, unsigned p)
{
  s->process[p].life = GONE;
  s->process[p].number = s->process[p].entry = 0;
  if (s->door == p + 1)
    s->door = 0;
  for (unsigned e = 0; e < N_ENTRIES; e++)
    s->entry[e].held &= (uint8_t) ~bit_of (p);
  for (unsigned t = 0; t < N_THREADS; t++)
    if (scene->thread[t].letters != NULL && process_of (t) == p)
      thread_stop (&s->thread[t], t);
  s->kills--;
  s->killed = 1;
}

static void
thread_step (struct state *s, unsigned t)
{
  struct thread *th = &s->thread[t];
  if (broken == RELEASE_NOT_RELEASED && th->pc == WORK_END && !th->seen)
    {
      th->seen = 1;
      th->pc = RELEASE;
    }
  switch (th->pc)
    {
    case FAST: case LOAD: case SET_BIT: case SLEEP: case TAKE:
      take_step (s, th, t); break;
    case ASK: case ASK_COMING: case ASK_ID: case ASK_BYTE: case ASK_PID:
      ask_step (s, th, t); break;
    case TAKE_OVER: take_over (s, th, t); break;
    case HANDLE_A: case HANDLE_B: case HANDLE_END: handle_step (s, th); break;
    case WORK_VALUE: case WORK_BEGIN: case WORK_A: case WORK_B: case WORK_END:
      work_step (s, th, t); break;
    case RELEASE: case RELEASE_WAITERS: case RELEASE_STORE:
      release_step (s, th, t); break;
    case ORPHAN: orphan (s, th, t); break;
    case BURY_BYTE: case BURY_ID: bury_step (s, th, t); break;
    case FORK: case LOSE_BYTE: case CHILD_CLOSE: process_step (s, th, t); break;
    default:
      if (th->pc >= LEAVE_DOOR)
        leave_step (s, th, t);
      else
        come_step (s, th, t);
    }
}

/* All that thread T can do from *FROM without a time-out.  */
static void
thread_next (const struct state *from, unsigned t)
{
  struct state s = *from;
  const struct thread *th = &from->thread[t];
  if (th->pc == OVER || th->pc == ASLEEP
      || ((th->pc == COME_DOOR || th->pc == LEAVE_DOOR) && from->door != 0))
    return;
  if (th->pc == WAKE)
    wake_next (from, t);
  else if (th->pc == COME_BYTE)
    come_byte_next (from, t);
  else if (th->pc == BURY_SEE)
    bury_see_next (from, t);
  else if (th->pc == FORK && scene->anonymous)
    fork_anonymous_next (from, t);
  else
    {
      thread_step (&s, t);
      emit (&s);
      /* After an answer, who has a limit may stop waiting.  */
      if (th->why == LIMITED && th->timed && !s.thread[t].timed
          && (s.thread[t].pc == SLEEP || s.thread[t].pc == SET_BIT))
        {
          take_nothing (&s.thread[t], t);
          emit (&s);
        }
    }
}

/* The time is up for thread T, which is asleep.  */
static void
time_out_next (const struct state *from, unsigned t)
{
  struct state s = *from;
  if (s.thread[t].pc != ASLEEP || broken == NO_TIME_OUT)
    return;
  s.thread[t].waited = s.thread[t].timed = 1;
  s.thread[t].pc = LOAD;
  emit (&s);
}


/* ---- What must hold ----------------------------------------------------- */

static bool
is_over (const struct state *s)
{
  for (unsigned t = 0; t < N_THREADS; t++)
    if (s->thread[t].pc != OVER)
      return false;
  return true;
}

static bool
is_inside (const struct thread *th, unsigned t)
{
  const char *letters = scene->thread[t].letters;
  return (th->pc >= HANDLE_A && th->pc <= RELEASE_WAITERS
          && letters[th->at] != 'U')
         || th->pc == EPOCH_WORD || th->pc == EPOCH_END
         || th->pc == LEAVE_STREAM || th->pc == RELEASE_STORE;
}

/* What is wrong with S, or NULL.  */
static const char *
judge (const struct state *s)
{
  unsigned inside = 0;
  bool known = s->stream == 0 || !is_of_epoch (s, s->stream)
               || number_lives (s, s->stream & 15);
  for (unsigned t = 0; t < N_THREADS; t++)
    {
      inside += is_inside (&s->thread[t], t);
      known |= s->thread[t].old == s->stream && s->thread[t].pc != OVER;
    }
  for (unsigned e = 0; e < N_ENTRIES; e++)
    known |= s->entry[e].id == s->stream;
  if (inside > 1)
    return "K1: two are inside";
  if (!known)
    return "K4: a dead one was not buried";
  return NULL;
}

/* All is over: whether somebody who is left, if anybody is, can have the lock,
   without waiting.  */
static bool
try_at_last (const struct state *last)
{
  struct state s = *last;
  for (unsigned t = 0; t < N_THREADS; t++)
    if (scene->thread[t].letters != NULL && number_of (&s, t) != 0
        && s.process[process_of (t)].life == ALIVE)
      {
        bool had = false;
        lock_begin (&s.thread[t], TRY);
        while (s.thread[t].pc != OVER && wrong == NULL)
          {
            had |= s.thread[t].pc == RELEASE;
            n_next = 0;
            thread_next (&s, t);
            s = next[0];
          }
        return had && s.a == s.b && !s.work;
      }
  return true;
}


/* ---- All states --------------------------------------------------------- */

static struct
{
  struct state *state;         /* in the order in which they were found */
  uint32_t *from;
  uint32_t *slot;              /* 1 + number, by hash */
  uint32_t *edge;              /* where one comes to without a kill, from ... */
  uint32_t *first;             /* ... the state: its first edge */
  uint8_t *by_time;            /* those are time-outs */
  uint32_t n, n_edges, room, edge_room;
} all;

static void *
all_room (void *p, size_t n, size_t size)
{
  p = realloc (p, n * size);
  ck_assert_ptr_nonnull (p);
  return p;
}

static uint32_t *
all_slot (const struct state *s)
{
  const unsigned char *p = (const unsigned char *) s;
  uint64_t hash = UINT64_C (0xcbf29ce484222325);
  size_t mask = all.room * 2 - 1;
  for (size_t i = 0; i < sizeof *s; i++)
    hash = (hash ^ p[i]) * UINT64_C (0x100000001b3);
  size_t i = (hash ^ hash >> 32) & mask;
  while (all.slot[i] != 0
         && memcmp (&all.state[all.slot[i] - 1], s, sizeof *s) != 0)
    i = (i + 1) & mask;
  return &all.slot[i];
}

static void
all_grow (void)
{
  all.room = all.room == 0 ? 1 << 12 : all.room * 2;
  all.state = all_room (all.state, all.room, sizeof *all.state);
  all.from = all_room (all.from, all.room, sizeof *all.from);
  all.first = all_room (all.first, all.room + 1, sizeof *all.first);
  all.by_time = all_room (all.by_time, all.room, 1);
  all.slot = all_room (all.slot, all.room * 2, sizeof *all.slot);
  memset (all.slot, 0, all.room * 2 * sizeof *all.slot);
  for (uint32_t i = 0; i < all.n; i++)
    *all_slot (&all.state[i]) = i + 1;
}

/* The number of state S, reached from FROM.  */
static uint32_t
found (const struct state *s, uint32_t from)
{
  uint32_t *slot = all_slot (s);
  if (*slot != 0)
    return *slot - 1;
  if (all.n == all.room)
    {
      all_grow ();
      slot = all_slot (s);
    }
  all.state[all.n] = *s;
  all.from[all.n] = from;
  *slot = ++all.n;
  return all.n - 1;
}

static void
add_edges (uint32_t from)
{
  if (all.n_edges + MAX_NEXT * N_THREADS > all.edge_room)
    {
      all.edge_room = all.edge_room * 2 + (1 << 14);
      all.edge = all_room (all.edge, all.edge_room, sizeof *all.edge);
    }
  for (unsigned j = 0; j < n_next; j++)
    all.edge[all.n_edges++] = found (&next[j], from);
}

/* Everything that state I leads to; what is wrong, or NULL.  */
static const char *
expand (uint32_t i)
{
  struct state s = all.state[i];
  all.first[i] = all.n_edges;
  all.by_time[i] = 0;
  n_next = 0;
  for (unsigned t = 0; t < N_THREADS && wrong == NULL; t++)
    thread_next (&s, t);
  bool quiet = n_next == 0;
  add_edges (i);
  n_next = 0;
  for (unsigned t = 0; t < N_THREADS; t++)
    time_out_next (&s, t);
  all.by_time[i] = quiet;
  if (quiet)
    add_edges (i);
  for (unsigned j = 0; j < n_next && !quiet; j++)
    found (&next[j], i);
  for (unsigned p = 0; p < N_PROCS; p++)
    if (s.kills > 0 && s.process[p].life == ALIVE)
      {
        struct state dead = s;
        process_kill (&dead, p);
        found (&dead, i);
      }
  if (wrong == NULL && quiet && !s.killed && !is_over (&s))
    wrong = "K7: nobody was killed, and only time goes on";
  if (wrong == NULL && quiet && is_over (&s) && !try_at_last (&s)
      && wrong == NULL)
    wrong = "K8: a free lock is not to be had";
  return wrong;
}

static unsigned most_time_outs;

/* Whether all ways from all states end, with how many time-outs at most;
   else the number of a state from which not all do.  */
static const char *
all_end (uint32_t *bad)
{
  uint8_t *time = calloc (all.n, 1);   /* 1 + the most time-outs */
  bool more = true;
  ck_assert_ptr_nonnull (time);
  while (more)
    {
      more = false;
      for (uint32_t i = all.n; i-- > 0; )
        {
          unsigned most = is_over (&all.state[i]);
          bool end = most || all.first[i] < all.first[i + 1];
          for (uint32_t j = all.first[i]; j < all.first[i + 1] && end; j++)
            {
              unsigned to = time[all.edge[j]];
              end = to != 0;
              most = most > to + all.by_time[i] ? most : to + all.by_time[i];
            }
          if (time[i] != 0 || !end)
            continue;
          time[i] = (uint8_t) (most < 255 ? most : 255);
          more = true;
        }
    }
  most_time_outs = 0;
  const char *finding = NULL;
  for (uint32_t i = all.n; i-- > 0; )
    if (time[i] == 0 || time[i] > MAX_TIME_OUTS + 1)
      {
        finding = time[i] == 0 ? "K5: somebody waits for ever"
                               : "K6: too many time-outs";
        *bad = i;
      }
    else if (time[i] > most_time_outs)
      most_time_outs = time[i];
  most_time_outs -= most_time_outs > 0;
  free (time);
  return finding;
}

static void
state_print (const struct state *s)
{
  printf ("word %u%s work %u:%u a %u b %u epoch %u entered %u door %u "
          "stream %x |", s->word >> 1, s->word & 1 ? "+" : "", s->work,
          s->value, s->a, s->b, s->epoch, s->entered, s->door, s->stream);
  for (unsigned e = 0; e < scene->entries; e++)
    printf (" id %x coming %x pid %u held %x |", s->entry[e].id,
            s->entry[e].coming, s->entry[e].pid, s->entry[e].held);
  for (unsigned t = 0; t < N_THREADS; t++)
    if (scene->thread[t].letters != NULL)
      {
        const struct thread *th = &s->thread[t];
        printf (" P%u %s%s%s w %u%s |", process_of (t),
                s->process[process_of (t)].life == ALIVE ? "" : "not here, ",
                pc_name[th->pc], th->timed ? " timed" : "", th->w >> 1,
                th->w & 1 ? "+" : "");
      }
  printf ("\n");
}

static void
trace_print (uint32_t i)
{
  if (i != 0)
    trace_print (all.from[i]);
  state_print (&all.state[i]);
}

/* Those whose letters do not begin with coming or a fork are there, with the
   numbers and entries in their order; the first has a stream.  */
static void
state_first (struct state *s)
{
  memset (s, 0, sizeof *s);
  s->kills = (uint8_t) scene->kills;
  s->epoch = 1;
  for (unsigned t = 0; t < N_THREADS; t++)
    {
      const char *letters = scene->thread[t].letters;
      unsigned p = process_of (t), e = s->entered;
      if (letters == NULL || strchr ("CR", letters[0]) != NULL)
        continue;
      thread_begin (&s->thread[t], t);
      if (s->process[p].life == ALIVE)
        continue;
      s->process[p].life = ALIVE;
      if (letters[0] == 'N')
        continue;
      s->process[p].number = ++s->entered;
      s->process[p].entry = (uint8_t) e;
      s->entry[e].id = id_of (s, s->entered);
      s->entry[e].pid = (uint8_t) p;
      s->entry[e].held = bit_of (p);
    }
  s->stream = s->entered > 0 ? id_of (s, 1) : 0;
}

/* All states of a scenario: the first finding, or NULL.  */
static const char *
explore (const struct scenario *sc)
{
  struct state s;
  const char *finding = NULL;
  uint32_t bad = 0;
  scene = sc;
  wrong = NULL;
  all.n = all.n_edges = 0;
  if (all.room == 0)
    all_grow ();
  memset (all.slot, 0, all.room * 2 * sizeof *all.slot);
  state_first (&s);
  found (&s, 0);
  for (uint32_t i = 0; i < all.n && finding == NULL; i++)
    {
      finding = judge (&all.state[i]);
      if (finding == NULL)
        finding = expand (i);
      bad = i;
    }
  all.first[all.n] = all.n_edges;
  if (finding == NULL)
    finding = all_end (&bad);
  if (finding != NULL && (!broken || getenv ("MMALLOC_TEST_TRACE") != NULL))
    trace_print (bad);
  return finding;
}


/* ---- Scenarios and mutants ---------------------------------------------- */

enum scenario_name
{
  THREADS, THREE, NEWCOMERS, BURIERS, LAST, STALE, NO_PIDS, LOST_BYTE, CHILD,
  RAW_CHILD, FEW_NUMBERS, COPIED, LIMIT, N_SHORT
};

/* Those of mutants, in which there are few states, and some with many.  */
static const struct scenario scenarios[] =
{
  [THREADS] = { "two threads", 2, 2, 7, true, false,
                { { 0, "WW" }, { 0, "W" }, { 1, "WW" } } },
  [THREE] = { "three processes", 3, 3, 7, true, false,
              { { 0, "W" }, { 1, "WW" }, { 2, "T" } } },
  [NEWCOMERS] = { "newcomers", 2, 2, 7, true, false,
                  { { 0, "W" }, { 1, "W" }, { 2, "NW" } } },
  [BURIERS] = { "buriers", 2, 2, 7, true, false,
                { { 0, "W" }, { 1, "BW" }, { 2, "NW" } } },
  [LAST] = { "the last one", 2, 2, 7, false, false,
             { { 0, "Wl" }, { 1, "NWL" }, { 2, "NW" } } },
  [STALE] = { "stale entries", 2, 2, 7, false, false,
              { { 0, "W" }, { 1, "NW" }, { 2, "NW" } } },
  [NO_PIDS] = { "no pids", 2, 2, 7, false, false,
                { { 0, "W" }, { 1, "WW" }, { 2, "NW" } } },
  [LOST_BYTE] = { "a lost byte", 1, 2, 7, true, false,
                  { { 0, "W" }, { 0, "X" }, { 1, "W" }, { 2, "NW" } } },
  [CHILD] = { "a child", 2, 3, 7, false, false,
              { { 0, "W" }, { 0, "F" }, { 1, "W" }, { 2, "CUNW" } } },
  [RAW_CHILD] = { "a raw child", 1, 3, 7, true, false,
                  { { 0, "W" }, { 0, "F" }, { 1, "WW" }, { 2, "R" } } },
  [FEW_NUMBERS] = { "few numbers", 2, 2, 2, true, false,
                    { { 0, "W" }, { 1, "W" }, { 2, "NW" } } },
  [COPIED] = { "anonymous", 0, 1, 7, false, true,
                  { { 0, "WW" }, { 0, "WW" }, { 0, "FW" } } },
  [LIMIT] = { "a limit", 1, 3, 7, true, false,
              { { 0, "W" }, { 1, "G" }, { 2, "W" } } },

  { "many newcomers", 2, 3, 7, true, false,
    { { 0, "W" }, { 1, "W" }, { 2, "NW" }, { 3, "NW" } } },
  { "many leavers", 3, 2, 7, true, false,
    { { 0, "WL" }, { 1, "NWL" }, { 2, "NW" }, { 3, "NL" } } },
  { "many buriers", 3, 3, 7, false, false,
    { { 0, "W" }, { 1, "B" }, { 2, "NB" }, { 3, "NW" } } },
  { "many threads", 3, 3, 7, true, false,
    { { 0, "W" }, { 1, "T" }, { 1, "W" }, { 2, "W" } } },
  { "a byte, two deaths", 2, 3, 7, true, false,
    { { 0, "W" }, { 0, "X" }, { 1, "WW" }, { 2, "NW" } } },
  { "a child, with pids", 3, 3, 7, true, false,
    { { 0, "W" }, { 0, "F" }, { 1, "BW" }, { 2, "CNW" } } }
};
enum { N_SCENARIOS = sizeof scenarios / sizeof *scenarios };

/* Each rule broken, in a scenario that shows why it is there.  */
static const struct
{
  enum rule rule;
  enum scenario_name scenario;
  const char *name;
} mutants[] =
{
#define MUTANT(rule, scenario) { rule, scenario, #rule }
  MUTANT (TAKE_BY_STORE, THREADS),
  MUTANT (WAITER_SETS_NO_BIT, THREADS),
  MUTANT (BIT_BY_STORE, THREADS),
  MUTANT (SLEEP_WITHOUT_LOOKING, THREADS),
  MUTANT (WOKEN_TAKES_WITHOUT_BIT, THREADS),
  MUTANT (NO_TIME_OUT, THREADS),
  MUTANT (GIVES_UP_WHEN_WOKEN, LIMIT),
  MUTANT (WAKES_NOBODY, THREADS),
  MUTANT (RELEASE_BY_STORE, THREADS),
  MUTANT (RELEASE_NOT_RELEASED, THREADS),
  MUTANT (RELEASE_NOT_COMPARED, CHILD),
  MUTANT (ASKS_NOTHING, THREADS),
  MUTANT (DEAD_BY_TIME, THREADS),
  MUTANT (TAKES_OVER_BY_STORE, THREADS),
  MUTANT (TAKES_OVER_WHOEVER, THREADS),
  MUTANT (TAKES_OVER_WITHOUT_BIT, THREADS),
  MUTANT (FREES_THE_DEADS, THREADS),
  MUTANT (NO_HANDLER, THREADS),
  MUTANT (HANDLER_FORGETS_FIRST, THREE),
  MUTANT (HANDLER_HURTS_TWICE, THREE),
  MUTANT (TRY_ASKS_NOTHING, THREE),
  MUTANT (ASKS_ABOUT_THE_FIRST, THREE),
  MUTANT (MINE_BY_ENTRY, NEWCOMERS),
  MUTANT (COMING_NOT_COMPARED, NEWCOMERS),
  MUTANT (ID_READ_FIRST, NEWCOMERS),
  MUTANT (HELD_IS_ALIVE, RAW_CHILD),
  MUTANT (FREE_IS_DEAD, LOST_BYTE),
  MUTANT (LOCKS_UNPUBLISHED, NEWCOMERS),
  MUTANT (COMING_NOT_RELEASED, NEWCOMERS),
  MUTANT (COMING_GOES_FIRST, NEWCOMERS),
  MUTANT (PID_STORED_LATE, NEWCOMERS),
  MUTANT (ID_BEFORE_BURYING, NEWCOMERS),
  MUTANT (NUMBER_OF_THE_ENTRY, NEWCOMERS),
  MUTANT (NUMBERS_BEGIN_AGAIN, FEW_NUMBERS),
  MUTANT (BYTE_OF_THE_LIVING, LOST_BYTE),
  MUTANT (BURIED_BY_STORE, BURIERS),
  MUTANT (EPOCH_KEEPS_WORDS, STALE),
  MUTANT (EPOCH_KEEPS_WORDS, COPIED),
  MUTANT (EPOCH_NOT_HANDLED, STALE),
  MUTANT (EPOCH_NOT_HANDLED, COPIED),
  MUTANT (EPOCH_BESIDE_OTHERS, LAST),
  MUTANT (EPOCH_ASKS_NO_PIDS, LOST_BYTE),
  MUTANT (EPOCH_NOT_COMPARED, STALE),
  MUTANT (NUMBER_LEFT_FIRST, LAST),
  MUTANT (BYTE_LEFT_FIRST, LAST),
  MUTANT (CHILD_KEEPS_NUMBER, CHILD),
  MUTANT (CHILD_UNLOCKS_PARENTS, CHILD)
#undef MUTANT
};
enum { N_MUTANTS = sizeof mutants / sizeof *mutants };

START_TEST (the_protocol_holds)
{
  bool at[N_PCS] = { false };
  size_t n = 0;
  broken = NOTHING_BROKEN;
  int scenes = getenv ("MMALLOC_TEST_ALL") != NULL ? N_SCENARIOS : N_SHORT;
  for (int i = 0; i < scenes; i++)
    {
      const char *finding = explore (&scenarios[i]);
      ck_assert_msg (finding == NULL, "%s: %s", scenarios[i].name, finding);
      printf ("%-16s %8" PRIu32 " states, %u time-outs at most\n",
              scenarios[i].name, all.n, most_time_outs);
      fflush (stdout);
      n += all.n;
      for (uint32_t j = 0; j < all.n; j++)
        for (unsigned t = 0; t < N_THREADS; t++)
          at[all.state[j].thread[t].pc] = true;
    }
  printf ("%-16s %8zu states\n", "all", n);
  for (int pc = 0; pc < N_PCS; pc++)
    ck_assert_msg (at[pc] || pc == RELEASE_STORE, "%s: no thread comes here",
                   pc_name[pc]);
}
END_TEST

START_TEST (each_mutant_is_caught)
{
  const char *one = getenv ("MMALLOC_TEST_MUTANT");
  bool any = false;
  for (int i = 0; i < N_MUTANTS; i++)
    {
      if (one != NULL && strcmp (one, mutants[i].name) != 0)
        continue;
      any = true;
      broken = mutants[i].rule;
      const char *finding = explore (&scenarios[mutants[i].scenario]);
      printf ("%-24s %8" PRIu32 " states: %s\n", mutants[i].name, all.n,
              finding != NULL ? finding : "NOT CAUGHT");
      fflush (stdout);
      ck_assert_msg (finding != NULL, "%s is not caught", mutants[i].name);
    }
  ck_assert_msg (any, "no mutant is called %s", one);
}
END_TEST

RUN_TESTS (the_protocol_holds, each_mutant_is_caught)
