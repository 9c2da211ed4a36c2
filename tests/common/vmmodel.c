/*
 * vmmodel.c - the reference model of the virtual-memory calls. See vmmodel.h.
 *
 * Every function reads like the documentation's list of conditions, in the order in which the system checks them; nothing is
 * clever and nothing is fast. Write watch, large and physical pages are not modelled.
 */
#include "vmmodel.h"

#include <string.h>

#include "probe.h"

static const struct model_page page_free = {.first = -1};

void model_start(struct model *m) {
    memset(m, 0, sizeof *m);
    for (int i = 0; i < PLACES; i++) {
        for (int p = 0; p < PLACE_PAGES; p++) m->place[i].page[p] = page_free;
    }
}

int model_end(const struct model_place *p, int page) {
    int first = p->page[page].first;
    while (page < PLACE_PAGES && p->page[page].first == first) page++;
    return page;
}

bool model_protect_valid(DWORD protect) {
    DWORD base = protect & 0xff, modifiers = protect & (PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE);
    if (protect != (base | modifiers)) return false;
    switch (base) {
    case PAGE_NOACCESS: return modifiers == 0;
    case PAGE_READONLY:
    case PAGE_READWRITE:
    case PAGE_EXECUTE:
    case PAGE_EXECUTE_READ:
    case PAGE_EXECUTE_READWRITE: return (modifiers & (modifiers - 1)) == 0; /* one at most */
    default: return false;
    }
}

bool model_type_valid(DWORD type) {
    if (type == MEM_RESET) return true;
    if (type & ~(DWORD)(MEM_RESERVE | MEM_COMMIT | MEM_TOP_DOWN)) return false;
    return (type & (MEM_RESERVE | MEM_COMMIT)) != 0;
}

static void fail(struct vm_answer *answer, DWORD error) { answer->error = error; }

static void succeed(struct vm_answer *answer) {
    answer->success = true;
    answer->error = ERROR_KEPT;
}

/* The pages that hold a byte of the range; the range ends inside the place. */
struct span {
    int first, end;
};

static struct span span_of(SIZE_T offset, SIZE_T size) {
    return (struct span){(int)(offset / PAGE_SIZE_BYTES), (int)((offset + size + PAGE_SIZE_BYTES - 1) / PAGE_SIZE_BYTES)};
}

/* The pages that lie in the range whole. */
static struct span span_within(SIZE_T offset, SIZE_T size) {
    return (struct span){(int)((offset + PAGE_SIZE_BYTES - 1) / PAGE_SIZE_BYTES), (int)((offset + size) / PAGE_SIZE_BYTES)};
}

/* Is the whole range inside one allocation? */
static bool span_owned(const struct model_place *p, struct span s) {
    return p->page[s.first].first >= 0 && s.end <= model_end(p, s.first);
}

static void page_commit(struct model_page *page, DWORD protect) {
    if (page->protect == 0) {
        page->tag = 0;
        page->any_tag = false;
    }
    page->protect = protect;
}

static void reserve(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    struct span s = span_of(call->offset, call->size);
    s.first -= s.first % UNIT_PAGES;
    /* A unit with any page of an allocation is taken as a whole. */
    int taken_to = (s.end + UNIT_PAGES - 1) / UNIT_PAGES * UNIT_PAGES;
    for (int i = s.first; i < taken_to && i < PLACE_PAGES; i++) {
        if (p->page[i].first >= 0) {
            fail(answer, ERROR_INVALID_ADDRESS);
            return;
        }
    }
    for (int i = s.first; i < s.end; i++) {
        p->page[i] = (struct model_page){.first = s.first};
        if (call->type & MEM_COMMIT) page_commit(&p->page[i], call->protect);
    }
    p->was[s.first] = call->protect;
    p->live = true;
    answer->offset = (int64_t)s.first * PAGE_SIZE_BYTES;
    succeed(answer);
}

static void commit_or_reset(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    bool reset = call->type == MEM_RESET;
    struct span s = reset ? span_within(call->offset, call->size) : span_of(call->offset, call->size);
    struct span whole = {(int)(call->offset / PAGE_SIZE_BYTES), s.end}; /* whose it is, the first byte tells */
    if (s.first >= s.end || !span_owned(p, whole)) {
        fail(answer, ERROR_INVALID_ADDRESS);
        return;
    }
    for (int i = s.first; i < s.end; i++) {
        if (!reset) page_commit(&p->page[i], call->protect);
        else if (p->page[i].protect) p->page[i].any_tag = true;
    }
    answer->offset = (int64_t)s.first * PAGE_SIZE_BYTES;
    succeed(answer);
}

static void alloc(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    bool bad = call->size == 0 || vm_size_insane(call->size) || !model_type_valid(call->type);
    bad = bad || !model_protect_valid(call->protect);
    if (bad) fail(answer, ERROR_INVALID_PARAMETER);
    else if (call->type & MEM_RESERVE || call->op == OP_NEW) reserve(p, call, answer);
    else commit_or_reset(p, call, answer);
}

static void release(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    int page = (int)(call->offset / PAGE_SIZE_BYTES);
    if (p->page[page].first != page) {
        fail(answer, ERROR_INVALID_ADDRESS);
        return;
    }
    for (int end = model_end(p, page); page < end; page++) p->page[page] = page_free;
    p->live = false; /* of a slot, which has no other allocation */
    succeed(answer);
}

static void decommit(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    struct span s = span_of(call->offset, call->size);
    bool owned = p->page[s.first].first >= 0;
    if (call->size == 0) s.end = model_end(p, s.first);
    if (!owned || (call->size == 0 && p->page[s.first].first != s.first)) {
        fail(answer, ERROR_INVALID_ADDRESS);
    } else if (!span_owned(p, s)) {
        fail(answer, ERROR_INVALID_PARAMETER);
    } else {
        for (int i = s.first; i < s.end; i++) p->page[i].protect = 0;
        succeed(answer);
    }
}

static void free_call(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    bool bad = (call->type != MEM_RELEASE && call->type != MEM_DECOMMIT) || (call->type == MEM_RELEASE && call->size != 0) ||
               vm_size_insane(call->size);
    if (bad) fail(answer, ERROR_INVALID_PARAMETER);
    else if (call->type == MEM_RELEASE) release(p, call, answer);
    else decommit(p, call, answer);
}

static void protect(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    if (call->value) {
        fail(answer, ERROR_NOACCESS);
        return;
    }
    if (call->size == 0 || vm_size_insane(call->size) || !model_protect_valid(call->protect)) {
        fail(answer, ERROR_INVALID_PARAMETER);
        return;
    }
    struct span s = span_of(call->offset, call->size);
    bool good = span_owned(p, s);
    for (int i = s.first; good && i < s.end; i++) good = p->page[i].protect != 0;
    if (!good) {
        fail(answer, ERROR_INVALID_ADDRESS);
        return;
    }
    answer->now = p->page[s.first].protect;
    for (int i = s.first; i < s.end; i++) p->page[i].protect = call->protect;
    succeed(answer);
}

static void query(const struct model_place *p, const struct vm_call *call, bool is_room, struct vm_answer *answer) {
    int first = (int)(call->offset / PAGE_SIZE_BYTES), end = first;
    const struct model_page *page = &p->page[first];
    while (end < PLACE_PAGES && p->page[end].first == page->first && p->page[end].protect == page->protect) end++;
    answer->offset = (int64_t)first * PAGE_SIZE_BYTES;
    answer->size = (SIZE_T)(end - first) * PAGE_SIZE_BYTES;
    if (page->first < 0) {
        if (end == PLACE_PAGES || !is_room) answer->size = 0;
        answer->base = NO_BASE;
        answer->state = MEM_FREE;
        answer->now = PAGE_NOACCESS;
    } else {
        answer->base = (int64_t)page->first * PAGE_SIZE_BYTES;
        answer->was = p->was[page->first];
        answer->state = page->protect ? MEM_COMMIT : MEM_RESERVE;
        answer->now = page->protect;
        answer->type = MEM_PRIVATE;
    }
    succeed(answer);
}

static bool allows(DWORD protection, enum vm_op op) {
    DWORD base = protection & 0xff;
    if (op == OP_STORE) return base == PAGE_READWRITE || base == PAGE_EXECUTE_READWRITE;
    if (op == OP_EXECUTE) return base >= PAGE_EXECUTE;
    return base > PAGE_NOACCESS; /* x86-64 has no pages that can be executed and not read */
}

static void touch(struct model_place *p, const struct vm_call *call, struct vm_answer *answer) {
    struct model_page *page = &p->page[call->offset / PAGE_SIZE_BYTES];
    if (page->protect & PAGE_GUARD) {
        page->protect &= ~(DWORD)PAGE_GUARD;
        answer->access = PROBE_GUARD;
        return;
    }
    if (!allows(page->protect, call->op)) {
        answer->access = PROBE_FAULT;
        return;
    }
    answer->access = PROBE_OK;
    if (call->op == OP_STORE) {
        page->tag = call->value;
        page->any_tag = false;
    } else if (call->op == OP_LOAD) {
        answer->tag = page->tag;
        answer->any_tag = page->any_tag;
    }
}

void model_call(struct model *m, const struct vm_call *call, struct vm_answer *answer) {
    struct model_place *p = &m->place[call->place];
    memset(answer, 0, sizeof *answer);
    switch (call->op) {
    case OP_NEW:
    case OP_ALLOC: alloc(p, call, answer); break;
    case OP_FREE: free_call(p, call, answer); break;
    case OP_PROTECT: protect(p, call, answer); break;
    case OP_QUERY: query(p, call, call->place < ROOMS, answer); break;
    default: touch(p, call, answer); break;
    }
}
