/* The last users of a heap leave at the same time, some of them by a kill.
   The last one to leave in order says in the file that it is closed; and after
   a kill, too, the next one gets in.  */

#include "inside.h"

enum { LEAVERS = 4, ROUNDS = 15, CLOSED = MM_CLEAN };

static void
leaver (void *unused)
{
  (void) unused;
  void *md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, 1000));
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* The state in the file.  */
static uint32_t
file_state (void)
{
  uint32_t state;
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (pread (fd, &state, sizeof state,
                           MM_OFF_LOCKS + offsetof (struct disk_locks, state)),
                    sizeof state);
  close (fd);
  return state;
}

static void
leave_together (int n_killed)
{
  struct child child[LEAVERS];
  for (int i = 0; i < LEAVERS; i++)
    {
      child[i] = child_start (leaver, NULL);
      baton_wait (child[i].baton);
    }
  ck_assert_uint_ne (file_state (), CLOSED);
  for (int i = 0; i < LEAVERS; i++)
    if (i < LEAVERS - n_killed)
      baton_pass (child[i].baton);
    else
      ck_assert_int_eq (kill (child[i].pid, SIGKILL), 0);
  for (int i = 0; i < LEAVERS; i++)
    ck_assert_int_eq (child_end (child[i]),
                      i < LEAVERS - n_killed ? 0 : 128 + SIGKILL);
  if (n_killed == 0)
    ck_assert_uint_eq (file_state (), CLOSED);
}

/* Stops when it has found that it is not the last one.  */
static int
stopping_fcntl (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  bool asks = what == F_OFD_GETLK
              && l->l_start == MM_LOCK_BYTES + MM_BYTE_ALIVE
              && l->l_len > 1;
  int r = real_fcntl (fd, what, l);
  if (asks && l->l_type != F_UNLCK)
    raise (SIGSTOP);
  return r;
}

static void
slow_leaver (void *unused)
{
  (void) unused;
  void *md = heap_file ();
  os.fcntl = stopping_fcntl;
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* The last but one takes its time, and is overtaken by nobody.  */
START_TEST (one_waits_for_the_other)
{
  struct child slow = child_start (slow_leaver, NULL);
  baton_wait (slow.baton);
  struct child last = child_start (leaver, NULL);
  baton_wait (last.baton);
  until_stopped (slow);
  baton_pass (last.baton);
  while (!is_waiting (last, SYS_clock_nanosleep))
    sched_yield ();
  ck_assert_uint_ne (file_state (), CLOSED);
  ck_assert_int_eq (kill (slow.pid, _i == 0 ? SIGCONT : SIGKILL), 0);
  ck_assert_int_eq (child_end (slow), _i == 0 ? 0 : 128 + SIGKILL);
  ck_assert_int_eq (child_end (last), 0);
  ck_assert_uint_eq (file_state (), CLOSED);
}
END_TEST

START_TEST (in_order)
{
  for (size_t round = 1; round <= ROUNDS; round++)
    {
      leave_together (0);
      void *md = heap_file ();
      ck_assert_uint_eq (heap_stats (md).blocks_live, LEAVERS * round);
      heap_end (md);
    }
}
END_TEST

START_TEST (with_a_kill)
{
  for (size_t round = 1; round <= ROUNDS; round++)
    {
      leave_together ((int) (round % (LEAVERS + 1)));
      /* Nobody is left: copy on write is allowed.  */
      void *md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
      ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
      heap_end (md);
      md = heap_file ();
      ck_assert_uint_eq (heap_stats (md).blocks_live, LEAVERS * round);
      heap_end (md);
      ck_assert_uint_eq (file_state (), CLOSED);
    }
}
END_TEST

RUN_KINDS (2, one_waits_for_the_other, in_order, with_a_kill)
