/* qthread/qalloc.h - for programs that know qalloc.h under this older name.  */

#ifndef QTHREAD_QALLOC_H
#define QTHREAD_QALLOC_H 1

#include "../qalloc.h"

#endif /* QTHREAD_QALLOC_H */
