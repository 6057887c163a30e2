/* C21: the program's whole malloc family is forwarded to a heap that a
   constructor opens, and a destructor lets go.  The program that does so is
   this one, started anew with REGION, the path of the heap, in the
   environment.  */

#include "support.h"

#if UNDER_SANITIZER

START_TEST (whole_program)
{
  skip ("the sanitizer has a malloc of its own");
}
END_TEST

#else

/* Without a region, and for the library itself while it opens the region,
   blocks come from a small store and are never freed.  */
static void *region;
static _Alignas (16) char early[KIB (256)];
static size_t early_used;

static void *
early_malloc (size_t size)
{
  size_t at = (early_used + 16 + 15) & ~(size_t) 15;
  if (size > sizeof early - at)
    abort ();
  memcpy (early + at - 16, &size, sizeof size);
  early_used = at + size;
  return early + at;
}

static int
is_early (const void *ptr)
{
  return (uintptr_t) ptr - (uintptr_t) early < sizeof early;
}

/* For all of the program, libc included.  */
#pragma GCC visibility push(default)

void *
malloc (size_t size)
{
  size += size == 0;
  return region != NULL ? mmalloc (region, size) : early_malloc (size);
}

void *
calloc (size_t nmemb, size_t size)
{
  if (nmemb == 0 || size == 0)
    nmemb = size = 1;
  return region != NULL ? mcalloc (region, nmemb, size)
                        : early_malloc (nmemb * size);
}

void
free (void *ptr)
{
  if (!is_early (ptr))
    mfree (region, ptr);
}

void *
realloc (void *ptr, size_t size)
{
  size += size == 0;
  if (ptr == NULL)
    return malloc (size);
  if (!is_early (ptr))
    return mrealloc (region, ptr, size);
  size_t old;
  memcpy (&old, (char *) ptr - 16, sizeof old);
  void *moved = malloc (size);
  if (moved != NULL)
    memcpy (moved, ptr, old < size ? old : size);
  return moved;
}

void *
aligned_alloc (size_t alignment, size_t size)
{
  return mmemalign (region, alignment, size);
}

int
posix_memalign (void **result, size_t alignment, size_t size)
{
  *result = mmemalign (region, alignment, size);
  return *result != NULL ? 0 : ENOMEM;
}

#pragma GCC visibility pop

__attribute__ ((constructor)) static void
open_region (void)
{
  const char *path = getenv ("REGION");
  if (path != NULL
      && (region = mmalloc_open (path, MMALLOC_CREATE, NULL)) == NULL)
    _exit (97);
}

__attribute__ ((destructor)) static void
drop_region (void)
{
  void *md = region;
  if (md == NULL)
    return;
  if (mmalloc_check (md, NULL, NULL) != 0)
    _exit (96);
  region = NULL;
  if (mmalloc_detach (md) != NULL)
    _exit (95);
}

static void *
thread (void *arg)
{
  char *text = NULL;
  if (asprintf (&text, "%zu", (size_t) arg) < 0
      || mmalloc_find (text) != region)
    _exit (94);
  return text;
}

static int
compare (const void *a, const void *b)
{
  return strcmp (*(char *const *) a, *(char *const *) b);
}

/* The program whose malloc is the heap's.  */
static int
live_in_region (void)
{
  pthread_t threads[20];
  char **text = calloc (20, sizeof *text);
  for (size_t i = 0; i < 20; i++)
    if (pthread_create (&threads[i], NULL, thread, (void *) (19 - i)) != 0)
      return 1;
  for (size_t i = 0; i < 20; i++)
    if (pthread_join (threads[i], (void **) &text[i]) != 0)
      return 2;
  qsort (text, 20, sizeof *text, compare);
  if (strcmp (text[0], "0") != 0 || strcmp (text[19], "9") != 0)
    return 3;
  FILE *stream = tmpfile ();
  if (stream == NULL || fprintf (stream, "%s", text[5]) < 0
      || fclose (stream) != 0)
    return 4;
  void *other = mmalloc_open (NULL, 0, NULL);
  if (mmalloc (other, 100) == NULL || mmalloc_detach (other) != NULL)
    return 5;
  return mmalloc_setroot (region, "text", text) == 0 ? 0 : 6;
}

START_TEST (whole_program)
{
  static char path[PATH_MAX];
  snprintf (path, sizeof path, "%s", temp_heap_path ());
  setenv ("REGION", path, 1);
  ck_assert_int_eq (child_run (start_anew, path), 0);
  void *md = heap_file ();
  char **text = mmalloc_getroot (md, "text");
  ck_assert_ptr_nonnull (text);
  ck_assert_str_eq (text[0], "0");
  ck_assert_str_eq (text[19], "9");
  ck_assert_uint_ge (heap_stats (md).blocks_live, 21);
  heap_end (md);
}
END_TEST

#endif

int
main (int argc, char **argv)
{
  (void) argv;
  const TTest *tests[] = { whole_program };
#if !UNDER_SANITIZER
  if (argc > 1)
    return live_in_region ();
#else
  (void) argc;
#endif
  return run_suite (__FILE__, tests, 1, 1);
}
