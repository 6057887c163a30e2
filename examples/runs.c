#include <stdio.h>
#include <mmalloc.h>

int main (void)
{
  void *md = mmalloc_open ("runs.heap", MMALLOC_CREATE, NULL);
  if (md == NULL)
    return fprintf (stderr, "runs.heap: %s\n", mmalloc_strerror (NULL)), 1;
  long *runs = mmalloc_makeroot (md, "runs", sizeof *runs, NULL, NULL);
  if (runs == NULL)
    return fprintf (stderr, "runs.heap: %s\n", mmalloc_strerror (md)), 1;
  printf ("run %ld\n", ++*runs);
  return mmalloc_detach (md) != NULL;
}
