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
	printf("batchd %s, process %llu, up %s%s\n", status->version, (unsigned long long)status->pid, uptime,
	       status->draining ? ", draining" : "");
	printf("streams %u, sessions %u, memory %s of %s, peak resident %s\n", status->streams, status->sessions, used, limit,
	       peak);
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

static int print_answer(struct bd_client *client, bool json, struct bd_error *error)
{
	struct bd_daemon_status status;
	int result = bd_client_status(client, &status, error);
	if (result < 0)
		return result;
	if (json)
		return print_json(&status, error);
	print_status(&status);
	return 0;
}

int bd_command_status(int argc, char **argv)
{
	return bd_target_ask("status", "What a running daemon is and holds.", print_answer, argc, argv);
}
