/* wrong.h - for tests of several processes: the first thing that goes wrong in
   any of them is told.  */

#ifndef WRONG_H
#define WRONG_H 1

#include "kill.h"

/* In memory that all share.  */
static struct told
{
  _Atomic int failed;
  char text[512];
} *wrong_first;

__attribute__ ((format (printf, 1, 2))) static void
wrong (const char *format, ...)
{
  va_list ap;
  if (atomic_exchange (&wrong_first->failed, 1) != 0)
    return;
  va_start (ap, format);
  vsnprintf (wrong_first->text, sizeof wrong_first->text, format, ap);
  va_end (ap);
}

/* For mmalloc_check; ARG says who or when, for the message.  */
static void
wrong_finding (const char *finding, const void *where, void *arg)
{
  wrong ("%s: %s (at 0x%lx)", (const char *) arg, finding,
         (unsigned long) ((uintptr_t) where - (uintptr_t) KILL_BASE));
}

static void
wrong_misuse (const char *call, void *md, const void *ptr, const char *what,
              void *arg)
{
  (void) md, (void) arg;
  wrong ("%s (0x%lx): %s", call,
         (unsigned long) ((uintptr_t) ptr - (uintptr_t) KILL_BASE), what);
}

#endif /* WRONG_H */
