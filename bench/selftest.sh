#!/usr/bin/env bash
# Tests the benchmark suite: allocators that are wrong on purpose come out as such, the same one twice comes out equal, figures
# of the wrong library are refused, bad input gets a clear message, and the rest still runs.
# Prints "N passed, N failed". Needs make libs tools bench-programs; takes a minute.
set -u
cd "${0%/*}/.." || exit 1

program=build/linux/hostmem-bench
table=build/linux/hostmem-bench-table
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
passed=0 failed=0

# check WHAT CONDITION...: the condition is a command.
check() {
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "failed: $what"
    fi
}

says() { # says FILE TEXT
    grep -qF -- "$2" "$1"
}

exits() { # exits STATUS COMMAND...: the output goes to $work/said
    local wanted=$1
    shift
    "$@" >"$work/said" 2>&1
    [ $? = "$wanted" ]
}

# ---- The harness --------------------------------------------------------------------------------------------------

# ns NAME: of a benchmark in self.csv, by Google Benchmark's own column.
ns() {
    awk -F, -v name="\"$1" 'index($1, name) == 1 { print $4; exit }' "$work/self.csv"
}
less() { # less A FACTOR B: A * FACTOR < B
    [ -n "$1" ] && [ -n "$3" ] && awk "BEGIN { exit !($1 * $2 < $3) }"
}
HOSTMEM_BENCH_SELF_TEST=1 $program --benchmark_filter='^self' --benchmark_min_time=0.05 --benchmark_format=csv \
    >"$work/self.csv" 2>"$work/self.log"
check "the null allocator is faster than the C library's" less "$(ns self/pair/null)" 1.5 "$(ns self/pair/same)"
check "the slow one is slower by more than a microsecond" less "$(ns self/pair/same)" 20 "$(ns self/pair/slow)"
check "a run that fails after the loop is an error" says "$work/self.csv" 'self/fail/late'
check "a heap whose blocks another serves is refused" says "$work/self.csv" 'did not serve its own block'
check "both failures are reported with their reason" [ "$(grep -c 'failed on purpose' "$work/self.csv")" = 2 ]
check "the planted ones are not in a usual run" exits 1 sh -c "$program --benchmark_list_tests | grep -q ^self"

check "an unknown benchmark" exits 2 $program --once no/such 1
check "... is named" says "$work/said" "no/such"
check "a bad number of turns" exits 2 $program --step malloc/pair/libc/64 many
check "... is named" says "$work/said" "'many'"
check "a filter that fits nothing" exits 1 $program --benchmark_filter=nothing-like-it
check "an unknown flag" exits 2 $program --benchmark_nonsense
check "... is named" says "$work/said" "nonsense"

# ---- The runs and the table ---------------------------------------------------------------------------------------

planted() { # planted NAME: the peers once, judged for this one
    BENCH_MIN_TIME=0.001 BENCH_REPETITIONS=7 bash bench/run.sh --rounds 1 --only malloc \
        --peer planted-null=build/linux/bench/planted-null.so \
        --peer planted-slow=build/linux/bench/planted-slow.so --ours planted-null --out "$work/out" \
        >"$work/null.txt" 2>"$work/run.log"
    $table --ours planted-slow "$work"/out/runs/*.json >"$work/slow.txt" 2>&1
}
planted
# Most of its rows: in some another program may have had the processor.
check "the null library reaches its rows" [ "$(grep -E '^pair, [0-9]+ B' "$work/null.txt" | grep -c 'reached')" -ge 4 ]
check "the slow library falls short in every cell" \
    [ "$(sed -n '/^malloc + free/,/^$/p' "$work/slow.txt" | grep -c 'falls short')" = 29 ]
check "the peers' libraries served their runs" exits 1 grep -q 'not used' "$work/run.log"

cp "$work/out/runs/linux.planted-slow.malloc.1.json" "$work/linux.jemalloc.malloc.1.json"
check "figures of another library than the name says" exits 1 $table "$work/linux.jemalloc.malloc.1.json"
check "... are refused by name" says "$work/said" "and not by jemalloc"
head -c 700 "$work/out/runs/linux.glibc.malloc.1.json" >"$work/linux.glibc.malloc.1.json"
check "a damaged file" exits 1 $table "$work/linux.glibc.malloc.1.json" "$work/out/runs/linux.glibc.malloc.1.json"
check "... is named" says "$work/said" "linux.glibc.malloc.1.json' is damaged"
check "a file that is not there" exits 1 $table "$work/linux.none.vm.1.json"
check "... is named" says "$work/said" "cannot be read"
check "no files" exits 2 $table
check "the same runs judged against themselves" exits 0 $table --ours glibc "$work/out/runs/linux.glibc.malloc.1.json"
check "... are equal in every cell" [ "$(grep -c ' 1 x .*reached' "$work/said")" = 28 ]
check "a bad part" exits 2 bash bench/run.sh --only nonsense
check "... is named" says "$work/said" "'nonsense'"
check "a bad number of rounds" exits 2 bash bench/run.sh --rounds 0
for name in a.b a/b 'a b' "$(printf 'a%.0s' {1..32})"; do
    check "a peer called '$name'" exits 2 bash bench/run.sh --only malloc --peer "$name=/no/such.so"
    check "... is named" says "$work/said" "'$name'"
done
check "an unknown library to judge" exits 2 bash bench/run.sh --only malloc --ours nobody --out "$work/nobody"
check "... is named" says "$work/said" "'nobody'"
check "two traces of one name" exits 2 bash bench/run.sh --only traces --trace one/trace.txt --trace two/trace.new.txt
check "... are named" says "$work/said" "'two/trace.new.txt'"
BENCH_MIN_TIME=0.001 exits 0 bash bench/run.sh --rounds 1 --only malloc --peer gone=/no/such.so \
    --peer other=build/linux/bench/planted-base.so --out "$work/gone"
check "a missing peer is named and the rest runs" says "$work/said" "no gone"
check "... also a peer whose file has another name" says "$work/gone/record.json" '"peer": "other"'
check "... and the table is there" says "$work/gone/table.txt" "pair, 64 B"

check "no quiet success where there is nothing to run" exits 1 bash bench/report/make.sh --out "$work/r.html" "$work/none.json"

# ---- The peers ----------------------------------------------------------------------------------------------------

for pair in mimalloc:libmimalloc.so.2 jemalloc:libjemalloc.so.2 tcmalloc:libtcmalloc_minimal.so.4; do
    library=$(ldconfig -p | awk -v name="${pair#*:}" '$1 == name && /x86-64/ { print $NF; exit }')
    [ -n "$library" ] || { echo "not installed, left out: ${pair%:*}"; continue; }
    exits 0 env LD_PRELOAD="$library" $program --library
    check "${pair%:*} serves its own cells" says "$work/said" "${pair%:*}"
done
exits 0 env LD_PRELOAD="$PWD/build/linux/libhostmem-malloc.so" $program --library
check "hostmem serves its own cells" says "$work/said" libhostmem-malloc
exits 0 $program --library
check "glibc serves the plain ones" says "$work/said" /libc.so

# ---- Comparing ----------------------------------------------------------------------------------------------------

# Three libraries in turn: the same twice, and one that does a tenth more. Short repetitions, and up to six times as many
# rounds where the machine is so busy that a tenth cannot be told yet.
planted_round() {
    local peer
    for peer in base again tenth; do
        LD_PRELOAD=$PWD/build/linux/bench/planted-$peer.so timeout 60 $program --benchmark_filter='^malloc/pair/libc/64/' \
            --benchmark_min_time=0.001 --benchmark_repetitions=25 --benchmark_out_format=json \
            --benchmark_out="$work/linux.planted-$peer.malloc.$1.json" >/dev/null 2>&1
    done
}
for round in {1..198}; do
    planted_round "$round"
    [ $((round % 33)) = 0 ] || continue
    record_said=$($table --record "$work/record.json" "$work"/linux.planted-*.json 2>&1 && echo good)
    bash perf/compare.sh "$work/record.json@planted-base" "$work/record.json@planted-tenth" >/dev/null || break
done
check "runs make a record: $record_said" [ "$record_said" = good ]
check "... which reads back as the runs do" exits 0 cmp <($table --json "$work/record.json" 2>&1) \
    <($table --json "$work"/linux.planted-*.json 2>&1)
check "the same library against itself did not change" exits 0 \
    bash perf/compare.sh "$work/record.json@planted-base" "$work/record.json@planted-again"
check "... and says so" says "$work/said" " 0 changed beyond noise"
check "a planted tenth is flagged" exits 1 \
    bash perf/compare.sh "$work/record.json@planted-base" "$work/record.json@planted-tenth"
check "... as worse, by about a tenth" grep -qE '^worse +\+([6-9]|1[0-5])\.' "$work/said"
check "a gain is no failure" exits 0 bash perf/compare.sh "$work/record.json@planted-tenth" "$work/record.json@planted-base"
check "... and is shown" grep -q '^better' "$work/said"
check "an unknown peer of a record" exits 2 bash perf/compare.sh "$work/record.json@nobody" "$work/record.json"
check "... is named" says "$work/said" "'nobody'"
check "one record is too few" exits 2 bash perf/compare.sh "$work/record.json"
head -c 900 "$work/record.json" >"$work/half.json"
check "a damaged record" exits 2 bash perf/compare.sh "$work/half.json" "$work/record.json"
check "... is named" says "$work/said" "half.json' is damaged"

# ---- Counts -------------------------------------------------------------------------------------------------------

sed 's/^\(malloc.pair.libc.64 instructions\) .*/\1 30/' perf/ceilings.txt >"$work/low.txt"
check "counts above a ceiling" exits 1 bash bench/counts.sh --quick --ceilings "$work/low.txt"
check "... are shown" grep -q '^malloc/pair/libc/64 .*ABOVE' "$work/said"
check "... and no others" [ "$(grep -c ABOVE "$work/said")" = 1 ]
check "a library that does not serve malloc" exits 1 bash bench/counts.sh --quick --ours hostmem=/etc/passwd
check "... is named" says "$work/said" "/etc/passwd"
check "not all counts as ceilings" exits 2 bash bench/counts.sh --quick --record --ceilings "$work/quick.txt"
check "... would leave some out" [ ! -e "$work/quick.txt" ]
# Where a counter is missing: all programs but two.
mkdir "$work/bin"
find -L /usr/local/bin /usr/bin -maxdepth 1 -type f ! -name valgrind ! -name strace -exec ln -sf -t "$work/bin" {} + 2>/dev/null
check "a counter that is not there" exits 1 env PATH="$work/bin" bash bench/counts.sh
check "... is a count that is missing" grep -q '^malloc/pair/libc/64 *callgrind_instructions .*NOT COUNTED' "$work/said"
check "... and no ceilings are recorded" exits 1 env PATH="$work/bin" bash bench/counts.sh --record --ceilings "$work/few.txt"
check "... with any left out" [ ! -e "$work/few.txt" ]
check "ceilings that cannot be read" exits 2 bash bench/counts.sh --quick --ceilings /no/such/file

# ---- The report ---------------------------------------------------------------------------------------------------

check "a report" exits 0 bash bench/report/make.sh --ours planted-null --out "$work/report.html" "$work/out/record.json"
check "... asks nothing of a network" exits 1 grep -qE '(src|href)="?(https?:)?//|@import|url\(|fetch\(' "$work/report.html"
check "... holds its data" exits 1 grep -qE '^@[A-Z]+@$|@(RECORD|TABLE|PICTURES)@' "$work/report.html"
check "... and its figures" says "$work/report.html" '"benchmark": "malloc/pair/libc/64"'

# ---- A disk that is full, a trace that is damaged ---------------------------------------------------------------------

check "a record that cannot be written" exits 1 $table --record /dev/full "$work"/linux.planted-base.malloc.1.json
check "... is named" says "$work/said" "'/dev/full' cannot be written"
full_disk() {
    mkdir -p "$work/full"
    unshare -rm sh -c 'mount -t tmpfs -o size=96k none "$1" && BENCH_MIN_TIME=0.001 timeout 120 bash bench/run.sh \
        --rounds 1 --only objects,traces --out "$1"' full "$work/full"
}
if unshare -rm true 2>/dev/null; then
    check "a run on a full disk fails" exits 1 full_disk
    check "... says what is not complete" says "$work/said" "is not complete"
    check "... and prints the table all the same" says "$work/said" "rows reached"
else
    echo "no mount namespaces here: the full disk is left out"
fi
head -n 100 perf/traces/dart-sass.txt >"$work/broken.txt"
echo "1 2 three" >>"$work/broken.txt"
BENCH_MIN_TIME=0.001 bash bench/run.sh --rounds 1 --only traces --trace "$work/broken.txt" --trace perf/traces/dart-sass.txt \
    --trace "$work/none.txt" --out "$work/traces" >"$work/said" 2>&1
check "a run with a damaged trace and a missing one names the one" grep -q 'broken.txt on engine memory.*failed' "$work/said"
check "... and the other" grep -q 'none.txt on engine memory.*failed' "$work/said"
check "... and runs the rest" grep -qE '^dart-sass: in all calls .*(better|even|worse)' "$work/said"
check "a damaged trace" exits 2 build/linux/hostmem-replay "$work/broken.txt"
check "... is named with its line" says "$work/said" "broken.txt': line 101"

# ---- Windows ------------------------------------------------------------------------------------------------------

windows=build/windows/hostmem-bench.exe
if [ -e $windows ]; then
    x86_64-w64-mingw32-objdump -p $windows | sed -n 's/.*DLL Name: //p' | tr 'A-Z' 'a-z' | sort >"$work/dlls"
    check "the Windows program needs no DLL but the system's" \
        [ "$(grep -vcE '^(advapi32|kernel32|msvcrt|bcrypt|psapi|shlwapi|user32|ntdll)\.dll$' "$work/dlls")" = 0 ]
    HOSTMEM_BENCH_SELF_TEST=1 timeout 120 bash src/setup/wine.sh $windows --benchmark_min_time=0.001 --benchmark_format=csv \
        --benchmark_filter='^(self|object/pair/.*/64/|vm/query)' >"$work/windows.csv" 2>"$work/windows.log"
    for heap in engine engine-flat process-heap private-heap msvcrt mimalloc; do
        check "$heap serves its own cells" grep -qE "^\"object/pair/$heap/64/real_time/threads:1\",[0-9]" "$work/windows.csv"
    done
    check "a heap whose blocks another serves is refused there" says "$work/windows.csv" 'did not serve its own block'
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
