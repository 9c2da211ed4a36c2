/*
 * conform.h - what the parts of the conformance program share: the calls under test, and the printing of one line a case.
 *
 * The program is built three ways from the same sources: with CONFORM_RAW it calls Win32 itself; without, the engine, on
 * Windows and on Linux. Each case is one line of text, "section.case: results", in which every address is an offset from the
 * case's own base, so that the outputs of two builds can be compared line by line.
 */
#ifndef CONFORM_H
#define CONFORM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef CONFORM_RAW
#include <windows.h>
#define vm_alloc VirtualAlloc
#define vm_free VirtualFree
#define vm_protect VirtualProtect
#define vm_query VirtualQuery
#define vm_error GetLastError
#else
#include "hostmem.h"
#define vm_alloc HmVirtualAlloc
#define vm_free HmVirtualFree
#define vm_protect HmVirtualProtect
#define vm_query HmVirtualQuery
#define vm_error HmGetLastError
#endif

#ifndef MEM_RESET_UNDO
#define MEM_RESET_UNDO 0x01000000u
#endif
#ifndef PAGE_TARGETS_INVALID
#define PAGE_TARGETS_INVALID 0x40000000u
#endif

#define KIB ((SIZE_T)1024)
#define PAGE ((SIZE_T)4096)
#define UNIT (64 * KIB)
#define RESERVE_COMMIT (MEM_RESERVE | MEM_COMMIT)

/* One line: its name, then whatever the say_ functions add. */
void line_begin(const char *section, const char *name);
void line_add(const char *format, ...) __attribute__((format(printf, 1, 2)));
void line_end(void);

/*
 * Each makes one call, adds its answer to the line ("alloc=+0x1000", "free=fail(487)", ...), says so if a successful call
 * changed the thread's last error, and hands the answer on. base is what offsets count from, NULL where there is none yet.
 */
char *say_alloc(char *base, void *address, SIZE_T size, DWORD type, DWORD protect);
bool say_free(void *address, SIZE_T size, DWORD type);
bool say_protect(void *address, SIZE_T size, DWORD protect);
bool say_query(char *base, const void *address);

/* The runs of equal pages from base on, to base + size. */
void say_map(char *base, SIZE_T size);

/* Touches the byte: 'r' reads, 'w' writes, 'x' calls (the byte should be a RET). Adds "r=ok", "r=fault" or "r=guard". */
void say_probe(const char *kinds, char *address);

/* Quietly: the first alternative fails the program, since without it no case could be trusted. */
char *make(SIZE_T size, DWORD type, DWORD protect); /* an allocation anywhere */
char *make_at(char *address, SIZE_T size, DWORD type, DWORD protect);
char *find_room(SIZE_T size);                        /* a free 64 KiB-aligned place: reserved and released again */
void drop(char *base);

/* What the thread's last error is set to before each call. */
void error_arm(void);
bool error_kept(void);

void conform_alloc(void);
void conform_place(void);
void conform_commit(void);
void conform_free(void);
void conform_protect(void);
void conform_query(void);
void conform_guard(void);
void conform_reset(void);
void conform_kinds(void);
void conform_foreign(void);

#endif
