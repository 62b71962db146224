/*
 * matrix.h - the three products of a dense layer with few rows: bound by reading the weights once.
 */
#ifndef BD_KERNELS_MATRIX_H
#define BD_KERNELS_MATRIX_H

#include "trainer/kernels/kernels.h"
#include "trainer/kernels/workers.h"

struct bd_dense {
	const struct bd_kernels *kernels;
	size_t inputs, units;
};

/* of each worker, and shared, for the functions below */
size_t bd_dense_scratch_floats(const struct bd_dense *dense);
size_t bd_dense_workspace_floats(const struct bd_dense *dense, size_t rows);

/* out (rows, units) = clamp(in (rows, inputs) kernel (inputs, units) + bias) */
void bd_dense_forward(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *in, const float *kernel,
                      const float *bias, enum bd_clamp clamp, float *workspace, float *out);
void bd_dense_input_gradient(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *out_gradient,
                             const float *kernel, float *in_gradient);
void bd_dense_kernel_gradient(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *in,
                              const float *out_gradient, float *kernel_gradient);

/*
 * The same without the whole of it in memory: `take` gets floats first .. first + count - 1 of the kernel's gradient, in a buffer that it may
 * change, each float once, on any worker. The same bits as the above.
 */
typedef void bd_dense_take(const void *context, size_t first, size_t count, float *gradient);
void bd_dense_stream_kernel_gradient(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *in,
                                     const float *out_gradient, bd_dense_take *take, const void *context);

#endif
