#include <stdio.h>

#include "common/base/arithmetic.h"
#include "common/base/json.h"
#include "tools/batchctl/commands.h"
#include "tools/batchctl/target.h"

struct drain {
	bool waits, json, quiet;
	uint32_t streams; /* when it began */
};

static void tell_begin(void *context, uint32_t streams)
{
	struct drain *drain = context;
	drain->streams = streams;
	if (!drain->quiet && !drain->json)
		fprintf(stderr, BD_BATCHCTL ": draining: no new streams; waiting for %u to end\n", streams);
}

static int print_result(const struct drain *drain, struct bd_error *error)
{
	if (drain->json)
		return bd_json_print_line(
			stdout, json_pack("{s:b, s:i, s:b}", "draining", 1, "streams", (int)drain->streams, "ended", drain->waits),
			error);
	if (drain->waits)
		printf("drained: the daemon has ended\n");
	else
		printf("draining: no new streams; %u running go on for at most 20 s (drain --wait gives them all the time they "
		       "need)\n",
		       drain->streams);
	return 0;
}

static int run(struct drain *drain, const struct bd_target *target, struct bd_error *error)
{
	struct bd_client *client = NULL;
	int result = bd_target_connect_running(target, &client, error);
	if (result == 0 && drain->waits)
		result = bd_client_drain_wait(client, tell_begin, drain, error);
	else if (result == 0)
		result = bd_client_drain(client, &drain->streams, error);
	bd_client_close(client);
	return result < 0 ? result : print_result(drain, error);
}

int bd_command_drain(int argc, char **argv)
{
	struct bd_target target;
	struct bd_error error = { .code = 0 };
	struct bd_arguments arguments;
	struct drain drain = { .waits = false };
	const struct bd_option own[] = {
		{ .name = "wait",
		  .kind = BD_OPTION_FLAG,
		  .value = &drain.waits,
		  .help = "give the streams all the time they need, and return when the daemon has ended" },
	};
	struct bd_command command = {
		.program = BD_BATCHCTL,
		.name = "drain",
		.usage = "[--wait] [--connect SOCKET]",
		.summary = "Tells a running daemon to take no new streams, and to end when its streams have: after 20 s it cuts "
			   "them, and "
			   "their clients go on at the next daemon.",
		.groups = { { .options = own, .count = BD_COUNT_OF(own) } },
	};
	command.groups[1] = bd_target_init(&target, false);
	int result = bd_command_parse(&command, argc, argv, &arguments, &error);
	if (result < 0)
		return bd_usage_error(&command, &error);
	if (!arguments.done) {
		bd_interrupt_catch();
		drain.json = arguments.json;
		drain.quiet = arguments.quiet;
		result = run(&drain, &target, &error);
	}
	bd_arguments_finish(&arguments);
	return result < 0 ? bd_target_failed(&error) : BD_EXIT_DONE;
}
