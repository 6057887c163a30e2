#!/bin/sh
# install-peers.sh - install what the benchmarks compare with and run, on Debian.
#
#   bench/install-peers.sh        as root, or it asks sudo
#
# Nothing else in this project installs anything.  Peers that are missing are
# left out of the benchmarks.

set -eu

packages='
  python3 gnuplot-nox valgrind g++
  libmimalloc-dev libjemalloc-dev libgoogle-perftools-dev
  libmemkind-dev libboost-dev libpmemobj-dev liblmdb-dev libsqlite3-dev
  perl lua5.4 gawk git sqlite3 clang jq z3 redis-server'

if [ "$(id -u)" = 0 ]; then sudo=; else sudo=sudo; fi
# The words are meant to be split.
# shellcheck disable=SC2086
$sudo apt-get install -y --no-install-recommends $packages
