/* maps_notes.h - what maps_put and maps_get know of each other.  */

#ifndef MAPS_NOTES_H
#define MAPS_NOTES_H 1

#include <stdatomic.h>
#include <sys/types.h>
#include <qalloc.h>

enum { N_EACH = 100 };         /* how often a thread puts a word */

struct note                    /* an item of the static map */
{
  struct note *next;
  char *text;                  /* a block of the dynamic map */
  pid_t writer;
};

/* The list of notes, a stack that needs no lock.  It is a block of the dynamic
   map, the root named "list".  */
struct list
{
  _Atomic (struct note *) first;
};

struct maps
{
  mapinfo_t *notes;
  dynmapinfo_t *texts;
  struct list *list;
};

/* Find the list, or make it: maps_put runs once alone for that.  */
static inline void
notes_open (struct maps *m)
{
  m->list = qalloc_getroot (m->texts, "list");
  if (m->list == NULL)
    {
      m->list = qalloc_calloc (m->texts, 1, sizeof *m->list);
      qalloc_setroot (m->texts, "list", m->list);
    }
}

static inline void
notes_push (struct maps *m, struct note *note)
{
  note->next = atomic_load (&m->list->first);
  while (!atomic_compare_exchange_weak (&m->list->first, &note->next, note))
    continue;
}

/* All notes there are; the list is empty then.  */
static inline struct note *
notes_take_all (struct maps *m)
{
  return atomic_exchange (&m->list->first, NULL);
}

#endif /* MAPS_NOTES_H */
