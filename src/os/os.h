/*
 * os.h - the contract with the system, stated once. Most of it is kept by linux.c and windows.c, in the order of this file (but
 * os_back stands behind os_touched in windows.c); the rest by their neighbours:
 *   linux_thread.c, windows_thread.c   os_thread_start to os_barrier: the engine's threads, and what the first waits on
 *   linux_back.c                       os_back, os_bring, os_touched
 *   linux_load.c                       os_memory_load
 *   windows_host*.c, windows_watch.c   what windows.c asks of the Linux below Wine
 * Contracts of their own: os_slot.h (linux_thread.c, windows.c), os_alarm.h (*_alarm.c), os_look.h (*_look.c).
 *
 * fault.c stands between the engine and either system in test builds and makes chosen calls fail.
 *
 * Addresses and sizes are multiples of a page unless a line says otherwise. `state` is a page byte (base/prot.h). A call
 * that fails has changed nothing, or the contract says what. Nothing here allocates from a heap or takes a lock of its own.
 *
 * Range functions work on memory from os_reserve: [address, address + size) lies inside one reservation.
 */
#ifndef HM_OS_H
#define HM_OS_H

#include "base/base.h"
#include "base/prot.h"

/* Test builds compile the system's file under other names and let fault.c answer to the ones below. */
#ifdef HM_FAULT
#define OS_FUNCTION(name) os_real_##name
#else
#define OS_FUNCTION(name) os_##name
#endif

/* What a reservation needs beyond address space. */
enum os_need {
    OS_PLAIN = 0,
    OS_WATCH = 1,    /* write watch, where the system has it */
    OS_LARGE = 2,    /* large pages, committed at once with the state given */
    OS_PHYSICAL = 4, /* a window for physical pages */
    OS_TOP_DOWN = 8
};

/*
 * Reserves address space: nothing committed, every access faults (OS_LARGE: committed, zero-filled, with `state`).
 * wanted: 0, or the exact start. align: a power of two, at least 64 KiB. state: for Windows' own bookkeeping.
 * ST_NO_ADDRESS_SPACE, ST_BAD_ADDRESS (the wanted range is not free), ST_NO_RESOURCES, ST_NO_PRIVILEGE, ST_NOT_SUPPORTED.
 */
enum status os_reserve(uintptr_t wanted, size_t size, size_t align, unsigned needs, uint8_t state, uintptr_t *start);

/* Gives a whole reservation back. size as it was reserved. ST_NO_MEMORY. */
enum status os_release(uintptr_t start, size_t size);

/* Gives back a part of one, nothing of it committed. ST_NOT_SUPPORTED where a reservation goes as a whole; ST_NO_MEMORY. */
enum status os_release_part(uintptr_t start, size_t size);

/*
 * Commits pages with `state`. Pages not committed before read as zero; committed ones keep their content and get `state`.
 * ST_COMMIT_LIMIT or ST_NO_MEMORY; then pages of the range may have got `state` already, and the caller puts them back.
 */
enum status os_commit(uintptr_t address, size_t size, uint8_t state);

/*
 * Drops content and access; pages may be committed or not. Later commits read as zero. ST_NO_MEMORY; then pages of the range may
 * have lost access already, and the caller puts it back.
 */
enum status os_decommit(uintptr_t address, size_t size);

/*
 * Drops the content of committed read-write pages and nothing else: they read as zero, and cost nothing until they are touched
 * where os_commit_is_lazy(). Cannot fail.
 */
void os_discard(uintptr_t address, size_t size);

/*
 * Takes access away from committed pages, and keeps their content until os_commit or os_decommit. often: this very range will
 * come and go many times, which may be prepared for. Fails as os_commit does.
 */
enum status os_hold(uintptr_t address, size_t size, bool often);

/*
 * Puts memory behind one block of OS_BLOCK_BYTES, aligned to its size, of pages that are not committed and have no content,
 * by one fault: they still fault until they are committed, and then read as zero. ST_NOT_SUPPORTED, ST_NO_MEMORY: nothing is
 * gained.
 */
#define OS_BLOCK_BYTES ((size_t)2 << 20)
enum status os_back(uintptr_t address);

/*
 * Puts memory behind committed, writable pages, by one call instead of a fault for each. reserved, reserved_size: all of their
 * reservation. Advice: it may do nothing. False: other threads' commits may have had to wait for it.
 */
bool os_bring(uintptr_t address, size_t size, uintptr_t reserved, size_t reserved_size);

/*
 * How many of these committed pages have memory behind them, of the first OS_TOUCHED_PAGES; all, where looking is not quick.
 * Reading counts as touching.
 */
#define OS_TOUCHED_PAGES 512
size_t os_touched(uintptr_t address, size_t size);

/* From now on that is not asked of the system, which may end the process for it: the answer is all. */
void os_touched_forgo(void);

/*
 * Whether a copy of the process's memory that somebody makes for later (a core file) has these pages, or leaves them out; those
 * of a reservation are in it. What is left out is to have no content. Advice: it may do nothing.
 */
void os_pictured(uintptr_t address, size_t size, bool in);

/* Memory that is touched here and there: a page of 2 MiB would take memory for what nobody uses. Advice: it may do nothing. */
void os_sparse(uintptr_t address, size_t size);

/* Gives committed pages another state. Fails as os_commit does. */
enum status os_protect(uintptr_t address, size_t size, uint8_t state);

/*
 * Tells the system that the content of committed, writable pages is not needed: it may turn to zero until a page is next
 * written. At most OS_RESET_PAGES pages; given_up[i] is 1 where page i had content to lose. os_reset_undo takes
 * it back for pages that were all given up: ST_OK if none has lost its content, ST_BAD_ADDRESS if one may have.
 */
#define OS_RESET_PAGES 512
enum status os_reset(uintptr_t address, size_t size, uint8_t *given_up);
enum status os_reset_undo(uintptr_t address, size_t size);

/* Of a page whose byte has PG_GUARD: is the guard still armed? Windows disarms it by itself; on Linux the byte is the truth. */
bool os_guard_armed(uintptr_t address);

/*
 * Does the system, when a guard is hit that lies below a thread's stack, commit the page below by itself? Where that may happen
 * from now on, os_guards_begin has it know of pages that are in this state, and not held, what os_protect and os_decommit may
 * have kept from it.
 */
bool os_grows_stacks(void);
void os_guards_begin(uintptr_t address, size_t size, uint8_t state);

/*
 * Memory that the engine did not give out: the system's own view, with Win32's words and Win32's errors. Never waits.
 * ST_NO_RESOURCES: the system cannot be asked, as where the process has no file descriptor left; then nothing is known or done.
 */
enum status os_query_foreign(uintptr_t address, MEMORY_BASIC_INFORMATION *info);
enum status os_protect_foreign(uintptr_t address, size_t size, DWORD protect, DWORD *old_protect);

/*
 * Tables of the engine itself: `size` bytes of zeroed memory, guard pages on both sides, never given back. os_tables_reserve
 * gets address space; os_tables_commit makes a part usable (any bounds, as often as wanted, content kept).
 */
enum status os_tables_reserve(size_t size, void **start);
enum status os_tables_commit(void *start, size_t size);
/* For a table that lost the race to be installed, and has never been seen by another thread. */
void os_tables_discard(void *start, size_t size);

struct os_memory {
    uint64_t total_bytes;     /* of the machine, or of the tightest control group around the process */
    uint64_t available_bytes; /* without swapping */
    unsigned load_percent;    /* 0 to 100 */
    bool rough;               /* what could be reclaimed is not known and counts as used */
};
enum status os_memory_load(struct os_memory *memory);

/* Whether it can be known which pages of an OS_WATCH reservation were written. */
bool os_watches_writes(void);

/*
 * That is what the system tells its own callers about its own OS_WATCH reservations. os_watch_start, called before the first of
 * them, has the engine answer instead, where it can: true, and os_watch_serves from then on, if OS_WATCH reservations are
 * ordinary ones of which os_written knows. os_watch_fresh follows each os_decommit in one.
 *
 * os_written: which of these pages, all committed, were written since they were committed or last reset, in ascending order.
 * pages has room for *count_pages, and gets as many at most; NULL: they are not wanted, and room is no matter. reset: those that
 * were found are reset, each in the same moment. ST_NO_MEMORY: then nothing was reset.
 */
bool os_watch_start(void);
bool os_watch_serves(void);
void os_watch_fresh(uintptr_t address, size_t size);
enum status os_written(uintptr_t address, size_t size, bool reset, void **pages, size_t *count_pages);

/*
 * Whether a committed page costs nothing until it is touched. A gap of uncommitted pages then costs more than it saves: it
 * splits a mapping, of which a process may have a limited number.
 */
bool os_commit_is_lazy(void);

/* The lowest size and alignment of large pages, 0 where there are none. */
size_t os_large_page_bytes(void);

/* A number that tells running threads apart; cheap. */
uint32_t os_thread_id(void);

/* The number by which the system's own tools know this thread. */
uint32_t os_thread_number(void);

/* Milliseconds of a clock that only goes forward; coarse and cheap. */
uint64_t os_clock_ms(void);

/* Lets other threads run: attempt counts the calls in one wait, and later ones wait longer. */
void os_yield(unsigned attempt);

/* Is the process ending, and has the system ended its other threads wherever they were? (On Linux never: there they go on.) */
bool os_others_ended(void);

/*
 * The engine's one thread of its own. os_thread_start runs it, without signals of the program's; false: the system gives none.
 * It naps until os_nap_end is called or the time is over, 0 for no end; one call too many wakes it once too often.
 */
bool os_thread_start(void (*run)(void));
void os_nap(unsigned timeout_ms);
void os_nap_end(void);

/*
 * Runs body in a thread that gets no signals and that nobody waits for: the one that publishes, and os_alarm.h's. Unlike
 * os_thread_start's it is a thread of the C library's, all of which body may use; so it cannot be started in the middle of
 * anything. False: there is none to be had.
 */
bool os_watcher_start(void (*body)(void));

/* Has told() called in the child of each fork; one function for the process. */
void os_at_fork(void (*told)(void));

/*
 * Each other thread of the process passes a full memory barrier before this returns. False: perhaps none has; somebody is at it,
 * or it is refused.
 */
bool os_barrier(void);

/* The thread's last error. */
void os_last_error_set(uint32_t error);
uint32_t os_last_error(void);

/*
 * The value of an environment variable; false if there is none, it is empty or does not fit. A program that has more rights than
 * whoever started it (Linux: setuid and its like) finds none.
 */
bool os_environment(const char *name, char *text, size_t room);

#endif
