#include "tests/support/random_model.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "tests/unit/test.h"

struct maker {
	struct bd_model *model;
	struct bd_random random;
	uint32_t height, width, channels; /* of the last layer */
	size_t named;
};

static uint32_t draw(struct maker *maker, uint32_t limit)
{
	return (uint32_t)bd_random_below(&maker->random, limit);
}

static struct bd_layer_config *add(struct maker *maker, const char *type)
{
	char name[32];
	snprintf(name, sizeof name, "l%zu", maker->named++);
	struct bd_layer_config *config = bd_model_append(maker->model, type, name);
	assert_non_null(config);
	return config;
}

static const char *last_name(const struct maker *maker)
{
	return maker->model->layers[maker->model->layer_count - 1].name;
}

static uint32_t after(uint32_t size, uint32_t kernel, uint32_t stride, enum bd_padding padding)
{
	return padding == BD_PADDING_SAME ? (size + stride - 1) / stride : (size - kernel) / stride + 1;
}

static void slide(struct maker *maker, struct bd_layer_config *config, uint32_t kernel[2])
{
	uint32_t stride = 1 + draw(maker, 2);
	kernel[0] = kernel[1] = 1 + draw(maker, 3);
	config->padding = draw(maker, 2) && kernel[0] <= maker->height && kernel[1] <= maker->width ? BD_PADDING_VALID
	                                                                                            : BD_PADDING_SAME;
	config->strides[0] = config->strides[1] = stride;
	maker->height = after(maker->height, kernel[0], stride, config->padding);
	maker->width = after(maker->width, kernel[1], stride, config->padding);
}

static void add_padding(struct maker *maker)
{
	struct bd_layer_config *config = add(maker, "zero_padding2d");
	for (int i = 0; i < 4; i++)
		config->pad[i] = draw(maker, 4);
	maker->height += config->pad[0] + config->pad[1];
	maker->width += config->pad[2] + config->pad[3];
}

static void add_convolution(struct maker *maker)
{
	struct bd_layer_config *config = add(maker, "conv2d");
	config->filters = 1 + draw(maker, 20);
	config->use_bias = draw(maker, 2) != 0;
	config->activation = (enum bd_activation)draw(maker, BD_ACTIVATION_SOFTMAX);
	slide(maker, config, config->kernel_size);
	maker->channels = config->filters;
}

static void add_depthwise(struct maker *maker)
{
	struct bd_layer_config *config = add(maker, "depthwise_conv2d");
	config->depth_multiplier = 1;
	config->use_bias = draw(maker, 2) != 0;
	slide(maker, config, config->kernel_size);
}

/* On a picture: the last axis of each pixel. */
static void add_dense(struct maker *maker)
{
	struct bd_layer_config *config = add(maker, "dense");
	maker->channels = config->units = 1 + draw(maker, 12);
	config->activation = draw(maker, 2) ? BD_ACTIVATION_RELU : BD_ACTIVATION_LINEAR;
}

static void add_pooling(struct maker *maker)
{
	struct bd_layer_config *config = add(maker, draw(maker, 2) ? "max_pooling2d" : "average_pooling2d");
	slide(maker, config, config->pool_size);
}

static void add_rescaling(struct maker *maker)
{
	struct bd_layer_config *config = add(maker, "rescaling");
	config->scale = 0.5 + draw(maker, 3);
	config->offset = -0.25;
}

/* Two convolutions of the last layer's tensor that meet again. */
static void add_branches(struct maker *maker)
{
	char from[32];
	snprintf(from, sizeof from, "%s", last_name(maker));
	bool sums = draw(maker, 2) != 0;
	uint32_t filters[2] = { 1 + draw(maker, 12), 1 + draw(maker, 12) };
	char names[2][32];
	for (int i = 0; i < 2; i++) {
		struct bd_layer_config *config = add(maker, "conv2d");
		assert_true(bd_layer_config_add_input(config, from));
		config->filters = filters[sums ? 0 : i];
		config->kernel_size[0] = config->kernel_size[1] = i ? 3 : 1;
		config->padding = BD_PADDING_SAME;
		config->activation = BD_ACTIVATION_RELU;
		snprintf(names[i], sizeof names[i], "%s", config->name);
	}
	struct bd_layer_config *meet = add(maker, sums ? "add" : "concatenate");
	assert_true(bd_layer_config_add_input(meet, names[0]) && bd_layer_config_add_input(meet, names[1]));
	maker->channels = sums ? filters[0] : filters[0] + filters[1];
}

static void add_plain(struct maker *maker)
{
	static const char *const types[] = { "batch_normalization", "relu", "dropout", "activation" };
	struct bd_layer_config *config = add(maker, types[draw(maker, 4)]);
	config->rate = 0.25f;
	config->activation = BD_ACTIVATION_TANH;
	config->max_value = draw(maker, 2) ? 6 : 0;
}

static void add_end(struct maker *maker)
{
	static const char *const types[] = { "flatten", "global_average_pooling2d", "global_max_pooling2d" };
	add(maker, types[draw(maker, 3)]);
	if (draw(maker, 2)) {
		add(maker, "dense")->units = 1 + draw(maker, 30);
		add(maker, "relu");
	}
	add(maker, "dense")->units = 2 + draw(maker, 9);
	if (draw(maker, 2))
		add(maker, "softmax");
}

void bd_random_model(uint64_t number, struct bd_model *ret_model)
{
	static void (*const kinds[])(struct maker *) = { add_padding,   add_convolution, add_convolution,
		                                         add_depthwise, add_pooling,     add_rescaling,
		                                         add_branches,  add_plain,       add_dense };
	bd_model_init(ret_model);
	struct maker maker = { .model = ret_model, .random = bd_random_of(number, 41, 0) };
	maker.height = ret_model->height = 4 + draw(&maker, 9);
	maker.width = ret_model->width = 4 + draw(&maker, 9);
	maker.channels = ret_model->channels = 1 + draw(&maker, 4);
	if (draw(&maker, 2)) /* as Keras' ResNets begin */
		add_padding(&maker);
	add_convolution(&maker);
	for (uint32_t more = 1 + draw(&maker, 7); more > 0; more--)
		kinds[draw(&maker, sizeof kinds / sizeof *kinds)](&maker);
	size_t frozen = draw(&maker, 2) ? draw(&maker, (uint32_t)ret_model->layer_count + 1) : 0;
	for (size_t i = 0; i < frozen; i++)
		ret_model->layers[i].trainable = false;
	add_end(&maker);
}

struct bd_graph *bd_random_graph(const struct bd_model *model, uint32_t batch, struct bd_graph_options options)
{
	struct bd_graph *graph;
	struct bd_error error = { 0 };
	if (bd_graph_create(model, batch, &options, &graph, &error))
		fail_msg("%s", error.text);
	bd_graph_initialize(graph, 7);
	for (size_t p = 0; p < bd_graph_parameter_count(graph); p++) {
		struct bd_parameter *parameter = bd_graph_parameter(graph, p);
		for (size_t i = 0; parameter->is_statistic && i < parameter->count; i++)
			parameter->value[i] = 0.5f + 0.03f * (float)((i + p) % 11);
	}
	bd_graph_weights_changed(graph);
	return graph;
}

float *bd_random_floats(size_t count, uint64_t seed)
{
	float *floats = malloc(count * sizeof *floats);
	assert_non_null(floats);
	struct bd_random random = bd_random_of(seed, 1, 2);
	for (size_t i = 0; i < count; i++)
		floats[i] = (float)bd_random_uniform(&random, -1, 1);
	return floats;
}
