#include <stdio.h>
#include <mmalloc.h>

int main (void)
{
  void *md = mmalloc_open ("runs.heap", MMALLOC_CREATE, NULL);
  if (md == NULL)
    return fprintf (stderr, "runs.heap: %s\n", mmalloc_strerror (NULL)), 1;
  long *runs = mmalloc_getroot (md, "runs");
  if (runs == NULL)
    mmalloc_setroot (md, "runs", runs = mcalloc (md, 1, sizeof *runs));
  printf ("run %ld\n", ++*runs);
  return mmalloc_detach (md) != NULL;
}
