/*
 * A thread that another has cancelled goes on through the engine's calls: an end in the middle of one would leave pages that
 * nobody could change again, and open files. It ends where the program itself comes to a place to end at. Linux only; there the
 * C library's calls for files and for sleeping are such places.
 */
#ifndef _WIN32
#define _GNU_SOURCE
#endif
#include "check.h"
#include "flat.h"

#ifndef _WIN32
#include <unistd.h>

#include "core/pages.h"
#include "os/fault.h"
#include "os/os.h"
#include "os/os_look.h"
#include "thread.h"

#define SIZE ((size_t)32 * MIB)

/* Of the kernel's, which the engine opens for a moment. */
static unsigned files(void) {
    unsigned count = 0;
    char path[64], file[64];
    for (int fd = 0; fd < 2000; fd++) {
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        count += readlink(path, file, sizeof file) > 6 && memcmp(file, "/proc/", 6) == 0;
    }
    return count;
}

/* Each takes a reservation of SIZE. */

static void looks_at_others(char *p) {
    MEMORY_BASIC_INFORMATION info;
    DWORD old;
    (void)p;
    CHECK(HmVirtualQuery((void *)(uintptr_t)printf, &info, sizeof info) == sizeof info);
    CHECK(HmVirtualProtect((void *)(uintptr_t)printf, 1, PAGE_EXECUTE_READ, &old));
    CHECK(!HmVirtualFree((void *)(uintptr_t)printf, 0, MEM_RELEASE));
}

static void grows(char *p) {
    for (size_t at = 0; at < SIZE; at += 256 * KIB) CHECK(commit(p + at, 256 * KIB));
}

static void looks_at_all(char *p) {
    HM_STATS stats = {.cbSize = sizeof stats};
    (void)p;
    CHECK(HmGetStats(&stats));
    CHECK(os_file_append("/dev/null", "text", 4));
}

static IHostMemoryManager *limited;

/* Past the brink, of which the engine's thread is told. */
static void comes_to_a_limit(char *p) {
    void *memory = NULL;
    DWORD load;
    (void)p;
    CHECK(limited->lpVtbl->VirtualAlloc(limited, NULL, 2 * MIB, MEM_COMMIT, PAGE_READWRITE, eTaskCritical, &memory) == S_OK);
    CHECK(limited->lpVtbl->GetMemoryLoad(limited, &load, NULL) == S_OK);
    CHECK(limited->lpVtbl->VirtualFree(limited, memory, 0, MEM_RELEASE) == S_OK);
}

/* For longer than a thread goes on trying. */
static void *let_go(void *page) {
    thread_rest(0.02);
    pages_unlock(page_of((uintptr_t)page), 1);
    return NULL;
}

static void waits_for_pages(char *p) {
    struct threads other = {0};
    DWORD old;
    if (!CHECK(commit(p, PAGE))) return;
    pages_lock(page_of((uintptr_t)p), 1);
    threads_start(&other, let_go, p);
    CHECK(HmVirtualProtect(p, PAGE, PAGE_READONLY, &old));
    pthread_detach(other.ids[0]); /* to join it would be a place to end at */
}

struct turn {
    void (*calls)(char *p);
    char *reserved;
    bool went_on;
};

static void *cancelled(void *context) {
    struct turn *turn = context;
    pthread_cancel(pthread_self());
    turn->calls(turn->reserved);
    turn->went_on = true;
    pthread_testcancel();
    return NULL;
}

static void goes_on(void (*calls)(char *p)) {
    struct turn turn = {calls, reserve(SIZE), false};
    unsigned before = files();
    pthread_t thread;
    void *end = NULL;
    if (!CHECK(turn.reserved != NULL) || !CHECK(pthread_create(&thread, NULL, cancelled, &turn) == 0)) return;
    pthread_join(thread, &end);
    CHECK(turn.went_on && end == PTHREAD_CANCELED);
    for (int i = 0; i < 100 && files() != before; i++) thread_rest(0.01); /* the engine's thread has some open now and then */
    CHECK_EQ(files(), before);
    if (turn.went_on) CHECK(release(turn.reserved)); /* else it might wait for ever */
}

int main(void) {
    HM_LIMITS limits = {.cbSize = sizeof limits, .cbHardCommit = 2 * MIB};
    HM_OPTIONS options = {.cbSize = sizeof options, .pLimits = &limits};
    char *first = reserve(SIZE);
#ifdef HM_FAULT
    os_linux_any_price = true; /* every block's memory is asked for at once */
#endif
    grows(first); /* with it comes the file that is kept */
    CHECK(release(first));
    if (!CHECK(HmCreateMemoryManager(&options, &limited) == S_OK)) return check_done();
    thread_rest(0.2); /* its thread listens by now */
    goes_on(looks_at_others);
    goes_on(grows);
    goes_on(looks_at_all);
    goes_on(waits_for_pages);
    goes_on(comes_to_a_limit);
    CHECK_EQ(limited->lpVtbl->Release(limited), 0);
    return check_done();
}
#else
int main(void) {
    CHECK(HmTrim() == 0); /* there nobody is cancelled */
    return check_done();
}
#endif
