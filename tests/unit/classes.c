/*
 * classes.c - the size classes, checked at every size and every offset.
 */
#include "heap/classes.h"

#include "check.h"

/* Every request gets the smallest class that holds it, and wastes less than 16 bytes or an eighth. */
static void test_sizes(void) {
    bool smallest = true, waste = true, in_range = true;
    for (size_t size = 0; size <= CLASS_LARGEST; size++) {
        unsigned class_index = class_of(size);
        if (class_index >= CLASS_COUNT || class_size(class_index) < size) {
            in_range = false;
            break;
        }
        if (class_index > 0 && class_size(class_index - 1) >= size) smallest = false;
        size_t unused = class_size(class_index) - size;
        if (size > 0 && size <= 128 && unused >= 16) waste = false;
        if (size > 128 && unused * 8 > class_size(class_index)) waste = false;
    }
    CHECK(in_range);
    CHECK(smallest);
    CHECK(waste);
    for (size_t size = CLASS_QUICK; size <= CLASS_COARSE; size++) CHECK_EQ(class_mark_coarse(size), class_mark_larger(size));
    CHECK_EQ(class_of(0), 0);
    CHECK_EQ(class_of(CLASS_LARGEST), CLASS_COUNT - 1);
    CHECK_EQ(class_size(CLASS_COUNT - 1), CLASS_LARGEST);
}

static void test_rows(void) {
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        size_t size = class_size(class_index);
        size_t slab = class_slab_pages(class_index) * PAGE_BYTES, align = class_slab_align(class_index);
        size_t objects = class_objects(class_index);
        CHECK(size % 16 == 0);
        CHECK(class_index == 0 || size > class_size(class_index - 1));
        CHECK_EQ(class_of(size), class_index);
        CHECK(slab <= align && slab * 2 > align && align <= CLASS_MOST_GRANULES * GRANULE_BYTES);
        CHECK((align & (align - 1)) == 0 && align % GRANULE_BYTES == 0);
        CHECK_EQ(objects, slab / size);
        CHECK(objects <= CLASS_MOST_OBJECTS);
        if (size > 65536) CHECK_EQ(slab, size);
        else CHECK(objects >= 8 && (slab - objects * size) * 8 <= slab);
        size_t line = class_table[class_index].line;
        CHECK_EQ(line * size % 64, 0);
        CHECK(line == 1 || line / 2 * size % 64 != 0);
    }
}

/* Which object starts at an address, against a real division, at every byte of every slab. */
static void test_division(void) {
    for (unsigned class_index = 0; class_index < CLASS_COUNT; class_index++) {
        size_t align = class_slab_align(class_index), size = class_size(class_index), wrong = 0;
        uintptr_t slab = (uintptr_t)0x123 << 32 | align * 3;
        for (size_t offset = 0; offset < align; offset++) {
            uint64_t object = class_object_at(&class_table[class_index], slab + offset);
            bool is_one = offset % size == 0 && offset / size < class_objects(class_index);
            if (is_one ? object != offset / size : object < class_objects(class_index)) wrong++;
        }
        CHECK_EQ(wrong, 0);
    }
}

/* What is asked for an alignment is in a class of multiples of it. */
static void test_alignments(void) {
    size_t wrong = 0;
    for (size_t align = 16; align <= 2 * CLASS_LARGEST; align *= 2) {
        for (size_t size = 0; size <= CLASS_LARGEST + 100; size += size < 5000 ? 1 : 97) {
            size_t asked = class_aligned(size, align);
            bool fits = size <= CLASS_LARGEST && align <= CLASS_LARGEST && align_up(size + (size == 0), align) <= CLASS_LARGEST;
            wrong += fits ? asked < size || class_size(class_of(asked)) % align != 0 : asked != 0;
        }
    }
    CHECK_EQ(wrong, 0);
    CHECK_EQ(class_aligned(SIZE_MAX, 16), 0);
    CHECK_EQ(class_aligned(1, (size_t)1 << 63), 0);
}

int main(void) {
    test_sizes();
    test_alignments();
    test_rows();
    test_division();
    return check_done();
}
