/* inside.h - for tests that watch the library's file calls, or stand in for
   them: they compile the library in instead of linking with it.  The few names
   that support.h has as well get others.  */

#ifndef INSIDE_H
#define INSIDE_H 1

/* Where heads may be anything, preconditions cannot be asked for.  */
#ifndef INSIDE_DAMAGED
# define MMALLOC_NEEDS 1
#endif
#define process library_process
#define thread library_thread
#include "mmalloc.c"
#undef process
#undef thread

#include <sched.h>
#include <stdarg.h>

#include "support.h"

static int (*const real_fcntl) (int, int, ...) = fcntl;

/* Whether the lock that is asked for is an exclusive one of byte BYTE, perhaps
   with others before it.  */
static inline int
is_lock_of (const struct flock *l, int byte)
{
  return l->l_start + l->l_len == MM_LOCK_BYTES + byte + 1
         && l->l_type == F_WRLCK;
}

/* Called once, as soon as this process has the door, if os.fcntl is
   door_fcntl.  */
static void (*at_door) (void);

static inline int
door_fcntl (int fd, int what, ...)
{
  va_list ap;
  va_start (ap, what);
  struct flock *l = va_arg (ap, struct flock *);
  va_end (ap);
  int r = real_fcntl (fd, what, l);
  if (r == 0 && is_lock_of (l, MM_BYTE_DOOR))
    {
      os.fcntl = real_fcntl;
      at_door ();
    }
  return r;
}

static inline void
stop_here (void)
{
  raise (SIGSTOP);
}

/* Stops in growth, once, with the lock of that.  */
static inline int
stopping_fallocate (int fd, int mode, off_t off, off_t len)
{
  os.fallocate = fallocate;
  raise (SIGSTOP);
  return fallocate (fd, mode, off, len);
}

/* The program has closed the library's descriptors of F, and the locks have gone
   with them, as in an overlay: elsewhere a mapping keeps them.  */
static inline void
lose_all (struct file *f)
{
  close (f->fd);
  close (f->lock_fd);
  byte_lose (f);
}

/* How many entries of processes in heap MD have an id.  */
static inline int
entries_in_use (void *md)
{
  int n = 0;
  struct heap *h = (struct heap *) *door_place (md, true);
  for (uint32_t i = 0; i < off_procs_used (h); i++)
    n += word_see (&off_proc (h, i)->id) != 0;
  return n;
}

/* Let the process run until it stops itself.  */
static inline void
until_stopped (struct child child)
{
  int status;
  baton_pass (child.baton);
  ck_assert_int_eq (waitpid (child.pid, &status, WUNTRACED), child.pid);
  ck_assert (WIFSTOPPED (status));
}

/* Whether the child sleeps in system call NUMBER.  */
static inline int
is_waiting (struct child child, long number)
{
  char name[64], text[64];
  siginfo_t ended = { .si_pid = 0 };
  waitid (P_PID, (id_t) child.pid, &ended, WEXITED | WNOHANG | WNOWAIT);
  ck_assert_msg (ended.si_pid == 0, "the process has ended");
  snprintf (name, sizeof name, "/proc/%d/syscall", (int) child.pid);
  int fd = open (name, O_RDONLY);
  ck_assert_int_ge (fd, 0);
  ssize_t n = read (fd, text, sizeof text - 1);
  close (fd);
  ck_assert_int_gt (n, 0);
  text[n] = '\0';
  return text[0] != 'r' && strtol (text, NULL, 10) == number;
}

static pthread_key_t late_key;
static void (*late_work) (void);

static inline void
late_destructor (void *again)
{
  /* The library's own may come behind this one the first time.  */
  if (again != &late_key)
    {
      ck_assert_int_eq (pthread_setspecific (late_key, &late_key), 0);
      return;
    }
  must (library_thread.leaving);
  late_work ();
}

/* A thread that uses HEAP and ends, and does what late_threads said when the
   library has heard of its end.  */
static inline void *
late_thread (void *heap)
{
  mfree (heap, mmalloc (heap, 100));
  ck_assert_int_eq (pthread_setspecific (late_key, "first"), 0);
  return NULL;
}

static inline void
late_threads (void (*work) (void))
{
  late_work = work;
  ck_assert_int_eq (pthread_key_create (&late_key, late_destructor), 0);
}

#endif /* INSIDE_H */
