/* Which names a root may have.  */

#include "support.h"

#include <fcntl.h>

static int thing, other;

START_TEST (longest)
{
  void *md = heap_new (_i);
  char name[1003];
  memset (name, 'n', sizeof name);
  name[1000] = '\0';
  ck_assert_int_eq (mmalloc_setroot (md, name, &thing), 0);
  ck_assert_ptr_eq (mmalloc_getroot (md, name), &thing);
  name[999] = '\0';
  ck_assert_ptr_null (mmalloc_getroot (md, name));
  ck_assert_int_eq (mmalloc_setroot (md, name, &other), 0);
  ck_assert_ptr_eq (mmalloc_getroot (md, name), &other);
  name[999] = 'n';
  ck_assert_ptr_eq (mmalloc_getroot (md, name), &thing);
  heap_end (md);
}
END_TEST

START_TEST (too_long)
{
  void *md = heap_new (_i);
  char name[5001];
  memset (name, 'n', sizeof name);
  name[5000] = '\0';
  must_give (mmalloc_setroot (md, name, &thing), -1, ENAMETOOLONG);
  name[1001] = '\0';
  must_give (mmalloc_setroot (md, name, &thing), -1, ENAMETOOLONG);
  must_keep_errno (ck_assert_ptr_null (mmalloc_getroot (md, name)));
  heap_end (md);
}
END_TEST

START_TEST (bad)
{
  void *md = heap_new (_i);
  must_give (mmalloc_setroot (md, "", &thing), -1, EINVAL);
  must_give (mmalloc_setroot (md, NULL, &thing), -1, EINVAL);
  must_keep_errno (ck_assert_ptr_null (mmalloc_getroot (md, "")));
  must_keep_errno (ck_assert_ptr_null (mmalloc_getroot (md, "none")));
  heap_end (md);
}
END_TEST

START_TEST (any_bytes)
{
  static const char *const names[] = {
    "a", "A", "aa", "ab", "\x01", "\xff\xfe", "with blank", "line\nbreak",
    "gr\xc3\xbc\xc3\x9f", "/", "a/b", "%s%n"
  };
  enum { N = sizeof names / sizeof *names };
  static char things[N];
  void *md = heap_new (_i);
  for (int i = 0; i < N; i++)
    ck_assert_int_eq (mmalloc_setroot (md, names[i], &things[i]), 0);
  for (int i = 0; i < N; i++)
    ck_assert_ptr_eq (mmalloc_getroot (md, names[i]), &things[i]);
  heap_end (md);
}
END_TEST

START_TEST (forgetting_an_unknown_name)
{
  void *md = heap_new (_i);
  must_keep_errno (ck_assert_int_eq (mmalloc_setroot (md, "none", NULL), 0));
  heap_end (md);
}
END_TEST

/* A name that was damaged is not just another one.  */
START_TEST (damaged)
{
  static const char name[] = "a name that is nowhere else";
  char bytes[1 << 16];
  if (_i != IN_FILE)
    return;
  void *md = heap_new (_i);
  ck_assert_int_eq (mmalloc_setroot (md, name, mmalloc (md, 8)), 0);
  heap_end (md);
  int fd = open (temp_heap_path (), O_RDWR);
  must (fd >= 0);
  ssize_t n = 0;
  off_t at = -1;
  for (off_t from = 0; at < 0; from += (off_t) sizeof bytes / 2)
    {
      n = pread (fd, bytes, sizeof bytes, from);
      must (n > 0);
      char *found = memmem (bytes, (size_t) n, name, sizeof name - 1);
      at = found != NULL ? from + (found - bytes) : -1;
    }
  must (pwrite (fd, "A", 1, at) == 1);
  close (fd);
  md = heap_file ();
  must_fail (md, mmalloc_getroot (md, name), EBADMSG);
  ck_assert_int_gt (mmalloc_check (md, NULL, NULL), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

RUN_ON_EACH_HEAP (damaged, longest, too_long, bad, any_bytes,
                  forgetting_an_unknown_name)
