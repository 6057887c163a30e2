/* A thousand processes work on one heap at once: each has come in, takes blocks
   and frees what others took; some are killed, and others come in their place.
   Nobody hangs, nothing is lost but what a kill may leave.

   MMALLOC_TEST_PROCESSES   how many, 1000 if there is room for them
   MMALLOC_TEST_THREADS     of each, 1
   MMALLOC_TEST_ROUNDS      blocks that each thread takes, 50  */

#include "support.h"

enum { MOST = 1000, SLOTS = 4000, SIZE_MAX_ = 600 };

static struct shared
{
  _Atomic (void *) slot[SLOTS];
  _Atomic uint64_t turn;
  _Atomic int n_failed;
} *shared;

static size_t n_processes, n_threads, n_rounds;
static uint64_t seed;
static pid_t pid[MOST];
static int ready[2], gate[2];

/* A block says how long it is and has its own address in it.  */
struct block
{
  struct block *self;
  size_t size;
  char more[];
};

static void *
block_new (void *md, size_t size)
{
  struct block *b = mmalloc (md, size);
  must (b != NULL);
  b->self = b;
  b->size = size;
  block_fill (b->more, size - sizeof *b, (uintptr_t) b);
  return b;
}

static void
block_end (void *md, struct block *b)
{
  if (b == NULL)
    return;
  must (b->self == b);
  must (block_holds (b->more, b->size - sizeof *b, (uintptr_t) b));
  b->self = NULL;
  mfree (md, b);
}

static void *
work (void *md)
{
  uint64_t state = seed + atomic_fetch_add (&shared->turn, 1);
  for (size_t i = 0; i < n_rounds; i++)
    {
      size_t size = sizeof (struct block) + random_below (&state, SIZE_MAX_);
      void *mine = block_new (md, size);
      _Atomic (void *) *slot = &shared->slot[random_below (&state, SLOTS)];
      block_end (md, atomic_exchange (slot, mine));
    }
  return NULL;
}

/* What each process does: come in, say so, wait for all, work, and leave.  */
static void
member (void)
{
  char byte;
  close (ready[0]);
  close (gate[1]);
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  void *block = block_new (md, 100);
  must (write (ready[1], "!", 1) == 1);
  must (read (gate[0], &byte, 1) == 0);
  pthread_t thread[64];
  for (size_t i = 1; i < n_threads; i++)
    thread[i] = thread_start (work, md);
  work (md);
  for (size_t i = 1; i < n_threads; i++)
    thread_end (thread[i]);
  block_end (md, block);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
member_start (size_t i)
{
  pid[i] = fork ();
  ck_assert_int_ge (pid[i], 0);
  if (pid[i] == 0)
    {
      member ();
      _exit (0);
    }
}

/* How many can be had here: of processes with one thread each 400 KiB.  */
static size_t
room (void)
{
  size_t n = setting ("MMALLOC_TEST_PROCESSES", under_a_tool () ? 100 : MOST);
  size_t pages = (size_t) sysconf (_SC_AVPHYS_PAGES);
  size_t memory = pages * (size_t) sysconf (_SC_PAGESIZE) / KIB (400);
  struct rlimit limit;
  ck_assert_int_eq (getrlimit (RLIMIT_NPROC, &limit), 0);
  /* The user may have others.  */
  size_t most = limit.rlim_cur == RLIM_INFINITY ? MOST
                                                : limit.rlim_cur / 2 / n_threads;
  n = n < MOST ? n : MOST;
  if (n > most)
    printf ("%zu processes, as RLIMIT_NPROC is %lu\n", n = most,
            (unsigned long) limit.rlim_cur);
  if (n > memory)
    printf ("%zu processes, as there is memory for no more\n", n = memory);
  ck_assert_uint_gt (n, 1);
  return n;
}

/* All N of them are in.  */
static void
all_come (size_t n)
{
  char byte[64];
  ssize_t k;
  for (; n > 0; n -= (size_t) k)
    {
      k = read (ready[0], byte, n < sizeof byte ? n : sizeof byte);
      ck_assert_msg (k > 0, "%zu did not come in", n);
    }
}

/* Some die where they are just now, and leave their places to others.  */
static size_t
kill_some (void)
{
  size_t n = 0;
  uint64_t state = seed;
  for (size_t i = random_below (&state, 10); i < n_processes; i += 10)
    {
      int status;
      if (waitpid (pid[i], &status, WNOHANG) == 0)
        {
          ck_assert_int_eq (kill (pid[i], SIGKILL), 0);
          ck_assert_int_eq (waitpid (pid[i], &status, 0), pid[i]);
          n += WIFSIGNALED (status);
        }
      else
        ck_assert_int_eq (status, 0);
      member_start (i);
    }
  return n;
}

static int
free_block (void *block, size_t size, void *md)
{
  (void) size;
  mfree (md, block);
  return 0;
}

START_TEST (at_once)
{
  seed = random_seed ();
  n_threads = setting ("MMALLOC_TEST_THREADS", 1);
  n_rounds = setting ("MMALLOC_TEST_ROUNDS", 50);
  n_threads = n_threads < 1 ? 1 : n_threads > 64 ? 64 : n_threads;
  n_processes = room ();
  shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (shared, MAP_FAILED);
  ck_assert_int_eq (pipe (ready) | pipe (gate), 0);
  void *md = heap_file ();
  ck_assert_ptr_null (mmalloc_detach (md));
  fflush (NULL);
  for (size_t i = 0; i < n_processes; i++)
    member_start (i);
  close (ready[1]);
  all_come (n_processes);
  md = heap_file ();
  ck_assert_uint_eq (heap_stats (md).blocks_live, n_processes);
  ready[1] = open ("/dev/null", O_WRONLY);
  close (gate[1]);
  gate[1] = -1;
  size_t n_killed = kill_some ();
  for (size_t i = 0; i < n_processes; i++)
    {
      int status;
      ck_assert_int_eq (waitpid (pid[i], &status, 0), pid[i]);
      ck_assert_int_eq (status, 0);
    }
  heap_is_whole (md);
  for (int i = 0; i < SLOTS; i++)
    block_end (md, atomic_exchange (&shared->slot[i], NULL));
  size_t left = heap_stats (md).blocks_live;
  printf ("%zu processes of %zu threads at once, %zu killed, %zu blocks left\n",
          n_processes, n_threads, n_killed, left);
  /* Its first one, and two of each thread.  */
  ck_assert_uint_le (left, n_killed * (1 + 2 * n_threads));
  ck_assert_int_eq (mmalloc_walk (md, free_block, md), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_TESTS (at_once)
