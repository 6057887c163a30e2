/* fuzz_log.h - what fuzz_heap.c does to heaps with a log.

   An input is

       byte 0     bit 7: set; bits 0 and 1: which base heap; bit 2: make the
                  sums of both superblocks right again, bit 3: those of all
                  records
       byte 1     how many changes follow, modulo 16; and, divided by that, the
                  ways in which it is opened, see log_use
       changes    13 bytes each: what to do (see log_change), where (4 bytes),
                  value (8 bytes)

   If no sum is made right again, it is refused or as at one of its checkpoints.
   These heaps are in files in memory, and the system maps them.  */

#ifndef FUZZ_LOG_H
#define FUZZ_LOG_H 1

static struct log_base
{
  struct image image;
  struct parts parts;
  struct records records;
  struct logs *logs;
  int fd;
  char *view;
} log_bases[BASE_ALL - BASE_KINDS], *lb;

static __typeof__ (os) log_os;

/* Needs: no stand-ins yet.  */
static void
log_bases_make (void)
{
  __typeof__ (os) real = os;
  for (int kind = BASE_KINDS; kind < BASE_ALL; kind++)
    {
      struct log_base *base = &log_bases[kind - BASE_KINDS];
      os = real;
      logs = NULL;
      hostile_fd = -1;
      log_make (&base->image, (enum base_kind) kind, &base->parts);
      log_records (&base->records);
      base->logs = logs;
      base->fd = hostile_fd;
      base->view = hostile_view;
      run_fence (&base->image);
    }
  log_os = os;
  log_os.create = log_no_create;
  os = real;
}

/* A word: of a record's head, of its index, of any of its pages, of the other
   end; of the superblocks what they say of the log; of all of the log.  If all
   can be forged, of the heap's metadata, too.  */
static size_t
log_change_place (uint64_t where, bool all)
{
  size_t n = where & 0xfffff, what = where >> 28 & 7;
  size_t head = sizeof (struct disk_record);
  const struct records *r = &lb->records;
  if (what == 7)
    return n % 2 * MM_PAGE + offsetof (struct disk_super, log) + n / 2 % 4 * 8;
  if (what == 6 && all)
    return (size_t) lb->parts.words[n % lb->parts.n_words] * 8;
  if (what >= 5 || r->n == 0)
    return logs->log + n % (logs->size / 8) * 8;
  size_t i = (where >> 20) % r->n, off = r->record[i].off;
  n %= r->record[i].bytes / 8;
  return what <= 1   ? off + n % (head / 8) * 8
         : what == 2 ? off + head + n % (2 * r->record[i].n) * 8
         : what == 3 ? off + n * 8
                     : off + r->record[i].bytes - head + n % (head / 8) * 8;
}

static void
log_change (const uint8_t **data, size_t *size, bool all)
{
  unsigned what = (unsigned) get_bytes (data, size, 1);
  size_t off = log_change_place (get_bytes (data, size, 4), all);
  size_t page = off & ~(size_t) (MM_PAGE - 1);
  uint64_t value = get_bytes (data, size, 8), *word = view_word (off);
  size_t other = log_change_place (value, all) & ~(size_t) (MM_PAGE - 1);
  switch (what % 8)
    {
    case 0:
      *word ^= value;
      break;
    case 1:
      *word += value;
      break;
    case 2:
      *word ^= UINT64_C (1) << value % 64;
      break;
    case 3:                     /* torn, or of another time */
      if (page >= logs->log)
        memset (hostile_view + page, 0, MM_PAGE);
      break;
    case 4:
      if (page >= logs->log && other >= logs->log)
        memmove (hostile_view + page, hostile_view + other, MM_PAGE);
      break;
    case 5:
      *word = *view_word (log_change_place (value, all));
      break;
    default:
      *word = value;
    }
}

static void
fuzz_log (unsigned first, const uint8_t *data, size_t size)
{
  __typeof__ (os) fast = os;
  os = log_os;
  lb = &log_bases[first & 3];
  logs = lb->logs;
  hostile_fd = lb->fd;
  hostile_view = lb->view;
  fuzz_random = 1;
  unsigned second = (unsigned) get_bytes (&data, &size, 1);
  bool all = (first & 0xc) != 0;
  base_restore (&lb->image);
  for (unsigned i = 0; i < second % CHANGES && size > 0; i++)
    log_change (&data, &size, all);
  for (size_t i = 0; i < lb->records.n && (first & 8); i++)
    log_seal (log_record (&lb->records, i));
  for (int i = 0; i < 2 && (first & 4); i++)
    view_sum (i);
  log_use (&lb->image, second / CHANGES, all ? ANY : ONE);
  os = fast;
}

#endif /* FUZZ_LOG_H */
