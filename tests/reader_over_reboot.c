/* A reader keeps the file open while its writer dies, the machine's boot
   identifier becomes another one, and new writers come: it goes on reading, and
   nobody cuts off the file under it.  */

#include "support.h"

enum { BLOCKS = 300, SUPER = 152, SUM = 16, BOOT_ID = 136 };

struct link
{
  struct link *next;
  size_t tag;
  char contents[KIB (10)];
};

static void
add (void *md)
{
  struct link *top = mmalloc_getkey (md, 0);
  for (size_t i = 0; i < BLOCKS; i++)
    {
      struct link *link = mmalloc (md, sizeof *link);
      ck_assert_ptr_nonnull (link);
      link->next = top;
      link->tag = top == NULL ? 0 : top->tag + 1;
      block_fill (link->contents, sizeof link->contents, link->tag);
      ck_assert_int_eq (mmalloc_setkey (md, 0, link), 1);
      top = link;
    }
}

static size_t
count (void *md)
{
  size_t n = 0;
  for (struct link *l = mmalloc_getkey (md, 0); l != NULL; l = l->next, n++)
    must (block_holds (l->contents, sizeof l->contents, l->tag));
  return n;
}

static void
writer (void *unused)
{
  (void) unused;
  add (heap_file ());
  baton_pass (baton);
  baton_wait (baton);
}

static void
reader (void *unused)
{
  (void) unused;
  void *md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  for (size_t n = BLOCKS; n <= 3 * BLOCKS; n += BLOCKS)
    {
      ck_assert_uint_eq (count (md), n);
      heap_is_whole (md);
      baton_pass (baton);
      baton_wait (baton);
    }
  /* Half of it is free now, and still there to be looked at.  */
  ck_assert_uint_eq (count (md), 0);
  heap_is_whole (md);
  ck_assert_uint_eq (heap_stats (md).blocks_live, 0);
  for (char *p = md; p < (char *) md + heap_stats (md).length; p += KIB (4))
    (void) *(volatile char *) p;
  heap_end (md);
}

/* FNV-1a, as mmalloc(5) says, with the sum itself taken as 0.  */
static uint64_t
super_sum_of (const unsigned char *super)
{
  uint64_t sum = UINT64_C (0xcbf29ce484222325);
  for (size_t i = 0; i < SUPER; i++)
    sum = (sum ^ (i >= SUM && i < SUM + 8 ? 0 : super[i]))
          * UINT64_C (0x100000001b3);
  return sum;
}

static void
reboot_in_between (void)
{
  unsigned char super[SUPER];
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_ge (fd, 0);
  for (off_t at = 0; at < 8192; at += 4096)
    {
      uint64_t sum;
      ck_assert_int_eq (pread (fd, super, SUPER, at), SUPER);
      memcpy (&sum, super + SUM, sizeof sum);
      ck_assert_uint_eq (sum, super_sum_of (super));
      memset (super + BOOT_ID, 0x5a, 16);
      sum = super_sum_of (super);
      memcpy (super + SUM, &sum, sizeof sum);
      ck_assert_int_eq (pwrite (fd, super, SUPER, at), SUPER);
    }
  close (fd);
}

START_TEST (goes_on_reading)
{
  struct child first = child_start (writer, NULL);
  baton_wait (first.baton);
  struct child onlooker = child_start (reader, NULL);
  baton_wait (onlooker.baton);
  ck_assert_int_eq (kill (first.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (first), 128 + SIGKILL);
  reboot_in_between ();

  void *md = heap_file ();
  for (int i = 0; i < 2; i++)
    {
      add (md);
      baton_pass (onlooker.baton);
      baton_wait (onlooker.baton);
    }
  struct link *next, *l = mmalloc_getkey (md, 0);
  ck_assert_int_eq (mmalloc_setkey (md, 0, NULL), 1);
  for (; l != NULL; l = next)
    {
      next = l->next;
      mfree (md, l);
    }
  off_t length = file_length (temp_heap_path ());
  ck_assert_int_gt (mmalloc_trim (md), (ptrdiff_t) MIB (6));
  ck_assert_int_eq (file_length (temp_heap_path ()), length);
  baton_pass (onlooker.baton);
  ck_assert_int_eq (child_end (onlooker), 0);
  ck_assert_int_ge (mmalloc_trim (md), 0);
  ck_assert_int_lt (file_length (temp_heap_path ()), length / 2);
  heap_end (md);
}
END_TEST

RUN_TESTS (goes_on_reading)
