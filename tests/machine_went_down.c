/* Whether the machine went down while a heap was in use: known before it is
   opened, to whoever opens it, to all who join, also after a kill, until
   somebody has closed it.  */

#include "inside.h"

/* The file is found by another boot.  */
static void
boot (void)
{
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_ge (fd, 0);
  for (off_t at = 0; at < 2 * MM_PAGE; at += MM_PAGE)
    {
      struct disk_super s;
      ck_assert_int_eq (pread (fd, &s, sizeof s, at), sizeof s);
      s.boot_id[3] ^= 0x5a;
      s.sum = super_sum (&s);
      ck_assert_int_eq (pwrite (fd, &s, sizeof s, at), sizeof s);
    }
  close (fd);
}

static int
probed (void)
{
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_probe (temp_heap_path (), -1, &info), 0);
  return info.went_down;
}

static int
told (void *md)
{
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  ck_assert (info.went_down == 0 || info.went_down == 1);
  return info.went_down;
}

static void *
open_as (int flags)
{
  void *md = mmalloc_open (temp_heap_path (), flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  return md;
}

/* What a process is told that opens the file with FLAGS; it is killed then.  */
static void
open_and_die (void *flags)
{
  int down = told (open_as ((int) (size_t) flags));
  _exit (down == 0 ? 10 : 11);
}

static int
told_to_child (int flags)
{
  int result = child_run (open_and_die, (void *) (size_t) flags);
  ck_assert (result == 10 || result == 11);
  return result - 10;
}

static void
all_say (int down)
{
  ck_assert_int_eq (probed (), down);
  ck_assert_int_eq (told_to_child (MMALLOC_RDONLY), down);
  ck_assert_int_eq (told_to_child (MMALLOC_ELSEWHERE), down);
  ck_assert_int_eq (told_to_child (MMALLOC_PRIVATE), down);
  ck_assert_int_eq (probed (), down);
}

/* A new heap, closed.  */
static void
closed (void)
{
  heap_end (heap_file ());
}

START_TEST (clean)
{
  closed ();
  all_say (0);
  boot ();
  all_say (0);
  void *md = open_as (0);
  ck_assert_int_eq (told (md), 0);
  ck_assert_int_eq (told_to_child (0), 0);
  ck_assert_int_eq (probed (), 0);
  heap_end (md);
  all_say (0);
}
END_TEST

START_TEST (killed)
{
  closed ();
  ck_assert_int_eq (told_to_child (0), 0);
  all_say (0);
  ck_assert_int_eq (told_to_child (0), 0);
  heap_end (open_as (0));
  all_say (0);
}
END_TEST

START_TEST (went_down)
{
  closed ();
  told_to_child (0);
  boot ();
  all_say (1);
  void *md = open_as (0);
  ck_assert_int_eq (told (md), 1);
  ck_assert_int_eq (told_to_child (0), 1);
  ck_assert_int_eq (told_to_child (MMALLOC_RDONLY), 1);
  ck_assert_int_eq (probed (), 1);
  heap_end (md);
  all_say (0);
  md = open_as (0);
  ck_assert_int_eq (told (md), 0);
  heap_end (md);
}
END_TEST

/* Who opened the heap first was killed before he had it checked.  */
START_TEST (went_down_and_killed)
{
  closed ();
  told_to_child (0);
  boot ();
  ck_assert_int_eq (told_to_child (0), 1);
  all_say (1);
  ck_assert_int_eq (told_to_child (0), 1);
  heap_end (open_as (0));
  all_say (0);
  ck_assert_int_eq (told_to_child (0), 0);
  boot ();
  all_say (1);
}
END_TEST

/* A reader has the file before and after a writer of this boot opens it.  */
static void
read_on (void *down)
{
  void *md = open_as (MMALLOC_RDONLY);
  for (int i = 0; i < 2; i++)
    {
      ck_assert_int_eq (told (md), down != NULL);
      baton_pass (baton);
      baton_wait (baton);
    }
}

START_TEST (reader)
{
  closed ();
  for (size_t down = 0; down < 2; down++)
    {
      boot ();
      struct child child = child_start (read_on, (void *) down);
      baton_wait (child.baton);
      ck_assert_int_eq (told_to_child (0), (int) down);
      baton_pass (child.baton);
      baton_wait (child.baton);
      baton_pass (child.baton);
      ck_assert_int_eq (child_end (child), 0);
    }
}
END_TEST

START_TEST (in_memory)
{
  ck_assert_int_eq (told (NULL), 0);
}
END_TEST

RUN_TESTS (clean, killed, went_down, went_down_and_killed, reader, in_memory)
