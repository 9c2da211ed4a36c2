/*
 * alone.h - for tests that count what goes back to the system and when: the engine's background thread is not to take part.
 */
#ifndef HM_TEST_ALONE_H
#define HM_TEST_ALONE_H

#include <stdlib.h>

/* First of all in main. */
static inline void keeper_forbid(void) {
#ifdef _WIN32
    _putenv_s("HOSTMEM_NO_KEEPER", "1");
#else
    setenv("HOSTMEM_NO_KEEPER", "1", 1);
#endif
}

#endif
