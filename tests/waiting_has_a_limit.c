/* A process that has a lock of the heap does not go on: it was stopped, by
   SIGSTOP, or frozen with its control group, as a container that is paused.
   Who has set a limit waits so long; then its calls fail, say for whom they
   waited, and have changed nothing.  kill/stopped tries all calls at all
   places; here is what they say, and what becomes of a call that gets the lock
   first and then misses it.  */

#include "inside.h"

static struct child neighbour;

static struct heap *
inside_of (void *md)
{
  return (struct heap *) *door_place (md, true);
}

/* The heap, opened with a limit.  */
static void *
heap_in_haste (void)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.wait = 2;
  return mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
}

/* The process with the lock.  It opens the heap by itself, when told.  */
static void
take_lock (void *stops)
{
  baton_wait (baton);
  void *md = heap_in_haste ();
  ck_assert_ptr_nonnull (md);
  struct heap *h = inside_of (md);
  baton_pass (baton);
  baton_wait (baton);
  must (lock_heap (h));
  if (stops != NULL)
    raise (SIGSTOP);
  else
    {
      baton_pass (baton);
      baton_wait (baton);
    }
  unlock_heap (h);
  baton_pass (baton);
  baton_wait (baton);
  /* It and who waited for it; all others are buried.  */
  ck_assert_int_eq (mmalloc_recover (md), 0);
  ck_assert_int_le (entries_in_use (md), 2);
}

/* The heap with a limit, beside the one who will take its lock.  */
static void *
heap_beside (bool stops)
{
  neighbour = child_start (take_lock, stops ? (void *) 1 : NULL);
  void *md = heap_in_haste ();
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  baton_pass (neighbour.baton);
  baton_wait (neighbour.baton);
  return md;
}

/* The lock is free again, and the other one goes.  */
static void
release (void)
{
  baton_wait (neighbour.baton);
  baton_pass (neighbour.baton);
  ck_assert_int_eq (child_end (neighbour), 0);
}

static void
go_on (void)
{
  ck_assert_int_eq (kill (neighbour.pid, SIGCONT), 0);
  release ();
}

static void
must_speak_of (void *md, const char *what)
{
  ck_assert_msg (strstr (mmalloc_strerror (md), what) != NULL,
                 "does not speak of %s: %s", what, mmalloc_strerror (md));
}

/* What can be said while the lock is kept, and that nothing has happened.
   BLOCK is a large one.  */
static void
calls_are_late (void *md, void *block)
{
  char who[80];
  snprintf (who, sizeof who, "process %d has a lock of the heap and did not go"
                             " on", (int) neighbour.pid);
  must_fail (md, mmalloc (md, MIB (1)), ETIMEDOUT);
  must_speak_of (md, who);
  must_fail (md, mrealloc (md, block, MIB (3)), ETIMEDOUT);
  must_give (mmalloc_setroot (md, "root", block), -1, ETIMEDOUT);
  must_speak_of (md, who);
  must_give (mmalloc_check (md, NULL, NULL), -1, ETIMEDOUT);
  must_give (mmalloc_trim (md), -1, ETIMEDOUT);
  errno = 0;
  mfree (md, block);
  ck_assert_int_eq (errno, ETIMEDOUT);
  must_speak_of (md, who);
  ck_assert (block_holds (block, MIB (1), 1));
  ck_assert_uint_ge (mmalloc_usable_size (md, block), MIB (1));
}

/* A block, and calls that work when the lock is free.  */
static void
calls_work (void *md, void *block)
{
  must_keep_errno (mfree (md, block));
  ck_assert_int_eq (mmalloc_setroot (md, "root", md), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}

static void *
large_block (void *md)
{
  void *block = mmalloc (md, MIB (1));
  ck_assert_ptr_nonnull (block);
  block_fill (block, MIB (1), 1);
  return block;
}

START_TEST (stopped)
{
  void *md = heap_beside (true), *block = large_block (md);
  until_stopped (neighbour);
  calls_are_late (md, block);
  go_on ();
  calls_work (md, block);
}
END_TEST

START_TEST (stopped_and_killed)
{
  void *md = heap_beside (true), *block = large_block (md);
  until_stopped (neighbour);
  calls_are_late (md, block);
  ck_assert_int_eq (kill (neighbour.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (neighbour), 128 + SIGKILL);
  calls_work (md, block);
}
END_TEST


/* ---- The freezer ---- */

static char group[PATH_MAX];

static bool
write_word (const char *name, const char *word)
{
  char path[PATH_MAX + 40];
  snprintf (path, sizeof path, "%s/%s", group, name);
  int fd = open (path, O_WRONLY);
  bool done = fd >= 0
              && write (fd, word, strlen (word)) == (ssize_t) strlen (word);
  close (fd);
  return done;
}

static bool
has_word (const char *name, const char *word)
{
  char path[PATH_MAX + 40], text[256] = "";
  snprintf (path, sizeof path, "%s/%s", group, name);
  int fd = open (path, O_RDONLY);
  bool done = fd >= 0 && read (fd, text, sizeof text - 1) > 0
              && strstr (text, word) != NULL;
  close (fd);
  return done;
}

/* The two kinds of freezers.  */
static const struct freezer
{
  const char *places[3], *order, *freeze, *thaw, *state, *frozen;
} freezers[] = {
  { { "/sys/fs/cgroup", "/sys/fs/cgroup/unified" }, "cgroup.freeze", "1", "0",
    "cgroup.events", "frozen 1" },
  { { "/sys/fs/cgroup/freezer" }, "freezer.state", "FROZEN", "THAWED",
    "freezer.state", "FROZEN" }
};

/* Make a group for the neighbour.  */
static bool
group_made (const struct freezer *f)
{
  char pid[20];
  snprintf (pid, sizeof pid, "%d", (int) neighbour.pid);
  for (int i = 0; f->places[i] != NULL; i++)
    {
      snprintf (group, sizeof group, "%s/mmalloc-%d", f->places[i],
                (int) getpid ());
      if (mkdir (group, 0755) != 0)
        continue;
      if (write_word (f->order, f->thaw) && write_word ("cgroup.procs", pid))
        return true;
      rmdir (group);
    }
  return false;
}

START_TEST (frozen)
{
  const struct freezer *f = &freezers[_i];
  void *md = heap_beside (false), *block = large_block (md);
  bool works = group_made (f);
  baton_pass (neighbour.baton);
  baton_wait (neighbour.baton);
  if (works)
    {
      ck_assert (write_word (f->order, f->freeze));
      while (!has_word (f->state, f->frozen))
        sched_yield ();
    }
  else
    skip ("no control group can be frozen");
  /* It does not hear of this yet.  */
  if (works)
    baton_pass (neighbour.baton);
  calls_are_late (md, block);
  if (works)
    ck_assert (write_word (f->order, f->thaw));
  else
    baton_pass (neighbour.baton);
  release ();
  if (works)
    ck_assert_int_eq (rmdir (group), 0);
  calls_work (md, block);
}
END_TEST


/* ---- Who has it ---- */

START_TEST (who_has_it)
{
  void *md = heap_beside (true);
  struct heap *h = inside_of (md);
  uint32_t i = 0;
  until_stopped (neighbour);
  while (word_peek (&h->procs[i].pid) != (uint64_t) neighbour.pid)
    i++;
  uint64_t namespace = word_peek (&h->procs[i].namespace);
  word_put (&h->procs[i].namespace, namespace + 1);
  must_fail (md, mmalloc (md, MIB (1)), ETIMEDOUT);
  must_speak_of (md, "a process in another PID namespace has a lock");
  word_put (&h->procs[i].namespace, namespace);
  uint32_t his = word_swap (&h->locks->heap.word, (uint32_t) h->id << 1);
  must_fail (md, mmalloc (md, MIB (1)), ETIMEDOUT);
  must_speak_of (md, "another thread of this process has a lock");
  word_swap (&h->locks->heap.word, his);
  go_on ();
  heap_end (md);
}
END_TEST


/* ---- The lock is had, and then missed ---- */

static char *trap;

/* The copying has come to the page that cannot be read.  */
static void
on_trap (int sig)
{
  (void) sig;
  until_stopped (neighbour);
  must (mprotect (trap, 4096, PROT_READ | PROT_WRITE) == 0);
}

/* The neighbour takes the lock when BLOCK is copied.  */
static void
set_trap (void *block)
{
  trap = (char *) (((uintptr_t) block + KIB (32)) & ~(uintptr_t) 4095);
  must (signal (SIGSEGV, on_trap) != SIG_ERR);
  must (mprotect (trap, 4096, PROT_NONE) == 0);
}

/* A block and one behind it, so that it has to move.  */
static void *
hemmed_block (void *md, void **behind)
{
  void *block = mmalloc (md, KIB (64));
  ck_assert_ptr_nonnull (block);
  *behind = mmalloc (md, KIB (64));
  ck_assert_ptr_nonnull (*behind);
  block_fill (block, KIB (64), 2);
  return block;
}

static bool
traps_work (void)
{
  if (!UNDER_TSAN && !library_process.asan)
    return true;
  skip ("a sanitizer reads blocks in its own way");
  return false;
}

/* The old block cannot be freed, and is not lost.  */
START_TEST (old_block_of_realloc)
{
  void *md = heap_beside (true), *behind;
  void *block = hemmed_block (md, &behind);
  if (!traps_work ())
    return;
  set_trap (block);
  block = mrealloc (md, block, MIB (1));
  ck_assert_ptr_nonnull (block);
  ck_assert (block_holds (block, KIB (64), 2));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 3);
  must_give (mmalloc_recover (md), -1, ETIMEDOUT);
  go_on ();
  ck_assert_int_eq (mmalloc_recover (md), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 2);
  mfree (md, block);
  mfree (md, behind);
  heap_end (md);
}
END_TEST

START_TEST (old_block_of_slot)
{
  void *md = heap_beside (true), *behind;
  void **slot = mcalloc (md, 1, 64);
  slot[0] = hemmed_block (md, &behind);
  if (!traps_work ())
    return;
  set_trap (slot[0]);
  ck_assert_int_eq (mrealloc_in (md, slot, MIB (1)), 0);
  ck_assert (block_holds (slot[0], KIB (64), 2));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 4);
  go_on ();
  /* Whoever comes next frees it.  */
  ck_assert_int_ge (mmalloc_trim (md), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 3);
  ck_assert_int_eq (mfree_from (md, slot), 0);
  mfree (md, behind);
  mfree (md, slot);
  heap_end (md);
}
END_TEST

static int
init_stops (void *root, size_t size, void *stops)
{
  memset (root, 1, size);
  if (stops != NULL)
    until_stopped (neighbour);
  return 0;
}

START_TEST (root_is_late)
{
  void *md = heap_beside (true);
  must_fail (md, mmalloc_makeroot (md, "made", MIB (1), init_stops, md),
             ETIMEDOUT);
  ck_assert_ptr_null (mmalloc_getroot (md, "made"));
  go_on ();
  ck_assert_ptr_nonnull (mmalloc_makeroot (md, "made", MIB (1), init_stops,
                                           NULL));
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
}
END_TEST

/* Somebody else makes it, and does not end.  */
static int
init_waits (void *root, size_t size, void *unused)
{
  (void) unused;
  memset (root, 1, size);
  baton_pass (baton);
  baton_wait (baton);
  return 0;
}

static void
make_root_slowly (void *unused)
{
  (void) unused;
  baton_wait (baton);
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc_makeroot (md, "made", 100, init_waits, NULL));
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (root_of_another)
{
  struct child maker = child_start (make_root_slowly, NULL);
  char who[60];
  snprintf (who, sizeof who, "process %d has the root in the making",
            (int) maker.pid);
  void *md = heap_in_haste ();
  baton_pass (maker.baton);
  baton_wait (maker.baton);
  must_fail (md, mmalloc_makeroot (md, "made", 100, NULL, NULL), ETIMEDOUT);
  must_speak_of (md, who);
  baton_pass (maker.baton);
  ck_assert_int_eq (child_end (maker), 0);
  ck_assert_ptr_nonnull (mmalloc_makeroot (md, "made", 100, NULL, NULL));
  heap_end (md);
}
END_TEST


/* ---- Coming and going ---- */

/* Who leaves does so as if killed; who comes fails, and then has not come.  */
START_TEST (come_and_go)
{
  void *md = heap_beside (true);
  struct heap *h = inside_of (md);
  void **slot = mcalloc (md, 1, 64);
  uint64_t id = h->id;
  until_stopped (neighbour);
  ck_assert_ptr_null (mmalloc_detach (md));
  /* In the entry that was left: its number has to be buried first.  */
  must_fail (NULL, heap_in_haste (), ETIMEDOUT);
  go_on ();
  ck_assert_ptr_eq (heap_in_haste (), md);
  h = inside_of (md);
  for (uint32_t n = 1; n <= off_streams_ready (h); n++)
    ck_assert_uint_ne (word_peek (&off_stream (h, n)->owner), id);
  mfree (md, slot);
  heap_end (md);
}
END_TEST

/* Another user.  */
static void
use_heap (void *unused)
{
  (void) unused;
  baton_wait (baton);
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static struct child
user_start (void)
{
  struct child user = child_start (use_heap, NULL);
  baton_pass (user.baton);
  baton_wait (user.baton);
  return user;
}

/* Who could not leave in time (0), or not come in, in the entry of one who was
   killed (1), is in the heap again, in another entry: the neighbour is not
   misled by that to take the old one for somebody's.  */
START_TEST (entry_of_nobody)
{
  struct child second;
  void *md = NULL;
  neighbour = child_start (take_lock, (void *) 1);
  struct child first = user_start ();
  if (_i == 1)
    second = user_start ();
  else
    ck_assert_ptr_nonnull (mmalloc (md = heap_in_haste (), 100));
  baton_pass (neighbour.baton);
  baton_wait (neighbour.baton);
  if (_i == 1)
    {
      ck_assert_int_eq (kill (second.pid, SIGKILL), 0);
      ck_assert_int_eq (child_end (second), 128 + SIGKILL);
    }
  until_stopped (neighbour);
  if (_i == 1)
    /* Twice: whoever comes next looks at the first one's entry before.  */
    for (int i = 0; i < 2; i++)
      must_fail (NULL, heap_in_haste (), ETIMEDOUT);
  else
    ck_assert_ptr_null (mmalloc_detach (md));
  ck_assert_int_eq (kill (neighbour.pid, SIGCONT), 0);
  baton_wait (neighbour.baton);
  baton_pass (first.baton);
  ck_assert_int_eq (child_end (first), 0);
  ck_assert_ptr_nonnull (md = heap_in_haste ());
  ck_assert_uint_eq (inside_of (md)->entry, 0);
  baton_pass (neighbour.baton);
  ck_assert_int_eq (child_end (neighbour), 0);
  ck_assert_int_eq (mmalloc_recover (md), 0);
  struct heap *h = inside_of (md);
  for (uint32_t n = 1; n <= off_streams_ready (h); n++)
    ck_assert_uint_eq (word_peek (&off_stream (h, n)->owner), 0);
  heap_end (md);
}
END_TEST

RUN_KINDS (2, stopped, stopped_and_killed, frozen, who_has_it,
           old_block_of_realloc, old_block_of_slot, root_is_late,
           root_of_another, come_and_go, entry_of_nobody)
