/* bank - accounts that always add up, whenever the program is killed or the
   machine loses its power.

   usage: bank [-n TRANSFERS] [-k KILL] FILE

   Adds up the accounts in heap file FILE, which it makes if there is none, then
   lets four threads transfer money between them, TRANSFERS (100000) in all, and
   adds them up again.  With -k it kills itself after KILL transfers, between the
   two stores of one.

   A transfer is two plain stores, which no order could make whole.  It need not be:
   what is in the file is the last checkpoint, all of it.  The threads change the
   heap between mmalloc_enter and mmalloc_leave only, so that no checkpoint has
   half of a transfer; the main thread makes one after the other, and is done with
   each when the disk has it.  */

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <mmalloc.h>

enum { ACCOUNTS = 1000, EACH = 100, THREADS = 4 };

struct bank
{
  long transfers;
  long account[ACCOUNTS];
};

static void *md;
static struct bank *bank;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long wanted = 100000, kill_after = -1, done;
static atomic_int at_work = THREADS;

static void
die (const char *what)
{
  fprintf (stderr, "bank: %s: %s\n", what, mmalloc_strerror (md));
  exit (1);
}

/* The lock is the threads' own affair, and not in the heap.  */
static void *
work (void *arg)
{
  unsigned seed = *(unsigned *) arg;
  for (int more = 1; more;)
    {
      if (mmalloc_enter (md) != 0)
        die ("enter");
      pthread_mutex_lock (&lock);
      more = done < wanted;
      if (more)
        {
          long amount = rand_r (&seed) % 50;
          bank->account[rand_r (&seed) % ACCOUNTS] -= amount;
          if (done++ == kill_after)
            raise (SIGKILL);
          bank->account[rand_r (&seed) % ACCOUNTS] += amount;
          bank->transfers++;
        }
      pthread_mutex_unlock (&lock);
      mmalloc_leave (md);
    }
  at_work--;
  return NULL;
}

static int
add_up (void)
{
  long sum = 0;
  for (int i = 0; i < ACCOUNTS; i++)
    sum += bank->account[i];
  printf ("%ld transfers so far; %d accounts have %ld\n", bank->transfers, ACCOUNTS,
          sum);
  fflush (stdout);
  return sum == (long) ACCOUNTS * EACH;
}

int
main (int argc, char **argv)
{
  int c;
  while ((c = getopt (argc, argv, "n:k:")) != -1)
    if (c == 'n')
      wanted = atol (optarg);
    else if (c == 'k')
      kill_after = atol (optarg);
    else
      return 2;
  if (optind + 1 != argc)
    {
      fprintf (stderr, "usage: bank [-n TRANSFERS] [-k KILL] FILE\n");
      return 2;
    }
  md = mmalloc_open (argv[optind], MMALLOC_CREATE | MMALLOC_CHECKPOINT, NULL);
  if (md == NULL)
    die (argv[optind]);
  bank = mmalloc_getroot (md, "bank");
  if (bank == NULL)
    {
      bank = mcalloc (md, 1, sizeof *bank);
      if (bank == NULL || mmalloc_setroot (md, "bank", bank) != 0)
        die ("no bank");
      for (int i = 0; i < ACCOUNTS; i++)
        bank->account[i] = EACH;
      if (mmalloc_checkpoint (md) != 0)
        die ("the first checkpoint");
    }
  if (!add_up ())
    return 1;
  pthread_t thread[THREADS];
  unsigned seed[THREADS];
  for (int i = 0; i < THREADS; i++)
    {
      seed[i] = (unsigned) (bank->transfers + i);
      if (pthread_create (&thread[i], NULL, work, &seed[i]) != 0)
        die ("no thread");
    }
  while (at_work > 0)
    if (mmalloc_checkpoint (md) != 0)
      die ("checkpoint");
  for (int i = 0; i < THREADS; i++)
    pthread_join (thread[i], NULL);
  int whole = add_up ();
  /* Makes the last checkpoint.  */
  if (mmalloc_detach (md) != NULL)
    die ("detach");
  return !whole;
}
