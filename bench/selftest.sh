#!/usr/bin/env bash
# Tests the benchmark suite: allocators that are wrong on purpose come out as such, figures of the wrong library are refused,
# bad input gets a clear message. Prints "N passed, N failed". Needs make bench-programs; takes half a minute.
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
    bash bench/run.sh --rounds 1 --only malloc --peer planted-null=build/linux/bench/planted-null.so \
        --peer planted-slow=build/linux/bench/planted-slow.so --ours planted-null --out "$work/out" \
        >"$work/null.txt" 2>"$work/run.log"
    $table --ours planted-slow "$work"/out/runs/*.json >"$work/slow.txt" 2>&1
}
planted
row() { # row FILE WORK: the verdict
    grep -F -- "$2" "$1" | head -n 1
}
check "the null library reaches its row" grep -q 'reached' <<<"$(row "$work/null.txt" 'pair, 4096 B')"
check "the slow library falls short in every cell" \
    [ "$(sed -n '/^malloc + free/,/^$/p' "$work/slow.txt" | grep -c 'falls short')" = 29 ]
check "the peers' libraries served their runs" exits 1 grep -q 'not used' "$work/run.log"

cp "$work/out/runs/linux.planted-slow.malloc.1.json" "$work/linux.jemalloc.malloc.1.json"
check "figures of another library than the name says" exits 1 $table "$work/linux.jemalloc.malloc.1.json"
check "... are refused by name" says "$work/said" "and not by jemalloc"
head -c 700 "$work/out/runs/linux.glibc.malloc.1.json" >"$work/linux.glibc.malloc.1.json"
check "a damaged file" exits 1 $table "$work/linux.glibc.malloc.1.json" "$work/out/runs/linux.glibc.malloc.1.json"
check "... is named" says "$work/said" "linux.glibc.malloc.1.json' holds no figures"
check "a file that is not there" exits 1 $table "$work/linux.none.vm.1.json"
check "... is named" says "$work/said" "cannot be read"
check "no files" exits 2 $table
check "the same runs judged against themselves" exits 0 $table --ours glibc "$work/out/runs/linux.glibc.malloc.1.json"
check "... are equal in every cell" [ "$(grep -c ' 1 x .*reached' "$work/said")" = 28 ]
check "a bad part" exits 2 bash bench/run.sh --only nonsense
check "... is named" says "$work/said" "'nonsense'"
check "a bad number of rounds" exits 2 bash bench/run.sh --rounds 0
exits 0 bash bench/run.sh --rounds 1 --only malloc --peer gone=/no/such.so --out "$work/gone"
check "a missing peer is named and the rest runs" says "$work/said" "no gone"
check "... and the table is there" says "$work/gone/table.txt" "pair, 64 B"

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
