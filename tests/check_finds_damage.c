/* mmalloc_check: finds nothing in a heap that is whole, and something in one
   whose file was damaged behind its back; it changes nothing, and no damaged
   file brings the process down.  */

#include "support.h"

enum { N = 400, TRIES = 200 };

static void *md;
static size_t found;

static void
note (const char *finding, const void *where, void *arg)
{
  (void) where;
  ck_assert_ptr_nonnull (finding);
  ck_assert_int_ne (finding[0], '\0');
  ++*(size_t *) arg;
}

static void
make (void)
{
  md = heap_file ();
  for (size_t i = 0; i < N; i++)
    {
      char *block = mmalloc (md, 16 + i * 10);
      must (block != NULL);
      memset (block, 0x55, 16 + i * 10);
      if (i % 3 == 0)
        mfree (md, block);
    }
  ck_assert_int_eq (mmalloc_setroot (md, "root", md), 0);
  heap_end (md);
}

/* Overwrite some bytes of the file that are not all zero and no block's.  */
static void
damage (uint64_t *state)
{
  unsigned char bytes[8];
  int fd = open (temp_path ("copy"), O_RDWR);
  off_t length = file_length (temp_path ("copy"));
  off_t at;
  do
    {
      at = (off_t) random_below (state, (uint64_t) length / 8) * 8;
      ck_assert_int_eq (pread (fd, bytes, 8, at), 8);
    }
  while (block_is_zero (bytes, 8) || bytes[0] == 0x55);
  bytes[random_below (state, 8)] ^= (unsigned char) (1 + *state % 255);
  ck_assert_int_eq (pwrite (fd, bytes, 8, at), 8);
  close (fd);
}

static void
look (void *unused)
{
  (void) unused;
  size_t findings = 0;
  misuse_record ();
  uint64_t sum = file_sum (temp_path ("copy"));
  void *heap = mmalloc_open (temp_path ("copy"), MMALLOC_RDONLY, NULL);
  if (heap == NULL)
    _exit (1);
  int result = mmalloc_check (heap, note, &findings);
  ck_assert_int_ge (result, 0);
  ck_assert_uint_eq (findings, (size_t) result);
  ck_assert_ptr_null (mmalloc_detach (heap));
  ck_assert_uint_eq (file_sum (temp_path ("copy")), sum);
  _exit (result == 0 ? 0 : 1);
}

START_TEST (damaged_files)
{
  uint64_t state = random_seed ();
  static char bytes[MIB (4)];
  make ();
  int fd = open (temp_heap_path (), O_RDONLY);
  ssize_t n = read (fd, bytes, sizeof bytes);
  ck_assert_int_eq (n, file_length (temp_heap_path ()));
  close (fd);
  for (int i = 0; i < TRIES; i++)
    {
      file_write (temp_path ("copy"), bytes, (size_t) n);
      if (i > 0)
        damage (&state);
      int status = child_run (look, NULL);
      ck_assert_msg (status <= 1, "status %d", status);
      ck_assert (i > 0 || status == 0);
      found += status == 1;
    }
  /* Most words are hints, or bits of which each value has a meaning.  */
  printf ("%zu of %d damaged files noticed\n", found, TRIES);
  ck_assert_uint_ge (found, TRIES / 20);
}
END_TEST

RUN_TESTS (damaged_files)
