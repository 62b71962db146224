/*
 * protobuf.h - walks the fields of one serialized protobuf message in place.
 *
 * Why own code: this runs on every record; it looks at tags and lengths only and copies nothing. What it refuses is what
 * protobuf's own readers refuse: field number 0, wire types 6 and 7, varints of more than 10 bytes (tags and lengths: more
 * than 5), lengths past the end or from 2 GiB on, an end of a group without its beginning, groups nested deeper than 100.
 * Source: https://protobuf.dev/programming-guides/encoding and the behaviour recorded in the golden files.
 * Threads: no state.
 */
#ifndef BD_RECORD_PROTOBUF_H
#define BD_RECORD_PROTOBUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

enum bd_wire {
	BD_WIRE_VARINT = 0,
	BD_WIRE_FIXED64 = 1,
	BD_WIRE_BYTES = 2,
	BD_WIRE_GROUP = 3,
	BD_WIRE_GROUP_END = 4,
	BD_WIRE_FIXED32 = 5,
};

#define BD_PROTOBUF_DEPTH 100 /* protobuf's own limit */

/* What is left of a message. */
struct bd_fields {
	const uint8_t *at, *end;
};

struct bd_field {
	uint32_t number;
	enum bd_wire wire;
	const uint8_t *start; /* its tag */
	const uint8_t *bytes; /* payload: of BYTES without the length, of others the encoded number */
	size_t length;
};

static inline struct bd_fields bd_fields_of(const uint8_t *bytes, size_t length)
{
	return (struct bd_fields){ .at = bytes, .end = bytes + length };
}

static inline bool bd_field_is(const struct bd_field *field, uint32_t number, enum bd_wire wire)
{
	return field->number == number && field->wire == wire;
}

/* Reads a varint at *at; false where it is cut off or longer than 10 bytes. Bits past 64 are dropped, as protobuf does. */
static inline bool bd_read_varint(const uint8_t **at, const uint8_t *end, uint64_t *ret_value)
{
	const uint8_t *p = *at;
	if (p < end && *p < 0x80) {
		*ret_value = *p;
		*at = p + 1;
		return true;
	}
	uint64_t value = 0;
	for (unsigned i = 0; i < 10 && p < end; i++, p++) {
		value |= (uint64_t)(*p & 0x7f) << 7 * i;
		if (*p < 0x80) {
			*ret_value = value;
			*at = p + 1;
			return true;
		}
	}
	return false;
}

/* The next field: 1; 0 at the end of the message; -EBADMSG with the reason. */
int bd_fields_next_slow(struct bd_fields *fields, struct bd_field *ret_field, struct bd_error *error);

static inline int bd_fields_next(struct bd_fields *fields, struct bd_field *ret_field, struct bd_error *error)
{
	const uint8_t *at = fields->at;
	/* nearly always: a one-byte tag of wire type BYTES and a length of one or two bytes */
	if (fields->end - at >= 3 && (at[0] & 7) == BD_WIRE_BYTES && at[0] >= 8 && at[0] < 0x80) {
		const uint8_t *bytes = at + 2;
		size_t length = at[1];
		if (length >= 0x80) {
			length = (length & 0x7f) | (size_t)at[2] << 7;
			bytes++;
		}
		if (!(at[1] >= 0x80 && at[2] >= 0x80) && length <= (size_t)(fields->end - bytes)) {
			*ret_field = (struct bd_field){
				.number = at[0] >> 3, .wire = BD_WIRE_BYTES, .start = at, .bytes = bytes, .length = length
			};
			fields->at = bytes + length;
			return 1;
		}
	}
	return bd_fields_next_slow(fields, ret_field, error);
}

/* Whether the bytes are UTF-8 as protobuf checks it: no overlong forms, no surrogates, nothing past U+10FFFF. */
bool bd_is_utf8(const uint8_t *bytes, size_t length);

#endif
