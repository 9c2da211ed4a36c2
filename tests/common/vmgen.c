/*
 * vmgen.c - random virtual-memory calls. See vmgen.h; what a call may be is said in vmcall.h.
 *
 * One seed gives one sequence, as long as the answers are right: the generator asks the model only, never the memory.
 */
#include "vmgen.h"

#include <stdio.h>

static DWORD pick_protect(struct rand *r, bool cache_modifiers) {
    static const DWORD good[] = {PAGE_NOACCESS,  PAGE_READONLY, PAGE_READWRITE,    PAGE_READWRITE,
                                 PAGE_READWRITE, PAGE_READWRITE, PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE,
                                 PAGE_EXECUTE_READWRITE};
    static const DWORD bad[] = {0,
                                PAGE_WRITECOPY,
                                PAGE_EXECUTE_WRITECOPY,
                                PAGE_READONLY | PAGE_READWRITE,
                                PAGE_GUARD,
                                PAGE_GUARD | PAGE_NOACCESS,
                                PAGE_NOCACHE | PAGE_GUARD | PAGE_READWRITE,
                                PAGE_NOCACHE | PAGE_WRITECOMBINE | PAGE_READWRITE,
                                0x800 | PAGE_READWRITE,
                                0xff};
    if (rand_once_in(r, 50)) return bad[rand_below(r, sizeof bad / sizeof *bad)];
    DWORD protect = good[rand_below(r, sizeof good / sizeof *good)];
    if (protect == PAGE_NOACCESS) return protect;
    if (rand_once_in(r, 12)) protect |= PAGE_GUARD;
    if (cache_modifiers && rand_once_in(r, 20)) {
        if (!(protect & PAGE_GUARD) && rand_once_in(r, 2)) protect |= PAGE_NOCACHE;
        else protect |= PAGE_WRITECOMBINE;
    }
    return protect;
}

static SIZE_T pick_size(struct rand *r) {
    switch (rand_below(r, 16)) {
    case 0: return rand_below(r, 20000);
    case 1: return 1 + rand_below(r, 3);
    case 2: return (SIZE_T)PAGE_SIZE_BYTES * (1 + rand_below(r, 64));
    case 3: return (SIZE_T)PAGE_SIZE_BYTES * UNIT_PAGES;
    default: return (SIZE_T)PAGE_SIZE_BYTES * (1 + rand_below(r, 8));
    }
}

static SIZE_T insane_size(struct rand *r) {
    return rand_once_in(r, 2) ? (SIZE_T)0 - 1 - rand_below(r, 100000) : ((SIZE_T)1 << 47) + rand_below(r, 100000);
}

/* A place with something in it, or any room. */
static int pick_place(struct rand *r, const struct model *m) {
    for (int i = 0; i < 4; i++) {
        int place = (int)rand_below(r, PLACES);
        if (place < ROOMS || m->place[place].live) return place;
    }
    return (int)rand_below(r, ROOMS);
}

/* Any page that a call may start at, but mostly one of an allocation, or a committed one, if one is found soon. */
static int pick_page(struct rand *r, const struct model_place *p, bool is_room, bool committed) {
    int limit = ROOM_PAGES;
    /* A slot's allocation starts at page 0, and the rest of its last unit is free for certain. */
    if (!is_room) limit = (model_end(p, 0) + UNIT_PAGES - 1) / UNIT_PAGES * UNIT_PAGES;
    int page = (int)rand_below(r, (uint32_t)limit);
    if (rand_once_in(r, 8)) return page;
    for (int i = 0; i < 12; i++) {
        if (p->page[page].first >= 0 && (!committed || p->page[page].protect != 0)) break;
        page = (int)rand_below(r, (uint32_t)limit);
    }
    return page;
}

/* An offset: a page's start, or inside it, or an allocation's first page. */
static SIZE_T pick_offset(struct rand *r, const struct model_place *p, bool is_room, bool committed) {
    int page = pick_page(r, p, is_room, committed);
    if (committed && !rand_once_in(r, 8)) return (SIZE_T)page * PAGE_SIZE_BYTES;
    if (rand_once_in(r, 8) && p->page[page].first >= 0) page = p->page[page].first;
    SIZE_T offset = (SIZE_T)page * PAGE_SIZE_BYTES;
    return rand_once_in(r, 6) ? offset + rand_below(r, PAGE_SIZE_BYTES) : offset;
}

/* A range from the call's offset on, which ends in the place, and often exactly where the allocation does. */
static void pick_range(struct rand *r, const struct model_place *p, struct vm_call *call) {
    int page = (int)(call->offset / PAGE_SIZE_BYTES);
    if (rand_once_in(r, 200)) {
        call->size = insane_size(r);
        return;
    }
    call->size = pick_size(r);
    if (p->page[page].first >= 0 && call->size > PAGE_SIZE_BYTES && rand_once_in(r, 2)) { /* inside, or to the end */
        SIZE_T left = (SIZE_T)model_end(p, page) * PAGE_SIZE_BYTES - call->offset;
        if (call->size > left) call->size = left;
    }
    if (p->page[page].first >= 0 && rand_once_in(r, 6)) {
        call->size = (SIZE_T)model_end(p, page) * PAGE_SIZE_BYTES - call->offset;
        if (rand_once_in(r, 4)) call->size++;
    }
    if (call->op == OP_PROTECT && !rand_once_in(r, 4)) { /* not past what is committed */
        int end = page;
        while (end < PLACE_PAGES && p->page[end].first == p->page[page].first && p->page[end].protect) end++;
        if (end > page && call->offset + call->size > (SIZE_T)end * PAGE_SIZE_BYTES) {
            call->size = (SIZE_T)end * PAGE_SIZE_BYTES - call->offset;
        }
    }
    if (rand_once_in(r, 100)) call->size = 0;
    SIZE_T room = (SIZE_T)PLACE_PAGES * PAGE_SIZE_BYTES - call->offset;
    if (call->size > room) call->size = room;
}

static DWORD spoil_type(struct rand *r, DWORD type) {
    static const DWORD wrong[] = {0,         MEM_DECOMMIT, MEM_RELEASE, MEM_FREE, MEM_PRIVATE, MEM_RESET | MEM_COMMIT,
                                  MEM_COMMIT | MEM_RELEASE, 0x800, 0x80000000u, MEM_TOP_DOWN};
    return rand_once_in(r, 60) ? wrong[rand_below(r, sizeof wrong / sizeof *wrong)] : type;
}

static void fill_reserve(struct rand *r, const struct model_place *p, bool is_room, struct vm_call *call) {
    call->op = OP_ALLOC;
    call->offset = pick_offset(r, p, is_room, false);
    if (is_room && !rand_once_in(r, 4)) { /* where it is free, if it is found at once */
        for (int i = 0; i < 4; i++) {
            int page = (int)rand_below(r, ROOM_PAGES);
            if (p->page[page].first < 0) call->offset = (SIZE_T)page * PAGE_SIZE_BYTES + (rand_once_in(r, 4) ? 17 : 0);
        }
    }
    pick_range(r, p, call);
    call->type = MEM_RESERVE | (rand_once_in(r, 2) ? MEM_COMMIT : 0u) | (rand_once_in(r, 20) ? MEM_TOP_DOWN : 0u);
    call->type = spoil_type(r, call->type);
}

static void fill_free(struct rand *r, const struct model_place *p, struct vm_call *call) {
    call->op = OP_FREE;
    bool whole = rand_once_in(r, call->place < ROOMS ? 3 : 2);
    call->type = whole ? MEM_RELEASE : MEM_DECOMMIT;
    if (whole) {
        int first = p->page[call->offset / PAGE_SIZE_BYTES].first;
        if (first >= 0 && !rand_once_in(r, 6)) call->offset = (SIZE_T)first * PAGE_SIZE_BYTES;
        SIZE_T rest = PAGE_SIZE_BYTES - call->offset % PAGE_SIZE_BYTES;
        if (rand_once_in(r, 10)) call->offset += rand_below(r, (uint32_t)rest);
    }
    if (!whole) pick_range(r, p, call);
    else if (rand_once_in(r, 40)) call->size = PAGE_SIZE_BYTES;
    call->type = spoil_type(r, call->type);
}

static void fill_touch(struct rand *r, const struct model_place *p, struct vm_call *call) {
    static const enum vm_op ops[] = {OP_STORE, OP_STORE, OP_STORE, OP_LOAD, OP_LOAD, OP_LOAD, OP_EXECUTE};
    int page = (int)(call->offset / PAGE_SIZE_BYTES);
    call->op = ops[rand_below(r, sizeof ops / sizeof *ops)];
    for (int i = 0; i < 4 && p->page[page].protect <= PAGE_NOACCESS && !rand_once_in(r, 16); i++) {
        page = pick_page(r, p, call->place < ROOMS, true);
    }
    const struct model_page *state = &p->page[page];
    if (call->op == OP_EXECUTE && state->protect >= PAGE_EXECUTE && (state->tag != 0xc3 || state->any_tag)) call->op = OP_LOAD;
    call->offset = (SIZE_T)page * PAGE_SIZE_BYTES + vm_tag_offset((SIZE_T)page);
    call->value = rand_once_in(r, 2) ? 0xc3 : (uint8_t)rand_below(r, 256); /* 0xc3 is a RET instruction */
    call->size = rand_below(r, PAGE_SIZE_BYTES);
    if (call->size == vm_tag_offset((SIZE_T)page)) call->size = (call->size + 1) % PAGE_SIZE_BYTES;
}

static bool fill_new(struct rand *r, const struct model *m, struct vm_call *call) {
    int place = ROOMS + (int)rand_below(r, SLOTS);
    if (m->place[place].live) return false;
    call->op = OP_NEW;
    call->place = place;
    call->size = rand_once_in(r, 100) ? insane_size(r) : pick_size(r);
    DWORD types[] = {MEM_RESERVE, MEM_COMMIT, MEM_RESERVE | MEM_COMMIT, MEM_RESERVE | MEM_TOP_DOWN};
    call->type = types[rand_below(r, 4)];
    return true;
}

void vmgen_next(struct rand *r, const struct model *m, bool cache_modifiers, struct vm_call *call) {
    *call = (struct vm_call){.protect = pick_protect(r, cache_modifiers)};
    uint32_t what = rand_below(r, 100);
    if (what < 5 && fill_new(r, m, call)) return;
    call->place = pick_place(r, m);
    const struct model_place *p = &m->place[call->place];
    bool is_room = call->place < ROOMS;
    call->offset = pick_offset(r, p, is_room, what >= 45);
    if (what < 15) {
        fill_reserve(r, p, is_room, call);
    } else if (what < 30) {
        call->op = OP_ALLOC;
        call->type = spoil_type(r, rand_once_in(r, 12) ? MEM_RESET : MEM_COMMIT);
        pick_range(r, p, call);
    } else if (what < 45) {
        fill_free(r, p, call);
    } else if (what < 60) {
        call->op = OP_PROTECT;
        call->value = rand_once_in(r, 100);
        pick_range(r, p, call);
        /* Write-copy is wrong for private memory only: of nobody's memory, either error is right. */
        bool owned = p->page[call->offset / PAGE_SIZE_BYTES].first >= 0;
        if (!owned && (call->protect & (PAGE_WRITECOPY | PAGE_EXECUTE_WRITECOPY))) call->protect = 0;
    } else if (what < 75) {
        call->op = OP_QUERY;
    } else {
        fill_touch(r, p, call);
    }
}

const char *vmgen_name(enum vm_op op) {
    static const char *const names[OP_COUNT] = {"new", "alloc", "free", "protect", "query", "store", "load", "execute"};
    return names[op];
}

void vmgen_print(uint64_t number, const struct vm_call *call, const struct vm_answer *answer) {
    printf("%10llu %-7s place %2d +0x%06llx size 0x%llx type %lx protect %lx value %x", (unsigned long long)number,
           vmgen_name(call->op), call->place, (unsigned long long)call->offset, (unsigned long long)call->size,
           (unsigned long)call->type, (unsigned long)call->protect, call->value);
    if (!answer) {
        printf("\n");
        return;
    }
    printf(" -> %s error %lu offset %lld base %lld size 0x%llx was %lx now %lx state %lx type %lx access %u tag %x rest %x\n",
           answer->success ? "ok" : "no", (unsigned long)answer->error, (long long)answer->offset, (long long)answer->base,
           (unsigned long long)answer->size, (unsigned long)answer->was, (unsigned long)answer->now, (unsigned long)answer->state,
           (unsigned long)answer->type, answer->access, answer->tag, answer->rest);
}
