/*
 * weight_file.h - a file of weights as a list of layers with their variables, whatever its layout.
 *
 *   Keras .h5, weights only      attribute layer_names at the root, weight_names at each layer's group (Keras 1 and 2, also 3's .h5)
 *   Keras .h5, whole model       the same below /model_weights
 *   Keras 3 .weights.h5          /layers/TYPE_N/vars/0, 1, ...; newer ones keep the layer's name as an attribute of vars
 *   .safetensors                 names LAYER/VARIABLE, as `export` and checkpoints have them
 *
 * The kind is told by the first bytes of the file, not by its name. Layers without variables are left out. HDF5 files are read in a
 * process of their own (isolated.h), because the library crashes on some damaged files.
 */
#ifndef BD_MODEL_WEIGHT_FILE_H
#define BD_MODEL_WEIGHT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

#include "trainer/model/weight_list.h"

struct bd_weight_file {
	char *path;
	struct bd_weight_list list;
	struct bd_safetensors *safetensors; /* NULL: HDF5 */
};

/* -ENOENT, -EBADMSG (neither format, or damaged), -ENOMEM. Close takes a zeroed struct. */
BD_MUST_CHECK int bd_weight_file_open(const char *path, struct bd_weight_file *ret_file, struct bd_error *error);
void bd_weight_file_close(struct bd_weight_file *file);

/* One variable of the list, and where its `count` numbers go. */
struct bd_weight_request {
	const struct bd_weight_variable *variable;
	float *values;
};
BD_MUST_CHECK int bd_weight_file_read(struct bd_weight_file *file, const struct bd_weight_request *requests, size_t count,
                                      struct bd_error *error);

#endif
