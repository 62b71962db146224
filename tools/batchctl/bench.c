#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/base/file.h"
#include "common/base/json.h"
#include "common/base/units.h"
#include "tools/batchctl/bench_consumer.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/local_daemon.h"

#define MAX_CONSUMERS 256
#define MAX_SECONDS 1e6
#define NS_PER_S 1e9

struct bench {
	struct bd_bench_options options;
	struct bd_target target;
	uint64_t consumers;
	bool json, quiet;
};

/* All consumers together. */
struct total {
	double images_per_s, bytes_per_s, waited_s, first_batch_s;
	uint64_t batches, peak_rss_bytes, skipped;
	struct bd_histogram handover;
	char bottleneck[16];
};

static void add(struct total *total, const struct bd_bench_result *result)
{
	double seconds = (double)result->elapsed_ns / NS_PER_S, first_s = (double)result->first_batch_ns / NS_PER_S;
	total->images_per_s += (double)result->records / seconds;
	total->bytes_per_s += (double)result->bytes / seconds;
	total->waited_s += (double)result->waited_ns / NS_PER_S;
	total->batches += result->batches;
	if (first_s > total->first_batch_s)
		total->first_batch_s = first_s;
	if (result->daemon_peak_rss_bytes > total->peak_rss_bytes)
		total->peak_rss_bytes = result->daemon_peak_rss_bytes;
	if (result->skipped > total->skipped)
		total->skipped = result->skipped;
	bd_histogram_merge(&total->handover, &result->handover);
	snprintf(total->bottleneck, sizeof total->bottleneck, "%s", result->bottleneck);
}

static int print_total(const struct bench *bench, const struct total *total, struct bd_error *error)
{
	double median_us = (double)bd_histogram_quantile(&total->handover, 0.5) / 1e3,
	       p99_us = (double)bd_histogram_quantile(&total->handover, 0.99) / 1e3;
	char bytes[32], peak[32];
	if (bench->json)
		return bd_json_print_line(stdout,
		                          json_pack("{s:o, s:I, s:o, s:o, s:s, s:o, s:I, s:{s:o, s:o}, s:I, s:I}", "images_per_s",
		                                    bd_json_real(total->images_per_s), "batches", (json_int_t)total->batches,
		                                    "bytes_per_s", bd_json_real(total->bytes_per_s), "waited_s",
		                                    bd_json_real(total->waited_s), "bottleneck", total->bottleneck, "first_batch_s",
		                                    bd_json_real(total->first_batch_s), "daemon_peak_rss_bytes",
		                                    (json_int_t)total->peak_rss_bytes, "handover_us", "median",
		                                    bd_json_real(median_us), "p99", bd_json_real(p99_us), "consumers",
		                                    (json_int_t)bench->consumers, "skipped", (json_int_t)total->skipped),
		                          error);
	bd_format_size((uint64_t)total->bytes_per_s, bytes, sizeof bytes);
	bd_format_size(total->peak_rss_bytes, peak, sizeof peak);
	printf("%.0f records/s, %s/s, %" PRIu64 " batches; first batch after %.3f s; waited %.2f s; limit: %s\n",
	       total->images_per_s, bytes, total->batches, total->first_batch_s, total->waited_s, total->bottleneck);
	printf("hand-over %.1f us (99 %%: %.1f us); daemon's peak memory %s\n", median_us, p99_us, peak);
	return 0;
}

/* ---- several consumers: real processes ---- */

struct consumer {
	pid_t pid;
	int pipe;
};

/* In the child. What it says on standard error is the user's. */
static int consume_into(struct bench *bench, int pipe, bool quiet)
{
	struct bd_bench_result result;
	struct bd_error error = { .code = 0 };
	int code = bd_bench_consume(&bench->target, &bench->options, quiet, &result, &error);
	if (code == 0)
		code = bd_write_full(pipe, &result, sizeof result, &error);
	return code < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}

static int start_consumer(struct bench *bench, unsigned number, struct consumer *ret_consumer, struct bd_error *error)
{
	int ends[2];
	if (pipe(ends) < 0)
		return bd_error_set(error, -errno, "pipe: %s", strerror(errno));
	fflush(NULL);
	pid_t pid = fork();
	if (pid == 0) {
		close(ends[0]);
		_exit(consume_into(bench, ends[1], bench->quiet || number > 0));
	}
	int code = -errno;
	close(ends[1]);
	if (pid < 0) {
		close(ends[0]);
		return bd_error_set(error, code, "fork: %s", strerror(-code));
	}
	*ret_consumer = (struct consumer){ pid, ends[0] };
	return 0;
}

static bool read_result(int pipe, struct bd_bench_result *ret_result)
{
	uint8_t *to = (uint8_t *)ret_result;
	for (size_t got = 0; got < sizeof *ret_result;) {
		ssize_t bytes = read(pipe, to + got, sizeof *ret_result - got);
		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0)
			return false;
		got += (size_t)bytes;
	}
	return true;
}

/* The child has told its own error. */
static int finish_consumer(const struct consumer *consumer, struct total *total, struct bd_error *error)
{
	struct bd_bench_result result;
	int status;
	bool whole = read_result(consumer->pipe, &result);
	close(consumer->pipe);
	while (waitpid(consumer->pid, &status, 0) < 0 && errno == EINTR)
		;
	if (bd_interrupted())
		return bd_error_set(error, -EINTR, "interrupted");
	if (!whole)
		return bd_error_set(error, -EIO, "a consumer failed");
	add(total, &result);
	return 0;
}

static int run_consumers(struct bench *bench, struct total *total, struct bd_error *error)
{
	struct consumer consumers[MAX_CONSUMERS];
	unsigned started = 0;
	int code = 0;
	while (code == 0 && started < bench->consumers) {
		code = start_consumer(bench, started, &consumers[started], error);
		started += code == 0;
	}
	for (unsigned i = 0; i < started; i++) {
		struct bd_error other;
		int finished = finish_consumer(&consumers[i], total, code == 0 ? error : &other);
		code = code < 0 ? code : finished;
	}
	return code;
}

/* Several processes need one daemon with a name; without --connect it is started here. */
static int run_several(struct bench *bench, struct total *total, struct bd_error *error)
{
	struct bd_local_daemon local = { .pid = 0 };
	const char *named = bench->target.connect, *socket = named ? named : getenv("BATCHD_SOCKET");
	int code = bd_target_read_text(&bench->target, bench->options.dataset, error);
	if (code == 0 && (!socket || !socket[0])) {
		code = bd_local_daemon_start(&local, bench->target.memory_bytes, (uint32_t)bench->target.threads, error);
		bench->target.connect = local.socket;
	}
	if (bench->options.spec.share_group[0] && bench->options.spec.share_start == 0)
		bench->options.spec.share_start = (uint32_t)bench->consumers;
	if (code == 0)
		code = run_consumers(bench, total, error);
	bd_target_drop_text(&bench->target);
	bench->target.connect = named; /* the local daemon's name ends with it */
	bd_local_daemon_finish(&local);
	return code;
}

static int check(void *context, struct bd_error *error)
{
	const struct bench *bench = context;
	if (!(bench->options.seconds > 0 && bench->options.seconds <= MAX_SECONDS))
		return bd_error_set(error, -EINVAL, "--seconds: not between 0 and a million");
	return 0;
}

static int run(void *context, const struct bd_arguments *arguments, struct bd_error *error)
{
	struct bench *bench = context;
	struct total total = { .batches = 0 };
	struct bd_bench_result result;
	int code;
	bench->json = arguments->json;
	bench->quiet = arguments->quiet;
	bench->options.dataset = arguments->words[0];
	if (bench->consumers > 1) {
		code = run_several(bench, &total, error);
	} else {
		code = bd_bench_consume(&bench->target, &bench->options, bench->quiet, &result, error);
		if (code == 0)
			add(&total, &result);
	}
	return code < 0 ? code : print_total(bench, &total, error);
}

int bd_command_bench(int argc, char **argv)
{
	struct bench bench = { .consumers = 1, .options = { .seconds = 10, .started_ns = bd_now_ns() } };
	const struct bd_option own[] = {
		{ .name = "seconds",
		  .kind = BD_OPTION_DOUBLE,
		  .value = &bench.options.seconds,
		  .argument = "S",
		  .help = "how long to measure (10)" },
		{ .name = "consumers",
		  .kind = BD_OPTION_U64,
		  .value = &bench.consumers,
		  .argument = "N",
		  .help = "processes; with --share-group they share one stream (1)",
		  .minimum = 1,
		  .maximum = MAX_CONSUMERS },
	};
	struct bd_stream_command command = {
		.command = {
			.program = BD_BATCHCTL,
			.name = "bench",
			.usage = "DATASET [options]",
			.summary = "Measures how fast batches arrive: checked, decoded, handed over, and one row of each touched.",
			.groups = { { .options = own, .count = BD_COUNT_OF(own) } },
			.minimum_words = 1,
			.maximum_words = 1,
		},
		.target = &bench.target,
		.spec = &bench.options.spec,
		.check = check,
		.run = run,
		.context = &bench,
	};
	bd_stream_spec_init(&bench.options.spec);
	bench.options.spec.epochs = 0;
	return bd_stream_command_run(&command, argc, argv);
}
