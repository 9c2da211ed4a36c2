/*
 * fault.c - the contract of os.h with chosen failures, for tests.
 *
 * Test builds compile linux.c or windows.c with its functions renamed to os_real_*, and this file gives the engine the names that
 * it calls. A call that is chosen to fail does nothing and answers with the failure that the contract has for it. Counting is
 * atomic, so a test may run threads; choosing is for one thread at a time.
 */
#include "os/fault.h"

#include <string.h>

#include "base/atom.h"
#include "os/os.h"
#include "os/os_alarm.h"

static uint64_t fault_function; /* const char *, 0 for any */
static uint64_t fault_nth;      /* 0: none */
static uint32_t fault_sticky;
static uint64_t fault_count;

void os_fault_set(const char *function, long nth, bool sticky) {
    /* rlx: the tests choose while no other thread calls, but for the keeper, whose calls count or not. */
    atom_store_rlx_u64(&fault_function, (uint64_t)(uintptr_t)function);
    atom_store_rlx_u32(&fault_sticky, sticky);
    atom_store_rlx_u64(&fault_count, 0);
    atom_store_rel_u64(&fault_nth, nth > 0 ? (uint64_t)nth : 0);
}

long os_fault_calls(void) { return (long)atom_load_acq_u64(&fault_count); }

/* Is this call chosen? */
static bool fails(const char *function) {
    const char *chosen = (const char *)(uintptr_t)atom_load_rlx_u64(&fault_function); /* rlx: see os_fault_set */
    if (chosen && strcmp(function, chosen) != 0) return false;
    uint64_t n = atom_add_acqrel_u64(&fault_count, 1) + 1;
    uint64_t nth = atom_load_acq_u64(&fault_nth);
    return nth && (n == nth || (atom_load_rlx_u32(&fault_sticky) && n > nth)); /* rlx: the same */
}

#define REAL(name) os_real_##name

/* A function of the contract that can fail: its parameters, its arguments, and the failure. */
#define FAILING(name, parameters, arguments, failure)                                                                            \
    enum status REAL(name) parameters;                                                                                           \
    enum status os_##name parameters {                                                                                           \
        return fails(#name) ? failure : REAL(name) arguments;                                                                    \
    }

/* One that cannot. */
#define PASSING(type, name, parameters, arguments)                                                                               \
    type REAL(name) parameters;                                                                                                  \
    type os_##name parameters {                                                                                                  \
        return REAL(name) arguments;                                                                                             \
    }

FAILING(reserve, (uintptr_t wanted, size_t size, size_t align, unsigned needs, uint8_t state, uintptr_t *start),
        (wanted, size, align, needs, state, start), ST_NO_ADDRESS_SPACE)
FAILING(release_part, (uintptr_t start, size_t size), (start, size), ST_NO_MEMORY)
FAILING(commit, (uintptr_t address, size_t size, uint8_t state), (address, size, state), ST_COMMIT_LIMIT)
FAILING(decommit, (uintptr_t address, size_t size), (address, size), ST_NO_MEMORY)
FAILING(hold, (uintptr_t address, size_t size, bool often), (address, size, often), ST_COMMIT_LIMIT)
FAILING(back, (uintptr_t address), (address), ST_NO_MEMORY)
FAILING(protect, (uintptr_t address, size_t size, uint8_t state), (address, size, state), ST_COMMIT_LIMIT)
FAILING(reset, (uintptr_t address, size_t size, uint8_t *given_up), (address, size, given_up), ST_NOT_SUPPORTED)
FAILING(reset_undo, (uintptr_t address, size_t size), (address, size), ST_BAD_ADDRESS)
FAILING(tables_reserve, (size_t size, void **start), (size, start), ST_NO_MEMORY)
FAILING(tables_commit, (void *start, size_t size), (start, size), ST_NO_MEMORY)
FAILING(written, (uintptr_t address, size_t size, bool reset, void **pages, size_t *count), (address, size, reset, pages, count),
        ST_NO_MEMORY)
FAILING(alarm_start, (void (*watch)(void)), (watch), ST_NO_MEMORY)
FAILING(memory_load, (struct os_memory * memory), (memory), ST_NOT_SUPPORTED)

PASSING(enum status, release, (uintptr_t start, size_t size), (start, size))
PASSING(bool, bring, (uintptr_t address, size_t size, uintptr_t reserved, size_t reserved_size),
        (address, size, reserved, reserved_size))
PASSING(size_t, touched, (uintptr_t address, size_t size), (address, size))
PASSING(bool, guard_armed, (uintptr_t address), (address))
PASSING(bool, grows_stacks, (void), ())
PASSING(enum status, query_foreign, (uintptr_t address, MEMORY_BASIC_INFORMATION *info), (address, info))
PASSING(enum status, protect_foreign, (uintptr_t address, size_t size, DWORD protect, DWORD *old), (address, size, protect, old))
PASSING(bool, watches_writes, (void), ())
PASSING(bool, watch_start, (void), ())
PASSING(bool, watch_serves, (void), ())
PASSING(bool, commit_is_lazy, (void), ())
PASSING(size_t, large_page_bytes, (void), ())
PASSING(bool, others_ended, (void), ())
PASSING(uint32_t, thread_id, (void), ())
PASSING(uint32_t, thread_number, (void), ())
PASSING(uint64_t, clock_ms, (void), ())
PASSING(uint32_t, last_error, (void), ())
PASSING(bool, environment, (const char *name, char *text, size_t room), (name, text, room))

#define PASSING_VOID(name, parameters, arguments)                                                                                \
    void REAL(name) parameters;                                                                                                  \
    void os_##name parameters {                                                                                                  \
        REAL(name) arguments;                                                                                                    \
    }

PASSING_VOID(watch_fresh, (uintptr_t address, size_t size), (address, size))
PASSING_VOID(guards_begin, (uintptr_t address, size_t size, uint8_t state), (address, size, state))
PASSING_VOID(discard, (uintptr_t address, size_t size), (address, size))
PASSING_VOID(touched_forgo, (void), ())
PASSING_VOID(pictured, (uintptr_t address, size_t size, bool in), (address, size, in))
PASSING_VOID(sparse, (uintptr_t address, size_t size), (address, size))
PASSING_VOID(tables_discard, (void *start, size_t size), (start, size))
PASSING_VOID(yield, (unsigned attempt), (attempt))
PASSING_VOID(last_error_set, (uint32_t error), (error))
