/* cache - keys and values that processes of several containers share.

   usage: cache FILE put KEY VALUE
          cache FILE get KEY
          cache FILE serve        such commands from the input, one a line
          cache FILE check        look at everything, and count it

   The heap keeps its blocks whole by itself; whose turn it is to change the
   table is the program's to say.  A mutex of the C library would not do: it
   knows its owner by a number that means something in one PID namespace only.
   A lock on a byte of the file does: the kernel takes it back when the holder
   dies, wherever that is.  Each bucket has the byte of its number; those of the
   library are far behind.  Such a lock is an open file's, so threads that use
   the table open the file for themselves.

   A kill may come at any instruction.  To put an entry is, in this order:

     1. set `busy': who finds that under the lock comes after one who died;
     2. the new entry becomes a block, which `spare' points to, and complete;
     3. `gone' points to the one with the same key, if any;
     4. the new one moves from `spare' into the chain, in the other's place;
     5. free the block in `gone', unless it is still in the chain, and the one
        in `spare', if there is one;
     6. clear `busy'.

   Who comes after one who died has mmalloc_recover end his calls, and does 5.
   So a key has its old value or its new one, and no block is lost.  */

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <mmalloc.h>

enum { N_BUCKETS = 1024, LAYOUT = 1 };

struct entry
{
  struct entry *next;
  char text[];                  /* the key, '\0', the value, '\0' */
};

struct bucket
{
  struct entry *first, *spare, *gone;
  size_t busy;
};

static int fd;
static void *md;
static struct bucket *buckets;

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "cache: %s: %s\n", what, why);
  exit (1);
}

static void
lock (const struct bucket *b, short how)
{
  struct flock l = { .l_type = how, .l_whence = SEEK_SET,
                     .l_start = b - buckets, .l_len = 1 };
  while (fcntl (fd, F_OFD_SETLKW, &l) != 0)
    if (errno != EINTR)
      die ("no lock", strerror (errno));
}

/* Step 5 of above, which may be done twice.  */
static void
finish (struct bucket *b)
{
  const struct entry *e = b->first;
  while (e != NULL && e != b->gone)
    e = e->next;
  if (e != NULL)
    mmalloc_publish (&b->gone, NULL);
  if (mfree_from (md, (void **) &b->gone) != 0
      || mfree_from (md, (void **) &b->spare) != 0)
    die ("cannot free", mmalloc_strerror (md));
}

/* Only this process reads or changes the bucket from here on ...  */
static void
begin (struct bucket *b)
{
  lock (b, F_WRLCK);
  if (b->busy && mmalloc_recover (md) != 0)
    die ("cannot recover", mmalloc_strerror (md));
  if (b->busy)
    finish (b);
  mmalloc_publish (&b->busy, 1);
}

/* ... up to here.  */
static void
end (struct bucket *b)
{
  finish (b);
  mmalloc_publish (&b->busy, 0);
  lock (b, F_UNLCK);
}

static struct bucket *
bucket_of (const char *key)
{
  size_t h = 5381;
  while (*key != '\0')
    h = h * 33 + (unsigned char) *key++;
  return &buckets[h % N_BUCKETS];
}

/* Where the pointer to the entry with KEY is, or would be.  */
static struct entry **
find (struct bucket *b, const char *key)
{
  struct entry **at = &b->first;
  while (*at != NULL && strcmp ((*at)->text, key) != 0)
    at = &(*at)->next;
  return at;
}

static void
put (const char *key, const char *value)
{
  struct bucket *b = bucket_of (key);
  size_t k = strlen (key) + 1, v = strlen (value) + 1;
  begin (b);
  if (mmalloc_to (md, (void **) &b->spare, sizeof *b->spare + k + v) != 0)
    die (key, mmalloc_strerror (md));
  memcpy (b->spare->text, key, k);
  memcpy (b->spare->text + k, value, v);
  struct entry **at = find (b, key), *old = *at;
  b->spare->next = old != NULL ? old->next : NULL;
  mmalloc_publish (&b->gone, old);
  if (mmalloc_move (md, (void **) at, (void **) &b->spare) != 0)
    die (key, mmalloc_strerror (md));
  end (b);
}

static void
get (const char *key)
{
  struct bucket *b = bucket_of (key);
  lock (b, F_RDLCK);
  const struct entry *e = *find (b, key);
  printf ("%s %s\n", key, e != NULL ? e->text + strlen (key) + 1 : "- none -");
  lock (b, F_UNLCK);
  fflush (stdout);
}

/* Carry out a command, and answer with what is there then.  */
static void
obey (const char *command, const char *key, const char *value)
{
  bool puts = value != NULL && strcmp (command, "put") == 0;
  if (key == NULL || (!puts && strcmp (command, "get") != 0))
    die ("usage", "put KEY VALUE, or get KEY");
  if (puts)
    put (key, value);
  get (key);
}

/* Not exact while others put.  */
static int
check (void)
{
  struct mmalloc_stats stats;
  size_t n = 0;
  for (struct bucket *b = buckets; b < buckets + N_BUCKETS; b++)
    {
      begin (b);
      for (const struct entry *e = b->first; e != NULL; e = e->next)
        n++;
      end (b);
    }
  int findings = mmalloc_check (md, NULL, NULL);
  if (findings < 0 || mmalloc_stats (md, &stats) != 0)
    die ("cannot check", mmalloc_strerror (md));
  printf ("%zu entries, %zu blocks, %d findings\n", n, stats.blocks_live - 1,
          findings);
  return findings != 0;
}

static void
open_cache (const char *file)
{
  struct mmalloc_options opt = MMALLOC_OPTIONS_INIT;
  opt.fd = fd = open (file, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (fd < 0)
    die (file, strerror (errno));
  opt.app_version = LAYOUT;
  md = mmalloc_open (NULL, MMALLOC_CREATE, &opt);
  if (md == NULL)
    die (file, mmalloc_strerror (NULL));
  buckets = mmalloc_makeroot (md, "cache", N_BUCKETS * sizeof *buckets, NULL,
                              NULL);
  if (buckets == NULL)
    die (file, mmalloc_strerror (md));
}

int
main (int argc, char **argv)
{
  char line[4096];
  int status = 0;
  if (argc < 3)
    return fprintf (stderr, "usage: cache FILE put KEY VALUE | get KEY | serve"
                            " | check\n"), 2;
  open_cache (argv[1]);
  if (strcmp (argv[2], "check") == 0)
    status = check ();
  else if (strcmp (argv[2], "serve") != 0)
    obey (argv[2], argv[3], argc > 3 ? argv[4] : NULL);
  else
    while (fgets (line, sizeof line, stdin) != NULL)
      {
        char *command = strtok (line, " \n"), *key = strtok (NULL, " \n");
        if (command != NULL)
          obey (command, key, strtok (NULL, "\n"));
      }
  return mmalloc_detach (md) != NULL ? 1 : status;
}
