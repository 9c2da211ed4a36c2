#!/usr/bin/env bash
# hostmem-record must write traces that replay without a difference, of mappings and of blocks, of one thread and of many; and
# tell what it cannot do. The programs that are recorded are benchmarks on raw system calls and the C library's malloc.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

record=build/linux/hostmem-record
bench=build/linux/hostmem-bench

# lines NAME OP LEAST: the trace has at least so many calls of this kind.
lines() {
    local found
    found=$(awk -v op="$2" '$3 == op' "$work/trace" | wc -l)
    check "$1: $found lines of $2, expected at least $3" [ "$found" -ge "$3" ]
}

replays() {
    expect "$1 on the engine" 0 '^differences from the recording: 0' build/linux/hostmem-replay "$work/trace"
    expect "$1 on raw memory" 0 '^differences from the recording: 0' build/linux/hostmem-replay --memory raw "$work/trace"
}

expect "mappings" 0 '' $record --output "$work/trace" $bench --once vm/recommit/raw/65536 100
lines "commits" VA 101
lines "decommits" VF 101
replays "mappings"
expect "protections" 0 '' $record --output "$work/trace" $bench --once vm/protect/raw/65536 100
lines "protections" VP 200
replays "protections"
expect "reservations" 0 '' $record --output "$work/trace" --parts vm $bench --once vm/touched/raw/65536 100
lines "releases" VF 100
lines "... and no more than asked for" VA 100
expect "... which leave the blocks out" 1 '^0$' grep -cE ' H[ARF] ' "$work/trace"
replays "reservations"
expect "blocks" 0 '' $record --output "$work/trace" $bench --once malloc/random/libc/64 3
lines "allocations" HA 3000
lines "frees" HF 3000
replays "blocks"
expect "threads" 0 '' $record --output "$work/trace" --parts heap $bench --once pattern/larson/libc/2 1
expect "... have numbers of their own" 0 '^[3-9]|^[1-9][0-9]' sh -c 'cut -d" " -f2 "$1" | sort -u | wc -l' sh "$work/trace"
expect "a program's own exit status" 7 '' $record --output "$work/trace" sh -c 'exit 7'
expect "its children are not recorded" 0 '' $record --output "$work/trace" sh -c "$bench --once malloc/random/libc/64 3; :"
expect "... into its trace" 0 '^few$' awk '$3 == "HA" && $5 == "40" { count++ } END { print count < 1000 ? "few" : count }' \
    "$work/trace"
expect "no program" 2 'PROGRAM is missing' $record
expect "a program that is not there" 127 "'/no/such'" $record --output "$work/trace" /no/such
expect "a trace that cannot be written" 2 "'/no/such/file'" $record --output /no/such/file true
expect "a full disk" 0 'the trace ends here' $record --output /dev/full $bench --once malloc/random/libc/64 3
expect "a bad part" 2 "'nonsense'" $record --parts nonsense true

check_done
