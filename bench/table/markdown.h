/* markdown.h - the figures of the README, from the rows of the table. */
#ifndef HOSTMEM_BENCH_MARKDOWN_H
#define HOSTMEM_BENCH_MARKDOWN_H

#include "bench/table/rows.h"
#include "bench/table/samples.h"

void markdown_print(const struct samples *samples, const struct row *rows, size_t count);

#endif
