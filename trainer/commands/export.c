#include "trainer/commands/commands.h"

#include <errno.h>
#include <stdio.h>

#include "common/base/json.h"
#include "trainer/commands/data_options.h"
#include "trainer/commands/trained_model.h"
#include "trainer/model/weights.h"

enum format { SAFETENSORS };
static const char *const format_names[] = { "safetensors", NULL };

struct export
{
	struct bd_trained_model model;
	int format;
	bool format_given, force, json;
	const char *output;
};

static int parse(struct export *export, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	const struct bd_option options[] = {
		{ .name = "format",
		  .kind = BD_OPTION_CHOICE,
		  .value = &export->format,
		  .given = &export->format_given,
		  .choices = format_names,
		  .argument = "FORMAT",
		  .help = "onnx, keras-h5 or safetensors" },
		{ .name = "output",
		  .kind = BD_OPTION_TEXT,
		  .value = &export->output,
		  .argument = "FILE",
		  .help = "the file to write" },
		{ .name = "force", .kind = BD_OPTION_FLAG, .value = &export->force, .help = "write over a file that is there" },
	};
	bd_trained_model_init(&export->model);
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "export",
		.usage = "--model-dir DIR | MODEL.yaml --format onnx|keras-h5|safetensors --output FILE [options]",
		.summary = "Writes a trained model for other programs.",
		.groups = { { NULL, options, sizeof options / sizeof *options },
		            { "Model", export->model.options, BD_TRAINED_MODEL_OPTION_COUNT } },
		.maximum_words = 1,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	if (ret_arguments->done)
		return BD_EXIT_DONE;
	export->json = ret_arguments->json;
	if (!export->format_given)
		r = bd_error_set(&error, -EINVAL, "--format is missing: onnx, keras-h5 or safetensors");
	else if (!export->output)
		r = bd_error_set(&error, -EINVAL, "--output is missing: the file to write");
	else if ((export->model.folder != NULL) == (ret_arguments->word_count == 1))
		r = bd_error_set(&error, -EINVAL, "give --model-dir DIR or one MODEL.yaml");
	if (r == 0)
		return -1;
	bd_arguments_finish(ret_arguments);
	return bd_usage_error(&command, &error);
}

static int write_format(const struct export *export, struct bd_error *error)
{
	const struct bd_network *network = &export->model.network;
	switch ((enum format) export->format) {
	case SAFETENSORS:
		return bd_weights_save(export->output, export->force, network->parameters, network->parameter_count, error);
	}
	return -EINVAL;
}

static int run(struct export *export, const char *model_file, struct bd_error *error)
{
	int r = bd_trained_model_load(&export->model, model_file, 1, 1, NULL, error);
	if (r == 0)
		r = write_format(export, error);
	if (r < 0)
		return r;
	if (!export->json) {
		printf("%s\n", export->output);
		return 0;
	}
	json_t *object = json_object();
	json_object_set_new(object, "format", json_string(format_names[export->format]));
	json_object_set_new(object, "output", json_string(export->output));
	json_object_set_new(object, "step", json_integer((json_int_t) export->model.step));
	return bd_json_print_line(stdout, object, error);
}

int bd_export_command(int argc, char **argv)
{
	struct export export = { 0 };
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	int status = parse(&export, argc, argv, &arguments);
	if (status >= 0)
		return status;
	int r = run(&export, arguments.word_count ? arguments.words[0] : NULL, &error);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	bd_trained_model_finish(&export.model);
	bd_arguments_finish(&arguments);
	return status;
}
