#include "trainer/model/onnx.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/file.h"
#include "trainer/model/export_plan.h"
#include "trainer/model/onnx_builder.h"

#define OPSET 17
#define IR_VERSION 8
#define MAX_FILE_BYTES ((size_t)INT32_MAX) /* protobuf's limit */

/* A model being written: the layers and what has been built of them. */
struct export
{
	struct bd_onnx_builder builder;
	const struct bd_export_plan *plan;
	char **values; /* (layer_count): the name of each layer's output */
};

static char *add_transpose(struct export *export, char *from, char *to, bool to_nchw)
{
	static const int64_t nchw[4] = { 0, 3, 1, 2 }, nhwc[4] = { 0, 2, 3, 1 };
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Transpose", to);
	bd_onnx_add_input(&export->builder, node, from);
	bd_onnx_set_ints(&export->builder, node, "perm", to_nchw ? nchw : nhwc, 4);
	return to;
}

/* ---- layers ---- */

static char *input_of(struct export *export, const struct bd_export_layer *layer, size_t index)
{
	static char first[] = "input/nchw";
	return layer->inputs[index] == BD_EXPORT_INPUT ? first : export->values[layer->inputs[index]];
}

static const int64_t *as_dims(const uint32_t *values, int64_t *dims, size_t count)
{
	for (size_t i = 0; i < count; i++)
		dims[i] = values[i];
	return dims;
}

static void set_window(struct export *export, bd_onnx_node *node, const struct bd_export_layer *layer)
{
	int64_t dims[4];
	bd_onnx_set_ints(&export->builder, node, "kernel_shape", as_dims(layer->window, dims, 2), 2);
	bd_onnx_set_ints(&export->builder, node, "strides", as_dims(layer->strides, dims, 2), 2);
	bd_onnx_set_ints(&export->builder, node, "pads", as_dims(layer->pads, dims, 4), 4);
}

static char *add_vector(struct export *export, const struct bd_export_layer *layer, const char *variable)
{
	const struct bd_parameter *parameter = bd_export_parameter(layer, variable);
	const int64_t dims[1] = { (int64_t)parameter->count };
	return bd_onnx_add_floats(&export->builder, bd_onnx_text(&export->builder, "%s", parameter->name), dims, 1,
	                          parameter->value, parameter->count);
}

/* HWIO -> OIHW; depthwise HWCM -> (C M)1HW: both move the window behind the output channel. */
static char *add_kernel(struct export *export, const struct bd_export_layer *layer, bool depthwise)
{
	const struct bd_parameter *kernel = layer->parameters[0];
	size_t window = (size_t)(kernel->shape[0] * kernel->shape[1]), in = (size_t)kernel->shape[2],
	       out = (size_t)kernel->shape[3];
	const int64_t dims[4] = { depthwise ? (int64_t)(in * out) : (int64_t)out, depthwise ? 1 : (int64_t)in, kernel->shape[0],
		                  kernel->shape[1] };
	float *values = bd_onnx_reserve(&export->builder, kernel->count, sizeof *values);
	for (size_t w = 0; values && w < window; w++) {
		for (size_t i = 0; i < in; i++) {
			for (size_t o = 0; o < out; o++) {
				size_t to = depthwise ? i * out + o : o * in + i;
				values[to * window + w] = kernel->value[(w * in + i) * out + o];
			}
		}
	}
	return bd_onnx_add_floats(&export->builder, bd_onnx_text(&export->builder, "%s", kernel->name), dims, 4, values,
	                          values ? kernel->count : 0);
}

static void add_convolution(struct export *export, const struct bd_export_layer *layer, char *output)
{
	bool depthwise = layer->kind == BD_EXPORT_DEPTHWISE_CONV2D;
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Conv", output);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	bd_onnx_add_input(&export->builder, node, add_kernel(export, layer, depthwise));
	if (bd_export_parameter(layer, "bias"))
		bd_onnx_add_input(&export->builder, node, add_vector(export, layer, "bias"));
	set_window(export, node, layer);
	if (depthwise)
		bd_onnx_set_int(&export->builder, node, "group", layer->parameters[0]->shape[2]);
}

/* On a picture, whose channels stand before the pixels in ONNX: a convolution with a kernel of 1 x 1. */
static void add_dense_of_picture(struct export *export, const struct bd_export_layer *layer, char *output)
{
	const struct bd_parameter *kernel = layer->parameters[0];
	size_t width = (size_t)kernel->shape[0], units = (size_t)kernel->shape[1];
	float *turned = bd_onnx_reserve(&export->builder, kernel->count, sizeof *turned);
	for (size_t i = 0; turned && i < kernel->count; i++)
		turned[i % units * width + i / units] = kernel->value[i];
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Conv", output);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	bd_onnx_add_input(&export->builder, node,
	                  bd_onnx_add_floats(&export->builder, bd_onnx_text(&export->builder, "%s", kernel->name),
	                                     (const int64_t[]){ kernel->shape[1], kernel->shape[0], 1, 1 }, 4, turned,
	                                     turned ? kernel->count : 0));
	if (bd_export_parameter(layer, "bias"))
		bd_onnx_add_input(&export->builder, node, add_vector(export, layer, "bias"));
}

static void add_dense(struct export *export, const struct bd_export_layer *layer, char *output)
{
	if (layer->shape.rank == 3) {
		add_dense_of_picture(export, layer, output);
		return;
	}
	const struct bd_parameter *kernel = layer->parameters[0];
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Gemm", output);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	bd_onnx_add_input(&export->builder, node,
	                  bd_onnx_add_floats(&export->builder, bd_onnx_text(&export->builder, "%s", kernel->name), kernel->shape, 2,
	                                     kernel->value, kernel->count));
	if (bd_export_parameter(layer, "bias"))
		bd_onnx_add_input(&export->builder, node, add_vector(export, layer, "bias"));
}

static void add_pooling(struct export *export, const struct bd_export_layer *layer, char *output)
{
	bool max = layer->kind == BD_EXPORT_MAX_POOLING2D;
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, max ? "MaxPool" : "AveragePool", output);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	set_window(export, node, layer);
	if (!max)
		bd_onnx_set_int(&export->builder, node, "count_include_pad", 0);
}

static void add_global_pooling(struct export *export, const struct bd_export_layer *layer, char *output)
{
	const char *type = layer->kind == BD_EXPORT_GLOBAL_MAX_POOLING2D ? "GlobalMaxPool" : "GlobalAveragePool";
	char *pooled = bd_onnx_text(&export->builder, "%s/pooled", layer->config->name);
	bd_onnx_add_input(&export->builder, bd_onnx_add_node(&export->builder, type, pooled), input_of(export, layer, 0));
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Flatten", output);
	bd_onnx_add_input(&export->builder, node, pooled);
	bd_onnx_set_int(&export->builder, node, "axis", 1);
}

static void add_normalization(struct export *export, const struct bd_export_layer *layer, char *output)
{
	const char *name = layer->config->name;
	size_t channels = (size_t)bd_shape_channels(&layer->shape);
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "BatchNormalization", output);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	bd_onnx_add_input(
		&export->builder, node,
		bd_export_parameter(layer, "gamma")
			? add_vector(export, layer, "gamma")
			: bd_onnx_add_constant(&export->builder, bd_onnx_text(&export->builder, "%s/gamma", name), 1, channels, 1));
	bd_onnx_add_input(
		&export->builder, node,
		bd_export_parameter(layer, "beta")
			? add_vector(export, layer, "beta")
			: bd_onnx_add_constant(&export->builder, bd_onnx_text(&export->builder, "%s/beta", name), 0, channels, 1));
	bd_onnx_add_input(&export->builder, node, add_vector(export, layer, "moving_mean"));
	bd_onnx_add_input(&export->builder, node, add_vector(export, layer, "moving_variance"));
	bd_onnx_attribute *epsilon = bd_onnx_add_attribute(&export->builder, node, "epsilon",
	                                                   BATCHD__ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT);
	if (epsilon)
		epsilon->f = layer->config->epsilon;
}

static void add_padding(struct export *export, const struct bd_export_layer *layer, char *output)
{
	const uint32_t *pads = layer->pads;
	int64_t *values = bd_onnx_reserve(&export->builder, 8, sizeof *values);
	const int64_t dims[1] = { 8 };
	if (!values)
		return;
	values[2] = pads[0];
	values[3] = pads[1];
	values[6] = pads[2];
	values[7] = pads[3];
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Pad", output);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	bd_onnx_add_input(&export->builder, node,
	                  bd_onnx_add_tensor(&export->builder, bd_onnx_text(&export->builder, "%s/pads", layer->config->name),
	                                     BD_ONNX_INT64, dims, 1, values, 8 * sizeof *values));
}

static void add_joined(struct export *export, const struct bd_export_layer *layer, char *output)
{
	bool sum = layer->kind == BD_EXPORT_ADD;
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, sum ? "Sum" : "Concat", output);
	for (size_t i = 0; i < layer->input_count; i++)
		bd_onnx_add_input(&export->builder, node, input_of(export, layer, i));
	/* the channels of NCHW, or the numbers of a vector */
	if (!sum)
		bd_onnx_set_int(&export->builder, node, "axis", 1);
}

static void add_flatten(struct export *export, const struct bd_export_layer *layer, char *output)
{
	char *from = input_of(export, layer, 0);
	/* Keras flattens NHWC */
	if (bd_export_input_shape(export->plan, layer, 0)->rank == 3)
		from = add_transpose(export, from, bd_onnx_text(&export->builder, "%s/nhwc", layer->config->name), false);
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Flatten", output);
	bd_onnx_add_input(&export->builder, node, from);
	bd_onnx_set_int(&export->builder, node, "axis", 1);
}

static void add_rescaling(struct export *export, const struct bd_export_layer *layer, char *output)
{
	const char *name = layer->config->name;
	char *scaled = bd_onnx_text(&export->builder, "%s/scaled", name);
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, "Mul", scaled);
	bd_onnx_add_input(&export->builder, node, input_of(export, layer, 0));
	bd_onnx_add_input(&export->builder, node,
	                  bd_onnx_add_constant(&export->builder, bd_onnx_text(&export->builder, "%s/scale", name),
	                                       (float)layer->config->scale, 1, 0));
	node = bd_onnx_add_node(&export->builder, "Add", output);
	bd_onnx_add_input(&export->builder, node, scaled);
	bd_onnx_add_input(&export->builder, node,
	                  bd_onnx_add_constant(&export->builder, bd_onnx_text(&export->builder, "%s/offset", name),
	                                       (float)layer->config->offset, 1, 0));
}

/* max < 0: none */
static void add_clip(struct export *export, const char *name, char *from, float max, char *output)
{
	bd_onnx_node *node = bd_onnx_add_node(&export->builder, max > 0 ? "Clip" : "Relu", output);
	bd_onnx_add_input(&export->builder, node, from);
	if (max > 0) {
		bd_onnx_add_input(&export->builder, node,
		                  bd_onnx_add_constant(&export->builder, bd_onnx_text(&export->builder, "%s/zero", name), 0, 1, 0));
		bd_onnx_add_input(
			&export->builder, node,
			bd_onnx_add_constant(&export->builder, bd_onnx_text(&export->builder, "%s/max", name), max, 1, 0));
	}
}

static void add_activation(struct export *export, const char *name, enum bd_activation activation, char *from, char *output)
{
	bd_onnx_node *node;
	switch (activation) {
	case BD_ACTIVATION_RELU:
	case BD_ACTIVATION_RELU6:
		add_clip(export, name, from, activation == BD_ACTIVATION_RELU6 ? 6 : -1, output);
		return;
	case BD_ACTIVATION_SOFTMAX:
		node = bd_onnx_add_node(&export->builder, "Softmax", output);
		bd_onnx_add_input(&export->builder, node, from);
		bd_onnx_set_int(&export->builder, node, "axis", 1);
		return;
	case BD_ACTIVATION_SIGMOID:
	case BD_ACTIVATION_TANH:
	case BD_ACTIVATION_LINEAR:
		break;
	}
	const char *type = activation == BD_ACTIVATION_SIGMOID ? "Sigmoid" : activation == BD_ACTIVATION_TANH ? "Tanh" : "Identity";
	bd_onnx_add_input(&export->builder, bd_onnx_add_node(&export->builder, type, output), from);
}

static void add_body(struct export *export, const struct bd_export_layer *layer, char *output)
{
	switch (layer->kind) {
	case BD_EXPORT_CONV2D:
	case BD_EXPORT_DEPTHWISE_CONV2D:
		add_convolution(export, layer, output);
		break;
	case BD_EXPORT_DENSE:
		add_dense(export, layer, output);
		break;
	case BD_EXPORT_MAX_POOLING2D:
	case BD_EXPORT_AVERAGE_POOLING2D:
		add_pooling(export, layer, output);
		break;
	case BD_EXPORT_GLOBAL_AVERAGE_POOLING2D:
	case BD_EXPORT_GLOBAL_MAX_POOLING2D:
		add_global_pooling(export, layer, output);
		break;
	case BD_EXPORT_BATCH_NORMALIZATION:
		add_normalization(export, layer, output);
		break;
	case BD_EXPORT_ZERO_PADDING2D:
		add_padding(export, layer, output);
		break;
	case BD_EXPORT_CONCATENATE:
	case BD_EXPORT_ADD:
		add_joined(export, layer, output);
		break;
	case BD_EXPORT_FLATTEN:
		add_flatten(export, layer, output);
		break;
	case BD_EXPORT_RESCALING:
		add_rescaling(export, layer, output);
		break;
	case BD_EXPORT_RELU:
		add_clip(export, layer->config->name, input_of(export, layer, 0),
		         layer->config->max_value > 0 ? layer->config->max_value : -1, output);
		break;
	case BD_EXPORT_SOFTMAX:
		add_activation(export, layer->config->name, BD_ACTIVATION_SOFTMAX, input_of(export, layer, 0), output);
		break;
	case BD_EXPORT_ACTIVATION:
		add_activation(export, layer->config->name, layer->config->activation, input_of(export, layer, 0), output);
		break;
	case BD_EXPORT_DROPOUT:
		break;
	}
}

static void add_layer(struct export *export, size_t number)
{
	const struct bd_export_layer *layer = &export->plan->layers[number];
	bool activated = layer->kind <= BD_EXPORT_DENSE && layer->config->activation != BD_ACTIVATION_LINEAR;
	if (layer->kind == BD_EXPORT_DROPOUT) {
		export->values[number] = input_of(export, layer, 0);
		return;
	}
	char *output = bd_onnx_text(&export->builder, "%s/output", layer->config->name);
	char *before = activated ? bd_onnx_text(&export->builder, "%s/linear", layer->config->name) : output;
	add_body(export, layer, before);
	if (activated)
		add_activation(export, layer->config->name, layer->config->activation, before, output);
	export->values[number] = output;
}

/* ---- the file ---- */

static Batchd__Onnx__ValueInfoProto *describe(struct export *export, const char *name, const struct bd_shape *shape)
{
	struct value {
		Batchd__Onnx__ValueInfoProto info;
		Batchd__Onnx__TypeProto type;
		Batchd__Onnx__TypeProto__Tensor tensor;
		Batchd__Onnx__TensorShapeProto shape;
		Batchd__Onnx__TensorShapeProto__Dimension dims[BD_SHAPE_MAX_RANK + 1], *pointers[BD_SHAPE_MAX_RANK + 1];
	} *value = bd_onnx_reserve(&export->builder, 1, sizeof *value);
	char *copy = bd_onnx_text(&export->builder, "%s", name), *batch = bd_onnx_text(&export->builder, "N");
	if (export->builder.failed)
		return NULL;
	batchd__onnx__value_info_proto__init(&value->info);
	batchd__onnx__type_proto__init(&value->type);
	batchd__onnx__type_proto__tensor__init(&value->tensor);
	batchd__onnx__tensor_shape_proto__init(&value->shape);
	for (int i = 0; i <= shape->rank; i++) {
		batchd__onnx__tensor_shape_proto__dimension__init(&value->dims[i]);
		value->dims[i].value_case = i ? BATCHD__ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE
		                              : BATCHD__ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
		if (i)
			value->dims[i].dim_value = shape->dims[i - 1];
		else
			value->dims[i].dim_param = batch;
		value->pointers[i] = &value->dims[i];
	}
	value->shape.dim = value->pointers;
	value->shape.n_dim = (size_t)shape->rank + 1;
	value->tensor.elem_type = BD_ONNX_FLOAT;
	value->tensor.shape = &value->shape;
	value->type.tensor_type = &value->tensor;
	value->info.name = copy;
	value->info.type = &value->type;
	return &value->info;
}

static int write_model(const char *path, bool force, const Batchd__Onnx__ModelProto *model, struct bd_error *error)
{
	size_t length = batchd__onnx__model_proto__get_packed_size(model);
	if (length > MAX_FILE_BYTES)
		return bd_error_set(error, -EFBIG, "%s: %zu bytes are more than an ONNX file holds", path, length);
	uint8_t *bytes = malloc(length);
	if (!bytes)
		return bd_error_set(error, -ENOMEM, "%s: no memory for %zu bytes", path, length);
	batchd__onnx__model_proto__pack(model, bytes);
	struct bd_output output;
	int result = bd_output_open(&output, path, force, error);
	if (result == 0 && fwrite(bytes, 1, length, output.stream) != length) {
		result = bd_error_set(error, -errno, "%s: cannot write: %s", path, strerror(errno));
		bd_output_abandon(&output);
	} else if (result == 0) {
		result = bd_output_commit(&output, error);
	}
	free(bytes);
	return result;
}

static int finish_model(struct export *export, const char *path, bool force, struct bd_error *error)
{
	char producer[] = "batchtrain", version[] = BD_VERSION, name[] = "model";
	Batchd__Onnx__ModelProto model = BATCHD__ONNX__MODEL_PROTO__INIT;
	Batchd__Onnx__GraphProto graph = BATCHD__ONNX__GRAPH_PROTO__INIT;
	Batchd__Onnx__OperatorSetIdProto opset = BATCHD__ONNX__OPERATOR_SET_ID_PROTO__INIT, *opsets = &opset;
	const struct bd_export_plan *plan = export->plan;
	Batchd__Onnx__ValueInfoProto *input = describe(export, "input", &plan->input);
	Batchd__Onnx__ValueInfoProto *output = describe(export, "output", &plan->layers[plan->layer_count - 1].shape);
	if (export->builder.failed)
		return bd_error_set(error, -ENOMEM, "%s: no memory for the export", path);
	opset.version = OPSET;
	graph.name = name;
	graph.node = export->builder.nodes;
	graph.n_node = export->builder.node_count;
	graph.initializer = export->builder.tensors;
	graph.n_initializer = export->builder.tensor_count;
	graph.input = &input;
	graph.n_input = 1;
	graph.output = &output;
	graph.n_output = 1;
	model.ir_version = IR_VERSION;
	model.producer_name = producer;
	model.producer_version = version;
	model.opset_import = &opsets;
	model.n_opset_import = 1;
	model.graph = &graph;
	return write_model(path, force, &model, error);
}

static void build(struct export *export)
{
	const struct bd_export_plan *plan = export->plan;
	export->values = bd_onnx_reserve(&export->builder, plan->layer_count, sizeof *export->values);
	add_transpose(export, bd_onnx_text(&export->builder, "input"), bd_onnx_text(&export->builder, "input/nchw"), true);
	for (size_t i = 0; !export->builder.failed && i < plan->layer_count; i++)
		add_layer(export, i);
	if (export->builder.failed)
		return;
	char *last = export->values[plan->layer_count - 1], *output = bd_onnx_text(&export->builder, "output");
	if (plan->layers[plan->layer_count - 1].shape.rank == 3)
		add_transpose(export, last, output, false);
	else
		bd_onnx_add_input(&export->builder, bd_onnx_add_node(&export->builder, "Identity", output), last);
}

int bd_onnx_export(const char *path, bool force, const struct bd_model *model, struct bd_parameter *const *parameters, size_t count,
                   struct bd_error *error)
{
	struct bd_export_plan plan;
	int result = bd_export_plan_init(&plan, model, parameters, count, error);
	if (result < 0)
		return result;
	struct export export = { .plan = &plan };
	build(&export);
	result = finish_model(&export, path, force, error);
	bd_onnx_builder_finish(&export.builder);
	bd_export_plan_finish(&plan);
	return result;
}
