/* mmalloc_check: each finding that it can report, brought about by damage to a
   whole heap, place and all; and nothing else.  The damage undone, it finds
   nothing again.  */

#include "inside.h"

enum { SAVES = 300000, LOOKS = 100000 };

static char *md;
static struct heap *h;
static char *page, *wide, *lone, *large, *huge;
static char *copies;            /* where superblocks are damaged */

/* A heap with runs of all kinds, among them free ones.  */
static void
make (int kind)
{
  md = heap_limited (kind, MIB (256));
  h = heap_of (md);
  copies = md;
  page = mmalloc (md, 100);
  wide = mmalloc (md, 5000);
  lone = mmemalign (md, KIB (64), 700);
  large = mmalloc (md, 100000);
  void *hole = mmalloc (md, 200000);
  huge = mmalloc (md, MIB (40));
  must (page && wide && lone && large && hole && huge);
  mfree (md, hole);
  /* Two roots in one bucket.  */
  char other[20] = "root";
  uint32_t hash = (uint32_t) sum_bytes (other, 4) % MM_BUCKETS;
  ck_assert_int_eq (mmalloc_setroot (md, other, page), 0);
  for (int i = 0; i == 0 || sum_bytes (other, strlen (other)) % MM_BUCKETS
                              != hash; i++)
    snprintf (other, sizeof other, "root %d", i);
  ck_assert_int_eq (mmalloc_setroot (md, other, page), 0);
}


/* ---- Changing and undoing --------------------------------------------- */

static struct
{
  char *at, old;
} changed[1000];
static size_t n_changed;
static off_t old_size;          /* of the file, if it has got another one */

/* All bytes of the heap, whatever a sanitizer thinks of them.  */
__attribute__ ((no_sanitize_address)) static void
change (void *place, const void *to, size_t n)
{
  for (size_t i = 0; i < n; i++)
    {
      char *at = (char *) any_ptr (place) + i;
      must (n_changed < sizeof changed / sizeof *changed);
      changed[n_changed].at = at;
      changed[n_changed++].old = *at;
      *at = ((const char *) to)[i];
    }
}

static void
set64 (void *place, uint64_t to)
{
  change (place, &to, sizeof to);
}

static void
set_size (off_t size)
{
  struct stat st;
  ck_assert_int_eq (fstat (h->file.fd, &st), 0);
  old_size = st.st_size;
  ck_assert_int_eq (ftruncate (h->file.fd, size), 0);
}

__attribute__ ((no_sanitize_address)) static void
undo (void)
{
  while (n_changed > 0)
    {
      n_changed--;
      *changed[n_changed].at = changed[n_changed].old;
    }
  if (old_size > 0)
    ck_assert_int_eq (ftruncate (h->file.fd, old_size), 0);
  old_size = 0;
}


/* ---- Places ------------------------------------------------------------- */

static size_t
number (const char *block)
{
  return ((uintptr_t) block - h->grid) >> MM_SLICE_SHIFT;
}

static size_t
chunk (const char *block)
{
  return number (block) / MM_CHUNK_SLICES;
}

static struct disk_slice *
record (const char *block)
{
  return off_numbered (h, (uint32_t) number (block));
}

static char *
slice (const char *block)
{
  return page_start (h, (uint32_t) number (block));
}

/* A slice of chunk 0 that nobody uses, with a record.  */
static size_t
free_slice (void)
{
  size_t s = number (large);
  while (!map_get (off_index (h, 0)->free, s))
    s++;
  must (s < run_ready (h, 0));
  return s;
}

static disk_u64 *
bucket (void)
{
  disk_u64 *at = h->bucket;
  while (*at == 0)
    at++;
  return at;
}

static struct disk_name *
name (void)
{
  return (struct disk_name *) (void *) (md + *bucket ());
}


/* ---- Damages, which give the place of the finding ----------------------- */

/* The bits of MASK in the head of BLOCK's run become those of TO.  */
static const void *
head_becomes (const char *block, uint64_t mask, uint64_t to)
{
  uint64_t head = record (block)->head;
  must (head_kind (head) == (block == page ? HEAD_PAGE : HEAD_LARGE));
  set64 (&record (block)->head, (head & ~mask) | to);
  return slice (block);
}

#define OWNER UINT64_C (0xffff)
#define CLASS_BITS (UINT64_C (0xff) << 24)
#define LENGTH (UINT64_C (0xffff) << 32)

static const void *
page_of_nobody (void)
{
  return head_becomes (page, OWNER, 0);
}
static const void *
page_of_far (void)
{
  return head_becomes (page, OWNER, h->super.n_streams + 1);
}
static const void *
page_long (void)
{
  return head_becomes (page, LENGTH, UINT64_C (2) << 32);
}
static const void *
page_over_a_hole (void)
{
  set64 (&record (page)->holes, 1);
  return head_becomes (page, HEAD_STATE, HEAD_STATE);
}
/* Of a page in which nobody allocates there is nothing to find.  */
static const void *
page_thin (void)
{
  return head_becomes (page, HEAD_STATE, HEAD_STATE);
}
static const void *
page_claimed (void)
{
  return head_becomes (page, HEAD_STATE, (uint64_t) HEAD_CLAIMED << 20);
}
static const void *
page_of_no_class (void)
{
  return head_becomes (page, CLASS_BITS, (uint64_t) MM_CLASSES << 24);
}
static const void *
page_unmarked (void)
{
  must (record (page)->foreign == 0);
  set64 (&record (page)->rem[0], 2);
  return slice (page);
}
static const void *
page_bit (void)
{
  unsigned cl = head_class (record (page)->head), w = class_words (cl) - 1;
  uint64_t bit = UINT64_C (1) << 63;
  must ((class_valid (cl, w) & bit) == 0);
  set64 (&record (page)->own[w], record (page)->own[w] ^ bit);
  return slice (page);
}
static const void *
page_cut (void)
{
  must (record (wide)[1].head == head_cont (1));
  set64 (&record (wide)[1].head, 0);
  return slice (wide);
}

static const void *
run_unbacked (void)
{
  disk_u64 *word = &off_index (h, 0)->backed[(number (wide) + 1) / 64];
  set64 (word, *word & ~(UINT64_C (1) << (number (wide) + 1) % 64));
  return slice (wide);
}
static const void *
run_of_nothing (void)
{
  must (head_slices (record (lone)->head) == 1);
  return head_becomes (lone, LENGTH, 0);
}
/* What the index says of the other slices would be found, too: it is stale,
   and all are backed.  */
static const void *
run_too_long (void)
{
  struct disk_index *x = off_index (h, 0);
  uint32_t stale = x->epoch + 1;
  change (&x->epoch, &stale, sizeof stale);
  for (size_t i = 0; i < 4; i++)
    set64 (&x->backed[i], ~UINT64_C (0));
  must (run_ready (h, 0) <= 4 * 64);
  return head_becomes (large, LENGTH, (uint64_t) MM_CHUNK_SLICES << 32);
}
static const void *
run_in_a_run (void)
{
  set64 (&record (large)[1].head, head_make (HEAD_LARGE, 0, 0, 0, 1));
  return slice (large);
}
static const void *
run_of_our_own (void)
{
  set64 (&off_record (h, 0, 1)->head, head_make (HEAD_LARGE, 0, 0, 0, 1));
  return off_slice (h, 0, 1);
}
static const void *
run_of_no_kind (void)
{
  size_t s = free_slice ();
  set64 (&off_record (h, 0, s)->head, head_make (HEAD_ROOTS + 1, 0, 0, 0, 1));
  return off_slice (h, 0, s);
}

/* Slice S is free in the index, if it was not; or the other way round.  */
static const void *
index_flips (size_t s)
{
  struct disk_index *x = off_index (h, 0);
  must (x->epoch == h->locks->index_epoch);
  set64 (&x->free[s / 64], x->free[s / 64] ^ UINT64_C (1) << s % 64);
  return off_slice (h, 0, s);
}
static const void *
index_frees (void)
{
  return index_flips (number (lone));
}
static const void *
index_loses (void)
{
  return index_flips (free_slice ());
}

static const void *
dir_becomes (size_t c, uint64_t to)
{
  set64 (&h->dir[c], to);
  return off_chunk (h, c);
}
static const void *
records_too_many (void)
{
  return dir_becomes (0, dir_paged (MM_CHUNK_SLICES + 1, 0));
}
static const void *
records_none (void)
{
  return dir_becomes (chunk (huge), dir_paged (0, 0));
}
static const void *
huge_torn (void)
{
  must (dir_get (h, chunk (huge) + 1) == dir_cont (1));
  return dir_becomes (chunk (huge) + 1, 0);
}
static const void *
huge_with_pages (void)
{
  return dir_becomes (chunk (huge) + 1, dir_paged (0, 0));
}
static const void *
huge_with_records (void)
{
  return dir_becomes (chunk (huge), dir_get (h, chunk (huge)) | 1);
}
static const void *
huge_of_nothing (void)
{
  return dir_becomes (chunk (huge), dir_huge (0, 0));
}
static const void *
huge_too_long (void)
{
  return dir_becomes (chunk (huge), dir_huge (0, 100000));
}
static const void *
huge_behind_end (void)
{
  size_t c = chunk (huge), from = off_file (h, off_chunk (h, c));
  return dir_becomes (c, dir_huge (0, (off_length (h) - from) / MM_SLICE + 1));
}
static const void *
huge_starts_late (void)
{
  return dir_becomes (chunk (huge), dir_huge (MM_CHUNK_SLICES, 1));
}
static const void *
huge_in_huge (void)
{
  return dir_becomes (chunk (huge) + 1, dir_huge (0, 1));
}
/* The roots, which would be lost, are forgotten before.  */
static const void *
huge_first (void)
{
  set64 (bucket (), 0);
  return dir_becomes (0, dir_huge (0, 1));
}
static const void *
huge_elsewhere (void)
{
  size_t c = chunk (huge) + 1;
  return dir_becomes (c, dir_cont (c));
}
static const void *
huge_nowhere (void)
{
  size_t c = chunk (huge) + 1;
  return dir_becomes (c, dir_cont (c + 1));
}
static const void *
chunk_of_no_kind (void)
{
  return dir_becomes (chunk (huge) + 1, UINT64_C (9) << 16);
}

static const void *
length_too_much (void)
{
  if (h->file.kind->shared)
    set_size ((off_t) h->capacity + MM_PAGE);
  set64 (&h->root->length, h->capacity + MM_PAGE);
  return h->root;
}
static const void *
file_too_short (void)
{
  struct stat st;
  ck_assert_int_eq (fstat (h->file.fd, &st), 0);
  set64 (&h->root->length, (uint64_t) st.st_size + MM_PAGE);
  return h->root;
}

static const void *
local_elsewhere (void)
{
  set64 (&h->root->local, h->root->slab >> 32);
  return &h->root->local;
}
static const void *
roots_lead_away (void)
{
  disk_u64 *at = bucket ();
  set64 (at, UINT64_MAX);
  return at;
}
static const void *
roots_go_round (void)
{
  set64 (&name ()->next, *bucket ());
  return bucket ();
}
static const void *
root_of_another_bucket (void)
{
  uint32_t hash = name ()->hash + 1;
  change (&name ()->hash, &hash, sizeof hash);
  return bucket ();
}
/* A whole record, in a chain that is not its own.  */
static const void *
root_in_another_chain (void)
{
  disk_u64 *at = &h->bucket[(size_t) (bucket () - h->bucket) ^ 1];
  set64 (at, *bucket ());
  return at;
}

/* From here on blocks have guards.  */
static const void *
guard_gone (void)
{
  ck_assert_int_eq (mmcheckf (md, NULL, 1), 1);
  char *block = mmalloc (md, 1000), byte = 0;
  change (block + 1000, &byte, 1);
  return block;
}

/* Superblock I, which has another sum then.  */
static const void *
super_damaged (size_t i)
{
  struct disk_super *s = (struct disk_super *) (void *) (copies + i * MM_PAGE);
  set64 (&s->blocks, s->blocks + 1);
  return md + i * MM_PAGE;
}
static const void *
super_newer (void)
{
  return super_damaged (h->super.generation & 1);
}
static const void *
super_older (void)
{
  return super_damaged ((h->super.generation & 1) ^ 1);
}
static const void *
super_both (void)
{
  super_newer ();
  super_older ();
  return md;
}

static const struct damage
{
  const char *finding;          /* NULL: there is none */
  const void *(*make) (void);
  int of_files;
} damages[] = {
  { "I1: a page belongs to no stream", page_of_nobody, 0 },
  { "I1: a page belongs to no stream", page_of_far, 0 },
  { "I1: a page has another length than its class", page_long, 0 },
  { "I1: a page is of no class", page_of_no_class, 0 },
  { "I1: a page has lost a continuation", page_cut, 0 },
  { "I1: a run reaches past its chunk's end", run_of_nothing, 0 },
  { "I1: a run reaches past its chunk's end", run_too_long, 0 },
  { "I1: two runs overlap", run_in_a_run, 0 },
  { "I1: a slice of the heap's own has a head", run_of_our_own, 0 },
  { "I1: a head of no kind", run_of_no_kind, 0 },
  { "I2: others freed here without a mark", page_unmarked, 0 },
  { "I2: a bit behind the last block is free", page_bit, 0 },
  { "I3: a used run has no memory behind it", run_unbacked, 0 },
  { "I3: a live block has no memory behind it", page_over_a_hole, 0 },
  { NULL, page_thin, 0 },
  { "I4: the index calls a used slice free", index_frees, 0 },
  { "I4: the index has lost a free slice", index_loses, 0 },
  { "I5: a chunk has too many records, or none", records_too_many, 0 },
  { "I5: a chunk has too many records, or none", records_none, 0 },
  { "I5: a chunk of a block is something else, too", huge_torn, 0 },
  { "I5: a chunk of a block is something else, too", huge_with_pages, 0 },
  { "I5: a huge block has no place", huge_of_nothing, 0 },
  { "I5: a huge block has no place", huge_too_long, 0 },
  { "I5: a huge block has no place", huge_behind_end, 0 },
  { "I5: a huge block has no place", huge_starts_late, 0 },
  { "I5: a huge block has no place", huge_in_huge, 0 },
  { "I5: a huge block has no place", huge_first, 0 },
  { "I5: a chunk of a block points elsewhere", huge_elsewhere, 0 },
  { "I5: a chunk of a block points elsewhere", huge_nowhere, 0 },
  { "I5: a chunk of no kind", chunk_of_no_kind, 0 },
  { "I5: a chunk of no kind", huge_with_records, 0 },
  { "I6: the length is beyond the capacity", length_too_much, 0 },
  { "I6: the file is too short", file_too_short, 1 },
  { "I7: a page is claimed by nobody", page_claimed, 0 },
  { "I8: a chain of roots is broken", roots_lead_away, 0 },
  { "I8: a chain of roots is broken", roots_go_round, 0 },
  { "I8: a chain of roots is broken", root_of_another_bucket, 0 },
  { "I8: a chain of roots is broken", root_in_another_chain, 0 },
  { "I8: the slice of the processes' pages is another", local_elsewhere, 0 },
  { "I9: neither superblock is valid", super_both, 1 },
  { "I9: the newer superblock is damaged", super_newer, 1 },
  { NULL, super_older, 1 },
  { "I10: a guard was overwritten", guard_gone, 0 },
};
enum { DAMAGES = sizeof damages / sizeof *damages };


/* ---- Looking ------------------------------------------------------------ */

static struct
{
  const char *finding;
  const void *where;
} found[10];
static int n_found;

static void
note (const char *finding, const void *where, void *arg)
{
  (void) arg;
  must (n_found < 10);
  found[n_found].finding = finding;
  found[n_found++].where = where;
}

static void
damage_is_found (const struct damage *d)
{
  const char *expected = d->finding != NULL ? d->finding : "nothing";
  const void *where = d->make ();
  n_found = 0;
  int n = mmalloc_check (md, note, NULL);
  undo ();
  for (int i = 0; i < n_found; i++)
    ck_assert_msg (d->finding != NULL
                   && strcmp (found[i].finding, d->finding) == 0,
                   "%s, not %s", found[i].finding, expected);
  ck_assert_int_eq (n, n_found);
  ck_assert_msg (n == (d->finding != NULL), "%d findings, not %s", n, expected);
  ck_assert_msg (n == 0 || found[0].where == where, "%s: at %p, not %p",
                 expected, found[0].where, where);
  heap_is_whole (md);
}

static void
each_damage (int kind)
{
  make (kind);
  heap_is_whole (md);
  for (const struct damage *d = damages; d < damages + DAMAGES; d++)
    if (!d->of_files || kind == IN_FILE)
      damage_is_found (d);
  heap_end (md);
}

START_TEST (in_memory)
{
  each_damage (ANONYMOUS);
}
END_TEST

START_TEST (in_a_file)
{
  each_damage (IN_FILE);
}
END_TEST

/* The superblocks of a heap's file, to write to.  */
static char *
file_made (void)
{
  ck_assert_ptr_null (mmalloc_detach (heap_file ()));
  int fd = open (temp_heap_path (), O_RDWR);
  char *file = mmap (NULL, 2 * MM_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED,
                     fd, 0);
  ck_assert_ptr_ne (file, MAP_FAILED);
  close (fd);
  return file;
}

static void
other_file_open (int flags)
{
  md = mmalloc_open (temp_heap_path (), flags, NULL);
  ck_assert_msg (md != NULL, "%s", mmalloc_strerror (NULL));
  h = heap_of (md);
}

/* Superblocks, for those who do not write to the file.  */
START_TEST (superblocks_looked_at)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE };
  char *file = file_made ();
  for (int i = 0; i < 3; i++)
    {
      other_file_open (flags[i]);
      copies = flags[i] == MMALLOC_PRIVATE ? md : file;
      for (const struct damage *d = damages; d < damages + DAMAGES; d++)
        if (d->make == super_both || d->make == super_newer
            || d->make == super_older)
          damage_is_found (d);
      heap_end (md);
    }
}
END_TEST

/* Others save superblocks as often as they can, each halfway most of the
   time.  */
static void
save_often (void *file)
{
  for (int i = 0; i < SAVES; i++)
    {
      struct disk_super next = h->super;
      next.generation += (unsigned) i + 1;
      next.sum = super_sum (&next);
      char *to = (char *) file + (next.generation & 1) * MM_PAGE;
      size_t half = offsetof (struct disk_super, generation);
      memcpy (to, &next, half);
      for (int wait = 0; wait < 500; wait++)
        atomic_signal_fence (memory_order_seq_cst);
      memcpy (to + half, (char *) &next + half, sizeof next - half);
      atomic_thread_fence (memory_order_seq_cst);
    }
}

START_TEST (superblocks_beside_writers)
{
  char *file = file_made ();
  other_file_open (MMALLOC_RDONLY);
  struct child child = child_start (save_often, file);
  siginfo_t ended = { .si_pid = 0 };
  while (ended.si_pid == 0)
    {
      must (mmalloc_check (md, support_finding, NULL) == 0);
      ck_assert_int_eq (waitid (P_PID, (id_t) child.pid, &ended,
                                WEXITED | WNOHANG | WNOWAIT), 0);
    }
  ck_assert_int_eq (child_end (child), 0);
  heap_end (md);
}
END_TEST


/* Another claims a page again and again, as whoever retires pages does.  */
static atomic_bool looked_enough;

static void *
claim_often (void *unused)
{
  (void) unused;
  uint64_t head = record (page)->head;
  while (!atomic_load (&looked_enough))
    {
      word_put (&h->locks->claim, (uint32_t) number (page));
      word_publish (&record (page)->head, head_in_state (head, HEAD_CLAIMED));
      word_publish (&record (page)->head, head);
      word_publish (&h->locks->claim, 0);
    }
  return NULL;
}

START_TEST (claims_beside_others)
{
  make (ANONYMOUS);
  record (page)->head = head_in_state (record (page)->head, HEAD_HELD);
  pthread_t other = thread_start (claim_often, NULL);
  for (int i = 0; i < LOOKS; i++)
    heap_is_whole (md);
  atomic_store (&looked_enough, true);
  thread_end (other);
  heap_end (md);
}
END_TEST


/* ---- Completeness ------------------------------------------------------- */

/* The string literal at *AT, of one or more parts, in TEXT; *AT moves behind
   it.  */
static void
literal (const char **at, char *text, size_t room)
{
  size_t n = 0;
  while (**at == '"')
    {
      for (++*at; **at != '"'; ++*at)
        {
          must (**at != '\0' && n + 1 < room);
          text[n++] = **at;
        }
      ++*at;
      size_t blanks = strspn (*at, " \n");
      *at += (*at)[blanks] == '"' ? blanks : 0;
    }
  text[n] = '\0';
}

/* A report that the source has is brought about above.  */
START_TEST (each_report)
{
  static char source[MIB (1)], path[PATH_MAX], text[200];
  int reports = 0;
  snprintf (path, sizeof path, "%s/mmalloc.c",
            getenv ("srcdir") != NULL ? getenv ("srcdir") : ".");
  int fd = open (path, O_RDONLY);
  ck_assert_msg (fd >= 0, "%s: %s", path, strerror (errno));
  ssize_t length = read (fd, source, sizeof source - 1);
  must (length > 0 && length < (ssize_t) sizeof source - 1);
  close (fd);
  for (const char *at = source; (at = strstr (at, "\"I")) != NULL; )
    {
      size_t digits = strspn (at + 2, "0123456789");
      if (digits == 0 || strncmp (at + 2 + digits, ": ", 2) != 0)
        {
          at += 2;
          continue;
        }
      literal (&at, text, sizeof text);
      reports++;
      int i = 0;
      while (i < DAMAGES && (damages[i].finding == NULL
                             || strcmp (damages[i].finding, text) != 0))
        i++;
      ck_assert_msg (i < DAMAGES, "no test brings about: %s", text);
    }
  ck_assert_int_ge (reports, 20);
}
END_TEST

RUN_TESTS (in_memory, in_a_file, superblocks_looked_at,
           superblocks_beside_writers, claims_beside_others, each_report)
