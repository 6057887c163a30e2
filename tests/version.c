/* The library's version is the header's.  */

#include "support.h"

START_TEST (same_as_the_header)
{
  ck_assert_str_eq (mmalloc_version (), MMALLOC_VERSION);
}
END_TEST

RUN_TESTS (same_as_the_header)
