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

/* A length of one to three bytes; returns where the payload begins, NULL for what the slow way must look at. */
static inline const uint8_t *bd_read_short_length(const uint8_t *at, const uint8_t *end, size_t *ret_length)
{
	if (at[0] < 0x80) {
		*ret_length = at[0];
		return at + 1;
	}
	if (end - at < 3)
		return NULL;
	if (at[1] < 0x80) {
		*ret_length = (at[0] & 0x7fu) | (size_t)at[1] << 7;
		return at + 2;
	}
	*ret_length = (at[0] & 0x7fu) | (at[1] & 0x7fu) << 7 | (size_t)at[2] << 14;
	return at[2] < 0x80 ? at + 3 : NULL;
}

/* The next field of the message: 1; 0 at its end; -EBADMSG with the reason. What is rare is left to bd_fields_next_slow. */
static inline int bd_fields_next(struct bd_fields *fields, struct bd_field *ret_field, struct bd_error *error)
{
	const uint8_t *at = fields->at, *end = fields->end;
	/* nearly always: a one-byte tag of wire type BYTES and a short length */
	if (end - at >= 2 && (at[0] & 7) == BD_WIRE_BYTES && at[0] >= 8 && at[0] < 0x80) {
		size_t length;
		const uint8_t *bytes = bd_read_short_length(at + 1, end, &length);
		if (bytes && length <= (size_t)(end - bytes)) {
			ret_field->number = at[0] >> 3;
			ret_field->wire = BD_WIRE_BYTES;
			ret_field->start = at;
			ret_field->bytes = bytes;
			ret_field->length = length;
			fields->at = bytes + length;
			return 1;
		}
	}
	if (at == end)
		return 0;
	return bd_fields_next_slow(fields, ret_field, error);
}

/* Whether the bytes are UTF-8 as protobuf checks it: no overlong forms, no surrogates, nothing past U+10FFFF. */
bool bd_is_utf8(const uint8_t *bytes, size_t length);

#endif
