#include "common/record/tfrecord.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "common/record/crc32c.h"

static uint32_t load_u32(const uint8_t *bytes)
{
	uint32_t value;
	memcpy(&value, bytes, sizeof value);
	return le32toh(value);
}

static void store_u32(uint32_t value, uint8_t *bytes)
{
	value = htole32(value);
	memcpy(bytes, &value, sizeof value);
}

bool bd_tfrecord_is_header(const uint8_t header[BD_TFRECORD_HEADER_BYTES], uint64_t *ret_length)
{
	if (load_u32(header + 8) != bd_crc32c_mask(bd_crc32c(0, header, 8)))
		return false;
	uint64_t length;
	memcpy(&length, header, sizeof length);
	*ret_length = le64toh(length);
	return true;
}

int bd_tfrecord_parse_header(const uint8_t header[BD_TFRECORD_HEADER_BYTES], uint64_t *ret_length, struct bd_error *error)
{
	if (bd_tfrecord_is_header(header, ret_length))
		return 0;
	return bd_error_set(error, -EBADMSG, "length CRC mismatch (stored 0x%08x, computed 0x%08x)", load_u32(header + 8),
	                    bd_crc32c_mask(bd_crc32c(0, header, 8)));
}

int bd_tfrecord_check_data(const uint8_t *data, uint64_t length, const uint8_t footer[BD_TFRECORD_FOOTER_BYTES],
                           struct bd_error *error)
{
	uint32_t stored = load_u32(footer), computed = bd_crc32c_mask(bd_crc32c(0, data, length));
	if (stored == computed)
		return 0;
	return bd_error_set(error, -EBADMSG, "data CRC mismatch (stored 0x%08x, computed 0x%08x)", stored, computed);
}

void bd_tfrecord_header(uint64_t length, uint8_t ret_header[BD_TFRECORD_HEADER_BYTES])
{
	uint64_t stored = htole64(length);
	memcpy(ret_header, &stored, sizeof stored);
	store_u32(bd_crc32c_mask(bd_crc32c(0, ret_header, sizeof stored)), ret_header + sizeof stored);
}

void bd_tfrecord_footer(const void *data, size_t length, uint8_t ret_footer[BD_TFRECORD_FOOTER_BYTES])
{
	store_u32(bd_crc32c_mask(bd_crc32c(0, data, length)), ret_footer);
}
