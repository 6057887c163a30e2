/* The files of heaps with checkpoints: copies that were made while somebody
   worked, superblocks and logs that are forged, torn or too short, what the system
   refuses, and what older programs have open.  */

#include "logged.h"

static uint64_t chance;

static void
look_for_long (void *flags)
{
  md = open_with (0, (int) (uintptr_t) flags);
  must (md != NULL);
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
  _exit (0);
}

static struct disk_super
super_of (const char *name)
{
  struct disk_super s[2];
  int fd = open (temp_path (name), O_RDONLY);
  must (pread (fd, &s[0], sizeof s[0], 0) == sizeof s[0]);
  must (pread (fd, &s[1], sizeof s[1], MM_PAGE) == sizeof s[1]);
  close (fd);
  return s[s[1].generation > s[0].generation];
}

/* Both superblocks of "heap" say what S does.  */
static void
super_forge (struct disk_super s)
{
  int fd = open (temp_heap_path (), O_RDWR);
  for (int i = 0; i < 2; i++)
    {
      s.generation++;
      s.sum = super_sum (&s);
      must (pwrite (fd, &s, sizeof s, (off_t) (s.generation & 1) * MM_PAGE)
            == sizeof s);
    }
  close (fd);
}


/* ---- Copies --------------------------------------------------------------- */

/* Copy the heap to "copy" from its beginning to its end, with checkpoints
   meanwhile, also while the log is read: the first is number N, the last is
   returned.  */
static uint64_t
copy_slowly (uint64_t n, uint64_t rate)
{
  char page[MM_PAGE];
  struct stat status;
  int from = open (temp_heap_path (), O_RDONLY);
  int to = open (temp_path ("copy"), O_RDWR | O_CREAT | O_TRUNC, 0600);
  must (from >= 0 && to >= 0 && fstat (from, &status) == 0);
  must (ftruncate (to, status.st_size) == 0);
  struct disk_super s = super_of ("heap");
  for (off_t at = 0; at < status.st_size; at += MM_PAGE)
    {
      bool log = (uint64_t) at >= s.log && (uint64_t) at < s.log + s.log_size;
      at = log ? at : lseek (from, at, SEEK_DATA);
      if (at < 0)
        break;
      if (random_below (&chance, log ? rate : 400) == 0)
        {
          store (n++);
          checkpoint ();
        }
      ssize_t got = pread (from, page, sizeof page, at);
      must (got > 0 && pwrite (to, page, (size_t) got, at) == got);
    }
  close (from);
  close (to);
  return n - 1;
}

/* No record that does not count is left in the log.  */
static void
nothing_behind (void)
{
  struct heap *h = heap_of (md);
  struct log_rest rest = { .behind = 0 };
  ck_assert_int_eq (log_ends (h, h->log->seq + 1, log_see, &rest), 0);
  ck_assert_uint_eq (rest.behind, 0);
}

/* Which contents heap HEAP has, of those from FROM to TO; -1: none.  */
static int64_t
which (char *heap, uint64_t from, uint64_t to)
{
  for (uint64_t n = from; n <= to; n++)
    if (has (heap, n))
      return (int64_t) n;
  return -1;
}

/* A writer who is killed while he writes contents ARG into the image.  */
static int until_death;
static ssize_t
write_and_die (int fd, const void *from, size_t n, off_t at)
{
  if (fd != heap_of (md)->log->fd && until_death-- == 0)
    _exit (7);
  return pwrite (fd, from, n, at);
}

static void
die_at_home (void *arg)
{
  md = open_logged (size_of_child);
  store ((uintptr_t) arg);
  os.pwrite = write_and_die;
  mmalloc_checkpoint (md);
  _exit (8);
}

/* Both halves of the log were written over while they were copied, behind their
   first pages: the ends of the records tell.  */
START_TEST (copied_between_ends)
{
  chance = random_seed ();
  md = open_logged (_i);
  store (1);
  checkpoint ();
  store (2);
  checkpoint ();
  struct child child = child_start (look_for_long, (void *) MMALLOC_RDONLY);
  baton_wait (child.baton);
  struct disk_super s = heap_of (md)->super;
  uint64_t image = heap_of (md)->log->seq, size = s.log_size;
  char *copy = malloc (size), *now = malloc (size);
  must (copy != NULL && now != NULL);
  int fd = open (temp_heap_path (), O_RDWR);
  must (pread (fd, copy, size, (off_t) s.log) == (ssize_t) size);
  for (uint64_t n = 3; n < 6; n++)
    {
      store (n);
      checkpoint ();
      ck_assert_uint_eq (heap_of (md)->super.log, s.log);
    }
  must (pread (fd, now, size, (off_t) s.log) == (ssize_t) size);
  for (int half = 0; half < 2; half++)
    memcpy (copy + (size_t) half * size / 2 + MM_PAGE,
            now + (size_t) half * size / 2 + MM_PAGE, size / 2 - MM_PAGE);
  heap_end (md);
  must (pwrite (fd, copy, size, (off_t) s.log) == (ssize_t) size);
  close (fd);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  md = open_with (0, MMALLOC_CHECKPOINT);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  ck_assert_uint_eq (heap_of (md)->log->seq, image);
  must (has (md, 2));
  nothing_behind ();
  heap_end (md);
  free (copy);
  free (now);
}
END_TEST

/* Who copies the file may have seen the superblock of each of them.  */
START_TEST (old_logs_stay)
{
  enum { LOGS = 4 };
  struct disk_super s[LOGS];
  struct disk_record first[LOGS], r;
  log_size = KIB (64);
  md = open_logged (_i);
  store (1);
  checkpoint ();
  struct child child = child_start (look_for_long, (void *) MMALLOC_RDONLY);
  baton_wait (child.baton);
  int fd = open (temp_heap_path (), O_RDONLY);
  char *large = mmalloc (md, MIB (8));
  must (large != NULL);
  for (int i = 0; i < LOGS; i++)
    {
      s[i] = heap_of (md)->super;
      must (pread (fd, &first[i], sizeof r, (off_t) s[i].log) == sizeof r);
      memset (large, i + 1, KIB (2048) << i > MIB (8) ? MIB (8)
                                                      : KIB (2048) << i);
      checkpoint ();
      ck_assert_uint_ne (heap_of (md)->super.log, i < 2 ? s[i].log : 0);
    }
  for (int i = 0; i < LOGS - 1; i++)
    if (s[i].log != s[i + 1].log)
      {
        must (pread (fd, &r, sizeof r, (off_t) s[i].log) == sizeof r);
        ck_assert_mem_eq (&r, &first[i], sizeof r);
      }
  close (fd);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  must (has (md, 1));
  heap_end (md);
}
END_TEST

/* Beside a reader it is one checkpoint, and can be worked with.  If the reader
   came when the last writer had left the image half written, it may be none, but
   is not taken for one.  */
START_TEST (copied_beside_reader)
{
  disk_is_fast ();
  chance = random_seed ();
  for (int round = 0; round < 8; round++)
    {
      file = "heap";
      unlink (temp_heap_path ());
      log_size = KIB (round % 2 != 0 ? 256 : 4096);
      md = open_logged (_i);
      uint64_t n = 1;
      for (uint64_t some = random_below (&chance, 6) + 1; some > 0; some--)
        {
          store (n++);
          checkpoint ();
        }
      bool half = round % 2 != 0;
      if (half)
        {
          heap_end (md);
          size_of_child = _i;
          until_death = (int) random_below (&chance, 400);
          ck_assert_int_ge (child_end (child_start (die_at_home,
                                                    (void *) (uintptr_t) n)),
                            7);
          n++;
        }
      struct child child = child_start (look_for_long,
                                        (void *) MMALLOC_RDONLY);
      baton_wait (child.baton);
      if (half)
        md = open_logged (_i);
      /* He may have died before it was committed.  */
      uint64_t least = half ? n - 2 : n - 1;
      uint64_t last = copy_slowly (n, round % 3 == 0 ? 3 : 100);
      baton_pass (child.baton);
      ck_assert_int_eq (child_end (child), 0);
      must (has (md, last));
      heap_end (md);
      file = "copy";
      char *view = open_with (0, MMALLOC_RDONLY);
      if (half && view == NULL)
        {
          ck_assert_int_eq (errno, EBADMSG);
          continue;
        }
      ck_assert_msg (view != NULL, "%s", mmalloc_strerror (NULL));
      ck_assert_int_ge (which (view, least, last), 0);
      ck_assert_ptr_null (mmalloc_detach (view));
      bool shared = random_below (&chance, 3) == 0;
      md = open_with (0, shared ? 0 : MMALLOC_CHECKPOINT);
      if (half && md == NULL)
        {
          ck_assert_int_eq (errno, EBADMSG);
          continue;
        }
      ck_assert_msg (md != NULL, "round %d: %s", round,
                     mmalloc_strerror (NULL));
      int64_t found = which (md, least, last);
      ck_assert_int_ge (found, 0);
      if (!shared)
        nothing_behind ();
      heap_end (md);
      if (shared)
        continue;
      /* It goes on: nothing of what it had before comes back.  */
      for (uint64_t k = 0; k < 8; k++)
        {
          md = open_logged (_i);
          must (has (md, k == 0 ? (uint64_t) found : last + k));
          store (last + k + 1);
          checkpoint ();
          store (last + k + 100);
          ck_assert_int_eq (mmalloc_rollback (md), 0);
          heap_end (md);
        }
    }
}
END_TEST

/* ---- Forged --------------------------------------------------------------- */

START_TEST (log_in_no_place)
{
  size_of_child = _i;
  log_size = KIB (_i == SMALL ? 64 : 1024);
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 3)), 7);
  struct disk_super right = super_of ("heap");
  const uint64_t c = right.capacity;
  const struct { uint64_t log, size; } wrong[] = {
    { right.log + 8, right.log_size },
    { 0, right.log_size },
    { MM_OFF_RECORDS, right.log_size },          /* in the first chunk */
    { MM_CHUNK + MM_PAGE, right.log_size },      /* across chunks */
    { c - MM_PAGE, right.log_size },
    { c - MM_CHUNK, MM_CHUNK + 2 * MM_PAGE },    /* beyond the capacity */
    { c + (UINT64_C (1) << 51), right.log_size },
    { c, 4 * c + 2 * MM_PAGE },
    { c, UINT64_C (1) << 62 },
    { UINT64_MAX - MM_PAGE + 1, 2 * MM_PAGE },
    { c, KIB (32) },
    { right.log, right.log_size + MM_PAGE },
    { c + MIB (100), right.log_size },           /* behind the file */
  };
  static const int flags[] = { MMALLOC_CHECKPOINT, 0, MMALLOC_RDONLY };
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    {
      struct disk_super s = right;
      s.log = wrong[i].log;
      s.log_size = wrong[i].size;
      super_forge (s);
      for (int k = 0; k < 3; k++)
        must_fail (NULL, open_with (0, flags[k]), EBADMSG);
    }
  super_forge (right);
  md = open_with (0, MMALLOC_CHECKPOINT);
  must (md != NULL && has (md, 2));
  heap_end (md);
}
END_TEST

/* Both superblocks of "heap" name a log like that of RIGHT at offset LOG, of
   SIZE bytes, and all that RIGHT's has is there.  */
static void
log_forge (struct disk_super right, uint64_t log, uint64_t size)
{
  struct disk_super s = right;
  char *all = malloc (right.log_size);
  int fd = open (temp_heap_path (), O_RDWR);
  must (all != NULL && fd >= 0);
  must (pread (fd, all, right.log_size, (off_t) right.log)
        == (ssize_t) right.log_size);
  must (pwrite (fd, all, right.log_size, (off_t) log)
        == (ssize_t) right.log_size);
  if ((off_t) (log + size) > file_length (temp_heap_path ()))
    must (ftruncate (fd, (off_t) (log + size)) == 0);
  close (fd);
  free (all);
  s.log = log;
  s.log_size = size;
  super_forge (s);
}

/* Nothing is wrong but the place of the log, or its size.  */
START_TEST (whole_log_in_no_place)
{
  static const int flags[] = { MMALLOC_CHECKPOINT, 0, MMALLOC_RDONLY };
  size_of_child = LARGE;
  log_size = MIB (8);
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 3)), 7);
  struct disk_super right = super_of ("heap");
  uint64_t grid = round_up (right.base, MM_SLICE) - right.base;
  uint64_t last = (right.capacity - grid) / MM_CHUNK - 1;
  last = grid + last * MM_CHUNK;
  must (right.log > grid && right.log < last && right.log_size < MM_CHUNK);
  const struct { uint64_t log, size; } wrong[] = {
    { grid + MIB (20), right.log_size },         /* in the first chunk */
    { right.log + MIB (12), right.log_size },    /* inside of a chunk */
    { last, MM_CHUNK + 2 * MM_PAGE },            /* beyond the capacity */
    { right.capacity, MM_LOG_TIMES * right.capacity + 2 * MM_PAGE }
  };
  const size_t n = sizeof wrong / sizeof *wrong;
  for (size_t i = 0; i < n; i++)
    {
      log_forge (right, wrong[i].log, wrong[i].size);
      for (int k = 0; k < 3; k++)
        must_fail (NULL, open_with (LARGE, flags[k]), EBADMSG);
    }
  /* Right is the largest one that can be.  */
  log_forge (right, wrong[n - 1].log, wrong[n - 1].size - 2 * MM_PAGE);
  md = open_with (LARGE, MMALLOC_CHECKPOINT);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  must (has (md, 2));
  heap_end (md);
}
END_TEST

/* A heap with HUGE blocks before the log, in *FIRST, and behind it, where the
   records that count say nothing of the directory.  The chunk of the log.  */
static size_t
blocks_around_log (size_t *first)
{
  disk_is_fast ();
  log_size = KIB (64);
  md = open_with (LARGE, MMALLOC_CREATE);
  must (md != NULL);
  char *before = mmalloc (md, MIB (40));
  must (before != NULL);
  heap_end (md);
  md = open_logged (LARGE);
  struct heap *h = heap_of (md);
  char *behind = mmalloc (md, MIB (40));
  size_t c = (h->super.log - (h->grid - h->file.base)) >> MM_CHUNK_SHIFT;
  *first = ((uintptr_t) before - h->grid) >> MM_CHUNK_SHIFT;
  must (*first + 2 == c && behind > off_chunk (h, c));
  cells_begin ();
  checkpoint ();
  uint64_t n = h->log->seq;
  while (h->log->first <= n)
    {
      cells_store (h->log->seq + 1);
      checkpoint ();
      must (h->log->seq < n + 100);
    }
  return c;
}

/* The same where the heap has grown behind the log: pages, a block, one that
   begins before.  */
START_TEST (log_amid_blocks)
{
  size_t first, c = blocks_around_log (&first);
  struct heap *h = heap_of (md);
  uint64_t before = dir_get (h, first), none = dir_get (h, c);
  off_t at[2] = { (off_t) off_file (h, &h->dir[c]),
                  (off_t) off_file (h, &h->dir[first]) };
  heap_end (md);
  const uint64_t wrong[][2] = {
    { dir_paged (MM_RECORDS_STEP, 0), before },
    { dir_huge (0, 9), before },
    { dir_cont (2), dir_huge (dir_start (before), 2 * MM_CHUNK_SLICES + 9) },
    { none, before }
  };
  int fd = open (temp_heap_path (), O_RDWR);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    {
      for (int k = 0; k < 2; k++)
        must (pwrite (fd, &wrong[i][k], 8, at[k]) == 8);
      if (i + 1 == sizeof wrong / sizeof *wrong)
        break;
      must_fail (NULL, open_with (LARGE, MMALLOC_CHECKPOINT), EBADMSG);
      must_fail (NULL, open_with (LARGE, MMALLOC_RDONLY), EBADMSG);
    }
  close (fd);
  md = open_logged (LARGE);
  ck_assert_uint_eq (heap_of (md)->super.log_size, log_size);
  heap_end (md);
}
END_TEST

/* Where the log is nothing else can be.  */
START_TEST (log_over_blocks)
{
  log_size = KIB (1024);
  md = open_logged (LARGE);
  store (1);
  struct heap *h = heap_of (md);
  struct disk_super s = h->super;
  size_t c = (s.log - (h->grid - h->file.base)) >> MM_CHUNK_SHIFT;
  off_t word = (off_t) off_file (h, &h->dir[c]);
  heap_end (md);
  for (int i = 0; i < 2; i++)
    {
      uint64_t d = i == 0 ? dir_paged (20, 0) : dir_huge (0, 9);
      /* In the image, and there is no record that says otherwise.  */
      md = open_with (0, 0);
      must (md != NULL);
      heap_end (md);
      md = open_logged (LARGE);
      s = heap_of (md)->super;
      heap_end (md);
      int fd = open (temp_heap_path (), O_RDWR);
      must (pwrite (fd, &d, sizeof d, word) == sizeof d);
      must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT), EBADMSG);
      must_fail (NULL, open_with (0, MMALLOC_RDONLY), EBADMSG);
      d = 0;
      must (pwrite (fd, &d, sizeof d, word) == sizeof d);
      close (fd);
    }
  md = open_logged (LARGE);
  must (has (md, 1));
  heap_end (md);
}
END_TEST

/* A log of which hardly anything is there is not read for hours.  */
START_TEST (log_of_holes)
{
  log_size = 0;
  md = open_logged (LARGE);
  store (1);
  checkpoint ();
  heap_end (md);
  struct disk_super s = super_of ("heap");
  s.log = s.capacity;
  s.log_size = 4 * s.capacity;
  /* The image is the last one.  */
  s.log_base = 2;
  super_forge (s);
  int fd = open (temp_heap_path (), O_RDWR);
  must (ftruncate (fd, (off_t) (s.log + s.log_size)) == 0);
  close (fd);
  md = open_with (0, MMALLOC_CHECKPOINT);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  must (has (md, 1));
  heap_end (md);
}
END_TEST

/* One superblock alone names the log: another library would take the older one;
   so both do, before anything else is written.  */
START_TEST (named_by_one)
{
  size_of_child = _i;
  log_size = MIB (1);
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 3)), 7);
  struct disk_super s[2], old = super_of ("heap");
  old.generation--;
  old.version = MM_FORMAT;
  old.sum = super_sum (&old);
  int fd = open (temp_heap_path (), O_RDWR);
  must (pwrite (fd, &old, sizeof old, (off_t) (old.generation & 1) * MM_PAGE)
        == sizeof old);
  md = open_with (0, MMALLOC_CHECKPOINT);
  must (md != NULL && has (md, 2));
  for (int i = 0; i < 2; i++)
    {
      must (pread (fd, &s[i], sizeof s[i], i * MM_PAGE) == sizeof s[i]);
      ck_assert_uint_eq (s[i].version, MM_FORMAT_LOG);
      ck_assert_uint_eq (s[i].sum, super_sum (&s[i]));
    }
  close (fd);
  ck_assert_uint_eq (s[0].log, s[1].log);
  heap_end (md);
}
END_TEST

START_TEST (file_is_cut)
{
  size_of_child = _i;
  log_size = MIB (1);
  ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 3)), 7);
  struct disk_super s = super_of ("heap");
  ck_assert_int_eq (truncate (temp_heap_path (),
                              (off_t) (s.log + s.log_size - MM_PAGE)), 0);
  must_fail (NULL, open_with (0, MMALLOC_CHECKPOINT), EBADMSG);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "truncated"));
}
END_TEST


/* ---- What is asked for, and refused ----------------------------------------- */

START_TEST (log_sizes)
{
  static const size_t wrong[] = { 1, KIB (64) - 1, MIB (64) + 1, SIZE_MAX,
                                  SIZE_MAX - MM_PAGE, SIZE_MAX / 2 };
  struct stat before, after;
  md = open_with (SMALL, MMALLOC_CREATE);
  must (md != NULL);
  store (1);
  heap_end (md);
  ck_assert_int_eq (stat (temp_heap_path (), &before), 0);
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    {
      log_size = wrong[i];
      must_fail (NULL, open_with (SMALL, MMALLOC_CHECKPOINT), EINVAL);
      ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "65536 to "));
    }
  ck_assert_int_eq (stat (temp_heap_path (), &after), 0);
  ck_assert_int_eq (after.st_size, before.st_size);
  log_size = MIB (64);
  md = open_with (SMALL, MMALLOC_CHECKPOINT);
  must (md != NULL && has (md, 1));
  heap_end (md);
}
END_TEST

static int refused_writes;
static ssize_t
write_without_log (int fd, const void *from, size_t n, off_t at)
{
  if (at >= (off_t) MIB (16) && refused_writes > 0)
    return errno = ENOSPC, -1;
  return pwrite (fd, from, n, at);
}

/* Nothing is left of a log that was not to be had.  */
START_TEST (no_room_for_log)
{
  struct stat before, after;
  log_size = MIB (4);
  md = open_with (SMALL, MMALLOC_CREATE);
  must (md != NULL);
  store (1);
  heap_end (md);
  ck_assert_int_eq (stat (temp_heap_path (), &before), 0);
  os.pwrite = write_without_log;
  refused_writes = 1;
  must_fail (NULL, open_with (SMALL, MMALLOC_CHECKPOINT), ENOSPC);
  refused_writes = 0;
  ck_assert_int_eq (stat (temp_heap_path (), &after), 0);
  ck_assert_int_eq (after.st_size, before.st_size);
  ck_assert_int_le (after.st_blocks, before.st_blocks);
  md = open_with (SMALL, 0);
  must (md != NULL && has (md, 1));
  heap_end (md);
  md = open_with (SMALL, MMALLOC_CHECKPOINT);
  must (md != NULL && has (md, 1));
  heap_end (md);
}
END_TEST

/* A file system that refuses writes past the cache only when they come.  */
static ssize_t
write_by_cache (int fd, const void *from, size_t n, off_t at)
{
  if ((fcntl (fd, F_GETFL) & O_DIRECT) != 0)
    {
      refused_writes++;
      return errno = EINVAL, -1;
    }
  return pwrite (fd, from, n, at);
}

START_TEST (by_the_cache)
{
  md = open_logged (_i);
  bool past = heap_of (md)->log->past_cache;
  heap_end (md);
  unlink (temp_heap_path ());
  os.pwrite = write_by_cache;
  md = open_logged (_i);
  store (1);
  checkpoint ();
  heap_end (md);
  md = open_logged (_i);
  must (has (md, 1));
  ck_assert (refused_writes > 0 || !past);
  heap_end (md);
}
END_TEST

/* What was read may not be on the disk: it is written before anything else.  */
static off_t first_write;
static size_t first_bytes;
static ssize_t
write_noted (int fd, const void *from, size_t n, off_t at)
{
  if (first_bytes == 0)
    {
      first_bytes = n;
      first_write = at;
      must ((fcntl (fd, F_GETFL) & O_DSYNC) != 0);
    }
  return pwrite (fd, from, n, at);
}

START_TEST (last_record_again)
{
  static const int flags[] = { MMALLOC_CHECKPOINT, 0 };
  size_of_child = _i;
  log_size = MIB (1);
  for (int i = 0; i < 2; i++)
    {
      unlink (temp_heap_path ());
      ck_assert_int_eq (child_end (child_start (store_and_die, (void *) 2)), 7);
      struct disk_super s = super_of ("heap");
      struct disk_record r;
      int fd = open (temp_heap_path (), O_RDONLY);
      must (pread (fd, &r, sizeof r, (off_t) s.log) == sizeof r);
      close (fd);
      first_bytes = 0;
      os.pwrite = write_noted;
      md = open_with (0, flags[i]);
      os.pwrite = pwrite;
      must (md != NULL && has (md, 1));
      ck_assert_int_eq (first_write, (off_t) s.log);
      ck_assert_uint_eq (first_bytes, r.bytes);
      heap_end (md);
    }
}
END_TEST


/* ---- Memory ------------------------------------------------------------------ */

/* The system does not give locked memory back.  */
START_TEST (locked)
{
  md = open_logged (_i);
  store (1);
  checkpoint ();
  char *page = (char *) ((uintptr_t) block[7] & ~(uintptr_t) (MM_PAGE - 1));
  if (mlock (page, MM_PAGE) != 0)
    {
      skip ("memory cannot be locked");
      return;
    }
  for (uint64_t n = 2; n < 6; n++)
    {
      store (n);
      ck_assert_int_eq (mmalloc_rollback (md), 0);
      must (has (md, n - 1));
      store (n);
      checkpoint ();
    }
  comes_back (_i, 5);
}
END_TEST

/* Whether TEXT, which crosses no page, is anywhere in the heap's file.  */
static bool
file_has (const char *text)
{
  static char some[KIB (64)];
  int fd = open (temp_heap_path (), O_RDONLY | O_CLOEXEC);
  off_t at = 0;
  ssize_t n;
  bool found = false;
  must (fd >= 0);
  for (; (at = lseek (fd, at, SEEK_DATA)) >= 0
         && (n = pread (fd, some, sizeof some, at)) > 0; at += n)
    found |= memmem (some, (size_t) n, text, strlen (text)) != NULL;
  close (fd);
  return found;
}

/* The process's own page is not the heap's; but its place is.  */
START_TEST (own_page)
{
  md = open_logged (_i);
  store (1);
  checkpoint ();
  char *own = mmalloc_local (md, 16);
  must (own != NULL);
  strcpy (own, "gone");
  ck_assert_int_eq (mmalloc_rollback (md), 0);
  must (has (md, 1));
  own = mmalloc_local (md, 16);
  must (own != NULL && own[0] == 0);
  strcpy (own, "this process");
  checkpoint ();
  must (!file_has (own));
  for (uint64_t n = 2; n < 5; n++)
    {
      store (n);
      ck_assert_int_eq (mmalloc_rollback (md), 0);
      must (has (md, n - 1));
      ck_assert_str_eq (own, "this process");
      ck_assert_ptr_eq (mmalloc_local (md, 16), own);
      store (n);
      checkpoint ();
      ck_assert_str_eq (own, "this process");
    }
  heap_end (md);
  must (!file_has ("this process") && file_has ("blocks"));
  md = open_logged (_i);
  must (has (md, 4));
  own = mmalloc_local (md, 16);
  must (own != NULL && own[0] == 0);
  heap_end (md);
}
END_TEST

/* Trimmed after it grew: the next growth gives the same slices again.  */
static int
no_fallocate (int fd, int mode, off_t at, off_t n)
{
  (void) fd, (void) mode, (void) at, (void) n;
  return errno = EOPNOTSUPP, -1;
}

START_TEST (without_fallocate)
{
  os.fallocate = no_fallocate;
  log_size = MIB (1);
  md = open_logged (_i);
  for (uint64_t n = 1; n < 6; n++)
    {
      store (n);
      char *large = mmalloc (md, MIB (3));
      must (large != NULL);
      memset (large, (int) n, MIB (3));
      checkpoint ();
      mfree (md, large);
      ck_assert_int_ge (mmalloc_trim (md), 0);
      checkpoint ();
      must (has (md, n));
    }
  heap_end (md);
  md = open_with (0, 0);
  must (md != NULL && has (md, 5));
  heap_end (md);
}
END_TEST

/* Where blocks are set aside by writing zeros, none are written over what the last
   checkpoint has: it comes back by a rollback (0), and after a kill (1).  */
static void
take_again (void *kills)
{
  os.fallocate = no_fallocate;
  log_size = KIB (256);
  md = open_logged (LARGE);
  char *large = mmalloc (md, MIB (40));
  must (large != NULL && mmalloc_setroot (md, "large", large) == 0);
  memset (large, 1, MIB (40));
  checkpoint ();
  mfree (md, large);
  must (mcalloc (md, MIB (40), 1) == large && block_is_zero (large, MIB (40)));
  if (kills != NULL)
    _exit (7);
  must (mmalloc_rollback (md) == 0);
  must (large[0] == 1 && large[MIB (20)] == 1 && large[MIB (40) - 1] == 1);
  _exit (7);
}

START_TEST (no_zeros_over_the_checkpoint)
{
  ck_assert_int_eq (child_run (take_again, _i != 0 ? &md : NULL), 7);
  md = open_logged (LARGE);
  char *large = mmalloc_getroot (md, "large");
  must (large[0] == 1 && large[MIB (20)] == 1 && large[MIB (40) - 1] == 1);
  heap_end (md);
}
END_TEST

static bool fail_write;
static ssize_t
records_fail (int fd, const void *from, size_t n, off_t at)
{
  bool durable = (fcntl (fd, F_GETFL) & O_DSYNC) != 0;
  return durable && fail_write ? errno = EIO, -1 : pwrite (fd, from, n, at);
}

/* What a failed checkpoint has left behind the heap's end is no block's
   contents.  */
START_TEST (nothing_is_left_behind_the_end)
{
  os.fallocate = _i != 0 ? no_fallocate : fallocate;
  log_size = KIB (256);
  md = open_logged (LARGE);
  checkpoint ();
  char *large = mmalloc (md, MIB (40));
  must (large != NULL);
  memset (large, 1, MIB (40));
  os.pwrite = records_fail;
  fail_write = true;
  must (mmalloc_checkpoint (md) == -1);
  fail_write = false;
  must (mmalloc_rollback (md) == 0);
  must (mcalloc (md, MIB (40), 1) == large && block_is_zero (large, MIB (40)));
  checkpoint ();
  heap_end (md);
  md = open_logged (LARGE);
  must (block_is_zero (large, MIB (40)));
  heap_end (md);
}
END_TEST


/* ---- Beside others ------------------------------------------------------------- */

static void
see_shared (void *state)
{
  md = open_with (0, MMALLOC_RDONLY);
  must (md != NULL && heap_of (md)->log == NULL);
  baton_pass (baton);
  baton_wait (baton);
  must (has (md, (uintptr_t) state));
  _exit (0);
}

/* A reader from before there was a log sees the file.  */
START_TEST (reader_before_the_log)
{
  md = open_with (_i, MMALLOC_CREATE);
  must (md != NULL);
  store (1);
  heap_end (md);
  struct child child = child_start (see_shared, (void *) 1);
  baton_wait (child.baton);
  md = open_logged (_i);
  for (uint64_t n = 2; n < 12; n++)
    {
      store (n);
      if (n % 3 == 0)
        {
          char *p = mmalloc (md, MIB (2));
          must (p != NULL);
          memset (p, 1, MIB (2));
        }
      checkpoint ();
    }
  ck_assert_uint_gt (heap_of (md)->log->n_pending, 0);
  heap_end (md);
  md = open_logged (_i);
  must (has (md, 11));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

static int
count_self (const struct mmalloc_user *user, void *arg)
{
  int *n = arg;
  must (user->self && user->pid == (long) getpid ());
  ++*n;
  return 0;
}

static int resumed;
static void
resume (void *arg)
{
  (void) arg;
  resumed++;
}

START_TEST (users)
{
  struct mmalloc_info info;
  int n = 0;
  md = open_logged (_i);
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  ck_assert_uint_eq (info.users, 1);
  ck_assert_int_eq (mmalloc_users (md, count_self, &n), 0);
  ck_assert_int_eq (n, 1);
  ck_assert_int_eq (mmalloc_probe (temp_heap_path (), -1, &info), 0);
  ck_assert_uint_eq (info.users, 1);
  heap_end (md);
  /* Called once, whatever is refused.  */
  md = heap_new (ANONYMOUS);
  must_fail (md, mmalloc_checkpoint_resume (md, resume, NULL) == 0 ? md : NULL,
             EINVAL);
  ck_assert_int_eq (resumed, 1);
  heap_end (md);
  md = open_with (0, MMALLOC_RDONLY);
  must_fail (md, mmalloc_checkpoint_resume (md, resume, NULL) == 0 ? md : NULL,
             EROFS);
  ck_assert_int_eq (resumed, 2);
  heap_end (md);
}
END_TEST

/* The blocks of a log that goes are not missed.  */
START_TEST (no_copy)
{
  log_size = KIB (256);
  md = open_logged (_i);
  store (1);
  checkpoint ();
  char *large = mmalloc (md, MIB (4));
  must (large != NULL);
  checkpoint ();
  memset (large, 7, MIB (4));
  checkpoint ();
  heap_end (md);
  for (int i = 0; i < 3; i++)
    {
      md = open_logged (_i);
      ck_assert (!super_is_copy (heap_of (md)));
      heap_end (md);
    }
  md = open_with (0, 0);
  heap_end (md);
  md = open_logged (_i);
  ck_assert (!super_is_copy (heap_of (md)));
  heap_end (md);
}
END_TEST

RUN_KINDS (SIZES, copied_beside_reader, copied_between_ends, old_logs_stay, log_in_no_place,
           log_over_blocks, log_of_holes, named_by_one, file_is_cut, log_sizes,
           no_room_for_log, by_the_cache, last_record_again, locked, own_page,
           without_fallocate, reader_before_the_log, users, no_copy,
           whole_log_in_no_place, log_amid_blocks, no_zeros_over_the_checkpoint,
           nothing_is_left_behind_the_end)
