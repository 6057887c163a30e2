#! /bin/sh
# The format of heap files is as mmalloc(5) says: a file made by an example of
# the manual is read with od alone, from the superblock down to a live block.

srcdir=${srcdir:-.}
program=$(pwd)/tests/man/mmalloc_setroot_3_1
dir=$(mktemp -d) || exit 99
trap 'rm -rf "$dir"' EXIT

(cd "$dir" && exec ${EMULATOR:+$EMULATOR} "$program") &
number=$!
wait $number || exit 1
file=$dir/list.heap

checks=0 failures=0
check () # a complaint, then the condition it is about
{
  complaint=$1
  shift
  checks=$((checks + 1))
  test "$@" || { echo "$complaint: $*"; failures=$((failures + 1)); }
}

word () # offset; a signed 64-bit number
{
  echo $(od -A n -t d8 -j "$1" -N 8 "$file")
}

half () # offset; an unsigned 32-bit number
{
  echo $(od -A n -t u4 -j "$1" -N 4 "$file")
}

up () # number, unit
{
  echo $((($1 + $2 - 1) / $2 * $2))
}

fnv () # bytes as numbers on standard input; a signed 64-bit number
{
  sum=-3750763034362895579
  for byte in $(cat); do
    sum=$(((sum ^ byte) * 1099511628211))
  done
  echo $sum
}

super () # offset of a copy; checks what is the same in all heaps
{
  check "magic" "$(od -A n -t x1 -N 8 -j "$1" "$file" | tr -d ' ')" \
    = 6d6d616c6c6f6301
  check "version" "$(half $(($1 + 8)))" -eq 2
  check "byte order" "$(half $(($1 + 12)))" -eq 16909060
  check "slice" "$(half $(($1 + 64)))" -eq 16384
  check "chunk" "$(half $(($1 + 68)))" -eq 33554432
  check "classes" "$(half $(($1 + 72)))" -eq 40
  check "shared streams" "$(half $(($1 + 84)))" -eq 1
  check "entries" "$(half $(($1 + 88)))" -eq 1024
  check "zero" "$(half $(($1 + 92)))" -eq 0
  check "features" "$(word $(($1 + 104)))" -eq 0
  check "sum" "$(word $(($1 + 16)))" -eq "$({
    od -A n -v -t u1 -j "$1" -N 16 "$file"
    echo 0 0 0 0 0 0 0 0
    od -A n -v -t u1 -j $(($1 + 24)) -N 128 "$file"
  } | fnv)"
}

# The superblock.
super 0
super 4096
copy=0
test "$(word 4120)" -gt "$(word 24)" && copy=4096
base=$(word $((copy + 48)))
capacity=$(word $((copy + 56)))
streams=$(half $((copy + 80)))
check "base" $((base % 4096)) -eq 0
check "capacity" $((capacity % 4096)) -eq 0
exclusive=$((capacity / 4194304))
check "streams" "$streams" -eq $((exclusive < 1022 ? exclusive + 1 : 1023))
check "inode" "$(word $((copy + 120)))" -eq "$(stat -c %i "$file")"

# Locks, entries, root page: closed, and nobody is there.
check "state" "$(half 8200)" -eq 3
check "claim" "$(word 8208)" -eq 0
check "mark" "$(word 8296)" -ne 0
check "entries that were used" "$(half 8304)" -eq 1
check "zero behind them" "$(half 8308)$(word 8312)" = 00
check "process number" "$(word 12304)" -eq "$number"
test ! -r /proc/self/stat || check "its start" "$(word 12312)" -gt 0
check "no newcomer in the entry" "$(word 12320)" -eq 0
test ! -r /proc/self/ns/pid || check "its PID namespace" \
  "$(word 12328)" -eq "$(stat -L -c %i /proc/self/ns/pid)"
check "no single writer" "$(($(word 12336) & 1))" -eq 0
type=0x$(stat -f -c %t "$dir")
check "type of its file system" "$(($(word 12336) >> 1))" -eq "$((type))"
check "when it came" "$(($(date +%s) - $(word 12344) < 3600))" -eq 1
check "entry" "$(word 12288)" -eq 0
length=$(word 24576)
check "length" "$length" -le "$(stat -c %s "$file")"
check "used" "$(word 24584)" -ne 0
check "guards" "$(word 24592)" -eq 0
check "operation records" "$(word 8256)$(word 8448)" = 00
check "key" "$(word 24640)" -eq 0

# The named root, in its bucket.
hash=$(printf list | od -A n -t u1 | fnv)
hash=$((hash & 4294967295))
record=$(word $((28672 + hash % 512 * 8)))
check "record" "$record" -gt 0
check "end of the bucket" "$(word "$record")" -eq 0
check "hash" "$(half $((record + 24)))" -eq "$hash"
check "lengths" "$(od -A n -t u2 -j $((record + 28)) -N 4 "$file" \
  | awk '{ print ($1 >= $2) ":" $2 }')" = 1:4
check "name" "$(od -A n -c -j $((record + 32)) -N 4 "$file" | tr -d ' ')" \
  = list

# The block it leads to: chunk, slice, the record of the slice.
at=$(($(word $((record + 8))) - base))
grid=$(($(up "$base" 16384) - base))
chunk=$(((at - grid) / 33554432))
slice=$(((at - grid) % 33554432 / 16384))
start=$((grid + chunk * 33554432))
head=$(word $((start + 36864 + slice * 320)))
i=$(((at - grid) % 16384 / 16))
own=$(word $((start + 36864 + slice * 320 + 16 + i / 64 * 8)))
rem=$(word $((start + 36864 + slice * 320 + 200 + i / 64 * 8)))
check "kind of the head" $((head >> 16 & 15)) -eq 1
check "state of the page" $((head >> 20 & 3)) -le 1
check "class" $((head >> 24 & 255)) -eq 0
check "slices" $((head >> 32 & 65535)) -eq 1
check "live" $((((own ^ rem) >> i % 64) & 1)) -eq 1
check "contents" "$(half $((at + 8)))" -eq 1
check "disk blocks" $(($(word $((start + 32768 + 256 + slice / 64 * 8))) \
  >> slice % 64 & 1)) -eq 1

# The directory and the streams.
slices=$(((capacity - grid) / 16384))
slices=$((slices < 2048 ? slices : 2048))
chunks=$((((capacity - grid) + 33554431) / 33554432))
entries=$((grid + $(up $((36864 + slices * 320)) 4096)))
check "no entries behind the records" \
  "$(od -A n -v -t u1 -j "$entries" -N 53248 "$file" | tr -d ' 0\n')" = ""
directory=$((entries + 53248))
entry=$(word $((directory + chunk * 8)))
check "kind of the chunk" $((entry >> 16 & 15)) -eq 1
check "records" $((entry & 65535)) -gt "$slice"
stream=$((directory + $(up $((chunks * 8)) 4096)))
first=$(up $((stream + streams * 1024 - grid)) 16384)
check "first slice" "$slice" -ge $((first / 16384))
check "slice before it" \
  $(($(word $((grid + 36864 + (first / 16384 - 1) * 320))) >> 16 & 15)) -eq 0
owner=$((head & 65535))
check "stream" "$owner" -ge 1
check "owner" "$(word $((stream + (owner - 1) * 1024)))" -eq 0

# The table of size classes is that of the library.
sed -n 's/CLASS (\([0-9]*\), \([0-9]*\))[,}]*/\1\/\2 /g
        s/^ *\(\([0-9]*\/[0-9]* *\)*\)$/\1/p' "$srcdir/mmalloc.c" \
  | tr -s ' ' '\n' | grep . | sort -n | uniq >"$dir/table"
tr ' ' '\n' <"$srcdir/doc/mmalloc.5" | grep '^[0-9]*/[0-9]*$' \
  | sort -n >"$dir/page"
check "classes in mmalloc.c" "$(wc -l <"$dir/table")" -eq 40
diff "$dir/table" "$dir/page"
check "different classes in mmalloc.5" $? -eq 0

echo "$((100 * (checks - failures) / checks))%: Checks: $checks," \
     "Failures: $failures, Errors: 0"
test $failures -eq 0
