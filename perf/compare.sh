#!/usr/bin/env bash
# Prints what changed from one recorded run to another beyond noise: paired round by round, with confidence.
#
# usage: perf/compare.sh [--json] BEFORE AFTER
#
# Each is a record's file, a folder that bench/run.sh filled, or MACHINE/DATE in perf/results; RECORD@PEER stands for the
# figures of one malloc library in it, so that two that ran side by side in one run can be compared. Exit status: 0 nothing
# became worse, 1 something did, 2 a record cannot be used.
set -eu
cd "${0%/*}/.."

options=() operands=()
for argument in "$@"; do
    case $argument in
    --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 0 ;;
    --json) options+=(--json) ;;
    -*) echo "compare.sh: unknown option '$argument' (--help)" >&2; exit 2 ;;
    *)
        name=${argument%%@*} peer=${argument#"${argument%%@*}"}
        for file in "$name" "$name/record.json" "perf/results/$name.json" "$name.json"; do
            [ ! -f "$file" ] || { name=$file; break; }
        done
        operands+=("$name$peer")
        ;;
    esac
done
[ ${#operands[@]} = 2 ] || { echo "compare.sh: two records are needed, BEFORE and AFTER (--help)" >&2; exit 2; }
exec build/linux/hostmem-bench-table --compare "${options[@]}" "${operands[@]}"
