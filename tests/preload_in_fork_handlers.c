/* Fork handlers may allocate, whether they were registered early or late, and
   so may the child, while other threads allocate all the time.  */

#include "tests/preload_support.h"

#include <stdatomic.h>

enum { FORKS = 40, WORKERS = 3 };

static void *kept[2];
static int calls;

/* From a size that is rarely used, so that the way into the heap is taken.  */
static void
handle (int which)
{
  calls++;
  free (kept[which]);
  kept[which] = malloc (2000 + (size_t) calls % 50 * 700);
  if (kept[which] == NULL)
    abort ();
  memset (kept[which], calls, 2000);
}

static void early (void) { handle (0); }
static void late (void) { handle (1); }

static void
construct (void)
{
  pthread_atfork (early, early, early);
}

/* Before all constructors but that of the library; musl has no such list.  */
#ifdef __GLIBC__
__attribute__ ((section (".preinit_array"), used))
static void (*const construct_early) (void) = construct;
#else
__attribute__ ((constructor (101))) static void
construct_early (void)
{
  construct ();
}
#endif

static _Atomic int stop;

static void *
work (void *arg)
{
  uint64_t state = (uintptr_t) arg;
  void *block[64] = { NULL };
  while (!stop)
    {
      size_t i = random_below (&state, 64);
      free (block[i]);
      block[i] = malloc (1 + random_below (&state, 20000));
      must (block[i] != NULL);
    }
  for (size_t i = 0; i < 64; i++)
    free (block[i]);
  return NULL;
}

static void *
fork_often (void *arg)
{
  (void) arg;
  for (int n = 0; n < FORKS; n++)
    {
      pid_t pid = fork ();
      if (pid == 0)
        {
          /* In the child a thread, too.  */
          stop = 1;
          pthread_t thread;
          void *p = malloc (3000);
          if (p == NULL || pthread_create (&thread, NULL, work, p) != 0
              || pthread_join (thread, NULL) != 0)
            _exit (1);
          free (p);
          _exit (calls > 0 ? 0 : 2);
        }
      int status;
      must (pid > 0 && waitpid (pid, &status, 0) == pid && status == 0);
    }
  return NULL;
}

/* First the forking thread is one that has not used the heap, and there are no
   other handlers that would do it; then it is main.  */
START_TEST (handlers_allocate)
{
  pthread_t worker[WORKERS];
  for (uintptr_t i = 0; i < WORKERS; i++)
    worker[i] = thread_start (work, (void *) (i + 1));
  int before = calls;
  thread_run (fork_often, NULL);
  ck_assert_int_eq (calls - before, 2 * FORKS);
  ck_assert_int_eq (pthread_atfork (late, late, late), 0);
  fork_often (NULL);
  ck_assert_int_eq (calls - before, 6 * FORKS);
  stop = 1;
  for (int i = 0; i < WORKERS; i++)
    thread_end (worker[i]);
}
END_TEST

RUN_PRELOADED (handlers_allocate)
