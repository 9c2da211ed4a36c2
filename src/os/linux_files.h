/*
 * linux_files.h - small files of /proc and /sys, read without an allocation. Only for src/os/linux*.c.
 */
#ifndef HM_LINUX_FILES_H
#define HM_LINUX_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LINUX_PATH_MOST 768

/*
 * What the C library calls open, read, write and close, for files that nobody else knows. There a thread ends that another has
 * cancelled, and it may be one that has pages in hand: who calls the engine, or malloc, expects no end in the middle of it. So in
 * whatever a caller's thread may come to the engine makes such calls of the system's itself.
 */
int linux_open(const char *path, int flags);
ssize_t linux_read(int fd, void *text, size_t room);
ssize_t linux_write(int fd, const void *text, size_t length);
void linux_close(int fd);

/* The path with what tests put in front of it. False: too long. */
bool linux_path(const char *path, char full[LINUX_PATH_MOST]);

/* linux_open of that path; negative as well if it is too long. */
int linux_file_open(const char *path, int flags);

/* The start of a file as a string; empty where it cannot be read. False then. */
bool linux_file_text(const char *path, char *text, size_t room);

/*
 * A file by lines, however long it is, in as much of the caller's stack as the caller says, since that may be a small one. Of a
 * line that does not fit only the start is seen.
 */
struct linux_lines {
    char *text; /* `room` bytes */
    size_t room, held, next;
    int fd;
    bool cut;    /* of the last line only the start was seen */
    bool failed; /* the file ended because it could not be read any further */
};
#define LINUX_LINES(buffer, file) ((struct linux_lines){.text = (buffer), .room = sizeof(buffer), .fd = (file)})
char *linux_lines_next(struct linux_lines *lines); /* a string until the next call; NULL: there are no more */

/*
 * The descriptor, moved to a number that programs do not count on: high, but below what the process may have. at_once: in a call
 * of the program's, which cannot wait while the kernel makes room for more files than a process begins with (some 30 ms
 * where it has several threads).
 */
int linux_file_aside(int fd, bool at_once);

/*
 * A program may close descriptors that it has not opened, and then have its own under the same numbers. So whoever keeps one
 * keeps a mark, too, and looks whether it is the same before he uses the number: of a file, or 0 if there is none. Sockets each
 * have a mark, and since Linux 5.13 so have files of userfaultfd's; event and inotify descriptors share one.
 */
uint64_t linux_file_mark(int fd);

/* Of an inotify descriptor: what it watches, as text, which is empty if it is none. False: it cannot be looked at. */
#define LINUX_MARK_ROOM 200
bool linux_inotify_mark(int fd, char mark[LINUX_MARK_ROOM]);

/* The number after `key` at the start of a line; 0 if there is no such line. */
uint64_t linux_number_after(const char *text, const char *key);

#endif
