/*
 * winograd_gradient.h - the kernel's gradient of a Winograd convolution, cut into tasks. For trainer/kernels only.
 */
#ifndef BD_KERNELS_WINOGRAD_GRADIENT_H
#define BD_KERNELS_WINOGRAD_GRADIENT_H

#include "trainer/kernels/convolution.h"

struct bd_winograd bd_conv_winograd(const struct bd_conv *conv, const float *in, const float *bias, enum bd_clamp clamp,
                                    float *out);

size_t bd_winograd_gradient_floats(const struct bd_conv *conv, size_t pictures);
void bd_winograd_kernel_gradient(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in,
                                 const float *out_gradient, float *workspace, float *kernel_gradient);

#endif
