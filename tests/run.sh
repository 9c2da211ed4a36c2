#!/usr/bin/env bash
# Builds every combination that is tested and runs every test of the project, on Linux and under Wine.
#
# usage: tests/run.sh [--soak] [--list]     ONLY=regex picks suites by name; needs the set-up to be done (make test does it)
#
# One line a suite, and last the sum, "N passed, N failed". A suite is a program or script that ends with such a line of its
# own and exits with 0 when nothing failed; a suite that crashes, runs out of time, was not built, checks nothing or prints
# no such line counts as a failure. Logs are kept in build/test-logs; of a failing one the part that says why is shown, at once
# and again before the sum.
# --soak runs the stress tests and fuzzers for HOSTMEM_TEST_SECONDS each (600 by default).
set -u
cd "${0%/*}/.." || exit 1
. src/setup/stop.sh

soak=
list=
for argument in "$@"; do
    case $argument in
    --soak) soak=yes ;;
    --list) list=yes ;;
    *) echo "run.sh: unknown argument '$argument' (--soak, --list)" >&2; exit 2 ;;
    esac
done
only=${ONLY:-}
logs=build/test-logs
jobs=$(nproc)
wine="bash src/setup/wine.sh"
mkdir -p $logs

# ---- The plan -----------------------------------------------------------------------------------------------------

# Parallel arrays, one entry a suite. kind: build and exit pass by their exit status alone, suite by its closing line.
# A build's name is the folder that it fills; needs holds the file that a suite runs.
groups=() names=() kinds=() limits=() needs=() commands=()
group=

# add KIND SECONDS NAME PROGRAM COMMAND...: PROGRAM is the file that must exist, or - for none. SECONDS are some ten times what it
# takes on a machine that has nothing else to do: they end what hangs, and no more.
add() {
    if [ -n "$only" ] && [ "$1" != build ] && ! [[ $3 =~ $only ]]; then
        return
    fi
    groups+=("$group") kinds+=("$1") limits+=("$2") names+=("$3") needs+=("$4")
    shift 4
    commands+=("$(printf '%q ' "$@")")
}

# add_build FOLDER TARGETS... VAR=value...
add_build() {
    local folder=$1
    shift
    # A make of its own: it must not take the settings of the make that started this script.
    add build 900 "$folder" - env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u CC HM_SETUP_DONE=1 make -k "$@"
}

# add_programs SECONDS NAME FOLDER SUFFIX SOURCES... -- COMMAND...: one suite for each source file that exists.
add_programs() {
    local seconds=$1 name=$2 folder=$3 suffix=$4 sources=() source program
    shift 4
    while [ "$1" != -- ]; do
        sources+=("$1")
        shift
    done
    shift
    for source in "${sources[@]}"; do
        [ -e "$source" ] || continue
        program=$folder/${source%.c}$suffix
        add suite "$seconds" "$name ${source#tests/}" "$program" "$@" "$program"
    done
}

# ThreadSanitizer of this compiler's age cannot live with the wider address randomisation of newer kernels.
tsan_prefix() {
    [ "$(cat /proc/sys/vm/mmap_rnd_bits 2>/dev/null || echo 0)" -le 28 ] || echo setarch -R
}

plan_builds() {
    group=build
    add_build build/linux libs tools stress fuzz conform preload view bench-programs
    add_build build/windows OS=windows libs tools stress fuzz conform redirect view bench-programs
    [ -z "$soak" ] || return 0
    add_build build/linux-debug VARIANT=debug libs unit model
    add_build build/windows-debug OS=windows VARIANT=debug libs unit
    add_build build/linux-asan VARIANT=asan unit stress
    add_build build/linux-tsan VARIANT=tsan unit stress
    add_build build/linux-clang CC=clang all tests
    add_build build/windows-clang CC=clang OS=windows all tests
}

plan_short() {
    local source sources trace replay
    group=scripts
    for source in tests/scripts/*.sh; do
        [ ! -e "$source" ] || add suite 600 "${source#tests/}" "$source" bash "$source"
    done
    group=unit
    add_programs 300 "linux" build/linux-debug "" tests/unit/*.c -- env
    add_programs 300 "windows" build/windows-debug .exe tests/unit/*.c -- $wine
    add_programs 600 "asan" build/linux-asan "" tests/unit/*.c -- env UBSAN_OPTIONS=print_stacktrace=1
    add_programs 600 "tsan" build/linux-tsan "" tests/unit/*.c -- env $(tsan_prefix)
    mapfile -t sources < <(ls tests/model/*.c 2>/dev/null | grep -v /explore)
    add_programs 240 "linux" build/linux-debug "" "${sources[@]}" -- env
    group=conform
    [ ! -e tests/conform/compare.sh ] ||
        add suite 240 "conform/compare.sh" tests/conform/compare.sh bash tests/conform/compare.sh build/linux build/windows
    group=replay
    for trace in perf/traces/*.txt*; do
        [ -e "$trace" ] || continue
        replay=build/linux/hostmem-replay
        add exit 120 "linux replay ${trace##*/}" $replay $replay "$trace"
        replay=build/windows/hostmem-replay.exe
        add exit 240 "windows replay ${trace##*/}" $replay $wine $replay "$trace"
    done
}

# Each alone on the machine: they use all of it. A program that is not told for how long does what it promises: a minute of
# stress, a million calls.
plan_alone() {
    local short="env HOSTMEM_TEST_SECONDS=20"
    group=alone
    add suite 600 "bench/selftest.sh" bench/selftest.sh bash bench/selftest.sh
    add suite 240 "bench/counts.sh" bench/counts.sh bash bench/counts.sh --quick
    add_programs 300 "linux" build/linux "" tests/fuzz/*_model.c tests/stress/*.c -- env
    add_programs 300 "windows" build/windows .exe tests/fuzz/*_diff.c -- $wine
    add_programs 120 "windows" build/windows .exe tests/stress/*.c -- $short $wine
    add_programs 120 "tsan" build/linux-tsan "" tests/stress/*.c -- $short $(tsan_prefix)
}

plan_soak() {
    local limit=$((HOSTMEM_TEST_SECONDS * 2 + 300))
    group=alone
    add_programs $limit "linux" build/linux "" tests/fuzz/*_model.c tests/stress/*.c -- env
    add_programs $limit "windows" build/windows .exe tests/fuzz/*_diff.c tests/stress/*.c -- $wine
}

# With ONLY, a build is left out when no picked suite runs anything of its folder. Scripts look at both release builds.
leave_out_builds() {
    local i j wanted
    [ -n "$only" ] || return 0
    for i in "${!names[@]}"; do
        [ "${kinds[i]}" = build ] || continue
        wanted=
        for j in "${!names[@]}"; do
            case " ${needs[j]}" in
            " ${names[i]}/"*) wanted=yes ;;
            " tests/"* | " bench/"*) case ${names[i]} in build/linux | build/windows) wanted=yes ;; esac ;;
            esac
        done
        [ -n "$wanted" ] || unset "names[$i]"
    done
}

# ---- Running ------------------------------------------------------------------------------------------------------

# The part of a failing suite's log that says why: of a build the errors, of a suite the checks that failed, and the end.
excerpt() {
    local why='(error|warning): |undefined reference|\*\*\* '
    if [ "${kinds[$1]}" = build ] && grep -qE "$why" "$2"; then
        grep -E "$why" "$2" | head -n 25
    else
        head -n -15 "$2" | grep -aE 'failed: |: failed |FAIL' | head -n 10
        tail -n 15 "$2"
    fi
}

# run_command INDEX LOG: its command, within its time.
run_command() {
    eval "timeout -k 10 ${limits[$1]} ${commands[$1]}" >"$2" 2>&1 </dev/null
}

# run_suite INDEX: runs it, prints its line, leaves "passed failed" in a file for the sum.
run_suite() {
    local i=$1 log status=0 passed=0 failed=0 note='' closing start end
    log=$logs/$(printf '%s' "${names[i]}" | tr -c 'A-Za-z0-9._-' -).log
    start=${EPOCHREALTIME/[.,]/} # in the locale's way
    if [ "${needs[i]}" != - ] && [ ! -e "${needs[i]}" ]; then
        failed=1 note='not built'
    else
        run_command "$i" "$log" || status=$?
        # Where chance has put something of the process in the place of a page that Wine must have, Wine ends it before it begins.
        if [ $status != 0 ] && grep -q 'wine: failed to map the shared user data' "$log"; then
            note='Wine could not start, run again' status=0
            run_command "$i" "$log" || status=$?
        fi
        closing=$(tr -d '\r' <"$log" | grep -v '^$' | tail -n 1)
        if [ "${kinds[i]}" != suite ]; then
            [ $status = 0 ] && passed=1 || failed=1
        elif [[ $closing =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed$ ]]; then
            passed=${BASH_REMATCH[1]} failed=${BASH_REMATCH[2]}
            [ $((passed + failed)) != 0 ] || { failed=1 note='checked nothing'; }
        else
            failed=1 note='no closing line'
        fi
        if [ $status = 124 ] || [ $status = 137 ]; then
            note="$note${note:+, }out of time after ${limits[i]} s"
        elif [ $status != 0 ]; then
            note="$note${note:+, }exit status $status"
        fi
        [ $status = 0 ] || [ $failed != 0 ] || failed=1
    fi
    end=${EPOCHREALTIME/[.,]/}
    printf '%-54s %5d passed %4d failed %6d.%d s  %s\n' "${names[i]}" "$passed" "$failed" \
        $(((end - start) / 1000000)) $(((end - start) / 100000 % 10)) "$note"
    if [ $failed != 0 ] && [ "$note" != 'not built' ]; then
        excerpt "$i" "$log" | sed 's/^/    | /'
        echo "    | (the whole log: $log)"
    fi
    echo "$passed $failed" >"$logs/.result-$i"
}

# run_group GROUP JOBS: that many of its suites at a time. A suite's output is printed in one piece.
run_group() {
    local i running=0
    for i in "${!names[@]}"; do
        [ "${groups[i]}" = "$1" ] || continue
        if [ $running -ge "$2" ]; then
            wait -n
            running=$((running - 1))
        fi
        {
            text=$(run_suite "$i")
            printf '%s\n' "$text"
            case $(cat "$logs/.result-$i") in *' 0') ;; *) printf '%s\n' "$text" >"$logs/.failed-$i" ;; esac
        } &
        running=$((running + 1))
    done
    wait
}

# ---- Main ---------------------------------------------------------------------------------------------------------

plan_builds
if [ -n "$soak" ]; then
    export HOSTMEM_TEST_SECONDS=${HOSTMEM_TEST_SECONDS:-600}
    plan_soak
else
    plan_short
    plan_alone
fi
leave_out_builds
if [ ${#names[@]} = 0 ]; then
    echo "run.sh: no suite has a name like ONLY=$only" >&2
    exit 2
fi
if [ -n "$list" ]; then
    printf '%s\n' "${names[@]}"
    exit 0
fi
rm -f $logs/.result-* $logs/.failed-* $logs/*.log

run_group build 1
run_group scripts "$jobs"
run_group unit "$jobs"
run_group conform 1
run_group replay "$jobs"
run_group alone 1

total_passed=0
total_failed=0
for i in "${!names[@]}"; do
    # A suite whose runner itself died left no result.
    read -r passed failed 2>/dev/null <"$logs/.result-$i" || { passed=0 failed=1; }
    total_passed=$((total_passed + passed))
    total_failed=$((total_failed + failed))
done
if [ $total_failed != 0 ]; then
    echo
    echo "What failed, once more:"
    cat $logs/.failed-*
fi
rm -f $logs/.result-* $logs/.failed-*
echo "$total_passed passed, $total_failed failed"
[ $total_failed = 0 ]
