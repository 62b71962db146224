#include "tools/batchctl/bench_consumer.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/progress.h"
#include "tools/batchctl/npy.h"

#define NS_PER_S 1e9
/* Caches, frequency and read-ahead settle; a tenth of the time is enough of long runs. */
#define WARM_UP_NS UINT64_C(1000000000)
#define WARM_UP_SHARE 10

/*
 * What stands for the trainer: one pixel row of the last picture (of other arrays one row). More would measure the reading: a sum over a whole picture, byte by
 * byte, takes as long as six records take to decode.
 */
static uint64_t touch_row(const struct bd_batch *batch, size_t *ret_bytes)
{
	uint64_t sum = 0;
	size_t bytes = 0;
	for (size_t i = 0; i < batch->array_count; i++) {
		const struct bd_array *array = &batch->arrays[i];
		size_t whole = bd_array_bytes(array), row = array->shape[0] > 0 ? whole / (size_t)array->shape[0] : 0;
		const uint8_t *data = (const uint8_t *)array->data + (whole - row);
		if (array->rank >= 3 && array->shape[1] > 0)
			row /= (size_t)array->shape[1];
		for (size_t at = 0; at < row; at++)
			sum += data[at];
		bytes += whole;
	}
	*ret_bytes = bytes;
	return sum;
}

static int take_one(struct bd_stream *stream, struct bd_bench_result *result, struct bd_error *error)
{
	struct bd_batch batch;
	uint64_t asked_ns = bd_now_ns();
	if (bd_interrupted())
		return bd_error_set(error, -EINTR, "interrupted");
	int code = bd_stream_next(stream, -1, &batch, error);
	if (code < 0)
		return code;
	uint64_t now_ns = bd_now_ns(), since_ns = batch.published_ns > asked_ns ? batch.published_ns : asked_ns;
	size_t bytes;
	bd_histogram_add(&result->handover, now_ns > since_ns ? now_ns - since_ns : 0);
	result->touched += touch_row(&batch, &bytes);
	result->records += batch.rows;
	result->bytes += bytes;
	result->batches++;
	bd_stream_release(stream, &batch);
	return 0;
}

/* Takes batches until the time is over or the stream ends (-ENODATA). */
static int take_for(struct bd_stream *stream, uint64_t duration_ns, struct bd_progress *progress, struct bd_bench_result *result,
                    struct bd_error *error)
{
	uint64_t begin_ns = bd_now_ns();
	int code = 0;
	while (code == 0 && bd_now_ns() - begin_ns < duration_ns) {
		code = take_one(stream, result, error);
		bd_progress_update(progress, result->records, NULL);
	}
	result->elapsed_ns = bd_now_ns() - begin_ns;
	return code;
}

static int measure(struct bd_stream *stream, const struct bd_bench_options *options, bool quiet, struct bd_bench_result *ret_result,
                   struct bd_error *error)
{
	struct bd_bench_result warm_up = { .records = 0 }, result = { .records = 0 };
	struct bd_stream_statistics before = { .waited_ns = 0 }, after;
	uint64_t duration_ns = (uint64_t)(options->seconds * NS_PER_S), warm_ns = duration_ns / WARM_UP_SHARE;
	int code = take_one(stream, &warm_up, error);
	uint64_t first_ns = bd_now_ns() - options->started_ns;
	if (code == 0)
		code = take_for(stream, warm_ns < WARM_UP_NS ? warm_ns : WARM_UP_NS, NULL, &warm_up, error);
	if (code == 0)
		code = bd_stream_statistics(stream, &before, error);
	if (code == 0) {
		struct bd_progress *progress = bd_progress_create("bench", 0, "records", quiet);
		code = take_for(stream, duration_ns, progress, &result, error);
		bd_progress_finish(progress);
	}
	if (code == -ENODATA && result.batches == 0)
		return bd_error_set(error, -ENODATA, "the stream ended in the warm-up: use --epochs 0 or a larger dataset");
	if (code < 0 && code != -ENODATA)
		return code;
	code = bd_stream_statistics(stream, &after, error);
	if (code < 0)
		return code;
	result.first_batch_ns = first_ns;
	result.waited_ns = after.waited_ns - before.waited_ns;
	result.daemon_peak_rss_bytes = after.daemon_peak_rss_bytes;
	result.skipped = after.skipped;
	snprintf(result.bottleneck, sizeof result.bottleneck, "%s", after.bottleneck);
	*ret_result = result;
	return 0;
}

int bd_bench_consume(struct bd_target *target, const struct bd_bench_options *options, bool quiet,
                     struct bd_bench_result *ret_result, struct bd_error *error)
{
	struct bd_stream *stream = NULL;
	int code = bd_target_open(target, options->dataset, &options->spec, quiet, &stream, error);
	if (code == 0)
		code = measure(stream, options, quiet, ret_result, error);
	bd_target_close(target, stream);
	return code;
}
