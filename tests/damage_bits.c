/* Each bit of the header flipped: of one superblock, of both, forged with the
   sums right, of locks, entries, root page, buckets, directory, of the streams
   and of the first chunk's index.  With a log, of the words about it in the
   superblocks, and of both ends of each record.

   Those of one superblock are all tried, by a reader; of all together
   MMALLOC_STRIDE=n tries each n-th, beginning somewhere; 1: all, but then only
   each 17th is worked with if a reader saw nothing wrong.  */

#include "hostile/logs.h"

enum { SUPER = sizeof (struct disk_super) * 8, ONE_SUPER = 2 * SUPER };

static struct parts parts;

/* How many bits there are, those of one superblock first, the forged
   ones next.  */
static uint64_t
count_bits (const struct image *im)
{
  parts_find (&parts, im);
  uint64_t n = ONE_SUPER + SUPER;
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
  if (bit < ONE_SUPER)
    {
      struct use u = { .n = n };
      flip (bit / SUPER * MM_PAGE, bit % SUPER);
      /* There are two so that one may be damaged.  */
      MUST (use_file (im, MMALLOC_RDONLY, &u) == 0);
      return HARMLESS;
    }
  bit -= ONE_SUPER;
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

/* ---- With a log ------------------------------------------------------ */

enum { WORDS = 4 * 64, RECORD = sizeof (struct disk_record) * 8 };
static struct records records;

/* Words of one superblock or the other, of both, of both with the sums right;
   then of each record the head, the end, and both with the sum right.  */
static uint64_t
count_log_bits (const struct image *im)
{
  (void) im;
  log_records (&records);
  return 4 * WORDS + records.n * 3 * RECORD;
}

static enum outcome
log_word_flipped (const struct image *im, uint64_t n, uint64_t bit)
{
  uint64_t how = bit / WORDS;
  for (uint64_t i = how == 1; i <= (how > 0); i++)
    {
      flip (i * MM_PAGE + offsetof (struct disk_super, log), bit % WORDS);
      if (how == 3)
        view_sum ((int) i);
    }
  enum outcome outcome = log_use (im, n, ONE);
  MUST (how > 1 || outcome == HARMLESS);
  MUST (how != 2 || outcome == REFUSED);
  return outcome;
}

static enum outcome
log_bit_flipped (const struct image *im, uint64_t n)
{
  uint64_t bit = some_number (n);
  if (bit < 4 * WORDS)
    return log_word_flipped (im, n, bit);
  bit -= 4 * WORDS;
  size_t i = bit / (3 * RECORD), how = bit / RECORD % 3;
  size_t off = records.record[i].off;
  if (how == 1)
    off += records.record[i].bytes - RECORD / 8;
  flip (off, bit % RECORD);
  /* But for the sum itself.  */
  if (how == 2 && bit % RECORD / 64 != offsetof (struct disk_record, sum) / 8)
    log_seal (log_record (&records, i));
  return log_use (im, n, how == 2 ? ANY : ONE);
}

int
main (void)
{
  uint64_t tried = 0;
  int failed = run_some ("bits flipped", flipped, count_bits, ONE_SUPER, 997,
                         &tried);
  failed += log_run_some ("bits of a log flipped", log_bit_flipped,
                          count_log_bits, 151, &parts, &tried);
  return closing_line ((int) tried, failed, 0);
}
