/*
 * vmworld.h - a real implementation of the virtual-memory calls, with the places of vmcall.h laid out in it.
 */
#ifndef TEST_VMWORLD_H
#define TEST_VMWORLD_H

#include "vmcall.h"

struct vm_world {
    LPVOID(WINAPI *alloc)(LPVOID, SIZE_T, DWORD, DWORD);
    BOOL(WINAPI *free)(LPVOID, SIZE_T, DWORD);
    BOOL(WINAPI *protect)(LPVOID, SIZE_T, DWORD, PDWORD);
    SIZE_T(WINAPI *query)(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
    DWORD(WINAPI *error)(void);
    /* Sets the thread's last error to `armed`, which no call under test sets. */
    void (*arm)(void);
    DWORD armed;
    char *place[PLACES];
};

/* Puts `count` rooms, from room `first` on, side by side at this address. */
void world_rooms(struct vm_world *w, int first, int count, uintptr_t address);

/* Makes the call. */
void world_call(struct vm_world *w, const struct vm_call *call, struct vm_answer *answer);

#endif
