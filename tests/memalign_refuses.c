/* mmemalign: what is no power of two, or more than 1 GiB, is refused.  */

#include "support.h"

START_TEST (bad_alignments)
{
  static const size_t bad[] = { 0, 3, 15, 17, 24, 4095, 4097, GIB (1) - 1,
                                GIB (1) + 1, GIB (2), SIZE_MAX / 2 + 1,
                                SIZE_MAX };
  void *md = heap_new (_i);
  for (unsigned int i = 0; i < sizeof bad / sizeof *bad; i++)
    must_fail (md, mmemalign (md, any_size (bad[i]), 100), EINVAL);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  heap_end (md);
}
END_TEST

RUN_ON_EACH_HEAP (bad_alignments)
