#include "trainer/commands/commands.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "trainer/commands/data_options.h"
#include "trainer/commands/trained_model.h"
#include "trainer/model/keras.h"
#include "trainer/model/onnx.h"
#include "trainer/model/weights.h"

enum format { ONNX, KERAS_H5, SAFETENSORS };
static const char *const format_names[] = { "onnx", "keras-h5", "safetensors", NULL };

struct export_task {
	struct bd_trained_model model;
	int format;
	bool format_given, force, json;
	const char *output;
};

static int parse(struct export_task *task, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	const struct bd_option options[] = {
		{ .name = "format",
		  .kind = BD_OPTION_CHOICE,
		  .value = &task->format,
		  .given = &task->format_given,
		  .choices = format_names,
		  .argument = "FORMAT",
		  .help = "onnx, keras-h5 or safetensors" },
		{ .name = "output",
		  .kind = BD_OPTION_TEXT,
		  .value = &task->output,
		  .argument = "FILE",
		  .help = "the file to write" },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &task->force, .help = "write over a file that is there" },
	};
	bd_trained_model_init(&task->model);
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "export",
		.usage = "--model-dir DIR | MODEL.yaml --format onnx|keras-h5|safetensors --output FILE [options]",
		.summary = "Writes a trained model for other programs.",
		.groups = { { NULL, options, sizeof options / sizeof *options },
		            { "Model", task->model.options, BD_TRAINED_MODEL_OPTION_COUNT } },
		.maximum_words = 1,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	if (ret_arguments->done)
		return BD_EXIT_DONE;
	task->json = ret_arguments->json;
	if (!task->format_given)
		r = bd_error_set(&error, -EINVAL, "--format is missing: onnx, keras-h5 or safetensors");
	else if (!task->output)
		r = bd_error_set(&error, -EINVAL, "--output is missing: the file to write");
	else if ((task->model.folder != NULL) == (ret_arguments->word_count == 1))
		r = bd_error_set(&error, -EINVAL, "give --model-dir DIR or one MODEL.yaml");
	else if (task->json && strcmp(task->output, "-") == 0)
		r = bd_error_set(&error, -EINVAL, "--json and --output - both want standard output");
	else
		r = bd_trained_model_check(&task->model, &error);
	if (r == 0)
		return -1;
	bd_arguments_finish(ret_arguments);
	return bd_usage_error(&command, &error);
}

static int write_format(const struct export_task *task, struct bd_error *error)
{
	const struct bd_network *network = &task->model.network;
	const struct bd_model *model = &task->model.file.model;
	switch ((enum format)task->format) {
	case ONNX:
		return bd_onnx_export(task->output, task->force, model, network->parameters, network->parameter_count, error);
	case KERAS_H5:
		return bd_keras_export(task->output, task->force, model, network->parameters, network->parameter_count, error);
	case SAFETENSORS:
		return bd_weights_save(task->output, task->force, network->parameters, network->parameter_count, error);
	}
	return -EINVAL;
}

static int run(struct export_task *task, const char *model_file, struct bd_error *error)
{
	int r = bd_trained_model_load(&task->model, model_file, 1, 1, NULL, error);
	if (r == 0 && !bd_network_gives_numbers(&task->model.network))
		r = bd_error_set(error, -EDOM,
		                 "%s: the model's output for a test picture is no finite number: its weights are no good; "
		                 "--checkpoint best or "
		                 "STEP takes others",
		                 task->model.folder ? task->model.folder : model_file);
	if (r == 0)
		r = write_format(task, error);
	if (r < 0)
		return r;
	if (strcmp(task->output, "-") == 0)
		return 0;
	if (!task->json) {
		printf("%s\n", task->output);
		return 0;
	}
	json_t *object = json_object();
	json_object_set_new(object, "format", json_string(format_names[task->format]));
	json_object_set_new(object, "output", json_string(task->output));
	json_object_set_new(object, "step", json_integer((json_int_t)task->model.step));
	return bd_json_print_line(stdout, object, error);
}

int bd_export_command(int argc, char **argv)
{
	struct export_task task = { 0 };
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	int status = parse(&task, argc, argv, &arguments);
	if (status >= 0)
		return status;
	int r = run(&task, arguments.word_count ? arguments.words[0] : NULL, &error);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	bd_trained_model_finish(&task.model);
	bd_arguments_finish(&arguments);
	return status;
}
