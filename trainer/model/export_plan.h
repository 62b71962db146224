/*
 * export_plan.h - a model's layers as an export writes them: with their inputs as numbers, shapes, parameters, and in Keras' order.
 *
 * Layers from which the output cannot be reached are left out. Keras numbers the layers of a functional model by their distance from the
 * output and matches weights by that order (keras/src/ops/function.py, map_graph): the order here is the same.
 */
#ifndef BD_MODEL_EXPORT_PLAN_H
#define BD_MODEL_EXPORT_PLAN_H

#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "trainer/model/parameter.h"
#include "trainer/model/shape.h"

#define BD_EXPORT_INPUT SIZE_MAX /* as the number of an input: the model's own */
#define BD_EXPORT_MAX_PARAMETERS 4 /* batch normalisation */

/* Types by what they do. */
enum bd_export_kind {
	BD_EXPORT_CONV2D,
	BD_EXPORT_DEPTHWISE_CONV2D,
	BD_EXPORT_DENSE,
	BD_EXPORT_MAX_POOLING2D,
	BD_EXPORT_AVERAGE_POOLING2D,
	BD_EXPORT_GLOBAL_AVERAGE_POOLING2D,
	BD_EXPORT_GLOBAL_MAX_POOLING2D,
	BD_EXPORT_BATCH_NORMALIZATION,
	BD_EXPORT_ZERO_PADDING2D,
	BD_EXPORT_CONCATENATE,
	BD_EXPORT_ADD,
	BD_EXPORT_ACTIVATION,
	BD_EXPORT_RELU,
	BD_EXPORT_SOFTMAX,
	BD_EXPORT_DROPOUT,
	BD_EXPORT_FLATTEN,
	BD_EXPORT_RESCALING,
};

struct bd_export_layer {
	const struct bd_layer_config *config;
	enum bd_export_kind kind;
	size_t *inputs; /* numbers of bd_export_plan.layers, or BD_EXPORT_INPUT */
	size_t input_count;
	struct bd_shape shape; /* of the output */
	uint32_t window[2], strides[2]; /* kernel or pool, defaults filled in */
	uint32_t pads[4]; /* top, left, bottom, right: explicit, also for `same` */
	/* kernel, bias | gamma, beta, moving_mean, moving_variance: those it has, in Keras' order; NULL behind the last */
	const struct bd_parameter *parameters[BD_EXPORT_MAX_PARAMETERS + 1];
	size_t depth, visit; /* Keras' order: by falling depth, then by rising visit */
};

struct bd_export_plan {
	struct bd_shape input;
	struct bd_export_layer *layers; /* every layer stands behind its inputs */
	size_t layer_count; /* the last is the output */
	size_t *keras_order; /* (layer_count) */
};

/* The model and parameters are borrowed. -EINVAL: a type, shape or missing parameter that cannot be exported, by name; -ENOMEM. */
BD_MUST_CHECK int bd_export_plan_init(struct bd_export_plan *ret_plan, const struct bd_model *model,
                                      struct bd_parameter *const *parameters, size_t count, struct bd_error *error);
void bd_export_plan_finish(struct bd_export_plan *plan);

/* The parameter LAYER/variable of a layer; NULL: it has none. */
const struct bd_parameter *bd_export_parameter(const struct bd_export_layer *layer, const char *variable);

/* The shape that input `index` of a layer has. */
const struct bd_shape *bd_export_input_shape(const struct bd_export_plan *plan, const struct bd_export_layer *layer, size_t index);

#endif
