/* Damaged, truncated and hostile map files: an error or a map that holds; no
   crash, nothing mapped over.  */

#include "qalloc_support.h"

static char good[MIB (1)], bad[MIB (1)];
enum { SIZE = 300000, ITEM = 48, STREAMS = 2 };

static void
make_good (int kind)
{
  void *map = map_make (kind, SIZE, ITEM, STREAMS);
  for (int i = 0; i < 100; i++)
    block_fill (qalloc_malloc (map, ITEM), ITEM, 1);
  map_end (map);
  int fd = open (map_path (kind), O_RDONLY);
  ck_assert_int_eq (read (fd, good, SIZE), SIZE);
  close (fd);
}

/* What the file BAD gives, all of which is used: 1 if it could be loaded.  */
static int
try_it (int kind, size_t length)
{
  static void *blocks[20000];
  const char *path = map_path (kind);
  file_write (path, bad, length);
  int loaded = 0;
  for (int how = 0; how < 2; how++)
    {
      void *map = how ? qalloc_loadmap (path)
                  : kind == STATIC_MAP
                    ? qalloc_makestatmap (SIZE, NULL, path, ITEM, STREAMS)
                    : qalloc_makedynmap (SIZE, NULL, path, STREAMS);
      if (map == NULL)
        {
          must (qalloc_errno () == EINVAL || qalloc_errno () == EBADMSG
                || qalloc_errno () == ENOTSUP
                || qalloc_errno () == EADDRINUSE
                || qalloc_errno () == ENOMEM || qalloc_errno () == ENOSPC);
          continue;
        }
      loaded++;
      char *base = map_stats (map).address;
      size_t n = map_fill (map, ITEM, blocks, 20000);
      for (size_t i = 0; i < n; i++)
        {
          must ((char *) blocks[i] >= base + 96
                && (char *) blocks[i] + ITEM <= base + SIZE);
          memset (blocks[i], 7, ITEM);
        }
      for (size_t i = 0; i < n; i++)
        qalloc_free (blocks[i], map);
      qalloc_check (map, NULL, NULL);
      qalloc_close (map);
    }
  return loaded;
}

/* Each bit of the constants of a static map.  */
START_TEST (header_bits)
{
  make_good (STATIC_MAP);
  for (size_t bit = 0; bit < 40 * 8; bit++)
    {
      /* The tool ends a program that maps something at its places.  */
      if (UNDER_TSAN && bit / 64 == 1)
        continue;
      memcpy (bad, good, SIZE);
      bad[bit / 8] ^= (char) (1 << bit % 8);
      int loaded = try_it (STATIC_MAP, SIZE);
      /* A byte that older versions used.  */
      ck_assert_msg (loaded == (bit / 8 == 35 ? 2 : 0), "bit %zu: %d", bit,
                     loaded);
    }
}
END_TEST

/* The root, mutexes, bits: loaded and used without harm.  */
START_TEST (other_bits)
{
  make_good (STATIC_MAP);
  for (size_t byte = 40; byte < 48 + 40 * STREAMS; byte++)
    {
      memcpy (bad, good, SIZE);
      bad[byte] = (char) ~bad[byte];
      ck_assert_int_eq (try_it (STATIC_MAP, SIZE), 2);
    }
  memcpy (bad, good, SIZE);
  memset (bad + 48 + 40 * STREAMS, 0, 784);
  ck_assert_int_eq (try_it (STATIC_MAP, SIZE), 0);
}
END_TEST

START_TEST (truncated)
{
  make_good (_i);
  memcpy (bad, good, SIZE);
  bad[SIZE] = 1;
  static const size_t lengths[] = { 1, 8, 16, 40, 47, 48, 90, 4096, 8192,
                                    SIZE / 2, SIZE - 1 };
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    if (_i == STATIC_MAP || lengths[i] != SIZE - 1)
      ck_assert_int_eq (try_it (_i, lengths[i]), 0);
  if (_i == STATIC_MAP)
    ck_assert_int_eq (try_it (_i, SIZE + 1), 0);
  ck_assert_int_eq (try_it (_i, SIZE), 2);
}
END_TEST

/* The sum over the constants of a header, as the library makes it.  */
static uint32_t
header_sum (const uint64_t *word)
{
  const uint64_t words[] = { word[0], word[1], word[2], word[3],
                             word[4] & 0xffff, word[4] >> 16 & 0xff };
  uint64_t sum = 0;
  for (int i = 0; i < 6; i++)
    sum = (sum ^ words[i]) * UINT64_C (0x9e3779b97f4a7c15) >> 1 ^ sum >> 29;
  return (uint32_t) (sum ^ sum >> 32);
}

/* The fifth word of a header WORD with mutexes of SIZE bytes.  */
static uint64_t
header_with (const uint64_t *word, size_t size)
{
  uint64_t as_it_is[5];
  memcpy (as_it_is, word, sizeof as_it_is);
  as_it_is[4] = STREAMS | size << 16;
  return as_it_is[4] | (uint64_t) header_sum (as_it_is) << 32;
}

/* Where the items begin in a map with mutexes of SIZE bytes: behind a word of
   bits.  */
enum { ITEMS = 64 };

static size_t
first_item (size_t size)
{
  return (48 + STREAMS * size + 8 + 15) & ~(size_t) 15;
}

/* Make a map with mutexes of SIZE bytes and no item in use: its length.  */
static size_t
other_mutexes_make (size_t size)
{
  size_t length = first_item (size) + ITEMS * ITEM;
  uint64_t word[6];
  memcpy (word, good, sizeof word);
  word[2] = length;
  word[4] = header_with (word, size);
  memset (bad, 0, length);
  memcpy (bad, word, sizeof word);
  memset (bad + 48, 0xa5, STREAMS * size);
  file_write (map_path (STATIC_MAP), bad, length);
  return length;
}

/* The room for mutexes is left alone.  */
static void
other_mutexes_are_kept (size_t size)
{
  static void *blocks[ITEMS + 1];
  const char *path = map_path (STATIC_MAP);
  size_t length = other_mutexes_make (size);
  for (int round = 0; round < 3; round++)
    {
      void *map = map_is_there (round
        ? qalloc_loadmap (path)
        : qalloc_makestatmap ((off_t) length, NULL, path, ITEM, STREAMS));
      char *base = map_stats (map).address;
      ck_assert_uint_eq (map_fill (map, ITEM, blocks, ITEMS + 1), ITEMS);
      ck_assert_ptr_eq (blocks[0], base + first_item (size));
      for (int i = 0; i < ITEMS; i++)
        {
          memset (blocks[i], 0xff, ITEM);
          qalloc_free (blocks[i], map);
        }
      ck_assert_int_eq (memcmp (base + 48, bad + 48, STREAMS * size), 0);
      map_end (map);
    }
}

/* Other machines and C libraries have mutexes of other sizes.  Words of bits
   follow them.  */
START_TEST (other_mutexes)
{
  make_good (STATIC_MAP);
  uint64_t word[5];
  memcpy (word, good, sizeof word);
  ck_assert_uint_eq (word[4], header_with (word, 40));
  for (size_t i = 48; i < 48 + 40 * STREAMS; i++)
    ck_assert_int_eq (good[i], 0);
  for (size_t size = 0; size < 256; size++)
    if (size > 0 && size % 8 == 0)
      other_mutexes_are_kept (size);
    else
      {
        other_mutexes_make (size);
        must_refuse (qalloc_loadmap (map_path (STATIC_MAP)), EBADMSG);
        must_speak_of ("header is damaged");
      }
}
END_TEST

/* The header becomes that of a map with others while the map is open.  */
START_TEST (mutexes_change)
{
  off_t length = (off_t) (first_item (48) + ITEMS * ITEM);
  void *map = map_make (STATIC_MAP, length, ITEM, STREAMS);
  uint64_t *word = map_stats (map).address, old = word[4];
  word[4] = header_with (word, 48);
  ck_assert_int_eq (qalloc_check (map, NULL, NULL), 1);
  word[4] = old;
  map_end (map);
}
END_TEST

/* Bytes changed by chance, mostly in front.  */
START_TEST (random_bytes)
{
  if (UNDER_TSAN)
    {
      skip ("the tool has its own ideas of addresses");
      return;
    }
  uint64_t state = random_seed ();
  mmalloc_onmisuse (misuse_handler, NULL);
  make_good (_i);
  for (int round = 0; round < 300; round++)
    {
      memcpy (bad, good, SIZE);
      size_t within = random_below (&state, 2) ? 200 : 40000;
      for (size_t n = 1 + random_below (&state, 5); n > 0; n--)
        bad[random_below (&state, within)] = (char) random_below (&state, 256);
      try_it (_i, SIZE);
    }
}
END_TEST

/* A file that says it belongs where something else is.  */
START_TEST (forged_address)
{
  make_good (STATIC_MAP);
  static char precious[8192] __attribute__ ((aligned (4096)));
  block_fill (precious, sizeof precious, 4);
  memcpy (bad, good, SIZE);
  uint64_t at = (uintptr_t) precious;
  memcpy (bad + 8, &at, 8);
  ck_assert_int_eq (try_it (STATIC_MAP, SIZE), 0);
  must (block_holds (precious, sizeof precious, 4));
}
END_TEST

RUN_ON_EACH_MAP (header_bits, other_bits, truncated, other_mutexes,
                 mutexes_change, random_bytes, forged_address)
