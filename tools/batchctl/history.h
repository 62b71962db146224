/*
 * history.h - the rates of each stream over the last minute, and their sparkline.
 *
 * Streams come and go: one that is not seen in a round is forgotten. Threads: one.
 */
#ifndef BD_BATCHCTL_HISTORY_H
#define BD_BATCHCTL_HISTORY_H

#include <stddef.h>
#include <stdint.h>

/* One a second. */
#define BD_HISTORY_SAMPLES 60
/* Streams that are followed; more do not fit a screen. */
#define BD_HISTORY_STREAMS 64
/* Each block character is three bytes of UTF-8. */
#define BD_SPARKLINE_BYTES (3 * BD_HISTORY_SAMPLES + 1)

struct bd_history {
	struct bd_history_stream {
		uint64_t id, round;
		uint64_t records, at_ns; /* of the last sample */
		double rates[BD_HISTORY_SAMPLES];
		size_t count; /* samples taken, also those that were pushed out */
	} streams[BD_HISTORY_STREAMS];
	uint64_t round;
};

/* Begins a look at all streams: bd_history_add for each follows. A stream that the look does not meet loses its place. */
void bd_history_begin(struct bd_history *history);

/* A stream's records so far; returns its rate since the sample before, 0 for the first. */
double bd_history_add(struct bd_history *history, uint64_t id, uint64_t records, uint64_t now_ns);

/* The stream's last minute as block characters, the newest on the right; the largest rate has the full height. */
void bd_history_sparkline(const struct bd_history *history, uint64_t id, char ret_text[BD_SPARKLINE_BYTES]);

#endif
