/*
 * picture.c - a picture of one region over a replay: which granules are reserved, and how much of each is committed.
 *
 * Every so many calls the replay's allocations are noted granule by granule, by where they really lie. Which part of the
 * address space to show is known only at the end: the 4 GiB in which most was noted. Granules of which no page was ever
 * committed are left out. A picture has at most COLUMNS columns of ROWS rows; a row stands for several granules where there are
 * more. Only the thread whose turn it is calls picture_note.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/replay/replay.h"

enum { COLUMNS = 240, ROWS = 128, SLOTS_MOST = 64, PAGES_OF_GRANULE = SHADOW_GRANULE / SHADOW_PAGE };

struct noted {
    uint32_t slot;    /* the address divided by 4 GiB */
    uint16_t granule; /* in it */
    uint8_t column, committed;
};

struct picture {
    struct noted *noted;
    size_t count, room, step; /* step: calls from column to column */
    unsigned columns;
    bool failed;
};

struct picture *picture_begin(const struct trace *trace) {
    struct picture *picture = calloc(1, sizeof *picture);
    if (picture != NULL) picture->step = (trace->count + COLUMNS - 1) / COLUMNS;
    return picture;
}

static void note(struct picture *picture, struct noted noted) {
    if (picture->count == picture->room) {
        size_t room = picture->room == 0 ? 1 << 16 : 2 * picture->room;
        struct noted *more = realloc(picture->noted, room * sizeof *more);
        picture->failed |= more == NULL;
        if (more == NULL) return;
        picture->noted = more;
        picture->room = room;
    }
    picture->noted[picture->count++] = noted;
}

static void note_allocation(struct picture *picture, const struct allocation *one) {
    uint64_t start = (uint64_t)(uintptr_t)one->live, end = start + one->size;
    for (uint64_t granule = granule_down(start); granule < end; granule += SHADOW_GRANULE) {
        struct noted noted = {(uint32_t)(granule >> 32), (uint16_t)(granule >> 16), (uint8_t)picture->columns, 0};
        for (uint64_t at = granule > start ? granule : start; at < granule + SHADOW_GRANULE && at < end; at += SHADOW_PAGE)
            noted.committed += one->page[(at - start) / SHADOW_PAGE].content != CONTENT_ABSENT;
        note(picture, noted);
    }
}

void picture_note(struct picture *picture, const struct shadow *shadow, size_t call) {
    if (picture == NULL || picture->columns == COLUMNS || (call + 1) % picture->step != 0) return;
    for (size_t i = 0; i < shadow->count_allocations; i++) note_allocation(picture, shadow->allocation[i]);
    picture->columns++;
}

/* The slot in which most was noted. */
static uint32_t picture_slot(const struct picture *picture) {
    static struct {
        uint32_t slot;
        size_t count;
    } slots[SLOTS_MOST];
    size_t count_slots = 0, best = 0;
    for (size_t i = 0; i < picture->count; i++) {
        size_t at = 0;
        while (at < count_slots && slots[at].slot != picture->noted[i].slot) at++;
        if (at == SLOTS_MOST) continue;
        if (at == count_slots) slots[count_slots++].slot = picture->noted[i].slot;
        if (++slots[at].count > slots[best].count) best = at;
    }
    return slots[best].slot;
}

/* Which place each granule of the slot has among those of which a page was ever committed; returns how many those are. */
static unsigned picture_places(const struct picture *picture, uint32_t slot, uint16_t place[UINT16_MAX + 1]) {
    static bool used[UINT16_MAX + 1];
    unsigned count = 0;
    for (size_t i = 0; i < picture->count; i++) {
        const struct noted *noted = &picture->noted[i];
        used[noted->granule] |= noted->slot == slot && noted->committed != 0;
    }
    for (unsigned granule = 0; granule <= UINT16_MAX; granule++) place[granule] = used[granule] ? (uint16_t)count++ : UINT16_MAX;
    return count;
}

/* How much of each cell is reserved and committed, from the notes of one slot. */
static void picture_print(const struct picture *picture, uint32_t slot, const uint16_t *place, unsigned count,
                          struct json *json) {
    static uint32_t reserved[COLUMNS][ROWS], committed[COLUMNS][ROWS];
    unsigned each = (count + ROWS - 1) / ROWS, rows = (count + each - 1) / each;
    for (size_t i = 0; i < picture->count; i++) {
        const struct noted *noted = &picture->noted[i];
        if (noted->slot != slot || place[noted->granule] == UINT16_MAX) continue;
        reserved[noted->column][place[noted->granule] / each]++;
        committed[noted->column][place[noted->granule] / each] += noted->committed;
    }
    for (unsigned column = 0; column < picture->columns; column++) {
        char text[ROWS + 1] = "";
        for (unsigned row = 0; row < rows; row++) {
            uint32_t share = (committed[column][row] * 9 + each * PAGES_OF_GRANULE - 1) / (each * PAGES_OF_GRANULE);
            text[row] = reserved[column][row] == 0 ? '.' : (char)('0' + (share < 9 ? share : 9));
        }
        json_text(json, NULL, text);
    }
}

bool picture_end(const struct tool_command *command, struct picture *picture, const struct trace *trace, const char *name,
                 const char *path) {
    static uint16_t place[UINT16_MAX + 1];
    uint32_t slot = picture_slot(picture);
    unsigned granules = picture_places(picture, slot, place);
    FILE *out = fopen(path, "w");
    const char *wrong = out == NULL       ? strerror(errno)
                        : picture->failed ? "no memory"
                        : granules == 0   ? "nothing was committed"
                                          : NULL;
    if (wrong != NULL) {
        fprintf(stderr, "%s: --picture: '%s': %s\n", command->name, path, wrong);
        if (out != NULL) fclose(out);
        return false;
    }
    struct json json;
    tool_json_begin(&json, out);
    json_text(&json, "trace", name);
    json_count(&json, "calls", trace->count);
    json_count(&json, "granules", granules);
    json_array(&json, "columns");
    picture_print(picture, slot, place, granules, &json);
    json_end(&json);
    return tool_finish(command, out, path);
}
