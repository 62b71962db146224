/*
 * layout.h - what a slot of a stream holds and where: from the features of a dataset to arrays of a batch.
 *
 *   header, array descriptions, record numbers (proto/shm_layout.h)
 *   fixed arrays: each feature of fixed shape, `rows` rows, at an offset that never changes, so a worker writes a row straight into place
 *   var-len area: the joined values and splits of the other features, one array behind the other as this batch needs it
 *
 * Arrays of a feature: fixed numbers and pictures NAME (rows, shape...); var-len numbers NAME.values, NAME.row_splits; strings NAME.values
 * (uint8), NAME.value_splits and, where their number differs from row to row, NAME.row_splits; numbers of sequence features NAME.values
 * (steps, shape...), NAME.row_splits, which counts steps. A var-len sequence feature (its steps differ in length) has NAME.step_splits too: where
 * each step begins, in values or strings. Two features that would give an array of the same name are refused: bytes `s` and int64 `s.values`.
 * Threads: read-only after init.
 */
#ifndef BD_DATA_LAYOUT_H
#define BD_DATA_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/client.h>

#include "common/record/dataset.h"

#define BD_LAYOUT_NONE SIZE_MAX

/* Where the values of one feature go. */
struct bd_layout_feature {
	const struct bd_feature *feature;
	bool fixed;
	size_t array; /* in the schema: the array itself, or NAME.values */
	size_t row_splits_array; /* BD_LAYOUT_NONE: the feature has none */
	size_t value_splits_array, step_splits_array;
	/* fixed */
	uint64_t offset, row_bytes; /* of row 0 in the slot */
	/* var-len */
	size_t part; /* of a staged row */
};

struct bd_layout {
	uint32_t rows; /* of a full batch of this rank */
	size_t feature_count;
	struct bd_layout_feature *features; /* in the dataset's order */
	size_t part_count; /* features that are staged */
	struct bd_schema schema; /* records and batches_per_epoch are the pipeline's to set; classes borrowed from the dataset */
	uint64_t records_offset;
	uint64_t var_offset; /* where the var-len area begins: also the bytes of a slot without one */
	uint64_t fixed_row_bytes; /* of all fixed arrays together: what one row of a batch takes */
};

/*
 * The dataset is borrowed for the life of the layout. -EINVAL where a feature cannot be batched (a picture of unknown
 * shape, pictures in a sequence, too many dimensions) or two arrays would have one name, -EFBIG where a slot would be larger than any memory, -ENOMEM.
 */
BD_MUST_CHECK int bd_layout_init(struct bd_layout *ret_layout, const struct bd_dataset *dataset, uint32_t rows,
                                 struct bd_error *error);

/* Takes a zeroed layout. */
void bd_layout_finish(struct bd_layout *layout);

/* Whether a row is the same each time that it is decoded: no random crop or flip. */
bool bd_layout_is_repeatable(const struct bd_layout *layout);

/* At most so many bytes of the var-len area belong to records of together `record_bytes` serialized bytes. */
uint64_t bd_layout_var_bytes(const struct bd_layout *layout, uint64_t record_bytes);

/* Writes the header and the descriptions of the fixed arrays for a batch of `rows` rows. */
void bd_layout_describe(const struct bd_layout *layout, uint8_t *slot, uint32_t rows);

struct bd_staging;

/*
 * Joins the staged rows into the var-len area of a slot of `slot_bytes` and describes its arrays; *ret_bytes: used of the slot.
 * -EFBIG where they do not fit, with what is needed.
 */
BD_MUST_CHECK int bd_layout_join(const struct bd_layout *layout, const struct bd_staging *staging, uint8_t *slot,
                                 uint64_t slot_bytes, uint32_t rows, uint64_t *ret_bytes, struct bd_error *error);

/* Moves the rows row_of[i] to i, i < rows, in all fixed arrays and the record numbers; row_of rises strictly. */
void bd_layout_close_holes(const struct bd_layout *layout, uint8_t *slot, const uint32_t *row_of, uint32_t rows);

#endif
