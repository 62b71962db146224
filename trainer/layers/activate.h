/*
 * activate.h - activations as the last part of a layer, and their gradients from the output alone.
 */
#ifndef BD_LAYERS_ACTIVATE_H
#define BD_LAYERS_ACTIVATE_H

#include "trainer/layers/layer.h"

/* The part that a kernel does while it writes; NONE for those that need a pass of their own. */
enum bd_clamp bd_activation_clamp(enum bd_activation activation);

/* In place over (pixels, channels), pitch floats apart; nothing for those that are clamps. */
void bd_activate(enum bd_activation activation, const struct bd_run *run, size_t pixels, size_t channels, size_t pitch,
                 float *values);

/* gradient *= activation'(…), from the output y; packed. */
void bd_activate_gradient(enum bd_activation activation, const struct bd_kernels *kernels, const struct bd_run *run, size_t pixels,
                          size_t channels, const float *y, float *gradient);

/*
 * The same for the activation of `layer`, and the gradient of its bias (parameter 1) as the sum of what is left; workspace:
 * bd_sums_floats(channels).
 */
void bd_activate_bias_gradient(const struct bd_layer *layer, const struct bd_run *run, size_t pixels, const float *y,
                               float *gradient, float *workspace);

#endif
