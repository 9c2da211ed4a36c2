#!/usr/bin/env bash
# What a thread's cache answers costs the same, to the instruction, with limits, callbacks, the watching thread, a published view
# and another manager's clerks as without. Calls that a manager counts itself and blocks that it tracks cost no more than twice.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

program=build/linux/tests/instructions
mkdir -p build/linux/tests
if ! ${CC:-gcc} -std=gnu11 -O2 -Wall -Wextra -Werror -Iinclude tests/scripts/instructions.c build/linux/libhostmem.a -pthread \
    -o $program; then
    echo "0 passed, 1 failed"
    exit 1
fi

# count REQUEST off|on|counted|tracked: instructions of a thousand pairs; nothing if they could not be counted.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect=counted \
        $program "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

for request in IHostMalloc DebugAlloc IHostMemoryManager HmHeapAlloc HmVirtualAlloc; do
    off=$(count $request off)
    on=$(count $request on)
    echo "$request: ${off:-not counted} instructions for a thousand pairs without all that, ${on:-not counted} with"
    [ -n "$off" ] && [ "$off" -gt 1000 ] && [ "$off" = "$on" ]
    verdict "$request" $?
done

# within WHAT REQUEST MODE TWENTIETHS: at most so many twentieths of what the pair costs otherwise.
within() {
    local off on
    off=$(count "$2" off)
    on=$(count "$2" "$3")
    echo "$1: ${off:-not counted} instructions for a thousand pairs, ${on:-not counted} with"
    [ -n "$off" ] && [ -n "$on" ] && [ "$on" -gt "$off" ] && [ $((on * 20)) -le $((off * $4)) ]
    verdict "$1" $?
}

within 'blocks tracked by file and line' DebugAlloc tracked 40
within 'blocks tracked by a sample of stacks' IHostMalloc tracked 40
within 'calls counted' IHostMalloc counted 40
check_done
