/* A file system that was mounted anew has another device number, and each
   container may see one of its own: no reason to take a heap for a copy, all
   blocks of which have to be set aside again.  A copy is one.  */

#include "inside.h"
#include "mounts.h"

static dev_t shift;
static unsigned reserved;

static int
elsewhere (int fd, struct stat *st)
{
  int r = fstat (fd, st);
  st->st_dev += shift;
  return r;
}

static int
counted (int fd, int mode, off_t at, off_t n)
{
  reserved++;
  return fallocate (fd, mode, at, n);
}

/* How often an opening of heap NAME at BASE, with the device number SHIFT
   higher, sets blocks aside.  */
static unsigned
opening (const char *name, void *base, dev_t other)
{
  shift = other;
  reserved = 0;
  os.fstat = elsewhere;
  os.fallocate = counted;
  ck_assert_ptr_eq (mmalloc_open (temp_path (name), 0, NULL), base);
  unsigned n = reserved;
  heap_end (base);
  return n;
}

static void *
new_file (const char *name)
{
  void *md = mmalloc_open (temp_path (name), MMALLOC_CREATE, NULL);
  for (int i = 0; i < 20; i++)
    ck_assert_ptr_nonnull (mmalloc (md, MIB (1)));
  heap_end (md);
  return md;
}

static int
knows_birth (const char *name)
{
  struct statx st;
  return statx (AT_FDCWD, temp_path (name), 0, STATX_BTIME, &st) == 0
         && (st.stx_mask & STATX_BTIME) != 0;
}

START_TEST (same_file)
{
  void *md = new_file ("heap");
  ck_assert_uint_eq (opening ("heap", md, 0), 0);
  if (!knows_birth ("heap"))
    {
      skip ("the file system knows no time of birth");
      return;
    }
  for (dev_t other = 1; other < 5; other++)
    ck_assert_uint_eq (opening ("heap", md, other), 0);
}
END_TEST

/* With all blocks, so that their number does not give it away.  */
static void
copy (const char *from, const char *to)
{
  char command[3 * PATH_MAX];
  snprintf (command, sizeof command, "cat '%s' > '%s'",
            temp_path (from), temp_path (to));
  ck_assert_int_eq (system (command), 0);
}

START_TEST (copies)
{
  void *md = new_file ("heap");
  copy ("heap", "copy");
  ck_assert_uint_gt (opening ("copy", md, 0), 0);
  ck_assert_uint_eq (opening ("copy", md, 0), 0);
  ck_assert_uint_eq (opening ("heap", md, 0), 0);
}
END_TEST

/* The first file of each of two file systems has one inode number in both.  */
START_TEST (copies_with_its_inode)
{
  struct stat st[2];
  void *md = NULL;
  if (!mount_small ("ext4", 64))
    return;
  md = new_file ("disk/heap");
  ck_assert_int_eq (stat (temp_path ("disk/heap"), &st[0]), 0);
  copy ("disk/heap", "kept");
  unmount_small ();
  ck_assert_int_eq (rename (temp_path ("disk"), temp_path ("was")), 0);
  ck_assert_int_eq (unlink (temp_path ("image")), 0);
  if (!mount_small ("ext4", 64))
    return;
  copy ("kept", "disk/heap");
  ck_assert_int_eq (stat (temp_path ("disk/heap"), &st[1]), 0);
  ck_assert_uint_eq (st[0].st_ino, st[1].st_ino);
  ck_assert_uint_gt (opening ("disk/heap", md, 0), 0);
  ck_assert_uint_eq (opening ("disk/heap", md, 1), 0);
  unmount_small ();
}
END_TEST

/* Older versions wrote the device number.  */
START_TEST (file_of_an_older_version)
{
  struct disk_super s;
  struct stat st;
  void *md = new_file ("heap");
  int fd = open (temp_path ("heap"), O_RDWR);
  ck_assert_int_eq (fstat (fd, &st), 0);
  for (off_t at = 0; at <= MM_PAGE; at += MM_PAGE)
    {
      ck_assert_int_eq (pread (fd, &s, sizeof s, at), sizeof s);
      s.dev = st.st_dev;
      s.sum = super_sum (&s);
      ck_assert_int_eq (pwrite (fd, &s, sizeof s, at), sizeof s);
    }
  close (fd);
  ck_assert_uint_eq (opening ("heap", md, 0), 0);
  if (knows_birth ("heap"))
    ck_assert_uint_eq (opening ("heap", md, 1), 0);
}
END_TEST

RUN_TESTS (same_file, copies, copies_with_its_inode, file_of_an_older_version)
