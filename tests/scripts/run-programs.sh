#!/usr/bin/env bash
# Windows programs that nobody here wrote, under hostmem-run: their output is what it is without, and at least 95 in 100 of
# the calls that could be the engine's are. RUNS=n: how often each, 1 unless told.
set -u
cd "${0%/*}/../.." || exit 1

passed=0
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for program in esbuild node dotnet nowatch; do
    if ONLY=$program RUNS=${RUNS:-1} bash src/tools/run/run.sh build/windows build/linux .cache >"$work/out" 2>&1; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        cat "$work/out"
    fi
    share=$(awk '/by the engine/ { print int($(NF - 1)) }' "$work/out")
    if [ "${share:-0}" -ge 95 ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "$program: only ${share:-0} % of its calls were served"
    fi
done
echo "$passed passed, $failed failed"
[ $failed = 0 ]
