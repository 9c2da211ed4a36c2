/*
 * imports.h - the parts of hostmem-clr that only Windows has.
 */
#ifndef HOSTMEM_CLR_IMPORTS_H
#define HOSTMEM_CLR_IMPORTS_H

#include "tools/clr/clr.h"

/*
 * Leads what a loaded module imports from the system, and the table of bodies has, to the bodies. The number of functions that
 * were led there; -1 if the system does not let the module be changed.
 */
int imports_lead(HMODULE module);

enum clr_watch clr_write_watch(void); /* the option's value */

#endif
