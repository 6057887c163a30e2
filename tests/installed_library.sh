#!/bin/sh
# usage: installed_library.sh RUNS.C
# The README's program builds by pkg-config against the installed library, with
# the shared and with the static one, and runs.
: "${PKG_CONFIG:=pkg-config}" "${CC:=cc}"
work=$(mktemp -d "${TMPDIR:-/tmp}/installed.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
set -e
cp "$1" "$work/runs.c"
cd "$work"
libdir=$($PKG_CONFIG --variable=libdir mmalloc)
tried=
if [ -e "$libdir/libmmalloc.so" ]; then
  $CC -o runs runs.c $($PKG_CONFIG --cflags --libs mmalloc)
  ./runs; ./runs
  tried="$tried shared"
fi
if [ -e "$libdir/libmmalloc.a" ]; then
  $CC -static -o runs-static runs.c $($PKG_CONFIG --cflags --libs --static mmalloc)
  ./runs-static
  tried="$tried static"
fi
printf '#include <mmalloc/mmalloc.h>\nPTR p;\n' > old.c
$CC -c $($PKG_CONFIG --cflags mmalloc) old.c
echo "mmalloc $($PKG_CONFIG --modversion mmalloc) works as installed:$tried"
