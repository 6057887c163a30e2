/* mounts.h - small file systems for tests of full disks.  A test that mounts
   is in a name space of its own, so nothing is left behind.  */

#ifndef MOUNTS_H
#define MOUNTS_H 1

#include <sched.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "support.h"

static const char *const small_disks[] = { "tmpfs", "ext4" };
enum { SMALL_DISKS = 2 };

/* Mount an empty file system of KIND and of MIBS MiB at temp_path ("disk");
   0, and a word, if that is not allowed here.  */
static inline int
mount_small (const char *kind, int mibs)
{
  char dir[PATH_MAX], command[4 * PATH_MAX];
  snprintf (dir, sizeof dir, "%s", temp_path ("disk"));
  ck_assert_int_eq (mkdir (dir, 0777), 0);
  int may = unshare (CLONE_NEWNS) == 0
            && mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0;
  if (may && strcmp (kind, "tmpfs") == 0)
    {
      snprintf (command, sizeof command, "size=%dm", mibs);
      may = mount ("none", dir, "tmpfs", 0, command) == 0;
    }
  else if (may)
    {
      const char *image = temp_path ("image");
      snprintf (command, sizeof command,
                "PATH=$PATH:/sbin:/usr/sbin; exec 2> /dev/null;"
                " truncate -s %dM '%s' && mkfs.%s -q '%s'"
                " && mount -o loop '%s' '%s'",
                mibs, image, kind, image, image, dir);
      may = system (command) == 0;
    }
  if (!may)
    {
      printf ("skipped: no %s can be mounted\n", kind);
      fflush (stdout);
    }
  return may;
}

/* Take all room that is left on the disk, but at most LIMIT bytes, for the file
   of that name there.  */
static inline void
disk_fill (const char *name, size_t limit)
{
  static char junk[KIB (64)];
  int fd = open (temp_path (name), O_WRONLY | O_CREAT | O_APPEND, 0666);
  ck_assert_int_ge (fd, 0);
  size_t done = 0;
  for (size_t n = sizeof junk; n >= 512; n /= 2)
    for (ssize_t r; done < limit && (r = write (fd, junk, n)) > 0; )
      done += (size_t) r;
  ck_assert_int_eq (fsync (fd), 0);
  ck_assert_int_eq (close (fd), 0);
}

/* Whether the tests' directory lies in an overlay as it is, where no mapping
   keeps locks: then the test is skipped.  */
static inline int
overlay_is_here (void)
{
  struct statfs fs;
  ck_assert_int_eq (statfs (support_test_dir, &fs), 0);
  int here = fs.f_type == 0x794c7630;
  if (here)
    skip ("overlayfs maps another file than the one that was opened");
  return here;
}

/* Go on in an overlay, where what is mapped is not the file that is open, and
   locks do not go with the mapping; 0 as mount_small.  */
static inline int
overlay_enter (void)
{
  static const char *const layer[] = { "lower", "upper", "work", "merged" };
  char dir[4][PATH_MAX], command[4 * PATH_MAX];
  if (!mount_small ("tmpfs", 200))
    return 0;
  for (int i = 0; i < 4; i++)
    {
      char name[20];
      snprintf (name, sizeof name, "disk/%s", layer[i]);
      snprintf (dir[i], PATH_MAX, "%s", temp_path (name));
      ck_assert_int_eq (mkdir (dir[i], 0777), 0);
    }
  snprintf (command, sizeof command, "lowerdir=%s,upperdir=%s,workdir=%s",
            dir[0], dir[1], dir[2]);
  if (mount ("none", dir[3], "overlay", 0, command) != 0)
    {
      printf ("skipped: no overlay can be mounted\n");
      fflush (stdout);
      return 0;
    }
  snprintf (support_test_dir, sizeof support_test_dir, "%s", dir[3]);
  return 1;
}

/* Go on in another directory of the overlay: "merged", or "upper", where the
   same files are, and locks of their own.  */
static inline void
overlay_by (const char *name)
{
  char *end = strrchr (support_test_dir, '/') + 1;
  snprintf (end, sizeof support_test_dir
                 - (size_t) (end - support_test_dir), "%s", name);
}

/* Mount the overlay once more, as "again"; 0 as mount_small.  */
static inline int
overlay_enter_again (void)
{
  char dir[2][PATH_MAX], command[4 * PATH_MAX];
  if (!overlay_enter ())
    return 0;
  for (int i = 0; i < 2; i++)
    {
      snprintf (dir[i], PATH_MAX, "%s",
                temp_path (i == 0 ? "../again" : "../work2"));
      ck_assert_int_eq (mkdir (dir[i], 0777), 0);
    }
  snprintf (command, sizeof command, "lowerdir=%s,upperdir=%s,workdir=%s",
            temp_path ("../lower"), temp_path ("../upper"), dir[1]);
  if (mount ("none", dir[0], "overlay", 0, command) == 0)
    return 1;
  printf ("skipped: no layer can be in two overlays\n");
  fflush (stdout);
  return 0;
}

static inline void
unmount_small (void)
{
  ck_assert_int_eq (umount2 (temp_path ("disk"), MNT_DETACH), 0);
}

#endif /* MOUNTS_H */
