/*
 * pointwise.h - layers that are nothing but an activation: activation, relu, softmax.
 */
#ifndef BD_LAYERS_POINTWISE_H
#define BD_LAYERS_POINTWISE_H

#include "trainer/layers/layer.h"

void bd_pointwise_forward(const struct bd_layer *layer, const struct bd_pass *pass);
void bd_pointwise_backward(const struct bd_layer *layer, const struct bd_pass *pass);

#endif
