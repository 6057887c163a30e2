/* A process that uses the heap is stopped, by SIGSTOP, for as long as it
   pleases: in code of its own, while it opens the heap, and while it makes the
   file longer.  What the others can do meanwhile, what waits, and that they go
   on when the stopped one goes on, or is killed.  A waiting process may get
   any number of signals.  */

#include <sys/time.h>

#include "inside.h"

/* The processes: started before the parent has the heap, so that each comes to
   it by itself.  They begin when told.  */

static void
stop_outside (void *unused)
{
  (void) unused;
  baton_wait (baton);
  void *md = heap_file ();
  void *block = mmalloc (md, 1000);
  raise (SIGSTOP);
  mfree (md, block);
  heap_end (md);
}

static void
stop_at_the_door (void *unused)
{
  (void) unused;
  baton_wait (baton);
  at_door = stop_here;
  os.fcntl = door_fcntl;
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  os.fcntl = real_fcntl;
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
stop_in_growth (void *unused)
{
  (void) unused;
  baton_wait (baton);
  void *md = heap_file ();
  os.fallocate = stopping_fallocate;
  void *block = mmalloc (md, MIB (20));
  ck_assert_ptr_nonnull (block);
  mfree (md, block);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static atomic_long *n_signals;  /* shared */

static void
on_alarm (int sig)
{
  (void) sig;
  atomic_fetch_add (n_signals, 1);
}

/* Signals come in, a thousand a second, and no call is restarted.  */
static void
signals_begin (void)
{
  struct sigaction act = { .sa_handler = on_alarm };
  struct itimerval often = { { 0, 1000 }, { 0, 1000 } };
  ck_assert_int_eq (sigaction (SIGALRM, &act, NULL), 0);
  ck_assert_int_eq (setitimer (ITIMER_REAL, &often, NULL), 0);
}

static void
open_meanwhile (void *flags)
{
  baton_wait (baton);
  signals_begin ();
  void *md = mmalloc_open (temp_heap_path (), (int) (size_t) flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
grow_meanwhile (void *unused)
{
  (void) unused;
  baton_wait (baton);
  void *md = heap_file ();
  baton_pass (baton);
  baton_wait (baton);
  signals_begin ();
  char *block = mmalloc (md, MIB (3));
  ck_assert_ptr_nonnull (block);
  block_fill (block, MIB (3), 1);
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* Wait until the child has slept in system call NUMBER, from which each signal
   wakes it.  */
static void
until_waiting (struct child child, long number)
{
  while (!is_waiting (child, number) || atomic_load (n_signals) < 50)
    sched_yield ();
}

/* What the others can do whatever the stopped one does, in SPARE bytes.  */
static void
go_on (void *md, size_t spare)
{
  static void *blocks[5000];
  for (int round = 0; round < 3; round++)
    {
      size_t n = spare / 2000;
      ck_assert_uint_le (n, 5000);
      for (size_t i = 0; i < n; i++)
        {
          blocks[i] = mmalloc (md, 1 + i % 1500);
          must (blocks[i] != NULL);
          block_fill (blocks[i], 1 + i % 1500, i);
        }
      for (size_t i = 0; i < n; i++)
        must (block_holds (blocks[i], 1 + i % 1500, i));
      heap_free_all (md, blocks, n);
    }
  ck_assert_int_eq (mmalloc_setkey (md, 1, md), 1);
  ck_assert_int_eq (mmalloc_setroot (md, "name", md), 0);
  heap_is_whole (md);
}

/* So much is free and has disk blocks.  */
static void *
heap_with_spare (size_t bytes)
{
  void *md = heap_file ();
  mfree (md, mmalloc (md, bytes));
  ck_assert_int_eq (mmalloc_setroot (md, "name", md), 0);
  return md;
}

/* The stopped process goes on, or it is killed.  */
static void
release (struct child child, int goes_on)
{
  ck_assert_int_eq (kill (child.pid, goes_on ? SIGCONT : SIGKILL), 0);
  ck_assert_int_eq (child_end (child), goes_on ? 0 : 128 + SIGKILL);
}

static struct child neighbour, reader, writer;

static int
start_all (void (*stops) (void *), void (*writes) (void *))
{
  if (UNDER_TSAN)
    {
      skip ("ThreadSanitizer keeps signals back while a call waits");
      return 0;
    }
  n_signals = mmap (NULL, sizeof *n_signals, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (n_signals, MAP_FAILED);
  neighbour = child_start (stops, NULL);
  reader = child_start (open_meanwhile, (void *) MMALLOC_RDONLY);
  writer = child_start (writes, NULL);
  return 1;
}

START_TEST (outside)
{
  if (!start_all (stop_outside, open_meanwhile))
    return;
  void *md = heap_with_spare (MIB (1));
  until_stopped (neighbour);
  go_on (md, MIB (6));
  void *large = mmalloc (md, MIB (50));
  ck_assert_ptr_nonnull (large);
  mfree (md, large);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  baton_pass (writer.baton);
  baton_pass (reader.baton);
  ck_assert_int_eq (child_end (writer), 0);
  ck_assert_int_eq (child_end (reader), 0);
  release (neighbour, _i);
  heap_end (md);
}
END_TEST

/* Those who open the heap, or close it, wait.  */
START_TEST (at_the_door)
{
  if (!start_all (stop_at_the_door, open_meanwhile))
    return;
  void *md = heap_with_spare (MIB (1));
  until_stopped (neighbour);
  go_on (md, MIB (6));
  ck_assert_ptr_nonnull (mmalloc (md, MIB (50)));
  ck_assert_int_ge (mmalloc_trim (md), 0);
  ck_assert_int_eq (mmalloc_sync (md), 0);
  baton_pass (writer.baton);
  baton_pass (reader.baton);
  until_waiting (writer, SYS_clock_nanosleep);
  until_waiting (reader, SYS_clock_nanosleep);
  release (neighbour, _i);
  ck_assert_int_eq (child_end (writer), 0);
  ck_assert_int_eq (child_end (reader), 0);
  heap_end (md);
}
END_TEST

/* Those who need disk blocks wait; what is free can be had, and readers come
   and go.  */
START_TEST (in_growth)
{
  if (!start_all (stop_in_growth, grow_meanwhile))
    return;
  void *md = heap_with_spare (MIB (6));
  baton_pass (writer.baton);
  baton_wait (writer.baton);
  until_stopped (neighbour);
  go_on (md, MIB (1));
  baton_pass (reader.baton);
  ck_assert_int_eq (child_end (reader), 0);
  void *spare = mmalloc (md, MIB (5));
  ck_assert_ptr_nonnull (spare);
  baton_pass (writer.baton);
  until_waiting (writer, SYS_futex);
  release (neighbour, _i);
  ck_assert_int_eq (child_end (writer), 0);
  heap_end (md);
}
END_TEST

RUN_KINDS (2, outside, at_the_door, in_growth)
