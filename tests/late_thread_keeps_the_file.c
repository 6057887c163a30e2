/* A thread that ends has no cache of its own any more, but its destructors may
   still allocate and free: another one that trims must not think that it is
   alone.  */

#include <stdatomic.h>
#include <stdbool.h>

/* Called with each word that is claimed, as locks are.  */
static void lock_taken (const void *word);

static bool
claim_watched (bool done, const void *word)
{
  if (done)
    lock_taken (word);
  return done;
}

#undef atomic_compare_exchange_strong_explicit
#define atomic_compare_exchange_strong_explicit(p, e, v, s, f) \
  claim_watched (__atomic_compare_exchange_n ((__typeof__ (*(e)) *) (p), (e), \
                                              (v), 0, (s), (f)), (p))
#include "inside.h"

enum { N = 3000 };
static void *md, *blocks[N];
static pthread_barrier_t inside, go_on;
static _Thread_local bool watched;

/* The lock of a shared stream is taken by those without a stream of their own:
   they are about to look at the stream's pages.  */
static void
lock_taken (const void *word)
{
  struct heap *h = (struct heap *) library_process.files;
  bool is_shared = false;
  for (uint32_t n = 1; watched && n <= h->super.n_shared; n++)
    is_shared |= word == &off_stream (h, n)->lock.word;
  if (!is_shared)
    return;
  watched = false;
  pthread_barrier_wait (&inside);
  pthread_barrier_wait (&go_on);
}

static void
late (void)
{
  watched = true;
  must (mmalloc (md, 100) != NULL);
  must (!watched);
}

START_TEST (trim_beside_a_leaving_thread)
{
  pthread_t leaving;
  md = heap_file ();
  late_threads (late);
  pthread_barrier_init (&inside, NULL, 2);
  pthread_barrier_init (&go_on, NULL, 2);
  for (int i = 0; i < N; i++)
    must ((blocks[i] = mmalloc (md, 20000)) != NULL);
  for (int i = 0; i < N; i++)
    mfree (md, blocks[i]);
  ck_assert_int_eq (pthread_create (&leaving, NULL, late_thread, md), 0);
  pthread_barrier_wait (&inside);
  mmalloc_trim (md);
  ck_assert_int_gt (file_length (temp_heap_path ()), (off_t) MIB (33));
  pthread_barrier_wait (&go_on);
  ck_assert_int_eq (pthread_join (leaving, NULL), 0);
  mmalloc_trim (md);
  ck_assert_int_lt (file_length (temp_heap_path ()), (off_t) MIB (33));
  heap_end (md);
}
END_TEST

RUN_TESTS (trim_beside_a_leaving_thread)
