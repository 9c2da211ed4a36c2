/*
 * misuse.c - frees of what is not a block: each ends the process by SIGABRT after one line that names function and pointer. Run
 * with the malloc drop-in preloaded. Every misuse happens in a child.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "thread.h"

static char global_bytes[256] __attribute__((aligned(64)));

struct misuse {
    const char *name, *line;
    void *(*pointer)(void); /* makes a bad one */
    void (*use)(void *bad);
};

static void *bad_global(void) { return global_bytes + 64; }
static void *bad_constant(void) { return (void *)(uintptr_t)0x10; }
static void *bad_kernel(void) { return (void *)(uintptr_t)0xffff800000001000u; }
static void *bad_interior(void) { return (char *)malloc(200) + 16; }
static void *bad_odd(void) { return (char *)malloc(200) + 1; }
static void *bad_large_interior(void) { return (char *)malloc(1 << 20) + 65536; }
static void *bad_past_end(void) { return (char *)malloc(1 << 20) + ((size_t)256 << 20); }
static void *bad_stack(void) { return __builtin_frame_address(0); }
static void *bad_mapping(void) { return mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void *bad_freed(void) {
    void *block = malloc(200);
    free(block);
    return block;
}
static void *bad_freed_large(void) {
    void *block = malloc(1 << 20);
    free(block);
    return block;
}
static void *free_in_thread(void *block) {
    free(block);
    return NULL;
}
static void *bad_freed_elsewhere(void) {
    struct threads threads = {0};
    void *block = malloc(3000);
    threads_start(&threads, free_in_thread, block);
    threads_join(&threads);
    return block;
}

static void use_free(void *bad) { free(bad); }
/* What this thread's cache takes for its own is found out when it goes back. */
static void use_free_and_trim(void *block) {
    free(block);
    malloc_trim(0);
}

static void use_realloc(void *bad) { CHECK(realloc(bad, 500) == NULL); }
static void use_realloc_zero(void *bad) { CHECK(realloc(bad, 0) == NULL); }
static void use_size(void *bad) { CHECK(malloc_usable_size(bad) == 0); }

static const struct misuse misuses[] = {
    {"a global", "free(): invalid pointer 0x", bad_global, use_free},
    {"a small number", "free(): invalid pointer 0x10\n", bad_constant, use_free},
    {"a kernel address", "free(): invalid pointer 0xffff800000001000\n", bad_kernel, use_free},
    {"inside a block", "free(): invalid pointer 0x", bad_interior, use_free},
    {"not aligned", "free(): invalid pointer 0x", bad_odd, use_free},
    {"inside a large block", "free(): invalid pointer 0x", bad_large_interior, use_free},
    {"behind a large block", "free(): invalid pointer 0x", bad_past_end, use_free},
    {"the stack", "free(): invalid pointer 0x", bad_stack, use_free},
    {"a mapping", "free(): invalid pointer 0x", bad_mapping, use_free},
    {"a freed block", "free(): invalid pointer 0x", bad_freed, use_free},
    {"a freed large block", "free(): invalid pointer 0x", bad_freed_large, use_free},
    {"freed by another thread", "free(): double free of 0x", bad_freed_elsewhere, use_free_and_trim},
    {"realloc of a global", "realloc(): invalid pointer 0x", bad_global, use_realloc},
    {"realloc of a freed block", "realloc(): invalid pointer 0x", bad_freed, use_realloc},
    {"realloc of it to 0", "realloc(): invalid pointer 0x", bad_freed, use_realloc_zero},
    {"usable size of a global", "malloc_usable_size(): invalid pointer 0x", bad_global, use_size},
};

static void child_commit(const struct misuse *misuse, int error_pipe) {
    setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
    dup2(error_pipe, STDERR_FILENO);
    alarm(20);
    misuse->use(misuse->pointer());
    _exit(0);
}

static void test_misuse(const struct misuse *misuse) {
    int ends[2], status = 0;
    char line[256];
    size_t held = 0;
    if (!CHECK(pipe(ends) == 0)) return;
    fflush(stdout);
    pid_t child = fork();
    if (!CHECK(child >= 0)) return;
    if (child == 0) child_commit(misuse, ends[1]);
    close(ends[1]);
    for (ssize_t got; held < sizeof line - 1 && (got = read(ends[0], line + held, sizeof line - 1 - held)) > 0;)
        held += (size_t)got;
    line[held] = 0;
    close(ends[0]);
    CHECK(waitpid(child, &status, 0) == child);
    bool ended = CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    bool told = CHECK(strncmp(line, misuse->line, strlen(misuse->line)) == 0);
    bool once = CHECK(held > 0 && strchr(line, '\n') == line + held - 1);
    if (!ended || !told || !once) printf("%s: status %d, \"%s\"\n", misuse->name, status, line);
}

int main(void) {
    for (size_t i = 0; i < sizeof misuses / sizeof *misuses; i++) test_misuse(&misuses[i]);
    return check_done();
}
