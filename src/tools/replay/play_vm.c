/*
 * play_vm.c - the virtual-memory calls of a trace, one function for each.
 *
 * A call is replayed only where the trace itself says what must come out. Recorded addresses inside an allocation of the
 * trace are translated by its displacement; addresses outside every allocation belong to images, stacks and what else the
 * recorded process had, and stand-ins of the system's own take their place. A call that failed must fail again, and the model
 * must see why: a failure that the rules of Win32 do not explain from the trace's earlier calls had its reason in the recorded
 * process: it ran out of memory, or met memory that the trace does not show. The reason is brought about where that is
 * possible; else the call is left out and counted.
 */
#include "tools/replay/replay.h"

static void *pointer_of(uint64_t recorded) { return (void *)(uintptr_t)recorded; }

/* Releases what the model still has in [start, end): the recorded release is not in the trace. */
static void release_lost(struct replay *replay, uint64_t start, uint64_t end) {
    struct allocation *one;
    while ((one = shadow_overlap(&replay->shadow, start, end)) != NULL) {
        replay->memory.free(one->live, 0, MEM_RELEASE);
        shadow_remove(&replay->shadow, one);
        replay->count_note[NOTE_LOST_FREE]++;
    }
}

static enum kind reserve_kind(const struct call *call) {
    bool commits = (call->type & MEM_COMMIT) != 0;
    return commits ? KIND_RESERVE_COMMIT : KIND_RESERVE;
}

/*
 * Reserves [base, end), at the wanted address if the recorded call had one. Where that is taken in this process, anywhere;
 * but an address that the system would give and the memory under test refuses is a difference.
 */
static void *reserve_issue(struct replay *replay, const struct call *call, uint64_t base, uint64_t end, bool *moved) {
    const struct memory *memory = &replay->memory;
    uint64_t ticks;
    void *got;
    TIMED(ticks, got = memory->alloc(pointer_of(call->addr), (size_t)call->size, call->type, call->prot));
    *moved = call->addr == 0;
    if (got == NULL && call->addr != 0) {
        unsigned error = (unsigned)memory->last_error();
        if (system_occupy(base, (size_t)(end - base))) {
            system_vacate(base, (size_t)(end - base));
            replay_differ(replay, call, "refused with error %u an address that the system would give", error);
        }
        *moved = true;
        replay->count_note[NOTE_RELOCATED]++;
        TIMED(ticks, got = memory->alloc(NULL, (size_t)(end - base), call->type, call->prot));
    }
    replay_count(replay, reserve_kind(call), ticks, false);
    return got;
}

static void reserve_granted(struct replay *replay, const struct call *call) {
    uint64_t base = call->ret, end = page_up((call->addr != 0 ? call->addr : call->ret) + call->size);
    release_lost(replay, base, end);
    bool moved;
    unsigned char *got = reserve_issue(replay, call, base, end, &moved);
    if (got == NULL) {
        replay_differ(replay, call, "expected success, got error %u", (unsigned)replay->memory.last_error());
        return;
    }
    if ((uintptr_t)got % SHADOW_GRANULE != 0) replay_differ(replay, call, "%p is not a multiple of 64 KiB", (void *)got);
    if (!moved && (uintptr_t)got != base)
        replay_differ(replay, call, "expected the wanted %llx, got %p", (unsigned long long)base, (void *)got);
    struct allocation *one = shadow_add(&replay->shadow, base, end - base, got);
    if (one == NULL) replay_exhausted(call);
    if ((call->type & MEM_COMMIT) == 0) return;
    check_committed(one, base, end, call->prot);
    check_settle(replay, call, one, base, end);
}

/* The rules allow the arguments of a reservation, so that only a shortage can have made it fail. */
static bool reserve_arguments_good(const struct call *call) {
    uint32_t base = call->prot & 0xff;
    return call->size != 0 && call->size < (uint64_t)1 << 47 && (call->type & (MEM_COMMIT | MEM_RESERVE)) != 0 && base != 0
           && (base & (base - 1)) == 0 && base != PAGE_WRITECOPY && base != PAGE_EXECUTE_WRITECOPY;
}

static void alloc_must_fail(struct replay *replay, const struct call *call, enum kind kind, void *address) {
    uint64_t ticks;
    void *got;
    TIMED(ticks, got = replay->memory.alloc(address, (size_t)call->size, call->type, call->prot));
    replay_count(replay, kind, ticks, true);
    if (got == NULL) return;
    replay_differ(replay, call, "expected failure, got %p", got);
    if (kind != KIND_COMMIT && kind != KIND_RESET) replay->memory.free(got, 0, MEM_RELEASE);
}

/*
 * Something took the wanted 64 KiB unit. If the trace shows it, the same place is asked for here; else a page of
 * the system's own is put in the way (or of the memory under test, if that owns the address).
 */
static void reserve_refused(struct replay *replay, const struct call *call) {
    uint64_t base = granule_down(call->addr), end = page_up(call->addr + call->size);
    if (!reserve_arguments_good(call)) {
        alloc_must_fail(replay, call, reserve_kind(call), pointer_of(call->addr));
        return;
    }
    if (call->addr == 0) {
        replay->count_note[NOTE_SHORTAGE]++;
        return;
    }
    uint64_t unit_end = base + SHADOW_GRANULE;
    struct allocation *one = shadow_overlap(&replay->shadow, base, end > unit_end ? end : unit_end);
    if (one != NULL) {
        alloc_must_fail(replay, call, reserve_kind(call), allocation_live(one, call->addr));
        return;
    }
    bool placed = system_occupy(base, SHADOW_PAGE);
    void *own = placed ? NULL : replay->memory.alloc(pointer_of(base), SHADOW_PAGE, MEM_RESERVE, PAGE_NOACCESS);
    replay->count_note[NOTE_OBSTACLE]++;
    alloc_must_fail(replay, call, reserve_kind(call), pointer_of(call->addr));
    if (placed) system_vacate(base, SHADOW_PAGE);
    if (own != NULL) replay->memory.free(own, 0, MEM_RELEASE);
}

/* The allocation for a commit in memory that the recording got before it began, such as a thread's stack. */
static struct allocation *reserve_before(struct replay *replay, const struct call *call) {
    uint64_t base = granule_down(call->addr), end = page_up(call->addr + call->size);
    release_lost(replay, base, end);
    void *got = replay->memory.alloc(NULL, (size_t)(end - base), MEM_RESERVE, PAGE_READWRITE);
    if (got == NULL) {
        replay_differ(replay, call, "expected to reserve memory for it first, got error %u",
                      (unsigned)replay->memory.last_error());
        return NULL;
    }
    replay->count_note[NOTE_RESERVED_BEFORE]++;
    struct allocation *one = shadow_add(&replay->shadow, base, end - base, got);
    if (one == NULL) replay_exhausted(call);
    return one;
}

static void commit_granted(struct replay *replay, const struct call *call, struct allocation *one, enum kind kind) {
    bool whole = call->type == MEM_RESET; /* only pages that lie in the range whole */
    uint64_t start = whole ? page_up(call->addr) : page_down(call->addr);
    uint64_t end = whole ? page_down(call->addr + call->size) : page_up(call->addr + call->size);
    check_verify(replay, call, one, start, end);
    uint64_t ticks;
    void *got, *expected = allocation_live(one, call->ret);
    TIMED(ticks, got = replay->memory.alloc(allocation_live(one, call->addr), (size_t)call->size, call->type, call->prot));
    replay_count(replay, kind, ticks, false);
    if (got != expected) {
        if (got == NULL) replay_differ(replay, call, "expected success, got error %u", (unsigned)replay->memory.last_error());
        else replay_differ(replay, call, "expected %p, got %p", expected, got);
        return;
    }
    if (end > allocation_end(one)) {
        replay_differ(replay, call, "got success for a range that goes past the allocation's end");
        return;
    }
    if (kind == KIND_COMMIT) check_committed(one, start, end, call->prot);
    for (uint64_t at = start; kind == KIND_RESET && at < end; at += SHADOW_PAGE) {
        struct page *page = &one->page[(at - one->recorded) / SHADOW_PAGE];
        if (page->content != CONTENT_ABSENT) page->content = CONTENT_UNKNOWN;
    }
    check_settle(replay, call, one, start, end);
}

void play_alloc(struct replay *replay, const struct call *call) {
    if (call->addr == 0 || (call->type & MEM_RESERVE) != 0) {
        if (call->ret != 0) reserve_granted(replay, call);
        else reserve_refused(replay, call);
        return;
    }
    enum kind kind = (call->type & (MEM_RESET | MEM_RESET_UNDO)) != 0 ? KIND_RESET : KIND_COMMIT;
    struct allocation *one = shadow_find(&replay->shadow, call->addr);
    if (call->ret != 0) {
        if (one == NULL && (one = reserve_before(replay, call)) == NULL) return;
        commit_granted(replay, call, one, kind);
    } else if (one == NULL) {
        replay->count_note[NOTE_UNKNOWN]++;
    } else if (page_up(call->addr + call->size) <= allocation_end(one) && reserve_arguments_good(call)) {
        replay->count_note[NOTE_SHORTAGE]++;
    } else {
        alloc_must_fail(replay, call, kind, allocation_live(one, call->addr));
        check_verify(replay, call, one, call->addr, allocation_end(one));
    }
}

/* The rules let this call succeed. */
static bool free_good(const struct call *call, const struct allocation *one) {
    bool at_base = page_down(call->addr) == one->recorded;
    if (call->type == MEM_RELEASE) return call->size == 0 && at_base;
    if (call->type != MEM_DECOMMIT) return false;
    return call->size == 0 ? at_base : page_up(call->addr + call->size) <= allocation_end(one);
}

void play_free(struct replay *replay, const struct call *call) {
    struct allocation *one = shadow_find(&replay->shadow, call->addr);
    enum kind kind = call->type == MEM_RELEASE ? KIND_RELEASE : KIND_DECOMMIT;
    if (one == NULL) {
        replay->count_note[NOTE_UNKNOWN]++;
        return;
    }
    uint64_t start = page_down(call->addr), end = page_up(call->addr + call->size);
    if (call->size == 0 || end > allocation_end(one)) end = allocation_end(one);
    check_verify(replay, call, one, start, end);
    uint64_t ticks;
    BOOL done;
    TIMED(ticks, done = replay->memory.free(allocation_live(one, call->addr), (size_t)call->size, call->type));
    replay_count(replay, kind, ticks, call->ret == 0);
    if ((done != 0) != (call->ret != 0)) {
        if (done) replay_differ(replay, call, "expected failure, got success");
        else replay_differ(replay, call, "expected success, got error %u", (unsigned)replay->memory.last_error());
    }
    if (!done) check_verify(replay, call, one, start, end); /* nothing has changed */
    if (!done || !free_good(call, one)) return;
    if (kind == KIND_RELEASE) shadow_remove(&replay->shadow, one);
    else check_decommitted(one, start, end);
}

/* The live address of memory that the trace did not allocate. */
static unsigned char *stand_in(struct replay *replay, const struct call *call, uint64_t size) {
    bool made;
    unsigned char *live = shadow_stand_in(&replay->shadow, call->addr, size, &made);
    if (live == NULL) replay_exhausted(call);
    if (made) replay->count_note[NOTE_STAND_IN]++;
    return live;
}

void play_protect(struct replay *replay, const struct call *call) {
    struct allocation *one = shadow_find(&replay->shadow, call->addr);
    uint64_t start = page_down(call->addr), end = page_up(call->addr + call->size);
    bool inside = one != NULL && end <= allocation_end(one);
    bool good = inside && check_all_committed(one, start, end);
    if (one == NULL && call->ret == 0) {
        replay->count_note[NOTE_UNKNOWN]++;
        return;
    }
    if (inside) check_verify(replay, call, one, start, end);
    unsigned char *live = one != NULL ? allocation_live(one, call->addr) : stand_in(replay, call, call->size);
    uint64_t ticks;
    BOOL done;
    DWORD old = 0;
    TIMED(ticks, done = replay->memory.protect(live, (size_t)call->size, call->prot, &old));
    replay_count(replay, KIND_PROTECT, ticks, call->ret == 0);
    if ((done != 0) != (call->ret != 0)) {
        if (done) replay_differ(replay, call, "expected failure, got success");
        else replay_differ(replay, call, "expected success, got error %u", (unsigned)replay->memory.last_error());
        return;
    }
    if (!done || !good) return;
    unsigned known = one->page[(start - one->recorded) / SHADOW_PAGE].prot;
    if ((old & PAGE_GUARD) == 0 && (old & 0xff) != known)
        replay_differ(replay, call, "expected the old protection %x, got %x", known, (unsigned)old);
    check_committed(one, start, end, call->prot);
    check_settle(replay, call, one, start, end);
}

/* What the memory under test says of an allocation of the trace against what the recording had from its system. */
static void query_compare(struct replay *replay, const struct call *call, const struct allocation *one,
                          const MEMORY_BASIC_INFORMATION *info) {
    if (info->State != call->type)
        replay_differ(replay, call, "expected the state %x, got %x", (unsigned)call->type, (unsigned)info->State);
    else if (info->Protect != call->prot)
        replay_differ(replay, call, "expected the protection %x, got %x", (unsigned)call->prot, (unsigned)info->Protect);
    else if (info->RegionSize != call->size)
        replay_differ(replay, call, "expected the region size %llx, got %llx", (unsigned long long)call->size,
                      (unsigned long long)info->RegionSize);
    else if (info->AllocationBase != one->live)
        replay_differ(replay, call, "expected the allocation base %p, got %p", (void *)one->live, info->AllocationBase);
    else if (info->BaseAddress != allocation_live(one, page_down(call->addr)))
        replay_differ(replay, call, "the base address is not the page's");
}

void play_query(struct replay *replay, const struct call *call) {
    const struct allocation *one = shadow_find(&replay->shadow, call->addr);
    const void *live = pointer_of(call->addr); /* right for free memory, and where the recorded call was refused */
    if (one != NULL) live = allocation_live(one, call->addr);
    else if (call->ret != 0 && call->type != MEM_FREE) live = stand_in(replay, call, 1);
    MEMORY_BASIC_INFORMATION info;
    uint64_t ticks;
    SIZE_T got;
    TIMED(ticks, got = replay->memory.query(live, &info, call->ret != 0 ? sizeof info : 0));
    replay_count(replay, KIND_QUERY, ticks, call->ret == 0);
    if (call->ret == 0) {
        if (got != 0) replay_differ(replay, call, "expected failure, got success");
    } else if (got != sizeof info) {
        replay_differ(replay, call, "expected %u bytes, got %u", (unsigned)sizeof info, (unsigned)got);
    } else if (one != NULL) {
        query_compare(replay, call, one, &info);
    } else if (call->type != MEM_FREE && info.State != MEM_COMMIT) {
        replay_differ(replay, call, "memory of the system's own has the state %x", (unsigned)info.State);
    }
}

/* Views are the system's business on both sides; they are here because later calls may concern them. */
void play_map(struct replay *replay, const struct call *call) {
    if (call->ret == 0) {
        replay->count_note[NOTE_SHORTAGE]++;
        return;
    }
    uint64_t size = page_up(call->size != 0 ? call->size : 1), ticks;
    bool made;
    unsigned char *live;
    TIMED(ticks, live = shadow_stand_in(&replay->shadow, call->ret, size, &made));
    replay_count(replay, KIND_MAP, ticks, false);
    if (live == NULL) replay_exhausted(call);
    *live = 1;
}

void play_unmap(struct replay *replay, const struct call *call) {
    uint64_t ticks;
    bool done;
    TIMED(ticks, done = shadow_stand_in_drop(&replay->shadow, call->addr));
    if (done) replay_count(replay, KIND_UNMAP, ticks, false);
    else replay->count_note[NOTE_UNKNOWN]++;
}
