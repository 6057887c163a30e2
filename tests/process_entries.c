/* The table of process entries: it grows by a page of the file when it has to,
   and says what is in the way; opening asks the system about a few entries
   only, however many there are; a file of format 1 becomes one of format 2.  */

#include "inside.h"

#define LOCKS_AT(member) (MM_OFF_LOCKS + offsetof (struct disk_locks, member))

static void *md;
static struct heap *h;
static int others_fd;

/* Locks of TYPE on N bytes from BYTE on, as other processes have them.  */
static void
others_lock (int64_t byte, int64_t n, short type)
{
  struct flock l = { .l_type = type, .l_whence = SEEK_SET,
                     .l_start = MM_LOCK_BYTES + byte, .l_len = n };
  if (others_fd == 0)
    others_fd = open (temp_heap_path (), O_RDWR | O_CLOEXEC);
  ck_assert_int_eq (fcntl (others_fd, F_OFD_SETLK, &l), 0);
}

/* A heap of MAXIMUM bytes, 0: as usual, and N users of it: this process, and
   what looks like others.  */
static void
many (size_t maximum, uint32_t n)
{
  md = heap_limited (IN_FILE, maximum);
  h = heap_of (md);
  ck_assert_uint_eq (h->entry, 0);
  for (uint32_t i = off_procs_used (h); i < n; i++)
    ck_assert_int_eq (member_more (h), 0);
  ck_assert_uint_ge (off_procs_used (h), n);
  for (uint32_t i = 1; i < n; i++)
    {
      word_put (&off_proc (h, i)->mapped, h->capacity);
      word_put (&off_proc (h, i)->id, (uint64_t) h->epoch << 32 | (100000 + i));
    }
  if (n > 1)
    others_lock (MM_BYTE_ALIVE + 1, n - 1, F_WRLCK);
}

static uint64_t
word_in_file (size_t at)
{
  uint64_t word;
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (pread (fd, &word, sizeof word, (off_t) at), sizeof word);
  close (fd);
  return word;
}

/* Where entry I is in the file.  */
static size_t
entry_at (uint32_t i)
{
  return off_file (h, off_proc (h, i));
}


/* ---- Room ---------------------------------------------------------------- */

static uint32_t wanted;         /* the entry that a newcomer will get */
static int backed, locked, full;

static int
watching_fallocate (int fd, int mode, off_t off, off_t len)
{
  size_t page = entry_at (MM_PROCS_FIRST);
  if (mode == 0 && (size_t) off >= page
      && (size_t) off < page + (MM_PROCS - MM_PROCS_FIRST) * 64)
    {
      ck_assert_uint_eq ((size_t) off, entry_at (wanted));
      ck_assert_int_eq (len, MM_PAGE);
      /* Nobody looks there yet.  */
      ck_assert_uint_eq ((uint32_t) word_in_file (LOCKS_AT (procs_used)),
                         wanted);
      backed++;
      if (full)
        return errno = ENOSPC, -1;
    }
  return fallocate (fd, mode, off, len);
}

static int
watching_fcntl (int fd, int cmd, ...)
{
  va_list ap;
  va_start (ap, cmd);
  void *arg = va_arg (ap, void *);
  va_end (ap);
  if (cmd == F_OFD_SETLK && is_lock_of (arg, MM_BYTE_ALIVE + (int) wanted))
    {
      /* All who ask about the newcomer will see his entry.  */
      ck_assert_uint_gt ((uint32_t) word_in_file (LOCKS_AT (procs_used)),
                         wanted);
      ck_assert_uint_eq (word_in_file (entry_at (wanted)), 0);
      locked++;
    }
  return real_fcntl (fd, cmd, arg);
}

/* Comes in beside the others, in an entry that none of them has had.  */
static void
newcomer (void *pages)
{
  os.fallocate = watching_fallocate;
  os.fcntl = watching_fcntl;
  void *own = mmalloc_open (temp_heap_path (), 0, NULL);
  must (own != NULL);
  struct heap *mine = heap_of (own);
  ck_assert_uint_eq (mine->entry, wanted);
  ck_assert_uint_eq (off_procs_used (mine), wanted + 1);
  ck_assert_int_eq (locked, 1);
  ck_assert_int_eq (backed, (int) (intptr_t) pages);
  must (!lock_is_of_dead (mine, (uint32_t) mine->id));
  must (mmalloc (own, 100) != NULL);
  /* Its own page counts.  */
  size_t meta = heap_stats (own).bytes_meta;
  word_put (&mine->locks->procs_used, 1);
  ck_assert_uint_eq (meta - heap_stats (own).bytes_meta,
                     round_up ((wanted + 1 - MM_PROCS_FIRST) * 64, MM_PAGE));
  word_put (&mine->locks->procs_used, wanted + 1);
  heap_end (own);
}

/* In a file that has something there, of other times.  */
static void
come (uint32_t beside, intptr_t pages)
{
  wanted = beside;
  many (0, beside);
  int fd = open (temp_heap_path (), O_RDWR);
  struct disk_proc old = { .id = 77, .coming = 78 };
  ck_assert_int_eq (pwrite (fd, &old, sizeof old, (off_t) entry_at (wanted)),
                    sizeof old);
  close (fd);
  ck_assert_int_eq (child_run (newcomer, (void *) pages), 0);
  others_lock (0, 0, F_UNLCK);
  heap_end (md);
}

START_TEST (a_page_for_64)
{
  static const uint32_t beside[] = { MM_PROCS_FIRST, MM_PROCS_FIRST + 64,
                                     MM_PROCS_FIRST + 1, MM_PROCS_FIRST + 63 };
  come (beside[_i], _i < 2);
}
END_TEST

static void
refused (void *told)
{
  os.fallocate = watching_fallocate;
  full = 1;
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL),
             strstr (told, "blocks") != NULL ? ENOSPC : ENOLCK);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), told));
}

static void
enters (void *entry)
{
  os.fallocate = watching_fallocate;
  full = 1;
  void *own = mmalloc_open (temp_heap_path (), 0, NULL);
  must (own != NULL && mmalloc (own, 100) != NULL);
  ck_assert_uint_eq (heap_of (own)->entry, (uintptr_t) entry);
  heap_end (own);
}

/* The one for whom there is no disk block is told so; nobody else notices, and
   who finds one that is free, or a dead one's, needs no block.  */
START_TEST (full_disk)
{
  wanted = MM_PROCS_FIRST;
  many (0, wanted);
  void *block = mmalloc (md, 1000);
  block_fill (block, 1000, 1);
  ck_assert_int_eq (child_run (refused,
                               "no disk blocks for one process more than the"
                               " 192 "), 0);
  ck_assert_uint_eq (off_procs_used (h), wanted);
  must (block_holds (block, 1000, 1));
  heap_is_whole (md);
  others_lock (MM_BYTE_ALIVE + 100, 1, F_UNLCK);
  ck_assert_int_eq (child_run (enters, (void *) 100), 0);
  /* Now it has no id.  */
  ck_assert_int_eq (child_run (enters, (void *) 100), 0);
  others_lock (0, 0, F_UNLCK);
  heap_end (md);
}
END_TEST

/* As many as there can be.  */
START_TEST (limits)
{
  static const size_t size[] = { 0, MIB (16), MIB (16) - 4096, KIB (256) };
  uint32_t most = _i < 2 ? 1024 : 192;
  many (size[_i], most);
  ck_assert_uint_eq (h->super.n_procs, most);
  ck_assert_int_eq (member_more (h), ENOLCK);
  ck_assert_uint_eq (off_procs_used (h), most);
  ck_assert_int_eq (child_run (refused,
                               most == 192 ? "192 processes use the heap"
                                           : "1024 processes use the heap"), 0);
  others_lock (0, 0, F_UNLCK);
  heap_end (md);
}
END_TEST

/* What the file says of them is not believed beyond the table, and lasts no
   longer than the processes.  */
START_TEST (number_in_the_file)
{
  many (_i % 2 == 0 ? 0 : KIB (512), 2);
  word_put (&h->locks->procs_used, UINT32_MAX);
  ck_assert_uint_eq (off_procs_used (h), _i % 2 == 0 ? 1024 : 192);
  word_put (&h->locks->procs_used, 2);
  others_lock (0, 0, F_UNLCK);
  heap_end (md);
  md = heap_limited (IN_FILE, 0);
  ck_assert_uint_eq (off_procs_used (heap_of (md)), 1);
  heap_end (md);
}
END_TEST


/* ---- Calls --------------------------------------------------------------- */

static int calls;

static int
counting_fcntl (int fd, int cmd, ...)
{
  va_list ap;
  va_start (ap, cmd);
  void *arg = va_arg (ap, void *);
  va_end (ap);
  calls += cmd == F_OFD_SETLK || cmd == F_OFD_GETLK;
  return real_fcntl (fd, cmd, arg);
}

static int *shared_calls;

static void
comes_and_goes (void *unused)
{
  (void) unused;
  os.fcntl = counting_fcntl;
  void *own = mmalloc_open (temp_heap_path (), 0, NULL);
  must (own != NULL);
  ck_assert_ptr_null (mmalloc_detach (own));
  *shared_calls = calls;
}

static int
calls_beside (uint32_t n)
{
  int result;
  shared_calls = mmap (NULL, MM_PAGE, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  many (0, n);
  ck_assert_int_eq (child_run (comes_and_goes, NULL), 0);
  result = *shared_calls;
  munmap (shared_calls, MM_PAGE);
  others_lock (0, 0, F_UNLCK);
  close (others_fd);
  others_fd = 0;
  heap_end (md);
  ck_assert_int_eq (unlink (temp_heap_path ()), 0);
  return result;
}

START_TEST (as_cheap_beside_many)
{
  int few = calls_beside (3);
  ck_assert_int_ge (few, 6);
  ck_assert_int_le (few, 10);
  ck_assert_int_eq (calls_beside (150), few);
  ck_assert_int_eq (calls_beside (900), few);
}
END_TEST

/* Entries of the dead are found again, though each newcomer asks about two
   only.  */
static void
dies (void *unused)
{
  (void) unused;
  must (mmalloc_open (temp_heap_path (), 0, NULL) != NULL);
  raise (SIGKILL);
}

START_TEST (dead_in_turn)
{
  many (0, 1);
  for (int i = 0; i < 200; i++)
    ck_assert_int_eq (child_run (dies, NULL), 128 + SIGKILL);
  ck_assert_uint_le (off_procs_used (h), 3);
  heap_end (md);
  many (0, 30);
  others_lock (MM_BYTE_ALIVE + 7, 1, F_UNLCK);
  for (int i = 0; i < 30; i++)
    ck_assert_int_eq (child_run (dies, NULL), 128 + SIGKILL);
  ck_assert_uint_lt ((uint32_t) word_see (&off_proc (h, 7)->id), 100000);
  others_lock (0, 0, F_UNLCK);
  heap_end (md);
}
END_TEST


/* ---- Format 1 ------------------------------------------------------------ */

static struct disk_super
super_of (int copy)
{
  struct disk_super s;
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (pread (fd, &s, sizeof s, copy * MM_PAGE), sizeof s);
  close (fd);
  return s;
}

static void
super_put (int copy, struct disk_super *s)
{
  s->sum = super_sum (s);
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (pwrite (fd, s, sizeof *s, copy * MM_PAGE), sizeof *s);
  close (fd);
}

static void
versions_are (uint32_t version)
{
  for (int copy = 0; copy < 2; copy++)
    {
      ck_assert_uint_eq (super_of (copy).version, version);
      ck_assert_uint_eq (super_of (copy).n_procs, 192);
    }
}

/* A file as format 1 has them.  */
static void
old_file (void)
{
  many (KIB (512), 1);
  char *block = mmalloc (md, 100);
  strcpy (block, "old");
  ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
  heap_end (md);
  for (int copy = 0; copy < 2; copy++)
    {
      struct disk_super s = super_of (copy);
      s.version = 1;
      super_put (copy, &s);
    }
}

static void
is_as_it_was (void)
{
  struct mmalloc_info info;
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  char *block = mmalloc_getroot (md, "block");
  ck_assert_str_eq ((char *) md + (block - (char *) info.base), "old");
  heap_end (md);
}

START_TEST (old_is_read)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE };
  struct mmalloc_info info;
  old_file ();
  uint64_t sum = file_sum (temp_heap_path ());
  for (int i = 0; i < 3; i++)
    {
      md = mmalloc_open (temp_heap_path (), flags[i], NULL);
      ck_assert_ptr_nonnull (md);
      ck_assert_int_eq (mmalloc_info (md, &info), 0);
      ck_assert_uint_eq (info.format, 1);
      is_as_it_was ();
    }
  ck_assert_int_eq (mmalloc_probe (temp_heap_path (), -1, &info), 0);
  ck_assert_uint_eq (info.format, 1);
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
  versions_are (1);
}
END_TEST

/* For good, in both copies, before anybody else gets in.  */
static void
new_in_the_end (void)
{
  versions_are (2);
  ck_assert_uint_eq (heap_of (md)->super.n_procs, 192);
  is_as_it_was ();
  versions_are (2);
}

static int
versions_fcntl (int fd, int cmd, ...)
{
  va_list ap;
  va_start (ap, cmd);
  struct flock *l = va_arg (ap, void *);
  va_end (ap);
  if (cmd == F_OFD_SETLK && l->l_start == MM_LOCK_BYTES + MM_BYTE_DOOR
      && l->l_type == F_UNLCK)
    versions_are (2);
  return real_fcntl (fd, cmd, l);
}

START_TEST (old_becomes_new)
{
  old_file ();
  os.fcntl = versions_fcntl;
  md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_ptr_nonnull (md);
  new_in_the_end ();
}
END_TEST

/* Killed after the first copy: whatever comes next, no copy of format 1 is left
   beside users.  */
START_TEST (half_new)
{
  old_file ();
  int newer = super_of (0).generation > super_of (1).generation ? 0 : 1;
  struct disk_super s = super_of (newer);
  s.version = 2;
  s.generation++;
  super_put (!newer, &s);
  os.fcntl = versions_fcntl;
  md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_ptr_nonnull (md);
  new_in_the_end ();
}
END_TEST

/* The locks that a library of format 1 has, but for those of readers.  */
START_TEST (old_ones_are_in)
{
  static const struct { int64_t byte; short type; } locks[] = {
    { MM_BYTE_WRITERS_1, F_RDLCK }, { MM_BYTE_ALIVE, F_WRLCK },
    { MM_BYTE_ALIVE + 191, F_WRLCK }
  };
  old_file ();
  uint64_t sum = file_sum (temp_heap_path ());
  others_lock (locks[_i % 3].byte, 1, locks[_i % 3].type);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), "older version"));
  ck_assert_uint_eq (file_sum (temp_heap_path ()), sum);
  md = mmalloc_open (temp_heap_path (), MMALLOC_RDONLY, NULL);
  is_as_it_was ();
  others_lock (0, 0, F_UNLCK);
  others_lock (MM_BYTE_READERS, 1, F_RDLCK);
  md = mmalloc_open (temp_heap_path (), 0, NULL);
  ck_assert_ptr_nonnull (md);
  new_in_the_end ();
  /* Now that byte means nothing.  */
  others_lock (MM_BYTE_WRITERS_1, 1, F_RDLCK);
  md = mmalloc_open (temp_heap_path (), 0, NULL);
  is_as_it_was ();
}
END_TEST

/* It has no room for more.  */
START_TEST (old_and_crowded)
{
  old_file ();
  many (0, 192);
  ck_assert_int_eq (child_run (refused, "192 processes use the heap"), 0);
  others_lock (0, 0, F_UNLCK);
  is_as_it_was ();
}
END_TEST

RUN_KINDS (4, a_page_for_64, full_disk, limits, number_in_the_file,
           as_cheap_beside_many, dead_in_turn, old_is_read, old_becomes_new,
           half_new, old_ones_are_in, old_and_crowded)
