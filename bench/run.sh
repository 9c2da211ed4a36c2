#!/usr/bin/env bash
# Runs the benchmarks, all peers in turn in each round, and prints the table of figures with its verdicts. Beside the table go
# every run, one record of all figures and a report to look at (report.html; its plots too where Chromium is) into --out.
#
# usage: bench/run.sh [--full] [--rounds N] [--only PARTS] [--peer NAME=FILE]... [--ours NAME] [--trace FILE]...
#        [--out DIR] [--json]
#
#   --full             everything, five minutes a round, instead of the rows that matter most, a minute a round
#   --rounds N         how often everything is run (3, with --full 9); the figures are medians over the rounds
#   --only PARTS       some of: vm objects windows malloc patterns memory traces clr counts, parted by commas (all)
#   --peer NAME=FILE   one more malloc library to preload; in NAME letters, digits, - and _
#   --ours NAME        whose malloc is judged against the others (hostmem: build/linux/libhostmem-malloc.so)
#   --trace FILE       replays this one instead of those of perf/traces (hostmem-record makes them)
#   --out DIR          where everything goes (perf/out/latest)
#   --json             prints the table as JSON
#
# BENCH_MIN_TIME: the seconds that a benchmark fills at least (0.03). BENCH_REPETITIONS: how often in a round, of which the
# least counts (1). The programs must be built (make bench does that). A peer or tool that is missing is named, and the rest
# still runs.
set -u
cd "${0%/*}/.." || exit 1
. src/setup/stop.sh

usage() {
    echo "run.sh: $1 (bench/run.sh --help)" >&2
    exit 2
}

# What the figures of a trace are called after.
trace_name() {
    local base=${1##*/}
    echo "${base%%.*}"
}

all_parts=vm,objects,windows,malloc,patterns,memory,traces,clr,counts
full='' rounds='' parts=$all_parts ours=hostmem out=perf/out/latest json=
min_time=${BENCH_MIN_TIME:-0.03} repetitions=${BENCH_REPETITIONS:-1}
peer_names=() peer_files=() own_traces=()
while [ $# -gt 0 ]; do
    case $1 in
    --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 0 ;;
    --json) json=--json; shift; continue ;;
    --full) full=yes; shift; continue ;;
    --rounds | --only | --peer | --ours | --trace | --out) [ $# -ge 2 ] || usage "$1 needs a value" ;;
    *) usage "unknown argument '$1'" ;;
    esac
    case $1 in
    --rounds) [[ $2 =~ ^[1-9][0-9]?$ ]] || usage "--rounds: '$2' is not a number from 1 to 99"; rounds=$2 ;;
    --only) parts=$2 ;;
    --peer)
        [[ $2 == ?*=?* ]] || usage "--peer: '$2' is not NAME=FILE"
        # It becomes a part of files' names, whose parts have dots between them.
        [[ ${2%%=*} =~ ^[A-Za-z0-9_-]{1,31}$ ]] || usage "--peer: '${2%%=*}' is no name of letters, digits, - and _, 31 at most"
        peer_names+=("${2%%=*}") peer_files+=("${2#*=}")
        ;;
    --ours) ours=$2 ;;
    --trace)
        for trace in "${own_traces[@]}"; do
            [ "$(trace_name "$trace")" != "$(trace_name "$2")" ] || usage "--trace: '$2' is called as '$trace' is, up to a dot"
        done
        own_traces+=("$2")
        ;;
    --out) out=$2 ;;
    esac
    shift 2
done
[ -n "$rounds" ] || rounds=$([ -n "$full" ] && echo 9 || echo 3)
for part in ${parts//,/ }; do
    case ",$all_parts," in *",$part,"*) ;; *) usage "--only: there is no part '$part'" ;; esac
done
case " glibc mimalloc jemalloc tcmalloc hostmem ${peer_names[*]} " in
*" $ours "*) ;;
*) usage "--ours: there is no malloc library '$ours'" ;;
esac
wants() {
    case ",$parts," in *",$1,"*) return 0 ;; esac
    return 1
}

program=build/linux/hostmem-bench
windows_program=build/windows/hostmem-bench.exe
for file in $program build/linux/hostmem-bench-table; do
    [ -x $file ] || { echo "run.sh: $file is not there: make bench-programs builds it" >&2; exit 1; }
done

# Two runs at once would measure each other.
mkdir -p build perf/out "$out" || exit 1
echo '*' >perf/out/.gitignore
exec 8>build/.bench.lock
flock -n 8 || { echo "run.sh: another benchmark run is under way" >&2; exit 1; }
runs=$out/runs
rm -rf "$runs"
mkdir -p "$runs" || exit 1
log=$out/log.txt
: >"$log" || exit 1

warn() {
    printf 'run.sh: %s\n' "$*" >&2
    printf 'run.sh: %s\n' "$*" >>"$log" 2>/dev/null
}

. bench/parts/peers.sh
. bench/parts/plan.sh
. bench/parts/counts.sh

for ((round = 1; round <= rounds; round++)); do
    plan_round "$round"
done
! wants counts || plan_counts

# ---- Running it ---------------------------------------------------------------------------------------------------

total=${#commands[@]}
[ "$total" -gt 0 ] || usage "nothing to run"

# What is left: as long as the same step took in an earlier round; a step that was never run, as long as the mean so far.
declare -A took=()
seconds_left() {
    local i left=0 mean=$(((SECONDS - start) * 1000 / ($1 > 0 ? $1 : 1)))
    for ((i = $1; i < total; i++)); do
        left=$((left + ${took[${says[i]#round *: }]:-$mean}))
    done
    echo $((left / 1000))
}

start=$SECONDS
progress() {
    local left=
    if [ "$1" -gt 3 ]; then
        left=$(seconds_left "$1")
        left=", about $((left / 60)):$(printf %02d $((left % 60))) left"
    fi
    if [ -t 2 ]; then
        printf '\r\033[K[%d/%d] %s%s' $(($1 + 1)) "$total" "${says[$1]}" "$left" >&2
    elif [ $(($1 % 25)) = 0 ]; then
        printf '[%d/%d] %s%s\n' $(($1 + 1)) "$total" "${says[$1]}" "$left" >&2
    fi
}
for ((i = 0; i < total; i++)); do
    progress "$i"
    printf '== %s\n' "${says[i]}" 2>/dev/null >>"$log"
    before=${EPOCHREALTIME/[.,]/}
    eval "${commands[i]}" &
    wait $!
    took[${says[i]#round *: }]=$(((${EPOCHREALTIME/[.,]/} - before) / 1000))
done
[ ! -t 2 ] || printf '\r\033[K' >&2

machine_file "$rounds" "${full:+full}" >"$runs/machine.json"
table=(build/linux/hostmem-bench-table --ours "$ours")
status=0
"${table[@]}" --record "$out/record.json" "$runs"/*.json || { status=1; warn "the record is not complete"; }
"${table[@]}" --json "$runs"/*.json 2>/dev/null >"$out/table.json" || { status=1; warn "$out/table.json is not complete"; }
"${table[@]}" "$runs"/*.json 2>/dev/null >"$out/table.txt" || { status=1; warn "$out/table.txt is not complete"; }
"${table[@]}" $json "$runs"/*.json 2>/dev/null
plots=()
! command -v chromium >/dev/null || plots=(--png "$out/plots")
bash bench/report/make.sh --ours "$ours" "${plots[@]}" --out "$out/report.html" "$out/record.json" >&2 || status=1
printf 'run.sh: %d rounds in %d s; %s holds the table, report.html and every run\n' "$rounds" $((SECONDS - start)) "$out" >&2
exit $status
