/*
 * convolution.h - a 2-D convolution: which way is taken, its packed weights, forward and both gradients.
 *
 * Ways: 1x1 with stride 1 is a matrix product as it stands; 3x3 with stride 1 and at least 16 channels is Winograd, F(4x4), or
 * F(3x3) where that wastes less; small kernels (a first layer) are products of the padded picture's rows as they lie, with own
 * products; everything else copies blocks of windows (im2col) that stay in the second-level cache. The gradient of the input of
 * a convolution with stride 1 is a convolution with turned weights; with other strides the products are added where they
 * came from. The kernel's gradient sums over fixed chunks of pixels, chunk by chunk.
 */
#ifndef BD_KERNELS_CONVOLUTION_H
#define BD_KERNELS_CONVOLUTION_H

#include "trainer/kernels/kernels.h"
#include "trainer/kernels/workers.h"

enum bd_convolution_way { BD_WAY_POINTWISE, BD_WAY_DIRECT, BD_WAY_COLUMNS, BD_WAY_WINOGRAD };

struct bd_conv {
	const struct bd_kernels *kernels;
	size_t height, width, channels, in_pitch;
	size_t out_height, out_width, filters, out_pitch;
	size_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
	enum bd_convolution_way way;
	size_t tile; /* Winograd's m */
	bool turned; /* this one is the gradient of another: the kernel is (kh, kw, filters, channels), to be rotated */
	float *packed; /* bd_conv_packed_floats, of the owner */
};

/* Sets `way` and `tile` from the shape. */
void bd_conv_plan(struct bd_conv *conv, bool exact);

const char *bd_conv_way_name(const struct bd_conv *conv);
size_t bd_conv_packed_floats(const struct bd_conv *conv);
/* of each worker, for all functions below */
size_t bd_conv_scratch_floats(const struct bd_conv *conv);

/* Fill conv->packed from a kernel in Keras' order. */
void bd_conv_pack(const struct bd_conv *conv, const struct bd_run *run, const float *kernel);

void bd_conv_forward(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in, const float *bias,
                     enum bd_clamp clamp, float *out);

/* The convolution that computes the gradient of conv's input; only for stride 1. Its `packed` is left to the caller. */
struct bd_conv bd_conv_turned(const struct bd_conv *conv, bool exact);

/*
 * The gradient of the input for any stride: packed is W^T, bd_conv_scatter_floats, filled by bd_conv_scatter_pack.
 * Pitches of gradients are their channels.
 */
size_t bd_conv_scatter_floats(const struct bd_conv *conv);
void bd_conv_scatter_pack(const struct bd_conv *conv, const struct bd_run *run, const float *kernel, float *packed);
void bd_conv_scatter(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *out_gradient,
                     const float *packed, float *in_gradient);

/* kernel_gradient (kh, kw, channels, filters); workspace: bd_conv_gradient_floats for this many pictures, or for more. */
size_t bd_conv_gradient_floats(const struct bd_conv *conv, size_t pictures);
void bd_conv_kernel_gradient(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in,
                             const float *out_gradient, float *workspace, float *kernel_gradient);

/* sums[c] = sum over pixels of x; workspace: bd_sums_floats(channels). Fixed chunks: the same for any number of threads. */
size_t bd_sums_floats(size_t channels);
void bd_sums(const struct bd_kernels *kernels, const struct bd_run *run, size_t pixels, size_t channels, const float *x,
             float *workspace, float *sums);

/* to = parts[0] + parts[1] + … + parts[count - 1], each `floats` long, in this order. */
void bd_sum_parts(const struct bd_kernels *kernels, const struct bd_run *run, const float *parts, size_t count, size_t floats,
                  float *to);

#endif
