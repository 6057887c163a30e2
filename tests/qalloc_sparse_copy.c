/* A copy of a map that was made without the zeros has lost the disk blocks
   behind them.  On a full disk it is not loaded; with room it gets its blocks
   back, and then each item can be written on a full disk.  */

#include "mounts.h"
#include "qalloc_support.h"

enum { BLOCKS = 1500 };
static void *blocks[BLOCKS];

START_TEST (refused_or_whole)
{
  int kind = _i % MAP_KINDS;
  const char *disk = small_disks[_i / MAP_KINDS];
  char command[3 * PATH_MAX];
  if (!mount_small (disk, 24))
    return;
  map_end (map_make (kind, MIB (4), 4096, 2));
  snprintf (command, sizeof command,
            "cp --sparse=always '%s' '%s' 2> /dev/null", map_path (kind),
            temp_path ("disk/map"));
  if (system (command) != 0)
    {
      skip ("no cp that leaves zeros out");
      unmount_small ();
      return;
    }
  off_t had = file_disk (temp_path ("disk/map"));
  ck_assert_int_lt (had, (off_t) MIB (1));
  disk_fill ("disk/rest", SIZE_MAX);
  uint64_t sum = file_sum (temp_path ("disk/map"));
  must_refuse (qalloc_loadmap (temp_path ("disk/map")), ENOSPC);
  must_speak_of ("copy");
  ck_assert_uint_eq (file_sum (temp_path ("disk/map")), sum);

  ck_assert_int_eq (unlink (temp_path ("disk/rest")), 0);
  void *map = map_is_there (qalloc_loadmap (temp_path ("disk/map")));
  ck_assert_int_gt (file_disk (temp_path ("disk/map")),
                    (off_t) (MIB (4) - KIB (16)));
  disk_fill ("disk/rest", SIZE_MAX);
  size_t n = map_fill (map, 4096, blocks, BLOCKS);
  ck_assert_uint_gt (n, kind == STATIC_MAP ? 1000 : 700);
  for (size_t i = 0; i < n; i++)
    block_fill (blocks[i], 4096, i);
  for (size_t i = 0; i < n; i++)
    must (block_holds (blocks[i], 4096, i));
  map_end (map);
  unmount_small ();
}
END_TEST

RUN_KINDS (SMALL_DISKS * MAP_KINDS, refused_or_whole)
