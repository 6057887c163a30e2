/* A program may be started with descriptors 0, 1 or 2 closed, or close them, as
   daemons do, and still print: the library's own descriptors are never among
   them, whatever it opens, so that no line for people ends up in a file of the
   library.  They are for this process alone all the same: close-on-exec.  */

#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#include "qalloc_support.h"

enum { MOST = 300 };
static int closed;              /* a bit for each */
static int known[MOST];         /* descriptors of the program */

static void
close_some (int which)
{
  closed = which;
  for (int fd = 0; fd < 3; fd++)
    if (closed >> fd & 1)
      close (fd);
  for (int fd = 0; fd < MOST; fd++)
    known[fd] = fcntl (fd, F_GETFD) >= 0;
}

static void
none_is_low (const char *call)
{
  for (int fd = 0; closed != 0 && fd < MOST; fd++)
    if (!known[fd])
      {
        int flags = fcntl (fd, F_GETFD);
        ck_assert_msg (flags < 0 || fd > 2, "%s: has descriptor %d", call, fd);
        ck_assert_msg (flags < 0 || (flags & FD_CLOEXEC) != 0,
                       "%s: descriptor %d would be inherited", call, fd);
      }
}

/* CALL is made, and takes no low descriptor.  */
#define quietly(call) ((call), none_is_low (#call))

static void
say_a_line (void)
{
  static const char line[] = "a line of some length for people to read\n";
  for (int fd = 0; fd < 3; fd++)
    if (closed >> fd & 1)
      {
        ssize_t ignored = write (fd, line, sizeof line - 1);
        (void) ignored;
      }
}

static void
say_much (void)
{
  for (int i = 0; i < 300; i++)
    say_a_line ();
}

/* What is in the heap, from one process to the next.  */
enum { SIZE = 5000 };

static void
put (void *md)
{
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  void *block = mmalloc (md, SIZE);
  must (block != NULL);
  block_fill (block, SIZE, 1);
  ck_assert_int_eq (mmalloc_setroot (md, "block", block), 0);
}

static void
look (void *md)
{
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  void *block = mmalloc_getroot (md, "block");
  must (block != NULL && block_holds (block, SIZE, 1));
}

static void
heap_is_good (void)
{
  void *md = mmalloc_open (temp_heap_path (), 0, NULL);
  look (md);
  heap_end (md);
}

/* FN with descriptors closed, in a process of its own.  */
#define run_closed(fn) \
  ck_assert_int_eq (child_run (fn, (void *) (size_t) (_i + 1)), 0)


/* ---- Heaps -------------------------------------------------------------- */

static void
by_path (void *which)
{
  void *md, *again, *large;
  close_some ((int) (size_t) which);
  quietly (md = heap_file ());
  put (md);
  quietly (large = mmalloc (md, MIB (20)));
  must (large != NULL);
  mfree (md, large);
  quietly (mmalloc_trim (md));
  quietly (mmalloc_sync (md));
  quietly (mmalloc_prefetch (md));
  say_much ();
  heap_is_whole (md);
  quietly (mmalloc_detach (md));
  for (int flags = 0; flags <= MMALLOC_ELSEWHERE;
       flags = flags == 0 ? MMALLOC_RDONLY : flags * 2)
    {
      quietly (md = mmalloc_open (temp_heap_path (), flags, NULL));
      if (flags != MMALLOC_ELSEWHERE)
        look (md);
      quietly (again = mmalloc_open (temp_heap_path (), flags, NULL));
      say_much ();
      quietly (mmalloc_detach (again));
      heap_end (md);
    }
  none_is_low ("the last detach");
}

START_TEST (heaps)
{
  run_closed (by_path);
  heap_is_good ();
}
END_TEST

static void
by_descriptor (void *which)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  void *md;
  opt.fd = open (temp_heap_path (), O_RDWR | O_CREAT, 0666);
  ck_assert_int_gt (opt.fd, 2);
  close_some ((int) (size_t) which);
  quietly (md = mmalloc_open (NULL, MMALLOC_CREATE, &opt));
  put (md);
  say_much ();
  quietly (mmalloc_detach (md));
  quietly (md = mmalloc_attach (opt.fd, NULL));
  look (md);
  close (opt.fd);
  say_much ();
  quietly (mmalloc_detach (md));

  /* A low one of the program's own stays, and is not needed any more.  */
  opt.fd = open (temp_heap_path (), O_RDWR);
  ck_assert_int_lt (opt.fd, 3);
  md = mmalloc_open (NULL, 0, &opt);
  ck_assert_int_eq (fcntl (opt.fd, F_GETFD), 0);
  close (opt.fd);
  none_is_low ("open by a low descriptor");
  say_much ();
  look (md);
  quietly (mmalloc_detach (md));
}

START_TEST (heaps_by_descriptor)
{
  run_closed (by_descriptor);
  heap_is_good ();
}
END_TEST

static void
refused (void *which)
{
  void *md, *there;
  file_write (temp_path ("junk"), "much of nothing", 15);
  put (md = heap_file ());
  ck_assert_ptr_null (mmalloc_detach (md));
  close_some ((int) (size_t) which);
  quietly (mmalloc_open (temp_path ("none"), 0, NULL));
  quietly (mmalloc_open (temp_path ("junk"), 0, NULL));
  quietly (mmalloc_open (temp_path (""), 0, NULL));
  quietly (mmalloc_open (temp_heap_path (), MMALLOC_CREATE | MMALLOC_EXCL,
                         NULL));
  there = mmap (md, KIB (64), PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS
                                         | MAP_FIXED_NOREPLACE, -1, 0);
  ck_assert_ptr_eq (there, md);
  quietly (md = mmalloc_open (temp_heap_path (), 0, NULL));
  ck_assert_ptr_null (md);
  quietly (qalloc_loadmap (temp_path ("none")));
  quietly (qalloc_loadmap (temp_path ("junk")));
  quietly (qalloc_makedynmap (MIB (1), NULL, temp_path ("junk"), 1));
  quietly (qalloc_makestatmap (MIB (1), NULL, temp_path ("junk"), 8, 1));
}

START_TEST (what_is_refused)
{
  run_closed (refused);
  heap_is_good ();
}
END_TEST

/* Only low ones are free: that is none.  */
static void
no_other (void *which)
{
  struct rlimit limit;
  void *md;
  ck_assert_int_eq (getrlimit (RLIMIT_NOFILE, &limit), 0);
  int used = fcntl (baton, F_DUPFD_CLOEXEC, 3);
  int next = fcntl (baton, F_DUPFD_CLOEXEC, 3);
  ck_assert_int_gt (next, used);
  close (next);
  limit.rlim_cur = (rlim_t) next;
  close_some ((int) (size_t) which);
  ck_assert_int_eq (setrlimit (RLIMIT_NOFILE, &limit), 0);
  must_fail (NULL, mmalloc_open (temp_heap_path (), MMALLOC_CREATE, NULL),
             EMFILE);
  none_is_low ("open without a descriptor left");
  must_refuse (qalloc_makedynmap (MIB (1), NULL, map_path (1), 1), EMFILE);
  none_is_low ("makedynmap without a descriptor left");
  quietly (md = heap_new (ANONYMOUS));
  heap_end (md);
}

START_TEST (none_left)
{
  run_closed (no_other);
}
END_TEST


/* ---- Maps --------------------------------------------------------------- */

static void
maps (void *which)
{
  void *map;
  close_some ((int) (size_t) which);
  for (int kind = 0; kind < MAP_KINDS; kind++)
    {
      quietly (map = map_make (kind, MIB (1), SIZE, 2));
      void *block = qalloc_malloc (map, SIZE);
      must (block != NULL);
      block_fill (block, SIZE, 2);
      ck_assert_int_eq (qalloc_setroot (map, NULL, block), 0);
      quietly (qalloc_checkpoint ());
      say_much ();
      quietly (qalloc_close (map));
      quietly (map = map_is_there (qalloc_loadmap (map_path (kind))));
      quietly (map_make (kind, MIB (1), SIZE, 2));
      say_much ();
      quietly (qalloc_close (map));
      map_is_whole (map);
    }
  quietly (qalloc_cleanup ());
}

START_TEST (maps_of_qalloc)
{
  run_closed (maps);
  for (int kind = 0; kind < MAP_KINDS; kind++)
    {
      void *map = map_is_there (qalloc_loadmap (map_path (kind)));
      must (block_holds (qalloc_getroot (map, NULL), SIZE, 2));
      map_end (map);
    }
}
END_TEST

static int
prepare (void *region, size_t size, enum mmalloc_region_why why,
         const char **reason, void *arg)
{
  (void) size, (void) reason, (void) arg;
  none_is_low ("mmalloc_region_open");
  if (why == MMALLOC_REGION_NEW)
    {
      block_fill ((char *) region + 16, SIZE, 3);
      *(uint64_t *) region = 0x7e57;
    }
  return block_holds ((char *) region + 16, SIZE, 3) ? 0 : EPROTO;
}

static void *
region_file (void)
{
  void *region = mmalloc_region_open (temp_path ("region"), MMALLOC_CREATE,
                                      NULL, SIZE + 16, prepare, NULL);
  ck_assert_msg (region != NULL, "%s", mmalloc_strerror (NULL));
  return region;
}

static void
region_life (void *which)
{
  void *region;
  close_some ((int) (size_t) which);
  for (int round = 0; round < 2; round++)
    {
      quietly (region = region_file ());
      quietly (region_file ());
      say_much ();
      quietly (mmalloc_region_sync (region, SIZE));
      quietly (mmalloc_region_close (region));
      quietly (mmalloc_region_close (region));
    }
}

START_TEST (regions)
{
  run_closed (region_life);
  region_file ();
}
END_TEST


/* ---- Fork --------------------------------------------------------------- */

/* What a child opens for itself comes at once, or with its first call.  */
static int
child_uses (void *md, void *map, void *reader)
{
  none_is_low ("fork");
  quietly (put (md));
  quietly (mfree (md, mmalloc (md, MIB (1))));
  quietly (qalloc_free (qalloc_malloc (map, 10), map));
  say_much ();
  look (reader);
  heap_is_whole (md);
  map_is_whole (map);
  quietly (mmalloc_detach (md));
  quietly (qalloc_close (map));
  return 0;
}

static void
parent (void *which)
{
  int status;
  void *reader;
  put (reader = mmalloc_open (temp_path ("other"), MMALLOC_CREATE, NULL));
  close_some ((int) (size_t) which);
  void *md = heap_file (), *map = map_make (STATIC_MAP, MIB (1), 32, 1);
  region_file ();
  /* Only now, when nothing new can take its place.  */
  ck_assert_ptr_null (mmalloc_detach (reader));
  reader = mmalloc_open (temp_path ("other"), MMALLOC_RDONLY, NULL);
  for (int handlers = 0; handlers < 2; handlers++)
    {
      if (under_a_tool () && !handlers)
        continue;               /* tools want to know of their processes */
      fflush (NULL);
      long pid = handlers ? fork ()
                 : syscall (SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL);
      if (pid == 0)
        _exit (child_uses (md, map, reader));
      ck_assert_int_eq (waitpid ((pid_t) pid, &status, 0), (pid_t) pid);
      ck_assert_int_eq (status, 0);
      none_is_low ("fork, in the parent");
    }
  look (md);
  say_much ();
  heap_end (md);
  map_end (map);
  heap_end (reader);
}

START_TEST (fork_children)
{
  run_closed (parent);
  heap_is_good ();
  region_file ();
  map_end (map_is_there (qalloc_loadmap (map_path (STATIC_MAP))));
}
END_TEST


/* ---- Lines that are the library's own ------------------------------------ */

static void
traced (void *which)
{
  setenv ("MALLOC_TRACE", temp_path ("trace"), 1);
  close_some ((int) (size_t) which);
  int on;
  quietly (on = mmtrace ());
  ck_assert_int_eq (on, 1);
  for (int i = 0; i < 50; i++)
    {
      mfree (NULL, mmalloc (NULL, 100));
      say_a_line ();
    }
}

START_TEST (trace_file)
{
  char line[200];
  int n = 0;
  run_closed (traced);
  FILE *trace = fopen (temp_path ("trace"), "r");
  ck_assert_ptr_nonnull (trace);
  for (; fgets (line, sizeof line, trace) != NULL; n++)
    ck_assert_msg (strchr ("=+-", line[0]) != NULL, "%s", line);
  ck_assert_int_eq (n, 101);
  fclose (trace);
}
END_TEST

static void
misused (void *which)
{
  close_some ((int) (size_t) which);
  void *md = heap_file (), *block = mmalloc (md, 100);
  put (md);
  mfree (md, block);
  mfree (md, any_ptr (block));
}

/* The line for standard error names the call.  */
START_TEST (misuse)
{
  static char bytes[MIB (1)];
  int which = _i + 1;
  if (!(which & 4))
    return;
  ck_assert_int_eq (child_run (misused, (void *) (size_t) which),
                    128 + SIGABRT);
  int fd = open (temp_heap_path (), O_RDONLY);
  ssize_t n = read (fd, bytes, sizeof bytes);
  ck_assert_int_gt (n, SIZE);
  ck_assert_ptr_null (memmem (bytes, (size_t) n, "mfree", 5));
  close (fd);
  heap_is_good ();
}
END_TEST


/* ---- Lines of another thread --------------------------------------------- */

static atomic_int stop;

static void *
talker (void *unused)
{
  while (!stop)
    say_a_line ();
  return unused;
}

/* Not even for a moment.  */
static void
opens_often (void *which)
{
  int rounds = under_a_tool () ? 20 : 200;
  void *md = heap_file (), *map = map_make (STATIC_MAP, MIB (1), 32, 1);
  put (md);
  ck_assert_ptr_null (mmalloc_detach (md));
  map_end (map);
  close_some ((int) (size_t) which);
  pthread_t thread = thread_start (talker, NULL);
  for (int i = 0; i < rounds; i++)
    {
      look (md = mmalloc_open (temp_heap_path (), 0, NULL));
      map = map_is_there (qalloc_loadmap (map_path (STATIC_MAP)));
      ck_assert_ptr_null (mmalloc_detach (md));
      ck_assert_int_eq (qalloc_close (map), 0);
    }
  stop = 1;
  thread_end (thread);
}

START_TEST (lines_meanwhile)
{
  if (UNDER_TSAN)
    {
      skip ("ThreadSanitizer calls such lines a race");
      return;
    }
  run_closed (opens_often);
  heap_is_good ();
  map_end (map_is_there (qalloc_loadmap (map_path (STATIC_MAP))));
}
END_TEST

RUN_KINDS (7, heaps, heaps_by_descriptor, what_is_refused, none_left,
           maps_of_qalloc, regions, fork_children, trace_file, misuse,
           lines_meanwhile)
