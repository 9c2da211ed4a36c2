/*
 * depot.c - packets of blocks, and stacks of packets.
 *
 * Packets stand in a table that is never unmapped, known by their numbers from 1. A packet is on one stack: of the free packets,
 * or of a depot. A stack is one word: the number of its top packet, how many there are, and a version that each change
 * counts up; so a pop that read the next packet's number of a top that has gone and come back fails, and tries again.
 *
 * Invariant: whoever has popped a packet has it alone until it pushes it.
 */
#include "heap/depot.h"

#include <string.h>

#include "core/cache.h"
#include "core/table.h"
#include "heap/heap_inside.h"

#define PACKETS 16384u
#define PACKET_BLOCKS 62u
#define DEPOT_BYTES ((size_t)4 << 20) /* of blocks, in one depot */
#define DEPOT_SHARE 64u /* ... and no larger part of what all threads may keep at hand; for all depots see cache_depots_take */
#define DEPOT_PACKETS 1024u
#define BLOCK_MOST ((size_t)32 << 10)

struct packet {
    uint64_t next; /* the number of the packet below, 0 for none */
    uint64_t count;
    void *block[PACKET_BLOCKS];
};

/* number:16, depth:16, version:32 */
static uint64_t stack_top(uint64_t stack) { return stack & 0xffff; }
static uint64_t stack_depth(uint64_t stack) { return stack >> 16 & 0xffff; }
static uint64_t stack_make(uint64_t before, uint64_t top, uint64_t depth) {
    return ((before >> 32) + 1) << 32 | depth << 16 | top;
}

static uint64_t packet_table;  /* struct packet[PACKETS], 0 until it is needed */
static uint64_t packets_free;  /* a stack */
static uint64_t packets_fresh; /* so many have never been used */

static struct packet *packet_at(uint64_t number) {
    return (struct packet *)(uintptr_t)atom_load_acq_u64(&packet_table) + (number - 1); /* acq: as in table_once */
}

static void stack_push(uint64_t *stack, uint64_t number) {
    uint64_t seen = atom_load_rlx_u64(stack); /* rlx: the CAS compares it again */
    do {
        atom_store_rlx_u64(&packet_at(number)->next, stack_top(seen)); /* rlx: published by the CAS */
    } while (!atom_cas_acqrel_u64(stack, &seen, stack_make(seen, number, stack_depth(seen) + 1)));
}

/* 0: it is empty. */
static uint64_t stack_pop(uint64_t *stack) {
    uint64_t seen = atom_load_acq_u64(stack), next; /* acq: pairs with stack_push, for the packet's `next` */
    do {
        if (stack_top(seen) == 0) return 0;
        next = atom_load_rlx_u64(&packet_at(stack_top(seen))->next); /* rlx: the version tells if it is out of date */
    } while (!atom_cas_acqrel_u64(stack, &seen, stack_make(seen, next, stack_depth(seen) - 1)));
    return stack_top(seen);
}

/* A packet that nobody has; 0: there is none. */
static uint64_t packet_new(void) {
    if (!table_once(&packet_table, PACKETS * sizeof(struct packet), PACKETS * sizeof(struct packet))) return 0;
    uint64_t number = stack_pop(&packets_free);
    if (number != 0) return number;
    number = atom_load_rlx_u64(&packets_fresh); /* rlx: the CAS compares it again */
    while (number < PACKETS) {
        if (atom_cas_acqrel_u64(&packets_fresh, &number, number + 1)) return number + 1;
    }
    return 0;
}

static uint64_t *depot_of(struct heap *heap, unsigned class_index) { return &heap->set[class_index].depot; }

/*
 * Packets of a depot are charged as full ones, when it has more than it has been charged for; one that is taken out leaves its
 * charge for the next, until the depot is emptied. So threads that exchange packets do not meet at the sum of all.
 */
static bool depot_charge(struct heap *heap, unsigned class_index, uint64_t packets) {
    uint64_t *charged = &heap->set[class_index].depot_charged;
    uint64_t before = atom_load_rlx_u64(charged); /* rlx: of threads that charge at the same time each charges for itself */
    if (packets <= before) return true;
    if (!cache_depots_take((packets - before) * PACKET_BLOCKS * class_size(class_index))) return false;
    atom_add_acqrel_u64(charged, packets - before);
    return true;
}

/* After it was emptied. What comes meanwhile is charged for when more comes. */
static void depot_uncharge(struct heap *heap, unsigned class_index) {
    uint64_t *charged = &heap->set[class_index].depot_charged;
    uint64_t packets = atom_load_rlx_u64(charged); /* rlx: the CAS compares it again */
    while (packets != 0 && !atom_cas_acqrel_u64(charged, &packets, 0)) continue;
    if (packets != 0) cache_depots_return(packets * PACKET_BLOCKS * class_size(class_index));
}

/* How many packets of the class a depot may hold. Where threads are to keep little, little of that: there are many depots. */
static uint64_t depth_most(size_t size) {
    uint64_t bytes = cache_bound_all() / DEPOT_SHARE, packet = PACKET_BLOCKS * size;
    uint64_t most = bytes < DEPOT_BYTES ? bytes / packet : DEPOT_BYTES / packet + 1;
    return most < DEPOT_PACKETS ? most : DEPOT_PACKETS;
}

static bool depot_serves(unsigned class_index) {
    return class_table[class_index].line == 1 && class_size(class_index) <= BLOCK_MOST;
}

size_t depot_put(struct heap *heap, unsigned class_index, void *const *blocks, size_t count) {
    size_t done = 0;
    if (!depot_serves(class_index)) return 0;
    uint64_t *depot = depot_of(heap, class_index), most = depth_most(class_size(class_index));
    while (done < count) {
        uint64_t depth = stack_depth(atom_load_rlx_u64(depot)); /* rlx: who puts at the same time may pass by a packet each */
        if (depth >= most || !depot_charge(heap, class_index, depth + 1)) break;
        uint64_t number = packet_new();
        if (number == 0) break;
        struct packet *packet = packet_at(number);
        size_t some = count - done < PACKET_BLOCKS ? count - done : PACKET_BLOCKS;
        memcpy(packet->block, blocks + done, some * sizeof *blocks);
        packet->count = some;
        stack_push(depot, number);
        done += some;
    }
    if (done != 0) heap_untidy(heap);
    return done;
}

size_t depot_take(struct heap *heap, unsigned class_index, void **blocks, size_t want) {
    uint64_t *depot = depot_of(heap, class_index);
    if (stack_top(atom_load_rlx_u64(depot)) == 0) return 0; /* rlx: the pop looks again */
    uint64_t number = stack_pop(depot);
    if (number == 0) return 0;
    struct packet *packet = packet_at(number);
    size_t count = (size_t)packet->count, some = count < want ? count : want;
    memcpy(blocks, packet->block + (count - some), some * sizeof *blocks);
    packet->count = count - some;
    stack_push(packet->count != 0 ? depot : &packets_free, number);
    return some;
}

bool depot_empty(struct heap *heap) {
    bool any = false;
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        uint64_t number;
        while ((number = stack_pop(depot_of(heap, class_index))) != 0) {
            struct packet *packet = packet_at(number);
            heap_free_some(heap, packet->block, (size_t)packet->count, heap_tell_double_free);
            stack_push(&packets_free, number);
            any = true;
        }
        depot_uncharge(heap, class_index);
    }
    return any;
}

HM_READS_OTHERS static uint64_t count_in(const struct packet *packet) { return *(const volatile uint64_t *)&packet->count; }

uint64_t depot_count(struct heap *heap, unsigned class_index) {
    uint64_t stack = atom_load_acq_u64(depot_of(heap, class_index)), number = stack_top(stack), blocks = 0; /* acq: stack_push */
    /* A packet that goes meanwhile leads elsewhere; the depth bounds the walk, and numbers are only ever packets'. */
    for (uint64_t left = stack_depth(stack); left != 0 && number != 0; left--) {
        blocks += count_in(packet_at(number));
        number = atom_load_rlx_u64(&packet_at(number)->next); /* rlx: a figure */
    }
    return blocks;
}

void depot_forget(struct heap *heap) {
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        uint64_t number;
        while ((number = stack_pop(depot_of(heap, class_index))) != 0) stack_push(&packets_free, number);
        depot_uncharge(heap, class_index);
    }
}
