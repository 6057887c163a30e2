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

   All that is done twice: with plain and slot calls, and with slot calls alone,
   when nothing may leak.

   MMALLOC_KILLS=n            so many kills of each kind
   MMALLOC_KILL_KEEP=1        keep the heap if something was wrong
   MMALLOC_TEST_SEED=n        the same choices; their interleaving differs  */

#include "shadow.h"

/* Kill one worker, or two, or all.  How many.  */
static int
kill_some (uint64_t *chance)
{
  uint64_t what = random_next (chance) % 64;
  int n = what == 0 ? WORKERS : what < 8 ? 2 : 1;
  int first = (int) (random_next (chance) % WORKERS);
  for (int i = 0; i < n; i++)
    kill (shadow->pid[(first + i) % WORKERS], SIGKILL);
  for (int i = 0; i < n; i++)
    worker_wait ((first + i) % WORKERS, true);
  if (n == WORKERS)
    quiet_point (false);
  else
    for (int i = 0; i < n; i++)
      settle ((first + i) % WORKERS);
  for (int i = 0; i < n; i++)
    worker_start ((first + i) % WORKERS);
  return n;
}

/* CELLS: as many slots of the table are for slot calls.  False if something was
   wrong.  */
static bool
try (long kills, int cells)
{
  long done = 0;
  double start = kill_seconds ();
  uint64_t chance = shadow_begin (cells);
  for (long round = 1; done < kills && !shadow->wrong.failed; round++)
    {
      /* A moment that nobody has chosen: some operations later and then
         somewhere in one of the next.  */
      if (!wait_for (ops_reach, all_ops () + random_next (&chance) % 150))
        break;
      for (volatile uint64_t i = random_next (&chance) % 20000; i > 0; i--)
        continue;
      replace_leavers ();
      done += kill_some (&chance);
      if (round % 16 == 0)
        {
          atomic_store (&shadow->stop, true);
          if (!wait_for (all_parked, 0))
            break;
          quiet_point (false);
          atomic_store (&shadow->stop, false);
        }
    }
  if (shadow->wrong.failed)
    printf ("failed after %ld kills\n", done);
  shadow_end ();
  printf ("%s: %ld kills, %.1f s; %" PRIu64 " operations; %zu slot calls were"
          " cut short; %zu blocks in doubt or leaked were found and freed, %zu"
          " of them leaked; blocks verified: %zu\n",
          cells < SLOTS ? "all calls" : "slot calls", done,
          kill_seconds () - start, all_ops (), shadow->all_cut,
          shadow->undone + shadow->leaked, shadow->leaked, shadow->verified);
  return !shadow->wrong.failed;
}

int
main (void)
{
  long kills = (long) setting ("MMALLOC_KILLS", 150);
  if (!kill_works ())
    return KILL_SKIPPED;
  int failures = !try (kills, SLOTS / 2);
  failures += !try (kills, SLOTS);
  return closing_line (2, failures, 0);
}
