#!/bin/sh
# The examples do what the README says of them: runs counts its runs, and
# wordcount, killed again and again at every place it can be killed at,
# counts each word once; the accounts of bank, killed in a transfer, add up.
: "${srcdir:=.}"
work=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C
top=$PWD
fail () { echo "fails: $*"; exit 1; }

# The program in the README is examples/runs.c.
sed -n '/^    #include <stdio.h>/,/^    }/{ s/^    //; p; }' "$srcdir/README" |
  diff "$srcdir/examples/runs.c" - ||
  fail "the README shows another program than examples/runs.c"

for run in 1 2 3; do
  said=$(cd "$work" && $EMULATOR "$top/examples/runs")
  [ "$said" = "run $run" ] || fail "runs said '$said', not 'run $run'"
done

texts="$srcdir/README $srcdir/COPYING $srcdir/mmalloc.h"
# shellcheck disable=SC2086 # lists of words
count () { $EMULATOR examples/wordcount "$@" $texts; }
for text in $texts; do tr -cs A-Za-z '\n' < "$text"; echo; done |
  tr A-Z a-z | grep . | sort | uniq -c |
  awk '{ print $1, $2 }' | sort > "$work/expected"

word=1
while [ $word -le 41 ]; do
  count -k $word "$work/words.heap"
  status=$?
  [ $status -eq 137 ] || fail "wordcount -k $word ended with $status, not 137"
  word=$((word + 1))
done
count -n 100 "$work/words.heap" || fail "wordcount after the kills"
count "$work/words.heap" || fail "the last wordcount"
count "$work/words.heap" | grep 'counted now 0 words' ||
  fail "wordcount counts words twice"
$EMULATOR examples/wordcount -l "$work/words.heap" | sort > "$work/found" ||
  fail "wordcount -l"
diff "$work/expected" "$work/found" || fail "wordcount counts differently"
echo "$(wc -l < "$work/found") different words, all counts right"

for kill in 100 20000 60000; do
  $EMULATOR examples/bank -k $kill "$work/bank.heap" > "$work/said"
  status=$?
  [ $status -eq 137 ] || fail "bank -k $kill ended with $status, not 137"
  grep ' have 100000$' "$work/said" || fail "bank: $(cat "$work/said")"
done
$EMULATOR examples/bank -n 1000 "$work/bank.heap" > "$work/said" ||
  fail "the last bank: $(cat "$work/said")"
[ "$(grep -c ' have 100000$' "$work/said")" -eq 2 ] ||
  fail "bank: $(cat "$work/said")"
