/* mmtrace: a line for every event, in the file named by MALLOC_TRACE.  */

#include "support.h"

static FILE *trace;

/* The next line is KIND, a pointer, and a size unless that is 0.  */
static void
next_is (const char *kind, const void *ptr, size_t size)
{
  char line[200], got[3];
  unsigned long long got_ptr;
  char got_size[40] = "0";
  ck_assert_ptr_nonnull (fgets (line, sizeof line, trace));
  int n = sscanf (line, "%2s %llx %39s", got, &got_ptr, got_size);
  ck_assert_msg (n == (size != 0 ? 3 : 2), "%s", line);
  ck_assert_str_eq (got, kind);
  ck_assert_msg ((uintptr_t) got_ptr == (uintptr_t) ptr, "%p: %s", ptr, line);
  ck_assert_msg (strtoull (got_size, NULL, 0) == size, "%zu: %s", size, line);
}

static void
traced (void *kind)
{
  void *md = heap_limited ((int) (size_t) kind, MIB (4));
  mfree (md, mmalloc (md, 77));
  setenv ("MALLOC_TRACE", temp_path ("trace"), 1);
  ck_assert_int_eq (mmtrace (), 1);
  char *a = mmalloc (md, 100);
  char *b = mcalloc (md, 10, 20);
  char *c = mmemalign (md, 64, 300);
  char *d = mrealloc (md, NULL, 400);
  char *e = mreallocarray (md, d, 1000, 5);
  char *f = mrealloc (md, a, 50);
  mfree (md, b);
  ck_assert_ptr_null (mrealloc (md, c, 0));
  mfree (md, NULL);
  ck_assert_ptr_null (mmalloc (md, 0));
  ck_assert_ptr_null (mrealloc (md, f, any_size (SIZE_MAX / 4)));
  mfree (md, e);
  mfree (md, f);
  heap_end (md);

  char line[200];
  trace = fopen (temp_path ("trace"), "r");
  ck_assert_ptr_nonnull (trace);
  ck_assert_ptr_nonnull (fgets (line, sizeof line, trace));
  ck_assert_str_eq (line, "= Start\n");
  next_is ("+", a, 100);
  next_is ("+", b, 200);
  next_is ("+", c, 300);
  next_is ("+", d, 400);
  next_is ("<", d, 0);
  next_is (">", e, 5000);
  next_is ("<", a, 0);
  next_is (">", f, 50);
  next_is ("-", b, 0);
  next_is ("-", c, 0);
  next_is ("!", f, SIZE_MAX / 4);
  next_is ("-", e, 0);
  next_is ("-", f, 0);
  ck_assert_ptr_null (fgets (line, sizeof line, trace));
}

START_TEST (every_event)
{
  ck_assert_int_eq (child_run (traced, (void *) (size_t) _i), 0);
}
END_TEST

static void
variable (void *value)
{
  if (value == NULL)
    unsetenv ("MALLOC_TRACE");
  else
    setenv ("MALLOC_TRACE", value, 1);
  ck_assert_int_eq (mmtrace (), value == NULL);
  mfree (NULL, mmalloc (NULL, 10));
}

START_TEST (result)
{
  ck_assert_int_eq (child_run (variable, NULL), 0);
  static char path[PATH_MAX];
  snprintf (path, sizeof path, "%s", temp_path ("no/such/file"));
  ck_assert_int_eq (child_run (variable, path), 0);
}
END_TEST

static void *
allocate (void *unused)
{
  (void) unused;
  for (int i = 0; i < 1000; i++)
    mfree (NULL, mmalloc (NULL, 16));
  return NULL;
}

static void
by_threads (void *unused)
{
  setenv ("MALLOC_TRACE", temp_path ("trace"), 1);
  ck_assert_int_eq (mmtrace (), 1);
  pthread_t thread[4];
  for (int i = 0; i < 4; i++)
    thread[i] = thread_start (allocate, unused);
  for (int i = 0; i < 4; i++)
    thread_end (thread[i]);
}

START_TEST (lines_are_whole)
{
  ck_assert_int_eq (child_run (by_threads, NULL), 0);
  trace = fopen (temp_path ("trace"), "r");
  char line[200];
  int allocated = 0, freed = 0;
  ck_assert_ptr_nonnull (fgets (line, sizeof line, trace));
  while (fgets (line, sizeof line, trace) != NULL)
    {
      void *ptr;
      int end = 0;
      if (sscanf (line, "+ %p %*s%n", &ptr, &end) == 1 && end > 0)
        allocated++;
      else if (sscanf (line, "- %p%n", &ptr, &end) == 1 && end > 0)
        freed++;
      else
        ck_abort_msg ("%s", line);
      must (line[end] == '\n');
    }
  ck_assert_int_eq (allocated, 4000);
  ck_assert_int_eq (freed, 4000);
}
END_TEST

/* Lines that cannot be written are lost, and nobody hears of it.  */
static void
traced_to_a_full_disk (void *kind)
{
  void *md = heap_limited ((int) (size_t) kind, MIB (4));
  setenv ("MALLOC_TRACE", "/dev/full", 1);
  ck_assert_int_eq (mmtrace (), 1);
  void *block, **slot = mmalloc (md, sizeof *slot);
  must_keep_errno (block = mmalloc (md, 100));
  must_keep_errno (block = mrealloc (md, block, 5000));
  must_keep_errno (mfree (md, block));
  must_keep_errno (ck_assert_int_eq (mmalloc_to (md, slot, 100), 0));
  must_keep_errno (ck_assert_int_eq (mfree_from (md, slot), 0));
}

START_TEST (a_full_disk_keeps_errno)
{
  ck_assert_int_eq (child_run (traced_to_a_full_disk, (void *) (size_t) _i),
                    0);
}
END_TEST

RUN_ON_OWN_HEAPS (every_event, result, lines_are_whole,
                  a_full_disk_keeps_errno)
