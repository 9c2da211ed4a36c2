/*
 * panels.c - the figures as lines: bars of what is held, rates, and tables of heaps, size classes and threads.
 *
 * Tables show what holds most first, and as many rows as the screen has; how many more there are is said.
 */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/top/top.h"

enum { LABEL = 13, ROWS_UNBOUND = 30 };

static double share(uint64_t part, uint64_t whole) { return whole ? (double)part / (double)whole : 0; }

/* "1,234,567" */
static const char *digits(uint64_t value, char text[32]) {
    char plain[24];
    int length = snprintf(plain, sizeof plain, "%" PRIu64, value);
    char *to = text;
    for (int i = 0; i < length; i++) {
        *to++ = plain[i];
        if (i + 1 < length && (length - i - 1) % 3 == 0) *to++ = ',';
    }
    *to = 0;
    return text;
}

static void heading(struct lines *lines, const struct top *top, int width) {
    struct line *line = lines_add(lines);
    line_put(line, TITLE, "hostmem-top");
    line_put(line, BOLD, "  %s", top->look.program);
    line_put(line, DIM, "  process %" PRIu64, top->look.process);
    char age[64];
    snprintf(age, sizeof age, "seen %.1f s ago, every %.2g s", (double)look_age_ms(&top->now) / 1000,
             (double)top->now.rest_ms / 1000);
    line_pad(line, width - (int)strlen(age));
    line_put(line, DIM, "%s", age);
    lines_add(lines);
}

static struct line *label(struct lines *lines, const char *text) {
    struct line *line = lines_add(lines);
    line_put(line, DIM, "%s", text);
    line_pad(line, LABEL);
    return line;
}

static void totals(struct lines *lines, const struct top *top, int bar) {
    const struct published_totals *t = &top->now.totals;
    char a[24], b[24], c[24], d[24];
    uint64_t cached = t->cached_block_bytes;
    struct line *line = label(lines, "allocations");
    line_bar(line, bar, (struct bar_part[]){{BLUE, share(t->committed_bytes, t->reserved_bytes)}}, 1);
    line_put(line, BLUE, "  %s", look_bytes(t->committed_bytes, a));
    line_put(line, DIM, " committed of %s reserved in %s", look_bytes(t->reserved_bytes, b),
             digits(t->allocations, (char[32]){0}));

    line = label(lines, "heaps");
    struct bar_part heap[] = {{GREEN, share(t->live_bytes, t->heap_bytes)}, {VIOLET, share(cached, t->heap_bytes)}};
    line_bar(line, bar, heap, 2);
    line_put(line, GREEN, "  %s", look_bytes(t->live_bytes, a));
    line_put(line, DIM, " live, ");
    line_put(line, VIOLET, "%s", look_bytes(cached, b));
    line_put(line, DIM, " cached of %s; peak %s", look_bytes(t->heap_bytes, c), look_bytes(t->heap_peak_bytes, d));

    if (t->held_bytes != 0) {
        line = label(lines, "held");
        line_bar(line, bar, (struct bar_part[]){{VIOLET, share(t->held_bytes, t->held_bytes + t->committed_bytes)}}, 1);
        line_put(line, VIOLET, "  %s", look_bytes(t->held_bytes, a));
        line_put(line, DIM, " for commits to come, in no budget");
    }

    line = label(lines, "regions");
    uint64_t granules = t->region_bytes / GRANULE_BYTES;
    line_bar(line, bar, (struct bar_part[]){{ORANGE, share(t->granules_taken, granules)}}, 1);
    line_put(line, ORANGE, "  %s", look_bytes(t->granules_taken * GRANULE_BYTES, a));
    line_put(line, DIM, " of address space used in %" PRIu64 " region%s of %s", t->regions, t->regions == 1 ? "" : "s",
             look_bytes(SLOT_BYTES, b));

    line = label(lines, "pressure");
    enum colour colour = t->memory_load_percent >= 90 ? RED : t->memory_load_percent >= 75 ? ORANGE : GREEN;
    line_bar(line, bar, (struct bar_part[]){{colour, (double)t->memory_load_percent / 100}}, 1);
    line_put(line, colour, "  %" PRIu64 " %%", t->memory_load_percent);
    line_put(line, DIM, " of %s in use, %s available", look_bytes(t->memory_bytes, a), look_bytes(t->memory_available_bytes, b));
    static const char *const told[] = {"", "low", "neutral", "high"};
    if (t->memory_available > 0 && t->memory_available < 4)
        line_put(line, t->memory_available == 1 ? RED : DIM, "; %s", told[t->memory_available]);
}

static void history(struct lines *lines, const struct top *top, int bar) {
    lines_add(lines);
    struct line *line = label(lines, "in use");
    line_spark(line, GREEN, bar, top->live, top->count_history);
    line_put(line, DIM, "  allocations and live blocks, over the last looks");
    line = label(lines, "moved");
    line_spark(line, VIOLET, bar, top->moved, top->count_history);
    uint64_t last = top->count_history < TOP_HISTORY ? top->count_history : TOP_HISTORY;
    line_put(line, DIM, "  blocks between heaps and threads, now %s/s",
             digits(last ? (uint64_t)top->moved[last - 1] : 0, (char[32]){0}));
}

/* With one look only, what has been done so far; with two, how fast it is done. */
static void rates(struct lines *lines, const struct top *top, int width) {
    const struct published_totals *now = &top->now.totals, *before = &top->before.totals;
    double seconds = top->has_before ? (double)(top->now.written_ms - top->before.written_ms) / 1000 : 1;
    struct {
        const char *name;
        uint64_t count;
    } row[] = {
        {"refills", now->refills - before->refills},
        {"flushes", now->flushes - before->flushes},
        {"reserve", now->system_reserves - before->system_reserves},
        {"commit", now->system_commits - before->system_commits},
        {"decommit", now->system_decommits - before->system_decommits},
        {"protect", now->system_protects - before->system_protects},
        {"release", now->system_releases - before->system_releases},
        {"refused", now->failures - before->failures},
    };
    struct line *line = label(lines, top->has_before ? "per second" : "so far");
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        enum colour colour = row[i].count == 0 ? DIM : i == 7 ? RED : PLAIN;
        const char *count = digits((uint64_t)((double)row[i].count / seconds + 0.5), (char[32]){0});
        if (line->width + (int)(strlen(count) + strlen(row[i].name)) + 1 > width) line = label(lines, "");
        line_put(line, colour, "%s", count);
        line_put(line, DIM, " %s  ", row[i].name);
    }
}

/* ---- Tables ------------------------------------------------------------------------------------------------------- */

static void more(struct lines *lines, uint64_t count, uint64_t shown) {
    if (count > shown) line_put(lines_add(lines), DIM, "  and %" PRIu64 " more", count - shown);
}

/* One count of a budget: a row of its own. */
struct count {
    char name[48];
    const char *kind;
    uint64_t use, peak, soft, hard, refused;
};

enum { COUNTS_AT_MOST = 2 * (1 + PUBLISHED_MANAGERS + PUBLISHED_HEAPS) };

/* What is committed always; what is reserved of the process, and where it has a limit. */
static uint64_t counts_add(struct count *to, const char *name, const struct published_budget *b, bool reserved_too) {
    uint64_t refused = b->refused_task + b->refused_domain + b->refused_process;
    to[0] = (struct count){.kind = "committed", .use = b->committed_bytes, .peak = b->peak_committed_bytes,
                           .soft = b->soft_commit_bytes, .hard = b->hard_commit_bytes, .refused = refused};
    snprintf(to[0].name, sizeof to[0].name, "%s", name);
    if (!reserved_too && b->soft_reserve_bytes == 0 && b->hard_reserve_bytes == 0) return 1;
    to[1] = (struct count){.kind = "reserved", .use = b->reserved_bytes, .peak = b->peak_reserved_bytes,
                           .soft = b->soft_reserve_bytes, .hard = b->hard_reserve_bytes};
    return 2;
}

static bool limited(const struct published_budget *b) {
    return b->soft_commit_bytes != 0 || b->hard_commit_bytes != 0 || b->soft_reserve_bytes != 0 || b->hard_reserve_bytes != 0;
}

/* The process's, the managers' and those of heaps that have limits of their own. */
static uint64_t counts_make(const struct published_half *now, struct count *counts) {
    char name[48];
    uint64_t count = counts_add(counts, "process", &now->process, true);
    for (uint64_t i = 0; i < now->count_managers && i < PUBLISHED_MANAGERS; i++) {
        const struct published_manager *m = &now->manager[i];
        snprintf(name, sizeof name, "%" PRIu64 " %.32s", m->number, m->name[0] ? m->name : "manager");
        count += counts_add(counts + count, name, &m->budget, false);
    }
    for (uint64_t i = 0; i < now->count_heaps && i < PUBLISHED_HEAPS; i++) {
        const struct published_heap *h = &now->heap[i];
        snprintf(name, sizeof name, "heap %" PRIu64, h->number);
        if (limited(&h->budget)) count += counts_add(counts + count, name, &h->budget, false);
    }
    return count;
}

/* Green until pressure begins, an eighth before the lowest limit; red past it. */
static void limit_bar(struct line *line, const struct count *c) {
    uint64_t lowest = c->soft != 0 && (c->hard == 0 || c->soft < c->hard) ? c->soft : c->hard;
    enum colour colour = c->use > lowest ? RED : c->use >= lowest - lowest / 8 ? ORANGE : GREEN;
    if (lowest != 0) line_bar(line, 12, (struct bar_part[]){{colour, share(c->use, c->hard != 0 ? c->hard : c->soft)}}, 1);
}

static const char *limit_text(uint64_t bytes, char text[24]) { return bytes != 0 ? look_bytes(bytes, text) : "-"; }

static uint64_t budgets(struct lines *lines, const struct top *top, bool bars, uint64_t rows) {
    static struct count counts[COUNTS_AT_MOST];
    uint64_t count = counts_make(&top->now, counts), shown = 0;
    char a[24], n[32];
    struct line *line = lines_add(lines);
    line_put(line, BOLD, "%-16s%10s%11s%11s%11s%11s%9s  %s", "BUDGET", "", "charged", "peak", "soft", "hard", "refused",
             bars ? "of the limit" : "");
    for (; shown < count && shown < rows; shown++) {
        const struct count *c = &counts[shown];
        line = lines_add(lines);
        line_field(line, PLAIN, 17, c->name);
        line_put(line, DIM, "%9s", c->kind);
        line_put(line, BLUE, "%11s", look_bytes(c->use, a));
        line_put(line, PLAIN, "%11s", look_bytes(c->peak, a));
        line_put(line, c->soft ? PLAIN : DIM, "%11s", limit_text(c->soft, a));
        line_put(line, c->hard ? PLAIN : DIM, "%11s", limit_text(c->hard, a));
        line_put(line, c->refused ? RED : DIM, "%9s  ", digits(c->refused, n));
        if (bars) limit_bar(line, c);
    }
    more(lines, count, shown);
    return shown;
}

static int heap_order(const void *left, const void *right) {
    const struct published_heap *a = left, *b = right;
    uint64_t x = a->budget.committed_bytes, y = b->budget.committed_bytes;
    return x != y ? (x < y ? 1 : -1) : a->number < b->number ? -1 : 1;
}

static void heaps(struct lines *lines, const struct top *top, bool bars, uint64_t rows) {
    static struct published_heap heap[PUBLISHED_HEAPS];
    char a[24], b[24], c[24], n[32], k[32];
    uint64_t held = top->now.count_heaps < PUBLISHED_HEAPS ? top->now.count_heaps : PUBLISHED_HEAPS;
    memcpy(heap, top->now.heap, held * sizeof *heap);
    qsort(heap, held, sizeof *heap, heap_order);
    struct line *line = lines_add(lines);
    line_put(line, BOLD, "%-16s%10s%12s%12s%12s%12s  ", "HEAP", "taken", "peak", "live", "blocks", "cached");
    line_put(line, BOLD, bars ? "in use" : "");
    uint64_t shown = 0;
    for (; shown < held && shown < rows; shown++) {
        const struct published_heap *h = &heap[shown];
        char name[80];
        const struct published_budget *budget = &h->budget;
        char of[32] = "";
        if (h->manager != 0) snprintf(of, sizeof of, " of %" PRIu64, h->manager);
        snprintf(name, sizeof name, "%" PRIu64 "%s%s%s", h->number, of, h->flags & PUBLISHED_HEAP_OF_PROCESS ? " process" : "",
                 h->flags & PUBLISHED_HEAP_EXECUTABLE ? " code" : "");
        line = lines_add(lines);
        line_put(line, PLAIN, "%-16.16s%10s%12s", name, look_bytes(budget->committed_bytes, a),
                 look_bytes(budget->peak_committed_bytes, b));
        line_put(line, GREEN, "%12s", look_bytes(h->live_bytes, c));
        line_put(line, PLAIN, "%12s", digits(h->live_blocks, n));
        line_put(line, VIOLET, "%12s  ", digits(h->cached_blocks, k));
        if (bars) line_bar(line, 12, (struct bar_part[]){{GREEN, share(h->live_bytes, budget->committed_bytes)}}, 1);
    }
    more(lines, top->now.count_heaps, shown);
}

static int class_order(const void *left, const void *right) {
    const struct published_class *a = left, *b = right;
    if (a->slab_bytes != b->slab_bytes) return a->slab_bytes < b->slab_bytes ? 1 : -1;
    return a->size_bytes < b->size_bytes ? -1 : a->size_bytes > b->size_bytes;
}

static void classes(struct lines *lines, const struct top *top, uint64_t rows) {
    struct published_class row[PUBLISHED_CLASSES];
    char a[24], n[32], k[32];
    uint64_t used = 0, shown = 0;
    for (unsigned i = 0; i < PUBLISHED_CLASSES; i++) {
        if (top->now.row[i].slabs != 0) row[used++] = top->now.row[i];
    }
    qsort(row, used, sizeof *row, class_order);
    struct line *line = lines_add(lines);
    line_put(line, BOLD, "%-8s%10s%11s%9s  ", "CLASS", "taken", "live", "cached");
    line_put(line, BOLD, "full");
    for (; shown < used && shown < rows; shown++) {
        const struct published_class *r = &row[shown];
        line = lines_add(lines);
        line_put(line, PLAIN, "%-8s%10s", r->size_bytes ? digits(r->size_bytes, (char[32]){0}) : "large",
                 look_bytes(r->slab_bytes, a));
        line_put(line, GREEN, "%11s", digits(r->live, n));
        line_put(line, VIOLET, "%9s  ", digits(r->cached, k));
        struct bar_part parts[] = {{GREEN, share(r->live, r->room)}, {VIOLET, share(r->cached, r->room)}};
        line_bar(line, 10, parts, 2);
    }
    more(lines, used, shown);
}

static int thread_order(const void *left, const void *right) {
    const struct published_thread *a = left, *b = right;
    uint64_t x = a->block_bytes + a->span_bytes, y = b->block_bytes + b->span_bytes;
    return x != y ? (x < y ? 1 : -1) : a->number < b->number ? -1 : 1;
}

static void threads(struct lines *lines, const struct top *top, uint64_t rows) {
    static struct published_thread thread[PUBLISHED_THREADS];
    char a[24], b[24], n[32], name[64];
    uint64_t held = top->now.count_threads < PUBLISHED_THREADS ? top->now.count_threads : PUBLISHED_THREADS, shown = 0;
    memcpy(thread, top->now.thread, held * sizeof *thread);
    qsort(thread, held, sizeof *thread, thread_order);
    line_put(lines_add(lines), BOLD, "%-9s%-14s%9s%11s%11s", "THREAD", "", "blocks", "kept", "spans");
    for (; shown < held && shown < rows; shown++) {
        const struct published_thread *t = &thread[shown];
        snprintf(name, sizeof name, "(ended)");
        if (t->number != 0) look_thread_name(&top->look, t->number, name, sizeof name);
        struct line *line = lines_add(lines);
        line_put(line, t->number != 0 ? PLAIN : DIM, "%-9" PRIu64, t->number);
        line_field(line, DIM, 14, name);
        line_put(line, PLAIN, "%9s", digits(t->blocks, n));
        line_put(line, VIOLET, "%11s", look_bytes(t->block_bytes, a));
        line_put(line, BLUE, "%11s", look_bytes(t->span_bytes, b));
    }
    more(lines, top->now.count_threads, shown);
}

/* Two panels side by side. */
static void beside(struct lines *lines, const struct lines *left, const struct lines *right, int at) {
    for (int i = 0; i < left->count || i < right->count; i++) {
        struct line *line = lines_add(lines);
        if (i < left->count) *line = left->line[i];
        line_pad(line, at);
        if (i >= right->count || line->length + right->line[i].length >= LINE_ROOM) continue;
        memcpy(line->text + line->length, right->line[i].text, right->line[i].length + 1);
        line->length += right->line[i].length;
        line->width += right->line[i].width;
    }
}

void panels_make(const struct top *top, struct lines *lines, int width, int height) {
    static struct lines left, right;
    int bar = width - LABEL - 58 < 10 ? 10 : width - LABEL - 58;
    heading(lines, top, width);
    totals(lines, top, bar);
    if (top->has_before) history(lines, top, bar);
    lines_add(lines);
    rates(lines, top, width);
    lines_add(lines);
    bool two = width >= 108;
    int room = height == 0 ? ROWS_UNBOUND * 3 : height - lines->count - 11;
    int few = room / 4 < 3 ? 3 : room / 4;
    room -= (int)budgets(lines, top, width >= 94, (uint64_t)few);
    lines_add(lines);
    uint64_t heap_rows = top->now.count_heaps < (uint64_t)few ? top->now.count_heaps : (uint64_t)few;
    heaps(lines, top, width >= 88, heap_rows);
    lines_add(lines);
    room -= (int)heap_rows;
    int rows = height == 0 ? ROWS_UNBOUND : two ? room : room / 2;
    if (rows < 3) rows = 3;
    left.count = right.count = 0;
    classes(&left, top, (uint64_t)rows);
    if (!two) lines_add(&left);
    threads(two ? &right : &left, top, (uint64_t)rows);
    beside(lines, &left, &right, two ? 54 : 0);
}
