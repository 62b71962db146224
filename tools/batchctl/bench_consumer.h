/*
 * bench_consumer.h - one consumer of `batchctl bench`: a process of its own that takes batches as a trainer would.
 *
 * What counts is the whole way: the batch is in the consumer's hands and one pixel row of the last picture (one row of other arrays) was read. Nothing is counted
 * before the warm-up has passed.
 */
#ifndef BD_BATCHCTL_BENCH_CONSUMER_H
#define BD_BATCHCTL_BENCH_CONSUMER_H

#include "common/stream/histogram.h"
#include "tools/batchctl/target.h"

struct bd_bench_options {
	const char *dataset;
	struct bd_stream_spec spec;
	double seconds;
	uint64_t started_ns; /* of the program: what first_batch_s counts from */
};

/* Plain: it travels through a pipe. */
struct bd_bench_result {
	uint64_t records, batches, bytes;
	uint64_t elapsed_ns, waited_ns, first_batch_ns;
	uint64_t daemon_peak_rss_bytes, skipped;
	uint64_t touched; /* a sum over the rows that were read: keeps the compiler from leaving that out */
	struct bd_histogram handover; /* from a batch's publication, or the question for it where that came later, to its arrival */
	char bottleneck[16];
};

/* Opens the stream, warms up, measures. -EINTR, -ENODATA where the stream ends in the warm-up, or what opening says. */
BD_MUST_CHECK int bd_bench_consume(struct bd_target *target, const struct bd_bench_options *options, bool quiet,
                                   struct bd_bench_result *ret_result, struct bd_error *error);

#endif
