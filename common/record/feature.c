#include "common/record/feature.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#define ENTRY_VALUE 2 /* the field `value` of a map entry */
#define LIST_VALUE 1 /* the field `value` of each of the three lists */

const char *bd_value_kind_name(enum bd_value_kind kind)
{
	static const char *const names[] = { "none", "bytes", "float", "int64" };
	return names[kind];
}

/* ---- making a view ---- */

/* What is known of the pieces while a Feature is walked. */
struct pieces {
	enum bd_value_kind kind;
	size_t count;
	struct bd_field first;
	const uint8_t *feature_end; /* of the Feature that holds the first */
};

static int walk_feature(const uint8_t *bytes, size_t length, struct pieces *pieces, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (field.wire != BD_WIRE_BYTES || field.number > BD_VALUE_INT64)
			continue;
		if (pieces->kind == (enum bd_value_kind)field.number) {
			pieces->count++;
			continue;
		}
		*pieces = (struct pieces){
			.kind = (enum bd_value_kind)field.number, .count = 1, .first = field, .feature_end = bytes + length
		};
	}
	return result;
}

static void fill_view(const struct pieces *pieces, const uint8_t *end, struct bd_feature_view *view)
{
	view->kind = pieces->kind;
	view->scattered = pieces->count > 1;
	view->list = pieces->first.bytes;
	view->list_length = pieces->first.length;
	view->tail = NULL;
	view->tail_length = 0;
	if (view->scattered) {
		view->list = pieces->first.start;
		view->list_length = (size_t)(pieces->feature_end - pieces->first.start);
		view->tail = pieces->feature_end;
		view->tail_length = (size_t)(end - pieces->feature_end);
	}
}

int bd_feature_view_of_feature(const uint8_t *bytes, size_t length, struct bd_feature_view *view, struct bd_error *error)
{
	struct pieces pieces = { 0 };
	int result = walk_feature(bytes, length, &pieces, error);
	if (result == 0)
		fill_view(&pieces, pieces.feature_end, view);
	return result;
}

int bd_feature_view_of_entry(const uint8_t *bytes, size_t length, struct bd_feature_view *view, struct bd_error *error)
{
	struct pieces pieces = { 0 };
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (!bd_field_is(&field, ENTRY_VALUE, BD_WIRE_BYTES))
			continue;
		result = walk_feature(field.bytes, field.length, &pieces, error);
		if (result < 0)
			return result;
	}
	if (result == 0)
		fill_view(&pieces, bytes + length, view);
	return result;
}

/* ---- the pieces of a view, one after the other ---- */

void bd_bytes_cursor_begin(const struct bd_feature_view *view, struct bd_bytes_cursor *ret_cursor)
{
	*ret_cursor = (struct bd_bytes_cursor){ .view = view };
	if (view->kind == BD_VALUE_NONE)
		return;
	if (!view->scattered) {
		ret_cursor->list = bd_fields_of(view->list, view->list_length);
		return;
	}
	ret_cursor->feature = bd_fields_of(view->list, view->list_length);
	if (view->tail)
		ret_cursor->entry = bd_fields_of(view->tail, view->tail_length);
}

/* Moves on to the next piece: 1, 0 where there is none, -EBADMSG. */
static int next_piece(struct bd_bytes_cursor *cursor, struct bd_error *error)
{
	struct bd_field field;
	for (;;) {
		int result = bd_fields_next(&cursor->feature, &field, error);
		if (result < 0)
			return result;
		if (result > 0 && bd_field_is(&field, cursor->view->kind, BD_WIRE_BYTES)) {
			cursor->list = bd_fields_of(field.bytes, field.length);
			return 1;
		}
		if (result > 0)
			continue;
		result = bd_fields_next(&cursor->entry, &field, error);
		if (result <= 0)
			return result;
		if (bd_field_is(&field, ENTRY_VALUE, BD_WIRE_BYTES))
			cursor->feature = bd_fields_of(field.bytes, field.length);
	}
}

/* The next field of the joined list. */
static int next_field(struct bd_bytes_cursor *cursor, struct bd_field *ret_field, struct bd_error *error)
{
	for (;;) {
		int result = bd_fields_next(&cursor->list, ret_field, error);
		if (result != 0)
			return result;
		result = next_piece(cursor, error);
		if (result <= 0)
			return result;
	}
}

/* ---- values ---- */

static int wrong_kind(const struct bd_feature_view *view, enum bd_value_kind kind, struct bd_error *error)
{
	return bd_error_set(error, -EINVAL, "holds %s, not %s", bd_value_kind_name(view->kind), bd_value_kind_name(kind));
}

static int cut_number(struct bd_error *error)
{
	return bd_error_set(error, -EBADMSG, "malformed protobuf: packed numbers cut off");
}

int bd_feature_read_int64(const struct bd_feature_view *view, int64_t *ret_values, size_t room, size_t *ret_count,
                          struct bd_error *error)
{
	if (view->kind != BD_VALUE_INT64)
		return wrong_kind(view, BD_VALUE_INT64, error);
	struct bd_bytes_cursor cursor;
	struct bd_field field;
	size_t count = 0;
	int result;
	bd_bytes_cursor_begin(view, &cursor);
	while ((result = next_field(&cursor, &field, error)) > 0) {
		if (field.number != LIST_VALUE || (field.wire != BD_WIRE_BYTES && field.wire != BD_WIRE_VARINT))
			continue;
		const uint8_t *at = field.bytes, *end = at + field.length;
		while (at < end) {
			uint64_t value;
			if (!bd_read_varint(&at, end, &value))
				return cut_number(error);
			if (count < room)
				ret_values[count] = (int64_t)value;
			count++;
		}
	}
	if (result == 0)
		*ret_count = count;
	return result;
}

/* floats lie unaligned */
static void copy_floats(float *to, const uint8_t *from, size_t count)
{
	if (!count)
		return;
	memcpy(to, from, count * sizeof *to);
#if __BYTE_ORDER == __BIG_ENDIAN
	for (size_t i = 0; i < count; i++) {
		uint32_t bits;
		memcpy(&bits, to + i, sizeof bits);
		bits = le32toh(bits);
		memcpy(to + i, &bits, sizeof bits);
	}
#endif
}

int bd_feature_read_float(const struct bd_feature_view *view, float *ret_values, size_t room, size_t *ret_count,
                          struct bd_error *error)
{
	if (view->kind != BD_VALUE_FLOAT)
		return wrong_kind(view, BD_VALUE_FLOAT, error);
	struct bd_bytes_cursor cursor;
	struct bd_field field;
	size_t count = 0;
	int result;
	bd_bytes_cursor_begin(view, &cursor);
	while ((result = next_field(&cursor, &field, error)) > 0) {
		if (field.number != LIST_VALUE || (field.wire != BD_WIRE_BYTES && field.wire != BD_WIRE_FIXED32))
			continue;
		if (field.length % sizeof(float) != 0)
			return cut_number(error);
		size_t values = field.length / sizeof(float);
		if (count < room)
			copy_floats(ret_values + count, field.bytes, values < room - count ? values : room - count);
		count += values;
	}
	if (result == 0)
		*ret_count = count;
	return result;
}

int bd_bytes_cursor_next(struct bd_bytes_cursor *cursor, struct bd_bytes_view *ret_value, struct bd_error *error)
{
	if (cursor->view->kind != BD_VALUE_BYTES)
		return 0;
	struct bd_field field;
	int result;
	while ((result = next_field(cursor, &field, error)) > 0)
		if (bd_field_is(&field, LIST_VALUE, BD_WIRE_BYTES)) {
			*ret_value = (struct bd_bytes_view){ .bytes = field.bytes, .length = field.length };
			return 1;
		}
	return result;
}

int bd_feature_read_bytes(const struct bd_feature_view *view, struct bd_bytes_view *ret_values, size_t room, size_t *ret_count,
                          struct bd_error *error)
{
	if (view->kind != BD_VALUE_BYTES)
		return wrong_kind(view, BD_VALUE_BYTES, error);
	struct bd_bytes_cursor cursor;
	struct bd_bytes_view value;
	size_t count = 0;
	int result;
	bd_bytes_cursor_begin(view, &cursor);
	while ((result = bd_bytes_cursor_next(&cursor, &value, error)) > 0) {
		if (count < room)
			ret_values[count] = value;
		count++;
	}
	if (result == 0)
		*ret_count = count;
	return result;
}

int bd_feature_count(const struct bd_feature_view *view, size_t *ret_count, struct bd_error *error)
{
	switch (view->kind) {
	case BD_VALUE_INT64:
		return bd_feature_read_int64(view, NULL, 0, ret_count, error);
	case BD_VALUE_FLOAT:
		return bd_feature_read_float(view, NULL, 0, ret_count, error);
	case BD_VALUE_BYTES:
		return bd_feature_read_bytes(view, NULL, 0, ret_count, error);
	case BD_VALUE_NONE:
		break;
	}
	*ret_count = 0;
	return 0;
}
