#!/usr/bin/env bash
# libhostmem-malloc.so under programs that know nothing of it: its own test programs, and those of the machine that are installed,
# each run with and without it and compared. About a minute.
#
# usage: preload.sh [BUILD-FOLDER [LIBRARY]]    (build/linux, and libhostmem-malloc.so in it)
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh
export LC_ALL=C

build=${1:-build/linux}
library=$(realpath -m "${2:-$build/libhostmem-malloc.so}")
redis=

at_end() { [ -z "$redis" ] || kill "$redis" 2>/dev/null; }

have() {
    command -v "$1" >/dev/null && return
    echo "not installed, left out: $1"
    return 1
}

with_library() { LD_PRELOAD=$library timeout -k 5 "$@"; }

# same NAME SECONDS COMMAND...: the same output and status with the library as without it, and the status is 0.
same() {
    local name=$1 seconds=$2 status=0
    shift 2
    timeout -k 5 "$seconds" "$@" >"$work/plain" 2>&1 </dev/null || status=$?
    verdict "$name, without the library" $status "$work/plain"
    status=0
    with_library "$seconds" "$@" >"$work/loaded" 2>&1 </dev/null || status=$?
    verdict "$name" $status "$work/loaded"
    status=0
    diff "$work/plain" "$work/loaded" >"$work/diff" || status=1
    verdict "$name, compared" $status "$work/diff"
}

# own NAME COMMAND...: a test program of the project's, which counts for itself.
own() {
    local name=$1 status=0 closing
    shift
    with_library 60 "$@" >"$work/own" 2>&1 </dev/null || status=$?
    closing=$(tail -n 1 "$work/own")
    if [[ $closing =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]] && [ "${BASH_REMATCH[1]}" != 0 ]; then
        passed=$((passed + BASH_REMATCH[1])) failed=$((failed + BASH_REMATCH[2]))
        [ "${BASH_REMATCH[2]}" = 0 ] || sed 's/^/    | /' "$work/own"
        [ $status = 0 ] || [ "${BASH_REMATCH[2]}" != 0 ] || verdict "$name" $status "$work/own"
    else
        verdict "$name" "${status/#0/no closing line}" "$work/own"
    fi
}

# ---- The project's own --------------------------------------------------------------------------------------------

built "$library"
LD_PRELOAD=$library cat /proc/self/maps >"$work/maps" 2>&1
grep -q "${library##*/}" "$work/maps"
verdict 'the library is loaded' $? "$work/maps"

for source in tests/preload/*.c; do
    program=${source##*/}
    program=${program%.c}
    HOSTMEM_TEST_SECONDS=${HOSTMEM_TEST_SECONDS:-3} own "preload/$program" "$build/tests/preload/$program"
done
own 'preload/standard --refused' sh -c 'ulimit -v 1000000 && exec "$1" --refused' sh "$build/tests/preload/standard"
# Of threads that are made by clone valgrind knows only some.
have valgrind && own 'preload/hold under valgrind' valgrind -q --tool=none "$build/tests/preload/hold"

# ---- Programs -----------------------------------------------------------------------------------------------------

python=/usr/bin/python3.11
cat >"$work/program.py" <<'END'
import ctypes, hashlib, json, os, re, subprocess, sys, threading, zlib
words = [hashlib.sha1(str(i).encode()).hexdigest() for i in range(60000)]
index = {}
for w in words: index.setdefault(w[:3], []).append(w)
assert json.loads(json.dumps(index)) == index
print(len(index), zlib.crc32(zlib.compress(''.join(words).encode())), len(re.findall('a+b', ' '.join(words))))
sums = [0] * 8
def work(n):
    for i in range(20000): sums[n] += len([n, str(i), bytearray(i % 900)])
threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for t in threads: t.start()
for t in threads: t.join()
big = bytearray()
for i in range(3000): big += bytes(5000)
print(sums, len(big), subprocess.run([sys.executable, '-c', 'print(len(str(10**5000)))'], capture_output=True).stdout)
pid = os.fork()
if pid == 0: os._exit(len([bytes(n) for n in range(2000)]) % 256)
print(os.waitpid(pid, 0)[1])
try: bytearray(1 << 62)
except MemoryError: print('refused')
END
if have $python; then
    # Every object from malloc, not from Python's own pools.
    PYTHONMALLOC=malloc same 'python3' 30 $python "$work/program.py"
    if $python -c 'import test.test_list' 2>"$work/none"; then
        tests='test_list test_dict test_json test_re test_struct test_set test_memoryview test_thread test_ctypes test_fork1
            test_sys test_mmap test_pickle test_zlib test_exceptions'
        # One line for each test, without its time.
        PYTHONMALLOC=malloc same "python3's regression tests" 100 bash -c 'set -o pipefail
            "$@" 2>&1 | grep -oE "\btest_[a-z0-9]+ (passed|failed|skipped|timed|crashed)|Tests result: .*" | sort -u' \
            bash $python -m test -j2 --timeout 60 $tests
    else
        echo "not installed, left out: python3's regression tests"
    fi
fi

if have perl; then
    same 'perl' 30 perl -e 'my %h; $h{$_ % 5000} .= $_ x 5 for 1 .. 200000;
        my $s = join ",", map { length $h{$_} } sort keys %h;
        $s =~ s/(\d)(\d)/$2$1/g; print length $s, " ", unpack("%32C*", $s), "\n";
        for (1 .. 20) { fork or exit 0 } 1 while wait > 0;'
fi

if have node; then
    same 'node' 30 node -e 'const m = new Map(), z = require("zlib");
        for (let i = 0; i < 200000; i++) m.set("k" + i % 30000, Buffer.alloc(i % 700, i % 251));
        let s = 0; for (const b of m.values()) s = (s * 31 + b.length + (b[0] || 0)) % 1000003;
        z.gzip(Buffer.alloc(3000000, "hostmem"), (e, d) => { console.log(m.size, s, z.gunzipSync(d).length) })'
fi

if have sqlite3; then
    same 'sqlite3' 30 sqlite3 :memory: "create table t(a integer primary key, b text, c real);
        with recursive n(i) as (select 1 union all select i + 1 from n where i < 100000) insert into t
            select i, hex(i * 7919) || printf('%.*c', i % 200, 'x'), i / 7.0 from n;
        create index by_b on t(b); select count(*), sum(length(b)), round(sum(c), 3) from t;
        select b from t order by b desc limit 3;
        delete from t where a % 3 = 0; vacuum; select count(*), max(b) from t where b like '%A%'; pragma integrity_check;"
fi

cat >"$work/git.sh" <<'END'
set -e
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a
export GIT_AUTHOR_DATE='2020-01-01T00:00:00Z' GIT_COMMITTER_DATE='2020-01-01T00:00:00Z'
rm -rf "$1" && git init -q -b main "$1" && cd "$1"
for n in 1 2 3; do
    for i in $(seq 150); do seq $i $((i * 3 + n)) >file$i; done
    git add . && git commit -q -m "commit $n"
done
git gc -q && git fsck --strict 2>&1 && git log --stat | cksum && git rev-parse HEAD
git clone -q . ../copy-of-it && git -C ../copy-of-it status --short && rm -rf ../copy-of-it
git diff HEAD~2 | cksum && git blame file9 | cksum && git grep -c 77 | cksum && git status
END
have git && same 'git' 30 sh "$work/git.sh" "$work/repository"

if have gcc; then
    for i in $(seq 0 499); do
        echo "int f$i(int a, int b) { int s = 0; for (int i = 0; i < a; i++) { s += (i * $((i + 3))) ^ b;"
        echo "if (s % $((i % 17 + 2)) == 0) s -= b * $i; switch (s & 7) { case 0: s++; break; case 3: s ^= $i; break;"
        echo "default: s += a; } } return s; }"
    done >"$work/large.c"
    same 'gcc' 60 sh -c "gcc -O2 -g -c -o '$work/large.o' '$work/large.c' && cksum <'$work/large.o'"
fi

# With little address space, in which no region can be had: small programs run as they do without the library.
for limit in 200000 100000 60000; do
    same "programs within $limit KiB" 30 sh -c 'ulimit -v "$1" || exit; cat "$2" | cksum; ls / | cksum; sort "$2" | cksum
        if command -v perl; then perl -e '"'"'my %h; $h{$_ % 500} .= $_ x 5 for 1 .. 20000; print length join "", %h'"'"'; fi
        if command -v git; then git --version; git hash-object "$2"; fi
        if command -v sqlite3; then sqlite3 :memory: "select count(*), hex(zeroblob(5000))"; fi
        if [ -x "$3" ]; then "$3" -c "import json; print(len(json.dumps([str(i) * 9 for i in range(9999)])))"; fi' \
        sh "$limit" "$0" /usr/bin/python3.11
done

# redis_ask SOCKET COMMAND...
redis_ask() {
    local socket=$1
    shift
    timeout 20 redis-cli -s "$socket" --no-raw "$@" 2>&1
}

# redis_run NAME LIBRARY: redis-server under redis-benchmark; its answers to what depends on no clock go to $work/redis-NAME.
# redis-server is another name of redis-check-rdb, which looks at how it is called: so no service need be installed.
redis_run() {
    local socket=$work/redis.sock answers=$work/redis-$1 i
    rm -rf "$work/redis" "$socket"
    mkdir -p "$work/redis"
    ln -sf "$(command -v redis-check-rdb)" "$work/redis-server"
    LD_PRELOAD=$2 "$work/redis-server" --port 0 --unixsocket "$socket" --dir "$work/redis" --save '' --enable-debug-command yes \
        >"$work/redis.log" 2>&1 &
    redis=$!
    for i in $(seq 50); do
        [ ! -S "$socket" ] || break
        sleep 0.1
    done
    LD_PRELOAD=$2 timeout -k 5 30 redis-benchmark -s "$socket" -q -n 30000 -r 5000 -d 200 -c 20 -P 8 \
        -t set,get,incr,lpush,rpop,sadd,hset,zadd,lrange_100,mset >"$work/redis.out" 2>&1
    verdict "redis-benchmark, $1" $? "$work/redis.out"
    redis_ask "$socket" flushall >"$answers"
    redis_ask "$socket" debug populate 30000 key 300 >>"$answers"
    for i in $(seq 20); do
        redis_ask "$socket" rpush list$((i % 3)) $(seq $((i * 40)))
        redis_ask "$socket" zadd sorted $(seq $((i * 20)))
        redis_ask "$socket" append text "$(printf "%0$((i * 500))d" $i)"
    done >>"$answers"
    redis_ask "$socket" bgsave >>"$work/redis.out" # a child by fork, of a process with threads
    redis_ask "$socket" debug digest >>"$answers"
    for i in $(seq 50); do
        redis_ask "$socket" info persistence | grep -q 'rdb_bgsave_in_progress:0' && break
        sleep 0.1
    done
    redis_ask "$socket" debug reload >>"$answers"
    redis_ask "$socket" debug digest >>"$answers"
    redis_ask "$socket" dbsize >>"$answers"
    grep -q 'integer) 30005' "$answers"
    verdict "redis-server, $1, answers" $? "$answers"
    redis_ask "$socket" shutdown nosave >>"$work/redis.out"
    wait $redis
    verdict "redis-server, $1, ends well" $? "$work/redis.log"
    redis=
}

redis_both() {
    redis_run plain ''
    redis_run loaded "$library"
    diff "$work/redis-plain" "$work/redis-loaded" >"$work/diff"
    verdict 'redis-server, compared' $? "$work/diff"
}
have redis-check-rdb && have redis-benchmark && redis_both

if have stress-ng; then
    for options in '--malloc 2 --malloc-bytes 128M' '--malloc 1 --malloc-pthreads 4 --malloc-touch --malloc-bytes 64M'; do
        # What it says has times in it: the stressors that passed and failed are compared.
        same "stress-ng $options" 30 bash -c 'set -o pipefail
            "$@" 2>&1 | grep -oE "(passed|failed|skipped): [0-9]+(: .*)?|(un)?successful run" ' \
            bash stress-ng $options --verify -t 4 --temp-path "$work"
    done
fi

check_done
