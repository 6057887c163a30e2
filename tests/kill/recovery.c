/* recovery.c - how long the first calls take after a death.

   A heap full of live blocks of 64 bytes; its only process dies while it holds
   the heap lock.  A newcomer opens the heap, allocates, takes a new page, gives
   free memory back.  Then the same with a neighbour, which was attached all the
   time and learns of the death by the lock.  Nothing is asserted about time:
   the figures are printed.  The blocks are all there.

   MMALLOC_KILL_MIB=n         so many MiB of blocks  */

#include "kill.h"

enum { SIZE = 64 };
static size_t n_blocks;
static _Atomic int *turn;       /* 1: the lock is held; 2: the survivor is
                                   ready; 3: the holder is dead */

static void
report (const char *what, double since)
{
  printf ("  %-42s %10.3f ms\n", what, (kill_seconds () - since) * 1e3);
}

/* Fill the heap, take the lock, wait for death.  */
static void
die (void *md, bool fills)
{
  for (size_t i = 0; fills && i < n_blocks; i++)
    NEED (mmalloc (md, SIZE) != NULL);
  NEED (lock_heap (kill_heap ()));
  atomic_store (turn, 1);
  for (;;)
    pause ();
}

static void
call_all (void *md)
{
  double t = kill_seconds ();
  void *small = mmalloc (md, SIZE);
  report ("first malloc, 64 bytes", t);
  t = kill_seconds ();
  void *page = mmalloc (md, 5000);
  report ("first malloc, 5000 bytes: a new page", t);
  t = kill_seconds ();
  void *large = mmalloc (md, 100000);
  report ("first malloc, 100000 bytes", t);
  NEED (small != NULL && page != NULL && large != NULL);
  t = kill_seconds ();
  mfree (md, small);
  mfree (md, page);
  mfree (md, large);
  report ("three frees", t);
  t = kill_seconds ();
  NEED (mmalloc_recover (md) == 0);
  report ("mmalloc_recover", t);
  t = kill_seconds ();
  NEED (mmalloc_trim (md) >= 0);
  report ("mmalloc_trim: looks at all pages", t);
  t = kill_seconds ();
  NEED (mmalloc_check (md, NULL, NULL) == 0);
  report ("mmalloc_check", t);
}

static int
count (void *block, size_t size, void *arg)
{
  (void) block, (void) size;
  ++*(size_t *) arg;
  return 0;
}

/* A process dies; then this one, which has the heap attached already if
   NEIGHBOUR, goes on.  */
static void
try (size_t capacity, bool neighbour, bool fills)
{
  atomic_store (turn, 0);
  pid_t dying = kill_fork ();
  if (dying == 0)
    die (kill_open (heap_path, MMALLOC_CREATE, capacity), fills);
  while (atomic_load (turn) != 1)
    sched_yield ();
  pid_t survivor = kill_fork ();
  if (survivor == 0)
    {
      void *md = neighbour ? kill_open (heap_path, 0, capacity) : NULL;
      atomic_store (turn, 2);
      while (atomic_load (turn) != 3)
        sched_yield ();
      double t = kill_seconds ();
      if (!neighbour)
        md = kill_open (heap_path, 0, capacity);
      if (!neighbour)
        report ("open", t);
      call_all (md);
      size_t n = 0;
      mmalloc_walk (md, count, &n);
      NEED (n == n_blocks && mmalloc_detach (md) == NULL);
      fflush (stdout);
      _exit (0);
    }
  while (atomic_load (turn) != 2)
    sched_yield ();
  kill_process (dying);
  atomic_store (turn, 3);
  NEED (kill_wait (survivor) == 0);
}

int
main (void)
{
  size_t mib = setting ("MMALLOC_KILL_MIB", 64);
  size_t capacity = MIB (mib) + MIB (mib) / 4 + MIB (64);
  if (!kill_works ())
    return KILL_SKIPPED;
  n_blocks = MIB (mib) / SIZE;
  turn = kill_shared (sizeof *turn);
  kill_make_dir ();
  printf ("%zu MiB, %zu live blocks; the newcomer:\n", mib, n_blocks);
  try (capacity, false, true);
  printf ("the neighbour:\n");
  try (capacity, true, false);
  kill_remove_dir ();
  return closing_line (1, 0, 0);
}
