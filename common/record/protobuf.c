#include "common/record/protobuf.h"

#include <errno.h>
#include <limits.h>
#include <string.h>

static int malformed(struct bd_error *error, const char *what)
{
	return bd_error_set(error, -EBADMSG, "malformed protobuf: %s", what);
}

/* Tags and lengths: 32 bits in at most 5 bytes. */
static bool read_u32(const uint8_t **at, const uint8_t *end, uint32_t *ret_value)
{
	uint64_t value = 0;
	const uint8_t *p = *at;
	for (unsigned i = 0; i < 5 && p < end; i++, p++) {
		value |= (uint64_t)(*p & 0x7f) << 7 * i;
		if (*p < 0x80) {
			if (value > UINT32_MAX)
				return false;
			*ret_value = (uint32_t)value;
			*at = p + 1;
			return true;
		}
	}
	return false;
}

/* One field without looking into groups: a group's field is its start tag alone. */
static int next_flat(struct bd_fields *fields, struct bd_field *ret_field, struct bd_error *error)
{
	const uint8_t *at = fields->at;
	uint32_t tag, length;
	uint64_t number;
	if (!read_u32(&at, fields->end, &tag))
		return malformed(error, "bad tag");
	if (tag >> 3 == 0)
		return malformed(error, "field number 0");
	struct bd_field field = { .number = tag >> 3, .wire = tag & 7, .start = fields->at, .bytes = at };
	size_t left = (size_t)(fields->end - at);
	switch (field.wire) {
	case BD_WIRE_VARINT:
		if (!bd_read_varint(&at, fields->end, &number))
			return malformed(error, "bad varint");
		break;
	case BD_WIRE_FIXED64:
	case BD_WIRE_FIXED32: {
		size_t size = field.wire == BD_WIRE_FIXED64 ? 8 : 4;
		if (left < size)
			return malformed(error, "number cut off");
		at += size;
		break;
	}
	case BD_WIRE_BYTES:
		if (!read_u32(&at, fields->end, &length) || length > INT_MAX)
			return malformed(error, "bad length");
		if (length > (size_t)(fields->end - at))
			return malformed(error, "length past the end");
		field.bytes = at;
		at += length;
		break;
	case BD_WIRE_GROUP:
	case BD_WIRE_GROUP_END:
		break;
	default:
		return malformed(error, "unknown wire type");
	}
	field.length = (size_t)(at - field.bytes);
	fields->at = at;
	*ret_field = field;
	return 1;
}

/* Everything up to the end of the group `number`, whose start tag was read. */
static int skip_group(struct bd_fields *fields, uint32_t number, struct bd_error *error)
{
	uint32_t open[BD_PROTOBUF_DEPTH] = { number };
	for (int depth = 1; depth > 0;) {
		struct bd_field field = { 0 };
		if (fields->at == fields->end)
			return malformed(error, "group not closed");
		int result = next_flat(fields, &field, error);
		if (result < 0)
			return result;
		if (field.wire == BD_WIRE_GROUP) {
			if (depth == BD_PROTOBUF_DEPTH)
				return malformed(error, "groups nested too deep");
			open[depth++] = field.number;
		} else if (field.wire == BD_WIRE_GROUP_END) {
			if (field.number != open[--depth])
				return malformed(error, "another group closed");
		}
	}
	return 1;
}

int bd_fields_next_slow(struct bd_fields *fields, struct bd_field *ret_field, struct bd_error *error)
{
	if (fields->at == fields->end)
		return 0;
	int result = next_flat(fields, ret_field, error);
	if (result < 0)
		return result;
	if (ret_field->wire == BD_WIRE_GROUP_END)
		return malformed(error, "group closed that was not open");
	if (ret_field->wire == BD_WIRE_GROUP)
		return skip_group(fields, ret_field->number, error);
	return 1;
}

/* The length of the UTF-8 sequence at `p`, 0 where it is none. Table 3-7 of the Unicode standard. */
static size_t sequence_length(const uint8_t *p, size_t left)
{
	uint8_t first = p[0], low = 0x80, high = 0xbf;
	size_t length = first < 0x80 ? 1 : first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
	if (length < 2 || length > left)
		return length > left ? 0 : length;
	if (first == 0xe0)
		low = 0xa0;
	else if (first == 0xed)
		high = 0x9f;
	else if (first == 0xf0)
		low = 0x90;
	else if (first == 0xf4)
		high = 0x8f;
	if (p[1] < low || p[1] > high)
		return 0;
	for (size_t i = 2; i < length; i++)
		if ((p[i] & 0xc0) != 0x80)
			return 0;
	return length;
}

bool bd_is_utf8(const uint8_t *bytes, size_t length)
{
	while (length) {
		uint64_t word;
		if (length >= 8 && (memcpy(&word, bytes, 8), !(word & 0x8080808080808080u))) {
			bytes += 8;
			length -= 8;
			continue;
		}
		size_t step = sequence_length(bytes, length);
		if (!step)
			return false;
		bytes += step;
		length -= step;
	}
	return true;
}
