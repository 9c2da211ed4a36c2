/*
 * sites.c - a table of sites that only grows.
 *
 * Rows of lists, each begun by one word; a new site is pushed in front by a CAS after its row has been searched. Numbers lead
 * to sites by chunks of 4,096 words. A file's text is copied, for the module that it stands in may go. Before the text is
 * hashed, one look at a small table of last finds: most calls come from few places, whose text lies where it lay before, and
 * comparing costs less than hashing.
 *
 * Invariants
 *   1. A site is not changed once it is in its row.
 *   2. A number is written into its chunk before the site is in its row, so whoever got the number finds the site.
 *
 * A site that two threads make at the same moment is made once: the later CAS fails, finds the other's, and drops its own; the
 * number that it had stays unused.
 */
#include "policy/sites.h"

#include <string.h>

#include "base/atom.h"
#include "base/cold.h"
#include "os/os.h"

#define ROWS 8192u
#define CHUNK 4096u
#define CHUNKS 4096u

static uint64_t site_row[ROWS];     /* struct site * */
static uint64_t site_chunk[CHUNKS]; /* uint64_t[CHUNK] of struct site * */
static uint32_t site_last;
uint64_t site_find[SITE_FINDS];

static uint64_t mix(uint64_t hash, uint64_t word) {
    hash = (hash ^ word) * 0x9e3779b97f4a7c15u;
    return hash ^ hash >> 32;
}

/* acq: pairs with the CAS in push; a site that is seen has been written. */
static struct site *site_at(const uint64_t *word) { return (struct site *)(uintptr_t)atom_load_acq_u64(word); }

static bool same(const struct site *a, const struct site *b) {
    if (a->hash != b->hash || a->line != b->line || a->every != b->every || a->count_frames != b->count_frames) return false;
    if ((a->file == NULL) != (b->file == NULL)) return false;
    return a->file ? strcmp(a->file, b->file) == 0 : memcmp(a->frame, b->frame, a->count_frames * sizeof *a->frame) == 0;
}

/* Gives the site a number, and writes it down. */
static bool number_give(struct site *site) {
    uint32_t number = atom_add_acqrel_u32(&site_last, 1) + 1;
    if (number / CHUNK >= CHUNKS) return false;
    uint64_t *chunk = &site_chunk[number / CHUNK], seen = atom_load_acq_u64(chunk); /* acq: pairs with the CAS */
    if (seen == 0) {
        void *made = cold_alloc(CHUNK * sizeof(uint64_t));
        if (made == NULL) return false;
        if (atom_cas_acqrel_u64(chunk, &seen, (uint64_t)(uintptr_t)made)) seen = (uint64_t)(uintptr_t)made;
        else cold_free(made);
    }
    site->number = number;
    atom_store_rel_u64((uint64_t *)(uintptr_t)seen + number % CHUNK, (uint64_t)(uintptr_t)site); /* rel: invariant 2 */
    return true;
}

static void number_take_back(const struct site *site) {
    uint64_t chunk = atom_load_acq_u64(&site_chunk[site->number / CHUNK]); /* acq: as above */
    atom_store_rel_u64((uint64_t *)(uintptr_t)chunk + site->number % CHUNK, 0);
}

/* Puts `made` into its row unless one like it is there; the one that is there then, NULL without memory for a number. */
static struct site *push(struct site *made) {
    uint64_t *row = &site_row[made->hash % ROWS], first = atom_load_acq_u64(row), searched = 0; /* acq: as in site_at */
    for (bool numbered = false;; numbered = true) {
        struct site *site = (struct site *)(uintptr_t)first;
        for (; (uint64_t)(uintptr_t)site != searched; site = site_at(&site->next)) {
            if (!same(site, made)) continue;
            if (numbered) number_take_back(made);
            return site;
        }
        searched = first;
        if (!numbered && !number_give(made)) return NULL;
        atom_store_rlx_u64(&made->next, first); /* rlx: published by the CAS */
        if (atom_cas_acqrel_u64(row, &first, (uint64_t)(uintptr_t)made)) return made;
    }
}

static const struct site *enter(struct site *made) {
    struct site *site = push(made);
    if (site != made) cold_free(made);
    return site;
}

/* With the hash, since most sites are there already. */
static const struct site *look(const struct site *wanted) {
    struct site *site = site_at(&site_row[wanted->hash % ROWS]);
    while (site != NULL && !same(site, wanted)) site = site_at(&site->next);
    return site;
}

/* Is the text part of a module, and not to be written? */
static bool is_constant(const char *text) {
    MEMORY_BASIC_INFORMATION info;
    enum status status = os_query_foreign(align_down((uintptr_t)text, PAGE_BYTES), &info);
    return status == ST_OK && info.Type == MEM_IMAGE && (info.Protect == PAGE_READONLY || info.Protect == PAGE_EXECUTE_READ);
}

static const struct site *place_look_or_make(const char *file, uint32_t line) {
    struct site wanted = {.line = line, .every = 1, .file = file, .hash = mix(1, line)};
    size_t length = strlen(file);
    for (size_t i = 0; i < length; i++) wanted.hash = mix(wanted.hash, (unsigned char)file[i]);
    const struct site *found = look(&wanted);
    if (found != NULL) return found;
    struct site *made = cold_alloc(sizeof *made + length + 1);
    if (made == NULL) return NULL;
    *made = wanted;
    made->file = memcpy(made->frame, file, length + 1);
    made->constant = is_constant(file) ? file : made->file;
    return enter(made);
}

uint32_t site_look(const char *file, uint32_t line) {
    const char *text = file != NULL ? file : "";
    /* A second place, so that two sites that are often asked for in turn do not push each other out. */
    size_t quick = site_quick(file, line), second = quick ^ 1;
    const size_t place[] = {quick, second};
    for (int i = 0; i < 2; i++) {
        const struct site *seen = site_at(&site_find[place[i]]); /* acq: pairs with the store below */
        if (seen != NULL && seen->line == line && strcmp(seen->file, text) == 0) return seen->number;
    }
    const struct site *found = place_look_or_make(text, line);
    if (found == NULL) return 0;
    /* rel: pairs with the loads. rlx: where it goes is of no consequence. */
    atom_store_rel_u64(&site_find[atom_load_rlx_u64(&site_find[quick]) == 0 ? quick : second], (uint64_t)(uintptr_t)found);
    return found->number;
}

uint32_t site_of_stack(void *const *frames, uint32_t count, uint32_t every) {
    size_t bytes = count * sizeof *frames;
    uint64_t hash = mix(2, every);
    for (uint32_t i = 0; i < count; i++) hash = mix(hash, (uint64_t)(uintptr_t)frames[i]);
    struct site *made = cold_alloc(sizeof *made + bytes);
    if (made == NULL) return 0;
    *made = (struct site){.hash = hash, .every = every, .count_frames = count};
    memcpy(made->frame, frames, bytes);
    const struct site *found = look(made);
    if (found != NULL) cold_free(made);
    else found = enter(made);
    return found == NULL ? 0 : found->number;
}

const struct site *site_numbered(uint32_t number) {
    if (number / CHUNK >= CHUNKS) return NULL;
    uint64_t chunk = atom_load_acq_u64(&site_chunk[number / CHUNK]); /* acq: pairs with number_give */
    return chunk ? site_at((uint64_t *)(uintptr_t)chunk + number % CHUNK) : NULL;
}

uint32_t site_count(void) { return atom_load_acq_u32(&site_last); /* acq: pairs with number_give, roughly */ }
