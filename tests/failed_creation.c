/* A creation that fails leaves no file where there was none, and an empty file
   as it was; and it takes no file away that somebody else makes meanwhile.  */

#include "support.h"

#include <stdbool.h>

#include "qalloc.h"

enum { ROUNDS = 40, MAKERS = 3 };

/* The openings that fail, number N, of file PATH; NULL.  */
static const char *
fails (int n, const char *path)
{
  static const size_t page = 4096;
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  const char *why = mmalloc_strerror (NULL);
  void *md = NULL;
  switch (n)
    {
    case 0:
      opt.reserve = (size_t) 65 << 40;
      break;
    case 1:
      opt.maximum = 1000;
      break;
    case 2:
      opt.base = (void *) (page + 1);
      break;
    case 3:
      opt.base = (void *) ((uintptr_t) &page & ~(page - 1));
      break;
    case 4:
      opt.base = (void *) 0xffff800000000000;
      break;
    case 5:
      opt.maximum = KIB (300);
      opt.streams = 512;
      break;
    case 6:
      md = mmalloc_region_open (path, MMALLOC_CREATE, NULL, 63, NULL, NULL);
      return md == NULL ? mmalloc_strerror (NULL) : NULL;
    case 7:
      md = qalloc_makedynmap (4096, NULL, path, 1);
      return md == NULL ? qalloc_strerror () : NULL;
    default:
      md = qalloc_makestatmap (MIB (1), (void *) 4097, path, 8, 1);
      return md == NULL ? qalloc_strerror () : NULL;
    }
  md = mmalloc_open (path, MMALLOC_CREATE, &opt);
  why = mmalloc_strerror (NULL);
  return md == NULL ? why : NULL;
}
enum { FAILURES = 9 };

START_TEST (no_file_is_left)
{
  const char *path = temp_heap_path ();
  for (int n = 0; n < FAILURES; n++)
    {
      ck_assert_msg (fails (n, path) != NULL, "case %d does not fail", n);
      ck_assert_msg (access (path, F_OK) != 0, "case %d leaves a file", n);
      file_write (path, "", 0);
      ck_assert_msg (fails (n, path) != NULL, "case %d does not fail", n);
      ck_assert_int_eq (file_length (path), 0);
      ck_assert_int_eq (unlink (path), 0);
    }
}
END_TEST

static bool
is_link (const char *path)
{
  struct stat status;
  return lstat (path, &status) == 0 && S_ISLNK (status.st_mode);
}

/* The name may be a symbolic link that leads to nothing yet, by others.  It
   stays, and the file that it leads to goes.  */
START_TEST (links_lead_to_no_file)
{
  char path[PATH_MAX], end[PATH_MAX], whole[PATH_MAX];
  snprintf (path, sizeof path, "%s", temp_heap_path ());
  snprintf (end, sizeof end, "%s", temp_path ("sub/end"));
  snprintf (whole, sizeof whole, "%s", temp_path ("whole"));
  ck_assert_int_eq (mkdir (temp_path ("sub"), 0700), 0);
  ck_assert_int_eq (symlink ("end", temp_path ("sub/near")), 0);
  ck_assert_int_eq (symlink ("sub/near", whole), 0);
  ck_assert_int_eq (symlink (whole, path), 0);
  for (int n = 0; n < FAILURES; n++)
    {
      ck_assert_msg (fails (n, path) != NULL, "case %d does not fail", n);
      ck_assert_msg (access (end, F_OK) != 0, "case %d leaves a file", n);
      ck_assert_msg (is_link (path) && is_link (whole)
                       && is_link (temp_path ("sub/near")),
                     "case %d takes a link away", n);
      file_write (end, "", 0);
      ck_assert_msg (fails (n, path) != NULL, "case %d does not fail", n);
      ck_assert_int_eq (file_length (end), 0);
      ck_assert_int_eq (unlink (end), 0);
    }
  heap_end (heap_file ());
  ck_assert (is_link (path));
  ck_assert_int_gt (file_length (end), 0);
  heap_end (mmalloc_open (end, 0, NULL));
  /* In a circle.  */
  ck_assert_int_eq (unlink (path), 0);
  ck_assert_int_eq (symlink ("whole", path), 0);
  ck_assert_int_eq (unlink (whole), 0);
  ck_assert_int_eq (symlink ("heap", whole), 0);
  must_fail (NULL, mmalloc_open (path, MMALLOC_CREATE, NULL), ELOOP);
}
END_TEST

/* Rights that do not suffice to open the new file once more.  */
START_TEST (no_right_to_use_it)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.mode = 0444;
  ck_assert_int_eq (chmod (support_test_dir, 0777), 0);
  become_nobody ();
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt),
             EACCES);
  ck_assert_int_ne (access (temp_heap_path (), F_OK), 0);
}
END_TEST

START_TEST (file_size_limit)
{
  struct rlimit r = { KIB (16), KIB (16) };
  ck_assert_int_eq (setrlimit (RLIMIT_FSIZE, &r), 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             EFBIG);
  ck_assert_int_ne (access (temp_heap_path (), F_OK), 0);
}
END_TEST

/* What was a heap before it failed stays: another version, for instance.  */
START_TEST (heaps_stay)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.app_version = 1;
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
  opt.app_version = 2;
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, &opt),
             EPROTO);
  must_fail (NULL, mmalloc_open (temp_heap_path (),
                                 MMALLOC_CREATE | MMALLOC_EXCL, NULL), EEXIST);
  heap_end (heap_file ());
}
END_TEST

/* One that makes heaps beside others that cannot, and want none as he makes.
   */
static void
maker (void *number)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  bool makes = number == NULL;
  opt.maximum = makes ? 0 : 1000;
  opt.app_version = makes ? 0 : 1;
  for (int round = 0; round < ROUNDS; round++)
    {
      char name[20];
      snprintf (name, sizeof name, "heap%d", round);
      baton_wait (baton);
      void *md = mmalloc_open (temp_path (name), MMALLOC_CREATE, &opt);
      ck_assert_msg ((md != NULL) == makes, "%s", mmalloc_strerror (NULL));
      if (makes)
        ck_assert_int_eq (mmalloc_setkey (md, 0, md), 1);
      ck_assert_ptr_null (mmalloc_detach (md));
      baton_pass (baton);
    }
}

START_TEST (others_make_it)
{
  struct child child[MAKERS];
  for (size_t n = 0; n < MAKERS; n++)
    child[n] = child_start (maker, (void *) n);
  for (int round = 0; round < ROUNDS; round++)
    {
      char name[20];
      snprintf (name, sizeof name, "heap%d", round);
      for (size_t n = 0; n < MAKERS; n++)
        baton_pass (child[(n + (size_t) round) % MAKERS].baton);
      for (size_t n = 0; n < MAKERS; n++)
        baton_wait (child[n].baton);
      void *md = mmalloc_open (temp_path (name), 0, NULL);
      ck_assert_msg (md != NULL, "round %d: %s", round,
                     mmalloc_strerror (NULL));
      ck_assert_ptr_eq (mmalloc_getkey (md, 0), md);
      heap_end (md);
      ck_assert_int_eq (unlink (temp_path (name)), 0);
    }
  for (size_t n = 0; n < MAKERS; n++)
    ck_assert_int_eq (child_end (child[n]), 0);
}
END_TEST

RUN_TESTS (no_file_is_left, links_lead_to_no_file, no_right_to_use_it,
           file_size_limit, heaps_stay, others_make_it)
