/*
 * assembly.c - is a file a .NET program? It is if it starts as a Windows executable with a CLI header.
 */
#include "tools/clr/clr.h"

#include <string.h>

static uint32_t little32(const unsigned char *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

bool assembly_is_dotnet(FILE *file) {
    unsigned char head[4096] = {0};
    size_t length = fread(head, 1, sizeof head, file);
    uint32_t pe;
    uint32_t directory;
    if (length < 64 || head[0] != 'M' || head[1] != 'Z') return false;
    pe = little32(head + 60);
    if (pe > sizeof head - 264 || memcmp(head + pe, "PE\0\0", 4) != 0) return false;
    /* The optional header's data directories start at 96 in a PE32 and at 112 in a PE32+; the 15th is the CLI header. */
    directory = pe + 24 + (head[pe + 24] == 0x0B && head[pe + 25] == 0x02 ? 112 : 96) + 14 * 8;
    return little32(head + directory) != 0;
}
