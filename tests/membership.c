/* Who has the file: processes whose descriptors the program has closed or
   replaced, fork children that can open nothing, and locks of others in the
   way.  Nothing is written elsewhere, nobody thinks itself alone, nobody waits
   for ever.  */

#include <sys/resource.h>
#include <sys/uio.h>

static ssize_t peek (pid_t, const struct iovec *, unsigned long,
                     const struct iovec *, unsigned long, unsigned long);
#define process_vm_readv peek
#include "inside.h"
#undef process_vm_readv
#include "mounts.h"

enum { N = 20000, NOBODY = 65534 };

static void *md;

static int
other_file (void)
{
  int fd = open (temp_path ("other"), O_RDWR | O_CREAT | O_TRUNC, 0666);
  static char page[4096];
  memset (page, 'x', sizeof page);
  for (int i = 0; i < 256; i++)
    must (write (fd, page, sizeof page) == sizeof page);
  return fd;
}

static void
other_is_untouched (void)
{
  static char page[4096];
  int fd = open (temp_path ("other"), O_RDONLY);
  ck_assert_int_eq (file_length (temp_path ("other")), 256 * 4096);
  while (read (fd, page, sizeof page) > 0)
    for (size_t i = 0; i < sizeof page; i++)
      must (page[i] == 'x');
  close (fd);
}

/* The file's superblocks have its number, and no other.  */
static void
supers_know_file (void)
{
  struct disk_super s;
  struct stat st;
  int fd = open (temp_heap_path (), O_RDONLY);
  ck_assert_int_eq (fstat (fd, &st), 0);
  for (int i = 0; i < 2; i++)
    {
      ck_assert_int_eq (pread (fd, &s, sizeof s, i * MM_PAGE), sizeof s);
      ck_assert_uint_eq (s.ino, st.st_ino);
    }
  close (fd);
}

/* The program has another file where the library's were, or one of them.  */
START_TEST (replaced)
{
  int other = other_file (), both = _i % 2;
  md = heap_file ();
  struct heap *h = heap_of (md);
  void *large = mmalloc (md, MIB (2));
  int fd = h->file.fd, lock_fd = h->file.lock_fd;
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  ck_assert_int_eq (dup2 (other, fd), fd);
  if (both)
    ck_assert_int_eq (dup2 (other, lock_fd), lock_fd);
  must_fail (md, mmalloc (md, MIB (100)), EBADF);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), "descriptor"));
  mfree (md, large);
  mmalloc_trim (md);
  ck_assert_ptr_null (mmalloc_detach (md));
  other_is_untouched ();
  /* They are the program's now.  */
  ck_assert_int_ge (fcntl (fd, F_GETFD), 0);
  ck_assert_int_eq (fcntl (lock_fd, F_GETFD) >= 0, both);
  supers_know_file ();
  md = heap_file ();
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

static void
attached_child (void *unused)
{
  (void) unused;
  md = heap_file ();
  must (mmalloc (md, 100) != NULL);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

/* What another file's locks say is not asked: a neighbour lives on.  */
START_TEST (neighbour_lives)
{
  struct child child = child_start (attached_child, NULL);
  baton_wait (child.baton);
  md = heap_file ();
  struct mmalloc_info info;
  /* The other witness is its number, which not everybody knows.  */
  ck_assert (!heap_of (md)->file.sure);
  ck_assert_int_ne (dup2 (other_file (), heap_of (md)->file.lock_fd), -1);
  ck_assert_int_eq (mmalloc_info (md, &info), 0);
  ck_assert_uint_eq (info.users, 2);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  mmalloc_detach (md);
  other_is_untouched ();
}
END_TEST

/* A trace does not go into another file.  */
START_TEST (trace_replaced)
{
  int other = other_file ();
  setenv ("MALLOC_TRACE", temp_path ("trace"), 1);
  ck_assert_int_eq (mmtrace (), 1);
  md = heap_file ();
  int fd = atomic_load (&library_process.trace_fd);
  ck_assert_int_eq (dup2 (other, fd), fd);
  for (int i = 0; i < 100; i++)
    mfree (md, mmalloc (md, 100));
  other_is_untouched ();
  heap_end (md);
}
END_TEST

/* A daemon closes all it has and goes on; another process comes.  */
static void
daemon_goes_on (void *unused)
{
  (void) unused;
  md = heap_file ();
  void **mine = mmalloc (md, N * sizeof *mine);
  struct heap *h = heap_of (md);
  must (mine != NULL);
  lose_all (&h->file);
  baton_pass (baton);
  baton_wait (baton);
  for (size_t i = 0; i < N; i++)
    if ((mine[i] = mmalloc (md, 100)) != NULL)
      block_fill (mine[i], 100, i);
  baton_pass (baton);
  baton_wait (baton);
  for (size_t i = 0; i < N; i++)
    must (mine[i] == NULL || block_holds (mine[i], 100, i));
  must (mine[0] != NULL);
  _exit (0);
}

START_TEST (closed)
{
  struct child child = child_start (daemon_goes_on, NULL);
  baton_wait (child.baton);
  md = heap_file ();
  for (int i = 0; i < N / 2; i++)
    block_fill (mmalloc (md, 100), 100, 1);
  baton_pass (child.baton);
  baton_wait (child.baton);
  for (int i = 0; i < N / 2; i++)
    block_fill (mmalloc (md, 100), 100, 1);
  /* Nor when everybody else has left.  */
  heap_end (md);
  md = heap_file ();
  ck_assert_ptr_nonnull (md);
  for (int i = 0; i < N; i++)
    block_fill (mmalloc (md, 100), 100, 1);
  heap_is_whole (md);
  heap_end (md);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
             EBUSY);
  md = heap_file ();
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
  /* Dead it is believed no more.  */
  md = heap_file ();
  ck_assert_uint_eq (heap_of (md)->locks->n_entered, 1);
  heap_end (md);
}
END_TEST

/* They are closed while the file is cut: nobody stays in the door for that.  */
static struct heap *trimmed;

static void
lose_locks (void)
{
  close (trimmed->file.lock_fd);
}

static void
closes_at_door (void *unused)
{
  (void) unused;
  md = heap_file ();
  trimmed = heap_of (md);
  mfree (md, mmalloc (md, MIB (20)));
  os.fcntl = door_fcntl;
  at_door = lose_locks;
  mmalloc_trim (md);
  must (os.fcntl == real_fcntl);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (closed_at_door)
{
  struct child child = child_start (closes_at_door, NULL);
  baton_wait (child.baton);
  md = mmalloc_open (temp_heap_path (), MMALLOC_NOWAIT, NULL);
  ck_assert_ptr_nonnull (md);
  ck_assert_int_eq (entries_in_use (md), 2);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

/* A parent that gives something up, and a child that then can open nothing.  */
static void
give_up (int what)
{
  struct rlimit few = { 40, 40 };
  switch (what)
    {
    case 0:
      must (setresuid (NOBODY, NOBODY, NOBODY) == 0);
      break;
    case 1:
      must (chroot (support_test_dir) == 0);
      break;
    case 2:
      must (setrlimit (RLIMIT_NOFILE, &few) == 0);
      while (open ("/dev/null", O_RDONLY) >= 0)
        continue;
      break;
    }
}

/* The child is a user before its parent has gone, or when it has.  */
static void
forking (void *kind)
{
  int what = (int) (size_t) kind % 3;
  bool early = (size_t) kind < 3;
  md = heap_file ();
  must (mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE, NULL,
                             KIB (64), told_region, NULL) != NULL);
  char *before = mmalloc (md, 100);
  block_fill (before, 100, 7);
  int joined[2];
  char c = 'j';
  must (pipe (joined) == 0);
  give_up (what);
  pid_t parent = getpid (), pid = fork ();
  must (pid >= 0);
  if (pid > 0)
    {
      must (!early || read (joined[0], &c, 1) == 1);
      /* Killed, so that nothing is said in order.  */
      raise (SIGKILL);
    }
  must (!early || mmalloc (md, 8) != NULL);
  /* Of the parent's mapping, which is not here.  */
  must (what == 2 || !early || heap_of (md)->file.witness == NULL);
  must (write (joined[1], &c, 1) == 1);
  while (getppid () == parent)
    usleep (1000);
  mfree (md, before);
  block_fill (before = mmalloc (md, 100), 100, 8);
  baton_pass (baton);
  baton_wait (baton);
  must (block_holds (before, 100, 8));
  _exit (0);
}

START_TEST (children)
{
  if (geteuid () != 0)
    {
      skip ("only root can give up rights");
      return;
    }
  umask (077);
  struct child child = child_start (forking, (void *) (size_t) _i);
  baton_wait (child.baton);
  md = heap_file ();
  /* The parent counts if the child came to it.  */
  ck_assert_uint_eq (heap_of (md)->locks->n_entered, _i < 3 ? 3 : 2);
  for (int i = 0; i < N; i++)
    block_fill (mmalloc (md, 100), 100, 1);
  ck_assert_ptr_nonnull (mmalloc_region_open (temp_path ("region"), 0, NULL, 0,
                                              told_region, NULL));
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  baton_pass (child.baton);
  child_end (child);
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

/* A child that can have no lock.  It learns of that at its first call, and from
   the opening of a region that it has; and when there are locks again it is a
   user like any other.  */
static bool no_locks;

static int
fcntl_without_locks (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  if (no_locks && (what == F_OFD_SETLK || what == F_SETLK)
      && l->l_type != F_UNLCK)
    return errno = ENOLCK, -1;
  return real_fcntl (fd, what, l);
}

/* Both calls fail, or both give something.  */
static void
call_works (int kind, bool works)
{
  void *p = kind == 3 ? mmalloc_region_open (temp_path ("region"), 0, NULL, 0,
                                             told_region, NULL)
            : kind == 2 ? mmalloc (md, 100) : mmalloc_getroot (md, "root");
  void *of = kind == 3 ? NULL : md;
  ck_assert_msg ((p != NULL) == works, "kind %d: %s", kind,
                 mmalloc_strerror (of));
  if (!works)
    {
      ck_assert_int_eq (mmalloc_errno (of), ENOLCK);
      ck_assert_ptr_nonnull (strstr (mmalloc_strerror (of), "no locks"));
    }
}

static void
child_without_locks (void *number)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE };
  int kind = (int) (size_t) number;
  os.fcntl = fcntl_without_locks;
  md = kind == 3 ? mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                        NULL, KIB (64), told_region, NULL)
                 : mmalloc_open (temp_heap_path (), flags[kind], NULL);
  ck_assert_ptr_nonnull (md);
  /* As if it had come through fork itself, and had none to share.  */
  library_process.files->unseen = true;
  no_locks = true;
  pid_t pid = fork ();
  if (pid > 0)
    {
      int status;
      no_locks = false;
      ck_assert_int_eq (kind == 3 ? mmalloc_region_close (md)
                                  : mmalloc_detach (md) != NULL, 0);
      baton_pass (baton);
      ck_assert_int_eq (waitpid (pid, &status, 0), pid);
      _exit (status != 0);
    }
  call_works (kind, false);
  call_works (kind, false);
  /* The parent has let its lock go.  */
  baton_wait (baton);
  no_locks = false;
  call_works (kind, true);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (no_locks_for_a_child)
{
  int kind = _i % 4;
  md = heap_file ();
  ck_assert_int_eq (mmalloc_setroot (md, "root", md), 0);
  heap_end (md);
  struct child child = child_start (child_without_locks,
                                    (void *) (size_t) kind);
  baton_wait (child.baton);
  baton_pass (child.baton);
  baton_wait (child.baton);
  struct file f = { .kind = kind == 3 ? &kind_region : &kind_file,
                    .fd = -1, .lock_fd = -1 };
  struct reason why;
  const char *path = kind == 3 ? temp_path ("region") : temp_heap_path ();
  ck_assert_int_eq (file_open (&f, path, -1, false, 0, &why), 0);
  ck_assert_int_eq (file_reopen (&f, path, false), 0);
  ck_assert (member_has_others (&f, kind == 3   ? MM_BYTE_ALIVE
                                    : kind == 2 ? MM_BYTE_PRIVATE
                                                : MM_BYTE_READERS));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}
END_TEST

/* What is mapped counts, without a descriptor, and in the child of a process
   that had none any more.  */
static void
mapping_goes_on (void *kind)
{
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  must (md != NULL);
  must (mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE, NULL,
                             KIB (64), told_region, NULL) != NULL);
  for (struct file *f = library_process.files; f != NULL; f = f->next)
    {
      close (f->fd);
      close (f->lock_fd);
    }
  if (kind != NULL && fork () > 0)
    raise (SIGKILL);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (mapped)
{
  if (overlay_is_here ())
    return;
  heap_end (heap_file ());
  struct child child = child_start (mapping_goes_on,
                                    (void *) (size_t) (_i % 2));
  baton_wait (child.baton);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  void *region = mmalloc_region_open (temp_path ("region"), 0, NULL, 0,
                                      told_region, NULL);
  ck_assert_ptr_nonnull (region);
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  baton_pass (child.baton);
  child_end (child);
  /* The child of the child ends in its own time.  */
  while ((md = mmalloc_open (temp_heap_path (), 0, NULL)) == NULL)
    usleep (1000);
  heap_is_whole (md);
  heap_end (md);
  for (;; usleep (1000))
    {
      region = mmalloc_region_open (temp_path ("region"), 0, NULL, 0,
                                    told_region, NULL);
      ck_assert_int_eq (mmalloc_region_close (region), 0);
      if (region_told == MMALLOC_REGION_FIRST)
        break;
    }
}
END_TEST

/* What of the system fails: in a child, as if it had run out of it; to look at
   another process.  */
static bool no_more_files, no_more_locks;
static int newcomers, peek_error, stat_error;
/* Another word for this mark, just before it is read or just after.  */
static disk_u64 *new_mark;
static bool mark_before;

static void
mark_anew (void)
{
  if (new_mark != NULL)
    *new_mark += 1;
  new_mark = NULL;
}

static ssize_t
peek (pid_t pid, const struct iovec *to, unsigned long n_to,
      const struct iovec *from, unsigned long n_from, unsigned long flags)
{
  if (mark_before)
    mark_anew ();
  ssize_t n = process_vm_readv (pid, to, n_to, from, n_from, flags);
  mark_anew ();
  if (peek_error == 0)
    return n;
  errno = peek_error;
  return -1;
}

static int
failing_open (const char *path, int flags, ...)
{
  va_list ap;
  va_start (ap, flags);
  unsigned mode = va_arg (ap, unsigned);
  va_end (ap);
  bool looks = strncmp (path, "/proc/", 6) == 0
               && strcmp (path + strlen (path) - 5, "/stat") == 0;
  if (!no_more_files && (!looks || stat_error == 0))
    return open (path, flags, mode);
  errno = no_more_files ? EMFILE : stat_error;
  return -1;
}

/* Newcomers have the lock of the process for moments.  */
static int
failing_fcntl (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  bool takes = (what == F_SETLK || what == F_OFD_SETLK)
               && l->l_type != F_UNLCK;
  bool taken = what == F_SETLK && takes && newcomers > 0 && newcomers-- > 0;
  if (!taken && !(takes && no_more_locks))
    return real_fcntl (fd, what, l);
  errno = taken ? EAGAIN : ENOLCK;
  return -1;
}

static void
comes_through_fork (void *where)
{
  baton_pass (baton);
  baton_wait (baton);
  if (where != NULL)
    must (mmalloc_region_close (where) == 0);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

/* The child of one that has a copy and a map can have no locks of its own: its
   parent's are good for both, until both have gone.  Also in an overlay, where
   what is mapped is another file, and keeps no locks.  */
START_TEST (shared_locks)
{
  if (_i == 5 && !overlay_enter ())
    return;
  heap_end (heap_file ());
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  void *region = mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                      NULL, KIB (64), told_region, NULL);
  ck_assert_ptr_nonnull (region);
  os.open = failing_open;
  os.fcntl = failing_fcntl;
  no_more_files = _i % 2;
  no_more_locks = _i % 3;
  struct child child = child_start (comes_through_fork, region);
  no_more_files = no_more_locks = false;
  baton_wait (child.baton);
  heap_end (md);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_nonnull (mmalloc_region_open (temp_path ("region"), 0, NULL, 0,
                                              told_region, NULL));
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  baton_pass (child.baton);
  baton_wait (child.baton);
  ck_assert_ptr_nonnull (mmalloc_region_open (temp_path ("region"), 0, NULL, 0,
                                              told_region, NULL));
  ck_assert_int_eq (region_told, MMALLOC_REGION_FIRST);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (heap_file ());
}
END_TEST

/* Who has closed the file stays a user of it by what his parent, or his child,
   has open still.  */
static void
closes_first (void *where)
{
  must (mmalloc_region_close (where) == 0);
  must (mmalloc_detach (md) == NULL);
}

START_TEST (shared_locks_of_the_parent)
{
  heap_end (heap_file ());
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  void *region = mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                      NULL, KIB (64), told_region, NULL);
  ck_assert_ptr_nonnull (region);
  os.open = failing_open;
  no_more_files = true;
  ck_assert_int_eq (child_run (closes_first, region), 0);
  no_more_files = false;
  for (struct file *f = library_process.files; f != NULL; f = f->next)
    {
      struct file other = { .dev = f->dev, .ino = f->ino,
                            .fd = open (f->kind->heap ? temp_heap_path ()
                                                      : temp_path ("region"),
                                        O_RDWR) };
      other.lock_fd = other.fd;
      must (byte_is_locked (&other, f->byte, F_WRLCK));
      close (other.fd);
    }
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  heap_end (md);
}
END_TEST

/* Locks that belong to the process go with each descriptor of the file that it
   closes, and are taken again, though newcomers try them meanwhile.  */
static void
closes_a_descriptor (void *unused)
{
  (void) unused;
  struct mmalloc_info info;
  struct heap *h = heap_of (md);
  struct file other = { .dev = h->file.dev, .ino = h->file.ino };
  no_more_files = true;
  must (mmalloc (md, 100) != NULL);
  no_more_files = false;
  must (h->file.of_process);
  other.fd = other.lock_fd = open (temp_heap_path (), O_RDWR);
  must (byte_is_locked (&other, h->file.byte, F_WRLCK));
  newcomers = 30;
  must (mmalloc_probe (temp_heap_path (), -1, &info) == 0);
  must (newcomers == 0);
  must (byte_is_locked (&other, h->file.byte, F_WRLCK));
}

START_TEST (locks_taken_again)
{
  md = heap_file ();
  os.open = failing_open;
  os.fcntl = failing_fcntl;
  ck_assert_int_eq (child_run (closes_a_descriptor, NULL), 0);
  heap_end (md);
}
END_TEST

/* A program that was begun by exec has nothing of the heap any more, whether
   others may look at its memory or not.  */
static void
begins_another_program (void *out)
{
  must (heap_file () != NULL);
  must (dup2 (*(int *) out, 1) == 1);
  execlp ("sh", "sh", "-c", "echo; exec sleep 100", NULL);
}

START_TEST (another_program)
{
  int out[2];
  char c;
  ck_assert_int_eq (pipe2 (out, O_CLOEXEC), 0);
  struct child child = child_start (begins_another_program, &out[1]);
  close (out[1]);
  ck_assert_int_eq (read (out[0], &c, 1), 1);
  peek_error = _i % 2 ? EPERM : 0;
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  peek_error = 0;
  heap_end (md);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  child_end (child);
}
END_TEST

static void
close_all (void)
{
  for (struct file *f = library_process.files; f != NULL; f = f->next)
    lose_all (f);
}

static void *
goes_on_alone (void *first)
{
  char c;
  struct iovec to = { &c, 1 }, from = { first, 1 };
  /* The system finds no memory where there is no first thread.  */
  while (first != NULL
         && process_vm_readv (getpid (), &to, 1, &from, 1, 0) == 1)
    usleep (1000);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

/* Lives without a lock, and without its first thread.  */
static void
lives_on (void *first_ends)
{
  must (heap_file () != NULL);
  close_all ();
  if (first_ends == NULL)
    goes_on_alone (NULL);
  static char c;
  thread_start (goes_on_alone, &c);
  pthread_exit (NULL);
}

START_TEST (first_thread_ends)
{
  struct child child = child_start (lives_on, "");
  baton_wait (child.baton);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL),
             EBUSY);
  ck_assert_int_eq (kill (child.pid, SIGKILL), 0);
  child_end (child);
  heap_end (mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL));
}
END_TEST

/* Neither its memory can be read nor what else the system tells of it.  */
START_TEST (nothing_is_told)
{
  static const int codes[] = { 0, EMFILE, EACCES, ENOENT };
  struct child child = child_start (lives_on, NULL);
  baton_wait (child.baton);
  os.open = failing_open;
  peek_error = EPERM;
  stat_error = codes[_i % 4];
  md = mmalloc_open (temp_heap_path (), MMALLOC_PRIVATE, NULL);
  ck_assert_int_eq (md != NULL, stat_error == ENOENT);
  peek_error = stat_error = 0;
  ck_assert_ptr_null (mmalloc_detach (md));
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
}
END_TEST

/* A newcomer makes a new mark when somebody is about to read the old one, or
   has just done so.  */
START_TEST (marked_anew)
{
  struct child child = child_start (lives_on, NULL);
  baton_wait (child.baton);
  md = heap_file ();
  struct heap *h = heap_of (md);
  ck_assert_int_eq (entries_in_use (md), 2);
  mark_before = _i % 2;
  new_mark = &h->locks->mark;
  must (dead_bury_all (h));
  ck_assert_ptr_null (new_mark);
  ck_assert_int_eq (entries_in_use (md), 2);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  must (dead_bury_all (h));
  ck_assert_int_eq (entries_in_use (md), 1);
  heap_end (md);
}
END_TEST

/* Without /proc a process knows neither its PID namespace nor which boot of the
   machine this is: it shares heaps and map files all the same.  */
static void *
region_found (const char *path)
{
  return mmalloc_region_open (path, 0, NULL, 0, told_region, NULL);
}

static void
nowhere (void *unused)
{
  (void) unused;
  baton_wait (baton);
  must (chroot (support_test_dir) == 0);
  must_fail (NULL, mmalloc_open ("/heap", MMALLOC_PRIVATE, NULL), EBUSY);
  void *here = mmalloc_open ("/heap", 0, NULL);
  must (here != NULL && mmalloc (here, MIB (5)) != NULL);
  heap_is_whole (here);
  must (mmalloc_detach (here) == NULL);
  must (region_found ("/region") != NULL);
  must (region_told == MMALLOC_REGION_JOIN);
  baton_pass (baton);
  baton_wait (baton);
}

START_TEST (unknown_boot)
{
  if (geteuid () != 0)
    {
      skip ("only root can change its root directory");
      return;
    }
  struct child child = child_start (nowhere, NULL);
  md = heap_file ();
  void *region = mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                      NULL, KIB (64), told_region, NULL);
  ck_assert_ptr_nonnull (region);
  baton_pass (child.baton);
  baton_wait (child.baton);
  /* He is seen by those who know more.  */
  ck_assert_int_eq (mmalloc_region_close (region), 0);
  ck_assert_ptr_eq (region_found (temp_path ("region")), region);
  ck_assert_int_eq (region_told, MMALLOC_REGION_JOIN);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST

/* Another boot whose locks are seen is one of another machine.  */
static void
elsewhere (void *unused)
{
  (void) unused;
  baton_wait (baton);
  for (uint64_t boot = 1; boot <= 20; boot++)
    {
      library_process.boot_id[0] = boot;
      must_fail (NULL, region_found (temp_path ("region")), ENOTSUP);
      must (strstr (mmalloc_strerror (NULL), "another machine") != NULL);
    }
}

START_TEST (other_machine)
{
  struct child child = child_start (elsewhere, NULL);
  void *region = mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                      NULL, KIB (64), told_region, NULL);
  ck_assert_ptr_nonnull (region);
  baton_pass (child.baton);
  ck_assert_int_eq (child_end (child), 0);
  ck_assert_int_eq (mmalloc_region_close (region), 0);
}
END_TEST

/* Somebody locks all of the file, or some bytes of it.  */
static void
locker (void *type)
{
  baton_wait (baton);
  struct flock l = { .l_type = (short) (size_t) type, .l_whence = SEEK_SET };
  int fd = open (temp_heap_path (),
                 l.l_type == F_RDLCK ? O_RDONLY : O_RDWR);
  must (fcntl (fd, F_SETLK, &l) == 0);
  baton_pass (baton);
  baton_wait (baton);
  _exit (0);
}

START_TEST (locked_by_others)
{
  char number[30];
  library_process.patience[1] = 50;
  struct child child
    = child_start (locker, (void *) (size_t) (_i ? F_RDLCK : F_WRLCK));
  heap_end (heap_file ());
  baton_pass (child.baton);
  baton_wait (child.baton);
  must_fail (NULL, mmalloc_open (temp_heap_path (), 0, NULL), EBUSY);
  snprintf (number, sizeof number, "process %d ", (int) child.pid);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (NULL), number));
  baton_pass (child.baton);
  child_end (child);
  heap_end (heap_file ());
}
END_TEST

/* It comes when the heap is open: who leaves does not wait for it.  */
START_TEST (locked_while_open)
{
  library_process.patience[1] = 50;
  struct child child = child_start (locker, (void *) (size_t) F_RDLCK);
  md = heap_file ();
  ck_assert_ptr_nonnull (mmalloc (md, 100));
  struct heap *h = heap_of (md);
  struct flock l = { .l_type = F_UNLCK, .l_whence = SEEK_SET };
  ck_assert_int_eq (fcntl (h->file.lock_fd, F_OFD_SETLK, &l), 0);
  baton_pass (child.baton);
  baton_wait (child.baton);
  ck_assert_ptr_null (mmalloc_detach (md));
  baton_pass (child.baton);
  child_end (child);
  md = heap_file ();
  heap_is_whole (md);
  heap_end (md);
}
END_TEST

START_TEST (locked_by_itself)
{
  struct flock l = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
  heap_end (heap_file ());
  int fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_eq (fcntl (fd, F_SETLK, &l), 0);
  must_fail (NULL, mmalloc_open (NULL, 0, &(struct mmalloc_options){
                     .size = sizeof (struct mmalloc_options), .fd = fd }),
             EDEADLK);
  close (fd);
}
END_TEST

RUN_KINDS (6, replaced, neighbour_lives, trace_replaced, closed, closed_at_door,
           children, no_locks_for_a_child, mapped, shared_locks,
           shared_locks_of_the_parent, locks_taken_again, another_program,
           first_thread_ends, nothing_is_told, marked_anew,
           unknown_boot, other_machine,
           locked_by_others, locked_while_open, locked_by_itself)
