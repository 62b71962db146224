#include "trainer/commands/commands.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/base/json.h"
#include "common/base/options.h"
#include "common/base/simd.h"
#include "common/base/units.h"
#include "trainer/commands/data_options.h"
#include "trainer/kernels/openblas.h"
#include "trainer/learning/network.h"

#define DEFAULT_BATCH 20
#define MAX_BATCH 65536

struct summary {
	uint64_t batch;
	bool json;
	struct bd_model_file file;
	struct bd_network network;
	uint64_t parameters, trained, multiply_adds;
};

static int parse(struct summary *summary, int argc, char **argv, struct bd_arguments *ret_arguments)
{
	const struct bd_option options[] = {
		{ .name = "batch",
		  .kind = BD_OPTION_U64,
		  .value = &summary->batch,
		  .argument = "N",
		  .minimum = 1,
		  .maximum = MAX_BATCH,
		  .help = "of which batch the memory is told (default 20)" },
	};
	const struct bd_command command = {
		.program = "batchtrain",
		.name = "summary",
		.usage = "MODEL.yaml [options]",
		.summary = "Layers, output shapes, parameters, what is trained, multiply-adds and memory of a model file.",
		.groups = { { NULL, options, sizeof options / sizeof *options } },
		.minimum_words = 1,
		.maximum_words = 1,
	};
	struct bd_error error = { 0 };
	int r = bd_command_parse(&command, argc, argv, ret_arguments, &error);
	if (r < 0)
		return bd_usage_error(&command, &error);
	summary->json = ret_arguments->json;
	return ret_arguments->done ? BD_EXIT_DONE : -1;
}

static void print_layer(const struct bd_graph_layer *layer)
{
	char shape[64], trained[32] = "";
	bd_shape_format(&layer->shape, shape, sizeof shape);
	if (layer->parameters > 0)
		snprintf(trained, sizeof trained, "%s",
		         layer->trained_parameters == layer->parameters ? "yes"
		         : layer->trained_parameters                    ? "in part"
		                                                        : "frozen");
	printf("%-28s %-26s %-14s %12zu %-8s %14" PRIu64 "  %s%s\n", layer->name, layer->type, shape, layer->parameters, trained,
	       layer->multiply_adds, layer->kernel ? layer->kernel : "", layer->fused ? " (fused)" : "");
}

static json_t *layer_json(const struct bd_graph_layer *layer)
{
	json_t *shape = json_array();
	for (int i = 0; i < layer->shape.rank; i++)
		json_array_append_new(shape, json_integer((json_int_t)layer->shape.dims[i]));
	json_t *object = json_object();
	json_object_set_new(object, "name", json_string(layer->name));
	json_object_set_new(object, "type", json_string(layer->type));
	json_object_set_new(object, "shape", shape);
	json_object_set_new(object, "parameters", json_integer((json_int_t)layer->parameters));
	json_object_set_new(object, "trained_parameters", json_integer((json_int_t)layer->trained_parameters));
	json_object_set_new(object, "multiply_adds", json_integer((json_int_t)layer->multiply_adds));
	json_object_set_new(object, "kernel", json_string(layer->kernel ? layer->kernel : ""));
	json_object_set_new(object, "fused", json_boolean(layer->fused));
	return object;
}

static int print_layers(struct summary *summary, struct bd_error *error)
{
	const struct bd_graph *graph = summary->network.graph;
	if (!summary->json)
		printf("%-28s %-26s %-14s %12s %-8s %14s  %s\n", "layer", "type", "output", "parameters", "trained",
		       "multiply-adds", "kernel");
	for (size_t i = 0; i < bd_graph_layer_count(graph); i++) {
		struct bd_graph_layer layer;
		bd_graph_layer(graph, i, &layer);
		summary->parameters += layer.parameters;
		summary->trained += layer.trained_parameters;
		summary->multiply_adds += layer.multiply_adds;
		if (!summary->json) {
			print_layer(&layer);
			continue;
		}
		int r = bd_json_print_line(stdout, layer_json(&layer), error);
		if (r < 0)
			return r;
	}
	return 0;
}

static int print_totals(const struct summary *summary, struct bd_error *error)
{
	struct bd_graph_memory memory = bd_graph_memory(summary->network.graph);
	uint64_t bytes = memory.parameters + memory.packed + memory.activations + memory.scratch;
	const struct bd_kernels *kernels = bd_graph_kernels(summary->network.graph);
	const char *level = bd_simd_name(kernels->level);
	char products[64] = "";
	if (kernels->openblas)
		snprintf(products, sizeof products, "openblas (%s), otherwise ", bd_openblas_core());
	if (!summary->json) {
		char size[32];
		double operations = 2 * (double)summary->multiply_adds;
		bool in_giga = operations >= 1e8;
		bd_format_size(bytes, size, sizeof size);
		printf("%" PRIu64 " parameters, %" PRIu64
		       " of them trained; %.3f %s forward a picture; %s for training with batches of %" PRIu64
		       "; kernels: %s%s, %u threads\n",
		       summary->parameters, summary->trained, operations / (in_giga ? 1e9 : 1e6), in_giga ? "GFLOP" : "MFLOP", size,
		       summary->batch, products, level, bd_graph_threads(summary->network.graph));
		return 0;
	}
	json_t *object = json_object();
	json_object_set_new(object, "parameters", json_integer((json_int_t)summary->parameters));
	json_object_set_new(object, "trained_parameters", json_integer((json_int_t)summary->trained));
	json_object_set_new(object, "multiply_adds", json_integer((json_int_t)summary->multiply_adds));
	json_object_set_new(object, "memory_bytes", json_integer((json_int_t)bytes));
	json_object_set_new(object, "batch", json_integer((json_int_t)summary->batch));
	json_object_set_new(object, "kernels", json_string(level));
	json_object_set_new(object, "products", json_string(kernels->openblas ? "openblas" : "own"));
	json_object_set_new(object, "threads", json_integer((json_int_t)bd_graph_threads(summary->network.graph)));
	return bd_json_print_line(stdout, object, error);
}

static int run(struct summary *summary, const char *path, struct bd_error *error)
{
	const struct bd_network_options options = { .batch = (uint32_t)summary->batch, .training = true };
	int r = bd_model_file_load(path, &summary->file, error);
	if (r == 0)
		r = bd_network_init(&summary->file, &options, &summary->network, error);
	if (r == 0)
		r = print_layers(summary, error);
	return r < 0 ? r : print_totals(summary, error);
}

int bd_summary_command(int argc, char **argv)
{
	struct summary summary = { .batch = DEFAULT_BATCH };
	struct bd_arguments arguments = { 0 };
	struct bd_error error = { 0 };
	int status = parse(&summary, argc, argv, &arguments);
	if (status >= 0)
		return status;
	int r = run(&summary, arguments.words[0], &error);
	status = r < 0 ? bd_command_failed(&error, r) : BD_EXIT_DONE;
	bd_network_finish(&summary.network);
	bd_model_file_finish(&summary.file);
	bd_arguments_finish(&arguments);
	return status;
}
