#include "common/base/arithmetic.h"
#include "common/base/options.h"
#include "common/base/program.h"
#include "tools/batchctl/commands.h"

static const struct bd_subcommand commands[] = {
	{ "status", "the daemon: version, uptime, memory", bd_command_status },
	{ "streams", "its streams: rates, fill, who waits for what", bd_command_streams },
	{ "datasets", "what it serves by name", bd_command_datasets },
	{ "top", "the same, live, with the last minute", bd_command_top },
	{ "metrics", "its metrics in Prometheus' text format", bd_command_metrics },
	{ "preview", "a contact sheet of decoded pictures with their labels", bd_command_preview },
	{ "read", "batches of a dataset: records and checksums, or .npy files", bd_command_read },
	{ "bench", "how fast batches arrive, and what limits them", bd_command_bench },
	{ "drain", "no new streams; the daemon ends when its streams have", bd_command_drain },
};

int main(int argc, char **argv)
{
	if (bd_program_begin() < 0)
		return BD_EXIT_FAILED;
	return bd_program_end(BD_BATCHCTL,
	                      bd_subcommand_run(BD_BATCHCTL,
	                                        "Asks a running batchd, and reads, shows and measures datasets through it.",
	                                        commands, BD_COUNT_OF(commands), argc, argv));
}
