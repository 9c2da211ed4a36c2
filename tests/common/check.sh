# What the test scripts share: sourced at the project's top level, before anything else.
#
# $work is a folder of the script's own, which goes at its end, after at_end, if the script has such a function. Each check
# counts one that passed, or one that failed and says why; check_done closes with the sum, as every suite must.

work=$(mktemp -d)
passed=0
failed=0
trap 'at_end; rm -rf "$work"' EXIT

at_end() { :; }

# verdict NAME STATUS [FILE...]: passed if the status is 0; the files' ends are shown when it is not.
verdict() {
    local name=$1 status=$2
    shift 2
    if [ "$status" = 0 ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "$name: failed with status $status"
    [ $# = 0 ] || { [ -n "$(cat "$@")" ] || echo "(no output at all)"; tail -q -n 15 "$@"; } | cut -c1-300 | sed 's/^/    | /'
}

# check NAME COMMAND...: the command succeeds.
check() {
    local name=$1 status=0
    shift
    "$@" >"$work/why" 2>&1 || status=$?
    verdict "$name" $status "$work/why"
}

# equal NAME FOUND WANTED: the same text; by lines, if there are some.
equal() {
    if [ "$2" = "$3" ]; then
        passed=$((passed + 1))
        return
    fi
    failed=$((failed + 1))
    echo "$1:"
    diff <(printf '%s\n' "$3") <(printf '%s\n' "$2") | sed -n 's/^< \(.\)/    missing: \1/p; s/^> \(.\)/    not wanted: \1/p'
}

# expect NAME STATUS PATTERN COMMAND...: the exit status, and a pattern that the output must have. What the command writes is
# then in $work/out and $work/err. It is run by $expect_by, for $expect_seconds at most.
expect_by=
expect_seconds=60
expect() {
    local name=$1 status=$2 pattern=$3 got=0 wrong=0
    shift 3
    # shellcheck disable=SC2086
    timeout -k 5 $expect_seconds $expect_by "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    [ $got = "$status" ] && { [ -z "$pattern" ] || grep -qE -- "$pattern" "$work/out" "$work/err"; } ||
        wrong="$got, expected $status with /$pattern/"
    verdict "$name${expect_by:+ ($expect_by)}" "$wrong" "$work/out" "$work/err"
}

# built FILE...: ends the script where one is missing.
built() {
    local file
    for file in "$@"; do
        [ -e "$file" ] && continue
        echo "$file was not built"
        echo "0 passed, 1 failed"
        exit 1
    done
}

check_done() {
    echo "$passed passed, $failed failed"
    [ $failed = 0 ] && [ $passed != 0 ]
}
