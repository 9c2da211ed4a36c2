/*
 * A view that could not be published at first: asked for again it is, and a child made by fork has one thread for it. An interval
 * out of range asks for none.
 */
#include "policy/view.h"

#include "check.h"
#include "environment.h"
#include "hostmem.h"

#if !defined(_WIN32) && !defined(HM_SANITIZED)
#include <dirent.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int threads(void) {
    char path[300], name[20];
    int count = 0;
    DIR *tasks = opendir("/proc/self/task");
    if (!CHECK(tasks != NULL)) return 0;
    for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
        if (task->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "/proc/self/task/%s/comm", task->d_name);
        FILE *file = fopen(path, "r");
        /* The engine's own one, which has a name of its own, is another's business. */
        if (file && fgets(name, sizeof name, file) && strcmp(name, "hostmem\n") != 0) count++;
        if (file) fclose(file);
    }
    closedir(tasks);
    return count;
}

static void test_second_try(void) {
    struct rlimit limit, none = {0, 0};
    int status = -1;
    CHECK(getrlimit(RLIMIT_AS, &limit) == 0);
    none.rlim_max = limit.rlim_max;
    CHECK(setrlimit(RLIMIT_AS, &none) == 0); /* no stack for a thread */
    CHECK(!view_start(1));
    CHECK(setrlimit(RLIMIT_AS, &limit) == 0);
    CHECK(view_start(1) && threads() == 2);
    pid_t pid = fork();
    if (pid == 0) _exit(threads());
    CHECK(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), 2);
}
#else
static void test_second_try(void) { CHECK(view_start(1)); }
#endif

/* What is neither 1 nor an interval that can be kept counts as not set. */
static void test_out_of_range(void) {
    static const char *const values[] = {"0", "2", "9", "5e", "-1"};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        environment_set("HOSTMEM_PUBLISH", values[i]);
        CHECK(!view_start_if_asked());
    }
}

static void test_asked(void) {
    environment_set("HOSTMEM_PUBLISH", "10");
    CHECK(view_start_if_asked());
}

int main(void) {
    test_out_of_range();
    test_second_try();
    test_asked();
    return check_done();
}
