/*
 * told.h - what CLRs were told and have told, in numbers that figures show. Layer: policy.
 *
 * Words of their own, so that whoever shows them (clerks.c, in a preloaded process too) needs nothing of those who change them
 * (notify.c, pressure.c). Any thread reads them; each is a figure of a moment ago.
 */
#ifndef HM_TOLD_H
#define HM_TOLD_H

#include "base/base.h"

extern HM_HIDDEN uint64_t told_views;      /* mapped views, as of now */
extern HM_HIDDEN uint64_t told_view_bytes;
extern HM_HIDDEN uint64_t told_callbacks;  /* registered now */
extern HM_HIDDEN uint64_t told_pleas;      /* for address space, so far */

/* What was last found of the system and the process's budget, an EMemoryAvailable; 0 while nobody looks. */
extern HM_HIDDEN uint32_t told_level;

#endif
