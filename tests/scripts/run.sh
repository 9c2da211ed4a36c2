#!/usr/bin/env bash
# hostmem-run and hostmem-redirect.dll under Wine: programs of the project's own behave under it as they should, end as they
# would without it, get what they were started with; what cannot be served is refused by name and documented status. The
# conformance program, which calls Win32 itself, must say in each case what Win32 says or what the engine's own build says.
#
# usage: run.sh [BUILD-FOLDER]    (build/windows)
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh
export LC_ALL=C

build=${1:-build/windows}
wine="bash src/setup/wine.sh"
run=$build/hostmem-run.exe
programs=$build/tests/redirect
expect_by=$wine

# own NAME ARGUMENT...: a program that counts for itself, served, with and without counting.
own() {
    local name=$1
    shift
    expect "$name" 0 '^[0-9]+ passed, 0 failed' $run "$programs/$name.exe" "$@"
    expect "$name, counted" 0 '^[0-9]+ passed, 0 failed' $run --json "$work/$name.json" "$programs/$name.exe" "$@"
}

# both NAME ARGUMENT...: the same, and by the system's own answers.
both() {
    expect "$1, by Win32" 0 '^[0-9]+ passed, 0 failed' "$programs/$1.exe" "${@:2}"
    own "$@"
}

# served NAME LEAST: in the report that `own` left, the engine answered at least so many calls.
served() {
    local count
    count=$(grep -oE '"by": "engine"[^}]*"calls": [0-9]+' "$work/$1.json" | grep -oE '[0-9]+$' |
        awk '{ n += $1 } END { print n + 0 }')
    [ "$count" -ge "$2" ]
    verdict "$1: $count calls served, $2 expected" $? "$work/$1.json"
}

# same NAME COMMAND...: the same output, errors and exit status as without hostmem-run. (Wine cuts a status to 8 bits.)
same() {
    local name=$1 plain=0 got=0
    shift
    timeout -k 5 60 $wine "$@" >"$work/plain" 2>"$work/plain.err" <"$work/input" || plain=$?
    timeout -k 5 60 $wine $run "$@" >"$work/served" 2>"$work/served.err" <"$work/input" || got=$?
    [ $plain = $got ]
    verdict "$name: status $got, without hostmem-run $plain" $? "$work/served.err"
    # What Wine says of a crash has numbers of its own; and see conform.
    sed -i '/^wine: Unhandled/d; /^wine client error:/d' "$work/plain.err" "$work/served.err"
    cmp "$work/plain" "$work/served" >"$work/diff" 2>&1 && cmp "$work/plain.err" "$work/served.err" >>"$work/diff" 2>&1
    verdict "$name, output" $? "$work/diff"
}

built $run $build/hostmem-redirect.dll $programs/ends.exe $build/tests/conform/conform.exe $build/tests/fuzz/fuzz_diff.exe
printf 'a line\nand another' >"$work/input"

# Serving.
own early
served early 20
own threads
served threads 40000
own walk
served walk 100
own forms
served forms 60
both mirror
served mirror 30
both pointers
served pointers 15
both handles
served handles 20
both stacks
served stacks 400
both detour
served detour 2
expect "native, by Win32" 0 '^[0-9]+ passed, 0 failed' $programs/native.exe
expect "native, passed on" 0 '^[0-9]+ passed, 0 failed' $run --off --json "$work/off.json" $programs/native.exe
own native windows
served native 500
own load $programs/part.dll
served load 600

# Write watch: the same answers by Wine alone, by Wine's under the hooks, and by the engine, where the kernel can tell it. Wine
# does not see what it writes for WriteProcessMemory; Windows does, and so does the engine. (That is one check more.)
answers() {
    timeout -k 5 60 $wine "$@" 2>&1 </dev/null | tr -d '\r' |
        sed '/^by WriteProcessMemory:/d; s/^[0-9]* passed, 0 failed$/passed/'
}
watcher=wine by='"by": "system", "reason": "write watch"'
if printf '6.7\n%s\n' "$(uname -r)" | sort -CV && grep -q '^Seccomp:[[:space:]]*0$' /proc/self/status; then
    watcher=engine by='"by": "engine"'
fi
answers $programs/watch.exe wine >"$work/watch.wine"
[ "$(grep -c 'granularity 4096' "$work/watch.wine")" -gt 40 ] && [ "$(tail -n 1 "$work/watch.wine")" = passed ]
verdict "write watch, Wine's answers" $? "$work/watch.wine"
answers $run --write-watch forward --json "$work/forward.json" $programs/watch.exe wine >"$work/watch.forward"
answers $run --json "$work/serve.json" $programs/watch.exe $watcher >"$work/watch.serve"
for how in forward serve; do
    diff "$work/watch.wine" "$work/watch.$how" >"$work/diff" 2>&1
    verdict "write watch, $how: the same answers" $? "$work/diff"
done
grep -qE '"kind": "written pages", "by": "system", "reason": "write watch"' "$work/forward.json"
verdict "write watch, forward: by the system" $? "$work/forward.json"
grep -qE "\"kind\": \"written pages\", $by" "$work/serve.json"
verdict "write watch, serve: $by" $? "$work/serve.json"
own watch $watcher threads

both heap
expect "heap, served" 0 '^[0-9]+ passed, 0 failed' $run --heap --json "$work/heap.json" $programs/heap.exe
served heap 40000
for alone in 0 1; do # with the background thread, and without
    HOSTMEM_HARD_COMMIT=48M HOSTMEM_NO_KEEPER=$alone \
        expect "heap, at a limit" 0 '^[0-9]+ passed, 0 failed' $run --heap $programs/heap.exe limit
done
export HOSTMEM_HEAP=1
for program in early threads walk forms detour; do
    expect "$program, with heaps" 0 '^[0-9]+ passed, 0 failed' $run $programs/$program.exe
done
expect "load, with heaps" 0 '^[0-9]+ passed, 0 failed' $run $programs/load.exe $programs/part.dll
unset HOSTMEM_HEAP

expect "a program that loads the DLL itself" 0 '^[0-9]+ passed, 0 failed' $programs/own.exe $build/hostmem-redirect.dll
expect "a program that unloads the engine" 0 '^[0-9]+ passed, 0 failed' $programs/unload.exe $build/hostmem.dll

# Starting and ending.
export ECHO_THIS='not ASCII: ä'
same "what a program is started with" $programs/echo.exe 'two words' 'a"quote' '' '\\back\' 'ä' --report
same "no arguments" $programs/echo.exe
timeout -k 5 60 $wine $run --json "$work/open.json" --trace "$work/open.trace" $programs/echo.exe >"$work/open" 2>&1 \
    <"$work/input"
equal "files that a program has open, with a report" "$(grep -a files: "$work/open")" "$(grep -a files: "$work/plain")"
for how in crash exit kill return busy thread self; do
    same "ends by $how" $programs/ends.exe $how
done

# A program's name without .exe, beside a folder or a script that is called so; an import directory that tells no size (word 37
# behind the place that the word at 60 tells).
mkdir -p "$work/names/folder"
for name in folder script bare; do cp $programs/ends.exe "$work/names/$name.exe"; done
echo 'echo no' >"$work/names/script"
mv "$work/names/bare.exe" "$work/names/bare"
for name in folder script bare; do expect "the name $name" 5 '' $run "$work/names/$name" return; done
at=$(od -An -tu4 -j60 -N4 $programs/handles.exe | tr -d ' ')
for size in 0 20; do
    cp $programs/handles.exe "$work/names/size.exe"
    printf "\\x$(printf %x $size)\\0\\0\\0" | dd of="$work/names/size.exe" bs=1 seek=$((at + 148)) conv=notrunc 2>/dev/null
    expect "imports of size $size, by Win32" 0 '^[0-9]+ passed, 0 failed' "$work/names/size.exe"
    expect "imports of size $size" 0 '^[0-9]+ passed, 0 failed' $run --json "$work/size.json" "$work/names/size.exe"
    served size 20
done

# Headers far behind the start, as in a file that is a program for several systems; and no directory as far as that of imports.
at=$(od -An -tu4 -j60 -N4 $programs/ends.exe | tr -d ' ')
cp $programs/ends.exe "$work/names/far.exe"
dd if=/dev/zero of="$work/names/far.exe" bs=1 seek=$at count=1024 conv=notrunc 2>/dev/null
dd if=$programs/ends.exe of="$work/names/far.exe" bs=1 skip=$at seek=12288 count=1024 conv=notrunc 2>/dev/null
printf '\0\x30\0\0' | dd of="$work/names/far.exe" bs=1 seek=60 conv=notrunc 2>/dev/null
same "headers far behind" "$work/names/far.exe" return
cp $programs/ends.exe "$work/names/few.exe"
printf '\1' | dd of="$work/names/few.exe" bs=1 seek=$((at + 132)) conv=notrunc 2>/dev/null
expect "one directory" 122 'imports nothing' $run "$work/names/few.exe" return
# Two directories, and eleven, which is none of bound imports: the sections' headers are moved to behind them.
sections=$(od -An -tu2 -j$((at + 6)) -N2 $programs/ends.exe | tr -d ' ')
for count in 2 11 16; do
    cp $programs/ends.exe "$work/names/few.exe"
    dd if=$programs/ends.exe of="$work/names/few.exe" bs=1 skip=$((at + 264)) seek=$((at + 136 + 8 * count)) \
        count=$((40 * sections)) conv=notrunc 2>/dev/null
    printf "\\x$(printf %x $((112 + 8 * count)))" | dd of="$work/names/few.exe" bs=1 seek=$((at + 20)) conv=notrunc 2>/dev/null
    printf "\\x$(printf %x $count)" | dd of="$work/names/few.exe" bs=1 seek=$((at + 132)) conv=notrunc 2>/dev/null
    expect "$count directories" 5 '' $run "$work/names/few.exe" return
    expect "$count directories, and what is behind them" 0 '^[0-9]+ passed, 0 failed' $programs/header.exe \
        $build/hostmem-redirect.dll "$work/names/few.exe"
done

# Letters that no code page has together.
mkdir "$work/€ Ω"
cp $programs/ends.exe "$work/€ Ω/ä Ω.exe"
LC_ALL=C.UTF-8 expect "a report beyond the code page" 5 '' $run --json "$work/€ Ω/Ω.json" --trace "$work/€ Ω/Ω.trace" \
    "$work/€ Ω/ä Ω.exe" return
check "its text" grep -qF 'ä Ω.exe", "status"' "$work/€ Ω/Ω.json"
check "its encoding" iconv -f UTF-8 -t UTF-8 "$work/€ Ω/Ω.json" "$work/€ Ω/Ω.trace"

# The console goes: hostmem-run waits for what the program makes of that.
expect "a console that is closed" 9 '' $run $programs/ends.exe close

# json NAME PATTERN: the report of the last run has it.
json() {
    grep -qE -- "$2" "$work/report"
    verdict "$1: /$2/" $? "$work/report"
}

expect "a report" 3 '' $run --json "$work/report" $programs/ends.exe exit
json "all 32 bits of a status" '"status": 3203334147,'
expect "a report of a crash" 5 '' $run --json "$work/report" $programs/ends.exe crash
json "a crash's status and calls" '"status": 3221225477,.*"kind": "reserve.commit", "by": "engine"'
expect "a report of a killed program" 69 '' $run --json "$work/report" $programs/ends.exe kill
json "a killed program's calls" '"kind": "reserve.commit", "by": "engine"'
expect "commits in a view" 0 '^[0-9]+ passed, 0 failed' $run --json "$work/report" $programs/forms.exe
json "a view's commits" '"kind": "commit", "by": "system", "reason": "mapped view"'
grep -q '"too large"' "$work/report" && verdict "a reservation of 1 TiB, by the system" 1 "$work/report"
expect "write watch, refused" 0 '^[0-9]+ passed, 0 failed' $run --write-watch refuse $programs/forms.exe refused
expect "no such choice" 2 'write-watch' $run --write-watch maybe $programs/echo.exe
expect "everything passed on" 5 '' $run --off --json "$work/report" $programs/ends.exe return
json "nothing is served under --off" '"off": true.*"reason": "off"'
grep -q '"by": "engine"' "$work/report" && verdict "served under --off" 1 "$work/report"
expect "children, left alone" 3 '' $run --json "$work/report" $programs/ends.exe self
json "one process" '"processes": 1,'
expect "children" 3 '' $run --children --json "$work/report" $programs/ends.exe self
json "two processes" '"processes": 2,'
expect "ways to start children" 0 '^[0-9]+ passed, 0 failed' $programs/children.exe alone
expect "ways to start children, left alone" 0 '^[0-9]+ passed, 0 failed' $run $programs/children.exe alone
expect "ways to start children, served" 0 '^[0-9]+ passed, 0 failed' $run --children --json "$work/report" \
    $programs/children.exe served
json "children of all ways" '"processes": 9,'
expect "a table" 5 'reserve\+commit +1 +0' $run --report $programs/ends.exe return
expect "a trace" 0 '0 failed' $run --trace "$work/trace" $programs/forms.exe
expect "a replay of the trace" 0 '^differences from the recording: 0' $build/hostmem-replay.exe "$work/trace"
expect "a trace of native" 0 '0 failed' $run --trace "$work/trace" $programs/native.exe windows
expect "a replay of its trace" 0 '^differences from the recording: 0' $build/hostmem-replay.exe "$work/trace"
expect "a trace of handles" 0 '0 failed' $run --trace "$work/trace" $programs/handles.exe
expect "a replay of its trace" 0 '^differences from the recording: 0' $build/hostmem-replay.exe "$work/trace"
# The one is what VirtualProtect does before it finds that its answer lies in the very pages.
expect "a trace of pointers" 0 '0 failed' $run --trace "$work/trace" $programs/pointers.exe
expect "a replay of its trace" 1 '^differences from the recording: 1\b' $build/hostmem-replay.exe "$work/trace"
expect "a trace without room" 0 'no room for' $run --trace "$work/trace" --trace-calls 3 $programs/forms.exe
for i in 1 2 3 4 5 6 7 8 9 10; do
    expect "ends while threads allocate, $i" 7 '' $run $programs/ends.exe busy
done

# Refusals.
expect "help" 0 'exit status' $run --help
expect "no program" 2 'PROGRAM is missing' $run
expect "an unknown option" 2 '--reprot' $run --reprot $programs/echo.exe
expect "a report that cannot be written" 2 'no-such-folder' $run --json no-such-folder/x $programs/echo.exe
for option in --json --trace; do
    expect "$option to a full disk" 2 "'/dev/full' cannot be written" $run $option /dev/full $programs/early.exe
    expect "$option to a full disk, and the program's own status" 5 "'/dev/full' cannot be written" \
        $run $option /dev/full $programs/ends.exe return
done
expect "a trace of no calls" 2 '--trace-calls: 0 is out of bounds' $run --trace-calls 0 --trace "$work/trace" $programs/echo.exe
expect "a missing program" 120 "no program 'no-such.exe'" $run no-such.exe
expect "a folder" 120 "no program" $run $programs/
expect "not a program" 120 'not a Windows program' $run tests/scripts/run.sh
expect "a DLL" 120 'not a Windows program' $run $build/hostmem.dll
expect "a program without imports" 122 'imports nothing' $run $programs/none.exe
head -c 4096 $programs/echo.exe >"$work/short.exe"
expect "a program that was cut off" 120 'does not start' $run "$work/short.exe"
# The machine's number, 4 bytes after the place that the word at 60 tells.
cp $programs/echo.exe "$work/other.exe"
at=$(od -An -tu4 -j60 -N4 "$work/other.exe" | tr -d ' ')
printf '\x4c\x01' | dd of="$work/other.exe" bs=1 seek=$((at + 4)) conv=notrunc 2>/dev/null
expect "a 32-bit program" 121 'a 32-bit program' $run "$work/other.exe"
cp $run "$work/hostmem-run.exe"
expect "no DLL" 123 'no hostmem-redirect.dll' "$work/hostmem-run.exe" $programs/echo.exe
cp $build/hostmem.dll "$work/hostmem-redirect.dll"
expect "another DLL" 123 'of version 0' "$work/hostmem-run.exe" $programs/echo.exe
mkdir "$work/ä"
cp $run $build/hostmem-redirect.dll "$work/ä"
expect "a folder beyond ASCII" 5 '' "$work/ä/hostmem-run.exe" $programs/ends.exe return

# Conformance: what differs from Win32 must be what the engine's own build differs in. (Of a thread that is being started while
# its process ends Wine says that its server is not there.)
conform() {
    timeout 60 $wine "$@" </dev/null 2>&1 | tr -d '\r' | grep -v '^wine client error:'
}
conform $build/tests/conform/conform-raw.exe >"$work/raw"
conform $build/tests/conform/conform.exe >"$work/engine"
conform $run $build/tests/conform/conform-raw.exe >"$work/served"
awk 'FILENAME == ARGV[1] { raw[FNR] = $0; next }
    FILENAME == ARGV[2] { engine[FNR] = $0; next }
    $0 != raw[FNR] && $0 != engine[FNR] { print "raw    " raw[FNR] "\nengine " engine[FNR] "\nserved " $0; bad = 1 }
    $0 != raw[FNR] { ours++ }
    END { if (ours < 20) print ours + 0 " cases were not as Win32 has them: was the program served?"; exit bad || ours < 20 }' \
    "$work/raw" "$work/engine" "$work/served" >"$work/cases"
verdict "conformance" $? "$work/cases"
[ "$(tail -n 1 "$work/served")" = end ]
verdict "conformance, to the end" $? "$work/served"

# What the fuzzer takes for Win32 is then the engine in the DLL, below an engine of its own.
export HOSTMEM_TEST_SECONDS=5
expect "the differential fuzzer" 0 '^[0-9]{5,} passed, 0 failed' $run $build/tests/fuzz/fuzz_diff.exe

check_done
