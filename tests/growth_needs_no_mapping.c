/* A heap grows by one process, far beyond what it was when the others came;
   what they have mapped stays as it is, and they see all of it.  */

#include "support.h"

static char *md;
static size_t capacity;

/* The mappings that lie in the heap's range, as the kernel lists them; of those
   that follow each other, as parts for core dumps and others do, the first one
   up to the end of the last.  */
static void
list_mappings (char list[4096])
{
  char line[PATH_MAX + 200];
  size_t used = 0;
  uintptr_t last = 0;
  FILE *maps = fopen ("/proc/self/maps", "r");
  ck_assert_ptr_nonnull (maps);
  list[0] = '\0';
  while (fgets (line, sizeof line, maps) != NULL)
    {
      uintptr_t from, to;
      ck_assert_int_eq (sscanf (line, "%" SCNxPTR "-%" SCNxPTR, &from, &to),
                        2);
      if (from >= (uintptr_t) md + capacity || to <= (uintptr_t) md)
        continue;
      if (from != last)
        used += (size_t) snprintf (list + used, 4096 - used, "%" PRIxPTR "-"
                                   "%" PRIxPTR " %s", last, from,
                                   strchr (line, ' '));
      ck_assert_uint_lt (used, 4096);
      last = to;
    }
  fclose (maps);
  used += (size_t) snprintf (list + used, 4096 - used, "%" PRIxPTR, last);
  ck_assert_uint_gt (used, 0);
}

static void
grow (void)
{
  static const size_t sizes[] = { 100, 5000, MIB (1), MIB (90) };
  for (size_t i = 0; i < 4; i++)
    {
      size_t n = i < 2 ? 1000 : 1;
      for (size_t j = 0; j < n; j++)
        {
          char **block = mmalloc (md, sizes[i]);
          ck_assert_ptr_nonnull (block);
          *block = mmalloc_getkey (md, 0);
          ck_assert_int_eq (mmalloc_setkey (md, 0, block), 1);
          block_fill (block + 1, 90, sizes[i]);
        }
    }
}

static size_t
count (void)
{
  size_t n = 0;
  for (char **block = mmalloc_getkey (md, 0); block != NULL;
       block = (char **) (void *) *block, n++)
    must (block_holds (block + 1, 90, n % 2002 == 0 ? MIB (90)
                                      : n % 2002 == 1 ? MIB (1)
                                      : n % 2002 < 1002 ? 5000 : 100));
  return n;
}

static void
onlooker (void *flags)
{
  char before[4096], after[4096];
  baton_wait (baton);
  md = mmalloc_open (temp_heap_path (), (int) (size_t) flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  capacity = heap_stats (md).capacity;
  list_mappings (before);
  for (size_t round = 1; round <= 2; round++)
    {
      baton_pass (baton);
      baton_wait (baton);
      ck_assert_uint_eq (count (), 2002 * round);
    }
  list_mappings (after);
  ck_assert_str_eq (before, after);
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (all_see_it)
{
  char before[4096], after[4096];
  struct child reader = child_start (onlooker, (void *) MMALLOC_RDONLY);
  struct child writer = child_start (onlooker, NULL);
  md = heap_file ();
  capacity = heap_stats (md).capacity;
  list_mappings (before);
  baton_pass (reader.baton);
  baton_pass (writer.baton);
  for (int round = 0; round < 2; round++)
    {
      baton_wait (reader.baton);
      baton_wait (writer.baton);
      off_t length = file_length (temp_heap_path ());
      grow ();
      ck_assert_int_gt (file_length (temp_heap_path ()),
                        length + (off_t) MIB (90));
      baton_pass (reader.baton);
      baton_pass (writer.baton);
    }
  ck_assert_int_eq (child_end (reader), 0);
  ck_assert_int_eq (child_end (writer), 0);
  list_mappings (after);
  ck_assert_str_eq (before, after);
  heap_end (md);
}
END_TEST

RUN_TESTS (all_see_it)
