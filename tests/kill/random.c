/* random.c - several processes work on one heap and are killed at any moment.

   A parent kills one of the workers of shadow.h with SIGKILL, or two, or all,
   at a moment that nobody has chosen, reads from their notes which blocks are
   in doubt now, and starts others in their places, while the rest goes on.

   Now and then all stop, and a process that only verifies opens the heap:
   mmalloc_check finds nothing; each block of the shadow is live, once, and
   holds what was written to it; blocks in doubt are live and whole, or gone;
   and of unknown blocks there are no more than threads were killed in a call
   that may leak one.

   Nobody may wait for ever.  If the counters stand still for too long, the
   parent says what each thread does and who holds which lock.

   MMALLOC_KILLS=n            so many kills
   MMALLOC_TEST_SEED=n        the same choices; their interleaving differs  */

#include "shadow.h"

int
main (void)
{
  long kills = (long) kill_setting ("MMALLOC_KILLS", 300), done = 0;
  if (!kill_works ())
    return kill_summary (0, 0, 0);
  shadow = kill_shared (sizeof *shadow);
  shadow->seed = kill_seed ();
  uint64_t chance = shadow->seed;
  kill_make_dir ();
  snprintf (path, sizeof path, "%s", kill_path ("heap"));
  pid_t maker = kill_fork ();
  int status;
  if (maker == 0)
    {
      void *md = kill_open (path, MMALLOC_CREATE, CAPACITY);
      NEED (mmalloc_detach (md) == NULL);
      _exit (0);
    }
  NEED (waitpid (maker, &status, 0) == maker && status == 0);

  double start = kill_seconds ();
  for (int w = 0; w < WORKERS; w++)
    worker_start (w);
  for (long round = 0; done < kills && !shadow->failed; round++)
    {
      /* A moment that nobody has chosen: some operations later and then
         somewhere in one of the next.  */
      if (!wait_for (ops_reach, all_ops () + kill_random (&chance) % 150))
        break;
      for (volatile uint64_t i = kill_random (&chance) % 20000; i > 0; i--)
        continue;
      replace_leavers ();
      uint64_t what = kill_random (&chance) % 64;
      int victims = what == 0 ? WORKERS : what < 8 ? 2 : 1;
      int first = (int) (kill_random (&chance) % WORKERS);
      for (int i = 0; i < victims; i++)
        kill (shadow->pid[(first + i) % WORKERS], SIGKILL);
      for (int i = 0; i < victims; i++)
        worker_wait ((first + i) % WORKERS, true);
      done += victims;
      if (victims < WORKERS)
        for (int i = 0; i < victims; i++)
          settle_roots ((first + i) % WORKERS);
      if (victims == WORKERS)
        quiet_point (false);
      for (int i = 0; i < victims; i++)
        worker_start ((first + i) % WORKERS);
      if (round % 16 == 15)
        {
          atomic_store (&shadow->stop, true);
          if (!wait_for (all_parked, 0))
            break;
          quiet_point (false);
          atomic_store (&shadow->stop, false);
        }
    }
  if (!shadow->failed)
    {
      for (int w = 0; w < WORKERS; w++)
        kill (shadow->pid[w], SIGKILL);
      for (int w = 0; w < WORKERS; w++)
        worker_wait (w, true);
      done += WORKERS;
      quiet_point (true);
    }
  for (int w = 0; w < WORKERS; w++)
    if (shadow->pid[w] > 0)
      {
        kill (shadow->pid[w], SIGKILL);
        waitpid (shadow->pid[w], NULL, 0);
      }
  if (shadow->failed)
    printf ("failed after %ld kills: %s\n", done, shadow->told);
  printf ("%ld kills, %.1f s; %" PRIu64 " operations; %zu blocks in doubt or"
          " leaked were found and freed, %zu of them leaked; blocks verified:"
          " %zu\n", done, kill_seconds () - start, all_ops (),
          shadow->undone + shadow->leaked, shadow->leaked, shadow->verified);
  if (shadow->failed && kill_setting ("MMALLOC_KILL_KEEP", 0) != 0)
    printf ("the heap is %s\n", path);
  else
    {
      unlink (path);
      rmdir (kill_dir);
    }
  return kill_summary (1, shadow->failed ? 1 : 0, 0);
}
