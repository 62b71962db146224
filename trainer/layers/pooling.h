/*
 * pooling.h - what maximum and average pooling share: geometry, and rows of pictures as tasks.
 */
#ifndef BD_LAYERS_POOLING_H
#define BD_LAYERS_POOLING_H

#include "trainer/layers/layer.h"

typedef void (*bd_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out);
typedef void (*bd_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
                                 float *in_gradient);

int bd_pooling_configure(struct bd_layer *layer, struct bd_error *error);
int bd_pooling_plan(struct bd_layer *layer, struct bd_error *error);
void bd_pooling_forward(const struct bd_layer *layer, const struct bd_pass *pass, bd_pool_row row);
/* `gradient` fills in_gradient of one picture. */
void bd_pooling_backward(const struct bd_layer *layer, const struct bd_pass *pass, bd_pool_gradient gradient);
void bd_pooling_finish(struct bd_layer *layer);

#endif
