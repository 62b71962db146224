/*
 * row.h - one record's bytes to its row of a slot: the stage that all records go through.
 *
 * Why: a plain function without threads, queues or logging, so that tests, fuzzers and benchmarks call it as the workers do. The
 * features are found in place (common/record/example.h); numbers go straight into the row, pictures through the decoder
 * straight into the row, var-len values into the row's staging.
 *
 * Where TensorFlow's rules leave a choice: a default fills in for a key that is absent (or that holds no list at all), never for an empty
 * list; a wrong kind or count is a fault of the record; a var-len feature that is absent has no values, a feature list that is
 * absent no steps.
 * Threads: a plan is read-only but for `found`; scratch belongs to one thread.
 */
#ifndef BD_DATA_ROW_H
#define BD_DATA_ROW_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>
#include "common/base/arithmetic.h"
#include "common/image/picture.h"
#include "common/record/sequence_example.h"
#include "daemon/data/layout.h"
#include "daemon/data/staging.h"
#include "daemon/data/worker.h"

struct bd_row_plan {
	const struct bd_layout *layout;
	bool file_is_picture; /* image folders and file lists: the record is the picture, labels are known */
	bool is_sequence; /* SequenceExample */
	size_t context_count, list_count;
	struct bd_feature_name *context; /* names to look for... */
	struct bd_feature_name *lists;
	const struct bd_layout_feature **context_features; /* ...and the features that they are */
	const struct bd_layout_feature **list_features;
	_Atomic bool *
		found; /* context features, then lists: some record had it; only of those that may be absent. Relaxed, by all threads */
};

/* -EINVAL where files of pictures cannot give what the features ask for; -ENOMEM. The layout is borrowed. */
BD_MUST_CHECK int bd_row_plan_init(struct bd_row_plan *ret_plan, const struct bd_layout *layout, const struct bd_dataset *dataset,
                                   struct bd_error *error);
void bd_row_plan_finish(struct bd_row_plan *plan);

/*
 * The first var-len or sequence feature that no record had so far, or NULL. A single record may lack it; one that every record lacks is a name
 * that does not fit the data, and would be delivered empty for ever.
 */
const struct bd_feature *bd_row_plan_not_found(const struct bd_row_plan *plan);

/* A record, framing and CRC checked. */
struct bd_row_input {
	const uint8_t *data;
	size_t length;
	struct bd_picture_key key;
	bool has_label; /* file_is_picture */
	int64_t label;
};

/*
 * Writes row `row` of the slot and, with var-len features, `staged` (else NULL). Returns 0, a fault of the record (bd_row_is_fault) or -ENOMEM.
 * After an error the row is undefined; nothing outside of it was touched.
 */
BD_MUST_CHECK int bd_row_write(const struct bd_row_plan *plan, struct bd_worker *worker, const struct bd_row_input *input,
                               uint8_t *slot, uint32_t row, struct bd_staged_row *staged, struct bd_error *error);

/* Whether an error says that the record is bad (what `on_error` is about), not that memory or the disk failed. */
bool bd_row_is_fault(int code);

#endif
