/* What a thread keeps of its last error: the words in memory of its own, which
   goes back when it ends, and the number in any case, so also when there is no
   memory for words, and after the library took leave of the thread.  */

#include "inside.h"

enum { THREADS = 300 };

static long
mappings (void)
{
  FILE *f = fopen ("/proc/self/maps", "r");
  ck_assert_ptr_nonnull (f);
  long n = 0;
  for (int c; (c = getc (f)) != EOF;)
    n += c == '\n';
  fclose (f);
  return n;
}

static void
refused (const char *words)
{
  must_fail (NULL, mmalloc_open (temp_path ("missing"), 0, NULL), ENOENT);
  must (strstr (mmalloc_strerror (NULL), words) != NULL);
  must (mmalloc_errno (NULL) == ENOENT);
}

static void *
errs (void *unused)
{
  (void) unused;
  must (mmalloc_errno (NULL) == 0);
  must (strcmp (mmalloc_strerror (NULL), "no call has failed") == 0);
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
  must (strstr (mmalloc_strerror (NULL), "power of two") != NULL);
  refused (strerror (ENOENT));
  return NULL;
}

/* Threads need stacks, which stay for others; so some have been before.  A
   tool that the program is built with may have mappings of its own, too.  */
enum { FEW = UNDER_SANITIZER ? THREADS / 10 : 10 };

START_TEST (go_back)
{
  mfree (NULL, mmalloc (NULL, 10));
  errs (NULL);
  for (int i = 0; i < 10; i++)
    thread_run (errs, NULL);
  long before = mappings ();
  size_t held = 0;
  for (int i = 0; i < THREADS; i++)
    thread_run (errs, NULL);
  held = (size_t) (mappings () - before);
  ck_assert_msg (held < FEW, "%zu mappings more after %d threads", held,
                 THREADS);
}
END_TEST

static void *
no_mmap (void *at, size_t len, int prot, int flags, int fd, off_t off)
{
  (void) at, (void) len, (void) prot, (void) flags, (void) fd, (void) off;
  errno = ENOMEM;
  return MAP_FAILED;
}

static void *
errs_without_memory (void *unused)
{
  os.mmap = no_mmap;
  errno = 77;
  must (strcmp (mmalloc_strerror (NULL), "no call has failed") == 0);
  must (errno == 77);
  must (mmalloc_errno (NULL) == 0);
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
  must (strcmp (mmalloc_strerror (NULL), strerror (EINVAL)) == 0);
  must (mmalloc_errno (NULL) == EINVAL);
  os.mmap = mmap;
  refused (strerror (ENOENT));
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
  must (strstr (mmalloc_strerror (NULL), "power of two") != NULL);
  return unused;
}

START_TEST (no_memory)
{
  mfree (NULL, mmalloc (NULL, 10));
  thread_run (errs_without_memory, NULL);
  errs_without_memory (NULL);
}
END_TEST

/* A destructor of the program's, which runs after the library's.  */
static pthread_key_t late_key;
static int late_calls;

static void
late (void *unused)
{
  (void) unused;
  must (library_thread.leaving);
  must (mmalloc_errno (NULL) == EINVAL);
  refused (strerror (ENOENT));
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
  must (strcmp (mmalloc_strerror (NULL), strerror (EINVAL)) == 0);
  late_calls++;
}

static void *
errs_late (void *key)
{
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
  must (pthread_setspecific (late_key, key) == 0);
  return NULL;
}

START_TEST (after_leaving)
{
  mfree (NULL, mmalloc (NULL, 10));
  ck_assert_int_eq (pthread_key_create (&late_key, late), 0);
  for (int i = 0; i < 10; i++)
    thread_run (errs_late, &late_key);
  long before = mappings ();
  for (int i = 0; i < THREADS; i++)
    thread_run (errs_late, &late_key);
  ck_assert_int_lt (mappings () - before, FEW);
  ck_assert_int_eq (late_calls, THREADS + 10);
}
END_TEST

/* A child has the words of the thread that forked, to itself.  */
START_TEST (come_through_fork)
{
  must_fail (NULL, mmemalign (NULL, any_size (3), 1), EINVAL);
  pid_t child = fork ();
  ck_assert_int_ge (child, 0);
  if (child == 0)
    {
      must (strstr (mmalloc_strerror (NULL), "power of two") != NULL);
      refused (strerror (ENOENT));
      _exit (0);
    }
  int status;
  ck_assert_int_eq (waitpid (child, &status, 0), child);
  ck_assert_int_eq (status, 0);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "power of two"));
}
END_TEST

int
main (void)
{
  const TTest *tests[] = { go_back, no_memory, after_leaving,
                           come_through_fork };
  return run_suite (__FILE__, tests, 4, 1);
}
