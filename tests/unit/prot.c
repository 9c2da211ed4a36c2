/* The page byte: every flProtect there is, against the rules spelled out one by one. */
#include "base/prot.h"

#include "check.h"

static bool base_allowed(DWORD base) {
    return base == PAGE_NOACCESS || base == PAGE_READONLY || base == PAGE_READWRITE || base == PAGE_EXECUTE ||
           base == PAGE_EXECUTE_READ || base == PAGE_EXECUTE_READWRITE;
}

static bool allowed(DWORD protect) {
    DWORD base = protect & 0xff, modifiers = protect & ~0xffu & ~PAGE_TARGETS_INVALID;
    if (!base_allowed(base) || modifiers & ~(PAGE_GUARD | PAGE_NOCACHE | PAGE_WRITECOMBINE)) return false;
    if (base == PAGE_NOACCESS) return modifiers == 0;
    return modifiers == 0 || modifiers == PAGE_GUARD || modifiers == PAGE_NOCACHE || modifiers == PAGE_WRITECOMBINE;
}

static void every_protection(void) {
    for (DWORD low = 0; low < 0x1000; low++) {
        for (int targets = 0; targets < 2; targets++) {
            DWORD protect = low | (targets ? PAGE_TARGETS_INVALID : 0);
            uint8_t state = 0;
            bool taken = prot_from_win32(protect, &state) == ST_OK;
            CHECK_EQ(taken, allowed(protect));
            if (!taken) continue;
            CHECK(prot_committed(state));
            CHECK_EQ(prot_to_win32(state), low);
            CHECK_EQ(prot_to_win32(state | PG_RESET), low);
        }
    }
    uint8_t state;
    CHECK_EQ(prot_from_win32(PAGE_READWRITE | 0x80000000u, &state), ST_BAD_ARGUMENT);
}

int main(void) {
    every_protection();
    CHECK(!prot_committed(PG_NONE));
    CHECK_EQ(prot_to_win32(PG_NONE), 0);
    return check_done();
}
