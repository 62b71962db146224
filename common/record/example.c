#include "common/record/example.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define EXAMPLE_FEATURES 1
#define MAP_ENTRY 1 /* Features.feature, FeatureLists.feature_list */
#define ENTRY_KEY 1
#define ENTRY_VALUE 2

#define FIRST_ROOM 16

static int read_entry(const struct bd_field *map_field, struct bd_map_entry *ret_entry, struct bd_error *error)
{
	struct bd_map_entry entry = { .field = *map_field, .key = "", .counts = true };
	struct bd_fields fields = bd_fields_of(map_field->bytes, map_field->length);
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

int bd_map_entry_next(struct bd_fields *fields, struct bd_map_entry *ret_entry, struct bd_error *error)
{
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(fields, &field, error)) > 0) {
		if (!bd_field_is(&field, MAP_ENTRY, BD_WIRE_BYTES))
			continue;
		result = read_entry(&field, ret_entry, error);
		return result < 0 ? result : 1;
	}
	return result;
}

bool bd_name_is(const char *name, size_t length, const char *other, size_t other_length)
{
	return length == other_length && !memcmp(name, other, length);
}

int bd_entry_compare(const char *name, size_t length, const uint8_t *entry, const char *other_name, size_t other_length,
                     const uint8_t *other_entry)
{
	int order = memcmp(name, other_name, length < other_length ? length : other_length);
	if (order)
		return order;
	if (length != other_length)
		return length < other_length ? -1 : 1;
	return entry < other_entry ? -1 : entry > other_entry;
}

void *bd_views_grow(void *views, size_t count, size_t *room, size_t view_bytes, struct bd_error *error)
{
	if (count < *room)
		return views;
	size_t wanted = *room ? 2 * *room : FIRST_ROOM;
	void *grown = reallocarray(views, wanted, view_bytes);
	if (!grown) {
		bd_error_set(error, -ENOMEM, "no memory for %zu features", wanted);
		return NULL;
	}
	*room = wanted;
	return grown;
}

static int view_entry(const struct bd_map_entry *entry, struct bd_feature_view *view, struct bd_error *error)
{
	view->name = entry->key;
	view->name_length = entry->key_length;
	view->present = true;
	view->entry = entry->field.start;
	if (entry->values == 1)
		return bd_feature_view_of_feature(entry->value, entry->value_length, view, error);
	return bd_feature_view_of_entry(entry->field.bytes, entry->field.length, view, error);
}

int bd_features_find(const uint8_t *bytes, size_t length, const struct bd_feature_name *wanted, size_t count,
                     struct bd_feature_view *views, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_map_entry entry;
	int result;
	while ((result = bd_map_entry_next(&fields, &entry, error)) > 0) {
		for (size_t i = 0; entry.counts && i < count; i++) {
			if (!bd_name_is(wanted[i].name, wanted[i].length, entry.key, entry.key_length))
				continue;
			result = view_entry(&entry, &views[i], error);
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

int bd_features_append(struct bd_example *example, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_map_entry entry;
	int result;
	while ((result = bd_map_entry_next(&fields, &entry, error)) > 0) {
		struct bd_feature_view view = { 0 }, *grown;
		size_t values;
		if ((result = view_entry(&entry, &view, error)) < 0 || (result = bd_feature_count(&view, &values, error)) < 0)
			return result;
		if (!entry.counts)
			continue;
		grown = bd_views_grow(example->features, example->count, &example->room, sizeof view, error);
		if (!grown)
			return -ENOMEM;
		example->features = grown;
		example->features[example->count++] = view;
	}
	return result;
}

static int compare_views(const void *left, const void *right)
{
	const struct bd_feature_view *a = left, *b = right;
	return bd_entry_compare(a->name, a->name_length, a->entry, b->name, b->name_length, b->entry);
}

static bool same_name(const struct bd_feature_view *a, const struct bd_feature_view *b)
{
	return bd_name_is(a->name, a->name_length, b->name, b->name_length);
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
