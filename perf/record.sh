#!/usr/bin/env bash
# Keeps a benchmark run: copies its record to perf/results/MACHINE/DATE.json (a second one of that day to DATE-2.json).
#
# usage: perf/record.sh [--machine NAME] [DIR]
#
#   --machine NAME   instead of the host's name
#   DIR              where bench/run.sh left the run (perf/out/latest)
set -eu
cd "${0%/*}/.."

fail() {
    echo "record.sh: $1" >&2
    exit "${2:-1}"
}

machine=$(uname -n) from=perf/out/latest
while [ $# -gt 0 ]; do
    case $1 in
    --help) sed -n '2,/^set/{s/^# \{0,1\}//;/^set/!p}' "$0"; exit 0 ;;
    --machine) [ $# -ge 2 ] || fail "--machine needs a value" 2; machine=$2; shift ;;
    -*) fail "unknown option '$1' (--help)" 2 ;;
    *) from=$1 ;;
    esac
    shift
done
[[ $machine =~ ^[A-Za-z0-9][A-Za-z0-9._-]*$ ]] || fail "--machine: '$machine' does not suit a folder's name" 2
[ -r "$from/record.json" ] || fail "no run in '$from': make bench makes one"
date=$(sed -n 's/^ *"date": "\([0-9-]*\)".*/\1/p' "$from/record.json" | head -n 1)
[ -n "$date" ] || fail "'$from/record.json' does not say its date"
if grep -q 'Do not trust these figures' "$from/table.txt" 2>/dev/null; then
    echo "record.sh: the machine was busy with something else during this run; it is kept all the same" >&2
fi
folder=perf/results/$machine
mkdir -p "$folder"
file=$folder/$date.json
for ((i = 2; ; i++)); do
    [ -e "$file" ] || break
    ! cmp -s "$from/record.json" "$file" || break
    file=$folder/$date-$i.json
done
cp "$from/record.json" "$file.new" && mv "$file.new" "$file" || fail "'$file' cannot be written"
echo "$file"
