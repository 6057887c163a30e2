# Read by demo.sh and test.sh, in the top directory of the sources: installs
# what is missing to build libmmalloc, and builds it in the directory build/.
# shellcheck shell=sh

build=${BUILD:-build}
jobs=$(getconf _NPROCESSORS_ONLN 2> /dev/null || echo 1)

as_root ()
{
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# The Debian packages that have to be installed yet, one a line.
missing_packages ()
{
  for pair in make:make autoconf:autoconf automake:automake \
              libtoolize:libtool pkg-config:pkg-config; do
    command -v "${pair%:*}" > /dev/null || echo "${pair#*:}"
  done
  ${CC:-cc} --version > /dev/null 2>&1 || echo gcc
  echo '#include <stdio.h>' | ${CC:-cc} -E - > /dev/null 2>&1 || echo libc6-dev
  pkg-config --exists check 2> /dev/null || echo check
}

install_missing ()
{
  packages=$(missing_packages | tr '\n' ' ')
  [ -n "$packages" ] || return 0
  if ! command -v apt-get > /dev/null; then
    echo "Please install, by their names in Debian: $packages" >&2
    return 1
  fi
  echo "== Installing with apt-get: $packages"
  # shellcheck disable=SC2086 # a list of words
  as_root env DEBIAN_FRONTEND=noninteractive sh -c '
    apt-get -q update &&
    apt-get -q -y --no-install-recommends install "$@"' sh $packages
}

make_build ()
{
  make --no-print-directory -C "$build" -j"$jobs" "$@"
}

# Install, configure with the arguments given, and make.
prepare ()
{
  install_missing || return
  [ -x configure ] || ./autogen.sh || return
  if [ $# -gt 0 ] || [ ! -f "$build/config.status" ]; then
    mkdir -p "$build" &&
    (cd "$build" && "$source_dir/configure" --quiet "$@") || return
  fi
  make_build all
}

source_dir=$PWD
