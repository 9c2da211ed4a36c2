/*
 * maps.c - asks the kernel what lies at an address, by /proc/self/maps.
 *
 * The list is read in order through a buffer on the stack, line by line, up to the mapping in question. No lock, no heap:
 * a CLR asks while its other threads are suspended. What the kernel lists at two moments may differ where another thread maps
 * or unmaps meanwhile; each line is true of some moment in the call.
 */
#define _GNU_SOURCE
#include "tools/clr/clr.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

static uintptr_t maps_number(const char **text) {
    uintptr_t number = 0;
    for (;; (*text)++) {
        char digit = **text;
        if (digit >= '0' && digit <= '9') {
            number = number * 16 + (uintptr_t)(digit - '0');
        } else if (digit >= 'a' && digit <= 'f') {
            number = number * 16 + (uintptr_t)(digit - 'a' + 10);
        } else {
            return number;
        }
    }
}

/* "start-end rwxp offset device inode name" */
static void maps_parse(const char *line, struct maps_entry *entry) {
    static const DWORD protects[8] = {PAGE_NOACCESS, PAGE_READONLY,     PAGE_READWRITE,         PAGE_READWRITE,
                                      PAGE_EXECUTE,  PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_READWRITE};
    unsigned access;

    entry->start = maps_number(&line);
    line++;
    entry->end = maps_number(&line);
    line++;
    access = (line[0] == 'r' ? 1u : 0u) | (line[1] == 'w' ? 2u : 0u) | (line[2] == 'x' ? 4u : 0u);
    entry->protect = protects[access];
    entry->type = strchr(line, '/') == NULL ? MEM_PRIVATE : line[3] == 's' ? MEM_MAPPED : MEM_IMAGE;
}

bool maps_find(uintptr_t address, struct maps_entry *entry, uintptr_t *previous_end) {
    char buffer[4096 + 256]; /* a path of PATH_MAX and the numbers before it */
    size_t held = 0;
    int descriptor = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
    bool found = false;
    *previous_end = 0;
    while (descriptor >= 0 && !found) {
        ssize_t got = read(descriptor, buffer + held, sizeof buffer - 1 - held);
        char *line = buffer;
        char *stop;
        if (got <= 0) break;
        held += (size_t)got;
        buffer[held] = '\0';
        while (!found && (stop = memchr(line, '\n', held - (size_t)(line - buffer))) != NULL) {
            *stop = '\0';
            maps_parse(line, entry);
            found = entry->end > address;
            if (!found) *previous_end = entry->end;
            line = stop + 1;
        }
        held -= (size_t)(line - buffer);
        memmove(buffer, line, held);
        if (held == sizeof buffer - 1) {
            break; /* a line longer than any that the kernel writes */
        }
    }
    if (descriptor >= 0) close(descriptor);
    return found;
}
