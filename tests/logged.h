/* logged.h - a heap with checkpoints whose contents are known by number.  */

#ifndef LOGGED_H
#define LOGGED_H 1

#include "inside.h"

/* With the log behind a small heap, and inside of a large one.  */
enum { SMALL, LARGE, SIZES };
enum { N = 400, SIZE = 3000 };
static char *md;
static char **block;
static struct mmalloc_options options;
static const char *file = "heap";
static size_t log_size = KIB (64);

static inline char *
open_with (int size, int flags)
{
  options = (struct mmalloc_options) MMALLOC_OPTIONS_INIT;
  options.reserve = size == SMALL ? MIB (16) : MIB (512);
  options.log = log_size;
  return mmalloc_open (temp_path (file), flags, &options);
}

static inline char *
open_logged (int size)
{
  char *heap = open_with (size, MMALLOC_CREATE | MMALLOC_CHECKPOINT);
  ck_assert_msg (heap != NULL, "%s", mmalloc_strerror (NULL));
  return heap;
}

/* Contents number STATE, in blocks that a root leads to; each state frees some
   of the one before.  */
static inline void
store (uint64_t state)
{
  block = mmalloc_getroot (md, "blocks");
  if (block == NULL)
    {
      block = mcalloc (md, N, sizeof *block);
      must (block != NULL && mmalloc_setroot (md, "blocks", block) == 0);
      for (size_t i = 0; i < N; i++)
        must ((block[i] = mmalloc (md, SIZE)) != NULL);
    }
  for (size_t i = state % 7; i < N; i += 7)
    {
      mfree (md, block[i]);
      must ((block[i] = mmalloc (md, SIZE)) != NULL);
    }
  for (size_t i = 0; i < N; i++)
    if (block[i] != NULL)
      block_fill (block[i], SIZE, state + i);
}

/* Whether heap HEAP, at its place or elsewhere, has contents number STATE.  */
static inline int
has (char *heap, uint64_t state)
{
  struct mmalloc_info info;
  must (mmalloc_info (heap, &info) == 0);
  ptrdiff_t moved = heap - (char *) info.base;
  char *root = mmalloc_getroot (heap, "blocks");
  if (root == NULL)
    return state == 0;
  char **list = (char **) (void *) (root + moved);
  int good = 1;
  for (size_t i = 0; i < N; i++)
    if (list[i] != NULL)
      good &= block_holds (list[i] + moved, SIZE, state + i);
  return good && mmalloc_check (heap, NULL, 0) == 0;
}

static inline void
checkpoint (void)
{
  ck_assert_msg (mmalloc_checkpoint (md) == 0, "%s", mmalloc_strerror (md));
}

/* Closed and opened again the heap has contents number STATE; then it is closed.  */
static inline void
comes_back (int size, uint64_t state)
{
  heap_end (md);
  md = open_logged (size);
  must (has (md, state));
  heap_end (md);
}

/* A program that stores STATES, with a checkpoint after each but the last, and
   is killed.  */
static int size_of_child;
static inline void
store_and_die (void *arg)
{
  uint64_t states = (uintptr_t) arg;
  md = open_logged (size_of_child);
  for (uint64_t i = 1; i <= states; i++)
    {
      store (i);
      if (i < states)
        must (mmalloc_checkpoint (md) == 0);
    }
  _exit (7);
}

#endif
