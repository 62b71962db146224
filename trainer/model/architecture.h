/*
 * architecture.h - whether two models compute the same function of their weights.
 *
 * Why: a checkpoint knows its weights' names and shapes. A relu that became a tanh has the same ones, and going on with it would be
 * another model in silence; other units are seen, but by a number of 64 digits that names no layer.
 *
 * Compared: the input, and of each layer its name, type, inputs and every option that shapes, outputs or activations depend on. What only
 * training sees may change from run to run: trainable, dropout's rate, regularizers, initialisers, the momentum of moving averages.
 * Threads: no state.
 */
#ifndef BD_MODEL_ARCHITECTURE_H
#define BD_MODEL_ARCHITECTURE_H

#include <stdbool.h>
#include <stddef.h>

#include "trainer/model/model.h"

/* True: they differ; `text` says the first difference, "layer 'conv2d': activation is tanh, and was relu". */
bool bd_architecture_differs(const struct bd_model *was, const struct bd_model *is, char *text, size_t size);

#endif
