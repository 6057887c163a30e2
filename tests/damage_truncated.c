/* A heap file cut off at every page: refused, or, where the length in it is
   forged to match, an error, a finding or a heap that works.

   In the large heap, most of which are holes, only the pages that hold
   something and the first ones behind them count.  MMALLOC_STRIDE=n tries each
   n-th; 1: all.  */

#include "hostile/hostile.h"

static size_t sizes[3 * IMAGE_PAGES], n_sizes;

/* Four ways to cut at each size: there or inside of the page, forged or
   not.  */
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
  return n_sizes * 4;
}

static enum outcome
cut_off (const struct image *im, uint64_t n)
{
  uint64_t k = some_number (n);
  size_t size = sizes[k / 4];
  bool forged = k & 1;
  /* At a page, or inside of it.  */
  if (k & 2)
    size = size > 2048 ? size - 2048 : 0;
  if (forged)
    *view_word (MM_OFF_ROOT) = size;
  NEED (ftruncate (hostile_fd, (off_t) size) == 0);
  enum outcome outcome = use_all (im, n);
  if (!forged)
    MUST (outcome == REFUSED);
  return outcome;
}

int
main (void)
{
  return run_some ("cut off", cut_off, count_cuts, 5);
}
