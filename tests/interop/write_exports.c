/*
 * write_exports - what other programs are to read: write_exports FOLDER MODEL.yaml...
 *
 * For each model NAME.onnx, NAME.h5, NAME.safetensors, a batch NAME.input.f32 and what our graph makes of it, NAME.output.f32;
 * checkpoint-7.safetensors of the last; and an event file. Weights and statistics are random numbers.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/file.h"
#include "common/base/random.h"
#include "common/image/encode.h"
#include "trainer/model/checkpoint.h"
#include "trainer/model/graph.h"
#include "trainer/model/keras.h"
#include "trainer/model/model_file.h"
#include "trainer/model/onnx.h"
#include "trainer/model/weights.h"
#include "trainer/report/events.h"

#define ROWS 3

static struct bd_error error;

static void check(int result)
{
	if (result < 0) {
		fprintf(stderr, "write_exports: %s\n", error.text);
		exit(1);
	}
}

static void write_floats(const char *path, const float *values, size_t count)
{
	struct bd_output output;
	check(bd_output_open(&output, path, true, &error));
	fwrite(values, sizeof *values, count, output.stream);
	check(bd_output_commit(&output, &error));
}

/* Statistics and offsets away from 0 and 1, so that none of them can be left out unnoticed. */
static void disturb(struct bd_parameter *parameter, uint64_t number)
{
	const char *variable = strrchr(parameter->name, '/') + 1;
	struct bd_random random = bd_random_of(7, number, 0);
	bool positive = !strcmp(variable, "moving_variance") || !strcmp(variable, "gamma");
	for (size_t i = 0; parameter->rank == 1 && i < parameter->count; i++)
		parameter->value[i] = (float)bd_random_uniform(&random, positive ? 0.5 : -0.3, positive ? 1.5 : 0.3);
}

static struct bd_parameter **parameters_of(struct bd_graph *graph, size_t *ret_count)
{
	size_t count = bd_graph_parameter_count(graph);
	struct bd_parameter **all = calloc(count + 1, sizeof *all);
	for (size_t i = 0; all && i < count; i++) {
		all[i] = bd_graph_parameter(graph, i);
		disturb(all[i], i);
	}
	bd_graph_weights_changed(graph);
	*ret_count = count;
	return all;
}

static void write_batch(const char *stem, const struct bd_model *model, struct bd_graph *graph)
{
	char path[512];
	size_t pixels = (size_t)model->height * model->width * model->channels;
	float *input = calloc(ROWS * pixels, sizeof *input);
	struct bd_random random = bd_random_of(3, 1, 4);
	for (size_t i = 0; input && i < ROWS * pixels; i++)
		input[i] = (float)bd_random_uniform(&random, -1, 2);
	const float *output = bd_graph_forward(graph, &(struct bd_graph_input){ .data = input }, ROWS, false, 0);
	snprintf(path, sizeof path, "%s.input.f32", stem);
	write_floats(path, input, ROWS * pixels);
	snprintf(path, sizeof path, "%s.output.f32", stem);
	write_floats(path, output, ROWS * bd_graph_output_count(graph));
	free(input);
}

static void write_checkpoint(const char *folder, struct bd_parameter *const *all, size_t count)
{
	static struct bd_checkpoint_info info = { .step = 7, .epoch = 1, .batch = 2, .seed = 3 };
	struct bd_tensor *tensors = calloc(count + 1, sizeof *tensors);
	for (size_t i = 0; tensors && i < count; i++)
		tensors[i] = bd_checkpoint_tensor(all[i]);
	bd_checkpoint_fingerprint(all, count, NULL, info.fingerprint);
	check(bd_checkpoint_save(folder, &info, tensors, count, &error));
	free(tensors);
}

static void write_model(const char *folder, const char *model_path)
{
	struct bd_model_file file;
	struct bd_graph *graph;
	char stem[256], path[512];
	size_t count;
	const char *base = bd_path_base(model_path);
	snprintf(stem, sizeof stem, "%.180s/%.*s", folder, (int)strcspn(base, "."), base);
	check(bd_model_file_load(model_path, &file, &error));
	check(bd_graph_create(&file.model, ROWS, &(struct bd_graph_options){ .threads = 1, .convolution = BD_CONVOLUTION_EXACT },
	                      &graph, &error));
	bd_graph_initialize(graph, 5);
	struct bd_parameter **all = parameters_of(graph, &count);
	write_batch(stem, &file.model, graph);
	snprintf(path, sizeof path, "%s.onnx", stem);
	check(bd_onnx_export(path, true, &file.model, all, count, &error));
	snprintf(path, sizeof path, "%s.h5", stem);
	check(bd_keras_export(path, true, &file.model, all, count, &error));
	snprintf(path, sizeof path, "%s.safetensors", stem);
	check(bd_weights_save(path, true, all, count, &error));
	write_checkpoint(folder, all, count);
	free(all);
	bd_graph_destroy(graph);
	bd_model_file_finish(&file);
}

static void write_events(const char *folder)
{
	char path[512];
	struct bd_events *events;
	float values[1000];
	uint8_t pixels[4 * 6 * 3], *png;
	size_t length;
	for (size_t i = 0; i < sizeof pixels; i++)
		pixels[i] = (uint8_t)(i * 3);
	for (size_t i = 0; i < 1000; i++)
		values[i] = (float)i * 0.01f - 5;
	snprintf(path, sizeof path, "%s/events", folder);
	check(bd_events_open(path, 0, &events, &error));
	for (uint64_t step = 0; step < 10; step++) {
		const struct bd_event_scalar scalars[2] = { { "loss", 1.0 / (double)(step + 1) },
			                                    { "eval/accuracy", 0.125 * (double)step } };
		check(bd_events_scalars(events, step, scalars, 2, &error));
	}
	check(bd_events_histogram(events, 9, "fc/kernel", values, 1000, &error));
	check(bd_png_encode(&(struct bd_pixels){ .data = pixels, .height = 4, .width = 6, .channels = 3 }, &png, &length, &error));
	check(bd_events_image(events, 9, "sheet", png, length, 6, 4, 3, &error));
	free(png);
	bd_events_close(events);
	/* the run goes on from step 5: what came after it is void */
	check(bd_events_open(path, 5, &events, &error));
	check(bd_events_scalars(events, 5, &(struct bd_event_scalar){ "loss", 42 }, 1, &error));
	bd_events_close(events);
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: write_exports FOLDER MODEL.yaml...\n");
		return 2;
	}
	check(bd_make_folders(argv[1], 0777, &error));
	for (int i = 2; i < argc; i++)
		write_model(argv[1], argv[i]);
	write_events(argv[1]);
	return 0;
}
