/*
 * alone.h - for tests that count what goes back to the system and when: the engine's background thread is not to take part.
 */
#ifndef HM_TEST_ALONE_H
#define HM_TEST_ALONE_H

#include "environment.h"

/* First of all in main. */
static inline void keeper_forbid(void) { environment_set("HOSTMEM_NO_KEEPER", "1"); }

#endif
