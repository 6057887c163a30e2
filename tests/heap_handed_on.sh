#!/bin/sh
# The service of examples/handover finds its heap, which is in no file system,
# when it has executed itself anew, when another process has handed it over, and
# when it was killed while somebody else kept the descriptor.
work=$(mktemp -d "${TMPDIR:-/tmp}/handed.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
unset LISTEN_FDS
top=$PWD
fail () { echo "fails: $*"; cat "$work/said"; exit 1; }
[ -z "$EMULATOR" ] || { echo "skipped: an emulator's exec"; exit 77; }
service () { exec "$top/examples/handover" "$@"; }

# expect WHAT: to have been said, after what was done
expect ()
{
  printf '%s\n' "$1" | diff - "$work/said" > "$work/diff" ||
    fail "$2: $(cat "$work/diff")"
}

if ! (service) < /dev/null > "$work/said" 2>&1; then
  ! grep 'memfd: ' "$work/said" || { echo "skipped: no memfd"; exit 77; }
  fail "the service does not start"
fi

printf 'one\ntwo\nrestart\nthree\nrestart\nrestart\n' | (service) > "$work/said"
expect "start 1: 0 lines, the last one: -
start 2: 2 lines, the last one: two
start 3: 3 lines, the last one: three
start 4: 3 lines, the last one: three" "three times exec"

# The one before waits; there is nothing else that holds the heap.
mkfifo "$work/answers"
cd "$work" || exit 99
printf 'one\nrestart\ntwo\n' | (service socket) > answers & old=$!
{
  read -r line && read -r line && read -r line
  [ "$line" = "waits at socket" ] || fail "the old one says '$line'"
  echo three | (service socket) > said 2>&1 & new=$!
  wait $old || fail "the old one ends with $?"
} < answers
until grep -q 'waits at' said; do
  kill -0 $new || fail "the new one has gone"
done
(service socket < /dev/null > newest) & newest=$!
wait $new || fail "the new one ends with $?"
expect "start 3: 2 lines, the last one: two
waits at socket" "taken over"
until grep -q 'waits at' newest; do
  kill -0 $newest || fail "the newest one has gone"
done
kill -9 $newest
wait $newest 2> /dev/null
cp newest said
expect "start 4: 3 lines, the last one: three
waits at socket" "taken over again"

# Killed, with the descriptor kept by this shell.
exec 3<> kept
export LISTEN_FDS=1
mkfifo questions
(service) < questions > answers & doomed=$!
exec 4> questions
{
  read -r line
  printf 'one\nrestart\n' >&4
  read -r line
  [ "$line" = "start 2: 1 lines, the last one: one" ] ||
    fail "after one exec the service says '$line'"
  kill -9 $doomed
} < answers
wait $doomed 2> /dev/null
(service) < /dev/null > said
expect "start 3: 1 lines, the last one: one" "killed, and kept"
exec 3>&- 4>&-
unset LISTEN_FDS

# What it says when it cannot.
(service "$(printf '%0200d' 0)" < /dev/null) > said 2>&1 && fail "a long name"
expect "handover: $(printf '%0200d' 0): too long for a socket" "a long name"
echo "the heap comes back over exec, from a neighbour and after a kill"
