/* mmalloc.h - malloc, realloc and free that take one more argument: the heap.

   A heap is a region of address space, backed by anonymous memory or by a
   file.  A file heap outlives its process: open the file again and every
   pointer stored in it is valid, because it comes back at the same address.

       void *md = mmalloc_open ("table.heap", MMALLOC_CREATE, NULL);
       struct table *t = mmalloc_makeroot (md, "table", sizeof *t, NULL, NULL);
       t->runs++;
       mmalloc_detach (md);

   Rules that hold for every call, unless its comment says otherwise:

   - MD is a heap as mmalloc_open or mmalloc_attach returned it; it equals the
     lowest address of the heap, in every process and after every restart.
     NULL stands for the default heap: private, anonymous, made on first use.
   - Sizes are bytes.  Blocks are aligned to 16 bytes.
   - Calls may be made from any thread at any time, but not from a signal
     handler.  None of them is a cancellation point: a cancellation that is
     pending stays so until the call has returned, in functions that a call
     hands blocks, roots or findings to as well.  Do not make a thread that
     calls the library cancellable at any moment (PTHREAD_CANCEL_ASYNCHRONOUS).
   - A call that fails changes nothing, sets errno, and leaves a reason for
     mmalloc_errno and mmalloc_strerror.  A call that succeeds leaves errno
     alone.  ENOMEM: no address space or memory; ENOSPC: the file system or
     the heap's maximum is full; EFBIG: the file size limit is reached;
     EROFS: the heap was opened read-only.
   - Misuse (a block freed twice, a pointer the heap never gave out) is
     reported to the handler of mmalloc_onmisuse; the default one writes a
     line to standard error and aborts.
   - The handler of misuse, and the function of mmcheck, may be left by longjmp,
     by the end of the thread or by a C++ exception; the call has changed
     nothing then.  Other functions that a call is given must return to it.  If
     one does not, the heap stays whole and in use, but the thread can be
     cancelled no more, this process cuts the heap's file no more before it
     detaches it, and after mmalloc_makeroot, mmalloc_region_open and
     mmalloc_check others may wait until this process has ended.
   - fork: the child of a process with an anonymous heap goes on with its own
     copy; in the child of a process with a file heap the heap is attached
     anew on first use, shared with the parent.
   - A call may have to wait for another process that uses the heap and is
     stopped, for as long as that is; nobody takes its locks while it lives.
     With the option `wait' a call fails with ETIMEDOUT after that time, names
     the process, and has changed nothing: it may be made again.  Blocks of up
     to 32 KiB come and go without waiting as long as there is room for them.
     mfree sets errno then, and the block stays live.  mmalloc_detach does not
     fail: this process leaves the heap like one that was killed.  The end of a
     thread waits no longer either.
   - A process killed at any instruction leaves the heap whole.  A block whose
     pointer was not stored yet stays allocated; see mmalloc_to.

   Callable from C89 and C++.  Manual: mmalloc(3), mmalloc(7), mmalloc(5).  */

#ifndef MMALLOC_H
#define MMALLOC_H 1

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this header; mmalloc_version gives that of the library.  */
#define MMALLOC_VERSION "0.1.0"

/* No function has attributes that tell the compiler where else a block is not
   used, or how long it is: a block in a file outlives every reference to it, so
   each store counts, and mmalloc_usable_size tells of more than was asked
   for.  */


/* ---- Opening and closing -------------------------------------------- */

/* Flags of mmalloc_open.  */
#define MMALLOC_CREATE    0x01 /* make the heap if the file is missing or
                                  empty */
#define MMALLOC_EXCL      0x02 /* with MMALLOC_CREATE: fail with EEXIST if the
                                  file holds anything */
#define MMALLOC_RDONLY    0x04 /* read only; needs read permission alone; any
                                  number of readers beside the writers.  Where
                                  the whole reservation cannot be mapped, what
                                  the heap grows by is mapped by calls that ask
                                  for something in it, as mmalloc_getroot */
#define MMALLOC_PRIVATE   0x08 /* copy on write: changes stay in this process
                                  and are gone at detach; needs read permission
                                  alone; EBUSY while others write */
#define MMALLOC_ELSEWHERE 0x10 /* read only and at any free address, for tools:
                                  pointers inside the heap are then invalid */
#define MMALLOC_SINGLE_WRITER 0x20 /* fail with EBUSY if another process has the
                                  heap open for writing, and let none open it so
                                  while this one has it; readers may */
#define MMALLOC_NOWAIT    0x40 /* fail with EAGAIN where the opening would wait
                                  while others open or close a heap */

#define MMALLOC_CHECKPOINT 0x80 /* all that is stored goes to the file together,
                                  by mmalloc_checkpoint, or not at all; one
                                  process; see there */
#define MMALLOC_NO_THREAD 0x100 /* with MMALLOC_CHECKPOINT: no thread is made that
                                  waits for the disk when half of the log is
                                  full; the call does */

/* Options of mmalloc_open.  Start from MMALLOC_OPTIONS_INIT; zero in any
   other member means the default.  */
struct mmalloc_options
{
  size_t size;               /* sizeof (struct mmalloc_options) */
  int fd;                    /* used when path is NULL: an open file, which
                                stays open and the caller's; negative:
                                an anonymous heap */
  unsigned int mode;         /* permissions of a new file; 0: 0666; the umask
                                applies */
  void *base;                /* address of a new heap, page aligned, with a
                                smaller reservation if something lies behind;
                                NULL: a free place is found.  An existing heap
                                comes back where it was, whatever this says.
                                The unused reservation of another heap gives
                                way: that one ends here */
  size_t reserve;            /* address space set aside for a new heap, which
                                it can never outgrow; 0: 64 GiB */
  size_t initial;            /* bytes of the new heap to back at once; as many
                                as the maximum: a file of just that length */
  size_t maximum;            /* limit of a new heap's size, file length
                                included; 0: the reservation */
  unsigned long app_version; /* stored in a new heap; an existing one must
                                have the same, or the open fails with EPROTO;
                                0: any */
  unsigned int streams;      /* locks of a new heap for threads that share, up
                                to 512; 0: one.  One thread for each 4 MiB of
                                the maximum, up to 1000, works without lock */
  size_t trim_threshold;     /* when this process has freed about so many bytes
                                since the last time, and an eighth of what the
                                heap has, the call that frees gives back what
                                mmalloc_trim does, but for the end of the file;
                                0: only mmalloc_trim gives back.  Not for
                                readers and MMALLOC_PRIVATE, and as the first
                                opening in a process says */
  unsigned int wait;         /* milliseconds that a call of this process may
                                wait, in all, for others that use the heap and
                                do not go on, as stopped processes; then it
                                fails with ETIMEDOUT, see below; 0: as long as
                                it takes.  As the first opening in a process
                                says */
  size_t log;                /* bytes of a new log, with MMALLOC_CHECKPOINT: 64
                                KiB to 4 times the capacity, else EINVAL; 0: 16
                                MiB, or a quarter of a small heap.  A checkpoint
                                that needs a larger one makes it */
};
#define MMALLOC_OPTIONS_INIT \
  { sizeof (struct mmalloc_options), -1, 0, NULL, 0, 0, 0, 0, 0, 0, 0, 0 }

/* Open the heap in file PATH, or in the file OPT->fd if PATH is NULL, or an
   anonymous one if both are missing.  OPT may be NULL.  Returns the heap, or
   NULL: EINVAL (flags, options, the file is no heap, or it is empty and
   MMALLOC_CREATE is not given), ENOENT, EEXIST,
   EACCES, EADDRINUSE (something else sits where the heap is in use; the reason
   names it), EBADMSG (truncated or damaged), ENOTSUP (made by a newer version
   or another kind of machine, or in use on another machine, or by another path
   over overlayfs in another PID namespace), EPROTO (other
   application version), EBUSY (MMALLOC_PRIVATE against writers, writers
   against it, a single writer against others, who are named, attached to this
   process in another way, locked by others, or open for writing by a program
   with an older version of the library),
   EDEADLK (locked by this process itself), ETIMEDOUT (waited as long as
   OPT->wait says), ENOLCK (too many processes), ENOMEM
   (ulimit -v) and EAGAIN (RLIMIT_MEMLOCK after mlockall): there is no address
   space for what is in use; EAGAIN (MMALLOC_NOWAIT, the reason names who is in
   the way), or what the file system said.  A file that is
   neither empty nor a heap is not touched; where a heap could not be made, a
   missing file is missing still and an empty one empty.
   Opening takes a time independent of the heap's size, after a kill too.
   Opening the same file again in one process gives the same heap and counts;
   each needs its mmalloc_detach.  A single writer is one until the last of them,
   or until its process ends in any way; its fork child cannot use the heap
   (EBUSY) before that, and is a single writer then.  */
void *mmalloc_open (const char *path, int flags,
                    const struct mmalloc_options *opt);

/* The historical way in.  FD < 0: an anonymous heap at BASE.  FD an empty
   file open for reading and writing: a new heap at BASE.  FD a heap file:
   that heap, at its own address, BASE is ignored.  BASE NULL: a free place.
   FD stays open and the caller's; the heap does not need it any more.
   Returns the heap or NULL, errors as above; EACCES if FD is read-only.  */
void *mmalloc_attach (int fd, void *base);

/* Let the heap go.  Its blocks stay in the file; nothing is flushed to disk
   (see mmalloc_sync).  Other threads must have stopped using the heap; what
   they cached of it is given back.  Returns NULL, or MD on failure.  With a
   NULL or an unknown MD nothing happens: NULL, or MD and EINVAL.  */
void *mmalloc_detach (void *md);

/* An address where a heap of SIZE bytes and of the default reservation fits
   now, for mmalloc_attach, or NULL and ENOMEM.  Nothing is reserved: another
   thread may take the place first.  */
void *mmalloc_findbase (size_t size);

/* The heap the pointer lies in, among those attached to this process, or
   NULL.  PTR need not be a block.  errno stays as it is.  */
void *mmalloc_find (const void *ptr);

/* What a file is, and what is known of an open one.  */
enum
{
  MMALLOC_FILE_OTHER,        /* no heap; perhaps a map file, see below */
  MMALLOC_FILE_EMPTY,        /* empty, or a heap or map file whose making was
                                cut short: MMALLOC_CREATE makes it anew */
  MMALLOC_FILE_HEAP
};
struct mmalloc_info
{
  int kind;                  /* MMALLOC_FILE_ ... */
  unsigned int format;       /* version of the file format, mmalloc(5); 0: no
                                heap */
  void *base;                /* the address that is recorded */
  size_t length;             /* bytes in use, as mmalloc_stats says */
  size_t capacity;           /* the heap can grow to this length */
  size_t file_size;          /* bytes; 0: anonymous memory */
  unsigned long app_version; /* of mmalloc_options */
  unsigned long magic;       /* first word of the file */
  unsigned long generation;  /* counts the superblocks written */
  unsigned int streams;      /* locks for threads that share */
  unsigned int opened;       /* how often this process has it open */
  int in_use;                /* somebody has it open for writing; who came by
                                another path over overlayfs is not seen */
  int clean;                 /* the last who had closed it; with neither of the
                                two, he was killed or the machine went down */
  int guards;                /* mmcheck is on */
  int went_down;             /* the machine did while somebody had it open for
                                writing, and nobody has closed it since; its
                                opening closes nothing: have mmalloc_check look
                                what the disk has got.  Where the kernel gives
                                boots no names always 0 */
  unsigned char uuid[16];    /* drawn when the file was made; zero if it is not
                                a file */
  size_t users;              /* processes that have it open for writing;
                                mmalloc_probe counts those whose locks it
                                sees */
  size_t mapped;             /* bytes of the region that this process has
                                mapped, in use or set aside; 0 from
                                mmalloc_probe */
  unsigned long checkpoint;  /* the number of the last one; 0: there was none.
                                From mmalloc_probe, of the last that is in the
                                heap's place in the file */
  size_t reserved[5];        /* zero */
};

/* What file PATH, or if PATH is NULL the open file FD, is; read permission is
   enough, nothing is mapped or changed, and nobody is kept waiting.  0, or -1
   and the error that opening it would give (EBADMSG: damaged, ENOTSUP: of
   another version or machine) or that prevented a look (EACCES, ENOENT, EINVAL:
   not a regular file); INFO has what could be learned, and zero else.  The
   answer may be old when it is there, if others work on the file.  */
int mmalloc_probe (const char *path, int fd, struct mmalloc_info *info);

/* The same of a heap, or a region, that this process has open.  0, or -1 and
   EINVAL.  */
int mmalloc_info (void *md, struct mmalloc_info *info);

/* Call FN for each process that has heap or region MD open for writing; a result
   other than 0 ends the round and is returned.  MD may be open here in any way,
   also read-only and elsewhere.  Who only reads, or has a private copy, is in no
   list.  Waits for nobody, and makes a fork child no user.  FN may call the
   library.  -1 and EINVAL, if there is no MD.  Anything may stand in a damaged
   file's list, and what it says be wrong, but no call of FN is.  */
struct mmalloc_user
{
  long pid;             /* as seen from here; 0: of another PID namespace, or it
                           is not known */
  long since;           /* seconds since 1970 when it opened the heap; 0: not
                           known, as in anonymous memory and regions */
  size_t mapped;        /* bytes of the heap that it could map, beyond which the
                           heap cannot grow while it has it; 0: not known */
  int self;             /* it is this process */
  int alive;            /* 0: it has died, and what it left was not put in order
                           yet */
  int single_writer;    /* MMALLOC_SINGLE_WRITER */
  int zero;
  size_t reserved[4];   /* zero */
};
int mmalloc_users (void *md,
                   int (*fn) (const struct mmalloc_user *user, void *arg),
                   void *arg);

/* Why the last failing call on MD failed: an errno value, 0 if none did.
   MD NULL: this thread's last failure without a file heap, so also of a
   failed open or attach.  */
int mmalloc_errno (void *md);

/* The same in words, never NULL.  The string is this thread's, good until its
   next call of mmalloc_strerror, or its end.  Without memory for it, and in
   destructors that run after the library's as the thread ends, the words are
   those that strerror has for the number.  */
const char *mmalloc_strerror (void *md);

/* The version of the library in use.  */
const char *mmalloc_version (void);


/* ---- Blocks ---------------------------------------------------------- */

/* Free block PTR of heap MD.  NULL: nothing happens.  Misuse is reported:
   a free, an interior or a foreign pointer.  errno is kept.  A read-only
   heap is left alone, with errno EROFS.  With ETIMEDOUT, see above, the block is
   live as before and can be freed again.  */
void mfree (void *md, void *ptr);

/* A block of at least SIZE bytes, contents undefined; NULL if SIZE is 0 (errno
   untouched) or on failure.  */
void *mmalloc (void *md, size_t size);

/* As mmalloc for NMEMB * SIZE bytes, all zero; ENOMEM if the product
   overflows.  */
void *mcalloc (void *md, size_t nmemb, size_t size);

/* Make block PTR at least SIZE bytes long, moving it if needed; its contents
   stay up to the smaller size.  PTR NULL: mmalloc.  SIZE 0: the block is
   freed, NULL.  On failure NULL, and the old block stays as it was.  Killed
   between moving and the caller's storing the result, the caller's old
   pointer is stale: mrealloc_in has no such moment.  */
void *mrealloc (void *md, void *ptr, size_t size);

/* mrealloc to NMEMB * SIZE bytes; ENOMEM if the product overflows.  */
void *mreallocarray (void *md, void *ptr, size_t nmemb, size_t size);

/* A block at a multiple of ALIGNMENT, a power of two up to 1 GiB, else NULL
   and EINVAL.  An ordinary block for all other calls.  */
void *mmemalign (void *md, size_t alignment, size_t size);

/* A block at a multiple of the page size.  */
void *mvalloc (void *md, size_t size);

/* How many bytes of block PTR may be used, at least what was asked for; 0 for
   NULL.  Misuse is reported, then 0.  */
size_t mmalloc_usable_size (void *md, const void *ptr);


/* ---- Blocks that a word in the heap points to -------------------------- */

/* The same calls for a pointer that lies in the heap itself.  SLOT is an
   aligned word in a live block of heap MD, or EINVAL; a variable of the
   program's own is none.  The library stores the
   result there, with release order, so that block and slot change together:
   killed at any instruction, the call has happened or has not; no block is
   lost, and at no moment does the slot point to a block that is free.
   Each returns 0, or -1 and an error, and then the slot is as it was.  Two
   threads must not change one slot at once, as with any variable.

   What a killed process left undone is finished when the heap is next opened
   by a first process, or by mmalloc_recover; until then others must not change
   a slot that the dead one may have been changing.  Not more than 60 of these
   calls are under way in a heap at once; others wait.  A fork child of a file
   heap's process has none of its parent's calls; those that other threads had
   under way in an anonymous heap end in the child as after a kill.

   Stores of the program's own are no such calls.  A compiler may leave out,
   delay or swap them, since it does not know of kills: of "list->first = item;
   list->spare = NULL" the second may be done first.  So a pointer goes from one
   word of the heap to another by mmalloc_move, and into one word alone by
   mmalloc_publish.  */

/* Put a new block of SIZE bytes into *SLOT, NULL if SIZE is 0.  What was there
   is not looked at.  */
int mmalloc_to (void *md, void **slot, size_t size);

/* Make the block in *SLOT at least SIZE bytes long, as mrealloc; if it moves,
   the slot changes before the old block is freed.  *SLOT NULL: a new block.
   SIZE 0: the block is freed and the slot NULL.  */
int mrealloc_in (void *md, void **slot, size_t size);

/* Set *SLOT to NULL and free the block that was in it, if any.  */
int mfree_from (void *md, void **slot);

/* Move the block that *FROM points to into *TO; *FROM is NULL then.  What was
   in *TO is not looked at, as by mmalloc_to: who needs it has put it elsewhere,
   as the next of an item that goes in front of a list.  Killed at any
   instruction, *TO has the block or *FROM has it, never both once the call is
   ended as said above, never none, and all that was stored before is there.
   *TO changes first: another thread may see the block in both for a moment.
   *FROM NULL, or TO and FROM the same: nothing happens, so the call may be made
   again.  EINVAL: one is no slot, as a variable of the program's own; or, after
   the handler of misuse, *FROM is no live block.  It does not allocate.  */
int mmalloc_move (void *md, void **to, void **from);

/* End the calls above that processes have left unfinished by their death, and
   make their memory usable.  All such calls that were under way in other
   processes when this one began have ended one way or the other when it
   returns; it waits for those of processes that live.  To be called by whoever
   learns that a neighbour died, from a mark under a lock of the program's own
   for instance (examples/cache.c), before it changes slots of the dead one.  0,
   or -1 and an error, as ETIMEDOUT after which some of them may have ended.  */
int mmalloc_recover (void *md);

/* mmalloc_publish (&SLOT, VALUE): SLOT = VALUE, one store, for a pointer or an
   integer of a word or less, aligned.  What the program has stored before is
   stored before it, what comes after is stored after it: for whoever reads SLOT
   with acquire order, and for whoever comes after a kill.  To be used where a
   plain store makes new data part of a structure in the heap, or takes it out.
   No call: it needs no heap, waits for nothing, fails never, and the word may
   lie anywhere.  It does not write to the disk.  A macro in C, which evaluates
   each argument once, a function in C++.  */
#ifndef __cplusplus
# define mmalloc_publish(slot, value)                                         \
  (__atomic_signal_fence (__ATOMIC_SEQ_CST),                                  \
   __atomic_store_n ((slot), 1 ? (value) : *(slot), __ATOMIC_RELEASE),        \
   __atomic_signal_fence (__ATOMIC_SEQ_CST))
#endif


/* ---- Finding things again -------------------------------------------- */

/* Sixteen words for the program, KEYNUM 0 to 15, NULL at first.  Values are
   never interpreted.  One store each, so a kill leaves the old or the new.
   mmalloc_setkey gives 1; or 0 for a bad number or a NULL MD (EINVAL) and on
   a read-only heap (EROFS).  mmalloc_getkey gives NULL for those.  */
int mmalloc_setkey (void *md, int keynum, void *key);
void *mmalloc_getkey (void *md, int keynum);

/* Named roots, as many as wanted.  NAME is any string of 1 to 1000 bytes.
   Setting NULL forgets the name.  Setting is atomic to threads, processes and
   kills.  mmalloc_setroot gives 0 or -1 (EINVAL for a bad name, ENAMETOOLONG,
   EBUSY for the block of a mmalloc_makeroot under way, or no room).
   mmalloc_getroot gives NULL if there is no such root, errno untouched.  A root
   that was there at the last mmalloc_sync, and was left alone since, is found
   after a power cut.  One that came later may be gone, or the two calls fail
   with EBADMSG, for it and for names that are not there and lie in the same
   part of the file: never is damage taken for a root that is not there.  */
int mmalloc_setroot (void *md, const char *name, void *ptr);
void *mmalloc_getroot (void *md, const char *name);

/* Find the root NAME, or make it: a block of SIZE bytes, zeroed, which INIT, if
   not NULL, has filled before anybody can find it.  Of all threads and
   processes that want the root at once one makes it and the others wait, so
   INIT runs once for each root; killed at any instruction there is no root, or
   the whole one, and no block is lost.  Returns the block, or NULL and:
   EINVAL     NAME or SIZE is bad; or the root is there, and not the beginning
              of at least SIZE bytes in a block: the reason names both numbers
   ECANCELED  INIT gave something other than 0: there is no root, the block is
              freed; also in a fork child of INIT, see below
   EDEADLK    called from INIT for the root that is being made, or for one whose
              maker waits for that; in one heap, that is
   ENOLCK     called from INIT while 40 roots are being made in the heap
   EBADMSG    as mmalloc_getroot
   or as mmalloc: EROFS if there is no such root in a read-only heap.

   INIT holds no lock and may call the library, also mmalloc_makeroot for
   another root, and take its time; it must not free the block, give it a name
   or a key of its own (it has none before INIT returns 0), nor detach the heap.
   A cancellation waits until it returns.  Others wait for the maker as long as
   he lives, also if he is stopped; if he is killed, or his thread ends in INIT,
   one of them makes the root.  If he jumps out of INIT, that is when his thread
   ends or his process detaches the heap.  Other blocks that INIT has allocated
   are lost if the root is not made, unless it frees them.  A mmalloc_setroot of
   the name does not wait: what it sets stays, and the maker throws his block
   away and returns that, if it is large enough.  A fork child made within INIT
   must leave the block alone, and the call ends in it with ECANCELED: the root
   is its parent's to make.  */
void *mmalloc_makeroot (void *md, const char *name, size_t size,
                        int (*init) (void *root, size_t size, void *arg),
                        void *arg);

/* Call FN for each root, in no order; a result other than 0 ends the round
   and is returned.  FN may call the library.  -1 and EBADMSG, after all roots
   that can be found, if there are others that cannot.  */
int mmalloc_roots (void *md,
                   int (*fn) (const char *name, void *ptr, void *arg),
                   void *arg);


/* ---- What each process has of its own ---------------------------------- */

/* A page in the heap that each process has its own memory in: SIZE bytes, up to
   MMALLOC_LOCAL_MAX, at one address in all processes and after every restart;
   zero in each process when it has opened the heap, its alone, and gone with
   the detach.  For what means nothing to others but has to be found from the
   heap: tables of functions, C++ objects with virtual functions, caches.

   The first call on a heap sets the place aside for ever, 16 KiB; all calls
   give the same address, so a program shares it out by itself.  Fill it before
   following pointers into it: a process that had the heap open before that
   first call finds zeros there until it makes a call itself, and must not write
   to them; one that opens the heap later has its page at once.  Returns the
   page, or NULL: EINVAL (SIZE; MMALLOC_ELSEWHERE), EROFS (read-only, and no
   writer has made the first call), EBADMSG (the file is damaged there), or no
   room as mmalloc.  Any number of threads may call it at once.  A fork child
   has a copy of its parent's page.  The page is no block: it cannot be freed,
   has no slots for mmalloc_to, and is in no file; a kill in the first call may
   waste one slice of 16 KiB.  */
#define MMALLOC_LOCAL_MAX 16384
void *mmalloc_local (void *md, size_t size);


/* ---- Disk and memory ------------------------------------------------- */

/* Write everything stored so far to the disk and wait: 0, or -1 and EIO or
   what else went wrong.  Nothing to do for an anonymous heap: 0.  */
int mmalloc_sync (void *md);


/* ---- Checkpoints ------------------------------------------------------- */

/* Of a heap that was opened with MMALLOC_CHECKPOINT.  What is stored in it stays
   in this process until a checkpoint puts all of it into the file at once:
   killed or cut off from power at any moment, the heap is found as at the last
   call that returned 0, or as at the one that was under way or had failed; never
   a mixture.

   One process has a heap open so, with any number of threads, and nobody else
   writes (EBUSY).  Others may read it (MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
   MMALLOC_PRIVATE): they see the checkpoint that was the last one when they
   opened it, for as long as they stay; a copy of the file that somebody makes
   meanwhile is of one checkpoint.  The changes between two checkpoints are
   memory of this process.  A fork child has not got the heap: nothing is mapped
   there, calls say EINVAL, and to free its blocks is misuse.  mmalloc_sync is
   mmalloc_checkpoint, and mmalloc_detach begins with one: if that fails it returns
   MD, and the heap is open still; to leave without, roll back first.  exit makes
   none.  The page of mmalloc_local is in none: it stays as it is, but for a rollback to before its
   place was set aside, which takes it away.  What is given back by mmalloc_trim
   leaves the file with the next checkpoint, as soon as nobody reads the one
   before; the file does not become shorter.

   During the call no other thread may change the heap, neither in blocks nor by
   other calls; with mmalloc_checkpoint_resume that ends when RESUME is called
   with ARG: once, by this thread, also if the call fails or is refused; it must
   not call the library for this heap.  If a thread does change it, the checkpoint
   may have a part of that, and a store may be lost; the heap itself stays whole.

   0, or -1: EINVAL (not open so), EROFS (to read), ENOSPC, EDQUOT, EFBIG (the log cannot grow),
   ENOMEM, ETIMEDOUT (OPT->wait), EIO or what else the disk said.  Memory is as
   it was, and the call can be repeated; but if the disk failed to take what was
   written before, all further ones fail (EIO) until the heap is opened anew,
   which finds the last checkpoint, and mmalloc_detach makes none.  Waits for no
   reader; for the disk once, to write what has changed; once more if much memory
   is new, or both halves of the log are full before the disk has what the first
   one says; four times to make the log larger.  A thread of the library's waits
   for that, beside the calls, unless MMALLOC_NO_THREAD was given.  */
int mmalloc_checkpoint (void *md);
int mmalloc_checkpoint_resume (void *md, void (*resume) (void *arg), void *arg);

/* A gate, so that threads need not be stopped for a checkpoint: who changes the heap
   only between mmalloc_enter and mmalloc_leave does so as one, for all
   checkpoints and rollbacks.  These wait until no thread is inside, and threads
   wait to get in while one looks at what has changed, not while it is written;
   the very first time, until it is done.  Calls nest, and cost some instructions,
   no lock.  Nothing happens for other heaps.  A thread that ends leaves; a signal
   handler that enters must not interrupt one of the two.

   0, or -1 and the thread is not inside, or was not: EINVAL (no heap; to leave: not
   inside), ENOMEM, ETIMEDOUT (OPT->wait).  From inside a checkpoint, a rollback and
   the last mmalloc_detach fail with EDEADLK.  */
int mmalloc_enter (void *md);
int mmalloc_leave (void *md);

/* Begin a checkpoint, *TICKET: what has changed is known when this returns, and
   threads may go on; a thread of the library's writes it, or this one with
   MMALLOC_NO_THREAD.  And wait until the disk has it, or a later one.  Other calls
   about checkpoints wait before they begin; one that was started and never waited
   for is made all the same.  0, or -1 with errors as mmalloc_checkpoint: to begin,
   when nothing was started; to wait, EINVAL for a ticket that was never given, else
   what kept that checkpoint from the disk: the next one has its changes.  */
int mmalloc_checkpoint_start (void *md, unsigned long *ticket);
int mmalloc_checkpoint_wait (void *md, unsigned long ticket);

/* Back to the last checkpoint, or as the heap was opened: all that was stored or
   allocated since is undone.  Pointers to blocks made since are stale.  No other
   thread may use the heap meanwhile.  0, or -1: EINVAL, EROFS, EIO as above;
   ENOMEM: memory is neither the one nor the other, and the heap has to be opened
   again.  */
int mmalloc_rollback (void *md);

/* Call FN for each stretch of the heap, multiples of 64 bytes in ascending order,
   that checkpoints after number SINCE have changed, the heap's own parts
   included; a result other than 0 ends the round and is returned.  The number of
   the last one is in mmalloc_info.  -1 and ERANGE: the log has not got all of
   them any more; EINVAL, ENOMEM, or what the file system said.  */
int mmalloc_changes (void *md, unsigned long since,
                     int (*fn) (void *start, size_t size, void *arg),
                     void *arg);

/* Ask the kernel to read what is in use ahead of use: 0 or -1.  */
int mmalloc_prefetch (void *md);

/* Give free memory and file blocks back to the system, whoever freed them: free
   runs, and pages of the system that lie in free blocks of up to 32 KiB only.
   What is allocated there later gets its disk blocks again first, or the call
   fails with ENOSPC.  Nobody is kept from allocating or freeing meanwhile, but
   who needs more disk blocks waits.  Returns the number of bytes given back by
   this call, 0 if nothing was freed since the last, or -1.  A kill leaves some
   to the next call; for trims without being asked see trim_threshold.  */
ptrdiff_t mmalloc_trim (void *md);


/* ---- Looking inside --------------------------------------------------- */

/* Numbers of a heap.  They are exact when no other thread or process works on
   the heap meanwhile, else a close look at a moving thing.  */
struct mmalloc_class_stats
{
  size_t block_size;    /* bytes of each block; 0: blocks of whole slices */
  size_t blocks_live;
  size_t blocks_free;   /* free blocks in pages of this class, but for those
                           that mmalloc_trim has taken memory from */
};
enum { MMALLOC_CLASSES_MAX = 64 };
struct mmalloc_stats
{
  size_t blocks_live;   /* blocks handed out and not freed */
  size_t bytes_live;    /* their usable sizes */
  size_t blocks_free;   /* free blocks in pages of a size class, likewise */
  size_t bytes_free;    /* those, and free runs that have memory behind them */
  size_t bytes_meta;    /* what the heap needs for itself */
  size_t largest_free;  /* largest free run with memory behind it, in bytes */
  size_t capacity;      /* the heap can grow to this length */
  size_t length;        /* of the heap, as a file's length: holes count */
  size_t bytes_backed;  /* bytes with memory or disk blocks set aside */
  size_t file_bytes;    /* disk blocks the file takes; 0: anonymous */
  size_t n_classes;     /* entries used in classes */
  struct mmalloc_class_stats classes[MMALLOC_CLASSES_MAX];
  size_t reserved[8];   /* zero */
};
int mmalloc_stats (void *md, struct mmalloc_stats *stats);

/* Call FN for every live block with its address and usable size; a result
   other than 0 ends the walk and is returned.  FN may use the heap; blocks
   that come or go during the walk may or may not be seen.  -1 and errno on
   failure.  */
int mmalloc_walk (void *md, int (*fn) (void *block, size_t size, void *arg),
                  void *arg);

/* Check every invariant of the heap.  Each finding is handed to REPORT (may be
   NULL) in words, with the place in the heap it is about.  Changes nothing.
   Returns the number of findings, 0 for a whole heap; -1 and errno if the
   check could not be made.  */
int mmalloc_check (void *md,
                   void (*report) (const char *finding, const void *where,
                                   void *arg),
                   void *arg);

/* From now on call HANDLER on misuse, in the whole process; NULL restores the
   default.  CALL is the name of the public function, PTR the pointer it was
   given, WHAT the finding.  If the handler returns, the call changes nothing
   (mrealloc: NULL and EINVAL).  No lock of the library is held.  */
typedef void (*mmalloc_misuse_fn) (const char *call, void *md,
                                   const void *ptr, const char *what,
                                   void *arg);
void mmalloc_onmisuse (mmalloc_misuse_fn handler, void *arg);


/* ---- Map files without a heap ------------------------------------------ */

/* For libraries that keep a structure of their own in a file of fixed size,
   with the heap's rules for opening, addresses, processes and kills: qalloc's
   static maps are made of this.

   Map the file PATH whole: a new one of SIZE bytes, at least 64, with all its
   disk blocks, at BASE or, if NULL, at a free place; an existing one where it
   was made first, or EADDRINUSE.  SIZE 0: any size that an existing file has.
   FLAGS: MMALLOC_CREATE, MMALLOC_EXCL, MMALLOC_SINGLE_WRITER (a fork child must
   open the file again before it touches it), MMALLOC_NOWAIT.  The file begins
   with two words: the caller's magic, and the address, which the library writes.
   FN is called while no other process can come or go, with the reason:
     MMALLOC_REGION_NEW    the file is new and zero but for the two words; FN
                           builds the structure and stores its magic last
     MMALLOC_REGION_FIRST  nobody else has the file; locks in it are stale.  By
                           two paths over overlayfs each has a first one
     MMALLOC_REGION_JOIN   others use it now, perhaps this very process
   and gives 0, or an errno value and *REASON, and the call fails with it.  FN
   may use heaps, but not fork; calls that open or close fail in it with
   EDEADLK.  Processes of all PID namespaces and C libraries share a region;
   locks of the C library in it are the caller's affair.  Opening a file again
   in one process gives the same address and counts.  Returns the address, or
   NULL and an error as mmalloc_open, for mmalloc_errno (NULL).  A fork child is
   a user of its own; if it can have no lock that shows it to others, its next
   opening of the file tries again and says so (ENOLCK, EBADF, EBUSY).  */
enum mmalloc_region_why
{
  MMALLOC_REGION_NEW, MMALLOC_REGION_FIRST, MMALLOC_REGION_JOIN
};
typedef int (*mmalloc_region_fn) (void *region, size_t size,
                                  enum mmalloc_region_why why,
                                  const char **reason, void *arg);
void *mmalloc_region_open (const char *path, int flags, void *base,
                           size_t size, mmalloc_region_fn fn, void *arg);

/* Unmap the region when it was closed as often as opened; 0, or -1 and
   EINVAL.  */
int mmalloc_region_close (void *region);

/* Write SIZE bytes from page-aligned address REGION on to the disk and wait:
   0, or -1 and errno.  */
int mmalloc_region_sync (void *region, size_t size);

/* Report misuse of the caller's own function CALL to the handler of
   mmalloc_onmisuse.  Call it with no lock held.  Returns if the handler
   does.  */
void mmalloc_misuse (const char *call, void *md, const void *ptr,
                     const char *what);


/* ---- Debugging aids of the historical package ------------------------- */

/* Put guards around the blocks of the heap from now on and verify them when a
   block is freed or resized, and in mmalloc_check.  The guards are a property
   of the heap and stay with it; FUNC is this process's and is called on
   damage; NULL, and in a process that did not register one: abort, after a
   line from the misuse handler.  If FUNC returns, the call goes on.
   mmcheck gives 1 if guards are on; 0 if the heap was used before without
   them, or is read-only.  mmcheckf with FORCE other than 0 turns them on in
   any case; blocks made before have no guards.  */
int mmcheck (void *md, void (*func) (void));
int mmcheckf (void *md, void (*func) (void), int force);

/* Numbers of the historical kind: memory the heap has taken, and blocks and
   bytes used and free.  */
struct mstats
{
  size_t bytes_total;
  size_t chunks_used;
  size_t bytes_used;
  size_t chunks_free;
  size_t bytes_free;
};
struct mstats mmstats (void *md);

/* Write a line for every allocation, resizing and free of this process to the
   file named by the environment variable MALLOC_TRACE.  Returns 1, also when
   the variable is not set and nothing is traced; 0 if the file cannot be
   opened.  Lines: "= Start", "+ ptr size", "- ptr", "< old" and "> new size"
   of a resizing, "! ptr size" of a failed one.  */
int mmtrace (void);

#ifdef __cplusplus
}

template <typename T> struct mmalloc_published { typedef T type; };

template <typename T>
inline void
mmalloc_publish (T *slot, typename mmalloc_published<T>::type value)
{
  __atomic_signal_fence (__ATOMIC_SEQ_CST);
  __atomic_store_n (slot, value, __ATOMIC_RELEASE);
  __atomic_signal_fence (__ATOMIC_SEQ_CST);
}
#endif

#endif /* MMALLOC_H */
