/* A process is killed after each number of instructions within a call: after
   every one in the usual paths, after one in so many in the long ones.  What is
   left is whole, others go on at once, and no more than the block under way
   is lost.

   MMALLOC_KILL_REAL: how many kills the long paths get, times about ten.  */

#include <stdatomic.h>
#include <sys/ptrace.h>

#include "qalloc_support.h"

static struct shared
{
  void *_Atomic block;         /* what the victim's call is about */
  void *map;
} *shared;

static int kind;
static void *kept[600];
static size_t n_kept;

enum { DOES_NOT_END = -1 };

/* Run FN in a child up to where it stops itself, then STEPS instructions
   further, and kill it.  Whether it was still going.  FN's end is another
   stop.  */
static int
kill_after (void (*fn) (void), long steps)
{
  int status;
  fflush (NULL);
  pid_t pid = fork ();
  ck_assert_int_ge (pid, 0);
  if (pid == 0)
    {
      if (ptrace (PTRACE_TRACEME, 0, NULL, NULL) != 0)
        _exit (98);
      fn ();
      raise (SIGSTOP);
      _exit (0);
    }
  must (waitpid (pid, &status, 0) == pid);
  if (WIFEXITED (status) && WEXITSTATUS (status) == 98)
    return DOES_NOT_END;
  must (WIFSTOPPED (status) && WSTOPSIG (status) == SIGSTOP);
  int going = 1;
  for (long i = 0; i < steps && going; i++)
    {
      must (ptrace (PTRACE_SINGLESTEP, pid, NULL, NULL) == 0);
      must (waitpid (pid, &status, 0) == pid);
      must (!WIFSIGNALED (status));
      going = WIFSTOPPED (status) && WSTOPSIG (status) == SIGTRAP;
    }
  if (!WIFEXITED (status))
    {
      kill (pid, SIGKILL);
      waitpid (pid, &status, 0);
    }
  return going;
}

static int
find_stranger (void *block, size_t size, void *arg)
{
  (void) size;
  for (size_t i = 0; i < n_kept; i++)
    if (kept[i] == block)
      return 0;
  *(void **) arg = block;
  return 1;
}

/* After a kill.  */
static void
look (void *map, size_t size)
{
  void *stranger = NULL;
  map_is_whole (map);
  qalloc_walk (map, find_stranger, &stranger);
  size_t live = map_stats (map).blocks_live;
  ck_assert_uint_eq (live, n_kept + (stranger != NULL));
  for (size_t i = 0; i < n_kept; i++)
    must (block_holds (kept[i], 32, i));
  /* Others get what there is.  */
  void *other[3];
  size_t n = map_fill (map, size, other, 3);
  for (size_t i = 0; i < n; i++)
    {
      for (size_t j = 0; j < n_kept; j++)
        must (other[i] != kept[j]);
      must (other[i] != stranger);
      memset (other[i], -1, size);
    }
  must (n + (stranger != NULL) >= 1);
  for (size_t i = 0; i < n; i++)
    qalloc_free (other[i], map);
  qalloc_free (stranger, map);
  ck_assert_uint_eq (map_stats (map).blocks_live, n_kept);
}

/* The calls, from the stop on.  */
static size_t the_size;

static void
does_malloc (void)
{
  qalloc_free (qalloc_malloc (shared->map, the_size), shared->map);
  raise (SIGSTOP);
  shared->block = qalloc_malloc (shared->map, the_size);
}

static void
does_free (void)
{
  void *p = qalloc_malloc (shared->map, the_size);
  qalloc_free (qalloc_malloc (shared->map, 32), shared->map);
  raise (SIGSTOP);
  qalloc_free (p, shared->map);
}

/* The first call of a process after the fork.  */
static void
does_first_malloc (void)
{
  raise (SIGSTOP);
  shared->block = qalloc_malloc (shared->map, the_size);
}

static void
does_load (void)
{
  qalloc_cleanup ();
  raise (SIGSTOP);
  void *map = qalloc_loadmap (map_path (kind));
  qalloc_close (map);
}

static void
does_make (void)
{
  raise (SIGSTOP);
  map_make (kind, kind == STATIC_MAP ? 20000 : (off_t) KIB (512) + 10, 64, 2);
}

/* Kill within FN after every number of instructions up to EACH, then after
   one in so many that there are about N.  */
static void
kill_all_through (void (*fn) (void), long each, void (*after) (void))
{
  long n = (long) setting ("MMALLOC_KILL_REAL", 4);
  long stride = 1, steps = 0, kills = 0;
  if (UNDER_SANITIZER || under_valgrind ())
    {
      skip ("the tool makes too many instructions of one");
      return;
    }
  for (int going = 1; going > 0; steps += stride)
    {
      going = kill_after (fn, steps);
      if (going == DOES_NOT_END)
        {
          skip ("no right to trace");
          return;
        }
      after ();
      if (++kills >= each)
        stride = 1 + steps / n;
    }
  printf ("%ld kills, the last after %ld instructions\n", kills, steps);
}

static void
after_call (void)
{
  look (shared->map, the_size);
}

/* A map with things in it; NEARLY_FULL: but for one block of this size.  */
static void
begin (int which, size_t size, int nearly_full)
{
  kind = which;
  the_size = size;
  if (shared == NULL)
    shared = mmap (NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  shared->map = map_make (kind, kind == STATIC_MAP ? 20000 : MIB (1), 64, 2);
  n_kept = map_fill (shared->map, 64, kept, nearly_full ? 600 : 100);
  if (nearly_full)
    qalloc_free (kept[--n_kept], shared->map);
  for (size_t i = 0; i < n_kept; i++)
    block_fill (kept[i], 32, i);
}

static void
end (void)
{
  map_end (shared->map);
  ck_assert_int_eq (unlink (map_path (kind)), 0);
}

START_TEST (within_malloc_and_free)
{
  static const size_t sizes[] = { 64, 100000 };
  for (int i = 0; i < (_i == STATIC_MAP ? 1 : 2); i++)
    {
      begin (_i, sizes[i], 0);
      kill_all_through (does_malloc, 100, after_call);
      kill_all_through (does_free, 100, after_call);
      end ();
    }
}
END_TEST

START_TEST (within_a_search)
{
  if (_i != STATIC_MAP)
    return;
  begin (STATIC_MAP, 64, 1);
  kill_all_through (does_malloc, 150, after_call);
  kill_all_through (does_free, 100, after_call);
  end ();
}
END_TEST

START_TEST (within_the_first_call)
{
  begin (_i, 64, 0);
  kill_all_through (does_first_malloc, 10, after_call);
  end ();
}
END_TEST

START_TEST (within_loading)
{
  begin (_i, 64, 0);
  kill_all_through (does_load, 10, after_call);
  end ();
}
END_TEST

/* Loading, nobody else having the map: locks are made anew.  */
static void
after_load_alone (void)
{
  shared->map = map_is_there (qalloc_loadmap (map_path (kind)));
  look (shared->map, the_size);
  map_end (shared->map);
}

START_TEST (within_loading_alone)
{
  begin (_i, 64, 0);
  map_end (shared->map);
  kill_all_through (does_load, 10, after_load_alone);
  ck_assert_int_eq (unlink (map_path (kind)), 0);
}
END_TEST

/* A map whose making was cut short is made by the next one.  */
static void
after_make (void)
{
  void *map = map_make (kind, kind == STATIC_MAP ? 20000
                              : (off_t) KIB (512) + 10, 64, 2);
  void *block = qalloc_malloc (map, 64);
  ck_assert_ptr_nonnull (block);
  ck_assert_uint_eq (map_stats (map).blocks_live, 1);
  ck_assert_int_eq (file_length (map_path (kind)),
                    kind == STATIC_MAP ? 20000 : (off_t) KIB (512) + 10);
  map_end (map);
  ck_assert_int_eq (unlink (map_path (kind)), 0);
}

START_TEST (within_making)
{
  kind = _i;
  kill_all_through (does_make, 10, after_make);
}
END_TEST

RUN_ON_EACH_MAP (within_malloc_and_free, within_a_search,
                 within_the_first_call, within_loading, within_loading_alone,
                 within_making)
