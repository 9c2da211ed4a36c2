#!/usr/bin/env bash
# hostmem-record must write traces that replay without a difference, of mappings and of blocks, of one thread and of many; and
# tell what it cannot do. The programs that are recorded are benchmarks on raw system calls and the C library's malloc.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

record=build/linux/hostmem-record
bench=build/linux/hostmem-bench

# lines NAME OP LEAST: the trace has at least so many calls of this kind.
lines() {
    local found
    found=$(awk -v op="$2" '$3 == op' "$work/trace" | wc -l)
    check "$1: $found lines of $2, expected at least $3" [ "$found" -ge "$3" ]
}

replays() {
    expect "$1 on the engine" 0 '^differences from the recording: 0' build/linux/hostmem-replay "$work/trace"
    expect "$1 on raw memory" 0 '^differences from the recording: 0' build/linux/hostmem-replay --memory raw "$work/trace"
}

expect "mappings" 0 '' $record --output "$work/trace" $bench --once vm/recommit/raw/65536 100
lines "commits" VA 101
lines "decommits" VF 101
replays "mappings"
expect "protections" 0 '' $record --output "$work/trace" $bench --once vm/protect/raw/65536 100
lines "protections" VP 200
replays "protections"
expect "reservations" 0 '' $record --output "$work/trace" --parts vm $bench --once vm/touched/raw/65536 100
lines "releases" VF 100
lines "... and no more than asked for" VA 100
expect "... which leave the blocks out" 1 '^0$' grep -cE ' H[ARF] ' "$work/trace"
replays "reservations"
expect "blocks" 0 '' $record --output "$work/trace" $bench --once malloc/random/libc/64 3
lines "allocations" HA 3000
lines "frees" HF 3000
replays "blocks"
expect "threads" 0 '' $record --output "$work/trace" --parts heap $bench --once pattern/larson/libc/2 1
expect "... have numbers of their own" 0 '^[3-9]|^[1-9][0-9]' sh -c 'cut -d" " -f2 "$1" | sort -u | wc -l' sh "$work/trace"
expect "a program's own exit status" 7 '' $record --output "$work/trace" sh -c 'exit 7'
expect "its children are not recorded" 0 '' $record --output "$work/trace" sh -c "$bench --once malloc/random/libc/64 3; :"
expect "... into its trace" 0 '^few$' awk '$3 == "HA" && $5 == "40" { count++ } END { print count < 1000 ? "few" : count }' \
    "$work/trace"
expect "a program that ends by itself" 0 '' $record --output "$work/trace" sh -c 'set a b c'
lines "... is recorded to its end" HC 1
cat >"$work/quick.c" <<'END'
#include <stdlib.h>
int main(void) {
    for (int i = 0; i < 10; i++) free(malloc(100));
    quick_exit(5);
}
END
check "a program that ends quickly" gcc -O0 -fno-builtin -o "$work/quick" "$work/quick.c"
expect "it runs" 5 '' $record --output "$work/trace" "$work/quick"
lines "... and is recorded to its end" HF 10
# A thread that is cancelled goes on through its malloc, and leaves nothing behind that others would wait for.
cat >"$work/cancelled.c" <<'END'
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
static void *blocks(void *cancelled) {
    if (cancelled) pthread_cancel(pthread_self());
    for (int i = 0; i < 5000; i++) free(malloc(100));
    return NULL;
}
int main(void) {
    pthread_t thread;
    void *end;
    pthread_create(&thread, NULL, blocks, &thread);
    pthread_join(thread, &end);
    blocks(NULL);
    return end == NULL ? 0 : 3;
}
END
check "a program that cancels a thread" gcc -O0 -fno-builtin -pthread -o "$work/cancelled" "$work/cancelled.c"
expect "it runs" 0 '' timeout 20 $record --output "$work/trace" "$work/cancelled"
lines "... and all of its blocks are recorded" HA 10000
# A mapping that moves, and blocks of whole pages.
cat >"$work/moves.c" <<'END'
#define _GNU_SOURCE
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
enum { PAGE = 4096 };
static void *map(size_t pages, int protection) {
    return mmap(NULL, pages * PAGE, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}
int main(void) {
    char *first = map(16, PROT_READ | PROT_WRITE), *other = map(64, PROT_NONE);
    for (int i = 0; i < 16; i++) first[i * PAGE] = 1;
    mprotect(first + 8 * PAGE, 8 * PAGE, PROT_READ);
    char *fixed = mremap(first, 8 * PAGE, 8 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, other);
    if (fixed != other) return 1;
    char *grown = mremap(fixed, 8 * PAGE, 32 * PAGE, MREMAP_MAYMOVE); /* must move */
    if (grown == MAP_FAILED || grown == fixed) return 2;
    memset(grown, 2, 32 * PAGE);
    if (mremap(grown, 32 * PAGE, 4 * PAGE, 0) != grown) return 3;
    if (mremap(first + 8 * PAGE, 8 * PAGE, 2 * PAGE, MREMAP_MAYMOVE) != first + 8 * PAGE) return 4;
    if (mremap(first, 8 * PAGE, 16 * PAGE, 0) != MAP_FAILED) return 5; /* nothing is there any more */
    munmap(grown, 4 * PAGE);
    munmap(other, 64 * PAGE);
    char *pages = valloc(100), *more = pvalloc(5000);
    pages = realloc(pages, 20000);
    memset(more, 3, 8192);
    free(pages);
    free(more);
    return 0;
}
END
check "a program that moves a mapping" gcc -w -O0 -fno-builtin -o "$work/moves" "$work/moves.c"
expect "it runs" 0 '' $record --output "$work/trace" "$work/moves"
lines "... its blocks" HA 2
replays "a mapping that moves"
expect "... and what it writes there" 0 '^moved$' \
    awk '$3 == "VA" && $5 == "20000" && $6 == "3000" { moved = "moved" } END { print moved }' "$work/trace"
# A program that closes what it has not opened, and has a file of its own then.
cat >"$work/closes.c" <<'END'
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
int main(int count, char **names) {
    struct stat stat;
    for (int i = 3; i < 2000; i++) close(i);
    int file = open(names[count - 1], O_CREAT | O_TRUNC | O_WRONLY, 0644);
    for (int i = 0; i < 2000; i++) dup(file);
    for (int i = 0; i < 5000; i++) free(malloc(100));
    return fstat(file, &stat) != 0 || stat.st_size != 0;
}
END
check "a program that closes all files" gcc -w -O0 -fno-builtin -o "$work/closes" "$work/closes.c"
expect "it finds nothing in its own" 0 '' $record --output "$work/trace" "$work/closes" "$work/own"
check "... afterwards, too" [ ! -s "$work/own" ]
expect "the trace's number is none that it counts on" 0 '^0$' \
    $record --output "$work/trace" sh -c "readlink /proc/\$\$/fd/[0-9] | grep -c '/trace\$'; :"
# A program that nothing can be loaded before. An old trace must not pass for one of it.
printf '.globl _start\n_start: mov $60, %%eax\nxor %%edi, %%edi\nsyscall\n' >"$work/static.s"
check "a static program" gcc -nostdlib -static -o "$work/static" "$work/static.s"
expect "a static program runs" 0 '' "$work/static"
expect "a static program" 126 "/static' cannot be recorded: it is linked statically" $record --output "$work/trace" "$work/static"
check "... leaves no trace of another" [ ! -s "$work/trace" ]
check "a static program without a fixed address" gcc -nostdlib -static-pie -o "$work/static" "$work/static.s"
expect "one that is found by its name" 126 "'static' .'$work/static'. cannot be recorded" \
    env PATH="$work:$PATH" $record --output "$work/trace" static
printf '#! %s -x\n' "$work/static" >"$work/script"
chmod +x "$work/script"
expect "a script of one" 126 "/static'. cannot be recorded: it is linked statically" $record --output "$work/trace" "$work/script"
printf '#!/bin/sh\n%s\n' 'exit 5' >"$work/script"
expect "a script" 5 '' $record --output "$work/trace" "$work/script"
lines "... is recorded" HC 1
cp /bin/true "$work/other"
chown 1 "$work/other" 2>/dev/null && chmod u+s "$work/other" &&
    expect "a program that runs as another user" 126 'it runs as another user' $record --output "$work/trace" "$work/other"
mkdir "$work/a b"
cp $record "${record%/*}/libhostmem-record.so" "$work/a b"
expect "from a folder that no loader takes a library from" 2 "/a b/libhostmem-record.so': .* blanks or colons" \
    "$work/a b/hostmem-record" --output "$work/trace" true
expect "no program" 2 'PROGRAM is missing' $record
expect "a program that is not there" 127 "'/no/such'" $record --output "$work/trace" /no/such
expect "a trace that cannot be written" 2 "'/no/such/file'" $record --output /no/such/file true
expect "a full disk" 0 'the trace ends here' $record --output /dev/full $bench --once malloc/random/libc/64 3
expect "a bad part" 2 "'nonsense'" $record --parts nonsense true

check_done
