/* shadow.h - processes at work on one heap file, and the truth about it.

   WORKERS processes with two threads each, and a third thread that comes and
   goes, allocate, resize and free blocks of one heap file, set roots, trim and
   check.  The truth about the heap, the shadow, lies in memory that they
   share: a table of slots with the block in each, and for each thread a note
   that says, before a call, what it is about to do, and after it what came
   out.  When a worker is killed, its notes say which blocks are in doubt.

   Some slots of the table, or all, have a cell: a word in the heap that slot
   calls work on.  Such a call may not leak.  What it came to when its worker
   was killed is asked of the heap, after mmalloc_recover.  */

#ifndef SHADOW_H
#define SHADOW_H 1

#include "wrong.h"

enum
{
  WORKERS = 4,
  THREADS = 3,                  /* of each; the last one is replaced often */
  SLOTS = 1500,
  DOUBTS = 4096
};
#define CAPACITY MIB (512)

enum op { IDLE, ALLOC, FREE, REALLOC, TO, FROM, IN, SETROOT, TRIM, CHECK, OPEN,
          DETACH, EXIT, PARKED };
static const char *const op_names[] = {
  "idle", "malloc", "free", "realloc", "mmalloc_to", "mfree_from",
  "mrealloc_in", "setroot", "trim", "check", "open", "detach", "thread exit",
  "parked"
};

/* What a thread is doing.  Stored in the order in which things happen: a kill
   leaves a beginning of it.  */
struct note
{
  _Atomic int op;
  _Atomic int slot;             /* held by the thread; -1: none */
  void *old;
  size_t old_size, size;
  uint64_t old_tag, tag;
  _Atomic (void *) result;
  uint64_t root_old, root_new;
  _Atomic uint64_t root;
  _Atomic pid_t tid;
  _Atomic uint64_t n_ops;
};

struct slot
{
  _Atomic int holder;           /* worker * THREADS + thread + 1; 0: nobody;
                                   -1: what its cell holds is not known */
  _Atomic (char *) p;
  size_t size;
  uint64_t tag;
};

struct doubt
{
  char *p;
  size_t size, least;
  uint64_t tag;
  bool is_live;                 /* that is certain; its contents are not */
};

/* A slot call that was cut short: what was in the cell, and what was to be.  */
struct cut
{
  enum op op;
  int slot;
  char *old;
  size_t old_size, size;
  uint64_t old_tag;
  bool returned;                /* the contents are being written */
};
enum
{
  CUTS_WAIT = 8,                /* so many are left open while others work */
  CUTS = CUTS_WAIT + WORKERS * THREADS
};

static struct shadow
{
  uint64_t seed;
  _Atomic bool stop;
  struct told wrong;            /* what wrong_first points to */
  struct note note[WORKERS][THREADS];
  struct slot slot[SLOTS];
  struct doubt doubt[DOUBTS];
  size_t n_doubts;
  int n_cells;                  /* so many slots of the table have one */
  void **cell;
  struct cut cut[CUTS];
  size_t n_cut, all_cut;
  size_t may_leak;
  size_t leaked, undone, verified;
  _Atomic pid_t pid[WORKERS];
  uint64_t incarnation[WORKERS];
  _Atomic bool leaves[WORKERS]; /* of itself, when its threads have ended */
  size_t live;
} *shadow;


/* ---- Workers ------------------------------------------------------------ */

static size_t
some_size (uint64_t *chance)
{
  uint64_t x = random_next (chance);
  unsigned kind = x & 4095;
  x >>= 12;
  if (kind < 3000)
    return 1 + x % 1024;
  if (kind < 3700)
    return 1025 + x % 4000;
  if (kind < 3980)
    return 5000 + x % 27000;
  if (kind < 4093)
    return 33000 + x % 300000;
  return MIB (16) + x % MIB (24);
}

/* Do something with slot I, which the thread holds.  */
static void
work_on (void *md, struct note *n, struct slot *s, uint64_t *chance)
{
  char *p = s->p;
  uint64_t what = random_next (chance);
  if (p != NULL && !kill_holds (p, s->size, s->size, s->tag))
    wrong ("a block of %zu bytes at 0x%lx has lost its contents", s->size,
           (unsigned long) (p - (char *) KILL_BASE));
  n->old = p;
  n->old_size = s->size;
  n->old_tag = s->tag;
  n->size = some_size (chance);
  n->tag = random_next (chance);
  atomic_store (&n->result, NULL);
  if (p == NULL)
    {
      atomic_store (&n->op, ALLOC);
      void *q = what % 8 == 0 ? mcalloc (md, 1, n->size)
                : what % 8 == 1 ? mmemalign (md, (size_t) 16 << what / 8 % 12,
                                             n->size)
                : mmalloc (md, n->size);
      atomic_store (&n->result, q);
      if (q != NULL)
        {
          kill_fill (q, n->size, n->tag);
          s->size = n->size;
          s->tag = n->tag;
          atomic_store (&s->p, q);
        }
      else if (errno != ENOSPC && errno != ENOMEM)
        wrong ("malloc: %s", mmalloc_strerror (md));
    }
  else if (what % 4 != 0)
    {
      atomic_store (&n->op, FREE);
      mfree (md, p);
      atomic_store (&s->p, NULL);
    }
  else
    {
      atomic_store (&n->op, REALLOC);
      void *q = mrealloc (md, p, n->size);
      atomic_store (&n->result, q);
      if (q != NULL)
        {
          size_t kept = s->size < n->size ? s->size : n->size;
          if (!kill_holds (q, s->size, kept, s->tag))
            wrong ("realloc from %zu to %zu bytes lost the contents", s->size,
                   n->size);
          kill_fill (q, n->size, n->tag);
          /* In doubt as long as the note says so.  */
          s->size = n->size;
          s->tag = n->tag;
          atomic_store (&s->p, q);
        }
      else if (errno != ENOSPC && errno != ENOMEM)
        wrong ("realloc: %s", mmalloc_strerror (md));
    }
  atomic_store (&n->op, IDLE);
}

/* The same by slot calls; CELL holds S->p.  */
static void
work_on_cell (void *md, struct note *n, struct slot *s, void **cell,
              uint64_t *chance)
{
  char *p = s->p;
  uint64_t what = random_next (chance);
  if (*cell != p)
    wrong ("a slot has changed by itself");
  if (p != NULL && !kill_holds (p, s->size, s->size, s->tag))
    wrong ("the slot's block of %zu bytes has lost its contents", s->size);
  n->old = p;
  n->old_size = s->size;
  n->old_tag = s->tag;
  n->size = some_size (chance);
  n->tag = random_next (chance);
  atomic_store (&n->result, NULL);
  enum op op = p == NULL && what % 4 != 0 ? TO : p != NULL && what % 4 != 0
               ? FROM : IN;
  atomic_store (&n->op, op);
  int r = op == TO ? mmalloc_to (md, cell, n->size)
          : op == FROM ? mfree_from (md, cell)
          : mrealloc_in (md, cell, n->size);
  if (r != 0 && (op == FROM || (errno != ENOSPC && errno != ENOMEM)))
    wrong ("%s: %s", op_names[op], mmalloc_strerror (md));
  char *q = *cell;
  atomic_store (&n->result, q);
  if (r != 0 ? q != p : (q == NULL) != (op == FROM))
    wrong ("%s left a slot as it should not be", op_names[op]);
  size_t kept = s->size < n->size ? s->size : n->size;
  if (r == 0 && op == IN && p != NULL
      && !kill_holds (q, s->size, kept, s->tag))
    wrong ("mrealloc_in from %zu to %zu bytes lost the contents", s->size,
           n->size);
  if (r == 0 && q != NULL)
    {
      kill_fill (q, n->size, n->tag);
      s->size = n->size;
      s->tag = n->tag;
    }
  atomic_store (&s->p, q);
  atomic_store (&n->op, IDLE);
}

static void
work_once (void *md, int worker, int thread_number, uint64_t *chance)
{
  struct note *n = &shadow->note[worker][thread_number];
  int me = worker * THREADS + thread_number + 1;
  unsigned what = random_next (chance) % 4096;
  if (what == 0)
    {
      atomic_store (&n->op, TRIM);
      if (mmalloc_trim (md) < 0)
        wrong ("trim: %s", mmalloc_strerror (md));
      atomic_store (&n->op, IDLE);
    }
  else if (what == 1)
    {
      atomic_store (&n->op, CHECK);
      if (mmalloc_check (md, wrong_finding, "beside writers") != 0)
        wrong ("check beside writers");
      atomic_store (&n->op, IDLE);
    }
  else if (what < 64)
    {
      char name[32];
      snprintf (name, sizeof name, "thread %d", me);
      n->root_old = n->root;
      n->root_new = random_next (chance) % 4;
      if ((uint64_t) (uintptr_t) mmalloc_getroot (md, name) != n->root)
        wrong ("root \"%s\" is not what was set", name);
      atomic_store (&n->op, SETROOT);
      if (mmalloc_setroot (md, name, (void *) (uintptr_t) n->root_new) != 0)
        wrong ("setroot: %s", mmalloc_strerror (md));
      atomic_store (&n->root, n->root_new);
      atomic_store (&n->op, IDLE);
    }
  else
    {
      int i = (int) (random_next (chance) % SLOTS), nobody = 0;
      atomic_store (&n->slot, i);
      if (atomic_compare_exchange_strong (&shadow->slot[i].holder, &nobody,
                                          me))
        {
          if (i < shadow->n_cells)
            work_on_cell (md, n, &shadow->slot[i], &shadow->cell[i], chance);
          else
            work_on (md, n, &shadow->slot[i], chance);
          atomic_store (&shadow->slot[i].holder, 0);
        }
      atomic_store (&n->slot, -1);
    }
  atomic_fetch_add (&n->n_ops, 1);
}

struct job
{
  void *md;
  int worker, thread;
  uint64_t chance;
  long ops;                     /* then the thread ends; < 0: never */
};

static void *
work (void *arg)
{
  struct job *job = arg;
  struct note *n = &shadow->note[job->worker][job->thread];
  atomic_store (&n->tid, (pid_t) syscall (SYS_gettid));
  for (long i = 0; i != job->ops; i++)
    {
      while (atomic_load (&shadow->stop))
        {
          atomic_store (&n->op, PARKED);
          sched_yield ();
        }
      if (atomic_load (&n->op) == PARKED)
        atomic_store (&n->op, IDLE);
      work_once (job->md, job->worker, job->thread, &job->chance);
    }
  atomic_store (&n->op, EXIT);
  return NULL;
}

/* A process that works until it is killed, or leaves of itself.  */
static void
worker_run (int worker, uint64_t chance)
{
  struct job job[THREADS];
  pthread_t t[THREADS];
  struct note *n = shadow->note[worker];
  mmalloc_onmisuse (wrong_misuse, NULL);
  /* mmalloc_errno is per heap: what errno says counts here.  */
  atomic_store (&n[0].tid, getpid ());
  atomic_store (&n[0].op, OPEN);
  void *md = kill_open (heap_path, 0, CAPACITY);
  atomic_store (&n[0].op, IDLE);
  bool stays = random_next (&chance) % 8 != 0;
  atomic_store (&shadow->leaves[worker], !stays);
  for (int i = 0; i < THREADS; i++)
    {
      job[i] = (struct job) { md, worker, i, random_next (&chance),
                              stays && i < THREADS - 1 ? -1
                              : 200 + (long) (random_next (&chance) % 2000) };
      if (pthread_create (&t[i], NULL, work, &job[i]) != 0)
        wrong ("no thread");
    }
  for (;;)
    {
      pthread_join (t[THREADS - 1], NULL);
      if (!stays)
        break;
      atomic_store (&n[THREADS - 1].op, IDLE);
      if (pthread_create (&t[THREADS - 1], NULL, work, &job[THREADS - 1]) != 0)
        wrong ("no thread");
    }
  for (int i = 0; i < THREADS - 1; i++)
    pthread_join (t[i], NULL);
  atomic_store (&n[0].op, DETACH);
  if (mmalloc_detach (md) != NULL)
    wrong ("detach: %s", mmalloc_strerror (md));
  for (int i = 0; i < THREADS; i++)
    atomic_store (&n[i].op, PARKED);
  _exit (0);
}


/* ---- The parent --------------------------------------------------------- */

static void
worker_start (int worker)
{
  uint64_t chance = shadow->seed ^ (uint64_t) worker << 56
                    ^ ++shadow->incarnation[worker] << 8;
  random_next (&chance);
  for (int i = 0; i < THREADS; i++)
    {
      struct note *n = &shadow->note[worker][i];
      atomic_store (&n->slot, -1);
      atomic_store (&n->op, IDLE);
      atomic_store (&n->tid, 0);
    }
  atomic_store (&shadow->leaves[worker], false);
  pid_t pid = kill_fork ();
  if (pid == 0)
    worker_run (worker, chance);
  shadow->pid[worker] = pid;
}

static void
add_doubt (struct doubt d)
{
  NEED (shadow->n_doubts < DOUBTS);
  shadow->doubt[shadow->n_doubts++] = d;
}

/* WORKER is dead: what is in doubt now?  */
static void
worker_mourn (int worker)
{
  for (int i = 0; i < THREADS; i++)
    {
      struct note *n = &shadow->note[worker][i];
      int me = worker * THREADS + i + 1, held = n->slot;
      struct slot *s = held >= 0 ? &shadow->slot[held] : NULL;
      if (s != NULL && s->holder != me)
        s = NULL;
      char *result = n->result;
      switch (atomic_load (&n->op))
        {
        case ALLOC:
          if (result == NULL || s->p != result)
            {
              if (result != NULL)
                add_doubt ((struct doubt) { result, n->size, n->size, 0,
                                            true });
              else
                shadow->may_leak++;
              s->p = NULL;
            }
          break;
        case FREE:
          if (s->p != NULL)
            add_doubt ((struct doubt) { n->old, n->old_size, n->old_size,
                                        n->old_tag, false });
          s->p = NULL;
          break;
        case REALLOC:
          if (result != NULL)
            add_doubt ((struct doubt) { result, n->size, n->size, 0, true });
          else
            {
              add_doubt ((struct doubt) { n->old, n->old_size,
                                          n->size < n->old_size ? n->size
                                                                : n->old_size,
                                          n->old_tag, false });
              shadow->may_leak++;
            }
          s->p = NULL;
          break;
        case TO:
        case FROM:
        case IN:
          NEED (shadow->n_cut < CUTS);
          shadow->cut[shadow->n_cut++]
            = (struct cut) { n->op, held, n->old, n->old_size, n->size,
                             n->old_tag, result != NULL };
          shadow->all_cut++;
          atomic_store (&s->holder, -1);
          s = NULL;
          break;
        case SETROOT:
          /* Whatever the root is now.  */
          n->root = UINT64_MAX;
          break;
        default:
          break;
        }
      if (s != NULL)
        atomic_store (&s->holder, 0);
      atomic_store (&n->slot, -1);
    }
}

static void
worker_wait (int worker, bool killed)
{
  int status = kill_wait (shadow->pid[worker]);
  if (!killed && (!WIFEXITED (status) || WEXITSTATUS (status) != 0))
    wrong ("worker %d ended with status 0x%x", worker, status);
  if (killed && WIFEXITED (status) && WEXITSTATUS (status) != 0)
    wrong ("worker %d ended with status 0x%x", worker, status);
  worker_mourn (worker);
  shadow->pid[worker] = 0;
}

static void
show_file (const char *format, int pid, int tid)
{
  char name[64], text[256];
  snprintf (name, sizeof name, format, pid, tid);
  int fd = open (name, O_RDONLY);
  ssize_t len = fd >= 0 ? read (fd, text, sizeof text - 1) : 0;
  if (fd >= 0)
    close (fd);
  text[len > 0 ? len : 0] = '\0';
  text[strcspn (text, "\n")] = '\0';
  printf ("    %s: %s\n", name, text);
}

/* Nothing moves any more: who waits for whom?  */
static void
say_who_waits (void)
{
  printf ("somebody makes no progress\n");
  for (int w = 0; w < WORKERS; w++)
    for (int i = 0; i < THREADS; i++)
      {
        struct note *n = &shadow->note[w][i];
        printf ("  worker %d thread %d (process %d, task %d): %s\n", w, i,
                shadow->pid[w], n->tid, op_names[n->op]);
        show_file ("/proc/%d/task/%d/wchan", shadow->pid[w], n->tid);
        show_file ("/proc/%d/task/%d/syscall", shadow->pid[w], n->tid);
      }
  int fd = open (heap_path, O_RDONLY);
  uint32_t words[MM_PAGE / 4] = { 0 };
  if (fd >= 0 && pread (fd, words, sizeof words, MM_OFF_LOCKS) > 0)
    {
      printf ("  heap lock:");
      for (size_t i = 0; i < 4; i++)
        printf (" 0x%x", words[offsetof (struct disk_locks, heap) / 4 + i]);
      printf ("\n  grow lock:");
      for (size_t i = 0; i < 4; i++)
        printf (" 0x%x", words[offsetof (struct disk_locks, grow) / 4 + i]);
      printf ("\n");
    }
  fflush (stdout);
}

static uint64_t
all_ops (void)
{
  uint64_t n = 0;
  for (int w = 0; w < WORKERS; w++)
    for (int i = 0; i < THREADS; i++)
      n += shadow->note[w][i].n_ops;
  return n;
}

/* Wait until READY says so; false after a long time without progress, or if
   only some make progress and READY is not content for far longer.  */
static bool
wait_for (bool (*ready) (uint64_t arg), uint64_t arg)
{
  uint64_t last = all_ops ();
  double since = kill_seconds (), start = since, patience = kill_patience ();
  while (!ready (arg) && !shadow->wrong.failed)
    {
      uint64_t ops = all_ops ();
      if (ops != last && kill_seconds () - start < 4 * patience)
        {
          last = ops;
          since = kill_seconds ();
        }
      else if (kill_seconds () - start > 4 * patience
               || kill_seconds () - since > patience)
        {
          say_who_waits ();
          wrong ("somebody waits for ever");
          return false;
        }
      sched_yield ();
    }
  return !shadow->wrong.failed;
}

static bool
ops_reach (uint64_t ops)
{
  return all_ops () >= ops;
}

/* Those that leave of themselves are replaced.  */
static void
replace_leavers (void)
{
  int status;
  for (int w = 0; w < WORKERS; w++)
    if (shadow->pid[w] > 0
        && waitpid (shadow->pid[w], &status, WNOHANG) == shadow->pid[w])
      {
        if (status != 0)
          wrong ("worker %d ended with status 0x%x", w, status);
        worker_mourn (w);
        worker_start (w);
      }
}

static inline bool
all_parked (uint64_t arg)
{
  (void) arg;
  replace_leavers ();
  for (int w = 0; w < WORKERS; w++)
    for (int i = 0; i < THREADS; i++)
      if (shadow->note[w][i].op != PARKED
          && !(shadow->leaves[w] && shadow->note[w][i].op == EXIT))
        return false;
  return true;
}


/* ---- Verifying ---------------------------------------------------------- */

enum { WALK_MAX = 1 << 16 };
static struct found
{
  char *p;
  size_t size;
  bool known;
} found[WALK_MAX];
static size_t n_found;

static int
find_block (void *p, size_t size, void *arg)
{
  (void) arg;
  if (n_found > 0
      && found[n_found - 1].p + found[n_found - 1].size > (char *) p)
    wrong ("two blocks overlap");
  if (n_found < WALK_MAX)
    found[n_found++] = (struct found) { p, size, false };
  return 0;
}

static struct found *
found_at (const void *p)
{
  size_t from = 0, to = n_found;
  while (from < to)
    {
      size_t mid = (from + to) / 2;
      if (found[mid].p < (const char *) p)
        from = mid + 1;
      else
        to = mid;
    }
  return from < n_found && found[from].p == p ? &found[from] : NULL;
}

static int
used_run (struct heap *h, const struct sight *at, void *arg)
{
  size_t *n = arg;
  (void) h;
  if (at->r == NULL || head_kind (at->head) == HEAD_PAGE
      || head_kind (at->head) == HEAD_LARGE)
    ++*n;
  return 0;
}

/* What has become of slot calls that were cut short?  Afterwards the slots are
   known again.  */
static void
settle_cells (void *md)
{
  if (mmalloc_recover (md) != 0)
    wrong ("recover: %s", mmalloc_strerror (md));
  for (size_t i = 0; i < shadow->n_cut; i++)
    {
      struct cut *c = &shadow->cut[i];
      struct slot *s = &shadow->slot[c->slot];
      char *p = shadow->cell[c->slot];
      bool changed = p != c->old;
      /* Free blocks are misuse, and told so.  */
      size_t size = mmalloc_usable_size (md, p);
      if (changed && c->op == FROM && p != NULL)
        wrong ("mfree_from left something else in the slot");
      if (changed && c->op != FROM && size < c->size)
        wrong ("%s of %zu bytes was killed and made %zu", op_names[c->op],
               c->size, size);
      size_t least = c->old_size;
      if (c->op == IN && c->size < least)
        least = c->size;
      if (p != NULL && c->old != NULL && !c->returned
          && (size < least || !kill_holds (p, c->old_size, least, c->old_tag)))
        wrong ("killed in %s, the block of %zu bytes has lost its contents",
               op_names[c->op], c->old_size);
      s->size = size;
      s->tag = (uintptr_t) p;
      if (p != NULL)
        kill_fill (p, size, s->tag);
      atomic_store (&s->p, p);
      atomic_store (&s->holder, 0);
    }
  shadow->n_cut = 0;
}

/* All are quiet.  LAST: everything is freed, and nothing may remain.  */
static void
verify (const char *file, bool last)
{
  void *md = kill_open (file, 0, CAPACITY);
  mmalloc_onmisuse (wrong_misuse, NULL);
  settle_cells (md);
  if (mmalloc_check (md, wrong_finding, "quiet") != 0)
    wrong ("not whole");
  n_found = 0;
  mmalloc_walk (md, find_block, NULL);
  if (shadow->cell != NULL && found_at (shadow->cell) != NULL)
    found_at (shadow->cell)->known = true;
  for (size_t i = 0; i < SLOTS; i++)
    {
      struct slot *s = &shadow->slot[i];
      if (s->holder != 0)
        wrong ("slot %zu is held by %d", i, s->holder);
      if (s->p == NULL)
        continue;
      struct found *f = found_at (s->p);
      if (f == NULL)
        wrong ("a block of %zu bytes is lost", s->size);
      else if (f->known)
        wrong ("a block of %zu bytes was handed out twice", s->size);
      else if (f->size < s->size)
        wrong ("a block of %zu bytes has %zu", s->size, f->size);
      else if (!kill_holds (s->p, s->size, s->size, s->tag))
        wrong ("the contents of a block of %zu bytes are gone", s->size);
      if (f != NULL)
        f->known = true;
      shadow->verified++;
    }
  for (size_t i = 0; i < shadow->n_doubts; i++)
    {
      struct doubt *d = &shadow->doubt[i];
      struct found *f = found_at (d->p);
      if (f == NULL && d->is_live)
        wrong ("a new block of %zu bytes is lost", d->size);
      /* Freed, and perhaps somebody else's since.  */
      if (f == NULL || f->known)
        continue;
      if (d->is_live || kill_holds (d->p, d->size, d->least, d->tag))
        {
          f->known = true;
          shadow->undone++;
          mfree (md, d->p);
        }
    }
  size_t leaked = 0;
  for (size_t i = 0; i < n_found; i++)
    if (!found[i].known)
      {
        leaked++;
        mfree (md, found[i].p);
      }
  if (leaked > shadow->may_leak)
    wrong ("%zu blocks leaked by %zu kills in a call", leaked,
           shadow->may_leak);
  shadow->leaked += leaked;
  shadow->live = n_found;
  for (int w = 0; w < WORKERS; w++)
    for (int i = 0; i < THREADS; i++)
      {
        struct note *n = &shadow->note[w][i];
        char name[32];
        snprintf (name, sizeof name, "thread %d", w * THREADS + i + 1);
        uint64_t value = (uintptr_t) mmalloc_getroot (md, name);
        if (n->root == UINT64_MAX
            && (value == n->root_old || value == n->root_new))
          n->root = value;
        if (value != n->root)
          wrong ("root \"%s\" is %d", name, (int) value);
      }
  if (last)
    {
      for (size_t i = 0; i < SLOTS; i++)
        if (shadow->slot[i].p != NULL)
          mfree (md, shadow->slot[i].p);
      mfree (md, shadow->cell);
      size_t used = 0;
      NEED (mmalloc_trim (md) >= 0);
      walk_heap (kill_heap (), used_run, &used);
      if (used > 0)
        wrong ("%zu runs are in use when all is freed", used);
    }
  if (mmalloc_check (md, wrong_finding, "after work") != 0)
    wrong ("not whole after work");
  if (mmalloc_detach (md) != NULL)
    wrong ("detach");
  _exit (0);
}

static void
quiet_point (bool last)
{
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      alarm (4 * kill_patience ());
      verify (heap_path, last);
    }
  int status = kill_wait (pid);
  if (status != 0)
    {
      say_who_waits ();
      wrong ("the verifying process ended with status 0x%x", status);
    }
  shadow->n_doubts = 0;
  shadow->may_leak = 0;
}

/* A slot or a root whose setting was cut short is known again only when
   somebody has looked; until then nobody may judge.  Slots can wait.  */
static inline void
settle (int worker)
{
  if (shadow->n_cut >= CUTS_WAIT)
    {
      pid_t pid = kill_fork ();
      if (pid == 0)
        {
          alarm (4 * kill_patience ());
          mmalloc_onmisuse (wrong_misuse, NULL);
          settle_cells (kill_open (heap_path, 0, CAPACITY));
          _exit (0);
        }
      int status = kill_wait (pid);
      if (status != 0)
        wrong ("the recovering process ended with status 0x%x", status);
    }
  for (int i = 0; i < THREADS; i++)
    {
      struct note *n = &shadow->note[worker][i];
      if (n->root != UINT64_MAX)
        continue;
      pid_t pid = kill_fork ();
      if (pid == 0)
        {
          char name[32];
          alarm (4 * kill_patience ());
          void *md = kill_open (heap_path, MMALLOC_RDONLY, CAPACITY);
          snprintf (name, sizeof name, "thread %d", worker * THREADS + i + 1);
          uint64_t value = (uintptr_t) mmalloc_getroot (md, name);
          if (value != n->root_old && value != n->root_new)
            wrong ("root \"%s\" is %d", name, (int) value);
          n->root = value;
          _exit (0);
        }
      int status = kill_wait (pid);
      if (status != 0)
        wrong ("a reader ended with status 0x%x", status);
    }
}


/* ---- From the first worker to the last ---------------------------------- */

/* Make the heap and start the workers; the state of chance.  CELLS: so many
   slots of the table are for slot calls.  */
static uint64_t
shadow_begin (int cells)
{
  shadow = kill_shared (sizeof *shadow);
  wrong_first = &shadow->wrong;
  shadow->seed = random_seed ();
  shadow->n_cells = cells;
  kill_make_dir ();
  kill_make_heap (heap_path, CAPACITY);
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *md = kill_open (heap_path, 0, CAPACITY);
      shadow->cell = mcalloc (md, SLOTS, sizeof *shadow->cell);
      NEED (shadow->cell != NULL);
      _exit (mmalloc_detach (md) != NULL);
    }
  NEED (kill_wait (pid) == 0);
  for (int w = 0; w < WORKERS; w++)
    worker_start (w);
  return shadow->seed;
}

/* Kill all workers, verify for the last time, tidy up.  The heap stays for a
   look at it if MMALLOC_KILL_KEEP is set and something was wrong.  */
static void
shadow_end (void)
{
  for (int w = 0; w < WORKERS; w++)
    if (shadow->pid[w] > 0)
      kill (shadow->pid[w], SIGKILL);
  for (int w = 0; w < WORKERS; w++)
    if (shadow->pid[w] > 0)
      worker_wait (w, true);
  if (!shadow->wrong.failed)
    quiet_point (true);
  if (shadow->wrong.failed)
    printf ("failed: %s\n", shadow->wrong.text);
  if (shadow->wrong.failed && setting ("MMALLOC_KILL_KEEP", 0) != 0)
    printf ("the heap is %s\n", heap_path);
  else
    kill_remove_dir ();
}

#endif /* SHADOW_H */
