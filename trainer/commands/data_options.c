#include "trainer/commands/data_options.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/stream/daemon_socket.h"
#include "trainer/learning/feed.h"
#include "trainer/model/data_match.h"

/* Of threads: as many as a daemon takes. */
#define MAX_THREADS 1024

void bd_data_options_init(struct bd_data_options *options)
{
	*options = (struct bd_data_options){ 0 };
	const struct bd_option table[BD_DATA_OPTION_COUNT] = {
		{ .name = "connect",
		  .kind = BD_OPTION_TEXT,
		  .value = &options->connect,
		  .argument = "SOCKET",
		  .help = "the socket of a running batchd (default: $BATCHD_SOCKET, else a private one)" },
		{ .name = "memory",
		  .kind = BD_OPTION_SIZE,
		  .value = &options->memory_bytes,
		  .given = &options->memory_given,
		  .argument = "SIZE",
		  .help = "memory of the private daemon (train: also of --cache-features)" },
		{ .name = "threads",
		  .kind = BD_OPTION_U64,
		  .value = &options->threads,
		  .argument = "N",
		  .maximum = MAX_THREADS,
		  .help = "threads of the net and of the private daemon (default: one a processor)" },
		{ .name = "allow-other-preprocessing",
		  .kind = BD_OPTION_FLAG,
		  .value = &options->allow_other_preprocessing,
		  .help = "take data whose pictures are made otherwise than those of the training" },
	};
	memcpy(options->options, table, sizeof table);
}

int bd_data_options_connect(const struct bd_data_options *options, const char *dataset, struct bd_client **ret_client,
                            struct bd_error *error)
{
	const struct bd_daemon_options daemon = { .memory_bytes = options->memory_bytes, .threads = (uint32_t)options->threads };
	const char *socket = bd_daemon_socket_of(options->connect, dataset);
	if (socket && options->memory_given && !options->keeps_features)
		return bd_error_set(
			error, -EINVAL,
			"--memory is of a private daemon, and the daemon at %s runs already: leave it out, or --connect and "
			"BATCHD_SOCKET",
			socket);
	return bd_client_connect(socket, &daemon, ret_client, error);
}

int bd_data_options_match(const struct bd_data_options *options, const struct bd_data_match *match, const char *dataset,
                          uint32_t batch, struct bd_feed *feed, struct bd_error *error)
{
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(feed));
	int64_t *numbers = NULL;
	if (!match)
		return 0;
	int r = options->allow_other_preprocessing ? 0 : bd_data_match_check(match, dataset, schema, error);
	if (r == 0)
		r = bd_data_match_numbers(match, dataset, schema, &numbers, error);
	if (r < 0)
		return r;
	r = bd_feed_renumber_take(feed, batch, numbers, schema->class_count, error);
	if (r < 0)
		bd_error_prefix(error, "%s", dataset);
	return r;
}

void bd_data_request_once(struct bd_stream_request *ret_request, const char *dataset, uint32_t batch)
{
	bd_stream_request_init(ret_request);
	ret_request->dataset = dataset;
	ret_request->spec.batch = batch;
	ret_request->spec.shuffle = BD_SHUFFLE_NONE;
	ret_request->spec.epochs = 1;
	ret_request->spec.augment = BD_AUGMENT_OFF;
	ret_request->spec.remainder = BD_REMAINDER_SHORT;
}

bool bd_data_notice_away(bool *away, const char *what, uint64_t limit_s, char *text, size_t size)
{
	if (strcmp(what, BD_PROGRESS_RECONNECTING) != 0 || *away)
		return false;
	*away = true;
	if (limit_s > 0)
		snprintf(text, size, "the daemon is away; waiting for it, %" PRIu64 " s at most", limit_s);
	else
		snprintf(text, size, "the private daemon has ended; starting another");
	return true;
}

static void show_wait(void *context, const char *what, uint64_t waited_s, uint64_t limit_s)
{
	struct bd_data_wait *wait = context;
	char text[128];
	(void)waited_s;
	if (!bd_data_notice_away(&wait->away, what, limit_s, text, sizeof text) || wait->quiet)
		return;
	bd_progress_clear(*wait->progress);
	fprintf(stderr, "batchtrain: %s\n", text);
}

void bd_data_request_wait(struct bd_stream_request *request, struct bd_data_wait *wait)
{
	request->on_progress = show_wait;
	request->context = wait;
}

int bd_command_failed(const struct bd_error *error, int result)
{
	if (result == -EINTR)
		return BD_EXIT_INTERRUPTED;
	bd_print_error("batchtrain", error);
	return BD_EXIT_FAILED;
}

void bd_data_print_notes(const struct bd_feed *feed, bool quiet)
{
	const struct bd_schema *schema = bd_stream_schema(bd_feed_stream(feed));
	if (!quiet)
		bd_print_notes("batchtrain", schema->notes, schema->note_count);
}
