/* Each bit of the header flipped: of both superblocks, alone and forged in both
   with the sums right, of locks, entries, root page, buckets, directory, of the
   streams and of the first chunk's index.

   MMALLOC_STRIDE=n tries each n-th bit, beginning somewhere; 1: all.  */

#include "hostile/hostile.h"

enum { SUPER = sizeof (struct disk_super) * 8 };

static struct parts parts;

/* How many bits there are, the forged ones first.  */
static uint64_t
count_bits (const struct image *im)
{
  parts_find (&parts, im);
  uint64_t n = SUPER;
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
  enum outcome outcome = use_all (im, n);
  /* There are two superblocks so that one may be damaged.  */
  if (i < 2)
    MUST (outcome == HARMLESS);
  return outcome;
}

int
main (void)
{
  return run_some ("bits flipped", flipped, count_bits, 499);
}
