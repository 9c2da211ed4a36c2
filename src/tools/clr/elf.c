/*
 * elf.c - finds functions by name in the full symbol table of an ELF file.
 *
 * dlsym sees only what a library exports; the CLR's hosting functions are local, and stand in .symtab alone, which the
 * loader does not map. So the file itself is mapped and read. Every offset in it is checked against the file's size before it
 * is followed: a damaged file gives a message. Reads only; keeps nothing.
 */
#define _GNU_SOURCE
#include "tools/clr/clr.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct elf_file {
    const unsigned char *bytes;
    size_t size;
};

/* The bytes [offset, offset + size) of the file, or NULL if they are not all in it or not aligned for a table. */
static const void *elf_at(const struct elf_file *file, uint64_t offset, uint64_t size) {
    if (offset > file->size || size > file->size - offset || offset % 8 != 0) return NULL;
    return file->bytes + offset;
}

static const Elf64_Shdr *elf_sections(const struct elf_file *file, const Elf64_Ehdr *header) {
    if (header->e_shentsize != sizeof(Elf64_Shdr)) return NULL;
    return elf_at(file, header->e_shoff, (uint64_t)header->e_shnum * sizeof(Elf64_Shdr));
}

/* How far the image reaches in memory, from its first byte. */
static uint64_t elf_span(const struct elf_file *file, const Elf64_Ehdr *header) {
    uint64_t span = 0;
    const Elf64_Phdr *segments = elf_at(file, header->e_phoff, (uint64_t)header->e_phnum * sizeof(Elf64_Phdr));
    for (unsigned at = 0; segments != NULL && at < header->e_phnum; at++) {
        if (segments[at].p_type == PT_LOAD && segments[at].p_vaddr + segments[at].p_memsz > span) {
            span = segments[at].p_vaddr + segments[at].p_memsz;
        }
    }
    return span;
}

static void elf_match(const Elf64_Sym *table, uint64_t entries, const char *strings, uint64_t strings_size,
                      struct elf_symbol *symbols, size_t count) {
    for (uint64_t at = 0; at < entries; at++) {
        if (ELF64_ST_TYPE(table[at].st_info) != STT_FUNC || table[at].st_name >= strings_size) continue;
        for (size_t wanted = 0; wanted < count; wanted++) {
            if (strcmp(strings + table[at].st_name, symbols[wanted].name) == 0) symbols[wanted].value = table[at].st_value;
        }
    }
}

static const char *elf_read(const struct elf_file *file, struct elf_symbol *symbols, size_t count, uint64_t *image_span) {
    const Elf64_Ehdr *header = elf_at(file, 0, sizeof *header);
    const Elf64_Shdr *sections;
    if (header == NULL || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 || header->e_ident[EI_CLASS] != ELFCLASS64 ||
        header->e_machine != EM_X86_64) {
        return "is not an x86-64 ELF file";
    }
    *image_span = elf_span(file, header);
    sections = elf_sections(file, header);
    if (*image_span == 0 || sections == NULL) return "is damaged: its segments or sections lie outside the file";
    for (unsigned at = 0; at < header->e_shnum; at++) {
        const Elf64_Shdr *section = &sections[at];
        const Elf64_Sym *table;
        const char *strings;
        const Elf64_Shdr *linked;
        if (section->sh_type != SHT_SYMTAB || section->sh_link >= header->e_shnum) continue;
        linked = &sections[section->sh_link];
        table = elf_at(file, section->sh_offset, section->sh_size);
        if (table == NULL || linked->sh_size == 0 || linked->sh_offset > file->size ||
            linked->sh_size > file->size - linked->sh_offset) {
            return "is damaged: its symbol table lies outside the file";
        }
        strings = (const char *)file->bytes + linked->sh_offset;
        if (strings[linked->sh_size - 1] != '\0') return "is damaged: its symbols' names do not end";
        elf_match(table, section->sh_size / sizeof *table, strings, linked->sh_size, symbols, count);
        return NULL;
    }
    return "has no symbol table (.symtab): it is stripped";
}

const char *elf_lookup(const char *path, struct elf_symbol *symbols, size_t count, uint64_t *image_span) {
    struct elf_file file;
    struct stat status;
    const char *problem;
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return strerror(errno);
    if (fstat(descriptor, &status) != 0 || status.st_size <= 0) {
        close(descriptor);
        return "is empty";
    }
    file.size = (size_t)status.st_size;
    file.bytes = mmap(NULL, file.size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    close(descriptor);
    if (file.bytes == MAP_FAILED) return strerror(errno);
    problem = elf_read(&file, symbols, count, image_span);
    munmap((void *)(uintptr_t)file.bytes, file.size);
    return problem;
}
