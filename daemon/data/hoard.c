#include "daemon/data/hoard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/record/tfrecord.h"

/* Of a shard, inflated by one run: some access points on, and some ten milliseconds. */
#define RUN_BYTES (4u << 20)

int bd_hoard_init(struct bd_hoard *ret_hoard, const struct bd_records *records, uint32_t rows, uint64_t bytes,
                  struct bd_error *error)
{
	uint64_t batch_bytes = (records->inflated_bytes / records->records + sizeof(struct bd_hoarded)) * rows;
	*ret_hoard = (struct bd_hoard){ .window_bytes = bytes / BD_HOARD_WINDOWS };
	if (ret_hoard->window_bytes / BD_HOARD_LEAST_BATCHES < batch_bytes)
		return 0;
	ret_hoard->on = true;
	ret_hoard->plan_bytes = batch_bytes * BD_HOARD_LEAST_BATCHES;
	for (unsigned i = 0; i < BD_HOARD_WINDOWS; i++) {
		ret_hoard->windows[i].bytes = malloc(ret_hoard->window_bytes);
		if (!ret_hoard->windows[i].bytes) {
			bd_hoard_finish(ret_hoard);
			return bd_error_set(error, -ENOMEM, "out of memory");
		}
	}
	return 0;
}

void bd_hoard_finish(struct bd_hoard *hoard)
{
	for (unsigned i = 0; i < BD_HOARD_WINDOWS; i++) {
		free(hoard->windows[i].bytes);
		free(hoard->windows[i].records);
		free(hoard->windows[i].sorted);
		free(hoard->windows[i].starts);
	}
	*hoard = (struct bd_hoard){ .on = false };
}

/* ---- handing out ---- */

static uint32_t run_length(const struct bd_hoard_window *window)
{
	const struct bd_place *first = &window->records[window->sorted[window->handed]].place;
	size_t end = window->handed + 1;
	for (; end < window->sorted_count; end++) {
		const struct bd_place *place = &window->records[window->sorted[end]].place;
		if (place->file != first->file || place->offset - first->offset > RUN_BYTES)
			break;
	}
	return (uint32_t)(end - window->handed);
}

bool bd_hoard_take(struct bd_hoard *hoard, struct bd_order_position position, struct bd_run *ret_run)
{
	struct bd_hoard_window *window = &hoard->windows[hoard->filling];
	if (!hoard->begun) {
		hoard->next = position;
		hoard->begun = true;
	}
	if (window->state == BD_HOARD_FREE && !hoard->ended) {
		window->state = BD_HOARD_PLANNED;
		*ret_run = (struct bd_run){ .window = window };
		return true;
	}
	if (window->state != BD_HOARD_FILLING || window->handed == window->sorted_count)
		return false;
	*ret_run = (struct bd_run){ .window = window, .first = (uint32_t)window->handed, .count = run_length(window) };
	window->handed += ret_run->count;
	if (window->handed == window->sorted_count)
		hoard->filling = (hoard->filling + 1) % BD_HOARD_WINDOWS;
	return true;
}

void bd_hoard_finish_run(struct bd_hoard *hoard, const struct bd_run *run)
{
	struct bd_hoard_window *window = run->window;
	if (run->count) {
		window->filled += run->count;
		if (window->filled == window->sorted_count)
			window->state = BD_HOARD_READY;
	} else if (!window->batches) {
		window->state = BD_HOARD_FREE;
		hoard->ended = true;
	} else {
		bool nothing = !window->sorted_count;
		window->state = nothing ? BD_HOARD_READY : BD_HOARD_FILLING;
		hoard->filling = (hoard->filling + nothing) % BD_HOARD_WINDOWS;
	}
}

/* ---- using ---- */

bool bd_hoard_is_ready(const struct bd_hoard *hoard)
{
	/* one whose last rows are still at a worker is READY too, and its successor may be opened to its end */
	const struct bd_hoard_window *window = &hoard->windows[hoard->using];
	return window->state == BD_HOARD_READY && window->opened < window->batches;
}

static void free_used(struct bd_hoard_window *window)
{
	if (!window->rows_left && window->opened == window->batches)
		window->state = BD_HOARD_FREE;
}

const struct bd_hoarded *bd_hoard_open(struct bd_hoard *hoard, struct bd_hoard_window **ret_window)
{
	struct bd_hoard_window *window = &hoard->windows[hoard->using];
	const struct bd_hoarded *records = window->records + window->starts[window->opened++];
	if (window->opened == window->batches) {
		hoard->using = (hoard->using + 1) % BD_HOARD_WINDOWS;
		free_used(window); /* its last batches may have no rows */
	}
	*ret_window = window;
	return records;
}

void bd_hoard_give_back(struct bd_hoard_window *window, uint32_t rows)
{
	window->rows_left -= rows;
	free_used(window);
}

/* ---- planning, without the lock ---- */

static bool make_room(struct bd_hoard_window *window, uint32_t rows)
{
	size_t needed = window->count + rows;
	if (needed > window->room) {
		size_t room = needed + needed / 2;
		struct bd_hoarded *records = reallocarray(window->records, room, sizeof *records);
		if (records)
			window->records = records;
		uint32_t *sorted = reallocarray(window->sorted, room, sizeof *sorted);
		if (sorted)
			window->sorted = sorted;
		if (!records || !sorted)
			return false;
		window->room = room;
	}
	if (window->batches == window->batch_room) {
		uint32_t room = window->batch_room ? window->batch_room * 2 : 64;
		size_t *starts = reallocarray(window->starts, room, sizeof *starts);
		if (!starts)
			return false;
		window->starts = starts;
		window->batch_room = room;
	}
	return true;
}

/* What a record takes of a window: its bytes, and what says where they are. */
static uint64_t bytes_of(const struct bd_place *place)
{
	return place->length + BD_TFRECORD_FOOTER_BYTES + sizeof(struct bd_hoarded) + sizeof(uint32_t);
}

/* The batch's records behind those of the window; the bytes they take. */
static uint64_t add_batch(struct bd_hoard_window *window, const struct bd_records *records, const struct bd_order *order,
                          const struct bd_order_batch *batch)
{
	uint64_t bytes = 0;
	for (uint32_t row = 0; row < batch->rows; row++) {
		uint64_t epoch, record;
		bd_order_row(order, batch, row, &epoch, &record);
		struct bd_hoarded *hoarded = &window->records[window->count + row];
		*hoarded = (struct bd_hoarded){ .place = bd_records_place(records, record) };
		bytes += bytes_of(&hoarded->place);
	}
	return bytes;
}

/* Batches as long as they fit; the first one in any case. */
static int add_batches(struct bd_hoard *hoard, struct bd_hoard_window *window, const struct bd_records *records,
                       const struct bd_order *order, struct bd_error *error)
{
	struct bd_order_batch batch;
	struct bd_order_position behind;
	uint64_t used = 0;
	window->count = window->sorted_count = window->handed = window->filled = 0;
	window->batches = window->opened = 0;
	while (bd_order_batch_at(order, hoard->next, &batch, &behind) == 0) {
		if (!make_room(window, batch.rows))
			return bd_error_set(error, -ENOMEM, "out of memory");
		uint64_t bytes = add_batch(window, records, order, &batch);
		if (window->batches && bytes > hoard->plan_bytes - bd_min_u64(used, hoard->plan_bytes))
			break;
		window->starts[window->batches++] = window->count;
		window->count += batch.rows;
		used += bytes;
		hoard->next = behind;
		if (window->count > UINT32_MAX / 2)
			break;
	}
	window->rows_left = window->count;
	hoard->plan_bytes = bd_min_u64(hoard->plan_bytes * 2, hoard->window_bytes);
	return 0;
}

static int by_place(const void *a, const void *b, void *context)
{
	const struct bd_hoarded *records = context;
	const struct bd_place *left = &records[*(const uint32_t *)a].place, *right = &records[*(const uint32_t *)b].place;
	if (left->file != right->file)
		return left->file < right->file ? -1 : 1;
	return left->offset < right->offset ? -1 : left->offset > right->offset;
}

static int plan(struct bd_hoard *hoard, struct bd_hoard_window *window, const struct bd_records *records,
                const struct bd_order *order, struct bd_error *error)
{
	int result = add_batches(hoard, window, records, order, error);
	uint64_t used = 0;
	for (size_t i = 0; result == 0 && i < window->count; i++) {
		struct bd_hoarded *hoarded = &window->records[i];
		uint64_t bytes = hoarded->place.length + BD_TFRECORD_FOOTER_BYTES;
		if (hoarded->place.damage || !bd_records_is_compressed(records, hoarded->place.file) ||
		    bytes > hoard->window_bytes - used)
			continue;
		hoarded->at = used;
		used += bytes;
		window->sorted[window->sorted_count++] = (uint32_t)i;
	}
	if (result == 0)
		qsort_r(window->sorted, window->sorted_count, sizeof *window->sorted, by_place, window->records);
	return result;
}

/* ---- filling ---- */

/* What fails here is read, and told, at its turn. */
static void inflate(struct bd_hoard_window *window, struct bd_hoarded *hoarded, struct bd_records *records,
                    struct bd_shard_cursor *cursor)
{
	struct bd_error ignored;
	bool must_close;
	int fd;
	if (bd_records_borrow(records, hoarded->place.file, bd_now_ns(), &fd, &must_close, &ignored) < 0)
		return;
	uint8_t *bytes = window->bytes + hoarded->at;
	if (bd_shard_cursor_read(cursor, records->files[hoarded->place.file].index, fd, hoarded->place.offset, bytes,
	                         hoarded->place.length + BD_TFRECORD_FOOTER_BYTES, &ignored) == 0)
		hoarded->data = bytes;
	if (must_close)
		close(fd);
}

int bd_hoard_work(struct bd_hoard *hoard, struct bd_records *records, const struct bd_order *order, struct bd_worker *worker,
                  struct bd_run *run)
{
	struct bd_hoard_window *window = run->window;
	struct bd_shard_cursor *cursor;
	if (!run->count)
		return plan(hoard, window, records, order, &run->error);
	uint64_t before_ns = bd_now_ns();
	int result = bd_worker_cursor(worker, &cursor, &run->error);
	for (uint32_t i = 0; result == 0 && i < run->count; i++)
		inflate(window, &window->records[window->sorted[run->first + i]], records, cursor);
	run->disk_ns = bd_now_ns() - before_ns;
	return result;
}
