/*
 * probe.h - touching a byte that may not be there, and living on.
 */
#ifndef TEST_PROBE_H
#define TEST_PROBE_H

#include <stdbool.h>
#include <stdint.h>

/* Installs the handler; once, before the first probe. */
void probe_start(void);

/* PROBE_GUARD: the access hit an armed guard page, which is disarmed now; the access was not repeated. */
enum probe_result { PROBE_OK, PROBE_FAULT, PROBE_GUARD };

/* kind: 'r' reads the byte, 'w' reads and writes it back, 'x' calls it (it should be a RET instruction). */
enum probe_result probe(char kind, char *address);

#endif
