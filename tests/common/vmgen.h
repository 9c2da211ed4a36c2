/*
 * vmgen.h - random virtual-memory calls. The generator looks at the model, so that most calls concern memory that is there
 * and a fair share of them succeed, and some of them are just past an edge.
 */
#ifndef TEST_VMGEN_H
#define TEST_VMGEN_H

#include "rand.h"
#include "vmmodel.h"

/* cache_modifiers: also PAGE_NOCACHE and PAGE_WRITECOMBINE. */
void vmgen_next(struct rand *r, const struct model *m, bool cache_modifiers, struct vm_call *call);

const char *vmgen_name(enum vm_op op);

/* One line about a call, for a report. */
void vmgen_print(uint64_t number, const struct vm_call *call, const struct vm_answer *answer);

#endif
