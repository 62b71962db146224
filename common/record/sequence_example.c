#include "common/record/sequence_example.h"

#include <errno.h>
#include <stdlib.h>

#define SEQUENCE_CONTEXT 1
#define SEQUENCE_LISTS 2
#define LIST_FEATURE 1
#define ENTRY_VALUE 2

void bd_step_cursor_begin(const struct bd_feature_list_view *list, struct bd_step_cursor *ret_cursor)
{
	*ret_cursor = (struct bd_step_cursor){ .list = list };
	if (list->present)
		ret_cursor->entry = bd_fields_of(list->entry, list->entry_length);
}

/* The next serialized Feature of the list. */
static int next_feature(struct bd_step_cursor *cursor, struct bd_field *ret_field, struct bd_error *error)
{
	for (;;) {
		int result = bd_fields_next(&cursor->steps, ret_field, error);
		if (result < 0)
			return result;
		if (result > 0 && bd_field_is(ret_field, LIST_FEATURE, BD_WIRE_BYTES))
			return 1;
		if (result > 0)
			continue;
		result = bd_fields_next(&cursor->entry, ret_field, error);
		if (result <= 0)
			return result;
		if (bd_field_is(ret_field, ENTRY_VALUE, BD_WIRE_BYTES))
			cursor->steps = bd_fields_of(ret_field->bytes, ret_field->length);
	}
}

int bd_step_cursor_next(struct bd_step_cursor *cursor, struct bd_feature_view *ret_step, struct bd_error *error)
{
	struct bd_field field;
	int result = next_feature(cursor, &field, error);
	if (result <= 0)
		return result;
	*ret_step = (struct bd_feature_view){
		.name = cursor->list->name, .name_length = cursor->list->name_length, .present = true, .entry = field.start
	};
	result = bd_feature_view_of_feature(field.bytes, field.length, ret_step, error);
	return result < 0 ? result : 1;
}

/* The view of the list in a map entry, its steps counted. */
static int view_list(const struct bd_map_entry *entry, struct bd_feature_list_view *ret_list, struct bd_error *error)
{
	struct bd_feature_list_view list = { .name = entry->key,
		                             .name_length = entry->key_length,
		                             .present = true,
		                             .entry = entry->field.bytes,
		                             .entry_length = entry->field.length,
		                             .start = entry->field.start };
	struct bd_step_cursor cursor;
	struct bd_field step;
	int result;
	bd_step_cursor_begin(&list, &cursor);
	while ((result = next_feature(&cursor, &step, error)) > 0)
		list.steps++;
	if (result == 0)
		*ret_list = list;
	return result;
}

static int find_lists(const uint8_t *bytes, size_t length, const struct bd_feature_name *wanted, size_t count,
                      struct bd_feature_list_view *lists, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_map_entry entry;
	int result;
	while ((result = bd_map_entry_next(&fields, &entry, error)) > 0) {
		for (size_t i = 0; entry.counts && i < count; i++) {
			if (!bd_name_is(wanted[i].name, wanted[i].length, entry.key, entry.key_length))
				continue;
			result = view_list(&entry, &lists[i], error);
			if (result < 0)
				return result;
		}
	}
	return result;
}

int bd_sequence_example_find(const uint8_t *data, size_t length, const struct bd_feature_name *context, size_t context_count,
                             struct bd_feature_view *ret_context, const struct bd_feature_name *lists, size_t list_count,
                             struct bd_feature_list_view *ret_lists, struct bd_error *error)
{
	for (size_t i = 0; i < context_count; i++)
		ret_context[i] = (struct bd_feature_view){ .name = context[i].name, .name_length = context[i].length };
	for (size_t i = 0; i < list_count; i++)
		ret_lists[i] = (struct bd_feature_list_view){ .name = lists[i].name, .name_length = lists[i].length };
	struct bd_fields fields = bd_fields_of(data, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (bd_field_is(&field, SEQUENCE_CONTEXT, BD_WIRE_BYTES))
			result = bd_features_find(field.bytes, field.length, context, context_count, ret_context, error);
		else if (bd_field_is(&field, SEQUENCE_LISTS, BD_WIRE_BYTES))
			result = find_lists(field.bytes, field.length, lists, list_count, ret_lists, error);
		if (result < 0)
			return result;
	}
	return result;
}

/* ---- everything ---- */

static int check_steps(const struct bd_feature_list_view *list, struct bd_error *error)
{
	struct bd_step_cursor cursor;
	struct bd_feature_view step;
	int result;
	bd_step_cursor_begin(list, &cursor);
	while ((result = bd_step_cursor_next(&cursor, &step, error)) > 0) {
		size_t values;
		result = bd_feature_count(&step, &values, error);
		if (result < 0)
			return result;
	}
	return result;
}

static int append_lists(struct bd_sequence_example *example, const uint8_t *bytes, size_t length, struct bd_error *error)
{
	struct bd_fields fields = bd_fields_of(bytes, length);
	struct bd_map_entry entry;
	int result;
	while ((result = bd_map_entry_next(&fields, &entry, error)) > 0) {
		struct bd_feature_list_view list, *grown;
		if ((result = view_list(&entry, &list, error)) < 0 || (result = check_steps(&list, error)) < 0)
			return result;
		if (!entry.counts)
			continue;
		grown = bd_views_grow(example->lists, example->list_count, &example->list_room, sizeof list, error);
		if (!grown)
			return -ENOMEM;
		example->lists = grown;
		example->lists[example->list_count++] = list;
	}
	return result;
}

static int compare_lists(const void *left, const void *right)
{
	const struct bd_feature_list_view *a = left, *b = right;
	return bd_entry_compare(a->name, a->name_length, a->start, b->name, b->name_length, b->start);
}

/* By key; of lists with one key the last stays. */
static void sort_lists(struct bd_sequence_example *example)
{
	size_t kept = 0, count = example->list_count;
	struct bd_feature_list_view *lists = example->lists;
	if (count)
		qsort(lists, count, sizeof *lists, compare_lists);
	for (size_t i = 0; i < count; i++)
		if (i + 1 == count || !bd_name_is(lists[i].name, lists[i].name_length, lists[i + 1].name, lists[i + 1].name_length))
			lists[kept++] = lists[i];
	example->list_count = kept;
}

int bd_sequence_example_read(struct bd_sequence_example *example, const uint8_t *data, size_t length, struct bd_error *error)
{
	example->context.count = 0;
	example->list_count = 0;
	struct bd_fields fields = bd_fields_of(data, length);
	struct bd_field field;
	int result;
	while ((result = bd_fields_next(&fields, &field, error)) > 0) {
		if (bd_field_is(&field, SEQUENCE_CONTEXT, BD_WIRE_BYTES))
			result = bd_features_append(&example->context, field.bytes, field.length, error);
		else if (bd_field_is(&field, SEQUENCE_LISTS, BD_WIRE_BYTES))
			result = append_lists(example, field.bytes, field.length, error);
		if (result < 0)
			break;
	}
	if (result < 0) {
		example->context.count = 0;
		example->list_count = 0;
		return result;
	}
	bd_example_sort(&example->context);
	sort_lists(example);
	return 0;
}

void bd_sequence_example_finish(struct bd_sequence_example *example)
{
	bd_example_finish(&example->context);
	free(example->lists);
	*example = (struct bd_sequence_example){ 0 };
}
