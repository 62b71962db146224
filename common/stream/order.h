/*
 * order.h - which record goes into which batch and row: pure functions, O(1) state, no allocation.
 *
 * Why: exact resume and sharing need an order that is a function of (records, spec, epoch) alone. Whoever asks for batch
 * 10^9 pays what batch 0 costs; two daemons, or one with other thread counts, give the same batches.
 *
 * global  a keyed permutation of [0, 2^k) (8 alternating Feistel half-rounds on k >= 8 bits), walked until it falls into
 *         [0, records): 2^(k-1) < records, so 1 to 2 steps on average for all but tiny datasets. A bijection for every size by construction: each
 *         half-round is its own inverse, and walking a cycle of a permutation until it comes back into a subset is a permutation of the subset.
 * window  records are cut into blocks of neighbours (window / 16 records); the blocks are permuted; each window of 16
 *         permuted blocks is permuted inside. A reader that fetches a window's blocks ahead makes 16 long reads.
 * none    the identity.
 *
 * How well they mix (tests/unit/stream/test_order.c; 100,003 records, window 4096; a perfect shuffle in brackets):
 *   rank correlation of position and record: global -0.001, worst of 8 epochs 0.006; window -0.002 (0 +- 0.003)
 *   mean distance of neighbours, in units of all records: global 0.334; window 0.319 (0.333)
 *   neighbours out of one block of 256 records: global 0.24 %; window 6.3 % (0.26 %): a sixteenth, by construction
 * Cost of one record: global 31 ns, window 100 ns, the same at 10^6 and 10^9 records.
 *
 * Threads: read-only after init; any thread.
 */
#ifndef BD_STREAM_ORDER_H
#define BD_STREAM_ORDER_H

#include <batchd/client.h>

/* Plain and copyable; fields are private to order.c. */
struct bd_order {
	uint64_t records, batch, rank_rows, rank, epochs, seed;
	enum bd_shuffle shuffle;
	enum bd_remainder remainder;
	uint64_t block, blocks, group; /* window: records of a block, blocks, blocks of a window */
};

/* Where a stream stands: the next batch. */
struct bd_order_position {
	uint64_t epoch, batch;
};

/* One batch of this rank. */
struct bd_order_batch {
	uint64_t epoch, batch;
	uint32_t rows; /* of this rank; 0 where a short batch ends before its rows */
	uint64_t first; /* position of its first row, counted from the start of `epoch`; past `records` with carry */
};

/*
 * The spec must have passed bd_stream_spec_check. -EINVAL: more than BD_MAX_RECORDS, or an endless stream that would never fill a
 * batch (no records, or fewer than a batch with remainder: drop).
 */
BD_MUST_CHECK int bd_order_init(struct bd_order *ret_order, uint64_t records, const struct bd_stream_spec *spec,
                                struct bd_error *error);

/* Record number `position` (< records) of the epoch. */
uint64_t bd_order_record(const struct bd_order *order, uint64_t epoch, uint64_t position);

/* Its inverse: at which position of the epoch the record comes. */
uint64_t bd_order_position_of(const struct bd_order *order, uint64_t epoch, uint64_t record);

/*
 * The batch at a position, and the position behind it. The batch's own position is the normal form of the one asked for: "behind
 * the last batch" of an epoch is 0 of the next. -ENODATA: the end, behind the last batch. -ERANGE: beyond its epoch, or beyond the end.
 */
BD_MUST_CHECK int bd_order_batch_at(const struct bd_order *order, struct bd_order_position position,
                                    struct bd_order_batch *ret_batch, struct bd_order_position *ret_next);

/* What row `row` (< batch->rows) of the batch holds. */
void bd_order_row(const struct bd_order *order, const struct bd_order_batch *batch, uint32_t row, uint64_t *ret_epoch,
                  uint64_t *ret_record);

/* Batches of an epoch: the same for all ranks; with carry the number of batches whose first record is of that epoch. */
uint64_t bd_order_batches(const struct bd_order *order, uint64_t epoch);

#endif
