/* maps_put - four threads put notes into two maps, for maps_get to read.

       maps_put DIRECTORY WORD...

   Each note is a record of fixed size in a static map; its text, of any size,
   is in a dynamic map.  When the maps are there, several of these programs may
   run at once, and maps_get beside them.  */

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "maps_notes.h"

static struct maps maps;
static char **words;

/* Put each word N_EACH times; NULL, or what went wrong.  */
static void *
put (void *unused)
{
  (void) unused;
  for (char **word = words; *word != NULL; word++)
    for (int i = 0; i < N_EACH; i++)
      {
        struct note *note = qalloc_statmalloc (maps.notes);
        if (note == NULL)
          return (void *) qalloc_strerror ();
        size_t size = strlen (*word) + 1;
        note->text = qalloc_dynmalloc (maps.texts, size);
        if (note->text == NULL)
          return (void *) qalloc_strerror ();
        memcpy (note->text, *word, size);
        note->writer = getpid ();
        notes_push (&maps, note);
      }
  return NULL;
}

int
main (int argc, char **argv)
{
  pthread_t thread[4];
  int status = 0;
  if (argc < 3)
    return fprintf (stderr, "usage: maps_put DIRECTORY WORD...\n"), 2;
  if (chdir (argv[1]) != 0)
    return perror (argv[1]), 1;
  words = argv + 2;
  maps.notes = qalloc_makestatmap (1 << 20, NULL, "notes.map",
                                   sizeof (struct note), 4);
  maps.texts = qalloc_makedynmap (1 << 20, NULL, "texts.map", 4);
  if (maps.notes == NULL || maps.texts == NULL)
    return fprintf (stderr, "maps_put: %s\n", qalloc_strerror ()), 1;
  notes_open (&maps);
  for (int i = 0; i < 4; i++)
    if (pthread_create (&thread[i], NULL, put, NULL) != 0)
      return fprintf (stderr, "maps_put: no thread\n"), 1;
  for (int i = 0; i < 4; i++)
    {
      void *wrong;
      pthread_join (thread[i], &wrong);
      if (wrong != NULL)
        status = 1;
    }
  if (status != 0)
    fprintf (stderr, "maps_put: not all words could be put\n");
  qalloc_cleanup ();
  return status;
}
