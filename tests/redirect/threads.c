/*
 * threads.c - a thousand threads, many at a time, each of which allocates, frees and ends, some with memory that others free.
 */
#include <windows.h>

#include "check.h"

enum { THREADS = 1000, AT_ONCE = 50 };

static DWORD WINAPI allocate(LPVOID number) {
    char *kept = VirtualAlloc(NULL, 1 << 20, MEM_RESERVE, PAGE_READWRITE);
    if (!CHECK(kept != NULL)) return 0;
    CHECK(VirtualAlloc(kept + 65536, 8192, MEM_COMMIT, PAGE_READWRITE) == kept + 65536);
    kept[65536] = (char)(uintptr_t)number;
    for (int i = 1; i <= 20; i++) {
        SIZE_T size = (SIZE_T)i * 20000;
        char *block = VirtualAlloc(NULL, size, MEM_COMMIT, PAGE_READWRITE);
        if (!CHECK(block != NULL)) break;
        CHECK(block[0] == 0 && block[size - 1] == 0);
        memset(block, i, size);
        CHECK(VirtualFree(block, 0, MEM_RELEASE));
    }
    CHECK_EQ((unsigned char)kept[65536], (unsigned char)(uintptr_t)number);
    return VirtualFree(kept, 0, MEM_RELEASE);
}

int main(void) {
    HANDLE thread[AT_ONCE];
    for (int done = 0; done < THREADS; done += AT_ONCE) {
        for (int i = 0; i < AT_ONCE; i++) {
            thread[i] = CreateThread(NULL, 65536, allocate, (LPVOID)(uintptr_t)(done + i), 0, NULL);
            CHECK(thread[i] != NULL);
        }
        for (int i = 0; i < AT_ONCE; i++) {
            CHECK_EQ(WaitForSingleObject(thread[i], 60000), WAIT_OBJECT_0);
            CloseHandle(thread[i]);
        }
    }
    return check_done();
}
