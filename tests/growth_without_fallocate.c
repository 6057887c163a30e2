/* A file system without fallocate (vfat, ext2, some in user space): a heap
   grows by zeros that are written into its file.  They are never written over
   what another thread or process has got meanwhile, whatever grows and at
   whichever write the other one comes; and all has disk blocks, as with
   fallocate.  */

#include "inside.h"

static void *md;

static int
no_fallocate (int fd, int mode, off_t off, off_t len)
{
  (void) fd, (void) mode, (void) off, (void) len;
  errno = EOPNOTSUPP;
  return -1;
}

/* Blocks that must keep their contents.  */
struct kept
{
  size_t n;
  void *block[200];
  size_t size[200];
};
static struct kept ours, theirs;

static void
keep (struct kept *kept, void *block, size_t size)
{
  must (block != NULL && kept->n < 200);
  block_fill (block, size, size + kept->n);
  kept->block[kept->n] = block;
  kept->size[kept->n++] = size;
}

static void
all_hold (const struct kept *kept, const char *whose)
{
  for (size_t i = 0; i < kept->n; i++)
    ck_assert_msg (block_holds (kept->block[i], kept->size[i],
                                kept->size[i] + i),
                   "block %zu of %s, %zu bytes, is overwritten", i, whose,
                   kept->size[i]);
}


/* ---- A neighbour that comes at a certain write ------------------------- */

static _Thread_local bool grows;        /* the thread whose writes count */
static int n_writes, neighbour_comes_at;
static void *(*neighbour) (void *);
static pthread_t neighbour_thread;
static atomic_int neighbour_id;
static atomic_bool neighbour_ended;

/* Whether the neighbour waits for a lock.  */
static bool
neighbour_waits (void)
{
  char name[64], text[64] = "";
  int id = neighbour_id;
  if (id == 0)
    return false;
  snprintf (name, sizeof name, "/proc/self/task/%d/syscall", id);
  int fd = open (name, O_RDONLY);
  if (fd < 0)
    return neighbour_ended;
  ssize_t n = read (fd, text, sizeof text - 1);
  close (fd);
  return n > 0 && text[0] != 'r' && strtol (text, NULL, 10) == SYS_futex;
}

static void *
neighbour_main (void *unused)
{
  neighbour_id = (int) syscall (SYS_gettid);
  neighbour (unused);
  neighbour_ended = true;
  return NULL;
}

/* The neighbour does all it can before the write goes on.  */
static ssize_t
pwrite_beside_a_neighbour (int fd, const void *from, size_t n, off_t at)
{
  if (grows && ++n_writes == neighbour_comes_at)
    {
      neighbour_thread = thread_start (neighbour_main, NULL);
      while (!neighbour_ended && !neighbour_waits ())
        sched_yield ();
    }
  return pwrite (fd, from, n, at);
}

/* GROW, with the neighbour coming at write AT of it.  False if there are not
   so many.  */
static bool
grow_beside (void (*grow) (void), void *(*other) (void *), int at)
{
  neighbour = other;
  neighbour_comes_at = at;
  neighbour_id = n_writes = 0;
  neighbour_ended = false;
  grows = true;
  grow ();
  grows = false;
  if (n_writes < at)
    return false;
  thread_end (neighbour_thread);
  return true;
}

static void *
takes_blocks (void *unused)
{
  (void) unused;
  for (int i = 0; i < 3; i++)
    keep (&theirs, mmalloc (md, 100), 100);
  keep (&theirs, mmalloc (md, 20000), 20000);
  keep (&theirs, mmalloc (md, 3 * MM_SLICE), 3 * MM_SLICE);
  return NULL;
}


/* ---- What makes a heap grow --------------------------------------------- */

static void
one_block (void)
{
  keep (&ours, mmalloc (md, 10 * MM_SLICE), 10 * MM_SLICE);
}

static void
aligned_block (void)
{
  keep (&ours, mmemalign (md, KIB (128), KIB (200)), KIB (200));
}

static void
zeroed_block (void)
{
  char *block = mcalloc (md, 11, MM_SLICE);
  must (block != NULL && block_is_zero (block, 11 * MM_SLICE));
  keep (&ours, block, 11 * MM_SLICE);
}

/* Behind a block lies what is free.  */
static void
growing_block (void)
{
  char *block = mmalloc (md, 3 * MM_SLICE);
  must (block != NULL);
  block_fill (block, 3 * MM_SLICE, 1);
  for (size_t n = 4; n < 40; n += 5)
    {
      block = mrealloc (md, block, n * MM_SLICE);
      must (block != NULL && block_holds (block, 3 * MM_SLICE, 1));
    }
  keep (&ours, block, 39 * MM_SLICE);
}

static void
block_in_a_slot (void)
{
  void **slot = ours.block[0];
  must (mmalloc_to (md, slot, 5 * MM_SLICE) == 0);
  must (mrealloc_in (md, slot, 20 * MM_SLICE) == 0);
  keep (&ours, *slot, 20 * MM_SLICE);
  block_fill (slot, ours.size[0], ours.size[0]);
}

static void
small_blocks (void)
{
  static const size_t sizes[] = { 30000, 700, 9000, 5000, 17000 };
  for (size_t i = 0; i < 60; i++)
    keep (&ours, mmalloc (md, sizes[i % 5]), sizes[i % 5]);
}

static void
huge_block (void)
{
  keep (&ours, mmalloc (md, MIB (17)), MIB (17));
}

static void
growing_huge_block (void)
{
  char *block = mmalloc (md, MIB (17));
  must (block != NULL);
  block_fill (block, MIB (17), 1);
  block = mrealloc (md, block, MIB (18));
  must (block != NULL && block_holds (block, MIB (17), 1));
  block = mrealloc (md, block, MIB (34));
  must (block != NULL && block_holds (block, MIB (17), 1));
  keep (&ours, block, MIB (34));
}

static void
many_roots (void)
{
  static char name[MM_NAME_MAX + 1];
  memset (name, 'n', MM_NAME_MAX);
  for (int i = 0; i < 150; i++)
    {
      snprintf (name, 10, "%09d", i);
      name[9] = 'n';
      must (mmalloc_setroot (md, name, name + i) == 0);
    }
  for (int i = 0; i < 150; i++)
    {
      snprintf (name, 10, "%09d", i);
      name[9] = 'n';
      must (mmalloc_getroot (md, name) == name + i);
    }
}

/* Cases with 1, 1 + STEP... blocks before; few for what writes much.  */
static const struct growth
{
  void (*grow) (void);
  size_t step;
} growth[] = {
  { one_block, 1 }, { aligned_block, 1 }, { zeroed_block, 1 },
  { growing_block, 1 }, { block_in_a_slot, 1 }, { small_blocks, 1 },
  { many_roots, 1 }, { huge_block, 5 }, { growing_huge_block, 5 }
};
enum { GROWTHS = sizeof growth / sizeof *growth };

/* A heap with N blocks of three slices, where the last step of growth has left
   one slice or the other.  Gives whether there was a write AT.  */
static bool
case_of (void (*grow) (void), size_t n, int at)
{
  ours.n = theirs.n = 0;
  unlink (temp_heap_path ());
  md = heap_file ();
  for (size_t i = 0; i < n; i++)
    keep (&ours, mmalloc (md, 3 * MM_SLICE), 3 * MM_SLICE);
  bool came = grow_beside (grow, takes_blocks, at);
  all_hold (&ours, "the growing thread");
  all_hold (&theirs, "the neighbour");
  heap_end (md);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), 0, NULL), md);
  all_hold (&ours, "the growing thread");
  all_hold (&theirs, "the neighbour");
  heap_end (md);
  return came;
}

START_TEST (taken_meanwhile)
{
  os.fallocate = no_fallocate;
  os.pwrite = pwrite_beside_a_neighbour;
  for (size_t n = 1; n <= 6; n += growth[_i].step)
    {
      int at = 1;
      while (case_of (growth[_i].grow, n, at))
        at += at < 8 ? 1 : 3 * at;
      ck_assert_int_gt (at, 1);
    }
}
END_TEST


/* ---- A descriptor that appends ------------------------------------------- */

static bool no_proc;

static int
open_perhaps (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  mode_t mode = flags & O_CREAT ? va_arg (ap, mode_t) : 0;
  va_end (ap);
  if (no_proc && strncmp (path, "/proc/self/fd", 13) == 0)
    return errno = ENOENT, -1;
  return open (path, flags, mode);
}

/* A heap in NAME, by a descriptor that is open with MORE.  */
static void *
attach_with (const char *name, int more)
{
  int fd = open (temp_path (name), O_RDWR | O_CREAT | more, 0600);
  ck_assert_int_ge (fd, 0);
  void *heap = mmalloc_attach (fd, NULL);
  if (heap != NULL)
    /* It stays the program's, as it was.  */
    ck_assert_int_eq (fcntl (fd, F_GETFL) & O_APPEND, more);
  close (fd);
  return heap;
}

/* Zeros go where they belong, although the system would have them at the end
   of the file.  */
START_TEST (appended)
{
  static const char *const names[] = { "plain", "appends" };
  if (_i != 0)                  /* once will do */
    return;
  os.fallocate = no_fallocate;
  os.open = open_perhaps;
  off_t len[2];
  for (int i = 0; i < 2; i++)
    {
      ours.n = 0;
      md = attach_with (names[i], i == 0 ? 0 : O_APPEND);
      ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
      for (size_t n = 1; n < 20; n++)
        keep (&ours, mmalloc (md, n * MM_SLICE), n * MM_SLICE);
      all_hold (&ours, "the heap");
      len[i] = file_length (temp_path (names[i]));
      heap_end (md);
      ck_assert_ptr_eq (attach_with (names[i], i == 0 ? 0 : O_APPEND), md);
      all_hold (&ours, "the heap");
      zeroed_block ();
      heap_end (md);
    }
  ck_assert_int_eq (len[0], len[1]);
  no_proc = true;
  must_fail (NULL, attach_with (names[1], O_APPEND), ENOENT);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "O_APPEND"));
}
END_TEST


/* ---- Many at once ------------------------------------------------------- */

enum { THREADS = 4, PROCESSES = 3, BLOCKS = 200 };
static atomic_long *n_done;     /* shared by the processes */

/* Others come first, if they can.  */
static ssize_t
pwrite_after_others (int fd, const void *from, size_t n, off_t at)
{
  long before = *n_done;
  for (int i = 0; i < 50 && *n_done < before + 3; i++)
    sched_yield ();
  return pwrite (fd, from, n, at);
}

static void *
trader (void *seed)
{
  uint64_t state = (uint64_t) (size_t) seed;
  void *block[BLOCKS] = { NULL };
  size_t size[BLOCKS] = { 0 };
  int rounds = under_a_tool () ? 300 : 3000;
  char name[40];
  for (int round = 0; round < rounds; round++, ++*n_done)
    {
      size_t i = random_below (&state, BLOCKS);
      must (block[i] == NULL || block_holds (block[i], size[i], i));
      size_t wanted = random_below (&state, 8) == 0
                      ? MM_SLICE * (1 + random_below (&state, 20))
                      : 1 + random_below (&state, 4000);
      size_t least = size[i] < wanted ? size[i] : wanted;
      switch (random_below (&state, 5))
        {
        case 0:
          block[i] = mrealloc (md, block[i], wanted);
          must (block[i] != NULL && block_holds (block[i], least, i));
          break;
        case 1:
          mfree (md, block[i]);
          block[i] = mcalloc (md, 1, wanted);
          must (block[i] != NULL && block_is_zero (block[i], wanted));
          break;
        case 2:
          snprintf (name, sizeof name, "%zx %zu", (size_t) seed, i);
          must (mmalloc_setroot (md, name, block[i]) == 0);
          /* fall through */
        default:
          mfree (md, block[i]);
          block[i] = mmalloc (md, wanted);
          must (block[i] != NULL);
        }
      size[i] = wanted;
      block_fill (block[i], wanted, i);
      if (round % 1000 == 999)
        must (mmalloc_trim (md) >= 0);
    }
  for (size_t i = 0; i < BLOCKS; i++)
    must (block[i] == NULL || block_holds (block[i], size[i], i));
  heap_free_all (md, block, BLOCKS);
  return NULL;
}

static void
traders (void *seed)
{
  pthread_t thread[THREADS];
  md = heap_file ();
  for (size_t i = 0; i < THREADS; i++)
    thread[i] = thread_start (trader, (char *) seed + i);
  for (size_t i = 0; i < THREADS; i++)
    thread_end (thread[i]);
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (all_at_once)
{
  struct child child[PROCESSES];
  if (_i != 0)                  /* once will do */
    return;
  os.fallocate = no_fallocate;
  os.pwrite = pwrite_after_others;
  n_done = mmap (NULL, sizeof *n_done, PROT_READ | PROT_WRITE,
                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (n_done, MAP_FAILED);
  size_t seed = (size_t) random_seed ();
  for (size_t i = 0; i < PROCESSES; i++)
    child[i] = child_start (traders, (void *) (seed + i * THREADS));
  for (size_t i = 0; i < PROCESSES; i++)
    ck_assert_int_eq (child_end (child[i]), 0);
  md = heap_file ();
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST


/* ---- Files without a heap ----------------------------------------------- */

enum { REGION = 300000, REGION_MAGIC = 0x7e57 };

struct region_file
{
  uint64_t magic, base;
  char ours[1000], theirs[1000], rest[REGION - 2016];
};

static int
prepare (void *at, size_t size, enum mmalloc_region_why why,
         const char **reason, void *arg)
{
  struct region_file *r = at;
  (void) reason, (void) arg;
  must (size == REGION);
  if (why == MMALLOC_REGION_NEW)
    {
      must (block_is_zero (r->ours, REGION - 16));
      block_fill (r->ours, sizeof r->ours, 1);
      block_fill (r->rest, sizeof r->rest, 3);
      r->magic = REGION_MAGIC;
    }
  return r->magic == REGION_MAGIC ? 0 : EINVAL;
}

static struct region_file *
region_file (void)
{
  struct region_file *r = mmalloc_region_open (temp_path ("region"),
                                               MMALLOC_CREATE, NULL, REGION,
                                               prepare, NULL);
  must (r != NULL);
  return r;
}

static void
makes_a_region (void)
{
  region_file ();
}

static void *
joins_a_region (void *unused)
{
  (void) unused;
  block_fill (region_file ()->theirs, 1000, 2);
  return NULL;
}

START_TEST (region_files)
{
  int at = 1;
  if (_i != 0)                  /* once will do */
    return;
  os.fallocate = no_fallocate;
  os.pwrite = pwrite_beside_a_neighbour;
  for (; grow_beside (makes_a_region, joins_a_region, at); at++)
    {
      struct region_file *r = region_file ();
      must (block_holds (r->ours, sizeof r->ours, 1));
      must (block_holds (r->theirs, sizeof r->theirs, 2));
      must (block_holds (r->rest, sizeof r->rest, 3));
      ck_assert_int_eq (file_length (temp_path ("region")), REGION);
      ck_assert_int_ge (file_disk (temp_path ("region")), REGION);
      for (int i = 0; i < 3; i++)
        ck_assert_int_eq (mmalloc_region_close (r), 0);
      ck_assert_int_eq (unlink (temp_path ("region")), 0);
    }
  ck_assert_int_gt (at, 4);
}
END_TEST

RUN_KINDS (GROWTHS, taken_meanwhile, appended, all_at_once, region_files)
