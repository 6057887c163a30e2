/* A heap file cut off at every page: refused, or, where the length in it is
   forged to match, and the number of backed slices, too, an error, a finding or
   a heap that works.  One with a log is refused if that is not all there.

   In the large heap, most of which are holes, only the pages that hold
   something and the first ones behind them count.  MMALLOC_STRIDE=n tries each
   n-th; 1: all.  */

#include "hostile/logs.h"

enum { CUTS = 6 };              /* ways to cut at one page */
static size_t sizes[3 * IMAGE_PAGES], n_sizes;

/* At each size: there or inside of the page; the length as it was, forged, or
   forged and with nothing that would be backed again.  */
static uint64_t
count_cuts (const struct image *im)
{
  n_sizes = 0;
  for (size_t i = 0; i < im->n_pages; i++)
    for (size_t k = 0; k < 3; k++)
      {
        size_t size = (im->page[i] + k) * MM_PAGE;
        if (size < im->length
            && (n_sizes == 0 || size > sizes[n_sizes - 1]))
          sizes[n_sizes++] = size;
      }
  return n_sizes * CUTS;
}

static enum outcome
cut_off (const struct image *im, uint64_t n)
{
  uint64_t k = some_number (n);
  size_t size = sizes[k / CUTS];
  bool forged = k % 3 > 0;
  /* At a page, or inside of it.  */
  if (k % 2)
    size = size > 2048 ? size - 2048 : 0;
  if (forged)
    *view_word (MM_OFF_ROOT) = size;
  /* Else the opener backs what should be there, and has it again.  */
  if (k % 3 == 2)
    *view_word (MM_OFF_LOCKS + offsetof (struct disk_locks, n_backed)) = 0;
  NEED (ftruncate (hostile_fd, (off_t) size) == 0);
  enum outcome outcome = use_all (im, n);
  if (!forged)
    MUST (outcome == REFUSED);
  return outcome;
}

/* With a log: at a page, or inside of it.  */
static uint64_t
count_log_cuts (const struct image *im)
{
  count_cuts (im);
  for (uint64_t at = logs->log; at < logs->log + logs->size; at += MM_PAGE)
    sizes[n_sizes++] = at;
  return n_sizes * 2;
}

static enum outcome
log_cut_off (const struct image *im, uint64_t n)
{
  uint64_t k = some_number (n);
  size_t size = sizes[k / 2], end = logs->log + logs->size;
  if (k % 2)
    size = size > 2048 ? size - 2048 : 0;
  NEED (ftruncate (hostile_fd, (off_t) size) == 0);
  enum outcome outcome = log_use (im, n, size < MM_PAGE ? ANY : ONE);
  MUST (size >= end || outcome == REFUSED);
  return outcome;
}

int
main (void)
{
  static struct parts parts;
  uint64_t tried = 0;
  int failed = run_some ("cut off", cut_off, count_cuts, 0, 5, &tried);
  failed += log_run_some ("log cut off", log_cut_off, count_log_cuts, 3, &parts,
                          &tried);
  return closing_line ((int) tried, failed, 0);
}
