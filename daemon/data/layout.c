#include "daemon/data/layout.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/image/image_options.h"
#include "daemon/data/image_text.h"
#include "daemon/data/staging.h"
#include "proto/shm_layout.h"

/* A batch of 16 TiB is a wrong number, not a batch; sums of such sizes do not overflow. */
#define MAX_SLOT_BYTES (1ull << 44)

/* Values, value_splits, step_splits, row_splits. */
#define MAX_ARRAYS_OF_FEATURE 4

/* ---- schema ---- */

static int add_array(struct bd_layout *layout, const char *name, const char *suffix, enum bd_dtype dtype, size_t *ret_index,
                     struct bd_error *error)
{
	char *full = NULL;
	if (asprintf(&full, "%s%s", name, suffix) < 0)
		return bd_error_set(error, -ENOMEM, "out of memory");
	struct bd_array_schema *arrays = (struct bd_array_schema *)layout->schema.arrays;
	size_t index = layout->schema.array_count++;
	arrays[index] = (struct bd_array_schema){ .name = full, .dtype = dtype, .rank = 1, .shape = { -1 } };
	*ret_index = index;
	return 0;
}

static int append_shape(struct bd_layout *layout, size_t array, const int64_t *shape, uint32_t rank, struct bd_error *error)
{
	struct bd_array_schema *schema = (struct bd_array_schema *)&layout->schema.arrays[array];
	if (1 + rank > BD_MAX_RANK)
		return bd_error_set(error, -EINVAL, "feature '%s': a batch of it would have %u dimensions, more than %d",
		                    schema->name, rank + 1, BD_MAX_RANK);
	for (uint32_t i = 0; i < rank; i++)
		schema->shape[1 + i] = shape[i];
	schema->rank = 1 + rank;
	return 0;
}

static enum bd_dtype number_dtype(enum bd_feature_type type)
{
	return type == BD_FEATURE_FLOAT ? BD_FLOAT32 : BD_INT64;
}

static int add_splits(struct bd_layout *layout, const char *name, const char *suffix, uint64_t count, size_t *ret_array,
                      struct bd_error *error)
{
	int result = add_array(layout, name, suffix, BD_INT64, ret_array, error);
	if (result == 0 && count)
		((struct bd_array_schema *)layout->schema.arrays)[*ret_array].shape[0] = (int64_t)count;
	return result;
}

static int add_strings(struct bd_layout *layout, struct bd_layout_feature *out, struct bd_error *error)
{
	const struct bd_feature *feature = out->feature;
	bool ragged = feature->varlen || feature->sequence;
	uint64_t strings = 0;
	if (!ragged && (!bd_multiply_u64(layout->rows, feature->elements, &strings) || strings > MAX_SLOT_BYTES))
		return bd_error_set(error, -EFBIG, "feature '%s': its shape is too large", feature->name);
	int result = add_array(layout, feature->name, ".values", BD_UINT8, &out->array, error);
	if (result == 0)
		result = add_splits(layout, feature->name, ".value_splits", ragged ? 0 : strings + 1, &out->value_splits_array,
		                    error);
	if (result == 0 && feature->sequence && feature->varlen)
		result = add_splits(layout, feature->name, ".step_splits", 0, &out->step_splits_array, error);
	if (result == 0 && ragged)
		result = add_splits(layout, feature->name, ".row_splits", layout->rows + 1ull, &out->row_splits_array, error);
	return result;
}

static int add_ragged_numbers(struct bd_layout *layout, struct bd_layout_feature *out, struct bd_error *error)
{
	const struct bd_feature *feature = out->feature;
	int result = add_array(layout, feature->name, ".values", number_dtype(feature->type), &out->array, error);
	if (result == 0 && !feature->varlen)
		result = append_shape(layout, out->array, feature->shape, feature->rank, error);
	if (result == 0 && feature->sequence && feature->varlen)
		result = add_splits(layout, feature->name, ".step_splits", 0, &out->step_splits_array, error);
	if (result == 0)
		result = add_splits(layout, feature->name, ".row_splits", layout->rows + 1ull, &out->row_splits_array, error);
	return result;
}

static int add_fixed(struct bd_layout *layout, struct bd_layout_feature *out, enum bd_dtype dtype, const int64_t *shape,
                     uint32_t rank, struct bd_error *error)
{
	int result = add_array(layout, out->feature->name, "", dtype, &out->array, error);
	if (result == 0)
		result = append_shape(layout, out->array, shape, rank, error);
	if (result < 0)
		return result;
	uint64_t bytes = bd_dtype_bytes(dtype);
	for (uint32_t i = 0; i < rank; i++) {
		if (shape[i] < 0 || !bd_multiply_u64(bytes, (uint64_t)shape[i], &bytes) || bytes > MAX_SLOT_BYTES)
			return bd_error_set(error, -EFBIG, "feature '%s': its shape is too large", out->feature->name);
	}
	((struct bd_array_schema *)layout->schema.arrays)[out->array].shape[0] = layout->rows;
	out->fixed = true;
	out->row_bytes = bytes;
	return 0;
}

static int add_image(struct bd_layout *layout, struct bd_layout_feature *out, struct bd_error *error)
{
	const struct bd_image_options *options = &out->feature->image;
	int64_t shape[3];
	if (out->feature->sequence || out->feature->varlen)
		return bd_error_set(error, -EINVAL, "feature '%s': pictures in a sequence are not served; take them as bytes",
		                    out->feature->name);
	int result = bd_image_output_shape(options, shape, error);
	if (result < 0) {
		bd_error_prefix(error, "feature '%s'", out->feature->name);
		return result;
	}
	result = add_fixed(layout, out, options->dtype, shape, 3, error);
	if (result < 0)
		return result;
	char *text = bd_image_text(options);
	if (!text)
		return bd_error_set(error, -ENOMEM, "out of memory");
	((struct bd_array_schema *)layout->schema.arrays)[out->array].image = text;
	return 0;
}

static int add_feature(struct bd_layout *layout, struct bd_layout_feature *out, struct bd_error *error)
{
	const struct bd_feature *feature = out->feature;
	out->row_splits_array = out->value_splits_array = out->step_splits_array = BD_LAYOUT_NONE;
	if (feature->type == BD_FEATURE_IMAGE)
		return add_image(layout, out, error);
	if (feature->type == BD_FEATURE_BYTES)
		return add_strings(layout, out, error);
	if (feature->varlen || feature->sequence)
		return add_ragged_numbers(layout, out, error);
	return add_fixed(layout, out, number_dtype(feature->type), feature->shape, feature->rank, error);
}

/* ---- names ---- */

static int by_name(const void *a, const void *b)
{
	const struct bd_array_schema *left = *(const struct bd_array_schema *const *)a;
	const struct bd_array_schema *right = *(const struct bd_array_schema *const *)b;
	int order = strcmp(left->name, right->name);
	return order ? order : (left > right) - (left < right);
}

/* The arrays of a feature follow one another from its `array` on. */
static const struct bd_feature *feature_of(const struct bd_layout *layout, const struct bd_array_schema *array)
{
	size_t index = (size_t)(array - layout->schema.arrays), i = 0;
	while (i + 1 < layout->feature_count && layout->features[i + 1].array <= index)
		i++;
	return layout->features[i].feature;
}

static int name_taken(const struct bd_layout *layout, const struct bd_array_schema *first, const struct bd_array_schema *second,
                      struct bd_error *error)
{
	const struct bd_feature *one = feature_of(layout, first), *other = feature_of(layout, second);
	return bd_error_set(
		error, -EINVAL,
		"the %sfeatures '%s' and '%s'%s would both give an array '%s': read one of them with a dataset file of its "
		"own",
		one->sequence ? "sequence " : "", one->name, other->name,
		other->sequence && !one->sequence ? " (of sequence_features)" : "", first->name);
}

/* Clients find arrays by their names: no two may have the same. */
static int check_names(const struct bd_layout *layout, struct bd_error *error)
{
	size_t count = layout->schema.array_count;
	const struct bd_array_schema **sorted = calloc(count, sizeof(void *));
	if (!sorted)
		return bd_error_set(error, -ENOMEM, "out of memory");
	for (size_t i = 0; i < count; i++)
		sorted[i] = &layout->schema.arrays[i];
	qsort(sorted, count, sizeof(void *), by_name);
	int result = 0;
	for (size_t i = 1; result == 0 && i < count; i++)
		if (!strcmp(sorted[i - 1]->name, sorted[i]->name))
			result = name_taken(layout, sorted[i - 1], sorted[i], error);
	free(sorted);
	return result;
}

/* ---- places ---- */

static int place(struct bd_layout *layout, struct bd_error *error)
{
	uint64_t at = sizeof(struct bd_shm_batch) + layout->schema.array_count * sizeof(struct bd_shm_array);
	layout->records_offset = at;
	at += layout->rows * sizeof(uint64_t);
	for (size_t i = 0; i < layout->feature_count; i++) {
		struct bd_layout_feature *feature = &layout->features[i];
		uint64_t bytes;
		bd_align_up(at, BD_SHM_ALIGNMENT, &at);
		if (!feature->fixed) {
			feature->part = layout->part_count++;
			continue;
		}
		feature->offset = at;
		if (!bd_multiply_u64(feature->row_bytes, layout->rows, &bytes) || bytes > MAX_SLOT_BYTES ||
		    (at += bytes) > MAX_SLOT_BYTES)
			return bd_error_set(error, -EFBIG, "feature '%s': a batch of %u rows of %" PRIu64 " bytes is too large",
			                    feature->feature->name, layout->rows, feature->row_bytes);
		layout->fixed_row_bytes += feature->row_bytes;
	}
	bd_align_up(at, BD_SHM_ALIGNMENT, &layout->var_offset);
	return 0;
}

int bd_layout_init(struct bd_layout *ret_layout, const struct bd_dataset *dataset, uint32_t rows, struct bd_error *error)
{
	struct bd_layout *layout = ret_layout;
	*layout = (struct bd_layout){ .rows = rows, .feature_count = dataset->feature_count };
	layout->features = calloc(dataset->feature_count + 1, sizeof *layout->features);
	layout->schema.arrays = calloc(dataset->feature_count * MAX_ARRAYS_OF_FEATURE + 1, sizeof *layout->schema.arrays);
	layout->schema.classes = (const char *const *)dataset->classes;
	layout->schema.class_count = dataset->class_count;
	if (!layout->features || !layout->schema.arrays) {
		bd_layout_finish(layout);
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	int result = 0;
	if (!dataset->feature_count)
		result = bd_error_set(error, -EINVAL, "%s: no features are asked for", dataset->name);
	for (size_t i = 0; result == 0 && i < dataset->feature_count; i++) {
		layout->features[i].feature = &dataset->features[i];
		result = add_feature(layout, &layout->features[i], error);
	}
	if (result == 0)
		result = check_names(layout, error);
	if (result == 0)
		result = place(layout, error);
	if (result < 0)
		bd_layout_finish(layout);
	return result;
}

void bd_layout_finish(struct bd_layout *layout)
{
	for (size_t i = 0; layout->schema.arrays && i < layout->schema.array_count; i++) {
		free((char *)layout->schema.arrays[i].name);
		free((char *)layout->schema.arrays[i].image);
	}
	free((struct bd_array_schema *)layout->schema.arrays);
	free(layout->features);
	*layout = (struct bd_layout){ 0 };
}

bool bd_layout_is_repeatable(const struct bd_layout *layout)
{
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_feature *feature = layout->features[i].feature;
		if (feature->type == BD_FEATURE_IMAGE && (feature->image.flip || feature->image.crop == BD_CROP_RANDOM_RESIZED))
			return false;
	}
	return true;
}

/* What one part can need beyond its values' bytes: row splits, and defaults, which come from no record. */
static uint64_t default_bytes(const struct bd_layout_feature *feature)
{
	const struct bd_feature *asked = feature->feature;
	if (asked->type != BD_FEATURE_BYTES || asked->varlen || asked->sequence)
		return 0;
	return bd_feature_default_bytes(asked) + asked->elements * sizeof(int64_t);
}

/*
 * A serialized byte can be an int64 (a packed varint of one byte: 8 bytes), a float takes four, and a string at least two, which cost 8
 * bytes of value_splits where their number is not fixed. A map entry belongs to one feature, so the parts share the record's bytes.
 */
uint64_t bd_layout_var_bytes(const struct bd_layout *layout, uint64_t record_bytes)
{
	uint64_t factor = 0, bytes = 0;
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_layout_feature *feature = &layout->features[i];
		if (feature->fixed)
			continue;
		enum bd_feature_type type = feature->feature->type;
		bool ragged = feature->feature->varlen || feature->feature->sequence;
		uint64_t own = type == BD_FEATURE_INT64 ? 8 : type == BD_FEATURE_BYTES && ragged ? 5 : 1;
		/* a step takes two bytes of the record at least, and 8 of step_splits */
		factor = bd_max_u64(factor, feature->step_splits_array == BD_LAYOUT_NONE ? own : own + 4);
		bytes += layout->rows * default_bytes(feature) + (layout->rows + 3ull) * sizeof(int64_t) +
		         MAX_ARRAYS_OF_FEATURE * BD_SHM_ALIGNMENT;
	}
	uint64_t values;
	if (!bd_multiply_u64(record_bytes, factor, &values) || !bd_add_u64(values, bytes, &bytes))
		return UINT64_MAX / 2;
	return bytes;
}

/* ---- a finished batch ---- */

static struct bd_shm_array *descriptions(uint8_t *slot)
{
	return (struct bd_shm_array *)(void *)(slot + sizeof(struct bd_shm_batch));
}

static void describe_array(const struct bd_layout *layout, uint8_t *slot, size_t array, uint64_t offset, uint64_t rows)
{
	const struct bd_array_schema *schema = &layout->schema.arrays[array];
	struct bd_shm_array description = { .offset = offset, .bytes = bd_dtype_bytes(schema->dtype) * rows };
	description.shape[0] = (int64_t)rows;
	for (uint32_t i = 1; i < schema->rank; i++) {
		description.shape[i] = schema->shape[i];
		description.bytes *= (uint64_t)schema->shape[i];
	}
	descriptions(slot)[array] = description;
}

void bd_layout_describe(const struct bd_layout *layout, uint8_t *slot, uint32_t rows)
{
	struct bd_shm_batch *header = (struct bd_shm_batch *)(void *)slot;
	*header = (struct bd_shm_batch){ .array_count = (uint32_t)layout->schema.array_count,
		                         .rows = rows,
		                         .records_offset = layout->records_offset };
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_layout_feature *feature = &layout->features[i];
		if (feature->fixed)
			describe_array(layout, slot, feature->array, feature->offset, rows);
	}
}

/* Reserves an array at *at. The sizes are sums of what lies in memory: they do not overflow. */
static uint64_t put(uint64_t *at, uint64_t bytes)
{
	uint64_t offset = *at;
	bd_align_up(offset + bytes, BD_SHM_ALIGNMENT, at);
	return offset;
}

static uint64_t value_bytes_of(const struct bd_array_schema *schema)
{
	uint64_t bytes = bd_dtype_bytes(schema->dtype);
	for (uint32_t i = 1; i < schema->rank; i++)
		bytes *= (uint64_t)schema->shape[i];
	return bytes;
}

/* An array of splits, where the feature has it; its place, or NULL. */
static int64_t *put_splits(const struct bd_layout *layout, uint8_t *slot, size_t array, uint64_t count, uint64_t slot_bytes,
                           uint64_t *at)
{
	if (array == BD_LAYOUT_NONE)
		return NULL;
	uint64_t offset = put(at, count * sizeof(int64_t));
	if (*at <= slot_bytes)
		describe_array(layout, slot, array, offset, count);
	return (int64_t *)(void *)(slot + offset);
}

static int join_feature(const struct bd_layout *layout, const struct bd_layout_feature *feature, const struct bd_staging *staging,
                        uint8_t *slot, uint64_t slot_bytes, uint32_t rows, uint64_t *at, struct bd_error *error)
{
	struct bd_staged_total total = bd_staging_total(staging, feature->part, rows);
	uint64_t value_bytes = value_bytes_of(&layout->schema.arrays[feature->array]), values = put(at, total.value_bytes);
	struct bd_joined_part out = { .values = slot + values };
	out.value_splits = put_splits(layout, slot, feature->value_splits_array, total.strings + 1, slot_bytes, at);
	out.step_splits = put_splits(layout, slot, feature->step_splits_array, total.units + 1, slot_bytes, at);
	out.row_splits = put_splits(layout, slot, feature->row_splits_array, rows + 1ull, slot_bytes, at);
	if (*at > slot_bytes)
		return bd_error_set(error, -EFBIG,
		                    "feature '%s': the batch's values need more than the %" PRIu64
		                    " bytes of a slot: a smaller batch, fewer slots or more memory helps",
		                    feature->feature->name, slot_bytes);
	describe_array(layout, slot, feature->array, values, value_bytes ? total.value_bytes / value_bytes : 0);
	bd_staging_join(staging, feature->part, rows, &out);
	return 0;
}

int bd_layout_join(const struct bd_layout *layout, const struct bd_staging *staging, uint8_t *slot, uint64_t slot_bytes,
                   uint32_t rows, uint64_t *ret_bytes, struct bd_error *error)
{
	uint64_t at = layout->var_offset;
	for (size_t i = 0; i < layout->feature_count; i++) {
		if (layout->features[i].fixed)
			continue;
		int result = join_feature(layout, &layout->features[i], staging, slot, slot_bytes, rows, &at, error);
		if (result < 0)
			return result;
	}
	*ret_bytes = at;
	return 0;
}

/* Neighbouring good rows move together. */
static void close_array(uint8_t *array, uint64_t row_bytes, const uint32_t *row_of, uint32_t rows)
{
	for (uint32_t i = 0; i < rows;) {
		uint32_t count = 1;
		while (i + count < rows && row_of[i + count] == row_of[i] + count)
			count++;
		if (row_of[i] != i)
			memmove(array + i * row_bytes, array + row_of[i] * row_bytes, count * row_bytes);
		i += count;
	}
}

void bd_layout_close_holes(const struct bd_layout *layout, uint8_t *slot, const uint32_t *row_of, uint32_t rows)
{
	close_array(slot + layout->records_offset, sizeof(uint64_t), row_of, rows);
	for (size_t i = 0; i < layout->feature_count; i++) {
		const struct bd_layout_feature *feature = &layout->features[i];
		if (feature->fixed)
			close_array(slot + feature->offset, feature->row_bytes, row_of, rows);
	}
}
