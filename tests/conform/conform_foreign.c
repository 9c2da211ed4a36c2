/*
 * conform_foreign.c - memory that the engine never gave out: the stack, static data, code. See conform.h.
 */
#include "conform.h"

#include <string.h>

#ifndef _WIN32
#include <sys/mman.h>
#endif

/* A page of its own in the image, with pages of the same kind around it. */
static char image_data[3 * 4096] __attribute__((aligned(4096))) = {1};
static const char image_constants[3 * 4096] __attribute__((aligned(4096))) = {1};

static void say_kind(const char *name, const void *address) {
    MEMORY_BASIC_INFORMATION info;
    line_begin("foreign", name);
    error_arm();
    SIZE_T got = vm_query(address, &info, sizeof info);
    if (got == sizeof info)
        line_add("state=%lx now=%lx type=%lx %s %s", (unsigned long)info.State, (unsigned long)info.Protect,
                 (unsigned long)info.Type,
                 info.AllocationBase && (char *)info.AllocationBase <= (const char *)address ? "has-base" : "no-base",
                 (char *)info.BaseAddress == (char *)((uintptr_t)address & ~(uintptr_t)4095) ? "at-page" : "not-at-page");
    else line_add("query=%llu error=%lu", (unsigned long long)got, (unsigned long)vm_error());
    line_end();
}

static void queries(void) {
    char on_stack[16] = {1};
    memset(image_data, 1, sizeof image_data);
    say_kind("query-stack", on_stack);
    say_kind("query-data", image_data + 4096);
    say_kind("query-constants", image_constants + 4096);
    say_kind("query-code", (const void *)(uintptr_t)conform_foreign);
}

static void protects(void) {
    char *page = image_data + 4096;
    line_begin("foreign", "protect-data");
    say_protect(page, PAGE, PAGE_READONLY);
    say_probe("rw", page);
    say_protect(page, PAGE, PAGE_READWRITE);
    say_probe("rw", page);
    line_end();
    line_begin("foreign", "protect-data-noaccess");
    say_protect(page, PAGE, PAGE_NOACCESS);
    say_probe("rw", page);
    say_protect(page, PAGE, PAGE_READWRITE);
    line_add("content=%d", page[0]);
    line_end();
    line_begin("foreign", "protect-bad");
    say_protect(page, PAGE, 0);
    say_protect(page, PAGE, PAGE_READONLY | PAGE_READWRITE);
    line_end();
}

static void frees(void) {
    char on_stack[16];
    memset(on_stack, 3, sizeof on_stack);
    line_begin("foreign", "release-stack");
    say_free((void *)((uintptr_t)on_stack & ~(uintptr_t)4095), 0, MEM_RELEASE);
    line_end();
    line_begin("foreign", "release-data");
    say_free(image_data, 0, MEM_RELEASE);
    line_add("content=%d", image_data[0]);
    line_end();
    line_begin("foreign", "decommit-data");
    say_free(image_data + PAGE, PAGE, MEM_DECOMMIT);
    line_add("content=%d", image_data[PAGE]);
    line_end();
    line_begin("foreign", "reserve-over-data");
    say_alloc(image_data, image_data, PAGE, MEM_RESERVE, PAGE_READWRITE);
    line_end();
    line_begin("foreign", "commit-data");
    say_alloc(image_data, image_data + PAGE, PAGE, MEM_COMMIT, PAGE_READWRITE);
    line_add("content=%d", image_data[PAGE]);
    line_end();
    line_begin("foreign", "reset-data");
    say_alloc(image_data, image_data + PAGE, PAGE, MEM_RESET, PAGE_READWRITE);
    line_end();
}

/* Shared memory of one unit, mapped by the system's own call. */
static char *view_make(void) {
#ifdef _WIN32
    HANDLE section = CreateFileMappingA(INVALID_HANDLE_VALUE, NULL, PAGE_READWRITE, 0, (DWORD)UNIT, NULL);
    char *view = section ? MapViewOfFile(section, FILE_MAP_WRITE, 0, 0, UNIT) : NULL;
    if (section) CloseHandle(section);
    return view;
#else
    void *view = mmap(NULL, UNIT, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return view == MAP_FAILED ? NULL : view;
#endif
}

static void view_drop(char *view) {
#ifdef _WIN32
    UnmapViewOfFile(view);
#else
    munmap(view, UNIT);
#endif
}

static void views(void) {
    char *view = view_make();
    if (!view) {
        line_begin("foreign", "view");
        line_add("none");
        line_end();
        return;
    }
    view[0] = 9;
    say_kind("view-query", view + PAGE);
    line_begin("foreign", "view-commit");
    say_alloc(view, view, PAGE, MEM_COMMIT, PAGE_READWRITE);
    line_end();
    line_begin("foreign", "view-decommit");
    say_free(view, PAGE, MEM_DECOMMIT);
    line_end();
    line_begin("foreign", "view-release");
    say_free(view, 0, MEM_RELEASE);
    line_end();
    line_begin("foreign", "view-protect");
    say_protect(view, PAGE, PAGE_READONLY);
    say_probe("rw", view);
    say_protect(view, PAGE, PAGE_READWRITE);
    line_add("content=%d", view[0]);
    line_end();
    view_drop(view);
}

void conform_foreign(void) {
    queries();
    protects();
    frees();
    views();
}
