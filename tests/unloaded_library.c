/* A program unloads the shared library by dlclose, as hosts of plug-ins do.
   Threads that have used it end later; the program forks and exits; blocks stay
   where they are; and the library can be loaded again.  */

#include <dlfcn.h>

#include "support.h"

#define LIBRARY ".libs/libmmalloc.so"

static struct
{
  void *(*open) (const char *, int, const struct mmalloc_options *);
  void *(*alloc) (void *, size_t);
  void *(*detach) (void *);
  void *(*make_map) (const off_t, void *, const char *, size_t, const size_t);
  void *(*map_alloc) (void *, size_t);
  int (*map_close) (void *);
} use;

static void
find (void *library, const char *name, void *to)
{
  void *function = dlsym (library, name);
  ck_assert_msg (function != NULL, "%s", dlerror ());
  memcpy (to, &function, sizeof function);
}

static void *
load (void)
{
  void *library = dlopen (LIBRARY, RTLD_NOW | RTLD_LOCAL);
  ck_assert_msg (library != NULL, "%s", dlerror ());
  find (library, "mmalloc_open", &use.open);
  find (library, "mmalloc", &use.alloc);
  find (library, "mmalloc_detach", &use.detach);
  find (library, "qalloc_makestatmap", &use.make_map);
  find (library, "qalloc_malloc", &use.map_alloc);
  find (library, "qalloc_close", &use.map_close);
  return library;
}

/* What a thread does before the library goes.  Threads that leave their heap
   open have a block in it.  */
enum { OF_DEFAULT, OF_ANONYMOUS, OF_FILE, OF_CLOSED_FILE, OF_MAP, OF_CLOSED_MAP,
       THREADS };
static void *heap[THREADS];
static char *block[THREADS], file[THREADS][PATH_MAX];
static pthread_barrier_t used, gone;

static void
work (size_t i)
{
  if (i == OF_MAP || i == OF_CLOSED_MAP)
    {
      heap[i] = use.make_map (KIB (100), NULL, file[i], 1000, 2);
      must (heap[i] != NULL);
      block[i] = use.map_alloc (heap[i], 1000);
    }
  else
    {
      heap[i] = i == OF_DEFAULT ? NULL
                : use.open (i == OF_ANONYMOUS ? NULL : file[i],
                            MMALLOC_CREATE, NULL);
      must (i == OF_DEFAULT || heap[i] != NULL);
      block[i] = use.alloc (heap[i], 1000);
    }
  must (block[i] != NULL);
  block_fill (block[i], 1000, i);
  if (i == OF_CLOSED_FILE)
    must (use.detach (heap[i]) == NULL);
  if (i == OF_CLOSED_MAP)
    must (use.map_close (heap[i]) == 0);
}

static void *
worker (void *number)
{
  work ((size_t) number);
  pthread_barrier_wait (&used);
  pthread_barrier_wait (&gone);
  return NULL;
}

static void
blocks_hold (size_t from, size_t to)
{
  for (size_t i = from; i < to; i++)
    if (i != OF_CLOSED_FILE && i != OF_CLOSED_MAP)
      must (block_holds (block[i], 1000, i));
}

static void
nothing (void *unused)
{
  (void) unused;
}

/* Threads FROM to TO - 1 use the library, it goes, and they end.  */
static void
life (size_t from, size_t to)
{
  pthread_t thread[THREADS];
  char name[20];
  void *library = load ();
  pthread_barrier_init (&used, NULL, (unsigned) (to - from) + 1);
  pthread_barrier_init (&gone, NULL, (unsigned) (to - from) + 1);
  for (size_t i = from; i < to; i++)
    {
      snprintf (name, sizeof name, "file%zu", i);
      snprintf (file[i], sizeof file[i], "%s", temp_path (name));
      thread[i] = thread_start (worker, (void *) i);
    }
  pthread_barrier_wait (&used);
  ck_assert_int_eq (dlclose (library), 0);
  blocks_hold (from, to);
  ck_assert_int_eq (child_run (nothing, NULL), 0);
  pthread_barrier_wait (&gone);
  for (size_t i = from; i < to; i++)
    thread_end (thread[i]);
  blocks_hold (from, to);
  ck_assert_int_eq (child_run (nothing, NULL), 0);
}

static void
one_thread (void *number)
{
  life ((size_t) number, (size_t) number + 1);
}

START_TEST (threads_end)
{
  ck_assert_int_eq (child_run (one_thread, (void *) (size_t) _i), 0);
}
END_TEST

/* The main thread is one that ends, too.  */
static void
loads_again (void *unused)
{
  (void) unused;
  life (0, THREADS);
  void *closed_before = heap[OF_CLOSED_FILE], *left = heap[OF_FILE];
  for (int round = 0; round < 3; round++)
    {
      life (0, THREADS);
      ck_assert_ptr_eq (heap[OF_CLOSED_FILE], closed_before);
      ck_assert_ptr_eq (heap[OF_FILE], left);
    }
  void *library = load ();
  work (OF_FILE);
  ck_assert_int_eq (dlclose (library), 0);
  exit (0);
}

START_TEST (loaded_again)
{
  if (_i == 0)
    ck_assert_int_eq (child_run (loads_again, NULL), 0);
}
END_TEST

int
main (void)
{
  const TTest *tests[] = { threads_end, loaded_again };
  if (access (LIBRARY, R_OK) != 0)
    {
      skip ("no shared library was built");
      return 77;
    }
  return run_suite (__FILE__, tests, 2, THREADS);
}
