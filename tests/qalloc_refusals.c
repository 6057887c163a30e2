/* Q5: what cannot be made or loaded gives NULL, an error and a reason; the file
   stays as it is.  Nothing aborts.  */

#include "qalloc_support.h"

/* Make the map of this kind with other numbers than the usual.  */
static void *
make (int kind, off_t file_size, size_t item_size, size_t streams)
{
  return kind == STATIC_MAP
         ? qalloc_makestatmap (file_size, NULL, map_path (kind), item_size,
                               streams)
         : qalloc_makedynmap (file_size, NULL, map_path (kind), streams);
}

START_TEST (numbers_out_of_range)
{
  must_refuse (make (_i, 0, 16, 1), EINVAL);
  must_refuse (make (_i, -1, 16, 1), EINVAL);
  must_refuse (make (_i, MIB (1), 16, 0), EINVAL);
  must_refuse (make (_i, MIB (1), 16, (size_t) -1), EINVAL);
  must_refuse (make (_i, MIB (1), 16, 1 << 20), EINVAL);
  must_refuse (make (_i, 40, 1, 1), EINVAL);
  if (_i == STATIC_MAP)
    {
      must_refuse (make (_i, MIB (1), 0, 1), EINVAL);
      must_refuse (make (_i, MIB (1), MIB (1), 1), EINVAL);
      must_refuse (make (_i, MIB (1), (size_t) -1, 1), EINVAL);
      must_refuse (make (_i, MIB (1), (size_t) -15, 1), EINVAL);
      must_refuse (make (_i, 1000, 16, 24), EINVAL);
    }
  must_refuse (_i == STATIC_MAP
               ? qalloc_makestatmap (MIB (1), NULL, NULL, 16, 1)
               : qalloc_makedynmap (MIB (1), NULL, NULL, 1), EINVAL);
  must_refuse (qalloc_loadmap (NULL), EINVAL);
  must_refuse (_i == STATIC_MAP
               ? qalloc_makestatmap (MIB (1), (void *) 16777217,
                                     map_path (_i), 16, 1)
               : qalloc_makedynmap (MIB (1), (void *) 16777217,
                                    map_path (_i), 1), EINVAL);
}
END_TEST

START_TEST (other_numbers)
{
  map_end (map_make (_i, MIB (1), 16, 3));
  uint64_t sum = file_sum (map_path (_i));
  must_refuse (make (_i, MIB (2), 16, 3), EINVAL);
  must_speak_of ("1048576 bytes long");
  must_refuse (make (_i, MIB (1) - 1, 16, 3), EINVAL);
  must_speak_of ("1048576 bytes long");
  must_refuse (make (_i, MIB (1), 16, 2), EINVAL);
  must_speak_of ("3 streams");
  if (_i == STATIC_MAP)
    {
      must_refuse (make (_i, MIB (1), 32, 3), EINVAL);
      must_speak_of ("items of 16 bytes");
      ck_assert_uint_eq (file_sum (map_path (_i)), sum);
    }
  void *map = map_make (_i, MIB (1), 16, 3);
  /* As well while it is open here.  */
  must_refuse (make (_i, MIB (2), 16, 3), EINVAL);
  must_refuse (make (_i, MIB (1), 16, 2), EINVAL);
  if (_i == STATIC_MAP)
    must_refuse (make (_i, MIB (1), 32, 3), EINVAL);
  map_end (map);
}
END_TEST

START_TEST (other_kind)
{
  for (int open = 0; open < 2; open++)
    {
      void *map = map_make (_i, MIB (1), 16, 3);
      if (!open)
        map_end (map);
      must_refuse (_i == DYNAMIC_MAP
                   ? qalloc_makestatmap (MIB (1), NULL, map_path (_i), 16, 3)
                   : qalloc_makedynmap (MIB (1), NULL, map_path (_i), 3),
                   EINVAL);
      map_end (map_make (_i, MIB (1), 16, 3));
      if (open)
        map_end (map);
    }
}
END_TEST

/* A heap is no dynamic map, and a map is no plain heap to be opened with an
   application version of one's own.  */
START_TEST (heap)
{
  heap_end (heap_file ());
  must_refuse (qalloc_loadmap (temp_heap_path ()), EINVAL);
  must_speak_of ("heap");
  must_refuse (qalloc_makedynmap (file_length (temp_heap_path ()), NULL,
                                  temp_heap_path (), 1), EINVAL);
}
END_TEST

START_TEST (no_map_at_all)
{
  static char junk[MIB (1)];
  block_fill (junk, sizeof junk, 1);
  const char *path = map_path (_i);
  must_refuse (qalloc_loadmap (path), ENOENT);
  ck_assert_int_ne (access (path, F_OK), 0);
  const size_t lengths[] = { 1, 7, 8, 15, 16, 47, 48, 100, 4096, sizeof junk };
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    for (int zero = 0; zero < 2; zero++)
      {
        file_write (path, zero ? (char[MIB (1)]) { 0 } : junk, lengths[i]);
        uint64_t sum = file_sum (path);
        must_refuse (qalloc_loadmap (path), EINVAL);
        must_refuse (make (_i, (off_t) lengths[i], 1, 1), EINVAL);
        ck_assert_uint_eq (file_sum (path), sum);
        must (file_length (path) == (off_t) lengths[i]);
      }
  file_write (path, junk, 0);
  must_refuse (qalloc_loadmap (path), EINVAL);
  ck_assert_int_eq (file_length (path), 0);
  ck_assert_int_eq (unlink (path), 0);
  must_refuse (qalloc_loadmap (temp_path ("no/such/directory")), ENOENT);
  must_refuse (make (_i, 100, 1, 0), EINVAL);
  ck_assert_int_ne (access (path, F_OK), 0);
}
END_TEST

START_TEST (no_file)
{
  const char *path = map_path (_i);
  ck_assert_int_eq (mkdir (path, 0777), 0);
  must_refuse (qalloc_loadmap (path), EISDIR);
  must_refuse (make (_i, MIB (1), 16, 1), EISDIR);
  ck_assert_int_eq (rmdir (path), 0);
  ck_assert_int_eq (mkfifo (path, 0666), 0);
  must_refuse (qalloc_loadmap (path), EINVAL);
  must_refuse (make (_i, MIB (1), 16, 1), EINVAL);
}
END_TEST

START_TEST (no_permission)
{
  map_end (map_make (_i, MIB (1), 16, 1));
  ck_assert_int_eq (chmod (map_path (_i), 0444), 0);
  become_nobody ();
  must_refuse (qalloc_loadmap (map_path (_i)), EACCES);
  must_refuse (make (_i, MIB (1), 16, 1), EACCES);
}
END_TEST

START_TEST (address_taken)
{
  void *map = map_make (_i, MIB (1), 16, 1);
  char *base = map_stats (map).address;
  map_end (map);
  char *in_the_way = mmap (base + KIB (64), 4096, PROT_READ, MAP_PRIVATE
                           | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  ck_assert_ptr_eq (in_the_way, base + KIB (64));
  must_refuse (qalloc_loadmap (map_path (_i)), EADDRINUSE);
  must_refuse (make (_i, MIB (1), 16, 1), EADDRINUSE);
  must_refuse (_i == STATIC_MAP
               ? qalloc_makestatmap (MIB (1), base, temp_path ("new"), 16, 1)
               : qalloc_makedynmap (MIB (1), base, temp_path ("new"), 1),
               EADDRINUSE);
  munmap (in_the_way, 4096);
  map_end (map_make (_i, MIB (1), 16, 1));
}
END_TEST

RUN_ON_EACH_MAP (numbers_out_of_range, other_numbers, other_kind, heap,
                 no_map_at_all, no_file, no_permission, address_taken)
