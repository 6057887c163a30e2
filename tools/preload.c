/* preload.c - the C library's malloc family over the default heap.

   libmmalloc-preload.so is named in LD_PRELOAD, so that a program which knows
   nothing of libmmalloc takes its memory from it:

       LD_PRELOAD=/usr/local/lib/libmmalloc-preload.so program

   It is there to run and to time real programs.  Nothing becomes persistent:
   the default heap is anonymous memory, and goes away with the process.

   What differs from mmalloc.h is what C and glibc say of these names: a size
   of 0 gives a block of its own, an alignment that is wrong gives EINVAL.

   Three times in the life of a process need care.

   - Before thread-local variables work.  The loader relocates the program
     first, and some of it may run for that.  What is asked for so early comes
     from an array, and is never used again.
   - Before any constructor.  The library is marked as the one to start first,
     so that its fork handlers are the outermost ones: those of others may
     allocate.  (Where the loader does not know the mark, the first allocation
     starts it.)
   - While a thread ends.  Destructors and the C library free and allocate
     after the heap has taken leave of the thread; it knows how to serve
     them.  */

#ifdef HAVE_CONFIG_H
# include <config.h>
#endif
#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif

#include "mmalloc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#define EXPORT __attribute__ ((visibility ("default")))
#define NOINLINE __attribute__ ((noinline))
#define UNLIKELY(x) __builtin_expect (!!(x), 0)

/* The largest alignment the heap knows; there is no room for more.  */
#define ALIGN_MAX ((size_t) 1 << 30)

/* The heap may be used.  Set by the first call that finds thread-local storage
   in place, which comes long before there is a second thread.  */
static bool ready;
static _Thread_local volatile bool tls_is_there
  __attribute__ ((tls_model ("initial-exec"))) = true;

/* Our constructor has run, so that it is not the loader alone that calls.  */
static bool constructed;


/* ---- Before the heap can be used -------------------------------------- */

/* A block is preceded by 16 bytes with its size.  */
static struct
{
  _Alignas (16) char room[64 << 10];
  size_t used;
} early;

static bool
early_is (const void *p)
{
  return (uintptr_t) p - (uintptr_t) early.room < sizeof early.room;
}

static size_t
early_size (const void *p)
{
  return ((const size_t *) p)[-2];
}

/* SIZE bytes, all zero.  ALIGN is a power of two.  There is one thread.  */
static void *
early_take (size_t align, size_t size)
{
  if (align < 16)
    align = 16;
  uintptr_t from = (uintptr_t) early.room + early.used + 16;
  size_t at = early.used + 16 + (size_t) (-from & (align - 1));
  if (at > sizeof early.room || size > sizeof early.room - at)
    {
      errno = ENOMEM;
      return NULL;
    }
  char *p = early.room + at;
  ((size_t *) (void *) p)[-2] = size;
  early.used = (at + size + 15) & ~(size_t) 15;
  return p;
}


/* ---- Start ------------------------------------------------------------ */

/* The heap's functions are named as ours with an m before.  Pointers that the
   heap did not give out are the loader's own, as long as nobody else has run:
   it frees some that it has from before we were there.  */
static void
misused (const char *call, void *md, const void *ptr, const char *what,
         void *arg)
{
  (void) arg;
  if (early_is (ptr) || (!constructed && mmalloc_find (ptr) == NULL))
    return;
  mmalloc_onmisuse (NULL, NULL);
  mmalloc_misuse (call + 1, md, ptr, what);
}

/* Whether the heap may be used from now on.  The first call of the library
   installs the fork handlers and takes the key for the ends of threads, for
   which some C libraries allocate.  It makes no heap: some programs need
   none.  */
static bool
start (void)
{
  static bool starting;
  if (!tls_is_there || starting)
    return ready;
  starting = true;
  mmalloc_onmisuse (misused, NULL);
  mmalloc_find (NULL);
  ready = true;
  return true;
}

static inline size_t
not_0 (size_t size)
{
  return size + (size == 0);
}

/* A block of SIZE bytes, all zero, at ALIGN, before it is known that the heap
   may be used.  Apart from the functions of the family, to keep them short.  */
static NOINLINE void *
first_take (size_t align, size_t size)
{
  if (!start ())
    return early_take (align, size);
  void *p = mmemalign (NULL, align, not_0 (size));
  return p != NULL ? memset (p, 0, size) : NULL;
}

static NOINLINE void
first_free (void *ptr)
{
  if (start ())
    mfree (NULL, ptr);
}


/* ---- The family ------------------------------------------------------- */

EXPORT void
free (void *ptr)
{
  if (ptr == NULL)
    return;
  if (UNLIKELY (!ready))
    first_free (ptr);
  else
    mfree (NULL, ptr);
}

EXPORT void *
malloc (size_t size)
{
  if (UNLIKELY (!ready))
    return first_take (16, size);
  return mmalloc (NULL, not_0 (size));
}

EXPORT void *
calloc (size_t nmemb, size_t size)
{
  size_t bytes;
  if (__builtin_mul_overflow (nmemb, size, &bytes))
    bytes = SIZE_MAX;
  if (UNLIKELY (!ready))
    return first_take (16, bytes);
  return mcalloc (NULL, 1, not_0 (bytes));
}

/* A block from the early array moves when its size changes.  */
static NOINLINE void *
early_resize (void *ptr, size_t size)
{
  void *p = malloc (size);
  if (p != NULL)
    memcpy (p, ptr, size < early_size (ptr) ? size : early_size (ptr));
  return p;
}

EXPORT void *
realloc (void *ptr, size_t size)
{
  if (ptr == NULL)
    return malloc (size);
  if (UNLIKELY (early_is (ptr)))
    return size != 0 ? early_resize (ptr, size) : NULL;
  return mrealloc (NULL, ptr, size);
}

EXPORT void *
reallocarray (void *ptr, size_t nmemb, size_t size)
{
  size_t bytes;
  if (__builtin_mul_overflow (nmemb, size, &bytes))
    {
      errno = ENOMEM;
      return NULL;
    }
  return realloc (ptr, bytes);
}

/* A block at ALIGN, a power of two.  */
static void *
take_aligned (size_t align, size_t size)
{
  if (align > ALIGN_MAX)
    {
      errno = ENOMEM;
      return NULL;
    }
  if (UNLIKELY (!ready))
    return first_take (align, size);
  return mmemalign (NULL, align, not_0 (size));
}

static bool
is_power (size_t n)
{
  return n != 0 && (n & (n - 1)) == 0;
}

EXPORT void *
aligned_alloc (size_t align, size_t size)
{
  if (!is_power (align))
    {
      errno = EINVAL;
      return NULL;
    }
  return take_aligned (align, size);
}

/* As glibc does, the next power of two is taken for what is none.  */
EXPORT void *
memalign (size_t align, size_t size)
{
  size_t power = 16;
  if (align > SIZE_MAX / 2 + 1)
    {
      errno = EINVAL;
      return NULL;
    }
  while (power < align)
    power *= 2;
  return take_aligned (power, size);
}

EXPORT int
posix_memalign (void **to, size_t align, size_t size)
{
  if (!is_power (align) || align < sizeof (void *))
    return EINVAL;
  int saved = errno;
  void *p = take_aligned (align, size);
  int err = p == NULL ? errno : 0;
  errno = saved;
  if (p != NULL)
    *to = p;
  return err;
}

static size_t
page_size (void)
{
  return (size_t) sysconf (_SC_PAGESIZE);
}

EXPORT void *
valloc (size_t size)
{
  return take_aligned (page_size (), size);
}

/* Whole pages.  */
EXPORT void *
pvalloc (size_t size)
{
  size_t page = page_size ();
  size_t bytes;
  if (__builtin_add_overflow (not_0 (size), page - 1, &bytes))
    {
      errno = ENOMEM;
      return NULL;
    }
  return take_aligned (page, bytes & ~(page - 1));
}

EXPORT size_t
malloc_usable_size (void *ptr)
{
  if (early_is (ptr))
    return early_size (ptr);
  return mmalloc_usable_size (NULL, ptr);
}

/* Whether there was something to give back.  What PAD says is kept at the top
   of the heap has no meaning here.  */
EXPORT int
malloc_trim (size_t pad)
{
  (void) pad;
  return mmalloc_trim (NULL) > 0;
}

/* Of C23.  The sizes are not needed.  */
EXPORT void
free_sized (void *ptr, size_t size)
{
  (void) size;
  free (ptr);
}

EXPORT void
free_aligned_sized (void *ptr, size_t align, size_t size)
{
  (void) align;
  (void) size;
  free (ptr);
}


/* ---- Limits ----------------------------------------------------------- */

/* The kernel counts the address space that the heap has set aside, although
   nothing is there, when a program locks its memory or limits its address
   space.  So the heap gives it back first.  These are system calls and no more
   in every C library, and where there is none of them nothing is lost.  */

extern void mmalloc_narrow (void);

/* It keeps errno.  */
static void
narrow (void)
{
  int saved = errno;
  if (start ())
    mmalloc_narrow ();
  errno = saved;
}

EXPORT int
mlockall (int flags)
{
  narrow ();
  return (int) syscall (SYS_mlockall, flags);
}

/* The system's headers have other types for these, in C and C++ not the same.
   */
EXPORT int limit_of (pid_t, int, const struct rlimit *, struct rlimit *)
  __asm__ ("prlimit");
EXPORT int limit_of_64 (pid_t, int, const struct rlimit *, struct rlimit *)
  __asm__ ("prlimit64");
EXPORT int limit_set (int, const struct rlimit *) __asm__ ("setrlimit");
EXPORT int limit_set_64 (int, const struct rlimit *) __asm__ ("setrlimit64");

int
limit_of (pid_t pid, int resource, const struct rlimit *wanted,
          struct rlimit *old)
{
  if (resource == RLIMIT_AS && wanted != NULL
      && wanted->rlim_cur != RLIM_INFINITY && (pid == 0 || pid == getpid ()))
    narrow ();
  return (int) syscall (SYS_prlimit64, pid, resource, wanted, old);
}

int
limit_of_64 (pid_t pid, int resource, const struct rlimit *wanted,
             struct rlimit *old)
{
  return limit_of (pid, resource, wanted, old);
}

int
limit_set (int resource, const struct rlimit *wanted)
{
  return limit_of (0, resource, wanted, NULL);
}

int
limit_set_64 (int resource, const struct rlimit *wanted)
{
  return limit_of (0, resource, wanted, NULL);
}


/* ---- Constructor ------------------------------------------------------ */

__attribute__ ((constructor)) static void
construct (int argc, char **argv, char **envp)
{
#ifdef __GLIBC__
  /* So early the C library has not looked for its environment either.  */
  if (environ == NULL)
    environ = envp;
#endif
  (void) argc;
  (void) argv;
  (void) envp;
  start ();
  constructed = true;
}
