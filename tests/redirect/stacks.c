/*
 * stacks.c - threads on stacks of the program's own making, as Cygwin's: a reservation, its top committed, a guard below. The
 * system commits such a stack page by page as guards are hit; what calls say of it must be so, and when it is released, or
 * decommitted, nothing of it may come back in memory that is said to be new.
 */
#include <windows.h>

#include <string.h>

#include "check.h"

enum { PAGE = 4096, TOP = 3 }; /* pages committed at first, the lowest of them the guard */

static char *stack;
static size_t stack_size;
static MEMORY_BASIC_INFORMATION low, limit_page, below; /* asked for on the stack */

/* So much of the stack is used, and written. */
static __attribute__((noinline)) int use(size_t bytes) {
    volatile char block[3000];
    memset((void *)block, 0x5a, sizeof block);
    return bytes > sizeof block ? use(bytes - sizeof block) + block[7] : block[8];
}

static void work(void) {
    char *limit;
    use(stack_size / 8 * 5);
    __asm__ volatile("movq %%gs:16, %0" : "=r"(limit));
    VirtualQuery(stack, &low, sizeof low);
    VirtualQuery(limit, &limit_page, sizeof limit_page);
    VirtualQuery(limit - PAGE, &below, sizeof below);
}

/* What a thread knows of its stack is base, limit and the allocation's start, in its block of facts. */
static __attribute__((noinline)) void work_on(char *base, char *limit, char *start) {
    register char *rb __asm__("r12") = base;
    register char *rl __asm__("r13") = limit;
    register char *rs __asm__("r14") = start;
    register void (*rf)(void) __asm__("r15") = work;
    __asm__ volatile("pushq %%rbp\n\tmovq %%rsp, %%rbp\n\t"
                     "pushq %%gs:8\n\tpushq %%gs:16\n\tpushq %%gs:0x1478\n\tpushq %%rbx\n\tmovq %%rsp, %%rbx\n\t"
                     "movq %0, %%gs:8\n\tmovq %1, %%gs:16\n\tmovq %2, %%gs:0x1478\n\t"
                     "movq %0, %%rsp\n\tsubq $64, %%rsp\n\tcall *%3\n\t"
                     "movq %%rbx, %%rsp\n\tpopq %%rbx\n\tpopq %%gs:0x1478\n\tpopq %%gs:16\n\tpopq %%gs:8\n\tpopq %%rbp" ::"r"(rb),
                     "r"(rl), "r"(rs), "r"(rf)
                     : "rax", "rcx", "rdx", "r8", "r9", "r10", "r11", "rsi", "rdi", "xmm0", "xmm1", "memory", "cc");
}

static void make(size_t size, BOOL at_once) {
    DWORD old;
    stack_size = size;
    stack = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
    char *guard = stack + size - TOP * PAGE;
    CHECK(VirtualAlloc(guard + PAGE, (TOP - 1) * PAGE, MEM_COMMIT, PAGE_READWRITE) != NULL);
    CHECK(VirtualAlloc(guard, PAGE, MEM_COMMIT, at_once ? PAGE_READWRITE | PAGE_GUARD : PAGE_READWRITE) != NULL);
    if (!at_once) CHECK(VirtualProtect(guard, PAGE, PAGE_READWRITE | PAGE_GUARD, &old));
    work_on(stack + size, guard + PAGE, stack);
}

static void test_said(size_t size) {
    DWORD old = 0;
    CHECK(low.State == MEM_RESERVE && low.BaseAddress == stack && low.AllocationBase == stack);
    CHECK(low.RegionSize < stack_size);
    CHECK(limit_page.State == MEM_COMMIT && limit_page.Protect == PAGE_READWRITE && limit_page.AllocationBase == stack);
    CHECK_EQ(limit_page.AllocationProtect, PAGE_READWRITE);
    CHECK(below.State == MEM_COMMIT && below.Protect == (PAGE_READWRITE | PAGE_GUARD) && below.RegionSize == PAGE);
    char *used = stack + size - 8 * PAGE;
    CHECK(VirtualProtect(used, 2 * PAGE, PAGE_READONLY, &old));
    CHECK_EQ(old, PAGE_READWRITE);
    CHECK(VirtualAlloc(used, 2 * PAGE, MEM_COMMIT, PAGE_READWRITE) == used);
    int kept = 0;
    for (size_t i = 0; i < 2 * PAGE; i++) kept += used[i] == 0x5a;
    CHECK(kept > PAGE);
}

static void check_new(const char *block, size_t size) {
    size_t at = 0;
    while (at < size && block[at] == 0) at++;
    CHECK_EQ(at, size);
}

/* The ways of a stack's end, and what is allocated after it. */
static void test_end(size_t size, int how) {
    make(size, how % 2);
    test_said(size);
    char *top = stack + size - TOP * PAGE;
    if (how == 1) CHECK(VirtualFree(stack, 0, MEM_DECOMMIT));
    if (how == 2) CHECK(VirtualFree(top, TOP * PAGE, MEM_DECOMMIT));
    if (how == 3) {
        CHECK(VirtualFree(stack, size - TOP * PAGE, MEM_DECOMMIT));
        CHECK(VirtualAlloc(stack, size - TOP * PAGE, MEM_COMMIT, PAGE_READWRITE) == stack);
        check_new(stack, size - TOP * PAGE);
    }
    CHECK(VirtualFree(stack, 0, MEM_RELEASE));
    for (int i = 0; i < 4; i++) {
        char *block = VirtualAlloc(NULL, size, MEM_RESERVE, PAGE_READWRITE);
        CHECK(VirtualAlloc(block, size, MEM_COMMIT, PAGE_READWRITE) == block);
        check_new(block, size);
        memset(block, 1, size);
        CHECK(VirtualFree(block, 0, MEM_RELEASE));
    }
}

int main(void) {
    for (int round = 0; round < 3; round++) {
        for (size_t size = 65536; size <= (size_t)4 << 20; size *= 2) {
            for (int how = 0; how < 4; how++) test_end(size, how);
        }
    }
    return check_done();
}
