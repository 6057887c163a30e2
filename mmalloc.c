/* mmalloc.c - a heap in anonymous memory or in a file, for threads and
   processes, whole after a kill at any instruction.

   1. ESSAY

   What this is.  A heap is a region of address space.  Its pages of small
   blocks, its large blocks and everything the allocator knows about them lie
   in the region; file offset equals region offset, so the region of a file
   heap is the file, mapped shared, and mapped again at the same address by
   every process that opens it.  Nothing is written back at exit and nothing
   is read at start: the memory is the data structure.

   The one idea: bits are the truth.  A page is a run of slices cut into
   blocks of one size class.  Each page has two arrays of bits, own and rem,
   away from the blocks.

       Block i is live if and only if own[i] != rem[i].

   own is stored only by the owner of the page (a stream, which is one thread,
   or the holder of a shared stream's lock); rem is changed only by atomic
   read-modify-write, by everybody else.  So each change of state is one
   store or one atomic instruction.  Between two instructions every block is
   free or live; there is no moment at which a kill could lose one, and after
   a kill there is nothing to mend.  All other knowledge (which page to look
   at next, which slices are free) is a hint, or is derived from the heads of
   the slices, and may be thrown away.

   Map of a region (offsets from the grid, which is the base rounded up to a
   slice; c is the number of the chunk):

       chunk 0                          chunk c > 0, PAGED
       0      superblock A, B           0      nothing: a gap behind the last
       8 K    locks, slot calls                block of the chunk before
       12 K   process entries
       24 K   root page: length, keys
       28 K   buckets of named roots
       32 K   chunk index               32 K   chunk index
       36 K   slice records, 320 bytes  36 K   slice records
              for each slice
       ...    more process entries,     ...    data slices
              directory, streams
       ...    data slices               32 M   end

   A chunk is 32 MiB, a slice 16 KiB.  A HUGE block takes whole chunks
   without index and records.  Only the parts in use have disk blocks.

   Glossary
     slice      16 KiB, aligned in absolute addresses, the unit of runs
     run        consecutive slices of one chunk with one use
     head       one word in the record of a run's first slice: its use, class,
                owner and length.  The truth about runs
     page       a run cut into blocks of one class
     chunk      32 MiB; one word in the directory is the truth about it
     stream     a set of pages with one owner; 16-bit number, from 1.  The
                first ones are shared, each under a lock; the others belong
                to one thread at a time
     bin        the part of a cache that hands out blocks of one class
     cache      what one thread keeps about one heap, in private memory
     entry      one process that has the file open for writing
     epoch      the time between the first open and the last close

   Life of a small block.  A bin holds a word `avail' with a copy of the free
   bits of 64 blocks of one page.  mmalloc takes the lowest bit out of avail
   and flips the block's bit in own: that store allocates.  mfree by the owner
   flips own again; by anybody else it flips rem.  Neither touches avail, so
   a block comes back when the bin next looks at its word; only what mrealloc
   leaves may come back at once.  When a page has no
   free block it is dropped: HELD.  A free into a word whose blocks were all
   live puts a HELD page on its stream's list of partial pages (owner) or any
   page on the stream's queue (others); both are lists of hints, checked when
   read.

   States of a page's head
     ACTIVE(s)   a bin of stream s hands out its blocks
     HELD(s)     owned by s, in no bin
     CLAIMED(s)  somebody under the heap lock looks whether it is empty
     THIN(s)     owned by s, in no bin, and what is behind its free blocks may
                 have been given back
     FREE        not a page any more
   New: under the heap lock the records of the run are prepared, then ACTIVE is
   stored.  Drop: the owner forgets avail, then stores HELD.  Take back:
   compare-and-swap HELD to ACTIVE.  Retire, by any thread of any process under
   the heap lock: record the claim, compare-and-swap HELD to CLAIMED, look at
   all words; all equal: FREE, else HELD; clear the claim.  That is safe,
   because in CLAIMED nobody allocates, frees only empty the page further, and a
   legal free needs a live block.  So an idle thread keeps no empty page from
   others, but for the one page a class in its bins.
   Thin, by any thread of any process under the grow lock: compare-and-swap HELD
   to THIN, where nobody allocates either; then look, and give back the system
   pages that lie in free blocks only, each recorded in `holes' first.  Its
   owner takes it back, or another takes it over, under the grow lock: back the
   holes, forget them, then compare-and-swap THIN to ACTIVE.  Retire it, under
   both locks, without a claim: call its slices unbacked, then FREE.

   Slot calls (mmalloc_to and its kin) change two truths, a block's bit and a
   word of the program's that points to the block.  What they are about is
   written into an operation record first; whoever finds the process dead
   finishes the call or undoes it, before the dead one's streams find a new
   owner.  Until then nobody else gets a block that is on record.

   Paths to follow on a first visit
     small allocation       mmalloc -> bin_take; alloc_refill -> take_refill
                            -> bin_refill
     free from elsewhere    mfree -> free_far -> page_free_remote
     growing                take_run -> grow_run -> grow_back -> back_range
     back after a crash     attach_file -> attach_register -> epoch_begin

   Promises
     P1  come back: contents and addresses survive the process; O(1)
     P2  killed anywhere: whole, and at most the block under way leaks
     P3  all or nothing: with checkpoints, killed or cut off from power
         anywhere, the heap is as at the last of them
     P4  no surprise signal: disk blocks are there before memory is given out
     P5  no metadata in or between blocks; misuse is detected
     P6  speed: no lock and no atomic read-modify-write on the common paths

   Waiting.  A lock is taken from the dead, never from the living, who may be
   stopped.  A process may limit its waiting, so taking a lock can fail: before a
   call has changed anything it fails; in the middle it goes on as is right after
   a kill; a block that a call has to free behind its success stays on an
   operation record without an owner, which anybody ends.

   Lock order: open, registry, walkers, stream, grow, heap, error.  No system
   call under the heap lock.  Holding the grow lock keeps unbacked free slices
   and EMPTY chunks from changing.

   Invariants, checked by mmalloc_check and named in comments as I1..I10
     I1  the runs of a PAGED chunk do not overlap and lie between its records
         and its end; the head of a page says a class of the table and its
         number of slices
     I2  own != rem in every bit of a page's words that stands for no block, so
         that a word is ~0 if all of its blocks are live
     I3  every slice of a used run has memory or disk blocks behind it, but for
         the recorded holes of a THIN page, over which no live block lies
     I4  in the chunk index a slice is free if no used run covers it
     I5  a chunk is EMPTY, PAGED, or covered by exactly one HUGE head
     I6  length covers every backed slice; the file is at least so long
     I7  a head is CLAIMED only while the lock area says so
     I8  chains of named roots stay in slices set aside for roots and end; so
         does the page of each process's own
     I9  both superblocks are valid or the older one is torn
     I10 guards around blocks are intact (mmcheck only)
   And of a heap with checkpoints, in tests/model_log.c
     L1  after a kill or a power cut: the last checkpoint, or the one that was
         under way or failed
     L2  memory is what the program stored, and the last checkpoint after a
         rollback
     L3  a reader sees one checkpoint, not older than its opening, while it
         stays
     L4  a checkpoint waits for no reader

   Sources.  Bit-per-block pages with out-of-band metadata: phkmalloc and
   hardened_malloc.  Private ownership with separate words for foreign frees:
   mimalloc.  Division by a reciprocal with the remainder test in the same
   product: Lemire, Kaser and Kurz, "Faster remainder by direct computation".
   The parity of two words with one writer each is this library's own.

   Rooms, each above those that use it, with the prefixes of their functions.
   No room has more than 450 lines, no function more than 60.  One forward
   declaration: a lock finds its owner dead.
      2  Includes and platform              (-)
      3  Numbers                            (-)
      4  What is in the file                (-)
      5  What is in the process             (-)
      6  Memory order                       (word_)
      7  Preconditions                      (needs_)
      8  Bits and offsets                   (bit_ size_ round_up head_ dir_
                                          off_ slice_ sum_ map_)
      9  Run-time tools                     (mark_)
     10  The system: files                  (os_)
     11  The system: processes, threads     (wait_ pid_ helper_)
     12  The system: locks of files         (byte_)
     13  Failing                            (fail_)
     14  The system: address space          (space_)
     15  The system: written pages          (written_)
     16  Backing                            (back_)
     17  Locks and processes                (lock_ unlock_ proc_)
     18  Files                              (file_)
     19  Members of files                   (member_)
     20  The door                           (door_)
     21  Size classes                       (class_)
     22  Operation records                  (op_)
     23  Runs                               (run_)
     24  Growing                            (grow_)
     25  Pages                              (page_ list_ queue_)
     26  Large blocks                       (huge_ large_)
     27  Places                             (place_)
     28  The dead                           (dead_)
     29  Streams                            (stream_)
     30  Caches and bins                    (cache_ bin_)
     31  Sweeping                           (sweep_ sweep)
     32  Debugging aids                     (guard_ trace_)
     33  Allocating, freeing, resizing      (take_ give_ resize_)
     34  Roots                              (root_)
     35  Walking and counting               (walk_ sight_ stat_)
     36  Superblocks and directory          (super_ verify_)
     37  Checking                           (check_)
     38  Mapping a heap                     (range_)
     39  Epochs, and making a heap          (epoch_ make_)
     40  The log                            (log_)
     41  Capturing                          (capture_)
     42  The place of the log, settling     (area_ settle_)
     43  The gate                           (gate_)
     44  The image                          (home_)
     45  Checkpoints                        (point_)
     46  Where the log ends                 (tail_)
     47  Back to a checkpoint               (recover_)
     48  Undoing, and what changed          (undo_ changes_)
     49  Attaching and leaving              (attach_ detach_)
     50  Regions                            (region_)
     51  Process and fork                   (fork_ process_)
     52  Into a call and out of it          (heap_ call_ mmalloc_narrow)
     53  Probing                            (probe_)
     54  Giving back                        (trim_)
     55  Blocks, the short ways             (alloc_ free_ quick_)
     56  Blocks, public calls               (realloc_)
     57  Slot calls                         (slot_)
     58  Opening and closing, public calls  (open_)
     59  Other public calls                 (prefetch_)
     60  Checkpoints, public calls          (commit_)
     61  Roots that are made once           (maker_)  */


/* ---- 2. Includes and platform ------------------------------------------- */

#ifdef HAVE_CONFIG_H
# include <config.h>
#endif
#ifndef _GNU_SOURCE
# define _GNU_SOURCE 1
#endif

#include "mmalloc.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>
#ifdef HAVE_VALGRIND_VALGRIND_H
# include <valgrind/memcheck.h>
#endif

#ifndef MAP_FIXED_NOREPLACE
# define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_WIPEONFORK
# define MADV_WIPEONFORK 18
#endif
#ifndef MADV_HUGEPAGE
# define MADV_HUGEPAGE 14
#endif
#ifndef MADV_POPULATE_WRITE
# define MADV_POPULATE_WRITE 23
#endif
#ifndef F_OFD_GETLK
# define F_OFD_GETLK 36
# define F_OFD_SETLK 37
# define F_OFD_SETLKW 38
#endif
#ifndef FALLOC_FL_KEEP_SIZE
# define FALLOC_FL_KEEP_SIZE 1
# define FALLOC_FL_PUNCH_HOLE 2
#endif

/* What a limit of the process is named by.  */
#ifdef __GLIBC__
typedef __rlimit_resource_t limit_name;
#else
typedef int limit_name;
#endif

#define MM_PUBLIC __attribute__ ((visibility ("default")))
#define MM_HIDDEN __attribute__ ((visibility ("hidden")))

/* One instruction reaches thread-local storage that has its place in every
   thread from the start.  glibc keeps some of that for libraries loaded late,
   other C libraries none.  */
#ifdef __GLIBC__
# define MM_TLS __attribute__ ((tls_model ("initial-exec")))
#else
# define MM_TLS
#endif
#define MM_NOINLINE __attribute__ ((noinline))
#define MM_MUST_USE __attribute__ ((warn_unused_result))
#define MM_LIKELY(x) __builtin_expect (!!(x), 1)
#define MM_UNLIKELY(x) __builtin_expect (!!(x), 0)

_Static_assert (sizeof (void *) == 8, "libmmalloc needs 64-bit addresses");
_Static_assert (ATOMIC_LLONG_LOCK_FREE == 2, "64-bit atomics are lock-free");

/* Run-time tools that want to know which memory is a block.  Weak: there only
   if the program was linked with the tool.  */
extern void __asan_poison_memory_region (void const volatile *, size_t)
  __attribute__ ((weak));
extern void __asan_unpoison_memory_region (void const volatile *, size_t)
  __attribute__ ((weak));
extern void __tsan_init (void) __attribute__ ((weak));
extern void __msan_init (void) __attribute__ ((weak));
extern void __msan_allocated_memory (const volatile void *, size_t)
  __attribute__ ((weak));


/* ---- 3. Numbers --------------------------------------------------------- */

/* The superblock's first word; its bytes read "mmalloc" and a 1 in the file
   of a little-endian machine.  While a heap is being made the word is
   MM_CREATING, "unwhole" and a 1: such a file is as good as empty.  No flipped
   bit, and no lost byte, makes the one the other.  */
#define MM_MAGIC    UINT64_C (0x01636f6c6c616d6d)
#define MM_CREATING UINT64_C (0x01656c6f68776e75)
#define MM_RECORD_MAGIC UINT64_C (0x01676f6c6c616d6d) /* "mmallog" and a 1 */

/* Versions, powers of two.  */
enum
{
  MM_FORMAT = 2,               /* version of the file format; 1 is read, too */
  MM_FORMAT_LOG = 3,           /* with a log in the file */
  MM_ORDER = 0x01020304,       /* shows the byte order */
  MM_SLICE_SHIFT = 14,         /* 16 KiB: one page table entry of the largest
                                  page size supported; 1 MiB heaps have 58 */
  MM_CHUNK_SHIFT = 25          /* 32 MiB: 2048 slices, whose bit map is four
                                  cache lines */
};

/* Bytes, of the layout.  Offsets are from the base, those of the chunk's own
   from its beginning.  */
enum
{
  MM_SLICE = 1 << MM_SLICE_SHIFT,
  MM_CHUNK = 1 << MM_CHUNK_SHIFT,
  MM_PAGE = 4096,              /* unit of the header's layout */
  MM_OFF_LOCKS = 2 * MM_PAGE,
  MM_OFF_PROCS = 3 * MM_PAGE,
  MM_OFF_ROOT = 6 * MM_PAGE,
  MM_OFF_BUCKETS = 7 * MM_PAGE,
  MM_OFF_INDEX = 8 * MM_PAGE,  /* these two in each PAGED chunk */
  MM_OFF_RECORDS = 9 * MM_PAGE,
  MM_RECORD = 320,             /* an odd number of cache lines: the first lines
                                  of records use all sets of a cache */
  MM_NAME_MAX = 1000,          /* a root's record stays far below a slice */
  MM_GRANULE = 64              /* unit of what a log has: a page has as many as
                                  a word has bits */
};

/* Bytes, of blocks and of the memory behind them.  */
enum
{
  MM_FAST_MAX = 1024,          /* sizes of the table look-up */
  MM_SMALL_MAX = 32768,        /* sizes of the classes; larger: whole slices */
  MM_SYSTEM_STREAM_SPACE = 4 << 20, /* one exclusive stream for so many bytes:
                                  more would starve each other in small heaps */
  MM_GROW_MIN_FILE = 64 << 10, /* least step of growth: a new file is small */
  MM_GROW_MIN_ANON = 1 << 20,  /* memory costs nothing before it is touched */
  MM_GROW_MAX = 8 << 20,       /* tmpfs starts a step over after a signal */
  MM_AHEAD_MIN = 4 << 20,      /* anonymous memory made usable in advance */
  MM_AHEAD_MAX = 64 << 20,
  MM_NARROW_STEP = 1 << 20,    /* address space that a narrow heap takes */
  MM_HUGE_PAGES = 32 << 20,    /* larger anonymous heaps want huge pages */
  MM_SLACK_LEAST = 16 << 20,   /* smaller heaps spend no page on speed, nor any
                                  on many processes */
  MM_ROOM_ANON = 1 << 10,      /* a growing block of this size gets a slice;
                                  in a file, where it may stay, later */
  MM_ROOM_FILE = 4 << 10,
  MM_LOG = 16 << 20,           /* a new log */
  MM_LOG_LEAST = 64 << 10,
  MM_LOG_TIMES = 4,            /* not larger than so many capacities: half of it
                                  has room for a record of all, and more */
  MM_LOG_INSIDE = 128 << 20,   /* larger heaps have it in free chunks, which
                                  does not make their files longer */
  MM_RECORD_SMALL = 256 << 10, /* so much data is moved, for a shorter write */
  MM_DIRECT_LEAST = 1 << 20    /* so much new memory goes past the log */
};

/* Slices.  */
enum
{
  MM_CHUNK_SLICES = MM_CHUNK / MM_SLICE,
  MM_RUN_MAX = MM_CHUNK_SLICES / 2, /* larger blocks are HUGE */
  MM_FIRST_FIT = 64            /* for so many the first place will do */
};

/* How many there are.  */
enum
{
  MM_RECORDS_STEP = 16,        /* records that become usable together */
  MM_PROCS = 1024,             /* processes at once */
  MM_PROCS_FIRST = 192,        /* entries that fill the space between locks and
                                  root; a small heap has no others */
  MM_PROCS_ASKED = 16,         /* of them each thread that finds no stream asks
                                  so many whether they live, in turn */
  MM_PROCS_TRIED = 2,          /* of them each newcomer asks so many whether
                                  their owners live */
  MM_SPINS = 64,               /* looks at a lock before the first sleep */
  MM_OPS = 60,                 /* slot calls under way at once: these fill the
                                  page of the locks */
  MM_MAKES = 40,               /* of them roots that are being made, which may
                                  take long: the others leave room for calls */
  MM_KEYS = 16,                /* historical number */
  MM_BUCKETS = MM_PAGE / 8,
  MM_SCRATCH = 16,             /* pages of the image that are read at once */
  MM_PARTS = 64,               /* stretches of memory for one call */
  MM_WORDS = 15,               /* words of bits in a record */
  MM_CLASSES = 40,
  MM_STREAMS_MAX = 1023,       /* of a large heap; any value below 65535
                                  works, 1 KiB each */
  MM_SHARED_MAX = 512,         /* a sweep takes the locks of all of them that are
                                  free */
  MM_GIVEN = 16,               /* places of freed large blocks to look at first:
                                  two cache lines */
  MM_TOLD = 256                /* characters of a reason */
};
#define MM_RESERVE (UINT64_C (64) << 30)        /* a new heap's address space */
#define MM_RESERVE_DEFAULT (UINT64_C (1) << 40) /* the default heap's */
#define MM_RESERVE_TOOLS (UINT64_C (1) << 30)   /* under sanitizers, valgrind */
#define MM_RESERVE_MIN (UINT64_C (256) << 10)
#define MM_ALIGN_MAX (UINT64_C (1) << 30)

/* Where new file heaps go: an area that kernels leave alone when they choose
   addresses; with a million places, since heaps that are made apart know
   nothing of each other, and all of a set have places of their own only if no
   two of its pairs do not.  A place is as long as most heaps are; reservations
   overlap.  Below it are the shadow of AddressSanitizer, the heaps of Go
   (from 0xc000000000 on), of mimalloc and of Java's ZGC (from 4, 8 or 16 TiB
   on), behind it AddressSanitizer's blocks.  V8 scatters small mappings
   over the first 64 TiB, of which it fills some millionths.  The other area is
   the one that every sanitizer and valgrind leave to programs; PIE images
   begin right behind it.  */
#define MM_AREA UINT64_C (0x110000000000)
#define MM_AREA_END UINT64_C (0x500000000000)
#define MM_AREA_TOOLS UINT64_C (0x550000000000)
#define MM_AREA_TOOLS_END UINT64_C (0x555000000000)
#define MM_AREA_SMALL (UINT64_C (1) << 37)
#define MM_AREA_SMALL_END (UINT64_C (1) << 38)
#define MM_PLACE (UINT64_C (64) << 20)

/* Bytes for file locks, far beyond any data.  */
#define MM_LOCK_BYTES (INT64_C (1) << 62)
enum
{
  MM_BYTE_DOOR,     /* exclusive while opening and closing; so are, before it,
                       as many as the number of who does that */
  MM_BYTE_WRITERS_1, /* shared by all that write, with format 1 */
  MM_BYTE_READERS,  /* shared by all that only read */
  MM_BYTE_PRIVATE,  /* shared by all copy-on-write users */
  MM_BYTE_NONE,     /* by nobody: who locks it locks what is not his */
  MM_BYTE_ALONE,    /* exclusive by the single writer of a region; that of a
                       heap has a word for it in its entry */
  MM_BYTE_ALIVE = 16, /* and on: one for each that writes, exclusive while it
                       lives, which needs the right to write */
  MM_BYTES_HOME = 1 << 24 /* so many for one PID namespace */
};
#define MM_BYTES_BOOT (INT64_C (1) << 40) /* and for one boot of one machine */
#define MM_BYTES_ALIVE (INT64_C (1) << 56)


/* ---- 4. What is in the file --------------------------------------------- */

/* One store changes one of these; all are little structs of words, so that a
   mapping can be read as it is.  "zero" members are zero.  Numbers of slices
   count from the grid: chunk * MM_CHUNK_SLICES + slice; 0 means none.  */

typedef _Atomic uint64_t disk_u64;
typedef _Atomic uint32_t disk_u32;

/* Pages 0 and 1.  What stays as it was made, and where the file was last
   seen.  The copy with the higher generation and a right sum is valid.  */
struct disk_super
{
  uint64_t magic;
  uint32_t version;
  uint32_t order;
  uint64_t sum;         /* of all other bytes of the struct */
  uint64_t generation;
  uint8_t uuid[16];
  uint64_t base;
  uint64_t capacity;    /* the region can grow to this many bytes */
  uint32_t slice;
  uint32_t chunk;
  uint32_t n_classes;
  uint32_t class_sum;   /* of the class table */
  uint32_t n_streams;   /* numbers 1 to n_streams */
  uint32_t n_shared;    /* the first of them have a lock */
  uint32_t n_procs;
  uint32_t zero;
  uint64_t app_version;
  uint64_t features;    /* none known */
  uint64_t dev;         /* the file when last opened or closed, its device or */
  uint64_t ino;         /* MM_BORN and its birth: a copy has another number */
                        /* and may have lost its blocks */
  uint64_t blocks;
  uint8_t boot_id[16];
  uint64_t log;         /* where the log is in the file; these with
                           MM_FORMAT_LOG alone */
  uint64_t log_size;    /* two halves */
  uint64_t log_epoch;   /* random: records of another are none */
  uint64_t log_base;    /* 1 and the number of the checkpoint that the image had
                           when the log was made, empty; 0: there has been a
                           record since */
};

/* What a checkpoint has changed: a record of the log, on a page's beginning,
   with n changes behind it.  Its last bytes are this once more, with a sum of 0:
   of what was overwritten while somebody copied it, one end is there.  */
struct disk_record
{
  uint64_t magic;
  uint64_t sum;         /* of all other bytes of the record */
  uint8_t uuid[16];
  uint64_t epoch;
  uint64_t seq;         /* the checkpoint's number */
  uint64_t first;       /* of the first record that counts: what those before it
                           say is in the image, and on the disk */
  uint64_t at;          /* offset in the log */
  uint64_t bytes;       /* of all of it, whole pages */
  uint64_t n;
  uint64_t data;        /* offset in the record: the granules, in order */
  uint64_t length;      /* of the heap */
  uint64_t direct;      /* what lies from here on was written into the image */
  uint64_t direct_end;  /* before, up to here */
  uint32_t kept;        /* 1: the image stays as it is for readers, until there
                           is a record with 0 */
  uint32_t holes;       /* 1: free memory may have been taken out of the image that
                           records which count have: the next one does without
                           them */
  uint64_t before;      /* the sum of the record with the number before */
};
struct disk_change
{
  uint64_t page;        /* of the file */
  uint64_t mask;        /* bit i: its i-th granule */
};

/* Marks a number for a file's time of birth, which no mount changes, apart from
   the numbers of devices.  */
#define MM_BORN (UINT64_C (1) << 63)

/* A lock, with a cache line of its own: 0 is free; else the number of the
   owner's process in this epoch, twice, and 1 if somebody may be asleep.  */
union lock
{
  disk_u32 word;
  uint8_t room[64];
};

/* Volatile: means nothing once the last process has gone.  The locks are let go
   by the first process of each epoch.  */
struct disk_locks
{
  uint32_t tag;         /* MM_LOCKS_OWN: what kind of locks these are */
  uint32_t zero0;
  disk_u32 state;       /* MM_RECOVERING, MM_IN_USE, MM_CLEAN */
  disk_u32 epoch;
  disk_u64 claim;       /* the slice being retired */
  disk_u32 index_epoch; /* chunk indexes of another epoch are stale */
  disk_u32 reach_epoch; /* so are the directory's run lengths */
  disk_u32 streams_ready;  /* stream records with memory behind them */
  disk_u32 n_orphans;   /* a hint: exclusive streams without an owner */
  disk_u64 sweep_at;    /* n_taken at which the next sweep is due */
  disk_u64 n_backed;    /* a hint: backed slices */
  disk_u64 n_entered;   /* processes so far in this epoch */
  disk_u64 ops_busy;    /* bit i: operation record i may name blocks */
  disk_u64 n_taken;     /* slices taken so far in this epoch */
  disk_u64 sweep_gap;   /* how many between the last sweep and the next */
  disk_u64 roots_doubt; /* not 0: the machine was started anew, and whether
                           `slab' is right was not looked at since */
  disk_u64 went_down;   /* not 0: the machine did, with the heap in use, and
                           nobody has closed it since */
  disk_u64 mark;        /* random: shows who has these pages mapped */
  disk_u32 procs_used;  /* entries that were used in this epoch: these have
                           memory behind them */
  uint32_t zero1;
  uint64_t zero[1];
  union lock heap;
  union lock grow;
};
enum { MM_RECOVERING = 1, MM_IN_USE = 2, MM_CLEAN = 3, MM_LOCKS_OWN = 1 };

/* A slot call under way; behind the locks.  slot, fresh, old, from and moved
   are offsets from the base, 0: none.  */
struct disk_op
{
  disk_u64 owner;       /* id of the process; 0: not in use */
  disk_u64 slot;        /* the word that gets the result */
  disk_u64 fresh;       /* the block that it gets, until it has it */
  disk_u64 old;         /* the block to be freed when the slot has left it */
  disk_u64 locked;      /* not 0: a block of whole slices changes hands under
                           the heap lock just now */
  disk_u64 turn;        /* counts the uses */
  disk_u64 from;        /* not 0: a block leaves this word for the slot ... */
  disk_u64 moved;       /* ... to which the word pointed; but with MM_MAKES_ROOT
                           in from: the record whose maker this one waits for,
                           and 256 times its turn; 0: for none */
};
/* In place of from: the slot is the value of a root that is being made.  No
   word of a block is there.  */
enum { MM_MAKES_ROOT = 1 };

/* The owner of a record whose call anybody may end.  No process has it.  */
#define MM_OP_LEFT UINT64_MAX

/* One process.  Published by storing id.  */
struct disk_proc
{
  disk_u64 id;          /* epoch << 32 | its number in the epoch; 0: nobody */
  disk_u64 mapped;      /* bytes of the region it could map */
  disk_u64 pid;         /* the second witness, if the lock was lost */
  disk_u64 started;     /* and when it was started; 0: not known */
  disk_u64 coming;      /* the id of a newcomer who buries the one before him,
                           and needs the heap lock for that */
  disk_u64 namespace;   /* in which pid counts; 0: not known */
  disk_u64 how;         /* 1: nobody else may write while it lives; and, times
                           2, the type of the file system by which it came */
  disk_u64 since;       /* seconds since 1970 when it came; 0: not known */
};

/* The durable words.  */
struct disk_root
{
  disk_u64 length;      /* the file's length as far as anybody uses it */
  disk_u64 used;        /* not 0: a block was allocated once */
  disk_u64 guards;      /* not 0: mmcheck */
  disk_u64 slab;        /* slice << 32 | bytes used: where root records go */
  disk_u64 punched;     /* not 0: the file has fewer blocks than the superblock
                           says, by our own doing */
  disk_u64 local;       /* the slice that each process has memory of its own
                           in the place of; 0: none */
  disk_u64 checkpoint;  /* the number of the last one; 0: there was none */
  uint64_t zero[1];
  disk_u64 key[MM_KEYS];
  uint64_t more[488];
};

/* The record of a slice.  own is written by the owner of the page, the line
   of rem by everybody else.  foreign keeps the owner from touching that line:
   whoever changes rem sets it first, and it stays.  */
struct disk_slice
{
  disk_u64 head;
  disk_u32 foreign;     /* 0: all words of rem are 0 */
  disk_u32 link;        /* next in the owner's list; 0: not on it */
  disk_u64 own[MM_WORDS];
  disk_u64 holes;       /* of a THIN page, under the grow lock: bit i, what is
                           behind its i-th MM_PAGE may be gone */
  uint64_t zero[6];
  disk_u32 queue;       /* next in the queue of others' frees; 0: not on it */
  uint32_t zero2;
  disk_u64 rem[MM_WORDS];
};

/* A chunk's index, under the heap lock.  free follows from the heads and is
   rebuilt when its epoch is old; backed is the truth.  */
struct disk_index
{
  disk_u64 free[MM_CHUNK_SLICES / 64];
  disk_u64 backed[MM_CHUNK_SLICES / 64];
  uint32_t epoch;
  uint32_t zero[895];
};

/* A stream.  The lists are hints.  */
struct disk_stream
{
  disk_u64 owner;       /* the id of the process; 0: nobody */
  uint64_t zero[7];
  union lock lock;      /* if shared */
  uint64_t zero1[8];
  disk_u64 queue;       /* pages that others freed into */
  uint64_t zero2[7];
  disk_u32 first[MM_CLASSES]; /* partial pages, oldest first */
  disk_u32 last[MM_CLASSES];
  disk_u32 active[MM_CLASSES]; /* the page in the bin */
  uint64_t zero3[36];
};

/* A named root, in a slice of kind ROOTS.  */
struct disk_name
{
  disk_u64 next;        /* region offset; 0: last */
  disk_u64 value;       /* 0: no root, the record may be used again */
  disk_u64 turn;        /* odd while the record gets another name */
  disk_u32 hash;
  uint16_t room;        /* bytes for the name */
  _Atomic uint16_t len;
  _Atomic char name[];
};

/* The head of a run.

       63      48 47      32 31  24 23 22 21  20 19  16 15            0
      +----------+----------+------+-----+------+------+---------------+
      | back     | slices   | class| 0   | state| kind | owner stream  |
      +----------+----------+------+-----+------+------+---------------+

   back: in a continuation, how many slices before lies the head.  The kind of
   all slices without a head of their own but the continuations of pages is
   FREE, also inside a large block.  */
enum
{
  HEAD_FREE = 0, HEAD_PAGE = 1, HEAD_LARGE = 2, HEAD_CONT = 3,
  HEAD_ROOTS = 5,
  ROOTS_LOCAL = 1,             /* class of a slice of kind ROOTS that has no
                                  roots but the processes' own pages */
  HEAD_ACTIVE = 0, HEAD_HELD = 1, HEAD_CLAIMED = 2, HEAD_THIN = 3
};
#define HEAD_STATE (UINT64_C (3) << 20)
/* Owner, kind, and that the class is below 64: the bits that must match for an
   owner's plain free.  */
#define HEAD_MINE UINT32_C (0xc00fffff)

/* A chunk's word in the directory.

       63      48 47             32 31     20 19  16 15            0
      +----------+-----------------+---------+------+---------------+
      | reach    | 0               | 0       | PAGED| ready         |
      | slices of the block        | start   | HUGE | 0             |
      | chunks back to the head    | 0       | CONT | 0             |
      +----------------------------+---------+------+---------------+

   ready: so many slice records may be read.  reach: no free run is longer (a
   hint).  start: first slice of the block in its first chunk.  */
enum { DIR_EMPTY = 0, DIR_PAGED = 1, DIR_HUGE = 2, DIR_CONT = 3 };

#define DISK_SIZE(type, n) \
  _Static_assert (sizeof (type) == (n), "size of " #type)
#define DISK_AT(type, member, n) \
  _Static_assert (offsetof (type, member) == (n), #member " of " #type)
DISK_SIZE (struct disk_super, 184);
DISK_AT (struct disk_super, sum, 16);
DISK_AT (struct disk_super, base, 48);
DISK_AT (struct disk_super, slice, 64);
DISK_AT (struct disk_super, app_version, 96);
DISK_AT (struct disk_super, boot_id, 136);
DISK_AT (struct disk_super, log, 152);
DISK_SIZE (struct disk_record, 128);
DISK_AT (struct disk_record, seq, 40);
DISK_AT (struct disk_record, length, 88);
DISK_SIZE (struct disk_change, 16);
DISK_SIZE (struct disk_locks, 256);
DISK_AT (struct disk_locks, claim, 16);
DISK_AT (struct disk_locks, heap, 128);
DISK_SIZE (struct disk_op, 64);
DISK_SIZE (struct disk_proc, 64);
DISK_SIZE (struct disk_root, MM_PAGE);
DISK_AT (struct disk_root, key, 64);
DISK_SIZE (struct disk_slice, MM_RECORD);
DISK_AT (struct disk_slice, own, 16);
DISK_AT (struct disk_slice, holes, 136);
DISK_AT (struct disk_slice, queue, 192);
DISK_AT (struct disk_slice, rem, 200);
DISK_SIZE (struct disk_index, MM_PAGE);
DISK_SIZE (struct disk_stream, 1024);
DISK_AT (struct disk_stream, queue, 192);
DISK_AT (struct disk_stream, first, 256);
DISK_AT (struct disk_name, name, 32);
DISK_SIZE (union lock, 64);
_Static_assert (MM_OFF_LOCKS + 256 + MM_OPS * 64 <= MM_OFF_PROCS, "ops fit");
_Static_assert (MM_OFF_PROCS + MM_PROCS_FIRST * 64 == MM_OFF_ROOT, "so many");
_Static_assert ((MM_PROCS - MM_PROCS_FIRST) * 64 % MM_PAGE == 0, "whole pages");


/* ---- 5. What is in the process ------------------------------------------ */

/* Hands out blocks of one class from one word of one page.  Private to the
   process; a kill loses only the hint.  No two bins hold one word.  */
struct bin
{
  uint64_t avail;       /* bits of blocks that may be handed out */
  disk_u64 *own;        /* the word in the page's record */
  char *base;           /* block of bit 0 */
  uint32_t size;
  uint32_t word;        /* which word of the page */
};

/* What one thread keeps about one heap.  It stays with its thread until the
   thread ends.  Lies in memory that a fork child finds zeroed, so that a child
   never allocates from its parent's bins: they are empty, and no slice is
   hot.  key is also stored by others, to take the fast path away; and so are
   name and heap, when the heap goes, which the thread then uses no more.  */
struct cache
{
  _Atomic uintptr_t key;       /* heap as the program names it; KEY_NONE: no
                                  fast paths here */
  uintptr_t grid;
  size_t hot_bytes;            /* from grid on all slices have records: their
                                  chunks are PAGED and stay so */
  char *records;               /* of chunk 0 */
  uint32_t mine;               /* head bits of the thread's pages; with another
                                  kind: it has none of its own */
  uint32_t stream;             /* 0: none yet */
  struct disk_stream *st;      /* its record */
  _Atomic uintptr_t name;      /* the same + 1, whether fast or not; 0: none */
  size_t n_chunks;
  disk_u64 *dir;
  struct heap *_Atomic heap;
  struct cache *next;          /* of the thread; or of the free list */
  struct cache *heap_next;     /* of the heap */
  _Atomic uint32_t inside;     /* how many calls of mmalloc_enter have no leave
                                  yet */
  uint32_t roomy;              /* slice of the block that got more room than it
                                  needed; 0: none yet */
  uint32_t page[MM_CLASSES];   /* the page in the bin; 0: none */
  uint32_t debt[MM_CLASSES];   /* free blocks missed in poor words */
  struct bin bin[MM_CLASSES];
};

/* Why a call fails, in words; empty: as strerror says.  */
struct reason
{
  char told[MM_TOLD];
};

struct error
{
  int code;
  struct reason why;
};

/* A thread's last error, but for its code, and room for the string that it is
   told: private memory of the thread, from the first need to its end.  */
struct words
{
  struct reason why;
  uint64_t refused;            /* bytes that the system did not give, in the
                                  call under way; 0: it gave all */
  uint64_t reach;              /* and up to which length of the file */
  uint64_t waited;             /* ms that the call under way has waited for
                                  others */
  bool late;                   /* as long as it may: that failed, because */
  uint64_t holder;             /* process, by its pid, */
  const char *holds;           /* has this */
  char told[MM_TOLD + 80];
};

/* What a process may do with a heap, and what others see of that.  */
enum backing { BY_MEMORY, BY_DISK, BY_COPY, BY_LOG };
struct kind
{
  bool heap;                   /* there is a heap in it, else a region */
  bool changes;                /* the program may change it */
  bool writes_file;            /* what it stores is in the file */
  bool shared;                 /* with processes that come, go and die: locks
                                  are robust, each user has an entry */
  bool in_view;                /* others see its pages, or it sees theirs */
  bool anywhere;               /* at any address, anew for each opening */
  int witness;                 /* the byte whose lock shows it to others, the
                                  first of those that write; -1: no others */
  enum backing backing;        /* what is put behind a slice before its use */
  uint32_t grow_least;         /* least step of growth, in bytes */
  uint32_t room_least;         /* a growing block of so many bytes gets slices
                                  of its own, so that it can grow in place */
};

/* A file that is open and mapped, or anonymous memory: what heaps and map
   files have in common.  */
struct file
{
  struct file *next; /* of the process */
  const struct kind *kind;
  uintptr_t base; /* where it is mapped */
  _Atomic size_t mapped; /* bytes from base; 0: not yet.  Gets less if another
                            heap needs the rest */
  int fd;         /* for file calls; -1: anonymous memory */
  int lock_fd;    /* an open file of its own: carries the locks; unless others
                     have to see the very end of the process, it is the one
                     mapped, so that it and the locks stay with the mapping */
  bool of_process; /* no open file of its own could be had after fork: the locks
                      belong to the process, and lock_fd is fd */
  void *witness;  /* a page of lock_fd, with which the locks stay when the program
                     closes the library's descriptors; NULL: none was to be had.
                     No child has it */
  unsigned forks; /* process.forks when lock_fd was opened; with another number
                     children may have it, too */
  _Atomic bool unseen; /* it came through fork, and no lock could be had yet
                          that shows this process to others */
  int64_t byte;   /* whose lock shows it to others, from MM_BYTE_ALIVE on if it
                     writes */
  uint64_t dev, ino;
  uint64_t system; /* the type of its file system; 0: not known */
  uint64_t born;  /* MM_BORN and a number for its time of birth, which is its
                     own like ino, also when another mount has given it
                     another dev; 0: not known */
  bool sure;      /* lock_fd was opened just now, and nothing since has taken
                     long: nobody asks whether it is ours */
  bool made;      /* the file was not there before this opening */
  bool alone;     /* no other process may have it open to write */
  bool no_wait;   /* the opening under way waits for no lock of others */
  bool no_thread; /* none of ours is made for it */
  uint32_t wait;  /* ms that a call may wait for others; 0: as long as it
                     takes */
  unsigned n_open;
};

/* A thread of ours; all but DONE is its user's.  */
struct helper
{
  pthread_t thread;
  bool runs;                   /* it was made, and nobody has waited for it */
  _Atomic bool done;           /* there is a result */
  int result;                  /* 0 or an errno value, of */
  int (*fn) (struct heap *);   /* this function */
  struct heap *h;
};

/* Chunks from FROM on, before TO.  */
struct chunks
{
  size_t from, to;
};

/* What has changed since the last checkpoint, while it is looked for.  */
struct capture
{
  struct heap *h;
  struct written *spans;       /* of pages that may have changed */
  size_t n_spans, room_spans;
  uint64_t most, fresh;        /* how many; how many behind what was in use */
  bool unread;                 /* nobody reads the image */
  bool direct;                 /* those go into the image at once, */
  bool ready;                  /* by stores */
  bool again;                  /* what is pending is in the record, too */
  uint64_t length;             /* of the heap */
  struct chunks drops;         /* as the log's were then */
  uint64_t n_drops;
  struct disk_change *change;
  size_t n;
  char *data;
  size_t data_bytes;
  char *scratch;
};

/* The log of a heap that is open for checkpoints; or what a reader of one lays
   over the image.  */
struct log
{
  pthread_mutex_t lock;        /* who makes a checkpoint, or undoes what came
                                  after it */
  int fd;                      /* what is written with it is on the disk */
  bool past_cache;             /* and not in the system's cache */
  int broken;                  /* not 0: the disk failed, for good */
  _Atomic uint64_t seq;        /* of the last checkpoint; mmalloc_info looks without
                                  the lock */
  uint64_t first;              /* the first record that counts; 0: there are
                                  none */
  uint64_t at;                 /* where the next one goes, in the log */
  unsigned half;               /* in which that is, */
  uint64_t begins;             /* and the first number there */
  struct helper settler;       /* gets the image to the disk, when the other half
                                  is full */
  bool settled;                /* has done so: the next record says that the
                                  other half does not count */
  bool doubt;                  /* one may be there that was said to have
                                  failed */
  bool alone;                  /* it has to do without those before it */
  uint64_t sum;                /* of the last record */
  bool inherited;              /* behind the length the image may have what somebody
                                  wrote who was killed, and the disk not */
  bool unsynced;               /* new pages are in the image that the next
                                  record counts on */
  bool punched;                /* free memory went out of it, which records that
                                  count may have */
  bool whole;                  /* the image is one checkpoint, not between two,
                                  when nobody writes it */
  struct chunks drops;         /* those in which memory was given back that the
                                  image still has, */
  uint64_t n_drops;            /* in so many calls */
  disk_u64 *bare;              /* by page: nobody had it at the last capture, if
                                  it is in one of these */
  size_t bare_bytes;
  char *image;                 /* the file, mapped shared; NULL: it is not */
  size_t image_mapped;         /* bytes of that, */
  size_t image_end;            /* as far as the file goes */
  bool zeros;                  /* blocks are set aside by writing zeros */
  uint64_t length;             /* of the heap, at the last checkpoint */
  char **kept;                 /* by page: a copy as it was last committed, while
                                  that cannot go into the image; NULL: none */
  uint64_t *pending;           /* which they are */
  size_t n_pending, pending_room;
  disk_u64 *warm;              /* by page: it was changed before, and its copy
                                  is worth keeping */
  size_t warm_bytes;
  disk_u64 *covered;           /* by chunk: the log is there, or was */
  size_t covered_bytes;
  struct iovec part[MM_PARTS]; /* stretches of memory, for one call for all */
  size_t n_parts;
  char *scratch;               /* MM_SCRATCH pages */
  char *buffer;                /* in which records are made */
  size_t room;
  struct helper committer;     /* writes what was */
  struct capture captured;     /* for it, as number */
  unsigned long started;       /* of its kind, from 1 */
  unsigned long durable;       /* and so many are on the disk, or later ones */
  int failed;                  /* 0, or why not the last one */
};

/* Reads one record after the other.  */
struct log_reader
{
  char *buffer;
  size_t room;
  struct disk_record *record;
};
typedef int log_fn (struct heap *, struct disk_record *, void *);
struct log_range
{
  uint64_t from, to;
};

/* The end of the records that a half begins with.  */
struct log_end
{
  uint64_t begins, last;       /* numbers of the first and the last one; 0:
                                  there is none */
  uint64_t before, sum;        /* what the first one says of the one before it; of
                                  the last one */
  uint64_t first, length;      /* as the last one says, */
  bool holes;
  uint64_t start, at;          /* where it begins and ends */
};

/* The gate of a heap with checkpoints: threads wait before it; none was inside
   ever; those who come in need a fence, as the system has no barrier for all.  */
enum { GATE_CLOSED = 1, GATE_UNUSED = 2, GATE_FENCED = 4 };

/* One attached heap.  */
struct heap
{
  struct file file;            /* first: a file with a heap in it is one */
  uintptr_t grid;              /* base rounded up to a slice */
  size_t capacity;             /* bytes from base, as recorded */
  _Atomic size_t seen;         /* so much of it was in use when this process
                                  looked: nobody takes that back */
  _Atomic size_t dumped;       /* what lies behind is not in core dumps */
  size_t usable;               /* anonymous: may be touched from base up to
                                  here; more lies behind huge gaps */
  bool narrow;                 /* anonymous: what it grows into is mapped when
                                  it does; under the grow lock */
  size_t n_chunks;             /* of the capacity; not all may be mapped */
  size_t last_chunk;           /* of the capacity; it may be short */
  size_t first_data[3];        /* of the first chunk, others, the last */
  struct disk_locks *locks;
  struct disk_op *op;
  struct disk_proc *procs;     /* the first ones */
  struct disk_proc *more_procs; /* from MM_PROCS_FIRST on */
  struct disk_root *root;
  disk_u64 *bucket;
  disk_u64 *dir;
  struct disk_stream *stream;  /* [0] is number 1 */
  struct disk_super super;     /* the valid copy as last read or written */
  struct log *log;             /* NULL: none */
  disk_u32 gate;               /* 0: threads come in; GATE_... */
  disk_u32 left;               /* how often one left while it was closed */
  _Atomic uint64_t limiter;    /* process whose small mapping stopped growth; 0:
                                  the capacity did */
  _Atomic uint64_t limit;      /* and where */
  char *_Atomic local;         /* this process's page of its own; NULL: not
                                  mapped yet */
  _Atomic bool forked;         /* inherited through fork, not yet joined */
  uint32_t entry;
  uint32_t epoch;
  uint64_t id;                 /* in the entry and in our streams */
  disk_u32 asked;              /* entries asked about in turn so far */
  struct cache *caches;        /* under the registry lock */
  struct given                 /* what LARGE blocks have left, as this process
                                  knows it; under the heap lock */
  {
    uint32_t number;
    uint32_t n;                /* slices; 0: nothing */
  } given[MM_GIVEN];
  unsigned next_given;
  size_t trim_threshold;       /* so many bytes freed make this process trim; 0:
                                  none do */
  _Atomic size_t freed;        /* of them since the last time, if so */
  _Atomic size_t trim_given;   /* bytes given back then, */
  _Atomic size_t trim_backed;  /* and left */
  _Atomic unsigned trim_wait;  /* how many times as many until the next; 0: it
                                  was not yet */
  _Atomic unsigned trim_good;  /* how often in a row it was worth its while */
  void (*on_damage) (void);    /* of mmcheck */
  struct making                /* the roots that are being made, by operation
                                  record; under the heap lock */
  {
    _Atomic uint64_t by;       /* its number; 0: of a fork child that is not in
                                  the program's function any more */
    uint64_t turn;             /* of the record: another is another use */
  } making[MM_OPS];
  pthread_rwlock_t walkers;    /* shared while somebody walks without locks;
                                  exclusive while the file is truncated */
  unsigned forks;              /* how often it came through fork, locks new */
  pthread_mutex_t error_lock;
  struct error error;
};

/* The thread's state.  last is never NULL.  Of such memory a program has little
   left for a library that it loads late, so that words lie elsewhere.  */
struct thread
{
  struct cache *last;          /* the one used last */
  struct cache *all;
  struct disk_op *op;          /* of the slot call under way; or NULL */
  uint64_t number;             /* of those that make roots; 0: none yet */
  struct words *words;         /* NULL: none yet, or no memory, or leaving */
  int code;                    /* of its last error */
  bool forking;                /* in fork, with all locks */
  bool opening;                /* in the program's function for a region, with
                                  the lock of opening */
  bool leaving;                /* its exit hook has run */
  bool hooked;
};

/* The kinds of heaps: in anonymous memory, in a file, in a copy of one that is
   gone at detach, only read, only read at any address; and regions.  */
static const struct kind
  /* heap, changes, writes_file, shared, in_view, anywhere, witness, ...  */
  kind_anonymous
  = { 1, 1, 0, 0, 0, 0, -1, BY_MEMORY, MM_GROW_MIN_ANON, MM_ROOM_ANON },
  kind_file = { 1, 1, 1, 1, 1, 0, MM_BYTE_ALIVE, BY_DISK, MM_GROW_MIN_FILE,
                MM_ROOM_FILE },
  kind_private = { 1, 1, 0, 0, 0, 0, MM_BYTE_PRIVATE, BY_COPY,
                   MM_GROW_MIN_ANON, MM_ROOM_FILE },
  kind_reader = { 1, 0, 0, 0, 1, 0, MM_BYTE_READERS, BY_DISK, 0, 0 },
  kind_elsewhere = { 1, 0, 0, 0, 1, 1, MM_BYTE_READERS, BY_DISK, 0, 0 },
  /* With checkpoints; and the last one, looked at beside who makes them.  */
  kind_logged = { 1, 1, 1, 0, 1, 0, MM_BYTE_ALIVE, BY_LOG, MM_GROW_MIN_FILE,
                  MM_ROOM_FILE },
  kind_view = { 1, 0, 0, 0, 0, 0, MM_BYTE_PRIVATE, BY_COPY, 0, 0 },
  kind_view_elsewhere = { 1, 0, 0, 0, 0, 1, MM_BYTE_PRIVATE, BY_COPY, 0, 0 },
  kind_region = { 0, 1, 1, 1, 1, 0, MM_BYTE_ALIVE, BY_DISK, 0, 0 };

/* What no program calls a heap: (void *) -1 may come from a failed mmap.  */
#define KEY_NONE ((uintptr_t) &no_cache)
static struct cache no_cache = { .key = KEY_NONE };
static _Thread_local struct thread thread MM_TLS = { .last = &no_cache };

static struct heap first_heap;

static struct
{
  pthread_once_t once;
  pthread_mutex_t open_lock;   /* opening, closing */
  pthread_mutex_t lock;        /* the registry: heaps, caches */
  struct file *files;          /* heaps and regions */
  _Atomic (struct heap *) default_heap;
  struct cache *free_caches;
  char *fresh;                 /* caches never used yet */
  size_t fresh_caches;
  pthread_key_t exit_key;
  bool have_key;
  size_t system_page;          /* the system's page size, bytes */
  uint32_t class_sum;          /* of the class table, for superblocks */
  bool first_used;             /* first_heap; under the lock of opening */
  bool tools_area;             /* a sanitizer wants low addresses */
  bool valgrind;               /* tell valgrind about blocks */
  bool asan;                   /* tell AddressSanitizer about blocks */
  _Atomic bool slow;           /* no fast paths: tracing, tools */
  _Atomic int trace_fd;        /* of mmtrace; -1: off */
  struct file trace;           /* which file that is */
  _Atomic uint64_t n_makers;   /* threads that were given a number */
  uint64_t *fork_mark;         /* a word that a fork child finds zeroed */
  bool adopted;                /* in a fork child: it was noticed */
  unsigned forks;              /* how often it has forked; under the lock of
                                  opening */
  disk_u64 boot_id[2];         /* the first is 0: not asked for yet */
  disk_u32 pid_namespace;      /* 0: not asked for yet */
  disk_u64 started;            /* when it was; 0: not asked for yet */
  uint32_t patience[2];        /* ms to wait for a lock of a peer, of others */
  mmalloc_misuse_fn on_misuse;
  void *on_misuse_arg;
} process = {
  .patience = { 60000, 2000 },
  .once = PTHREAD_ONCE_INIT,
  .open_lock = PTHREAD_MUTEX_INITIALIZER,
  .lock = PTHREAD_MUTEX_INITIALIZER,
  .trace_fd = -1,
};


/* ---- 6. Memory order ---------------------------------------------------- */

/* Owns: nothing.  What a load or store of a shared word is for, in five words;
   they take any atomic type.
   Needs: nothing.
   Crash: each is one instruction.
   Keeps: nothing by itself.
   Checked by: model_protocol, step.  */

/* A look at a hint, or at a word that nobody else changes just now; and the
   store of one.  */
#define word_peek(word) atomic_load_explicit ((word), memory_order_relaxed)
#define word_put(word, value)                                                 \
  atomic_store_explicit ((word), (value), memory_order_relaxed)

/* What was stored before the word was published is seen with it.  A publishing
   store says in a comment by whom.  */
#define word_see(word) atomic_load_explicit ((word), memory_order_acquire)
#define word_publish(word, value)                                             \
  atomic_store_explicit ((word), (value), memory_order_release)

/* Nobody looks meanwhile, or only under a lock; but who comes after a kill
   must not find this store without those before it.  */
#define word_settle(word, value) word_publish (word, value)

/* Read-modify-write, what was there before.  Make EXPECTED VALUE: true if it
   is done, with what others published seen and what came before it published;
   else *EXPECTED is what is there.  Change the value; set or clear bits, with
   what came before it published; count N up.  */
#define word_claim(word, expected, value) \
  atomic_compare_exchange_strong_explicit ((word), (expected), (value), \
                                           memory_order_acq_rel, \
                                           memory_order_relaxed)
#define word_swap(word, value) \
  atomic_exchange_explicit ((word), (value), memory_order_acq_rel)
#define word_set(word, bits) \
  atomic_fetch_or_explicit ((word), (bits), memory_order_acq_rel)
#define word_clear(word, bits) \
  atomic_fetch_and_explicit ((word), ~(bits), memory_order_acq_rel)
#define word_add(word, n) \
  atomic_fetch_add_explicit ((word), (n), memory_order_relaxed)

/* Between loads, and between stores, of several words that belong together.  */
#define word_fence_see() atomic_thread_fence (memory_order_acquire)
#define word_fence_publish() atomic_thread_fence (memory_order_release)

/* Between a store and a load that come after it: by the processor; or by the
   compiler alone, where the other side has a barrier for all processors.  */
#define word_fence_all() atomic_thread_fence (memory_order_seq_cst)
#define word_fence_here() atomic_signal_fence (memory_order_seq_cst)


/* ---- 7. Preconditions --------------------------------------------------- */

/* Owns: what the thread holds, in builds with MMALLOC_NEEDS defined, as those
   of the tests are.  In the installed library all of it is nothing.
   Needs: nothing.
   Crash: nothing of it is in a file.
   Keeps: nothing; says which rule of this file was broken, and aborts.
   Checked by: preconditions.  */

#ifdef MMALLOC_NEEDS
# define MM_NEEDS(claim) \
  ((claim) ? (void) 0 : needs_failed (__func__, #claim))

/* The locks of a thread.  Heaps that it has to itself, while it makes or
   recovers them, count as locked.  */
static _Thread_local struct
{
  bool opening, registry;
  unsigned streams;
  const struct heap *grow, *heap, *alone;
} needs;

/* A precondition does not hold: say which, of what function, and stop.  Test
   builds only.  */
__attribute__ ((noreturn, noinline)) static void
needs_failed (const char *function, const char *claim)
{
  fprintf (stderr, "libmmalloc: %s needs: %s\n", function, claim);
  abort ();
}

/* No lock but that of opening.  */
static inline bool
needs_none (void)
{
  return !needs.registry && needs.streams == 0 && needs.grow == NULL
         && needs.heap == NULL;
}

/* Whether the thread has the heap lock of H, or H is its own for now: being
   made, or cut off from others.  */
static inline bool
needs_heap_lock (const struct heap *h)
{
  return needs.heap == h || needs.alone == h;
}

/* The same of the grow lock.  */
static inline bool
needs_grow_lock (const struct heap *h)
{
  return needs.grow == h || needs.alone == h;
}

/* What the thread does with a lock; it has none any more.  */
# define MM_NOTE(what) ((void) (needs.what))
# define MM_FORGET() memset (&needs, 0, sizeof needs)
#else
# define MM_NEEDS(claim) ((void) 0)
# define MM_NOTE(what) ((void) 0)
# define MM_FORGET() ((void) 0)
#endif


/* ---- 8. Bits and offsets ------------------------------------------------ */

/* Owns: nothing.  The only casts between addresses and numbers, and the only
   shifts and masks of heads and directory words.
   Needs: nothing, but that chunk, slice and stream exist.
   Crash: each store is of one word.
   Keeps: nothing by itself.
   Checked by: man_format.  */

/* The number of the lowest bit that is set.  Needs: X is not 0.  */
static inline unsigned
bit_lowest (uint64_t x)
{
  return (unsigned) __builtin_ctzll (x);
}

/* How many bits are set.  Processors that have an instruction for it are not
   taken for granted, and without it the compiler calls a function.  */
static inline unsigned
bit_count (uint64_t x)
{
  x -= x >> 1 & UINT64_C (0x5555555555555555);
  x = (x & UINT64_C (0x3333333333333333))
      + (x >> 2 & UINT64_C (0x3333333333333333));
  x = (x + (x >> 4)) & UINT64_C (0x0f0f0f0f0f0f0f0f);
  return (unsigned) (x * UINT64_C (0x0101010101010101) >> 56);
}

/* Take the lowest bits without a gap out of *BITS: they are, and where they
   begin, *AT, and how many, *N.  0: there are none.  */
static inline uint64_t
bit_take_run (uint64_t *bits, size_t *at, size_t *n)
{
  if (*bits == 0)
    return 0;
  *at = bit_lowest (*bits);
  uint64_t above = ~(*bits >> *at);
  *n = above != 0 ? bit_lowest (above) : 64;
  uint64_t run = ~UINT64_C (0) >> (64 - *n) << *at;
  *bits &= ~run;
  return run;
}

/* The smaller, and the larger, of two sizes.  */
static inline size_t
size_min (size_t a, size_t b)
{
  return a < b ? a : b;
}

static inline size_t
size_max (size_t a, size_t b)
{
  return a > b ? a : b;
}

/* N, or the next multiple of UNIT, a power of two.  */
static inline size_t
round_up (size_t n, size_t unit)
{
  return (n + unit - 1) & ~(unit - 1);
}

/* A head, as drawn where it is declared.  */
static inline uint64_t
head_make (unsigned kind, unsigned state, uint32_t stream, unsigned class,
           size_t slices)
{
  return (uint64_t) stream | (uint64_t) kind << 16 | (uint64_t) state << 20
         | (uint64_t) class << 24 | (uint64_t) slices << 32;
}

/* What the record of a page's later slice says: how many slices before it the
   head lies.  */
static inline uint64_t
head_cont (size_t back)
{
  return (uint64_t) HEAD_CONT << 16 | (uint64_t) back << 48;
}

static inline uint32_t head_owner (uint64_t h) { return h & 0xffff; }
static inline unsigned head_kind (uint64_t h) { return h >> 16 & 15; }
static inline unsigned head_state (uint64_t h) { return h >> 20 & 3; }
static inline unsigned head_class (uint64_t h) { return h >> 24 & 255; }
static inline size_t head_slices (uint64_t h) { return h >> 32 & 0xffff; }
static inline size_t head_distance (uint64_t h) { return h >> 48; }

/* H in another state.  */
static inline uint64_t
head_in_state (uint64_t h, unsigned state)
{
  return (h & ~HEAD_STATE) | (uint64_t) state << 20;
}

/* HEAD beside MINE, the bits of a thread's pages: whether it is one of theirs,
   and then its class.  */
static inline uint32_t
head_beside (uint32_t mine, uint64_t head)
{
  return mine ^ (uint32_t) head;
}

static inline bool head_is_mine (uint32_t x) { return (x & HEAD_MINE) == 0; }
static inline uint32_t head_my_class (uint32_t x) { return x >> 24; }

#ifdef MMALLOC_NEEDS
/* Whether a head may change from OLD to NEW, as the essay's list of states
   says.  */
static bool
head_may_follow (uint64_t old, uint64_t new)
{
  unsigned from = head_state (old), to = head_state (new);
  switch (head_kind (old))
    {
    case HEAD_PAGE:
      if (head_kind (new) == HEAD_PAGE)
        return head_class (old) == head_class (new)
               && (to == HEAD_HELD || from == HEAD_HELD)
               && (head_owner (old) == head_owner (new)
                   || (from == HEAD_HELD && to == HEAD_ACTIVE));
      return head_kind (new) == HEAD_FREE
             && (from == HEAD_CLAIMED || from == HEAD_THIN);
    case HEAD_LARGE:
      return head_kind (new) == HEAD_LARGE || head_kind (new) == HEAD_FREE;
    case HEAD_ROOTS:
      return false;
    default:
      return head_kind (new) != HEAD_PAGE || to == HEAD_ACTIVE;
    }
}
#endif

/* A head, for who goes on to what it covers; and for who only looks, or holds
   the heap lock.  */
static inline uint64_t
head_see (struct disk_slice *r)
{
  return word_see (&r->head);
}

/* The same where what lies behind the head is the caller's anyway.  */
static inline uint64_t
head_peek (struct disk_slice *r)
{
  return word_peek (&r->head);
}

/* The one store that changes a head.  Needs: the heap lock, or to be the owner
   of the page.  */
static inline void
head_set (struct disk_slice *r, uint64_t head)
{
  MM_NEEDS (head_may_follow (head_peek (r), head));
  /* Seen by place_find, page_of and quick_locate.  */
  word_publish (&r->head, head);
}

/* Words of the directory, as drawn where they are declared.  */
static inline uint64_t
dir_paged (size_t ready, size_t reach)
{
  return (uint64_t) ready | (uint64_t) DIR_PAGED << 16
         | (uint64_t) reach << 48;
}

/* START and SLICES: where in the chunk the block begins, and its length.  */
static inline uint64_t
dir_huge (size_t start, size_t slices)
{
  return (uint64_t) DIR_HUGE << 16 | (uint64_t) start << 20
         | (uint64_t) slices << 32;
}

/* BACK: how many chunks before this one the block begins.  */
static inline uint64_t
dir_cont (size_t back)
{
  return (uint64_t) DIR_CONT << 16 | (uint64_t) back << 32;
}

static inline unsigned dir_kind (uint64_t d) { return d >> 16 & 15; }
static inline size_t dir_ready (uint64_t d) { return d & 0xffff; }
static inline size_t dir_reach (uint64_t d) { return d >> 48; }
static inline size_t dir_start (uint64_t d) { return d >> 20 & 0xfff; }
static inline size_t dir_slices (uint64_t d) { return d >> 32; }
static inline size_t dir_distance (uint64_t d) { return d >> 32; }

/* The chunk's directory word; its record count is that of a PAGED chunk and
   never more than a chunk has.  */
static inline uint64_t
dir_get (struct heap *h, size_t c)
{
  return word_see (&h->dir[c]);
}

/* The one store that changes a chunk.  Needs: the heap lock.  */
static inline void
dir_set (struct heap *h, size_t c, uint64_t d)
{
  /* Seen by dir_get and quick_locate.  */
  word_publish (&h->dir[c], d);
}

/* Where a chunk begins, a slice, its record, the index of a chunk.  */
static inline char *
off_chunk (struct heap *h, size_t c)
{
  return (char *) h->grid + (c << MM_CHUNK_SHIFT);
}

/* Slice S of chunk C: its memory.  S may be the end of the chunk.  */
static inline char *
off_slice (struct heap *h, size_t c, size_t s)
{
  return off_chunk (h, c) + (s << MM_SLICE_SHIFT);
}

/* The record of slice S; S may be one more than there are, for ends.  */
static inline struct disk_slice *
off_record (struct heap *h, size_t c, size_t s)
{
  MM_NEEDS (c < h->n_chunks && s <= MM_CHUNK_SLICES);
  return (void *) (off_chunk (h, c) + MM_OFF_RECORDS + s * MM_RECORD);
}

/* The index of chunk C.  Needs: the chunk is or was PAGED; in others this is
   memory of a block.  */
static inline struct disk_index *
off_index (struct heap *h, size_t c)
{
  MM_NEEDS (c < h->n_chunks);
  return (void *) (off_chunk (h, c) + MM_OFF_INDEX);
}

/* Offset of an address from the base: what file calls take.  */
static inline size_t
off_file (struct heap *h, const void *p)
{
  return (uintptr_t) p - h->file.base;
}

/* What slices are called everywhere else, and what 0 never is: the first slice
   of the first chunk holds no block.  */
static inline uint32_t
slice_number (size_t c, size_t s)
{
  return (uint32_t) (c * MM_CHUNK_SLICES + s);
}

/* The record of slice NUMBER, which has one.  */
static inline struct disk_slice *
off_numbered (struct heap *h, uint32_t number)
{
  return off_record (h, number / MM_CHUNK_SLICES, number % MM_CHUNK_SLICES);
}

/* Stream NUMBER; 0 is no stream, and so may stand for none in a head.  */
static inline struct disk_stream *
off_stream (struct heap *h, uint32_t number)
{
  MM_NEEDS (number >= 1 && number <= h->super.n_streams);
  return &h->stream[number - 1];
}

/* Up to where the heap can grow as far as this process knows.  */
static inline size_t
off_end (struct heap *h)
{
  return size_min (word_peek (&h->file.mapped), h->capacity);
}

/* How long the file is as far as anybody uses it.  */
static inline size_t
off_length (struct heap *h)
{
  return word_see (&h->root->length);
}

/* The first LEN bytes are in use, and this process goes by that.  */
static MM_NOINLINE void
off_know (struct heap *h, size_t len)
{
  size_t known = word_peek (&h->seen);
  while (known < len && !word_claim (&h->seen, &known, len))
    continue;
}

/* How much of it may be looked at: a reader may have mapped less.  */
static inline size_t
off_seen (struct heap *h)
{
  size_t len = size_min (off_length (h), word_peek (&h->file.mapped));
  if (MM_UNLIKELY (len > word_peek (&h->seen)))
    off_know (h, len);
  return len;
}

/* How many slices of chunk C lie inside LIMIT bytes from the base.  */
static size_t
slice_count_within (struct heap *h, size_t c, size_t limit)
{
  size_t start = (size_t) (h->grid - h->file.base) + (c << MM_CHUNK_SHIFT);
  if (limit <= start)
    return 0;
  return size_min ((limit - start) >> MM_SLICE_SHIFT, MM_CHUNK_SLICES);
}

/* As the capacity says: fixes the layout of the chunk's first slices.  */
static size_t
slice_count (struct heap *h, size_t c)
{
  return slice_count_within (h, c, h->capacity);
}

/* Where chunk C's directory and streams would lie, behind its records.  */
static size_t
off_records_end (struct heap *h, size_t c)
{
  return round_up (MM_OFF_RECORDS + slice_count (h, c) * MM_RECORD, MM_PAGE);
}

/* How long the process entries behind them are, in bytes, whole pages.  */
static size_t
off_more_procs (struct heap *h)
{
  return (h->super.n_procs - MM_PROCS_FIRST) * sizeof (struct disk_proc);
}

/* How long the directory is, in bytes, whole pages.  */
static size_t
off_dir_bytes (struct heap *h)
{
  size_t from_grid = h->capacity - (size_t) (h->grid - h->file.base);
  return round_up ((from_grid + MM_CHUNK - 1) / MM_CHUNK * 8, MM_PAGE);
}

/* The first slice of chunk C that can hold blocks.  */
static inline size_t
slice_first_data (struct heap *h, size_t c)
{
  return h->first_data[c == 0 ? 0 : c < h->last_chunk ? 1 : 2];
}

/* The same computed, for epoch_layout.  */
static size_t
slice_find_first_data (struct heap *h, size_t c)
{
  size_t end = off_records_end (h, c);
  if (c == 0)
    end += off_more_procs (h) + off_dir_bytes (h)
           + round_up (h->super.n_streams * sizeof (struct disk_stream),
                       MM_PAGE);
  return round_up (end, MM_SLICE) >> MM_SLICE_SHIFT;
}

/* How many stream records may be read.  */
static uint32_t
off_streams_ready (struct heap *h)
{
  return (uint32_t) size_min (word_see (&h->locks->streams_ready),
                              h->super.n_streams);
}

/* Entry I of a process.  */
static inline struct disk_proc *
off_proc (struct heap *h, uint32_t i)
{
  return i < MM_PROCS_FIRST ? &h->procs[i] : &h->more_procs[i - MM_PROCS_FIRST];
}

/* How many entries may be looked at, and can have an id.  */
static uint32_t
off_procs_used (struct heap *h)
{
  return (uint32_t) size_min (word_see (&h->locks->procs_used),
                              h->super.n_procs);
}

/* Word W of rem.  */
static inline uint64_t
bit_rem (struct disk_slice *r, unsigned w)
{
  /* Acquire: pairs with page_free_remote.  */
  if (MM_LIKELY (word_see (&r->foreign) == 0))
    return 0;
  return word_see (&r->rem[w]);
}

/* FNV-1a of N bytes, for superblocks and names: it only has to notice
   accidents.  */
static uint64_t
sum_bytes (const void *p, size_t n)
{
  const uint8_t *at = p;
  uint64_t sum = UINT64_C (0xcbf29ce484222325);
  for (size_t i = 0; i < n; i++)
    sum = (sum ^ at[i]) * UINT64_C (0x100000001b3);
  return sum;
}

/* A bit map's bit.  */
static inline bool
map_get (const disk_u64 *map, size_t i)
{
  return word_see (&map[i / 64]) >> (i % 64) & 1;
}

/* Set or clear the N bits from I on; how many changed.  Maps may be read by
   those who only look, without a lock.  */
static inline size_t
map_put (disk_u64 *map, size_t i, size_t n, bool value)
{
  size_t k, changed = 0;
  for (; n > 0; i += k, n -= k)
    {
      k = size_min (n, 64 - i % 64);
      uint64_t bits = ~UINT64_C (0) >> (64 - k) << (i % 64);
      uint64_t old = word_peek (&map[i / 64]);
      uint64_t new = value ? old | bits : old & ~bits;
      /* Seen by map_get.  */
      word_publish (&map[i / 64], new);
      changed += bit_count (old ^ new);
    }
  return changed;
}

/* The first slice from I on, at most END, that is free with what WHICH says
   behind it, or (not WANT) that is not.  */
enum map_free { MAP_FREE, MAP_FREE_BACKED, MAP_FREE_BARE };
static size_t
map_next_free (struct disk_index *x, size_t i, size_t end,
               enum map_free which, bool want)
{
  for (; i < end; i = round_up (i + 1, 64))
    {
      uint64_t word = word_peek (&x->free[i / 64]);
      uint64_t backed = word_peek (&x->backed[i / 64]);
      if (which != MAP_FREE)
        word &= which == MAP_FREE_BACKED ? backed : ~backed;
      word = (want ? word : ~word) >> (i % 64);
      if (word != 0)
        return size_min (i + bit_lowest (word), end);
    }
  return end;
}


/* ---- 9. Run-time tools -------------------------------------------------- */

/* Owns: what AddressSanitizer and valgrind know of a heap.
   Needs: nothing.
   Crash: they are of this process.
   Keeps: nothing.
   Checked by: sanitize.  */

/* Tell valgrind which part of a mapping may be touched: it looks for leaks
   everywhere else, also beyond the end of the file.  */
static void
mark_range (const void *p, size_t len, bool usable)
{
#ifdef HAVE_VALGRIND_VALGRIND_H
  if (usable)
    VALGRIND_MAKE_MEM_DEFINED (p, len);
  else
    VALGRIND_MAKE_MEM_NOACCESS (p, len);
#endif
  (void) p;
  (void) len;
  (void) usable;
}

/* Whether valgrind MINDS what calls of the system are told of: a range of the
   heap may have parts that nobody may touch.  */
static void
mark_minds (bool minds)
{
#ifdef HAVE_VALGRIND_VALGRIND_H
  if (minds)
    VALGRIND_ENABLE_ERROR_REPORTING;
  else
    VALGRIND_DISABLE_ERROR_REPORTING;
#endif
  (void) minds;
}

/* Memory that may have been blocks becomes the library's own.  */
static void
mark_own (const void *p, size_t len)
{
  if (process.asan)
    __asan_unpoison_memory_region (p, len);
  mark_range (p, len, true);
}

/* Whether run-time tools are told of blocks: only of heaps that this process
   has alone, since they do not see what others do.  */
static bool
mark_wanted (struct heap *h)
{
  return (process.asan || process.valgrind) && h->file.kind->changes
         && !h->file.kind->shared;
}

/* A block was handed out, or memory is no block any more.  */
static void
mark_block (struct heap *h, const void *p, size_t len)
{
  if (!mark_wanted (h))
    return;
  if (process.asan)
    __asan_unpoison_memory_region (p, len);
#ifdef HAVE_VALGRIND_VALGRIND_H
  if (process.valgrind)
    VALGRIND_MALLOCLIKE_BLOCK (p, len, 0, 0);
#endif
}

/* [P, P + LEN), which was a block, is none any more: whoever touches it is
   told so by the tool.  */
static void
mark_free (struct heap *h, const void *p, size_t len)
{
  if (!mark_wanted (h))
    return;
  if (process.asan)
    __asan_poison_memory_region (p, len);
#ifdef HAVE_VALGRIND_VALGRIND_H
  if (process.valgrind)
    VALGRIND_FREELIKE_BLOCK (p, 0);
#endif
}


/* ---- 10. The system: files ---------------------------------------------- */

/* Owns: every call of the system about files, memory and processes.  Those on files
   and for threads go through one table, so that a test can fail or record them.
   Needs: no heap lock.
   Crash: each call has happened or has not.
   Keeps: nothing.
   Checked by: file_calls_fail, signals_interrupt_all_calls.  */

static struct
{
  int (*fallocate) (int, int, off_t, off_t);
  int (*ftruncate) (int, off_t);
  ssize_t (*pread) (int, void *, size_t, off_t);
  ssize_t (*pwrite) (int, const void *, size_t, off_t);
  int (*msync) (void *, size_t, int);
  int (*fstat) (int, struct stat *);
  int (*open) (const char *, int, ...);
  int (*close) (int), (*fcntl) (int, int, ...);
  void *(*mmap) (void *, size_t, int, int, int, off_t);
  int (*munmap) (void *, size_t);
  int (*mprotect) (void *, size_t, int), (*advise) (void *, size_t, int);
  void *(*store) (void *, const void *, size_t); /* into a file that is mapped */
  int (*fdatasync) (int), (*join) (pthread_t, void **);
  int (*create) (pthread_t *, const pthread_attr_t *, void *(*) (void *), void *);
  long (*call) (long, ...);
} os = {
  fallocate, ftruncate, pread, pwrite, msync, fstat, open, close, fcntl, mmap,
  munmap, mprotect, madvise, memcpy, fdatasync, pthread_join, pthread_create,
  syscall
};

/* Between these two the thread is not cancelled: it would take locks with it,
   and entries in the file.  Around each call that is a cancellation point.  */
static int
os_hold_cancel (void)
{
  MM_NEEDS (needs.heap == NULL);
  int state;
  pthread_setcancelstate (PTHREAD_CANCEL_DISABLE, &state);
  return state;
}

/* Let it be cancelled as before.  STATE: what os_hold_cancel gave.  */
static void
os_let_cancel (int state)
{
  pthread_setcancelstate (state, NULL);
}

/* Close FD, if it is open: not below 0.  */
static void
os_close (int fd)
{
  int state = os_hold_cancel ();
  if (fd >= 0)
    os.close (fd);
  os_let_cancel (state);
}

/* What fstat tells of FD: 0 or an errno value.  */
static int
os_stat (int fd, struct stat *status)
{
  MM_NEEDS (needs.heap == NULL);
  return os.fstat (fd, status) != 0 ? errno : 0;
}

/* What PATH leads to.  */
static int
os_stat_path (const char *path, struct stat *status)
{
  return stat (path, status) != 0 ? errno : 0;
}

/* Take the name PATH away.  Nobody minds if it is gone already.  */
static void
os_unlink (const char *path)
{
  unlink (path);
}

/* Put into END the name of what PATH leads to by symbolic links of its own, be
   there something or not: as many as the system follows.  */
static void
os_follow (const char *path, char end[PATH_MAX])
{
  char to[PATH_MAX];
  snprintf (end, PATH_MAX, "%s", path);
  for (int left = 40; left > 0; left--)
    {
      ssize_t n = readlink (end, to, sizeof to);
      const char *slash = n > 0 && to[0] != '/' ? strrchr (end, '/') : NULL;
      size_t dir = slash != NULL ? (size_t) (slash + 1 - end) : 0;
      if (n <= 0 || dir + (size_t) n >= PATH_MAX)
        return;
      memcpy (end + dir, to, (size_t) n);
      end[dir + (size_t) n] = '\0';
    }
}

/* What fstat tells of a descriptor of F, if it still leads there, and the
   program has not closed or replaced it: else EBADF.  */
static int
os_stat_own (const struct file *f, int fd, struct stat *status)
{
  int err = os_stat (fd, status);
  if (err == 0 && (status->st_dev != f->dev || status->st_ino != f->ino))
    err = EBADF;
  return err;
}

/* Whether it does.  Asked before each call that changes the file or is about
   locks, and before FD is closed.  */
static int
os_own (const struct file *f, int fd)
{
  struct stat status;
  return os_stat_own (f, fd, &status);
}

/* Close FD, if it still leads to F.  Where that cannot be told, it does.  */
static void
os_close_own (const struct file *f, int fd)
{
  if (fd >= 0 && os_own (f, fd) != EBADF)
    os_close (fd);
}

/* Make file F LEN bytes long.  */
static int
os_cut (const struct file *f, off_t len)
{
  int result = 0, err = os_own (f, f->fd);
  if (err != 0)
    return err;
  do
    result = os.ftruncate (f->fd, len);
  while (result != 0 && errno == EINTR);
  return result != 0 ? errno : 0;
}

/* Another number for the open file of FD; -1 and errno.  */
static int
os_dup (int fd)
{
  return os.fcntl (fd, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
}

/* How FD was opened, as to open; negative: that cannot be told.  */
static int
os_flags (int fd)
{
  return os.fcntl (fd, F_GETFL);
}

/* Open PATH, begun again after a signal and closed by exec.  The number is
   above those of the standard streams, to which a program writes without
   asking who has them now; so places of theirs that are free are taken
   meanwhile by something that cannot be written to.  -1 and errno.  */
static int
os_open (const char *path, int flags, unsigned mode)
{
  int fd, low[STDERR_FILENO + 1], n = 0, state = os_hold_cancel ();
  for (int i = 0; i <= STDERR_FILENO; i++)
    if (fcntl (i, F_GETFD) < 0)
      low[n++] = open ("/", O_PATH | O_CLOEXEC);
  do
    fd = os.open (path, flags | O_CLOEXEC, mode);
  while (fd < 0 && errno == EINTR);
  int saved = errno;
  while (n > 0)
    close (low[--n]);
  if (fd >= 0 && fd <= STDERR_FILENO)
    {
      os.close (fd);
      fd = -1;
      saved = EMFILE;
    }
  os_let_cancel (state);
  errno = saved;
  return fd;
}

/* Advice on [OFF, OFF + LEN) of a file; nobody minds if it is not taken.  */
static void
os_advise_file (int fd, size_t off, size_t len, int advice)
{
  posix_fadvise (fd, (off_t) off, (off_t) len, advice);
}

/* Private zero memory of LEN bytes, or NULL; and back.  */
static void *
os_memory (size_t len)
{
  void *p = os.mmap (NULL, len, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  return p != MAP_FAILED ? p : NULL;
}

static void
os_give_memory (void *p, size_t len)
{
  os.munmap (p, len);
}

/* Bytes of a page of the system; never 0.  */
static size_t
os_page_size (void)
{
  long page = sysconf (_SC_PAGESIZE);
  return page > 0 ? (size_t) page : MM_PAGE;
}

/* A variable of the environment, or NULL.  */
static const char *
os_variable (const char *name)
{
  return getenv (name);
}

/* Random bits; good enough to spread addresses and to name heaps.  */
static uint64_t
os_random (void)
{
  uint64_t result = 0;
  if (syscall (SYS_getrandom, &result, sizeof result, 1 /* nonblocking */)
      == sizeof result)
    return result;
  struct timespec t;
  clock_gettime (CLOCK_REALTIME, &t);
  uint64_t seed[4] = { (uint64_t) t.tv_nsec, (uint64_t) t.tv_sec,
                       (uint64_t) getpid (), (uintptr_t) &result };
  return sum_bytes (seed, sizeof seed);
}

/* Read N bytes from offset AT on into TO or, if that is NULL, write them from
   FROM.  */
static int
os_move_all (int fd, char *to, const char *from, size_t n, off_t at)
{
  int err = 0, state = os_hold_cancel ();
  for (size_t i = 0; i < n && err == 0;)
    {
      off_t off = at + (off_t) i;
      ssize_t result = to != NULL ? os.pread (fd, to + i, n - i, off)
                             : os.pwrite (fd, from + i, n - i, off);
      if (result > 0)
        i += (size_t) result;
      else if (result == 0)
        err = to != NULL ? EBADMSG : ENOSPC;
      else if (errno != EINTR)
        err = errno;
    }
  os_let_cancel (state);
  return err;
}

/* Read N bytes from offset AT on; EBADMSG if the file ends before.  */
static int
os_pread_all (int fd, void *to, size_t n, off_t at)
{
  return os_move_all (fd, to, NULL, n, at);
}

/* Write N bytes at offset AT.  */
static int
os_pwrite_all (const struct file *f, const void *from, size_t n, off_t at)
{
  int err = os_own (f, f->fd);
  return err != 0 ? err : os_move_all (f->fd, NULL, from, n, at);
}

/* Write LINE of N bytes, of which there is room for ROOM, for people, as far
   as it can be written.  */
static void
os_write_line (int fd, const char *line, int n, size_t room)
{
  int state = os_hold_cancel ();
  ssize_t ignored = write (fd, line, size_min ((size_t) n, room - 1));
  (void) ignored;
  os_let_cancel (state);
}

/* fallocate, never cancelled in the middle: 0 or an errno value, EINTR among
   them, since only callers know how far they have come.  */
static int
os_fallocate (int fd, int mode, size_t off, size_t len)
{
  int state = os_hold_cancel ();
  int result = os.fallocate (fd, mode, (off_t) off, (off_t) len);
  os_let_cancel (state);
  return result != 0 ? errno : 0;
}

/* Give the blocks of [OFF, OFF + LEN) of a file back: 0 or an errno value.  */
static int
os_punch (const struct file *f, size_t off, size_t len)
{
  int err = os_own (f, f->fd);
  if (err != 0)
    return err;
  do
    err = os_fallocate (f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, off,
                        len);
  while (err == EINTR);
  return err;
}

/* Wait until [P, P + LEN) of a mapped file is on the disk.  */
static int
os_sync (void *p, size_t len)
{
  int result, state = os_hold_cancel ();
  mark_minds (false);
  do
    result = os.msync (p, len, MS_SYNC);
  while (result != 0 && errno == EINTR);
  mark_minds (true);
  os_let_cancel (state);
  return result != 0 ? errno : 0;
}

/* Wait until all of a file is on the disk, whoever wrote it.  */
static int
os_sync_file (const struct file *f)
{
  int result = 0, err = os_own (f, f->fd), state = os_hold_cancel ();
  while (err == 0 && (result = os.fdatasync (f->fd)) != 0 && errno == EINTR)
    continue;
  err = result != 0 ? errno : err;
  os_let_cancel (state);
  return err;
}

/* The process's limit RLIMIT_...; none, or not known: the largest number.  */
static uint64_t
os_limit (limit_name what)
{
  struct rlimit limit;
  return getrlimit (what, &limit) == 0 ? limit.rlim_cur : UINT64_MAX;
}

/* The file may be END bytes long as far as this process's limit goes.  Asked
   first, because the kernel's answer is a deadly signal.  */
static int
os_may_reach (uint64_t end)
{
  return end > os_limit (RLIMIT_FSIZE) ? EFBIG : 0;
}

/* Set disk blocks aside for [OFF, OFF + LEN) of a file that nobody else
   writes there.  Zeros are written where the file system cannot do better,
   but only into FRESH space, which was never published.  */
static int
os_reserve_blocks (const struct file *f, size_t off, size_t len, bool fresh)
{
  int err = os_own (f, f->fd);
  if (err == 0)
    err = os_may_reach (off + len);
  size_t most = MM_GROW_MAX;
  while (err == 0 && len > 0)
    {
      size_t step = size_min (len, most);
      err = os_fallocate (f->fd, 0, off, step);
      if (err == 0)
        {
          off += step;
          len -= step;
        }
      else if (err == EINTR)
        {
          /* tmpfs starts a step over after a signal: the next one is
             shorter.  */
          most = most > MM_GROW_MIN_FILE ? most / 2 : most;
          err = 0;
        }
    }
  if (err != EOPNOTSUPP && err != ENOSYS)
    return err;
  static const char zeros[16 * MM_PAGE];
  err = 0;
  for (size_t n; fresh && err == 0 && len > 0; off += n, len -= n)
    {
      n = size_min (len, sizeof zeros);
      err = os_pwrite_all (f, zeros, n, (off_t) off);
    }
  return err;
}

/* Let others run, longer if it is not the first time: the N-th from 0, and all
   behind MOST are as that.  Up to 22 times take 3 ms together; of those behind
   each takes about a tenth of all before it.  */
static void
os_pause (unsigned n, unsigned most)
{
  unsigned at = n < most ? n : most;
  unsigned twice = at < 16 ? 0 : at < 22 ? at - 16 : 6 + (at - 22) / 8;
  struct timespec t = { 0, 20000L << twice };
  int state = os_hold_cancel ();
  if (n < 8)
    sched_yield ();
  else
    nanosleep (&t, NULL);
  os_let_cancel (state);
}

/* Milliseconds, from any beginning.  */
static uint64_t
os_clock (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (uint64_t) t.tv_sec * 1000 + (uint64_t) t.tv_nsec / 1000000;
}

/* Seconds since 1970.  */
static uint64_t
os_time (void)
{
  struct timespec t;
  return clock_gettime (CLOCK_REALTIME, &t) == 0 ? (uint64_t) t.tv_sec : 0;
}

/* The identifier of this boot of the system; zero if it is not known.  Threads
   that ask at once, without a lock, get all of it.  */
static void
os_boot_id (uint8_t id[16])
{
  uint64_t first = word_see (&process.boot_id[0]);
  uint64_t known[2] = { first, first ? word_peek (&process.boot_id[1]) : 0 };
  uint8_t *byte = (uint8_t *) known;
  char text[37] = "";
  int fd = -1;
  if (first == 0)
    fd = os_open ("/proc/sys/kernel/random/boot_id", O_RDONLY, 0);
  if (fd >= 0 && os_pread_all (fd, text, 36, 0) == 0)
    {
      for (int i = 0, n = 0; i < 36 && n < 16; i += text[i] == '-' ? 1 : 2)
        if (text[i] != '-')
          sscanf (&text[i], "%2hhx", &byte[n++]);
      word_put (&process.boot_id[1], known[1]);
      /* Seen by os_boot_id.  */
      word_publish (&process.boot_id[0], known[0]);
    }
  os_close (fd);
  memcpy (id, known, sizeof known);
}


/* ---- 11. The system: processes, threads --------------------------------- */

/* Owns: what is asked of the system about processes, this one and others, and
   how they wait for each other; threads of ours, which do one thing and end.
   Needs: no heap lock.
   Crash: nothing is changed.
   Keeps: nothing.
   Checked by: membership, pid_namespaces.  */

/* Let a thread of the same core go ahead.  */
static inline void
wait_relax (void)
{
#if defined __x86_64__
  __builtin_ia32_pause ();
#elif defined __aarch64__
  __asm__ volatile ("yield");
#endif
}

/* Sleep as long as WORD, which other processes see if it is SHARED, has VALUE,
   but not for long, the N-th time from 0 in a row: false if it was woken.  For
   most of a second who waits for a dead one learns so within a moment; then the
   other is stopped, or writes to a slow disk.  A signal is no wake-up: where
   they come all the time, the sleep never ends otherwise.  */
static bool
wait_on (disk_u32 *word, uint32_t value, bool shared, unsigned n)
{
  long wanted = n < 4 ? 100 * 1000L << n : n < 500 ? 1200 * 1000 : 50000 * 1000;
  struct timespec t = { 0, wanted };
  unsigned how = shared ? 0 /* wait */ : 128 /* private */;
  if (syscall (SYS_futex, word, how, value, &t, NULL, 0) == 0
      || errno == EAGAIN)
    return false;
  if (errno != ETIMEDOUT && errno != EINTR)
    {
      int state = os_hold_cancel ();
      nanosleep (&t, NULL);
      os_let_cancel (state);
    }
  return true;
}

/* Wake one of those who sleep on WORD.  */
static void
wait_wake (disk_u32 *word, bool shared)
{
  int saved = errno;
  unsigned how = shared ? 1 /* wake */ : 1 | 128 /* private */;
  syscall (SYS_futex, word, how, 1, NULL, NULL, 0);
  errno = saved;
}

/* The process's number, as it is stored in files.  Asked for each time: a
   child made by clone has another and has run no fork handler.  */
static uint64_t
pid_own (void)
{
  return (uint64_t) getpid ();
}

/* Whether the parent can be seen.  If not, and only then, a child may be in
   another PID namespace than its parent.  */
static bool
pid_has_parent (void)
{
  return getppid () > 0;
}

/* Whether there is surely no process PID in this PID namespace.  */
static bool
pid_is_gone (uint64_t pid)
{
  int saved = errno;
  bool gone = pid > 0 && pid <= INT_MAX && kill ((pid_t) pid, 0) != 0
              && errno == ESRCH;
  errno = saved;
  return gone;
}

/* A number for the PID namespace; 0: not known.  */
static uint32_t
pid_namespace (void)
{
  struct stat status;
  uint32_t number = word_peek (&process.pid_namespace);
  if (number == 0 && stat ("/proc/self/ns/pid", &status) == 0)
    {
      number = (uint32_t) status.st_ino;
      word_put (&process.pid_namespace, number);
    }
  return number;
}

/* When process PID was started and how many bytes it has mapped, as far as the
   system tells: not of one whose first thread has ended before the others,
   which counts as having all.  0 or an errno value, ESRCH: it is one no
   more.  */
static int
pid_look (uint64_t pid, uint64_t *started, uint64_t *mapped)
{
  enum { THREADS = 20, STARTED = 22, MAPPED = 23, FIELDS };
  char name[40], text[1024];
  uint64_t field[FIELDS] = { 0 };
  snprintf (name, sizeof name, "/proc/%lu/stat", (unsigned long) pid);
  int fd = os_open (name, O_RDONLY, 0);
  if (fd < 0)
    return errno;
  int state = os_hold_cancel ();
  ssize_t n = os.pread (fd, text, sizeof text - 1, 0);
  int err = n < 0 ? errno : 0;
  os_let_cancel (state);
  os_close (fd);
  text[n > 0 ? n : 0] = '\0';
  /* Its name is in parentheses, and may have some; the state is the third.  */
  const char *p = strrchr (text, ')');
  bool ended = p != NULL && p[1] != '\0' && strchr ("ZX", p[2]) != NULL;
  for (int i = 3; p != NULL && i < FIELDS; i++)
    if ((p = strchr (p + 1, ' ')) != NULL)
      field[i] = strtoull (p, NULL, 10);
  *started = field[STARTED];
  *mapped = ended ? UINT64_MAX : field[MAPPED];
  return err != 0 ? err : ended && field[THREADS] < 2 ? ESRCH : 0;
}

/* When this process was started; 0: not known.  */
static uint64_t
pid_started (void)
{
  uint64_t started = word_peek (&process.started), mapped;
  if (started == 0)
    pid_look (pid_own (), &started, &mapped);
  word_put (&process.started, started);
  return started;
}

/* In WORDS how people are told of process PID; 0: of one that has no number
   here.  */
static const char *
pid_name (uint64_t pid, char words[40])
{
  snprintf (words, 40, pid == 0            ? "a process in another PID namespace"
                       : pid == UINT64_MAX ? "another process"
                                           : "process %lu",
            (unsigned long) pid);
  return words;
}

/* The word at address AT of process PID: 0 or an errno value; EFAULT: it has
   nothing mapped there, ESRCH: it, or its first thread, has gone.  */
static int
pid_peek (uint64_t pid, const void *at, uint64_t *word)
{
  union { const void *read; void *iov; } there = { .read = at };
  struct iovec to = { word, sizeof *word }, from = { there.iov, sizeof *word };
  ssize_t n = process_vm_readv ((pid_t) pid, &to, 1, &from, 1, 0);
  return n == (ssize_t) sizeof *word ? 0 : n < 0 ? errno : EFAULT;
}

/* A barrier for all threads of this process, or BEGIN to use them.  0 or an errno
   value.  */
static int
wait_barrier (bool begin)
{
  enum { EXPEDITED = 8, REGISTER_EXPEDITED = 16 };
  return os.call (SYS_membarrier, begin ? REGISTER_EXPEDITED : EXPEDITED, 0, 0)
           == 0 ? 0 : errno;
}

static void *
helper_run (void *arg)
{
  struct helper *p = arg;
  p->result = p->fn (p->h);
  /* Seen by settle_end, with the result.  */
  word_publish (&p->done, true);
  return NULL;
}

/* Let a new thread of ours, in which the program's signals are not handled, call
   FN.  0 or an errno value.  */
static int
helper_start (struct helper *p, int (*fn) (struct heap *), struct heap *h)
{
  sigset_t all, old;
  p->fn = fn;
  p->h = h;
  word_put (&p->done, false);
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &old);
  int err = os.create (&p->thread, NULL, helper_run, p);
  pthread_sigmask (SIG_SETMASK, &old, NULL);
  p->runs = err == 0;
  return err;
}

/* Wait for it: what FN gave.  */
static int
helper_end (struct helper *p)
{
  int state = os_hold_cancel ();
  os.join (p->thread, NULL);
  os_let_cancel (state);
  p->runs = false;
  return p->result;
}


/* ---- 12. The system: locks of files ------------------------------------- */

/* Owns: the locks on single bytes of a file, MM_BYTE_..., and where there are
   such.
   Needs: no heap lock.
   Crash: the kernel drops the locks with their process.
   Keeps: nothing.
   Checked by: membership, file_calls_fail.  */

/* What is wrong with the file system of F, or NULL: files are not written
   there, or mapped files and locks are not coherent between machines, which
   matters to who writes.  Its type is in F->system then.  */
static const char *
byte_wrong_system (struct file *f)
{
  static const unsigned long network[] = {
    0x6969 /* NFS */,
    0x517b /* SMB */,
    0xff534d42 /* CIFS */,
    0xfe534d42 /* SMB2 */,
    0x5346414f /* AFS */,
    0x00c36400 /* Ceph */,
    0x01021997 /* 9P */
  };
  struct statfs fs;
  f->system = 0;
  if (fstatfs (f->fd, &fs) != 0)
    return NULL;
  unsigned long type = (unsigned long) fs.f_type & UINT32_MAX;
  f->system = type;
  if (type == 0x958458f6)
    return "hugetlbfs, where files are not written";
  for (size_t i = 0; i < sizeof network / sizeof *network; i++)
    if (f->kind->writes_file && type == network[i])
      return "a network file system";
  return NULL;
}

/* A new open file for file F, so that locks on it are this process's alone: by
   PATH, if known and if F is still there, which is less work for the system, or
   from what is open.  -1 and errno.  */
static int
byte_reopen (const struct file *f, int access, const char *path)
{
  char name[40];
  int own = path != NULL ? os_open (path, access | O_NONBLOCK, 0) : -1;
  if (own >= 0 && os_own (f, own) == 0)
    return own;
  os_close (own);
  snprintf (name, sizeof name, "/proc/self/fd/%d", f->fd);
  own = os_open (name, access, 0);
  int err = own >= 0 ? os_own (f, own) : 0;
  if (err == 0)
    return own;
  os_close (own);
  errno = err == EBADF ? ENOENT : err;
  return -1;
}

/* Processes have numbers among the bytes, so that a lock tells whose it is, as
   the kernel does not: those of this boot begin here.  0: not known.  */
static int64_t
byte_boot (void)
{
  uint64_t here[2];
  os_boot_id ((uint8_t *) here);
  uint16_t number = (uint16_t) (sum_bytes (here, sizeof here) % UINT16_MAX);
  return here[0] == 0 ? 0 : (int64_t) (number | 2) * MM_BYTES_BOOT;
}

/* And those of this PID namespace of it.  */
static int64_t
byte_home (void)
{
  return byte_boot () + (uint16_t) pid_namespace () * (int64_t) MM_BYTES_HOME;
}

/* The process with NUMBER, as seen from here; 0: it is of elsewhere.  */
static uint64_t
byte_pid (int64_t number)
{
  int64_t pid = number - byte_home ();
  bool known = (uint16_t) pid_namespace () != 0;
  return known && pid > 0 && pid < MM_BYTES_HOME ? (uint64_t) pid : 0;
}

/* A lock of TYPE on BYTE and, of the door, on the bytes before it that tell who
   has it; all that there may be, to let it go.  */
static struct flock
byte_range (int64_t byte, short type)
{
  int64_t home = 0, before = 0;
  if (byte == MM_BYTE_DOOR && type == F_UNLCK)
    before = MM_BYTES_ALIVE;
  else if (byte == MM_BYTE_DOOR && type == F_WRLCK && (home = byte_home ()) != 0)
    before = home + (int64_t) pid_own () % MM_BYTES_HOME;
  return (struct flock){ .l_type = type, .l_whence = SEEK_SET,
                         .l_start = MM_LOCK_BYTES + byte - before,
                         .l_len = 1 + before };
}

/* Set lock *L of F's, or let it go; or find who is in its way, if not SET.
   Begun again after a signal.  0 or an errno value.  */
static int
byte_call (const struct file *f, bool set, struct flock *l)
{
  int call = f->of_process ? (set ? F_SETLK : F_GETLK)
                           : (set ? F_OFD_SETLK : F_OFD_GETLK);
  int result;
  do
    result = os.fcntl (f->lock_fd, call, l);
  while (result != 0 && errno == EINTR);
  return result != 0 ? errno : 0;
}

/* Set a lock of TYPE on byte MM_BYTE_... of F, or let it go; EAGAIN if another
   is in the way.  */
static int
byte_lock (const struct file *f, int64_t byte, short type)
{
  struct flock l = byte_range (byte, type);
  int err = f->sure ? 0 : os_own (f, f->lock_fd);
  /* What cannot be told keeps no lock.  */
  if (err == EBADF || (err != 0 && type != F_UNLCK))
    return err;
  err = byte_call (f, true, &l);
  return err == EACCES ? EAGAIN : err;
}

/* Keep the locks of F while this process lives, whatever it closes: a mapping
   has the open file, too.  But no child's, which would keep them longer.  Best
   effort: file systems that lie over others map those files.  */
static void
byte_keep (struct file *f)
{
  void *p = os.mmap (NULL, MM_PAGE, PROT_NONE, MAP_SHARED, f->lock_fd, 0);
  f->witness = p;
  if (p != MAP_FAILED && madvise (p, MM_PAGE, MADV_DONTFORK) == 0)
    return;
  if (p != MAP_FAILED)
    os.munmap (p, MM_PAGE);
  f->witness = NULL;
}

/* No longer.  */
static void
byte_lose (struct file *f)
{
  if (f->witness != NULL)
    os.munmap (f->witness, MM_PAGE);
  f->witness = NULL;
}

/* Let go of all locks of F and close its descriptor for them.  To close it is
   not enough: a child that ran no fork handlers may have it open, too.  But if
   one did, or may do so yet, the lock that shows others that the file is in use
   is the child's as well, until it has closed its copy: only the door is let
   go.  */
static void
byte_drop (struct file *f)
{
  bool alone = f->of_process || f->forks == process.forks;
  struct flock l = byte_range (MM_BYTE_DOOR, F_UNLCK);
  l.l_len = alone ? 0 : l.l_len;
  byte_lose (f);
  if (f->lock_fd < 0 || os_own (f, f->lock_fd) == EBADF)
    return;
  byte_call (f, true, &l);
  if (f->lock_fd != f->fd)
    os_close (f->lock_fd);
}

/* Find in *L the first lock of others that is in the way of one of TYPE on the
   N bytes from BYTE on; its l_type is F_UNLCK if there is none.  0 or an errno
   value, which counts as a lock: nobody is declared dead by mistake, nobody
   thinks itself alone.  */
static int
byte_find (const struct file *f, int64_t byte, int64_t n, short type,
           struct flock *l)
{
  MM_NEEDS (needs.heap == NULL);
  *l = (struct flock){ .l_type = type, .l_whence = SEEK_SET,
                       .l_start = MM_LOCK_BYTES + byte, .l_len = n };
  int err = f->sure ? 0 : os_own (f, f->lock_fd);
  if (err == 0)
    err = byte_call (f, false, l);
  if (err != 0)
    l->l_type = F_WRLCK;
  return err;
}

/* Whether a lock of others, or one that cannot be told, is in the way of one of
   TYPE on BYTE.  */
static bool
byte_is_locked (const struct file *f, int64_t byte, short type)
{
  struct flock l;
  byte_find (f, byte, 1, type, &l);
  return l.l_type != F_UNLCK;
}


/* ---- 13. Failing -------------------------------------------------------- */

/* Owns: the saved errors, the thread's words, the misuse handler.
   Needs: nothing; fail_misuse no lock held.  Inner functions return 0 or an
   errno value; this room turns it into errno and the saved error.  Two kinds
   of failure: environment (returned) and misuse (fail_misuse).  Damage in a
   file is an error of the environment.
   Crash: nothing of it is in a file.
   Keeps: nothing.
   Checked by: errors_are_remembered, misuse_default_handler.  */

/* Whether the library will hear of this thread's end.  Asked before the thread
   gets what has to be given back then.  */
static bool
fail_hears_of_end (void)
{
  if (!thread.hooked && process.have_key
      && pthread_setspecific (process.exit_key, &process) == 0)
    thread.hooked = true;
  return thread.hooked && !thread.leaving;
}

/* The thread's words, or NULL: memory is short, or the thread's end was heard
   of and nobody would give them back.  */
static struct words *
fail_words (void)
{
  if (thread.words == NULL && fail_hears_of_end ())
    thread.words = os_memory (sizeof *thread.words);
  return thread.words;
}

/* At the end of the thread.  The code stays.  */
static void
fail_leave (void)
{
  if (thread.words != NULL)
    os_give_memory (thread.words, sizeof *thread.words);
  thread.words = NULL;
}

/* Let TOLD, NULL: nothing, be the reason in WHY.  */
static void
fail_tell (struct reason *why, const char *told)
{
  snprintf (why->told, sizeof why->told, "%s", told != NULL ? told : "");
}

/* Record that a call on H, or without a heap, failed with CODE; TOLD says why,
   NULL: as strerror would.  Sets errno.  */
static void
fail_told (struct heap *h, int code, const char *told)
{
  if (h != NULL && h != process.default_heap)
    {
      pthread_mutex_lock (&h->error_lock);
      h->error.code = code;
      fail_tell (&h->error.why, told);
      pthread_mutex_unlock (&h->error_lock);
    }
  else
    {
      struct words *w = fail_words ();
      thread.code = code;
      if (w != NULL)
        fail_tell (&w->why, told);
    }
  errno = code;
}

/* CODE, for the caller to return, and the words for it, as printf makes them,
   in WHY.  */
__attribute__ ((format (printf, 3, 4))) static int
fail_because (struct reason *why, int code, const char *format, ...)
{
  va_list words;
  va_start (words, format);
  vsnprintf (why->told, sizeof why->told, format, words);
  va_end (words);
  return code;
}

static const char fail_lost[]
  = "the program has closed or replaced a descriptor of the library";

/* ERR, for the caller to return.  If it is not 0: the system has not given
   BYTES bytes up to END of a file.  */
static int
fail_refused (int err, uint64_t bytes, uint64_t end)
{
  struct words *w = err != 0 ? fail_words () : NULL;
  if (w != NULL)
    {
      w->refused = bytes;
      w->reach = end;
    }
  return err;
}

/* A call begins: the system has refused nothing yet, nobody was waited for.  */
static void
fail_nothing (void)
{
  if (thread.words != NULL)
    {
      thread.words->refused = 0;
      thread.words->waited = 0;
      thread.words->late = false;
    }
}

/* Whether the call under way has waited for others LIMIT ms in all, 0: there is
   no limit, this time since *SINCE, 0: it begins to.  A thread without words
   waits so long each time.  */
static bool
fail_is_late (uint32_t limit, uint64_t *since)
{
  if (limit == 0)
    return false;
  struct words *w = fail_words ();
  uint64_t now = os_clock (), waited = *since != 0 ? now - *since : 0;
  if (*since == 0 || w != NULL)
    *since = now;
  if (w != NULL)
    waited = w->waited += waited;
  return waited >= limit;
}

/* So it waits no more for process HOLDER, 0: of another PID namespace,
   UINT64_MAX: it is not known which, which HOLDS what is needed.  */
static void
fail_late (uint64_t holder, const char *holds)
{
  if (thread.words == NULL)
    return;
  thread.words->late = true;
  thread.words->holder = holder;
  thread.words->holds = holds;
}

/* ETIMEDOUT, if a part of the call under way failed for that.  */
static int
fail_was_late (void)
{
  return thread.words != NULL && thread.words->late ? ETIMEDOUT : 0;
}

/* The words for that in WHY; the code for the caller to return.  */
static int
fail_waited (struct reason *why)
{
  struct words *w = thread.words;
  char who[40];
  if (!fail_was_late ())
    return ETIMEDOUT;
  return fail_because (why, ETIMEDOUT,
                       "%s has %s and did not go on while this call waited,"
                       " %lu ms", w->holder == pid_own ()
                                    ? "another thread of this process"
                                    : pid_name (w->holder, who),
                       w->holds, (unsigned long) w->waited);
}

/* How many bytes the system has refused, in the call under way.  */
static unsigned long
fail_bytes (void)
{
  return thread.words != NULL ? (unsigned long) thread.words->refused : 0;
}

/* The words for CODE, if the system refused memory or disk, and they are not in
   WHY yet.  CODE, for the caller to return.  */
static int
fail_system (struct reason *why, int code)
{
  unsigned long n = fail_bytes (), limit;
  if (why->told[0] != '\0')
    return code;
  switch (code)
    {
    case EBADF:
      return fail_because (why, code, "%s", fail_lost);
    case EFBIG:
      limit = (unsigned long) os_limit (RLIMIT_FSIZE);
      if (n == 0 || thread.words->reach <= limit)
        return fail_because (why, code, "no room: the file system has no files"
                                        " so large");
      return fail_because (why, code, "no room: the file would be %lu bytes"
                                      " long, and the process's limit"
                                      " (RLIMIT_FSIZE) is %lu",
                           (unsigned long) thread.words->reach, limit);
    case EMFILE:
      limit = (unsigned long) os_limit (RLIMIT_NOFILE);
      return fail_because (why, code, "the process has all its %lu descriptors"
                                      " (RLIMIT_NOFILE) in use; each file takes"
                                      " two", limit);
    case EPERM:
      return fail_because (why, code, "the file is sealed or immutable");
    case ETIMEDOUT:
      return fail_waited (why);
    default:
      return n == 0 ? code
             : fail_because (why, code, "no room: the %s no %lu bytes more",
                             code == ENOSPC   ? "file system has"
                             : code == EDQUOT ? "disk quota allows"
                             : code == ENOMEM ? "system has memory for"
                                              : "system gives", n);
    }
}

/* The usual words for call on H that failed with CODE, which wanted SIZE bytes;
   0: it is not known how many.  */
static void
fail_room (struct heap *h, int code, size_t size)
{
  const size_t most = PTRDIFF_MAX - MM_ALIGN_MAX;
  struct reason why = { "" };
  char wanted[40] = "";
  bool full = (code == ENOSPC || code == ENOMEM) && fail_bytes () == 0;
  uint64_t pid = h != NULL && code == ENOSPC ? word_peek (&h->limiter) : 0;
  if (size > 0)
    snprintf (wanted, sizeof wanted, " for %zu bytes", size);
  if (full && size > most)
    fail_because (&why, code, "no room%s: a block has %zu at most", wanted,
                  most);
  else if (full && pid != 0)
    fail_because (&why, code, "no room%s: process %lu could map only %lu bytes"
                              " of the heap's %zu", wanted,
                  (unsigned long) pid, (unsigned long) word_peek (&h->limit),
                  h->capacity);
  else if (full && h != NULL)
    fail_because (&why, code, "no room%s: the heap's maximum is %zu bytes",
                  wanted, h->capacity);
  fail_told (h, fail_system (&why, code), why.told);
}

/* The program misused public call CALL with PTR.  Needs: no lock held.  The
   default handler says so and aborts; if a handler returns, so does this.  */
static void
fail_misuse (const char *call, void *md, const void *ptr, const char *what)
{
  MM_NEEDS (needs_none () && !needs.opening);
  if (process.on_misuse != NULL)
    {
      process.on_misuse (call, md, ptr, what, process.on_misuse_arg);
      return;
    }
  char line[200];
  int n = snprintf (line, sizeof line, "libmmalloc: %s (0x%lx): %s\n", call,
                    (unsigned long) (uintptr_t) ptr, what);
  os_write_line (STDERR_FILENO, line, n, sizeof line);
  abort ();
}


/* ---- 14. The system: address space -------------------------------------- */

/* Owns: where things are mapped.
   Needs: the lock of opening, so that two do not want one place.
   Crash: mappings go with the process.
   Keeps: nothing; nothing is ever mapped over but what is the heap's own.
   Checked by: address_taken, many_heaps_at_once, findbase.  */

/* As mmap, from the beginning of the file.  */
static void *
space_map (void *at, size_t len, int prot, int flags, int fd)
{
  MM_NEEDS (needs.heap == NULL);
  return os.mmap (at, len, prot, flags, fd, 0);
}

/* Give a mapping back.  Needs: nobody can find it any more.  */
static void
space_unmap (void *p, size_t len)
{
  MM_NEEDS (needs.heap == NULL);
  os.munmap (p, len);
}

/* Let the program touch [P, P + LEN).  */
static int
space_usable (void *p, size_t len)
{
  return os.mprotect (p, len, PROT_READ | PROT_WRITE) != 0 ? errno : 0;
}

/* How memory, or the file of FD, will be used.  */
static int
space_advise (void *p, size_t len, int advice)
{
  MM_NEEDS (needs.heap == NULL);
  return os.advise (p, len, advice) != 0 ? errno : 0;
}

/* ADVICE for N stretches PART, with one call if they are many: 0 or an errno
   value.  */
static int
space_advise_all (const struct iovec *part, size_t n, int advice)
{
  enum { MANY = 8 };
  size_t bytes = 0;
  int err = 0, fd = n < MANY ? -1 : (int) os.call (SYS_pidfd_open, getpid (), 0);
  long done = fd < 0 ? 0 : os.call (SYS_process_madvise, fd, part, n, advice, 0);
  os_close (fd);
  for (size_t i = 0; i < n && err == 0; i++)
    if ((bytes += part[i].iov_len) > (size_t) (done > 0 ? done : 0))
      err = space_advise (part[i].iov_base, part[i].iov_len, advice);
  return err;
}

/* Store N bytes FROM into a file that is mapped, where the system has just made it
   writable.  */
static void
space_store (char *to, const void *from, size_t n)
{
  os.store (to, from, n);
}

/* Reserve LEN bytes for a mapping of FD that is not to be filled by the system for
   who locks memory: then it may be read and written.  Or NULL.  */
static void *
space_map_later (size_t len, int fd)
{
  void *p = space_map (NULL, len, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd);
  if (p == MAP_FAILED)
    return NULL;
  space_advise (p, len, MADV_RANDOM);
  space_advise (p, len, MADV_DONTFORK);
  space_advise (p, len, MADV_DONTDUMP);
  if (os.mprotect (p, len, PROT_READ | PROT_WRITE) == 0)
    return p;
  space_unmap (p, len);
  return NULL;
}

/* Private zero memory for the process's own structs, or NULL.  WIPE: a fork
   child finds it zeroed, where the kernel can do that.  */
static void *
space_private (size_t bytes, bool wipe)
{
  MM_NEEDS (needs.heap == NULL);
  void *p = os_memory (bytes);
  if (p != NULL && wipe)
    space_advise (p, bytes, MADV_WIPEONFORK);
  return p;
}

/* Map LEN bytes of the file from OFF on, or reserve address space, at exactly
   BASE + OFF.  EADDRINUSE if something is there, also on kernels that take the
   address for a hint.  */
static int
space_map_part (uintptr_t base, size_t off, size_t len, int prot, int flags,
                int fd)
{
  MM_NEEDS (needs.heap == NULL);
  void *p = os.mmap ((void *) (base + off), len, prot,
                     flags | MAP_FIXED_NOREPLACE, fd, (off_t) off);
  if (p == (void *) (base + off))
    return 0;
  if (p == MAP_FAILED)
    return errno == EEXIST ? EADDRINUSE : errno;
  space_unmap (p, len);
  return EADDRINUSE;
}

/* The same from the beginning of the file.  */
static int
space_map_at (uintptr_t base, size_t len, int prot, int flags, int fd)
{
  return space_map_part (base, 0, len, prot, flags, fd);
}

/* Put into WHY which mapping sits in [BASE, BASE + LEN).  */
static void
space_name_neighbour (uintptr_t base, size_t len, struct reason *why)
{
  fail_because (why, 0, "the address range 0x%lx-0x%lx is taken",
                (unsigned long) base, (unsigned long) (base + len));
  int fd = os_open ("/proc/self/maps", O_RDONLY, 0);
  int state = os_hold_cancel ();
  char buf[4096], *line, *end;
  size_t have = 0;
  ssize_t result;
  bool found = false;
  while (fd >= 0 && !found
         && (result = read (fd, buf + have, sizeof buf - 1 - have)) > 0)
    {
      have += (size_t) result;
      buf[have] = '\0';
      for (line = buf; !found && (end = strchr (line, '\n')) != NULL;
           line = end + 1)
        {
          unsigned long from, to;
          *end = '\0';
          found = sscanf (line, "%lx-%lx", &from, &to) == 2
                  && from < base + len && to > base;
          const char *name = strpbrk (line, "/[");
          if (found)
            fail_because (why, 0,
                          "the heap's address 0x%lx is taken by %.150s"
                          " at 0x%lx-0x%lx",
                          (unsigned long) base,
                          name != NULL ? name : "an anonymous mapping", from,
                          to);
        }
      have = strlen (line);
      if (have >= sizeof buf - 1)
        have = 0;
      memmove (buf, line, have);
    }
  os_let_cancel (state);
  os_close (fd);
}

/* The place in the area for LEN bytes that RANDOM bits choose: any of those
   behind which there are so many; SMALL: on machines with fewer address
   bits.  */
static uintptr_t
space_place (size_t len, uint64_t random, bool small)
{
  uint64_t from = small                ? MM_AREA_SMALL
                  : process.tools_area ? MM_AREA_TOOLS
                                       : MM_AREA;
  uint64_t to = small                ? MM_AREA_SMALL_END
                : process.tools_area ? MM_AREA_TOOLS_END
                                     : MM_AREA_END;
  uint64_t places = len <= to - from ? (to - from - len) / MM_PLACE + 1 : 1;
  return from + random % places * MM_PLACE;
}

/* Whether ERR says that there is no place for so many bytes, but perhaps for
   fewer; EAGAIN: what is mapped gets locked (mlockall), up to a limit.  */
static bool
space_is_short (int err)
{
  return err == ENOMEM || err == EADDRINUSE || err == EAGAIN;
}

/* LEN bytes could not be mapped, at BASE or, if that is 0, anywhere, for CODE:
   the words, if there are none in WHY yet, and CODE again.  */
static int
space_reason (struct reason *why, int code, uintptr_t base, size_t len)
{
  char at[40] = "", limit[60] = "";
  limit_name what = code == EAGAIN ? RLIMIT_MEMLOCK : RLIMIT_AS;
  if (code == 0 || why->told[0] != '\0')
    return code;
  if (code == EADDRINUSE && base != 0)
    {
      space_name_neighbour (base, len, why);
      return code;
    }
  if (base != 0)
    snprintf (at, sizeof at, " at 0x%lx", (unsigned long) base);
  if (os_limit (what) != UINT64_MAX)
    snprintf (limit, sizeof limit, "; the limit %s is %lu",
              code == EAGAIN ? "RLIMIT_MEMLOCK" : "RLIMIT_AS",
              (unsigned long) os_limit (what));
  return fail_because (why, code, "%s for %zu bytes%s%s",
                       code == EAGAIN ? "no memory may be locked"
                                      : "the address space has no room",
                       len, at, limit);
}

/* Map LEN bytes where nothing is: for files a random place of the area kept
   for them, so that files made apart can be mapped together; 0 or an errno
   value.  */
static int
space_map_anywhere (size_t len, int prot, int flags, int fd, uintptr_t *base)
{
  int err = EADDRINUSE;
  for (int i = 0; i < 64 && err != 0 && err != EAGAIN; i++)
    {
      *base = space_place (len, os_random (), i >= 32);
      err = space_map_at (*base, len, prot, flags, fd);
      if (err != EADDRINUSE && err != 0 && i < 31)
        i = 31;
    }
  return err;
}


/* ---- 15. The system: written pages -------------------------------------- */

/* Owns: how it is learned which pages of a private mapping the process has
   copies of, and where a file has anything.
   Needs: no heap lock, but that of a capture.
   Crash: nothing is changed.
   Keeps: nothing.
   Checked by: checkpoints.  */

/* Stretches of private pages, as PAGEMAP_SCAN of Linux 6.7 gives them, which is
   newer than many headers.  */
struct written
{
  uint64_t from, to, what;
};
struct written_scan
{
  uint64_t size, flags, start, end, walk_end, vec, vec_len, max_pages;
  uint64_t inverted, mask, any, returned;
};
/* Bits of it.  */
enum
{
  WRITTEN_IN_FILE = 1 << 2,
  WRITTEN_PRESENT = 1 << 3,
  WRITTEN_SWAPPED = 1 << 4
};

/* Which pages of [P, P + LEN), a private mapping of a file, the process has
   copies of, by /proc/self/pagemap: *N stretches in SPAN.  False: it does not
   say.  */
static bool
written_scan (int fd, uintptr_t p, size_t len, struct written *span,
               size_t *n)
{
  struct written_scan scan = { .size = sizeof scan, .start = p, .end = p + len,
                          .vec = (uintptr_t) span, .vec_len = len / MM_PAGE,
                          .inverted = WRITTEN_IN_FILE, .mask = WRITTEN_IN_FILE,
                          .any = WRITTEN_PRESENT | WRITTEN_SWAPPED,
                          .returned = WRITTEN_PRESENT };
  *n = 0;
  while (scan.start < p + len)
    {
      long got = os.call (SYS_ioctl, fd,
                          _IOWR ('f', 16, struct written_scan), &scan);
      if (got < 0 && errno != EINTR)
        return false;
      *n += got > 0 ? (size_t) got : 0;
      scan.vec = (uintptr_t) (span + *n);
      scan.vec_len = len / MM_PAGE - *n;
      if (scan.walk_end <= scan.start && got >= 0)
        return false;
      scan.start = scan.walk_end > scan.start ? scan.walk_end : scan.start;
    }
  return true;
}

/* The same where the kernel has a word for each page.  */
static bool
written_read (int fd, uintptr_t p, size_t len, struct written *span,
               size_t *n)
{
  uint64_t word[512];
  size_t page = (size_t) sysconf (_SC_PAGESIZE);
  *n = 0;
  for (size_t at = 0; at < len; at += sizeof word / 8 * page)
    {
      size_t k = size_min ((len - at + page - 1) / page, sizeof word / 8);
      if (os_pread_all (fd, word, k * 8, (off_t) ((p + at) / page * 8)) != 0)
        return false;
      for (size_t i = 0; i < k; i++)
        {
          uintptr_t here = p + at + i * page;
          /* Present or swapped, and no page of a file.  */
          if (word[i] >> 62 == 0 || (word[i] >> 61 & 1) != 0)
            continue;
          if (*n > 0 && span[*n - 1].to == here)
            span[*n - 1].to += page;
          else
            span[(*n)++] = (struct written){ here, here + page, 0 };
        }
    }
  return true;
}

/* The same; where nobody tells, all of it is one stretch.  How many they are.
   */
static size_t
written_pages (void *p, size_t len, struct written *span)
{
  size_t n = 0;
  int fd = os_open ("/proc/self/pagemap", O_RDONLY, 0);
  bool known = fd >= 0
               && (written_scan (fd, (uintptr_t) p, len, span, &n)
                   || written_read (fd, (uintptr_t) p, len, span, &n));
  os_close (fd);
  if (known || len == 0)
    return n;
  span[0] = (struct written){ (uintptr_t) p, (uintptr_t) p + len, 0 };
  return 1;
}

/* Where in file F, from OFF on, something was written, or with SEEK_HOLE nothing;
   INT64_MAX: nowhere.  Where that cannot be told, at OFF, and no hole before the
   end.  */
static uint64_t
written_seek (const struct file *f, uint64_t off, int what)
{
  /* The place of an open file that is nobody else's.  */
  bool ours = f->lock_fd != f->fd && os_own (f, f->lock_fd) == 0;
  off_t at = ours ? lseek (f->lock_fd, (off_t) off, what) : -1;
  if (at >= 0)
    return size_max (off, (uint64_t) at);
  if (ours && errno == ENXIO)
    return what == SEEK_DATA ? INT64_MAX : off;
  struct stat status;
  return what == SEEK_DATA || os_stat_own (f, f->fd, &status) != 0
           ? off : size_max (off, (uint64_t) status.st_size);
}

/* The first page from OFF on in which something was written.  */
static uint64_t
written_from (const struct file *f, uint64_t off)
{
  return size_max (off, written_seek (f, off, SEEK_DATA) / MM_PAGE * MM_PAGE);
}

/* Write zeros where file F has a hole in the LEN bytes at OFF, which does not change
   it.  */
static int
written_fill (const struct file *f, uint64_t off, size_t len)
{
  static const char zeros[16 * MM_PAGE];
  uint64_t end = off + len;
  int err = 0;
  while (err == 0 && (off = written_seek (f, off, SEEK_HOLE)) < end)
    {
      uint64_t to = size_min (end, written_seek (f, off, SEEK_DATA));
      /* Who cannot tell holes has the end of the file for one.  */
      to = to > off ? to : end;
      for (size_t n; off < to && err == 0; off += n)
        {
          n = size_min (to - off, sizeof zeros);
          err = os_pwrite_all (f, zeros, n, (off_t) off);
        }
    }
  return err;
}


/* ---- 16. Backing -------------------------------------------------------- */

/* Owns: what is behind a heap's memory: usable, punched.
   Needs: the grow lock, or to be alone with the heap; for process entries the
   door.
   Crash: more may have a backing than anybody knows.
   Keeps: I3.
   Checked by: check_see, new_heap_is_small, full_disk_and_back.  */

/* Take the address space of a narrow heap up to END, and some more if that can
   be had.  */
static int
back_widen (struct heap *h, size_t end)
{
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  size_t mapped = word_peek (&h->file.mapped), len[2] = { end, end }, i = 0;
  int err;
  len[0] = size_min (round_up (end, MM_NARROW_STEP), h->capacity);
  do
    err = space_map_part (h->file.base, mapped, len[i] - mapped, PROT_NONE,
                          flags, -1);
  while (err != 0 && ++i < 2);
  if (err == 0)
    word_put (&h->file.mapped, len[i]);
  return err;
}

/* Make [P, P + LEN) of the heap usable: memory or disk blocks behind it.  */
static int
back_range (struct heap *h, char *p, size_t len)
{
  MM_NEEDS (needs.heap == NULL);
  mark_range (p, len, true);
  if (h->file.kind->backing == BY_COPY)
    return 0;
  if (h->file.kind->backing == BY_LOG && h->log->zeros)
    return fail_refused (written_fill (&h->file, off_file (h, p), len), len,
                         off_file (h, p) + len);
  if (h->file.kind->backing == BY_DISK || h->file.kind->backing == BY_LOG)
    return fail_refused (os_reserve_blocks (&h->file, off_file (h, p), len,
                                            true),
                         len, off_file (h, p) + len);
  uintptr_t from = (uintptr_t) p & ~(process.system_page - 1);
  uintptr_t to = round_up ((uintptr_t) p + len, process.system_page);
  uintptr_t usable = h->file.base + h->usable;
  if (to <= usable)
    return 0;
  if (h->narrow && to > h->file.base + h->file.mapped
      && back_widen (h, to - h->file.base) != 0)
    return fail_refused (ENOMEM, to - from, 0);
  if (from <= usable)
    {
      /* More than was asked for, so that there are few calls: memory costs
         nothing before it is touched.  */
      size_t ahead = size_max (MM_AHEAD_MIN,
                               round_up (h->usable / 4, process.system_page));
      uintptr_t end = size_max (usable + size_min (ahead, MM_AHEAD_MAX), to);
      end = size_min (end, h->file.base + h->file.mapped);
      if (space_usable ((void *) usable, end - usable) == 0)
        {
          /* A small heap would be touched here and there only.  */
          if (h->usable >= MM_HUGE_PAGES)
            space_advise ((void *) usable, end - usable, MADV_HUGEPAGE);
          h->usable = end - h->file.base;
          return 0;
        }
    }
  int err = space_usable ((void *) from, to - from) != 0 ? ENOMEM : 0;
  return fail_refused (err, to - from, 0);
}

/* Make [P, P + LEN), which nobody uses, read as zero without touching it.
   False: it cannot be done.  */
static bool
back_zero (struct heap *h, char *p, size_t len)
{
  MM_NEEDS (needs.heap == NULL);
  /* Nothing of an image changes but by a checkpoint.  */
  if (h->file.kind->backing == BY_COPY || h->file.kind->backing == BY_LOG)
    return false;
  if (h->file.kind->backing == BY_MEMORY)
    return space_advise (p, len, MADV_DONTNEED) == 0;
  word_put (&h->root->punched, 1);
  return os_punch (&h->file, off_file (h, p), len) == 0;
}

/* Chunk C has memory that nobody needs, and that the image may have.  */
static void
back_note_drop (struct heap *h, size_t c)
{
  MM_NEEDS (needs_grow_lock (h));
  struct chunks *drops = &h->log->drops;
  bool none = drops->from == drops->to;
  drops->from = none ? c : size_min (drops->from, c);
  drops->to = none ? c + 1 : size_max (drops->to, c + 1);
  h->log->n_drops++;
}

/* Nobody needs what is in [P, P + LEN) any more, and the memory or the disk
   blocks may go: with checkpoints when the next one is made, see home_give; else
   at once.  False: they stay, and what was called backed is so still.  */
static bool
back_drop (struct heap *h, char *p, size_t len)
{
  if (h->file.kind->backing != BY_LOG)
    return back_zero (h, p, len);
  word_put (&h->root->punched, 1);
  back_note_drop (h, ((uintptr_t) p - h->grid) >> MM_CHUNK_SHIFT);
  back_note_drop (h, ((uintptr_t) p + len - 1 - h->grid) >> MM_CHUNK_SHIFT);
  return true;
}


/* ---- 17. Locks and processes -------------------------------------------- */

/* Owns: struct disk_locks, struct disk_proc.
   Needs: the order of the essay.
   Crash: a holder's death is noticed by the next one; what it left undone is
   finished in the room of the dead.  Nothing else needs mending, because all
   truths change by one store.  The byte of a dead process's entry is free.
   Keeps: I7, with the room of the dead.
   Checked by: waiter, real, raw_clone_child, too_many_processes.  */

/* The locks of the process.  fork takes them first and lets them go last, and
   other handlers of fork that run in between may call the library; as may the
   function that looks at a region.  */
static void
lock_opening (void)
{
  if (thread.forking || thread.opening)
    return;
  MM_NEEDS (needs_none () && !needs.opening);
  pthread_mutex_lock (&process.open_lock);
  MM_NOTE (opening = true);
}

/* The same without waiting: false if another thread has it.  */
static bool
lock_opening_now (void)
{
  bool had = thread.forking || thread.opening
             || pthread_mutex_trylock (&process.open_lock) == 0;
  MM_NOTE (opening |= had);
  return had;
}

/* The lists of what is open in this process, and of their caches.  Held for
   moments, never around a system call that may wait for others.  */
static void
lock_registry (void)
{
  if (thread.forking)
    return;
  MM_NEEDS (needs_none ());
  pthread_mutex_lock (&process.lock);
  MM_NOTE (registry = true);
}

/* The two come off in any order.  In a fork the thread keeps both until the
   handler in the parent, or in the child, has run.  */
static void
unlock_opening (void)
{
  MM_NOTE (opening = thread.forking || thread.opening);
  if (!thread.forking && !thread.opening)
    pthread_mutex_unlock (&process.open_lock);
}

static void
unlock_registry (void)
{
  MM_NOTE (registry = thread.forking);
  if (!thread.forking)
    pthread_mutex_unlock (&process.lock);
}

/* Between these two the file is not cut.  A fork between them leaves the child
   without the lock.  */
static unsigned
lock_walk (struct heap *h)
{
  pthread_rwlock_rdlock (&h->walkers);
  return h->forks;
}

/* BEGUN: what lock_walk gave.  If the process is another by now, the lock is
   the parent's, and the child has a fresh one.  */
static void
unlock_walk (struct heap *h, unsigned begun)
{
  if (h->forks == begun)
    pthread_rwlock_unlock (&h->walkers);
}

/* Whether the file is the one that the superblock was written into, and not a
   copy of it.  */
static bool
proc_is_home (struct heap *h)
{
  return h->super.ino == h->file.ino
         && (h->super.dev == h->file.dev
             || (h->super.dev == h->file.born && h->file.born != 0));
}

/* Whether the pid of entry E is one of this PID namespace.  */
static bool
proc_is_here (const struct disk_proc *e)
{
  uint64_t namespace = word_peek (&e->namespace);
  return namespace != 0 && namespace == pid_namespace ();
}

/* Whether nobody here can know if the process of entry E lives: it came by
   another file system, as an overlay and its upper layer are, where its locks
   are, and its pid means nothing here.  In a copy the entry means nothing.  */
static bool
proc_is_apart (struct heap *h, const struct disk_proc *e)
{
  uint64_t system = word_peek (&e->how) >> 1;
  return system != 0 && system != h->file.system && h->file.system != 0
         && !proc_is_here (e) && h->super.ino == h->file.ino;
}

/* Whether process PID of entry E, whose memory cannot be looked at because of
   PEEKED, is the one that entered, and has not begun another program since:
   that would have less mapped than the heap alone, unless this is a small one.
   What is not known speaks for it, unless it has no memory either.  Of a copied
   file the entries mean nothing.  */
static bool
proc_may_live (struct heap *h, const struct disk_proc *e, uint64_t pid,
               int peeked)
{
  uint64_t started = 0, mapped = 0, was = word_peek (&e->started);
  int err = pid_look (pid, &started, &mapped);
  if (!proc_is_home (h) || err == ENOENT || err == ESRCH)
    return false;
  if (err != 0)
    return peeked != ESRCH;
  return (was == 0 || started == was) && mapped >= word_peek (&e->mapped);
}

/* Whether the process of entry I lives and has the heap mapped, or may, though
   its lock is not seen: the program may have closed the library's descriptors,
   or the file has two paths whose locks do not meet.  The mark is read in its
   memory, once more if a newcomer makes another one just then.  */
static bool
proc_lives (struct heap *h, uint32_t i)
{
  struct disk_proc *e = off_proc (h, i);
  struct disk_locks *l = h->locks;
  uint64_t coming = word_see (&e->coming), id = word_see (&e->id);
  uint64_t epoch = word_peek (&l->epoch), pid = word_peek (&e->pid), mark, its;
  int err;
  if (id >> 32 != epoch && coming >> 32 != epoch)
    return false;
  if (!proc_is_here (e) || pid == pid_own () || pid_is_gone (pid))
    return proc_is_apart (h, e);
  do
    {
      mark = word_see (&l->mark);
      err = pid_peek (pid, (char *) h->super.base + off_file (h, &l->mark),
                      &its);
    }
  while (err == 0 && its != mark && word_see (&l->mark) != mark);
  return err == 0 ? its == mark
                  : err != EFAULT && proc_may_live (h, e, pid, err);
}

/* Whether any other process does.  Needs: the door.  */
static bool
proc_others_live (struct heap *h)
{
  bool found = false;
  for (uint32_t i = 0; i < off_procs_used (h) && !found; i++)
    found = i != h->entry && proc_lives (h, i);
  return found;
}

/* No lock shows anybody in the heap; whether those who have left their entries
   behind have only lost theirs.  Needs: the door.  */
static bool
proc_others_stay (struct heap *h)
{
  uint8_t boot[16];
  os_boot_id (boot);
  if (word_peek (&h->locks->state) == MM_CLEAN
      || memcmp (boot, h->super.boot_id, sizeof boot) != 0)
    return false;
  /* In a copy it becomes another one.  Who may not change it goes by the
     numbers of the file.  */
  if (h->file.kind->shared)
    word_put (&h->locks->mark, os_random ());
  else if (!proc_is_home (h))
    return false;
  return proc_others_live (h);
}

/* Whether the process of entry I is gone.  The lock on its byte is the
   witness: the kernel drops it with the process.  If a child that ran no fork
   handlers keeps it, there may at least be no process of that number any
   more.  */
static bool
proc_is_dead (struct heap *h, uint32_t i)
{
  if (i == h->entry)
    return false;
  if (!byte_is_locked (&h->file, MM_BYTE_ALIVE + (int) i, F_WRLCK))
    return !proc_lives (h, i);
  return proc_is_here (off_proc (h, i))
         && pid_is_gone (word_peek (&off_proc (h, i)->pid));
}

/* Refuse to write H beside one who wants to be alone or whose end would not be
   seen, or to be alone beside any.  Needs: the door.  */
static int
proc_refuse (struct heap *h, struct reason *why)
{
  const bool alone = h->file.alone;
  const uint64_t epoch = word_peek (&h->locks->epoch);
  char name[40];
  for (uint32_t i = 0; i < off_procs_used (h); i++)
    {
      struct disk_proc *e = off_proc (h, i);
      bool single = (word_peek (&e->how) & 1) != 0;
      if (i == h->entry || word_see (&e->id) >> 32 != epoch)
        continue;
      if (proc_is_apart (h, e))
        return fail_because (why, ENOTSUP, "in use, or left by a kill, by another"
                             " path over overlayfs in another PID namespace");
      if ((!alone && !single) || proc_is_dead (h, i))
        continue;
      uint64_t pid = proc_is_here (e) ? word_peek (&e->pid) : 0;
      return fail_because (why, EBUSY, "%s has the heap open %s",
                           pid_name (pid, name),
                           single ? "as its single writer" : "for writing");
    }
  return 0;
}

/* Whether the process with NUMBER in this epoch is gone.  Who is on the way in
   stands in `coming', and has the byte of the entry's last owner, who is gone
   then.  A number in no entry has left.  */
static bool
lock_is_of_dead (struct heap *h, uint32_t number)
{
  uint64_t id = (uint64_t) h->epoch << 32 | number;
  if (id == h->id || !h->file.kind->shared)
    return false;
  /* Whoever has a lock has come in before: his entry is one of these.  */
  for (uint32_t i = 0, n = off_procs_used (h); i < n; i++)
    {
      /* In this order: they are stored in the other one.  */
      uint64_t coming = word_see (&off_proc (h, i)->coming);
      bool is_his = word_see (&off_proc (h, i)->id) == id;
      if (coming == id || is_his)
        return (coming != id && coming >> 32 == h->epoch)
               || proc_is_dead (h, i);
    }
  return true;
}

/* The pid of process ID of this epoch; 0: it is in another PID namespace;
   UINT64_MAX: not known.  */
static uint64_t
lock_pid (struct heap *h, uint64_t id)
{
  if (id == h->id)
    return pid_own ();
  uint32_t n = h->file.kind->shared ? off_procs_used (h) : 0;
  for (uint32_t i = 0; i < n; i++)
    {
      struct disk_proc *e = off_proc (h, i);
      if (word_see (&e->coming) == id || word_see (&e->id) == id)
        return proc_is_here (e)        ? word_peek (&e->pid)
               : pid_namespace () != 0 ? 0
                                       : UINT64_MAX;
    }
  return UINT64_MAX;
}

/* Whether the call under way has waited as long as it may, as fail_is_late, for
   process ID, which HOLDS something; then it has to fail with ETIMEDOUT.  */
static bool
lock_is_late (struct heap *h, uint64_t *since, uint64_t id, const char *holds)
{
  bool late = fail_is_late (h->file.wait, since);
  if (late)
    fail_late (lock_pid (h, id), holds);
  return late;
}

/* How taking a lock ended: it is had; it is had, and its owner has died; it is
   another's.  */
enum lock_result { LOCK_HAD, LOCK_OF_DEAD, LOCK_BUSY };

/* The long way to the lock with WORD: wait for it, or if WAIT is not said only
   see whether its owner lives.  Who has waited wakes another in the end, as
   there may be more of whom nobody knows; and one time-out is enough to find
   the dead, so a wake-up that dies with the woken costs nothing else.  Nor does
   one of who gives up, which nobody does before such a time-out: while the lock
   comes and goes, it is worth waiting for.  Source: the lock with waiters in
   Drepper, "Futexes Are Tricky".  */
static MM_NOINLINE enum lock_result
lock_slowly (struct heap *h, disk_u32 *word, bool wait)
{
  int saved = errno;
  enum lock_result result = LOCK_BUSY;
  uint32_t mine = (uint32_t) h->id << 1, waited = 0, value = 0;
  uint64_t since = 0;
  bool asks = !wait;
  for (unsigned n = 0, spin = 0;;)
    {
      value = word_see (word);
      if (value == 0)
        {
          result = LOCK_HAD;
          if (word_claim (word, &value, mine | waited))
            break;
          result = LOCK_BUSY;
        }
      else if (asks && lock_is_of_dead (h, value >> 1))
        {
          result = LOCK_OF_DEAD;
          if (word_claim (word, &value, mine | 1))
            break;
          result = LOCK_BUSY;
        }
      else if (!wait)
        break;
      else if (spin++ < MM_SPINS)
        wait_relax ();
      else if (fail_is_late (h->file.wait, &since) && asks)
        {
          uint64_t id = (uint64_t) h->epoch << 32 | value >> 1;
          fail_late (lock_pid (h, id), "a lock of the heap");
          break;
        }
      else if ((value & 1) != 0 || word_claim (word, &value, value | 1))
        {
          asks = wait_on (word, value | 1, h->file.kind->shared, n++);
          waited = 1;
        }
    }
  errno = saved;
  return result;
}

/* Take the lock with WORD.  */
static inline enum lock_result
lock_take (struct heap *h, disk_u32 *word, bool wait)
{
  uint32_t none = 0;
  return MM_LIKELY (word_claim (word, &none, (uint32_t) h->id << 1))
           ? LOCK_HAD : lock_slowly (h, word, wait);
}

/* Let it go, if it is ours: a fork child that comes out of a signal handler may
   have found its parent's.  */
static inline void
lock_release (struct heap *h, disk_u32 *word)
{
  uint32_t mine = (uint32_t) h->id << 1, value = mine;
  if (MM_UNLIKELY (!word_claim (word, &value, 0)) && value == (mine | 1))
    {
      word_swap (word, 0);
      wait_wake (word, h->file.kind->shared);
    }
}

static void dead_owner_locked (struct heap *h);

/* The lock of everything that is changed by more than one store, and the lock
   of growth, which is held over system calls.  Order: grow, heap.  False: not
   in the time that this process waits, and the caller fails with ETIMEDOUT or
   leaves things as one who was killed.  */
MM_MUST_USE static inline bool
lock_heap (struct heap *h)
{
  MM_NEEDS (needs.heap == NULL);
  enum lock_result got = lock_take (h, &h->locks->heap.word, true);
  if (MM_UNLIKELY (got == LOCK_BUSY))
    return false;
  MM_NOTE (heap = h);
  /* What the dead one left comes before anything else.  */
  if (MM_UNLIKELY (got == LOCK_OF_DEAD))
    dead_owner_locked (h);
  return true;
}

/* From here on others may see what was changed, in one piece.  */
static inline void
unlock_heap (struct heap *h)
{
  MM_NEEDS (needs.heap == h);
  MM_NOTE (heap = NULL);
  lock_release (h, &h->locks->heap.word);
}

/* Who has it makes slices usable or takes that from them: no other does, so
   system calls between are safe without the heap lock.  */
MM_MUST_USE static inline bool
lock_grow (struct heap *h)
{
  MM_NEEDS (needs.grow == NULL && needs.heap == NULL);
  if (MM_UNLIKELY (lock_take (h, &h->locks->grow.word, true) == LOCK_BUSY))
    return false;
  MM_NOTE (grow = h);
  return true;
}

/* Let others grow the heap.  */
static inline void
unlock_grow (struct heap *h)
{
  MM_NEEDS (needs.grow == h && needs.heap == NULL);
  MM_NOTE (grow = NULL);
  lock_release (h, &h->locks->grow.word);
}

/* The lock of shared stream N, waiting or not.  */
MM_MUST_USE static bool
lock_stream (struct heap *h, uint32_t n, bool wait)
{
  MM_NEEDS (needs.grow == NULL && needs.heap == NULL);
  bool done = lock_take (h, &off_stream (h, n)->lock.word, wait) != LOCK_BUSY;
  MM_NOTE (streams += done);
  return done;
}

/* Let others have shared stream ST.  */
static inline void
unlock_stream (struct heap *h, struct disk_stream *st)
{
  MM_NEEDS (needs.streams > 0);
  MM_NOTE (streams--);
  lock_release (h, &st->lock.word);
}

/* Up to where growth may go: the least of what live processes have mapped.
   Stale entries are of another epoch, or their byte is free.  */
static size_t
proc_limit (struct heap *h)
{
  size_t limit = h->narrow ? h->capacity : off_end (h);
  uint64_t pid = limit < h->capacity ? pid_own () : 0;
  uint32_t n = h->file.kind->shared ? off_procs_used (h) : 0;
  for (uint32_t i = 0; i < n; i++)
    {
      struct disk_proc *e = off_proc (h, i);
      uint64_t id = word_see (&e->id);
      size_t mapped = word_peek (&e->mapped);
      if (id >> 32 == h->epoch && mapped < limit && !proc_is_dead (h, i))
        {
          limit = mapped;
          pid = word_peek (&e->pid);
        }
    }
  word_put (&h->limiter, pid);
  word_put (&h->limit, limit);
  return limit;
}


/* ---- 18. Files ---------------------------------------------------------- */

/* Owns: struct file, the first word of a file, the lock of its door.
   Needs: the open lock; from file_enter to file_admit nobody else opens or
   closes the file for writing.
   Crash: a file under construction says so in its first word and is made anew;
   the locks go with the process.
   Keeps: nothing by itself.
   Checked by: open_counts, creators_at_once, region_files.  */

/* The words for the reason if a call failed with CODE and none were given.  */
static int
file_reason (struct reason *why, int code, const char *told)
{
  return code == 0 || why->told[0] != '\0'
           ? code
           : fail_because (why, code, "%s", told);
}

/* The same for a descriptor that was not to be had.  */
static int
file_no_fd (struct reason *why, int code, const char *told)
{
  return code == EMFILE ? fail_system (why, code)
                        : file_reason (why, code, told);
}

/* How F's kind opens its file.  */
static int
file_access (const struct file *f)
{
  return f->kind->writes_file ? O_RDWR : O_RDONLY;
}

/* A number for when the file of FD was born, marked with MM_BORN; 0: the file
   system does not know.  */
static uint64_t
file_birth (int fd)
{
#ifdef STATX_BTIME
  struct statx st = { .stx_mask = 0 };
  if (statx (fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) == 0
      && (st.stx_mask & STATX_BTIME) != 0)
    {
      uint64_t time[2] = { (uint64_t) st.stx_btime.tv_sec,
                           st.stx_btime.tv_nsec };
      return sum_bytes (time, sizeof time) | MM_BORN;
    }
#else
  (void) fd;
#endif
  return 0;
}

/* Make PATH, opened with FLAGS; the system tells who has made a file only if it
   must not be there, not even as a symbolic link.  */
static void
file_make_path (struct file *f, const char *path, int flags, unsigned mode)
{
  f->fd = os_open (path, flags | O_CREAT | O_EXCL, mode);
  f->made = f->fd >= 0;
}

/* The same if PATH is a symbolic link that leads to nothing.  */
static MM_NOINLINE void
file_make_end (struct file *f, const char *path, int flags, unsigned mode)
{
  char end[PATH_MAX];
  os_follow (path, end);
  file_make_path (f, end, flags, mode);
}

/* Open PATH; CREATE it with MODE if it is missing.  It may come and go all the
   time, since others make it and fail; whoever makes it at last knows that.  */
static void
file_open_path (struct file *f, const char *path, bool create, unsigned mode)
{
  /* O_NONBLOCK: a pipe is refused, not waited for.  */
  int flags = file_access (f) | O_NONBLOCK;
  f->made = false;
  f->fd = -1;
  errno = EEXIST;
  for (int left = 100; left > 0 && f->fd < 0 && errno == EEXIST; left--)
    {
      f->fd = os_open (path, flags, 0);
      bool missing = create && f->fd < 0 && errno == ENOENT;
      if (missing)
        file_make_path (f, path, flags, mode);
      /* Not before: there are links that the system does not follow for us.
         */
      if (missing && f->fd < 0 && errno == EEXIST)
        file_make_end (f, path, flags, mode);
    }
  /* A link that is too long for us, or no end of it.  */
  if (create && f->fd < 0 && errno == EEXIST)
    f->fd = os_open (path, flags | O_CREAT, mode);
}

/* FD of the caller has FLAGS.  With O_APPEND the system writes at the end of
   the file whatever offset it is told, so such a descriptor is not shared.  */
static int
file_not_append (struct file *f, int flags, struct reason *why)
{
  if (flags < 0 || !(flags & O_APPEND) || !f->kind->writes_file)
    return 0;
  int own = byte_reopen (f, file_access (f), NULL);
  if (own < 0)
    return file_no_fd (why, errno, "the file is open with O_APPEND, and cannot"
                                   " be opened once more without it");
  os_close (f->fd);
  f->fd = own;
  return 0;
}

/* Open PATH, or if that is NULL what FD has open, which stays the caller's;
   CREATE it with MODE if it is missing.  */
static int
file_open (struct file *f, const char *path, int fd, bool create,
           unsigned mode, struct reason *why)
{
  struct stat status;
  int access = file_access (f), flags = path == NULL ? os_flags (fd) : 0;
  if (path != NULL)
    file_open_path (f, path, create, mode != 0 ? mode : 0666);
  else if (flags >= 0 && (flags & O_ACCMODE) != O_RDWR
           && ((flags & O_ACCMODE) != O_RDONLY || access != O_RDONLY))
    return fail_because (why, EACCES, "the file is not open for reading%s",
                         access == O_RDWR ? " and writing" : "");
  else if (flags >= 0 && (flags & (O_DIRECT | O_PATH)))
    return fail_because (why, EINVAL, "the file is open with %s, which does"
                                      " not go together with mapping it",
                         flags & O_PATH ? "O_PATH" : "O_DIRECT");
  else
    f->fd = os_dup (fd);
  if (f->fd < 0)
    return file_no_fd (why, errno, "the file cannot be opened");
  int err = os_stat (f->fd, &status);
  if (err != 0)
    {
      os_close (f->fd);
      f->fd = -1;
      return file_reason (why, err, "the file cannot be looked at");
    }
  f->dev = status.st_dev;
  f->ino = status.st_ino;
  if (!S_ISREG (status.st_mode))
    return fail_because (why, EINVAL, "not a regular file");
  const char *wrong = byte_wrong_system (f);
  if (wrong != NULL)
    return fail_because (why, ENOTSUP, "the file is on %s", wrong);
  f->born = file_birth (f->fd);
  return file_not_append (f, flags, why);
}

/* The file that this process has open already, or NULL.  */
static struct file *
file_known (const struct file *f)
{
  lock_registry ();
  struct file *i = process.files;
  while (i != NULL
         && (i->fd < 0 || i->kind->anywhere || f->kind->anywhere
             || i->dev != f->dev || i->ino != f->ino))
    i = i->next;
  unlock_registry ();
  return i;
}

/* The words for the reason if a call about locks failed with CODE.  */
static int
file_lock_reason (struct reason *why, int code)
{
  return file_reason (why, code, code == EBADF
                                   ? fail_lost
                                   : "the file system has no locks");
}

/* Lock L of others is in the way, and not waited for any longer, for which the
   error is CODE: it, and the words for who has the lock.  */
static int
file_locked (int code, int64_t byte, const struct flock *l, struct reason *why)
{
  int64_t number = MM_LOCK_BYTES - l->l_start;
  char name[40];
  if (l->l_type == F_UNLCK)
    return fail_because (why, code, "somebody else had a lock on the file just"
                                    " now");
  if (byte == MM_BYTE_DOOR && l->l_type == F_WRLCK && number > 0
      && number < MM_BYTES_ALIVE)
    return fail_because (why, code, "%s is opening or closing the file",
                         pid_name (byte_pid (number), name));
  if (l->l_pid > 0)
    return fail_because (why, code, "process %ld has a lock on the file",
                         (long) l->l_pid);
  return fail_because (why, code, "somebody else has a lock on the file");
}

/* Take the lock of TYPE on BYTE, waiting for a while.  Peers hold one for
   moments, unless they are stopped.  One that only the right to read was needed
   for, and one on all of the file, is somebody else's.  */
static int
file_lock (struct file *f, int64_t byte, short type, struct reason *why)
{
  uint64_t since = os_clock (), begun = 0;
  for (unsigned n = 0;; n++)
    {
      struct flock l;
      int err = byte_lock (f, byte, type);
      if (err == EAGAIN && (err = byte_find (f, byte, 1, type, &l)) == 0)
        err = EAGAIN;
      if (err != EAGAIN)
        return file_lock_reason (why, err);
      bool others = l.l_type == F_RDLCK
                    || byte_is_locked (f, MM_BYTE_NONE, F_WRLCK);
      if (l.l_type != F_UNLCK && l.l_pid == (pid_t) pid_own ())
        return fail_because (why, EDEADLK,
                             "this process itself has a lock on the file");
      bool late = fail_is_late (f->wait, &begun);
      if (late || f->no_wait || os_clock () - since >= process.patience[others])
        return file_locked (f->no_wait ? EAGAIN : late ? ETIMEDOUT : EBUSY,
                            byte, &l, why);
      /* A thousand who ask all the time leave none for who is inside.  */
      os_pause (n, 70);
    }
}

/* Take an open file of our own for the locks, since those of FD may be
   others'.  INHERITED through fork, where that may not be possible any more
   (rights, root directory, number of descriptors), locks that belong to the
   process will do.  */
static int
file_reopen (struct file *f, const char *path, bool inherited)
{
  f->lock_fd = byte_reopen (f, file_access (f), path);
  f->forks = process.forks;
  f->of_process = f->lock_fd < 0 && inherited;
  int err = f->lock_fd < 0 ? errno : 0;
  if (f->of_process)
    f->lock_fd = f->fd;
  else if (err == 0)
    byte_keep (f);
  return f->of_process ? 0 : err;
}

/* The same, and go in through the door, which readers leave ajar for each
   other.  */
static int
file_enter (struct file *f, const char *path, bool inherited,
            struct reason *why)
{
  int err = file_reopen (f, path, inherited);
  if (err != 0)
    return file_no_fd (why, err, "the file cannot be opened once more, for its"
                                 " locks");
  return file_lock (f, MM_BYTE_DOOR,
                    f->kind->writes_file ? F_WRLCK : F_RDLCK, why);
}

/* Close what file_open and file_enter have opened.  */
static void
file_shut (struct file *f)
{
  byte_drop (f);
  os_close_own (f, f->fd);
  f->fd = f->lock_fd = -1;
}

/* Whether PATH, if it is not NULL, leads to F.  Where that cannot be told it
   does.  */
static bool
file_is_at (const struct file *f, const char *path)
{
  struct stat status;
  int err = path != NULL ? os_stat_path (path, &status) : ENOTSUP;
  return err == 0 ? status.st_dev == f->dev && status.st_ino == f->ino
                  : err != ENOENT && err != ENOTDIR;
}

/* Let others in, with all locks if the door's cannot be had any more.  */
static void
file_admit (struct file *f)
{
  f->sure = false;
  if (byte_lock (f, MM_BYTE_DOOR, F_UNLCK) == EBADF)
    byte_lose (f);
}

/* Whether the file is to be made, in *FRESH, and its *SIZE, which may have
   changed while we waited.  FLAGS are those of mmalloc_open.  */
static int
file_look (struct file *f, int flags, bool *fresh, uint64_t *size,
           struct reason *why)
{
  struct stat status;
  uint64_t magic = MM_CREATING;
  int err = os_stat (f->fd, &status);
  if (err == 0 && status.st_size >= (off_t) sizeof magic)
    err = os_pread_all (f->fd, &magic, sizeof magic, 0);
  else if (err == 0 && status.st_size > 0)
    magic = 0;
  if (err != 0)
    return file_reason (why, err, "the file cannot be read");
  *fresh = magic == MM_CREATING;
  *size = (uint64_t) status.st_size;
  if (*fresh && !(flags & MMALLOC_CREATE))
    return fail_because (why, EINVAL, "the file is empty");
  if (!*fresh && (flags & MMALLOC_EXCL))
    return fail_because (why, EEXIST, "the file is not empty");
  return 0;
}

/* The opening of PATH has failed: take the file away if it was not there
   before, unless somebody else uses it by now.  Those who wait at the door
   will find that it is not at PATH any more.  */
static void
file_unmake (struct file *f, const char *path)
{
  char end[PATH_MAX];
  struct reason why;
  bool fresh;
  uint64_t size;
  if (!f->made)
    return;
  /* The open file is our own, as it came by a path.  */
  if (f->lock_fd < 0)
    f->lock_fd = f->fd;
  int err = byte_lock (f, MM_BYTE_DOOR, F_WRLCK);
  os_follow (path, end);
  if (err != EAGAIN && err != EBADF && file_is_at (f, end)
      && file_look (f, MMALLOC_CREATE, &fresh, &size, &why) == 0 && fresh)
    os_unlink (end);
}

/* Begin to make the file, which will be LENGTH bytes long at least.  Until its
   first word is another one it is as good as empty.  */
static int
file_make (struct file *f, uint64_t length)
{
  static const uint64_t creating = MM_CREATING;
  int err = fail_refused (os_may_reach (length), length, length);
  if (err == 0)
    err = os_cut (f, 0);
  if (err == 0)
    err = os_pwrite_all (f, &creating, sizeof creating, 0);
  return fail_refused (err, length, length);
}

/* Set the disk blocks of LEN bytes from OFF on aside once more, which the file
   may have lost when it was copied.  */
static int
file_back_again (struct file *f, size_t off, size_t len)
{
  f->sure = false;
  return fail_refused (os_reserve_blocks (f, off, len, false), len, off + len);
}

/* The words for that, of a WHAT.  CODE, for the caller to return.  */
static int
file_no_copy (struct reason *why, int code, const char *what)
{
  struct reason system = { "" };
  if (code == 0)
    return 0;
  fail_system (&system, code);
  return fail_because (why, code,
                       "no disk blocks for this copy of the %s%s%.150s", what,
                       system.told[0] != '\0' ? ": " : "", system.told);
}


/* ---- 19. Members of files ----------------------------------------------- */

/* Owns: the locks that show others who has a file open, and how.
   Needs: the door, unless said.
   Crash: the kernel takes them back.
   Keeps: nothing.
   Checked by: membership, leavers_at_once, private_changes_vanish.  */

/* Whether others than this process have the file open with WITNESS: *FOUND, and
   0 or an errno value, with which it counts as found.  A lock that the right to
   read is enough for shows no writer.  */
static int
member_find (const struct file *f, int witness, bool *found)
{
  bool writers = witness == MM_BYTE_ALIVE;
  struct flock l;
  int err = byte_find (f, witness, writers ? MM_BYTES_ALIVE : 1,
                       writers ? F_RDLCK : F_WRLCK, &l);
  *found = l.l_type != F_UNLCK;
  return err;
}

/* Whether others than this process have the file open with WITNESS.  */
static bool
member_has_others (const struct file *f, int witness)
{
  bool found;
  member_find (f, witness, &found);
  return found;
}

/* The same of those who have it open to write.  */
static bool
member_has_writers (const struct file *f)
{
  return member_has_others (f, MM_BYTE_ALIVE);
}

/* Refuse to go on, TOLD says why, if there are such others.  */
static int
member_refuse (const struct file *f, int witness, const char *told,
                   struct reason *why)
{
  bool found;
  int err = member_find (f, witness, &found);
  return err == 0 && found ? fail_because (why, EBUSY, "%s", told)
                           : file_lock_reason (why, err);
}

/* Whether all of them may be of this boot of this machine: there are file
   systems that show the locks of others.  Who does not know his boot is taken
   for a neighbour, and takes all for neighbours.  */
static int
member_verify (const struct file *f, struct reason *why)
{
  const int64_t unknown = MM_BYTES_BOOT, boot = byte_boot ();
  const int64_t end = boot + MM_BYTES_BOOT;
  struct flock l;
  if (boot == 0)
    return 0;
  int err = byte_find (f, MM_BYTE_ALIVE + unknown, boot - unknown, F_RDLCK, &l);
  if (err == 0 && l.l_type == F_UNLCK)
    err = byte_find (f, MM_BYTE_ALIVE + end, MM_BYTES_ALIVE - end, F_RDLCK, &l);
  return err == 0 && l.l_type != F_UNLCK
           ? fail_because (why, ENOTSUP, "in use on another machine")
           : file_lock_reason (why, err);
}

/* The next of the others that have F open to write, from *NUMBER on, in the
   order of their bytes: it, and *NUMBER behind it; -1: there is none.  The
   kernel has locks in no order.  */
static int64_t
member_next (const struct file *f, int64_t *number)
{
  int64_t from = *number, found = -1, end = MM_BYTES_ALIVE;
  struct flock l;
  while (end > from
         && byte_find (f, MM_BYTE_ALIVE + from, end - from, F_RDLCK, &l) == 0
         && l.l_type != F_UNLCK)
    {
      int64_t at = l.l_start - (MM_LOCK_BYTES + MM_BYTE_ALIVE);
      found = end = at > from ? at : from;
      *number = l.l_len != 0 ? at + l.l_len : MM_BYTES_ALIVE;
    }
  return found;
}

/* How many others have F open to write, as far as locks show them.  */
static size_t
member_count (const struct file *f)
{
  size_t n = 0;
  for (int64_t number = 0; member_next (f, &number) >= 0;)
    n++;
  return n;
}

/* Words for the first of them.  The byte tells who it is, or that it has one of the
   first entries of a heap.  */
static const char *
member_name (const struct file *f, char words[40])
{
  int64_t next = 0, number = member_next (f, &next);
  uint64_t pid = number >= 0 ? byte_pid (number) : 0;
  struct disk_proc e;
  if (f->kind->heap && number >= 0 && number < MM_PROCS_FIRST
      && os_pread_all (f->fd, &e, sizeof e,
                       (off_t) (MM_OFF_PROCS + (uint64_t) number * sizeof e)) == 0
      && proc_is_here (&e))
    pid = word_peek (&e.pid);
  return pid_name (pid, words);
}

/* F's user, whom others see by now, is to be alone, or beside others none of
   whom is.  Of two that come at once, which fork children can, one finds the
   other: each shows itself before it looks.  */
static int
member_agree (const struct file *f, struct reason *why)
{
  struct flock l = { .l_type = F_UNLCK };
  char name[40];
  int err = f->alone ? byte_lock (f, MM_BYTE_ALONE, F_WRLCK)
                     : byte_find (f, MM_BYTE_ALONE, 1, F_RDLCK, &l);
  bool single = err == EAGAIN || l.l_type != F_UNLCK, found = single;
  if (err == 0 && f->alone)
    err = member_find (f, MM_BYTE_ALIVE, &found);
  if (found && (err == 0 || err == EAGAIN))
    err = fail_because (why, EBUSY, "%s has the file open %s",
                        member_name (f, name),
                        single ? "as its single writer" : "for writing");
  if (err != 0)
    {
      byte_lock (f, f->byte, F_UNLCK);
      if (f->alone)
        byte_lock (f, MM_BYTE_ALONE, F_UNLCK);
    }
  return file_lock_reason (why, err);
}

/* Be one of those that have the file open, for all to see: with F->byte.  */
static int
member_show (struct file *f)
{
  return byte_lock (f, f->byte, f->kind->writes_file ? F_WRLCK : F_RDLCK);
}

/* Let one entry more be used, with memory behind it, if there is one: 0 or an
   errno value.  Needs: the door.  */
static int
member_more (struct heap *h)
{
  uint32_t n = off_procs_used (h);
  struct disk_proc *e = off_proc (h, n);
  if (n == h->super.n_procs)
    return ENOLCK;
  /* The first one of a page.  */
  int err = n >= MM_PROCS_FIRST
            && (n - MM_PROCS_FIRST) % (MM_PAGE / sizeof *e) == 0
              ? back_range (h, (char *) e, MM_PAGE) : 0;
  if (err != 0)
    return err;
  memset (e, 0, sizeof *e);
  /* Seen by off_procs_used.  */
  word_publish (&h->locks->procs_used, n + 1);
  return 0;
}

/* Take the lock that shows entry I to be in use, with H->file.byte: EAGAIN if
   its owner lives, or another errno value.  */
static int
member_try (struct heap *h, uint32_t i)
{
  h->file.byte = MM_BYTE_ALIVE + (int64_t) i;
  int err = member_show (&h->file);
  if (err == 0 && proc_lives (h, i))
    {
      byte_lock (&h->file, h->file.byte, F_UNLCK);
      err = EAGAIN;
    }
  return err;
}

/* Whether it is worth a look if the owner of entry I lives: not while a process
   of its number does, which is told for less than a lock is beside many.  */
static bool
member_may_go (struct heap *h, uint32_t i)
{
  const struct disk_proc *e = off_proc (h, i);
  return word_peek (&e->id) == 0 || !proc_is_here (e)
         || pid_is_gone (word_peek (&e->pid));
}

/* The same with an entry that nobody has.  A call of the system for each one in
   use is too much beside many others: each newcomer asks a few, in turn, so
   that the dead are found, and all only if there is no other.  */
static int
member_find_entry (struct heap *h, struct reason *why)
{
  uint32_t n = off_procs_used (h);
  uint64_t turn = word_peek (&h->locks->n_entered);
  int full = 0, err = EAGAIN;
  for (uint32_t i = 0; i < n && i < MM_PROCS_TRIED && err == EAGAIN; i++)
    if (member_may_go (h, (uint32_t) ((turn + i) % n)))
      err = member_try (h, (uint32_t) ((turn + i) % n));
  for (uint32_t i = 0; i < n && err == EAGAIN; i++)
    if (word_peek (&off_proc (h, i)->id) == 0)
      err = member_try (h, i);
  for (; err == EAGAIN && (full = member_more (h)) == 0; n++)
    err = member_try (h, n);
  for (uint32_t i = 0; i < n && err == EAGAIN; i++)
    err = member_try (h, i);
  if (err != EAGAIN)
    return file_lock_reason (why, err);
  return fail_because (why, full, full == ENOLCK
                                    ? "%u processes use the heap already"
                                    : "no disk blocks for one process more than"
                                      " the %u that use the heap already",
                       (unsigned) n);
}

/* Be one of those with any byte that is free.  */
static int
member_join (struct file *f, struct reason *why)
{
  bool writes = f->kind->writes_file;
  int64_t first = f->kind->witness + (writes ? byte_home () : 0);
  int err = EAGAIN, pid = (int) pid_own ();
  for (int i = 0; writes && i < MM_BYTES_HOME && err == EAGAIN; i++)
    {
      f->byte = first + (pid + i) % MM_BYTES_HOME;
      err = member_show (f);
    }
  f->sure = false;
  if (!writes)
    err = file_lock (f, f->byte = first, F_RDLCK, why);
  else if (err == EAGAIN)
    return fail_because (why, ENOLCK, "%d processes use the file already",
                         MM_BYTES_HOME);
  return err == 0 && writes ? member_agree (f, why)
                            : file_lock_reason (why, err);
}


/* ---- 20. The door ------------------------------------------------------- */

/* Owns: the process's list of files; how one is found, opened, joined, left and
   forked, whatever is in it: heaps and regions come and go through this door.
   Needs: the open lock.
   Crash: who comes in again finds what the rooms below say.
   Keeps: nothing.
   Checked by: open_counts, creators_at_once, failed_creation.  */

/* What makes heaps and regions differ when a file is opened: AGAIN decides
   whether a file that the process has already may be opened once more, ENTER
   makes or opens it behind the door.  Each gives 0 or an errno value, with the
   reason in WHY.  */
struct opening
{
  const char *path; /* NULL: FD */
  int fd;
  int flags; /* of mmalloc_open */
  unsigned mode;
  int (*again) (struct file *, struct opening *);
  int (*enter) (struct file *, struct opening *, bool fresh, uint64_t size);
  const void *wanted; /* theirs */
  struct reason why;
};

/* Open the file that O says, with the door closed behind us, but for *KNOWN,
   which the process has already, or NULL.  *FRESH and *SIZE are as file_look
   says.  */
static int
door_come (struct file *f, struct opening *o, struct file **known, bool *fresh,
           uint64_t *size)
{
  /* As long as files are taken away while we wait; not for ever, because there
     are systems where no file is where it was opened.  */
  for (int left = 1000;; left--)
    {
      int err = file_open (f, o->path, o->fd, o->flags & MMALLOC_CREATE,
                           o->mode, &o->why);
      *known = err == 0 ? file_known (f) : NULL;
      if (err != 0 || *known != NULL)
        return err;
      err = file_enter (f, o->path, false, &o->why);
      if (err != 0)
        return err;
      /* Page by page, since one store must not dirty a large folio.  */
      if (f->kind->heap && f->kind->in_view)
        os_advise_file (f->fd, 0, 0, POSIX_FADV_RANDOM);
      err = file_look (f, o->flags, fresh, size, &o->why);
      f->sure = err == 0 && !*fresh;
      if (err != 0 || !*fresh || left == 0 || file_is_at (f, o->path))
        return err;
      file_shut (f);
    }
}

/* The process has the file that O wants open already, as KNOWN: 0 or an errno
   value.  */
static int
door_again (struct file *known, struct opening *o)
{
  if (o->flags & MMALLOC_EXCL)
    return fail_because (&o->why, EEXIST, "the file is open already");
  if ((o->flags & MMALLOC_SINGLE_WRITER) && !known->alone)
    return fail_because (&o->why, EBUSY, "open here already, without"
                                         " MMALLOC_SINGLE_WRITER");
  known->no_wait = (o->flags & MMALLOC_NOWAIT) != 0;
  int err = o->again (known, o);
  known->no_wait = false;
  return err;
}

/* Open what O says into *F, which then is the file that the process has
   already, or on the process's list.  0 or an errno value; a file that could
   not be made is not there then.  */
static int
door_attach (struct file **f, struct opening *o)
{
  bool fresh = false;
  uint64_t size = 0;
  struct file *known = NULL;
  (*f)->alone = (o->flags & (MMALLOC_SINGLE_WRITER | MMALLOC_CHECKPOINT)) != 0;
  (*f)->no_wait = (o->flags & MMALLOC_NOWAIT) != 0;
  (*f)->no_thread = (o->flags & MMALLOC_NO_THREAD) != 0;
  int err = door_come (*f, o, &known, &fresh, &size);
  if (known != NULL)
    {
      err = door_again (known, o);
      lock_registry ();
      known->n_open += err == 0;
      unlock_registry ();
      *f = err == 0 ? known : *f;
      return err;
    }
  if (err == 0)
    {
      err = o->enter (*f, o, fresh, size);
      if (err != 0 && fresh)
        os_cut (*f, 0);
    }
  if (err != 0)
    file_unmake (*f, o->path);
  if ((*f)->lock_fd >= 0)
    file_admit (*f);
  (*f)->no_wait = false;
  return err;
}

/* F is open, for the first time.  */
static void
door_list (struct file *f)
{
  f->n_open = 1;
  lock_registry ();
  f->next = process.files;
  process.files = f;
  unlock_registry ();
}

/* The place in the list of the file at BASE, with a heap in it or without one;
   at the end if there is none.  Needs: the registry lock.  */
static struct file **
door_place (const void *base, bool heap)
{
  struct file **link = &process.files;
  while (*link != NULL
         && ((const void *) (*link)->base != base
             || (*link)->kind->heap != heap))
    link = &(*link)->next;
  return link;
}

/* Take the locks again that belong to the process and have gone with a
   descriptor of F, which others of its files are, too.  A newcomer may have one
   for a moment, as he looks for an entry.  */
static void
door_show_again (const struct file *f)
{
  bool again = true;
  for (unsigned n = 0; again && n < 1000; n++)
    {
      again = false;
      lock_registry ();
      for (struct file *g = process.files; g != NULL; g = g->next)
        if (g->of_process && g->dev == f->dev && g->ino == f->ino)
          again |= member_show (g) == EAGAIN;
      unlock_registry ();
      if (again)
        os_pause (n, 22);
    }
}

/* Unmap and close what is ours.  */
static void
door_drop (struct file *f)
{
  if (f->mapped > 0)
    space_unmap ((void *) f->base, f->mapped);
  file_shut (f);
  door_show_again (f);
}

/* Be seen by others, if this could not be done at the fork: 0 or an errno
   value.  */
static int
door_show (struct file *f, struct reason *why)
{
  if (!word_peek (&f->unseen))
    return 0;
  if (f->lock_fd < 0)
    file_reopen (f, NULL, true);
  int err = member_join (f, why);
  if (err == 0)
    word_put (&f->unseen, false);
  return err;
}

/* In a fork child, where the locks are the parent's: a user of its own, unless
   it becomes one when it is needed.  If it cannot, the open file and its lock
   stay those of both: until both have closed it others see it in use.  But the
   locks of a single writer end with him: nothing of the child keeps them.  */
static void
door_forked (struct file *f)
{
  struct reason why;
  int parents = f->of_process ? -1 : f->lock_fd;
  int64_t byte = f->byte;
  bool shared_heap = f->kind->heap && f->kind->shared;
  bool joins = f->fd >= 0 && !shared_heap && !f->alone;
  if (f->alone && !shared_heap && os_own (f, f->fd) == 0)
    space_map ((void *) f->base, f->mapped, PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_FIXED, f->fd);
  f->lock_fd = -1;
  f->witness = NULL;
  f->of_process = false;
  int err = joins ? file_reopen (f, NULL, false) : 0;
  if (joins && err == 0)
    err = member_join (f, &why);
  if (err == 0)
    os_close_own (f, parents);
  else
    {
      os_close (f->lock_fd);
      f->lock_fd = parents;
      f->byte = byte;
      f->forks = process.forks - 1;
    }
  /* There may be none any more.  */
  word_put (&f->unseen, (f->alone && !shared_heap)
                        || (err != 0
                            && (word_peek (&f->unseen)
                                || os_own (f, parents) != 0)));
  if (f->lock_fd < 0)
    door_show (f, &why);
}


/* ---- 21. Size classes --------------------------------------------------- */

/* Owns: the table of classes; constant.
   Needs: nothing.
   Crash: nothing changes.
   Keeps: I1, as far as classes go.
   Checked by: alignment_of_all_sizes, man_format.  */

/* Up to 128 every 16 bytes, then four to each doubling: at most a fifth of a
   block is lost.  Pages have as many slices as leave little over.

   inverse is a little more than 2^32 / size: times size it gives 2^32 + e with
   0 < e <= size.  The product of an offset in the page with it has the block's
   number in its upper half.  For block i the lower half is i * e; behind the
   start of a block it is more than inverse, which is more than count * e.  So
   one comparison of it with limit, count * e, tells that the offset is the
   start of a block, and of one that the page has.

   The file holds class numbers only; all that follows from them comes from this
   table, whose unused rows fit nothing.  */
struct class
{
  uint64_t inverse;
  uint32_t limit;
  uint16_t size;
  uint16_t slices : 4;
  uint16_t count : 12;
};

#define CLASS_COUNT(size, slices) \
  ((size) == 16 ? MM_WORDS * 64 : (slices) * MM_SLICE / (size))
#define CLASS_INVERSE(size) ((UINT64_C (1) << 32) / (size) + 1)
#define CLASS(size, slices) \
  { CLASS_INVERSE (size), \
    (uint32_t) (CLASS_COUNT (size, slices) \
                * (CLASS_INVERSE (size) * (size) - (UINT64_C (1) << 32))), \
    (size), (slices), CLASS_COUNT (size, slices) }

static const struct class class_table[64] = {
  CLASS (16, 1), CLASS (32, 1), CLASS (48, 1), CLASS (64, 1),
  CLASS (80, 1), CLASS (96, 1), CLASS (112, 1), CLASS (128, 1),
  CLASS (160, 1), CLASS (192, 1), CLASS (224, 1), CLASS (256, 1),
  CLASS (320, 1), CLASS (384, 1), CLASS (448, 1), CLASS (512, 1),
  CLASS (640, 1), CLASS (768, 1), CLASS (896, 1), CLASS (1024, 1),
  CLASS (1280, 2), CLASS (1536, 3), CLASS (1792, 2), CLASS (2048, 2),
  CLASS (2560, 5), CLASS (3072, 3), CLASS (3584, 2), CLASS (4096, 4),
  CLASS (5120, 5), CLASS (6144, 3), CLASS (7168, 4), CLASS (8192, 4),
  CLASS (10240, 5), CLASS (12288, 3), CLASS (14336, 7), CLASS (16384, 4),
  CLASS (20480, 5), CLASS (24576, 6), CLASS (28672, 7), CLASS (32768, 8),
};

/* Class of (size - 1) / 16, up to MM_FAST_MAX; as the distance of its bin from
   that of class 0.  */
#define BIN(class) ((class) * (uint16_t) sizeof (struct bin))
#define BINS_4(class) BIN (class), BIN (class), BIN (class), BIN (class)
static const uint16_t class_of_sixteenths[MM_FAST_MAX / 16] = {
  BIN (0), BIN (1), BIN (2), BIN (3), BIN (4), BIN (5), BIN (6), BIN (7),
  BIN (8), BIN (8), BIN (9), BIN (9), BIN (10), BIN (10), BIN (11), BIN (11),
  BINS_4 (12), BINS_4 (13), BINS_4 (14), BINS_4 (15),
  BINS_4 (16), BINS_4 (16), BINS_4 (17), BINS_4 (17),
  BINS_4 (18), BINS_4 (18), BINS_4 (19), BINS_4 (19)
};

/* The smallest class for SIZE bytes, at least 1, at ALIGN, a power of two from
   16 to a slice; MM_CLASSES if there is none.  The blocks of a class are
   aligned if its size is a multiple.  */
static unsigned
class_of (size_t size, size_t align)
{
  size = round_up (size, align);
  if (size > MM_SMALL_MAX)
    return MM_CLASSES;
  unsigned e = 63 - (unsigned) __builtin_clzll (size - 1);
  unsigned cl = size <= MM_FAST_MAX
                ? class_of_sixteenths[(size - 1) / 16] / sizeof (struct bin)
                : 20 + (e - 10) * 4 + (unsigned) ((size - 1) >> (e - 2) & 3);
  while (cl < MM_CLASSES && (class_table[cl].size & (align - 1)) != 0)
    cl++;
  return cl;
}

/* The number of the block that covers IN_PAGE bytes behind the page's start, in
   *I, which may be one too many.  Whether a block begins there.  IN_PAGE is
   inside the page.  */
static inline bool
class_index (const struct class *cl, size_t in_page, uint64_t *i)
{
  uint64_t product = cl->inverse * in_page;
  *i = product >> 32;
  return (uint32_t) product < cl->limit;
}

/* How many words of bits a page of class CL has.  */
static inline unsigned
class_words (unsigned cl)
{
  return (class_table[cl].count + 63u) / 64;
}

/* Word W's bits that stand for blocks.  */
static inline uint64_t
class_valid (unsigned cl, unsigned w)
{
  return w + 1 < class_words (cl)
           ? ~UINT64_C (0)
           : ~UINT64_C (0) >> (-class_table[cl].count & 63);
}

/* A bin is quick if its words have so many free blocks when it looks: an
   eighth, but 4 if the page has them.  */
static inline unsigned
class_fair (unsigned cl)
{
  unsigned n = class_table[cl].count < 64 ? class_table[cl].count : 64;
  return n >= 32 ? n / 8 : n >= 16 ? 4 : n / 4;
}

/* A file made with other classes is refused.  */
static uint32_t
class_sum (void)
{
  uint32_t all[MM_CLASSES][3];
  for (unsigned cl = 0; cl < MM_CLASSES; cl++)
    {
      all[cl][0] = class_table[cl].size;
      all[cl][1] = class_table[cl].slices;
      all[cl][2] = class_table[cl].count;
    }
  return (uint32_t) sum_bytes (all, sizeof all);
}


/* ---- 22. Operation records ---------------------------------------------- */

/* Owns: struct disk_op.
   Needs: no lock, but for ..._locked the heap lock.
   Crash: a record in use tells what the dead one was about:

       fresh, and the slot points to it    the call is done but for old
       fresh, and the slot does not        undo: fresh is nobody's
       old alone, and the slot points there    nothing has happened yet
       old alone, and the slot does not        old is nobody's
       from, and both point to moved           from is to be NULL
       from, and one does not                  nothing, or all, has happened

   Of a root that is being made the slot is its value, and points nowhere until
   it points to fresh, which is the root's then.

   What is nobody's is freed if it is live, so all of this can be repeated.
   That it may be another's block by then is kept from happening: a free small
   block that is on record is not handed out again (page_free_bits), nor is its
   page retired; where a block of whole slices changes hands under the heap
   lock, the next one to get the lock from a dead holder looks whether it did.
   Keeps: nothing by itself.
   Checked by: slot_calls, model_move, step, random.  */

/* The call is over.  */
static void
op_release (struct heap *h, struct disk_op *op)
{
  /* Release: as long as a move is on record, it may be half done.  */
  word_settle (&op->from, 0);
  word_put (&op->fresh, 0);
  word_put (&op->old, 0);
  /* Release: as long as a block is on record, the next holder of the lock must
     be told of it.  */
  word_settle (&op->locked, 0);
  /* Release: blocks on record have the slot with them; see slot_begin.  */
  word_settle (&op->slot, 0);
  /* The hint about the page comes after it.  */
  word_clear (&h->locks->ops_busy, UINT64_C (1) << (op - h->op));
  /* Seen by slot_begin and mmalloc_recover.  */
  word_publish (&op->owner, 0);
}

/* A record for a call that works on SLOT and block OLD; NULL: all are in
   use.  */
static struct disk_op *
op_begin (struct heap *h, const void *slot, const void *old)
{
  struct disk_op *op = NULL;
  uintptr_t i = ((uintptr_t) &thread >> 12) + h->entry, end = i + MM_OPS;
  for (; i < end && op == NULL; i++)
    {
      uint64_t none = 0;
      disk_u64 *owner = &h->op[i % MM_OPS].owner;
      /* Acquire: pairs with op_release.  */
      if (word_peek (owner) == 0 && word_claim (owner, &none, h->id))
        op = &h->op[i % MM_OPS];
    }
  if (op == NULL)
    return NULL;
  word_add (&op->turn, 1);
  word_put (&op->slot, off_file (h, slot));
  /* Release: without its slot the old block would be taken for nobody's, and
     freed.  */
  word_settle (&op->old, old != NULL ? off_file (h, old) : 0);
  /* Release: whoever sees a block change sees the record before.  */
  word_set (&h->locks->ops_busy, UINT64_C (1) << (op - h->op));
  return op;
}

/* Nobody's, so that anybody ends the call that OP is about: its thread cannot,
   for want of a lock.  */
static void
op_leave (struct disk_op *op)
{
  /* Seen by dead_bury_all.  */
  word_publish (&op->owner, MM_OP_LEFT);
}

/* The slot call of this thread, if there is one, is about to publish block
   FRESH or, with NULL, to free its old one; LOCKED: one of whole slices, under
   the heap lock.  */
static inline void
op_note (struct heap *h, const void *fresh, bool locked)
{
  struct disk_op *op = thread.op;
  if (MM_LIKELY (op == NULL))
    return;
  /* Release: the compiler must not move these behind the publication.  */
  word_settle (&op->locked, locked);
  if (fresh != NULL)
    word_settle (&op->fresh, off_file (h, fresh));
}

/* Before the lock is let go: the block has changed hands; FREED: it was the
   old one.  */
static inline void
op_noted (bool freed)
{
  if (MM_LIKELY (thread.op == NULL))
    return;
  if (freed)
    word_settle (&thread.op->old, 0);
  word_settle (&thread.op->locked, 0);
}

/* Whether record OP is of a root that is being made.  Needs: the heap lock.  */
static bool
op_makes_root (struct disk_op *op)
{
  return word_see (&op->owner) != 0 && word_see (&op->from) == MM_MAKES_ROOT;
}

/* Whether a root is being made whose value is at offset SLOT.  Needs: the heap
   lock.  */
static bool
op_makes_root_at (struct heap *h, uint64_t slot)
{
  for (unsigned i = 0; i < MM_OPS; i++)
    if (op_makes_root (&h->op[i]) && word_peek (&h->op[i].slot) == slot)
      return true;
  return false;
}

/* Whether the block at offset FRESH becomes a root that is being made.  Needs:
   the heap lock.  */
static bool
op_makes_block (struct heap *h, uint64_t fresh)
{
  for (unsigned i = 0; i < MM_OPS; i++)
    if (word_peek (&h->op[i].fresh) == fresh && fresh != 0
        && op_makes_root (&h->op[i]))
      return true;
  return false;
}

/* Whether record OP is of a root that this thread makes, or the thread that it
   is a fork of.  Needs: the heap lock.  */
static bool
op_is_ours (struct heap *h, struct disk_op *op)
{
  const struct making *m = &h->making[op - h->op];
  return op_makes_root (op) && thread.number != 0
         && word_peek (&m->by) == thread.number
         && m->turn == word_peek (&op->turn);
}

/* FREE, the free blocks of word W of the page at START, without those that are
   on record.  */
static MM_NOINLINE uint64_t
op_mask (struct heap *h, const char *start, uint32_t size, unsigned w,
         uint64_t free)
{
  uint64_t first = off_file (h, start) + (uint64_t) w * 64 * size;
  uint64_t busy = word_see (&h->locks->ops_busy);
  for (; busy != 0; busy &= busy - 1)
    {
      struct disk_op *op = &h->op[bit_lowest (busy) % MM_OPS];
      uint64_t block[2] = { word_peek (&op->fresh), word_peek (&op->old) };
      for (int i = 0; i < 2; i++)
        if (block[i] >= first && block[i] - first < UINT64_C (64) * size)
          free &= ~(UINT64_C (1) << ((block[i] - first) / size));
    }
  return free;
}


/* ---- 23. Runs ----------------------------------------------------------- */

/* Owns: the directory, the chunk indexes, the heads of free and taken runs.
   Needs: the heap lock, for ..._locked.
   Crash: a run whose head was not stored is free; index bits are rebuilt.
   Keeps: I1, I4.
   Checked by: check_see, check_chunk, check_directory.  */

/* N slices fewer are backed.  */
static void
run_less_backed_locked (struct heap *h, uint64_t n)
{
  MM_NEEDS (needs_heap_lock (h));
  disk_u64 *at = &h->locks->n_backed;
  uint64_t old = word_peek (at);
  word_put (at, old > n ? old - n : 0);
}

/* How many slice records of chunk C may be read; none if it is not PAGED.  */
static size_t
run_ready (struct heap *h, size_t c)
{
  uint64_t d = dir_get (h, c);
  /* Not behind the file's end, whatever the word says, nor are the records
     themselves.  */
  size_t n = size_min (dir_ready (d), slice_count_within (h, c, off_seen (h)));
  return dir_kind (d) == DIR_PAGED
             && MM_OFF_RECORDS + n * MM_RECORD <= n << MM_SLICE_SHIFT
           ? n : 0;
}

/* Whether slice NUMBER may be looked at; gives its record.  For numbers that
   come from the file.  */
static inline struct disk_slice *
run_record (struct heap *h, uint64_t number)
{
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  if (number == 0 || c >= h->n_chunks)
    return NULL;
  return s < run_ready (h, c) ? off_record (h, c, s) : NULL;
}

/* Whether N slices from slice NUMBER on are all inside their chunk, behind its
   metadata, and the file, and have records.  */
static inline bool
run_is_inside (struct heap *h, uint64_t number, size_t n)
{
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  size_t end = h->grid - h->file.base
               + ((number + n) << MM_SLICE_SHIFT);
  return s >= slice_first_data (h, c) && s + n <= MM_CHUNK_SLICES
         && s + n <= dir_ready (dir_get (h, c)) && end <= off_seen (h);
}

/* How many slices a used head covers, at least 1 and not past END; 0 if the
   head is no head, or behind END, which others may have moved.  */
static size_t
run_covers (uint64_t head, size_t s, size_t end)
{
  unsigned kind = head_kind (head), cl = head_class (head);
  if ((kind != HEAD_PAGE && kind != HEAD_LARGE && kind != HEAD_ROOTS)
      || s >= end)
    return 0;
  size_t n = kind == HEAD_LARGE ? head_slices (head)
             : kind == HEAD_PAGE && cl < MM_CLASSES ? class_table[cl].slices
             : 1;
  n = size_max (n, 1);
  return size_min (n, end - s);
}

/* The run that begins with slice S of chunk C, which ends at END: its *HEAD,
   and how many slices, 0: a free one.  For loops over all runs: what is no run
   is one slice.  */
static inline size_t
run_look (struct heap *h, size_t c, size_t s, size_t end, uint64_t *head)
{
  *head = head_see (off_record (h, c, s));
  return run_covers (*head, s, end);
}

/* How many chunks have ever been used, as far as they are mapped.  */
static size_t
run_chunks (struct heap *h)
{
  size_t len = off_seen (h), delta = h->grid - h->file.base;
  if (len <= delta)
    return 0;
  return size_min (round_up (len - delta, MM_CHUNK) / MM_CHUNK, h->n_chunks);
}

/* Whether chunk C is not the heap's to use, since the log is there, or was.  */
static bool
run_is_logs (struct heap *h, size_t c)
{
  return h->log != NULL && map_get (h->log->covered, c);
}

/* Whether chunk C is free: EMPTY, or the rest of a HUGE block whose head a
   kill kept from being stored or that was given back.  */
static bool
run_chunk_is_empty (struct heap *h, size_t c)
{
  uint64_t d = dir_get (h, c);
  if (run_is_logs (h, c))
    return false;
  if (dir_kind (d) != DIR_CONT)
    return dir_kind (d) == DIR_EMPTY;
  if (dir_distance (d) > c)
    return true;
  uint64_t first = dir_get (h, c - dir_distance (d));
  return dir_kind (first) != DIR_HUGE
         || dir_distance (d) * MM_CHUNK_SLICES
            >= dir_start (first) + dir_slices (first);
}

/* Chunk C's index, rebuilt from the heads if it is stale.  Continuations that
   a kill left without a page go.  */
static struct disk_index *
run_index_locked (struct heap *h, size_t c)
{
  MM_NEEDS (needs_heap_lock (h));
  struct disk_index *x = off_index (h, c);
  uint32_t epoch = word_peek (&h->locks->index_epoch);
  if (MM_LIKELY (x->epoch == epoch))
    return x;
  size_t end = slice_count (h, c), ready = run_ready (h, c), n;
  memset (x->free, 0, sizeof x->free);
  for (size_t s = slice_first_data (h, c); s < end; s += size_max (n, 1))
    {
      uint64_t head = s < ready ? head_peek (off_record (h, c, s)) : 0;
      n = run_covers (head, s, end);
      if (head_kind (head) == HEAD_CONT)
        head_set (off_record (h, c, s), 0);
      if (n == 0)
        map_put (x->free, s, 1, true);
    }
  x->epoch = epoch;
  return x;
}

/* Where N slices at absolute alignment ALIGN begin in the free run [START,
   STOP) of chunk C; 0: it is too short.  */
static inline size_t
run_fit (struct heap *h, size_t c, size_t start, size_t stop, size_t n,
         size_t align)
{
  uintptr_t at = (uintptr_t) off_slice (h, c, start);
  start += (round_up (at, align) - at) >> MM_SLICE_SHIFT;
  return start + n <= stop ? start : 0;
}

/* N free slices at absolute alignment ALIGN in chunk C before slice END, among
   those that WHICH says; 0: none, and then LONGEST gets an upper bound of the
   lengths there.  The shortest run is taken that has them, so that long ones
   stay; for many slices the first one, since none may be much shorter.  */
static size_t
run_search_in_locked (struct heap *h, size_t c, size_t n, size_t align,
                      enum map_free which, size_t end, size_t *longest)
{
  MM_NEEDS (needs_heap_lock (h));
  size_t best = 0, best_length = SIZE_MAX, most = 0;
  *longest = 0;
  if (end <= slice_first_data (h, c))
    return 0;
  struct disk_index *x = run_index_locked (h, c);
  size_t start = map_next_free (x, slice_first_data (h, c), end, which, true);
  size_t stop;
  for (; start < end; start = map_next_free (x, stop, end, which, true))
    {
      stop = map_next_free (x, start, end, which, false);
      size_t length = stop - start;
      most = size_max (length, most);
      if (length < n || length >= best_length)
        continue;
      size_t s = run_fit (h, c, start, stop, n, align);
      if (s != 0 && (length == n || n >= MM_FIRST_FIT))
        return s;
      if (s != 0)
        {
          best = s;
          best_length = length;
        }
    }
  *longest = most;
  return best;
}

/* Find a free, backed run; its number or 0.  Chunks that were searched in vain
   are passed over until something is freed there.  */
static uint32_t
run_search_locked (struct heap *h, size_t n, size_t align)
{
  MM_NEEDS (needs_heap_lock (h));
  size_t chunks = run_chunks (h);
  struct disk_locks *l = h->locks;
  uint32_t epoch = word_peek (&l->index_epoch);
  if (word_peek (&l->reach_epoch) != epoch)
    {
      for (size_t c = 0; c < chunks; c++)
        {
          uint64_t d = dir_get (h, c);
          if (dir_kind (d) == DIR_PAGED)
            dir_set (h, c, dir_paged (dir_ready (d), MM_CHUNK_SLICES));
        }
      word_put (&l->reach_epoch, epoch);
    }
  for (size_t c = 0; c < chunks; c++)
    {
      uint64_t d = dir_get (h, c);
      size_t longest;
      if (dir_kind (d) != DIR_PAGED || dir_reach (d) < n)
        continue;
      size_t s = run_search_in_locked (h, c, n, align, MAP_FREE_BACKED,
                                       run_ready (h, c), &longest);
      if (s != 0)
        return slice_number (c, s);
      if (align <= MM_SLICE)
        dir_set (h, c, dir_paged (dir_ready (d), longest));
    }
  return 0;
}

/* Take the free, backed run of N slices at NUMBER.  HEAD publishes it, last;
   a page's bits and continuations are made before.  */
static void
run_take_locked (struct heap *h, uint32_t number, size_t n, uint64_t head)
{
  MM_NEEDS (needs_heap_lock (h));
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  map_put (run_index_locked (h, c)->free, s, n, false);
  struct disk_slice *r = off_record (h, c, s);
  if (head_kind (head) == HEAD_PAGE)
    {
      /* Equal is free.  rem is not stored: a second free of a block that was
         here before may be under way, and must find what it expects or fail.
         */
      unsigned cl = head_class (head);
      word_put (&r->link, 0);
      if (word_peek (&r->foreign) != 0)
        word_put (&r->queue, 0);
      for (unsigned w = 0; w < class_words (cl); w++)
        word_put (&r->own[w], bit_rem (r, w) ^ ~class_valid (cl, w));
      for (size_t i = 1; i < n; i++)
        word_put (&off_record (h, c, s + i)->head, head_cont (i));
    }
  disk_u64 *taken = &h->locks->n_taken;
  word_put (taken, word_peek (taken) + n);
  if (head_kind (head) == HEAD_ROOTS && head_class (head) != ROOTS_LOCAL)
    {
      /* Root records go there from now on.  Before the head: killed between,
         the slice stays free.  */
      word_settle (&h->root->slab, (uint64_t) number << 32);
      mark_own (off_slice (h, c, s), MM_SLICE);
    }
  if (head_kind (head) == HEAD_LARGE)
    op_note (h, off_slice (h, c, s), true);
  head_set (r, head);
  op_noted (false);
}

/* Give the run back.  */
static void
run_give_locked (struct heap *h, uint32_t number, size_t n)
{
  MM_NEEDS (needs_heap_lock (h));
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  struct disk_slice *r = off_record (h, c, s);
  bool page = head_kind (head_peek (r)) == HEAD_PAGE;
  head_set (r, 0);
  for (size_t i = 1; page && i < n; i++)
    head_set (off_record (h, c, s + i), 0);
  map_put (run_index_locked (h, c)->free, s, n, true);
  dir_set (h, c, dir_paged (dir_ready (dir_get (h, c)), MM_CHUNK_SLICES));
}

/* N slices have become free at NUMBER, and may serve for the next block.  */
static void
run_note_given_locked (struct heap *h, uint32_t number, size_t n)
{
  MM_NEEDS (needs_heap_lock (h));
  /* A part of them that is known, too, would be the shorter place: blocks that
     come and go would wander off to slices that nobody has touched.  */
  for (unsigned i = 0; i < MM_GIVEN; i++)
    {
      struct given *known = &h->given[i];
      bool part = known->number - number < n;
      known->n &= (uint32_t) part - 1;
    }
  h->given[h->next_given] = (struct given){ number, (uint32_t) n };
  h->next_given = (h->next_given + 1) % MM_GIVEN;
}

/* N slices where large blocks were, free and backed; 0: none is known.  The
   shortest place of those that has them, without a search of the index.  */
static uint32_t
run_use_given_locked (struct heap *h, size_t n)
{
  MM_NEEDS (needs_heap_lock (h));
  /* How much longer than needed, modulo 2^32: those that are too short, none
     being a chunk long, come last.  */
  uint32_t least = UINT32_MAX - MM_CHUNK_SLICES;
  struct given *best = NULL;
  for (unsigned i = 0; i < MM_GIVEN; i++)
    {
      uint32_t more = h->given[i].n - (uint32_t) n;
      best = more < least ? &h->given[i] : best;
      least = more < least ? more : least;
    }
  if (best == NULL)
    return 0;
  uint32_t number = best->number;
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  bool fits = s + n <= run_ready (h, c)
              && map_next_free (run_index_locked (h, c), s, s + n,
                                MAP_FREE_BACKED, false) == s + n;
  best->number += fits ? (uint32_t) n : 0;
  best->n = fits ? least : 0;
  return fits ? number : 0;
}

/* Take a run of N slices out of the memory that is there, where ROOM, at least
   N, are free.  *NUMBER is its number, or 0.  */
static int
run_reuse (struct heap *h, size_t n, size_t room, size_t align, uint64_t head,
           uint32_t *number)
{
  *number = 0;
  if (!lock_heap (h))
    return ETIMEDOUT;
  if (head_kind (head) == HEAD_LARGE && align <= MM_SLICE)
    *number = run_use_given_locked (h, room);
  if (*number == 0)
    *number = run_search_locked (h, room, align);
  if (*number != 0)
    run_take_locked (h, *number, n, head);
  unlock_heap (h);
  return 0;
}


/* ---- 24. Growing -------------------------------------------------------- */

/* Owns: the length, backed bits, and the making of chunks.
   Needs: the grow lock, which keeps unbacked free slices and EMPTY chunks from
   changing.
   Crash: what was backed and not published is backed once more.
   Keeps: I3, I5, I6.
   Checked by: check_see, check_directory, growth_without_fallocate.  */

/* Core dumps have the heap up to LEN from now on, as far as the kernel can do
   that.  */
static void
grow_show (struct heap *h, size_t len)
{
  size_t from = word_peek (&h->dumped);
  size_t to = size_min (round_up (len, MM_CHUNK), off_end (h));
  to = round_up (to, process.system_page);
  if (h->file.fd >= 0 && from < to
      && space_advise ((char *) h->file.base + from, to - from, MADV_DODUMP)
         == 0)
    word_put (&h->dumped, to);
}

/* The file is in use up to END from now on.  Needs: the grow lock.  */
static void
grow_reach (struct heap *h, const char *end)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t len = off_file (h, end);
  if (len > off_length (h))
    /* Seen by off_length.  */
    word_publish (&h->root->length, len);
  off_know (h, len);
  grow_show (h, len);
}

/* Slice records of chunk C up to READY are about to be read: give the pages
   behind OLD a backing and zero them, since a HUGE block may have been there,
   but for the first chunk, where none can be.  Needs: the grow lock.  */
static int
grow_records (struct heap *h, size_t c, size_t old, size_t ready)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t from = round_up (old * MM_RECORD, MM_PAGE);
  size_t to = round_up (ready * MM_RECORD, MM_PAGE);
  char *p = (char *) off_record (h, c, 0) + from;
  if (from >= to)
    return 0;
  int err = back_range (h, p, to - from);
  mark_own (p, to - from);
  if (err == 0 && c > 0)
    memset (p, 0, to - from);
  return err;
}

/* Make EMPTY chunk C a PAGED one without free slices yet.  Needs: the grow
   lock.  */
static int
grow_make_chunk (struct heap *h, size_t c)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t ready = round_up (slice_first_data (h, c), MM_RECORDS_STEP);
  ready = size_min (ready, slice_count (h, c));
  struct disk_index *x = off_index (h, c);
  int err = back_range (h, (char *) x, MM_PAGE);
  mark_own (x, MM_PAGE);
  if (err == 0)
    err = grow_records (h, c, 0, ready);
  if (err != 0)
    return err;
  memset (x, 0, MM_PAGE);
  x->epoch = word_peek (&h->locks->index_epoch) - 1;
  grow_reach (h, (char *) off_record (h, c, 0)
                 + round_up (ready * MM_RECORD, MM_PAGE));
  if (!lock_heap (h))
    return ETIMEDOUT;
  dir_set (h, c, dir_paged (ready, 0));
  unlock_heap (h);
  return 0;
}

/* Back the slices from S up to END of chunk C that are not, as are all from
   READY on.  Those that are may be somebody's block by now: where zeros are
   written instead of asking the file system for room, they must not be
   touched.  Needs: the grow lock.  */
static int
grow_back_bare (struct heap *h, size_t c, size_t s, size_t end, size_t ready)
{
  MM_NEEDS (needs_grow_lock (h));
  struct disk_index *x = off_index (h, c);
  int err = 0;
  while (s < end && err == 0)
    {
      size_t stop = s;
      while (stop < end && (stop >= ready || !map_get (x->backed, stop)))
        stop++;
      if (stop > s)
        err = back_range (h, off_slice (h, c, s), (stop - s) << MM_SLICE_SHIFT);
      s = stop + 1;
    }
  return err;
}

/* Back N slices from NUMBER on and as many unbacked free ones behind them as
   make a step; then publish.  Needs: the grow lock.  */
static int
grow_back (struct heap *h, uint32_t number, size_t n, size_t limit)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  struct disk_locks *l = h->locks;
  size_t step = size_max (word_peek (&l->n_backed) * MM_SLICE / 8,
                          h->file.kind->grow_least);
  size_t want = size_max (size_min (step, MM_GROW_MAX) / MM_SLICE, n);
  size_t end = slice_count_within (h, c, limit);

  if (!lock_heap (h))
    return ETIMEDOUT;
  struct disk_index *x = run_index_locked (h, c);
  size_t k = map_next_free (x, s + n, size_min (s + want, end), MAP_FREE_BARE,
                            false) - s;
  uint64_t d = dir_get (h, c);
  size_t old = run_ready (h, c), ready;
  unlock_heap (h);

  for (;; k = n)
    {
      ready = round_up (s + k, MM_RECORDS_STEP);
      ready = size_min (ready, slice_count (h, c));
      ready = size_max (ready, dir_ready (d));
      int err = grow_records (h, c, dir_ready (d), ready);
      if (err == 0)
        err = grow_back_bare (h, c, s, s + k, old);
      if (err == 0)
        break;
      if (k == n)
        return err;
    }

  grow_reach (h, off_slice (h, c, s + k));
  if (!lock_heap (h))
    return ETIMEDOUT;
  /* Before the bits: a bit behind the ready records would outlive a cut of the
     file.  */
  dir_set (h, c, dir_paged (ready, MM_CHUNK_SLICES));
  x = run_index_locked (h, c);
  word_add (&l->n_backed, map_put (x->backed, s, k, true));
  unlock_heap (h);
  return 0;
}

/* Grow by N slices, and more that make a step, from unbacked space, whole
   chunks included: they are free and backed then, but others may take them.
   A chunk is made if need be.  Needs: the grow lock, LIMIT from proc_limit.  */
static int
grow_by (struct heap *h, size_t n, size_t align, size_t limit)
{
  MM_NEEDS (needs_grow_lock (h));
  for (size_t c = 0; c < h->n_chunks; c++)
    {
      size_t longest, end = slice_count_within (h, c, limit);
      if (end <= slice_first_data (h, c))
        break;
      if (run_chunk_is_empty (h, c))
        {
          /* It stays PAGED; a call that fails changes nothing.  */
          if (run_fit (h, c, slice_first_data (h, c), end, n, align) == 0)
            continue;
          int err = grow_make_chunk (h, c);
          if (err != 0)
            return err;
        }
      if (dir_kind (dir_get (h, c)) != DIR_PAGED)
        continue;
      if (!lock_heap (h))
        return ETIMEDOUT;
      size_t s = run_search_in_locked (h, c, n, align, MAP_FREE, end,
                                       &longest);
      unlock_heap (h);
      if (s != 0)
        return grow_back (h, slice_number (c, s), n, limit);
    }
  return ENOSPC;
}

/* Take a run, growing the heap if need be.  */
static int
grow_run (struct heap *h, size_t n, size_t align, uint64_t head,
          uint32_t *number)
{
  if (n > MM_CHUNK_SLICES)
    return ENOMEM;
  if (!lock_grow (h))
    return ETIMEDOUT;
  size_t limit = proc_limit (h);
  int err;
  /* Others may have grown the heap while we waited; and a backed part of the
     run may be taken while we back the rest: then again.  */
  while ((err = run_reuse (h, n, n, align, head, number)) == 0 && *number == 0
         && (err = grow_by (h, n, align, limit)) == 0)
    continue;
  unlock_grow (h);
  return err;
}

/* LEN bytes of H are mapped by now, for others to know how far it can grow.  */
static void
grow_map_is (struct heap *h, size_t len)
{
  word_put (&h->file.mapped, len);
  if (h->file.kind->shared && !word_peek (&h->forked))
    word_put (&off_proc (h, h->entry)->mapped, len);
}

/* Whether heap H lies before BASE and reaches there with what it has mapped but
   does not use: then that is unmapped.  Growth ends there, in all processes
   that have the heap, but for readers, who are no limit, until the neighbour
   goes.  */
static bool
grow_give_way (struct heap *h, uintptr_t base)
{
  struct file *f = &h->file;
  size_t cut = base - f->base, mapped = word_peek (&f->mapped);
  if (f->fd < 0 || base <= f->base || cut >= mapped)
    return false;
  /* A fork child that has not joined grows nothing.  */
  bool grows = f->kind->changes && !word_peek (&h->forked);
  if (grows && !lock_grow (h))
    return false;
  bool done = cut >= size_max (off_length (h), word_peek (&h->seen));
  if (done)
    grow_map_is (h, cut);
  if (grows)
    unlock_grow (h);
  if (done)
    space_unmap ((char *) base, mapped - cut);
  return done;
}

/* Let the one of the process's own heaps that reaches to BASE only with room to
   grow give that up: whether there was one.  Needs: the open lock.  */
static bool
grow_make_room (uintptr_t base)
{
  MM_NEEDS (needs.opening);
  bool done = false;
  for (struct file *f = process.files; f != NULL && !done; f = f->next)
    done = f->kind->heap && grow_give_way ((struct heap *) f, base);
  return done;
}


/* ---- 25. Pages ---------------------------------------------------------- */

/* Owns: own, rem and link of the records, heads of pages, the streams' lists.
   Needs: as in the essay's list of states.
   Crash: before the store that publishes, nothing happened.  Lists lose hints
   at most.
   Keeps: I1, I2, I7.
   Checked by: check_page, model_protocol.  */

#define LINK_END UINT32_MAX

/* Whether a page of class CL could begin with slice NUMBER.  */
static inline bool
page_fits (struct heap *h, uint32_t number, unsigned cl)
{
  return run_is_inside (h, number, class_table[cl].slices);
}

/* The page of NUMBER if it is one, with its head; else NULL.  For numbers from
   lists, which may be old or damaged.  */
static struct disk_slice *
page_of (struct heap *h, uint32_t number, uint64_t *head)
{
  struct disk_slice *r = run_record (h, number);
  if (r == NULL)
    return NULL;
  *head = head_see (r);
  return head_kind (*head) == HEAD_PAGE && head_class (*head) < MM_CLASSES
         && page_fits (h, number, head_class (*head)) ? r : NULL;
}

/* Where the block 0 of the page, or a large block, at NUMBER lies.  */
static inline char *
page_start (struct heap *h, uint32_t number)
{
  return (char *) h->grid + ((size_t) number << MM_SLICE_SHIFT);
}

/* Word W's live blocks.  */
static inline uint64_t
page_live_bits (struct disk_slice *r, unsigned cl, unsigned w)
{
  /* Acquire: pairs with the release of those who freed the blocks, so that
     what they last did with them is over.  */
  uint64_t rem = bit_rem (r, w);
  uint64_t own = word_see (&r->own[w]);
  return (own ^ rem) & class_valid (cl, w);
}

/* Whether block I of page R is live.  */
static inline bool
page_is_live (struct disk_slice *r, unsigned cl, uint64_t i)
{
  return page_live_bits (r, cl, (unsigned) (i / 64)) >> (i % 64) & 1;
}

/* Word W's blocks that may be handed out, of page R, which begins at START.  */
static uint64_t
page_free_bits (struct heap *h, struct disk_slice *r, const char *start,
                unsigned cl, unsigned w)
{
  uint64_t free = ~page_live_bits (r, cl, w) & class_valid (cl, w);
  if (MM_UNLIKELY (word_peek (&h->locks->ops_busy) != 0))
    free = op_mask (h, start, class_table[cl].size, w, free);
  return free;
}

/* How many blocks of the page are neither live nor on record.  */
static unsigned
page_count_free (struct heap *h, struct disk_slice *r, uint32_t number,
                 unsigned cl)
{
  unsigned n = 0;
  for (unsigned w = 0; w < class_words (cl); w++)
    n += bit_count (page_free_bits (h, r, page_start (h, number), cl, w));
  return n;
}

/* Append page R to the stream's partial pages of its class, unless it is on
   that list.  Needs: ownership of the stream.  */
static void
list_push (struct heap *h, struct disk_stream *st, unsigned cl,
           struct disk_slice *r, uint32_t number)
{
  if (word_peek (&r->link) != 0)
    return;
  word_put (&r->link, LINK_END);
  uint32_t last = word_peek (&st->last[cl]);
  struct disk_slice *before = last != 0 ? run_record (h, last) : NULL;
  if (before != NULL && word_peek (&st->first[cl]) != 0)
    word_put (&before->link, number);
  else
    word_put (&st->first[cl], number);
  word_put (&st->last[cl], number);
}

/* Unlink the first page: its record, or NULL, and its number.  It may be
   anything by now.  */
static inline struct disk_slice *
list_pop (struct heap *h, struct disk_stream *st, unsigned cl,
          uint32_t *number)
{
  *number = word_peek (&st->first[cl]);
  struct disk_slice *r = run_record (h, *number);
  uint32_t next = 0;
  if (r != NULL)
    {
      next = word_peek (&r->link);
      word_put (&r->link, 0);
    }
  if (next == LINK_END)
    next = 0;
  word_put (&st->first[cl], next);
  if (next == 0)
    word_put (&st->last[cl], 0);
  return r;
}

/* The owner freed into a full word of page R, or learned that others did: put
   it on the list, unless it is in a bin or something else by now.  Needs:
   ownership of the stream.  */
static void
page_relist (struct heap *h, uint32_t stream, struct disk_slice *r,
             uint32_t number)
{
  uint64_t head = head_peek (r);
  if (head_kind (head) == HEAD_PAGE && head_owner (head) == stream
      && head_state (head) != HEAD_ACTIVE && head_class (head) < MM_CLASSES)
    list_push (h, off_stream (h, stream), head_class (head), r, number);
}

/* Note that a foreign free made room in a full word of page R of stream
   STREAM.  Any process may call it, and the page may be something else by
   now.  */
static void
queue_push (struct heap *h, uint32_t stream, struct disk_slice *r,
            uint32_t number)
{
  uint32_t none = 0;
  if (stream == 0 || stream > off_streams_ready (h)
      || word_peek (&r->queue) != 0
      || !word_claim (&r->queue, &none, LINK_END))
    return;
  struct disk_stream *st = off_stream (h, stream);
  uint64_t first = word_peek (&st->queue);
  do
    word_put (&r->queue, first != 0 ? (uint32_t) first : LINK_END);
  while (!word_claim (&st->queue, &first, number));
}

/* Move what others freed into from the stream's queue to its lists.  True if
   there was something.  Needs: ownership of the stream.  */
static bool
queue_drain (struct heap *h, uint32_t stream)
{
  struct disk_stream *st = off_stream (h, stream);
  if (word_peek (&st->queue) == 0)
    return false;
  /* Acquire: pairs with queue_push.  */
  uint32_t number = (uint32_t) word_swap (&st->queue, 0);
  size_t bound = h->n_chunks * MM_CHUNK_SLICES;
  while (number != 0 && number != LINK_END && bound-- > 0)
    {
      struct disk_slice *r = run_record (h, number);
      if (r == NULL)
        break;
      uint32_t next = word_swap (&r->queue, 0);
      page_relist (h, stream, r, number);
      number = next;
    }
  return true;
}

/* Free block I of page R, owned by the calling thread's stream.  False if it
   is free; else *FULL: all blocks of its word were live.  */
static inline bool
page_free_own (struct disk_slice *r, uint64_t i, bool *full)
{
  uint64_t own = word_peek (&r->own[i / 64]);
  uint64_t live = own;
  if (MM_UNLIKELY (word_peek (&r->foreign) != 0))
    live ^= word_peek (&r->rem[i / 64]);
  *full = live == UINT64_MAX;
  if (MM_UNLIKELY ((live >> (i % 64) & 1) == 0))
    return false;
  /* Seen by page_live_bits, of whoever retires the page.  */
  word_publish (&r->own[i / 64], own ^ UINT64_C (1) << (i % 64));
  return true;
}

/* The same for a block of somebody else's page.  */
static bool
page_free_remote (struct disk_slice *r, uint64_t i, bool *full)
{
  /* Relaxed: the pointer came here in an ordered way, and own with it.  */
  uint64_t own = word_peek (&r->own[i / 64]);
  uint64_t bit = UINT64_C (1) << (i % 64);
  *full = false;
  if (word_peek (&r->foreign) == 0)
    {
      /* A block that is free already must not cost the page its mark.  */
      if ((own & bit) == 0)
        return false;
      word_put (&r->foreign, 1);
    }
  /* If the block is free, this changes nothing.  Release: pairs with
     bit_rem.  */
  uint64_t old = own & bit ? word_set (&r->rem[i / 64], bit)
                           : word_clear (&r->rem[i / 64], bit);
  if (((old ^ own) & bit) == 0)
    return false;
  /* Once more: the owner may have filled the word meanwhile, and has dropped
     the page then.  In the moment before it sees our change and we see its the
     hint is lost.  */
  own = word_peek (&r->own[i / 64]);
  *full = (old ^ own) == UINT64_MAX;
  return true;
}

/* The head of a page of class CL that STREAM owns.  */
static inline uint64_t
page_head (unsigned state, uint32_t stream, unsigned cl)
{
  return head_make (HEAD_PAGE, state, stream, cl, class_table[cl].slices);
}

/* Page R, if it is still STREAM's and in no bin: ACTIVE for stream TO if it was
   HELD, THIN for TO if it was that.  Which of the two it was; HEAD_ACTIVE:
   none.  The one may become the other meanwhile.  */
static inline unsigned
page_take (struct disk_slice *r, uint32_t stream, unsigned cl, uint32_t to)
{
  uint64_t held = page_head (HEAD_HELD, stream, cl), head = held;
  do
    {
      /* Acquire: pairs with whoever held it.  */
      if (word_claim (&r->head, &head, page_head (HEAD_ACTIVE, to, cl)))
        return HEAD_HELD;
      if (head == page_head (HEAD_THIN, stream, cl)
          && word_claim (&r->head, &head, page_head (HEAD_THIN, to, cl)))
        return HEAD_THIN;
    }
  while (head == held);
  return HEAD_ACTIVE;
}

/* Take the next page of the list of STREAM that still belongs there, for stream
   TO; its number or 0.  It is ACTIVE then, or *THIN: it has to be woken.
   Needs: ownership of the stream.  */
static inline uint32_t
page_take_next (struct heap *h, struct disk_stream *st, uint32_t stream,
                unsigned cl, uint32_t to, bool *thin)
{
  while (word_peek (&st->first[cl]) != 0)
    {
      uint32_t number;
      struct disk_slice *r = list_pop (h, st, cl, &number);
      unsigned was = r != NULL && page_fits (h, number, cl)
                       ? page_take (r, stream, cl, to) : HEAD_ACTIVE;
      *thin = was == HEAD_THIN;
      if (was != HEAD_ACTIVE)
        return number;
    }
  return 0;
}

/* The bits of holes that a page of class CL has.  */
static inline uint64_t
page_all_holes (unsigned cl)
{
  return (UINT64_C (1) << class_table[cl].slices * (MM_SLICE / MM_PAGE)) - 1;
}

/* The bits of holes that block I of a page of class CL lies over, in whole
   UNITs.  */
static inline uint64_t
page_span (unsigned cl, size_t i, size_t unit)
{
  size_t at = i * class_table[cl].size;
  size_t from = at / unit * (unit / MM_PAGE);
  size_t to = round_up (at + class_table[cl].size, unit) / MM_PAGE;
  return ~UINT64_C (0) >> (64 - (to - from)) << from;
}

/* Which bits of holes stand for what page R of class CL, which begins at START,
   could do without, in whole UNITs: they lie in free blocks only, or behind the
   last one.  */
static uint64_t
page_free_pages (struct heap *h, struct disk_slice *r, const char *start,
                 unsigned cl, size_t unit)
{
  uint64_t all = page_all_holes (cl), used = unit > MM_SLICE ? all : 0;
  for (unsigned w = 0; w < class_words (cl) && used != all; w++)
    {
      uint64_t keep = class_valid (cl, w)
                      & ~page_free_bits (h, r, start, cl, w);
      for (; keep != 0; keep &= keep - 1)
        used |= page_span (cl, w * 64 + bit_lowest (keep), unit);
    }
  return all & ~used;
}

/* Put disk blocks behind the holes of THIN page NUMBER, R, of class CL again,
   and call its slices backed.  Only free blocks are touched.  Needs: the grow
   lock.  */
static int
page_back_holes (struct heap *h, struct disk_slice *r, uint32_t number,
                 unsigned cl)
{
  MM_NEEDS (needs_grow_lock (h));
  uint64_t left = word_peek (&r->holes) & page_all_holes (cl), run;
  unsigned all = bit_count (left);
  size_t at, n;
  while ((run = bit_take_run (&left, &at, &n)) != 0)
    {
      int err = back_range (h, page_start (h, number) + at * MM_PAGE,
                            n * MM_PAGE);
      if (err != 0)
        return err;
      word_settle (&r->holes, word_peek (&r->holes) & ~run);
    }
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  if (!lock_heap (h))
    return ETIMEDOUT;
  /* They are not if somebody died who wanted to retire the page.  */
  map_put (run_index_locked (h, c)->backed, s, class_table[cl].slices, true);
  word_add (&h->locks->n_backed, all / (MM_SLICE / MM_PAGE));
  unlock_heap (h);
  return 0;
}

/* Page NUMBER, which STREAM took from its list, was THIN: make it ACTIVE.
   False: there is no room for what it lacks, or it has become something else.
   Needs: ownership of the stream.  */
static MM_NOINLINE bool
page_wake (struct heap *h, uint32_t number, uint32_t stream, unsigned cl)
{
  struct disk_slice *r = off_numbered (h, number);
  int saved = errno, err = 0;
  if (!lock_grow (h))
    return false;
  /* HELD: there was nothing to give back.  */
  uint64_t head = head_see (r);
  if (head == page_head (HEAD_THIN, stream, cl))
    err = page_back_holes (h, r, number, cl);
  else if (head != page_head (HEAD_HELD, stream, cl))
    err = ENOENT;
  bool done = err == 0
              && word_claim (&r->head, &head,
                             page_head (HEAD_ACTIVE, stream, cl));
  unlock_grow (h);
  errno = saved;
  return done;
}

/* Take the next page of the list of STREAM, ACTIVE; its number or 0.  Where one
   that is THIN finds no room, no other one is tried: a sweep lists them again.
   Needs: ownership of the stream.  */
static uint32_t
page_take_back (struct heap *h, struct disk_stream *st, uint32_t stream,
                unsigned cl)
{
  uint32_t number;
  bool thin, full = false;
  while ((number = page_take_next (h, st, stream, cl, stream, &thin)) != 0)
    {
      if (MM_LIKELY (!thin))
        return number;
      if (!full && page_wake (h, number, stream, cl))
        return number;
      full = true;
    }
  return 0;
}

/* Page NUMBER, ACTIVE, leaves the bin.  The caller lists it if it has a free
   block, and says what is active now.  */
static inline struct disk_slice *
page_drop (struct heap *h, uint32_t stream, unsigned cl, uint32_t number)
{
  struct disk_slice *r = off_numbered (h, number);
  head_set (r, page_head (HEAD_HELD, stream, cl));
  return r;
}

/* Whether all slices of page R, of class CL, are its own.  */
static bool
page_is_whole (struct heap *h, struct disk_slice *r, uint32_t number,
               unsigned cl)
{
  size_t i = 1, n = page_fits (h, number, cl) ? class_table[cl].slices : 0;
  while (i < n && head_peek (&r[i]) == head_cont (i))
    i++;
  return i == n;
}

/* Retire the HELD page with head HEAD if it is empty.  True if it was.  A
   damaged head must not give away what is not the page's.  */
static bool
page_retire_locked (struct heap *h, struct disk_slice *r, uint32_t number,
                    uint64_t head)
{
  MM_NEEDS (needs_heap_lock (h));
  unsigned cl = head_class (head), all = class_table[cl].count;
  if (!page_is_whole (h, r, number, cl)
      || page_count_free (h, r, number, cl) < all)
    return false;
  word_put (&h->locks->claim, number);
  uint64_t claimed = head_in_state (head, HEAD_CLAIMED);
  bool empty = false;
  if (word_claim (&r->head, &head, claimed))
    {
      empty = page_count_free (h, r, number, cl) == all;
      if (empty)
        run_give_locked (h, number, class_table[cl].slices);
      else
        head_set (r, head);
    }
  word_settle (&h->locks->claim, 0);
  return empty;
}


/* ---- 26. Large blocks --------------------------------------------------- */

/* Owns: heads of kind LARGE, directory words of kind HUGE and CONT.
   Needs: no lock, but for ..._locked.
   Crash: one store of the head or of the first directory word gives and takes a
   block.  A HUGE block that was freed by somebody who died before the memory
   went back leaves disk blocks in EMPTY chunks, which trim returns.
   Keeps: I3, I5.
   Checked by: check_see, check_directory.  */

/* Chunks a HUGE block of N slices from slice START takes.  */
static size_t
huge_chunks (size_t start, size_t n)
{
  return (start + n + MM_CHUNK_SLICES - 1) / MM_CHUNK_SLICES;
}

/* Whether disk blocks may go when nobody needs what is in them.  A file that
   has all of its length may have been made so, with blocks to stay; there only
   a trim gives any back.  */
static bool
huge_may_drop (struct heap *h)
{
  return h->file.kind->backing != BY_DISK || off_length (h) < h->capacity;
}

/* As back_drop, of what a HUGE block leaves.  */
static void
huge_drop (struct heap *h, char *p, size_t len)
{
  if (huge_may_drop (h))
    back_drop (h, p, len);
}

/* The slice where N of them at ALIGN can begin in chunks of their own; 0 if
   there is no place.  Needs: the grow lock.  */
static uint32_t
huge_find (struct heap *h, size_t n, size_t align, size_t limit)
{
  MM_NEEDS (needs_grow_lock (h));
  for (size_t c = 1; c < h->n_chunks; c++)
    {
      uintptr_t at = (uintptr_t) off_chunk (h, c);
      size_t s = (round_up (at, align) - at) >> MM_SLICE_SHIFT;
      if (s >= MM_CHUNK_SLICES)
        continue;
      size_t chunks = huge_chunks (s, n);
      if (c + chunks > h->n_chunks
          || off_file (h, off_slice (h, c, s + n)) > limit)
        break;
      size_t i = 0;
      while (i < chunks && run_chunk_is_empty (h, c + i))
        i++;
      if (i == chunks)
        return slice_number (c, s);
      c += i;
    }
  return 0;
}

/* A block of N slices in chunks of its own.  ZERO: its contents are zero.  */
static int
huge_take (struct heap *h, size_t n, size_t align, bool zero, void **p)
{
  if (!lock_grow (h))
    return ETIMEDOUT;
  uint32_t number = huge_find (h, n, align, proc_limit (h));
  size_t c = number / MM_CHUNK_SLICES, start = number % MM_CHUNK_SLICES;
  char *block = page_start (h, number);
  size_t len = n << MM_SLICE_SHIFT;
  bool is_zero = number == 0 || !zero
                 || (huge_may_drop (h) && back_zero (h, block, len));
  int err = number == 0 ? ENOSPC : back_range (h, block, len);
  if (err == 0 && !is_zero)
    {
      mark_own (block, len);
      memset (block, 0, len);
    }
  if (err == 0)
    {
      grow_reach (h, block + len);
      err = lock_heap (h) ? 0 : ETIMEDOUT;
    }
  if (err == 0)
    {
      for (size_t i = huge_chunks (start, n) - 1; i > 0; i--)
        dir_set (h, c + i, dir_cont (i));
      op_note (h, block, true);
      dir_set (h, c, dir_huge (start, n));
      op_noted (false);
      unlock_heap (h);
      *p = block;
    }
  else if (number != 0)
    huge_drop (h, block, len);
  unlock_grow (h);
  return err;
}

/* Free the block that begins at slice NUMBER; how many slices it had, 0: there
   is none.  */
static size_t
huge_give_locked (struct heap *h, uint32_t number)
{
  MM_NEEDS (needs_heap_lock (h));
  size_t c = number / MM_CHUNK_SLICES, start = number % MM_CHUNK_SLICES;
  uint64_t d = dir_get (h, c);
  if (dir_kind (d) != DIR_HUGE || dir_start (d) != start)
    return 0;
  dir_set (h, c, 0);
  size_t chunks = huge_chunks (start, dir_slices (d));
  for (size_t i = 1; i < chunks && c + i < h->n_chunks; i++)
    dir_set (h, c + i, 0);
  /* In the part of the file that is in use, as it was found.  */
  size_t at = off_file (h, off_slice (h, c, start));
  size_t seen = (size_max (off_seen (h), at) - at) >> MM_SLICE_SHIFT;
  return size_min (dir_slices (d), seen);
}

/* Make the block at NUMBER, N slices long, WANT slices long in place.  */
static bool
huge_resize (struct heap *h, uint32_t number, size_t n, size_t want)
{
  size_t c = number / MM_CHUNK_SLICES, start = number % MM_CHUNK_SLICES;
  size_t has = huge_chunks (start, n), takes = huge_chunks (start, want);
  char *old_end = off_slice (h, c, start + n);
  char *end = off_slice (h, c, start + want);
  if (!lock_grow (h))
    return false;
  size_t limit = proc_limit (h), i = has;
  while (i < takes && c + i < h->n_chunks && run_chunk_is_empty (h, c + i))
    i++;
  bool done = end <= old_end
              || (i >= takes && off_file (h, end) <= limit
                  && back_range (h, old_end, (size_t) (end - old_end)) == 0);
  if (done)
    grow_reach (h, end);
  if (done && !lock_heap (h))
    {
      done = false;
      if (end > old_end)
        huge_drop (h, old_end, (size_t) (end - old_end));
    }
  if (done)
    {
      for (i = takes - 1; i >= has; i--)
        dir_set (h, c + i, dir_cont (i));
      dir_set (h, c, dir_huge (start, want));
      for (i = takes; i < has; i++)
        dir_set (h, c + i, 0);
      unlock_heap (h);
      if (end < old_end)
        huge_drop (h, end, (size_t) (old_end - end));
    }
  unlock_grow (h);
  return done;
}

/* Free the LARGE block at NUMBER.  False if there is none.  */
static bool
large_give_locked (struct heap *h, uint32_t number)
{
  MM_NEEDS (needs_heap_lock (h));
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  uint64_t head = head_peek (off_record (h, c, s));
  size_t n = run_covers (head, s, run_ready (h, c));
  if (head_kind (head) != HEAD_LARGE || n == 0)
    return false;
  run_give_locked (h, number, n);
  run_note_given_locked (h, number, n);
  return true;
}

/* N free slices from S of chunk C on were seen to have no backing: give them
   one, if they are still like that.  */
static int
large_back (struct heap *h, size_t c, size_t s, size_t n)
{
  if (!lock_grow (h))
    return ETIMEDOUT;
  size_t limit = proc_limit (h), i = 0;
  int err = s + n <= slice_count_within (h, c, limit) ? 0 : ENOSPC;
  if (err == 0 && !lock_heap (h))
    err = ETIMEDOUT;
  if (err == 0)
    {
      i = map_next_free (run_index_locked (h, c), s, s + n, MAP_FREE_BARE,
                         false);
      unlock_heap (h);
    }
  if (err == 0 && i == s + n)
    err = grow_back (h, slice_number (c, s), n, limit);
  unlock_grow (h);
  return err;
}

/* Let the LARGE block of N slices at S of chunk C take the slices behind it,
   to be WANT long.  True if it has them; else *BARE tells how many slices,
   from *FROM on, would have to be backed first, 0: it cannot.  */
static bool
large_extend_locked (struct heap *h, size_t c, size_t s, size_t n, size_t want,
                     size_t *from, size_t *bare)
{
  MM_NEEDS (needs_heap_lock (h));
  struct disk_index *x = run_index_locked (h, c);
  /* Not behind the file's end, whatever the index says.  */
  size_t end = s + want, ready = run_ready (h, c);
  size_t i = map_next_free (x, s + n, size_min (end, ready), MAP_FREE_BACKED,
                            false);
  if (i == end)
    {
      map_put (x->free, s + n, want - n, false);
      head_set (off_record (h, c, s), head_make (HEAD_LARGE, 0, 0, 0, want));
      return true;
    }
  *from = i;
  *bare = map_next_free (x, i, end, MAP_FREE, false) == end
          ? map_next_free (x, i, end, MAP_FREE_BARE, false) - i : 0;
  return false;
}

/* Make the LARGE block at NUMBER WANT slices long in place.  */
static bool
large_resize (struct heap *h, uint32_t number, size_t want)
{
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  struct disk_slice *r = off_record (h, c, s);
  for (bool done = false; ; )
    {
      size_t from = 0, bare = 0;
      if (!lock_heap (h))
        return false;
      uint64_t head = head_peek (r);
      size_t n = run_covers (head, s, run_ready (h, c));
      if (head_kind (head) == HEAD_LARGE && want <= n)
        {
          head_set (r, head_make (HEAD_LARGE, 0, 0, 0, want));
          if (want < n)
            run_give_locked (h, slice_number (c, s + want), n - want);
          done = true;
        }
      else if (head_kind (head) == HEAD_LARGE && n > 0 && want <= MM_RUN_MAX
               && s + want <= slice_count (h, c))
        done = large_extend_locked (h, c, s, n, want, &from, &bare);
      unlock_heap (h);
      if (done || bare == 0 || large_back (h, c, from, bare) != 0)
        return done;
    }
}


/* ---- 27. Places --------------------------------------------------------- */

/* Owns: the way from a pointer to its block.
   Needs: nothing; what is found may change the next moment, unless the block is
   the caller's.
   Crash: nothing changes.
   Keeps: nothing; trusts no number of the file further than the length.
   Checked by: misuse_bad_pointer, damage_stays_inside.  */

/* Where a pointer leads.  */
struct place
{
  enum { PLACE_SMALL, PLACE_LARGE, PLACE_HUGE } kind;
  struct disk_slice *r;
  uint64_t head;
  uint32_t number;
  uint64_t i;           /* the block in its page */
  char *start;
  size_t usable;
};

static const char place_foreign[] = "not a block of this heap";
static const char place_inside[] = "points into a block, not at its start";
static const char place_free[] = "the block is already free";

/* What is said of a pointer to slice S of chunk C, where no block is: if a
   block can have been there it was freed, and its memory given back since.  */
static const char *
place_without_block (struct heap *h, size_t c, size_t s)
{
  return s < slice_count (h, c) && (c > 0 || s >= slice_first_data (h, c))
           ? place_free : place_foreign;
}

/* P lies in chunk C, which belongs to a HUGE block or to none: as place_find.
   */
static const char *
place_find_huge (struct heap *h, size_t c, const char *p, bool interior,
                 struct place *at)
{
  uint64_t d = dir_get (h, c);
  if (dir_kind (d) == DIR_EMPTY)
    return place_without_block (h, c, (size_t) (p - off_chunk (h, c))
                                      >> MM_SLICE_SHIFT);
  if (dir_kind (d) == DIR_CONT && dir_distance (d) <= c)
    {
      c -= dir_distance (d);
      d = dir_get (h, c);
    }
  if (dir_kind (d) != DIR_HUGE)
    return place_foreign;
  at->kind = PLACE_HUGE;
  at->head = 0;
  at->number = slice_number (c, dir_start (d));
  at->start = off_slice (h, c, dir_start (d));
  at->usable = dir_slices (d) << MM_SLICE_SHIFT;
  /* In the part of the file that is in use, whatever its words say.  */
  if (p < at->start || p >= at->start + at->usable
      || off_file (h, at->start) + at->usable > off_seen (h))
    return place_foreign;
  return p == at->start || interior ? NULL : place_inside;
}

/* The run that covers slice *S of PAGED chunk C, with *S becoming its first:
   the head, or 0 if that slice is free.  */
static uint64_t
place_find_run (struct heap *h, size_t c, size_t *s)
{
  size_t to = *s, n = 0;
  unsigned kind = HEAD_LARGE;
  uint64_t head = head_see (off_record (h, c, *s));
  if (head_kind (head) == HEAD_CONT && head_distance (head) <= *s)
    {
      /* A continuation is believed only if a page covers it.  */
      kind = HEAD_PAGE;
      *s -= head_distance (head);
      n = run_look (h, c, *s, MM_CHUNK_SLICES, &head);
    }
  else if (head_kind (head) != HEAD_FREE)
    return head;
  else
    /* Free, or inside a large block.  */
    while (n == 0 && *s > slice_first_data (h, c))
      n = run_look (h, c, --*s, MM_CHUNK_SLICES, &head);
  return head_kind (head) == kind && n > to - *s ? head : 0;
}

/* Find the block that covers P; NULL if there is one, live and P its start or,
   with INTERIOR, inside it; else what is wrong.  */
static const char *
place_find (struct heap *h, const void *p, bool interior, struct place *at)
{
  uintptr_t off = (uintptr_t) p - h->grid;
  size_t c = off >> MM_CHUNK_SHIFT;
  size_t s = off >> MM_SLICE_SHIFT & (MM_CHUNK_SLICES - 1);
  if ((uintptr_t) p < h->grid || c >= h->n_chunks)
    return place_foreign;
  if (dir_kind (dir_get (h, c)) != DIR_PAGED)
    return place_find_huge (h, c, p, interior, at);
  if (s >= run_ready (h, c) || s < slice_first_data (h, c))
    return s < slice_first_data (h, c) ? place_foreign
                                       : place_without_block (h, c, s);
  at->head = place_find_run (h, c, &s);
  at->r = off_record (h, c, s);
  at->number = slice_number (c, s);
  at->start = off_slice (h, c, s);
  unsigned cl = head_class (at->head);
  bool large = head_kind (at->head) == HEAD_LARGE;
  if (head_kind (at->head) == HEAD_FREE)
    return place_free;
  if (!large && (head_kind (at->head) != HEAD_PAGE || cl >= MM_CLASSES))
    return place_foreign;
  size_t slices = large ? run_covers (at->head, s, run_ready (h, c))
                        : class_table[cl].slices;
  /* Blocks lie in the part of the file that is in use, and P in them, whatever
     its words say by now.  */
  if (off_file (h, at->start) + (slices << MM_SLICE_SHIFT) > off_seen (h)
      || (uintptr_t) p - (uintptr_t) at->start >= slices << MM_SLICE_SHIFT)
    return place_foreign;
  at->kind = large ? PLACE_LARGE : PLACE_SMALL;
  at->usable = slices << MM_SLICE_SHIFT;
  at->i = 0;
  if (!large)
    {
      size_t in_page = (size_t) ((const char *) p - at->start);
      at->usable = class_table[cl].size;
      class_index (&class_table[cl], in_page, &at->i);
      at->start += at->i * at->usable;
      if (at->i >= class_table[cl].count)
        return place_foreign;
    }
  if (p != at->start && !interior)
    return place_inside;
  return large || page_is_live (at->r, cl, at->i)
           ? NULL
           : place_free;
}

/* Whether P is an aligned word in a live block: what a slot has to be.  */
static bool
place_is_word (struct heap *h, const void *p)
{
  struct place at;
  return (uintptr_t) p % sizeof (disk_u64) == 0
         && place_find (h, p, true, &at) == NULL;
}


/* ---- 28. The dead ------------------------------------------------------- */

/* Owns: what those who died under the heap lock or within a slot call have left
   undone.
   Needs: the heap lock, for ..._locked.
   Crash: all of it can be begun again by the next one.
   Keeps: I7.
   Checked by: check_page, step, real, waiter.  */

/* The program's word at offset SLOT, or NULL: it is in no live block.  Needs:
   the heap lock.  */
static disk_u64 *
dead_slot (struct heap *h, uint64_t slot)
{
  disk_u64 *word = (disk_u64 *) (h->file.base + slot);
  return place_is_word (h, word) ? word : NULL;
}

/* The value of a root at offset SLOT, or NULL: that is not among records.
   Needs: the heap lock.  */
static disk_u64 *
dead_root (struct heap *h, uint64_t slot)
{
  uint64_t number = (slot - (h->grid - h->file.base)) >> MM_SLICE_SHIFT;
  struct disk_slice *r = run_record (h, number);
  return slot % sizeof (disk_u64) == 0 && r != NULL
             && run_is_inside (h, number, 1)
             && head_kind (head_see (r)) == HEAD_ROOTS
           ? (disk_u64 *) (h->file.base + slot)
           : NULL;
}

/* Whether slot call OP finds its slot pointing into live block BLOCK.  Needs:
   the heap lock.  */
static bool
dead_slot_holds (struct heap *h, struct disk_op *op, uint64_t block)
{
  uint64_t at_slot = word_peek (&op->slot);
  disk_u64 *slot = word_peek (&op->from) == MM_MAKES_ROOT
                     ? dead_root (h, at_slot)
                     : dead_slot (h, at_slot);
  struct place at;
  if (slot == NULL
      || place_find (h, (char *) h->file.base + block, false, &at) != NULL)
    return false;
  return word_see (slot) - (uintptr_t) at.start < at.usable;
}

/* Slot call OP was moving a block: the slot that has it keeps it, and the word
   that it came from loses it.  If one of them has something else, the call had
   not begun or was over.  */
static void
dead_move_locked (struct heap *h, struct disk_op *op)
{
  MM_NEEDS (needs_heap_lock (h));
  disk_u64 *from = dead_slot (h, word_peek (&op->from));
  disk_u64 *to = dead_slot (h, word_peek (&op->slot));
  uint64_t moved = h->file.base + word_peek (&op->moved);
  if (from != NULL && to != NULL && from != to && word_see (to) == moved
      && word_see (from) == moved)
    /* Seen by the program.  */
    word_publish (from, 0);
}

/* The process with record OP died: bring its call to an end.  */
static void
dead_finish_locked (struct heap *h, struct disk_op *op)
{
  MM_NEEDS (needs_heap_lock (h));
  if (word_peek (&op->from) != 0)
    dead_move_locked (h, op);
  uint64_t fresh = word_peek (&op->fresh);
  uint64_t old = word_peek (&op->old);
  uint64_t nobodys = old;
  if (fresh != 0 && !dead_slot_holds (h, op, fresh))
    nobodys = fresh;
  else if (fresh == 0 && dead_slot_holds (h, op, old))
    nobodys = 0;
  struct place at;
  /* No block begins at 0.  */
  if (place_find (h, (char *) h->file.base + nobodys, false, &at) == NULL)
    {
      /* If we die here, too: nobody has the lock before somebody has looked
         whether it was done.  */
      word_settle (&op->locked, 1);
      bool full;
      if (at.kind == PLACE_SMALL)
        page_free_remote (at.r, at.i, &full);
      else if (at.kind == PLACE_LARGE)
        large_give_locked (h, at.number);
      else
        huge_give_locked (h, at.number);
      /* Release: done before the record is free.  */
      word_fence_publish ();
    }
  op_release (h, op);
}

/* The one who held the heap lock died, and a block may have changed hands:
   what is not live on its record is not its any more.  */
static void
dead_ops_locked (struct heap *h)
{
  MM_NEEDS (needs_heap_lock (h));
  for (unsigned i = 0; i < MM_OPS; i++)
    {
      struct disk_op *op = &h->op[i];
      if (word_see (&op->locked) == 0)
        continue;
      /* A root has it.  */
      if (word_peek (&op->from) == MM_MAKES_ROOT
          && dead_slot_holds (h, op, word_peek (&op->fresh)))
        word_put (&op->fresh, 0);
      disk_u64 *block[2] = { &op->fresh, &op->old };
      for (int j = 0; j < 2; j++)
        {
          struct place at;
          char *p = (char *) h->file.base + word_peek (block[j]);
          if (place_find (h, p, false, &at) != NULL)
            word_put (block[j], 0);
        }
      word_settle (&op->locked, 0);
    }
}

/* Somebody died holding the heap lock.  Chunk indexes may disagree with the
   heads: all are made stale.  A page that was CLAIMED is HELD as before, or
   retired already.  It is decided whether a block of a slot call had changed
   hands.  */
static void
dead_owner_locked (struct heap *h)
{
  MM_NEEDS (needs_heap_lock (h));
  struct disk_locks *l = h->locks;
  word_add (&l->index_epoch, 1);
  struct disk_slice *r = run_record (h, word_peek (&l->claim));
  uint64_t head = r != NULL ? head_peek (r) : 0;
  if (head_kind (head) == HEAD_PAGE && head_state (head) == HEAD_CLAIMED)
    head_set (r, head_in_state (head, HEAD_HELD));
  word_settle (&l->claim, 0);
  dead_ops_locked (h);
}

/* Process ID is dead, or leaves: its slot calls are ended.  */
static void
dead_end_locked (struct heap *h, uint64_t id)
{
  MM_NEEDS (needs_heap_lock (h));
  for (unsigned i = 0; i < MM_OPS; i++)
    if (word_see (&h->op[i].owner) == id)
      dead_finish_locked (h, &h->op[i]);
}

/* This thread ends: it makes no root any more.  */
static void
dead_end_thread (struct heap *h)
{
  if (thread.number == 0)
    return;
  bool locked = lock_heap (h);
  for (unsigned i = 0; i < MM_OPS; i++)
    if (word_peek (&h->op[i].owner) != h->id || !op_is_ours (h, &h->op[i]))
      continue;
    else if (locked)
      dead_finish_locked (h, &h->op[i]);
    else
      op_leave (&h->op[i]);
  if (locked)
    unlock_heap (h);
}

/* Process ID is dead: its slot calls are ended, then its streams have no owner
   any more.  Needs: the heap lock.  */
static void
dead_orphan_locked (struct heap *h, uint64_t id)
{
  MM_NEEDS (needs_heap_lock (h));
  dead_end_locked (h, id);
  for (uint32_t n = 1; n <= off_streams_ready (h); n++)
    {
      struct disk_stream *st = off_stream (h, n);
      if (word_peek (&st->owner) == id)
        {
          word_put (&st->owner, 0);
          word_add (&h->locks->n_orphans, 1);
        }
    }
}

/* End the slot calls that their threads have left.  False: as lock_heap.  */
static bool
dead_end_left (struct heap *h)
{
  unsigned i = 0;
  while (i < MM_OPS && word_peek (&h->op[i].owner) != MM_OP_LEFT)
    i++;
  if (i == MM_OPS)
    return true;
  if (!lock_heap (h))
    return false;
  dead_end_locked (h, MM_OP_LEFT);
  unlock_heap (h);
  return true;
}

/* Take the streams of those who died from them, among as many as MOST in turn:
   whoever needs what the dead had calls it.  Ids are never used twice in an
   epoch, so a newcomer in an entry loses nothing.  False: as lock_heap.  Needs:
   no lock.  */
static bool
dead_bury (struct heap *h, uint32_t most)
{
  uint32_t n = h->file.kind->shared ? off_procs_used (h) : 0;
  uint32_t from = n > most ? word_add (&h->asked, most) : 0;
  for (uint32_t i = 0; i < n && i < most; i++)
    {
      uint32_t entry = (from + i) % n;
      struct disk_proc *e = off_proc (h, entry);
      uint64_t id = word_see (&e->id);
      if (id == 0 || id >> 32 != h->epoch || !proc_is_dead (h, entry))
        continue;
      if (!lock_heap (h))
        return false;
      dead_orphan_locked (h, id);
      unlock_heap (h);
      word_claim (&e->id, &id, 0);
    }
  return dead_end_left (h);
}

/* Of all who died.  */
static bool
dead_bury_all (struct heap *h)
{
  return dead_bury (h, MM_PROCS);
}


/* ---- 29. Streams -------------------------------------------------------- */

/* Owns: struct disk_stream.
   Needs: the heap lock to take a stream; its owner gives it up by one store.
   Crash: a stream whose process died is an orphan; its pages wait for the next
   owner.
   Keeps: I1, as far as owners go.
   Checked by: check_page, threads_come_and_go.  */

/* Whether exclusive stream N has no owner, or one of an epoch that is over.  */
static bool
stream_is_orphan (struct heap *h, uint32_t n)
{
  if (n <= h->super.n_shared || n > off_streams_ready (h))
    return false;
  /* Acquire: pairs with cache_release.  */
  uint64_t owner = word_see (&off_stream (h, n)->owner);
  return owner == 0 || owner >> 32 != h->epoch;
}

/* The pages that were ACTIVE in bins that are no more: HELD, and on the lists.
   Needs: ownership of the stream.  */
static void
stream_hold_all (struct heap *h, uint32_t stream)
{
  struct disk_stream *st = off_stream (h, stream);
  for (unsigned cl = 0; cl < MM_CLASSES; cl++)
    {
      uint64_t head;
      uint32_t number = word_swap (&st->active[cl], 0);
      struct disk_slice *r = page_of (h, number, &head);
      if (r == NULL || head_owner (head) != stream
          || head_state (head) != HEAD_ACTIVE)
        continue;
      head_set (r, head_in_state (head, HEAD_HELD));
      list_push (h, st, head_class (head), r, number);
    }
}

/* Put memory behind four more stream records.  */
static int
stream_grow (struct heap *h)
{
  struct disk_locks *l = h->locks;
  if (!lock_grow (h))
    return ETIMEDOUT;
  uint32_t ready = word_peek (&l->streams_ready);
  char *at = (char *) &h->stream[ready];
  /* A whole page, and not behind the last one.  */
  bool more = ready < h->super.n_streams
              && ready % (MM_PAGE / sizeof (struct disk_stream)) == 0;
  int err = more ? back_range (h, at, MM_PAGE) : ENOLCK;
  if (err == 0)
    {
      grow_reach (h, at + MM_PAGE);
      memset (at, 0, MM_PAGE);
      size_t n = size_min (MM_PAGE / sizeof (struct disk_stream),
                           h->super.n_streams - ready);
      word_add (&l->n_orphans, (uint32_t) n);
      /* Seen by off_streams_ready.  */
      word_publish (&l->streams_ready, ready + (uint32_t) n);
    }
  unlock_grow (h);
  return err;
}

/* A shared stream; threads take turns, so that they spread.  */
static uint32_t
stream_share (struct heap *h)
{
  static _Atomic uint32_t turn;
  return 1 + word_add (&turn, 1) % h->super.n_shared;
}

/* A stream for this thread alone, or a shared one if there are more threads
   than streams; 0: it could not be looked for in time.  */
static uint32_t
stream_claim (struct heap *h)
{
  struct disk_locks *l = h->locks;
  for (bool buried = false; ; )
    {
      if (!lock_heap (h))
        return 0;
      uint32_t n = h->super.n_shared + 1, ready = off_streams_ready (h);
      while (n <= ready && !stream_is_orphan (h, n))
        n++;
      if (n <= ready)
        {
          word_put (&off_stream (h, n)->owner, h->id);
          if (word_peek (&l->n_orphans) > 0)
            word_add (&l->n_orphans, -1);
        }
      unlock_heap (h);
      if (n <= ready)
        {
          stream_hold_all (h, n);
          return n;
        }
      int err = stream_grow (h);
      if (err == 0)
        continue;
      if (err == ETIMEDOUT || (!buried && !dead_bury (h, MM_PROCS_ASKED)))
        return 0;
      if (buried)
        return stream_share (h);
      buried = true;
    }
}


/* ---- 30. Caches and bins ------------------------------------------------ */

/* Owns: struct cache, of which each thread has one for each heap.
   Needs: to be the thread, but for what the registry lock says.
   Crash: hints are lost with the process.
   Keeps: nothing; the bits are in the room of pages.
   Checked by: detach_under_caches, threads_have_pages_of_their_own.  */

/* The program calls the heap of cache K MD; let the fast paths work for it,
   unless something has to see every call.  */
static void
cache_arm (struct cache *k, void *md)
{
  bool slow = word_peek (&process.slow)
              || word_peek (&word_peek (&k->heap)->root->guards) != 0;
  word_put (&k->name, (uintptr_t) md + 1);
  word_put (&k->key, slow ? KEY_NONE : (uintptr_t) md);
}

/* No cache takes a fast path any more, until it is armed again.  H NULL: of
   any heap.  Needs: the registry lock.  */
static void
cache_disarm_all (struct heap *h)
{
  for (struct file *f = process.files; f != NULL; f = f->next)
    if (f->kind->heap && (h == NULL || f == &h->file))
      for (struct cache *k = ((struct heap *) f)->caches; k != NULL;
           k = k->heap_next)
        word_put (&k->key, KEY_NONE);
}

/* Let mfree find slices at once up to the first chunk that is not PAGED.  */
static MM_NOINLINE void
cache_heat_all (struct heap *h, struct cache *k)
{
  size_t ready = MM_CHUNK_SLICES;
  for (size_t c = k->hot_bytes >> MM_CHUNK_SHIFT;
       c < h->n_chunks && ready == MM_CHUNK_SLICES; c++)
    /* What covers a log reads as records of no run.  */
    if ((ready = run_is_logs (h, c) ? MM_CHUNK_SLICES : run_ready (h, c)) > 0)
      k->hot_bytes = (c << MM_CHUNK_SHIFT) + (ready << MM_SLICE_SHIFT);
}

/* Let it find slice NUMBER, if all chunks before it are PAGED.  */
static inline void
cache_heat (struct heap *h, struct cache *k, uint32_t number)
{
  if (MM_UNLIKELY ((size_t) number << MM_SLICE_SHIFT >= k->hot_bytes))
    cache_heat_all (h, k);
}

/* Whether the thread with cache K has a stream of its own.  */
static inline bool
cache_is_exclusive (struct cache *k)
{
  return k != NULL && head_kind (k->mine) == HEAD_PAGE;
}

/* The bin has no word any more.  */
static inline void
bin_clear (struct bin *b)
{
  b->avail = 0;
  b->own = NULL;
}

/* Empty the bins: their pages are HELD.  The calling thread must be the
   cache's, or the cache's thread must not be using the heap.  */
static void
cache_empty (struct cache *k)
{
  for (unsigned cl = 0; cl < MM_CLASSES; cl++)
    {
      bin_clear (&k->bin[cl]);
      k->page[cl] = 0;
    }
  stream_hold_all (word_peek (&k->heap), k->stream);
}

/* Give the cache's stream back.  Needs: the registry lock.  */
static void
cache_release (struct cache *k)
{
  struct heap *h = word_peek (&k->heap);
  word_put (&k->key, KEY_NONE);
  word_put (&k->name, 0);
  if (h == NULL)
    return;
  if (k->stream > h->super.n_shared && !word_peek (&h->forked))
    {
      cache_empty (k);
      /* Seen by stream_is_orphan, in who has the heap lock.  Without it here: a
         thread does not wait for others to end.  */
      word_publish (&off_stream (h, k->stream)->owner, 0);
      word_add (&h->locks->n_orphans, 1);
    }
  struct cache **link = &h->caches;
  while (*link != NULL && *link != k)
    link = &(*link)->heap_next;
  if (*link != NULL)
    *link = k->heap_next;
  word_put (&k->heap, NULL);
}

/* Memory is not what the cache knows: it has nothing, and no stream.  Its thread may
   be waiting to get in.  Needs: the registry lock.  */
static void
cache_forget (struct cache *k)
{
  k->stream = 0;
  k->st = NULL;
  k->mine = UINT32_MAX;
  k->hot_bytes = 0;
  k->roomy = 0;
  memset (k->page, 0, sizeof k->page);
  memset (k->debt, 0, sizeof k->debt);
  memset (k->bin, 0, sizeof k->bin);
}

/* The thread ends: its streams go back, its caches wait for other threads.
   Destructors that run later use the shared stream.  */
static void
cache_thread_exit (void *arg)
{
  (void) arg;
  thread.leaving = true;
  thread.last = &no_cache;
  fail_leave ();
  lock_registry ();
  while (thread.all != NULL)
    {
      struct cache *k = thread.all;
      thread.all = k->next;
      if (k->heap != NULL)
        dead_end_thread (k->heap);
      cache_release (k);
      k->next = process.free_caches;
      process.free_caches = k;
    }
  unlock_registry ();
}

/* An unused cache of this thread, or NULL.  Needs: the registry lock.  */
static struct cache *
cache_new (void)
{
  for (struct cache *k = thread.all; k != NULL; k = k->next)
    if (word_peek (&k->heap) == NULL)
      return k;
  struct cache *k = process.free_caches;
  if (k != NULL)
    process.free_caches = k->next;
  else
    {
      /* One after the other, so that those not needed are not touched.  */
      enum { N = 16 };
      size_t size = round_up (sizeof (struct cache), 64);
      if (process.fresh_caches == 0)
        {
          process.fresh = space_private (N * size, true);
          if (process.fresh == NULL)
            return NULL;
          process.fresh_caches = N;
        }
      k = (struct cache *) (void *) process.fresh;
      process.fresh += size;
      process.fresh_caches--;
    }
  k->next = thread.all;
  thread.all = k;
  return k;
}

/* This thread's cache of heap H, if it has one.  */
static struct cache *
cache_own (const struct heap *h)
{
  struct cache *k = thread.all;
  while (k != NULL && word_peek (&k->heap) != h)
    k = k->next;
  return k;
}

/* The same, of a heap which the program calls MD, made if there is none; NULL if
   there can be none: then a shared stream serves.  It has no stream yet: a thread that
   only frees needs none.  */
static struct cache *
cache_use (struct heap *h, void *md)
{
  if (thread.leaving)
    return NULL;
  struct cache *k = cache_own (h);
  if (k == NULL)
    {
      if (!fail_hears_of_end ())
        return NULL;
      lock_registry ();
      k = cache_new ();
      unlock_registry ();
      if (k == NULL)
        return NULL;
      *k = (struct cache){ .key = KEY_NONE,
                           .next = k->next,
                           .n_chunks = h->n_chunks,
                           .grid = h->grid,
                           .dir = h->dir,
                           .mine = UINT32_MAX,
                           .records = (char *) h->grid + MM_OFF_RECORDS };
      lock_registry ();
      word_put (&k->heap, h);
      k->heap_next = h->caches;
      h->caches = k;
      unlock_registry ();
    }
  cache_arm (k, md);
  thread.last = k;
  return k;
}

/* The thread is about to allocate: give its cache a stream.  */
static int
cache_need_stream (struct heap *h, struct cache *k)
{
  if (k == NULL || k->stream != 0)
    return 0;
  k->stream = stream_claim (h);
  if (k->stream == 0)
    return ETIMEDOUT;
  k->st = off_stream (h, k->stream);
  if (k->stream > h->super.n_shared)
    k->mine = (uint32_t) head_make (HEAD_PAGE, 0, k->stream, 0, 0);
  return 0;
}

/* Hand out the lowest free block of the bin's word.  */
static inline void *
bin_take (struct bin *b)
{
  uint64_t avail = b->avail;
  uint64_t rest = avail & (avail - 1);
  b->avail = rest;
  uint64_t own = word_peek (b->own);
  /* This store allocates.  Release: a kill must not find it before what came
     before it in the program.  */
  word_settle (b->own, own ^ avail ^ rest);
  return b->base + bit_lowest (avail) * b->size;
}

/* The small block at AT was left by a block that grows, and has been freed: if
   it lies in the bin's word, the next one that grows shall go the
   same way, over memory that was touched.  But not over one that a handler of
   misuse was given meanwhile, or that a slot call has noted.  */
static inline void
bin_put_back (struct cache *k, const struct place *at)
{
  unsigned cl = head_class (at->head);
  struct bin *b = &k->bin[cl];
  if (b->own == &at->r->own[at->i / 64] && !page_is_live (at->r, cl, at->i)
      && word_peek (&word_peek (&k->heap)->locks->ops_busy) == 0)
    b->avail |= UINT64_C (1) << (at->i % 64);
}

/* bin_take for all but the fast paths: a slot call notes the block.  */
static void *
bin_take_noted (struct heap *h, struct bin *b)
{
  op_note (h, b->base + bit_lowest (b->avail) * b->size, false);
  return bin_take (b);
}

/* Find a word with free blocks in page NUMBER of bin B, beginning with the
   current one, which is in the processor's cache; false if the page is full.
   */
static inline bool
bin_fill (struct heap *h, struct bin *b, unsigned cl, uint32_t number)
{
  struct disk_slice *result = off_numbered (h, number);
  char *start = page_start (h, number);
  unsigned words = class_words (cl), w = b->word;
  bool mixed = word_see (&result->foreign) != 0
               || word_peek (&h->locks->ops_busy) != 0;
  for (unsigned i = 0; i < words; i++)
    {
      uint64_t own = word_peek (&result->own[w]);
      uint64_t avail = MM_UNLIKELY (mixed)
                       ? page_free_bits (h, result, start, cl, w)
                       : ~own & class_valid (cl, w);
      if (avail != 0)
        {
          b->word = w;
          b->own = &result->own[w];
          b->size = class_table[cl].size;
          b->base = start + (size_t) w * 64 * b->size;
          b->avail = avail;
          return true;
        }
      w = w + 1 < words ? w + 1 : 0;
    }
  return false;
}

/* Put page NUMBER, ACTIVE for the cache's stream, into the bin.  */
static inline void
bin_use (struct heap *h, struct cache *k, unsigned cl, uint32_t number)
{
  k->page[cl] = number;
  k->bin[cl].word = 0;
  cache_heat (h, k, number);
  word_put (&k->st->active[cl], number);
}

/* Put page NUMBER, ACTIVE, into the bin in place of the one there, which goes
   to the end of the list and gathers free blocks.  */
static void
bin_exchange (struct heap *h, struct cache *k, unsigned cl, uint32_t number)
{
  uint32_t old = k->page[cl];
  bin_clear (&k->bin[cl]);
  bin_use (h, k, cl, number);
  /* A sweep for the new page has emptied the bin.  */
  if (old != 0)
    list_push (h, k->st, cl, page_drop (h, k->stream, cl, old), old);
}

/* How many more free blocks the bin's word should have had.  */
static inline unsigned
bin_lacks (const struct bin *b, unsigned cl)
{
  unsigned fair = class_fair (cl), n = bit_count (b->avail);
  return n < fair ? fair - n : 0;
}

/* Make the bin hand out blocks, from pages the stream has.  */
static bool
bin_refill (struct heap *h, struct cache *k, unsigned cl)
{
  for (;;)
    {
      if (k->page[cl] != 0)
        {
          if (bin_fill (h, &k->bin[cl], cl, k->page[cl]))
            return true;
          page_drop (h, k->stream, cl, k->page[cl]);
          k->page[cl] = 0;
          bin_clear (&k->bin[cl]);
        }
      uint32_t number = page_take_back (h, k->st, k->stream, cl);
      if (number != 0)
        bin_use (h, k, cl, number);
      else if (!queue_drain (h, k->stream))
        {
          word_put (&k->st->active[cl], 0);
          return false;
        }
    }
}

/* Take over a page of the class from a stream that nobody owns.  The search
   goes through LIMIT streams from where it ended last; UINT32_MAX: all,
   without trust in the hint that there are any.  */
static bool
bin_adopt (struct heap *h, struct cache *k, unsigned cl, uint32_t limit)
{
  static _Atomic uint32_t cursor;
  if (limit != UINT32_MAX && word_peek (&h->locks->n_orphans) == 0)
    return false;
  uint32_t got = 0;
  bool thin = false;
  if (!lock_heap (h))
    return false;
  uint32_t ready = off_streams_ready (h);
  for (uint32_t i = 0; i < limit && i < ready && got == 0; i++)
    {
      uint32_t n = word_add (&cursor, 1) % ready + 1;
      if (!stream_is_orphan (h, n))
        continue;
      stream_hold_all (h, n);
      queue_drain (h, n);
      got = page_take_next (h, off_stream (h, n), n, cl, k->stream, &thin);
    }
  unlock_heap (h);
  if (got != 0 && thin && !page_wake (h, got, k->stream, cl))
    got = 0;
  if (got != 0)
    bin_use (h, k, cl, got);
  return got != 0;
}


/* ---- 31. Sweeping ------------------------------------------------------- */

/* Owns: sweep_at and sweep_gap.
   Needs: no lock.
   Crash: hints are lost; the next sweep finds the pages.
   Keeps: I7.
   Checked by: check_page, refills_while_sweeping, paused.  */

/* A sweep under way.  */
struct sweep
{
  uint32_t mine; /* the caller's exclusive stream; 0: none */
  disk_u64 ours[(MM_STREAMS_MAX + 64) / 64]; /* streams whose lists are made
                                  anew */
  uint64_t backed, retired;                  /* slices */
  uint64_t holes;              /* in pages that are THIN, MM_PAGE each */
  bool thin;                   /* there are such pages */
  size_t given;                /* bytes given back */
};

/* Take the caller's stream, the shared ones that nobody is using just now,
   which stay locked, and those that nobody owns; their lists are empty then.
   False: as lock_heap, of this and of those below.  */
static bool
sweep_gather (struct heap *h, struct cache *k, struct sweep *w)
{
  if (k != NULL && k->stream > h->super.n_shared)
    {
      cache_empty (k);
      w->mine = k->stream;
      map_put (w->ours, w->mine, 1, true);
    }
  for (uint32_t n = 1; n <= h->super.n_shared; n++)
    if (lock_stream (h, n, false))
      {
        stream_hold_all (h, n);
        map_put (w->ours, n, 1, true);
      }
  if (!lock_heap (h))
    return false;
  for (uint32_t n = 1; n <= off_streams_ready (h); n++)
    {
      struct disk_stream *st = off_stream (h, n);
      if (stream_is_orphan (h, n))
        map_put (w->ours, n, 1, true);
      if (!map_get (w->ours, n))
        continue;
      word_put (&st->queue, 0);
      for (unsigned cl = 0; cl < MM_CLASSES; cl++)
        {
          word_put (&st->first[cl], 0);
          word_put (&st->last[cl], 0);
        }
    }
  unlock_heap (h);
  return true;
}

/* Whether the lists of STREAM are ours.  If it has found an owner meanwhile,
   they are his.  */
static bool
sweep_is_ours_locked (struct heap *h, struct sweep *w, uint32_t stream)
{
  MM_NEEDS (needs_heap_lock (h));
  return stream != 0 && map_get (w->ours, stream)
         && (stream == w->mine || stream <= h->super.n_shared
             || stream_is_orphan (h, stream));
}

/* Page R, HELD or THIN, of class CL and a stream that is ours: on the list if
   it has room.  */
static void
sweep_list_locked (struct heap *h, struct disk_slice *r, uint32_t number,
                   uint64_t head)
{
  MM_NEEDS (needs_heap_lock (h));
  unsigned cl = head_class (head);
  word_put (&r->link, 0);
  word_put (&r->queue, 0);
  if (page_count_free (h, r, number, cl) > 0)
    list_push (h, off_stream (h, head_owner (head)), cl, r, number);
}

/* Page R with head HEAD: retired if it is empty, on its stream's list if it has
   room and the stream is ours; but the THIN ones come later.  True if it was
   retired.  */
static bool
sweep_page_locked (struct heap *h, struct sweep *w, struct disk_slice *r,
                   uint32_t number, uint64_t head)
{
  bool our = sweep_is_ours_locked (h, w, head_owner (head));
  if (head_state (head) == HEAD_THIN)
    {
      w->thin = true;
      w->holes += bit_count (word_peek (&r->holes)
                             & page_all_holes (head_class (head)));
    }
  if (head_state (head) == HEAD_ACTIVE && our)
    {
      head = head_in_state (head, HEAD_HELD);
      head_set (r, head);
    }
  if (head_state (head) != HEAD_HELD)
    return false;
  if (page_retire_locked (h, r, number, head))
    return true;
  if (our)
    sweep_list_locked (h, r, number, head);
  return false;
}

/* All pages of chunk C.  */
static bool
sweep_chunk (struct heap *h, struct sweep *w, size_t c)
{
  if (!lock_heap (h))
    return false;
  size_t end = run_ready (h, c), n;
  for (size_t i = 0; end > 0 && i < MM_CHUNK_SLICES / 64; i++)
    w->backed += bit_count (word_peek (&off_index (h, c)->backed[i]));
  for (size_t s = slice_first_data (h, c); s < end; s += size_max (n, 1))
    {
      uint64_t head;
      n = run_look (h, c, s, end, &head);
      if (head_kind (head) == HEAD_PAGE && head_class (head) < MM_CLASSES
          && head_owner (head) <= h->super.n_streams
          && sweep_page_locked (h, w, off_record (h, c, s),
                                slice_number (c, s), head))
        w->retired += n;
    }
  unlock_heap (h);
  return true;
}

/* Retire page NUMBER if it is THIN and empty: whether it was.  Slices with
   holes are not called backed from before it is FREE; what they have left goes
   back, and its bytes into *GIVEN.  Needs: the grow lock.  */
static bool
sweep_retire_thin (struct heap *h, uint32_t number, size_t *given)
{
  MM_NEEDS (needs_grow_lock (h));
  const size_t unit = MM_SLICE / MM_PAGE;
  const uint64_t slice = (UINT64_C (1) << unit) - 1;
  size_t c = number / MM_CHUNK_SLICES, s = number % MM_CHUNK_SLICES;
  struct disk_slice *r = off_record (h, c, s);
  uint64_t left = 0;
  if (!lock_heap (h))
    return false;
  uint64_t head = head_see (r), holes = word_peek (&r->holes);
  unsigned cl = head_class (head);
  bool empty = head_kind (head) == HEAD_PAGE && cl < MM_CLASSES
               && head_state (head) == HEAD_THIN
               && page_is_whole (h, r, number, cl)
               && page_count_free (h, r, number, cl) == class_table[cl].count;
  for (size_t i = 0; empty && i < class_table[cl].slices; i++)
    if ((holes >> i * unit & slice) != 0)
      {
        map_put (run_index_locked (h, c)->backed, s + i, 1, false);
        left |= slice << i * unit & ~holes;
      }
  if (empty)
    run_give_locked (h, number, class_table[cl].slices);
  unlock_heap (h);
  size_t at, n;
  while (bit_take_run (&left, &at, &n) != 0)
    if (back_drop (h, page_start (h, number) + at * MM_PAGE, n * MM_PAGE))
      *given += n * MM_PAGE;
  return empty;
}

/* The THIN pages of chunk C: retired if they are empty; the others on the lists
   behind those that were HELD, which need no disk blocks.  */
static bool
sweep_thin_chunk (struct heap *h, struct sweep *w, size_t c)
{
  if (!lock_grow (h))
    return false;
  bool done = true;
  size_t end = run_ready (h, c), n;
  for (size_t s = slice_first_data (h, c); s < end; s += size_max (n, 1))
    {
      uint64_t head;
      n = run_look (h, c, s, end, &head);
      if (head_kind (head) != HEAD_PAGE || head_state (head) != HEAD_THIN
          || head_class (head) >= MM_CLASSES
          || head_owner (head) > h->super.n_streams)
        continue;
      if (sweep_retire_thin (h, slice_number (c, s), &w->given))
        {
          w->retired += n;
          continue;
        }
      done = lock_heap (h);
      if (!done)
        break;
      struct disk_slice *r = off_record (h, c, s);
      if (head_see (r) == head
          && sweep_is_ours_locked (h, w, head_owner (head)))
        sweep_list_locked (h, r, slice_number (c, s), head);
      unlock_heap (h);
    }
  unlock_grow (h);
  return done;
}

/* A sweep that was worth its while is soon repeated; the others come after
   twice as many slices each time, up to an eighth of the heap.  */
static void
sweep_schedule (struct heap *h, const struct sweep *w)
{
  struct disk_locks *l = h->locks;
  /* Kills and growth meanwhile make the count a hint.  */
  uint64_t holes = round_up (w->holes * MM_PAGE + w->given, MM_SLICE)
                   / MM_SLICE;
  word_put (&l->n_backed, w->backed > holes ? w->backed - holes : 0);
  uint64_t gap = word_peek (&l->sweep_gap);
  uint64_t most = size_max (w->backed / 8, 64);
  gap = w->retired >= w->backed / 16 ? 0
        : gap < 32                   ? 64
        : gap < most / 2             ? 2 * gap
                                     : most;
  word_put (&l->sweep_gap, gap);
  word_put (&l->sweep_at, word_peek (&l->n_taken) + gap);
}

/* Look at every page: retire the empty ones, of whatever stream; find pages
   with room whose hint was lost and put them on their lists, if the stream is
   the caller's, nobody's, or a shared one.  K may be NULL.  The number of bytes
   that were given back, which others had left of pages that are THIN.  */
static size_t
sweep (struct heap *h, struct cache *k)
{
  struct sweep w = { 0 };
  bool done = dead_bury_all (h) && sweep_gather (h, k, &w);
  for (size_t c = 0; done && c < run_chunks (h); c++)
    done = sweep_chunk (h, &w, c);
  for (size_t c = 0; done && w.thin && c < run_chunks (h); c++)
    done = sweep_thin_chunk (h, &w, c);
  for (uint32_t n = 1; n <= h->super.n_shared; n++)
    if (map_get (w.ours, n))
      unlock_stream (h, off_stream (h, n));
  if (done)
    sweep_schedule (h, &w);
  return w.given;
}

/* There was no room: sweep, if that was not done yet, for another try.  Not if
   it was not even looked for, for want of a lock.  */
static bool
sweep_once (struct heap *h, struct cache *k, bool *swept)
{
  if (*swept || fail_was_late ())
    return false;
  sweep (h, k);
  return *swept = true;
}

/* Whether enough runs were taken since the last sweep for another one.  */
static bool
sweep_is_due (struct heap *h)
{
  struct disk_locks *l = h->locks;
  return word_peek (&l->n_taken) >= word_peek (&l->sweep_at);
}

/* Make chunk C EMPTY if it is PAGED and all of it is free: whether it was.
   Nobody else must be able to touch its records, not even a thread that
   stopped between the last look at a list and its store.  Needs: the grow
   lock.  */
static bool
sweep_empty_chunk (struct heap *h, size_t c)
{
  MM_NEEDS (needs_grow_lock (h));
  if (run_ready (h, c) == 0)
    return false;
  if (!lock_heap (h))
    return false;
  struct disk_index *x = run_index_locked (h, c);
  size_t first = slice_first_data (h, c), end = slice_count (h, c);
  bool all = map_next_free (x, first, end, MAP_FREE, false) == end;
  if (all)
    {
      run_less_backed_locked (h, map_put (x->backed, first, end - first,
                                          false));
      dir_set (h, c, 0);
    }
  unlock_heap (h);
  return all;
}

/* Whether this thread is the heap's only user in this process; then walkers
   are locked out, and the caller lets them in again.  Needs: the registry
   lock.  */
static bool
sweep_is_alone (struct heap *h)
{
  for (struct cache *k = h->caches; k != NULL; k = k->heap_next)
    if (k != thread.last)
      return false;
  return pthread_rwlock_trywrlock (&h->walkers) == 0;
}

/* Let the heap have no user but this thread until sweep_admit: no other process
   has it mapped, no other thread may look at records that disappear.  False if
   it has others.  Then the grow lock is held.  */
static bool
sweep_exclude (struct heap *h)
{
  lock_registry ();
  if (sweep_is_alone (h))
    {
      if (h->caches != NULL)
        h->caches->hot_bytes = 0;
      bool locked = lock_grow (h);
      if (locked && !h->file.kind->shared)
        return true;
      if (locked && byte_lock (&h->file, MM_BYTE_DOOR, F_WRLCK) == 0)
        {
          if (!member_has_others (&h->file, MM_BYTE_READERS)
              && !member_has_writers (&h->file) && !proc_others_live (h))
            return true;
          file_admit (&h->file);
        }
      if (locked)
        unlock_grow (h);
      pthread_rwlock_unlock (&h->walkers);
    }
  unlock_registry ();
  return false;
}

/* Let others in again, in the reverse order.  */
static void
sweep_admit (struct heap *h)
{
  if (h->file.kind->shared)
    file_admit (&h->file);
  unlock_grow (h);
  pthread_rwlock_unlock (&h->walkers);
  unlock_registry ();
}

/* No place for a HUGE block: make PAGED chunks that no run uses EMPTY, if
   nobody else is there.  Whether there are any.  */
static bool
sweep_chunks (struct heap *h)
{
  bool some = false;
  if (!sweep_exclude (h))
    return false;
  for (size_t c = 1; c < run_chunks (h); c++)
    some |= sweep_empty_chunk (h, c);
  sweep_admit (h);
  return some;
}


/* ---- 32. Debugging aids ------------------------------------------------- */

/* Owns: the guards of mmcheck, in blocks by nature; the trace of mmtrace.
   Needs: nothing.
   Crash: a block that is being guarded has no guards yet.
   Keeps: I10.
   Checked by: check_block, mmcheck_guards, mmtrace_lines.  */

/* Guards of mmcheck: a block of SIZE bytes is made 16 + SIZE + 1 bytes long
   at least; the program's part begins behind a struct that says its size, and
   what remains behind it, up to 16 bytes, is filled.  */
struct guard
{
  uint64_t size;
  uint64_t magic;       /* depends on the place and the size */
};
enum { GUARD_FILL = 0xd7, GUARD_MAX = 16 };

/* Guards are also read in blocks of other threads and in blocks that have
   none, which run-time tools take for mistakes.  */
#define GUARD_READS __attribute__ ((no_sanitize ("address", "thread")))

/* What says that a guard struct is one, and that its size is whole.  */
static uint64_t
guard_magic (const struct heap *h, const void *user, uint64_t size)
{
  /* The same wherever the heap is mapped.  */
  uintptr_t place = (uintptr_t) user - h->file.base + h->super.base;
  return (place ^ UINT64_C (0x6d6d616c6c6f6364))
         + size * UINT64_C (0x9e3779b97f4a7c15);
}

/* How many bytes behind the program's part are filled.  */
static size_t
guard_tail (const struct place *at, const char *user, size_t size)
{
  size_t used = (size_t) (user - at->start) + size;
  return used < at->usable ? size_min (at->usable - used, GUARD_MAX) : 0;
}

/* Put the guards of a block of SIZE bytes, the program's part being USER.
   What an earlier block has left before is made invalid.  */
static void
guard_set (const struct heap *h, const struct place *at, char *user,
           size_t size)
{
  for (char *before = at->start + 16; before < user;
       before = at->start + 2 * (before - at->start))
    memset (before - sizeof (struct guard), 0, sizeof (struct guard));
  struct guard *g = (struct guard *) (void *) (user - sizeof *g);
  g->size = size;
  g->magic = guard_magic (h, user, size);
  memset (user + size, GUARD_FILL, guard_tail (at, user, size));
}

/* Whether they are intact; the size in *SIZE.  */
static GUARD_READS bool
guard_is_intact (const struct heap *h, const struct place *at,
                 const char *user, size_t *size)
{
  const volatile struct guard *g = (const struct guard *) (const void *)
                                   (user - sizeof *g);
  *size = (size_t) (at->start + at->usable - user);
  if (user < at->start + sizeof *g)
    return false;
  /* Read once: others may write there meanwhile.  */
  uint64_t said = g->size;
  if (g->magic != guard_magic (h, user, said) || said > *size)
    return false;
  *size = said;
  size_t n = guard_tail (at, user, *size);
  for (size_t i = 0; i < n; i++)
    if ((uint8_t) user[*size + i] != GUARD_FILL)
      return false;
  return true;
}

/* The program's part of the guarded block at AT, or NULL if it has no guards:
   it begins behind the first intact guard struct.  */
static GUARD_READS char *
guard_find (const struct heap *h, const struct place *at)
{
  for (size_t off = 16; off < at->usable && off <= MM_ALIGN_MAX; off *= 2)
    {
      char *user = at->start + off;
      struct guard *g = (struct guard *) (void *) (user - sizeof *g);
      if (g->magic == guard_magic (h, user, g->size)
          && g->size <= at->usable - off)
        return user;
    }
  return NULL;
}

/* The program wrote where it should not: it is told, one way or the other.  */
static void
guard_damaged (struct heap *h, const char *call, void *md, const void *p)
{
  if (h->on_damage != NULL)
    h->on_damage ();
  else
    fail_misuse (call, md, p, "memory before or behind the block was"
                              " overwritten");
}

/* Find live block P as the program knows it; with guards on, USER->start is
   the program's part and USER->usable what it asked for.  BLOCK gets the whole
   block.  NULL or what is wrong.  */
static const char *
guard_place (struct heap *h, const char *call, void *md, const void *p,
             struct place *block, struct place *user)
{
  bool guarded = word_peek (&h->root->guards) != 0;
  const char *wrong = place_find (h, p, guarded, block);
  *user = *block;
  if (wrong != NULL || !guarded)
    return wrong;
  char *part = guard_find (h, block);
  size_t off = (size_t) ((const char *) p - block->start);
  if (part == NULL && off == 0)
    return NULL;
  /* Without a guard, the program's part could begin at powers of two.  */
  if (part != NULL ? p != part
                   : off < sizeof (struct guard) || (off & (off - 1)) != 0)
    return place_inside;
  if (!guard_is_intact (h, block, p, &user->usable))
    guard_damaged (h, call, md, p);
  user->start += off;
  return NULL;
}

/* Append an event to the trace.  One write each, so that lines of threads do
   not mix.  */
static void
trace_event (char what, const void *p, size_t size, bool with_size)
{
  int fd = word_see (&process.trace_fd);
  if (fd < 0 || os_own (&process.trace, fd) != 0)
    return;
  char line[64];
  unsigned long at = (uintptr_t) p;
  int n = with_size
          ? snprintf (line, sizeof line, "%c 0x%lx 0x%zx\n", what, at, size)
          : snprintf (line, sizeof line, "%c 0x%lx\n", what, at);
  os_write_line (fd, line, n, sizeof line);
}


/* ---- 33. Allocating, freeing, resizing ---------------------------------- */

/* Owns: nothing; routes.
   Needs: no lock.
   Crash: at most the block under way stays allocated; one that is freed is live
   or free.
   Keeps: nothing by itself.
   Checked by: model_random, larger_class_before_null, misuse_double_free,
   realloc_keeps_contents.  */

/* A block of class CL from a shared stream; GROW: with a new page if need be,
   else from what it has.  A thread without a cache counts as nobody when the
   file is cut, but for the walkers' lock.  */
static int
take_shared (struct heap *h, uint32_t stream, unsigned cl, bool grow, void **p)
{
  struct disk_stream *st = off_stream (h, stream);
  unsigned walk = lock_walk (h);
  if (!lock_stream (h, stream, true))
    {
      unlock_walk (h, walk);
      return ETIMEDOUT;
    }
  /* As much of a cache as bin_refill looks at.  */
  struct cache k;
  k.stream = stream;
  k.st = st;
  k.hot_bytes = SIZE_MAX;
  k.bin[cl].word = 0;
  uint64_t head, active = page_head (HEAD_ACTIVE, stream, cl);
  uint32_t number = word_peek (&st->active[cl]);
  bool has = page_of (h, number, &head) != NULL && head == active;
  k.page[cl] = has ? number : 0;
  int err = 0;
  while (err == 0 && !bin_refill (h, &k, cl))
    {
      size_t n = class_table[cl].slices;
      err = grow ? run_reuse (h, n, n, MM_SLICE, active, &number) : ENOSPC;
      if (err == 0 && number == 0)
        err = grow_run (h, n, MM_SLICE, active, &number);
      if (err == 0)
        bin_use (h, &k, cl, number);
    }
  if (err == 0)
    *p = bin_take_noted (h, &k.bin[cl]);
  unlock_stream (h, st);
  unlock_walk (h, walk);
  return err;
}

/* N slices with head HEAD in any way: what is free, what a sweep finds that is
   due, what the file can still grow by, and once more after a sweep.  */
static int
take_run (struct heap *h, struct cache *k, size_t n, size_t align,
          uint64_t head, uint32_t *number)
{
  bool due = sweep_is_due (h), swept = false;
  /* Others may have grown the heap.  */
  grow_show (h, off_length (h));
  int err;
  do
    if ((err = run_reuse (h, n, n, align, head, number)) != 0 || *number != 0)
      return err;
  while (due && sweep_once (h, k, &swept));
  do
    err = grow_run (h, n, align, head, number);
  while (err != 0 && sweep_once (h, k, &swept));
  return err;
}

/* Make the bin hand out blocks as bin_refill does, but look for more than the
   odd one: a search for each block would cost more than all the rest.  A poor
   word makes us try the next page of the list; what still lacks is added up,
   and when a page's worth was missed, one more page is used.  The price is
   about an eighth of the class's memory.  */
static bool
take_refill (struct heap *h, struct cache *k, unsigned cl)
{
  struct bin *b = &k->bin[cl];
  if (!bin_refill (h, k, cl))
    return false;
  unsigned lacks = bin_lacks (b, cl);
  if (MM_LIKELY (lacks == 0))
    return true;
  uint32_t number = page_take_back (h, k->st, k->stream, cl);
  if (number != 0)
    {
      bin_exchange (h, k, cl, number);
      if (!bin_refill (h, k, cl))
        return false;
      lacks = bin_lacks (b, cl);
    }
  k->debt[cl] += lacks;
  if (k->debt[cl] < class_table[cl].count || h->capacity < MM_SLACK_LEAST)
    return true;
  k->debt[cl] = 0;
  int saved = errno;
  if (take_run (h, k, class_table[cl].slices, MM_SLICE,
                page_head (HEAD_ACTIVE, k->stream, cl), &number) == 0)
    bin_exchange (h, k, cl, number);
  errno = saved;
  return bin_refill (h, k, cl);
}

/* Whether a growing block of SIZE bytes gets slices of its own.  For one that
   would fill a part of one only, a thread may have one such block at a time:
   the last one must have grown out of its slice, or be gone.  */
static bool
take_gives_room (struct heap *h, struct cache *k, size_t size)
{
  if (size < h->file.kind->room_least || h->capacity < MM_SLACK_LEAST
      || !cache_is_exclusive (k))
    return false;
  struct disk_slice *r = run_record (h, k->roomy);
  uint64_t head = r != NULL ? head_peek (r) : 0;
  return size > MM_SLICE || head_kind (head) != HEAD_LARGE
         || head_slices (head) != 1;
}

/* N slices as a LARGE block; ROOM: as many free ones are wanted with them, if
   there are any, for a block that will grow.  */
static int
take_large (struct heap *h, struct cache *k, size_t n, size_t room,
            size_t align, void **p)
{
  uint64_t head = head_make (HEAD_LARGE, 0, 0, 0, n);
  uint32_t number = 0;
  int err = room > n ? run_reuse (h, n, room, align, head, &number) : 0;
  if (err == 0 && number == 0)
    err = take_run (h, k, n, align, head, &number);
  if (err != 0)
    return err;
  *p = page_start (h, number);
  if (k != NULL && room > n)
    k->roomy = n == 1 ? number : k->roomy;
  else if (k != NULL)
    cache_heat (h, k, number);
  return 0;
}

/* There is no room for a page of class CL: any free block of a larger class
   that is aligned will do, then slices of its own.  */
static int
take_small_elsewhere (struct heap *h, struct cache *k, unsigned cl,
                      size_t align, void **p)
{
  size_t size = class_table[cl].size;
  for (; cl < MM_CLASSES; cl++)
    {
      if (class_table[cl].size % align != 0)
        continue;
      if (cache_is_exclusive (k)
          && (bin_refill (h, k, cl) || (bin_adopt (h, k, cl, UINT32_MAX)
                                        && bin_refill (h, k, cl))))
        {
          *p = bin_take_noted (h, &k->bin[cl]);
          return 0;
        }
      for (uint32_t n = 1; n <= h->super.n_shared; n++)
        if (take_shared (h, n, cl, false, p) == 0)
          return 0;
    }
  size_t n = (size + MM_SLICE - 1) >> MM_SLICE_SHIFT;
  return take_large (h, k, n, n, MM_SLICE, p);
}

/* A block of class CL, whose blocks are aligned to ALIGN.  */
static int
take_small (struct heap *h, struct cache *k, unsigned cl, size_t align,
            void **p)
{
  int err = 0;
  if (!cache_is_exclusive (k))
    {
      uint32_t stream = k != NULL ? k->stream : stream_share (h);
      bool grow = !sweep_is_due (h), swept = false;
      do
        err = take_shared (h, stream, cl, grow || swept, p);
      while (err != 0 && sweep_once (h, k, &swept));
    }
  else
    {
      struct bin *b = &k->bin[cl];
      while (err == 0 && b->avail == 0 && !bin_refill (h, k, cl))
        if (!bin_adopt (h, k, cl, 16))
          {
            uint32_t number;
            err = take_run (h, k, class_table[cl].slices, MM_SLICE,
                            page_head (HEAD_ACTIVE, k->stream, cl), &number);
            if (err == 0)
              bin_use (h, k, cl, number);
          }
      if (err == 0)
        *p = bin_take_noted (h, b);
    }
  return err != 0 && err != ETIMEDOUT
           ? take_small_elsewhere (h, k, cl, align, p)
           : err;
}

/* A block of SIZE bytes at ALIGN.  GROWN: it is for the contents of a smaller
   one.  *ZERO: all zero is wanted; false after the call if the caller need not
   see to it.  */
static int
take_block (struct heap *h, struct cache *k, size_t size, size_t align,
            bool grown, bool *zero, void **p)
{
  if (size > PTRDIFF_MAX - MM_ALIGN_MAX)
    return ENOMEM;
  int err = cache_need_stream (h, k);
  if (err != 0)
    return err;
  if (word_peek (&h->root->used) == 0)
    word_put (&h->root->used, 1);
  unsigned cl = MM_CLASSES;
  grown = grown && take_gives_room (h, k, size);
  if (align <= MM_SLICE && !grown)
    cl = class_of (size, align);
  if (cl < MM_CLASSES)
    err = take_small (h, k, cl, align, p);
  else
    {
      size_t n = (size + MM_SLICE - 1) >> MM_SLICE_SHIFT;
      bool fits = n < MM_CHUNK_SLICES && align <= MM_CHUNK / 2;
      bool large = n <= MM_RUN_MAX && fits;
      err = ENOSPC;
      if (large)
        err = take_large (h, k, n, grown && 4 * n <= MM_RUN_MAX ? 4 * n : n,
                          align, p);
      if (err != 0 && grown && size <= MM_SMALL_MAX)
        return take_block (h, k, size, align, false, zero, p);
      if (err != 0)
        {
          bool swept = large;
          int huge;
          do
            huge = huge_take (h, n, align, *zero, p);
          while (huge == ENOSPC && sweep_once (h, k, &swept));
          if (huge == ENOSPC && sweep_chunks (h))
            huge = huge_take (h, n, align, *zero, p);
          if (huge == 0)
            *zero = false;
          else if (fits && !large)
            huge = take_large (h, k, n, n, align, p);
          err = huge == 0 || !large ? huge : err;
        }
    }
  return err == ENOSPC && h == process.default_heap ? ENOMEM : err;
}

/* SIZE bytes were freed: counted where this process trims by itself.  */
static inline void
give_count (struct heap *h, size_t size)
{
  if (MM_UNLIKELY (h->trim_threshold != 0))
    word_add (&h->freed, size);
}

/* The same of a block of class CL that was freed in a full word: as much as all
   of the word, whose other blocks may follow without being seen.  */
static inline void
give_count_word (struct heap *h, unsigned cl)
{
  give_count (h, class_table[cl].size * size_min (class_table[cl].count, 64));
}

/* Free the block of whole slices at AT.  EINVAL: it is free already.  */
static int
give_slices (struct heap *h, const struct place *at)
{
  bool huge = at->kind == PLACE_HUGE;
  if (huge && !lock_grow (h))
    return ETIMEDOUT;
  if (!lock_heap (h))
    {
      if (huge)
        unlock_grow (h);
      return ETIMEDOUT;
    }
  op_note (h, NULL, true);
  size_t n = huge ? huge_give_locked (h, at->number)
                  : large_give_locked (h, at->number);
  op_noted (true);
  unlock_heap (h);
  if (huge && n > 0)
    huge_drop (h, at->start, n << MM_SLICE_SHIFT);
  if (huge)
    unlock_grow (h);
  return n > 0 ? 0 : EINVAL;
}

/* Nothing is wrong, but the lock was not had in time.  */
static const char give_later[] = "the block is live as before";

/* Free the block at AT, and end the slot call that is on record in OP, NULL: it
   is none; what is wrong, or NULL.  After give_later all is as before.  */
static const char *
give_block (struct heap *h, struct cache *k, struct place *at,
            struct disk_op *op)
{
  bool small = at->kind == PLACE_SMALL, full = false;
  bool own = small && cache_is_exclusive (k)
             && head_owner (at->head) == k->stream;
  unsigned walk = k == NULL ? lock_walk (h) : 0;
  /* Before the block can be somebody else's.  */
  mark_free (h, at->start, at->usable);
  thread.op = op;
  int err = small ? 0 : give_slices (h, at);
  bool done = !small ? err == 0
              : own  ? page_free_own (at->r, at->i, &full)
                     : page_free_remote (at->r, at->i, &full);
  thread.op = NULL;
  if (op != NULL && err != ETIMEDOUT)
    op_release (h, op);
  /* Nobody could take the block before; so the hint comes last.  */
  if (done && full && own)
    page_relist (h, k->stream, at->r, at->number);
  else if (done && full)
    queue_push (h, head_owner (at->head), at->r, at->number);
  if (done && full)
    give_count_word (h, head_class (at->head));
  else if (done && !small)
    give_count (h, at->usable);
  if (k == NULL)
    unlock_walk (h, walk);
  return done ? NULL : err == ETIMEDOUT ? give_later : place_free;
}

/* Whether a small block of USABLE bytes should be left where it is when it is
   resized to SIZE.  */
static inline bool
resize_may_keep (size_t usable, size_t size)
{
  return size <= usable && (size > usable / 2 || usable <= 64);
}

/* Make the block at AT SIZE bytes long without moving it.  */
static bool
resize_block (struct heap *h, struct place *at, size_t size)
{
  if (at->kind == PLACE_SMALL)
    return resize_may_keep (at->usable, size);
  if (size > PTRDIFF_MAX - MM_ALIGN_MAX)
    return false;
  size_t n = at->usable >> MM_SLICE_SHIFT;
  size_t want = (size + MM_SLICE - 1) >> MM_SLICE_SHIFT;
  /* In a single slice smaller ones are left that may grow.  */
  if (want == n)
    return n > 1 || size >= h->file.kind->room_least;
  if (size <= MM_SMALL_MAX / 2)
    return false;
  return at->kind == PLACE_LARGE ? large_resize (h, at->number, want)
                                 : huge_resize (h, at->number, n, want);
}


/* ---- 34. Roots ---------------------------------------------------------- */

/* Owns: buckets, slices of kind ROOTS.  Needs: no lock; takes the heap lock.
   Crash: a root changes by the store of its value; a new record is linked by
   one store when it is complete.  A slice for the processes' own pages that is
   not known yet stays out of use.  A power cut leaves any page as it was at
   any moment since the last sync: on the way to a root that was on the disk
   are only words that have not changed since.  Keeps: I8.  Checked by:
   check_roots, roots_from_many_threads, local_pages, power_cut_roots.  */

static const char root_broken[] = "the chain of records with this root is"
                                  " broken: the file is damaged";

/* Whether a name of LEN bytes is one: 0 or an errno value.  */
static int
root_length (size_t len, struct reason *why)
{
  if (len > 0 && len <= MM_NAME_MAX)
    return 0;
  return fail_because (why, len == 0 ? EINVAL : ENAMETOOLONG, "the name of a"
                       " root has 1 to %d bytes, not %zu", MM_NAME_MAX, len);
}

/* Whether HEAD is that of a slice for records.  */
static inline bool
root_has_records (uint64_t head)
{
  return head_kind (head) == HEAD_ROOTS && head_class (head) != ROOTS_LOCAL;
}

/* Whether a record, of whatever name, can begin at IN_SLICE of slice NUMBER.
   */
static bool
root_fits (struct heap *h, uint32_t number, size_t in_slice)
{
  struct disk_slice *r = run_record (h, number);
  /* Inside first: what a reader has not mapped cannot be looked at.  */
  return r != NULL && run_is_inside (h, number, 1)
         && root_has_records (head_see (r)) && in_slice % 16 == 0
         && in_slice + sizeof (struct disk_name) + MM_NAME_MAX + 16 <= MM_SLICE;
}

/* The record at region offset OFF, or NULL if there cannot be one.  */
static struct disk_name *
root_at (struct heap *h, uint64_t off)
{
  /* An offset before the grid becomes one far beyond all slices.  */
  uint64_t from_grid = off - (h->grid - h->file.base);
  uint64_t number = from_grid >> MM_SLICE_SHIFT;
  if (number > UINT32_MAX
      || !root_fits (h, (uint32_t) number, from_grid % MM_SLICE))
    return NULL;
  struct disk_name *name = (struct disk_name *) (h->file.base + off);
  size_t len = word_peek (&name->len);
  return len <= MM_NAME_MAX && len <= name->room ? name : NULL;
}

/* A walk along a chain of roots.  It ends, whatever the file says: a chain
   that comes back to where it was at the last power of two of steps is
   circular (Brent's method).  */
struct root_walk
{
  disk_u64 *link;       /* to the next record */
  size_t bucket;
  size_t steps;
  uint64_t mark;
  bool damaged;         /* there should have been one */
  uint64_t value;       /* of the record that was reached; 0: it has none */
  char name[MM_NAME_MAX + 1];
};

/* Begin WALK in front of the first record of BUCKET.  */
static void
root_start (struct heap *h, size_t bucket, struct root_walk *walk)
{
  walk->link = &h->bucket[bucket];
  walk->bucket = bucket;
  walk->steps = 0;
  walk->mark = 0;
  walk->damaged = false;
}

/* Read record ROOT, which another process may be giving to another name just
   now: then it has no value.  Whether it is one that the chain can lead to:
   after a power cut a link may be newer than the page that it leads to.  */
static bool
root_read (struct disk_name *root, struct root_walk *walk)
{
  uint64_t turn = word_see (&root->turn);
  uint64_t value = word_see (&root->value);
  uint32_t hash = word_peek (&root->hash);
  size_t len = word_peek (&root->len);
  if (hash % MM_BUCKETS != walk->bucket || len == 0 || len > MM_NAME_MAX)
    return false;
  for (size_t i = 0; i < len; i++)
    walk->name[i] = word_peek (&root->name[i]);
  walk->name[len] = '\0';
  word_fence_see ();
  bool changes = (turn & 1) != 0 || word_peek (&root->turn) != turn;
  walk->value = changes ? 0 : value;
  return changes || (uint32_t) sum_bytes (walk->name, len) == hash;
}

/* The next record, which has been read, or NULL.  */
static struct disk_name *
root_step (struct heap *h, struct root_walk *walk)
{
  uint64_t off = word_see (walk->link);
  if (off == 0)
    return NULL;
  struct disk_name *root = off != walk->mark ? root_at (h, off) : NULL;
  walk->damaged = root == NULL || !root_read (root, walk);
  if (walk->damaged)
    return NULL;
  walk->link = &root->next;
  walk->steps++;
  if ((walk->steps & (walk->steps - 1)) == 0)
    walk->mark = off;
  return root;
}

/* Whether LEN bytes at OFF lie in two pages.  */
static bool
root_crosses (uint64_t off, size_t len)
{
  return off % MM_PAGE + len > MM_PAGE;
}

/* Give record ROOT, which has no value, a name.  */
static void
root_write_locked (struct disk_name *root, const char *name, size_t len,
                   uint32_t hash)
{
  /* Of two pages a power cut may keep one.  */
  MM_NEEDS (!root_crosses ((uintptr_t) root, sizeof *root + len));
  uint64_t turn = word_peek (&root->turn) | 1;
  word_put (&root->turn, turn);
  word_fence_publish ();
  word_put (&root->hash, hash);
  word_put (&root->len, (uint16_t) len);
  for (size_t i = 0; i < len; i++)
    word_put (&root->name[i], name[i]);
  /* Seen by root_read.  */
  word_publish (&root->turn, turn + 1);
}

/* The record of NAME, which WALK has read, if it has a value.  Else NULL, with
   WALK at the end of the chain or where that is damaged.  */
static struct disk_name *
root_find (struct heap *h, const char *name, size_t len,
           struct root_walk *walk)
{
  struct disk_name *root;
  root_start (h, (uint32_t) sum_bytes (name, len) % MM_BUCKETS, walk);
  while ((root = root_step (h, walk)) != NULL)
    if (walk->value != 0 && strcmp (walk->name, name) == 0)
      break;
  return root;
}

/* Take free slice NUMBER for the processes' own pages.  Those who have not
   mapped theirs see zeros.  The head comes first: with the number stored, it is
   never another's; killed between, the slice is of no use any more.  */
static void
root_local_take_locked (struct heap *h, uint32_t number)
{
  mark_own (page_start (h, number), MM_SLICE);
  memset (page_start (h, number), 0, MM_SLICE);
  run_take_locked (h, number, 1,
                   head_make (HEAD_ROOTS, 0, 0, ROOTS_LOCAL, 1));
  /* Seen by root_local_number.  */
  word_publish (&h->root->local, number);
}

/* Set a slice aside for them, if there is none yet.  */
static int
root_local_slice (struct heap *h)
{
  uint32_t number = 0;
  int err = 0;
  if (!lock_grow (h))
    return ETIMEDOUT;
  size_t limit = proc_limit (h);
  while (number == 0 && err == 0)
    {
      err = lock_heap (h) ? 0 : ETIMEDOUT;
      if (err != 0)
        break;
      bool there = word_peek (&h->root->local) != 0;
      number = there ? 1 : run_search_locked (h, 1, MM_SLICE);
      if (number != 0 && !there)
        root_local_take_locked (h, number);
      unlock_heap (h);
      if (number == 0)
        err = grow_by (h, 1, MM_SLICE, limit);
    }
  unlock_grow (h);
  return err;
}

/* The mark behind the last record may be older than records: the machine went
   down.  Move it behind all those that chains lead to.  */
static void
root_mend_locked (struct heap *h)
{
  MM_NEEDS (needs_heap_lock (h));
  struct root_walk walk;
  struct disk_name *root;
  uint64_t slab = word_peek (&h->root->slab);
  for (size_t b = 0; b < MM_BUCKETS; b++)
    {
      root_start (h, b, &walk);
      while ((root = root_step (h, &walk)) != NULL)
        {
          uint64_t from_grid = (uintptr_t) root - h->grid;
          uint64_t end = (from_grid >> MM_SLICE_SHIFT << 32)
                         + from_grid % MM_SLICE + sizeof *root
                         + round_up (root->room, 16);
          if (end >> 32 == slab >> 32 && end > slab)
            slab = end;
        }
    }
  word_settle (&h->root->slab, slab);
  word_settle (&h->locks->roots_doubt, 0);
}

/* A record for a name of LEN bytes, which has none, in the chain of WALK: one
   that was forgotten, or a new one for *LINK to lead to; NULL: a slice for
   records is needed first.  What is on the disk must not hang on what may be
   lost, so a new one comes last; and no record that is written lies in two
   pages, of which one may be lost.  */
static struct disk_name *
root_record_locked (struct heap *h, struct root_walk *walk, size_t len,
                    disk_u64 **link)
{
  MM_NEEDS (needs_heap_lock (h));
  struct disk_name *root;
  root_start (h, walk->bucket, walk);
  while ((root = root_step (h, walk)) != NULL)
    if (word_peek (&root->value) == 0 && root->room >= len
        && !root_crosses (off_file (h, root), sizeof *root + len)
        && !op_makes_root_at (h, off_file (h, &root->value)))
      return root;
  if (word_peek (&h->locks->roots_doubt) != 0)
    root_mend_locked (h);
  uint64_t slab = word_peek (&h->root->slab);
  size_t need = round_up (len + sizeof *root, 16);
  if (root_crosses (slab, need))
    slab = round_up (slab, MM_PAGE);
  uint32_t number = (uint32_t) (slab >> 32), used = (uint32_t) slab;
  if (!root_fits (h, number, used))
    return NULL;
  /* The mark first: a kill wastes the room.  */
  word_settle (&h->root->slab, slab + need);
  *link = walk->link;
  root = (struct disk_name *) (void *) (page_start (h, number) + used);
  root->room = (uint16_t) (need - sizeof *root);
  word_put (&root->value, 0);
  word_put (&root->turn, 0);
  word_put (&root->next, 0);
  return root;
}

/* No errno value: a slice for records is needed.  */
enum { ROOT_NO_SLICE = -1 };

/* Set root NAME of LEN bytes to VALUE: 0, EBADMSG, EBUSY or ROOT_NO_SLICE.
   */
static int
root_set_locked (struct heap *h, const char *name, size_t len, uint64_t value)
{
  MM_NEEDS (needs_heap_lock (h));
  struct root_walk walk;
  disk_u64 *link = NULL;
  struct disk_name *root = root_find (h, name, len, &walk);
  if (walk.damaged)
    return EBADMSG;
  if (root == NULL && value == 0)
    return 0;
  if (op_makes_block (h, value - h->file.base))
    return EBUSY;
  if (root == NULL)
    {
      root = root_record_locked (h, &walk, len, &link);
      if (root == NULL)
        return ROOT_NO_SLICE;
      root_write_locked (root, name, len, (uint32_t) sum_bytes (name, len));
    }
  /* Seen by root_read.  */
  word_publish (&root->value, value);
  if (link != NULL)
    /* Seen by root_step.  */
    word_publish (link, off_file (h, root));
  return 0;
}

/* Set aside a slice for records.  */
static int
root_slice (struct heap *h, bool *swept)
{
  uint32_t number;
  int err;
  do
    err = grow_run (h, 1, MM_SLICE, head_make (HEAD_ROOTS, 0, 0, 0, 1),
                    &number);
  while (err != 0 && sweep_once (h, NULL, swept));
  return err;
}

/* Set root NAME of LEN bytes to VALUE, with a new slice for records if need
   be.  */
static int
root_set (struct heap *h, const char *name, size_t len, uint64_t value,
          struct reason *why)
{
  for (bool swept = false; ; )
    {
      if (!lock_heap (h))
        return ETIMEDOUT;
      int err = root_set_locked (h, name, len, value);
      unlock_heap (h);
      if (err == EBADMSG)
        return fail_because (why, err, root_broken);
      if (err == EBUSY)
        return fail_because (why, err, "the block is a root that is being made:"
                                       " it gets its name when its function has"
                                       " returned");
      if (err == ROOT_NO_SLICE)
        err = root_slice (h, &swept);
      else
        return err;
      if (err != 0)
        return err;
    }
}

/* The slice of the processes' own pages; 0: there is none, or *DAMAGED.  */
static uint32_t
root_local_number (struct heap *h, bool *damaged)
{
  uint64_t number = word_see (&h->root->local);
  *damaged = false;
  if (number == 0)
    return 0;
  struct disk_slice *r = number <= UINT32_MAX
                         ? run_record (h, (uint32_t) number) : NULL;
  *damaged = r == NULL || !run_is_inside (h, (uint32_t) number, 1)
             || head_see (r) != head_make (HEAD_ROOTS, 0, 0, ROOTS_LOCAL, 1);
  return *damaged ? 0 : (uint32_t) number;
}

/* Map this process's own page over slice NUMBER, if that was not done yet; 0 or
   an errno value.  */
static int
root_local_map (struct heap *h, uint32_t number)
{
  char *p = page_start (h, number);
  int err = 0;
  lock_registry ();
  if (word_peek (&h->local) == NULL)
    {
      if (space_map (p, MM_SLICE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1)
          == MAP_FAILED)
        err = errno;
      else
        {
          mark_own (p, MM_SLICE);
          /* Seen by root_local.  */
          word_publish (&h->local, p);
        }
    }
  unlock_registry ();
  return err;
}

/* Pointers to this process's own page lead there from now on, not to what the
   file has in its place.  Damage there is told when somebody asks.  */
static int
root_local_open (struct heap *h, struct reason *why)
{
  bool damaged;
  uint32_t number = h->file.kind->anywhere ? 0
                                           : root_local_number (h, &damaged);
  int err = number != 0 ? root_local_map (h, number) : 0;
  return err == 0 ? 0
                  : fail_because (why, err, "no memory for the process's page");
}

/* The process's own page of H, made if need be, in *P; 0 or an errno value.  */
static int
root_local (struct heap *h, char **p, struct reason *why)
{
  int err = 0;
  bool damaged, swept = false;
  *p = word_see (&h->local);
  if (*p != NULL)
    return 0;
  if (h->file.kind->anywhere)
    return fail_because (why, EINVAL, "a heap that is open at another address"
                                      " than its own has no page of the"
                                      " process");
  uint32_t number = root_local_number (h, &damaged);
  if (number == 0 && !damaged && !h->file.kind->changes)
    return fail_because (why, EROFS, "read-only, and nobody who writes has"
                                     " asked for a page of the process yet");
  if (number == 0 && !damaged)
    {
      do
        err = root_local_slice (h);
      while (err != 0 && sweep_once (h, NULL, &swept));
      if (err != 0)
        return err;
      number = root_local_number (h, &damaged);
    }
  if (damaged)
    return fail_because (why, EBADMSG, "the place of the process's page, 0x%lx,"
                                       " is damaged",
                         (unsigned long) word_peek (&h->root->local));
  err = root_local_map (h, number);
  *p = word_see (&h->local);
  return err;
}


/* ---- 35. Walking and counting ------------------------------------------- */

/* Owns: nothing, changes nothing.
   Needs: no lock; the walkers' lock keeps the file from being cut meanwhile.
   Counts are exact if nobody else works on the heap.
   Crash: nothing changes.
   Keeps: nothing.
   Checked by: walk_match, stats_match.  */

/* What walk_heap found: a run; a HUGE block, r is NULL; a FREE slice, n is 0.
   */
struct sight
{
  struct disk_slice *r;
  uint64_t head;
  size_t c, s, n;
};

/* Show every HUGE block, every used run and every FREE slice with a record to
   SEE, until it returns other than 0.  */
static int
walk_heap (struct heap *h, int (*see) (struct heap *h, const struct sight *,
                                       void *arg), void *arg)
{
  int stop = 0;
  unsigned walk = lock_walk (h);
  for (size_t c = 0; c < run_chunks (h) && stop == 0; c++)
    {
      uint64_t d = dir_get (h, c);
      struct sight seen = { NULL, 0, c, dir_start (d), dir_slices (d) };
      if (dir_kind (d) == DIR_HUGE)
        {
          if (off_file (h, off_slice (h, c, seen.s))
                + (seen.n << MM_SLICE_SHIFT)
              <= off_seen (h))
            stop = see (h, &seen, arg);
          continue;
        }
      /* The end each time: a new run may reach into records that were not
         there before.  */
      for (seen.s = slice_first_data (h, c);
           seen.s < run_ready (h, c) && stop == 0;
           seen.s += seen.n > 0 ? seen.n : 1)
        {
          seen.r = off_record (h, c, seen.s);
          seen.head = head_see (seen.r);
          /* Behind the head: it was stored after the end.  */
          seen.n = run_covers (seen.head, seen.s, run_ready (h, c));
          stop = see (h, &seen, arg);
        }
    }
  unlock_walk (h, walk);
  return stop;
}

/* What a sight is: one block of whole slices; a page; else roots or free.  */
static bool
sight_is_block (const struct sight *seen)
{
  return seen->r == NULL || head_kind (seen->head) == HEAD_LARGE;
}

/* Whether SEEN is a page of blocks.  In a damaged heap the class of a head may
   be none.  */
static bool
sight_is_page (const struct sight *seen)
{
  return seen->r != NULL && seen->n > 0 && head_kind (seen->head) == HEAD_PAGE
         && head_class (seen->head) < MM_CLASSES;
}

/* For blocks: FN of mmalloc_walk, with guards taken off.  */
struct walk
{
  int (*fn) (void *block, size_t size, void *arg);
  void *arg;
};

/* Call the program's function for BLOCK, as the program knows it: between the
   guards if there are some.  */
static int
walk_block (struct heap *h, const struct place *block, void *arg)
{
  const struct walk *w = arg;
  size_t size = block->usable;
  char *user = word_peek (&h->root->guards) != 0 ? guard_find (h, block) : NULL;
  if (user != NULL)
    guard_is_intact (h, block, user, &size);
  return w->fn (user != NULL ? user : block->start, size, w->arg);
}

/* What to call for every live block.  */
struct sight_call
{
  int (*fn) (struct heap *h, const struct place *, void *arg);
  void *arg;
};

/* Make CALL for every live block of a run.  */
static int
sight_blocks (struct heap *h, const struct sight *seen, void *call)
{
  const struct sight_call *to = call;
  struct place block = { .start = off_slice (h, seen->c, seen->s),
                         .usable = seen->n << MM_SLICE_SHIFT };
  int stop = 0;
  /* In a damaged heap a run may reach too far.  */
  if (off_file (h, block.start) + block.usable > off_seen (h))
    return 0;
  if (sight_is_block (seen))
    return to->fn (h, &block, to->arg);
  if (!sight_is_page (seen)
      || seen->n < class_table[head_class (seen->head)].slices)
    return 0;
  unsigned cl = head_class (seen->head);
  char *start = block.start;
  block.usable = class_table[cl].size;
  for (unsigned w = 0; w < class_words (cl); w++)
    for (uint64_t live = page_live_bits (seen->r, cl, w);
         live != 0 && stop == 0; live &= live - 1)
      {
        block.start = start + (w * 64 + bit_lowest (live)) * block.usable;
        stop = to->fn (h, &block, to->arg);
      }
  return stop;
}

/* Counting under way.  */
struct stat_count
{
  struct mmalloc_stats *st;
  uint32_t next; /* a free backed run goes on there */
  size_t run, longest;
};

/* How many free blocks page R of class CL has that lie over none of HOLES.  */
static unsigned
stat_free_backed (struct disk_slice *r, unsigned cl, uint64_t holes)
{
  unsigned n = 0;
  for (unsigned i = 0; i < class_table[cl].count; i++)
    n += !page_is_live (r, cl, i) && (page_span (cl, i, MM_PAGE) & holes) == 0;
  return n;
}

/* Count what is seen SEEN: a free slice, a block of whole slices, a page's
   blocks, or something of the heap's own.  */
static int
stat_see (struct heap *h, const struct sight *seen, void *arg)
{
  struct stat_count *count = arg;
  struct mmalloc_stats *stats = count->st;
  struct mmalloc_class_stats *cl = &stats->classes[MM_CLASSES];
  size_t bytes = seen->n << MM_SLICE_SHIFT;
  if (seen->r != NULL && seen->n == 0)
    {
      if (!map_get (off_index (h, seen->c)->backed, seen->s))
        return 0;
      uint32_t number = slice_number (seen->c, seen->s);
      count->run = number == count->next ? count->run + 1 : 1;
      count->longest = size_max (count->longest, count->run);
      count->next = number + 1;
      stats->bytes_free += MM_SLICE;
      bytes = MM_SLICE;
    }
  else if (sight_is_block (seen))
    {
      cl->blocks_live++;
      stats->blocks_live++;
      stats->bytes_live += bytes;
    }
  else if (sight_is_page (seen))
    {
      unsigned n = head_class (seen->head), live = 0;
      for (unsigned w = 0; w < class_words (n); w++)
        live += bit_count (page_live_bits (seen->r, n, w));
      uint64_t holes = head_state (seen->head) == HEAD_THIN
                         ? word_see (&seen->r->holes) & page_all_holes (n) : 0;
      unsigned free = class_table[n].count - live;
      if (holes != 0)
        free = stat_free_backed (seen->r, n, holes);
      cl = &stats->classes[n];
      cl->blocks_live += live;
      cl->blocks_free += free;
      stats->blocks_live += live;
      stats->blocks_free += free;
      stats->bytes_live += (size_t) live * class_table[n].size;
      stats->bytes_free += (size_t) free * class_table[n].size;
      bytes -= bit_count (holes) * (size_t) MM_PAGE;
    }
  else
    stats->bytes_meta += bytes;
  stats->bytes_backed += bytes;
  return 0;
}

/* In a file that has all of its length EMPTY chunks keep their disk blocks.  */
static void
stat_whole_chunks (struct heap *h, struct mmalloc_stats *stats,
                   struct stat_count *count)
{
  size_t run = 0;
  for (size_t c = 0; c < run_chunks (h); c++)
    {
      size_t n = run_chunk_is_empty (h, c) ? slice_count (h, c) : 0;
      run = n > 0 ? run + n : 0;
      count->longest = size_max (count->longest, run);
      stats->bytes_free += n << MM_SLICE_SHIFT;
      stats->bytes_backed += n << MM_SLICE_SHIFT;
    }
}

/* Count what there is, and what the heap needs for itself.  */
static void
stat_heap (struct heap *h, struct mmalloc_stats *stats)
{
  struct stat_count count = { .st = stats };
  walk_heap (h, stat_see, &count);
  size_t meta = MM_OFF_INDEX + off_dir_bytes (h)
                + word_peek (&h->locks->streams_ready)
                    * sizeof (struct disk_stream);
  size_t entries = off_procs_used (h) * sizeof (struct disk_proc);
  if (entries > MM_OFF_ROOT - MM_OFF_PROCS)
    meta += round_up (entries - (MM_OFF_ROOT - MM_OFF_PROCS), MM_PAGE);
  unsigned walk = lock_walk (h);
  for (size_t c = 0; c < run_chunks (h); c++)
    if (dir_kind (dir_get (h, c)) == DIR_PAGED)
      meta += MM_PAGE + run_ready (h, c) * MM_RECORD;
  unlock_walk (h, walk);
  if (!huge_may_drop (h))
    stat_whole_chunks (h, stats, &count);
  stats->bytes_meta += meta;
  stats->bytes_backed += meta;
  stats->largest_free = count.longest << MM_SLICE_SHIFT;
}

/* Under ASan and valgrind only live blocks may be touched.  */
static int
sight_mark_block (struct heap *h, const struct place *block, void *arg)
{
  (void) arg;
  mark_block (h, block->start, block->usable);
  mark_range (block->start, block->usable, true);
  return 0;
}

/* Tell the tools of the blocks of a run; what is free in a page is nobody's.
   */
static int
sight_mark (struct heap *h, const struct sight *seen, void *arg)
{
  if (sight_is_page (seen) && process.asan)
    __asan_poison_memory_region (off_slice (h, seen->c, seen->s),
                                 seen->n << MM_SLICE_SHIFT);
  return sight_blocks (h, seen, &(struct sight_call){ sight_mark_block, arg });
}

/* The blocks of a heap that goes are no blocks of this process any more.  */
static int
sight_unmark_block (struct heap *h, const struct place *block, void *arg)
{
  (void) arg;
  mark_free (h, block->start, block->usable);
  return 0;
}


/* ---- 36. Superblocks and directory -------------------------------------- */

/* Owns: struct disk_super.  Reads a file before it is used.
   Needs: the door, or to be alone with the heap.
   Crash: the copy that is being written is not the valid one.
   Keeps: I9; and what it lets pass leads to nothing outside of the file.
   Checked by: check_supers, damage_golden, damage_random, damage_bits,
   damage_truncated, step.  */

/* The sum of S, without the member that holds it.  */
static uint64_t
super_sum (const struct disk_super *s)
{
  struct disk_super copy = *s;
  copy.sum = 0;
  return sum_bytes (&copy, s->version < MM_FORMAT_LOG
                             ? offsetof (struct disk_super, log)
                             : sizeof copy);
}

/* Whether S is of a version of the format, and of a number of process entries,
   that this build knows.  */
static bool
super_is_known (const struct disk_super *s)
{
  return s->version == MM_FORMAT || s->version == MM_FORMAT_LOG
           ? s->n_procs == MM_PROCS || s->n_procs == MM_PROCS_FIRST
           : s->version == 1 && s->n_procs == MM_PROCS_FIRST;
}

/* Whether the log of S can be where it says, or there is none: in chunks but the
   first, or behind the capacity.  */
static bool
super_log_fits (const struct disk_super *s)
{
  if (s->version < MM_FORMAT_LOG)
    return true;
  if (s->log % MM_PAGE != 0 || s->log_size % (2 * MM_PAGE) != 0
      || s->log_size < MM_LOG_LEAST
      || s->log_size > MM_LOG_TIMES * s->capacity)
    return false;
  uint64_t grid = round_up (s->base, MM_SLICE) - s->base;
  return s->log < s->capacity
           ? s->log >= grid + MM_CHUNK && (s->log - grid) % MM_CHUNK == 0
             && s->log + round_up (s->log_size, MM_CHUNK) <= s->capacity
           : s->log < UINT64_C (1) << 50;
}

/* Whether chunk C is where the superblock says that the log is.  */
static bool
super_is_log (const struct heap *h, size_t c)
{
  uint64_t at = ((uint64_t) c << MM_CHUNK_SHIFT) + h->grid - h->file.base;
  return at >= h->super.log
         && at < h->super.log + round_up (h->super.log_size, MM_CHUNK);
}

/* Whether S could be used by this build on this machine.  */
static int
super_verify (const struct disk_super *s, struct reason *why)
{
  if (s->magic == __builtin_bswap64 (MM_MAGIC))
    return fail_because (why, ENOTSUP,
                         "made on a machine of another byte order");
  if (s->magic != MM_MAGIC)
    return fail_because (why, EINVAL, "not a heap file");
  if (s->version > MM_FORMAT_LOG)
    return fail_because (why, ENOTSUP, "made by a newer version of libmmalloc:"
                                       " of format %u, not %u",
                         (unsigned) s->version, (unsigned) MM_FORMAT_LOG);
  if (s->sum != super_sum (s))
    return fail_because (why, EBADMSG, "the superblock is damaged");
  if (!super_is_known (s) || s->order != MM_ORDER || s->slice != MM_SLICE
      || s->chunk != MM_CHUNK || s->n_classes != MM_CLASSES
      || s->class_sum != process.class_sum || s->features != 0)
    return fail_because (why, ENOTSUP, "made by another build of libmmalloc");
  if (s->base == 0 || s->base % MM_PAGE != 0
      || s->capacity < MM_RESERVE_MIN || s->capacity % MM_PAGE != 0
      || s->capacity > UINT64_C (1) << 46
      || s->base > (UINT64_C (1) << 56) || s->n_shared == 0
      || s->n_shared > MM_SHARED_MAX || s->n_streams < s->n_shared
      || s->n_streams > MM_STREAMS_MAX || s->zero != 0
      || !super_log_fits (s))
    return fail_because (why, EBADMSG, "the superblock is damaged");
  if (s->base % process.system_page != 0)
    return fail_because (why, ENOTSUP, "the system's pages are larger than the"
                                       " maker's: 0x%lx is no multiple of %zu",
                         (unsigned long) s->base, process.system_page);
  return 0;
}

/* The valid copy in the file with the highest generation, in *INTO unless
   that is NULL; its generation, 0: none is valid.  */
static uint64_t
super_newest (struct heap *h, struct disk_super *into)
{
  uint64_t newest = 0;
  struct disk_super copy;
  struct reason why;
  for (size_t i = 0; i < 2; i++)
    {
      memcpy (&copy, (char *) h->file.base + i * MM_PAGE, sizeof copy);
      if (super_verify (&copy, &why) != 0 || copy.generation <= newest)
        continue;
      newest = copy.generation;
      if (into != NULL)
        *into = copy;
    }
  return newest;
}

/* Whether superblock S is of another boot than this.  Of two boots without
   names nobody knows; ANY: then they are taken for two.  */
static bool
super_other_boot (const struct disk_super *s, bool any)
{
  static const uint8_t unknown[16];
  uint8_t id[16];
  os_boot_id (id);
  if (memcmp (id, unknown, sizeof id) == 0
      || memcmp (s->boot_id, unknown, sizeof id) == 0)
    return any;
  return memcmp (id, s->boot_id, sizeof id) != 0;
}

/* Whether the machine went down with the heap in use, and nobody has closed it
   since.  Needs: what L says was so when S was the superblock.  */
static bool
super_went_down (const struct disk_super *s, const struct disk_locks *l)
{
  return word_peek (&l->state) != MM_CLEAN
         && (word_peek (&l->went_down) != 0 || super_other_boot (s, false));
}

/* The superblock tells that the file is this one, which has STATUS.  */
static void
super_see_file (struct heap *h, const struct stat *status)
{
  struct disk_super *s = &h->super;
  s->dev = h->file.born != 0 ? h->file.born : status->st_dev;
  s->ino = status->st_ino;
  s->blocks = (uint64_t) status->st_blocks;
  os_boot_id (s->boot_id);
}

/* Whether the file may be a copy that lost its blocks: it is another one than
   the superblock knows, or has fewer blocks than it should have.  */
static bool
super_is_copy (struct heap *h)
{
  struct stat status;
  if (os_stat (h->file.fd, &status) != 0)
    return false;
  uint64_t blocks = (uint64_t) status.st_blocks;
  return !proc_is_home (h)
         || blocks * 512 / MM_SLICE < word_peek (&h->locks->n_backed)
         || (blocks < h->super.blocks && word_peek (&h->root->punched) == 0);
}

/* The first one since the machine was started leaves notes, before superblock
   and state say that all is as usual.  */
static void
super_see_boot (struct heap *h)
{
  struct disk_locks *l = h->locks;
  if (super_other_boot (&h->super, true))
    word_put (&l->roots_doubt, 1);
  word_settle (&l->went_down, super_went_down (&h->super, l));
  /* Release: nothing of it comes after the superblock.  */
  word_fence_publish ();
}

/* Store the superblock's next generation in the copy that is not the valid
   one.  */
static void
super_save (struct heap *h)
{
  struct disk_super *s = &h->super;
  struct stat status;
  if (os_stat_own (&h->file, h->file.fd, &status) == 0)
    super_see_file (h, &status);
  /* Others, a fork parent for instance, may have saved one since ours.  */
  s->generation = size_max (s->generation, super_newest (h, NULL)) + 1;
  s->sum = super_sum (s);
  memcpy ((char *) h->file.base + (s->generation & 1) * MM_PAGE, s, sizeof *s);
  word_settle (&h->root->punched, 0);
}

/* Read the valid superblock and the length.  */
static int
super_read (int fd, uint64_t file_size, struct disk_super *s, uint64_t *length,
            struct reason *why)
{
  struct disk_super copy[2] = { { 0 } };
  struct reason wrong[2];
  int err[2];
  for (int i = 0; i < 2; i++)
    {
      const off_t at = (off_t) i * MM_PAGE;
      if (file_size < (uint64_t) at + sizeof copy[i])
        err[i] = fail_because (&wrong[i], EINVAL, "not a heap file");
      else if ((err[i] = os_pread_all (fd, &copy[i], sizeof copy[i], at)) != 0)
        fail_because (&wrong[i], err[i], "the superblock cannot be read");
      else
        err[i] = super_verify (&copy[i], &wrong[i]);
    }
  if (err[0] != 0 && err[1] != 0)
    {
      int i = err[0] == EINVAL ? 1 : 0;
      *why = wrong[i];
      *s = copy[i];
      return err[i];
    }
  *s = copy[err[0] != 0
            || (err[1] == 0 && copy[1].generation > copy[0].generation)];
  if (s->version < MM_FORMAT_LOG)
    s->log = s->log_size = s->log_epoch = s->log_base = 0;
  int unread = file_size < MM_OFF_RECORDS
                 ? EBADMSG
                 : os_pread_all (fd, length, sizeof *length, MM_OFF_ROOT);
  struct stat status = { .st_size = (off_t) file_size };
  /* The size after the length: others may grow the file just now.  */
  if (unread == 0 && *length > file_size)
    unread = os_stat (fd, &status);
  if (unread != 0 && unread != EBADMSG)
    return fail_because (why, unread, "the file's length cannot be read");
  if (unread != 0)
    return fail_because (why, EBADMSG, "the file is truncated: it has %lu"
                                       " bytes", (unsigned long) file_size);
  /* Others may have made one that made the file longer.  */
  if (s->log + s->log_size > (uint64_t) status.st_size
      && (unread = os_stat (fd, &status)) != 0)
    return fail_because (why, unread, "the file's length cannot be read");
  if (s->log + s->log_size > (uint64_t) status.st_size)
    return fail_because (why, EBADMSG, "the file is truncated: its log ends at"
                                       " %lu, the file at %lu",
                         (unsigned long) (s->log + s->log_size),
                         (unsigned long) status.st_size);
  /* A log may have to make it longer first.  */
  if (*length > (uint64_t) status.st_size && s->log == 0)
    return fail_because (why, EBADMSG, "the file is truncated: it has %lu bytes"
                                       " of %lu",
                         (unsigned long) status.st_size,
                         (unsigned long) *length);
  if (*length > s->capacity || *length < MM_OFF_RECORDS)
    return fail_because (why, EBADMSG, "the length is damaged");
  return 0;
}

/* The copy of page N as it was last committed, if it is pending; or NULL.  */
static char *
super_kept (const struct heap *h, uint64_t n)
{
  struct log *l = h->log;
  return l != NULL && l->kept != NULL ? l->kept[n] : NULL;
}

/* Read N bytes at OFF of the heap as it was last committed.  */
static int
super_look (const struct heap *h, void *to, size_t n, size_t off)
{
  int err = os_pread_all (h->file.fd, to, n, (off_t) off);
  for (size_t at = off; err == 0 && at < off + n; at = round_up (at + 1, MM_PAGE))
    {
      const char *copy = super_kept (h, at / MM_PAGE);
      size_t end = size_min (round_up (at + 1, MM_PAGE), off + n);
      if (copy != NULL)
        memcpy ((char *) to + (at - off), copy + at % MM_PAGE, end - at);
    }
  return err;
}

/* How far a walk along the directory has come.  */
struct verify
{
  size_t first, covered;       /* chunks up to here belong to the HUGE block at
                                  the first one */
};

/* What is wrong with directory word D of chunk C, which comes after those that
   V has seen, or NULL: it leads to nothing outside of LENGTH bytes.  I5.  */
static const char *
verify_chunk (struct heap *h, size_t c, uint64_t d, size_t length,
              struct verify *v)
{
  unsigned kind = dir_kind (d);
  size_t n = dir_slices (d), ready = dir_ready (d);
  /* mfree looks at this number, whatever the kind.  */
  if (kind > DIR_CONT || (kind != DIR_PAGED && ready != 0))
    return "I5: a chunk of no kind";
  if (kind == DIR_HUGE)
    {
      if (c < v->covered || c == 0 || n == 0 || super_is_log (h, c)
          || dir_start (d) >= MM_CHUNK_SLICES
          || n > h->capacity >> MM_SLICE_SHIFT
          || off_file (h, off_slice (h, c, dir_start (d) + n)) > length)
        return "I5: a huge block has no place";
      v->first = c;
      v->covered = c + huge_chunks (dir_start (d), n);
      return NULL;
    }
  bool log = super_is_log (h, c), nothing = kind == DIR_EMPTY || kind == DIR_CONT;
  if (log ? c < v->covered || !nothing : c < v->covered && kind != DIR_CONT)
    return "I5: a chunk of a block is something else, too";
  /* A CONT behind no block is free: it was left by a kill.  */
  if (c < v->covered && d != dir_cont (c - v->first))
    return "I5: a chunk of a block points elsewhere";
  if (kind == DIR_PAGED
      && (ready == 0 || ready > slice_count (h, c)
          || off_file (h, off_record (h, c, ready)) > length))
    return "I5: a chunk has too many records, or none";
  return NULL;
}

/* Whether the words that say where other parts of the file lie are right, so
   that a look at those parts stays in the file: 0, or -1, or an errno value.
   They are read, not mapped: on a full tmpfs a look at a hole is deadly.  */
static int
verify_once (struct heap *h)
{
  enum { N = 4 * MM_PAGE / 8 };
  uint64_t word[N], length = 0;
  size_t dir_at = off_file (h, h->dir);
  struct verify v = { 0, 0 };
  for (size_t c = 0; c < h->n_chunks; c++)
    {
      int err = 0;
      if (c % N == 0)
        err = super_look (h, word,
                        size_min (off_dir_bytes (h) - c * 8, sizeof word),
                        dir_at + c * 8);
      /* After the words: the length grows before they change.  */
      if (err == 0 && c % N == 0)
        err = super_look (h, &length, sizeof length, MM_OFF_ROOT);
      if (err != 0)
        return err;
      uint64_t d = word[c % N];
      /* Most of them: nothing is there, and no block before reaches so far.
         */
      if (d == DIR_EMPTY && c >= v.covered && c > 0)
        continue;
      if (verify_chunk (h, c, d, length, &v) != NULL
          || (c == 0
              && (dir_kind (d) != DIR_PAGED
                  || dir_ready (d) < slice_first_data (h, 0))))
        return -1;
    }
  struct disk_locks l;
  int err = super_look (h, &l, offsetof (struct disk_locks, heap), MM_OFF_LOCKS);
  uint32_t ready = l.streams_ready;
  uint32_t unit = MM_PAGE / (uint32_t) sizeof (struct disk_stream);
  bool right = v.covered <= h->n_chunks && ready >= h->super.n_shared
               && ready <= h->super.n_streams
               && (ready % unit == 0 || ready == h->super.n_streams)
               && off_file (h, &h->stream[ready]) <= length;
  return err != 0 || right ? err : -1;
}

/* The same, with others at work on the file, who change several words one
   after the other.  */
static int
verify_file (struct heap *h, struct reason *why)
{
  int err, left = 1000;
  do
    err = verify_once (h);
  while (err < 0 && --left > 0 && member_has_writers (&h->file));
  if (err == EBADMSG || err < 0)
    return fail_because (why, EBADMSG, "the directory is damaged");
  return file_reason (why, err, "the directory cannot be read");
}

/* Back slices [S, END) of chunk C again, which are backed, but for the holes of
   pages that are THIN.  */
static int
super_back_slices (struct heap *h, size_t c, size_t s, size_t end)
{
  int err = 0;
  for (size_t n; s < end && err == 0; s += n)
    {
      uint64_t head, left = 0;
      size_t at, m;
      for (n = 0; s + n < end && left == 0; n += left == 0 ? m : 0)
        {
          m = size_max (run_look (h, c, s + n, end, &head), 1);
          if (head_kind (head) == HEAD_PAGE && head_state (head) == HEAD_THIN
              && head_class (head) < MM_CLASSES)
            left = page_all_holes (head_class (head));
        }
      char *p = off_slice (h, c, s);
      if (n > 0)
        err = file_back_again (&h->file, off_file (h, p), n << MM_SLICE_SHIFT);
      if (left == 0)
        continue;
      p = off_slice (h, c, s += n);
      left &= ~word_peek (&off_record (h, c, s)->holes);
      while (err == 0 && bit_take_run (&left, &at, &n) != 0)
        err = file_back_again (&h->file, off_file (h, p) + at * MM_PAGE,
                               n * MM_PAGE);
      n = m;
    }
  return err;
}

/* The file may be a copy that has lost the blocks behind its holes: back all
   live parts again, so that no store is the first to learn of a full disk.  */
static int
super_back_again (struct heap *h)
{
  int err = file_back_again (&h->file, 0, MM_OFF_INDEX);
  size_t len = off_dir_bytes (h)
               + round_up (off_streams_ready (h) * sizeof (struct disk_stream),
                           MM_PAGE);
  if (err == 0)
    err = file_back_again (&h->file, off_file (h, h->dir), len);
  for (size_t c = 0; c < run_chunks (h) && err == 0; c++)
    {
      uint64_t d = dir_get (h, c);
      if (dir_kind (d) == DIR_HUGE)
        {
          size_t from = off_file (h, off_slice (h, c, dir_start (d)));
          size_t n = dir_slices (d) << MM_SLICE_SHIFT;
          if (from + n <= h->capacity)
            err = file_back_again (&h->file, from, n);
        }
      if (dir_kind (d) != DIR_PAGED)
        continue;
      size_t end = run_ready (h, c), n;
      char *x = (char *) off_index (h, c);
      err = file_back_again (&h->file, off_file (h, x),
                             round_up (MM_PAGE + end * MM_RECORD, MM_PAGE));
      for (size_t s = slice_first_data (h, c); s < end && err == 0; s += n)
        {
          for (n = 0; s + n < end && map_get (off_index (h, c)->backed, s + n);)
            n++;
          if (n > 0)
            err = super_back_slices (h, c, s, s + n);
          n += n == 0;
        }
    }
  return err;
}


/* ---- 37. Checking ------------------------------------------------------- */

/* Owns: nothing, changes nothing.
   Needs: the walkers' lock; takes the heap lock where a writer would disturb.
   Crash: nothing changes.
   Keeps: nothing, looks at all of I1 to I10.
   Checked by: check_finds_damage, damage_golden.  */

/* Findings go here.  */
struct check
{
  void (*report) (const char *finding, const void *where, void *arg);
  void *arg;
  int n;
};

/* One more finding, about WHERE.  */
static void
check_found (struct check *check, const void *where, const char *finding)
{
  check->n++;
  if (check->report != NULL)
    check->report (finding, where, check->arg);
}

/* I8.  */
static void
check_roots (struct heap *h, struct check *check)
{
  struct root_walk walk;
  for (size_t b = 0; b < MM_BUCKETS; b++)
    {
      root_start (h, b, &walk);
      while (root_step (h, &walk) != NULL)
        continue;
      if (walk.damaged)
        check_found (check, &h->bucket[b], "I8: a chain of roots is broken");
    }
  bool damaged;
  root_local_number (h, &damaged);
  if (damaged)
    check_found (check, &h->root->local,
                 "I8: the slice of the processes' pages is another");
}

/* Whether the run at SEEN is what it was until now: a finding about one that
   others changed meanwhile is none.  */
static bool
check_stands (const struct sight *seen)
{
  word_fence_see ();
  return head_see (seen->r) == seen->head;
}

/* I7.  The claim begins before the head says so and ends after it.  Between
   two looks one page may be claimed twice; hardly so many times.  */
static bool
check_orphaned (struct heap *h, const struct sight *seen)
{
  uint32_t number = slice_number (seen->c, seen->s);
  int left = 1000;
  while (left > 0 && word_see (&h->locks->claim) != number
         && check_stands (seen))
    left--;
  return left == 0;
}

/* I3 of the THIN page at SEEN: whether a live block lies over a hole.  Between
   two looks others may take the page back, fill it and make it THIN again;
   hardly so many times.  */
static bool
check_bare (struct heap *h, const struct sight *seen)
{
  unsigned cl = head_class (seen->head);
  char *start = off_slice (h, seen->c, seen->s);
  for (int left = 1000; left > 0; left--)
    {
      uint64_t bare = word_see (&seen->r->holes) & page_all_holes (cl);
      bare &= ~page_free_pages (h, seen->r, start, cl, MM_PAGE);
      if (bare == 0 || !check_stands (seen))
        return false;
    }
  return true;
}

/* I1, I2, I3, I7 of the page at SEEN.  */
static void
check_page (struct heap *h, const struct sight *seen, struct check *check)
{
  unsigned cl = head_class (seen->head);
  char *start = off_slice (h, seen->c, seen->s);
  uint32_t stream = head_owner (seen->head);
  if (stream == 0 || stream > h->super.n_streams)
    check_found (check, start, "I1: a page belongs to no stream");
  if (head_slices (seen->head) != class_table[cl].slices)
    check_found (check, start, "I1: a page has another length than its class");
  if (head_state (seen->head) == HEAD_THIN && check_bare (h, seen))
    check_found (check, start, "I3: a live block has no memory behind it");
  if (head_state (seen->head) == HEAD_CLAIMED && check_orphaned (h, seen))
    check_found (check, start, "I7: a page is claimed by nobody");
  for (unsigned w = 0; w < class_words (cl); w++)
    {
      uint64_t rem = word_see (&seen->r->rem[w]);
      if (rem != 0 && bit_rem (seen->r, w) != rem && check_stands (seen)
          && word_see (&seen->r->foreign) == 0)
        check_found (check, start, "I2: others freed here without a mark");
      uint64_t equal = ~(word_peek (&seen->r->own[w]) ^ bit_rem (seen->r, w));
      if ((equal & ~class_valid (cl, w)) && check_stands (seen))
        check_found (check, start, "I2: a bit behind the last block is free");
    }
  for (size_t i = 1; i < seen->n; i++)
    if (head_see (off_record (h, seen->c, seen->s + i)) != head_cont (i)
        && check_stands (seen))
      check_found (check, start, "I1: a page has lost a continuation");
}

/* Whether the run at SEEN has to be backed: all but a page that somebody died
   over who wanted to retire it.  */
static bool
check_needs_backing (struct heap *h, const struct sight *seen)
{
  uint64_t head = seen->head;
  return head_kind (head) != HEAD_PAGE || head_state (head) != HEAD_THIN
         || head_class (head) >= MM_CLASSES
         || page_count_free (h, seen->r, slice_number (seen->c, seen->s),
                             head_class (head))
            < class_table[head_class (head)].count;
}

/* I1, I3: what a run says of itself against its neighbours, and against the
   index.  Whoever works on the heap meanwhile may make it look wrong for a
   moment, so each finding is looked at again.  */
static int
check_see (struct heap *h, const struct sight *seen, void *arg)
{
  struct check *check = arg;
  char *start = off_slice (h, seen->c, seen->s);
  if (seen->r == NULL || seen->n == 0)
    return 0;
  struct disk_index *x = off_index (h, seen->c);
  for (size_t i = seen->s; i < seen->s + seen->n; i++)
    if (!map_get (x->backed, i) && check_needs_backing (h, seen)
        && check_stands (seen))
      {
        check_found (check, start, "I3: a used run has no memory behind it");
        break;
      }
  if (head_kind (seen->head) == HEAD_PAGE
      && head_class (seen->head) >= MM_CLASSES)
    check_found (check, start, "I1: a page is of no class");
  else if (head_kind (seen->head) == HEAD_PAGE)
    check_page (h, seen, check);
  else if (head_slices (seen->head) != seen->n)
    check_found (check, start, "I1: a run reaches past its chunk's end");
  else
    for (size_t i = 1; i < seen->n; i++)
      if (head_kind (head_see (&seen->r[i])) != HEAD_FREE
          && check_stands (seen))
        {
          check_found (check, start, "I1: two runs overlap");
          break;
        }
  return 0;
}

/* I1, I4: free slices and the index of chunk C.  */
static int
check_chunk (struct heap *h, size_t c, struct check *check)
{
  bool locked = h->file.kind->changes;
  if (locked && !lock_heap (h))
    return ETIMEDOUT;
  size_t end = run_ready (h, c), n;
  if (end > 0)
    {
      struct disk_index *x = off_index (h, c);
      bool fresh = locked && x->epoch == word_peek (&h->locks->index_epoch);
      for (size_t s = 0; s < slice_first_data (h, c) && s < end; s++)
        if (head_peek (off_record (h, c, s)) != 0)
          check_found (check, off_slice (h, c, s),
                       "I1: a slice of the heap's own has a head");
      for (size_t s = slice_first_data (h, c); s < end; s += n)
        {
          uint64_t head = head_peek (off_record (h, c, s));
          n = run_covers (head, s, end);
          bool used = n > 0;
          n = n > 0 ? n : 1;
          if (!used && head_kind (head) != HEAD_FREE
              && head_kind (head) != HEAD_CONT)
            check_found (check, off_slice (h, c, s), "I1: a head of no kind");
          for (size_t i = s; fresh && i < s + n; i++)
            if (map_get (x->free, i) == used)
              {
                check_found (check, off_slice (h, c, s),
                             used ? "I4: the index calls a used slice free"
                                  : "I4: the index has lost a free slice");
                break;
              }
        }
    }
  if (locked)
    unlock_heap (h);
  return 0;
}

/* I5, I6.  An errno value if the file cannot be looked at.  */
static int
check_directory (struct heap *h, struct check *check)
{
  bool locked = h->file.kind->changes;
  uint64_t len = off_length (h);
  struct stat status;
  if (len > h->capacity)
    check_found (check, h->root, "I6: the length is beyond the capacity");
  int err = h->file.kind->writes_file
              ? os_stat_own (&h->file, h->file.fd, &status) : 0;
  if (err != 0)
    return err;
  if (h->file.kind->writes_file && (uint64_t) status.st_size < len)
    check_found (check, h->root, "I6: the file is too short");
  if (locked && !lock_heap (h))
    return ETIMEDOUT;
  struct verify v = { 0, 0 };
  for (size_t c = 0; c < run_chunks (h); c++)
    {
      /* The length grows before the words change.  */
      uint64_t d = dir_get (h, c);
      const char *wrong = verify_chunk (h, c, d, off_length (h), &v);
      if (wrong != NULL)
        check_found (check, off_chunk (h, c), wrong);
    }
  if (locked)
    unlock_heap (h);
  return 0;
}

/* I9.  Others may be saving a superblock just now, which tears the older copy,
   and the other one while we go on to that; hardly so many times.  */
static void
check_supers (struct heap *h, struct check *check)
{
  uint64_t known = h->super.generation, newest = known;
  if (h->file.fd >= 0)
    for (int left = 1000; left > 0; left--)
      if ((newest = super_newest (h, NULL)) >= known)
        break;
  if (newest == 0)
    check_found (check, (char *) h->file.base,
                 "I9: neither superblock is valid");
  else if (newest < known)
    check_found (check, (char *) h->file.base + (known & 1) * MM_PAGE,
                 "I9: the newer superblock is damaged");
}

/* I10: a block with a guard struct has intact guards.  */
static int
check_block (struct heap *h, const struct place *block, void *arg)
{
  size_t size;
  char *user = guard_find (h, block);
  if (user != NULL && !guard_is_intact (h, block, user, &size))
    check_found (arg, user, "I10: a guard was overwritten");
  return 0;
}


/* ---- 38. Mapping a heap ------------------------------------------------- */

/* Owns: how far a heap is mapped, and what lies over its log.
   Needs: to be alone with the heap, or the locks of opening and of the registry.
   Crash: the mapping goes with the process.
   Keeps: nothing.
   Checked by: narrow_heap, join_while_it_grows, checkpoint_files.  */

/* Map the existing heap of H->super at any place that the kernel finds, so far
   from a slice's start as its own is; or LEAST bytes of it, where there is room
   for more behind them.  */
static int
range_map_anywhere (struct heap *h, size_t least)
{
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  struct file *f = &h->file;
  size_t len = round_up (h->capacity, process.system_page);
  size_t room = len + MM_SLICE;
  char *p = space_map (NULL, room, PROT_NONE, flags, -1);
  int err = p == MAP_FAILED ? errno : 0;
  while (space_is_short (err) && len > least)
    {
      uintptr_t base;
      len = round_up (size_max (len / 2, least), process.system_page);
      room = len + MM_SLICE;
      err = space_map_anywhere (room, PROT_NONE, flags, -1, &base);
      p = (char *) base;
    }
  if (err != 0)
    return err;
  size_t before = (h->super.base - (uintptr_t) p) % MM_SLICE;
  if (before > 0)
    space_unmap (p, before);
  space_unmap (p + before + len, room - before - len);
  f->base = (uintptr_t) p + before;
  f->mapped = len;
  return space_map ((void *) f->base, len, PROT_READ,
                    MAP_SHARED | MAP_FIXED | MAP_NORESERVE, f->lock_fd)
         == MAP_FAILED ? errno : 0;
}

/* Map LEN bytes of the heap of H->super, which lies at F->base, from FROM on.
   */
static int
range_map_piece (struct heap *h, size_t from, size_t len)
{
  const struct kind *kind = h->file.kind;
  int prot = kind->changes ? PROT_READ | PROT_WRITE : PROT_READ;
  bool copy = kind->backing == BY_COPY;
  /* Growth of a copy goes to anonymous memory behind the file's part.  */
  int flags = MAP_NORESERVE
              | (copy ? MAP_PRIVATE | MAP_ANONYMOUS
                 : kind->backing == BY_LOG ? MAP_PRIVATE
                                           : MAP_SHARED);
  int fd = copy ? -1 : kind->shared ? h->file.fd : h->file.lock_fd;
  return space_map_part (h->file.base, from, len, prot, flags, fd);
}

/* Map the whole range of the heap, or if that cannot be had a part of it, but
   LEAST bytes.  */
static int
range_map_part (struct heap *h, size_t least)
{
  size_t len = round_up (h->capacity, process.system_page);
  int err;
  while ((err = range_map_piece (h, 0, len)) != 0
         && space_is_short (err) && len > least)
    len = round_up (size_max (len / 2, least), process.system_page);
  if (err == 0)
    h->file.mapped = len;
  return err;
}

/* What lies behind END, which nobody uses yet, is not for core dumps: they
   would have all of a file that has lost its name.  */
static void
range_hide (struct heap *h, size_t end)
{
  struct file *f = &h->file;
  size_t shown = round_up (end, MM_CHUNK), mapped = word_peek (&f->mapped);
  word_put (&h->dumped, shown);
  if (f->fd >= 0 && shown < mapped)
    space_advise ((char *) f->base + shown, mapped - shown, MADV_DONTDUMP);
}

/* What is mapped of [FROM, TO), where a log lies, or lay, holds nothing for as
   long as this process has the heap: the fast paths may take the log's chunks for
   PAGED ones without blocks.  0 or an errno value.  */
static int
range_cover (struct heap *h, size_t from, size_t to)
{
  size_t chunk = h->grid - h->file.base;
  int err = 0;
  for (size_t c = 0; c < h->n_chunks && chunk < to && err == 0;
       c++, chunk += MM_CHUNK)
    if (chunk + MM_CHUNK > from && run_is_logs (h, c))
      {
        size_t at = size_max (chunk, from), end = size_min (chunk + MM_CHUNK, to);
        char *p = (char *) h->file.base + at;
        if (space_map (p, end - at, PROT_READ,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE,
                       -1) == MAP_FAILED)
          err = errno;
        else
          space_advise (p, end - at, MADV_DONTFORK);
      }
  return err;
}

/* LEN bytes are mapped, those from FROM on just now.  */
static void
range_map_is (struct heap *h, size_t from, size_t len)
{
  if (h->file.kind->in_view)
    space_advise ((char *) h->file.base + from, len - from, MADV_RANDOM);
  if (h->file.kind->backing == BY_LOG)
    space_advise ((char *) h->file.base + from, len - from, MADV_DONTFORK);
  /* Without it only who frees what is no block would notice.  */
  if (h->file.kind->backing == BY_LOG)
    range_cover (h, from, len);
  grow_map_is (h, len);
  range_hide (h, off_length (h));
}

/* How much of heap H can be mapped before the next file that lies behind what
   is.  */
static size_t
range_room (struct heap *h)
{
  uintptr_t from = h->file.base + word_peek (&h->file.mapped);
  uintptr_t end = h->file.base + round_up (h->capacity, process.system_page);
  for (struct file *f = process.files; f != NULL; f = f->next)
    if (f->base >= from && f->base < end)
      end = f->base;
  return end - h->file.base;
}

/* A mapping has gone.  Heaps that ended there go on behind it, unless something
   else is there by now.  Needs: the open lock.  */
static void
range_take_back (void)
{
  MM_NEEDS (needs.opening);
  for (struct file *f = process.files; f != NULL; f = f->next)
    {
      struct heap *h = (struct heap *) f;
      size_t from = word_peek (&f->mapped);
      size_t to = f->kind->heap && f->fd >= 0 ? range_room (h) : from;
      if (to > from && range_map_piece (h, from, to - from) == 0)
        range_map_is (h, from, to);
    }
}

/* The heap has LENGTH bytes by now.  Map what a reader has not got of them, or
   as much of the whole as can be had: 0 or an errno value.  Needs: the
   registry lock.  */
static int
range_map_more (struct heap *h, size_t length)
{
  struct file *f = &h->file;
  size_t from = word_peek (&f->mapped);
  size_t least = round_up (length, process.system_page);
  size_t len = round_up (h->capacity, process.system_page);
  int err;
  if (least <= from)
    return 0;
  while ((err = range_map_piece (h, from, len - from)) != 0
         && space_is_short (err) && len > least)
    len = round_up (size_max (from + (len - from) / 2, least),
                    process.system_page);
  if (err == 0)
    range_map_is (h, from, len);
  return err;
}

/* Map the existing heap of H->super and LENGTH bytes, in a file of FILE_SIZE.
   */
static int
range_map (struct heap *h, uint64_t length, uint64_t file_size,
            struct reason *why)
{
  const struct kind *kind = h->file.kind;
  h->file.base = h->super.base;
  h->capacity = h->super.capacity;
  size_t least = round_up (length, process.system_page);
  int err = kind->anywhere ? range_map_anywhere (h, least)
                           : range_map_part (h, least);
  if (err == EADDRINUSE && !kind->anywhere && grow_make_room (h->file.base))
    err = range_map_part (h, least);
  if (err != 0)
    return space_reason (why, err, kind->anywhere ? 0 : h->file.base, least);
  size_t part = size_min (round_up (file_size, process.system_page),
                          h->file.mapped);
  if (kind->backing == BY_COPY
      && space_map ((void *) h->file.base, part, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, h->file.lock_fd)
           == MAP_FAILED)
    return errno;
  /* A power cut has kept the growth from the disk that a record tells of: what
     the record has not got reads as zero.  */
  size_t whole = size_min (least, h->file.mapped);
  return kind->backing == BY_COPY && h->log != NULL && part < whole
         && space_map ((char *) h->file.base + part, whole - part,
                       PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
                       | MAP_NORESERVE, -1)
              == MAP_FAILED ? errno : 0;
}


/* ---- 39. Epochs, and making a heap -------------------------------------- */

/* Owns: where the parts of a region are, the volatile ones of them, and a heap
   that is being made.
   Needs: to be alone with the volatile part; for a file the door.
   Crash: an epoch is begun again by the next one at the door; a file under
   construction says so in its first word and is made anew.
   Keeps: I7, I9.
   Checked by: step, copies, reader_over_reboot, creation_killed_halfway,
   creators_at_once.  */

/* Where the parts of the region are.  Needs: base, capacity, mapped, super.  */
static void
epoch_layout (struct heap *h)
{
  /* Before the first touch; why, and the other half, is in door_come.  */
  if (h->file.kind->in_view)
    space_advise ((void *) h->file.base, h->file.mapped, MADV_RANDOM);
  h->grid = round_up (h->file.base, MM_SLICE);
  char *base = (char *) h->file.base;
  h->locks = (struct disk_locks *) (void *) (base + MM_OFF_LOCKS);
  h->op = (struct disk_op *) (void *) (h->locks + 1);
  h->procs = (struct disk_proc *) (void *) (base + MM_OFF_PROCS);
  h->root = (struct disk_root *) (void *) (base + MM_OFF_ROOT);
  h->bucket = (disk_u64 *) (void *) (base + MM_OFF_BUCKETS);
  char *more = off_chunk (h, 0) + off_records_end (h, 0);
  h->more_procs = (struct disk_proc *) (void *) more;
  char *dir = more + off_more_procs (h);
  h->dir = (disk_u64 *) (void *) dir;
  h->stream = (struct disk_stream *) (void *) (dir + off_dir_bytes (h));
  size_t delta = h->grid - h->file.base;
  h->last_chunk = (h->capacity - delta - 1) >> MM_CHUNK_SHIFT;
  h->n_chunks = h->last_chunk + 1;
  h->first_data[0] = slice_find_first_data (h, 0);
  h->first_data[1] = h->last_chunk > 1 ? slice_find_first_data (h, 1) : 0;
  h->first_data[2] = slice_find_first_data (h, h->last_chunk);
}

/* A new epoch: all that only lived with its processes is made anew.  Needs: to
   be alone with the volatile part.  Repeatable at any point.  */
static void
epoch_begin (struct heap *h)
{
  MM_NOTE (alone = h);
  struct disk_locks *l = h->locks;
  word_put (&l->state, MM_RECOVERING);
  word_put (&l->mark, os_random ());
  l->tag = MM_LOCKS_OWN;
  word_put (&l->heap.word, 0);
  word_put (&l->grow.word, 0);
  uint32_t ready = off_streams_ready (h);
  word_put (&l->streams_ready, ready);
  for (uint32_t n = 1; n <= h->super.n_shared && n <= ready; n++)
    word_put (&off_stream (h, n)->lock.word, 0);
  /* Numbers that are in no part of the file: after a power cut the last ones
     may be in parts that are newer than this one.  */
  h->epoch = word_peek (&l->epoch) + 1;
  if (h->file.kind->writes_file)
    {
      uint64_t result = os_random ();
      h->epoch = (uint32_t) result;
      word_put (&l->index_epoch, (uint32_t) (result >> 32));
    }
  h->epoch += h->epoch == 0;
  word_put (&l->epoch, h->epoch);
  h->id = (uint64_t) h->epoch << 32 | 1;
  dead_owner_locked (h);
  for (unsigned i = 0; i < MM_OPS; i++)
    if (word_peek (&h->op[i].owner) != 0)
      dead_finish_locked (h, &h->op[i]);
  word_put (&l->ops_busy, 0);
  word_put (&l->n_orphans,
            ready > h->super.n_shared ? ready - h->super.n_shared : 0);
  word_put (&l->n_entered, 0);
  word_put (&l->procs_used, 0);
  word_put (&l->n_taken, 0);
  word_put (&l->sweep_gap, 0);
  word_put (&l->sweep_at, 0);
  word_settle (&l->state, MM_IN_USE);
  MM_NOTE (alone = NULL);
}

/* Fill the superblock of a new heap at H->base with room for H->capacity.  */
static void
make_super (struct heap *h, const struct mmalloc_options *opt)
{
  struct disk_super *s = &h->super;
  s->magic = MM_MAGIC;
  s->version = MM_FORMAT;
  s->order = MM_ORDER;
  if (h->file.kind->writes_file)
    {
      uint64_t id[2] = { os_random (), os_random () };
      memcpy (s->uuid, id, sizeof s->uuid);
    }
  s->base = h->file.base;
  s->capacity = h->capacity;
  s->slice = MM_SLICE;
  s->chunk = MM_CHUNK;
  s->n_classes = MM_CLASSES;
  s->class_sum = process.class_sum;
  s->n_shared = opt->streams > 0 ? opt->streams : 1;
  size_t most = s->n_shared + h->capacity / MM_SYSTEM_STREAM_SPACE;
  s->n_streams = (uint32_t) size_min (most, MM_STREAMS_MAX);
  bool many = h->file.kind->shared && h->capacity >= MM_SLACK_LEAST;
  s->n_procs = many ? MM_PROCS : MM_PROCS_FIRST;
  s->app_version = opt->app_version;
}

/* Back the first N slices for blocks.  Needs: the grow lock.  */
static int
make_backing (struct heap *h, size_t n)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t limit = off_end (h);
  int err = 0;
  for (size_t c = 0; c < h->n_chunks && n > 0 && err == 0; c++)
    {
      size_t first = slice_first_data (h, c);
      size_t end = slice_count_within (h, c, limit);
      if (end <= first)
        break;
      if (run_chunk_is_empty (h, c))
        err = grow_make_chunk (h, c);
      size_t k = size_min (end - first, n);
      if (err == 0)
        err = grow_back (h, slice_number (c, first), k, limit);
      n -= k;
    }
  return err;
}

/* How many bytes a new heap may grow to.  */
static size_t
make_maximum (const struct mmalloc_options *opt)
{
  size_t want = opt->reserve != 0    ? opt->reserve
                : process.tools_area ? MM_RESERVE_TOOLS
                                     : MM_RESERVE;
  return opt->maximum != 0
             && (opt->reserve == 0 || opt->maximum < opt->reserve)
           ? opt->maximum
           : want;
}

/* Map LEN bytes for H: at BASE, or for BASE 0 where there is room.  */
static int
make_map_at (struct heap *h, uintptr_t base, size_t len)
{
  bool anon = h->file.fd < 0;
  int prot = anon ? PROT_NONE : PROT_READ | PROT_WRITE;
  int flags = MAP_NORESERVE
              | (anon ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED);
  if (base != 0)
    {
      h->file.base = base;
      return space_map_at (base, len, prot, flags, h->file.fd);
    }
  if (!anon)
    return space_map_anywhere (len, prot, flags, h->file.fd, &h->file.base);
  char *p = space_map (NULL, len, prot, flags, -1);
  h->file.base = (uintptr_t) p;
  return p == MAP_FAILED ? errno : 0;
}

/* Reserve and map a new region of OPT's kind; a smaller one if the address
   space is short.  Sets base, capacity, mapped.  */
static int
make_map (struct heap *h, const struct mmalloc_options *opt,
          struct reason *why)
{
  const size_t page = process.system_page, most = (size_t) 1 << 46;
  const uintptr_t base = (uintptr_t) opt->base;
  bool anon = h->file.fd < 0;
  size_t want = make_maximum (opt) & ~(page - 1), len = want;
  if (base % page != 0)
    return fail_because (why, EINVAL, "the base 0x%lx is no multiple of the"
                                      " page size, %zu",
                         (unsigned long) base, page);
  if (want < MM_RESERVE_MIN)
    return fail_because (why, EINVAL,
                         "a heap needs %lu bytes at least, not %zu",
                         (unsigned long) MM_RESERVE_MIN, make_maximum (opt));
  if (want > most)
    return fail_because (why, EINVAL, "a heap has %zu bytes at most, not %zu",
                         most, want);
  int err = make_map_at (h, base, len);
  if (err == EADDRINUSE && base != 0 && grow_make_room (base))
    err = make_map_at (h, base, len);
  while ((space_is_short (err) || err == EINVAL) && len / 2 >= MM_RESERVE_MIN)
    {
      len = (len / 2) & ~(page - 1);
      err = make_map_at (h, base, len);
    }
  if (err != 0)
    return space_reason (why, err, base, err == EADDRINUSE ? page : len);
  if (anon && base == 0 && len < want && len / 2 >= MM_RESERVE_MIN)
    {
      /* Address space is short: leave as much to the rest of the program.  */
      size_t half = (len / 2) & ~(page - 1);
      space_unmap ((char *) h->file.base + half, len - half);
      len = half;
    }
  h->file.mapped = len;
  /* The limit of the address space is this process's, not the heap's.  */
  h->capacity = !anon && base == 0 ? want : len;
  mark_range ((void *) h->file.base, h->file.mapped, false);
  return 0;
}

/* Build the empty heap in the mapped region; for a file under its CREATING
   word, the final magic comes last.  */
static int
make_heap (struct heap *h, const struct mmalloc_options *opt,
           struct reason *why)
{
  /* The maximum counts directory and streams, too.  */
  if (slice_first_data (h, 0) + 2 > slice_count (h, 0))
    return fail_because (why, EINVAL,
                         "%zu bytes are too few for a heap of %u"
                         " streams",
                         h->capacity, (unsigned) h->super.n_shared);
  if (slice_first_data (h, 0) >= slice_count_within (h, 0, h->file.mapped))
    return fail_because (why, ENOMEM,
                         "the %zu bytes of address space that could be had have"
                         " no room for the heap's own parts", h->file.mapped);
  uint32_t unit = MM_PAGE / (uint32_t) sizeof (struct disk_stream);
  uint32_t ready = (uint32_t) round_up (h->super.n_shared, unit);
  size_t stream_bytes = ready * sizeof (struct disk_stream);
  /* A file's first word stays: it says that this is not complete.  */
  size_t skip = sizeof h->super.magic;
  bool whole = h->file.kind->writes_file && opt->initial >= h->capacity;
  /* Such a file may end within a page, which the heap leaves alone; not if
     there was address space for a part of it only.  */
  size_t exact = make_maximum (opt);
  exact = exact - exact % process.system_page == h->capacity
          ? size_min (opt->initial, exact) : h->capacity;
  int err = whole ? fail_refused (os_reserve_blocks (&h->file, skip,
                                                     exact - skip, true),
                                  exact - skip, exact)
                  : 0;
  if (err == 0)
    err = back_range (h, (char *) h->file.base + skip, MM_OFF_INDEX - skip);
  mark_own ((const void *) h->file.base, skip);
  if (err == 0)
    err = back_range (h, (char *) h->dir, off_dir_bytes (h) + stream_bytes);
  if (err != 0)
    return err;
  /* Whole pages of them; epoch_begin makes it n_streams at most.  */
  word_put (&h->locks->streams_ready, ready);
  epoch_begin (h);
  if (!lock_grow (h))
    return ETIMEDOUT;
  err = grow_make_chunk (h, 0);
  grow_reach (h, (char *) h->stream + stream_bytes);
  if (err == 0)
    err = make_backing (h, opt->initial >> MM_SLICE_SHIFT);
  if (err == 0 && whole)
    grow_reach (h, (char *) h->file.base + h->capacity);
  unlock_grow (h);
  if (err != 0)
    return err;
  super_save (h);
  super_save (h);
  return 0;
}


/* ---- 40. The log -------------------------------------------------------- */

/* Owns: the log in the file of a heap with checkpoints: its records, how they
   are found, read, and laid over the image.  tests/model_log.c has the
   specification.
   Needs: the door, or the log's lock.
   Crash: a record is all there or not at all.
   Keeps: L1, L2.
   Checked by: model_log, checkpoints, power.  */

/* A sum over N bytes, a multiple of 32, in four lanes: at about the speed of
   memory.  It has to notice a write that was torn.  */
static uint64_t
log_sum (const void *p, size_t n)
{
  const uint64_t odd = UINT64_C (0x9e3779b97f4a7c15), *at = p;
  uint64_t lane[4] = { 1, 2, 3, 4 }, sum = n;
  for (size_t i = 0; i < n / 8; i += 4)
    for (size_t j = 0; j < 4; j++)
      {
        uint64_t x = lane[j] ^ at[i + j];
        lane[j] = (x << 29 | x >> 35) * odd;
      }
  for (size_t j = 0; j < 4; j++)
    {
      uint64_t x = sum ^ lane[j];
      sum = (x << 29 | x >> 35) * odd;
    }
  return sum;
}

/* The sum of record R, without the member that holds it.  */
static uint64_t
log_record_sum (struct disk_record *r)
{
  uint64_t told = r->sum;
  r->sum = 0;
  uint64_t sum = log_sum (r, r->bytes);
  r->sum = told;
  return sum;
}

/* Zero memory of which little may ever be used; or NULL.  */
static void *
log_memory (size_t bytes)
{
  void *p = space_map (NULL, bytes, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
  return p != MAP_FAILED ? p : NULL;
}

/* Bytes of half a log.  */
static uint64_t
log_half (const struct heap *h)
{
  return h->super.log_size / 2;
}

/* Whether page N of the file may be in a record: not what says what the file
   is, nor the entries of processes, nor the log itself.  */
static bool
log_may_have (const struct heap *h, uint64_t n)
{
  if (n >= h->super.capacity / MM_PAGE)
    return false;
  uint64_t at = n * MM_PAGE;
  return (at == MM_OFF_LOCKS || at >= MM_OFF_ROOT)
         && (at < h->super.log || at >= h->super.log + h->super.log_size);
}

/* Whether R can be the head of record SEQ, 0: of any, at AT in the log.  */
static bool
log_is_head (const struct heap *h, const struct disk_record *r, uint64_t seq,
             uint64_t at)
{
  uint64_t room = log_half (h) - at % log_half (h);
  return r->magic == MM_RECORD_MAGIC && r->epoch == h->super.log_epoch
         && memcmp (r->uuid, h->super.uuid, sizeof r->uuid) == 0
         && r->seq != 0 && (seq == 0 || r->seq == seq) && r->at == at
         && r->first != 0 && r->first <= r->seq
         && r->bytes >= MM_PAGE && r->bytes % MM_PAGE == 0 && r->bytes <= room
         && r->n <= (r->bytes - 2 * sizeof *r) / sizeof (struct disk_change)
         && r->data >= sizeof *r + r->n * sizeof (struct disk_change)
         && r->data <= r->bytes - sizeof *r && r->length >= MM_OFF_RECORDS
         && r->length <= h->super.capacity && r->direct <= r->direct_end
         && r->direct_end <= r->length && r->kept <= 1 && r->holes <= 1;
}

/* Whether all of record R is right, whose head is.  */
static bool
log_is_whole (const struct heap *h, struct disk_record *r)
{
  const struct disk_change *change = (const void *) (r + 1);
  uint64_t n = 0;
  if (r->sum != log_record_sum (r))
    return false;
  for (uint64_t i = 0; i < r->n; i++)
    {
      if (!log_may_have (h, change[i].page))
        return false;
      n += (uint64_t) __builtin_popcountll (change[i].mask);
    }
  return n <= (r->bytes - sizeof *r - r->data) / MM_GRANULE;
}

/* Read record SEQ, 0: any, at AT in the log into IN->record, which is NULL if
   none is there.  0 or an errno value.  */
static int
log_read (const struct heap *h, struct log_reader *in, uint64_t seq,
          uint64_t at)
{
  struct disk_record head;
  off_t off = (off_t) (h->super.log + at);
  in->record = NULL;
  int err = os_pread_all (h->file.fd, &head, sizeof head, off);
  if (err != 0 || !log_is_head (h, &head, seq, at))
    return err == EBADMSG ? 0 : err;
  if (head.bytes > in->room)
    {
      if (in->room > 0)
        os_give_memory (in->buffer, in->room);
      in->room = 0;
      in->buffer = os_memory (head.bytes);
      if (in->buffer == NULL)
        return ENOMEM;
      in->room = head.bytes;
    }
  err = os_pread_all (h->file.fd, in->buffer, head.bytes, off);
  struct disk_record *r = (void *) in->buffer;
  if (err == 0 && memcmp (r, &head, sizeof head) == 0 && log_is_whole (h, r))
    in->record = r;
  return err == EBADMSG ? 0 : err;
}

/* Give the memory of IN back.  */
static void
log_read_end (struct log_reader *in)
{
  if (in->room > 0)
    os_give_memory (in->buffer, in->room);
  in->room = 0;
}

/* Walk along the records that HALF begins with, as far as each follows the one
   before, and not another that had its number, and call FN, unless it is NULL,
   with those of RANGE.  *END is where that ends.  0 or an errno value, from FN
   too.  */
static int
log_chain (struct heap *h, struct log_reader *in, unsigned half,
           struct log_range range, log_fn *fn, void *arg, struct log_end *end)
{
  uint64_t at = half * log_half (h), stop = at + log_half (h);
  *end = (struct log_end){ .at = at };
  while (at < stop)
    {
      int err = log_read (h, in, end->last != 0 ? end->last + 1 : 0, at);
      struct disk_record *r = in->record;
      if (err != 0 || r == NULL
          || (end->last != 0 && r->before != end->sum))
        return err;
      if (fn != NULL && r->seq >= range.from && r->seq <= range.to
          && (err = fn (h, r, arg)) != 0)
        return err;
      end->before = end->last != 0 ? end->before : r->before;
      end->begins = end->begins != 0 ? end->begins : r->seq;
      end->first = r->first;
      end->last = r->seq;
      end->sum = r->sum;
      end->length = r->length;
      end->holes = r->holes != 0;
      end->start = at;
      end->at = at += r->bytes;
    }
  return 0;
}

/* Find the last record, in *FOUND, with the half that it is in; its number is 0
   if there is none.  EBADMSG: one that counts is missing.  */
static int
log_find (struct heap *h, struct log_reader *in, struct log_end *found,
          unsigned *half)
{
  struct log_end end[2];
  int err = 0;
  for (unsigned i = 0; i < 2 && err == 0; i++)
    err = log_chain (h, in, i, (struct log_range){ 0, 0 }, NULL, NULL,
                     &end[i]);
  unsigned last = end[1].last > end[0].last, other = 1 - last;
  *found = end[last];
  *half = last;
  if (err != 0 || found->last == 0 || found->first >= found->begins)
    return err;
  return end[other].last + 1 == found->begins
         && end[other].sum == found->before
         && end[other].begins <= found->first ? 0 : EBADMSG;
}

/* FN with each record of RANGE, in order; the last one is in HALF.  */
static int
log_each (struct heap *h, struct log_reader *in, unsigned half,
          struct log_range range, log_fn *fn, void *arg)
{
  struct log_end end;
  int err = log_chain (h, in, 1 - half, range, fn, arg, &end);
  return err != 0 ? err : log_chain (h, in, half, range, fn, arg, &end);
}

/* What the log has of records that do not count: one end alone.  */
struct log_rest
{
  uint64_t behind;             /* how many come behind the one after the last */
  uint64_t written;            /* how many of those let the image be written */
  uint64_t first;              /* the highest of what they call the first that
                                  counts */
};

/* Call FN with each end of a record in the log that comes behind LAST.  0 or an
   errno value, from FN too.  */
static int
log_ends (struct heap *h, uint64_t last, log_fn *fn, void *arg)
{
  char *page = h->log->scratch;
  uint64_t size = h->super.log_size;
  int err = 0;
  for (uint64_t at = 0; at < size && err == 0;)
    {
      uint64_t n = size_min (size - at, MM_SCRATCH * MM_PAGE);
      at = written_from (&h->file, h->super.log + at) - h->super.log;
      n = at < size ? size_min (size - at, n) : 0;
      err = os_pread_all (h->file.fd, page, n, (off_t) (h->super.log + at));
      for (uint64_t i = 0; i < n && err == 0; i += MM_PAGE, at += MM_PAGE)
        {
          struct disk_record *r = (void *) (page + i);
          if (log_is_head (h, r, 0, at) && r->seq > last)
            err = fn (h, r, arg);
          r = (void *) (page + i + MM_PAGE - sizeof *r);
          if (err == 0 && log_is_head (h, r, 0, r->at)
              && r->at + r->bytes == at + MM_PAGE && r->seq > last)
            err = fn (h, r, arg);
        }
    }
  return err == EBADMSG ? 0 : err;
}

/* Note end R in the rest of which ARG points to the numbers.  */
static int
log_see (struct heap *h, struct disk_record *r, void *arg)
{
  struct log_rest *rest = arg;
  (void) h;
  rest->behind++;
  rest->written += r->kept == 0;
  rest->first = size_max (rest->first, r->first);
  return 0;
}

/* Note BYTES at START, for one call with ADVICE for all that is noted; no bytes:
   that call.  In descending order stretches grow together.  */
static int
log_advise (struct log *l, char *start, size_t bytes, int advice)
{
  struct iovec *last = l->part + size_max (l->n_parts, 1) - 1;
  if (bytes > 0 && l->n_parts > 0 && (char *) last->iov_base == start + bytes)
    {
      *last = (struct iovec){ start, last->iov_len + bytes };
      return 0;
    }
  int err = 0;
  if (bytes == 0 || l->n_parts == MM_PARTS)
    {
      err = space_advise_all (l->part, l->n_parts, advice);
      l->n_parts = 0;
    }
  if (bytes > 0)
    l->part[l->n_parts++] = (struct iovec){ start, bytes };
  return err;
}

/* What becomes of a run of N granules that a record has, the first one of which is
   granule AT of page PAGE: they are DATA.  0 or an errno value.  */
typedef int log_run_fn (struct heap *h, uint64_t page, size_t at,
                        const char *data, size_t n);

/* Call FN with each run of granules that record R has.  0 or an errno value, from
   FN too.  */
static int
log_runs (struct heap *h, const struct disk_record *r, log_run_fn *fn)
{
  const struct disk_change *change = (const void *) (r + 1);
  const char *data = (const char *) r + r->data;
  int err = 0;
  for (uint64_t i = 0; i < r->n && err == 0; i++)
    {
      uint64_t mask = change[i].mask;
      for (size_t at, n; err == 0 && bit_take_run (&mask, &at, &n) != 0;
           data += n * MM_GRANULE)
        err = fn (h, change[i].page, at, data, n);
    }
  return err;
}

/* Page N of the image, zero where the file ends before.  */
static int
log_image (const struct heap *h, uint64_t n, char *to)
{
  int err = os_pread_all (h->file.fd, to, MM_PAGE, (off_t) (n * MM_PAGE));
  if (err == EBADMSG)
    memset (to, 0, MM_PAGE);
  return err == EBADMSG ? 0 : err;
}

/* Make page N pending, with what the image has: its copy in *COPY.  0 or an
   errno value.  */
static int
log_keep (struct heap *h, uint64_t n, char **copy)
{
  struct log *l = h->log;
  size_t pages = h->super.capacity / MM_PAGE;
  if (l->kept == NULL && (l->kept = log_memory (pages * sizeof *l->kept)) == NULL)
    return ENOMEM;
  *copy = l->kept[n];
  if (*copy != NULL)
    return 0;
  if (l->n_pending == l->pending_room)
    {
      size_t room = l->pending_room != 0 ? 2 * l->pending_room : 512;
      uint64_t *more = os_memory (room * sizeof *more);
      if (more == NULL)
        return ENOMEM;
      if (l->pending_room != 0)
        {
          memcpy (more, l->pending, l->n_pending * sizeof *more);
          os_give_memory (l->pending, l->pending_room * sizeof *more);
        }
      l->pending = more;
      l->pending_room = room;
    }
  char *fresh = os_memory (MM_PAGE);
  int err = fresh != NULL ? log_image (h, n, fresh) : ENOMEM;
  if (err != 0 && fresh != NULL)
    os_give_memory (fresh, MM_PAGE);
  if (err != 0)
    return err;
  l->pending[l->n_pending++] = n;
  *copy = l->kept[n] = fresh;
  return 0;
}

/* A run goes over the copy of its page, which becomes pending; behind the length
   there is nothing, and need be no memory.  */
static int
log_lay_run (struct heap *h, uint64_t page, size_t at, const char *data,
             size_t n)
{
  char *copy;
  if (page * MM_PAGE >= h->log->length)
    return 0;
  int err = log_keep (h, page, &copy);
  if (err == 0)
    memcpy (copy + at * MM_GRANULE, data, n * MM_GRANULE);
  return err;
}

/* Lay record R over the copies of its pages.  */
static int
log_lay (struct heap *h, struct disk_record *r, void *arg)
{
  (void) arg;
  return log_runs (h, r, log_lay_run);
}

/* No page is pending any more.  */
static void
log_forget (struct log *l)
{
  for (size_t i = 0; i < l->n_pending; i++)
    {
      os_give_memory (l->kept[l->pending[i]], MM_PAGE);
      l->kept[l->pending[i]] = NULL;
    }
  l->n_pending = 0;
}


/* ---- 41. Capturing ------------------------------------------------------ */

/* Owns: what has changed in a heap's memory since its last checkpoint.
   Needs: the log's lock; the locks of all shared streams, of growth and of the
   heap, so that what only they protect is seen as one.
   Crash: nothing of it is in the file but pages that no record knows yet.
   Keeps: L2, L3.
   Checked by: checkpoints.  */

/* Take all locks of H: nobody changes anything but what threads own alone.
   False: not in the time that this process waits.  */
static bool
capture_begin (struct heap *h)
{
  uint32_t n = 1, most = off_streams_ready (h);
  most = (uint32_t) size_min (most, h->super.n_shared);
  while (n <= most && lock_stream (h, n, true))
    n++;
  bool grow = n > most && lock_grow (h), heap = grow && lock_heap (h);
  if (!heap)
    {
      if (grow)
        unlock_grow (h);
      while (--n > 0)
        unlock_stream (h, off_stream (h, n));
      return false;
    }
  /* Whoever waits for it waits for the capture, which calls the system.  */
  MM_NOTE (heap = NULL);
  MM_NOTE (alone = h);
  return true;
}

/* Let them go.  */
static void
capture_end (struct heap *h)
{
  uint32_t n = (uint32_t) size_min (off_streams_ready (h), h->super.n_shared);
  MM_NOTE (alone = NULL);
  MM_NOTE (heap = h);
  unlock_heap (h);
  unlock_grow (h);
  for (; n > 0; n--)
    unlock_stream (h, off_stream (h, n));
}

/* What page N of the file is.  */
enum page_use
{
  USE_NONE,                    /* nothing of it is logged */
  USE_FREE,                    /* no block is there */
  USE_OWN,                     /* the heap's own */
  USE_BLOCKS
};

/* The same of a page in chunk C, which is a part of a HUGE block.  */
static enum page_use
capture_use_huge (struct heap *h, size_t c, const char *p)
{
  uint64_t d = dir_get (h, c);
  size_t first = dir_kind (d) == DIR_HUGE ? c : c - dir_distance (d);
  d = dir_get (h, first);
  const char *start = off_slice (h, first, dir_start (d));
  return p >= start && p < start + (dir_slices (d) << MM_SLICE_SHIFT)
           ? USE_BLOCKS : USE_FREE;
}

/* Whether P lies in the process's own page, which is nobody else's.  */
static bool
capture_is_local (struct heap *h, const char *p)
{
  const char *local = word_see (&h->local);
  return local != NULL && p >= local && p < local + MM_SLICE;
}

/* Whether page N is the heap's own, and its memory never thrown away.  Needs no
   lock.  */
static bool
capture_is_own (struct heap *h, uint64_t n)
{
  const char *p = (const char *) h->file.base + n * MM_PAGE;
  if ((uintptr_t) p < h->grid)
    return true;
  size_t c = ((uintptr_t) p - h->grid) >> MM_CHUNK_SHIFT;
  size_t s = (size_t) (p - off_chunk (h, c)) >> MM_SLICE_SHIFT;
  if (c >= h->n_chunks || dir_kind (dir_get (h, c)) != DIR_PAGED)
    return false;
  return s < slice_first_data (h, c)
         || (s < run_ready (h, c)
             && head_kind (head_see (off_record (h, c, s))) == HEAD_ROOTS);
}

static enum page_use
capture_use (struct heap *h, uint64_t n)
{
  const char *p = (const char *) h->file.base + n * MM_PAGE;
  if (!log_may_have (h, n) || capture_is_local (h, p))
    return USE_NONE;
  if (capture_is_own (h, n))
    return USE_OWN;
  size_t c = ((uintptr_t) p - h->grid) >> MM_CHUNK_SHIFT;
  size_t s = (size_t) (p - off_chunk (h, c)) >> MM_SLICE_SHIFT;
  if (c >= h->n_chunks || run_is_logs (h, c))
    return USE_NONE;
  if (run_chunk_is_empty (h, c))
    return USE_FREE;
  if (dir_kind (dir_get (h, c)) != DIR_PAGED)
    return capture_use_huge (h, c, p);
  return s >= run_ready (h, c) || map_get (run_index_locked (h, c)->free, s)
           ? USE_FREE : USE_BLOCKS;
}

/* The private copies of pages [FROM, TO), which are as in the image or free, may
   go, when all are known.  Not where the system's pages are larger than ours.  */
static void
capture_drop (struct heap *h, uint64_t from, uint64_t to)
{
  if (from < to && process.system_page == MM_PAGE)
    log_advise (h->log, (char *) h->file.base + from * MM_PAGE,
                (to - from) * MM_PAGE, MADV_DONTNEED);
}

/* They are known.  */
static void
capture_let_go (struct heap *h)
{
  log_advise (h->log, NULL, 0, MADV_DONTNEED);
}

/* Which granules of page P are not as in BASE: they are copied to TO.  From the end
   on, since what is stored first in a record lies before what is stored then; and
   each word is read once.  Threads may be at work.  */
__attribute__ ((no_sanitize ("thread", "address"))) static uint64_t
capture_compare (const char *p, const char *base, char *to)
{
  typedef uint64_t pair __attribute__ ((vector_size (16), aligned (16)));
  uint64_t mask = 0;
  for (size_t i = MM_PAGE / MM_GRANULE; i-- > 0;)
    {
      const volatile pair *now = (const void *) (p + i * MM_GRANULE);
      const pair *was = (const void *) (base + i * MM_GRANULE);
      pair a = now[3], b = now[2], c = now[1], d = now[0];
      pair all = (a ^ was[3]) | (b ^ was[2]) | (c ^ was[1]) | (d ^ was[0]);
      if ((all[0] | all[1]) == 0)
        continue;
      pair *out = (void *) (to + i * MM_GRANULE);
      out[3] = a;
      out[2] = b;
      out[1] = c;
      out[0] = d;
      mask |= UINT64_C (1) << i;
    }
  return mask;
}

/* Put into C's record what page N has now and BASE had not.  True: there is
   something.  */
static bool
capture_page (struct capture *c, uint64_t n, const char *base)
{
  _Alignas (64) char now[MM_PAGE], locks[MM_PAGE];
  const char *p = (const char *) c->h->file.base + n * MM_PAGE;
  /* Who finds the file finds it as if closed.  */
  if (n == MM_OFF_LOCKS / MM_PAGE)
    {
      p = memcpy (locks, p, MM_PAGE);
      ((struct disk_locks *) (void *) locks)->state = MM_CLEAN;
    }
  uint64_t mask = capture_compare (p, base, now);
  if (mask == 0)
    return false;
  c->change[c->n++] = (struct disk_change){ n, mask };
  for (size_t at, k; bit_take_run (&mask, &at, &k) != 0;
       c->data_bytes += k * MM_GRANULE)
    memcpy (c->data + c->data_bytes, now + at * MM_GRANULE, k * MM_GRANULE);
  return true;
}

/* Page N was written and is not in memory only: what becomes of it.  IMAGE: what
   the file has there.  */
static int
capture_see (struct capture *c, uint64_t n, const char *image)
{
  struct heap *h = c->h;
  struct log *l = h->log;
  const char *kept = super_kept (h, n);
  enum page_use use = capture_use (h, n);
  /* Last, see capture_all; or done already.  */
  if (n == MM_OFF_ROOT / MM_PAGE || (c->again && kept != NULL))
    return 0;
  if (use == USE_FREE && kept == NULL)
    capture_drop (h, n, n + 1);
  if (use == USE_NONE || (use == USE_FREE && kept == NULL))
    return 0;
  if (c->direct && n * MM_PAGE >= l->length)
    {
      l->unsynced = true;
      const char *now = (char *) h->file.base + n * MM_PAGE;
      if (!c->ready)
        return os_pwrite_all (&h->file, now, MM_PAGE, (off_t) (n * MM_PAGE));
      space_store (l->image + n * MM_PAGE, now, MM_PAGE);
      return 0;
    }
  if (!capture_page (c, n, kept != NULL ? kept : image) && kept == NULL
      && use == USE_BLOCKS)
    {
      capture_drop (h, n, n + 1);
      map_put (l->warm, n, 1, false);
    }
  return 0;
}

/* Read pages [FROM, TO) of the image, zero where the file ends before, into
   *IMAGE; unless that is mapped, or nobody looks at it.  */
static int
capture_read (struct capture *c, uint64_t from, uint64_t to, const char **image)
{
  struct log *l = c->h->log;
  *image = c->scratch;
  if (to * MM_PAGE <= l->image_end)
    *image = l->image + from * MM_PAGE;
  bool mapped = *image != c->scratch;
  bool direct = c->direct && from * MM_PAGE >= l->length;
  c->ready = mapped && direct
             && space_advise (l->image + from * MM_PAGE, (to - from) * MM_PAGE,
                              MADV_POPULATE_WRITE) == 0;
  if (mapped || direct)
    return 0;
  int err = os_pread_all (c->h->file.fd, c->scratch, (to - from) * MM_PAGE,
                          (off_t) (from * MM_PAGE));
  if (err != EBADMSG)
    return err;
  err = 0;
  for (uint64_t n = from; n < to && err == 0; n++)
    err = log_image (c->h, n, c->scratch + (n - from) * MM_PAGE);
  return err;
}

/* Pages [FROM, TO), from the last one on: they are private, or not known to be
   anything else.  */
static int
capture_span (struct capture *c, uint64_t from, uint64_t to)
{
  int err = 0;
  while (to > from && err == 0)
    {
      uint64_t n = size_min (to - from, MM_SCRATCH);
      const char *image;
      err = capture_read (c, to - n, to, &image);
      for (; n > 0 && err == 0; n--)
        err = capture_see (c, --to, image + (n - 1) * MM_PAGE);
    }
  return err;
}

/* Find what the process has private copies of: pages, in *SPAN, which are *N
   then; how many they are together, and behind the committed length.  */
static int
capture_scan (struct capture *c)
{
  struct heap *h = c->h;
  uint64_t length = round_up (off_length (h), process.system_page);
  length = size_min (length, word_peek (&h->file.mapped));
  c->room_spans = (length / MM_PAGE + 1) * sizeof *c->spans;
  c->spans = log_memory (c->room_spans);
  if (c->spans == NULL)
    return ENOMEM;
  c->n_spans = written_pages ((void *) h->file.base, length, c->spans);
  uint64_t known = h->log->length / MM_PAGE;
  for (size_t i = 0; i < c->n_spans; i++)
    {
      struct written *s = &c->spans[i];
      s->from = (s->from - h->file.base) / MM_PAGE;
      s->to = (s->to - h->file.base) / MM_PAGE;
      c->most += s->to - s->from;
      if (s->to > known)
        c->fresh += s->to - size_max (s->from, known);
    }
  c->most += h->log->n_pending + 1;
  return 0;
}

/* Room for a record of all of that.  */
static int
capture_room (struct capture *c)
{
  struct log *l = c->h->log;
  size_t index = round_up (sizeof (struct disk_record)
                           + c->most * sizeof (struct disk_change), MM_PAGE);
  size_t need = index + (c->most + 2) * MM_PAGE;
  if (need > l->room)
    {
      if (l->room > 0)
        os_give_memory (l->buffer, l->room);
      l->room = 0;
      l->buffer = log_memory (need);
      if (l->buffer == NULL)
        return ENOMEM;
      l->room = need;
    }
  c->change = (void *) (l->buffer + sizeof (struct disk_record));
  c->data = l->buffer + index;
  c->scratch = l->scratch;
  return 0;
}

/* The pages that are pending, compared with the image: all of them have to be
   in the record, as the log that has them goes.  */
static int
capture_pending (struct capture *c)
{
  struct log *l = c->h->log;
  int err = 0;
  for (size_t i = 0; i < l->n_pending && err == 0; i++)
    if (l->pending[i] != MM_OFF_ROOT / MM_PAGE)
      {
        err = log_image (c->h, l->pending[i], c->scratch);
        if (err == 0)
          capture_page (c, l->pending[i], c->scratch);
      }
  return err;
}

/* The root page, last: if anything has changed it has the checkpoint's
   number.  */
static int
capture_root (struct capture *c)
{
  struct heap *h = c->h;
  const uint64_t n = MM_OFF_ROOT / MM_PAGE;
  const char *kept = c->again ? NULL : super_kept (h, n);
  int err = kept == NULL ? log_image (h, n, c->scratch) : 0;
  if (err != 0)
    return err;
  const char *base = kept != NULL ? kept : c->scratch;
  bool any = c->n > 0 || h->log->unsynced || capture_page (c, n, base);
  if (!any)
    return 0;
  /* Seen just now, without that.  */
  if (c->n > 0 && c->change[c->n - 1].page == n)
    c->data_bytes -= MM_GRANULE
                     * (size_t) __builtin_popcountll (c->change[--c->n].mask);
  word_put (&h->root->checkpoint, h->log->seq + 1);
  capture_page (c, n, base);
  return 0;
}

/* All that has changed.  Needs: capture_begin.  */
static int
capture_all (struct capture *c)
{
  c->n = c->data_bytes = 0;
  int err = c->again ? capture_pending (c) : 0;
  for (size_t i = c->n_spans; i > 0 && err == 0; i--)
    err = capture_span (c, c->spans[i - 1].from, c->spans[i - 1].to);
  capture_let_go (c->h);
  return err != 0 ? err : capture_root (c);
}

/* Make of what C has found a record in one piece, which begins on a page: with
   little data behind its index, with much of it before, as the data stays.  */
static struct disk_record *
capture_record (struct capture *c)
{
  struct disk_record *r = (void *) c->h->log->buffer;
  size_t head = sizeof *r + c->n * sizeof *c->change;
  if (c->data_bytes < MM_RECORD_SMALL)
    c->data = memmove ((char *) r + head, c->data, c->data_bytes);
  else
    {
      char *at = c->data - round_up (head, MM_PAGE);
      r = memmove (at, r, head);
      c->change = (void *) (r + 1);
    }
  char *end = c->data + c->data_bytes;
  memset (r, 0, sizeof *r);
  r->data = (uint64_t) (c->data - (char *) r);
  r->bytes = round_up ((size_t) (end - (char *) r) + sizeof *r, MM_PAGE);
  memset (end, 0, (size_t) ((char *) r + r->bytes - end));
  r->n = c->n;
  return r;
}


/* ---- 42. The place of the log, settling --------------------------------- */

/* Owns: the place of the log, and the superblocks that name it; all that is written
   past the system's cache; whether the disk has what is in the image.
   Needs: the log's lock, or to be alone with the file behind the door.
   Crash: a log counts when a superblock names it; until then the old one does.
   Keeps: L1.
   Checked by: checkpoints, checkpoint_files, power.  */

/* Open the file of H once more, for what has to be on the disk when a write
   returns: PAST_CACHE of the system, where that can be.  */
static int
area_open (struct heap *h, bool past_cache)
{
  struct log *l = h->log;
  int flags = O_RDWR | O_DSYNC;
  l->past_cache = past_cache;
  if (past_cache)
    l->fd = byte_reopen (&h->file, flags | O_DIRECT, NULL);
  if (l->fd < 0 && (!past_cache || errno == EINVAL))
    {
      l->past_cache = false;
      l->fd = byte_reopen (&h->file, flags, NULL);
    }
  return l->fd >= 0 ? 0 : errno;
}

/* Write N bytes of whole pages at offset AT of the file of H, on the disk when
   this returns.  */
static int
area_write (struct heap *h, const void *from, size_t n, uint64_t at)
{
  struct log *l = h->log;
  int err = os_own (&h->file, l->fd);
  if (err == 0)
    err = os_move_all (l->fd, NULL, from, n, (off_t) at);
  /* Some file systems say so only now.  */
  if (err == EINVAL && l->past_cache)
    {
      os_close (l->fd);
      l->fd = -1;
      err = area_open (h, false);
      if (err == 0)
        err = os_move_all (l->fd, NULL, from, n, (off_t) at);
    }
  return err;
}

/* The disk has all of the image, or nobody knows: then there are no checkpoints
   any more, as the system may call clean what it could not write.  */
static int
area_sync (struct heap *h)
{
  int err = os_sync_file (&h->file);
  if (err == 0)
    h->log->unsynced = h->log->inherited = false;
  else
    h->log->broken = err;
  return err;
}

/* The file is the one that the superblock of H tells of.  */
static int
area_see (struct heap *h)
{
  struct stat status;
  int err = os_stat_own (&h->file, h->file.fd, &status);
  if (err == 0)
    super_see_file (h, &status);
  return err;
}

/* Write the superblock of H, both copies, one after the other: a library that
   knows no logs, or only an older place, must find none that is valid.  */
static int
area_name (struct heap *h)
{
  struct disk_super *s = &h->super;
  int err = 0;
  for (int i = 0; i < 2 && err == 0; i++)
    {
      s->generation++;
      s->sum = super_sum (s);
      memset (h->log->scratch, 0, MM_PAGE);
      memcpy (h->log->scratch, s, sizeof *s);
      err = area_write (h, h->log->scratch, MM_PAGE,
                        (s->generation & 1) * MM_PAGE);
    }
  return err;
}

/* Room for a log of SIZE bytes, which begins at what is returned: chunks that
   are free, behind all that is in use or was at the last checkpoint; or behind
   the capacity, if there are none, or the heap is small.  KEPT: no log is written
   over that somebody may be copying.  Needs: the grow lock, or to be alone with
   the heap.  */
static uint64_t
area_place (struct heap *h, uint64_t size, bool kept)
{
  size_t used = size_max (off_length (h), h->log->length), n = 0;
  size_t want = (size + MM_CHUNK - 1) >> MM_CHUNK_SHIFT;
  for (size_t c = 1; c + 1 < h->n_chunks && h->capacity >= MM_LOG_INSIDE; c++)
    {
      /* Where one was before is free, too.  */
      bool free = off_file (h, off_chunk (h, c)) >= used
                  && off_file (h, off_chunk (h, c + 1)) <= h->capacity
                  && (run_is_logs (h, c) ? !kept && !super_is_log (h, c)
                                         : run_chunk_is_empty (h, c));
      n = free ? n + 1 : 0;
      if (n == want)
        return off_file (h, off_chunk (h, c + 1 - n));
    }
  struct stat status;
  uint64_t end = round_up (h->capacity, MM_PAGE), old = h->super.log;
  if (kept && os_stat_own (&h->file, h->file.fd, &status) == 0)
    end = size_max (end, round_up ((size_t) status.st_size, MM_PAGE));
  return old < end || old - end >= size ? end : old + h->super.log_size;
}

/* The chunks that the log lies in are not the heap's from now on.  */
static int
area_cover (struct heap *h)
{
  uint64_t from = h->super.log, to = from + h->super.log_size;
  if (from >= h->capacity)
    return 0;
  size_t c = (from - (h->grid - h->file.base)) >> MM_CHUNK_SHIFT;
  size_t n = (to - from + MM_CHUNK - 1) >> MM_CHUNK_SHIFT;
  map_put (h->log->covered, c, n, true);
  size_t mapped = word_peek (&h->file.mapped);
  return range_cover (h, from, size_min (from + (n << MM_CHUNK_SHIFT), mapped));
}

/* Make the file's blocks for an empty log at its place, on the disk: so that no
   write of a record has to change where anything is.  The image is there, too,
   then.  */
static int
area_fill (struct heap *h)
{
  struct disk_super *s = &h->super;
  enum { STEP = MM_SCRATCH * MM_PAGE };
  int err = fail_refused (os_reserve_blocks (&h->file, s->log, s->log_size,
                                             true),
                          s->log_size, s->log + s->log_size);
  memset (h->log->scratch, 0, STEP);
  for (uint64_t at = 0; at < s->log_size && err == 0; at += STEP)
    err = os_pwrite_all (&h->file, h->log->scratch,
                         size_min (STEP, s->log_size - at),
                         (off_t) (s->log + at));
  return err != 0 ? err : area_sync (h);
}

/* Give the blocks of the log that S names back, which nobody does any more.  END:
   so much of the file is needed, 0: all.  */
static void
area_clear (struct heap *h, const struct disk_super *s, uint64_t end)
{
  if (end != 0 && s->log >= end)
    os_cut (&h->file, (off_t) end);
  else
    os_punch (&h->file, s->log, s->log_size);
}

/* Begin an empty log of SIZE bytes in a new place, which no superblock names
   yet.  Needs: as area_place.  */
static int
area_begin (struct heap *h, uint64_t size, bool kept)
{
  struct disk_super *s = &h->super;
  s->log = area_place (h, size, kept);
  s->log_size = size;
  s->log_epoch = os_random () | 1;
  s->log_base = 0;
  h->log->at = 0;
  h->log->half = 0;
  h->log->begins = h->log->seq + 1;
  int err = area_cover (h);
  return err != 0 ? err : area_fill (h);
}

/* Whether records of the other half count.  */
static bool
settle_is_due (const struct log *l)
{
  return l->first != 0 && l->first < l->begins;
}

/* The settler's work: with the image the disk has all that the other half
   says.  */
static int
settle_run (struct heap *h)
{
  return os_sync_file (&h->file);
}

/* Let it begin, in a thread of its own; where the system has none, do it.  */
static void
settle_begin (struct heap *h)
{
  if (helper_start (&h->log->settler, settle_run, h) != 0)
    h->log->settled = area_sync (h) == 0;
}

/* Has it ended?  WAIT for that.  */
static void
settle_end (struct log *l, bool wait)
{
  if (!l->settler.runs || (!wait && !word_see (&l->settler.done)))
    return;
  int err = helper_end (&l->settler);
  l->settled = err == 0;
  if (err != 0)
    l->broken = err;
}


/* ---- 43. The gate ------------------------------------------------------- */

/* Owns: the gate between a program's threads and its checkpoints: who is inside
   may change the heap, and a checkpoint waits until nobody is.
   Needs: the log's lock to close it.
   Crash: nothing of it is in a file.
   Keeps: nothing.
   Checked by: model_gate, checkpoint_gate.  */

/* Take the log's lock, whose owner may wait for those inside: 0 or an errno
   value.  */
static int
gate_lock (struct heap *h, struct reason *why)
{
  struct cache *own = cache_own (h);
  if (own != NULL && word_peek (&own->inside) != 0)
    return fail_because (why, EDEADLK, "this thread is between mmalloc_enter and"
                                       " mmalloc_leave");
  pthread_mutex_lock (&h->log->lock);
  return 0;
}

/* Whether a thread is inside.  */
static bool
gate_is_busy (struct heap *h)
{
  lock_registry ();
  struct cache *k = h->caches;
  while (k != NULL && word_see (&k->inside) == 0)
    k = k->heap_next;
  unlock_registry ();
  return k != NULL;
}

/* Whoever waits to get in may.  */
static void
gate_open (struct heap *h)
{
  word_clear (&h->gate, GATE_CLOSED);
  wait_wake (&h->gate, false);
}

/* Close it, and wait until nobody is inside.  0 or an errno value, with the gate
   open.  *UNUSED: nobody was ever, nor comes in now.  Who enters says so before it
   looks at the gate, with no fence between: after the barrier here either that is
   seen, or the gate was seen closed.  Source: asymmetric fences, membarrier(2).  */
static int
gate_close (struct heap *h, bool *unused, struct reason *why)
{
  uint32_t gate = word_set (&h->gate, GATE_CLOSED);
  *unused = (gate & GATE_UNUSED) != 0;
  if (*unused)
    return 0;
  int err = (gate & GATE_FENCED) == 0 ? wait_barrier (false) : 0;
  word_fence_all ();
  uint64_t since = 0;
  for (unsigned n = 0; err == 0;)
    {
      uint32_t left = word_see (&h->left);
      if (!gate_is_busy (h))
        return 0;
      if (fail_is_late (h->file.wait, &since))
        err = fail_because (why, ETIMEDOUT, "a thread stays between mmalloc_enter"
                                            " and mmalloc_leave");
      else
        wait_on (&h->left, left, false, n++);
    }
  gate_open (h);
  return err;
}

/* The thread with cache K is outside again, and the gate may be waiting for
   that.  */
static void
gate_leave (struct heap *h, struct cache *k)
{
  /* Seen by gate_is_busy, with what the thread stored inside.  */
  word_publish (&k->inside, 0);
  if ((word_peek (&h->gate) & GATE_CLOSED) == 0)
    return;
  word_add (&h->left, 1);
  wait_wake (&h->left, false);
}

/* The thread with cache K comes in when the gate is open: 0 or an errno value.  */
static int
gate_enter (struct heap *h, struct cache *k)
{
  uint64_t since = 0;
  bool waited = false;
  for (unsigned n = 0;;)
    {
      word_put (&k->inside, 1);
      word_fence_all ();
      uint32_t gate = word_see (&h->gate);
      if ((gate & GATE_CLOSED) == 0
          && ((gate & GATE_UNUSED) == 0
              || word_claim (&h->gate, &gate, gate & ~(uint32_t) GATE_UNUSED)))
        break;
      gate_leave (h, k);
      if ((gate & GATE_CLOSED) == 0)
        continue;
      waited = true;
      if (fail_is_late (h->file.wait, &since))
        return ETIMEDOUT;
      wait_on (&h->gate, gate, false, n++);
    }
  /* As gate_open wakes one.  */
  if (waited)
    wait_wake (&h->gate, false);
  return 0;
}


/* ---- 44. The image ------------------------------------------------------ */

/* Owns: what of the log is in the image, whether written by calls or stored into a
   mapping of it, and what waits for that, pending, while somebody reads it.
   Needs: the log's lock, or to be alone with the file behind the door.
   Crash: the log has all that is written here.
   Keeps: L2, L3.
   Checked by: model_log, checkpoints, power.  */

/* The image is not mapped any more.  */
static void
home_unmap (struct log *l)
{
  if (l->image != NULL)
    space_unmap (l->image, l->image_mapped);
  l->image = NULL;
  l->image_mapped = l->image_end = 0;
}

/* Map the image as far as the file of H goes: to read and write page by page
   without a call each.  Where it cannot be mapped calls do it.  */
static void
home_map (struct heap *h)
{
  struct log *l = h->log;
  struct stat status;
  size_t end = 0;
  if (os_stat_own (&h->file, h->file.fd, &status) == 0)
    end = size_min ((size_t) status.st_size, h->capacity) / MM_PAGE * MM_PAGE;
  if (end > l->image_mapped)
    {
      size_t room = round_up (end + end / 2, MM_CHUNK);
      home_unmap (l);
      l->image = space_map_later (room, h->file.fd);
      l->image_mapped = l->image != NULL ? room : 0;
    }
  l->image_end = size_min (end, l->image_mapped);
}

/* Whether all that R changes can be stored into the mapping of the image: a store
   there could end in a signal, but not where the system has just made it
   writable.  */
static bool
home_may_store (struct heap *h, const struct disk_record *r)
{
  const struct disk_change *change = (const void *) (r + 1);
  struct log *l = h->log;
  int err = process.system_page != MM_PAGE;
  for (uint64_t i = 0; i < r->n && err == 0; i++)
    err = (change[i].page + 1) * MM_PAGE > l->image_end
            ? EFBIG
            : log_advise (l, l->image + change[i].page * MM_PAGE, MM_PAGE,
                          MADV_POPULATE_WRITE);
  if (err == 0)
    err = log_advise (l, NULL, 0, MADV_POPULATE_WRITE);
  l->n_parts = 0;
  return err == 0;
}

/* A run goes into the image, by a call.  */
static int
home_write_run (struct heap *h, uint64_t page, size_t at, const char *data,
               size_t n)
{
  return os_pwrite_all (&h->file, data, n * MM_GRANULE,
                        (off_t) (page * MM_PAGE + at * MM_GRANULE));
}

/* The same, by a store.  */
static int
home_store_run (struct heap *h, uint64_t page, size_t at, const char *data,
               size_t n)
{
  space_store (h->log->image + page * MM_PAGE + at * MM_GRANULE, data,
               n * MM_GRANULE);
  return 0;
}

/* Write what record R has into the image.  */
static int
home_write (struct heap *h, struct disk_record *r, void *arg)
{
  (void) arg;
  return log_runs (h, r, home_may_store (h, r) ? home_store_run : home_write_run);
}

/* Whether nobody reads the image, nor can before byte_lock lets the door of its
   readers go; those from before there was a log count, too, who see the file.  */
static bool
home_is_unread (struct heap *h)
{
  if (byte_lock (&h->file, MM_BYTE_PRIVATE, F_WRLCK) != 0)
    return false;
  if (!byte_is_locked (&h->file, MM_BYTE_READERS, F_WRLCK))
    return true;
  byte_lock (&h->file, MM_BYTE_PRIVATE, F_UNLCK);
  return false;
}

/* Nobody reads the image: all that is pending goes there, and then record R of
   C, or R alone, if it tells all that the image has not got.  */
static int
home_record (struct heap *h, struct disk_record *r, const struct capture *c)
{
  struct log *l = h->log;
  int err = 0;
  for (size_t i = 0; i < l->n_pending && !c->again && err == 0; i++)
    err = os_pwrite_all (&h->file, l->kept[l->pending[i]], MM_PAGE,
                         (off_t) (l->pending[i] * MM_PAGE));
  if (err == 0)
    log_forget (l);
  if (err == 0)
    err = home_write (h, r, NULL);
  l->whole = err == 0;
  return err;
}

/* Record R of C is on the disk, and the image has to stay as it is: what R
   changed is pending.  */
static int
home_pend (struct heap *h, struct disk_record *r, const struct capture *c)
{
  struct log *l = h->log;
  int err = 0;
  /* R tells what the image has not got, no matter what was pending before.  */
  for (size_t i = 0; i < l->n_pending && c->again && err == 0; i++)
    err = log_image (h, l->pending[i], l->kept[l->pending[i]]);
  return err != 0 ? err : log_lay (h, r, NULL);
}

/* Record R is in the image, and new memory that it counts in.  What was touched for
   the first time may go, if nobody can have changed it since.  */
static void
home_drop (struct heap *h, const struct disk_record *r)
{
  const struct disk_change *change = (const void *) (r + 1);
  struct log *l = h->log;
  for (uint64_t i = 0; i < r->n; i++)
    {
      uint64_t n = change[i].page;
      if (!map_get (l->warm, n) && !capture_is_own (h, n))
        capture_drop (h, n, n + 1);
      map_put (l->warm, n, 1, true);
    }
  for (uint64_t n = r->direct_end / MM_PAGE; n > r->direct / MM_PAGE;)
    if (!capture_is_own (h, --n)
        && !capture_is_local (h, (char *) h->file.base + n * MM_PAGE))
      capture_drop (h, n, n + 1);
  capture_let_go (h);
}

/* The pages of chunk C, which is PAGED or a part of a HUGE block, in BARE: of
   slices that nobody has, nor are they backed.  */
static void
home_bare_slices (struct heap *h, size_t c, disk_u64 *bare)
{
  const size_t unit = MM_SLICE / MM_PAGE;
  bool huge = dir_kind (dir_get (h, c)) != DIR_PAGED;
  size_t s = huge ? 0 : slice_first_data (h, c);
  size_t end = huge ? slice_count_within (h, c, off_length (h))
                    : run_ready (h, c);
  for (; s < end; s++)
    if (huge ? capture_use_huge (h, c, off_slice (h, c, s)) == USE_FREE
             : !map_get (off_index (h, c)->backed, s))
      map_put (bare, s * unit, unit, true);
}

/* The same, in the midst of THIN pages of chunk C, which is PAGED.  */
static void
home_bare_holes (struct heap *h, size_t c, disk_u64 *bare)
{
  size_t end = run_ready (h, c), n;
  for (size_t s = slice_first_data (h, c); s < end; s += size_max (n, 1))
    {
      uint64_t head;
      n = run_look (h, c, s, end, &head);
      unsigned cl = head_class (head);
      if (head_kind (head) != HEAD_PAGE || head_state (head) != HEAD_THIN
          || cl >= MM_CLASSES)
        continue;
      uint64_t holes = word_peek (&off_record (h, c, s)->holes)
                       & page_all_holes (cl);
      for (size_t at, k; bit_take_run (&holes, &at, &k) != 0;)
        map_put (bare, s * (MM_SLICE / MM_PAGE) + at, k, true);
    }
}

/* In BARE, by page of chunk C: it may go, whatever it has.  */
static void
home_bare (struct heap *h, size_t c, disk_u64 *bare)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t from = off_file (h, off_chunk (h, c)), length = off_length (h);
  map_put (bare, 0, MM_CHUNK / MM_PAGE, false);
  if (run_chunk_is_empty (h, c))
    {
      size_t some = from < length ? size_min (length - from, MM_CHUNK) : 0;
      map_put (bare, 0, some / MM_PAGE, true);
      return;
    }
  if (run_is_logs (h, c))
    return;
  home_bare_slices (h, c, bare);
  if (dir_kind (dir_get (h, c)) == DIR_PAGED)
    home_bare_holes (h, c, bare);
}

/* What was given back before C may go when C is committed.  */
static void
home_note_drops (struct capture *c)
{
  struct log *l = c->h->log;
  c->drops = l->drops;
  c->n_drops = l->n_drops;
  for (size_t i = c->drops.from; i < c->drops.to; i++)
    home_bare (c->h, i, l->bare + i * (MM_CHUNK / MM_PAGE / 64));
}

/* What nobody had in chunk I when C was captured, nor has now, goes out of the
   image.  */
static void
home_give_chunk (struct heap *h, size_t i)
{
  enum { WORDS = MM_CHUNK / MM_PAGE / 64 };
  disk_u64 now[WORDS], *then = h->log->bare + i * WORDS;
  char *start = off_chunk (h, i);
  home_bare (h, i, now);
  for (size_t w = 0; w < WORDS; w++)
    word_put (&now[w], word_peek (&now[w]) & word_peek (&then[w]));
  for (size_t at = 0, n; at < WORDS * 64; at += n)
    {
      bool bare = map_get (now, at);
      for (n = 1; at + n < WORDS * 64 && map_get (now, at + n) == bare;)
        n++;
      if (bare)
        os_punch (&h->file, off_file (h, start + at * MM_PAGE), n * MM_PAGE);
    }
}

/* C is on the disk, and nobody reads the image: what was given back goes out of
   it.  The next record, which counts on zeros there, does without all those before
   it, that may have what was there: its maker is told, who may be another
   process.  */
static void
home_give (struct heap *h, const struct capture *c)
{
  struct log *l = h->log;
  for (size_t i = c->drops.from; i < c->drops.to && lock_grow (h); i++)
    {
      l->punched = true;
      home_give_chunk (h, i);
      /* All of it, and nothing came since C was captured.  */
      if (i + 1 == c->drops.to && l->n_drops == c->n_drops)
        l->drops = (struct chunks){ 0, 0 };
      unlock_grow (h);
    }
}

/* The copies that pages of R will need which cannot go home yet.  */
static int
home_keep (struct heap *h, const struct disk_record *r)
{
  const struct disk_change *change = (const void *) (r + 1);
  char *copy;
  int err = 0;
  for (uint64_t i = 0; i < r->n && err == 0; i++)
    err = log_keep (h, change[i].page, &copy);
  return err;
}

/* Record R of C is on the disk: the image follows, if nobody reads it.  DROP:
   nobody has changed memory since.  */
static void
home_follow (struct heap *h, struct disk_record *r, const struct capture *c,
              bool drop)
{
  struct log *l = h->log;
  /* A reader may have come meanwhile; one who has gone was told that the image
     stays.  */
  bool home = c->unread && home_is_unread (h);
  l->broken = home ? home_record (h, r, c) : home_pend (h, r, c);
  if (home && l->broken == 0 && drop)
    home_drop (h, r);
  if (home && l->broken == 0)
    home_give (h, c);
  if (home)
    byte_lock (&h->file, MM_BYTE_PRIVATE, F_UNLCK);
}


/* ---- 45. Checkpoints ---------------------------------------------------- */

/* Owns: struct log: what of the log counts, its records as they are written.
   Needs: the log's lock, or to be alone with the file behind the door.
   Crash: as in tests/model_log.c.
   Keeps: L1 to L4.
   Checked by: model_log, checkpoints, power.  */

/* Write record R: it is the next one.  A place where one may be that was said to
   have failed must get the same number, or none.  */
static int
point_append (struct heap *h, struct disk_record *r, uint64_t first,
              const struct capture *c)
{
  struct log *l = h->log;
  r->magic = MM_RECORD_MAGIC;
  memcpy (r->uuid, h->super.uuid, sizeof r->uuid);
  r->epoch = h->super.log_epoch;
  r->seq = l->seq + 1;
  r->first = first;
  r->at = l->at;
  r->length = c->length;
  r->direct = c->direct ? l->length : 0;
  r->direct_end = c->direct ? c->length : 0;
  r->before = l->sum;
  r->kept = !c->unread && h->log->whole;
  r->holes = (l->punched && first != r->seq) || c->drops.from < c->drops.to;
  r->sum = 0;
  memcpy ((char *) r + r->bytes - sizeof *r, r, sizeof *r);
  r->sum = log_record_sum (r);
  int err = area_write (h, r, r->bytes, h->super.log + l->at);
  l->doubt = err != 0;
  if (err != 0)
    return err;
  l->seq = r->seq;
  l->sum = r->sum;
  l->first = first;
  l->alone = false;
  l->punched &= first != r->seq;
  l->at += r->bytes;
  l->length = c->length;
  return 0;
}

/* Nothing is where the next record was to be, so that one with its number can
   be elsewhere.  */
static int
point_undo_doubt (struct heap *h)
{
  struct log *l = h->log;
  if (!l->doubt)
    return 0;
  memset (l->scratch, 0, MM_PAGE);
  int err = area_write (h, l->scratch, MM_PAGE, h->super.log + l->at);
  l->doubt = err != 0;
  return err;
}

/* The log is too small for R: a larger one, with R in it, and then both
   superblocks say so.  The old one stays as it is, for who copies the file, and
   since what is thrown away might come back with a power cut: no other memory has
   the place before the file is opened again.  */
static int
point_move (struct heap *h, struct disk_record *r, struct capture *c)
{
  struct log *l = h->log;
  struct disk_super old = h->super;
  uint64_t at = l->at, begins = l->begins;
  uint64_t need = round_up (r->bytes + r->bytes / 4, MM_PAGE) + MM_PAGE;
  unsigned half = l->half;
  settle_end (l, true);
  l->settled = false;
  if (l->broken != 0)
    return l->broken;
  if (!lock_grow (h))
    return ETIMEDOUT;
  int err = area_begin (h, 2 * size_max (need, log_half (h)), !c->unread);
  unlock_grow (h);
  if (err == 0)
    err = point_append (h, r, l->seq + 1, c);
  if (err != 0)
    {
      area_clear (h, &h->super, 0);
      area_sync (h);
      h->super = old;
      l->at = at;
      l->half = half;
      l->begins = begins;
      l->doubt = false;
      return err;
    }
  err = area_see (h);
  if (err == 0)
    err = area_name (h);
  /* Nobody knows which one the disk has.  */
  l->broken = err;
  return err;
}

/* Whether the next record has to do without those before it: nobody knows what of
   them the disk has; or they have what went out of the image since, with which it
   is compared.  */
static bool
point_is_alone (const struct log *l)
{
  return l->alone || l->punched;
}

/* Whether a record of BYTES has room in this half of the log, with the page that
   is kept for point_say.  */
static bool
point_has_room (const struct heap *h, uint64_t bytes)
{
  return h->log->at + bytes + MM_PAGE <= (h->log->half + 1) * log_half (h);
}

/* The number of the next record, in the heap's root page, and so in record R of
   C, where that page is the last change.  */
static void
point_number (struct heap *h, const struct disk_record *r,
              const struct capture *c)
{
  enum { AT = offsetof (struct disk_root, checkpoint) };
  const struct disk_change *change = (const void *) (r + 1);
  uint64_t from = change[r->n - 1].mask >> (AT / MM_GRANULE);
  size_t behind = (size_t) __builtin_popcountll (from) * MM_GRANULE;
  uint64_t seq = h->log->seq + 1;
  word_put (&h->root->checkpoint, seq);
  memcpy (c->data + c->data_bytes - behind + AT % MM_GRANULE, &seq, sizeof seq);
}

/* Say that the other half does not count: by a record before the one of NEXT that
   changes its own number alone, in the page that was kept for it.  */
static int
point_say (struct heap *h, const struct capture *next)
{
  enum { AT = offsetof (struct disk_root, checkpoint) };
  struct log *l = h->log;
  struct disk_record *r = (void *) l->scratch;
  struct disk_change *change = (void *) (r + 1);
  struct capture c = { .h = h, .length = l->length, .data = (char *) (change + 1),
                       .data_bytes = MM_GRANULE };
  c.unread = next->unread && l->n_pending == 0;
  memset (r, 0, MM_PAGE);
  r->n = 1;
  r->data = (uint64_t) (c.data - (char *) r);
  r->bytes = MM_PAGE;
  *change = (struct disk_change){ MM_OFF_ROOT / MM_PAGE,
                                  UINT64_C (1) << AT / MM_GRANULE };
  int err = super_look (h, c.data, MM_GRANULE,
                        MM_OFF_ROOT + AT / MM_GRANULE * MM_GRANULE);
  if (err == 0 && !c.unread)
    err = home_keep (h, r);
  if (err != 0)
    return err;
  point_number (h, r, &c);
  err = point_append (h, r, size_max (l->first, l->begins), &c);
  if (err == 0)
    home_follow (h, r, &c, false);
  return err != 0 ? err : l->broken;
}

/* Make the other half free: no record of it counts.  */
static int
point_free_other (struct heap *h, const struct capture *next)
{
  struct log *l = h->log;
  settle_end (l, true);
  if (l->broken != 0)
    return l->broken;
  return settle_is_due (l) ? point_say (h, next) : 0;
}

/* Whether the log as it is has room for a record of BYTES, if not here then in
   the other half, which may have to be freed for it.  */
static bool
point_has_half (const struct heap *h, uint64_t bytes)
{
  const struct log *l = h->log;
  bool can_say = (l->settled || l->settler.runs)
                 && l->at + MM_PAGE <= (l->half + 1) * log_half (h);
  return bytes + MM_PAGE <= log_half (h)
         && (can_say || !settle_is_due (l));
}

/* Append R where there is room.  Until the disk has what is in the image, the
   records that tell it count, in both halves.  The beginning of a half is written
   over: so it stays when R has failed.  */
static int
point_put (struct heap *h, struct disk_record *r, struct capture *c)
{
  struct log *l = h->log;
  bool fits = point_has_room (h, r->bytes);
  int err = fits ? 0 : point_undo_doubt (h);
  if (err == 0 && !fits && !point_has_half (h, r->bytes))
    return point_move (h, r, c);
  if (err == 0 && !fits)
    err = point_free_other (h, c);
  /* With all that is pending, compared with the image, it replaces those before
     it even if there is room.  */
  bool alone = point_is_alone (l) || c->again || (!fits && h->file.no_thread);
  bool grows = c->length > l->length;
  if (err == 0 && (alone || l->unsynced || (grows && l->inherited)))
    err = area_sync (h);
  if (err != 0)
    return err;
  if (!fits)
    {
      l->half = 1 - l->half;
      l->at = l->half * log_half (h);
      l->begins = l->seq + 1;
      l->settled = false;
      l->alone = true;
      point_number (h, r, c);
    }
  uint64_t first = alone || l->first == 0 ? l->seq + 1
                   : l->settled           ? size_max (l->first, l->begins)
                                          : l->first;
  err = point_append (h, r, first, c);
  if (err == 0 && !fits && settle_is_due (l))
    settle_begin (h);
  return err;
}

/* Capture all that has changed into C.  New memory goes into the image at once,
   unless somebody reads that.  */
static int
point_capture (struct heap *h, struct capture *c)
{
  struct log *l = h->log;
  *c = (struct capture){ .h = h, .length = off_length (h) };
  c->unread = !byte_is_locked (&h->file, MM_BYTE_PRIVATE, F_WRLCK)
              && !byte_is_locked (&h->file, MM_BYTE_READERS, F_WRLCK);
  home_map (h);
  home_note_drops (c);
  int err = capture_scan (c);
  if (err == 0)
    err = capture_room (c);
  if (err == 0 && c->unread && !l->doubt
      && c->fresh >= MM_DIRECT_LEAST / MM_PAGE)
    c->direct = c->unread = home_is_unread (h);
  if (err == 0)
    err = capture_all (c);
  /* A log that has what is pending may have to go.  */
  size_t bytes = sizeof (struct disk_record) + c->n * sizeof *c->change
                 + c->data_bytes + 3 * MM_PAGE;
  c->again = l->n_pending > 0
             && (point_is_alone (l) || !point_has_room (h, bytes));
  if (err == 0 && c->again)
    err = capture_all (c);
  if (c->direct)
    byte_lock (&h->file, MM_BYTE_PRIVATE, F_UNLCK);
  if (c->spans != NULL)
    os_give_memory (c->spans, c->room_spans);
  return err;
}

/* What C has captured becomes the last checkpoint; what that changes goes into the
   image if nobody reads it.  DROP: nobody has changed memory since.  */
static int
point_commit (struct heap *h, struct capture *c, bool drop)
{
  struct disk_record *r = capture_record (c);
  int err = c->unread ? 0 : home_keep (h, r);
  if (err == 0)
    err = point_put (h, r, c);
  if (err == 0)
    home_follow (h, r, c, drop);
  return err;
}

/* What has changed is in C, which the caller commits.  Threads may go on before the
   end of that, unless the gate stays closed, *KEPT: none of them was ever inside,
   and nobody is told by RESUME.  0 or an errno value.  */
static int
point_begin (struct heap *h, struct capture *c, bool resume, bool *kept,
             struct reason *why)
{
  settle_end (h->log, false);
  *kept = false;
  if (h->log->broken != 0)
    return fail_because (why, EIO, "the disk or the system has failed the heap"
                                   " before: it has to be opened again");
  bool unused = false;
  int err = gate_close (h, &unused, why);
  if (err != 0)
    return err;
  if (!capture_begin (h))
    err = ETIMEDOUT;
  else
    {
      err = point_capture (h, c);
      capture_end (h);
    }
  *kept = unused && !resume && err == 0;
  if (!*kept)
    gate_open (h);
  return err;
}

/* A checkpoint.  RESUME, unless NULL, is called with ARG, once, when threads may
   change the heap again.  0 or an errno value.  */
static int
point_make (struct heap *h, void (*resume) (void *), void *arg,
            struct reason *why)
{
  struct capture c = { .n = 0 };
  bool kept;
  int err = point_begin (h, &c, resume != NULL, &kept, why);
  if (resume != NULL)
    resume (arg);
  if (err == 0 && c.n > 0)
    err = point_commit (h, &c, kept);
  if (kept)
    gate_open (h);
  if (err == 0)
    h->log->durable = h->log->started;
  return err;
}

/* The committer's work: what was captured.  */
static int
point_run (struct heap *h)
{
  return point_commit (h, &h->log->captured, false);
}

/* Wait for a checkpoint that was started.  */
static void
point_end (struct log *l)
{
  if (!l->committer.runs)
    return;
  l->failed = helper_end (&l->committer);
  if (l->failed == 0)
    l->durable = l->started;
}

/* Start one, in *TICKET: what has changed is known when this returns.  */
static int
point_start (struct heap *h, unsigned long *ticket, struct reason *why)
{
  struct log *l = h->log;
  bool kept;
  l->captured = (struct capture){ .n = 0 };
  int err = point_begin (h, &l->captured, true, &kept, why);
  if (err != 0)
    return err;
  *ticket = ++l->started;
  l->failed = 0;
  if (l->captured.n > 0
      && !h->file.no_thread
      && helper_start (&l->committer, point_run, h) == 0)
    return 0;
  if (l->captured.n > 0)
    l->failed = point_run (h);
  if (l->failed == 0)
    l->durable = l->started;
  return 0;
}

/* The same, one after the other.  */
static int
point_take (struct heap *h, struct reason *why)
{
  why->told[0] = '\0';
  int err = gate_lock (h, why);
  if (err != 0)
    return err;
  point_end (h->log);
  err = point_make (h, NULL, NULL, why);
  pthread_mutex_unlock (&h->log->lock);
  return file_reason (why, err, "the checkpoint could not be written");
}


/* ---- 46. Where the log ends --------------------------------------------- */

/* Owns: the end of a log that was left: which record is the last one, and that the
   disk has that, and nothing behind it.
   Needs: the door.
   Crash: it is done once more.
   Keeps: L1.
   Checked by: model_log, checkpoint_files, damage_golden, power.  */

/* The file is as long as a record says, which a power cut may have kept from
   the disk.  */
static int
tail_length (struct heap *h, uint64_t length)
{
  struct stat status;
  int err = os_stat_own (&h->file, h->file.fd, &status);
  uint64_t size = err == 0 ? (uint64_t) status.st_size : length;
  return err != 0 || size >= length
           ? err
           : fail_refused (os_reserve_blocks (&h->file, size, length - size,
                                              true), length - size, length);
}

/* The last record may be known to the system alone, and not to the disk, if its
   maker was killed while it wrote: before anything counts on it, it is there.  */
static int
tail_last (struct heap *h, struct log_reader *in, const struct log_end *end)
{
  int err = log_read (h, in, end->last, end->start);
  if (err != 0 || in->record == NULL)
    return err != 0 ? err : EBADMSG;
  return area_write (h, in->record, in->record->bytes,
                     h->super.log + end->start);
}

/* Nobody takes R for one end of a record any more.  */
static int
tail_wipe (struct heap *h, struct disk_record *r, void *arg)
{
  char *page = (char *) ((uintptr_t) r & ~(uintptr_t) (MM_PAGE - 1));
  uint64_t at = page == (char *) r ? r->at : r->at + r->bytes - MM_PAGE;
  (void) arg;
  memset (page, 0, MM_PAGE);
  return area_write (h, page, MM_PAGE, h->super.log + at);
}

/* The log has no record that counts: let nothing in it look like one.  What it
   has may be of a time when the image was this one already.  */
static int
tail_empty (struct heap *h, uint64_t image)
{
  int err = 0;
  if (h->super.log_base != image + 1)
    {
      h->super.log_base = image + 1;
      err = area_sync (h);
      if (err == 0)
        err = area_name (h);
    }
  return err != 0 ? err : log_ends (h, 0, tail_wipe, NULL);
}

/* Find the last record that counts, in *END, none: its number is 0; IMAGE is the
   last that is in the image.  Others that lie behind it are told by EBADMSG, as
   one before them is missing; unless they say that they left the image as it is:
   so it is in a copy of the file, made beside a reader who kept it so, but later
   parts of the log are of a later time.  Who writes, wipes them out.  */
static int
tail_find (struct heap *h, struct log_reader *in, struct log_end *end,
           uint64_t image)
{
  struct log *l = h->log;
  struct log_rest rest;
  const bool base = h->super.log_base == image + 1, writes = l->fd >= 0;
  uint64_t before;
  bool whole;
  int left = 100;
  do
    {
      before = end->last;
      int err = log_find (h, in, end, &l->half);
      if (err != 0 && err != EBADMSG)
        return err;
      whole = err == 0 && end->last != 0 && end->last >= image;
      uint64_t last = whole ? end->last + 1 : base ? image + 1 : image;
      rest = (struct log_rest){ .behind = 0 };
      err = log_ends (h, last, log_see, &rest);
      if (err != 0)
        return err;
    }
  /* Beside somebody who looks, records may come at any time.  */
  while (!writes && rest.written != 0 && end->last != before && left-- > 0);
  if ((!whole && !base && rest.first <= image) || rest.written != 0)
    return EBADMSG;
  bool clean = end->last == 0 && base;
  if (!whole)
    {
      *end = (struct log_end){ .last = 0 };
      l->half = 0;
    }
  if (!writes || (rest.behind == 0 && (whole || clean)))
    return 0;
  return whole ? log_ends (h, end->last, tail_wipe, NULL)
               : tail_empty (h, image);
}

/* The disk alone may have a record of somebody whose write failed or was cut off:
   nothing is behind the last one, which END is of, nor where the other half begins,
   unless that counts.  */
static int
tail_next (struct heap *h, const struct log_end *end)
{
  struct log *l = h->log;
  uint64_t other = (1 - l->half) * log_half (h);
  bool counts = end->last != 0 && end->first < end->begins;
  int err = 0;
  memset (l->scratch, 0, MM_PAGE);
  if (end->at < (l->half + 1) * log_half (h))
    err = area_write (h, l->scratch, MM_PAGE, h->super.log + end->at);
  if (err == 0 && !counts)
    err = area_write (h, l->scratch, MM_PAGE, h->super.log + other);
  return err;
}

/* Both superblocks name the log, before anything is written that only it, or its
   records, would tell of: the newer one may be known to the system alone, and not
   to the disk.  */
static int
tail_name (struct heap *h)
{
  struct disk_super copy[2], *s = &h->super;
  bool same[2];
  int err = 0;
  for (int i = 0; i < 2 && err == 0; i++)
    {
      err = os_pread_all (h->file.fd, &copy[i], sizeof copy[i], i * MM_PAGE);
      same[i] = err == 0 && copy[i].sum == super_sum (&copy[i])
                && copy[i].version == s->version && copy[i].log == s->log
                && copy[i].log_size == s->log_size
                && copy[i].log_epoch == s->log_epoch
                && copy[i].log_base == s->log_base;
    }
  return err != 0 || (same[0] && same[1]) ? err : area_name (h);
}

/* What lies at END, where the log goes on, is on the disk as it is read, and the file
   is as long as it says.  */
static int
tail_begin (struct heap *h, struct log_reader *in, const struct log_end *end)
{
  int err = end->last != 0 ? tail_last (h, in, end) : 0;
  if (err == 0)
    err = tail_next (h, end);
  return err == 0 && end->last != 0 ? tail_length (h, end->length) : err;
}


/* ---- 47. Back to a checkpoint ------------------------------------------- */

/* Owns: how the last checkpoint is found when a heap is opened: to go on from
   it, to look at it, or to share it.
   Needs: the door.
   Crash: the image may be written again, from the same records.
   Keeps: L1 to L3.
   Checked by: model_log, checkpoints, checkpoint_files, power.  */

/* What the process knows about the log of H.  0 or an errno value.  */
static int
recover_new (struct heap *h)
{
  size_t pages = h->super.capacity / MM_PAGE + 1;
  struct log *l = h->log = os_memory (sizeof *l);
  if (l == NULL)
    return ENOMEM;
  l->fd = -1;
  pthread_mutex_init (&l->lock, NULL);
  l->scratch = os_memory (MM_SCRATCH * MM_PAGE);
  l->covered_bytes = round_up (pages / (MM_CHUNK / MM_PAGE) / 8 + 16, 8);
  l->covered = os_memory (l->covered_bytes);
  l->warm_bytes = round_up (pages / 8 + 8, 8);
  l->warm = log_memory (l->warm_bytes);
  l->bare_bytes = l->warm_bytes + 2 * (MM_CHUNK / MM_PAGE / 8);
  l->bare = log_memory (l->bare_bytes);
  bool done = l->scratch != NULL && l->covered != NULL && l->warm != NULL
              && l->bare != NULL;
  return done ? 0 : ENOMEM;
}

/* The same, of one who writes it.  */
static int
recover_new_writer (struct heap *h, struct reason *why)
{
  int err = recover_new (h);
  if (err != 0)
    return err;
  err = area_open (h, true);
  return err == 0 ? 0 : file_no_fd (why, err, "the file cannot be opened once"
                                              " more, for its log");
}

/* The heap goes, or the log does.  */
static void
recover_end (struct heap *h)
{
  struct log *l = h->log;
  if (l == NULL)
    return;
  point_end (l);
  settle_end (l, true);
  log_forget (l);
  home_unmap (l);
  if (l->fd >= 0 && os_own (&h->file, l->fd) != EBADF)
    os_close (l->fd);
  size_t kept = h->super.capacity / MM_PAGE * sizeof *l->kept;
  const struct { void *p; size_t n; } part[] = {
    { l->scratch, MM_SCRATCH * MM_PAGE }, { l->covered, l->covered_bytes },
    { l->warm, l->warm_bytes }, { l->bare, l->bare_bytes }, { l->kept, kept },
    { l->buffer, l->room }, { l->pending, l->pending_room * sizeof *l->pending }
  };
  for (size_t i = 0; i < sizeof part / sizeof *part; i++)
    if (part[i].p != NULL)
      os_give_memory (part[i].p, part[i].n);
  pthread_mutex_destroy (&l->lock);
  os_give_memory (l, sizeof *l);
  h->log = NULL;
}

/* The image stays, and what it has of the last checkpoint already no sync need
   write, if one has failed before: it is written again, as it is.  */
static int
recover_again (struct heap *h)
{
  struct log *l = h->log;
  int err = 0;
  for (size_t i = 0; i < l->n_pending && err == 0; i++)
    {
      const char *now = l->kept[l->pending[i]];
      err = log_image (h, l->pending[i], l->scratch);
      for (size_t at = 0; at < MM_PAGE && err == 0; at += MM_GRANULE)
        if (memcmp (now + at, l->scratch + at, MM_GRANULE) == 0)
          err = os_pwrite_all (&h->file, now + at, MM_GRANULE,
                               (off_t) (l->pending[i] * MM_PAGE + at));
    }
  return err;
}

/* Find the last checkpoint: HOME: into the image with it; else it is what is
   pending over the image.  */
static int
recover_log (struct heap *h, bool home, struct reason *why)
{
  struct log *l = h->log;
  struct log_reader in = { .room = 0 };
  struct log_end end = { .last = 0 };
  struct disk_root root;
  int err = os_pread_all (h->file.fd, &root, sizeof root, MM_OFF_ROOT);
  uint64_t image = word_peek (&root.checkpoint);
  if (err == 0 && l->fd >= 0)
    err = tail_name (h);
  if (err == 0)
    err = tail_find (h, &in, &end, image);
  if (err == 0 && l->fd >= 0)
    err = tail_begin (h, &in, &end);
  l->length = end.last != 0 ? end.length : word_peek (&root.length);
  if (err == 0 && end.last != 0)
    err = log_each (h, &in, l->half, (struct log_range){ end.first, end.last },
                    home ? home_write : log_lay, NULL);
  if (err == 0 && !home && l->fd >= 0)
    err = recover_again (h);
  log_read_end (&in);
  l->whole = err == 0 && (home || end.last == 0);
  l->seq = end.last != 0 ? end.last : image;
  l->first = end.first;
  l->begins = end.last != 0 ? end.begins : l->seq + 1;
  /* Nobody knows what of the image the disk has.  */
  l->alone = settle_is_due (l);
  l->punched = end.holes;
  l->inherited = true;
  l->sum = end.sum;
  l->at = end.at;
  if (err == EBADMSG)
    return fail_because (why, err, "the log is damaged");
  return file_reason (why, err, "the log cannot be read");
}

/* Memory gets what is pending.  */
static void
recover_lay (struct heap *h)
{
  struct log *l = h->log;
  for (size_t i = 0; i < l->n_pending; i++)
    if ((l->pending[i] + 1) * MM_PAGE <= h->file.mapped)
      memcpy ((char *) h->file.base + l->pending[i] * MM_PAGE,
              l->kept[l->pending[i]], MM_PAGE);
}

/* The heap is to be shared: the last checkpoint into the image, and no log any
   more.  */
static int
recover_shared (struct heap *h, struct reason *why)
{
  char name[40];
  struct disk_super old = h->super;
  if (member_has_writers (&h->file))
    return fail_because (why, EBUSY, "%s has the heap open for checkpoints",
                         member_name (&h->file, name));
  int err = member_refuse (&h->file, MM_BYTE_PRIVATE, "somebody looks at the"
                           " heap's last checkpoint", why);
  /* Those from before there was a log see the file.  */
  if (err == 0)
    err = recover_new_writer (h, why);
  if (err == 0)
    err = recover_log (h, true, why);
  if (err == 0)
    err = area_sync (h);
  if (err != 0)
    return err;
  h->super.version = MM_FORMAT;
  h->super.log = h->super.log_size = 0;
  h->super.log_epoch = h->super.log_base = 0;
  h->super.blocks -= size_min (h->super.blocks, old.log_size / 512);
  err = area_name (h);
  if (err == 0)
    area_clear (h, &old, h->log->length);
  recover_end (h);
  return err;
}

/* Where the halves of the log begin, to see whether one was used again.  */
static int
recover_begins (struct heap *h, uint64_t seq[2])
{
  int err = 0;
  for (unsigned i = 0; i < 2 && err == 0; i++)
    {
      struct disk_record r = { .seq = 0 };
      err = os_pread_all (h->file.fd, &r, sizeof r,
                          (off_t) (h->super.log + i * log_half (h)));
      err = err == EBADMSG ? 0 : err;
      seq[i] = r.seq;
    }
  return err;
}

/* The heap is to be looked at, beside one who makes checkpoints: what is pending
   is the last of them.  The image stays as it is while we hold the lock; the log
   may be used again while it is read.  */
static int
recover_view (struct heap *h, uint64_t file_size, struct reason *why)
{
  uint64_t begins[2], now[2], length;
  struct disk_super super;
  int err, left = 100;
  do
    {
      recover_end (h);
      err = super_read (h->file.fd, file_size, &h->super, &length, why);
      if (err == 0 && h->super.log == 0)
        return 0;
      if (err == 0)
        err = recover_new (h);
      if (err == 0)
        err = recover_begins (h, begins);
      if (err == 0)
        err = recover_log (h, false, why);
      if (err != 0 && err != EBADMSG)
        return file_reason (why, err, "the log cannot be read");
      int again = super_read (h->file.fd, file_size, &super, &length, why);
      if (again == 0)
        again = recover_begins (h, now);
      if (again != 0)
        return again;
    }
  while (left-- > 0
         && (super.log != h->super.log || super.log_epoch != h->super.log_epoch
             || begins[0] != now[0] || begins[1] != now[1]));
  return err;
}

/* Behind the superblock: what H's kind has to do with a log, or for one.  Then
   *LENGTH and *FILE_SIZE are as they are.  */
static int
recover_begin (struct heap *h, uint64_t *length, uint64_t *file_size,
               struct reason *why)
{
  struct file *f = &h->file;
  struct stat status;
  int err = 0;
  if (f->kind->backing == BY_LOG)
    {
      err = recover_new_writer (h, why);
      bool home = err == 0 && home_is_unread (h);
      if (err == 0 && h->super.log != 0)
        err = recover_log (h, home, why);
      if (home)
        byte_lock (f, MM_BYTE_PRIVATE, F_UNLCK);
    }
  else if (f->kind->shared)
    err = recover_shared (h, why);
  else
    {
      f->kind = f->kind->changes    ? &kind_private
                : f->kind->anywhere ? &kind_view_elsewhere
                                    : &kind_view;
      err = member_join (f, why);
      if (err == 0)
        err = recover_view (h, *file_size, why);
    }
  if (err == 0)
    err = super_look (h, length, sizeof *length, MM_OFF_ROOT);
  if (err == 0 && (err = os_stat_own (f, f->fd, &status)) == 0)
    *file_size = (uint64_t) status.st_size;
  if (err != 0)
    return file_reason (why, err, "the log cannot be read");
  bool right = *length >= MM_OFF_RECORDS && *length <= h->super.capacity
               && (h->super.log == 0 || h->log == NULL
                   || h->log->length == *length)
               && (h->log == NULL || f->kind->backing != BY_LOG
                   || *length <= *file_size);
  return right ? 0 : fail_because (why, EBADMSG, "the length is damaged");
}

/* How large a new log of H is to be, if the program wants SIZE bytes, 0: as usual,
   in *RESULT.  */
static int
recover_size (struct heap *h, size_t size, uint64_t *result, struct reason *why)
{
  uint64_t most = MM_LOG_TIMES * h->super.capacity;
  if (size != 0 && (size < MM_LOG_LEAST || size > most))
    return fail_because (why, EINVAL, "a log takes %lu to %lu bytes here, not"
                                      " %zu", (unsigned long) MM_LOG_LEAST,
                         (unsigned long) most, size);
  if (size == 0)
    size = size_max (size_min (MM_LOG, h->super.capacity / 4), MM_LOG_LEAST);
  *result = round_up (size, 2 * MM_PAGE);
  return 0;
}

/* A log of SIZE bytes for a heap that has none: the image as it is now is the
   base, which has to be on the disk before anything names a log.  */
static int
recover_make (struct heap *h, uint64_t size, struct reason *why)
{
  struct disk_super *s = &h->super, old = *s;
  struct stat status;
  int err = os_stat_own (&h->file, h->file.fd, &status);
  if (err == 0 && (err = area_begin (h, size, false)) != 0)
    {
      area_clear (h, s, (uint64_t) status.st_size);
      *s = old;
    }
  if (err == 0)
    {
      s->version = MM_FORMAT_LOG;
      s->log_base = h->log->seq + 1;
      err = area_see (h);
      if (err == 0)
        err = area_name (h);
    }
  return file_reason (why, err, "there is no room for the log");
}

/* H, whose memory is as at the last checkpoint, goes on from there, with a log
   of SIZE bytes if it has none.  */
static int
recover_ready (struct heap *h, size_t size, struct reason *why)
{
  struct log *l = h->log;
  uint64_t bytes = 0;
  word_put (&h->gate, wait_barrier (true) == 0 ? GATE_UNUSED
                                               : GATE_UNUSED | GATE_FENCED);
  space_advise ((void *) h->file.base, h->file.mapped, MADV_DONTFORK);
  /* The page is there, and stays as it is.  */
  int err = os_fallocate (h->file.fd, 0, 0, MM_PAGE);
  l->zeros = err == EOPNOTSUPP || err == ENOSYS;
  err = recover_size (h, size, &bytes, why);
  if (err == 0 && h->super.log != 0)
    {
      err = area_cover (h);
      return file_reason (why, err, "the log has no place");
    }
  if (err != 0)
    return err;
  l->seq = word_peek (&h->root->checkpoint);
  l->length = off_length (h);
  return recover_make (h, bytes, why);
}

/* Be the one who makes checkpoints, with the door closed behind us.  */
static int
recover_writer (struct heap *h, const struct mmalloc_options *opt,
               struct reason *why)
{
  int err = 0;
  if (super_is_copy (h))
    err = super_back_again (h);
  if (err == 0 && h->super.log != 0 && super_is_copy (h))
    err = file_back_again (&h->file, h->super.log, h->super.log_size);
  if (err != 0 && err != EOPNOTSUPP)
    return file_no_copy (why, err, "heap");
  super_see_boot (h);
  epoch_begin (h);
  return recover_ready (h, opt->log, why);
}


/* ---- 48. Undoing, and what changed -------------------------------------- */

/* Owns: how memory goes back to the last checkpoint; what is told of the log.
   Needs: the log's lock; for a rollback, that no other thread uses the heap.
   Crash: only memory has changed.
   Keeps: L2.
   Checked by: checkpoints, checkpoint_files.  */

/* Memory gets what the image has, page by page, where the system keeps locked
   memory as it is.  */
static int
undo_copy (struct heap *h, size_t length)
{
  size_t room = (length / MM_PAGE + 1) * sizeof (struct written);
  struct written *span = log_memory (room);
  if (span == NULL)
    return ENOMEM;
  size_t n = written_pages ((void *) h->file.base, length, span);
  int err = 0;
  for (size_t i = 0; i < n; i++)
    for (uint64_t at = span[i].from; at < span[i].to && err == 0; at += MM_PAGE)
      {
        char *p = (char *) at;
        size_t c = at < h->grid ? 0 : (at - h->grid) >> MM_CHUNK_SHIFT;
        if (!run_is_logs (h, c) && !capture_is_local (h, p))
          err = log_image (h, (at - h->file.base) / MM_PAGE, p);
      }
  os_give_memory (span, room);
  return err;
}

/* The process's own page goes if its place was set aside since the last
   checkpoint.  */
static int
undo_local (struct heap *h)
{
  char *p = word_peek (&h->local);
  if (p == NULL || word_peek (&h->root->local) != 0)
    return 0;
  size_t at = off_file (h, p);
  word_put (&h->local, NULL);
  space_unmap (p, MM_SLICE);
  int err = range_map_piece (h, at, MM_SLICE);
  space_advise (p, MM_SLICE, MADV_DONTFORK);
  return err;
}

/* Memory as at the last checkpoint.  What threads have cached is gone, and the
   volatile part is as after a kill.  Needs: the log's lock.  */
static int
undo_rollback (struct heap *h, struct reason *why)
{
  struct log *l = h->log;
  if (l->broken != 0)
    return fail_because (why, EIO, "the disk or the system has failed the heap"
                                   " before: it has to be opened again");
  lock_registry ();
  for (struct cache *k = h->caches; k != NULL; k = k->heap_next)
    cache_forget (k);
  unlock_registry ();
  char *base = (char *) h->file.base, *local = word_peek (&h->local);
  char *end = base + word_peek (&h->file.mapped);
  char *until = local != NULL ? local : end;
  int err = space_advise (base, (size_t) (until - base), MADV_DONTNEED);
  if (err == 0 && local != NULL)
    err = space_advise (local + MM_SLICE, (size_t) (end - local) - MM_SLICE,
                        MADV_DONTNEED);
  if (err != 0)
    err = undo_copy (h, size_max (off_length (h), l->length));
  recover_lay (h);
  if (err == 0)
    err = undo_local (h);
  /* Memory is neither the one nor the other.  */
  if (err != 0)
    {
      l->broken = err;
      return fail_because (why, err, "memory cannot be given back: the heap has"
                                     " to be opened again");
    }
  memset (h->given, 0, sizeof h->given);
  memset (h->making, 0, sizeof h->making);
  word_put (&h->seen, off_length (h));
  mark_range (base, off_length (h), true);
  epoch_begin (h);
  return 0;
}

/* The entries of a list of changes.  */
struct changes
{
  struct disk_change *change;
  size_t n, room;
};

/* N changed in page NUMBER.  */
static int
changes_note (struct changes *list, uint64_t number, uint64_t mask)
{
  if (list->n == list->room)
    {
      size_t room = list->room != 0 ? 2 * list->room : 4096;
      struct disk_change *more = os_memory (room * sizeof *more);
      if (more == NULL)
        return ENOMEM;
      memcpy (more, list->change, list->n * sizeof *more);
      if (list->room != 0)
        os_give_memory (list->change, list->room * sizeof *more);
      list->change = more;
      list->room = room;
    }
  list->change[list->n++] = (struct disk_change){ number, mask };
  return 0;
}

/* Note what record R changed.  */
static int
changes_see (struct heap *h, struct disk_record *r, void *arg)
{
  const struct disk_change *change = (const void *) (r + 1);
  int err = 0;
  (void) h;
  for (uint64_t i = 0; i < r->n && err == 0; i++)
    err = changes_note (arg, change[i].page, change[i].mask);
  for (uint64_t at = r->direct; at < r->direct_end && err == 0; at += MM_PAGE)
    err = changes_note (arg, at / MM_PAGE, ~UINT64_C (0));
  return err;
}

/* For qsort.  */
static int
changes_by_page (const void *a, const void *b)
{
  uint64_t x = ((const struct disk_change *) a)->page;
  uint64_t y = ((const struct disk_change *) b)->page;
  return x < y ? -1 : x > y;
}

/* What changed since checkpoint SINCE, in order, as *LIST, each page once.
   Needs: the log's lock.  */
static int
changes_since (struct heap *h, uint64_t since, struct changes *list,
               struct reason *why)
{
  struct log *l = h->log;
  struct log_reader in = { .room = 0 };
  uint64_t first = l->first != 0 ? l->first : l->seq + 1;
  if (since > l->seq || since + 1 < first)
    return fail_because (why, ERANGE, "the log has what changed since"
                         " checkpoints %lu to %lu, not %lu",
                         (unsigned long) first - 1, (unsigned long) l->seq,
                         (unsigned long) since);
  int err = log_each (h, &in, l->half, (struct log_range){ since + 1, l->seq },
                      changes_see, list);
  log_read_end (&in);
  if (list->n > 0)
    qsort (list->change, list->n, sizeof *list->change, changes_by_page);
  size_t n = 0;
  for (size_t i = 0; i < list->n; i++)
    if (n > 0 && list->change[n - 1].page == list->change[i].page)
      list->change[n - 1].mask |= list->change[i].mask;
    else
      list->change[n++] = list->change[i];
  list->n = n;
  return file_reason (why, err, "the log cannot be read");
}


/* ---- 49. Attaching and leaving ------------------------------------------ */

/* Owns: the registry, struct heap.
   Needs: the open lock.
   Crash: an opening or closing that was cut short is repeated by the next one
   at the door.
   Keeps: I6.
   Checked by: open_counts, leavers_at_once, step.  */

/* The kind of heap that FLAGS of mmalloc_open ask for.  */
static const struct kind *
attach_kind (int flags)
{
  return flags & MMALLOC_ELSEWHERE    ? &kind_elsewhere
         : flags & MMALLOC_RDONLY     ? &kind_reader
         : flags & MMALLOC_PRIVATE    ? &kind_private
         : flags & MMALLOC_CHECKPOINT ? &kind_logged
                                      : &kind_file;
}

/* Whether the heap has the application version that is wanted.  */
static int
attach_version (struct heap *h, const struct mmalloc_options *opt,
                struct reason *why)
{
  return opt->app_version == 0 || opt->app_version == h->super.app_version
           ? 0
           : fail_because (why, EPROTO,
                           "the heap has application version"
                           " 0x%lx, not 0x%lx",
                           (unsigned long) h->super.app_version,
                           opt->app_version);
}

/* The lock for that was not to be had in time: entry E is the dead one's again,
   but for the numbers, which are those of a process that is not here.  */
static int
attach_gives_up (struct heap *h, struct disk_proc *e)
{
  word_put (&e->namespace, 0);
  word_settle (&e->coming, 0);
  byte_lock (&h->file, h->file.byte, F_UNLCK);
  h->entry = MM_PROCS;
  return ETIMEDOUT;
}

/* Find this process an entry and publish it: first the lock that shows it to
   be alive, then the id.  Needs: the door, no other lock.  */
static int
attach_enter (struct heap *h, struct reason *why)
{
  h->epoch = word_peek (&h->locks->epoch);
  int err = member_find_entry (h, why);
  h->file.sure = false;
  if (err != 0)
    return err;
  uint32_t i = (uint32_t) (h->file.byte - MM_BYTE_ALIVE);
  struct disk_proc *e = off_proc (h, i);
  uint64_t n = word_add (&h->locks->n_entered, 1) + 1;
  if (n > INT32_MAX)
    return fail_because (why, ENOLCK, "%llu processes have used the heap"
                         " since it was last free: no more can before it is"
                         " again", (unsigned long long) n);
  h->entry = i;
  h->id = (uint64_t) h->epoch << 32 | n;
  word_put (&e->mapped, h->file.mapped);
  word_put (&e->pid, pid_own ());
  word_put (&e->namespace, pid_namespace ());
  word_put (&e->started, pid_started ());
  word_put (&e->how, h->file.system << 1 | h->file.alone);
  word_put (&e->since, os_time ());
  /* Seen by lock_is_of_dead, in who waits for what we take next.  */
  word_publish (&e->coming, h->id);
  uint64_t old = word_peek (&e->id);
  if (old != 0)
    {
      if (!lock_heap (h))
        return attach_gives_up (h, e);
      dead_orphan_locked (h, old);
      unlock_heap (h);
    }
  /* Seen by proc_limit and dead_bury_all.  */
  word_publish (&e->id, h->id);
  /* Release: the number is in the entry at any time.  */
  word_settle (&e->coming, 0);
  return 0;
}

/* Whether LENGTH bytes of the heap are mapped.  */
static int
attach_reach (struct heap *h, size_t length, struct reason *why)
{
  return length <= h->file.mapped
           ? 0
           : fail_because (why, ENOMEM,
                           "the heap grew beyond the %lu bytes that"
                           " could be mapped",
                           (unsigned long) h->file.mapped);
}

/* Nobody else has the heap: the volatile part is made new.  */
static int
attach_first (struct heap *h, struct reason *why)
{
  /* A child may have less than its parent had, who has gone.  */
  if (attach_reach (h, off_length (h), why) != 0)
    return ENOMEM;
  int err = member_refuse (&h->file, MM_BYTE_PRIVATE,
                               "somebody has the heap attached copy-on-write",
                               why);
  if (err != 0)
    return err;
  if (super_is_copy (h) && (err = super_back_again (h)) != 0
      && err != EOPNOTSUPP)
    return file_no_copy (why, err, "heap");
  super_see_boot (h);
  /* In both copies: a library that knows only the older version would take the
     older copy.  */
  if (h->super.version < MM_FORMAT)
    {
      h->super.version = MM_FORMAT;
      super_save (h);
    }
  super_save (h);
  epoch_begin (h);
  return attach_enter (h, why);
}

/* Others have the heap: theirs is the volatile part.  */
static int
attach_beside (struct heap *h, struct reason *why)
{
  /* Those whose locks are seen are on this machine, but for file systems that
     show locks to others.  */
  if (super_other_boot (&h->super, false))
    return fail_because (why, ENOTSUP, "in use on another machine");
  if (h->locks->tag != MM_LOCKS_OWN)
    return fail_because (why, ENOTSUP, "in use by a program with another version"
                                       " of the library");
  int err = proc_refuse (h, why);
  if (err == 0)
    err = attach_enter (h, why);
  if (err != 0)
    return err;
  /* Those who grow the heap know how much we have mapped from here on.  */
  if (!lock_grow (h))
    return ETIMEDOUT;
  size_t length = off_length (h);
  unlock_grow (h);
  return attach_reach (h, length, why);
}

/* This process, if it has an entry, cannot use the heap after all.  */
static void
attach_quit (struct heap *h)
{
  if (h->entry == MM_PROCS)
    return;
  word_settle (&off_proc (h, h->entry)->id, 0);
  byte_lock (&h->file, h->file.byte, F_UNLCK);
  h->entry = MM_PROCS;
}

/* Nobody who writes a file of an older format goes together with us.  */
static int
attach_alone (struct heap *h, struct reason *why)
{
  static const char told[] = "in use by a program with an older version of the"
                             " library";
  if (h->super.version >= MM_FORMAT)
    return 0;
  int err = member_refuse (&h->file, MM_BYTE_WRITERS_1, told, why);
  return err != 0 ? err : member_refuse (&h->file, MM_BYTE_ALIVE, told, why);
}

/* Become a user of the file with the door closed behind us.  */
static int
attach_register (struct heap *h, struct reason *why)
{
  h->entry = MM_PROCS;
  bool found = false;
  int err = attach_alone (h, why);
  if (err == 0)
    err = file_lock_reason (why, member_find (&h->file, MM_BYTE_ALIVE, &found));
  if (err == 0)
    err = found || proc_others_stay (h) ? attach_beside (h, why)
                                        : attach_first (h, why);
  if (err != 0)
    attach_quit (h);
  return err;
}

/* The file is mapped but for the changes of this process, or to be read.  */
static int
attach_apart (struct heap *h, struct reason *why)
{
  static const char told[] = "others have the heap attached for writing";
  /* With the lock that keeps the image as it is.  */
  if (h->log != NULL)
    {
      recover_end (h);
      if (h->file.kind->changes)
        epoch_begin (h);
      return 0;
    }
  if (!h->file.kind->changes)
    return member_join (&h->file, why);
  int err = member_refuse (&h->file, MM_BYTE_ALIVE, told, why);
  if (err == 0 && proc_others_stay (h))
    err = fail_because (why, EBUSY, "%s", told);
  if (err == 0)
    err = member_join (&h->file, why);
  if (err != 0)
    return err;
  super_see_boot (h);
  epoch_begin (h);
  return 0;
}

/* A heap of KIND with nothing in it yet, or NULL.  One at a time is without a
   call of the system.  Needs: the open lock.  */
static struct heap *
attach_new (const struct kind *kind)
{
  struct heap *h = process.first_used ? space_private (sizeof *h, false)
                                      : &first_heap;
  if (h == &first_heap)
    {
      process.first_used = true;
      memset (h, 0, sizeof *h);
    }
  if (h != NULL)
    {
      h->file.kind = kind;
      h->file.fd = h->file.lock_fd = -1;
      h->entry = MM_PROCS;
      pthread_mutex_init (&h->error_lock, NULL);
      pthread_rwlock_init (&h->walkers, NULL);
    }
  return h;
}

/* Unmap and close; the struct is gone then.  */
static void
attach_drop (struct heap *h)
{
  recover_end (h);
  door_drop (&h->file);
  range_take_back ();
  pthread_mutex_destroy (&h->error_lock);
  pthread_rwlock_destroy (&h->walkers);
  if (h == &first_heap)
    process.first_used = false;
  else
    space_unmap (h, sizeof *h);
}

/* An anonymous heap, not yet on the list.  */
static int
attach_anonymous (struct heap *h, const struct mmalloc_options *opt,
                  struct reason *why)
{
  int err = make_map (h, opt, why);
  if (err != 0)
    return err;
  make_super (h, opt);
  range_hide (h, 0);
  epoch_layout (h);
  return make_heap (h, opt, why);
}

/* Open the heap that is in the file.  Needs: the door.  */
static int
attach_existing (struct heap *h, const struct mmalloc_options *opt,
                 uint64_t file_size, struct reason *why)
{
  uint64_t length = 0;
  int err = super_read (h->file.fd, file_size, &h->super, &length, why);
  const bool logs = h->file.kind->backing == BY_LOG;
  if (err == 0)
    err = attach_version (h, opt, why);
  if (err == 0 && logs)
    err = attach_alone (h, why);
  if (err == 0 && logs)
    err = member_join (&h->file, why);
  if (err == 0 && (logs || h->super.log != 0))
    err = recover_begin (h, &length, &file_size, why);
  if (err == 0)
    err = range_map (h, length, file_size, why);
  if (err != 0)
    return err;
  if (h->log != NULL)
    recover_lay (h);
  mark_range ((void *) h->file.base, h->file.mapped, false);
  mark_range ((void *) h->file.base, length, true);
  range_hide (h, length);
  epoch_layout (h);
  if (slice_first_data (h, 0) >= slice_count (h, 0))
    return fail_because (why, EBADMSG, "the superblock is damaged");
  if (h->file.kind->changes
      && slice_first_data (h, 0) > slice_count_within (h, 0, h->file.mapped))
    return fail_because (why, ENOMEM,
                         "the %zu bytes of address space that could be had have"
                         " no room for the heap's own parts", h->file.mapped);
  err = verify_file (h, why);
  if (err != 0)
    return err;
  err = h->file.kind->shared ? attach_register (h, why)
        : logs               ? recover_writer (h, opt, why)
                             : attach_apart (h, why);
  if (err == 0 && (err = root_local_open (h, why)) != 0)
    attach_quit (h);
  return err;
}

/* Behind the door, as the essay's path "back after a crash" says; or make a
   heap in the empty file.  */
static int
attach_file (struct file *f, struct opening *o, bool fresh, uint64_t size)
{
  struct heap *h = (struct heap *) f;
  const struct kind *kind = f->kind;
  struct stat status;
  if (!fresh)
    return attach_existing (h, o->wanted, size, &o->why);
  f->kind = &kind_file;
  int err = file_make (f, MM_PAGE);
  if (err == 0)
    err = attach_anonymous (h, o->wanted, &o->why);
  if (err != 0 || kind->shared)
    return err != 0 ? err : attach_register (h, &o->why);
  /* It is there; now it is opened.  */
  space_unmap ((void *) f->base, f->mapped);
  word_put (&f->mapped, 0);
  word_put (&h->seen, 0);
  f->kind = kind;
  err = os_stat_own (f, f->fd, &status);
  return err != 0 ? err : attach_existing (h, o->wanted,
                                           (uint64_t) status.st_size, &o->why);
}

/* Put a heap that came through fork to use: this process is a user of its own.
   Needs: the open lock.  */
static int
attach_anew (struct heap *h, struct reason *why)
{
  if (!word_see (&h->forked))
    return 0;
  bool shared = h->file.kind->shared;
  int err = shared ? file_enter (&h->file, NULL, true, why)
                   : door_show (&h->file, why);
  if (err == 0 && shared)
    {
      err = attach_register (h, why);
      file_admit (&h->file);
    }
  if (err == 0)
    /* Seen by heap_may_change and heap_follow.  */
    word_publish (&h->forked, false);
  else if (shared)
    {
      byte_drop (&h->file);
      h->file.lock_fd = -1;
    }
  return err;
}

/* The process has the file open already, perhaps through fork: then it learns
   here whether it can become a user of its own.  */
static int
attach_again (struct file *f, struct opening *o)
{
  const struct kind *kind = attach_kind (o->flags);
  if (!f->kind->heap)
    return fail_because (&o->why, EINVAL,
                         "open here as a map file, not as a heap");
  const bool view = f->kind == &kind_view_elsewhere
                      ? kind == &kind_elsewhere
                      : f->kind == &kind_view && kind == &kind_reader;
  if (f->kind != kind && !view && (kind->changes || !f->kind->writes_file))
    return fail_because (&o->why, EBUSY, "attached already in another way");
  int err = attach_version ((struct heap *) f, o->wanted, &o->why);
  return err != 0 ? err : attach_anew ((struct heap *) f, &o->why);
}

/* Leave the file; if the door cannot be had, or the lock, as if killed.  */
static void
detach_leave (struct heap *h)
{
  struct reason why;
  if (word_peek (&h->forked))
    return;
  bool door = file_lock (&h->file, MM_BYTE_DOOR, F_WRLCK, &why) == 0;
  bool locked = lock_heap (h);
  if (locked)
    {
      /* Those of threads that jumped out of a call.  */
      dead_end_locked (h, h->id);
      unlock_heap (h);
      word_settle (&off_proc (h, h->entry)->id, 0);
    }
  else
    /* Who buries us must not take us for alive, as we are.  */
    word_settle (&off_proc (h, h->entry)->namespace, 0);
  byte_lock (&h->file, h->file.byte, F_UNLCK);
  if (door && locked && !member_has_writers (&h->file) && !proc_others_live (h))
    {
      super_save (h);
      word_settle (&h->locks->state, MM_CLEAN);
    }
}

/* The same for one who does not hold the open lock.  */
static int
attach_rejoin (struct heap *h, struct reason *why)
{
  lock_opening ();
  int err = attach_anew (h, why);
  unlock_opening ();
  return err;
}


/* ---- 50. Regions -------------------------------------------------------- */

/* Owns: struct region: files mapped whole, without a heap in them.
   Needs: the open lock.
   Crash: as with heaps.
   Keeps: nothing.
   Checked by: region_files, maps.  */

/* The first words of a region: its user's magic and its address.  */
struct disk_region
{
  disk_u64 magic;              /* MM_CREATING until it is complete */
  uint64_t base;
};

/* Unmap and close; the struct is gone then.  */
static void
region_drop (struct file *f)
{
  door_drop (f);
  range_take_back ();
  space_unmap (f, sizeof *f);
}

/* What the program wants of a region.  */
struct wanted_region
{
  uintptr_t base;
  size_t size; /* 0: as it is */
  mmalloc_region_fn fn;
  void *arg;
};

/* Let the program look at region F, or build it.  */
static int
region_show (struct file *f, struct opening *o, enum mmalloc_region_why event)
{
  const struct wanted_region *want = o->wanted;
  const char *reason = NULL;
  thread.opening = true;
  int err = want->fn ((void *) f->base, f->mapped, event, &reason, want->arg);
  thread.opening = false;
  return err != 0 && reason != NULL ? fail_because (&o->why, err, "%s", reason)
                                    : err;
}

/* Whether the program wants a region as large as this one.  */
static int
region_is_size (size_t size, size_t wanted, struct reason *why)
{
  return wanted == 0 || wanted == size
           ? 0
           : fail_because (why, EINVAL, "the file is %zu bytes long, not %zu",
                           size, wanted);
}

/* Map the file of SIZE bytes at BASE.  */
static int
region_map_at (struct file *f, uintptr_t base, size_t size)
{
  const int prot = PROT_READ | PROT_WRITE;
  int err = space_map_at (base, size, prot, MAP_SHARED, f->lock_fd);
  return err == EADDRINUSE && grow_make_room (base)
           ? space_map_at (base, size, prot, MAP_SHARED, f->lock_fd)
           : err;
}

/* Map the file of SIZE bytes at BASE or, if that is 0, anywhere.  */
static int
region_map (struct file *f, uintptr_t base, size_t size, struct reason *why)
{
  const int prot = PROT_READ | PROT_WRITE;
  int err = base != 0
              ? region_map_at (f, base, size)
              : space_map_anywhere (size, prot, MAP_SHARED, f->lock_fd, &base);
  if (err != 0)
    return space_reason (why, err, base, size);
  f->base = base;
  f->mapped = size;
  return 0;
}

/* Give the empty file SIZE bytes with disk blocks and map it at BASE or, if
   that is 0, anywhere.  */
static int
region_make (struct file *f, uintptr_t base, size_t size, struct reason *why)
{
  const size_t word = sizeof (uint64_t);
  if (size < 64)
    return fail_because (why, EINVAL,
                         "a map file has 64 bytes at least, not %zu", size);
  if (base % process.system_page != 0)
    return fail_because (why, EINVAL, "the base 0x%lx is no multiple of the"
                                      " page size, %zu",
                         (unsigned long) base, process.system_page);
  int err = file_make (f, size);
  if (err == 0)
    err = fail_refused (os_reserve_blocks (f, word, size - word, true),
                        size - word, size);
  if (err == 0)
    err = fail_refused (os_cut (f, (off_t) size), size, size);
  if (err == 0)
    err = region_map (f, base, size, why);
  if (err == 0)
    ((struct disk_region *) f->base)->base = f->base;
  return err;
}

/* The file of SIZE bytes may be a copy that has lost the disk blocks behind its
   holes: give it all of them again, so that no store is the first to learn of a
   full disk.  */
static int
region_back_again (struct file *f, uint64_t size, struct reason *why)
{
  struct stat status;
  int err = os_stat (f->fd, &status);
  if (err != 0 || (uint64_t) status.st_blocks >= size / 512)
    return err;
  err = file_back_again (f, 0, size);
  return err == EOPNOTSUPP
           ? 0
           : file_no_copy (why, err, "map");
}

/* Map the complete file of SIZE bytes where it was made.  */
static int
region_map_again (struct file *f, size_t size, struct reason *why)
{
  struct disk_region first;
  int err = size < sizeof first
              ? EBADMSG
              : os_pread_all (f->fd, &first, sizeof first, 0);
  if (err != 0 && err != EBADMSG)
    return err;
  if (err != 0 || first.base == 0 || first.base % process.system_page != 0
      || first.base > UINT64_C (1) << 56)
    return fail_because (why, EINVAL, "no map file");
  return region_map (f, first.base, size, why);
}

/* Make or open the region behind the door.  */
static int
region_enter (struct file *f, struct opening *o, bool fresh, uint64_t size)
{
  const struct wanted_region *want = o->wanted;
  bool joins;
  int err = member_find (f, MM_BYTE_ALIVE, &joins);
  err = file_lock_reason (&o->why, err);
  if (err == 0 && !fresh)
    err = region_is_size (size, want->size, &o->why);
  if (err == 0)
    err = member_join (f, &o->why);
  if (err == 0 && !joins && !fresh)
    err = region_back_again (f, size, &o->why);
  if (err == 0)
    err = fresh ? region_make (f, want->base, want->size, &o->why)
                : region_map_again (f, size, &o->why);
  if (err == 0 && joins)
    err = member_verify (f, &o->why);
  if (err == 0)
    err = region_show (f, o,
                       fresh   ? MMALLOC_REGION_NEW
                       : joins ? MMALLOC_REGION_JOIN
                               : MMALLOC_REGION_FIRST);
  return err;
}

/* The process has the file open already.  */
static int
region_again (struct file *f, struct opening *o)
{
  const struct wanted_region *want = o->wanted;
  if (f->kind->heap)
    return fail_because (&o->why, EINVAL,
                         "open here as a heap, not as a map file");
  int err = region_is_size (f->mapped, want->size, &o->why);
  if (err == 0)
    err = door_show (f, &o->why);
  return err != 0 ? err : region_show (f, o, MMALLOC_REGION_JOIN);
}


/* ---- 51. Process and fork ----------------------------------------------- */

/* Owns: what the process has once.
   Needs: nothing.
   Crash: it goes with the process.
   Keeps: nothing.
   Checked by: fork_file, fork_anonymous, raw_clone_child.  */

/* fork finds the process's locks taken and nobody else's half-done change
   under them.  No lock of a heap: the child looks like a process that was
   killed, and its heaps are made for that.  */
static void
fork_prepare (void)
{
  lock_opening ();
  lock_registry ();
  thread.forking = true;
  process.adopted = false;
  process.forks++;
}

/* And lets them go; in the parent all goes on.  */
static void
fork_release (void)
{
  thread.forking = false;
  unlock_registry ();
  unlock_opening ();
}

/* The child has one thread.  To an anonymous heap the others look like killed:
   that is a state it can be in.  */
static void
fork_adopt (void)
{
  MM_FORGET ();
  thread.all = NULL;
  thread.last = &no_cache;
  process.adopted = true;
  process.free_caches = NULL;
  process.fresh_caches = 0;
  if (!pid_has_parent ())
    word_put (&process.pid_namespace, 0);
  word_put (&process.started, 0);
  if (process.fork_mark != NULL)
    *process.fork_mark = 1;
  struct file **link = &process.files;
  for (struct file *f; (f = *link) != NULL;)
    {
      if (f->kind->backing == BY_LOG)
        {
          /* It is not mapped here.  */
          *link = f->next;
          os_close_own (f, ((struct heap *) f)->log->fd);
          os_close_own (f, f->lock_fd);
          os_close_own (f, f->fd);
          continue;
        }
      link = &f->next;
      door_forked (f);
      if (!f->kind->heap)
        continue;
      struct heap *h = (struct heap *) f;
      h->caches = NULL;
      pthread_mutex_init (&h->error_lock, NULL);
      pthread_rwlock_init (&h->walkers, NULL);
      h->forks++;
      if (!f->kind->shared && f->kind->changes)
        epoch_begin (h);
      if (f->kind->shared || word_peek (&f->unseen))
        /* Seen by heap_may_change and heap_follow.  */
        word_publish (&h->forked, true);
    }
}

/* The handler in the child: once, even if handlers of others, which ran
   before, have used the library.  */
static void
fork_child (void)
{
  thread.forking = false;
  /* Another handler may have used the library already.  */
  if (process.adopted)
    return;
  fork_release ();
  fork_adopt ();
}

/* Once, before the first look at anything.  */
static void
process_start (void)
{
  process.system_page = os_page_size ();
  process.class_sum = class_sum ();
  process.have_key = pthread_key_create (&process.exit_key,
                                         cache_thread_exit) == 0;
  process.asan = __asan_poison_memory_region != NULL;
  bool slow = process.asan || __msan_allocated_memory != NULL;
  process.tools_area = process.asan || __tsan_init != NULL
                       || __msan_init != NULL;
#ifdef HAVE_VALGRIND_VALGRIND_H
  if (RUNNING_ON_VALGRIND)
    {
      const char *want = os_variable ("MMALLOC_VALGRIND");
      process.valgrind = want == NULL || strcmp (want, "0") != 0;
      process.tools_area = true;
      slow |= process.valgrind;
    }
#endif
  word_put (&process.slow, slow);
  process.fork_mark = space_private (process.system_page, true);
  if (process.fork_mark != NULL)
    *process.fork_mark = 1;
  pthread_atfork (fork_prepare, fork_release, fork_child);
}

/* Before every look at the registry; notices a child that came by a raw clone
   and ran no fork handlers.  */
static void
process_check (void)
{
  pthread_once (&process.once, process_start);
  if (MM_UNLIKELY (process.fork_mark != NULL && *process.fork_mark == 0))
    {
      pthread_mutex_init (&process.lock, NULL);
      pthread_mutex_init (&process.open_lock, NULL);
      fork_adopt ();
    }
}


/* ---- 52. Into a call and out of it -------------------------------------- */

/* Owns: the default heap.
   Needs: no lock.
   Crash: nothing of it is in a file.
   Keeps: nothing.
   Checked by: find_the_heap, shim_other_heap, errno_is_kept,
   errors_are_remembered.  */

/* The heap behind a NULL descriptor, made on first use; NULL if that fails, for
   the reason in WHY.  */
static struct heap *
heap_default (struct reason *why)
{
  struct heap *h = word_see (&process.default_heap);
  if (h != NULL)
    return h;
  lock_opening ();
  h = word_peek (&process.default_heap);
  if (h == NULL && (h = attach_new (&kind_anonymous)) != NULL)
    {
      struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
      opt.reserve = process.tools_area ? MM_RESERVE_TOOLS
                                       : MM_RESERVE_DEFAULT;
      int err = attach_anonymous (h, &opt, why);
      if (err != 0)
        {
          fail_system (why, err);
          attach_drop (h);
          h = NULL;
        }
      else
        {
          door_list (&h->file);
          /* Seen by heap_default.  */
          word_publish (&process.default_heap, h);
        }
    }
  unlock_opening ();
  return h;
}

/* For libmmalloc-preload: give back the address space that the default heap has
   set aside to grow into, which the kernel counts as if it were in use, and
   take it piece by piece from now on.  Others may come to lie there.  */
extern void mmalloc_narrow (void);
MM_HIDDEN void
mmalloc_narrow (void)
{
  process_check ();
  struct heap *h = heap_default (&(struct reason){ "" });
  if (h == NULL || !lock_grow (h))
    return;
  size_t mapped = word_peek (&h->file.mapped);
  size_t keep = round_up (off_length (h), process.system_page);
  if (keep < mapped)
    {
      h->usable = size_min (h->usable, keep);
      word_put (&h->file.mapped, keep);
      space_unmap ((char *) h->file.base + keep, mapped - keep);
    }
  h->narrow = true;
  unlock_grow (h);
}

/* The attached heap that the program calls MD, or NULL.  */
static struct heap *
heap_find (void *md)
{
  struct cache *k = thread.last;
  if (word_peek (&k->name) == (uintptr_t) md + 1)
    return word_peek (&k->heap);
  process_check ();
  for (k = thread.all; k != NULL; k = k->next)
    if (word_peek (&k->name) == (uintptr_t) md + 1)
      {
        thread.last = k;
        return word_peek (&k->heap);
      }
  if (md == NULL)
    return heap_default (&(struct reason){ "" });
  lock_registry ();
  struct heap *h = (struct heap *) *door_place (md, true);
  unlock_registry ();
  return h;
}

/* There is no heap MD: the error is recorded; or there is one by now.  */
static MM_NOINLINE struct heap *
heap_none (void *md)
{
  struct reason why = { "" }, whole;
  /* Once more, to learn why it could not be made.  */
  struct heap *h = md == NULL ? heap_default (&why) : NULL;
  if (h != NULL)
    return h;
  if (md == NULL)
    fail_because (&whole, ENOMEM, "the default heap cannot be made%s%.150s",
                  why.told[0] != '\0' ? ": " : "", why.told);
  else
    fail_because (&whole, EINVAL, "no heap is attached at 0x%lx",
                  (unsigned long) (uintptr_t) md);
  fail_told (NULL, md == NULL ? ENOMEM : EINVAL, whole.told);
  return NULL;
}

/* The attached heap that the program calls MD; if there is none the error is
   recorded.  */
static struct heap *
heap_of (void *md)
{
  struct heap *h = heap_find (md);
  return h != NULL ? h : heap_none (md);
}

/* Whether H may be changed, and is ready for it: 0 or an errno value.  */
static int
heap_may_change (struct heap *h, struct reason *why)
{
  if (!h->file.kind->changes)
    return fail_because (why, EROFS, "the heap is attached read-only");
  if (MM_UNLIKELY (word_see (&h->forked)))
    return attach_rejoin (h, why);
  return 0;
}

/* A reader that came through fork is seen by others, and maps what the heap has
   grown by since, if it could not do so before: 0 or an errno value.  */
static int
heap_follow (struct heap *h, struct reason *why)
{
  if (h->file.kind->changes)
    return 0;
  int err = word_see (&h->forked) ? attach_rejoin (h, why) : 0;
  size_t length = off_length (h), mapped = word_peek (&h->file.mapped);
  if (err != 0 || length <= mapped)
    return err;
  if (length > h->capacity)
    return fail_because (why, EBADMSG, "the file says that %zu bytes of the"
                                       " heap are in use; it has %zu at most",
                         length, h->capacity);
  lock_registry ();
  err = range_map_more (h, length);
  unlock_registry ();
  if (err == ENOMEM || err == EADDRINUSE)
    return attach_reach (h, length, why);
  return err == EAGAIN ? space_reason (why, err, h->file.base + mapped,
                                       length - mapped)
                       : fail_system (why, err);
}

/* A call has met what seems to be damage, TOLD.  0: H has grown beyond MAPPED,
   which was mapped before, and more of it is by now, so that the call may look
   again; else an errno value.  */
static MM_NOINLINE int
heap_doubt (struct heap *h, size_t *mapped, const char *told,
            struct reason *why)
{
  size_t before = *mapped;
  int err = heap_follow (h, why);
  *mapped = word_peek (&h->file.mapped);
  return err != 0 || *mapped > before ? err
                                      : fail_because (why, EBADMSG, "%s", told);
}

/* A public call under way.  */
struct call
{
  struct heap *h;
  int saved; /* errno as the program had it */
};

/* What it does: it asks what any attached heap knows; looks at records, which
   could be cut off from a fork child that has not joined; changes something; is
   a part of one that does, and may have waited already.  */
enum call_kind
{
  CALL_ASKS,
  CALL_LOOKS,
  CALL_CHANGES,
  CALL_GOES_ON
};

/* Begin a call on heap MD.  False: it has failed, and the error is recorded.
   */
static inline bool
call_begin (struct call *c, void *md, enum call_kind kind)
{
  c->saved = errno;
  if (kind != CALL_GOES_ON)
    fail_nothing ();
  c->h = heap_of (md);
  if (c->h == NULL || (kind == CALL_ASKS && c->h->file.kind->changes))
    return c->h != NULL;
  struct reason why = { "" };
  int err = kind >= CALL_CHANGES || c->h->file.kind->changes
              ? heap_may_change (c->h, &why)
              : heap_follow (c->h, &why);
  if (err != 0)
    fail_told (c->h, fail_system (&why, err), why.told);
  return err == 0;
}

/* End it with ERR, 0 or an errno value, and words for that, NULL: the usual
   ones.  0, or -1 for the caller to return.  */
static inline int
call_end (const struct call *c, int err, const char *told)
{
  if (err == 0)
    {
      errno = c->saved;
      return 0;
    }
  if (told == NULL)
    fail_room (c->h, err, 0);
  else
    fail_told (c->h, err, told);
  return -1;
}


/* ---- 53. Probing -------------------------------------------------------- */

/* Owns: nothing, changes nothing.  Says what a file is without mapping it.
   Needs: nothing; who works on the file does not notice.
   Crash: nothing changes.
   Keeps: nothing.
   Checked by: probe_tells, golden_files.  */

/* What superblock S and the words that change say.  */
static void
probe_heap (const struct disk_super *s, const struct disk_locks *l,
            const struct disk_root *root, struct mmalloc_info *info)
{
  info->kind = MMALLOC_FILE_HEAP;
  info->format = s->version;
  info->base = (void *) (uintptr_t) s->base;
  info->capacity = s->capacity;
  info->length = word_see (&root->length);
  info->app_version = s->app_version;
  info->streams = s->n_shared;
  info->guards = word_peek (&root->guards) != 0;
  info->clean = word_peek (&l->state) == MM_CLEAN;
  info->generation = s->generation;
  info->checkpoint = word_peek (&root->checkpoint);
  memcpy (info->uuid, s->uuid, sizeof info->uuid);
}

/* Whether somebody writes the file, or is just opening or closing it to write.
   */
static bool
probe_is_used (const struct file *f)
{
  return member_has_writers (f) || byte_is_locked (f, MM_BYTE_DOOR, F_RDLCK);
}

/* Whether the machine went down with the heap in file F of SIZE bytes in use:
   the superblock, and the same state before and after it.  */
static int
probe_boot (const struct file *f, size_t size, bool *down)
{
  struct disk_super super;
  struct disk_locks l[2];
  struct reason why;
  uint64_t length;
  int err, left = 100;
  do
    {
      err = os_pread_all (f->fd, &l[0], sizeof l[0], MM_OFF_LOCKS);
      if (err == 0)
        err = super_read (f->fd, size, &super, &length, &why);
      if (err == 0)
        err = os_pread_all (f->fd, &l[1], sizeof l[1], MM_OFF_LOCKS);
    }
  while (err == 0 && --left > 0
         && (word_peek (&l[0].state) != word_peek (&l[1].state)
             || word_peek (&l[0].epoch) != word_peek (&l[1].epoch)
             || word_peek (&l[0].went_down) != word_peek (&l[1].went_down)));
  *down = err == 0 && super_went_down (&super, &l[0]);
  return err;
}

/* The rest of INFO for open file F, whose size is there.  0 if it could be
   opened, else an errno value as opening it would give.  */
static int
probe_file (const struct file *f, struct mmalloc_info *info,
            struct reason *why)
{
  uint64_t first[2] = { 0, 0 }, length;
  struct disk_super super;
  struct disk_locks l;
  struct disk_root root;
  int err = os_pread_all (f->fd, first,
                          size_min (info->file_size, sizeof first), 0);
  info->magic = first[0];
  info->users = member_count (f);
  info->in_use = probe_is_used (f);
  info->kind = info->file_size == 0 || first[0] == MM_CREATING
                 ? MMALLOC_FILE_EMPTY
                 : MMALLOC_FILE_OTHER;
  if (err != 0 || info->kind == MMALLOC_FILE_EMPTY)
    return file_reason (why, err, "the file cannot be read");
  err = super_read (f->fd, info->file_size, &super, &length, why);
  if (err == EINVAL && first[0] != MM_MAGIC)
    {
      /* A map file has its address there.  */
      info->base = (void *) (uintptr_t) first[1];
      return 0;
    }
  info->kind = MMALLOC_FILE_HEAP;
  info->format = super.magic == MM_MAGIC ? super.version : 0;
  if (err == 0)
    err = os_pread_all (f->fd, &root, sizeof root, MM_OFF_ROOT);
  /* A look at the locks before and after the state: who opens the file
     meanwhile is not taken for dead.  */
  while (err == 0
         && (err = os_pread_all (f->fd, &l, sizeof l, MM_OFF_LOCKS)) == 0
         && !info->in_use && word_peek (&l.state) != MM_CLEAN
         && (info->in_use = probe_is_used (f)))
    continue;
  bool down = false;
  if (err == 0)
    err = probe_boot (f, info->file_size, &down);
  if (err == 0)
    probe_heap (&super, &l, &root, info);
  info->went_down = down;
  return file_reason (why, err, "the file cannot be read");
}

/* The same of a heap that is open.  Those who change it have a note; for the
   others the state is that of the last who had the file, or of one who is just
   opening it.  */
static bool
probe_mapped (struct heap *h)
{
  struct disk_super super;
  if (h->file.kind->changes)
    return word_see (&h->locks->went_down) != 0;
  uint32_t epoch;
  bool down;
  int left = 100;
  do
    {
      epoch = word_see (&h->locks->epoch);
      down = super_newest (h, &super) != 0
             && super_went_down (&super, h->locks);
      word_fence_see ();
    }
  while (--left > 0 && word_peek (&h->locks->epoch) != epoch);
  return down;
}

/* What entry I of heap H says of who has it, if he has it in this epoch.  */
static bool
probe_entry (struct heap *h, uint32_t i, struct mmalloc_user *user)
{
  struct disk_proc *e = off_proc (h, i);
  /* In this order, as lock_is_of_dead does: who is on the way in has the byte of
     one who is dead.  */
  uint64_t coming = word_see (&e->coming), id = word_see (&e->id);
  uint64_t epoch = word_peek (&h->locks->epoch), pid = word_peek (&e->pid);
  if (id == 0 || id >> 32 != epoch)
    return false;
  /* A fork child that has not joined has its parent's number.  */
  bool own = i == h->entry, self = own && !word_peek (&h->forked);
  bool dead = (coming != id && coming >> 32 == epoch)
              || (own ? proc_is_here (e) && pid_is_gone (pid)
                      : proc_is_dead (h, i));
  self = self || (!dead && proc_is_here (e) && pid == pid_own ());
  *user = (struct mmalloc_user){
    .pid = proc_is_here (e) && pid <= INT_MAX ? (long) pid : 0,
    .since = (long) word_peek (&e->since),
    .mapped = word_peek (&e->mapped),
    .self = self,
    .alive = self || !dead,
    .single_writer = (word_peek (&e->how) & 1) != 0
  };
  return true;
}

/* The user of F, in whose file no entries are, that is found from *AT on: this
   process if it is one, then those whose locks are seen.  *AT is behind him
   then.  */
static bool
probe_member (const struct file *f, int64_t *at, struct mmalloc_user *user)
{
  bool self = *at == 0 && !word_peek (&f->unseen);
  *user = (struct mmalloc_user){ .self = self, .alive = 1,
                                 .single_writer = f->alone };
  *at += *at == 0;
  if (self)
    {
      user->pid = (long) pid_own ();
      user->mapped = word_peek (&f->mapped);
      return true;
    }
  int64_t next = *at - 1, number = f->fd < 0 ? -1 : member_next (f, &next);
  if (number < 0)
    return false;
  *at = next + 1;
  user->pid = (long) byte_pid (number);
  user->single_writer = byte_is_locked (f, MM_BYTE_ALONE, F_RDLCK);
  return true;
}

/* The next user of what this process has open at MD, from *AT on, as
   probe_member counts or by entries; false: there is no more.  A heap or region
   that is closed meanwhile has none.  */
static bool
probe_user (const void *md, int64_t *at, struct mmalloc_user *user)
{
  bool found = false;
  int saved = errno;
  lock_registry ();
  struct file *f = *door_place (md, true);
  struct heap *h = (struct heap *) f;
  if (f == NULL)
    f = *door_place (md, false);
  if (f != NULL && f->kind->heap && f->kind->backing == BY_DISK && f->fd >= 0)
    while (!found && *at < off_procs_used (h))
      found = probe_entry (h, (uint32_t) (*at)++, user);
  else if (f != NULL && (f->kind->backing != BY_COPY || f->fd >= 0))
    {
      /* Who has a copy is no user.  */
      *at += *at == 0 && f->kind->backing == BY_COPY;
      found = probe_member (f, at, user);
    }
  unlock_registry ();
  errno = saved;
  return found;
}

/* What the program calls MD, or NULL, the default heap: where that is.  False:
   there is none, and the error is recorded.  */
static bool
probe_place (void **md)
{
  struct heap *h = *md == NULL ? heap_of (NULL) : NULL;
  if (*md == NULL && h == NULL)
    return false;
  if (h != NULL)
    *md = (void *) h->file.base;
  process_check ();
  return true;
}

/* Looks at the file by reading, never by mapping: it may be anybody's, and
   shrink meanwhile.  */
MM_PUBLIC int
mmalloc_probe (const char *path, int fd, struct mmalloc_info *info)
{
  struct call c = { .saved = errno };
  struct file f = { .kind = &kind_reader, .fd = -1, .lock_fd = -1 };
  struct reason why = { "" };
  struct stat status;
  process_check ();
  int err = file_open (&f, path, fd, false, 0, &why);
  f.lock_fd = f.fd;
  if (err == 0)
    err = os_stat (f.fd, &status);
  memset (info, 0, sizeof *info);
  /* Again, if the size was another one before the end: somebody makes the file
     or lets it grow.  */
  bool again = err == 0;
  for (int left = 100; again; left--)
    {
      *info = (struct mmalloc_info){ .file_size = (size_t) status.st_size };
      why.told[0] = '\0';
      err = probe_file (&f, info, &why);
      again = left > 0 && os_stat (f.fd, &status) == 0
              && (size_t) status.st_size != info->file_size;
    }
  /* The open file may be the program's, with locks of its own.  */
  f.lock_fd = -1;
  door_drop (&f);
  return call_end (&c, err, why.told);
}

/* As mmalloc_probe, of what this process has open: from memory, with the
   registry lock, so that nobody closes it meanwhile.  */
MM_PUBLIC int
mmalloc_info (void *md, struct mmalloc_info *info)
{
  struct call c = { .saved = errno };
  struct stat status;
  struct mmalloc_user user;
  memset (info, 0, sizeof *info);
  if (!probe_place (&md))
    return -1;
  lock_registry ();
  struct file *f = *door_place (md, true);
  if (f == NULL)
    f = *door_place (md, false);
  if (f != NULL)
    {
      struct heap *h = (struct heap *) f;
      info->kind = MMALLOC_FILE_OTHER;
      if (f->kind->heap)
        {
          probe_heap (&h->super, h->locks, h->root, info);
          info->magic = h->super.magic;
          info->went_down = probe_mapped (h);
          info->generation = size_max (h->super.generation,
                                       super_newest (h, NULL));
        }
      else
        {
          info->base = md;
          info->magic = word_see ((disk_u64 *) md);
        }
      if (f->kind->backing == BY_LOG)
        info->checkpoint = h->log->seq;
      info->opened = f->n_open;
      info->mapped = word_peek (&f->mapped);
      info->in_use = f->kind->writes_file || f->fd < 0
                     || probe_is_used (f);
      info->clean = info->clean && !info->in_use;
      if (os_stat_own (f, f->fd, &status) == 0)
        info->file_size = (size_t) status.st_size;
    }
  unlock_registry ();
  for (int64_t at = 0; probe_user (md, &at, &user);)
    info->users += user.alive != 0;
  return call_end (&c, f != NULL ? 0 : EINVAL,
                   "no heap is attached at this address");
}

/* One after the other, with no lock while FN is called.  */
MM_PUBLIC int
mmalloc_users (void *md, int (*fn) (const struct mmalloc_user *user, void *arg),
               void *arg)
{
  struct call c = { .saved = errno };
  struct mmalloc_user user;
  if (!probe_place (&md))
    return -1;
  lock_registry ();
  bool there = *door_place (md, true) != NULL || *door_place (md, false) != NULL;
  unlock_registry ();
  if (call_end (&c, there ? 0 : EINVAL, "no heap is attached at this address"))
    return -1;
  int cancel = os_hold_cancel (), stop = 0;
  for (int64_t at = 0; stop == 0 && probe_user (md, &at, &user);)
    stop = fn (&user, arg);
  os_let_cancel (cancel);
  return stop;
}


/* ---- 54. Giving back ---------------------------------------------------- */

/* Owns: the cutting of the file.
   Needs: the grow lock.
   Crash: unbacked first, then punched: killed between, slices only keep their
   blocks.
   Keeps: I3, I6.
   Checked by: check_see, check_directory, trim_gives_back.  */

/* Where what is in use ends; all chunks behind it are EMPTY.  */
static char *
trim_end (struct heap *h)
{
  size_t c = size_max (run_chunks (h), 1);
  while (c > 1 && run_chunk_is_empty (h, c - 1))
    c--;
  uint64_t d = dir_get (h, --c);
  if (dir_kind (d) != DIR_PAGED)
    {
      size_t first = dir_kind (d) == DIR_CONT && dir_distance (d) <= c
                       ? c - dir_distance (d) : c;
      d = dir_get (h, first);
      return off_slice (h, first, dir_start (d) + dir_slices (d));
    }
  size_t s = run_ready (h, c), first = slice_first_data (h, c);
  while (s > first && !map_get (off_index (h, c)->backed, s - 1))
    s--;
  return off_slice (h, c, size_max (s, first));
}

/* A trim under way.  */
struct trim
{
  size_t given;                /* bytes */
  bool whole;                  /* pages are left as they are: the file system
                                  makes no holes in the midst of them */
};

/* Give back what THIN page NUMBER, R, can do without and still has.  Recorded
   first: a kill between only keeps blocks.  Needs: the grow lock.  */
static void
trim_make_holes (struct heap *h, struct disk_slice *r, uint32_t number,
                 unsigned cl, struct trim *t)
{
  MM_NEEDS (needs_grow_lock (h));
  char *start = page_start (h, number);
  uint64_t left = page_free_pages (h, r, start, cl, process.system_page)
                  & ~word_peek (&r->holes), run;
  size_t at, n;
  while (!t->whole && (run = bit_take_run (&left, &at, &n)) != 0)
    {
      word_settle (&r->holes, word_peek (&r->holes) | run);
      t->whole = !back_drop (h, start + at * MM_PAGE, n * MM_PAGE);
      if (t->whole)
        word_settle (&r->holes, word_peek (&r->holes) & ~run);
      else
        t->given += n * MM_PAGE;
    }
}

/* Page NUMBER with head HEAD: make it THIN, if it has system pages to give, and
   give back what it can do without.  Needs: the grow lock.  */
static void
trim_page (struct heap *h, uint32_t number, uint64_t head, struct trim *t)
{
  MM_NEEDS (needs_grow_lock (h));
  struct disk_slice *r = off_numbered (h, number);
  unsigned cl = head_class (head);
  if (!page_is_whole (h, r, number, cl))
    return;
  if (head_state (head) == HEAD_HELD)
    {
      if (page_free_pages (h, r, page_start (h, number), cl,
                           process.system_page) == 0)
        return;
      word_settle (&r->holes, 0);
      if (!word_claim (&r->head, &head, head_in_state (head, HEAD_THIN)))
        return;
      head = head_in_state (head, HEAD_THIN);
    }
  /* Looked at once more: from here on nobody allocates there.  */
  trim_make_holes (h, r, number, cl, t);
  if (sweep_retire_thin (h, number, &t->given) || word_peek (&r->holes) != 0)
    return;
  /* Another may take it over meanwhile.  */
  while (head_state (head) == HEAD_THIN
         && !word_claim (&r->head, &head, head_in_state (head, HEAD_HELD)))
    continue;
}

/* What pages of chunk C that are in no bin have behind free blocks.  Needs: the
   grow lock.  */
static void
trim_pages (struct heap *h, size_t c, struct trim *t)
{
  MM_NEEDS (needs_grow_lock (h));
  size_t end = run_ready (h, c), n, before = t->given;
  for (size_t s = slice_first_data (h, c); s < end && !t->whole;
       s += size_max (n, 1))
    {
      uint64_t head;
      n = run_look (h, c, s, end, &head);
      if (head_kind (head) == HEAD_PAGE && head_class (head) < MM_CLASSES
          && (head_state (head) == HEAD_HELD
              || head_state (head) == HEAD_THIN))
        trim_page (h, slice_number (c, s), head, t);
    }
  if (!lock_heap (h))
    return;
  run_less_backed_locked (h, round_up (t->given - before, MM_SLICE) / MM_SLICE);
  unlock_heap (h);
}

/* Give back the free backed slices of chunk C; the number of bytes.  Needs:
   the grow lock: nobody backs them again meanwhile.  */
static size_t
trim_chunk (struct heap *h, size_t c)
{
  MM_NEEDS (needs_grow_lock (h));
  /* So what a kill has kept from going.  */
  if (h->file.kind->backing == BY_LOG)
    back_note_drop (h, c);
  if (run_chunk_is_empty (h, c))
    {
      size_t end = off_length (h);
      size_t from = off_file (h, off_chunk (h, c));
      if (from < end)
        back_drop (h, off_chunk (h, c), size_min (end - from, MM_CHUNK));
      return 0;
    }
  size_t given = 0, end = run_ready (h, c), n;
  if (end == 0 || !lock_heap (h))
    return 0;
  for (size_t s = 0;; s += n)
    {
      struct disk_index *x = run_index_locked (h, c);
      s = map_next_free (x, s, end, MAP_FREE_BACKED, true);
      n = map_next_free (x, s, end, MAP_FREE_BACKED, false) - s;
      if (n == 0)
        break;
      /* Unbacked first, then punched: a kill between only keeps blocks.  */
      map_put (x->backed, s, n, false);
      unlock_heap (h);
      bool gone = back_drop (h, off_slice (h, c, s), n << MM_SLICE_SHIFT);
      given += gone ? n : 0;
      if (!lock_heap (h))
        return given << MM_SLICE_SHIFT;
      if (gone)
        run_less_backed_locked (h, n);
      else
        map_put (x->backed, s, n, true);
    }
  unlock_heap (h);
  return given << MM_SLICE_SHIFT;
}

/* Give back all that is free but the end of the file: the number of bytes.  The
   lock is let go between chunks: others may have to grow the heap.  */
static size_t
trim_all (struct heap *h, struct cache *k)
{
  /* A private copy of a file stays as it is.  */
  struct trim t = { sweep (h, k), h->file.kind->backing == BY_COPY };
  for (size_t c = 0; c < run_chunks (h); c++)
    {
      if (!lock_grow (h))
        break;
      if (dir_kind (dir_get (h, c)) == DIR_PAGED)
        trim_pages (h, c, &t);
      t.given += trim_chunk (h, c);
      unlock_grow (h);
    }
  return t.given;
}

/* How long to wait for the next trim when BACKED bytes have memory and LEAST
   are worth one: if what the last one gave back was little, or was needed again
   since, twice as long as before, up to eight times; half as long after many
   that were worth their while.  Most programs whose memory comes and goes free
   in waves, and need again what a few trims in a row gave back.  */
static unsigned
trim_patience (struct heap *h, size_t backed, size_t least)
{
  unsigned wait = word_peek (&h->trim_wait);
  size_t given = word_peek (&h->trim_given);
  size_t after = word_peek (&h->trim_backed);
  size_t again = backed > after ? backed - after : 0;
  bool good = wait == 0 || given >= again + least / 2;
  unsigned n = good ? word_peek (&h->trim_good) + 1 : 0;
  word_put (&h->trim_good, n % 16);
  if (!good)
    return wait < 8 ? 2 * wait : 8;
  return n == 16 ? wait / 2 + (wait == 1) : wait + (wait == 0);
}

/* Trim, but for the end of the file, if enough was freed since this process did
   it last: never less than an eighth of what is backed, so that the blocks that
   were freed pay for the look at all pages.  For a thread with cache K, NULL:
   none, that has freed something and holds no lock.  */
static MM_NOINLINE void
trim_if_due (struct heap *h, struct cache *k)
{
  size_t backed = word_peek (&h->locks->n_backed) * MM_SLICE;
  size_t least = size_max (h->trim_threshold, backed / 8);
  size_t due = size_min (least, SIZE_MAX / 8)
               * size_max (word_peek (&h->trim_wait), 1);
  if (word_peek (&h->freed) < due || thread.forking || thread.opening
      || thread.leaving)
    return;
  /* Another thread may be faster.  */
  if (word_swap (&h->freed, 0) < due)
    return;
  int saved = errno;
  word_put (&h->trim_wait, trim_patience (h, backed, least));
  word_put (&h->trim_given, trim_all (h, k));
  word_put (&h->trim_backed, word_peek (&h->locks->n_backed) * MM_SLICE);
  errno = saved;
}

/* Make chunks that are all free EMPTY, and cut the file behind what is in use,
   if this thread is the heap's only user.  */
static void
trim_cut (struct heap *h)
{
  if (!sweep_exclude (h))
    return;
  for (size_t c = 1; c < run_chunks (h); c++)
    if (sweep_empty_chunk (h, c))
      trim_chunk (h, c);
  if (h->file.kind->shared)
    {
      size_t len = off_file (h, trim_end (h));
      if (len < off_length (h))
        {
          /* Seen by off_length.  */
          word_publish (&h->root->length, len);
          word_put (&h->seen, len);
          os_cut (&h->file, (off_t) len);
        }
      super_save (h);
    }
  sweep_admit (h);
}


/* ---- 55. Blocks, the short ways ----------------------------------------- */

/* Owns: nothing; the paths that most calls take.
   Needs: an armed cache.
   Crash: as in the essay's life of a block.
   Keeps: I2.
   Checked by: check_page, model_random.  */

/* How a block is wanted: zeroed; without a line in the trace; for the contents
   of a smaller one; by a call that has begun before.  */
enum { ALLOC_ZERO = 1, ALLOC_QUIET = 2, ALLOC_GROWN = 4, ALLOC_PART = 8 };

/* Allocation, all but the fast path.  */
static MM_NOINLINE void *
alloc_any (void *md, size_t size, size_t align, unsigned how)
{
  struct call c;
  if (size == 0
      || !call_begin (&c, md, how & ALLOC_PART ? CALL_GOES_ON : CALL_CHANGES))
    return NULL;
  struct heap *h = c.h;
  void *p = NULL;
  bool zero = how & ALLOC_ZERO;
  bool guarded = word_peek (&h->root->guards) != 0;
  size_t before = !guarded ? 0 : size_max (align, sizeof (struct guard));
  size_t need = size;
  struct cache *k = cache_use (h, md);
  int err = guarded && __builtin_add_overflow (size, before + 1, &need)
              ? ENOMEM
              : take_block (h, k, need, align, how & ALLOC_GROWN, &zero, &p);
  if (err != 0)
    return fail_room (h, err, size), NULL;
  struct place at;
  if ((guarded || mark_wanted (h)) && place_find (h, p, false, &at) == NULL)
    {
      mark_block (h, p, at.usable);
      if ((how & ALLOC_ZERO) && !zero)
        mark_range (p, at.usable, true);
      if (guarded)
        guard_set (h, &at, (char *) p + before, size);
    }
  if (zero)
    memset ((char *) p + before, 0, size);
  if (!(how & ALLOC_QUIET))
    trace_event ('+', (char *) p + before, size, true);
  call_end (&c, 0, NULL);
  return (char *) p + before;
}

/* Find live block P of heap H, NULL: there is none, as guard_place does, for
   public call CALL, which has no other way to fail.  What is wrong, which has
   been reported, or NULL.  */
static const char *
free_place (struct heap *h, const char *call, void *md, const void *p,
            struct place *block, struct place *user)
{
  const char *wrong = h == NULL
                        ? "no heap is attached at the descriptor's address"
                        : guard_place (h, call, md, p, block, user);
  if (wrong != NULL)
    fail_misuse (call, md, p, wrong);
  return wrong;
}

/* The block at AT, to be freed by call C, could not be in time: it is the
   program's as before.  */
static void
free_late (const struct call *c, const struct place *at)
{
  mark_block (c->h, at->start, at->usable);
  trace_event ('+', at->start, at->usable, true);
  call_end (c, ETIMEDOUT, NULL);
}

/* Free, all but the fast path.  False after misuse.  */
static MM_NOINLINE bool
free_any (const char *call, void *md, void *p)
{
  if (p == NULL)
    return true;
  struct call c;
  struct place block, user;
  if (!call_begin (&c, md, CALL_CHANGES) && c.h != NULL)
    return true;
  const char *wrong = free_place (c.h, call, md, p, &block, &user);
  if (wrong == NULL)
    {
      trace_event ('-', p, 0, false);
      struct cache *k = cache_use (c.h, md);
      wrong = give_block (c.h, k, &block, NULL);
      if (wrong == give_later)
        return free_late (&c, &block), true;
      if (wrong != NULL)
        fail_misuse (call, md, p, wrong);
      else if (c.h->trim_threshold != 0)
        trim_if_due (c.h, k);
    }
  errno = c.saved;
  return wrong == NULL;
}

/* Find the small block of the heap MD, for which cache K is armed, that begins
   at PTR, live or not: all but its kind, start and size; false: it is something
   else.  */
static inline bool
quick_locate (struct cache *k, void *md, const void *ptr, struct place *at)
{
  uintptr_t off = (uintptr_t) ptr - k->grid;
  size_t c = off >> MM_CHUNK_SHIFT;
  size_t s = off >> MM_SLICE_SHIFT & (MM_CHUNK_SLICES - 1);
  size_t back = 0;
  /* NULL and foreign pointers have no chunk or no record.  Acquire: pairs with
     the chunk's publication.  */
  if (word_peek (&k->key) != (uintptr_t) md || c >= k->n_chunks
      || s >= dir_ready (word_see (&k->dir[c])))
    return false;
  at->r = (struct disk_slice *) (void *)
          (k->records + (c << MM_CHUNK_SHIFT) + s * MM_RECORD);
  /* Whatever the word says: in what is mapped.  */
  struct heap *h = word_peek (&k->heap);
  if (off_file (h, at->r + 1) > word_peek (&h->file.mapped))
    return false;
  at->head = head_see (at->r);
  if (head_kind (at->head) == HEAD_CONT && head_distance (at->head) <= s)
    {
      back = head_distance (at->head);
      at->r -= back;
      at->head = head_see (at->r);
    }
  at->number = slice_number (c, s - back);
  return head_kind (at->head) == HEAD_PAGE
         && head_class (at->head) < MM_CLASSES
         && back < class_table[head_class (at->head)].slices
         && class_index (&class_table[head_class (at->head)],
                         (back << MM_SLICE_SHIFT) + (off & (MM_SLICE - 1)),
                         &at->i);
}

/* The size of the live small block at PTR, which is at *AT, or 0: it is
   something else.  */
static inline size_t
quick_size (struct cache *k, void *md, const void *ptr, struct place *at)
{
  if (!quick_locate (k, md, ptr, at))
    return 0;
  unsigned cl = head_class (at->head);
  return page_fits (word_peek (&k->heap), at->number, cl)
         && page_is_live (at->r, cl, at->i) ? class_table[cl].size : 0;
}

/* Find the LARGE block that begins at PTR, in the first chunks: all but its
   start; false: it is something else.  */
static inline bool
quick_large (struct cache *k, void *md, const void *ptr, struct place *at)
{
  uintptr_t off = (uintptr_t) ptr - k->grid;
  /* An empty cache has no chunks.  */
  if (word_peek (&k->key) != (uintptr_t) md || off % MM_SLICE != 0
      || off >> MM_CHUNK_SHIFT >= k->n_chunks)
    return false;
  at->kind = PLACE_LARGE;
  at->number = (uint32_t) (off >> MM_SLICE_SHIFT);
  cache_heat (word_peek (&k->heap), k, at->number);
  if (off >= k->hot_bytes)
    return false;
  at->head = head_see (off_numbered (word_peek (&k->heap), at->number));
  at->usable = head_slices (at->head) << MM_SLICE_SHIFT;
  return head_kind (at->head) == HEAD_LARGE
         && run_is_inside (word_peek (&k->heap), at->number,
                           head_slices (at->head));
}

/* Allocation of up to MM_FAST_MAX bytes when the bin has run out.  */
static MM_NOINLINE void *
alloc_refill (void *md, size_t size, struct cache *k, struct bin *b)
{
  fail_nothing ();
  if (!cache_is_exclusive (k)
      || !take_refill (word_peek (&k->heap), k, (unsigned) (b - k->bin)))
    return alloc_any (md, size, 16, ALLOC_PART);
  return bin_take (b);
}

/* A block of class CL was freed in a full word, the short way by cache K.  */
static inline void
free_counted (struct heap *h, struct cache *k, unsigned cl)
{
  give_count_word (h, cl);
  if (MM_UNLIKELY (h->trim_threshold != 0))
    {
      fail_nothing ();
      trim_if_due (h, k);
    }
}

/* Block PTR of page R, of the caller's stream and in a hot slice, was freed in
   a full word.  */
static MM_NOINLINE void
free_first (void *md, void *ptr, struct disk_slice *r)
{
  struct heap *h = heap_find (md);
  unsigned cl = head_class (head_peek (r)) % MM_CLASSES;
  page_relist (h, thread.last->stream, r,
               (uint32_t) (((uintptr_t) ptr - h->grid) >> MM_SLICE_SHIFT));
  free_counted (h, thread.last, cl);
}

/* mfree of what is no small block by the short way: a LARGE block, or
   something else.  */
static MM_NOINLINE void
free_large (struct cache *k, void *md, void *ptr)
{
  struct heap *h = word_peek (&k->heap);
  struct place at;
  fail_nothing ();
  int err = quick_large (k, md, ptr, &at) ? give_slices (h, &at) : EINVAL;
  if (err == ETIMEDOUT)
    fail_room (h, err, 0);
  else if (err != 0)
    free_any ("mfree", md, ptr);
  else if (h->trim_threshold != 0)
    {
      give_count (h, at.usable);
      trim_if_due (h, k);
    }
}

/* The small block at AT, OWN: of the caller's stream, was freed in a full word.
   */
static MM_NOINLINE void
free_listed (struct cache *k, const struct place *at, bool own)
{
  struct heap *h = word_peek (&k->heap);
  if (own)
    page_relist (h, k->stream, at->r, at->number);
  else
    queue_push (h, head_owner (at->head), at->r, at->number);
  free_counted (h, k, head_class (at->head));
}

/* mfree of what lies behind the first chunks, or not in the first slice of its
   page, or is not the caller's own.  */
static MM_NOINLINE void
free_far (void *md, void *ptr)
{
  struct cache *k = thread.last;
  struct place at;
  bool full;
  if (!quick_locate (k, md, ptr, &at))
    {
      free_large (k, md, ptr);
      return;
    }
  if (head_is_mine (head_beside (k->mine, at.head)))
    {
      cache_heat (word_peek (&k->heap), k, at.number);
      if (!page_free_own (at.r, at.i, &full))
        free_any ("mfree", md, ptr);
      else if (full)
        free_listed (k, &at, true);
    }
  else if (!page_free_remote (at.r, at.i, &full))
    free_any ("mfree", md, ptr);
  else if (full)
    free_listed (k, &at, false);
}

/* The rest of mfree for block I of page R, of the caller's stream and in a hot
   slice, where others have freed, too.  */
static MM_NOINLINE void
free_beside (void *md, void *ptr, struct disk_slice *r, uint64_t i)
{
  bool full;
  if (!page_free_own (r, i, &full))
    free_any ("mfree", md, ptr);
  else if (full)
    free_first (md, ptr, r);
}


/* ---- 56. Blocks, public calls ------------------------------------------- */

/* Owns: nothing.
   Needs: no lock.
   Crash: a block is live or free; mmalloc.h says what may leak.
   Keeps: nothing by itself.
   Checked by: api_smoke, model_random, errno_is_kept.  */

/* The fast path: the thread's cache is armed for this heap, and the bin of the
   class has a block in its word.  Then one store to that word allocates.  SIZE
   0 wraps around and goes the long way.  */
MM_PUBLIC void *
mmalloc (void *md, size_t size)
{
  struct cache *k = thread.last;
  if (MM_LIKELY (word_peek (&k->key) == (uintptr_t) md
                 && size - 1 < MM_FAST_MAX))
    {
      struct bin *b = (struct bin *) (void *)
        ((char *) k->bin + class_of_sixteenths[(size - 1) / 16]);
      /* One address for all members, not one each.  */
      __asm__ ("" : "+r" (b));
      if (MM_LIKELY (b->avail != 0))
        return bin_take (b);
      return alloc_refill (md, size, k, b);
    }
  return alloc_any (md, size, 16, 0);
}

/* The fast path: a block of a page of the caller's stream, in a hot slice, in
   which nobody else has freed.  One store, to the word of bits.  All else is
   found out step by step: free_first, free_beside, free_far, free_any.  */
MM_PUBLIC void
mfree (void *md, void *ptr)
{
  struct cache *k = thread.last;
  uintptr_t off = (uintptr_t) ptr - k->grid;
  if (MM_LIKELY (word_peek (&k->key) == (uintptr_t) md && off < k->hot_bytes))
    {
      struct disk_slice *r = (struct disk_slice *) (void *)
        (k->records + (off & ~(uintptr_t) (MM_CHUNK - 1))
         + (off >> MM_SLICE_SHIFT & (MM_CHUNK_SLICES - 1)) * MM_RECORD);
      uint32_t beside = head_beside (k->mine, head_peek (r));
      uint64_t i;
      if (MM_LIKELY (head_is_mine (beside)
                     && class_index (&class_table[head_my_class (beside)],
                                     off & (MM_SLICE - 1), &i)))
        {
          if (MM_UNLIKELY (word_peek (&r->foreign) != 0))
            {
              free_beside (md, ptr, r, i);
              return;
            }
          /* As page_free_own.  */
          disk_u64 *word = &r->own[i / 64];
          uint64_t own = word_peek (word);
          uint64_t freed = own ^ UINT64_C (1) << (i % 64);
          if (MM_LIKELY (freed < own)) /* the bit was set */
            {
              /* Seen by page_live_bits.  */
              word_publish (word, freed);
              if (MM_UNLIKELY (own == UINT64_MAX))
                free_first (md, ptr, r);
              return;
            }
        }
    }
  free_far (md, ptr);
}

/* An overflow becomes a size that no heap has, so the error is that of a heap
   too small.  Long blocks that are fresh from the system are not zeroed again.
   */
MM_PUBLIC void *
mcalloc (void *md, size_t nmemb, size_t size)
{
  size_t bytes;
  if (__builtin_mul_overflow (nmemb, size, &bytes))
    bytes = SIZE_MAX;
  if (bytes <= MM_FAST_MAX && bytes > 0)
    {
      void *p = mmalloc (md, bytes);
      return p != NULL ? memset (p, 0, bytes) : NULL;
    }
  return alloc_any (md, bytes, 16, ALLOC_ZERO);
}

/* Resize the block at PTR to SIZE bytes by the short ways: it stays, or it is
   small and so is the new one.  NULL: neither, or there was no room.  */
static void *
realloc_quick (void *md, void *ptr, size_t size)
{
  struct cache *k = thread.last;
  struct place at;
  size_t usable = quick_size (k, md, ptr, &at);
  if (usable == 0)
    {
      int saved = errno;
      fail_nothing ();
      bool done = quick_large (k, md, ptr, &at)
                  && resize_block (word_peek (&k->heap), &at, size);
      errno = saved;
      return done ? ptr : NULL;
    }
  if (resize_may_keep (usable, size))
    return ptr;
  if (size > MM_FAST_MAX)
    {
      fail_nothing ();
      return NULL;
    }
  int saved = errno;
  void *p = mmalloc (md, size);
  if (p == NULL)
    {
      errno = saved;
      return NULL;
    }
  size_t n = size_min (usable, size);
  /* A call: of a length that is below a KiB for sure GCC makes a REP MOVS,
     which takes longer to start than such a copy takes.  */
  __asm__ ("" : "+r" (n));
  memmove (p, ptr, n);
  mfree (md, ptr);
  bin_put_back (k, &at);
  return p;
}

/* The block at PTR, which was AT, is not needed any more: free it, and end the
   slot call OP, NULL: it is none.  Its page may have another owner by now.  If
   it cannot be freed in time, that goes on record for others; without a free
   record it stays, as after a kill.  */
static void
realloc_leave (const char *call, void *md, struct heap *h, void *ptr,
               struct place *at, struct disk_op *op)
{
  uint64_t head = at->kind == PLACE_SMALL ? head_see (at->r) : at->head;
  /* Another class only if others spoil the heap.  */
  if (head_class (head) == head_class (at->head))
    at->head = head;
  struct cache *k = cache_use (h, md);
  const char *wrong = give_block (h, k, at, op);
  if (wrong == give_later
      && (op != NULL
          || (op = op_begin (h, (void *) h->file.base, at->start)) != NULL))
    op_leave (op);
  else if (wrong != NULL && wrong != give_later)
    fail_misuse (call, md, ptr, wrong);
  else if (op == NULL && k != NULL && at->kind == PLACE_SMALL
           && !mark_wanted (h))
    bin_put_back (k, at);
}

/* Whether the block at PTR, which the program knows as USER, is SIZE bytes
   long now, in place.  */
static bool
realloc_in_place (struct heap *h, void *ptr, struct place *block,
                  const struct place *user, size_t size)
{
  if (user->start != block->start || process.valgrind
      || !resize_block (h, block, size))
    return false;
  if (process.asan && block->kind != PLACE_SMALL)
    mark_block (h, ptr, round_up (size, MM_SLICE));
  return true;
}

/* A new block of SIZE bytes with the contents of USER, or NULL.  */
static void *
realloc_copy (void *md, size_t size, const struct place *user)
{
  unsigned how = size > user->usable ? ALLOC_GROWN : 0;
  void *p = alloc_any (md, size, 16, how | ALLOC_QUIET | ALLOC_PART);
  /* A neighbour can make two blocks overlap.  */
  if (p != NULL)
    memmove (p, user->start, size_min (user->usable, size));
  return p;
}

/* The same as realloc_quick by the long way, for public call CALL.  */
static void *
realloc_long (const char *call, void *md, void *ptr, size_t size)
{
  struct call c;
  struct place block, user;
  if (!call_begin (&c, md, CALL_GOES_ON) && c.h != NULL)
    return NULL;
  const char *wrong = free_place (c.h, call, md, ptr, &block, &user);
  if (wrong != NULL)
    return call_end (&c, EINVAL, wrong), NULL;
  void *p = ptr;
  if (!realloc_in_place (c.h, ptr, &block, &user, size))
    {
      p = realloc_copy (md, size, &user);
      if (p == NULL && size <= user.usable && user.start == block.start)
        {
          /* A shrinking cannot fail.  */
          errno = c.saved;
          return ptr;
        }
      if (p == NULL)
        {
          trace_event ('!', ptr, size, true);
          return NULL;
        }
      realloc_leave (call, md, c.h, ptr, &block, NULL);
    }
  trace_event ('<', ptr, 0, false);
  trace_event ('>', p, size, true);
  errno = c.saved;
  return p;
}

/* Public call CALL: mrealloc.  */
static void *
realloc_any (const char *call, void *md, void *ptr, size_t size)
{
  if (ptr == NULL)
    return mmalloc (md, size);
  if (size == 0)
    {
      if (!free_any (call, md, ptr))
        fail_told (heap_find (md), EINVAL, "not a live block");
      return NULL;
    }
  void *p = realloc_quick (md, ptr, size);
  return p != NULL ? p : realloc_long (call, md, ptr, size);
}

/* The ways, shortest first: realloc_quick, in place by the long way, a new
   block and a copy.  The old one is freed last: a kill leaves it, or both.  */
MM_PUBLIC void *
mrealloc (void *md, void *ptr, size_t size)
{
  return realloc_any ("mrealloc", md, ptr, size);
}

/* As mcalloc in its sizes, as mrealloc in all else.  */
MM_PUBLIC void *
mreallocarray (void *md, void *ptr, size_t nmemb, size_t size)
{
  size_t bytes;
  if (__builtin_mul_overflow (nmemb, size, &bytes))
    bytes = SIZE_MAX;
  return realloc_any ("mreallocarray", md, ptr, bytes);
}

/* Every block is aligned to 16 bytes, and that of a class to the largest power
   of two in its size, so that many alignments cost nothing but the choice of a
   class.  */
MM_PUBLIC void *
mmemalign (void *md, size_t alignment, size_t size)
{
  if (alignment == 0 || (alignment & (alignment - 1)) != 0
      || alignment > MM_ALIGN_MAX)
    {
      struct reason why;
      fail_because (&why, EINVAL, "an alignment is a power of two up to %zu,"
                                  " not %zu", (size_t) MM_ALIGN_MAX, alignment);
      fail_told (heap_of (md), EINVAL, why.told);
      return NULL;
    }
  if (alignment <= 16)
    return mmalloc (md, size);
  return alloc_any (md, size, alignment, 0);
}

/* Aligned to the system's pages, which may be larger than MM_PAGE.  */
MM_PUBLIC void *
mvalloc (void *md, size_t size)
{
  process_check ();
  return alloc_any (md, size, process.system_page, 0);
}

/* What was asked for is not on record; this is the room that the block has.
   */
MM_PUBLIC size_t
mmalloc_usable_size (void *md, const void *ptr)
{
  if (ptr == NULL)
    return 0;
  struct place at, block, user;
  size_t size = quick_size (thread.last, md, ptr, &at);
  if (size > 0)
    return size;
  struct call c;
  if (!call_begin (&c, md, CALL_LOOKS) && c.h != NULL)
    return 0;
  if (free_place (c.h, "mmalloc_usable_size", md, ptr, &block, &user) == NULL)
    size = user.usable;
  errno = c.saved;
  return size;
}


/* ---- 57. Slot calls ----------------------------------------------------- */

/* Owns: the operation records while a call is under way.
   Needs: no lock.
   Crash: finished or undone in the room of the dead.
   Keeps: nothing by itself.
   Checked by: slot_calls, step.  */

/* A record for a call that works on SLOT and block OLD, or NULL.  Waits if
   there are too many such calls; NULL: longer than it may.  */
static struct disk_op *
slot_begin (struct heap *h, const void *slot, const void *old)
{
  uint64_t since = 0;
  struct disk_op *op;
  while ((op = op_begin (h, slot, old)) == NULL)
    {
      dead_bury_all (h);
      if (lock_is_late (h, &since, word_see (&h->op[0].owner),
                        "a call that is under way, of as many as can be,"))
        return NULL;
      sched_yield ();
    }
  return op;
}

/* Store P in the program's word at SLOT.  */
static void
slot_store (void **slot, void *p)
{
  /* Seen by slot_change, mmalloc_move, and by the program.  */
  word_publish ((disk_u64 *) (void *) slot, (uintptr_t) p);
}

/* Put a new block of SIZE bytes, NULL for 0, into SLOT.  OLD: the block at
   BLOCK, known to the program as USER, was there: its contents are taken over,
   and it is freed.  Public call CALL.  */
static int
slot_put (const char *call, void *md, struct heap *h, void **slot, size_t size,
          bool old, struct place *block, const struct place *user)
{
  struct disk_op *op = slot_begin (h, slot, old ? block->start : NULL);
  void *p = NULL;
  if (op == NULL)
    return fail_room (h, ETIMEDOUT, 0), -1;
  if (size > 0)
    {
      thread.op = op;
      p = old ? realloc_copy (md, size, user)
              : alloc_any (md, size, 16, ALLOC_PART);
      thread.op = NULL;
      if (p == NULL)
        {
          op_release (h, op);
          return old && size <= user->usable ? 0 : -1;
        }
    }
  slot_store (slot, p);
  /* Right behind it: from here on the block is the slot's.  */
  word_settle (&op->fresh, 0);
  if (old)
    realloc_leave (call, md, h, user->start, block, op);
  else
    op_release (h, op);
  return 0;
}

/* Make the block in SLOT SIZE bytes long.  Public call CALL.  */
static int
slot_change (const char *call, void *md, void **slot, size_t size, bool is_new)
{
  struct call c;
  struct place block, user;
  if (!call_begin (&c, md, CALL_CHANGES))
    return -1;
  struct heap *h = c.h;
  if (!place_is_word (h, slot))
    return call_end (&c, EINVAL, "the slot is no word in a block of the heap");
  void *old = is_new
                ? NULL
                : (void *) (uintptr_t) word_see ((disk_u64 *) (void *) slot);
  if (old != NULL)
    {
      const char *wrong = free_place (h, call, md, old, &block, &user);
      if (wrong != NULL)
        return call_end (&c, EINVAL, wrong);
      trace_event (size > 0 ? '<' : '-', old, 0, false);
    }
  bool stays = old != NULL && size > 0
               && realloc_in_place (h, old, &block, &user, size);
  if (!stays
      && slot_put (call, md, h, slot, size, old != NULL, &block, &user) != 0)
    {
      if (old != NULL)
        trace_event ('!', old, size, true);
      return -1;
    }
  if (old != NULL && size > 0)
    trace_event ('>', *slot, size, true);
  return call_end (&c, 0, NULL);
}

/* The block is on record before it is live, and in the slot before it is off
   the record again.  */
MM_PUBLIC int
mmalloc_to (void *md, void **slot, size_t size)
{
  return slot_change ("mmalloc_to", md, slot, size, true);
}

/* The slot leads to the old block or to the new one at any time; the other one
   is on record.  */
MM_PUBLIC int
mrealloc_in (void *md, void **slot, size_t size)
{
  return slot_change ("mrealloc_in", md, slot, size, false);
}

/* The slot is emptied first: a kill behind that frees the block from the
   record.  */
MM_PUBLIC int
mfree_from (void *md, void **slot)
{
  return slot_change ("mfree_from", md, slot, 0, false);
}

/* Two stores to two slots, between which both have the block.  The record says
   so: whoever finds it after a kill takes the block out of the slot that it
   came from.  */
MM_PUBLIC int
mmalloc_move (void *md, void **to, void **from)
{
  struct call c;
  struct place block, user;
  if (!call_begin (&c, md, CALL_CHANGES))
    return -1;
  struct heap *h = c.h;
  if (!place_is_word (h, to) || !place_is_word (h, from))
    return call_end (&c, EINVAL, "the slot is no word in a block of the heap");
  void *p = (void *) (uintptr_t) word_see ((disk_u64 *) (void *) from);
  if (p == NULL || to == from)
    return call_end (&c, 0, NULL);
  const char *wrong = free_place (h, "mmalloc_move", md, p, &block, &user);
  if (wrong != NULL)
    return call_end (&c, EINVAL, wrong);
  struct disk_op *op = slot_begin (h, to, NULL);
  if (op == NULL)
    return call_end (&c, ETIMEDOUT, NULL);
  word_put (&op->moved, off_file (h, p));
  /* Release: it makes the record that of a move, and so comes last.  */
  word_settle (&op->from, off_file (h, from));
  slot_store (to, p);
  slot_store (from, NULL);
  op_release (h, op);
  return call_end (&c, 0, NULL);
}

/* Waits for those slot calls only that were under way at the start: TURN tells
   one from its successor on the same record.  */
MM_PUBLIC int
mmalloc_recover (void *md)
{
  struct call c;
  if (!call_begin (&c, md, CALL_CHANGES))
    return -1;
  struct heap *h = c.h;
  uint64_t id[MM_OPS], turn[MM_OPS], since = 0;
  for (unsigned i = 0; i < MM_OPS; i++)
    {
      id[i] = word_see (&h->op[i].owner);
      turn[i] = word_peek (&h->op[i].turn);
    }
  /* A dying process loses its locks one by one: what looks alive may be dead
     the next moment.  */
  for (unsigned i = 0; i < MM_OPS; i++)
    while (id[i] != 0 && id[i] != h->id && word_see (&h->op[i].owner) == id[i]
           && word_peek (&h->op[i].turn) == turn[i]
           /* The program's function, which may be the caller's neighbour.  */
           && word_peek (&h->op[i].from) != MM_MAKES_ROOT)
      {
        dead_bury_all (h);
        if (lock_is_late (h, &since, id[i], "a call under way"))
          return call_end (&c, ETIMEDOUT, NULL);
        sched_yield ();
      }
  return call_end (&c, dead_bury_all (h) ? 0 : ETIMEDOUT, NULL);
}


/* ---- 58. Opening and closing, public calls ------------------------------ */

/* Owns: nothing.
   Needs: no lock.
   Crash: as in the rooms of attaching and regions.
   Keeps: nothing by itself.
   Checked by: open_flags, options_of_a_new_heap, region_files.  */

/* The options as this version knows them.  */
static int
open_options (struct mmalloc_options *to, const struct mmalloc_options *from,
              struct reason *why)
{
  *to = (struct mmalloc_options) MMALLOC_OPTIONS_INIT;
  if (from == NULL)
    return 0;
  if (from->size < offsetof (struct mmalloc_options, mode)
      || from->size > MM_PAGE)
    return fail_because (why, EINVAL,
                         "the options say a size of %zu, not %zu: begin with"
                         " MMALLOC_OPTIONS_INIT",
                         from->size, sizeof *to);
  memcpy (to, from, size_min (from->size, sizeof *to));
  /* A larger struct comes from a newer header: what we do not know must be
     zero.  */
  for (size_t i = sizeof *to; i < from->size; i++)
    if (((const char *) from)[i] != 0)
      return fail_because (why, EINVAL,
                           "an option of a newer version of libmmalloc is set:"
                           " byte %zu of %zu, where this one knows %zu; begin"
                           " with MMALLOC_OPTIONS_INIT", i, from->size,
                           sizeof *to);
  return to->streams <= MM_SHARED_MAX
           ? 0
           : fail_because (why, EINVAL, "there are %d streams at most, not %u",
                           MM_SHARED_MAX, to->streams);
}

/* Whether files can be opened and closed here: 0 or an errno value.  */
static int
open_allowed (struct reason *why)
{
  if (!thread.opening)
    return 0;
  return fail_because (why, EDEADLK, "called by the function that"
                                     " mmalloc_region_open calls");
}

/* Flags that do not go together: one of each column.  */
static const struct open_rule
{
  int these, those;
  const char *told;
} open_rules[] = {
  { MMALLOC_RDONLY | MMALLOC_ELSEWHERE | MMALLOC_PRIVATE,
    MMALLOC_CREATE | MMALLOC_EXCL, "only a heap that can be written is made" },
  { MMALLOC_RDONLY | MMALLOC_ELSEWHERE | MMALLOC_PRIVATE,
    MMALLOC_SINGLE_WRITER, "the single writer has to write the file" },
  { MMALLOC_RDONLY | MMALLOC_ELSEWHERE | MMALLOC_PRIVATE, MMALLOC_CHECKPOINT,
    "who makes checkpoints has to write the file" },
  { MMALLOC_RDONLY | MMALLOC_ELSEWHERE, MMALLOC_PRIVATE,
    "a heap is read-only or copy-on-write, not both" },
};

/* Whether FLAGS are some of KNOWN that go together.  */
static int
open_flags (int flags, int known, struct reason *why)
{
  int err = open_allowed (why);
  if (err != 0)
    return err;
  if (flags & ~known)
    return fail_because (why, EINVAL, "unknown flags 0x%x",
                         (unsigned) (flags & ~known));
  if ((flags & MMALLOC_EXCL) && !(flags & MMALLOC_CREATE))
    return fail_because (why, EINVAL, "MMALLOC_EXCL goes with MMALLOC_CREATE");
  for (size_t i = 0; i < sizeof open_rules / sizeof *open_rules; i++)
    if ((flags & open_rules[i].these) && (flags & open_rules[i].those))
      return fail_because (why, EINVAL, "%s", open_rules[i].told);
  return 0;
}

/* Take the lock of opening, for one who opens with FLAGS: 0 or an errno
   value.  */
static int
open_begin (int flags, struct reason *why)
{
  if (!(flags & MMALLOC_NOWAIT))
    lock_opening ();
  else if (!lock_opening_now ())
    return fail_because (why, EAGAIN, "another thread of this process is opening"
                                      " or closing a file");
  return 0;
}

/* Open the heap that O says into *MD, with the options that it wants: 0 or an
   errno value.  Needs: the open lock.  */
static int
open_heap (struct opening *o, void **md)
{
  const struct mmalloc_options *opt = o->wanted;
  bool anonymous = o->path == NULL && opt->fd < 0;
  const struct kind *kind = attach_kind (o->flags);
  struct heap *h = attach_new (anonymous ? &kind_anonymous : kind);
  if (h == NULL)
    return fail_because (&o->why, ENOMEM, "no memory for %zu bytes of the"
                                          " library's own", sizeof *h);
  o->fd = opt->fd;
  o->mode = opt->mode;
  h->file.wait = opt->wait;
  struct file *f = &h->file;
  int err = !anonymous ? door_attach (&f, o)
            : kind == &kind_file
              ? attach_anonymous (h, opt, &o->why)
              : fail_because (&o->why, EINVAL, "these flags are for files");
  *md = err == 0 ? (void *) f->base : NULL;
  if (err != 0 || f != &h->file)
    attach_drop (h);
  else
    {
      h->trim_threshold = f->kind->changes && f->kind->backing != BY_COPY
                            ? opt->trim_threshold : 0;
      door_list (f);
      if (mark_wanted (h))
        walk_heap (h, sight_mark, NULL);
    }
  return err;
}

/* Flags and options are looked at before the file is.  */
MM_PUBLIC void *
mmalloc_open (const char *path, int flags, const struct mmalloc_options *opt)
{
  struct call c = { .saved = errno };
  struct mmalloc_options wanted;
  struct opening o = { .path = path,
                       .flags = flags,
                       .again = attach_again,
                       .enter = attach_file,
                       .wanted = &wanted };
  void *md = NULL;
  process_check ();
  fail_nothing ();
  int err = open_options (&wanted, opt, &o.why);
  if (err == 0)
    err = open_flags (flags,
                      MMALLOC_CREATE | MMALLOC_EXCL | MMALLOC_RDONLY
                        | MMALLOC_PRIVATE | MMALLOC_ELSEWHERE
                        | MMALLOC_SINGLE_WRITER | MMALLOC_NOWAIT
                        | MMALLOC_CHECKPOINT | MMALLOC_NO_THREAD,
                      &o.why);
  if (err == 0)
    err = open_begin (flags, &o.why);
  if (err == 0)
    {
      err = open_heap (&o, &md);
      unlock_opening ();
    }
  fail_system (&o.why, err);
  call_end (&c, err, o.why.told);
  return md;
}

/* The historical call: a descriptor makes a heap in its file or opens it, none
   makes one in memory.  */
MM_PUBLIC void *
mmalloc_attach (int fd, void *base)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = fd < 0 ? -1 : fd;
  opt.base = base;
  return mmalloc_open (NULL, fd < 0 ? 0 : MMALLOC_CREATE, &opt);
}

/* The last user of the process has let the heap go.  */
static void
open_end (struct heap *h)
{
  if (mark_wanted (h))
    walk_heap (h, sight_blocks,
               &(struct sight_call){ sight_unmark_block, NULL });
  if (h->file.kind->shared)
    detach_leave (h);
  if (process.asan)
    mark_own ((void *) h->file.base, off_seen (h));
  attach_drop (h);
}

/* Let the file at BASE go once, with a heap in it or without one; not the
   default heap.  0, or EINVAL if there is none, or EDEADLK.  */
static int
open_leave (const void *base, bool heap, struct reason *why)
{
  process_check ();
  fail_nothing ();
  int err = open_allowed (why);
  if (err != 0)
    return err;
  lock_opening ();
  lock_registry ();
  struct file **link = door_place (base, heap), *f = *link;
  struct heap *h = (struct heap *) f;
  /* If the disk has failed, the program was told that there are none.  */
  if (f != NULL && f->kind->backing == BY_LOG && f->n_open == 1
      && h->log->broken == 0)
    {
      unlock_registry ();
      err = point_take (h, why);
      lock_registry ();
      /* Nobody else opens or closes.  */
      link = door_place (base, heap);
    }
  if (err != 0)
    {
      unlock_registry ();
      unlock_opening ();
      return fail_system (why, err);
    }
  bool ours = f != NULL && h != process.default_heap;
  bool last = ours && --f->n_open == 0;
  if (last)
    {
      while (heap && h->caches != NULL)
        cache_release (h->caches);
      *link = f->next;
    }
  unlock_registry ();
  if (last && heap)
    open_end (h);
  else if (last)
    region_drop (f);
  unlock_opening ();
  return ours ? 0
         : fail_because (why, EINVAL, "no %s is attached at 0x%lx",
                         heap ? "heap" : "region",
                         (unsigned long) (uintptr_t) base);
}

/* Caches are released before the heap goes, with the registry lock held: a
   thread that ends at the same time finds its cache gone, not half.  */
MM_PUBLIC void *
mmalloc_detach (void *md)
{
  struct call c = { .saved = errno };
  struct reason why;
  int err = md != NULL ? open_leave (md, true, &why) : 0;
  call_end (&c, err, why.told);
  return err == 0 ? NULL : md;
}

/* FN sees the region while nobody else can come or go, so what it makes there
   is whole for all others.  */
MM_PUBLIC void *
mmalloc_region_open (const char *path, int flags, void *base, size_t size,
                     mmalloc_region_fn fn, void *arg)
{
  struct call c = { .saved = errno };
  struct wanted_region want = { (uintptr_t) base, size, fn, arg };
  struct opening o = { .path = path,
                       .fd = -1,
                       .flags = flags,
                       .again = region_again,
                       .enter = region_enter,
                       .wanted = &want };
  process_check ();
  fail_nothing ();
  int err = open_flags (flags,
                        MMALLOC_CREATE | MMALLOC_EXCL | MMALLOC_SINGLE_WRITER
                          | MMALLOC_NOWAIT,
                        &o.why);
  if (err == 0 && path == NULL)
    err = fail_because (&o.why, EINVAL, "there is no file name");
  if (err == 0 && size > PTRDIFF_MAX)
    err = fail_because (&o.why, EINVAL, "%zu bytes are too many", size);
  if (err == 0)
    err = open_begin (flags, &o.why);
  if (err != 0)
    return call_end (&c, err, o.why.told), NULL;
  /* FN runs with the door closed.  */
  int cancel = os_hold_cancel ();
  struct file *fresh = space_private (sizeof *fresh, false), *f = fresh;
  if (f == NULL)
    err = fail_because (&o.why, ENOMEM, "no memory for %zu bytes of the"
                                        " library's own", sizeof *f);
  else
    {
      *f = (struct file){ .kind = &kind_region, .fd = -1, .lock_fd = -1 };
      err = door_attach (&f, &o);
      if (err == 0 && f == fresh)
        door_list (f);
      else
        region_drop (fresh);
    }
  void *region = err == 0 ? (void *) f->base : NULL;
  unlock_opening ();
  os_let_cancel (cancel);
  fail_system (&o.why, err);
  call_end (&c, err, o.why.told);
  return region;
}

/* In the order of mmalloc_detach; a region has no caches.  */
MM_PUBLIC int
mmalloc_region_close (void *region)
{
  struct call c = { .saved = errno };
  struct reason why;
  return call_end (&c, open_leave (region, false, &why), why.told);
}

/* Of any mapped stretch, so the region is not looked for.  */
MM_PUBLIC int
mmalloc_region_sync (void *region, size_t size)
{
  struct call c = { .saved = errno };
  return call_end (&c, os_sync (region, size),
                   "the region could not be written to the disk");
}

/* A free place in the address space for SIZE bytes and more, or NULL.  */
static void *
open_findbase (size_t size)
{
  if (size > (size_t) 1 << 46)
    return NULL;
  size_t want = process.tools_area ? MM_RESERVE_TOOLS : MM_RESERVE;
  want = size_max (size, want);
  const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  uintptr_t base;
  /* Where the address space is short, SIZE alone must do.  */
  for (size_t len = want; len >= MM_RESERVE_MIN && len >= size; len /= 2)
    if (space_map_anywhere (len, PROT_NONE, flags, -1, &base) == 0)
      {
        space_unmap ((void *) base, len);
        return (void *) base;
      }
  void *p = space_map (NULL, want, PROT_NONE, flags, -1);
  if (p == MAP_FAILED)
    return NULL;
  space_unmap (p, want);
  return p;
}

/* An address where a heap could be made now.  It is free when it is found and
   may be taken a moment later, which opening would tell.  */
MM_PUBLIC void *
mmalloc_findbase (size_t size)
{
  struct call c = { .saved = errno };
  process_check ();
  void *base = open_findbase (size);
  struct reason why;
  fail_because (&why, ENOMEM, "no %zu bytes of address space are free", size);
  call_end (&c, base != NULL ? 0 : ENOMEM, why.told);
  return base;
}

/* One look at what is open.  A heap that is closed at the same time is the
   caller's race.  */
MM_PUBLIC void *
mmalloc_find (const void *ptr)
{
  process_check ();
  lock_registry ();
  struct file *f = process.files;
  while (f != NULL
         && (!f->kind->heap || (uintptr_t) ptr - f->base >= f->mapped))
    f = f->next;
  unlock_registry ();
  return f != NULL ? (void *) f->base : NULL;
}

/* The last error of calls on heap MD, or of the thread.  */
static struct error
open_error (void *md)
{
  struct error e = { .code = thread.code };
  if (thread.words != NULL)
    e.why = thread.words->why;
  int saved = errno;
  struct heap *h = md != NULL ? heap_find (md) : NULL;
  errno = saved;
  if (h != NULL && h != process.default_heap)
    {
      pthread_mutex_lock (&h->error_lock);
      e = h->error;
      pthread_mutex_unlock (&h->error_lock);
    }
  return e;
}

/* A heap remembers the last error of any thread, so that a program can ask
   once at the end; without a heap it is the thread's own.  */
MM_PUBLIC int
mmalloc_errno (void *md)
{
  return open_error (md).code;
}

/* The words for E in W.  */
static const char *
open_words (const struct error *e, struct words *w)
{
  char system[64] = "no call has failed";
  if (e->code != 0)
    {
#if defined __GLIBC__
      strncpy (system, strerror_r (e->code, system, sizeof system),
               sizeof system - 1);
      system[sizeof system - 1] = '\0';
#else
      strerror_r (e->code, system, sizeof system);
#endif
    }
  snprintf (w->told, sizeof w->told, "%s%s%s", e->why.told,
            e->why.told[0] != '\0' ? ": " : "", system);
  return w->told;
}

/* The words live in the thread until its next call of this.  */
MM_PUBLIC const char *
mmalloc_strerror (void *md)
{
  int saved = errno;
  struct error e = open_error (md);
  struct words *w = fail_words ();
  const char *told = "no call has failed";
  if (w != NULL)
    told = open_words (&e, w);
  else if (e.code != 0)
    /* A constant of the C library, for each code that is used here.  */
    told = strerror (e.code);
  errno = saved;
  return told;
}

/* The library's, which may be newer than the header's.  */
MM_PUBLIC const char *
mmalloc_version (void)
{
  return MMALLOC_VERSION;
}


/* ---- 59. Other public calls --------------------------------------------- */

/* Owns: the keys.
   Needs: no lock.
   Crash: a key is one store.
   Keeps: nothing by itself.
   Checked by: compat_keys, api_smoke, errno_is_kept.  */

/* 0 says failure here, as it did in the historical package.  */
MM_PUBLIC int
mmalloc_setkey (void *md, int keynum, void *key)
{
  struct call c = { .saved = errno };
  if (md == NULL)
    return call_end (&c, EINVAL, "the default heap has no keys"), 0;
  if (!call_begin (&c, md, CALL_CHANGES))
    return 0;
  if (keynum < 0 || keynum >= MM_KEYS)
    {
      struct reason why;
      fail_because (&why, EINVAL, "keys have the numbers 0 to %d, not %d",
                    MM_KEYS - 1, keynum);
      return call_end (&c, EINVAL, why.told), 0;
    }
  /* Seen by mmalloc_getkey.  */
  word_publish (&c.h->root->key[keynum], (uint64_t) (uintptr_t) key);
  return call_end (&c, 0, NULL) == 0;
}

/* A key is an address or a number: nothing is known about it.  */
MM_PUBLIC void *
mmalloc_getkey (void *md, int keynum)
{
  int saved = errno;
  struct heap *h = md != NULL ? heap_find (md) : NULL;
  struct reason why = { "" };
  void *key = NULL;
  if (h != NULL && keynum >= 0 && keynum < MM_KEYS)
    {
      key = (void *) (uintptr_t) word_see (&h->root->key[keynum]);
      heap_follow (h, &why);
    }
  errno = saved;
  return key;
}

/* A name costs a record once and for all; its value is one store.  NULL takes
   the root away, and its record waits for the next name that fits.  */
MM_PUBLIC int
mmalloc_setroot (void *md, const char *name, void *ptr)
{
  struct call c;
  if (!call_begin (&c, md, CALL_CHANGES))
    return -1;
  size_t len = name != NULL ? strlen (name) : 0;
  struct reason why = { "" };
  int err = root_length (len, &why);
  if (err == 0)
    err = root_set (c.h, name, len, (uint64_t) (uintptr_t) ptr, &why);
  return call_end (&c, err, why.told[0] != '\0' ? why.told : NULL);
}

/* No lock: root_step and root_read notice when a record changes under them.
   That there is no such root is no error, so errno stays as it was.  */
MM_PUBLIC void *
mmalloc_getroot (void *md, const char *name)
{
  struct call c;
  struct root_walk walk;
  struct reason why = { "" };
  if (!call_begin (&c, md, CALL_ASKS))
    return NULL;
  walk.value = 0;
  walk.damaged = false;
  size_t len = name != NULL ? strlen (name) : 0;
  size_t mapped = word_peek (&c.h->file.mapped);
  int err = 0;
  do
    if (len > 0 && len <= MM_NAME_MAX
        && root_find (c.h, name, len, &walk) == NULL)
      walk.value = 0;
  while (walk.damaged
         && (err = heap_doubt (c.h, &mapped, root_broken, &why)) == 0);
  /* The block may be newer than the look at the length.  */
  if (err == 0)
    err = heap_follow (c.h, &why);
  call_end (&c, err, why.told);
  return err == 0 ? (void *) (uintptr_t) walk.value : NULL;
}

/* FN may set roots, those of new names too; it sees them or not.  */
MM_PUBLIC int
mmalloc_roots (void *md, int (*fn) (const char *name, void *ptr, void *arg),
               void *arg)
{
  struct call c;
  struct root_walk walk;
  struct reason why = { "" };
  if (!call_begin (&c, md, CALL_ASKS))
    return -1;
  size_t mapped = word_peek (&c.h->file.mapped);
  bool damaged = false;
  int err = 0, stop = 0, cancel = os_hold_cancel ();
  for (size_t b = 0; b < MM_BUCKETS && stop == 0 && err == 0; b++)
    {
      root_start (c.h, b, &walk);
      do
        while (stop == 0 && err == 0 && root_step (c.h, &walk) != NULL)
          {
            if (walk.value == 0)
              continue;
            /* The block may be newer than the look at the length.  */
            err = heap_follow (c.h, &why);
            if (err == 0)
              stop = fn (walk.name, (void *) (uintptr_t) walk.value, arg);
          }
      while (stop == 0 && err == 0 && walk.damaged
             && (err = heap_doubt (c.h, &mapped, root_broken, &why)) == 0);
      /* It does not keep the other chains from being shown.  */
      damaged |= err == EBADMSG;
      err = err == EBADMSG ? 0 : err;
    }
  os_let_cancel (cancel);
  if (stop == 0 && err == 0 && damaged)
    err = fail_because (&why, EBADMSG, "a chain of records of roots is broken:"
                                       " the file is damaged");
  return err != 0 ? call_end (&c, err, why.told) : stop;
}

/* The page is a slice of the heap that holds no block; each process maps
   memory of its own over it.  */
MM_PUBLIC void *
mmalloc_local (void *md, size_t size)
{
  struct call c;
  struct reason why = { "" };
  char *p = NULL;
  if (!call_begin (&c, md, CALL_LOOKS))
    return NULL;
  int err = size > MMALLOC_LOCAL_MAX
            ? fail_because (&why, EINVAL,
                            "a process has %d bytes of its own, not %zu",
                            MMALLOC_LOCAL_MAX, size)
            : root_local (c.h, &p, &why);
  call_end (&c, err, why.told[0] != '\0' ? why.told : NULL);
  return p;
}

/* The mapping is written from base to length.  Blocks that are changed
   meanwhile reach the disk or not; what was stored before this call does.  */
MM_PUBLIC int
mmalloc_sync (void *md)
{
  struct call c;
  if (!call_begin (&c, md, CALL_ASKS))
    return -1;
  struct file *f = &c.h->file;
  size_t length = round_up (off_seen (c.h), process.system_page);
  if (f->kind->backing == BY_LOG)
    return mmalloc_checkpoint (md);
  int err = f->kind->writes_file ? os_sync ((void *) f->base, length) : 0;
  return call_end (&c, err, "the heap could not be written to the disk");
}

/* Ask for what a run or a HUGE block has in the file.  */
static int
prefetch_see (struct heap *h, const struct sight *seen, void *arg)
{
  /* In steps that keep the kernel's folios small.  */
  enum { STEP = 128 << 10 };
  (void) arg;
  size_t from = off_file (h, off_slice (h, seen->c, seen->s));
  size_t end = from + (seen->n << MM_SLICE_SHIFT);
  for (; from < end; from += STEP)
    os_advise_file (h->file.fd, from, size_min (end - from, STEP),
                    POSIX_FADV_WILLNEED);
  return 0;
}

/* Of what is in use, run by run: holes and free stretches are not read.  */
MM_PUBLIC int
mmalloc_prefetch (void *md)
{
  struct call c;
  if (!call_begin (&c, md, CALL_LOOKS))
    return -1;
  if (os_own (&c.h->file, c.h->file.fd) == 0)
    walk_heap (c.h, prefetch_see, NULL);
  return call_end (&c, 0, NULL);
}

/* First the pages that have become empty go back, then free slices lose their
   memory, and pages what lies behind free blocks, and at last the file its end,
   if nobody else is there.  */
MM_PUBLIC ptrdiff_t
mmalloc_trim (void *md)
{
  struct call c;
  if (!call_begin (&c, md, CALL_CHANGES))
    return -1;
  size_t given = trim_all (c.h, cache_use (c.h, md));
  trim_cut (c.h);
  return call_end (&c, fail_was_late (), NULL) == 0 ? (ptrdiff_t) given : -1;
}

/* Counted by looking at every record, without stopping anybody: exact for a
   heap at rest.  */
MM_PUBLIC int
mmalloc_stats (void *md, struct mmalloc_stats *stats)
{
  struct call c;
  struct stat status;
  if (!call_begin (&c, md, CALL_LOOKS))
    return -1;
  struct heap *h = c.h;
  memset (stats, 0, sizeof *stats);
  stats->n_classes = MM_CLASSES + 1;
  for (unsigned cl = 0; cl < MM_CLASSES; cl++)
    stats->classes[cl].block_size = class_table[cl].size;
  stat_heap (h, stats);
  stats->capacity = h->capacity;
  stats->length = off_length (h);
  if (os_stat_own (&h->file, h->file.fd, &status) == 0)
    stats->file_bytes = (size_t) status.st_blocks * 512;
  return call_end (&c, 0, NULL);
}

/* A block that is allocated or freed meanwhile is seen or not; what lives all
   the time is seen once.  The file is not cut between.  */
MM_PUBLIC int
mmalloc_walk (void *md, int (*fn) (void *block, size_t size, void *arg),
              void *arg)
{
  struct call c;
  struct walk w = { fn, arg };
  struct sight_call see = { walk_block, &w };
  if (!call_begin (&c, md, CALL_LOOKS))
    return -1;
  call_end (&c, 0, NULL);
  int cancel = os_hold_cancel ();
  int stop = walk_heap (c.h, sight_blocks, &see);
  os_let_cancel (cancel);
  return stop;
}

/* The rooms' invariants in their order: directory, superblocks, indexes, runs
   and pages, roots, guards.  */
MM_PUBLIC int
mmalloc_check (void *md,
               void (*report) (const char *finding, const void *where,
                               void *arg),
               void *arg)
{
  struct call c;
  struct check check = { report, arg, 0 };
  if (!call_begin (&c, md, CALL_LOOKS))
    return -1;
  struct heap *h = c.h;
  /* REPORT may be called with a lock held.  */
  int cancel = os_hold_cancel ();
  int err = check_directory (h, &check);
  if (err == 0)
    {
      unsigned walk = lock_walk (h);
      check_supers (h, &check);
      for (size_t chunk = 0; chunk < run_chunks (h) && err == 0; chunk++)
        err = check_chunk (h, chunk, &check);
      unlock_walk (h, walk);
      walk_heap (h, check_see, &check);
      check_roots (h, &check);
      if (word_peek (&h->root->guards) != 0)
        walk_heap (h, sight_blocks,
                   &(struct sight_call){ check_block, &check });
    }
  os_let_cancel (cancel);
  const char *told = err == ETIMEDOUT ? NULL : "the file cannot be looked at";
  return call_end (&c, err, told) == 0 ? check.n : -1;
}

/* For layers above, qalloc and shims, whose own misuse goes to the same
   handler.  */
MM_PUBLIC void
mmalloc_misuse (const char *call, void *md, const void *ptr, const char *what)
{
  fail_misuse (call, md, ptr, what);
}

/* Plain stores: to be called before there are threads that misuse.  */
MM_PUBLIC void
mmalloc_onmisuse (mmalloc_misuse_fn handler, void *arg)
{
  process.on_misuse_arg = arg;
  process.on_misuse = handler;
}

/* Guards are a property of the heap and stay with the file.  Blocks from
   before have none, so the flag is set before the first one unless FORCE.  */
MM_PUBLIC int
mmcheckf (void *md, void (*func) (void), int force)
{
  struct call c;
  if (!call_begin (&c, md, CALL_CHANGES))
    return 0;
  struct heap *h = c.h;
  call_end (&c, 0, NULL);
  h->on_damage = func;
  if (word_peek (&h->root->guards) != 0)
    return 1;
  if (!force && word_peek (&h->root->used) != 0)
    return 0;
  /* Seen by cache_arm, behind the registry lock.  */
  word_publish (&h->root->guards, 1);
  lock_registry ();
  cache_disarm_all (h);
  unlock_registry ();
  return 1;
}

/* The historical call: false once the heap has blocks.  */
MM_PUBLIC int
mmcheck (void *md, void (*func) (void))
{
  return mmcheckf (md, func, 0);
}

/* The historical struct; a chunk is what is called a block today.  */
MM_PUBLIC struct mstats
mmstats (void *md)
{
  struct mmalloc_stats stats;
  if (mmalloc_stats (md, &stats) != 0)
    memset (&stats, 0, sizeof stats);
  return (struct mstats){ .bytes_total = stats.bytes_backed,
                          .chunks_used = stats.blocks_live,
                          .bytes_used = stats.bytes_live,
                          .chunks_free = stats.blocks_free,
                          .bytes_free = stats.bytes_free };
}

/* In the format of glibc's mtrace, for its scripts.  From here on no call of
   any thread takes a fast path.  */
MM_PUBLIC int
mmtrace (void)
{
  process_check ();
  const char *name = os_variable ("MALLOC_TRACE");
  if (name == NULL || name[0] == '\0' || word_peek (&process.trace_fd) >= 0)
    return 1;
  int fd = os_open (name, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0666);
  if (fd < 0)
    {
      fail_told (NULL, errno, "the trace file cannot be opened");
      return 0;
    }
  os_write_line (fd, "= Start\n", 8, 9);
  struct stat status;
  if (os_stat (fd, &status) == 0)
    process.trace = (struct file){ .dev = status.st_dev, .ino = status.st_ino };
  word_put (&process.slow, true);
  /* Seen by trace_event.  */
  word_publish (&process.trace_fd, fd);
  lock_registry ();
  cache_disarm_all (NULL);
  unlock_registry ();
  return 1;
}


/* ---- 60. Checkpoints, public calls -------------------------------------- */

/* Owns: nothing.
   Needs: no lock.
   Crash: as in the room of checkpoints.
   Keeps: nothing by itself.
   Checked by: checkpoints.  */

/* Call C, which has begun, is for heaps with checkpoints: take the log's lock.  0 or
   an errno value.  */
static int
commit_lock (struct call *c, struct reason *why)
{
  struct log *l = c->h->file.kind->backing == BY_LOG ? c->h->log : NULL;
  why->told[0] = '\0';
  if (l == NULL)
    return fail_because (why, EINVAL, "the heap is not open for checkpoints:"
                                      " MMALLOC_CHECKPOINT");
  int err = gate_lock (c->h, why);
  if (err == 0)
    point_end (l);
  return err;
}

/* Begin such a call, with the lock.  False: it has failed, and the error is
   recorded.  */
static bool
commit_begin (struct call *c, void *md, struct reason *why)
{
  if (!call_begin (c, md, CALL_CHANGES))
    return false;
  int err = commit_lock (c, why);
  return err == 0 || call_end (c, err, why->told) == 0;
}

/* End it.  */
static int
commit_end (struct call *c, int err, struct reason *why)
{
  pthread_mutex_unlock (&c->h->log->lock);
  fail_system (why, err);
  return call_end (c, err, why->told[0] != '\0' ? why->told : NULL);
}

/* One record, and nothing else, says that it is there.  */
MM_PUBLIC int
mmalloc_checkpoint_resume (void *md, void (*resume) (void *arg), void *arg)
{
  struct call c;
  struct reason why;
  bool begun = call_begin (&c, md, CALL_CHANGES);
  int err = begun ? commit_lock (&c, &why) : EINVAL;
  if (err == 0)
    return commit_end (&c, point_make (c.h, resume, arg, &why), &why);
  if (resume != NULL)
    resume (arg);
  return begun ? call_end (&c, err, why.told) : -1;
}

MM_PUBLIC int
mmalloc_checkpoint (void *md)
{
  return mmalloc_checkpoint_resume (md, NULL, NULL);
}

/* The image, and what is pending over it, are the last checkpoint.  */
MM_PUBLIC int
mmalloc_rollback (void *md)
{
  struct call c;
  struct reason why;
  bool unused;
  if (!commit_begin (&c, md, &why))
    return -1;
  int err = gate_close (c.h, &unused, &why);
  if (err == 0)
    {
      err = undo_rollback (c.h, &why);
      gate_open (c.h);
    }
  return commit_end (&c, err, &why);
}

/* What has changed is known when this returns; a thread writes it.  */
MM_PUBLIC int
mmalloc_checkpoint_start (void *md, unsigned long *ticket)
{
  struct call c;
  struct reason why;
  if (!commit_begin (&c, md, &why))
    return -1;
  return commit_end (&c, point_start (c.h, ticket, &why), &why);
}

/* A later one has what an earlier one had.  */
MM_PUBLIC int
mmalloc_checkpoint_wait (void *md, unsigned long ticket)
{
  struct call c;
  struct reason why;
  int err = 0;
  if (!commit_begin (&c, md, &why))
    return -1;
  struct log *l = c.h->log;
  if (ticket == 0 || ticket > l->started)
    err = fail_because (&why, EINVAL, "no checkpoint with ticket %lu was started,"
                                      " but %lu", ticket, l->started);
  else if (ticket > l->durable)
    err = l->failed;
  return commit_end (&c, err, &why);
}

/* The long way in: the first time, for another heap than the last one, or the gate
   is closed.  */
static MM_NOINLINE int
commit_enter (void *md)
{
  struct call c;
  if (!call_begin (&c, md, CALL_ASKS))
    return -1;
  struct cache *k = cache_use (c.h, md);
  if (k == NULL)
    return call_end (&c, ENOMEM, NULL);
  uint32_t inside = word_peek (&k->inside);
  int err = 0;
  if (inside != 0)
    word_put (&k->inside, inside + 1);
  else
    err = gate_enter (c.h, k);
  return call_end (&c, err, err != 0 ? "a checkpoint keeps the gate closed" : NULL);
}

/* The fast path: two words of memory, which nobody else writes but for a
   checkpoint.  */
MM_PUBLIC int
mmalloc_enter (void *md)
{
  struct cache *k = thread.last;
  if (MM_UNLIKELY (word_peek (&k->key) != (uintptr_t) md))
    return commit_enter (md);
  struct heap *h = word_peek (&k->heap);
  uint32_t inside = word_peek (&k->inside);
  word_put (&k->inside, inside + 1);
  /* The other side of it is the barrier of gate_close.  */
  word_fence_here ();
  if (MM_LIKELY (word_peek (&h->gate) == 0 || inside != 0))
    return 0;
  if (word_peek (&k->inside) == 1)
    gate_leave (h, k);
  return commit_enter (md);
}

MM_PUBLIC int
mmalloc_leave (void *md)
{
  struct cache *k = thread.last;
  struct call c = { .saved = errno };
  if (MM_UNLIKELY (word_peek (&k->key) != (uintptr_t) md))
    {
      if (!call_begin (&c, md, CALL_ASKS))
        return -1;
      k = cache_own (c.h);
    }
  uint32_t inside = k != NULL ? word_peek (&k->inside) : 0;
  if (MM_LIKELY (inside == 1))
    gate_leave (word_peek (&k->heap), k);
  else if (inside > 1)
    word_put (&k->inside, inside - 1);
  else
    {
      c.h = heap_of (md);
      return call_end (&c, EINVAL, "this thread is in no mmalloc_enter");
    }
  return 0;
}

/* From the records, with no lock while FN is called.  */
MM_PUBLIC int
mmalloc_changes (void *md, unsigned long since,
                 int (*fn) (void *start, size_t size, void *arg), void *arg)
{
  struct call c;
  struct reason why;
  struct changes list = { .n = 0 };
  int result = 0;
  if (!commit_begin (&c, md, &why))
    return -1;
  int err = changes_since (c.h, since, &list, &why);
  if (commit_end (&c, err, &why) != 0)
    result = -1;
  for (size_t i = 0; i < list.n && result == 0; i++)
    {
      char *page = (char *) c.h->file.base + list.change[i].page * MM_PAGE;
      uint64_t mask = list.change[i].mask;
      for (size_t at, n; result == 0 && bit_take_run (&mask, &at, &n) != 0;)
        result = fn (page + at * MM_GRANULE, n * MM_GRANULE, arg);
    }
  if (list.room != 0)
    os_give_memory (list.change, list.room * sizeof *list.change);
  return result;
}


/* ---- 61. Roots that are made once --------------------------------------- */

/* Owns: the operation records of roots that are being made, which tell others
   that they have to wait and for whom.
   Needs: no lock.
   Crash: in the room of the dead: the root has the block, or it is freed.  Who
   waits for a maker looks whether it died, and makes the root then.

   A name that is being made has a record without a value, as one that was
   forgotten, and an operation record whose slot is that value.  All but the
   program's function happens under the heap lock: to see that nobody has made
   or makes the root and to begin, to wait for somebody, to publish.  So a
   circle of threads that wait is seen by the one who would close it: all roots
   that a thread is making say for which other one it waits.  mmalloc_setroot
   does not wait: a maker who finds the root there when it would publish throws
   its own away.
   Keeps: nothing by itself.
   Checked by: model_makeroot, makeroot, makeroot_processes, step.  */

/* What mmalloc_makeroot is asked for.  */
struct wish
{
  void *md;
  const char *name;
  size_t len, size;
  int (*init) (void *root, size_t size, void *arg);
  void *arg;
};

/* No errno values: look again, there may be a root by now; after a pause.  */
enum { MAKER_AGAIN = -2, MAKER_WAITS = -3 };

/* The record of the root that OP makes, or NULL.  */
static struct disk_name *
maker_record (struct heap *h, struct disk_op *op)
{
  return root_at (h, word_peek (&op->slot)
                       - offsetof (struct disk_name, value));
}

/* Whether OP, which makes a root, makes that of W.  */
static bool
maker_is_for (struct heap *h, struct disk_op *op, const struct wish *w)
{
  struct disk_name *root = maker_record (h, op);
  if (root == NULL || word_peek (&root->len) != w->len)
    return false;
  size_t i = 0;
  while (i < w->len && word_peek (&root->name[i]) == w->name[i])
    i++;
  return i == w->len;
}

/* The process that makes the root of W, or 0.  For words: without the lock, it
   may be another one.  */
static uint64_t
maker_of (struct heap *h, const struct wish *w)
{
  for (unsigned i = 0; i < MM_OPS; i++)
    if (op_makes_root (&h->op[i]) && maker_is_for (h, &h->op[i], w))
      return word_peek (&h->op[i].owner);
  return 0;
}

/* What OP is called by those who wait for it, until it is released.  */
static uint64_t
maker_number (struct heap *h, struct disk_op *op)
{
  return word_peek (&op->turn) << 8 | (uint64_t) (op - h->op);
}

/* The one that is called NUMBER; NULL: there is none, or none any more.  */
static struct disk_op *
maker_numbered (struct heap *h, uint64_t number)
{
  struct disk_op *op = &h->op[number % 256 % MM_OPS];
  return op_makes_root (op) && maker_number (h, op) == number ? op : NULL;
}

/* Whether the root that OP makes has been set by somebody else.  */
static bool
maker_is_late_locked (struct heap *h, struct disk_op *op)
{
  MM_NEEDS (needs_heap_lock (h));
  struct root_walk walk;
  char name[MM_NAME_MAX + 1];
  struct disk_name *root = maker_record (h, op);
  size_t len = 0;
  if (root != NULL)
    len = size_min (word_peek (&root->len), MM_NAME_MAX);
  for (size_t i = 0; i < len; i++)
    name[i] = word_peek (&root->name[i]);
  name[len] = '\0';
  return len > 0 && root_find (h, name, len, &walk) != NULL;
}

/* Wait for OP, unless it waits for this thread.  What is said here needs not be
   taken back: with OP's end there is none with its number any more; and for a
   root that somebody else has set meanwhile nobody waits.  */
static int
maker_wait_locked (struct heap *h, struct disk_op *op)
{
  MM_NEEDS (needs_heap_lock (h));
  struct disk_op *at = op;
  for (unsigned i = 0; i < MM_OPS && at != NULL; i++)
    {
      if (op_is_ours (h, at))
        return EDEADLK;
      at = maker_numbered (h, word_peek (&at->moved));
      if (at != NULL && maker_is_late_locked (h, at))
        break;
    }
  /* Not before: who is refused waits for nobody.  */
  for (unsigned i = 0; i < MM_OPS; i++)
    if (word_peek (&h->op[i].owner) == h->id && op_is_ours (h, &h->op[i]))
      word_put (&h->op[i].moved, maker_number (h, op));
  return MAKER_WAITS;
}

/* Begin to make the root of W, which WALK has not found, with record OP: 0 or
   ROOT_NO_SLICE.  */
static int
maker_begin_locked (struct heap *h, const struct wish *w,
                    struct root_walk *walk, struct disk_op *op)
{
  MM_NEEDS (needs_heap_lock (h));
  disk_u64 *link = NULL;
  struct disk_name *root = root_record_locked (h, walk, w->len, &link);
  if (root == NULL)
    return ROOT_NO_SLICE;
  root_write_locked (root, w->name, w->len,
                     (uint32_t) sum_bytes (w->name, w->len));
  if (link != NULL)
    /* Seen by root_step.  */
    word_publish (link, off_file (h, root));
  h->making[op - h->op].turn = word_peek (&op->turn);
  word_put (&h->making[op - h->op].by, thread.number);
  word_put (&op->moved, 0);
  word_put (&op->slot, off_file (h, &root->value));
  /* Release: it makes the record that of a root, and so comes last.  */
  word_settle (&op->from, MM_MAKES_ROOT);
  return 0;
}

/* Look who makes the root of W.  0: this thread, from now on, with record OP.
   */
static int
maker_look_locked (struct heap *h, const struct wish *w, struct disk_op *op)
{
  MM_NEEDS (needs_heap_lock (h));
  struct root_walk walk;
  unsigned makes = 0, ours = 0;
  if (root_find (h, w->name, w->len, &walk) != NULL)
    return MAKER_AGAIN;
  if (walk.damaged)
    return EBADMSG;
  for (unsigned i = 0; i < MM_OPS; i++)
    {
      if (!op_makes_root (&h->op[i]))
        continue;
      if (maker_is_for (h, &h->op[i], w))
        return maker_wait_locked (h, &h->op[i]);
      makes++;
      ours += op_is_ours (h, &h->op[i]);
    }
  /* Who makes one already does not wait for room.  */
  if (makes >= MM_MAKES)
    return ours > 0 ? ENOLCK : MAKER_WAITS;
  return maker_begin_locked (h, w, &walk, op);
}

/* The root that OP makes becomes block P, unless there is one by now.  */
static int
maker_publish (const struct wish *w, struct heap *h, struct disk_op *op,
               void *p, struct reason *why)
{
  struct root_walk walk;
  if (!lock_heap (h))
    return ETIMEDOUT;
  bool there = root_find (h, w->name, w->len, &walk) != NULL;
  struct disk_name *root = maker_record (h, op);
  bool damaged = walk.damaged || root == NULL;
  if (!there && !damaged)
    {
      /* If we die: nobody has the lock before somebody has looked whether the
         root has the block.  */
      word_settle (&op->locked, 1);
      /* Seen by root_read.  */
      word_publish (&root->value, (uintptr_t) p);
      word_settle (&op->fresh, 0);
      word_settle (&op->locked, 0);
    }
  unlock_heap (h);
  return there     ? MAKER_AGAIN
         : damaged ? fail_because (why, EBADMSG, root_broken)
                   : 0;
}

/* Free block P of OP, which did not become a root.  */
static void
maker_discard (const struct wish *w, struct heap *h, struct disk_op *op,
               void *p)
{
  static const char call[] = "mmalloc_makeroot";
  struct place block, user;
  if (free_place (h, call, w->md, p, &block, &user) == NULL)
    {
      trace_event ('-', p, 0, false);
      word_put (&op->old, off_file (h, block.start));
      /* Release: the block is on record at any time.  */
      word_settle (&op->fresh, 0);
      realloc_leave (call, w->md, h, p, &block, op);
    }
  else
    op_release (h, op);
}

/* Make the root of W, *VALUE, with record OP.  0, MAKER_AGAIN or an errno
   value.  */
static int
maker_make (const struct wish *w, struct heap *h, struct disk_op *op,
            uint64_t *value, struct reason *why)
{
  unsigned forks = h->forks;
  thread.op = op;
  void *p = alloc_any (w->md, w->size, 16, ALLOC_ZERO | ALLOC_PART);
  thread.op = NULL;
  int err = p != NULL ? 0 : errno;
  int stop = p != NULL && w->init != NULL ? w->init (p, w->size, w->arg) : 0;
  process_check ();
  if (h->forks != forks)
    {
      word_put (&h->making[op - h->op].by, 0);
      return fail_because (why, ECANCELED, "the process is a fork of the one"
                                           " that makes the root");
    }
  if (stop != 0)
    err = fail_because (why, ECANCELED, "the root was not made: its function"
                                        " gave %d", stop);
  if (err == 0)
    err = maker_publish (w, h, op, p, why);
  if (err != 0 && p != NULL)
    maker_discard (w, h, op, p);
  else
    op_release (h, op);
  *value = (uintptr_t) p;
  return err;
}

/* Make the root of W, *VALUE, unless somebody has made it or makes it.  0,
   MAKER_AGAIN, MAKER_WAITS or an errno value.  */
static int
maker_try (const struct wish *w, struct heap *h, uint64_t *value,
           struct reason *why)
{
  bool swept = false;
  int err = heap_may_change (h, why);
  if (err != 0)
    return err;
  /* Nobody waits for the dead, nor do they wait.  */
  if (!dead_bury_all (h))
    return ETIMEDOUT;
  struct disk_op *op = slot_begin (h, (void *) h->file.base, NULL);
  if (op == NULL)
    return ETIMEDOUT;
  err = ETIMEDOUT;
  if (lock_heap (h))
    {
      err = maker_look_locked (h, w, op);
      unlock_heap (h);
    }
  if (err == 0)
    return maker_make (w, h, op, value, why);
  op_release (h, op);
  if (err == ROOT_NO_SLICE)
    return (err = root_slice (h, &swept)) == 0 ? MAKER_AGAIN : err;
  return err == EDEADLK
           ? fail_because (why, err, "this thread makes the root, or one that"
                                     " its maker waits for")
         : err == ENOLCK
           ? fail_because (why, err, "%d roots are being made", MM_MAKES)
         : err == EBADMSG ? fail_because (why, err, root_broken)
                          : err;
}

/* Whether the root with VALUE, which was there, has the bytes that W asks for.
   */
static int
maker_room (const struct wish *w, struct heap *h, uint64_t value,
            struct reason *why)
{
  struct place at;
  const char *p = (char *) h->file.base + (value - h->super.base);
  if (place_find (h, p, true, &at) != NULL)
    return fail_because (why, EINVAL, "the root is 0x%lx, which is in no block"
                                      " of the heap", (unsigned long) value);
  size_t room = (size_t) (at.start + at.usable - p);
  if (word_peek (&h->root->guards) != 0 && p == guard_find (h, &at))
    guard_is_intact (h, &at, p, &room);
  if (room < w->size)
    return fail_because (why, EINVAL, "the root has %zu bytes, not %zu", room,
                         w->size);
  return 0;
}

/* Find or make the root of W: *VALUE.  0 or an errno value.  */
static int
maker_root (const struct wish *w, struct heap *h, uint64_t *value,
            struct reason *why)
{
  struct root_walk walk;
  uint64_t unfit = 0, since = 0;
  unsigned pauses = 0;
  size_t mapped = word_peek (&h->file.mapped);
  int err;
  do
    {
      *value = root_find (h, w->name, w->len, &walk) != NULL ? walk.value : 0;
      if (walk.damaged)
        {
          err = heap_doubt (h, &mapped, root_broken, why);
          if (err != 0)
            return err;
          err = MAKER_AGAIN;
        }
      else if (*value == 0)
        err = maker_try (w, h, value, why);
      else
        {
          err = maker_room (w, h, *value, why);
          /* Another may have put another block there meanwhile.  */
          if (err == 0 || *value == unfit)
            return err;
          unfit = *value;
          err = MAKER_AGAIN;
        }
      if (err == MAKER_WAITS
          && lock_is_late (h, &since, maker_of (h, w), "the root in the making"))
        return ETIMEDOUT;
      if (err == MAKER_WAITS)
        os_pause (pauses++, 22);
    }
  while (err == MAKER_AGAIN || err == MAKER_WAITS);
  return err;
}

/* INIT runs without a lock and may call what it likes.  A thread gets the
   number that others know it by when it first makes a root.  */
MM_PUBLIC void *
mmalloc_makeroot (void *md, const char *name, size_t size,
                  int (*init) (void *root, size_t size, void *arg), void *arg)
{
  struct call c;
  struct wish w = { md, name, name != NULL ? strlen (name) : 0, size, init,
                    arg };
  struct reason why = { "" };
  uint64_t value = 0;
  if (!call_begin (&c, md, CALL_LOOKS))
    return NULL;
  if (size == 0)
    return call_end (&c, EINVAL, "a root that is made has a size"), NULL;
  if (thread.number == 0)
    thread.number = word_add (&process.n_makers, 1) + 1;
  int cancel = os_hold_cancel (), err = root_length (w.len, &why);
  if (err == 0)
    err = maker_root (&w, c.h, &value, &why);
  os_let_cancel (cancel);
  if (err != 0 && why.told[0] == '\0')
    return fail_room (c.h, err, size), NULL;
  call_end (&c, err, why.told);
  return err == 0 ? (void *) (uintptr_t) value : NULL;
}
