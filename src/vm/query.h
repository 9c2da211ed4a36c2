/*
 * query.h - what a page is, without waiting for anybody. Layer: vm.
 */
#ifndef HM_QUERY_H
#define HM_QUERY_H

#include "base/base.h"
#include "hostmem_win32.h"

/*
 * VirtualQuery. *written is sizeof *info or 0. ST_BAD_LENGTH for a buffer that is too small, ST_BAD_ARGUMENT for an address
 * past user space, ST_NOT_WRITABLE for a missing buffer.
 */
enum status vm_query(uintptr_t address, MEMORY_BASIC_INFORMATION *info, size_t length, size_t *written);

#endif
