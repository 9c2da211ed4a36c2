#!/usr/bin/env bash
# hostmem-measure counts what is known of programs, ends as the command ends, and does not lose its figures in silence.
set -u
# Pages of 4 KiB, whatever the system gives unasked: PR_SET_THP_DISABLE, which is for what this starts, too.
[ -n "${HM_SMALL_PAGES:-}" ] || HM_SMALL_PAGES=1 exec python3 -c 'import ctypes, os, sys
ctypes.CDLL(None).prctl(41, 1, 0, 0, 0)
os.execvp("bash", ["bash", sys.argv[1]])' "$0"
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

measure=build/linux/hostmem-measure
# 64 MiB, of which every page is written: 16,384 pages.
writer='dd if=/dev/zero of=/dev/null bs=64M count=1 status=none'

# between NAME KEY LEAST MOST: that number of the last figures.
between() {
    local found
    found=$(grep -oE "\"$2\": [0-9]+" "$work/figures" | grep -oE '[0-9]+$')
    check "$1: $2 is ${found:-missing}, $3 to $4 expected" [ "${found:--1}" -ge "$3" -a "${found:--1}" -le "$4" ]
}

# measured NAME STATUS [OPTION...] COMMAND...
measured() {
    local name=$1 status=$2
    shift 2
    rm -f "$work/figures"
    expect "$name" "$status" '' $measure --json --out "$work/figures" "$@"
}

built $measure
# shellcheck disable=SC2086
measured 'pages' 0 $writer
between 'pages' processes 1 1
between 'pages' faults 16384 30000
between 'pages' peak_rss_kib 65536 90000
measured 'pages of a process that was waited for' 0 sh -c "$writer; :"
between 'pages of a process that was waited for' processes 1 1
between 'pages of a process that was waited for' faults 16384 30000
measured 'the processes of a name' 0 --name dd sh -c "($writer &); :"
between 'the processes of a name' processes 1 1
between 'the processes of a name' faults 16384 30000
measured 'none of that name' 0 --name no-such sh -c "$writer; :"
between 'none of that name' processes 0 0
between 'none of that name' faults 0 0
measured 'time' 0 sleep 0.4
between 'time' wall_us 400000 10000000
between 'time' user_us 0 200000
measured 'work' 0 sh -c 'i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done'
between 'work' user_us 20000 60000000

measured "the command's own status" 7 sh -c 'exit 7'
rm -f "$work/figures"
expect "the command's own status, started by a program that ignores its children" 7 '' \
    python3 -c 'import os, signal, sys; signal.signal(signal.SIGCHLD, signal.SIG_IGN); os.execv(sys.argv[1], sys.argv[1:])' \
    $measure --json --out "$work/figures" sh -c 'exit 7'
between 'started by a program that ignores its children' processes 1 1
measured 'a signal' 143 sh -c 'kill $$'
# Ctrl-C is the command's own, as a server's that ends by it: it goes to all of the terminal's group.
rm -f "$work/figures"
expect 'Ctrl-C' 5 '' python3 -c 'import os, signal, subprocess, sys
signal.signal(signal.SIGINT, signal.SIG_DFL)
process = subprocess.Popen(sys.argv[1:], start_new_session=True, stdout=subprocess.PIPE)
process.stdout.readline()
os.killpg(process.pid, signal.SIGINT)
sys.exit(process.wait())' \
    $measure --json --out "$work/figures" sh -c 'trap "exit 5" INT; echo begun; while :; do sleep 0.1; done'
between 'Ctrl-C' processes 1 1000
measured 'a command that is not there' 127 /no/such
check 'the figures are JSON' python3 -c 'import json, sys; json.load(open(sys.argv[1]))' "$work/figures"
expect 'a table' 0 '^page faults +[0-9]' $measure true
expect 'no command' 2 'COMMAND is missing' $measure
expect 'a file in no folder' 2 '/no/such/file' $measure --out /no/such/file true
for how in '' --json; do
    # shellcheck disable=SC2086
    expect "a full disk $how" 2 "'/dev/full' cannot be written" $measure $how --out /dev/full true
    # shellcheck disable=SC2086
    expect "a full disk, and the command's own status $how" 7 "'/dev/full' cannot be written" $measure $how --out /dev/full \
        sh -c 'exit 7'
done
expect 'no standard error' 2 '' sh -c '"$1" true 2>&-' sh $measure
expect 'the help to a full disk' 2 'standard output cannot be written' sh -c '"$1" --help >/dev/full' sh $measure
expect "standard streams that are closed are the command's as well" 0 '^closed$' sh -c \
    '"$1" --out "$2" sh -c "[ -e /proc/self/fd/0 ] || echo closed" <&-' sh $measure "$work/figures"

check_done
