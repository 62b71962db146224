/*
 * direct.h - convolutions with small kernels, without copying windows. For trainer/kernels only.
 *
 * In NHWC the values of one row of a window lie side by side, and the windows of neighbouring pixels stride * channels apart: a matrix
 * whose rows overlap. So an output row is a product with one segment for each row of the window. Only where there is padding a
 * strip of the picture is copied with its border.
 */
#ifndef BD_KERNELS_DIRECT_H
#define BD_KERNELS_DIRECT_H

#include "trainer/kernels/convolution.h"

/* Kernels up to 256 KiB: they are read anew for each output row, so they must stay in the second-level cache. */
#define BD_DIRECT_KERNEL_FLOATS 65536

size_t bd_direct_scratch(const struct bd_conv *conv);
void bd_direct_forward(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in, const float *bias,
                       enum bd_clamp clamp, float *out);

size_t bd_direct_gradient_floats(const struct bd_conv *conv, size_t pictures);
void bd_direct_kernel_gradient(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in,
                               const float *out_gradient, float *workspace, float *kernel_gradient);

#endif
