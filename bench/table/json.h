/* json.h - reads JSON value by value: what the benchmarks, the tools and Google Benchmark write. */
#ifndef HOSTMEM_BENCH_JSON_H
#define HOSTMEM_BENCH_JSON_H

#include <stdbool.h>

enum { JSON_PATH_MOST = 256, JSON_TEXT_MOST = 1024 };

/*
 * Called for each number and each text, in the order of the file. path is the keys that lead there, parted by '/', of an element
 * of an array nothing: "benchmarks/run_name". Of true, false and null the text is that word.
 */
struct json_value {
    const char *path;
    bool is_number;
    double number;
    const char *text;
};

/* The whole file. False, and *where is the byte at which it stops being JSON (0: it cannot be read), where it is damaged. */
bool json_read(const char *path, void (*each)(const struct json_value *value, void *argument), void *argument, long *where);

#endif
