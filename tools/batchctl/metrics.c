#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/target.h"

static int print_metrics(struct bd_client *client, bool json, struct bd_error *error)
{
	char *text;
	int result = bd_client_metrics(client, &text, error);
	if (result < 0)
		return result;
	if (json)
		result = bd_json_print_line(stdout, json_pack("{s:o}", "metrics", bd_json_text(text, strlen(text))), error);
	else
		fputs(text, stdout);
	bd_client_free(text);
	return result;
}

int bd_command_metrics(int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct bd_command command = {
		.program = BD_BATCHCTL,
		.name = "metrics",
		.usage = "[--connect SOCKET]",
		.summary = "The metrics of a running daemon in Prometheus' text format, on standard output.",
	};
	command.groups[0] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	struct bd_client *client = NULL;
	if (!arguments.done) {
		result = bd_target_connect_running(&target, &client, &error);
		if (result == 0)
			result = print_metrics(client, arguments.json, &error);
	}
	bd_client_close(client);
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}
