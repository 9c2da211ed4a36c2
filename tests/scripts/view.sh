#!/usr/bin/env bash
# hostmem-top and hostmem-map on living processes: what they say is what the process itself counts, on Linux and under Wine, for
# programs linked with the engine and for preloaded ones; they say clearly why they cannot look at others. Half a minute.
#
# usage: view.sh [BUILD-FOLDER [WINDOWS-BUILD-FOLDER]]    (build/linux and build/windows)
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh
export LC_ALL=C
unset HOSTMEM_PUBLISH NO_COLOR CLICOLOR_FORCE COLUMNS LINES

build=${1:-build/linux}
windows=${2:-build/windows}
library=$(realpath -m "$build/libhostmem-malloc.so")
held= # the process that is being looked at; descriptor 7 keeps it alive

at_end() {
    exec 7>&-
    [ -z "$held" ] || kill "$held" 2>/dev/null
}

# matches NAME FILE PATTERN
matches() {
    grep -qE -- "$3" "$2" 2>/dev/null
    verdict "$1: /$3/" $? "$2"
}

# hold NAME=value... COMMAND: starts it, waits until it has said its line, which goes to $work/own; its number in $held.
hold() {
    rm -f "$work/input"
    mkfifo "$work/input"
    : >"$work/own"
    timeout 60 env "$@" <"$work/input" >"$work/own" 2>"$work/held-errors" &
    local keeper=$!
    exec 7>"$work/input"
    for _ in $(seq 200); do
        [ -s "$work/own" ] && break
        sleep 0.05
    done
    held=$(pgrep -P $keeper | head -n 1)
}

let_go() {
    exec 7>&-
    wait
    held=
}

# number FILE KEY: the first number after the key.
number() { grep -oE "\"$2\": [0-9]+" "$1" | head -n 1 | grep -oE '[0-9]+$'; }

sum() { awk '{ sum += $NF } END { print sum + 0 }'; }

# live SIZE: how many blocks of that size class the last look saw.
live() { grep -oE "\"size_bytes\": $1, [^}]*" "$work/out" | grep -oE '"live": [0-9]+' | grep -oE '[0-9]+'; }

# budget AFTER KEY: a figure of the first budget after that text, of the last look.
budget() {
    grep -oE "$1.*" "$work/out" | grep -oE '"budget": \{[^}]*' | head -n 1 | grep -oE "\"$2\": [0-9]+" | grep -oE '[0-9]+$'
}

# Looks when the view is of what the process has by now.
look() {
    local tool=$1
    shift
    sleep 0.7
    timeout 30 "$tool" "$@" >"$work/out" 2>"$work/errors"
}

# refused NAME STATUS PATTERN COMMAND...
refused() {
    local name=$1 status=$2 pattern=$3
    shift 3
    timeout 30 "$@" >"$work/out" 2>"$work/errors" </dev/null
    equal "$name, status" $? "$status"
    matches "$name, message" "$work/errors" "$pattern"
    equal "$name, nothing else said" "$(wc -c <"$work/out")" 0
}

top=$build/hostmem-top
map=$build/hostmem-map
built $top $map $build/tests/view/hold $build/tests/preload/hold "$library"

# ---- A program that is linked with the engine ---------------------------------------------------------------------

hold HOSTMEM_PUBLISH=50 $build/tests/view/hold
look $top "$held" --once --json
verdict 'top --once --json' $?
for key in reserved_bytes committed_bytes allocations live_blocks live_bytes cached_spans heaps; do
    equal "top, $key" "$(number "$work/out" $key)" "$(number "$work/own" $key)"
done
equal 'top, blocks of size 48' "$(live 48)" 20000
equal 'top, process' "$(number "$work/out" process)" "$held"
equal 'top, what is charged to the process' "$(budget '"budget": ' committed_bytes)" "$(number "$work/own" charged)"
equal 'top, managers' "$(number "$work/out" managers)" "$(number "$work/own" managers)"
equal 'top, a limit of a manager' "$(budget '"name": "host of hold"' soft_commit_bytes)" 4194304
equal 'top, what is charged to a manager' "$(budget '"name": "host of hold"' committed_bytes)" $((3072 * 1024 + 320 * 1024))
equal 'top, what its limit refused' "$(budget '"name": "host of hold"' refused_task)" 1
matches 'top, thread' "$work/out" "\"thread\": $held, \"name\": \"hold\""
timeout 5 $top --json --interval 200 "$held" >"$work/two" 2>&1 &
looking=$!
sleep 1
kill -TERM $looking
wait $looking
matches 'top, rates from the second look on' "$work/two" '"rates": \{.*"refills": 0.000'
# A stopped process is looked at all the same: reading asks nothing of it.
kill -STOP "$held"
look $top --once "$held"
verdict 'top of a stopped process' $?
matches 'top, table of budgets' "$work/out" '^1 host of hold  *committed  *3\.3 MiB .* 4\.0 MiB  *6\.0 MiB  *1 '
matches 'top, table of heaps' "$work/out" '^HEAP  *taken .*live'
matches 'top, table of size classes' "$work/out" '^48 .* 20,000 '
matches 'top, no colours in a file' "$work/out" '^allocations'
kill -CONT "$held"
look $map "$held"
verdict 'map' $?
matches 'map, legend' "$work/out" 'one cell is 64'
matches 'map, a row' "$work/out" '^  [0-9a-f]{12}  [.aksL]{32,}$'
matches 'map, outside' "$work/out" '5.0 GiB reserved, +64.0 KiB committed'
look $map --json "$held"
inside=$(grep -oE '"use": "allocation", "committed_pages": [0-9]+' "$work/out" | sum)
outside=$(grep -oE '"system_allocations".*' "$work/out" | grep -oE '"committed_bytes": [0-9]+' | sum)
equal 'map, committed pages of allocations' $((inside * 4096 + outside)) "$(number "$work/own" committed_bytes)"
look $map --svg "$work/map.svg" "$held"
verdict 'map --svg' $?
matches 'map, picture' "$work/map.svg" '^<svg .*viewBox'
matches 'map, picture ends' "$work/map.svg" '^</svg>$'
if command -v xmllint >/dev/null; then
    xmllint --noout "$work/map.svg" 2>"$work/errors"
    verdict 'map, picture is XML' $?
fi
refused 'map, a file that cannot be written' 1 'cannot write' $map --svg "$work/none/map.svg" "$held"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    refused "another user's process" 3 'belongs to root' setpriv --reuid=65534 --regid=65534 --clear-groups $top --once "$held"
    refused "another user's process, map" 3 'belongs to root' setpriv --reuid=65534 --regid=65534 --clear-groups $map "$held"
fi
refused 'too fast' 2 'interval' $top --interval 1 "$held"
gone=$held
let_go
refused 'a process that has ended' 3 'there is no process' $top --once "$gone"

# ---- Who cannot be looked at --------------------------------------------------------------------------------------

refused 'a process without the engine' 3 'does not run on hostmem' $top --once $$
refused 'a process without the engine, map' 3 'does not run on hostmem' $map $$
refused 'no PID' 2 'PID is missing' $top
refused 'not a PID' 2 "'12x' is not a PID" $top 12x
refused 'two PIDs' 2 "'13' is too many" $map 12 13
hold LD_PRELOAD="$library" $build/tests/preload/hold --hold
refused 'a process that publishes nothing' 3 'publishes no view: start it with HOSTMEM_PUBLISH=1' $top --once "$held"
let_go

# ---- Preloaded programs -------------------------------------------------------------------------------------------

hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" $build/tests/preload/hold --hold
look $top --once --json "$held"
verdict 'preloaded, top' $?
equal 'preloaded, its blocks' "$(live 2560)" 5000
look $map --json "$held"
matches 'preloaded, map' "$work/out" '"use": "slab"'
let_go
hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" $build/tests/preload/hold --fork
child=$(cat "$work/own")
look $top --once --json "$child"
verdict 'a child made by fork' $?
equal 'a child made by fork, process' "$(number "$work/out" process)" "$child"
equal 'a child made by fork, its blocks' "$(live 2560)" 2500
look $top --once --json "$held"
equal "its parent's blocks" "$(live 2560)" 5000
let_go
hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" $build/tests/preload/hold --close
look $top --once --json "$held"
verdict 'a program that closed all files' $?
let_go

# ---- Windows ------------------------------------------------------------------------------------------------------

wine='bash src/setup/wine.sh'
if [ -e "$windows/hostmem-top.exe" ] && [ -e "$windows/tests/view/hold.exe" ]; then
    : >"$work/own"
    HOSTMEM_PUBLISH=50 timeout 60 $wine "$windows/tests/view/hold.exe" 12 >"$work/own" 2>"$work/held-errors" </dev/null &
    for _ in $(seq 400); do
        [ -s "$work/own" ] && break
        sleep 0.05
    done
    sleep 1
    pid=$(number "$work/own" process)
    timeout 60 $wine "$windows/hostmem-top.exe" --once --json "${pid:-0}" >"$work/out" 2>"$work/errors"
    verdict 'Windows, top' $?
    for key in reserved_bytes committed_bytes allocations live_blocks live_bytes cached_spans heaps; do
        equal "Windows, $key" "$(number "$work/out" $key)" "$(number "$work/own" $key)"
    done
    timeout 60 $wine "$windows/hostmem-map.exe" --svg - "${pid:-0}" >"$work/map.svg" 2>"$work/errors"
    verdict 'Windows, map' $?
    matches 'Windows, picture' "$work/map.svg" '^</svg>'
    wait
    refused 'Windows, a process that has ended' 3 'there is no process' $wine "$windows/hostmem-top.exe" --once "${pid:-4}"
else
    verdict "hostmem-top.exe and tests/view/hold.exe are built in $windows" 1
fi

check_done
