/* main.c - batchtrain: the table of its commands. */
#include "common/base/options.h"
#include "common/base/program.h"
#include "trainer/commands/commands.h"

#include "common/base/arithmetic.h"

int main(int argc, char **argv)
{
	static const struct bd_subcommand commands[] = {
		{ "train", "train a model, going on from its newest checkpoint", bd_train_command },
		{ "evaluate", "loss and metrics of a trained model on a dataset", bd_evaluate_command },
		{ "predict", "what a model says about pictures or records", bd_predict_command },
		{ "export", "write a trained model as ONNX, Keras .h5 or safetensors", bd_export_command },
		{ "summary", "layers, shapes, parameters, work and memory of a model file", bd_summary_command },
		{ "plot", "curves out of the lines that train --json printed", bd_plot_command },
	};
	if (bd_program_begin() < 0)
		return BD_EXIT_FAILED;
	return bd_program_end("batchtrain",
	                      bd_subcommand_run("batchtrain", "Trains image classifiers on batchd's streams, and uses them.",
	                                        commands, BD_COUNT_OF(commands), argc, argv));
}
