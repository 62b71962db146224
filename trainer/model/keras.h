/*
 * keras.h - a model as a Keras .h5 file: architecture and weights, for keras.models.load_model of Keras 3 and 2.
 *
 * The legacy HDF5 layout: the architecture as JSON in the root attribute model_config (a functional model), weights below /model_weights.
 * Keras allows no `/` in a layer's name: fire2/squeeze1x1 becomes fire2_squeeze1x1. There is no optimizer state and no training
 * configuration in it; checkpoints have those.
 */
#ifndef BD_MODEL_KERAS_H
#define BD_MODEL_KERAS_H

#include <stdbool.h>
#include <stddef.h>

#include <batchd/error.h>

#include "trainer/model/parameter.h"

/*
 * `parameters`: all of the model's. -EINVAL: a layer that cannot be exported, or two names that become one; -EEXIST unless force;
 * -ENOMEM, -EIO, -errno.
 */
BD_MUST_CHECK int bd_keras_export(const char *path, bool force, const struct bd_model *model,
                                  struct bd_parameter *const *parameters, size_t count, struct bd_error *error);

#endif
