/* mmalloc_roots: ends when the function says so, and the function may use the
   library.  */

#include "support.h"

static int things[100];

static void
set_all (void *md)
{
  char name[20];
  for (int i = 0; i < 100; i++)
    {
      snprintf (name, sizeof name, "root %d", i);
      ck_assert_int_eq (mmalloc_setroot (md, name, &things[i]), 0);
    }
}

static int
stop_at_tenth (const char *name, void *ptr, void *arg)
{
  (void) name, (void) ptr;
  return ++*(int *) arg == 10 ? 42 : 0;
}

START_TEST (ends_early)
{
  void *md = heap_new (_i);
  int calls = 0;
  ck_assert_int_eq (mmalloc_roots (md, stop_at_tenth, &calls), 0);
  ck_assert_int_eq (calls, 0);
  set_all (md);
  ck_assert_int_eq (mmalloc_roots (md, stop_at_tenth, &calls), 42);
  ck_assert_int_eq (calls, 10);
  heap_end (md);
}
END_TEST

static void *the_md;

static int
use_library (const char *name, void *ptr, void *arg)
{
  char copy[1001];
  snprintf (copy, sizeof copy, "%s", name);
  ++*(int *) arg;
  void *block = mmalloc (the_md, 3000);
  ck_assert_ptr_nonnull (block);
  ck_assert_ptr_eq (mmalloc_getroot (the_md, copy), ptr);
  mfree (the_md, block);
  ck_assert_int_eq (mmalloc_setroot (the_md, copy, NULL), 0);
  ck_assert_ptr_null (mmalloc_getroot (the_md, copy));
  return 0;
}

START_TEST (function_uses_the_library)
{
  the_md = heap_new (_i);
  set_all (the_md);
  int calls = 0;
  ck_assert_int_eq (mmalloc_roots (the_md, use_library, &calls), 0);
  ck_assert_int_eq (calls, 100);
  ck_assert_int_eq (mmalloc_roots (the_md, use_library, &calls), 0);
  ck_assert_int_eq (calls, 100);
  heap_end (the_md);
}
END_TEST

RUN_ON_EACH_HEAP (ends_early, function_uses_the_library)
