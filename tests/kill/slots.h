/* slots.h - the program of the tests of power cuts: what it has in its heap,
   by which random steps that changes, and what may be found again.  */

#ifndef SLOTS_H
#define SLOTS_H 1

#include "kill.h"

enum { SLOTS = 40, GOOD = 6 };
#define ROOM MIB (320)         /* for the heap's file, and what it lies on */

/* What may be found, by digest.  */
struct truth
{
  uint64_t good[GOOD];
  int n;                       /* 0: nothing is promised */
};

/* What the program has in its heap, by a root.  */
struct slot
{
  char *block;
  uint64_t size, filled;
};

static uint64_t chance;
static char *md;
static struct slot *slot;
static struct truth truth;     /* of this moment */

/* Maps of pages, a bit each.  */
static inline bool
page_in (const uint64_t *map, uint64_t n)
{
  return map[n / 64] >> n % 64 & 1;
}

static inline void
page_put (uint64_t *map, uint64_t n)
{
  map[n / 64] |= UINT64_C (1) << n % 64;
}

static inline struct truth
truth_of (uint64_t digest)
{
  return (struct truth){ .good = { digest }, .n = 1 };
}

static inline struct truth
truth_and (struct truth t, uint64_t digest)
{
  NEED (t.n < GOOD);
  t.good[t.n++] = digest;
  return t;
}

static inline bool
truth_has (const struct truth *t, uint64_t digest)
{
  bool found = false;
  for (int i = 0; i < t->n; i++)
    found |= t->good[i] == digest;
  return found;
}

static inline uint64_t
digest_bytes (const char *p, size_t n)
{
  uint64_t sum = n, word;
  for (; n >= 8; p += 8, n -= 8)
    {
      memcpy (&word, p, 8);
      sum = (sum ^ word) * UINT64_C (0x9e3779b97f4a7c15);
      sum ^= sum >> 29;
    }
  for (; n > 0; n--)
    sum = (sum ^ (unsigned char) *p++) * UINT64_C (0x9e3779b97f4a7c15);
  return sum;
}

/* Of all that the program has; 0: it cannot have that.  */
static inline uint64_t
digest (void)
{
  uint64_t sum = 7;
  if (slot == NULL)
    return sum;
  sum += digest_bytes ((char *) slot, SLOTS * sizeof *slot);
  for (int i = 0; i < SLOTS; i++)
    if (slot[i].block != NULL)
      {
        if (slot[i].filled > slot[i].size || slot[i].size > ROOM)
          return 0;
        sum = (sum ^ digest_bytes (slot[i].block, slot[i].filled)) * 31;
      }
  return sum;
}

/* False: there is no room.  */
static inline bool
program_begin (void)
{
  slot = mmalloc_getroot (md, "slots");
  if (slot == NULL)
    {
      slot = mcalloc (md, SLOTS, sizeof *slot);
      return slot != NULL && mmalloc_setroot (md, "slots", slot) == 0;
    }
  return true;
}

static inline void
program_allocate (struct slot *s, size_t size, size_t filled)
{
  mfree (md, s->block);
  *s = (struct slot){ .block = NULL };
  char *p = mmalloc (md, size);
  if (p == NULL)
    return;
  memset (p, 1 + (int) random_below (&chance, 200), filled);
  *s = (struct slot){ p, size, filled };
}

/* Change something.  Blocks that are filled go back to what they were.  */
static inline void
program_step (bool large, bool much)
{
  struct slot *s = &slot[random_below (&chance, SLOTS)];
  uint64_t what = random_below (&chance, 12);
  if (large && random_below (&chance, 3) == 0)
    program_allocate (s, MIB (1) + random_below (&chance, MIB (2)), 100);
  else if (large)
    program_allocate (s, MIB (1) + KIB (300), MIB (1) + KIB (200));
  else if (s->block == NULL || what == 0)
    {
      size_t size = 1 + random_below (&chance, much ? 40000 : 1500);
      program_allocate (s, size, size);
    }
  else if (what == 1)
    {
      mfree (md, s->block);
      *s = (struct slot){ .block = NULL };
    }
  else if (what < 6)
    s->block[random_below (&chance, s->filled)] ^= (char) (1 + (what & 1));
  else
    memset (s->block, (int) (what & 1),
            size_min (s->filled, much ? 9000 : 600));
}

/* Change what may have gone into the image past the log.  */
static inline void
program_change_large (void)
{
  for (int i = 0; i < SLOTS; i++)
    if (slot[i].filled > MIB (1))
      memset (slot[i].block, (int) random_below (&chance, 200),
              slot[i].filled / 2);
}

/* Free what leaves whole pages, and parts of pages, to be given back.  */
static inline void
program_free_some (void)
{
  for (int i = 0; i < SLOTS; i++)
    if (random_below (&chance, 3) == 0)
      {
        mfree (md, slot[i].block);
        slot[i] = (struct slot){ .block = NULL };
      }
}

#endif /* SLOTS_H */
