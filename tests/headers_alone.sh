#!/bin/sh
# Each public header compiles alone, without a warning, in C89 to C17 and in
# C++, with every compiler that is there.
: "${srcdir:=.}" "${PUBLIC_HEADERS:=mmalloc.h}"
work=$(mktemp -d "${TMPDIR:-/tmp}/headers.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
status=0
tried=0

# try LANGUAGE STANDARD WARNINGS COMPILER...
try ()
{
  language=$1; standard=$2; warnings=$3; shift 3
  for compiler; do
    command -v "$compiler" > /dev/null || continue
    for header in $PUBLIC_HEADERS; do
      # Twice: the second time must change nothing.
      printf '#include <%s>\n#include <%s>\nextern int nothing;\n' \
             "$header" "$header" > "$work/alone.$language"
      tried=$((tried + 1))
      # shellcheck disable=SC2086 # a list of words
      "$compiler" -std="$standard" -I"$srcdir" -fsyntax-only -Werror \
          $warnings "$work/alone.$language" ||
        { echo "fails: $compiler -std=$standard $header"; status=1; }
    done
  done
}

# In C++ -Wshadow has words for a function named like a struct, as stat is.
common='-Wall -Wextra -Wpedantic -Wconversion'
for standard in c89 c99 c11 c17; do
  try c $standard "$common -Wshadow" gcc clang
done
for standard in c++98 c++17; do
  try cc $standard "$common" g++ clang++
done

# The older name brings PTR and PARAMS, unless the program has its own.
cat > "$work/old.c" <<'END'
#define PARAMS(x) x
#include <mmalloc/mmalloc.h>
extern PTR reserve PARAMS ((PTR, int));
END
${CC:-cc} -I"$srcdir" -fsyntax-only -Werror "$work/old.c" || status=1

# A store is checked like any other, and needs nothing that a standard lacks.
cat > "$work/publish.c" <<'END'
#include <mmalloc.h>
struct item { struct item *next; long n; unsigned short s; };
extern void put (struct item **, struct item *, void *);
void put (struct item **first, struct item *item, void *any)
{
  mmalloc_publish (&item->next, *first);
  mmalloc_publish (first, item);
  mmalloc_publish (first, NULL);
  mmalloc_publish (first, any);
  mmalloc_publish (&item->n, 1);
  if (item->n == 2)
    mmalloc_publish (&item->n, item->s);
  else
    mmalloc_publish (&item->s, item->s);
}
END
cat > "$work/wrong.c" <<'END'
#include <mmalloc.h>
void put (int **slot, long *value) { mmalloc_publish (slot, value); }
END
for compiler in gcc clang; do
  command -v $compiler > /dev/null || continue
  for standard in c89 c99 c11 c17; do
    # shellcheck disable=SC2086
    $compiler -std=$standard -I"$srcdir" -fsyntax-only -Werror $common \
        "$work/publish.c" || { echo "fails: $compiler publish"; status=1; }
  done
  $compiler -std=c11 -I"$srcdir" -fsyntax-only -Werror "$work/wrong.c" \
      2> "$work/said" &&
    { echo "fails: $compiler publishes any pointer"; status=1; }
done

echo "$tried compilations tried"
[ $tried -gt 0 ] || exit 77
exit $status
