#include <stdio.h>

#include "common/base/json.h"
#include "common/base/units.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/target.h"

static void print_status(const struct bd_daemon_status *status)
{
	char used[32], limit[32], peak[32], uptime[32];
	bd_format_size(status->memory_used_bytes, used, sizeof used);
	bd_format_size(status->memory_limit_bytes, limit, sizeof limit);
	bd_format_size(status->peak_rss_bytes, peak, sizeof peak);
	bd_format_duration(status->uptime_s, uptime, sizeof uptime);
	fprintf(stderr, "batchd %s, process %llu, up %s%s\n", status->version, (unsigned long long)status->pid, uptime,
	        status->draining ? ", draining" : "");
	fprintf(stderr, "streams %u, sessions %u, memory %s of %s, peak resident %s\n", status->streams, status->sessions, used,
	        limit, peak);
}

static int print_json(const struct bd_daemon_status *status, struct bd_error *error)
{
	return bd_json_print_line(stdout,
	                          json_pack("{s:s, s:o, s:I, s:i, s:i, s:{s:I, s:I}, s:I, s:b}", "version", status->version,
	                                    "uptime_s", bd_json_real(status->uptime_s), "pid", (json_int_t)status->pid, "streams",
	                                    (int)status->streams, "sessions", (int)status->sessions, "memory", "used_bytes",
	                                    (json_int_t)status->memory_used_bytes, "limit_bytes",
	                                    (json_int_t)status->memory_limit_bytes, "peak_rss_bytes",
	                                    (json_int_t)status->peak_rss_bytes, "draining", status->draining),
	                          error);
}

int bd_command_status(int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct bd_command command = {
		.program = BD_BATCHCTL,
		.name = "status",
		.usage = "[--connect SOCKET]",
		.summary = "What a running daemon is and holds.",
	};
	command.groups[0] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	struct bd_client *client = NULL;
	struct bd_daemon_status status;
	if (!arguments.done) {
		result = bd_target_connect_running(&target, &client, &error);
		if (result == 0)
			result = bd_client_status(client, &status, &error);
		if (result == 0 && arguments.json)
			result = print_json(&status, &error);
		else if (result == 0)
			print_status(&status);
	}
	bd_client_close(client);
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}
