/*
 * The explorer's own test: it finds each kind of planted fault, accepts the same code without the fault, and counts the
 * interleavings that there are. That it prunes only what makes no difference is pruning.c's.
 */
#include "check.h"
#include "explore.h"

#include <string.h>

static struct {
    uint64_t a, b, flag, lock, other_lock, turn;
    uint64_t data;
    uint64_t result[MODEL_THREADS];
    uint64_t link[4];
} m;

static void set_up(void) { memset(&m, 0, sizeof m); }

/* Counting: how many interleavings differ is known. */

static void add_three(int me) {
    (void)me;
    for (int i = 0; i < 3; i++) atom_add_acqrel_u64(&m.a, 1);
}

static void add_apart(int me) {
    for (int i = 0; i < 3; i++) atom_add_acqrel_u64(me ? &m.a : &m.b, 1);
}

static void load_three(int me) {
    for (int i = 0; i < 3; i++) m.result[me] += atom_load_acq_u64(&m.a);
}

static void test_counts(void) {
    static const struct {
        const char *name;
        int threads;
        void (*thread)(int);
        uint64_t interleavings;
    } rows[] = {
        {"count: 2 threads, 3 dependent steps each", 2, add_three, 20},
        {"count: 3 threads, 3 dependent steps each", 3, add_three, 1680},
        {"count: 2 threads on memory of their own", 2, add_apart, 1},
        {"count: 4 threads that only read", 4, load_three, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct model model = {.name = rows[i].name, .threads = rows[i].threads, .setup = set_up, .thread = rows[i].thread};
        CHECK(model_passes(&model));
        CHECK_EQ(model_interleavings(), rows[i].interleavings);
    }
}

/* A read-modify-write that is not one. */

static void add_torn(int me) {
    (void)me;
    uint64_t seen = atom_load_acq_u64(&m.a);
    atom_store_rel_u64(&m.a, seen + 1);
}

static void add_whole(int me) {
    (void)me;
    uint64_t seen = atom_load_rlx_u64(&m.a);
    while (!atom_cas_acqrel_u64(&m.a, &seen, seen + 1)) continue;
}

static void check_two(void) { MODEL_HOLDS(m.a == 2); }

/* Message passing: the orders decide whether it is a race. */

static void pass(int me, bool released, bool acquired) {
    if (me == 0) {
        model_data_write(&m.data);
        m.data = 42;
        if (released) atom_store_rel_u64(&m.flag, 1);
        else atom_store_rlx_u64(&m.flag, 1);
        return;
    }
    uint64_t flag = acquired ? atom_load_acq_u64(&m.flag) : atom_load_rlx_u64(&m.flag);
    if (flag == 0) return;
    model_data_read(&m.data);
    MODEL_HOLDS(m.data == 42);
}

static void pass_right(int me) { pass(me, true, true); }
static void pass_unreleased(int me) { pass(me, false, true); }
static void pass_unacquired(int me) { pass(me, true, false); }

/* The writer goes on after it has released. */
static void pass_too_much(int me) {
    pass(me, true, true);
    if (me == 0) model_data_write(&m.data);
}

/* A reader gives way to a writer: the read comes first in every interleaving, but nothing says that it is done. */
static void give_way(int me, bool released) {
    if (me == 0) {
        model_data_read(&m.data);
        if (released) atom_store_rel_u64(&m.flag, 1);
        else atom_store_rlx_u64(&m.flag, 1);
    } else if (atom_load_acq_u64(&m.flag) == 1) {
        model_data_write(&m.data);
    }
}

static void give_way_released(int me) { give_way(me, true); }
static void give_way_relaxed(int me) { give_way(me, false); }

/* The flag goes through a third thread: a CAS carries the release on, a store does not. */
static void relay(int me, bool by_cas) {
    if (me != 1) {
        if (me == 0 || atom_load_acq_u64(&m.flag) == 2) pass(me, true, true);
        return;
    }
    uint64_t seen = atom_load_rlx_u64(&m.flag);
    if (seen != 1) return;
    if (by_cas) atom_cas_acqrel_u64(&m.flag, &seen, 2);
    else atom_store_rlx_u64(&m.flag, 2);
}

static void relay_cas(int me) { relay(me, true); }
static void relay_store(int me) { relay(me, false); }

/* Each raises a flag and looks at the other's: on x86 both may miss the other, because a store is not seen at once. */

static void flags_plain(int me) {
    atom_store_rel_u64(me ? &m.a : &m.b, 1);
    m.result[me] = atom_load_acq_u64(me ? &m.b : &m.a);
}

static void flags_strong(int me) {
    atom_add_acqrel_u64(me ? &m.a : &m.b, 1);
    m.result[me] = atom_load_acq_u64(me ? &m.b : &m.a);
}

/* A read-modify-write of anything makes the store before it seen. */
static void flags_fenced(int me) {
    atom_store_rel_u64(me ? &m.a : &m.b, 1);
    atom_add_acqrel_u64(&m.link[me], 1);
    m.result[me] = atom_load_acq_u64(me ? &m.b : &m.a);
}

/* So does a barrier that one of them puts into both: thread 0 is in at most while thread 1 keeps out, and the reverse. */
static void enter(int me, bool barrier, bool released) {
    if (me == 0) {
        atom_store_rel_u64(&m.a, 1);
        if (atom_load_acq_u64(&m.b) == 0) {
            atom_load_rlx_u64(&m.link[0]); /* a step, so that the barrier may come before the write */
            model_data_write(&m.data);
        }
        if (released) atom_store_rel_u64(&m.a, 0);
        else atom_store_rlx_u64(&m.a, 0);
    } else {
        atom_store_rel_u64(&m.b, 1);
        if (barrier) model_barrier();
        if (atom_load_acq_u64(&m.a) == 0) model_data_write(&m.data);
    }
}

static void enter_barred(int me) { enter(me, true, true); }
static void enter_unbarred(int me) { enter(me, false, true); }
static void enter_unreleased(int me) { enter(me, true, false); }

/* A thread sees its own stores at once, newest first, in parts too. */
static void see_own(int me) {
    uint64_t *word = &m.link[me];
    atom_store_rlx_u64(word, 0x1111);
    atom_store_rlx_u64(word, 0x2222);
    atom_store_rlx_u8((uint8_t *)word + 1, 0x33);
    MODEL_HOLDS(atom_load_rlx_u64(word) == 0x3322);
    MODEL_HOLDS(atom_load_rlx_u8((uint8_t *)word + 1) == 0x33);
    m.result[me] = atom_load_rlx_u64(&m.link[1 - me]);
    MODEL_HOLDS(m.result[me] == 0 || m.result[me] == 0x1111 || m.result[me] == 0x2222 || m.result[me] == 0x3322);
}

static void check_flags(void) { MODEL_HOLDS(m.result[0] + m.result[1] > 0); }

/* Locks. */

static void lock(uint64_t *word) {
    uint64_t seen = 0;
    while (!atom_cas_acqrel_u64(word, &seen, 1)) {
        atom_pause();
        seen = 0;
    }
}

static void locked_add(int me) {
    (void)me;
    lock(&m.lock);
    model_data_write(&m.data);
    m.data++;
    atom_store_rel_u64(&m.lock, 0);
}

static void locked_add_relaxed(int me) {
    (void)me;
    lock(&m.lock);
    model_data_write(&m.data);
    m.data++;
    atom_store_rlx_u64(&m.lock, 0);
}

/* Waits for a flag by looking at it. */
static void wait_for_flag(int me) {
    if (me == 0) {
        model_data_write(&m.data);
        m.data = 2;
        atom_store_rel_u64(&m.flag, 1);
        return;
    }
    while (atom_load_acq_u64(&m.flag) == 0) atom_pause();
    model_data_read(&m.data);
    MODEL_HOLDS(m.data == 2);
}

/* Nobody ever raises the flag. */
static void wait_for_nothing(int me) {
    if (me == 0) atom_store_rel_u64(&m.turn, 1);
    else wait_for_flag(me);
}

static void check_data_two(void) { MODEL_HOLDS(m.data == 2); }

static void lock_crosswise(int me) {
    lock(me ? &m.lock : &m.other_lock);
    lock(me ? &m.other_lock : &m.lock);
    atom_store_rel_u64(&m.lock, 0);
    atom_store_rel_u64(&m.other_lock, 0);
}

static void spin_without_pause(int me) {
    if (me == 0) atom_store_rel_u64(&m.flag, 1);
    else while (atom_load_acq_u64(&m.flag) == 0) continue;
}

/* A claim of two bits in two words; with a fault: what was set stays when the second is taken. */

static bool claim_bit(uint64_t *word) {
    uint64_t seen = atom_load_rlx_u64(word);
    while ((seen & 1) == 0) {
        if (atom_cas_acqrel_u64(word, &seen, seen | 1)) return true;
    }
    return false;
}

static void claim_two(int me, bool rolls_back) {
    if (me == 0) {
        m.result[0] = claim_bit(&m.b);
        return;
    }
    if (!claim_bit(&m.a)) return;
    if (claim_bit(&m.b)) m.result[1] = 1;
    else if (rolls_back) atom_add_acqrel_u64(&m.a, (uint64_t)-1);
}

static void claim_rolling(int me) { claim_two(me, true); }
static void claim_leaving(int me) { claim_two(me, false); }

static void check_claims(void) {
    MODEL_HOLDS(m.result[0] + m.result[1] == 1);
    MODEL_HOLDS(m.a == m.result[1] && m.b == 1);
}

/* A stack of linked numbers: pop reads the top's link and swaps it in. One popped and pushed again meanwhile fools the CAS. */

static uint64_t stack_pop(bool tagged) {
    uint64_t top = atom_load_acq_u64(&m.turn);
    while ((top & 0xff) != 0) {
        uint64_t next = atom_load_rlx_u64(&m.link[top & 0xff]) | (tagged ? (top & ~(uint64_t)0xff) + 0x100 : 0);
        if (atom_cas_acqrel_u64(&m.turn, &top, next)) return top & 0xff;
    }
    return 0;
}

static void stack_push(uint64_t number, bool tagged) {
    uint64_t top = atom_load_rlx_u64(&m.turn);
    do {
        atom_store_rlx_u64(&m.link[number], top & 0xff);
    } while (!atom_cas_acqrel_u64(&m.turn, &top, number | (tagged ? (top & ~(uint64_t)0xff) + 0x100 : 0)));
}

static void stack_set_up(void) {
    set_up();
    m.turn = 1;
    m.link[1] = 2;
}

static void stack_use(int me, bool tagged) {
    uint64_t first = stack_pop(tagged);
    m.result[me] = first;
    if (me == 0) return;
    uint64_t second = stack_pop(tagged);
    m.result[2] = second;
    if (first == 0) return;
    m.result[1] = 0;
    stack_push(first, tagged);
}

static void stack_untagged(int me) { stack_use(me, false); }
static void stack_tagged(int me) { stack_use(me, true); }

/* Every number is in one place: held by a thread, or once in the stack. */
static void check_stack(void) {
    unsigned places[3] = {0};
    for (int i = 0; i < 3; i++) places[m.result[i]]++;
    uint64_t at = m.turn & 0xff;
    for (int i = 0; i < 4 && at != 0; i++, at = m.link[at]) places[at]++;
    MODEL_HOLDS(places[1] == 1 && places[2] == 1);
}

static const struct {
    struct model model;
    enum model_fault fault;
} cases[] = {
    {{"torn read-modify-write", 2, 0, set_up, add_torn, check_two}, FAULT_CHECK},
    {{"torn read-modify-write", 2, MODEL_MERGE, set_up, add_torn, check_two}, FAULT_CHECK},
    {{"whole read-modify-write", 2, MODEL_NOBODY_WAITS, set_up, add_whole, check_two}, FAULT_NONE},
    {{"message passing", 2, 0, set_up, pass_right, NULL}, FAULT_NONE},
    {{"message passing", 2, MODEL_TSO, set_up, pass_right, NULL}, FAULT_NONE},
    {{"message passing, relaxed store", 2, 0, set_up, pass_unreleased, NULL}, FAULT_RACE},
    {{"message passing, relaxed load", 2, 0, set_up, pass_unacquired, NULL}, FAULT_RACE},
    {{"message passing, relaxed store", 2, MODEL_TSO, set_up, pass_unreleased, NULL}, FAULT_RACE},
    {{"message passing, a write too late", 2, 0, set_up, pass_too_much, NULL}, FAULT_RACE},
    {{"a reader gives way", 2, 0, set_up, give_way_released, NULL}, FAULT_NONE},
    {{"a reader gives way, relaxed", 2, 0, set_up, give_way_relaxed, NULL}, FAULT_RACE},
    {{"release carried on by a CAS", 3, 0, set_up, relay_cas, NULL}, FAULT_NONE},
    {{"release cut off by a store", 3, 0, set_up, relay_store, NULL}, FAULT_RACE},
    {{"raised flags", 2, 0, set_up, flags_plain, check_flags}, FAULT_NONE},
    {{"raised flags", 2, MODEL_TSO, set_up, flags_plain, check_flags}, FAULT_CHECK},
    {{"raised flags", 2, MODEL_TSO | MODEL_MERGE, set_up, flags_plain, check_flags}, FAULT_CHECK},
    {{"flags raised by read-modify-writes", 2, MODEL_TSO, set_up, flags_strong, check_flags}, FAULT_NONE},
    {{"flags with a read-modify-write after", 2, MODEL_TSO, set_up, flags_fenced, check_flags}, FAULT_NONE},
    {{"another's barrier", 2, MODEL_TSO | MODEL_NOBODY_WAITS, set_up, enter_barred, NULL}, FAULT_NONE},
    {{"another's barrier left out", 2, MODEL_TSO, set_up, enter_unbarred, NULL}, FAULT_RACE},
    {{"another's barrier, relaxed leaving", 2, MODEL_TSO, set_up, enter_unreleased, NULL}, FAULT_RACE},
    {{"a thread's own stores", 2, MODEL_TSO, set_up, see_own, NULL}, FAULT_NONE},
    {{"waiting for a flag", 2, MODEL_TSO, set_up, wait_for_flag, check_data_two}, FAULT_NONE},
    {{"waiting for a flag nobody raises", 2, MODEL_TSO, set_up, wait_for_nothing, NULL}, FAULT_DEADLOCK},
    {{"waiting for a flag, its raiser frozen", 2, MODEL_NOBODY_WAITS, set_up, wait_for_flag, NULL}, FAULT_WAITS},
    {{"lock", 2, MODEL_TSO, set_up, locked_add, check_data_two}, FAULT_NONE},
    {{"lock, relaxed unlock", 2, 0, set_up, locked_add_relaxed, check_data_two}, FAULT_RACE},
    {{"lock, holder frozen", 3, MODEL_NOBODY_WAITS, set_up, locked_add, NULL}, FAULT_WAITS},
    {{"locks taken crosswise", 2, 0, set_up, lock_crosswise, NULL}, FAULT_DEADLOCK},
    {{"spinning without a pause", 2, 0, set_up, spin_without_pause, NULL}, FAULT_ENDLESS},
    {{"claim with rollback", 2, MODEL_NOBODY_WAITS, set_up, claim_rolling, check_claims}, FAULT_NONE},
    {{"claim without rollback", 2, 0, set_up, claim_leaving, check_claims}, FAULT_CHECK},
    {{"claim without rollback", 2, MODEL_MERGE, set_up, claim_leaving, check_claims}, FAULT_CHECK},
    {{"stack with tags", 2, 0, stack_set_up, stack_tagged, check_stack}, FAULT_NONE},
    {{"stack without tags (ABA)", 2, 0, stack_set_up, stack_untagged, check_stack}, FAULT_CHECK},
    {{"stack without tags (ABA)", 2, MODEL_MERGE | MODEL_TSO, stack_set_up, stack_untagged, check_stack}, FAULT_CHECK},
    {{"annotated data with merging", 2, MODEL_MERGE, set_up, locked_add, NULL}, FAULT_UNFINISHED},
};

static void test_planted(void) {
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (cases[i].fault == FAULT_NONE) CHECK(model_passes(&cases[i].model));
        else CHECK(model_finds(&cases[i].model, cases[i].fault));
    }
}

int main(void) {
    test_counts();
    test_planted();
    return check_done();
}
