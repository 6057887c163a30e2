# For test scripts that build programs with the library that was just built:
# $libraries links it, $srcdir is absolute.  They are skipped where there is no
# library, or such programs would not run.
library=$PWD/.libs/libmmalloc
srcdir=$(cd "$srcdir" && pwd) || exit 1

skip () { echo "skipped: $*"; exit 77; }
[ -z "$SANITIZE_FLAGS" ] || skip "the library was built with a sanitizer"
[ -z "$EMULATOR" ] || skip "built for another kind of machine"
if [ -e "$library.a" ]; then
  libraries="$library.a -lpthread"
elif [ -e "$library.so" ]; then
  # shellcheck disable=SC2034 # for the one who reads this file
  libraries="$library.so -Wl,-rpath,${library%/*}"
else
  skip "no library was built"
fi
