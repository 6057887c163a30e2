#! /bin/sh
# The example programs for maps: one program fills a static and a dynamic map
# with four threads, three of them at once do, another program empties them.

dir=$(mktemp -d "${TMPDIR:-/tmp}/examples.XXXXXX") || exit 99
trap 'rm -rf "$dir"' EXIT
checks=0 failures=0

run () # program, arguments
{
  program=examples/$1
  shift
  ${EMULATOR:+$EMULATOR} "$program" "$@"
}

expect () # what was meant to be printed, what was
{
  checks=$((checks + 1))
  test "$1" = "$2" || { echo "'$2', not '$1'"; failures=$((failures + 1)); }
}

run maps_get "$dir" 2>/dev/null
expect 1 $?
run maps_put "$dir" one three
expect 0 $?
expect "800 notes, 3200 letters; 0 and 1 blocks stay" "$(run maps_get "$dir")"
run maps_put "$dir" a bb ccc & first=$!
run maps_put "$dir" dddd & second=$!
run maps_put "$dir" eeeee
expect 0 $?
wait $first
expect 0 $?
wait $second
expect 0 $?
expect "2000 notes, 6000 letters; 0 and 1 blocks stay" "$(run maps_get "$dir")"
expect "0 notes, 0 letters; 0 and 1 blocks stay" "$(run maps_get "$dir")"

echo "$((100 * (checks - failures) / checks))%: Checks: $checks," \
     "Failures: $failures, Errors: 0"
test $failures -eq 0
