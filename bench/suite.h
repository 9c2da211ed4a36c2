/* suite.h - the files of benchmarks: each registers its own. */
#ifndef HOSTMEM_BENCH_SUITE_H
#define HOSTMEM_BENCH_SUITE_H

void bench_register_vm(void);
void bench_register_latency(void);
void bench_register_objects(void);
void bench_register_malloc(void);
void bench_register_patterns(void);
void bench_register_residency(void);
void bench_register_footprint(void);
void bench_register_self(void); /* wrong on purpose; only for the test of the harness */

#endif
