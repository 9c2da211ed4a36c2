/*
 * hostmem_clr.h - the memory interfaces of .NET Framework hosting, in the C form of MSCOREE.IDL.
 *
 * A CLR calls IHostMemoryManager and IHostMalloc; the host implements them. The layouts, the method names and the
 * interface identifiers are those of mscoree.h, and each interface is skipped where that header has declared it already.
 * From C, call `p->lpVtbl->Method(p, ...)`; the same form works from C++ (define CINTERFACE before a Windows SDK header
 * of your own to get it there too).
 *
 * What is said of the methods below is what hostmem's own objects do: HmCreateMemoryManager makes an IHostMemoryManager,
 * HmCreateHostControl an IHostControl (hostmem.h). Of all of them holds:
 *
 * Answers. S_OK for success and nothing else, so that `== S_OK` and SUCCEEDED are the same. Failures:
 *     E_POINTER                a NULL pointer to what is to be written
 *     E_INVALIDARG             arguments that Win32 refuses with error 87, or a critical level that is none of the three
 *     E_OUTOFMEMORY            every shortage, Win32's 8, 1450, 1455 and 1816: a limit (HM_LIMITS) or a wish (HM_FAULTS), too
 *     HOST_E_INVALIDOPERATION  memory that hostmem did not give out, or not any more
 *     E_NOINTERFACE            an interface that the object does not have
 *     HRESULT_FROM_WIN32(e)    what else Win32 refuses: 0x800701E7 for 487, a range that is taken or not inside one allocation;
 *                              0x80070018 for 24; 0x80070032 for 50
 * never E_FAIL, from which a CLR learns that the host is beyond use. A call that fails changes nothing, and sets the thread's
 * last error to the Win32 error; one that succeeds leaves it alone. Results are written whatever the answer: 0 or NULL after a
 * failure.
 *
 * Threads. Any thread may call any method at any time. VirtualAlloc, VirtualFree and VirtualProtect of overlapping pages of one
 * allocation take effect one after the other; what else waits for anything says so.
 *
 * References. QueryInterface knows IUnknown and the object's own interface, and adds a reference: E_POINTER for a NULL ppvObject,
 * E_INVALIDARG for a NULL riid, else E_NOINTERFACE. AddRef and Release return the new count; the Release that returns 0 ends the
 * object.
 *
 * Source: MSCOREE.IDL of dotnet/coreclr (initial public commit) and of the Shared Source CLI 2.0, which agree; for what the
 * methods do, the unmanaged hosting interfaces of the .NET Framework's documentation.
 */
#ifndef HOSTMEM_CLR_H
#define HOSTMEM_CLR_H

#include "hostmem_win32.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the CLR looks at in a host's answer. */
#ifndef HOST_E_INVALIDOPERATION
#define HOST_E_INVALIDOPERATION ((HRESULT)0x80131022u) /* memory that hostmem did not give out, or not any more */
#endif
#ifndef HOST_E_CLRNOTAVAILABLE
#define HOST_E_CLRNOTAVAILABLE ((HRESULT)0x80131023u)
#endif

#ifndef _WIN32
typedef struct IUnknown IUnknown;
typedef struct IUnknownVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IUnknown *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IUnknown *This);
    ULONG(STDMETHODCALLTYPE *Release)(IUnknown *This);
} IUnknownVtbl;
struct IUnknown {
    const IUnknownVtbl *lpVtbl;
};
#endif

#ifndef __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__

/* How bad a refusal would be: for one task, for one application domain, for the process. HM_LIMITS has a limit for each. */
typedef enum EMemoryCriticalLevel { eTaskCritical = 0, eAppDomainCritical = 1, eProcessCritical = 2 } EMemoryCriticalLevel;

/* What a host tells a CLR about the memory that is left. There is no value 0. */
typedef enum EMemoryAvailable { eMemoryAvailableLow = 1, eMemoryAvailableNeutral = 2, eMemoryAvailableHigh = 3 } EMemoryAvailable;

/* Flags of IHostMemoryManager::CreateMalloc. */
typedef enum MALLOC_TYPE {
    MALLOC_THREADSAFE = 0x1, /* callers do not serialise; hostmem's heaps are safe for threads with or without it */
    MALLOC_EXECUTABLE = 0x2  /* the blocks can hold code */
} MALLOC_TYPE;

#define __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__
typedef struct ICLRMemoryNotificationCallback ICLRMemoryNotificationCallback;
typedef struct ICLRMemoryNotificationCallbackVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(ICLRMemoryNotificationCallback *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(ICLRMemoryNotificationCallback *This);
    ULONG(STDMETHODCALLTYPE *Release)(ICLRMemoryNotificationCallback *This);
    /*
     * The CLR's own method, which hostmem calls: how things stand now with the memory of the system, the process and the manager
     * that the callback was registered with. One thread of hostmem's calls all callbacks, one after the other, and holds nothing
     * meanwhile: the callback may call everything of hostmem's, register and unregister callbacks, itself too. It must not wait
     * for long, since nobody else is told meanwhile. Its answer is not looked at.
     */
    HRESULT(STDMETHODCALLTYPE *OnMemoryNotification)(ICLRMemoryNotificationCallback *This, EMemoryAvailable eMemoryAvailable);
} ICLRMemoryNotificationCallbackVtbl;
struct ICLRMemoryNotificationCallback {
    const ICLRMemoryNotificationCallbackVtbl *lpVtbl;
};
#endif

#ifndef __IHostMalloc_INTERFACE_DEFINED__
#define __IHostMalloc_INTERFACE_DEFINED__
typedef struct IHostMalloc IHostMalloc;

/* A heap. Made by IHostMemoryManager::CreateMalloc; it outlives its manager. */
typedef struct IHostMallocVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IHostMalloc *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IHostMalloc *This);
    /* The last one frees every block of the heap: no thread may be using it, or its blocks later. */
    ULONG(STDMETHODCALLTYPE *Release)(IHostMalloc *This);
    /*
     * A block of cbSize bytes, aligned to 16, not zeroed; of 0 bytes there is one, too, which can be freed. *ppMem gets it.
     * eCriticalLevel decides which limit refuses it. E_POINTER for a NULL ppMem, E_INVALIDARG, E_OUTOFMEMORY. Waits for nobody.
     */
    HRESULT(STDMETHODCALLTYPE *Alloc)(IHostMalloc *This, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel, void **ppMem);
    /*
     * The same. Where blocks are tracked (HM_TRACK_BLOCKS) leak reports name the place, of which the text is copied: pszFileName
     * ends with a zero, or is NULL; elsewhere neither it nor iLineNo is looked at.
     */
    HRESULT(STDMETHODCALLTYPE *DebugAlloc)
    (IHostMalloc *This, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel, char *pszFileName, int iLineNo, void **ppMem);
    /*
     * Frees a block of this heap's, from whichever thread; NULL is S_OK. HOST_E_INVALIDOPERATION for an address that is not where
     * a block of this heap starts. A second free: see HmHeapFree. Waits for nobody.
     */
    HRESULT(STDMETHODCALLTYPE *Free)(IHostMalloc *This, void *pMem);
} IHostMallocVtbl;
struct IHostMalloc {
    const IHostMallocVtbl *lpVtbl;
};
#endif
/* The documentation's spelling. */
typedef IHostMalloc IHostMAlloc;

#ifndef __IHostMemoryManager_INTERFACE_DEFINED__
#define __IHostMemoryManager_INTERFACE_DEFINED__
typedef struct IHostMemoryManager IHostMemoryManager;

/* The virtual memory of a process, for a CLR. Arguments are those of the Win32 calls of the same names: hostmem.h. */
typedef struct IHostMemoryManagerVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IHostMemoryManager *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IHostMemoryManager *This);
    /*
     * The last one takes back all callbacks (waiting for one that is being called by another thread) and forgets the views. The
     * memory that the manager gave out stays valid, and so do its heaps.
     */
    ULONG(STDMETHODCALLTYPE *Release)(IHostMemoryManager *This);
    /*
     * Makes a heap; *ppMalloc gets it with one reference, or NULL. dwMallocType: flags of MALLOC_TYPE, of which MALLOC_THREADSAFE
     * changes nothing; unknown ones are E_INVALIDARG. What the heap takes counts for this manager's limits, and for those of its
     * own that HM_OPTIONS.pHeapLimits names. It holds no reference on the manager. E_POINTER, E_OUTOFMEMORY.
     */
    HRESULT(STDMETHODCALLTYPE *CreateMalloc)(IHostMemoryManager *This, DWORD dwMallocType, IHostMalloc **ppMalloc);
    /*
     * HmVirtualAlloc, with a level: *ppMem gets the rounded start, or NULL. What it reserves or commits counts for this manager's
     * limits; eCriticalLevel decides which of them refuses it (HM_LIMITS). For eProcessCritical the emergency reserve is given up
     * where the system has no memory left. E_POINTER for a NULL ppMem; the other answers are listed above.
     */
    HRESULT(STDMETHODCALLTYPE *VirtualAlloc)
    (IHostMemoryManager *This, void *pAddress, SIZE_T dwSize, DWORD flAllocationType, DWORD flProtect,
     EMemoryCriticalLevel eCriticalLevel, void **ppMem);
    /*
     * HmVirtualFree: of any allocation of hostmem's, whoever it was given to. HOST_E_INVALIDOPERATION for memory that is none,
     * was released already, or belongs to a heap.
     */
    HRESULT(STDMETHODCALLTYPE *VirtualFree)(IHostMemoryManager *This, LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType);
    /*
     * HmVirtualQuery: lpBuffer is a MEMORY_BASIC_INFORMATION, dwLength its room in bytes; *pResult gets the bytes that were
     * written, or 0. E_POINTER for a NULL pResult or lpBuffer, 0x80070018 for too little room, E_INVALIDARG for an address past
     * user space. Never waits, allocates or locks, so it is safe while every other thread is suspended.
     */
    HRESULT(STDMETHODCALLTYPE *VirtualQuery)
    (IHostMemoryManager *This, void *lpAddress, void *lpBuffer, SIZE_T dwLength, SIZE_T *pResult);
    /*
     * HmVirtualProtect: *pflOldProtect gets the first page's protection, or 0. E_POINTER for a NULL pflOldProtect, 0x800701E7 for
     * pages that are not committed. Memory that hostmem did not give out is passed to the system.
     */
    HRESULT(STDMETHODCALLTYPE *VirtualProtect)
    (IHostMemoryManager *This, void *lpAddress, SIZE_T dwSize, DWORD flNewProtect, DWORD *pflOldProtect);
    /*
     * *pMemoryLoad gets how much of the memory is in use, 0 to 100 percent, *pAvailableBytes the bytes that can be had without
     * swapping: each that of what is tightest, the machine, its control group, or what the process or this manager may commit. A
     * figure is two seconds old at most. Either pointer may be NULL; both are E_POINTER. Never waits.
     */
    HRESULT(STDMETHODCALLTYPE *GetMemoryLoad)(IHostMemoryManager *This, DWORD *pMemoryLoad, SIZE_T *pAvailableBytes);
    /*
     * Has the callback told of changes (HmUnregisterMemoryNotificationCallback says of which, by whom, and when no more). Adds a
     * reference; one that this manager has already is kept once, and S_OK. Takes turns with others that register or unregister,
     * which takes no time. E_POINTER; E_OUTOFMEMORY, also where there is no thread to be had to call it.
     */
    HRESULT(STDMETHODCALLTYPE *RegisterMemoryNotificationCallback)
    (IHostMemoryManager *This, ICLRMemoryNotificationCallback *pCallback);
    /*
     * The CLR could not map `size` bytes (0: it does not say) at startAddress (NULL: anywhere), and asks for address space. Gives
     * back what HmTrim does, and then the free end of a region: all from startAddress on if that is in one, else as many bytes in
     * one piece, anywhere. S_OK: some was given, try again. E_OUTOFMEMORY: there is none to give; of more than 4 GiB there never
     * is. What hostmem's own threads are giving back at that moment is waited for, some milliseconds at most.
     */
    HRESULT(STDMETHODCALLTYPE *NeedsVirtualAddressSpace)(IHostMemoryManager *This, LPVOID startAddress, SIZE_T size);
    /*
     * The CLR has mapped a view of a file, of `size` bytes; 0 is fine. The same startAddress again means that its size is another
     * now. Views are counted (HM_STATS.cViews, cbViews) until they are released or the manager goes, and count for no limit. A
     * startAddress of NULL is no view: S_OK. E_OUTOFMEMORY: it could not be noted.
     */
    HRESULT(STDMETHODCALLTYPE *AcquiredVirtualAddressSpace)(IHostMemoryManager *This, LPVOID startAddress, SIZE_T size);
    /* That view has gone. S_OK always, for one that this manager does not know, too. */
    HRESULT(STDMETHODCALLTYPE *ReleasedVirtualAddressSpace)(IHostMemoryManager *This, LPVOID startAddress);
} IHostMemoryManagerVtbl;
struct IHostMemoryManager {
    const IHostMemoryManagerVtbl *lpVtbl;
};
#endif

#ifndef __IHostControl_INTERFACE_DEFINED__
#define __IHostControl_INTERFACE_DEFINED__
typedef struct IHostControl IHostControl;

/* By which a CLR finds its host's managers. HmCreateHostControl puts hostmem's in front of a host's own control, or of none. */
typedef struct IHostControlVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IHostControl *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IHostControl *This);
    /* The last one releases the manager and the next control. */
    ULONG(STDMETHODCALLTYPE *Release)(IHostControl *This);
    /*
     * *ppObject gets the manager with that identifier, with a reference for the caller, or NULL. IID_IHostMemoryManager is
     * hostmem's; for every other the answer is the next control's, or E_NOINTERFACE where there is none. E_POINTER for a NULL
     * ppObject, E_INVALIDARG for a NULL riid.
     */
    HRESULT(STDMETHODCALLTYPE *GetHostManager)(IHostControl *This, REFIID riid, void **ppObject);
    /* Passed to the next control, whose answer it returns; S_OK where there is none. */
    HRESULT(STDMETHODCALLTYPE *SetAppDomainManager)(IHostControl *This, DWORD dwAppDomainID, IUnknown *pUnkAppDomainManager);
} IHostControlVtbl;
struct IHostControl {
    const IHostControlVtbl *lpVtbl;
};
#endif

/* Interface identifiers; static, so that no import library is needed and a Windows SDK's own definitions do not clash. */
#define HM_IID_(name, a, b, c, d0, d1, d2, d3, d4, d5, d6, d7) static const IID name = {a, b, c, {d0, d1, d2, d3, d4, d5, d6, d7}}
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-variable"
#endif
HM_IID_(HM_IID_IUnknown, 0x00000000u, 0x0000, 0x0000, 0xC0, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x46);
HM_IID_(HM_IID_IHostMemoryManager, 0x7BC698D1u, 0xF9E3, 0x4460, 0x9C, 0xDE, 0xD0, 0x42, 0x48, 0xE9, 0xFA, 0x25);
HM_IID_(HM_IID_IHostMalloc, 0x1831991Cu, 0xCC53, 0x4A31, 0xB2, 0x18, 0x04, 0xE9, 0x10, 0x44, 0x64, 0x79);
HM_IID_(HM_IID_ICLRMemoryNotificationCallback, 0x47EB8E57u, 0x0846, 0x4546, 0xAF, 0x76, 0x6F, 0x42, 0xFC, 0xFC, 0x26, 0x49);
HM_IID_(HM_IID_IHostControl, 0x02CA073Cu, 0x7079, 0x4860, 0x88, 0x0A, 0xC2, 0xF7, 0xA4, 0x49, 0xC9, 0x91);
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#undef HM_IID_

/* mscoree.h's own names for them, where no SDK header has declared those. */
#ifndef __mscoree_h__
#define IID_IHostMemoryManager HM_IID_IHostMemoryManager
#define IID_IHostMalloc HM_IID_IHostMalloc
#define IID_ICLRMemoryNotificationCallback HM_IID_ICLRMemoryNotificationCallback
#define IID_IHostControl HM_IID_IHostControl
#ifndef _WIN32
#define IID_IUnknown HM_IID_IUnknown
#endif
#endif

#ifdef __cplusplus
}
#endif
#endif
