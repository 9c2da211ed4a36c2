/*
 * gunzip.c - a small unpacker, so that long traces can be kept packed and are read the same way on every system.
 *
 * It decodes Huffman codes bit by bit from the counts of codes of each length, which needs no tables beyond two arrays;
 * slow beside a real inflate, and fast enough for a file of some megabytes. Whatever the input, it reads and writes inside
 * its buffers: running out of input yields zero bits and sets a flag that ends everything.
 */
#include "tools/replay/gunzip.h"

#include <stdlib.h>
#include <string.h>

enum { CODE_BITS = 15, LITERALS = 288, DISTANCES = 30, END_OF_BLOCK = 256, HEADER_BYTES = 10, TRAILER_BYTES = 8 };

struct inflater {
    const uint8_t *in;
    size_t in_at, in_size;
    unsigned bit; /* of the byte at in_at */
    bool cut;     /* the input ended too early */
    uint8_t *out;
    size_t out_at, out_size, limit;
    const char *error;
};

/* A canonical code: how many codes of each length, and the symbols in the codes' order. */
struct code {
    uint16_t count[CODE_BITS + 1];
    uint16_t symbol[LITERALS];
};

static unsigned bits_take(struct inflater *inflater, unsigned count) {
    unsigned value = 0;
    for (unsigned i = 0; i < count; i++) {
        if (inflater->in_at == inflater->in_size) {
            inflater->cut = true;
            return 0;
        }
        value |= (unsigned)(inflater->in[inflater->in_at] >> inflater->bit & 1) << i;
        inflater->bit = (inflater->bit + 1) % 8;
        if (inflater->bit == 0) inflater->in_at++;
    }
    return value;
}

static bool byte_put(struct inflater *inflater, uint8_t byte) {
    if (inflater->out_at == inflater->out_size) {
        size_t more = inflater->out_size == 0 ? 65536 : inflater->out_size * 2;
        uint8_t *grown = inflater->out_at < inflater->limit ? realloc(inflater->out, more) : NULL;
        if (grown == NULL) {
            inflater->error = "too large when unpacked";
            return false;
        }
        inflater->out = grown;
        inflater->out_size = more;
    }
    inflater->out[inflater->out_at++] = byte;
    return true;
}

/* False for lengths that give more codes than there are. */
static bool code_build(struct code *code, const uint8_t *length, unsigned count) {
    memset(code, 0, sizeof *code);
    for (unsigned i = 0; i < count; i++) code->count[length[i]]++;
    code->count[0] = 0;
    int left = 1;
    uint16_t place[CODE_BITS + 2] = {0};
    for (unsigned bits = 1; bits <= CODE_BITS; bits++) {
        left = left * 2 - code->count[bits];
        if (left < 0) return false;
        place[bits + 1] = (uint16_t)(place[bits] + code->count[bits]);
    }
    for (unsigned i = 0; i < count; i++)
        if (length[i] != 0) code->symbol[place[length[i]]++] = (uint16_t)i;
    return true;
}

/* The next symbol, or -1 for bits that are no code. */
static int symbol_take(struct inflater *inflater, const struct code *code) {
    int value = 0, first = 0, index = 0;
    for (unsigned bits = 1; bits <= CODE_BITS && !inflater->cut; bits++) {
        value |= (int)bits_take(inflater, 1);
        int count = code->count[bits];
        if (value - first < count) return code->symbol[index + value - first];
        index += count;
        first = (first + count) * 2;
        value *= 2;
    }
    return -1;
}

static bool copy_back(struct inflater *inflater, unsigned distance, unsigned length) {
    if (distance > inflater->out_at) return false;
    while (length-- > 0)
        if (!byte_put(inflater, inflater->out[inflater->out_at - distance])) return false;
    return true;
}

static bool block_compressed(struct inflater *inflater, const struct code *literals, const struct code *distances) {
    static const uint16_t length_base[] = {3,  4,  5,  6,  7,  8,  9,  10, 11,  13,  15,  17,  19,  23, 27,
                                           31, 35, 43, 51, 59, 67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t length_extra[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    for (;;) {
        int symbol = symbol_take(inflater, literals);
        if (symbol < 0 || symbol > 285) return false;
        if (symbol == END_OF_BLOCK) return true;
        if (symbol < END_OF_BLOCK) {
            if (!byte_put(inflater, (uint8_t)symbol)) return false;
            continue;
        }
        unsigned length = length_base[symbol - 257] + bits_take(inflater, length_extra[symbol - 257]);
        int far = symbol_take(inflater, distances);
        if (far < 0 || far >= DISTANCES) return false;
        /* Each pair of distance codes after the first four has one more extra bit than the pair before. */
        unsigned extra = far < 4 ? 0 : (unsigned)far / 2 - 1;
        unsigned base = far < 4 ? (unsigned)far + 1 : ((2u + (unsigned)far % 2) << extra) + 1;
        if (!copy_back(inflater, base + bits_take(inflater, extra), length)) return false;
    }
}

static bool block_fixed(struct inflater *inflater) {
    struct code literals, distances;
    uint8_t length[LITERALS];
    for (unsigned i = 0; i < LITERALS; i++) length[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    code_build(&literals, length, LITERALS);
    memset(length, 5, DISTANCES);
    code_build(&distances, length, DISTANCES);
    return block_compressed(inflater, &literals, &distances);
}

/* Reads the code lengths of a block's two codes, which are packed with a code of their own. */
static bool block_dynamic(struct inflater *inflater) {
    static const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    unsigned count_literals = bits_take(inflater, 5) + 257, count_distances = bits_take(inflater, 5) + 1;
    unsigned count_lengths = bits_take(inflater, 4) + 4, total = count_literals + count_distances;
    if (count_literals > 286 || count_distances > DISTANCES) return false;
    uint8_t length[LITERALS + DISTANCES] = {0};
    for (unsigned i = 0; i < count_lengths; i++) length[order[i]] = (uint8_t)bits_take(inflater, 3);
    struct code code, distances;
    if (!code_build(&code, length, 19)) return false;
    memset(length, 0, sizeof length);
    for (unsigned i = 0; i < total;) {
        int symbol = symbol_take(inflater, &code);
        if (symbol < 0 || (symbol == 16 && i == 0)) return false;
        uint8_t value = symbol < 16 ? (uint8_t)symbol : symbol == 16 ? length[i - 1] : 0;
        unsigned times = symbol < 16    ? 1
                         : symbol == 16 ? 3 + bits_take(inflater, 2)
                         : symbol == 17 ? 3 + bits_take(inflater, 3)
                                        : 11 + bits_take(inflater, 7);
        if (i + times > total) return false;
        while (times-- > 0) length[i++] = value;
    }
    return code_build(&code, length, count_literals) && code_build(&distances, length + count_literals, count_distances)
           && block_compressed(inflater, &code, &distances);
}

static bool block_stored(struct inflater *inflater) {
    if (inflater->bit != 0) {
        inflater->bit = 0;
        inflater->in_at++;
    }
    unsigned length = bits_take(inflater, 16), inverse = bits_take(inflater, 16);
    if ((length ^ inverse) != 0xffff) return false;
    while (length-- > 0)
        if (inflater->cut || !byte_put(inflater, (uint8_t)bits_take(inflater, 8))) return false;
    return true;
}

static bool blocks_take(struct inflater *inflater) {
    for (bool last = false; !last;) {
        last = bits_take(inflater, 1) != 0;
        unsigned kind = bits_take(inflater, 2);
        if (inflater->cut || kind == 3) return false;
        if (!(kind == 0 ? block_stored(inflater) : kind == 1 ? block_fixed(inflater) : block_dynamic(inflater))) return false;
    }
    return !inflater->cut;
}

static uint32_t crc32_of(const uint8_t *bytes, size_t size) {
    uint32_t table[256], crc = 0xffffffffu;
    for (uint32_t i = 0; i < 256; i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++) table[i] = table[i] >> 1 ^ ((table[i] & 1) != 0 ? 0xedb88320u : 0);
    }
    for (size_t i = 0; i < size; i++) crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
    return ~crc;
}

static uint32_t little_endian(const uint8_t *at) {
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

bool gunzip_is(const uint8_t *packed, size_t size) {
    return size >= 3 && packed[0] == 0x1f && packed[1] == 0x8b && packed[2] == 8;
}

/* Past the header with its optional fields, or 0 where the file ends inside. */
static size_t header_end(const uint8_t *packed, size_t size) {
    enum { FLAG_CHECK = 2, FLAG_EXTRA = 4, FLAG_NAME = 8, FLAG_COMMENT = 16 };
    if (size < HEADER_BYTES + TRAILER_BYTES) return 0;
    size_t at = HEADER_BYTES;
    if ((packed[3] & FLAG_EXTRA) != 0) at += 2 + (size_t)packed[at] + ((size_t)packed[at + 1] << 8);
    for (int flag = FLAG_NAME; flag <= FLAG_COMMENT; flag *= 2) {
        if ((packed[3] & flag) == 0) continue;
        while (at < size && packed[at] != 0) at++;
        at++;
    }
    if ((packed[3] & FLAG_CHECK) != 0) at += 2;
    return at + TRAILER_BYTES <= size ? at : 0;
}

const char *gunzip(const uint8_t *packed, size_t size, size_t limit, uint8_t **out, size_t *out_size) {
    size_t start = header_end(packed, size);
    if (start == 0) return "the gzip file is cut";
    struct inflater inflater = {.in = packed, .in_at = start, .in_size = size - TRAILER_BYTES, .limit = limit};
    bool good = blocks_take(&inflater);
    if (good) {
        const uint8_t *trailer = packed + inflater.in_at + (inflater.bit != 0);
        if (trailer + TRAILER_BYTES != packed + size) inflater.error = "the gzip file goes on after its end";
        else if (little_endian(trailer) != crc32_of(inflater.out, inflater.out_at)
                 || little_endian(trailer + 4) != (uint32_t)inflater.out_at)
            inflater.error = "the gzip file is damaged: its checksum does not fit";
    } else if (inflater.error == NULL) {
        inflater.error = inflater.cut ? "the gzip file is cut" : "the gzip file is damaged";
    }
    if (inflater.error == NULL && inflater.out_at == 0) inflater.error = "the gzip file is empty";
    if (inflater.error != NULL) {
        free(inflater.out);
        return inflater.error;
    }
    *out = inflater.out;
    *out_size = inflater.out_at;
    return NULL;
}
