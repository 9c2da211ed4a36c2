/*
 * A program that closes descriptors which it has not opened, as daemons do, and opens its own under their numbers: the thread
 * that watches leaves those alone, and goes on to tell of pressure. Linux; that a program does so while others use the numbers is
 * a race, of which the thread sanitizer would tell.
 */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "listener.h"
#include "machine.h"
#include "policy/pressure.h"

#if !defined(_WIN32) && defined(HM_FAULT) && !defined(__SANITIZE_THREAD__)
#include <dirent.h>
#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define MOST 64
#define SENT "ABCDEFGH"

enum kind { FILE_OWN, SOCKET_OWN, EVENT_OWN, INOTIFY_OWN, KINDS };

static int number[MOST], peer[MOST], count;
static enum kind kind[MOST];
static char watched[] = "hostmem-watched-XXXXXX";

/* All descriptors but the standard ones. */
static void numbers_find(void) {
    DIR *folder = opendir("/proc/self/fd");
    count = 0;
    if (!CHECK(folder != NULL)) return;
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        int fd = atoi(entry->d_name);
        if (fd > 2 && fd != dirfd(folder) && CHECK(count < MOST)) number[count++] = fd;
    }
    closedir(folder);
}

static int own_open(int i) {
    int ends[2], fd;
    switch (kind[i]) {
    case SOCKET_OWN: /* with something to read in it, that is the program's */
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) return -1;
        peer[i] = fcntl(ends[1], F_DUPFD, 3000);
        close(ends[1]);
        return write(peer[i], SENT, sizeof SENT) == sizeof SENT ? ends[0] : -1;
    case EVENT_OWN: return eventfd(5, EFD_NONBLOCK);
    case INOTIFY_OWN:
        fd = inotify_init1(IN_NONBLOCK);
        return inotify_add_watch(fd, watched, IN_MODIFY) >= 0 ? fd : -1;
    default:
        fd = memfd_create("own", 0);
        return write(fd, SENT, sizeof SENT) == sizeof SENT ? fd : -1;
    }
}

/* Closes them all and has something of this kind under each of their numbers. */
static void numbers_take(enum kind what) {
    for (int i = 0; i < count; i++) close(number[i]);
    for (int i = 0; i < count; i++) {
        kind[i] = what;
        int fd = own_open(i);
        if (!CHECK(fd >= 0) || fd == number[i]) continue;
        CHECK(dup2(fd, number[i]) == number[i]);
        close(fd);
    }
}

/* They are as the program left them. */
static void numbers_check(void) {
    char text[4096];
    uint64_t value = 0;
    for (int i = 0; i < count; i++) {
        switch (kind[i]) {
        case SOCKET_OWN:
            CHECK(recv(number[i], text, sizeof text, MSG_DONTWAIT) == sizeof SENT && memcmp(text, SENT, sizeof SENT) == 0);
            CHECK(recv(peer[i], text, sizeof text, MSG_DONTWAIT) == -1);
            close(peer[i]);
            break;
        case EVENT_OWN: CHECK(read(number[i], &value, sizeof value) == sizeof value && value == 5); break;
        case INOTIFY_OWN: CHECK(read(number[i], text, sizeof text) > 0); break;
        default: CHECK(pread(number[i], text, sizeof text, 0) == sizeof SENT && memcmp(text, SENT, sizeof SENT) == 0);
        }
    }
}

static void events_happen(int amount) {
    char text[100];
    snprintf(text, sizeof text, "low 0\nhigh %d\nmax 0\noom 0\n", amount);
    machine_write("/sys/fs/cgroup/job/memory.events", text);
    FILE *f = fopen(watched, "w");
    if (CHECK(f != NULL)) fputs(text, f), fclose(f);
}

static void test_kind(enum kind what) {
    struct listener l = LISTENER;
    IHostMemoryManager *m = manager_make(&LIMITS(.cbHardCommit = 16 * MIB));
    DWORD load;
    listen_to(m, &l);
    EVENTUALLY(heard(&l, eMemoryAvailableHigh) >= 1);
    nap(50); /* it sleeps */
    numbers_find();
    CHECK(count >= 3);
    numbers_take(what);
    for (int i = 0; i < 3; i++) {
        uint32_t lows = heard(&l, eMemoryAvailableLow);
        void *start = take(m, 15 * MIB);
        CHECK(m->lpVtbl->GetMemoryLoad(m, &load, NULL) == S_OK);
        EVENTUALLY(heard(&l, eMemoryAvailableLow) > lows);
        give(m, start);
        EVENTUALLY(last(&l) != eMemoryAvailableLow);
    }
    /* The group's limit is still heard of. */
    uint32_t lows = heard(&l, eMemoryAvailableLow);
    events_happen((int)what + 1);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) > lows);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    EVENTUALLY(!pressure_watched());
    numbers_check();
    for (int i = 0; i < count; i++) CHECK(close(number[i]) == 0);
}

/* Without any descriptor it looks now and then. */
static void test_without(void) {
    struct listener l = LISTENER;
    struct rlimit before;
    CHECK(getrlimit(RLIMIT_NOFILE, &before) == 0);
    CHECK(setrlimit(RLIMIT_NOFILE, &(struct rlimit){3, before.rlim_max}) == 0);
    IHostMemoryManager *m = manager_make(&LIMITS(.cbHardCommit = 16 * MIB));
    listen_to(m, &l);
    EVENTUALLY(pressure_watched());
    nap(50);
    void *start = take(m, 15 * MIB);
    EVENTUALLY(heard(&l, eMemoryAvailableLow) >= 1);
    give(m, start);
    EVENTUALLY(last(&l) != eMemoryAvailableLow);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
    EVENTUALLY(!pressure_watched());
    CHECK(setrlimit(RLIMIT_NOFILE, &before) == 0);
}

static void in_child(void) { numbers_take(FILE_OWN); }

static void test_fork(void) {
    IHostMemoryManager *m = manager_make(&LIMITS(.cbHardCommit = 16 * MIB));
    int status = -1;
    EVENTUALLY(pressure_watched());
    nap(50);
    numbers_find();
    fflush(NULL);
    pid_t pid = fork();
    if (pid == 0) {
        numbers_check();
        give(m, take(m, 15 * MIB));
        nap(100);
        numbers_check();
        _exit(check_done());
    }
    CHECK(waitpid(pid, &status, 0) == pid);
    CHECK_EQ(status, 0);
    CHECK_EQ(m->lpVtbl->Release(m), 0);
}

int main(void) {
    machine_make();
    int file = mkstemp(watched);
    if (!CHECK(file >= 0)) return check_done();
    close(file);
    machine_put("/proc/meminfo", "MemTotal: 1000000 kB\nMemAvailable: 800000 kB\n");
    machine_put("/proc/self/cgroup", "0::/job\n");
    machine_put("/sys/fs/cgroup/job/memory.pressure", "");
    events_happen(0);
    machine_show(true);
    pthread_atfork(NULL, NULL, in_child); /* before the engine's own */
    test_fork();
    test_without();
    for (enum kind what = FILE_OWN; what < KINDS; what++) test_kind(what);
    unlink(watched);
    machine_remove();
    return check_done();
}
#else
int main(void) {
    CHECK(!pressure_watched());
    return check_done();
}
#endif
