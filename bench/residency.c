/*
 * residency.c - what stays resident after a program freed nearly all it had: 256 MiB in blocks of 16 to 2,048 bytes, freed in
 * random order, and then two seconds with a little traffic, as an idle server has.
 *
 * The tables are the program's own static memory and touched before the first reading, so that what is reported is the
 * allocator's.
 */
#include "bench/bench.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <stdlib.h>
#include <string.h>

enum { LEAST = 16, MOST = 2048, BLOCKS_MOST = 300 * 1000, TRAFFIC_MS = 10, AFTER_MS = 2000 };

static char *blocks[BLOCKS_MOST];

static double resident_above(const struct tool_usage *start) {
    struct tool_usage now;
    tool_usage_read(&now);
    return (double)now.rss_bytes - (double)start->rss_bytes;
}

static size_t fill(uint64_t *seed) {
    size_t count = 0;
    for (size_t bytes = 0; bytes < (size_t)256 << 20 && count < BLOCKS_MOST; count++) {
        size_t size = LEAST + random_below(seed, MOST - LEAST + 1);
        blocks[count] = malloc(size);
        memset(blocks[count], 1, size);
        bytes += size;
    }
    return count;
}

static void free_all(size_t count, uint64_t *seed) {
    for (size_t left = count; left > 0; left--) {
        size_t which = random_below(seed, (uint32_t)left);
        free(blocks[which]);
        blocks[which] = blocks[left - 1];
    }
}

static void traffic(uint64_t *seed) {
    for (int ms = 0; ms < AFTER_MS; ms += TRAFFIC_MS) {
        for (int i = 0; i < 100; i++) {
            char *block = malloc(LEAST + random_below(seed, MOST - LEAST + 1));
            *(volatile char *)block = 1;
            free(block);
        }
        system_sleep_ms(TRAFFIC_MS);
    }
}

static void residency(struct bench_state *state) {
    struct tool_usage start;
    uint64_t seed = random_seed(0);
    double full = 0, freed = 0, later = 0;
    memset(blocks, 1, sizeof blocks);
    tool_usage_read(&start);
    BENCH_LOOP(state) {
        size_t count = fill(&seed);
        full = resident_above(&start);
        free_all(count, &seed);
        freed = resident_above(&start);
        traffic(&seed);
        later = resident_above(&start);
    }
    bench_count(state, "rss_full_bytes", full, BENCH_VALUE);
    bench_count(state, "rss_freed_bytes", freed, BENCH_VALUE);
    bench_count(state, "rss_later_bytes", later, BENCH_VALUE);
}

void bench_register_residency(void) {
    bench_register(&(struct bench){.name = "residency/random/libc", .run = residency, .turns = 1});
}
