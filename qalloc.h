/* qalloc.h - files of a fixed size, mapped at a fixed address, to allocate
   from.

   A static map holds items of one size and little else; a dynamic map serves
   all sizes.  Both outlive their process: load the file again and every
   pointer stored in it is valid, because it comes back at the same address.
   Threads and processes may share a map.

       void *map = qalloc_makestatmap (1 << 20, NULL, "points.map",
                                       sizeof (struct point), 4);
       struct point *p = qalloc_malloc (map, sizeof *p);
       qalloc_setroot (map, NULL, p);
       qalloc_close (map);

   Rules that hold for every call, unless its comment says otherwise:

   - MAP is what a call of qalloc_makestatmap, qalloc_makedynmap or
     qalloc_loadmap gave back; it belongs to this process and is not the
     address of the file.
   - Calls may be made from any thread at any time, but not from a signal
     handler.
   - A call that fails changes nothing, sets errno, and leaves a reason for
     qalloc_errno and qalloc_strerror.  A call that succeeds leaves errno
     alone.
   - Misuse (a block freed twice, a pointer the map never gave out) is reported
     to the handler of mmalloc_onmisuse, see mmalloc.h; the default one writes
     a line to standard error and aborts.
   - The child of a fork shares the maps of its parent.  All processes of the
     machine may share a map, of several PID namespaces and C libraries, too.
   - A process killed at any instruction leaves the map whole, and nobody
     waits for it.  A block whose pointer was not stored yet stays allocated.

   Callable from C89 and C++.  Manual: qalloc_makestatmap(3).  */

#ifndef QALLOC_H
#define QALLOC_H 1

#include <stddef.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mapinfo_s mapinfo_t;       /* a static map */
typedef struct dynmapinfo_s dynmapinfo_t; /* a dynamic map */


/* ---- Making, loading, closing ---------------------------------------- */

/* Make file FILENAME, which is missing or empty, a static map of FILESIZE bytes
   with items of ITEMSIZE bytes, or load the static map that is there and has
   the same three numbers.  A new map gets all its disk blocks now and lies at
   ADDR, which is page-aligned, or at a free place if ADDR is NULL; an existing
   one comes back where it was made.  STREAMS: how many threads are expected
   to work at the same time, 1 to 65535.  Room for items is what is left of
   FILESIZE after 48 bytes, 40 bytes a stream, and one bit an item, rounded up
   to 8 and then 16 bytes: 96 bytes for one item and one stream.  Items are
   aligned to the largest power of two up to 16 that fits into ITEMSIZE.
   Returns the map, a mapinfo_t *, or NULL: EINVAL (a number is out of range,
   or not that of the file, or the file is no static map), EADDRINUSE
   (something else sits at the address; the reason names it), ENOSPC, EFBIG,
   EBADMSG (truncated or damaged), ENOTSUP (made on another kind of machine),
   or what the file system said.
   Loading a file again in one process gives the same map and counts.  */
void *qalloc_makestatmap (const off_t filesize, void *addr,
                          const char *filename, size_t itemsize,
                          const size_t streams);

/* The same for a dynamic map: any size of block up to what is free in one
   piece.  FILESIZE: at least 256 KiB.  STREAMS: 1 to 512.  Returns the map, a
   dynmapinfo_t *.  */
void *qalloc_makedynmap (const off_t filesize, void *addr,
                         const char *filename, const size_t streams);

/* Load the map of either kind in file FILENAME; never makes one: ENOENT if it
   is missing, EINVAL if it is empty or no map.  */
void *qalloc_loadmap (const char *filename);

/* Let the map go when it was closed as often as it was made and loaded.
   Nothing is flushed, see qalloc_checkpoint.  No other thread may be using
   it.  0, or -1 and EINVAL.  */
int qalloc_close (void *map);

/* Write everything stored so far in all maps of the process to the disk and
   wait.  What went wrong is told by qalloc_errno, 0 if nothing did.  */
void qalloc_checkpoint (void);

/* qalloc_checkpoint, then close all maps, however often they were loaded.  */
void qalloc_cleanup (void);


/* ---- Blocks ---------------------------------------------------------- */

/* A block of at least SIZE bytes, contents undefined.  An item if the map is
   static: SIZE is then ignored.  NULL and ENOSPC if there is no room; NULL if
   SIZE is 0 and the map dynamic, errno untouched.  */
void *qalloc_statmalloc (mapinfo_t *map);
void *qalloc_dynmalloc (dynmapinfo_t *map, size_t size);
void *qalloc_malloc (void *map, size_t size);

/* A block of NMEMB * SIZE bytes, all zero.  ENOMEM if the product overflows,
   EINVAL if it is larger than an item.  */
void *qalloc_calloc (void *map, size_t nmemb, size_t size);

/* Make BLOCK at least SIZE bytes long, moving it if needed; its contents stay
   up to the smaller size.  BLOCK NULL: qalloc_malloc.  SIZE 0: the block is
   freed, NULL.  On failure NULL, and the block stays as it was.  In a static
   map a block stays where it is; EINVAL if SIZE is larger than an item.  */
void *qalloc_realloc (void *block, void *map, size_t size);

/* Free BLOCK.  NULL: nothing happens.  errno is kept.  */
void qalloc_statfree (void *block, mapinfo_t *map);
void qalloc_dynfree (void *block, dynmapinfo_t *map);
void qalloc_free (void *block, void *map);

/* How many bytes of BLOCK may be used; 0 for NULL.  Misuse is reported, then
   0.  */
size_t qalloc_usable_size (const void *block, void *map);


/* ---- Finding things again -------------------------------------------- */

/* Give the map a root, a word for the program, NULL at first: 0, or -1.
   Setting is atomic to threads, processes and kills.  NAME NULL is a root that
   each map has.  A dynamic map has room for others, with names of 1 to 1000
   bytes; in a static map a name is refused with EINVAL.  qalloc_getroot gives
   NULL for a root that was not set, errno untouched.  */
int qalloc_setroot (void *map, const char *name, void *ptr);
void *qalloc_getroot (void *map, const char *name);


/* ---- Errors ---------------------------------------------------------- */

/* Why this thread's last failing call of qalloc failed: an errno value, 0 if
   none did.  */
int qalloc_errno (void);

/* The same in words, never NULL.  The string is this thread's, good until its
   next failing call.  */
const char *qalloc_strerror (void);


/* ---- Looking inside -------------------------------------------------- */

/* Numbers of a map, exact when nobody works on it meanwhile: 0, or -1.  */
struct qalloc_stats
{
  void *address;        /* of the first byte of the file */
  size_t file_size;     /* bytes of the file */
  size_t item_size;     /* 0: a dynamic map */
  size_t streams;
  size_t blocks_live;   /* blocks handed out and not freed */
  size_t bytes_live;    /* their usable sizes */
  size_t bytes_free;    /* room left, in whatever pieces */
  size_t bytes_meta;    /* what the map needs for itself */
  size_t reserved[8];   /* zero */
};
int qalloc_stats (void *map, struct qalloc_stats *stats);

/* Call FN for every live block with its address and usable size; a result
   other than 0 ends the walk and is returned.  FN may use the map; blocks that
   come or go during the walk may or may not be seen.  -1 and errno on
   failure.  */
int qalloc_walk (void *map, int (*fn) (void *block, size_t size, void *arg),
                 void *arg);

/* Check the map.  Each finding is handed to REPORT (may be NULL) in words, with
   the place in the map it is about.  Changes nothing.  Returns the number of
   findings, 0 for a whole map; -1 and errno if the check could not be made.  */
int qalloc_check (void *map,
                  void (*report) (const char *finding, const void *where,
                                  void *arg),
                  void *arg);

#ifdef __cplusplus
}
#endif

#endif /* QALLOC_H */
