/*
 * barrier.c - the barrier that goes through all threads where the kernel has no membarrier, and where it takes no page away
 * either: then nobody is told that there has been one.
 */
#include "check.h"

#ifdef _WIN32
int main(void) {
    CHECK(true); /* the system always has one */
    return check_done();
}
#else
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "os/os.h"

enum { ANY = -1 };

/* From now on this system call is refused, where its third argument is `third` or that is ANY. False: no filters here. */
static bool refuse(uint32_t call, uint32_t error, int third) {
    uint8_t else_allow = third == ANY ? 0 : 1;
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, call, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[2])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)third, 0, else_allow),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = sizeof filter / sizeof *filter, .filter = filter};
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 && prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

static int without_membarrier(void) {
    if (!refuse(SYS_membarrier, EPERM, ANY)) return 0;
    errno = 77;
    for (int i = 0; i < 3; i++) if (!os_barrier()) return 2;
    return errno == 77 ? 0 : 3;
}

/* Taking a page's access away may need one mapping more than there may be. */
static int without_taking(void) {
    if (!refuse(SYS_membarrier, EPERM, ANY) || !refuse(SYS_mprotect, ENOMEM, PROT_READ)) return 0;
    errno = 77;
    for (int i = 0; i < 3; i++) if (os_barrier()) return 4;
    return errno == 77 ? 0 : 5;
}

static int without_giving(void) {
    if (!refuse(SYS_membarrier, EPERM, ANY) || !os_barrier()) return 6;
    if (!refuse(SYS_mprotect, ENOMEM, ANY)) return 0;
    for (int i = 0; i < 3; i++) if (os_barrier()) return 7;
    return 0;
}

static void apart(int (*scene)(void)) {
    int status = -1;
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) _exit(scene());
    CHECK(pid > 0 && waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
}

int main(void) {
    CHECK(os_barrier());
    apart(without_membarrier);
    apart(without_taking);
    apart(without_giving);
    return check_done();
}
#endif
