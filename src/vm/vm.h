/*
 * vm.h - Win32 virtual memory on the engine's tables: validate, look up the state, act. Layer: vm.
 *
 * Any thread may call. Two calls that change overlapping pages of one allocation take effect one after the other.
 * A call that fails has changed nothing.
 */
#ifndef HM_VM_H
#define HM_VM_H

#include "base/base.h"
#include "hostmem_win32.h"

/*
 * VirtualAlloc. address 0: any place. *result is the rounded start, or 0 after a failure. Of the pages of a heap's blocks
 * MEM_COMMIT changes the protection, and MEM_RESET is advice that is not followed.
 */
enum status vm_alloc(uintptr_t address, size_t size, DWORD type, DWORD protect, uintptr_t *result);

/* A new allocation, MEM_RESERVE with or without MEM_COMMIT, anywhere at a multiple of align, a power of two. */
enum status vm_alloc_aligned(size_t align, size_t size, DWORD type, DWORD protect, uintptr_t *result);

/* MEM_RESERVE anywhere, as a reservation of its own: when it is released its address space is the system's again. */
enum status vm_reserve_apart(size_t size, DWORD protect, uintptr_t *result);

/* VirtualFree. ST_NOT_OURS where the engine has no allocation at all at the address. */
enum status vm_free(uintptr_t address, size_t size, DWORD type);

/* VirtualProtect; memory of others is passed to the system. A failure leaves *old alone. */
enum status vm_protect(uintptr_t address, size_t size, DWORD protect, DWORD *old);

/* Disarms a guard page. False if the address is not on an armed one. Linux only; see HmGuardPageHit. */
bool vm_guard_hit(uintptr_t address);

#endif
