/*
 * imports.c - leads functions that a module imports elsewhere, by writing into its import table.
 *
 * The module is loaded and nobody runs in it yet.
 */
#include "tools/clr/windows/imports.h"

#include <string.h>

static const struct clr_body *body_named(const char *name) {
    for (size_t at = 0; at < bodies_count; at++) {
        if (strcmp(bodies_table[at].symbol, name) == 0) return &bodies_table[at];
    }
    return NULL;
}

static bool slot_write(void (**slot)(void), void (*body)(void)) {
    DWORD old, ignored;
    if (!VirtualProtect(slot, sizeof *slot, PAGE_READWRITE, &old)) return false;
    *slot = body;
    VirtualProtect(slot, sizeof *slot, old, &ignored);
    return true;
}

int imports_lead(HMODULE module) {
    char *base = (char *)module;
    const IMAGE_NT_HEADERS64 *nt = (const void *)(base + ((const IMAGE_DOS_HEADER *)base)->e_lfanew);
    DWORD rva = nt->OptionalHeader.DataDirectory[IMAGE_DIRECTORY_ENTRY_IMPORT].VirtualAddress;
    int led = 0;
    for (const IMAGE_IMPORT_DESCRIPTOR *from = (const void *)(base + rva); rva != 0 && from->Name != 0; from++) {
        const IMAGE_THUNK_DATA64 *name = (const void *)(base + from->OriginalFirstThunk);
        void (**slot)(void) = (void (**)(void))(base + from->FirstThunk);

        /* The C library of the CLR is not the CLR: only what comes from the system itself is looked at. */
        if (_stricmp(base + from->Name, "kernel32.dll") != 0) continue;
        for (; name->u1.AddressOfData != 0; name++, slot++) {
            const struct clr_body *body;
            if (IMAGE_SNAP_BY_ORDINAL64(name->u1.Ordinal)) continue;
            body = body_named((const char *)((const IMAGE_IMPORT_BY_NAME *)(base + name->u1.AddressOfData))->Name);
            if (body == NULL) continue;
            if (!slot_write(slot, body->body)) return -1;
            led++;
        }
    }
    return led;
}
