/* bench.h - what the benchmark programs share.

   One program for each allocator: the workloads (main.c, blocks.c, threads.c,
   memory.c, table.c, files.c), the same objects in all of them, linked with
   one of the with_*.c, which holds the functions of the first section.  The
   workloads thus reach every allocator through the same calls, which are
   never inlined.  */

#ifndef BENCH_H
#define BENCH_H 1

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What a with_*.c defines ----------------------------------------- */

void *bench_malloc (size_t size);
void bench_free (void *ptr);
void *bench_calloc (size_t nmemb, size_t size);
void *bench_realloc (void *ptr, size_t old_size, size_t size);

/* What else there is to know about the allocator.  Functions that are NULL
   mean that it has no such thing, and the workloads that need them are left
   out.  */
struct allocator
{
  const char *name;
  int fake;                     /* its memory is no memory: blocks overlap */
  int endless;                  /* it never uses memory again */
  unsigned slow;                /* do so many times less of everything */

  /* Make the heap ready; one in a file in a new file in directory DIR, which
     can grow to CAPACITY bytes.  */
  void (*open) (const char *dir, size_t capacity);
  /* Give free memory back to the system.  */
  void (*trim) (void);

  /* Only for heaps in files that outlive the process.  */
  void (*reopen) (void);
  void (*close) (void);
  void (*sync) (void);
  void (*prefetch) (void);
  void (*set_root) (void *ptr);
  void *(*get_root) (void);
};
extern const struct allocator allocator;


/* ---- main.c: for all workloads --------------------------------------- */

/* Draws of a random generator, made before any clock starts.  */
enum { N_DRAWS = 1 << 20, DRAWS_MASK = N_DRAWS - 1 };
extern uint32_t draws[N_DRAWS];

/* A size of 8 to 1024 bytes, by draw number I.  */
static inline size_t
draw_size (size_t i)
{
  return 8 + (draws[i & DRAWS_MASK] >> 16) % 1017;
}

/* Nanoseconds: on the wall, and of the processor for this process.  */
double wall_now (void);
double cpu_now (void);
static inline double
ms_since (double start)
{
  return (wall_now () - start) / 1e6;
}

/* A block of SIZE bytes with something in it.  */
static inline void *
block_new (size_t size)
{
  uint64_t *p = (uint64_t *) bench_malloc (size);
  if (p == NULL)
    __builtin_trap ();
  *p = size;
  return p;
}

/* Say that METRIC of WORKLOAD is VALUE.  */
void report (const char *workload, const char *metric, double value);

/* N, or less for a quick run, but at least 1: blocks and bytes.  And N, or
   still less for a slow allocator: operations.  */
size_t amount (size_t n);
size_t times (size_t n);

/* The directory for files, in it a fresh one of this process.  */
const char *work_dir (void);

/* Bytes of this process that are in memory, and bytes that its files in
   work_dir take on the disk.  */
double resident_bytes (void);
double file_bytes (void);

void die (const char *what, const char *why) __attribute__ ((__noreturn__));

/* A workload; RUN makes its reports.  */
enum
{
  REAL_MEMORY = 1,              /* not for fakes */
  FILES_ONLY = 2,               /* for heaps in files that come back */
  NO_REUSE = 4                  /* for endless ones too */
};
struct workload
{
  const char *name;
  void (*run) (const char *name);
  int needs;
};
extern const struct workload blocks_workloads[];
extern const struct workload threads_workloads[];
extern const struct workload memory_workloads[];
extern const struct workload table_workloads[];
extern const struct workload files_workloads[];

enum { MIB = 1 << 20 };
#define GIB ((size_t) 1 << 30)

/* blocks.c: loops for callgrind.  */
int loop_run (const char *kind, size_t n);

#ifdef __cplusplus
}
#endif

#endif /* BENCH_H */
