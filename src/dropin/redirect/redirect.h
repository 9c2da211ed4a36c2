/*
 * redirect.h - the parts of hostmem-redirect.dll and what they owe each other.
 *
 * dll.c starts the work; hooks.c is the table of the functions that are taken over, patch.c takes them over; vm_hooks.c,
 * nt_hooks.c, place.c, watch_hooks.c, heap_hooks.c, heap_lock.c and view_hooks.c answer calls; process.c judges the handles in
 * them, and pointers.c the pointers; counts.c counts and records them; prepare.c puts the DLL in front of another process,
 * child_hooks.c does so for the program's own children; imports.c keeps the DLL's own imports few.
 *
 * A hook runs on any thread, under any lock of the program's or the loader's, during process exit too. So no hook takes a lock,
 * waits for another thread, allocates from a heap or loads anything (but HeapLock's, which is asked to, and WinExec's, which
 * waits for the child as the system's does). The engine and the hooks call the system through this DLL's
 * own import table, or through `real`, both filled before anything is patched: they never meet a hook.
 */
#ifndef HM_REDIRECT_H
#define HM_REDIRECT_H

#include <windows.h>

#include "base/base.h"
#include "hostmem_redirect.h"

#ifndef MEM_RESERVE_PLACEHOLDER
#define MEM_RESERVE_PLACEHOLDER 0x00040000
#endif

/* ---- dll.c ---------------------------------------------------------------------------------------------------------- */

extern DWORD redirect_flags;
extern HM_REDIRECT_SHARED *redirect_shared; /* NULL: nobody wants to know */
extern HMODULE redirect_module;
HANDLE redirect_section_handle(void); /* of the shared section, for children; NULL if there is none */

/* ---- hooks.c: what is taken over ---------------------------------------------------------------------------------- */

/* VirtualAlloc2's and MapViewOfFile3's last parameter; older headers lack it. */
struct extended_parameter {
    ULONGLONG type; /* in the low 8 bits */
    union {
        ULONGLONG number;
        void *pointer;
        HANDLE handle;
    } u;
};

/* The system's functions, as they were before the patching; NULL where this system has none. */
struct real {
    LPVOID(WINAPI *VirtualAlloc)(LPVOID, SIZE_T, DWORD, DWORD);
    LPVOID(WINAPI *VirtualAllocEx)(HANDLE, LPVOID, SIZE_T, DWORD, DWORD);
    LPVOID(WINAPI *VirtualAllocExNuma)(HANDLE, LPVOID, SIZE_T, DWORD, DWORD, DWORD);
    LPVOID(WINAPI *VirtualAllocFromApp)(LPVOID, SIZE_T, ULONG, ULONG);
    LPVOID(WINAPI *VirtualAlloc2)(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
    LPVOID(WINAPI *VirtualAlloc2FromApp)(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
    BOOL(WINAPI *VirtualFree)(LPVOID, SIZE_T, DWORD);
    BOOL(WINAPI *VirtualFreeEx)(HANDLE, LPVOID, SIZE_T, DWORD);
    BOOL(WINAPI *VirtualProtect)(LPVOID, SIZE_T, DWORD, PDWORD);
    BOOL(WINAPI *VirtualProtectEx)(HANDLE, LPVOID, SIZE_T, DWORD, PDWORD);
    BOOL(WINAPI *VirtualProtectFromApp)(LPVOID, SIZE_T, ULONG, PULONG);
    SIZE_T(WINAPI *VirtualQuery)(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
    SIZE_T(WINAPI *VirtualQueryEx)(HANDLE, LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
    UINT(WINAPI *GetWriteWatch)(DWORD, PVOID, SIZE_T, PVOID *, ULONG_PTR *, LPDWORD);
    UINT(WINAPI *ResetWriteWatch)(LPVOID, SIZE_T);
    LONG(WINAPI *NtAllocateVirtualMemory)(HANDLE, PVOID *, ULONG_PTR, PSIZE_T, ULONG, ULONG);
    LONG(WINAPI *NtAllocateVirtualMemoryEx)(HANDLE, PVOID *, PSIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
    LONG(WINAPI *NtFreeVirtualMemory)(HANDLE, PVOID *, PSIZE_T, ULONG);
    LONG(WINAPI *NtProtectVirtualMemory)(HANDLE, PVOID *, PSIZE_T, ULONG, PULONG);
    LONG(WINAPI *NtQueryVirtualMemory)(HANDLE, LPCVOID, int, PVOID, SIZE_T, PSIZE_T);
    LONG(WINAPI *NtGetWriteWatch)(HANDLE, ULONG, PVOID, SIZE_T, PVOID *, ULONG_PTR *, PULONG);
    LONG(WINAPI *NtResetWriteWatch)(HANDLE, PVOID, SIZE_T);
    LPVOID(WINAPI *MapViewOfFile)(HANDLE, DWORD, DWORD, DWORD, SIZE_T);
    LPVOID(WINAPI *MapViewOfFileEx)(HANDLE, DWORD, DWORD, DWORD, SIZE_T, LPVOID);
    LPVOID(WINAPI *MapViewOfFile3)(HANDLE, HANDLE, LPVOID, ULONG64, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
    BOOL(WINAPI *UnmapViewOfFile)(LPCVOID);
    BOOL(WINAPI *UnmapViewOfFile2)(HANDLE, LPVOID, ULONG);
    BOOL(WINAPI *UnmapViewOfFileEx)(LPVOID, ULONG);
    LPVOID(WINAPI *HeapAlloc)(HANDLE, DWORD, SIZE_T);
    BOOL(WINAPI *HeapFree)(HANDLE, DWORD, LPVOID);
    LPVOID(WINAPI *HeapReAlloc)(HANDLE, DWORD, LPVOID, SIZE_T);
    SIZE_T(WINAPI *HeapSize)(HANDLE, DWORD, LPCVOID);
    BOOL(WINAPI *HeapValidate)(HANDLE, DWORD, LPCVOID);
    HANDLE(WINAPI *HeapCreate)(DWORD, SIZE_T, SIZE_T);
    BOOL(WINAPI *HeapDestroy)(HANDLE);
    BOOL(WINAPI *HeapLock)(HANDLE);
    BOOL(WINAPI *HeapUnlock)(HANDLE);
    SIZE_T(WINAPI *HeapCompact)(HANDLE, DWORD);
    BOOL(WINAPI *HeapWalk)(HANDLE, LPPROCESS_HEAP_ENTRY);
    BOOL(WINAPI *HeapSetInformation)(HANDLE, HEAP_INFORMATION_CLASS, PVOID, SIZE_T);
    BOOL(WINAPI *HeapQueryInformation)(HANDLE, HEAP_INFORMATION_CLASS, PVOID, SIZE_T, PSIZE_T);
    HLOCAL(WINAPI *LocalFree)(HLOCAL);
    HGLOBAL(WINAPI *GlobalFree)(HGLOBAL);
    SIZE_T(WINAPI *LocalSize)(HLOCAL);
    SIZE_T(WINAPI *GlobalSize)(HGLOBAL);
    HLOCAL(WINAPI *LocalReAlloc)(HLOCAL, SIZE_T, UINT);
    HGLOBAL(WINAPI *GlobalReAlloc)(HGLOBAL, SIZE_T, UINT);
    HLOCAL(WINAPI *LocalHandle)(LPCVOID);
    HGLOBAL(WINAPI *GlobalHandle)(LPCVOID);
    DWORD(WINAPI *GetProcessHeaps)(DWORD, PHANDLE);
    BOOL(WINAPI *CreateProcessA)(LPCSTR, LPSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD, LPVOID, LPCSTR,
                                 LPSTARTUPINFOA, LPPROCESS_INFORMATION);
    BOOL(WINAPI *CreateProcessW)(LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD, LPVOID, LPCWSTR,
                                 LPSTARTUPINFOW, LPPROCESS_INFORMATION);
    BOOL(WINAPI *CreateProcessAsUserA)(HANDLE, LPCSTR, LPSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                       LPVOID, LPCSTR, LPSTARTUPINFOA, LPPROCESS_INFORMATION);
    BOOL(WINAPI *CreateProcessAsUserW)(HANDLE, LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                       LPVOID, LPCWSTR, LPSTARTUPINFOW, LPPROCESS_INFORMATION);
    BOOL(WINAPI *CreateProcessInternalA)(HANDLE, LPCSTR, LPSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                         LPVOID, LPCSTR, LPSTARTUPINFOA, LPPROCESS_INFORMATION, PHANDLE);
    BOOL(WINAPI *CreateProcessInternalW)(HANDLE, LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                         LPVOID, LPCWSTR, LPSTARTUPINFOW, LPPROCESS_INFORMATION, PHANDLE);
    UINT(WINAPI *WinExec)(LPCSTR, UINT);
};
extern struct real real;

typedef void (*any_function)(void);

/* One function that is taken over: in every module's imports where it stands, and in the exports of whoever exports it. */
struct hook {
    const char *name;
    any_function body;
    any_function *real; /* where its own address goes; stays NULL if the system has no such function */
    DWORD needs;        /* HM_REDIRECT_* flags without which it is left alone; 0: always taken */
    any_function from[3]; /* its addresses in ntdll, kernelbase and kernel32; NULL where there is none */
};
extern struct hook hooks[];
extern const size_t hooks_count;

/* ---- patch.c ------------------------------------------------------------------------------------------------------- */

/* Finds the real functions. False with the last error if one of the four that every system has is missing. */
bool patch_find(void);

/* Makes the jumps to the hooks. False with the last error if there is no memory near a module; then there are none. */
bool patch_prepare(void);

/* Leads all callers to the hooks; nothing of it fails. */
void patch_install(void);

/* ---- counts.c ------------------------------------------------------------------------------------------------------ */

/* Around a call. ticks 0: nobody counts. */
struct watch {
    uint64_t ticks;
};
static inline struct watch watch_start(void) { return (struct watch){redirect_shared ? __builtin_ia32_rdtsc() : 0}; }
/* One call for the record: op and the arguments as the trace has them. */
struct seen {
    unsigned op; /* HM_OP_*; HM_OPS for a call that is not recorded */
    uintptr_t address;
    size_t size;
    DWORD type;
    DWORD protect;
    uint64_t result; /* 0: it failed */
};
void counts_add_slow(struct watch watch, unsigned kind, unsigned reason, const struct seen *seen);
static inline void watch_stop(struct watch watch, unsigned kind, unsigned reason, const struct seen *seen) {
    if (watch.ticks) counts_add_slow(watch, kind, reason, seen);
}
void counts_start(void);  /* before the first call; begins the trace with the modules that are loaded */
void counts_finish(void); /* the process ends in order */

/* ---- process.c ----------------------------------------------------------------------------------------------------- */

void process_start(void); /* before the patching */

/* A handle of the own process that has these rights. Where it lacks one, the call is the system's to refuse. */
bool process_is_own(HANDLE process, DWORD rights);

/* ---- pointers.c ---------------------------------------------------------------------------------------------------- */

bool pointer_writes_slow(const void *pointer, size_t size);
bool pointer_reads_slow(const void *pointer, size_t size);
void pointers_forget(void); /* the system may have changed a protection */
void pointers_start(void);  /* before the patching */

/* Memory of the calling thread's stack that is in use. */
static inline bool on_own_stack(const void *pointer, size_t size) {
    uintptr_t at = (uintptr_t)pointer, base, limit; /* of NT_TIB, as gs leads to it */
    __asm__ volatile("movq %%gs:8, %0\n\tmovq %%gs:16, %1" : "=&r"(base), "=r"(limit));
    return at >= limit && at < base && size <= base - at;
}

/* What may be written, or NULL: which the engine answers with ST_NOT_WRITABLE where it would have written. */
static inline void *if_writable(void *pointer, size_t size) {
    return on_own_stack(pointer, size) || pointer_writes_slow(pointer, size) ? pointer : NULL;
}
static inline bool is_readable(const void *pointer, size_t size) {
    return on_own_stack(pointer, size) || pointer_reads_slow(pointer, size);
}

/* ---- vm_hooks.c, place.c ------------------------------------------------------------------------------------------- */

/* Does the engine know what lies at this address? */
bool engine_has(uintptr_t address);

/* Who answers a call, HM_BY_ENGINE or why not: one that asks for memory, one about memory that is there. */
unsigned alloc_reason(uintptr_t address, size_t size, DWORD type);
unsigned there_reason(LPCVOID address);
static inline bool engine_answers(unsigned reason) { return reason == HM_BY_ENGINE || reason == HM_PASSED_WATCH; }

/* How a call ends, for the report and the trace. */
void alloc_stop(struct watch, unsigned reason, unsigned op, LPVOID, SIZE_T, DWORD type, DWORD protect, LPVOID result);
void free_stop(struct watch, unsigned reason, LPVOID, SIZE_T, DWORD type, BOOL result);
void protect_stop(struct watch, unsigned reason, LPVOID, SIZE_T, DWORD protect, BOOL result);
void query_stop(struct watch, unsigned reason, LPCVOID, const MEMORY_BASIC_INFORMATION *, SIZE_T result);

/*
 * An allocation whose start is a multiple of align and which lies in [low, high). ST_NO_ADDRESS_SPACE: the engine found no place.
 */
enum status place_alloc(uintptr_t low, uintptr_t high, size_t align, size_t size, DWORD type, DWORD protect, uintptr_t *result);

/* view_hooks.c: the program has looked for a place for a view, and a region was in the way. */
bool views_want_places(void);
bool views_want_committed(void); /* the same of one that is committed at once; each answer counts */

/* watch_hooks.c: decides who answers for MEM_WRITE_WATCH; before the patching. */
void watch_hooks_start(void);

/* heap_hooks.c: finds the heaps that are there already; before the patching. */
void heap_hooks_start(void);

/* heap_lock.c: of the engine's heaps, by their handles. */
void heap_lock_take(const void *heap);
void heap_lock_leave(const void *heap); /* for a thread that has it; else nothing happens */
void heap_lock_drop(const void *heap);  /* the heap ends */

/* The hooks, by the names of what they take over. */
LPVOID WINAPI hook_VirtualAlloc(LPVOID, SIZE_T, DWORD, DWORD);
LPVOID WINAPI hook_VirtualAllocEx(HANDLE, LPVOID, SIZE_T, DWORD, DWORD);
LPVOID WINAPI hook_VirtualAllocExNuma(HANDLE, LPVOID, SIZE_T, DWORD, DWORD, DWORD);
LPVOID WINAPI hook_VirtualAllocFromApp(LPVOID, SIZE_T, ULONG, ULONG);
LPVOID WINAPI hook_VirtualAlloc2(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
LPVOID WINAPI hook_VirtualAlloc2FromApp(HANDLE, LPVOID, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
BOOL WINAPI hook_VirtualFree(LPVOID, SIZE_T, DWORD);
BOOL WINAPI hook_VirtualFreeEx(HANDLE, LPVOID, SIZE_T, DWORD);
BOOL WINAPI hook_VirtualProtect(LPVOID, SIZE_T, DWORD, PDWORD);
BOOL WINAPI hook_VirtualProtectEx(HANDLE, LPVOID, SIZE_T, DWORD, PDWORD);
BOOL WINAPI hook_VirtualProtectFromApp(LPVOID, SIZE_T, ULONG, PULONG);
SIZE_T WINAPI hook_VirtualQuery(LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
SIZE_T WINAPI hook_VirtualQueryEx(HANDLE, LPCVOID, PMEMORY_BASIC_INFORMATION, SIZE_T);
UINT WINAPI hook_GetWriteWatch(DWORD, PVOID, SIZE_T, PVOID *, ULONG_PTR *, LPDWORD);
UINT WINAPI hook_ResetWriteWatch(LPVOID, SIZE_T);
LONG WINAPI hook_NtAllocateVirtualMemory(HANDLE, PVOID *, ULONG_PTR, PSIZE_T, ULONG, ULONG);
LONG WINAPI hook_NtAllocateVirtualMemoryEx(HANDLE, PVOID *, PSIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
LONG WINAPI hook_NtFreeVirtualMemory(HANDLE, PVOID *, PSIZE_T, ULONG);
LONG WINAPI hook_NtProtectVirtualMemory(HANDLE, PVOID *, PSIZE_T, ULONG, PULONG);
LONG WINAPI hook_NtQueryVirtualMemory(HANDLE, LPCVOID, int, PVOID, SIZE_T, PSIZE_T);
LONG WINAPI hook_NtGetWriteWatch(HANDLE, ULONG, PVOID, SIZE_T, PVOID *, ULONG_PTR *, PULONG);
LONG WINAPI hook_NtResetWriteWatch(HANDLE, PVOID, SIZE_T);
LPVOID WINAPI hook_MapViewOfFile(HANDLE, DWORD, DWORD, DWORD, SIZE_T);
LPVOID WINAPI hook_MapViewOfFileEx(HANDLE, DWORD, DWORD, DWORD, SIZE_T, LPVOID);
LPVOID WINAPI hook_MapViewOfFile3(HANDLE, HANDLE, LPVOID, ULONG64, SIZE_T, ULONG, ULONG, struct extended_parameter *, ULONG);
BOOL WINAPI hook_UnmapViewOfFile(LPCVOID);
BOOL WINAPI hook_UnmapViewOfFile2(HANDLE, LPVOID, ULONG);
BOOL WINAPI hook_UnmapViewOfFileEx(LPVOID, ULONG);
LPVOID WINAPI hook_HeapAlloc(HANDLE, DWORD, SIZE_T);
BOOL WINAPI hook_HeapFree(HANDLE, DWORD, LPVOID);
LPVOID WINAPI hook_HeapReAlloc(HANDLE, DWORD, LPVOID, SIZE_T);
SIZE_T WINAPI hook_HeapSize(HANDLE, DWORD, LPCVOID);
BOOL WINAPI hook_HeapValidate(HANDLE, DWORD, LPCVOID);
HANDLE WINAPI hook_HeapCreate(DWORD, SIZE_T, SIZE_T);
BOOL WINAPI hook_HeapDestroy(HANDLE);
BOOL WINAPI hook_HeapLock(HANDLE);
BOOL WINAPI hook_HeapUnlock(HANDLE);
SIZE_T WINAPI hook_HeapCompact(HANDLE, DWORD);
BOOL WINAPI hook_HeapWalk(HANDLE, LPPROCESS_HEAP_ENTRY);
BOOL WINAPI hook_HeapSetInformation(HANDLE, HEAP_INFORMATION_CLASS, PVOID, SIZE_T);
BOOL WINAPI hook_HeapQueryInformation(HANDLE, HEAP_INFORMATION_CLASS, PVOID, SIZE_T, PSIZE_T);
HLOCAL WINAPI hook_LocalFree(HLOCAL);
HGLOBAL WINAPI hook_GlobalFree(HGLOBAL);
SIZE_T WINAPI hook_LocalSize(HLOCAL);
SIZE_T WINAPI hook_GlobalSize(HGLOBAL);
HLOCAL WINAPI hook_LocalReAlloc(HLOCAL, SIZE_T, UINT);
HGLOBAL WINAPI hook_GlobalReAlloc(HGLOBAL, SIZE_T, UINT);
HLOCAL WINAPI hook_LocalHandle(LPCVOID);
HGLOBAL WINAPI hook_GlobalHandle(LPCVOID);
DWORD WINAPI hook_GetProcessHeaps(DWORD, PHANDLE);
BOOL WINAPI hook_CreateProcessA(LPCSTR, LPSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD, LPVOID, LPCSTR,
                                LPSTARTUPINFOA, LPPROCESS_INFORMATION);
BOOL WINAPI hook_CreateProcessW(LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD, LPVOID, LPCWSTR,
                                LPSTARTUPINFOW, LPPROCESS_INFORMATION);
BOOL WINAPI hook_CreateProcessAsUserA(HANDLE, LPCSTR, LPSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                      LPVOID, LPCSTR, LPSTARTUPINFOA, LPPROCESS_INFORMATION);
BOOL WINAPI hook_CreateProcessAsUserW(HANDLE, LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                      LPVOID, LPCWSTR, LPSTARTUPINFOW, LPPROCESS_INFORMATION);
BOOL WINAPI hook_CreateProcessInternalA(HANDLE, LPCSTR, LPSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                        LPVOID, LPCSTR, LPSTARTUPINFOA, LPPROCESS_INFORMATION, PHANDLE);
BOOL WINAPI hook_CreateProcessInternalW(HANDLE, LPCWSTR, LPWSTR, LPSECURITY_ATTRIBUTES, LPSECURITY_ATTRIBUTES, BOOL, DWORD,
                                        LPVOID, LPCWSTR, LPSTARTUPINFOW, LPPROCESS_INFORMATION, PHANDLE);
UINT WINAPI hook_WinExec(LPCSTR, UINT);

/* ---- prepare.c ----------------------------------------------------------------------------------------------------- */

/*
 * What HmRedirectPrepare leaves in the process, after its image: the new import directory begins with `import`. The DLL finds it
 * again through the image's header, and puts the header back.
 */
#define PREPARED_MAGIC 0x4472696465726d48ull
struct prepared {
    uint64_t magic;
    DWORD flags;
    DWORD directory_rva; /* the image's own import directory */
    DWORD directory_size;
    DWORD bound_rva; /* and its directory of bound imports */
    DWORD bound_size;
    DWORD padding;
    uint64_t section; /* a handle of the shared section in that process, or 0 */
    IMAGE_THUNK_DATA64 lookup[2];
    IMAGE_THUNK_DATA64 address[2];
    char by_name[2 + 32];
    char path[MAX_PATH];
    IMAGE_IMPORT_DESCRIPTOR import[];
};

/* A program may have fewer directories than the headers' structure: where the others would be, its sections' headers are. */
static inline bool has_bound_imports(const IMAGE_OPTIONAL_HEADER64 *header) {
    return header->NumberOfRvaAndSizes > IMAGE_DIRECTORY_ENTRY_BOUND_IMPORT;
}

#endif
