/*
 * Takes blocks, and with --hold keeps them until its standard input ends, for tests/scripts/view.sh to look at from outside; it
 * says how many and how much it has. Without, it gives them back and checks that they were apart.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"

#define BLOCKS 5000
#define SIZE 2500 /* of a size class that a C library's start does not use */

static unsigned char *block[BLOCKS];

static void wait_for_end(void) {
    char byte;
    while (read(STDIN_FILENO, &byte, 1) > 0) continue;
}

int main(int argc, char **argv) {
    for (int i = 0; i < BLOCKS; i++) {
        block[i] = malloc(SIZE);
        if (block[i] == NULL) return 1;
        memset(block[i], i, SIZE);
    }
    if (argc > 1 && strcmp(argv[1], "--hold") == 0) {
        printf("%d %d\n", BLOCKS, SIZE);
        fflush(stdout);
        wait_for_end();
        return 0;
    }
    /* A child that goes on without becoming another program is looked at as itself. */
    if (argc > 1 && strcmp(argv[1], "--fork") == 0) {
        pid_t child = fork();
        if (child == 0) {
            for (int i = 0; i < BLOCKS / 2; i++) free(block[i]);
            wait_for_end();
            _exit(0);
        }
        printf("%d\n", (int)child);
        fflush(stdout);
        wait_for_end();
        return child > 0 && waitpid(child, NULL, 0) == child ? 0 : 1;
    }
    /* As daemons do: the files that are open, whosever they are, go. */
    if (argc > 1 && strcmp(argv[1], "--close") == 0) {
        for (int fd = 3; fd < 4096; fd++) close(fd);
        puts("closed");
        fflush(stdout);
        wait_for_end();
        return 0;
    }
    for (int i = 0; i < BLOCKS; i++) {
        size_t wrong = 0;
        for (int b = 0; b < SIZE; b++) wrong += block[i][b] != (unsigned char)i;
        CHECK_EQ(wrong, 0);
        free(block[i]);
    }
    return check_done();
}
