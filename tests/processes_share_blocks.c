/* Several processes with several threads each work on one heap at the same
   time; a block that one has made is verified and freed by another.  A reader
   that looks at the heap meanwhile finds it whole.  */

#include <stdatomic.h>

#include "support.h"

enum { PROCESSES = 4, THREADS = 3, SLOTS = 48, OPS = 4000 };

struct parcel
{
  size_t size;
  uint64_t tag;
  pid_t maker;
  char contents[];
};

/* In the heap, as key 0.  */
struct exchange
{
  _Atomic (struct parcel *) slot[SLOTS];
  atomic_size_t n_foreign;
};

static void *md;
static uint64_t seed;

static struct parcel *
parcel_make (uint64_t *state)
{
  size_t most = random_below (state, 50) == 0 ? 300000 : 2000;
  size_t size = random_below (state, most);
  struct parcel *p = mmalloc (md, sizeof *p + size);
  must (p != NULL);
  p->size = size;
  p->tag = *state;
  p->maker = getpid ();
  block_fill (p->contents, size, p->tag);
  return p;
}

static void
parcel_take (struct exchange *x, struct parcel *p)
{
  if (p == NULL)
    return;
  must (block_holds (p->contents, p->size, p->tag));
  must (mmalloc_usable_size (md, p) >= sizeof *p + p->size);
  if (p->maker != getpid ())
    atomic_fetch_add (&x->n_foreign, 1);
  mfree (md, p);
}

static void *
worker (void *number)
{
  struct exchange *x = mmalloc_getkey (md, 0);
  uint64_t state = seed + (size_t) number;
  for (int i = 0; i < OPS; i++)
    {
      struct parcel *p = random_below (&state, 8) == 0 ? NULL
                         : parcel_make (&state);
      parcel_take (x, atomic_exchange (&x->slot[random_below (&state, SLOTS)],
                                       p));
    }
  return NULL;
}

static void
visitor (void *number)
{
  pthread_t threads[THREADS];
  baton_wait (baton);
  md = heap_file ();
  for (size_t i = 0; i < THREADS; i++)
    threads[i] = thread_start (worker, (char *) number + 1000 * (i + 1));
  for (size_t i = 0; i < THREADS; i++)
    thread_end (threads[i]);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
reader (void *unused)
{
  (void) unused;
  char byte;
  baton_wait (baton);
  void *view = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (view != NULL, "%s", mmalloc_strerror (NULL));
  int n = 0;
  do
    {
      heap_is_whole (view);
      ck_assert_uint_ge (heap_stats (view).blocks_live, 1);
      n++;
    }
  while (recv (baton, &byte, 1, MSG_DONTWAIT) < 0);
  printf ("looked at %d times\n", n);
  heap_end (view);
}

START_TEST (made_here_freed_there)
{
  if (UNDER_TSAN)
    {
      skip ("ThreadSanitizer sees one process, and no order between them");
      return;
    }
  struct child child[PROCESSES], looker = child_start (reader, NULL);
  seed = random_seed ();
  for (size_t i = 0; i < PROCESSES; i++)
    child[i] = child_start (visitor, (void *) (i + 1));
  md = heap_file ();
  struct exchange *x = mcalloc (md, 1, sizeof *x);
  ck_assert_ptr_nonnull (x);
  ck_assert_int_eq (mmalloc_setkey (md, 0, x), 1);
  for (size_t i = 0; i < PROCESSES; i++)
    baton_pass (child[i].baton);
  baton_pass (looker.baton);
  for (size_t i = 0; i < PROCESSES; i++)
    ck_assert_int_eq (child_end (child[i]), 0);
  baton_pass (looker.baton);
  ck_assert_int_eq (child_end (looker), 0);
  for (size_t i = 0; i < SLOTS; i++)
    parcel_take (x, atomic_load (&x->slot[i]));
  ck_assert_uint_gt (x->n_foreign, OPS / 10);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  heap_end (md);
}
END_TEST

RUN_TESTS (made_here_freed_there)
