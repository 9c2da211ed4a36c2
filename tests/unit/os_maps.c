/*
 * The kernel's map of the process, read both ways: by its request and as text. The text is a file of ours, so the request
 * is refused there as an old kernel would.
 */
#include "check.h"
#include "machine.h"
#include "hostmem.h"
#include "os/os.h"

#if !defined(_WIN32) && defined(HM_FAULT)
#include <sys/resource.h>

static void expect(uintptr_t address, size_t size, DWORD state, DWORD protect, DWORD type) {
    MEMORY_BASIC_INFORMATION info;
    CHECK_EQ(os_query_foreign(address, &info), ST_OK);
    CHECK_EQ(info.RegionSize, size);
    CHECK_EQ(info.State, state);
    CHECK_EQ(info.Protect, protect);
    CHECK_EQ(info.Type, type);
}

static void made_up_map(void) {
    FILE *f = machine_file("/proc/self/maps");
    fputs("00400000-00410000 r-xp 00000000 08:01 77 /a program\n", f);
    fputs("00410000-00412000 rw-p 00010000 08:01 77 /a program\n", f);
    /* Paths longer than the reader's buffer, so that lines are met in parts. */
    for (unsigned long i = 0; i < 40; i++) {
        fprintf(f, "%08lx-%08lx rw-s 00000000 08:01 78 /", 0x500000 + i * 0x2000, 0x501000 + i * 0x2000);
        for (int j = 0; j < 130 + (i == 20) * 9000; j++) fputc('x', f);
        fputc('\n', f);
    }
    fputs("7f0000000000-7f0000100000 ---p 00000000 00:00 0 \n", f);
    fputs("7f0000100000-7f0000200000 rwxp 00000000 00:00 0 [stack]\n", f);
    fclose(f);
    machine_show(true);
    expect(0x400000, 0x10000, MEM_COMMIT, PAGE_EXECUTE_READ, MEM_IMAGE);
    expect(0x411fff, 0x1000, MEM_COMMIT, PAGE_READWRITE, MEM_IMAGE);
    expect(0x412000, 0x500000 - 0x412000, MEM_FREE, PAGE_NOACCESS, 0);
    expect(0x500000, 0x1000, MEM_COMMIT, PAGE_READWRITE, MEM_MAPPED);
    expect(0x501000, 0x1000, MEM_FREE, PAGE_NOACCESS, 0);
    expect(0x500000 + 20 * 0x2000, 0x1000, MEM_COMMIT, PAGE_READWRITE, MEM_MAPPED);
    expect(0x500000 + 21 * 0x2000, 0x1000, MEM_COMMIT, PAGE_READWRITE, MEM_MAPPED);
    expect(0x500000 + 39 * 0x2000, 0x1000, MEM_COMMIT, PAGE_READWRITE, MEM_MAPPED);
    expect(0x7f0000000000, 0x100000, MEM_RESERVE, 0, MEM_PRIVATE);
    expect(0x7f00001ff000, 0x1000, MEM_COMMIT, PAGE_EXECUTE_READWRITE, MEM_PRIVATE);
    expect(0x7f0000200000, ADDRESS_END - 0x7f0000200000, MEM_FREE, PAGE_NOACCESS, 0);
    machine_show(false);
}

/* Code, data, stack, heap and library of this process, by request and by the text of the same map. */
static void same_answers(void) {
    static int data;
    int on_stack;
    void *heap = malloc(10);
    const void *places[] = {&data, &on_stack, heap, (void *)(uintptr_t)made_up_map, (void *)(uintptr_t)printf, (void *)0x10000};
    enum { PLACES = sizeof places / sizeof *places };
    MEMORY_BASIC_INFORMATION asked[PLACES], read[PLACES];
    FILE *f = machine_file("/proc/self/maps"), *maps = fopen("/proc/self/maps", "r");
    if (!CHECK(maps != NULL)) return;
    char line[1024];
    while (fgets(line, sizeof line, maps)) fputs(line, f);
    fclose(f), fclose(maps);
    for (int i = 0; i < PLACES; i++) CHECK_EQ(os_query_foreign((uintptr_t)places[i], &asked[i]), ST_OK);
    machine_show(true);
    for (int i = 0; i < PLACES; i++) CHECK_EQ(os_query_foreign((uintptr_t)places[i], &read[i]), ST_OK);
    machine_show(false);
    for (int i = 0; i < PLACES; i++) {
        CHECK_EQ((uintptr_t)asked[i].BaseAddress, (uintptr_t)read[i].BaseAddress);
        CHECK_EQ((uintptr_t)asked[i].AllocationBase, (uintptr_t)read[i].AllocationBase);
        CHECK_EQ(asked[i].State, read[i].State);
        CHECK_EQ(asked[i].Protect, read[i].Protect);
        CHECK_EQ(asked[i].Type, read[i].Type);
    }
    free(heap);
}

/* A process that can open no file is not told that its memory is free, and none of it is changed. */
static void no_map(void) {
    MEMORY_BASIC_INFORMATION info;
    struct rlimit before;
    char *heap = malloc(10);
    DWORD old = 77, load = 0;
    SIZE_T available = 0;
    IHostMemoryManager *m = NULL;
    CHECK(HmCreateMemoryManager(NULL, &m) == S_OK);
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, before.rlim_max}) == 0);
    CHECK_EQ(os_query_foreign((uintptr_t)heap, &info), ST_NO_RESOURCES);
    CHECK_EQ(os_protect_foreign((uintptr_t)heap, 1, PAGE_READONLY, &old), ST_NO_RESOURCES);
    CHECK_EQ(HmVirtualQuery(heap, &info, sizeof info), 0);
    CHECK_EQ(HmGetLastError(), ERROR_NO_SYSTEM_RESOURCES);
    CHECK(!HmVirtualProtect(heap, 1, PAGE_READONLY, &old) && HmGetLastError() == ERROR_NO_SYSTEM_RESOURCES);
    CHECK(!HmVirtualFree(heap, 0, MEM_RELEASE) && HmGetLastError() == ERROR_INVALID_ADDRESS);
    CHECK(m->lpVtbl->GetMemoryLoad(m, &load, &available) == S_OK && load <= 100 && available > 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
    heap[0] = 1;
    CHECK_EQ(HmVirtualQuery(heap, &info, sizeof info), sizeof info);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    free(heap);
    machine_show(true);
    CHECK_EQ(os_query_foreign((uintptr_t)heap, &info), ST_NO_RESOURCES); /* a machine without /proc */
    machine_show(false);
}

int main(void) {
    machine_make();
    no_map();
    made_up_map();
    same_answers();
    machine_remove();
    return check_done();
}
#else
int main(void) {
    MEMORY_BASIC_INFORMATION info; /* elsewhere the system answers by itself */
    CHECK_EQ(os_query_foreign((uintptr_t)&info, &info), ST_OK);
    CHECK_EQ(info.State, MEM_COMMIT);
    return check_done();
}
#endif
