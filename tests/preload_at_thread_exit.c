/* Destructors of thread-specific data allocate and free, also after the heap
   has taken leave of the thread, and what a thread leaves can be freed by
   others.  */

#include "tests/preload_support.h"

#include <stdatomic.h>

enum { THREADS = 200, KEYS = 40 };

static pthread_key_t key[KEYS];
static _Atomic int destroyed;
static void *_Atomic left;

/* Twice for each key: the first time it sets the value again.  */
static void
destroy (void *value)
{
  char *p = value;
  must (p[0] == 'a' || p[0] == 'b');
  size_t i = (size_t) p[1];
  int again = p[0] == 'a';
  free (p);
  p = realloc (any_ptr (malloc (i + 1)), 100 * (i + 1));
  must (p != NULL);
  p[0] = 'b';
  p[1] = (char) i;
  if (again)
    must (pthread_setspecific (key[i], p) == 0);
  else
    {
      destroyed++;
      free (atomic_exchange (&left, p));
    }
}

static void *
work (void *arg)
{
  (void) arg;
  for (int i = 0; i < KEYS; i++)
    {
      char *p = malloc (50);
      must (p != NULL);
      p[0] = 'a';
      p[1] = (char) i;
      must (pthread_setspecific (key[i], p) == 0);
    }
  return malloc (1000);
}

START_TEST (destructors_allocate)
{
  for (int i = 0; i < KEYS; i++)
    ck_assert_int_eq (pthread_key_create (&key[i], destroy), 0);
  for (int round = 0; round < THREADS / 4; round++)
    {
      pthread_t thread[4];
      for (int i = 0; i < 4; i++)
        thread[i] = thread_start (work, NULL);
      for (int i = 0; i < 4; i++)
        {
          void *p;
          ck_assert_int_eq (pthread_join (thread[i], &p), 0);
          memset (p, 1, 1000);
          free (p);
        }
    }
  ck_assert_int_eq (destroyed, THREADS * KEYS);
  free (left);
}
END_TEST

RUN_PRELOADED (destructors_allocate)
