/* mmalloc/mmalloc.h - for programs that know mmalloc.h under this older name,
   and that count on it for PTR and PARAMS.  */

#ifndef MMALLOC_MMALLOC_H
#define MMALLOC_MMALLOC_H 1

#include "../mmalloc.h"

#ifndef PTR
# define PTR void *
#endif
#ifndef PARAMS
# define PARAMS(arguments) arguments
#endif

#endif /* MMALLOC_MMALLOC_H */
