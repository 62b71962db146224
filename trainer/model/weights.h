/*
 * weights.h - puts a file's weights (weight_file.h) into the parameters of a model.
 *
 * Layers are matched by name. Where a file has no names (first versions of Keras 3), or none of its names is in the model and all
 * weights are asked for, by order and kind as Keras does. Inside a layer variables are matched by name (kernel, bias, gamma, ...), or by
 * order where the names are others (Keras 1's conv1_W). A file that does not fit names the layer, what the model expects and what the file has.
 */
#ifndef BD_MODEL_WEIGHTS_H
#define BD_MODEL_WEIGHTS_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

#include "trainer/model/parameter.h"

struct bd_weights_loaded {
	size_t layers; /* layers of the model that got their weights */
	size_t left_out; /* layers with weights in the file that the model does not have (a base's top, ...) */
};

/*
 * `all`: every layer of `parameters` must be in the file (a base); otherwise at least one (initial values for named layers).
 * Everything is checked before the first value changes. -EINVAL: does not fit; -ENOENT, -EBADMSG, -errno of the file.
 * After it bd_graph_weights_changed is due.
 */
BD_MUST_CHECK int bd_weights_load(const char *path, struct bd_parameter *const *parameters, size_t count, bool all,
                                  struct bd_weights_loaded *ret_loaded, struct bd_error *error);

/* FILE.safetensors of all parameters, atomically: names LAYER/VARIABLE, float32. -EEXIST unless force. */
BD_MUST_CHECK int bd_weights_save(const char *path, bool force, struct bd_parameter *const *parameters, size_t count,
                                  struct bd_error *error);

#endif
