/*
 * random_model.h - small random models of all layers, for tests that compare one way of running a graph with another.
 *
 * A model is a function of its number: padding before the first convolution, branches that meet in add and concatenate, both kinds of
 * pooling, strides, normalisation, dropout, one or two dense layers; the first layers may be frozen.
 */
#ifndef BD_TESTS_SUPPORT_RANDOM_MODEL_H
#define BD_TESTS_SUPPORT_RANDOM_MODEL_H

#include <stdint.h>

#include "trainer/model/graph.h"
#include "trainer/model/model.h"

/* The caller finishes the model with bd_model_finish. */
void bd_random_model(uint64_t number, struct bd_model *ret_model);

/* A graph of it with drawn weights; moving statistics differ from layer to layer. The caller destroys it. */
struct bd_graph *bd_random_graph(const struct bd_model *model, uint32_t batch, struct bd_graph_options options);

/* malloc'd floats between -1 and 1, a function of the seed. */
float *bd_random_floats(size_t count, uint64_t seed);

#endif
