#!/usr/bin/env bash
# Runs the conformance program's three builds and compares what they say, case by case.
#
# usage: compare.sh LINUX-BUILD WINDOWS-BUILD     (build/linux and build/windows)
#
# The measure is the build that calls Win32 itself. An engine build must print the same line for each case, or the very line
# that differences-windows.txt or differences-linux.txt has for it, below a comment that says why. A listed line whose
# difference no longer occurs is a failure too, so the lists stay true.
set -u
[ $# -eq 2 ] || { echo "usage: compare.sh LINUX-BUILD WINDOWS-BUILD" >&2; exit 2; }
here=${0%/*}
linux=$1/tests/conform windows=$2/tests/conform
wine="bash $here/../../src/setup/wine.sh"

# run_build NAME LIMIT COMMAND...: its output goes to NAME.txt, without the carriage returns of Windows.
run_build() {
    local name=$1 status
    shift
    timeout 100 "$@" >"$name.out"
    status=$?
    tr -d '\r' <"$name.out" >"$name.txt"
    rm -f "$name.out"
    [ $status -eq 0 ] && [ "$(tail -n 1 "$name.txt")" = end ] && return
    echo "compare.sh: $* ended with status $status" >&2
    echo "0 passed, 1 failed"
    exit 1
}

run_build "$windows/raw" $wine "$windows/conform-raw.exe"
run_build "$windows/engine" $wine "$windows/conform.exe"
run_build "$linux/engine" "$linux/conform"

# compare_build LIST ENGINE-OUTPUT: prints what is wrong, and last how many cases are right and wrong.
compare_build() {
    awk -v list="$1" -v engine="$2" '
        function wrong(name, what) { print list ": " name ": " what; failed++ }
        function name_of(line) { return substr(line, 1, index(line, ":") - 1) }
        function take(line, into, whose,    name) {
            if (line == "end" || line == "") return
            name = name_of(line)
            if (name in into) wrong(name, "twice in " whose)
            into[name] = line
        }
        BEGIN {
            while ((getline line < list) > 0) {
                if (line ~ /^#/) reason = 1
                else if (line == "") reason = 0
                else {
                    if (!reason) wrong(name_of(line), "is listed without a reason")
                    take(line, listed, "the list")
                }
            }
            while ((getline line < engine) > 0) take(line, ours, "the output")
        }
        { if ($0 != "end") { take($0, theirs, "the raw output"); order[++cases] = name_of($0) } }
        END {
            for (i = 1; i <= cases; i++) {
                name = order[i]
                if (!(name in ours)) wrong(name, "is missing")
                else if (ours[name] == theirs[name] && name in listed) wrong(name, "is listed, but no longer differs")
                else if (ours[name] != theirs[name] && ours[name] != listed[name])
                    wrong(name, "differs\n  raw    " theirs[name] "\n  engine " ours[name])
                else passed++
            }
            for (name in ours) if (!(name in theirs)) wrong(name, "is a case that the raw build does not have")
            for (name in listed) if (!(name in theirs)) wrong(name, "is listed, but there is no such case")
            print "count", passed + 0, failed + 0
        }' "$windows/raw.txt"
}

passed=0 failed=0
for build in "$here/differences-windows.txt $windows/engine.txt" "$here/differences-linux.txt $linux/engine.txt"; do
    # shellcheck disable=SC2086
    result=$(compare_build $build)
    count=$(tail -n 1 <<<"$result")
    sed '$d' <<<"$result"
    read -r word good bad <<<"$count"
    [ "$word" = count ] || good=0 bad=1
    passed=$((passed + good)) failed=$((failed + bad))
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
