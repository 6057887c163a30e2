/* wordcount - count the words of text files, and keep the counts in a heap.

   usage: wordcount [-n WORDS] [-k WORD] HEAP [FILE...]
          wordcount -l HEAP

   Counts the words of each FILE, which are its runs of letters, capitals as
   small ones.  The counts, and how far each file was read, live in the heap
   file HEAP: a run starts where the last one ended, whichever way it ended.
     -n WORDS   stop after so many words
     -k WORD    be killed (SIGKILL) in the middle of counting that word of this
                run: 1 the first; WORD modulo 4 picks the place, see `step'
     -l         list all counts, a line each

   Everything below struct counts is plain C data with plain pointers, found
   by the name of its root.  To count a word changes two things, its count and
   the place in the file.  A kill may come between them, so what is to be
   changed is written down first:

     1. find the word, or make it with a count of zero and link it with one
        store that mmalloc_publish keeps in its place, as those below;
     2. write the two new values into `step', and last, with one store,
        step.word: from here on the word counts as counted;
     3. store both values where they belong;
     4. clear step.word, with one store.

   A run that finds step.word set does 3 and 4 over again before anything
   else; the values are absolute, so doing it twice does no harm.  A kill
   before step.word is stored leaves nothing but a word with a count of zero, or
   at worst one block that nobody knows.  One run at a time.  */

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <mmalloc.h>

enum { N_CHAINS = 4096, N_TOP = 3 };

struct word
{
  struct word *next;            /* in its chain */
  size_t count;
  size_t length;
  char letters[];
};

struct file
{
  struct file *next;
  size_t counted;               /* bytes of the file whose words are counted */
  char name[];
};

struct counts
{
  struct word *chains[N_CHAINS];
  struct file *files;
  size_t runs;
  struct
  {
    struct word *word;          /* not NULL: not finished */
    size_t count;               /* what word->count becomes */
    struct file *file;
    size_t counted;             /* what file->counted becomes */
  } step;
};

/* One run's view. */
struct run
{
  void *md;
  struct counts *counts;
  size_t n_words;               /* counted by this run */
  size_t limit;                 /* of n_words */
  size_t kill_at;               /* 0: not at all */
};

static void
die (const char *what, const char *why)
{
  fprintf (stderr, "wordcount: %s: %s\n", what, why);
  exit (1);
}

/* The places to be killed at.  */
static void
kill_point (const struct run *run, size_t place)
{
  if (run->n_words + 1 == run->kill_at && run->kill_at % 4 == place)
    {
      printf ("  killed while counting word %zu of this run\n", run->kill_at);
      fflush (stdout);
      raise (SIGKILL);
    }
}

/* ---- Words and files in the heap --------------------------------------- */

static size_t
hash (const char *letters, size_t length)
{
  size_t h = 5381;
  for (size_t i = 0; i < length; i++)
    h = h * 33 + (unsigned char) letters[i];
  return h % N_CHAINS;
}

static void *
block (const struct run *run, size_t size)
{
  void *p = mcalloc (run->md, 1, size);
  if (p == NULL)
    die ("no room", mmalloc_strerror (run->md));
  return p;
}

/* The word of these letters, made if it is new.  */
static struct word *
find_word (const struct run *run, const char *letters, size_t length)
{
  struct word **chain = &run->counts->chains[hash (letters, length)];
  for (struct word *w = *chain; w != NULL; w = w->next)
    if (w->length == length && memcmp (w->letters, letters, length) == 0)
      return w;
  struct word *w = block (run, sizeof *w + length);
  w->length = length;
  memcpy (w->letters, letters, length);
  w->next = *chain;
  mmalloc_publish (chain, w);
  return w;
}

/* The file of that name, made if it is new.  */
static struct file *
find_file (const struct run *run, const char *name)
{
  for (struct file *f = run->counts->files; f != NULL; f = f->next)
    if (strcmp (f->name, name) == 0)
      return f;
  struct file *f = block (run, sizeof *f + strlen (name) + 1);
  strcpy (f->name, name);
  f->next = run->counts->files;
  mmalloc_publish (&run->counts->files, f);
  return f;
}

/* ---- Counting ---------------------------------------------------------- */

/* Steps 3 and 4 of above.  */
static void
finish_step (const struct run *run)
{
  struct counts *c = run->counts;
  mmalloc_publish (&c->step.word->count, c->step.count);
  kill_point (run, 2);
  mmalloc_publish (&c->step.file->counted, c->step.counted);
  kill_point (run, 3);
  mmalloc_publish (&c->step.word, NULL);
}

/* Count one more of WORD, which ends END bytes into FILE.  */
static void
count_word (struct run *run, struct word *word, struct file *file, size_t end)
{
  struct counts *c = run->counts;
  c->step.count = word->count + 1;
  c->step.file = file;
  c->step.counted = end;
  kill_point (run, 0);
  mmalloc_publish (&c->step.word, word);
  kill_point (run, 1);
  finish_step (run);
  run->n_words++;
}

/* The whole of a file, and its length, in memory of libc's malloc.  */
static char *
read_file (const char *name, size_t *length)
{
  FILE *f = fopen (name, "rb");
  if (f == NULL)
    die (name, strerror (errno));
  size_t room = 1 << 16;
  char *text = malloc (room);
  *length = 0;
  while (text != NULL
         && (*length += fread (text + *length, 1, room - *length, f)) == room)
    text = realloc (text, room *= 2);
  if (text == NULL || ferror (f))
    die (name, strerror (errno));
  fclose (f);
  return text;
}

/* isalpha and tolower of the C locale.  */
static bool
is_letter (char c)
{
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static char
small (char c)
{
  return (char) (c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
}

/* Count the words of FILE that are not counted yet, up to the run's limit.  */
static void
count_file (struct run *run, struct file *file)
{
  size_t length;
  char *text = read_file (file->name, &length);
  size_t at = file->counted;
  while (run->n_words < run->limit)
    {
      while (at < length && !is_letter (text[at]))
        at++;
      size_t start = at;
      for (; at < length && is_letter (text[at]); at++)
        text[at] = small (text[at]);
      if (start == at)
        break;
      count_word (run, find_word (run, text + start, at - start), file, at);
    }
  free (text);
}

/* ---- Answers ----------------------------------------------------------- */

static void
list (const struct counts *c)
{
  for (size_t i = 0; i < N_CHAINS; i++)
    for (const struct word *w = c->chains[i]; w != NULL; w = w->next)
      if (w->count > 0)
        printf ("%zu %.*s\n", w->count, (int) w->length, w->letters);
}

/* What is known so far: how many words there are, and the commonest.  */
static void
summary (const struct counts *c)
{
  const struct word *top[N_TOP + 1];
  size_t n_top = 0, n_all = 0, n_different = 0;
  for (size_t i = 0; i < N_CHAINS; i++)
    for (const struct word *w = c->chains[i]; w != NULL; w = w->next)
      if (w->count > 0)
        {
          n_all += w->count;
          n_different++;
          size_t place = n_top;
          for (; place > 0 && top[place - 1]->count < w->count; place--)
            top[place] = top[place - 1];
          top[place] = w;
          n_top += n_top < N_TOP;
        }
  printf ("%zu words, %zu different", n_all, n_different);
  for (size_t i = 0; i < n_top; i++)
    printf ("%s %.*s %zu", i == 0 ? ":" : ",", (int) top[i]->length,
            top[i]->letters, top[i]->count);
  printf ("\n");
}

/* ---- A run ------------------------------------------------------------- */

static double
microseconds (void)
{
  struct timespec t;
  clock_gettime (CLOCK_MONOTONIC, &t);
  return (double) t.tv_sec * 1e6 + (double) t.tv_nsec / 1e3;
}

/* The counts in the heap, made if there are none, whole again if the last run
   was killed.  */
static void
find_counts (struct run *run)
{
  run->counts = mmalloc_makeroot (run->md, "counts", sizeof *run->counts, NULL,
                                  NULL);
  if (run->counts == NULL)
    die ("makeroot", mmalloc_strerror (run->md));
}

static void
usage (void)
{
  fputs ("usage: wordcount [-n WORDS] [-k WORD] HEAP [FILE...]\n"
         "       wordcount -l HEAP\n", stderr);
  exit (2);
}

static size_t
number (const char *s)
{
  char *end;
  errno = 0;
  unsigned long n = strtoul (s, &end, 10);
  if (!isdigit ((unsigned char) *s) || *end != '\0' || errno != 0 || n == 0)
    usage ();
  return n;
}

int
main (int argc, char **argv)
{
  struct run run = { .limit = (size_t) -1 };
  bool only_list = false;
  for (int option; (option = getopt (argc, argv, "n:k:l")) != -1;)
    if (option == 'n')
      run.limit = number (optarg);
    else if (option == 'k')
      run.kill_at = number (optarg);
    else if (option == 'l')
      only_list = true;
    else
      usage ();
  if (optind == argc || (only_list && optind + 1 < argc))
    usage ();
  const char *heap = argv[optind];

  double start = microseconds ();
  run.md = mmalloc_open (heap, only_list ? MMALLOC_RDONLY : MMALLOC_CREATE,
                         NULL);
  double attach_us = microseconds () - start;
  if (run.md == NULL)
    die (heap, mmalloc_strerror (NULL));
  if (only_list)
    {
      run.counts = mmalloc_getroot (run.md, "counts");
      if (run.counts != NULL)
        list (run.counts);
      return mmalloc_detach (run.md) != NULL;
    }

  find_counts (&run);
  printf ("run %zu: attached in %.0f us\n", ++run.counts->runs, attach_us);
  if (run.counts->step.word != NULL)
    {
      printf ("  the last run was killed half way through `%.*s':"
              " finishing that word\n", (int) run.counts->step.word->length,
              run.counts->step.word->letters);
      finish_step (&run);
    }
  printf ("  from the runs before: ");
  summary (run.counts);

  for (int i = optind + 1; i < argc && run.n_words < run.limit; i++)
    count_file (&run, find_file (&run, argv[i]));
  printf ("  counted now %zu words, in all ", run.n_words);
  summary (run.counts);

  if (mmalloc_detach (run.md) != NULL)
    die ("detach", mmalloc_strerror (run.md));
  return 0;
}
