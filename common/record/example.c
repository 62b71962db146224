#include "common/record/example.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

#define EXAMPLE_FEATURES 1
#define FEATURES_FEATURE 1
#define ENTRY_KEY 1
#define ENTRY_VALUE 2

int bd_map_entry_read(const uint8_t *bytes, size_t length, struct bd_map_entry *ret_entry, struct bd_error *error)
{
	struct bd_map_entry entry = { .key = "", .counts = true };
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (bd_field_is(&field, ENTRY_KEY, BD_WIRE_BYTES)) {
			if (!bd_is_utf8(field.bytes, field.length))
				return bd_error_set(error, -EBADMSG, "malformed protobuf: a key is not UTF-8");
			entry.key = (const char *)field.bytes;
			entry.key_length = field.length;
		} else if (bd_field_is(&field, ENTRY_VALUE, BD_WIRE_BYTES)) {
			entry.values++;
			entry.value = field.bytes;
			entry.value_length = field.length;
		} else {
			entry.counts = false;
		}
	}
	if (result == 0)
		*ret_entry = entry;
	return result;
}

static bool is_name(const struct bd_feature_name *name, const struct bd_map_entry *entry)
{
	return name->length == entry->key_length && !memcmp(name->name, entry->key, name->length);
}

/* The view of the entry whose map field is `field`. */
static int view_entry(const struct bd_field *field, const struct bd_map_entry *entry, struct bd_feature_view *view,
                      struct bd_error *error)
{
	view->name = entry->key;
	view->name_length = entry->key_length;
	view->present = true;
	view->entry = field->start;
	if (entry->values == 1)
		return bd_feature_view_of_feature(entry->value, entry->value_length, view, error);
	return bd_feature_view_of_entry(field->bytes, field->length, view, error);
}

int bd_features_find(const uint8_t *bytes, size_t length, const struct bd_feature_name *wanted, size_t count,
                     struct bd_feature_view *views, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		struct bd_map_entry entry = { 0 };
		if (!bd_field_is(&field, FEATURES_FEATURE, BD_WIRE_BYTES))
			continue;
		result = bd_map_entry_read(field.bytes, field.length, &entry, error);
		if (result < 0)
			return result;
		for (size_t i = 0; entry.counts && i < count; i++) {
			if (!is_name(&wanted[i], &entry))
				continue;
			result = view_entry(&field, &entry, &views[i], error);
			if (result < 0)
				return result;
		}
	}
	return result;
}

int bd_example_find(const uint8_t *data, size_t length, const struct bd_feature_name *wanted, size_t count,
                    struct bd_feature_view *ret_views, struct bd_error *error)
{
	for (size_t i = 0; i < count; i++)
		ret_views[i] = (struct bd_feature_view){ .name = wanted[i].name, .name_length = wanted[i].length };
	struct bd_fields fields = bd_fields_of(data, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (!bd_field_is(&field, EXAMPLE_FEATURES, BD_WIRE_BYTES))
			continue;
		result = bd_features_find(field.bytes, field.length, wanted, count, ret_views, error);
		if (result < 0)
			return result;
	}
	return result;
}

/* ---- all features ---- */

static struct bd_feature_view *append(struct bd_example *example, struct bd_error *error)
{
	if (example->count == example->room) {
		size_t room = example->room ? 2 * example->room : 16, bytes;
		struct bd_feature_view *grown = NULL;
		if (bd_multiply_size(room, sizeof *grown, &bytes))
			grown = realloc(example->features, bytes);
		if (!grown) {
			bd_error_set(error, -ENOMEM, "no memory for %zu features", room);
			return NULL;
		}
		example->features = grown;
		example->room = room;
	}
	struct bd_feature_view *view = &example->features[example->count++];
	*view = (struct bd_feature_view){ 0 };
	return view;
}

int bd_features_append(struct bd_example *example, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		struct bd_map_entry entry = { 0 };
		size_t values;
		if (!bd_field_is(&field, FEATURES_FEATURE, BD_WIRE_BYTES))
			continue;
		struct bd_feature_view *view = append(example, error);
		if (!view)
			return -ENOMEM;
		if ((result = bd_map_entry_read(field.bytes, field.length, &entry, error)) < 0 ||
		    (result = view_entry(&field, &entry, view, error)) < 0 || (result = bd_feature_count(view, &values, error)) < 0)
			return result;
		if (!entry.counts)
			example->count--;
	}
	return result;
}

static int compare_views(const void *left, const void *right)
{
	const struct bd_feature_view *a = left, *b = right;
	size_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
	int order = memcmp(a->name, b->name, shorter);
	if (order)
		return order;
	if (a->name_length != b->name_length)
		return a->name_length < b->name_length ? -1 : 1;
	return a->entry < b->entry ? -1 : a->entry > b->entry;
}

static bool same_name(const struct bd_feature_view *a, const struct bd_feature_view *b)
{
	return a->name_length == b->name_length && !memcmp(a->name, b->name, a->name_length);
}

void bd_example_sort(struct bd_example *example)
{
	if (!example->count)
		return;
	qsort(example->features, example->count, sizeof *example->features, compare_views);
	size_t kept = 0;
	for (size_t i = 0; i < example->count; i++)
		if (i + 1 == example->count || !same_name(&example->features[i], &example->features[i + 1]))
			example->features[kept++] = example->features[i];
	example->count = kept;
}

int bd_example_read(struct bd_example *example, const uint8_t *data, size_t length, struct bd_error *error)
{
	example->count = 0;
	struct bd_fields fields = bd_fields_of(data, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (!bd_field_is(&field, EXAMPLE_FEATURES, BD_WIRE_BYTES))
			continue;
		result = bd_features_append(example, field.bytes, field.length, error);
		if (result < 0)
			break;
	}
	if (result < 0) {
		example->count = 0;
		return result;
	}
	bd_example_sort(example);
	return 0;
}

void bd_example_finish(struct bd_example *example)
{
	free(example->features);
	*example = (struct bd_example){ 0 };
}
