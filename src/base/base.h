/*
 * base.h - the words that every layer shares: sizes, index types, the engine's own error codes, and assertions.
 *
 * A page and a granule are numbered over the whole address space (address >> 12, address >> 16). The two numbers never mix:
 * each is a struct of one field, so that handing one where the other is meant does not compile.
 */
#ifndef HM_BASE_H
#define HM_BASE_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SHIFT 12
#define GRANULE_SHIFT 16
#define SLOT_SHIFT 32 /* one slot of the address map, and the size of a region */
#define ADDRESS_BITS 47

#define PAGE_BYTES ((size_t)1 << PAGE_SHIFT)
#define GRANULE_BYTES ((size_t)1 << GRANULE_SHIFT)
#define SLOT_BYTES ((size_t)1 << SLOT_SHIFT)
#define PAGES_PER_GRANULE (GRANULE_BYTES / PAGE_BYTES)
#define PAGES_PER_SLOT (SLOT_BYTES / PAGE_BYTES)
#define GRANULES_PER_SLOT (SLOT_BYTES / GRANULE_BYTES)
#define SLOT_COUNT ((size_t)1 << (ADDRESS_BITS - SLOT_SHIFT))

/*
 * The lowest address that a caller may ask for, and the first past what Win32 calls user space. Linux may put a stack above it,
 * up to SYSTEM_END: such memory can be looked at and protected, but not asked for.
 */
#define ADDRESS_LOWEST ((uintptr_t)0x10000)
#define ADDRESS_END (((uintptr_t)1 << ADDRESS_BITS) - 0x10000)
#define SYSTEM_END (((uintptr_t)1 << ADDRESS_BITS) - 0x1000)

struct page {
    uint64_t n;
};
struct granule {
    uint32_t n;
};

static inline struct page page_of(uintptr_t address) { return (struct page){address >> PAGE_SHIFT}; }
static inline uintptr_t page_address(struct page p) { return (uintptr_t)p.n << PAGE_SHIFT; }
static inline struct granule granule_of(uintptr_t address) { return (struct granule){(uint32_t)(address >> GRANULE_SHIFT)}; }
static inline uintptr_t granule_address(struct granule g) { return (uintptr_t)g.n << GRANULE_SHIFT; }
static inline struct page granule_page(struct granule g) { return (struct page){(uint64_t)g.n * PAGES_PER_GRANULE}; }

static inline uintptr_t align_down(uintptr_t value, size_t power) { return value & ~(uintptr_t)(power - 1); }

/* Rounds up; the caller has made sure that it cannot wrap. */
static inline uintptr_t align_up(uintptr_t value, size_t power) { return (value + power - 1) & ~(uintptr_t)(power - 1); }

static inline size_t granules_for_pages(uint64_t count_pages) {
    return (size_t)((count_pages + PAGES_PER_GRANULE - 1) / PAGES_PER_GRANULE);
}

/* What an internal call answers. vm/error.c has the one table that turns it into a Win32 error or an HRESULT. */
enum status {
    ST_OK,
    ST_BAD_ARGUMENT,   /* the call can never be right */
    ST_BAD_ADDRESS,    /* the range is not in the state that the call needs */
    ST_NOT_OURS,       /* the engine never gave this memory out */
    ST_FOREIGN_VIEW,   /* the same, and it is an image or a mapped view */
    ST_NOT_WRITABLE,   /* an out-parameter is missing */
    ST_BAD_LENGTH,     /* a buffer is too small */
    ST_BAD_HANDLE,     /* not a heap */
    ST_NO_ADDRESS_SPACE,
    ST_NO_MEMORY,
    ST_COMMIT_LIMIT,
    ST_NO_RESOURCES,   /* no large pages */
    ST_NO_PRIVILEGE,
    ST_NO_QUOTA,
    ST_DENIED,
    ST_NOT_SUPPORTED,
    ST_COUNT
};

/* For data that several files use: the compiler may then address it without asking the loader's table for its place. */
#ifdef _WIN32
#define HM_HIDDEN
#else
#define HM_HIDDEN __attribute__((visibility("hidden")))
#endif

/*
 * For a function that looks at words which another thread is changing without ceremony, and makes no more of them than a
 * figure: ThreadSanitizer need not tell us.
 */
#define HM_READS_OTHERS __attribute__((no_sanitize("thread"), noinline))

/* HM_CHECK stays in release builds: it is for cheap conditions whose failure means that memory has been corrupted. */
#define HM_CHECK(condition) ((condition) ? (void)0 : __builtin_trap())
#ifdef HM_DEBUG
#define HM_ASSERT(condition) assert(condition)
#else
#define HM_ASSERT(condition) ((void)0)
#endif

#endif
