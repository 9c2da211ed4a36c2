/*
 * histogram.c - durations by the time-stamp counter: buckets, quantiles, and what the measuring itself costs.
 */
#include "bench/histogram.h"
#include "bench/system.h"
#include "tools/common/tool.h"

void histogram_merge(struct histogram *into, const struct histogram *from) {
    into->count += from->count;
    if (from->most > into->most) into->most = from->most;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) into->bucket[i] += from->bucket[i];
}

/* The middle of a bucket. */
static double bucket_ticks(size_t bucket) {
    if (bucket < 2u << HISTOGRAM_FINE) return (double)bucket;
    unsigned shift = (unsigned)(bucket >> HISTOGRAM_FINE) - 1;
    uint64_t start = (uint64_t)(bucket - ((size_t)shift << HISTOGRAM_FINE)) << shift;
    return (double)start + (double)(UINT64_C(1) << shift) / 2;
}

double histogram_quantile(const struct histogram *histogram, double share) {
    uint64_t wanted = (uint64_t)(share * (double)histogram->count), seen = 0;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->bucket[i];
        if (seen > wanted) return bucket_ticks(i) < (double)histogram->most ? bucket_ticks(i) : (double)histogram->most;
    }
    return (double)histogram->most;
}

uint64_t histogram_overhead(void) {
    uint64_t least = UINT64_MAX;
    for (int i = 0; i < 1000; i++) {
        uint64_t before = system_ticks(), taken = system_ticks() - before;
        if (taken < least) least = taken;
    }
    return least;
}

double histogram_tick_ns(void) {
    uint64_t ns = tool_clock_ns(), ticks = system_ticks(), now;
    do {
        now = tool_clock_ns();
    } while (now - ns < 5 * 1000 * 1000);
    return (double)(now - ns) / (double)(system_ticks() - ticks);
}
