/*
 * hostmem_clr.h - the memory interfaces of .NET Framework hosting, in the C form of MSCOREE.IDL.
 *
 * A CLR calls IHostMemoryManager and IHostMalloc; the host implements them. The layouts, the method names and the
 * interface identifiers are those of mscoree.h, and each interface is skipped where that header has declared it already.
 * From C, call `p->lpVtbl->Method(p, ...)`; the same form works from C++ (define CINTERFACE before a Windows SDK header
 * of your own to get it there too).
 *
 * Source: MSCOREE.IDL of dotnet/coreclr (initial public commit) and of the Shared Source CLI 2.0, which agree.
 */
#ifndef HOSTMEM_CLR_H
#define HOSTMEM_CLR_H

#include "hostmem_win32.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What the CLR looks at in a host's answer. */
#ifndef HOST_E_INVALIDOPERATION
#define HOST_E_INVALIDOPERATION ((HRESULT)0x80131022u) /* memory that this manager never gave out */
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

/* How bad a refusal would be: for one task, for one application domain, for the process. */
typedef enum EMemoryCriticalLevel { eTaskCritical = 0, eAppDomainCritical = 1, eProcessCritical = 2 } EMemoryCriticalLevel;

/* What a host tells a CLR about the memory that is left. There is no value 0. */
typedef enum EMemoryAvailable { eMemoryAvailableLow = 1, eMemoryAvailableNeutral = 2, eMemoryAvailableHigh = 3 } EMemoryAvailable;

/* Flags of IHostMemoryManager::CreateMalloc. */
typedef enum MALLOC_TYPE {
    MALLOC_THREADSAFE = 0x1, /* callers do not serialise */
    MALLOC_EXECUTABLE = 0x2  /* the blocks can hold code */
} MALLOC_TYPE;

#define __ICLRMemoryNotificationCallback_INTERFACE_DEFINED__
typedef struct ICLRMemoryNotificationCallback ICLRMemoryNotificationCallback;
typedef struct ICLRMemoryNotificationCallbackVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(ICLRMemoryNotificationCallback *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(ICLRMemoryNotificationCallback *This);
    ULONG(STDMETHODCALLTYPE *Release)(ICLRMemoryNotificationCallback *This);
    /* Never blocks. */
    HRESULT(STDMETHODCALLTYPE *OnMemoryNotification)(ICLRMemoryNotificationCallback *This, EMemoryAvailable eMemoryAvailable);
} ICLRMemoryNotificationCallbackVtbl;
struct ICLRMemoryNotificationCallback {
    const ICLRMemoryNotificationCallbackVtbl *lpVtbl;
};
#endif

#ifndef __IHostMalloc_INTERFACE_DEFINED__
#define __IHostMalloc_INTERFACE_DEFINED__
typedef struct IHostMalloc IHostMalloc;
typedef struct IHostMallocVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IHostMalloc *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IHostMalloc *This);
    ULONG(STDMETHODCALLTYPE *Release)(IHostMalloc *This);
    /* cbSize bytes, aligned to 16, not zeroed. *ppMem is written whatever the answer: the block, or NULL. */
    HRESULT(STDMETHODCALLTYPE *Alloc)(IHostMalloc *This, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel, void **ppMem);
    /* The same, with the place of the request for a leak report. */
    HRESULT(STDMETHODCALLTYPE *DebugAlloc)
    (IHostMalloc *This, SIZE_T cbSize, EMemoryCriticalLevel eCriticalLevel, char *pszFileName, int iLineNo, void **ppMem);
    /* NULL is fine; a block that this heap did not give out is HOST_E_INVALIDOPERATION. Freeing twice: see HmHeapFree. */
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
typedef struct IHostMemoryManagerVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IHostMemoryManager *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IHostMemoryManager *This);
    ULONG(STDMETHODCALLTYPE *Release)(IHostMemoryManager *This);
    HRESULT(STDMETHODCALLTYPE *CreateMalloc)(IHostMemoryManager *This, DWORD dwMallocType, IHostMalloc **ppMalloc);
    HRESULT(STDMETHODCALLTYPE *VirtualAlloc)
    (IHostMemoryManager *This, void *pAddress, SIZE_T dwSize, DWORD flAllocationType, DWORD flProtect,
     EMemoryCriticalLevel eCriticalLevel, void **ppMem);
    HRESULT(STDMETHODCALLTYPE *VirtualFree)(IHostMemoryManager *This, LPVOID lpAddress, SIZE_T dwSize, DWORD dwFreeType);
    HRESULT(STDMETHODCALLTYPE *VirtualQuery)
    (IHostMemoryManager *This, void *lpAddress, void *lpBuffer, SIZE_T dwLength, SIZE_T *pResult);
    HRESULT(STDMETHODCALLTYPE *VirtualProtect)
    (IHostMemoryManager *This, void *lpAddress, SIZE_T dwSize, DWORD flNewProtect, DWORD *pflOldProtect);
    HRESULT(STDMETHODCALLTYPE *GetMemoryLoad)(IHostMemoryManager *This, DWORD *pMemoryLoad, SIZE_T *pAvailableBytes);
    HRESULT(STDMETHODCALLTYPE *RegisterMemoryNotificationCallback)
    (IHostMemoryManager *This, ICLRMemoryNotificationCallback *pCallback);
    HRESULT(STDMETHODCALLTYPE *NeedsVirtualAddressSpace)(IHostMemoryManager *This, LPVOID startAddress, SIZE_T size);
    HRESULT(STDMETHODCALLTYPE *AcquiredVirtualAddressSpace)(IHostMemoryManager *This, LPVOID startAddress, SIZE_T size);
    HRESULT(STDMETHODCALLTYPE *ReleasedVirtualAddressSpace)(IHostMemoryManager *This, LPVOID startAddress);
} IHostMemoryManagerVtbl;
struct IHostMemoryManager {
    const IHostMemoryManagerVtbl *lpVtbl;
};
#endif

#ifndef __IHostControl_INTERFACE_DEFINED__
#define __IHostControl_INTERFACE_DEFINED__
typedef struct IHostControl IHostControl;
typedef struct IHostControlVtbl {
    HRESULT(STDMETHODCALLTYPE *QueryInterface)(IHostControl *This, REFIID riid, void **ppvObject);
    ULONG(STDMETHODCALLTYPE *AddRef)(IHostControl *This);
    ULONG(STDMETHODCALLTYPE *Release)(IHostControl *This);
    HRESULT(STDMETHODCALLTYPE *GetHostManager)(IHostControl *This, REFIID riid, void **ppObject);
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
