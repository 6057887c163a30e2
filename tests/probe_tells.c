/* mmalloc_probe tells what a file is, by its name or a descriptor that can
   only be read, and changes nothing; what it refuses, a reader's mmalloc_open
   refuses in the same words.  mmalloc_info tells the same of what is open.  */

#include "qalloc_support.h"

/* First words of files: of a heap, of one that was not finished, of a static
   map.  And the version by which a heap is a dynamic map.  */
#define HEAP_WORD UINT64_C (0x01636f6c6c616d6d)
#define UNFINISHED_WORD UINT64_C (0x01656c6f68776e75)
#define STATIC_WORD UINT64_C (0x7320636f6c6c6171)
#define DYNAMIC_VERSION UINT64_C (0x6420636f6c6c6171)

static const struct mmalloc_info nothing;


/* ---- Asking ----------------------------------------------------------- */

/* What there is to see of a file, but for when it was last read.  */
struct trace
{
  uint64_t sum;
  struct stat st;
};

static struct trace
trace_take (const char *path)
{
  struct trace t;
  ck_assert_int_eq (stat (path, &t.st), 0);
  t.sum = S_ISREG (t.st.st_mode) ? file_sum (path) : 0;
  return t;
}

static void
trace_stays (const char *path, const struct trace *was)
{
  struct trace is = trace_take (path);
  ck_assert_uint_eq (is.sum, was->sum);
  ck_assert_int_eq (is.st.st_size, was->st.st_size);
  ck_assert_int_eq (is.st.st_blocks, was->st.st_blocks);
  ck_assert_int_eq (is.st.st_mtim.tv_sec, was->st.st_mtim.tv_sec);
  ck_assert_int_eq (is.st.st_mtim.tv_nsec, was->st.st_mtim.tv_nsec);
  ck_assert_int_eq (is.st.st_ctim.tv_sec, was->st.st_ctim.tv_sec);
  ck_assert_int_eq (is.st.st_ctim.tv_nsec, was->st.st_ctim.tv_nsec);
}

static void
same (const struct mmalloc_info *a, const struct mmalloc_info *b)
{
  ck_assert_int_eq (a->kind, b->kind);
  ck_assert_uint_eq (a->format, b->format);
  ck_assert_ptr_eq (a->base, b->base);
  ck_assert_uint_eq (a->length, b->length);
  ck_assert_uint_eq (a->capacity, b->capacity);
  ck_assert_uint_eq (a->file_size, b->file_size);
  ck_assert_uint_eq (a->app_version, b->app_version);
  ck_assert_uint_eq (a->magic, b->magic);
  ck_assert_uint_eq (a->generation, b->generation);
  ck_assert_uint_eq (a->streams, b->streams);
  ck_assert_uint_eq (a->opened, b->opened);
  ck_assert_int_eq (a->in_use, b->in_use);
  ck_assert_int_eq (a->clean, b->clean);
  ck_assert_int_eq (a->guards, b->guards);
  ck_assert_uint_eq (a->users, b->users);
  ck_assert_uint_eq (a->mapped, b->mapped);
  ck_assert_int_eq (memcmp (a->uuid, b->uuid, sizeof a->uuid), 0);
  ck_assert_int_eq (memcmp (a->reserved, b->reserved, sizeof a->reserved), 0);
}

/* Probe PATH, or FD, which succeeds.  */
static struct mmalloc_info
ask (const char *path, int fd)
{
  struct mmalloc_info info;
  int r;
  memset (&info, 0x55, sizeof info);
  must_keep_errno (r = mmalloc_probe (path, fd, &info));
  ck_assert_msg (r == 0, "%s", mmalloc_strerror (NULL));
  must (block_is_zero (info.reserved, sizeof info.reserved));
  return info;
}

/* Probe PATH, or FD, which fails with CODE and the words that a reader gets who
   opens it.  */
static struct mmalloc_info
ask_in_vain (const char *path, int fd, int code)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  struct mmalloc_info info;
  char words[500];
  opt.fd = fd;
  must_fail (NULL, mmalloc_open (path, MMALLOC_RDONLY, &opt), code);
  snprintf (words, sizeof words, "%s", mmalloc_strerror (NULL));
  /* Other words in between.  */
  must_fail (NULL, mmalloc_open (NULL, ~0, NULL), EINVAL);
  memset (&info, 0x55, sizeof info);
  must_give (mmalloc_probe (path, fd, &info), -1, code);
  ck_assert_int_eq (mmalloc_errno (NULL), code);
  ck_assert_str_eq (mmalloc_strerror (NULL), words);
  return info;
}

/* By name and by descriptor, whose place and life stay the caller's.  CODE 0:
   it succeeds.  */
static struct mmalloc_info
probe_as (const char *path, int code)
{
  struct trace before = trace_take (path);
  int fd = open (path, O_RDONLY);
  ck_assert_int_ge (fd, 0);
  struct mmalloc_info one, other;
  one = code == 0 ? ask (path, -1) : ask_in_vain (path, -1, code);
  other = code == 0 ? ask (NULL, fd) : ask_in_vain (NULL, fd, code);
  same (&one, &other);
  if (S_ISREG (before.st.st_mode))
    ck_assert_int_eq (lseek (fd, 0, SEEK_CUR), 0);
  ck_assert_int_eq (close (fd), 0);
  trace_stays (path, &before);
  return one;
}

static struct mmalloc_info
probe (const char *path)
{
  return probe_as (path, 0);
}

static struct mmalloc_info
info_of (void *md)
{
  struct mmalloc_info info;
  int r;
  memset (&info, 0x55, sizeof info);
  must_keep_errno (r = mmalloc_info (md, &info));
  ck_assert_msg (r == 0, "%s", mmalloc_strerror (NULL));
  must (block_is_zero (info.reserved, sizeof info.reserved));
  return info;
}

static void
info_of_none (void *md)
{
  struct mmalloc_info info;
  memset (&info, 0x55, sizeof info);
  must_give (mmalloc_info (md, &info), -1, EINVAL);
  ck_assert_int_eq (mmalloc_errno (NULL), EINVAL);
  same (&info, &nothing);
}

/* Both functions tell the same of the heap MD that is open for writing.  */
static void
both_agree (const char *path, void *md)
{
  struct mmalloc_info by_path = probe (path), by_md = info_of (md);
  by_path.magic = by_md.magic = 0;
  by_path.opened = by_md.opened = 0;
  ck_assert_uint_gt (by_md.mapped, 0);
  by_md.mapped = 0;
  same (&by_path, &by_md);
}

/* The file is no heap: SIZE bytes with these two words.  */
static void
is_other (const struct mmalloc_info *info, size_t size, uint64_t magic,
          uint64_t second)
{
  struct mmalloc_info expected = { .kind = MMALLOC_FILE_OTHER };
  expected.file_size = size;
  expected.magic = magic;
  expected.base = (void *) (uintptr_t) second;
  same (info, &expected);
}

static void
in_state (const char *path, int in_use, int clean)
{
  struct mmalloc_info info = probe (path);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_HEAP);
  ck_assert_int_eq (info.in_use, in_use);
  ck_assert_int_eq (info.clean, clean);
}

/* Write N bytes at AT into the file, or at AT of each superblock.  */
static void
patch (const char *path, const void *bytes, size_t n, off_t at)
{
  int fd = open (path, O_WRONLY);
  ck_assert_int_eq (pwrite (fd, bytes, n, at), (ssize_t) n);
  ck_assert_int_eq (close (fd), 0);
}

/* Of the format, see mmalloc(5).  */
enum
{
  COPIES = 2,
  COPY_SIZE = 4096,
  VERSION_AT = 8,
  STATE_AT = 2 * COPY_SIZE + 8,
  RECOVERING = 1
};

static void
patch_both (const char *path, const void *bytes, size_t n, off_t at)
{
  for (int copy = 0; copy < COPIES; copy++)
    patch (path, bytes, n, at + copy * COPY_SIZE);
}


/* ---- No heaps --------------------------------------------------------- */

START_TEST (no_file)
{
  struct mmalloc_info info = ask_in_vain (temp_path ("none"), -1, ENOENT);
  same (&info, &nothing);
  ck_assert_int_ne (access (temp_path ("none"), F_OK), 0);
  info = ask_in_vain (NULL, 999, EBADF);
  same (&info, &nothing);
  must_give (mmalloc_probe (NULL, -1, &info), -1, EBADF);

  ck_assert_int_eq (mkdir (temp_path ("directory"), 0777), 0);
  info = probe_as (temp_path ("directory"), EINVAL);
  same (&info, &nothing);
  ask_in_vain ("/dev/null", -1, EINVAL);
  /* Nobody writes to it.  */
  ck_assert_int_eq (mkfifo (temp_path ("pipe"), 0666), 0);
  ask_in_vain (temp_path ("pipe"), -1, EINVAL);
}
END_TEST

static void
stranger (void *unused)
{
  (void) unused;
  become_nobody ();
  if (geteuid () == 0)
    {
      skip ("root may do anything");
      return;
    }
  struct mmalloc_info info = ask_in_vain (temp_path ("secret"), -1, EACCES);
  same (&info, &nothing);
  in_state (temp_path ("readable"), 0, 1);
  must_fail (NULL, mmalloc_open (temp_path ("readable"), 0, NULL), EACCES);
}

START_TEST (read_permission)
{
  static const char *const names[] = { "secret", "readable" };
  for (int i = 0; i < 2; i++)
    {
      void *md = mmalloc_open (temp_path (names[i]), MMALLOC_CREATE, NULL);
      ck_assert_ptr_nonnull (md);
      heap_end (md);
      ck_assert_int_eq (chmod (temp_path (names[i]), i == 0 ? 0200 : 0444), 0);
    }
  ck_assert_int_eq (child_run (stranger, NULL), 0);
  int fd = open (temp_path ("secret"), O_WRONLY);
  ck_assert_int_ge (fd, 0);
  struct mmalloc_info info = ask_in_vain (NULL, fd, EACCES);
  same (&info, &nothing);
  close (fd);
}
END_TEST

START_TEST (empty_and_junk)
{
  static const size_t sizes[] = { 1, 15, 16, 4095, MIB (1) };
  static unsigned char junk[MIB (1)];
  const char *path = temp_path ("file");
  block_fill (junk, sizeof junk, 1);
  file_write (path, junk, 0);
  struct mmalloc_info info = probe (path);
  struct mmalloc_info empty = { .kind = MMALLOC_FILE_EMPTY };
  same (&info, &empty);
  for (size_t i = 0; i < 5; i++)
    {
      /* What a short file lacks of the words is zero.  */
      uint64_t word[2] = { 0, 0 };
      memcpy (word, junk, sizes[i] < 16 ? sizes[i] : 16);
      file_write (path, junk, sizes[i]);
      info = probe (path);
      is_other (&info, sizes[i], word[0], word[1]);
      must_fail (NULL, mmalloc_open (path, MMALLOC_RDONLY, NULL), EINVAL);
    }
  file_write (path, (char[16]) { 0 }, 16);
  info = probe (path);
  is_other (&info, 16, 0, 0);
}
END_TEST

START_TEST (unfinished)
{
  static const size_t sizes[] = { 8, 64, 4096, MIB (1) };
  static uint64_t words[MIB (1) / 8] = { UNFINISHED_WORD, 1, 2, 3 };
  const char *path = temp_path ("file");
  for (size_t i = 0; i < 4; i++)
    {
      file_write (path, words, sizes[i]);
      struct mmalloc_info info = probe (path);
      struct mmalloc_info expected = { .kind = MMALLOC_FILE_EMPTY };
      expected.file_size = sizes[i];
      expected.magic = UNFINISHED_WORD;
      same (&info, &expected);
    }
  void *md = mmalloc_open (path, MMALLOC_CREATE, NULL);
  ck_assert_ptr_nonnull (md);
  heap_end (md);
  in_state (path, 0, 1);
  file_write (path, words, 7);
  ck_assert_int_eq (probe (path).kind, MMALLOC_FILE_OTHER);
}
END_TEST


/* ---- Heaps ------------------------------------------------------------ */

START_TEST (heap_with_options)
{
  const char *path = temp_heap_path ();
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.app_version = 0xfeedfacecafe;
  opt.streams = 7;
  opt.maximum = MIB (16);
  opt.base = mmalloc_findbase (MIB (16));
  void *md = mmalloc_open (path, MMALLOC_CREATE, &opt);
  ck_assert_ptr_eq (md, opt.base);
  ck_assert_int_eq (probe (path).guards, 0);
  ck_assert_int_eq (mmcheckf (md, NULL, 1), 1);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (3)));
  struct mmalloc_info info = probe (path);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_HEAP);
  ck_assert_uint_eq (info.format, 2);
  ck_assert_ptr_eq (info.base, md);
  ck_assert_uint_eq (info.length, heap_stats (md).length);
  ck_assert_uint_ge (info.length, MIB (3));
  ck_assert_uint_eq (info.capacity, MIB (16));
  ck_assert_uint_eq (info.file_size, (size_t) file_length (path));
  ck_assert_uint_eq (info.app_version, opt.app_version);
  ck_assert_uint_eq (info.magic, HEAP_WORD);
  ck_assert_uint_gt (info.generation, 0);
  ck_assert_uint_eq (info.streams, 7);
  ck_assert_int_eq (info.guards, 1);
  ck_assert (!block_is_zero (info.uuid, sizeof info.uuid));
  both_agree (path, md);
  heap_end (md);

  /* What closing changes, and nothing else.  */
  struct mmalloc_info closed = probe (path);
  ck_assert_int_eq (closed.in_use, 0);
  ck_assert_int_eq (closed.clean, 1);
  ck_assert_uint_gt (closed.generation, info.generation);
  ck_assert_uint_eq (info.users, 1);
  info.users = closed.users;
  info.in_use = closed.in_use;
  info.clean = closed.clean;
  info.generation = closed.generation;
  same (&closed, &info);
}
END_TEST

START_TEST (heap_as_usual)
{
  void *md = heap_file ();
  void *other = mmalloc_open (temp_path ("other"), MMALLOC_CREATE, NULL);
  struct mmalloc_info a = probe (temp_heap_path ());
  struct mmalloc_info b = probe (temp_path ("other"));
  ck_assert_uint_eq (a.app_version, 0);
  ck_assert_uint_eq (a.streams, 1);
  ck_assert_uint_eq (a.capacity, heap_stats (md).capacity);
  ck_assert_int_eq (a.guards, 0);
  ck_assert_ptr_eq (b.base, other);
  ck_assert_int_ne (memcmp (a.uuid, b.uuid, sizeof a.uuid), 0);
  both_agree (temp_heap_path (), md);
  both_agree (temp_path ("other"), other);
  ck_assert_ptr_nonnull (mmalloc (md, MIB (5)));
  ck_assert_uint_gt (probe (temp_heap_path ()).length, a.length + MIB (4));
  both_agree (temp_heap_path (), md);
  /* The name goes before the descriptor.  */
  int fd = open (temp_path ("other"), O_RDWR);
  ck_assert_ptr_eq (ask (temp_heap_path (), fd).base, md);
  ck_assert_ptr_eq (ask (NULL, fd).base, other);
  close (fd);
  heap_end (md);
  heap_end (other);
}
END_TEST

/* Have the test's heap open with the flags at FLAGS.  */
static void
keep_open (void *flags)
{
  void *md = mmalloc_open (temp_heap_path (), *(int *) flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  baton_pass (baton);
  baton_wait (baton);
  ck_assert_ptr_null (mmalloc_detach (md));
}

/* The whole file is locked through the descriptor that is asked about, and
   stays so, also the bytes behind all data, where the library's locks are.  */
START_TEST (locked_by_the_program)
{
  struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  heap_end (heap_file ());
  int fd = open (temp_heap_path (), O_RDWR);
  int other = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (fcntl (fd, F_OFD_SETLK, &l), 0);
  ck_assert_int_eq (ask (NULL, fd).kind, MMALLOC_FILE_HEAP);
  struct flock end = { .l_type = F_WRLCK, .l_whence = SEEK_SET,
                       .l_start = INT64_C (1) << 62 };
  ck_assert_int_eq (fcntl (other, F_OFD_GETLK, &end), 0);
  ck_assert_int_eq (end.l_type, F_WRLCK);
  ck_assert_int_eq (end.l_start, 0);
  ck_assert_int_eq (end.l_len, 0);
  close (fd);
  close (other);
}
END_TEST

START_TEST (in_use_and_clean)
{
  const char *path = temp_heap_path ();
  void *md = heap_file ();
  in_state (path, 1, 0);
  heap_end (md);
  in_state (path, 0, 1);

  /* Who only reads does not use it.  */
  static int flags[] = { MMALLOC_RDONLY, MMALLOC_PRIVATE, MMALLOC_ELSEWHERE,
                         0 };
  for (int i = 0; i < 4; i++)
    {
      struct child child = child_start (keep_open, &flags[i]);
      baton_wait (child.baton);
      in_state (path, flags[i] == 0, flags[i] != 0);
      baton_pass (child.baton);
      ck_assert_int_eq (child_end (child), 0);
      in_state (path, 0, 1);
    }
  struct child child = child_start (keep_open, &flags[3]);
  baton_wait (child.baton);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child), 128 + SIGKILL);
  in_state (path, 0, 0);
  heap_end (heap_file ());
  in_state (path, 0, 1);
  /* Killed as the first one who opened it.  */
  patch (path, &(uint32_t) { RECOVERING }, 4, STATE_AT);
  in_state (path, 0, 0);
}
END_TEST

/* One who is left keeps the heap in use, one who was killed does not make it
   unclean.  */
START_TEST (last_one_counts)
{
  static int flags = 0;
  const char *path = temp_heap_path ();
  heap_end (heap_file ());
  struct child child[2];
  for (int i = 0; i < 2; i++)
    {
      child[i] = child_start (keep_open, &flags);
      baton_wait (child[i].baton);
    }
  heap_end (heap_file ());
  in_state (path, 1, 0);
  ck_assert_int_eq (kill (child[0].pid, SIGKILL), 0);
  ck_assert_int_eq (child_end (child[0]), 128 + SIGKILL);
  in_state (path, 1, 0);
  baton_pass (child[1].baton);
  ck_assert_int_eq (child_end (child[1]), 0);
  in_state (path, 0, 1);
}
END_TEST


/* ---- Damaged heaps ---------------------------------------------------- */

/* The heap before it was damaged.  */
static struct mmalloc_info whole;

static void
make_closed (void)
{
  heap_end (heap_limited (IN_FILE, MIB (16)));
  whole = probe (temp_heap_path ());
}

/* The file is a heap of this version that cannot be opened, for CODE.  What is
   told of it is right.  */
static void
refused (const char *path, int code, uint64_t magic, unsigned int version)
{
  struct mmalloc_info info = probe_as (path, code), known = whole;
  known.file_size = (size_t) file_length (path);
  known.magic = magic;
  known.format = info.format != 0 ? version : 0;
#define MAY_BE_ZERO(member) \
  if (block_is_zero (&info.member, sizeof info.member)) \
    memset (&known.member, 0, sizeof known.member)
  MAY_BE_ZERO (base);
  MAY_BE_ZERO (length);
  MAY_BE_ZERO (capacity);
  MAY_BE_ZERO (generation);
  MAY_BE_ZERO (streams);
  MAY_BE_ZERO (clean);
  MAY_BE_ZERO (uuid);
  same (&info, &known);
}

/* One copy is the valid one, the other one generation older.  */
START_TEST (one_superblock_damaged)
{
  const char *path = temp_heap_path ();
  unsigned long sum = 0;
  for (int copy = 0; copy < COPIES; copy++)
    {
      make_closed ();
      patch (path, "scribble", 8, copy * COPY_SIZE + 40);
      struct mmalloc_info info = probe (path);
      sum += whole.generation - info.generation;
      info.generation = whole.generation;
      same (&info, &whole);
      ck_assert_int_eq (unlink (path), 0);
    }
  ck_assert_uint_eq (sum, 1);
  /* The first word with it.  */
  make_closed ();
  patch (path, "scribble", 8, 0);
  struct mmalloc_info info = probe (path);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_HEAP);
  ck_assert_ptr_eq (info.base, whole.base);
  ck_assert_int_eq (memcmp (&info.magic, "scribble", 8), 0);
}
END_TEST

START_TEST (both_superblocks_damaged)
{
  const char *path = temp_heap_path ();
  make_closed ();
  patch_both (path, "scribble", 8, 40);
  refused (path, EBADMSG, HEAP_WORD, whole.format);
  patch_both (path, "scribble", 8, 0);
  struct mmalloc_info info = probe (path);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_OTHER);
  ck_assert_int_eq (memcmp (&info.magic, "scribble", 8), 0);
  must_fail (NULL, mmalloc_open (path, MMALLOC_RDONLY, NULL), EINVAL);
}
END_TEST

START_TEST (not_for_this_library)
{
  const char *path = temp_heap_path ();
  make_closed ();
  /* The next one is of heaps with a log.  */
  uint32_t newer = whole.format + 2;
  patch_both (path, &newer, sizeof newer, VERSION_AT);
  refused (path, ENOTSUP, HEAP_WORD, newer);
  patch_both (path, &whole.format, sizeof newer, VERSION_AT);
  ck_assert_int_eq (probe (path).kind, MMALLOC_FILE_HEAP);
  uint64_t turned = __builtin_bswap64 (HEAP_WORD);
  patch_both (path, &turned, sizeof turned, 0);
  refused (path, ENOTSUP, turned, whole.format);
}
END_TEST

START_TEST (cut_off)
{
  const char *path = temp_heap_path ();
  make_closed ();
  off_t lengths[] = { file_length (path) - 4096, 40000, 36864, 36863, 20000,
                      COPY_SIZE + 200, COPY_SIZE + 8, 200 };
  for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
    {
      ck_assert_int_eq (truncate (path, lengths[i]), 0);
      refused (path, EBADMSG, HEAP_WORD, whole.format);
    }
  ck_assert_int_eq (truncate (path, 0), 0);
  ck_assert_int_eq (probe (path).kind, MMALLOC_FILE_EMPTY);
}
END_TEST


/* ---- Maps ------------------------------------------------------------- */

START_TEST (static_map)
{
  const char *path = map_path (STATIC_MAP);
  void *map = map_make (STATIC_MAP, 100003, 24, 3);
  void *base = map_stats (map).address;
  struct mmalloc_info info = probe (path);
  ck_assert_int_eq (info.in_use, 1);
  struct mmalloc_info by_address = info_of (base);
  ck_assert_uint_eq (by_address.opened, 1);
  info.opened = by_address.opened;
  ck_assert_uint_eq (by_address.mapped, 100003);
  ck_assert_uint_eq (info.users, 1);
  info.mapped = by_address.mapped;
  same (&by_address, &info);
  map_is_there (qalloc_loadmap (path));
  ck_assert_uint_eq (info_of (base).opened, 2);
  info_of_none ((char *) base + 16);
  info_of_none (map);
  ck_assert_int_eq (qalloc_close (map), 0);
  ck_assert_uint_eq (info_of (base).opened, 1);
  map_end (map);
  info_of_none (base);
  info = probe (path);
  is_other (&info, 100003, STATIC_WORD, (uintptr_t) base);
}
END_TEST

START_TEST (dynamic_map)
{
  const char *path = map_path (DYNAMIC_MAP);
  const size_t size = MIB (1) + 777;
  void *map = map_make (DYNAMIC_MAP, (off_t) size, 0, 5);
  void *base = map_stats (map).address;
  both_agree (path, base);
  ck_assert_uint_eq (info_of (base).opened, 1);
  ck_assert_int_eq (probe (path).in_use, 1);
  map_end (map);
  struct mmalloc_info info = probe (path);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_HEAP);
  ck_assert_ptr_eq (info.base, base);
  ck_assert_uint_eq (info.file_size, size);
  ck_assert_uint_le (info.capacity, size);
  ck_assert_uint_eq (info.app_version, DYNAMIC_VERSION);
  ck_assert_uint_eq (info.magic, HEAP_WORD);
  ck_assert_uint_eq (info.streams, 5);
  ck_assert_int_eq (info.clean, 1);
  ck_assert_int_eq (info.in_use, 0);
}
END_TEST


/* ---- What is open ----------------------------------------------------- */

START_TEST (anonymous)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.app_version = 12;
  opt.streams = 3;
  opt.maximum = MIB (32);
  char *md = mmalloc_open (NULL, 0, &opt);
  ck_assert_int_eq (info_of (md).guards, 0);
  ck_assert_int_eq (mmcheckf (md, NULL, 1), 1);
  char *block = mmalloc (md, 100000);
  struct mmalloc_info info = info_of (md);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_HEAP);
  ck_assert_uint_eq (info.format, 2);
  ck_assert_ptr_eq (info.base, md);
  ck_assert_uint_eq (info.length, heap_stats (md).length);
  ck_assert_uint_eq (info.capacity, heap_stats (md).capacity);
  ck_assert_uint_eq (info.file_size, 0);
  ck_assert_uint_eq (info.app_version, 12);
  ck_assert_uint_eq (info.streams, 3);
  ck_assert_uint_eq (info.opened, 1);
  ck_assert_int_eq (info.in_use, 1);
  ck_assert_int_eq (info.clean, 0);
  ck_assert_int_eq (info.guards, 1);
  must (block_is_zero (info.uuid, sizeof info.uuid));
  info_of_none (block);
  info_of_none (md + 1);
  info_of_none (md - 4096);
  info_of_none (&info);
  heap_end (md);
  info_of_none (md);
}
END_TEST

/* NULL is the default heap, which may have been made for the question.  */
START_TEST (default_heap)
{
  struct mmalloc_info info = info_of (NULL);
  void *md = mmalloc_find (mmalloc (NULL, 100));
  ck_assert_ptr_nonnull (md);
  ck_assert_int_eq (info.kind, MMALLOC_FILE_HEAP);
  ck_assert_ptr_eq (info.base, md);
  ck_assert_uint_eq (info.file_size, 0);
  ck_assert_uint_eq (info.capacity, heap_stats (NULL).capacity);
  ck_assert_uint_eq (info.opened, 1);
  struct mmalloc_info again = info_of (NULL), by_address = info_of (md);
  same (&by_address, &again);
}
END_TEST

START_TEST (opened_counts)
{
  void *md = heap_file ();
  for (unsigned int n = 1; n < 5; n++)
    {
      ck_assert_uint_eq (info_of (md).opened, n);
      ck_assert_ptr_eq (heap_file (), md);
    }
  void *other = mmalloc_open (temp_heap_path (), MMALLOC_ELSEWHERE, NULL);
  ck_assert_ptr_ne (other, md);
  /* That one is opened for itself, and recorded for the same address.  */
  struct mmalloc_info info = info_of (other);
  ck_assert_uint_eq (info.opened, 1);
  ck_assert_ptr_eq (info.base, md);
  ck_assert_uint_eq (info.file_size, (size_t) file_length (temp_heap_path ()));
  heap_end (other);
  for (unsigned int n = 5; n > 0; n--)
    {
      ck_assert_uint_eq (info_of (md).opened, n);
      ck_assert_ptr_null (mmalloc_detach (md));
    }
  info_of_none (md);
}
END_TEST

static void
ask_as_child (void *parents)
{
  const struct mmalloc_info *expected = parents;
  struct mmalloc_info info = info_of (expected->base);
  same (&info, expected);
  both_agree (temp_heap_path (), expected->base);
  in_state (temp_path ("closed"), 0, 1);
  ask_in_vain (temp_path ("none"), -1, ENOENT);
  /* Only asked, so it did not come back to the heap of its parent.  */
  baton_pass (baton);
  baton_wait (baton);
  in_state (temp_heap_path (), 0, 1);
}

START_TEST (child_of_fork)
{
  void *md = mmalloc_open (temp_path ("closed"), MMALLOC_CREATE, NULL);
  heap_end (md);
  md = heap_file ();
  struct mmalloc_info info = info_of (md);
  struct child child = child_start (ask_as_child, &info);
  baton_wait (child.baton);
  heap_end (md);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}
END_TEST

RUN_TESTS (no_file, read_permission, empty_and_junk, unfinished,
           heap_with_options, heap_as_usual, locked_by_the_program,
           in_use_and_clean, last_one_counts,
           one_superblock_damaged, both_superblocks_damaged,
           not_for_this_library, cut_off, static_map, dynamic_map, anonymous,
           default_heap, opened_counts, child_of_fork)
