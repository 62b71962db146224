/*
 * staging.h - the values of var-len features, kept row by row until the last row of a slot is done.
 *
 * Why: where such a row begins in the batch is known only when all rows before it are. Workers leave each row's values in a
 * buffer of that row; joining copies them one behind the other into the slot. Buffers are kept for the next batch.
 * One row holds one part for each var-len feature:
 *   values   `value_bytes` bytes, elements of the feature's type one after the other
 *   strings  lengths of the strings (int64), for features of type bytes
 *   units    what row_splits counts: values, strings or steps
 *   steps    where the steps of a sequence differ in length: values (strings) of each step (int64), one a unit
 * Threads: a row belongs to the one worker that fills it; joining comes after all of them.
 */
#ifndef BD_DATA_STAGING_H
#define BD_DATA_STAGING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

struct bd_staged_part {
	size_t values_at, value_bytes; /* in the row's buffer */
	size_t lengths_at, string_count;
	size_t steps_at; /* of features with step_splits */
	uint64_t units;
};

struct bd_staging;

struct bd_staged_row {
	struct bd_staging *staging; /* that it is part of */
	uint8_t *bytes;
	size_t used, room;
	struct bd_staged_part *parts; /* one a var-len feature */
};

struct bd_staging {
	uint64_t limit_bytes; /* of all rows' buffers; 0: none */
	_Atomic uint64_t held_bytes; /* by all rows */
	uint32_t row_count;
	size_t part_count;
	struct bd_staged_row *rows;
	struct bd_staged_part *parts;
};

/*
 * For batches of `rows` rows whose values should take `expected_bytes`; the buffers together never hold more than twice that, so that
 * records which blow up fail their batch and not the host. 0: no bound. Does nothing where part_count is 0. *ret_staging must not move.
 */
BD_MUST_CHECK int bd_staging_init(struct bd_staging *ret_staging, uint32_t rows, size_t part_count, uint64_t expected_bytes,
                                  struct bd_error *error);
void bd_staging_finish(struct bd_staging *staging);

/* Memory that the rows hold now. */
uint64_t bd_staging_bytes(const struct bd_staging *staging);

/* Gives back the buffers when together they hold more than `limit_bytes`. */
void bd_staging_trim(struct bd_staging *staging, uint64_t limit_bytes);

/* Forgets what the row held. */
void bd_staged_row_reset(struct bd_staged_row *row);

/* Room for `bytes` more at an offset aligned to 8; the buffer may move, offsets stay. -ENOMEM: also where the staging's bound is reached. */
BD_MUST_CHECK int bd_staged_row_add(struct bd_staged_row *row, size_t bytes, size_t *ret_at, struct bd_error *error);

/* Moves the good rows together: row_of[i] is the row that becomes row i. */
void bd_staging_close_holes(struct bd_staging *staging, const uint32_t *row_of, uint32_t rows);

/* Sums of one part over the first `rows` rows. */
struct bd_staged_total {
	uint64_t value_bytes, strings, units;
};
struct bd_staged_total bd_staging_total(const struct bd_staging *staging, size_t part, uint32_t rows);

/*
 * Writes one part of all rows: values, row_splits (rows + 1), value_splits (strings + 1: where each string begins) and step_splits
 * (units + 1: where each step begins, counted in values or strings). Splits may be NULL.
 */
struct bd_joined_part {
	uint8_t *values;
	int64_t *row_splits, *value_splits, *step_splits;
};
void bd_staging_join(const struct bd_staging *staging, size_t part, uint32_t rows, const struct bd_joined_part *out);

#endif
