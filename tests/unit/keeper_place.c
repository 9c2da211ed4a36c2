/*
 * The keeper has a root and a working directory of its own, so that none of the program's stays in use and a program without
 * other threads may enter a mount namespace. Linux; where the sanitizers keep books of all threads it is a thread like others.
 */
#define _GNU_SOURCE
#include "check.h"
#include "core/keeper.h"

#if !defined(_WIN32) && !defined(HM_SANITIZED)
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Where the thread of that name is; empty: there is none. */
static void place_of(const char *name, char place[300]) {
    DIR *tasks = opendir("/proc/self/task");
    place[0] = 0;
    if (!CHECK(tasks != NULL)) return;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        char path[300], text[32] = "";
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        int fd = open(path, O_RDONLY);
        if (fd < 0 || read(fd, text, sizeof text - 1) < 0) text[0] = 0;
        if (fd >= 0) close(fd);
        text[strcspn(text, "\n")] = 0;
        if (strcmp(text, name) != 0) continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/cwd", task->d_name);
        ssize_t length = readlink(path, place, 299);
        place[length > 0 ? length : 0] = 0;
    }
    closedir(tasks);
}

int main(void) {
    char place[300], folder[] = "/tmp/hostmem-place-XXXXXX";
    if (!CHECK(mkdtemp(folder) != NULL) || !CHECK(chdir(folder) == 0)) return check_done();
    keeper_wanted();
    CHECK(keeper_runs());
    for (int i = 0; i < 1000; i++) {
        place_of("hostmem", place);
        if (strcmp(place, "/") == 0) break;
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    CHECK(strcmp(place, "/") == 0);
    char own[300] = "";
    CHECK(getcwd(own, sizeof own) != NULL && strcmp(own, folder) == 0);
    CHECK(rmdir(folder) == 0);
    int fd = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
    int entered = setns(fd, CLONE_NEWNS);
    CHECK(entered == 0 || errno == EPERM); /* as an ordinary user it is not allowed */
    close(fd);
    return check_done();
}
#else
int main(void) {
    CHECK(!keeper_runs());
    return check_done();
}
#endif
