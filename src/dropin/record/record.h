/*
 * record.h - the parts of libhostmem-record.so: writing a trace (trace.c), and what Linux mappings are in Win32's words
 * (pages.c). calls.c stands in front of the C library and calls both.
 *
 * One lock is held around each recorded call, the C library's own part included: so lines stand in the order in which calls
 * took effect, and an address cannot be given out again before its release was written. A program is slower for it.
 */
#ifndef HOSTMEM_RECORD_H
#define HOSTMEM_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PAGE = 4096 };

/* ---- trace.c; the lock must be held, but for trace_open ---- */

/* Opens the file that HOSTMEM_RECORD names; false, with a message, where it cannot. Once, before anything is recorded. */
bool trace_open(void);
bool trace_is_open(void);
/* One call. Stops recording, with a message, when the file cannot take it. */
void trace_line(const char *op, uint64_t address, uint64_t size, uint32_t type, uint32_t prot, uint64_t result);
void trace_close(void); /* writes what is still in the buffer */
void trace_drop(void);  /* in the child of a fork: what the buffer holds is the parent's */

/* ---- pages.c; the lock must be held ---- */

void pages_map(uintptr_t start, size_t size, int protection);     /* an anonymous mapping was made */
void pages_unmap(uintptr_t start, size_t size);
void pages_move(uintptr_t start, size_t size, uintptr_t to, size_t size_there); /* mremap has; to may be start */
void pages_protect(uintptr_t start, size_t size, int protection);
void pages_discard(uintptr_t start, size_t size); /* their content was given up, their access not */

#endif
