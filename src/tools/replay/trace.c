/*
 * trace.c - the reader of trace files.
 *
 * A trace is text, one call a line, numbers in hexadecimal without a prefix:
 *     [t_us] tid op addr size type prot ret
 * The time is there in every line or in none; the first call's line decides (the operation's name stands in the third or in
 * the second column). A line that starts with '#' is a comment and an empty one is nothing; every other line must be a whole
 * call, so that a damaged or cut file is refused, with the line's number, and never half replayed.
 *
 * The file may be packed with gzip; what it is shows in its first bytes.
 *
 * Threads are renumbered from 0 as they appear. Type bit 0x40000000, by which a .NET runtime on Linux asks its host for an
 * address near its own code, is dropped: it is no Win32 allocation type.
 */
#include "tools/replay/trace.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hostmem_win32.h"
#include "tools/common/tool.h"
#include "tools/replay/gunzip.h"

enum { COLUMNS = 8, LINE_MAX_BYTES = 512, TEXT_MAX_BYTES = 1 << 30, TIDS = 4 * TRACE_THREADS, GRANULE = 65536 };

static const struct {
    const char *name;
    enum op op;
} op_names[] = {
    {"VA", OP_ALLOC},        {"VA2", OP_ALLOC},        {"VAN", OP_ALLOC},        {"VF", OP_FREE},
    {"VP", OP_PROTECT},      {"VQ", OP_QUERY},         {"HC", OP_HEAP_CREATE},   {"HD", OP_HEAP_DESTROY},
    {"HA", OP_HEAP_ALLOC},   {"HR", OP_HEAP_REALLOC},  {"HF", OP_HEAP_FREE},     {"MV", OP_MAP},
    {"UM", OP_UNMAP},        {"MOD", OP_MODULE},
};

struct reader {
    const char *path;
    char *error;
    uint32_t line;
    int op_column; /* 1 or 2; 0 until the first call */
    struct {
        uint32_t tid;
        uint16_t thread; /* its number + 1; 0: a free place */
    } tids[TIDS];        /* those met so far, each at the first free place from the one that its number gives */
};

static bool reader_fail(struct reader *reader, const char *format, ...) TOOL_PRINTF(2, 3);

static bool reader_fail(struct reader *reader, const char *format, ...) {
    int used = snprintf(reader->error, TRACE_ERROR, "'%.120s': line %u: ", reader->path, (unsigned)reader->line);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->error + used, TRACE_ERROR - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

static int op_find(const char *name) {
    for (size_t i = 0; i < sizeof op_names / sizeof op_names[0]; i++)
        if (strcmp(op_names[i].name, name) == 0) return (int)op_names[i].op;
    return -1;
}

/* Plain hexadecimal digits, nothing else: strtoull alone would take signs, blanks and "0x". */
static bool number_parse(const char *text, uint64_t *value) {
    size_t length = strlen(text);
    if (length == 0 || length > 16 || strspn(text, "0123456789abcdefABCDEF") != length) return false;
    *value = strtoull(text, NULL, 16);
    return true;
}

static bool thread_number(struct reader *reader, struct trace *trace, uint64_t tid, struct call *call) {
    if (tid > UINT32_MAX) return reader_fail(reader, "no thread has the number %llx", (unsigned long long)tid);
    size_t at = tid % TIDS;
    while (reader->tids[at].thread != 0 && reader->tids[at].tid != tid) at = (at + 1) % TIDS;
    if (reader->tids[at].thread == 0) {
        if (trace->count_threads == TRACE_THREADS) return reader_fail(reader, "more than %d threads", TRACE_THREADS);
        reader->tids[at].tid = (uint32_t)tid;
        reader->tids[at].thread = (uint16_t)++trace->count_threads;
    }
    call->thread = (uint16_t)(reader->tids[at].thread - 1);
    return true;
}

/* What no recording can hold and what the replay's arithmetic must not meet. */
static bool call_possible(struct reader *reader, const struct call *call) {
    const uint64_t top = (uint64_t)1 << 48;
    if (call->op == OP_HEAP_CREATE) return true;
    if (call->addr >= top || call->ret >= top) return reader_fail(reader, "an address is past the user's address space");
    if (call->ret != 0 && call->size >= top) return reader_fail(reader, "a size that no call can have succeeded with");
    bool placed = call->op == OP_ALLOC && call->ret != 0 && call->addr != 0 && (call->type & MEM_RESERVE) != 0;
    if (placed && (call->ret > call->addr || call->addr - call->ret >= GRANULE)) /* Win32 rounds it down */
        return reader_fail(reader, "a reservation at another address than it was asked for");
    return true;
}

static bool call_parse(struct reader *reader, struct trace *trace, char *const *column, int count, struct call *call) {
    if (reader->op_column == 0) {
        reader->op_column = count > 2 && op_find(column[2]) >= 0 ? 2 : count > 1 && op_find(column[1]) >= 0 ? 1 : 0;
        if (reader->op_column == 0) return reader_fail(reader, "not a recorded call: no known operation in column 2 or 3");
        trace->timed = reader->op_column == 2;
    }
    int first = reader->op_column - 1;
    if (count != first + 7) return reader_fail(reader, "%d columns where %d belong", count, first + 7);
    int op = op_find(column[first + 1]);
    if (op < 0) return reader_fail(reader, "unknown operation '%.20s'", column[first + 1]);

    uint64_t number[COLUMNS] = {0};
    for (int i = 0; i < count; i++)
        if (i != first + 1 && !number_parse(column[i], &number[i]))
            return reader_fail(reader, "column %d is not a hexadecimal number: '%.20s'", i + 1, column[i]);
    if (number[first + 4] > UINT32_MAX || number[first + 5] > UINT32_MAX)
        return reader_fail(reader, "a type or protection of more than 32 bits");
    *call = (struct call){.addr = number[first + 2], .size = number[first + 3], .type = (uint32_t)number[first + 4],
                          .prot = (uint32_t)number[first + 5], .ret = number[first + 6], .line = reader->line,
                          .op = (uint8_t)op};
    if (!trace->timed && op == OP_ALLOC) call->type &= ~0x40000000u;
    return call_possible(reader, call) && thread_number(reader, trace, number[first], call);
}

/* Cuts the line at blanks. Returns the number of columns, at most COLUMNS + 1. */
static int line_split(char *line, char *column[COLUMNS + 1]) {
    int count = 0;
    for (char *at = line + strspn(line, " \t\r"); *at != 0 && count <= COLUMNS; at += strspn(at, " \t\r")) {
        column[count++] = at;
        at += strcspn(at, " \t\r");
        if (*at != 0) *at++ = 0;
    }
    return count;
}

static bool trace_append(struct trace *trace, size_t *capacity, const struct call *call) {
    if (trace->count == *capacity) {
        size_t more = *capacity == 0 ? 4096 : *capacity * 2;
        struct call *grown = realloc(trace->call, more * sizeof *grown);
        if (grown == NULL) return false;
        trace->call = grown;
        *capacity = more;
    }
    trace->call[trace->count++] = *call;
    return true;
}

static bool line_read(struct reader *reader, char *line, struct trace *trace, size_t *capacity) {
    char *column[COLUMNS + 1];
    int count = line[0] == '#' ? 0 : line_split(line, column);
    if (count == 0) return true;
    struct call call;
    if (!call_parse(reader, trace, column, count, &call)) return false;
    return trace_append(trace, capacity, &call) || reader_fail(reader, "no memory for so many calls");
}

static bool lines_read(struct reader *reader, const uint8_t *text, size_t size, struct trace *trace) {
    char line[LINE_MAX_BYTES];
    size_t capacity = 0;
    for (size_t at = 0; at < size;) {
        const uint8_t *end = memchr(text + at, '\n', size - at);
        size_t length = end != NULL ? (size_t)(end - text) - at : size - at;
        reader->line++;
        if (length >= sizeof line || memchr(text + at, 0, length) != NULL)
            return reader_fail(reader, "not a line of text of at most %d bytes", LINE_MAX_BYTES - 1);
        memcpy(line, text + at, length);
        line[length] = 0;
        if (!line_read(reader, line, trace, &capacity)) return false;
        at += length + 1;
    }
    if (trace->count != 0) return true;
    snprintf(reader->error, TRACE_ERROR, "'%.150s' holds no calls", reader->path);
    return false;
}

/* The whole file. NULL with errno for one that cannot be read. */
static uint8_t *file_read(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return NULL;
    uint8_t *bytes = NULL;
    size_t room = 0, used = 0;
    int error = 0;
    do {
        if (used == room) {
            room = room == 0 ? 65536 : room * 2;
            uint8_t *grown = room <= TEXT_MAX_BYTES ? realloc(bytes, room) : NULL;
            if (grown == NULL) {
                error = ENOMEM;
                break;
            }
            bytes = grown;
        }
        errno = 0;
        used += fread(bytes + used, 1, room - used, file);
        if (ferror(file)) error = errno != 0 ? errno : EIO;
    } while (error == 0 && !feof(file));
    fclose(file);
    *size = used;
    if (error == 0) return bytes;
    free(bytes);
    errno = error;
    return NULL;
}

/* The file's text, unpacked if it is packed. NULL with error set. */
static uint8_t *text_read(const char *path, size_t *size, char error[TRACE_ERROR]) {
    uint8_t *bytes = file_read(path, size);
    if (bytes == NULL) {
        snprintf(error, TRACE_ERROR, "'%.150s': %s", path, strerror(errno));
        return NULL;
    }
    if (!gunzip_is(bytes, *size)) return bytes;
    uint8_t *text = NULL;
    const char *wrong = gunzip(bytes, *size, TEXT_MAX_BYTES, &text, size);
    free(bytes);
    if (wrong == NULL) return text;
    snprintf(error, TRACE_ERROR, "'%.150s': %s", path, wrong);
    return NULL;
}

bool trace_read(const char *path, struct trace *trace, char error[TRACE_ERROR]) {
    *trace = (struct trace){0};
    size_t size;
    uint8_t *text = text_read(path, &size, error);
    if (text == NULL) return false;
    struct reader *reader = calloc(1, sizeof *reader);
    bool good = false;
    if (reader == NULL) {
        snprintf(error, TRACE_ERROR, "'%.150s': no memory to read it", path);
    } else {
        reader->path = path;
        reader->error = error;
        good = lines_read(reader, text, size, trace);
    }
    free(reader);
    free(text);
    if (!good) free(trace->call);
    return good;
}
