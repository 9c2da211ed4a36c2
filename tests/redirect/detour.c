/*
 * detour.c - a program that takes functions over itself, as profilers and overlays do that are built into one: what it imports
 * and what GetProcAddress gives must be one function, and a jump written over it must catch calls by either.
 */
#include <windows.h>

#include <string.h>

#include "check.h"

typedef LPVOID(WINAPI *alloc_function)(LPVOID, SIZE_T, DWORD, DWORD);
typedef void (*any_function)(void);

enum { JUMP_BYTES = 12 };
static int caught;

static any_function by_name(const char *module, const char *name) {
    return (any_function)(void (*)(void))GetProcAddress(GetModuleHandleA(module), name);
}

#define SAME(function) CHECK(by_name("kernel32.dll", #function) == (any_function)function)

static void names(void) {
    SAME(VirtualAlloc);
    SAME(VirtualAllocEx);
    SAME(VirtualFree);
    SAME(VirtualProtect);
    SAME(VirtualQuery);
    SAME(MapViewOfFileEx);
    SAME(HeapAlloc);
    SAME(HeapReAlloc);
    SAME(HeapFree);
    SAME(HeapSize);
    SAME(LocalFree);
    SAME(CreateProcessW);
    CHECK(by_name("ntdll.dll", "NtAllocateVirtualMemory") == by_name("ntdll.dll", "ZwAllocateVirtualMemory"));
    CHECK(by_name("kernel32.dll", "HeapAlloc") == by_name("ntdll.dll", "RtlAllocateHeap"));
}

static LPVOID WINAPI catch_alloc(LPVOID address, SIZE_T size, DWORD type, DWORD protect) {
    (void)size, (void)type, (void)protect;
    caught++;
    return address;
}

/* mov rax, catch_alloc; jmp rax */
static void jump_write(unsigned char *at) {
    any_function to = (any_function)catch_alloc;
    memcpy(at, "\x48\xB8", 2);
    memcpy(at + 2, &to, sizeof to);
    memcpy(at + 10, "\xFF\xE0", 2);
    FlushInstructionCache(GetCurrentProcess(), at, JUMP_BYTES);
}

static void detour(void) {
    alloc_function found = (alloc_function)by_name("kernel32.dll", "VirtualAlloc");
    unsigned char *code, before[JUMP_BYTES];
    DWORD old;
    memcpy(&code, &found, sizeof code);
    if (!CHECK(VirtualProtect(code, JUMP_BYTES, PAGE_EXECUTE_READWRITE, &old))) return;
    memcpy(before, code, JUMP_BYTES);
    jump_write(code);
    LPVOID by_found = found(&caught, 1, MEM_COMMIT, PAGE_READWRITE);
    LPVOID by_import = VirtualAlloc(&caught, 1, MEM_COMMIT, PAGE_READWRITE);
    memcpy(code, before, JUMP_BYTES);
    FlushInstructionCache(GetCurrentProcess(), code, JUMP_BYTES);
    CHECK(VirtualProtect(code, JUMP_BYTES, old, &old));
    CHECK(by_found == (LPVOID)&caught);
    CHECK(by_import == (LPVOID)&caught);
    CHECK_EQ(caught, 2);
    char *memory = VirtualAlloc(NULL, 65536, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    if (CHECK(memory != NULL)) CHECK(VirtualFree(memory, 0, MEM_RELEASE));
    CHECK_EQ(caught, 2);
}

int main(void) {
    names();
    detour();
    return check_done();
}
