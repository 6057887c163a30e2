#!/bin/sh
# usage: mutants.sh [SRCDIR [NAME...]]
# Can the tests fail?  Each mutant takes one ordering, one check or one step
# of recovery out of a copy of mmalloc.c or qalloc.c; the tests named with
# it are built against the copy, and one of them must notice.  A mutant whose
# change no longer applies is an error.  Says for each mutant what became of it.
# An arrow that only keeps two loads or two stores of one processor in order
# has a mutant if the compiler can be made to swap them; one between processors
# (acquire, release) cannot be seen missing on x86, where the hardware keeps it.
# Without arguments, as make check runs it, it only looks whether the mutants
# apply and compile, so that it is seen in time when one does not.

only_apply=false
if [ $# -eq 0 ]; then
  only_apply=true
  set -- "${srcdir-.}"
fi
srcdir=$1
[ -f "$srcdir/mmalloc.c" ] || {
  echo "usage: $0 [SRCDIR [NAME...]]" >&2
  exit 2
}
shift
wanted=" $* "
CC=${CC-cc}
dir=$(mktemp -d "${TMPDIR-/tmp}/mmalloc-mutants-XXXXXX") || exit 2
trap 'rm -rf "$dir"' EXIT
trap 'exit 2' HUP INT TERM
caught=0 missed=0 broken=0 applied=0
MMALLOC_KILL_PATIENCE=${MMALLOC_KILL_PATIENCE-10}
MMALLOC_TEST_PATIENCE=${MMALLOC_TEST_PATIENCE-10}
MMALLOC_FAILURES=1
CK_TIMEOUT_MULTIPLIER=0.1
export MMALLOC_KILL_PATIENCE MMALLOC_TEST_PATIENCE MMALLOC_FAILURES srcdir
export CK_TIMEOUT_MULTIPLIER

compile () {
  # shellcheck disable=SC2086 # CC may have options
  $CC -std=c11 -D_GNU_SOURCE -O2 -w -I"$dir" -I"$srcdir" \
    -I"$srcdir/tests/kill" "$@"
}

build () { # TEST
  more=-lpthread tests=$srcdir/tests
  case $1 in
    maps) set -- "$1" "$tests/kill/$1.c" "$dir/qalloc.c" ;;
    replay) set -- "$1" "$tests/hostile/fuzz_heap.c" "$tests/hostile/$1.c" ;;
    damage_stays_inside|file_size_limit|fork_file|limited_address_space|\
    left_by_jumping|locked_memory|makeroot|mmcheck_guards|\
    private_changes_vanish|raw_clone_child|region_files|\
    roots_many|sparse_copy_on_a_full_disk|threads_come_and_go|\
    full_file_system|trim_gives_back|trim_inside_pages)
      set -- "$1" "$tests/$1.c" "$dir/mmalloc.c"
      more="$(pkg-config --cflags --libs check) -lpthread" ;;
    aligned_without_a_place|chunks_come_back|failed_creation|\
    golden_files|misuse_double_free|pid_namespaces|probe_tells|qalloc_damaged_files|\
    qalloc_sparse_copy|qalloc_two_files|qalloc_two_paths|roots_names|\
    single_writer|\
    too_many_processes|words_of_refusals)
      set -- "$1" "$tests/$1.c" "$dir/mmalloc.c" "$dir/qalloc.c"
      more="$(pkg-config --cflags --libs check) -lpthread" ;;
    check_finds_everything|checkpoint_files|checkpoint_gate|checkpoint_settling|\
    checkpoint_trim|checkpoint_unsynced|checkpoints|core_has_what_is_used|\
    growth_without_fallocate|heaps_made_apart|join_while_it_grows|late_thread_keeps_the_file|\
    local_pages|lock_owners|machine_went_down|makeroot_processes|membership|\
    narrow_heap|opening_does_not_wait|other_device_number|others_come_between|\
    power_cut_roots|preconditions|process_entries|quota_is_named|\
    slot_calls_wait|trim_seen_inside|users_are_told|waiting_has_a_limit|\
    words_of_threads)
      set -- "$1" "$tests/$1.c"
      more="$(pkg-config --cflags --libs check) -lpthread" ;;
    damage_*|file_calls_fail|neighbours_change_words)
      set -- "$1" "$tests/$1.c" ;;
    *) set -- "$1" "$tests/kill/$1.c" ;;
  esac
  program=$1
  shift
  # shellcheck disable=SC2086 # several words
  compile -o "$dir/$program" "$@" $more
}

break_off () { # NAME, WHAT IS WRONG
  echo "$1: $2"
  broken=$((broken + 1))
}

# mutant_of FILE NAME SED-SCRIPT TEST[:FILTER]...
# The script has one s or d command a line; each must make a change, apart from
# those of the others.  Filters choose operations of step, maps and real; a
# number, how many kills, copies or damages random, copies and damage_random
# make, or the stride of damage_bits and damage_truncated.
mutant_of () {
  file=$1 name=$2 script=$3
  shift 3
  case $wanted in "  " | *" $name "*) ;; *) return ;; esac
  cp "$srcdir/mmalloc.c" "$srcdir/qalloc.c" "$dir" || exit 2
  sed -e "$script" "$srcdir/$file" > "$dir/$file" || exit 2
  commands=$(echo "$script" | grep -c '^ *s/\|/d$')
  changes=$(diff "$srcdir/$file" "$dir/$file" | grep -c '^[0-9]')
  if [ "$changes" -lt "$commands" ]; then
    break_off "$name" "does not apply any more: $changes of $commands changes"
    return
  fi
  if $only_apply; then
    if compile -fsyntax-only "$dir/$file"; then
      applied=$((applied + 1))
    else
      break_off "$name" "does not compile"
    fi
    return
  fi
  for test in "$@"; do
    program=${test%%:*} filter=
    case $test in *:*) filter=${test#*:} ;; esac
    if ! build "$program"; then
      break_off "$name" "does not compile"
      return
    fi
    case $program in
      random) MMALLOC_KILLS=${filter:-500} "$dir/$program" ;;
      copies) MMALLOC_KILL_COPIES=${filter:-60} "$dir/$program" ;;
      damage_random) MMALLOC_DAMAGES=${filter:-4000} "$dir/$program" ;;
      neighbours_change_words)
        MMALLOC_STRIDE=${filter:-61} "$dir/$program" ;;
      # Few enough, and each for something else.
      damage_foreign|damage_golden) "$dir/$program" ;;
      damage_*|file_calls_fail|file_size_limit|replay)
        MMALLOC_STRIDE=${filter:-5} "$dir/$program" ;;
      *) MMALLOC_KILL_STRIDE=1 MMALLOC_KILL_REAL=60 \
           "$dir/$program" ${filter:+"$filter"} ;;
    esac > "$dir/log" 2>&1
    status=$?
    if [ $status -ne 0 ] && [ $status -ne 77 ]; then
      echo "$name: caught by $test:"
      grep -am 1 -e 'killed after\|stopped after\|failed: \|waits for ever' \
        -e 'does not hold\|_CASE=\|_CALL=\|without \|status 0x\|:[FE]:' \
        "$dir/log" | cut -c 1-150
      caught=$((caught + 1))
      return
    fi
  done
  echo "$name: NOT CAUGHT by $*"
  missed=$((missed + 1))
}

mutant () {
  mutant_of mmalloc.c "$@"
}

map_mutant () {
  mutant_of qalloc.c "$@"
}

# ---- Order of the stores that take and give runs -------------------------

# The head is published before the continuations of the page.
mutant head_before_continuations '/^run_take_locked/,/^}/ {
  s/^  if (head_kind (head) == HEAD_PAGE)/\
  head_set (r, head);\
&/
}' 'step:new page of five'

# The head goes after the continuations when a page is given back.
mutant head_given_last '/^run_give_locked/,/^}/ {
  /^  head_set (r, 0);/d
  s/^  map_put (run_index_locked/\
  head_set (r, 0);\
&/
}' 'step:sweep'

# The first directory word of a HUGE block is stored before the others.
mutant huge_head_first '/^huge_take/,/^}/ {
  s/^      for (size_t i = huge_chunks/\
      dir_set (h, c, dir_huge (start, n));\
&/
}' 'step:malloc: huge'

# ... and cleared after them.
mutant huge_head_given_last '/^huge_give_locked/,/^}/ {
  /^  dir_set (h, c, 0);/d
  s/^  return size_min (dir_slices/  dir_set (h, c, 0);\
&/
}' 'step:free: huge'

# A HUGE block grows by its length before the chunks behind it are its own.
mutant huge_longer_first '/^huge_resize/,/^}/ {
  s/^      for (i = takes - 1/\
      dir_set (h, c, dir_huge (start, want));\
&/
}' 'step:huge longer'

# A HUGE block loses chunks before its length says so.
mutant huge_shorter_last '/^huge_resize/,/^}/ {
  /^      dir_set (h, c, dir_huge/d
  s/^      unlock_heap (h);/      dir_set (h, c, dir_huge (start, want));\
&/
}' 'step:huge shorter'

# ---- Backing and length ---------------------------------------------------

# Slices are called backed before they are.
mutant backed_first '/^grow_back /,/^}/ {
  s/^        err = grow_back_bare .*/        err = 0;/
  s/^  dir_set (h, c, dir_paged (ready/\
  int err = grow_back_bare (h, c, s, s + k, old);\
  if (err != 0)\
    return err;\
&/
}' 'step:malloc: growth'

# The length grows after the slices are published.
mutant length_late '/^grow_back (/,/^}/ {
  /^  grow_reach (h, off_slice/d
  /map_put (x->backed, s, k, true)/ {
    s/$/\
  grow_reach (h, off_slice (h, c, s + k));/
  }
}' 'step:malloc: growth'

# Stream records are ready before they have memory.
mutant streams_ready_first '/^stream_grow/,/^}/ {
  s/^  int err = more ?.*/\
      atomic_store (\&l->streams_ready, ready + 4);\
&/
}' 'step:stream records'

# Records of slices are not cleaned of what a HUGE block left there.
mutant records_not_cleaned '/^grow_records/,/^}/ {
  s/memset (/(void) (/
}' 'step:pages in a dead'

# Blocks are given back to the disk before the slices are called unbacked.
mutant punch_first '/^trim_chunk/,/^}/ {
  s/^      map_put (x->backed, s, n, false);/\
      back_drop (h, off_slice (h, c, s), n << MM_SLICE_SHIFT);\
&/
}' 'step:trim: beside'

# The file is cut before the length says so.
mutant cut_first '/^trim_cut/,/^}/ {
  s/^          word_publish (&h->root->length, len);/\
          if (os.ftruncate (h->file.fd, (off_t) len) != 0)\
            len = 0;\
&/
}' 'step:file cut'

# ---- Death of a lock's holder ---------------------------------------------

# Indexes of chunks are believed after a death.
mutant index_believed '/^dead_owner_locked/,/^}/ {
  s/^  word_add (&l->index_epoch.*/  (void) l;/
}' 'step:new page of five'

# A page under claim is not decided.
mutant claim_forgotten '/^dead_owner_locked/,/^}/ {
  s/r != NULL ? head_peek (r) : 0/0/
}' 'step:malloc: sweep'

# A claim is not recorded.
mutant claim_not_recorded '/^page_retire_locked/,/^}/ {
  /word_put (&h->locks->claim, number/d
}' 'step:malloc: sweep'

# A claim is cleared before the page is decided.
mutant claim_cleared_early '/^page_retire_locked/,/^}/ {
  s/^      empty = page_count_free (h, r, number, cl) == all;/\
      atomic_store (\&h->locks->claim, 0);\
&/
}' 'step:malloc: sweep'

# The death of a holder is passed over.
mutant death_passed_over '/^lock_heap/,/^}/ {
  s/if (MM_UNLIKELY (got == LOCK_OF_DEAD))/if (false)/
}' lock_owners 'step:recovery: malloc finds'

# Who has a lock: the living keep it, newcomers too; the dead do not, nor he in
# whose entry somebody else is; and it is let go of by its owner.  That a
# newcomer stands in his entry before he takes a lock: model_lock.
mutant lock_of_the_living '/^lock_is_of_dead/,/^}/ {
  s/|| proc_is_dead (h, i);/|| true;/
}' lock_owners
mutant lock_of_newcomers '/^lock_is_of_dead/,/^}/ {
  s/if (coming == id || is_his)/if (is_his)/
}' lock_owners
mutant lock_of_the_unburied '/^lock_is_of_dead/,/^}/ {
  s/(coming != id && coming >> 32 == h->epoch)/false/
}' lock_owners
mutant lock_of_nobody '/^lock_is_of_dead/,/^}/ {
  s/^  return true;/  return false;/
}' lock_owners
mutant lock_let_go_by_others '/^lock_release/,/^}/ {
  s/ && value == (mine | 1)//
}' lock_owners
mutant lock_not_let_go '/^lock_release/,/^}/ {
  s/word_swap (word, 0);/(void) word;/
}' lock_owners
mutant lock_numbers_again '/^attach_enter/,/^}/ {
  s/if (n > INT32_MAX)/if (false)/
}' lock_owners
mutant lock_for_two '/^lock_slowly/,/^}/ {
  s/if (word_claim (word, &value, mine | waited))/if (sched_yield (), word_put (word, mine | waited), true)/
}' lock_owners

# ---- Opening and closing ---------------------------------------------------

# Lock words of an earlier epoch are believed.
mutant locks_believed '/^epoch_begin/,/^}/ {
  /word_put (&l->heap.word, 0);/d
}' lock_owners
mutant grow_lock_believed '/^epoch_begin/,/^}/ {
  /word_put (&l->grow.word, 0);/d
}' lock_owners

# A shared stream's lock likewise.
mutant stream_lock_believed '/^epoch_begin/,/^}/ {
  s/^    word_put (&off_stream (h, n)->lock.word, 0);/    (void) n;/
}' lock_owners

# A file being made does not say so.
mutant creating_unsaid '/^file_make/,/^}/ {
  s/os_pwrite_all (f, &creating.*/0;/
}' 'step:open: create'

# Streams of the dead are not taken from them.
mutant dead_keep_streams '/^dead_orphan_locked/,/^}/ {
  s/== id)$/== id \&\& id == 1)/
}' 'step:malloc: new page'

# A sweep leaves the dead the pages in their bins.
mutant dead_keep_bins '/^sweep/,/^}/ {
  s/if (head_state (head) == HEAD_ACTIVE && our)/if (false)/
}' 'step:malloc: new page'

# ---- Blocks, roots ----------------------------------------------------------

# realloc frees the old block before it has copied it.
mutant realloc_frees_first '/^realloc_/,/^}/ {
  s/^ *memmove (p, ptr,.*/  mfree (md, ptr);\
&\
  return p;/
}' 'step:realloc: moves'

# What page a list names is believed.
mutant lists_believed '/^page_take /,/^}/ {
  s/^  do$/  head = held = atomic_load (\&r->head);\
&/
}' 'random:1500'

# A root is linked before its record is complete.
mutant root_linked_early '/^root_set_locked/,/^}/ {
  s/^      root_write_locked (root,.*/      if (link != NULL)\
        word_publish (link, off_file (h, root));\
&/
}' 'step:setroot'

# A root's value is stored before its name.
mutant root_value_first '/^root_set_locked/,/^}/ {
  s/^      root_write_locked (root,.*/\
      word_publish (\&root->value, value);\
&/
}' 'step:setroot: record of'

# The mark behind the last record moves after the record is linked.
mutant root_mark_late '/^root_record_locked/,/^}/ {
  /^  word_settle (&h->root->slab,/d
}
/^root_set_locked/,/^}/ {
  s/^    word_publish (link,.*/&\
  if (link != NULL)\
    word_add (\&h->root->slab, round_up (sizeof *root + root->room, 16));\
&/
}' 'step:setroot: new record'

# A slice is set aside for records before the mark knows it.
mutant root_slice_first '/^run_take_locked/,/^}/ {
  /^      word_settle (&h->root->slab/d
  s/^  head_set (r, head);/&\
  if (head_kind (head) == HEAD_ROOTS)\
    word_settle (\&h->root->slab, (uint64_t) number << 32);/
}' 'step:setroot: first'

# ---- Slot calls --------------------------------------------------------------

# The block is noted when it has been taken already: small, large, huge.
mutant fresh_noted_late '/^bin_take_noted/,/^}/ {
  s/op_note (h,.*/void *p = bin_take (b);\
  op_note (h, p, false);\
  return p;/
}' 'step:mmalloc_to: fast path'
mutant large_not_noted '/^run_take_locked/,/^}/ {
  s/^    op_note (h, off_slice.*/    (void) 0;/
}' 'step:mmalloc_to: large'
mutant huge_not_noted '/^huge_take/,/^}/ {
  /^      op_note (h, block/d
}' 'step:mmalloc_to: huge'

# The slot gets the block before its contents are there.
mutant slot_before_contents '/^slot_put/,/^}/ {
  s/? realloc_copy (md, size, user)/? alloc_any (md, size, 16, ALLOC_QUIET)/
  s/^  \/\* Right behind it: .*/  if (old \&\& size > 0)\
    memmove (p, user->start, size_min (user->usable, size));\
&/
}' 'step:mrealloc_in: moves'

# The block is called the slot'"'"'s before the slot has it.
mutant fresh_forgotten_early '/^slot_put/,/^}/ {
  s/^  slot_store (slot, p);/  atomic_store (\&op->fresh, 0);\
&/
}' 'step:mmalloc_to: fast path'

# The old block goes before the slot has left it.
mutant old_freed_first '/^slot_put/,/^}/ {
  s/^  slot_store (slot, p);/  if (old)\
    give_slices (h, block);\
&/
}' 'step:mfree_from: large'

# What the call is about is not on record: the old block, the slot.
mutant old_not_recorded '/^op_begin/,/^}/ {
  s/old != NULL ? off_file (h, old) : 0/old != NULL ? 0 : 0/
}' 'step:mfree_from: own'
mutant slot_not_recorded '/^op_begin/,/^}/ {
  s/&op->slot, off_file (h, slot)/\&op->slot, 0 * off_file (h, slot)/
}' 'step:mmalloc_to: fast path'

# The old block is on record without its slot: before it comes, after it goes.
mutant old_before_slot '/^op_begin/,/^}/ {
  /^  word_settle (&op->old, old != NULL/d
  s/^  word_put (&op->slot, off_file (h, slot));/\
  word_settle (\&op->old, old != NULL ? off_file (h, old) : 0);\
  word_settle (\&op->slot, off_file (h, slot));/
}' 'step:mrealloc_in: fails' 'step:mrealloc_in: moves'
mutant slot_gone_first '/^op_release/,/^}/ {
  /&op->slot, 0/d
  s/^{/{\
  word_settle (\&op->slot, 0);/
}' 'step:mrealloc_in: fails'

# The record is free before the call is over.
mutant released_early '/^realloc_leave/,/^}/ {
  s/^  struct cache \*k = cache_use (h, md);/  if (op != NULL)\
    op_release (h, op);\
&/
}' 'step:mfree_from: own'

# A record keeps the block of the call before.
mutant record_keeps_old '/^op_release/,/^}/ {
  /&op->old, 0/d
}' 'step:mmalloc_to: second call'

# Free blocks on record are handed out.
mutant record_not_masked '/^page_free_bits/,/^}/ {
  s/    free = op_mask.*/    (void) start;/
}' 'step:recovery: malloc beside a freed' 'step:mfree_from: shared'

# The calls of the dead are not ended: by others, by the next opener.
mutant calls_not_ended '/^dead_end_locked/,/^}/ {
  s/dead_finish_locked (h, &h->op\[i\]);/(void) i;/
}' 'step:mfree_from: own'
mutant calls_not_ended_at_open '/^epoch_begin/,/^}/ {
  s/dead_finish_locked (h, &h->op\[i\]);/(void) i;/
}' 'step:mfree_from: own'

# They are ended one way only: the new block stays, the old one stays.
mutant fresh_not_undone '/^dead_finish_locked/,/^}/ {
  s/nobodys = fresh;/nobodys = 0;/
}' 'step:mmalloc_to: fast path'
mutant old_not_freed '/^dead_finish_locked/,/^}/ {
  s/uint64_t nobodys = old;/uint64_t nobodys = 0;/
}' 'step:mfree_from: own'
# ... or although nothing had happened yet.
mutant old_always_freed '/^dead_finish_locked/,/^}/ {
  s/else if (fresh == 0 .. dead_slot_holds (h, op, old))/else if (false)/
}' 'step:mfree_from: own'

# Who finds a lock of the dead does not ask what a slot call did under it.
mutant change_under_lock_ignored '/^dead_owner_locked/,/^}/ {
  /dead_ops_locked (h)/d
}' 'step:recovery: malloc at a noted large'

# A call does not say that a block changes hands under a lock: the new one, the
# old one.
mutant change_not_noted '/^op_note (/,/^}/ {
  s/&op->locked, locked)/\&op->locked, 0 * locked)/
}' 'step:mmalloc_to: large'
mutant free_not_noted '/^give_slices/,/^}/ {
  s/op_note (h, NULL, true);/(void) 0;/
}' 'step:mfree_from: large'
# ... or keeps the freed one on record when the lock is let go.
mutant freed_stays_recorded '/^op_noted/,/^}/ {
  s/^  if (freed)/  if (false \&\& freed)/
}' 'step:recovery: malloc of a freed, unlocked' 'step:mfree_from: large'

# Recovery that dies while it frees is not noticed.
mutant recovery_not_noted '/^dead_finish_locked/,/^}/ {
  /op->locked, 1/d
}' 'step:recovery: slot has left a large' 'step:recovery: new large block'

# ... or not while the record names what it has freed.
mutant note_gone_first '/^op_release/,/^}/ {
  /&op->locked, 0/d
  s/^{/{\
  atomic_store (\&op->locked, 0);/
}' 'step:recovery: slot has left a large'

# A move is not on record, late, or gone from it early; the block leaves its
# word before the slot has it.
mutant move_not_recorded '/^mmalloc_move/,/^}/ {
  /^  word_settle (&op->from, off_file/d
}' 'step:mmalloc_move'
mutant move_recorded_late '/^mmalloc_move/,/^}/ {
  /^  word_settle (&op->from, off_file/d
  s/^  slot_store (to, p);/&\
  word_settle (\&op->from, off_file (h, from));/
}' 'step:mmalloc_move'
mutant move_released_early '/^mmalloc_move/,/^}/ {
  s/^  slot_store (from, NULL);/  word_settle (\&op->from, 0);\
&/
}' 'step:mmalloc_move'
mutant move_leaves_first '/^mmalloc_move/,/^}/ {
  s/^  slot_store (to, p);/  slot_store (from, NULL);\
&/
}' 'step:mmalloc_move'
mutant record_keeps_from '/^op_release/,/^}/ {
  /&op->from, 0/d
}' 'step:mmalloc_to: after a move'
# ... of the dead it is not ended, or without a look at the words.
mutant move_not_ended '/^dead_finish_locked/,/^}/ {
  s/^    dead_move_locked (h, op);/    (void) h;/
}' 'step:mmalloc_move'
mutant move_always_ended '/^dead_move_locked/,/^}/ {
  s/word_see (to) == moved/true/
}' 'step:mmalloc_move'
mutant moved_to_no_word '/^dead_slot (/,/^}/ {
  s/place_is_word (h, word) ? word : NULL/word/
}' damage_golden

# mmalloc_recover does not look for the dead.
mutant recover_does_nothing '/^mmalloc_recover/,/^}/ {
  s/^        dead_bury_all (h);/        break;/
  s/dead_bury_all (h) ? 0 : ETIMEDOUT/0/
}' 'step:mfree_from: own'

# ---- Backed slices behind the ready records -----------------------------------

mutant backed_before_ready '/^grow_back (/,/^}/ {
  /^  dir_set (h, c, dir_paged (ready/d
  /map_put (x->backed, s, k, true)/ {
    s/$/\
  dir_set (h, c, dir_paged (ready, MM_CHUNK_SLICES));/
  }
}' 'step:growth with records'

# ---- Copies, pauses, waiters ---------------------------------------------------

# A chunk becomes a HUGE block while others may look at its records.
mutant records_taken_away '/^huge_find/,/^}/ {
  s/run_chunk_is_empty (h, c + i)/(& || (dir_kind (dir_get (h, c + i)) == DIR_PAGED \&\& ({\
    lock_heap (h);\
    size_t end = slice_count (h, c + i);\
    bool all = map_next_free (run_index_locked (h, c + i),\
                              slice_first_data (h, c + i), end, MAP_FREE,\
                              false) == end;\
    if (all)\
      dir_set (h, c + i, 0);\
    unlock_heap (h);\
    all; })))/
}' paused

# A wake-up dies with the one who got it.
mutant wake_up_lost '/^lock_slowly/,/^}/ {
  s/asks = wait_on (/(void) wait_on (/
}' lock_owners

# ---- Maps of qalloc.h ------------------------------------------------------------

# The magic is there before the map.
map_mutant magic_first '/^disk_make (/,/^}/ {
  s/^  d->size = m->map.size;/\
  atomic_store (\&d->magic, QA_MAGIC);\
&/
}' 'maps:makestatmap: new'

# The room of mutexes is as in this build's own maps, or of any length.
mutant_of qalloc.c mutexes_of_ones_own '/^disk_read/,/^}/ {
  s/= d->mutex_size/= QA_MUTEX/
}' qalloc_damaged_files
mutant_of qalloc.c mutexes_of_no_size '/^disk_verify/,/^}/ {
  s/ d->mutex_size == 0 ||//
}' qalloc_damaged_files
mutant_of qalloc.c mutexes_of_odd_size '/^disk_verify/,/^}/ {
  s/ || d->mutex_size % 8 != 0//
}' qalloc_damaged_files
mutant_of qalloc.c mutexes_change '/^qalloc_check/,/^}/ {
  /now.mutex_size/d
}' qalloc_damaged_files

# All items of a word are taken in advance.
map_mutant word_taken_in_advance '/^item_look/,/^}/ {
  s/^  uint64_t avail = .*/&\
  if (avail != 0)\
    atomic_fetch_or (\&m->word[w], avail \& (avail - 1));/
}' 'maps:statmalloc: first'

# An item is free for a moment while its neighbours change.
map_mutant items_given_twice '/^item_give/,/^}/ {
  s/^  t->freed = n \/ 64;/&\
  uint64_t word = atomic_exchange (\&m->word[n \/ 64], 0);\
  atomic_store (\&m->word[n \/ 64], word);/
}' 'maps:statfree: own'

# A file that shall end within a page gets no end of its own.
mutant tail_forgotten '/^make_heap/,/^}/ {
  s/exact - skip/h->capacity - skip/
}' 'maps:makedynmap: new'

# ---- Beside threads that end and children that nobody knows of ------------

# The pages of a stream that is given back cannot be taken.
mutant page_stays_active '/^stream_hold_all/,/^}/ {
  s/^      head_set (r, head_in_state (head, HEAD_HELD));/      (void) r;/
}' threads_come_and_go

# A thread without a cache does not keep the file from being cut.
mutant late_thread_overlooked '/^take_shared/,/^}/ {
  s/unsigned walk = lock_walk (h);/unsigned walk = h->forks + 1;/
}' late_thread_keeps_the_file

# Locks end with the last copy of the descriptor.
mutant locks_stay_behind '/^byte_drop/,/^}/ {
  s/  byte_call (f, true, &l);/  (void) l;/
}' raw_clone_child

# The lock alone tells who lives.
mutant dead_while_a_child_lives '/^pid_is_gone/,/^}/ {
  s/  return gone;/  return gone \&\& false;/
}' limited_address_space

# A mapping keeps the locks of who has closed the descriptors, as long as he
# lives, but none of a child's, and not the door.
mutant locks_go_with_descriptors '/^byte_keep/,/^}/ {
  s/MADV_DONTFORK) == 0/MADV_DONTFORK) == 1/
}' pid_namespaces
mutant locks_stay_with_a_child '/^byte_keep/,/^}/ {
  s/madvise (p, MM_PAGE, MADV_DONTFORK) == 0/true/
}' raw_clone_child
mutant door_stays_closed '/^file_admit/,/^}/ {
  s/byte_lose (f)/(void) 0/
}' membership
mutant mapping_of_the_parent '/^door_forked/,/^}/ {
  s/f->witness = NULL/(void) 0/
}' membership

# Who came by another path over an overlay is not seen.
mutant layers_unasked '/^proc_is_apart/,/^}/ {
  s/return system != 0/return false/
}' pid_namespaces
mutant layers_join '/^proc_refuse/,/^}/ {
  s/if (proc_is_apart (h, e))/if (false)/
}' pid_namespaces
mutant layers_of_a_copy '/^proc_is_apart/,/^}/ {
  s/h->super.ino == h->file.ino/true/
}' pid_namespaces

# A fork child looks without being a user.
mutant child_looks_alone '/^call_begin/,/^}/ {
  s/kind == CALL_ASKS/kind != CALL_CHANGES/
}' fork_file

# ---- Who has the file -------------------------------------------------------

# Whose descriptor it is, is not asked.
mutant any_descriptor_will_do '/^os_stat_own/,/^}/ {
  s/err == 0 && (.*/false)/
}' membership
mutant numbers_of_another_file '/^super_save/,/^}/ {
  s/os_stat_own (&h->file, h->file.fd, &status)/os_stat (h->file.fd, \&status)/
}' membership
mutant errors_leave_descriptors '/^os_close_own/,/^}/ {
  s/os_own (f, fd) != EBADF/os_own (f, fd) == 0/
}' file_calls_fail
mutant errors_keep_locks '/^byte_lock/,/^}/ {
  s/err != 0 && type != F_UNLCK/err != 0/
}' file_calls_fail
mutant errors_are_other_errors '/^byte_reopen/,/^}/ {
  s/err == EBADF ? ENOENT : err/ENOENT/
}' file_calls_fail
# Who thinks himself alone with a map, or is refused, leaves it as it is.
map_mutant first_begins_anew '/^disk_enter/,/^}/ {
  s/^  return err != 0 ? err : disk_read (d, &w->m, reason);/\
  err = err != 0 ? err : disk_read (d, \&w->m, reason);\
  if (err == 0 \&\& why == MMALLOC_REGION_FIRST)\
    memset ((void *) w->m.word, 0, (w->m.n_words - 1) * 8);\
  return err;/
}' qalloc_two_paths
mutant refusal_cuts_the_file '/^door_attach/,/^}/ {
  s/if (err != 0 && fresh)/if (err != 0)/
}' region_files
# Locks alone tell who is there.
mutant no_second_witness '/^proc_lives/,/^}/ {
  s/if (id >> 32 != epoch /if (true || id >> 32 != epoch /
}' membership
mutant second_witness_unmarked '/^proc_others_stay/,/^}/ {
  s/    word_put (&h->locks->mark, os_random ());/    (void) 0;/
}' copies
mutant dead_for_ever_alive '/^proc_lives/,/^}/ {
  s/|| pid_is_gone (pid))/)/
  s/err != EFAULT && proc_may_live (h, e, pid, err)/true/
}' membership
# What may not be read: another program by now, a thread less, nothing at all.
mutant another_program_lives '/^proc_may_live/,/^}/ {
  s/mapped >= word_peek (&e->mapped)/true/
}' membership
mutant first_thread_is_all '/^pid_look/,/^}/ {
  s/ended && field.THREADS. < 2/ended/
}' membership
mutant not_told_is_dead '/^proc_may_live/,/^}/ {
  s/peeked != ESRCH/false/
}' membership
mutant not_told_is_alive '/^proc_may_live/,/^}/ {
  s/peeked != ESRCH/true/
}' membership
mutant mark_of_before '/^proc_lives/,/^}/ {
  s/while (err == 0 .*/while (false);/
}' membership
# A child has locks of its own or none.
mutant child_without_locks '/^file_reopen/,/^}/ {
  s/f->lock_fd < 0 && inherited/false/
}' membership
# Others' locks are waited for.
mutant waits_for_others '/^file_lock/,/^}/ {
  s/process.patience\[others\]/process.patience[0]/
}' membership
mutant waits_for_itself '/^gate_lock/,/^}/ {
  s/own != NULL \&\& word_peek/false \&\& word_peek/
}' checkpoint_gate
mutant joins_a_single_writer '/^proc_refuse/,/^}/ {
  s/ \&\& !single) ||/) ||/
}' single_writer
mutant single_beside_others '/^proc_refuse/,/^}/ {
  s/!alone \&\& !single/!single/
}' single_writer
mutant single_though_dead '/^proc_refuse/,/^}/ {
  s/ || proc_is_dead (h, i))/)/
}' single_writer
mutant single_is_not_said '/^attach_enter/,/^}/ {
  s/ << 1 | h->file.alone/ << 1/
}' single_writer
mutant single_in_a_region_of_others '/^member_agree/,/^}/ {
  s/if (err == 0 && f->alone)/if (false)/
}' single_writer
mutant joins_a_single_writers_region '/^member_agree/,/^}/ {
  s/, found = single;/, found = false;/
}' single_writer
mutant refused_and_still_seen '/^member_agree/,/^}/ {
  s/^      byte_lock (f, f->byte, F_UNLCK);/      (void) 0;/
}' single_writer
mutant child_keeps_single_writers_file '/^door_forked/,/^}/ {
  s/ && !f->alone;/;/
}' single_writer
mutant child_keeps_single_writers_mapping '/^door_forked/,/^}/ {
  s/if (f->alone && !shared_heap && os_own/if (false \&\& os_own/
}' single_writer
mutant child_of_single_writer_thinks_it_is_seen '/^door_forked/,/^}/ {
  s/(f->alone && !shared_heap)$/false/
}' single_writer
mutant becomes_single_later '/^door_again/,/^}/ {
  s/MMALLOC_SINGLE_WRITER) && !known->alone/0)/
}' single_writer
# Who will not wait does not, and is told for whom.
mutant waits_at_the_door '/^file_lock (/,/^}/ {
  s/f->no_wait || //
}' opening_does_not_wait
mutant waits_for_a_thread '/^open_begin/,/^}/ {
  s/!(flags & MMALLOC_NOWAIT)/true/
}' opening_does_not_wait
mutant child_waits_at_the_door '/^door_again/,/^}/ {
  s/known->no_wait = (.*/known->no_wait = false;/
}' opening_does_not_wait
mutant never_waits_again '/^door_again/,/^}/ {
  s/^  known->no_wait = false;/  (void) 0;/
}' opening_does_not_wait
mutant door_names_nobody '/^byte_range/,/^}/ {
  s/before = home + (int64_t) pid_own () % MM_BYTES_HOME/before = 0/
}' opening_does_not_wait
mutant door_stays_half_closed '/^byte_range/,/^}/ {
  s/before = MM_BYTES_ALIVE/before = 0/
}' opening_does_not_wait
# Who is in the list is told from all sides, and is what he is.
mutant users_of_before '/^probe_entry/,/^}/ {
  s/ || id >> 32 != epoch)/)/
}' users_are_told
mutant users_live_for_ever '/^probe_entry/,/^}/ {
  s/self || !dead,/1,/
}' users_are_told
mutant child_is_its_parent '/^probe_entry/,/^}/ {
  s/own && !word_peek (&h->forked)/own/
}' users_are_told
mutant users_by_any_number '/^probe_entry/,/^}/ {
  s/ && pid <= INT_MAX//
}' users_are_told
mutant mark_looked_for_elsewhere '/^proc_lives/,/^}/ {
  s/(char .) h->super.base + off_file (h, &l->mark)/\&l->mark/
}' users_are_told
# Locks of the program go.
mutant probe_unlocks '/^mmalloc_probe/,/^}/ {
  s/^  f.lock_fd = -1;/  (void) 0;/
}' probe_tells

# Half of what a thread has learnt is what another one believes.
mutant half_a_boot_id '/^os_boot_id/,/^}/ {
  s/word_put (&process.boot_id.1., known.1.);/word_settle (\&process.boot_id[0], known[0]);/
  s/^      word_publish (.*/      word_put (\&process.boot_id[1], known[1]);/
}' others_come_between

# ---- Damaged numbers ------------------------------------------------------

mutant page_gives_all_it_says '/^page_retire_locked/,/^}/ {
  s/!page_is_whole (h, r, number, cl)$/false/
}' damage_stays_inside
mutant roots_anywhere '/^run_is_inside/,/^}/ {
  s/s >= slice_first_data (h, c)/true/
}' damage_stays_inside

# ---- Words that others change while the heap is open -------------------------

# Records, indexes and blocks that are not mapped.
mutant records_behind_the_mapping '/^run_ready/,/^}/ {
  s/&& MM_OFF_RECORDS + n . MM_RECORD <= n << MM_SLICE_SHIFT//
}' neighbours_change_words
mutant record_count_believed '/^run_record/,/^}/ {
  s/s < run_ready (h, c)/s < dir_ready (dir_get (h, c))/
}' neighbours_change_words
mutant runs_leave_their_chunk '/^run_is_inside/,/^}/ {
  s/ && s + n <= MM_CHUNK_SLICES//
}' neighbours_change_words
mutant run_behind_the_end '/^run_covers/,/^}/ {
  s/|| s >= end/|| false/
}' neighbours_change_words
mutant search_where_nothing_is '/^run_search_in_locked/,/^}/ {
  s/end <= slice_first_data (h, c)/false/
}' neighbours_change_words
mutant search_in_metadata '/^run_search_in_locked/,/^}/ {
  s/map_next_free (x, slice_first_data (h, c), end/map_next_free (x, 0, end/
}' neighbours_change_words
mutant huge_length_believed '/^place_find_huge/,/^}/ {
  s/|| off_file (h, at->start) + at->usable > off_seen (h)/|| false/
}' neighbours_change_words
mutant huge_gives_all_it_says '/^huge_give_locked/,/^}/ {
  s/return size_min (dir_slices (d), seen)/return dir_slices (d)/
}' neighbours_change_words
mutant length_believed '/^place_find (/,/^}/ {
  s/> off_seen (h)/> off_length (h)/
}' neighbours_change_words
mutant length_believed_walking '/^sight_blocks/,/^}/ {
  s/> off_seen (h)/> off_length (h)/
}' neighbours_change_words
mutant short_way_without_records '/^quick_locate/,/^}/ {
  s/off_file (h, at->r + 1) > word_peek (&h->file.mapped)/false/
}' neighbours_change_words
mutant sweep_where_nothing_is '/^sweep_empty_chunk/,/^}/ {
  s/run_ready (h, c) == 0/dir_kind (dir_get (h, c)) != DIR_PAGED/
}' neighbours_change_words
mutant trim_where_nothing_is '/^trim_chunk/,/^}/ {
  s/end == 0 ||/dir_kind (dir_get (h, c)) != DIR_PAGED ||/
}' neighbours_change_words
mutant check_where_nothing_is '/^check_chunk/,/^}/ {
  s/if (end > 0)/if (dir_kind (dir_get (h, c)) == DIR_PAGED)/
}' neighbours_change_words
mutant trim_before_the_first '/^trim_end/,/^}/ {
  s/size_max (run_chunks (h), 1)/run_chunks (h)/
}' neighbours_change_words
mutant trim_far_back '/^trim_end/,/^}/ {
  s/&& dir_distance (d) <= c$//
}' neighbours_change_words
mutant sync_of_all '/^mmalloc_sync/,/^}/ {
  s/off_seen (c.h)/off_length (c.h)/
}' neighbours_change_words
mutant gives_up_what_is_used '/^grow_give_way/,/^}/ {
  s/size_max (off_length (h), word_peek (&h->seen))/off_length (h)/
}' neighbours_change_words
mutant streams_at_odds '/^stream_grow/,/^}/ {
  s/&& ready % (MM_PAGE .* == 0;/;/
}' neighbours_change_words
# Between two reads.
mutant name_has_any_length '/^maker_is_late_locked/,/^}/ {
  s/size_min (word_peek (&root->len), MM_NAME_MAX)/word_peek (\&root->len)/
}' neighbours_change_words
mutant class_read_again '/^realloc_leave/,/^}/ {
  s/if (head_class (head) == head_class (at->head))/if (true)/
}' neighbours_change_words
mutant fills_behind_the_block '/^guard_tail/,/^}/ {
  s/used < at->usable ?/used != at->usable ?/
}' neighbours_change_words
mutant guard_size_read_again '/^guard_is_intact/,/^}/ {
  s/said > .size/g->size > *size/
  s/^  .size = said;/  *size = g->size;/
}' neighbours_change_words
mutant pointer_behind_its_block '/^place_find (/,/^}/ {
  s/|| (uintptr_t) p - (uintptr_t) at->start >= slices << MM_SLICE_SHIFT/|| false/
}' neighbours_change_words

# ---- Damaged and hostile files ---------------------------------------------

# The superblock: its sum, the machine and version that made it, its numbers.
mutant super_sum_ignored '/^super_verify/,/^}/ {
  s/s->sum != super_sum (s)/false/
}' damage_bits:499
mutant creating_is_near_magic '/define MM_CREATING/ {
  s/0x[0-9a-f]*/0x00636f6c6c616d6d/
}' damage_bits:499
mutant byte_order_ignored '/^super_verify/,/^}/ {
  s/s->magic == __builtin_bswap64 (MM_MAGIC)/false/
}' damage_foreign
mutant magic_ignored '/^super_verify/,/^}/ {
  s/s->magic != MM_MAGIC/false/
}' damage_foreign
mutant newer_version_ignored '/^super_verify/,/^}/ {
  s/s->version > MM_FORMAT_LOG/false/
}' damage_foreign
mutant classes_ignored '/^super_verify/,/^}/ {
  s/|| s->class_sum != process.class_sum//
}' damage_foreign
mutant features_ignored '/^super_verify/,/^}/ {
  s/|| s->features != 0/|| false/
}' damage_foreign
mutant base_may_be_odd '/^super_verify/,/^}/ {
  s/|| s->base % MM_PAGE != 0/|| false/
}' damage_foreign
mutant base_may_be_anywhere '/^super_verify/,/^}/ {
  s/|| s->base > (UINT64_C (1) << 56)/|| false/
}' damage_foreign
mutant capacity_may_be_small '/^super_verify/,/^}/ {
  s/s->capacity < MM_RESERVE_MIN/false/
}' damage_foreign
mutant capacity_may_be_large '/^super_verify/,/^}/ {
  s/s->capacity > UINT64_C (1) << 46/false/
}' damage_foreign
mutant streams_without_limit '/^super_verify/,/^}/ {
  s/s->n_streams > MM_STREAMS_MAX/false/
}' damage_foreign
mutant shared_without_limit '/^super_verify/,/^}/ {
  s/s->n_shared > MM_SHARED_MAX/false/
}' damage_foreign
mutant no_shared_stream '/^super_verify/,/^}/ {
  s/s->n_shared == 0/false/
}' damage_foreign
mutant any_kind_of_file '/^file_open/,/^}/ {
  s/!S_ISREG (status.st_mode)/false/
}' damage_foreign

# The length.
mutant length_beyond_file '/^super_read/,/^}/ {
  s/if (\*length > (uint64_t) status.st_size .*/if (false)/
}' damage_truncated
mutant length_out_of_range '/^super_read/,/^}/ {
  s/\*length > s->capacity || \*length < MM_OFF_RECORDS/false/
}' damage_foreign

# The directory.
mutant ready_past_chunk '/^verify_chunk/,/^}/ {
  s/|| ready > slice_count (h, c)/|| false/
}' damage_golden
mutant ready_nothing '/^verify_chunk/,/^}/ {
  s/ready == 0 ||//
}' damage_golden
mutant chunk_behind_end '/^verify_chunk/,/^}/ {
  s/|| off_file (h, off_slice .*) > length/|| false/
}' check_finds_everything
mutant huge_starts_anywhere '/^verify_chunk/,/^}/ {
  s/|| dir_start (d) >= MM_CHUNK_SLICES/|| false/
}' damage_golden
mutant records_behind_end '/^verify_chunk/,/^}/ {
  s/|| off_file (h, off_record .*) > length/|| false/
}' damage_golden
mutant chunk_of_no_kind '/^verify_chunk/,/^}/ {
  s/kind > DIR_CONT/false/
}' damage_golden
mutant ready_without_records '/^verify_chunk/,/^}/ {
  s/(kind != DIR_PAGED && ready != 0)/false/
}' damage_golden
mutant first_chunk_lacks_records '/^verify_once/,/^}/ {
  s/|| dir_ready (d) < slice_first_data (h, 0)))/|| false))/
}' damage_golden
mutant huge_torn '/^verify_chunk/,/^}/ {
  s/c < v->covered && d != dir_cont (c - v->first)/false/
}' damage_golden
mutant streams_too_few '/^verify_once/,/^}/ {
  s/&& ready >= h->super.n_shared/\&\& true/
}' damage_golden
mutant streams_too_many '/^verify_once/,/^}/ {
  s/&& ready <= h->super.n_streams/\&\& true/
}' damage_golden
mutant streams_half_a_page '/^verify_once/,/^}/ {
  s/(ready % unit == 0 || ready == h->super.n_streams)/true/
}' damage_golden
mutant streams_behind_end '/^verify_once/,/^}/ {
  s/off_file (h, &h->stream\[ready\]) <= length/true/
}' damage_truncated:1

# Records, heads, lists.
mutant ready_behind_end '/^run_ready/,/^}/ {
  s/size_min (dir_ready (d), slice_count_within (h, c, off_seen (h)))/dir_ready (d)/
}' damage_truncated:1
mutant number_past_directory '/^run_record/,/^}/ {
  s/|| c >= h->n_chunks/|| false/
}' damage_golden
mutant number_past_records '/^run_record/,/^}/ {
  s/return s < run_ready (h, c) ?/return true ?/
}' damage_golden
mutant run_past_chunk '/^run_covers/,/^}/ {
  s/return size_min (n, end - s);/return n;/
}' damage_golden
mutant page_past_records '/^page_fits/,/^}/ {
  s/run_is_inside (h, number, class_table\[cl\].slices)/true/
}' damage_truncated:1
mutant queue_of_no_stream '/^queue_push/,/^}/ {
  s/|| stream > off_streams_ready (h)/|| false/
}' damage_golden
mutant claim_of_nothing '/^dead_owner_locked/,/^}/ {
  s/r != NULL ? head_peek (r) : 0/head_peek (r)/
}' damage_golden
mutant block_behind_end '/^place_find (/,/^}/ {
  s/off_file (h, at->start) + (slices << MM_SLICE_SHIFT) > off_seen (h)/false/
}' damage_truncated:1
mutant walk_of_half_a_page '/^sight_blocks/,/^}/ {
  s/|| seen->n < class_table\[head_class (seen->head)\].slices/|| false/
}' damage_truncated:1

# Named roots.
mutant root_number_cut_short '/^root_at/,/^}/ {
  s/number > UINT32_MAX/false/
}' damage_golden
mutant root_in_a_page '/^root_fits/,/^}/ {
  s/root_has_records (head_see (r)) && //
}' damage_golden
mutant root_in_metadata '/^root_fits/,/^}/ {
  s/run_is_inside (h, number, 1)/true/
}' damage_golden
mutant root_at_odd_place '/^root_fits/,/^}/ {
  s/&& in_slice % 16 == 0/\&\& true/
}' damage_golden
mutant root_longer_than_names '/^root_at/,/^}/ {
  s/return len <= MM_NAME_MAX &&/return true \&\&/
}
/^root_read/,/^}/ {
  s/ || len > MM_NAME_MAX)/)/
}' damage_golden
mutant root_longer_than_room '/^root_at/,/^}/ {
  s/&& len <= name->room/\&\& true/
}' damage_golden
mutant roots_go_round '/^root_step/,/^}/ {
  s/off != walk->mark/true/
}' damage_golden
mutant root_in_other_bucket '/^root_read/,/^}/ {
  s/hash % MM_BUCKETS != walk->bucket/false/
}' check_finds_everything power_cut_roots
mutant root_of_other_name '/^root_read/,/^}/ {
  s/changes || (uint32_t) sum_bytes (walk->name, len) == hash/true/
}' roots_names

# Named roots after a power cut.
mutant root_linked_in_front '/^root_record_locked/,/^}/ {
  s/^  \*link = walk->link;/  *link = \&h->bucket[walk->bucket];/
  s/^  word_put (&root->next, 0);/  word_put (\&root->next, word_peek (*link));/
}' power_cut_roots
mutant root_in_two_pages '/^root_record_locked/,/^}/ {
  s/if (root_crosses (slab, need))/if (false)/
}' power_cut_roots
mutant root_in_two_pages_again '/^root_record_locked/,/^}/ {
  s/!root_crosses (off_file (h, root), sizeof \*root + len)/true/
}' power_cut_roots
mutant root_mark_believed '/^root_record_locked/,/^}/ {
  s/if (word_peek (&h->locks->roots_doubt) != 0)/if (false)/
}' power_cut_roots
mutant root_mark_not_doubted '/^super_see_boot/,/^}/ {
  s/word_put (&l->roots_doubt, 1)/(void) 0/
}' power_cut_roots
mutant root_broken_unsaid '/^mmalloc_getroot/,/^}/ {
  s/while (walk.damaged$/while (false/
}' power_cut_roots
mutant root_set_behind_broken '/^root_set_locked/,/^}/ {
  s/if (walk.damaged)/if (false)/
}' power_cut_roots
mutant roots_broken_unsaid '/^mmalloc_roots/,/^}/ {
  s/damaged |= err == EBADMSG/(void) damaged/
}' power_cut_roots

# That the machine went down is noted before all is as usual again.
mutant boot_noted_late '/^attach_first/,/^}/ {
  /^  super_save (h);/d
  s/^  super_see_boot (h);/  super_save (h);\
&/
}' machine_went_down
mutant boot_noted_last '/^attach_first/,/^}/ {
  /^  super_see_boot (h);/d
  s/^  super_save (h);/  struct disk_super saved = h->super;\
  super_save (h);\
  struct disk_super ours = h->super;\
  h->super = saved;\
  super_see_boot (h);\
  h->super = ours;/
}' 'step:open: the machine'
mutant boot_noted_for_ever '/^super_went_down/,/^}/ {
  s/word_peek (&l->state) != MM_CLEAN/true/
}' machine_went_down
mutant boot_forgotten '/^super_went_down/,/^}/ {
  s/word_peek (&l->went_down) != 0 || //
}' machine_went_down
mutant boot_of_a_copy '/^attach_apart/,/^}/ {
  /super_see_boot (h);/d
}' machine_went_down
mutant boot_as_opened '/^probe_mapped/,/^}/ {
  s/super_went_down (&super,/super_went_down (\&h->super,/
}' machine_went_down

# Calls of the system that fail, are interrupted or do half of what they should.
mutant half_a_read_is_all '/^os_move_all/,/^}/ {
  s/i += (size_t) result;/i = to != NULL ? n : i + (size_t) result;/
}' file_calls_fail
mutant half_a_write_is_all '/^os_move_all/,/^}/ {
  s/i += (size_t) result;/i = from != NULL ? n : i + (size_t) result;/
}' file_calls_fail
mutant cut_interrupted '/^os_cut/,/^}/ {
  s/while (result != 0 && errno == EINTR)/while (false)/
}' file_calls_fail
mutant descriptor_believed_for_ever '/sure = false;/d' \
  membership
mutant lock_interrupted '/^byte_call/,/^}/ {
  s/while (result != 0 && errno == EINTR)/while (set ? false : result != 0 \&\& errno == EINTR)/
}' file_calls_fail
mutant question_interrupted '/^byte_call/,/^}/ {
  s/while (result != 0 && errno == EINTR)/while (set ? result != 0 \&\& errno == EINTR : false)/
}' file_calls_fail
mutant must_have_fallocate '/^os_reserve_blocks/,/^}/ {
  s/err != EOPNOTSUPP \&\& err != ENOSYS/true/
}' file_calls_fail
mutant growth_without_memory '/^grow_back_bare (/,/^}/ {
  s/^        err = back_range (h, off_slice/        back_range (h, off_slice/
}' file_calls_fail
mutant lock_file_left_open '/^file_shut/,/^}/ {
  s/byte_drop (f);/(void) f;/
}' file_calls_fail
mutant mapping_left '/^door_drop/,/^}/ {
  s/space_unmap ((void \*) f->base, f->mapped);/(void) f;/
}' file_calls_fail
mutant sync_always_works '/^os_sync/,/^}/ {
  s/return result != 0 ? errno : 0;/return 0;/
}' file_calls_fail
mutant limit_not_asked '/^os_may_reach/,/^}/ {
  s/? EFBIG : 0;/? 0 : 0;/
}' file_size_limit

# ---- Beside others that come between two instructions -------------------------

# A page that was empty before it was claimed is empty.
mutant claimed_unseen '/^page_retire_locked/,/^}/ {
  s/^      empty = page_count_free (h, r, number, cl) == all;/      empty = true;/
}' others_come_between

# A root's name is believed though it may have changed since its value was read.
mutant root_turn_ignored '/^root_read/,/^}/ {
  s/|| word_peek (&root->turn) != turn//
}' others_come_between
mutant root_turn_stays '/^root_write_locked/,/^}/ {
  s/&root->turn, turn + 1)/\&root->turn, turn - 1)/
}' others_come_between

# A thread without a cache frees while the file is cut.
mutant late_free_overlooked '/^give_block/,/^}/ {
  s/unsigned walk = k == NULL ? lock_walk (h) : 0;/\
  unsigned walk = h->forks + 1;/
}' others_come_between

# ---- Zeros, copies, room for names ------------------------------------------

# A long name gets the room of a short one.
mutant root_room_ignored '/^root_record_locked/,/^}/ {
  s/ && root->room >= len//
}' roots_many

# What another one wrote is left in a HUGE block that shall be zero.
mutant huge_not_zeroed '/^huge_take/,/^}/ {
  s/if (err == 0 && !is_zero)/if (false)/
}' private_changes_vanish

# Parts of a copy do not get their disk blocks again.
mutant copy_without_huge '/^super_back_again/,/^}/ {
  s/dir_kind (d) == DIR_HUGE/false/
}' sparse_copy_on_a_full_disk
mutant copy_without_slices '/^super_back_again/,/^}/ {
  s/if (n > 0)/if (false)/
}' sparse_copy_on_a_full_disk

# ---- Who else has the file, and how much of it --------------------------------

# Writers come while somebody has a copy-on-write view, and the other way round.
mutant writer_beside_copy '/^attach_first/,/^}/ {
  s/MM_BYTE_PRIVATE/MM_BYTE_NONE/
}' private_changes_vanish
mutant copy_beside_writer '/^attach_apart/,/^}/ {
  s/MM_BYTE_ALIVE/MM_BYTE_NONE/
}' membership
# Nor beside one who has lost his locks.
mutant copy_beside_lost_writer '/^attach_apart/,/^}/ {
  s/err == 0 && proc_others_stay (h)/false/
}' membership

# A fork child is no user: that of a reader or of one who has a copy; of regions.
mutant fork_child_uncounted '/^door_forked/,/^}/ {
  s/f->fd >= 0 && !shared_heap/f->fd >= 0 \&\& !f->kind->heap/
}' fork_file
mutant fork_child_of_region '/^door_forked/,/^}/ {
  s/f->fd >= 0 && !shared_heap/f->fd >= 0 \&\& !f->kind->shared/
}' fork_file
# Whose parent goes before it has a lock of its own, or who can have none.
mutant late_child_uncounted '/^byte_drop/,/^}/ {
  s/f->forks == process.forks/true/
}' region_files
mutant late_child_in_the_door '/^byte_drop/,/^}/ {
  s/os_own (f, f->lock_fd) == EBADF)/os_own (f, f->lock_fd) == EBADF || (!alone \&\& (os_close (f->lock_fd), true)))/
}' region_files
mutant child_without_shared_locks '/^door_forked/,/^}/ {
  s/  f->lock_fd = parents;/  os_close_own (f, parents);/
}' membership
mutant shared_locks_are_its_own '/^door_forked/,/^}/ {
  s/process.forks - 1/process.forks/
}' membership
# Locks that belong to the process are lost to a newcomer.
mutant locks_not_taken_again '/^door_show_again/,/^}/ {
  s/n < 1000/n < 1/
}' membership
# The open file with the locks is another one than the one mapped.
mutant region_without_lock '/^region_map (/,/^}/ {
  s/f->lock_fd/f->fd/
}' membership
mutant copy_without_lock '/^range_map (/,/^}/ {
  s/h->file.lock_fd)/h->file.fd)/
}' membership
# Users of a map file are of another machine; or may be, but nobody knows.
mutant regions_of_all_machines '/^region_enter/,/^}/ {
  s/err == 0 && joins)/false)/
}' membership
mutant machines_above_unseen '/^member_verify/,/^}/ {
  s/if (err == 0 && l.l_type == F_UNLCK)/if (false)/
}' membership
mutant machines_below_unseen '/^member_verify/,/^}/ {
  s/MM_BYTE_ALIVE + unknown, boot - unknown/MM_BYTE_ALIVE, 1/
}' membership
mutant unknown_is_elsewhere '/^member_verify/,/^}/ {
  s/int64_t unknown = MM_BYTES_BOOT/int64_t unknown = 0/
}' membership
mutant no_boot_is_one '/^member_verify/,/^}/ {
  s/boot == 0/false/
}' membership
# A home of theirs in each PID namespace.
mutant homes_of_namespaces '/^byte_boot/,/^}/ {
  s/  uint16_t number = /  here[1] ^= pid_namespace ();\
&/
}' pid_namespaces

# A newcomer has mapped less than there is by now.
mutant joins_with_less '/^attach_beside/,/^}/ {
  s/return attach_reach (h, length, why)/return 0/
}' join_while_it_grows

# So has a fork child that was not counted yet, when its parent has gone; what it
# gives up is not its parent's.
mutant child_comes_with_less '/^attach_first/,/^}/ {
  s/attach_reach (h, off_length (h), why) != 0/false/
}' heaps_made_apart
mutant child_narrows_parent '/^grow_map_is/,/^}/ {
  s/ && !word_peek (&h->forked)//
}' heaps_made_apart

# Heaps that lie in the reservations of others.
mutant places_are_few '/^#define MM_PLACE/ {
  s/64) << 20/1) << 30/
}' heaps_made_apart
# The place comes back when the neighbour goes, or could not be opened.
mutant place_stays_given '/^attach_drop/,/^}/ {
  /range_take_back ();/d
}' heaps_made_apart
mutant place_stays_given_to_region '/^region_drop/,/^}/ {
  /range_take_back ();/d
}' heaps_made_apart
mutant place_beside_neighbour '/^range_room/,/^}/ {
  s/if (f->base >= from && f->base < end)/if (false)/
}' heaps_made_apart
# A reader looks at what he has mapped only.
mutant walk_behind_mapping '/^walk_heap/,/^}/ {
  s/<= off_seen (h))/<= off_length (h))/
}' neighbours_change_words
mutant size_behind_mapping '/^mmalloc_usable_size/,/^}/ {
  s/CALL_LOOKS) \&\& c.h != NULL)/CALL_LOOKS) \&\& false)/
}' limited_address_space
mutant nobody_gives_way '/^grow_give_way/,/^}/ {
  s/bool done = cut >= .*/bool done = false;/
}' heaps_made_apart
mutant blocks_give_way '/^grow_give_way/,/^}/ {
  s/bool done = cut >= .*/bool done = true;/
}' heaps_made_apart
mutant gives_way_unseen '/^grow_map_is/,/^}/ {
  s/word_put (&off_proc (h, h->entry)->mapped, len);/;/
}' heaps_made_apart
mutant gives_way_and_goes_on '/^grow_map_is/,/^}/ {
  s/word_put (&h->file.mapped, len);/;/
}' heaps_made_apart
mutant no_part_of_a_range '/^range_map_part/,/^}/ {
  s/space_is_short (err)/err == ENOMEM/
}' heaps_made_apart

# A reader with little address space: its first mapping, what it maps later,
# here and at another address; and pointers that are newer than that.
mutant reader_maps_all '/^range_map_part/,/^}/ {
  s/space_is_short (err) && len/space_is_short (err) \&\& h->file.kind->changes \&\& len/
}' limited_address_space
mutant reader_stays_behind '/^heap_follow/,/^}/ {
  s/err != 0 || length <=/true || length <=/
}' limited_address_space
mutant reader_blames_the_size '/^heap_follow/,/^}/ {
  s/if (err == ENOMEM || err == EADDRINUSE)/if (err != 0)/
}' join_while_it_grows
mutant reader_maps_elsewhere '/^range_map_more/,/^}/ {
  s/(h, from, len - from)/(h, 0, len - from)/
}' limited_address_space
mutant no_room_behind_elsewhere '/^range_map_anywhere/,/^}/ {
  s/err = space_map_anywhere (.*/base = (uintptr_t) space_map (NULL, room, 0, flags, -1), err = base + 1 == 0 ? errno : 0;/
}' limited_address_space
mutant key_leads_nowhere '/^mmalloc_getkey/,/^}/ {
  s/heap_follow (h, &why);/(void) why;/
}' limited_address_space

# Which file is a copy.
mutant mounted_is_copied '/^proc_is_home/,/^}/ {
  s/h->file.born != 0/false/
}' other_device_number
mutant inode_is_enough '/^file_birth/,/^}/ {
  s/return sum_bytes (time, sizeof time) | MM_BORN/(void) time; return MM_BORN/
}' other_device_number
mutant older_is_copied '/^proc_is_home/,/^}/ {
  s/h->super.dev == h->file.dev/false/
}' other_device_number
mutant copy_is_home '/^super_is_copy/,/^}/ {
  s/!proc_is_home (h)/false/
}' other_device_number

# The handler of misuse may never come back.
mutant misuse_with_a_lock '/^free_place/,/^}/ {
  s/^    fail_misuse (call, md, p, wrong);/    lock_walk (h), fail_misuse (call, md, p, wrong), unlock_walk (h, h->forks);/
}' left_by_jumping

# Locked memory.
mutant locked_is_no_limit '/^space_is_short/,/^}/ {
  s/ || err == EAGAIN//
}' locked_memory
mutant locked_without_words '/^space_reason/,/^}/ {
  s/code == EAGAIN/false/
}' locked_memory
mutant default_heap_without_words '/^heap_none/,/^}/ {
  s/heap_default (&why)/heap_default (\&(struct reason){ "" })/
}' locked_memory

# What core dumps have.
mutant dumps_of_all '/^range_hide/,/^}/ {
  s/f->fd >= 0 && shown < mapped/false/
}' core_has_what_is_used
mutant dumps_of_the_beginning '/^grow_reach/,/^}/ {
  s/^  grow_show (h, len);//
}' core_has_what_is_used
mutant dumps_without_others '/^take_run/,/^}/ {
  s/^  grow_show (h, off_length (h));//
}' core_has_what_is_used
mutant dumps_given_up '/^grow_show/,/^}/ {
  s/^         == 0)/         <= ENOMEM)/
}' core_has_what_is_used

# A HUGE block grows beyond what others have mapped.
mutant huge_grows_anywhere '/^huge_resize/,/^}/ {
  s/off_file (h, end) <= limit/off_file (h, end) <= h->capacity/
}' limited_address_space

# The file is cut beside other threads; or they find its records still.
mutant cut_beside_threads '/^sweep_is_alone/,/^}/ {
  s/^      return false;/      break;/
}' trim_gives_back chunks_come_back
mutant cut_stays_hot '/^sweep_exclude/,/^}/ {
  s/h->caches->hot_bytes = 0;/(void) h;/
}' trim_gives_back chunks_come_back

# A page that is THIN is taken back as if it lacked nothing, or retired as if
# nobody had to know; it is looked at before nobody allocates there any more, or
# while the owner takes it back.
mutant thin_taken_back '/^page_take /,/^}/ {
  s/^        return HEAD_THIN;/        return \
        word_claim (\&r->head, \&head, page_head (HEAD_ACTIVE, to, cl)),\
        head = page_head (HEAD_THIN, to, cl),\
        word_claim (\&r->head, \&head, page_head (HEAD_ACTIVE, to, cl)),\
        HEAD_HELD;/
}' step:thin full_file_system
mutant thin_claimed '/^sweep_page_locked/,/^}/ {
  s/if (head_state (head) != HEAD_HELD)/if (head_state (head) == HEAD_ACTIVE)/
}' step:thin step:trim
mutant thin_looked_at_early '/^trim_page/,/^}/ {
  s/^  if (head_state (head) == HEAD_HELD)/\
  uint64_t early = page_free_pages (h, r, page_start (h, number), cl,\
                                    process.system_page);\
&/
  s/^  trim_make_holes (h, r, number, cl, t);/\
  sched_yield ();\
  word_settle (\&r->holes, word_peek (\&r->holes) | early);\
  uint64_t left = early;\
  for (size_t at, n; bit_take_run (\&left, \&at, \&n) != 0; )\
    if (back_drop (h, page_start (h, number) + at * MM_PAGE, n * MM_PAGE))\
      t->given += n * MM_PAGE;/
}' trim_inside_pages
mutant wake_without_lock '/^page_wake/,/^}/ {
  s/^  if (!lock_grow (h))/  if (false)/
  s/^  unlock_grow (h);//
}' trim_inside_pages
mutant wake_without_blocks '/^page_back_holes/,/^}/ {
  s/^      int err = back_range/      int err = 0; if (0) err = back_range/
}' step:thin full_file_system
mutant wake_without_bits '/^page_back_holes/,/^}/ {
  s/^  map_put (run_index_locked (h, c)->backed.*true);/  (void) s, (void) c;/
}' trim_seen_inside
mutant wake_though_full '/^page_back_holes/,/^}/ {
  s/^      if (err != 0)/      if (err != 0 \&\& err != ENOSPC)/
}' full_file_system
mutant adopted_thin_asleep '/^bin_adopt/,/^}/ {
  s/ \&\& !page_wake (h, got, k->stream, cl))/ \&\& false)/
}' step:thin

# A hole is recorded when it is there; or forgotten before it is filled.
mutant holes_late '/^trim_make_holes/,/^}/ {
  /^      word_settle (&r->holes, word_peek (&r->holes) | run);/d
  s/^        t->given += n \* MM_PAGE;/{ &\
          word_settle (\&r->holes, word_peek (\&r->holes) | run); }/
}' step:trim
mutant holes_forgotten_early '/^page_back_holes/,/^}/ {
  s/^  while ((run =/  word_settle (\&r->holes, 0);\
&/
}' step:thin
mutant holes_from_before '/^trim_page/,/^}/ {
  s/^      word_settle (&r->holes, 0);//
}' trim_inside_pages
mutant holes_twice '/^trim_make_holes/,/^}/ {
  s/^                  & ~word_peek (&r->holes), run;/, run;/
}' trim_inside_pages

# An empty one is retired and its slices are called backed; or are so no more
# when somebody may have them already.
mutant thin_retired_backed '/^sweep_retire_thin/,/^}/ {
  s/^        map_put (.*false);//
}' step:thin step:trim full_file_system
mutant thin_retired_early '/^sweep_retire_thin/,/^}/ {
  s/^  for (size_t i = 0; empty/\
  if (empty)\
    run_give_locked (h, number, class_table[cl].slices);\
&/
  s/^    run_give_locked (h, number, class_table\[cl\].slices);$/    (void) s;/
}' step:thin step:trim
mutant thin_kept_empty '/^sweep_thin_chunk/,/^}/ {
  s/if (sweep_retire_thin (h/if (false \&\& sweep_retire_thin (h/
}' trim_inside_pages
mutant thin_not_listed '/^sweep_thin_chunk/,/^}/ {
  s/^        sweep_list_locked (h.*;/        (void) r;/
}' full_file_system trim_inside_pages
mutant thin_listed_first '/^sweep_page_locked/,/^}/ {
  s/^      w->thin = true;/&\
      if (our)\
        sweep_list_locked (h, r, number, head);/
}' trim_seen_inside

# Holes of another size than a system page; pages that are tried one after the
# other in vain; holes that count as backed when the file is opened.
mutant holes_of_4096 '/^trim_make_holes/,/^}/ {
  s/process.system_page/MM_PAGE/
}' trim_seen_inside
mutant holes_tried_anyway '/^trim_make_holes/,/^}/ {
  s/^      t->whole = !back_drop (h, start + at \* MM_PAGE, n \* MM_PAGE);/\
      if (!back_drop (h, start + at * MM_PAGE, n * MM_PAGE))\
        word_settle (\&r->holes, word_peek (\&r->holes) \& ~run);\
      else/
}' trim_seen_inside
mutant holes_count_as_backed '/^trim_pages/,/^}/ {
  s/^  run_less_backed_locked (h, .*;//
}' trim_seen_inside
mutant holes_swept_as_backed '/^sweep_schedule/,/^}/ {
  s/w->backed - holes : 0/w->backed : 0/
}' trim_seen_inside

# A heap that trims by itself does not; does at each free; does as often when
# all is needed again.
mutant trims_never '/^free_counted/,/^}/ {
  s/h->trim_threshold != 0/false/
}' trim_inside_pages
mutant trims_no_large '/^free_large/,/^}/ {
  s/h->trim_threshold != 0/false/
}' trim_inside_pages
mutant trims_at_each_free '/^trim_if_due/,/^}/ {
  s/if (word_peek (&h->freed) < due/if (word_peek (\&h->freed) == 0/
  s/word_swap (&h->freed, 0) < due/word_swap (\&h->freed, 0) == 0/
}' trim_seen_inside
mutant trims_without_patience '/^trim_patience/,/^}/ {
  s/wait < 8 ? 2 \* wait : 8/wait/
}' trim_seen_inside
mutant copy_gets_holes '/^super_back_slices/,/^}/ {
  s/head_state (head) == HEAD_THIN/false/
}' trim_inside_pages

# Guards are for the blocks of the thread that asked for them.
mutant guards_of_one_thread '/^mmcheckf/,/^}/ {
  s/cache_disarm_all (h);/word_put (\&thread.last->key, KEY_NONE);/
}' mmcheck_guards

# ---- More slot calls than records ---------------------------------------------

# A record is taken that another call has; or the dead keep theirs.
mutant record_taken_twice '/^op_begin/,/^}/ {
  s/if (word_peek (owner) == 0 &&/if (i + 1 == end ||/
}' slot_calls_wait
mutant dead_keep_records '/^slot_begin/,/^}/ {
  s/^      dead_bury_all (h);/      (void) h;/
}' slot_calls_wait

# ---- A limit to waiting --------------------------------------------------------

# There is none.  What could not be freed is on no record, or nobody ends the
# calls that were left; it was not made a record of.
mutant wait_without_limit '/^fail_is_late/,/^}/ {
  s/limit == 0/true/
}' 'stopped:malloc: first'
mutant late_block_lost '/^realloc_leave/,/^}/ {
  s/op_leave (op)/op_release (h, op)/
}' waiting_has_a_limit
mutant late_record_kept '/^dead_bury (/,/^}/ {
  s/return dead_end_left (h);/return true;/
}' waiting_has_a_limit
mutant late_call_released '/^give_block/,/^}/ {
  s/if (op != NULL && err != ETIMEDOUT)/if (op != NULL)/
}' waiting_has_a_limit

# Who is late to leave, or to come, is taken for alive in the entry; or the dead
# one there is forgotten; or he leaves without his entry.
mutant late_leaver_lives '/^detach_leave/,/^}/ {
  s/word_settle (&off_proc (h, h->entry)->namespace, 0);/(void) h;/
}' waiting_has_a_limit
mutant late_comer_lives '/^attach_gives_up/,/^}/ {
  /word_put (&e->namespace, 0);/d
}' waiting_has_a_limit
mutant late_comer_forgets '/^attach_gives_up/,/^}/ {
  /h->entry = MM_PROCS;/d
}' waiting_has_a_limit
mutant late_leaver_forgets '/^detach_leave/,/^}/ {
  s/^  bool locked = lock_heap (h);/&\
  if (!locked)\
    word_settle (\&off_proc (h, h->entry)->id, 0);/
}' waiting_has_a_limit

# A checkpoint passes dynamic maps over.
map_mutant dynamic_maps_unsynced '/^qalloc_checkpoint/,/^}/ {
  s/: mmalloc_sync (seen.base);/: 0;/
}' qalloc_two_files

# A page of the process's own is mapped over what the file says, whatever that
# is; not when the heap is opened; twice; and each call sets a slice aside.
mutant local_over_anything '/^root_local_number/,/^}/ {
  s/|| head_see (r) != head_make (HEAD_ROOTS, 0, 0, ROOTS_LOCAL, 1)/|| false/
}' local_pages
mutant local_number_cut_short '/^root_local_number/,/^}/ {
  s/number <= UINT32_MAX/true/
}' local_pages
mutant local_not_at_open '/^attach_existing/,/^}/ {
  s/root_local_open (h, why)/0/
}' local_pages
mutant local_mapped_again '/^root_local_map/,/^}/ {
  s/word_peek (&h->local) == NULL/true/
}' local_pages
mutant local_slice_again '/^root_local_slice/,/^}/ {
  s/word_peek (&h->root->local) != 0/false/
}' local_pages
mutant local_not_zeroed '/^root_local_take_locked/,/^}/ {
  /memset (page_start/d
}' local_pages
mutant local_known_first '/^root_local_take_locked/,/^}/ {
  s/^  mark_own.*/  word_publish (\&h->root->local, number);\
&/
}' 'step:local: first'
mutant roots_in_local '/^root_has_records/,/^}/ {
  s/head_class (head) != ROOTS_LOCAL/true/
}' local_pages

# ---- What mmalloc_check finds -----------------------------------------------

# Each finding is reported no more.
mutant page_of_nobody_unseen '/^check_page/,/^}/ {
  s/stream == 0 || stream > h->super.n_streams/false/
}' check_finds_everything
mutant page_length_unseen '/^check_page/,/^}/ {
  s/head_slices (seen->head) != class_table\[cl\].slices/false/
}' check_finds_everything
mutant page_holes_unseen '/^check_page/,/^}/ {
  s/head_state (seen->head) == HEAD_THIN/false/
}' check_finds_everything
mutant page_claim_unseen '/^check_page/,/^}/ {
  s/head_state (seen->head) == HEAD_CLAIMED/false/
}' check_finds_everything
mutant page_claim_once '/^check_orphaned/,/^}/ {
  s/left = 1000/left = 1/
}' check_finds_everything
mutant page_mark_unseen '/^check_page/,/^}/ {
  s/if (rem != 0 /if (false /
}' check_finds_everything
mutant page_bit_unseen '/^check_page/,/^}/ {
  s/(equal & ~class_valid (cl, w))/false/
}' check_finds_everything
mutant page_continuation_unseen '/^check_page/,/^}/ {
  s/!= head_cont (i)/!= head_cont (i) \&\& false/
}' check_finds_everything
mutant page_class_unseen '/^check_see/,/^}/ {
  s/head_class (seen->head) >= MM_CLASSES/false/
}' check_finds_everything
mutant run_backing_unseen '/^check_see/,/^}/ {
  s/!map_get (x->backed, i)/false/
}' check_finds_everything
mutant run_end_unseen '/^check_see/,/^}/ {
  s/head_slices (seen->head) != seen->n)/false)/
}' check_finds_everything
mutant run_overlap_unseen '/^check_see/,/^}/ {
  s/i < seen->n; i++/i < 0; i++/
}' check_finds_everything
mutant records_too_many_unseen '/^verify_chunk/,/^}/ {
  s/return "I5: a chunk has too many records, or none"/return NULL/
}' check_finds_everything
mutant own_slice_unseen '/^check_chunk/,/^}/ {
  s/s < slice_first_data (h, c) && s < end/false/
}' check_finds_everything
mutant head_kind_unseen '/^check_chunk/,/^}/ {
  s/!used && head_kind (head) != HEAD_FREE/false/
}' check_finds_everything
mutant index_used_unseen '/^check_chunk/,/^}/ {
  s/if (map_get (x->free, i) == used)/if (!used \&\& !map_get (x->free, i))/
}' check_finds_everything
mutant index_free_unseen '/^check_chunk/,/^}/ {
  s/if (map_get (x->free, i) == used)/if (used \&\& map_get (x->free, i))/
}' check_finds_everything
mutant length_unseen '/^check_directory/,/^}/ {
  s/len > h->capacity/false/
}' check_finds_everything
mutant file_size_unseen '/^check_directory/,/^}/ {
  s/(uint64_t) status.st_size < len/false/
}' check_finds_everything
mutant huge_torn_unseen '/^verify_chunk/,/^}/ {
  s/c < v->covered && kind != DIR_CONT/false/
}' check_finds_everything
mutant huge_place_unseen '/^verify_chunk/,/^}/ {
  s/return "I5: a huge block has no place"/return NULL/
}' check_finds_everything
mutant huge_elsewhere_unseen '/^verify_chunk/,/^}/ {
  s/return "I5: a chunk of a block points elsewhere"/return NULL/
}' check_finds_everything
mutant chunk_kind_unseen '/^verify_chunk/,/^}/ {
  s/return "I5: a chunk of no kind"/return NULL/
}' check_finds_everything
mutant directory_unseen '/^check_directory/,/^}/ {
  s/if (wrong != NULL)/if (false)/
}' check_finds_everything
mutant roots_unseen '/^check_roots/,/^}/ {
  s/if (walk.damaged)/if (false)/
}' check_finds_everything
mutant local_unseen '/^check_roots/,/^}/ {
  s/^  if (damaged)/  if (false)/
}' check_finds_everything
mutant supers_unseen '/^check_supers/,/^}/ {
  s/if (newest == 0)/if (false)/
}' check_finds_everything
mutant newer_super_unseen '/^check_supers/,/^}/ {
  s/else if (newest < known)/else if (false)/
}' check_finds_everything
mutant guard_unseen '/^check_block/,/^}/ {
  s/user != NULL/false/
}' check_finds_everything

# Superblocks are looked at by writers only; or once, while others save theirs.
mutant supers_for_writers '/^check_supers/,/^}/ {
  s/h->file.fd >= 0/h->file.kind->shared/
}' check_finds_everything
mutant supers_read_once '/^check_supers/,/^}/ {
  s/left = 1000/left = 1/
}' check_finds_everything

# A thread's words go back at its end, are not made after it, and are asked for
# only where there are some.
mutant words_stay '/^cache_thread_exit/,/^}/ {
  /fail_leave ()/d
}' words_of_threads
mutant words_late '/^fail_hears_of_end/,/^}/ {
  s/ && !thread.leaving//
}' words_of_threads
mutant words_unasked '/^fail_told/,/^}/ {
  s/if (w != NULL)/if (true)/
}' words_of_threads

# A chunk is made for a run only if the run fits in; the first to open a map
# gives a copy its disk blocks.
mutant chunk_unfit '/^grow_by/,/^}/ {
  s/if (run_fit (h, c, .*) == 0)/if (slice_first_data (h, c) + n > end)/
}' aligned_without_a_place
mutant region_not_backed '/^region_enter/,/^}/ {
  s/!joins \&\& !fresh/false/
}' qalloc_sparse_copy

# Chunks become EMPTY again, for a block or a trim, only where nobody else has
# the heap, not even with a short way to their records; with all slices free;
# and the disk blocks of a file that has all of its length stay.
mutant chunks_stay '/^take_block/,/^}/ {
  s/huge == ENOSPC && sweep_chunks (h)/false/
}' chunks_come_back
mutant chunks_beside_processes '/^sweep_exclude/,/^}/ {
  s/!member_has_writers (&h->file) && !proc_others_live (h)/true/
}' chunks_come_back
mutant chunks_in_use '/^sweep_empty_chunk/,/^}/ {
  s/map_next_free (x, first, end, MAP_FREE, false) == end/true/
}' chunks_come_back step:trim
mutant chunks_drop_blocks '/^huge_may_drop/,/^}/ {
  s/ || off_length (h) < h->capacity/ || true/
}' chunks_come_back

# Roots that are made once.  One maker: the root is looked for again under the
# lock, and who makes it; his root's record is not another's meanwhile.
mutant maker_looks_once '/^maker_look_locked/,/^}/ {
  s/if (root_find (.*) != NULL)/if (root_find (h, w->name, w->len, \&walk) == NULL \&\& false)/
}' makeroot_processes
mutant maker_for_no_other '/^maker_look_locked/,/^}/ {
  s/if (maker_is_for (h, &h->op\[i\], w))/if (false)/
}' makeroot_processes
mutant maker_of_shorter_name '/^maker_is_for/,/^}/ {
  s/ || word_peek (&root->len) != w->len//
}' makeroot
mutant maker_record_shared '/^root_record_locked/,/^}/ {
  s/!op_makes_root_at (.*))/true)/
}' makeroot_processes
mutant maker_without_limit '/^maker_look_locked/,/^}/ {
  s/if (makes >= MM_MAKES)/if (false)/
}' makeroot
# The block is on record, and the program's function has filled it before it can
# be found; whoever dies then has a root or no block.
mutant maker_not_on_record '/^maker_make/,/^}/ {
  s/^  thread.op = op;$/  (void) op;/
}' step:makeroot
mutant maker_not_zeroed '/^maker_make/,/^}/ {
  s/ALLOC_ZERO/0/
}' makeroot step:makeroot
mutant maker_not_said '/^maker_begin_locked/,/^}/ {
  /^  word_settle (&op->from, MM_MAKES_ROOT)/d
}' makeroot_processes
mutant maker_name_late '/^maker_begin_locked/,/^}/ {
  s/^  root_write_locked (root, w->name, w->len,$/  if (link != NULL) word_publish (link, off_file (h, root));\
&/
}' 'step:makeroot: the first'
mutant maker_unmarked '/^maker_publish/,/^}/ {
  s/word_settle (&op->locked, 1);/(void) 0;/
}' 'step:makeroot: large'
mutant maker_mark_gone_first '/^maker_publish/,/^}/ {
  s/word_publish (&root->value, (uintptr_t) p);/&\
      word_settle (\&op->locked, 0);/
}' 'step:makeroot: large'
mutant maker_decides_nothing '/^dead_ops_locked/,/^}/ {
  s/if (word_peek (&op->from) == MM_MAKES_ROOT$/if (false/
}' 'step:makeroot: large'
mutant maker_slot_in_block '/^dead_slot_holds/,/^}/ {
  s/word_peek (&op->from) == MM_MAKES_ROOT/false/
}' step:makeroot
mutant maker_old_unrecorded '/^maker_discard/,/^}/ {
  /word_put (&op->old,/d
}' 'step:makeroot: refused'
mutant maker_keeps_refused '/^maker_make/,/^}/ {
  s/if (err != 0 && p != NULL)/if (false)/
}' makeroot
mutant maker_over_setroot '/^maker_publish/,/^}/ {
  s/bool there = root_find (h, w->name, w->len, &walk) != NULL;/root_find (h, w->name, w->len, \&walk); bool there = false;/
}' makeroot
# Waiting: not for oneself, not in a circle, not for the dead, not for those who
# have gone; and by no record that is used again.
mutant maker_waits_for_itself '/^maker_wait_locked/,/^}/ {
  s/if (op_is_ours (h, at))/if (false)/
}' makeroot
mutant maker_untold '/^maker_wait_locked/,/^}/ {
  s/word_put (&h->op\[i\].moved, .*);/(void) 0;/
}' makeroot
mutant maker_waits_for_set '/^maker_wait_locked/,/^}/ {
  s/if (at != NULL && maker_is_late_locked (h, at))/if (false)/
}' makeroot_processes
mutant maker_block_is_root '/^root_set_locked/,/^}/ {
  s/if (op_makes_block (h, value - h->file.base))/if (false)/
}' makeroot
mutant maker_number_without_turn '/^maker_numbered/,/^}/ {
  s/ && maker_number (h, op) == number//
}' makeroot_processes
mutant maker_turn_ignored '/^op_is_ours/,/^}/ {
  s/&& m->turn == word_peek (&op->turn)//
}' makeroot_processes
mutant maker_waits_for_dead '/^maker_try/,/^}/ {
  s/if (!dead_bury_all (h))/if (false)/
}' makeroot_processes
mutant maker_thread_stays '/^cache_thread_exit/,/^}/ {
  s/if (k->heap != NULL)/if (false)/
}' makeroot
mutant maker_stays_at_detach '/^detach_leave/,/^}/ {
  s/dead_end_locked (h, h->id);/(void) 0;/
}' makeroot_processes
mutant maker_recovered '/^mmalloc_recover/,/^}/ {
  s/&& word_peek (&h->op\[i\].from) != MM_MAKES_ROOT)/\&\& true)/
}' makeroot_processes
# A fork child of the function makes nothing, and does not wait in it for its
# parent.
mutant maker_in_child '/^maker_make/,/^}/ {
  s/if (h->forks != forks)/if (false)/
}' makeroot_processes
mutant maker_child_for_ever '/^maker_make/,/^}/ {
  s/word_put (&h->making\[op - h->op\].by, 0);/(void) 0;/
}' makeroot_processes
# What is there is large enough, or was another a moment ago.
mutant maker_any_size '/^maker_room/,/^}/ {
  s/if (room < w->size)/if (false)/
}' makeroot
mutant maker_guard_counts '/^maker_room/,/^}/ {
  s/if (word_peek (&h->root->guards) != 0 .*/if (false)/
}' makeroot
mutant maker_any_place '/^maker_room/,/^}/ {
  s/(char \*) h->file.base + (value - h->super.base)/(char *) (uintptr_t) value/
}' makeroot_processes
mutant maker_fit_at_once '/^maker_root/,/^}/ {
  s/ || \*value == unfit/ || true/
}' makeroot
# A record is not written in two pages.
mutant root_may_cross '/^root_write_locked/,/^}/ {
  s/!root_crosses (.*))/true)/
}' preconditions

# A descriptor that appends is shared.
mutant appends '/^file_open (/,/^}/ {
  s/return file_not_append (f, flags, why)/return 0/
}' growth_without_fallocate

# Readers take records of roots that they have not mapped for damage.
mutant no_doubt '/^heap_doubt/,/^}/ {
  s/int err = heap_follow (h, why)/int err = 0/
}' limited_address_space
mutant no_second_look '/^heap_doubt/,/^}/ {
  s/ || \*mapped > before ? err/ ? err/
}' limited_address_space

# Who cannot use the heap after all stays a user of it: one who has too little
# address space, or no memory for its page.
mutant entry_stays '/^attach_register/,/^}/ {
  s/^    attach_quit (h);/    ;/
}' join_while_it_grows
mutant entry_stays_without_a_page '/^attach_existing/,/^}/ {
  s/^    attach_quit (h);/    ;/
}' local_pages

# A fork child that others cannot see goes on.
mutant child_unseen '/^door_forked/,/^}/ {
  s/|| (err != 0/|| (false/
}' membership
mutant child_reads_unseen '/^heap_follow/,/^}/ {
  s/word_see (&h->forked) ?/false ?/
}' membership
mutant child_maps_unseen '/^region_again/,/^}/ {
  s/err = door_show (f, &o->why)/err = 0/
}' membership

# A narrow heap uses what it has not mapped, or has given back.
mutant narrow_not_widened '/^back_widen/,/^}/ {
  s/^  int err;/  int err = 0; return err;/
}' narrow_heap
mutant narrow_still_usable '/^mmalloc_narrow/,/^}/ {
  s/h->usable = size_min (h->usable, keep)/(void) keep/
}' narrow_heap

# What could not be made is not there, and nobody makes his heap in a file that
# was taken away while he waited.
mutant creation_left '/^file_unmake/,/^}/ {
  s/os_unlink (end)/(void) end/
}' failed_creation
mutant creation_left_behind_a_link '/^file_open_path/,/^}/ {
  s/file_make_end (f, path, flags, mode)/f->fd = os_open (path, flags | O_CREAT, mode)/
}' failed_creation
# Made by whoever opens what others have just taken away.
mutant creation_between_others '/^file_open_path/,/^}/ {
  s/left > 0 && f->fd/left > 99 \&\& f->fd/
}' others_come_between
mutant link_goes '/^file_unmake/,/^}/ {
  s/os_unlink (end)/os_unlink (path)/
}' failed_creation
mutant creation_elsewhere '/^door_come/,/^}/ {
  s/ || file_is_at (f, o->path)/ || true/
}' failed_creation

# The words for a full heap and a full disk are those of the call that failed;
# and each refusal has its numbers.
mutant words_of_before '/^call_begin/,/^}/ {
  /fail_nothing ()/d
}' words_of_refusals
mutant words_of_the_disk '/^fail_refused/,/^}/ {
  s/w->refused = bytes;/w->refused = 0;/
}' words_of_refusals
mutant words_of_the_quota '/^fail_system/,/^}/ {
  s/code == EDQUOT/false/
}' quota_is_named
mutant words_of_descriptors '/^file_no_fd/,/^}/ {
  s/code == EMFILE/false/
}' words_of_refusals
mutant words_of_open_flags '/^file_open (/,/^}/ {
  s/flags & (O_DIRECT . O_PATH)/false/
}' words_of_refusals
mutant_of qalloc.c words_of_kinds '/^open_map/,/^}/ {
  s/open_is_other (filename, kind, w)/false/
}' words_of_refusals

# Nothing is opened or closed in the function that looks at a region.
mutant open_within '/^open_leave/,/^}/ {
  s/open_allowed (why)/0/
}' region_files

# Whatever became of the memory since, a block freed twice is said to be free.
mutant freed_without_a_trace '/^place_find_huge/,/^}/ {
  s/dir_kind (d) == DIR_EMPTY/false/
}' misuse_double_free
mutant freed_behind_a_cut '/^place_without_block/,/^}/ {
  s/slice_count (h, c)/run_ready (h, c)/
}' misuse_double_free

# A fork child that cannot become a user of its own learns it where it opens.
mutant again_unjoined '/^attach_again/,/^}/ {
  s/attach_anew (.*&o->why);/0;/
}' too_many_processes

# ---- Process entries ----------------------------------------------------------

# An entry is used before its page has disk blocks; before those who ask about
# processes look at it; with what is there of other times.
mutant entry_unbacked '/^member_more/,/^}/ {
  s/back_range (h, (char .) e, MM_PAGE) : 0/0 : 0/
}' process_entries
mutant entry_full_disk_unseen '/^member_more/,/^}/ {
  s/^  if (err != 0)/  if (false)/
}' process_entries
mutant entry_backed_late '/^member_more/,/^}/ {
  s/^  int err = n >=/  word_publish (\&h->locks->procs_used, n + 1);\
&/
}' process_entries
mutant entry_used_unseen '/^member_more/,/^}/ {
  s/^  word_publish (&h->locks->procs_used, n + 1);/  if (n != MM_PROCS_FIRST) word_publish (\&h->locks->procs_used, n + 1);/
}' process_entries
mutant entry_of_old_times '/^member_more/,/^}/ {
  /memset (e, 0/d
}' process_entries
mutant entries_without_limit '/^member_more/,/^}/ {
  s/if (n == h->super.n_procs)/if (n == 2 * MM_PROCS)/
}' process_entries
mutant entries_believed '/^off_procs_used/,/^}/ {
  s/h->super.n_procs/UINT32_MAX/
}' process_entries
mutant entries_of_last_epoch '/^epoch_begin/,/^}/ {
  /word_put (&l->procs_used, 0);/d
}' process_entries
mutant entries_over_directory '/^off_more_procs/,/^}/ {
  s/return .*;/return 0 * h->epoch;/
}' process_entries
mutant entries_uncounted '/^stat_heap/,/^}/ {
  s/if (entries > MM_OFF_ROOT - MM_OFF_PROCS)/if (false)/
}' process_entries

# Each is asked about; the dead are not found; nor when there is no room.
mutant entries_asked_one_by_one '/MM_PROCS_TRIED = 2,/ {
  s/2/1024/
}' process_entries
mutant entries_of_the_dead '/^member_find_entry/,/^}/ {
  s/i < MM_PROCS_TRIED/i < 0/
}' process_entries
mutant entries_not_in_turn '/^member_find_entry/,/^}/ {
  s/(turn + i) % n/i/
}' process_entries
mutant entries_of_the_dead_by_number '/^member_may_go/,/^}/ {
  s/^         || pid_is_gone (word_peek (&e->pid));/         ;/
}' process_entries
mutant entries_of_the_dead_at_last '/^member_find_entry/,/^}/ {
  s/^  for (uint32_t i = 0; i < n && err == EAGAIN; i++)$/  for (uint32_t i = 0; i < n \&\& full == 0 \&\& err == EAGAIN; i++)/
}' process_entries

# Format 1: with more entries than it had; beside programs that know no other;
# one copy stays as it was.
mutant format_1_of_many '/^super_is_known/,/^}/ {
  s/s->version == 1 && s->n_procs == MM_PROCS_FIRST/s->version == 1/
}' damage_foreign
mutant format_of_any_entries '/^super_is_known/,/^}/ {
  s/s->n_procs == MM_PROCS ||/s->n_procs > 0 ||/
}' damage_foreign
mutant format_1_refused '/^super_is_known/,/^}/ {
  s/s->version == 1/false/
}' process_entries
mutant format_1_stays '/^attach_first/,/^}/ {
  s/h->super.version = MM_FORMAT;//
}' process_entries
mutant format_1_stays_in_a_copy '/^attach_first/,/^}/ {
  s/^      super_save (h);//
}' process_entries
mutant format_1_beside '/^attach_alone/,/^}/ {
  s/h->super.version >= MM_FORMAT/true/
}' process_entries
mutant format_1_writers_unseen '/^attach_alone/,/^}/ {
  s/MM_BYTE_WRITERS_1/MM_BYTE_NONE/
}' process_entries
mutant format_1_members_unseen '/^attach_alone/,/^}/ {
  s/MM_BYTE_ALIVE/MM_BYTE_NONE/
}' process_entries
mutant format_2_is_asked '/^attach_alone/,/^}/ {
  s/if (h->super.version >= MM_FORMAT)/if (false)/
}' process_entries

# ---- Checkpoints ---------------------------------------------------------

mutant record_sum_ignored '/^log_is_whole/,/^}/ {
  s/r->sum != log_record_sum (r)/false/
}' checkpoints
mutant gap_not_doubted '/^tail_find/,/^}/ {
  s/(!whole && !base && rest.first <= image)/(rest.first < 1 \&\& false)/
}' checkpoints
mutant writers_gap_not_doubted '/^tail_find/,/^}/ {
  s/rest.written != 0/false/
}' checkpoints
mutant older_than_the_image '/^tail_find/,/^}/ {
  s/ && end->last >= image;/;/
}' checkpoints checkpoint_files
mutant rest_of_the_log_stays '/^tail_find/,/^}/ {
  s/if (!writes || (rest.behind == 0/if (true || (rest.behind == 0/
}' checkpoint_files
mutant image_half_written '/^point_append/,/^}/ {
  s/!c->unread && h->log->whole/!c->unread/
}' checkpoint_files
mutant copy_has_one_end '/^log_ends/,/^}/ {
  s/if (err == 0 && log_is_head (h, r, 0, r->at)/if (false/
}' checkpoint_files
mutant log_written_over_beside_reader '/^point_move/,/^}/ {
  s/, !c->unread)/, false)/
}' checkpoint_files
mutant home_beside_readers '/^home_is_unread/,/^}/ {
  s/if (byte_lock (.*/if (false)/
}
/^point_capture/,/^}/ {
  s/c->unread = !byte_is_locked (&h->file, MM_BYTE_PRIVATE, F_WRLCK)/c->unread = true/
}' checkpoints
mutant home_beside_old_readers '/^point_capture/,/^}/ {
  s/&& !byte_is_locked (&h->file, MM_BYTE_READERS, F_WRLCK)//
}
/^home_is_unread/,/^}/ {
  s/!byte_is_locked (&h->file, MM_BYTE_READERS, F_WRLCK)/true/
}' checkpoint_files
mutant pending_left_behind '/^point_capture/,/^}/ {
  s/c->again = l->n_pending > 0/c->again = false/
}' checkpoints power
mutant pending_never_home '/^home_record/,/^}/ {
  s/ && !c->again && err == 0/ \&\& false/
}' checkpoints power
mutant pending_over_the_record '/^home_record/,/^}/ {
  s/ && !c->again//
}' power
mutant pending_by_image '/^capture_see/,/^}/ {
  s/kept != NULL ? kept : image) && kept/image) \&\& kept/
}' checkpoints
mutant rolled_back_to_image '/^undo_rollback/,/^}/ {
  s/^  recover_lay (h);//
}' checkpoints
mutant failed_record_overwritten '/^point_put/,/^}/ {
  s/l->alone = true;/l->alone = false;/
}' checkpoints
mutant replacement_is_added '/^point_put/,/^}/ {
  s/point_is_alone (l) || c->again || (/point_is_alone (l) || (/
}' checkpoints
mutant dropped_while_threads_go_on '/^point_make/,/^}/ {
  s/point_commit (h, &c, kept)/point_commit (h, \&c, true)/
}' checkpoints
mutant pending_as_before '/^home_pend/,/^}/ {
  s/ && c->again//
}' power
mutant pending_is_not_refreshed '/^home_pend/,/^}/ {
  s/c->again && err == 0/false/
}' checkpoints power
mutant heap_grows_into_the_log '/^run_is_logs/,/^}/ {
  s/return .*/return false;/
}' checkpoints
mutant sync_is_tried_again '/^area_sync/,/^}/ {
  s/h->log->broken = err;/h->log->broken = 0;/
}' checkpoints
mutant checkpoint_of_nothing '/^capture_root/,/^}/ {
  s/if (!any)/if (false)/
}' checkpoints
mutant file_closed_without_checkpoint '/^open_leave/,/^}/ {
  s/err = point_take (h, why);/err = 0;/
}' checkpoints
mutant log_kept_for_sharing '/^recover_shared/,/^}/ {
  s/recover_log (h, true, why)/recover_log (h, false, why)/
}' checkpoints
mutant shared_beside_checkpoints '/^recover_shared/,/^}/ {
  s/if (member_has_writers (&h->file))/if (false)/
}' checkpoints
mutant last_record_not_again '/^tail_begin/,/^}/ {
  s/? tail_last (h, in, end) : 0/? 0 : 0/
}' checkpoint_files
mutant named_too_late '/^recover_log/,/^}/ {
  s/err = tail_name (h);/err = 0;/
}' checkpoint_files
mutant log_anywhere '/^super_log_fits/,/^}/ {
  s/s->log >= grid + MM_CHUNK && (s->log - grid) % MM_CHUNK == 0/true/
}' checkpoint_files
mutant log_beyond_the_capacity '/^super_log_fits/,/^}/ {
  s/&& s->log + round_up (s->log_size, MM_CHUNK) <= s->capacity//
}' checkpoint_files
mutant log_of_any_size '/^super_log_fits/,/^}/ {
  s/|| s->log_size > MM_LOG_TIMES \* s->capacity//
}' checkpoint_files
mutant log_behind_the_file '/^super_read/,/^}/ {
  s/^  if (s->log + s->log_size > (uint64_t) status.st_size)$/  if (false)/
}' checkpoint_files
mutant log_over_a_page '/^verify_chunk/,/^}/ {
  s/if (log ? c < v->covered || !nothing : /if (/
}' checkpoint_files
mutant log_over_a_block '/^verify_chunk/,/^}/ {
  s/n == 0 || super_is_log (h, c)/n == 0/
}' checkpoint_files
mutant log_size_ignored '/^recover_size/,/^}/ {
  s/size != 0 && (/false \&\& (/
}' checkpoint_files
mutant failed_log_stays '/^recover_make/,/^}/ {
  s/area_clear (h, s, (uint64_t) status.st_size);//
}' checkpoint_files
mutant written_past_the_cache_only '/^area_write/,/^}/ {
  s/err == EINVAL && l->past_cache/false/
}' checkpoint_files
mutant locked_memory_stays '/^undo_rollback/,/^}/ {
  s/err = undo_copy (h, .*/err = 0;/
}' checkpoint_files
mutant own_page_is_logged '/^capture_use/,/^}/ {
  s/ || capture_is_local (h, p)//
}' checkpoint_files
mutant own_page_stays '/^undo_local/,/^}/ {
  s/if (p == NULL/if (true || p == NULL/
}' checkpoint_files
mutant own_page_goes '/^undo_rollback/,/^}/ {
  s/char \*until = .*/char *until = end; local = NULL;/
}' checkpoint_files
mutant zeros_over_the_image '/^back_range/,/^}/ {
  s/h->file.kind->backing == BY_LOG \&\& h->log->zeros/false/
}' checkpoint_files
mutant resume_not_called '/^mmalloc_checkpoint_resume/,/^}/ {
  s/^    resume (arg);/    (void) 0;/
}' checkpoint_files
mutant no_user_with_checkpoints '/^probe_user/,/^}/ {
  s/f->kind->backing == BY_DISK/f->kind->backing != BY_COPY/
}' checkpoint_files
mutant log_counted_as_blocks '/^recover_shared/,/^}/ {
  s/h->super.blocks -= .*//
}' checkpoint_files
mutant log_read_without_looking_again '/^recover_view/,/^}/ {
  s/while (left-- > 0/while (left-- > 100/
}' checkpoints

# What is given back.
mutant given_back_at_once '/^back_drop/,/^}/ {
  s/  return true;/  return os_punch (\&h->file, off_file (h, p), len) == 0;/
}' checkpoint_trim
mutant given_back_unsynced '/^point_is_alone/,/^}/ {
  s/ || l->punched//
}' checkpoint_trim
mutant given_back_not_alone '/^point_put/,/^}/ {
  s/uint64_t first = alone/uint64_t first = (alone \&\& !l->punched)/
}' checkpoint_trim
mutant given_back_without_the_pending '/^point_capture/,/^}/ {
  s/point_is_alone (l)/l->alone/
}' power
mutant given_back_unsaid '/^point_append/,/^}/ {
  s/r->holes = .*/r->holes = 0;/
}' checkpoint_trim
mutant given_back_unread '/^recover_log/,/^}/ {
  s/l->punched = end.holes/l->punched = false/
}' checkpoint_trim
mutant given_back_as_it_is_now '/^home_give_chunk/,/^}/ {
  s/ & word_peek (&then\[w\])/ | (word_peek (\&then[w]) \& 0)/
}' checkpoint_trim
mutant given_back_as_it_was '/^home_give_chunk/,/^}/ {
  s/word_peek (&now\[w\]) & //
}' checkpoint_trim
mutant given_back_beside_readers '/^home_follow/,/^}/ {
  /home_drop (h, r)/,$ s/if (home && /if (/
}' checkpoint_trim
mutant given_back_and_forgotten '/^home_give/,/^}/ {
  s/ && l->n_drops == c->n_drops//
}' checkpoint_trim
mutant given_back_never_again '/^trim_chunk/,/^}/ {
  s/backing == BY_LOG/backing == BY_COPY/
}' checkpoint_trim
mutant given_back_parts_alone '/^home_bare_slices/,/^}/ {
  s/if (huge ?/if (huge ? false \&\&/
}' checkpoint_trim
mutant given_back_no_parts '/^home_bare_holes/,/^}/ {
  s/map_put (bare/if (c == SIZE_MAX) &/
}' checkpoint_trim

mutant settled_unsynced '/^settle_run/,/^}/ {
  s/return os_sync_file (&h->file)/return h->log->broken/
}' power
mutant record_unsynced '/^area_open/,/^}/ {
  s/O_RDWR | O_DSYNC/O_RDWR/
}' power
mutant new_log_unsynced '/^area_fill/,/^}/ {
  s/return err != 0 ? err : area_sync (h)/return err/
}' power
mutant pages_past_the_log_unsynced '/^point_put/,/^}/ {
  s/alone || l->unsynced/alone/
}' power
mutant half_free_unsaid '/^point_free_other/,/^}/ {
  s/settle_is_due (l) ? point_say (h, next) : 0/0/
}' checkpoint_settling
mutant half_free_unsettled '/^point_free_other/,/^}/ {
  /settle_end (l, true)/d
}' checkpoint_settling
mutant settled_for_another_half '/^point_put/,/^}/ {
  /l->settled = false/d
}' checkpoint_settling
mutant settled_for_another_log '/^point_move/,/^}/ {
  /settle_end (l, true)/d
}' checkpoint_settling
mutant said_with_a_number_twice '/^point_put/,/^}/ {
  /point_number (h, r, c)/d
}' checkpoint_settling
mutant said_what_came_since '/^point_say/,/^}/ {
  s/= super_look (h, c.data, MM_GRANULE,/= 0 * (int) (intptr_t) memcpy (c.data, (char *) h->root, MM_GRANULE) + 0 * (/
}' checkpoint_settling
mutant no_page_kept '/^point_has_room/,/^}/ {
  s/ + bytes + MM_PAGE/ + bytes/
}' checkpoint_settling
mutant settler_left_behind '/^recover_end/,/^}/ {
  /settle_end (l, true)/d
}' checkpoint_settling
mutant settler_failed_in_silence '/^settle_end/,/^}/ {
  s/if (err != 0)/if (false)/
}' checkpoint_settling
mutant never_settled_by_a_call '/^settle_begin/,/^}/ {
  s/h->log->settled = area_sync (h) == 0/(void) 0/
}' checkpoint_settling
mutant half_begun_again_counts_the_other '/^point_put/,/^}/ {
  /l->alone = true/d
}' checkpoint_settling
mutant signals_for_the_thread '/^helper_start/,/^}/ {
  s/sigfillset (&all)/sigemptyset (\&all)/
}' checkpoint_settling
mutant rollback_lets_caches_go '/^undo_rollback/,/^}/ {
  s/ (struct cache \*k = h->caches; k != NULL; k = k->heap_next)/ (struct cache *k; (k = h->caches) != NULL; cache_release (k))/
}' checkpoint_gate
mutant caches_know_what_is_undone '/^undo_rollback/,/^}/ {
  s/cache_forget (k)/(void) 0/
}' checkpoint_gate checkpoints
mutant gate_without_barrier '/^gate_close/,/^}/ {
  s/wait_barrier (false)/0/
}' checkpoint_gate
mutant gate_waits_for_nobody '/^gate_is_busy/,/^}/ {
  s/word_see (&k->inside) == 0/true/
}' checkpoint_gate
mutant gate_stays_closed_after_failure '/^gate_close/,/^}/ {
  /^  gate_open (h);/d
}' checkpoint_gate
mutant gate_opens_to_drop '/^point_begin/,/^}/ {
  s/if (!\*kept)/if (true)/
}' checkpoint_gate
mutant drops_beside_those_inside '/^point_begin/,/^}/ {
  s/\*kept = unused \&\&/*kept = true \&\&/
}' checkpoint_gate
mutant checkpoint_waits_for_itself '/^gate_lock/,/^}/ {
  s/own != NULL && word_peek/false \&\& word_peek/
}' checkpoint_gate
mutant started_is_not_waited_for '/^commit_lock/,/^}/ {
  /point_end (l)/d
}' checkpoint_gate
mutant started_is_left_behind '/^point_take/,/^}/ {
  /point_end (h->log)/d
}' checkpoint_gate
mutant started_has_what_came_later '/^point_start/,/^}/ {
  s/helper_start (&l->committer, point_run, h) == 0/true/
}' checkpoint_gate
mutant ticket_of_a_failure_is_durable '/^point_end/,/^}/ {
  s/if (l->failed == 0)//
}' checkpoint_gate

# What is read of a log is not what the disk has.
mutant new_pages_of_the_killed_unsynced '/^point_put/,/^}/ {
  s/ || (grows && l->inherited)/ || (grows \&\& false)/
}' checkpoint_unsynced
mutant clean_pages_stay_clean '/^recover_log/,/^}/ {
  s/err = recover_again (h);/err = 0;/
}' checkpoint_unsynced
mutant chain_by_number '/^log_chain/,/^}/ {
  s/ && r->before != end->sum))/ \&\& false))/
}' checkpoint_unsynced
mutant halves_by_number '/^log_find/,/^}/ {
  s/&& end\[other\].sum == found->before//
}' checkpoint_unsynced
mutant failed_record_on_the_disk '/^tail_begin/,/^}/ {
  s/err = tail_next (h, end);/err = 0;/
}' checkpoint_unsynced
mutant failed_half_on_the_disk '/^tail_next/,/^}/ {
  s/if (err == 0 && !counts)/if (err == 0 \&\& false)/
}' checkpoint_unsynced
mutant failed_record_behind_the_last '/^tail_next/,/^}/ {
  s/if (end->at < .*/if (false)/
}' checkpoint_unsynced

# Records and places of logs that are forged; and what older versions wrote.
mutant record_of_any_page '/^log_may_have/,/^}/ {
  s/if (n >= h->super.capacity \/ MM_PAGE)/if (false)/
}' damage_golden
mutant record_of_superblocks '/^log_may_have/,/^}/ {
  s/(at == MM_OFF_LOCKS || at >= MM_OFF_ROOT)/true/
}' damage_golden
mutant record_of_the_log '/^log_may_have/,/^}/ {
  s/(at < h->super.log || at >= h->super.log + h->super.log_size)/true/
}' damage_golden
mutant record_of_no_kind '/^log_is_head/,/^}/ {
  s/r->magic == MM_RECORD_MAGIC/true/
}' damage_golden
mutant record_of_another_log '/^log_is_head/,/^}/ {
  s/r->epoch == h->super.log_epoch/true/
}' damage_golden
mutant record_of_another_heap '/^log_is_head/,/^}/ {
  s/memcmp (r->uuid, h->super.uuid, sizeof r->uuid) == 0/true/
}' damage_golden
mutant record_of_any_number '/^log_is_head/,/^}/ {
  s/(seq == 0 || r->seq == seq)/true/
}' damage_golden
mutant record_at_any_place '/^log_is_head/,/^}/ {
  s/ \&\& r->at == at$//
}' damage_golden
mutant record_without_first '/^log_is_head/,/^}/ {
  s/r->first != 0 \&\& //
}' damage_golden
mutant record_first_behind '/^log_is_head/,/^}/ {
  s/ \&\& r->first <= r->seq$//
}' damage_golden
mutant record_of_no_bytes '/^log_is_head/,/^}/ {
  s/r->bytes >= MM_PAGE \&\& //
}' damage_golden
mutant record_of_odd_bytes '/^log_is_head/,/^}/ {
  s/r->bytes % MM_PAGE == 0 \&\& //
}' damage_golden
mutant record_over_the_half '/^log_is_head/,/^}/ {
  s/ \&\& r->bytes <= room$//
}' damage_golden
mutant record_data_over_index '/^log_is_head/,/^}/ {
  s/r->data >= sizeof .*/true/
}' damage_golden
mutant record_data_behind '/^log_is_head/,/^}/ {
  s/r->data <= r->bytes - sizeof \*r/true/
}' damage_golden
mutant record_length_too_short '/^log_is_head/,/^}/ {
  s/r->length >= MM_OFF_RECORDS/true/
}' damage_golden
mutant record_length_too_long '/^log_is_head/,/^}/ {
  s/r->length <= h->super.capacity/true/
}' damage_golden
mutant record_direct_turned '/^log_is_head/,/^}/ {
  s/r->direct <= r->direct_end/true/
}' damage_golden
mutant record_direct_too_far '/^log_is_head/,/^}/ {
  s/r->direct_end <= r->length/true/
}' damage_golden
mutant record_kept_twice '/^log_is_head/,/^}/ {
  s/ \&\& r->kept <= 1//
}' damage_golden
mutant record_has_holes_twice '/^log_is_head/,/^}/ {
  s/ \&\& r->holes <= 1//
}' damage_golden
mutant record_lacks_data '/^log_is_whole/,/^}/ {
  s/return n <= .*/return n != 0 || true;/
}' damage_golden
mutant record_behind_the_length '/^log_lay_run/,/^}/ {
  s/if (page \* MM_PAGE >= h->log->length)/if (false)/
}' damage_golden
mutant record_of_another_length '/^recover_begin/,/^}/ {
  s/|| h->log->length == \*length)/|| true)/
}' damage_golden
mutant half_that_counts_lost '/^log_find/,/^}/ {
  s/0 : EBADMSG/0 : 0/
}' damage_golden
mutant log_at_odd_place '/^super_log_fits/,/^}/ {
  s/s->log % MM_PAGE != 0 || //
}' damage_foreign
mutant log_of_odd_size '/^super_log_fits/,/^}/ {
  s/ || s->log_size % (2 \* MM_PAGE) != 0$//
}' damage_foreign
mutant log_too_small '/^super_log_fits/,/^}/ {
  s/|| s->log_size < MM_LOG_LEAST//
}' damage_foreign
mutant log_too_far '/^super_log_fits/,/^}/ {
  s/s->log < UINT64_C (1) << 50/true/
}' damage_foreign
mutant records_have_another_sum '/^log_sum/,/^}/ {
  s/lane\[j\] = (x << 29 | x >> 35)/lane[j] = (x << 31 | x >> 33)/
}' golden_files
mutant checkpoint_in_the_log_not_found '/^recover_log/,/^}/ {
  s/^  if (err == 0 && end.last != 0)$/  if (err == 0 \&\& false)/
}' golden_files

# ---- Mutants that are none ---------------------------------------------------

# What could be changed, as far as reading the code tells, without a promise
# being broken; no mutant of these was run.
#   root_read without (turn & 1): while the number is odd the value is 0; if it
#   is not 0 any more, the number has changed, which the last line sees.
#   bin_adopt without the head read again: nobody else changes it, as there is
#   no owner and the heap lock is held.
#   realloc and slot_put without their second look at the head: a page with a
#   live block of the caller cannot leave its stream meanwhile.
#   log_is_head with a number of 0, which its first one is not above, or with more
#   changes than there is room for: the copy of its head at its end is no change.
#   Hints, which cost memory or time when they are lost: page_relist that does
#   nothing, page_wake that passes over a page that is HELD again, and queue
#   entries that a sweep keeps (until the next sweep); large_extend_locked that
#   gives up one slice early; huge_resize that punches nothing when a block gets
#   shorter (until a trim).

if $only_apply; then
  echo "$applied mutants apply and compile, $broken do not"
else
  echo "$caught mutants caught, $missed not caught, $broken broken"
fi
[ $missed -eq 0 ] && [ $broken -eq 0 ]
