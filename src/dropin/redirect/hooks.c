/*
 * hooks.c - the table of the functions that are taken over. One line each; the names are the system's.
 *
 * Constant after patch_find, which runs once, before anything is patched.
 */
#include "dropin/redirect/redirect.h"

struct real real;

#define HOOK_AS(name, function, flags) {#name, (any_function)hook_##function, (any_function *)&real.function, flags, {NULL}}
#define HOOK(function, flags) HOOK_AS(function, function, flags)
/* The kernel's calls have two names each. */
#define HOOK_NT(call) HOOK_AS(Nt##call, Nt##call, 0), HOOK_AS(Zw##call, Nt##call, 0)
struct hook hooks[] = {
    HOOK(VirtualAlloc, 0),
    HOOK(VirtualFree, 0),
    HOOK(VirtualProtect, 0),
    HOOK(VirtualQuery, 0),
    HOOK(VirtualAllocEx, 0),
    HOOK(VirtualAllocExNuma, 0),
    HOOK(VirtualAllocFromApp, 0),
    HOOK(VirtualAlloc2, 0),
    HOOK(VirtualAlloc2FromApp, 0),
    HOOK(VirtualFreeEx, 0),
    HOOK(VirtualProtectEx, 0),
    HOOK(VirtualProtectFromApp, 0),
    HOOK(VirtualQueryEx, 0),
    HOOK(GetWriteWatch, 0),
    HOOK(ResetWriteWatch, 0),
    HOOK_NT(AllocateVirtualMemory),
    HOOK_NT(AllocateVirtualMemoryEx),
    HOOK_NT(FreeVirtualMemory),
    HOOK_NT(ProtectVirtualMemory),
    HOOK_NT(QueryVirtualMemory),
    HOOK_NT(GetWriteWatch),
    HOOK_NT(ResetWriteWatch),
    HOOK(MapViewOfFile, HM_REDIRECT_COUNT),
    HOOK(MapViewOfFileEx, 0),
    HOOK(MapViewOfFile3, 0),
    HOOK(UnmapViewOfFile, HM_REDIRECT_COUNT),
    HOOK(UnmapViewOfFile2, HM_REDIRECT_COUNT),
    HOOK(UnmapViewOfFileEx, HM_REDIRECT_COUNT),
    HOOK(HeapAlloc, HM_REDIRECT_HEAP),
    HOOK(HeapFree, HM_REDIRECT_HEAP),
    HOOK(HeapReAlloc, HM_REDIRECT_HEAP),
    HOOK(HeapSize, HM_REDIRECT_HEAP),
    HOOK(HeapValidate, HM_REDIRECT_HEAP),
    HOOK(HeapCreate, HM_REDIRECT_HEAP),
    HOOK(HeapDestroy, HM_REDIRECT_HEAP),
    HOOK(HeapLock, HM_REDIRECT_HEAP),
    HOOK(HeapUnlock, HM_REDIRECT_HEAP),
    HOOK(HeapCompact, HM_REDIRECT_HEAP),
    HOOK(HeapWalk, HM_REDIRECT_HEAP),
    HOOK(HeapSetInformation, HM_REDIRECT_HEAP),
    HOOK(HeapQueryInformation, HM_REDIRECT_HEAP),
    HOOK(LocalFree, HM_REDIRECT_HEAP),
    HOOK(GlobalFree, HM_REDIRECT_HEAP),
    HOOK(LocalSize, HM_REDIRECT_HEAP),
    HOOK(GlobalSize, HM_REDIRECT_HEAP),
    HOOK(LocalReAlloc, HM_REDIRECT_HEAP),
    HOOK(GlobalReAlloc, HM_REDIRECT_HEAP),
    HOOK(LocalHandle, HM_REDIRECT_HEAP),
    HOOK(GlobalHandle, HM_REDIRECT_HEAP),
    HOOK(GetProcessHeaps, HM_REDIRECT_HEAP),
    HOOK_AS(RtlAllocateHeap, HeapAlloc, HM_REDIRECT_HEAP),
    HOOK_AS(RtlFreeHeap, HeapFree, HM_REDIRECT_HEAP),
    HOOK_AS(RtlReAllocateHeap, HeapReAlloc, HM_REDIRECT_HEAP),
    HOOK_AS(RtlSizeHeap, HeapSize, HM_REDIRECT_HEAP),
    HOOK_AS(RtlValidateHeap, HeapValidate, HM_REDIRECT_HEAP),
    HOOK_AS(RtlLockHeap, HeapLock, HM_REDIRECT_HEAP),
    HOOK_AS(RtlUnlockHeap, HeapUnlock, HM_REDIRECT_HEAP),
    HOOK_AS(RtlGetProcessHeaps, GetProcessHeaps, HM_REDIRECT_HEAP),
    HOOK(CreateProcessA, HM_REDIRECT_CHILDREN),
    HOOK(CreateProcessW, HM_REDIRECT_CHILDREN),
    HOOK(CreateProcessAsUserA, HM_REDIRECT_CHILDREN),
    HOOK(CreateProcessAsUserW, HM_REDIRECT_CHILDREN),
    HOOK(CreateProcessInternalA, HM_REDIRECT_CHILDREN),
    HOOK(CreateProcessInternalW, HM_REDIRECT_CHILDREN),
    HOOK(WinExec, HM_REDIRECT_CHILDREN),
};
const size_t hooks_count = sizeof hooks / sizeof hooks[0];
