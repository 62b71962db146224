/*
 * fold.h - a frozen batch normalisation as a scale and a shift for each channel.
 */
#ifndef BD_LAYERS_FOLD_H
#define BD_LAYERS_FOLD_H

#include "trainer/layers/layer.h"

/* y = x * scale + shift, from the moving statistics of a batch_normalization layer. */
void bd_fold_statistics(const struct bd_layer *norm, float *ret_scale, float *ret_shift);

/*
 * Kernel and bias of `layer` with its norm (if any) folded in; folded (kernel's count) and shift (channels) are
 * written only when there is a norm. scale holds channels floats. Output channels are the kernel's last `channels` values.
 */
void bd_fold_kernel(const struct bd_layer *layer, size_t channels, float *scale, float *folded, float *shift);

#endif
