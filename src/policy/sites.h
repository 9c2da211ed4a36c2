/*
 * sites.h - the places in a program that ask for blocks, each once, by number. Layer: policy.
 *
 * A site is a file and line, or a stack. Sites are made when first seen and stay for the life of the process. Any thread; nothing
 * waits.
 */
#ifndef HM_SITES_H
#define HM_SITES_H

#include "base/atom.h"
#include "base/base.h"

#define SITE_FRAMES 16u

struct site {
    uint64_t next; /* in its row */
    uint64_t hash;
    uint32_t number;
    uint32_t line;
    uint32_t every;        /* of a stack: it was looked at for one call in so many; 1 for a file and line */
    uint32_t count_frames; /* 0 for a file and line */
    const char *file;      /* a copy; NULL for a stack */
    const char *constant;  /* where the text lay when it was first seen, if nobody can write there; else the copy */
    void *frame[];         /* or the file's text */
};

#define SITE_FINDS 4096u
extern HM_HIDDEN uint64_t site_find[SITE_FINDS]; /* struct site *: places found before */

/* The number of the site, from 1; 0 if there is no memory for a new one. file NULL is as good as an empty one. */
uint32_t site_look(const char *file, uint32_t line);

static inline size_t site_quick(const char *file, uint32_t line) {
    return (size_t)((((uintptr_t)file ^ (uint64_t)line << 32) * 0x9e3779b97f4a7c15u) >> 52);
}

/*
 * The same, at once where the text is a constant that lies where it lay before, which most calls' does. Other texts are compared,
 * by site_look: the same address can then mean another one.
 */
static inline uint32_t site_of_place(const char *file, uint32_t line) {
    /* acq: pairs with the store in site_look; a site that is seen has been written. */
    const struct site *found = (const struct site *)(uintptr_t)atom_load_acq_u64(&site_find[site_quick(file, line)]);
    bool same = found != NULL && found->line == line && found->constant == file;
    return __builtin_expect(same, 1) ? found->number : site_look(file, line);
}

uint32_t site_of_stack(void *const *frames, uint32_t count, uint32_t every);

const struct site *site_numbered(uint32_t number);

/* The highest number so far. */
uint32_t site_count(void);

#endif
