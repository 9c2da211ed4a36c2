/*
 * slab.h - one slab: its memory, its descriptor, and who may take objects from it. Layer: heap.
 *
 * A descriptor belongs to a granule and stays where it is for the life of the process; it is in use while a slab starts at the
 * granule. A block too large for any class is a slab of one object.
 *
 * The word `life` says in one piece whose slab it is (owner: a heap and a class, 0 for no slab) and how many hold it: each object
 * that is taken counts one, and so does each thread that is about to take one (a pin). Therefore
 *   - a thread whose pin found the right owner keeps the slab from going away, and may claim a bit;
 *   - a thread that comes late and finds another owner has claimed nothing, and only takes its pin back;
 *   - a slab may go when its owner is changed from X with count 0 to 0, by one CAS.
 */
#ifndef HM_SLAB_H
#define HM_SLAB_H

#include "base/atom.h"
#include "core/cache.h"
#include "core/region.h"
#include "heap/classes.h"

#define SLAB_COUNT_BITS 24 /* the largest slab's 4,096 objects, and 64 pins for each running thread */
#define SLAB_COUNT_MASK (((uint64_t)1 << SLAB_COUNT_BITS) - 1)

/* An owner is a heap's number above the class. */
#define OWNER_CLASS_BITS 8
#define OWNER_CLASS_MASK (((uint64_t)1 << OWNER_CLASS_BITS) - 1)

#define SLAB_FEW 1472u /* all but the slabs of the two smallest classes: descriptors are short, and many share a page */

struct slab {
    uint64_t life;        /* owner << SLAB_COUNT_BITS | count */
    uint64_t place;       /* in the set of its owner */
    uint64_t count_pages; /* as claimed; with `flags` it makes the run again */
    uint64_t flags;
    uint32_t looked;      /* 1: the keeper has found it empty */
    uint32_t stays;       /* of one object: how often its pages stay with little in them, see slab_zero */
    uint64_t home;        /* the thread that it serves, as struct cache's `home`; 0: no thread */
    uint32_t filled;      /* 1: it has been found full since it serves that thread */
    uint32_t inherited;   /* 1: it has served another thread before, and may still have blocks of its */
    uint64_t maps;        /* if it is of no thread: in whose maps it may be, see near.c */
    uint64_t many;        /* uint64_t[CLASS_MOST_OBJECTS / 64], the bitmap of a slab of more than SLAB_FEW objects */
    uint64_t few[SLAB_FEW / 64];
};

/* Which objects of the slab are taken: where the bitmap is follows from how many there are, and never changes for the granule. */
static inline uint64_t *slab_taken(struct slab *slab, size_t count_objects) {
    /* rlx: written before the slab was first opened. */
    return count_objects <= SLAB_FEW ? slab->few : (uint64_t *)(uintptr_t)atom_load_rlx_u64(&slab->many);
}

static inline uint64_t life_count(uint64_t life) { return life & SLAB_COUNT_MASK; }
static inline uint64_t life_owner(uint64_t life) { return life >> SLAB_COUNT_BITS; }
static inline uint64_t life_make(uint64_t owner, uint64_t count) { return owner << SLAB_COUNT_BITS | count; }

/* The descriptor of a granule at which a slab has started at some time; NULL where none ever has in this slot. */
struct slab *slab_at(struct granule head);

/* Descriptors are large and mostly unused: a slot's are a row of tables, so that a process short of address space has few. */
#define TABLE_SLABS (GRANULES_PER_SLOT / SLAB_TABLES)
struct slab_table {
    struct slab slab[TABLE_SLABS];
    uint64_t many[TABLE_SLABS][CLASS_MOST_OBJECTS / 64]; /* see struct slab */
};

/* Where the table of the granule's part of its slot is named: a struct slab_table *, 0 where no slab ever was. */
static inline uint64_t *slab_table_place(struct slot *slot, struct granule head) {
    return &slot->slabs[head.n % GRANULES_PER_SLOT / TABLE_SLABS];
}
static inline struct slab_table *slab_table_of(struct slot *slot, struct granule head) {
    /* acq: pairs with the CAS in table_once; the table is there to be read. */
    return (struct slab_table *)(uintptr_t)atom_load_acq_u64(slab_table_place(slot, head));
}

/* slab_at where a tag that has been read says that there is one. */
static inline struct slab *slab_tagged(struct granule head) {
    return &slab_table_of(space_slot_numbered(head.n / GRANULES_PER_SLOT), head)->slab[head.n % TABLE_SLABS];
}

/* What a block's address leads to. False if no slab covers it. */
bool slab_find(uintptr_t address, struct granule *head);

/* Memory for a slab at a multiple of align, a power of two, committed with `state` and zero, and a descriptor, or nothing. */
enum status slab_acquire(uint64_t count_pages, size_t align, uint8_t state, struct run *run);

/*
 * Makes a slab of one object, which the caller holds, longer or shorter where it is; what it gains is zero. False: there is
 * no room behind it, or the system refused, and nothing has changed.
 */
bool slab_resize(struct slab *slab, struct granule head, uint64_t count_pages);

/*
 * Cuts a slab of one object, which the caller holds, behind the granule in which that many pages end. What is cut off is *rest,
 * as slab_acquire gives it but for its content: for slab_open. False: there is no memory for its descriptor, or no rest.
 */
bool slab_split(struct slab *slab, struct granule head, uint64_t count_pages, struct run *rest);

/*
 * The other way round: takes in a slab of one object of the same kind that starts behind the last granule, in the same region,
 * and that the caller has closed. What was between them is zero. False: the system refused that, and nothing has changed.
 */
bool slab_join(struct slab *slab, struct granule head, const struct run *next);

/* Undoes slab_acquire. False: the system did not take the pages back; nothing has changed. */
bool slab_discard(const struct run *run);

/*
 * Makes the memory of a slab of one object, of which the caller is sure, as its heap gives it out: with the access, and if asked
 * for zero. False: the system refused the access.
 */
bool slab_renew(const struct run *run, uint8_t state, bool zero);

/*
 * Zeroes an object of a slab of that class, which is the caller's. A long one gets no memory where it has none, as far as the
 * system commits lazily.
 */
void slab_zero(void *object, unsigned class_index);

/*
 * Gives the slab its owner and shows it to slab_find. The first of its objects is taken, on behalf of the caller. whose: what
 * the tags of the owner's heap begin with, and the home.
 */
void slab_open(const struct run *run, enum span_kind kind, uint8_t state, uint64_t owner, size_t place, size_t count_objects,
               uint64_t whose);

/* The run of a slab that the caller has closed or keeps from being closed. */
struct run slab_run(const struct slab *slab, struct granule head);

/*
 * Takes that many pins. Returns the life before. The caller takes each back by slab_unpin, or turns it into an object that
 * it claims.
 */
uint64_t slab_pin(struct slab *slab, size_t count);

/* Takes pins back. Returns the life after; if that has an owner, *place is the slab's. */
uint64_t slab_unpin(struct slab *slab, size_t count, size_t *place);

/*
 * With pins that found their owner and fewer than all objects held: claims up to `want` (1 to 64, as many as there are pins)
 * objects of one word of the bitmap, in groups as bitmap_claim_groups. Returns the word, and which of its bits in *mask;
 * SIZE_MAX if there was no group, or others were faster every time. The search starts at the word `from`: at 0 for a slab that
 * serves one thread, so that what it hands out lies close together, elsewhere for threads that meet in it.
 */
size_t slab_claim(struct slab *slab, size_t count_objects, size_t from, unsigned want, unsigned group, uint64_t *mask);

/* Puts those objects of a word back that `mask` names. Returns which of them were taken; *life the life before. */
uint64_t slab_release_some(struct slab *slab, size_t count_objects, size_t word, uint64_t mask, uint64_t *life);

/*
 * What a free has to know about a block, in one load. From the top: the heap (struct heap_front's `tag`); the home of
 * the slab if its objects may share a cache line with the next one's, 0 if any thread may hand out any of them; then where the
 * class's row is in class_table, in bytes. 0 where there is no slab of a class.
 *
 * So, the heap's tag taken off, one `and` tells whether a block is for the thread to keep (struct cache's `others`): it finds the
 * bits of other heaps and, see cache_home, of other homes.
 */
#define TAG_HEAP_SHIFT 36
#define TAG_HEAP_MASK (~(uint64_t)0 << TAG_HEAP_SHIFT)
#define TAG_HOME_MASK CACHE_HOME_MASK
#define TAG_ROW_MASK (((uint64_t)1 << CACHE_HOME_SHIFT) - 1)

static inline const struct class_row *tag_row(uint64_t tag) {
    return (const struct class_row *)(const void *)((const char *)class_table + (tag & TAG_ROW_MASK));
}
static inline unsigned tag_class(uint64_t tag) { return (unsigned)(tag & TAG_ROW_MASK) / (unsigned)sizeof(struct class_row); }

/* The slab serves that thread from now on. */
static inline void slab_inherit(struct slab *slab, uint64_t home) {
    /* rlx: any home that it has had will do. */
    atom_store_rlx_u64(&slab->home, home);
    atom_store_rlx_u32(&slab->inherited, 1);
    atom_store_rlx_u32(&slab->filled, 0);
}

/* Puts an object back; false if it is not taken. Returns the life before in *life. */
bool slab_release(struct slab *slab, size_t count_objects, size_t object, uint64_t *life);

/* Takes the slab from its owner if nobody holds it. True: the caller has it alone. */
bool slab_close(struct slab *slab, uint64_t owner);

/* Takes it from its owner whatever is taken; no thread of the owner's may use it. False: it was not the owner's. */
bool slab_close_by_force(struct slab *slab, uint64_t owner, size_t count_objects);

/* Gives a slab that was just closed back to its owner, empty. Returns the life before, in which late threads may have pins. */
uint64_t slab_reopen(struct slab *slab, uint64_t owner);

extern HM_HIDDEN uint64_t slab_tags[SLOT_COUNT]; /* uint64_t[GRANULES_PER_SLOT], 0 where no slab ever was */

static inline uint64_t slab_tag(uintptr_t address) {
    if (__builtin_expect(address >> SLOT_SHIFT >= SLOT_COUNT, 0)) return 0;
    /* own: installed by a CAS before the first slab there; a free has been handed a block of it. */
    const uint64_t *table = (const uint64_t *)(uintptr_t)atom_load_own_u64(&slab_tags[address >> SLOT_SHIFT]);
    if (__builtin_expect(table == NULL, 0)) return 0;
    /* own: the heap and the class were written before the slab's first object was given out; any home will do. */
    return atom_load_own_u64(&table[(uint32_t)address >> GRANULE_SHIFT]);
}

/* Where the tag of a granule is at which a slab has started at some time. */
static inline uint64_t *slab_tag_at(struct granule g) {
    return (uint64_t *)(uintptr_t)atom_load_acq_u64(&slab_tags[g.n / GRANULES_PER_SLOT]) + g.n % GRANULES_PER_SLOT;
}

/* Only slabs of a class have tags; they lie in one slot. */
static inline void slab_tags_write(struct granule head, size_t count, uint64_t tag) {
    for (size_t i = 0; i < count; i++) atom_store_rlx_u64(slab_tag_at(head) + i, tag); /* rlx: see slab_tag */
}

#endif
