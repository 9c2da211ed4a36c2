/*
 * deepbind.c - plug-ins that are loaded with RTLD_DEEPBIND.
 *
 * Such a module looks a name up in itself and in the libraries that it needs before it looks where everybody else does. So it
 * finds the C library's malloc and free however early another library was loaded, and gets and frees blocks of another heap than
 * the program that it exchanges them with. Before the first such module is loaded, the C library's own symbols are therefore led
 * to where the program finds those names. All else is bound as the program wants it.
 *
 * dlopen looks for a library as its caller's settings say, and knows its caller by the return address: the call passed on here is
 * a jump, which leaves that as it was.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <gnu/lib-names.h>
#include <link.h>
#include <string.h>
#include <sys/mman.h>

#include "base/atom.h"
#include "dropin/malloc/dropin.h"

struct library {
    const struct link_map *map;
    ElfW(Sym) *symbol;
    const char *text;
    const uint32_t *hash; /* the GNU hash table: its counts, a filter, buckets, chains */
};

static struct library library_of(const struct link_map *map) {
    struct library library = {.map = map};
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_SYMTAB)
            library.symbol = (ElfW(Sym) *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_STRTAB)
            library.text = (const char *)entry->d_un.d_ptr;
        else if (entry->d_tag == DT_GNU_HASH)
            library.hash = (const uint32_t *)entry->d_un.d_ptr;
    }
    return library;
}

static ElfW(Sym) *symbol_find(const struct library *library, const char *name) {
    uint32_t count_buckets = library->hash[0], first = library->hash[1], filter_words = library->hash[2];
    const uint32_t *bucket = library->hash + 4 + filter_words * (sizeof(ElfW(Addr)) / sizeof(uint32_t));
    const uint32_t *chain = bucket + count_buckets;
    uint32_t hash = 5381;
    for (const char *c = name; *c; c++) hash = hash * 33 + (unsigned char)*c;
    for (uint32_t at = bucket[hash % count_buckets]; at >= first; at++) {
        uint32_t link = chain[at - first]; /* its hash, but for the lowest bit: 1 in the last of a chain */
        if ((link | 1) == (hash | 1) && strcmp(library->text + library->symbol[at].st_name, name) == 0)
            return &library->symbol[at];
        if (link & 1) break;
    }
    return NULL;
}

/* The access that the library's file gives the page. */
static int access_at(const struct library *library, uintptr_t page) {
    const ElfW(Ehdr) *header = (const ElfW(Ehdr) *)library->map->l_addr;
    const ElfW(Phdr) *segment = (const ElfW(Phdr) *)(library->map->l_addr + header->e_phoff);
    for (unsigned i = 0; i < header->e_phnum; i++, segment++) {
        if (segment->p_type == PT_LOAD && page - library->map->l_addr - segment->p_vaddr < segment->p_memsz)
            return (segment->p_flags & PF_X ? PROT_EXEC : 0) | (segment->p_flags & PF_W ? PROT_WRITE : 0) | PROT_READ;
    }
    return PROT_READ;
}

/* What is looked up in the library under this name from now on is what the program finds under it. */
static void symbol_lead(const struct library *library, const char *name) {
    ElfW(Sym) *symbol = symbol_find(library, name);
    void *wanted = dlsym(RTLD_DEFAULT, name);
    if (symbol == NULL || wanted == NULL) return;
    uintptr_t page = align_down((uintptr_t)&symbol->st_value, PAGE_BYTES);
    int access = access_at(library, page);
    if (mprotect((void *)page, PAGE_BYTES, access | PROT_WRITE) != 0) return;
    /* rlx: whoever looks it up at this moment finds the one or the other. */
    atom_store_rlx_u64(&symbol->st_value, (uintptr_t)wanted - library->map->l_addr);
    mprotect((void *)page, PAGE_BYTES, access);
}

static void library_lead(void) {
    static const char *const names[] = {
        "malloc", "calloc", "realloc", "reallocarray", "free", "aligned_alloc", "memalign", "posix_memalign", "valloc", "pvalloc",
        "__libc_malloc", "__libc_calloc", "__libc_realloc", "__libc_free", "__libc_memalign", "__libc_valloc", "__libc_pvalloc",
        "malloc_usable_size", "malloc_trim", "malloc_stats", "malloc_info", "mallinfo", "mallinfo2", "mallopt"};
    void *handle = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);
    if (handle == NULL) return;
    struct library library = library_of(handle);
    for (size_t i = 0; library.hash != NULL && i < sizeof names / sizeof *names; i++) symbol_lead(&library, names[i]);
    dlclose(handle); /* only its count: it was there before */
}

DROPIN_EXPORT void *dlopen(const char *file, int mode) {
    static uint32_t led;
    void *(*next)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_NEXT, "dlopen");
    /* rlx: doing it twice does no harm. */
    if ((mode & RTLD_DEEPBIND) && !atom_load_rlx_u32(&led)) {
        library_lead();
        atom_store_rlx_u32(&led, 1);
    }
    return next(file, mode);
}
