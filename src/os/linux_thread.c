/*
 * linux_thread.c - the engine's own thread, what it waits on, and the barrier that it can put into all other threads; threads
 * that watch; what each thread has of its own (os_slot.h), and its end. Layer: os.
 *
 * The engine's own may be wanted in the middle of anything: under a lock of the C library's, which allocates and frees while it
 * makes and ends threads, or in a signal handler. So it is not one of the C library's threads: the kernel makes it, with a stack
 * and a thread block of its own. What runs in it is the engine's code and calls of the system, and these need no more of a
 * thread block than its own address, errno and the engine's thread-local words, all zero at first. The sanitizers keep books of
 * their own of every thread, so their builds have a thread of the C library's.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atom.h"
#include "os/os.h"
#include "os/os_slot.h"

#define STACK_BYTES ((size_t)64 << 10)
#define WATCHER_STACK_BYTES ((size_t)256 << 10)
#define CONTROL_BYTES ((size_t)2560) /* at least the C library's part of a thread block, above the thread pointer */

/* ---- Threads ------------------------------------------------------------------------------------------------------ */

static void *library_main(void *run) {
    ((void (*)(void))run)();
    return NULL;
}

/* One of the C library's. */
static bool library_thread_make(void (*run)(void)) {
    pthread_attr_t attributes;
    pthread_t thread;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, WATCHER_STACK_BYTES);
    bool made = pthread_create(&thread, &attributes, library_main, (void *)run) == 0;
    pthread_attr_destroy(&attributes);
    return made;
}

#ifdef HM_SANITIZED

static bool thread_make(void (*run)(void)) { return library_thread_make(run); }

#else

/*
 * The C library, which changes the user of all threads that it knows when a program gives up its privileges, does not know of
 * this one: so it gives up all that it could have at once. (Its user stays: a change of that would show in the process.)
 */
static void privileges_drop(void) {
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}};
    syscall(SYS_capset, &header, none);
}

/*
 * Does the program run under valgrind? These instructions do nothing, but valgrind knows them and answers what is asked; it is
 * asked for its own number of levels.
 */
static bool under_valgrind(void) {
#ifdef __x86_64__
    const uint64_t question[6] = {0x1001};
    uint64_t levels = 0;
    __asm__ volatile("rolq $3, %%rdi\n\trolq $13, %%rdi\n\trolq $61, %%rdi\n\trolq $51, %%rdi\n\txchgq %%rbx, %%rbx"
                     : "+d"(levels)
                     : "a"(question)
                     : "cc", "memory");
    return levels != 0;
#else
    return false;
#endif
}

/*
 * Its working directory is its own (no CLONE_FS), and so are its root and its namespace of mounts: a program that has no thread
 * but this beside its first may change them all. Nothing that it does goes by a relative path. Not so under valgrind, which ends
 * the program where it makes a thread that does not share them.
 */
static bool place_is_shared;

static int thread_main(void *run) {
    privileges_drop();
    if (!place_is_shared && chdir("/") != 0) errno = 0; /* where even that is not allowed it stays */
    prctl(PR_SET_NAME, "hostmem");
    os_slot_set(OS_SLOT_CACHE, os_slot_unset);
    ((void (*)(void))run)();
    return 0;
}

/* How far below the thread pointer a thread-local word lies. */
static size_t depth_of(const volatile void *word) { return (size_t)((char *)__builtin_thread_pointer() - (char *)word); }

/*
 * One mapping: a page that faults, the stack, thread-local words, the control block that the thread pointer points to; without
 * gaps, so that the thread needs two pages.
 */
static bool thread_make(void (*run)(void)) {
    size_t words = depth_of(&os_slot_value), deepest = depth_of(&errno) > words ? depth_of(&errno) : words;
    size_t size = align_up(PAGE_BYTES + STACK_BYTES + align_up(deepest, 64) + CONTROL_BYTES, PAGE_BYTES);
    char *block = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (block == MAP_FAILED) return false;
    mprotect(block, PAGE_BYTES, PROT_NONE);
    char *control = block + size - CONTROL_BYTES;
    ((void **)(void *)control)[0] = ((void **)(void *)control)[2] = control; /* the words by which it finds itself */
    place_is_shared = under_valgrind();
    int flags = CLONE_VM | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM | CLONE_SETTLS;
    if (place_is_shared) flags |= CLONE_FS;
    if (clone(thread_main, control - align_up(deepest, 64), flags, (void *)run, NULL, control, NULL) != -1) return true;
    munmap(block, size);
    return false;
}

#endif

static bool start(bool (*make)(void (*run)(void)), void (*run)(void)) {
    int kept = errno;
    sigset_t all, before;
    /* The program's signals are not for it; it inherits that. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    bool started = make(run);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = kept;
    return started;
}

bool os_thread_start(void (*run)(void)) { return start(thread_make, run); }

bool os_watcher_start(void (*body)(void)) { return start(library_thread_make, body); }

static uint32_t nap_word; /* counts the calls of os_nap_end */

void os_nap(unsigned timeout_ms) {
    int kept = errno;
    uint32_t seen = atom_load_acq_u32(&nap_word); /* acq: what was written before os_nap_end is seen after the nap */
    struct timespec time = {.tv_sec = timeout_ms / 1000, .tv_nsec = (long)(timeout_ms % 1000) * 1000000};
    static uint32_t slept;
    if (seen == slept) syscall(SYS_futex, &nap_word, FUTEX_WAIT_PRIVATE, seen, timeout_ms ? &time : NULL, NULL, 0);
    slept = atom_load_acq_u32(&nap_word);
    errno = kept;
}

void os_nap_end(void) {
    int kept = errno;
    atom_add_acqrel_u32(&nap_word, 1);
    syscall(SYS_futex, &nap_word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
    errno = kept;
}

/* ---- Threads' own pointers, and their ends --------------------------------------------------------------------------- */

uint64_t os_slot_unset[8];
__thread void *os_slot_value[OS_SLOT_COUNT] __attribute__((tls_model("initial-exec"))) = {os_slot_unset};

bool os_slots_there(void) { return true; }

/* The key is made by whoever comes first: 0 not yet, 1 being made, 2 there, 3 not to be had. */
static pthread_key_t exit_key;
static uint32_t exit_key_state;

bool os_at_thread_exit(void (*on_exit)(void *value), void *value) {
    uint32_t seen = 0;
    int kept = errno;
    if (atom_cas_acqrel_u32(&exit_key_state, &seen, 1)) {
        seen = pthread_key_create(&exit_key, on_exit) == 0 ? 2 : 3;
        atom_store_rel_u32(&exit_key_state, seen); /* rel: publishes the key */
    }
    /* A thread that meets the making (1) does without this time; nobody waits. acq is in the failed CAS. */
    bool armed = seen == 2 && pthread_setspecific(exit_key, value) == 0;
    errno = kept;
    return armed;
}

bool os_has_fibers(void) { return false; }

/* ---- Fork --------------------------------------------------------------------------------------------------------- */

static uint64_t fork_told; /* void (*)(void) */

static void in_child(void) {
    void (*told)(void) = (void (*)(void))(uintptr_t)atom_load_acq_u64(&fork_told); /* acq: pairs with os_at_fork */
    if (told) told();
}

/* Now, not when it is first needed: the C library keeps its list under a lock, under which it allocates. */
__attribute__((constructor)) static void at_fork_register(void) { pthread_atfork(NULL, NULL, in_child); }

void os_at_fork(void (*told)(void)) { atom_store_rel_u64(&fork_told, (uint64_t)(uintptr_t)told); }

/* ---- Unloading --------------------------------------------------------------------------------------------------- */

/*
 * Where the engine is a part of a plug-in, the plug-in stays, whoever unloads it: the engine's thread runs in it, and threads
 * that end come back to it. The libraries made here are linked so that they stay. Now, for the linker's lock is not for the
 * middle of an allocation. dlopen is looked for: whoever links a program without a dynamic linker is warned of its name.
 */
__attribute__((constructor)) static void library_stays(void) {
    Dl_info info;
    void *found = NULL;
    if (!dladdr1(os_slot_unset, &info, &found, RTLD_DL_LINKMAP) || found == NULL) return;
    const struct link_map *map = found;
    if (map->l_name[0] == 0) return; /* the program itself */
    for (const ElfW(Dyn) *entry = map->l_ld; entry->d_tag != DT_NULL; entry++) {
        if (entry->d_tag == DT_FLAGS_1 && (entry->d_un.d_val & DF_1_NODELETE)) return;
    }
    void *(*open)(const char *, int) = (void *(*)(const char *, int))dlsym(RTLD_DEFAULT, "dlopen");
    if (open) open(map->l_name, RTLD_LAZY | RTLD_NOLOAD | RTLD_NODELETE);
}

/* ---- The barrier -------------------------------------------------------------------------------------------------- */

/*
 * Where the kernel has no membarrier: taking a page away that is in use makes it interrupt every processor that runs the
 * process, to have it forget the page. Refused, as where there would be one mapping too many, it makes nobody do anything.
 */
static bool barrier_by_page(void) {
    static _Alignas(PAGE_BYTES) uint8_t page[PAGE_BYTES];
    static uint32_t taken;
    uint32_t none = 0;
    if (!atom_cas_acqrel_u32(&taken, &none, 1)) return false;
    bool passed = mprotect(page, PAGE_BYTES, PROT_READ | PROT_WRITE) == 0;
    if (passed) {
        atom_store_rel_u8(page, 1);
        passed = mprotect(page, PAGE_BYTES, PROT_READ) == 0;
    }
    atom_store_rel_u32(&taken, 0); /* rel: pairs with the CAS */
    return passed;
}

bool os_barrier(void) {
    static uint32_t ready; /* 1: registered */
    int kept = errno;
    /* rlx: twice does no harm. */
    if (!atom_load_rlx_u32(&ready)) {
        atom_store_rlx_u32(&ready, syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0);
    }
    bool passed = syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0 || barrier_by_page();
    errno = kept;
    return passed;
}
