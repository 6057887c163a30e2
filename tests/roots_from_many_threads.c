/* Roots set by many threads at once: none is lost, and each is either the old
   or the new.  */

#include "support.h"

enum { THREADS = 6, ROUNDS = 1500 };
static void *md;
static char things[THREADS][ROUNDS];

static void *
setter (void *arg)
{
  size_t me = (size_t) arg;
  char name[40];
  for (size_t i = 0; i < ROUNDS; i++)
    {
      snprintf (name, sizeof name, "%zu of %zu", i % 300, me);
      must (mmalloc_setroot (md, name, &things[me][i]) == 0);
      must (mmalloc_getroot (md, name) == &things[me][i]);
      must (mmalloc_setroot (md, "shared", &things[me][i]) == 0);
      char *shared = mmalloc_getroot (md, "shared");
      must (shared >= &things[0][0] && shared < &things[0][0] + sizeof things);
    }
  return NULL;
}

START_TEST (all_kept)
{
  md = heap_new (_i);
  pthread_t thread[THREADS];
  for (size_t i = 0; i < THREADS; i++)
    thread[i] = thread_start (setter, (void *) i);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  char name[40];
  for (size_t me = 0; me < THREADS; me++)
    for (size_t i = 0; i < 300; i++)
      {
        snprintf (name, sizeof name, "%zu of %zu", i, me);
        must (mmalloc_getroot (md, name) == &things[me][ROUNDS - 300 + i]);
      }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (all_kept)
