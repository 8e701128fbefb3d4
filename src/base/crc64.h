/* CRC-64/XZ, as xz and 7-Zip compute it: finds every burst of up to 64 changed bits. Against accidents, not against intent. */
#ifndef BASE_CRC64_H
#define BASE_CRC64_H

#include <stddef.h>
#include <stdint.h>

struct crc64 {
    uint64_t state;
    uint64_t table[8][256]; /* [k][b]: what byte b contributes k bytes later */
};

void crc64_begin(struct crc64 *crc);
void crc64_add(struct crc64 *crc, const void *data, size_t size);
uint64_t crc64_end(const struct crc64 *crc);

#endif
