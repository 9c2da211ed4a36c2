#!/usr/bin/env bash
# Runs the benchmarks, all peers in turn in each round, and prints the table of figures with its verdicts.
#
# usage: bench/run.sh [--rounds N] [--only PARTS] [--peer NAME=FILE]... [--ours NAME] [--out DIR] [--json]
#
#   --rounds N         how often everything is run (5); the figures are medians over the rounds
#   --only PARTS       some of: vm windows malloc patterns memory counts, parted by commas (all)
#   --peer NAME=FILE   one more malloc library to preload
#   --ours NAME        whose malloc is judged against the others (hostmem: build/linux/libhostmem-malloc.so)
#   --out DIR          where the runs, table.txt and table.json go (perf/out/latest)
#   --json             prints the table as JSON
#
# The programs must be built (make bench does that). A peer or tool that is missing is named, and the rest still runs.
set -u
cd "${0%/*}/.." || exit 1

usage() {
    echo "run.sh: $1 (bench/run.sh --help)" >&2
    exit 2
}

rounds=5 parts=vm,windows,malloc,patterns,memory,counts ours=hostmem out=perf/out/latest json=
min_time=${BENCH_MIN_TIME:-0.01}
peer_names=() peer_files=()
while [ $# -gt 0 ]; do
    case $1 in
    --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 0 ;;
    --json) json=--json; shift; continue ;;
    --rounds | --only | --peer | --ours | --out) [ $# -ge 2 ] || usage "$1 needs a value" ;;
    *) usage "unknown argument '$1'" ;;
    esac
    case $1 in
    --rounds) [[ $2 =~ ^[1-9][0-9]?$ ]] || usage "--rounds: '$2' is not a number from 1 to 99"; rounds=$2 ;;
    --only) parts=$2 ;;
    --peer) [[ $2 == ?*=?* ]] || usage "--peer: '$2' is not NAME=FILE"; peer_names+=("${2%%=*}") peer_files+=("${2#*=}") ;;
    --ours) ours=$2 ;;
    --out) out=$2 ;;
    esac
    shift 2
done
for part in ${parts//,/ }; do
    case $part in vm | windows | malloc | patterns | memory | counts) ;; *) usage "--only: there is no part '$part'" ;; esac
done
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
: >"$log"

# ---- Peers --------------------------------------------------------------------------------------------------------

warn() {
    printf 'run.sh: %s\n' "$*" | tee -a "$log" >&2
}

library_path() {
    ldconfig -p 2>/dev/null | awk -v name="$1" '$1 == name && /x86-64/ { print $NF; exit }'
}

# peers: names; file_of: what to preload for each, nothing for the C library's own.
declare -A file_of=([glibc]="")
peers=(glibc)
add_peer() {
    if [ -n "$2" ] && [ -e "$2" ]; then
        peers+=("$1")
        file_of[$1]=$(realpath "$2")
    else
        warn "no $1 ($3): its cells stay empty"
    fi
}
if wants malloc || wants patterns || wants memory || wants counts; then
    add_peer mimalloc "$(library_path libmimalloc.so.2)" "package libmimalloc2.0"
    add_peer jemalloc "$(library_path libjemalloc.so.2)" "package libjemalloc2"
    add_peer tcmalloc "$(library_path libtcmalloc_minimal.so.4)" "package libtcmalloc-minimal4"
    add_peer hostmem build/linux/libhostmem-malloc.so "build/linux/libhostmem-malloc.so is not built"
    for i in "${!peer_names[@]}"; do
        add_peer "${peer_names[i]}" "${peer_files[i]}" "no such file: ${peer_files[i]}"
    done
fi
if wants windows && [ ! -e $windows_program ]; then
    warn "no $windows_program: its rows are not run"
    parts=${parts//windows/}
fi

# ---- The plan -----------------------------------------------------------------------------------------------------

# Parallel arrays, one entry a step: what to say, and the command.
says=() commands=()
add() {
    says+=("$1")
    shift
    commands+=("$(printf '%q ' "$@")")
}

# run_bench SYSTEM PEER KIND ROUND FILTER: one process, one file of figures.
run_bench() {
    local file=$runs/$1.$2.$3.$4.json
    set -- "$@" --benchmark_filter="$5" --benchmark_min_time="$min_time" --benchmark_out_format=json
    if [ "$1" = wine ]; then
        timeout 120 bash src/setup/wine.sh $windows_program "${@:6}" --benchmark_out="$file" >>"$log" 2>&1 8>&-
    else
        timeout 120 env LD_PRELOAD="${file_of[$2]-}" $program "${@:6}" --benchmark_out="$file" >>"$log" 2>&1 8>&-
    fi || { warn "$2, $3, round $4: failed or took more than two minutes; $log has its output"; rm -f "$file"; }
}

# They sleep most of the time and are not timed: all at once.
run_memory() {
    local peer
    for peer in "${peers[@]}"; do
        run_bench linux "$peer" memory "$1" '^residency/' &
    done
    wait
}

patterns=(replace hand-over/libc/64 hand-over/libc/1024 xmalloc larson/libc/2 larson/libc/8 churn)
plan_round() {
    local round=$1 peer pattern
    ! wants vm || add "round $round: virtual memory" run_bench linux none vm "$round" '^(vm|latency)/'
    ! wants windows || add "round $round: Windows" run_bench wine none vm "$round" '^(vm|latency|object/pair/(engine|raw))/'
    for peer in "${peers[@]}"; do
        ! wants malloc || add "round $round: malloc, $peer" run_bench linux "$peer" malloc "$round" '^malloc/'
    done
    for pattern in "${patterns[@]}"; do
        for peer in "${peers[@]}"; do
            # A process each, as each reports its own peak of memory.
            ! wants patterns || add "round $round: $pattern, $peer" \
                run_bench linux "$peer" "${pattern//\//-}" "$round" "^pattern/$pattern(/|\$)"
        done
    done
    ! wants memory || add "round $round: memory that stays" run_memory "$round"
}

# ---- Counts -------------------------------------------------------------------------------------------------------

# write_count PEER TOOL NAME FIGURE VALUE: in the form that the table's reader knows.
write_count() {
    local served
    served=$(LD_PRELOAD="${file_of[$1]-}" $program --library)
    local form='{\n  "system": "linux",\n  "malloc_served_by": "%s",\n'
    form+='  "benchmarks": [{\n    "run_name": "%s",\n    "%s": %s\n  }]\n}\n'
    printf "$form" "$served" "$2/$3" "$4" "$5" >"$runs/linux.$1.$2-${3//\//-}.1.json"
}

callgrind_total() {
    timeout 120 env LD_PRELOAD="${file_of[$1]-}" \
        valgrind --tool=callgrind --callgrind-out-file=/dev/null $program --once "$2" "$3" 2>&1 |
        tee -a "$log" | awk '/Collected/ { print $NF }'
}

count_callgrind() {
    local few many
    few=$(callgrind_total "$1" "$2" 100000) many=$(callgrind_total "$1" "$2" 300000)
    [ -n "$few" ] && [ -n "$many" ] || { warn "callgrind cannot count $2 of $1"; return; }
    write_count "$1" callgrind "$2" instructions "$(awk "BEGIN { print ($many - $few) / 200000 }")"
}

strace_total() {
    local file=$runs/strace.tmp
    timeout 120 strace -f -qq -c -o "$file" env LD_PRELOAD="${file_of[$1]-}" $program --once "$2" "$3" >>"$log" 2>&1 &&
        awk '$NF == "total" { print $4 }' "$file"
    rm -f "$file"
}

count_strace() {
    local few many
    few=$(strace_total "$1" "$2" "$3") many=$(strace_total "$1" "$2" $((3 * $3)))
    [ -n "$few" ] && [ -n "$many" ] || { warn "strace cannot count $2 of $1"; return; }
    write_count "$1" strace "$2" system_calls "$(awk "BEGIN { print ($many - $few) / (2 * $3) }")"
}

count_step() {
    local file=$runs/linux.$1.step-${2//\//-}.1.json
    timeout 120 env LD_PRELOAD="${file_of[$1]-}" $program --step "$2" "$3" >"$file" 2>>"$log" ||
        { warn "$2 of $1 cannot be stepped through"; rm -f "$file"; }
}

plan_counts() {
    local peer each name turns
    if command -v valgrind >/dev/null; then
        for peer in "${peers[@]}"; do
            add "counts: callgrind, $peer" count_callgrind "$peer" malloc/pair/libc/64
        done
    else
        warn "no valgrind: instructions are not counted"
    fi
    # PEER NAME, turns to step through, turns under strace; a turn of random is 1,000 pairs.
    for each in "$ours malloc/pair/libc/64 60 20000" "$ours malloc/random/libc/64 1 100" "none object/pair/engine/64 60 20000" \
        "none vm/untouched/engine/65536 20 2000" "none vm/touched/engine/65536 5 500" "none vm/query/engine 60 20000"; do
        read -r peer name turns each <<<"$each"
        [ "$peer" = none ] || [ -n "${file_of[$peer]-}" ] || continue
        add "counts: stepping through $name" count_step "$peer" "$name" "$turns"
        ! command -v strace >/dev/null || add "counts: strace, $name" count_strace "$peer" "$name" "$each"
    done
    command -v strace >/dev/null || warn "no strace: system calls are not counted"
}

for ((round = 1; round <= rounds; round++)); do
    plan_round "$round"
done
! wants counts || plan_counts

# ---- Running it ---------------------------------------------------------------------------------------------------

total=${#commands[@]}
[ "$total" -gt 0 ] || usage "nothing to run"
start=$SECONDS
progress() {
    local left=
    if [ "$1" -gt 3 ]; then
        left=$(((SECONDS - start) * (total - $1) / $1))
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
    printf '== %s\n' "${says[i]}" >>"$log"
    eval "${commands[i]}"
done
[ ! -t 2 ] || printf '\r\033[K' >&2

table=(build/linux/hostmem-bench-table --ours "$ours")
"${table[@]}" --json "$runs"/*.json >"$out/table.json" 2>/dev/null
"${table[@]}" "$runs"/*.json >"$out/table.txt"
status=$?
[ -n "$json" ] && cat "$out/table.json" || cat "$out/table.txt"
printf 'run.sh: %d rounds in %d s; %s holds the table and every run\n' "$rounds" $((SECONDS - start)) "$out" >&2
exit $status
