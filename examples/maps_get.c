/* maps_get - take the notes that maps_put left, count and free them.

       maps_get DIRECTORY

   It knows nothing but the names of the files: the pointers in them are valid
   here, from one map into the other.  */

#include <stdio.h>
#include <unistd.h>

#include "maps_notes.h"

int
main (int argc, char **argv)
{
  struct maps maps;
  struct note *note;
  struct qalloc_stats notes, texts;
  size_t n = 0, bytes = 0;
  if (argc != 2)
    return fprintf (stderr, "usage: maps_get DIRECTORY\n"), 2;
  if (chdir (argv[1]) != 0)
    return perror (argv[1]), 1;
  maps.notes = qalloc_loadmap ("notes.map");
  maps.texts = qalloc_loadmap ("texts.map");
  if (maps.notes == NULL || maps.texts == NULL)
    return fprintf (stderr, "maps_get: %s\n", qalloc_strerror ()), 1;
  notes_open (&maps);
  note = notes_take_all (&maps);
  while (note != NULL)
    {
      struct note *next = note->next;
      for (const char *p = note->text; *p != '\0'; p++)
        bytes++;
      n++;
      qalloc_dynfree (note->text, maps.texts);
      qalloc_statfree (note, maps.notes);
      note = next;
    }
  qalloc_stats (maps.notes, &notes);
  qalloc_stats (maps.texts, &texts);
  printf ("%zu notes, %zu letters; %zu and %zu blocks stay\n", n, bytes,
          notes.blocks_live, texts.blocks_live);
  qalloc_cleanup ();
  return 0;
}
