/* A process with little address space maps a heap as far as it can; the heap
   grows beyond that before the others know of the newcomer, who is refused
   then, with words, gets no memory that it cannot see, and leaves no entry.  A
   reader who cannot follow is told why.  */

#include "inside.h"

static void *md;

/* Lets the others grow the heap when the newcomer has mapped it and comes to
   the witness, of the second entry.  */
static int
late_fcntl (int fd, int what, ...)
{
  static bool grown;
  va_list ap;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  if (is_lock_of (l, MM_BYTE_ALIVE + 1) && !grown)
    {
      grown = true;
      baton_pass (baton);
      baton_wait (baton);
    }
  return real_fcntl (fd, what, l);
}

static void
newcomer (void *unused)
{
  (void) unused;
  baton_wait (baton);
  address_space_allow (MIB (200));
  os.fcntl = late_fcntl;
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), ENOMEM);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "grew beyond"));
}

START_TEST (refused)
{
  if (under_a_tool ())
    {
      skip ("the tool needs all address space");
      return;
    }
  md = heap_file ();
  heap_end (md);
  struct child child = child_start (newcomer, NULL);
  ck_assert_ptr_eq (mmalloc_open (temp_heap_path (), 0, NULL), md);
  /* It stops behind the door, where nobody else comes in.  */
  baton_pass (child.baton);
  baton_wait (child.baton);
  char *block = mmalloc (md, MIB (300));
  ck_assert_ptr_nonnull (block);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_int_eq (entries_in_use (md), 1);
  /* The newcomer is no limit any more.  */
  ck_assert_ptr_nonnull (mmalloc (md, MIB (300)));
  block[MIB (300) - 1] = 1;
  heap_end (md);
}
END_TEST

static int mmap_error;

static void *
failing_mmap (void *at, size_t len, int prot, int flags, int fd, off_t off)
{
  if (mmap_error == 0 || fd < 0)
    return mmap (at, len, prot, flags, fd, off);
  errno = mmap_error;
  return MAP_FAILED;
}

/* The reader's calls fail with CODE and words with WORD in them, when the file
   says that its length is LENGTH, and more cannot be mapped because of ERR.  */
static void
cannot_follow (size_t length, int err, int code, const char *word)
{
  struct mmalloc_stats stats;
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (pwrite (fd, &length, sizeof length, MM_OFF_ROOT),
                    sizeof length);
  mmap_error = err;
  ck_assert_int_eq (mmalloc_stats (md, &stats), -1);
  ck_assert_int_eq (errno, code);
  ck_assert_msg (strstr (mmalloc_strerror (md), word) != NULL, "%s",
                 mmalloc_strerror (md));
  must_give (mmalloc_check (md, NULL, NULL), -1, code);
  close (fd);
}

START_TEST (reader_is_told_why)
{
  char number[40];
  heap_end (heap_file ());
  md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  struct heap *h = heap_of (md);
  size_t length = off_length (h), least = MIB (1);
  ck_assert_uint_gt (h->file.mapped, least);
  ck_assert_int_eq (munmap ((char *) md + least, h->file.mapped - least), 0);
  h->file.mapped = least;
  os.mmap = failing_mmap;
  cannot_follow (2 * least, EAGAIN, EAGAIN, "locked");
  cannot_follow (2 * least, ENOMEM, ENOMEM, "grew beyond");
  cannot_follow (2 * least, EADDRINUSE, ENOMEM, "grew beyond");
  cannot_follow (2 * least, EBADF, EBADF, "descriptor");
  snprintf (number, sizeof number, "%zu at most", h->capacity);
  cannot_follow (h->capacity + 1, 0, EBADMSG, number);
  snprintf (number, sizeof number, "%zu bytes", h->capacity + 1);
  cannot_follow (h->capacity + 1, 0, EBADMSG, number);
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (pwrite (fd, &length, sizeof length, MM_OFF_ROOT),
                    sizeof length);
  close (fd);
  heap_end (md);
}
END_TEST

RUN_TESTS (refused, reader_is_told_why)
