#include "trainer/model/layer_options.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "common/base/arithmetic.h"
#include "common/base/units.h"
#include "trainer/model/keras_options.h"
#include "trainer/model/shape.h"

/* Sides, widths and counts of a layer: larger ones are slips of the keyboard, and products of three stay within 64 bits. */
#define LARGEST_SIDE 65536
#define LARGEST_WIDTH (1u << 20)
#define MAX_TYPE_OPTIONS 12
#define MAX_LAYER_INPUTS 64 /* of one add or concatenate */

struct option {
	const char *key;
	int (*read)(const struct bd_yaml_node *node, const char *key, struct bd_layer_config *config, struct bd_error *error);
};

struct layer_type {
	const char *type;
	const char *automatic; /* Keras' automatic name, where it is not the type */
	const char *required[2];
	struct option options[MAX_TYPE_OPTIONS];
};

/* ---- values ---- */

static int get_u32(const struct bd_yaml_node *node, const char *key, uint32_t maximum, uint32_t *ret_value, struct bd_error *error)
{
	uint64_t value;
	int r = bd_yaml_get_u64(node, key, 1, maximum, &value, error);
	if (r == 0)
		*ret_value = (uint32_t)value;
	return r;
}

/* 3 or [3, 5]: height, width */
static int get_pair(const struct bd_yaml_node *node, const char *key, uint32_t ret_pair[2], struct bd_error *error)
{
	if (bd_yaml_kind(node) == BD_YAML_SEQUENCE) {
		if (bd_yaml_count(node) != 2)
			return bd_yaml_error(node, error, "%s is one number or [height, width]", key);
		int r = get_u32(bd_yaml_item(node, 0), key, LARGEST_SIDE, &ret_pair[0], error);
		return r < 0 ? r : get_u32(bd_yaml_item(node, 1), key, LARGEST_SIDE, &ret_pair[1], error);
	}
	int r = get_u32(node, key, LARGEST_SIDE, &ret_pair[0], error);
	if (r == 0)
		ret_pair[1] = ret_pair[0];
	return r;
}

static int get_float(const struct bd_yaml_node *node, const char *key, double minimum, double maximum, float *ret_value,
                     struct bd_error *error)
{
	double value;
	int r = bd_yaml_get_double(node, key, minimum, maximum, &value, error);
	if (r == 0)
		*ret_value = (float)value;
	return r;
}

static int get_initializer(const struct bd_yaml_node *node, const char *key, enum bd_initializer *ret_initializer,
                           struct bd_error *error)
{
	int index;
	int r = bd_yaml_get_choice(node, key, bd_initializer_names, &index, error);
	if (r == 0)
		*ret_initializer = (enum bd_initializer)index;
	return r;
}

#define READER(name)                                                                                                               \
	static int name(const struct bd_yaml_node *node, const char *key, struct bd_layer_config *config, struct bd_error *error)

READER(read_units)
{
	return get_u32(node, key, LARGEST_WIDTH, &config->units, error);
}

READER(read_filters)
{
	return get_u32(node, key, LARGEST_WIDTH, &config->filters, error);
}

READER(read_depth_multiplier)
{
	return get_u32(node, key, LARGEST_WIDTH, &config->depth_multiplier, error);
}

READER(read_kernel_size)
{
	return get_pair(node, key, config->kernel_size, error);
}

READER(read_strides)
{
	return get_pair(node, key, config->strides, error);
}

READER(read_pool_size)
{
	return get_pair(node, key, config->pool_size, error);
}

READER(read_padding)
{
	int index;
	int r = bd_yaml_get_choice(node, key, bd_padding_names, &index, error);
	if (r == 0)
		config->padding = (enum bd_padding)index;
	return r;
}

READER(read_use_bias)
{
	return bd_yaml_get_bool(node, key, &config->use_bias, error);
}

READER(read_activation)
{
	int index;
	int r = bd_yaml_get_choice(node, key, bd_activation_names, &index, error);
	if (r == 0)
		config->activation = (enum bd_activation)index;
	return r;
}

READER(read_rate)
{
	int r = get_float(node, key, 0, 1, &config->rate, error);
	if (r == 0 && config->rate >= 1)
		return bd_yaml_error(node, error, "rate is the share that is dropped: from 0 to less than 1");
	return r;
}

READER(read_epsilon)
{
	return get_float(node, key, 0, 1, &config->epsilon, error);
}

READER(read_momentum)
{
	return get_float(node, key, 0, 1, &config->momentum, error);
}

READER(read_center)
{
	return bd_yaml_get_bool(node, key, &config->center, error);
}

READER(read_gamma)
{
	return bd_yaml_get_bool(node, key, &config->scale_gamma, error);
}

READER(read_axis)
{
	int64_t axis;
	int r = bd_yaml_get_i64(node, key, -1, BD_SHAPE_MAX_RANK - 1, &axis, error);
	if (r == 0)
		config->axis = (int32_t)axis;
	return r;
}

READER(read_scale)
{
	return bd_yaml_get_double(node, key, -1e12, 1e12, &config->scale, error);
}

READER(read_offset)
{
	return bd_yaml_get_double(node, key, -1e12, 1e12, &config->offset, error);
}

READER(read_max_value)
{
	return get_float(node, key, 0, 1e12, &config->max_value, error);
}

READER(read_kernel_initializer)
{
	return get_initializer(node, key, &config->kernel_initializer, error);
}

READER(read_bias_initializer)
{
	return get_initializer(node, key, &config->bias_initializer, error);
}

/* `l2` (Keras' 0.01) or {l2: 0.001} */
READER(read_regularizer)
{
	static const char *const keys[] = { "l2", NULL };
	if (bd_yaml_text(node)) {
		int index;
		int r = bd_yaml_get_choice(node, key, keys, &index, error);
		if (r == 0)
			config->l2 = 0.01f;
		return r;
	}
	int r = bd_yaml_check_keys(node, key, keys, error);
	if (r < 0)
		return r;
	const struct bd_yaml_node *value = bd_yaml_find(node, "l2");
	if (!value)
		return bd_yaml_error(node, error, "%s is l2 or {l2: FACTOR}", key);
	return get_float(value, "l2", 0, 1e6, &config->l2, error);
}

static int get_pad(const struct bd_yaml_node *node, const char *key, uint32_t ret_pad[2], struct bd_error *error)
{
	uint64_t value[2];
	bool is_pair = bd_yaml_kind(node) == BD_YAML_SEQUENCE;
	if (is_pair && bd_yaml_count(node) != 2)
		return bd_yaml_error(node, error, "%s is one number, [height, width] or [[top, bottom], [left, right]]", key);
	for (size_t i = 0; i < 2; i++) {
		int r = bd_yaml_get_u64(is_pair ? bd_yaml_item(node, i) : node, key, 0, LARGEST_SIDE, &value[i], error);
		if (r < 0)
			return r;
	}
	ret_pad[0] = (uint32_t)value[0];
	ret_pad[1] = (uint32_t)value[1];
	return 0;
}

/* 1 or [1, 2] (height, width) or [[0, 1], [0, 1]] (top, bottom; left, right) */
READER(read_zero_padding)
{
	if (bd_yaml_kind(node) != BD_YAML_SEQUENCE) {
		int r = get_pad(node, key, &config->pad[0], error);
		return r < 0 ? r : get_pad(node, key, &config->pad[2], error);
	}
	if (bd_yaml_count(node) != 2)
		return bd_yaml_error(node, error, "%s is one number, [height, width] or [[top, bottom], [left, right]]", key);
	int r = get_pad(bd_yaml_item(node, 0), key, &config->pad[0], error);
	return r < 0 ? r : get_pad(bd_yaml_item(node, 1), key, &config->pad[2], error);
}

READER(read_compatibility)
{
	int index;
	int r = bd_yaml_get_choice(node, key, bd_compatibility_names, &index, error);
	if (r == 0)
		config->compatibility = (enum bd_compatibility)index;
	return r;
}

/* ---- the table ---- */

#define KERNEL_OPTIONS                                                                                                             \
	{ "use_bias", read_use_bias }, { "activation", read_activation },                                                          \
	{                                                                                                                          \
		"bias_initializer", read_bias_initializer                                                                          \
	}
#define POOLING_OPTIONS                                                                                                            \
	{                                                                                                                          \
		{ "pool_size", read_pool_size }, { "strides", read_strides }, { "padding", read_padding },                         \
	}

static const struct layer_type layer_types[] = {
	{ "conv2d",
	  NULL,
	  { "filters", "kernel_size" },
	  { { "filters", read_filters },
	    { "kernel_size", read_kernel_size },
	    { "strides", read_strides },
	    { "padding", read_padding },
	    { "kernel_initializer", read_kernel_initializer },
	    { "kernel_regularizer", read_regularizer },
	    KERNEL_OPTIONS } },
	{ "depthwise_conv2d",
	  NULL,
	  { "kernel_size" },
	  { { "kernel_size", read_kernel_size },
	    { "strides", read_strides },
	    { "padding", read_padding },
	    { "depth_multiplier", read_depth_multiplier },
	    { "depthwise_initializer", read_kernel_initializer },
	    { "depthwise_regularizer", read_regularizer },
	    KERNEL_OPTIONS } },
	{ "dense",
	  NULL,
	  { "units" },
	  { { "units", read_units },
	    { "kernel_initializer", read_kernel_initializer },
	    { "kernel_regularizer", read_regularizer },
	    KERNEL_OPTIONS } },
	{ "max_pooling2d", NULL, { NULL }, POOLING_OPTIONS },
	{ "average_pooling2d", NULL, { NULL }, POOLING_OPTIONS },
	{ "global_average_pooling2d", NULL, { NULL }, { { NULL, NULL } } },
	{ "global_max_pooling2d", NULL, { NULL }, { { NULL, NULL } } },
	{ "batch_normalization",
	  NULL,
	  { NULL },
	  { { "axis", read_axis },
	    { "momentum", read_momentum },
	    { "epsilon", read_epsilon },
	    { "center", read_center },
	    { "scale", read_gamma },
	    { "compatibility", read_compatibility } } },
	{ "zero_padding2d", NULL, { NULL }, { { "padding", read_zero_padding } } },
	{ "concatenate", NULL, { NULL }, { { "axis", read_axis } } },
	{ "add", NULL, { NULL }, { { NULL, NULL } } },
	{ "activation", NULL, { "activation" }, { { "activation", read_activation } } },
	{ "relu", "re_lu", { NULL }, { { "max_value", read_max_value } } },
	{ "softmax", NULL, { NULL }, { { "axis", read_axis } } },
	{ "dropout", NULL, { "rate" }, { { "rate", read_rate } } },
	{ "flatten", NULL, { NULL }, { { NULL, NULL } } },
	{ "rescaling", NULL, { "scale" }, { { "scale", read_scale }, { "offset", read_offset } } },
};

static int find_type(const struct bd_yaml_node *node, const struct layer_type **ret_type, struct bd_error *error)
{
	const char *names[BD_COUNT_OF(layer_types) + 1] = { NULL };
	for (size_t i = 0; i < BD_COUNT_OF(layer_types); i++)
		names[i] = layer_types[i].type;
	const struct bd_yaml_node *type = bd_yaml_kind(node) == BD_YAML_MAPPING ? bd_yaml_find(node, "type") : node;
	if (!type || !bd_yaml_text(type))
		return bd_yaml_error(node, error, "a layer needs a type: {type: dense, units: 256}");
	if (strcmp(bd_yaml_text(type), "re_lu") == 0)
		type = NULL;
	int index = 0;
	for (size_t i = 0; !type && i < BD_COUNT_OF(layer_types); i++) {
		if (strcmp(layer_types[i].type, "relu") == 0)
			index = (int)i;
	}
	int r = type ? bd_yaml_get_choice(type, "type", names, &index, error) : 0;
	if (r == 0)
		*ret_type = &layer_types[index];
	return r;
}

/* ---- one layer ---- */

static int check_keys(const struct bd_yaml_node *node, const struct layer_type *type, struct bd_error *error)
{
	const char *keys[MAX_TYPE_OPTIONS + 5] = { "type", "name", "inputs", "trainable" };
	size_t count = 4;
	for (size_t i = 0; i < MAX_TYPE_OPTIONS && type->options[i].key; i++)
		keys[count++] = type->options[i].key;
	char what[64];
	snprintf(what, sizeof what, "layer %s", type->type);
	int r = bd_keras_check_keys(node, what, type->type, keys, error);
	for (size_t i = 0; r == 0 && i < 2 && type->required[i]; i++) {
		if (!bd_keras_find(node, type->required[i]))
			return bd_yaml_error(node, error, "layer %s needs %s", type->type, type->required[i]);
	}
	return r;
}

static int read_options(const struct bd_yaml_node *node, const struct layer_type *type, struct bd_layer_config *config,
                        struct bd_error *error)
{
	int r = check_keys(node, type, error);
	for (size_t i = 0; r == 0 && i < MAX_TYPE_OPTIONS && type->options[i].key; i++) {
		const struct bd_yaml_node *value = bd_keras_find(node, type->options[i].key);
		if (value)
			r = type->options[i].read(value, type->options[i].key, config, error);
	}
	const struct bd_yaml_node *trainable = bd_keras_find(node, "trainable");
	if (r == 0 && trainable)
		r = bd_yaml_get_bool(trainable, "trainable", &config->trainable, error);
	return r;
}

static bool name_is_taken(const struct bd_model *model, const char *name)
{
	for (size_t i = 0; i < model->layer_count; i++) {
		if (model->layers[i].name && strcmp(model->layers[i].name, name) == 0)
			return true;
	}
	return false;
}

static int get_name(const struct bd_yaml_node *node, const struct bd_model *model, const char **ret_name, struct bd_error *error)
{
	const struct bd_yaml_node *value = bd_yaml_kind(node) == BD_YAML_MAPPING ? bd_keras_find(node, "name") : NULL;
	const char *name = NULL;
	if (value) {
		int r = bd_yaml_get_text(value, "name", &name, error);
		if (r < 0)
			return r;
		if (!*name || strcmp(name, BD_MODEL_INPUT_NAME) == 0)
			return bd_yaml_error(value, error, "'%s' is no name for a layer", name);
		if (name_is_taken(model, name))
			return bd_yaml_error(value, error, "two layers are called '%s'", name);
	}
	*ret_name = name;
	return 0;
}

/* The names that a layer's inputs may have are those of the layers above, and `input`. */
static int add_input(const struct bd_yaml_node *node, const struct bd_model *model, struct bd_layer_config *config,
                     struct bd_error *error)
{
	const char *name;
	int r = bd_yaml_get_text(node, "inputs", &name, error);
	if (r < 0)
		return r;
	const char *names[BD_MODEL_MAX_LAYERS + 2];
	size_t count = 0;
	bool found = strcmp(name, BD_MODEL_INPUT_NAME) == 0;
	for (size_t i = 0; i + 1 < model->layer_count; i++) {
		names[count] = model->layers[i].name;
		found = found || strcmp(names[count], name) == 0;
		count++;
	}
	names[count++] = BD_MODEL_INPUT_NAME;
	names[count] = NULL;
	if (!found) {
		const char *near = bd_nearest_word(name, names);
		if (near)
			return bd_yaml_error(node, error, "no layer above is called '%s'; did you mean '%s'?", name, near);
		return bd_yaml_error(node, error, "no layer above is called '%s'", name);
	}
	return bd_layer_config_add_input(config, name) ? 0 : bd_error_set(error, -ENOMEM, "no memory for the model");
}

static int read_inputs(const struct bd_yaml_node *node, const struct bd_model *model, struct bd_layer_config *config,
                       struct bd_error *error)
{
	const struct bd_yaml_node *inputs = bd_keras_find(node, "inputs");
	if (!inputs)
		return 0;
	if (bd_yaml_kind(inputs) == BD_YAML_SCALAR)
		return add_input(inputs, model, config, error);
	if (bd_yaml_kind(inputs) != BD_YAML_SEQUENCE || bd_yaml_count(inputs) == 0 || bd_yaml_count(inputs) > MAX_LAYER_INPUTS)
		return bd_yaml_error(inputs, error, "inputs is a list of 1 to %d names of layers", MAX_LAYER_INPUTS);
	int r = 0;
	for (size_t i = 0; r == 0 && i < bd_yaml_count(inputs); i++)
		r = add_input(bd_yaml_item(inputs, i), model, config, error);
	return r;
}

/* TYPE, TYPE_1, … as Keras counts: among the layers that nobody named. */
static int name_automatically(struct bd_model *model, const struct layer_type *type, struct bd_layer_config *config,
                              struct bd_error *error)
{
	const char *stem = type->automatic ? type->automatic : type->type;
	char name[64];
	snprintf(name, sizeof name, "%s", stem);
	for (unsigned n = 1; name_is_taken(model, name); n++)
		snprintf(name, sizeof name, "%s_%u", stem, n);
	config->name = strdup(name);
	return config->name ? 0 : bd_error_set(error, -ENOMEM, "no memory for the model");
}

int bd_layer_options_parse(const struct bd_yaml_node *node, struct bd_model *model, struct bd_error *error)
{
	const struct layer_type *type = NULL;
	const char *name = NULL;
	int r = find_type(node, &type, error);
	if (r == 0)
		r = get_name(node, model, &name, error);
	if (r < 0)
		return r;
	if (model->layer_count >= BD_MODEL_MAX_LAYERS)
		return bd_yaml_error(node, error, "a model has at most %d layers", BD_MODEL_MAX_LAYERS);
	struct bd_layer_config *config = bd_model_append(model, type->type, name);
	if (!config)
		return bd_error_set(error, -ENOMEM, "no memory for the model");
	if (!name)
		r = name_automatically(model, type, config, error);
	if (r == 0 && bd_yaml_kind(node) == BD_YAML_MAPPING) {
		r = read_options(node, type, config, error);
		return r < 0 ? r : read_inputs(node, model, config, error);
	}
	if (r == 0 && type->required[0])
		return bd_yaml_error(node, error, "layer %s needs %s", type->type, type->required[0]);
	return r;
}
