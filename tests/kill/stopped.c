/* stopped.c - beside a process that was stopped anywhere.

   A victim is stopped between two instructions of an operation, for as long as
   it takes.  Meanwhile this process, which has set a limit to how long its
   calls wait, does everything that a program can do with the heap.  Each call
   comes back: it is done, or it fails with ETIMEDOUT and names the victim, and
   then nothing has happened.  When the victim has gone on to the end, the heap
   is whole and no block is lost; when it is killed instead, no call fails any
   more.

   Then the other way round: the victim is the one with the limit, and wherever
   it is in its operation, this process takes a lock and keeps it.  The
   operation ends all the same, and when the lock is free again no block is
   lost.

   Only watchdogs measure time: a call that waits for somebody who is stopped
   does so for ever, or until its limit.

   usage: stopped [NAME...]     the named operations only
   MMALLOC_KILL_STOPS=n         about so many places in each; 0: all
   MMALLOC_KILL_PATIENCE=n      seconds until a call is said to hang  */

#include "trace.h"

enum { LIMIT = 1 /* ms */, KEPT = 4096, WORDS = 8 };
#define HEAP MIB (320)

/* What the victim knows.  */
static void *got[4], **word;
static bool hurries;            /* it has the limit */

/* What this process knows: blocks that could not be freed yet.  */
static struct
{
  void *md;                     /* NULL: it could not be opened */
  void **slot;                  /* WORDS of them, in a block */
  void *kept[KEPT];
  size_t n_kept;
  pid_t victim;
  bool dead;                    /* it is */
  const char *operation;
  long step, calls, late, places;
  uintptr_t pc;                 /* where the victim is */
  int bad;
} self;


/* ---- The operations of the victim --------------------------------------- */

static const struct operation
{
  const char *name;
  size_t capacity;
  void (*prepare) (void *md);   /* NULL: it has not opened the heap before */
  void (*operate) (void *md);
} *operation;

/* It is done, or it was late.  */
static void
must_do (bool done)
{
  NEED (done || (hurries && errno == ETIMEDOUT));
}

static void *
must_get (void *p)
{
  must_do (p != NULL);
  return p;
}

/* Open the heap, with the limit if ALL calls have it.  */
static void *
join (bool all)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.wait = all ? LIMIT : 0;
  return must_get (mmalloc_open (heap_path, 0, &opt));
}

static int
fill_root (void *root, size_t size, void *arg)
{
  (void) arg;
  memset (root, 1, size);
  return 0;
}

static void
prepare_nothing (void *md)
{
  (void) md;
}

static void
prepare_small (void *md)
{
  got[0] = must_get (mmalloc (md, 100));
}

static void
prepare_large (void *md)
{
  got[0] = must_get (mmalloc (md, KIB (33)));
}

static void
prepare_huge (void *md)
{
  got[0] = must_get (mmalloc (md, MIB (36)));
}

static void
prepare_word (void *md)
{
  word = must_get (mcalloc (md, 1, 64));
  got[1] = word;
  NEED (mmalloc_to (md, word, KIB (33)) == 0);
}

static void
prepare_free_pages (void *md)
{
  static void *p[200];
  for (int i = 0; i < 200; i++)
    p[i] = must_get (mmalloc (md, 5000));
  for (int i = 0; i < 200; i++)
    if (i % 50 != 0)
      mfree (md, p[i]);
    else
      got[i / 50] = p[i];
  mfree (md, must_get (mmalloc (md, MIB (2))));
}

static void
do_open (void *md)
{
  (void) md;
  join (hurries);
}

static void
do_detach (void *md)
{
  mmalloc_detach (md);
}

static void
do_small (void *md)
{
  got[1] = must_get (mmalloc (md, 100));
}

static void
do_growth (void *md)
{
  got[1] = must_get (mmalloc (md, MIB (6)));
}

static void
do_huge (void *md)
{
  got[1] = must_get (mmalloc (md, MIB (36)));
}

static void
do_free (void *md)
{
  errno = 0;
  mfree (md, got[0]);
  must_do (errno == 0);
  if (errno == 0)
    got[0] = NULL;
}

static void
do_grow_block (void *md)
{
  void *p = must_get (mrealloc (md, got[0], MIB (7)));
  got[0] = p != NULL ? p : got[0];
}

static void
do_move_block (void *md)
{
  void *p = must_get (mrealloc (md, got[0], MIB (70)));
  got[0] = p != NULL ? p : got[0];
}

static void
do_slot_new (void *md)
{
  must_do (mmalloc_to (md, word + 1, KIB (300)) == 0);
}

static void
do_slot_moves (void *md)
{
  must_do (mrealloc_in (md, word, MIB (36)) == 0);
}

static void
do_slot_free (void *md)
{
  must_do (mfree_from (md, word) == 0);
}

static void
do_root (void *md)
{
  must_do (mmalloc_setroot (md, "of the victim", md) == 0);
}

static void
do_make_root (void *md)
{
  must_get (mmalloc_makeroot (md, "made", 1000, fill_root, NULL));
}

static void
do_local (void *md)
{
  must_get (mmalloc_local (md, 8));
}

static void
do_trim (void *md)
{
  must_do (mmalloc_trim (md) >= 0);
}

static void
do_check (void *md)
{
  must_do (mmalloc_check (md, NULL, NULL) == 0);
}

static void
do_thread_end (void *md)
{
  (void) md;
  cache_thread_exit (NULL);
  thread.leaving = false;
}

static const struct operation operations[] = {
  { "open", HEAP, NULL, do_open },
  { "detach", HEAP, prepare_small, do_detach },
  { "malloc: first", HEAP, prepare_nothing, do_small },
  { "malloc: shared", MIB (1), prepare_nothing, do_small },
  { "malloc: growth", HEAP, prepare_nothing, do_growth },
  { "malloc: huge", HEAP, prepare_nothing, do_huge },
  { "free: large", HEAP, prepare_large, do_free },
  { "free: huge", HEAP, prepare_huge, do_free },
  { "realloc: large", HEAP, prepare_large, do_grow_block },
  { "realloc: huge", HEAP, prepare_huge, do_move_block },
  { "mmalloc_to", HEAP, prepare_word, do_slot_new },
  { "mrealloc_in", HEAP, prepare_word, do_slot_moves },
  { "mfree_from", HEAP, prepare_word, do_slot_free },
  { "setroot", HEAP, prepare_nothing, do_root },
  { "makeroot", HEAP, prepare_nothing, do_make_root },
  { "local", HEAP, prepare_nothing, do_local },
  { "trim", HEAP, prepare_free_pages, do_trim },
  { "check", HEAP, prepare_small, do_check },
  { "thread ends", HEAP, prepare_small, do_thread_end },
};


/* ---- The victim --------------------------------------------------------- */

/* What it and this process tell each other.  */
static struct
{
  _Atomic bool done, free;      /* the operation is; the locks are */
} *talk;

/* Operate, and give back all that is left.  */
static void
victim (void)
{
  void *md = NULL;
  if (operation->prepare != NULL)
    {
      md = join (hurries);
      operation->prepare (md);
    }
  trace_me ();
  trace_begin ();
  operation->operate (md);
  trace_end ();
  talk->done = true;
  while (!talk->free)
    sched_yield ();
  hurries = false;
  md = join (false);
  if (word != NULL)
    for (int i = 0; i < 8; i++)
      NEED (mfree_from (md, word + i) == 0);
  for (int i = 0; i < 4; i++)
    mfree (md, got[i]);
  _exit (0);
}


/* ---- This process ------------------------------------------------------- */

__attribute__ ((format (printf, 1, 2))) static void
bad (const char *format, ...)
{
  va_list ap;
  if (self.bad++ >= 8)
    return;
  printf ("  %s, %s after instruction %ld: ", self.operation,
          self.dead ? "killed" : "stopped", self.step);
  va_start (ap, format);
  vprintf (format, ap);
  va_end (ap);
  printf ("\n");
  if (!self.dead)
    trace_where (self.pc);
  fflush (stdout);
}

static const char *volatile calling;

static void
on_alarm (int sig)
{
  (void) sig;
  self.bad = 0;
  bad ("%s does not come back", calling);
  kill (self.victim, SIGKILL);
  _exit (1);
}

/* A call named WHAT begins.  */
static void
call (const char *what)
{
  calling = what;
  self.calls++;
  errno = 0;
  alarm (kill_patience ());
}

/* It has come back.  DONE: and did what it should.  */
static bool
called (bool done)
{
  int err = errno;
  char name[40];
  alarm (0);
  snprintf (name, sizeof name, "process %d ", (int) self.victim);
  if (done)
    return true;
  self.late++;
  if (err == ENOSPC && operation->capacity < HEAP)
    return false;
  const char *told = mmalloc_strerror (self.md);
  if (err != ETIMEDOUT)
    bad ("%s gives %d: %s", calling, err, told);
  else if (self.dead)
    bad ("%s waits for a dead process: %s", calling, told);
  else if (strstr (told, name) == NULL
           /* The kernel does not tell whose lock it is.  */
           && strstr (told, "somebody else has a lock on the file") == NULL)
    bad ("%s does not name the victim: %s", calling, told);
  return false;
}

/* Free P; if it cannot be done now, it is kept for later.  */
static void
let_go (void *p)
{
  if (p == NULL)
    return;
  call ("mfree");
  mfree (self.md, p);
  if (!called (errno == 0))
    {
      NEED (self.n_kept < KEPT);
      self.kept[self.n_kept++] = p;
    }
}

static void
let_go_of_kept (void)
{
  size_t n = self.n_kept;
  self.n_kept = 0;
  for (size_t i = 0; i < n; i++)
    let_go (self.kept[i]);
}

static void *
get (size_t size)
{
  call ("mmalloc");
  void *p = mmalloc (self.md, size);
  if (!called (p != NULL))
    return NULL;
  kill_fill (p, size, size);
  return p;
}

/* P, NULL: nothing, of SIZE bytes, is to have WANT of them.  */
static void *
resize (void *p, size_t size, size_t want)
{
  if (p == NULL)
    return NULL;
  size_t both = want < size ? want : size;
  call ("mrealloc");
  void *q = mrealloc (self.md, p, want);
  if (!called (q != NULL))
    return kill_holds (p, size, size, size) ? p : (bad ("it lost bytes"), p);
  if (!kill_part_holds (q, 0, both < KILL_END ? both : KILL_END, size))
    bad ("mrealloc lost bytes");
  return q;
}

static void
call_blocks (void)
{
  static const size_t sizes[] = { 16, 100, 1000, 5000, 30000, KIB (100),
                                  MIB (1), MIB (33) };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    let_go (get (sizes[i]));
  let_go (resize (get (KIB (64)), KIB (64), KIB (300)));
  let_go (resize (get (KIB (640)), KIB (640), KIB (100)));
  let_go (resize (get (MIB (33)), MIB (33), MIB (34)));
  let_go (resize (get (20), 20, KIB (50)));
  call ("mcalloc");
  void *p = mcalloc (self.md, 7, 9000);
  let_go (called (p != NULL) ? p : NULL);
  call ("mmemalign");
  p = mmemalign (self.md, KIB (64), 100);
  let_go (called (p != NULL) ? p : NULL);
}

static void
call_slots (void)
{
  void **slot = self.slot;
  for (int i = 0; i < WORDS && slot != NULL; i += 2)
    {
      call ("mmalloc_to");
      if (slot[i] == NULL && slot[i + 1] == NULL)
        called (mmalloc_to (self.md, slot + i, i < 4 ? 200 : KIB (100)) == 0);
      call ("mrealloc_in");
      if (slot[i] != NULL)
        called (mrealloc_in (self.md, slot + i, i < 4 ? 50000 : KIB (400))
                == 0);
      call ("mmalloc_move");
      if (slot[i + 1] == NULL)
        called (mmalloc_move (self.md, slot + i + 1, slot + i) == 0);
      call ("mfree_from");
      called (mfree_from (self.md, slot + i + 1) == 0);
    }
  call ("mmalloc_recover");
  called (mmalloc_recover (self.md) == 0);
}

static void
call_roots (void)
{
  char name[40];
  snprintf (name, sizeof name, "root %ld", self.calls % 100);
  call ("mmalloc_setroot");
  called (mmalloc_setroot (self.md, name, self.md) == 0);
  call ("mmalloc_getroot");
  mmalloc_getroot (self.md, name);
  called (errno == 0);
  call ("mmalloc_makeroot");
  void *p = mmalloc_makeroot (self.md, "made", 1000, fill_root, NULL);
  called (p != NULL);
  call ("mmalloc_local");
  called (mmalloc_local (self.md, 8) != NULL);
}

static void
call_others (void)
{
  struct mmalloc_stats stats;
  call ("mmalloc_trim");
  called (mmalloc_trim (self.md) >= 0);
  call ("mmalloc_check");
  int n = mmalloc_check (self.md, NULL, NULL);
  if (called (n >= 0) && n != 0)
    bad ("mmalloc_check finds %d", n);
  call ("mmalloc_stats");
  called (mmalloc_stats (self.md, &stats) == 0);
  call ("mmalloc_sync");
  called (mmalloc_sync (self.md) == 0);
}

/* The call was made by another thread.  */
static void *
thread_works (void *kept)
{
  void *p = mmalloc (self.md, 300);
  *(void **) kept = p;
  if (p != NULL)
    mfree (self.md, p);
  return NULL;
}

static void
call_thread (void)
{
  pthread_t t;
  void *p;
  call ("a thread's life");
  NEED (pthread_create (&t, NULL, thread_works, &p) == 0);
  NEED (pthread_join (t, NULL) == 0);
  called (true);
}

/* Open the heap, if that can be done.  */
static void
open_again (void)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.wait = LIMIT;
  call ("mmalloc_open");
  self.md = mmalloc_open (heap_path, 0, &opt);
  called (self.md != NULL);
}

static void
leave (void)
{
  call ("mmalloc_detach");
  void *md = mmalloc_detach (self.md);
  self.md = NULL;
  called (md == NULL);
}

static void
call_all (void)
{
  self.places++;
  if (self.md == NULL)
    open_again ();
  if (self.md == NULL)
    return;
  let_go_of_kept ();
  call_blocks ();
  call_slots ();
  call_roots ();
  call_others ();
  call_thread ();
  leave ();
  open_again ();
}


/* ---- Runs --------------------------------------------------------------- */

/* The heap's locks, records of calls and entries, as they were.  */
static char *file, seen[4 * MM_PAGE];

/* Whether the victim, which has come to instruction STEPS, is at a place of its
   own: it has changed something there, or not for long.  */
static bool
is_place (long steps)
{
  static long last;
  if (steps == 0)
    last = 0;
  if (memcmp (seen, file + MM_OFF_LOCKS, sizeof seen) == 0
      && steps - last < 500)
    return false;
  memcpy (seen, file + MM_OFF_LOCKS, sizeof seen);
  last = steps;
  return true;
}

/* A new heap, and the victim at its first instruction.  */
static void
begin (bool hurried)
{
  kill_make_heap (heap_path, operation->capacity);
  self.md = NULL;
  self.slot = NULL;
  self.n_kept = 0;
  self.dead = false;
  self.operation = operation->name;
  self.step = 0;
  talk->done = false;
  talk->free = !hurried;
  self.victim = kill_fork ();
  hurries = hurried && self.victim == 0;
  if (self.victim == 0)
    victim ();
  alarm (kill_patience ());
  calling = "the victim";
  trace_await (self.victim);
  int fd = open (heap_path, O_RDONLY | O_CLOEXEC);
  file = mmap (NULL, MM_OFF_LOCKS + sizeof seen, PROT_READ, MAP_SHARED, fd, 0);
  NEED (fd >= 0 && file != MAP_FAILED);
  close (fd);
  open_again ();
  NEED (self.md != NULL);
  self.slot = must_get (mcalloc (self.md, WORDS, sizeof (void *)));
}

/* So many blocks of other owners than this process are live.  */
static size_t
n_lost (void)
{
  struct mmalloc_stats stats;
  NEED (mmalloc_stats (self.md, &stats) == 0);
  return stats.blocks_live - 1 - (mmalloc_getroot (self.md, "made") != NULL);
}

/* Nobody is stopped any more: all is whole, and at most MAY_LEAK blocks are
   lost.  */
static void
end (size_t may_leak)
{
  if (self.md == NULL)
    open_again ();
  NEED (self.md != NULL);
  let_go_of_kept ();
  for (int i = 0; i < WORDS; i++)
    NEED (mfree_from (self.md, self.slot + i) == 0);
  NEED (self.n_kept == 0 && mmalloc_recover (self.md) == 0);
  int n = mmalloc_check (self.md, NULL, NULL);
  if (n != 0)
    bad ("in the end mmalloc_check finds %d", n);
  if (mmalloc_trim (self.md) < 0)
    bad ("in the end: %s", mmalloc_strerror (self.md));
  if (n_lost () > may_leak)
    bad ("%zu blocks are lost", n_lost ());
  leave ();
  munmap (file, MM_OFF_LOCKS + sizeof seen);
}

/* Step the victim; each of the places, counted from 0, that FROM and STRIDE
   make is one for the calls; with KILLED the first one is its last.  How many
   places there are.  */
static long
run (long from, long stride, bool killed)
{
  long n = 0;
  bool over = false;
  begin (false);
  for (; !over; self.step++)
    {
      bool here = is_place (self.step) && n++ % stride == from;
      self.pc = trace_pc (self.victim);
      if (here && killed)
        break;
      if (here)
        {
          call_all ();
          memcpy (seen, file + MM_OFF_LOCKS, sizeof seen);
        }
      alarm (kill_patience ());
      calling = "the victim";
      trace_once (self.victim);
      over = trace_is_at (self.victim, trace_end);
    }
  if (over)
    {
      NEED (ptrace (PTRACE_DETACH, self.victim, NULL, NULL) == 0);
      NEED (kill_wait (self.victim) == 0);
    }
  else
    kill_process (self.victim);
  self.dead = true;
  if (!over)
    call_all ();
  end (over ? 0 : 4);
  alarm (0);
  return n;
}

/* The words of the locks that this process can keep.  */
enum { KEEP_HEAP, KEEP_GROW, KEEP_STREAM, KEEPS };

static disk_u32 *
lock_word (struct heap *h, int what)
{
  return what == KEEP_HEAP   ? &h->locks->heap.word
         : what == KEEP_GROW ? &h->locks->grow.word
                             : &off_stream (h, 1)->lock.word;
}

/* Step the victim, which hurries, to place AT and let it go on alone, while the
   lock WHAT is kept.  False: there is no such place.  */
static bool
run_hurried (long at, int what)
{
  long n = 0;
  bool over = false, kept = false;
  begin (true);
  struct heap *h = kill_heap ();
  while (!over && !(is_place (self.step) && n++ == at))
    {
      trace_once (self.victim);
      self.step++;
      over = trace_is_at (self.victim, trace_end);
    }
  self.pc = trace_pc (self.victim);
  calling = "the operation of the hurried one";
  alarm (kill_patience ());
  /* It may have the lock itself.  */
  uint32_t none = 0;
  kept = word_claim (lock_word (h, what), &none, (uint32_t) h->id << 1);
  self.calls += kept;
  NEED (ptrace (PTRACE_DETACH, self.victim, NULL, NULL) == 0);
  while (!talk->done && waitpid (self.victim, NULL, WNOHANG) == 0)
    sched_yield ();
  if (!talk->done)
    bad ("the hurried one has died");
  if (kept)
    lock_release (h, lock_word (h, what));
  talk->free = true;
  if (talk->done && kill_wait (self.victim) != 0)
    bad ("the hurried one has not ended well");
  end (0);
  alarm (0);
  return !over;
}

static bool
run_all (long stops)
{
  double start = kill_seconds ();
  self.calls = self.late = self.places = self.bad = 0;
  long places = run (LONG_MAX, LONG_MAX, false), kills = 0;
  long stride = stops > 0 && places > stops ? places / stops : 1;
  run (stride / 2, stride, false);
  for (long at = stride / 2; at < places; at += 3 * stride, kills++)
    run (at, places + 1, true);
  printf ("%s: %ld of %ld places, %ld kills; %ld of %ld calls were late;",
          operation->name, self.places, places, kills, self.late, self.calls);
  self.calls = 0;
  for (int what = 0; what < KEEPS; what++)
    if (what != KEEP_STREAM || operation->capacity < HEAP)
      for (long at = what; run_hurried (at, what); at += 2 * stride)
        continue;
  printf (" %ld locks kept; %.1f s%s\n", self.calls, kill_seconds () - start,
          self.bad > 0 ? "  FAILED" : "");
  fflush (stdout);
  return self.bad == 0;
}

int
main (int argc, char **argv)
{
  int checks = 0, failures = 0;
  long stops = (long) setting ("MMALLOC_KILL_STOPS", 4);
  if (!trace_works ())
    return KILL_SKIPPED;
  signal (SIGALRM, on_alarm);
  trace_on_one_processor ();
  kill_make_dir ();
  talk = kill_shared (sizeof *talk);
  for (size_t i = 0; i < sizeof operations / sizeof *operations; i++)
    {
      operation = &operations[i];
      if (!kill_wants (operation->name, argc, argv))
        continue;
      checks++;
      failures += !run_all (stops);
    }
  kill_remove_dir ();
  return closing_line (checks, failures, 0);
}
