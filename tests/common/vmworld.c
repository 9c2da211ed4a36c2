/*
 * vmworld.c - makes a call of vmcall.h in a real implementation and puts its answer in the same address-free form. See vmworld.h.
 */
#include "vmworld.h"

#include <string.h>

#include "probe.h"

/* Rooms lie further apart than they are long, so that what follows one is free. */
#define ROOM_STRIDE ((uintptr_t)2 << 20)

void world_rooms(struct vm_world *w, int first, int count, uintptr_t address) {
    for (int i = 0; i < count; i++) w->place[first + i] = (char *)(address + (uintptr_t)i * ROOM_STRIDE);
}

static void outcome(const struct vm_world *w, bool success, struct vm_answer *answer) {
    DWORD error = w->error();
    answer->success = success;
    answer->error = success && error == w->armed ? ERROR_KEPT : error;
}

static bool in_a_room(const struct vm_world *w, const char *address) {
    for (int i = 0; i < ROOMS; i++) {
        if (w->place[i] != NULL && (uintptr_t)address - (uintptr_t)w->place[i] < ROOM_STRIDE) return true;
    }
    return false;
}

/*
 * An implementation may put an allocation where it likes, also into a room's free memory; the model knows only of what the calls
 * put there. So the call is made again, until it lies elsewhere.
 */
static char *alloc_elsewhere(struct vm_world *w, const struct vm_call *call) {
    char *got = w->alloc(NULL, call->size, call->type, call->protect);
    if (got == NULL || !in_a_room(w, got)) return got;
    char *other = alloc_elsewhere(w, call);
    w->free(got, 0, MEM_RELEASE);
    return other;
}

static void call_alloc(struct vm_world *w, const struct vm_call *call, struct vm_answer *answer) {
    char *base = w->place[call->place];
    w->arm();
    bool anywhere = call->op == OP_NEW;
    char *got = anywhere ? alloc_elsewhere(w, call) : w->alloc(base + call->offset, call->size, call->type, call->protect);
    outcome(w, got != NULL, answer);
    if (!got) return;
    if (call->op == OP_NEW) {
        w->place[call->place] = got;
        answer->offset = (int64_t)((uintptr_t)got % ((uintptr_t)UNIT_PAGES * PAGE_SIZE_BYTES));
    } else {
        answer->offset = got - base;
    }
}

static void call_query(struct vm_world *w, const struct vm_call *call, struct vm_answer *answer) {
    char *base = w->place[call->place];
    MEMORY_BASIC_INFORMATION info;
    w->arm();
    SIZE_T got = w->query(base + call->offset, &info, sizeof info);
    outcome(w, got == sizeof info, answer);
    if (got != sizeof info) return;
    answer->offset = (char *)info.BaseAddress - base;
    answer->size = info.RegionSize;
    answer->state = info.State;
    answer->now = info.Protect;
    answer->was = info.AllocationProtect;
    answer->type = info.Type;
    answer->base = info.AllocationBase ? (char *)info.AllocationBase - base : NO_BASE;
    bool to_the_end = answer->offset + (int64_t)answer->size >= (int64_t)PLACE_PAGES * PAGE_SIZE_BYTES;
    if (info.State == MEM_FREE && (to_the_end || call->place >= ROOMS)) answer->size = 0;
}

static void call_touch(struct vm_world *w, const struct vm_call *call, struct vm_answer *answer) {
    char *address = w->place[call->place] + call->offset;
    char kind = call->op == OP_STORE ? 'w' : call->op == OP_LOAD ? 'r' : 'x';
    answer->access = (uint8_t)probe(kind, address);
    if (answer->access != PROBE_OK) return;
    if (call->op == OP_STORE) *(volatile uint8_t *)address = call->value;
    if (call->op != OP_LOAD) return;
    answer->tag = *(volatile uint8_t *)address;
    answer->rest = *(volatile uint8_t *)(w->place[call->place] + call->offset / PAGE_SIZE_BYTES * PAGE_SIZE_BYTES + call->size);
}

void world_call(struct vm_world *w, const struct vm_call *call, struct vm_answer *answer) {
    char *address = w->place[call->place] + call->offset;
    memset(answer, 0, sizeof *answer);
    switch (call->op) {
    case OP_NEW:
    case OP_ALLOC: call_alloc(w, call, answer); break;
    case OP_FREE:
        w->arm();
        outcome(w, w->free(address, call->size, call->type), answer);
        break;
    case OP_PROTECT: {
        DWORD old = 0;
        w->arm();
        outcome(w, w->protect(address, call->size, call->protect, call->value ? NULL : &old), answer);
        answer->now = answer->success ? old : 0;
        break;
    }
    case OP_QUERY: call_query(w, call, answer); break;
    default: call_touch(w, call, answer); break;
    }
}
