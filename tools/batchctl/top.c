#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/base/arithmetic.h"
#include "common/base/clock.h"
#include "common/base/json.h"
#include "common/base/units.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/history.h"
#include "tools/batchctl/screen.h"
#include "tools/batchctl/stream_json.h"
#include "tools/batchctl/target.h"

#define FILL_WIDTH 12
/* Home, and clear what is below: the screen does not flicker as it would after clearing it whole. */
#define TO_TOP "\033[H\033[J"

struct top {
	uint64_t interval_ns, frames; /* frames 0: for ever */
	bool frames_given, json, terminal;
	struct bd_history history;
};

/* "######......": slots that hold finished batches. */
static void make_fill(const struct bd_stream_info *stream, char ret_text[FILL_WIDTH + 1])
{
	uint32_t filled = stream->slots ? stream->slots_filled * FILL_WIDTH / stream->slots : 0;
	for (uint32_t i = 0; i < FILL_WIDTH; i++)
		ret_text[i] = i < filled ? '#' : '.';
	ret_text[FILL_WIDTH] = 0;
}

static const char *who_waits(const struct bd_stream_info *stream)
{
	if (strcmp(stream->state, "running") != 0)
		return stream->state;
	if (strcmp(stream->bottleneck, "trainer") == 0)
		return "the daemon waits for the trainer";
	return strcmp(stream->bottleneck, "disk") == 0 ? "the trainer waits for the disk" : "the trainer waits for decoding";
}

/* "trainers: 1234, 1235 and 3 more" */
static void list_members(const struct bd_stream_info *stream, char *text, size_t size)
{
	size_t length = 0;
	for (uint32_t i = 0; i < stream->member_count && length < size; i++)
		length += (size_t)snprintf(text + length, size - length, "%s%" PRIu64 " (%s)", i ? ", " : "",
		                           stream->members[i].pid, stream->members[i].user);
	if (stream->consumers > stream->member_count && length < size)
		snprintf(text + length, size - length, " and %" PRIu32 " more", stream->consumers - stream->member_count);
}

static void draw_stream(struct top *top, struct bd_screen *screen, const struct bd_stream_info *stream, uint64_t now_ns)
{
	char fill[FILL_WIDTH + 1], spark[BD_SPARKLINE_BYTES], rate_bytes[32], members[256] = "";
	double rate = bd_history_add(&top->history, stream->id, stream->records, now_ns);
	double bytes = stream->records ? rate * (double)stream->bytes / (double)stream->records : 0;
	make_fill(stream, fill);
	list_members(stream, members, sizeof members);
	bd_history_sparkline(&top->history, stream->id, spark);
	bd_format_size((uint64_t)bytes, rate_bytes, sizeof rate_bytes);
	bd_screen_line(screen, "%4" PRIu64 "  %-10.10s %-34.34s %s%s", stream->id, stream->user, stream->dataset,
	               stream->share_group[0] ? "group " : "", stream->share_group);
	bd_screen_line(screen, "      %9.0f records/s %10s/s  [%s]  epoch %" PRIu64 " batch %" PRIu64, rate, rate_bytes, fill,
	               stream->epoch, stream->position);
	bd_screen_line(screen, "      %s; skipped %" PRIu64, who_waits(stream), stream->skipped);
	bd_screen_line(screen, "      processes: %s", members[0] ? members : "none yet");
	bd_screen_line(screen, "      %s", spark);
}

/* Lines of one stream. */
#define STREAM_ROWS 5

static void draw(struct top *top, const struct bd_daemon_status *status, const struct bd_stream_info *streams, size_t count)
{
	char used[32], limit[32], uptime[32];
	uint64_t now_ns = bd_now_ns();
	struct bd_screen screen;
	bd_screen_init(&screen, stdout, STDOUT_FILENO);
	if (!top->terminal)
		screen.rows = UINT_MAX;
	bd_format_size(status->memory_used_bytes, used, sizeof used);
	bd_format_size(status->memory_limit_bytes, limit, sizeof limit);
	bd_format_duration(status->uptime_s, uptime, sizeof uptime);
	if (top->terminal)
		fputs(TO_TOP, stdout);
	bd_screen_line(&screen, "batchd %s, up %s, %zu streams, memory %s of %s%s", status->version, uptime, count, used, limit,
	               status->draining ? ", draining" : "");
	bd_screen_line(&screen, "%s", "");
	bd_history_begin(&top->history);
	for (size_t i = 0; i < count; i++) {
		bool is_last = i + 1 == count;
		if (bd_screen_left(&screen) < STREAM_ROWS + (is_last ? 0 : 1)) {
			bd_screen_line(&screen, "      and %zu more streams; batchctl streams lists all", count - i);
			break;
		}
		draw_stream(top, &screen, &streams[i], now_ns);
	}
	fflush(stdout);
}

static bool is_away(int code)
{
	return code == -ENOENT || code == -ECONNREFUSED || code == -ECONNRESET || code == -EPIPE || code == -ETIMEDOUT;
}

/* On a terminal, which somebody looks at, a daemon that has gone may come back. */
static void draw_away(const struct bd_error *error)
{
	struct bd_screen screen;
	bd_screen_init(&screen, stdout, STDOUT_FILENO);
	fputs(TO_TOP, stdout);
	bd_screen_line(&screen, "the daemon is away; waiting for it, Ctrl-C ends");
	bd_screen_line(&screen, "%s", error->text);
	fflush(stdout);
}

static int show_frame(struct top *top, struct bd_client *client, struct bd_error *error)
{
	struct bd_daemon_status status;
	struct bd_stream_info *streams = NULL;
	size_t count = 0;
	int result = bd_client_status(client, &status, error);
	if (result == 0)
		result = bd_client_streams(client, &streams, &count, error);
	if (result < 0)
		return result;
	if (!top->json)
		draw(top, &status, streams, count);
	for (size_t i = 0; top->json && result == 0 && i < count; i++)
		result = bd_json_print_line(stdout, bd_stream_json(&streams[i]), error);
	bd_client_free(streams);
	return result;
}

static int show(struct top *top, struct bd_client *client, struct bd_error *error)
{
	const struct timespec pause = { .tv_sec = (time_t)(top->interval_ns / 1000000000),
		                        .tv_nsec = (long)(top->interval_ns % 1000000000) };
	for (uint64_t n = 0; top->frames == 0 || n < top->frames; n++) {
		if (n > 0)
			nanosleep(&pause, NULL);
		if (bd_interrupted())
			return bd_error_set(error, -EINTR, "interrupted");
		int result = show_frame(top, client, error);
		if (result < 0 && top->terminal && !top->json && is_away(result))
			draw_away(error);
		else if (result < 0)
			return result;
	}
	return 0;
}

int bd_command_top(int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct top top = { .interval_ns = 1000000000 };
	const struct bd_option own[] = {
		{ .name = "interval",
		  .kind = BD_OPTION_DURATION,
		  .value = &top.interval_ns,
		  .argument = "TIME",
		  .help = "between two looks (1s)" },
		{ .name = "frames",
		  .kind = BD_OPTION_U64,
		  .value = &top.frames,
		  .argument = "N",
		  .given = &top.frames_given,
		  .help = "stop after so many; 0: when interrupted (default: 0 on a terminal, else 1)" },
	};
	struct bd_command command = {
		.program = BD_BATCHCTL,
		.name = "top",
		.usage = "[--connect SOCKET]",
		.summary =
			"The streams of a running daemon, live: rate, fill of the ring, who waits for what, and the last minute.",
		.groups = { { .options = own, .count = BD_COUNT_OF(own) } },
	};
	command.groups[1] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	struct bd_client *client = NULL;
	if (!arguments.done) {
		bd_interrupt_catch();
		top.json = arguments.json;
		top.terminal = isatty(STDOUT_FILENO) != 0;
		if (!top.terminal && !top.frames_given)
			top.frames = 1;
		result = bd_target_connect_running(&target, &client, &error);
		if (result == 0)
			result = show(&top, client, &error);
	}
	bd_client_close(client);
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}
