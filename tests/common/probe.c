/*
 * probe.c - touches one byte and tells whether that faulted.
 *
 * The three accesses are written in assembly so that they keep nothing on the stack: wherever one of them faults (for a call
 * into data: at its target), setting the instruction pointer to probe_escape makes the access function return to its caller
 * with the result in its return register. So no frame is skipped and no compiler has to know.
 */
#define _GNU_SOURCE
#include "probe.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <ucontext.h>

#include "hostmem.h"
#endif

__attribute__((sysv_abi)) int probe_read(char *address);
__attribute__((sysv_abi)) int probe_write(char *address);
__attribute__((sysv_abi)) int probe_call(char *address);
void probe_escape(void);

__asm__(".text\n"
        ".globl probe_read\nprobe_read:\n movb (%rdi), %al\n xorl %eax, %eax\n ret\n"
        /* Writes back what is there, by one instruction that needs both rights. */
        ".globl probe_write\nprobe_write:\n lock orb $0, (%rdi)\n xorl %eax, %eax\n ret\n"
        ".globl probe_call\nprobe_call:\n xorl %eax, %eax\n jmp *%rdi\n"
        ".globl probe_escape\nprobe_escape:\n ret\n");

/* One thread runs the program; the handler answers only while an access is under way. */
static volatile bool probing;

#ifdef _WIN32

static LONG CALLBACK on_exception(EXCEPTION_POINTERS *what) {
    DWORD code = what->ExceptionRecord->ExceptionCode;
    if (!probing || (code != (DWORD)EXCEPTION_ACCESS_VIOLATION && code != (DWORD)EXCEPTION_GUARD_PAGE))
        return EXCEPTION_CONTINUE_SEARCH;
    what->ContextRecord->Rip = (DWORD64)(uintptr_t)probe_escape;
    what->ContextRecord->Rax = code == (DWORD)EXCEPTION_GUARD_PAGE ? PROBE_GUARD : PROBE_FAULT;
    return EXCEPTION_CONTINUE_EXECUTION;
}

void probe_start(void) { AddVectoredExceptionHandler(1, on_exception); }

#else

static void on_signal(int signal_number, siginfo_t *what, void *context) {
    if (!probing) {
        signal(signal_number, SIG_DFL); /* the fault repeats, and ends the program as it should */
        return;
    }
    ucontext_t *state = context;
    state->uc_mcontext.gregs[REG_RAX] = HmGuardPageHit(what->si_addr) ? PROBE_GUARD : PROBE_FAULT;
    state->uc_mcontext.gregs[REG_RIP] = (greg_t)(uintptr_t)probe_escape;
}

void probe_start(void) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO};
    if (sigaction(SIGSEGV, &action, NULL) == 0 && sigaction(SIGBUS, &action, NULL) == 0) return;
    perror("sigaction");
    exit(1);
}

#endif

enum probe_result probe(char kind, char *address) {
    probing = true;
    int result = kind == 'r' ? probe_read(address) : kind == 'w' ? probe_write(address) : probe_call(address);
    probing = false;
    return (enum probe_result)result;
}
