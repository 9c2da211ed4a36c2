#!/usr/bin/env bash
# A plug-in that has all of the engine in it (libhostmem.a) is loaded, used and unloaded while a thread that has used it lives on:
# the thread's end, the engine's own thread and the children of forks come back to it, so it has to stay. Linux.
set -u
cd "${0%/*}/../.." || exit 1
. tests/common/check.sh

library=build/linux/libhostmem.a
built $library

cat >"$work/plugin.c" <<'END_C'
#include <hostmem.h>
#include <string.h>
int use(void) {
    size_t large = (size_t)8 << 20;
    char *block = HmHeapAlloc(NULL, 0, 100), *memory = HmVirtualAlloc(NULL, large, MEM_COMMIT, PAGE_READWRITE);
    if (block == NULL || memory == NULL) return 1;
    memset(memory, 1, large);
    /* Enough of it for the engine's thread, which gives it back. */
    return !(HmHeapFree(NULL, 0, block) && HmVirtualFree(memory, 0, MEM_RELEASE));
}
END_C
cat >"$work/program.c" <<'END_C'
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
static int (*use)(void);
static pthread_barrier_t turn;
static void *user(void *failed) {
    *(int *)failed = use();
    pthread_barrier_wait(&turn);
    pthread_barrier_wait(&turn);
    return NULL;
}
int main(int count, char **argument) {
    pthread_barrier_init(&turn, NULL, 2);
    for (int round = 0; round < 3; round++) {
        pthread_t thread;
        int failed = 0, status = 1;
        void *plugin = dlopen(argument[count - 1], RTLD_NOW | RTLD_LOCAL);
        if (plugin == NULL) return puts(dlerror()), 2;
        *(void **)&use = dlsym(plugin, "use");
        if (use() != 0 || pthread_create(&thread, NULL, user, &failed) != 0) return 3;
        pthread_barrier_wait(&turn);
        dlclose(plugin);
        pthread_barrier_wait(&turn);
        pthread_join(thread, NULL);
        usleep(600000); /* two of the engine's rounds */
        pid_t child = fork();
        if (child == 0) _exit(0);
        if (failed || waitpid(child, &status, 0) != child || status != 0) return 4;
    }
    puts("all rounds");
    return 0;
}
END_C
check "the program" gcc -O1 -pthread -o "$work/program" "$work/program.c"
check "a plug-in with the engine in it" gcc -O1 -fPIC -shared -Iinclude -o "$work/plugin.so" "$work/plugin.c" $library
expect "it is unloaded under its threads" 0 '^all rounds$' "$work/program" "$work/plugin.so"
check "a plug-in that needs the engine's library" gcc -O1 -fPIC -shared -Iinclude -o "$work/other.so" "$work/plugin.c" \
    -Lbuild/linux -lhostmem -Wl,-rpath,"$PWD/build/linux"
expect "it is unloaded" 0 '^all rounds$' "$work/program" "$work/other.so"
expect "under the malloc drop-in, too" 0 '^all rounds$' env LD_PRELOAD="$PWD/build/linux/libhostmem-malloc.so" \
    "$work/program" "$work/plugin.so"

cat >"$work/alone.c" <<'END_C'
#include <hostmem.h>
int main(void) { return HmHeapAlloc(NULL, 0, 5) == NULL; }
END_C
for how in -static -static-pie -no-pie -pie; do
    check "linked with $how, without a warning" gcc -Wl,--fatal-warnings $how -Iinclude -o "$work/alone" "$work/alone.c" $library
    expect "... runs" 0 '' "$work/alone"
done
check_done
