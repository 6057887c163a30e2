#!/bin/sh
# mmalloc.c keeps its word: what the essay and the comments say about the file
# itself is so.  A violation is one line "FILE:LINE: what"; the last line is
# "N passed, M failed".  tests/structure_notices.sh shows that each check can
# fail.
#
# The file is a row of rooms.  A room begins with its banner, a line
#     /* ---- 13. Pages ------ */
# and ends before the next one; room 1 is the essay, the comment at the top.

cd "${srcdir:=.}" || exit 1
work=$(mktemp -d "${TMPDIR:-/tmp}/structure.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
export LC_ALL=C

# From this room on a room tells in its first comment what it is about.
first_told=6

# Only the rooms "The system ..." call the system.  Elsewhere these may: function,
# call, reason.
system_exceptions='
'
system_calls='open close read write pread pwrite stat fstat fcntl mmap munmap
  mprotect madvise msync fallocate ftruncate posix_fadvise kill syscall
  getrlimit statfs fstatfs getpid unlink readlink sysconf getenv
  nanosleep'

# Names in comments that are not ours: calls, headers, other libraries.
foreign_names='fetch_and fetch_or hardened_malloc msan_interface posix_spawn'

# ---- What the checks look at ----------------------------------------------

# The sources of the tests, but for these two scripts.
find_tests ()
{
  for file in tests/*.[ch] tests/*.sh tests/kill/*.[ch] tests/kill/*.sh \
              tests/hostile/*.[ch]; do
    case $file in
      */structure.sh | */structure_notices.sh) ;;
      *) [ ! -f "$file" ] || echo "$file" ;;
    esac
  done
}

# take_apart FILE...: the code, the comments and the string literals of each, in
# three files with as many lines; literals are separated by tabs.
take_apart ()
{
  awk -v work="$work" '
    FNR == 1 {
      if (to != "") {
        close (to ".code"); close (to ".comments"); close (to ".literals")
      }
      to = work "/" FILENAME
      script = FILENAME ~ /\.sh$/
      inside = 0
    }
    {
      rest = $0; code = comments = literals = ""
      if (script) {
        if (rest ~ /^ *#/) comments = rest; else code = rest
        rest = ""
      }
      while (rest != "")
        if (inside) {
          end = index (rest, "*/")
          inside = end == 0
          comments = comments (end ? substr (rest, 1, end - 1) " " : rest)
          rest = end ? substr (rest, end + 2) : ""
        } else if (match (rest, /\/\*|\/\/|"|\047/)) {
          code = code substr (rest, 1, RSTART - 1)
          rest = substr (rest, RSTART)
          if (rest ~ /^\/\*/) {
            inside = 1
            code = code " "
            rest = substr (rest, 3)
          } else if (rest ~ /^\/\//) {
            comments = comments substr (rest, 3)
            rest = ""
          } else {
            if (!match (rest, /^"([^"\\]|\\.)*"/) \
                && !match (rest, /^\047([^\047\\]|\\.)*\047/))
              RLENGTH = length (rest)
            if (rest ~ /^"/)
              literals = literals substr (rest, 2, RLENGTH - 2) "\t"
            code = code (rest ~ /^"/ ? "\"\"" : "0")
            rest = substr (rest, RLENGTH + 1)
          }
        } else {
          code = code rest
          rest = ""
        }
      print code > (to ".code")
      print comments > (to ".comments")
      print literals > (to ".literals")
    }' "$@"
}

# The lines of the essay without the comment around it.
find_essay ()
{
  awk '{ last = sub (/\*\/.*/, ""); print } last { exit }' mmalloc.c
}

# Each room with a banner: number, first line, last line, title.
find_rooms ()
{
  awk -v OFS='\t' '
    /^\/\* ---- [0-9]+\. .* -+ \*\/$/ {
      if (number) print number, first, NR - 1, title
      number = $3 + 0; first = NR; title = $0
      sub (/^[^.]*\. /, "", title)
      sub (/ -+ \*\/$/, "", title)
    }
    END { if (number) print number, first, NR, title }' mmalloc.c
}

# Each line of the table of rooms: number, line, title, prefixes; "wrong", line
# and text of what is none.  The table goes from a line "Rooms" to the end of
# the essay; there may be text before its first line.
find_table ()
{
  awk -v OFS='\t' '
    function row (    number, title, words) {
      number = text + 0
      title = words = text
      sub (/^ *[0-9]+ */, "", title)
      sub (/ *\(.*/, "", title)
      sub (/^[^(]*\( */, "", words)
      sub (/ *\) *$/, "", words)
      print number, at, title, words
      text = ""
    }
    /^ *Rooms([ .,:]|$)/ { inside = 1; rows = 0; next }
    !inside || /^ *$/ { next }
    /^ *[0-9]+ +[^ (].* \(/ {
      if (text != "") print "wrong", at, text
      text = $0; at = NR; rows++
    }
    text != "" && at < NR { text = text " " $0 }
    text ~ /\) *$/ { row(); next }
    text == "" && rows { print "wrong", NR, $0 }
    END { if (text != "") print "wrong", at, text }' "$work/essay"
}

# What the first comments of the rooms tell: number, line, label and text; label
# "none" if there is no comment, "inside" if a label stands in a sentence.
find_told ()
{
  awk -v OFS='\t' '
    function labels (    rest, before, label, found, text, at) {
      rest = comment; before = label = ""
      do {
        found = match (rest, /(Owns|Needs|Crash|Keeps|Checked[ \n]+by):/)
        text = found ? substr (rest, 1, RSTART - 1) : rest
        before = before text
        if (label != "") {
          gsub (/[ \n\t]+/, " ", text)
          print number, at, label, text
        }
        if (!found)
          break
        label = substr (rest, RSTART, RLENGTH - 1)
        gsub (/[ \n]+/, " ", label)
        at = first + gsub (/\n/, "\n", before)
        if (before !~ /^[ \n]*$/ && before !~ /[.)][ \n]*$/ \
            && before !~ /\n *\n *$/)
          print number, at, "inside", label
        before = before substr (rest, RSTART, RLENGTH)
        rest = substr (rest, RSTART + RLENGTH)
      } while (1)
    }
    /^\/\* ---- [0-9]+\. / { number = $3 + 0; waiting = 1; next }
    waiting && /^ *$/ { next }
    waiting {
      waiting = 0
      if (!/^\/\*/) { print number, NR, "none", ""; next }
      reading = 1; comment = ""; first = NR
      sub (/^\/\*/, "")
    }
    reading {
      end = index ($0, "*/")
      comment = comment (end ? substr ($0, 1, end - 1) : $0 "\n")
      if (end) { reading = 0; labels() }
    }' mmalloc.c
}

# find_functions FILE: of each function its name, its line, the lines of its
# braces, "public" or "private".  The forward declarations go to a file of their
# own, line and name.  This is GNU style: a body ends with a brace in the first
# column, unless it is all in one line.
find_functions ()
{
  awk -v OFS='\t' -v forwards="$work/$1.forwards" '
    # The name before the last parentheses of S, attributes aside; or "".
    function name_of (s,    i, c, depth, word, before, name) {
      for (i = 1; i <= length (s); i++) {
        c = substr (s, i, 1)
        if (c ~ /[A-Za-z0-9_]/)
          word = before ~ /[A-Za-z0-9_]/ ? word c : c
        else if (c == "(") {
          if (depth++ == 0 && word != "__attribute__" && word != "")
            name = word
          word = ""
        } else if (c == ")")
          depth--
        if (c !~ /[A-Za-z0-9_ (]/)
          word = ""
        before = c
      }
      return name
    }
    function line_of (name,    i) {
      for (i = n; i > 1; i--)
        if (index (" " lines[i], " " name " (") \
            || index (lines[i], "*" name " ("))
          break
      return at[i]
    }
    function forget () { statement = ""; n = 0 }
    BEGIN { printf "" > forwards; forget() }
    directive || /^[ \t]*#/ { directive = /\\$/; next }
    body && !/^\}/ { next }
    body {
      body = 0
      if (name != "")
        print name, line, opened, NR, access
      forget()
      sub (/^\}/, "")
    }
    {
      n++
      lines[n] = $0; at[n] = NR
      statement = statement " " $0
      if ($0 ~ /\{/) {
        head = statement
        sub (/ *\{.*/, "", head)
        name = head ~ /\)$/ && head !~ /=/ ? name_of(head) : ""
        line = line_of(name)
        access = head ~ /(MM|QA)_PUBLIC/ ? "public" : "private"
        opened = NR
        inside = $0
        body = gsub (/\{/, "", inside) > gsub (/\}/, "", inside)
        if (body)
          next
        if (name != "") {
          print name, line, opened, NR, access
          forget()
          next
        }
      }
      if (statement ~ /; *$/) {
        name = name_of(statement)
        if (statement ~ /^ *static / && statement !~ /[={]/ && name != "")
          print line_of(name), name > forwards
        forget()
      }
    }' "$work/$1.code"
}

# Each line of mmalloc.c: title of its room, its function, the code.
find_lines ()
{
  awk -F'\t' -v OFS='\t' '
    FILENAME ~ /rooms$/ { for (i = $2; i <= $3; i++) title[i] = $4; next }
    FILENAME ~ /functions$/ { for (i = $2; i <= $4; i++) name[i] = $1; next }
    { print title[FNR], name[FNR], $0 }' \
    "$work/rooms" "$work/mmalloc.c.functions" "$work/mmalloc.c.code"
}

# The names that comments may use, and those for comments in tests besides.
find_names ()
{
  cat "$work"/[mq]*.code | tr -c 'A-Za-z0-9_' '\n'
  cat "$work/test_names"
  for name in $foreign_names; do echo "$name"; done
}

find_names_of_tests ()
{
  cat "$work"/tests/*.code "$work"/tests/*/*.code | tr -c 'A-Za-z0-9_' '\n'
}

# Each I and P with a number in the comments and literals of the core, in the
# tests and in the manual: number, file, line.
find_numbers ()
{
  {
    for file in mmalloc.c qalloc.c; do
      echo "$work/$file.comments $file"
      echo "$work/$file.literals $file"
    done
    sed 's/.*/& &/' "$work/test_files"
    echo "doc/design.md doc/design.md"
    for file in doc/*.[357]; do echo "$file $file"; done
  } | awk '{
      file = $1; name = $2; line = 0
      while ((getline text < file) > 0) {
        line++
        text = " " text
        while (match (text, /[^A-Za-z0-9_][IP][0-9]+/)) {
          number = substr (text, RSTART + 1, RLENGTH - 1)
          text = substr (text, RSTART + RLENGTH)
          if (text !~ /^[A-Za-z_]/)
            print number, name, line
        }
      }
      close (file)
    }'
}

# ---- The checks -----------------------------------------------------------
# Each prints what is wrong and nothing else, or says "skipped:" and returns 77.

# The essay ends with a table of rooms.  Each banner has its line there and each
# line its banner, with one number and title; numbers are consecutive, and a
# prefix stands in one line only.
check_table ()
{
  awk -F'\t' '
    function wrong (line, what) { print "mmalloc.c:" line ": " what }
    FILENAME ~ /rooms$/ {
      if ($1 != (last ? last + 1 : 2))
        wrong($2, "room " $1 " follows room " (last ? last : 1))
      last = $1; banner[$1] = $2; title[$1] = $4
      next
    }
    $1 == "wrong" { wrong($2, "no line of the table of rooms: " $3); next }
    {
      if (rows++ && $1 != row + 1)
        wrong($2, "in the table room " $1 " follows room " row)
      row = $1; listed[$1] = 1
      if ($1 != 1 && !($1 in banner))
        wrong($2, "room " $1 " of the table has no banner")
      else if ($1 != 1 && $3 != title[$1])
        wrong(banner[$1], "room " $1 " is \"" title[$1] \
              "\" here and \"" $3 "\" in the table")
      n = split ($4, word, / +/)
      for (i = 1; i <= n && $4 != "-"; i++)
        if (word[i] !~ /^[a-z][a-z0-9_]*$/)
          wrong($2, "no prefix: \"" word[i] "\"")
        else if (word[i] in owner)
          wrong($2, word[i] " is of room " owner[word[i]] ", too")
        else
          owner[word[i]] = $1
      if (n == 0)
        wrong($2, "room " $1 " has empty parentheses")
    }
    END {
      if (!last)
        wrong(1, "there are no banners of rooms")
      if (!rows)
        wrong(1, "the essay has no table of rooms")
      else
        for (i in banner)
          if (!(i in listed))
            wrong(banner[i], "room " i " is not in the table")
    }' "$work/rooms" "$work/table"
}

# A function begins with a prefix of its room, or is named whole in the room's
# line of the table; functions with that prefix, or that name, are in that room.
# Public ones may be anywhere; macros with arguments count as functions that are
# where they are defined.
check_prefixes ()
{
  awk -F'\t' '
    function wrong (line, what) { print "mmalloc.c:" line ": " what }
    FILENAME ~ /rooms$/ { first[$1] = $2; last[$1] = $3; next }
    FILENAME ~ /mmalloc.c$/ {
      if (/^# *define +[a-z]+_/) {
        sub (/^# *define +/, "")
        sub (/_.*/, "_")
        used[$0] = 1
      }
      next
    }
    FILENAME ~ /table$/ {
      n = $1 == "wrong" ? 0 : split ($4, word, / +/)
      for (i = 1; i <= n; i++)
        if (word[i] ~ /^[a-z]/ && !(word[i] in owner)) {
          owner[word[i]] = $1; at[word[i]] = $2
          prefixes++
        }
      next
    }
    {
      functions++
      room = 1
      for (i in first)
        if ($2 >= first[i] && $2 <= last[i])
          room = i
      # The whole name, or the longest prefix.
      prefix = $1
      while (prefix != "" && !(prefix in owner))
        sub (/[^_]*_?$/, "", prefix)
      used[prefix] = 1
      if ($5 == "public" || !prefixes)
        next
      if (prefix == "")
        wrong($2, $1 " begins with no prefix of the table")
      else if (owner[prefix] != room)
        wrong($2, $1 " is in room " room ", but " prefix " is of room " \
              owner[prefix])
    }
    END {
      if (!functions || !prefixes)
        wrong(1, "there are no " (functions ? "prefixes" : "functions"))
      for (i in owner)
        if (!(i in used))
          wrong(at[i], "no function " (i ~ /_$/ ? "begins with " : "is ") i)
    }' "$work/rooms" "$work/table" mmalloc.c "$work/mmalloc.c.functions"
}

# From room $first_told on a room begins with a comment that says Owns: Needs:
# Crash: Keeps: Checked by: in this order, each at the beginning of a sentence.
check_told ()
{
  awk -F'\t' -v from="$first_told" '
    function wrong (line, what) { print "mmalloc.c:" line ": " what }
    BEGIN { labels = split ("Owns,Needs,Crash,Keeps,Checked by", label, ",") }
    FILENAME ~ /rooms$/ { banner[$1] = $2; next }
    $1 < from + 0 { next }
    $3 == "none" { without[$1] = 1; next }
    $3 == "inside" { wrong($2, $4 ": does not begin a sentence"); next }
    {
      for (i = 1; label[i] != $3; i++)
        ;
      if (i == reached[$1])
        wrong($2, $3 ": stands here a second time")
      else if (i < reached[$1])
        wrong($2, $3 ": comes after " label[reached[$1]] ":")
      else
        reached[$1] = i
      said[$1, i] = 1
    }
    END {
      for (room in banner)
        if (room + 0 >= from + 0 && room in without)
          wrong(banner[room], "room " room " does not begin with a comment")
        else if (room + 0 >= from + 0)
          for (i = 1; i <= labels; i++)
            if (!((room, i) in said))
              wrong(banner[room], "the first comment of room " room \
                    " does not say " label[i] ":")
    }' "$work/rooms" "$work/told"
}

# What "Checked by:" names is a function of mmalloc.c or a test.  Among several
# words, as in "the tests of kill/step", only those count that cannot be
# anything but names.
check_checked_by ()
{
  awk -F'\t' '
    FILENAME ~ /functions$/ || FILENAME ~ /test_names$/ {
      known[$1] = 1
      next
    }
    $3 == "Checked by" {
      text = $4 " "
      gsub (/\([^)]*\)/, "", text)
      if (match (text, /\. /))
        text = substr (text, 1, RSTART - 1)
      gsub (/ and /, ",", text)
      n = split (text, item, ",")
      for (i = 1; i <= n; i++) {
        gsub (/^ +| +$/, "", item[i])
        words = split (item[i], word, / +/)
        for (j = 1; j <= words; j++) {
          name = word[j]
          sub (/^tests\//, "", name)
          sub (/\.(c|sh)$/, "", name)
          if (name ~ /^[a-z][a-z0-9_\/]*$/ && (words == 1 || name ~ /[_\/]/) \
              && !(name in known))
            print "mmalloc.c:" $2 ": checked by " name \
                  ", which is no function and no test"
        }
      }
    }' "$work/mmalloc.c.functions" "$work/test_names" "$work/told"
}

# What looks like a name of ours in a comment is one: lower case with an
# underscore, or followed by " ()"; in the design also what is in backquotes.
# With an underscore at the end it may be the beginning of one.  Tests have
# names of their own besides.
check_names ()
{
  {
    for file in mmalloc.c mmalloc.h qalloc.c qalloc.h; do
      echo "$file $work/$file.comments"
    done
    echo "doc/design.md doc/design.md quoted"
    sed "s|.*|& $work/&.comments test|" "$work/test_files"
  } | awk -v names="$work/names" -v more="$work/names_of_tests" '
    function begins (word,    k) {
      for (k in known)
        if (index (k, word) == 1)
          return 1
      return 0
    }
    function look (line,    before, word, ours) {
      while (match (line, /[A-Za-z0-9_]+/)) {
        before = RSTART > 1 ? substr (line, RSTART - 1, 1) : ""
        word = substr (line, RSTART, RLENGTH)
        line = substr (line, RSTART + RLENGTH)
        ours = word ~ /^[a-z][a-z0-9]*_[a-z0-9_]*$/
        if (word ~ /^[a-z][a-z0-9]*$/)
          ours = line ~ /^ \(\)/ \
                 || (kind == "quoted" && before == "`" && line ~ /^`/)
        # A pattern of names, as compat_*.c, is not looked at.
        if (ours && line !~ /^\*/ && !(word in known) \
            && !(kind == "test" && word in in_tests) \
            && !(word ~ /_$/ && begins(word)))
          print file ":" number ": there is no " word
      }
    }
    BEGIN {
      while ((getline line < names) > 0) known[line] = 1
      while ((getline line < more) > 0) in_tests[line] = 1
    }
    {
      file = $1; text = $2; kind = $3; number = 0
      while ((getline line < text) > 0) { number++; look(line) }
      close (text)
    }'
}

# The invariants of the essay are numbered without a gap, as far as it says.
# Each is told in a report of mmalloc.c, kept by a room and named in a test; and
# none is named that is not there.
check_invariants ()
{
  awk '
    function wrong (line, what) { print "mmalloc.c:" line ": " what }
    FILENAME ~ /essay$/ {
      if (/^ *Invariants/)
        heading = FNR
      if (/^     I[0-9]+ /) {
        number = substr ($1, 2) + 0
        if (number != n + 1)
          wrong(FNR, "I" number " follows I" n)
        n = number
        line[n] = FNR
      }
      essay = essay " " $0
      next
    }
    FILENAME ~ /literals$/ {
      count = split ($0, literal, "\t")
      for (i = 1; i <= count; i++)
        if (literal[i] ~ /^I[0-9]+: /)
          told[substr (literal[i], 2) + 0] = 1
      next
    }
    FILENAME ~ /told$/ {
      split ($0, field, "\t")
      text = field[3] == "Keeps" ? field[4] : ""
      # I3 to I6 are four.
      gsub (/ to I|\.\.I/, "-I", text)
      while (match (text, /I[0-9]+(-I[0-9]+)?/)) {
        ends = split (substr (text, RSTART, RLENGTH), end, "-")
        text = substr (text, RSTART + RLENGTH)
        for (i = substr (end[1], 2) + 0; i <= substr (end[ends], 2) + 0; i++)
          kept[i] = 1
      }
      next
    }
    /^I/ {
      number = substr ($1, 2) + 0
      if ($2 ~ /^tests\//)
        tested[number] = 1
      if (!(number in line))
        print $2 ":" $3 ": the essay has no I" number
    }
    END {
      if (!n)
        wrong(1, "the essay has no invariants")
      if (match (essay, /named +in +comments +as +I1\.\.I[0-9]+/)) {
        said = substr (essay, RSTART, RLENGTH)
        sub (/.*I/, "", said)
        if (said + 0 != n)
          wrong(heading, "the essay says I1..I" said ", the last one is I" n)
      } else
        wrong(heading + 0, "the essay does not say: named in comments as " \
              "I1..I" n)
      for (i = 1; i <= n; i++) {
        if (!(i in told))
          wrong(line[i], "no report begins with \"I" i ": \"")
        if (!(i in kept))
          wrong(line[i], "no room says that it keeps I" i)
        if (!(i in tested))
          wrong(line[i], "no test names I" i)
      }
    }' "$work/essay" "$work/mmalloc.c.literals" "$work/told" "$work/numbers"
}

# Each promise that a comment, a test or the manual names is in the essay; also
# as one of a later version: "(P3, ...".
check_promises ()
{
  awk '
    FILENAME ~ /essay$/ {
      if (/^     P[0-9]+ |^ +\(P[0-9]+,/) {
        gsub (/[(,]/, "")
        there[$1] = 1
        n++
      }
      next
    }
    /^P/ && !($1 in there) { print $2 ":" $3 ": the essay has no " $1 }
    END { if (!n) print "mmalloc.c:1: the essay has no promises" }' \
    "$work/essay" "$work/numbers"
}

# The essay says how long the longest room and function may be, and how many
# forward declarations there are; "at most" some may also be fewer.
check_limits ()
{
  awk -F'\t' '
    function wrong (line, what) { print "mmalloc.c:" line ": " what }
    FILENAME ~ /essay$/ { essay = essay " " $0; next }
    FILENAME ~ /rooms$/ { banner[$1] = $2; room[$1] = $3 - $2 + 1; next }
    FILENAME ~ /functions$/ { at[$1] = $2; size[$1] = $4 - $3 + 1; next }
    { declared[++forwards] = $1; name[forwards] = $2 }
    END {
      gsub (/ +/, " ", essay)
      sizes = "No room has more than [0-9]+ lines, no function more than [0-9]+"
      if (match (essay, sizes)) {
        split (substr (essay, RSTART, RLENGTH), word, " ")
        for (i in room)
          if (room[i] > word[6] + 0)
            wrong(banner[i], "room " i " has " room[i] " lines")
        for (i in size)
          if (size[i] > word[12] + 0)
            wrong(at[i], i " has " size[i] " lines")
      } else
        wrong(1, "the essay does not say: No room has more than N lines, " \
              "no function more than M")
      if (match (essay, /([Aa]t most )?[A-Za-z0-9]+ forward declarations?/)) {
        split (tolower (substr (essay, RSTART, RLENGTH)), word, " ")
        most = word[1] == "at"
        k = most ? word[3] : word[1]
        n = split ("no one two three four five six seven eight nine ten",
                   number, " ")
        for (i = 1; i <= n; i++)
          if (number[i] == k)
            k = i - 1
        if (k !~ /^[0-9]+$/)
          wrong(1, "no number of forward declarations: " k)
        for (i = 1; k ~ /^[0-9]+$/ && forwards > k + 0 && i <= forwards; i++)
          wrong(declared[i], "forward declaration of " name[i] ", one of " \
                forwards ", but the essay says " k)
        if (k ~ /^[0-9]+$/ && forwards < k + 0 && !most)
          wrong(1, "the essay says " k " forward declarations, there are " \
                forwards + 0)
      } else
        wrong(1, "the essay does not say how many forward declarations")
    }' "$work/essay" "$work/rooms" "$work/mmalloc.c.functions" \
    "$work/mmalloc.c.forwards"
}

# Only the rooms "The system ..." call the system, by the table os or without it.
check_system ()
{
  echo "$system_calls" > "$work/calls"
  echo "$system_exceptions" > "$work/exceptions"
  awk -F'\t' '
    function wrong (what) { print "mmalloc.c:" FNR ": " what }
    FILENAME ~ /calls$/ {
      n = split ($0, field, " ")
      for (i = 1; i <= n; i++) called[field[i]] = 1
      next
    }
    FILENAME ~ /exceptions$/ {
      if (split ($0, field, " ") > 2) excepted[field[1], field[2]] = 1
      next
    }
    $1 ~ /^The system/ { found = 1; next }
    {
      line = "  " $3
      while (match (line, /[A-Za-z0-9_]+/)) {
        before = substr (line, RSTART - 2, 2)
        word = substr (line, RSTART, RLENGTH)
        line = "  " substr (line, RSTART + RLENGTH)
        # A member of that name is none of ours.
        if (before ~ /\.$|->/)
          continue
        if (word == "os" && line ~ /^ *\./)
          wrong("the table os outside of the system")
        else if (word in called && line ~ /^ +\(/ && !(($2, word) in excepted))
          wrong(word " outside of the system, in " $2)
      }
    }
    END { if (!found) print "mmalloc.c:1: there is no room \"The system\"" }' \
    "$work/calls" "$work/exceptions" "$work/lines"
}

# A store that publishes a word tells in a comment right before it by whom it is
# seen; check_names looks whether they exist.
check_published ()
{
  awk '
    / word_publish \(/ && !/define/ {
      if (told < FNR - 3)
        print "mmalloc.c:" FNR ": nobody is said to see what is published"
      n++
    }
    /Seen by [a-z_]+/ { told = FNR }
    END { if (!n && /word_publish/) print "mmalloc.c:1: nothing is published" }
    ' mmalloc.c
}

# Only the room "Bits and offsets" shifts and masks heads and directory words:
# by the places of their fields, or what is called head or dir by any number, or
# with a mask that has a name (a macro HEAD_... or DIR_...; the enums are
# values).  Constants such as 4 << 20 are free.
check_shifts ()
{
  awk -F'\t' '
    function wrong (what) {
      print "mmalloc.c:" FNR ": " what " outside of Bits and offsets"
    }
    /\t *# *define +(HEAD|DIR)_/ {
      match ($3, /(HEAD|DIR)_[A-Z_]+/)
      mask[substr ($3, RSTART, RLENGTH)] = 1
      before = ""
      next
    }
    $1 == "Bits and offsets" { found = 1; before = ""; next }
    {
      n = split ($3, word, /[^A-Za-z0-9_]+/)
      for (i = 1; i <= n; i++)
        if (word[i] in mask)
          wrong(word[i])
      # An operator at the beginning of a line has its left side before.
      line = $3
      if (line ~ /^ *(<<|>>|&)/)
        line = before line
      before = $3
      while (match (line, /(<<|>>|&) *(UINT[0-9]+_C *\()? *[0-9][0-9a-fx]*/)) {
        left = substr (line, 1, RSTART - 1)
        text = substr (line, RSTART, RLENGTH)
        line = substr (line, RSTART + RLENGTH)
        sub (/[ )]+$/, "", left)
        if (left ~ /&$|(^|[^A-Za-z0-9_.])[0-9][0-9A-Za-z]*$/)
          continue
        field = text ~ /^(<<|>>)/ && text ~ /[^0-9](16|20|24|48)$/
        if (field || left ~ /(head|dir|(^|[^A-Za-z0-9_>.])d)$/) {
          sub (/^.*[^A-Za-z0-9_]/, "", left)
          wrong(left " " text)
        }
      }
    }
    END {
      if (!found)
        print "mmalloc.c:1: there is no room \"Bits and offsets\""
    }' "$work/lines"
}

# If there is a room "Memory order", only it has words memory_order_...
check_memory_order ()
{
  if ! cut -f 4 "$work/rooms" | grep -qx 'Memory order'; then
    echo 'skipped: mmalloc.c has no room "Memory order"'
    return 77
  fi
  awk -F'\t' '
    $1 != "Memory order" && match ($3, /memory_order_[a-z_]+/) {
      print "mmalloc.c:" FNR ": " substr ($3, RSTART, RLENGTH) \
            " outside of Memory order"
    }' "$work/lines"
}

# The functions that the mutants look for, as in /^op_claim/ or /^op_note (/,
# exist; with an underscore at the end it is the beginning of one.
check_mutants ()
{
  awk '
    FILENAME ~ /functions$/ { there[$1] = 1; next }
    {
      line = $0
      while (match (line, /\/\^[a-z][a-z0-9_]*[^a-z0-9_]/)) {
        name = substr (line, RSTART + 2, RLENGTH - 3)
        line = substr (line, RSTART + RLENGTH)
        names++
        found = name in there
        for (i in there)
          if (name ~ /_$/ && index (i, name) == 1)
            found = 1
        if (!found)
          print FILENAME ":" FNR ": there is no function " name
      }
    }
    END { if (!names) print "tests/kill/mutants.sh:1: this names no function" }
    ' "$work/mmalloc.c.functions" "$work/qalloc.c.functions" \
    tests/kill/mutants.sh
}

# In the model of the protocol, the table behind a comment "functions of
# mmalloc.c" names functions: words with an underscore in its literals.
check_model ()
{
  model=tests/model_protocol.c
  if ! grep -q 'functions of mmalloc\.c' "$work/$model.comments"; then
    echo "skipped: $model has no table of functions of mmalloc.c"
    return 77
  fi
  awk -F'\t' -v model="$model" '
    FILENAME ~ /functions$/ { there[$1] = 1; next }
    FILENAME ~ /comments$/ {
      if (/functions of mmalloc\.c/) from[FNR] = 1
      next
    }
    FILENAME ~ /code$/ { if (/^\}/) to[FNR] = 1; next }
    {
      if (FNR in from) inside = 1
      for (i = 1; inside && i <= NF; i++) {
        n = split ($i, word, /[^A-Za-z0-9_]+/)
        for (j = 1; j <= n; j++)
          if (word[j] ~ /^[a-z][a-z0-9]*_[a-z0-9_]*$/) {
            names++
            if (!(word[j] in there))
              print model ":" FNR ": mmalloc.c has no function " word[j]
          }
      }
      if (FNR in to) inside = 0
    }
    END { if (!names) print model ":1: its table names no function" }' \
    "$work/mmalloc.c.functions" "$work/$model.comments" "$work/$model.code" \
    "$work/$model.literals"
}

# The public functions of the code are those of tests/symbols.list, of
# libmmalloc.map, of the headers and of the NAMEs of the manual, section 3.
check_public ()
{
  {
    for file in mmalloc.c qalloc.c; do
      awk -F'\t' -v file="$file" '
        $5 == "public" { print "code", file ":" $2, $1 }' \
        "$work/$file.functions"
    done
    for file in mmalloc.h qalloc.h; do
      awk -v file="$file" '
        match ($0, /^[a-z][a-z_ ]*[ *][mq][a-z_0-9]* \(/) && !/^typedef/ {
          name = substr ($0, 1, RLENGTH - 2)
          sub (/.*[ *]/, "", name)
          print "header", file ":" FNR, name
        }' "$work/$file.code"
    done
    awk '{ print "list", FILENAME ":" FNR, $1 }' tests/symbols.list
    awk '/^ *[a-z_0-9]+;$/ {
        sub (/;/, "")
        print "map", FILENAME ":" FNR, $1
      }' libmmalloc.map
    # Names of macros are no functions.
    sed -n 's/^# *define \([mq][a-z_0-9]*\)(.*/macro here \1/p' mmalloc.h qalloc.h
    awk '/^\.Nm [mq][a-z_0-9]*( ,)*$/ { print "page", FILENAME ":" FNR, $2 }' \
      doc/*.3
  } | awk '
    BEGIN {
      places = split ("code header list map page", place, " ")
      said["code"] = "a public function of mmalloc.c or qalloc.c"
      said["header"] = "in mmalloc.h or qalloc.h"
      said["list"] = "in tests/symbols.list"
      said["map"] = "in libmmalloc.map"
      said["page"] = "in the NAME of a page doc/*.3"
    }
    {
      there[$1, $3] = 1
      if (!($3 in first)) first[$3] = $2
    }
    END {
      for (name in first) {
        if (("macro", name) in there) continue
        n++
        for (i = 1; i <= places; i++)
          if (!((place[i], name) in there))
            print first[name] ": " name " is not " said[place[i]]
      }
      if (!n) print "mmalloc.c:1: there are no public functions"
    }'
}

# ---- One after the other --------------------------------------------------

# shellcheck disable=SC2046 # names of files without blanks
mkdir -p "$work/tests/kill" "$work/tests/hostile" &&
  find_tests > "$work/test_files" &&
  take_apart mmalloc.c mmalloc.h qalloc.c qalloc.h $(cat "$work/test_files") &&
  sed 's|^tests/||; s|\.[a-z]*$||; p; s|.*/||' "$work/test_files" \
    > "$work/test_names" &&
  find_essay > "$work/essay" &&
  find_rooms > "$work/rooms" &&
  find_table > "$work/table" &&
  find_told > "$work/told" &&
  find_functions mmalloc.c > "$work/mmalloc.c.functions" &&
  find_functions qalloc.c > "$work/qalloc.c.functions" &&
  find_lines > "$work/lines" &&
  find_names > "$work/names" &&
  find_names_of_tests > "$work/names_of_tests" &&
  find_numbers > "$work/numbers" || exit 1

passed=0 failed=0
for check in table prefixes told checked_by names invariants promises limits \
             system published shifts memory_order mutants model public; do
  "check_$check" > "$work/found"
  status=$?
  if [ $status -eq 77 ]; then
    cat "$work/found"
  elif [ $status -ne 0 ]; then
    echo "check_$check: exit status $status"
    failed=$((failed + 1))
  elif [ -s "$work/found" ]; then
    sort -t : -k 1,1 -k 2,2n -k 3 "$work/found" | uniq
    failed=$((failed + 1))
  else
    passed=$((passed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
