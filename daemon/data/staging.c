#include "daemon/data/staging.h"

#include <errno.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

/* The first buffer of a row; doubles from there. */
#define FIRST_ROOM_BYTES 256

/*
 * Buffers are kept for the next batch while they hold no more than is expected (bd_staging_trim): what the rows have from before and what
 * they grow to is twice that at most.
 */
static uint64_t limit_of(uint64_t expected_bytes, uint32_t rows)
{
	uint64_t limit;
	if (!expected_bytes || !bd_multiply_u64(expected_bytes, 2, &limit) ||
	    !bd_add_u64(limit, (uint64_t)rows * FIRST_ROOM_BYTES, &limit))
		return 0;
	return limit;
}

int bd_staging_init(struct bd_staging *ret_staging, uint32_t rows, size_t part_count, uint64_t expected_bytes,
                    struct bd_error *error)
{
	*ret_staging = (struct bd_staging){ .limit_bytes = limit_of(expected_bytes, rows) };
	if (!part_count)
		return 0;
	struct bd_staged_row *row_array = calloc(rows, sizeof *row_array);
	struct bd_staged_part *parts = calloc((size_t)rows * part_count, sizeof *parts);
	if (!row_array || !parts) {
		free(row_array);
		free(parts);
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	for (uint32_t i = 0; i < rows; i++) {
		row_array[i].parts = parts + i * part_count;
		row_array[i].staging = ret_staging;
	}
	ret_staging->row_count = rows;
	ret_staging->part_count = part_count;
	ret_staging->rows = row_array;
	ret_staging->parts = parts;
	return 0;
}

void bd_staging_finish(struct bd_staging *staging)
{
	bd_staging_trim(staging, 0);
	free(staging->rows);
	free(staging->parts);
	*staging = (struct bd_staging){ 0 };
}

uint64_t bd_staging_bytes(const struct bd_staging *staging)
{
	/* relaxed: a number, which guards no other memory */
	return atomic_load_explicit(&staging->held_bytes, memory_order_relaxed);
}

void bd_staging_trim(struct bd_staging *staging, uint64_t limit_bytes)
{
	if (bd_staging_bytes(staging) <= limit_bytes)
		return;
	for (uint32_t i = 0; i < staging->row_count; i++) {
		struct bd_staged_row *row = &staging->rows[i];
		free(row->bytes);
		row->bytes = NULL;
		row->used = row->room = 0;
	}
	atomic_store_explicit(&staging->held_bytes, 0, memory_order_relaxed);
}

void bd_staged_row_reset(struct bd_staged_row *row)
{
	row->used = 0;
}

static bool hold(struct bd_staging *staging, size_t more)
{
	uint64_t before = atomic_fetch_add_explicit(&staging->held_bytes, more, memory_order_relaxed);
	if (!staging->limit_bytes || (before <= staging->limit_bytes && more <= staging->limit_bytes - before))
		return true;
	atomic_fetch_sub_explicit(&staging->held_bytes, more, memory_order_relaxed);
	return false;
}

/* To twice its room while there is enough, else to what is needed. */
static int grow(struct bd_staged_row *row, size_t needed, struct bd_error *error)
{
	size_t room = row->room ? row->room : FIRST_ROOM_BYTES;
	while (room < needed && bd_multiply_size(room, 2, &room))
		;
	if (room < needed || !hold(row->staging, room - row->room)) {
		room = needed;
		if (!hold(row->staging, room - row->room))
			return bd_error_set(error, -ENOMEM,
			                    "the batch's values need more memory than the %" PRIu64
			                    " bytes beside its slot: a smaller batch, fewer slots or more memory helps",
			                    row->staging->limit_bytes);
	}
	uint8_t *grown = realloc(row->bytes, room);
	if (!grown) {
		atomic_fetch_sub_explicit(&row->staging->held_bytes, room - row->room, memory_order_relaxed);
		return bd_error_set(error, -ENOMEM, "out of memory");
	}
	row->bytes = grown;
	row->room = room;
	return 0;
}

int bd_staged_row_add(struct bd_staged_row *row, size_t bytes, size_t *ret_at, struct bd_error *error)
{
	size_t at = (row->used + 7) & ~(size_t)7, end;
	if (!bd_add_size(at, bytes, &end))
		return bd_error_set(error, -ENOMEM, "out of memory");
	int result = end > row->room ? grow(row, end, error) : 0;
	if (result < 0)
		return result;
	row->used = end;
	*ret_at = at;
	return 0;
}

void bd_staging_close_holes(struct bd_staging *staging, const uint32_t *row_of, uint32_t rows)
{
	for (uint32_t i = 0; i < rows && staging->part_count; i++) {
		if (row_of[i] == i)
			continue;
		struct bd_staged_row moved = staging->rows[row_of[i]];
		staging->rows[row_of[i]] = staging->rows[i];
		staging->rows[i] = moved;
	}
}

struct bd_staged_total bd_staging_total(const struct bd_staging *staging, size_t part, uint32_t rows)
{
	struct bd_staged_total total = { 0 };
	for (uint32_t i = 0; i < rows; i++) {
		const struct bd_staged_part *staged = &staging->rows[i].parts[part];
		total.value_bytes += staged->value_bytes;
		total.strings += staged->string_count;
		total.units += staged->units;
	}
	return total;
}

/* Running sums of `count` lengths from `at` on. */
static int64_t add_up(const uint8_t *lengths, size_t count, int64_t at, int64_t *ret_splits)
{
	for (size_t i = 0; i < count; i++) {
		int64_t length;
		memcpy(&length, lengths + i * sizeof length, sizeof length);
		at += length;
		ret_splits[i] = at;
	}
	return at;
}

static void begin_splits(int64_t **splits)
{
	if (*splits)
		*(*splits)++ = 0;
}

void bd_staging_join(const struct bd_staging *staging, size_t part, uint32_t rows, const struct bd_joined_part *out)
{
	struct bd_joined_part at = *out;
	int64_t units = 0, bytes = 0, in_steps = 0;
	begin_splits(&at.row_splits);
	begin_splits(&at.value_splits);
	begin_splits(&at.step_splits);
	for (uint32_t i = 0; i < rows; i++) {
		const struct bd_staged_row *row = &staging->rows[i];
		const struct bd_staged_part *staged = &row->parts[part];
		if (staged->value_bytes)
			memcpy(at.values + bytes, row->bytes + staged->values_at, staged->value_bytes);
		if (at.value_splits && staged->string_count) {
			add_up(row->bytes + staged->lengths_at, staged->string_count, bytes, at.value_splits);
			at.value_splits += staged->string_count;
		}
		if (at.step_splits && staged->units) {
			in_steps = add_up(row->bytes + staged->steps_at, staged->units, in_steps, at.step_splits);
			at.step_splits += staged->units;
		}
		bytes += (int64_t)staged->value_bytes;
		units += (int64_t)staged->units;
		if (at.row_splits)
			*at.row_splits++ = units;
	}
}
