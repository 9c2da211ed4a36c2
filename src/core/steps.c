/*
 * steps.c - the steps of heap regions.
 *
 * A step is STEP_BYTES of a region: small, so that a bound on a process's data (RLIMIT_DATA, a system that counts what is
 * committed) is met by what is used and little more, and so that a program that locks its memory does not get much more than it
 * asked for. Its states:
 *
 *   closed -> opening -> open      by the first thread that uses granules in it; back to closed if the system refuses
 *   closed, open -> mixed          by an allocation at an address in it that has pages without access. For good.
 *
 * A run in an open step needs nothing done; in any other it is made read-write by itself, which is right whether it was
 * before or not. Nobody waits for the thread that is opening a step.
 *
 * Invariants
 *   1. A step is changed as a whole only by the one thread that took it from closed to opening; and it is never taken to mixed
 *      meanwhile. So an allocation without access is never made accessible from outside.
 *   2. A thread looks at a step after it has claimed the run in it, and whoever takes access away marks the step as mixed before
 *      it lets the run go. So a run in a step that is seen as open has access.
 *   3. What is free in a heap region and has been used is zero: its last owner has dropped the content.
 */
#include "core/steps.h"

#include "core/cache.h"
#include "os/os.h"

enum { STEP_CLOSED, STEP_OPENING, STEP_OPEN, STEP_MIXED };

/*
 * Steps that slabs open and that get no pages of 2 MiB, beside one for each cache. Measured where the system gives such pages
 * unasked: a program of 20 MiB takes 22 MiB with five, 26 with one; one of 70 MiB takes 2 % longer to fill.
 */
enum { SPARSE_STEPS = 5 };

static uint32_t sparse_steps;

/* The parts of a run, step by step. */
struct part {
    uint8_t *state;
    uintptr_t step; /* where the step starts */
    uintptr_t start, end;
};

static struct part part_at(uintptr_t at, uintptr_t run_end) {
    struct slot *slot = space_slot(at);
    uintptr_t step = align_down(at, STEP_BYTES), end = step + STEP_BYTES;
    return (struct part){&slot->step[at % SLOT_BYTES / STEP_BYTES], step, at, end < run_end ? end : run_end};
}

static uintptr_t run_end(const struct run *run) {
    return granule_address(run->first) + granules_for_pages(run->count_pages) * GRANULE_BYTES;
}

void steps_reserved(uintptr_t region) { os_pictured(region, SLOT_BYTES, false); }

/*
 * A thread's first few blocks lie in as many slabs, and where the system gives pages of 2 MiB unasked, each would get one. So the
 * first steps that slabs open do without; what is used beyond them is dense, and may have such pages.
 */
static bool sparse_more(void) {
    /* rlx: one step more or less changes nothing */
    if (atom_load_rlx_u32(&sparse_steps) >= caches_there() + SPARSE_STEPS) return false;
    atom_add_acqrel_u32(&sparse_steps, 1);
    return true;
}

/*
 * That the rest of the region is not pictured keeps a mapping of its own for it, and so does what is sparse. A process that may
 * have no more mappings is refused the step for that. From then on all of the region is pictured and sparse, and runs and the
 * next steps are had.
 */
static bool step_commit(uintptr_t step, bool slabs) {
    os_pictured(step, STEP_BYTES, true);
    if (slabs && sparse_more()) os_sparse(step, STEP_BYTES);
    if (os_commit(step, STEP_BYTES, PG_READWRITE) == ST_OK) return true;
    uintptr_t region = align_down(step, SLOT_BYTES);
    uintptr_t end = space_ours_end(step); /* what has been given back is others' */
    os_pictured(region, end - region, true);
    os_sparse(region, end - region);
    return false;
}

/* True: the whole step is read-write. */
static bool step_open(const struct part *part, bool slabs) {
    uint8_t seen = atom_load_acq_u8(part->state); /* acq: pairs with the store below */
    if (seen != STEP_CLOSED) return seen == STEP_OPEN;
    if (!atom_cas_acqrel_u8(part->state, &seen, STEP_OPENING)) return seen == STEP_OPEN;
    bool done = step_commit(part->step, slabs);
    atom_store_rel_u8(part->state, done ? STEP_OPEN : STEP_CLOSED); /* rel: whoever sees it open may use its run in it */
    return done;
}

enum status steps_open(const struct run *run) {
    uintptr_t end = run_end(run);
    bool slabs = run->count_pages * PAGE_BYTES < OS_BLOCK_BYTES;
    for (uintptr_t at = granule_address(run->first); at < end;) {
        struct part part = part_at(at, end);
        if (!step_open(&part, slabs)) {
            os_pictured(part.start, part.end - part.start, true);
            enum status status = os_commit(part.start, part.end - part.start, PG_READWRITE);
            if (status != ST_OK) return status;
        }
        at = part.end;
    }
    return ST_OK;
}

enum status steps_except(const struct run *run) {
    uintptr_t start = granule_address(run->first), end = run_end(run);
    for (uintptr_t at = start; at < end;) {
        struct part part = part_at(at, end);
        uint8_t seen = atom_load_acq_u8(part.state); /* acq: pairs with step_open */
        do {
            if (seen == STEP_OPENING) return ST_BAD_ADDRESS;
        } while (seen != STEP_MIXED && !atom_cas_acqrel_u8(part.state, &seen, STEP_MIXED));
        at = part.end;
    }
    os_pictured(start, end - start, true); /* if what the system does to decommit it leaves that as it was */
    return os_decommit(start, end - start);
}
