/*
 * os_look.h - what the engine asks of the system so that people can look at it: stacks and names of code, and shared
 * memory to publish in. Part of the os layer's contract; none of it is on an allocation path.
 */
#ifndef HM_OS_LOOK_H
#define HM_OS_LOOK_H

#include "base/base.h"

/*
 * The return addresses of the calling thread's stack, the nearest first, beginning with `from` if that is one of them. Returns
 * how many. It may load a library and allocate from the C library when it is called for the first time.
 */
unsigned os_backtrace(const void *from, void **frames, unsigned most);

/* "module+0x123 (function+0x4)", or as much of it as the system knows, into text. */
void os_describe_code(const void *address, char *text, size_t room);

/* Adds to the end of a file, which is made if there is none. False where that fails. */
bool os_file_append(const char *path, const char *text, size_t length);

void os_sleep_ms(uint64_t ms);

/* Milliseconds that the calling thread has used a processor. */
uint64_t os_thread_used_ms(void);

/* This process's number, and its program's name without folders. */
uint64_t os_process_number(void);
void os_process_name(char *text, size_t room);

/*
 * `size` zeroed bytes that other processes of this user can find under PUBLISHED_FILE and map, but not write; NULL where that
 * cannot be had. There is one for the process. It is gone when the process is, however that ends.
 */
void *os_view_make(size_t size);

/* Can it still be found? A program may have closed all files, its own and others'. */
bool os_view_reachable(void);

/* Takes it back: nobody finds it any more. */
void os_view_drop(void *view, size_t size);

/* Has body called in a child made by fork. Once for the process. Where there is no fork, nothing happens. */
void os_on_fork(void (*body)(void));

#endif
