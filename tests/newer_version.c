/* A heap made by a newer version of the library, or on another kind of
   machine, is refused with ENOTSUP and left alone.  */

#include "support.h"

/* The superblock, in the first two pages: magic (8 bytes), version of the
   format (4), a word that shows the byte order (4).  */
enum { COPIES = 2, COPY_SIZE = 4096, VERSION_AT = 8 };
static unsigned char head[16];

static void
patch_and_try (void)
{
  int fd = open (temp_heap_path (), O_RDWR);
  for (int copy = 0; copy < COPIES; copy++)
    ck_assert_int_eq (pwrite (fd, head, 16, copy * COPY_SIZE), 16);
  uint64_t sum = file_sum (temp_heap_path ());
  must_fail (NULL, mmalloc_attach (fd, NULL), ENOTSUP);
  static const int flags[] = { 0, MMALLOC_CREATE, MMALLOC_RDONLY,
                               MMALLOC_PRIVATE, MMALLOC_ELSEWHERE };
  for (int i = 0; i < 5; i++)
    must_fail (NULL, mmalloc_open (temp_heap_path (), flags[i], NULL),
               ENOTSUP);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
  close (fd);
}

static void
read_head (void)
{
  heap_end (heap_file ());
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (pread (fd, head, 16, 0), 16);
  close (fd);
}

START_TEST (newer)
{
  read_head ();
  uint32_t version;
  memcpy (&version, head + VERSION_AT, 4);
  for (int i = 0; i < 3; i++)
    {
      version += 2 + (uint32_t) i * 1000;
      memcpy (head + VERSION_AT, &version, 4);
      patch_and_try ();
    }
}
END_TEST

/* Every number has its bytes the other way round.  */
START_TEST (other_byte_order)
{
  read_head ();
  static const int start[] = { 0, 8, 12, 16 };
  for (int w = 0; w < 3; w++)
    for (int i = start[w], j = start[w + 1] - 1; i < j; i++, j--)
      {
        unsigned char byte = head[i];
        head[i] = head[j];
        head[j] = byte;
      }
  patch_and_try ();
}
END_TEST

RUN_TESTS (newer, other_byte_order)
