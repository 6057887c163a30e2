/* The cache of examples/cache is killed after each number of instructions of a
   put.  The key has its old value or its new one, the neighbour goes on, and no
   block is lost.

   MMALLOC_KILL_REAL: about how many kills each kind of put gets; 0: one at each
   instruction.  */

#include "support.h"

#include <sched.h>
#include <sys/ptrace.h>

#include "chance.h"

#define main cache_main
#include "examples/cache.c"
#undef main

static const char *
value_of (const char *key)
{
  const struct entry *e = *find (bucket_of (key), key);
  return e != NULL ? e->text + strlen (key) + 1 : "";
}

/* No block but those that are found; after what the dead have left was put
   right.  */
static void
nothing_is_lost (void)
{
  size_t n = 0;
  for (struct bucket *b = buckets; b < buckets + N_BUCKETS; b++)
    {
      begin (b);
      end (b);
      for (const struct entry *e = b->first; e != NULL; e = e->next)
        n++;
    }
  ck_assert_uint_eq (heap_stats (md).blocks_live, n + 1);
  heap_is_whole (md);
}

/* Its locks are its own, as in another program.  */
static void
victim (const char *key)
{
  if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) != 0)
    _exit (98);
  open_cache (temp_heap_path ());
  put ("warm", "1");
  raise (SIGSTOP);
  put (key, "new");
  raise (SIGSTOP);
  _exit (0);
}

/* Kill one that puts KEY after STEPS instructions.  How many it has made, fewer
   if it was through; -1: it cannot be stepped here.  */
static long
kill_after (const char *key, long steps)
{
  int status;
  long n = 0;
  fflush (NULL);
  pid_t pid = fork ();
  ck_assert_int_ge (pid, 0);
  if (pid == 0)
    victim (key);
  must (waitpid (pid, &status, 0) == pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 98)
    return -1;
  must (WIFSTOPPED (status) && WSTOPSIG (status) == SIGSTOP);
  for (; n < steps; n++)
    {
      must (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
      must (waitpid (pid, &status, 0) == pid && WIFSTOPPED (status));
      if (WSTOPSIG (status) != SIGTRAP)
        break;
    }
  kill (pid, SIGKILL);
  must (waitpid (pid, &status, 0) == pid && WIFSIGNALED (status));
  return n;
}

/* Parent and child take turns: on one processor that is quicker.  */
static void
on_one_processor (void)
{
  cpu_set_t one;
  CPU_ZERO (&one);
  CPU_SET ((size_t) sched_getcpu (), &one);
  sched_setaffinity (0, sizeof one, &one);
}

/* What is put, and what else is in its bucket: the example's hash does not tell
   "ab" from "bA".  */
static const struct
{
  const char *other, *key;
  int is_there;
} kinds[] = { { "x", "new", 0 }, { "x", "ab", 1 }, { "ab", "bA", 1 } };

START_TEST (killed_anywhere)
{
  char key[20];
  long kills = (long) setting ("MMALLOC_KILL_REAL", 50), all, n = 0;
  uint64_t chance = random_seed ();
  const char *emulator = getenv ("EMULATOR");
  if (under_a_tool () || (emulator != NULL && *emulator != '\0'))
    {
      skip ("processes are not killed in this build");
      return;
    }
  on_one_processor ();
  open_cache (temp_heap_path ());
  put (kinds[_i].other, "stays");
  snprintf (key, sizeof key, "%s", kinds[_i].key);
  put (key, "old");
  all = kill_after (key, LONG_MAX);
  if (all < 0)
    {
      skip ("processes cannot be stepped here");
      return;
    }
  ck_assert_str_eq (value_of (key), "new");
  long stride = kills == 0 || all < kills ? 1 : all / kills;
  for (long at = (long) (random_next (&chance) % (uint64_t) stride); at <= all;
       at += stride, n++)
    {
      const char *old = "";
      if (!kinds[_i].is_there)
        snprintf (key, sizeof key, "%s%ld", kinds[_i].key, at);
      else
        put (key, old = "old");
      kill_after (key, at);
      const char *value = value_of (key);
      ck_assert_msg (strcmp (value, old) == 0 || strcmp (value, "new") == 0,
                     "after %ld instructions the value is '%s'", at, value);
      ck_assert_str_eq (value_of (kinds[_i].other), "stays");
      put (key, "next");
      ck_assert_str_eq (value_of (key), "next");
      nothing_is_lost ();
    }
  printf ("%ld kills in %ld instructions\n", n, all);
  heap_end (md);
}
END_TEST

RUN_KINDS (3, killed_anywhere)
