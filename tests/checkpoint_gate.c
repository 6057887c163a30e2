/* Threads that need not stand still for a checkpoint: the gate between them and
   checkpoints and rollbacks; and checkpoints that are only begun by a call.  */

#include <semaphore.h>

#include "logged.h"

/* The system has barriers for all threads of a process; or it has none.  */
enum { BARRIERS, FENCES, WAYS };

static long
no_barriers (long number, ...)
{
  if (number == SYS_membarrier)
    return errno = ENOSYS, -1;
  errno = ENOTTY;
  return -1;
}

static void
open_by (int way, int flags, unsigned int wait)
{
  os.call = way % WAYS == FENCES ? no_barriers : syscall;
  options = (struct mmalloc_options) MMALLOC_OPTIONS_INIT;
  options.reserve = MIB (16);
  options.log = KIB (64);
  options.wait = wait;
  md = mmalloc_open (temp_path (file),
                     MMALLOC_CREATE | MMALLOC_CHECKPOINT | flags, &options);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_int_eq (word_peek (&heap_of (md)->gate) & GATE_FENCED,
                    way % WAYS == FENCES ? GATE_FENCED : 0);
}

/* Accounts on pages of their own that always add up, and a block for each thread
   whose contents say where it is.  */
enum { ACCOUNTS = 50, EACH = 1000, WORKERS = 3 };
static struct bank
{
  char **block[WORKERS];
  unsigned long generation;
  struct { long money, room[600]; } account[ACCOUNTS];
} *bank;
static _Atomic bool enough;
static _Atomic unsigned long turns;

static void
bank_begin (void)
{
  bank = mmalloc_getroot (md, "bank");
  if (bank != NULL)
    return;
  bank = mcalloc (md, 1, sizeof *bank);
  must (bank != NULL && mmalloc_setroot (md, "bank", bank) == 0);
  for (int i = 0; i < ACCOUNTS; i++)
    bank->account[i].money = EACH;
}

/* Whether the bank in heap HEAP is whole, at its place or elsewhere.  */
static bool
bank_is_whole (char *heap)
{
  struct mmalloc_info info;
  must (mmalloc_info (heap, &info) == 0);
  ptrdiff_t moved = heap - (char *) info.base;
  struct bank *b = (void *) ((char *) mmalloc_getroot (heap, "bank") + moved);
  long sum = 0;
  for (int i = 0; i < ACCOUNTS; i++)
    sum += b->account[i].money;
  bool whole = sum == (long) ACCOUNTS * EACH;
  for (int i = 0; i < WORKERS; i++)
    if (b->block[i] != NULL)
      {
        char **p = (void *) ((char *) b->block[i] + moved);
        whole &= *p == (char *) b->block[i];
      }
  return whole && mmalloc_check (heap, NULL, 0) == 0;
}

static void *
work (void *arg)
{
  uintptr_t me = (uintptr_t) arg;
  uint64_t chance = me + 1;
  while (!enough)
    {
      must (mmalloc_enter (md) == 0);
      for (uint64_t n = random_below (&chance, 4); n > 0; n--)
        {
          long amount = (long) random_below (&chance, 100);
          uint64_t from = random_below (&chance, ACCOUNTS);
          __atomic_sub_fetch (&bank->account[from].money, amount,
                              __ATOMIC_RELAXED);
          uint64_t to = random_below (&chance, ACCOUNTS);
          __atomic_add_fetch (&bank->account[to].money, amount,
                              __ATOMIC_RELAXED);
        }
      mfree (md, bank->block[me]);
      bank->block[me] = mmalloc (md, 8 + random_below (&chance, 3000));
      must (bank->block[me] != NULL);
      *bank->block[me] = (char *) bank->block[me];
      must (mmalloc_leave (md) == 0);
      turns++;
    }
  return NULL;
}

static bool
copy_is_whole (void)
{
  file_copy ();
  char *heap = mmalloc_open (temp_path ("copy"), MMALLOC_ELSEWHERE, NULL);
  ck_assert_msg (heap != NULL, "%s", mmalloc_strerror (NULL));
  bool whole = bank_is_whole (heap);
  ck_assert_ptr_null (mmalloc_detach (heap));
  return whole;
}

/* Threads go on, and each checkpoint has their turns whole; so has memory after
   a rollback.  */
START_TEST (turns_are_whole)
{
  pthread_t thread[WORKERS];
  if (_i >= WAYS)
    return;
  open_by (_i, 0, 0);
  bank_begin ();
  checkpoint ();
  for (uintptr_t i = 0; i < WORKERS; i++)
    thread[i] = thread_start (work, (void *) i);
  while (turns < 100)
    sched_yield ();
  for (int i = 0; i < 120; i++)
    {
      unsigned long before = turns, ticket;
      if (i % 3 == 0)
        {
          must (mmalloc_checkpoint_start (md, &ticket) == 0);
          must (mmalloc_checkpoint_wait (md, ticket) == 0);
        }
      else
        checkpoint ();
      must (copy_is_whole ());
      if (i % 10 == 0)
        must (mmalloc_rollback (md) == 0);
      while (turns == before)
        sched_yield ();
    }
  enough = true;
  for (int i = 0; i < WORKERS; i++)
    thread_end (thread[i]);
  must (bank_is_whole (md));
  must (mmalloc_rollback (md) == 0);
  must (bank_is_whole (md));
  heap_end (md);
}
END_TEST

/* What a process that may be killed has told: how often its main thread went round,
   and what the last checkpoint had.  */
static struct told
{
  _Atomic long rounds;
  _Atomic unsigned long durable;
} *told;

/* Threads work, and checkpoints are made in all ways, until it is killed.  */
static void
work_until_killed (void *way)
{
  pthread_t thread[WORKERS];
  open_by ((int) (uintptr_t) way, 0, 0);
  bank_begin ();
  uint64_t chance = (uint64_t) getpid ();
  for (uintptr_t i = 0; i < WORKERS; i++)
    thread[i] = thread_start (work, (void *) i);
  for (;; told->rounds++)
    {
      unsigned long ticket, now = ++bank->generation;
      uint64_t how = random_below (&chance, 8);
      if (how < 3)
        {
          must (mmalloc_checkpoint_start (md, &ticket) == 0);
          /* Undone by nothing: it was started.  */
          if (how == 0)
            must (mmalloc_rollback (md) == 0 && bank->generation == now);
          must (mmalloc_checkpoint_wait (md, ticket) == 0);
        }
      else if (how == 3)
        {
          must (mmalloc_rollback (md) == 0);
          continue;
        }
      else
        checkpoint ();
      told->durable = now;
    }
  thread_end (thread[0]);
}

/* Shared, or looked at: it is as at the last checkpoint, too.  */
static void
use_otherwise (int flags)
{
  options = (struct mmalloc_options) MMALLOC_OPTIONS_INIT;
  md = mmalloc_open (temp_path (file), flags, &options);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  bank = mmalloc_getroot (md, "bank");
  must (bank_is_whole (md) && bank->generation >= told->durable);
  if (flags == 0)
    {
      char *p = mmalloc (md, MIB (2));
      must (p != NULL);
      memset (p, 1, MIB (2));
      bank->account[0].money -= 7;
      bank->account[1].money += 7;
      mfree (md, p);
      must (mmalloc_trim (md) >= 0);
      told->durable = ++bank->generation;
    }
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* Killed at random, again and again; between, shared and trimmed, or looked at.  A
   tenth of MMALLOC_TEST_KILLS, since each takes its time.  */
START_TEST (killed_anywhere)
{
  const char *many = getenv ("MMALLOC_TEST_KILLS");
  int kills = (many != NULL ? atoi (many) / 10 : 20) / WAYS;
  if (_i >= WAYS)
    return;
  uint64_t chance = random_seed ();
  told = mmap (NULL, sizeof *told, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (told, MAP_FAILED);
  open_by (_i, 0, 0);
  bank_begin ();
  checkpoint ();
  heap_end (md);
  for (int n = 0; n < kills; n++)
    {
      struct child child = child_start (work_until_killed,
                                        (void *) (uintptr_t) _i);
      long until = told->rounds + (long) random_below (&chance, 30);
      while (told->rounds < until)
        sched_yield ();
      for (uint64_t i = random_below (&chance, 3000); i > 0; i--)
        sched_yield ();
      ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
      ck_assert_int_eq (child_end (child), 128 + SIGKILL);
      uint64_t how = random_below (&chance, 4);
      if (how < 3)
        use_otherwise (how == 0 ? 0 : how == 1 ? MMALLOC_RDONLY : MMALLOC_PRIVATE);
    }
  open_by (_i, 0, 0);
  bank_begin ();
  must (bank_is_whole (md) && bank->generation >= told->durable);
  heap_end (md);
  printf ("%d kills\n", kills);
}
END_TEST

/* Inside, all that would wait for oneself fails.  */
START_TEST (inside)
{
  unsigned long ticket = 0;
  open_by (_i, 0, 0);
  cells_begin ();
  must_fail (md, mmalloc_leave (md) == 0 ? md : NULL, EINVAL);
  must (mmalloc_enter (md) == 0);
  must (mmalloc_enter (md) == 0);
  for (int i = 0; i < 2; i++)
    {
      must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, EDEADLK);
      must_fail (md, mmalloc_rollback (md) == 0 ? md : NULL, EDEADLK);
      must_fail (md, mmalloc_checkpoint_start (md, &ticket) == 0 ? md : NULL,
                 EDEADLK);
      must_fail (md, mmalloc_checkpoint_wait (md, 1) == 0 ? md : NULL, EDEADLK);
      must_fail (md, mmalloc_changes (md, 0, NULL, NULL) == 0 ? md : NULL, EDEADLK);
      ck_assert_ptr_eq (mmalloc_detach (md), md);
      ck_assert_int_eq (errno, EDEADLK);
      cells_store ((uint64_t) i + 1);
      must (mmalloc_leave (md) == 0);
    }
  ck_assert_uint_eq (ticket, 0);
  must_fail (md, mmalloc_leave (md) == 0 ? md : NULL, EINVAL);
  checkpoint ();
  must (cells_have (cell, 2));
  /* No gate, no harm.  */
  char *other = mmalloc_open (NULL, 0, NULL);
  must (other != NULL && mmalloc_enter (other) == 0 && mmalloc_leave (other) == 0);
  must_fail (other, mmalloc_leave (other) == 0 ? other : NULL, EINVAL);
  must (mmalloc_enter (other) == 0 && mmalloc_enter (md) == 0);
  must (mmalloc_leave (other) == 0 && mmalloc_leave (md) == 0);
  checkpoint ();
  heap_end (other);
  heap_end (md);
}
END_TEST

static sem_t came, may_go;

/* Comes in and stays; ends inside if ARG says so.  */
static void *
stay (void *arg)
{
  must (mmalloc_enter (md) == 0);
  sem_post (&came);
  sem_wait (&may_go);
  /* Also beside one who waits for us.  */
  for (int i = 0; i < 100; i++)
    must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, EDEADLK);
  cells_store (1);
  if (arg == NULL)
    must (mmalloc_leave (md) == 0);
  return NULL;
}

/* It waits for who is inside; not longer than is said; and not for who ended
   there.  */
START_TEST (waits_for_who_is_inside)
{
  bool ends = _i / WAYS != 0;
  sem_init (&came, 0, 0);
  sem_init (&may_go, 0, 0);
  open_by (_i, 0, 100);
  cells_begin ();
  checkpoint ();
  pthread_t thread = thread_start (stay, (void *) (uintptr_t) ends);
  sem_wait (&came);
  must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, ETIMEDOUT);
  must (strstr (mmalloc_strerror (md), "mmalloc_enter") != NULL);
  must_fail (md, mmalloc_rollback (md) == 0 ? md : NULL, ETIMEDOUT);
  /* The gate is open again.  */
  must (mmalloc_enter (md) == 0 && mmalloc_leave (md) == 0);
  sem_post (&may_go);
  if (ends)
    thread_end (thread);
  while (mmalloc_checkpoint (md) != 0)
    ck_assert_int_eq (errno, ETIMEDOUT);
  must (cells_have (cell, 1));
  copy_has (1);
  if (!ends)
    thread_end (thread);
  heap_end (md);
}
END_TEST

/* While a checkpoint writes, a thread would come in for the first time.  */
static int first_result, first_error;
static void *
come_first (void *arg)
{
  (void) arg;
  first_result = mmalloc_enter (md);
  first_error = errno;
  if (first_result == 0)
    {
      cells_store (2);
      must (mmalloc_leave (md) == 0);
    }
  return NULL;
}

static int n_written;
static ssize_t
pwrite_beside (int fd, const void *from, size_t n, off_t at)
{
  if (n_written++ == 0)
    thread_run (come_first, NULL);
  return pwrite (fd, from, n, at);
}

/* Nobody was ever inside: then the gate stays closed, since memory may be given
   back that only a thread that stands still does not lose.  Later it does not, and
   nothing is lost.  */
START_TEST (first_one_waits)
{
  open_by (_i, 0, 50);
  cells_begin ();
  for (uint64_t n = 0; n < CELLS; n++)
    cells_store (n * CELLS + 3);
  os.pwrite = pwrite_beside;
  cells_store (1);
  checkpoint ();
  ck_assert_int_eq (first_result, -1);
  ck_assert_int_eq (first_error, ETIMEDOUT);
  must (mmalloc_enter (md) == 0 && mmalloc_leave (md) == 0);
  cells_store (3);
  n_written = 0;
  checkpoint ();
  ck_assert_int_eq (first_result, 0);
  must (cell[2 * APART] == 2);
  os.pwrite = pwrite;
  checkpoint ();
  heap_end (md);
  open_by (_i, 0, 50);
  cells_begin ();
  must (cell[2 * APART] == 2);
  heap_end (md);
}
END_TEST

/* What was started is written by a thread, as it was then.  */
START_TEST (started)
{
  unsigned long ticket, later;
  open_by (_i, 0, 0);
  threads_are_held (false);
  cells_begin ();
  checkpoint ();
  must_fail (md, mmalloc_checkpoint_wait (md, 0) == 0 ? md : NULL, EINVAL);
  must_fail (md, mmalloc_checkpoint_wait (md, 1) == 0 ? md : NULL, EINVAL);
  cells_store (1);
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  ck_assert_int_eq (n_threads, 1);
  copy_has (0);
  cells_store (2);
  must (mmalloc_checkpoint_wait (md, ticket) == 0);
  ck_assert_int_eq (n_joined, 1);
  copy_has (1);
  must (cells_have (cell, 2));
  must (mmalloc_checkpoint_wait (md, ticket) == 0);
  /* The next one begins when that is done.  */
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  cells_store (3);
  must (mmalloc_checkpoint_start (md, &later) == 0);
  ck_assert_uint_gt (later, ticket);
  ck_assert_int_eq (n_joined, 2);
  copy_has (2);
  must (mmalloc_checkpoint_wait (md, ticket) == 0);
  /* Nothing has changed.  */
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  must (mmalloc_checkpoint_wait (md, ticket) == 0);
  ck_assert_int_eq (n_threads, 3);
  copy_has (3);
  /* Undone is what came after.  */
  cells_store (4);
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  cells_store (5);
  must (mmalloc_rollback (md) == 0);
  must (cells_have (cell, 4));
  /* Never waited for.  */
  cells_store (5);
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  cells_store (6);
  heap_end (md);
  ck_assert_int_eq (n_threads, n_joined);
  copy_has (6);
}
END_TEST

static int fails;
static ssize_t
pwrite_fails (int fd, const void *from, size_t n, off_t at)
{
  bool durable = (fcntl (fd, F_GETFL) & O_DSYNC) != 0;
  return durable && fails != 0 ? errno = fails, -1 : pwrite (fd, from, n, at);
}

/* The next one has its changes; by a thread, by the call as there can be no thread,
   as the program wants it.  */
START_TEST (started_and_failed)
{
  unsigned long ticket, later;
  open_by (_i, _i / WAYS == 2 ? MMALLOC_NO_THREAD : 0, 0);
  if (_i / WAYS == 0)
    threads_are_held (false);
  if (_i / WAYS == 1)
    os.create = no_pthread;
  os.pwrite = pwrite_fails;
  cells_begin ();
  checkpoint ();
  fails = ENOSPC;
  cells_store (1);
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  cells_store (2);
  must_fail (md, mmalloc_checkpoint_wait (md, ticket) == 0 ? md : NULL, ENOSPC);
  must_fail (md, mmalloc_checkpoint_wait (md, ticket) == 0 ? md : NULL, ENOSPC);
  fails = 0;
  must (mmalloc_checkpoint_start (md, &later) == 0);
  must (mmalloc_checkpoint_wait (md, later) == 0);
  must (mmalloc_checkpoint_wait (md, ticket) == 0);
  copy_has (2);
  cells_store (3);
  fails = EIO;
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  fails = 0;
  cells_store (4);
  checkpoint ();
  must (mmalloc_checkpoint_wait (md, ticket) == 0);
  copy_has (4);
  heap_end (md);
}
END_TEST

/* Who is inside when the gate is closed is seen, though it says so with no
   fence: its processor may keep that back behind stores to what another one
   has.  */
enum { CLOSED = 1500, TURNERS = 2, BEFORE = 40, LONG = 2000 };
static struct { _Alignas (128) _Atomic unsigned long n; } kept_back[BEFORE];
static struct { _Alignas (128) _Atomic unsigned long begun, ended; }
  turn[TURNERS];

static void
store_all (unsigned long n)
{
  for (int i = 0; i < BEFORE; i++)
    atomic_store_explicit (&kept_back[i].n, n, memory_order_relaxed);
}

static void *
turn_often (void *arg)
{
  uintptr_t me = (uintptr_t) arg;
  for (unsigned long n = 1; !enough; n++)
    {
      store_all (n);
      must (mmalloc_enter (md) == 0);
      atomic_store_explicit (&turn[me].begun, n, memory_order_relaxed);
      atomic_store_explicit (&turn[me].ended, n, memory_order_release);
      must (mmalloc_leave (md) == 0);
      turns++;
    }
  return NULL;
}

START_TEST (nobody_is_inside)
{
  pthread_t thread[TURNERS];
  struct reason why;
  bool unused;
  if (_i >= WAYS)
    return;
  open_by (_i, 0, 0);
  struct heap *h = heap_of (md);
  unsigned long times = _i == BARRIERS ? CLOSED : CLOSED / 10;
  for (uintptr_t k = 0; k < TURNERS; k++)
    thread[k] = thread_start (turn_often, (void *) k);
  for (unsigned long i = 0; i < times; i++)
    {
      unsigned long before = turns, ended[TURNERS];
      for (; turns == before; sched_yield ())
        store_all (i);
      must (gate_close (h, &unused, &why) == 0);
      for (int k = 0; k < TURNERS; k++)
        ended[k] = turn[k].ended;
      for (int n = 0; n < LONG; n++)
        for (int k = 0; k < TURNERS; k++)
          must (turn[k].begun == ended[k]);
      gate_open (h);
    }
  enough = true;
  for (int k = 0; k < TURNERS; k++)
    thread_end (thread[k]);
  checkpoint ();
  heap_end (md);
}
END_TEST

static void *
wait_behind (void *arg)
{
  (void) arg;
  must (mmalloc_enter (md) == 0);
  sem_post (&came);
  sem_wait (&may_go);
  must (mmalloc_leave (md) == 0);
  return NULL;
}

/* Stay inside until one waits for the gate, whom we start.  */
static pthread_t behind;
static void *
stay_for_one (void *arg)
{
  struct heap *h = heap_of (md);
  must (mmalloc_enter (md) == 0);
  sem_post (&came);
  while ((word_see (&h->gate) & GATE_CLOSED) == 0)
    sched_yield ();
  uint32_t left = word_see (&h->left);
  behind = thread_start (wait_behind, arg);
  while (word_see (&h->left) == left)
    sched_yield ();
  must (mmalloc_leave (md) == 0);
  return NULL;
}

/* Who waited while memory went back to the last checkpoint is inside then, as
   anybody else.  */
START_TEST (waited_for_a_rollback)
{
  if (_i >= WAYS)
    return;
  sem_init (&came, 0, 0);
  sem_init (&may_go, 0, 0);
  open_by (_i, 0, 0);
  cells_begin ();
  checkpoint ();
  pthread_t first = thread_start (stay_for_one, NULL);
  sem_wait (&came);
  cells_store (1);
  must (mmalloc_rollback (md) == 0);
  thread_end (first);
  sem_wait (&came);
  heap_of (md)->file.wait = 50;
  must_fail (md, mmalloc_checkpoint (md) == 0 ? md : NULL, ETIMEDOUT);
  heap_of (md)->file.wait = 0;
  sem_post (&may_go);
  thread_end (behind);
  must (cells_have (cell, 0));
  checkpoint ();
  heap_end (md);
}
END_TEST

/* Take a block before a rollback, and another one of that size behind it.  */
static void *
allocate_again (void *arg)
{
  (void) arg;
  must (mmalloc (md, 1000) != NULL);
  sem_post (&came);
  sem_wait (&may_go);
  char *p = mmalloc (md, 1000);
  must (p != NULL && mmalloc_usable_size (md, p) >= 1000);
  memset (p, 1, 1000);
  mfree (md, p);
  return NULL;
}

/* The pages that threads had are gone with what they allocated.  */
START_TEST (caches_are_as_memory_is)
{
  if (_i >= WAYS)
    return;
  sem_init (&came, 0, 0);
  sem_init (&may_go, 0, 0);
  open_by (_i, 0, 0);
  cells_begin ();
  checkpoint ();
  pthread_t thread = thread_start (allocate_again, NULL);
  sem_wait (&came);
  must (mmalloc_rollback (md) == 0);
  must (heap_stats (md).blocks_live == 1);
  sem_post (&may_go);
  thread_end (thread);
  must (heap_stats (md).blocks_live == 1);
  heap_end (md);
}
END_TEST

/* When the second record comes, the file is copied.  */
static int n_durable;
static ssize_t
pwrite_copies (int fd, const void *from, size_t n, off_t at)
{
  if ((fcntl (fd, F_GETFL) & O_DSYNC) != 0 && ++n_durable == 2)
    file_copy ();
  return pwrite (fd, from, n, at);
}

/* What was started is the checkpoint before the one of who closes the heap.  */
START_TEST (started_before_the_end)
{
  unsigned long ticket;
  if (_i >= WAYS)
    return;
  open_by (_i, 0, 0);
  threads_are_held (false);
  cells_begin ();
  checkpoint ();
  cells_store (1);
  must (mmalloc_checkpoint_start (md, &ticket) == 0);
  cells_store (2);
  os.pwrite = pwrite_copies;
  heap_end (md);
  os.pwrite = pwrite;
  ck_assert_int_eq (n_durable, 2);
  copied_has (1);
  copy_has (2);
}
END_TEST

RUN_KINDS (3 * WAYS, turns_are_whole, inside, waits_for_who_is_inside,
           first_one_waits, started, started_and_failed, nobody_is_inside,
           waited_for_a_rollback, caches_are_as_memory_is,
           started_before_the_end, killed_anywhere)
