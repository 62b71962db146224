/*
 * kernels.h - the arithmetic of the trainer, compiled for three instruction sets; one table of functions for each.
 *
 * Pictures lie NHWC. A pitch is the number of floats from one pixel to the next: the channels, or more where the tensor is
 * a part of a concatenation. Kernels are plain functions on plain memory: no state, no threads, no allocation.
 */
#ifndef BD_KERNELS_KERNELS_H
#define BD_KERNELS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/base/simd.h"
#include "common/include/batchd/error.h"

/* Activations cheap enough to be done while a result is written. */
enum bd_clamp { BD_CLAMP_NONE, BD_CLAMP_RELU, BD_CLAMP_RELU6 };

/* No instruction set has wider panels (bd_kernels.nr) or taller blocks (mr). */
#define BD_KERNELS_MAX_NR 32
#define BD_KERNELS_MAX_MR 14

/* C (m, n) = A (m, k) B (k, n), then bias and clamp. With segments, A consists of several (m, k) side by side, a_segment floats apart. */
struct bd_gemm {
	size_t m, n, k;
	size_t segments, a_segment; /* 0 segments count as 1 */
	const float *a;
	size_t a_pitch;
	bool a_transposed; /* A's element (i, k) is a[k * a_pitch + i], else a[i * a_pitch + k] */
	const float *b; /* packed by gemm_pack; or rows of b_pitch floats, where n is a multiple of nr / 2 (OpenBLAS: any) */
	size_t b_pitch; /* 0 = packed */
	float *c;
	size_t c_pitch;
	bool accumulate; /* C is added to */
	const float *bias; /* n values, or NULL */
	enum bd_clamp clamp;
};

/* B (k, n) into panels of nr columns, the last filled up with zeros, or what OpenBLAS likes: ceil(n / nr) * k * nr floats. */
struct bd_gemm_pack {
	size_t k, n;
	size_t k_first, k_total; /* these k rows are rows k_first .. of a packed matrix of k_total rows */
	const float *b;
	size_t b_pitch;
	bool transposed; /* B's element (k, j) is b[j * b_pitch + k], else b[k * b_pitch + j] */
	float *packed;
};

/* A 3x3 convolution with stride 1 as Winograd F(m x m), m = 3 or 4. Channels and filters are multiples of 16. */
struct bd_winograd {
	size_t m;
	size_t height, width, channels, in_pitch;
	size_t out_height, out_width, filters, out_pitch;
	size_t pad_top, pad_left;
	const float *in; /* pictures one behind the other */
	const float *weights; /* of winograd_weights */
	const float *bias; /* filters values, or NULL */
	enum bd_clamp clamp;
	float *out;
	void (*product)(const struct bd_gemm *gemm); /* of bd_kernels: NULL = the level's own */
};

struct bd_winograd_weights {
	size_t m;
	size_t channels, filters; /* of the convolution that is to be done: swapped where rotated */
	const float *kernel; /* (3, 3, channels, filters), or, rotated, (3, 3, filters, channels) */
	bool rotated; /* for the gradient of the input */
	bool rows; /* [point][channel][filter] for bd_kernels.product, each row filled up to whole panels; else panel by panel */
	float *weights;
};

/* Depthwise convolution and pooling share this geometry. */
struct bd_window {
	size_t height, width, channels;
	size_t out_height, out_width;
	size_t kernel_height, kernel_width, stride_y, stride_x, pad_top, pad_left;
	size_t in_pitch, out_pitch; /* floats from pixel to pixel */
};

struct bd_kernels {
	enum bd_simd_level level;
	bool openblas; /* the products are OpenBLAS' */
	size_t mr, nr; /* block of the matrix product */

	void (*gemm)(const struct bd_gemm *gemm);
	void (*gemm_pack)(const struct bd_gemm_pack *pack, size_t first_panel, size_t panels);
	/* gemm without bias and clamp, b_pitch given: what the Winograd kernels multiply with; NULL where they do it themselves */
	void (*product)(const struct bd_gemm *gemm);

	/* Tiles first .. first + count of all pictures; scratch: bd_winograd_scratch floats, zeros or results of this function. */
	void (*winograd)(const struct bd_winograd *winograd, size_t first, size_t count, float *scratch);
	/* The transformed weights of panel `panel` of nr filters; scratch: 9 * channels * nr floats. */
	void (*winograd_weights)(const struct bd_winograd_weights *weights, size_t panel, float *scratch);

	/*
	 * The kernel's gradient in the transformed domain: sums over tiles first .. + count into part ((m+2)^2, channels,
	 * BD_WINOGRAD_FILTERS) for filters first_filter .. + BD_WINOGRAD_FILTERS or the last. winograd->in is the input; its out is not used.
	 */
	void (*winograd_gradient)(const struct bd_winograd *winograd, const float *out_gradient, size_t first, size_t count,
	                          size_t first_filter, bool accumulate, float *scratch, float *part);
	/* Channels first .. + count of such a sum back to kernel_gradient (3, 3, channels, filters). */
	void (*winograd_gradient_finish)(const struct bd_winograd *winograd, const float *part, size_t first_filter, size_t first,
	                                 size_t count, float *kernel_gradient);

	/* One output row of one picture. kernel (kh, kw, channels), multiplier 1. */
	void (*depthwise_row)(const struct bd_window *window, const float *in, const float *kernel, const float *bias,
	                      enum bd_clamp clamp, size_t row, float *out);
	/* d loss / d in of input row `row` of one picture. */
	void (*depthwise_row_gradient)(const struct bd_window *window, const float *out_gradient, const float *kernel, size_t row,
	                               float *in_gradient);
	/* Adds one picture's part to kernel_gradient (kh, kw, channels). */
	void (*depthwise_kernel_gradient)(const struct bd_window *window, const float *in, const float *out_gradient,
	                                  float *kernel_gradient);

	/* One output row of one picture. */
	void (*max_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out);
	void (*average_pool_row)(const struct bd_window *window, const float *in, size_t row, float *out);
	/* Of one picture; in and out are what the pooling read and wrote. Of equal maxima the first in row-major order gets it. */
	void (*max_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
	                          float *in_gradient);
	void (*average_pool_gradient)(const struct bd_window *window, const float *in, const float *out, const float *out_gradient,
	                              float *in_gradient);

	/* out[i] = clamp(x[i] * scale[c] + shift[c]) over `pixels` pixels; scale or shift may be NULL */
	void (*scale_shift)(size_t pixels, size_t channels, const float *in, size_t in_pitch, const float *scale,
	                    const float *shift, enum bd_clamp clamp, float *out, size_t out_pitch);
	/* sums[c] = sum over pixels of x[p][c] */
	void (*column_sums)(size_t pixels, size_t channels, const float *x, size_t pitch, float *sums);
	/* sums[c] = sum (x[p][c] - mean[c]) * y[p][c]; y may be x with y_mean = mean: then the square */
	void (*column_products)(size_t pixels, size_t channels, const float *x, const float *mean, const float *y,
	                        const float *y_mean, float *sums);
	void (*add)(size_t count, const float *a, const float *b, float *out);
	/* dy is set to 0 where y says that the clamp was at work */
	void (*clamp_gradient)(size_t count, const float *y, enum bd_clamp clamp, float *dy);
	/* out = (x - mean[c]) * scale */
	void (*from_bytes)(size_t pixels, size_t channels, const uint8_t *x, const float *mean, float scale, float *out);
};

/*
 * The table for bd_simd_level(), with own products at avx2 and avx512 and with those of OpenBLAS (openblas.h) otherwise; $BATCHD_BLAS (own |
 * openblas) says which at any level. -EINVAL for another word, and an error where OpenBLAS is not there. Any thread.
 */
BD_MUST_CHECK int bd_kernels_choose(const struct bd_kernels **ret_kernels, struct bd_error *error);

/* The own kernels of a level that this processor has. */
const struct bd_kernels *bd_kernels_of(enum bd_simd_level level);

size_t bd_gemm_packed_floats(const struct bd_kernels *kernels, size_t k, size_t n);

/* Tiles of one task: six blocks of 14 rows, 14 blocks of 6. 56 to 98 do; more leave the second-level cache. */
#define BD_WINOGRAD_TILES 84

/* Filters of one pass over the transformed input of a task. */
#define BD_WINOGRAD_FILTERS 64

size_t bd_winograd_tiles(const struct bd_winograd *winograd, size_t pictures);
size_t bd_winograd_weights_floats(const struct bd_kernels *kernels, size_t m, size_t channels, size_t filters);
size_t bd_winograd_scratch(size_t m, size_t channels);

#endif
