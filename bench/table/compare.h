/* compare.h - what changed between two runs, beyond noise. */
#ifndef HOSTMEM_BENCH_COMPARE_H
#define HOSTMEM_BENCH_COMPARE_H

#include <stdbool.h>

/*
 * Compares two records, each a file's name, or a file's name, '@' and a peer, of which only that peer's figures count then.
 * Prints what changed. Returns the exit status: 0 nothing became worse, 1 something did, 2 a record cannot be used.
 */
int compare_records(const char *before, const char *after, bool as_json);

#endif
