/*
 * weight_file.h - a file of weights as a list of layers with their variables, whatever its layout.
 *
 *   Keras .h5, weights only      attribute layer_names at the root, weight_names at each layer's group (Keras 1 and 2, also 3's .h5)
 *   Keras .h5, whole model       the same below /model_weights
 *   Keras 3 .weights.h5          /layers/TYPE_N/vars/0, 1, ...; newer ones keep the layer's name as an attribute of vars
 *   .safetensors                 names LAYER/VARIABLE, as `export` and checkpoints have them
 *
 * The kind is told by the first bytes of the file, not by its name. Layers without variables are left out.
 */
#ifndef BD_MODEL_WEIGHT_FILE_H
#define BD_MODEL_WEIGHT_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <batchd/error.h>

/* Variables of one layer: Keras' largest layers have a dozen. */
#define BD_WEIGHT_FILE_MAX_VARIABLES 64
#define BD_WEIGHT_FILE_MAX_RANK 8

struct bd_weight_variable {
	char *path; /* in the file */
	char *name; /* "kernel" where the file says so; NULL: only its place in the layer is known */
	int rank;
	uint64_t shape[BD_WEIGHT_FILE_MAX_RANK];
	uint64_t count;
};

struct bd_weight_layer {
	char *name; /* the layer's own name; NULL: not in the file (first versions of Keras 3) */
	char *type; /* Keras 3: "conv2d" of /layers/conv2d_1; NULL in other layouts */
	struct bd_weight_variable *variables;
	size_t variable_count;
};

struct bd_weight_file {
	char *path;
	struct bd_weight_layer *layers; /* in the order of the model; Keras 3: by type and number */
	size_t layer_count;
	struct bd_hdf5 *hdf5; /* one of the two */
	struct bd_safetensors *safetensors;
};

/* -ENOENT, -EBADMSG (neither format, or damaged), -ENOMEM. Close takes a zeroed struct. */
BD_MUST_CHECK int bd_weight_file_open(const char *path, struct bd_weight_file *ret_file, struct bd_error *error);
void bd_weight_file_close(struct bd_weight_file *file);

/* All `count` values of a variable. */
BD_MUST_CHECK int bd_weight_file_read(struct bd_weight_file *file, const struct bd_weight_variable *variable, float *ret_values,
                                      struct bd_error *error);

#endif
