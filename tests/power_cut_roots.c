/* After a power cut each page of the file is as it was at some moment since the
   last sync.  Short histories of roots, and every mix of the pages that they
   change: a root that was on the disk and was left alone is found with its
   value; one that was changed has one of its values, or is told to be damaged
   (EBADMSG); and nothing that is found is lost when the heap is used again.  */

#define INSIDE_DAMAGED 1
#include "inside.h"

#include <sys/mman.h>

enum
{
  MOMENTS = 8,          /* of a history, with that of the sync */
  FILE_MAX = 1 << 20,
  PAGES_MAX = FILE_MAX / MM_PAGE,
  ROOTS = 160,          /* names that histories use */
  VALUES = 4,           /* that a root may have since the sync; 0: absent */
  KIND = 8              /* names are 8 to a kind: same bucket, same length */
};

/* The state of a root: what it may be after the cut.  */
struct root
{
  char name[MM_NAME_MAX + 1];
  uint64_t value[VALUES];
  int n;                /* values, the last one is the current one */
  uint64_t found;       /* after the cut; 0: not found */
};

/* Shared with the child that makes the history.  */
static struct shared
{
  struct root root[ROOTS];
  char moment[MOMENTS][FILE_MAX];
  size_t length[MOMENTS];
  int n_moments;
} *the;

static void *md;

static uint64_t
value_of (int i, int turn)
{
  return UINT64_C (0x10000) + (uint64_t) (i * 16 + turn);
}

/* Names of kind K: LEN bytes, all in one bucket.  */
static void
name_kind (int k, size_t len)
{
  size_t n = 0;
  uint32_t want = 0;
  for (unsigned i = 0; n < KIND; i++)
    {
      struct root *r = &the->root[k * KIND + (int) n];
      memset (r->name, 'n', len);
      char text[32];
      snprintf (text, sizeof text, "%02d%06u", k, i);
      memcpy (r->name, text, 8);
      r->name[len] = '\0';
      uint32_t bucket = (uint32_t) sum_bytes (r->name, len) % MM_BUCKETS;
      if (n == 0)
        want = bucket;
      n += bucket == want;
    }
}

/* Set root I, or forget it.  */
static void
set (int i, bool forget)
{
  struct root *r = &the->root[i];
  ck_assert_int_lt (r->n, VALUES);
  uint64_t value = forget ? 0 : value_of (i, r->n);
  ck_assert_int_eq (mmalloc_setroot (md, r->name, (void *) value), 0);
  r->value[r->n++] = value;
}

static void
keep (void)
{
  int n = the->n_moments++;
  ck_assert_int_lt (n, MOMENTS);
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_ge (fd, 0);
  the->length[n] = (size_t) file_length (temp_heap_path ());
  ck_assert_uint_le (the->length[n], FILE_MAX);
  ck_assert_int_eq (pread (fd, the->moment[n], the->length[n], 0),
                    (ssize_t) the->length[n]);
  close (fd);
}


/* ---- The histories ------------------------------------------------------ */

/* Kinds 0 to 9 have 8 names each; each history says what was there at the sync,
   as ranges of numbers, and what comes then, each followed by a moment.  */
enum { END, SET, FORGET, FORGE, MAKE };
struct step
{
  int what, from, to;
};
struct history
{
  const char *name;
  struct step before[8], after[8];
};

static const struct history histories[] = {
  { "one more in a chain",
    { { SET, 0, 2 }, { SET, 8, 9 } },
    { { SET, 3, 3 } } },
  { "first of a chain, others behind it",
    { { SET, 0, 0 } },
    { { SET, 8, 8 }, { SET, 9, 9 }, { SET, 1, 1 } } },
  { "changed, forgotten, set again",
    { { SET, 0, 3 } },
    { { SET, 1, 1 }, { FORGET, 2, 2 }, { SET, 2, 2 }, { FORGET, 3, 3 } } },
  { "the record of another name",
    { { SET, 0, 3 } },
    { { FORGET, 1, 1 }, { SET, 5, 5 }, { FORGET, 5, 5 }, { SET, 6, 6 } } },
  { "long names, on pages of their own",
    { { SET, 16, 18 } },
    { { SET, 19, 19 }, { SET, 20, 20 }, { SET, 21, 21 } } },
  { "the record of another long name",
    { { SET, 16, 20 } },
    { { FORGET, 17, 17 }, { SET, 22, 22 }, { FORGET, 19, 19 },
      { SET, 23, 23 } } },
  { "a new slice",
    { { SET, 0, 1 }, { SET, 16, 23 }, { SET, 24, 27 } },
    { { SET, 28, 28 }, { SET, 2, 2 }, { SET, 29, 29 } } },
  { "the first root",
    { { END, 0, 0 } },
    { { SET, 0, 0 }, { SET, 8, 8 }, { SET, 1, 1 } } },
  { "records in two pages, as older versions made them",
    { { SET, 0, 1 }, { FORGE, 34, 34 }, { FORGE, 33, 33 } },
    { { FORGET, 34, 34 }, { SET, 35, 35 }, { FORGET, 33, 33 },
      { SET, 36, 36 } } },
  { "records in two pages, and roots that are made once",
    { { MAKE, 0, 1 }, { FORGE, 34, 34 }, { FORGET, 34, 34 } },
    { { MAKE, 35, 35 } } },
  { "roots that are made once",
    { { MAKE, 0, 1 } },
    { { MAKE, 2, 2 }, { SET, 3, 3 } } },
};
enum { N_HISTORIES = sizeof histories / sizeof *histories };

static bool forged;

/* Make root I with a record whose first 16 bytes are the last ones of a page.
   */
static void
forge (int i)
{
  forged = true;
  struct heap *h = (struct heap *) *door_place (md, true);
  struct root *root = &the->root[i];
  struct root_walk walk;
  size_t len = strlen (root->name);
  uint64_t slab = round_up (h->root->slab + 16, MM_PAGE) - 16;
  struct disk_name *r
    = (struct disk_name *) (page_start (h, (uint32_t) (slab >> 32))
                            + (uint32_t) slab);
  MM_NOTE (alone = h);
  uint32_t hash = (uint32_t) sum_bytes (root->name, len);
  ck_assert_ptr_null (root_find (h, root->name, len, &walk));
  memset (r, 0, sizeof *r);
  r->room = (uint16_t) (round_up (len + sizeof *r, 16) - sizeof *r);
  memcpy ((char *) r->name, root->name, len);
  r->len = (uint16_t) len;
  r->hash = hash;
  r->turn = 2;
  r->value = root->value[root->n++] = value_of (i, 0);
  h->root->slab = slab + sizeof *r + r->room;
  *walk.link = off_file (h, r);
  ck_assert_ptr_eq (mmalloc_getroot (md, root->name), (void *) r->value);
}

/* Make root I.  */
static void
make (int i)
{
  struct root *r = &the->root[i];
  ck_assert_int_lt (r->n, VALUES);
  void *p = mmalloc_makeroot (md, r->name, 16, NULL, NULL);
  ck_assert_ptr_nonnull (p);
  r->value[r->n++] = (uint64_t) p;
}

static void
take_step (const struct step *s)
{
  for (int i = s->from; i <= s->to; i++)
    if (s->what == FORGE)
      forge (i);
    else if (s->what == MAKE)
      make (i);
    else
      set (i, s->what == FORGET);
}

/* No record that the library made lies in two pages: it could not be used
   again.  */
static void
look_at_records (void)
{
  struct heap *h = (struct heap *) *door_place (md, true);
  struct root_walk walk;
  struct disk_name *r;
  for (size_t b = 0; b < MM_BUCKETS; b++)
    {
      root_start (h, b, &walk);
      while ((r = root_step (h, &walk)) != NULL)
        ck_assert_uint_le (off_file (h, r) % MM_PAGE + sizeof *r + r->room,
                           MM_PAGE);
    }
}

/* Ends without a detach.  */
static void
session (void *arg)
{
  const struct history *y = arg;
  md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_ptr_nonnull (md);
  for (const struct step *s = y->after; s->what != END; s++)
    {
      take_step (s);
      keep ();
    }
  if (!forged)
    look_at_records ();
}

static void
make_history (const struct history *y)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = FILE_MAX;
  memset (the, 0, sizeof *the);
  for (int k = 0; k < ROOTS / KIND; k++)
    name_kind (k, k == 2 || k == 3 ? 990 : k == 4 ? 200 : 20);
  unlink (temp_heap_path ());
  md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  for (const struct step *s = y->before; s->what != END; s++)
    take_step (s);
  ck_assert_int_eq (mmalloc_sync (md), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
  /* What they were before is past.  */
  for (int i = 0; i < ROOTS; i++)
    {
      struct root *r = &the->root[i];
      r->value[0] = r->n > 0 ? r->value[r->n - 1] : 0;
      r->n = 1;
    }
  keep ();
  ck_assert_int_eq (child_run (session, (void *) (size_t) y), 0);
}


/* ---- The mixes ---------------------------------------------------------- */

/* A page and the moments at which it changed.  */
struct page
{
  size_t at;
  int n, moment[MOMENTS];
};
static struct page page[PAGES_MAX];
static size_t n_pages;

static const char *
page_in (int moment, size_t at)
{
  static const char zero[MM_PAGE];
  return at < the->length[moment] ? the->moment[moment] + at : zero;
}

/* How many mixes there are.  Locks and entries, which mean nothing after the
   cut, are the old ones or the last ones.  */
static size_t
find_pages (void)
{
  size_t mixes = 1;
  n_pages = 0;
  for (size_t at = 0; at < FILE_MAX; at += MM_PAGE)
    {
      struct page *p = &page[n_pages];
      *p = (struct page) { at, 1, { 0 } };
      bool last_only = at >= MM_OFF_LOCKS && at < MM_OFF_ROOT;
      for (int m = last_only ? the->n_moments - 1 : 1; m < the->n_moments; m++)
        if (memcmp (page_in (m, at), page_in (p->moment[p->n - 1], at),
                    MM_PAGE) != 0)
          p->moment[p->n++] = m;
      n_pages += p->n > 1;
      mixes *= (size_t) p->n;
    }
  return mixes;
}

/* Make the file of mix number N, of another boot.  */
static void
mix (size_t n)
{
  static char file[FILE_MAX];
  size_t length = 0;
  for (int m = 0; m < the->n_moments; m++)
    length = size_max (length, the->length[m]);
  memset (file, 0, length);
  memcpy (file, the->moment[0], the->length[0]);
  for (size_t i = 0; i < n_pages; i++)
    {
      const struct page *p = &page[i];
      memcpy (file + p->at, page_in (p->moment[n % (size_t) p->n], p->at),
              MM_PAGE);
      n /= (size_t) p->n;
    }
  for (size_t at = 0; at < 2 * MM_PAGE; at += MM_PAGE)
    {
      struct disk_super *s = (struct disk_super *) (void *) (file + at);
      memset (s->boot_id, 0x5a, sizeof s->boot_id);
      s->sum = super_sum (s);
    }
  file_write (temp_heap_path (), file, length);
}

static int
may_be (const struct root *r, uint64_t value)
{
  for (int i = 0; i < r->n; i++)
    if (r->value[i] == value)
      return 1;
  return 0;
}

static int
see (const char *name, void *ptr, void *arg)
{
  (void) arg;
  for (int i = 0; i < ROOTS; i++)
    if (strcmp (the->root[i].name, name) == 0)
      {
        ck_assert_ptr_eq (ptr, (void *) the->root[i].found);
        the->root[i].n |= 1 << 8;
        return 0;
      }
  ck_abort_msg ("a root of no name: %s", name);
}

static size_t broken, found_new;

/* Each root is what it may be.  */
static void
look (void)
{
  for (int i = 0; i < ROOTS; i++)
    {
      struct root *r = &the->root[i];
      errno = 0;
      r->found = (uint64_t) mmalloc_getroot (md, r->name);
      ck_assert_msg (errno == 0 || (errno == EBADMSG && r->found == 0),
                     "%s: errno %d", r->name, errno);
      broken += errno != 0;
      ck_assert_msg (may_be (r, r->found) || errno == EBADMSG,
                     "root %d is 0x%lx", i, (unsigned long) r->found);
      if (r->n == 1 && r->value[0] != 0)
        ck_assert_msg (r->found != 0, "root %d is lost, errno %d", i, errno);
      found_new += r->n > 1 && r->found != 0;
    }
}

/* All that is found is given out by a round, and the round fails if something
   is broken.  */
static void
look_around (void)
{
  size_t before = broken;
  look ();
  errno = 0;
  int round = mmalloc_roots (md, see, NULL);
  ck_assert_int_eq (round, errno == 0 ? 0 : -1);
  ck_assert (errno == 0 || errno == EBADMSG);
  ck_assert (errno == EBADMSG || broken == before);
  for (int i = 0; i < ROOTS; i++)
    {
      struct root *r = &the->root[i];
      ck_assert_msg (r->found == 0 || r->n >> 8 != 0, "%s is not in the round",
                     r->name);
      r->n &= 0xff;
    }
}

/* What is there now stays, whatever is set besides.  */
static void
go_on (void)
{
  static uint64_t set_to[ROOTS];
  memset (set_to, 0, sizeof set_to);
  for (int i = ROOTS - 1; i >= 0; i--)
    {
      struct root *r = &the->root[i];
      if (r->found != 0)
        continue;
      int was_broken = (errno = 0, mmalloc_getroot (md, r->name), errno);
      int err = mmalloc_setroot (md, r->name, (void *) value_of (i, 9));
      ck_assert_int_eq (err, was_broken ? -1 : 0);
      ck_assert (err == 0 || errno == EBADMSG);
      ck_assert (err == 0 || mmalloc_errno (md) == EBADMSG);
      set_to[i] = err == 0 ? value_of (i, 9) : 0;
    }
  for (int i = 0; i < ROOTS; i++)
    {
      struct root *r = &the->root[i];
      uint64_t want = r->found != 0 ? r->found : set_to[i];
      ck_assert_msg ((uint64_t) mmalloc_getroot (md, r->name) == want,
                     "root %d was 0x%lx when the heap was used again", i,
                     (unsigned long) want);
    }
}

START_TEST (every_mix)
{
  const struct history *y = &histories[_i];
  the = mmap (NULL, sizeof *the, PROT_READ | PROT_WRITE,
              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ck_assert_ptr_ne (the, MAP_FAILED);
  temp_heap_path ();
  make_history (y);
  size_t n = find_pages (), refused = 0;
  ck_assert_uint_gt (n, 1);
  for (size_t i = 0; i < n; i++)
    {
      mix (i);
      md = mmalloc_open (temp_heap_path (), 0, NULL);
      ck_assert (md != NULL || errno == EBADMSG);
      refused += md == NULL;
      if (md == NULL)
        continue;
      look_around ();
      go_on ();
      ck_assert_ptr_null (mmalloc_detach (md));
    }
  printf ("%s: %zu pages, %zu mixes: %zu refused, new values found %zu times,"
          " %zu roots in broken chains\n", y->name, n_pages, n, refused,
          found_new, broken);
}
END_TEST

RUN_KINDS (N_HISTORIES, every_mix)
