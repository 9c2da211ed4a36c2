/*
 * trace.h - recorded memory calls of a real program, as read from a trace file.
 */
#ifndef HOSTMEM_REPLAY_TRACE_H
#define HOSTMEM_REPLAY_TRACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum op {
    OP_ALLOC,        /* VirtualAlloc, VirtualAlloc2, VirtualAllocExNuma */
    OP_FREE,         /* VirtualFree */
    OP_PROTECT,      /* VirtualProtect */
    OP_QUERY,        /* VirtualQuery: size, type and prot hold the answer's RegionSize, State and Protect */
    OP_HEAP_CREATE,  /* addr: initial size, size: maximum size, type: options, ret: the handle */
    OP_HEAP_DESTROY, /* addr: the handle */
    OP_HEAP_ALLOC,   /* addr: the handle, size: bytes, type: flags */
    OP_HEAP_REALLOC, /* addr: the old block, size: bytes, type: flags */
    OP_HEAP_FREE,    /* addr: the block, type: flags */
    OP_MAP,          /* MapViewOfFile */
    OP_UNMAP,        /* UnmapViewOfFile */
    OP_MODULE        /* a module's base and size; no call */
};

struct call {
    uint64_t addr, size, ret;
    uint32_t type, prot;
    uint32_t line;   /* in the file, from 1 */
    uint16_t thread; /* from 0, in the order in which the threads appear */
    uint8_t op;
};

struct trace {
    struct call *call;
    size_t count;
    unsigned count_threads;
    bool timed;   /* the lines open with a time: eight columns, else seven */
};

enum { TRACE_THREADS = 1024, TRACE_ERROR = 256 };

/* Reads a whole file. On failure error holds one line that names the file, and the line in it where there is one. */
bool trace_read(const char *path, struct trace *trace, char error[TRACE_ERROR]);

#endif
