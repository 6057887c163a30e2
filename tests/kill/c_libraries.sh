#!/bin/sh
# Programs of the normal C library and of musl share a heap and maps at once,
# under kills: c_libraries.c, built for both.
# MMALLOC_TEST_KILLS=n: so many kills.

srcdir=${srcdir:-.}
CC=${CC:-cc}

skip () {
  echo "skipped: $1"
  exit 77
}

[ -z "$EMULATOR" ] || skip "there is one C library for the emulator"
command -v musl-gcc > /dev/null || skip "there is no musl-gcc"
echo 'int main (void) { return 0; }' | musl-gcc -x c -o /dev/null - ||
  skip "musl-gcc does not work"

shm=/dev/shm
[ -w $shm ] || shm=/tmp
dir=$(mktemp -d "${TMPDIR:-$shm}/mmalloc-libcs-XXXXXX") || exit 99
trap 'rm -rf "$dir"' EXIT
trap 'exit 99' HUP INT TERM

build () { # COMPILER PROGRAM
  # shellcheck disable=SC2086 # a compiler may have options
  $1 -std=c11 -D_GNU_SOURCE -O1 -w -I"$srcdir" -o "$dir/$2" \
    "$srcdir/tests/kill/c_libraries.c" "$srcdir/qalloc.c" -lpthread
}

build musl-gcc musl || exit 99
build "$CC" normal || exit 99
libc=$("$dir/normal" libc) || skip "programs of $CC do not run here"
[ "$libc" != "$("$dir/musl" libc)" ] || skip "$CC has the same C library"
"$dir/normal" "$dir" "$dir/normal" "$dir/musl"
