/*
 * vmcall.h - a virtual-memory call and its answer, free of real addresses, so that two implementations can be given the same
 * call and their answers compared.
 *
 * All happens in places: a place is PLACE_PAGES of address space, numbered from its first page. In a room (the first ROOMS
 * places) allocations are made at wanted addresses, several side by side; a room's address never changes and nothing
 * else is there. A slot (the rest) holds one allocation made with address NULL, and is wherever that lies: what comes after it
 * belongs to others, so no call starts past its last granule.
 */
#ifndef TEST_VMCALL_H
#define TEST_VMCALL_H

#include <stdbool.h>
#include <stdint.h>

#include "hostmem_win32.h"

enum {
    ROOMS_REGION = 16, /* these lie in a region of the engine's */
    ROOMS = 20,
    SLOTS = 12,
    PLACES = ROOMS + SLOTS,
    ROOM_PAGES = 256,   /* calls in a room start here */
    PLACE_PAGES = 320,  /* and end here, but for sizes that no address space has */
    UNIT_PAGES = 16,
    PAGE_SIZE_BYTES = 4096
};

enum vm_op {
    OP_NEW,     /* VirtualAlloc with address NULL, in an empty slot */
    OP_ALLOC,   /* VirtualAlloc at an address: reserve, commit, reset by its type */
    OP_FREE,
    OP_PROTECT, /* value 1: the old-protection pointer is NULL */
    OP_QUERY,
    OP_STORE,   /* writes value to the page's tag byte */
    OP_LOAD,    /* reads the tag byte and the byte at `size` in the page, which nobody writes */
    OP_EXECUTE, /* calls the tag byte */
    OP_COUNT
};

struct vm_call {
    enum vm_op op;
    int place;
    SIZE_T offset;
    SIZE_T size;
    DWORD type;
    DWORD protect;
    uint8_t value;
};

/* Offsets count from the place's start. Only what the op answers is set; the rest is 0. */
struct vm_answer {
    bool success;
    DWORD error;       /* after a failure; after a success ERROR_KEPT, or what the call changed the last error to */
    int64_t offset;    /* alloc: the result; query: BaseAddress */
    int64_t base;      /* query: AllocationBase, or NO_BASE */
    SIZE_T size;       /* query: RegionSize; 0 for free space up to the end of the place or past it, whose size nobody promises */
    DWORD was, now;    /* query: AllocationProtect, Protect; protect: now is the old protection */
    DWORD state, type; /* query */
    uint8_t access;    /* store, load, execute: enum probe_result */
    uint8_t tag, rest; /* load */
    bool any_tag;      /* the model's: the tag may be any, because the content was given up */
};

#define ERROR_KEPT 0xfeedu
#define NO_BASE (-1)

/* Where in a page its tag byte is. */
static inline SIZE_T vm_tag_offset(SIZE_T page) { return page * 67 % PAGE_SIZE_BYTES; }

/* No address space has room for this size after any address. */
static inline bool vm_size_insane(SIZE_T size) { return size >= (SIZE_T)1 << 47; }

#endif
