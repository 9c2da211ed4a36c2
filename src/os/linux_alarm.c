/*
 * linux_alarm.c - what wakes the thread that watches, on Linux.
 *
 *   the bell     an event descriptor; made once and kept for life, so that whoever rings never meets a closed one
 *   the trigger  /proc/pressure/memory, or memory.pressure of the process's group: the kernel tells when tasks have stood still
 *                for memory during 200 of 2,000 ms (windows of 2 s are what an ordinary user may ask for)
 *   the events   memory.events of the group (version 2): it is modified when the group meets one of its limits
 *
 * Looking again: stalls are scarcity from an average of 10 % over ten seconds on, until it is below 5 %; what the trigger or an
 * event told is scarcity at the next look alone.
 *
 * All but the bell is the watching thread's alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/atom.h"
#include "os/linux_files.h"
#include "os/os.h"
#include "os/os_alarm.h"

#define TRIGGER "some 200000 2000000"
#define STACK_BYTES ((size_t)256 << 10)

static uint64_t bell; /* descriptor + 1; 0: not made yet */
static int trigger = -1, events = -1;
static char pressure_path[512], events_path[512];
static uint64_t events_seen;
static bool scarce, pulled;

/* ---- The thread and its bell ---------------------------------------------------------------------------------- */

static bool bell_make(void) {
    uint64_t none = 0;
    if (atom_load_acq_u64(&bell)) return true; /* acq: pairs with the CAS */
    int fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (fd < 0) return false;
    if (!atom_cas_acqrel_u64(&bell, &none, (uint64_t)fd + 1)) close(fd);
    return true;
}

static void *thread_main(void *watch) {
    ((void (*)(void))(uintptr_t)watch)();
    return NULL;
}

enum status OS_FUNCTION(alarm_start)(void (*watch)(void)) {
    int kept = errno;
    sigset_t all, before;
    pthread_attr_t attributes;
    pthread_t thread;
    bool good = bell_make() && pthread_attr_init(&attributes) == 0;
    if (good) {
        pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
        pthread_attr_setstacksize(&attributes, STACK_BYTES);
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before); /* the new thread inherits it */
        good = pthread_create(&thread, &attributes, thread_main, (void *)(uintptr_t)watch) == 0;
        pthread_sigmask(SIG_SETMASK, &before, NULL);
        pthread_attr_destroy(&attributes);
    }
    errno = kept;
    return good ? ST_OK : ST_NO_MEMORY;
}

void os_alarm_ring(void) {
    uint64_t fd = atom_load_acq_u64(&bell), one = 1; /* acq: as above */
    int kept = errno;
    /* It can only be refused because nobody has listened to very many rings. */
    if (fd && write((int)(fd - 1), &one, sizeof one) < 0) errno = kept;
}

static void (*fork_told)(void);

/* The parent's thread reads the parent's bell and trigger: the child must not use them. */
static void fork_child(void) {
    uint64_t fd = atom_load_rlx_u64(&bell); /* rlx: there is one thread */
    if (fd) close((int)(fd - 1));
    atom_store_rlx_u64(&bell, 0);
    os_alarm_close();
    fork_told();
}

void os_alarm_at_fork(void (*told)(void)) {
    fork_told = told;
    pthread_atfork(NULL, NULL, fork_child);
}

/* ---- Sources -------------------------------------------------------------------------------------------------- */

/* The process's group of version 2 as a path below /sys/fs/cgroup; empty for the root or none. */
static void group_path(char *group, size_t room) {
    char text[4096];
    group[0] = 0;
    if (!linux_file_text("/proc/self/cgroup", text, sizeof text)) return;
    for (char *line = text; line; line = strchr(line, '\n'), line = line ? line + 1 : NULL) {
        if (strncmp(line, "0::/", 4) != 0) continue;
        size_t length = strcspn(line + 3, "\n");
        if (length > 1 && length < room) snprintf(group, room, "%.*s", (int)length, line + 3);
        return;
    }
}

static int open_path(const char *path, int flags) {
    char full[LINUX_PATH_MOST];
    return linux_path(path, full) ? open(full, flags | O_CLOEXEC) : -1;
}

/* The kernel tells whoever has written what it is to tell of. */
static int trigger_open(const char *path) {
    int fd = open_path(path, O_RDWR | O_NONBLOCK);
    if (fd >= 0 && write(fd, TRIGGER, sizeof TRIGGER) != (ssize_t)sizeof TRIGGER) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int events_open(const char *path) {
    char full[LINUX_PATH_MOST];
    int fd = linux_path(path, full) ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
    if (fd >= 0 && inotify_add_watch(fd, full, IN_MODIFY) < 0) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* How often the group has met a limit. */
static uint64_t events_count(void) {
    char text[512];
    if (!events_path[0] || !linux_file_text(events_path, text, sizeof text)) return 0;
    return linux_number_after(text, "high ", 0) + linux_number_after(text, "max ", 0) + linux_number_after(text, "oom ", 0);
}

/*
 * Is there a group whose limit is tighter than the machine? It may fill up with memory that cannot be reclaimed without any stall
 * or event before the kernel starts to kill, so it has to be looked at now and then.
 */
static bool group_limited(void) {
    char text[4096];
    struct os_memory memory;
    if (os_memory_load(&memory) != ST_OK || !linux_file_text("/proc/meminfo", text, sizeof text)) return true;
    return memory.total_bytes < linux_number_after(text, "MemTotal:", 0) << 10;
}

bool os_alarm_open(void) {
    int kept = errno;
    char group[400];
    group_path(group, sizeof group);
    snprintf(events_path, sizeof events_path, "/sys/fs/cgroup%s/memory.events", group);
    snprintf(pressure_path, sizeof pressure_path, "/sys/fs/cgroup%s/memory.pressure", group);
    trigger = group[0] ? trigger_open(pressure_path) : -1;
    if (trigger < 0) {
        snprintf(pressure_path, sizeof pressure_path, "/proc/pressure/memory");
        trigger = trigger_open(pressure_path);
    }
    events = group[0] ? events_open(events_path) : -1;
    if (events < 0) events_path[0] = 0;
    events_seen = events_count();
    scarce = pulled = false;
    bool tells = trigger >= 0 && !group_limited();
    errno = kept;
    return tells;
}

void os_alarm_close(void) {
    if (trigger >= 0) close(trigger);
    if (events >= 0) close(events);
    trigger = events = -1;
}

void os_alarm_wait(uint64_t timeout_ms) {
    int kept = errno;
    struct pollfd fds[] = {
        {(int)atom_load_rlx_u64(&bell) - 1, POLLIN, 0}, /* rlx: made before the thread was */
        {trigger, POLLPRI, 0},
        {events, POLLIN, 0},
    };
    poll(fds, 3, timeout_ms > 1u << 30 ? -1 : (int)timeout_ms);
    uint64_t rung;
    char heard[4096];
    if (fds[0].revents && read(fds[0].fd, &rung, sizeof rung) < 0) errno = kept;
    if (fds[2].revents && read(fds[2].fd, heard, sizeof heard) < 0) errno = kept;
    if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) { /* its group is gone */
        close(trigger);
        trigger = -1;
    }
    if (fds[1].revents & POLLPRI) pulled = true;
    errno = kept;
}

unsigned os_alarm_look(void) {
    char text[512];
    int kept = errno;
    if (linux_file_text(pressure_path, text, sizeof text)) {
        uint64_t percent = linux_number_after(text, "some avg10=", 0);
        if (percent >= 10 || percent < 5) scarce = percent >= 10;
    }
    uint64_t count = events_count();
    bool met = pulled || count != events_seen;
    events_seen = count;
    pulled = false;
    errno = kept;
    return scarce || met ? OS_ALARM_SCARCE : 0;
}
