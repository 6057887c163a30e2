/* Memory that is given back in a heap with checkpoints: the file has it until a
   checkpoint no longer needs it, and nobody reads the one before.  */

#include "logged.h"

/* What is given back: blocks of whole slices, parts of pages, in heaps of both
   sizes; a long block; the end of one.  */
static const struct form
{
  int size;
  size_t n, bytes, spared, least;
} forms[] = {
  { SMALL, 60, KIB (128), 10, MIB (6) },
  { LARGE, 60, KIB (128), 10, MIB (6) },
  { SMALL, 1000, 5000, 13, MIB (3) },
  { LARGE, 1000, 5000, 13, MIB (3) },
  { LARGE, 2, MIB (40), 2, MIB (38) },
  { LARGE, 2, MIB (60), 1, MIB (25) }
};
enum { FORMS = sizeof forms / sizeof *forms, SHRINKS = 5 };
static char **list;
static const struct form *form;

static void
list_open (int i)
{
  form = &forms[i];
  os.open = open_undurable;
  log_size = MIB (2);
  md = open_logged (form->size);
  list = mmalloc_getroot (md, "list");
  if (list != NULL)
    return;
  list = mcalloc (md, form->n, sizeof *list);
  must (list != NULL && mmalloc_setroot (md, "list", list) == 0);
  for (size_t k = 0; k < form->n; k++)
    {
      must ((list[k] = mmalloc (md, form->bytes)) != NULL);
      block_fill (list[k], form->bytes, k);
    }
  checkpoint ();
}

/* Block K is one of those that go, or in part.  */
static bool
goes (size_t k)
{
  return k % form->spared != 0 || form == &forms[SHRINKS];
}

static void
list_free (void)
{
  for (size_t k = 0; k < form->n; k++)
    if (form == &forms[SHRINKS])
      must ((list[k] = mrealloc (md, list[k], MIB (33))) != NULL);
    else if (goes (k))
      {
        mfree (md, list[k]);
        list[k] = NULL;
      }
}

/* Everything that is in the list is what it was; ALL: and nothing has gone.  */
static void
list_holds (bool all)
{
  list = mmalloc_getroot (md, "list");
  for (size_t k = 0; k < form->n; k++)
    {
      size_t bytes = all || form != &forms[SHRINKS] ? form->bytes : MIB (33);
      must (!all || list[k] != NULL);
      must (list[k] == NULL || block_holds (list[k], bytes, k));
    }
  ck_assert_int_eq (mmalloc_check (md, NULL, 0), 0);
}

static off_t
disk (void)
{
  return file_disk (temp_path (file));
}

/* It goes at the checkpoint, and not before; a rollback has all of it.  */
START_TEST (with_the_checkpoint)
{
  list_open (_i);
  off_t before = disk ();
  list_free ();
  ck_assert_int_ge (mmalloc_trim (md), 0);
  ck_assert_int_ge (disk (), before);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  list_holds (true);
  list_free ();
  mmalloc_trim (md);
  checkpoint ();
  ck_assert_int_le (disk (), before - (off_t) form->least);
  list_holds (false);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  list_holds (false);
  heap_end (md);
  list_open (_i);
  list_holds (false);
  heap_end (md);
}
END_TEST

/* What goes is there again for who allocates, and no contents come back.  */
START_TEST (and_is_used_again)
{
  list_open (_i);
  list_free ();
  mmalloc_trim (md);
  checkpoint ();
  for (size_t k = 0; k < form->n; k++)
    if (list[k] == NULL)
      {
        must ((list[k] = mcalloc (md, form->bytes, 1)) != NULL);
        must (block_is_zero (list[k], form->bytes));
        block_fill (list[k], form->bytes, k);
      }
  checkpoint ();
  list_holds (false);
  mmalloc_check (md, NULL, 0);
  heap_end (md);
  list_open (_i);
  list_holds (false);
  heap_end (md);
}
END_TEST

/* Not while somebody looks at a checkpoint that has it, but then.  */
START_TEST (not_beside_readers)
{
  list_open (_i);
  off_t before = disk ();
  reader_comes ();
  list_free ();
  mmalloc_trim (md);
  checkpoint ();
  ck_assert_int_ge (disk (), before);
  char *view = mmalloc_open (temp_path (file), MMALLOC_ELSEWHERE, NULL);
  must (view != NULL && mmalloc_check (view, NULL, 0) == 0);
  must (mmalloc_detach (view) == NULL);
  reader_goes ();
  must (mmalloc (md, 100) != NULL);
  checkpoint ();
  ck_assert_int_le (disk (), before - (off_t) form->least);
  list_holds (false);
  heap_end (md);
}
END_TEST

/* Given back again, and taken again, when the checkpoint has been captured.  */
static void
free_and_trim (void *arg)
{
  (void) arg;
  list_free ();
  must (mmalloc_trim (md) >= 0);
}

static void
take_again (void *arg)
{
  (void) arg;
  for (size_t k = 0; k < form->n; k++)
    if (list[k] == NULL)
      {
        must ((list[k] = mmalloc (md, form->bytes)) != NULL);
        block_fill (list[k], form->bytes, k);
      }
    else if (form == &forms[SHRINKS])
      {
        must ((list[k] = mrealloc (md, list[k], form->bytes)) != NULL);
        block_fill (list[k], form->bytes, k);
      }
}

static void
free_after_capture (void *arg)
{
  list_open ((int) (uintptr_t) arg);
  char *p = mmalloc (md, KIB (70));
  must (p != NULL);
  mfree (md, p);
  must (mmalloc_trim (md) >= 0);
  must (mmalloc_checkpoint_resume (md, free_and_trim, NULL) == 0);
  _exit (7);
}

START_TEST (freed_after_the_capture)
{
  ck_assert_int_eq (child_run (free_after_capture, (void *) (uintptr_t) _i), 7);
  list_open (_i);
  list_holds (true);
  heap_end (md);
}
END_TEST

START_TEST (given_after_the_capture)
{
  list_open (_i);
  off_t before = disk ();
  char *p = mmalloc (md, KIB (70));
  must (p != NULL);
  mfree (md, p);
  must (mmalloc_trim (md) >= 0);
  must (mmalloc_checkpoint_resume (md, free_and_trim, NULL) == 0);
  checkpoint ();
  ck_assert_int_le (disk (), before - (off_t) form->least);
  heap_end (md);
}
END_TEST

START_TEST (taken_after_the_capture)
{
  list_open (_i);
  off_t full = disk () - (off_t) MIB (1);
  list_free ();
  mmalloc_trim (md);
  ck_assert_int_eq (mmalloc_checkpoint_resume (md, take_again, NULL), 0);
  ck_assert_int_ge (disk (), full);
  list_holds (form != &forms[SHRINKS]);
  checkpoint ();
  ck_assert_int_ge (disk (), full);
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  list_holds (form != &forms[SHRINKS]);
  heap_end (md);
}
END_TEST

/* What a record has that still counts does not come back in a place that was given
   back since, and taken again.  */
static void
use_give_and_take (void *arg)
{
  list_open ((int) (uintptr_t) arg);
  for (size_t k = 0; k < form->n; k++)
    for (size_t at = 128; at + 64 <= form->bytes; at += MM_PAGE)
      memset (list[k] + at, 0xaa, 64);
  must (mmalloc_checkpoint (md) == 0);
  list_free ();
  must (mmalloc_trim (md) >= 0 && mmalloc_checkpoint (md) == 0);
  for (size_t k = 0; k < form->n; k++)
    if (list[k] == NULL)
      must ((list[k] = mcalloc (md, form->bytes, 1)) != NULL);
    else if (form == &forms[SHRINKS])
      {
        must ((list[k] = mrealloc (md, list[k], form->bytes)) != NULL);
        memset (list[k] + MIB (33), 0, form->bytes - MIB (33));
      }
  must (mmalloc_checkpoint (md) == 0);
  _exit (7);
}

START_TEST (old_contents_stay_away)
{
  size_t from = _i == SHRINKS ? MIB (33) : 0;
  ck_assert_int_eq (child_run (use_give_and_take, (void *) (uintptr_t) _i), 7);
  list_open (_i);
  for (size_t k = 0; k < form->n; k++)
    must (!goes (k) || block_is_zero (list[k] + from, form->bytes - from));
  heap_end (md);
}
END_TEST

/* The disk knows of it before a record counts on it, in this process or in the
   next one; once is enough.  */
static int n_syncs;
static int
counts_fdatasync (int fd)
{
  n_syncs++;
  return fdatasync (fd);
}

static void
give_and_die (void *arg)
{
  list_open ((int) (uintptr_t) arg);
  list_free ();
  must (mmalloc_trim (md) >= 0);
  must (mmalloc_checkpoint (md) == 0);
  _exit (7);
}

static void
one_sync_then_none (void)
{
  os.fdatasync = counts_fdatasync;
  for (int i = 0; i < 3; i++)
    {
      n_syncs = 0;
      ++*list[0];
      checkpoint ();
      ck_assert_int_eq (n_syncs, i == 0);
    }
  os.fdatasync = fdatasync;
}

START_TEST (is_on_the_disk_in_time)
{
  list_open (_i);
  list_free ();
  mmalloc_trim (md);
  checkpoint ();
  one_sync_then_none ();
  heap_end (md);
  must (unlink (temp_path (file)) == 0);
  ck_assert_int_eq (child_run (give_and_die, (void *) (uintptr_t) _i), 7);
  list_open (_i);
  one_sync_then_none ();
  heap_end (md);
}
END_TEST

/* Killed before it went: a trim finds it.  */
static int
no_holes (int fd, int mode, off_t at, off_t n)
{
  if ((mode & FALLOC_FL_PUNCH_HOLE) != 0)
    return errno = EOPNOTSUPP, -1;
  return fallocate (fd, mode, at, n);
}

START_TEST (a_trim_finds_it)
{
  list_open (_i);
  off_t before = disk ();
  os.fallocate = no_holes;
  list_free ();
  mmalloc_trim (md);
  checkpoint ();
  os.fallocate = fallocate;
  ck_assert_int_ge (disk (), before);
  heap_end (md);
  list_open (_i);
  mmalloc_trim (md);
  must (mmalloc (md, 100) != NULL);
  checkpoint ();
  ck_assert_int_le (disk (), before - (off_t) form->least);
  list_holds (false);
  heap_end (md);
}
END_TEST

RUN_KINDS (FORMS, with_the_checkpoint, and_is_used_again, not_beside_readers,
           freed_after_the_capture, given_after_the_capture,
           taken_after_the_capture, old_contents_stay_away,
           is_on_the_disk_in_time, a_trim_finds_it)
