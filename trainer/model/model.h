/*
 * model.h - a model as MODEL.yaml describes it, in plain structs.
 *
 * model_file fills these, the graph and the learning room read them. Names, options and defaults are Keras' own.
 * Strings are owned by the bd_model and freed by bd_model_finish.
 */
#ifndef BD_MODEL_MODEL_H
#define BD_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "trainer/model/compatibility.h"

/* The name under which `inputs:` may mean the model's input; no layer has it. */
#define BD_MODEL_INPUT_NAME "input"

/* More than the deepest of the usual nets; a list of names on the stack stays small. */
#define BD_MODEL_MAX_LAYERS 4096

enum bd_padding { BD_PADDING_VALID, BD_PADDING_SAME };

enum bd_activation {
	BD_ACTIVATION_LINEAR,
	BD_ACTIVATION_RELU,
	BD_ACTIVATION_RELU6,
	BD_ACTIVATION_SIGMOID,
	BD_ACTIVATION_TANH,
	BD_ACTIVATION_SOFTMAX,
};

enum bd_initializer {
	BD_INITIALIZER_GLOROT_UNIFORM,
	BD_INITIALIZER_GLOROT_NORMAL,
	BD_INITIALIZER_HE_UNIFORM,
	BD_INITIALIZER_HE_NORMAL,
	BD_INITIALIZER_LECUN_UNIFORM,
	BD_INITIALIZER_LECUN_NORMAL,
	BD_INITIALIZER_ZEROS,
	BD_INITIALIZER_ONES,
};

/* The words of the enums above in their order, NULL-terminated (for bd_yaml_get_choice and summaries). */
extern const char *const bd_padding_names[];
extern const char *const bd_activation_names[];
extern const char *const bd_initializer_names[];
extern const char *const bd_compatibility_names[];

/* One layer with the options of all types; a type reads the ones that Keras gives it. */
struct bd_layer_config {
	char *name; /* unique in the model; NULL: bd_model_name_layers gives TYPE, TYPE_1, … */
	char *type; /* conv2d, depthwise_conv2d, dense, … : trainer/layers/table.c */
	char **inputs; /* names; none: the layer before, or the model's input for the first */
	size_t input_count;
	bool trainable;
	uint32_t units; /* dense */
	uint32_t filters; /* conv2d */
	uint32_t kernel_size[2]; /* height, width */
	uint32_t strides[2]; /* 0: 1 for convolutions, pool_size for pooling */
	uint32_t pool_size[2];
	enum bd_padding padding;
	bool use_bias;
	enum bd_activation activation; /* of conv2d, depthwise_conv2d, dense, activation */
	float rate; /* dropout: the share that is dropped */
	float epsilon, momentum; /* batch_normalization */
	bool center, scale_gamma; /* batch_normalization: has beta, has gamma (Keras: center, scale) */
	int32_t axis; /* concatenate, softmax, batch_normalization: only the last axis */
	double scale, offset; /* rescaling: x * scale + offset */
	uint32_t depth_multiplier;
	float max_value; /* relu: 0 = none, 6 = relu6 */
	uint32_t pad[4]; /* zero_padding2d: top, bottom, left, right */
	enum bd_initializer kernel_initializer, bias_initializer;
	float l2; /* kernel_regularizer l2 */
	enum bd_compatibility compatibility;
};

/* Keras' defaults for a layer of this type; `type` is copied. Returns false when memory is out. */
bool bd_layer_config_init(struct bd_layer_config *config, const char *type);
void bd_layer_config_finish(struct bd_layer_config *config);

struct bd_base_config {
	char *name; /* vgg16 | squeezenet1_1 | mobilenet; NULL: none */
	char *weights; /* a path; NULL: random */
	bool trainable; /* all of it, or … */
	char *trainable_from; /* … from this layer on; NULL: see `trainable` */
	float alpha; /* mobilenet: width */
	enum bd_compatibility compatibility;
};

struct bd_model {
	uint32_t height, width, channels; /* of the input picture */
	struct bd_base_config base;
	struct bd_layer_config *layers; /* the base's layers first, then the model's own */
	size_t layer_count;
	size_t base_layer_count;
	char *unused; /* name of a layer that the file has and the output does not depend on: it is not among `layers`; NULL: none */
	char *weights; /* initial values for named layers; NULL: none */
	char **classes; /* names, of the dataset */
	size_t class_count;
	char *path; /* of the file, for messages; may be NULL */
};

/* An empty model with Keras' defaults. */
void bd_model_init(struct bd_model *model);

/* Takes NULL, zeroed and half-built. */
void bd_model_finish(struct bd_model *model);

/*
 * Append a copy of a layer's defaults and return it for filling; NULL when memory is out. The pointer is
 * valid until the next append. `name` may be NULL.
 */
struct bd_layer_config *bd_model_append(struct bd_model *model, const char *type, const char *name);

/* Add an input by name. False when memory is out. */
bool bd_layer_config_add_input(struct bd_layer_config *config, const char *name);

/* Which layers the output, that is the last layer's, depends on: ret_used[layer_count]. */
void bd_model_mark_used(const struct bd_model *model, bool *ret_used);

/* Names the unnamed layers TYPE, TYPE_1, … as Keras does. False when memory is out. */
bool bd_model_name_layers(struct bd_model *model);

#endif
