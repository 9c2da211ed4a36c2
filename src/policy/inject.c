/*
 * inject.c - choosing the requests that fail.
 *
 * A request that is large enough and of a low enough level is eligible, and counted. Of the eligible ones the n-th fails, or a
 * fraction, spread by a fixed sequence of pseudo-random numbers, or all.
 *
 * Settings are plain numbers, each stored at once; a request that is judged while they change may be judged by old and new ones
 * mixed. The switch is stored last when they are set, and first when they go.
 */
#include "policy/inject.h"

#include "core/settings.h"
#include "os/os.h"

#define LEVELS 3u
#define MILLION 1000000u

uint32_t inject_plain_levels = LEVELS;

static struct {
    uint64_t nth;
    uint64_t per_million;
    uint64_t least_bytes;
    uint64_t levels; /* how many, from the lowest */
    uint64_t eligible;
} inject;

static uint32_t environment_read;

/* A number that looks random and depends on n alone (splitmix64's mixer). */
static uint64_t mixed(uint64_t n) {
    uint64_t z = n * 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

enum status inject_judge(EMemoryCriticalLevel level, size_t size_bytes) {
    if ((uint32_t)level >= LEVELS) return ST_BAD_ARGUMENT;
    /* rlx, all of them: see above. */
    if (atom_load_rlx_u32(&inject_plain_levels) == LEVELS) return ST_OK;
    if ((uint32_t)level >= atom_load_rlx_u64(&inject.levels) || size_bytes < atom_load_rlx_u64(&inject.least_bytes)) return ST_OK;
    uint64_t n = atom_add_acqrel_u64(&inject.eligible, 1) + 1;
    uint64_t nth = atom_load_rlx_u64(&inject.nth), per_million = atom_load_rlx_u64(&inject.per_million);
    bool fails = nth ? n == nth : per_million == 0 || mixed(n) % MILLION < per_million;
    return fails ? ST_NO_MEMORY : ST_OK;
}

enum status inject_set(const HM_FAULTS *faults) {
    if (faults && (faults->cbSize != sizeof *faults || faults->dwPerMillion > MILLION || faults->dwBelowLevel > LEVELS)) {
        return ST_BAD_ARGUMENT;
    }
    if (faults && faults->cNth && faults->dwPerMillion) return ST_BAD_ARGUMENT; /* which of the two? */
    atom_store_rel_u32(&inject_plain_levels, LEVELS);
    atom_store_rlx_u64(&inject.eligible, 0);
    if (!faults) return ST_OK;
    atom_store_rlx_u64(&inject.nth, faults->cNth);
    atom_store_rlx_u64(&inject.per_million, faults->dwPerMillion);
    atom_store_rlx_u64(&inject.least_bytes, faults->cbLeast);
    atom_store_rlx_u64(&inject.levels, faults->dwBelowLevel ? faults->dwBelowLevel : LEVELS);
    atom_store_rel_u32(&inject_plain_levels, 0); /* rel: the settings are there */
    return ST_OK;
}

/* What is past the most that can be meant counts as not set, as what cannot be read. */
static DWORD setting_up_to(const char *name, DWORD most) {
    uint64_t value = setting(name);
    return value <= most ? (DWORD)value : 0;
}

void inject_read_environment(void) {
    uint32_t seen = 0;
    if (!atom_cas_acqrel_u32(&environment_read, &seen, 1)) return;
    HM_FAULTS faults = {
        .cbSize = sizeof faults,
        .cNth = setting("HOSTMEM_FAIL_NTH"),
        .cbLeast = setting("HOSTMEM_FAIL_LEAST"),
        .dwPerMillion = setting_up_to("HOSTMEM_FAIL_PER_MILLION", MILLION),
        .dwBelowLevel = setting_up_to("HOSTMEM_FAIL_BELOW_LEVEL", LEVELS),
    };
    if (faults.cNth || faults.cbLeast || faults.dwPerMillion || faults.dwBelowLevel) inject_set(&faults);
}
