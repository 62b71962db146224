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
	printf("draining: no new streams; %u running\n", streams);
	return 0;
}

int bd_command_drain(int argc, char **argv)
{
	return bd_target_ask("drain", "Tells a running daemon to take no new streams, and to end when its streams have.",
	                     print_draining, argc, argv);
}
