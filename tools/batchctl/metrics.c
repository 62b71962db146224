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
	return bd_target_ask("metrics", "The metrics of a running daemon in Prometheus' text format, on standard output.",
	                     print_metrics, argc, argv);
}
