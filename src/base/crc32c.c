#include "base/crc32c.h"

#define POLYNOMIAL UINT32_C(0x82f63b78) /* bits reversed */

uint32_t crc32c(const void *data, size_t size)
{
    const uint8_t *p = data;
    uint32_t c = ~UINT32_C(0);
    for (size_t i = 0; i < size; i++) {
        c ^= p[i];
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1;
    }
    return ~c;
}
