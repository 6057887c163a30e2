#!/bin/sh
# Two programs with their functions at different addresses, at once and one
# after the other, call virtual functions through one pointer in one heap:
# examples/vectors.cc.
: "${srcdir:=.}" "${CXX:=c++}"
. "$srcdir/tests/library.sh"

work=$(mktemp -d "${TMPDIR:-/tmp}/virtual.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# The second one has other things in front of its functions.
echo 'long before[99999] = { 1 }; int text (int i) { return i * 3; }' > other.cc
echo '#include <memory_resource>' > has.cc
$CXX -std=c++17 -fsyntax-only has.cc 2> messages ||
  skip "$CXX makes no programs in C++17"
# shellcheck disable=SC2086 # a list of words
$CXX -std=c++17 -O2 -fPIE -pie -Wall -Wextra -Werror -I"$srcdir" -o one \
    "$srcdir/examples/vectors.cc" $libraries &&
  $CXX -std=c++17 -O1 -fPIE -pie -Wall -Wextra -Werror -I"$srcdir" -o two \
    other.cc "$srcdir/examples/vectors.cc" $libraries || exit 1

failures=0
fails () { failures=$((failures + 1)); echo "fails: $*"; cat said.*; }

# While the first one waits the second one comes and goes; the numbers are such
# that the first one needs memory for the vector then.
mkfifo waits ready
./one heap 1100 < waits > ready &
first=$!
exec 3> waits 4< ready
read -r line <&4
echo "$line" > said.one
./two heap 1100 < /dev/null > said.two || fails "the second program"
exec 3>&-
cat <&4 >> said.one
wait $first || fails "the first program, beside the second"
./two heap 1100 < /dev/null > said.again || fails "a third"
[ "$(cut -d: -f1 said.one | sed -n 1p)" != \
  "$(cut -d: -f1 said.two | sed -n 1p)" ] || fails "all functions in one place"
[ "$(sed -n 2p said.one)" = "4400 numbers, sum 2422200" ] || fails "the count"
[ "$(sed -n 2p said.again)" = "6600 numbers, sum 3633300" ] || fails "the end"

echo "$((100 * (5 - failures) / 5))%: Checks: 5, Failures: $failures, Errors: 0"
[ $failures -eq 0 ]
