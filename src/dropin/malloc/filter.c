/*
 * filter.c - programs that put a filter in front of their system calls.
 *
 * Such a filter may end a process that makes a thread, or asks whether there is a filter (sshd's does, in the process that talks
 * to those who have not logged in yet). So a process that sets one by prctl has no keeper, unless its keeper runs by then: a
 * filter does not bind threads that were there before. Nor does it ask which pages are in memory, which no C library does.
 */
#define _GNU_SOURCE
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/keeper.h"
#include "dropin/malloc/dropin.h"
#include "os/os.h"

/* As the C library: takes four arguments however many there are. */
DROPIN_EXPORT int prctl(int option, ...) {
    unsigned long argument[4];
    va_list list;
    va_start(list, option);
    for (int i = 0; i < 4; i++) argument[i] = va_arg(list, unsigned long);
    va_end(list);
    if (option == PR_SET_SECCOMP) {
        keeper_forgo();
        os_touched_forgo();
    }
    return (int)syscall(SYS_prctl, option, argument[0], argument[1], argument[2], argument[3]);
}
