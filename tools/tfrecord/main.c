#include "common/base/arithmetic.h"
#include "common/base/options.h"
#include "tools/tfrecord/commands.h"

int main(int argc, char **argv)
{
	static const struct bd_subcommand commands[] = {
		{ "convert", "pictures to shards, with the dataset file beside them", bd_tfrecord_convert },
	};
	return bd_subcommand_run("tfrecord", "Makes, checks and shows TFRecord files.", commands, BD_COUNT_OF(commands), argc,
	                         argv);
}
