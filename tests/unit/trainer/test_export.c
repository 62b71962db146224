#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/json.h"
#include "proto/onnx.pb-c.h"
#include "tests/support/golden.h"
#include "tests/support/records.h"
#include "tests/unit/test.h"
#include "trainer/model/export_plan.h"
#include "trainer/model/graph.h"
#include "trainer/model/hdf5_file.h"
#include "trainer/model/keras.h"
#include "trainer/model/model_file.h"
#include "trainer/model/onnx.h"
#include "trainer/model/weights.h"

/* A branch whose shorter arm stands first, a layer that leads nowhere, a name with a slash. */
static const char branched[] =
	"input: {height: 9, width: 7, channels: 3}\n"
	"layers:\n"
	"  - {type: conv2d, name: stem, filters: 4, kernel_size: 3, strides: 2, padding: same, activation: relu}\n"
	"  - {type: conv2d, name: short, filters: 4, kernel_size: 1, inputs: [stem]}\n"
	"  - {type: conv2d, name: long/a, filters: 4, kernel_size: 3, padding: same, inputs: [stem]}\n"
	"  - {type: conv2d, name: long/b, filters: 4, kernel_size: 3, padding: same}\n"
	"  - {type: dense, name: nowhere, units: 3, inputs: [flat_stem]}\n"
	"  - {type: add, name: sum, inputs: [short, long/b]}\n"
	"  - {type: dropout, name: drop, rate: 0.5}\n"
	"  - {type: flatten, name: flat}\n"
	"  - {type: dense, name: fc, units: 2, activation: softmax}\n";

struct built {
	struct bd_model_file file;
	struct bd_graph *graph;
	struct bd_parameter *all[64];
	size_t count;
};

static void build(struct built *built, const char *text)
{
	struct bd_error error = { 0 };
	if (bd_model_file_parse("model.yaml", "/", text, strlen(text), &built->file, &error) != 0 ||
	    bd_graph_create(&built->file.model, 2, &(struct bd_graph_options){ .threads = 1 }, &built->graph, &error) != 0)
		fail_msg("%s", error.text);
	bd_graph_initialize(built->graph, 1);
	built->count = bd_graph_parameter_count(built->graph);
	assert_true(built->count < 64);
	for (size_t i = 0; i < built->count; i++)
		built->all[i] = bd_graph_parameter(built->graph, i);
}

static void release(struct built *built)
{
	bd_graph_destroy(built->graph);
	bd_model_file_finish(&built->file);
}

static void build_branched(struct built *built)
{
	char text[2048];
	/* the dead end needs a vector */
	const char *dead = strstr(branched, "  - {type: dense, name: nowhere");
	snprintf(text, sizeof text, "%.*s  - {type: flatten, name: flat_stem, inputs: [stem]}\n%s", (int)(dead - branched),
	         branched, dead);
	build(built, text);
}

static char *folder;

static int make_folder(void **state)
{
	(void)state;
	folder = bd_test_folder();
	return 0;
}

static int remove_folder(void **state)
{
	(void)state;
	bd_test_folder_remove(folder);
	return 0;
}

static void plan_has_keras_order_and_explicit_padding(void **state)
{
	(void)state;
	struct built built;
	struct bd_export_plan plan;
	build_branched(&built);
	assert_int_equal(bd_export_plan_init(&plan, &built.file.model, built.all, built.count, NULL), 0);
	static const char *const order[] = { "stem", "long/a", "short", "long/b", "sum", "drop", "flat", "fc" };
	assert_int_equal(plan.layer_count, 8);
	for (size_t i = 0; i < 8; i++)
		assert_string_equal(plan.layers[plan.keras_order[i]].config->name, order[i]);
	const struct bd_export_layer *stem = &plan.layers[0];
	assert_true(stem->inputs[0] == BD_EXPORT_INPUT && stem->shape.dims[0] == 5 && stem->shape.dims[1] == 4);
	/* 9 by stride 2 needs 2 more pixels, 7 needs 2 as well: one on each side */
	assert_true(stem->pads[0] == 1 && stem->pads[1] == 1 && stem->pads[2] == 1 && stem->pads[3] == 1);
	bd_export_plan_finish(&plan);
	release(&built);
}

static void odd_padding_lies_at_the_bottom_and_right(void **state)
{
	(void)state;
	struct built built;
	struct bd_export_plan plan;
	build(&built, "input: {height: 8, width: 8, channels: 1}\n"
	              "layers: [{type: conv2d, filters: 1, kernel_size: 3, strides: 2, padding: same}]\n");
	assert_int_equal(bd_export_plan_init(&plan, &built.file.model, built.all, built.count, NULL), 0);
	const uint32_t wanted[4] = { 0, 0, 1, 1 };
	assert_memory_equal(plan.layers[0].pads, wanted, sizeof wanted);
	bd_export_plan_finish(&plan);
	release(&built);
}

static void model_input_may_be_named(void **state)
{
	(void)state;
	struct built built;
	struct bd_export_plan plan;
	build(&built,
	      "input: {height: 4, width: 4, channels: 1}\n"
	      "layers: [{type: conv2d, name: a, filters: 1, kernel_size: 1, inputs: [input]},\n"
	      "  {type: conv2d, name: b, filters: 1, kernel_size: 1, inputs: input}, {type: add, inputs: [b, a, input]}]\n");
	assert_int_equal(bd_export_plan_init(&plan, &built.file.model, built.all, built.count, NULL), 0);
	assert_true(plan.layers[0].inputs[0] == BD_EXPORT_INPUT && plan.layers[1].inputs[0] == BD_EXPORT_INPUT);
	assert_true(plan.layers[2].inputs[0] == 1 && plan.layers[2].inputs[1] == 0 && plan.layers[2].inputs[2] == BD_EXPORT_INPUT);
	bd_export_plan_finish(&plan);
	release(&built);
}

static bool is_known(const Batchd__Onnx__GraphProto *graph, const char *name, size_t nodes)
{
	if (!strcmp(name, graph->input[0]->name))
		return true;
	for (size_t i = 0; i < graph->n_initializer; i++) {
		if (!strcmp(name, graph->initializer[i]->name))
			return true;
	}
	for (size_t i = 0; i < nodes; i++) {
		if (!strcmp(name, graph->node[i]->output[0]))
			return true;
	}
	return false;
}

static void onnx_nodes_come_after_their_inputs(void **state)
{
	(void)state;
	struct built built;
	struct bd_error error = { 0 };
	char path[128];
	size_t length;
	build_branched(&built);
	snprintf(path, sizeof path, "%s/model.onnx", folder);
	if (bd_onnx_export(path, false, &built.file.model, built.all, built.count, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(bd_onnx_export(path, false, &built.file.model, built.all, built.count, &error), -EEXIST);
	uint8_t *bytes = bd_golden_file(path, &length);
	Batchd__Onnx__ModelProto *model = batchd__onnx__model_proto__unpack(NULL, length, bytes);
	assert_non_null(model);
	const Batchd__Onnx__GraphProto *graph = model->graph;
	for (size_t i = 0; i < graph->n_node; i++) {
		for (size_t k = 0; k < graph->node[i]->n_input; k++) {
			if (!is_known(graph, graph->node[i]->input[k], i))
				fail_msg("%s stands before its input %s", graph->node[i]->name, graph->node[i]->input[k]);
		}
	}
	assert_string_equal(graph->node[graph->n_node - 1]->output[0], "output");
	assert_int_equal(graph->output[0]->type->tensor_type->shape->dim[1]->dim_value, 2);
	/* a dense kernel is written as it lies */
	for (size_t i = 0; i < graph->n_initializer; i++) {
		const Batchd__Onnx__TensorProto *tensor = graph->initializer[i];
		if (!strcmp(tensor->name, "fc/kernel"))
			assert_memory_equal(tensor->raw_data.data, bd_graph_find(built.graph, "fc/kernel")->value,
			                    tensor->raw_data.len);
		if (!strcmp(tensor->name, "nowhere/kernel"))
			fail_msg("a layer that leads nowhere was exported");
	}
	batchd__onnx__model_proto__free_unpacked(model, NULL);
	free(bytes);
	release(&built);
}

static void keras_file_is_read_back(void **state)
{
	(void)state;
	struct built built, copy;
	struct bd_error error = { 0 };
	struct bd_weights_loaded loaded;
	struct bd_hdf5 *file;
	struct bd_strings config, layers;
	json_t *json;
	char path[128];
	build_branched(&built);
	build_branched(&copy);
	bd_graph_initialize(copy.graph, 99);
	snprintf(path, sizeof path, "%s/model.h5", folder);
	if (bd_keras_export(path, false, &built.file.model, built.all, built.count, &error) != 0)
		fail_msg("%s", error.text);
	assert_int_equal(bd_keras_export(path, false, &built.file.model, built.all, built.count, &error), -EEXIST);
	/* the names with a slash have changed */
	assert_int_equal(bd_weights_load(path, copy.all, copy.count, false, &loaded, &error), 0);
	assert_true(loaded.layers == 3 && loaded.left_out == 2);
	const struct bd_parameter *a = bd_graph_find(built.graph, "fc/kernel"), *b = bd_graph_find(copy.graph, "fc/kernel");
	assert_memory_equal(a->value, b->value, a->count * sizeof(float));
	assert_int_equal(bd_hdf5_open(path, &file, NULL), 0);
	assert_int_equal(bd_hdf5_read_strings(file, "/", "model_config", &config, NULL), 0);
	assert_int_equal(bd_hdf5_read_strings(file, "/model_weights", "layer_names", &layers, NULL), 0);
	assert_int_equal(layers.count, 9);
	assert_string_equal(layers.items[2], "long_a");
	assert_int_equal(bd_json_parse("model_config", config.items[0], strlen(config.items[0]), &json, &error), 0);
	json_t *last = json_array_get(json_object_get(json_object_get(json, "config"), "layers"), 8);
	assert_string_equal(json_string_value(json_object_get(last, "class_name")), "Dense");
	json_decref(json);
	bd_strings_finish(&config);
	bd_strings_finish(&layers);
	bd_hdf5_close(file);
	release(&built);
	release(&copy);
}

static void model_that_cannot_be_exported_is_einval(void **state)
{
	(void)state;
	struct built built;
	struct bd_error error;
	char path[128];
	build(&built, "input: {height: 4, width: 4, channels: 1}\n"
	              "layers: [{type: conv2d, name: a/b, filters: 1, kernel_size: 1}, {type: conv2d, name: a_b, filters: 1, "
	              "kernel_size: 1}]\n");
	snprintf(path, sizeof path, "%s/none.h5", folder);
	assert_int_equal(bd_keras_export(path, false, &built.file.model, built.all, built.count, &error), -EINVAL);
	assert_non_null(strstr(error.text, "'a/b' and 'a_b'"));
	assert_int_equal(bd_onnx_export(path, false, &built.file.model, built.all, 1, &error), -EINVAL);
	assert_non_null(strstr(error.text, "layer 'a/b' cannot be exported: it has no bias"));
	assert_int_equal(access(path, F_OK), -1);
	release(&built);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plan_has_keras_order_and_explicit_padding),
		cmocka_unit_test(odd_padding_lies_at_the_bottom_and_right),
		cmocka_unit_test(model_input_may_be_named),
		cmocka_unit_test(onnx_nodes_come_after_their_inputs),
		cmocka_unit_test(keras_file_is_read_back),
		cmocka_unit_test(model_that_cannot_be_exported_is_einval),
	};
	return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
