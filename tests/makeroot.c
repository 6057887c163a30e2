/* mmalloc_makeroot: of all who want a root at once one makes it, once, and
   whole.  */

#include <setjmp.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "support.h"

struct thing
{
  long runs, check;
  char room[100];
};

/* Shared with children: how often INIT ran, and what it is to do.  */
static struct shared
{
  atomic_int ran, in, most;
} *the;

static void
share (void)
{
  the = mmap (NULL, sizeof *the, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (the, MAP_FAILED);
}

/* ARG: what to give.  */
static int
init (void *root, size_t size, void *arg)
{
  struct thing *t = root;
  must (atomic_fetch_add (&the->in, 1) == 0);
  atomic_fetch_add (&the->ran, 1);
  must (size == sizeof *t);
  must (block_is_zero (t, size));
  t->check = 42;
  atomic_fetch_sub (&the->in, 1);
  return arg != NULL ? *(int *) arg : 0;
}

static struct thing *
make (void *md, const char *name)
{
  struct thing *t = mmalloc_makeroot (md, name, sizeof *t, init, NULL);
  if (t != NULL)
    must (t->check == 42);
  return t;
}

START_TEST (made_once)
{
  share ();
  void *md = heap_new (_i);
  struct thing *t = NULL;
  must_keep_errno (t = make (md, "a"));
  ck_assert_ptr_nonnull (t);
  must_keep_errno (ck_assert_ptr_eq (make (md, "a"), t));
  ck_assert_ptr_eq (mmalloc_getroot (md, "a"), t);
  ck_assert_int_eq (the->ran, 1);
  ck_assert_ptr_ne (make (md, "b"), t);
  ck_assert_int_eq (the->ran, 2);
  /* A block like others, and a root like others.  */
  ck_assert_int_eq (mmalloc_setroot (md, "a", NULL), 0);
  mfree (md, t);
  t = make (md, "a");
  ck_assert_int_eq (the->ran, 3);
  ck_assert_ptr_eq (mmalloc_getroot (md, "a"), t);
  long *zero = mmalloc_makeroot (md, "c", 100000, NULL, NULL);
  must (block_is_zero (zero, 100000));
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

START_TEST (bad)
{
  char name[1002];
  share ();
  void *md = heap_new (_i);
  memset (name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  must_give ((intmax_t) make (md, NULL), 0, EINVAL);
  must_give ((intmax_t) make (md, ""), 0, EINVAL);
  must_give ((intmax_t) make (md, name), 0, ENAMETOOLONG);
  must_give ((intmax_t) mmalloc_makeroot (md, "a", 0, NULL, NULL), 0, EINVAL);
  must_give ((intmax_t) mmalloc_makeroot (md, "a", SIZE_MAX / 2, init, NULL),
             0, ENOMEM);
  ck_assert_ptr_null (mmalloc_getroot (md, "a"));
  ck_assert_int_eq (the->ran, 0);
  ck_assert_ptr_nonnull (make (md, name + 1));
  heap_end (md);
}
END_TEST

static size_t
live (void *md)
{
  return heap_stats (md).blocks_live;
}

START_TEST (init_refuses)
{
  share ();
  void *md = heap_new (_i);
  ck_assert_ptr_nonnull (make (md, "other"));
  size_t before = live (md);
  int refuse = -7;
  static const size_t size = sizeof (struct thing);
  must_give ((intmax_t) mmalloc_makeroot (md, "a", size, init, &refuse), 0,
             ECANCELED);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), "-7"));
  ck_assert_int_eq (mmalloc_errno (md), ECANCELED);
  ck_assert_ptr_null (mmalloc_getroot (md, "a"));
  ck_assert_uint_eq (live (md), before);
  heap_is_whole (md);
  ck_assert_ptr_nonnull (make (md, "a"));
  ck_assert_int_eq (the->ran, 3);
  ck_assert_uint_eq (live (md), before + 1);
  heap_end (md);
}
END_TEST

static int
refuse (void *root, size_t size, void *arg)
{
  (void) root, (void) size, (void) arg;
  return 1;
}

START_TEST (init_refuses_large)
{
  void *md = heap_new (_i);
  static const size_t sizes[] = { 40, 20000, 100000, MIB (40) };
  for (int guards = 0; guards < 2; guards++)
    {
      for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        {
          size_t before = live (md);
          must_give ((intmax_t) mmalloc_makeroot (md, "a", sizes[i], refuse,
                                                  NULL), 0, ECANCELED);
          ck_assert_uint_eq (live (md), before);
          char *p = mmalloc_makeroot (md, "a", sizes[i], NULL, NULL);
          must (block_is_zero (p, sizes[i]));
          ck_assert_int_eq (mmalloc_setroot (md, "a", NULL), 0);
          mfree (md, p);
        }
      heap_is_whole (md);
      ck_assert_int_eq (mmcheckf (md, NULL, 1), 1);
    }
  heap_end (md);
}
END_TEST

START_TEST (size_of_what_is_there)
{
  void *md = heap_new (_i);
  for (int guards = 0; guards < 2; guards++)
    {
      char *p = mmalloc (md, 1000);
      size_t usable = mmalloc_usable_size (md, p);
      ck_assert_int_eq (mmalloc_setroot (md, "a", p), 0);
      ck_assert_ptr_eq (mmalloc_makeroot (md, "a", 1, NULL, NULL), p);
      ck_assert_ptr_eq (mmalloc_makeroot (md, "a", usable, NULL, NULL), p);
      must_give ((intmax_t) mmalloc_makeroot (md, "a", 5000, NULL, NULL), 0,
                 EINVAL);
      char text[30];
      snprintf (text, sizeof text, "%zu bytes, not 5000", usable);
      ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), text));
      ck_assert_int_eq (mmalloc_setroot (md, "a", p + 500), 0);
      ck_assert_ptr_eq (mmalloc_makeroot (md, "a", 400, NULL, NULL), p + 500);
      must_give ((intmax_t) mmalloc_makeroot (md, "a", 1000, NULL, NULL), 0,
                 EINVAL);
      ck_assert_int_eq (mmalloc_setroot (md, "a", &p), 0);
      must_give ((intmax_t) mmalloc_makeroot (md, "a", 1, NULL, NULL), 0,
                 EINVAL);
      ck_assert_int_eq (mmcheckf (md, NULL, 1), 1);
    }
  heap_end (md);
}
END_TEST

static void *heap;

/* Makes others, and the same.  */
static int
nested (void *root, size_t size, void *arg)
{
  int *depth = arg;
  char name[20];
  (void) size, (void) root;
  must_give ((intmax_t) mmalloc_makeroot (heap, "r0", 10, NULL, NULL), 0,
             EDEADLK);
  /* Names that begin alike are two.  */
  if (*depth == 0)
    must (mmalloc_makeroot (heap, "r", 10, NULL, NULL) != NULL);
  snprintf (name, sizeof name, "r%d", ++*depth);
  if (*depth < 40)
    must (mmalloc_makeroot (heap, name, 10, nested, depth) != NULL);
  else
    must_give ((intmax_t) mmalloc_makeroot (heap, name, 10, NULL, NULL), 0,
               ENOLCK);
  void **slot = mcalloc (heap, 1, sizeof *slot);
  must (mmalloc_to (heap, slot, 100) == 0 && mfree_from (heap, slot) == 0);
  mfree (heap, slot);
  must (mmalloc_recover (heap) == 0);
  return 0;
}

START_TEST (roots_within_roots)
{
  int depth = 0;
  heap = heap_new (_i);
  ck_assert_ptr_nonnull (mmalloc_makeroot (heap, "r0", 10, nested, &depth));
  ck_assert_int_eq (depth, 40);
  ck_assert_uint_eq (live (heap), 41);
  heap_is_whole (heap);
  heap_end (heap);
}
END_TEST

/* Two threads, each of which makes a root that needs the other's.  */
static atomic_int meet, refused;

static int
crosswise (void *root, size_t size, void *arg)
{
  (void) root, (void) size;
  atomic_fetch_add (&meet, 1);
  while (atomic_load (&meet) < 2)
    sched_yield ();
  errno = 0;
  if (mmalloc_makeroot (heap, arg, 10, crosswise, NULL) == NULL)
    {
      must (errno == EDEADLK);
      atomic_fetch_add (&refused, 1);
    }
  return 0;
}

static void *
cross (void *other)
{
  const char *name = other == NULL ? "left" : "right";
  must (mmalloc_makeroot (heap, name, 10, crosswise,
                          other == NULL ? "right" : "left") != NULL);
  return NULL;
}

START_TEST (circles)
{
  heap = heap_new (_i);
  pthread_t left = thread_start (cross, NULL);
  pthread_t right = thread_start (cross, heap != NULL ? heap : &heap);
  thread_end (left);
  thread_end (right);
  ck_assert_int_eq (refused, 1);
  ck_assert_uint_eq (live (heap), 2);
  heap_end (heap);
}
END_TEST

static int
sets (void *root, size_t size, void *arg)
{
  (void) root, (void) size;
  must (mmalloc_setroot (heap, "a", arg) == 0);
  must (mmalloc_setroot (heap, "b", arg) == 0);
  return 0;
}

START_TEST (setroot_wins)
{
  heap = heap_new (_i);
  char *p = mmalloc (heap, 100);
  ck_assert_ptr_eq (mmalloc_makeroot (heap, "a", 50, sets, p), p);
  ck_assert_uint_eq (live (heap), 1);
  ck_assert_ptr_eq (mmalloc_getroot (heap, "a"), p);
  ck_assert_int_eq (mmalloc_setroot (heap, "a", NULL), 0);
  ck_assert_ptr_null (mmalloc_getroot (heap, "a"));
  ck_assert_ptr_eq (mmalloc_getroot (heap, "b"), p);
  heap_end (heap);
}
END_TEST

/* The root gets its name when the function has returned, not before.  */
static int
names_it (void *root, size_t size, void *name)
{
  (void) size;
  must_give (mmalloc_setroot (heap, "a", root), -1, EBUSY);
  must_give (mmalloc_setroot (heap, name, root), -1, EBUSY);
  must (strstr (mmalloc_strerror (heap), "being made") != NULL);
  return 0;
}

START_TEST (named_by_its_return)
{
  heap = heap_new (_i);
  char *p = mmalloc_makeroot (heap, "a", 50, names_it, "b");
  ck_assert_ptr_nonnull (p);
  ck_assert_ptr_eq (mmalloc_getroot (heap, "a"), p);
  ck_assert_ptr_null (mmalloc_getroot (heap, "b"));
  ck_assert_int_eq (mmalloc_setroot (heap, "b", p), 0);
  ck_assert_uint_eq (live (heap), 1);
  heap_end (heap);
}
END_TEST

/* A thread ends in the function: another one makes the root.  */
static int
ends (void *root, size_t size, void *arg)
{
  memset (root, 1, size);
  atomic_store (&meet, 1);
  if (arg != NULL)
    must (mmalloc_makeroot (heap, arg, size, ends, NULL) != NULL);
  pthread_exit (NULL);
}

static void *
ender (void *inner)
{
  mmalloc_makeroot (heap, "a", _Alignof (max_align_t) * 5000, ends, inner);
  ck_abort_msg ("the thread has not ended");
}

START_TEST (thread_ends)
{
  heap = heap_new (_i);
  for (int nested = 0; nested < 2; nested++)
    {
      atomic_store (&meet, 0);
      pthread_t t = thread_start (ender, nested ? (void *) "b" : NULL);
      while (atomic_load (&meet) == 0)
        sched_yield ();
      char *p = mmalloc_makeroot (heap, "a", 100, NULL, NULL);
      must (p != NULL && block_is_zero (p, 100));
      thread_end (t);
      ck_assert_ptr_null (mmalloc_getroot (heap, "b"));
      ck_assert_uint_eq (live (heap), 1);
      ck_assert_int_eq (mmalloc_setroot (heap, "a", NULL), 0);
      mfree (heap, p);
    }
  heap_is_whole (heap);
  heap_end (heap);
}
END_TEST

/* A thread jumps out of the function: the root is being made until it ends.  */
static jmp_buf outside;

static int
jumps (void *root, size_t size, void *arg)
{
  (void) root, (void) size, (void) arg;
  longjmp (outside, 1);
}

static void *
jumper (void *unused)
{
  char over[4000];
  if (setjmp (outside) == 0)
    mmalloc_makeroot (heap, "a", 10, jumps, NULL);
  /* Where the call was is something else.  */
  memset (over, 0x5a, sizeof over);
  must_give ((intmax_t) mmalloc_makeroot (heap, "a", 10, NULL, NULL), 0,
             EDEADLK);
  must (mmalloc_makeroot (heap, "b", 10, NULL, NULL) != NULL);
  return over[3] == 0x5a ? unused : NULL;
}

START_TEST (thread_jumps)
{
  heap = heap_new (_i);
  thread_run (jumper, NULL);
  ck_assert_uint_eq (live (heap), 1);
  ck_assert_ptr_nonnull (mmalloc_makeroot (heap, "a", 10, NULL, NULL));
  ck_assert_uint_eq (live (heap), 2);
  heap_is_whole (heap);
  heap_end (heap);
}
END_TEST

/* Another puts one block after the other there and frees the one before: no
   call sees a root that is no block.  */
enum { CHANGES = 20000 };

static void *
changes (void *blocks)
{
  void **p = blocks;
  for (int i = 1; i < CHANGES; i++)
    {
      must (mmalloc_setroot (heap, "a", p[i]) == 0);
      mfree (heap, p[i - 1]);
    }
  atomic_store (&meet, 1);
  return NULL;
}

START_TEST (setroot_meanwhile)
{
  static void *p[CHANGES];
  heap = heap_new (_i);
  for (int i = 0; i < CHANGES; i++)
    p[i] = mmalloc (heap, 100);
  atomic_store (&meet, 0);
  ck_assert_int_eq (mmalloc_setroot (heap, "a", p[0]), 0);
  pthread_t t = thread_start (changes, p);
  while (atomic_load (&meet) == 0)
    ck_assert_ptr_nonnull (mmalloc_makeroot (heap, "a", 50, NULL, NULL));
  thread_end (t);
  ck_assert_uint_eq (live (heap), 1);
  heap_end (heap);
}
END_TEST

/* Many threads want each of many roots.  */
enum { THREADS = 6 };

static void *
race (void *arg)
{
  struct thing **found = arg;
  for (int i = 0; i < 300; i++)
    {
      char name[20];
      snprintf (name, sizeof name, "root %d", i);
      found[i] = mmalloc_makeroot (heap, name, sizeof **found, NULL, NULL);
      must (found[i] != NULL);
      __atomic_add_fetch (&found[i]->runs, 1, __ATOMIC_RELAXED);
    }
  return NULL;
}

START_TEST (threads)
{
  static struct thing *found[THREADS][300];
  pthread_t t[THREADS];
  heap = heap_new (_i);
  for (int i = 0; i < THREADS; i++)
    t[i] = thread_start (race, found[i]);
  for (int i = 0; i < THREADS; i++)
    thread_end (t[i]);
  for (int i = 0; i < 300; i++)
    ck_assert_int_eq (found[0][i]->runs, THREADS);
  ck_assert_uint_eq (live (heap), 300);
  heap_end (heap);
}
END_TEST

RUN_ON_EACH_HEAP (made_once, bad, init_refuses, init_refuses_large,
                  size_of_what_is_there, roots_within_roots, circles,
                  setroot_wins, named_by_its_return, thread_ends, thread_jumps,
                  setroot_meanwhile, threads)
