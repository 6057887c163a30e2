/* copies.c - a copy of the file, a reboot, a stopped neighbour.

   The workers of shadow.h are stopped with SIGSTOP at moments that nobody has
   chosen, also while they hold locks, and the file is copied.  To the copy they
   are dead: it must open without waiting, be whole, and hold every block of the
   shadow as it was then.  Some copies are made to come from another boot.  The
   workers know nothing of all this and go on.

   Then one of them is stopped and stays so.  The others must go on, unless a
   thread of the stopped one holds a lock that they need: then they go on when
   it does.

   MMALLOC_KILL_COPIES=n      so many copies
   MMALLOC_TEST_SEED=n        the same choices; their interleaving differs  */

#include "shadow.h"

static char copy[PATH_MAX + 64];
static long n_locked, n_other_boot, n_blocked, n_free;

static void
copy_file (void)
{
  static char bytes[1 << 16];
  int from = open (heap_path, O_RDONLY | O_CLOEXEC);
  int to = open (copy, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
  struct stat st;
  NEED (from >= 0 && to >= 0 && fstat (from, &st) == 0);
  NEED (ftruncate (to, st.st_size) == 0);
  /* Huge blocks are mostly holes.  */
  off_t at = 0, end;
  while ((at = lseek (from, at, SEEK_DATA)) >= 0)
    {
      end = lseek (from, at, SEEK_HOLE);
      for (ssize_t n; at < end; at += n)
        {
          size_t want = end - at < (off_t) sizeof bytes
                        ? (size_t) (end - at) : sizeof bytes;
          n = pread (from, bytes, want, at);
          NEED (n > 0);
          NEED (pwrite (to, bytes, (size_t) n, at) == n);
        }
    }
  NEED (errno == ENXIO);
  close (from);
  close (to);
}

/* The copy was last used before the machine was started.  */
static void
other_boot (void)
{
  int fd = open (copy, O_RDWR | O_CLOEXEC);
  struct disk_super s;
  NEED (fd >= 0);
  for (off_t at = 0; at < 2 * MM_PAGE; at += MM_PAGE)
    {
      NEED (pread (fd, &s, sizeof s, at) == sizeof s);
      if (s.sum != super_sum (&s))
        continue;
      memset (s.boot_id, 0x5a, sizeof s.boot_id);
      s.sum = super_sum (&s);
      NEED (pwrite (fd, &s, sizeof s, at) == sizeof s);
    }
  close (fd);
}

static void
stop_worker (int w)
{
  int status;
  kill (shadow->pid[w], SIGSTOP);
  NEED (waitpid (shadow->pid[w], &status, WUNTRACED) == shadow->pid[w]);
  if (WIFSTOPPED (status))
    return;
  /* It has left of itself.  */
  worker_mourn (w);
  worker_start (w);
  stop_worker (w);
}

/* Which lock of the file process PID has; NULL: none.  */
static const char *
locks_held (pid_t pid)
{
  static union { char bytes[MM_OFF_ROOT]; uint64_t align; } head;
  int fd = open (heap_path, O_RDONLY | O_CLOEXEC);
  NEED (fd >= 0 && pread (fd, &head, sizeof head, 0) == sizeof head);
  close (fd);
  struct disk_locks *l = (void *) (head.bytes + MM_OFF_LOCKS);
  struct disk_proc *e = (void *) (head.bytes + MM_OFF_PROCS);
  for (int i = 0; i < MM_PROCS_FIRST; i++)
    if (e[i].pid == (uint64_t) pid && e[i].id >> 32 == l->epoch)
      {
        uint32_t number = (uint32_t) e[i].id;
        if (l->heap.word >> 1 == number)
          return "heap";
        if (l->grow.word >> 1 == number)
          return "grow";
      }
  return NULL;
}

/* All are stopped: copy, and look at the copy as if they were dead.  */
static void
try_copy (bool reboot)
{
  struct shadow *real = shadow;
  for (int w = 0; w < WORKERS; w++)
    stop_worker (w);
  copy_file ();
  for (int w = 0; w < WORKERS; w++)
    if (locks_held (shadow->pid[w]) != NULL)
      {
        n_locked++;
        break;
      }
  struct shadow *then = kill_shared (sizeof *then);
  memcpy (then, real, sizeof *then);
  for (int w = 0; w < WORKERS; w++)
    kill (shadow->pid[w], SIGCONT);
  if (reboot)
    {
      other_boot ();
      n_other_boot++;
    }
  shadow = then;
  wrong_first = &then->wrong;
  for (int w = 0; w < WORKERS; w++)
    worker_mourn (w);
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      alarm (kill_patience ());
      verify (copy, true);
    }
  int status = kill_wait (pid);
  if (WIFSIGNALED (status) && WTERMSIG (status) == SIGALRM)
    wrong ("opening the copy hangs");
  else if (status != 0)
    wrong ("verifying the copy ended with status 0x%x", status);
  shadow = real;
  wrong_first = &real->wrong;
  if (then->wrong.failed)
    wrong ("copy: %s", then->wrong.text);
  shadow->verified += then->verified - real->verified;
  munmap (then, sizeof *then);
}

static uint64_t goal[WORKERS][THREADS];

/* All threads but those of worker WITHOUT have done twenty operations.  */
static bool
others_advanced (uint64_t without)
{
  for (int w = 0; w < WORKERS; w++)
    for (int i = 0; i < THREADS - 1; i++)
      if (w != (int) without && shadow->note[w][i].n_ops < goal[w][i])
        {
          /* Started anew, or gone of itself.  */
          if (shadow->leaves[w])
            continue;
          return false;
        }
  return true;
}

static void
try_stopped (int stopped)
{
  stop_worker (stopped);
  /* Opening, closing and cutting the file are done behind a door: one at a
     time; others who open wait.  */
  bool at_door = false;
  for (int i = 0; i < THREADS; i++)
    {
      int op = shadow->note[stopped][i].op;
      at_door = at_door || op == OPEN || op == DETACH || op == TRIM;
    }
  const char *lock = locks_held (shadow->pid[stopped]);
  for (int w = 0; w < WORKERS; w++)
    for (int i = 0; i < THREADS; i++)
      goal[w][i] = shadow->note[w][i].n_ops + 20;
  if (lock != NULL || at_door)
    n_blocked++;
  else
    {
      n_free++;
      if (!wait_for (others_advanced, (uint64_t) stopped))
        wrong ("a stopped worker without a lock is in the way");
    }
  kill (shadow->pid[stopped], SIGCONT);
  if (!wait_for (others_advanced, (uint64_t) stopped))
    wrong ("the workers do not go on");
}

int
main (void)
{
  long copies = (long) setting ("MMALLOC_KILL_COPIES", 20), i;
  if (!kill_works ())
    return KILL_SKIPPED;
  uint64_t chance = shadow_begin (SLOTS / 2);
  double start = kill_seconds ();
  snprintf (copy, sizeof copy, "%s", kill_path ("copy"));
  for (i = 0; i < copies && !shadow->wrong.failed; i++)
    {
      if (!wait_for (ops_reach, all_ops () + random_next (&chance) % 2000))
        break;
      replace_leavers ();
      try_copy (random_next (&chance) % 4 == 0);
      if (!shadow->wrong.failed)
        try_stopped ((int) (random_next (&chance) % WORKERS));
    }
  unlink (copy);
  shadow_end ();
  printf ("%ld copies, %.1f s; %ld taken while a lock was held, %ld made to"
          " come from another boot; a stopped neighbour: %ld times the others"
          " went on at once, %ld times it held a lock or may have stood in the"
          " door\n",
          i, kill_seconds () - start, n_locked, n_other_boot, n_free,
          n_blocked);
  return closing_line (1, shadow->wrong.failed, 0);
}
