/* What the core's functions need is looked after in the library of the tests:
   each rule that is broken is named, with the function, and ends the
   process.  */

#include "inside.h"

static struct heap *
any_heap (void)
{
  void *md = heap_file ();
  return heap_of (md);
}

/* Run BROKEN, which breaks a rule; the line that it dies with.  */
static void
must_name (void (*broken) (void *), const char *function)
{
  char line[512] = "", expected[80];
  unlink (temp_path ("stderr"));
  ck_assert_int_eq (child_run (broken, NULL), 128 + SIGABRT);
  int fd = open (temp_path ("stderr"), O_RDONLY);
  ck_assert_int_gt (read (fd, line, sizeof line - 1), 0);
  close (fd);
  snprintf (expected, sizeof expected, "libmmalloc: %s needs: ", function);
  ck_assert_msg (strstr (line, expected) != NULL, "%s, not: %s", line,
                 expected);
}

static void
note_stderr (void)
{
  int fd = open (temp_path ("stderr"), O_WRONLY | O_CREAT | O_TRUNC, 0666);
  dup2 (fd, STDERR_FILENO);
}

#define BREAK(name, ...) \
  static void \
  name (void *unused) \
  { \
    struct heap *h = any_heap (); \
    (void) unused; \
    (void) h; \
    note_stderr (); \
    __VA_ARGS__; \
  }

BREAK (no_heap_lock, run_index_locked (h, 0))
BREAK (no_grow_lock, grow_make_chunk (h, 1))
BREAK (heap_before_grow, must (lock_heap (h)); must (lock_grow (h)))
BREAK (heap_twice, must (lock_heap (h)); must (lock_heap (h)))
BREAK (heap_before_registry, must (lock_heap (h)); lock_registry ())
BREAK (registry_before_opening, lock_registry (); lock_opening ())
BREAK (grow_before_stream,
       must (lock_grow (h)); must (lock_stream (h, 1, true)))
BREAK (not_held, unlock_heap (h))
BREAK (grow_kept, must (lock_grow (h)); must (lock_heap (h)); unlock_grow (h))
BREAK (system_under_lock, must (lock_heap (h)); os_close (-1))
BREAK (punch_under_lock,
       must (lock_heap (h)); back_drop (h, off_slice (h, 0, 100), MM_SLICE))
BREAK (misuse_under_lock,
       must (lock_grow (h)); fail_misuse ("x", NULL, NULL, "y"))
BREAK (no_such_stream, off_stream (h, 0))
BREAK (stream_beyond, off_stream (h, h->super.n_streams + 1))
BREAK (chunk_beyond, off_record (h, h->n_chunks, 0))
BREAK (slice_beyond, off_record (h, 0, MM_CHUNK_SLICES + 1))
BREAK (number_beyond,
       off_numbered (h, slice_number (h->n_chunks, 1)))
BREAK (record_in_two_pages,
       root_write_locked ((struct disk_name *) (h->grid + MM_PAGE - 16), "x", 1,
                          0))

START_TEST (locks_and_their_order)
{
  must_name (no_heap_lock, "run_index_locked");
  must_name (no_grow_lock, "grow_make_chunk");
  must_name (heap_before_grow, "lock_grow");
  must_name (heap_twice, "lock_heap");
  must_name (heap_before_registry, "lock_registry");
  must_name (registry_before_opening, "lock_opening");
  must_name (grow_before_stream, "lock_stream");
  must_name (not_held, "unlock_heap");
  must_name (grow_kept, "unlock_grow");
}
END_TEST

START_TEST (no_system_call_under_the_heap_lock)
{
  must_name (system_under_lock, "os_hold_cancel");
  must_name (punch_under_lock, "back_zero");
  must_name (misuse_under_lock, "fail_misuse");
}
END_TEST

START_TEST (ranges)
{
  must_name (no_such_stream, "off_stream");
  must_name (stream_beyond, "off_stream");
  must_name (chunk_beyond, "off_record");
  must_name (slice_beyond, "off_record");
  must_name (number_beyond, "off_record");
  must_name (record_in_two_pages, "root_write_locked");
}
END_TEST

/* A head that has been OLD becomes NEW.  */
static uint64_t old_head, new_head;

static void
change_head (void *unused)
{
  struct heap *h = any_heap ();
  struct disk_slice *r = off_record (h, 0, slice_first_data (h, 0));
  (void) unused;
  note_stderr ();
  word_put (&r->head, old_head);
  head_set (r, new_head);
  _exit (0);
}

/* The states of the essay: from a row to a column.  */
START_TEST (transitions_of_heads)
{
  enum { FREE, ACTIVE, HELD, CLAIMED, OTHERS, CLASS, LARGE, ROOTS, N };
  const uint64_t head[N] = {
    [FREE] = 0,
    [ACTIVE] = page_head (HEAD_ACTIVE, 2, 3),
    [HELD] = page_head (HEAD_HELD, 2, 3),
    [CLAIMED] = page_head (HEAD_CLAIMED, 2, 3),
    [OTHERS] = page_head (HEAD_ACTIVE, 4, 3),
    [CLASS] = page_head (HEAD_HELD, 2, 5),
    [LARGE] = head_make (HEAD_LARGE, 0, 0, 0, 2),
    [ROOTS] = head_make (HEAD_ROOTS, 0, 0, 0, 1),
  };
  static const char *const legal[N] = {
    [FREE] = "11001011",
    [ACTIVE] = "00100000",
    [HELD] = "01111000",
    [CLAIMED] = "10100000",
    [OTHERS] = "00000000",
    [CLASS] = "00000100",
    [LARGE] = "10000010",
    [ROOTS] = "00000000",
  };
  for (int from = 0; from < N; from++)
    for (int to = 0; to < N; to++)
      {
        old_head = head[from];
        new_head = head[to];
        if (legal[from][to] == '1')
          ck_assert_msg (child_run (change_head, NULL) == 0, "%d to %d", from,
                         to);
        else
          must_name (change_head, "head_set");
      }
}
END_TEST

RUN_TESTS (locks_and_their_order, no_system_call_under_the_heap_lock, ranges,
           transitions_of_heads)
