/* Random damage to the metadata of real heaps: bytes, bits, words with telling
   values, swapped neighbours, copied records, one to four at a time.  An
   error, a finding or a heap that works; no signal, no hang, no step outside.

   MMALLOC_DAMAGES=n tries n files; all that is done to one follows from the
   seed and its number.  */

#include "hostile/hostile.h"

static struct image image;
static struct parts parts;
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
  return closing_line ((int) n, failed, 0);
}
