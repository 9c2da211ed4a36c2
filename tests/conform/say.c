/*
 * say.c - makes one call and prints its answer in a form that does not depend on where the memory lies. See conform.h.
 *
 * The thread's last error is set to a value of its own before each call: after a failure the line shows the code, and after
 * a success it says "error-changed" should the value be another. On Linux the engine has no call that sets the last error,
 * so one that fails in a known way does it; no other call under test fails with that code, except the one that tests it.
 */
#include "conform.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "probe.h"

#ifdef _WIN32
enum { ARMED = 0x5eed };
void error_arm(void) { SetLastError(ARMED); }
#else
enum { ARMED = ERROR_BAD_LENGTH };
void error_arm(void) {
    MEMORY_BASIC_INFORMATION info;
    HmVirtualQuery(NULL, &info, 1);
}
#endif

bool error_kept(void) { return vm_error() == ARMED; }

void line_begin(const char *section, const char *name) { printf("%s.%s:", section, name); }

void line_add(const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    putchar(' ');
    vprintf(format, arguments);
    va_end(arguments);
}

void line_end(void) {
    putchar('\n');
    fflush(stdout);
}

static void add_outcome(bool success) {
    if (!success) printf("(%lu)", (unsigned long)vm_error());
    else if (!error_kept()) line_add("error-changed(%lu)", (unsigned long)vm_error());
}

/* An address as an offset from base: "+0x1000", or "-0x1000" below it. */
static const char *offset_text(char *base, const void *address) {
    static char text[2][32];
    static int next;
    char *out = text[next ^= 1];
    uintptr_t a = (uintptr_t)address, b = (uintptr_t)base;
    snprintf(out, sizeof text[0], "%c0x%llx", a < b ? '-' : '+', (unsigned long long)(a < b ? b - a : a - b));
    return out;
}

char *say_alloc(char *base, void *address, SIZE_T size, DWORD type, DWORD protect) {
    error_arm();
    char *got = vm_alloc(address, size, type, protect);
    if (!got) line_add("alloc=fail");
    else if (base) line_add("alloc=%s", offset_text(base, got));
    else line_add("alloc=%s", (uintptr_t)got % UNIT ? "unaligned" : "ok");
    add_outcome(got != NULL);
    return got;
}

bool say_free(void *address, SIZE_T size, DWORD type) {
    error_arm();
    bool success = vm_free(address, size, type) != 0;
    line_add("free=%s", success ? "ok" : "fail");
    add_outcome(success);
    return success;
}

bool say_protect(void *address, SIZE_T size, DWORD protect) {
    DWORD old = 0xdead;
    error_arm();
    bool success = vm_protect(address, size, protect, &old) != 0;
    if (success) line_add("protect=ok old=%lx", (unsigned long)old);
    else line_add("protect=fail");
    add_outcome(success);
    return success;
}

static const char *state_text(DWORD state) {
    return state == MEM_COMMIT ? "commit" : state == MEM_RESERVE ? "reserve" : state == MEM_FREE ? "free" : "bad-state";
}

static const char *type_text(DWORD type) {
    return type == MEM_PRIVATE ? "" : type == MEM_MAPPED ? " mapped" : type == MEM_IMAGE ? " image" : " bad-type";
}

/* A free range ends where the next allocation happens to be, which is nobody's contract: its size is not shown. */
static void add_region(char *base, const MEMORY_BASIC_INFORMATION *info) {
    if (info->State == MEM_FREE) {
        line_add("[%s free%s was=%lx now=%lx type=%lx]", offset_text(base, info->BaseAddress),
                 info->AllocationBase ? " with-base" : "", (unsigned long)info->AllocationProtect, (unsigned long)info->Protect,
                 (unsigned long)info->Type);
        return;
    }
    line_add("[%s+0x%llx %s%s of=%s was=%lx now=%lx]", offset_text(base, info->BaseAddress),
             (unsigned long long)info->RegionSize, state_text(info->State), type_text(info->Type),
             offset_text(base, info->AllocationBase), (unsigned long)info->AllocationProtect, (unsigned long)info->Protect);
}

bool say_query(char *base, const void *address) {
    MEMORY_BASIC_INFORMATION info;
    error_arm();
    SIZE_T got = vm_query(address, &info, sizeof info);
    if (got == sizeof info) add_region(base, &info);
    else line_add("query=%llu", (unsigned long long)got);
    add_outcome(got != 0);
    return got == sizeof info;
}

void say_map(char *base, SIZE_T size) {
    char *at = base;
    while (at < base + size) {
        MEMORY_BASIC_INFORMATION info;
        if (vm_query(at, &info, sizeof info) != sizeof info || info.RegionSize == 0) {
            line_add("query=fail(%lu)", (unsigned long)vm_error());
            return;
        }
        add_region(base, &info);
        at = (char *)info.BaseAddress + info.RegionSize;
    }
}

void say_probe(const char *kinds, char *address) {
    static const char *const words[] = {"ok", "fault", "guard"};
    for (; *kinds; kinds++) line_add("%c=%s", *kinds, words[probe(*kinds, address)]);
}

static void need(bool condition, const char *what) {
    if (condition) return;
    printf("\nfailed: %s (error %lu)\n", what, (unsigned long)vm_error());
    exit(1);
}

char *make(SIZE_T size, DWORD type, DWORD protect) {
    char *got = vm_alloc(NULL, size, type, protect);
    need(got != NULL, "an allocation that a case starts from");
    return got;
}

char *make_at(char *address, SIZE_T size, DWORD type, DWORD protect) {
    char *got = vm_alloc(address, size, type, protect);
    need(got == address, "an allocation at an address that a case starts from");
    return got;
}

char *find_room(SIZE_T size) {
    char *base = make(size, MEM_RESERVE, PAGE_NOACCESS);
    drop(base);
    return base;
}

void drop(char *base) {
    if (base) need(vm_free(base, 0, MEM_RELEASE), "releasing what a case had made");
}
