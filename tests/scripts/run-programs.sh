#!/usr/bin/env bash
# Windows programs that nobody here wrote, under hostmem-run: their output is what it is without, and at least 95 in 100 of
# the calls that could be the engine's are. RUNS=n: how often each, 1 unless told.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

for program in esbuild node dotnet nowatch; do
    ONLY=$program RUNS=${RUNS:-1} bash src/tools/run/run.sh build/windows build/linux .cache >"$work/out" 2>&1
    verdict "$program" $? "$work/out"
    share=$(awk '/by the engine/ { print int($(NF - 1)) }' "$work/out")
    check "$program: ${share:-0} % of its calls were served" [ "${share:-0}" -ge 95 ]
done
check_done
