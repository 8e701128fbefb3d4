/* CRC-32C (Castagnoli), as iSCSI (RFC 3720) and TensorBoard's files have it. Bit by bit: for small blocks. */
#ifndef BASE_CRC32C_H
#define BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32c(const void *data, size_t size);

#endif
