/*
 * os_access.h - what the protections of Win32 are to Linux's mprotect, on Linux and below Wine. Layer: os.
 */
#ifndef HM_OS_ACCESS_H
#define HM_OS_ACCESS_H

#include "base/prot.h"

/* Linux's own numbers. */
enum { ACCESS_NONE = 0, ACCESS_READ = 1, ACCESS_WRITE = 2, ACCESS_EXECUTE = 4 };

/* Of a page byte, whatever its guard is. */
static inline int access_of(uint8_t state) {
    switch (state & PG_BASE_MASK) {
    case PG_READ: return ACCESS_READ;
    case PG_READWRITE: return ACCESS_READ | ACCESS_WRITE;
    case PG_EXECUTE: /* readable as well on Windows, where the processor has no other way */
    case PG_EXECUTE_READ: return ACCESS_READ | ACCESS_EXECUTE;
    case PG_EXECUTE_READWRITE: return ACCESS_READ | ACCESS_WRITE | ACCESS_EXECUTE;
    default: return ACCESS_NONE;
    }
}

#endif
