#include "trainer/kernels/convolution.h"

#include <string.h>

#include "trainer/kernels/columns.h"
#include "trainer/kernels/direct.h"
#include "trainer/kernels/winograd_gradient.h"

/* Windows of one task: with the weights' panel beside it half of a second-level cache of 1 MiB. */
#define COLUMNS_FLOATS 98304

/* Blocks of rows that one task takes at most: more would leave too few tasks for small maps. */
#define MAX_BLOCKS 12

static size_t divide_up(size_t a, size_t b)
{
	return (a + b - 1) / b;
}

static size_t window_columns(const struct bd_conv *conv)
{
	return conv->kernel_height * conv->kernel_width * conv->channels;
}

/* Multiplications of a map's Winograd: tiles that hang over the edge count whole. */
static size_t winograd_products(const struct bd_conv *conv, size_t m)
{
	return divide_up(conv->out_height, m) * divide_up(conv->out_width, m) * (m + 2) * (m + 2);
}

void bd_conv_plan(struct bd_conv *conv, bool exact)
{
	bool three = conv->kernel_height == 3 && conv->kernel_width == 3 && conv->stride_y == 1 && conv->stride_x == 1;
	bool sixteens = conv->channels % 16 == 0 && conv->filters % 16 == 0;
	if (conv->kernel_height == 1 && conv->kernel_width == 1 && conv->stride_y == 1 && conv->stride_x == 1 && !conv->pad_top &&
	    !conv->pad_left && conv->out_height == conv->height && conv->out_width == conv->width)
		conv->way = BD_WAY_POINTWISE;
	else if (three && sixteens && !exact)
		conv->way = BD_WAY_WINOGRAD;
	else if (window_columns(conv) * conv->filters <= BD_DIRECT_KERNEL_FLOATS && !conv->kernels->openblas)
		conv->way = BD_WAY_DIRECT;
	else
		conv->way = BD_WAY_COLUMNS; /* OpenBLAS would do a direct way in pieces that are too small for it */
	conv->tile = winograd_products(conv, 3) <= winograd_products(conv, 4) ? 3 : 4;
}

const char *bd_conv_way_name(const struct bd_conv *conv)
{
	if (conv->way == BD_WAY_WINOGRAD)
		return conv->tile == 4 ? "winograd f4" : "winograd f3";
	return conv->way == BD_WAY_POINTWISE ? "gemm" : conv->way == BD_WAY_DIRECT ? "direct gemm" : "im2col gemm";
}

size_t bd_conv_packed_floats(const struct bd_conv *conv)
{
	if (conv->way == BD_WAY_WINOGRAD)
		return bd_winograd_weights_floats(conv->kernels, conv->tile, conv->channels, conv->filters);
	return bd_gemm_packed_floats(conv->kernels, window_columns(conv), conv->filters);
}

/* Output pixels of one task. */
static size_t task_rows(const struct bd_conv *conv)
{
	size_t blocks = COLUMNS_FLOATS / (window_columns(conv) * conv->kernels->mr);
	if (blocks < 2)
		blocks = 2;
	return (blocks < MAX_BLOCKS ? blocks : MAX_BLOCKS) * conv->kernels->mr;
}

/* ---- the kernel's gradient is cut into blocks of columns and chunks of pixels ---- */

#define GRADIENT_COLUMNS 384
#define GRADIENT_PIXELS 192
#define GRADIENT_TASKS 16
/* Partial sums of one kernel: 32 MiB. */
#define GRADIENT_PARTS_FLOATS ((size_t)8 << 20)

struct cut {
	size_t columns, column_blocks; /* of the window */
	size_t chunk, chunks; /* of pixels */
	size_t most; /* chunks that so many pixels or fewer may be cut into: fewer pixels, in shorter chunks, may be more of them */
};

static struct cut cut_gradient(const struct bd_conv *conv, size_t pictures)
{
	size_t columns = window_columns(conv), pixels = pictures * conv->out_height * conv->out_width;
	struct cut cut = { .column_blocks = divide_up(columns, GRADIENT_COLUMNS) };
	cut.columns = divide_up(columns, cut.column_blocks);
	size_t chunks = divide_up(GRADIENT_TASKS, cut.column_blocks), most = GRADIENT_PARTS_FLOATS / (columns * conv->filters);
	if (chunks > most)
		chunks = most ? most : 1;
	cut.chunk = divide_up(divide_up(pixels, chunks), GRADIENT_PIXELS) * GRADIENT_PIXELS;
	cut.chunks = divide_up(pixels, cut.chunk);
	cut.most = divide_up(pixels, GRADIENT_PIXELS);
	cut.most = cut.most < chunks ? cut.most : chunks;
	return cut;
}

size_t bd_conv_gradient_floats(const struct bd_conv *conv, size_t pictures)
{
	if (conv->way == BD_WAY_DIRECT)
		return bd_direct_gradient_floats(conv, pictures);
	if (conv->way == BD_WAY_WINOGRAD)
		return bd_winograd_gradient_floats(conv, pictures);
	struct cut cut = cut_gradient(conv, pictures);
	return cut.most > 1 ? cut.most * window_columns(conv) * conv->filters : 0;
}

size_t bd_conv_scratch_floats(const struct bd_conv *conv)
{
	size_t nr = conv->kernels->nr, columns = window_columns(conv);
	size_t most = columns * task_rows(conv);
	size_t sizes[] = {
		conv->way == BD_WAY_WINOGRAD ? bd_winograd_scratch(conv->tile, conv->channels) : 0,
		9 * conv->channels * nr,
		GRADIENT_PIXELS * (GRADIENT_COLUMNS + conv->filters + nr),
		conv->way == BD_WAY_DIRECT ? bd_direct_scratch(conv) : 0,
	};
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		most = sizes[i] > most ? sizes[i] : most;
	return most;
}

/* ---- packing ---- */

struct pack_task {
	const struct bd_conv *conv;
	const struct bd_kernels *kernels;
	const float *kernel;
	float *packed;
};

static void pack_columns(const void *argument, size_t panel, float *scratch)
{
	(void)scratch;
	const struct pack_task *task = argument;
	const struct bd_conv *conv = task->conv;
	size_t taps = conv->kernel_height * conv->kernel_width, columns = taps * conv->channels;
	struct bd_gemm_pack pack = { .k = columns,
		                     .k_total = columns,
		                     .n = conv->filters,
		                     .b = task->kernel,
		                     .b_pitch = conv->filters,
		                     .packed = task->packed };
	if (!conv->turned) {
		conv->kernels->gemm_pack(&pack, panel, 1);
		return;
	}
	pack.k = conv->channels;
	pack.transposed = true;
	pack.b_pitch = conv->channels;
	for (size_t tap = 0; tap < taps; tap++) {
		pack.b = task->kernel + (taps - 1 - tap) * conv->channels * conv->filters;
		pack.k_first = tap * conv->channels;
		conv->kernels->gemm_pack(&pack, panel, 1);
	}
}

static void pack_winograd(const void *argument, size_t panel, float *scratch)
{
	const struct pack_task *task = argument;
	const struct bd_conv *conv = task->conv;
	struct bd_winograd_weights weights = { .m = conv->tile,
		                               .channels = conv->channels,
		                               .filters = conv->filters,
		                               .kernel = task->kernel,
		                               .rotated = conv->turned,
		                               .rows = conv->kernels->product,
		                               .weights = task->packed };
	conv->kernels->winograd_weights(&weights, panel, scratch);
}

void bd_conv_pack(const struct bd_conv *conv, const struct bd_run *run, const float *kernel)
{
	struct pack_task task = { conv, conv->kernels, kernel, conv->packed };
	bd_run_tasks(run, divide_up(conv->filters, conv->kernels->nr), conv->way == BD_WAY_WINOGRAD ? pack_winograd : pack_columns,
	             &task);
}

struct bd_winograd bd_conv_winograd(const struct bd_conv *conv, const float *in, const float *bias, enum bd_clamp clamp, float *out)
{
	return (struct bd_winograd){
		.m = conv->tile,
		.height = conv->height,
		.width = conv->width,
		.channels = conv->channels,
		.in_pitch = conv->in_pitch,
		.out_height = conv->out_height,
		.out_width = conv->out_width,
		.filters = conv->filters,
		.out_pitch = conv->out_pitch,
		.pad_top = conv->pad_top,
		.pad_left = conv->pad_left,
		.in = in,
		.weights = conv->packed,
		.bias = bias,
		.clamp = clamp,
		.out = out,
		.product = conv->kernels->product,
	};
}

/* ---- forward ---- */

struct forward_task {
	const struct bd_conv *conv;
	size_t rows, total; /* output pixels of a task, and of all */
	const float *in, *bias;
	enum bd_clamp clamp;
	float *out;
	struct bd_winograd winograd;
};

static void forward_gemm(const void *argument, size_t index, float *scratch)
{
	const struct forward_task *task = argument;
	const struct bd_conv *conv = task->conv;
	size_t first = index * task->rows, count = task->total - first < task->rows ? task->total - first : task->rows;
	struct bd_gemm gemm = { .m = count,
		                .n = conv->filters,
		                .k = window_columns(conv),
		                .a = task->in + first * conv->in_pitch,
		                .a_pitch = conv->in_pitch,
		                .b = conv->packed,
		                .c = task->out + first * conv->out_pitch,
		                .c_pitch = conv->out_pitch,
		                .bias = task->bias,
		                .clamp = task->clamp };
	if (conv->way == BD_WAY_COLUMNS) {
		bd_columns(conv, task->in, first, count, 0, gemm.k, scratch);
		gemm.a = scratch;
		gemm.a_pitch = gemm.k;
	}
	conv->kernels->gemm(&gemm);
}

static void forward_winograd(const void *argument, size_t index, float *scratch)
{
	const struct forward_task *task = argument;
	size_t first = index * task->rows, count = task->total - first < task->rows ? task->total - first : task->rows;
	task->conv->kernels->winograd(&task->winograd, first, count, scratch);
}

void bd_conv_forward(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in, const float *bias,
                     enum bd_clamp clamp, float *out)
{
	struct forward_task task = { .conv = conv, .in = in, .bias = bias, .clamp = clamp, .out = out };
	if (conv->way == BD_WAY_DIRECT) {
		bd_direct_forward(conv, run, pictures, in, bias, clamp, out);
		return;
	}
	if (conv->way != BD_WAY_WINOGRAD) {
		task.rows = task_rows(conv);
		task.total = pictures * conv->out_height * conv->out_width;
		bd_run_tasks(run, divide_up(task.total, task.rows), forward_gemm, &task);
		return;
	}
	task.winograd = bd_conv_winograd(conv, in, bias, clamp, out);
	task.rows = BD_WINOGRAD_TILES;
	task.total = bd_winograd_tiles(&task.winograd, pictures);
	bd_run_tasks(run, divide_up(task.total, task.rows), forward_winograd, &task);
}

/* ---- the gradient of the input ---- */

struct bd_conv bd_conv_turned(const struct bd_conv *conv, bool exact)
{
	struct bd_conv turned = {
		.kernels = conv->kernels,
		.height = conv->out_height,
		.width = conv->out_width,
		.channels = conv->filters,
		.in_pitch = conv->filters,
		.out_height = conv->height,
		.out_width = conv->width,
		.filters = conv->channels,
		.out_pitch = conv->channels,
		.kernel_height = conv->kernel_height,
		.kernel_width = conv->kernel_width,
		.stride_y = 1,
		.stride_x = 1,
		.pad_top = conv->kernel_height - 1 - conv->pad_top,
		.pad_left = conv->kernel_width - 1 - conv->pad_left,
		.turned = true,
	};
	bd_conv_plan(&turned, exact);
	return turned;
}

size_t bd_conv_scatter_floats(const struct bd_conv *conv)
{
	return bd_gemm_packed_floats(conv->kernels, conv->filters, window_columns(conv));
}

static void pack_scatter(const void *argument, size_t panel, float *scratch)
{
	(void)scratch;
	const struct pack_task *task = argument;
	const struct bd_conv *conv = task->conv;
	struct bd_gemm_pack pack = { .k = conv->filters,
		                     .k_total = conv->filters,
		                     .n = window_columns(conv),
		                     .b = task->kernel,
		                     .b_pitch = conv->filters,
		                     .transposed = true,
		                     .packed = task->packed };
	conv->kernels->gemm_pack(&pack, panel, 1);
}

void bd_conv_scatter_pack(const struct bd_conv *conv, const struct bd_run *run, const float *kernel, float *packed)
{
	struct pack_task task = { conv, conv->kernels, kernel, packed };
	bd_run_tasks(run, divide_up(window_columns(conv), conv->kernels->nr), pack_scatter, &task);
}

struct scatter_task {
	const struct bd_conv *conv;
	const float *out_gradient, *packed;
	float *in_gradient;
};

static void scatter_picture(const void *argument, size_t picture, float *scratch)
{
	const struct scatter_task *task = argument;
	const struct bd_conv *conv = task->conv;
	size_t pixels = conv->out_height * conv->out_width, rows = task_rows(conv),
	       in_floats = conv->height * conv->width * conv->channels;
	float *to = task->in_gradient + picture * in_floats;
	memset(to, 0, in_floats * sizeof *to);
	for (size_t first = 0; first < pixels; first += rows) {
		size_t count = pixels - first < rows ? pixels - first : rows;
		struct bd_gemm gemm = { .m = count,
			                .n = window_columns(conv),
			                .k = conv->filters,
			                .a = task->out_gradient + (picture * pixels + first) * conv->filters,
			                .a_pitch = conv->filters,
			                .b = task->packed,
			                .c = scratch,
			                .c_pitch = window_columns(conv) };
		conv->kernels->gemm(&gemm);
		bd_columns_add(conv, scratch, first, count, to);
	}
}

void bd_conv_scatter(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *out_gradient,
                     const float *packed, float *in_gradient)
{
	struct scatter_task task = { conv, out_gradient, packed, in_gradient };
	bd_run_tasks(run, pictures, scatter_picture, &task);
}

/* ---- the gradient of the kernel ---- */

struct gradient_task {
	const struct bd_conv *conv;
	struct cut cut;
	size_t pixels;
	const float *in, *out_gradient;
	float *parts; /* (chunks, columns, filters) */
};

/* Adds pixels first .. + count to columns column .. of the part. */
static void gradient_block(const struct gradient_task *task, size_t first, size_t count, size_t column, size_t columns,
                           bool accumulate, float *scratch, float *part)
{
	const struct bd_conv *conv = task->conv;
	float *packed = scratch + GRADIENT_PIXELS * GRADIENT_COLUMNS;
	struct bd_gemm gemm = { .m = columns,
		                .n = conv->filters,
		                .k = count,
		                .a = task->in + first * conv->in_pitch + column,
		                .a_pitch = conv->in_pitch,
		                .a_transposed = true,
		                .b = task->out_gradient + first * conv->filters,
		                .b_pitch = conv->filters,
		                .c = part + column * conv->filters,
		                .c_pitch = conv->filters,
		                .accumulate = accumulate };
	if (conv->way != BD_WAY_POINTWISE) {
		bd_columns(conv, task->in, first, count, column, columns, scratch);
		gemm.a = scratch;
		gemm.a_pitch = columns;
	}
	if (conv->filters > 64 || conv->filters % (conv->kernels->nr / 2)) {
		struct bd_gemm_pack pack = {
			.k = count, .k_total = count, .n = conv->filters, .b = gemm.b, .b_pitch = conv->filters, .packed = packed
		};
		conv->kernels->gemm_pack(&pack, 0, divide_up(conv->filters, conv->kernels->nr));
		gemm.b = packed;
		gemm.b_pitch = 0;
	}
	conv->kernels->gemm(&gemm);
}

static void gradient_part(const void *argument, size_t index, float *scratch)
{
	const struct gradient_task *task = argument;
	const struct cut *cut = &task->cut;
	size_t all = window_columns(task->conv), chunk = index / cut->column_blocks,
	       column = index % cut->column_blocks * cut->columns;
	if (column >= all)
		return;
	size_t columns = all - column < cut->columns ? all - column : cut->columns;
	size_t begin = chunk * cut->chunk, end = task->pixels - begin < cut->chunk ? task->pixels : begin + cut->chunk;
	float *part = task->parts + chunk * all * task->conv->filters;
	for (size_t first = begin; first < end; first += GRADIENT_PIXELS)
		gradient_block(task, first, end - first < GRADIENT_PIXELS ? end - first : GRADIENT_PIXELS, column, columns,
		               first > begin, scratch, part);
}

void bd_conv_kernel_gradient(const struct bd_conv *conv, const struct bd_run *run, size_t pictures, const float *in,
                             const float *out_gradient, float *workspace, float *kernel_gradient)
{
	if (conv->way == BD_WAY_DIRECT) {
		bd_direct_kernel_gradient(conv, run, pictures, in, out_gradient, workspace, kernel_gradient);
		return;
	}
	if (conv->way == BD_WAY_WINOGRAD) {
		bd_winograd_kernel_gradient(conv, run, pictures, in, out_gradient, workspace, kernel_gradient);
		return;
	}
	struct gradient_task task = { .conv = conv,
		                      .cut = cut_gradient(conv, pictures),
		                      .pixels = pictures * conv->out_height * conv->out_width,
		                      .in = in,
		                      .out_gradient = out_gradient };
	task.parts = task.cut.chunks > 1 ? workspace : kernel_gradient;
	bd_run_tasks(run, task.cut.chunks * task.cut.column_blocks, gradient_part, &task);
	if (task.cut.chunks > 1)
		bd_sum_parts(conv->kernels, run, workspace, task.cut.chunks, window_columns(conv) * conv->filters, kernel_gradient);
}
