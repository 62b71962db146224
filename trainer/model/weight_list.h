/*
 * weight_list.h - the layers and variables that a file of weights has, without the numbers.
 *
 * It also travels through a pipe or file: HDF5 files are read in a process of their own (isolated.h), which hands back such a list.
 */
#ifndef BD_MODEL_WEIGHT_LIST_H
#define BD_MODEL_WEIGHT_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define BD_WEIGHT_LIST_MAX_LAYERS 10000
/* Variables of one layer: Keras' largest layers have a dozen. */
#define BD_WEIGHT_LIST_MAX_VARIABLES 64
#define BD_WEIGHT_LIST_MAX_RANK 8

struct bd_weight_variable {
	char *path; /* in the file */
	char *name; /* "kernel" where the file says so; NULL: only its place in the layer is known */
	int rank;
	uint64_t shape[BD_WEIGHT_LIST_MAX_RANK];
	uint64_t count;
};

struct bd_weight_layer {
	char *name; /* the layer's own name; NULL: not in the file (first versions of Keras 3) */
	char *type; /* Keras 3: "conv2d" of /layers/conv2d_1; NULL in other layouts */
	struct bd_weight_variable *variables;
	size_t variable_count;
};

struct bd_weight_list {
	struct bd_weight_layer *layers; /* in the order of the model; Keras 3: by type and number */
	size_t layer_count;
};

/* Appends; name may be NULL. NULL: no memory, or past the limits. The pointer is valid until the next call. */
struct bd_weight_layer *bd_weight_list_add_layer(struct bd_weight_list *list, const char *name);
struct bd_weight_variable *bd_weight_list_add_variable(struct bd_weight_layer *layer, const char *path, const char *name);

/* Takes a zeroed list. */
void bd_weight_list_finish(struct bd_weight_list *list);

/* False: the stream failed; read also where the bytes are no list (every count is checked). A list that was begun is to be finished. */
bool bd_weight_list_write(const struct bd_weight_list *list, FILE *stream);
bool bd_weight_list_read(struct bd_weight_list *list, FILE *stream);

#endif
