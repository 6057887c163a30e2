#! /bin/sh
# Every example program of the manual runs and succeeds.  Each one gets an
# empty directory of its own.

srcdir=${srcdir:-.}
build=$(pwd)
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

# An example writes past a block on purpose: the guards shall find it, not
# the address sanitizer.
ASAN_OPTIONS=${ASAN_OPTIONS:+$ASAN_OPTIONS:}allow_user_poisoning=0
export ASAN_OPTIONS

checks=0 failures=0
for page in "$srcdir"/doc/*.[1-9]; do
  page=${page##*/}
  number=1
  while name=${page%.*}_${page##*.}_$number
        sh "$srcdir/doc/man_examples.sh" "$name.c" >"$dir/source.c"; do
    program=$build/tests/man/$name
    mkdir "$dir/$name"
    echo "== $page, program $number"
    (cd "$dir/$name" && ${EMULATOR:+$EMULATOR} "$program") 2>&1
    status=$?
    if ! cmp -s "$dir/source.c" "$program.c"; then
      echo "$name: not built from the page; is it listed in tests/man.am?"
      failures=$((failures + 1))
    elif test $status -ne 0; then
      echo "$name: exit status $status"
      failures=$((failures + 1))
    fi
    checks=$((checks + 1))
    number=$((number + 1))
  done
done

test $checks -gt 0 || exit 99
echo "$((100 * (checks - failures) / checks))%: Checks: $checks," \
     "Failures: $failures, Errors: 0"
test $failures -eq 0
