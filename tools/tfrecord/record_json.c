#include "tools/tfrecord/record_json.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *bd_json_base64(const uint8_t *bytes, size_t length)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text = malloc(length / 3 * 4 + 5), *to = text;
	if (!text)
		return bd_json_lost();
	for (; length >= 3; bytes += 3, length -= 3) {
		uint32_t word = (uint32_t)bytes[0] << 16 | (uint32_t)bytes[1] << 8 | bytes[2];
		*to++ = digits[word >> 18];
		*to++ = digits[word >> 12 & 63];
		*to++ = digits[word >> 6 & 63];
		*to++ = digits[word & 63];
	}
	if (length) {
		uint32_t word = (uint32_t)bytes[0] << 16 | (length == 2 ? (uint32_t)bytes[1] << 8 : 0);
		*to++ = digits[word >> 18];
		*to++ = digits[word >> 12 & 63];
		*to++ = length == 2 ? digits[word >> 6 & 63] : '=';
		*to++ = '=';
	}
	json_t *value = json_stringn_nocheck(text, (size_t)(to - text));
	free(text);
	return value;
}

static json_t *float_json(float value)
{
	if (isnan(value))
		return json_string("nan");
	if (isinf(value))
		return json_string(value > 0 ? "inf" : "-inf");
	return bd_json_float(value);
}

static json_t *int64_list(const struct bd_feature_view *view, size_t count)
{
	json_t *list = json_array();
	int64_t *values = malloc((count + 1) * sizeof *values);
	if (!values)
		bd_json_lost();
	if (!values || bd_feature_read_int64(view, values, count, &count, NULL) < 0)
		count = 0;
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, json_integer(values[i]));
	free(values);
	return list;
}

static json_t *float_list(const struct bd_feature_view *view, size_t count)
{
	json_t *list = json_array();
	float *values = malloc((count + 1) * sizeof *values);
	if (!values)
		bd_json_lost();
	if (!values || bd_feature_read_float(view, values, count, &count, NULL) < 0)
		count = 0;
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, float_json(values[i]));
	free(values);
	return list;
}

static json_t *bytes_list(const struct bd_feature_view *view)
{
	json_t *list = json_array();
	struct bd_bytes_cursor cursor;
	struct bd_bytes_view value;
	bd_bytes_cursor_begin(view, &cursor);
	while (bd_bytes_cursor_next(&cursor, &value, NULL) > 0)
		json_array_append_new(list, bd_json_base64(value.bytes, value.length));
	return list;
}

static json_t *feature_json(const struct bd_feature_view *view)
{
	size_t count = 0;
	json_t *feature = json_object(), *list = NULL;
	if (bd_feature_count(view, &count, NULL) < 0)
		return feature;
	switch (view->kind) {
	case BD_VALUE_INT64:
		list = int64_list(view, count);
		break;
	case BD_VALUE_FLOAT:
		list = float_list(view, count);
		break;
	case BD_VALUE_BYTES:
		list = bytes_list(view);
		break;
	case BD_VALUE_NONE:
		return feature;
	}
	json_object_set_new(feature, bd_value_kind_name(view->kind), list);
	return feature;
}

json_t *bd_json_features(const struct bd_example *example)
{
	json_t *features = json_object();
	for (size_t i = 0; features && i < example->count; i++)
		bd_json_set(features, example->features[i].name, example->features[i].name_length,
		            feature_json(&example->features[i]));
	return features;
}

json_t *bd_json_feature_lists(const struct bd_sequence_example *example)
{
	json_t *lists = json_object();
	for (size_t i = 0; lists && i < example->list_count; i++) {
		json_t *steps = json_array();
		struct bd_step_cursor cursor;
		struct bd_feature_view step;
		bd_step_cursor_begin(&example->lists[i], &cursor);
		while (bd_step_cursor_next(&cursor, &step, NULL) > 0)
			json_array_append_new(steps, feature_json(&step));
		bd_json_set(lists, example->lists[i].name, example->lists[i].name_length, steps);
	}
	return lists;
}

/* Whether there is a field of one of the numbers 1..last that holds a message. */
static bool has_field(const uint8_t *data, size_t length, uint32_t last)
{
	struct bd_fields fields = bd_fields_of(data, length);
	struct bd_field field;
	while (bd_fields_next(&fields, &field, NULL) > 0)
		if (field.wire == BD_WIRE_BYTES && field.number <= last)
			return true;
	return false;
}

/* 1 where it parsed and there is a field of the message. */
static int judge(int result, const uint8_t *data, size_t length, uint32_t last)
{
	if (result == -ENOMEM)
		return result;
	return result == 0 && (!length || has_field(data, length, last));
}

int bd_record_read_example(const uint8_t *data, size_t length, struct bd_example *example, struct bd_error *error)
{
	return judge(bd_example_read(example, data, length, error), data, length, 1);
}

int bd_record_read_sequence_example(const uint8_t *data, size_t length, struct bd_sequence_example *example, struct bd_error *error)
{
	return judge(bd_sequence_example_read(example, data, length, error), data, length, 2);
}
