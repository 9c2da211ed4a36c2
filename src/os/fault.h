/*
 * fault.h - chosen failures of the system, in test builds (HM_FAULT). Layer: os.
 */
#ifndef HM_OS_FAULT_H
#define HM_OS_FAULT_H

#include <stdbool.h>

/*
 * From now on the nth call (1 is the next one) of an os_ function fails as the contract says it may; `function` is its name
 * without os_ ("commit"), or NULL for any of those that can fail. sticky: every later one fails too. nth 0 switches it off.
 */
void os_fault_set(const char *function, long nth, bool sticky);

/* How many calls of the chosen functions there have been since os_fault_set. */
long os_fault_calls(void);

#ifndef _WIN32
/* Where /proc and /sys are looked for: a prefix of their paths, "" for the real ones. */
extern const char *os_linux_root;
extern bool os_linux_any_price; /* a large page is asked for whatever the last ones have cost */
extern bool os_linux_no_faults; /* as where there is no userfaultfd */
extern bool os_linux_old;       /* as where what is locked has to be unlocked to be given up */
#endif

#endif
