/* After a power cut each page of the file is as it was at some moment since the
   last sync.  Blocks that were live then, and were left alone since, are as
   they were, whatever the mix; and either the heap is refused, or the check
   finds the damage, or the heap can be used without harm to them.  */

#define INSIDE_DAMAGED 1
#include "inside.h"

enum { OLD = 300, MOMENTS = 6, MIXES = 40, NEW = 150 };

static void *md, *old[OLD], *later[NEW];
static uint64_t chance;
static char *moment[MOMENTS];
static size_t length[MOMENTS], longest;

static size_t
old_size (size_t i)
{
  return i % 30 == 0 ? 40000 + i * 100 : 10 + i * 31 % 4000;
}

/* Keep what is in the file PATH as moment N.  */
static void
keep (int n, const char *path)
{
  int fd = open (path, O_RDONLY);
  ck_assert_int_ge (fd, 0);
  length[n] = (size_t) file_length (path);
  moment[n] = malloc (length[n]);
  ck_assert_ptr_nonnull (moment[n]);
  ck_assert_int_eq (pread (fd, moment[n], length[n], 0), (ssize_t) length[n]);
  close (fd);
  longest = length[n] > longest ? length[n] : longest;
}

static const char *
moment_path (int n)
{
  char name[20];
  snprintf (name, sizeof name, "moment%d", n);
  return temp_path (name);
}

/* Allocate and free, leaving the old blocks alone.  */
static void
go_on (size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      size_t at = random_below (&chance, NEW);
      size_t size = random_below (&chance, 20) == 0
                    ? random_below (&chance, 100000)
                    : random_below (&chance, 5000);
      mfree (md, later[at]);
      later[at] = mmalloc (md, size + 1);
      must (later[at] != NULL);
      memset (later[at], 0x77, size + 1);
    }
}

/* Each moment may be what the disk has got.  Ends without a detach.  */
static void
session (void *unused)
{
  (void) unused;
  md = heap_file ();
  for (int n = 1; n < MOMENTS; n++)
    {
      go_on (100);
      keep (n, temp_heap_path ());
      file_write (moment_path (n), moment[n], length[n]);
      if (n == 3)
        ck_assert_int_ge (mmalloc_trim (md), 0);
    }
}

/* A file of pages of all moments, from another boot.  */
static void
mix (uint64_t seed)
{
  char *file = calloc (1, longest);
  ck_assert_ptr_nonnull (file);
  for (size_t at = 0; at < longest; at += MM_PAGE)
    {
      size_t n = random_below (&seed, MOMENTS);
      if (at + MM_PAGE <= length[n])
        memcpy (file + at, moment[n] + at, MM_PAGE);
    }
  for (size_t at = 0; at < 2 * MM_PAGE; at += MM_PAGE)
    {
      struct disk_super *s = (struct disk_super *) (void *) (file + at);
      memset (s->boot_id, 0x5a, sizeof s->boot_id);
      s->sum = super_sum (s);
    }
  file_write (temp_heap_path (), file, longest);
  free (file);
}

static int
old_hold (void)
{
  for (size_t i = 0; i < OLD; i++)
    if (!block_holds (old[i], old_size (i), i)
        || mmalloc_usable_size (md, old[i]) < old_size (i))
      return 0;
  return 1;
}

enum { REFUSED = 1, FOUND = 2, USED = 3, HARM = 4 };

static void
after_the_cut (void *checks)
{
  misuse_record ();
  md = mmalloc_open (temp_heap_path (), 0, NULL);
  if (md == NULL)
    _exit (errno == EBADMSG ? REFUSED : HARM);
  if (!old_hold ())
    _exit (HARM);
  if (checks != NULL && mmalloc_check (md, NULL, NULL) != 0)
    _exit (FOUND);
  memset (later, 0, sizeof later);
  go_on (1000);
  _exit (old_hold () ? USED : HARM);
}

START_TEST (mixed_pages)
{
  int counts[5] = { 0 };
  chance = random_seed ();
  md = heap_file ();
  for (size_t i = 0; i < OLD; i++)
    {
      old[i] = mmalloc (md, old_size (i));
      must (old[i] != NULL);
      block_fill (old[i], old_size (i), i);
    }
  go_on (100);
  ck_assert_int_eq (mmalloc_sync (md), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
  keep (0, temp_heap_path ());
  ck_assert_int_eq (child_run (session, NULL), 0);
  for (int n = 1; n < MOMENTS; n++)
    keep (n, moment_path (n));
  for (uint64_t i = 0; i < MIXES; i++)
    {
      mix (chance + i);
      int what = child_run (after_the_cut, (void *) (size_t) (i % 2));
      ck_assert_int_gt (what, 0);
      ck_assert_int_lt (what, HARM);
      counts[what]++;
    }
  printf ("%d mixes: %d refused, %d found by the check, %d used\n", MIXES,
          counts[REFUSED], counts[FOUND], counts[USED]);
}
END_TEST

RUN_TESTS (mixed_pages)
