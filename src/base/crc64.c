#include "base/crc64.h"

#define POLYNOMIAL UINT64_C(0xc96c5795d7870f42) /* of ECMA-182, bits reversed */

void crc64_begin(struct crc64 *crc)
{
    crc->state = ~UINT64_C(0);
    for (unsigned b = 0; b < 256; b++) {
        uint64_t c = b;
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
        crc->table[0][b] = c;
    }
    for (int k = 1; k < 8; k++)
        for (unsigned b = 0; b < 256; b++)
            crc->table[k][b] = crc->table[k - 1][b] >> 8 ^ crc->table[0][crc->table[k - 1][b] & 0xff];
}

/* Eight bytes a turn ("slicing by 8", Kounavis and Berry 2005): their contributions do not wait for each other. */
void crc64_add(struct crc64 *crc, const void *data, size_t size)
{
    const uint8_t *p = data;
    uint64_t c = crc->state;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t next = 0;
        for (int k = 0; k < 8; k++)
            next ^= crc->table[7 - k][(c >> 8 * k & 0xff) ^ p[k]];
        c = next;
    }
    for (; size > 0; p++, size--)
        c = c >> 8 ^ crc->table[0][(c & 0xff) ^ *p];
    crc->state = c;
}

uint64_t crc64_end(const struct crc64 *crc)
{
    return ~crc->state;
}
