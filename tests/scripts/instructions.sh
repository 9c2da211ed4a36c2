#!/usr/bin/env bash
# What a thread's cache answers costs the same, to the instruction, with limits, callbacks and the watching thread as without.
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

# count REQUEST off|on: instructions of a thousand pairs; nothing if they could not be counted.
count() {
    valgrind --tool=callgrind --callgrind-out-file=/dev/null --collect-atstart=no --toggle-collect=counted \
        $program "$1" "$2" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\)$/\1/p'
}

for request in IHostMalloc IHostMemoryManager HmHeapAlloc HmVirtualAlloc; do
    off=$(count $request off)
    on=$(count $request on)
    echo "$request: ${off:-not counted} instructions for a thousand pairs without limits, ${on:-not counted} with"
    [ -n "$off" ] && [ "$off" -gt 1000 ] && [ "$off" = "$on" ]
    verdict "$request" $?
done
check_done
