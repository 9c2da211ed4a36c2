/*
 * linux_foreign.c - memory that the engine did not give out: what it is, and giving it another protection.
 *
 * Answers come from the kernel's map of the process: by the PROCMAP_QUERY request where the kernel has it (Linux 6.11), which
 * costs one system call beyond opening the file, else by reading the map as text. Both use the stack only.
 *
 * Every function keeps errno: the caller may be in the middle of a call of its own.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "os/linux_files.h"
#include "os/os.h"
#include "os/os_access.h"

/* A mapping as the kernel describes it; flags are those of PROCMAP_QUERY. */
struct mapping {
    uint64_t start, end;
    uint64_t flags;
};
enum { MAPPING_READ = 1, MAPPING_WRITE = 2, MAPPING_EXECUTE = 4, MAPPING_SHARED = 8, MAPPING_OR_NEXT = 16, MAPPING_FILE = 32 };

/* The request's layout and number in the kernel's interface (linux/fs.h), which Debian 12's headers do not have yet. */
struct procmap_request {
    uint64_t size, query_flags, query_address;
    uint64_t start, end, flags, page_size, offset, inode;
    uint32_t device_major, device_minor, name_size, build_id_size;
    uint64_t name_address, build_id_address;
};
#define PROCMAP_QUERY_REQUEST _IOWR('f', 17, struct procmap_request)

/* One line of the map as text: "start-end rwxp offset device inode". */
static bool mapping_parse(const char *line, struct mapping *m) {
    char *rest;
    m->start = strtoull(line, &rest, 16);
    if (*rest != '-') return false;
    m->end = strtoull(rest + 1, &rest, 16);
    if (*rest != ' ' || strlen(rest) < 5) return false;
    m->flags = (rest[1] == 'r' ? MAPPING_READ : 0u) | (rest[2] == 'w' ? MAPPING_WRITE : 0u) |
               (rest[3] == 'x' ? MAPPING_EXECUTE : 0u) | (rest[4] == 's' ? MAPPING_SHARED : 0u);
    const char *field = rest + 5;
    for (int i = 0; i < 2 && field; i++) field = strchr(field + 1, ' ');
    if (field && strtoull(field + 1, NULL, 10) != 0) m->flags |= MAPPING_FILE;
    return true;
}

/* The first mapping that ends above the address, from the text. ST_BAD_ADDRESS: none does. ST_NO_RESOURCES: it cannot be read. */
static enum status mapping_read(int fd, uintptr_t address, struct mapping *m) {
    char text[4096];
    struct linux_lines lines = LINUX_LINES(text, fd);
    for (char *line; (line = linux_lines_next(&lines));) { /* however long the path, what is of interest comes before it */
        if (mapping_parse(line, m) && m->end > address) return ST_OK;
    }
    return lines.failed ? ST_NO_RESOURCES : ST_BAD_ADDRESS;
}

/* The mapping at the address or the next one above. Fails as mapping_read does: there may be no file to be had. */
static enum status mapping_find(uintptr_t address, struct mapping *m) {
    int kept = errno;
    int fd = linux_file_open("/proc/self/maps", O_RDONLY);
    enum status found = ST_NO_RESOURCES;
    if (fd >= 0) {
        struct procmap_request request = {.size = sizeof request, .query_flags = MAPPING_OR_NEXT, .query_address = address};
        if (ioctl(fd, PROCMAP_QUERY_REQUEST, &request) == 0) {
            *m = (struct mapping){request.start, request.end, request.flags & 15};
            if (request.inode) m->flags |= MAPPING_FILE;
            found = ST_OK;
        } else {
            found = errno == ENOENT ? ST_BAD_ADDRESS : mapping_read(fd, address, m);
        }
        linux_close(fd);
    }
    errno = kept;
    return found;
}

static DWORD mapping_protect(const struct mapping *m) {
    bool write = m->flags & MAPPING_WRITE, read = m->flags & MAPPING_READ;
    if (m->flags & MAPPING_EXECUTE) return write ? PAGE_EXECUTE_READWRITE : read ? PAGE_EXECUTE_READ : PAGE_EXECUTE;
    return write ? PAGE_READWRITE : read ? PAGE_READONLY : PAGE_NOACCESS;
}

/* Executable mappings of files are what Win32 calls images. */
static DWORD mapping_type(const struct mapping *m) {
    if (!(m->flags & (MAPPING_FILE | MAPPING_SHARED))) return MEM_PRIVATE;
    return m->flags & MAPPING_SHARED || !(m->flags & MAPPING_FILE) ? MEM_MAPPED : MEM_IMAGE;
}

enum status OS_FUNCTION(query_foreign)(uintptr_t address, MEMORY_BASIC_INFORMATION *info) {
    uintptr_t page = align_down(address, PAGE_BYTES);
    struct mapping m;
    enum status found = mapping_find(page, &m);
    bool any = found == ST_OK;
    memset(info, 0, sizeof *info);
    if (found == ST_NO_RESOURCES) return found;
    info->BaseAddress = (void *)page;
    if (!any || m.start > page) {
        uintptr_t end = page < ADDRESS_END ? ADDRESS_END : SYSTEM_END;
        info->RegionSize = (any && m.start < end ? m.start : end) - page;
        info->State = MEM_FREE;
        info->Protect = PAGE_NOACCESS;
        return ST_OK;
    }
    info->AllocationBase = (void *)(uintptr_t)m.start;
    info->AllocationProtect = mapping_protect(&m);
    info->RegionSize = m.end - page;
    info->Type = mapping_type(&m);
    bool reserved = info->Type == MEM_PRIVATE && info->AllocationProtect == PAGE_NOACCESS;
    info->State = reserved ? MEM_RESERVE : MEM_COMMIT;
    info->Protect = reserved ? 0 : info->AllocationProtect;
    return ST_OK;
}

enum status OS_FUNCTION(protect_foreign)(uintptr_t address, size_t size, DWORD protect, DWORD *old_protect) {
    uint8_t state;
    struct mapping m;
    /* Writing to a private mapping of a file is write-copy already. */
    DWORD base = protect & 0xff;
    if (base == PAGE_WRITECOPY || base == PAGE_EXECUTE_WRITECOPY) protect = (protect & ~0xffu) | base >> 1;
    enum status status = prot_from_win32(protect, &state);
    if (status != ST_OK) return status;
    uintptr_t first = align_down(address, PAGE_BYTES), end = align_up(address + size, PAGE_BYTES);
    status = mapping_find(first, &m);
    if (status != ST_OK) return status;
    if (m.start > first) return ST_BAD_ADDRESS;
    int kept = errno;
    int failed = mprotect((void *)first, end - first, state & PG_GUARD ? PROT_NONE : access_of(state)) != 0 ? errno : 0;
    errno = kept;
    if (failed) return failed == ENOMEM ? ST_BAD_ADDRESS : ST_DENIED; /* ENOMEM: part of the range is not mapped */
    *old_protect = mapping_protect(&m);
    return ST_OK;
}
