/*
 * look.h - the view that another process publishes of itself (base/published.h), read by tools. Portable; not part of the
 * library. The process that is looked at is not stopped, and does not notice.
 */
#ifndef HOSTMEM_TOOL_LOOK_H
#define HOSTMEM_TOOL_LOOK_H

#include "base/published.h"
#include "tools/common/tool.h"

/* A tool's exit status when there is no view to be had; the message says why. */
enum { LOOK_EXIT_REFUSED = 3 };

struct look {
    const struct published *shared;
    uint64_t process;
    char program[sizeof((struct published *)0)->program];
};

/* Is the process still there? Its last view can be read when it is not. */
bool look_alive(const struct look *look);

/*
 * Copies what the process published last. Waits up to two seconds for its first. False: there was none, or it never held still,
 * which a process does that writes faster than this one reads.
 */
bool look_copy(const struct look *look, struct published_half *copy);

/* How long ago that was written, in milliseconds of the same clock. */
uint64_t look_age_ms(const struct published_half *copy);

void look_sleep_ms(uint64_t ms);

/* The name of a thread of the process into text; empty where the system does not say. */
void look_thread_name(const struct look *look, uint64_t thread, char *text, size_t room);

/* Reads the command line of a tool that looks at a process, opens its view and copies it, or ends the tool with a message. */
void look_from_operands(const struct tool_command *command, int argc, char **argv, struct look *look,
                        struct published_half *copy);

/* "12.3 MiB"; bytes below 1 KiB as they are. */
const char *look_bytes(uint64_t bytes, char text[24]);

#endif
