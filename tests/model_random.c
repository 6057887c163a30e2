/* model_random.c - random work of several threads, compared with a model.

   Each thread allocates, resizes, frees and reads blocks of its own and those
   that other threads sent it, and sets keys and roots.  What should be in the
   heap is noted in a model beside it.  At quiet points, when the threads rest,
   heap and model are compared: statistics, walk, contents, overlap, roots and
   keys, and mmalloc_check.  Between quiet points the heap is trimmed, detached
   and attached again while the threads are there, threads end and new ones
   begin, and another process looks at the file through MMALLOC_RDONLY and
   MMALLOC_PRIVATE.

   What a thread does follows from the seed alone, whatever the others do:
   letters sent in one round are read in the next.  Only how the threads
   interleave differs from run to run, so a run of one thread is repeated
   exactly.

       MMALLOC_TEST_SEED     where the random sequence starts
       MMALLOC_TEST_OPS      operations of each test
       MMALLOC_TEST_THREADS  threads of the tests with several  */

#include <stdbool.h>

#include "support.h"

enum
{
  MAX_THREADS = 16,
  N_SLOTS = 2500,              /* most blocks a thread keeps */
  N_LETTERS = 200,             /* most blocks sent to one thread in a round */
  N_ROOTS = 25,                /* names that a thread sets */
  ROUND_OPS = 16000,           /* between two quiet points, all threads */
  ROUNDS = 5,                  /* after which the threads are replaced */
  EDGE = 512                   /* bytes verified at each end of a block */
};
static const size_t default_ops = 1000000;


/* ---- The model ---------------------------------------------------------- */

struct block
{
  unsigned char *ptr;          /* NULL: none */
  size_t used;                 /* bytes with a pattern in them */
  size_t usable;
  uint64_t serial;             /* part of the pattern */
};

struct mail
{
  struct block letter[N_LETTERS];
  unsigned int n;
};

/* Everything a thread knows and does.  */
struct worker
{
  unsigned int t;
  uint64_t random;
  uint64_t serial;
  uint64_t op;                 /* for messages */
  size_t bytes;                /* of its blocks */
  struct block slot[N_SLOTS];
  void *root[N_ROOTS];
  void *key;
  struct mail in[2][MAX_THREADS];  /* by parity of the round, by sender */
  size_t n_alloc, n_null, n_resize, n_moved, n_free, n_sent, n_misuse, n_trim;
  struct { unsigned int from, next; } reading;
};

static struct run
{
  void *md;
  int kind;
  bool limited;                /* allocation may fail */
  bool guarded;
  unsigned int n_threads;
  size_t round_ops;            /* of one thread in one round */
  size_t budget;               /* bytes that one thread keeps */
  unsigned int round;
  bool over;                   /* the threads are to end */
  struct worker *workers;
  pthread_barrier_t start, finish;
  size_t n_quiet, n_attached, n_read, n_private, n_threads_made;
} run;

static _Thread_local unsigned int misuse_count;
static _Thread_local struct worker *self;

enum command { END, READ, PRIVATE_BUSY, PRIVATE };

/* What is in the heap, sorted by address; seen by the other process too.  */
static struct census
{
  void *md;
  enum command command;
  void *key[16];
  size_t n_roots;
  size_t n;
  size_t bytes;
  struct block block[];
} *census;

static void
say_where (void)
{
  if (self != NULL)
    fprintf (stderr, "thread %u, round %u, operation %" PRIu64 "\n", self->t,
             run.round, self->op);
}

/* As must, but says where in the random sequence.  */
#define holds(claim) \
  ((claim) ? (void) 0 \
   : (say_where (), ck_abort_msg ("%s", "does not hold: " #claim)))

static void
on_misuse (const char *call, void *md, const void *ptr, const char *what,
           void *arg)
{
  (void) md, (void) arg;
  if (misuse_count == UINT_MAX)
    {
      say_where ();
      ck_abort_msg ("%s (%p): %s", call, ptr, what);
    }
  misuse_count++;
}

static void
on_damage (void)
{
  ck_abort_msg ("the guards of a block were damaged");
}


/* ---- Contents ----------------------------------------------------------- */

/* Bytes FROM to END of block B, which is at AT: write the pattern, or verify
   it as far as LIMIT.  */
static void
piece (const struct block *b, unsigned char *at, size_t from, size_t end,
       size_t limit, bool put)
{
  uint64_t tag = b->serial * 0x9e3779b97f4a7c15u ^ (uintptr_t) b->ptr
                 ^ (uint64_t) b->used << 32 ^ from;
  if (put)
    block_fill (at + from, end - from, tag);
  else if (end <= limit)
    holds (block_holds (at + from, end - from, tag));
}

/* The same for all of it: both ends, and a word of each page between.  */
static void
content (const struct block *b, unsigned char *at, size_t limit, bool put)
{
  piece (b, at, 0, b->used < EDGE ? b->used : EDGE, limit, put);
  for (size_t off = KIB (4); off + 8 + EDGE <= b->used; off += KIB (4))
    piece (b, at, off, off + 8, limit, put);
  if (b->used > EDGE)
    piece (b, at, b->used < 2 * EDGE ? EDGE : b->used - EDGE, b->used, limit,
           put);
}

static void
block_verify (const struct block *b)
{
  content (b, b->ptr, b->used, false);
}


/* ---- What a thread does ------------------------------------------------- */

static size_t
pick (struct worker *w, size_t limit)
{
  return (size_t) random_below (&w->random, limit);
}

static size_t
pick_size (struct worker *w)
{
  size_t kind = pick (w, 10000);
  size_t limit = kind < 6500 ? 256 : kind < 8500 ? 1024 : kind < 9500 ? KIB (4)
                 : kind < 9900 ? KIB (40) : kind < 9997 ? KIB (400) : MIB (24);
  size_t size = 1 + pick (w, limit);
  if (w->bytes + size > run.budget)
    size = 1 + size % 256;
  return size;
}

/* The call gave no block.  That is right only in a limited heap, and only if
   no free block is large enough.  */
static void
verify_null (size_t size, size_t alignment)
{
  holds (run.limited);
  holds (errno == ENOSPC);
  if (run.n_threads > 1)
    return;
  holds (mmalloc_errno (run.md) == ENOSPC);
  if (alignment > 16 || run.guarded)
    return;
  struct mmalloc_stats stats;
  holds (mmalloc_stats (run.md, &stats) == 0);
  for (size_t i = 0; i < stats.n_classes; i++)
    if (stats.classes[i].block_size >= size)
      holds (stats.classes[i].blocks_free == 0);
}

/* A block came from the heap: note it and write into it.  */
static void
block_note (struct worker *w, struct block *b, unsigned char *ptr, size_t size,
            size_t alignment)
{
  size_t usable = mmalloc_usable_size (run.md, ptr);
  holds (usable >= size);
  holds (is_aligned (ptr, alignment));
  if (run.kind != DEFAULT_HEAP && pick (w, 50) == 0)
    holds (mmalloc_find (ptr + pick (w, size)) == run.md);
  *b = (struct block) { ptr, pick (w, 4) == 0 ? usable : size, usable,
                        w->serial++ };
  content (b, ptr, b->used, true);
  w->bytes += usable;
}

static void
block_new (struct worker *w, struct block *b)
{
  size_t size = pick_size (w);
  size_t how = pick (w, 100);
  size_t alignment = 16;
  unsigned char *ptr;
  errno = ELIBMAX;
  if (how < 65)
    ptr = mmalloc (run.md, size);
  else if (how < 80)
    {
      size_t n = 1 + pick (w, 9);
      ptr = mcalloc (run.md, n, (size + n - 1) / n);
    }
  else if (how < 85)
    ptr = mrealloc (run.md, NULL, size);
  else if (how < 86)
    {
      alignment = (size_t) sysconf (_SC_PAGESIZE);
      ptr = mvalloc (run.md, size);
    }
  else
    {
      alignment = (size_t) 1 << (how < 97 ? pick (w, 9) : pick (w, 24));
      ptr = mmemalign (run.md, alignment, size);
    }
  w->n_alloc++;
  if (ptr == NULL)
    {
      w->n_null++;
      verify_null (size, alignment);
      return;
    }
  holds (errno == ELIBMAX);
  holds (how < 65 || how >= 80 || block_is_zero (ptr, size));
  block_note (w, b, ptr, size, alignment < 16 ? 16 : alignment);
}

static void
block_resize (struct worker *w, struct block *b)
{
  size_t size = pick (w, 50) == 0 ? 0 : pick_size (w);
  if (size != 0 && pick (w, 3) == 0)
    size = b->used / 2 + 1 + size % (b->used + 1);
  block_verify (b);
  struct block old = *b;
  errno = ELIBMAX;
  unsigned char *ptr = pick (w, 2) ? mrealloc (run.md, b->ptr, size)
                                   : mreallocarray (run.md, b->ptr, size, 1);
  w->n_resize++;
  if (ptr == NULL && size != 0)
    {
      w->n_null++;
      holds (run.limited);
      holds (errno == ENOSPC);
      block_verify (b);
      return;
    }
  holds (errno == ELIBMAX);
  w->bytes -= old.usable;
  b->ptr = NULL;
  if (ptr == NULL)
    return;
  w->n_moved += ptr != old.ptr;
  content (&old, ptr, size < old.used ? size : old.used, false);
  block_note (w, b, ptr, size, 16);
}

static void
block_free (struct worker *w, struct block *b)
{
  block_verify (b);
  memset (b->ptr, 0xdd, b->used < EDGE ? b->used : EDGE);
  w->bytes -= b->usable;
  errno = ELIBMAX;
  mfree (run.md, b->ptr);
  holds (errno == ELIBMAX);
  w->n_free++;
  if (run.n_threads == 1 && pick (w, 40) == 0)
    {
      /* Nobody else can have got it meanwhile.  */
      misuse_count = 0;
      mfree (run.md, any_ptr (b->ptr));
      holds (misuse_count == 1);
      misuse_count = UINT_MAX;
      w->n_misuse++;
    }
  b->ptr = NULL;
}

/* Calls with pointers that are no blocks.  */
static void
misuse (struct worker *w, struct block *b)
{
  unsigned char *inside = b->ptr + 1 + pick (w, b->usable - 1);
  misuse_count = 0;
  switch (pick (w, 4))
    {
    case 0:
      mfree (run.md, any_ptr (inside));
      break;
    case 1:
      errno = 0;
      holds (mrealloc (run.md, any_ptr (inside), pick_size (w)) == NULL);
      holds (errno == EINVAL);
      break;
    case 2:
      holds (mmalloc_usable_size (run.md, inside) == 0);
      break;
    case 3:
      mfree (run.md, any_ptr (&inside));
      break;
    }
  holds (misuse_count == 1);
  misuse_count = UINT_MAX;
  w->n_misuse++;
}

static bool
block_send (struct worker *w, struct block *b)
{
  unsigned int to = (unsigned int) pick (w, run.n_threads);
  struct mail *mail = &run.workers[to].in[run.round % 2][w->t];
  if (to == w->t || mail->n == N_LETTERS)
    return false;
  mail->letter[mail->n++] = *b;
  w->bytes -= b->usable;
  w->n_sent++;
  b->ptr = NULL;
  return true;
}

static void
root_name (char name[40], unsigned int t, size_t i)
{
  snprintf (name, 40, "thread %u's root number %zu", t, i);
}

static void
root_change (struct worker *w)
{
  char name[40];
  size_t i = pick (w, N_ROOTS);
  root_name (name, w->t, i);
  holds (mmalloc_getroot (run.md, name) == w->root[i]);
  void *ptr = pick (w, 3) == 0 ? NULL : w->slot[pick (w, N_SLOTS)].ptr;
  if (mmalloc_setroot (run.md, name, ptr) == 0)
    w->root[i] = ptr;
  else
    holds (run.limited && errno == ENOSPC);
  holds (mmalloc_getroot (run.md, name) == w->root[i]);
  if (run.kind == DEFAULT_HEAP)
    return;
  holds (mmalloc_getkey (run.md, (int) w->t) == w->key);
  w->key = w->slot[pick (w, N_SLOTS)].ptr;
  holds (mmalloc_setkey (run.md, (int) w->t, w->key) == 1);
}

static int
look_at (void *block, size_t size, void *arg)
{
  size_t *n = arg;
  holds (is_aligned (block, 16) && size > 0);
  return ++*n >= 1000;
}

/* Calls that concern the whole heap, while the others work on it.  */
static void
whole_heap (struct worker *w)
{
  size_t n = 0;
  struct mmalloc_stats stats;
  switch (pick (w, 6))
    {
    case 0:
      holds (mmalloc_trim (run.md) >= 0);
      w->n_trim++;
      break;
    case 1:
      holds (mmalloc_walk (run.md, look_at, &n) >= 0);
      break;
    case 2:
      holds (mmalloc_stats (run.md, &stats) == 0);
      break;
    case 3:
      holds (mmalloc_prefetch (run.md) == 0);
      break;
    case 4:
      errno = ELIBMAX;
      holds (mmalloc (run.md, any_size (0)) == NULL && errno == ELIBMAX);
      mfree (run.md, NULL);
      break;
    case 5:
      holds (mmalloc (run.md, any_size (SIZE_MAX - pick (w, 4096))) == NULL);
      break;
    }
}

/* The next letter of the last round, or NULL.  */
static struct block *
letter_next (struct worker *w)
{
  struct mail *in = w->in[(run.round + 1) % 2];
  while (w->reading.from < run.n_threads)
    {
      struct mail *mail = &in[w->reading.from];
      if (w->reading.next < mail->n)
        return &mail->letter[w->reading.next++];
      mail->n = 0;
      w->reading.from++;
      w->reading.next = 0;
    }
  return NULL;
}

static void
one_op (struct worker *w)
{
  struct block *letter = pick (w, 3) == 0 ? letter_next (w) : NULL;
  struct block *b = &w->slot[pick (w, N_SLOTS)];
  size_t what = pick (w, 1000);
  if (letter != NULL)
    {
      /* Mostly freed where it arrives, else kept.  */
      w->bytes += letter->usable;
      if (what < 700 || b->ptr != NULL)
        block_free (w, letter);
      else
        {
          *b = *letter;
          letter->ptr = NULL;
          block_verify (b);
        }
    }
  else if (what < 2 && pick (w, 4) == 0)
    whole_heap (w);
  else if (what < 8)
    root_change (w);
  else if (b->ptr == NULL)
    block_new (w, b);
  else if (what < 600)
    block_free (w, b);
  else if (what < 800)
    block_resize (w, b);
  else if (what < 900)
    block_verify (b);
  else if (what < 910 && b->usable > 1)
    misuse (w, b);
  else if (!block_send (w, b))
    block_free (w, b);
}

static void *
work (void *arg)
{
  struct worker *w = self = arg;
  misuse_count = UINT_MAX;
  for (;;)
    {
      pthread_barrier_wait (&run.start);
      if (run.over)
        return NULL;
      w->reading.from = w->reading.next = 0;
      for (size_t i = 0; i < run.round_ops; i++, w->op++)
        one_op (w);
      struct block *letter;
      while ((letter = letter_next (w)) != NULL)
        {
          w->bytes += letter->usable;
          block_free (w, letter);
        }
      pthread_barrier_wait (&run.finish);
    }
}


/* ---- Comparing heap and model ------------------------------------------- */

static void
census_add (const struct block *b)
{
  if (b->ptr == NULL)
    return;
  census->block[census->n++] = *b;
  census->bytes += b->usable;
}

static int
by_address (const void *a, const void *b)
{
  const struct block *x = a, *y = b;
  return x->ptr < y->ptr ? -1 : x->ptr > y->ptr;
}

static void
census_take (void)
{
  census->md = run.md;
  census->n = census->bytes = census->n_roots = 0;
  for (unsigned int t = 0; t < run.n_threads; t++)
    {
      struct worker *w = &run.workers[t];
      for (size_t i = 0; i < N_SLOTS; i++)
        census_add (&w->slot[i]);
      for (unsigned int from = 0; from < run.n_threads; from++)
        for (unsigned int parity = 0; parity < 2; parity++)
          for (unsigned int i = 0; i < w->in[parity][from].n; i++)
            census_add (&w->in[parity][from].letter[i]);
      for (size_t i = 0; i < N_ROOTS; i++)
        census->n_roots += w->root[i] != NULL;
      census->key[t] = w->key;
    }
  qsort (census->block, census->n, sizeof *census->block, by_address);
  for (size_t i = 1; i < census->n; i++)
    holds (census->block[i - 1].ptr + census->block[i - 1].usable
           <= census->block[i].ptr);
}

/* A block met in a walk must be in the census; count it.  */
static int
census_find (void *block, size_t size, void *arg)
{
  size_t *n = arg;
  struct block key = { .ptr = block };
  const struct block *b = bsearch (&key, census->block, census->n,
                                   sizeof *census->block, by_address);
  holds (b != NULL);
  holds (b->usable == size);
  ++*n;
  return 0;
}

static int
root_count (const char *name, void *ptr, void *arg)
{
  size_t *n = arg;
  holds (ptr != NULL && name[0] == 't');
  ++*n;
  return 0;
}

/* Heap MD holds what the census says, and no more.  */
static void
census_compare (void *md)
{
  size_t n = 0, n_roots = 0, n_in_classes = 0;
  holds (mmalloc_check (md, support_finding, NULL) == 0);
  struct mmalloc_stats stats = heap_stats (md);
  ck_assert_uint_eq (stats.blocks_live, census->n);
  if (run.guarded)
    ck_assert_uint_ge (stats.bytes_live, census->bytes);
  else
    ck_assert_uint_eq (stats.bytes_live, census->bytes);
  holds (stats.n_classes <= MMALLOC_CLASSES_MAX);
  for (size_t i = 0; i < stats.n_classes; i++)
    n_in_classes += stats.classes[i].blocks_live;
  ck_assert_uint_eq (n_in_classes, census->n);
  holds (mmalloc_walk (md, census_find, &n) == 0);
  ck_assert_uint_eq (n, census->n);
  holds (mmalloc_roots (md, root_count, &n_roots) == 0);
  ck_assert_uint_eq (n_roots, census->n_roots);
  for (int i = 0; i < 16 && md != NULL; i++)
    holds (mmalloc_getkey (md, i) == census->key[i]);
}

static void
census_verify (void)
{
  for (size_t i = 0; i < census->n; i++)
    block_verify (&census->block[i]);
}


/* ---- The other process -------------------------------------------------- */

/* Look at the file, try to change it: all is refused.  */
static void
read_only (void)
{
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (md == census->md, "%s", mmalloc_strerror (NULL));
  census_compare (md);
  census_verify ();
  must_fail (md, mmalloc (md, 10), EROFS);
  must_give (mmalloc_setkey (md, 15, md), 0, EROFS);
  must_give (mmalloc_setroot (md, "t", md), -1, EROFS);
  must_give (mmalloc_trim (md), -1, EROFS);
  if (census->n != 0)
    {
      struct block *b = &census->block[census->n / 2];
      must_fail (md, mrealloc (md, b->ptr, b->usable + 1), EROFS);
      errno = 0;
      mfree (md, b->ptr);
      ck_assert_int_eq (errno, EROFS);
    }
  census_compare (md);
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* Do as one likes with a copy.  */
static void
private_copy (void)
{
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_msg (md == census->md, "%s", mmalloc_strerror (NULL));
  census_compare (md);
  census_verify ();
  for (size_t i = 0; i < census->n; i++)
    {
      struct block *b = &census->block[i];
      if (i % 4 == 0)
        memset (b->ptr, 0x55, b->used);
      if (i % 4 == 1)
        mfree (md, b->ptr);
      if (i % 4 == 2)
        (void) mrealloc (md, b->ptr, b->usable / 2 + 3 * i % 4000);
      if (i % 4 == 3)
        (void) mmalloc (md, b->usable);
    }
  mmalloc_setkey (md, 3, &md);
  mmalloc_setroot (md, "private", md);
  holds (mmalloc_check (md, support_finding, NULL) == 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}

static void
other_process (void *arg)
{
  (void) arg;
  for (;;)
    {
      baton_wait (baton);
      switch (census->command)
        {
        case END:
          return;
        case READ:
          read_only ();
          break;
        case PRIVATE_BUSY:
          must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE,
                                         NULL), EBUSY);
          break;
        case PRIVATE:
          private_copy ();
          break;
        }
      baton_pass (baton);
    }
}

static struct child other;

static void
other_does (enum command command)
{
  census->command = command;
  baton_pass (other.baton);
  if (command != END)
    baton_wait (other.baton);
}


/* ---- Quiet points ------------------------------------------------------- */

/* Attach the file in one of the ways there are.  */
static void
attach_again (size_t how)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  void *md;
  opt.fd = open (temp_heap_path (), O_RDWR | O_CLOEXEC);
  ck_assert_int_ge (opt.fd, 0);
  if (how == 0)
    md = mmalloc_open (temp_heap_path (), 0, NULL);
  else if (how == 1)
    md = mmalloc_open (NULL, 0, &opt);
  else
    md = mmalloc_attach (opt.fd, NULL);
  ck_assert_msg (md == run.md, "attach: %s", mmalloc_strerror (NULL));
  close (opt.fd);
  run.n_attached++;
  if (run.guarded)
    ck_assert_int_eq (mmcheck (md, on_damage), 1);
}

/* The threads rest, if there are any.  */
static void
quiet_point (uint64_t *random)
{
  census_take ();
  census_compare (run.md);
  if (random_below (random, 3) == 0)
    census_verify ();
  if (random_below (random, 3) == 0)
    {
      holds (mmalloc_trim (run.md) >= 0);
      census_verify ();
      census_compare (run.md);
    }
  run.n_quiet++;
  if (run.kind != IN_FILE)
    return;

  if (random_below (random, 4) == 0)
    {
      other_does (READ);
      other_does (PRIVATE_BUSY);
      run.n_read++;
    }
  if (random_below (random, 3) != 0)
    return;
  holds (random_below (random, 4) != 0 || mmalloc_sync (run.md) == 0);
  ck_assert_ptr_null (mmalloc_detach (run.md));
  if (random_below (random, 2) == 0)
    {
      other_does (PRIVATE);
      run.n_private++;
    }
  attach_again (random_below (random, 3));
  if (random_below (random, 4) == 0)
    {
      /* Twice attached is attached until the second detach.  */
      attach_again (0);
      ck_assert_ptr_null (mmalloc_detach (run.md));
    }
  census_compare (run.md);
  census_verify ();
}

static void
threads_start (pthread_t *threads)
{
  run.over = false;
  for (unsigned int t = 0; t < run.n_threads; t++)
    threads[t] = thread_start (work, &run.workers[t]);
  run.n_threads_made += run.n_threads;
}

static void
threads_end (const pthread_t *threads)
{
  run.over = true;
  pthread_barrier_wait (&run.start);
  for (unsigned int t = 0; t < run.n_threads; t++)
    thread_end (threads[t]);
}

static void
run_report (const char *name, size_t n_ops)
{
  size_t n[8] = { 0 };
  for (unsigned int t = 0; t < run.n_threads; t++)
    {
      const struct worker *w = &run.workers[t];
      const size_t add[8] = { w->n_alloc, w->n_null, w->n_resize, w->n_moved,
                              w->n_free, w->n_sent, w->n_misuse, w->n_trim };
      for (size_t i = 0; i < 8; i++)
        n[i] += add[i];
    }
  printf ("%s: %zu operations by %zu threads, %u at a time: %zu allocated "
          "(%zu refused), %zu resized (%zu moved), %zu freed, %zu sent, "
          "%zu misused, %zu trims; %zu quiet points, %zu attached, %zu read, "
          "%zu private\n", name, n_ops, run.n_threads_made, run.n_threads,
          n[0], n[1], n[2], n[3], n[4], n[5], n[6], n[7], run.n_quiet,
          run.n_attached, run.n_read, run.n_private);
  fflush (stdout);
}

static void
run_begin (int kind, unsigned int n_threads, size_t maximum, bool guarded,
           uint64_t seed)
{
  size_t most = n_threads * (N_SLOTS + (size_t) n_threads * 2 * N_LETTERS);
  run = (struct run) { .kind = kind, .n_threads = n_threads,
                       .limited = maximum != 0, .guarded = guarded,
                       .round_ops = ROUND_OPS / n_threads,
                       .budget = MIB (64) / n_threads };
  census = mmap (NULL, sizeof *census + most * sizeof *census->block,
                 PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (census, MAP_FAILED);
  run.workers = calloc (n_threads, sizeof *run.workers);
  ck_assert_ptr_nonnull (run.workers);
  for (unsigned int t = 0; t < n_threads; t++)
    {
      run.workers[t].t = t;
      run.workers[t].random = seed + t * 1000003;
      run.workers[t].serial = (uint64_t) t << 48;
    }
  pthread_barrier_init (&run.start, NULL, n_threads + 1);
  pthread_barrier_init (&run.finish, NULL, n_threads + 1);
  misuse_count = UINT_MAX;
  mmalloc_onmisuse (on_misuse, NULL);
  if (kind == IN_FILE)
    other = child_start (other_process, NULL);
  run.md = heap_limited (kind, maximum);
  if (guarded)
    ck_assert_int_eq (mmcheck (run.md, on_damage), 1);
}

/* Free what is left: the heap is empty then, and keeps next to nothing.  */
static void
run_end (void)
{
  census_take ();
  census_verify ();
  for (size_t i = 0; i < census->n; i++)
    mfree (run.md, census->block[i].ptr);
  census->n = census->bytes = 0;
  census_compare (run.md);
  holds (mmalloc_trim (run.md) >= 0);
  census_compare (run.md);
  if (run.kind == IN_FILE)
    {
      other_does (END);
      ck_assert_int_eq (child_end (other), 0);
    }
  if (run.kind != DEFAULT_HEAP)
    ck_assert_ptr_null (mmalloc_detach (run.md));
  pthread_barrier_destroy (&run.start);
  pthread_barrier_destroy (&run.finish);
}

static void
run_random (const char *name, int kind, unsigned int n_threads,
            size_t maximum, bool guarded)
{
  static const char *const kinds[] = { "anonymous", "file", "default" };
  pthread_t threads[MAX_THREADS];
  char title[80];
  uint64_t seed = random_seed ();
  size_t n_ops = setting ("MMALLOC_TEST_OPS", default_ops);
  run_begin (kind, n_threads, maximum, guarded, seed);
  for (run.round = 0; (size_t) run.round * ROUND_OPS < n_ops; run.round++)
    {
      if (run.round % ROUNDS == 0)
        threads_start (threads);
      pthread_barrier_wait (&run.start);
      pthread_barrier_wait (&run.finish);
      quiet_point (&seed);
      if (run.round % ROUNDS == ROUNDS - 1)
        {
          threads_end (threads);
          quiet_point (&seed);
        }
    }
  if (run.round % ROUNDS != 0)
    threads_end (threads);
  run_end ();
  snprintf (title, sizeof title, "%s, %s heap", name, kinds[kind]);
  run_report (title, (size_t) run.round * ROUND_OPS);
  free (run.workers);
}


/* ---- The tests ---------------------------------------------------------- */

START_TEST (one_thread)
{
  run_random ("one thread", _i, 1, 0, false);
}
END_TEST

START_TEST (several_threads)
{
  size_t n = setting ("MMALLOC_TEST_THREADS", 4);
  ck_assert (n >= 1 && n <= MAX_THREADS);
  run_random ("several threads", _i, (unsigned int) n, 0, false);
}
END_TEST

START_TEST (one_thread_in_a_full_heap)
{
  if (_i != DEFAULT_HEAP)
    run_random ("full", _i, 1, MIB (5), false);
}
END_TEST

START_TEST (several_threads_in_a_full_heap)
{
  if (_i != DEFAULT_HEAP)
    run_random ("full, several threads", _i, 3, MIB (5), false);
}
END_TEST

START_TEST (with_guards)
{
  run_random ("guarded", _i, 2, 0, true);
}
END_TEST

RUN_ON_EACH_HEAP (one_thread, several_threads, one_thread_in_a_full_heap,
                  several_threads_in_a_full_heap, with_guards)
