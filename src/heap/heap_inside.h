/*
 * heap_inside.h - what a heap is made of, for the files that make it up: heap.c serves requests, large.c those for blocks of
 * their own, front.c fills and empties the threads' magazines, depot.c keeps what one thread freed for the next, empty.c gives
 * empty slabs back, heap_table.c makes and ends heaps, figures.c counts them. Nobody else includes it. Layer: heap.
 */
#ifndef HM_HEAP_INSIDE_H
#define HM_HEAP_INSIDE_H

#include "base/atom.h"
#include "core/budget.h"
#include "heap/classes.h"
#include "heap/heap.h"
#include "heap/set.h"
#include "heap/slab.h"

/* The class of blocks of their own: a slab with one object each. */
#define CLASS_LARGE CLASS_COUNT
#define SET_COUNT (CLASS_COUNT + 1)

struct heap {
    struct heap_front front; /* first: see heap_front */
    uint64_t users;          /* 1 for the handle, 1 for each walk (a trim, a flush, a count) that is at work here */
    uint64_t untidy;      /* 1: there is something for heap_tidy_one */
    uint64_t empty_bytes; /* of what is taken: slabs that hold nothing; see empty.c */
    uint64_t state;       /* page byte of its slabs */
    struct budget budget; /* what it has taken from the system and not given back */
    struct set set[SET_COUNT];
};

/* Takes pins. Returns the life before. */
uint64_t pins_take(struct slab *slab, size_t count);

/* Takes pins back, with all that may follow from it. */
void pins_return(struct heap *heap, struct slab *slab, struct granule head, size_t count);

/* A new slab, at a multiple of align, if need be in the place of empty ones; *block is its first object, of zeros. */
enum status heap_slab_add(struct heap *heap, unsigned class_index, struct heap_asker asker, uint64_t count_pages, size_t align,
                          void **block);

/* A block of its own: one that was freed a moment ago, or a new one. */
enum status large_add(struct heap *heap, uint64_t count_pages, size_t align, bool zero, void **block);

/*
 * Makes one, which the caller holds, longer or shorter where it is, and charges it. What it gains may be of blocks that were
 * freed, with their content. What fails changes nothing.
 */
enum status large_resize(struct heap *heap, struct slab *slab, struct granule head, uint64_t count_pages);

/* The slab's count of holders has come to 0, by the caller: it stays for a while, or goes back. */
void empty_came(struct heap *heap, unsigned class_index, struct granule head);

/* The heap takes that many pages from the system: of the blocks that stay about as many may have to go. */
void empty_make_way(struct heap *heap, uint64_t count_pages);

/* The caller has taken a slab's count of holders to 0 (came) or from 0, and that is all. Returns the heap's bytes after. */
int64_t empty_count(struct heap *heap, unsigned class_index, bool came);

/* Has the keeper look at the heap on its next round. */
void heap_untidy(struct heap *heap);

/* A block was freed twice: tells the program, see front_on_double_free. */
void heap_tell_double_free(void *block);

/* One look of the keeper's at a heap. Returns whether there may be more to do. */
bool heap_tidy_one(struct heap *heap);

/* The heap with this number, live or not. One with that number has been made. */
struct heap *heap_numbered(uint64_t number);

static inline uint64_t owner_of(const struct heap *heap, unsigned class_index) {
    return (uint64_t)heap->front.number << OWNER_CLASS_BITS | class_index;
}
static inline unsigned owner_class(uint64_t owner) { return (unsigned)(owner & OWNER_CLASS_MASK); }
static inline uint64_t owner_heap(uint64_t owner) { return owner >> OWNER_CLASS_BITS; }

static inline size_t objects_of(unsigned class_index) { return class_index == CLASS_LARGE ? 1 : class_objects(class_index); }

/*
 * A walk over the slabs of a heap, class by class; it begins with all zero. A slab may go, and its granule become another's,
 * while it is being looked at: its word of life is read once and says whose it is and how many hold it; another owner's is
 * passed over.
 */
struct slab_walk {
    unsigned class_index;
    struct granule head;
    struct slab *slab;
    uint64_t life;
    size_t next_place;
};

static inline bool slab_walk_next(const struct heap *heap, struct slab_walk *walk) {
    for (; walk->class_index < SET_COUNT; walk->class_index++, walk->next_place = 0) {
        size_t places = set_places(&heap->set[walk->class_index]);
        while (walk->next_place < places) {
            walk->head = set_slab(&heap->set[walk->class_index], walk->next_place++);
            if (walk->head.n == 0) continue;
            walk->slab = slab_at(walk->head);
            walk->life = atom_load_acq_u64(&walk->slab->life); /* acq: pairs with slab_open, for the length */
            if (life_owner(walk->life) == owner_of(heap, walk->class_index)) return true;
        }
    }
    return false;
}

#endif
