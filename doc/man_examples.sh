#! /bin/sh
# man_examples.sh DIR/PAGE_SECTION_N.c - print the example program N of the
# manual page PAGE.SECTION, which lies beside this script, as C source.
#
# An example program is a literal display in the section EXAMPLES whose first
# line is an #include.  They are counted from 1.

name=${1##*/}
name=${name%.c}
number=${name##*_}
name=${name%_*}

awk -v number="$number" '
  /^\.Sh / { examples = ($2 == "EXAMPLES") }
  /^\.Ed/  { state = "text" }
  state == "begin" { state = /^#include/ ? "program" : "text"
                     if (state == "program") n++ }
  state == "program" && n == number {
    gsub (/\\&/, ""); gsub (/\\-/, "-"); gsub (/\\\(aq/, "\047")
    gsub (/\\\(dq/, "\""); gsub (/\\e/, "\\")
    print
    printed = 1
  }
  examples && /^\.Bd -literal/ { state = "begin" }
  END { exit !printed }
' "$(dirname "$0")/${name%_*}.${name##*_}"
