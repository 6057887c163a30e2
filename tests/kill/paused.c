/* paused.c - stopped in the middle of a call, and then going on.

   A thread can be stopped for any time between two instructions.  Here a
   victim is, at each instruction of an operation that has no lock; meanwhile
   others empty the page it was working on, give its chunk back and make a HUGE
   block of it, whose contents are then theirs alone.  When the victim goes on,
   nothing in that block may change, though the victim has the old page's
   number in its registers, or on a list.

     free     of a block in another's full page; the others free the rest
     malloc   that looks for a page on its list; another retires that page

   MMALLOC_KILL_PAUSES=n      about so many places in each; 0: all  */

#include "trace.h"

enum { SIZE = 28000, LOOK = 2 << 20 };
#define HEAP MIB (160)
#define HUGE MIB (40)

static struct talk
{
  void *block[16];
  uint32_t hole;                /* slices of chunk 0 kept free for a page */
  char *huge;
  char fill;                    /* the block is full of it */
  bool covers;                  /* HUGE lies where the page was */
  bool changed;
  int findings;
} *talk;


/* ---- Actors: processes that do one thing at a time, when told ----------- */

struct actor
{
  pid_t pid;
  int in, out;
};

static struct actor
actor_start (void (*act) (char what))
{
  int in[2], out[2];
  NEED (pipe2 (in, O_CLOEXEC) == 0 && pipe2 (out, O_CLOEXEC) == 0);
  struct actor a = { kill_fork (), in[1], out[0] };
  if (a.pid == 0)
    {
      char what;
      close (in[1]);
      close (out[0]);
      while (read (in[0], &what, 1) == 1)
        {
          act (what);
          NEED (write (out[1], &what, 1) == 1);
        }
      _exit (0);
    }
  close (in[0]);
  close (out[1]);
  return a;
}

static void
actor_tell (struct actor *a, char what)
{
  NEED (write (a->in, &what, 1) == 1);
}

static void
actor_hear (struct actor *a)
{
  char what;
  if (read (a->out, &what, 1) != 1)
    broken ("a process has died");
}

static void
actor_do (struct actor *a, char what)
{
  actor_tell (a, what);
  actor_hear (a);
}

static void
actor_end (struct actor *a)
{
  kill_process (a->pid);
  close (a->in);
  close (a->out);
}

/* Attach, and claim a stream with a page in chunk 0.  */
static void
join (void)
{
  void *md = kill_open (heap_path, MMALLOC_CREATE, HEAP);
  NEED (mmalloc (md, 64) != NULL);
}

static size_t
chunk_of (const void *p)
{
  return ((uintptr_t) p - kill_heap ()->grid) >> MM_CHUNK_SHIFT;
}

/* Free the LARGE block at NUMBER.  */
static void
give_large (uint32_t number)
{
  struct place at = { .kind = PLACE_LARGE, .number = number };
  NEED (give_slices (kill_heap (), &at) == 0);
}

/* Take N slices of chunk 0 as a LARGE block; 0 if there is no such run.  */
static uint32_t
take_slices (size_t n)
{
  struct heap *h = kill_heap ();
  uint32_t number;
  NEED (grow_run (h, n, MM_SLICE, head_make (HEAD_LARGE, 0, 0, 0, n), &number)
        == 0);
  if (number < MM_CHUNK_SLICES)
    return number;
  give_large (number);
  /* Else its memory would be taken first the next time.  */
  NEED (mmalloc_trim (KILL_BASE) >= 0);
  return 0;
}

/* The one that works meanwhile.  */
static void
act_other (char what)
{
  void *md = KILL_BASE;
  switch (what)
    {
    case 'j':
      join ();
      break;
    case 'f':                   /* fill chunk 0 */
      talk->hole = take_slices (class_table[class_of (SIZE, 16)].slices);
      for (size_t n = 900; n > 0; )
        if (take_slices (n) == 0)
          n /= 2;
      NEED (talk->hole != 0 && mmalloc_trim (md) >= 0);
      break;
    case 'h':                   /* a hole for one page */
      give_large (talk->hole);
      break;
    case 'b':                   /* the HUGE block */
      NEED (mmalloc_trim (md) >= 0);
      talk->huge = mcalloc (md, 1, HUGE);
      NEED (talk->huge != NULL);
      memset (talk->huge, talk->fill, LOOK);
      talk->covers = (char *) talk->block[0] >= talk->huge
                     && (char *) talk->block[0] < talk->huge + HUGE;
      break;
    case 'v':                   /* verify */
      talk->changed = false;
      for (size_t i = 0; i < LOOK; i++)
        if (talk->huge[i] != talk->fill)
          talk->changed = true;
      talk->findings = mmalloc_check (md, NULL, NULL);
      break;
    default:
      break;
    }
}

/* The owner of the page that the victim frees a block of.  */
static void
act_owner (char what)
{
  static int owned;
  void *md = KILL_BASE;
  switch (what)
    {
    case 'j':
      join ();
      break;
    case 'a':
      for (owned = 0; owned < 5; owned++)
        {
          talk->block[owned] = mmalloc (md, SIZE);
          NEED (talk->block[owned] != NULL
                && chunk_of (talk->block[owned]) == 1);
        }
      break;
    case 'l':                   /* free the rest and leave */
      for (int i = 1; i < owned; i++)
        mfree (md, talk->block[i]);
      queue_drain (kill_heap (), kill_heap ()->caches->stream);
      cache_thread_exit (NULL);
      break;
    default:
      break;
    }
}

static void
act_victim (char what)
{
  void *md = KILL_BASE;
  switch (what)
    {
    case 'j':
      join ();
      break;
    case 'a':                   /* a page in chunk 1 */
      for (int i = 0; i < 4; i++)
        {
          talk->block[i] = mmalloc (md, SIZE);
          NEED (talk->block[i] != NULL && chunk_of (talk->block[i]) == 1);
        }
      break;
    case 'c':                   /* the next one, in the hole, is full, too */
      for (int i = 4; i < 8; i++)
        {
          talk->block[i] = mmalloc (md, SIZE);
          NEED (talk->block[i] != NULL && chunk_of (talk->block[i]) == 0);
        }
      for (int i = 0; i < 4; i++)
        mfree (md, talk->block[i]);
      break;
    case 'F':
    case 'M':
      trace_me ();
      trace_begin ();
      if (what == 'F')
        mfree (md, talk->block[0]);
      else
        talk->block[8] = mmalloc (md, SIZE);
      trace_end ();
      break;
    default:
      break;
    }
}


/* ---- The parent --------------------------------------------------------- */

/* Whether somebody holds the heap's or the grow lock in the file.  */
static bool
is_locked (void)
{
  int fd = open (heap_path, O_RDONLY | O_CLOEXEC);
  union { struct disk_locks l; uint32_t words[64]; } u;
  NEED (fd >= 0 && pread (fd, &u, sizeof u, MM_OFF_LOCKS) == sizeof u);
  close (fd);
#ifdef __GLIBC__
  enum { WORD = 0 };
#else
  enum { WORD = 1 };
#endif
  return (u.words[offsetof (struct disk_locks, heap) / 4 + WORD]
          | u.words[offsetof (struct disk_locks, grow) / 4 + WORD]) != 0;
}

struct counts { long places, locked, covered; };

/* Stop the victim after K instructions of operation WHAT; true if there are no
   more.  */
static bool
pause_at (char what, long k, long *steps, struct counts *n, bool *good)
{
  memset (talk, 0, sizeof *talk);
  /* A hint is written where there was none, and the other way round.  */
  talk->fill = what == 'F' ? 0 : 0x5a;
  unlink (heap_path);
  struct actor other = actor_start (act_other);
  struct actor owner = actor_start (act_owner);
  struct actor victim = actor_start (act_victim);
  alarm (kill_patience ());
  actor_do (&other, 'j');
  actor_do (&owner, 'j');
  actor_do (&victim, 'j');
  actor_do (&other, 'f');
  actor_do (what == 'F' ? &owner : &victim, 'a');
  actor_do (&other, 'h');
  if (what == 'M')
    actor_do (&victim, 'c');
  actor_tell (&victim, what);
  trace_await (victim.pid);
  bool over = false;
  for (*steps = 0; *steps < k && !over; ++*steps)
    {
      trace_once (victim.pid);
      over = trace_is_at (victim.pid, trace_end);
    }
  n->places++;
  if (is_locked ())
    n->locked++;
  else
    {
      actor_do (&owner, 'l');
      actor_do (&other, 'b');
      NEED (ptrace (PTRACE_DETACH, victim.pid, NULL, NULL) == 0);
      actor_hear (&victim);
      actor_do (&other, 'v');
      n->covered += talk->covers;
      if (talk->changed || talk->findings != 0)
        {
          printf ("  %s, stopped after instruction %ld: %s\n",
                  what == 'F' ? "free" : "malloc", k,
                  talk->changed ? "a block of another was changed"
                                : "the heap is not whole");
          *good = false;
        }
    }
  alarm (0);
  actor_end (&victim);
  actor_end (&owner);
  actor_end (&other);
  return over;
}

static bool
run (char what, long pauses)
{
  long steps = 0, stride = 1;
  bool good = true;
  struct counts n = { 0, 0, 0 };
  double start = kill_seconds ();
  pause_at (what, LONG_MAX, &steps, &n, &good);
  if (pauses > 0 && steps > pauses)
    stride = steps / pauses;
  n = (struct counts) { 0, 0, 0 };
  for (long k = 0; !pause_at (what, k, &steps, &n, &good); k += stride)
    continue;
  printf ("%s: stopped at %ld places, every %ld of %ld instructions; at %ld it"
          " held a lock; %ld times its page became a block; %.1f s%s\n",
          what == 'F' ? "free" : "malloc", n.places, stride, steps, n.locked,
          n.covered, kill_seconds () - start, good ? "" : "  FAILED");
  return good;
}

int
main (void)
{
  int failures = 0;
  long pauses = (long) setting ("MMALLOC_KILL_PAUSES", 40);
  if (!trace_works ())
    return KILL_SKIPPED;
  trace_on_one_processor ();
  talk = kill_shared (sizeof *talk);
  kill_make_dir ();
  failures += !run ('F', pauses);
  failures += !run ('M', pauses);
  kill_remove_dir ();
  return closing_line (2, failures, 0);
}
