/* mmalloc_users and mmalloc_info tell which processes have a heap open for
   writing, from whichever side they are asked, and wait for none of them.  */

#include <sched.h>

#include "inside.h"

#include <sys/prctl.h>

static struct mmalloc_user seen[MM_PROCS];
static int n_seen;

static int
see (const struct mmalloc_user *user, void *arg)
{
  (void) arg;
  must (n_seen < MM_PROCS);
  must (user->zero == 0 && block_is_zero (user->reserved, sizeof user->reserved));
  seen[n_seen++] = *user;
  return 0;
}

static int
count_users (void *md)
{
  int r;
  n_seen = 0;
  must_keep_errno (r = mmalloc_users (md, see, NULL));
  ck_assert_int_eq (r, 0);
  return n_seen;
}

/* The one with number PID, of those that were seen.  */
static const struct mmalloc_user *
user_of (pid_t pid)
{
  for (int i = 0; i < n_seen; i++)
    if (seen[i].pid == pid)
      return &seen[i];
  ck_abort_msg ("process %d is in no list of %d", (int) pid, n_seen);
}

static struct mmalloc_info
info_of (void *md)
{
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  return info;
}

static size_t
probed_users (const char *path)
{
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_probe (path, -1, &info), 0);
  ck_assert_uint_eq (info.mapped, 0);
  return info.users;
}

static void *
open_region (int flags)
{
  void *region = mmalloc_region_open (temp_path ("region"),
                                      MMALLOC_CREATE | flags, NULL, KIB (64),
                                      told_region, NULL);
  ck_assert_msg (region != NULL, "%s", mmalloc_strerror (NULL));
  return region;
}

/* Has the heap, or the region, until it gets the baton again.  */
static void
uses (void *region)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  void *md = region != NULL ? open_region (0) : heap_file ();
  baton_pass (baton);
  baton_wait (baton);
  if (region != NULL)
    must (mmalloc_region_close (md) == 0);
  else
    must (mmalloc_detach (md) == NULL);
}

static struct child
start_user (void *region)
{
  struct child child = child_start (uses, region);
  baton_wait (child.baton);
  return child;
}

static void
end_user (struct child child)
{
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}

/* Of the clock that the library asks: time is up to a tick behind it.  */
static time_t
seconds (void)
{
  struct timespec t;
  must (clock_gettime (CLOCK_REALTIME, &t) == 0);
  return t.tv_sec;
}

static void
is_user (pid_t pid, int alive, time_t since)
{
  const struct mmalloc_user *user = user_of (pid);
  ck_assert_int_eq (user->self, pid == getpid ());
  ck_assert_int_eq (user->alive, alive);
  ck_assert_int_eq (user->single_writer, 0);
  ck_assert_int_ge (user->since, since);
  ck_assert_int_le (user->since, seconds ());
  ck_assert_uint_ge (user->mapped, MM_RESERVE_MIN);
}

/* In one's own heap, and as one who does not write it.  */
START_TEST (those_who_write)
{
  static const int flags[] = { 0, MMALLOC_RDONLY, MMALLOC_ELSEWHERE };
  struct child child[3];
  time_t since = seconds ();
  for (int i = 0; i < 3; i++)
    child[i] = start_user (NULL);
  void *md = mmalloc_open (temp_heap_path (), flags[_i], NULL);
  int self = _i == 0;
  ck_assert_int_eq (count_users (md), 3 + self);
  for (int i = 0; i < 3; i++)
    is_user (child[i].pid, 1, since);
  if (self)
    is_user (getpid (), 1, since);
  ck_assert_uint_eq (info_of (md).users, 3u + (unsigned) self);
  ck_assert_uint_eq (probed_users (temp_heap_path ()), 3u + (unsigned) self);
  end_user (child[1]);
  ck_assert_int_eq (count_users (md), 2 + self);
  ck_assert_uint_eq (probed_users (temp_heap_path ()), 2u + (unsigned) self);

  /* One that is killed is in the list until somebody puts in order what it
     left.  */
  ck_assert_int_eq (kill (child[0].pid, SIGKILL), 0);
  child_end (child[0]);
  ck_assert_int_eq (count_users (md), 2 + self);
  is_user (child[0].pid, 0, since);
  is_user (child[2].pid, 1, since);
  ck_assert_uint_eq (info_of (md).users, 1u + (unsigned) self);
  ck_assert_uint_eq (probed_users (temp_heap_path ()), 1u + (unsigned) self);
  if (self)
    {
      ck_assert_int_ge (mmalloc_recover (md), 0);
      ck_assert_int_eq (count_users (md), 2);
      /* A heap of its own, but one process.  */
      void *more = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
      ck_assert_int_eq (count_users (more), 2);
      is_user (getpid (), 1, since);
      ck_assert_ptr_null (mmalloc_detach (more));
    }
  end_user (child[2]);
  ck_assert_ptr_null (mmalloc_detach (md));
  ck_assert_uint_eq (probed_users (temp_heap_path ()), 0);
}
END_TEST

/* Those who are not in the heap any more are in no list; but the last one was
   killed.  */
START_TEST (those_of_before)
{
  struct child child = start_user (NULL);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  child_end (child);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_int_eq (user_of (child.pid)->alive, 0);
  ck_assert_uint_eq (info_of (md).users, 0);
  ck_assert_ptr_null (mmalloc_detach (md));
  /* The next one had begun an epoch when it was killed, too.  */
  uint32_t epoch;
  const off_t at = MM_OFF_LOCKS + offsetof (struct disk_locks, epoch);
  int fd = open (temp_heap_path (), O_RDWR);
  must (pread (fd, &epoch, sizeof epoch, at) == sizeof epoch);
  epoch++;
  must (pwrite (fd, &epoch, sizeof epoch, at) == sizeof epoch);
  close (fd);
  md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_int_eq (count_users (md), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
  md = heap_file ();
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_int_eq (seen[0].self, 1);
  heap_end (md);
}
END_TEST

static int
stops_the_round (const struct mmalloc_user *user, void *arg)
{
  (void) user;
  return ++*(int *) arg == 2 ? 77 : 0;
}

/* FN may close what the round is about.  */
static int
closes (const struct mmalloc_user *user, void *md)
{
  (void) user;
  n_seen++;
  must (mmalloc_detach (md) == NULL);
  return 0;
}

START_TEST (the_round)
{
  int calls = 0;
  struct child child[2] = { start_user (NULL), start_user (NULL) };
  void *md = heap_file ();
  ck_assert_int_eq (mmalloc_users (md, stops_the_round, &calls), 77);
  ck_assert_int_eq (calls, 2);
  n_seen = 0;
  ck_assert_int_eq (mmalloc_users (md, closes, md), 0);
  ck_assert_int_eq (n_seen, 1);
  must_give (mmalloc_users (md, see, NULL), -1, EINVAL);
  ck_assert_int_eq (mmalloc_errno (NULL), EINVAL);
  end_user (child[0]);
  end_user (child[1]);
}
END_TEST

/* Memory is its process's, a copy is no user.  */
START_TEST (heaps_of_other_kinds)
{
  void *md = heap_new (ANONYMOUS);
  void *const heaps[] = { md, NULL };
  for (int i = 0; i < 2; i++)
    {
      ck_assert_int_eq (count_users (heaps[i]), 1);
      ck_assert_int_eq (seen[0].pid, getpid ());
      ck_assert_int_eq (seen[0].self && seen[0].alive, 1);
      ck_assert_uint_eq (info_of (heaps[i]).users, 1);
      ck_assert_uint_ge (info_of (heaps[i]).mapped, GIB (1));
    }
  heap_end (md);
  heap_end (heap_file ());
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_int_eq (count_users (md), 0);
  ck_assert_uint_eq (info_of (md).users, 0);
  heap_end (md);
}
END_TEST

/* How much of the reservation is mapped.  */
START_TEST (what_is_mapped)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.reserve = MIB (64);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  ck_assert_uint_eq (info_of (md).mapped, MIB (64));
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_uint_eq (seen[0].mapped, MIB (64));
  /* Another heap takes a part.  */
  opt.base = (char *) md + MIB (32);
  void *other = mmalloc_open (temp_path ("other"), MMALLOC_CREATE, &opt);
  ck_assert_ptr_eq (other, opt.base);
  ck_assert_uint_eq (info_of (md).mapped, MIB (32));
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_uint_eq (seen[0].mapped, MIB (32));
  heap_end (other);
  heap_end (md);
}
END_TEST

START_TEST (of_a_region)
{
  void *region = open_region (0);
  struct child child[2] = { start_user (region), start_user (region) };
  ck_assert_int_eq (count_users (region), 3);
  ck_assert_int_eq (user_of (getpid ())->self, 1);
  ck_assert_uint_eq (user_of (getpid ())->mapped, KIB (64));
  for (int i = 0; i < 2; i++)
    {
      const struct mmalloc_user *user = user_of (child[i].pid);
      ck_assert_int_eq (user->alive && !user->self, 1);
      ck_assert_int_eq (user->single_writer, 0);
    }
  struct mmalloc_info info = info_of (region);
  ck_assert_uint_eq (info.users, 3);
  ck_assert_uint_eq (info.mapped, KIB (64));
  ck_assert_uint_eq (probed_users (temp_path ("region")), 3);
  ck_assert_int_eq (kill (child[0].pid, SIGKILL), 0);
  child_end (child[0]);
  ck_assert_int_eq (count_users (region), 2);
  end_user (child[1]);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  region = open_region (MMALLOC_SINGLE_WRITER);
  ck_assert_int_eq (count_users (region), 1);
  ck_assert_int_eq (seen[0].single_writer, 1);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  must_give (mmalloc_users (region, see, NULL), -1, EINVAL);
}
END_TEST

/* A fork child asks, and is no user by that; then it is one.  */
static void
child_asks (void *md)
{
  pid_t parent = getppid ();
  for (int joined = 0; joined < 2; joined++)
    {
      must (count_users (md) == 1 + joined);
      must (!user_of (parent)->self && user_of (parent)->alive);
      must (user_of (parent)->single_writer == 0);
      must (info_of (md).users == 1u + (unsigned) joined);
      must (mmalloc (md, 100) != NULL);
    }
  must (user_of (getpid ())->self);
}

START_TEST (of_a_fork_child)
{
  void *md = heap_file ();
  ck_assert_int_eq (child_run (child_asks, md), 0);
  heap_end (md);
  md = mmalloc_open (temp_heap_path (), MMALLOC_SINGLE_WRITER, NULL);
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_int_eq (seen[0].single_writer, 1);
  heap_end (md);
}
END_TEST

/* Its descriptors are closed, or it is of another PID namespace: it is there all
   the same.  */
static void
closes_all (void *unused)
{
  (void) unused;
  struct heap *h = heap_of (heap_file ());
  lose_all (&h->file);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (without_descriptors)
{
  heap_end (heap_file ());
  struct child child = child_start (closes_all, NULL);
  baton_wait (child.baton);
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_int_eq (user_of (child.pid)->alive, 1);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  child_end (child);
  ck_assert_int_eq (count_users (md), 1);
  ck_assert_int_eq (user_of (child.pid)->alive, 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

START_TEST (of_another_namespace)
{
  if (UNDER_ASAN)
    return;
  void *region = open_region (0);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  heap_end (heap_file ());
  if (unshare (CLONE_NEWPID) != 0)
    {
      skip ("no right to make a PID namespace");
      return;
    }
  struct child child = start_user (_i == 0 ? NULL : region);
  const char *path = _i == 0 ? temp_heap_path () : temp_path ("region");
  ck_assert_uint_eq (probed_users (path), 1);
  if (_i == 0)
    {
      void *md = heap_file ();
      ck_assert_int_eq (count_users (md), 2);
      ck_assert_int_eq (user_of (0)->alive && !user_of (0)->self, 1);
      ck_assert_int_eq (user_of (getpid ())->self, 1);
      heap_end (md);
    }
  end_user (child);
}
END_TEST

/* Neither one who is stopped in growth, or behind the door, is waited for.  */
static void
stops (void *at_the_door)
{
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  baton_wait (baton);
  if (at_the_door != NULL)
    {
      at_door = stop_here;
      os.fcntl = door_fcntl;
    }
  void *md = heap_file ();
  os.fallocate = stopping_fallocate;
  mmalloc (md, MIB (20));
}

START_TEST (stopped_neighbours)
{
  static const int flags[] = { 0, MMALLOC_RDONLY, MMALLOC_ELSEWHERE };
  struct child grows = child_start (stops, NULL);
  struct child comes = child_start (stops, &seen);
  heap_end (heap_file ());
  void *md = mmalloc_open (temp_heap_path (), flags[_i], NULL);
  until_stopped (grows);
  until_stopped (comes);
  ck_assert_int_eq (count_users (md), 1 + (_i == 0));
  ck_assert_int_eq (user_of (grows.pid)->alive, 1);
  ck_assert_uint_eq (info_of (md).users, 1u + (_i == 0));
  ck_assert_uint_eq (probed_users (temp_heap_path ()), 1u + (_i == 0));
  kill (grows.pid, SIGKILL);
  kill (comes.pid, SIGKILL);
  child_end (grows);
  child_end (comes);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* Anything may stand in the list of a damaged file.  */
START_TEST (garbage)
{
  static struct disk_proc entries[MM_PROCS_FIRST];
  static const uint32_t all = UINT32_MAX;
  static const uint64_t words[] = { 0, 1, UINT64_MAX, INT_MAX, 1ull << 63 };
  uint64_t chance = random_seed () + (uint64_t) _i;
  struct child child = start_user (NULL);
  kill (child.pid, SIGKILL);
  child_end (child);
  for (int round = 0; round < 20; round++)
    {
      int fd = open (temp_heap_path (), O_RDWR);
      uint32_t epoch;
      ck_assert_int_eq (pread (fd, &epoch, 4,
                               MM_OFF_LOCKS
                                 + offsetof (struct disk_locks, epoch)), 4);
      uint64_t *word = (uint64_t *) (void *) entries;
      for (size_t i = 0; i < sizeof entries / 8; i++)
        {
          uint64_t r = random_next (&chance);
          word[i] = r % 4 == 0 ? words[r / 4 % 5]
                    : r % 4 == 1 ? (uint64_t) epoch << 32 | r >> 40
                    : r % 4 == 2 ? r % 100000 : r;
          if (i % 8 == 0 && r % 4 != 0)
            word[i] = (uint64_t) epoch << 32 | (r >> 40) | 1;
          if (i % 8 == 5 && r % 2 == 0)
            word[i] = pid_namespace ();
        }
      ck_assert_int_eq (pwrite (fd, entries, sizeof entries, MM_OFF_PROCS),
                        sizeof entries);
      ck_assert_int_eq (pwrite (fd, &all, sizeof all,
                                MM_OFF_LOCKS
                                  + offsetof (struct disk_locks, procs_used)),
                        sizeof all);
      close (fd);
      void *md = mmalloc_open (temp_heap_path (),
                               _i == 0 ? MMALLOC_RDONLY : MMALLOC_ELSEWHERE,
                               NULL);
      ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
      ck_assert_int_ge (count_users (md), MM_PROCS_FIRST / 3);
      for (int i = 0; i < n_seen; i++)
        must (seen[i].pid >= 0 && seen[i].pid <= INT_MAX && !seen[i].self);
      ck_assert_uint_le (info_of (md).users, MM_PROCS);
      ck_assert_uint_eq (probed_users (temp_heap_path ()), 0);
      ck_assert_ptr_null (mmalloc_detach (md));
    }
}
END_TEST

RUN_KINDS (3, those_who_write, those_of_before, the_round, heaps_of_other_kinds,
           what_is_mapped, of_a_region, of_a_fork_child, without_descriptors,
           of_another_namespace, stopped_neighbours, garbage)
