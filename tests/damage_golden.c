/* The golden corpus of damages: what is said about each is part of the
   interface.  A recipe damages a base heap in one way; the table says with
   which error the file is refused, or what mmalloc_check finds in it, which is
   the same for readers and writers and the second time, too.  */

#include "hostile/logs.h"

static struct image image;
static struct parts parts;


/* ---- Places ---------------------------------------------------------- */

static uint64_t *
dir_word (size_t c)
{
  return view_word (parts.dir + c * 8);
}

static struct disk_root *
root_page (void)
{
  return (struct disk_root *) (void *) (hostile_view + MM_OFF_ROOT);
}

static struct disk_locks *
locks (void)
{
  return (struct disk_locks *) (void *) (hostile_view + MM_OFF_LOCKS);
}

static struct disk_stream *
stream (size_t i)
{
  return (struct disk_stream *) (void *) (hostile_view + parts.streams) + i;
}

/* Chunk 0. */
static size_t
chunk_off (void)
{
  return (size_t) (round_up (image.base, MM_SLICE) - image.base);
}

static struct disk_index *
index_page (void)
{
  return (struct disk_index *) (void *) (hostile_view + chunk_off ()
                                         + MM_OFF_INDEX);
}

static struct disk_slice *
record (size_t s)
{
  return (struct disk_slice *) (void *) (hostile_view + chunk_off ()
                                         + MM_OFF_RECORDS) + s;
}

static size_t
n_records (void)
{
  return dir_ready (*dir_word (0));
}

/* First slice of a run of KIND; for a page, one of SLICES.  */
static size_t
run_of (unsigned kind, size_t slices)
{
  size_t s = (parts.first_data - chunk_off ()) / MM_SLICE;
  for (; s < n_records (); s++)
    {
      uint64_t head = record (s)->head;
      if (head_kind (head) == kind
          && (kind != HEAD_PAGE || head_slices (head) == slices))
        return s;
    }
  broken ("the base heap has no run of kind %u", kind);
}

/* The bucket of the first named root, and the root.  */
static uint64_t *
bucket_used (void)
{
  uint64_t *bucket = view_word (MM_OFF_BUCKETS);
  while (*bucket == 0)
    bucket++;
  return bucket;
}

static struct disk_name *
name_used (void)
{
  return (struct disk_name *) (void *) (hostile_view + *bucket_used ());
}

/* The first block of the first page of large blocks, as the program sees it. */
static char *
page_block (void)
{
  size_t s = run_of (HEAD_PAGE, 1);
  return hostile_view + chunk_off () + s * MM_SLICE;
}


/* ---- Recipes --------------------------------------------------------- */

static void nothing (void) { }

static void super_a (void) { memset (hostile_view + 40, 1, 8); }
static void super_b (void) { memset (hostile_view + MM_PAGE + 40, 1, 8); }
static void super_both (void) { super_a (); super_b (); }
static void super_a_base (void) { hostile_view[48 + 4] ^= 1; }
static void super_b_base (void) { hostile_view[MM_PAGE + 48 + 4] ^= 1; }
static void super_a_gone (void) { memset (hostile_view, 0, MM_PAGE); }

static void length_0 (void) { root_page ()->length = 0; }
static void length_more (void) { root_page ()->length = image.length + 1; }
static void length_all (void) { root_page ()->length = UINT64_MAX; }
static void
length_half (void)
{
  root_page ()->length = round_up (image.length / 2, MM_PAGE);
}
static void used_0 (void) { root_page ()->used = 0; }
static void slab_wild (void) { root_page ()->slab = UINT64_MAX; }
static void
keys_wild (void)
{
  for (int i = 0; i < MM_KEYS; i++)
    root_page ()->key[i] = UINT64_MAX;
}
static void guards_on (void) { root_page ()->guards = 1; }

static void lock_state (void) { locks ()->state = 77; }
static void
lock_words (void)
{
  memset (&locks ()->heap, 0xff, 64);
  memset (&locks ()->grow, 0xff, 64);
}
static void lock_tag_wild (void) { locks ()->tag = 1; }
static void epoch_wraps (void) { locks ()->epoch = UINT32_MAX; }
static void claim_wild (void) { locks ()->claim = UINT64_MAX; }
static void
claim_page (void)
{
  locks ()->claim = run_of (HEAD_PAGE, 1);
}
/* A slot call of the dead, a move, between words that are none.  */
static void
move_wild (void)
{
  struct disk_op *op = (struct disk_op *) (void *) (locks () + 1);
  op->owner = 77;
  op->slot = (UINT64_C (1) << 50) + 8;
  op->from = (UINT64_C (1) << 50) + 16;
  op->moved = 4096;
}
static void
move_in_header (void)
{
  struct disk_op *op = (struct disk_op *) (void *) (locks () + 1);
  op->owner = 77;
  op->slot = MM_OFF_ROOT + offsetof (struct disk_root, key);
  op->from = op->slot + 8;
  op->moved = 4096;
  root_page ()->key[0] = root_page ()->key[1]
    = *view_word (offsetof (struct disk_super, base)) + 4096;
}
static void n_backed_wild (void) { locks ()->n_backed = UINT64_MAX; }
static void streams_0 (void) { locks ()->streams_ready = 0; }
static void streams_odd (void) { locks ()->streams_ready = 3; }
static void
streams_more (void)
{
  uint32_t unit = MM_PAGE / (uint32_t) sizeof (struct disk_stream);
  struct disk_super *super = (struct disk_super *) (void *) hostile_view;
  locks ()->streams_ready = (uint32_t) round_up (super->n_streams + 1, unit);
}
static void streams_wild (void) { locks ()->streams_ready = UINT32_MAX; }
static void
entries_wild (void)
{
  memset (hostile_view + MM_OFF_PROCS, 0xff, MM_PROCS_FIRST * 64);
}

static void
stream_locks (void)
{
  memset (&stream (0)->lock, 0xff, 64);
}
static void
stream_lists (void)
{
  for (int cl = 0; cl < MM_CLASSES; cl++)
    {
      stream (0)->first[cl] = UINT32_MAX;
      stream (0)->last[cl] = 5;
      stream (1)->first[cl] = 1000;
      stream (1)->active[cl] = (uint32_t) run_of (HEAD_PAGE, 1);
    }
  stream (0)->queue = (uint64_t) run_of (HEAD_PAGE, 1);
}
/* Into a chunk behind the file's end.  */
static void
stream_lists_far (void)
{
  uint32_t far = 5 * MM_CHUNK_SLICES + 20;
  for (uint32_t i = 0; i < locks ()->streams_ready; i++)
    {
      for (int cl = 0; cl < MM_CLASSES; cl++)
        stream (i)->first[cl] = stream (i)->last[cl] = far;
      stream (i)->queue = far;
    }
  locks ()->claim = far;
}
static void
list_loops (void)
{
  size_t s = run_of (HEAD_PAGE, 1);
  record (s)->link = (uint32_t) s;
  for (int i = 0; i < 2; i++)
    for (int cl = 0; cl < MM_CLASSES; cl++)
      stream ((size_t) i)->first[cl] = (uint32_t) s;
}

static void dir0_empty (void) { *dir_word (0) = 0; }
static void dir0_huge (void) { *dir_word (0) = dir_huge (0, 1); }
static void dir0_cont (void) { *dir_word (0) = dir_cont (9); }
static void dir0_all (void) { *dir_word (0) |= 0xffff; }
static void ready_few (void) { *dir_word (0) = dir_paged (4, 64); }
static void ready_many (void) { *dir_word (0) = dir_paged (3000, 64); }
static void ready_0 (void) { *dir_word (1) = dir_paged (0, 64); }
static void dir_kind_9 (void) { *dir_word (1) = UINT64_C (9) << 16; }
static void dir_bits (void) { *dir_word (5) = 2048; }
static void dir_far (void) { *dir_word (5) = dir_paged (64, 64); }
static void dir_left (void) { *dir_word (5) = dir_cont (1); }

/* Chunk of the first huge block of more than one chunk.  */
static size_t
huge_chunk (void)
{
  size_t c = 1;
  while (dir_kind (*dir_word (c)) != DIR_HUGE
         || dir_kind (*dir_word (c + 1)) != DIR_CONT)
    c++;
  return c;
}
static void
huge_long (void)
{
  *dir_word (huge_chunk ()) = dir_huge (0, 100000);
}
static void
huge_longest (void)
{
  *dir_word (huge_chunk ()) = dir_huge (0, UINT32_MAX);
}
static void huge_0 (void) { *dir_word (huge_chunk ()) = dir_huge (0, 0); }
static void
huge_start (void)
{
  *dir_word (huge_chunk ()) = dir_huge (4000, 10);
}
static void
huge_short (void)
{
  *dir_word (huge_chunk ()) = dir_huge (0, 5);
}
static void
huge_elsewhere (void)
{
  *dir_word (huge_chunk () + 1) = dir_cont (3);
}
static void huge_headless (void) { *dir_word (huge_chunk ()) = 0; }
static void huge_torn (void) { *dir_word (huge_chunk () + 1) = 0; }

static void index_epoch (void) { index_page ()->epoch += 17; }
static void
index_free (void)
{
  memset (index_page ()->free, 0xff, sizeof index_page ()->free);
}
static void
index_unbacked (void)
{
  size_t s = run_of (HEAD_PAGE, 1);
  index_page ()->backed[s / 64] &= ~(UINT64_C (1) << s % 64);
}
static void
index_all_backed (void)
{
  memset ((void *) index_page ()->backed, 0xff, 256);
}

/* Set FIELD bits of the head of the first page.  */
static void
set_page_head (uint64_t clear, uint64_t set)
{
  struct disk_slice *r = record (run_of (HEAD_PAGE, 1));
  r->head = (r->head & ~clear) | set;
}
static void page_of_nobody (void) { set_page_head (0xffff, 0); }
static void page_of_far (void) { set_page_head (0xffff, 0xfffe); }
static void
page_length (void)
{
  set_page_head (UINT64_C (0xffff) << 32, UINT64_C (9) << 32);
}
static void page_state (void) { set_page_head (0, HEAD_STATE); }
static void
page_claimed (void)
{
  set_page_head (HEAD_STATE, (uint64_t) HEAD_CLAIMED << 20);
}
static void page_active (void) { set_page_head (HEAD_STATE, 0); }
static void
page_class (void)
{
  set_page_head (UINT64_C (0xff) << 24, UINT64_C (0xff) << 24);
}
static void
page_bits (void)
{
  record (run_of (HEAD_PAGE, 5))->own[0] ^= UINT64_C (1) << 40;
}
static void
page_bits_all (void)
{
  struct disk_slice *r = record (run_of (HEAD_PAGE, 1));
  for (int i = 0; i < MM_WORDS; i++)
    r->rem[i] = UINT64_C (0xaaaaaaaaaaaaaaaa);
}
static void
page_cont (void)
{
  record (run_of (HEAD_PAGE, 5) + 1)->head = 0;
}
static void
page_last (void)
{
  record (n_records () - 1)->head = head_make (HEAD_PAGE, HEAD_HELD, 1, 39, 8);
}
static void
page_last_live (void)
{
  page_last ();
  record (n_records () - 1)->own[0] = UINT64_MAX;
}
/* A free into a full word tells the page's stream.  */
static void
page_full_far (void)
{
  struct disk_slice *r = record (run_of (HEAD_PAGE, 1));
  page_of_far ();
  r->own[0] = UINT64_MAX;
  r->rem[0] = 0;
}
static void
head_wild (void)
{
  record (n_records () - 2)->head = UINT64_C (9) << 16;
}
static void
cont_wild (void)
{
  record (n_records () - 2)->head = head_cont (60000);
}
static void
large_long (void)
{
  record (run_of (HEAD_LARGE, 0))->head = head_make (HEAD_LARGE, 0, 0, 0,
                                                     60000);
}
static void
large_0 (void)
{
  record (run_of (HEAD_LARGE, 0))->head = head_make (HEAD_LARGE, 0, 0, 0, 0);
}
/* A bit of the length: it covers the next run.  */
static void
large_over_next (void)
{
  struct disk_slice *r = record (run_of (HEAD_LARGE, 0));
  r->head = head_make (HEAD_LARGE, 0, 0, 0, head_slices (r->head) + 1);
}
static void
roots_lost (void)
{
  record (run_of (HEAD_ROOTS, 0))->head = 0;
}

static void bucket_wild (void) { *bucket_used () = UINT64_MAX; }
/* A record that is whole, but not where records can be.  */
static void
bucket_odd (void)
{
  struct disk_name *name = name_used ();
  size_t n = sizeof *name + name->len;
  NEED (name->len + 8u <= name->room);
  memmove ((char *) name + 8, name, n);
  *bucket_used () += 8;
}
static void bucket_far (void) { *bucket_used () |= UINT64_C (1) << 46; }
static void bucket_0 (void) { *bucket_used () = 0; }
static void name_loop (void) { name_used ()->next = *bucket_used (); }
static void name_hash (void) { name_used ()->hash++; }
static void name_other (void) { name_used ()->name[0] ^= 1; }
static void name_long (void) { name_used ()->len = 1001; }
static void
name_longest (void)
{
  name_used ()->len = MM_NAME_MAX + 1;
  name_used ()->room = MM_NAME_MAX + 100;
}
static void
name_far_longer (void)
{
  name_used ()->len = UINT16_MAX - 100;
  name_used ()->room = UINT16_MAX;
}
static void name_room (void) { name_used ()->room = 0; }
/* A record that is whole, where the heap has its own.  */
static void
name_in_metadata (void)
{
  struct disk_name *name = name_used ();
  size_t s = run_of (HEAD_ROOTS, 0);
  size_t own = (parts.first_data - chunk_off ()) / MM_SLICE - 1;
  uint64_t off = chunk_off () + own * MM_SLICE + MM_SLICE / 2;
  memcpy (hostile_view + off, name, sizeof *name + name->len);
  record (own)->head = record (s)->head;
  *bucket_used () = off;
}
static void name_next (void) { name_used ()->next = 16; }

static void guard_over (void) { memset (page_block () + 16, 0x11, 16); }
static void
guard_behind (void)
{
  /* The first live block whose guard says how long it is.  */
  for (size_t i = 0; i < image.n_live; i++)
    {
      char *user = hostile_view + image.live[i];
      struct guard *g = (struct guard *) (void *) user - 1;
      if (g->size == 1000)
        {
          user[1000] ^= 1;
          return;
        }
    }
  broken ("the base heap has no such block");
}

static const struct golden
{
  const char *name;
  enum base_kind base;
  void (*make) (void);
  int error;                    /* of opening */
  const char *found;            /* each finding once, in order */
} golden[] = {
#include "hostile/golden.h"
};
enum { GOLDEN = sizeof golden / sizeof *golden };


/* ---- Looking --------------------------------------------------------- */

static char found[1000];

static void
note (const char *finding, const void *where, void *arg)
{
  size_t n = strlen (found);
  (void) where, (void) arg;
  if (strstr (found, finding) == NULL)
    snprintf (found + n, sizeof found - n, "%s%s", n > 0 ? "; " : "", finding);
}

static void
check (const struct golden *g, void *md, const char *who)
{
  found[0] = '\0';
  MUST (mmalloc_check (md, note, NULL) >= 0);
  if (strcmp (found, g->found) != 0)
    wrong ("%s, %s: found \"%s\"", g->name, who, found);
}

static enum outcome
golden_case (const struct image *im, uint64_t n)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE, 0 };
  static const char *const who[] = { "reader", "elsewhere", "private",
                                     "writer" };
  const struct golden *g = &golden[n];
  if (g->base != im->kind)
    return HARMLESS;
  g->make ();
  for (int i = 0; i < 4; i++)
    {
      struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
      opt.fd = hostile_fd;
      errno = 0;
      void *md = mmalloc_open (NULL, flags[i], &opt);
      if (errno != g->error || (md == NULL) != (g->error != 0))
        wrong ("%s, %s: errno is %d (%s)", g->name, who[i], errno,
               mmalloc_strerror (NULL));
      if (md == NULL)
        continue;
      check (g, md, who[i]);
      check (g, md, who[i]);
      MUST (mmalloc_detach (md) == NULL);
    }
  enum outcome outcome = use_all (im, n);
  return g->error != 0 ? REFUSED : g->found[0] != '\0' ? DETECTED : outcome;
}

/* ---- With a log ------------------------------------------------------ */

static struct records records;

/* The last record, and the I-th before it.  */
static struct disk_record *
last (size_t i)
{
  return log_record (&records, records.n - 1 - i);
}

/* The first that counts.  */
static struct disk_record *
first (void)
{
  return last ((size_t) (last (0)->seq - last (0)->first));
}

/* Its last change is forged: a page N.  */
static void
page_is (uint64_t n)
{
  struct disk_change *change = (void *) (last (0) + 1);
  change[last (0)->n - 1].page = n;
  log_seal (last (0));
}

/* One word of it is forged.  */
#define LAST_IS(member, value) \
  (last (0)->member = (value), log_seal (last (0)))

static void last_gone (void) { memset (last (0), 0, last (0)->bytes); }
static void last_torn (void) { ((char *) last (0))[3000] ^= 1; }
static void
two_torn (void)
{
  last_torn ();
  ((char *) last (1))[3000] ^= 1;
}
static void
two_gone (void)
{
  memset (last (1), 0, last (1)->bytes);
  last_gone ();
}
static void first_gone (void) { memset (first (), 0, first ()->bytes); }
static void first_torn (void) { ((char *) first ())[3000] ^= 1; }
static void old_torn (void) { ((char *) (log_record (&records, 1)))[200] ^= 1; }
static void
other_gone (void)
{
  size_t half = logs->size / 2, other = last (0)->at < half ? half : 0;
  memset (hostile_view + logs->log + other, 0, half);
}
static void
all_gone (void)
{
  memset (hostile_view + logs->log, 0, logs->size);
}
static void
foreign_record (void)
{
  struct disk_super *s = (struct disk_super *) (void *) hostile_view;
  struct disk_record *r = (struct disk_record *) (void *)
                          (hostile_view + logs->log);
  *r = (struct disk_record){ .magic = MM_RECORD_MAGIC, .seq = 1, .first = 1,
                             .bytes = MM_PAGE, .data = sizeof *r,
                             .epoch = s->log_epoch ^ 1, .length = MIB (1) };
  memcpy (r->uuid, s->uuid, sizeof r->uuid);
  log_seal (r);
}

static void page_0 (void) { page_is (0); }
static void page_1 (void) { page_is (1); }
static void page_entries (void) { page_is (3); }
static void page_entries_end (void) { page_is (5); }
static void page_capacity (void) { page_is (image.capacity / MM_PAGE); }
static void page_log (void) { page_is (logs->log / MM_PAGE + 1); }
static void page_far (void) { page_is (UINT64_C (1) << 40); }
static void page_wraps (void) { page_is ((UINT64_C (1) << 52) + 7); }
static void page_all (void) { page_is (UINT64_MAX); }
static void n_more (void) { LAST_IS (n, last (0)->n + 1); }
static void
n_room (void)
{
  LAST_IS (n, (last (0)->bytes - sizeof *last (0)) / 16);
}
static void n_wraps (void) { LAST_IS (n, (UINT64_C (1) << 60) + 1); }
static void n_all (void) { LAST_IS (n, UINT64_MAX); }
static void
mask_all (void)
{
  struct disk_change *change = (void *) (last (0) + 1);
  for (uint64_t i = 0; i < last (0)->n; i++)
    change[i].mask = UINT64_MAX;
  log_seal (last (0));
}
static void data_early (void) { LAST_IS (data, last (0)->data - 16); }
static void data_0 (void) { LAST_IS (data, 0); }
static void data_late (void) { LAST_IS (data, last (0)->bytes - 64); }
static void data_behind (void) { LAST_IS (data, last (0)->bytes + 64); }
static void data_wraps (void) { LAST_IS (data, UINT64_MAX - 63); }
static void bytes_0 (void) { LAST_IS (bytes, 0); }
/* Before there was a record of any size.  */
static void
first_bytes_0 (void)
{
  struct disk_record *r = (struct disk_record *) (void *)
                          (hostile_view + logs->log);
  r->bytes = 0;
}
static void bytes_odd (void) { LAST_IS (bytes, last (0)->bytes + 32); }
static void
bytes_half (void)
{
  uint64_t half = logs->size / 2;
  memset (hostile_view + logs->log + half, 0, half);
  LAST_IS (bytes, half - last (0)->at % half + MM_PAGE);
}
static void bytes_log (void) { LAST_IS (bytes, MIB (1)); }
static void bytes_all (void) { LAST_IS (bytes, UINT64_MAX - MM_PAGE + 1); }
static void seq_0 (void) { LAST_IS (seq, 0); }
static void seq_same (void) { LAST_IS (seq, last (1)->seq); }
static void seq_high (void) { LAST_IS (seq, last (0)->seq + 1); }
static void seq_all (void) { LAST_IS (seq, UINT64_MAX); }
static void first_0 (void) { LAST_IS (first, 0); }
static void first_high (void) { LAST_IS (first, last (0)->seq + 1); }
static void first_lost (void) { LAST_IS (first, 1); }
static void at_other (void) { LAST_IS (at, last (0)->at - MM_PAGE); }
static void record_length_0 (void) { LAST_IS (length, MM_PAGE); }
static void
record_length_more (void)
{
  LAST_IS (length, image.capacity + MM_PAGE);
}
static void record_length_all (void) { LAST_IS (length, UINT64_MAX); }
static void
direct_turned (void)
{
  last (0)->direct_end = MM_PAGE;
  LAST_IS (direct, 2 * MM_PAGE);
}
static void
direct_far (void)
{
  LAST_IS (direct_end, last (0)->length + MM_PAGE);
}
static void kept_2 (void) { LAST_IS (kept, 2); }
static void holes_1 (void) { LAST_IS (holes, 1); }
static void holes_2 (void) { LAST_IS (holes, 2); }
static void other_uuid (void) { LAST_IS (uuid[15], last (0)->uuid[15] ^ 1); }
static void other_epoch (void) { LAST_IS (epoch, last (0)->epoch ^ 2); }
static void other_magic (void) { LAST_IS (magic, MM_RECORD_MAGIC + 1); }
static void
page_behind (void)
{
  page_is (image.capacity / MM_PAGE - 1);
}
/* One who looks has no memory there, and one who lays it over the image.  */
static void
page_behind_file (void)
{
  page_is (image.kind == BASE_INSIDE ? image.length / MM_PAGE + 100
                                     : image.capacity / MM_PAGE - 10);
}
static void
record_length_wild (void)
{
  page_behind_file ();
  LAST_IS (length, image.capacity);
}

enum { REFUSE = -1, HARMLESS_ANY = -2 };
static const struct golden_log
{
  const char *name;
  enum base_kind base;
  void (*make) (void);
  int looks, writes;            /* the checkpoint that they find, from the last
                                   one back */
} golden_log[] = {
#include "hostile/golden_log.h"
};
enum { GOLDEN_LOG = sizeof golden_log / sizeof *golden_log };

/* In each way twice; who makes checkpoints, beside one who reads and alone.  */
static enum outcome
golden_log_case (const struct image *im, uint64_t n)
{
  static const int flags[] = { MMALLOC_RDONLY, MMALLOC_ELSEWHERE,
                               MMALLOC_PRIVATE, MMALLOC_CHECKPOINT,
                               MMALLOC_CHECKPOINT, 0 };
  const struct golden_log *g = &golden_log[n];
  if (g->base != im->kind)
    return HARMLESS;
  enum expected wish = g->looks == HARMLESS_ANY ? ANY : ONE;
  for (int i = 0; i < 6; i++)
    {
      struct use u = { .n = n };
      int want = i < 3 ? g->looks : g->writes;
      base_restore (im);
      g->make ();
      log_remember (im);
      int reader = i == 3 ? log_reader () : -1;
      int got = log_use_file (im, flags[i], &u, wish);
      if (reader >= 0)
        close (reader);
      if (i < 3)
        log_untouched (im);
      if (wish == ONE
          && got != (want == REFUSE ? LOG_REFUSED : (int) logs->n - 1 - want))
        wrong ("%s, way %d: found %d of %d checkpoints (%s)", g->name, i, got,
               (int) logs->n, mmalloc_strerror (NULL));
    }
  return g->writes == REFUSE ? REFUSED : g->writes > 0 ? DETECTED : HARMLESS;
}

int
main (void)
{
  int failed = 0;
  for (int kind = 0; kind < BASE_KINDS; kind++)
    {
      base_make (&image, (enum base_kind) kind);
      parts_find (&parts, &image);
      failed += run_cases (&image, golden_case, "golden", GOLDEN);
    }
  for (int kind = BASE_KINDS; kind < BASE_ALL; kind++)
    {
      log_make (&image, (enum base_kind) kind, &parts);
      log_records (&records);
      failed += run_cases (&image, golden_log_case, "golden log", GOLDEN_LOG);
    }
  return closing_line (GOLDEN + GOLDEN_LOG, failed, 0);
}
