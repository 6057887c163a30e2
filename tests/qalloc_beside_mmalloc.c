/* A program that has the file of a map open by calls of mmalloc.h, too: neither
   kind of opening closes the other's, and a handle that was closed is none.  */

#include "qalloc_support.h"

static int
any_region (void *region, size_t size, enum mmalloc_region_why why,
            const char **reason, void *arg)
{
  (void) region, (void) size, (void) why, (void) reason, (void) arg;
  return 0;
}

/* Open the file of the map as the program does; its address.  */
static char *
open_beside (int kind)
{
  char *base = kind == STATIC_MAP
               ? mmalloc_region_open (map_path (kind), 0, NULL, 0, any_region,
                                      NULL)
               : mmalloc_open (map_path (kind), 0, NULL);
  ck_assert_ptr_nonnull (base);
  return base;
}

static void
close_beside (int kind, char *base)
{
  if (kind == STATIC_MAP)
    ck_assert_int_eq (mmalloc_region_close (base), 0);
  else
    ck_assert_ptr_null (mmalloc_detach (base));
}

START_TEST (closing_a_map)
{
  void *map = map_make (_i, MIB (1), 16, 3);
  char *base = open_beside (_i);
  char *item = qalloc_malloc (map, 16);
  ck_assert_ptr_nonnull (item);
  strcpy (item, "mine");
  ck_assert_int_eq (qalloc_close (map), 0);
  must_refuse (qalloc_malloc (map, 16), EINVAL);
  must_give (qalloc_close (map), -1, EINVAL);
  ck_assert_str_eq (item, "mine");
  close_beside (_i, base);
}
END_TEST

START_TEST (cleaning_up)
{
  void *map = map_make (_i, MIB (1), 16, 3);
  char *base = open_beside (_i);
  char *item = qalloc_malloc (map, 16);
  strcpy (item, "mine");
  qalloc_cleanup ();
  must_refuse (qalloc_malloc (map, 16), EINVAL);
  ck_assert_str_eq (item, "mine");
  close_beside (_i, base);
}
END_TEST

START_TEST (closing_beside)
{
  void *map = map_make (_i, MIB (1), 16, 3);
  close_beside (_i, open_beside (_i));
  ck_assert_ptr_nonnull (qalloc_malloc (map, 16));
  map_end (map);
}
END_TEST

/* Where there is address space for a part of a map only, it is not made.  */
START_TEST (half_a_place)
{
  char *base = mmalloc_findbase (MIB (64));
  ck_assert_ptr_nonnull (base);
  ck_assert_ptr_eq (mmap (base + MIB (32), MIB (1), PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0),
                    base + MIB (32));
  void *map = _i == STATIC_MAP
              ? qalloc_makestatmap (MIB (64), base, map_path (_i), 16, 3)
              : qalloc_makedynmap (MIB (64), base, map_path (_i), 3);
  ck_assert_ptr_null (map);
  ck_assert_int_eq (qalloc_errno (), _i == STATIC_MAP ? EADDRINUSE : EINVAL);
}
END_TEST

RUN_ON_EACH_MAP (closing_a_map, cleaning_up, closing_beside, half_a_place)
