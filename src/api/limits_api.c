/*
 * limits_api.c - the exported HmSetLimits, HmGetLimits and HmSetFaults.
 */
#include "com/com.h"
#include "heap/heap.h"
#include "policy/limits.h"
#include "policy/pressure.h"
#include "vm/query.h"

/* Is there a word to be read, which may be an interface's? Where the system has no answer, it is taken for one. */
static bool may_be_interface(const void *of) {
    MEMORY_BASIC_INFORMATION info;
    size_t written;
    if ((uintptr_t)of % sizeof(void *) != 0) return false;
    enum status status = vm_query((uintptr_t)of, &info, sizeof info, &written);
    if (status != ST_OK) return status == ST_NO_RESOURCES;
    return info.State == MEM_COMMIT && !(info.Protect & (PAGE_NOACCESS | PAGE_GUARD | PAGE_EXECUTE));
}

/* Whose budget a caller means; NULL if it is nobody's. */
static struct budget *budget_meant(void *of) {
    if (of == NULL) return &budget_process;
    struct heap *heap = heap_of_handle(of);
    if (heap != NULL) return heap_budget(heap);
    if (!may_be_interface(of)) return NULL;
    struct budget *budget = manager_budget(of);
    return budget != NULL ? budget : malloc_budget(of);
}

HRESULT WINAPI HmSetLimits(void *of, const HM_LIMITS *limits) {
    if (limits == NULL) return com_answer(ST_NOT_WRITABLE);
    struct budget *budget = budget_meant(of);
    enum status status = budget == NULL ? ST_BAD_ARGUMENT : limits_set(budget, limits);
    if (status == ST_OK) pressure_update(); /* limits hold without the thread that watches them, too */
    return com_answer(status);
}

HRESULT WINAPI HmGetLimits(void *of, HM_LIMITS *limits, HM_USAGE *usage) {
    struct budget *budget = budget_meant(of);
    return com_answer(budget == NULL ? ST_BAD_ARGUMENT : limits_get(budget, limits, usage));
}

HRESULT WINAPI HmSetFaults(const HM_FAULTS *faults) { return com_answer(inject_set(faults)); }
