/* record.h - all figures of a run in one file, which samples_read reads back. */
#ifndef HOSTMEM_BENCH_RECORD_H
#define HOSTMEM_BENCH_RECORD_H

#include "bench/table/samples.h"

/* False, with a message on stderr, where the file cannot be written in full; what there is of it is damaged. */
bool record_write(const struct samples *samples, const char *path);

#endif
