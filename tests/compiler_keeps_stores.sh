#!/bin/sh
# What a program stores into a block is in the file, also when nothing but the
# heap knows of the block: a compiler must not take it for memory that is gone
# when nobody looks.  With each compiler that is there, at several levels of
# optimization and at link time, for each call that gives a block:
#   walk    a block that only a walk finds has what was stored into it;
#   sync    what was stored before a sync is there when the process stops
#           right after it, although other stores would have followed;
#   alias   what is stored through an address that a walk gave is seen;
#   whole   all of the usable size may be used, with _FORTIFY_SOURCE, too;
#   fixed   the same where the compiler knows the size that was asked for.
: "${srcdir:=.}" "${CC:=cc}"
. "$srcdir/tests/library.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/stores.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# What there is to call, for each header.  C, and C++.
cat > calls.h <<'END'
#if defined MAPS
# include "qalloc.h"
# define open_it(name) \
  (strncmp (name, "stat", 4) == 0 \
   ? qalloc_makestatmap (1 << 20, NULL, "file", 256, 2) \
   : qalloc_makedynmap (1 << 20, NULL, "file", 2))
# define close_it qalloc_close
# define sync_it(h) qalloc_checkpoint ()
# define walk_it qalloc_walk
# define usable(h, p) qalloc_usable_size (p, h)
# define CALLS \
  CALL (dyn_malloc, qalloc_dynmalloc ((dynmapinfo_t *) h, n)) \
  CALL (dyn_generic, qalloc_malloc (h, n)) \
  CALL (dyn_calloc, qalloc_calloc (h, n, 1)) \
  CALL (dyn_realloc, qalloc_realloc (NULL, h, n)) \
  CALL (dyn_resized, qalloc_realloc (qalloc_malloc (h, 16), h, n)) \
  CALL (stat_malloc, qalloc_statmalloc ((mapinfo_t *) h)) \
  CALL (stat_generic, qalloc_malloc (h, n)) \
  CALL (stat_calloc, qalloc_calloc (h, n, 1)) \
  CALL (stat_realloc, qalloc_realloc (NULL, h, n))
#else
# define open_it(name) mmalloc_open ("file", MMALLOC_CREATE, NULL)
# define close_it mmalloc_detach
# define sync_it mmalloc_sync
# define walk_it mmalloc_walk
# if defined SHIM
static void *shim_heap;
#  define MMALLOC_SHIM_HEAP shim_heap
#  include "mmalloc-shim.h"
#  define usable(h, p) (shim_heap = h, malloc_usable_size (p))
#  define CALLS \
  CALL (malloc, (shim_heap = h, malloc (n))) \
  CALL (calloc, (shim_heap = h, calloc (n, 1))) \
  CALL (realloc, (shim_heap = h, realloc (NULL, n))) \
  CALL (resized, (shim_heap = h, realloc (malloc (16), n))) \
  CALL (reallocarray, (shim_heap = h, reallocarray (NULL, n, 1))) \
  CALL (memalign, (shim_heap = h, memalign (64, n))) \
  CALL (aligned_alloc, (shim_heap = h, aligned_alloc (64, n))) \
  CALL (valloc, (shim_heap = h, valloc (n)))
# else
#  include "mmalloc.h"
static inline void *
in_slot (void *h, size_t n)
{
  void **slot = (void **) mcalloc (h, 1, sizeof *slot);
  return slot == NULL || mmalloc_to (h, slot, n) != 0 ? NULL : *slot;
}
#  define usable mmalloc_usable_size
#  define CALLS \
  CALL (mmalloc, mmalloc (h, n)) \
  CALL (mcalloc, mcalloc (h, n, 1)) \
  CALL (mrealloc, mrealloc (h, NULL, n)) \
  CALL (resized, mrealloc (h, mmalloc (h, 16), n)) \
  CALL (mreallocarray, mreallocarray (h, NULL, n, 1)) \
  CALL (mmemalign, mmemalign (h, 64, n)) \
  CALL (mvalloc, mvalloc (h, n)) \
  CALL (mmalloc_to, in_slot (h, n))
# endif
#endif
END

cat > stores.c <<'END'
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include "calls.h"

enum { SIZE = 200, TAG = 0x5245434f };
struct record { long tag, value; };

static int
find (void *block, size_t size, void *found)
{
  struct record *r = (struct record *) block;
  if (size >= SIZE && r->tag == TAG)
    *(struct record **) found = r;
  return 0;
}

static void
change (void *h)
{
  struct record *r = NULL;
  walk_it (h, find, &r);
  if (r != NULL)
    r->value = 43;
}

/* Nothing that the compiler knows.  */
static void (*volatile change_it) (void *) = change;
static volatile int goes_on;
static volatile size_t any_size = SIZE;

#define ALONE __attribute__ ((noinline)) static int
#define MAKE(allocate) \
  struct record *r = (struct record *) (allocate); \
  if (r == NULL) \
    return 3
#define FILL(number) (r->tag = TAG, r->value = number)
#define USE_WHOLE(h) \
  memset (r, 0, usable (h, r)); \
  memcpy ((char *) r + usable (h, r) - 8, "the end", 8); \
  FILL (42)

#define CALL(name, allocate) \
  ALONE walk_##name (void *h, size_t n) \
  { \
    MAKE (allocate); \
    FILL (42); \
    return 0; \
  } \
  ALONE sync_##name (void *h, size_t n) \
  { \
    MAKE (allocate); \
    FILL (42); \
    sync_it (h); \
    if (!goes_on) \
      _exit (0); \
    FILL (41); \
    sync_it (h); \
    return 3; \
  } \
  ALONE alias_##name (void *h, size_t n) \
  { \
    MAKE (allocate); \
    FILL (41); \
    change_it (h); \
    if (r->value != 43) \
      return 4; \
    FILL (42); \
    return 0; \
  } \
  ALONE whole_##name (void *h, size_t n) \
  { \
    MAKE (allocate); \
    USE_WHOLE (h); \
    return 0; \
  } \
  ALONE fixed_##name (void *h, size_t unknown) \
  { \
    const size_t n = SIZE; \
    MAKE (allocate); \
    USE_WHOLE (h); \
    return 0; \
  }
CALLS
#undef CALL

static const struct { const char *what, *name; int (*fn) (void *, size_t); }
  cases[] = {
#define CALL(name, allocate) \
  { "walk", #name, walk_##name }, { "sync", #name, sync_##name }, \
  { "alias", #name, alias_##name }, { "whole", #name, whole_##name }, \
  { "fixed", #name, fixed_##name },
  CALLS
};

/* One process stores into a new file, another one looks.  */
int
main (void)
{
  int failures = 0, n = sizeof cases / sizeof *cases;
  freopen ("/dev/null", "w", stderr);
  for (int i = 0; i < n; i++)
    {
      int status = -1;
      struct record *r = NULL;
      unlink ("file");
      pid_t pid = fork ();
      if (pid == 0)
        {
          void *h = open_it (cases[i].name);
          status = h == NULL ? 2 : cases[i].fn (h, any_size);
          if (h != NULL)
            close_it (h);
          _exit (status);
        }
      waitpid (pid, &status, 0);
      void *h = open_it (cases[i].name);
      if (h != NULL)
        walk_it (h, find, &r);
      if (status != 0 || r == NULL || r->value != 42)
        {
          printf ("  %s %s: status 0x%x, %s\n", cases[i].what, cases[i].name,
                  (unsigned) status, r == NULL ? "no store is there"
                  : r->value == 42 ? "stores are there" : "a store is lost");
          failures++;
        }
      if (h != NULL)
        close_it (h);
    }
  puts (failures == 0 ? "all are there" : "some are lost");
  return 0;
}
END

# Does a store keep its place?  The page of a word cannot be written, so a
# process dies right before it stores there; then another one looks.  With PLAIN
# the same stores without mmalloc_publish: a compiler may swap those.
cat > order.c <<'END'
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "mmalloc.h"

enum { PAGE = 65536 };
struct item { struct item *next; long number; };
struct list
{
  struct item *first; char pad1[PAGE - 8];
  struct item *spare; char pad2[PAGE - 8];
  struct item *other; char pad3[PAGE - 8];
};
#ifdef PLAIN
# undef mmalloc_publish
# define mmalloc_publish(slot, value) (*(slot) = (value))
#endif
#define ALONE __attribute__ ((noinline)) static void

/* Dies before the item is in front, or before the spare word is cleared.  */
ALONE
puts_in_front (void *md, struct list *l)
{
  struct item *it = l->spare;
  (void) md;
  it->next = l->other;
  it->number = 42;
  mmalloc_publish (&l->first, it);
  l->spare = NULL;
  it->number = l->other != NULL;
}
ALONE
moves (void *md, struct list *l)
{
  l->spare->next = l->other;
  l->spare->number = 42;
  mmalloc_move (md, (void **) &l->first, (void **) &l->spare);
  l->other = NULL;
}
static void (*volatile put) (void *, struct list *) = puts_in_front;
static void (*volatile move) (void *, struct list *) = moves;

static void *
open_it (void)
{
  return mmalloc_open ("file", MMALLOC_CREATE, NULL);
}

/* What is found after FN has died before it changed WHAT.  */
static int
look (void (*fn) (void *, struct list *), int what)
{
  int status, good;
  unlink ("file");
  pid_t pid = fork ();
  if (pid == 0)
    {
      void *md = open_it ();
      struct list *l = mmemalign (md, PAGE, sizeof *l);
      memset (l, 0, sizeof *l);
      l->other = mcalloc (md, 1, sizeof *l->other);
      mmalloc_setroot (md, "list", l);
      mmalloc_to (md, (void **) &l->spare, sizeof *l->spare);
      mprotect ((char *) l + what * PAGE, PAGE, PROT_READ);
      fn (md, l);
      _exit (0);
    }
  waitpid (pid, &status, 0);
  void *md = open_it ();
  struct list *l = mmalloc_getroot (md, "list");
  struct item *it = l->first != NULL ? l->first : l->spare;
  good = WIFSIGNALED (status) && it != NULL && l->other != NULL
         && it->next == l->other && it->number == 42;
  if (what == 0)
    good = good && l->first == NULL && l->spare != NULL;
  else if (fn == puts_in_front)
    good = good && l->first == it;
  else
    good = good && (l->first == NULL) != (l->spare == NULL);
  mmalloc_detach (md);
  return good;
}

int
main (void)
{
  int bad = 0;
  freopen ("/dev/null", "w", stderr);
  for (int what = 0; what < 2; what++)
    {
      if (!look (put, what))
        bad += printf ("  publish, word %d: out of order\n", what);
      if (!look (move, what))
        bad += printf ("  move, word %d: out of order\n", what);
    }
  puts (bad == 0 ? "all are there" : "some are lost");
  return 0;
}
END

checks=0 failures=0 program=stores.c

# try HEADER COMPILER-AND-OPTIONS...: the program for HEADER, run.
try ()
{
  header=$1; shift
  # shellcheck disable=SC2086 # lists of words
  "$@" -w -D_GNU_SOURCE "-D$header" -I"$srcdir" -o stores \
    -x $language $program $sources -x none $libraries > said 2>&1 &&
    ./stores > said
  checks=$((checks + 1))
  [ "$(cat said)" = "all are there" ] ||
    { failures=$((failures + 1)); echo "fails: $* for $header"; cat said; }
}

# may COMPILER-AND-OPTIONS...: they make programs that run.
may ()
{
  echo 'int main (void) { return 0; }' > probe.c
  # shellcheck disable=SC2086
  if "$@" -o probe -x $language probe.c -x none $libraries > messages 2>&1 &&
     ./probe; then
    return 0
  fi
  echo "skipped: $* makes no programs here"
  return 1
}

# each LANGUAGE OPTIONS COMPILER...: all headers.
each ()
{
  language=$1; options=$2; shift 2
  # shellcheck disable=SC2086
  may "$@" $options || return
  for header in HEAPS SHIM MAPS; do
    # shellcheck disable=SC2086
    try $header "$@" -U_FORTIFY_SOURCE $options
  done
  [ $language = c ] || return
  program=order.c
  # shellcheck disable=SC2086
  try ORDER "$@" -U_FORTIFY_SOURCE $options
  program=stores.c
}

# all COMPILER...: each level of optimization; and the whole library seen by
# the compiler at once.
all ()
{
  language=c
  may "$@" || return
  for options in -O1 -O2 -O3 "-O2 -flto" "-O2 -D_FORTIFY_SOURCE=2" \
                 "-O2 -D_FORTIFY_SOURCE=3"; do
    each c "$options" "$@"
  done
  may "$@" -O2 -flto > probed || return
  built=$libraries
  sources="$srcdir/mmalloc.c $srcdir/qalloc.c" libraries=-lpthread
  try HEAPS "$@" -O2 -flto
  program=order.c
  try ORDER "$@" -O2 -flto
  program=stores.c
  sources='' libraries=$built
}

sources=
case ${CC%% *} in
  gcc | */gcc | cc | */cc | clang | */clang)
    all gcc
    all clang
    each c++ "-O2 -D_FORTIFY_SOURCE=3" g++
    each c++ "-O2 -D_FORTIFY_SOURCE=3" clang++ ;;
  *)
    # Perhaps for another C library, and so is what was built.
    # shellcheck disable=SC2086
    all $CC ;;
esac

[ $checks -gt 0 ] || skip "no compiler makes programs here"
echo "$((100 * (checks - failures) / checks))%: Checks: $checks," \
     "Failures: $failures, Errors: 0"
[ $failures -eq 0 ]
