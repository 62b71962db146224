/*
 * reader.h - the bytes of a run's records, read into the worker's buffer.
 *
 * Why pread into a buffer of half an L2 cache and not a mapping: a shard that is cut short under a mapping is a SIGBUS in the daemon, under a
 * read it is an error of one stream; mapped pages of shards count as the daemon's memory; and faulting in 17 pages of a record takes about
 * as long as copying them into cache lines that the CRC reads next (figures: tests/bench/bench_pipeline.c).
 * Neighbouring records are read by one call. Compressed shards are inflated by cursors that each worker keeps: forward
 * reading goes on where the last run ended, other reads start at the nearest access point.
 * Threads: a reader belongs to one worker.
 */
#ifndef BD_DATA_READER_H
#define BD_DATA_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "daemon/data/records.h"
#include "daemon/data/worker.h"

/* One record of a run. */
struct bd_read_item {
	uint64_t epoch, record;
	uint32_t row;
	struct bd_place place;
	const uint8_t *
		data; /* not NULL before reading: it is there already. place.length bytes, and behind them the footer where it comes from a shard */
};

/* Records that lie so near to one another are read together, with what is between them. */
#define BD_READER_GAP_BYTES 4096

/*
 * Reads as many of the items, in order, as fit `buffer` of `room` bytes (one always does: the pipeline sees to that). *ret_done: how many;
 * *ret_bytes: of the buffer. Damaged ones are stepped over with data NULL. `drop`: the page cache need not keep what was read.
 * -errno of the disk, -ESTALE: the file has changed; names file and record.
 */
BD_MUST_CHECK int bd_reader_fill(struct bd_records *source, struct bd_worker *worker, uint8_t *buffer, size_t room, bool drop,
                                 struct bd_read_item *items, size_t count, size_t *ret_done, uint64_t *ret_bytes,
                                 struct bd_error *error);

#endif
