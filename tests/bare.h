/* bare.h - what the tests without Check share: those in kill/ and hostile/.

   They compile the library in, end at once if they cannot do their work, and
   close with a line in the form of Check's summary.  */

#ifndef BARE_H
#define BARE_H 1

#include "mmalloc.c"

#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include "chance.h"

#define KIB(n) ((size_t) (n) << 10)
#define MIB(n) ((size_t) (n) << 20)

/* Something that the tests themselves need does not work.  */
__attribute__ ((noreturn, format (printf, 1, 2))) static inline void
broken (const char *format, ...)
{
  va_list ap;
  int saved = errno;
  fflush (stdout);
  va_start (ap, format);
  vfprintf (stderr, format, ap);
  va_end (ap);
  fprintf (stderr, " (errno: %s)\n", strerror (saved));
  _exit (3);
}

#define NEED(claim) ((claim) ? (void) 0 : broken ("%s:%d: does not hold: %s", \
                                                  __FILE__, __LINE__, #claim))

/* The closing line, and the exit status.  */
static inline int
closing_line (int checks, int failures, int errors)
{
  double good = checks - failures - errors;
  printf ("%d%%: Checks: %d, Failures: %d, Errors: %d\n",
          checks > 0 ? (int) (100 * good / checks) : 100, checks, failures,
          errors);
  fflush (stdout);
  return failures + errors != 0;
}

#endif /* BARE_H */
