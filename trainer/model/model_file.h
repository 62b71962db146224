/*
 * model_file.h - MODEL.yaml: input, base, layers, loss, optimizer, metrics.
 *
 *   input: {height: 150, width: 150, channels: 3}
 *   base: {name: vgg16, weights: FILE | random, trainable: true | false | {from: LAYER}, alpha: 1.0, compatibility: keras3}
 *   weights: FILE                     initial values for named layers
 *   layers: [{type: dense, units: 256, activation: relu, name: …, inputs: […], trainable: …}, …]
 *   loss, optimizer, metrics          training_config.h
 *
 * Options and defaults are Keras' (layer_options.h); files are relative to the model file. What is wrong is said with the line and, for
 * words, the nearest right one. Shapes are checked when the graph is built.
 */
#ifndef BD_MODEL_MODEL_FILE_H
#define BD_MODEL_MODEL_FILE_H

#include <batchd/error.h>

#include "trainer/model/model.h"
#include "trainer/model/training_config.h"

struct bd_model_file {
	struct bd_model model;
	struct bd_training_config training;
};

/* Returns 0 (bd_model_file_finish is owed then), -EINVAL, -ENOMEM, or what reading the file gives. */
BD_MUST_CHECK int bd_model_file_load(const char *path, struct bd_model_file *ret_file, struct bd_error *error);

/* The same from text; `name` stands in errors, `folder` is what files are relative to. */
BD_MUST_CHECK int bd_model_file_parse(const char *name, const char *folder, const char *text, size_t length,
                                      struct bd_model_file *ret_file, struct bd_error *error);

/* Takes NULL and zeroed. */
void bd_model_file_finish(struct bd_model_file *file);

#endif
