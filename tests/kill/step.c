/* step.c - killed after every instruction of an operation.

   A victim, which is a child process, carries out one operation on a heap file
   under PTRACE_SINGLESTEP.  After each instruction its parent looks at the
   file.  A dead process leaves nothing but the file: its locks are dropped by
   the kernel, its private memory is gone.  So when the file's bytes have not
   changed since the last look, this death leads where the last one led.  When
   they have, the parent plays the death, twice, on a copy of the file:

     opener      everybody died; a process opens the file, in a new epoch
     neighbour   a process that was attached all the time goes on; mutexes that
                 the victim held are made anew, as a copy cannot tell their
                 owner's death, and dead_owner_locked is called for the heap lock

   and each time: mmalloc_check finds nothing; every block that was live before
   is live, once, and holds what was written to it; blocks that the operation
   frees may be gone; at most as many unknown blocks are live as the operation
   may leak; roots and keys are as before or as the operation sets them.  Then
   the survivor allocates, frees and sets roots, and all is looked at again.
   At last it frees all blocks, trims, and no page may remain in use but those
   of a living neighbour.  Claims of disk blocks must be true at each moment:
   the file has at least the blocks that its bits say.

   When the operation has ended, nothing may be in doubt any more.

   Without more ado deaths are played in each of an operation's first states
   and in ever fewer of the later ones.

   usage: step [NAME...]        the named operations only
   MMALLOC_KILL_STRIDE=n        play every n-th state's death; 1: all
   MMALLOC_KILL_PATIENCE=n      seconds until a survivor is said to hang
   MMALLOC_KILL_TRACE=1         print each state  */

#include "death.h"


/* ---- What everybody knows ----------------------------------------------- */

struct block
{
  char *p;
  size_t size;
  uint64_t tag;
  bool doubt;           /* the operation frees it, perhaps */
};

enum { BLOCKS_MAX = 8192 };

/* Shared by victim, neighbour and parent: the truth about the heap, and what
   the operation may change.  */
static struct plan
{
  size_t n;
  struct block block[BLOCKS_MAX];
  unsigned may_leak;            /* unknown blocks that may be live */
  size_t want;                  /* the size of the new block */
  size_t moved;                 /* block that realloc moves, + 1 */
  void **slot;                  /* where a slot call stores, or NULL */
  void *slot_old;               /* ... and what was there before */
  void **from;                  /* the word that a block leaves for it */
  void *carried;                /* ... this one */
  void **kept;                  /* a word that no call is about */
  bool recovers;                /* there may be slot calls to recover */
  char root[64];                /* the root that the operation sets */
  void *root_old, *root_new;
  char gone[64];                /* a root that was forgotten before */
  int key;                      /* the key that it sets, or -1 */
  void *key_old, *key_new;
  size_t n_roots;               /* roots "root 0"... with values ROOT (i) */
  bool no_count;                /* the count of backed slices is made up */
  bool booted;                  /* the machine went down */
  bool made;                    /* a root of WANT bytes is made */
  int inits, filled;            /* its function began, and ended with 0 */
  bool no_end;                  /* an earlier death leaves doubts for ever */
  void *result;                 /* of the finished operation */
  struct neighbour neighbour;
} *plan;

#define ROOT(i) ((void *) (UINT64_C (0x1000) + (i) * 16))

static char file[PATH_MAX + 64], copy[PATH_MAX + 64];
static uint64_t next_tag = 1;

static size_t
plan_add (void *p, size_t size, uint64_t tag)
{
  NEED (p != NULL && plan->n < BLOCKS_MAX);
  plan->block[plan->n] = (struct block) { p, size, tag, false };
  return plan->n++;
}

/* Allocate a block that all must keep; its number in the plan.  */
static size_t
make (void *md, size_t size)
{
  void *p = mmalloc (md, size);
  uint64_t tag = next_tag++ << 20 | (uint64_t) (getpid () & 0xfffff);
  if (p == NULL)
    broken ("no block of %zu bytes", size);
  kill_fill (p, size, tag);
  return plan_add (p, size, tag);
}

static void
make_many (void *md, size_t size, size_t n)
{
  while (n-- > 0)
    make (md, size);
}

/* Free block I of the plan and forget it.  */
static void
unmake (void *md, size_t i)
{
  mfree (md, plan->block[i].p);
  memmove (&plan->block[i], &plan->block[i + 1],
           (--plan->n - i) * sizeof plan->block[0]);
}

/* Pages of a class full to the last block: so many blocks.  */
static size_t
page_count (size_t size)
{
  return class_table[class_of (size, 16)].count;
}

static void
in_thread (void *(*fn) (void *), void *md)
{
  pthread_t t;
  NEED (pthread_create (&t, NULL, fn, md) == 0);
  NEED (pthread_join (t, NULL) == 0);
}


/* ---- The operations ----------------------------------------------------- */

/* PREPARE runs in the victim, OPERATE under the stepper.  Static variables
   carry pointers from one to the other.  */
struct operation
{
  const char *name;
  size_t capacity;              /* of the heap */
  unsigned flags;
  void (*prepare) (void *md);
  void (*operate) (void *md);
  const char *crashed;          /* first an operation of this name is killed */
  bool (*when) (struct heap *); /* ... as soon as this holds */
};
enum
{
  ALONE = 1,       /* no neighbour */
  OPENS = 2,       /* the operation opens the file itself */
  EMPTY = 4,       /* ... which is empty */
  TIGHT = 8,       /* the heap is full: survivors may find no room */
  GUARDED = 16,    /* mmcheck */
  LONG = 64,       /* many points: only when all are asked for */
  COPIED = 32,     /* the file was copied since it was used last */
  SLOT = 128,      /* a slot call: nothing may leak */
  FREED = 256,     /* the earlier death has freed the slot's block */
  BOOTED = 512     /* the machine went down with the heap in use */
};

#define SMALL_HEAP MIB (1)      /* without exclusive streams */
#define HEAP MIB (16)
#define BIG_HEAP MIB (192)      /* six chunks */

static size_t op_size, op_align;
static void *op_ptr;

static void
some_blocks (void *md)
{
  static const size_t sizes[] = { 16, 64, 200, 1024, 3000, 9000, 40000 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    make_many (md, sizes[i], i < 4 ? 5 : 1);
  for (size_t i = 0; i < 3; i++, plan->n_roots++)
    {
      char name[32];
      snprintf (name, sizeof name, "root %zu", plan->n_roots);
      NEED (mmalloc_setroot (md, name, ROOT (plan->n_roots)) == 0);
    }
}

/* Whatever free memory the heap has, use it up, in LARGE blocks.  */
static void
use_backed (void *md)
{
  struct mmalloc_stats st;
  uint64_t tag = 77;
  for (;;)
    {
      NEED (mmalloc_stats (md, &st) == 0);
      if (st.largest_free == 0)
        break;
      size_t n = st.largest_free;
      void *p = mmalloc (md, n > MM_SMALL_MAX ? n : MM_SMALL_MAX + 1);
      if (n <= MM_SMALL_MAX)
        {
          /* One or two slices: no LARGE block is so small by itself.  */
          struct heap *h = kill_heap ();
          mfree (md, p);
          size_t slices = n >> MM_SLICE_SHIFT;
          uint32_t number;
          NEED (run_reuse (h, slices, slices, MM_SLICE,
                           head_make (HEAD_LARGE, 0, 0, 0, slices), &number)
                == 0 && number != 0);
          p = page_start (h, number);
        }
      kill_fill (p, n, ++tag);
      plan_add (p, n, tag);
    }
}

/* No sweep is due for a long time.  */
static void
no_sweep (void *md)
{
  (void) md;
  atomic_store (&kill_heap ()->locks->sweep_at, UINT64_MAX);
}

/* Growth goes in small steps.  */
static void
small_steps (void *md)
{
  (void) md;
  atomic_store (&kill_heap ()->locks->n_backed, 0);
  plan->no_count = true;
}

/* The slices that are there now will do: N of them are free.  */
static void
backed_and_free (void *md, size_t n)
{
  void *p = mmalloc (md, n * MM_SLICE);
  NEED (p != NULL);
  mfree (md, p);
  no_sweep (md);
}

/* -- malloc -- */

static void
op_malloc (void *md)
{
  plan->result = mmalloc (md, op_size);
}

static void
op_calloc (void *md)
{
  plan->result = mcalloc (md, 1, op_size);
}

static void
op_memalign (void *md)
{
  plan->result = mmemalign (md, op_align, op_size);
}

static void
wants (size_t size)
{
  op_size = plan->want = size;
  plan->may_leak += 1;
}

static void
pre_fast (void *md)
{
  some_blocks (md);
  wants (64);
}

static void
pre_calloc_fast (void *md)
{
  some_blocks (md);
  wants (200);
}

/* The word in the bin is used up, the page has another.  */
static void
pre_next_word (void *md)
{
  some_blocks (md);
  wants (48);
  make_many (md, 48, 64);
}

/* The page is full, an older one on the list has room.  */
static void
pre_from_list (void *md)
{
  size_t n = page_count (1000);
  some_blocks (md);
  make_many (md, 1000, 3 * n);
  unmake (md, plan->n - 2 * n);
  while (kill_heap ()->caches->bin[class_of (1000, 16)].avail != 0)
    make (md, 1000);
  wants (1000);
}

/* The page is full; a new one comes from memory that is there.  */
static void
pre_new_page (void *md)
{
  some_blocks (md);
  make_many (md, 768, page_count (768));
  backed_and_free (md, 8);
  wants (768);
}

static void
pre_new_page_of_five (void *md)
{
  some_blocks (md);
  backed_and_free (md, 12);
  wants (5000);
}

static void
pre_grow (void *md)
{
  some_blocks (md);
  make_many (md, 768, page_count (768));
  use_backed (md);
  no_sweep (md);
  wants (768);
}

/* ... and the next slices need records that are not ready.  */
static void
pre_grow_records (void *md)
{
  struct heap *h = kill_heap ();
  size_t step = MM_GROW_MIN_FILE >> MM_SLICE_SHIFT;
  pre_grow (md);
  small_steps (md);
  for (;;)
    {
      size_t s = slice_first_data (h, 0);
      uint32_t number;
      while (!map_get (off_index (h, 0)->free, s))
        s++;
      if (s + step > dir_ready (dir_get (h, 0)))
        break;
      NEED (grow_run (h, 1, MM_SLICE, head_make (HEAD_LARGE, 0, 0, 0, 1),
                      &number) == 0);
      kill_fill (page_start (h, number), MM_SLICE, 6);
      plan_add (page_start (h, number), MM_SLICE, 6);
      use_backed (md);
    }
}

/* As for growth, and the sweep that is due finds empty pages, one of them of five
   slices.  */
static void
pre_sweep (void *md)
{
  some_blocks (md);
  size_t from = plan->n, n = page_count (1000);
  make_many (md, 1000, 3 * n);
  make_many (md, 5000, page_count (5000));
  make_many (md, 768, page_count (768));
  use_backed (md);
  for (size_t i = 0; i < page_count (5000); i++)
    unmake (md, from + 3 * n);
  for (size_t i = 0; i < 2 * n - 3; i++)
    unmake (md, from);
  atomic_store (&kill_heap ()->locks->sweep_at, 0);
  wants (768);
}

/* N blocks of SIZE bytes, of which the first of each four stays.  */
static void
make_sparse (void *md, size_t size, size_t n)
{
  size_t from = plan->n;
  make_many (md, size, n);
  for (size_t i = n; i-- > 0; )
    if (i % 4 != 0)
      unmake (md, from + i);
}

/* The page on the list is THIN.  */
static void
pre_from_thin (void *md)
{
  some_blocks (md);
  make_sparse (md, 8192, 2 * page_count (8192));
  NEED (mmalloc_trim (md) > 0);
  no_sweep (md);
  wants (8192);
}

/* As for a sweep, and of the pages that it finds one is THIN and empty, another
   THIN and has room.  */
static void
pre_sweep_thin (void *md)
{
  some_blocks (md);
  make_many (md, 768, page_count (768));
  size_t from = plan->n;
  make_sparse (md, 20000, page_count (20000));
  make_sparse (md, 8192, page_count (8192));
  NEED (mmalloc_trim (md) > 0);
  use_backed (md);
  unmake (md, from);
  atomic_store (&kill_heap ()->locks->sweep_at, 0);
  wants (768);
}

static void
pre_new_chunk (void *md)
{
  some_blocks (md);
  make (md, MIB (14));
  make (md, MIB (14));
  for (;;)
    {
      size_t room = 0, limit = 0;
      struct heap *h = kill_heap ();
      struct disk_index *x = off_index (h, 0);
      for (size_t s = 0; s < MM_CHUNK_SLICES; s++)
        {
          room = map_get (x->free, s) ? room + 1 : 0;
          limit = room > limit ? room : limit;
        }
      if (limit == 0)
        break;
      uint32_t number;
      NEED (grow_run (h, limit, MM_SLICE,
                      head_make (HEAD_LARGE, 0, 0, 0, limit), &number) == 0);
      NEED (number < MM_CHUNK_SLICES);
      size_t size = limit << MM_SLICE_SHIFT;
      kill_fill (page_start (h, number), size, 5);
      plan_add (page_start (h, number), size, 5);
    }
  no_sweep (md);
  small_steps (md);
  wants (768);
}

static void *
free_some (void *md)
{
  /* Every third block of 1000 bytes.  */
  for (size_t i = plan->n; i-- > 0; )
    if (plan->block[i].size == 1000 && i % 3 == 0)
      unmake (md, i);
  return NULL;
}

/* All pages are full, but others have freed blocks of them.  */
static void
pre_queue (void *md)
{
  some_blocks (md);
  make_many (md, 1000, 4 * page_count (1000));
  in_thread (free_some, md);
  struct heap *h = kill_heap ();
  unsigned cl = class_of (1000, 16);
  uint32_t *page = &h->caches->page[cl];
  while (page_count_free (h, off_numbered (h, *page), *page, cl) > 0)
    make (md, 1000);
  wants (1000);
}

static void *
make_thousands (void *md)
{
  make_many (md, 1000, 2 * page_count (1000) + 3);
  return NULL;
}

/* A stream without an owner has a page with room.  */
static void
pre_adopt (void *md)
{
  some_blocks (md);
  in_thread (make_thousands, md);
  make_many (md, 1000, page_count (1000)
                       - (plan->n > 0 ? 5 : 0));
  while (kill_heap ()->caches->bin[class_of (1000, 16)].avail != 0)
    make (md, 1000);
  wants (1000);
}

static void *
make_thin (void *md)
{
  make_sparse (md, 8192, page_count (8192));
  return NULL;
}

/* That page is THIN.  */
static void
pre_adopt_thin (void *md)
{
  some_blocks (md);
  in_thread (make_thin, md);
  NEED (mmalloc_trim (md) > 0);
  no_sweep (md);
  wants (8192);
}

/* The thread has no stream yet.  */
static void
pre_claim (void *md)
{
  in_thread (make_thousands, md);
  wants (64);
}

/* All stream records that are there belong to others.  */
static void
pre_claim_grow (void *md)
{
  struct heap *h = kill_heap ();
  in_thread (make_thousands, md);
  for (uint32_t n = h->super.n_shared + 1; n <= h->locks->streams_ready; n++)
    atomic_store (&off_stream (h, n)->owner, plan->neighbour.id);
  wants (64);
}

static void
pre_shared (void *md)
{
  make_many (md, 64, 3);
  make_many (md, 1000, 5);
  wants (64);
}

static void
pre_shared_page (void *md)
{
  make_many (md, 1000, 2 * page_count (1000));
  backed_and_free (md, 4);
  wants (1000);
}

static void
pre_shared_list (void *md)
{
  make_many (md, 1000, 2 * page_count (1000));
  unmake (md, plan->n - page_count (1000) - 3);
  wants (1000);
}

/* Not a slice is left: a larger block must do.  */
static void
pre_elsewhere (void *md)
{
  make_many (md, 1024, 3);
  for (size_t size = MIB (8); size >= 16; size = size > 64 ? size / 2 : 0)
    for (void *p; (p = mmalloc (md, size)) != NULL; )
      {
        kill_fill (p, size, size);
        plan_add (p, size, size);
        if (plan->n == BLOCKS_MAX - 4)
          broken ("too many blocks");
        if (size <= 512)
          break;
      }
  /* One of its own: what is free in the neighbour's pages is the
     neighbour's.  */
  size_t i = plan->n - 1;
  while (plan->block[i].size != 1024)
    i--;
  unmake (md, i);
  wants (300);
}

static void
pre_large (void *md)
{
  some_blocks (md);
  backed_and_free (md, 9);
  wants (100000);
}

static void
pre_calloc_large (void *md)
{
  some_blocks (md);
  backed_and_free (md, 9);
  wants (34000);
}

static void
pre_large_grow (void *md)
{
  some_blocks (md);
  no_sweep (md);
  wants (300000);
}

static void
pre_huge (void *md)
{
  some_blocks (md);
  no_sweep (md);
  wants (MIB (40));
}

/* Chunk 1 was PAGED and is free again.  */
static void
pre_huge_over_pages (void *md)
{
  some_blocks (md);
  size_t a = make (md, MIB (15));
  size_t b = make (md, MIB (15));
  size_t c = make (md, MIB (10));
  unmake (md, c);
  (void) a, (void) b;
  no_sweep (md);
  wants (MIB (40));
}

static void
pre_memalign_small (void *md)
{
  some_blocks (md);
  op_align = 256;
  wants (700);
}

static void
pre_memalign_large (void *md)
{
  some_blocks (md);
  op_align = 128 << 10;
  no_sweep (md);
  wants (100000);
}

/* Pages and blocks were in all chunks; two of them are free again.  */
static void
pre_huge_where_pages_were (void *md)
{
  some_blocks (md);
  size_t block[2 * 6];
  for (size_t i = 0; i < 11; i++)
    block[i] = make (md, MIB (15));
  for (size_t i = 3; i < 7; i++)
    unmake (md, block[i]);
  no_sweep (md);
  wants (MIB (40));
}

static void
pre_memalign_huge (void *md)
{
  some_blocks (md);
  op_align = 32 << 20;
  no_sweep (md);
  wants (MIB (20));
}

/* -- free -- */

static void
op_free (void *md)
{
  mfree (md, op_ptr);
}

/* The operation frees or moves block I.  */
static void
doubts (size_t i)
{
  plan->block[i].doubt = true;
  op_ptr = plan->block[i].p;
}

static void
pre_free (void *md)
{
  some_blocks (md);
  doubts (make (md, 64));
}

/* The first free into a FULL page.  */
static void
pre_free_full (void *md)
{
  some_blocks (md);
  make_many (md, 1000, 2 * page_count (1000) + 1);
  doubts (plan->n - 2 * page_count (1000));
}

/* A block of the neighbour's.  */
static void
pre_free_remote (void *md)
{
  some_blocks (md);
  doubts (2);
}

static void
pre_free_remote_full (void *md)
{
  some_blocks (md);
  in_thread (make_thousands, md);
  size_t i = plan->n - 2 * page_count (1000);
  NEED (plan->block[i].size == 1000);
  doubts (i);
}

static void
pre_free_large (void *md)
{
  some_blocks (md);
  make (md, 100000);
  doubts (make (md, 200000));
  make (md, 100000);
}

static void
pre_free_huge (void *md)
{
  some_blocks (md);
  doubts (make (md, MIB (40)));
}

/* ... full of what looks like heads.  */
static void
pre_free_huge_garbage (void *md)
{
  size_t i = make (md, MIB (40));
  memset (plan->block[i].p + KILL_END, 0xff, MIB (1));
  doubts (i);
}

static void
pre_free_shared (void *md)
{
  make_many (md, 1000, 2 * page_count (1000));
  doubts (plan->n - page_count (1000) - 3);
}

/* -- realloc -- */

static void
op_realloc (void *md)
{
  plan->result = mrealloc (md, op_ptr, op_size);
}

static void
resizes (size_t i, size_t size)
{
  doubts (i);
  plan->moved = i + 1;
  wants (size);
}

static void
pre_realloc_stays (void *md)
{
  some_blocks (md);
  resizes (make (md, 100), 110);
}

static void
pre_realloc_moves (void *md)
{
  some_blocks (md);
  make_many (md, 700, 2);
  resizes (make (md, 100), 700);
}

static void
pre_realloc_to_large (void *md)
{
  some_blocks (md);
  backed_and_free (md, 8);
  resizes (make (md, 20000), 70000);
}

static void
pre_large_longer (void *md)
{
  some_blocks (md);
  size_t i = make (md, 100000);
  backed_and_free (md, 10);
  resizes (i, 150000);
}

static void
pre_large_longer_bare (void *md)
{
  some_blocks (md);
  resizes (make (md, 100000), 600000);
}

static void
pre_realloc_room (void *md)
{
  some_blocks (md);
  backed_and_free (md, 8);
  resizes (make (md, 700), 6000);
}

static void
pre_large_shorter (void *md)
{
  some_blocks (md);
  size_t i = make (md, 200000);
  make (md, 40000);
  resizes (i, 60000);
}

static void
pre_large_moves (void *md)
{
  some_blocks (md);
  size_t i = make (md, 34000);
  make (md, 40000);
  backed_and_free (md, 16);
  resizes (i, 60000);
}

static void
pre_huge_longer (void *md)
{
  some_blocks (md);
  no_sweep (md);
  resizes (make (md, MIB (40)), MIB (70));
}

static void
pre_huge_shorter (void *md)
{
  some_blocks (md);
  no_sweep (md);
  resizes (make (md, MIB (70)), MIB (20));
}

static void
pre_huge_to_small (void *md)
{
  some_blocks (md);
  no_sweep (md);
  resizes (make (md, MIB (20)), 1000);
}

static void
pre_small_to_huge (void *md)
{
  some_blocks (md);
  no_sweep (md);
  resizes (make (md, 3000), MIB (20));
}

static void
pre_realloc_zero (void *md)
{
  some_blocks (md);
  doubts (make (md, 100));
  op_size = 0;
}

/* -- slot calls -- */

/* Before the preparations: a word that nothing else is in the way of.  */
static void
slot_make (void *md)
{
  void **p = mmalloc (md, 2 * sizeof *p);
  NEED (p != NULL);
  p[0] = p[1] = NULL;
  plan_add (p, 0, 3);
  plan->slot = p + 1;
  plan->recovers = true;
}

/* After them: the call is about the block that they chose, if they did.  */
static void
slot_set (void)
{
  if (*plan->slot == NULL)
    *plan->slot = op_ptr;
  plan->slot_old = *plan->slot;
}

static void
op_mmalloc_to (void *md)
{
  NEED (mmalloc_to (md, plan->slot, op_size) == 0);
  plan->result = *plan->slot;
}

static void
op_mrealloc_in (void *md)
{
  NEED (mrealloc_in (md, plan->slot, op_size) == 0);
  plan->result = *plan->slot;
}

static void
op_mfree_from (void *md)
{
  NEED (mfree_from (md, plan->slot) == 0);
  plan->result = *plan->slot;
}

static void
op_mmalloc_to_fails (void *md)
{
  NEED (mmalloc_to (md, plan->slot, op_size) == -1);
  plan->result = *plan->slot;
}

static void
op_mrealloc_in_fails (void *md)
{
  NEED (mrealloc_in (md, plan->slot, op_size) == -1);
  plan->result = *plan->slot;
}

static void
op_move (void *md)
{
  NEED (mmalloc_move (md, plan->slot, plan->from) == 0);
}

static void
op_recover (void *md)
{
  NEED (mmalloc_recover (md) == 0);
}

/* Something is there, which the call does not care about.  */
static void
pre_fast_over (void *md)
{
  pre_fast (md);
  *plan->slot = plan->block[plan->n - 1].p;
}

static void
pre_move (void *md)
{
  some_blocks (md);
  plan->from = plan->slot - 1;
  *plan->from = plan->carried = plan->block[plan->n - 1].p;
}

static void
pre_move_over (void *md)
{
  pre_move (md);
  *plan->slot = plan->block[plan->n - 2].p;
}

/* The thread's record was in use before, for a move between the same words.  */
static void
pre_move_again (void *md)
{
  pre_move (md);
  NEED (mmalloc_move (md, plan->slot, plan->from) == 0);
  NEED (mmalloc_move (md, plan->from, plan->slot) == 0);
}

/* ... and the program has put the block back itself.  */
static void
pre_fast_moved (void *md)
{
  pre_move (md);
  NEED (mmalloc_move (md, plan->slot, plan->from) == 0);
  plan->kept = plan->from;
  plan->from = NULL;
  *plan->kept = plan->carried;
  wants (64);
}

static void
pre_size_zero (void *md)
{
  pre_fast_over (md);
  op_size = plan->want = 0;
}

static void
pre_full (void *md)
{
  pre_elsewhere (md);
  op_size = plan->want = MIB (1);
}

static void
pre_realloc_full (void *md)
{
  pre_elsewhere (md);
  resizes (plan->n / 2, MIB (1));
}

/* The thread's record was in use before, for a block that is somebody's by
   now.  */
static void
pre_second_call (void *md)
{
  void **other = plan->slot - 1;
  some_blocks (md);
  NEED (mmalloc_to (md, other, 24) == 0);
  void *p = *other;
  NEED (mfree_from (md, other) == 0);
  while (plan->block[make (md, 24)].p != p)
    continue;
  wants (64);
}

/* The only block of its page.  */
static void
pre_free_shared_last (void *md)
{
  make_many (md, 64, 3);
  doubts (make (md, 5000));
}

static void
pre_large_to_small (void *md)
{
  some_blocks (md);
  resizes (make (md, 100000), 600);
}

static void
pre_large_moves_up (void *md)
{
  some_blocks (md);
  size_t i = make (md, 34000);
  make (md, 40000);
  backed_and_free (md, 16);
  resizes (i, 90000);
}

static void
pre_huge_moves (void *md)
{
  some_blocks (md);
  no_sweep (md);
  size_t i = make (md, MIB (20));
  make (md, MIB (20));
  resizes (i, MIB (40));
}

static void
pre_realloc_moves_remote (void *md)
{
  some_blocks (md);
  make_many (md, 700, 2);
  resizes (2, 700);
}

static void
pre_realloc_moves_shared (void *md)
{
  make_many (md, 700, 2);
  resizes (make (md, 100), 700);
}

/* -- streams -- */

static void
op_thread_exit (void *md)
{
  (void) md;
  cache_thread_exit (NULL);
}

static void
pre_release (void *md)
{
  some_blocks (md);
  make_many (md, 1000, page_count (1000) + 2);
}

/* -- keys and roots -- */

static void
op_setkey (void *md)
{
  NEED (mmalloc_setkey (md, 3, plan->key_new) == 1);
}

static void
pre_setkey (void *md)
{
  some_blocks (md);
  plan->key = 3;
  plan->key_old = ROOT (900);
  plan->key_new = ROOT (901);
  NEED (mmalloc_setkey (md, 3, plan->key_old) == 1);
}

static void
op_local (void *md)
{
  plan->result = NULL;
  NEED (mmalloc_local (md, 1) != NULL);
}

static void
op_setroot (void *md)
{
  NEED (mmalloc_setroot (md, plan->root, plan->root_new) == 0);
}

/* What INIT makes of a root.  */
enum { MADE = 4 };

static int
init_made (void *root, size_t size, void *refuse)
{
  NEED (plan->inits++ == 0);
  kill_fill (root, size, MADE);
  plan->filled = refuse == NULL;
  return refuse != NULL;
}

static void
op_makeroot (void *md)
{
  plan->result = mmalloc_makeroot (md, "made", op_size, init_made, NULL);
  NEED (plan->result != NULL);
}

static void
op_makeroot_refused (void *md)
{
  plan->result = mmalloc_makeroot (md, "made", op_size, init_made, plan);
  NEED (plan->result == NULL);
}

/* Nothing may leak: there is a root, or no block.  */
static void
makes (size_t size)
{
  op_size = plan->want = size;
  plan->made = plan->recovers = true;
}

static void
pre_make_first (void *md)
{
  (void) md;
  makes (100);
}

static void
pre_make (void *md)
{
  some_blocks (md);
  makes (64);
}

static void
pre_make_again (void *md)
{
  some_blocks (md);
  NEED (mmalloc_setroot (md, "made", ROOT (800)) == 0);
  NEED (mmalloc_setroot (md, "made", NULL) == 0);
  makes (64);
}

static void
pre_make_large (void *md)
{
  some_blocks (md);
  backed_and_free (md, 8);
  makes (70000);
}

static void
pre_make_huge (void *md)
{
  some_blocks (md);
  makes (MIB (40));
}

static void
sets (const char *name, void *old, void *new)
{
  snprintf (plan->root, sizeof plan->root, "%s", name);
  plan->root_old = old;
  plan->root_new = new;
}

static void
pre_root_new (void *md)
{
  some_blocks (md);
  sets ("a new root", NULL, ROOT (500));
}

static void
pre_root_overwrite (void *md)
{
  some_blocks (md);
  sets ("changed", ROOT (501), ROOT (502));
  NEED (mmalloc_setroot (md, "changed", ROOT (501)) == 0);
}

static void
pre_root_forget (void *md)
{
  some_blocks (md);
  sets ("forgotten", ROOT (503), NULL);
  NEED (mmalloc_setroot (md, "forgotten", ROOT (503)) == 0);
}

/* A forgotten record of the same bucket is used again: the same name, and
   another, shorter one.  */
static void
pre_root_again (void *md)
{
  some_blocks (md);
  sets ("again", NULL, ROOT (504));
  NEED (mmalloc_setroot (md, "again", ROOT (505)) == 0);
  NEED (mmalloc_setroot (md, "again", NULL) == 0);
}

static void
pre_root_other_name (void *md)
{
  char name[64];
  uint64_t want = sum_bytes ("first", 5);
  some_blocks (md);
  for (unsigned i = 0; ; i++)
    {
      snprintf (name, sizeof name, "another with a long name %u", i);
      if ((uint32_t) sum_bytes (name, strlen (name)) % MM_BUCKETS
          == (uint32_t) want % MM_BUCKETS)
        break;
    }
  NEED (mmalloc_setroot (md, name, ROOT (506)) == 0);
  NEED (mmalloc_setroot (md, name, NULL) == 0);
  snprintf (plan->gone, sizeof plan->gone, "%s", name);
  sets ("first", NULL, ROOT (507));
}

/* No slice for records yet.  */
static void
pre_root_slice (void *md)
{
  make_many (md, 64, 5);
  sets ("the first of all", NULL, ROOT (508));
}

/* The slice for records is full, and no slice is backed.  */
static void
pre_root_slice_grow (void *md)
{
  struct heap *h = kill_heap ();
  some_blocks (md);
  h->root->slab |= MM_SLICE;
  make_many (md, 64, 5);
  use_backed (md);
  sets ("one more", NULL, ROOT (509));
}

/* -- trim -- */

static void
op_trim (void *md)
{
  NEED (mmalloc_trim (md) >= 0);
}

static void
pre_trim (void *md)
{
  some_blocks (md);
  size_t from = plan->n;
  make_many (md, 1000, 4 * page_count (1000));
  make_many (md, 100000, 3);
  for (int i = 0; i < 50; i++)
    unmake (md, from);
  unmake (md, plan->n - 2);
}

/* System pages are free in pages of several classes.  */
static void
pre_trim_pages (void *md)
{
  some_blocks (md);
  make_sparse (md, 8192, page_count (8192));
  make_sparse (md, 5000, page_count (5000));
}

/* They have been given back; more have become free meanwhile, and all of one of
   the pages.  */
static void
pre_trim_thin (void *md)
{
  pre_trim_pages (md);
  size_t from = plan->n;
  make_sparse (md, 20000, page_count (20000));
  NEED (mmalloc_trim (md) > 0);
  while (plan->n > from)
    unmake (md, from);
  unmake (md, plan->n - 1);
}

/* The end of the file is free.  */
static void
pre_trim_end (void *md)
{
  pre_trim (md);
  unmake (md, plan->n - 1);
}

static void
pre_trim_chunk (void *md)
{
  some_blocks (md);
  make (md, MIB (15));
  size_t b = make (md, MIB (15));
  size_t c = make (md, MIB (10));
  unmake (md, c);
  unmake (md, b);
}

/* -- attach and detach -- */

/* As in a child whose parent has died meanwhile.  */
static void
pre_fork_child (void *md)
{
  some_blocks (md);
  fork_adopt ();
  wants (100);
}

static void
op_open (void *md)
{
  int flags = MMALLOC_CREATE;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  (void) md;
  opt.base = KILL_BASE;
  opt.reserve = HEAP;
  NEED (mmalloc_open (file, flags, &opt) == KILL_BASE);
}

static void
op_open_initial (void *md)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  (void) md;
  opt.base = KILL_BASE;
  opt.reserve = HEAP;
  opt.initial = 300000;
  NEED (mmalloc_open (file, MMALLOC_CREATE, &opt) == KILL_BASE);
}

static void
op_detach (void *md)
{
  NEED (mmalloc_detach (md) == NULL);
}

/* -- guards -- */

static void
pre_guarded (void *md)
{
  make_many (md, 64, 5);
  make_many (md, 40000, 2);
  wants (64);
}

static void
pre_guarded_free (void *md)
{
  make_many (md, 64, 5);
  doubts (make (md, 40000));
}

/* A page of several slices is empty.  */
static void
pre_guarded_trim (void *md)
{
  make_many (md, 64, 5);
  size_t from = plan->n;
  make_many (md, 5000, page_count (5000));
  while (plan->n > from)
    unmake (md, from);
}

/* -- what an earlier death left -- */

static bool
heap_locked (struct heap *h)
{
  return h->locks->heap.word != 0;
}

/* A page is CLAIMED.  */
static bool
when_claimed (struct heap *h)
{
  uint32_t claim = (uint32_t) h->locks->claim;
  struct disk_slice *r = claim != 0 ? run_record (h, claim) : NULL;
  return r != NULL && head_kind (r->head) == HEAD_PAGE
         && head_state (r->head) == HEAD_CLAIMED;
}

/* The index calls a slice used that no head covers.  */
static bool
when_index_ahead (struct heap *h)
{
  if (!heap_locked (h))
    return false;
  struct disk_index *x = off_index (h, 0);
  size_t end = run_ready (h, 0), n;
  for (size_t s = slice_first_data (h, 0); s < end; s += n > 0 ? n : 1)
    {
      n = run_covers (off_record (h, 0, s)->head, s, end);
      if (n == 0 && !map_get (x->free, s)
          && head_kind (off_record (h, 0, s)->head) == HEAD_FREE)
        return true;
    }
  return false;
}

static bool
when_heap_locked (struct heap *h)
{
  return heap_locked (h);
}

static bool
when_growing (struct heap *h)
{
  return h->locks->grow.word != 0;
}

static bool
when_recovering (struct heap *h)
{
  return h->locks->state == MM_RECOVERING;
}

/* A large block's continuations lead ... a HUGE block's directory words, the
   head not stored.  */
static bool
when_huge_half (struct heap *h)
{
  for (size_t c = 1; c < run_chunks (h); c++)
    if (dir_kind (dir_get (h, c)) == DIR_CONT && run_chunk_is_empty (h, c))
      return true;
  return false;
}

/* A HUGE block is free, its memory not yet given back.  */
static bool
when_huge_freed (struct heap *h)
{
  return run_chunks (h) > 2 && dir_kind (dir_get (h, 1)) == DIR_EMPTY
         && heap_locked (h) && *(uint8_t *) off_record (h, 1, 0) == 0xff;
}

static bool
when_shared_locked (struct heap *h)
{
  return off_stream (h, 1)->lock.word != 0;
}

/* A slot call has its new block, the slot has it not.  */
static bool
when_slot_fresh (struct heap *h)
{
  struct place at;
  for (unsigned i = 0; i < MM_OPS; i++)
    if (h->op[i].owner != 0 && h->op[i].fresh != 0
        && place_find (h, (char *) h->file.base + h->op[i].fresh, false, &at)
           == NULL)
      return true;
  return false;
}

/* ... and at once holds the lock that it got it under.  */
static bool
when_slot_fresh_locked (struct heap *h)
{
  return when_slot_fresh (h) && heap_locked (h);
}

/* It has noted which block it is going to take under a lock.  */
static bool
when_slot_noted (struct heap *h)
{
  struct place at;
  for (unsigned i = 0; i < MM_OPS; i++)
    if (h->op[i].owner != 0 && h->op[i].fresh != 0
        && (h->op[i].locked != 0 || when_shared_locked (h))
        && place_find (h, (char *) h->file.base + h->op[i].fresh, false, &at)
           != NULL)
      return true;
  return false;
}

/* It has freed the old block and its record is in use still.  */
static bool
when_slot_freed (struct heap *h)
{
  struct place at;
  uint64_t off = (uintptr_t) plan->slot_old - (uintptr_t) KILL_BASE;
  return plan->slot_old != NULL && h->locks->ops_busy != 0
         && place_find (h, (char *) h->file.base + off, false, &at) != NULL;
}

/* ... and has let the lock go.  */
static bool
when_slot_freed_unlocked (struct heap *h)
{
  return when_slot_freed (h) && !heap_locked (h);
}

/* The slot has left the old block.  */
static bool
when_slot_left (struct heap *h)
{
  uint64_t off = (uintptr_t) plan->slot - (uintptr_t) KILL_BASE;
  return plan->slot != NULL
         && *(void **) (h->file.base + off) != plan->slot_old;
}

/* A move is on record, and nothing was moved; the block is in both words.  */
static bool
when_move_noted (struct heap *h)
{
  uint64_t off = (uintptr_t) plan->slot - (uintptr_t) KILL_BASE;
  for (unsigned i = 0; plan->from != NULL && i < MM_OPS; i++)
    if (h->op[i].owner != 0 && h->op[i].from != 0)
      return *(void **) (h->file.base + off) == plan->slot_old;
  return false;
}

static bool
when_move_half (struct heap *h)
{
  uint64_t to = (uintptr_t) plan->slot - (uintptr_t) KILL_BASE;
  uint64_t from = (uintptr_t) plan->from - (uintptr_t) KILL_BASE;
  return plan->from != NULL
         && *(void **) (h->file.base + to) == plan->carried
         && *(void **) (h->file.base + from) == plan->carried;
}

/* What the second victim does after the first one's death.  It has allocated
   before: who does so for the first time buries the dead.  */
static void
pre_after (void *md)
{
  make (md, 200);
  wants (768);
}

static void
pre_after_fast (void *md)
{
  make (md, 200);
  wants (64);
}

static void
pre_after_5000 (void *md)
{
  make (md, 200);
  wants (5000);
}

static void
pre_after_large (void *md)
{
  make (md, 200);
  no_sweep (md);
  wants (100000);
}

static void
pre_after_huge (void *md)
{
  make (md, 200);
  no_sweep (md);
  wants (MIB (40));
}

static void
pre_after_huge_freed (void *md)
{
  some_blocks (md);
  make (md, MIB (14));
  make (md, MIB (14));
  wants (MIB (4));
}

static void
pre_nothing (void *md)
{
  (void) md;
}

static const struct operation operations[] = {
  { "malloc: fast path", HEAP, 0, pre_fast, op_malloc, NULL, NULL },
  { "malloc: next word", HEAP, 0, pre_next_word, op_malloc, NULL, NULL },
  { "malloc: page from the list", HEAP, 0, pre_from_list, op_malloc, NULL,
    NULL },
  { "malloc: new page", HEAP, 0, pre_new_page, op_malloc, NULL, NULL },
  { "malloc: new page of five slices", HEAP, 0, pre_new_page_of_five,
    op_malloc, NULL, NULL },
  { "malloc: page from the list, thin", HEAP, 0, pre_from_thin, op_malloc, NULL,
    NULL },
  { "malloc: orphan's page adopted, thin", HEAP, 0, pre_adopt_thin, op_malloc,
    NULL, NULL },
  { "malloc: growth", HEAP, 0, pre_grow, op_malloc, NULL, NULL },
  { "malloc: sweep retires thin pages", HEAP, 0, pre_sweep_thin, op_malloc,
    NULL, NULL },
  { "malloc: sweep retires pages", HEAP, 0, pre_sweep, op_malloc, NULL, NULL },
  { "malloc: new chunk", BIG_HEAP, LONG, pre_new_chunk, op_malloc, NULL,
    NULL },
  { "malloc: queue drained", HEAP, 0, pre_queue, op_malloc, NULL, NULL },
  { "malloc: orphan's page adopted", HEAP, 0, pre_adopt, op_malloc, NULL,
    NULL },
  { "malloc: stream claimed", HEAP, 0, pre_claim, op_malloc, NULL, NULL },
  { "malloc: stream records grow", MIB (64), 0, pre_claim_grow, op_malloc,
    NULL, NULL },
  { "malloc: shared stream", SMALL_HEAP, 0, pre_shared, op_malloc, NULL,
    NULL },
  { "malloc: shared stream, new page", SMALL_HEAP, 0, pre_shared_page,
    op_malloc, NULL, NULL },
  { "malloc: shared stream, list", SMALL_HEAP, 0, pre_shared_list, op_malloc,
    NULL, NULL },
  { "malloc: heap full, larger block", MIB (5), TIGHT, pre_elsewhere,
    op_malloc, NULL, NULL },
  { "malloc: large", HEAP, 0, pre_large, op_malloc, NULL, NULL },
  { "malloc: large, growth", HEAP, 0, pre_large_grow, op_malloc, NULL, NULL },
  { "malloc: huge", BIG_HEAP, 0, pre_huge, op_malloc, NULL, NULL },
  { "malloc: huge in place of pages", BIG_HEAP, 0, pre_huge_over_pages,
    op_malloc, NULL, NULL },
  { "calloc: small", HEAP, 0, pre_calloc_fast, op_calloc, NULL, NULL },
  { "calloc: large", HEAP, LONG, pre_calloc_large, op_calloc, NULL, NULL },
  { "malloc: huge where pages were", BIG_HEAP, ALONE | LONG,
    pre_huge_where_pages_were, op_malloc, NULL, NULL },
  { "calloc: huge", BIG_HEAP, 0, pre_huge, op_calloc, NULL, NULL },
  { "memalign: small", HEAP, 0, pre_memalign_small, op_memalign, NULL, NULL },
  { "memalign: large", HEAP, 0, pre_memalign_large, op_memalign, NULL, NULL },
  { "memalign: huge", BIG_HEAP, 0, pre_memalign_huge, op_memalign, NULL,
    NULL },
  { "free: own", HEAP, 0, pre_free, op_free, NULL, NULL },
  { "free: own, full page", HEAP, 0, pre_free_full, op_free, NULL, NULL },
  { "free: remote", HEAP, 0, pre_free_remote, op_free, NULL, NULL },
  { "free: remote, full page queued", HEAP, 0, pre_free_remote_full, op_free,
    NULL, NULL },
  { "free: shared stream", SMALL_HEAP, 0, pre_free_shared, op_free, NULL,
    NULL },
  { "free: large", HEAP, 0, pre_free_large, op_free, NULL, NULL },
  { "free: huge", BIG_HEAP, 0, pre_free_huge, op_free, NULL, NULL },
  { "realloc: stays", HEAP, 0, pre_realloc_stays, op_realloc, NULL, NULL },
  { "realloc: moves", HEAP, 0, pre_realloc_moves, op_realloc, NULL, NULL },
  { "realloc: small to large", HEAP, LONG, pre_realloc_to_large, op_realloc,
    NULL, NULL },
  { "realloc: large longer", HEAP, 0, pre_large_longer, op_realloc, NULL,
    NULL },
  { "realloc: large longer, growth", HEAP, LONG, pre_large_longer_bare,
    op_realloc, NULL, NULL },
  { "realloc: gets room", HEAP, 0, pre_realloc_room, op_realloc, NULL, NULL },
  { "realloc: large shorter", HEAP, 0, pre_large_shorter, op_realloc, NULL,
    NULL },
  { "realloc: large moves", HEAP, LONG, pre_large_moves, op_realloc, NULL,
    NULL },
  { "realloc: huge longer", BIG_HEAP, 0, pre_huge_longer, op_realloc, NULL,
    NULL },
  { "realloc: huge shorter", BIG_HEAP, 0, pre_huge_shorter, op_realloc, NULL,
    NULL },
  { "realloc: huge to small", BIG_HEAP, 0, pre_huge_to_small, op_realloc, NULL,
    NULL },
  { "realloc: small to huge", BIG_HEAP, LONG, pre_small_to_huge, op_realloc,
    NULL, NULL },
  { "realloc: to size 0", HEAP, 0, pre_realloc_zero, op_realloc, NULL, NULL },
  { "thread exit: stream released", HEAP, 0, pre_release, op_thread_exit, NULL,
    NULL },
  { "setkey", HEAP, 0, pre_setkey, op_setkey, NULL, NULL },
  { "setroot: new record", HEAP, 0, pre_root_new, op_setroot, NULL, NULL },
  { "setroot: overwrite", HEAP, 0, pre_root_overwrite, op_setroot, NULL,
    NULL },
  { "setroot: forget", HEAP, 0, pre_root_forget, op_setroot, NULL, NULL },
  { "setroot: record used again", HEAP, 0, pre_root_again, op_setroot, NULL,
    NULL },
  { "setroot: record of another name", HEAP, 0, pre_root_other_name,
    op_setroot, NULL, NULL },
  { "makeroot: the first", HEAP, 0, pre_make_first, op_makeroot, NULL, NULL },
  { "makeroot: small", HEAP, 0, pre_make, op_makeroot, NULL, NULL },
  { "makeroot: record used again", HEAP, 0, pre_make_again, op_makeroot, NULL,
    NULL },
  { "makeroot: large", HEAP, 0, pre_make_large, op_makeroot, NULL, NULL },
  { "makeroot: huge", BIG_HEAP, LONG, pre_make_huge, op_makeroot, NULL, NULL },
  { "makeroot: refused", HEAP, 0, pre_make, op_makeroot_refused, NULL, NULL },
  { "makeroot: refused, large", HEAP, 0, pre_make_large, op_makeroot_refused,
    NULL, NULL },
  { "guards: makeroot", HEAP, GUARDED, pre_make, op_makeroot, NULL, NULL },
  { "guards: makeroot refused", HEAP, GUARDED, pre_make, op_makeroot_refused,
    NULL, NULL },
  { "setroot: first slice", HEAP, 0, pre_root_slice, op_setroot, NULL, NULL },
  { "setroot: new slice, growth", HEAP, 0, pre_root_slice_grow, op_setroot,
    NULL, NULL },
  { "local: first call", HEAP, 0, some_blocks, op_local, NULL, NULL },
  { "local: first call, growth", HEAP, LONG, pre_grow, op_local, NULL, NULL },
  { "trim: beside a neighbour", HEAP, 0, pre_trim, op_trim, NULL, NULL },
  { "trim: pages of blocks", HEAP, 0, pre_trim_pages, op_trim, NULL, NULL },
  { "trim: pages of blocks again", HEAP, 0, pre_trim_thin, op_trim, NULL,
    NULL },
  { "trim: alone, file cut", HEAP, ALONE, pre_trim_end, op_trim, NULL, NULL },
  { "trim: chunk given back", BIG_HEAP, ALONE | LONG, pre_trim_chunk, op_trim,
    NULL, NULL },
  { "open: create", HEAP, ALONE | OPENS | EMPTY, NULL, op_open, NULL, NULL },
  { "open: create, initial size", HEAP, ALONE | OPENS | EMPTY | LONG, NULL,
    op_open_initial, NULL, NULL },
  { "open: clean file", HEAP, ALONE | OPENS, NULL, op_open, NULL, NULL },
  { "open: copied file", HEAP, ALONE | OPENS | COPIED, NULL, op_open, NULL,
    NULL },
  { "open: the machine went down", HEAP, ALONE | OPENS | BOOTED, NULL, op_open,
    NULL, NULL },
  { "open: join a neighbour", HEAP, OPENS, NULL, op_open, NULL, NULL },
  { "malloc: fork child's first use", HEAP, 0, pre_fork_child, op_malloc, NULL,
    NULL },
  { "malloc: fork child alone", HEAP, ALONE, pre_fork_child, op_malloc, NULL,
    NULL },
  { "detach: the last", HEAP, ALONE, some_blocks, op_detach, NULL, NULL },
  { "detach: not the last", HEAP, 0, some_blocks, op_detach, NULL, NULL },
  { "guards: malloc", HEAP, GUARDED, pre_guarded, op_malloc, NULL, NULL },
  { "guards: free large", HEAP, GUARDED, pre_guarded_free, op_free, NULL,
    NULL },
  { "guards: trim retires a page", HEAP, GUARDED, pre_guarded_trim, op_trim,
    NULL, NULL },
  { "mmalloc_to: fast path", HEAP, SLOT, pre_fast, op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: over a value", HEAP, SLOT, pre_fast_over, op_mmalloc_to, NULL,
    NULL },
  { "mmalloc_to: size 0", HEAP, SLOT, pre_size_zero, op_mmalloc_to, NULL,
    NULL },
  { "mmalloc_to: next word", HEAP, SLOT, pre_next_word, op_mmalloc_to, NULL,
    NULL },
  { "mmalloc_to: page from the list", HEAP, SLOT, pre_from_list, op_mmalloc_to,
    NULL, NULL },
  { "mmalloc_to: new page", HEAP, SLOT, pre_new_page, op_mmalloc_to, NULL,
    NULL },
  { "mmalloc_to: second call", HEAP, SLOT, pre_second_call, op_mmalloc_to,
    NULL, NULL },
  { "mmalloc_to: growth", HEAP, SLOT, pre_grow, op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: growth with records", HEAP, SLOT, pre_grow_records,
    op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: sweep retires pages", HEAP, SLOT, pre_sweep, op_mmalloc_to,
    NULL, NULL },
  { "mmalloc_to: orphan's page adopted", HEAP, SLOT, pre_adopt, op_mmalloc_to,
    NULL, NULL },
  { "mmalloc_to: shared stream", SMALL_HEAP, SLOT, pre_shared, op_mmalloc_to,
    NULL, NULL },
  { "mmalloc_to: shared stream, new page", SMALL_HEAP, SLOT, pre_shared_page,
    op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: shared stream, list", SMALL_HEAP, SLOT, pre_shared_list,
    op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: heap full, larger block", MIB (5), TIGHT | SLOT,
    pre_elsewhere, op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: fails", MIB (5), TIGHT | SLOT, pre_full, op_mmalloc_to_fails,
    NULL, NULL },
  { "mmalloc_to: large", HEAP, SLOT, pre_large, op_mmalloc_to, NULL, NULL },
  { "mmalloc_to: large, growth", HEAP, SLOT, pre_large_grow, op_mmalloc_to,
    NULL, NULL },
  { "mmalloc_to: huge", BIG_HEAP, SLOT, pre_huge, op_mmalloc_to, NULL, NULL },
  { "mrealloc_in: stays", HEAP, SLOT, pre_realloc_stays, op_mrealloc_in, NULL,
    NULL },
  { "mrealloc_in: from NULL", HEAP, SLOT, pre_fast, op_mrealloc_in, NULL,
    NULL },
  { "mrealloc_in: moves", HEAP, SLOT, pre_realloc_moves, op_mrealloc_in, NULL,
    NULL },
  { "mrealloc_in: moves, remote", HEAP, SLOT, pre_realloc_moves_remote,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: moves, shared stream", SMALL_HEAP, SLOT,
    pre_realloc_moves_shared, op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: small to large", HEAP, SLOT, pre_realloc_to_large,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: large longer", HEAP, SLOT, pre_large_longer, op_mrealloc_in,
    NULL, NULL },
  { "mrealloc_in: large longer, growth", HEAP, LONG | SLOT,
    pre_large_longer_bare, op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: gets room", HEAP, SLOT, pre_realloc_room, op_mrealloc_in,
    NULL, NULL },
  { "mrealloc_in: large shorter", HEAP, SLOT, pre_large_shorter,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: large moves", HEAP, LONG | SLOT, pre_large_moves_up,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: large to small", HEAP, SLOT, pre_large_to_small,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: huge longer", BIG_HEAP, LONG | SLOT, pre_huge_longer,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: huge shorter", BIG_HEAP, LONG | SLOT, pre_huge_shorter,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: huge moves", BIG_HEAP, LONG | SLOT, pre_huge_moves,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: huge to small", BIG_HEAP, SLOT, pre_huge_to_small,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: small to huge", BIG_HEAP, LONG | SLOT, pre_small_to_huge,
    op_mrealloc_in, NULL, NULL },
  { "mrealloc_in: to size 0", HEAP, SLOT, pre_realloc_zero, op_mrealloc_in,
    NULL, NULL },
  { "mrealloc_in: fails", MIB (5), TIGHT | SLOT, pre_realloc_full,
    op_mrealloc_in_fails, NULL, NULL },
  { "mfree_from: own", HEAP, SLOT, pre_free, op_mfree_from, NULL, NULL },
  { "mfree_from: own, full page", HEAP, SLOT, pre_free_full, op_mfree_from,
    NULL, NULL },
  { "mfree_from: remote", HEAP, SLOT, pre_free_remote, op_mfree_from, NULL,
    NULL },
  { "mfree_from: remote, full page queued", HEAP, SLOT, pre_free_remote_full,
    op_mfree_from, NULL, NULL },
  { "mfree_from: shared stream", SMALL_HEAP, SLOT, pre_free_shared,
    op_mfree_from, NULL, NULL },
  { "mfree_from: shared stream, last of page", SMALL_HEAP, SLOT,
    pre_free_shared_last, op_mfree_from, NULL, NULL },
  { "mfree_from: large", HEAP, SLOT, pre_free_large, op_mfree_from, NULL,
    NULL },
  { "mfree_from: huge", BIG_HEAP, LONG | SLOT, pre_free_huge, op_mfree_from,
    NULL, NULL },
  { "mfree_from: NULL", HEAP, SLOT, some_blocks, op_mfree_from, NULL, NULL },
  { "mmalloc_move: to an empty slot", HEAP, SLOT, pre_move, op_move, NULL,
    NULL },
  { "mmalloc_move: over a value", HEAP, SLOT, pre_move_over, op_move, NULL,
    NULL },
  { "mmalloc_move: third call", SMALL_HEAP, SLOT, pre_move_again, op_move,
    NULL, NULL },
  { "mmalloc_to: after a move", HEAP, SLOT, pre_fast_moved, op_mmalloc_to,
    NULL, NULL },
  { "guards: mmalloc_move", HEAP, GUARDED | SLOT, pre_move_over, op_move, NULL,
    NULL },
  { "guards: mmalloc_to", HEAP, GUARDED | SLOT, pre_guarded, op_mmalloc_to,
    NULL, NULL },
  { "guards: mrealloc_in moves", HEAP, GUARDED | SLOT, pre_realloc_moves,
    op_mrealloc_in, NULL, NULL },
  { "guards: mfree_from large", HEAP, GUARDED | SLOT, pre_guarded_free,
    op_mfree_from, NULL, NULL },
  { "open: after death in growth", HEAP, ALONE | OPENS, NULL, op_open,
    "malloc: growth", when_growing },
  { "open: after death with a claim", HEAP, LONG | ALONE | OPENS, NULL,
    op_open, "malloc: sweep retires pages", when_claimed },
  { "open: after death in run_take", HEAP, LONG | ALONE | OPENS, NULL, op_open,
    "malloc: new page of five slices", when_index_ahead },
  { "open: after death in opening", HEAP, ALONE | OPENS, NULL, op_open,
    "open: clean file", when_recovering },
  { "open: join, entry of the dead", HEAP, OPENS, NULL, op_open,
    "malloc: new page", when_heap_locked },
  { "recovery: malloc finds a claim", HEAP, LONG, pre_after, op_malloc,
    "malloc: sweep retires pages", when_claimed },
  { "recovery: malloc finds a stale index", HEAP, LONG, pre_after, op_malloc,
    "malloc: new page of five slices", when_index_ahead },
  { "recovery: malloc finds a dead grower", HEAP, 0, pre_after, op_malloc,
    "malloc: growth", when_growing },
  { "recovery: malloc in a dead's stream", SMALL_HEAP, 0, pre_after, op_malloc,
    "malloc: shared stream, new page", when_shared_locked },
  { "recovery: huge over a dead's chunks", BIG_HEAP, 0, pre_after_huge,
    op_malloc, "malloc: huge", when_huge_half },
  { "recovery: free of a dead's huge", BIG_HEAP, 0, pre_after_huge, op_malloc,
    "free: huge", when_huge_half },
  { "free: huge, not punched", BIG_HEAP, LONG, pre_free_huge_garbage, op_free,
    NULL, NULL },
  { "recovery: pages in a dead's huge", BIG_HEAP, LONG, pre_after_huge_freed,
    op_malloc, "free: huge, not punched", when_huge_freed },
  { "recovery: new block, not in the slot", HEAP, 0, pre_nothing, op_recover,
    "mrealloc_in: moves", when_slot_fresh },
  { "recovery: slot has left a small block", HEAP, 0, pre_nothing, op_recover,
    "mrealloc_in: moves", when_slot_left },
  { "recovery: slot has left a remote block", HEAP, 0, pre_nothing, op_recover,
    "mfree_from: remote", when_slot_left },
  { "recovery: new block, shared stream", SMALL_HEAP, 0, pre_nothing,
    op_recover, "mrealloc_in: moves, shared stream", when_slot_fresh },
  { "recovery: slot has left, shared stream", SMALL_HEAP, 0, pre_nothing,
    op_recover, "mrealloc_in: moves, shared stream", when_slot_left },
  { "recovery: new large block", HEAP, 0, pre_nothing, op_recover,
    "mrealloc_in: large moves", when_slot_fresh },
  { "recovery: new large block, under lock", HEAP, LONG, pre_nothing,
    op_recover, "mrealloc_in: large moves", when_slot_fresh_locked },
  { "recovery: slot has left a large block", HEAP, 0, pre_nothing, op_recover,
    "mfree_from: large", when_slot_left },
  { "recovery: new huge block", BIG_HEAP, LONG, pre_nothing, op_recover,
    "mrealloc_in: huge moves", when_slot_fresh },
  { "recovery: slot has left a huge block", BIG_HEAP, 0, pre_nothing,
    op_recover, "mfree_from: huge", when_slot_left },
  { "recovery: malloc at a noted block", SMALL_HEAP, 0, pre_after_fast,
    op_malloc, "mmalloc_to: shared stream", when_slot_noted },
  { "recovery: malloc at a noted large block", HEAP, LONG, pre_after_large,
    op_malloc, "mmalloc_to: large", when_slot_noted },
  { "recovery: malloc at a noted huge block", BIG_HEAP, 0, pre_after_huge,
    op_malloc, "mmalloc_to: huge", when_slot_noted },
  { "recovery: malloc beside a freed block", SMALL_HEAP, FREED, pre_after_5000,
    op_malloc, "mfree_from: shared stream, last of page", when_slot_freed },
  { "recovery: malloc of a freed large block", HEAP, LONG | FREED,
    pre_after_large, op_malloc, "mfree_from: large", when_slot_freed },
  { "recovery: malloc of a freed, unlocked one", HEAP, FREED, pre_after_large,
    op_malloc, "mfree_from: large", when_slot_freed_unlocked },
  { "recovery: malloc of a freed huge block", BIG_HEAP, LONG | FREED,
    pre_after_huge, op_malloc, "mfree_from: huge", when_slot_freed },
  { "recovery: malloc before the slot's end", HEAP, 0, pre_after, op_malloc,
    "mrealloc_in: moves", when_slot_left },
  { "recovery: a move has not begun", HEAP, 0, pre_nothing, op_recover,
    "mmalloc_move: over a value", when_move_noted },
  { "recovery: a block is in both words", HEAP, 0, pre_nothing, op_recover,
    "mmalloc_move: over a value", when_move_half },
  { "recovery: malloc, a block in both words", HEAP, 0, pre_after, op_malloc,
    "mmalloc_move: to an empty slot", when_move_half },
  { "open: a block is in both words", HEAP, ALONE | OPENS, NULL, op_open,
    "mmalloc_move: over a value", when_move_half },
  { "open: new block, not in the slot", HEAP, LONG | ALONE | OPENS, NULL,
    op_open, "mrealloc_in: moves", when_slot_fresh },
  { "open: slot has left a small block", HEAP, ALONE | OPENS, NULL, op_open,
    "mrealloc_in: moves", when_slot_left },
  { "open: new large block", HEAP, LONG | ALONE | OPENS, NULL, op_open,
    "mrealloc_in: large moves", when_slot_fresh },
  { "open: slot has left a large block", HEAP, LONG | ALONE | OPENS, NULL,
    op_open, "mfree_from: large", when_slot_left },
  { "recovery: trim after a death", HEAP, LONG, pre_nothing, op_trim,
    "malloc: growth", when_heap_locked },
  { "recovery: setroot after a death", HEAP, LONG, pre_nothing, op_trim,
    "setroot: new slice, growth", when_heap_locked },
};
enum { N_OPERATIONS = sizeof operations / sizeof *operations };

/* ---- Processes ---------------------------------------------------------- */

/* Another boot finds the file.  */
static void
change_boot (void)
{
  int fd = open (file, O_RDWR);
  for (off_t at = 0; at < 2 * MM_PAGE; at += MM_PAGE)
    {
      struct disk_super s;
      NEED (pread (fd, &s, sizeof s, at) == sizeof s);
      s.boot_id[3] ^= 0x5a;
      s.sum = super_sum (&s);
      NEED (pwrite (fd, &s, sizeof s, at) == sizeof s);
    }
  close (fd);
}

static void
make_file (const struct operation *op)
{
  unlink (file);
  int fd = open (file, O_RDWR | O_CREAT | O_EXCL, 0666);
  NEED (fd >= 0);
  close (fd);
  if (op->flags & EMPTY)
    return;
  pid_t pid = kill_fork ();
  if (pid == 0)
    {
      void *md = kill_open (file, MMALLOC_CREATE, op->capacity);
      if (op->flags & GUARDED)
        NEED (mmcheckf (md, NULL, 1) == 1);
      if (op->flags & COPIED)
        some_blocks (md);
      if (!(op->flags & BOOTED))
        NEED (mmalloc_detach (md) == NULL);
      _exit (0);
    }
  NEED (kill_wait (pid) == 0);
  plan->booted = (op->flags & BOOTED) != 0;
  if (plan->booted)
    change_boot ();
  if (op->flags & COPIED)
    {
      static char bytes[1 << 20];
      int from = open (file, O_RDONLY);
      int to = open (copy, O_RDWR | O_CREAT, 0666);
      ssize_t n = read (from, bytes, sizeof bytes);
      NEED (n > 0 && n < (ssize_t) sizeof bytes);
      NEED (write (to, bytes, (size_t) n) == n);
      NEED (rename (copy, file) == 0);
      close (from);
      close (to);
    }
}

/* The neighbour attaches the heap.  */
static void
neighbour_opens (const void *arg)
{
  const struct operation *op = arg;
  void *md = kill_open (file, 0, op->capacity);
  next_tag = 1000;
  if (op->capacity > SMALL_HEAP)
    for (size_t size = 16; size < 3000; size *= 2)
      make_many (md, size, 3);
}

static void *
victim_prepares (const void *arg)
{
  const struct operation *op = arg;
  next_tag = 2000;
  if (op->flags & OPENS)
    return NULL;
  void *md = kill_open (file, 0, op->capacity);
  unsigned may_leak = plan->may_leak;
  if (op->flags & SLOT)
    slot_make (md);
  if (op->prepare != NULL)
    op->prepare (md);
  if (op->flags & SLOT)
    {
      slot_set ();
      plan->may_leak = may_leak;
    }
  return md;
}

static pid_t
start_victim (const struct operation *op)
{
  return victim_start (victim_prepares, op->operate, op);
}


/* ---- The file and its copy ---------------------------------------------- */

/* Parts of the file in bytes from its beginning.  */
struct range { size_t from, len; bool told; };
enum { RANGES_MAX = 4096 };

static struct
{
  int fd, copy_fd;
  char *at, *copy_at;           /* both files, mapped */
  size_t capacity;
  size_t size, blocks;          /* of the file when last asked */
  size_t copy_size;
  struct range range[RANGES_MAX];
  size_t n_ranges;
  char *last;                   /* what told ranges held at the last look */
  struct heap view;             /* the file as a heap, for reading alone */
} world;

/* Note bytes [FROM, FROM + LEN) of the file as worth copying; TOLD: a change
   there makes a new state.  */
static void
world_add (size_t from, size_t len, bool told)
{
  if (from >= world.size || len == 0)
    return;
  if (len > world.size - from)
    len = world.size - from;
  NEED (world.n_ranges < RANGES_MAX);
  struct range *last = world.n_ranges > 0 ? &world.range[world.n_ranges - 1]
                                          : NULL;
  if (last != NULL && last->told == told && last->from + last->len == from)
    last->len += len;
  else
    world.range[world.n_ranges++] = (struct range) { from, len, told };
}

/* Both ends of a large block, and where the end of one moved there would
   be.  */
static void
world_add_ends (size_t from, size_t len)
{
  world_add (from, MM_PAGE, false);
  world_add (from + len - MM_PAGE, MM_PAGE, false);
  for (size_t i = 0; i < plan->n; i++)
    {
      struct block *b = &plan->block[i];
      size_t at = (size_t) (b->p - (char *) KILL_BASE);
      if (b->size > KILL_WHOLE && at >= from && at < from + len)
        world_add (at + b->size - KILL_END, KILL_END, false);
    }
  size_t moved = plan->moved > 0 ? plan->block[plan->moved - 1].size : 0;
  if (moved > KILL_WHOLE && moved < len)
    world_add (from + moved - KILL_END, KILL_END, false);
}

static void
world_stat (void)
{
  struct stat st;
  NEED (fstat (world.fd, &st) == 0);
  world.size = (size_t) st.st_size;
  world.blocks = (size_t) st.st_blocks * 512;
}

/* Note the THIN page at slice S of chunk C, N slices long, but for its holes,
   which a look would fill.  How many bytes of it are called backed and need not
   be.  */
static size_t
world_add_thin (size_t c, size_t s, size_t n)
{
  struct heap *h = &world.view;
  size_t from = off_file (h, off_slice (h, c, s)), bytes = 0;
  for (size_t i = 0; i < 4 * n; i++)
    if ((off_record (h, c, s)->holes >> i & 1) == 0)
      world_add (from + i * MM_PAGE, MM_PAGE, false);
    else if (map_get (off_index (h, c)->backed, s + i / 4))
      bytes += MM_PAGE;
  return bytes;
}

/* Look through the heads which parts matter: all metadata, used pages, both
   ends of large blocks.  How many bytes of disk the file lays claim to; *REACH
   gets the end of the last one.  */
static size_t
world_survey (size_t *reach_at)
{
  size_t reach = 0;
  *reach_at = 0;
  struct heap *h = &world.view;
  world_stat ();
  world.n_ranges = 0;
  world_add (0, MM_OFF_INDEX, true);
  if (world.size < MM_OFF_RECORDS
      || *(uint64_t *) (void *) world.at != MM_MAGIC)
    {
      world_add (MM_OFF_INDEX, world.size, true);
      return 0;
    }
  uint32_t ready = h->locks->streams_ready;
  size_t claims = MM_OFF_INDEX;
  size_t tables = off_dir_bytes (h)
                  + round_up (ready * sizeof (struct disk_stream), MM_PAGE);
  world_add (off_file (h, h->dir), tables, true);
  claims += tables;
  for (size_t c = 0; c < run_chunks (h); c++)
    {
      size_t chunk = off_file (h, off_chunk (h, c));
      uint64_t d = dir_get (h, c);
      if (chunk >= world.size)
        break;
      if (dir_kind (d) == DIR_HUGE)
        {
          size_t from = chunk + (dir_start (d) << MM_SLICE_SHIFT);
          size_t len = dir_slices (d) << MM_SLICE_SHIFT;
          claims += len;
          reach = from + len;
          world_add_ends (from, len);
        }
      if (dir_kind (d) != DIR_PAGED)
        continue;
      size_t end = run_ready (h, c), n, told = dir_ready (d);
      size_t bytes = round_up (MM_PAGE + told * MM_RECORD, MM_PAGE);
      world_add (chunk + MM_OFF_INDEX, bytes, true);
      claims += bytes;
      /* What the words say; the library trusts them only up to the length.  */
      for (size_t s = slice_first_data (h, c); s < told; s++)
        if (map_get (off_index (h, c)->backed, s))
          {
            claims += MM_SLICE;
            reach = chunk + ((s + 1) << MM_SLICE_SHIFT);
          }
      for (size_t s = slice_first_data (h, c); s < end; s += n > 0 ? n : 1)
        {
          uint64_t head = off_record (h, c, s)->head;
          size_t from = chunk + (s << MM_SLICE_SHIFT);
          n = run_covers (head, s, end);
          size_t len = n << MM_SLICE_SHIFT;
          if (n == 0)
            continue;
          if (head_kind (head) == HEAD_LARGE && n > 16)
            world_add_ends (from, len);
          else if (head_kind (head) == HEAD_PAGE
                   && head_state (head) == HEAD_THIN)
            claims -= world_add_thin (c, s, n);
          else
            world_add (from, len, head_kind (head) == HEAD_ROOTS);
        }
    }
  if (plan->slot != NULL)
    world_add ((uintptr_t) plan->slot - (uintptr_t) KILL_BASE,
               sizeof *plan->slot, true);
  if (plan->from != NULL)
    world_add ((uintptr_t) plan->from - (uintptr_t) KILL_BASE,
               sizeof *plan->from, true);
  *reach_at = reach;
  return claims;
}

/* Whether something has changed since the last look.  */
static bool
world_changed (bool asked)
{
  bool changed = false;
  if (asked)
    {
      size_t size = world.size, blocks = world.blocks;
      world_stat ();
      changed = size != world.size || blocks != world.blocks;
    }
  for (size_t i = 0; i < world.n_ranges; i++)
    {
      struct range *r = &world.range[i];
      if (!r->told || r->from >= world.size)
        continue;
      size_t len = r->len < world.size - r->from ? r->len
                                                 : world.size - r->from;
      changed = changed
                || memcmp (world.last + r->from, world.at + r->from, len) != 0;
    }
  return changed;
}

static void
world_remember (void)
{
  for (size_t i = 0; i < world.n_ranges; i++)
    if (world.range[i].told)
      memcpy (world.last + world.range[i].from,
              world.at + world.range[i].from, world.range[i].len);
}

/* What the last survivor made of the copy behind the records of chunk 0 and of
   the streams that are in use is undone: nobody has ever written there.  */
static void
world_undo (void)
{
  struct heap *h = &world.view;
  size_t dir = off_file (h, h->dir);
  if (dir + sizeof (uint64_t) > world.size)
    return;
  uint64_t *word = (uint64_t *) (void *) (world.copy_at + dir);
  size_t from = MM_OFF_RECORDS
                + dir_ready (dir_get (h, 0)) * MM_RECORD;
  size_t to = MM_OFF_RECORDS + dir_ready (*word) * MM_RECORD;
  if (from < to && to < dir)
    memset (world.copy_at + from, 0, to - from);
  struct disk_locks *l = (struct disk_locks *) (void *)
                         (world.copy_at + MM_OFF_LOCKS);
  from = off_file (h, &h->stream[h->locks->streams_ready]);
  to = off_file (h, &h->stream[l->streams_ready]);
  if (from < to && to <= world.copy_size)
    memset (world.copy_at + from, 0, to - from);
}

/* Make the copy as the file is, but for the note which file it is: else each
   opener would give it disk blocks, as it must for a copy; and for the mark
   that is found in the memory of its users: the victim lives.  */
static void
world_copy (void)
{
  struct stat st;
  NEED (fstat (world.copy_fd, &st) == 0);
  world.copy_size = (size_t) st.st_size;
  if (world.copy_size > 0)
    world_undo ();
  if (world.copy_size != world.size)
    NEED (ftruncate (world.copy_fd, (off_t) world.size) == 0);
  for (size_t i = 0; i < world.n_ranges; i++)
    {
      struct range *r = &world.range[i];
      for (size_t at = r->from, n; at < r->from + r->len; at += n)
        {
          n = MM_PAGE - at % MM_PAGE;
          n = n < r->from + r->len - at ? n : r->from + r->len - at;
          if (memcmp (world.copy_at + at, world.at + at, n) != 0)
            memcpy (world.copy_at + at, world.at + at, n);
        }
    }
  if (world.size >= MM_OFF_INDEX)
    ((struct disk_locks *) (void *) (world.copy_at + MM_OFF_LOCKS))->mark ^= 1;
  for (int i = 0; i < 2; i++)
    {
      struct disk_super *s = (struct disk_super *) (void *)
                             (world.copy_at + i * MM_PAGE);
      struct reason why;
      if (world.size < MM_OFF_INDEX || super_verify (s, &why) != 0)
        continue;
      s->dev = st.st_dev;
      s->ino = st.st_ino;
      s->blocks = 0;
      s->sum = super_sum (s);
    }
}

static void
world_open (const struct operation *op)
{
  memset (&world, 0, sizeof world);
  world.capacity = op->capacity;
  world.fd = open (file, O_RDWR | O_CLOEXEC);
  unlink (copy);
  world.copy_fd = open (copy, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
  NEED (world.fd >= 0 && world.copy_fd >= 0);
  world.at = mmap (NULL, op->capacity, PROT_READ | PROT_WRITE,
                   MAP_SHARED | MAP_NORESERVE, world.fd, 0);
  world.copy_at = mmap (NULL, op->capacity, PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_NORESERVE, world.copy_fd, 0);
  world.last = mmap (NULL, op->capacity, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  NEED (world.at != MAP_FAILED && world.copy_at != MAP_FAILED
        && world.last != MAP_FAILED);
  pthread_once (&process.once, process_start);
  struct heap *h = &world.view;
  h->file.kind = &kind_reader;
  h->file.fd = world.fd;
  h->file.base = (uintptr_t) world.at;
  h->file.mapped = h->capacity = op->capacity;
  h->super.base = h->file.base;
  h->super.capacity = op->capacity;
  h->super.n_shared = 1;
  size_t exclusive = op->capacity / MM_SYSTEM_STREAM_SPACE;
  h->super.n_streams = 1 + (uint32_t) exclusive;
  h->super.n_procs = op->capacity >= MM_SLACK_LEAST ? MM_PROCS : MM_PROCS_FIRST;
  /* The grid begins at the base: mmap gives whole system pages only.  */
  epoch_layout (h);
  if (h->grid != h->file.base)
    {
      char *room = mmap (NULL, op->capacity + MM_SLICE, PROT_NONE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
      NEED (room != MAP_FAILED);
      char *to = (char *) round_up ((uintptr_t) room, MM_SLICE);
      munmap (world.at, op->capacity);
      world.at = mmap (to, op->capacity, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_NORESERVE | MAP_FIXED, world.fd, 0);
      NEED (world.at == to);
      h->file.base = (uintptr_t) to;
      epoch_layout (h);
    }
  world_stat ();
}


/* ---- Looking at what a death left --------------------------------------- */

struct seen
{
  size_t n;
  struct block block[BLOCKS_MAX];
};

static int
see_block (void *p, size_t size, void *arg)
{
  struct seen *w = arg;
  if (w->n > 0
      && w->block[w->n - 1].p + w->block[w->n - 1].size > (char *) p)
    bad ("two blocks overlap");
  if (w->n < BLOCKS_MAX)
    w->block[w->n++] = (struct block) { p, size, 0, false };
  return 0;
}

/* Blocks come in the order of their addresses.  */
static struct block *
seen_find (struct seen *w, const void *p)
{
  size_t from = 0, to = w->n;
  while (from < to)
    {
      size_t mid = (from + to) / 2;
      if (w->block[mid].p < (const char *) p)
        from = mid + 1;
      else
        to = mid;
    }
  return from < w->n && w->block[from].p == p ? &w->block[from] : NULL;
}

/* Slices of records: each has a record that some name leads to, or is the one
   where the next record goes.  */
static int
see_roots (struct heap *h, const struct sight *at, void *arg)
{
  unsigned *wasted = arg;
  if (at->r == NULL || !root_has_records (at->head)
      || h->root->slab >> 32 == slice_number (at->c, at->s))
    return 0;
  uint64_t from = off_file (h, off_slice (h, at->c, at->s));
  for (size_t b = 0; b < MM_BUCKETS; b++)
    {
      struct root_walk walk;
      struct disk_name *r;
      root_start (h, b, &walk);
      while ((r = root_step (h, &walk)) != NULL)
        if (off_file (h, r) - from < MM_SLICE)
          return 0;
    }
  ++*wasted;
  return 0;
}

/* What is promised about the slot.  W: the live blocks; the new one gets its
   tag.  */
static void
look_slot (struct seen *w)
{
  void *value = *plan->slot;
  struct block *s = value != NULL ? seen_find (w, value) : NULL, *old = NULL;
  for (size_t i = 0; i < plan->n; i++)
    if (plan->slot_old != NULL && plan->block[i].p == plan->slot_old)
      old = &plan->block[i];
  if (value != NULL && s == NULL)
    bad ("the slot dangles");
  if (now.finished && !plan->no_end && value != plan->result)
    bad ("the slot is not as the call left it");
  bool old_lives = old != NULL && seen_find (w, old->p) != NULL;
  if (value == plan->slot_old && old != NULL && !old_lives)
    bad ("the slot's old block is lost");
  if (value != plan->slot_old && old_lives && old->doubt)
    bad ("the slot's old block leaked");
  if (value == plan->slot_old || s == NULL)
    return;
  size_t n = old != NULL && old->doubt ? old->size : 0;
  if (s->size < plan->want)
    bad ("the slot's block of %zu bytes has %zu", plan->want, s->size);
  else if (!kill_holds (value, n, n < plan->want ? n : plan->want,
                        old != NULL ? old->tag : 0))
    bad ("the slot's block of %zu bytes has lost its contents", n);
  s->tag = 2;
  kill_fill (s->p, s->size, 2);
}

/* What is promised about the words that a block is moved between.  */
static void
look_move (void)
{
  void *to = *plan->slot, *from = *plan->from;
  if (to == plan->carried ? from != NULL
                          : to != plan->slot_old || from != plan->carried)
    bad ("moved %p: in the slot %p, which had %p, where it was %p",
         plan->carried, to, plan->slot_old, from);
  if (now.finished && !plan->no_end && to != plan->carried)
    bad ("the block was not moved");
}

/* The process's own page can be had, empty; or could be if there were room.  */
static void
look_local (void *md)
{
  char *p = mmalloc_local (md, MMALLOC_LOCAL_MAX);
  if (p == NULL && mmalloc_errno (md) == EBADMSG)
    bad ("no page of the process's own: %s", mmalloc_strerror (md));
}

/* There is no root, or it is whole.  */
static void
look_made (void *md, struct seen *w)
{
  void *value = mmalloc_getroot (md, "made");
  struct block *s = value != NULL ? seen_find (w, value) : NULL;
  if (now.finished && !plan->no_end && value != plan->result)
    bad ("the root is not as the call left it");
  if (value != NULL && s == NULL)
    bad ("the root dangles");
  if (s == NULL)
    return;
  if (plan->filled != 1
      || s->size < plan->want
      || !kill_holds (value, plan->want, plan->want, MADE))
    bad ("the root is not whole");
  s->size = plan->want;
  s->tag = MADE;
}

/* That the machine went down is known, and believed by roots: if nobody has set
   one yet, the next will look.  */
static void
look_booted (void *md)
{
  struct mmalloc_info info;
  NEED (mmalloc_info (md, &info) == 0);
  if (!info.went_down)
    bad ("nobody knows that the machine went down");
  if (kill_heap ()->locks->roots_doubt == 0
      && mmalloc_getroot (md, "survivor") == NULL)
    bad ("roots do not know that the machine went down");
}

/* All that is promised about blocks, roots and keys.  W gets the live
   blocks, with their tags; unknown ones have tag 0.  */
static void
look (void *md, struct seen *w)
{
  if (mmalloc_check (md, bad_finding, NULL) < 0)
    bad ("no check: %s", mmalloc_strerror (md));
  w->n = 0;
  mmalloc_walk (md, see_block, w);
  if (plan->from != NULL)
    look_move ();
  else if (plan->slot != NULL)
    look_slot (w);
  if (strncmp (now.operation, "local", 5) == 0)
    look_local (md);
  if (plan->booted)
    look_booted (md);
  if (plan->made)
    look_made (md, w);
  if (plan->kept != NULL && *plan->kept != plan->carried)
    bad ("a word of the program's was changed");
  struct block *old = NULL;     /* what realloc moves */
  bool moved = false;
  for (size_t i = 0; i < plan->n; i++)
    {
      struct block *b = &plan->block[i];
      struct block *s = seen_find (w, b->p);
      if (plan->moved == i + 1)
        old = b, moved = s == NULL;
      if (s == NULL)
        {
          if (!b->doubt)
            bad ("a block of %zu bytes is lost", b->size);
          continue;
        }
      s->tag = b->tag;
      if (now.finished && b->doubt && b->p != plan->result && !plan->no_end)
        bad ("a freed block of %zu bytes is live", b->size);
      /* A block resized in place may have any of the two sizes.  */
      size_t n = b->size;
      if (b == old && s->size < n)
        n = plan->want < n ? plan->want : n;
      if (s->size < n)
        bad ("a block of %zu bytes has %zu", n, s->size);
      else if (!kill_holds (b->p, b->size, n, b->tag))
        bad ("the contents of a block of %zu bytes are gone", b->size);
      s->size = n;
      if (n < b->size && n > KILL_WHOLE)
        {
          s->tag = b->tag + (UINT64_C (1) << 63);
          kill_fill (s->p, n, s->tag);
        }
    }
  unsigned unknown = 0;
  for (size_t i = 0; i < w->n; i++)
    if (w->block[i].tag == 0)
      {
        struct block *s = &w->block[i];
        unknown++;
        if (moved && plan->may_leak == 1 && plan->slot == NULL
            && !kill_holds (s->p, old->size,
                            old->size < plan->want ? old->size : plan->want,
                            old->tag))
          bad ("the moved block of %zu bytes has lost its contents",
               old->size);
        if (now.finished && !plan->no_end && s->p != plan->result)
          bad ("an unknown block of %zu bytes is live", s->size);
        s->tag = 1;
        kill_fill (s->p, s->size, 1);
      }
  if (unknown > plan->may_leak)
    bad ("%u blocks leaked", unknown);
  if (moved && unknown == 0 && plan->slot == NULL)
    bad ("realloc lost its block");
  if (now.finished && plan->result != NULL
      && seen_find (w, plan->result) == NULL)
    bad ("the new block is not live");
  unsigned wasted = 0;
  walk_heap (kill_heap (), see_roots, &wasted);
  if (wasted > 0)
    bad ("%u slices of roots are wasted", wasted);
  for (size_t i = 0; i < plan->n_roots; i++)
    {
      char name[32];
      snprintf (name, sizeof name, "root %zu", i);
      if (mmalloc_getroot (md, name) != ROOT (i))
        bad ("root \"%s\" is %p", name, mmalloc_getroot (md, name));
    }
  if (plan->root[0] != '\0')
    {
      void *value = mmalloc_getroot (md, plan->root);
      if (value != plan->root_new
          && (value != plan->root_old || (now.finished && !plan->no_end)))
        bad ("root \"%s\" is %p", plan->root, value);
    }
  if (plan->gone[0] != '\0' && mmalloc_getroot (md, plan->gone) != NULL)
    bad ("forgotten root \"%s\" is back", plan->gone);
  if (plan->key > 0)
    {
      void *value = mmalloc_getkey (md, plan->key);
      if (value != plan->key_new
          && (value != plan->key_old || now.finished))
        bad ("key %d is %p", plan->key, value);
    }
}

/* Nobody has recovered yet: not even now does the slot dangle.  */
static void
look_slot_early (void *md)
{
  static struct seen w;
  w.n = 0;
  mmalloc_walk (md, see_block, &w);
  if (*plan->slot != NULL && seen_find (&w, *plan->slot) == NULL)
    bad ("the slot dangles before recovery");
  if (plan->from != NULL && *plan->slot != plan->carried
      && *plan->from != plan->carried)
    bad ("the moved block is lost before recovery");
}

/* All blocks of W hold what they should.  */
static void
look_again (struct seen *w, const char *when)
{
  for (size_t i = 0; i < w->n; i++)
    {
      struct block *b = &w->block[i];
      if (b->p != NULL && !kill_holds (b->p, b->size, b->size, b->tag))
        bad ("%s: the contents of a block of %zu bytes are gone", when,
             b->size);
    }
}

static int
see_used (struct heap *h, const struct sight *at, void *arg)
{
  size_t *n = arg;
  uint32_t stream = head_owner (at->head);
  if (at->r == NULL || head_kind (at->head) == HEAD_LARGE
      || (head_kind (at->head) == HEAD_PAGE
          && (stream <= h->super.n_shared || stream > h->super.n_streams
              || off_stream (h, stream)->owner != plan->neighbour.id)))
    *n += 1;
  return 0;
}

/* After a trim: I6, also for slices behind the ready records.  */
static void
look_backed (struct heap *h)
{
  size_t length = h->root->length;
  for (size_t c = 0; c < run_chunks (h); c++)
    for (size_t s = slice_count (h, c);
         dir_kind (dir_get (h, c)) == DIR_PAGED && s-- > 0; )
      if (map_get (off_index (h, c)->backed, s)
          && off_file (h, off_slice (h, c, s)) >= length)
        {
          bad ("slice %zu of chunk %zu is called backed, behind the end", s,
               c);
          return;
        }
}

/* The survivor wants the root that the dead one made, or did not.  */
static int
init_again (void *root, size_t size, void *count)
{
  for (size_t i = 0; i < size && i < KILL_WHOLE; i++)
    if (((char *) root)[i] != 0 || ((char *) root)[size - 1 - i] != 0)
      {
        bad ("a root that is to be made is not zero");
        break;
      }
  kill_fill (root, size, MADE);
  ++*(int *) count;
  return 0;
}

static void
make_again (void *md, struct seen *mine)
{
  int inits = 0;
  void *there = mmalloc_getroot (md, "made");
  void *p = mmalloc_makeroot (md, "made", plan->want, init_again, &inits);
  if (p == NULL)
    bad ("the root cannot be made: %s", mmalloc_strerror (md));
  else if ((there != NULL && p != there) || p != mmalloc_getroot (md, "made"))
    bad ("another root was made");
  if (inits != (p != NULL && there == NULL))
    bad ("the function of the root was called %d times", inits);
  if (p != NULL && !kill_holds (p, plan->want, plan->want, MADE))
    bad ("the root that was made again is not whole");
  if (there == NULL && p != NULL)
    mine->block[mine->n++] = (struct block) { p, plan->want, MADE, false };
}

/* The survivor works with the heap.  */
static void
go_on (void *md, struct seen *w, bool tight, bool alone)
{
  static const size_t sizes[] = { 768, 64, 16, 1000, 1000, 48, 5000, 20000,
                                  100000 };
  enum { N = sizeof sizes / sizeof *sizes };
  static struct seen mine;
  struct heap *h = kill_heap ();
  mine.n = 0;
  /* With guards this one begins inside its run.  */
  void *aligned = mmemalign (md, MM_SLICE, 60000);
  if (aligned != NULL)
    mfree (md, aligned);
  if (plan->made && !tight)
    make_again (md, &mine);
  for (size_t i = 0; i < N; i++)
    {
      void *p = mmalloc (md, sizes[i]);
      if (p != NULL)
        {
          kill_fill (p, sizes[i], 1000 + i);
          mine.block[mine.n++] = (struct block) { p, sizes[i], 1000 + i,
                                                  false };
        }
      else if (!tight)
        bad ("no room for %zu bytes: %s", sizes[i], mmalloc_strerror (md));
    }
  look_again (w, "after allocations");
  for (size_t i = 0; i < w->n; i += 3)
    {
      mfree (md, w->block[i].p);
      w->block[i].p = NULL;
    }
  if (!tight && mmalloc_setroot (md, "survivor", ROOT (700)) != 0)
    bad ("no root: %s", mmalloc_strerror (md));
  if (!tight && mmalloc_getroot (md, "survivor") != ROOT (700))
    bad ("a root was not set");
  look_again (w, "after frees");
  look_again (&mine, "after frees");
  if (mmalloc_check (md, bad_finding, NULL) != 0)
    bad ("not whole after work");
  for (size_t i = 0; i < w->n; i++)
    if (w->block[i].p != NULL)
      mfree (md, w->block[i].p);
  for (size_t i = 0; i < mine.n; i++)
    mfree (md, mine.block[i].p);
  if (mmalloc_trim (md) < 0)
    bad ("no trim: %s", mmalloc_strerror (md));
  look_backed (h);
  /* A hint, but neither may it run away: growth goes by it.  */
  if (!plan->no_count && h->locks->n_backed > h->capacity / MM_SLICE)
    bad ("%ld slices are counted as backed", (long) h->locks->n_backed);
  size_t used = 0;
  plan->neighbour.id = alone ? UINT64_MAX : plan->neighbour.id;
  walk_heap (h, see_used, &used);
  if (used > 0)
    bad ("%zu runs are still in use when all is freed", used);
  if (mmalloc_check (md, bad_finding, NULL) != 0)
    bad ("not whole after all is freed");
}

static void
recover (void *md)
{
  if (mmalloc_recover (md) != 0)
    bad ("no recovery: %s", mmalloc_strerror (md));
}

/* What somebody allocates before recovery is not touched by it.  TRIMS: he
   looks for memory everywhere, else he does not come to bury the dead.  */
static void
work_early (void *md, bool trims)
{
  static struct seen w;
  static char *mine[64];
  static size_t sizes[64];
  enum { N = sizeof mine / sizeof *mine };
  struct block *old = NULL;
  for (size_t i = 0; i < plan->n; i++)
    if (plan->block[i].p == plan->slot_old)
      old = &plan->block[i];
  /* Nor is the block of a root that it forgets.  */
  void *made = plan->made ? mmalloc_getroot (md, "made") : NULL;
  if (made != NULL)
    {
      if (mmalloc_setroot (md, "made", NULL) != 0)
        bad ("the root is not forgotten: %s", mmalloc_strerror (md));
      mfree (md, made);
    }
  if (trims && mmalloc_trim (md) < 0)
    bad ("no trim: %s", mmalloc_strerror (md));
  if (trims)
    look_backed (kill_heap ());
  if (!trims)
    {
      /* The thread has a stream, one that is shared.  */
      cache_use (kill_heap (), md)->stream = 1;
      no_sweep (md);
    }
  for (size_t i = 0; i < N; i++)
    {
      sizes[i] = i % 2 == 0 && old != NULL ? old->size
                 : plan->want > 0 ? plan->want : 1000;
      if (i > 1 && (i % 3 != 0 || sizes[i] > KILL_WHOLE))
        sizes[i] = (size_t) 16 << i % 8;
      mine[i] = mmalloc (md, sizes[i]);
      if (mine[i] != NULL)
        kill_fill (mine[i], sizes[i], 4000 + i);
    }
  recover (md);
  w.n = 0;
  mmalloc_walk (md, see_block, &w);
  for (size_t i = 0; i < N; i++)
    if (mine[i] != NULL && seen_find (&w, mine[i]) == NULL)
      bad ("recovery frees a block of %zu bytes of another", sizes[i]);
    else if (mine[i] != NULL
             && !kill_holds (mine[i], sizes[i], sizes[i], 4000 + i))
      bad ("recovery changes a block of %zu bytes of another", sizes[i]);
    else
      mfree (md, mine[i]);
  if (plan->slot != NULL && *plan->slot != NULL
      && seen_find (&w, *plan->slot) == NULL)
    bad ("the slot dangles after late recovery");
  if (mmalloc_check (md, bad_finding, NULL) != 0)
    bad ("not whole after late recovery");
}

/* Play the death at this point.  */
static void
play (const struct operation *op)
{
  static struct seen seen;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  bool alone = (op->flags & ALONE) != 0;
  uint64_t id = plan->neighbour.id;
  opt.base = KILL_BASE;
  opt.reserve = op->capacity;
  alarm (kill_patience ());
  now.played++;
  world_copy ();
  now.way = "opener";
  void *md = mmalloc_open (copy, op->flags & EMPTY ? MMALLOC_CREATE : 0,
                           &opt);
  if (md == NULL)
    {
      bad ("cannot be opened: %s", mmalloc_strerror (NULL));
      return;
    }
  look (md, &seen);
  go_on (md, &seen, (op->flags & TIGHT) != 0, true);
  plan->neighbour.id = id;
  if (!alone)
    {
      now.way = "neighbour";
      world_copy ();
      become_neighbour (kill_heap (), &plan->neighbour);
      if (plan->slot != NULL)
        look_slot_early (md);
      if (plan->recovers)
        recover (md);
      look (md, &seen);
      go_on (md, &seen, (op->flags & TIGHT) != 0, false);
    }
  for (int trims = 0; trims < 2 && !alone && plan->recovers; trims++)
    {
      now.way = trims ? "neighbour, trims before recovery"
                      : "neighbour, works before recovery";
      world_copy ();
      become_neighbour (kill_heap (), &plan->neighbour);
      work_early (md, trims != 0);
    }
  forget_caches (kill_heap ());
  if (mmalloc_detach (md) != NULL)
    bad ("cannot be detached");
  alarm (0);
}


/* ---- Stepping ----------------------------------------------------------- */

static const struct operation *
operation_of (const char *name)
{
  for (size_t i = 0; i < N_OPERATIONS; i++)
    if (strcmp (operations[i].name, name) == 0)
      return &operations[i];
  broken ("no operation \"%s\"", name);
}

/* Kill the victim of an earlier operation where WHEN holds.  */
static void
crash (const struct operation *op)
{
  const struct operation *first = operation_of (op->crashed);
  NEED (first->capacity == op->capacity);
  pid_t victim = start_victim (first);
  world_stat ();
  while (!op->when (&world.view))
    {
      if (trace_is_at (victim, trace_end)
          || !step_once (victim))
        broken ("%s: %s never comes to the point", op->name, first->name);
      world_stat ();
    }
  kill_process (victim);
  plan->no_end = true;
  if (op->flags & FREED)
    {
      size_t i = 0;
      while (!plan->block[i].doubt)
        i++;
      plan->block[i] = plan->block[--plan->n];
      plan->slot = NULL;
      plan->slot_old = NULL;
    }
}

/* Run through one operation; false if something was wrong.  */
static bool
run (size_t number, long stride)
{
  const struct operation *op = &operations[number];
  bool trace = setting ("MMALLOC_KILL_TRACE", 0) != 0;
  pid_t neighbour = 0, victim = 0;
  memset (plan, 0, sizeof *plan);
  plan->key = -1;
  plan->neighbour.id = UINT64_MAX;
  now_begin (op->name);
  alarm (kill_patience ());
  make_file (op);
  world_open (op);
  if (!(op->flags & ALONE))
    neighbour = neighbour_start (&plan->neighbour, neighbour_opens, op);
  if (!(op->flags & OPENS))
    victim = start_victim (op);
  if (op->crashed != NULL)
    crash (op);
  if (op->flags & OPENS)
    victim = start_victim (op);
  alarm (0);

  size_t reach;
  world_survey (&reach);
  world_remember ();
  play (op);
  while (!now.finished && now_advance (victim, world_changed))
    {
      size_t claims = world_survey (&reach);
      now.way = "claims";
      if (claims > 0 && reach > world.view.root->length)
        bad ("0x%zx bytes are in use, the length is 0x%zx", reach,
             (size_t) world.view.root->length);
      if (claims > world.blocks)
        bad ("%zu bytes are said to be on disk, %zu are", claims,
             world.blocks);
      world_remember ();
      if (trace)
        {
          printf ("state %ld after %ld\n", now.states, now.points);
          trace_where (now.pc);
        }
      if (now_plays (stride))
        play (op);
    }
  return now_end (victim, neighbour);
}

int
main (int argc, char **argv)
{
  long stride = (long) setting ("MMALLOC_KILL_STRIDE", 0);
  struct sum *sum = kill_shared (sizeof *sum);
  if (!trace_works ())
    return KILL_SKIPPED;
  plan = kill_shared (sizeof *plan);
  kill_make_dir ();
  snprintf (file, sizeof file, "%s", kill_path ("heap"));
  snprintf (copy, sizeof copy, "%s", kill_path ("copy"));
  sum_begin ();
  for (size_t i = 0; i < N_OPERATIONS; i++)
    if (kill_wants (operations[i].name, argc, argv)
        && (argc > 1 || stride == 1 || !(operations[i].flags & LONG)))
      sum_add (sum, run, i, stride);
  unlink (file);
  unlink (copy);
  rmdir (kill_dir);
  return sum_end (sum);
}
