#!/bin/sh
# usage: mutants.sh SRCDIR [NAME...]
# Can the kill tests fail?  Each mutant takes one ordering, one check or one
# step of recovery out of a copy of mmalloc.c; the tests named with it are built
# against the copy, and one of them must notice.  A mutant whose change no
# longer applies is an error.  Says for each mutant what became of it.

srcdir=$1
[ -f "$srcdir/mmalloc.c" ] || { echo "usage: $0 SRCDIR [NAME...]" >&2; exit 2; }
shift
wanted=" $* "
CC=${CC-cc}
dir=$(mktemp -d "${TMPDIR-/tmp}/mmalloc-mutants-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
caught=0 missed=0 broken=0
MMALLOC_KILL_PATIENCE=${MMALLOC_KILL_PATIENCE-5}
export MMALLOC_KILL_PATIENCE

build () { # TEST
  $CC -std=c11 -D_GNU_SOURCE -O2 -w -I"$dir" -I"$srcdir" \
    -I"$srcdir/tests/kill" -o "$dir/$1" "$srcdir/tests/kill/$1.c" -lpthread
}

# mutant NAME SED-SCRIPT TEST[:FILTER]...
# Filters choose operations of step and real; a number, kills of random.
mutant () {
  name=$1 script=$2
  shift 2
  case $wanted in "  " | *" $name "*) ;; *) return ;; esac
  sed -e "$script" "$srcdir/mmalloc.c" > "$dir/mmalloc.c" || exit 2
  if cmp -s "$dir/mmalloc.c" "$srcdir/mmalloc.c"; then
    echo "$name: does not apply any more"
    broken=$((broken + 1))
    return
  fi
  for test in "$@"; do
    program=${test%%:*} filter=
    case $test in *:*) filter=${test#*:} ;; esac
    if ! build "$program"; then
      echo "$name: does not compile"
      broken=$((broken + 1))
      return
    fi
    case $program in
      random) MMALLOC_KILLS=${filter:-500} "$dir/$program" ;;
      *) MMALLOC_KILL_STRIDE=1 MMALLOC_KILL_REAL=60 \
           "$dir/$program" ${filter:+"$filter"} ;;
    esac > "$dir/log" 2>&1
    status=$?
    if [ $status -ne 0 ]; then
      echo "$name: caught by $test:"
      grep -am 1 'killed after\|failed after' "$dir/log" | cut -c 1-150
      caught=$((caught + 1))
      return
    fi
  done
  echo "$name: NOT CAUGHT by $*"
  missed=$((missed + 1))
}

# ---- Order of the stores that take and give runs -------------------------

# The head is published before the continuations of the page.
mutant head_before_continuations '/^run_take_locked/,/^}/ {
  s/^  if (head_kind (head) == HEAD_PAGE)/\
  atomic_store_explicit (\&r->head, head, memory_order_release);\
&/
}' 'step:new page of five'

# The head goes after the continuations when a page is given back.
mutant head_given_last '/^run_give_locked/,/^}/ {
  /atomic_store_explicit (&r->head, 0/d
  s/^  map_put (run_index_locked/\
  atomic_store_explicit (\&r->head, 0, memory_order_release);\
&/
}' 'step:sweep'

# The first directory word of a HUGE block is stored before the others.
mutant huge_head_first '/^huge_take/,/^}/ {
  s/^          for (size_t i = huge_chunks/\
          dir_set (h, c, dir_huge (start, n));\
&/
}' 'step:malloc: huge'

# ... and cleared after them.
mutant huge_head_given_last '/^huge_give/,/^}/ {
  /^      dir_set (h, c, 0);/d
  s/^  unlock_heap (h);/  if (found)\
    dir_set (h, c, 0);\
&/
}' 'step:free: huge'

# A HUGE block grows by its length before the chunks behind it are its own.
mutant huge_longer_first '/^huge_resize/,/^}/ {
  s/^          for (i = needs - 1/\
          dir_set (h, c, dir_huge (start, want));\
&/
}' 'step:huge longer'

# A HUGE block loses chunks before its length says so.
mutant huge_shorter_last '/^huge_resize/,/^}/ {
  /^  if (want <= n)/,/^      unlock_heap/ {
    /^      dir_set (h, c, dir_huge/d
    s/^      unlock_heap (h);/      dir_set (h, c, dir_huge (start, want));\
&/
  }
}' 'step:huge shorter'

# ---- Backing and length ---------------------------------------------------

# Slices are called backed before they are.
mutant backed_first '/^run_back /,/^}/ {
  s/^        err = os_back (h, off_slice.*/        err = 0;/
  s/^  dir_set (h, c, dir_paged (ready/\
  err = os_back (h, off_slice (h, c, s), k << MM_SLICE_SHIFT);\
&/
}' 'step:malloc: growth'

# The length grows after the slices are published.
mutant length_late '/^run_back /,/^}/ {
  /^  run_reach (h, off_slice/d
  s/^  dir_set (h, c, dir_paged (ready.*/&\
  run_reach (h, off_slice (h, c, s + k));/
}' 'step:malloc: growth'

# Stream records are ready before they have memory.
mutant streams_ready_first '/^stream_grow/,/^}/ {
  s/^      err = os_back (h, at, MM_PAGE);/\
      atomic_store (\&l->streams_ready, ready + more);\
&/
}' 'step:stream records'

# Records of slices are not cleaned of what a HUGE block left there.
mutant records_not_cleaned '/^run_back_records/,/^}/ {
  s/^    memset (from, 0, len);/    return 0;/
}' 'step:pages in a dead'

# Blocks are given back to the disk before the slices are called unbacked.
mutant punch_first '/^heap_trim_chunk/,/^}/ {
  s/^    map_put_backed (x, s, 1, false);/\
    os_punch (h, off_slice (h, c, s), MM_SLICE),\
&/
}' 'step:trim: beside'

# The file is cut before the length says so.
mutant cut_first '/^heap_cut/,/^}/ {
  s/^                  atomic_store_explicit (&h->root->length, len,/\
                  if (os.ftruncate (h->fd, (off_t) len) != 0)\
                    len = 0;\
&/
}' 'step:file cut'

# ---- Death of a lock's holder ---------------------------------------------

# Indexes of chunks are believed after a death.
mutant index_believed '/^lock_owner_died/,/^}/ {
  s/^  atomic_fetch_add_explicit (&l->index_epoch.*/  (void) l;/
}' 'step:new page of five'

# A page under claim is not decided.
mutant claim_forgotten '/^lock_owner_died/,/^}/ {
  s/if (claim != 0)/if (claim == UINT64_MAX)/
}' 'step:malloc: sweep'

# A claim is not recorded.
mutant claim_not_recorded '/^page_retire_locked/,/^}/ {
  /atomic_store_explicit (&h->locks->claim, number/d
}' 'step:malloc: sweep'

# A claim is cleared before the page is decided.
mutant claim_cleared_early '/^page_retire_locked/,/^}/ {
  s/^      empty = page_is_empty (r, cl);/\
      atomic_store (\&h->locks->claim, 0);\
&/
}' 'step:malloc: sweep'

# The death of a holder is passed over.
mutant death_passed_over '/^lock_take/,/^}/ {
  s/^        lock_owner_died (h);/        (void) h;/
}' 'step:recovery: malloc finds' 'real:new page' 'random:1500'

# A lock is not made consistent after a death.
mutant not_consistent '/^lock_take/,/^}/ {
  s/pthread_mutex_consistent (m);/(void) m;/
}' 'step:recovery: malloc finds' 'real:new page' 'random:1500'

# ---- Opening and closing ---------------------------------------------------

# Lock words of an earlier epoch are believed.
mutant locks_believed '/^volatile_reset/,/^}/ {
  /lock_make (h, &l->heap.mutex);/d
}' 'step:new page of five'

# A shared stream's lock likewise.
mutant stream_lock_believed '/^volatile_reset/,/^}/ {
  s/^    lock_make (h, &off_stream (h, n)->lock.mutex);/    (void) n;/
}' 'step:shared stream, new'

# A file being made does not say so.
mutant creating_unsaid '/^attach_create/,/^}/ {
  s/err = os_pwrite_all (h->fd, &creating.*/(void) creating;/
}' 'step:open: create'

# Streams of the dead are not taken from them.
mutant dead_keep_streams '/^proc_orphan_locked/,/^}/ {
  s/== id)$/== id \&\& id == 1)/
}' 'step:malloc: new page'

# A sweep leaves the dead the pages in their bins.
mutant dead_keep_bins '/^page_sweep/,/^}/ {
  s/if (head_state (head) == HEAD_ACTIVE && our)/if (false)/
}' 'step:malloc: new page'

# ---- Blocks, roots ----------------------------------------------------------

# realloc frees the old block before it has copied it.
mutant realloc_frees_first '/^realloc_any/,/^}/ {
  s/^  memcpy (p, ptr,.*/  heap_give (h, cache_of (h, md), \&block);\
&\
  return p;/
}' 'step:realloc: moves'

# What page a list names is believed.
mutant lists_believed '/^page_take_back/,/^}/ {
  s/head_owner (head) == stream && head_class (head) == cl/true/
}' 'random:1500'

# A root is linked before its record is complete.
mutant root_linked_early '/^root_set/,/^}/ {
  s/^              at->hash = hash;/              if (is_new)\
                atomic_store (bucket, off_file (h, at));\
&/
}' 'step:setroot'

# A root's value is stored before its name.
mutant root_value_first '/^root_set/,/^}/ {
  s/^              at->hash = hash;/\
              atomic_store (\&at->value, value);\
&/
}' 'step:setroot: record of'

# The mark behind the last record moves after the record is linked.
mutant root_mark_late '/^root_room_locked/,/^}/ {
  /^  atomic_store_explicit (&h->root->slab,/,/release);/d
}
/^root_set/,/^}/ {
  s/^      unlock_heap (h);/      if (is_new)\
        atomic_fetch_add (\&h->root->slab,\
                          round_up (sizeof *r + r->room, 16));\
&/
}' 'step:setroot: new record'

# A slice is set aside for records before the mark knows it.
mutant root_slice_first '/^root_slice/,/^}/ {
  s/^          atomic_store_explicit (&h->root->slab.*/\
          run_take_locked (h, number, 1,\
                           head_make (HEAD_ROOTS, 0, 0, 0, 1));\
&/
}' 'step:setroot: first'

echo "$caught mutants caught, $missed not caught, $broken broken"
[ $missed -eq 0 ] && [ $broken -eq 0 ]
