#include "trainer/kernels/matrix.h"

#include <string.h>

#include "trainer/kernels/convolution.h"

/* Inputs of one task of forward: with up to 256 units 1 MiB of weights, read in order. */
#define CHUNK 1024

/* Inputs of one task of the gradients. */
#define SLICE 128

/* Floats of one piece of a streamed gradient, and the inputs that make a product worth its start. */
#define STREAM_FLOATS 32768
#define STREAM_SLICE_MIN 16

/* Rows of the batch that the kernel's gradient takes at a time. */
#define ROWS 512

static size_t divide_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

static size_t panels(const struct bd_dense *dense)
{
	return divide_up(dense->units, dense->kernels->nr);
}

static bool fits_vectors(const struct bd_dense *dense)
{
	return dense->units % (dense->kernels->nr / 2) == 0;
}

/* A piece stays in the second-level cache beside the weights and the optimizer's state that it changes. */
static size_t stream_slice(const struct bd_dense *dense)
{
	size_t slice = STREAM_FLOATS / dense->units;
	return slice > SLICE ? SLICE : slice < STREAM_SLICE_MIN ? STREAM_SLICE_MIN : slice;
}

size_t bd_dense_scratch_floats(const struct bd_dense *dense)
{
	size_t forward = fits_vectors(dense) ? 0 : panels(dense) * dense->kernels->nr * CHUNK;
	/* the input's gradient: a slice of the kernel, packed; the kernel's: packed rows, columns of the input, a piece of the gradient */
	size_t backward = (SLICE + dense->kernels->nr) * (dense->units + dense->kernels->nr) +
	                  (panels(dense) * dense->kernels->nr + SLICE) * ROWS;
	return forward > backward ? forward : backward;
}

size_t bd_dense_workspace_floats(const struct bd_dense *dense, size_t rows)
{
	return divide_up(dense->inputs, CHUNK) * rows * dense->units;
}

struct dense_task {
	const struct bd_dense *dense;
	size_t rows, chunks;
	const float *in, *kernel, *out_gradient, *bias;
	enum bd_clamp clamp;
	float *parts, *out;
	size_t slice; /* inputs of one task of the kernel's gradient */
	bd_dense_take *take; /* NULL: into out */
	const void *context;
};

static void forward_chunk(const void *argument, size_t index, float *scratch)
{
	const struct dense_task *task = argument;
	const struct bd_dense *dense = task->dense;
	size_t first = index * CHUNK, count = dense->inputs - first < CHUNK ? dense->inputs - first : CHUNK;
	bool whole = task->chunks == 1;
	struct bd_gemm gemm = { .m = task->rows,
		                .n = dense->units,
		                .k = count,
		                .a = task->in + first,
		                .a_pitch = dense->inputs,
		                .b = task->kernel + first * dense->units,
		                .b_pitch = dense->units,
		                .c = whole ? task->out : task->parts + index * task->rows * dense->units,
		                .c_pitch = dense->units,
		                .bias = whole ? task->bias : NULL,
		                .clamp = whole ? task->clamp : BD_CLAMP_NONE };
	if (!fits_vectors(dense)) {
		struct bd_gemm_pack pack = {
			.k = count, .k_total = count, .n = dense->units, .b = gemm.b, .b_pitch = dense->units, .packed = scratch
		};
		dense->kernels->gemm_pack(&pack, 0, panels(dense));
		gemm.b = scratch;
		gemm.b_pitch = 0;
	}
	dense->kernels->gemm(&gemm);
}

void bd_dense_forward(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *in, const float *kernel,
                      const float *bias, enum bd_clamp clamp, float *workspace, float *out)
{
	struct dense_task task = { .dense = dense,
		                   .rows = rows,
		                   .chunks = divide_up(dense->inputs, CHUNK),
		                   .in = in,
		                   .kernel = kernel,
		                   .bias = bias,
		                   .clamp = clamp,
		                   .parts = workspace,
		                   .out = out };
	bd_run_tasks(run, task.chunks, forward_chunk, &task);
	if (task.chunks == 1)
		return;
	bd_sum_parts(dense->kernels, run, workspace, task.chunks, rows * dense->units, out);
	dense->kernels->scale_shift(rows, dense->units, out, dense->units, NULL, bias, clamp, out, dense->units);
}

static void input_slice(const void *argument, size_t index, float *scratch)
{
	const struct dense_task *task = argument;
	const struct bd_dense *dense = task->dense;
	size_t first = index * SLICE, count = dense->inputs - first < SLICE ? dense->inputs - first : SLICE;
	struct bd_gemm_pack pack = { .k = dense->units,
		                     .k_total = dense->units,
		                     .n = count,
		                     .b = task->kernel + first * dense->units,
		                     .b_pitch = dense->units,
		                     .transposed = true,
		                     .packed = scratch };
	dense->kernels->gemm_pack(&pack, 0, divide_up(count, dense->kernels->nr));
	struct bd_gemm gemm = { .m = task->rows,
		                .n = count,
		                .k = dense->units,
		                .a = task->out_gradient,
		                .a_pitch = dense->units,
		                .b = scratch,
		                .c = task->out + first,
		                .c_pitch = dense->inputs };
	dense->kernels->gemm(&gemm);
}

void bd_dense_input_gradient(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *out_gradient,
                             const float *kernel, float *in_gradient)
{
	struct dense_task task = {
		.dense = dense, .rows = rows, .kernel = kernel, .out_gradient = out_gradient, .out = in_gradient
	};
	bd_run_tasks(run, divide_up(dense->inputs, SLICE), input_slice, &task);
}

static void kernel_slice(const void *argument, size_t index, float *scratch)
{
	const struct dense_task *task = argument;
	const struct bd_dense *dense = task->dense;
	size_t first = index * task->slice, count = dense->inputs - first < task->slice ? dense->inputs - first : task->slice;
	float *columns = scratch + panels(dense) * dense->kernels->nr * ROWS;
	float *gradient = task->take ? columns + SLICE * ROWS : task->out + first * dense->units;
	for (size_t row = 0; row < task->rows; row += ROWS) {
		size_t rows = task->rows - row < ROWS ? task->rows - row : ROWS;
		/* rows of a wide input lie powers of two apart, where cache sets collide */
		for (size_t r = 0; r < rows; r++)
			memcpy(columns + r * SLICE, task->in + (row + r) * dense->inputs + first, count * sizeof(float));
		struct bd_gemm gemm = { .m = count,
			                .n = dense->units,
			                .k = rows,
			                .a = columns,
			                .a_pitch = SLICE,
			                .a_transposed = true,
			                .b = task->out_gradient + row * dense->units,
			                .b_pitch = dense->units,
			                .c = gradient,
			                .c_pitch = dense->units,
			                .accumulate = row > 0 };
		if (!fits_vectors(dense)) {
			struct bd_gemm_pack pack = { .k = rows,
				                     .k_total = rows,
				                     .n = dense->units,
				                     .b = gemm.b,
				                     .b_pitch = dense->units,
				                     .packed = scratch };
			dense->kernels->gemm_pack(&pack, 0, panels(dense));
			gemm.b = scratch;
			gemm.b_pitch = 0;
		}
		dense->kernels->gemm(&gemm);
	}
	if (task->take)
		task->take(task->context, first * dense->units, count * dense->units, gradient);
}

void bd_dense_kernel_gradient(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *in,
                              const float *out_gradient, float *kernel_gradient)
{
	struct dense_task task = {
		.dense = dense, .rows = rows, .in = in, .out_gradient = out_gradient, .out = kernel_gradient, .slice = SLICE
	};
	bd_run_tasks(run, divide_up(dense->inputs, SLICE), kernel_slice, &task);
}

void bd_dense_stream_kernel_gradient(const struct bd_dense *dense, const struct bd_run *run, size_t rows, const float *in,
                                     const float *out_gradient, bd_dense_take *take, const void *context)
{
	struct dense_task task = { .dense = dense,
		                   .rows = rows,
		                   .in = in,
		                   .out_gradient = out_gradient,
		                   .slice = stream_slice(dense),
		                   .take = take,
		                   .context = context };
	bd_run_tasks(run, divide_up(dense->inputs, task.slice), kernel_slice, &task);
}
