#!/usr/bin/env bash
# Counts what an operation costs, in figures that do not depend on what else the machine does: instructions, locked
# instructions, system calls, page faults. Compares them with the recorded ceilings, and fails where one is exceeded.
#
# usage: bench/counts.sh [--quick] [--record] [--ceilings FILE] [--ours NAME=FILE]
#
#   --quick           by stepping only; without it, also by callgrind and strace, which see the whole program
#   --record          writes the ceilings instead, of all counts: the counts and a little slack
#   --ceilings FILE   perf/ceilings.txt
#   --ours NAME=FILE  the malloc library to count (hostmem=build/linux/libhostmem-malloc.so)
set -u
cd "${0%/*}/.." || exit 1

usage() {
    echo "counts.sh: $1 (bench/counts.sh --help)" >&2
    exit 2
}

quick='' record='' ceilings=perf/ceilings.txt ours=hostmem library=build/linux/libhostmem-malloc.so
while [ $# -gt 0 ]; do
    case $1 in
    --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 0 ;;
    --quick) quick=yes ;;
    --record) record=yes ;;
    --ceilings) [ $# -ge 2 ] || usage "--ceilings needs a value"; ceilings=$2; shift ;;
    --ours) [[ ${2-} == ?*=?* ]] || usage "--ours needs NAME=FILE"; ours=${2%%=*} library=${2#*=}; shift ;;
    *) usage "unknown argument '$1'" ;;
    esac
    shift
done
program=build/linux/hostmem-bench
[ -x $program ] && [ -e "$library" ] || { echo "counts.sh: $program or $library is not built: make bench-counts" >&2; exit 1; }
[ -z "$quick" ] || [ -z "$record" ] || usage "--record is of all counts, --quick counts a few"
[ -n "$record" ] || [ -r "$ceilings" ] || usage "--ceilings: '$ceilings' cannot be read"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runs=$work log=$work/log
declare -A file_of=([none]="" [$ours]=./$(realpath --relative-to=. "$library"))
warn() { echo "counts.sh: $*" >&2; }
. bench/parts/counts.sh

served=$(LD_PRELOAD="${file_of[$ours]}" $program --library 2>>"$log")
[ "$served" = "${file_of[$ours]}" ] || { warn "'${file_of[$ours]}' does not serve malloc, but ${served:-nothing}"; exit 1; }
for tool in valgrind strace; do
    [ -n "$quick" ] || command -v $tool >/dev/null || warn "there is no $tool: what it counts is missing"
done

# field FILE FIGURE
field() {
    sed -n "s/^ *\"$2\": \\(-\\{0,1\\}[0-9.e+-]*\\),\\{0,1\\}\$/\\1/p" "$1" 2>/dev/null | head -n 1
}

# per_turn FEW MANY TURNS: from the totals of so many turns and of three times as many; nothing where one is missing.
per_turn() {
    [ -z "$1" ] || [ -z "$2" ] || awk "BEGIN { printf \"%.4f\", ($2 - $1) / 2 / $3 }"
}

# What is counted: whose malloc, the benchmark, and turns to step (0: too many instructions for that; the quick set's have a
# plus sign), to strace and callgrind, and to take faults of.
plan="$ours malloc/pair/libc/16 40 20000 100000
$ours malloc/pair/libc/64 +40 20000 100000
$ours malloc/pair/libc/1024 40 20000 100000
$ours malloc/pair/libc/4096 +40 20000 100000
$ours malloc/pair/libc/65536 40 20000 100000
$ours malloc/random/libc/64 0 100 200
none object/pair/engine/64 +40 20000 100000
none object/pair/engine-flat/64 +40 20000 100000
none object/burst/engine/64 0 100 200
none vm/reserve/engine/65536 +10 5000 20000
none vm/untouched/engine/65536 +4 2000 20000
none vm/touched/engine/65536 4 1000 10000
none vm/touched/engine/1048576 0 100 1000
none vm/commit-committed/engine/65536 10 10000 20000
none vm/query/engine +10 10000 20000"

counted=$work/counted
while read -r peer name step turns many; do
    [ ! -t 2 ] || printf '\r\033[K%s' "$name" >&2
    [ -z "$quick" ] || [[ $step == +* ]] || continue
    file=$runs/linux.$peer.step-${name//\//-}.1.json
    [ "$step" = 0 ] || count_step "$peer" "$name" "${step#+}"
    for figure in instructions locked stepped_system_calls; do
        [ "$step" = 0 ] || echo "$name $figure $(field "$file" $figure)"
    done
    LD_PRELOAD="${file_of[$peer]}" $program --faults "$name" "$many" >"$work/faults" 2>>"$log" ||
        warn "$name: no page faults counted"
    echo "$name faults $(field "$work/faults" faults)"
    [ -z "$quick" ] || continue
    few=$(callgrind_total "$peer" "$name" "$turns") much=$(callgrind_total "$peer" "$name" $((3 * turns)))
    echo "$name callgrind_instructions $(per_turn "$few" "$much" "$turns")"
    few=$(strace_total "$peer" "$name" "$turns") much=$(strace_total "$peer" "$name" $((3 * turns)))
    echo "$name traced_system_calls $(per_turn "$few" "$much" "$turns")"
done <<<"$plan" >"$counted"
[ ! -t 2 ] || printf '\r\033[K' >&2

if [ -n "$record" ]; then
    missing=$(awk 'NF < 3 { print $2, "of", $1 }' "$counted")
    [ -z "$missing" ] || { warn "no ceilings were written; not counted: ${missing//$'\n'/, }"; exit 1; }
    {
        echo "# The most that an operation may cost, which bench/counts.sh checks: benchmark, figure, ceiling. Made by --record:"
        echo "# instructions with 3 % and 2 more, the rest with 0.02 more. A turn of random and burst is a thousand pairs."
        echo "# (What zeroing takes is the processor's affair: touched and untouched have no ceiling of instructions.)"
        awk 'NF == 3 && !($1 ~ /touched/ && $2 ~ /instructions/) {
            printf "%s %s %.2f\n", $1, $2, $3 + ($2 ~ /instructions/ ? $3 * 0.03 + 2 : 0.02)
        }' "$counted"
    } >"$ceilings" || exit 1
    echo "counts.sh: wrote $ceilings"
    exit 0
fi

# One line a count, and the sum. A ceiling whose count is missing has failed, too: a broken counter must not pass.
awk '
    NR == FNR { if ($0 !~ /^#/ && NF == 3) ceiling[$1 " " $2] = $3; next }
    {
        key = $1 " " $2
        if (!(key in ceiling)) verdict = "no ceiling"
        else if (NF < 3) verdict = "NOT COUNTED"
        else verdict = $3 <= ceiling[key] ? "within" : "ABOVE"
        if (verdict == "within") passed++
        else if (verdict != "no ceiling") failed++
        printf "%-36s %-24s %10s  ceiling %10s  %s\n", $1, $2, $3, ceiling[key], verdict
    }
    END {
        printf "%d passed, %d failed\n", passed, failed
        exit failed > 0 || passed == 0
    }' "$ceilings" "$counted"
