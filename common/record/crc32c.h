/*
 * crc32c.h - CRC-32C (Castagnoli), the checksum of TFRecord's framing.
 *
 * Why own code: every byte that is read goes through it, so it runs at the speed of the crc32 instruction: three streams
 * side by side (the instruction takes three cycles, and one can start each cycle), joined by carry-less multiplications;
 * with AVX-512 and VPCLMULQDQ by folding 256 bytes a step. Elsewhere tables, eight bytes a step.
 * Formulas: reflected polynomial 0x82f63b78, initial value and final xor 0xffffffff. The mask is TensorFlow's
 * (tensorflow/core/lib/hash/crc32c.h): a CRC stored beside the data that it covers is rotated and offset.
 * Threads: no state but the choice of the function, made once before main.
 */
#ifndef BD_RECORD_CRC32C_H
#define BD_RECORD_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* The CRC of what had CRC `crc` (0 for nothing) followed by `length` bytes. */
uint32_t bd_crc32c(uint32_t crc, const void *bytes, size_t length);

/* The same by tables: what processors without the instruction get, and what tests compare with. */
uint32_t bd_crc32c_portable(uint32_t crc, const void *bytes, size_t length);

#define BD_CRC32C_MASK_DELTA 0xa282ead8u

static inline uint32_t bd_crc32c_mask(uint32_t crc)
{
	return (crc >> 15 | crc << 17) + BD_CRC32C_MASK_DELTA;
}

static inline uint32_t bd_crc32c_unmask(uint32_t masked)
{
	uint32_t rotated = masked - BD_CRC32C_MASK_DELTA;
	return rotated >> 17 | rotated << 15;
}

#endif
