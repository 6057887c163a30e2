/* A heap opened and let go many times, by processes one after the other, grows
   no bigger than what is in it, and nothing is left behind in the process.  */

#include <dirent.h>

#include "support.h"

static size_t
count_entries (const char *dir)
{
  size_t n = 0;
  DIR *stream = opendir (dir);
  ck_assert_ptr_nonnull (stream);
  while (readdir (stream) != NULL)
    n++;
  closedir (stream);
  return n;
}

static size_t
count_mappings (void)
{
  size_t n = 0;
  int c;
  FILE *maps = fopen ("/proc/self/maps", "r");
  ck_assert_ptr_nonnull (maps);
  while ((c = getc (maps)) != EOF)
    n += c == '\n';
  fclose (maps);
  return n;
}

START_TEST (nothing_left_in_the_process)
{
  size_t files = 0, mappings = 0;
  for (int round = 0; round < 200; round++)
    {
      void *md = heap_new (_i);
      mfree (md, mmalloc (md, 100));
      ck_assert_ptr_nonnull (mmalloc (md, 10000));
      heap_end (md);
      if (round == 10)
        {
          files = count_entries ("/proc/self/fd");
          mappings = count_mappings ();
        }
    }
  ck_assert_uint_eq (count_entries ("/proc/self/fd"), files);
  ck_assert_uint_le (count_mappings (), mappings + 3);
}
END_TEST

START_TEST (failing_leaves_nothing_either)
{
  heap_end (heap_file ());
  ck_assert_int_eq (truncate (temp_heap_path (), 5000), 0);
  file_write (temp_path ("junk"), "junk", 4);
  size_t files = 0, mappings = 0;
  for (int round = 0; round < 50; round++)
    {
      ck_assert_ptr_null (mmalloc_open (temp_heap_path (), 0, NULL));
      ck_assert_ptr_null (mmalloc_open (temp_path ("junk"), 0, NULL));
      ck_assert_ptr_null (mmalloc_open (temp_path ("none"), 0, NULL));
      if (round == 10)
        {
          files = count_entries ("/proc/self/fd");
          mappings = count_mappings ();
        }
    }
  ck_assert_uint_eq (count_entries ("/proc/self/fd"), files);
  ck_assert_uint_le (count_mappings (), mappings + 3);
}
END_TEST

static void
live_a_little (void *round)
{
  void *md = heap_file ();
  void *old = mmalloc_getroot (md, "block");
  for (size_t size = 16; size < 30000; size *= 2)
    {
      void *block = mmalloc (md, size);
      must (block != NULL);
      mfree (md, block);
    }
  void *new = mmalloc (md, 100);
  block_fill (new, 100, (size_t) round);
  ck_assert_int_eq (mmalloc_setroot (md, "block", new), 0);
  if (old != NULL)
    must (block_holds (old, 100, (size_t) round - 1));
  mfree (md, old);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 1);
  ck_assert_ptr_null (mmalloc_detach (md));
}

START_TEST (file_does_not_grow)
{
  if (_i != IN_FILE)
    return;
  off_t length = 0;
  for (size_t round = 1; round <= 200; round++)
    {
      ck_assert_int_eq (child_run (live_a_little, (void *) round), 0);
      if (round == 20)
        length = file_disk (temp_heap_path ());
    }
  ck_assert_int_le (file_disk (temp_heap_path ()),
                    length + (off_t) KIB (256));
  heap_end (heap_file ());
}
END_TEST

RUN_ON_OWN_HEAPS (nothing_left_in_the_process, failing_leaves_nothing_either,
                  file_does_not_grow)
