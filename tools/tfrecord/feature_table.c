#include "tools/tfrecord/feature_table.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/image/picture.h"

enum { FORMAT_OTHER = 1, FORMAT_JPEG = 2, FORMAT_PNG = 4 };

static void widen(struct bd_range *range, uint64_t value)
{
	if (!range->any || value < range->least)
		range->least = value;
	if (!range->any || value > range->most)
		range->most = value;
	range->any = true;
}

static bool is_one(const struct bd_range *range)
{
	return range->any && range->least == range->most;
}

/* ---- the table ---- */

static int compare(const struct bd_feature_summary *summary, bool sequence, const char *name, size_t length)
{
	if (summary->sequence != sequence)
		return summary->sequence ? 1 : -1;
	size_t shorter = length < summary->name_length ? length : summary->name_length;
	int order = memcmp(summary->name, name, shorter);
	if (order)
		return order;
	return summary->name_length < length ? -1 : summary->name_length > length;
}

/* The first item that is not before the name. */
static size_t find(const struct bd_feature_table *table, bool sequence, const char *name, size_t length)
{
	size_t low = 0, high = table->count;
	while (low < high) {
		size_t middle = low + (high - low) / 2;
		if (compare(&table->items[middle], sequence, name, length) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static int make_room(struct bd_feature_table *table, struct bd_error *error)
{
	if (table->count < table->room)
		return 0;
	size_t room = table->room ? 2 * table->room : 16;
	struct bd_feature_summary *grown = realloc(table->items, room * sizeof *grown);
	if (!grown)
		return bd_error_set(error, -ENOMEM, "no memory for the list of features");
	table->items = grown;
	table->room = room;
	return 0;
}

/* The summary of a name, made where there is none yet. *ret is NULL past the limit. */
static int summary_of(struct bd_feature_table *table, bool sequence, const char *name, size_t length,
                      struct bd_feature_summary **ret_summary, struct bd_error *error)
{
	size_t at = find(table, sequence, name, length);
	*ret_summary = NULL;
	if (at == table->count || compare(&table->items[at], sequence, name, length) != 0) {
		if (table->count == BD_FEATURE_TABLE_MAX) {
			table->dropped++;
			return 0;
		}
		int result = make_room(table, error);
		char *copy = result == 0 ? malloc(length + 1) : NULL;
		if (!copy)
			return bd_error_set(error, -ENOMEM, "no memory for the list of features");
		memcpy(copy, name, length);
		copy[length] = 0;
		memmove(&table->items[at + 1], &table->items[at], (table->count - at) * sizeof *table->items);
		table->items[at] = (struct bd_feature_summary){ .name = copy, .name_length = length, .sequence = sequence };
		table->count++;
	}
	*ret_summary = &table->items[at];
	return 0;
}

void bd_feature_table_finish(struct bd_feature_table *table)
{
	for (size_t i = 0; i < table->count; i++)
		free(table->items[i].name);
	free(table->items);
	*table = (struct bd_feature_table){ 0 };
}

/* ---- looking at values ---- */

static void look_at_string(struct bd_feature_summary *summary, const struct bd_bytes_view *value)
{
	uint32_t height, width, channels;
	widen(&summary->bytes, value->length);
	if (value->length < 4 || bd_picture_size(value->bytes, value->length, &height, &width, &channels, NULL) < 0) {
		summary->formats |= FORMAT_OTHER;
		return;
	}
	summary->formats |= value->bytes[0] == 0xff ? FORMAT_JPEG : FORMAT_PNG;
	widen(&summary->height, height);
	widen(&summary->width, width);
	widen(&summary->channels, channels);
}

static void look_at(struct bd_feature_summary *summary, const struct bd_feature_view *view)
{
	size_t count;
	struct bd_bytes_cursor cursor;
	struct bd_bytes_view value;
	if (bd_feature_count(view, &count, NULL) < 0)
		return;
	summary->kinds |= 1u << view->kind;
	if (view->kind != BD_VALUE_NONE)
		widen(&summary->values, count);
	bd_bytes_cursor_begin(view, &cursor);
	while (bd_bytes_cursor_next(&cursor, &value, NULL) > 0)
		look_at_string(summary, &value);
}

int bd_feature_table_add(struct bd_feature_table *table, const struct bd_example *example, struct bd_error *error)
{
	for (size_t i = 0; i < example->count; i++) {
		const struct bd_feature_view *view = &example->features[i];
		struct bd_feature_summary *summary;
		int result = summary_of(table, false, view->name, view->name_length, &summary, error);
		if (result < 0)
			return result;
		if (!summary)
			continue;
		summary->records++;
		look_at(summary, view);
	}
	return 0;
}

static int add_list(struct bd_feature_table *table, const struct bd_feature_list_view *list, struct bd_error *error)
{
	struct bd_feature_summary *summary;
	struct bd_step_cursor cursor;
	struct bd_feature_view step;
	int result = summary_of(table, true, list->name, list->name_length, &summary, error);
	if (result < 0 || !summary)
		return result;
	summary->records++;
	widen(&summary->steps, list->steps);
	bd_step_cursor_begin(list, &cursor);
	while (bd_step_cursor_next(&cursor, &step, NULL) > 0)
		look_at(summary, &step);
	return 0;
}

int bd_feature_table_add_sequence(struct bd_feature_table *table, const struct bd_sequence_example *example, struct bd_error *error)
{
	int result = bd_feature_table_add(table, &example->context, error);
	for (size_t i = 0; result == 0 && i < example->list_count; i++)
		result = add_list(table, &example->lists[i], error);
	return result;
}

/* ---- showing ---- */

/* "int64", "float|int64" where records differ, "none" where no record has a list */
static void kind_name(unsigned kinds, char *ret_text, size_t size)
{
	*ret_text = 0;
	for (int kind = BD_VALUE_BYTES; kind <= BD_VALUE_INT64; kind++)
		if (kinds & 1u << kind) {
			size_t length = strlen(ret_text);
			snprintf(ret_text + length, size - length, "%s%s", length ? "|" : "",
			         bd_value_kind_name((enum bd_value_kind)kind));
		}
	if (!*ret_text)
		snprintf(ret_text, size, "none");
}

static const char *format_name(const struct bd_feature_summary *summary)
{
	return summary->formats == FORMAT_JPEG ? "jpeg" : summary->formats == FORMAT_PNG ? "png" : NULL;
}

static json_t *one_or_null(const struct bd_range *range)
{
	return is_one(range) ? json_integer((json_int_t)range->least) : json_null();
}

static json_t *range_json(const struct bd_range *range)
{
	return json_pack("[I, I]", (json_int_t)range->least, (json_int_t)range->most);
}

static json_t *shape_json(const struct bd_feature_summary *summary)
{
	json_t *shape = json_array();
	if (!is_one(&summary->values) || summary->values.least != 1)
		json_array_append_new(shape, one_or_null(&summary->values));
	return shape;
}

static json_t *summary_json(const struct bd_feature_summary *summary)
{
	char kind[32];
	kind_name(summary->kinds, kind, sizeof kind);
	json_t *object = json_pack("{s:s, s:o, s:I}", "kind", kind, "shape", shape_json(summary), "records",
	                           (json_int_t)summary->records);
	if (summary->values.any && !is_one(&summary->values))
		json_object_set_new(object, "values", range_json(&summary->values));
	if (summary->sequence)
		json_object_set_new(object, "steps", range_json(&summary->steps));
	if (summary->bytes.any)
		json_object_set_new(object, "bytes", range_json(&summary->bytes));
	if (format_name(summary))
		json_object_set_new(object, "picture",
		                    json_pack("{s:s, s:o, s:o, s:o}", "format", format_name(summary), "height",
		                              one_or_null(&summary->height), "width", one_or_null(&summary->width), "channels",
		                              one_or_null(&summary->channels)));
	return object;
}

json_t *bd_feature_table_json(const struct bd_feature_table *table, bool sequence)
{
	json_t *object = json_object();
	for (size_t i = 0; object && i < table->count; i++)
		if (table->items[i].sequence == sequence)
			bd_json_set(object, table->items[i].name, table->items[i].name_length, summary_json(&table->items[i]));
	return object;
}

static void print_range(FILE *stream, const char *format, const struct bd_range *range)
{
	char text[64];
	if (is_one(range))
		snprintf(text, sizeof text, "%" PRIu64, range->least);
	else
		snprintf(text, sizeof text, "%" PRIu64 "..%" PRIu64, range->least, range->most);
	fprintf(stream, format, text);
}

void bd_feature_table_print(const struct bd_feature_table *table, FILE *stream)
{
	for (size_t i = 0; i < table->count; i++) {
		const struct bd_feature_summary *summary = &table->items[i];
		char kind[32];
		kind_name(summary->kinds, kind, sizeof kind);
		fprintf(stream, "  ");
		for (size_t at = 0; at < summary->name_length; at++) {
			char c = summary->name[at];
			fputc((unsigned char)c < 0x20 || c == 0x7f ? '?' : c, stream);
		}
		fprintf(stream, ": %s", kind);
		if (!is_one(&summary->values) || summary->values.least != 1)
			print_range(stream, "[%s]", &summary->values);
		if (summary->sequence)
			print_range(stream, ", %s steps", &summary->steps);
		if (format_name(summary)) {
			fprintf(stream, ", %s ", format_name(summary));
			print_range(stream, "%s", &summary->height);
			print_range(stream, "x%s", &summary->width);
			print_range(stream, "x%s", &summary->channels);
		}
		if (summary->bytes.any)
			print_range(stream, ", %s bytes", &summary->bytes);
		fprintf(stream, ", in %" PRIu64 " records\n", summary->records);
	}
	if (table->dropped)
		fprintf(stream, "  ... and more than %u other features\n", BD_FEATURE_TABLE_MAX);
}
