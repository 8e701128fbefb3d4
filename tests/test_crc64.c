/* CRC-64/XZ against its published check value and against the definition, bit by bit. */
#include "base/crc64.h"

#include <criterion/criterion.h>
#include <string.h>

static uint64_t by_bits(const uint8_t *data, size_t size)
{
    uint64_t c = ~UINT64_C(0);
    for (size_t i = 0; i < size; i++) {
        c ^= data[i];
        for (int bit = 0; bit < 8; bit++)
            c = c & 1 ? c >> 1 ^ UINT64_C(0xc96c5795d7870f42) : c >> 1;
    }
    return ~c;
}

static uint64_t in_parts(const void *data, size_t size, size_t first)
{
    struct crc64 crc;
    crc64_begin(&crc);
    crc64_add(&crc, data, first);
    crc64_add(&crc, (const char *)data + first, size - first);
    return crc64_end(&crc);
}

Test(crc64, check_value)
{
    cr_expect_eq(in_parts("123456789", 9, 0), UINT64_C(0x995dc9bbdf1939fa));
    cr_expect_eq(in_parts("", 0, 0), 0);
}

Test(crc64, every_length_and_split_is_the_definition)
{
    uint8_t data[40];
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)(i * i * 37 + 11);
    for (size_t size = 0; size <= sizeof data; size++)
        for (size_t first = 0; first <= size; first++)
            cr_expect_eq(in_parts(data, size, first), by_bits(data, size), "%zu of %zu", first, size);
}
