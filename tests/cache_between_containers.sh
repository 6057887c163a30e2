#!/bin/sh
# Two containers share the cache of examples/cache: each is a tree of processes
# with PID, mount and IPC namespaces and a /proc of its own.  One is killed
# again and again in the middle of its puts; the other goes on.  Whatever was
# answered is there, and no block is lost.
work=$(mktemp -d "${TMPDIR:-/tmp}/cache.XXXXXX") || exit 99
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
heap=$work/heap
rounds=10 keys=8000
fail () { echo "fails: $*"; touch "$work/stop"; exit 1; }

# The first process there is number 1, and does not see us.
contain="unshare --fork --kill-child --pid --mount --ipc --mount-proc"
# shellcheck disable=SC2016 # another shell's
if ! $contain sh -c 'test $$ -eq 1 && test ! -e /proc/$1/root/$2' - $$ "$work" \
  2> /dev/null
then
  echo "skipped: no containers, for unshare has no right to make them:" \
       "plain processes instead"
  contain=
fi
# Who kills the process that this becomes kills the one inside, too.
# shellcheck disable=SC2086 # lists of words
cache () { exec $contain $EMULATOR examples/cache "$heap" "$@"; }

# What it says when it cannot.
(cache get) 2> "$work/said" && fail "get without a key"
grep -q '^cache: usage: put KEY VALUE, or get KEY$' "$work/said" ||
  fail "get without a key says '$(cat "$work/said")'"
echo "no heap at all" > "$work/text"
$EMULATOR examples/cache "$work/text" get x 2> "$work/said" &&
  fail "a text is a cache"
grep -q "^cache: $work/text: .*not a heap" "$work/said" ||
  fail "a text as a cache says '$(cat "$work/said")'"

# The neighbour goes on until it is told to stop.
awk -v stop="$work/stop" 'BEGIN {
  for (i = 0; (getline line < stop) < 0; i++) {
    close (stop)
    for (j = 0; j < 50; j++)
      print "put b" (i * 50 + j) % 3000 " " i "." j
  }
}' | (cache serve) > "$work/neighbour" & neighbour=$!

mkfifo "$work/answers"
round=1
awk -v n=$keys 'BEGIN { for (i = 1; i <= n; i++) print "get a" 10000 + i }' \
  > "$work/gets"
(cache serve) < "$work/gets" > "$work/before" || fail "the first gets"
while [ $round -le $rounds ]; do
  awk -v n=$keys -v r=$round 'BEGIN {
    for (i = 1; i <= n; i++)
      print "put a" 10000 + i " " r "." 10000 + i
  }' > "$work/puts"
  cache serve < "$work/puts" > "$work/answers" & doomed=$!
  # It cannot be through with all before it is killed: the pipe is too small.
  at=$((round * 61 % 97 * 3 + 1)) n=0
  while read -r line; do
    n=$((n + 1))
    echo "$line"
    [ $n -ne $at ] || kill -9 $doomed
  done < "$work/answers" > "$work/answered"
  wait $doomed
  status=$?
  [ $status -eq 137 ] || fail "round $round ended with $status, not 137"

  # All that were answered, perhaps the next, and no more.
  (cache serve) < "$work/gets" > "$work/after" || fail "gets after a kill"
  awk -v r=$round '
    FILENAME ~ /answered$/ { n++; if ($2 != r "." substr ($1, 2)) bad = $0 }
    FILENAME ~ /before$/   { was[$1] = $0 }
    FILENAME ~ /after$/    {
      new = $1 " " r "." substr ($1, 2)
      if ($0 != (FNR <= n ? new : was[$1]) && ($0 != new || FNR != n + 1))
        bad = $0
    }
    END { if (bad != "") print bad " of " n; exit bad != "" }
  ' "$work/answered" "$work/before" "$work/after" || fail "round $round"
  mv "$work/after" "$work/before"
  (cache check) > "$work/said" || fail "round $round: $(cat "$work/said")"
  round=$((round + 1))
done

touch "$work/stop"
wait $neighbour || fail "the neighbour ends with $?"
awk '{ last[$1] = $0 } END { for (key in last) print last[key] }' \
  "$work/neighbour" | sort > "$work/expected"
cut -d ' ' -f 1 "$work/expected" | sed 's/^/get /' | (cache serve) |
  diff "$work/expected" - > "$work/diff" ||
  { head "$work/diff"; fail "the neighbour's entries"; }

n=$(($(wc -l < "$work/expected") + $(grep -vc none "$work/before")))
said=$(cache check)
[ "$said" = "$n entries, $n blocks, 0 findings" ] ||
  fail "in the end there are $said, of $n entries"
echo "$rounds kills, $(($(wc -l < "$work/neighbour"))) puts beside them, $said"
