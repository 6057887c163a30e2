/* mmalloc_local: memory at one address of the heap in all processes, and each
   one's own.  */

#include "inside.h"
#include <sys/wait.h>

static struct heap *
heap_behind (void *md)
{
  return (struct heap *) *door_place (md, true);
}

static void *
heap_with (int flags)
{
  void *md = mmalloc_open (temp_path ("heap"), flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  return md;
}

static bool
is_zero (const char *p)
{
  for (size_t i = 0; i < MMALLOC_LOCAL_MAX; i++)
    if (p[i] != 0)
      return false;
  return true;
}

/* FN in a process of its own gives 0.  */
static void
in_child (int (*fn) (void *), void *arg)
{
  int status;
  pid_t pid = fork ();
  if (pid == 0)
    _exit (fn (arg));
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert_int_eq (status, 0);
}

START_TEST (begins_zero_and_stays)
{
  void *md = heap_new (_i);
  /* What was in the slice before is not seen.  */
  void *p = mmalloc (md, MIB (1));
  memset (p, 7, MIB (1));
  mfree (md, p);
  char *own = mmalloc_local (md, 100);
  ck_assert_ptr_nonnull (own);
  ck_assert (is_zero (own));
  ck_assert_uint_eq ((uintptr_t) own % 4096, 0);
  memset (own, 1, MMALLOC_LOCAL_MAX);
  ck_assert_ptr_eq (mmalloc_local (md, MMALLOC_LOCAL_MAX), own);
  ck_assert_ptr_eq (mmalloc_local (md, 0), own);
  must_fail (md, mmalloc_local (md, MMALLOC_LOCAL_MAX + 1), EINVAL);
  ck_assert_ptr_nonnull (strstr (mmalloc_strerror (md), "16384"));
  for (int i = 0; i < 300; i++)
    {
      char name[20];
      snprintf (name, sizeof name, "root %d", i);
      ck_assert_int_eq (mmalloc_setroot (md, name, own), 0);
      ck_assert_ptr_nonnull (mmalloc (md, (size_t) i * 100 + 1));
    }
  ck_assert_int_ge (mmalloc_trim (md), 0);
  ck_assert_int_eq (mmalloc_sync (md), 0);
  ck_assert_int_eq (mmalloc_prefetch (md), 0);
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  for (size_t i = 0; i < MMALLOC_LOCAL_MAX; i++)
    must (own[i] == 1);
  void **slot = (void **) (void *) own;
  must_fail (md, mmalloc_to (md, slot, 8) == 0 ? md : NULL, EINVAL);
  heap_end (md);
}
END_TEST

static int
child_copies (void *own)
{
  if (*(char *) own != 5)
    return 1;
  *(char *) own = 6;
  return 0;
}

START_TEST (fork_child_has_a_copy)
{
  void *md = heap_new (_i);
  char *own = mmalloc_local (md, 1);
  *own = 5;
  in_child (child_copies, own);
  ck_assert_int_eq (*own, 5);
  heap_end (md);
}
END_TEST

/* Another process, which has not inherited anything: the heap is closed.  */
static int
child_opens (void *arg)
{
  char *const *own = arg;
  void *md = mmalloc_open (temp_path ("heap"), 0, NULL);
  if (md == NULL || !is_zero (*own))
    return 1;
  memset (*own, 9, MMALLOC_LOCAL_MAX);
  if (mmalloc_local (md, 1) != *own || **own != 9)
    return 2;
  return mmalloc_detach (md) != NULL ? 3 : 0;
}

static int
child_reads (void *arg)
{
  char *const *own = arg;
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_PRIVATE };
  for (int i = 0; i < 2; i++)
    {
      void *md = mmalloc_open (temp_path ("heap"), flags[i], NULL);
      if (md == NULL || !is_zero (*own))
        return 1;
      (*own)[1] = 9;
      if (mmalloc_local (md, 1) != *own || (*own)[1] != 9)
        return 2;
      if (mmalloc_check (md, NULL, NULL) != 0 || mmalloc_detach (md) != NULL)
        return 3;
    }
  void *md = mmalloc_open (temp_path ("heap"), MMALLOC_ELSEWHERE, NULL);
  if (md == NULL || mmalloc_local (md, 1) != NULL
      || mmalloc_errno (md) != EINVAL)
    return 4;
  return 0;
}

START_TEST (one_address_in_all_processes)
{
  void *md = heap_with (MMALLOC_CREATE);
  char *own = mmalloc_local (md, 1);
  memset (own, 3, MMALLOC_LOCAL_MAX);
  ck_assert_ptr_null (mmalloc_detach (md));
  in_child (child_opens, &own);
  in_child (child_reads, &own);
  /* Nothing of it is in the file, nor left from the last time.  */
  md = heap_with (0);
  ck_assert (is_zero (own));
  ck_assert_ptr_eq (mmalloc_local (md, 1), own);
  ck_assert_ptr_eq (mmalloc_find (own), md);
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

START_TEST (readers_wait_for_a_writer)
{
  ck_assert_ptr_null (mmalloc_detach (heap_with (MMALLOC_CREATE)));
  void *md = heap_with (MMALLOC_RDONLY);
  must_fail (md, mmalloc_local (md, 1), EROFS);
  ck_assert_ptr_null (mmalloc_detach (md));
  /* Copy on write there is one, and the file has none.  */
  md = heap_with (MMALLOC_PRIVATE);
  ck_assert_ptr_nonnull (mmalloc_local (md, 1));
  ck_assert_ptr_null (mmalloc_detach (md));
  md = heap_with (0);
  ck_assert_uint_eq (heap_behind (md)->root->local, 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* One that has the heap open when another sets the place aside.  */
static int pipes[2][2];

/* Open the heap, and wait until another has set the place aside: *OWN.  NULL:
   that cannot be done.  */
static void *
open_beside (char **own)
{
  char byte = 0;
  void *md = mmalloc_open (temp_path ("heap"), 0, NULL);
  return md != NULL && write (pipes[0][1], &byte, 1) == 1
         && read (pipes[1][0], own, sizeof *own) == sizeof *own ? md : NULL;
}

static int
child_beside (void *arg)
{
  char *own;
  (void) arg;
  void *md = open_beside (&own);
  if (md == NULL)
    return 1;
  if (!is_zero (own) || mmalloc_local (md, 1) != own || !is_zero (own))
    return 2;
  memset (own, 4, MMALLOC_LOCAL_MAX);
  return 0;
}

START_TEST (beside_one_who_has_it_open)
{
  char byte;
  int status;
  void *before = heap_with (MMALLOC_CREATE), *p = mmalloc (before, MIB (1));
  memset (p, 7, MIB (1));
  mfree (before, p);
  ck_assert_ptr_null (mmalloc_detach (before));
  ck_assert_int_eq (pipe (pipes[0]) | pipe (pipes[1]), 0);
  pid_t pid = fork ();
  if (pid == 0)
    _exit (child_beside (NULL));
  void *md = heap_with (0);
  ck_assert_int_eq (read (pipes[0][0], &byte, 1), 1);
  char *own = mmalloc_local (md, 1);
  memset (own, 8, MMALLOC_LOCAL_MAX);
  ck_assert_int_eq (write (pipes[1][1], &own, sizeof own), sizeof own);
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert_int_eq (status, 0);
  for (size_t i = 0; i < MMALLOC_LOCAL_MAX; i++)
    must (own[i] == 8);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

enum { THREADS = 8 };
static void *shared_md;
static pthread_barrier_t start;

static void *
asks (void *arg)
{
  pthread_barrier_wait (&start);
  char *own = mmalloc_local (shared_md, 1);
  if (own != NULL)
    own[(uintptr_t) arg] = 1;
  return own;
}

START_TEST (threads_at_once)
{
  pthread_t t[THREADS];
  void *own[THREADS];
  shared_md = heap_new (_i);
  pthread_barrier_init (&start, NULL, THREADS);
  for (size_t i = 0; i < THREADS; i++)
    ck_assert_int_eq (pthread_create (&t[i], NULL, asks, (void *) i), 0);
  for (size_t i = 0; i < THREADS; i++)
    pthread_join (t[i], &own[i]);
  for (size_t i = 0; i < THREADS; i++)
    {
      ck_assert_ptr_eq (own[i], mmalloc_local (shared_md, 1));
      ck_assert_int_eq (((char *) own[i])[i], 1);
    }
  /* One who finds no place, and has the lock when there is one.  */
  struct heap *h = heap_behind (mmalloc_find (own[0]));
  uint64_t place = h->root->local;
  ck_assert_int_eq (root_local_slice (h), 0);
  ck_assert_uint_eq (h->root->local, place);
  heap_end (shared_md);
}
END_TEST

/* The word in the file leads to a page of blocks, to records, behind the end,
   nowhere.  */
START_TEST (damaged)
{
  void *md = heap_with (MMALLOC_CREATE);
  struct heap *h = heap_behind (md);
  char *block = mmalloc (md, 100);
  strcpy (block, "here");
  ck_assert_int_eq (mmalloc_setroot (md, "root", block), 0);
  uint64_t number[] = {
    (uint64_t) ((uintptr_t) block - h->grid) >> MM_SLICE_SHIFT,
    h->root->slab >> 32, 1, (h->root->length >> MM_SLICE_SHIFT) + 1,
    (h->capacity >> MM_SLICE_SHIFT) - 1, h->capacity >> MM_SLICE_SHIFT,
    UINT32_MAX, UINT64_C (1) << 32, UINT64_MAX, 0
  };
  ck_assert_ptr_nonnull (mmalloc_local (md, 1));
  number[sizeof number / sizeof *number - 1] = h->root->local
                                               | UINT64_C (1) << 32;
  for (size_t i = 0; i < sizeof number / sizeof *number; i++)
    {
      heap_behind (md)->root->local = number[i];
      ck_assert_ptr_null (mmalloc_detach (md));
      md = heap_with (0);
      must_fail (md, mmalloc_local (md, 1), EBADMSG);
      ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 1);
      ck_assert_ptr_eq (mmalloc_getroot (md, "root"), block);
      ck_assert_str_eq (block, "here");
    }
  heap_behind (md)->root->local = 0;
  ck_assert_ptr_nonnull (mmalloc_local (md, 1));
  ck_assert_int_eq (mmalloc_check (md, NULL, NULL), 0);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

/* Memory for the page cannot be had: the heap is not opened then, and no entry
   stays behind; nor is the page taken for one that is there.  */
static bool no_pages;

static void *
mmap_no_pages (void *p, size_t len, int prot, int flags, int fd, off_t off)
{
  if (no_pages && len == MMALLOC_LOCAL_MAX && (flags & MAP_FIXED))
    return errno = EAGAIN, MAP_FAILED;
  return mmap (p, len, prot, flags, fd, off);
}

static int
child_gets_none (void *arg)
{
  static const int flags[] = { 0, MMALLOC_RDONLY };
  (void) arg;
  for (int i = 0; i < 2; i++)
    {
      no_pages = true;
      must_fail (NULL, mmalloc_open (temp_path ("heap"), flags[i], NULL),
                 EAGAIN);
      must (strstr (mmalloc_strerror (NULL), "the process's page") != NULL);
    }
  no_pages = false;
  return 0;
}

static int
child_waits (void *arg)
{
  char *own;
  (void) arg;
  void *md = open_beside (&own);
  if (md == NULL)
    return 1;
  return entries_in_use (md) != 1;
}

START_TEST (no_memory_for_it)
{
  char byte;
  int status;
  os.mmap = mmap_no_pages;
  void *md = heap_with (MMALLOC_CREATE);
  no_pages = true;
  must_fail (md, mmalloc_local (md, 1), EAGAIN);
  no_pages = false;
  char *own = mmalloc_local (md, 1);
  ck_assert_ptr_nonnull (own);
  ck_assert (is_zero (own));
  ck_assert_ptr_null (mmalloc_detach (md));
  in_child (child_gets_none, NULL);
  /* ... also beside one who has the heap.  */
  ck_assert_int_eq (pipe (pipes[0]) | pipe (pipes[1]), 0);
  pid_t pid = fork ();
  if (pid == 0)
    _exit (child_waits (NULL));
  ck_assert_int_eq (read (pipes[0][0], &byte, 1), 1);
  in_child (child_gets_none, NULL);
  ck_assert_int_eq (write (pipes[1][1], &own, sizeof own), sizeof own);
  ck_assert_int_eq (waitpid (pid, &status, 0), pid);
  ck_assert_int_eq (status, 0);
  heap_end (heap_with (0));
}
END_TEST

/* The place for the next root is said to be in that slice.  */
START_TEST (no_roots_there)
{
  void *md = heap_with (MMALLOC_CREATE);
  struct heap *h = heap_behind (md);
  char *own = mmalloc_local (md, 1);
  h->root->slab = h->root->local << 32;
  ck_assert_int_eq (mmalloc_setroot (md, "root", md), 0);
  ck_assert (is_zero (own));
  ck_assert_ptr_eq (mmalloc_getroot (md, "root"), md);
  ck_assert_ptr_null (mmalloc_detach (md));
}
END_TEST

RUN_ON_EACH_HEAP (begins_zero_and_stays, fork_child_has_a_copy,
                  one_address_in_all_processes, readers_wait_for_a_writer,
                  beside_one_who_has_it_open, threads_at_once, damaged,
                  no_memory_for_it, no_roots_there)
