#!/bin/sh
# usage: sanitize.sh [address | undefined | thread | memory | valgrind]...
# Build libmmalloc with sanitizers, each in a directory of its own outside of
# the source tree, and run a choice of the tests; then a few of them under
# valgrind's memcheck.  Without arguments: all of it.  Says what it skips, and
# exits with 1 if something failed.
#
# By hand or by CI, not by make check.  CC chooses the compiler where there is
# a choice, JOBS how many run at once, MMALLOC_TEST_OPS and MMALLOC_TEST_SEED
# the random work.

cd "$(dirname "$0")/.." || exit 1
source_dir=$PWD
jobs=${JOBS:-$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 1)}
work=$(mktemp -d "${TMPDIR:-/tmp}/sanitize.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
: "${MMALLOC_TEST_OPS:=60000}"
export MMALLOC_TEST_OPS
failed=0
summary=

# The programs of tests/, without what needs other programs or no library.
all_tests ()
{
  for file in tests/*.c; do
    case $file in
      tests/model_protocol.c) ;;
      *) echo "${file%.c}" ;;
    esac
  done
}

# Those that say something about threads.
thread_tests ()
{
  { echo tests/model_random
    grep -lE 'thread_(start|run)|pthread_create' tests/*.c; } |
    sed 's/\.c$//' | sort -u
}

# Those that come by much of the library and by few gigabytes.
memory_tests ()
{
  for file in tests/model_random.c tests/calloc*.c tests/realloc*.c \
              tests/roots*.c tests/reopen*.c tests/walk*.c tests/stats*.c \
              tests/free*.c tests/threads*.c tests/compat_grow*.c \
              tests/mmcheck*.c tests/open*.c tests/trim*.c; do
    [ ! -f "$file" ] || echo "${file%.c}"
  done
}

# Few and short, since each runs some fifty times slower.
valgrind_tests ()
{
  for test in model_random calloc_is_zero free_from_other_thread \
              usable_size roots_names misuse_double_free \
              sync_and_prefetch; do
    [ ! -f "tests/$test.c" ] || echo "tests/$test"
  done
}

say () { printf '\n==== %s\n' "$*"; }

note ()
{
  summary="$summary$*
"
  say "$*"
}

skip ()
{
  note "$1: skipped, $2"
}

# A compiler that links a program with -fsanitize=$1: CC, or else another.
compiler_for ()
{
  echo 'int main (void) { return 0; }' > "$work/probe.c"
  for cc in ${CC:-} gcc clang; do
    if command -v "$cc" > /dev/null &&
       "$cc" "-fsanitize=$1" -o "$work/probe" "$work/probe.c" \
         > /dev/null 2>&1 && "$work/probe"; then
      echo "$cc"
      return 0
    fi
  done
  return 1
}

# build NAME CONFIGURE-ARGUMENT...: configure and make the library.
build ()
{
  mkdir "$work/$1" && cd "$work/$1" && shift &&
  "$source_dir/configure" --quiet "$@" > configure.log 2>&1 ||
    { cat configure.log; return 1; }
  make -j"$jobs" libmmalloc.la > make.log 2>&1 || { cat make.log; return 1; }
}

# MemorySanitizer does not see what Check stores, which is not instrumented, and
# complains when Check writes it out: the only one here who calls fwrite.
quieten_check ()
{
  cat > "$work/quiet.c" <<'END'
#define _GNU_SOURCE 1
#include <sanitizer/msan_interface.h>
#include <stdio.h>
size_t
fwrite (const void *p, size_t size, size_t n, FILE *f)
{
  __msan_unpoison (p, size * n);
  flockfile (f);
  size_t done = fwrite_unlocked (p, size, n, f);
  funlockfile (f);
  return done;
}
END
  more_libs=$work/quiet.o
  "$1" -O1 -fsanitize=memory -c -o "$more_libs" "$work/quiet.c"
}

# check NAME TEST...: run these tests in the build of that name, as far as its
# Makefile knows them.
check ()
{
  cd "$work/$1" || return
  shift
  for test; do
    shift
    if grep -q "^$test\$(EXEEXT):" Makefile; then set -- "$@" "$test"; fi
  done
  [ $# -gt 0 ] || { echo 'no tests to run: is Check there?'; return 1; }
  make -j"$jobs" check_PROGRAMS="$*" TESTS="$*" LOG_COMPILER="${runner:-}" \
       ${more_libs:+LIBS="$more_libs"} check > check.log 2>&1
  status=$?
  [ $status -eq 0 ] || cat check.log test-suite.log
  echo "$# test programs:"
  grep -ahE '^[0-9]+%: Checks' tests/*.log | sort | uniq -c
  return $status
}

# sanitizer NAME TEST...
sanitizer ()
{
  name=$1
  shift
  if ! cc=$(compiler_for "$name"); then
    skip "$name sanitizer" "no compiler here links with -fsanitize=$name"
    return
  fi
  say "$name sanitizer, $cc"
  if ({ [ "$name" != memory ] || quieten_check "$cc"; } &&
      build "$name" CC="$cc" CFLAGS='-O1 -g' --enable-sanitize="$name" \
            --disable-shared && check "$name" "$@"); then
    note "$name sanitizer: passed"
  else
    note "$name sanitizer: FAILED"
    failed=1
  fi
}

# memcheck TEST...: valgrind follows the forks of Check, the last line counts.
memcheck ()
{
  if ! command -v valgrind > /dev/null; then
    skip valgrind 'it is not installed'
    return
  fi
  say "valgrind memcheck"
  MMALLOC_TEST_OPS=$((MMALLOC_TEST_OPS / 4))
  export MMALLOC_TEST_OPS CK_TIMEOUT_MULTIPLIER=50
  runner='valgrind --quiet --error-exitcode=99'
  if (build valgrind CFLAGS='-O1 -g' --disable-shared &&
      check valgrind "$@"); then
    note "valgrind memcheck: passed"
  else
    note "valgrind memcheck: FAILED"
    failed=1
  fi
}

if [ ! -x configure ]; then
  echo 'sanitize.sh: there is no configure yet: run ./autogen.sh' >&2
  exit 1
fi
if [ -f config.status ]; then
  echo 'sanitize.sh: the source tree is configured: run make distclean' >&2
  exit 1
fi

export UBSAN_OPTIONS="${UBSAN_OPTIONS-halt_on_error=1:print_stacktrace=1}"
[ $# -gt 0 ] || set -- address undefined thread memory valgrind
for what; do
  # shellcheck disable=SC2046 # lists of names without spaces
  case $what in
    address | undefined) sanitizer "$what" $(all_tests) ;;
    memory) sanitizer memory $(memory_tests) ;;
    thread) sanitizer thread $(thread_tests) ;;
    valgrind) memcheck $(valgrind_tests) ;;
    *) echo "sanitize.sh: what is \"$what\"?" >&2; exit 1 ;;
  esac
done

say 'all of it'
printf '%s' "$summary"
exit $failed
