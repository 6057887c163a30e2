/* Whoever has a heap open for writing can change any of its words at any
   moment, also between a look at it and its use.  That may spoil what is in
   the heap.  It leads no call of another process out of the mapping, over its
   own memory or into a loop without end.

   The words are changed through a second mapping of the file, as a neighbour
   does: one at a time to the worst values, between two calls; some at random,
   between any two calls; one to and fro by a thread, while calls run; and one
   between any two reads of it: its page cannot be touched, and each
   instruction that tries is let through alone.  Beside the mapping lies memory
   that cannot be touched, behind the thread's cache as well.  The file is as
   long as the mapping, and stays so: what a neighbour does by truncating it is
   not what is tried here.

   The heap ends with a chunk that is too short for an index.  Not tried: words
   that say that somebody has a lock, or a slot call or root under way, for
   which others have to wait.  */

#include "hostile/hostile.h"

#include <ucontext.h>

static struct image image;
static uint64_t seed;
static struct heap *heap;       /* the one under test, open */
static void nothing (void) {}
static void (*between) (void) = nothing; /* two calls */


/* ---- Calls -------------------------------------------------------------- */

static int
keep_length (int fd, off_t len)
{
  struct stat st;
  NEED (fstat (fd, &st) == 0);
  return st.st_size < len ? ftruncate (fd, len) : 0;
}

static int
sync_inside (void *p, size_t len, int flags)
{
  (void) flags;
  MUST ((uintptr_t) p == heap->file.base && len <= heap->file.mapped);
  return 0;
}

/* The thread's cache is followed by memory that cannot be touched.  */
static void
lonely_cache (void)
{
  size_t size = round_up (sizeof (struct cache), 64);
  size_t room = round_up (size, MM_PAGE);
  char *p = mmap (NULL, room + MIB (1), PROT_NONE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  NEED (p != MAP_FAILED);
  NEED (mprotect (p, room, PROT_READ | PROT_WRITE) == 0);
  thread.all = NULL;
  thread.last = &no_cache;
  process.free_caches = NULL;
  process.fresh = p + room - size;
  process.fresh_caches = 1;
}

static char *
begin (const struct image *im, struct use *u)
{
  static pid_t begun;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  /* A fork child has other caches.  */
  if (begun != getpid ())
    lonely_cache ();
  begun = getpid ();
  os.ftruncate = keep_length;
  os.msync = sync_inside;
  NEED (ftruncate (hostile_fd, (off_t) im->capacity) == 0);
  opt.fd = hostile_fd;
  u->md = mmalloc_open (NULL, 0, &opt);
  NEED (u->md != NULL);
  heap = (struct heap *) process.files;
  u->mapped = u->end = heap->file.mapped;
  NEED (u->mapped == im->capacity);
  return u->md;
}

static enum outcome
end (struct use *u)
{
  MUST (mmalloc_detach (u->md) == NULL);
  return HARMLESS;
}

/* A block, if there is one, is inside, and its first and last bytes are
   written.  */
static char *
block (struct use *u, void *p, size_t size)
{
  if (p != NULL)
    {
      use_inside (u, p, size, u->mapped);
      ((char *) p)[0] = ((char *) p)[size - 1] = 1;
    }
  between ();
  return p;
}

static size_t
usable (struct use *u, const void *p)
{
  size_t n = mmalloc_usable_size (u->md, p);
  if (n > 0)
    use_inside (u, p, n, u->mapped);
  between ();
  return n;
}

static int
see_block (void *p, size_t size, void *arg)
{
  use_inside (arg, p, size, ((struct use *) arg)->mapped);
  between ();
  return 0;
}

static int
see_root (const char *name, void *p, void *arg)
{
  (void) p, (void) arg;
  MUST (strlen (name) <= MM_NAME_MAX);
  between ();
  return 0;
}

static int
make_root (void *root, size_t size, void *arg)
{
  block (arg, root, size);
  return 0;
}

static void
call_lookers (struct use *u)
{
  struct mmalloc_stats st;
  mmalloc_check (u->md, NULL, NULL);
  between ();
  mmalloc_walk (u->md, see_block, u);
  mmalloc_roots (u->md, see_root, u);
  mmalloc_stats (u->md, &st);
  between ();
  if (u->n % 8 == 0)
    mmalloc_prefetch (u->md);
  mmalloc_sync (u->md);
  between ();
}

static void
call_roots (struct use *u)
{
  static const char *const names[] = { "root 1", "root 7", "new", "newer" };
  for (size_t i = 0; i < 4; i++)
    {
      mmalloc_getroot (u->md, names[i]);
      between ();
      mmalloc_setroot (u->md, names[i], i % 2 ? u->md : NULL);
      between ();
    }
  mmalloc_makeroot (u->md, "made", 200, make_root, u);
  between ();
  mmalloc_makeroot (u->md, "made", 300, make_root, u);
  between ();
}

static void
call_slots (struct use *u)
{
  void **slot = mcalloc (u->md, 4, sizeof *slot);
  between ();
  if (slot == NULL)
    return;
  mmalloc_to (u->md, &slot[0], 100);
  between ();
  mrealloc_in (u->md, &slot[0], 50000);
  between ();
  mmalloc_move (u->md, &slot[1], &slot[0]);
  between ();
  mfree_from (u->md, &slot[1]);
  between ();
  mfree (u->md, slot);
}

/* Pointers to everywhere.  */
static void
call_misusers (struct use *u)
{
  for (size_t c = 0; c <= u->mapped; c += MM_CHUNK)
    for (size_t s = 0; s < 3; s++)
      {
        usable (u, u->md + c + s * MM_SLICE);
        mfree (u->md, u->md + c + s * MM_SLICE);
        between ();
      }
  usable (u, u->md + u->mapped - 16);
  mfree (u->md, u->md + u->mapped - 16);
}

static void
call_blocks (struct use *u, const struct image *im)
{
  static const size_t sizes[] = { 1, 40, 100, 333, 1000, 3000, 30000, 50000,
                                  150000 };
  enum { N = sizeof sizes / sizeof *sizes };
  char *got[N], *md = u->md;
  for (size_t i = 0; i < N; i++)
    got[i] = block (u, mmalloc (md, sizes[i]), sizes[i]);
  for (int i = 0; i < 200; i++)
    block (u, mmalloc (md, 100), 100);
  for (size_t i = 0; i < im->n_live; i++)
    {
      char *p = md + im->live[i];
      size_t n = i % 3 == 0 || i + 8 > im->n_live ? usable (u, p) : 0;
      if (n >= MIB (30) && (u->n % 4 == 0 || i % 2))
        block (u, mrealloc (md, p, n - MIB (1)), n - MIB (1));
      else if (n >= MM_SLICE && n < MIB (1))
        block (u, mrealloc (md, p, n + 1), n + 1);
      else if (i % 5 == 0)
        block (u, mrealloc (md, p, 5000), 5000);
      else if (i % 5 < 3)
        mfree (md, p);
      between ();
    }
  for (size_t i = 0; i < N; i++)
    if (got[i] != NULL && i % 2)
      block (u, mrealloc (md, got[i], sizes[i] * 2), sizes[i] * 2);
    else
      mfree (md, got[i]);
  block (u, mcalloc (md, 1, 100000), 100000);
  block (u, mmemalign (md, 4096, 100), 100);
  mfree (md, block (u, mmalloc (md, MIB (33)), MIB (33)));
  between ();
}

static void
call_all (struct use *u, const struct image *im)
{
  call_lookers (u);
  call_blocks (u, im);
  call_roots (u);
  call_slots (u);
  call_misusers (u);
  mmalloc_trim (u->md);
  between ();
  call_lookers (u);
  call_blocks (u, im);
  mmalloc_trim (u->md);
}


/* ---- Words and values --------------------------------------------------- */

/* A word of the file: where, and how many bytes.  */
struct word
{
  size_t off, bytes;
};

#define WORD(at) ((struct word){ off_file (heap, (const void *) (at)), \
                                 sizeof *(at) })

static void
change (struct word w, uint64_t value)
{
  /* In one piece, as a neighbour would, and the lower half if it is short.  */
  char *at = hostile_view + w.off;
  if (w.bytes == 8)
    word_publish ((disk_u64 *) (void *) at, value);
  else if (w.bytes == 4)
    word_publish ((disk_u32 *) (void *) at, (uint32_t) value);
  else
    word_publish ((_Atomic uint16_t *) (void *) at, (uint16_t) value);
}

static uint64_t
value_of (struct word w)
{
  uint64_t value = 0;
  memcpy (&value, hostile_view + w.off, w.bytes);
  return value;
}

/* Words of the directory, heads, numbers of slices, lengths.  */
static uint64_t
bad_value (size_t i)
{
  size_t last = heap->n_chunks - 1;
  const uint64_t values[] = {
    0, UINT64_MAX, UINT64_MAX >> 1, UINT32_MAX, UINT64_C (1) << 63,
    dir_paged (0, 0xffff), dir_paged (1, 0xffff), dir_paged (2048, 0xffff),
    dir_paged (0xffff, 0xffff), dir_huge (0, UINT32_MAX),
    dir_huge (0xfff, UINT32_MAX), dir_huge (0xfff, 1), dir_huge (0, 9000),
    dir_huge (0, 0), dir_cont (0), dir_cont (1), dir_cont (last),
    dir_cont (last + 1), dir_cont (UINT32_MAX), UINT64_C (0xf) << 16,
    head_make (HEAD_LARGE, 0, 0, 0, 0xffff),
    head_make (HEAD_PAGE, HEAD_HELD, 2, 63, 8),
    head_make (HEAD_PAGE, HEAD_HELD, 0xffff, 39, 8),
    head_make (HEAD_PAGE, HEAD_ACTIVE, 2, 255, 0xffff),
    head_make (HEAD_PAGE, HEAD_THIN, 1, 39, 8),
    head_make (HEAD_ROOTS, 0, 0, 0, 1), head_cont (1), head_cont (2047),
    slice_number (last, 0), slice_number (last, 1), slice_number (last, 3),
    slice_number (last, 2047), slice_number (last + 1, 0),
    slice_number (0, 2047), slice_number (0, 3), heap->capacity - 8,
    heap->capacity + 8, (uint64_t) slice_number (last, 0) << 32 | 16,
    65535, 12345 << 3
  };
  return i < sizeof values / sizeof *values ? values[i] : UINT64_MAX - 1;
}
enum { BAD_VALUES = 40 };

/* The words that are tried, the most telling ones first.  */
enum { WORDS_MAX = 2000 };
static struct word words[WORDS_MAX];
static size_t n_words;

static void
add (struct word w)
{
  NEED (n_words < WORDS_MAX);
  words[n_words++] = w;
}

static void
find_words (void)
{
  static const unsigned classes[] = { 0, 2, 6, 19, 20, 26, 35, 39 };
  struct disk_locks *l = heap->locks;
  struct disk_root *root = heap->root;
  n_words = 0;
  for (size_t c = 0; c < heap->n_chunks; c++)
    add (WORD (&heap->dir[c]));
  add (WORD (&root->length));
  add (WORD (&root->used));
  add (WORD (&root->guards));
  add (WORD (&root->slab));
  add (WORD (&root->local));
  add (WORD (&l->claim));
  add (WORD (&l->index_epoch));
  add (WORD (&l->reach_epoch));
  add (WORD (&l->streams_ready));
  add (WORD (&l->n_orphans));
  add (WORD (&l->sweep_at));
  add (WORD (&l->n_backed));
  add (WORD (&l->ops_busy));
  add (WORD (&l->n_taken));
  add (WORD (&l->sweep_gap));
  add (WORD (&l->roots_doubt));
  add (WORD (&heap->procs[5].mapped));
  add (WORD (&heap->procs[heap->entry].mapped));
  for (uint32_t n = 1; n <= size_min (3, heap->super.n_streams); n++)
    {
      struct disk_stream *st = off_stream (heap, n);
      add (WORD (&st->queue));
      add (WORD (&st->owner));
      for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        {
          add (WORD (&st->first[classes[i]]));
          add (WORD (&st->last[classes[i]]));
          add (WORD (&st->active[classes[i]]));
        }
    }
  add (WORD (&heap->op[0].slot));
  add (WORD (&heap->op[0].fresh));
  add (WORD (&heap->op[0].old));
  add (WORD (&heap->op[0].locked));
  add (WORD (&heap->op[0].moved));
  size_t roots = 0, ready = run_ready (heap, 0), n;
  for (size_t b = 0; b < MM_BUCKETS && roots < 6; b++)
    if (word_peek (&heap->bucket[b]) != 0)
      {
        struct disk_name *name = root_at (heap, heap->bucket[b]);
        add (WORD (&heap->bucket[b]));
        add (WORD (&name->next));
        add (WORD (&name->turn));
        add (WORD (&name->room));
        add (WORD (&name->len));
        roots++;
      }
  for (size_t i = 0; i < 4; i++)
    {
      add (WORD (&off_index (heap, 0)->free[i * 8]));
      add (WORD (&off_index (heap, 0)->backed[i * 8]));
    }
  uint64_t head;
  for (size_t s = slice_first_data (heap, 0); s < ready && n_words < 500;
       s += size_max (n, 1))
    {
      n = run_look (heap, 0, s, ready, &head);
      struct disk_slice *r = off_record (heap, 0, s);
      add (WORD (&r->head));
      if (head_kind (head) != HEAD_PAGE)
        continue;
      add (WORD (&r->link));
      add (WORD (&r->queue));
      add (WORD (&r->foreign));
      add (WORD (&r->own[0]));
      add (WORD (&r->holes));
    }
}

/* A neighbour has said that the last chunk has records, or also that the heap
   is longer than it can be.  */
enum { AS_IT_IS, LAST_CHUNK, LONG_HEAP, FORGED };
static void
forge (uint64_t what)
{
  if (what >= LAST_CHUNK)
    change (WORD (&heap->dir[heap->n_chunks - 1]), dir_paged (2048, 0xffff));
  if (what >= LONG_HEAP)
    change (WORD (&heap->root->length), UINT64_MAX / 4);
}


/* ---- One word, between two calls ---------------------------------------- */

static enum outcome
one_word (const struct image *im, uint64_t n)
{
  struct use u = { .n = n };
  uint64_t number = some_number (n);
  begin (im, &u);
  find_words ();
  /* This thread has a stream and pages in its bins.  */
  for (size_t size = 16; size <= 32768; size *= 2)
    mfree (u.md, mmalloc (u.md, size));
  forge (number / BAD_VALUES % FORGED);
  change (words[number / BAD_VALUES / FORGED % n_words],
          bad_value (number % BAD_VALUES));
  call_all (&u, im);
  return end (&u);
}

static uint64_t
count_words (const struct image *im)
{
  struct use u = { .n = 0 };
  base_restore (im);
  begin (im, &u);
  find_words ();
  end (&u);
  return n_words * FORGED * BAD_VALUES;
}


/* ---- Words at random, between any two calls ------------------------------ */

static uint64_t chance;

static void
change_some (void)
{
  if (random_below (&chance, 8) == 0)
    change (words[random_below (&chance, n_words)],
            bad_value (random_below (&chance, BAD_VALUES)));
  if (random_below (&chance, 16) == 0)
    {
      struct word w = words[random_below (&chance, n_words)];
      change (w, value_of (w) ^ UINT64_C (1) << random_below (&chance, 64));
    }
}

static enum outcome
some_words (const struct image *im, uint64_t n)
{
  struct use u = { .n = n };
  begin (im, &u);
  find_words ();
  chance = seed + n;
  between = change_some;
  call_all (&u, im);
  between = nothing;
  return end (&u);
}


/* ---- To and fro, while calls run ----------------------------------------- */

static _Atomic bool racing;
static struct word raced;
static uint64_t raced_value[2];

static void *
race (void *arg)
{
  (void) arg;
  for (unsigned i = 0; word_peek (&racing); i++)
    change (raced, raced_value[i % 2]);
  return NULL;
}

static enum outcome
to_and_fro (const struct image *im, uint64_t n)
{
  struct use u = { .n = n };
  pthread_t other;
  begin (im, &u);
  find_words ();
  uint64_t state = seed - n;
  raced = words[random_below (&state, n_words)];
  raced_value[0] = value_of (raced);
  raced_value[1] = bad_value (random_below (&state, BAD_VALUES));
  word_put (&racing, true);
  NEED (pthread_create (&other, NULL, race, NULL) == 0);
  call_all (&u, im);
  word_put (&racing, false);
  NEED (pthread_join (other, NULL) == 0);
  return end (&u);
}


/* ---- Between any two reads ----------------------------------------------- */

#ifdef __x86_64__

/* The page that is watched, the word in it, and before which of its reads it
   changes.  */
static char *watched;
static struct word watched_word;
static uint64_t watched_value;
static unsigned watched_reads, watched_at;

static void
watch_touch (int sig, siginfo_t *info, void *context)
{
  ucontext_t *uc = context;
  char *at = info->si_addr;
  if (watched == NULL || at < watched || at >= watched + MM_PAGE)
    {
      run_signal (sig, info, context);
      return;
    }
  if (off_file (heap, at) == watched_word.off
      && watched_reads++ == watched_at)
    change (watched_word, watched_value);
  mprotect (watched, MM_PAGE, PROT_READ | PROT_WRITE);
  uc->uc_mcontext.gregs[REG_EFL] |= 0x100;
}

static void
watch_touched (int sig, siginfo_t *info, void *context)
{
  ucontext_t *uc = context;
  (void) sig, (void) info;
  uc->uc_mcontext.gregs[REG_EFL] &= ~0x100;
  if (watched != NULL)
    mprotect (watched, MM_PAGE, PROT_NONE);
}

static void
watch (struct word w, uint64_t value, unsigned at)
{
  struct sigaction action = { .sa_flags = SA_SIGINFO | SA_ONSTACK };
  action.sa_sigaction = watch_touch;
  NEED (sigaction (SIGSEGV, &action, NULL) == 0);
  action.sa_sigaction = watch_touched;
  NEED (sigaction (SIGTRAP, &action, NULL) == 0);
  watched_word = w;
  watched_value = value;
  watched_reads = 0;
  watched_at = at;
  watched = (char *) heap->file.base + w.off / MM_PAGE * MM_PAGE;
  NEED (mprotect (watched, MM_PAGE, PROT_NONE) == 0);
}

static void
watch_end (void)
{
  char *page = watched;
  watched = NULL;
  NEED (mprotect (page, MM_PAGE, PROT_READ | PROT_WRITE) == 0);
}

/* The record of the block at P.  */
static struct disk_slice *
record_of (const void *p)
{
  struct place at;
  NEED (place_find (heap, p, true, &at) == NULL);
  return at.r;
}

/* What is done while a word changes.  */
enum { FREES, RESIZES, RESIZES_MORE, MEASURES, NAMES, IS_LATE, LOOKS, FREES_ALL,
       SWEEPS, ACTIONS };

static void
act (struct use *u, const struct image *im, unsigned action, char *p,
     struct disk_op *op)
{
  char *q;
  switch (action)
    {
    case FREES:
      mfree (u->md, p);
      break;
    case RESIZES:
    case RESIZES_MORE:
      q = mrealloc (u->md, p, action == RESIZES ? 600 : 150000);
      if (q != NULL)
        use_inside (u, q, action == RESIZES ? 600 : 150000, u->mapped);
      break;
    case MEASURES:
      usable (u, p);
      break;
    case NAMES:
      call_roots (u);
      break;
    case IS_LATE:
      if (lock_heap (heap))
        {
          maker_is_late_locked (heap, op);
          unlock_heap (heap);
        }
      break;
    case LOOKS:
      call_lookers (u);
      break;
    case FREES_ALL:
      for (size_t i = 0; i < im->n_live; i++)
        mfree (u->md, u->md + im->live[i]);
      break;
    default:
      mmalloc_trim (u->md);
    }
}

/* The words, with values that are as bad as can be.  */
enum { LENGTH_OF_NAME, CLASS_OF_PAGE, KIND_OF_PAGE, SLICES_OF_LARGE, NO_LARGE,
       SLICES_OF_HUGE, NO_HUGE, NO_CHUNK, MANY_RECORDS, NO_LENGTH, GUARD,
       NEXT_NAME, WATCHES };
enum { READS = 20 };            /* before which of them it changes */

static enum outcome
between_reads (const struct image *im, uint64_t n)
{
  struct use u = { .n = n };
  unsigned at = (unsigned) (n % READS), action = (unsigned) (n / READS % ACTIONS);
  unsigned what = (unsigned) (n / READS / ACTIONS);
  struct word w;
  struct root_walk walk;
  uint64_t value = UINT64_MAX;
  char *md = begin (im, &u);
  char *small = mmalloc (md, 500), *large = mmalloc (md, 100000), *p = small;
  char *huge = im->kind == BASE_BIG ? mmalloc (md, MIB (20)) : NULL;
  NEED (small != NULL && large != NULL);
  struct disk_name *name = root_find (heap, "root 1", 6, &walk);
  struct disk_op *op = &heap->op[1];
  NEED (name != NULL);
  word_put (&op->slot, off_file (heap, &name->value));
  switch (what)
    {
    case LENGTH_OF_NAME:
      name->room = 65535;
      w = WORD (&name->len);
      value = 65000;
      break;
    case CLASS_OF_PAGE:
    case KIND_OF_PAGE:
      w = WORD (&record_of (small)->head);
      value = what == CLASS_OF_PAGE
                ? value_of (w) | UINT64_C (0xff) << 24
                : head_make (HEAD_LARGE, 0, 0, 0, 0xffff);
      break;
    case SLICES_OF_LARGE:
    case NO_LARGE:
      w = WORD (&record_of (p = large)->head);
      value = what == NO_LARGE ? 0 : head_make (HEAD_LARGE, 0, 0, 0, 0xffff);
      break;
    case SLICES_OF_HUGE:
    case NO_HUGE:
      if ((p = huge) == NULL)
        return end (&u);
      w = WORD (&heap->dir[(size_t) (huge - md) >> MM_CHUNK_SHIFT]);
      value = what == NO_HUGE ? 0 : dir_huge (0, UINT32_MAX);
      break;
    case NO_CHUNK:
    case MANY_RECORDS:
      w = WORD (&heap->dir[0]);
      value = what == NO_CHUNK ? 0 : dir_paged (0xffff, 0xffff);
      p = large;
      break;
    case NO_LENGTH:
      w = WORD (&heap->root->length);
      value = 0;
      p = huge != NULL ? huge : large;
      break;
    case GUARD:
      w = WORD ((uint64_t *) (void *) (small - sizeof (struct guard)));
      break;
    default:
      w = WORD (&name->next);
      value = heap->capacity - 64;
    }
  watch (w, value, at);
  act (&u, im, action, p, op);
  watch_end ();
  return end (&u);
}

#endif


/* ---- What cannot be waited for ------------------------------------------- */

static int
no_block_is_seen (struct heap *h, const struct place *block, void *arg)
{
  (void) h;
  (void) block;
  (void) arg;
  return 1;
}

static int
no_huge_block_is_seen (struct heap *h, const struct sight *seen, void *arg)
{
  (void) h;
  (void) arg;
  return seen->r == NULL;
}

/* Numbers that would have to change between two reads, or that only show where
   memory ends in an unlucky place.  */
static enum outcome
by_hand (const struct image *im, uint64_t n)
{
  struct use u = { .n = n };
  char *md = begin (im, &u);
  uint64_t length = off_seen (heap), dir = value_of (WORD (&heap->dir[0]));
  size_t longest, first = slice_first_data (heap, 0), bucket = 0;
  while (word_peek (&heap->bucket[bucket]) == 0)
    bucket++;
  uint64_t root = word_peek (&heap->bucket[bucket]);
  /* A page ends behind what this process could map.  */
  struct place at;
  char *block = mmalloc (md, 3000);
  MUST (block != NULL && place_find (heap, block, true, &at) == NULL);
  struct sight seen = { .c = at.number / MM_CHUNK_SLICES,
                        .s = at.number % MM_CHUNK_SLICES, .head = at.head,
                        .r = at.r,
                        .n = class_table[head_class (at.head)].slices };
  struct sight_call call = { .fn = no_block_is_seen };
  MUST (seen.n > 1 && sight_blocks (heap, &seen, &call) == 1);
  word_put (&heap->file.mapped,
            (size_t) (off_slice (heap, seen.c, seen.s + 1) - md));
  MUST (place_find (heap, block, true, &at) == place_foreign);
  MUST (sight_blocks (heap, &seen, &call) == 0);
  /* And before a large block, and before a slice of roots.  */
  word_put (&heap->file.mapped, MM_CHUNK + MM_SLICE);
  MUST (walk_heap (heap, no_huge_block_is_seen, NULL) == 0);
  word_put (&heap->file.mapped, root & ~(uint64_t) (MM_SLICE - 1));
  MUST (root_at (heap, root) == NULL);
  word_put (&heap->file.mapped, im->capacity);
  MUST (root_at (heap, root) != NULL);
#ifdef __x86_64__
  /* The records become fewer while a place in a large block is found.  */
  char *large = mmalloc (md, 100000);
  for (unsigned i = 0; i < READS; i++)
    {
      watch (WORD (&heap->dir[0]), 0, i);
      const char *told = place_find (heap, large + 5000, true, &at);
      watch_end ();
      MUST (told != NULL || (size_t) (large + 5000 - at.start) < at.usable);
      change (WORD (&heap->dir[0]), dir);
    }
#endif
  /* The records have become fewer.  */
  MUST (run_covers (head_make (HEAD_LARGE, 0, 0, 0, 9), 5, 3) == 0);
  /* A guarded block has become shorter than what was asked for.  */
  at = (struct place){ .start = md, .usable = 16 };
  MUST (guard_tail (&at, md + 32, 10) == 0);
  /* A run begins in a chunk and ends in the next one.  */
  change (WORD (&heap->dir[0]), dir_paged (0xffff, 0xffff));
  MUST (!run_is_inside (heap, 2047, 2));
  change (WORD (&heap->dir[0]), dir);
  /* Slices of the heap's own are free: growth would find them for ever.  */
  MUST (lock_heap (heap));
  change (WORD (&run_index_locked (heap, 0)->free[0]), UINT64_MAX);
  MUST (run_search_in_locked (heap, 0, 1, MM_SLICE, MAP_FREE, first + 1,
                              &longest) == first);
  unlock_heap (heap);
  /* The length gets less: what was in use is not unmapped, and a block that
     lies behind it has nothing to give back.  */
  size_t c = im->kind == BASE_BIG ? 1 : 0;
  change (WORD (&heap->root->length), MM_OFF_RECORDS);
  MUST (!grow_give_way (heap, heap->file.base + MIB (1)));
  MUST (heap->file.mapped == im->capacity);
  MUST (lock_heap (heap));
  MUST (c == 0 || dir_kind (dir_get (heap, c)) == DIR_HUGE);
  MUST (huge_give_locked (heap, slice_number (c, 0)) == 0);
  unlock_heap (heap);
  change (WORD (&heap->root->length), length);
  /* Streams come by the page.  */
  change (WORD (&heap->locks->streams_ready), 2);
  MUST (stream_grow (heap) == ENOLCK);
  /* No slice is in use: there is no chunk before the first.  */
  change (WORD (&heap->root->length), 0);
  change (WORD (&heap->dir[-1]), dir_cont (UINT32_MAX));
  MUST (trim_end (heap) >= md);
  /* Nor one that the first belongs to.  */
  change (WORD (&heap->dir[0]), dir_cont (UINT32_MAX));
  MUST (trim_end (heap) >= md);
  return end (&u);
}

/* A part of the cases of one_word: the first ones, and of the others each
   STRIDE-th from a random one on.  How many.  */
static uint64_t
choose_words (void)
{
  uint64_t state = seed, all = count_words (&image);
  some.every = 1000;
  some.stride = setting ("MMALLOC_STRIDE", 151);
  some.first = some.every + random_below (&state, some.stride);
  return some.every + (all - some.first + some.stride - 1) / some.stride;
}

int
main (void)
{
  uint64_t n = setting ("MMALLOC_DAMAGES", 400), tried = 0;
  int failed = 0;
  seed = random_seed ();
  base_capacity = MIB (160) + KIB (20);
  for (int kind = 0; kind < BASE_KINDS; kind++)
    {
      base_make (&image, (enum base_kind) kind);
      const struct { run_case fn; const char *name; uint64_t n; } parts[] = {
        { by_hand, "by hand", 1 },
#ifdef __x86_64__
        { between_reads, "between reads", WATCHES * ACTIONS * READS },
#endif
        { one_word, "one word", choose_words () },
        { some_words, "some words", n / 4 },
        { to_and_fro, "to and fro", n / 20 },
      };
      for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        {
          failed += run_cases (&image, parts[i].fn, parts[i].name, parts[i].n);
          tried += parts[i].n;
        }
    }
  return closing_line ((int) tried, failed, 0);
}
