#include "common/base/arithmetic.h"
#include "common/base/options.h"
#include "common/base/program.h"
#include "tools/tfrecord/commands.h"

int main(int argc, char **argv)
{
	static const struct bd_subcommand commands[] = {
		{ "convert", "pictures to shards, with the dataset file beside them", bd_tfrecord_convert },
		{ "info", "records, bytes, compression, features with kinds and shapes", bd_tfrecord_info },
		{ "cat", "shows records", bd_tfrecord_cat },
		{ "verify", "checks every CRC", bd_tfrecord_verify },
		{ "index", "writes where the records lie, beside the shard", bd_tfrecord_index },
	};
	if (bd_program_begin() < 0)
		return BD_EXIT_FAILED;
	return bd_program_end("tfrecord", bd_subcommand_run("tfrecord", "Makes, checks and shows TFRecord files.", commands,
	                                                    BD_COUNT_OF(commands), argc, argv));
}
