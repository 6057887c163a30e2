/* The default heap gives back the address space that it may grow into, as
   libmmalloc-preload asks it to, and takes it piece by piece from then on: it is
   whole all the time, and nothing that others have mapped meanwhile is lost.  */

#include "inside.h"

enum { BLOCKS = 2000, ROUNDS = 20000 };

static struct heap *
default_heap (void)
{
  return library_process.default_heap;
}

START_TEST (at_any_time)
{
  static char *block[BLOCKS];
  static size_t size[BLOCKS];
  uint64_t state = random_seed ();
  size_t most = 0;
  for (int round = 0; round < ROUNDS; round++)
    {
      size_t i = random_below (&state, BLOCKS);
      size_t kind = random_below (&state, 2000);
      must (block[i] == NULL || block_holds (block[i], size[i], i));
      if (round % 5000 == 4000)
        mmalloc_narrow ();
      if (round % 5000 == 4500)
        must (mmalloc_trim (NULL) >= 0);
      if (kind < 700)
        {
          mfree (NULL, block[i]);
          block[i] = NULL;
          continue;
        }
      mfree (NULL, block[i]);
      size[i] = 1 + (kind == 700    ? MIB (33)
                     : kind < 750 ? random_below (&state, KIB (300))
                                  : random_below (&state, 3000));
      block[i] = mmalloc (NULL, size[i]);
      must (block[i] != NULL);
      block_fill (block[i], size[i], i);
      size_t mapped = default_heap ()->file.mapped;
      most = size_max (most, off_length (default_heap ()));
      must (round < 4000 || mapped < most + MIB (2));
    }
  ck_assert_int_eq (mmalloc_check (NULL, NULL, NULL), 0);
}
END_TEST

/* Without a place to grow into it is full, and otherwise as before.  */
START_TEST (others_in_the_way)
{
  char *p = mmalloc (NULL, 100);
  size_t n = 0;
  mmalloc_narrow ();
  struct heap *h = default_heap ();
  char *map = (char *) round_up (h->file.base + h->file.mapped, MIB (1))
              + MIB (20);
  ck_assert_ptr_eq (mmap (map, MIB (1), PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE,
                          -1, 0), map);
  block_fill (map, MIB (1), 1);
  for (; (p = mmalloc (NULL, 20000)) != NULL && n < 10000; n++)
    memset (p, 2, 20000);
  ck_assert_int_eq (errno, ENOMEM);
  ck_assert_uint_gt (n, MIB (18) / 20000);
  must_fail (NULL, mmalloc (NULL, MIB (50)), ENOMEM);
  must (block_holds (map, MIB (1), 1));
  ck_assert_int_eq (munmap (map, MIB (1)), 0);
  ck_assert_ptr_nonnull (mmalloc (NULL, MIB (50)));
  ck_assert_int_eq (mmalloc_check (NULL, NULL, NULL), 0);
}
END_TEST

RUN_TESTS (at_any_time, others_in_the_way)
