/* qalloc.c - static and dynamic map files, on top of mmalloc.h.

   1. ESSAY

   What this is.  A dynamic map is a heap of mmalloc.h whose file has its full
   length from the start; this file only opens it and remembers what it is.  A
   static map is a region of mmalloc.h with the structure below in it.  The
   region brings the file, its disk blocks, its address, its processes; what is
   left to do here is an array of bits.

   A static map, byte by byte

       0          magic, address, file length, item size,
                  streams, size of a mutex, sum, root          48 bytes
       48         room for a mutex for each stream             40 bytes each
       48 + 40 s  words of bits, one bit an item; 0: free      8 bytes for 64
       ...        items; the first is aligned as the item size asks, the
                  others follow at the item size rounded up to that

   Bit i % 64 of word i / 64 is item i.  Bits that stand for no item are set,
   so that nobody takes them.  All else of a new map is zero as the file is:
   making one takes the same time whatever its size.

   The whole algorithm
     1. take   the thread keeps a copy of the zero bits of the word under its
               cursor; set the lowest in the word with one atomic instruction.
               It was set: somebody was faster, the next one
     2. search no bit is left: look at the word again, at that of the thread's
               last free, then at the words of the thread's stream from where
               that found something last, then at all others; the cursor
               follows.  Nothing found, four times: NULL
     3. give   number of the item by a multiplication, no remainder; clear its
               bit with one atomic instruction.  It was clear: misuse

   Why a kill does no harm.  Every change of state is one atomic instruction on
   one word, and the bit is the only truth about its item: an item is free or
   taken at every instant, and a process that dies between two instructions
   leaves nothing half done and no lock held.  At most the item whose address
   was not handed over yet stays taken.  Making a map is repeatable until the
   magic is stored, last.

   Why two who think themselves the first do no harm.  Over overlayfs two paths
   lead to one file, and locks by one are not seen by the other.  So whoever
   comes first by its path changes nothing that those who came by the other look
   at: neither bits nor what the header says of them.

   Where the locks are.  Nowhere: none of this has to exclude anybody.  A
   stream is a range of words, in cache lines of its own if the map is large
   enough, where its threads look first.  Cursors, and who is on which stream,
   are hints in private memory; the range of another stream is only the next
   place to look.  The mutexes in the file are part of the historical format
   and no more: their room is there, zero, and nobody looks at it.  A dynamic
   map takes the locks of its heap, one a stream, which are the heap's own.

   Who may share a map.  All processes of the machine, whatever their C library
   and their PID namespace: neither kind has anything in it that is the C
   library's.

   What a stream without atomic instructions would cost.  A thread could own
   its range and store plainly if those that free from elsewhere had a second
   bit for each item, as heaps have; that doubles the bits.  With one bit a
   plain store can undo a free that happens meanwhile, and taking a whole word
   in advance loses up to 63 items to a kill.  See bench/README for what it
   would gain.

   What NULL means.  Each word was seen full, four times over.  An item that
   somebody frees behind the search, while another one takes one ahead of it,
   can be missed.  Four threads on a map with just the items that they hold
   missed one in two million searches made of two rounds; each round more makes
   that rarer by as much again as one round does.

   Invariants, checked by qalloc_check
     Q1  the constants in the file are those it was loaded with
     Q2  bits that stand for no item are set

   Sections: 2 includes, 3 numbers, 4 what is in the file, 5 what is in the
   process, 6 failing, 7 maps, 8 seats, 9 items, 10 opening, 11 public
   calls.  */


/* ---- 2. Includes and platform ---------------------------------------- */

#ifdef HAVE_CONFIG_H
# include <config.h>
#endif
#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif

#include "mmalloc.h"
#include "qalloc.h"

#include <errno.h>
#include <pthread.h>
#include <stdalign.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define QA_PUBLIC __attribute__ ((visibility ("default")))
#define QA_NOINLINE __attribute__ ((noinline))
#define QA_LIKELY(x) __builtin_expect (!!(x), 1)
#define QA_UNLIKELY(x) __builtin_expect (!!(x), 0)


/* ---- 3. Numbers ------------------------------------------------------ */

/* First word of a static map; its bytes read "qalloc s" in the file of a
   little-endian machine.  */
#define QA_MAGIC UINT64_C (0x7320636f6c6c6171)

/* A heap with this application version is a dynamic map.  */
#define QA_DYNAMIC UINT64_C (0x6420636f6c6c6171)

enum
{
  QA_KEY_STREAMS = 15,         /* keys of the heap that is a dynamic map */
  QA_KEY_ROOT = 14,
  QA_ALIGN_MAX = 16,
  QA_MUTEX = 40,               /* bytes of a mutex in a new static map; in older
                                  ones as many as their maker's had */
  QA_STREAMS_MAX = UINT16_MAX,
  QA_DYNAMIC_STREAMS = 512,    /* as the heap of a dynamic map has */
  QA_LINE = 64 / 8,            /* words in a cache line */
  QA_SEATS = 4,                /* maps a thread knows at a time; with more of
                                  them a lock is taken now and then */
  QA_ROUNDS = 4,               /* of a search; see "What NULL means" */
  QA_TOLD = 256                /* bytes of a reason */
};


/* ---- 4. What is in the file ------------------------------------------ */

typedef _Atomic uint64_t disk_u64;

struct disk_map
{
  disk_u64 magic;         /* stored last */
  uint64_t base;          /* the file's address; written by mmalloc */
  uint64_t size;          /* the file's length */
  uint64_t item_size;
  uint16_t streams;
  uint8_t mutex_size;
  uint8_t libc;           /* older versions: whose mutexes these are; else 0 */
  uint32_t sum;           /* of all before it but libc, and of the magic */
  disk_u64 root;
  uint8_t mutex[];        /* mutex_size for each stream */
};
_Static_assert (sizeof (struct disk_map) == 48, "size of disk_map");
_Static_assert (offsetof (struct disk_map, streams) == 32, "streams");
_Static_assert (offsetof (struct disk_map, mutex) == 48, "mutex");
_Static_assert (QA_MUTEX % 8 == 0 && QA_MUTEX <= UINT8_MAX, "a mutex fits");


/* ---- 5. What is in the process --------------------------------------- */

enum kind { STATIC = 1, DYNAMIC };

/* What maps of both kinds have.  A handle is never given back to the system,
   so that a stale pointer to one can be told.  */
struct map
{
  _Atomic uint64_t id;         /* 0: closed; no two maps have the same */
  enum kind kind;              /* constant while open, as the next three */
  char *base;
  size_t size;
  size_t streams;
  unsigned n_open;             /* by calls of qalloc.h; under the lock, as all
                                  below */
  uint32_t *seated;            /* how many threads are on each stream */
  size_t turn;                 /* where to begin looking for a stream */
  struct map *next;
};

struct mapinfo_s
{
  alignas (64) struct map map;
  disk_u64 *word;              /* constant while open, as all below */
  char *item;
  size_t n_items;
  size_t n_words;
  size_t item_size;
  size_t mutex_size;
  size_t stride;
  uint64_t inverse;            /* see item_number */
};

struct dynmapinfo_s
{
  struct map map;              /* map.base is the heap */
};

/* Where a thread works in a map; a cache line.  */
struct seat
{
  alignas (64) struct map *map; /* NULL: empty */
  uint64_t id;                 /* the seat is stale if that is not the map's */
  size_t stream;
  size_t cursor;               /* a word */
  uint64_t avail;              /* its bits that were zero and not tried yet */
  size_t freed;                /* the word of the last free */
  size_t scan;                 /* the word of the stream where a search found
                                  something last */
};

_Static_assert (sizeof (struct seat) == 64, "a seat is a cache line");

/* A thread's seats, and its last error in words: private memory of the thread,
   from the first need to its end.  */
struct desk
{
  struct seat seat[QA_SEATS];
  char told[QA_TOLD];          /* "": as strerror says */
};

/* One instruction reaches such storage if it has its place in every thread from
   the start.  glibc keeps a little of that for libraries loaded late, other C
   libraries none.  */
#ifdef __GLIBC__
# define QA_TLS __attribute__ ((tls_model ("initial-exec")))
#else
# define QA_TLS
#endif

static struct desk no_desk;    /* stays empty */
static _Thread_local struct desk *desk QA_TLS = &no_desk;
static _Thread_local int error_code;

static struct
{
  pthread_once_t once;
  pthread_mutex_t lock;        /* taken last: nobody waits while he has it */
  struct map *maps;            /* open */
  struct map *spare;           /* closed */
  uint64_t last_id;
  pthread_key_t exit_key;
  bool have_key;
} process = { .once = PTHREAD_ONCE_INIT, .lock = PTHREAD_MUTEX_INITIALIZER };


/* ---- 6. Failing ------------------------------------------------------ */

/* Owns: the thread's desk, and its error.  The fails give NULL, for the caller
   to return.  */

static void process_start (void);

/* The thread's desk, or NULL if memory is short.  The key that gives it back
   may be set when the thread ends, too: then its destructor comes again.  */
static struct desk *
desk_need (void)
{
  if (desk != &no_desk)
    return desk;
  pthread_once (&process.once, process_start);
  void *p = mmap (NULL, sizeof *desk, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (p == MAP_FAILED)
    return NULL;
  desk = p;
  /* Some C libraries allocate for it.  */
  if (process.have_key)
    pthread_setspecific (process.exit_key, desk);
  return desk;
}

/* The call fails with CODE; TOLD, NULL: nothing more, is the reason in words.
   NULL, for those who return it.  */
static void *
fail (int code, const char *told)
{
  struct desk *d = desk_need ();
  if (d != NULL)
    snprintf (d->told, sizeof d->told, "%s", told != NULL ? told : "");
  error_code = code;
  errno = code;
  return NULL;
}

/* The same with words as printf makes them.  */
__attribute__ ((format (printf, 2, 3))) static void *
fail_because (int code, const char *format, ...)
{
  char told[QA_TOLD];
  va_list words;
  va_start (words, format);
  vsnprintf (told, sizeof told, format, words);
  va_end (words);
  return fail (code, told);
}

/* A call of mmalloc.h failed, on heap MD or without one.  */
static void *
fail_below (void *md)
{
  return fail (errno, mmalloc_strerror (md));
}


/* ---- 7. Maps --------------------------------------------------------- */

/* Owns: the lists of maps, and all under the lock in struct map.  Opening and
   closing below happens outside of the lock.  The program may have the same
   file open by calls of mmalloc.h, too, so that the count below is another.  */

/* Around each look at the lists, and never around a call of mmalloc.h.  */
static void
process_lock (void)
{
  pthread_mutex_lock (&process.lock);
}

static void
process_unlock (void)
{
  pthread_mutex_unlock (&process.lock);
}

/* In a fork child.  Its thread works at the places of one in the parent, so it
   shall look for others.  */
static void
process_forked (void)
{
  for (struct map *m = process.maps; m != NULL; m = m->next)
    {
      memset (m->seated, 0, m->streams * sizeof *m->seated);
      m->turn = (size_t) getpid ();
      atomic_store_explicit (&m->id, ++process.last_id, memory_order_relaxed);
    }
  process_unlock ();
}

static void seat_leave_all (void *end);

/* Once, before the first map: what happens at the end of a thread and in a
   fork.  */
static void
process_start (void)
{
  process.have_key = pthread_key_create (&process.exit_key,
                                         seat_leave_all) == 0;
  pthread_atfork (process_lock, process_unlock, process_forked);
}

/* The place in the list of the open map at this address of handles; at the end
   if there is none.  Needs: the lock.  */
static struct map **
map_place_locked (const void *handle)
{
  struct map **at = &process.maps;
  while (*at != NULL && *at != handle)
    at = &(*at)->next;
  return at;
}

/* What was opened at LIKE->map.base is a map of this process: the handle it
   has already, or a new one with the members of LIKE; NULL if memory is short.
   The library's caller may have put malloc on a map of ours: no lock is held
   meanwhile.  A handle that nobody has seen may go back to the system.  */
static struct map *
map_enter (const struct mapinfo_s *like)
{
  uint32_t *seated = calloc (like->map.streams, sizeof *seated);
  struct map *fresh = aligned_alloc (64, sizeof *like);
  process_lock ();
  struct map *m = process.maps;
  while (m != NULL && m->base != like->map.base)
    m = m->next;
  if (m != NULL)
    m->n_open++;
  else if (seated != NULL && fresh != NULL)
    {
      m = process.spare != NULL ? process.spare : fresh;
      if (m == fresh)
        fresh = NULL;
      else
        process.spare = m->next;
      memcpy ((void *) m, like, sizeof *like);
      m->seated = seated;
      m->turn = (size_t) getpid ();
      m->n_open = 1;
      m->next = process.maps;
      process.maps = m;
      atomic_store_explicit (&m->id, ++process.last_id, memory_order_relaxed);
      seated = NULL;
    }
  process_unlock ();
  free (seated);
  free (fresh);
  return m;
}

/* The open map with the lowest number above ID, of which *SEEN is a copy; NULL
   if there is none.  */
static struct map *
map_after (uint64_t id, struct map *seen)
{
  struct map *best = NULL;
  process_lock ();
  for (struct map *m = process.maps; m != NULL; m = m->next)
    if (m->id > id && (best == NULL || m->id < best->id))
      best = m;
  if (best != NULL)
    *seen = *best;
  process_unlock ();
  return best;
}

/* Close what is below map KIND at BASE once.  */
static void
map_close_below (enum kind kind, void *base)
{
  if (kind == STATIC)
    mmalloc_region_close (base);
  else
    mmalloc_detach (base);
}

/* Count the map down by one; false if it is none.  */
static bool
map_leave (const void *handle)
{
  process_lock ();
  struct map **at = map_place_locked (handle), *m = *at;
  if (m == NULL)
    {
      process_unlock ();
      return false;
    }
  enum kind kind = m->kind;
  void *base = m->base;
  uint32_t *seated = NULL;
  if (--m->n_open == 0)
    {
      atomic_store_explicit (&m->id, 0, memory_order_relaxed);
      *at = m->next;
      m->next = process.spare;
      process.spare = m;
      seated = m->seated;
    }
  process_unlock ();
  free (seated);
  map_close_below (kind, base);
  return true;
}


/* ---- 8. Seats -------------------------------------------------------- */

/* Owns: the thread's seats.  A seat is a hint where to work, and the proof
   that the handle was found among the open maps: no lock on the way to an
   item.  */

/* The thread leaves its stream, if the map is still the one it sat down in.
   Needs: the lock.  */
static void
seat_leave_locked (struct seat *t)
{
  if (t->map != NULL && t->id == t->map->id)
    t->map->seated[t->stream]--;
  t->map = NULL;
}

/* At the end of a thread with desk END.  */
static void
seat_leave_all (void *end)
{
  struct desk *d = end;
  desk = &no_desk;
  process_lock ();
  for (int i = 0; i < QA_SEATS; i++)
    seat_leave_locked (&d->seat[i]);
  process_unlock ();
  munmap (d, sizeof *d);
}

/* The first word of stream S of map M: whole cache lines to each, if there are
   enough.  */
static size_t
seat_first_word (const struct mapinfo_s *m, size_t s)
{
  size_t streams = m->map.streams;
  if (s == streams)
    return m->n_words;
  size_t at = m->n_words / streams * s + m->n_words % streams * s / streams;
  size_t lead = (QA_LINE - (uintptr_t) m->word / 8 % QA_LINE) % QA_LINE;
  return s == 0 || m->n_words / streams < 2 * QA_LINE
         ? at : at - (at - lead) % QA_LINE;
}

/* Where the thread's seat in map HANDLE is, if it has one.  */
static inline struct seat *
seat_place (void *handle)
{
  return &desk->seat[(uintptr_t) handle / 64 % QA_SEATS];
}

/* Sit down in map HANDLE, on the stream with the fewest threads of this
   process; those on one stream begin in different cache lines of it.  The
   seat, or NULL and an error if this is no open map, or memory is short.  */
static QA_NOINLINE struct seat *
seat_take (void *handle)
{
  if (desk_need () == NULL)
    return fail (ENOMEM, NULL);
  struct seat *t = seat_place (handle);
  process_lock ();
  struct map *m = *map_place_locked (handle);
  if (m == NULL)
    {
      process_unlock ();
      return fail (EINVAL, "this is no map, or it was closed");
    }
  seat_leave_locked (t);
  size_t best = m->turn % m->streams;
  for (size_t i = 0, s = best; i < m->streams; i++)
    {
      if (m->seated[s] < m->seated[best])
        best = s;
      s = s + 1 < m->streams ? s + 1 : 0;
    }
  size_t before = m->seated[best]++;
  *t = (struct seat) { .map = m, .id = m->id, .stream = best };
  process_unlock ();
  if (m->kind == STATIC)
    {
      const struct mapinfo_s *st = (const struct mapinfo_s *) m;
      size_t first = seat_first_word (st, best);
      size_t n = seat_first_word (st, best + 1) - first;
      t->cursor = first + (n > 0 ? before * QA_LINE % n : 0);
      t->cursor -= t->cursor == st->n_words;
      t->scan = t->freed = t->cursor;
    }
  return t;
}

/* The thread's seat in map HANDLE; NULL and an error if there is none.  */
static inline struct seat *
seat_of (void *handle)
{
  struct seat *t = seat_place (handle);
  struct map *m = handle;
  /* The handle is looked into only if it was one once.  */
  if (QA_LIKELY (t->map == m && m != NULL
                 && t->id == atomic_load_explicit (&m->id,
                                                   memory_order_relaxed)))
    return t;
  return seat_take (handle);
}


/* ---- 9. Items -------------------------------------------------------- */

/* Owns: the words of bits.  Needs: no lock.  Crash: each function changes a
   word with one atomic instruction.  Keeps: Q2.  */

/* N, or the next multiple of UNIT, a power of two.  */
static size_t
round_up (size_t n, size_t unit)
{
  return (n + unit - 1) & ~(unit - 1);
}

/* Lay out M, whose base, size, streams, item size and mutex size are known: 0,
   or EINVAL if there is no room for an item.  Items are aligned as malloc does,
   enough for every object that fits.  */
static int
item_layout (struct mapinfo_s *m)
{
  size_t align = 1;
  while (align < QA_ALIGN_MAX && align * 2 <= m->item_size)
    align *= 2;
  size_t bits = sizeof (struct disk_map)
                + m->map.streams * m->mutex_size;
  if (m->item_size > m->map.size)
    return EINVAL;
  m->stride = round_up (m->item_size, align);
  /* The largest number of items that fits; ENOUGH is never too many.  */
  size_t enough = 0, many = m->map.size / m->stride + 2;
  while (many - enough > 1)
    {
      size_t n = enough + (many - enough) / 2;
      size_t first = round_up (bits + (n + 63) / 64 * 8, align);
      if (first <= m->map.size && m->item_size <= m->map.size - first
          && n - 1 <= (m->map.size - first - m->item_size) / m->stride)
        enough = n;
      else
        many = n;
    }
  if (enough == 0)
    return EINVAL;
  m->n_items = enough;
  m->n_words = (enough + 63) / 64;
  m->word = (disk_u64 *) (void *) (m->map.base + bits);
  m->item = m->map.base + round_up (bits + m->n_words * 8, align);
  m->inverse = (UINT64_C (1) << 63) / m->stride + 1;
  return 0;
}

/* The bits of word W that stand for no item.  */
static uint64_t
item_no_bits (const struct mapinfo_s *m, size_t w)
{
  return w == m->n_words - 1 && m->n_items % 64 != 0
         ? ~UINT64_C (0) << m->n_items % 64 : 0;
}

/* The bits of word W: 1 is a live item, or none at all.  */
static inline uint64_t
item_bits (const struct mapinfo_s *m, size_t w)
{
  return atomic_load_explicit (&m->word[w], memory_order_relaxed);
}

/* The item of bit BIT of word W.  */
static inline void *
item_address (const struct mapinfo_s *m, size_t w, unsigned bit)
{
  return m->item + (w * 64 + bit) * m->stride;
}

/* The number of the item that begins at PTR; n_items if none does.  With
   inverse = 2^63 / stride + e / stride, 0 < e <= stride, and n the item, 2 n
   stride * inverse = 2^64 n + 2 n e, and 2 n e is less than 2^64 for a file of
   less than 2^63 bytes: exact for items, and the test is for others.  */
static inline size_t
item_number (const struct mapinfo_s *m, const void *ptr)
{
  size_t off = (uintptr_t) ptr - (uintptr_t) m->item;
  __extension__ typedef unsigned __int128 wide;
  size_t n = (size_t) ((wide) (off << 1) * m->inverse >> 64);
  return QA_LIKELY (n < m->n_items && n * m->stride == off) ? n : m->n_items;
}

/* Take one of the items AVAIL of word W, which lose it and those that were
   taken meanwhile; NULL if it was all of them.  The bit to try is known before
   the word is: that is faster than to look at the word each time.  */
static inline void *
item_take (const struct mapinfo_s *m, size_t w, uint64_t *avail)
{
  while (QA_LIKELY (*avail != 0))
    {
      unsigned i = (unsigned) __builtin_ctzll (*avail);
      uint64_t bit = UINT64_C (1) << i;
      *avail &= *avail - 1;
      /* Acquire: pairs with item_give; what the last user did is over.  */
      if (QA_LIKELY (!(atomic_fetch_or_explicit (&m->word[w], bit,
                                                 memory_order_acquire) & bit)))
        return item_address (m, w, i);
    }
  return NULL;
}

/* Take an item of word W, the cursor's next place; NULL if it is full.  */
static void *
item_look (const struct mapinfo_s *m, struct seat *t, size_t w)
{
  uint64_t avail = ~item_bits (m, w);
  if (avail == 0)
    return NULL;
  void *p = item_take (m, w, &avail);
  t->cursor = w;
  t->avail = avail;
  return p;
}

/* Nothing is left that was seen under the cursor: look again, and elsewhere;
   first where no other stream is at work.  */
static QA_NOINLINE void *
item_search (const struct mapinfo_s *m, struct seat *t)
{
  size_t first = seat_first_word (m, t->stream);
  size_t end = seat_first_word (m, t->stream + 1);
  void *p = item_look (m, t, t->cursor);
  if (p == NULL && t->freed >= first && t->freed < end)
    p = item_look (m, t, t->freed);
  if (p != NULL)
    return p;
  /* A round; the first two parts are the stream's.  */
  enum { OWN = 2, PARTS = 5 };
  const struct { size_t from, to; } part[PARTS] = {
    { t->scan, end }, { first, t->scan }, { t->freed, t->freed + 1 },
    { end, m->n_words }, { 0, first }
  };
  for (int i = 0; i < QA_ROUNDS * PARTS; i++)
    for (size_t w = part[i % PARTS].from; w < part[i % PARTS].to; w++)
      {
        p = item_look (m, t, w);
        if (p != NULL && i % PARTS < OWN)
          t->scan = w;
        if (p != NULL)
          return p;
      }
  return fail_because (ENOSPC, "all %zu items of the map are taken",
                       m->n_items);
}

/* A block of stream T: from the word it works on, else from another.  */
static inline void *
item_malloc (const struct mapinfo_s *m, struct seat *t)
{
  void *p = item_take (m, t->cursor, &t->avail);
  return QA_LIKELY (p != NULL) ? p : item_search (m, t);
}

/* Free the item at PTR; what is wrong with that, or NULL.  */
static inline const char *
item_give (const struct mapinfo_s *m, struct seat *t, const void *ptr)
{
  size_t n = item_number (m, ptr);
  if (QA_UNLIKELY (n == m->n_items))
    return "not an item of this map";
  uint64_t bit = UINT64_C (1) << n % 64;
  t->freed = n / 64;
  /* Release: pairs with item_take.  */
  if (QA_UNLIKELY (!(atomic_fetch_and_explicit (&m->word[n / 64], ~bit,
                                                memory_order_release) & bit)))
    return "the item is free already";
  return NULL;
}

/* NULL if PTR is an item in use; else what it is, which has been reported for
   public call CALL.  */
static const char *
item_verify (const char *call, const struct mapinfo_s *m, const void *ptr)
{
  size_t n = item_number (m, ptr);
  if (n < m->n_items && (item_bits (m, n / 64) >> n % 64 & 1))
    return NULL;
  const char *what = n == m->n_items ? "not an item of this map"
                                     : "the item is free";
  mmalloc_misuse (call, (void *) (uintptr_t) m, ptr, what);
  return what;
}


/* ---- 10. Opening ----------------------------------------------------- */

/* Owns: struct disk_map.  Needs: for the functions called by
   mmalloc_region_open, that nobody comes or goes.  Crash: a map without its
   magic is made again.  Keeps: Q1.  */

/* What a static map shall be, and what it turned out to be.  */
struct wish
{
  struct mapinfo_s m;          /* numbers wanted; 0: any.  Filled in */
  char told[QA_TOLD];
};

/* Whether W wants another number, which is not 0, than the file HAS; then it is
   told in FORMAT.  */
static bool
wish_differs (struct wish *w, size_t wanted, size_t has, const char *format)
{
  if (wanted == 0 || wanted == has)
    return false;
  snprintf (w->told, sizeof w->told, format, has, wanted);
  return true;
}

static const char other_streams[] = "the file has %zu streams, not %zu";

/* A sum over all that a header says once and for all, so that a flipped bit
   does not become another layout.  */
static uint32_t
disk_sum (const struct disk_map *d)
{
  const uint64_t words[] = { QA_MAGIC, d->base, d->size, d->item_size,
                             d->streams, d->mutex_size };
  uint64_t sum = 0;
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    sum = (sum ^ words[i]) * UINT64_C (0x9e3779b97f4a7c15) >> 1 ^ sum >> 29;
  return (uint32_t) (sum ^ sum >> 32);
}

/* Whether the file, of SIZE bytes at D, is a static map that this build can
   use: 0 or an errno value and *WHY.  */
static int
disk_verify (const struct disk_map *d, size_t size, const char **why)
{
  if (size >= sizeof *d && d->magic == __builtin_bswap64 (QA_MAGIC))
    return *why = "made on a machine of another byte order", ENOTSUP;
  if (size < sizeof *d || d->magic != QA_MAGIC)
    return *why = "not a static map", EINVAL;
  if (d->sum != disk_sum (d) || d->base != (uintptr_t) d || d->item_size == 0
      || d->streams == 0 || d->mutex_size == 0 || d->mutex_size % 8 != 0)
    return *why = "the header is damaged", EBADMSG;
  if (d->size != size)
    return *why = "the file has not the length it was made with", EBADMSG;
  return 0;
}

/* Take in M what disk_verify found good.  */
static int
disk_read (const struct disk_map *d, struct mapinfo_s *m, const char **why)
{
  m->map.base = (char *) (uintptr_t) d;
  m->map.size = d->size;
  m->map.streams = d->streams;
  m->item_size = d->item_size;
  m->mutex_size = d->mutex_size;
  if (item_layout (m) != 0)
    return *why = "the header is damaged", EBADMSG;
  uint64_t no_bits = item_no_bits (m, m->n_words - 1);
  if ((item_bits (m, m->n_words - 1) & no_bits) != no_bits)
    return *why = "the bits are damaged", EBADMSG;
  return 0;
}

/* Build the map in the new file; the magic last.  */
static int
disk_make (struct disk_map *d, struct mapinfo_s *m)
{
  m->map.base = (char *) d;
  if (item_layout (m) != 0)
    return EINVAL;
  d->size = m->map.size;
  d->item_size = m->item_size;
  d->streams = (uint16_t) m->map.streams;
  d->mutex_size = (uint8_t) m->mutex_size;
  d->sum = disk_sum (d);
  atomic_store_explicit (&m->word[m->n_words - 1],
                         item_no_bits (m, m->n_words - 1),
                         memory_order_relaxed);
  atomic_store_explicit (&d->magic, QA_MAGIC, memory_order_release);
  return 0;
}

/* Called by mmalloc_region_open.  */
static int
disk_enter (void *region, size_t size, enum mmalloc_region_why why,
            const char **reason, void *arg)
{
  struct disk_map *d = region;
  struct wish *w = arg;
  if (why == MMALLOC_REGION_NEW)
    return disk_make (d, &w->m);
  int err = disk_verify (d, size, reason);
  if (err == EBADMSG && d->size != size)
    {
      snprintf (w->told, sizeof w->told, "%s: %zu bytes, not %zu", *reason,
                size, (size_t) d->size);
      *reason = w->told;
    }
  if (err == 0
      && (wish_differs (w, w->m.item_size, d->item_size,
                        "the file has items of %zu bytes, not %zu")
          || wish_differs (w, w->m.map.streams, d->streams, other_streams)))
    return *reason = w->told, EINVAL;
  return err != 0 ? err : disk_read (d, &w->m, reason);
}

/* Whether heap MD is the dynamic map that W wants, whose numbers become those
   that it has.  */
static int
open_verify (void *md, struct wish *w)
{
  struct mmalloc_info info;
  struct map *m = &w->m.map;
  if (mmalloc_info (md, &info) != 0)
    return errno;
  if (wish_differs (w, m->streams, info.streams, other_streams)
      || wish_differs (w, m->size, info.file_size,
                       "the file is %zu bytes long, not %zu"))
    return EINVAL;
  m->base = md;
  m->size = info.file_size;
  m->streams = info.streams;
  /* Versions that do not ask for the heap's own number look here.  */
  if (mmalloc_getkey (md, QA_KEY_STREAMS) == NULL)
    mmalloc_setkey (md, QA_KEY_STREAMS, (void *) (uintptr_t) m->streams);
  return 0;
}

/* Make or load a dynamic map, as FLAGS say; any numbers of W may be 0 if it is
   there.  Its address, or NULL and the error.  */
static void *
open_dynamic (const char *filename, int flags, void *addr, struct wish *w)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.base = addr;
  opt.reserve = opt.maximum = opt.initial = w->m.map.size;
  opt.streams = (unsigned) w->m.map.streams;
  opt.app_version = QA_DYNAMIC;
  void *md = mmalloc_open (filename, flags, &opt);
  int err = md != NULL ? open_verify (md, w) : 0;
  if (err == 0)
    return md;
  mmalloc_detach (md);
  errno = err;
  return NULL;
}

/* Whether the file, which could not be opened as a map of KIND, is something
   else: then what was asked for and what was found are told in W.  */
static bool
open_is_other (const char *filename, enum kind kind, struct wish *w)
{
  static const char *const names[] = { "", "static", "dynamic" };
  struct mmalloc_info info;
  int r = mmalloc_probe (filename, -1, &info);
  bool is_static = info.magic == QA_MAGIC;
  bool is_heap = info.kind == MMALLOC_FILE_HEAP;
  bool is_dynamic = is_heap && info.app_version == QA_DYNAMIC;
  if (r != 0 || info.kind == MMALLOC_FILE_EMPTY
      || (kind == STATIC ? is_static : is_dynamic))
    return false;
  if (is_static || is_dynamic)
    snprintf (w->told, sizeof w->told, "a %s map was asked for, and the file"
              " has a %s map", names[kind],
              names[is_static ? STATIC : DYNAMIC]);
  else if (is_heap)
    snprintf (w->told, sizeof w->told, "a %s map was asked for, and the file"
              " has a heap of application version 0x%lx, not 0x%lx",
              names[kind], info.app_version, (unsigned long) QA_DYNAMIC);
  else
    snprintf (w->told, sizeof w->told, "a %s map was asked for, and the file"
              " has none: it begins with 0x%lx", names[kind], info.magic);
  return true;
}

/* Make or load a map of the kind of W: its handle, or NULL and the error.  */
static void *
open_map (const char *filename, int flags, void *addr, struct wish *w)
{
  int saved = errno;
  if (filename == NULL)
    return fail (EINVAL, "there is no file name");
  pthread_once (&process.once, process_start);
  enum kind kind = w->m.map.kind;
  void *base = kind == STATIC
                 ? mmalloc_region_open (filename, flags, addr, w->m.map.size,
                                        disk_enter, w)
                 : open_dynamic (filename, flags, addr, w);
  if (base == NULL)
    {
      int code = errno;
      if (w->told[0] == '\0')
        snprintf (w->told, sizeof w->told, "%s", mmalloc_strerror (NULL));
      /* The second look has an error of its own, if it fails.  */
      if ((code == EPROTO || code == EINVAL)
          && open_is_other (filename, kind, w))
        code = EINVAL;
      return fail (code, w->told);
    }
  struct map *m = map_enter (&w->m);
  if (m == NULL)
    {
      map_close_below (kind, base);
      return fail (ENOMEM, NULL);
    }
  errno = saved;
  return m;
}


/* ---- 11. Public calls ------------------------------------------------ */

/* The seat in a map of either kind, or of one kind: NULL and an error.  */
static inline struct seat *
seat_of_kind (void *handle, enum kind kind)
{
  struct seat *t = seat_of (handle);
  if (QA_UNLIKELY (t != NULL && t->map->kind != kind))
    return fail_because (EINVAL, "the map is %s one, and the call is for %s",
                         kind == STATIC ? "a dynamic" : "a static",
                         kind == STATIC ? "static ones" : "dynamic ones");
  return t;
}

/* A block of heap MD or the reason why not.  */
static inline void *
dynamic_block (void *md, size_t size, void *block)
{
  if (QA_UNLIKELY (block == NULL && size != 0))
    return fail_below (md);
  return block;
}

/* Looked at before the file is opened: a refusal leaves no file.  */
QA_PUBLIC void *
qalloc_makestatmap (const off_t filesize, void *addr, const char *filename,
                    size_t itemsize, const size_t streams)
{
  struct wish w = { .m = { .map = { .kind = STATIC,
                                    .size = (size_t) filesize,
                                    .streams = streams },
                           .item_size = itemsize,
                           .mutex_size = QA_MUTEX } };
  if (filesize <= 0)
    return fail_because (EINVAL, "a file size is positive, not %lld",
                         (long long) filesize);
  if (itemsize == 0)
    return fail (EINVAL, "the item size is 0");
  if (streams == 0 || streams > QA_STREAMS_MAX)
    return fail_because (EINVAL, "there are 1 to %d streams, not %zu",
                         QA_STREAMS_MAX, streams);
  if (item_layout (&w.m) != 0)
    return fail_because (EINVAL, "a file of %zu bytes with %zu streams has no"
                                 " room for an item of %zu bytes",
                         (size_t) filesize, streams, itemsize);
  return open_map (filename, MMALLOC_CREATE, addr, &w);
}

/* The number of streams is looked at again below, where the limit is that of
   heaps.  */
QA_PUBLIC void *
qalloc_makedynmap (const off_t filesize, void *addr, const char *filename,
                   const size_t streams)
{
  struct wish w = { .m = { .map = { .kind = DYNAMIC,
                                    .size = (size_t) filesize,
                                    .streams = streams } } };
  if (filesize <= 0)
    return fail_because (EINVAL, "a file size is positive, not %lld",
                         (long long) filesize);
  if (streams == 0 || streams > QA_DYNAMIC_STREAMS)
    return fail_because (EINVAL, "there are 1 to %d streams, not %zu",
                         QA_DYNAMIC_STREAMS, streams);
  return open_map (filename, MMALLOC_CREATE, addr, &w);
}

/* The file itself knows what it is; which of the two ways of opening is right
   is asked first, and verified by opening.  */
QA_PUBLIC void *
qalloc_loadmap (const char *filename)
{
  struct wish w = { .m = { .map = { .kind = DYNAMIC } } };
  struct mmalloc_info info = { .magic = 0 };
  /* If this fails, opening says why.  */
  if (filename != NULL)
    mmalloc_probe (filename, -1, &info);
  if (info.magic == QA_MAGIC || info.magic == __builtin_bswap64 (QA_MAGIC))
    w.m.map.kind = STATIC;
  return open_map (filename, 0, NULL, &w);
}

/* The last close of a map in this process unmaps it.  */
QA_PUBLIC int
qalloc_close (void *map)
{
  int saved = errno;
  if (!map_leave (map))
    return fail (EINVAL, "this is no map, or it was closed"), -1;
  errno = saved;
  return 0;
}

/* All maps of the process, one after the other, without the lock: writing may
   take long, and others may open and close meanwhile.  */
QA_PUBLIC void
qalloc_checkpoint (void)
{
  int saved = errno;
  struct map *m, seen = { .id = 0 };
  error_code = 0;
  while ((m = map_after (seen.id, &seen)) != NULL)
    {
      bool is_static = seen.kind == STATIC;
      int r = is_static ? mmalloc_region_sync (seen.base, seen.size)
                        : mmalloc_sync (seen.base);
      /* Another thread may have closed the map meanwhile.  */
      if (r != 0 && m->id == seen.id)
        fail_below (is_static ? NULL : seen.base);
    }
  errno = error_code != 0 ? error_code : saved;
}

/* Written first, then closed, however often they were opened.  */
QA_PUBLIC void
qalloc_cleanup (void)
{
  struct map *m, seen;
  qalloc_checkpoint ();
  while ((m = map_after (0, &seen)) != NULL)
    map_leave (m);
}

/* The calls that know the kind of their map spare the question; on a map of
   the other kind they fail.  */
QA_PUBLIC void *
qalloc_statmalloc (mapinfo_t *map)
{
  struct seat *t = seat_of_kind (map, STATIC);
  return QA_LIKELY (t != NULL) ? item_malloc (map, t) : NULL;
}

/* Streams are the heap's own: threads find theirs as in any heap.  */
QA_PUBLIC void *
qalloc_dynmalloc (dynmapinfo_t *map, size_t size)
{
  if (QA_UNLIKELY (seat_of_kind (map, DYNAMIC) == NULL))
    return NULL;
  void *md = map->map.base;
  return dynamic_block (md, size, mmalloc (md, size));
}

/* SIZE means nothing to a static map: it has one size.  */
QA_PUBLIC void *
qalloc_malloc (void *map, size_t size)
{
  struct seat *t = seat_of (map);
  if (QA_UNLIKELY (t == NULL))
    return NULL;
  if (t->map->kind == STATIC)
    return item_malloc (map, t);
  void *md = t->map->base;
  return dynamic_block (md, size, mmalloc (md, size));
}

/* An item may be used before and is zeroed whole; the heap knows which of its
   memory is zero.  */
QA_PUBLIC void *
qalloc_calloc (void *map, size_t nmemb, size_t size)
{
  struct seat *t = seat_of (map);
  size_t n;
  if (t == NULL)
    return NULL;
  if (__builtin_mul_overflow (nmemb, size, &n))
    return fail_because (ENOMEM, "the size overflows: %zu items of %zu bytes",
                         nmemb, size);
  if (t->map->kind == DYNAMIC)
    return dynamic_block (t->map->base, n, mcalloc (t->map->base, 1, n));
  const struct mapinfo_s *m = map;
  if (n > m->item_size)
    return fail_because (EINVAL, "an item has %zu bytes, not %zu", m->item_size,
                         n);
  void *p = item_malloc (m, t);
  return p != NULL ? memset (p, 0, m->item_size) : NULL;
}

/* The ends of all frees: CALL is the public one.  */
static inline void
free_item (const char *call, const struct mapinfo_s *m, struct seat *t,
           void *block)
{
  const char *what = item_give (m, t, block);
  if (QA_UNLIKELY (what != NULL))
    mmalloc_misuse (call, (void *) (uintptr_t) m, block, what);
}

/* NULL is no block, as for free.  */
QA_PUBLIC void
qalloc_statfree (void *block, mapinfo_t *map)
{
  struct seat *t = block != NULL ? seat_of_kind (map, STATIC) : NULL;
  if (QA_LIKELY (t != NULL))
    free_item ("qalloc_statfree", map, t, block);
}

/* Misuse is found, and told, by the heap.  */
QA_PUBLIC void
qalloc_dynfree (void *block, dynmapinfo_t *map)
{
  struct seat *t = block != NULL ? seat_of_kind (map, DYNAMIC) : NULL;
  if (QA_LIKELY (t != NULL))
    mfree (map->map.base, block);
}

/* The map knows its kind; the block need not.  */
QA_PUBLIC void
qalloc_free (void *block, void *map)
{
  struct seat *t = block != NULL ? seat_of (map) : NULL;
  if (QA_UNLIKELY (t == NULL))
    return;
  if (t->map->kind == STATIC)
    free_item ("qalloc_free", map, t, block);
  else
    mfree (t->map->base, block);
}

/* An item cannot grow: it stays, or it is refused.  Size 0 frees, as in the
   historical package.  */
QA_PUBLIC void *
qalloc_realloc (void *block, void *map, size_t size)
{
  struct seat *t = seat_of (map);
  if (t == NULL)
    return NULL;
  if (t->map->kind == DYNAMIC)
    return dynamic_block (t->map->base, size,
                          mrealloc (t->map->base, block, size));
  const struct mapinfo_s *m = map;
  const char *what = block != NULL ? item_verify ("qalloc_realloc", m, block)
                                   : NULL;
  if (what != NULL)
    return fail (EINVAL, what);
  if (size > m->item_size)
    return fail_because (EINVAL, "an item has %zu bytes, not %zu", m->item_size,
                         size);
  if (block == NULL)
    return item_malloc (m, t);
  if (size != 0)
    return block;
  free_item ("qalloc_realloc", m, t, block);
  return NULL;
}

/* For an item the size it was made for, without what fills up the stride.  */
QA_PUBLIC size_t
qalloc_usable_size (const void *block, void *map)
{
  struct seat *t = block != NULL ? seat_of (map) : NULL;
  if (t == NULL)
    return 0;
  if (t->map->kind == DYNAMIC)
    return mmalloc_usable_size (t->map->base, block);
  const struct mapinfo_s *m = map;
  return item_verify ("qalloc_usable_size", m, block) == NULL ? m->item_size
                                                              : 0;
}

/* A static map has one word for a root, without a name; a dynamic one has the
   heap's, and a key for the one without a name.  */
QA_PUBLIC int
qalloc_setroot (void *map, const char *name, void *ptr)
{
  struct seat *t = seat_of (map);
  if (t == NULL)
    return -1;
  if (t->map->kind == STATIC && name != NULL)
    return fail (EINVAL, "a static map has no roots with names"), -1;
  if (t->map->kind == STATIC)
    /* Release: what the root leads to is there for who reads it.  */
    atomic_store_explicit (&((struct disk_map *) (void *) t->map->base)->root,
                           (uintptr_t) ptr, memory_order_release);
  else if (name == NULL ? mmalloc_setkey (t->map->base, QA_KEY_ROOT, ptr) == 0
                        : mmalloc_setroot (t->map->base, name, ptr) != 0)
    return fail_below (t->map->base), -1;
  return 0;
}

/* NULL for a root that was never set, without an error.  */
QA_PUBLIC void *
qalloc_getroot (void *map, const char *name)
{
  struct seat *t = seat_of (map);
  if (t == NULL)
    return NULL;
  if (t->map->kind == DYNAMIC)
    return name == NULL ? mmalloc_getkey (t->map->base, QA_KEY_ROOT)
                        : mmalloc_getroot (t->map->base, name);
  if (name != NULL)
    return fail (EINVAL, "a static map has no roots with names");
  return (void *) (uintptr_t) atomic_load_explicit
    (&((struct disk_map *) (void *) t->map->base)->root, memory_order_acquire);
}

/* Of the thread, as errno.  */
QA_PUBLIC int
qalloc_errno (void)
{
  return error_code;
}

/* The words stay until the next call of the thread that fails.  */
QA_PUBLIC const char *
qalloc_strerror (void)
{
  if (error_code == 0)
    return "no error";
  return desk->told[0] != '\0' ? desk->told : strerror (error_code);
}

/* Counted from the bits, without stopping anybody.  */
QA_PUBLIC int
qalloc_stats (void *map, struct qalloc_stats *stats)
{
  struct seat *t = seat_of (map);
  if (t == NULL)
    return -1;
  struct qalloc_stats s = { .address = t->map->base,
                            .file_size = t->map->size,
                            .streams = t->map->streams };
  if (t->map->kind == DYNAMIC)
    {
      struct mmalloc_stats below;
      if (mmalloc_stats (t->map->base, &below) != 0)
        return fail_below (t->map->base), -1;
      s.blocks_live = below.blocks_live;
      s.bytes_live = below.bytes_live;
      s.bytes_free = below.bytes_free;
      s.bytes_meta = below.bytes_meta;
    }
  else
    {
      const struct mapinfo_s *m = map;
      for (size_t w = 0; w < m->n_words; w++)
        s.blocks_live += (size_t) __builtin_popcountll
          (item_bits (m, w) & ~item_no_bits (m, w));
      s.item_size = m->item_size;
      s.bytes_live = s.blocks_live * m->item_size;
      s.bytes_free = m->n_items * m->item_size - s.bytes_live;
      s.bytes_meta = m->map.size - m->n_items * m->item_size;
    }
  *stats = s;
  return 0;
}

/* A word of bits is read once: what is freed meanwhile may be seen.  */
QA_PUBLIC int
qalloc_walk (void *map, int (*fn) (void *block, size_t size, void *arg),
             void *arg)
{
  struct seat *t = seat_of (map);
  if (t == NULL)
    return -1;
  if (t->map->kind == DYNAMIC)
    return mmalloc_walk (t->map->base, fn, arg);
  const struct mapinfo_s *m = map;
  int r = 0;
  for (size_t w = 0; w < m->n_words && r == 0; w++)
    for (uint64_t x = item_bits (m, w) & ~item_no_bits (m, w);
         x != 0 && r == 0; x &= x - 1)
      r = fn (item_address (m, w, (unsigned) __builtin_ctzll (x)),
              m->item_size, arg);
  return r;
}

/* Of a static map the header; bits are right whatever they say.  */
QA_PUBLIC int
qalloc_check (void *map,
              void (*report) (const char *finding, const void *where,
                              void *arg),
              void *arg)
{
  struct seat *t = seat_of (map);
  if (t == NULL)
    return -1;
  if (t->map->kind == DYNAMIC)
    {
      int n = mmalloc_check (t->map->base, report, arg);
      return n < 0 ? (fail_below (t->map->base), -1) : n;
    }
  const struct mapinfo_s *m = map;
  const struct disk_map *d = (const struct disk_map *) (void *) m->map.base;
  const char *why = NULL;
  struct mapinfo_s now;
  if (disk_verify (d, m->map.size, &why) == 0
      && disk_read (d, &now, &why) == 0
      && (now.item_size != m->item_size
          || now.mutex_size != m->mutex_size
          || now.map.streams != m->map.streams))
    why = "the header is damaged";
  if (why == NULL)
    return 0;
  if (report != NULL)
    report (why, d, arg);
  return 1;
}
