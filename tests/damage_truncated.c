/* A heap file cut off at every page: refused, or, where the length in it is
   forged to match, an error, a finding or a heap that works.

   In the large heap, most of which are holes, only the pages that hold
   something and the first ones behind them count.  MMALLOC_STRIDE=n tries each
   n-th; 1: all.  */

#include "hostile/hostile.h"

static struct image image;
static uint64_t stride, first;
static size_t sizes[3 * IMAGE_PAGES], n_sizes;

static void
find_sizes (void)
{
  n_sizes = 0;
  for (size_t i = 0; i < image.n_pages; i++)
    for (size_t k = 0; k < 3; k++)
      {
        size_t size = (image.page[i] + k) * MM_PAGE;
        if (size < image.length
            && (n_sizes == 0 || size > sizes[n_sizes - 1]))
          sizes[n_sizes++] = size;
      }
}

static enum outcome
cut_off (const struct image *im, uint64_t n)
{
  uint64_t k = first + n * stride;
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
  int failed = 0;
  uint64_t state = random_seed (), tried = 0;
  for (int kind = 0; kind < BASE_KINDS; kind++)
    {
      base_make (&image, (enum base_kind) kind);
      find_sizes ();
      stride = setting ("MMALLOC_STRIDE", 5);
      first = random_below (&state, stride);
      uint64_t n = (n_sizes * 4 - first + stride - 1) / stride;
      failed += run_cases (&image, cut_off, "cut off", n);
      tried += n;
    }
  return closing_line ((int) tried, failed, 0);
}
