/*
 * hook.c - makes one function of the process lead to another.
 *
 * Over the function's first 12 bytes goes
 *     48 B8 imm64    mov rax, body
 *     FF E0          jmp rax
 * which needs no register that carries an argument, and reaches any distance. The functions in question are partly shorter
 * than that, but compilers start each at a multiple of 16, so the 12 bytes stay inside the function and the padding behind it;
 * a function that does not start so is refused.
 *
 * Called before the CLR runs its first thread: no processor can be executing, or have prefetched, what is overwritten.
 */
#include "tools/clr/clr.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

const char *hook_install(void *function, void (*body)(void)) {
    unsigned char jump[12] = {0x48, 0xB8, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xE0};
    uintptr_t page = (uintptr_t)function & ~(uintptr_t)4095;
    size_t size = (((uintptr_t)function + sizeof jump + 4095) & ~(uintptr_t)4095) - page;
    if ((uintptr_t)function % 16 != 0) return "does not start at a multiple of 16";
    memcpy(jump + 2, &body, sizeof body);
    if (mprotect((void *)page, size, PROT_READ | PROT_WRITE) != 0) return strerror(errno);
    memcpy(function, jump, sizeof jump);
    if (mprotect((void *)page, size, PROT_READ | PROT_EXEC) != 0) return strerror(errno);
    return NULL;
}
