#!/usr/bin/env bash
# hostmem-replay must notice what it is there to notice: damaged files are refused with the line's number, and a trace
# in which one recorded answer was changed does not pass. (The real traces are replayed by tests/run.sh.) Runs the programs of
# both systems; HOSTMEM_REPLAY names another one to run instead.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

if [ -n "${HOSTMEM_REPLAY:-}" ]; then
    runners=("$HOSTMEM_REPLAY")
else
    runners=("build/linux/hostmem-replay" "bash src/setup/wine.sh build/windows/hostmem-replay.exe")
fi

# trace NAME: a trace from standard input, first line a comment.
trace() {
    { echo '# t_us tid op addr size type prot ret'; cat; } >"$work/$1"
}

# The calls from which the changed traces are made: all right as they stand.
good() {
    cat <<'END'
1 1 VA 0 20000 2000 4 10000000
2 1 VA 10000000 2000 1000 4 10000000
3 2 VA 10001000 1000 1000 2 10001000
4 2 VQ 10000800 1000 1000 4 30
5 1 VA 1001f000 2000 1000 4 0
6 1 VF 10000000 1000 4000 0 1
7 1 VQ 10000000 1000 2000 0 30
8 2 VA 10000000 1000 1000 4 10000000
9 2 VP 10000000 2000 0 2 1
a 2 VP 10000000 3000 0 4 0
b 1 VF 10000000 1000 8000 0 0
c 1 VF 10010000 0 8000 0 0
d 1 VF 10000000 0 8000 0 1
e 1 HC 1000 0 0 0 20000000
f 2 HA 20000000 40 8 0 20000100
10 1 HR 20000100 4000 0 0 20008000
11 1 HF 20008000 0 0 0 1
12 1 HF 0 0 0 0 1
13 1 HD 20000000 0 0 0 1
14 3 VA 0 10000 1000 4 10000000
END
}

# changed NAME SED: the good calls with one answer changed.
changed() {
    good | sed "$2" | trace "$1"
    ! cmp -s "$work/$1" "$work/good" || verdict "$1: the edit changes nothing" 1
    expect "$1" 1 "${3:-$1:[0-9]+: }" --memory "$memory" "$work/$1"
}

answers() {
    expect "the good calls" 0 '^differences from the recording: 0' --memory "$memory" "$work/good"
    expect "the good calls, unchecked" 0 '^differences from the recording: 0' --memory "$memory" --no-check "$work/good"
    expect "the good calls as JSON" 0 '^\{.*"differences": ?0.*\}' --memory "$memory" --json "$work/good"
    check "the median of an even number of calls ($expect_by, $memory)" medians_hold "$work/out"
    expect "the good calls, checked" 0 'ms with checking, pages looked at [1-9]' --memory "$memory" "$work/good"
    expect "the good calls, unchecked" 0 'ms without checking' --memory "$memory" --no-check "$work/good"
    # No size makes a layer give out, or let go, what was not asked for. (Wine's VirtualFree takes 2^64 - 1 for nothing.)
    for size in ffffffffffffffff fffffffffffff000 ffffffffffffe000 ffffffffffff8000; do
        {
            good | head -n 1
            printf '2 1 VA 0 %s 3000 4 0\n3 1 VA 0 %s 2000 4 0\n' $size $size
            printf '4 1 VA 10000000 %s 1000 4 0\n5 1 VF 10000000 %s 4000 0 0\n' $size $size
            printf '6 1 VP 10000000 %s 0 4 0\n7 1 VF 10000000 0 8000 0 1\n' $size
        } | trace huge
        [ "$memory/${expect_by:+wine}/$size" = raw/wine/ffffffffffffffff ] && continue
        expect "calls of $size bytes" 0 'recording: 0' --memory "$memory" "$work/huge"
    done
    changed commit-past-end '/^5 /s/ 0$/ 1001f000/' 'commit-past-end:6: expected success'
    changed protect-uncommitted '/^a /s/ 0$/ 1/' 'protect-uncommitted:11: expected success'
    changed release-with-size '/^b /s/ 0$/ 1/' 'release-with-size:12: expected success'
    changed release-inside '/^c /s/ 0$/ 1/' 'release-inside:13: expected success'
    changed decommit-refused '/^6 /s/ 1$/ 0/' 'decommit-refused:7: expected failure'
    changed protect-refused '/^9 /s/ 1$/ 0/' 'protect-refused:10: expected failure'
    changed query-state '/^7 /s/ 2000 0 30$/ 1000 4 30/' 'query-state:8: expected the state 1000'
    changed query-protection '/^4 /s/ 4 30$/ 2 30/' 'query-protection:5: expected the protection 2, got 4'
    changed query-size '/^4 /s/ 1000 1000 4 30$/ 2000 1000 4 30/' 'query-size:5: expected the region size 2000'
    changed heap-free-refused '/^11 /s/ 1$/ 0/' 'heap-free-refused:18: expected failure'
}

damaged() {
    good | trace good
    good | sed '4s/ 30$//' | trace columns
    expect "a missing column" 2 "columns': line 5: 7 columns where 8 belong" "$work/columns"
    good | sed '6s/VF/XX/' | trace operation
    expect "an unknown operation" 2 "operation': line 7: unknown operation 'XX'" "$work/operation"
    good | sed '8s/ 1000 4 / 10g0 4 /' | trace number
    expect "no number" 2 "number': line 9: column 6 is not a hexadecimal number: '10g0'" "$work/number"
    good | sed '2s/1000 4 10000000$/1000 4 11110000000000000/' | trace long
    expect "a number too long" 2 "long': line 3: column 8" "$work/long"
    good | sed '1s/VA 0 20000/VA 10000000 20000/; 1s/10000000$/30000000/' | trace elsewhere
    expect "a reservation elsewhere than asked" 2 "elsewhere': line 2: a reservation at another address" "$work/elsewhere"
    good | sed '1s/VA 0 20000/VA 10020000 1000/; 1s/10000000$/10010000/' | trace before
    expect "... before it" 2 "before': line 2: a reservation at another address" "$work/before"
    good | sed 's/^\([0-9a-f]*\) 2 /\1 1fff4 /' | trace high
    expect "a thread of a high number" 0 'recording: 0' --memory raw "$work/high"
    head -c 150 "$work/good" >"$work/cut"
    expect "a cut file" 2 "cut': line 5: " "$work/cut"
    { cat "$work/good"; printf '15 1 VA 0 1\0000 2000 4 0\n'; } >"$work/binary"
    expect "a byte of no text" 2 "binary': line 22: " "$work/binary"
    : >"$work/empty"
    expect "an empty file" 2 "empty' holds no calls" "$work/empty"
    gzip -c "$work/good" >"$work/packed"
    expect "a packed file" 0 'recording: 0' --memory raw "$work/packed"
    head -c -20 "$work/packed" >"$work/packed-cut"
    expect "a cut packed file" 2 "packed-cut': the gzip file is " "$work/packed-cut"
    { head -c 60 "$work/packed"; printf '\377\377'; tail -c +63 "$work/packed"; } >"$work/packed-bad"
    expect "a damaged packed file" 2 "packed-bad': " "$work/packed-bad"
    expect "no such file" 2 "missing': " "$work/missing"
    expect "a name of no letters" 2 "'': " ''
    expect "no file named" 2 'FILE is missing'
    expect "two files" 2 "'two' is too many" one two
    expect "an unknown memory" 2 'memory' --memory magic "$work/good"
    expect "the help" 0 'exit status' --help
    expect "options behind the file" 0 '^\{.*"differences": ?0' "$work/good" --json
}

# What cannot be written is not lost in silence; a picture is JSON, whatever the trace is called.
written() {
    local by=$expect_by expect_by= way name
    name=$work/$(printf 'n\377"m\\')
    cp "$work/good" "$name"
    for way in '' --json --help; do
        for where in '>/dev/full' '>&-'; do
            # shellcheck disable=SC2086
            expect "$by $way $where" 2 'standard output cannot be written' sh -c "$by \"\$@\" $where" sh $way "$work/good"
        done
    done
    expect "a picture on a full disk ($by)" 2 "'/dev/full' cannot be written" $by --picture /dev/full "$work/good"
    expect "a picture in no folder ($by)" 2 'none/picture' $by --picture "$work/none/picture" "$work/good"
    # (Wine's programs cannot open a name that is no text.)
    [[ $by != *wine* ]] || return 0
    expect "a picture ($by)" 0 '' $by --json --picture "$work/picture" "$name"
    check "a picture is JSON ($by)" is_json "$work/picture"
    check "a report is JSON ($by)" is_json "$work/out"
    check "a name of other bytes ($by)" grep -qF 'n\ufffd\"m\\"' "$work/picture" "$work/out"
}

# Of two calls of a kind the median is their mean, and none is higher than the highest.
medians_hold() {
    python3 -c '
import json, sys
kinds = json.load(open(sys.argv[1], encoding="utf-8"))["kinds"].values()
two = [kind for kind in kinds if kind["calls"] == 2]
assert len(two) > 0
assert all(abs(kind["median_ns"] - kind["mean_ns"]) < 0.01 for kind in two), two
assert all(kind["median_ns"] <= kind["longest_ns"] for kind in kinds)' "$1"
}

is_json() { python3 -c 'import json, sys; json.load(open(sys.argv[1], encoding="utf-8"))' "$1"; }

for expect_by in "${runners[@]}"; do
    damaged
    written
    for memory in raw engine; do
        answers
    done
done

check_done
