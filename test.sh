#!/bin/sh
# Build libmmalloc in build/ and run its tests.  Installs what is missing for
# that with apt-get first.  Arguments, if any, are handed to configure.
cd "$(dirname "$0")" || exit 1
. ./build-aux/prepare.sh

prepare "$@" || exit
find "$build" -name '*.trs' -delete
make_build check VERBOSE=1
status=$?
make_build -s test-summary
exit $status
