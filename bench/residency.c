/*
 * residency.c - what stays resident after a program freed nearly all it had: 256 MiB in blocks of 16 to 2,048 bytes, freed in
 * random order, and then two seconds with a little traffic, as an idle server has. Resident memory is read some dozen times on
 * the way, so that it can be drawn over time.
 *
 * The tables are the program's own static memory and touched before the first reading, so that what is reported is the
 * allocator's.
 */
#include "bench/bench.h"
#include "bench/random.h"
#include "bench/suite.h"
#include "bench/system.h"
#include "tools/common/tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST = 16, MOST = 2048, BLOCKS_MOST = 300 * 1000, TRAFFIC_MS = 10, AFTER_MS = 2000, STEPS = 12 };
enum { FILLED = (size_t)256 << 20 };

static char *blocks[BLOCKS_MOST];

/* The readings: when, and how much above the start. */
static struct {
    uint64_t start_ns, start_bytes;
    size_t count;
    double ms[3 * STEPS + 3], bytes[3 * STEPS + 3];
} readings;

static double reading_take(void) {
    struct tool_usage now;
    uint64_t ns = tool_clock_ns();
    tool_usage_read(&now);
    if (readings.count == 0) {
        readings.start_ns = ns;
        readings.start_bytes = now.rss_bytes;
    }
    double bytes = (double)now.rss_bytes - (double)readings.start_bytes;
    if (readings.count < sizeof readings.ms / sizeof *readings.ms) {
        readings.ms[readings.count] = (double)(ns - readings.start_ns) / 1e6;
        readings.bytes[readings.count++] = bytes;
    }
    return bytes;
}

static size_t fill(uint64_t *seed) {
    size_t count = 0, step = 1;
    for (size_t bytes = 0; bytes < FILLED && count < BLOCKS_MOST; count++) {
        size_t size = LEAST + random_below(seed, MOST - LEAST + 1);
        blocks[count] = malloc(size);
        memset(blocks[count], 1, size);
        bytes += size;
        if (bytes >= step * (FILLED / STEPS) && step < STEPS) {
            reading_take();
            step++;
        }
    }
    return count;
}

static void free_all(size_t count, uint64_t *seed) {
    for (size_t left = count; left > 0; left--) {
        size_t which = random_below(seed, (uint32_t)left);
        free(blocks[which]);
        blocks[which] = blocks[left - 1];
        if (left % (count / STEPS) == 0 && left != count) reading_take();
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
        if (ms % (AFTER_MS / STEPS / TRAFFIC_MS * TRAFFIC_MS) == 0) reading_take();
    }
}

static void residency(struct bench_state *state) {
    uint64_t seed = random_seed(0);
    double full = 0, freed = 0, later = 0;
    char name[40];
    memset(blocks, 1, sizeof blocks);
    readings.count = 0;
    reading_take();
    BENCH_LOOP(state) {
        size_t count = fill(&seed);
        full = reading_take();
        free_all(count, &seed);
        freed = reading_take();
        traffic(&seed);
        later = reading_take();
    }
    bench_count(state, "rss_full_bytes", full, BENCH_VALUE);
    bench_count(state, "rss_freed_bytes", freed, BENCH_VALUE);
    bench_count(state, "rss_later_bytes", later, BENCH_VALUE);
    for (size_t i = 0; i < readings.count; i++) {
        snprintf(name, sizeof name, "over_time_%02u_ms", (unsigned)i);
        bench_count(state, name, readings.ms[i], BENCH_VALUE);
        snprintf(name, sizeof name, "over_time_%02u_bytes", (unsigned)i);
        bench_count(state, name, readings.bytes[i], BENCH_VALUE);
    }
}

void bench_register_residency(void) {
    char name[64];
    snprintf(name, sizeof name, "residency/random/%s", bench_heap_libc.name);
    bench_register(&(struct bench){.name = name, .run = residency, .turns = 1});
}
