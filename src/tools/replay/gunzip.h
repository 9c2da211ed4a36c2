/*
 * gunzip.h - unpacks a gzip file in memory (RFC 1952, RFC 1951).
 */
#ifndef HOSTMEM_REPLAY_GUNZIP_H
#define HOSTMEM_REPLAY_GUNZIP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The bytes open like a gzip file. */
bool gunzip_is(const uint8_t *packed, size_t size);

/*
 * Unpacks a file of one member into *out, which the caller frees. Returns NULL, or what is wrong with the file: cut, damaged
 * (its checksum is verified) or larger than limit unpacked.
 */
const char *gunzip(const uint8_t *packed, size_t size, size_t limit, uint8_t **out, size_t *out_size);

#endif
