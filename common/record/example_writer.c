#include "common/record/example_writer.h"

#include <endian.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/record/feature.h"

#define TAG_BYTES(number) ((uint8_t)((number) << 3 | BD_WIRE_BYTES))
#define FRONT_BYTES 6 /* tag and at most 5 bytes of length of Example.features */

static size_t varint_bytes(uint64_t value)
{
	return (size_t)(70 - __builtin_clzll(value | 1)) / 7;
}

static uint8_t *put_varint(uint8_t *to, uint64_t value)
{
	for (; value >= 0x80; value >>= 7)
		*to++ = (uint8_t)(value | 0x80);
	*to++ = (uint8_t)value;
	return to;
}

static uint8_t *put_header(uint8_t *to, uint8_t number, size_t length)
{
	*to++ = TAG_BYTES(number);
	return put_varint(to, length);
}

static uint8_t *put_bytes(uint8_t *to, const void *bytes, size_t length)
{
	if (length)
		memcpy(to, bytes, length);
	return to + length;
}

/* Bytes of a length-delimited field whose payload has `length` bytes. */
static size_t field_bytes(size_t length)
{
	return 1 + varint_bytes(length) + length;
}

void bd_example_writer_begin(struct bd_example_writer *writer)
{
	writer->length = FRONT_BYTES;
	writer->failed = 0;
}

static uint8_t *reserve(struct bd_example_writer *writer, size_t more)
{
	size_t needed;
	if (writer->failed)
		return NULL;
	if (!bd_add_size(writer->length, more, &needed) || needed > INT_MAX) {
		writer->failed = -EMSGSIZE;
		return NULL;
	}
	if (needed > writer->room) {
		size_t room = needed + needed / 2;
		uint8_t *grown = realloc(writer->bytes, room);
		if (!grown) {
			writer->failed = -ENOMEM;
			return NULL;
		}
		writer->bytes = grown;
		writer->room = room;
	}
	uint8_t *at = writer->bytes + writer->length;
	writer->length = needed;
	return at;
}

/* Everything of a map entry up to the list's fields, of which `values` bytes follow. */
static uint8_t *begin_entry(struct bd_example_writer *writer, const char *name, enum bd_value_kind kind, size_t values)
{
	size_t name_length = strlen(name);
	if (name_length > INT_MAX / 4 || values > INT_MAX - 64) {
		writer->failed = writer->failed ? writer->failed : -EMSGSIZE;
		return NULL;
	}
	size_t list = field_bytes(values), feature = field_bytes(list), entry = field_bytes(name_length) + feature;
	uint8_t *at = reserve(writer, field_bytes(entry));
	if (!at)
		return NULL;
	at = put_header(at, 1, entry);
	at = put_header(at, 1, name_length);
	at = put_bytes(at, name, name_length);
	at = put_header(at, 2, list);
	return put_header(at, (uint8_t)kind, values);
}

void bd_example_writer_add_bytes(struct bd_example_writer *writer, const char *name, const void *bytes, size_t length)
{
	uint8_t *at = length > INT_MAX - 64 ? NULL : begin_entry(writer, name, BD_VALUE_BYTES, field_bytes(length));
	if (length > INT_MAX - 64 && !writer->failed)
		writer->failed = -EMSGSIZE;
	if (!at)
		return;
	put_bytes(put_header(at, 1, length), bytes, length);
}

void bd_example_writer_add_int64(struct bd_example_writer *writer, const char *name, const int64_t *values, size_t count)
{
	size_t packed = 0;
	for (size_t i = 0; i < count; i++)
		packed += varint_bytes((uint64_t)values[i]);
	uint8_t *at = begin_entry(writer, name, BD_VALUE_INT64, count ? field_bytes(packed) : 0);
	if (!at || !count)
		return;
	at = put_header(at, 1, packed);
	for (size_t i = 0; i < count; i++)
		at = put_varint(at, (uint64_t)values[i]);
}

void bd_example_writer_add_float(struct bd_example_writer *writer, const char *name, const float *values, size_t count)
{
	size_t packed;
	if (!bd_multiply_size(count, sizeof *values, &packed) || packed > INT_MAX) {
		writer->failed = writer->failed ? writer->failed : -EMSGSIZE;
		return;
	}
	uint8_t *at = begin_entry(writer, name, BD_VALUE_FLOAT, count ? field_bytes(packed) : 0);
	if (!at || !count)
		return;
	at = put_header(at, 1, packed);
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;
		memcpy(&bits, values + i, sizeof bits);
		bits = htole32(bits);
		memcpy(at + i * sizeof bits, &bits, sizeof bits);
	}
}

int bd_example_writer_end(struct bd_example_writer *writer, const uint8_t **ret_bytes, size_t *ret_length, struct bd_error *error)
{
	if (writer->failed)
		return bd_error_set(error, writer->failed, "Example: %s",
		                    writer->failed == -ENOMEM ? "no memory" : "larger than the 2 GiB that protobuf allows");
	size_t features = writer->length - FRONT_BYTES;
	if (!writer->bytes) {
		static const uint8_t empty[] = { TAG_BYTES(1), 0 };
		*ret_bytes = empty;
		*ret_length = sizeof empty;
		return 0;
	}
	size_t header = 1 + varint_bytes(features);
	uint8_t *start = writer->bytes + FRONT_BYTES - header;
	put_header(start, 1, features);
	*ret_bytes = start;
	*ret_length = header + features;
	return 0;
}

void bd_example_writer_finish(struct bd_example_writer *writer)
{
	free(writer->bytes);
	*writer = (struct bd_example_writer){ 0 };
}
