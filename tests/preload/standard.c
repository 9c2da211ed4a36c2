/*
 * standard.c - what the standards and the GNU library say of each allocation function: sizes of zero, overflow, alignments,
 * errno, contents. Run with the malloc drop-in preloaded.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "check.h"

/* C23's; weak, because the C library may not have them and the drop-in must. */
void free_sized(void *block, size_t size) __attribute__((weak));
void free_aligned_sized(void *block, size_t align, size_t size) __attribute__((weak));

/* Sizes that the compiler cannot see through. */
static volatile size_t huge = (size_t)PTRDIFF_MAX + 1;
static volatile size_t most = SIZE_MAX;
static volatile size_t odd_align = 48;

static bool aligned(const void *block, size_t align) { return block != NULL && (uintptr_t)block % align == 0; }

static bool all(const unsigned char *bytes, size_t count, unsigned char value) {
    for (size_t i = 0; i < count; i++) {
        if (bytes[i] != value) return false;
    }
    return true;
}

static void test_malloc(void) {
    errno = 77;
    void *a = malloc(0), *b = malloc(0);
    CHECK(a != NULL && b != NULL && a != b);
    free(a);
    free(b);
    free(NULL);
    for (size_t size = 1; size < (size_t)1 << 27; size += size / 3 + 1) {
        unsigned char *block = malloc(size);
        if (!CHECK(aligned(block, 16))) return;
        size_t usable = malloc_usable_size(block);
        if (!CHECK(usable >= size)) return;
        memset(block, 0xa5, usable); /* all of it is the caller's */
        free(block);
    }
    CHECK_EQ(malloc_usable_size(NULL), 0);
    CHECK_EQ(errno, 77);
    size_t too_much[] = {huge, most, most - 4096, (size_t)1 << 50, (size_t)1 << 46};
    for (size_t i = 0; i < sizeof too_much / sizeof *too_much; i++) {
        errno = 0;
        CHECK(malloc(too_much[i]) == NULL);
        CHECK_EQ(errno, ENOMEM);
    }
}

static void test_calloc(void) {
    size_t sizes[] = {0, 1, 15, 16, 100, 4096, 32768, 32769, 100000, 5 << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        for (int round = 0; round < 3; round++) {
            unsigned char *block = calloc(1, sizes[i]);
            if (!CHECK(aligned(block, 16))) return;
            CHECK(all(block, sizes[i], 0));
            memset(block, 0xff, malloc_usable_size(block));
            free(block);
        }
    }
    errno = 0;
    CHECK(calloc(most, 2) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc(2, huge) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(calloc((size_t)1 << 32, (size_t)1 << 32) == NULL && errno == ENOMEM);
    void *none = calloc(0, most);
    CHECK(none != NULL);
    free(none);
}

static void test_realloc(void) {
    unsigned char *block = realloc(NULL, 100);
    if (!CHECK(aligned(block, 16))) return;
    for (size_t i = 0; i < 100; i++) block[i] = (unsigned char)i;
    size_t sizes[] = {101, 200, 1000, 33000, 32768, 40000, 70000, 1 << 20, 10 << 20, (10 << 20) + 1, 300000, 64 << 10, 5000, 100};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned char *moved = realloc(block, sizes[i]);
        if (!CHECK(aligned(moved, 16))) return;
        size_t usable = malloc_usable_size(moved), wrong = 0;
        CHECK(usable >= sizes[i]);
        for (size_t j = 0; j < 100; j++) wrong += moved[j] != (unsigned char)j;
        CHECK_EQ(wrong, 0);
        memset(moved + 100, 0x5a, usable - 100);
        block = moved;
    }
    errno = 0;
    CHECK(realloc(block, huge) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(block, huge, 2) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(reallocarray(block, (size_t)1 << 33, (size_t)1 << 31) == NULL && errno == ENOMEM);
    CHECK(block[99] == 99); /* failures have not touched it */
    block = reallocarray(block, 30, 10);
    CHECK(block != NULL && block[99] == 99);
    errno = 77;
    CHECK(realloc(block, 0) == NULL);
    CHECK_EQ(errno, 77);
    void *empty = realloc(NULL, 0);
    CHECK(empty != NULL);
    free(empty);
    empty = reallocarray(NULL, 0, 5);
    CHECK(empty != NULL);
    free(empty);
}

/* A large block grows and shrinks with its content, page by page and by leaps; what it no longer needs can be used by others. */
static void test_realloc_large(void) {
    uint32_t *block = malloc(50000), *other[8];
    size_t count = 50000 / 4, wrong = 0;
    if (!CHECK(block != NULL)) return;
    for (size_t i = 0; i < count; i++) block[i] = (uint32_t)i;
    for (int round = 0; round < 400; round++) {
        size_t next = round % 5 == 4 ? count / 3 + 10000 : count + 1024 + (size_t)round * 37 % 5000;
        block = realloc(block, next * 4);
        if (!CHECK(block != NULL)) return;
        other[round % 8] = malloc(40000 + (size_t)round * 1000);
        memset(other[round % 8], 0xee, 40000 + (size_t)round * 1000);
        for (size_t i = 0; i < count && i < next; i += 97) wrong += block[i] != (uint32_t)i;
        for (size_t i = count; i < next; i++) block[i] = (uint32_t)i;
        count = next;
        if (round % 8 == 7) {
            for (int i = 0; i < 8; i++) free(other[i]);
        }
    }
    for (size_t i = 0; i < count; i++) wrong += block[i] != (uint32_t)i;
    CHECK_EQ(wrong, 0);
    free(block);
}

static void check_aligned(void *block, size_t align, size_t size) {
    if (!CHECK(aligned(block, align))) return;
    CHECK(malloc_usable_size(block) >= size);
    memset(block, 0x3c, malloc_usable_size(block));
    if (size >= 8 && align <= 4096) {
        unsigned char *moved = realloc(block, size * 3);
        CHECK(moved != NULL && all(moved, size, 0x3c));
        free(moved);
    } else {
        free(block);
    }
}

static void test_alignments(void) {
    size_t sizes[] = {0, 1, 8, 17, 100, 1000, 5000, 32768, 33000, 65536, 200000};
    for (size_t align = 1; align <= (size_t)64 << 20; align *= 2) {
        for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
            void *block = NULL, *second;
            errno = 77;
            check_aligned(aligned_alloc(align, sizes[i]), align, sizes[i]);
            check_aligned(memalign(align, sizes[i]), align, sizes[i]);
            int error = posix_memalign(&block, align, sizes[i]);
            CHECK_EQ(error, align < sizeof(void *) ? EINVAL : 0);
            CHECK_EQ(errno, 77);
            if (error != 0) continue;
            CHECK(posix_memalign(&second, align, sizes[i]) == 0 && second != block); /* the next one, too */
            CHECK(aligned(second, align));
            free(second);
            check_aligned(block, align, sizes[i]);
        }
    }
    check_aligned(valloc(10), 4096, 10);
    check_aligned(valloc(0), 4096, 0);
    check_aligned(pvalloc(10), 4096, 4096);
    check_aligned(pvalloc(4097), 4096, 8192);
    check_aligned(pvalloc(0), 4096, 0);
    check_aligned(memalign(odd_align, 100), 64, 100);
}

static void test_alignment_errors(void) {
    void *kept = &errno, *block = kept;
    errno = 77;
    size_t bad[] = {0, 3, 24, 4, 2, 1, 12345};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) CHECK_EQ(posix_memalign(&block, bad[i], 8), EINVAL);
    CHECK_EQ(posix_memalign(&block, 16, most), ENOMEM);
    CHECK_EQ(posix_memalign(&block, 4096, huge), ENOMEM);
    CHECK_EQ(posix_memalign(&block, huge, 8), ENOMEM);
    CHECK(block == kept);
    CHECK_EQ(errno, 77);
    volatile size_t not_powers[] = {0, 3, 24, most};
    for (size_t i = 0; i < sizeof not_powers / sizeof *not_powers; i++) {
        errno = 0;
        CHECK(aligned_alloc(not_powers[i], 24) == NULL && errno == EINVAL);
    }
    errno = 0;
    CHECK(aligned_alloc(64, most) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(aligned_alloc(huge, 1) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(memalign(most, 1) == NULL && errno == EINVAL);
    errno = 0;
    CHECK(memalign(64, most - 10) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(valloc(most) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(pvalloc(most) == NULL && errno == ENOMEM);
    errno = 0;
    CHECK(pvalloc(huge) == NULL && errno == ENOMEM);
}

static void test_sized(void) {
    if (!CHECK(free_sized != NULL && free_aligned_sized != NULL)) return;
    errno = 77;
    free_sized(malloc(123), 123);
    free_sized(NULL, 0);
    free_sized(calloc(4, 100000), 400000);
    free_aligned_sized(aligned_alloc(256, 512), 256, 512);
    free_aligned_sized(NULL, 256, 512);
    CHECK_EQ(errno, 77);
}

/* A block that is to be much smaller moves to where it keeps no more than it needs. */
static void test_shrinking(void) {
    static const size_t from[] = {100, 4096, 65536, 1000000, 3 << 20, (size_t)1 << 33};
    for (size_t i = 0; i < sizeof from / sizeof *from; i++) {
        for (size_t to = 24; to < from[i] / 2; to *= 5) {
            char *block = malloc(from[i]);
            memset(block, 'a', to);
            block = realloc(block, to);
            CHECK(block[0] == 'a' && block[to - 1] == 'a');
            CHECK(malloc_usable_size(block) <= (to <= 64 ? 64 : 2 * to));
            free(block);
        }
    }
}

/* The C library's inner names are for the same blocks. */
extern void *__libc_malloc(size_t size);
extern void *__libc_memalign(size_t align, size_t size);
extern void __libc_free(void *block);

static void test_inner_names(void) {
    void *block = __libc_malloc(100), *aligned = __libc_memalign(256, 100), *other = malloc(100);
    CHECK(malloc_usable_size(block) == malloc_usable_size(other) && (uintptr_t)aligned % 256 == 0);
    free(block);
    free(aligned);
    __libc_free(other);
}

/* What was freed is not in use, wherever the library keeps it. */
static void test_freed(void) {
    enum { BLOCKS = 1000, BYTES = 1000 };
    void *block[BLOCKS];
    struct mallinfo2 before = mallinfo2();
    for (int i = 0; i < BLOCKS; i++) block[i] = malloc(BYTES);
    struct mallinfo2 during = mallinfo2();
    for (int i = 0; i < BLOCKS; i++) free(block[i]);
    struct mallinfo2 after = mallinfo2();
    CHECK(during.uordblks >= before.uordblks + BLOCKS * BYTES);
    CHECK_EQ(after.uordblks, before.uordblks);
    CHECK_EQ(after.arena, after.uordblks + after.fordblks);
}

static void test_figures(void) {
    struct mallinfo2 before = mallinfo2();
    void *small = malloc(1000), *large = malloc(50 << 20);
    CHECK(small != NULL && large != NULL);
    struct mallinfo2 during = mallinfo2();
    CHECK(during.uordblks >= before.uordblks + (50 << 20));
    CHECK(during.arena >= during.uordblks && during.arena - during.uordblks == during.fordblks);
    struct mallinfo narrow = mallinfo();
    CHECK(narrow.uordblks >= 50 << 20);
    free(small);
    free(large);
    struct mallinfo2 after = mallinfo2();
    CHECK(after.uordblks <= during.uordblks - (50 << 20));
    int trimmed = malloc_trim(0);
    CHECK(trimmed == 0 || trimmed == 1);
    CHECK_EQ(malloc_trim(0), 0); /* there is nothing left */
    char *text = NULL;
    size_t length = 0;
    FILE *stream = open_memstream(&text, &length);
    CHECK(malloc_info(0, stream) == 0);
    CHECK(malloc_info(1, stream) == EINVAL);
    fclose(stream);
    CHECK(text != NULL && strncmp(text, "<malloc version=", 16) == 0 && strstr(text, "</malloc>") != NULL);
    free(text);
}

/* Under a bound of the system's, failures are clean and service resumes. (A child: the bound stays.) */
static int test_refused(void) {
    enum { COUNT = 200000, SIZE = 20000 };
    static void *block[COUNT];
    size_t had = 0, again = 0;
    while (had < COUNT && (errno = 0, block[had] = malloc(SIZE)) != NULL) memset(block[had++], 1, 100);
    CHECK(had < COUNT && had > 1000);
    CHECK_EQ(errno, ENOMEM);
    CHECK(malloc(100 << 20) == NULL);
    for (size_t i = 0; i < had; i++) free(block[i]);
    while (again < had && (block[again] = malloc(SIZE)) != NULL) again++;
    CHECK(again + had / 50 >= had); /* what the first frees set going takes a little for itself */
    for (size_t i = 0; i < again; i++) free(block[i]);
    return check_done();
}

int main(int count, char **arguments) {
    if (count > 1 && strcmp(arguments[1], "--refused") == 0) return test_refused();
    test_malloc();
    test_calloc();
    test_realloc();
    test_realloc_large();
    test_alignments();
    test_alignment_errors();
    test_sized();
    test_shrinking();
    test_inner_names();
    test_freed();
    test_figures();
    return check_done();
}
