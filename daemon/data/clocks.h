/*
 * clocks.h - why training waits: what a stream's stages spent their time on, and so the name of its bottleneck.
 *
 * Two waits are measured against the wall: finished batches fill the ring (the trainer is behind), and none is there that a consumer has
 * not looked at (the trainer waits). Whichever is longer says on which side the bottleneck is; on the loader's side it is the stage that took
 * more worker time. The name is of the last few seconds: their figures are halved each second.
 * Threads: none; the caller's lock.
 */
#ifndef BD_DATA_CLOCKS_H
#define BD_DATA_CLOCKS_H

#include <stdbool.h>
#include <stdint.h>

struct bd_clock_sums {
	uint64_t disk_ns, decode_ns, ring_full_ns, ring_empty_ns, records, elapsed_ns;
};

struct bd_clocks {
	struct bd_clock_sums total; /* since the start; elapsed_ns unused */
	struct bd_clock_sums recent;
	uint64_t full_since_ns, empty_since_ns; /* 0 = it is not */
	uint64_t rolled_ns; /* 0 = not started */
};

/* Worker time of a run; records of a published batch. */
void bd_clocks_worked(struct bd_clocks *clocks, uint64_t disk_ns, uint64_t decode_ns);
void bd_clocks_published(struct bd_clocks *clocks, uint64_t records);

/* The state of the ring as of now; called whenever it may have changed. */
void bd_clocks_ring(struct bd_clocks *clocks, uint64_t now_ns, bool full, bool empty);

/* "disk", "decode" or "trainer". */
const char *bd_clocks_bottleneck(const struct bd_clocks *clocks);
double bd_clocks_records_per_s(const struct bd_clocks *clocks, uint64_t now_ns);

#endif
