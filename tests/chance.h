/* chance.h - settings from the environment and random numbers.  */

#ifndef CHANCE_H
#define CHANCE_H 1

#include <inttypes.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

/* A number from the environment.  */
static inline uint64_t
setting (const char *name, uint64_t otherwise)
{
  const char *given = getenv (name);
  return given != NULL && given[0] != '\0' ? strtoull (given, NULL, 0)
                                           : otherwise;
}

/* Start of a random sequence: MMALLOC_TEST_SEED if set, else a new one; it is
   printed either way.  */
static inline uint64_t
random_seed (void)
{
  struct timespec now;
  clock_gettime (CLOCK_REALTIME, &now);
  uint64_t seed = setting ("MMALLOC_TEST_SEED",
                           (uint64_t) now.tv_nsec
                           ^ (uint64_t) getpid () << 32);
  printf ("MMALLOC_TEST_SEED=%" PRIu64 "\n", seed);
  fflush (stdout);
  return seed;
}

static inline uint64_t
random_next (uint64_t *state)
{
  uint64_t x = (*state += UINT64_C (0x9e3779b97f4a7c15));
  x = (x ^ x >> 30) * UINT64_C (0xbf58476d1ce4e5b9);
  x = (x ^ x >> 27) * UINT64_C (0x94d049bb133111eb);
  return x ^ x >> 31;
}

static inline uint64_t
random_below (uint64_t *state, uint64_t limit)
{
  return random_next (state) % limit;
}

#endif /* CHANCE_H */
