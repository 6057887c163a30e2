#!/bin/sh
# A server with libmmalloc-preload.so, redis: the same commands leave the same
# data with it and without, also after a snapshot written by a fork child, and
# it stands a benchmark by many clients.
library=$PWD/.libs/libmmalloc-preload.so

skip () { echo "skipped: $*"; exit 77; }
[ -z "$SANITIZE_FLAGS" ] || skip "sanitizers bring a malloc of their own"
[ -z "$EMULATOR" ] || skip "built for another kind of machine"
[ -e "$library" ] || skip "the library to preload was not built"
grep -q 'libc\.so\.6\|libc\.musl-' "$library" ||
  skip "built for another C library than this machine's programs"
for program in redis-server redis-cli redis-benchmark; do
  command -v $program > /dev/null || skip "$program is not installed"
done

work=$(mktemp -d "${TMPDIR:-/tmp}/preload.XXXXXX") || exit 1
server=
trap 'test -z "$server" || kill -9 "$server"; rm -rf "$work"' EXIT
export LC_ALL=C
unset LD_PRELOAD
fail () { echo "fails: $*"; cat "$work"/*.log; exit 1; }

client () { redis-cli -s "$work/socket" "$@"; }

# start NAME COMMAND...: the server, which is asked until it answers.  Another
# program may have the port.
port=$((20000 + $$ % 20000))
start ()
{
  log=$work/$1.log data=$work/$1.data; shift
  mkdir "$data"
  for try in 1 2 3 4 5 6 7 8 9; do
    "$@" redis-server --bind 127.0.0.1 --port $port --dir "$data" \
      --unixsocket "$work/socket" --save '' --enable-debug-command yes \
      --io-threads 2 > "$log" 2>&1 &
    server=$!
    until client ping 2> /dev/null | grep -q PONG; do
      kill -0 "$server" 2> /dev/null || break
    done
    kill -0 "$server" 2> /dev/null && return
    port=$((port + try * 7))
  done
  fail "the server does not start"
}

stop ()
{
  client shutdown nosave
  wait "$server" || fail "the server ends with status $?"
  server=
}

commands ()
{
  awk 'BEGIN {
    for (i = 0; i < 8000; i++) {
      text = text i
      print "SET key" i * 37 % 1999, substr (text, i + 1, i % 800 + 1)
      print "RPUSH list" i % 17, i
      print "HSET hash" i % 23, "field" i % 301, "value" i * i
      print "ZADD set" i % 5, i * 7919 % 1000, "member" i % 700
      print "SADD words", "w" i % 400
      if (i % 3 == 0) print "DEL key" i * 11 % 1999
      if (i % 5 == 0) print "APPEND key" i % 100, "more" i
      if (i % 7 == 0) print "LPOP list" i % 17
    }
  }'
}

run ()
{
  commands | client --pipe | tail -n 1
  client debug digest
  client dbsize
  client bgsave > /dev/null
  until client info persistence | grep -q 'rdb_bgsave_in_progress:0'; do
    kill -0 "$server" || fail "the server is gone"
  done
  client info persistence | grep 'rdb_last_bgsave_status'
  client debug reload
  client debug digest
  client info persistence | grep 'loading:'
}

start without env
run > "$work/without.said"
stop
start with env LD_PRELOAD="$library"
grep -q "$library" "/proc/$server/maps" || fail "the library is not loaded"
run > "$work/with.said"
redis-benchmark -h 127.0.0.1 -p "$port" -q -n 3000 -c 20 -r 1000 \
  -t set,get,incr,lpush,rpop,sadd,hset,spop,zadd,lrange_100,mset \
  > "$work/benchmark" 2>&1 || fail "the benchmark ends with status $?"
tests=$(tr '\r' '\n' < "$work/benchmark" | grep -c 'requests per second')
[ "$tests" -ge 11 ] ||
  fail "the benchmark is incomplete: $(cat "$work/benchmark")"
client flushall
client memory purge > /dev/null
stop
cat "$work/without.said"
cmp "$work/without.said" "$work/with.said" ||
  fail "different: $(cat "$work/with.said")"
echo "100%: Checks: 2, Failures: 0, Errors: 0"
