#include "daemon/data/row.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/record/feature_names.h"

/* What a fault (job.h) has room for, beside the feature's own name. */
#define NAMES_BYTES 120

/* ---- the plan ---- */

static int plan_files(const struct bd_layout *layout, const struct bd_dataset *dataset, struct bd_error *error)
{
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_feature *feature = layout->features[i].feature;
		if (feature->type == BD_FEATURE_IMAGE)
			continue;
		if (feature->type != BD_FEATURE_INT64 || feature->elements != 1 || feature->varlen || feature->sequence)
			return bd_error_set(error, -EINVAL,
			                    "feature '%s': files of pictures give pictures and one int64 label only",
			                    feature->name);
		if (dataset->source != BD_SOURCE_FOLDER && !feature->default_count)
			return bd_error_set(error, -EINVAL, "feature '%s': a list of files has no classes, so no labels",
			                    feature->name);
	}
	return 0;
}

int bd_row_plan_init(struct bd_row_plan *ret_plan, const struct bd_layout *layout, const struct bd_dataset *dataset,
                     struct bd_error *error)
{
	struct bd_row_plan *plan = ret_plan;
	size_t count = layout->feature_count;
	*plan = (struct bd_row_plan){ .layout = layout, .file_is_picture = dataset->source != BD_SOURCE_TFRECORD };
	if (plan->file_is_picture)
		return plan_files(layout, dataset, error);
	plan->context = calloc(count, sizeof *plan->context);
	plan->lists = calloc(count, sizeof *plan->lists);
	plan->context_features = calloc(count, sizeof(void *));
	plan->list_features = calloc(count, sizeof(void *));
	plan->found = calloc(count, sizeof *plan->found);
	if (!plan->context || !plan->lists || !plan->context_features || !plan->list_features || !plan->found) {
		bd_row_plan_finish(plan);
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	for (size_t i = 0; i < count; i++) {
		const struct bd_feature *feature = layout->features[i].feature;
		struct bd_feature_name name = { feature->name, strlen(feature->name) };
		if (feature->sequence) {
			plan->list_features[plan->list_count] = &layout->features[i];
			plan->lists[plan->list_count++] = name;
			plan->is_sequence = true;
		} else {
			plan->context_features[plan->context_count] = &layout->features[i];
			plan->context[plan->context_count++] = name;
		}
	}
	return 0;
}

void bd_row_plan_finish(struct bd_row_plan *plan)
{
	free(plan->context);
	free(plan->lists);
	free(plan->context_features);
	free(plan->list_features);
	free(plan->found);
	*plan = (struct bd_row_plan){ 0 };
}

/* relaxed: a flag alone; read first, so that threads do not fight for its line */
static void note_found(const struct bd_row_plan *plan, size_t index)
{
	if (!atomic_load_explicit(&plan->found[index], memory_order_relaxed))
		atomic_store_explicit(&plan->found[index], true, memory_order_relaxed);
}

const struct bd_feature *bd_row_plan_not_found(const struct bd_row_plan *plan)
{
	for (size_t i = 0; i < plan->context_count + plan->list_count; i++) {
		bool list = i >= plan->context_count;
		const struct bd_feature *feature = list ? plan->list_features[i - plan->context_count]->feature
		                                        : plan->context_features[i]->feature;
		if ((list || feature->varlen) && !atomic_load_explicit(&plan->found[i], memory_order_relaxed))
			return feature;
	}
	return NULL;
}

bool bd_row_is_fault(int code)
{
	return code == -EBADMSG || code == -EINVAL || code == -EFBIG;
}

/* ---- faults ---- */

static enum bd_value_kind kind_of(const struct bd_feature *feature)
{
	switch (feature->type) {
	case BD_FEATURE_INT64:
		return BD_VALUE_INT64;
	case BD_FEATURE_FLOAT:
		return BD_VALUE_FLOAT;
	case BD_FEATURE_IMAGE:
	case BD_FEATURE_BYTES:
		break;
	}
	return BD_VALUE_BYTES;
}

static int missing(struct bd_error *error)
{
	return bd_error_set(error, -EBADMSG, "is missing from the record");
}

static int check_kind(const struct bd_feature *feature, const struct bd_feature_view *view, struct bd_error *error)
{
	enum bd_value_kind kind = kind_of(feature);
	if (view->kind == kind)
		return 0;
	return bd_error_set(error, -EBADMSG, "holds values of kind %s, not %s", bd_value_kind_name(view->kind),
	                    bd_value_kind_name(kind));
}

static int check_count(uint64_t count, uint64_t wanted, struct bd_error *error)
{
	if (count == wanted)
		return 0;
	return bd_error_set(error, -EBADMSG, "has %" PRIu64 " values where its shape needs %" PRIu64, count, wanted);
}

/* ---- fixed features ---- */

static int fill_default(const struct bd_feature *feature, uint8_t *ret_row, struct bd_error *error)
{
	if (!feature->default_count)
		return missing(error);
	uint64_t step = feature->default_count > 1;
	for (uint64_t i = 0; i < feature->elements; i++) {
		if (feature->type == BD_FEATURE_FLOAT)
			((float *)(void *)ret_row)[i] = feature->default_floats[i * step];
		else
			((int64_t *)(void *)ret_row)[i] = feature->default_integers[i * step];
	}
	return 0;
}

static int read_numbers(const struct bd_feature *feature, const struct bd_feature_view *view, uint8_t *ret_values, size_t room,
                        size_t *ret_count, struct bd_error *error)
{
	if (feature->type == BD_FEATURE_FLOAT)
		return bd_feature_read_float(view, (float *)(void *)ret_values, room, ret_count, error);
	return bd_feature_read_int64(view, (int64_t *)(void *)ret_values, room, ret_count, error);
}

static int write_numbers(const struct bd_feature *feature, const struct bd_feature_view *view, uint8_t *ret_row,
                         struct bd_error *error)
{
	size_t count = 0;
	if (view->kind == BD_VALUE_NONE)
		return fill_default(feature, ret_row, error);
	int result = check_kind(feature, view, error);
	if (result == 0)
		result = read_numbers(feature, view, ret_row, feature->elements, &count, error);
	return result < 0 ? result : check_count(count, feature->elements, error);
}

static int write_picture(struct bd_worker *worker, const struct bd_feature *feature, struct bd_bytes_view bytes,
                         struct bd_picture_key key, uint8_t *ret_row, struct bd_error *error)
{
	struct bd_picture_decoder *decoder = NULL;
	int result = bd_worker_decoder(worker, &decoder, error);
	if (result == 0)
		result = bd_picture_decode(decoder, &feature->image, bytes.bytes, bytes.length, key, ret_row, error);
	return result;
}

static int write_image(struct bd_worker *worker, const struct bd_feature *feature, const struct bd_feature_view *view,
                       struct bd_picture_key key, uint8_t *ret_row, struct bd_error *error)
{
	struct bd_bytes_view bytes = { 0 };
	size_t count = 0;
	if (view->kind == BD_VALUE_NONE)
		return missing(error);
	int result = check_kind(feature, view, error);
	if (result == 0)
		result = bd_feature_read_bytes(view, &bytes, 1, &count, error);
	if (result == 0)
		result = check_count(count, 1, error);
	return result < 0 ? result : write_picture(worker, feature, bytes, key, ret_row, error);
}

/* ---- staged features ---- */

static int stage_numbers(const struct bd_feature *feature, const struct bd_feature_view *view, struct bd_staged_row *staged,
                         struct bd_staged_part *part, struct bd_error *error)
{
	size_t count = 0, read, size = feature->type == BD_FEATURE_FLOAT ? sizeof(float) : sizeof(int64_t);
	if (view->kind == BD_VALUE_NONE)
		return 0;
	int result = check_kind(feature, view, error);
	if (result == 0)
		result = bd_feature_count(view, &count, error);
	if (result == 0)
		result = bd_staged_row_add(staged, count * size, &part->values_at, error);
	if (result == 0)
		result = read_numbers(feature, view, staged->bytes + part->values_at, count, &read, error);
	part->value_bytes = count * size;
	part->units = count;
	return result;
}

/* The strings' lengths come first in the row's buffer; they are written as the strings are copied behind them. */
static int copy_strings(const struct bd_feature_view *view, struct bd_staged_row *staged, struct bd_staged_part *part,
                        struct bd_error *error)
{
	struct bd_bytes_cursor cursor;
	struct bd_bytes_view string;
	int result;
	bd_bytes_cursor_begin(view, &cursor);
	while ((result = bd_bytes_cursor_next(&cursor, &string, error)) > 0) {
		int64_t length = (int64_t)string.length;
		memcpy(staged->bytes + part->lengths_at + part->string_count++ * sizeof length, &length, sizeof length);
		if (string.length)
			memcpy(staged->bytes + part->values_at + part->value_bytes, string.bytes, string.length);
		part->value_bytes += string.length;
	}
	return result;
}

/* `room` strings and as many bytes as the view's serialized list: strings are shorter than what holds them. */
static int open_strings(size_t room, size_t bytes, struct bd_staged_row *staged, struct bd_staged_part *part,
                        struct bd_error *error)
{
	int result = bd_staged_row_add(staged, room * sizeof(int64_t), &part->lengths_at, error);
	return result < 0 ? result : bd_staged_row_add(staged, bytes, &part->values_at, error);
}

static int stage_default_strings(const struct bd_feature *feature, struct bd_staged_row *staged, struct bd_staged_part *part,
                                 struct bd_error *error)
{
	uint64_t step = feature->default_count > 1, bytes = bd_feature_default_bytes(feature);
	if (!feature->default_count)
		return missing(error);
	int result = open_strings(feature->elements, bytes, staged, part, error);
	for (uint64_t i = 0; result == 0 && i < feature->elements; i++) {
		const char *text = feature->default_texts[i * step];
		int64_t length = (int64_t)strlen(text);
		memcpy(staged->bytes + part->lengths_at + i * sizeof length, &length, sizeof length);
		memcpy(staged->bytes + part->values_at + part->value_bytes, text, (size_t)length);
		part->value_bytes += (size_t)length;
	}
	part->string_count = part->units = feature->elements;
	return result;
}

static int stage_strings(const struct bd_feature *feature, const struct bd_feature_view *view, struct bd_staged_row *staged,
                         struct bd_staged_part *part, struct bd_error *error)
{
	size_t count = 0;
	if (view->kind == BD_VALUE_NONE)
		return feature->varlen ? 0 : stage_default_strings(feature, staged, part, error);
	int result = check_kind(feature, view, error);
	if (result == 0)
		result = bd_feature_count(view, &count, error);
	if (result == 0 && !feature->varlen)
		result = check_count(count, feature->elements, error);
	if (result == 0)
		result = open_strings(count, view->list_length + view->tail_length, staged, part, error);
	if (result == 0)
		result = copy_strings(view, staged, part, error);
	part->units = part->string_count;
	return result;
}

/* The values of one step, behind those of the steps before it; open_steps has made room for what the record can hold. */
static int stage_step(const struct bd_feature *feature, const struct bd_feature_view *step, struct bd_staged_row *staged,
                      struct bd_staged_part *part, size_t room, struct bd_error *error)
{
	size_t count = 0, read, size = feature->type == BD_FEATURE_FLOAT ? sizeof(float) : sizeof(int64_t);
	int result = 0;
	if (step->kind != BD_VALUE_NONE || !feature->varlen)
		result = check_kind(feature, step, error);
	if (result == 0 && step->kind != BD_VALUE_NONE)
		result = bd_feature_count(step, &count, error);
	if (result == 0 && !feature->varlen)
		result = check_count(count, feature->elements, error);
	if (result == 0 && count > room)
		result = bd_error_set(error, -EBADMSG, "has more values than its record has bytes");
	if (result < 0 || !count)
		return result;
	if (feature->type == BD_FEATURE_BYTES)
		return copy_strings(step, staged, part, error);
	result = read_numbers(feature, step, staged->bytes + part->values_at + part->value_bytes, count, &read, error);
	part->value_bytes += count * size;
	return result;
}

/*
 * Room for all steps at once, so that they lie together. *ret_room: values. Every value takes at least one byte of the record (a string
 * two): what a hostile shape claims beyond that is not allocated.
 */
static int open_steps(const struct bd_feature *feature, const struct bd_feature_list_view *list, struct bd_staged_row *staged,
                      struct bd_staged_part *part, uint64_t *ret_room, struct bd_error *error)
{
	uint64_t values = list->entry_length;
	if (!feature->varlen && (!bd_multiply_u64(list->steps, feature->elements, &values) || values > list->entry_length))
		return bd_error_set(error, -EBADMSG, "has fewer values than %zu steps of its shape need", list->steps);
	int result = 0;
	if (feature->varlen)
		result = bd_staged_row_add(staged, list->steps * sizeof(int64_t), &part->steps_at, error);
	if (result == 0 && feature->type == BD_FEATURE_BYTES)
		result = open_strings(values, list->entry_length, staged, part, error);
	else if (result == 0)
		result = bd_staged_row_add(staged, values * (feature->type == BD_FEATURE_FLOAT ? sizeof(float) : sizeof(int64_t)),
		                           &part->values_at, error);
	*ret_room = values;
	return result;
}

/* Values (strings) that the part holds so far. */
static int64_t values_so_far(const struct bd_feature *feature, const struct bd_staged_part *part)
{
	if (feature->type == BD_FEATURE_BYTES)
		return (int64_t)part->string_count;
	return (int64_t)(part->value_bytes / (feature->type == BD_FEATURE_FLOAT ? sizeof(float) : sizeof(int64_t)));
}

static int stage_list(const struct bd_feature *feature, const struct bd_feature_list_view *list, struct bd_staged_row *staged,
                      struct bd_staged_part *part, struct bd_error *error)
{
	struct bd_step_cursor cursor;
	struct bd_feature_view step;
	uint64_t room = 0;
	if (!list->present)
		return 0;
	int result = open_steps(feature, list, staged, part, &room, error);
	if (result < 0)
		return result;
	bd_step_cursor_begin(list, &cursor);
	while (part->units < list->steps && (result = bd_step_cursor_next(&cursor, &step, error)) > 0) {
		int64_t before = values_so_far(feature, part), count;
		result = stage_step(feature, &step, staged, part, room - (uint64_t)before, error);
		if (result < 0) {
			bd_error_prefix(error, "step %" PRIu64, part->units);
			return result;
		}
		count = values_so_far(feature, part) - before;
		if (feature->varlen)
			memcpy(staged->bytes + part->steps_at + part->units * sizeof count, &count, sizeof count);
		part->units++;
	}
	return result < 0 ? result : 0;
}

/* ---- a row ---- */

static int write_feature(struct bd_worker *worker, const struct bd_layout_feature *out, const struct bd_feature_view *view,
                         const struct bd_row_input *input, uint8_t *slot, uint32_t row, struct bd_staged_row *staged,
                         struct bd_error *error)
{
	const struct bd_feature *feature = out->feature;
	uint8_t *place = slot + out->offset + row * out->row_bytes;
	if (out->fixed && feature->type == BD_FEATURE_IMAGE)
		return write_image(worker, feature, view, input->key, place, error);
	if (out->fixed)
		return write_numbers(feature, view, place, error);
	struct bd_staged_part *part = &staged->parts[out->part];
	return feature->type == BD_FEATURE_BYTES ? stage_strings(feature, view, staged, part, error)
	                                         : stage_numbers(feature, view, staged, part, error);
}

static int write_file(const struct bd_row_plan *plan, struct bd_worker *worker, const struct bd_row_input *input, uint8_t *slot,
                      uint32_t row, struct bd_error *error)
{
	const struct bd_layout *layout = plan->layout;
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_layout_feature *out = &layout->features[i];
		uint8_t *place = slot + out->offset + row * out->row_bytes;
		int result = 0;
		if (out->feature->type == BD_FEATURE_IMAGE) {
			struct bd_bytes_view bytes = { input->data, input->length };
			result = write_picture(worker, out->feature, bytes, input->key, place, error);
		} else if (input->has_label) {
			memcpy(place, &input->label, sizeof input->label);
		} else {
			result = fill_default(out->feature, place, error);
		}
		if (result < 0)
			return result;
	}
	return 0;
}

static int find(const struct bd_row_plan *plan, struct bd_worker *worker, const struct bd_row_input *input, struct bd_error *error)
{
	if (plan->is_sequence)
		return bd_sequence_example_find(input->data, input->length, plan->context, plan->context_count, worker->views,
		                                plan->lists, plan->list_count, worker->lists, error);
	return bd_example_find(input->data, input->length, plan->context, plan->context_count, worker->views, error);
}

/* A feature that the record lacks is told with those that it has. */
static int explain(const struct bd_feature *feature, const struct bd_feature_view *view, const struct bd_row_input *input,
                   int result, struct bd_error *error)
{
	char names[NAMES_BYTES];
	if (result == -EBADMSG && view->kind == BD_VALUE_NONE) {
		bd_feature_names_explain(input->data, input->length, feature->name, names, sizeof names);
		bd_error_set(error, result, "is missing from the record%s", names);
	}
	bd_error_prefix(error, "feature '%s'", feature->name);
	return result;
}

static void reset_staging(const struct bd_layout *layout, struct bd_staged_row *staged)
{
	if (!staged)
		return;
	bd_staged_row_reset(staged);
	memset(staged->parts, 0, layout->part_count * sizeof *staged->parts);
}

int bd_row_write(const struct bd_row_plan *plan, struct bd_worker *worker, const struct bd_row_input *input, uint8_t *slot,
                 uint32_t row, struct bd_staged_row *staged, struct bd_error *error)
{
	if (plan->file_is_picture)
		return write_file(plan, worker, input, slot, row, error);
	reset_staging(plan->layout, staged);
	int result = bd_worker_views(worker, plan->context_count, plan->list_count, error);
	if (result == 0)
		result = find(plan, worker, input, error);
	if (result < 0)
		return result;
	for (size_t i = 0; i < plan->context_count; i++) {
		const struct bd_layout_feature *out = plan->context_features[i];
		if (out->feature->varlen && worker->views[i].present)
			note_found(plan, i);
		result = write_feature(worker, out, &worker->views[i], input, slot, row, staged, error);
		if (result < 0)
			return explain(out->feature, &worker->views[i], input, result, error);
	}
	for (size_t i = 0; i < plan->list_count; i++) {
		const struct bd_layout_feature *out = plan->list_features[i];
		if (worker->lists[i].present)
			note_found(plan, plan->context_count + i);
		result = stage_list(out->feature, &worker->lists[i], staged, &staged->parts[out->part], error);
		if (result < 0) {
			bd_error_prefix(error, "feature '%s'", out->feature->name);
			return result;
		}
	}
	return 0;
}
