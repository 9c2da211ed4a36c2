/*
 * view.h - the view that a process publishes of itself (base/published.h). Layer: policy.
 */
#ifndef HM_VIEW_H
#define HM_VIEW_H

#include "base/published.h"

/*
 * Publishes from now on, in the background, if nobody has asked for it yet. interval_ms is the time between two looks; 1 stands
 * for a good one. HOSTMEM_PUBLISH asks for it, too (view_start_if_asked). Returns whether it is being published.
 */
bool view_start(uint64_t interval_ms);
bool view_start_if_asked(void);

/* Fills a half from the engine's tables. */
void view_write(struct published_half *half);

#endif
