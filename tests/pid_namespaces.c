/* Processes of several PID namespaces share a heap or a map file as those of one
   do, and go on when one is killed.  */

#include <sched.h>

#include "support.h"

#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/wait.h>

#include "chance.h"
#include "mounts.h"

static void *md;

/* The leak checker wants threads of its own, which such a process cannot
   have.  */
static int
leaks_are_looked_for (void)
{
  if (UNDER_ASAN)
    skip ("AddressSanitizer does not know of PID namespaces");
  return UNDER_ASAN;
}

/* Whether the next child is the first process of a PID namespace.  */
static int
unshared (void)
{
  int allowed = unshare (CLONE_NEWPID) == 0;
  if (!allowed)
    skip ("no right to make a PID namespace");
  return allowed;
}

static void
stranger (void *unused)
{
  (void) unused;
  md = heap_file ();
  char *block = mmalloc_getroot (md, "block");
  must (block_holds (block, 1000, 1));
  block_fill (block, 1000, 2);
  void *mine = mmalloc (md, MIB (5));
  must (mine != NULL && mmalloc_setroot (md, "mine", mine) == 0);
  baton_pass (baton);
  baton_wait (baton);
  must (mmalloc (md, MIB (5)) != NULL);
  heap_is_whole (md);
  heap_end (md);
}

START_TEST (together)
{
  if (leaks_are_looked_for ())
    return;
  md = heap_file ();
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
  if (_i == 1)
    heap_end (md);
  if (!unshared ())
    return;
  struct child child = child_start (stranger, NULL);
  baton_wait (child.baton);
  if (_i == 1)
    md = heap_file ();
  ck_assert (block_holds (block, 1000, 2));
  char *mine = mmalloc_getroot (md, "mine");
  ck_assert_ptr_nonnull (mine);
  mine[MIB (5) - 1] = 1;
  mfree (md, mine);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (20)));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 3);
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

/* A fork child there goes on with its parent's heap.  */
static void
forked_into (void *block)
{
  must (block_holds (block, 1000, 1));
  must (mmalloc (md, 100) != NULL);
  mfree (md, block);
}

START_TEST (fork_into_another)
{
  if (leaks_are_looked_for () || _i > 0)
    return;
  md = heap_file ();
  char *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  if (unshared ())
    {
      ck_assert_int_eq (child_run (forked_into, block), 0);
      ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
      heap_is_whole (md);
    }
  heap_end (md);
}
END_TEST

/* Processes of two other namespaces and this one work, and one after the other
   of those is killed, wherever it is.  */
enum { OTHERS = 2, SLOTS = 40 };

static struct shared
{
  atomic_int pid[OTHERS];      /* as seen from here */
  atomic_long done[OTHERS];    /* how much each has worked */
} *the;

/* Blocks of all kinds, each with its size and who it is for in front.  */
static void
work (int who, uint64_t *chance)
{
  static const size_t size[] = { 24, 500, 3000, 20000, 100000, MIB (1) };
  char name[20];
  snprintf (name, sizeof name, "%d %d", who,
            (int) (random_next (chance) % SLOTS));
  size_t n = size[random_next (chance) % 6];
  struct { size_t size, who; } *old = mmalloc_getroot (md, name), *p;
  if (old != NULL)
    must (old->who == (size_t) who
          && block_holds ((char *) old + sizeof *old,
                          old->size - sizeof *old, old->size));
  p = mmalloc (md, n);
  must (p != NULL);
  p->size = n;
  p->who = (size_t) who;
  block_fill ((char *) p + sizeof *p, n - sizeof *p, n);
  must (mmalloc_setroot (md, name, p) == 0);
  mfree (md, old);
  if (random_next (chance) % 50 == 0)
    mmalloc_trim (md);
}

static void
works_elsewhere (int who)
{
  uint64_t chance = 0;
  prctl (PR_SET_PDEATHSIG, SIGKILL);
  chance = (uint64_t) atomic_load (&the->done[who]) * 77 + (uint64_t) who;
  md = heap_file ();
  for (;; atomic_fetch_add (&the->done[who], 1))
    work (who, &chance);
}

/* Its child is the one that works, and its end is this one's.  */
static void
goes_elsewhere (void *who)
{
  int i = (int) (size_t) who, status;
  must (unshare (CLONE_NEWPID) == 0);
  pid_t pid = fork ();
  must (pid >= 0);
  if (pid == 0)
    works_elsewhere (i);
  atomic_store (&the->pid[i], pid);
  must (waitpid (pid, &status, 0) == pid);
  _exit (WIFSIGNALED (status) ? 128 + WTERMSIG (status) : 1);
}

/* In two halves: Check counts the time of one test up to 35 minutes only.  */
START_TEST (killed)
{
  const char *many = getenv ("MMALLOC_TEST_KILLS");
  int kills = (many != NULL ? atoi (many) : 100) / 2;
  struct child child[OTHERS];
  if (leaks_are_looked_for ())
    return;
  uint64_t chance = random_seed ();
  /* Only to ask whether it is allowed.  */
  pid_t pid = fork ();
  if (pid == 0)
    _exit (unshare (CLONE_NEWPID) != 0);
  int status;
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  if (status != 0)
    {
      skip ("no right to make a PID namespace");
      return;
    }
  the = mmap (NULL, sizeof *the, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (the, MAP_FAILED);
  heap_end (heap_file ());
  for (int i = 0; i < OTHERS; i++)
    child[i] = child_start (goes_elsewhere, (void *) (size_t) i);
  md = heap_file ();
  for (int n = 0; n < kills; n++)
    {
      int i = (int) (random_next (&chance) % OTHERS);
      long until = atomic_load (&the->done[i]) + 1
                   + (long) (random_next (&chance) % 20);
      while (atomic_load (&the->done[i]) < until)
        work (OTHERS, &chance);
      pid = atomic_exchange (&the->pid[i], 0);
      ck_assert_int_eq (kill (pid, SIGKILL), 0);
      ck_assert_int_eq (child_end (child[i]), 128 + SIGKILL);
      if (n % 10 == 0)
        heap_is_whole (md);
      child[i] = child_start (goes_elsewhere, (void *) (size_t) i);
      while (atomic_load (&the->pid[i]) == 0)
        work (OTHERS, &chance);
    }
  for (int i = 0; i < OTHERS; i++)
    {
      ck_assert_int_eq (kill (the->pid[i], SIGKILL), 0);
      ck_assert_int_eq (child_end (child[i]), 128 + SIGKILL);
    }
  heap_is_whole (md);
  heap_end (md);
  md = heap_file ();
  heap_is_whole (md);
  heap_end (md);
  printf ("%d kills between three PID namespaces\n", kills);
}
END_TEST

/* A program that has closed the library's descriptors lives all the same, and
   when it has ended it does not, though neither can be asked about its number.
   */
enum { BLOCKS = 5000 };

static size_t
users (void)
{
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  return info.users;
}

static void
closes_all (void *unused)
{
  static char *mine[BLOCKS];
  (void) unused;
  md = heap_file ();
  must (mmalloc (md, 100) != NULL);
  for (int fd = 3; fd < 1000; fd++)
    if (fd != baton)
      close (fd);
  baton_pass (baton);
  baton_wait (baton);
  for (size_t i = 0; i < BLOCKS; i++)
    if ((mine[i] = mmalloc (md, 100)) != NULL)
      block_fill (mine[i], 100, i);
  must (mine[0] != NULL);
  baton_pass (baton);
  baton_wait (baton);
  for (size_t i = 0; i < BLOCKS; i++)
    must (mine[i] == NULL || block_holds (mine[i], 100, i));
  _exit (0);
}

START_TEST (closed)
{
  if (overlay_is_here () || leaks_are_looked_for () || !unshared ())
    return;
  struct child child = child_start (closes_all, NULL);
  baton_wait (child.baton);
  for (int i = 0; i < 3; i++)
    {
      md = heap_file ();
      ck_assert_uint_eq (users (), 2);
      for (int n = 0; n < BLOCKS; n++)
        block_fill (mmalloc (md, 100), 100, 1);
      heap_is_whole (md);
      if (i == 1)
        {
          baton_pass (child.baton);
          baton_wait (child.baton);
        }
      if (i < 2)
        heap_end (md);
    }
  if (_i == 1)
    ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  else
    baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), _i == 1 ? 128 + SIGKILL : 0);
  ck_assert_uint_eq (users (), 1);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (10)));
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

/* By the merged directory of an overlay and by the upper layer a file has two
   sets of locks: then nothing is seen of each other.  */
static void
lives_in_overlay (void *unused)
{
  (void) unused;
  md = heap_file ();
  must (mmalloc_setroot (md, "block", mmalloc (md, 100)) == 0);
  baton_pass (baton);
  baton_wait (baton);
  heap_end (md);
}

static void
is_refused (int flags, int err, const char *told)
{
  must_fail (NULL, mmalloc_open (temp_heap_path (), flags, NULL), err);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), told));
}

START_TEST (other_layer)
{
  if (leaks_are_looked_for () || !overlay_enter () || !unshared ())
    return;
  struct child child = child_start (lives_in_overlay, NULL);
  baton_wait (child.baton);
  overlay_by ("upper");
  is_refused (0, ENOTSUP, "overlayfs");
  is_refused (MMALLOC_PRIVATE, EBUSY, "for writing");
  overlay_by (_i == 0 ? "merged" : "upper");
  if (_i == 0)
    heap_end (heap_file ());
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc_getroot (md, "block"));
  heap_end (md);
}
END_TEST

/* What was left by a kill is for those who come by the same path; then it is
   anybody's.  A copy is so at once.  */
START_TEST (left_in_other_layer)
{
  if (leaks_are_looked_for () || _i > 0 || !overlay_enter () || !unshared ())
    return;
  struct child child = child_start (lives_in_overlay, NULL);
  baton_wait (child.baton);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  overlay_by ("upper");
  is_refused (0, ENOTSUP, "left by a kill");
  void *copy = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_ptr_nonnull (copy);
  ck_assert_ptr_nonnull (mmalloc_getroot (copy, "block"));
  heap_end (copy);
  int fd = open (temp_heap_path (), O_RDONLY);
  int other = open (temp_path ("copy"), O_RDWR | O_CREAT, 0666);
  while (sendfile (other, fd, NULL, MIB (1)) > 0)
    continue;
  close (fd);
  copy = mmalloc_attach (other, NULL);
  ck_assert_ptr_nonnull (copy);
  heap_is_whole (copy);
  heap_end (copy);
  close (other);
  overlay_by ("merged");
  md = heap_file ();
  heap_is_whole (md);
  heap_end (md);
  overlay_by ("upper");
  md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc_getroot (md, "block"));
  heap_end (md);
}
END_TEST

/* A map file is no different.  */
static void *
open_region (void)
{
  return mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE, NULL,
                              KIB (64), told_region, NULL);
}

static void
stranger_to_region (void *unused)
{
  (void) unused;
  baton_wait (baton);
  ck_assert_ptr_nonnull (open_region ());
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  baton_pass (baton);
  baton_wait (baton);
}

START_TEST (regions)
{
  if (leaks_are_looked_for () || _i > 0 || !unshared ())
    return;
  struct child child = child_start (stranger_to_region, NULL);
  void *region = open_region ();
  ck_assert_ptr_nonnull (region);
  baton_pass (child.baton);
  baton_wait (child.baton);
  /* Its user is seen from here, too.  */
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (open_region (), region);
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_ptr_nonnull (open_region ());
  ck_assert_int_eq (region_told, MMALLOC_REGION_FIRST);
}
END_TEST

RUN_KINDS (2, together, fork_into_another, killed, closed, other_layer,
           left_in_other_layer, regions)
