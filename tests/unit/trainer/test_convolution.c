/* Every way of a convolution and its gradients against sums of products in double. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/base/random.h"
#include "tests/unit/test.h"
#include "trainer/kernels/convolution.h"
#include "trainer/kernels/openblas.h"
#include "trainer/layers/layer.h"

static const struct bd_kernels *openblas_kernels(enum bd_simd_level level)
{
	const struct bd_kernels *kernels = NULL;
	assert_int_equal(bd_openblas_kernels(level, &kernels, NULL), 0);
	return kernels;
}

struct example {
	size_t height, width, channels, filters, kernel, stride, pad_top, pad_left, out_height, out_width, pictures;
};

static const struct example examples[] = {
	{ 13, 17, 16, 32, 3, 1, 1, 1, 13, 17, 3 }, /* F4, overhang on both sides */
	{ 9, 9, 48, 80, 3, 1, 1, 1, 9, 9, 2 }, /* F3, a filter block that is not whole */
	{ 26, 26, 32, 64, 3, 1, 0, 0, 24, 24, 5 }, /* valid; more tiles than one task takes */
	{ 1, 2, 16, 16, 3, 1, 1, 1, 1, 2, 1 }, /* smaller than a tile */
	{ 11, 12, 3, 24, 3, 2, 0, 0, 6, 6, 2 }, /* direct; padded at the end only */
	{ 28, 28, 1, 32, 3, 1, 0, 0, 26, 26, 2 }, /* direct */
	{ 9, 8, 5, 17, 5, 1, 2, 2, 9, 8, 3 }, /* direct, odd numbers */
	{ 7, 9, 64, 130, 3, 2, 1, 1, 4, 5, 3 }, /* columns */
	{ 6, 5, 33, 50, 1, 1, 0, 0, 6, 5, 4 }, /* pointwise */
	{ 8, 8, 520, 70, 1, 1, 0, 0, 8, 8, 1 }, /* pointwise, more than one block of k */
};

struct data {
	float *x, *w, *bias, *y, *dy, *dx, *dw;
	size_t x_count, w_count, y_count;
};

static float *draw(size_t count, uint64_t key)
{
	float *floats = bd_floats(count);
	struct bd_random random = bd_random_of(3, key, count);
	for (size_t i = 0; i < count; i++)
		floats[i] = (float)bd_random_uniform(&random, -1, 1);
	return floats;
}

static struct data data_of(const struct example *e)
{
	struct data d = { .x_count = e->pictures * e->height * e->width * e->channels,
		          .w_count = e->kernel * e->kernel * e->channels * e->filters,
		          .y_count = e->pictures * e->out_height * e->out_width * e->filters };
	d.x = draw(d.x_count, 1);
	d.w = draw(d.w_count, 2);
	d.bias = draw(e->filters, 3);
	d.dy = draw(d.y_count, 4);
	d.y = bd_floats(d.y_count);
	d.dx = bd_floats(d.x_count);
	d.dw = bd_floats(d.w_count);
	return d;
}

static void data_free(struct data *d)
{
	float *all[] = { d->x, d->w, d->bias, d->y, d->dy, d->dx, d->dw };
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

struct reference {
	double *y, *dx, *dw;
};

static void add_pixel(const struct example *e, const struct data *d, struct reference *r, size_t x, size_t w, size_t y)
{
	for (size_t c = 0; c < e->channels; c++)
		for (size_t f = 0; f < e->filters; f++) {
			double weight = (double)d->w[w + c * e->filters + f], dy = (double)d->dy[y + f];
			r->y[y + f] += (double)d->x[x + c] * weight;
			r->dx[x + c] += dy * weight;
			r->dw[w + c * e->filters + f] += dy * (double)d->x[x + c];
		}
}

static struct reference reference_of(const struct example *e, const struct data *d)
{
	struct reference r = { calloc(d->y_count, 8), calloc(d->x_count, 8), calloc(d->w_count, 8) };
	for (size_t i = 0; i < d->y_count; i++)
		r.y[i] = (double)d->bias[i % e->filters];
	for (size_t n = 0; n < e->pictures; n++)
		for (size_t p = 0; p < e->out_height * e->out_width; p++)
			for (size_t tap = 0; tap < e->kernel * e->kernel; tap++) {
				size_t y = p / e->out_width * e->stride + tap / e->kernel - e->pad_top;
				size_t x = p % e->out_width * e->stride + tap % e->kernel - e->pad_left;
				if (y < e->height && x < e->width)
					add_pixel(e, d, &r, ((n * e->height + y) * e->width + x) * e->channels,
					          tap * e->channels * e->filters,
					          (n * e->out_height * e->out_width + p) * e->filters);
			}
	return r;
}

static void compare(const struct bd_conv *conv, const char *what, const float *got, const double *want, size_t count)
{
	double most = 0;
	for (size_t i = 0; i < count; i++)
		most = fabs(want[i]) > most ? fabs(want[i]) : most;
	for (size_t i = 0; i < count; i++)
		if (!(fabs((double)got[i] - want[i]) <= 6e-6 * most))
			fail_msg("%s, %s, %s [%zu]: %g instead of %g", bd_simd_name(conv->kernels->level), bd_conv_way_name(conv),
			         what, i, (double)got[i], want[i]);
}

static void input_gradient(const struct bd_conv *conv, const struct bd_run *run, const struct example *e, struct data *d,
                           bool exact)
{
	if (e->stride != 1) {
		float *packed = bd_floats(bd_conv_scatter_floats(conv));
		bd_conv_scatter_pack(conv, run, d->w, packed);
		bd_conv_scatter(conv, run, e->pictures, d->dy, packed, d->dx);
		free(packed);
		return;
	}
	struct bd_conv turned = bd_conv_turned(conv, exact);
	turned.packed = bd_floats(bd_conv_packed_floats(&turned));
	struct bd_run own = *run;
	own.scratch = bd_floats(2 * (own.scratch_floats = bd_conv_scratch_floats(&turned) + 16));
	bd_conv_pack(&turned, &own, d->w);
	bd_conv_forward(&turned, &own, e->pictures, d->dy, NULL, BD_CLAMP_NONE, d->dx);
	free(own.scratch);
	free(turned.packed);
}

static struct bd_conv conv_of(const struct example *e, const struct bd_kernels *kernels, bool exact)
{
	struct bd_conv conv = { .kernels = kernels,
		                .height = e->height,
		                .width = e->width,
		                .channels = e->channels,
		                .in_pitch = e->channels,
		                .out_height = e->out_height,
		                .out_width = e->out_width,
		                .filters = e->filters,
		                .out_pitch = e->filters,
		                .kernel_height = e->kernel,
		                .kernel_width = e->kernel,
		                .stride_y = e->stride,
		                .stride_x = e->stride,
		                .pad_top = e->pad_top,
		                .pad_left = e->pad_left };
	bd_conv_plan(&conv, exact);
	return conv;
}

static void check_example(const struct example *e, const struct bd_kernels *kernels, struct bd_workers *workers, bool exact)
{
	struct data d = data_of(e);
	struct reference r = reference_of(e, &d);
	struct bd_conv conv = conv_of(e, kernels, exact);
	conv.packed = bd_floats(bd_conv_packed_floats(&conv));
	struct bd_run run = { .workers = workers, .scratch_floats = bd_conv_scratch_floats(&conv) + 16 };
	run.scratch = bd_floats(2 * run.scratch_floats);
	float *workspace = bd_floats(bd_conv_gradient_floats(&conv, e->pictures));
	bd_conv_pack(&conv, &run, d.w);
	bd_conv_forward(&conv, &run, e->pictures, d.x, d.bias, BD_CLAMP_NONE, d.y);
	compare(&conv, "y", d.y, r.y, d.y_count);
	bd_conv_kernel_gradient(&conv, &run, e->pictures, d.x, d.dy, workspace, d.dw);
	compare(&conv, "dw", d.dw, r.dw, d.w_count);
	input_gradient(&conv, &run, e, &d, exact);
	compare(&conv, "dx", d.dx, r.dx, d.x_count);
	free(conv.packed);
	free(run.scratch);
	free(workspace);
	free(r.y);
	free(r.dx);
	free(r.dw);
	data_free(&d);
}

static void all_examples(bool exact)
{
	struct bd_workers *workers;
	assert_int_equal(bd_workers_create(2, &workers, NULL), 0);
	for (int level = BD_SIMD_BASELINE; level <= (int)bd_simd_level(); level++)
		for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
			check_example(&examples[i], bd_kernels_of((enum bd_simd_level)level), workers, exact);
			check_example(&examples[i], openblas_kernels((enum bd_simd_level)level), workers, exact);
		}
	bd_workers_destroy(workers);
}

static void fast_ways_agree_with_plain_sums(void **state)
{
	(void)state;
	all_examples(false);
}

static void exact_ways_agree_with_plain_sums(void **state)
{
	(void)state;
	all_examples(true);
}

/* A batch may have fewer pictures than the workspace was made for, and then be cut into more parts. */
static void fewer_pictures_keep_to_the_workspace(void **state)
{
	(void)state;
	enum { MOST = 36, BEHIND = 1 << 20 };
	struct bd_workers *workers;
	assert_int_equal(bd_workers_create(2, &workers, NULL), 0);
	float *behind = draw(BEHIND, 9);
	for (size_t i = 0; i < sizeof examples / sizeof *examples; i++) {
		struct example e = examples[i];
		struct bd_conv conv = conv_of(&e, bd_kernels_of(bd_simd_level()), false);
		struct bd_run run = { .workers = workers, .scratch_floats = bd_conv_scratch_floats(&conv) + 16 };
		run.scratch = bd_floats(2 * run.scratch_floats);
		e.pictures = MOST;
		struct data d = data_of(&e);
		for (size_t most = 2; most <= MOST; most += 3)
			for (size_t pictures = most * 2 / 5 + 1; pictures < most; pictures += 2) {
				size_t floats = bd_conv_gradient_floats(&conv, most);
				float *workspace = bd_floats(floats + BEHIND);
				memcpy(workspace + floats, behind, BEHIND * sizeof *behind);
				bd_conv_kernel_gradient(&conv, &run, pictures, d.x, d.dy, workspace, d.dw);
				if (memcmp(workspace + floats, behind, BEHIND * sizeof *behind) != 0)
					fail_msg("%s: %zu pictures in the workspace of %zu", bd_conv_way_name(&conv), pictures,
					         most);
				free(workspace);
			}
		data_free(&d);
		free(run.scratch);
	}
	free(behind);
	bd_workers_destroy(workers);
}

/* The output and, with the kernel's channels and filters exchanged, the input's gradient: exactly zero where all that enters is. */
static void check_blank(const struct example *e, const struct bd_kernels *kernels, struct bd_workers *workers)
{
	struct data d = data_of(e);
	for (size_t i = 0; i < d.x_count; i++) {
		size_t pixel = i / e->channels, y = pixel / e->width % e->height, x = pixel % e->width;
		/* A blank picture, but for a square, of which the pixels beside it have only the last channel. */
		bool inside = y >= 4 && y < 9 && x >= 5 && x < 9, last = i % e->channels == e->channels - 1;
		if (!inside && !(y == 10 && x == 2 && last))
			d.x[i] = i % 2 ? -0.0f : 0.0f;
	}
	struct bd_conv conv = conv_of(e, kernels, false);
	conv.packed = bd_floats(bd_conv_packed_floats(&conv));
	struct bd_run run = { .workers = workers, .scratch_floats = bd_conv_scratch_floats(&conv) + 16 };
	run.scratch = bd_floats(2 * run.scratch_floats);
	bd_conv_pack(&conv, &run, d.w);
	bd_conv_forward(&conv, &run, e->pictures, d.x, NULL, BD_CLAMP_NONE, d.y);
	size_t blank = 0, others = 0;
	for (size_t i = 0; i < d.y_count; i++) {
		size_t pixel = i / e->filters, y = pixel / e->out_width % e->out_height, x = pixel % e->out_width;
		bool reached = false;
		for (size_t tap = 0; tap < 9; tap++) {
			size_t in_y = y + tap / 3 - e->pad_top, in_x = x + tap % 3 - e->pad_left;
			reached = reached || (in_y >= 4 && in_y < 9 && in_x >= 5 && in_x < 9) || (in_y == 10 && in_x == 2);
		}
		if (!reached && d.y[i] != 0)
			fail_msg("%s, %s: %g where the input is blank", bd_simd_name(kernels->level), bd_conv_way_name(&conv),
			         (double)d.y[i]);
		if (reached && d.y[i] == 0)
			fail_msg("%s, %s: 0 where the input is not blank", bd_simd_name(kernels->level), bd_conv_way_name(&conv));
		blank += !reached;
		others += reached;
	}
	assert_true(blank && others);
	free(run.scratch);
	free(conv.packed);
	data_free(&d);
}

static void blank_input_gives_exactly_zero(void **state)
{
	(void)state;
	static const struct example blanks[] = {
		{ 13, 17, 16, 32, 3, 1, 1, 1, 13, 17, 3 }, /* F4 */
		{ 15, 15, 32, 48, 3, 1, 1, 1, 15, 15, 2 }, /* F3 */
		{ 26, 26, 48, 32, 3, 1, 0, 0, 24, 24, 2 }, /* valid */
		{ 12, 12, 3, 24, 3, 1, 1, 1, 12, 12, 1 }, /* direct */
	};
	struct bd_workers *workers = NULL;
	assert_int_equal(bd_workers_create(2, &workers, NULL), 0);
	for (int level = BD_SIMD_BASELINE; level <= (int)bd_simd_level(); level++)
		for (size_t i = 0; i < sizeof blanks / sizeof *blanks; i++) {
			check_blank(&blanks[i], bd_kernels_of((enum bd_simd_level)level), workers);
			check_blank(&blanks[i], openblas_kernels((enum bd_simd_level)level), workers);
		}
	bd_workers_destroy(workers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fast_ways_agree_with_plain_sums),
		cmocka_unit_test(exact_ways_agree_with_plain_sums),
		cmocka_unit_test(blank_input_gives_exactly_zero),
		cmocka_unit_test(fewer_pictures_keep_to_the_workspace),
	};
	return cmocka_run_group_tests_name("convolution", tests, NULL, NULL);
}
