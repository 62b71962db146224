#include <stdio.h>

#include "common/base/json.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/target.h"

static int print_draining(struct bd_client *client, bool json, struct bd_error *error)
{
	uint32_t streams;
	int result = bd_client_drain(client, &streams, error);
	if (result < 0)
		return result;
	if (json)
		return bd_json_print_line(stdout, json_pack("{s:b, s:i}", "draining", 1, "streams", (int)streams), error);
	fprintf(stderr, "draining: no new streams; %u running\n", streams);
	return 0;
}

int bd_command_drain(int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct bd_command command = {
		.program = BD_BATCHCTL,
		.name = "drain",
		.usage = "[--connect SOCKET]",
		.summary = "Tells a running daemon to take no new streams, and to end when its streams have.",
	};
	command.groups[0] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	struct bd_client *client = NULL;
	if (!arguments.done) {
		result = bd_target_connect_running(&target, &client, &error);
		if (result == 0)
			result = print_draining(client, arguments.json, &error);
	}
	bd_client_close(client);
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}
