/*
 * conform.c - the conformance program: what virtual memory calls answer, one line a case (see conform.h). It judges nothing
 * itself; compare.sh compares the outputs of its three builds. It fails only where it cannot run its cases at all.
 *
 * Invariants: a case leaves nothing allocated behind, and no case depends on another.
 */
#include "conform.h"

#include <stdio.h>

#include "probe.h"

int main(void) {
    static void (*const sections[])(void) = {conform_alloc, conform_place, conform_commit, conform_free,  conform_protect,
                                             conform_query, conform_guard, conform_reset,  conform_kinds, conform_foreign};
    probe_start();
    for (size_t i = 0; i < sizeof sections / sizeof *sections; i++) sections[i]();
    puts("end");
    return fflush(stdout) == 0 ? 0 : 1;
}
