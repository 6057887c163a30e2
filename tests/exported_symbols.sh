#!/bin/sh
# The shared library exports what tests/symbols.list says, and so do the
# version script and the headers: nothing more, nothing less.
: "${srcdir:=.}" "${NM:=nm}" "${PUBLIC_HEADERS:=mmalloc.h}"
work=$(mktemp -d "${TMPDIR:-/tmp}/symbols.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
status=0

# same NAME: the names on standard input are those of the list.
same ()
{
  sort > "$work/$1"
  if diff "$srcdir/tests/symbols.list" "$work/$1" > "$work/diff"; then
    echo "$1: as in the list"
  else
    echo "$1 differs from tests/symbols.list:"
    cat "$work/diff"
    status=1
  fi
}

# The headers say `type name (' at the start of a line for each function.
for header in $PUBLIC_HEADERS; do
  sed -n 's/^[a-z][a-z_ ]*[ *]\([mq][a-z_]*\) (.*/\1/p' "$srcdir/$header"
done | same headers
sed -n 's/^ *\([a-z_]*\);$/\1/p' "$srcdir/libmmalloc.map" | same script

library=.libs/libmmalloc.so
if [ -e "$library" ]; then
  $NM -D --defined-only "$library" | awk '$2 != "A" { print $3 }' |
    sed 's/@.*//' | same library
else
  echo "no shared library was built"
fi
exit $status
