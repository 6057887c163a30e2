/* Random operations on a map beside a model of it: contents, addresses, sizes,
   counts and the walk agree after each stretch, and the map closed and loaded
   again in between.  */

#include "qalloc_support.h"

enum { MODEL_SLOTS = 600, ITEM = 72 };

static struct slot
{
  char *p;
  size_t size;
  uint64_t tag;
} slot[MODEL_SLOTS];
static size_t n_live;
static uint64_t state;

static size_t
chance (size_t limit)
{
  return (size_t) random_below (&state, limit);
}

static size_t
some_size (int kind)
{
  if (kind == STATIC_MAP)
    return 1 + chance (ITEM);
  size_t r = chance (100);
  return 1 + chance (r < 70 ? 300 : r < 95 ? 5000 : r < 99 ? 40000 : 200000);
}

static void
slot_fill (struct slot *s, char *p, size_t size)
{
  s->p = p;
  s->size = size;
  s->tag = state;
  block_fill (p, size, s->tag);
  n_live++;
}

static void
slot_empty (struct slot *s)
{
  must (block_holds (s->p, s->size, s->tag));
  s->p = NULL;
  n_live--;
}

static void
step (void *map, int kind)
{
  struct slot *s = &slot[chance (MODEL_SLOTS)];
  size_t size = some_size (kind);
  switch (chance (8))
    {
    case 0:
      if (s->p != NULL)
        break;
      char *zero = qalloc_calloc (map, size, 1);
      if (zero != NULL)
        {
          must (block_is_zero (zero, size));
          slot_fill (s, zero, size);
        }
      break;
    case 1:
      if (s->p != NULL)
        {
          char *p = qalloc_realloc (s->p, map, size);
          if (p == NULL)
            break;
          must (block_holds (p, size < 8 || s->size < 8 ? 0
                             : (size < s->size ? size : s->size) & ~7ul,
                             s->tag));
          n_live--;
          slot_fill (s, p, size);
        }
      break;
    case 2:
      if (s->p != NULL)
        must (qalloc_usable_size (s->p, map) >= s->size);
      break;
    default:
      if (s->p != NULL)
        {
          char *p = s->p;
          slot_empty (s);
          qalloc_free (p, map);
        }
      else
        {
          char *p = qalloc_malloc (map, size);
          if (p != NULL)
            slot_fill (s, p, size);
          else
            must (qalloc_errno () == ENOSPC);
        }
    }
}

static int
seen (void *block, size_t size, void *arg)
{
  size_t *n = arg;
  for (size_t i = 0; i < MODEL_SLOTS; i++)
    if (slot[i].p == block)
      {
        must (size >= slot[i].size);
        ++*n;
        return 0;
      }
  return 1;
}

static void
agree (void *map)
{
  size_t n = 0;
  for (size_t i = 0; i < MODEL_SLOTS; i++)
    if (slot[i].p != NULL)
      must (block_holds (slot[i].p, slot[i].size, slot[i].tag));
  ck_assert_int_eq (qalloc_walk (map, seen, &n), 0);
  ck_assert_uint_eq (n, n_live);
  ck_assert_uint_eq (map_stats (map).blocks_live, n_live);
  map_is_whole (map);
}

static void
run (int kind, off_t size, size_t streams)
{
  void *map = map_make (kind, size, ITEM, streams);
  for (int stretch = 0; stretch < 30; stretch++)
    {
      for (int i = 0; i < 1000; i++)
        step (map, kind);
      agree (map);
      if (stretch % 5 == 4)
        {
          map_end (map);
          map = map_is_there (qalloc_loadmap (map_path (kind)));
          agree (map);
        }
    }
  for (size_t i = 0; i < MODEL_SLOTS; i++)
    if (slot[i].p != NULL)
      {
        char *p = slot[i].p;
        slot_empty (&slot[i]);
        qalloc_free (p, map);
      }
  agree (map);
  map_end (map);
  ck_assert_int_eq (unlink (map_path (kind)), 0);
}

START_TEST (random_operations)
{
  state = random_seed ();
  run (_i, _i == STATIC_MAP ? 100000 : (off_t) MIB (4), 1);
  run (_i, _i == STATIC_MAP ? 30000 : (off_t) MIB (1), 3);
  run (_i, _i == STATIC_MAP ? 50001 : (off_t) MIB (64) + 77, 7);
}
END_TEST

RUN_ON_EACH_MAP (random_operations)
