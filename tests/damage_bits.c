/* Each bit of the header flipped: of one superblock, of both, forged with the
   sums right, of locks, entries, root page, buckets, directory, of the streams
   and of the first chunk's index.

   Those of one superblock are all tried, by a reader; of all together
   MMALLOC_STRIDE=n tries each n-th, beginning somewhere; 1: all, but then only
   each 17th is worked with if a reader saw nothing wrong.  */

#include "hostile/hostile.h"

enum { SUPER = sizeof (struct disk_super) * 8, ONE = 2 * SUPER };

static struct parts parts;

/* How many bits there are, those of one superblock first, the forged
   ones next.  */
static uint64_t
count_bits (const struct image *im)
{
  parts_find (&parts, im);
  uint64_t n = ONE + SUPER;
  for (size_t i = 0; i < parts.n; i++)
    if (strcmp (parts.part[i].name, "records") != 0)
      n += parts.part[i].len * 8;
  return n;
}

static void
flip (size_t off, uint64_t bit)
{
  hostile_view[off + bit / 8] ^= (char) (1 << bit % 8);
}

static enum outcome
flipped (const struct image *im, uint64_t n)
{
  uint64_t bit = some_number (n);
  if (bit < ONE)
    {
      struct use u = { .n = n };
      flip (bit / SUPER * MM_PAGE, bit % SUPER);
      /* There are two so that one may be damaged.  */
      MUST (use_file (im, MMALLOC_RDONLY, &u) == 0);
      return HARMLESS;
    }
  bit -= ONE;
  if (bit < SUPER)
    {
      for (int i = 0; i < 2; i++)
        {
          flip ((size_t) i * MM_PAGE, bit);
          /* But for the sum itself.  */
          if (bit / 64 != offsetof (struct disk_super, sum) / 8)
            view_sum (i);
        }
      return use_all (im, n);
    }
  bit -= SUPER;
  size_t i = 0;
  for (; strcmp (parts.part[i].name, "records") == 0
         || bit >= parts.part[i].len * 8; i++)
    if (strcmp (parts.part[i].name, "records") != 0)
      bit -= parts.part[i].len * 8;
  flip (parts.part[i].off, bit);
  if (some.stride == 1 && n % 17 != 0)
    {
      struct use u = { .n = n };
      if (use_file (im, MMALLOC_RDONLY, &u) == 0)
        return HARMLESS;
    }
  enum outcome outcome = use_all (im, n);
  MUST (i >= 2 || outcome == HARMLESS);
  return outcome;
}

int
main (void)
{
  return run_some ("bits flipped", flipped, count_bits, ONE, 997);
}
