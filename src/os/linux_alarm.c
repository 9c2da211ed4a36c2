/*
 * linux_alarm.c - what wakes the thread that watches, on Linux.
 *
 *   the bell     two sockets: whoever rings sends a byte to one, the thread listens at the other. Kept for life, so that
 *                whoever rings never meets a closed one
 *   the trigger  /proc/pressure/memory, or memory.pressure of the process's group: the kernel tells when tasks have stood still
 *                for memory during 200 of 2,000 ms (windows of 2 s are what an ordinary user may ask for)
 *   the events   memory.events of the group (version 2): it is modified when the group meets one of its limits
 *
 * Looking again: stalls are scarcity from an average of 10 % over ten seconds on, until it is below 5 %; what the trigger or an
 * event told is scarcity at the next look alone.
 *
 * The program may close all of these descriptors, as programs do that close whatever they have not opened, and then have others
 * under their numbers. So each is known by a mark that is looked at before the number is used. A bell that is closed wakes the
 * thread, which makes another one; what cannot be had again is replaced by a look every second. A bell takes nothing but sends:
 * in the moment between look and use a number could only lead to another socket, and a socket without listener raises no signal.
 *
 * All but the bell's sending end is the watching thread's alone.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/atom.h"
#include "os/linux_files.h"
#include "os/os.h"
#include "os/os_alarm.h"

#define TRIGGER "some 200000 2000000"
#define DEAF_MS 1000u   /* between looks without a bell */
#define LONGEST_MS 60000u /* a bell that a child process still holds is closed unheard */
#define CLOSING_MS 100u /* until a program that closes everything is done with that */

struct kept {
    int fd; /* -1: none */
    uint64_t mark;
};

/* The sending end: its number + 1, 0 for none, and its mark, which is written first. */
static uint64_t bell, bell_mark;
static struct kept hearing = {.fd = -1}, trigger = {.fd = -1};
static int events = -1;
static char events_mark[LINUX_MARK_ROOM];
static char pressure_path[512], events_path[512];
static uint64_t events_seen;
static bool scarce, pulled;
static bool deaf; /* something that was closed cannot be had again */

/* ---- The thread and its bell ---------------------------------------------------------------------------------- */

static bool kept_holds(const struct kept *kept) { return kept->fd >= 0 && linux_file_mark(kept->fd) == kept->mark; }

/* Takes a new descriptor, or -1. False: there is none, or it could not be known again. */
static bool kept_take(struct kept *kept, int fd) {
    kept->fd = linux_file_aside(fd, false);
    kept->mark = linux_file_mark(kept->fd);
    if (kept->fd >= 0 && kept->mark == 0) {
        linux_close(kept->fd);
        kept->fd = -1;
    }
    return kept->fd >= 0;
}

static void kept_close(struct kept *kept) {
    if (kept_holds(kept)) linux_close(kept->fd);
    kept->fd = -1;
}

/* Is it known to be the same, and is it known to be another? */
static bool events_are(bool same) {
    char mark[LINUX_MARK_ROOM];
    return events >= 0 && linux_inotify_mark(events, mark) && (strcmp(mark, events_mark) == 0) == same;
}

/* acq, both: pairs with bell_make, so that the mark is the number's or a later one's. */
static struct kept bell_kept(void) {
    int fd = (int)atom_load_acq_u64(&bell) - 1;
    return (struct kept){fd, atom_load_acq_u64(&bell_mark)};
}

static void bell_close(void) {
    struct kept sending = bell_kept();
    atom_store_rel_u64(&bell, 0);
    kept_close(&sending);
    kept_close(&hearing);
}

static bool bell_holds(void) {
    struct kept sending = bell_kept();
    return kept_holds(&sending) && kept_holds(&hearing);
}

static bool bell_make(void) {
    int ends[2];
    bell_close();
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) != 0) return false;
    struct kept sending;
    bool there = kept_take(&sending, ends[0]);
    if (!kept_take(&hearing, ends[1]) || !there) {
        kept_close(&sending);
        kept_close(&hearing);
        return false;
    }
    atom_store_rel_u64(&bell_mark, sending.mark);
    atom_store_rel_u64(&bell, (uint64_t)sending.fd + 1); /* rel: publishes the mark */
    return true;
}

enum status OS_FUNCTION(alarm_start)(void (*watch)(void)) { return os_watcher_start(watch) ? ST_OK : ST_NO_MEMORY; }

void os_alarm_ring(void) {
    int kept = errno;
    struct kept sending = bell_kept();
    /* It can only be refused because nobody has listened to very many rings, or is about to make another bell. */
    if (kept_holds(&sending)) syscall(SYS_sendto, sending.fd, "", (size_t)1, MSG_DONTWAIT | MSG_NOSIGNAL, NULL, 0);
    errno = kept;
}

static void (*fork_told)(void);

/* The parent's thread has the parent's bell and trigger: the child must not use them. */
static void fork_child(void) {
    int kept = errno;
    bell_close();
    os_alarm_close();
    errno = kept;
    fork_told();
}

void os_alarm_at_fork(void (*told)(void)) {
    fork_told = told;
    pthread_atfork(NULL, NULL, fork_child);
}

/* ---- Sources -------------------------------------------------------------------------------------------------- */

/* The process's group of version 2 as a path below /sys/fs/cgroup; empty for the root or none. */
static void group_path(char *group, size_t room) {
    char text[512];
    int fd = linux_file_open("/proc/self/cgroup", O_RDONLY);
    group[0] = 0;
    if (fd < 0) return;
    struct linux_lines lines = LINUX_LINES(text, fd);
    for (char *line; (line = linux_lines_next(&lines));) {
        size_t length = strlen(line);
        if (strncmp(line, "0::/", 4) == 0 && length > 4 && length - 3 < room) snprintf(group, room, "%s", line + 3);
    }
    linux_close(fd);
}

/* The kernel tells whoever has written what it is to tell of. */
static bool trigger_open(void) {
    int fd = linux_file_open(pressure_path, O_RDWR | O_NONBLOCK);
    if (fd >= 0 && linux_write(fd, TRIGGER, sizeof TRIGGER) != (ssize_t)sizeof TRIGGER) {
        linux_close(fd);
        fd = -1;
    }
    return kept_take(&trigger, fd);
}

static bool events_open(void) {
    char full[LINUX_PATH_MOST];
    int fd = linux_path(events_path, full) ? inotify_init1(IN_CLOEXEC | IN_NONBLOCK) : -1;
    events_mark[0] = 0;
    if (fd >= 0 && inotify_add_watch(fd, full, IN_MODIFY) >= 0) linux_inotify_mark(fd, events_mark);
    if (fd >= 0 && !events_mark[0]) {
        linux_close(fd);
        fd = -1;
    }
    events = linux_file_aside(fd, false);
    return fd >= 0;
}

/* How often the group has met a limit. */
static uint64_t events_count(void) {
    char text[512];
    if (!events_path[0] || !linux_file_text(events_path, text, sizeof text)) return 0;
    return linux_number_after(text, "high ") + linux_number_after(text, "max ") + linux_number_after(text, "oom ");
}

/*
 * Is there a group whose limit is tighter than the machine? It may fill up with memory that cannot be reclaimed without any stall
 * or event before the kernel starts to kill, so it has to be looked at now and then.
 */
static bool group_limited(void) {
    char text[256];
    struct os_memory memory;
    if (os_memory_load(&memory) != ST_OK || !linux_file_text("/proc/meminfo", text, sizeof text)) return true;
    return memory.total_bytes < linux_number_after(text, "MemTotal:") << 10;
}

bool os_alarm_open(void) {
    int kept = errno;
    char group[400];
    group_path(group, sizeof group);
    snprintf(events_path, sizeof events_path, "/sys/fs/cgroup%s/memory.events", group);
    snprintf(pressure_path, sizeof pressure_path, "/sys/fs/cgroup%s/memory.pressure", group);
    if (!group[0] || !trigger_open()) {
        snprintf(pressure_path, sizeof pressure_path, "/proc/pressure/memory");
        trigger_open();
    }
    if (!group[0] || !events_open()) events_path[0] = 0;
    events_seen = events_count();
    scarce = pulled = deaf = false;
    if (!bell_holds()) bell_make();
    bool tells = trigger.fd >= 0 && !group_limited();
    errno = kept;
    return tells;
}

void os_alarm_close(void) {
    kept_close(&trigger);
    if (events_are(true)) linux_close(events);
    events = -1;
}

/* What the program has closed is made again, as far as it can be had. True: there may have been something to hear meanwhile. */
static bool restore(void) {
    bool lost_trigger = trigger.fd >= 0 && !kept_holds(&trigger), lost_events = events_are(false);
    bool rung = !bell_holds() && bell_make();
    if (lost_trigger && !trigger_open()) deaf = true;
    if (lost_events && !events_open()) deaf = true;
    return rung || lost_trigger || lost_events;
}

static void hear(int timeout_ms) {
    struct pollfd fds[] = {{hearing.fd, POLLIN, 0}, {trigger.fd, POLLPRI, 0}, {events, POLLIN, 0}};
    char heard[4096];
    poll(fds, 3, timeout_ms);
    /* The numbers may lead elsewhere by now. What is lost is restored before the next wait. */
    bool happened = fds[2].revents && events_are(true);
    bool closing = fds[0].revents & ~POLLIN || (fds[2].revents && !happened);
    if (closing) nanosleep(&(struct timespec){.tv_nsec = CLOSING_MS * 1000000}, NULL);
    if (fds[0].revents && kept_holds(&hearing)) recv(hearing.fd, heard, sizeof heard, MSG_DONTWAIT);
    if (happened && linux_read(events, heard, sizeof heard) < 0) errno = 0;
    if (fds[1].revents & POLLPRI && kept_holds(&trigger)) pulled = true;
    if (fds[1].revents & (POLLERR | POLLHUP | POLLNVAL)) kept_close(&trigger); /* its group is gone */
}

void os_alarm_wait(uint64_t timeout_ms) {
    int kept = errno;
    if (!restore()) {
        uint64_t most = deaf || hearing.fd < 0 ? DEAF_MS : LONGEST_MS;
        hear((int)(timeout_ms < most ? timeout_ms : most));
    }
    errno = kept;
}

unsigned os_alarm_look(void) {
    char text[512];
    int kept = errno;
    if (linux_file_text(pressure_path, text, sizeof text)) {
        uint64_t percent = linux_number_after(text, "some avg10=");
        if (percent >= 10 || percent < 5) scarce = percent >= 10;
    }
    uint64_t count = events_count();
    bool met = pulled || count != events_seen;
    events_seen = count;
    pulled = false;
    errno = kept;
    return scarce || met ? OS_ALARM_SCARCE : 0;
}
