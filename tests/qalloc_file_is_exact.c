/* A new map file is just as long as was asked for, with all its disk blocks;
   making it does not touch the items, so it takes no time.  Failing paths leave
   neither descriptors nor mappings behind.  */

#include <dirent.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "qalloc_support.h"

START_TEST (lengths)
{
  static const off_t sizes[] = { 262144, 262145, 300000, 1000000, 1048575,
                                 1048576, 5000001 };
  for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
    {
      void *map = map_make (_i, sizes[i], 100, 3);
      for (int round = 0; round < 2; round++)
        {
          ck_assert_int_eq (file_length (map_path (_i)), sizes[i]);
          ck_assert_int_ge (file_disk (map_path (_i)), sizes[i]);
          ck_assert_uint_eq (map_stats (map).file_size, (size_t) sizes[i]);
          void *blocks[50];
          for (int j = 0; j < 50; j++)
            memset (blocks[j] = qalloc_malloc (map, 100), -1, 100);
          for (int j = 0; j < 50; j++)
            qalloc_free (blocks[j], map);
          map_end (map);
          ck_assert_int_eq (file_length (map_path (_i)), sizes[i]);
          map = map_make (_i, sizes[i], 100, 3);
        }
      map_end (map);
      unlink (map_path (_i));
    }
}
END_TEST

/* Counted in page faults.  */
START_TEST (making_touches_little)
{
  struct rusage before, after;
  if (UNDER_SANITIZER || under_valgrind ())
    {
      skip ("the tool has page faults of its own");
      return;
    }
  getrusage (RUSAGE_SELF, &before);
  void *map = map_make (_i, MIB (64), 64, 4);
  getrusage (RUSAGE_SELF, &after);
  ck_assert_int_lt (after.ru_minflt - before.ru_minflt, 300);
  map_end (map);
}
END_TEST

/* How many descriptors are open, and how many mappings there are.  */
static int
count_all (void)
{
  int n = 0;
  DIR *dir = opendir ("/proc/self/fd");
  ck_assert_ptr_nonnull (dir);
  while (readdir (dir) != NULL)
    n++;
  closedir (dir);
  FILE *maps = fopen ("/proc/self/maps", "r");
  ck_assert_ptr_nonnull (maps);
  char line[PATH_MAX + 200];
  while (fgets (line, sizeof line, maps) != NULL)
    n += strstr (line, ".map") != NULL ? 1000 : 0;
  fclose (maps);
  return n;
}

/* Things that fail, at many places.  */
static void
fail_often (int kind)
{
  const char *path = map_path (kind);
  static char junk[100000];
  must_refuse (qalloc_loadmap (path), ENOENT);
  must_refuse (qalloc_loadmap (temp_path (".")), EISDIR);
  void *map = map_make (kind, KIB (512), 64, 2);
  void *base = map_stats (map).address;
  must_refuse (kind == STATIC_MAP
               ? qalloc_makestatmap (KIB (512), NULL, path, 63, 2)
               : qalloc_makedynmap (KIB (512), NULL, path, 3), EINVAL);
  map_end (map);
  must_refuse (kind == STATIC_MAP
               ? qalloc_makestatmap (KIB (512), NULL, path, 63, 2)
               : qalloc_makedynmap (KIB (512), NULL, path, 3), EINVAL);
  must_refuse (kind == STATIC_MAP
               ? qalloc_makedynmap (KIB (512), NULL, path, 2)
               : qalloc_makestatmap (KIB (512), NULL, path, 64, 2), EINVAL);
  void *taken = mmap (base, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS
                      | MAP_FIXED_NOREPLACE, -1, 0);
  must_refuse (qalloc_loadmap (path), EADDRINUSE);
  munmap (taken, 4096);
  file_write (path, junk, sizeof junk);
  must_refuse (qalloc_loadmap (path), EINVAL);
  must_refuse (kind == STATIC_MAP
               ? qalloc_makestatmap (sizeof junk, NULL, path, 64, 2)
               : qalloc_makedynmap (sizeof junk, NULL, path, 2), EINVAL);
  unlink (path);
}

START_TEST (nothing_leaks)
{
  fail_often (_i);
  int before = count_all ();
  ck_assert_int_lt (before, 1000);
  for (int i = 0; i < 20; i++)
    fail_often (_i);
  for (int i = 0; i < 20; i++)
    {
      map_make (_i, KIB (512), 64, 2);
      qalloc_cleanup ();
    }
  ck_assert_int_eq (count_all (), before);
}
END_TEST

/* A full file system: ENOSPC when the map is made, never a signal after.  */
START_TEST (full_disk)
{
  const char *dir = temp_path ("small");
  ck_assert_int_eq (mkdir (dir, 0777), 0);
  if (unshare (CLONE_NEWNS) != 0
      || mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0
      || mount ("none", dir, "tmpfs", 0, "size=2m") != 0)
    {
      skip ("no right to mount");
      return;
    }
  const char *path = temp_path ("small/x.map");
  int before = count_all ();
  for (int i = 0; i < 3; i++)
    {
      must_refuse (_i == STATIC_MAP
                   ? qalloc_makestatmap (MIB (3), NULL, path, 64, 2)
                   : qalloc_makedynmap (MIB (3), NULL, path, 2), ENOSPC);
      ck_assert_int_ne (access (path, F_OK), 0);
    }
  ck_assert_int_eq (count_all (), before);
  void *map = map_is_there (_i == STATIC_MAP
    ? qalloc_makestatmap (1900000, NULL, path, 64, 2)
    : qalloc_makedynmap (1900000, NULL, path, 2));
  static char junk[4096];
  int fd = open (temp_path ("small/junk"), O_WRONLY | O_CREAT, 0666);
  while (write (fd, junk, sizeof junk) > 0)
    continue;
  close (fd);
  static void *blocks[40000];
  size_t n = map_fill (map, 64, blocks, 40000);
  ck_assert_uint_gt (n, 10000);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], 64, i);
  map_end (map);
  ck_assert_int_eq (umount2 (dir, MNT_DETACH), 0);
}
END_TEST

/* The process's limit of file sizes: EFBIG, no SIGXFSZ.  */
START_TEST (file_size_limit)
{
  struct rlimit limit = { 1000000, 1000000 };
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &limit), 0);
  for (off_t size = 1000001; size < 5000000; size += size / 2)
    {
      must_refuse (_i == STATIC_MAP
                   ? qalloc_makestatmap (size, NULL, map_path (_i), 64, 2)
                   : qalloc_makedynmap (size, NULL, map_path (_i), 2), EFBIG);
      unlink (map_path (_i));
    }
  map_end (map_make (_i, 999424, 64, 2));
  unlink (map_path (_i));
  map_end (map_make (_i, 1000000, 64, 2));
}
END_TEST

RUN_ON_EACH_MAP (lengths, making_touches_little, nothing_leaks, full_disk,
                 file_size_limit)
