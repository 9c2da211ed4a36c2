/*
 * settings.c - numbers that the environment sets: one way to read them on both systems.
 *
 * A setting that is mistyped counts as none: a library has nobody to tell, and guessing a limit is worse than having none.
 */
#include "core/settings.h"

#include "os/os.h"

/* The digit's value; 16 or more: it is none. */
static unsigned digit_value(char c) {
    if (c >= '0' && c <= '9') return (unsigned)(c - '0');
    char low = (char)(c | 0x20);
    return low >= 'a' && low <= 'f' ? (unsigned)(low - 'a') + 10 : 16;
}

/* By how many bits the letter multiplies; 0: it is none of them. */
static unsigned suffix_shift(char c) {
    switch (c) {
    case 'K': case 'k': return 10;
    case 'M': case 'm': return 20;
    case 'G': case 'g': return 30;
    default: return 0;
    }
}

uint64_t setting_parse(const char *text) {
    unsigned base = text[0] == '0' && (text[1] | 0x20) == 'x' ? 16 : 10;
    const char *first = base == 16 ? text + 2 : text, *at = first;
    uint64_t value = 0;
    for (unsigned digit; (digit = digit_value(*at)) < base; at++) {
        if (value > (UINT64_MAX - digit) / base) return 0;
        value = value * base + digit;
    }
    unsigned shift = suffix_shift(*at);
    if (at == first || at[shift != 0] != 0 || value > UINT64_MAX >> shift) return 0;
    return value << shift;
}

uint64_t setting(const char *name) {
    char text[32];
    return os_environment(name, text, sizeof text) ? setting_parse(text) : 0;
}
