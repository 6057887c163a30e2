#!/bin/sh
# Build libmmalloc in build/ and show its main job: counting words into a heap
# file, over several runs, of which one is killed in the middle; and a bank whose
# accounts add up, however it is killed.  Installs what is missing for that with
# apt-get first.
# usage: demo.sh [FILE...]      (files to count, else Debian's licence texts)
caller_dir=$PWD
cd "$(dirname "$0")" || exit 1
. ./build-aux/prepare.sh
prepare || exit
wordcount=$source_dir/$build/examples/wordcount
bank=$source_dir/$build/examples/bank

cd "$caller_dir" || exit 1
[ $# -gt 0 ] || set -- /usr/share/common-licenses/*
export LC_ALL=C
work=$(mktemp -d "${TMPDIR:-/tmp}/demo.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
heap=$work/words.heap
fail () { echo "demo.sh: $*" >&2; exit 1; }

# What other tools make of it: a line for each word, in the end a sum.
for file; do tr -cs A-Za-z '\n' < "$file"; echo; done |
  tr A-Z a-z | grep . > "$work/all" || fail "there is nothing to count"
total=$(($(wc -l < "$work/all")))
share=$((total / 4 + 1))
kill_at=$((share / 8 * 4 + 1))          # 1 modulo 4: in the middle of a step

say () { echo; echo "\$ wordcount $*"; }

echo
echo "$# files, $total words.  Each run is a process of its own and counts on"
echo "where the run before it ended."

say -n $share words.heap FILE...
"$wordcount" -n $share "$heap" "$@" || fail "the first run failed"

say -n $share words.heap FILE...
"$wordcount" -n $share "$heap" "$@" || fail "the second run failed"

say -k $kill_at words.heap FILE...
"$wordcount" -k $kill_at "$heap" "$@"
status=$?
[ $status -eq 137 ] || fail "the third run was not killed, but ended with $status"

say words.heap FILE...
"$wordcount" "$heap" "$@" || fail "the run after the kill failed"

say words.heap FILE...
"$wordcount" "$heap" "$@" || fail "the last run failed"

say -l words.heap
"$wordcount" -l "$heap" | sort > "$work/found" || fail "listing failed"
echo "  $(($(wc -l < "$work/found"))) lines"

echo
sort "$work/all" | uniq -c | awk '{ print $1, $2 }' | sort > "$work/expected"
diff "$work/expected" "$work/found" > "$work/diff" ||
  { head "$work/diff"; fail "the counts differ from those of sort and uniq"; }
echo "All counts are those that tr, sort and uniq find."

echo
echo "A bank: four threads transfer money, two stores each; killed in between."
for kill in 10000 50000; do
  echo
  echo "\$ bank -k $kill bank.heap"
  "$bank" -k $kill "$work/bank.heap"
  status=$?
  [ $status -eq 137 ] || fail "the bank was not killed, but ended with $status"
done
echo
echo "\$ bank bank.heap"
"$bank" "$work/bank.heap" || fail "the accounts do not add up"
