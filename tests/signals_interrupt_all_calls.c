/* Signals come thousands of times a second, and no system call is restarted:
   every call of the library goes on all the same, in several threads and
   processes.  A step of growth that was interrupted again and again is tried in
   shorter ones.  */

#include <sys/time.h>

#include "inside.h"

enum { THREADS = 2, ROUNDS = 60 };
static atomic_long n_signals;

static void
on_signal (int sig)
{
  int saved = errno;
  (void) sig;
  n_signals++;
  errno = saved;
}

/* To one thread or the other.  */
static void
signals_begin (void)
{
  struct sigaction act = { .sa_handler = on_signal };
  struct itimerval often = { { 0, 200 }, { 0, 200 } };
  ck_assert_int_eq (sigaction (SIGALRM, &act, NULL), 0);
  ck_assert_int_eq (setitimer (ITIMER_REAL, &often, NULL), 0);
}

static void
signals_end (void)
{
  struct itimerval never = { { 0, 0 }, { 0, 0 } };
  ck_assert_int_eq (setitimer (ITIMER_REAL, &never, NULL), 0);
}

static void *
work (void *number)
{
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  char name[20];
  snprintf (name, sizeof name, "%zu", (size_t) number);
  for (size_t i = 0; i < ROUNDS; i++)
    {
      size_t size = i % 10 == 0 ? MIB (20) : i % 3 == 0 ? MIB (1) : 50 * i + 1;
      char *block = mmalloc (md, size);
      must (block != NULL);
      block_fill (block, size < 5000 ? size : 5000, i);
      must (mmalloc_setroot (md, name, block) == 0);
      if (i % 20 == 5)
        must (mmalloc_sync (md) == 0);
      must (block_holds (block, size < 5000 ? size : 5000, i));
      must (mmalloc_getroot (md, name) == block);
      mfree (md, block);
      if (i % 10 == 1)
        must (mmalloc_trim (md) >= 0);
      if (i % 10 == 2)
        {
          must (mmalloc_open (temp_heap_path (), 0, NULL) == md);
          must (mmalloc_detach (md) == NULL);
        }
    }
  must (mmalloc_setroot (md, name, NULL) == 0);
  must (mmalloc_detach (md) == NULL);
  return NULL;
}

static void
visitor (void *number)
{
  pthread_t threads[THREADS];
  signals_begin ();
  for (size_t i = 0; i < THREADS; i++)
    threads[i] = thread_start (work, (char *) number + i);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (threads[i]);
  signals_end ();
  ck_assert_int_gt (n_signals, 0);
}

START_TEST (storm)
{
  struct child child[2];
  for (size_t i = 0; i < 2; i++)
    child[i] = child_start (visitor, (void *) (10 * i));
  for (size_t i = 0; i < 2; i++)
    ck_assert_int_eq (child_end (child[i]), 0);
  void *md = heap_file ();
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

static long n_interrupted;

/* As tmpfs was: a signal in between, and nothing is done.  */
static int
fallocate_in_a_hurry (int fd, int mode, off_t off, off_t len)
{
  if (len > (off_t) KIB (256))
    {
      must (n_interrupted++ < 1000);
      errno = EINTR;
      return -1;
    }
  return fallocate (fd, mode, off, len);
}

START_TEST (growth_ends)
{
  os.fallocate = fallocate_in_a_hurry;
  void *md = heap_file ();
  char *block = mmalloc (md, MIB (40));
  ck_assert_ptr_nonnull (block);
  ck_assert_int_gt (n_interrupted, 0);
  block_fill (block, MIB (40), 1);
  ck_assert_int_ge (file_disk (temp_heap_path ()), (off_t) MIB (40));
  os.fallocate = fallocate;
  heap_end (md);
}
END_TEST

RUN_TESTS (storm, growth_ends)
