/* mmalloc_region_open: map files without a heap, for libraries that build
   their own structures.  */

#include "mounts.h"

enum { MAGIC = 0x7e57, SIZE = 40000 };

struct region
{
  uint64_t magic;
  struct region *base;
  uint64_t words[100];
};

static int calls[3];

static int
prepare (void *at, size_t size, enum mmalloc_region_why why,
         const char **reason, void *arg)
{
  struct region *region = at;
  calls[why]++;
  ck_assert_uint_eq (size, SIZE);
  ck_assert_ptr_eq (region->base, region);
  if (why == MMALLOC_REGION_NEW)
    {
      must (block_is_zero (region->words, SIZE - 16));
      region->words[0] = *(uint64_t *) arg;
      region->magic = MAGIC;
    }
  if (region->words[0] == *(uint64_t *) arg)
    return 0;
  *reason = "another number";
  return EPROTO;
}

static uint64_t number = 77;

/* What FN may do, and what it is told if it tries more.  */
static int
works_within (void *at, size_t size, enum mmalloc_region_why why,
              const char **reason, void *heap)
{
  (void) size, (void) reason;
  void *scratch = mmalloc (NULL, 100);
  ck_assert_ptr_nonnull (scratch);
  mfree (NULL, scratch);
  mfree (heap, mmalloc (heap, 5000));
  must_fail (NULL, mmalloc_open (temp_path ("more"), MMALLOC_CREATE, NULL),
             EDEADLK);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL),
                                 "mmalloc_region_open"));
  must_fail (NULL, mmalloc_open (NULL, 0, NULL), EDEADLK);
  must_fail (NULL, mmalloc_region_open (temp_path ("more"), MMALLOC_CREATE,
                                        NULL, SIZE, works_within, heap),
             EDEADLK);
  must_give (mmalloc_region_close (at), -1, EDEADLK);
  errno = 0;
  ck_assert_ptr_eq (mmalloc_detach (heap), heap);
  ck_assert_int_eq (errno, EDEADLK);
  calls[why]++;
  return 0;
}

START_TEST (calls_within)
{
  void *heap = heap_file ();
  void *region = mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                      NULL, SIZE, works_within, heap);
  ck_assert_ptr_nonnull (region);
  ck_assert_int_eq (calls[MMALLOC_REGION_NEW], 1);
  ck_assert_int_ne (access (temp_path ("more"), F_OK), 0);
  heap_end (heap_new (ANONYMOUS));
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  heap_end (heap);
}
END_TEST

static struct region *
region_open (int flags, void *base, size_t size)
{
  return mmalloc_region_open (temp_path ("region"), flags, base, size,
                              prepare, &number);
}

static void
join (void *where)
{
  ck_assert_ptr_eq (region_open (0, NULL, 0), where);
  ck_assert_int_eq (calls[MMALLOC_REGION_JOIN], 1);
  ((struct region *) where)->words[5] = 55;
  ck_assert_int_eq (mmalloc_region_close (where), 0);
}

START_TEST (made_found_shared)
{
  struct region *region = region_open (MMALLOC_CREATE, NULL, SIZE);
  ck_assert_msg (region != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_int_eq (calls[MMALLOC_REGION_NEW], 1);
  ck_assert_int_eq (file_length (temp_path ("region")), SIZE);
  ck_assert_int_ge (file_disk (temp_path ("region")), SIZE);
  ck_assert_ptr_eq (region_open (0, NULL, SIZE), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_JOIN], 1);
  region->words[4] = 44;
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_uint_eq (region->words[4], 44);
  ck_assert_int_eq (mmalloc_region_sync (region, SIZE), 0);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  must_give (mmalloc_region_close (region), -1, EINVAL);

  ck_assert_ptr_eq (region_open (MMALLOC_CREATE, NULL, SIZE), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_FIRST], 1);
  ck_assert_uint_eq (region->words[4], 44);
  calls[MMALLOC_REGION_JOIN] = 0;
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (region_open (0, NULL, 0), region);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

static void
visit (void *where)
{
  baton_wait (baton);
  join (where);
}

START_TEST (joined_by_another_process)
{
  void *base = mmalloc_findbase (MIB (1));
  struct child child = child_start (visit, base);
  struct region *region = region_open (MMALLOC_CREATE, base, SIZE);
  ck_assert_ptr_eq (region, base);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_uint_eq (region->words[5], 55);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

static void
stay (void *where)
{
  baton_pass (baton);
  baton_wait (baton);
  ((struct region *) where)->words[6] = 66;
  ck_assert_int_eq (mmalloc_region_close (where), 0);
}

/* A fork child is a user of its own: who comes when the parent has left is not
   the first one.  */
START_TEST (left_to_a_fork_child)
{
  struct region *region = region_open (MMALLOC_CREATE, NULL, SIZE);
  ck_assert_ptr_nonnull (region);
  struct child child = child_start (stay, region);
  baton_wait (child.baton);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (region_open (0, NULL, 0), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_FIRST], 0);
  ck_assert_int_eq (calls[MMALLOC_REGION_JOIN], 1);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_uint_eq (region->words[6], 66);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (region_open (0, NULL, 0), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_FIRST], 1);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

static int hold[2] = { -1, -1 };

/* In a fork child, before the library notices: it is not scheduled for long.
   */
static void
come_late (void)
{
  char c;
  if (hold[0] < 0)
    return;
  /* If the parent is gone, this is, too.  */
  close (hold[1]);
  if (read (hold[0], &c, 1) != 1)
    _exit (1);
}

/* Before the library has its handlers.  */
__attribute__ ((constructor)) static void
have_late_children (void)
{
  pthread_atfork (NULL, NULL, come_late);
}

/* The parent leaves before the child can have become a user of its own: it is
   one all the same.  But it stands in no door of a heap.  */
START_TEST (left_to_a_late_child)
{
  void *heap = heap_file ();
  struct region *region = region_open (MMALLOC_CREATE, NULL, SIZE);
  ck_assert_ptr_nonnull (region);
  ck_assert_int_eq (pipe (hold), 0);
  struct child child = child_start (stay, region);
  heap_end (heap);
  ck_assert_ptr_eq (heap_file (), heap);
  heap_end (heap);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (region_open (0, NULL, 0), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_FIRST], 0);
  ck_assert_int_eq (calls[MMALLOC_REGION_JOIN], 1);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_int_eq (write (hold[1], "!", 1), 1);
  hold[0] = -1;
  baton_wait (child.baton);
  ck_assert_ptr_eq (region_open (0, NULL, 0), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_JOIN], 2);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_uint_eq (region->words[6], 66);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (region_open (0, NULL, 0), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_FIRST], 1);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

START_TEST (refused)
{
  must_fail (NULL, region_open (0, NULL, SIZE), ENOENT);
  must_fail (NULL, region_open (MMALLOC_CREATE, (void *) 16, SIZE), EINVAL);
  struct region *region = region_open (MMALLOC_CREATE, NULL, SIZE);
  must_fail (NULL, region_open (MMALLOC_CREATE | MMALLOC_EXCL, NULL, SIZE),
             EEXIST);
  must_fail (NULL, region_open (0, NULL, SIZE + 1), EINVAL);
  number++;
  must_fail (NULL, region_open (0, NULL, SIZE), EPROTO);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "another number"));
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  must_fail (NULL, region_open (0, NULL, SIZE), EPROTO);
  number--;
  must_fail (NULL, region_open (MMALLOC_CREATE | MMALLOC_EXCL, NULL, SIZE),
             EEXIST);
  must_fail (NULL, region_open (0, NULL, SIZE / 2), EINVAL);
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  char *there = mmap (region, page, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1,
                      0);
  ck_assert_ptr_eq (there, region);
  memset (there, 7, page);
  must_fail (NULL, region_open (0, NULL, SIZE), EADDRINUSE);
  for (size_t i = 0; i < page; i++)
    must (there[i] == 7);
  munmap (there, page);
  ck_assert_ptr_eq (region_open (0, NULL, SIZE), region);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

/* By a path whose locks do not meet the other's.  */
static void
comes_by_another_path (void *where)
{
  ck_assert_int_eq (mmalloc_region_close (where), 0);
  overlay_by ("upper");
  number++;
  must_fail (NULL, region_open (MMALLOC_CREATE, NULL, SIZE), EPROTO);
  number--;
  must_fail (NULL, region_open (MMALLOC_CREATE | MMALLOC_EXCL, NULL, SIZE),
             EEXIST);
  must_fail (NULL, region_open (0, NULL, SIZE * 2), EINVAL);
  must_fail (NULL, region_open (MMALLOC_CREATE, NULL, SIZE / 2), EINVAL);
  struct region *region = region_open (MMALLOC_CREATE, NULL, SIZE);
  ck_assert_ptr_eq (region, where);
  ck_assert_uint_eq (region->words[4], 44);
  region->words[5] = 55;
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}

/* Whoever thinks himself alone there, or is refused, leaves the file as it is
   to those who use it.  */
START_TEST (by_two_paths)
{
  if (!overlay_enter ())
    return;
  struct region *region = region_open (MMALLOC_CREATE, NULL, SIZE);
  ck_assert_ptr_nonnull (region);
  region->words[4] = 44;
  off_t disk = file_disk (temp_path ("region"));
  ck_assert_int_eq (child_run (comes_by_another_path, region), 0);
  ck_assert_int_eq (file_length (temp_path ("region")), SIZE);
  ck_assert_int_eq (file_disk (temp_path ("region")), disk);
  ck_assert_uint_eq (region->words[4], 44);
  ck_assert_uint_eq (region->words[5], 55);
  ck_assert_ptr_eq (region_open (0, NULL, SIZE), region);
  ck_assert_int_eq (calls[MMALLOC_REGION_JOIN], 1);
  overlay_by ("upper");
  must_fail (NULL, region_open (0, NULL, SIZE), EADDRINUSE);
  ck_assert_uint_eq (region->words[5], 55);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

START_TEST (misuse_reported_for_the_caller)
{
  misuse_record ();
  mmalloc_misuse ("their_free", NULL, &number, "is no block");
  misuse_was ("their_free", &number);
  ck_assert_str_eq (misuse_seen.what, "is no block");
}
END_TEST

RUN_TESTS (calls_within, made_found_shared, joined_by_another_process,
           left_to_a_fork_child, left_to_a_late_child, refused,
           by_two_paths, misuse_reported_for_the_caller)
