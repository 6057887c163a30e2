/* Named roots: many of them, each found, changed and forgotten by its name,
   and still so when the heap comes back.  */

#include "support.h"

enum { N = 20000 };

static const char *
name_of (size_t i)
{
  static char name[80];
  snprintf (name, sizeof name, "%zu%s", i * i, i % 3 == 0 ? "/a tail" : "");
  return name;
}

static char things[N], seen[N];

static int
see (const char *name, void *ptr, void *unused)
{
  (void) unused;
  size_t i = (size_t) ((char *) ptr - things);
  must (i < N && !seen[i]);
  must (strcmp (name, name_of (i)) == 0);
  seen[i] = 1;
  return 0;
}

/* Exactly the roots I with I % STEP == 0 are there.  */
static void
all_there (void *md, size_t step)
{
  for (size_t i = 0; i < N; i++)
    must (mmalloc_getroot (md, name_of (i))
          == (i % step == 0 ? things + i : NULL));
  memset (seen, 0, sizeof seen);
  ck_assert_int_eq (mmalloc_roots (md, see, NULL), 0);
  for (size_t i = 0; i < N; i++)
    must (seen[i] == (i % step == 0));
}

START_TEST (set_change_forget)
{
  void *md = heap_new (_i);
  for (size_t i = 0; i < N; i++)
    must (mmalloc_setroot (md, name_of (i), seen) == 0);
  for (size_t i = 0; i < N; i++)
    must (mmalloc_setroot (md, name_of (i), things + i) == 0);
  all_there (md, 1);
  for (size_t i = 0; i < N; i++)
    if (i % 2 != 0)
      must (mmalloc_setroot (md, name_of (i), NULL) == 0);
  all_there (md, 2);
  if (_i == IN_FILE)
    {
      heap_end (md);
      ck_assert_ptr_eq (heap_file (), md);
      all_there (md, 2);
    }
  for (size_t i = 0; i < N; i++)
    must (mmalloc_setroot (md, name_of (i), things + i) == 0);
  all_there (md, 1);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

START_TEST (room_of_forgotten_names_comes_back)
{
  void *md = heap_limited (_i, MIB (1));
  char name[500];
  memset (name, 'x', sizeof name);
  for (size_t i = 0; i < 10000; i++)
    {
      snprintf (name + sizeof name - 20, 20, "%zu", i);
      must (mmalloc_setroot (md, name, seen) == 0);
      must (mmalloc_setroot (md, name, NULL) == 0);
    }
  heap_end (md);
}
END_TEST

/* A long name does not get the room of a short one, whose neighbours stay.  */
START_TEST (long_names_after_short_ones)
{
  enum { SHORT = 4000, LONG = 800 };
  void *md = heap_new (_i);
  char name[200];
  for (size_t i = 0; i < SHORT; i++)
    {
      snprintf (name, sizeof name, "s%zu", i);
      must (mmalloc_setroot (md, name, things + i) == 0);
    }
  for (size_t i = 0; i < SHORT; i += 2)
    {
      snprintf (name, sizeof name, "s%zu", i);
      must (mmalloc_setroot (md, name, NULL) == 0);
    }
  for (size_t i = 0; i < LONG; i++)
    {
      snprintf (name, sizeof name, "long %0150zu", i);
      must (mmalloc_setroot (md, name, seen + i) == 0);
    }
  for (size_t i = 0; i < SHORT; i++)
    {
      snprintf (name, sizeof name, "s%zu", i);
      must (mmalloc_getroot (md, name) == (i % 2 != 0 ? things + i : NULL));
    }
  for (size_t i = 0; i < LONG; i++)
    {
      snprintf (name, sizeof name, "long %0150zu", i);
      must (mmalloc_getroot (md, name) == seen + i);
    }
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (set_change_forget, room_of_forgotten_names_comes_back,
                  long_names_after_short_ones)
