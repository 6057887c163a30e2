#!/bin/sh
# Real programs do the same with libmmalloc-preload.so as without: what they
# write and how they end is compared.  Programs that are not installed are
# skipped.  With arguments: these programs only.
: "${srcdir:=.}" "${CC:=cc}"
library=$PWD/.libs/libmmalloc-preload.so
srcdir=$(cd "$srcdir" && pwd) || exit 1

skip () { echo "skipped: $*"; exit 77; }
[ -z "$SANITIZE_FLAGS" ] || skip "sanitizers bring a malloc of their own"
[ -z "$EMULATOR" ] || skip "built for another kind of machine"
[ -e "$library" ] || skip "the library to preload was not built"
grep -q 'libc\.so\.6\|libc\.musl-' "$library" ||
  skip "built for another C library than this machine's programs"

work=$(mktemp -d "${TMPDIR:-/tmp}/preload.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
export LC_ALL=C HOME="$work" TZ=UTC
unset LD_PRELOAD
LD_PRELOAD=$library sh -c 'cat /proc/self/maps' | grep -q "$library" ||
  { echo "fails: $library is not loaded"; exit 1; }

wanted=$*
checks=0 failures=0

# both NAME PROGRAM COMMAND...: COMMAND, a function, is run twice, in an empty
# directory each, if PROGRAM is there.
both ()
{
  name=$1; program=$2; shift 2
  case " ${wanted:-$name} " in *" $name "*) ;; *) return ;; esac
  command -v "$program" > /dev/null ||
    { echo "$name: skipped, not installed"; return; }
  mkdir "$work/without" "$work/with"
  ( cd "$work/without" && "$@" ) > "$work/without.out" 2>&1
  echo "status $?" >> "$work/without.out"
  ( export LD_PRELOAD="$library"; cd "$work/with" && "$@" ) \
    > "$work/with.out" 2>&1
  echo "status $?" >> "$work/with.out"
  checks=$((checks + 1))
  if ! grep -qx 'status 0' "$work/without.out"; then
    echo "$name: skipped, it does not work without the library either:"
    cat "$work/without.out"
  elif cmp -s "$work/without.out" "$work/with.out"; then
    echo "$name: the same, $(wc -l < "$work/with.out") lines"
  else
    echo "$name: DIFFERENT"
    diff "$work/without.out" "$work/with.out" | head -n 40
    failures=$((failures + 1))
  fi
  rm -rf "$work/without" "$work/with"
}

# Text of some size, the same each time.
words ()
{
  for i in 1 2 3; do
    cat "$srcdir/mmalloc.c" "$srcdir/mmalloc.h" "$srcdir/COPYING"
  done
}

shell_does ()
{
  words | while read -r first rest; do
    set -- "$first" $rest
    echo "$#" "${first#?}" "${rest%?}"
  done | cksum
  for i in 1 2 3 4 5 6 7 8; do
    ( ( echo $((i * i)) & wait ) | cat )
  done
  command -v bash > /dev/null && bash -c '
    declare -A n
    while read -r -a line; do
      for word in "${line[@]}"; do n["x$word"]=$((n["x$word"] + 1)); done
    done < <(head -n 2000 "$0")
    for word in "${!n[@]}"; do echo "$word ${n[$word]}"; done | sort | cksum
    ' "$srcdir/mmalloc.c"
  true
}

sort_does ()
{
  words | tr -cs 'A-Za-z' '\n' | sort --parallel=2 -S 200K | uniq -c | cksum
  words | sort -k2 -r | cksum
}

perl_does ()
{
  words | perl -e '
    my (%n, @lines, %at);
    while (<>) {
      push @lines, $_;
      for my $word (split /\W+/) { $n{$word}++; push @{$at{$word}}, $.; }
    }
    my $text = join "", reverse @lines;
    $text =~ s/(\w)(\w+)/$2$1/g;
    printf "%d %d %s\n", length $text, unpack ("%32C*", $text),
           join ",", map { "$_=$n{$_}:" . scalar @{$at{$_}} }
                     sort { $n{$b} <=> $n{$a} || $a cmp $b } keys %n;
    delete @at{grep { /e/ } keys %at};
    my @grid = map { my $i = $_; [ map { $i * $_ } 0 .. 300 ] } 0 .. 300;
    my $sum = 0;
    for my $row (@grid) { $sum += $_ for @$row; }
    print "$sum ", scalar keys %at, "\n";
    my $pid = open my $child, "-|";
    if (!$pid) { print join " ", sort keys %at; exit }
    print length (<$child>), "\n";'
}

gawk_does ()
{
  words | gawk '
    { for (i = 1; i <= NF; i++) { n[$i]++; at[$i][NR] = length ($0) } }
    END {
      PROCINFO["sorted_in"] = "@ind_str_asc"
      for (word in n) {
        sum = 0
        for (line in at[word]) sum += at[word][line]
        print word, n[word], sum, substr (word word word, 2)
      }
      for (i = 0; i < 20000; i++) text = text i
      print length (text), gsub (/12+/, "<&>", text), length (text)
    }' | cksum
}

lua_does ()
{
  cat > script.lua <<'END'
local seed, tree = 42, {}
local function random (n)
  seed = (seed * 16807) % 2147483647
  return seed % n + 1
end
for round = 1, 20 do
  for i = 1, 4000 do
    local key = "k" .. random (5000)
    if tree[key] and random (3) == 1 then tree[key] = nil
    else tree[key] = { round, string.rep (key, random (40)), {} } end
  end
  if round % 5 == 0 then collectgarbage () end
end
local keys, bytes = {}, 0
for key, value in pairs (tree) do
  keys[#keys + 1] = key
  bytes = bytes + #value[2] * value[1]
end
table.sort (keys)
print (#keys, bytes, table.concat (keys, " "):sub (1, 1000))
local threads, sum = {}, 0
for i = 1, 200 do
  threads[i] = coroutine.wrap (function ()
    for j = 1, 50 do coroutine.yield (i * j) end
  end)
end
for j = 1, 50 do for i = 1, 200 do sum = sum + threads[i] () end end
print (sum)
END
  "$lua" script.lua
}

sqlite_does ()
{
  sqlite3 test.db > answers <<'END'
PRAGMA journal_mode = WAL;
CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, size INT, note BLOB);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n
                         WHERE i < 30000)
INSERT INTO item SELECT i, 'item ' || (i * 7919 % 30011), i % 997,
                        zeroblob (i % 300) FROM n;
CREATE INDEX by_name ON item (name);
CREATE INDEX by_size ON item (size, name);
SELECT count (*), sum (size), sum (length (note)) FROM item;
SELECT size, count (*), min (name), max (name) FROM item GROUP BY size
  ORDER BY 2 DESC, 1 LIMIT 50;
UPDATE item SET name = name || ' changed' WHERE size % 3 = 0;
DELETE FROM item WHERE id % 4 = 1;
SELECT a.name, b.name FROM item a JOIN item b ON a.id = b.size
  WHERE b.id < 3000 ORDER BY 1, 2 LIMIT 300;
SELECT group_concat (name, ',') FROM (SELECT name FROM item ORDER BY name);
VACUUM;
PRAGMA integrity_check;
END
  status=$?
  cksum answers test.db
  return $status
}

git_does ()
{
  export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org
  export GIT_COMMITTER_NAME=c GIT_COMMITTER_EMAIL=c@example.org
  export GIT_CONFIG_NOSYSTEM=1
  git init -q -b first . || return
  n=0
  while [ $n -lt 8 ]; do
    GIT_AUTHOR_DATE="2000-01-01T00:00:0$n" GIT_COMMITTER_DATE=$GIT_AUTHOR_DATE
    export GIT_AUTHOR_DATE GIT_COMMITTER_DATE
    sed "$((n * 100)),$((n * 100 + 50))d" "$srcdir/mmalloc.c" > mmalloc.c
    echo $n > file$n
    git add . && git commit -q -m "number $n" || return
    n=$((n + 1))
  done
  git checkout -q -b second HEAD~4 && echo more > more && git add more &&
  git commit -q -m more && git merge -q -m merged first || return
  git gc -q && git fsck --strict && git log --stat --graph &&
  git log -p --format=%H | cksum && git blame mmalloc.c | cksum &&
  git grep -c avail HEAD~2 && git clone -q . copy && git -C copy status -s
}

cc_does ()
{
  # Not "-g", which writes the name of the directory into the object.
  $CC -O0 -D_GNU_SOURCE -I"$srcdir" -c "$srcdir/mmalloc.c" -o mmalloc.o &&
  cksum mmalloc.o
}

python_does ()
{
  cat > script.py <<'END'
import hashlib, json, multiprocessing, re, sqlite3, sys, threading, zlib
def square (n):
    return sum (i * i for i in range (n))
if __name__ == '__main__':
    text = open (sys.argv[1]).read ()
    words = re.findall (r'[A-Za-z_]+', text)
    where = {}
    for i, word in enumerate (words):
        where.setdefault (word, []).append (i)
    copy = json.loads (json.dumps (where, sort_keys = True))
    print (copy == where, len (where), len (json.dumps (copy, indent = 1)))
    print (hashlib.sha256 (re.sub (r'(\w)(\w)', r'\2\1', text).encode ())
           .hexdigest ())
    data = text.encode ()
    print (zlib.decompress (zlib.compress (data, 9)) == data)
    db = sqlite3.connect (':memory:')
    db.execute ('create table word (name text, n int)')
    db.executemany ('insert into word values (?, ?)',
                    [(w, len (n)) for w, n in where.items ()])
    print (db.execute ('select name, n from word order by n desc, name limit 9')
           .fetchall ())
    found = {}
    def search (k):
        found[k] = [m.start () for m in re.finditer (r'\b\w{%d}\b' % k, text)]
    threads = [threading.Thread (target = search, args = (k,))
               for k in range (1, 17)]
    for t in threads: t.start ()
    for t in threads: t.join ()
    print (sorted ((k, len (v)) for k, v in found.items ()))
    multiprocessing.set_start_method ('fork')
    with multiprocessing.Pool (2) as pool:
        print (pool.map (square, range (0, 4000, 100)))
END
  python3 script.py "$srcdir/mmalloc.c" &&
  PYTHONMALLOC=malloc python3 script.py "$srcdir/mmalloc.c"
}

# Modules of Python's own tests, with every object in a block of its own.
python_tests_do ()
{
  PYTHONMALLOC=malloc python3 -m test -q \
    test_dict test_list test_descr test_fork1 test_thread > result 2>&1 ||
    { cat result; return 1; }
  grep -i 'tests* OK\|result' result
}

# A library that is loaded with RTLD_DEEPBIND has the malloc of the C library:
# as long as neither frees what the other one has made, all is well.
deepbind_does ()
{
  cat > plug.c <<'END'
#include <stdlib.h>
#include <string.h>
char *plug_make (void) { return strcpy (malloc (100), "made there"); }
void plug_free (char *p) { free (p); }
END
  cat > host.c <<'END'
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
int main (int argc, char **argv)
{
  void *plug = dlopen ("./plug.so", RTLD_NOW | RTLD_DEEPBIND);
  char *(*make) (void) = (char *(*) (void)) dlsym (plug, "plug_make");
  void (*release) (char *) = (void (*) (char *)) dlsym (plug, "plug_free");
  char *own = strdup ("made here"), *its = make ();
  int wrong = strcmp (own, "made here") | strcmp (its, "made there");
  if (argc > 1)
    free (its);
  free (own);
  release (its);
  return wrong;
}
END
  $CC -shared -fPIC -w plug.c -o plug.so && $CC -w host.c -o host -ldl &&
    ./host && echo done
}

# Else the program is told, and ended.
deepbind_mixed ()
{
  work_in=$(mktemp -d "$work/mixed.XXXXXX") && cd "$work_in" &&
    deepbind_does > /dev/null 2>&1 || return 0
  LD_PRELOAD=$library sh -c './host mixed; echo "status $?"' > out 2>&1
  grep -q 'libmmalloc: free (.*): not a block of this heap' out &&
    ! grep -q 'status 0' out
}

both shell sh shell_does
both sort sort sort_does
both perl perl perl_does
both gawk gawk gawk_does
lua=lua
for name in lua5.4 lua5.3 lua5.2 lua5.1; do
  command -v $lua > /dev/null || lua=$name
done
both lua $lua lua_does
both sqlite3 sqlite3 sqlite_does
both git git git_does
both cc "${CC%% *}" cc_does
both deepbind "${CC%% *}" deepbind_does
checks=$((checks + 1))
( deepbind_mixed ) || { echo "deepbind: what is mixed goes unnoticed"
                        failures=$((failures + 1)); }
both python python3 python_does
if python3 -c 'import test.libregrtest' 2> /dev/null; then
  both python_tests python3 python_tests_do
else
  echo "skipped: Python's own tests are not installed"
fi

echo "$((100 * (checks - failures) / (checks ? checks : 1)))%:" \
     "Checks: $checks, Failures: $failures, Errors: 0"
[ $failures -eq 0 ] || exit 1
[ $checks -gt 0 ] || skip "none of the programs is installed"
