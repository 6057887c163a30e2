#! /bin/sh
# The manual agrees with the headers: each public function has a page or a link
# to one, with the prototype of the header; each flag, option and number is
# described; references lead somewhere; mandoc has nothing to complain about.

srcdir=${srcdir:-.}
links=doc/links
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

checks=0 failures=0
check () # what succeeded so far, the complaint if it did not
{
  checks=$((checks + 1))
  test "$1" -eq 0 || { echo "$2"; failures=$((failures + 1)); }
}

# The header without comments and directives, one declaration a
# line, blanks made even.
awk '
  { text = text "\n" $0 }
  END {
    while ((from = index (text, "/*")) > 0) {
      rest = substr (text, from + 2)
      text = substr (text, 1, from - 1) substr (rest, index (rest, "*/") + 2)
    }
    gsub (/\\\n/, " ", text)
    gsub (/\n#[^\n]*/, "", text)
    gsub (/extern "C" \{/, "", text)
    gsub (/[ \n\t]+/, " ", text)
    gsub (/ ?; ?/, ";\n", text)
    print text
  }' "$srcdir/mmalloc.h" "$srcdir/qalloc.h" >"$dir/declarations"

# Function prototypes of the header, and those of the pages with the page.
sed -n '/^typedef/d; s/ *(/ (/g; s/ ;$/;/
        s/^[ }]*\([a-z][a-z_ ]*[ *]\)\([mq][a-z_]*\) (\(.*\));$/\2|\1\2 (\3)/p' \
  "$dir/declarations" | sed 's/|\(.*[^ *]\)  */|\1 /' | sort >"$dir/header"

for page in "$srcdir"/doc/*.3; do
  awk -v page="${page##*/}" '
    /^\.Ft / { sub (/^\.Ft /, ""); type = $0 }
    /^\.Fn / && type != "" {
      name = $2
      sub (/^\.Fn [a-z_]* /, "")
      gsub (/" +"/, ", ")
      gsub (/"/, "")
      sub (/ +$/, "")
      print name "|" type (type ~ /\*$/ ? "" : " ") name " (" $0 ")|" page
      type = ""
    }' "$page"
done >"$dir/synopses"
cut -d'|' -f1,2 "$dir/synopses" | sort >"$dir/pages"

test "$(wc -l <"$dir/header")" -ge 30
check $? "only these prototypes were found in mmalloc.h:
$(cat "$dir/header")"
diff "$dir/header" "$dir/pages" >"$dir/diff"
check $? "the headers (<) and the pages (>) have different prototypes:
$(cat "$dir/diff")"

while IFS='|' read -r name prototype page; do
  sed -n '/^\.Sh NAME/,/^\.Nd/p' "$srcdir/doc/$page" \
    | grep -qx "\.Nm $name\( ,\)*"
  check $? "$page: $name is not in the section NAME"
  if test "$name.3" != "$page"; then
    test "$(cat "$links/$name.3")" = ".so man3/$page"
    check $? "$links/$name.3 does not lead to $page"
  fi
done <"$dir/synopses"

# Macros of the header, and members of its structures.
sed -n 's/^#define \(MMALLOC_[A-Z_]*[A-Z]\)\>[ (\\].*/\1/p
        s/^.* \(MMALLOC_[A-Z_]*\) =.*/\1/p' "$srcdir/mmalloc.h" \
  | sort -u | grep -vx 'MMALLOC_H' >"$dir/words"
test -s "$dir/words"
check $? "no macros were found in mmalloc.h"
sed -n '/[()=]/d; s/.*[ *]\([a-z_]*\)\(\[.*\]\)*;$/\1/p' \
  "$dir/declarations" | sort -u >"$dir/members"
test "$(wc -l <"$dir/members")" -ge 20
check $? "only these members were found in mmalloc.h:
$(cat "$dir/members")"
while read -r word; do
  cat "$srcdir"/doc/*.[357] | grep -qw -e "$word"
  check $? "no page describes $word of mmalloc.h"
done <<END
$(cat "$dir/words" "$dir/members")
END

# What is said about misuse.
tr '\n' ' ' <"$srcdir/mmalloc.c" | sed 's/" *"//g' >"$dir/source"
sed -n '/^\.Sh DIAGNOSTICS/,$s/^\.It "\(.*\)"$/\1/p' "$srcdir/doc/mmalloc.7" \
  >"$dir/findings"
test "$(wc -l <"$dir/findings")" -ge 5
check $? "the findings of mmalloc.7 are missing"
while read -r finding; do
  grep -qF "\"$finding\"" "$dir/source"
  check $? "mmalloc.c does not report: $finding"
done <"$dir/findings"

# References among the pages, and the list of pages in the Makefile.
for page in "$srcdir"/doc/*.[1-9]; do
  cat "$srcdir"/doc/*.am "$srcdir/tools/preload.am" |
    grep -q "doc/${page##*/}"
  check $? "$page is not listed in doc/doc.am, qalloc.am or tools/preload.am"
done
sed -n '/^\.Xr mmap/d; s/^\.Xr \(mm[a-z_]*\|q[a-z_]*\) \([1-9]\).*/\1.\2/p' \
  "$srcdir"/doc/*.[1-9] | sort -u >"$dir/references"
while read -r name; do
  test -f "$srcdir/doc/$name" || test -f "$links/$name"
  check $? "a page refers to $name, which is missing"
done <"$dir/references"

missing=
if command -v mandoc >/dev/null; then
  for page in "$srcdir"/doc/*.[1-9]; do
    mandoc -T lint -W warning "$page" >"$dir/lint" 2>&1
    check $? "mandoc: $(cat "$dir/lint")"
  done
else
  missing=yes
fi

echo "$((100 * (checks - failures) / checks))%: Checks: $checks," \
     "Failures: $failures, Errors: 0"
test $failures -eq 0 || exit 1
if test -n "$missing"; then
  echo "mandoc is missing: the pages were not checked for form."
  exit 77
fi
