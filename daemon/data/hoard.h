/*
 * hoard.h - records of compressed shards, inflated some batches ahead of their turn, each part of a shard once for all of them.
 *
 * Why: a record in the middle of a compressed shard costs half a distance between two access points (half a MiB) of inflating. Shards that fit
 * the memory are kept inflated; of those that do not, a shuffled order would pay that for each record. So the batches to come
 * are taken in windows, as many as half of the hoard's memory holds. The records of a window are inflated in the order of their places,
 * and lie there until their rows are decoded, in the order that was asked for. Figures: docs/benchmarks.md.
 *
 * Two windows: one is filled while the other is used up. States of a window:
 *   FREE -> PLANNED (by one run, without the lock: which batches, where each record lies) -> FILLING -> READY (all runs that fill it
 *   are back) -> FREE (all rows of its batches are)
 * A record that does not fit, or cannot be inflated, has no bytes here and is read at its turn like any other: its error is told there.
 *
 * Threads: under the engine's lock but for bd_hoard_work, which is done by a worker; a window's records are written by the run that
 * has them, and read once it is READY.
 */
#ifndef BD_DATA_HOARD_H
#define BD_DATA_HOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/stream/order.h"
#include "daemon/data/records.h"
#include "daemon/data/tenant.h"
#include "daemon/data/worker.h"

#define BD_HOARD_WINDOWS 2

/* Fewer batches than this in a window are not worth it. */
#define BD_HOARD_LEAST_BATCHES 4

struct bd_hoarded {
	const uint8_t *data; /* with its footer; NULL: not here */
	struct bd_place place;
	uint64_t at; /* in the window's bytes, of those that have room there */
};

enum bd_hoard_state { BD_HOARD_FREE, BD_HOARD_PLANNED, BD_HOARD_FILLING, BD_HOARD_READY };

struct bd_hoard_window {
	enum bd_hoard_state state;
	uint8_t *bytes;
	struct bd_hoarded *records; /* in the order of the rows */
	size_t count, room;
	uint32_t *sorted; /* numbers of the records that have room, by place */
	size_t sorted_count, handed, filled; /* of sorted */
	size_t *starts; /* of each batch in `records` */
	uint32_t batches, batch_room, opened;
	uint64_t rows_left; /* not decoded yet */
};

/* Zeroed: off. */
struct bd_hoard {
	bool on, ended; /* ended: no batch follows the last window's */
	bool begun;
	uint64_t window_bytes;
	/* of the next window: the first is short, lest the first batch wait for half of the dataset; then they double */
	uint64_t plan_bytes;
	unsigned filling, using; /* windows */
	struct bd_order_position next; /* behind the last planned window */
	struct bd_hoard_window windows[BD_HOARD_WINDOWS];
};

/* Of so many bytes, all windows together. -ENOMEM. Off where `bytes` hold too few batches of `rows` records. */
BD_MUST_CHECK int bd_hoard_init(struct bd_hoard *ret_hoard, const struct bd_records *records, uint32_t rows, uint64_t bytes,
                                struct bd_error *error);
/* Takes a zeroed hoard. */
void bd_hoard_finish(struct bd_hoard *hoard);

/* A run that plans or fills a window, to be done by bd_hoard_work; false: there is none now. `position`: of the stream's first batch. Locked. */
bool bd_hoard_take(struct bd_hoard *hoard, struct bd_order_position position, struct bd_run *ret_run);

/* On a worker. Fails without memory only. */
BD_MUST_CHECK int bd_hoard_work(struct bd_hoard *hoard, struct bd_records *records, const struct bd_order *order,
                                struct bd_worker *worker, struct bd_run *run);

/* The run is back. Locked. */
void bd_hoard_finish_run(struct bd_hoard *hoard, const struct bd_run *run);

/* Is the next batch here? Locked. */
bool bd_hoard_is_ready(const struct bd_hoard *hoard);

/* The next batch is opened, after bd_hoard_is_ready: its records, one a row, and the window to give them back to. Locked. */
const struct bd_hoarded *bd_hoard_open(struct bd_hoard *hoard, struct bd_hoard_window **ret_window);

/* So many rows of the window are decoded. Locked. */
void bd_hoard_give_back(struct bd_hoard_window *window, uint32_t rows);

#endif
