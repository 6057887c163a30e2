/* What mmalloc_trim does inside of pages, seen from inside: system pages larger
   than the smallest, file systems that make no holes, pages whose retiring was
   cut short, openings after it, and how often a heap trims by itself.  */

#include "inside.h"

#include "support.h"

enum { N = 400, SIZE = 8192 };
static char *blocks[N];
static void *md;
static int punches, reserves, refuse;

static int
counting_fallocate (int fd, int mode, off_t off, off_t len)
{
  if (mode & FALLOC_FL_PUNCH_HOLE)
    punches++;
  else
    reserves++;
  if (refuse && (mode & FALLOC_FL_PUNCH_HOLE))
    return errno = EOPNOTSUPP, -1;
  return fallocate (fd, mode, off, len);
}

static void
fill (void)
{
  for (size_t i = 0; i < N; i++)
    if (blocks[i] == NULL)
      {
        blocks[i] = mmalloc (md, SIZE);
        must (blocks[i] != NULL);
        block_fill (blocks[i], SIZE, i);
      }
}

static void
begin (int kind)
{
  os.fallocate = counting_fallocate;
  punches = reserves = refuse = 0;
  memset (blocks, 0, sizeof blocks);
  md = heap_new (kind);
  fill ();
}

/* Each EVERY-th block stays.  */
static void
free_most (size_t every)
{
  for (size_t i = 0; i < N; i++)
    if (i % every != 0 && blocks[i] != NULL)
      {
        mfree (md, blocks[i]);
        blocks[i] = NULL;
      }
}

static void
all_hold (void)
{
  for (size_t i = 0; i < N; i++)
    must (blocks[i] == NULL || block_holds (blocks[i], SIZE, i));
}

struct thin { size_t pages, odd; };

static int
thin_see (struct heap *h, const struct sight *seen, void *arg)
{
  struct thin *t = arg;
  (void) h;
  if (!sight_is_page (seen) || head_state (seen->head) != HEAD_THIN)
    return 0;
  t->pages++;
  for (uint64_t holes = seen->r->holes; holes != 0; holes >>= 4)
    t->odd += (holes & 15) != 0 && (holes & 15) != 15;
  return 0;
}

static struct thin
thin_pages (void)
{
  struct thin t = { 0 };
  walk_heap (heap_find (md), thin_see, &t);
  return t;
}

START_TEST (larger_system_pages)
{
  begin (_i);
  size_t was = library_process.system_page;
  library_process.system_page = 16384;
  free_most (8);
  ptrdiff_t given = mmalloc_trim (md);
  struct thin t = thin_pages ();
  ck_assert_uint_gt (t.pages, 30);
  ck_assert_uint_eq (t.odd, 0);
  ck_assert_int_ge (given, (ptrdiff_t) (t.pages * 3 * 16384));
  ck_assert_int_eq (mmalloc_trim (md), 0);
  library_process.system_page = was;
  all_hold ();
  /* The half that shares such a page with a live block.  */
  ck_assert_int_ge (mmalloc_trim (md), (ptrdiff_t) (t.pages * 8192));
  fill ();
  all_hold ();
  heap_end (md);
}
END_TEST

START_TEST (no_holes_can_be_made)
{
  if (_i != IN_FILE)
    return;
  begin (_i);
  mmalloc_trim (md);
  free_most (4);
  refuse = 1;
  punches = 0;
  ck_assert_int_eq (mmalloc_trim (md), 0);
  ck_assert_uint_eq (thin_pages ().pages, 0);
  /* It is not tried page by page.  */
  ck_assert_int_le (punches, 4);
  refuse = reserves = 0;
  fill ();
  ck_assert_int_eq (reserves, 0);
  all_hold ();
  heap_end (md);
}
END_TEST

/* Somebody died who had called the slices unbacked, and the page is on a list
   nevertheless.  */
START_TEST (retiring_cut_short)
{
  begin (_i);
  free_most (4);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  struct heap *h = heap_find (md);
  uint32_t number = 0;
  for (size_t i = 0; i < N; i++)
    {
      struct place at;
      if (blocks[i] == NULL)
        continue;
      must (place_find (h, blocks[i], false, &at) == NULL);
      if (head_state (at.head) == HEAD_THIN)
        {
          number = number == 0 ? at.number : number;
          if (at.number == number)
            mfree (md, blocks[i]), blocks[i] = NULL;
        }
    }
  must (number != 0);
  map_put (off_index (h, 0)->backed, number, 4, false);
  heap_is_whole (md);
  fill ();
  all_hold ();
  must (map_get (off_index (h, 0)->backed, number));
  heap_end (md);
}
END_TEST

/* An opening does not look through the file for blocks that it lacks.  */
START_TEST (opening_stays_quick)
{
  if (_i != IN_FILE)
    return;
  begin (_i);
  free_most (8);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  heap_end (md);
  reserves = 0;
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_int_eq (reserves, 0);
  sweep (heap_find (md), NULL);
  heap_end (md);
  ck_assert_ptr_eq (heap_file (), md);
  ck_assert_int_eq (reserves, 0);
  heap_end (md);
}
END_TEST

/* After a sweep pages that lack nothing come first: here the last ones, of
   which every other block is free, two in each system page.  */
START_TEST (those_that_lack_nothing_first)
{
  enum { SMALL = 2048 };
  if (_i != IN_FILE)
    return;
  begin (_i);
  mmalloc_trim (md);
  for (size_t i = 0; i < N; i++)
    must ((blocks[i] = mmalloc (md, SMALL)) != NULL);
  for (size_t i = 0; i < N; i++)
    if (i < N / 2 ? i % 16 != 0 : i % 2 != 0)
      mfree (md, blocks[i]);
  ck_assert_int_gt (mmalloc_trim (md), 0);
  ck_assert_uint_gt (thin_pages ().pages, N / 16 / 2 - 3);
  sweep (heap_find (md), library_thread.last);
  reserves = 0;
  for (size_t i = 0; i < N / 4 - 16; i++)
    ck_assert_ptr_nonnull (mmalloc (md, SMALL));
  ck_assert_int_eq (reserves, 0);
  heap_end (md);
}
END_TEST

/* What is needed again at once is given back ever more seldom.  */
START_TEST (patience)
{
  if (_i != IN_FILE)
    return;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.trim_threshold = 1;
  md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  must (md != NULL);
  struct heap *h = heap_find (md);
  memset (blocks, 0, sizeof blocks);
  for (int round = 0; round < 40; round++)
    {
      fill ();
      int trims = 0;
      for (size_t i = 0; i < N; i++)
        {
          size_t before = h->freed;
          mfree (md, blocks[i]);
          blocks[i] = NULL;
          trims += h->freed < before;
        }
      ck_assert_msg (round > 0 || trims > 1, "%d trims at first", trims);
      ck_assert_msg (round < 20 || trims <= 2, "%d trims in round %d", trims,
                     round);
    }
  heap_end (md);
}
END_TEST

RUN_ON_OWN_HEAPS (larger_system_pages, no_holes_can_be_made, retiring_cut_short,
                  opening_stays_quick, those_that_lack_nothing_first, patience)
