#!/bin/sh
# Does structure.sh notice?  A small library that keeps every convention is
# made in a temporary directory.  It must pass; with one violation after the
# other it must fail, in one check, with the line that tells of it.

script=$(cd "${srcdir:=.}" && pwd)/tests/structure.sh
work=$(mktemp -d "${TMPDIR:-/tmp}/notices.XXXXXX") || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM
good=$work/good bad=$work/bad
passed=0 failed=0

# ---- The library that keeps its word --------------------------------------

mkdir -p "$good/tests/kill" "$good/tests/hostile" "$good/doc" || exit 1

cat > "$good/mmalloc.c" <<'END'
/* mmalloc.c - a library as small as can be.

   1. ESSAY

   Promises
     P1  come back
     P2  stay whole
   (P3, later.)

   Invariants, checked by mmalloc_check and named in
   comments as I1..I3
     I1  pages are pages
     I2  a page has a word,
         and that is all
     I3  the file is long enough

   No room has more than 30 lines, no function
   more than 9.  One forward declaration, that of page_of.

   Rooms, with the prefixes of their functions
     2  Includes and platform  (-)
     3  What is in the file    (-)
     4  What is in the process (-)
     5  Memory order           (word_)
     6  Failing                (fail_)
     7  Bits and offsets       (head_ dir_ off_
                               round_up)
     8  The system             (os_)
     9  Pages                  (page_ page_list_)
     10 Page lists             (list_)
     11 Public calls           (alloc_)  */


/* ---- 2. Includes and platform ------------------------------------------ */

#include "mmalloc.h"
#define MM_PUBLIC __attribute__ ((visibility ("default")))
#define MM_TWO_LINES(x) \
  ((x) + 1)


/* ---- 3. What is in the file -------------------------------------------- */

/* A page's head.  */
struct disk_page { uint64_t head; uint64_t id; };
enum { HEAD_PAGE = 1, MM_ROOM = 4 << 20 };
#define HEAD_STATE (UINT64_C (3) << 20)


/* ---- 4. What is in the process ----------------------------------------- */

static struct
{
  int (*close) (int);
} process = {
  0
};
static _Thread_local int thread_error
  __attribute__ ((tls_model ("initial-exec")));


/* ---- 5. Memory order --------------------------------------------------- */

static inline uint64_t
word_get (_Atomic uint64_t *word)
{
  return atomic_load_explicit (word, memory_order_relaxed);
}


/* ---- 6. Failing -------------------------------------------------------- */

/* Owns: the handler (of misuse).  Needs: nothing.  Crash: nothing to do.
   Keeps: nothing.  Checked by: pages.  */

static void
fail_misuse (void)
{
  fail_told ("close (2) /* no comment */ \" << 20");
}


/* ---- 7. Bits and offsets ----------------------------------------------- */

/* Owns: nothing.  Needs: nothing.  Crash: nothing
   to do.
   Keeps: nothing.  Checked by: kill/step.  */

static uint64_t head_make (unsigned kind) { return (uint64_t) kind << 16; }
static unsigned head_kind (uint64_t head) { return head >> 16 & 15; }
static unsigned dir_kind (uint64_t d) { return d >> 16 & 15; }
static uint64_t head_state (uint64_t h) { return h & HEAD_STATE; }

static size_t
round_up (size_t n, size_t unit)
{
  return (n + unit - 1) & ~(unit - 1);
}

static struct disk_page *
off_page (char *base, size_t i)
{
  return (struct disk_page *) base + i;
}


/* ---- 8. The system ----------------------------------------------------- */

/* Owns: the table os.  Needs: nothing.  Crash: see

       a table      of what happens

   Keeps: nothing.  Checked by: os_close, the tests of pages.  */

static struct { int (*close) (int); } os = { close };

static void
os_close (int fd)
{
  os.close (fd);
}

#ifdef __linux__
static int
os_open (const char *path)
{
  return open (path, 0);
}
#endif


/* ---- 9. Pages ---------------------------------------------------------- */

/* Owns: struct disk_page.  Needs: the lock, for page_..., ..._locked.  Crash:
   nothing happened.  Keeps: I1 to I3 (see alloc_one ()).  Checked by:
   mmalloc_check, pages.c and golden (hostile/golden.h).  */

static struct disk_page *page_of (struct disk_page *p,
                                  size_t i);

/* As compat_*.c want it.  */
static unsigned
page_kind (struct disk_page *p)
{
  char quote = '"';
  if (p->id >> 32 != 0 || 1 << 20 == 1)
    return process.close (quote);
  return head_kind (p->head);
}

static struct disk_page *
page_of (struct disk_page *p, size_t i)
{
  return off_page ((char *) p, i);
}

static void page_list_clear (void) { }


/* ---- 10. Page lists ---------------------------------------------------- */

/* Owns: hints.  Needs: nothing.  Crash: hints are lost.  Keeps: nothing.
   Checked by: pages.  */

static void
list_clear (void)
{
  page_list_clear ();
}


/* ---- 11. Public calls -------------------------------------------------- */

/* Owns: nothing.  Needs: nothing.  Crash: P1, P2.  Keeps: nothing.
   Checked by: pages.  */

static void
alloc_one (struct disk_page *p)
{
  p->head = head_make (HEAD_PAGE);
}

MM_PUBLIC const char *
mmalloc_check (void *md)
{
  if (page_kind (md) != HEAD_PAGE)
    return "I1: a page is none";
  return page_of (md, 1) == 0 ? "I2: a page has no word"
         : "I3: the file is too short";
}
END

cat > "$good/mmalloc.h" <<'END'
/* mmalloc.h - see mmalloc_check.  */
typedef int (*mmalloc_fn) (int);
extern const char *mmalloc_check (void *md)
  __attribute__ ((pure));
END

cat > "$good/qalloc.h" <<'END'
extern void qalloc_close (void);
END

cat > "$good/qalloc.c" <<'END'
/* qalloc.c - closes maps, see map_close ().  */
#define QA_PUBLIC __attribute__ ((visibility ("default")))

static void
map_close (void)
{
}

QA_PUBLIC void
qalloc_close (void)
{
  map_close ();
}
END

printf '%s\n' mmalloc_check qalloc_close > "$good/tests/symbols.list"

cat > "$good/libmmalloc.map" <<'END'
MMALLOC_0 {
  global:
    mmalloc_check;
    qalloc_close;
  local:
    *;
};
END

printf '.Sh NAME\n.Nm mmalloc_check\n.Nd P1\n' > "$good/doc/mmalloc.3"
printf '.Sh NAME\n.Nm qalloc_close\n.Nd close\n' > "$good/doc/qalloc.3"
printf '.It P1\nBack.\n' > "$good/doc/mmalloc.7"
# shellcheck disable=SC2016 # these are no commands
printf '%s\n' 'A `head` is one word; see page_kind and `mmalloc.c`.' \
  > "$good/doc/design.md"

cat > "$good/tests/pages.c" <<'END'
/* I1 and P2, by way of page_of and own_helper.  */
static void own_helper (void) { }
const char *said = "I2: a page has no word";
END
echo '/* Killed: see page_kind.  */' > "$good/tests/kill/step.c"
echo 'const char *golden = "I3: the file is too short";' \
  > "$good/tests/hostile/golden.h"

cat > "$good/tests/kill/mutants.sh" <<'END'
# The head is not made.
mutant no_head '/^alloc_one/,/^}/ {
  /^  p->head/d
}' step
mutant no_list '/^list_/,/^}/ s/^  page_list_clear ();//' step
map_mutant no_close '/^map_close (/,/^}/ d' step
END

cat > "$good/tests/model_protocol.c" <<'END'
/* Each step, and the functions of mmalloc.c that take it.  */
static const char *const steps[] = {
  "take it", "page_of, alloc_one",
};
const char *other = "not_a_function";
END

# ---- What is to be noticed ------------------------------------------------

count () # STATUS, what failed
{
  if [ "$1" -eq 0 ]; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
    shift
    printf '%s\n' "$@"
  fi
}

srcdir=$good sh "$script" > "$work/log" 2>&1
count $? "the good library fails:" "$(cat "$work/log")"
[ "$(cat "$work/log")" = "15 passed, 0 failed" ]
count $? "the good library does not pass 15 checks:" "$(cat "$work/log")"

# notices FILE SED-SCRIPT LINE [N]: with FILE of the good library changed in
# this way one check fails, or N do, and a line ends with LINE.
notices ()
{
  rm -rf "$bad"
  cp -R "$good" "$bad"
  sed -e "$2" "$good/$1" > "$bad/$1"
  if cmp -s "$good/$1" "$bad/$1"; then
    count 1 "$1: nothing is changed by $2"
    return
  fi
  if srcdir=$bad sh "$script" > "$work/log" 2>&1; then
    count 1 "$1: not noticed: $2"
  else
    awk -v line="$3" -v checks="${4-1}" '
      /^[a-z0-9_.\/]+:[0-9]+: / \
      && substr ($0, length ($0) - length (line) + 1) == line { said = 1 }
      { last = $0 }
      END { exit !said || last !~ (" passed, " checks " failed$") }' "$work/log"
    count $? "$1: with $2 there is not just the line" "  $3" "but" \
          "$(cat "$work/log")"
  fi
}

# not_disturbed FILE SED-SCRIPT: a change that breaks no convention.
not_disturbed ()
{
  rm -rf "$bad"
  cp -R "$good" "$bad"
  sed -e "$2" "$good/$1" > "$bad/$1"
  srcdir=$bad sh "$script" > "$work/log" 2>&1
  count $? "$1: with $2 there is" "$(cat "$work/log")"
}

# The table of rooms.
notices mmalloc.c '/---- 9/s/Pages/Sheets/' \
  'room 9 is "Sheets" here and "Pages" in the table'
notices mmalloc.c '/---- 11/s/11/12/; s/^     11 Pub/     12 Pub/' \
  'room 12 follows room 10'
notices mmalloc.c '/^     3  What/d' 'room 3 is not in the table'
notices mmalloc.c '/^     3  What/d' 'in the table room 4 follows room 2'
notices mmalloc.c '/---- 3/d' 'room 3 of the table has no banner'
notices mmalloc.c 's/(list_)/(list_ head_)/' 'head_ is of room 7, too'
notices mmalloc.c 's/(list_)/(list_ M)/' 'no prefix: "M"'
notices mmalloc.c 's/(alloc_)  .*/(alloc_)\
   The end.  *\//' 'no line of the table of rooms:    The end.  '
notices mmalloc.c 's/^   Rooms/   Chambers/' \
  'the essay has no table of rooms' 2

# Prefixes.
stray='static void\
stray (void)\
{\
}\
'
notices mmalloc.c "/^list_clear/,/^}/{
/^}/a\\
$stray
}" 'stray begins with no prefix of the table'
notices mmalloc.c "/^off_page/,/^}/{
/^}/a\\
static unsigned page_other (void) { return 0; }
}" 'page_other is in room 7, but page_ is of room 9'
notices mmalloc.c 's/page_list_)/page_)/' 'page_ is of room 9, too'
notices mmalloc.c 's/(page_ page_list_)/(page_)/
s/(list_)/(list_ page_list_)/' \
  'page_list_clear is in room 9, but page_list_ is of room 10'
notices mmalloc.c '/^ *round_up)/s/round_up//' \
  'round_up begins with no prefix of the table'
notices mmalloc.c 's/(list_)/(list_ listing)/' 'no function is listing'
notices mmalloc.c 's/(list_)/(list_ disk_)/' 'no function begins with disk_'
not_disturbed mmalloc.c 's/(alloc_)/(alloc_ mmalloc_check)/'

# What a room tells.
for label in Owns Needs Crash Keeps; do
  notices mmalloc.c "/Owns: hints/s/$label: [^.]*\.//" \
    "the first comment of room 10 does not say $label:"
done
notices mmalloc.c '/---- 10/,/\*\/$/{
/Checked by/s/Checked by:/See/
}' 'the first comment of room 10 does not say Checked by:'
notices mmalloc.c 's/\(Owns: hints.\)  \(Needs: nothing.\)/\2  \1/' \
  'Owns: comes after Needs:'
notices mmalloc.c 's/Owns: hints./Owns: hints.  Owns: all./' \
  'Owns: stands here a second time'
notices mmalloc.c 's/Owns: hints.  Needs:/Owns: hints, Needs:/' \
  'Needs: does not begin a sentence'
notices mmalloc.c 's/^\/\* Owns: hints/static int x;\
&/' 'room 10 does not begin with a comment'

# What it is checked by.
notices mmalloc.c 's/Checked by: kill\/step/Checked by: kill\/stop/' \
  'checked by kill/stop, which is no function and no test'
notices mmalloc.c 's/pages.c and golden/pages.c and gold/' \
  'checked by gold, which is no function and no test'
notices mmalloc.c 's/the tests of pages/the tests of kill\/a/' \
  'checked by kill/a, which is no function and no test'

# Names in comments.
notices mmalloc.c "s/A page's head/As page_gone has it/" 'there is no page_gone'
notices mmalloc.c "s/A page's head/As stray ()/" 'there is no stray'
notices mmalloc.c "s/A page's head/As stray_.../" 'there is no stray_'
notices mmalloc.h 's/see mmalloc_check/see mmalloc_gone/' \
  'mmalloc.h:1: there is no mmalloc_gone'
notices qalloc.c 's/see map_close/see map_gone/' \
  'qalloc.c:1: there is no map_gone'
# shellcheck disable=SC2016 # these are no commands
notices doc/design.md 's/`head`/`tail`/' 'doc/design.md:1: there is no tail'
notices doc/design.md 's/page_kind/page_gone/' \
  'doc/design.md:1: there is no page_gone'
notices tests/pages.c '1s/own_helper/own_gone/' \
  'tests/pages.c:1: there is no own_gone'
notices tests/kill/mutants.sh 's/^# .*/# page_gone/' \
  'tests/kill/mutants.sh:1: there is no page_gone'

# Invariants and promises.
notices mmalloc.c 's/"I3: the/"the/' 'no report begins with "I3: "'
notices mmalloc.c 's/Keeps: I1 to I3/Keeps: I1, I2/' \
  'no room says that it keeps I3'
notices mmalloc.c 's/Keeps: I1 to I3/Keeps: I1..I4/; s/I1\.\.I3/I1..I4/
/^     I3/a\
     I4  all is well
s/: "I3: the/: "I4: a" "I3: the/' 'no test names I4'
notices mmalloc.c "s/A page's head/See I4/" 'the essay has no I4'
notices tests/pages.c '1s/I1/I1, I5/' 'tests/pages.c:1: the essay has no I5'
notices mmalloc.c 's/I1\.\.I3/I1..I2/' \
  'the essay says I1..I2, the last one is I3'
notices mmalloc.c 's/comments as I1..I3/them/' \
  'the essay does not say: named in comments as I1..I3'
notices mmalloc.c 's/^     I2/     I3/' 'I3 follows I1'
notices mmalloc.c "s/A page's head/See P4/" 'the essay has no P4'
notices tests/pages.c '1s/P2/P5/' 'tests/pages.c:1: the essay has no P5'
notices doc/mmalloc.7 's/P1/P6/' 'doc/mmalloc.7:1: the essay has no P6'
not_disturbed doc/mmalloc.7 's/P1/P3/'

# Sizes.
notices mmalloc.c 's/more than 30 lines/more than 27 lines/' \
  'room 9 has 28 lines'
notices mmalloc.c 's/more than 9/more than 5/' 'page_kind has 6 lines'
notices mmalloc.c 's/No room has/Rooms have/' \
  'does not say: No room has more than N lines, no function more than M'
notices mmalloc.c 's/One forward declaration/No forward declarations/' \
  'forward declaration of page_of, one of 1, but the essay says 0'
notices mmalloc.c 's/One forward declaration/2 forward declarations/' \
  'the essay says 2 forward declarations, there are 1'
notices mmalloc.c 's/One forward/One backward/' \
  'the essay does not say how many forward declarations'
not_disturbed mmalloc.c 's/One forward/At most three forward/'

# The system.
notices mmalloc.c 's/^  page_list_clear ();/  os.close (3);/' \
  'the table os outside of the system'
notices mmalloc.c 's/^  page_list_clear ();/  close (3);/' \
  'close outside of the system, in list_clear'
notices mmalloc.c 's/^  page_list_clear ();/  write (2, "", 1);/' \
  'write outside of the system, in list_clear'
notices mmalloc.c '/---- 8/s/The system/Machine/; s/8  The system/8  Machine/' \
  'there is no room "The system"'

# What is published.
notices mmalloc.c 's/^  page_list_clear ();/  word_publish (x, 1);/' \
  'nobody is said to see what is published'

# Shifts and masks.
notices mmalloc.c 's/head_make (HEAD_PAGE)/(uint64_t) HEAD_PAGE << 16/' \
  'HEAD_PAGE << 16 outside of Bits and offsets'
notices mmalloc.c 's/head_kind (p->head)/p->head \& HEAD_STATE/' \
  'HEAD_STATE outside of Bits and offsets'
notices mmalloc.c 's/head_kind (p->head)/p->head >> 32/' \
  'head >> 32 outside of Bits and offsets'
notices mmalloc.c 's/return head_kind (p->head)/return p->id\
         >> 48/' 'id >> 48 outside of Bits and offsets'
notices mmalloc.c 's/head_kind (p->head)/(unsigned) (p->head \& 0xffff)/' \
  'head & 0xffff outside of Bits and offsets'

# Memory order; without the room all is allowed.
notices mmalloc.c 's/^  page_list_clear ();/  memory_order_acquire;/' \
  'memory_order_acquire outside of Memory order'
not_disturbed mmalloc.c '/---- 5/s/Memory/Good/; s/5  Memory/5  Good/
s/^  page_list_clear ();/  memory_order_acquire;/'

# Mutants and the model.
notices tests/kill/mutants.sh 's/alloc_one/alloc_two/' \
  'tests/kill/mutants.sh:2: there is no function alloc_two'
notices tests/kill/mutants.sh 's/map_close (/map_cl (/' \
  'tests/kill/mutants.sh:6: there is no function map_cl'
notices tests/kill/mutants.sh 's/\^list_/^lists_/' \
  'tests/kill/mutants.sh:5: there is no function lists_'
notices tests/model_protocol.c 's/alloc_one"/alloc_two"/' \
  'tests/model_protocol.c:3: mmalloc.c has no function alloc_two'
not_disturbed tests/model_protocol.c 's/functions of/words in/; s/_one/_two/'

# What is public.
notices mmalloc.c 's/^MM_PUBLIC const/const/
s/(alloc_)/(alloc_ mmalloc_check)/' \
  'mmalloc_check is not a public function of mmalloc.c or qalloc.c'
notices tests/symbols.list 1d 'mmalloc_check is not in tests/symbols.list'
notices tests/symbols.list 's/qalloc_close/&\
qalloc_open/' 'tests/symbols.list:3: qalloc_open is not in libmmalloc.map'
notices libmmalloc.map /qalloc_close/d 'qalloc_close is not in libmmalloc.map'
notices qalloc.h 's/.*/int nothing;/' \
  'qalloc_close is not in mmalloc.h or qalloc.h'
notices doc/mmalloc.3 /Nm/d 'mmalloc_check is not in the NAME of a page doc/*.3'
notices doc/qalloc.3 's/^\.Nm.*/& ,\
.Nm qalloc_open/' \
  'doc/qalloc.3:3: qalloc_open is not in tests/symbols.list'

echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
