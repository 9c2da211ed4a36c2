/*
 * filter.c - a process that puts a filter in front of its system calls, as servers do: one that ends it where it makes a thread
 * or asks for the filter. It allocates as others do. Run with the malloc drop-in preloaded.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define REFUSED(number) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (number), 0, 1), BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL)

/* 2: the kernel has no filters, or allows none. */
static int filter_set(void) {
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        REFUSED(SYS_clone), REFUSED(SYS_clone3), REFUSED(SYS_prctl), REFUSED(SYS_seccomp),
        REFUSED(SYS_mincore),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return 2;
    return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0 ? 0 : 2;
}

/* Enough of all sizes for the library to want its thread. */
static int allocates(void) {
    static void *block[20000];
    for (int round = 0; round < 5; round++) {
        for (size_t i = 0; i < 20000; i++) {
            block[i] = malloc(i % 700 + 1);
            if (block[i] == NULL) return 3;
            memset(block[i], 1, i % 700 + 1);
        }
        for (size_t i = 0; i < 20000; i++) free(block[i]);
        for (size_t i = 0; i < 20; i++) {
            char *large = calloc(1, (size_t)3 << 20);
            if (large == NULL || large[i << 16] != 0) return 4;
            large[i << 16] = 1;
            free(large);
            large = calloc(1, 300000);
            if (large == NULL || large[i << 12] != 0) return 5;
            large[i << 12] = 1;
            free(large);
        }
    }
    return 0;
}

int main(void) {
    pid_t pid = fork();
    int status = -1;
    if (pid == 0) {
        status = filter_set();
        _exit(status == 0 ? allocates() : status);
    }
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 2) puts("no filters here");
    else CHECK_EQ(status, 0);
    /* What prctl says is said as without the library. */
    errno = 0;
    CHECK(prctl(PR_SET_SECCOMP, 77, NULL) == -1 && errno == EINVAL);
    CHECK(prctl(-1, 0, 0, 0, 0) == -1 && errno == EINVAL);
    return check_done();
}
