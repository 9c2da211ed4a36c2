/*
 * flat.h - the flat calls by short names, for tests that make many, and what such tests look at afterwards.
 */
#ifndef HM_TEST_FLAT_H
#define HM_TEST_FLAT_H

#include <string.h>

#include "check.h"
#include "hostmem.h"
#include "totals.h"

#define KIB 1024u
#define MIB (1024u * KIB)
#define PAGE 4096u

static inline char *reserve(size_t size) { return HmVirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE); }
static inline bool commit(char *p, size_t size) { return HmVirtualAlloc(p, size, MEM_COMMIT, PAGE_READWRITE) == p; }
static inline bool decommit(char *p, size_t size) { return HmVirtualFree(p, size, MEM_DECOMMIT); }
static inline bool release(char *p) { return HmVirtualFree(p, 0, MEM_RELEASE); }

/* An allocation all of which was written to: one that was hardly used is not kept. */
static inline char *used(size_t size) {
    char *p = HmVirtualAlloc(NULL, size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (CHECK(p != NULL)) memset(p, 1, size);
    return p;
}

static inline bool is_zero(const char *p, size_t size) { return p[0] == 0 && memcmp(p, p + 1, size - 1) == 0; }

static inline bool is_reserved(const char *p, size_t size) {
    MEMORY_BASIC_INFORMATION info;
    return HmVirtualQuery(p, &info, sizeof info) && info.State == MEM_RESERVE && info.Protect == 0 && info.RegionSize >= size;
}

static inline size_t committed(void) {
    HM_STATS stats = {.cbSize = sizeof stats};
    return HmGetStats(&stats) ? stats.cbCommitted : 0;
}

/* The granules that are somebody's when all that is kept has gone back. */
static inline size_t taken(void) {
    HmTrim();
    return granules_taken();
}

#endif
