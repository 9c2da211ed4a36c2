/*
 * check.c - what pages and blocks must hold.
 *
 * Every page that the replay commits and may write gets a stamp: three words made from its recorded address, at its start, in
 * its middle and at its end, where a neighbour's overrun or a page that was dropped or given to somebody else would show.
 * A page is verified before every call that concerns it and after it, and at the end of the replay; a page not yet
 * stamped must be zero. Small ranges are read whole, of large ones eight words a page.
 * Pages that cannot be read wait until a call makes them readable. Without checks each page is only touched once, as
 * the recorded program would have done.
 *
 * None of this is inside the time that is counted as a call's.
 */
#include <string.h>

#include "tools/replay/replay.h"

enum { STAMP_WORDS = 3, ZERO_WORDS = 8, WHOLE_UP_TO = 65536 };

static const uint16_t stamp_offset[STAMP_WORDS] = {0, 2040, 4088};

static uint64_t stamp_word(uint64_t recorded) { return (recorded ^ 0x5bd1e9955bd1e995u) * 0x9e3779b97f4a7c15u; }

static bool page_readable(const struct page *page) {
    return (page->prot & (PAGE_READONLY | PAGE_READWRITE | PAGE_EXECUTE_READ | PAGE_EXECUTE_READWRITE)) != 0;
}

static bool page_writable(const struct page *page) { return (page->prot & (PAGE_READWRITE | PAGE_EXECUTE_READWRITE)) != 0; }

static bool live_is_zero(const unsigned char *live, bool whole) {
    const volatile uint64_t *word = (const volatile uint64_t *)live;
    enum { WORDS = SHADOW_PAGE / 8 };
    if (whole) return live[0] == 0 && memcmp(live, live + 1, SHADOW_PAGE - 1) == 0;
    for (size_t i = 0; i < ZERO_WORDS - 1; i++)
        if (word[i * (WORDS / ZERO_WORDS + 9)] != 0) return false;
    return word[WORDS - 1] == 0;
}

static bool live_is_stamped(const unsigned char *live, uint64_t recorded) {
    for (size_t i = 0; i < STAMP_WORDS; i++)
        if (*(const volatile uint64_t *)(live + stamp_offset[i]) != stamp_word(recorded + stamp_offset[i])) return false;
    return true;
}

static void live_stamp(unsigned char *live, uint64_t recorded) {
    for (size_t i = 0; i < STAMP_WORDS; i++)
        *(volatile uint64_t *)(live + stamp_offset[i]) = stamp_word(recorded + stamp_offset[i]);
}

void check_verify(struct replay *replay, const struct call *call, struct allocation *one, uint64_t start, uint64_t end) {
    if (!replay->check) return;
    bool whole = end - start <= WHOLE_UP_TO;
    for (uint64_t at = page_down(start); at < end && at < allocation_end(one); at += SHADOW_PAGE) {
        struct page *page = &one->page[(at - one->recorded) / SHADOW_PAGE];
        if (page->content == CONTENT_ABSENT || page->content == CONTENT_UNKNOWN || !page_readable(page)) continue;
        const unsigned char *live = allocation_live(one, at);
        replay->count_pages_checked++;
        bool fresh = page->content == CONTENT_ZERO;
        if (fresh ? live_is_zero(live, whole) : live_is_stamped(live, at)) continue;
        replay_differ(replay, call, fresh ? "the page at %llx should be zero and is not" : "the page at %llx lost its content",
                      (unsigned long long)at);
        page->content = CONTENT_UNKNOWN; /* told once */
    }
}

void check_settle(struct replay *replay, const struct call *call, struct allocation *one, uint64_t start, uint64_t end) {
    check_verify(replay, call, one, start, end);
    for (uint64_t at = page_down(start); at < end && at < allocation_end(one); at += SHADOW_PAGE) {
        struct page *page = &one->page[(at - one->recorded) / SHADOW_PAGE];
        if (page->content == CONTENT_ABSENT || page->content == CONTENT_STAMPED || !page_writable(page)) continue;
        if (replay->check) live_stamp(allocation_live(one, at), at);
        else *(volatile uint64_t *)allocation_live(one, at) = at;
        page->content = CONTENT_STAMPED;
    }
}

void check_committed(struct allocation *one, uint64_t start, uint64_t end, uint32_t prot) {
    for (uint64_t at = page_down(start); at < end; at += SHADOW_PAGE) {
        struct page *page = &one->page[(at - one->recorded) / SHADOW_PAGE];
        if (page->content == CONTENT_ABSENT) page->content = CONTENT_ZERO;
        page->prot = (prot & PAGE_GUARD) != 0 ? PAGE_NOACCESS : (uint8_t)prot;
    }
}

void check_decommitted(struct allocation *one, uint64_t start, uint64_t end) {
    uint64_t first = (page_down(start) - one->recorded) / SHADOW_PAGE;
    uint64_t count = (page_up(end) - page_down(start)) / SHADOW_PAGE;
    memset(&one->page[first], 0, (size_t)count * sizeof one->page[0]);
}

bool check_all_committed(const struct allocation *one, uint64_t start, uint64_t end) {
    for (uint64_t at = page_down(start); at < end; at += SHADOW_PAGE)
        if (one->page[(at - one->recorded) / SHADOW_PAGE].content == CONTENT_ABSENT) return false;
    return true;
}

/* A block's first and last bytes, as many as it has of eight each. */
void check_block_stamp(struct replay *replay, const struct block *block) {
    if (!replay->check) {
        if (block->size > 0) *(volatile unsigned char *)block->live = 1;
        return;
    }
    uint64_t word = stamp_word(block->recorded);
    size_t bytes = block->size < sizeof word ? block->size : sizeof word;
    memcpy(block->live, &word, bytes);
    memcpy(block->live + block->size - bytes, &word, bytes);
}

void check_block_verify(struct replay *replay, const struct call *call, const struct block *block) {
    if (!replay->check) return;
    uint64_t word = stamp_word(block->recorded);
    size_t bytes = block->size < sizeof word ? block->size : sizeof word;
    /* Of a block with less than 16 bytes the two stamps overlap: the later one, at the end, is whole. */
    bool front = block->size < 2 * bytes || memcmp(block->live, &word, bytes) == 0;
    if (!front || memcmp(block->live + block->size - bytes, &word, bytes) != 0)
        replay_differ(replay, call, "the block at %llx lost its content", (unsigned long long)block->recorded);
}
