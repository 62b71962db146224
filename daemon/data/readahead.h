/*
 * readahead.h - what the known order is good for: the disk is asked for records before their turn, and told which bytes nobody needs again.
 *
 * Ahead: while reads are slow (they come from a disk, not from the page cache) the first run of each batch also asks for the records of
 * batches to come (POSIX_FADV_WILLNEED), up to BD_READAHEAD_BYTES ahead; the next epoch's belong to them. While reads are fast nothing is
 * asked: the calls would cost more than they give.
 * Behind: a dataset larger than half of the memory that the host can give will not be found in the page cache at the next epoch anyway, so
 * what was read is dropped (POSIX_FADV_DONTNEED) in place of what other programs keep there. Smaller ones stay.
 * The advice is about the page cache: it takes nothing of the daemon's own memory.
 * Threads: claim under the engine's lock, the rest by any worker.
 */
#ifndef BD_DATA_READAHEAD_H
#define BD_DATA_READAHEAD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "common/stream/order.h"
#include "daemon/data/records.h"

#define BD_READAHEAD_BYTES (32ull << 20)

struct bd_readahead {
	/* fixed by init */
	bool drops; /* what was read is dropped */
	uint32_t distance; /* batches ahead */
	/* any worker */
	_Atomic uint64_t slow_until_ns;
	/* the caller's lock */
	bool valid; /* `next` goes on from what was asked for before */
	struct bd_order_position next; /* the next batch to ask for */
	uint32_t ahead; /* batches asked for whose turn has not come */
};

/* Batches that a job's first run asks for. */
struct bd_readahead_claim {
	struct bd_order_position first;
	uint32_t count;
};

/* `host_bytes`: what the host can give. */
void bd_readahead_init(struct bd_readahead *ret_readahead, const struct bd_records *records, uint32_t rows, uint64_t host_bytes);

/* A read of so many bytes took so long. */
void bd_readahead_observe(struct bd_readahead *readahead, uint64_t now_ns, uint64_t bytes, uint64_t took_ns);

/* Reads have been slow lately. */
bool bd_readahead_is_slow(const struct bd_readahead *readahead, uint64_t now_ns);

/* A job was opened and `behind` is the position after it: which batches to ask for now. Locked. */
struct bd_readahead_claim bd_readahead_claim(struct bd_readahead *readahead, const struct bd_order *order,
                                             struct bd_order_position behind, uint64_t now_ns);

/* Asks the disk for the claimed batches. */
void bd_readahead_ask(struct bd_records *records, const struct bd_order *order, const struct bd_readahead_claim *claim,
                      uint64_t now_ns);

#endif
