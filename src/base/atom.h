/*
 * atom.h - every atomic operation of the engine, and the only file that names one.
 *
 * The memory order is part of the name, so that a reader sees it where it is used and must say there what it pairs with:
 *   _rlx   only atomic: a stale value is harmless
 *   _acq   a load that sees a _rel store also sees what was written before that store
 *   _rel   a store that publishes what was written before it
 *   _acqrel  a read-modify-write that does both
 *
 * On x86-64 each read-modify-write is a full barrier as well, one whose comparison fails too: what is loaded after it was not
 * loaded before it. Proofs that need this say "full barrier".
 *
 * Three backends give the same functions:
 *   Concurrency Kit's ck_pr   the release build. On x86-64 a plain load is an acquire and a plain store a release, and each
 *                             ck_pr operation is a barrier to the compiler as well, which is all that remains to be said.
 *   __atomic builtins         HM_ATOM_BUILTIN: ThreadSanitizer understands these, and not the inline assembly of ck_pr.
 *   the explorer              HM_ATOM_MODEL: each operation hands control to tests/model/explore.c, which runs the production
 *                             file under every interleaving.
 *
 * Everything below is made by one macro per width; the functions are atom_<op>_<order>_<width>, widths u8 u32 u64
 * (a shared pointer is kept as a u64):
 *   load_rlx load_acq store_rlx store_rel            any width
 *   cas_acqrel(target, &expected, desired)           true if stored; else expected receives the value found
 *   add_acqrel(target, delta)                        returns the value before; u32 and u64
 *   load_own store_own                               u64, of a word that one thread and its signal handlers write and others
 *                                                    glance at: acquire and release, which on x86-64 is plain; so the release
 *                                                    build lets the compiler see them, and atom_signal_fence keeps them in order
 */
#ifndef HM_ATOM_H
#define HM_ATOM_H

#include <stdbool.h>
#include <stdint.h>

#if defined(HM_ATOM_MODEL)

/* Implemented by the explorer. width is in bytes; order is 'r' relaxed, 'a' acquire, 'l' release, 'b' both. */
uint64_t model_load(const void *target, int width, char order);
void model_store(void *target, uint64_t value, int width, char order);
bool model_cas(void *target, uint64_t *expected, uint64_t desired, int width);
uint64_t model_add(void *target, uint64_t delta, int width);
void model_pause(void); /* the thread waits for another: run someone else first */

#define ATOM_DEFINE_(w, type, ck) \
    static inline type atom_load_rlx_##w(const type *t) { return (type)model_load(t, sizeof(type), 'r'); } \
    static inline type atom_load_acq_##w(const type *t) { return (type)model_load(t, sizeof(type), 'a'); } \
    static inline void atom_store_rlx_##w(type *t, type v) { model_store(t, v, sizeof(type), 'r'); } \
    static inline void atom_store_rel_##w(type *t, type v) { model_store(t, v, sizeof(type), 'l'); } \
    static inline bool atom_cas_acqrel_##w(type *t, type *expected, type desired) { \
        uint64_t seen = *expected; \
        bool stored = model_cas(t, &seen, desired, sizeof(type)); \
        *expected = (type)seen; \
        return stored; \
    }
#define ATOM_DEFINE_ADD_(w, type, ck) \
    static inline type atom_add_acqrel_##w(type *t, type delta) { return (type)model_add(t, delta, sizeof(type)); }

static inline uint64_t atom_load_own_u64(const uint64_t *t) { return model_load(t, sizeof *t, 'a'); }
static inline void atom_store_own_u64(uint64_t *t, uint64_t v) { model_store(t, v, sizeof *t, 'l'); }
static inline void atom_pause(void) { model_pause(); }

#elif defined(HM_ATOM_BUILTIN)

#define ATOM_DEFINE_(w, type, ck) \
    static inline type atom_load_rlx_##w(const type *t) { return __atomic_load_n(t, __ATOMIC_RELAXED); } \
    static inline type atom_load_acq_##w(const type *t) { return __atomic_load_n(t, __ATOMIC_ACQUIRE); } \
    static inline void atom_store_rlx_##w(type *t, type v) { __atomic_store_n(t, v, __ATOMIC_RELAXED); } \
    static inline void atom_store_rel_##w(type *t, type v) { __atomic_store_n(t, v, __ATOMIC_RELEASE); } \
    static inline bool atom_cas_acqrel_##w(type *t, type *expected, type desired) { \
        return __atomic_compare_exchange_n(t, expected, desired, false, __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE); \
    }
#define ATOM_DEFINE_ADD_(w, type, ck) \
    static inline type atom_add_acqrel_##w(type *t, type delta) { return __atomic_fetch_add(t, delta, __ATOMIC_ACQ_REL); }

static inline uint64_t atom_load_own_u64(const uint64_t *t) { return __atomic_load_n(t, __ATOMIC_ACQUIRE); }
static inline void atom_store_own_u64(uint64_t *t, uint64_t v) { __atomic_store_n(t, v, __ATOMIC_RELEASE); }
static inline void atom_pause(void) { __builtin_ia32_pause(); }

#else

#include <ck_pr.h>

#define ATOM_DEFINE_(w, type, ck) \
    static inline type atom_load_rlx_##w(const type *t) { return ck_pr_load_##ck(t); } \
    static inline type atom_load_acq_##w(const type *t) { return ck_pr_load_##ck(t); } \
    static inline void atom_store_rlx_##w(type *t, type v) { ck_pr_store_##ck(t, v); } \
    static inline void atom_store_rel_##w(type *t, type v) { ck_pr_store_##ck(t, v); } \
    static inline bool atom_cas_acqrel_##w(type *t, type *expected, type desired) { \
        return ck_pr_cas_##ck##_value(t, *expected, desired, expected); \
    }
#define ATOM_DEFINE_ADD_(w, type, ck) \
    static inline type atom_add_acqrel_##w(type *t, type delta) { return ck_pr_faa_##ck(t, delta); }

/* An aligned word is read and written whole on x86-64. */
static inline uint64_t atom_load_own_u64(const uint64_t *t) { return *t; }
static inline void atom_store_own_u64(uint64_t *t, uint64_t v) { *t = v; }
static inline void atom_pause(void) { ck_pr_stall(); }

#endif

/* Keeps the compiler from moving memory accesses across: a signal handler of the same thread sees them in this order. */
static inline void atom_signal_fence(void) { __asm__ volatile("" ::: "memory"); }

ATOM_DEFINE_(u8, uint8_t, 8)
ATOM_DEFINE_(u32, uint32_t, 32)
ATOM_DEFINE_(u64, uint64_t, 64)
ATOM_DEFINE_ADD_(u32, uint32_t, 32)
ATOM_DEFINE_ADD_(u64, uint64_t, 64)

/*
 * Lowers a bound, of which 0 means that there is none yet: of all values given the tightest holds. 0 changes nothing. Returns
 * whether it is lower now.
 */
static inline bool atom_tighten_u64(uint64_t *bound, uint64_t value) {
    uint64_t seen = atom_load_rlx_u64(bound); /* rlx: the CAS decides */
    while (value && (!seen || value < seen)) {
        if (atom_cas_acqrel_u64(bound, &seen, value)) return true;
    }
    return false;
}

#endif
