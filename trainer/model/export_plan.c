#include "trainer/model/export_plan.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/arithmetic.h"

static const char *const kinds[] = { "conv2d",
	                             "depthwise_conv2d",
	                             "dense",
	                             "max_pooling2d",
	                             "average_pooling2d",
	                             "global_average_pooling2d",
	                             "global_max_pooling2d",
	                             "batch_normalization",
	                             "zero_padding2d",
	                             "concatenate",
	                             "add",
	                             "activation",
	                             "relu",
	                             "softmax",
	                             "dropout",
	                             "flatten",
	                             "rescaling" };

static int fail(const struct bd_export_layer *layer, struct bd_error *error, const char *why)
{
	return bd_error_set(error, -EINVAL, "layer '%s' cannot be exported: %s", layer->config->name, why);
}

const struct bd_shape *bd_export_input_shape(const struct bd_export_plan *plan, const struct bd_export_layer *layer, size_t index)
{
	return layer->inputs[index] == BD_EXPORT_INPUT ? &plan->input : &plan->layers[layer->inputs[index]].shape;
}

const struct bd_parameter *bd_export_parameter(const struct bd_export_layer *layer, const char *variable)
{
	for (size_t i = 0; layer->parameters[i]; i++) {
		const char *slash = strrchr(layer->parameters[i]->name, '/');
		if (slash && !strcmp(slash + 1, variable))
			return layer->parameters[i];
	}
	return NULL;
}

/* ---- wiring ---- */

static int find_kind(struct bd_export_layer *layer, struct bd_error *error)
{
	for (size_t i = 0; i < BD_COUNT_OF(kinds); i++) {
		if (!strcmp(kinds[i], layer->config->type)) {
			layer->kind = (enum bd_export_kind)i;
			return 0;
		}
	}
	return bd_error_set(error, -EINVAL, "layer '%s' cannot be exported: its type is %s", layer->config->name,
	                    layer->config->type);
}

static int wire(struct bd_export_plan *plan, size_t number, struct bd_error *error)
{
	struct bd_export_layer *layer = &plan->layers[number];
	const struct bd_layer_config *config = layer->config;
	layer->input_count = config->input_count ? config->input_count : 1;
	layer->inputs = calloc(layer->input_count, sizeof *layer->inputs);
	if (!layer->inputs)
		return bd_error_set(error, -ENOMEM, "no memory for the export");
	if (config->input_count == 0)
		layer->inputs[0] = number ? number - 1 : BD_EXPORT_INPUT;
	for (size_t i = 0; i < config->input_count; i++) {
		size_t k = 0;
		if (strcmp(config->inputs[i], BD_MODEL_INPUT_NAME) == 0) {
			layer->inputs[i] = BD_EXPORT_INPUT;
			continue;
		}
		while (k < number && strcmp(plan->layers[k].config->name, config->inputs[i]) != 0)
			k++;
		if (k == number)
			return bd_error_set(error, -EINVAL, "layer '%s': no layer above is called '%s'", config->name,
			                    config->inputs[i]);
		layer->inputs[i] = k;
	}
	return 0;
}

/* ---- shapes ---- */

static void measure_side(struct bd_export_layer *layer, int side, int64_t size)
{
	int64_t window = layer->window[side], stride = layer->strides[side], total = 0;
	if (layer->config->padding == BD_PADDING_SAME) {
		total = ((size + stride - 1) / stride - 1) * stride + window - size;
		total = total > 0 ? total : 0;
	}
	layer->pads[side] = (uint32_t)(total / 2);
	layer->pads[side + 2] = (uint32_t)(total - total / 2);
	layer->shape.dims[side] = (size + total - window) / stride + (size + total < window ? -1 : 1);
}

static int measure_window(struct bd_export_layer *layer, const struct bd_shape *input, const uint32_t *window,
                          const uint32_t *fallback, int64_t channels, struct bd_error *error)
{
	if (input->rank != 3)
		return fail(layer, error, "its input is no picture");
	layer->shape = bd_shape_picture(1, 1, channels);
	for (int side = 0; side < 2; side++) {
		layer->window[side] = window[side];
		layer->strides[side] = layer->config->strides[side] ? layer->config->strides[side] : fallback ? fallback[side] : 1;
		measure_side(layer, side, input->dims[side]);
	}
	return 0;
}

static int measure_padding(struct bd_export_layer *layer, const struct bd_shape *input, struct bd_error *error)
{
	const uint32_t *pad = layer->config->pad;
	if (input->rank != 3)
		return fail(layer, error, "its input is no picture");
	const uint32_t pads[4] = { pad[0], pad[2], pad[1], pad[3] };
	memcpy(layer->pads, pads, sizeof pads);
	layer->shape.dims[0] += (int64_t)pad[0] + pad[1];
	layer->shape.dims[1] += (int64_t)pad[2] + pad[3];
	return 0;
}

static int measure_concatenation(const struct bd_export_plan *plan, struct bd_export_layer *layer, struct bd_error *error)
{
	int last = layer->shape.rank - 1;
	if (layer->config->axis != -1 && layer->config->axis != last + 1)
		return fail(layer, error, "it joins along another axis than the last");
	for (size_t i = 1; i < layer->input_count; i++)
		layer->shape.dims[last] += bd_shape_channels(bd_export_input_shape(plan, layer, i));
	return 0;
}

static int measure(const struct bd_export_plan *plan, struct bd_export_layer *layer, struct bd_error *error)
{
	const struct bd_layer_config *config = layer->config;
	const struct bd_shape *input = bd_export_input_shape(plan, layer, 0);
	layer->shape = *input;
	switch (layer->kind) {
	case BD_EXPORT_CONV2D:
		return measure_window(layer, input, config->kernel_size, NULL, config->filters, error);
	case BD_EXPORT_DEPTHWISE_CONV2D:
		return measure_window(layer, input, config->kernel_size, NULL, input->dims[2] * config->depth_multiplier, error);
	case BD_EXPORT_MAX_POOLING2D:
	case BD_EXPORT_AVERAGE_POOLING2D:
		return measure_window(layer, input, config->pool_size, config->pool_size, bd_shape_channels(input), error);
	case BD_EXPORT_DENSE:
		layer->shape.dims[input->rank - 1] = config->units;
		return 0;
	case BD_EXPORT_GLOBAL_AVERAGE_POOLING2D:
	case BD_EXPORT_GLOBAL_MAX_POOLING2D:
	case BD_EXPORT_FLATTEN:
		layer->shape = bd_shape_vector(layer->kind == BD_EXPORT_FLATTEN ? bd_shape_count(input) : bd_shape_channels(input));
		return 0;
	case BD_EXPORT_ZERO_PADDING2D:
		return measure_padding(layer, input, error);
	case BD_EXPORT_CONCATENATE:
		return measure_concatenation(plan, layer, error);
	case BD_EXPORT_BATCH_NORMALIZATION:
	case BD_EXPORT_ADD:
	case BD_EXPORT_ACTIVATION:
	case BD_EXPORT_RELU:
	case BD_EXPORT_SOFTMAX:
	case BD_EXPORT_DROPOUT:
	case BD_EXPORT_RESCALING:
		return 0;
	}
	return 0;
}

/* ---- parameters ---- */

static int take_parameters(struct bd_export_layer *layer, struct bd_parameter *const *parameters, size_t count,
                           struct bd_error *error)
{
	const struct bd_layer_config *config = layer->config;
	const char *wanted[BD_EXPORT_MAX_PARAMETERS + 1] = { NULL };
	size_t wanted_count = 0, length = strlen(config->name), taken = 0;
	if (layer->kind == BD_EXPORT_BATCH_NORMALIZATION) {
		if (config->scale_gamma)
			wanted[wanted_count++] = "gamma";
		if (config->center)
			wanted[wanted_count++] = "beta";
		wanted[wanted_count++] = "moving_mean";
		wanted[wanted_count++] = "moving_variance";
	} else if (layer->kind <= BD_EXPORT_DENSE) {
		wanted[wanted_count++] = layer->kind == BD_EXPORT_DEPTHWISE_CONV2D ? "depthwise_kernel" : "kernel";
		if (config->use_bias)
			wanted[wanted_count++] = "bias";
	}
	for (size_t w = 0; w < wanted_count; w++) {
		for (size_t i = 0; i < count && taken == w; i++) {
			const char *name = parameters[i]->name;
			if (!strncmp(name, config->name, length) && name[length] == '/' && !strcmp(name + length + 1, wanted[w]))
				layer->parameters[taken++] = parameters[i];
		}
		if (taken == w)
			return bd_error_set(error, -EINVAL, "layer '%s' cannot be exported: it has no %s", config->name, wanted[w]);
	}
	return 0;
}

/* ---- order ---- */

/* Marks what leads to the output: depth 0 is the last layer; SIZE_MAX is never reached. */
static void measure_depths(struct bd_export_plan *plan)
{
	for (size_t i = 0; i < plan->layer_count; i++)
		plan->layers[i].depth = i + 1 == plan->layer_count ? 0 : SIZE_MAX;
	for (size_t i = plan->layer_count; i-- > 0;) {
		const struct bd_export_layer *layer = &plan->layers[i];
		for (size_t k = 0; layer->depth != SIZE_MAX && k < layer->input_count; k++) {
			struct bd_export_layer *input = layer->inputs[k] == BD_EXPORT_INPUT ? NULL
			                                                                    : &plan->layers[layer->inputs[k]];
			if (input && (input->depth == SIZE_MAX || input->depth < layer->depth + 1))
				input->depth = layer->depth + 1;
		}
	}
}

/* Numbers the layers as a walk from the output meets them, inputs in their order. */
static bool number_visits(struct bd_export_plan *plan)
{
	size_t room = 1, top = 0, next = 0;
	for (size_t i = 0; i < plan->layer_count; i++) {
		room += plan->layers[i].input_count;
		plan->layers[i].visit = SIZE_MAX;
	}
	size_t *stack = calloc(room, sizeof *stack);
	if (!stack)
		return false;
	stack[top++] = plan->layer_count - 1;
	while (top) {
		struct bd_export_layer *layer = &plan->layers[stack[--top]];
		if (layer->visit != SIZE_MAX)
			continue;
		layer->visit = next++;
		for (size_t k = layer->input_count; k-- > 0;) {
			if (layer->inputs[k] != BD_EXPORT_INPUT)
				stack[top++] = layer->inputs[k];
		}
	}
	free(stack);
	return true;
}

static int by_keras(const void *a, const void *b, void *context)
{
	const struct bd_export_plan *plan = context;
	const struct bd_export_layer *x = &plan->layers[*(const size_t *)a], *y = &plan->layers[*(const size_t *)b];
	if (x->depth != y->depth)
		return x->depth > y->depth ? -1 : 1;
	return x->visit < y->visit ? -1 : x->visit > y->visit;
}

/* Layers without a way to the output go. */
static bool drop_unreached(struct bd_export_plan *plan)
{
	size_t *numbers = calloc(plan->layer_count, sizeof *numbers), kept = 0;
	if (!numbers)
		return false;
	for (size_t i = 0; i < plan->layer_count; i++) {
		if (plan->layers[i].depth == SIZE_MAX) {
			free(plan->layers[i].inputs);
			continue;
		}
		numbers[i] = kept;
		for (size_t k = 0; k < plan->layers[i].input_count; k++) {
			size_t *input = &plan->layers[i].inputs[k];
			*input = *input == BD_EXPORT_INPUT ? *input : numbers[*input];
		}
		plan->layers[kept++] = plan->layers[i];
	}
	plan->layer_count = kept;
	free(numbers);
	return true;
}

static int sort(struct bd_export_plan *plan, struct bd_error *error)
{
	measure_depths(plan);
	plan->keras_order = calloc(plan->layer_count, sizeof *plan->keras_order);
	if (!plan->keras_order || !number_visits(plan) || !drop_unreached(plan))
		return bd_error_set(error, -ENOMEM, "no memory for the export");
	for (size_t i = 0; i < plan->layer_count; i++)
		plan->keras_order[i] = i;
	qsort_r(plan->keras_order, plan->layer_count, sizeof *plan->keras_order, by_keras, plan);
	return 0;
}

int bd_export_plan_init(struct bd_export_plan *ret_plan, const struct bd_model *model, struct bd_parameter *const *parameters,
                        size_t count, struct bd_error *error)
{
	struct bd_export_plan plan = { .input = bd_shape_picture(model->height, model->width, model->channels) };
	if (model->layer_count == 0)
		return bd_error_set(error, -EINVAL, "a model without layers cannot be exported");
	plan.layers = calloc(model->layer_count, sizeof *plan.layers);
	int result = plan.layers ? 0 : bd_error_set(error, -ENOMEM, "no memory for the export");
	for (size_t i = 0; result == 0 && i < model->layer_count; i++) {
		struct bd_export_layer *layer = &plan.layers[plan.layer_count++];
		layer->config = &model->layers[i];
		result = find_kind(layer, error);
		if (result == 0)
			result = wire(&plan, i, error);
		if (result == 0)
			result = measure(&plan, layer, error);
		if (result == 0 && bd_shape_count(&layer->shape) < 0)
			result = fail(layer, error, "its output would be empty or too large");
		if (result == 0)
			result = take_parameters(layer, parameters, count, error);
	}
	if (result == 0)
		result = sort(&plan, error);
	if (result < 0)
		bd_export_plan_finish(&plan);
	else
		*ret_plan = plan;
	return result;
}

void bd_export_plan_finish(struct bd_export_plan *plan)
{
	for (size_t i = 0; plan->layers && i < plan->layer_count; i++)
		free(plan->layers[i].inputs);
	free(plan->layers);
	free(plan->keras_order);
	*plan = (struct bd_export_plan){ 0 };
}
