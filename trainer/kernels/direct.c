#include "trainer/kernels/direct.h"

#include <string.h>

/* Floats of the output of a strip: input and output of one task stay in the second-level cache. */
#define STRIP_FLOATS 49152

/* Parts of the kernel's gradient. */
#define GRADIENT_CHUNKS 16

static size_t divide_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

static size_t padded_width(const struct bd_conv *conv)
{
	return (conv->out_width - 1) * conv->stride_x + conv->kernel_width;
}

/* Output rows of one strip. */
static size_t strip_rows(const struct bd_conv *conv)
{
	size_t row = conv->out_width * conv->filters + padded_width(conv) * conv->channels * conv->stride_y;
	size_t rows = STRIP_FLOATS / row;
	rows = rows ? rows : 1;
	return rows < conv->out_height ? rows : conv->out_height;
}

static size_t strips(const struct bd_conv *conv)
{
	return divide_up(conv->out_height, strip_rows(conv));
}

static size_t strip_floats(const struct bd_conv *conv)
{
	return ((strip_rows(conv) - 1) * conv->stride_y + conv->kernel_height) * padded_width(conv) * conv->channels;
}

size_t bd_direct_scratch(const struct bd_conv *conv)
{
	size_t nr = conv->kernels->nr;
	return strip_floats(conv) + strip_rows(conv) * conv->out_width * (conv->filters + nr);
}

struct strip {
	size_t picture, first, rows; /* output rows */
	const float *in; /* at the window of the first output pixel */
	size_t line; /* floats from row to row of it */
};

/* One row of the padded picture. */
static void copy_line(const struct bd_conv *conv, const float *picture, size_t padded_y, float *to)
{
	size_t y = padded_y - conv->pad_top, width = padded_width(conv), channels = conv->channels;
	if (y >= conv->height) {
		memset(to, 0, width * channels * sizeof *to);
		return;
	}
	size_t left = conv->pad_left < width ? conv->pad_left : width;
	size_t inner = width - left < conv->width ? width - left : conv->width;
	memset(to, 0, left * channels * sizeof *to);
	memcpy(to + left * channels, picture + y * conv->width * channels, inner * channels * sizeof *to);
	memset(to + (left + inner) * channels, 0, (width - left - inner) * channels * sizeof *to);
}

static struct strip strip_at(const struct bd_conv *conv, const float *in, size_t index, float *scratch)
{
	size_t rows = strip_rows(conv), count = strips(conv), width = padded_width(conv);
	struct strip strip = { .picture = index / count, .first = index % count * rows };
	strip.rows = conv->out_height - strip.first < rows ? conv->out_height - strip.first : rows;
	const float *picture = in + strip.picture * conv->height * conv->width * conv->channels;
	size_t lines = (strip.rows - 1) * conv->stride_y + conv->kernel_height, top = strip.first * conv->stride_y;
	if (!conv->pad_top && !conv->pad_left && width <= conv->width && top + lines <= conv->height) {
		strip.in = picture + top * conv->width * conv->channels;
		strip.line = conv->width * conv->channels;
		return strip;
	}
	strip.line = width * conv->channels;
	strip.in = scratch;
	for (size_t y = 0; y < lines; y++)
		copy_line(conv, picture, top + y, scratch + y * strip.line);
	return strip;
}

struct direct_task {
	const struct bd_conv *conv;
	const float *in, *bias, *out_gradient;
	enum bd_clamp clamp;
	float *out;
	size_t units, chunk;
};

static void forward_strip(const void *argument, size_t index, float *scratch)
{
	const struct direct_task *task = argument;
	const struct bd_conv *conv = task->conv;
	struct strip strip = strip_at(conv, task->in, index, scratch);
	struct bd_gemm gemm = { .m = conv->out_width,
		                .n = conv->filters,
		                .k = conv->kernel_width * conv->channels,
		                .segments = conv->kernel_height,
		                .a_segment = strip.line,
		                .a_pitch = conv->stride_x * conv->channels,
		                .b = conv->packed,
		                .c_pitch = conv->out_pitch,
		                .bias = task->bias,
		                .clamp = task->clamp };
	for (size_t y = 0; y < strip.rows; y++) {
		gemm.a = strip.in + y * conv->stride_y * strip.line;
		gemm.c = task->out + ((strip.picture * conv->out_height + strip.first + y) * conv->out_width) * conv->out_pitch;
		conv->kernels->gemm(&gemm);
	}
}

void bd_direct_forward(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in, const float *bias,
                       enum bd_clamp clamp, float *out)
{
	struct direct_task task = { .conv = conv, .in = in, .bias = bias, .clamp = clamp, .out = out };
	bd_run_tasks(run, pictures * strips(conv), forward_strip, &task);
}

static size_t kernel_floats(const struct bd_conv *conv)
{
	return conv->kernel_height * conv->kernel_width * conv->channels * conv->filters;
}

/* Fewer pictures may be cut into more chunks, one unit each. */
size_t bd_direct_gradient_floats(const struct bd_conv *conv, size_t pictures)
{
	size_t units = pictures * strips(conv);
	return (units < GRADIENT_CHUNKS ? units : GRADIENT_CHUNKS) * kernel_floats(conv);
}

static void add_strip(const struct direct_task *task, const struct strip *strip, bool accumulate, float *packed, float *part)
{
	const struct bd_conv *conv = task->conv;
	size_t row = conv->kernel_width * conv->channels, pixels = strip->rows * conv->out_width;
	struct bd_gemm gemm = { .m = row,
		                .n = conv->filters,
		                .k = conv->out_width,
		                .segments = strip->rows,
		                .a_segment = conv->stride_y * strip->line,
		                .a_pitch = conv->stride_x * conv->channels,
		                .a_transposed = true,
		                .b = task->out_gradient +
		                     (strip->picture * conv->out_height + strip->first) * conv->out_width * conv->filters,
		                .b_pitch = conv->filters,
		                .c_pitch = conv->filters,
		                .accumulate = accumulate };
	if (conv->filters > 64 || conv->filters % (conv->kernels->nr / 2)) {
		struct bd_gemm_pack pack = {
			.k = pixels, .k_total = pixels, .n = conv->filters, .b = gemm.b, .b_pitch = conv->filters, .packed = packed
		};
		conv->kernels->gemm_pack(&pack, 0, divide_up(conv->filters, conv->kernels->nr));
		gemm.b = packed;
		gemm.b_pitch = 0;
	}
	for (size_t ky = 0; ky < conv->kernel_height; ky++) {
		gemm.a = strip->in + ky * strip->line;
		gemm.c = part + ky * row * conv->filters;
		conv->kernels->gemm(&gemm);
	}
}

static void gradient_chunk(const void *argument, size_t index, float *scratch)
{
	const struct direct_task *task = argument;
	const struct bd_conv *conv = task->conv;
	size_t first = index * task->chunk, end = task->units - first < task->chunk ? task->units : first + task->chunk;
	for (size_t unit = first; unit < end; unit++) {
		struct strip strip = strip_at(conv, task->in, unit, scratch);
		add_strip(task, &strip, unit > first, scratch + strip_floats(conv), task->out + index * kernel_floats(conv));
	}
}

void bd_direct_kernel_gradient(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in,
                               const float *out_gradient, float *workspace, float *kernel_gradient)
{
	size_t units = pictures * strips(conv), chunk = divide_up(units, GRADIENT_CHUNKS), chunks = divide_up(units, chunk);
	struct direct_task task = {
		.conv = conv, .in = in, .out_gradient = out_gradient, .out = workspace, .units = units, .chunk = chunk
	};
	bd_run_tasks(run, chunks, gradient_chunk, &task);
	bd_sum_parts(conv->kernels, run, workspace, chunks, kernel_floats(conv), kernel_gradient);
}
