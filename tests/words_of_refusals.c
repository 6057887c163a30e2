/* Every refusal says what was refused: the limit that was hit, by name, and the
   numbers that disagreed.  */

#include "support.h"

#include <stdbool.h>

#include "mounts.h"
#include "qalloc.h"

#ifndef MFD_HUGETLB
# define MFD_HUGETLB 4u
#endif

static bool
holds_words (const char *told, const char *const *words)
{
  for (; *words != NULL; words++)
    if (strstr (told, *words) == NULL)
      return false;
  return true;
}

/* CALL gives NULL and CODE, and TOLD has all of these words.  */
#define must_say(call, code, told, ...) \
  do \
    { \
      const char *words_[] = { __VA_ARGS__, NULL }; \
      errno = 0; \
      const void *got_ = (call); \
      int errno_ = errno; \
      ck_assert_msg (got_ == NULL && errno_ == (code), "%s: %p, errno %d: %s", \
                     #call, got_, errno_, told); \
      ck_assert_msg (holds_words (told, words_), "%s: %s", #call, told); \
    } \
  while (0)
#define heap_says(md, call, code, ...) \
  must_say (call, code, mmalloc_strerror (md), __VA_ARGS__)
#define map_says(call, code, ...) \
  must_say (call, code, qalloc_strerror (), __VA_ARGS__)

/* One that gives 0 for success.  */
static void *
as_pointer (int result)
{
  static char fine;
  return result == 0 ? &fine : NULL;
}

static void *
opened (int flags, struct mmalloc_options opt)
{
  return mmalloc_open (temp_heap_path (), flags, &opt);
}

#define OPTIONS(...) \
  opened (MMALLOC_CREATE, \
          (struct mmalloc_options) { .size = sizeof (struct mmalloc_options), \
                                     .fd = -1, __VA_ARGS__ })

static char *
number (char text[32], size_t n)
{
  snprintf (text, 32, "%zu", n);
  return text;
}

START_TEST (options)
{
  char page[32], size[32];
  number (page, (size_t) sysconf (_SC_PAGESIZE));
  number (size, sizeof (struct mmalloc_options));
  static char newer[1000] = { [700] = 1 };
  struct mmalloc_options opt = { .fd = -1 };
  heap_says (NULL, opened (MMALLOC_CREATE, opt), EINVAL, "size of 0, not ",
             size, "MMALLOC_OPTIONS_INIT");
  opt.size = sizeof newer;
  memcpy (newer, &opt, sizeof opt);
  heap_says (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE,
                                 (void *) newer),
             EINVAL, "byte 700 of 1000", size, "MMALLOC_OPTIONS_INIT");
  heap_says (NULL, OPTIONS (.streams = 513), EINVAL, "512 streams", "513");
  heap_says (NULL, OPTIONS (.reserve = (size_t) 65 << 40), EINVAL,
             "70368744177664", "71468255805440");
  heap_says (NULL, OPTIONS (.reserve = 1000), EINVAL, "262144", "1000");
  heap_says (NULL, OPTIONS (.maximum = 1001), EINVAL, "262144", "1001");
  heap_says (NULL, OPTIONS (.maximum = KIB (300), .streams = 512), EINVAL,
             "512 streams");
  heap_says (NULL, OPTIONS (.base = (void *) 4099), EINVAL, "0x1003", page);
  heap_says (NULL, OPTIONS (.base = (void *) 0xffff800000000000), ENOMEM,
             "address space", "0xffff800000000000");
  heap_says (NULL, opened (0x600, (struct mmalloc_options)
                                  MMALLOC_OPTIONS_INIT),
             EINVAL, "0x600");
  heap_says (NULL, opened (MMALLOC_EXCL, (struct mmalloc_options)
                                         MMALLOC_OPTIONS_INIT),
             EINVAL, "MMALLOC_EXCL", "MMALLOC_CREATE");
}
END_TEST

START_TEST (versions)
{
  char *md = OPTIONS (.app_version = 0x1234);
  ck_assert_ptr_nonnull (md);
  heap_says (NULL, OPTIONS (.app_version = 0x77), EPROTO, "0x1234", "0x77");
  heap_end (md);
  heap_says (NULL, OPTIONS (.app_version = 0x78), EPROTO, "0x1234", "0x78");
  char whole[32];
  number (whole, (size_t) file_length (temp_heap_path ()));
  ck_assert_int_eq (truncate (temp_heap_path (), 65536), 0);
  heap_says (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBADMSG,
             "truncated", "65536", whole);
}
END_TEST

START_TEST (calls)
{
  char text[32];
  void *md = heap_limited (IN_FILE, MIB (2));
  char *block = mmalloc (md, 100);
  heap_says (md, mmalloc (md, MIB (3)), ENOSPC, "3145728", "maximum",
             "2097152");
  heap_says (md, mcalloc (md, any_size (SIZE_MAX), 2), ENOMEM,
             number (text, SIZE_MAX), "at most");
  heap_says (md, mrealloc (md, block, MIB (4)), ENOSPC, "4194304", "2097152");
  heap_says (md, as_pointer (mmalloc_to (md, (void **) block, MIB (5))), ENOSPC,
             "5242880", "2097152");
  heap_says (md, mmemalign (md, any_size (48), 10), EINVAL, "48",
             "1073741824");
  heap_says (md, as_pointer (mmalloc_setkey (md, 16, md) != 1), EINVAL, "16",
             "15");
  char name[1002];
  memset (name, 'x', sizeof name);
  name[1001] = '\0';
  heap_says (md, as_pointer (mmalloc_setroot (md, name, md)), ENAMETOOLONG,
             "1000", "1001");
  heap_says (md, as_pointer (mmalloc_setroot (md, "", md)), EINVAL, "not 0");
  heap_says (md, mmalloc_makeroot (md, name, 8, NULL, NULL), ENAMETOOLONG,
             "1001");
  heap_says (md, mmalloc_makeroot (md, "big", MIB (3), NULL, NULL), ENOSPC,
             "3145728", "2097152");
  heap_says (md, mmalloc_local (md, 20000), EINVAL, "16384", "20000");
  heap_says (NULL, mmalloc ((void *) 4096, 1), EINVAL, "0x1000");
  heap_says (NULL, mmalloc_findbase (any_size (SIZE_MAX / 2)), ENOMEM,
             number (text, SIZE_MAX / 2));
  heap_says (NULL, mmalloc (NULL, any_size (SIZE_MAX / 2 - 4096)), ENOMEM,
             number (text, SIZE_MAX / 2 - 4096), "at most");
  heap_end (md);
}
END_TEST

START_TEST (descriptors)
{
  int fd = open (temp_path ("direct"), O_RDWR | O_CREAT | O_DIRECT, 0600);
  if (fd >= 0)
    heap_says (NULL, mmalloc_attach (fd, NULL), EINVAL, "O_DIRECT");
  else
    skip ("the file system knows no O_DIRECT");
  close (fd);
  heap_end (heap_file ());
  fd = open (temp_heap_path (), O_PATH);
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = fd;
  heap_says (NULL, mmalloc_open (NULL, MMALLOC_RDONLY, &opt), EINVAL,
             "O_PATH");
  close (fd);
  fd = memfd_create ("sealed", MFD_ALLOW_SEALING);
  ck_assert_int_eq (fcntl (fd, F_ADD_SEALS, F_SEAL_GROW), 0);
  heap_says (NULL, mmalloc_attach (fd, NULL), EPERM, "sealed");
  close (fd);
  fd = memfd_create ("huge", MFD_HUGETLB);
  if (fd >= 0)
    heap_says (NULL, mmalloc_attach (fd, NULL), ENOTSUP, "hugetlbfs");
  else
    skip ("the system has no hugetlbfs");
  close (fd);
  fd = open (temp_heap_path (), O_RDONLY);
  heap_says (NULL, mmalloc_attach (fd, NULL), EACCES, "reading and writing");
  close (fd);
}
END_TEST

/* As many heaps as the process may have.  */
START_TEST (too_many_heaps)
{
  struct rlimit r = { 50, 50 };
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &r), 0);
  char name[20];
  void *md;
  int n = 0;
  do
    snprintf (name, sizeof name, "heap%d", n);
  while ((md = mmalloc_open (temp_path (name), MMALLOC_CREATE, NULL)) != NULL
         && n++ < 50);
  ck_assert_int_lt (n, 50);
  heap_says (NULL, mmalloc_open (temp_path (name), MMALLOC_CREATE, NULL),
             EMFILE, "50", "RLIMIT_NOFILE");
  ck_assert_int_ne (access (temp_path (name), F_OK), 0);
}
END_TEST

START_TEST (file_sizes)
{
  void *md = heap_file ();
  struct rlimit r = { MIB (2), MIB (2) };
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &r), 0);
  heap_says (md, mmalloc (md, MIB (40)), EFBIG, "RLIMIT_FSIZE", "2097152");
  heap_says (NULL, mmalloc_region_open (temp_path ("map"), MMALLOC_CREATE, NULL,
                                        MIB (3), NULL, NULL),
             EFBIG, "RLIMIT_FSIZE", "2097152", "3145728");
  map_says (qalloc_makestatmap (MIB (3), NULL, temp_path ("map"), 8, 1), EFBIG,
            "RLIMIT_FSIZE", "2097152", "3145728");
  heap_end (md);
}
END_TEST

START_TEST (address_space)
{
  if (under_a_tool ())
    {
      skip ("the tool needs the address space");
      return;
    }
  ck_assert_ptr_nonnull (mmalloc_strerror (NULL));
  address_space_allow (MIB (1));
  char limit[32];
  struct rlimit r;
  ck_assert_int_eq (getrlimit (RLIMIT_AS, &r), 0);
  number (limit, r.rlim_cur);
  heap_says (NULL, mmalloc_region_open (temp_path ("map"), MMALLOC_CREATE, NULL,
                                        MIB (3), NULL, NULL),
             ENOMEM, "RLIMIT_AS", limit, "3145728");
}
END_TEST

/* The file system is full, and the heap is not; then the other way round.  */
START_TEST (full_file_system)
{
  if (!mount_small ("tmpfs", 4))
    return;
  const char *path = temp_path ("disk/heap");
  void *md = mmalloc_open (path, MMALLOC_CREATE, NULL);
  ck_assert_ptr_nonnull (md);
  heap_says (md, mmalloc (md, MIB (8)), ENOSPC, "file system", "8388608");
  heap_says (NULL, mmalloc_region_open (temp_path ("disk/map"), MMALLOC_CREATE,
                                        NULL, MIB (8), NULL, NULL),
             ENOSPC, "file system", "838860");
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.maximum = opt.initial = MIB (9);
  heap_says (NULL, mmalloc_open (temp_path ("disk/more"), MMALLOC_CREATE, &opt),
             ENOSPC, "file system", "94371");
  ck_assert_int_ne (access (temp_path ("disk/more"), F_OK), 0);
  /* What was refused before is not what is refused now.  */
  heap_says (md, mmalloc (md, GIB (64)), ENOSPC, "maximum", "68719476736");
  heap_end (md);
  unmount_small ();
}
END_TEST

START_TEST (maps)
{
  const char *items = temp_path ("items.map"), *texts = temp_path ("texts.map");
  void *stat = qalloc_makestatmap (1 << 20, NULL, items, 24, 4);
  void *dyn = qalloc_makedynmap (1 << 20, NULL, texts, 4);
  ck_assert_ptr_nonnull (stat);
  ck_assert_ptr_nonnull (dyn);
  for (int open = 1; open >= 0; open--)
    {
      map_says (qalloc_makestatmap (1 << 19, NULL, items, 24, 4), EINVAL,
                "1048576", "524288");
      map_says (qalloc_makestatmap (1 << 20, NULL, items, 32, 4), EINVAL, "24",
                "32");
      map_says (qalloc_makestatmap (1 << 20, NULL, items, 24, 5), EINVAL,
                "4 streams", "5");
      map_says (qalloc_makedynmap (1 << 20, NULL, texts, 7), EINVAL,
                "4 streams", "7");
      map_says (qalloc_makedynmap (1 << 20, NULL, items, 4), EINVAL,
                "a dynamic map was asked for", "has a static map");
      map_says (qalloc_makestatmap (1 << 20, NULL, texts, 24, 4), EINVAL,
                "a static map was asked for", "has a dynamic map");
      heap_says (NULL, mmalloc_open (items, 0, NULL), EINVAL, "heap");
      if (open)
        {
          map_says (qalloc_dynmalloc (stat, 8), EINVAL, "static", "dynamic");
          map_says (qalloc_malloc (dyn, MIB (3)), ENOSPC, "3145728", "1048576");
          map_says (qalloc_calloc (stat, 5, 5), EINVAL, "24", "25");
          map_says (qalloc_realloc (NULL, stat, 26), EINVAL, "24", "26");
          map_says (qalloc_calloc (stat, any_size (SIZE_MAX), 3), ENOMEM,
                    "overflows", " 3 bytes");
          ck_assert_int_eq (qalloc_close (stat), 0);
          ck_assert_int_eq (qalloc_close (dyn), 0);
        }
    }
  ck_assert_int_eq (truncate (items, 65536), 0);
  map_says (qalloc_loadmap (items), EBADMSG, "65536", "1048576");
  heap_end (heap_file ());
  map_says (qalloc_makestatmap (1 << 20, NULL, temp_heap_path (), 8, 1), EINVAL,
            "a static map was asked for", "heap", "0x0");
  map_says (qalloc_loadmap (temp_heap_path ()), EINVAL, "dynamic map", "heap",
            "0x0", "0x6420636f6c6c6171");
  file_write (temp_path ("junk"), "junkjunk", 8);
  map_says (qalloc_makestatmap (8, NULL, temp_path ("junk"), 8, 1), EINVAL,
            "no room for an item of 8 bytes", "file of 8 bytes");
  map_says (qalloc_makestatmap (1 << 20, NULL, temp_path ("junk"), 8, 1),
            EINVAL, "a static map was asked for", "0x6b6e756a6b6e756a");
}
END_TEST

START_TEST (new_maps)
{
  const char *path = temp_path ("new.map");
  map_says (qalloc_makestatmap (-5, NULL, path, 8, 1), EINVAL, "-5");
  map_says (qalloc_makedynmap (-6, NULL, path, 1), EINVAL, "-6");
  map_says (qalloc_makestatmap (1 << 20, NULL, path, 8, 70000), EINVAL,
            "70000", "65535");
  map_says (qalloc_makedynmap (1 << 20, NULL, path, 600), EINVAL, "600", "512");
  map_says (qalloc_makedynmap (1024, NULL, path, 1), EINVAL, "262144", "1024");
  map_says (qalloc_makestatmap (100, NULL, path, 90, 1), EINVAL, "100", "90");
  map_says (qalloc_makestatmap (1 << 20, (void *) 0x123, path, 8, 1), EINVAL,
            "0x123");
  map_says (qalloc_makestatmap (1 << 20, NULL, NULL, 8, 1), EINVAL,
            "file name");
  ck_assert_int_ne (access (path, F_OK), 0);
  void *map = qalloc_makestatmap (4096, NULL, path, 64, 1);
  size_t n = 0;
  char count[32];
  while (qalloc_malloc (map, 64) != NULL)
    n++;
  map_says (qalloc_malloc (map, 64), ENOSPC, number (count, n));
  ck_assert_int_eq (qalloc_close (map), 0);
}
END_TEST

RUN_TESTS (options, versions, calls, descriptors, too_many_heaps, file_sizes,
           address_space, full_file_system, maps, new_maps)
