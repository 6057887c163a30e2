/* Random damage to the metadata of real heaps: bytes, bits, words with telling
   values, swapped neighbours, copied records, one to four at a time.  An
   error, a finding or a heap that works; no signal, no hang, no step outside.
   The same with a log: that is damaged, and its heap is as at one of its
   checkpoints, or refused; or records are forged, and all the rest, too.

   MMALLOC_DAMAGES=n tries n files; all that is done to one follows from the
   seed and its number.  */

#include "hostile/logs.h"

static struct image image;
static struct parts parts;
static struct records records;
static uint64_t seed;

/* A place in the metadata; most often a word that is not zero.  */
static size_t
some_place (uint64_t *state)
{
  if (random_below (state, 10) < 7)
    return (size_t) parts.words[random_below (state, parts.n_words)] * 8;
  size_t i = random_below (state, parts.n);
  return parts.part[i].off + random_below (state, parts.part[i].len / 8) * 8;
}

static uint64_t
some_value (uint64_t *state, uint64_t old)
{
  switch (random_below (state, 12))
    {
    case 0:
      return 0;
    case 1:
      return UINT64_MAX;
    case 2:
      return 1;
    case 3:
      return random_next (state);
    case 4:
      return UINT64_C (1) << random_below (state, 64);
    case 5:
      return old ^ UINT64_C (1) << random_below (state, 64);
    case 6:
      return old + random_below (state, 5) - 2;
    case 7:
      return old + (random_below (state, 9) << random_below (state, 8) * 8);
    case 8:
      /* A head, or a word of the directory.  */
      return random_next (state)
             & (UINT64_C (0x7ff) << 32 | UINT64_C (0x7ff) << 48 | 0x3f3f03ff);
    case 9:
      return (uint64_t) random_below (state, 4) << 16
             | (uint64_t) random_below (state, 70000) << 32
             | random_below (state, 5000) << 20 | random_below (state, 3000);
    case 10:
      return random_below (state, image.length * 2);
    default:
      return *view_word (some_place (state));
    }
}

static void
copy_records (uint64_t *state)
{
  static const size_t units[] = { 8, 16, 64, 256, 1024, 4096 };
  size_t unit = units[random_below (state, 6)];
  size_t from = some_place (state) & ~(unit - 1);
  size_t to = some_place (state) & ~(unit - 1);
  memmove (hostile_view + to, hostile_view + from, unit);
}

static void
damage_one (uint64_t *state)
{
  size_t at = some_place (state);
  uint64_t *word = view_word (at), old = *word;
  switch (random_below (state, 8))
    {
    case 0:
      hostile_view[at + random_below (state, 8)]
        = (char) random_next (state);
      break;
    case 1:
      *word = word[1];
      word[1] = old;
      break;
    case 2:
      copy_records (state);
      break;
    default:
      *word = some_value (state, old);
    }
}

static enum outcome
damaged (const struct image *im, uint64_t n)
{
  uint64_t state = seed + n * UINT64_C (0x2545f4914f6cdd1d)
                   + (uint64_t) im->kind;
  size_t times = 1 + random_below (&state, 4);
  for (size_t i = 0; i < times; i++)
    damage_one (&state);
  /* Somebody who forges a heap gets the sums right.  */
  for (int i = 0; i < 2; i++)
    if (random_below (&state, 2))
      view_sum (i);
  return use_all (im, n);
}

/* ---- With a log ------------------------------------------------------ */

/* A word of the log: of a record's head, of its index, of its data, of its
   other end, or any.  */
static size_t
some_log_place (uint64_t *state)
{
  size_t any = logs->log + random_below (state, logs->size / 8) * 8;
  if (records.n == 0)
    return any;
  size_t i = random_below (state, records.n);
  size_t head = sizeof (struct disk_record);
  size_t off = records.record[i].off, data = records.record[i].data;
  switch (random_below (state, 6))
    {
    case 0:
    case 1:
      return off + random_below (state, head / 8) * 8;
    case 2:
      return off + head + random_below (state, 2 * records.record[i].n) * 8;
    case 3:
      return off + data
             + random_below (state, (records.record[i].bytes - data) / 8) * 8;
    case 4:
      return off + records.record[i].bytes - head
             + random_below (state, head / 8) * 8;
    default:
      return any;
    }
}

static void
damage_log (uint64_t *state)
{
  size_t at = some_log_place (state), page = at & ~(size_t) (MM_PAGE - 1);
  size_t other = some_log_place (state) & ~(size_t) (MM_PAGE - 1);
  switch (random_below (state, 8))
    {
    case 0:
      hostile_view[at + random_below (state, 8)] = (char) random_next (state);
      break;
    case 1:                     /* torn */
      memset (hostile_view + page, 0, MM_PAGE);
      break;
    case 2:                     /* of another time */
      memmove (hostile_view + page, hostile_view + other, MM_PAGE);
      break;
    case 3:                     /* a superblock's words about it */
      at = random_below (state, 2) * MM_PAGE + offsetof (struct disk_super, log)
           + random_below (state, 4) * 8;
      *view_word (at) = some_value (state, *view_word (at));
      break;
    default:
      *view_word (at) = some_value (state, *view_word (at));
    }
}

static enum outcome
log_damaged (const struct image *im, uint64_t n)
{
  uint64_t state = seed + n * UINT64_C (0x2545f4914f6cdd1d)
                   + (uint64_t) im->kind;
  enum expected wish = random_below (&state, 3) > 0 ? ONE : ANY;
  size_t times = 1 + random_below (&state, 4);
  for (size_t i = 0; i < times; i++)
    if (wish == ANY && random_below (&state, 4) == 0)
      damage_one (&state);
    else
      damage_log (&state);
  for (size_t i = 0; i < records.n && wish == ANY; i++)
    if (random_below (&state, 4) > 0)
      log_seal (log_record (&records, i));
  for (int i = 0; i < 2 && wish == ANY; i++)
    if (random_below (&state, 2))
      view_sum (i);
  return log_use (im, n, wish);
}

int
main (void)
{
  uint64_t n = setting ("MMALLOC_DAMAGES", 2000);
  int failed = 0;
  seed = random_seed ();
  for (int kind = 0; kind < BASE_KINDS; kind++)
    {
      base_make (&image, (enum base_kind) kind);
      parts_find (&parts, &image);
      failed += run_cases (&image, damaged, "random damage", n / BASE_KINDS);
    }
  for (int kind = BASE_KINDS; kind < BASE_ALL; kind++)
    {
      log_make (&image, (enum base_kind) kind, &parts);
      log_records (&records);
      failed += run_cases (&image, log_damaged, "random damage to a log",
                           n / 8);
    }
  return closing_line ((int) (n + n / 2), failed, 0);
}
