#!/bin/sh
# What the shared libraries need of the memory that the C library keeps for the
# thread-local storage of libraries loaded late: less than 64 bytes, so that
# they can be loaded when other libraries have most of it.  And so it is, with
# less than twice that left; and in a program of another C library, which keeps
# none, if there is a compiler for musl.
: "${srcdir:=.}" "${CC:=cc}" "${READELF:=readelf}"
most=64
status=0
. "$srcdir/tests/library.sh"
[ -e .libs/libmmalloc.so ] || skip "no shared library was built"
work=$(mktemp -d "${TMPDIR:-/tmp}/tls.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C

for library in .libs/libmmalloc.so .libs/libmmalloc-preload.so; do
  bytes=$($READELF -lW "$library" | awk '$1 == "TLS" { print $6 }')
  bytes=$((${bytes:-0}))
  echo "$library: $bytes bytes of thread-local storage"
  [ $bytes -lt $most ] || { echo "more than $((most - 1))"; status=1; }
done

# Loads the libraries named, and tells how many could be loaded.
cat > "$work/load.c" <<'END'
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>
int main (int argc, char **argv)
{
  int n = 0;
  void *library = NULL, *(*alloc) (void *, size_t), *found;
  while (n < argc - 1 && (library = dlopen (argv[n + 1], RTLD_NOW)) != NULL)
    n++;
  if (n < argc - 1)
    fprintf (stderr, "%s\n", dlerror ());
  else if ((found = dlsym (library, "mmalloc")) != NULL)
    {
      memcpy (&alloc, &found, sizeof alloc);
      if (alloc (NULL, 100) == NULL)
        return 1;
    }
  printf ("%d\n", n);
  return 0;
}
END
cat > "$work/fill.c" <<'END'
__thread char room[64]
  __attribute__ ((tls_model ("initial-exec"), aligned (8)));
char *fill (void) { return room; }
END
$CC -o "$work/load" "$work/load.c" -ldl &&
$CC -shared -fPIC -o "$work/fill.so" "$work/fill.c" ||
  skip "$CC makes no programs and libraries here"

# Take the memory in pieces of 64 bytes until none is left; then one less.
i=0
while [ $i -lt 100 ]; do
  i=$((i + 1))
  cp "$work/fill.so" "$work/$i.so"
  set -- "$@" "$work/$i.so"
done
full=$("$work/load" "$@" 2> /dev/null)
if [ "$full" -lt 2 ] || [ "$full" -eq 100 ]; then
  echo "skipped: the C library keeps nothing, or keeps no account"
else
  set --
  i=0
  while [ $i -lt $((full - 1)) ]; do
    i=$((i + 1))
    set -- "$@" "$work/$i.so"
  done
  for library in "$PWD/.libs/libmmalloc.so" "$PWD/.libs/libmmalloc-preload.so"
  do
    if [ "$("$work/load" "$@" "$library")" = "$full" ]; then
      echo "${library##*/} is loaded after $((full - 1)) others"
    else
      echo "${library##*/} cannot be loaded after $((full - 1)) others"
      status=1
    fi
  done
fi

musl=${MUSL_CC:-musl-gcc}
if $musl -o "$work/load-musl" "$work/load.c" 2> /dev/null; then
  if $musl -std=c11 -O2 -fPIC -shared -w -I"$srcdir" -o "$work/musl.so" \
       "$srcdir/mmalloc.c" "$srcdir/qalloc.c" &&
     [ "$("$work/load-musl" "$work/musl.so")" = 1 ]; then
    echo "loaded late by a program with musl"
  else
    echo "cannot be loaded late by a program with musl"
    status=1
  fi
else
  echo "skipped: $musl makes no programs here"
fi
exit $status
