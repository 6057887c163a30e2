/* golden.h - what is in the golden files, for their maker and their test.  As
   frozen as they are: a new file gets new entries here, old ones stay.

   Most files hold blocks with numbers, of which each has its size and its
   contents, and some were freed.  An array of the pointers to them is the root
   "blocks".  Heaps come first, then dynamic maps, then static ones.  */

#ifndef GOLDEN_H
#define GOLDEN_H 1

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define GOLDEN_APP 0x676f6c64ul

enum
{
  GOLDEN_GUARDS = 1,            /* of mmcheck */
  GOLDEN_KILLED = 2,            /* its makers died within slot calls */
  GOLDEN_THREADS = 24           /* that filled the file with several streams */
};
struct golden
{
  const char *name;
  uintptr_t base;
  size_t size;                  /* the heap's maximum, the map's file size */
  unsigned first, last;         /* the numbers of its blocks are below last */
  unsigned streams;
  unsigned long app_version;
  unsigned flags;
};
static const struct golden golden_heaps[] = {
  { "heap.1", 0x550100000000, 256 << 20, 0, 323, 0, GOLDEN_APP, 0 },
  { "killed.1", 0x550200000000, 256 << 20, 0, 323, 0, GOLDEN_APP,
    GOLDEN_KILLED },
  { "guards.1", 0x550300000000, 64 << 20, 0, 321, 0, 0, GOLDEN_GUARDS },
  { "small.1", 0x550400000000, 256 << 10, 120, 320, 0, 0, 0 },
  { "streams.1", 0x550500000000, 64 << 20, 0, 320, 4, 0, 0 },
  { "killed.2", 0x550800000000, 256 << 20, 0, 323, 0, GOLDEN_APP,
    GOLDEN_KILLED },
  { "streams.2", 0x550900000000, 64 << 20, 0, 320, 4, 0, 0 }
};
/* With a log: after the blocks were made, each of ROUNDS checkpoints has
   changed some; see golden_number.  */
enum
{
  GOLDEN_ENDED = 8,             /* its maker died before its next checkpoint */
  GOLDEN_ONCE = 16,             /* it had a log before it had blocks */
  GOLDEN_WATCHED = 32,          /* somebody looked at it during the last
                                   checkpoint, which is in the log alone */
  GOLDEN_LOG = 64 << 10         /* bytes of a log */
};
struct golden_logged
{
  struct golden file;
  unsigned rounds;
};
static const struct golden_logged golden_logged[] = {
  { { "log.3", 0x550a00000000, 64 << 20, 0, 320, 0, GOLDEN_APP,
      GOLDEN_WATCHED }, 3 },
  { { "halves.3", 0x550b00000000, 64 << 20, 0, 320, 4, 0, GOLDEN_WATCHED },
    27 },
  { { "inside.3", 0x550c00000000, 256 << 20, 0, 323, 0, 0, GOLDEN_ONCE }, 15 },
  { { "small.3", 0x550d00000000, 256 << 10, 120, 320, 0, 0, 0 }, 2 },
  { { "ended.3", 0x550e00000000, 256 << 20, 0, 322, 0, GOLDEN_APP,
      GOLDEN_ENDED | GOLDEN_WATCHED }, 8 }
};
static const struct golden golden_dynamic[] = {
  { "dynamic.1", 0x550600000000, 1 << 20, 120, 320, 2, 0, 0 }
};
/* A list of items, from the root on; see struct golden_item.  */
static const struct golden golden_static[] = {
  { "static.1", 0x550700000000, 1 << 16, 0, 100, 3, 0, 0 }
};
struct golden_item
{
  struct golden_item *next;     /* with a lower number */
  uint64_t number;
  unsigned char bytes[24];      /* filled as block number */
};
#define GOLDEN_LENGTH(files) (sizeof (files) / sizeof *(files))

/* The sizes of the classes of formats 1 and 2.  */
static const uint16_t golden_class[40] = {
  16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384, 448, 512,
  640, 768, 896, 1024, 1280, 1536, 1792, 2048, 2560, 3072, 3584, 4096, 5120,
  6144, 7168, 8192, 10240, 12288, 14336, 16384, 20480, 24576, 28672, 32768
};

/* Bytes of block I: three of each class, many small ones, a large block, a
   larger one, and one that takes chunks of its own.  */
static inline size_t
golden_size (unsigned i)
{
  return i < 120 ? golden_class[i % 40] - i / 40 * 5u
         : i < 320 ? 16 * (i % 3 + 1)
         : i == 320 ? 300 << 10 : i == 321 ? 1 << 20 : 33 << 20;
}

/* Whether block I was freed.  */
static inline int
golden_is_free (unsigned i)
{
  return i < 320 && i % 5 == 2;
}

/* The word at offset AT of block I; the same for 512 bytes, to take little
   room when compressed.  Of the largest there is a word a MiB.  */
static inline uint64_t
golden_word (unsigned i, size_t at)
{
  if (i == 322 && at % (1 << 20) != 0)
    return 0;
  return (i + 1) * UINT64_C (0x9e3779b97f4a7c15) + at / 512;
}

/* Fill the first SIZE bytes of block I at P; the largest must be zero.  */
static inline void
golden_fill (void *p, unsigned i, size_t size)
{
  for (size_t at = 0; at < size; at += i == 322 ? 1 << 20 : 8)
    {
      uint64_t word = golden_word (i, at);
      memcpy ((char *) p + at, &word, size - at < 8 ? size - at : 8);
    }
}

static inline int
golden_holds (const void *p, unsigned i, size_t size)
{
  for (size_t at = 0; at < size; at += 8)
    {
      uint64_t word = golden_word (i, at);
      if (memcmp ((const char *) p + at, &word,
                  size - at < 8 ? size - at : 8) != 0)
        return 0;
    }
  return 1;
}

/* With whose contents block I is after round ROUND of a heap with a log, which
   are those of no block before; 0: before all rounds.  */
static inline unsigned
golden_number (unsigned i, unsigned round)
{
  while (round > 0 && (i >= 320 || (i < 120 && i % 40 >= 24)
                       || i % 16 != round % 16))
    round--;
  return i + 2000 * round;
}

/* Key K of 16: some are words that are no pointers.  */
static inline uint64_t
golden_key (unsigned k)
{
  return k % 3 == 0 ? 0 : (k + 1) * UINT64_C (0x0123456789abcdef);
}

/* Names of roots: "blocks", "root 0" to "root 99" with values made up, one of
   1000 letters n with the value 1000, some other bytes with the value 1001;
   "forgotten" was there once.  */
enum { GOLDEN_ROOTS = 103, GOLDEN_LONG = 1000 };
#define GOLDEN_BYTES "gr\xc3\xbc\xc3\x9f\n\x01\xff"

static inline const char *
golden_root_name (unsigned i)
{
  static char name[GOLDEN_LONG + 1];
  if (i < 100)
    snprintf (name, sizeof name, "root %u", i);
  else if (i == 100)
    memset (name, 'n', GOLDEN_LONG);
  else
    return i == 101 ? GOLDEN_BYTES : "blocks";
  return name;
}

static inline uintptr_t
golden_root_value (unsigned i)
{
  return i < 100 ? i * 16u + 1 : i + 900;
}

/* In the file whose makers were killed: the array "slots", and what each was
   doing to its slot, which held block 200 + N with 100 bytes.  */
enum
{
  GOLDEN_TO,            /* a new large block, under the heap's lock: undone */
  GOLDEN_GROW,          /* contents copied, not yet in the slot: undone */
  GOLDEN_GROWN,         /* in the slot, the old block not yet freed: done */
  GOLDEN_FREE,          /* the slot is NULL, the block not yet freed: done */
  GOLDEN_SLOTS
};

#endif /* GOLDEN_H */
