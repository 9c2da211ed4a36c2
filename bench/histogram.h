/*
 * histogram.h - counts of durations in ticks of the time-stamp counter; each bucket is at most 1/32 wider than it is far.
 */
#ifndef HOSTMEM_BENCH_HISTOGRAM_H
#define HOSTMEM_BENCH_HISTOGRAM_H

#include <stddef.h>
#include <stdint.h>

enum { HISTOGRAM_FINE = 5, HISTOGRAM_BUCKETS = 60 << HISTOGRAM_FINE };

struct histogram {
    uint64_t count;
    uint64_t most; /* the longest, exactly */
    uint64_t bucket[HISTOGRAM_BUCKETS];
};

static inline size_t histogram_bucket(uint64_t ticks) {
    if (ticks < 1u << HISTOGRAM_FINE) return (size_t)ticks;
    unsigned shift = 63u - (unsigned)__builtin_clzll(ticks) - HISTOGRAM_FINE;
    return ((size_t)shift << HISTOGRAM_FINE) + (size_t)(ticks >> shift);
}

static inline void histogram_add(struct histogram *histogram, uint64_t ticks) {
    histogram->count++;
    if (ticks > histogram->most) histogram->most = ticks;
    histogram->bucket[histogram_bucket(ticks)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from);

/* The duration that this share (0.999) of all do not exceed, in ticks. */
double histogram_quantile(const struct histogram *histogram, double share);

/* How many ticks reading the counter twice takes by itself at least, and how many nanoseconds a tick lasts. */
uint64_t histogram_overhead(void);
double histogram_tick_ns(void);

#endif
