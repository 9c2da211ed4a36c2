/*
 * windows_host.h - what the Linux below Wine can do, for windows.c. Layer: os.
 */
#ifndef HM_WINDOWS_HOST_H
#define HM_WINDOWS_HOST_H

#include "base/base.h"

/* Finds out what is below. Once, before the first call of the next, by a thread that holds no lock of anybody's. */
void host_look(void);

/* os_back, under Wine on Linux; ST_NOT_SUPPORTED on Windows. */
enum status host_back(uintptr_t address);

#endif
