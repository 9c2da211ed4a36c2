/*
 * vmmodel.h - virtual memory in the plainest form: one record a page. It says what each call has to answer by the documented
 * Win32 semantics, and is the measure that the engine is held against where there is no Win32 to ask.
 */
#ifndef TEST_VMMODEL_H
#define TEST_VMMODEL_H

#include "vmcall.h"

struct model_page {
    int first;      /* first page of the allocation that the page belongs to, -1 for none */
    DWORD protect;  /* of a committed page, 0 of any other */
    uint8_t tag;
    bool any_tag;   /* the content was given up: it may be the tag or 0 */
};

struct model_place {
    struct model_page page[PLACE_PAGES];
    DWORD was[PLACE_PAGES]; /* allocation protection, at the first page of an allocation */
    bool live;              /* of a slot: it holds an allocation */
};

struct model {
    struct model_place place[PLACES];
};

void model_start(struct model *m);

/* Makes the call. */
void model_call(struct model *m, const struct vm_call *call, struct vm_answer *answer);

/* The first page after the allocation that the page belongs to. */
int model_end(const struct model_place *p, int page);

/* May private memory have this protection, and is this a valid allocation type (reserve, commit, reset only)? */
bool model_protect_valid(DWORD protect);
bool model_type_valid(DWORD type);

#endif
