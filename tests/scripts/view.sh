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

# unwritten NAME COMMAND...: output that a full disk, or nobody, takes is not lost in silence.
unwritten() {
    local name=$1
    shift
    timeout 30 "$@" >/dev/full 2>"$work/errors" </dev/null
    equal "$name, to a full disk, status" $? 2
    matches "$name, to a full disk" "$work/errors" 'standard output cannot be written'
    timeout 30 "$@" >&- 2>"$work/errors" </dev/null
    equal "$name, to nobody, status" $? 2
    matches "$name, to nobody" "$work/errors" 'standard output cannot be written'
}

is_json() { python3 -c 'import json, sys; [json.loads(line) for line in open(sys.argv[1], encoding="utf-8")]' "$1"; }

# The terminal of a program that is looked at in full: python3 terminal.py HOW ROWS FILE COMMAND... runs it in one of 80 columns,
# ends it by a signal, or by closing its output (pipe), and prints its status, and whether the terminal has its echo again. FILE
# gets the most lines that it drew at once.
cat >"$work/terminal.py" <<'END'
import fcntl, os, pty, select, signal, struct, sys, termios, time

how, rows, drawn, command = sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.argv[4:]
master, slave = pty.openpty()
fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", rows, 80, 0, 0))
pipe_read, pipe_write = os.pipe()
files = [master, pipe_read] if how == "pipe" else [master]
child = os.fork()
if child == 0:
    os.setsid()
    fcntl.ioctl(slave, termios.TIOCSCTTY, 0)
    for number in range(3):
        os.dup2(pipe_write if how == "pipe" and number == 1 else slave, number)
    os.closerange(3, 99)
    os.execvp(command[0], command)
os.close(pipe_write)
shown = b""
def read_for(seconds):
    global shown
    end = time.time() + seconds
    while time.time() < end:
        for file in select.select(files, [], [], 0.05)[0]:
            shown += os.read(file, 65536)
def echoes():
    return "echo" if termios.tcgetattr(slave)[3] & termios.ECHO else "no echo"
read_for(1)
before = echoes()
said = []
if how == "pipe":
    os.close(files.pop())
elif how == "TSTP":
    os.kill(child, signal.SIGTSTP)
    read_for(0.5)
    said = [echoes() if os.waitpid(child, os.WUNTRACED | os.WNOHANG)[0] == child else "goes on"]
    os.kill(child, signal.SIGCONT)
    read_for(0.5)
    said += [echoes()]
    os.kill(child, signal.SIGTERM)
else:
    os.kill(child, getattr(signal, "SIG" + how))
read_for(1)
pid, status = os.waitpid(child, os.WNOHANG)
if pid == 0:
    os.kill(child, signal.SIGKILL)
print(*[before, *said, "runs" if pid == 0 else os.waitstatus_to_exitcode(status), echoes()])
with open(drawn, "w") as file:
    print(max(screen.count(b"\n") + 1 for screen in shown.split(b"\033[H")), file=file)
END
terminal() {
    timeout 30 python3 "$work/terminal.py" "$1" 24 "$work/drawn" $top --interval 100 "$held" 2>"$work/errors"
}

# fits NAME COLUMNS: no line of $work/out is wider.
fits() {
    LC_ALL=C.UTF-8 awk -v most="$2" 'length($0) > most' "$work/out" >"$work/wide"
    equal "$1" "$(cat "$work/wide")" ''
}

top=$build/hostmem-top
map=$build/hostmem-map
built $top $map $build/tests/view/hold $build/tests/preload/hold "$library"

# ---- A program that is linked with the engine ---------------------------------------------------------------------

# Without the keeper: what the program keeps at hand is still there when it is looked at, however slow the machine.
hold HOSTMEM_PUBLISH=50 HOSTMEM_NO_KEEPER=1 $build/tests/view/hold
look $top "$held" --once --json
verdict 'top --once --json' $?
for key in reserved_bytes committed_bytes allocations live_blocks live_bytes cached_spans heaps; do
    equal "top, $key" "$(number "$work/out" $key)" "$(number "$work/own" $key)"
done
equal 'top, blocks of size 48' "$(live 48)" 20000
equal 'top, process' "$(number "$work/out" process)" "$held"
equal 'top, what is charged to the process' "$(budget '"budget": ' committed_bytes)" "$(number "$work/own" charged)"
equal 'top, managers' "$(number "$work/out" managers)" "$(number "$work/own" managers)"
equal 'top, a limit of a manager' "$(budget '"name": "host of hold"' soft_commit_bytes)" 4718592
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
matches 'top, table of budgets' "$work/out" '^1 host of hold  *committed  *3\.3 MiB .* 4\.5 MiB  *6\.0 MiB  *1 '
matches 'top, table of heaps' "$work/out" '^HEAP  *taken .*live'
matches 'top, table of size classes' "$work/out" '^48 .* 20,000 '
matches 'top, no colours in a file' "$work/out" '^allocations'
kill -CONT "$held"
for how in INT TERM HUP QUIT; do
    equal "top, ended by SIG$how, leaves the terminal as it was" "$(terminal $how)" 'no echo 0 echo'
done
equal 'top, whose output is closed' "$(terminal pipe)" 'no echo 2 echo'
equal 'top, stopped for a while' "$(terminal TSTP)" 'no echo echo no echo 0 echo'
check 'top draws no more lines than there are' [ "$(cat "$work/drawn")" -le 24 ]
look $map "$held"
verdict 'map' $?
matches 'map, legend' "$work/out" 'one cell is 64'
matches 'map, a row' "$work/out" '^  [0-9a-f]{12}  [.aksL]{32,}$'
matches 'map, outside' "$work/out" '5.0 GiB reserved, +64.0 KiB committed'
for columns in 100 80 60 40; do
    COLUMNS=$columns look $map "$held"
    fits "map, in $columns columns" $columns
done
matches 'map, a row of a narrow terminal' "$work/out" '^  [0-9a-f]{12}  [.aksL]{16}$'
unwritten 'map' $map "$held"
unwritten 'map --json' $map --json "$held"
unwritten 'map --svg -' $map --svg - "$held"
unwritten 'map --help' $map --help
unwritten 'top --once' $top --once "$held"
unwritten 'top --once --json' $top --once --json "$held"
unwritten 'top --json' $top --json "$held"
refused 'map, a picture on a full disk' 2 "'/dev/full' cannot be written" $map --svg /dev/full "$held"
refused 'map, two things to standard output' 2 'both go to' $map --svg - --json "$held"
refused 'map, no rows' 2 '--rows: 0 is out of bounds' $map --rows 0 "$held"
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
refused 'map, a file that cannot be written' 2 'No such file' $map --svg "$work/none/map.svg" "$held"
if [ "$(id -u)" = 0 ] && command -v setpriv >/dev/null; then
    refused "another user's process" 3 'belongs to root' setpriv --reuid=65534 --regid=65534 --clear-groups $top --once "$held"
    refused "another user's process, map" 3 'belongs to root' setpriv --reuid=65534 --regid=65534 --clear-groups $map "$held"
fi
refused 'too fast' 2 '--interval: 1 is' $top --interval 1 "$held"
timeout 30 $top --json --interval 100 "$held" >"$work/looks" 2>"$work/errors" 7>&- &
looking=$!
sleep 0.5
gone=$held
exec 7>&-
wait $looking
equal 'top, until the process ends' $? 0
check 'top, until the process ends: all is JSON' is_json "$work/looks"
matches 'top, until the process ends' "$work/errors" "process $gone has ended"
let_go
refused 'a process that has ended' 3 'there is no process' $top --once "$gone"

# ---- Who cannot be looked at --------------------------------------------------------------------------------------

refused 'a process without the engine' 3 'does not run on hostmem' $top --once $$
refused 'a process without the engine, map' 3 'does not run on hostmem' $map $$
refused 'no PID' 2 'PID is missing' $top
refused 'not a PID' 2 "'12x' is not a PID" $top 12x
refused 'two PIDs' 2 "'13' is too many" $map 12 13
refused 'no PID at all' 2 "'99999999999999999999999' is not a PID" $map 99999999999999999999999
refused 'a number too large' 2 "'99999999999999999999' is too large" $map --rows 99999999999999999999 12
hold LD_PRELOAD="$library" $build/tests/preload/hold --hold
refused 'a process that publishes nothing' 3 'publishes no view: start it with HOSTMEM_PUBLISH=1' $top --once "$held"
let_go
hold HOSTMEM_PUBLISH=9 LD_PRELOAD="$library" $build/tests/preload/hold --hold
refused 'an interval out of range' 3 'publishes no view: start it with HOSTMEM_PUBLISH=1' $top --once "$held"
let_go

# ---- Preloaded programs -------------------------------------------------------------------------------------------

hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" $build/tests/preload/hold --hold
look $top --once --json "$held"
verdict 'preloaded, top' $?
equal 'preloaded, its blocks' "$(live 2560)" 5000
look $map --json "$held"
matches 'preloaded, map' "$work/out" '"use": "slab"'
let_go
# A name that is no UTF-8.
cp $build/tests/preload/hold "$work/$(printf 'h\377"ld')"
hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" "$work/$(printf 'h\377"ld')" --hold
look $top --once --json "$held"
check 'a name of other bytes, top: JSON' is_json "$work/out"
matches 'a name of other bytes, top' "$work/out" '"program": "h.ufffd.*ld"'
look $map --svg "$work/map.svg" "$held"
check 'a name of other bytes, map: UTF-8' iconv -f UTF-8 -t UTF-16 "$work/map.svg"
let_go
# One that would have the terminal do things. (Such a name, with a letter cut in two, can a thread have, too.)
cp $build/tests/preload/hold "$work/$(printf 'x\033[7m\302\233y\nz')"
hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" "$work/$(printf 'x\033[7m\302\233y\nz')" --hold
look $top --once "$held"
matches 'a name of controls, top' "$work/out" '^hostmem-top  x.\[7m..y.z  process'
check 'a name of controls, top: none of them' eval '! LC_ALL=C grep -qaP "\033|\302\233" "$work/out"'
look $map "$held"
matches 'a name of controls, map' "$work/out" '^x.\[7m..y.z  process'
check 'a name of controls, map: none of them' eval '! LC_ALL=C grep -qaP "\033|\302\233" "$work/out"'
let_go
cp $build/tests/preload/hold "$work/äöüßäöüß"
hold HOSTMEM_PUBLISH=50 LD_PRELOAD="$library" "$work/äöüßäöüß" --hold
look $top --once "$held"
check 'a name that is cut inside a letter, top: UTF-8' iconv -f UTF-8 -t UTF-16 "$work/out"
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
    HOSTMEM_PUBLISH=50 HOSTMEM_NO_KEEPER=1 \
        timeout 60 $wine "$windows/tests/view/hold.exe" 12 >"$work/own" 2>"$work/held-errors" </dev/null &
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
