/* Which names a root may have.  */

#include "support.h"

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

RUN_ON_EACH_HEAP (longest, too_long, bad, any_bytes,
                  forgetting_an_unknown_name)
