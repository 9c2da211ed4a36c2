/*
 * windows_watch.h - write watch by the Linux below Wine, for windows.c; what the functions do is said in os.h. Layer: os.
 */
#ifndef HM_WINDOWS_WATCH_H
#define HM_WINDOWS_WATCH_H

#include "base/base.h"

bool host_watch_start(void);
bool host_watch_serves(void);
void host_watch_fresh(uintptr_t address, size_t size);
enum status host_written(uintptr_t address, size_t size, bool reset, void **pages, size_t *count_pages);

#endif
